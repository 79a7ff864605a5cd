"""Risk: a breach refuses the order before it exists at the venue."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from core.clock import VirtualClock, run_virtual
from execution.caps import Caps
from execution.markets import Market
from execution.order import Deed, Order
from execution.positions import Positions
from execution.risk import Risk
from tests.unit.execution.desk import an_intent
from tests.unit.execution.venue_double import SOL, SOL_SPOT
from venues.errors import LocalRuleError
from venues.events import BalanceSeen, BookSeen, MarginSeen, PositionSeen

PERP = Market("a", "SOL", SOL)
SPOT = Market("a", "SOL", SOL_SPOT)
OTHER = Market("b", "SOL", SOL)


class Table:
    """Two venues with a book at 139 / 141, and what they hold."""

    def __init__(self, caps: Caps | None = None, *, margin: str | None = "1000", **held: str) -> None:
        self.positions = Positions(VirtualClock())
        self.risk = Risk(caps or Caps(), self.positions)
        self.tell = {venue: self.positions.listen(venue) for venue in "ab"}
        for market in (PERP, OTHER):
            self.positions.follow(market)
            self.tell[market.venue](BookSeen(symbol=SOL.symbol, bid_i=13_900, ask_i=14_100))
            if margin is not None:
                self.tell[market.venue](MarginSeen(balance=Decimal(margin), available=Decimal(margin)))
        for venue, quantity in held.items():
            self.tell[venue](PositionSeen(symbol=SOL.symbol, quantity=Decimal(quantity)))

    def ask(self, market: Market = PERP, *, is_ask=False, size_i=100, price_i=14_000, reduce_only=False) -> str:
        """ "" when allowed, else the code."""
        try:
            self.risk.check(market, is_ask=is_ask, size_i=size_i, price_i=price_i, reduce_only=reduce_only)
        except LocalRuleError as error:
            return error.code
        return ""

    def send(self, market: Market = PERP, *, price_i: int | None = 14_000, client_id=1, **intent) -> Order:
        order = Order(an_intent(venue=market.venue, price_i=price_i, client_id=client_id, **intent))
        self.risk.charge(market, order, price_i or 14_000)
        return order


def at_rest(story):
    async def main():
        return story()

    return run_virtual(main())


def codes(*asks, caps=None, margin="1000", **held):
    def story():
        table = Table(caps, margin=margin, **held)
        return [table.ask(**ask) for ask in asks]

    return at_rest(story)


def test_margin_is_needed_for_what_opens_and_not_for_what_closes():
    """[ours] 1 SOL at 140 with 2 % initial margin needs 2.80 USD."""
    assert codes({}, margin="2.80") == [""]
    assert codes({}, margin="2.79") == ["INSUFFICIENT_MARGIN"]
    assert codes({"is_ask": True}, {"is_ask": True, "size_i": 101}, {}, margin="0", a="1") == [
        "", "INSUFFICIENT_MARGIN", "INSUFFICIENT_MARGIN",
    ]  # fmt: skip
    assert codes({"reduce_only": True}, margin="0", a="-1") == [""]


def test_an_account_whose_margin_was_never_told_is_left_to_the_venue():
    """[ours] No reading is no reason to refuse: the venue has its own word."""
    assert codes({}, margin=None) == [""]


@pytest.mark.parametrize("size_i", [10**12, 10**30, 10**60])
def test_an_absurd_size_is_refused_in_words(size_i):
    """[ours] Huge integers get a clear error, not an arithmetic one."""
    assert codes({"size_i": size_i}) == ["INSUFFICIENT_MARGIN"]
    assert codes({"size_i": size_i}, margin=None, caps=Caps(net_exposure_usd=Decimal(1))) == ["EXPOSURE_CAP"]


def test_spot_spends_the_coin_or_the_quote_that_is_free():
    """[ours] A buy needs quote, a sell needs base; what was never told is zero."""

    def story():
        table = Table()
        before = [table.ask(SPOT), table.ask(SPOT, is_ask=True)]
        table.tell["a"](BalanceSeen(asset="USDC", free=Decimal(140), total=Decimal(500)))
        table.tell["a"](BalanceSeen(asset="SOL", free=Decimal(1), total=Decimal(9)))
        after = [table.ask(SPOT), table.ask(SPOT, is_ask=True)]
        over = [table.ask(SPOT, size_i=101), table.ask(SPOT, is_ask=True, size_i=101)]
        return before, after, over

    lack = ["INSUFFICIENT_BALANCE"] * 2
    assert at_rest(story) == (lack, ["", ""], lack)


def test_the_cap_of_one_order_holds_at_its_edge():
    """[client] caps.order_notional_usd: exactly the cap passes."""
    assert codes({}, {"size_i": 101}, caps=Caps(order_notional_usd=Decimal(140))) == ["", "NOTIONAL_CAP"]


def test_caps_never_stand_in_the_way_of_closing():
    """[ours] Not with reduce-only, and not for an order that only shrinks what is held."""
    caps = Caps(order_notional_usd=Decimal(1), total_notional_usd=Decimal(1), net_exposure_usd=Decimal(1))
    asks = ({"is_ask": True}, {"is_ask": True, "reduce_only": True, "size_i": 900}, {"is_ask": True, "size_i": 101}, {})
    assert codes(*asks, caps=caps, a="1") == ["", "", "NOTIONAL_CAP", "NOTIONAL_CAP"]
    assert codes({}, {"is_ask": True}, caps=caps, a="-1") == ["", "NOTIONAL_CAP"]


def test_the_cap_of_all_orders_counts_what_is_out_and_gives_back_what_never_traded():
    """[client] caps.total_notional_usd: 280 are two orders of 140; 60 of the first never traded."""

    def story():
        table = Table(Caps(total_notional_usd=Decimal(280)))
        told = [table.ask()]
        first = table.send(client_id=1)
        told.append(table.ask())
        table.send(client_id=2)
        told.append(table.ask(size_i=1))
        first.cumulative_i = 40
        first.apply(Deed(kind="settled"), 1)
        table.risk.release(first)
        told += [table.ask(size_i=60), table.ask(size_i=61)]
        table.risk.release(first)
        return [*told, table.risk.opened_usd]

    assert at_rest(story) == ["", "", "NOTIONAL_CAP", "", "NOTIONAL_CAP", 196]


def test_a_closing_order_does_not_use_up_the_cap():
    """[ours] What reduces opens nothing."""

    def story():
        table = Table(a="1")
        table.send(is_ask=True)
        table.send(is_ask=True, client_id=2, reduce_only=True, size_i=500)
        table.send(client_id=3)
        return table.risk.opened_usd

    assert at_rest(story) == 140


def test_net_exposure_adds_up_over_all_venues_with_sign():
    """[client] Long 1 on a and short 1 on b is nothing; the cap looks at the sum after the order."""
    cap = Caps(net_exposure_usd=Decimal(140))
    assert codes({}, {"is_ask": True}, {"size_i": 101}, caps=cap) == ["", "", "EXPOSURE_CAP"]
    assert codes({}, caps=cap, b="1") == ["EXPOSURE_CAP"]
    assert codes({"size_i": 200}, {"size_i": 201}, caps=cap, b="-1") == ["", "EXPOSURE_CAP"]
    assert codes({"is_ask": True, "market": OTHER, "size_i": 100}, caps=cap, b="-1") == ["EXPOSURE_CAP"]


def test_two_orders_in_flight_cannot_pass_the_cap_together():
    """[ours] An order's unfilled part counts as filled until it is settled; the other side's orders do not help."""

    def story():
        table = Table(Caps(net_exposure_usd=Decimal(280)))
        first = table.send(client_id=1)
        told = [table.ask(OTHER), table.ask(OTHER, size_i=101)]
        table.send(OTHER, client_id=2, price_i=None)
        told.append(table.ask(size_i=1))
        table.send(OTHER, client_id=3, is_ask=True, size_i=500)
        table.send(client_id=4, reduce_only=True, size_i=500)
        told.append(table.ask(size_i=1))
        table.risk.release(first)
        return [*told, table.ask(size_i=100)]

    assert at_rest(story) == ["", "EXPOSURE_CAP", "EXPOSURE_CAP", "EXPOSURE_CAP", ""]


def test_a_market_without_a_middle_adds_nothing():
    """[gap] Without a book there is no price to value a position by; caps on single orders still hold."""

    def story():
        table = Table(Caps(net_exposure_usd=Decimal(140)), b="5")
        table.tell["b"](BookSeen(symbol=SOL.symbol, bid_i=None, ask_i=14_000))
        return table.positions.net_exposure_usd(), table.ask()

    assert at_rest(story) == (0, "")


def test_initial_margin_is_the_markets_own():
    """[venue] A market with 50 % initial margin needs more."""
    half = Market("a", "SOL", msgspec.structs.replace(SOL, initial_margin=Decimal("0.5")))
    assert codes({"market": half}, {"market": half, "size_i": 101}, margin="70") == ["", "INSUFFICIENT_MARGIN"]
