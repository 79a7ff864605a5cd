"""The runs of this machine in a table, compared, and as a trend in the report."""

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


def sign(capsys, folder, *more, decision="accept"):
    return run(capsys, "sign", folder, "--name", "Ann Lee", "--role", "Trading", "--decision", decision, *more)


def test_the_table_tells_when_what_where_verdict_and_signer(runs, capsys):
    """[client] One line a run, oldest first: finished, unfinished and only planned."""
    done = disk.make_run(runs, "20260105T000000Z-a")
    cut = disk.make_run(runs, "20260105T000001Z-b")
    (cut / "outcome.json").unlink()
    plan = runs / "20260105T000002Z-c"
    plan.mkdir()
    (plan / "plan.json").write_bytes((done / "plan.json").read_bytes())
    (runs / "stray.yaml").write_text("x: 1")
    sign(capsys, done)
    code, out, _ = run(capsys, "runs")
    assert code == 0
    head, *lines = out.splitlines()
    assert head.split() == ["WHEN", "RUN", "SCENARIO", "VENUES", "ON", "VERDICT", "SIGNED", "BY"]
    told = {line.split("Z-")[1][0]: line for line in lines}
    assert len(lines) == 3
    assert "2026-01-05 00:00:00 UTC  20260105T000000Z-a  small" in told["a"]
    assert told["a"].endswith("accepted      Ann Lee (accept)")
    assert "unfinished" in told["b"]
    assert "only planned" in told["c"]


def test_a_broken_seal_stands_in_the_table(runs, capsys):
    """[ours] Nobody reads a name beside a run that was changed after it was signed."""
    folder = disk.make_run(runs)
    sign(capsys, folder)
    (folder / "inputs.json").write_text("{}")
    _, out, _ = run(capsys, "runs")
    assert "BROKEN SEAL" in out
    assert "Ann Lee" not in out


def test_the_table_is_also_json(runs, capsys):
    """[ours] For programs."""
    disk.make_run(runs)
    _, out, _ = run(capsys, "runs", "--format", "json")
    (row,) = json.loads(out)
    assert (row["scenario"], row["venues"], row["on"], row["verdict"]) == ("small", "backpack", "sim", "accepted")


def test_a_comparison_marks_what_changed(runs, capsys):
    """[client] Verdicts, attempts, slippage and latency side by side; what is equal has no mark."""
    one = disk.make_run(runs, "one")
    two = disk.make_run(runs, "two", verdict="not_accepted", exit_code=1)
    document = json.loads((two / "outcome.json").read_text())
    play = document["plays"][0]
    play["tracking"][0]["slippage_bps"] = "7.25"
    play["tracking"][0]["attempts"] *= 2
    for order in play["orders"]:
        order["ack_ms"] = order["sent_ms"] + 77
    (two / "outcome.json").write_text(json.dumps(document))
    code, out, _ = run(capsys, "compare", one, two)
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert ["≠", "run", "verdict", "accepted", "not_accepted"] in rows
    assert ["backpack", "flat", "yes", "yes"] in rows
    assert any(row[:4] == ["≠", "backpack", "slippage,", "bp"] and row[-1] == "7.25" for row in rows)
    assert any(row[:2] == ["≠", "backpack"] and row[2] == "attempts" for row in rows)
    assert any(row[:6] == ["≠", "backpack", "submit", "to", "ack,", "ms"] and row[-1] == "77" for row in rows)


def test_two_runs_of_different_plans_say_so(runs, capsys):
    """[ours] Equal figures of different plans are not comparable."""
    one, two = disk.make_run(runs, "one"), disk.make_run(runs, "two", plan_hash="ab" * 32)
    assert "The plans differ" in run(capsys, "compare", one, two)[1]
    assert "The plans differ" not in run(capsys, "compare", one, one)[1]


def test_a_run_that_did_not_end_is_not_compared(runs, capsys):
    """[ours] Nor is one that does not exist; the nearest name is offered."""
    one = disk.make_run(runs, "one")
    two = disk.make_run(runs, "two")
    (two / "outcome.json").unlink()
    code, _, err = run(capsys, "compare", one, two)
    assert code == 2
    assert "it did not end" in err
    code, _, err = run(capsys, "compare", "one", "tow")
    assert (code, err.splitlines()[0]) == (2, "There is no such run.")
    assert "  1 | tow\n    | ^^^\n" in err
    assert "  did you mean: two\n" in err


@pytest.mark.parametrize("verb", ["report", "verify", "export", "halt", "recover", "sign"])
def test_a_run_that_does_not_exist_is_told_in_the_shape_of_all_mistakes(verb, runs, capsys):
    """[client] What is wrong, the word with a caret, what is expected, and the code; exit 2."""
    disk.make_run(runs, "one")
    more = ("--name", "A", "--role", "B", "--decision", "accept") if verb == "sign" else ()
    code, out, err = run(capsys, verb, "NOSUCH", *more)
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert lines[:4] == ["There is no such run.", "  RUN:1:1", "  1 | NOSUCH", "    | ^^^^^^"]
    assert "such as one" in lines[5]
    assert lines[-1] == "  UNKNOWN_RUN  (more: runner explain UNKNOWN_RUN)"
    assert run(capsys, "explain", "UNKNOWN_RUN")[0] == 0


def test_the_report_has_a_trend_only_when_there_are_earlier_runs(runs, capsys):
    """[client] A line over the local runs of the same scenario; a stranger's run and a broken file are left out."""
    first = disk.make_run(runs, "a", started_ms=1_000)
    run(capsys, "report", first)
    assert "Earlier runs" not in (first / "report.md").read_text()
    last = disk.make_run(runs, "b", started_ms=2_000)
    disk.make_run(runs, "c", on="testnet", started_ms=1_500)
    disk.make_run(runs, "later", started_ms=9_000)
    (runs / "broken").mkdir()
    (runs / "broken" / "outcome.json").write_text('{"scenario": []}')
    run(capsys, "report", last)
    part = (last / "report.md").read_text().split("## Earlier runs on this machine")[1].split("\n## ")[0]
    rows = [line.split(" | ")[1] for line in part.splitlines() if line.startswith("| 1970")]
    assert rows == ["a", "b (this run)"]
    assert 'id="past-ack_ms-title"' in (last / "report.html").read_text()
