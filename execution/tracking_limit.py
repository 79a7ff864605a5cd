"""
The tracking limit, and the only one: rest at the own side's best price, and every interval cancel → settle → re-post
the remainder, until filled or out of time.

Safety is a reservation, not a cancel. The quantity is a purse (:func:`unreserved_i`): an order's whole size leaves it
before the first byte, and only what is *proven* unfilled at settlement comes back. A cancel acknowledgement is no
settlement. So whatever is lost, late, doubled or reordered on the wire, the sum of true fills cannot exceed the
quantity asked for: at any moment  quantity = free + settled + charged,  and fills ≤ settled + charged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import anyio

from core.clock import within
from execution.markets import Market
from execution.order import Order, State
from venues.errors import LocalRuleError, VenueError

if TYPE_CHECKING:
    from execution.orders import Orders


class Reason(StrEnum):
    """Why a tracking limit ended."""

    FILLED = "FILLED"
    TIMEOUT = "TIMEOUT"
    MAX_ATTEMPTS = "MAX_ATTEMPTS"
    STOPPED = "STOPPED"
    DUST = "DUST"
    """The remainder is below the market's minimum; it is never rounded up."""
    REFUSED = "REFUSED"
    """The venue or a local rule refuses such orders; another attempt would not help."""
    IN_DOUBT = "IN_DOUBT"
    """An order's end could not be proven in time; the symbol is halted."""


# Refusals that a fresh price or a moment's patience cures.
_PASSING: Final = frozenset(
    {"POST_ONLY_WOULD_CROSS", "PRICE_BAND", "RATE_LIMITED", "VENUE_UNAVAILABLE", "CLOCK_SKEW", "NOT_SYNCED"}
    | {"UNREACHABLE", "STALE_BOOK"}
)
_POLL_SECS: Final = 0.1
_AFTER_REFUSAL_SECS: Final = 1.0
_OWN_PRICE_SECS: Final = 0.3


@dataclass(frozen=True, slots=True)
class TrackingLimit:
    """What is wanted. Sizes are integers of 10^-size_decimals, seconds are of the play's clock."""

    is_ask: bool
    quantity_i: int
    leg: str
    interval_secs: float = 10.0
    timeout_secs: float = 120.0
    max_attempts: int = 12
    price_offset_ticks: int = 0
    """Ticks further away from the other side."""
    keep_if_best: bool = False
    """Leave an order that is still at the wanted price in its place in the queue."""
    reduce_only: bool = False


@dataclass(slots=True)
class Attempt:
    """One post. Times are Unix milliseconds."""

    number: int
    order: Order
    placed_ms: int
    ended_ms: int | None = None
    end_reason: str = ""


@dataclass(slots=True)
class TrackingResult:
    """What came of it. ``reason`` FILLED, DUST … IN_DOUBT; ``settled`` says that every order's end is proven."""

    wanted: TrackingLimit
    market: Market
    reason: Reason = Reason.TIMEOUT
    detail: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    refusals: list[tuple[int, str, str]] = field(default_factory=list)
    """``(ts_ms, code, text)`` of posts that never became orders at the venue."""
    interval_errors_ms: list[int] = field(default_factory=list)
    """For each cancel that an interval caused: how far from its due moment it was, on the play's clock."""
    mid_at_start: Decimal | None = None
    earlier: list[Order] = field(default_factory=list)
    """Orders of this leg found in the journal, from before a crash."""

    @property
    def orders(self) -> list[Order]:
        return [*self.earlier, *(attempt.order for attempt in self.attempts)]

    @property
    def filled_i(self) -> int:
        return sum(order.filled_i for order in self.orders)

    @property
    def settled(self) -> bool:
        return all(order.settled for order in self.orders)

    @property
    def prices(self) -> list[Decimal]:
        """Price of each attempt, in order."""
        return [self.market.price(a.order.intent.price_i) for a in self.attempts if a.order.intent.price_i is not None]

    @property
    def average_price(self) -> Decimal | None:
        """Quote per base over all trades; None without any."""
        traded = sum(order.traded_i for order in self.orders)
        if not traded:
            return None
        value = sum((f.price * f.size_i for order in self.orders for f in order.fills.values()), Decimal(0))
        return value / traded


def unreserved_i(quantity_i: int, orders: Iterable[Order]) -> int:
    """
    What may still be sent of ``quantity_i``: every order's whole size is charged until it is settled, then its fills.

    It is computed from the orders themselves, each of which exists before its first byte leaves, so there is no
    second book that could be forgotten on some path.
    """
    return quantity_i - sum(o.filled_i if o.settled else max(o.intent.size_i, o.filled_i) for o in orders)


async def place_tracking_limit_order(orders: Orders, market: Market, wanted: TrackingLimit) -> TrackingResult:
    """
    Trade ``wanted.quantity_i`` at prices of the own side, within time and attempts.

    Buy rests at ≤ best bid, sell at ≥ best ask, post-only. Returns when the last order is cancelled *and settled*, or
    with reason IN_DOUBT when that could not be proven. If the caller is cancelled, what is live is still cancelled and
    settled before the cancellation goes on; the result so far stands in ``orders.trackings``.

    Raises:
        LocalRuleError: the quantity is below the market's minimum or off its grid (nothing was sent).
    """
    return await _Chase(orders, market, wanted).run()


class _Chase:
    """One tracking limit under way."""

    def __init__(self, orders: Orders, market: Market, wanted: TrackingLimit) -> None:
        self.orders = orders
        self.market = market
        self.wanted = wanted
        self.pace = orders.pace
        self.result = TrackingResult(wanted, market)
        self.tries = 0
        self.deadline = 0.0
        self.due = 0.0
        # Our own order may still stand in the book we read next; see _own_echo.
        self._ended_at: tuple[int | None, int, float] | None = None
        # Fills of this leg that an earlier process settled.
        self._before_i = 0

    async def run(self) -> TrackingResult:
        self.market.check(size_i=self.wanted.quantity_i, price_i=None)
        if self.wanted.price_offset_ticks < 0 or not self.wanted.interval_secs > 0:
            raise LocalRuleError("PRICE_RANGE", "the offset must be 0 ticks or more away, the interval above 0 s")
        self.orders.trackings.append(self.result)
        self.deadline = self.pace.monotonic() + self.wanted.timeout_secs
        try:
            self.result.reason = await self._chase()
        finally:
            with anyio.CancelScope(shield=True):
                await self._finish()
        return self.result

    async def _chase(self) -> Reason:
        wanted, result, orders = self.wanted, self.result, self.orders
        result.earlier = orders.adopt(wanted.leg)
        if await orders.settle_all(result.earlier):
            return self._doubt()
        self._before_i = orders.settled_before(wanted.leg)
        while True:
            free_i = self._free_i()
            if free_i * 10_000 <= wanted.quantity_i:
                return Reason.FILLED
            ended = self._ended() or (Reason.MAX_ATTEMPTS if self.tries >= wanted.max_attempts else None)
            if ended:
                return ended
            own_i = await self._own_best()
            if own_i is None:
                return self._ended() or Reason.TIMEOUT
            if result.mid_at_start is None:
                result.mid_at_start = orders.positions.mid(self.market)
            price_i = self._price(own_i)
            size_i = self.market.floor_size(free_i)
            if price_i > 0 and size_i < self.market.smallest_order(price_i, reduce_only=wanted.reduce_only):
                return Reason.DUST
            order = await self._post(size_i, price_i)
            if order is None:
                if self.result.detail:
                    return Reason.REFUSED
                await self._pause()
                continue
            await self._rest(order)
            if await orders.settle(order) is None:
                return self._doubt()
            self._ended_at = (order.intent.price_i, self._book_changes(), orders.clock.monotonic())
            self._close(result.attempts[-1])
            if order.state is State.CANCELLED and not order.cancel_requested:
                # The venue ended it by itself (post-only at matching): posting at once would burn all attempts.
                if order.code:
                    self._refused(order.code, f"{order.code}: {order.reason}")
                if self.result.detail:
                    return Reason.REFUSED
                await self._pause()

    def _free_i(self) -> int:
        wanted = self.wanted
        return unreserved_i(wanted.quantity_i - self._before_i, self.orders.of_leg(wanted.leg))

    async def _pause(self) -> None:
        await self.pace.sleep(min(_AFTER_REFUSAL_SECS, self.wanted.interval_secs))

    def _ended(self) -> Reason | None:
        if self.orders.stopping or self.market.venue_symbol in self.orders.halted:
            return Reason.STOPPED
        return Reason.TIMEOUT if self.pace.monotonic() >= self.deadline else None

    # -- price

    async def _own_best(self) -> int | None:
        """Best price of our side from a synced stream and an uncrossed book; None when time ran out first."""
        venue, symbol = self.orders.venue, self.market.venue_symbol
        while self._ended() is None:
            left = self.deadline - self.pace.monotonic()
            if not venue.synced:
                await within(self.pace, min(left, 1.0), venue.wait_synced)
                continue
            try:
                bid_i, ask_i, _ = await venue.get_top_of_book(symbol)
            except VenueError:
                bid_i = ask_i = None
            own_i = ask_i if self.wanted.is_ask else bid_i
            crossed = bid_i is not None and ask_i is not None and bid_i >= ask_i
            if own_i is not None and not crossed and not self._own_echo(own_i):
                return own_i
            await self.pace.sleep(min(left, _POLL_SECS))
        return None

    def _price(self, own_i: int) -> int:
        offset = self.wanted.price_offset_ticks * self.market.facts.price_step(own_i)
        own_i = own_i + offset if self.wanted.is_ask else own_i - offset
        return self.market.passive_price(own_i, is_ask=self.wanted.is_ask)

    def _own_echo(self, own_i: int) -> bool:
        """
        The best price is the one our last order stood at, and the book has not moved since it ended.

        If we were alone there, joining "the best" would be following ourselves. Any book message after the end
        settles it; a venue that sends none within a moment had others at that price.
        """
        if self._ended_at is None or own_i != self._ended_at[0]:
            return False
        _, changes, since = self._ended_at
        return self._book_changes() == changes and self.orders.clock.monotonic() - since < _OWN_PRICE_SECS

    def _book_changes(self) -> int:
        return self.orders.positions.book_changes(self.market)

    # -- one attempt

    async def _post(self, size_i: int, price_i: int) -> Order | None:
        """A live (or doubtful) order, or None when it never was; ``detail`` is set when another try is pointless."""
        wanted, orders, result = self.wanted, self.orders, self.result
        now = self.pace.monotonic()
        # The schedule is a grid, so that settling time does not add up; after a hold-up, or an order that ended
        # before its interval was over, it starts afresh.
        on_grid = self.due + wanted.interval_secs
        kept = self.due > 0 and wanted.interval_secs / 2 < on_grid - now <= wanted.interval_secs
        self.due = on_grid if kept else now + wanted.interval_secs
        try:
            order = await orders.place_limit(
                self.market,
                is_ask=wanted.is_ask,
                size_i=size_i,
                price_i=price_i,
                leg=wanted.leg,
                reduce_only=wanted.reduce_only,
            )
        except LocalRuleError as error:
            self._refused(error.code, str(error))
            return None
        self.tries += 1
        attempt = Attempt(len(result.attempts) + 1, order, order.sent_ms or order.intent.created_ms)
        result.attempts.append(attempt)
        if order.state is State.FAILED:
            await orders.settle(order)
            self._close(attempt)
            self._refused(order.code, f"{order.code}: {order.reason}")
            return None
        return order

    def _refused(self, code: str, text: str) -> None:
        self.result.refusals.append((self.orders.clock.now_ms(), code, text))
        self.due = 0.0
        if code not in _PASSING:
            self.result.detail = text

    async def _rest(self, order: Order) -> None:
        """Let the order rest until it ends, its interval or our time is over, or the stream is lost."""
        orders, wanted = self.orders, self.wanted
        while True:
            until = min(self.due, self.deadline)
            over = await orders.wait(
                order,
                lambda: order.terminal or order.in_doubt or not orders.venue.synced or self._ended() is not None,
                until - self.pace.monotonic(),
                self.pace,
            )
            if over or self.due > self.deadline:
                return
            if wanted.keep_if_best and await self._still_best(order):
                self.due += wanted.interval_secs
                continue
            self.result.interval_errors_ms.append(round((self.pace.monotonic() - self.due) * 1000 / self.pace.speed))
            return

    async def _still_best(self, order: Order) -> bool:
        try:
            bid_i, ask_i, _ = await self.orders.venue.get_top_of_book(self.market.venue_symbol)
        except VenueError:
            return False
        own_i = ask_i if self.wanted.is_ask else bid_i
        return own_i is not None and self._price(own_i) == order.intent.price_i

    # -- the end

    def _close(self, attempt: Attempt) -> None:
        attempt.ended_ms = self.orders.clock.now_ms()
        attempt.end_reason = attempt.order.code or attempt.order.state.value

    def _doubt(self) -> Reason:
        unknown = [str(o.client_id) for o in self.orders.of_leg(self.wanted.leg) if not o.settled]
        self.result.detail = (
            f"the end of order {', '.join(unknown)} is not proven"
            if unknown
            else "the exchange still lists an order of this leg, or its list cannot be read"
        )
        self.orders.halted[self.market.venue_symbol] = self.result.detail
        return Reason.IN_DOUBT

    async def _finish(self) -> None:
        """Whatever happened: nothing of this leg stays live, or the result says IN_DOUBT."""
        result, orders = self.result, self.orders
        known = {id(attempt.order) for attempt in result.attempts} | {id(order) for order in result.earlier}
        for order in orders.of_leg(self.wanted.leg):
            if id(order) not in known:
                # The sending was interrupted before it could be written down as an attempt.
                placed_ms = order.sent_ms or order.intent.created_ms
                result.attempts.append(Attempt(len(result.attempts) + 1, order, placed_ms))
        unknown = await orders.settle_all(result.orders)
        for attempt in result.attempts:
            if attempt.ended_ms is None:
                self._close(attempt)
        if unknown or not await orders.none_listed(self.market, result.orders):
            result.reason = self._doubt()
        elif self._free_i() * 10_000 <= self.wanted.quantity_i:
            # The cancel at the end lost the race against the last fill.
            result.reason = Reason.FILLED
