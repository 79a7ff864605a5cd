"""The command line: exit codes, nearest words, nothing sent and nothing written for wrong input."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.console import OUTSIDE, explanations
from runner.command import main, make_parser
from steps import STEPS
from tests.e2e.virtual import FIRST, SCENARIOS
from venues import open_room

GOOD = SCENARIOS / "e2e_all.yaml"
BAD = "scenario: x\ntitle: y\nvenues: all\nmarket: perp\nsymbol: SOL\nside: buy\nsize: min\nsteps:\n  - markt_open\n"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for variable in open_room(FIRST).CREDENTIALS.values():
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(list(words), OUTSIDE)
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    return code, said.out, said.err


def test_help_and_version_need_nothing(capsys):
    """[client] --help and --version exit 0; no command at all shows the help and exits 2."""
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert "play" in out
    code, out, _ = run(capsys, "--version")
    assert (code, out.split()[0]) == (0, "runner")
    assert run(capsys)[0] == 2


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("play", "x.yaml", "--sead", "3"), "did you mean: --seed"),
        (("plya", "x.yaml"), "did you mean: play"),
        (("play", "x.yaml", "--on", "lve"), "did you mean: live"),
        (("play", "x.yaml", "--speed", "0"), "0.1 to 1000"),
        (("play", "x.yaml", "--speed", "nan"), "0.1 to 1000"),
        (("play", "x.yaml", "--seed", "-1"), "seed"),
        (("play", "x.yaml", "--seed", "one"), "18 digits"),
        (("sim", "serve", "--port-base", "70000"), "65000"),
        (("play",), "FILE"),
        (("sim",), "serve"),
    ],
)
def test_a_wrong_command_line_is_told_with_the_nearest_right_word(words, hint, capsys, empty_folder):
    """[client] Exit 2, one line that helps, nothing written."""
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert hint in err
    assert list(empty_folder.iterdir()) == []


@given(
    st.lists(
        st.sampled_from(["play", "check", "plan", "explain", "steps", "report", "--seed", "--on", "--venue", "--set"])
        | st.text(max_size=12).filter(lambda word: word not in ("sim", "recover", "doctor")),
        max_size=6,
    )
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_command_line_shows_a_traceback(words):
    """[ours] Whatever is typed: an exit code of the table, never an exception."""
    assert main(["check" if words[:1] == ["play"] else word for word in words], OUTSIDE) in (0, 2)


@pytest.mark.parametrize("style", ["text", "json", "github"])
def test_check_tells_mistakes_in_three_forms(style, capsys, empty_folder):
    """[client] Exit 2 with place and nearest word; json is one object with the promised keys."""
    (empty_folder / "bad.yaml").write_text(BAD, encoding="utf-8")
    code, out, err = run(capsys, "check", "bad.yaml", "--format", style)
    assert (code, err) == (2, "")
    assert "market_open" in out
    if style == "json":
        told = json.loads(out)
        assert (told["files"], told["mistakes"][0]["line"]) == (1, 9)
        assert set(told["mistakes"][0]) == {
            *("code", "file", "line", "column", "message", "found", "expected", "suggestion"),
        }
    else:
        assert "bad.yaml" in out


def test_check_of_good_files_says_so(capsys):
    """[client] Exit 0; every scenario that is shipped is good."""
    code, out, _ = run(capsys, "check", *(str(path) for path in sorted(SCENARIOS.rglob("*.yaml"))))
    assert code == 0
    assert "no mistakes" in out


def test_check_finds_a_strategy_that_does_not_exist(capsys, empty_folder):
    """[client] Only the engine knows strategies; check asks it."""
    text = BAD.replace("markt_open", "run_strategy: {name: smok}")
    (empty_folder / "s.yaml").write_text(text, encoding="utf-8")
    code, out, _ = run(capsys, "check", "s.yaml")
    assert code == 2
    assert "smoke" in out


def test_plan_shows_what_would_happen_and_does_nothing(capsys, empty_folder):
    """[client] Where, what, how long at most, what is done in words; no folder, no file."""
    code, out, err = run(capsys, "plan", str(GOOD), "--speed", "10", "--seed", "5")
    assert (code, err) == (0, "")
    for words in ("not executed", FIRST, "sol perp", "nothing was sent", "cleanup", "plan hash"):
        assert words in out.lower()
    assert list(empty_folder.iterdir()) == []


def test_every_code_has_its_page(capsys):
    """[client] `runner explain` knows each code that any output may carry, in any case of letters."""
    codes = explanations()
    assert len(codes) > 40
    exit_code, table, _ = run(capsys, "explain")
    assert exit_code == 0
    assert [line.split()[0] for line in table.splitlines()[:-2]] == sorted(codes)
    for code in codes:
        exit_code, out, _ = run(capsys, "explain", code.lower())
        assert exit_code == 0
        assert out.startswith(code)
        assert "What to do" in out
    exit_code, _, err = run(capsys, "explain", "MIN_SIZ")
    assert exit_code == 2
    assert "MIN_SIZE" in err


def test_every_verb_has_its_page(capsys):
    """[client] `runner steps` lists all verbs, and shows each with its settings."""
    code, table, _ = run(capsys, "steps")
    assert code == 0
    for verb in STEPS:
        assert verb in table
        code, out, _ = run(capsys, "steps", verb)
        assert code == 0
        assert verb in out


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"schema": "roundtrip/outcome/1"}', "\x00\xff"])
def test_report_of_what_is_no_run_is_refused_in_words(content, capsys, empty_folder):
    """[client] No such run, or a broken outcome.json: exit 2 and a sentence."""
    if content is not None:
        folder = empty_folder / "runs" / "20260105T000000Z-x"
        folder.mkdir(parents=True)
        (folder / "outcome.json").write_bytes(content.encode("latin-1"))
    code, out, err = run(capsys, "report", "20260105T000000Z-x")
    assert (code, out) == (2, "")
    assert err.strip()


def test_live_without_keys_names_every_variable_and_makes_no_run(capsys, empty_folder):
    """[client] Exit 2 before anything is sent; the variables of all venues at once."""
    (empty_folder / "config.yaml").write_text(
        "caps:\n  order_notional_usd: 20\n  total_notional_usd: 100\n", encoding="utf-8"
    )
    code, out, err = run(capsys, "play", str(GOOD), "--on", "live")
    assert (code, out) == (2, "")
    for variable in open_room(FIRST).CREDENTIALS.values():
        assert variable in err
    assert not (empty_folder / "runs").exists()


def test_live_without_caps_is_refused(capsys, empty_folder):
    """[client] The two notional caps are named; nothing is sent."""
    code, _, err = run(capsys, "play", str(GOOD), "--on", "live")
    assert code == 2
    assert "order_notional_usd" in err
    assert list(empty_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("flag", "content"),
    [
        ("--sims", None),
        ("--sims", "no json"),
        ("--sims", "[]"),
        ("--sims", '{"nowhere": {}}'),
        ("--sims", "{}"),
        ("--faults", None),
        ("--faults", "- {action: explode}"),
        ("--faults", "a: [b"),
        ("--config", None),
        ("--config", "sead: 3"),
    ],
)
def test_a_wrong_file_beside_the_scenario_is_refused(flag, content, capsys, empty_folder):
    """[client] --sims, --faults, --config: exit 2, the file named, no order; never a traceback."""
    if content is not None:
        (empty_folder / "beside").write_text(content, encoding="utf-8")
    code, _, err = run(capsys, "play", str(GOOD), flag, "beside")
    assert code == 2
    assert re.search(r"\n  [A-Z_]+  \(more: runner explain [A-Z_]+\)\n", err), err
    assert not (empty_folder / "runs").exists()


def test_a_scenario_that_is_no_file_is_a_mistake_like_any_other(capsys):
    """[client] Missing file and folder: exit 2."""
    for path in ("missing.yaml", "."):
        code, _, err = run(capsys, "play", path)
        assert code == 2
        assert path in err


def test_every_command_has_help(capsys):
    """[ours] `runner COMMAND --help` for each."""
    verbs = next(action for action in make_parser()._actions if action.dest == "verb")
    assert verbs.choices is not None
    for verb in verbs.choices:
        code, out, _ = run(capsys, verb, "--help")
        assert code == 0
        assert out.startswith(f"usage: runner {verb}")
