"""Several runs in one command: whoever stops one by hand did not ask for the next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import runner.playing
import runner.recover
from app.console import OUTSIDE
from execution.journal import Journal
from runner.command import main
from runner.outcome import Halted
from runner.run import Interruption
from tests.e2e.virtual import FIRST

TEXT = f"""scenario: {{name}}
title: One of several
venues: [{FIRST}]
symbol: SOL
size: min
steps:
  - market_open
"""


def by_signal(interruption: Interruption) -> None:
    interruption.interrupt("SIGINT")


def by_halt(interruption: Interruption) -> None:
    interruption.halt(Halted(by="command", at_ms=0, flatten=False))


STOPS = [
    pytest.param(by_signal, 4, 4, id="Ctrl-C, cleaned up"),
    pytest.param(by_signal, 5, 5, id="Ctrl-C, not proven flat"),
    pytest.param(by_halt, 5, 5, id="halted, the position was left open as asked"),
    pytest.param(by_halt, 0, 4, id="halted when it was over already"),
]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("stop", "code", "told"), STOPS)
def test_no_further_file_is_played_after_a_stop_by_hand(stop, code, told, tmp_path, monkeypatch, capsys):
    """[client] A halt or Ctrl-C is the end of the command, however the stopped run itself ended."""
    begun = []

    def played(folder: Path, plan: Any, *rest: Any, interruption: Interruption, **settings: Any) -> int:
        begun.append(plan.scenario.name)
        stop(interruption)
        return code

    monkeypatch.setattr(runner.playing, "_play_into", played)
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(TEXT.format(name=name), encoding="utf-8")
    assert main(["play", "one.yaml", "two.yaml"], OUTSIDE) == told
    assert begun == ["one"]


@pytest.mark.parametrize(("stop", "code", "told"), STOPS)
def test_no_further_play_is_recovered_after_a_stop_by_hand(stop, code, told, tmp_path, monkeypatch, capsys):
    """[client] What was not begun stays in the journal for the next `runner recover`."""
    begun = []

    def recovered(*words: Any, left_by: str, interruption: Interruption, **settings: Any) -> int:
        begun.append(left_by)
        stop(interruption)
        return code

    monkeypatch.setattr(runner.recover, "play_plan", recovered)
    (tmp_path / "state").mkdir()
    journal = Journal(tmp_path / "state" / "journal.db")
    for name in ("a", "b"):
        journal.begin_play(
            play=f"{name}/{FIRST}", run=name, venue=FIRST, account="acc", symbol="SOL", market="perp",
            spot_baseline="0", now_ms=1,
        )  # fmt: skip
    journal.close()
    assert main(["recover", "--on", "testnet"], OUTSIDE) == told
    assert begun == [f"a/{FIRST}"]
