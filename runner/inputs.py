"""
Inputs: named values of a scenario, their limits, what ``--set`` gives them, and ``$name`` put in place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, cast

from runner.document import Document, Item, is_secret_name, is_secret_value
from runner.mistakes import Mistake
from runner.scenario import InputValue
from runner.values import (
    BadValue,
    Facts,
    Plain,
    either,
    expected,
    input_name,
    nearest,
    read_scalar,
    read_value,
)

SET_FLAG: Final = "--set"
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


class SetFlags:
    """What the command line sets, and every mistake in it. The n-th flag is line n of the file ``--set``."""

    def __init__(self, sets: Mapping[str, str] | Sequence[str]) -> None:
        texts = [f"{name}={value}" for name, value in sets.items()] if isinstance(sets, Mapping) else list(sets)
        self.values: dict[str, tuple[int, str]] = {}
        self.mistakes: list[Mistake] = []
        self.declared: set[str] = set()
        """Names that some scenario has as an input."""
        self._shown = [re.sub(r"[\r\n]", " ", text) for text in texts]
        for line, text in enumerate(texts, 1):
            self._read(line, text)

    @property
    def source(self) -> str:
        """The flags as a text, a line each, secrets covered."""
        return "\n".join(self._shown)

    def _read(self, line: int, text: str) -> None:
        name, equals, value = (part.strip() for part in text.partition("="))
        if is_secret_name(name) or is_secret_value(text):
            self._shown[line - 1] = f"{name}=•••" if not is_secret_value(name) else "•••"
            message = "This looks like a secret, and a scenario's inputs may not carry secrets."
            self._blame("SECRET_IN_FILE", line, 1, 0, message, wanted="secrets only in the environment")
        elif not equals or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
            message = "This is no name with an equals sign and a value."
            self._blame(
                "SET_SYNTAX", line, 1, len(text), message, found=text[:60], wanted="name=value, such as hold=20s"
            )
        elif name in self.values:
            message = f"{name} is set twice."
            self._blame("DUPLICATE_KEY", line, 1, len(name), message, found=text[:60], wanted="each name once")
        else:
            self.values[name] = (line, value)

    def _blame(
        self,
        code: str,
        line: int,
        column: int,
        length: int,
        message: str,
        *,
        wanted: str,
        found: str | None = None,
        suggestion: str | None = None,
    ) -> None:
        self.mistakes.append(Mistake(code, SET_FLAG, line, column, message, found, wanted, suggestion, length))

    def blame_value(self, name: str, bad: BadValue) -> None:
        """The value given for ``name`` cannot be used."""
        line, text = self.values[name]
        if all(mistake.line != line for mistake in self.mistakes):
            column = self._shown[line - 1].index("=") + 2
            self._blame(
                "INPUT_VALUE",
                line,
                column,
                len(text),
                bad.message,
                found=text[:60],
                wanted=bad.expected,
                suggestion=bad.suggestion,
            )

    def blame_undeclared(self) -> None:
        """Names that no scenario has."""
        for name, (line, _) in self.values.items():
            if name not in self.declared:
                known = sorted(self.declared)
                self._blame(
                    "UNKNOWN_INPUT",
                    line,
                    1,
                    len(name),
                    f"No scenario has an input called {name}.",
                    found=name,
                    wanted=either(known) if known else "no --set, because there are no inputs",
                    suggestion=nearest(name, known),
                )


@dataclass(frozen=True, slots=True)
class _Known:
    """An input with a value; ``plain`` is the value before it was read as its type."""

    value: InputValue
    plain: Plain


class Inputs:
    """The inputs of one document."""

    def __init__(self, document: Document, flags: SetFlags) -> None:
        self._document = document
        self._known: dict[str, _Known] = {}
        self.broken: set[str] = set()
        """Declared, but without a usable value; blamed already."""
        root = document.root
        entry = root.entries.get("inputs") if root else None
        for name, part in entry.item.entries.items() if entry else ():
            flags.declared.add(name)
            known = self._declare(name, part.start, part.end, part.item, flags)
            if known is None:
                self.broken.add(name)
            else:
                self._known[name] = known

    @property
    def values(self) -> dict[str, InputValue]:
        """Every input by name."""
        return {name: known.value for name, known in self._known.items()}

    def _declare(self, name: str, start: int, end: int, item: Item, flags: SetFlags) -> _Known | None:
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
        if name in flags.values:
            return self._from_flag(value, facts, flags)
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
        return _Known(replace(value, value=default, text=written.text), written.plain)

    def _from_flag(self, value: InputValue, facts: Facts, flags: SetFlags) -> _Known | None:
        text = flags.values[value.name][1]
        try:
            plain = text if facts["kind"] in {"text", "choice"} else read_scalar(text)
            read = read_value(value.name, plain, text, facts)
        except BadValue as bad:
            flags.blame_value(value.name, bad)
            return None
        return _Known(replace(value, value=read, text=text, origin="--set"), plain)

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
            found = f"{name} = {known.value.text} ({_origin(known.value)})"
            self._document.blame("INPUT_VALUE", item.start, item.end, message, found=found, expected=bad.expected)
            return None

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


def _origin(value: InputValue) -> str:
    return "its default" if value.origin == "default" else "from --set"
