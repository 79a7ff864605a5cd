"""
The one connector: the I/O shell around a venue's dialect. It implements ``venues.interface.Venue`` and knows no venue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from core.chance import Chance, entropy
from core.clock import Clock
from core.precision import ceil_to, floor_to, power_of_ten
from core.retry import backoff
from venues.budget import Budget, Spent, Taken, Use
from venues.dialect import Dialect, DrawsAhead, HttpCall, HttpReply, OrderKey, PlaceOrder, Talk, WsText
from venues.errors import LocalRuleError, OutcomeUnknown, Refused, VenueError, WireError
from venues.events import (
    BalanceSeen,
    FillSeen,
    MarginSeen,
    MarketFacts,
    OrderSeen,
    PositionSeen,
    SessionSeen,
    VenueEvent,
)
from venues.interface import Abilities, Absent, RateRecord
from venues.session import Silence, Streams
from venues.wire import Broken, KeepsWarm, Log, NotSent, Talks, Wire, trace_of

T = TypeVar("T")

NEAREST_NAMES: Final = 3
THROTTLED_SECS: Final = 75.0
"""How much longer a start may take where the venue says "too many requests": its longest windows are of a minute."""


class Connector:
    """
    One account on one venue.

    Args:
        dialect: The venue's language, with this account's keys; its ``markets`` are filled by :meth:`start`.
        endpoints: Base URL by host name (``rest``, ``ws``, …), as the room gives them.
        wire: Closed by :meth:`stop`.
        clock: Time limits of requests run on the event loop, whatever this clock's pace.
        chance: Spreads the waits before another try.
        log: A structlog logger, or anything with its four levels; raw stream text goes to it at DEBUG.
        pace: The clock of the rate budget, where the venue's own limits pass faster than time (a simulator that is
            played on at a higher speed); None is ``clock``.
    """

    def __init__(
        self,
        dialect: Dialect,
        endpoints: Mapping[str, str],
        wire: Wire,
        clock: Clock,
        chance: Chance,
        *,
        log: Log | None = None,
        start_timeout_secs: float = 20,
        request_timeout_secs: float = 6.0,
        pace: Clock | None = None,
    ) -> None:
        self._dialect = dialect
        self._wire = wire
        self._clock = clock
        self._log: Log = log if log is not None else Silence()
        self._chance = chance.fork(dialect.name)
        self._start_timeout_secs = start_timeout_secs
        self._budget = Budget(dialect.rates.limits, pace or clock)
        self._talks = Talks(
            dialect,
            endpoints,
            wire,
            clock,
            self._chance.fork("talks"),
            self._budget,
            request_timeout_secs=request_timeout_secs,
            log=self._log,
        )
        self._streams = Streams(dialect, endpoints, wire, clock, self._chance, self._talks, self._decide, self._log)
        self._used: set[int] = set()
        self._sent_ms: dict[int, int] = {}
        """When orders from before a restart were sent; those of this run the dialect remembers."""
        self._task: asyncio.Task[None] | None = None
        self._scope: anyio.CancelScope | None = None
        self._decided = anyio.Event()
        self._signed = anyio.Event()
        self._failure: VenueError | None = None

    # -- life

    @property
    def name(self) -> str:
        return self._dialect.name

    @property
    def abilities(self) -> Abilities:
        return self._dialect.abilities

    @property
    def rates(self) -> RateRecord:
        return self._budget.record()

    @property
    def markets(self) -> Mapping[str, MarketFacts]:
        return self._dialect.markets

    @property
    def synced(self) -> bool:
        return self._streams.synced

    async def start(self) -> None:
        """
        Read the markets, measure the clock, open the streams and merge the first snapshot. If it fails, nothing
        is left running; it may then be called again.

        Raises:
            LocalRuleError: UNREACHABLE or WS_TIMEOUT after the start timeout, with the last reason;
                UNKNOWN_SYMBOL for a watched market that the venue does not have.
            Refused: AUTH - the key was not accepted; ACCOUNT_MODE - the account is in a mode we do not trade in.
        """
        if self._task is not None:
            raise RuntimeError(f"{self.name}: start was called twice")
        self._talks.closed = False
        self._failure = None
        self._decided = anyio.Event()
        self._scope = anyio.CancelScope()
        refused = self._budget.record().refused
        self._task = asyncio.create_task(self._run(self._scope), name=f"connector {self.name}")
        try:
            with anyio.move_on_after(self._start_timeout_secs):
                await self._decided.wait()
            if not self._decided.is_set() and self._budget.record().refused > refused:
                # An earlier process used the venue's limits up; within their window there is room again.
                with anyio.move_on_after(THROTTLED_SECS):
                    await self._decided.wait()
        except BaseException:
            await self.stop()
            raise
        if not self._decided.is_set():
            code, why = self._streams.trouble
            self._decide(
                LocalRuleError(
                    "WS_TIMEOUT" if code == "WS_TIMEOUT" else "UNREACHABLE",
                    f"{self.name} was not ready after {self._start_timeout_secs:g} s; the last reason: {why}",
                )
            )
        if self._failure is not None:
            failure = self._failure
            await self.stop()
            raise failure

    async def stop(self) -> None:
        """Close the streams and the HTTP client. Orders are left as they are; calling it twice is harmless."""
        self._talks.closed = True
        self._decide(LocalRuleError("UNREACHABLE", f"{self.name} was stopped while it started"))
        with anyio.CancelScope(shield=True):
            if self._task is not None and self._scope is not None:
                self._scope.cancel()
                await asyncio.wait({self._task})
                self._task = None
            await self._wire.aclose()
        self._streams.wake()

    def _decide(self, failure: VenueError | None) -> None:
        if not self._decided.is_set():
            self._failure = failure
            self._decided.set()

    async def _run(self, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                await self._first_contact()
                async with anyio.create_task_group() as parts:
                    parts.start_soon(self._talks.keep_time)
                    parts.start_soon(self._streams.run)
                    if isinstance(self._wire, KeepsWarm):
                        parts.start_soon(self._wire.keep_warm)
                    if isinstance(self._dialect, DrawsAhead):
                        parts.start_soon(self._draw_ahead, self._dialect)
        except VenueError as error:
            self._decide(error)
        except Exception as error:
            self._log.error("connector_failed", venue=self.name, trace=trace_of(error))
            why = f"an error of our own: {type(error).__name__}"
            self._decide(LocalRuleError("UNREACHABLE", why))
            self._streams.tell(SessionSeen(state="lost", why=why))

    async def _draw_ahead(self, dialect: DrawsAhead) -> None:
        """Between orders, prepare the signatures of the next ones."""
        while True:
            while dialect.draw_ahead(entropy(64)):
                await checkpoint()
            await self._signed.wait()
            self._signed = anyio.Event()

    async def _first_contact(self) -> None:
        waits = backoff(self._chance)
        while True:
            try:
                await self._talks.measure()
                self._dialect.markets = await self._talks.read(self._dialect.facts)
                self._budget.allow(self._dialect.rates.limits)
                await self._talks.read(self._dialect.prepare)
                break
            except VenueError as error:
                if isinstance(error, Refused) and error.code in ("AUTH", "ACCOUNT_MODE"):
                    raise
                self._streams.trouble = ("UNREACHABLE", f"{error.hint} {error.raw}".rstrip())
                await self._clock.sleep(next(waits))
        for symbol in self._streams.watched:
            self._market(symbol)

    # -- streams

    async def wait_synced(self) -> None:
        """Wait until ``synced``. Raises LocalRuleError NOT_SYNCED if the connector is stopped."""
        await self._streams.wait_synced()

    async def watch(self, symbol: str) -> None:
        """Follow this market's book, orders and position on the streams. Before ``start``, from the start."""
        if self.markets:
            self._market(symbol)
        await self._streams.watch(symbol)

    def subscribe(self, listener: Callable[[VenueEvent], None]) -> Callable[[], None]:
        """Call ``listener`` for every event, in order of arrival. Returns the way to stop it."""
        return self._streams.subscribe(listener)

    def remember(self, symbol: str, client_order_index: int, venue_id: str, sent_ms: int = 0) -> None:
        """Tell an order from before a restart: its venue id, and when its client id was sent."""
        self._used.add(client_order_index)
        self._sent_ms[client_order_index] = sent_ms
        if venue_id:
            self._streams.remember(client_order_index, venue_id)

    # -- markets and time

    async def get_price_size_decimals(self, symbol: str) -> tuple[int, int]:
        """``(price_decimals, size_decimals)`` of a market."""
        market = self._market(symbol)
        return market.price_decimals, market.size_decimals

    async def get_min_size_i(self, symbol: str) -> int:
        """Smallest order size, scaled by 10^size_decimals."""
        return self._market(symbol).min_size_i

    async def get_top_of_book(self, symbol: str) -> tuple[int | None, int | None, int]:
        """
        ``(bid_i, ask_i, scale)``: from the stream, or by REST while the stream has none.

        Raises:
            LocalRuleError: UNKNOWN_SYMBOL, or UNREACHABLE.
            OutcomeUnknown: the reading failed.
        """
        market = self._market(symbol)
        book = self._streams.book(symbol)
        if book is None:
            read = await self._talks.read(lambda: self._dialect.top_of_book(symbol))
            # The stream may have come up meanwhile; what it says is newer.
            book = self._streams.book(symbol) or read
        return book.bid_i, book.ask_i, power_of_ten(market.price_decimals)

    async def server_time_ms(self) -> int:
        """The venue's clock, Unix milliseconds."""
        return await self._talks.read(self._dialect.server_time)

    def venue_now_ms(self) -> int:
        """Our clock corrected by the measured offset: what signatures and expiries use."""
        return self._talks.now_ms()

    # -- order entry

    async def submit_limit_order(
        self,
        *,
        symbol: str,
        client_order_index: int,
        base_amount: int,
        price: int,
        is_ask: bool,
        post_only: bool = False,
        reduce_only: int = 0,
    ) -> str:
        """
        Rest a limit order. Returns the venue's order id ("" where it comes later by stream). If the caller is
        cancelled while it waits, the order is in doubt.

        Raises:
            LocalRuleError: nothing was sent.
            Refused: the order does not exist.
            OutcomeUnknown: it may exist; look it up by client id.
        """
        if type(price) is not int:
            raise LocalRuleError("PRECISION", f"a price must be an integer, not {type(price).__name__}")
        if price <= 0:
            raise LocalRuleError("PRICE_RANGE", f"a price must be above 0, not {price}")
        return await self._submit(symbol, client_order_index, base_amount, price, is_ask, post_only, reduce_only)

    async def submit_market_order(
        self, *, symbol: str, client_order_index: int, size_i: int, is_ask: bool, reduce_only: int = 0
    ) -> str:
        """Trade at once against the book. Returns and raises as :meth:`submit_limit_order`."""
        return await self._submit(symbol, client_order_index, size_i, None, is_ask, False, reduce_only)

    async def _submit(
        self,
        symbol: str,
        client_id: int,
        size_i: int,
        price_i: int | None,
        is_ask: bool,
        post_only: bool,
        reduce_only: int,
    ) -> str:
        self._market(symbol)
        self._check_client_id(client_id)
        if type(size_i) is not int:
            raise LocalRuleError("PRECISION", f"a size must be an integer, not {type(size_i).__name__}")
        if size_i <= 0:
            raise LocalRuleError("MIN_SIZE", f"a size must be above 0, not {size_i}")
        if reduce_only not in (0, 1):
            raise LocalRuleError("REDUCE_ONLY", f"reduce_only must be 0 or 1, not {reduce_only}")
        self._check_open(client_id)
        what = f"order {client_id} on {self.name}"
        # Before the request is made: its worst price, expiry and signature count from then.
        taken = await self._room(symbol, Use.SUBMIT, what)
        await self._prepare(Use.SETTLE)
        order = PlaceOrder(
            symbol=symbol,
            client_id=client_id,
            is_ask=is_ask,
            size_i=size_i,
            price_i=price_i,
            post_only=post_only,
            reduce_only=bool(reduce_only),
            worst_price_i=await self._worst_price(symbol, is_ask) if price_i is None else None,
        )
        # All that may have taken long.
        self._check_open(client_id)
        request = self._dialect.place(order, self._talks.now_ms(), rest=self._streams.order_line_down(symbol))
        self._used.add(client_id)
        reply = await self._exchange(request, taken, what)
        events = self._understand(lambda: self._dialect.read_placed(order, reply), what)
        for event in events:
            self._streams.tell(event)
        return self._streams.venue_ids.get(client_id, "")

    async def cancel_by_client_id(self, symbol: str, client_order_index: int) -> None:
        """
        Ask for a cancel, also while the streams are down. A normal return says the venue took the request, NOT
        that the order is settled.

        Raises:
            LocalRuleError: nothing was sent.
            Refused: ORDER_NOT_FOUND - nothing live under this id (it may have filled).
            OutcomeUnknown: the request may or may not have arrived.
        """
        key = self._key(symbol, client_order_index)
        what = f"the cancel of {client_order_index} on {self.name}"
        taken = await self._room(symbol, Use.CANCEL, what)
        await self._prepare(Use.CANCEL)
        request = self._dialect.cancel(key, self._talks.now_ms(), rest=self._streams.order_line_down(symbol))
        reply = await self._exchange(request, taken, what)
        for event in self._understand(lambda: self._dialect.read_cancelled(key, reply), what):
            self._streams.tell(event)

    async def cancel_all(self, symbol: str) -> None:
        """Cancel every live order of the account in this market, ours or not. Raises as ``cancel_by_client_id``."""
        self._market(symbol)
        for event in await self._talks.once(self._dialect.cancel_all(symbol), Use.CANCEL):
            self._streams.tell(event)

    async def fence(self, symbol: str, client_order_index: int) -> bool:
        """See ``VenueFeed.fence``. Never raises for what the venue answers."""
        key = self._key(symbol, client_order_index)
        try:
            return await self._talks.once(self._dialect.fence(key), Use.CANCEL)
        except VenueError as error:
            self._log.warning("fence_failed", client_id=client_order_index, why=str(error))
            return False

    async def arm_dead_man(self, symbol: str) -> None:
        """Start, or restart, the venue's countdown for this market."""
        if self.abilities.dead_mans_switch:
            await self._prepare(Use.CANCEL)
            await self._talks.once(self._dialect.dead_man(symbol, self.abilities.dead_man_secs), Use.CANCEL)

    async def disarm_dead_man(self, symbol: str) -> None:
        """Stop the countdown."""
        if self.abilities.dead_mans_switch:
            await self._prepare(Use.CANCEL)
            await self._talks.once(self._dialect.dead_man(symbol, 0), Use.CANCEL)

    async def _prepare(self, use: Use) -> None:
        if self._dialect.unprepared:
            try:
                await self._talks.read(self._dialect.prepare, use)
            except OutcomeUnknown as error:
                # Only the reading before the request failed: there is nothing to be in doubt about.
                raise LocalRuleError(error.code, f"nothing was sent: {error.hint}", raw=error.raw) from None

    async def _worst_price(self, symbol: str, is_ask: bool) -> int | None:
        """The worst price to accept for a market order, on the grid, where the venue wants one."""
        slippage_bps = self.abilities.market_slippage_bps
        if slippage_bps is None:
            return None
        bid_i, ask_i, _ = await self.get_top_of_book(symbol)
        other_i = bid_i if is_ask else ask_i
        if other_i is None:
            raise LocalRuleError("STALE_BOOK", f"nobody to trade with on {symbol}: the side is empty")
        market = self._market(symbol)
        if is_ask:
            worst_i = other_i * (10_000 - slippage_bps) // 10_000
            return max(market.tick_i, ceil_to(worst_i, market.price_step(worst_i)))
        worst_i = other_i * (10_000 + slippage_bps) // 10_000
        return floor_to(worst_i, market.price_step(worst_i))

    async def _room(self, symbol: str, use: Use, what: str) -> Taken:
        """Room in the rate budget for one order's placement or cancel, before it is made."""
        rest = self._streams.order_line_down(symbol) or self._dialect.order_line(symbol) is None
        costs = self._dialect.rates.order_cost(symbol, cancel=use is Use.CANCEL, rest=rest)
        try:
            return await self._budget.take(use, costs)
        except Spent as error:
            raise LocalRuleError("RATE_LIMITED", f"{what} was not sent: {error}") from None

    async def _exchange(self, request: HttpCall | WsText, taken: Taken, what: str) -> HttpReply:
        """Send once and wait for the answer. A cancelled wait is not caught: its caller holds it for in doubt."""
        try:
            if isinstance(request, HttpCall):
                return await self._talks.send(request, taken)
            reply = await self._streams.sessions[request.line].ask(request, self._talks.request_timeout_secs)
            if self._dialect.rates.throttled(reply):
                self._budget.refuse(taken.costs)
            return reply
        except NotSent as error:
            code = "UNREACHABLE" if isinstance(request, HttpCall) else "NOT_SYNCED"
            raise LocalRuleError(code, f"{what} was not sent: {error}") from None
        except Broken as error:
            raise OutcomeUnknown("IN_DOUBT", f"{what} was sent, its answer was lost: {error}") from None
        finally:
            self._signed.set()

    def _understand(self, read: Callable[[], T], what: str) -> T:
        """What the dialect reads in an answer. Whatever does not prove a refusal leaves the matter in doubt."""
        try:
            return read()
        except (Refused, OutcomeUnknown) as error:
            self._talks.notice(error.code)
            raise
        except Exception as error:
            raw = error.raw if isinstance(error, VenueError) else ""
            word = error.hint if isinstance(error, WireError) else type(error).__name__
            raise OutcomeUnknown("IN_DOUBT", f"the answer to {what} is unreadable: {word}", raw=raw) from error

    # -- reading

    async def get_order(self, symbol: str, client_order_index: int) -> OrderSeen | Absent:
        """
        The order as the venue's REST interface has it, open or ended; listeners hear it, too.

        Raises:
            LocalRuleError: UNKNOWN_SYMBOL, CLIENT_ID_RANGE.
            OutcomeUnknown: the reading failed or was incomplete; it proves nothing.
        """
        key = self._key(symbol, client_order_index)
        asked_ms = 0

        def begin() -> Talk[OrderSeen | None]:
            nonlocal asked_ms
            asked_ms = self._talks.now_ms()
            return self._dialect.look_up(key)

        seen = await self._evidence(begin)
        if seen is None:
            return Absent(client_id=client_order_index, read_ms=asked_ms)
        self._streams.tell(seen)
        return seen

    async def get_order_fills(self, symbol: str, client_order_index: int) -> Sequence[FillSeen]:
        """Every trade of one order that the venue's history has. Raises as :meth:`get_order`."""
        key = self._key(symbol, client_order_index)
        return await self._evidence(lambda: self._dialect.order_fills(key))

    async def get_open_orders(self, symbol: str | None = None) -> Sequence[OrderSeen]:
        """Every live order of the account (of one market), ours or not."""
        if symbol is not None:
            self._market(symbol)
        return await self._talks.read(lambda: self._dialect.open_orders(symbol), Use.SETTLE)

    async def get_positions(self) -> Sequence[PositionSeen]:
        """Perp positions as the venue has them now; markets without one are left out."""
        return await self._talks.read(self._dialect.positions, Use.SETTLE)

    async def get_balances(self) -> Sequence[BalanceSeen]:
        """Spot balances as the venue has them now."""
        return await self._talks.read(self._dialect.balances, Use.SETTLE)

    async def get_margin(self) -> MarginSeen:
        """Equity and free margin in USD as the venue has them now."""
        return await self._talks.read(self._dialect.margin)

    async def _evidence(self, begin: Callable[[], Talk[T]]) -> T:
        # About an order, "refused" and "nothing was sent" would read as proof that it does not exist.
        try:
            return await self._talks.read(begin, Use.SETTLE)
        except (Refused, LocalRuleError) as error:
            raise OutcomeUnknown(error.code, error.hint, raw=error.raw) from None

    # -- local rules

    def _market(self, symbol: str) -> MarketFacts:
        market = self._dialect.markets.get(symbol)
        if market is not None:
            return market
        from difflib import get_close_matches

        nearest = get_close_matches(symbol, list(self._dialect.markets), NEAREST_NAMES)
        hint = f"{self.name} has no market {symbol!r}"
        raise LocalRuleError("UNKNOWN_SYMBOL", hint + (f"; nearest: {', '.join(nearest)}" if nearest else ""))

    def _check_client_id(self, client_id: int) -> None:
        if type(client_id) is not int or not 1 <= client_id <= self._dialect.abilities.max_client_id:
            raise LocalRuleError("CLIENT_ID_RANGE", f"{self.name} takes 1..{self._dialect.abilities.max_client_id}")

    def _check_open(self, client_id: int) -> None:
        if client_id in self._used:
            raise LocalRuleError("DUPLICATE_CLIENT_ID", f"client id {client_id} was sent before")
        if not self._streams.synced:
            raise LocalRuleError("NOT_SYNCED", f"{self.name}'s streams are not up to date")

    def _key(self, symbol: str, client_id: int) -> OrderKey:
        self._market(symbol)
        self._check_client_id(client_id)
        return OrderKey(
            symbol=symbol,
            client_id=client_id,
            venue_id=self._streams.venue_ids.get(client_id),
            sent_ms=self._sent_ms.get(client_id, 0),
        )
