"""
The published schema applied to a document, and every fault told in the reader's words.

The schema decides what is wrong; this module only decides how to say it and where to point.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from core.words import counted
from runner.document import Document, Entry, Item, describe
from runner.values import SCALAR_KINDS, BadValue, either, expected, nearest, read_value
from schemas import load_schema, registry, verbs

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

Path: TypeAlias = tuple[str | int, ...]


def check_shape(document: Document) -> None:
    """Blame everything in the document's tree that ``scenario.schema.json`` refuses."""
    if document.root is None:
        return
    telling = _Telling(document, document.root)
    for error in _validator().iter_errors(document.root.plain):
        telling.tell(error)


@cache
def _validator() -> Validator:
    # The import costs a tenth of a second: only who checks a scenario pays it.
    from jsonschema import Draft202012Validator

    return Draft202012Validator(load_schema("scenario"), registry=registry())


def verb_schema(verb: str) -> dict[str, Any]:
    """The schema of one verb's settings."""
    return load_schema(f"steps/{verb}")


def flow(value: Any) -> str:
    """An example from a schema as one line of YAML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(part) for part in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Telling:
    def __init__(self, document: Document, root: Item) -> None:
        self._document = document
        self._root = root
        self._told: set[Path] = set()

    def tell(self, error: ValidationError) -> None:
        path: Path = tuple(error.absolute_path)
        item, entry = self._at(path)
        facts = error.schema
        if "propertyNames" in error.absolute_schema_path:
            self._input_name(item, str(error.instance))
        elif not isinstance(facts, Mapping):
            return
        elif facts.get("kind") == "step":
            self._once(path, lambda: self._step(item))
        elif error.validator in {"required", "additionalProperties", "minProperties"}:
            self._once(path, lambda: self._group(path, item, entry, facts))
        elif facts.get("kind") in SCALAR_KINDS:
            self._scalar(path, item, facts)
        elif "words" in facts:
            self._once(path, lambda: self._settings(str(path[-1]), item, entry, facts))
        else:
            self._other(path, item, facts, str(error.validator))

    def _once(self, path: Path, say: Any) -> None:
        """A group is looked at as a whole, however many of its rules were broken."""
        if path not in self._told:
            self._told.add(path)
            say()

    def _at(self, path: Path) -> tuple[Item, Entry | None]:
        item, entry = self._root, None
        for key in path:
            if isinstance(key, int):
                item, entry = item.items[key], None
            else:
                entry = item.entries[key]
                item = entry.item
        return item, entry

    def _input_name(self, item: Item, name: str) -> None:
        entry = item.entries[name]
        mended = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")[:40]
        self._document.blame(
            "BAD_NAME",
            entry.start,
            entry.end,
            "The name of an input has letters that may not stand in it.",
            found=name[:60],
            expected="small letters, digits and _, beginning with a letter",
            suggestion=mended if mended[:1].isalpha() else None,
        )

    def _scalar(self, path: Path, item: Item, facts: Mapping[str, Any]) -> None:
        key = str(path[-1]) if isinstance(path[-1], str) else "This word"
        try:
            if isinstance(item.plain, dict | list):
                raise BadValue("WRONG_TYPE", f"{key} takes a single value.", expected(facts))
            read_value(key, item.plain, item.text, facts)
        except BadValue as bad:
            self._document.blame_item(bad.code, item, bad.message, expected=bad.expected, suggestion=bad.suggestion)

    def _group(self, path: Path, item: Item, entry: Entry | None, facts: Mapping[str, Any]) -> None:
        known: Sequence[str] = tuple(facts["properties"])
        owner = _owner(path)
        meant: set[str] = set()
        for key, part in item.entries.items():
            if key in known:
                continue
            head, _, rest = key.partition(" ")
            if head in known and part.item.plain is None:
                meant.add(head)
                self._document.blame(
                    "YAML_COLON",
                    part.start,
                    part.end,
                    f"A colon is missing behind {head}.",
                    found=key[:60],
                    expected="name: value",
                    suggestion=f"{head}: {rest.strip()}",
                )
                continue
            near = nearest(key, known)
            meant.add(near or "")
            self._document.blame(
                "UNKNOWN_KEY",
                part.start,
                part.end,
                f"{owner} has no line called {key[:60]}." if not path else f"{owner} has no setting {key[:60]}.",
                found=key[:60],
                expected=either(known) if known else "no settings",
                suggestion=near,
            )
        start, end = (entry.start, entry.end) if entry else (item.start, item.start)
        for key in facts.get("required", ()):
            if key not in item.entries and key not in meant:
                example = flow(facts["properties"][key].get("examples", [""])[0])
                if key == "steps":
                    example = "a list of steps"
                message = f"{owner} needs {key}." if path else f"The line {key} is missing."
                self._document.blame(
                    "MISSING_KEY", start, end, message, found=f"no {key}", expected=f"{key}: {example}"
                )
        if not item.entries and facts.get("minProperties"):
            self._at_least_one(owner, start, end, known)

    def _at_least_one(self, owner: str, start: int, end: int, known: Sequence[str]) -> None:
        message = f"{owner} needs at least one setting."
        self._document.blame("MISSING_KEY", start, end, message, found="no settings", expected=either(known))

    def _settings(self, verb: str, item: Item, entry: Entry | None, facts: Mapping[str, Any]) -> None:
        """What stands behind a verb is no group of settings."""
        start, end = (entry.start, entry.end) if entry else (item.start, item.end)
        required = facts.get("required", ())
        example = flow(facts["examples"][-1])
        if item.plain is None and not item.text:
            if required or facts.get("minProperties"):
                self._needs(verb, start, end, facts)
            return
        scalar = not isinstance(item.plain, dict | list)
        mended = f"{{{required[0]}: {item.text}}}" if scalar and len(required) == 1 else None
        self._document.blame_item(
            "WRONG_TYPE",
            item,
            f"The settings of {verb} stand in braces, each with its name.",
            expected=f"{verb}: {example}",
            suggestion=mended,
        )

    def _needs(self, verb: str, start: int, end: int, facts: Mapping[str, Any], suggestion: str | None = None) -> None:
        required = facts.get("required") or facts["properties"]
        self._document.blame(
            "MISSING_KEY",
            start,
            end,
            f"{verb} needs {' and '.join(required) if facts.get('required') else 'at least one setting'}.",
            found=f"{verb} without settings",
            expected=f"{verb}: {flow(facts['examples'][0])}",
            suggestion=suggestion,
        )

    def _step(self, item: Item) -> None:
        if isinstance(item.plain, str):
            self._bare_step(item, item.plain)
        elif item.plain is None and not item.text:
            if not self._document.is_blamed(item.start):
                self._document.blame_item("STEP_SHAPE", item, "This step is empty.", expected="a step, or no dash")
        elif not isinstance(item.plain, dict):
            message = "A step begins with its name."
            self._document.blame_item("STEP_SHAPE", item, message, expected="such as - market_close")
        elif not item.entries:
            # The whole step may have been a secret, which has its own words.
            if self._document.text[item.start : item.end].strip("{} \n") == "":
                self._document.blame_item("STEP_SHAPE", item, "This step is empty.", expected="a step, or no dash")
        else:
            self._step_names(item)

    def _bare_step(self, item: Item, word: str) -> None:
        if word in verbs():
            facts = verb_schema(word)
            mended = f"{word}: {flow(facts['examples'][0])}"
            self._needs(word, item.start, item.end, facts, mended)
            return
        match = re.match(r"([a-z_]+)[\s:]+(\S.*)", word)
        if match and match[1] in verbs():
            facts = verb_schema(match[1])
            required = facts.get("required", ())
            example = flow(facts["examples"][-1])
            named = f"{match[1]}: {{{required[0]}: {match[2]}}}" if len(required) == 1 else None
            self._document.blame_item(
                "STEP_SHAPE",
                item,
                f"The settings of {match[1]} stand behind a colon, each with its name.",
                expected=f"{match[1]}: {example}",
                suggestion=named,
            )
            return
        self._unknown_step(word, item.start, item.end)

    def _step_names(self, item: Item) -> None:
        first, *others = item.entries
        settings = tuple(verb_schema(first)["properties"]) if first in verbs() else ()
        shifted = [key for key in others if key not in verbs() and nearest(key, settings)]
        if shifted and item.entries[first].item.plain is None:
            entry = item.entries[shifted[0]]
            self._document.blame(
                "STEP_SHAPE",
                entry.start,
                entry.end,
                f"The settings of {first} stand too far left.",
                found=f"{shifted[0]} below the name of the step",
                expected=f"two more spaces before {either(shifted).replace(' or ', ' and ')}",
            )
        elif others:
            entry = item.entries[others[0]]
            self._document.blame(
                "STEP_SHAPE",
                entry.start,
                entry.end,
                "Each step needs a dash of its own.",
                found=f"{others[0][:60]} in the same step as {first[:60]}",
                expected="one name behind each dash",
            )
        for key, entry in item.entries.items():
            if key not in verbs() and key not in shifted:
                self._unknown_step(key, entry.start, entry.end)

    def _unknown_step(self, word: str, start: int, end: int) -> None:
        self._document.blame(
            "UNKNOWN_STEP",
            start,
            end,
            f"There is no step called {word[:60]}.",
            found=word[:60],
            expected=either(verbs()),
            suggestion=nearest(word, verbs()),
        )

    def _other(self, path: Path, item: Item, facts: Mapping[str, Any], rule: str) -> None:
        """Lists, groups, and what may hold values of several kinds."""
        kind = facts.get("kind")
        if not path:
            message = "A scenario consists of lines with a name, a colon and a value."
            self._document.blame_item("WRONG_TYPE", item, message, expected="lines such as side: buy")
            return
        key = str(path[-1])
        if rule == "minItems":
            message = f"{key} is empty."
            self._document.blame("EMPTY_LIST", item.start, item.end, message, found="[]", expected="at least one line")
        elif rule == "maxItems":
            message = f"{key} is too long."
            limit = f"at most {counted(facts['maxItems'], 'line')}"
            self._document.blame("OUT_OF_RANGE", item.start, item.start, message, found=describe(item), expected=limit)
        elif kind == "venue":
            if not isinstance(item.plain, str):
                message = "An exchange is named by a word."
                self._document.blame_item("WRONG_TYPE", item, message, expected=expected(facts))
        elif kind == "venues":
            listed = f"[{item.text}]" if item.text and isinstance(item.plain, str) else None
            near = nearest(item.text, ["all"]) if isinstance(item.plain, str) else None
            message = "venues is the word all, or a list in brackets."
            self._document.blame_item("WRONG_TYPE", item, message, expected=expected(facts), suggestion=near or listed)
        elif key in {"steps", "finally"} and isinstance(item.plain, dict) and item.entries:
            self._undashed(key, item)
        else:
            stuck = re.match(r"-(?=[A-Za-z])", item.text)
            if kind == "list" and stuck:
                message = "A space is missing behind this dash."
                word = item.text.split()[0]
                self._document.blame(
                    "YAML_DASH",
                    item.start,
                    item.start + len(word),
                    message,
                    found=word[:60],
                    expected=f"- {word[1:60]}",
                    suggestion=f"- {word[1:]}",
                )
                return
            mended = f"[{item.text}]" if key in {"steps", "finally"} and item.text in verbs() else None
            what = {"list": "a list", "group": "settings"}.get(str(kind), "a single value")
            example = f"{key}: {flow(facts['examples'][0])}" if kind != "list" else expected(facts)
            self._document.blame_item("WRONG_TYPE", item, f"{key} takes {what}.", expected=example, suggestion=mended)

    def _undashed(self, key: str, item: Item) -> None:
        name, entry = next(iter(item.entries.items()))
        stuck = name.startswith("-")
        self._document.blame(
            "YAML_DASH" if stuck else "WRONG_TYPE",
            entry.start,
            entry.end,
            "A space is missing behind this dash." if stuck else f"Every line of {key} starts with a dash.",
            found=name[:60],
            expected=f"- {name.lstrip('-')[:60]}",
            suggestion=f"- {name.lstrip('-')}",
        )


def _owner(path: Path) -> str:
    """Whose settings these are, in words."""
    if not path:
        return "A scenario"
    if path[0] == "inputs":
        return f"The input {path[1]}" if len(path) > 1 else "inputs"
    return str(path[-1]) if isinstance(path[-1], str) else "This step"
