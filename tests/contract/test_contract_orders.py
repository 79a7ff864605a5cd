"""What a venue and its connector owe an order: one body for every room and both arms."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from execution.order import State
from tests.contract.arms import Stack, contract, play, rooms, stranger
from venues.errors import LocalRuleError, Refused
from venues.events import SnapshotSeen, Status


@contract(kinds=("perp", "spot"))
async def test_a_started_connector_is_synced_and_knows_markets_and_time(venue: Stack) -> None:
    """[client] After start: streams up, one snapshot merged, the book on the grid, the clock measured."""
    symbol, facts = venue.market.venue_symbol, venue.market.facts
    assert venue.connector.synced
    assert venue.sessions() == ["synced"]
    assert sum(isinstance(event, SnapshotSeen) for event in venue.heard) == 1
    bid_i, ask_i, scale = await venue.connector.get_top_of_book(symbol)
    assert 0 < bid_i < ask_i
    assert (bid_i % facts.tick_i, ask_i % facts.tick_i, scale) == (0, 0, 10**facts.price_decimals)
    server_ms, now_ms = await venue.connector.server_time_ms(), venue.connector.venue_now_ms()
    assert abs(server_ms - now_ms) < 2_000
    assert await venue.connector.get_positions() == ()
    assert await venue.connector.get_open_orders(symbol) == ()
    margin = await venue.connector.get_margin()
    assert margin.balance >= margin.available > 0


@contract(arms=("memory",), kinds=("perp", "spot"))
async def test_the_facts_of_a_market_are_the_venues_own(venue: Stack) -> None:
    """[venue] Tick, lot and minimum as the venue's engine enforces them, and both faces of the connector agree."""
    facts, symbol = venue.market.facts, venue.market.venue_symbol
    same = [each for each in venue.sim.engine.listings.values() if each.base == facts.base]
    listing = next(each for each in same if each.is_perp == (venue.kind == "perp"))
    tick_i = facts.price_step((await venue.best())[0])
    assert venue.market.price(tick_i) == listing.price(listing.tick_i)
    assert venue.market.lot() == listing.size(listing.lot_i)
    assert await venue.connector.get_price_size_decimals(symbol) == (facts.price_decimals, facts.size_decimals)
    assert await venue.connector.get_min_size_i(symbol) == facts.min_size_i > 0
    assert (facts.base, facts.kind, facts.tradable) == (venue.market.symbol, venue.kind, True)


@contract(kinds=("perp", "spot"))
async def test_a_limit_order_rests_is_cancelled_and_settles_at_zero(venue: Stack) -> None:
    """[client] Placed, open at the venue under our client id, cancelled, proven unfilled."""
    order = await venue.rest()
    await venue.until(lambda: order.state is State.OPEN)
    (seen,) = await venue.connector.get_open_orders(venue.market.venue_symbol)
    told = (seen.client_id, seen.status, seen.size_i, seen.filled_i, seen.price_i, seen.is_ask)
    assert told == (order.client_id, Status.OPEN, order.intent.size_i, 0, order.intent.price_i, False)
    assert len(venue.live()) == 1
    assert await venue.desk.settle(order) == 0
    assert order.state is State.CANCELLED
    assert venue.placed() == 1
    venue.at_rest()


@contract()
async def test_a_partial_fill_then_a_cancel_settles_at_the_part(venue: Stack) -> None:
    """[client] Half traded, the rest cancelled: filled is exactly the half, and the position shows it."""
    order = await venue.rest(times=4)
    venue.hit(Decimal("0.5"))
    await venue.until(lambda: order.state is State.PARTIALLY_FILLED)
    assert await venue.desk.settle(order) == order.intent.size_i // 2
    assert (order.state, len(order.fills)) == (State.CANCELLED, 1)
    await venue.until(lambda: venue.positions.quantity(venue.market) == venue.truth())
    venue.at_rest()


@contract()
async def test_a_market_order_opens_and_a_reduce_only_one_closes(venue: Stack) -> None:
    """[client] Fill, position, close, flat: by stream and by REST alike."""
    bought = await venue.take()
    assert bought.state is State.FILLED
    await venue.until(lambda: venue.positions.quantity(venue.market) == bought.filled)
    (held,) = await venue.connector.get_positions()
    assert held.quantity == bought.filled == venue.truth()
    # Twice what is held: reduce-only may close, never turn around.
    sold = await venue.desk.place_market(
        venue.market, is_ask=True, size_i=bought.intent.size_i, leg="test/close", reduce_only=True
    )
    await venue.desk.settle(sold)
    await venue.until(lambda: venue.positions.quantity(venue.market) == 0)
    assert [row for row in await venue.connector.get_positions() if row.quantity] == []
    assert venue.truth() == 0
    venue.at_rest()


@contract(arms=("memory",))
async def test_reduce_only_on_a_flat_account_trades_nothing(venue: Stack) -> None:
    """[venue] Nothing to reduce: refused with our code, or ended without a fill; never a new position."""
    order = await venue.take(is_ask=True, reduce_only=True)
    assert order.filled_i == 0
    assert order.state in (State.FAILED, State.CANCELLED)
    assert order.code in ("REDUCE_ONLY", "")
    assert venue.truth() == 0
    venue.at_rest()


@contract(kinds=("perp", "spot"))
async def test_a_post_only_order_that_would_cross_is_refused_by_name(venue: Stack) -> None:
    """[venue] POST_ONLY_WOULD_CROSS, whether the venue refuses it or lets it expire; nothing trades."""
    _, ask_i = await venue.best()
    price_i = venue.market.passive_price(ask_i * 1005 // 1000, is_ask=False)
    order = await venue.desk.place_limit(
        venue.market, is_ask=False, size_i=await venue.size(), price_i=price_i, leg="test/cross"
    )
    assert await venue.desk.settle(order) == 0
    assert (order.terminal, order.code) == (True, "POST_ONLY_WOULD_CROSS")
    venue.at_rest()


@contract(arms=("memory",), kinds=("perp", "spot"))
async def test_what_lies_off_the_grid_or_below_the_minimum_never_leaves(venue: Stack) -> None:
    """[ours] Zero, negative, off tick or lot, below minimum: refused locally, nothing is sent or written down."""
    market, facts = venue.market, venue.market.facts
    price_i, size_i = await venue.away(), await venue.size()
    wrong = [
        ({"size_i": 0, "price_i": price_i}, "MIN_SIZE"),
        ({"size_i": -size_i, "price_i": price_i}, "MIN_SIZE"),
        ({"size_i": size_i, "price_i": 0}, "PRICE_RANGE"),
        ({"size_i": size_i, "price_i": -price_i}, "PRICE_RANGE"),
    ]
    if facts.lot_i > 1:
        wrong.append(({"size_i": size_i + 1, "price_i": price_i}, "PRECISION"))
    if facts.tick_i > 1:
        wrong.append(({"size_i": size_i, "price_i": price_i + 1}, "PRECISION"))
    if facts.min_size_i > facts.lot_i:
        wrong.append(({"size_i": facts.min_size_i - facts.lot_i, "price_i": price_i}, "MIN_SIZE"))
    for values, code in wrong:
        with pytest.raises(LocalRuleError) as told:
            await venue.desk.place_limit(market, is_ask=False, leg="test/wrong", **values)
        assert told.value.code == code
    for size in (0, -1, 1.5, True):
        with pytest.raises(LocalRuleError):
            await venue.desk.place_market(market, is_ask=False, size_i=size, leg="test/wrong")
    assert (venue.placed(), venue.desk.book) == (0, {})


@contract(arms=("memory",), kinds=("perp", "spot"))
async def test_past_our_own_gate_the_venue_refuses_the_grid_with_our_codes(venue: Stack) -> None:
    """[venue] Half a lot and half a tick, sent straight: its own words become MIN_SIZE or PRECISION."""
    facts, symbol = venue.market.facts, venue.market.venue_symbol
    size_i, price_i = await venue.size(), await venue.away()
    # Two more decimals on our side only: what the venue would never take can now be written.
    finer = {"size_decimals": facts.size_decimals + 2, "price_decimals": facts.price_decimals + 2}
    venue.dialect.markets = {**venue.dialect.markets, symbol: msgspec.structs.replace(facts, **finer)}
    cases = [
        (facts.lot_i * 50, price_i * 100, {"MIN_SIZE", "PRECISION", "MIN_NOTIONAL"}),
        (size_i * 100 + facts.lot_i * 50, price_i * 100, {"PRECISION"}),
        (size_i * 100, price_i * 100 + facts.tick_i * 50, {"PRECISION"}),
    ]
    refused = 0
    for number, (amount, price, codes) in enumerate(cases, 1):
        # Where the wire has integers on the market's grid only, the room cannot even say it.
        with pytest.raises((Refused, LocalRuleError)) as told:
            await venue.connector.submit_limit_order(
                symbol=symbol, client_order_index=number, base_amount=amount, price=price, is_ask=False
            )
        assert told.value.code in codes
        assert told.value.raw or isinstance(told.value, LocalRuleError)
        refused += isinstance(told.value, Refused)
    assert (venue.placed(), venue.live(), venue.truth()) == (refused, [], 0)


@contract(arms=("memory",), kinds=("perp", "spot"))
async def test_too_little_money_is_refused_on_both_sides_of_the_wire(venue: Stack) -> None:
    """[venue] Locally before anything is sent, and by the venue with the same code when sent past our gate."""
    wanted = "INSUFFICIENT_MARGIN" if venue.kind == "perp" else "INSUFFICIENT_BALANCE"
    price_i, facts = await venue.away(), venue.market.facts
    huge = venue.market.size_for_quote(Decimal(50_000_000), price_i)
    huge = min(huge, facts.max_size_i or huge)
    with pytest.raises(LocalRuleError) as local:
        await venue.desk.place_limit(venue.market, is_ask=False, size_i=huge, price_i=price_i, leg="test/huge")
    assert (local.value.code, venue.placed()) == (wanted, 0)
    with pytest.raises(Refused) as told:
        await venue.connector.submit_limit_order(
            symbol=venue.market.venue_symbol, client_order_index=7, base_amount=huge, price=price_i, is_ask=False
        )
    assert told.value.code == wanted
    assert venue.live() == []


@rooms()
def test_a_key_that_the_venue_does_not_know_is_auth(arm: str, venue: str, kind: str) -> None:
    """[venue] start raises Refused AUTH, and leaves nothing running."""

    async def body(opened: Stack) -> None:
        with pytest.raises(Refused) as told:
            await opened.connector.start()
        assert told.value.code == "AUTH"
        assert not opened.connector.synced

    play(arm, venue, body, credentials=stranger(venue), start=False)


@pytest.mark.parametrize("offset_ms", [-45_000, 45_000])
@rooms()
def test_a_venue_whose_clock_differs_is_measured_and_obeyed(arm: str, venue: str, kind: str, offset_ms: int) -> None:
    """[client] Far outside every window: the offset is measured at the start, and orders are taken."""

    async def body(opened: Stack) -> None:
        assert abs(opened.connector.venue_now_ms() - opened.clock.now_ms() - offset_ms) < 1_000
        order = await opened.rest()
        assert order.state is not State.FAILED
        assert await opened.desk.settle(order) == 0
        opened.at_rest()

    play(arm, venue, body, sim={"clock_offset_ms": offset_ms})


@contract(arms=("memory",))
async def test_a_client_id_is_sent_once(venue: Stack) -> None:
    """[ours] The connector refuses an id it has sent before, whatever became of it; the venue hears of one."""
    order = await venue.rest()
    await venue.desk.settle(order)
    intent = order.intent
    with pytest.raises(LocalRuleError) as told:
        await venue.connector.submit_limit_order(
            symbol=intent.venue_symbol,
            client_order_index=order.client_id,
            base_amount=intent.size_i,
            price=intent.price_i or 0,
            is_ask=False,
        )
    assert (told.value.code, venue.placed()) == ("DUPLICATE_CLIENT_ID", 1)
    venue.at_rest()


@contract()
async def test_rest_and_streams_tell_the_same_orders_and_positions(venue: Stack) -> None:
    """[client] Two resting orders, one half filled, and a position: both readings, one truth."""
    lower, upper = await venue.rest(), await venue.rest(is_ask=True)
    venue.hit(Decimal("0.5"))
    await venue.until(lambda: upper.state is State.PARTIALLY_FILLED)
    listed = {seen.client_id: seen for seen in await venue.connector.get_open_orders(venue.market.venue_symbol)}
    assert set(listed) == {lower.client_id, upper.client_id}
    for order in (lower, upper):
        seen = listed[order.client_id]
        told = (seen.venue_id, seen.filled_i, seen.size_i, seen.price_i, seen.is_ask)
        intent = order.intent
        assert told == (order.venue_id, order.filled_i, intent.size_i, intent.price_i, intent.is_ask)
        alone = await venue.connector.get_order(venue.market.venue_symbol, order.client_id)
        assert (alone.venue_id, alone.filled_i) == (order.venue_id, order.filled_i)
    fills = await venue.connector.get_order_fills(venue.market.venue_symbol, upper.client_id)
    assert {(fill.trade_id, fill.size_i, fill.price) for fill in fills} == {
        (fill.trade_id, fill.size_i, fill.price) for fill in upper.fills.values()
    }
    await venue.until(lambda: venue.positions.quantity(venue.market) == venue.truth())
    (held,) = await venue.connector.get_positions()
    assert held.quantity == venue.truth() == -upper.filled
    assert await venue.desk.settle_all() == []
    venue.at_rest()


@contract(kinds=("spot",))
async def test_a_spot_buy_whose_fee_is_taken_in_the_coin_sells_back_within_a_lot(venue: Stack) -> None:
    """[venue] What arrives is the fill less the fee; all whole lots of it are sold, what stays is dust."""
    market = venue.market
    bought = await venue.take(times=50)
    fee = bought.fees().get(market.facts.base, Decimal(0))
    assert (fee > 0) == venue.connector.abilities.spot_fee_in_base
    arrived = venue.desk.traded(market)
    assert arrived == bought.filled - fee
    await venue.until(lambda: venue.positions.quantity(market) == arrived)
    sold = await venue.desk.place_market(market, is_ask=True, size_i=market.whole_lots(arrived), leg="test/back")
    await venue.desk.settle(sold)
    assert sold.state is State.FILLED
    left = venue.desk.traded(market)
    assert 0 <= left < market.lot()
    await venue.until(lambda: venue.positions.quantity(market) == left)
    venue.at_rest()
