"""Every broken file of tests/broken gets exactly the wanted mistakes, in words for people."""

import json
import re
from pathlib import Path

import pytest

from runner.load import load_scenarios
from runner.mistakes import SCENARIO_CODES, render_github, render_json, render_text
from steps import CODES as STEP_CODES
from venues.errors import CODES

BROKEN = Path(__file__).resolve().parents[2] / "broken"
WANTED = json.loads((BROKEN / "wanted.json").read_text())
KNOWN = ["backpack", "binance", "hyperliquid", "lighter", "okx"]
ALIEN = re.compile(
    r"traceback|additionalpropert|is not valid|is not of type|schema|instance|regex|\bpattern\b|does not match|ruamel|"
    r"nonetype|(?-i:\bNone\b)|\['|\{'|\bmapping\b|\bscalar\b|\btoken '|block end|<stream|sequence|Exception|Error\b|"
    r"unevaluated|anyOf|oneOf|Decimal\(|\bdict\b|\bstr\b|\bint\b|\bfloat\b",
    re.IGNORECASE,
)
OUTSIDE = {  # codes that no file of the corpus can show: tested in test_load.py, test_flags.py and test_history.py
    "FILE_MISSING",
    "FILE_IS_FOLDER",
    "FILE_UNREADABLE",
    "FILE_TOO_BIG",
    "SET_SYNTAX",
    "UNKNOWN_RUN",
    "UNKNOWN_FLAG",
    "FLAG_VALUE",
}


def load(*names):
    return load_scenarios([BROKEN / name for name in names], known_venues=KNOWN, on="sim")


def test_the_corpus_is_large_and_has_an_answer_for_every_file():
    """[ours] A broken file without a wanted answer proves nothing."""
    assert sorted(WANTED) == sorted(path.name for path in BROKEN.glob("*.yaml"))
    assert len(WANTED) >= 60


@pytest.mark.parametrize("name", sorted(WANTED))
def test_a_broken_file_gets_its_wanted_mistakes(name):
    """[client] Code, line, column, marked length and nearest right word of every mistake are as written down."""
    result = load(name)
    got = [[m.line, m.column, m.length, m.code, m.suggestion] for m in result.mistakes]
    assert got == WANTED[name]
    assert result.scenarios == ()


@pytest.mark.parametrize("name", sorted(WANTED))
def test_a_mistake_is_told_in_the_readers_words_and_twelve_lines(name):
    """[client] No traceback, no container in Python's writing, no vocabulary of validators."""
    result = load(name)
    for mistake in result.mistakes:
        block = render_text([mistake], result.sources, 1).split("\n\n")[0]
        assert len(block.splitlines()) <= 12
        told = " ".join(filter(None, (mistake.message, mistake.expected)))
        assert not ALIEN.search(told), told
        assert mistake.message[-1] == "."
        assert mistake.expected
        assert mistake.code in block
        assert f"runner explain {mistake.code}" in block


@pytest.mark.parametrize("name", sorted(WANTED))
def test_the_caret_stands_under_what_was_found(name):
    """[client] The marks cover the very characters that the place and length name."""
    result = load(name)
    for mistake in result.mistakes:
        lines = render_text([mistake], result.sources, 1).splitlines()
        marks = [at for at, line in enumerate(lines) if re.fullmatch(r" +\| *\^+", line)]
        if not marks:
            assert not result.sources[mistake.file].strip("# ")
            continue
        caret, above = lines[marks[0]], lines[marks[0] - 1]
        start, end = caret.index("^"), len(caret)
        source = re.split(r"\r\n|\n|\r", result.sources[mistake.file])[mistake.line - 1]
        token = source[mistake.column - 1 : mistake.column - 1 + mistake.length]
        if token.isascii() and 0 < len(token) < 50:
            assert above[start:end] == token.replace("\t", "→").replace("\x07", "·")


def test_all_faults_of_all_files_come_in_one_pass_in_order_of_position():
    """[client] Files in the order given, places from top to bottom, and a closing line that counts both."""
    names = ["unknown_steps.yaml", "odd_sizes.yaml", "colon_in_title.yaml"]
    result = load(*names)
    files = [Path(m.file).name for m in result.mistakes]
    assert list(dict.fromkeys(files)) == names
    for name in names:
        places = [(m.line, m.column) for m in result.mistakes if m.file.endswith(name)]
        assert places == sorted(places)
    total = sum(len(WANTED[name]) for name in names)
    text = render_text(result.mistakes, result.sources, result.files)
    assert text.endswith(f"\n3 files, {total} mistakes\n")


def test_every_code_has_a_page_and_every_page_a_case():
    """[ours] `runner explain` knows each code, and each page can really be reached."""
    seen = {row[3] for rows in WANTED.values() for row in rows}
    # Some words are those of exchanges and of steps, which have their pages.
    assert (seen - {*CODES, *STEP_CODES}) | OUTSIDE == set(SCENARIO_CODES)
    assert not seen & OUTSIDE
    for page in SCENARIO_CODES.values():
        assert page.meaning.endswith(".")
        assert page.next_move
        assert page.example
        assert not ALIEN.search(page.meaning + page.next_move)


def test_no_secret_of_a_broken_file_is_shown_anywhere():
    """[client] Canaries planted in the corpus never come out, neither in context lines nor in what was found."""
    names = [name for name in WANTED if b"canary" in (BROKEN / name).read_bytes()]
    assert len(names) >= 3
    result = load(*names)
    shown = (
        render_text(result.mistakes, result.sources, 3)
        + render_json(result.mistakes, 3)
        + render_github(result.mistakes)
        + "".join(result.sources.values())
        + repr(result)
    )
    assert "canary" not in shown
    assert "abababab" not in shown


def test_the_json_form_is_one_object_of_the_documented_shape():
    """[client] Lines and columns count from 1, and no other keys appear."""
    result = load("unknown_steps.yaml")
    told = json.loads(render_json(result.mistakes, result.files))
    assert told["files"] == 1
    keys = {"code", "file", "line", "column", "message", "found", "expected", "suggestion"}
    assert all(set(row) == keys for row in told["mistakes"])
    assert told["mistakes"][0]["line"] == 5
    assert told["mistakes"][0]["column"] == 5
    assert told["mistakes"][0]["suggestion"] == "tracking_open"
