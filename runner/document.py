"""
One file as text with positions: bytes → text → a tree that knows where every name and value stands.

What a scenario means is no matter of this module; it refuses what is no text, no YAML, or holds a secret.
"""

from __future__ import annotations

import re
import warnings
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

from runner.mistakes import LINE_BREAK, Mistake
from runner.syntax import Fault, explain_syntax
from runner.values import BadValue, Plain, read_scalar

Node: TypeAlias = Any
"""A node of the YAML reader, whose own types would cost its import."""
MAX_BYTES: Final = 1_000_000
MAX_VALUES: Final = 100_000
MAX_DEPTH: Final = 12
_HIDDEN: Final = "•"
_CREDENTIAL_WORD: Final = (
    r"(?:api[_-]?key|(?:api[_-]?|client[_-]?)?secret(?:[_-]?key)?|private[_-]?key|pass[_-]?phrase"
    r"|password|passwd|mnemonic|seed[_-]?phrase|seed[_-]?hex|(?:access|api|auth|bearer)[_-]?token"
    r"|(?:ed25519|wallet|signing)[_-]?key)"
)
_CREDENTIAL_NAME: Final = rf"(?:[a-z0-9_-]*[_-])?{_CREDENTIAL_WORD}"
# Looked for anywhere in a text: with any beginning of a name a long word would take the square of its length.
_CREDENTIAL_ANYWHERE: Final = re.compile(_CREDENTIAL_WORD, re.IGNORECASE)
_CREDENTIAL_KEY: Final = re.compile(_CREDENTIAL_NAME, re.IGNORECASE)
_SECRET_LINE: Final = rf"""(?i)(?<![\w-]){_CREDENTIAL_NAME}["']?\s*[:=]\s*(.*)"""
_SECRET_VALUE: Final = re.compile(r"(?<![0-9A-Za-z])(?:0x)?[0-9a-fA-F]{64}(?![0-9A-Za-z])|-----BEGIN[ A-Z]*KEY-----")
_CORE_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("str", "int", "float", "bool", "null", "map", "seq", "merge", "timestamp", "value")
)


def is_secret_name(name: str) -> bool:
    """Whether a setting of this name would hold a secret."""
    return _CREDENTIAL_KEY.fullmatch(name) is not None


def is_secret_value(text: str) -> bool:
    """Whether a value looks like a private key."""
    return _SECRET_VALUE.search(text) is not None


class Item:
    """A value and where it stands. ``start`` and ``end`` count characters from 0."""

    __slots__ = ("end", "entries", "items", "plain", "size", "start", "text")

    def __init__(self, start: int, end: int, plain: Any, text: str = "") -> None:
        self.start = start
        self.end = end
        self.plain = plain
        """As JSON would hold it."""
        self.text = text
        """A scalar exactly as written, without quotes."""
        self.entries: dict[str, Entry] = {}
        self.items: list[Item] = []
        self.size = 1


class Entry:
    """A name and its value."""

    __slots__ = ("end", "item", "start")

    def __init__(self, start: int, end: int, item: Item) -> None:
        self.start = start
        self.end = end
        self.item = item


class Document:
    """A file's text, its tree (None when it has none) and the mistakes found so far."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.root: Item | None = None
        self.mistakes: list[Mistake] = []
        self._blamed: set[int] = set()
        self._lines = [0, *(match.end() for match in LINE_BREAK.finditer(text))]
        self._hidden: list[tuple[int, int]] = []

    def place(self, index: int) -> tuple[int, int]:
        """Line and column, from 1."""
        line = bisect_right(self._lines, index)
        return line, index - self._lines[line - 1] + 1

    def is_blamed(self, index: int) -> bool:
        """Whether a mistake already stands exactly here."""
        return index in self._blamed

    def blame(
        self,
        code: str,
        start: int,
        end: int,
        message: str,
        *,
        found: str | None = None,
        expected: str | None = None,
        suggestion: str | None = None,
    ) -> None:
        """
        Record a mistake about the characters from ``start`` to ``end``.

        One place is blamed once, save for lines that are missing there.
        """
        if code != "MISSING_KEY":
            if start in self._blamed:
                return
            self._blamed.add(start)
        line, column = self.place(start)
        stop = self._lines[line] if line < len(self._lines) else len(self.text)
        token = self.text[start : min(end, stop)].rstrip(" \r\n")
        if code != "SECRET_IN_FILE" and self._touches_secret(start, max(end, start + 1)):
            message = message.replace(token, "•••") if len(token) > 3 else message
            found, suggestion = "a value that is not shown", None
        self.mistakes.append(Mistake(code, self.name, line, column, message, found, expected, suggestion, len(token)))

    def blame_item(
        self, code: str, item: Item, message: str, *, expected: str | None = None, suggestion: str | None = None
    ) -> None:
        """Record a mistake about a value, saying what was found."""
        self.blame(code, item.start, item.end, message, found=describe(item), expected=expected, suggestion=suggestion)

    def masked(self) -> str:
        """The text with every secret covered, letter for letter, so that columns stay."""
        text = list(self.text)
        for start, end in self._hidden:
            for at in range(start, min(end, len(text))):
                if text[at] not in "\r\n":
                    text[at] = _HIDDEN
        return "".join(text)

    def hide(self, start: int, end: int) -> None:
        """Keep these characters out of everything shown."""
        self._hidden.append((start, end))

    def hide_secret_lines(self) -> None:
        """Cover what follows names of secrets; works on text that is no YAML too."""
        for match in _SECRET_VALUE.finditer(self.text):
            self.hide(*match.span())
        if not _CREDENTIAL_ANYWHERE.search(self.text):
            return
        secret_line = re.compile(_SECRET_LINE)
        for number, start in enumerate(self._lines):
            end = self._lines[number + 1] if number + 1 < len(self._lines) else len(self.text)
            named = secret_line.search(self.text, start, end)
            if named is None:
                continue
            self.hide(named.start(1), end)
            # A block of text under the name belongs to it.
            indent = _indent(self.text[start:end])
            for at in range(number + 1, len(self._lines)):
                stop = self._lines[at + 1] if at + 1 < len(self._lines) else len(self.text)
                line = self.text[self._lines[at] : stop]
                if line.strip() and _indent(line) <= indent:
                    break
                self.hide(self._lines[at], stop)

    def _touches_secret(self, start: int, end: int) -> bool:
        return any(a < end and start < b for a, b in self._hidden)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def describe(item: Item) -> str:
    """A value in words, short."""
    plain: Plain | list[Any] | dict[str, Any] = item.plain
    if isinstance(plain, dict):
        return f"settings: {', '.join(list(plain)[:5])}" if plain else "no settings"
    if isinstance(plain, list):
        return f"a list of {len(plain)}"
    if plain is None:
        return "nothing"
    short = item.text if len(item.text) <= 60 else item.text[:57] + "..."
    return f'the text "{short}"' if isinstance(plain, str) and re.fullmatch(r"[-+0-9.]+|true|false|", short) else short


def parse(name: str, data: bytes) -> Document:
    """
    A file's bytes as a document. Never raises: whatever is wrong stands in ``mistakes``, and ``root`` is None then.

    A secret or a doubled name is recorded too, but leaves a tree behind, so that the rest can still be checked.
    """
    document = _decoded(name, data)
    if document.mistakes:
        return document
    document.hide_secret_lines()
    if not document.text.strip():
        document.blame("FILE_EMPTY", 0, 0, "This file is empty.", expected="a scenario")
        return document
    try:
        node = _compose(document.text)
    except Fault as fault:
        document.blame(
            fault.code,
            fault.start,
            fault.end,
            fault.message,
            found=fault.found,
            expected=fault.expected,
            suggestion=fault.suggestion,
        )
        return document
    if node is None:
        document.blame("FILE_EMPTY", 0, 0, "This file holds only comments.", expected="a scenario")
        return document
    try:
        document.root = _Tree(document).item(node, 0)
    except Fault as fault:
        document.blame(fault.code, fault.start, fault.end, fault.message, expected=fault.expected)
    return document


def _decoded(name: str, data: bytes) -> Document:
    wanted = "a text saved as UTF-8"
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        document = Document(name, "")
        document.blame("FILE_ENCODING", 0, 0, "This file is saved as UTF-16.", found="UTF-16", expected=wanted)
        return document
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        start = len(data[: error.start].decode())
        document = Document(name, data.decode(errors="replace"))
        document.hide_secret_lines()
        message = "This file is not saved as UTF-8: it holds a byte that UTF-8 does not have."
        byte = f"the byte {data[error.start]:02X}"
        document.blame("FILE_ENCODING", start, start + 1, message, found=byte, expected=wanted)
        return document
    # Editors on Windows put this mark first; it means nothing in UTF-8.
    return Document(name, text.removeprefix("\ufeff"))


def _compose(text: str) -> Node:
    """
    Raises:
        Fault: the text is no YAML that a scenario may use.
    """
    from ruamel.yaml import YAML

    reader = YAML(typ="safe", pure=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            node: Node = reader.compose(text)
    except RecursionError:
        raise too_deep(_depth_index(text)) from None
    except Exception as error:
        # The reader also lets IndexError, ValueError or OverflowError through on damaged text.
        raise explain_syntax(error, text) from None
    return node


def too_deep(index: int) -> Fault:
    message = "Lists and groups stand inside each other too deeply."
    return Fault("YAML_DEEP", index, index + 1, message, expected=f"at most {MAX_DEPTH} levels")


def _depth_index(text: str) -> int:
    depth = 0
    for index, char in enumerate(text):
        depth += (char in "[{") - (char in "]}")
        if depth > MAX_DEPTH:
            return index
    # Depth by dashes or indentation: no single character tells it.
    return 0


class _Tree:
    """Turns nodes of the YAML reader into items; records doubled names, tags and secrets on the way."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._done: dict[int, Item] = {}

    def item(self, node: Node, depth: int) -> Item:
        if (known := self._done.get(id(node))) is not None:
            return known
        start, end = node.start_mark.index, node.end_mark.index
        if depth > MAX_DEPTH:
            raise too_deep(start)
        if node.tag not in _CORE_TAGS:
            word = str(node.tag).rsplit(":", 1)[-1]
            self._document.blame(
                "YAML_TAG",
                start,
                end,
                "Words that begin with ! are not used in scenarios.",
                found=word,
                expected="a plain text, or the text in quotes",
            )
        if isinstance(node.value, str):
            item = self._scalar(node.value, start, end, quoted=bool(node.style) or node.tag == "tag:yaml.org,2002:str")
        elif getattr(node, "id", "") == "mapping":
            item = Item(start, end, {})
            for key_start, key_end, key, value in self._pairs(node, depth):
                child = self.item(value, depth + 1)
                item.entries[key] = Entry(key_start, key_end, child)
                item.plain[key] = child.plain
                item.size += child.size
        else:
            item = Item(start, end, [])
            for value in node.value:
                child = self.item(value, depth + 1)
                item.items.append(child)
                item.plain.append(child.plain)
                item.size += child.size
        if item.size > MAX_VALUES:
            raise Fault("FILE_TOO_BIG", start, start, "This file holds too many values.", expected="at most 100,000")
        self._done[id(node)] = item
        return item

    def _scalar(self, text: str, start: int, end: int, *, quoted: bool) -> Item:
        if is_secret_value(text):
            self._document.hide(start, end)
            self._document.blame(
                "SECRET_IN_FILE",
                start,
                end,
                "This value looks like a private key, and a scenario may not hold secrets.",
                found="a value that is not shown",
                expected="secrets only in the environment",
            )
            return Item(start, end, None)
        if quoted:
            return Item(start, end, text, text)
        try:
            return Item(start, end, read_scalar(text), text)
        except BadValue as bad:
            found = text if len(text) <= 60 else text[:57] + "..."
            self._document.blame(
                bad.code, start, end, bad.message, found=found, expected=bad.expected, suggestion=bad.suggestion
            )
            return Item(start, end, None, text)

    def _pairs(self, node: Node, depth: int) -> Iterator[tuple[int, int, str, Node]]:
        merged: list[Node] = []
        lines: dict[str, int] = {}
        for key_node, value in node.value:
            start, end = key_node.start_mark.index, key_node.end_mark.index
            if not isinstance(key_node.value, str):
                # Blamed where the group begins, so that the group itself is not blamed as well.
                self._document.blame(
                    "YAML_BRACES",
                    node.start_mark.index,
                    end,
                    "Braces or brackets stand where a name is expected.",
                    expected="a name, or the whole text in quotes",
                )
                continue
            key = key_node.value
            if key == "<<" and not key_node.style:
                merged.extend(self._merged(value))
            elif key in lines:
                self._document.blame(
                    "DUPLICATE_KEY",
                    start,
                    end,
                    f"{key} is written twice; the first is in line {lines[key]}.",
                    found=f"{key}, for the second time",
                    expected="each name once",
                )
            elif is_secret_name(key):
                self._document.hide(value.start_mark.index, value.end_mark.index)
                self._document.blame(
                    "SECRET_IN_FILE",
                    start,
                    end,
                    f"{key} is a secret, and a scenario may not hold secrets.",
                    found=f"{key} (its value is not shown)",
                    expected="secrets only in the environment",
                )
            else:
                lines[key] = self._document.place(start)[0]
                yield start, end, key, value
        for other in merged:
            for start, end, key, value in self._pairs(other, depth + 1) if depth <= MAX_DEPTH else ():
                if key not in lines:
                    lines[key] = 0
                    yield start, end, key, value

    def _merged(self, value: Node) -> Sequence[Node]:
        parts = value.value if getattr(value, "id", "") == "sequence" else [value]
        groups = [part for part in parts if getattr(part, "id", "") == "mapping"]
        if len(groups) < len(parts):
            start, end = value.start_mark.index, value.end_mark.index
            message = "<< takes over a group of settings, and this is none."
            self._document.blame("WRONG_TYPE", start, end, message, expected="*name of an anchored group")
        return groups
