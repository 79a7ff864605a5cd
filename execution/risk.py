"""
Risk: the last word before an order exists. A breach refuses the order locally; the venue never hears of it.
"""

from __future__ import annotations

from decimal import Decimal

from core.precision import plain
from execution.caps import Caps
from execution.markets import Market
from execution.order import Order
from execution.positions import Positions
from venues.errors import LocalRuleError


class Risk:
    """
    Balance or margin, net-exposure cap and notional caps; one for all venues of a run.

    An order's unfilled part counts as if it were filled until the order is settled, so that two orders in flight
    cannot pass a cap together.
    """

    def __init__(self, caps: Caps, positions: Positions) -> None:
        self._caps = caps
        self._positions = positions
        self._charged: dict[tuple[str, int], tuple[Market, Order, Decimal]] = {}
        self.opened_usd = Decimal(0)
        """Notional that opening orders of the run have traded or may still trade."""

    def check(self, market: Market, *, is_ask: bool, size_i: int, price_i: int, reduce_only: bool) -> None:
        """
        ``price_i`` is the limit price, or for a market order the price it would trade at.

        Raises:
            LocalRuleError: INSUFFICIENT_MARGIN, INSUFFICIENT_BALANCE, NOTIONAL_CAP or EXPOSURE_CAP. (The market's own
                minimum and grid are checked by ``Market.check`` on the same path.)
        """
        notional = market.notional(size_i, price_i)
        self._check_funds(market, is_ask, market.size(size_i), notional, reduce_only)
        if self._reduces(market, is_ask, market.size(size_i), reduce_only):
            # Caps limit what may be opened; nothing may stand in the way of closing.
            return
        caps = self._caps
        if caps.order_notional_usd is not None and notional > caps.order_notional_usd:
            raise LocalRuleError(
                "NOTIONAL_CAP",
                f"the order is worth {plain(notional)} {market.facts.quote}, the cap for one order is "
                f"{plain(caps.order_notional_usd)} USD",
            )
        if caps.total_notional_usd is not None and self.opened_usd + notional > caps.total_notional_usd:
            raise LocalRuleError(
                "NOTIONAL_CAP",
                f"with this order the run could open {plain(self.opened_usd + notional)} USD, the cap for all "
                f"orders is {plain(caps.total_notional_usd)} USD",
            )
        if caps.net_exposure_usd is not None:
            after = self._exposure_after(is_ask, notional)
            if abs(after) > caps.net_exposure_usd:
                raise LocalRuleError(
                    "EXPOSURE_CAP",
                    f"net exposure over all exchanges would be {after:.2f} USD, the cap is "
                    f"{plain(caps.net_exposure_usd)} USD",
                )

    def charge(self, market: Market, order: Order, price_i: int) -> None:
        """An order that passed :meth:`check` is going out: hold its whole notional until :meth:`release`."""
        intent = order.intent
        opens = not self._reduces(market, intent.is_ask, market.size(intent.size_i), intent.reduce_only)
        notional = market.notional(intent.size_i, price_i) if opens else Decimal(0)
        self.opened_usd += notional
        self._charged[(market.venue, order.client_id)] = (market, order, notional)

    def release(self, order: Order) -> None:
        """The order is settled: give its unfilled share back. Harmless when called twice."""
        held = self._charged.pop((order.intent.venue, order.client_id), None)
        if held is not None:
            _, _, notional = held
            unfilled = max(0, order.intent.size_i - order.filled_i)
            self.opened_usd -= notional * unfilled / order.intent.size_i

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
        for other, order, _ in self._charged.values():
            if order.intent.is_ask is not is_ask or order.intent.reduce_only:
                continue
            open_i = order.intent.size_i - order.filled_i
            price_i = order.intent.price_i
            mid = other.price(price_i) if price_i is not None else self._positions.mid(other)
            if open_i > 0 and mid is not None:
                pending += other.size(open_i) * mid
        held = self._positions.net_exposure_usd()
        return held - pending if is_ask else held + pending
