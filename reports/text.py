"""
Words of strangers made safe to show. Exchanges, scenario files and endpoints may say anything; a report shows what
they said, on one line, without letting it draw, link, reorder or hide anything.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from functools import lru_cache
from typing import Final

from core.precision import plain

LONGEST: Final = 400
"""Characters of one text that a report shows; the whole stands in outcome.json."""
LONGEST_BLOCK: Final = 20_000


_EDGE: Final = re.compile(r"^ +| +$")


class Markdown(str):
    """Markdown that we wrote ourselves: it goes into the report as it is."""

    __slots__ = ()


def visible(text: str, longest: int = LONGEST) -> str:
    """
    One line of characters that can all be seen.

    A line break becomes ``↵``, a control character its picture (``␀``), and what would reorder or hide text
    (bidirectional marks, zero-width characters, lone surrogates, unassigned code points) its number: ``⟨U+202E⟩``.
    """
    if len(text) > longest:
        text = f"{text[:longest]}… ({len(text)} characters, whole in outcome.json)"
    if not text.isprintable():
        text = text.replace("\r\n", "\n").replace("\t", " ")
        text = "".join(char if char.isprintable() else _seen(char) for char in text)
    # Four blanks would open a code block; one is enough to keep words apart.
    return _EDGE.sub(" ", text)


def _seen(char: str) -> str:
    code = ord(char)
    if char == "\n":
        return " ↵ "
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if unicodedata.category(char) == "Zs":
        return " "
    return f"⟨U+{code:04X}⟩"


def block(text: str) -> str:
    """The same for a text of several lines, such as a scenario file; no line is dropped, tabs become spaces."""
    cut = text if len(text) <= LONGEST_BLOCK else f"{text[:LONGEST_BLOCK]}\n… ({len(text)} characters in all)"
    lines = cut.expandtabs(4).replace("\r\n", "\n").split("\n")
    return "\n".join(
        line if line.isprintable() else "".join(char if char.isprintable() else _seen(char) for char in line)
        for line in lines
    ).rstrip()


# Entities instead of backslashes where a careless reader of Markdown, or a table splitter, would still see the sign.
_ENTITIES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;"})
# Emphasis, links, math, mentions. An underscore within a word (tracking_open) is no emphasis and stays readable.
_SIGNS: Final = re.compile(r"[\\*~\[\]$@]|(?<![^\W_])_|_(?![^\W_])")
# Bare addresses, which some readers turn into links on their own.
_ADDRESS: Final = re.compile(r"(?i)(:)(//)|(www)(\.)|(mailto|xmpp)(:)")
# What would start a heading, list, rule or quote at the beginning of a line.
_OPENING: Final = re.compile(
    r"^(?P<lead> ?)(?:(?P<bare>#+|[-+=](?=[-+=\s]|$)|:(?=[-:]))|(?P<number>\d{1,9})(?P<dot>[.)])(?=\s|$))"
)


def _opening(match: re.Match[str]) -> str:
    return match["lead"] + (f"\\{match['bare']}" if match["bare"] else f"{match['number']}\\{match['dot']}")


@lru_cache(maxsize=4096)
def escaped(text: str) -> Markdown:
    """``text`` as Markdown that shows exactly its visible characters, in a paragraph, a list or a table cell."""
    safe = _SIGNS.sub(lambda match: f"\\{match[0]}", visible(text)).translate(_ENTITIES)
    safe = _ADDRESS.sub(lambda match: "\\".join(part for part in match.groups() if part), safe)
    return Markdown(_OPENING.sub(_opening, safe))


def cell(value: object) -> str:
    """What a template's ``{{ value }}`` becomes: our own Markdown as it is, nothing as a dash, all else escaped."""
    if isinstance(value, Markdown):
        return value
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return escaped(str(value))


def fence(text: str) -> Markdown:
    """``text`` as a code block whose fence is longer than any run of tildes in it."""
    body = block(text)
    longest = max((len(run) for run in re.findall("~+", body)), default=0)
    rail = "~" * max(3, longest + 1)
    return Markdown(f"{rail}\n{body}\n{rail}")


def rounded(number: str | None, decimals: int) -> str | None:
    """A decimal text with at most ``decimals`` decimals, trailing zeros cut; half goes to even."""
    if number is None:
        return None
    with localcontext(prec=120):
        value = Decimal(number)
        exponent = value.as_tuple().exponent
        if isinstance(exponent, int) and -exponent <= decimals:
            return number
        return plain(value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_EVEN))
