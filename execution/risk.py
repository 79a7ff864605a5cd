"""
Risk: the last word before an order exists. A breach refuses the order locally; the venue never hears of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from core.precision import plain
from execution.bands import PriceBand
from execution.caps import Caps
from execution.journal import Journal
from execution.markets import Market
from execution.order import Intent, Order
from execution.positions import Positions
from venues.errors import LocalRuleError

DAY_MS: Final = 86_400_000
"""A day of ``caps.day_notional_usd`` is a UTC day: Unix milliseconds divided by this, rounded down."""
_ZERO: Final = Decimal(0)


@dataclass(slots=True)
class _Charge:
    """What one order of this run counts for in the sums."""

    market: Market
    order: Order
    price_i: int
    play: str
    opens: bool
    counted: Decimal = _ZERO
    """Quote."""

    @property
    def day(self) -> tuple[str, int]:
        return _day_of(self.order.intent)


class Risk:
    """
    Balance or margin, net-exposure cap and notional caps; one for all venues of a run.

    An order's unfilled part counts as if it were filled until the order is settled, so that two orders in flight
    cannot pass a cap together. What earlier processes opened - in the same play, or on the same day - is read from
    ``journal``, where :meth:`check`'s answer becomes durable together with the intent. Without a journal nothing of an
    earlier process is known.
    """

    def __init__(self, caps: Caps, positions: Positions, journal: Journal | None = None) -> None:
        self.band = PriceBand(caps.price_band_bps)
        self._caps = caps
        self._positions = positions
        self._journal = journal
        self._charges: dict[tuple[str, int], _Charge] = {}
        self._unsettled: dict[tuple[str, int], _Charge] = {}
        self.opened_usd = Decimal(0)
        """Notional that opening orders of the run have traded or may still trade."""
        # The same of a play and of an account's day, earlier processes included; read when first asked for.
        self._plays: dict[tuple[str, str], Decimal] = {}
        self._days: dict[tuple[str, int], Decimal] = {}

    def check(self, market: Market, intent: Intent, price_i: int, play: str = "") -> Decimal:
        """
        What the order opens, in quote (0 when it only reduces), if it may exist.

        Args:
            price_i: The limit price, or for a market order the price it would trade at.
            play: Names the exchange's part of the run that ``caps.play_notional_usd`` counts it to.

        Raises:
            LocalRuleError: INSUFFICIENT_MARGIN, INSUFFICIENT_BALANCE, NOTIONAL_CAP or EXPOSURE_CAP. (The market's own
                minimum and grid are checked by ``Market.check`` on the same path.) HALTED when the journal is needed
                and cannot be read.
        """
        size = market.size(intent.size_i)
        notional = market.notional(intent.size_i, price_i)
        self._check_funds(market, intent.is_ask, size, notional, intent.reduce_only)
        if self._reduces(market, intent.is_ask, size, intent.reduce_only):
            # Caps limit what may be opened; nothing may stand in the way of closing.
            return _ZERO
        caps = self._caps
        if caps.order_notional_usd is not None and notional > caps.order_notional_usd:
            raise LocalRuleError(
                "NOTIONAL_CAP",
                f"the order is worth {plain(notional)} {market.facts.quote}, the cap for one order is "
                f"{plain(caps.order_notional_usd)} USD",
            )
        if caps.play_notional_usd is not None:
            after = self._of_play(intent.account, play) + notional
            _refuse_above(after, caps.play_notional_usd, f"this play on {market.venue}", "the play")
        if caps.total_notional_usd is not None:
            _refuse_above(self.opened_usd + notional, caps.total_notional_usd, "the run", "all orders")
        if caps.day_notional_usd is not None:
            after = self._of_day(_day_of(intent)) + notional
            whose = f"this account on {market.venue}, over all its runs of this UTC day,"
            _refuse_above(after, caps.day_notional_usd, whose, "the day")
        if caps.net_exposure_usd is not None:
            after = self._exposure_after(intent.is_ask, notional)
            if abs(after) > caps.net_exposure_usd:
                raise LocalRuleError(
                    "EXPOSURE_CAP",
                    f"net exposure over all exchanges would be {after:.2f} USD, the cap is "
                    f"{plain(caps.net_exposure_usd)} USD",
                )
        return notional

    def charge(self, market: Market, order: Order, price_i: int, opens: Decimal, play: str = "") -> None:
        """An order that passed :meth:`check`, which said ``opens``, goes out: hold that until :meth:`release`."""
        key = (market.venue, order.client_id)
        charge = self._charges[key] = self._unsettled[key] = _Charge(market, order, price_i, play, opens > 0)
        self._count(charge, opens)

    def release(self, order: Order) -> None:
        """
        The order is settled: its unfilled share is given back. Called again after a late fill, it counts that fill.
        """
        key = (order.intent.venue, order.client_id)
        self._unsettled.pop(key, None)
        charge = self._charges.get(key)
        if charge is None:
            # Of an earlier process: the journal knows what it counts for now.
            self._plays.clear()
            self._days.clear()
        elif charge.opens:
            self._count(charge, charge.market.notional(order.filled_i, charge.price_i))

    def _count(self, charge: _Charge, usd: Decimal) -> None:
        change = usd - charge.counted
        charge.counted = usd
        self.opened_usd += change
        play = (charge.order.intent.account, charge.play)
        if play in self._plays:
            self._plays[play] += change
        if charge.day in self._days:
            self._days[charge.day] += change

    def _of_play(self, account: str, play: str) -> Decimal:
        if (account, play) not in self._plays:
            known = self._journal.opened_by_play(account, play) if self._journal else self._own(account, play=play)
            self._plays[(account, play)] = known
        return self._plays[(account, play)]

    def _of_day(self, day: tuple[str, int]) -> Decimal:
        if day not in self._days:
            account, number = day
            from_ms = number * DAY_MS
            if self._journal:
                self._days[day] = self._journal.opened_between(account, from_ms, from_ms + DAY_MS)
            else:
                self._days[day] = self._own(account, day=number)
        return self._days[day]

    def _own(self, account: str, *, play: str | None = None, day: int | None = None) -> Decimal:
        """What orders of this run count for, where there is no journal to ask."""
        mine = (c for c in self._charges.values() if c.order.intent.account == account)
        return sum((c.counted for c in mine if play in (None, c.play) and day in (None, c.day[1])), _ZERO)

    def _check_funds(self, market: Market, is_ask: bool, size: Decimal, notional: Decimal, reduce_only: bool) -> None:
        account = self._positions.account(market.venue)
        if market.kind == "spot":
            asset, needed = (market.facts.base, size) if is_ask else (market.facts.quote, notional)
            free = account.free.get(asset, Decimal(0))
            if needed > free:
                raise LocalRuleError(
                    "INSUFFICIENT_BALANCE",
                    f"this order needs {plain(needed)} {asset} on {market.venue}, free are {plain(free)}",
                )
            return
        if reduce_only or account.margin is None:
            return
        held = self._positions.quantity(market)
        if held and (held > 0) == is_ask and size <= abs(held):
            return
        needed = notional * market.facts.initial_margin
        if needed > account.margin.available:
            raise LocalRuleError(
                "INSUFFICIENT_MARGIN",
                f"this order needs {needed:.4f} USD of margin on {market.venue}, available are "
                f"{account.margin.available:.4f}",
            )

    def _reduces(self, market: Market, is_ask: bool, size: Decimal, reduce_only: bool) -> bool:
        held = self._positions.quantity(market)
        return reduce_only or (held != 0 and (held > 0) == is_ask and size <= abs(held))

    def _exposure_after(self, is_ask: bool, notional: Decimal) -> Decimal:
        """Worst case in the order's direction: positions, plus live orders on its side, plus the order."""
        pending = notional
        for charge in self._unsettled.values():
            order, other = charge.order, charge.market
            if order.intent.is_ask is not is_ask or order.intent.reduce_only:
                continue
            open_i = order.intent.size_i - order.filled_i
            price_i = order.intent.price_i
            mid = other.price(price_i) if price_i is not None else self._positions.mid(other)
            if open_i > 0 and mid is not None:
                pending += other.size(open_i) * mid
        held = self._positions.net_exposure_usd()
        return held - pending if is_ask else held + pending


def _day_of(intent: Intent) -> tuple[str, int]:
    return intent.account, intent.created_ms // DAY_MS


def _refuse_above(after: Decimal, cap: Decimal, whose: str, what: str) -> None:
    if after > cap:
        raise LocalRuleError(
            "NOTIONAL_CAP",
            f"with this order {whose} could open {plain(after)} USD, the cap for {what} is {plain(cap)} USD",
        )
