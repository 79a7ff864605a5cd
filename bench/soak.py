"""
Hours in minutes: many plays at once, over and over, under light faults; does anything grow, does anything stay?::

    python -m bench.soak                         # 200 plays at once, 10 minutes
    python -m bench.soak --plays 20 --minutes 1

Prints a line every ten seconds and the verdict at the end; exit code 1 when something leaked or a play broke a promise.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree

import anyio

from bench.crowd import cpu_secs, crowd, memory_bytes, open_files, play, settled_memory_bytes, tasks
from bench.laps import now
from bench.venues_at_hand import Told
from core.clock import SystemClock
from core.loop import run

SCENARIO = """scenario: soak
title: Round trips without end
venues: all
market: perp
symbol: SOL
side: {side}
size: min
steps:
  - tracking_open: {{interval_secs: 3, timeout_secs: 20, max_attempts: 6, require_filled: false}}
  - random_wait: {{min_secs: 1, max_secs: 10}}
  - market_close
  - assert_flat
finally:
  - cancel_all
  - flatten
accept:
  flat: true
  no_unhandled_errors: true
  logs_complete: true
"""
FAULTS = (
    {"action": "disconnect", "on": "ws", "kind": "*", "probability": 0.0005},
    {"action": "drop", "on": "ws", "kind": "order", "probability": 0.01},
    {"action": "drop", "on": "ws", "kind": "fill", "probability": 0.01},
    {"action": "duplicate", "on": "ws", "kind": "fill", "probability": 0.02},
    {"action": "lose_reply", "on": "http", "kind": "place", "probability": 0.01},
    {"action": "error_after", "on": "http", "kind": "cancel", "probability": 0.01},
    {"action": "delay", "on": "http", "kind": "*", "probability": 0.02, "params": {"ms": 300}},
    {"action": "truncate", "on": "ws", "kind": "book", "probability": 0.0005},
)
WARM_SHARE = 0.3
"""Of the time; what grows before it is caches and first connections."""
SLOPE_BYTES_A_PLAY = 2_000
"""Resident memory that may stay of each play once warm: the noise of the allocator, below one kept order."""


@dataclass
class Soak:
    plays: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    orders: int = 0
    unhandled: list[str] = field(default_factory=list)
    samples: list[tuple[float, int, int, int, int]] = field(default_factory=list)
    """``(secs, plays done, resident bytes, open files, tasks)``"""


def slope(points: list[tuple[float, float]]) -> float:
    """Least squares: what one more of the first costs in the second."""
    count = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


async def _slot(lines: tuple[str, Told], place: int, folder: Path, until: float, found: Soak) -> None:
    """One account: plays one after the other until the time is over. Folders of ended runs are removed."""
    clock, (venue, told), number = SystemClock(), lines, 0
    await anyio.sleep(place * 0.05)
    while now() < until:
        number += 1
        own = folder / f"run-{place}-{number}"
        side = "buy" if number % 2 else "sell"
        outcome = await play(SCENARIO.format(side=side), venue, told, own, clock, seed=place * 1_000 + number)
        found.plays += 1
        found.verdicts[outcome.verdict] += 1
        for each in outcome.plays:
            found.orders += len(each.orders)
        for line in outcome.acceptance:
            if line.criterion in ("no_unhandled_errors", "logs_complete") and line.verdict == "failed":
                found.unhandled.append(f"{own.name} on {venue}: {line.criterion}: {line.evidence}")
        await anyio.to_thread.run_sync(rmtree, own)


async def _soak(lines: list[tuple[str, Told]], minutes: float) -> tuple[Soak, list[str]]:
    found = Soak()
    with tempfile.TemporaryDirectory() as place:
        # Before anything is counted: one play a venue loads every library.
        for number in range(5):
            await play(SCENARIO.format(side="buy"), *lines[number], Path(place) / f"warm-{number}", SystemClock(), 0)
        files, began = open_files(), now()

        async def look() -> None:
            while True:
                gc.collect()
                sample = (now() - began, found.plays, memory_bytes(), open_files(), tasks())
                found.samples.append(sample)
                secs, plays, resident, handles, running = sample
                print(
                    f"{secs:6.0f} s  {plays:6} plays  {found.orders:7} orders  {resident / 2**20:7.1f} MiB  "
                    f"{handles:5} files  {running:5} tasks  {cpu_secs():7.0f} s CPU  {dict(found.verdicts)}",
                    flush=True,
                )
                await anyio.sleep(10)

        async with anyio.create_task_group() as beside:
            beside.start_soon(look)
            async with anyio.create_task_group() as group:
                for number, line in enumerate(lines):
                    group.start_soon(_slot, line, number, Path(place), began + minutes * 60, found)
            beside.cancel_scope.cancel()
    await anyio.sleep(1)
    return found, _leaks(found, files, minutes * 60)


def _leaks(found: Soak, files_before: int, secs: float) -> list[str]:
    """What stayed or grew, in words; empty when nothing did."""
    leaks = [f"a promise was broken: {text}" for text in found.unhandled]
    if tasks() != 1:
        leaks.append(f"{tasks() - 1} tasks are left")
    if open_files() > files_before:
        leaks.append(f"{open_files() - files_before} files are left open")
    warm = [sample for sample in found.samples if WARM_SHARE * secs <= sample[0] <= secs]
    grows = slope([(sample[1], sample[2]) for sample in warm])
    print(f"resident memory: {grows:+,.0f} bytes a play once warm; at the end {settled_memory_bytes() / 2**20:.1f} MiB")
    if grows > SLOPE_BYTES_A_PLAY:
        leaks.append(f"resident memory grows by {grows:,.0f} bytes a play")
    handles = slope([(sample[1], sample[3]) for sample in warm])
    print(f"open files: {handles:+.4f} a play once warm")
    if handles > 0.05:
        leaks.append(f"open files grow by {handles:.3f} a play")
    return leaks


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plays", type=int, default=200, help="at once")
    parser.add_argument("--minutes", type=float, default=10)
    given = parser.parse_args()
    if given.plays < 5:
        parser.error("--plays must be 5 or more: one a venue")
    with crowd(given.plays, faults=FAULTS) as (lines, _):
        found, leaks = run(lambda: _soak(lines, given.minutes))
    print(f"{found.plays} plays, {found.orders} orders: {dict(found.verdicts)}")
    for leak in leaks:
        print(f"LEAK: {leak}")
    return 1 if leaks else 0


if __name__ == "__main__":
    sys.exit(main())
