"""The router: one word changes the exchange, and it keeps nothing of its own."""

from __future__ import annotations

import anyio
import pytest

from core.clock import VirtualClock, run_virtual
from execution.order import State
from execution.router import ExecutionRouter
from execution.tracking_limit import Reason
from tests.unit.execution.desk import Desk, chase
from tests.unit.execution.venue_double import Plan, VenueDouble
from venues.errors import LocalRuleError


def routed(story):
    async def main():
        venues = {name: VenueDouble(VirtualClock(), name=name) for name in ("backpack", "binance")}
        router = ExecutionRouter({name: Desk(venue) for name, venue in venues.items()})
        for venue in venues.values():
            await venue.start()
        await anyio.sleep(0.05)
        return await story(router, venues)

    return run_virtual(main())


@pytest.mark.parametrize("name", ["backpack", "binance"])
def test_the_same_calls_trade_on_the_venue_that_is_named(name):
    """[client] Limit, cancel, market order and tracking limit follow one word; the other venue hears nothing."""

    async def story(router, venues):
        market = router.market(name, "SOL", "perp")
        order = await router.limit(market, is_ask=False, size_i=10, price_i=14_000, leg="leg", reduce_only=True)
        assert await router.cancel(order) == 0
        sold = await router.market_order(market, is_ask=True, size_i=10, leg="leg")
        assert await router.cancel(sold) == 10
        venues[name].plans = [Plan(fills=((1, 100),))]
        result = await router.tracking_limit(market, chase(leg="track"))
        silent = next(venue for venue in venues.values() if venue.name != name)
        return order, result, silent.calls, len(venues[name].placed())

    order, result, silent, placed = routed(story)
    assert (order.state, order.intent.venue, order.intent.post_only) == (State.CANCELLED, name, True)
    assert (result.reason, silent, placed) == (Reason.FILLED, [], 3)


def test_an_unknown_venue_is_answered_with_the_nearest_or_with_all():
    """[ours] A typo is named; anything else gets the list."""

    async def story(router, venues):
        assert router.venues == ("backpack", "binance")
        with pytest.raises(LocalRuleError, match="did you mean backpack") as near:
            router.desk("bakpack")
        with pytest.raises(LocalRuleError, match="backpack, binance"):
            router.market("zzz", "SOL", "perp")
        return near.value.code

    assert routed(story) == "UNKNOWN_SYMBOL"
