"""
What a person would do at a desk: open, close, wait, look, prove flat. Steps and strategies are made of these acts.

A :class:`Trading` is bound to one venue, symbol and market kind. Nothing in it depends on which venue that is.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Protocol

from core.chance import Chance
from core.clock import Clock, within
from core.precision import ceil_to, plain
from core.words import counted
from execution.markets import Market
from execution.order import Order, State
from execution.orders import Orders
from execution.router import ExecutionRouter
from execution.tracking_limit import TrackingLimit, TrackingResult
from venues.errors import LocalRuleError, VenueError
from venues.events import PositionSeen, Source

SIDES: Final = {"buy": False, "sell": True}
_AGREE_SECS: Final = 3.0
_POLL_SECS: Final = 0.1
_CLOSE_TRIES: Final = 5
"""Closing orders in a row that may trade nothing."""
_MOST_CLOSES: Final = 30
# Flattening goes on trying for so long: a venue may be away, and an order's end takes time to prove.
_FLATTEN_SECS: Final = 90.0
_AFTER_REFUSAL_SECS: Final = 1.0
_BUDGET_SECS: Final = 75.0
"""How long a proof waits for a full rate budget: the longest window of a venue is a minute."""
# As long as a session takes to come back at its longest wait between two tries.
_SYNC_SECS: Final = 30.0
# Why a closing order did not trade, where a fresh one may: IN_DOUBT here is one that was proven never to have arrived.
_PASSING: Final = frozenset(
    {"REDUCE_ONLY", "CLOCK_SKEW", "RATE_LIMITED", "VENUE_UNAVAILABLE", "IN_DOUBT", "PRICE_BAND", "UNREADABLE"}
    | {"NOT_SYNCED", "STALE_BOOK", "UNREACHABLE"}
)
# A spot fee is never more than one part in so many.
_FEE_ROOM: Final = 200
# A minimum that depends on the price must still hold after the market has moved a little.
_NOTIONAL_HEADROOM: Final = Decimal("0.95")


class ActFailed(Exception):
    """An act did not reach its aim. ``code`` is stable, ``message`` and ``next_move`` are for people."""

    def __init__(self, code: str, message: str, next_move: str = "") -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.next_move = next_move

    def __str__(self) -> str:
        return self.message


class Size(Protocol):
    """``kind`` is ``min``, ``base`` (base units) or ``usd``; ``value`` above 0, None for ``min``."""

    @property
    def kind(self) -> str: ...
    @property
    def value(self) -> Decimal | None: ...


@dataclass(frozen=True, slots=True)
class Amount:
    """A :class:`Size` for strategies: ``Amount()`` or ``Amount("base", Decimal("0.05"))`` or ``Amount("usd", …)``."""

    kind: str = "min"
    value: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """The venue's own REST reading of where we stand, and what our fills say it should be."""

    read_ms: int
    quantity: Decimal
    """Base units, signed; spot: since the play's baseline."""
    expected: Decimal
    """What our own trades add up to, fees taken in the coin included."""
    open_orders: int
    """Live orders in this market, ours or not."""
    unsettled: int
    """Orders of ours whose end is not proven."""
    lot: Decimal
    kind: str
    dust: Decimal = Decimal(0)
    """On spot, less than this cannot be traded; see :func:`dust_of`."""

    @property
    def agrees(self) -> bool:
        return self.quantity == self.expected

    def flat(self, tolerance_lots: int = 0) -> bool:
        """Nothing held beyond ``tolerance_lots`` lots; on spot what is too small to be traded is dust."""
        held = abs(self.quantity)
        return held <= tolerance_lots * self.lot or (self.kind == "spot" and held < max(self.lot, self.dust))

    @property
    def proves_flat(self) -> bool:
        return self.flat() and not self.unsettled and not self.open_orders


def dust_of(market: Market) -> Decimal:
    """What a fee may leave on spot and no order can trade, in base units: less than a lot or the smallest size."""
    return max(market.lot(), market.size(market.facts.min_size_i))


class Trading:
    """One desk on one market. ``pace`` is the clock of the play, ``clock`` the real one."""

    def __init__(
        self,
        router: ExecutionRouter,
        *,
        venue: str,
        symbol: str,
        kind: str,
        run: str,
        clock: Clock,
        pace: Clock,
        chance: Chance,
        side: str = "buy",
        size: Size = Amount(),
        recovering: bool = False,
    ) -> None:
        self.router = router
        self.venue = venue
        self.symbol = symbol
        self.kind = kind
        self.run = run
        self.clock = clock
        self.pace = pace
        self.chance = chance
        self.side = side
        """``buy`` or ``sell``: what the scenario opens with."""
        self.size = size
        """The scenario's size in words."""
        self.recovering = recovering
        """An earlier process traded, so our own fills do not tell all that is ours."""
        self.desk: Orders = router.desk(venue)
        self.market: Market = router.market(venue, symbol, kind)
        self._legs = 0

    @property
    def play(self) -> str:
        """Names the play in journal, logs and leg names: ``run/venue``."""
        return f"{self.run}/{self.venue}"

    def leg(self) -> str:
        """A fresh name for what one act sends; also the trace id of its orders."""
        self._legs += 1
        return f"{self.play}/{self._legs}"

    # -- looking

    async def quote(self) -> tuple[Decimal | None, Decimal | None]:
        """Best bid and ask."""
        bid_i, ask_i, _ = await self.desk.venue.get_top_of_book(self.market.venue_symbol)
        return (
            self.market.price(bid_i) if bid_i is not None else None,
            self.market.price(ask_i) if ask_i is not None else None,
        )

    def traded(self) -> Decimal:
        """What our own fills add up to, in base units; on spot less the fees taken in the coin."""
        return self.desk.traded(self.market)

    async def position(self) -> Decimal:
        """
        The venue's position once it agrees with our own fills, or after a REST reading when they stay apart.

        The venue's word wins: a difference is recorded as POSITION_MISMATCH, and closing uses what is really there.
        """
        give_up = self.clock.monotonic() + _AGREE_SECS
        while self.desk.positions.quantity(self.market) != self.traded():
            if self.clock.monotonic() >= give_up:
                proof = await self.proof()
                if not proof.agrees:
                    self.desk.note(
                        "POSITION_MISMATCH",
                        f"{self.venue} says {plain(proof.quantity)} {self.symbol}, "
                        f"our fills say {plain(proof.expected)}",
                    )
                return proof.quantity
            await self.clock.sleep(_POLL_SECS)
        return self.desk.positions.quantity(self.market)

    async def proof(self) -> Proof:
        """
        Read position (or balance) and open orders from the venue now.

        Raises:
            VenueError: a reading failed; nothing is proven.
        """
        venue, market, positions = self.desk.venue, self.market, self.desk.positions
        account = positions.account(self.venue)
        read_ms = self.clock.now_ms()
        if market.kind == "perp":
            rows = await venue.get_positions()
            nothing = PositionSeen(symbol=market.venue_symbol, quantity=Decimal(0), source=Source.REST)
            row = next((seen for seen in rows if seen.symbol == market.venue_symbol), nothing)
            account.take_reading(row, read_ms, self.clock.now_ms())
            quantity = row.quantity
        else:
            balances = await venue.get_balances()
            total = next((b.total for b in balances if b.asset == market.facts.base), Decimal(0))
            for balance in balances:
                account.take_reading(balance, read_ms, self.clock.now_ms())
            quantity = total - account.baselines.get(market.facts.base, Decimal(0))
        listed = await venue.get_open_orders(market.venue_symbol)
        return Proof(
            read_ms=read_ms,
            quantity=quantity,
            expected=self.traded(),
            open_orders=len(listed),
            unsettled=len(self.desk.unsettled(market.venue_symbol)),
            lot=market.lot(),
            kind=market.kind,
            dust=dust_of(market),
        )

    # -- sizes

    async def size_i(self, size: Size, *, is_ask: bool) -> int:
        """
        A size in words as an integer on this market's grid.

        Raises:
            ActFailed: MIN_SIZE when it is below what the market takes.
            LocalRuleError: PRECISION when an exact size is off the lot grid; STALE_BOOK without a price.
        """
        market = self.market
        bid_i, ask_i, _ = await self.desk.venue.get_top_of_book(market.venue_symbol)
        price_i = ask_i if is_ask else bid_i
        if price_i is None:
            price_i = bid_i if is_ask else ask_i
        if price_i is None:
            raise ActFailed("STALE_BOOK", f"{market.venue_symbol} has no price on either side", "Try again later.")
        smallest = market.smallest_order(price_i)
        if size.kind == "min":
            if market.facts.min_notional > 0:
                smallest = market.smallest_order(int(price_i * _NOTIONAL_HEADROOM))
            if market.kind == "spot" and not is_ask and self.desk.venue.abilities.spot_fee_in_base:
                # The fee is taken out of the coin bought: a little more, so that what arrives can be sold again.
                smallest += max(market.facts.lot_i, ceil_to(smallest // _FEE_ROOM, market.facts.lot_i))
            return smallest
        assert size.value is not None
        wanted = market.size_from(size.value) if size.kind == "base" else market.size_for_quote(size.value, price_i)
        if wanted < smallest:
            unit = f" {self.symbol}" if size.kind == "base" else " USD"
            raise ActFailed(
                "MIN_SIZE",
                f"{plain(size.value)}{unit} is below the smallest order of {market.venue_symbol} on {self.venue}, "
                f"{market.size_text(smallest)} {self.symbol}",
                f"Use `size: min` or at least {market.size_text(smallest)}.",
            )
        return wanted

    # -- opening

    async def tracking_limit(
        self,
        side: str,
        quantity_i: int,
        *,
        interval_secs: float = 10.0,
        timeout_secs: float = 120.0,
        max_attempts: int = 12,
        price_offset_ticks: int = 0,
        keep_if_best: bool = False,
        reduce_only: bool = False,
    ) -> TrackingResult:
        """One tracking limit of ``quantity_i``; see ``execution.tracking_limit``."""
        wanted = TrackingLimit(
            is_ask=side_is_ask(side),
            quantity_i=quantity_i,
            leg=self.leg(),
            interval_secs=interval_secs,
            timeout_secs=timeout_secs,
            max_attempts=max_attempts,
            price_offset_ticks=price_offset_ticks,
            keep_if_best=keep_if_best,
            reduce_only=reduce_only,
        )
        return await self.router.tracking_limit(self.market, wanted)

    async def open_tracking(self, side: str = "", size: Size | None = None, **settings: float) -> TrackingResult:
        """Open by tracking limit, the scenario's side and size by default; ``settings`` as :meth:`tracking_limit`."""
        side = side or self.side
        quantity_i = await self.size_i(size or self.size, is_ask=side_is_ask(side))
        return await self.tracking_limit(side, quantity_i, **settings)  # type: ignore[arg-type]

    async def limit(
        self, side: str, size_i: int, *, price_offset_ticks: int, post_only: bool, timeout_secs: float
    ) -> Order:
        """One limit order at the own side's best price; what is not filled in time is cancelled and settled."""
        is_ask = side_is_ask(side)
        await self._synced()
        bid_i, ask_i, _ = await self.desk.venue.get_top_of_book(self.market.venue_symbol)
        own_i = ask_i if is_ask else bid_i
        if own_i is None:
            raise ActFailed("STALE_BOOK", f"the {side} side of {self.market.venue_symbol} is empty", "Try again later.")
        offset = price_offset_ticks * self.market.facts.price_step(own_i)
        price_i = self.market.passive_price(own_i + offset if is_ask else own_i - offset, is_ask=is_ask)
        order = await self.router.limit(
            self.market, is_ask=is_ask, size_i=size_i, price_i=price_i, leg=self.leg(), post_only=post_only
        )
        await self.desk.wait(order, lambda: order.terminal or order.in_doubt, timeout_secs, self.pace)
        await self._end(order)
        return order

    async def market_order(self, side: str, size_i: int, *, reduce_only: bool = False) -> Order:
        """Trade at once; returns when the order's end is proven."""
        await self._synced()
        order = await self.router.market_order(
            self.market, is_ask=side_is_ask(side), size_i=size_i, leg=self.leg(), reduce_only=reduce_only
        )
        await self._end(order)
        return order

    async def _synced(self) -> None:
        """Give a session that is just coming back its time; after that the order is refused as NOT_SYNCED."""
        await within(self.clock, _SYNC_SECS, self.desk.venue.wait_synced)

    async def _end(self, order: Order) -> None:
        if await self.router.cancel(order) is None:
            self.desk.halted[self.market.venue_symbol] = f"the end of order {order.client_id} is not proven"
            raise ActFailed(
                "IN_DOUBT",
                f"order {order.client_id} on {self.venue} was sent and its end is not proven",
                "Do not send it again; run `runner recover`.",
            )

    # -- closing

    async def market_close(self) -> list[Order]:
        """
        Close the whole position at market, in a few orders if the book is thin. Returns them; empty when flat already.

        Raises:
            ActFailed: NOT_FLAT when something is left, IN_DOUBT when an order's end is not proven.
        """
        sent: list[Order] = []
        fruitless, refusal = 0, ""
        while fruitless < _CLOSE_TRIES and len(sent) < _MOST_CLOSES:
            held = await self._ours()
            size_i = self.market.whole_lots(held)
            if self._is_dust(held):
                return sent
            side = "sell" if held > 0 else "buy"
            if size_i < await self._smallest_i(side, Decimal(1)):
                if self.kind == "spot" or not self.desk.venue.abilities.reduce_only:
                    break
                # Less than the venue takes: a reduce-only order of its smallest size trades no more than is held.
                size_i = await self._smallest_i(side, _NOTIONAL_HEADROOM)
            fruitless += 1
            try:
                order = await self.market_order(side, size_i, reduce_only=True)
            except LocalRuleError as error:
                if error.code not in _PASSING:
                    raise
                refusal = f"; the last was refused here: {error}"
                await self.clock.sleep(_AFTER_REFUSAL_SECS)
                continue
            sent.append(order)
            refusal = ""
            if order.filled_i:
                fruitless = 0
            elif order.state is State.FAILED and order.code not in _PASSING:
                raise ActFailed(
                    "NOT_FLAT",
                    f"{self.venue} refused the closing order: {order.code} {order.reason}",
                    "Close the position on the exchange's own page.",
                )
            else:
                await self.clock.sleep(_AFTER_REFUSAL_SECS)
        left = await self._ours()
        if self._is_dust(left):
            return sent
        raise ActFailed(
            "NOT_FLAT",
            f"{plain(left)} {self.symbol} is still open on {self.venue} after "
            f"{counted(len(sent), 'closing order')}{refusal}",
            "Close the rest on the exchange's own page.",
        )

    async def _ours(self) -> Decimal:
        """
        What is to be closed. A perp's position is bounded by reduce-only; coins are not, so on spot never more than
        our own trades: coins that arrive from elsewhere during a play are not ours to sell.
        """
        held = await self.position()
        if self.kind == "perp" or self.recovering:
            return held
        traded = self.traded()
        return min(held, traded, key=abs) if (held > 0) == (traded > 0) else Decimal(0)

    def _is_dust(self, held: Decimal) -> bool:
        return abs(held) < (dust_of(self.market) if self.kind == "spot" else self.market.lot())

    async def _smallest_i(self, side: str, headroom: Decimal) -> int:
        """The smallest order that trades against the book now, if its price counted ``headroom`` of what it is."""
        bid, ask = await self.quote()
        price = bid if side_is_ask(side) else ask
        decimals = self.market.facts.price_decimals
        price_i = 0 if price is None else int((price * headroom).scaleb(decimals))
        return self.market.smallest_order(price_i, reduce_only=True)

    async def cancel_all(self) -> list[Order]:
        """Cancel and settle every order of ours in this market; returns those whose end stays unknown."""
        return await self.desk.settle_all(self.desk.unsettled(self.market.venue_symbol))

    async def flatten(self) -> Proof:
        """
        Settle everything, close what is held, and prove it.

        Raises:
            ActFailed: IN_DOUBT or NOT_FLAT, saying what is open and where.
            VenueError: the proof could not be read.
        """
        give_up = self.clock.monotonic() + _FLATTEN_SECS
        while True:
            unknown = await self.cancel_all()
            if unknown:
                ids = ", ".join(str(order.client_id) for order in unknown)
                raise ActFailed(
                    "IN_DOUBT",
                    f"the end of order {ids} on {self.venue} is not proven, so nothing is closed blindly",
                    "Look at the exchange's own page, then run `runner recover`.",
                )
            self.desk.halted.pop(self.market.venue_symbol, None)
            try:
                await self.market_close()
                break
            except (ActFailed, VenueError) as failed:
                # A closing order fell into doubt, or a reading failed: once the order's end is proven and the venue
                # answers again, what is left is closed by a fresh one.
                passing = {"IN_DOUBT"} if isinstance(failed, ActFailed) else _PASSING
                if failed.code not in passing or self.clock.monotonic() >= give_up:
                    raise
                await self.clock.sleep(_AFTER_REFUSAL_SECS)
        return await self.flat_proof()

    async def flat_proof(self, tolerance_lots: int = 0, within_secs: float = 5.0) -> Proof:
        """
        The reading that shows flat, asked again for a few seconds as venues' readings may lag.

        Raises:
            ActFailed: NOT_FLAT with what is open.
            VenueError: no reading succeeded.
        """
        began = self.clock.monotonic()
        while True:
            failure: VenueError | None = None
            try:
                proof = await self.proof()
                if proof.flat(tolerance_lots) and not proof.open_orders and not proof.unsettled:
                    return proof
            except VenueError as error:
                failure = error
            # Without room in the rate budget nothing was read at all.
            patience_secs = _BUDGET_SECS if failure is not None and failure.code == "RATE_LIMITED" else within_secs
            if self.clock.monotonic() - began >= patience_secs:
                if failure is not None:
                    raise failure
                raise ActFailed(
                    "NOT_FLAT",
                    f"not flat on {self.venue}: {plain(proof.quantity)} {self.symbol} held, "
                    f"{counted(proof.open_orders, 'open order')}, "
                    f"{counted(proof.unsettled, 'order')} without a proven end",
                    "Look at the exchange's own page; `runner recover` settles, cancels and closes.",
                )
            await self.clock.sleep(0.5)

    async def wait(self, secs: float) -> None:
        """Wait on the play's clock."""
        await self.pace.sleep(secs)


def side_is_ask(side: str) -> bool:
    """``buy`` or ``sell``; anything else is an ActFailed with the nearest word."""
    if side not in SIDES:
        near = difflib.get_close_matches(side, list(SIDES), n=1)
        raise ActFailed("BAD_SIDE", f"a side is buy or sell, not {side!r}", f"Did you mean {near[0]}?" if near else "")
    return SIDES[side]
