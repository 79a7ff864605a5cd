"""Guards of real accounts, with real processes on simulators that outlive them: locks, caps that last, taking over."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_runner_command import Started, run, started
from tests.e2e.virtual import FIRST

pytestmark = pytest.mark.sockets

HEAD = f"title: Guards\nvenues: [{FIRST}]\nsymbol: SOL\nsize: min\nseed: 7\n"
HOLD = f"scenario: hold\n{HEAD}steps:\n  - market_open\n  - wait: {{secs: 4m}}\n  - market_close\n"
QUICK = f"scenario: quick\n{HEAD}steps:\n  - market_open\n  - market_close\n"


@contextlib.contextmanager
def exchange(folder: Path) -> Iterator[None]:
    """A simulator in a process of its own; ``sims.json`` has its line."""
    with started(folder, "sim", "serve", "--venue", FIRST, "--port-base", "0", "--json") as served:
        (folder / "sims.json").write_text(served.line_with("{"), encoding="utf-8")
        yield


def locks(folder: Path) -> list[Path]:
    return sorted((folder / ".local" / "state" / "roundtrip" / "locks").glob("*.lock"))


def test_one_account_is_traded_by_one_process_and_what_a_dead_one_did_still_counts(tmp_path: Path) -> None:
    """[client] A second play is refused before connecting, its owner named; kill -9 frees the account and no cap."""
    (tmp_path / "hold.yaml").write_text(HOLD, encoding="utf-8")
    (tmp_path / "quick.yaml").write_text(QUICK, encoding="utf-8")
    with exchange(tmp_path):
        first = Started(tmp_path, "play", "hold.yaml", "--sims", "sims.json", "--progress", "json")
        try:
            first.line_with('"verb":"wait"')
            second = run(tmp_path, "play", "quick.yaml", "--sims", "sims.json")
            (name,) = (path.name for path in (tmp_path / "runs").iterdir() if path.is_dir())
            assert second.returncode == 3
            for words in ("ACCOUNT_LOCKED", f"run {name}", f"process {first.process.pid} on", "runner play hold.yaml"):
                assert words in second.stderr
            (lock,) = locks(tmp_path)
            assert lock.stat().st_mode & 0o777 == 0o600
            seen = run(tmp_path, "doctor", "--venue", FIRST, "--sims", "sims.json")
            assert f"in use by run {name} (process {first.process.pid}" in seen.stdout
        finally:
            first.end(signal.SIGKILL)

        # Without the journal that knows whose it is, the position is somebody else's.
        (tmp_path / "state").rename(tmp_path / "lost")
        adopted = run(tmp_path, "play", "quick.yaml", "--sims", "sims.json", "--adopt")
        assert adopted.returncode == 0, adopted.stdout + adopted.stderr
        assert f"{FIRST}: takes over a position of" in adopted.stdout
        report = next((tmp_path / "runs").glob("*quick*/report.md")).read_text(encoding="utf-8")
        assert "taken over: a position of" in report

        (tmp_path / "state").rename(tmp_path / "other")
        (tmp_path / "lost").rename(tmp_path / "state")
        assert run(tmp_path, "recover", "--sims", "sims.json").returncode == 0
        (tmp_path / "config.yaml").write_text("caps: {day_notional_usd: 2}\n", encoding="utf-8")
        later = run(tmp_path, "play", "quick.yaml", "--sims", "sims.json")
        assert later.returncode == 1
        assert "NOTIONAL_CAP" in later.stdout
        assert "over all its runs of this UTC day" in later.stdout
    assert locks(tmp_path) == []
