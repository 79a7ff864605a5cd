"""The matching engine, one rule at a time."""

from decimal import Decimal

import pytest

from venues.simulation.accounts import Account
from venues.simulation.engine import MatchingEngine
from venues.simulation.records import (
    Accepted,
    BalanceChanged,
    BookChanged,
    Expired,
    Filled,
    Listing,
    PositionChanged,
    Reason,
    SelfTrade,
    Shrunk,
    State,
    Ticket,
    TimeInForce,
    Traded,
)

D = Decimal
SPOT = Listing(
    symbol="S",
    base="SOL",
    quote="USDC",
    kind="spot",
    price_decimals=2,
    size_decimals=2,
    maker_fee=D("0.0008"),
    taker_fee=D("0.001"),
    impact_up=D("1.01"),
    impact_down=D("0.99"),
)
PERP = Listing(
    symbol="P",
    base="SOL",
    quote="USDC",
    kind="perp",
    price_decimals=2,
    size_decimals=2,
    maker_fee=D("0.0002"),
    taker_fee=D("0.0005"),
    initial_margin=D("0.1"),
    impact_up=D("1.01"),
    impact_down=D("0.99"),
)


class Exchange:
    """An engine with account ``me`` and a quiet street; ``seen`` is everything it told."""

    def __init__(self, *, clip=True, portion=lambda: None):
        self.seen = []
        self.engine = MatchingEngine(
            (SPOT, PERP), lambda: 1_000_000, self.seen.append, clip_reduce_only=clip, portion=portion
        )
        self.me = self.engine.open_account(
            Account("me", {"USDC": D(10_000), "SOL": D(10)}, weights={"USDC": D(1), "SOL": D("0.9")})
        )
        for symbol in ("S", "P"):
            self.engine.requote(symbol, {10_000: 500, 9_990: 500}, {10_010: 500, 10_020: 500, 10_300: 900})
        self.seen.clear()

    def place(self, symbol, side, size_i=0, price_i=None, **more):
        return self.engine.place(self.ticket(symbol, side, size_i, price_i, **more))

    def check(self, symbol, side, size_i=0, price_i=None, **more):
        return self.engine.check(self.ticket(symbol, side, size_i, price_i, **more))

    def ticket(self, symbol, side, size_i, price_i, **more):
        return Ticket(owner="me", symbol=symbol, is_ask=side == "sell", size_i=size_i, price_i=price_i, **more)

    def kinds(self):
        return [type(event) for event in self.seen]


def test_a_resting_order_waits_behind_the_size_that_was_there_first():
    """[ours] Price-time priority: the queue in front trades before we do, and size added later stands behind us."""
    exchange = Exchange()
    order = exchange.place("P", "buy", 100, 10_000, post_only=True)
    exchange.engine.requote("P", {10_000: 800}, {10_010: 500})
    exchange.engine.take("P", is_ask=True, size_i=500, bound_i=10_000)
    assert order.filled_i == 0
    exchange.engine.take("P", is_ask=True, size_i=60, bound_i=10_000)
    assert (order.filled_i, order.state) == (60, State.OPEN)
    exchange.engine.take("P", is_ask=True, size_i=60, bound_i=10_000)
    assert (order.filled_i, order.state) == (100, State.FILLED)


def test_events_come_as_accepted_fill_position_balance_and_last_the_book():
    """[venue] The recorded order of messages: accepted before fill, balance after its order."""
    exchange = Exchange()
    exchange.place("P", "buy", 100)
    assert exchange.kinds() == [Accepted, Filled, PositionChanged, BalanceChanged, Traded, BookChanged]


def test_a_market_order_walks_levels_and_stops_at_the_impact_limit():
    """[venue] A market buy takes at most best ask times the multiplier; what is left expires."""
    exchange = Exchange()
    order = exchange.place("P", "buy", 1500)
    assert (order.filled_i, order.state, order.reason) == (1000, State.EXPIRED, Reason.IMPACT)
    assert order.filled_quote == D("100.10") * 5 + D("100.20") * 5


def test_a_market_order_by_budget_spends_no_more_than_that():
    """[venue] quoteQuantity: the size follows from the book, in whole lots."""
    exchange = Exchange()
    order = exchange.place("S", "buy", budget=D(15))
    assert (order.size_i, order.state) == (14, State.FILLED)
    assert order.filled_quote == D("14.014")


def test_a_spot_buyer_pays_the_fee_in_the_coin_bought():
    """[venue] Slightly less than the fill arrives."""
    exchange = Exchange()
    exchange.place("S", "buy", 100)
    assert exchange.me.balance("SOL").free == D("10.999")
    assert exchange.me.balance("USDC").free == D(10_000) - D("100.10")
    exchange.place("S", "sell", 100)
    assert exchange.me.balance("USDC").free == D(10_000) - D("100.10") + D(100) - D("0.1")


def test_a_spot_order_locks_funds_and_gives_the_better_price_back():
    """[venue] A limit buy locks its limit price; a fill below it frees the difference; a cancel frees the rest."""
    exchange = Exchange()
    order = exchange.place("S", "buy", 600, 10_010)
    usdc = exchange.me.balance("USDC")
    assert (order.filled_i, usdc.locked) == (500, D("100.10"))
    exchange.engine.cancel(order)
    assert (usdc.locked, usdc.free) == (D(0), D(10_000) - D("500.50"))
    better = exchange.place("S", "buy", 100, 10_100)
    assert (better.state, usdc.locked) == (State.FILLED, D(0))
    assert usdc.free == D(10_000) - D("500.50") - D("100.20")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"size_i": 100, "price_i": 10_010, "post_only": True}, Reason.WOULD_CROSS),
        ({"size_i": 600, "price_i": 10_010, "time_in_force": TimeInForce.FOK}, Reason.FILL_OR_KILL),
        ({"size_i": 100, "price_i": 10_000, "time_in_force": TimeInForce.IOC}, Reason.IMMEDIATE),
        ({"size_i": 100, "price_i": 10_000, "reduce_only": True}, Reason.REDUCE_ONLY),
        ({"size_i": 200_000, "price_i": 10_000}, Reason.MARGIN),
    ],
)
def test_an_order_that_cannot_live_is_told_so_and_expires_untouched(more, reason):
    """[ours] check() says why; place() accepts and expires for the same reason, and nothing trades."""
    exchange = Exchange()
    assert exchange.check("P", "buy", **more) is reason
    order = exchange.place("P", "buy", **more)
    assert (order.state, order.reason, order.filled_i) == (State.EXPIRED, reason, 0)
    assert exchange.kinds() == [Accepted, Expired]
    assert exchange.engine.open_orders("me") == []


def test_spot_needs_the_whole_amount_free():
    """[venue] Buying needs quote, selling needs base; what is locked counts for neither."""
    exchange = Exchange()
    assert exchange.check("S", "sell", 1001, 20_000) is Reason.FUNDS
    exchange.place("S", "sell", 600, 20_000)
    assert exchange.check("S", "sell", 401, 20_000) is Reason.FUNDS
    assert exchange.check("S", "sell", 400, 20_000) is None
    assert exchange.check("S", "buy", 10_001, 10_000) is Reason.FUNDS


def test_immediate_or_cancel_takes_what_is_there_and_expires_the_rest():
    """[venue] The remainder never rests."""
    exchange = Exchange()
    order = exchange.place("P", "buy", 700, 10_010, time_in_force=TimeInForce.IOC)
    assert (order.filled_i, order.state, order.reason) == (500, State.EXPIRED, Reason.IMMEDIATE)
    assert exchange.engine.books["P"].best_bid == (10_000, 500)


def test_a_reduce_only_order_is_cut_to_the_position():
    """[venue] Larger than the position: clip where the venue clips, refuse where it refuses."""
    exchange = Exchange()
    exchange.place("P", "buy", 100)
    order = exchange.place("P", "sell", 300, reduce_only=True)
    assert (order.size_i, order.state, exchange.me.net_i("P")) == (100, State.FILLED, 0)
    strict = Exchange(clip=False)
    strict.place("P", "buy", 100)
    assert strict.check("P", "sell", 300, reduce_only=True) is Reason.REDUCE_ONLY_SIZE


def test_resting_reduce_only_orders_shrink_with_the_position_and_end_with_it():
    """[venue] orderModified: a resting reduce-only order never covers more than the position."""
    exchange = Exchange()
    exchange.place("P", "buy", 100)
    resting = exchange.place("P", "sell", 100, 10_500, reduce_only=True)
    exchange.place("P", "sell", 70)
    assert (resting.size_i, resting.state) == (30, State.OPEN)
    assert any(isinstance(event, Shrunk) for event in exchange.seen)
    exchange.place("P", "sell", 30)
    assert (resting.state, resting.reason) == (State.EXPIRED, Reason.REDUCE_ONLY)
    assert exchange.engine.books["P"].asks.total(10_500) == 0


@pytest.mark.parametrize(
    ("rule", "taker_state", "maker_state"),
    [
        (SelfTrade.TAKER, State.EXPIRED, State.OPEN),
        (SelfTrade.MAKER, State.FILLED, State.EXPIRED),
        (SelfTrade.BOTH, State.EXPIRED, State.EXPIRED),
        (SelfTrade.ALLOW, State.FILLED, State.FILLED),
    ],
)
def test_self_trade_prevention_ends_the_order_it_names(rule, taker_state, maker_state):
    """[venue] RejectTaker, RejectMaker, RejectBoth and Allow."""
    exchange = Exchange()
    maker = exchange.place("P", "sell", 50, 10_005)
    taker = exchange.place("P", "buy", 50, 10_010, self_trade=rule)
    assert (taker.state, maker.state) == (taker_state, maker_state)


def test_a_client_id_names_the_live_order_before_an_ended_one():
    """[ours] Where a venue takes an id twice, a lookup returns the resting order."""
    exchange = Exchange()
    first = exchange.place("P", "buy", 10, 9_000, client_id=7)
    second = exchange.place("P", "buy", 10, 9_001, client_id=7)
    exchange.engine.cancel(second)
    assert exchange.engine.by_client_id("me", 7, "P") is first
    exchange.engine.cancel(first)
    assert exchange.engine.by_client_id("me", 7, "P") is second
    assert exchange.engine.by_client_id("me", 7, "S") is None


def test_a_cancel_of_an_ended_order_changes_nothing():
    """[ours] Cancelling twice, or after the fill, tells nothing."""
    exchange = Exchange()
    order = exchange.place("P", "buy", 10, 9_000)
    exchange.engine.cancel(order)
    seen = len(exchange.seen)
    exchange.engine.cancel(order)
    assert (order.state, len(exchange.seen)) == (State.CANCELLED, seen)


def test_a_position_through_zero_takes_its_profit_and_starts_anew():
    """[venue] Realised profit on the closed part; the rest has the new entry price."""
    exchange = Exchange()
    exchange.place("P", "buy", 100)
    exchange.engine.requote("P", {11_000: 900}, {11_010: 900})
    exchange.place("P", "sell", 300)
    held = exchange.me.position("P")
    assert (held.net_i, held.cost, held.realised) == (-200, D(220), D(0))
    fees = (D("100.10") + D(330)) * D("0.0005")
    assert exchange.me.balance("USDC").free == D(10_000) + D("9.90") - fees


def test_available_margin_is_net_of_position_and_open_orders():
    """[venue] netEquityAvailable falls with both; an order that only reduces costs none."""
    exchange = Exchange()
    mark = exchange.engine.mark("P")
    free = exchange.engine.margin("me").available
    exchange.place("P", "buy", 1000, 9_000)
    assert exchange.engine.margin("me").available == free - 10 * mark * D("0.1")
    exchange.place("P", "sell", 400, 12_000)
    assert exchange.engine.margin("me").available == free - 10 * mark * D("0.1")


def test_a_moving_street_trades_with_our_order_instead_of_crossing_it():
    """[ours] Quotes below our bid fill it first; the book is never crossed."""
    exchange = Exchange()
    order = exchange.place("P", "buy", 50, 10_000)
    exchange.engine.requote("P", {9_950: 500}, {9_960: 500})
    assert order.state is State.FILLED
    assert exchange.engine.books["P"].best_ask == (9_960, 450)


def test_a_portion_splits_a_match_but_never_leaves_the_book_crossed():
    """[ours] partial_fill: an immediate order keeps its remainder, a resting one trades it in a second piece."""
    exchange = Exchange(portion=lambda: D("0.5"))
    market = exchange.place("P", "buy", 100)
    assert (market.filled_i, market.state) == (50, State.EXPIRED)
    limit = exchange.place("P", "buy", 100, 10_010)
    assert limit.state is State.FILLED
    assert sum(isinstance(event, Filled) for event in exchange.seen) == 3
    resting = exchange.place("P", "buy", 100, 10_005)
    exchange.engine.requote("P", {9_900: 10}, {10_000: 500})
    assert resting.filled_i == 50
    assert exchange.engine.books["P"].best_ask is None


def test_book_updates_have_no_holes_and_carry_absolute_sizes():
    """[venue] Next first id = previous last id + 1; a level that is gone has size 0."""
    exchange = Exchange()
    order = exchange.place("P", "buy", 50, 10_005)
    exchange.engine.cancel(order)
    exchange.place("P", "buy", 600)
    books = [event for event in exchange.seen if isinstance(event, BookChanged)]
    assert [event.first_id for event in books[1:]] == [event.last_id + 1 for event in books[:-1]]
    assert books[0].bids == ((10_005, 50),)
    assert books[1].bids == ((10_005, 0),)
    assert books[2].asks == ((10_010, 0), (10_020, 400))
    assert all(event.top_changed for event in books)
