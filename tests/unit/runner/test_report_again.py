"""`runner report`: again, in another language, by an own template, and of a run that did not end."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from app.console import OUTSIDE
from runner.command import main

HERE = Path(__file__).resolve().parent
_spec = importlib.util.spec_from_file_location("runs_on_disk", HERE / "runs_on_disk.py")
assert _spec is not None
assert _spec.loader is not None
disk = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(disk)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def run(capsys, *words):
    code = main([str(word) for word in words], OUTSIDE)
    told = capsys.readouterr()
    return code, told.out, told.err


def test_a_run_cut_off_anywhere_still_makes_a_report(runs, capsys):
    """[client] From plan, events and timelines: it says UNFINISHED, shows what happened and proves nothing."""
    whole = disk.make_run(runs)
    events = (whole / "events.jsonl").read_bytes()
    for cut in (200, len(events) // 2, len(events) - 40):
        folder = disk.make_run(runs, f"cut-{cut}")
        (folder / "outcome.json").unlink()
        (folder / "events.jsonl").write_bytes(events[:cut])
        code, out, _ = run(capsys, "report", folder)
        assert (code, out) == (0, f"{folder / 'report.html'}\n")
        text = (folder / "report.md").read_text()
        assert "**Unfinished.** The run did not end; nothing proves that nothing is open." in text
        assert "## UNFINISHED RUN" in text
        assert "The exchange's own reading is missing" in text
        assert "UNFINISHED RUN" in (folder / "report.html").read_text()
        assert 'name="unfinished" value="yes"' in (folder / "junit.xml").read_text()
        assert not (folder / "outcome.json").exists()


def test_the_orders_of_a_cut_off_run_are_told_from_their_timelines(runs, capsys, tmp_path):
    """[client] Timelines in the shared log folder are found by their run and kept with it."""
    folder = disk.make_run(runs)
    orders = sorted((folder / "orders").glob("*.jsonl"))
    logged = tmp_path / "logs" / "orders"
    logged.mkdir(parents=True)
    for path in orders:
        path.rename(logged / path.name)
    other = json.loads((logged / orders[0].name).read_text().splitlines()[0])
    other["data"]["leg"] = "another-run/backpack/1"
    (logged / "backpack-SOL-1.jsonl").write_text(json.dumps(other) + "\n")
    (folder / "outcome.json").unlink()
    assert run(capsys, "report", folder)[0] == 0
    text = (folder / "report.md").read_text()
    assert [path.name for path in sorted((folder / "orders").glob("*"))] == [path.name for path in orders]
    assert text.count("Timeline: ") == len(orders)
    assert "| cancel_requested |" in text or "| fill_rest |" in text


def test_a_plan_is_no_run(runs, capsys):
    """[client] Nothing was played: no report, and words that say so."""
    folder = disk.make_run(runs)
    for name in ("outcome.json", "events.jsonl"):
        (folder / name).unlink()
    code, _, err = run(capsys, "report", folder)
    assert code == 2
    assert "this is a plan; nothing was played" in err
    (folder / "plan.json").unlink()
    assert "neither outcome.json nor plan.json" in run(capsys, "report", folder)[2]


def test_the_language_can_be_chosen(runs, capsys):
    """[client] --language zh, and back."""
    folder = disk.make_run(runs)
    run(capsys, "report", folder, "--language", "zh")
    assert "## 验收" in (folder / "report.md").read_text()
    run(capsys, "report", folder)
    assert "## Acceptance" in (folder / "report.md").read_text()


def test_an_own_template_sees_the_outcome_and_escapes_it(runs, capsys):
    """[client] The file stands beside the reports under the template's name; strangers' words stay words."""
    folder = disk.make_run(runs, sentence="<script>alert(1)</script> | all [well](http://evil.example)")
    Path("mine.html.j2").write_text("<h1>{{ outcome.sentence }}</h1><p>{{ totals.orders }} {{ t('Accepted') }}</p>")
    Path("mine.md.j2").write_text(
        "# {{ outcome.sentence }}\n{{ outcome.plays[0].orders | length | counted('order') }}\n"
    )
    code, out, _ = run(capsys, "report", folder, "--template", "mine.html.j2")
    assert (code, out) == (0, f"{folder / 'mine.html'}\n")
    assert "<h1>&lt;script&gt;alert(1)" in (folder / "mine.html").read_text()
    run(capsys, "report", folder, "--template", "mine.md.j2", "--language", "zh")
    text = (folder / "mine.md").read_text()
    assert "<script>" not in text
    assert r"\[well\]" in text
    assert "笔订单" in text


@pytest.mark.parametrize(
    ("name", "template", "words"),
    [
        ("a.html.j2", "one\n{{ outcome.nonsense }}", "a.html.j2:2: "),
        ("a.html.j2", "one\n{% for %}", "a.html.j2:2: "),
        ("a.html.j2", "{{ outcome.__class__.__mro__ }}", "a.html.j2"),
        ("a.html.j2", "{{ 1 / 0 }}", "a.html.j2:1: division by zero"),
        ("report.html.j2", "x", "report.html is a file of the run itself"),
        ("missing.html.j2", None, "missing.html.j2"),
    ],
)
def test_a_broken_template_is_told_with_its_line(runs, capsys, name, template, words):
    """[ours] No traceback, nothing written, nothing of this machine in reach."""
    folder = disk.make_run(runs)
    if template is not None:
        Path(name).write_text(template)
    code, _, err = run(capsys, "report", folder, "--template", name)
    assert code == 2
    assert words in err
    assert not (folder / "a.html").exists()


def test_a_scenario_may_ask_for_its_language(tmp_path):
    """[client] ``report: {language: zh}`` reaches the scenario; another word is a mistake with its place."""
    from runner.load import load_scenarios

    file = tmp_path / "x.yaml"
    file.write_text(disk.SCENARIO + "report: {language: zh}\n")
    found = load_scenarios([str(file)], known_venues=("backpack",))
    assert (list(found.mistakes), found.scenarios[0].language) == ([], "zh")
    file.write_text(disk.SCENARIO + "report: {language: fr}\n")
    (mistake,) = load_scenarios([str(file)], known_venues=("backpack",)).mistakes
    assert (mistake.code, mistake.line) == ("UNKNOWN_CHOICE", disk.SCENARIO.count("\n") + 1)


def test_timelines_are_kept_with_their_run(runs, tmp_path):
    """[ours] A copy of every order's timeline; one that cannot be copied is an error of the outcome."""
    import msgspec

    from runner.evidence import keep_timelines
    from runner.outcome import Outcome

    folder = disk.make_run(runs)
    outcome = msgspec.json.decode((folder / "outcome.json").read_bytes(), type=Outcome)
    away = tmp_path / "orders"
    (folder / "orders").rename(away)
    assert keep_timelines(folder, outcome, away) is outcome
    assert {path.name for path in (folder / "orders").iterdir()} == {path.name for path in away.iterdir()}
    next(away.iterdir()).unlink()
    told = keep_timelines(folder, outcome, away)
    assert [notice.code for notice in told.errors] == ["LOG_INCOMPLETE"]
