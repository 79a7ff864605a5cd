"""``runner halt`` on what a run left behind: is it frozen, or is its number another process's by now?"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.console import OUTSIDE
from runner import halt as command
from runner.command import main
from runner.control import CONTROL_FILE, _lock, held

pytestmark = [pytest.mark.sockets, pytest.mark.secrets_are_planted]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "ANSWER_SECS", 0.1)
    folder = tmp_path / "runs" / "20260105T000000Z-small"
    folder.mkdir(parents=True)
    return folder


@contextmanager
def left(folder: Path, *, listening: bool, **more: Any) -> Iterator[None]:
    """A control file with the number of this process, and an address where nobody answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listening:
            server.listen()
        told = {
            "url": f"http://127.0.0.1:{server.getsockname()[1]}",
            "token": "ab" * 32,
            "pid": os.getpid(),
            "own_sims": False,
            "dead_man_secs": {"okx": 30},
            **more,
        }
        (folder / CONTROL_FILE).write_text(json.dumps(told))
        yield


def halted(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(["halt"], OUTSIDE)
    return code, capsys.readouterr().out


@pytest.mark.parametrize("told", [{"locked": True}, {"locked": False}, {}], ids=["locked", "no lock here", "older"])
def test_a_number_that_belongs_to_another_process_now_is_no_frozen_run(told, folder, capsys):
    """[client] The run has ended; nobody is told to kill the process that has its number."""
    with left(folder, listening=told.get("locked", False), **told):
        code, said = halted(capsys)
    assert code == 5
    assert f"that run has ended, its process {os.getpid()} is dead" in said
    assert "whatever has that number now is not it" in said
    assert "dead-man's switch" in said
    assert f"Next: runner recover {folder.name}" in said
    assert "kill" not in said
    assert "frozen" not in said


def test_a_run_that_ended_with_its_simulators_left_nothing_open(folder, capsys):
    """[client] Exit 0, and its file is cleared away."""
    with left(folder, listening=True, locked=True, own_sims=True):
        code, said = halted(capsys)
    assert (code, "nothing is open" in said, (folder / CONTROL_FILE).exists()) == (0, True, False)


def test_a_run_that_holds_its_file_and_does_not_answer_is_frozen(folder, capsys):
    """[client] As before: the process, its switches, and how to end it."""
    with left(folder, listening=True, locked=True), (folder / CONTROL_FILE).open("r+b") as own:
        assert _lock(own.fileno())
        assert held(folder / CONTROL_FILE) is True
        code, said = halted(capsys)
    assert code == 5
    assert f"process {os.getpid()} is there and does not answer (it may be frozen)" in said
    assert f"kill -9 {os.getpid()}" in said


def test_two_who_look_at_once_do_not_take_each_other_for_the_owner(folder):
    """[ours] Looking takes nothing: a dead run's file stays free for the next who looks."""
    with left(folder, listening=False, locked=True):
        fcntl = pytest.importorskip("fcntl")
        with (folder / CONTROL_FILE).open("rb") as other:
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
            assert held(folder / CONTROL_FILE) is False
    (folder / CONTROL_FILE).unlink()
    assert held(folder / CONTROL_FILE) is None
