"""A command line with a slip in it is told like every other mistake."""

import re

import pytest

from app.console import OUTSIDE
from runner.command import main

SECRET = "ab" * 32


def told(capsys, *words):
    assert main(list(words), OUTSIDE) == 2
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


@pytest.mark.parametrize(
    ("words", "code", "marked", "mended"),
    [
        ("play x.yaml --sead 3", "UNKNOWN_FLAG", "--sead", "--seed"),
        ("play x.yaml --sead=3", "UNKNOWN_FLAG", "--sead", "--seed"),
        ("check x.yaml --formt json", "UNKNOWN_FLAG", "--formt", "--format"),
        ("check x.yaml --format githb", "UNKNOWN_CHOICE", "githb", "github"),
        ("check x.yaml --format=githb", "UNKNOWN_CHOICE", "githb", "github"),
        ("plya x.yaml", "UNKNOWN_CHOICE", "plya", "play"),
        ("sim serv", "UNKNOWN_CHOICE", "serv", "serve"),
        ("play x.yaml --speed 0", "FLAG_VALUE", "0", None),
        ("play x.yaml --speed=fast", "FLAG_VALUE", "fast", None),
        ("play x.yaml --seed --on sim", "FLAG_VALUE", "--seed", None),
        ("play x.yaml --se 3", "UNKNOWN_FLAG", "--se", None),
        ("explain A B", "UNKNOWN_FLAG", "B", None),
        ("explain acount_locked", "UNKNOWN_CHOICE", "acount_locked", "ACCOUNT_LOCKED"),
        ("explain WRONG", "UNKNOWN_CHOICE", "WRONG", None),
        ("steps markt_close", "UNKNOWN_STEP", "markt_close", "market_close"),
        ("steps WRONG", "UNKNOWN_STEP", "WRONG", None),
        ("play", "FLAG_VALUE", "", None),
    ],
)
def test_a_slip_has_place_caret_nearest_word_and_code(words, code, marked, mended, capsys):
    """[client] The one shape of all mistakes, with the command line as its text."""
    lines = told(capsys, *words.split()).splitlines()
    (at,) = [number for number, line in enumerate(lines) if re.fullmatch(r" +\| *\^+", line)]
    start, end = lines[at].index("^"), len(lines[at])
    assert lines[at - 1][start:end] == marked
    assert lines[1] == f"  command line:1:{start - len('  1 | ') + 1}"
    assert any(line.startswith("  expected: ") for line in lines)
    assert lines[-1] == f"  {code}  (more: runner explain {code})"
    assert (f"  did you mean: {mended}" in lines) == (mended is not None)
    assert len(lines) <= 12


@pytest.mark.parametrize("words", ["doctor --venue okxx", "sim serve --venue okxx"])
def test_an_exchange_that_does_not_exist_is_told_before_anything_is_reached(words, capsys):
    """[client] Caret, nearest word and code, as for a play."""
    text = told(capsys, *words.split())
    assert "  1 | okxx\n    | ^^^^\n" in text
    assert "did you mean: okx\n" in text
    assert text.endswith("UNKNOWN_VENUE  (more: runner explain UNKNOWN_VENUE)\n")


def test_all_unknown_flags_are_told_at_once(capsys):
    """[client] One pass."""
    text = told(capsys, "play", "x.yaml", "--sead", "3", "--vanue", "okx")
    assert text.count("UNKNOWN_FLAG  (") == 2
    assert "did you mean: --seed" in text
    assert "did you mean: --venue" in text


@pytest.mark.parametrize(
    "words",
    [
        ("play", "x.yaml", "--api-secret", "hunter2"),
        ("play", "x.yaml", "--api-secret=hunter2"),
        ("play", "x.yaml", "--set", "api_secret=hunter2", "--foo"),
        ("play", "x.yaml", "--set=api_secret=hunter2", "--foo"),
        (SECRET,),
        ("play", "x.yaml", "--on", SECRET),
        ("explain", "A", SECRET),
    ],
)
def test_what_may_be_a_secret_is_covered(words, capsys):
    """[client] A value typed behind the wrong flag is not repeated on the screen."""
    text = told(capsys, *words)
    assert "hunter2" not in text
    assert SECRET not in text


def test_a_strategy_that_does_not_exist_is_marked_by_its_name(capsys, tmp_path, monkeypatch):
    """[client] The caret stands under the name, and the corrected line is the scenario's with that name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text("scenario: s\nvenues: all\nsymbol: SOL\nsteps:\n  - run_strategy: {name: smok}\n")
    assert main(["check", "s.yaml"], OUTSIDE) == 2
    text = capsys.readouterr().out
    assert "s.yaml:5:26" in text
    assert "  write:    - run_strategy: {name: smoke}\n" in text


def test_a_strategys_number_that_is_no_number_is_told_before_the_play(capsys, tmp_path, monkeypatch):
    """[client] Every argument of every step is looked at before anything starts, inputs included."""
    monkeypatch.chdir(tmp_path)
    head = "scenario: s\nvenues: all\nsymbol: SOL\ninputs:\n  n: {type: text, default: two}\nsteps:\n"
    (tmp_path / "s.yaml").write_text(
        f"{head}  - run_strategy: {{name: patient, params: {{rounds: $n, interval_secs: 5s}}}}\n"
    )
    assert main(["play", "s.yaml"], OUTSIDE) == 2
    text = capsys.readouterr().err
    for words in ("s.yaml:5:28", "s.yaml:7:71", "rounds of the strategy patient takes a number.", "1 file, 2 mistakes"):
        assert words in text, words
    assert not (tmp_path / "runs").exists()
