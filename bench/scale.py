"""
B6: 50, 200 and 1,000 plays at once in ONE process, each a tracking limit that is posted anew every interval and never
fills, on simulators in processes of their own::

    python -m bench.scale --plays 1000
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import anyio

from bench.crowd import cpu_secs, crowd, memory_bytes, plan_of, play, settled_memory_bytes, tasks
from bench.laps import now
from bench.venues_at_hand import ROOT, Told
from core.clock import SystemClock
from core.loop import run
from runner.outcome import Outcome
from venues import VENUES

INTERVAL_SECS = 10
MARKET_PACE = 0.25
"""How fast the simulated markets move: all simulators share the machine with what is measured."""
SCENARIO = """scenario: crowd
title: A tracking limit far from the book, posted anew every interval
venues: all
market: perp
symbol: SOL
side: buy
size: min
steps:
  - tracking_open:
      interval_secs: {interval}
      timeout_secs: {secs}
      max_attempts: 1000
      price_offset_ticks: 200
      require_filled: false
finally:
  - cancel_all
  - flatten
accept:
  flat: true
  no_unhandled_errors: true
  logs_complete: true
"""
SPREAD_SECS = 0.05
"""A play begins this much after the one before: people do not press enter in the same millisecond."""


@dataclass(frozen=True)
class Scale:
    """What one size of crowd took."""

    plays: int
    accepted: int
    orders: int
    secs: float
    bytes_each: float
    """Resident memory that a play adds, at the fullest moment."""
    cpu_each: float
    """Share of one core that a play takes while it lives, its start and end included."""
    servers_cpu_each: float
    """The same for its simulator."""
    cores_busy: float
    """Of the whole machine's cores by our process and the simulators together."""
    p50_ms: float
    p99_ms: float
    worst_ms: float
    """Error of the intervals: how late each cancel was."""


async def _crowd(lines: list[tuple[str, Told]], servers: list[int], secs: float) -> Scale:
    clock = SystemClock()
    # The first still plays when the last has begun, and for as long again as was asked for.
    text = SCENARIO.format(interval=INTERVAL_SECS, secs=round(secs + len(lines) * SPREAD_SECS))
    outcomes: list[Outcome] = []
    fullest, lived = 0, 0.0

    async def one(place: int, folder: Path) -> None:
        nonlocal lived
        await anyio.sleep(place * SPREAD_SECS)
        (venue, told), since = lines[place], now()
        outcomes.append(await play(text, venue, told, folder / f"run-{place}", clock, seed=place))
        lived += now() - since

    async def look() -> None:
        nonlocal fullest
        while True:
            fullest = max(fullest, memory_bytes())
            await anyio.sleep(1)

    with tempfile.TemporaryDirectory() as place:
        # One play a venue before the measurement: libraries are loaded, tables made, plans drawn.
        for number, line in enumerate(lines[: len(VENUES)]):
            plan_of(text, line[0])
            await play(SCENARIO.format(interval=1, secs=2), *line, Path(place) / f"warm-{number}", clock, seed=0)
        before, began = settled_memory_bytes(), now()
        spent, spent_there = cpu_secs(), sum(map(cpu_secs, servers))
        async with anyio.create_task_group() as beside:
            beside.start_soon(look)
            async with anyio.create_task_group() as group:
                for number in range(len(lines)):
                    group.start_soon(one, number, Path(place))
            beside.cancel_scope.cancel()
        took = now() - began
        mine, theirs = cpu_secs() - spent, sum(map(cpu_secs, servers)) - spent_there
    assert tasks() == 1, "a play left a task behind"
    errors = sorted(
        error
        for outcome in outcomes
        for told_play in outcome.plays
        for chase in told_play.tracking
        for error in chase.interval_errors_ms
    )
    count = len(lines)
    return Scale(
        plays=count,
        accepted=sum(outcome.verdict == "accepted" for outcome in outcomes),
        orders=sum(len(told_play.orders) for outcome in outcomes for told_play in outcome.plays),
        secs=took,
        bytes_each=(fullest - before) / count,
        cpu_each=mine / lived,
        servers_cpu_each=theirs / lived,
        cores_busy=(mine + theirs) / took,
        p50_ms=errors[len(errors) // 2] if errors else float("nan"),
        p99_ms=errors[int(len(errors) * 0.99)] if errors else float("nan"),
        worst_ms=errors[-1] if errors else float("nan"),
    )


def here(plays: int, secs: float) -> Scale:
    with crowd(plays, pace=MARKET_PACE) as (lines, servers):
        return run(lambda: _crowd(lines, servers, secs))


def measure(sizes: tuple[int, ...], secs: float) -> list[Scale]:
    """Each size in a process of its own, so that memory is counted from the same start."""
    told = []
    for plays in sizes:
        command = [sys.executable, "-m", "bench.scale", "--plays", str(plays), "--secs", str(secs), "--json"]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, env=dict(os.environ))
        told.append(Scale(**json.loads(done.stdout.splitlines()[-1])))
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plays", type=int, default=200)
    parser.add_argument("--secs", type=float, default=40, help="that all play at once")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = here(given.plays, given.secs)
    if given.json:
        print(json.dumps(asdict(found)))
        return
    for name, value in asdict(found).items():
        print(f"{name:18} {value:,.3f}" if isinstance(value, float) else f"{name:18} {value}")


if __name__ == "__main__":
    main()
