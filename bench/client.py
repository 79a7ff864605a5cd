"""
B7: what a person waits for. A play without waits on simulators that are up already, from process start to report;
a report of 1,000 orders; how much the simulators take.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import msgspec

from bench.crowd import cpu_secs, crowd, play
from bench.laps import Spread, now, seconds_each, spread_of
from bench.venues_at_hand import ROOT, RUNNER, AtHand, Told
from core.chance import Chance
from core.clock import SystemClock
from core.precision import scaled
from runner.outcome import to_json
from venues import VENUES
from venues.connector import Connector
from venues.wire import SocketWire

SCENARIO = """scenario: no_wait
title: Open and close at market, no wait
venues: [{venue}]
market: perp
symbol: SOL
side: buy
size: min
steps:
  - market_open
  - market_close
  - assert_flat
finally:
  - cancel_all
  - flatten
accept:
  flat: true
  no_unhandled_errors: true
"""
ORDERS = 1_000
LOAD_ORDERS = 200
AT_ONCE = 8


def no_wait_play(rounds: int) -> Spread:
    """Seconds of ``runner play`` on a warm simulator, a whole process each: start, check, play, both reports."""
    with tempfile.TemporaryDirectory() as place, crowd(len(VENUES)) as (lines, _):
        venue, told = lines[0]
        folder = Path(place)
        (folder / "sims.json").write_text(json.dumps({venue: told}))
        (folder / "no_wait.yaml").write_text(SCENARIO.format(venue=venue))
        command = [sys.executable, "-c", RUNNER, "play", "no_wait.yaml", "--sims", "sims.json"]
        environ = {"PYTHONPATH": str(ROOT), "HOME": place, "PATH": ""}

        def once() -> None:
            subprocess.run(command, cwd=folder, env=environ, check=True, stdout=subprocess.DEVNULL)

        once()
        return spread_of([seconds_each(once, 1) for _ in range(rounds)])


def large_outcome() -> dict[str, Any]:
    """A play's outcome with its orders repeated until there are 1,000, each under an id of its own."""

    async def once(venue: str, told: Told, folder: Path) -> bytes:
        return to_json(await play(SCENARIO.format(venue=venue), venue, told, folder, SystemClock(), seed=1))

    with tempfile.TemporaryDirectory() as place, crowd(len(VENUES)) as (lines, _):
        outcome: dict[str, Any] = json.loads(anyio.run(once, *lines[0], Path(place) / "run"))
    (only,) = outcome["plays"]
    some = only["orders"]
    only["orders"] = [
        some[number % len(some)] | {"client_id": 500_000_000 + number, "venue_id": f"v{number}"}
        for number in range(ORDERS)
    ]
    return outcome


def report_of_many(rounds: int) -> Spread:
    """Seconds to write Markdown, HTML and JUnit of an outcome with 1,000 orders, libraries loaded."""
    from reports.render import write

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "outcome.json").write_text(json.dumps(large_outcome()))
        write(folder)
        return spread_of([seconds_each(lambda: write(folder), 1) for _ in range(rounds)])


async def _load(venue: str, told: Told, server: int) -> Mapping[str, float]:
    """Post-only orders, eight on their way at once: how many a second, and whose work they are."""
    at = AtHand(venue, told)
    market = at.market
    connector = Connector(at.dialect, at.endpoints, SocketWire(), SystemClock(), Chance(1))
    size_i, price_i = scaled("0.1", market.size_decimals), scaled("130.11", market.price_decimals)
    left = iter(range(1_000, 1_000 + LOAD_ORDERS))

    async def one_after_the_other() -> None:
        for client_id in left:
            await connector.submit_limit_order(
                symbol=at.symbol,
                client_order_index=client_id,
                base_amount=size_i,
                price=price_i,
                is_ask=False,
                post_only=True,
            )

    await connector.start()
    # More than any exchange allows: the budget is kept, but too wide to wait for.
    connector._budget.allow([msgspec.structs.replace(one, most=one.most * 1_000) for one in at.dialect.rates.limits])
    try:
        began, mine, theirs = now(), cpu_secs(), cpu_secs(server)
        async with anyio.create_task_group() as group:
            for _ in range(AT_ONCE):
                group.start_soon(one_after_the_other)
        took = now() - began
        return {
            "orders a second": LOAD_ORDERS / took,
            "our CPU, us an order": (cpu_secs() - mine) / LOAD_ORDERS * 1e6,
            "simulator's CPU, us an order": (cpu_secs(server) - theirs) / LOAD_ORDERS * 1e6,
        }
    finally:
        await connector.stop()


def simulators_load() -> dict[str, Mapping[str, float]]:
    told = {}
    with crowd(len(VENUES), limits=False) as (lines, servers):
        for (venue, line), server in zip(lines, servers, strict=True):
            told[venue] = anyio.run(_load, venue, line, server)
    return told
