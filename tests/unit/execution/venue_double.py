"""
A venue in memory, at the level of typed events: no wire, no sockets, time from the running virtual loop.

It has a matching engine's *truth* (:class:`True_` per order) and tells it late, twice, out of order or not at all, as
a :class:`Plan` per order says. Tests compare what execution believes with the truth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import anyio
import msgspec

from core.clock import VirtualClock
from core.precision import as_decimal
from venues.errors import OutcomeUnknown, Refused
from venues.events import (
    BalanceSeen,
    BookSeen,
    FillSeen,
    MarginSeen,
    MarketFacts,
    OrderSeen,
    PositionSeen,
    SessionSeen,
    SnapshotSeen,
    Source,
    Status,
)
from venues.interface import Abilities, Absent

SOL = MarketFacts(
    symbol="SOL-P",
    base="SOL",
    quote="USDC",
    kind="perp",
    price_decimals=2,
    size_decimals=2,
    tick_i=1,
    lot_i=1,
    min_size_i=1,
    initial_margin=Decimal("0.02"),
)
SOL_SPOT = MarketFacts(
    symbol="SOL-S", base="SOL", quote="USDC", kind="spot", price_decimals=2, size_decimals=2, tick_i=1, lot_i=1,
    min_size_i=1,
)  # fmt: skip
ABILITIES = Abilities(
    order_entry="rest",
    post_only=True,
    reduce_only=True,
    max_client_id=2**32 - 1,
    expiry_ms=5_000,
    read_lag_ms=2_000,
    history_by_client_id=True,
    dead_mans_switch=False,
    spot=True,
    spot_fee_in_base=False,
    quotes=("USDC", "USDT"),
)


@dataclass
class Plan:
    """What happens to one order. Seconds count from the submit, fills and expiry from its arrival at the engine."""

    arrive_secs: float | None = 0.01
    """None: the request is lost on its way and the order never lives."""
    answer_secs: float = 0.03
    answer: str = "ok"
    """``ok``; ``lost`` (OutcomeUnknown); or a code: the venue refuses with it and nothing lives."""
    fills: tuple[tuple[float, int], ...] = ()
    expire_secs: float | None = None
    """The venue itself cancels it so long after arrival, as POST_ONLY_WOULD_CROSS."""
    tell_secs: float = 0.02
    """Delay of the stream."""
    fill_tell_secs: float | None = None
    """Delay of trades, where it differs."""
    silent: bool = False
    """The stream says nothing of this order."""
    twice: bool = False
    named_fills: bool = True
    """False: trades carry the venue's id only."""
    cancel: str = "ok"
    """``ok``; ``lost`` (executed, reply lost); ``dropped`` (never arrives, no reply)."""
    cancel_secs: float = 0.02
    """From a cancel request to its execution in the engine."""
    cancel_answer_secs: float = 0.03


@dataclass
class True_:
    """The truth about one order. ``past`` is what each reading of the engine would have shown, and when."""

    client_id: int
    venue_id: str
    symbol: str
    is_ask: bool
    size_i: int
    price_i: int | None
    sent_at: float
    plan: Plan
    expires_at: float
    arrived_at: float | None = None
    status: Status | None = None
    """None: on its way, or never arrived."""
    dead: bool = False
    """It can not become live any more."""
    filled_i: int = 0
    created_us: int = 0
    cause: str = ""
    trades: list[tuple[float, FillSeen]] = field(default_factory=list)
    past: list[tuple[float, OrderSeen]] = field(default_factory=list)

    @property
    def live(self) -> bool:
        return self.status in (Status.OPEN, Status.PARTIALLY_FILLED)

    @property
    def maybe_live(self) -> bool:
        return not self.dead


class VenueDouble:
    """One account; implements ``venues.interface.Venue``. ``sent`` and ``calls`` are its diary, ``true`` the truth."""

    def __init__(
        self,
        clock: VirtualClock,
        *,
        name: str = "double",
        markets: tuple[MarketFacts, ...] = (SOL, SOL_SPOT),
        abilities: Abilities = ABILITIES,
    ) -> None:
        self.name = name
        self.abilities = abilities
        self.markets: Mapping[str, MarketFacts] = {facts.symbol: facts for facts in markets}
        self.clock = clock
        self.true: dict[int, True_] = {}
        self.calls: list[tuple[float, str, int]] = []
        """``(time, verb, client id)`` of every request, when its bytes left."""
        self.plans: list[Plan] = []
        self.default_plan = Plan()
        self.others: dict[str, tuple[int | None, int | None]] = dict.fromkeys(self.markets, (14_000, 14_002))
        self.told_book: dict[str, tuple[int | None, int | None]] = dict(self.others)
        self.book_tell_secs = 0.01
        self.read_secs = 0.02
        self.read_lag_secs = 0.0
        """Readings show the engine as it was so long ago."""
        self.list_lag_secs: float | None = None
        """The same for the list of open orders alone."""
        self.reads_fail = 0
        """So many of the next order readings fail."""
        self.crossing = "refuse"
        """A post-only order that would cross: ``refuse`` it, or ``expire`` it after the acknowledgement."""
        self.jitter: Callable[[], float] = lambda: 0.0
        self.before_submit: Callable[[int], None] = lambda client_id: None
        self.after_event: Callable[[], None] = lambda: None
        self.positions: dict[str, Decimal] = {}
        self.offset_ms = 0
        self.remembered: dict[int, str] = {}
        self.broken: list[Exception] = []
        """What failed inside a timer, where nobody would see it; tests look here at the end."""
        self._synced = anyio.Event()
        self._synced.set()
        self._listeners: list[Callable[[object], None]] = []
        self._next_id = 0
        self._engine_us = 0
        self._lost_at = 0.0

    # -- the feed

    @property
    def synced(self) -> bool:
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        await self._synced.wait()

    async def watch(self, symbol: str) -> None: ...

    def subscribe(self, listener: Callable[[object], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def remember(self, symbol: str, client_order_index: int, venue_id: str, sent_ms: int = 0) -> None:
        self.remembered[client_order_index] = venue_id

    async def server_time_ms(self) -> int:
        return self.venue_now_ms()

    def venue_now_ms(self) -> int:
        return self.clock.now_ms() + self.offset_ms

    async def start(self) -> None:
        self.tell(MarginSeen(balance=Decimal(10_000), available=Decimal(10_000)))
        for symbol in self.markets:
            self._show_book(symbol)

    async def stop(self) -> None: ...

    def tell(self, event: object) -> None:
        """Deliver an event to the listeners now, whatever the line's state."""
        for listener in list(self._listeners):
            listener(event)
        self.after_event()

    def _tell_later(self, event: object, secs: float) -> None:
        line, up = self._synced, self.synced

        def deliver() -> None:
            # What is said while the line is down, or was under way when it broke, never arrives.
            if up and line is self._synced:
                self.tell(event)

        self._later(secs + self.jitter(), deliver)

    def _later(self, secs: float, deed: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                deed()
            except Exception as error:
                self.broken.append(error)

        asyncio.get_running_loop().call_later(secs, guarded)

    def lose_stream(self, back_after_secs: float | None = None) -> None:
        """Cut the line; events meanwhile are lost. It comes back with a snapshot, if told when."""
        if not self.synced:
            return
        self._synced = anyio.Event()
        self._lost_at = self.clock.monotonic()
        self.tell(SessionSeen(state="lost", line="main", why="cut by the test"))
        if back_after_secs is not None:
            self._later(back_after_secs, self.restore_stream)

    def restore_stream(self) -> None:
        """Merge one snapshot, then sync."""
        self.tell(
            SnapshotSeen(
                asked_ms=self.venue_now_ms(),
                open_orders=tuple(self._listed(None, 0.0)),
                positions=tuple(self._positions()),
                balances=(),
                margin=MarginSeen(balance=Decimal(10_000), available=Decimal(10_000)),
                fills=tuple(f for o in self.true.values() for at, f in o.trades if at >= self._lost_at - 1),
            )
        )
        self._synced.set()
        for symbol in self.markets:
            self.told_book[symbol] = self._best(symbol)
            self.tell(self._book_seen(symbol))
        self.tell(SessionSeen(state="synced", line="main"))

    # -- the book

    def set_book(self, bid_i: int | None, ask_i: int | None, symbol: str = SOL.symbol) -> None:
        """Other people's best prices; our own live orders come on top."""
        self.others[symbol] = (bid_i, ask_i)
        self._show_book(symbol)

    def _best(self, symbol: str) -> tuple[int | None, int | None]:
        bid_i, ask_i = self.others[symbol]
        for order in self.true.values():
            if order.live and order.symbol == symbol and order.price_i is not None:
                if order.is_ask:
                    ask_i = order.price_i if ask_i is None else min(ask_i, order.price_i)
                else:
                    bid_i = order.price_i if bid_i is None else max(bid_i, order.price_i)
        return bid_i, ask_i

    def _book_seen(self, symbol: str) -> BookSeen:
        bid_i, ask_i = self.told_book[symbol]
        return BookSeen(symbol=symbol, bid_i=bid_i, ask_i=ask_i)

    def _show_book(self, symbol: str) -> None:
        def deliver() -> None:
            if self.synced:
                self.told_book[symbol] = self._best(symbol)
                self.tell(self._book_seen(symbol))

        self._later(self.book_tell_secs, deliver)

    async def get_top_of_book(self, symbol: str) -> tuple[int | None, int | None, int]:
        return (*self.told_book[symbol], 10 ** self.markets[symbol].price_decimals)

    async def get_price_size_decimals(self, symbol: str) -> tuple[int, int]:
        return self.markets[symbol].price_decimals, self.markets[symbol].size_decimals

    async def get_min_size_i(self, symbol: str) -> int:
        return self.markets[symbol].min_size_i

    # -- orders

    async def submit_limit_order(
        self, *, symbol, client_order_index, base_amount, price, is_ask, post_only=False, reduce_only=0
    ) -> str:
        return await self._submit(symbol, client_order_index, base_amount, price, is_ask, post_only)

    async def submit_market_order(self, *, symbol, client_order_index, size_i, is_ask, reduce_only=0) -> str:
        return await self._submit(symbol, client_order_index, size_i, None, is_ask, False)

    async def _submit(
        self, symbol: str, client_id: int, size_i: int, price_i: int | None, is_ask: bool, post_only: bool
    ) -> str:
        self.before_submit(client_id)
        now = self.clock.monotonic()
        self.calls.append((now, "place", client_id))
        if client_id in self.true:
            raise Refused("DUPLICATE_CLIENT_ID", "seen before")
        plan = self.plans.pop(0) if self.plans else self.default_plan
        self._next_id += 1
        order = self.true[client_id] = True_(
            client_id, f"V{self._next_id}", symbol, is_ask, size_i, price_i, now, plan,
            now + self.abilities.expiry_ms / 1000,
        )  # fmt: skip
        refused = [plan.answer] if plan.answer not in ("ok", "lost") else []
        if refused or plan.arrive_secs is None:
            order.dead = True
        elif plan.arrive_secs * 1000 > self.abilities.expiry_ms:
            # The venue's own fence: too old on arrival. It is dead only once nothing can arrive any more.
            self._later(plan.arrive_secs, lambda: setattr(order, "dead", True))
        else:
            self._later(plan.arrive_secs, lambda: self._arrive(order, post_only, refused))
        await self.clock.sleep(plan.answer_secs)
        if refused:
            raise Refused(refused[0], "no", raw="the double said no")
        if plan.answer == "lost":
            raise OutcomeUnknown("IN_DOUBT", "no answer")
        return order.venue_id

    def _arrive(self, order: True_, post_only: bool, refused: list[str]) -> None:
        if order.dead:
            return
        bid_i, ask_i = self.others[order.symbol]
        order.arrived_at = self.clock.monotonic()
        order.created_us = self._tick()
        if order.price_i is None:
            self._change(order, Status.OPEN, told=False)
            self._fill(order, order.size_i, bid_i if order.is_ask else ask_i)
            return
        against = bid_i if order.is_ask else ask_i
        crosses = against is not None and (order.price_i <= against if order.is_ask else order.price_i >= against)
        if post_only and crosses and self.crossing == "refuse":
            order.dead = True
            refused.append("POST_ONLY_WOULD_CROSS")
            self.after_event()
            return
        self._change(order, Status.OPEN)
        self._show_book(order.symbol)
        if post_only and crosses:
            self._end(order, "POST_ONLY_WOULD_CROSS")
            return
        for secs, size_i in order.plan.fills:
            self._later(secs, lambda size_i=size_i: self._fill(order, size_i, order.price_i))
        if order.plan.expire_secs is not None:
            self._later(order.plan.expire_secs, lambda: self._end(order, "POST_ONLY_WOULD_CROSS"))

    def fill(self, client_id: int, size_i: int) -> None:
        """Trade against a live order now."""
        order = self.true[client_id]
        self._fill(order, size_i, order.price_i)

    def _fill(self, order: True_, size_i: int, price_i: int | None) -> None:
        size_i = min(size_i, order.size_i - order.filled_i)
        if not order.live or size_i <= 0 or price_i is None:
            return
        facts = self.markets[order.symbol]
        order.filled_i += size_i
        fill = FillSeen(
            symbol=order.symbol,
            trade_id=f"T{order.venue_id}-{len(order.trades) + 1}",
            client_id=order.client_id if order.plan.named_fills else None,
            venue_id=order.venue_id,
            is_ask=order.is_ask,
            size_i=size_i,
            price=as_decimal(price_i, facts.price_decimals),
            fee=Decimal("0.01"),
            fee_asset="USDC",
            is_maker=order.price_i is not None,
            engine_us=self._tick(),
        )
        order.trades.append((self.clock.monotonic(), fill))
        signed = as_decimal(size_i, facts.size_decimals) * (-1 if order.is_ask else 1)
        quantity = self.positions[order.symbol] = self.positions.get(order.symbol, Decimal(0)) + signed
        plan = order.plan
        if not plan.silent:
            delay = plan.tell_secs if plan.fill_tell_secs is None else plan.fill_tell_secs
            self._tell_later(fill, delay)
            if plan.twice:
                self._tell_later(fill, delay + 0.001)
        if facts.kind == "perp":
            self._tell_later(PositionSeen(symbol=order.symbol, quantity=quantity, engine_us=self._tick()), 0.02)
        else:
            total = 10 + quantity
            self._tell_later(BalanceSeen(asset=facts.base, free=total, total=total, engine_us=self._tick()), 0.02)
        self._change(order, Status.FILLED if order.filled_i == order.size_i else Status.PARTIALLY_FILLED)
        if not order.live:
            self._show_book(order.symbol)

    def _end(self, order: True_, code: str = "") -> None:
        if order.live:
            order.cause = code
            self._change(order, Status.CANCELLED)
            self._show_book(order.symbol)

    def _change(self, order: True_, status: Status, *, told: bool = True) -> None:
        order.status = status
        order.dead = not order.live
        seen = OrderSeen(
            symbol=order.symbol,
            client_id=order.client_id,
            venue_id=order.venue_id,
            status=status,
            is_ask=order.is_ask,
            size_i=order.size_i,
            filled_i=order.filled_i,
            price_i=order.price_i,
            reason=order.cause,
            code=order.cause,
            engine_us=self._tick(),
        )
        order.past.append((self.clock.monotonic(), seen))
        if told and not order.plan.silent:
            self._tell_later(seen, order.plan.tell_secs)
            if order.plan.twice:
                self._tell_later(seen, order.plan.tell_secs + 0.002)
        self.after_event()

    async def cancel_by_client_id(self, symbol: str, client_order_index: int) -> None:
        self.calls.append((self.clock.monotonic(), "cancel", client_order_index))
        order = self.true.get(client_order_index)
        plan = order.plan if order else Plan()
        found = order is not None and order.live
        if found and plan.cancel != "dropped":
            self._later(plan.cancel_secs, lambda: self._end(order))
        await self.clock.sleep(plan.cancel_answer_secs)
        if plan.cancel != "ok":
            raise OutcomeUnknown("IN_DOUBT", "no answer to the cancel")
        if not found:
            raise Refused("ORDER_NOT_FOUND", "nothing live under this id")

    async def fence(self, symbol: str, client_order_index: int) -> bool:
        """As a burnt nonce: it works exactly when the submit was never executed, and then it never will be."""
        self.calls.append((self.clock.monotonic(), "fence", client_order_index))
        await self.clock.sleep(self.read_secs)
        order = self.true.get(client_order_index)
        if order is None or order.arrived_at is not None:
            return False
        order.dead = True
        return True

    async def arm_dead_man(self, symbol: str) -> None: ...

    async def cancel_all(self, symbol: str) -> None:
        self.calls.append((self.clock.monotonic(), "cancel_all", 0))
        for order in self.true.values():
            if order.symbol == symbol:
                self._end(order)

    # -- readings

    def _as_of(self, order: True_, lag_secs: float) -> OrderSeen | None:
        """What a reading so old shows; REST repeats the creation time, as Backpack's does, not that of the change."""
        limit = self.clock.monotonic() - lag_secs
        known = [seen for at, seen in order.past if at <= limit]
        if not known:
            return None
        seen = known[-1]
        return msgspec.structs.replace(seen, source=Source.REST, engine_us=order.created_us)

    async def _read(self) -> None:
        await self.clock.sleep(self.read_secs)
        if self.reads_fail > 0:
            self.reads_fail -= 1
            raise OutcomeUnknown("IN_DOUBT", "the reading failed")

    async def get_order(self, symbol: str, client_order_index: int) -> OrderSeen | Absent:
        asked_ms = self.venue_now_ms()
        self.calls.append((self.clock.monotonic(), "look_up", client_order_index))
        order = self.true.get(client_order_index)
        seen = self._as_of(order, self.read_lag_secs) if order else None
        await self._read()
        if seen is None:
            return Absent(client_id=client_order_index, read_ms=asked_ms)
        self.tell(seen)
        return seen

    async def get_order_fills(self, symbol: str, client_order_index: int) -> list[FillSeen]:
        order = self.true.get(client_order_index)
        limit = self.clock.monotonic() - self.read_lag_secs
        fills = [fill for at, fill in order.trades if at <= limit] if order else []
        await self._read()
        return fills

    def _listed(self, symbol: str | None, lag_secs: float) -> list[OrderSeen]:
        seen = [self._as_of(o, lag_secs) for o in self.true.values() if symbol in (None, o.symbol)]
        return [s for s in seen if s is not None and s.status in (Status.OPEN, Status.PARTIALLY_FILLED)]

    async def get_open_orders(self, symbol: str | None = None) -> list[OrderSeen]:
        self.calls.append((self.clock.monotonic(), "list", 0))
        listed = self._listed(symbol, self.read_lag_secs if self.list_lag_secs is None else self.list_lag_secs)
        await self.clock.sleep(self.read_secs)
        return listed

    async def get_positions(self) -> list[PositionSeen]:
        return self._positions()

    def _positions(self) -> list[PositionSeen]:
        held = self.positions.items()
        return [PositionSeen(symbol=s, quantity=q, source=Source.REST) for s, q in held if q and s != SOL_SPOT.symbol]

    async def get_margin(self) -> MarginSeen:
        return MarginSeen(balance=Decimal(10_000), available=Decimal(10_000), source=Source.REST)

    async def get_balances(self) -> list[BalanceSeen]:
        return []

    # -- the truth, for tests

    def _tick(self) -> int:
        self._engine_us = max(self._engine_us + 1, self.venue_now_ms() * 1000)
        return self._engine_us

    @property
    def true_filled_i(self) -> int:
        return sum(order.filled_i for order in self.true.values())

    @property
    def maybe_live(self) -> list[True_]:
        return [order for order in self.true.values() if order.maybe_live]

    def placed(self) -> list[True_]:
        """Every order whose bytes left, in order."""
        return list(self.true.values())

    def verbs(self) -> list[str]:
        return [verb for _, verb, _ in self.calls]
