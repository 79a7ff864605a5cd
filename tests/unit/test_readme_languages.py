"""The two READMEs say the same, and the page of troubles names codes that exist."""

import re
from pathlib import Path

from app.console import explanations

ROOT = Path(__file__).resolve().parents[2]
ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
TROUBLES = (ROOT / "docs" / "TROUBLESHOOTING.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```\w*\n.*?^```$", re.MULTILINE | re.DOTALL)


def headings(text):
    return [len(marks) for marks in re.findall(r"^(#+) ", FENCE.sub("", text), re.MULTILINE)]


def links(text):
    return sorted({target for target in re.findall(r"\]\(([^)]+)\)", text) if not target.startswith("README")})


def rows(text):
    """Of each table, the code spans and numbers of its first cells."""
    cells = [line.split("|")[1].strip() for line in FENCE.sub("", text).splitlines() if line.startswith("|")]
    return [re.findall(r"`[^`]+`|^\d$", cell) for cell in cells]


def test_both_languages_show_the_same_commands_and_samples():
    """[client] Every block is the same, letter for letter and in the same order."""
    assert FENCE.findall(CHINESE) == FENCE.findall(ENGLISH)
    assert len(FENCE.findall(ENGLISH)) > 8


def test_both_languages_have_the_same_parts():
    """[client] Headings, tables row by row, lists and links; and each leads to the other."""
    assert headings(CHINESE) == headings(ENGLISH)
    assert rows(CHINESE) == rows(ENGLISH)
    assert links(CHINESE) == links(ENGLISH)
    assert len(re.findall(r"^- ", CHINESE, re.MULTILINE)) == len(re.findall(r"^- ", ENGLISH, re.MULTILINE))
    assert "(README.zh-CN.md)" in ENGLISH
    assert "(README.md)" in CHINESE


def test_both_languages_name_the_same_words_of_the_program():
    """[client] Commands, files, settings and codes in running text: nothing is told in one language only."""

    def spans(text):
        return set(re.findall(r"`([^`\n]+)`", FENCE.sub("", text)))

    assert spans(CHINESE) == spans(ENGLISH)


def test_the_page_of_troubles_names_codes_that_exist_each_once():
    """[client] Its headings are the codes that messages carry."""
    told = [
        code for line in re.findall(r"^### (.+)$", TROUBLES, re.MULTILINE) for code in re.findall(r"[A-Z_]{4,}", line)
    ]
    assert len(told) > 40
    assert sorted(told) == sorted(set(told))
    assert set(told) <= set(explanations())
