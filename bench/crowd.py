"""
Many plays at once in one process: what scale and soak measure. Each play has an exchange simulator of its own, since a
simulator has one account; the simulators run in one more process a venue::

    python -m bench.crowd --venue okx --count 40 --seed 7     # serves until its standard input ends
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import anyio

from bench.venues_at_hand import ROOT, WITHOUT_LIMITS, Told
from core.chance import Chance
from core.clock import Clock, SystemClock
from execution.caps import Caps
from runner.events import EventLog
from runner.heartbeat import HeartbeatSettings
from runner.load import load_scenarios
from runner.outcome import Outcome
from runner.plan import Plan, make_plan
from runner.run import Folders, Reached, run_plan
from runner.site import account_name
from venues import VENUES, open_room
from venues.connector import Connector
from venues.simulation import open_simulator
from venues.simulation.faults import Faults
from venues.simulation.gate import FaultGate
from venues.simulation.server import serve
from venues.wire import SocketWire


async def _serve(venue: str, count: int, seed: int, faults: Sequence[Mapping[str, Any]], pace: float) -> None:
    clock, chance = SystemClock(), Chance(f"crowd/{seed}")
    gates = {}
    for number in range(count):
        rules = Faults.load([dict(row) for row in faults], chance=chance.fork(f"faults/{number}"))
        app = open_simulator(venue, clock=clock, chance=chance.fork(f"sim/{number}"), faults=rules, speed=pace)
        gates[str(number)] = FaultGate(app, rules, clock)
    async with serve(gates) as addresses:
        print(json.dumps([gate.app.bootstrap(*addresses[name]) for name, gate in gates.items()]), flush=True)
        await anyio.to_thread.run_sync(sys.stdin.buffer.read)


@contextmanager
def crowd(
    plays: int, *, seed: int = 7, faults: Sequence[Mapping[str, Any]] = (), pace: float = 1.0, limits: bool = True
) -> Iterator[tuple[list[tuple[str, Told]], list[int]]]:
    """
    ``plays`` simulators over all venues, dealt in turn: ``(venue, its line)`` each, and the servers' process ids.
    """
    names = tuple(VENUES)
    servers = []
    try:
        for place, venue in enumerate(names):
            count = len(range(place, plays, len(names)))
            words = ["--venue", venue, "--count", str(count), "--seed", str(seed), "--pace", str(pace)]
            words += ["--faults", json.dumps(list(faults)), *([] if limits else ["--unlimited"])]
            command = [sys.executable, "-m", "bench.crowd", *words]
            servers.append(subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        lines = []
        for server in servers:
            assert server.stdout is not None
            lines.append(json.loads(server.stdout.readline()))
        told = [(names[n % len(names)], lines[n % len(names)][n // len(names)]) for n in range(plays)]
        yield told, [server.pid for server in servers]
    finally:
        for server in servers:
            # Nothing of theirs is kept, so nothing needs an orderly end.
            server.kill()
            server.wait(10)


@cache
def plan_of(text: str, venue: str) -> tuple[Plan, str]:
    """A scenario's text, checked and planned for one venue: once, as a run does for all its plays."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.yaml"
        path.write_text(text, encoding="utf-8")
        found = load_scenarios([str(path)], venues=[venue], known_venues=tuple(VENUES))
    assert not found.mistakes, found.mistakes
    plan, mistakes = make_plan(found.scenarios[0], known_venues=[venue], on="sim", seed=7, speed=1.0)
    assert plan is not None, mistakes
    return plan, found.sources[str(path)]


async def play(text: str, venue: str, told: Told, folder: Path, clock: Clock, seed: int) -> Outcome:
    """One whole run on one venue over sockets: journal, timelines and events in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - before the run begins
    plan, source = plan_of(text, venue)
    chance = Chance(f"{folder.name}/{seed}")

    async def reach(name: str) -> Reached:
        room = open_room(name)
        places = room.endpoints("sim", told)
        keys = {key: str(value) for key, value in told["credentials"].items()}
        connector = Connector(room.make_dialect(keys, places), places, SocketWire(), clock, chance.fork(name))
        return Reached(venue=connector, account=account_name(name, keys))

    with contextlib.closing(EventLog(folder / "events.jsonl", clock)) as events:
        return await run_plan(
            plan,
            run_id=folder.name,
            text=source,
            folders=Folders(run=folder, orders=folder / "orders", journal=folder.parent / "journal.db"),
            clock=clock,
            chance=chance,
            reach=reach,
            events=events,
            caps=Caps(),
            heartbeat=HeartbeatSettings(),
        )


def memory_bytes(pid: int | str = "self") -> int:
    """Resident set size of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def cpu_secs(pid: int | str = "self") -> float:
    """Time on a core, user and system: exact for ourselves, in steps of 10 ms for another process."""
    if pid == "self":
        return time.process_time()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def tasks() -> int:
    return len(asyncio.all_tasks())


def settled_memory_bytes() -> int:
    """Resident memory with nothing left for the collector."""
    gc.collect()
    return memory_bytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venue", required=True, choices=tuple(VENUES))
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--faults", default="[]", help="rules as JSON")
    parser.add_argument("--pace", type=float, default=1.0, help="how fast the markets move")
    parser.add_argument("--unlimited", action="store_true", help="without the exchanges' rate limits")
    given = parser.parse_args()
    if given.unlimited:
        exec(WITHOUT_LIMITS)
    anyio.run(_serve, given.venue, given.count, given.seed, json.loads(given.faults), given.pace)


if __name__ == "__main__":
    main()
