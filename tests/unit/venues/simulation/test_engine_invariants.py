"""The matching engine under random orders: what must hold whatever happens."""

from collections import defaultdict
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from venues.simulation.accounts import Account
from venues.simulation.engine import MatchingEngine
from venues.simulation.records import Filled, Listing, SelfTrade, State, Ticket, TimeInForce, Traded

D = Decimal
NEARLY = D("0.000000000001")
LISTINGS = [
    Listing(
        symbol=symbol,
        base="SOL",
        quote="USDC",
        kind=kind,
        price_decimals=1,
        size_decimals=1,
        maker_fee=D("0.0002"),
        taker_fee=D("0.0005"),
        initial_margin=D("0.2"),
        impact_up=D("1.05"),
        impact_down=D("0.95"),
    )
    for symbol, kind in (("S", "spot"), ("P", "perp"))
]
START = {"USDC": D(500), "SOL": D(5)}

orders = st.fixed_dictionaries(
    {
        "owner": st.sampled_from(["ann", "bob"]),
        "symbol": st.sampled_from(["S", "P"]),
        "is_ask": st.booleans(),
        "size_i": st.integers(1, 40),
        "price_i": st.one_of(st.none(), st.integers(95, 105)),
        "time_in_force": st.sampled_from([TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK]),
        "post_only": st.integers(0, 3).map(lambda n: n == 0),
        "reduce_only": st.integers(0, 3).map(lambda n: n == 0),
        "self_trade": st.sampled_from(list(SelfTrade)),
    }
)
cancels = st.integers(0, 30)
quotes = st.tuples(
    st.sampled_from(["S", "P"]), st.integers(95, 104), st.integers(1, 3), st.integers(0, 30), st.integers(0, 30)
)
WITHOUT_STREET = st.lists(st.one_of(orders, orders, cancels), min_size=5, max_size=60)
WITH_STREET = st.lists(st.one_of(orders, orders, cancels, quotes), min_size=5, max_size=60)
examples = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Play:
    """An engine that is checked after every event and every action."""

    def __init__(self):
        self.now_us = 1_000
        self.fills = defaultdict(list)
        self.trades = []
        self.engine = MatchingEngine(LISTINGS, lambda: self.now_us, self.hear)
        for name in ("ann", "bob"):
            self.engine.open_account(Account(name, START, weights={"USDC": D(1), "SOL": D("0.9")}))

    def hear(self, event):
        if isinstance(event, Traded):
            self.trades.append(event.trade)
        if isinstance(event, Filled):
            self.fills[event.order.id].append(event.fill)
            if event.fill.is_maker:
                self.check_priority(event.order)

    def check_priority(self, maker):
        for name in ("ann", "bob"):
            for other in self.engine.open_orders(name, maker.symbol):
                if other.id == maker.id or other.is_ask != maker.is_ask:
                    continue
                side = self.engine.books[other.symbol].side(other.is_ask)
                level = side.levels.get(other.price_i)
                if level is None or other not in level.orders:
                    continue
                better = other.price_i < maker.price_i if maker.is_ask else other.price_i > maker.price_i
                assert not better, "a better price was passed over"
                assert other.price_i != maker.price_i or other.id > maker.id, "an older order was passed over"

    def act(self, action):
        if isinstance(action, dict):
            if action["price_i"] is None:
                action = action | {"post_only": False, "time_in_force": TimeInForce.GTC}
            if action["symbol"] == "S":
                action = action | {"reduce_only": False}
            self.engine.place(Ticket(**action))
        elif isinstance(action, int):
            live = [order for order in self.engine.orders.values() if order.live]
            if live:
                self.engine.cancel(live[action % len(live)])
        else:
            symbol, bid, spread, bid_size, ask_size = action
            self.engine.requote(symbol, {bid: bid_size}, {bid + spread: ask_size})
        self.check()

    def check(self):
        for symbol, book in self.engine.books.items():
            bid, ask = book.best_bid, book.best_ask
            assert bid is None or ask is None or bid[0] < ask[0], f"{symbol} is crossed"
            for side in (book.bids, book.asks):
                for level in side.levels.values():
                    assert level.total == sum(order.left_i for order in level.orders) > 0
                    assert level.street == sum(order.left_i for order in level.orders if not order.owner)
                    assert all(order.live for order in level.orders)
        for name, account in self.engine.accounts.items():
            live = self.engine.open_orders(name)
            for asset, is_ask in (("SOL", True), ("USDC", False)):
                balance = account.balance(asset)
                assert balance.locked == sum(order.locked for order in live if order.is_ask == is_ask)
                assert balance.locked >= 0
            assert account.balance("SOL").free >= 0
            for symbol in self.engine.listings:
                for is_ask in (False, True):
                    growing = [o for o in live if (o.symbol, o.is_ask, o.reduce_only) == (symbol, is_ask, False)]
                    resting = self.engine.resting.get((name, symbol, is_ask), 0)
                    assert resting == sum(order.left_i for order in growing)
        for order in self.engine.orders.values():
            assert order.filled_i == sum(fill.size_i for fill in self.fills[order.id]) <= order.size_i
            assert (order.state is State.FILLED) == (order.left_i == 0)
            for fill in self.fills[order.id]:
                if order.price_i is not None:
                    assert fill.price_i >= order.price_i if order.is_ask else fill.price_i <= order.price_i


@examples
@given(WITH_STREET)
def test_the_book_is_never_crossed_and_every_order_is_the_sum_of_its_trades(actions):
    """[ours] Priority, limits, locks and cumulative fills hold with street and accounts together."""
    play = Play()
    for action in actions:
        play.act(action)


@examples
@given(WITH_STREET)
def test_trade_ids_count_and_engine_times_never_repeat(actions):
    """[venue] Trade ids are sequential per symbol; engine times grow strictly although the clock stands still."""
    play = Play()
    for action in actions:
        play.act(action)
    for symbol in ("S", "P"):
        ids = [trade.id for trade in play.trades if trade.symbol == symbol]
        assert ids == list(range(1, len(ids) + 1))
    times = [trade.us for trade in play.trades]
    assert times == sorted(set(times))


@examples
@given(WITHOUT_STREET)
def test_what_one_account_gains_another_loses_but_for_fees(actions):
    """[ours] Both sides of every trade add up: coins, quote and positions are conserved."""
    play = Play()
    for action in actions:
        play.act(action)
    fills = [fill for some in play.fills.values() for fill in some]
    for trade in play.trades:
        sides = [fill for fill in fills if (fill.symbol, fill.trade_id) == (trade.symbol, trade.id)]
        assert sorted(fill.is_ask for fill in sides) == [False, True]
        assert {fill.size_i for fill in sides} == {trade.size_i}
    accounts = play.engine.accounts.values()
    assert sum(account.net_i("P") for account in accounts) == 0
    fees = {asset: sum((fill.fee for fill in fills if fill.fee_asset == asset), D(0)) for asset in ("SOL", "USDC")}
    entered = sum((account.position("P").cost * (1 if account.net_i("P") > 0 else -1) for account in accounts), D(0))
    for asset, open_value in (("SOL", D(0)), ("USDC", entered)):
        held = sum(account.balance(asset).free + account.balance(asset).locked for account in accounts)
        assert abs(held + fees[asset] - open_value - 2 * START[asset]) < NEARLY


@examples
@given(st.lists(orders.filter(lambda order: order["symbol"] == "S"), min_size=5, max_size=60))
def test_spot_balances_are_never_negative(actions):
    """[ours] No order can spend what the account does not have."""
    play = Play()
    for action in actions:
        play.act(action)
        for account in play.engine.accounts.values():
            assert all(held.free >= 0 and held.locked >= 0 for held in account.balances.values())
