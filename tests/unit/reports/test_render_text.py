"""Words of strangers stay words, wherever a template puts them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from reports.text import Markdown, block, cell, escaped, fence, rounded, visible

READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
ANY = st.text(st.characters() | st.sampled_from("\\`*_{}[]()<>#+-.!|~&;:=@$/ \n\t0123456789"), max_size=60)


def read_back(token):
    assert {child.type for child in token.children} <= {"text", "text_special"}
    return "".join(child.content for child in token.children)


@given(ANY)
def test_any_text_reads_back_from_a_paragraph(text):
    """[ours] One paragraph, plain text only, exactly the visible characters."""
    tokens = READER.parse(str(escaped(text)))
    if not visible(text).strip():
        assert tokens == []
        return
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert read_back(tokens[1]) == visible(text).strip(" ")


@given(ANY)
def test_any_text_reads_back_from_a_table_cell(text):
    """[ours] A cell stays one cell of one row."""
    tokens = READER.parse(f"| a | b |\n| --- | --- |\n| {escaped(text)} | end |\n")
    cells = [tokens[index + 1] for index, token in enumerate(tokens) if token.type == "td_open"]
    assert [token.type for token in tokens].count("tr_open") == 2
    assert len(cells) == 2
    assert read_back(cells[0]) == visible(text).strip(" ")


@given(ANY)
def test_any_text_reads_back_from_a_list_and_from_bold(text):
    """[ours] Neither a list entry nor emphasis around it is broken out of."""
    tokens = READER.parse(f"- {escaped('x' + text)}\n")
    inline = [token for token in tokens if token.type == "inline"]
    assert len(inline) == 1
    assert read_back(inline[0]) == visible("x" + text).rstrip(" ")
    bold = READER.parse(f"**x{escaped(text)}x** end")
    assert [token.type for token in bold] == ["paragraph_open", "inline", "paragraph_close"]


@given(ANY)
def test_any_text_stays_inside_its_fence(text):
    """[ours] A scenario file cannot end the code block that shows it."""
    tokens = READER.parse(f"{fence(text)}\n\nafter")
    assert [token.type for token in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]
    assert tokens[0].content == block(text) + "\n"


@given(st.text())
def test_every_shown_character_can_be_seen(text):
    """[ours] Nothing that hides, reorders or controls is left, in one line or in a block."""
    assert all(char.isprintable() for char in visible(text))
    assert all(line.isprintable() for line in block(text).split("\n"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\r\nb\tc", "a ↵ b c"),
        ("\x00\x1b\x7f", "␀␛␡"),
        ("\u202eabc", "⟨U+202E⟩abc"),
        ("\ud800", "⟨U+D800⟩"),
        ("caf\u00e9 \u05e9\u05dc\u05d5\u05dd 漢字", "caf\u00e9 \u05e9\u05dc\u05d5\u05dd 漢字"),
        ("a\u00a0b", "a b"),
        ("    code", " code"),
    ],
)
def test_what_cannot_be_seen_is_spelled_out(text, shown):
    """[ours] Letters of every script stay, invisible signs get a picture or a number."""
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("<script>", "&lt;script&gt;"),
        ("https://evil.example", "https:\\//evil.example"),
        ("www.evil.example", "www\\.evil.example"),
        ("tracking_open", "tracking_open"),
        ("-0.05", "-0.05"),
        ("0.05", "0.05"),
        ("- item", "\\- item"),
        ("1. item", "1\\. item"),
    ],
)
def test_markdown_stays_readable_where_it_is_harmless(text, markdown):
    """[ours] Names and numbers look as they are; markup, addresses and list marks are broken."""
    assert escaped(text) == markdown


def test_our_own_markdown_and_nothing_are_told_apart():
    """[ours] A template prints its own Markdown as it is, nothing as a dash, yes and no as words."""
    assert cell(Markdown("**x**")) == "**x**"
    assert [cell(value) for value in (None, "", True, False, 7)] == ["–", "–", "yes", "no", "7"]


@pytest.mark.parametrize(
    ("number", "decimals", "wanted"),
    [
        ("140.123456789", 8, "140.12345679"),
        ("-0.71326676", 2, "-0.71"),
        ("0.004", 2, "0"),
        ("-0.001", 2, "0"),
        ("12", 2, "12"),
        ("9" * 79 + ".9", 0, "1" + "0" * 79),
        (None, 2, None),
    ],
)
def test_a_number_is_rounded_in_decimal(number, decimals, wanted):
    """[ours] No float, no exponent, no lost digit before the point."""
    assert rounded(number, decimals) == wanted
