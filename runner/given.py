"""
What people hand over for the inputs of scenarios: ``--set`` flags, an ``--inputs`` file, environment variables.

The flags win over the file, the file over the environment, the environment over a scenario's own default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from runner.document import Document, Item, describe, is_secret_name, is_secret_value, parse
from runner.mistakes import LINE_BREAK, Mistake
from runner.values import BadValue, Plain, either, nearest, read_scalar

SET_FLAG: Final = "--set"
ENVIRONMENT: Final = "ROUNDTRIP_INPUT_"
"""``ROUNDTRIP_INPUT_HOLD`` gives the input ``hold`` its value."""
_TEXTS: Final = frozenset({"text", "choice"})
_REFUSED_WORDS: Final = "This looks like a secret, and a scenario's inputs may not carry secrets."
_REFUSED_WANTED: Final = "secrets only in the environment, under the names of the accounts"


class Supplied(NamedTuple):
    """One value from outside the scenario."""

    text: str
    """As it was written."""
    origin: Literal["--set", "--inputs", "environment"]
    place: str
    """The file with its line, or the variable; empty for a flag."""
    blame: Callable[[BadValue], None]
    """Records that the value does not fit, where it was written."""
    item: Item | None = None
    """The value as YAML has it; None where there is only the text."""

    def plain(self, kind: str) -> Plain:
        """
        The value before it is read as its type.

        Raises:
            BadValue: a number that cannot be counted with, or no single value.
        """
        if self.item is None:
            return self.text if kind in _TEXTS else read_scalar(self.text)
        if isinstance(self.item.plain, dict | list):
            raise BadValue("WRONG_TYPE", "An input is one value, no group and no list.", "one value", None)
        found: Plain = self.item.plain
        return found


class SetFlags:
    """What the command line sets, and every mistake in it. The n-th flag is line n of the file ``--set``."""

    def __init__(self, sets: Mapping[str, str] | Sequence[str]) -> None:
        texts = [f"{name}={value}" for name, value in sets.items()] if isinstance(sets, Mapping) else list(sets)
        self.values: dict[str, tuple[int, str]] = {}
        self.mistakes: list[Mistake] = []
        self._shown = [re.sub(r"[\r\n]", " ", text) for text in texts]
        for line, text in enumerate(texts, 1):
            self._read(line, text)

    @property
    def source(self) -> str:
        """The flags as a text, a line each, secrets covered."""
        return "\n".join(self._shown)

    def find(self, name: str) -> Supplied | None:
        if name not in self.values:
            return None
        return Supplied(self.values[name][1], "--set", "", lambda bad: self._blame_value(name, bad))

    def _read(self, line: int, text: str) -> None:
        name, equals, value = (part.strip() for part in text.partition("="))
        if is_secret_name(name) or is_secret_value(text):
            self._shown[line - 1] = f"{name}=•••" if not is_secret_value(name) else "•••"
            self._blame("SECRET_IN_FILE", line, 1, 0, _REFUSED_WORDS, wanted=_REFUSED_WANTED)
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

    def _blame_value(self, name: str, bad: BadValue) -> None:
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

    def blame_undeclared(self, declared: set[str]) -> None:
        """Names that no scenario has."""
        for name, (line, _) in self.values.items():
            if name not in declared:
                self._blame("UNKNOWN_INPUT", line, 1, len(name), found=name, **_undeclared(name, declared, "--set"))


class InputsFile:
    """The file behind ``--inputs``: a name and a value on each line. Without a file it holds nothing."""

    def __init__(self, name: str, found: bytes | Mistake | None) -> None:
        self.name = name
        self._missing = [found] if isinstance(found, Mistake) else []
        self._document: Document | None = None
        self._items: dict[str, tuple[int, Item]] = {}
        if not isinstance(found, bytes):
            return
        document = self._document = parse(name, found)
        if document.root is None:
            # A file without a value is no mistake here.
            document.mistakes = [mistake for mistake in document.mistakes if mistake.code != "FILE_EMPTY"]
            return
        if not isinstance(document.root.plain, dict):
            message = "This is no list of names and values."
            document.blame_item("WRONG_TYPE", document.root, message, expected="lines such as hold: 20s")
            return
        self._items = {key: (entry.start, entry.item) for key, entry in document.root.entries.items()}

    @property
    def mistakes(self) -> list[Mistake]:
        if self._document is None:
            return self._missing
        return sorted(self._document.mistakes, key=lambda mistake: (mistake.line, mistake.column))

    @property
    def source(self) -> str:
        """The file's text, secrets covered."""
        return self._document.masked() if self._document else ""

    def find(self, name: str) -> Supplied | None:
        if name not in self._items or self._document is None:
            return None
        document, (_, item) = self._document, self._items[name]

        def blame(bad: BadValue) -> None:
            found, wanted = describe(item), bad.expected
            document.blame(
                "INPUT_VALUE",
                item.start,
                item.end,
                bad.message,
                found=found,
                expected=wanted,
                suggestion=bad.suggestion,
            )

        return Supplied(item.text, "--inputs", f"{self.name}:{document.place(item.start)[0]}", blame, item)

    def blame_undeclared(self, declared: set[str]) -> None:
        """Names that no scenario has."""
        for name, (start, _) in self._items.items():
            if name not in declared and self._document is not None:
                words = _undeclared(name, declared, "value")
                self._document.blame(
                    "UNKNOWN_INPUT",
                    start,
                    start + len(name),
                    words["message"],
                    found=name[:60],
                    expected=words["wanted"],
                    suggestion=words["suggestion"],
                )


class Environment:
    """Values from variables such as ``ROUNDTRIP_INPUT_HOLD``. Those that no scenario asks for mean nothing."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.mistakes: list[Mistake] = []
        self.sources: dict[str, str] = {}

    def find(self, name: str) -> Supplied | None:
        variable = ENVIRONMENT + name.upper()
        text = self._environ.get(variable, "").strip()
        if not text:
            return None
        shown = LINE_BREAK.sub(" ", text)
        if is_secret_value(text):
            self.sources[variable] = "•••"
            self._blame(variable, Mistake("SECRET_IN_FILE", variable, 1, 1, _REFUSED_WORDS, None, _REFUSED_WANTED))
            return Supplied("•••", "environment", variable, lambda bad: None)

        def blame(bad: BadValue) -> None:
            self.sources[variable] = shown
            found, wanted = shown[:60], bad.expected
            self._blame(
                variable,
                Mistake("INPUT_VALUE", variable, 1, 1, bad.message, found, wanted, bad.suggestion, len(shown)),
            )

        return Supplied(text, "environment", variable, blame)

    def _blame(self, variable: str, mistake: Mistake) -> None:
        if all(other.file != variable for other in self.mistakes):
            self.mistakes.append(mistake)


def _undeclared(name: str, declared: set[str], way: str) -> dict[str, Any]:
    known = sorted(declared)
    return {
        "message": f"No scenario has an input called {name[:60]}.",
        "wanted": either(known) if known else f"no {way}, because there are no inputs",
        "suggestion": nearest(name, known),
    }


class Given:
    """Everything handed over, the strongest first."""

    def __init__(self, flags: SetFlags, file: InputsFile, environment: Environment) -> None:
        self._flags = flags
        self._file = file
        self._environment = environment
        self.declared: set[str] = set()
        """Names that some scenario has as an input."""

    def find(self, name: str) -> Supplied | None:
        """The value that holds for an input; None when nobody gave one."""
        return self._flags.find(name) or self._file.find(name) or self._environment.find(name)

    def blame_undeclared(self) -> None:
        """Names that no scenario has."""
        self._flags.blame_undeclared(self.declared)
        self._file.blame_undeclared(self.declared)

    @property
    def mistakes(self) -> list[Mistake]:
        """The inputs file's, then the environment's, then the flags'."""
        flags = sorted(self._flags.mistakes, key=lambda mistake: mistake.line)
        return [*self._file.mistakes, *self._environment.mistakes, *flags]

    @property
    def sources(self) -> dict[str, str]:
        """Their texts by the name that mistakes call them, secrets covered."""
        return {self._file.name: self._file.source, SET_FLAG: self._flags.source, **self._environment.sources}
