"""The HTML form: our own Markdown made into one page that runs nothing and asks the network for nothing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache, lru_cache
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markupsafe import Markup

from reports.language import Tongue

JUDGED: Final = ("Verdict", "Status", "Decision", "Signature")
"""Heads of columns whose ticks and crosses are coloured."""
_NUMBER: Final = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.(\d+))?|[-+]?\d+(?:\.(\d+))?")
_FIGURE, _POINT = "\u2007", "\u2008"


_PUNCTUATION: Final = r"[!-/:-@\[-`{-~]"
_PLAIN: Final = re.compile(rf"(?:[^\\`*_\[\]<>&!~]|(?<=[^\W_])_(?=[^\W_])|\\{_PUNCTUATION})*")
"""Text whose only Markdown is backslashes before punctuation; an underscore within a word is none."""
_ESCAPED: Final = re.compile(rf"\\({_PUNCTUATION})")
_BORDER: Final = re.compile(r"(?<!\\)\|")
_RULE: Final = re.compile(r"\|(?: :?-+:? \|)+")


@cache
def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False})
    reader.disable(["link", "image", "autolink", "reference", "html_inline", "html_block"])
    return reader


def to_html(markdown: str, t: Tongue) -> Markup:
    """Markdown of ours as HTML: numbers of a column aligned on the point, verdicts marked, nothing raw, no links."""
    judged = {t.line(head) for head in JUDGED}
    made = [
        _table(lines, judged) if table else _reader().render("\n".join(lines)) for table, lines in _blocks(markdown)
    ]
    return Markup("".join(made))  # noqa: S704 - markdown-it and _inline escape text


def _blocks(markdown: str) -> Iterator[tuple[bool, list[str]]]:
    """
    Tables apart from everything else: whether it is one, and its lines. A report of a thousand orders is tables for the
    most part, and a general reader takes seconds for them.
    """
    lines = markdown.split("\n")
    others: list[str] = []
    rail, at = "", 0
    while at < len(lines):
        line = lines[at]
        if rail or line.startswith("~~~"):
            # Inside a fence everything is text; it ends with the rail that it began with.
            rail = "" if line == rail else rail or line
        elif line.startswith("| ") and not (at and lines[at - 1]) and _RULE.fullmatch("".join(lines[at + 1 : at + 2])):
            if others:
                yield False, others
                others = []
            end = at
            while end < len(lines) and lines[end].startswith("|"):
                end += 1
            yield True, lines[at:end]
            at = end
            continue
        others.append(line)
        at += 1
    if others:
        yield False, others


def _cells(line: str) -> list[str]:
    return [text.strip().replace("\\|", "|") for text in _BORDER.split(line.strip())[1:-1]]


@lru_cache(maxsize=4096)
def _inline(text: str) -> str:
    """One line of Markdown as HTML, without the reader where there is nothing to read."""
    if _PLAIN.fullmatch(text):
        return escapeHtml(_ESCAPED.sub(r"\1", text))
    return str(_reader().renderInline(text))


def _table(lines: Sequence[str], judged: Collection[str]) -> str:
    heads = _cells(lines[0])
    right = [rule.endswith(":") and not rule.startswith(":") for rule in _cells(lines[1])]
    rows = [_cells(line)[: len(heads)] for line in lines[2:]]
    tails = [
        _tails([row[place] for row in rows if place < len(row)]) if right[place] else {} for place in range(len(heads))
    ]
    # A wide table scrolls in its own box; the box takes the keyboard's focus, or nobody without a mouse could.
    made = ['<div class="scroll" tabindex="0"><table>\n<thead>\n<tr>\n']
    for head, number in zip(heads, right, strict=True):
        made.append(f'<th{_NUMERIC if number else ""} scope="col">{_inline(head)}</th>\n')
    made.append("</tr>\n</thead>\n")
    if rows:
        made.append("<tbody>\n")
    for row in rows:
        made.append("<tr>\n")
        for place, head in enumerate(heads):
            text = row[place] if place < len(row) else ""
            if right[place]:
                made.append(f"<td{_NUMERIC}>{_inline(text)}{tails[place].get(text, '')}</td>\n")
            elif head in judged:
                colour = {"✓": "good", "✗": "bad"}.get(text[:1], "open")
                made.append(f'<td class="{colour}">{_inline(text)}</td>\n')
            else:
                made.append(f"<td>{_inline(text)}</td>\n")
        made.append("</tr>\n")
    if rows:
        made.append("</tbody>\n")
    made.append("</table></div>\n")
    return "".join(made)


_NUMERIC: Final = ' class="n"'


def _tails(texts: Iterable[str]) -> dict[str, str]:
    """Blanks as wide as a digit behind the numbers of one column, so that their decimal points stand in line."""
    matches = {text: match for text in texts if (match := _NUMBER.fullmatch(text))}
    longest = max((len(_decimals(match)) for match in matches.values()), default=0)
    if not 0 < longest <= 12:
        return {}
    return {
        text: ("" if _decimals(match) else _POINT) + _FIGURE * (longest - len(_decimals(match)))
        for text, match in matches.items()
    }


def _decimals(match: re.Match[str]) -> str:
    return match[1] or match[2] or ""


@cache
def pages() -> Environment:
    """The page's frame; what it prints is escaped for HTML."""
    return Environment(
        loader=PackageLoader("reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
