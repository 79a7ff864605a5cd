"""
Killed with SIGKILL at every write of the journal, on sockets, with real processes; then recovered.

    python tests/e2e/killed.py --venue okx --all      # every write of one exchange, in both ways
    python tests/e2e/killed.py --all                  # of all five

One ``runner sim serve`` stays up for all of it, as an exchange does. For each write a fresh process plays and is
killed there; a new play must be refused if anything is left; ``runner recover`` must leave nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from core.clock import SystemClock  # noqa: E402
from execution.journal import Journal  # noqa: E402
from venues import VENUES  # noqa: E402

DOOMED = [sys.executable, str(Path(__file__).with_name("doomed.py"))]
PATIENCE_SECS = 60
SPEED = "50"
SHARE = 4
"""Of 15 writes: before the play begins, with an intent that was not sent, with a position held, before the last one."""
LANES = 4
SCENARIO = """scenario: killed
title: Orders that rest, one that opens, one that closes
venues: [{venue}]
symbol: SOL
side: buy
size: min
seed: 7
steps:
  - tracking_open:
      interval_secs: 10
      timeout_secs: 60
      max_attempts: 2
      price_offset_ticks: 200
      require_filled: false
  - market_open
  - market_close
finally:
  - cancel_all
  - flatten
accept:
  flat: true
"""


@dataclass
class Exchanges:
    """Simulators that are up, in a process of their own."""

    process: subprocess.Popen[str]
    folder: Path
    _one_asks: threading.Lock = field(default_factory=threading.Lock)

    @property
    def sims(self) -> str:
        return str(self.folder / "sims.json")

    def books(self, venue: str) -> dict[str, Any]:
        """The venue's own books, now."""
        with self._one_asks:
            self.process.send_signal(signal.SIGUSR1)
            assert self.process.stdout is not None
            return json.loads(self.process.stdout.readline())[venue]  # type: ignore[no-any-return]


@contextlib.contextmanager
def exchanges(folder: Path, venues: Sequence[str]) -> Iterator[Exchanges]:
    chosen = [word for venue in venues for word in ("--venue", venue)]
    words = ["sim", "serve", "--json", "--port-base", "0", "--seed", "11", *chosen]
    process = subprocess.Popen(
        [*DOOMED, "serve", *words],
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        cwd=folder,
    )
    try:
        assert process.stdout is not None
        (folder / "sims.json").write_text(process.stdout.readline(), encoding="utf-8")
        yield Exchanges(process, folder)
    finally:
        process.terminate()
        process.wait(PATIENCE_SECS)
        assert process.stdout is not None
        process.stdout.close()


class Runners:
    """Starts ``runner`` processes in one folder, with one journal: those of one person."""

    def __init__(self, folder: Path, venue: str, sims: str) -> None:
        self.folder = folder
        self.venue = venue
        self._sims = sims
        folder.mkdir()
        (folder / "killed.yaml").write_text(SCENARIO.format(venue=venue), encoding="utf-8")
        quiet = {"PATH": os.defpath, "HOME": str(folder), "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
        self._process = subprocess.Popen(
            [*DOOMED, "play"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=quiet,
            bufsize=1,
        )

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE_SECS)
        self._process.stdout.close()

    def run(self, *argv: str, kill: int = 0, after: bool = False) -> tuple[int, str, int]:
        """``(exit code, output, writes)`` of one process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        text = self.folder / "said.txt"
        words = [*argv, "--sims", self._sims, "--speed", SPEED]
        asked = {"argv": words, "folder": str(self.folder), "kill": kill, "after": after, "text": str(text)}
        self._process.stdin.write(json.dumps(asked) + "\n")
        answer = json.loads(self._process.stdout.readline())
        return answer["code"], text.read_text(encoding="utf-8"), answer["writes"]

    def play(self, kill: int = 0, after: bool = False) -> tuple[int, str, int]:
        return self.run("play", "killed.yaml", "--progress", "plain", kill=kill, after=after)

    def recover(self) -> tuple[int, str, int]:
        return self.run("recover")

    def left(self) -> tuple[int, int]:
        """``(plays without an end, orders without one)`` in the journal."""
        journal = Journal(self.folder / "state" / "journal.db")
        try:
            return len(journal.unended_plays()), len(journal.unsettled())
        finally:
            journal.close()


@dataclass
class Told:
    """What came of the deaths at one exchange."""

    venue: str
    writes: int = 0
    deaths: int = 0
    refused: int = 0
    recovered: int = 0
    lines: list[str] = field(default_factory=list)
    """What was wrong."""


def try_venue(folder: Path, venue: str, up: Exchanges, share: int | None, lane: int = 0, lanes: int = 1) -> Told:
    """
    Kill at every write (``share`` None: before and after it), or at ``share`` writes spread over the play.

    Of these deaths every ``lanes``-th, from number ``lane``.
    """
    told = Told(venue)
    runners = Runners(folder / f"{venue}-{lane}", venue, up.sims)
    try:
        code, text, told.writes = runners.play()
        if code != 0:
            told.lines.append(f"the play that nobody kills ends with {code}: {text[-600:]}")
            return told
        for kill, after in places(told.writes, share)[lane::lanes]:
            _die_and_recover(runners, up, told, kill, after)
    finally:
        runners.close()
    return told


def places(writes: int, share: int | None) -> list[tuple[int, bool]]:
    """At which write to die, and whether after it: one side of each in turn, or with None both."""
    if share is None:
        return [(kill, after) for kill in range(1, writes + 1) for after in (False, True)]
    if share >= writes:
        return [(kill, kill % 2 == 0) for kill in range(1, writes + 1)]
    return [(1 + (2 * place + 1) * writes // (2 * share), place % 2 == 1) for place in range(share)]


def _die_and_recover(runners: Runners, up: Exchanges, told: Told, kill: int, after: bool) -> None:
    where = f"{told.venue}, killed {'after' if after else 'before'} write {kill}"
    code, text, _ = runners.play(kill, after)
    if code != -signal.SIGKILL:
        told.lines.append(f"{where}: it was not killed but ended with {code}: {text[-600:]}")
        return
    told.deaths += 1
    plays, unsettled = runners.left()
    books = up.books(told.venue)
    if unsettled or books["live"] or books["held"]:
        code, text, _ = runners.play()
        told.refused += 1
        if code != 3 or "runner recover" not in text or up.books(told.venue)["orders"] > books["orders"]:
            told.lines.append(f"{where}: a new play was not refused with words about recovery: {code} {text[-600:]}")
    code, text, _ = runners.recover()
    told.recovered += plays
    if code != 0 or ("Nothing to recover" in text) != (plays == 0):
        told.lines.append(f"{where}: recover ends with {code}: {text[-600:]}")
    code, text, _ = runners.recover()
    if code != 0 or "Nothing to recover" not in text:
        told.lines.append(f"{where}: a second recover finds something: {text[-300:]}")
    books = up.books(told.venue)
    if books["live"] or books["held"] or books["twice"] or runners.left() != (0, 0):
        told.lines.append(f"{where}: left after recovery: {books}, {runners.left()}")


def try_all(folder: Path, shares: Mapping[str, int | None]) -> list[Told]:
    """
    All exchanges beside each other: a recovery is mostly waiting for an order's expiry.

    Where more than :data:`SHARE` deaths are wanted, :data:`LANES` persons die beside each other, each on an account of
    their own at simulators of their own.
    """
    jobs: list[tuple[str, int | None, int, int]] = []
    for venue, share in shares.items():
        lanes = LANES if share is None or share > SHARE else 1
        jobs += [(venue, share, lane, lanes) for lane in range(lanes)]
    with contextlib.ExitStack() as opened, ThreadPoolExecutor(len(jobs)) as pool:
        ups: list[Exchanges] = []
        for lane in range(1 + max(lane for _, _, lane, _ in jobs)):
            place = folder / f"exchanges-{lane}"
            place.mkdir()
            ups.append(opened.enter_context(exchanges(place, [job[0] for job in jobs if job[2] == lane])))
        futures = [pool.submit(try_venue, folder, venue, ups[lane], share, lane, n) for venue, share, lane, n in jobs]
        told = [future.result() for future in futures]
    return [_joined([each for each in told if each.venue == venue]) for venue in shares]


def _joined(lanes: Sequence[Told]) -> Told:
    return Told(
        lanes[0].venue,
        lanes[0].writes,
        sum(lane.deaths for lane in lanes),
        sum(lane.refused for lane in lanes),
        sum(lane.recovered for lane in lanes),
        [line for lane in lanes for line in lane.lines],
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--venue", action="append", default=[])
    parser.add_argument("--all", action="store_true", help="before and after every write")
    args = parser.parse_args()
    venues = args.venue or list(VENUES)
    began = SystemClock().monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = try_all(Path(folder), dict.fromkeys(venues, None if args.all else SHARE))
    for told in found:
        print(f"{told.venue}: {told.writes} writes, {told.deaths} deaths, {told.refused} new plays refused, ", end="")
        print(f"{told.recovered} plays recovered, {len(told.lines)} wrong")
        for line in told.lines:
            print("WRONG:", line)
    print(f"{SystemClock().monotonic() - began:.0f} s")
    return 1 if any(told.lines for told in found) else 0


if __name__ == "__main__":
    raise SystemExit(main())
