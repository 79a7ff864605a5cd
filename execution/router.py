"""The router: thin and stateless. It knows which account trades on which venue, and nothing else."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from execution.markets import Market
from execution.order import Order
from execution.orders import Orders
from execution.tracking_limit import TrackingLimit, TrackingResult
from venues.errors import LocalRuleError


class ExecutionRouter:
    """
    One call, one venue by name. Strategies and steps change exchange by changing that word.

    Raises (every method): LocalRuleError(UNKNOWN_SYMBOL) for a venue that is not part of this run, and whatever the
    order service raises.
    """

    def __init__(self, desks: Mapping[str, Orders]) -> None:
        self._desks = desks

    @property
    def venues(self) -> tuple[str, ...]:
        return tuple(self._desks)

    def desk(self, venue: str) -> Orders:
        """The order service of this venue's account."""
        desk = self._desks.get(venue)
        if desk is None:
            near = difflib.get_close_matches(venue, list(self._desks), n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; this run trades on {', '.join(self._desks)}"
            raise LocalRuleError("UNKNOWN_SYMBOL", f"no exchange called {venue} in this run{hint}")
        return desk

    def market(self, venue: str, symbol: str, kind: str) -> Market:
        return self.desk(venue).markets.find(symbol, kind)

    async def limit(
        self,
        market: Market,
        *,
        is_ask: bool,
        size_i: int,
        price_i: int,
        leg: str,
        post_only: bool = True,
        reduce_only: bool = False,
    ) -> Order:
        return await self.desk(market.venue).place_limit(
            market,
            is_ask=is_ask,
            size_i=size_i,
            price_i=price_i,
            leg=leg,
            post_only=post_only,
            reduce_only=reduce_only,
        )

    async def market_order(
        self, market: Market, *, is_ask: bool, size_i: int, leg: str, reduce_only: bool = False
    ) -> Order:
        return await self.desk(market.venue).place_market(
            market, is_ask=is_ask, size_i=size_i, leg=leg, reduce_only=reduce_only
        )

    async def cancel(self, order: Order) -> int | None:
        """Cancel and settle; the final cumulative fill, or None while it is unknown."""
        return await self.desk(order.intent.venue).settle(order)

    async def tracking_limit(self, market: Market, wanted: TrackingLimit) -> TrackingResult:
        return await self.desk(market.venue).tracking_limit(market, wanted)
