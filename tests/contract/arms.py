"""
One body, two arms. A contract test is written once and plays in every room that has a simulator:

* ``memory`` - virtual time, no sockets, seeded travel times and faults;
* ``loopback`` - the machine's clock, real HTTP and WebSocket on 127.0.0.1.

Above the wire both are the program as it trades: the room's own dialect, the one connector, the order service. Below
it stands the venue's simulator behind a gate where faults happen. Bodies name no venue: they ask the simulator what
is true (:meth:`Stack.truth`) and the order service what it believes.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from core.chance import Chance
from core.clock import Clock, PacedClock, SystemClock, VirtualClock, run_virtual
from core.log import get
from core.precision import floor_to
from execution.caps import Caps
from execution.journal import Journal
from execution.markets import Market
from execution.order import Order, State
from execution.orders import Orders
from execution.positions import Positions
from execution.risk import Risk
from execution.timeline import Timelines
from venues import VENUES, open_room
from venues.connector import Connector
from venues.events import SessionSeen
from venues.simulation import SIMULATORS, open_simulator
from venues.simulation.app import Request
from venues.simulation.faults import Faults
from venues.simulation.gate import FaultGate, GatedStream
from venues.simulation.memory import MemoryWire
from venues.simulation.server import serve
from venues.wire import SocketWire

ROOMS = tuple(venue for venue in VENUES if venue in SIMULATORS)
ALARMS = {"LATE_FILL", "OVERFILL", "REFUSED_BUT_SEEN", "POSITION_MISMATCH"}
# A body that hangs must end: in virtual time at once, on sockets well within the suite's patience.
LIMIT_SECS = {"memory": 900.0, "loopback": 20.0}


class CountingGate(FaultGate):
    """A gate that also keeps the kind of every request that reached it, by HTTP or on a stream."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asked: list[str] = []

    async def http(self, request: Request) -> Any:
        self.asked.append(self.app.http_kind(request))
        return await super().http(request)

    def text(self, stream: GatedStream, text: str) -> None:
        self.asked.append(self.app.text_kind(text))
        super().text(stream, text)


@dataclass
class Stack:
    """One account on one venue, whole."""

    arm: str
    venue: str
    clock: Clock
    sim: Any
    gate: CountingGate
    dialect: Any
    connector: Connector
    desk: Orders
    positions: Positions
    kind: str
    heard: list[Any] = field(default_factory=list)
    market: Market = None  # type: ignore[assignment]  # known once the markets are read

    async def start(self) -> None:
        """Connect, and follow SOL (or what the venue has) in this kind of market."""
        await self.connector.start()
        # A venue may have no SOL of this kind; any coin that it has will do.
        coins = [facts.base for facts in self.connector.markets.values() if facts.kind == self.kind]
        self.market = self.desk.markets.find("SOL" if "SOL" in coins else coins[0], self.kind)
        self.positions.follow(self.market)
        await self.connector.watch(self.market.venue_symbol)
        self.positions.set_baseline(self.market)
        await self.until(lambda: self.positions.mid(self.market) is not None)

    # -- waiting

    async def until(self, done: Callable[[], object], secs: float = 8.0) -> None:
        give_up = self.clock.monotonic() + secs
        while not done():
            assert self.clock.monotonic() < give_up, "it did not happen in time"
            await self.clock.sleep(0.01)

    def sessions(self) -> list[str]:
        """The connector's own words about its streams, in order."""
        return [event.state for event in self.heard if isinstance(event, SessionSeen)]

    def came_back(self) -> bool:
        """A stream was lost, and every word since then says that the account and its lines are in step again."""
        words = self.sessions()
        return "lost" in words and words[-1] == "synced" and self.connector.synced

    # -- trading

    async def best(self) -> tuple[int, int]:
        give_up = self.clock.monotonic() + 8.0
        while True:
            bid_i, ask_i, _ = await self.connector.get_top_of_book(self.market.venue_symbol)
            if bid_i is not None and ask_i is not None:
                return bid_i, ask_i
            # Where messages get lost, the last one heard may be of an empty moment.
            assert self.clock.monotonic() < give_up, "a side of the book stayed empty"
            await self.clock.sleep(0.1)

    async def away(self, is_ask: bool = False) -> int:
        """A price one per cent behind our own side's best, where nothing trades by itself."""
        bid_i, ask_i = await self.best()
        wanted = ask_i * 101 // 100 if is_ask else bid_i * 99 // 100
        return self.market.passive_price(wanted, is_ask=is_ask)

    async def size(self, times: int = 4) -> int:
        """``times`` the smallest order, measured at the bid a little below the market."""
        bid_i, _ = await self.best()
        return times * self.market.smallest_order(bid_i * 98 // 100)

    async def rest(self, *, is_ask: bool = False, times: int = 4) -> Order:
        """An order that rests until somebody hits it."""
        return await self.desk.place_limit(
            self.market,
            is_ask=is_ask,
            size_i=await self.size(times),
            price_i=await self.away(is_ask),
            leg=f"test/{len(self.desk.book)}",
        )

    async def take(self, *, is_ask: bool = False, times: int = 4, reduce_only: bool = False) -> Order:
        """A market order, settled."""
        order = await self.desk.place_market(
            self.market,
            is_ask=is_ask,
            size_i=await self.size(times),
            leg=f"test/{len(self.desk.book)}",
            reduce_only=reduce_only,
        )
        await self.desk.settle(order)
        return order

    # -- the simulator's own books

    def live(self) -> list[Any]:
        """Orders of ours that are live at the venue, in any of its wallets, whatever we believe."""
        engine = self.sim.engine
        return [order for owner in engine.accounts for order in engine.open_orders(owner)]

    def hit(self, share: Decimal = Decimal(1)) -> None:
        """The street trades ``share`` of what is left of our newest live order, and nothing else."""
        engine, order = self.sim.engine, self.live()[-1]
        lot = engine.listings[order.symbol].lot_i
        size_i = floor_to(int(order.left_i * share), lot)
        sides = [engine.books[order.symbol].side(is_ask) for is_ask in (False, True)]
        quoted = [{price: side.levels[price].street for price in side.prices()} for side in sides]
        engine.requote(order.symbol, {}, {})
        engine.take(order.symbol, is_ask=not order.is_ask, size_i=size_i, bound_i=order.price_i)
        engine.requote(order.symbol, *quoted)

    def truth(self) -> Decimal:
        """Signed base units that our account has really traded."""
        engine, total = self.sim.engine, Decimal(0)
        for fill in engine.fills:
            size = engine.listings[fill.symbol].size(fill.size_i)
            total += -size if fill.is_ask else size
        return total

    def believed(self) -> Decimal:
        """Signed base units of the trades that our orders hold."""
        total = Decimal(0)
        for order in self.desk.book.values():
            traded = self.market.size(order.traded_i)
            total += -traded if order.intent.is_ask else traded
        return total

    def placed(self) -> int:
        """How many order requests reached the venue."""
        return self.gate.asked.count("place")

    def at_rest(self) -> None:
        """Nothing is live or unknown, what we believe is what happened, and nothing came too late."""
        assert self.live() == []
        assert [order for order in self.desk.book.values() if not order.settled] == []
        assert self.believed() == self.truth()
        for order in self.desk.book.values():
            assert order.filled_i == order.traded_i <= order.intent.size_i
            assert order.state is not State.FAILED or order.traded_i == 0
        assert [row for row in self.desk.errors if row[1] in ALARMS] == []


@contextlib.asynccontextmanager
async def stack(
    arm: str,
    venue: str,
    *,
    kind: str = "perp",
    seed: int = 1,
    faults: Sequence[Mapping[str, Any]] = (),
    speed: float = 1.0,
    credentials: Mapping[str, Any] | None = None,
    sim: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    start: bool = True,
    journal: Path | str = ":memory:",
    request_timeout_secs: float = 6.0,
) -> AsyncIterator[Stack]:
    """
    A whole venue for the length of the block.

    Args:
        credentials: Instead of the simulator's own.
        sim: More options for the simulator.
        speed: Of the market and of the order service's pace.
    """
    clock: Clock = VirtualClock() if arm == "memory" else SystemClock()
    chance = Chance(seed)
    rules = Faults.load([dict(rule) for rule in faults], chance=chance.fork("faults"))
    app = open_simulator(venue, clock=clock, chance=chance.fork("sim"), faults=rules, speed=speed, **(sim or {}))
    gate = CountingGate(app, rules, clock)
    async with contextlib.AsyncExitStack() as opened:
        wire: Any
        if arm == "memory":
            wire = MemoryWire({venue: gate}, clock, chance.fork("wire"))
            beside = await opened.enter_async_context(anyio.create_task_group())
            opened.callback(beside.cancel_scope.cancel)
            beside.start_soon(wire.drive)
            line = app.bootstrap(f"memory://{venue}", f"memory://{venue}")
        else:
            wire = SocketWire()
            addresses = await opened.enter_async_context(serve({venue: gate}))
            line = app.bootstrap(*addresses[venue])
        room = open_room(venue)
        places = room.endpoints("sim", line)
        keys = {name: str(value) for name, value in (credentials or line["credentials"]).items()}
        dialect = room.make_dialect(keys, places)
        connector = Connector(
            dialect,
            places,
            wire,
            clock,
            chance.fork("connector"),
            # Warnings and errors go to the standard error: a failing test tells what the connector swallowed.
            log=get("contract"),
            request_timeout_secs=request_timeout_secs,
        )
        opened.push_async_callback(connector.stop)
        positions = Positions(clock)
        timelines = Timelines(folder)
        opened.callback(timelines.close_all)
        book = Journal(journal)
        opened.callback(book.close)
        desk = Orders(
            venue=connector,
            account=f"{venue}:test",
            clock=clock,
            pace=PacedClock(clock, speed),
            chance=chance.fork("orders"),
            journal=book,
            timelines=timelines,
            positions=positions,
            risk=Risk(Caps(), positions),
        )
        whole = Stack(arm, venue, clock, app, gate, dialect, connector, desk, positions, kind)
        connector.subscribe(whole.heard.append)
        if start:
            await whole.start()
        yield whole


Body = Callable[[Stack], Awaitable[None]]


def play(arm: str, venue: str, body: Body, **setup: Any) -> None:
    """Run one body on one arm."""

    async def whole() -> None:
        with anyio.fail_after(LIMIT_SECS[arm]):
            async with stack(arm, venue, **setup) as opened:
                await body(opened)

    if arm == "memory":
        run_virtual(whole())
    else:
        anyio.run(whole)


def rooms(arms: Sequence[str] = ("memory", "loopback"), kinds: Sequence[str] = ("perp",)) -> Any:
    """Parametrise ``arm, venue, kind`` over every room that has a simulator."""
    rows = []
    for arm in arms:
        for venue in ROOMS:
            for kind in kinds:
                marks = [pytest.mark.sockets] if arm == "loopback" else []
                rows.append(pytest.param(arm, venue, kind, marks=marks, id=f"{arm}-{venue}-{kind}"))
    return pytest.mark.parametrize(("arm", "venue", "kind"), rows)


def contract(
    *, arms: Sequence[str] = ("memory", "loopback"), kinds: Sequence[str] = ("perp",), **setup: Any
) -> Callable[[Body], Callable[..., None]]:
    """Make a test of a body: ``@contract(faults=[…]) async def test_…(venue: Stack)``."""

    def decorate(body: Body) -> Callable[..., None]:
        @rooms(arms, kinds)
        def test(arm: str, venue: str, kind: str) -> None:
            play(arm, venue, body, kind=kind, **setup)

        test.__name__ = body.__name__  # type: ignore[attr-defined]
        test.__doc__ = body.__doc__
        return test

    return decorate


def stranger(venue: str) -> Mapping[str, Any]:
    """Well-formed credentials that the venue has never seen: those of another simulator."""

    async def ask() -> Mapping[str, Any]:
        other = open_simulator(venue, clock=VirtualClock(), chance=Chance("stranger"))
        line: Mapping[str, Any] = other.bootstrap("memory://x", "memory://x")["credentials"]
        return line

    return run_virtual(ask())
