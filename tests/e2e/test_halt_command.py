"""``runner halt`` on real processes: a run that answers, one that is frozen, one that is dead."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from core.clock import SystemClock
from tests.e2e.test_halting import RESTING
from tests.e2e.test_runner_command import RUNNER, environment, run
from tests.e2e.virtual import FIRST

pytestmark = pytest.mark.sockets

PATIENCE_SECS = 40
TEXT = RESTING.replace("venues: all", f"venues: [{FIRST}]")


class Playing:
    """A play of ``TEXT`` in a process of its own, up to the moment in which its order rests."""

    def __init__(self, folder: Path, *words: str) -> None:
        (folder / "resting.yaml").write_text(TEXT)
        command = [*RUNNER, "play", "resting.yaml", "--progress", "json", *words]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if '"limit_open"' in line and '"step"' in line:
                break
        (self.control,) = folder.glob("runs/*/control.json")
        self.folder = self.control.parent

    def end(self) -> int:
        assert self.process.stdout is not None
        with self.process.stdout:
            self.process.stdout.read()
        return self.process.wait(PATIENCE_SECS)


def test_halt_from_another_terminal_cancels_and_with_flatten_closes(tmp_path: Path):
    """[client] It names what it cancels, waits for the end, and says 0: proven; the run ends as after Ctrl-C."""
    playing = Playing(tmp_path)
    token = json.loads(playing.control.read_text())["token"]
    done = run(tmp_path, "halt", "--flatten")
    assert (done.returncode, playing.end()) == (0, 4), done.stdout + done.stderr
    assert re.search(rf"{FIRST}: cancelling buy \S+ \S+ \(\d+\); holding \S+ ", done.stdout), done.stdout
    assert f"{FIRST}: cancelled 1 order" in done.stdout
    assert "nothing is open" in done.stdout
    outcome = json.loads((playing.folder / "outcome.json").read_bytes())
    assert (outcome["halted"]["by"], outcome["halted"]["flatten"], outcome["verdict"]) == (
        "command",
        True,
        "interrupted",
    )
    assert not playing.control.exists()
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes(), path
    again = run(tmp_path, "halt")
    assert (again.returncode, again.stdout.partition(":")[0]) == (0, "Nothing to halt")
    over = run(tmp_path, "halt", playing.folder.name)
    assert over.returncode == 2
    assert "is over" in over.stderr


def test_halt_without_flatten_leaves_the_position_and_says_so(tmp_path: Path):
    """[client] Exit 5 of both; what is open is named."""
    playing = Playing(tmp_path)
    done = run(tmp_path, "halt", playing.folder.name)
    assert (done.returncode, playing.end()) == (5, 5), done.stdout + done.stderr
    assert "positions were left open as asked" in done.stdout
    assert re.search(rf"{FIRST}: cancelled 1 order \(\d+\); open: \S+ and 0 live orders", done.stdout), done.stdout


def test_a_frozen_run_is_told_within_seconds_and_a_dead_one_too(tmp_path: Path):
    """[client] Neither hangs: the words name the process, the exchange's own switch and the next command."""
    sims = subprocess.Popen(
        [*RUNNER, "sim", "serve", "--venue", FIRST, "--port-base", "0", "--json"],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert sims.stdout is not None
        (tmp_path / "sims.json").write_text(sims.stdout.readline())
        playing = Playing(tmp_path, "--sims", "sims.json")
        name = playing.folder.name
        os.kill(playing.process.pid, signal.SIGSTOP)
        clock = SystemClock()
        began = clock.monotonic()
        frozen = run(tmp_path, "halt")
        assert clock.monotonic() - began < 15
        assert frozen.returncode == 5
        assert f"process {playing.process.pid} is there and does not answer" in frozen.stdout
        assert f"runner recover {name}" in frozen.stdout
        assert f"{FIRST}: " in frozen.stdout
        assert "dead-man's switch" in frozen.stdout
        playing.process.kill()
        playing.end()
        dead = run(tmp_path, "halt")
        assert dead.returncode == 5
        assert f"its process {playing.process.pid} is dead" in dead.stdout
        assert f"Next: runner recover {name}" in dead.stdout
        recovered = run(tmp_path, "recover", name, "--sims", "sims.json")
        assert recovered.returncode == 0, recovered.stdout + recovered.stderr
        assert not playing.control.exists()
    finally:
        sims.terminate()
        sims.communicate(timeout=PATIENCE_SECS)


def test_a_dead_run_on_its_own_simulators_has_nothing_open(tmp_path: Path):
    """[ours] They ended with it; the file it left is cleared away."""
    playing = Playing(tmp_path)
    playing.process.kill()
    playing.end()
    dead = run(tmp_path, "halt")
    assert (dead.returncode, "nothing is open" in dead.stdout, playing.control.exists()) == (0, True, False)
