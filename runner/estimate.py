"""
What the sizes of a plan come to, read from simulators in this process on virtual time: nothing leaves the program.

The same connector and the same market rules that a play uses work here, so the numbers are those a simulated play has
at its start.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import anyio

from core.chance import Chance
from core.clock import VirtualClock, run_virtual
from execution.caps import Caps
from execution.journal import Journal
from execution.orders import Orders
from execution.positions import Positions
from execution.risk import Risk
from execution.router import ExecutionRouter
from execution.timeline import Timelines
from runner.plan import Plan
from runner.scenario import SizeSpec
from strategy.trading import ActFailed, Trading, side_is_ask
from venues import open_room
from venues.connector import Connector
from venues.errors import VenueError
from venues.simulation import open_simulator
from venues.simulation.memory import MemoryWire

_SECS = 60.0
Opening = tuple[str, SizeSpec]
"""Side and size of an order that opens."""


@dataclass(frozen=True, slots=True)
class Worth:
    """One opening order."""

    base: Decimal
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Estimate:
    """One exchange: what each opening comes to, or why it cannot be played there."""

    worth: Mapping[Opening, Worth]
    fault: str = ""


def estimate(plan: Plan, openings: Sequence[Opening]) -> dict[str, Estimate]:
    """Every exchange of the plan, read from its simulator."""
    found = {}
    for venue in plan.venues:
        try:
            found[venue] = run_virtual(_of_venue(plan, venue, openings))
        except TimeoutError:
            found[venue] = Estimate({}, f"the simulator of {venue} did not answer")
    return found


async def _of_venue(plan: Plan, venue: str, openings: Sequence[Opening]) -> Estimate:
    clock, chance = VirtualClock(), Chance(plan.seed)
    app = open_simulator(venue, clock=clock, chance=chance.fork(f"sim/{venue}"))
    wire = MemoryWire({venue: app}, clock, chance.fork("wire"))
    address = f"memory://{venue}"
    line = app.bootstrap(address, address)
    room = open_room(venue)
    places = room.endpoints("sim", line)
    dialect = room.make_dialect({name: str(value) for name, value in line["credentials"].items()}, places)
    connector = Connector(dialect, places, wire, clock, chance.fork("connector"))
    found: dict[Opening, Worth] = {}
    fault = ""
    with contextlib.closing(Journal(":memory:")) as journal, anyio.fail_after(_SECS):
        async with anyio.create_task_group() as beside:
            beside.start_soon(wire.drive)
            try:
                await connector.start()
                trade = _desk(plan, connector, journal, clock, chance)
                await connector.watch(trade.market.venue_symbol)
                for side, size in openings:
                    found[side, size] = await _worth(trade, side, size)
            except (VenueError, ActFailed) as error:
                fault = str(error)
            finally:
                with anyio.CancelScope(shield=True):
                    await connector.stop()
                beside.cancel_scope.cancel()
    return Estimate(found, fault)


def _desk(plan: Plan, connector: Connector, journal: Journal, clock: VirtualClock, chance: Chance) -> Trading:
    positions = Positions(clock)
    desk = Orders(
        venue=connector,
        account="estimate",
        clock=clock,
        pace=clock,
        chance=chance.fork("orders"),
        journal=journal,
        timelines=Timelines(None),
        positions=positions,
        risk=Risk(Caps(), positions),
    )
    return Trading(
        ExecutionRouter({connector.name: desk}),
        venue=connector.name,
        symbol=plan.scenario.symbol,
        kind=plan.scenario.market,
        run="estimate",
        clock=clock,
        pace=clock,
        chance=chance,
    )


async def _worth(trade: Trading, side: str, size: SizeSpec) -> Worth:
    is_ask = side_is_ask(side)
    size_i = await trade.size_i(size, is_ask=is_ask)
    bid, ask = await trade.quote()
    price = (bid if is_ask else ask) or ask or bid or Decimal(0)
    base = trade.market.size(size_i)
    return Worth(base, base * price)
