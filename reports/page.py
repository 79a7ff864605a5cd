"""The HTML form: our own Markdown made into one page that runs nothing and asks the network for nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from reports.language import Tongue

JUDGED: Final = ("Verdict", "Status", "Decision", "Signature")
"""Heads of columns whose ticks and crosses are coloured."""
_NUMBER: Final = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.(\d+))?|[-+]?\d+(?:\.(\d+))?")
_FIGURE, _POINT = "\u2007", "\u2008"


@cache
def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.disable(["link", "image", "autolink", "reference", "html_inline", "html_block"])
    reader.add_render_rule("table_open", _open_table)
    reader.add_render_rule("table_close", _close_table)
    return reader


def _open_table(_self: Any, _tokens: Sequence[Token], _index: int, _options: Any, _env: Any) -> str:
    # A wide table scrolls in its own box; the box takes the keyboard's focus, or nobody without a mouse could.
    return '<div class="scroll" tabindex="0"><table>\n'


def _close_table(_self: Any, _tokens: Sequence[Token], _index: int, _options: Any, _env: Any) -> str:
    return "</table></div>\n"


def to_html(markdown: str, t: Tongue) -> Markup:
    """Markdown of ours as HTML: numbers of a column aligned on the point, verdicts marked, nothing raw, no links."""
    reader, judged = _reader(), {t.line(head) for head in JUDGED}
    tokens = reader.parse(markdown)
    heads: list[str] = []
    columns: dict[int, list[Token]] = {}
    for index, token in enumerate(tokens):
        match token.type:
            case "table_open":
                heads, columns = [], {}
            case "th_open":
                heads.append(tokens[index + 1].content)
                _right(token)
                token.attrSet("scope", "col")
            case "tr_open":
                column = 0
            case "td_open":
                text = tokens[index + 1]
                if _right(token):
                    columns.setdefault(column, []).append(text)
                elif heads[column] in judged:
                    token.attrSet("class", {"✓": "good", "✗": "bad"}.get(text.content[:1], "open"))
                column += 1
            case "table_close":
                for texts in columns.values():
                    _align(texts)
    return Markup(reader.renderer.render(tokens, reader.options, {}))  # noqa: S704 - markdown-it escapes text


def _right(token: Token) -> bool:
    right = "right" in str(token.attrs.pop("style", ""))
    if right:
        token.attrSet("class", "n")
    return right


def _align(texts: Sequence[Token]) -> None:
    """Pad the numbers of one column with blanks as wide as a digit, so that their decimal points stand in line."""
    matches = [(text, _NUMBER.fullmatch(text.content)) for text in texts]
    longest = max((len(_decimals(match)) for _, match in matches if match), default=0)
    if not 0 < longest <= 12:
        return
    for text, match in matches:
        if match and text.children:
            decimals = _decimals(match)
            text.children[-1].content += ("" if decimals else _POINT) + _FIGURE * (longest - len(decimals))


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
