"""
Inputs: named values of a scenario, their limits, what people give them, and ``$name`` put in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, NamedTuple, cast

from runner.document import Document, Item
from runner.given import Given, Supplied
from runner.scenario import InputValue
from runner.values import (
    BadValue,
    Facts,
    Plain,
    either,
    expected,
    input_name,
    nearest,
    read_value,
)

_KINDS: Final = {
    "duration": "duration",
    "number": "decimal",
    "integer": "integer",
    "size": "size",
    "text": "text",
    "choice": "choice",
    "yes_no": "yes_no",
}
_LIMITED: Final = frozenset({"duration", "number", "integer"})


class _Known(NamedTuple):
    """An input with a value; ``plain`` is the value before it was read as its type."""

    value: InputValue
    plain: Plain
    blame: Callable[[BadValue], None]
    """Records that the value does not fit, where it was written."""


class Inputs:
    """The inputs of one document."""

    def __init__(self, document: Document, given: Given) -> None:
        self._document = document
        self._known: dict[str, _Known] = {}
        self.broken: set[str] = set()
        """Declared, but without a usable value; blamed already."""
        root = document.root
        entry = root.entries.get("inputs") if root else None
        for name, part in entry.item.entries.items() if entry else ():
            given.declared.add(name)
            known = self._declare(name, part.start, part.end, part.item, given)
            if known is None:
                self.broken.add(name)
            else:
                self._known[name] = known

    @property
    def values(self) -> dict[str, InputValue]:
        """Every input by name."""
        return {name: known.value for name, known in self._known.items()}

    def _declare(self, name: str, start: int, end: int, item: Item, given: Given) -> _Known | None:
        entries = item.entries
        if "type" not in entries or entries["type"].item.plain not in _KINDS:
            return None
        before = len(self._document.mistakes)
        kind = str(entries["type"].item.plain)
        facts = self._facts(item, kind)
        default = self._default(item, facts)
        text = {key: str(entries[key].item.plain) for key in ("description", "unit") if key in entries}
        value = InputValue(
            name, cast(Any, kind), None, "", "default", text.get("description", ""), text.get("unit", "")
        )
        supplied = given.find(name)
        if supplied is not None:
            return _from_outside(value, facts, supplied)
        if "default" not in entries:
            self._document.blame(
                "INPUT_MISSING",
                start,
                end,
                f"The input {name} has no value.",
                found="no default, and nobody set it",
                expected=f"--set {name}=..., with {expected(facts)}",
            )
            return None
        if default is None or len(self._document.mistakes) > before:
            return None
        written = entries["default"].item

        def blame(bad: BadValue) -> None:
            self._document.blame_item(bad.code, written, bad.message, expected=bad.expected, suggestion=bad.suggestion)

        return _Known(replace(value, value=default, text=written.text), written.plain, blame)

    def _default(self, item: Item, facts: Facts) -> Any:
        entry = item.entries.get("default")
        if entry is None or self._document.is_blamed(entry.item.start):
            return None
        written = entry.item
        if isinstance(written.plain, dict | list) or facts.get("enum") == []:
            return None
        try:
            return read_value("default", written.plain, written.text, facts)
        except BadValue as bad:
            self._document.blame_item(bad.code, written, bad.message, expected=bad.expected, suggestion=bad.suggestion)
            return None

    def _facts(self, item: Item, kind: str) -> Facts:
        """The input's own limits in the form a setting has them."""
        entries = item.entries
        facts: dict[str, Any] = {"kind": _KINDS[kind]}
        if kind == "duration":
            facts["minimum"] = 0
        if kind == "size":
            facts["exclusiveMinimum"] = 0
        if kind == "choice":
            facts["enum"] = []
            if "choices" in entries:
                words = entries["choices"].item.plain
                facts["enum"] = [word for word in words if isinstance(word, str)] if isinstance(words, list) else []
            else:
                start = entries["type"].item.start
                message = "A choice needs its choices."
                self._document.blame(
                    "INPUT_DEFINITION", start, entries["type"].item.end, message, expected="choices: [slow, fast]"
                )
        elif "choices" in entries:
            self._misfit(item, "choices", kind, "choices only with type: choice")
        for key, limit in (("min", "minimum"), ("max", "maximum")):
            if key in entries and kind not in _LIMITED:
                self._misfit(item, key, kind, f"{key} only with type: duration, number or integer")
            elif key in entries and (value := self._limit(key, entries[key].item, _KINDS[kind])) is not None:
                facts[limit] = value
        if "min" in entries and "maximum" in facts and facts.get("minimum", facts["maximum"]) > facts["maximum"]:
            low, high = entries["min"].item, entries["max"].item
            self._document.blame_item("MIN_OVER_MAX", low, "min is larger than max.", expected=f"at most {high.text}")
            # Nothing lies within such limits, and one mistake says so.
            del facts["minimum"], facts["maximum"]
        return facts

    def _limit(self, key: str, item: Item, kind: str) -> Decimal | None:
        if self._document.is_blamed(item.start) or isinstance(item.plain, dict | list):
            return None
        try:
            return Decimal(str(read_value(key, item.plain, item.text, {"kind": kind})))
        except BadValue as bad:
            self._document.blame_item(bad.code, item, bad.message, expected=bad.expected, suggestion=bad.suggestion)
            return None

    def _misfit(self, item: Item, key: str, kind: str, wanted: str) -> None:
        entry = item.entries[key]
        message = f"An input of the type {kind} has no {key}."
        self._document.blame("INPUT_DEFINITION", entry.start, entry.end, message, found=key, expected=wanted)

    def resolve(self, key: str, item: Item, facts: Facts) -> Any:
        """
        The value of a setting, ``$name`` put in place; None when it is blamed (now or before).

        No setting has None as a value.
        """
        if self._document.is_blamed(item.start) or isinstance(item.plain, dict | list):
            return None
        name = input_name(item.plain)
        if name is None:
            try:
                return read_value(key, item.plain, item.text, facts)
            except BadValue as bad:
                self._document.blame_item(bad.code, item, bad.message, expected=bad.expected, suggestion=bad.suggestion)
                return None
        known = self._look_up(name, item)
        if known is None:
            return None
        try:
            return read_value(key, known.plain, known.value.text, facts)
        except BadValue as bad:
            message = f"{key} cannot take the input {name}: {bad.message}"
            found = f"{name} = {known.value.text} ({origin_words(known.value)})"
            self._document.blame("INPUT_VALUE", item.start, item.end, message, found=found, expected=bad.expected)
            return None

    def blame(self, item: Item, bad: BadValue) -> None:
        """Record that a value which could be read does not fit; one behind ``$name``, where that was written."""
        name = input_name(item.plain)
        if name is not None and name in self._known:
            self._known[name].blame(bad)
        else:
            self._document.blame_item(bad.code, item, bad.message, expected=bad.expected, suggestion=bad.suggestion)

    def free(self, item: Item) -> Any:
        """Settings without a schema: numbers with decimals as Decimal, ``$name`` put in place, at any depth."""
        if isinstance(item.plain, dict):
            return {key: self.free(entry.item) for key, entry in item.entries.items()}
        if isinstance(item.plain, list):
            return [self.free(part) for part in item.items]
        name = input_name(item.plain)
        if name is not None:
            known = self._look_up(name, item)
            return known.value.value if known else None
        return Decimal(item.text) if isinstance(item.plain, float) else item.plain

    def _look_up(self, name: str, item: Item) -> _Known | None:
        known = self._known.get(name)
        if known is None and name not in self.broken:
            names = sorted({*self._known, *self.broken})
            near = nearest(name, names)
            self._document.blame(
                "UNKNOWN_INPUT",
                item.start,
                item.end,
                f"There is no input called {name}.",
                found=item.text[:60],
                expected=either(f"${other}" for other in names) if names else "a value, or an input under inputs",
                suggestion=f"${near}" if near else None,
            )
        return known


def _from_outside(value: InputValue, facts: Facts, supplied: Supplied) -> _Known | None:
    try:
        plain = supplied.plain(facts["kind"])
        read = read_value(value.name, plain, supplied.text, facts)
    except BadValue as bad:
        supplied.blame(bad)
        return None
    found = replace(value, value=read, text=supplied.text, origin=supplied.origin, place=supplied.place)
    return _Known(found, plain, supplied.blame)


def origin_words(value: InputValue) -> str:
    """Where a value came from: ``its default``, ``from --set``, ``from values.yaml:3``."""
    return "its default" if value.origin == "default" else f"from {value.place or value.origin}"
