"""The acts of a desk, against a real connector and a simulator in memory: what they promise when things go wrong."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import anyio
import pytest

from core.chance import Chance
from execution.order import State
from execution.router import ExecutionRouter
from strategy import STRATEGIES, SmokeTest, Strategy
from strategy.trading import ActFailed, Amount, Trading, side_is_ask
from tests.contract.arms import ROOMS, Stack, contract
from venues.errors import LocalRuleError
from venues.events import PositionSeen, Source


def trading(venue: Stack, **settings: Any) -> Trading:
    return Trading(
        ExecutionRouter({venue.venue: venue.desk}),
        venue=venue.venue,
        symbol=venue.market.symbol,
        kind=venue.kind,
        run="test",
        clock=venue.clock,
        pace=venue.clock,
        chance=Chance("trading"),
        **settings,
    )


memory = ("memory",)


@contract(arms=memory)
async def test_every_act_has_a_leg_of_its_own(venue: Stack) -> None:
    """[ours] run/venue/number, so that fills of one act never count for another."""
    trade = trading(venue)
    assert (trade.leg(), trade.leg()) == (f"test/{venue.venue}/1", f"test/{venue.venue}/2")
    assert trade.play == f"test/{venue.venue}"


@contract(arms=memory, kinds=("perp", "spot"))
async def test_the_smallest_size_is_one_the_venue_takes(venue: Stack) -> None:
    """[client] size: min, both sides: placed, filled, and what arrives can be closed again."""
    trade = trading(venue)
    for side in ("buy", "sell"):
        size_i = await trade.size_i(Amount(), is_ask=side == "sell")
        order = await trade.market_order(side, size_i)
        assert order.state is State.FILLED
        if venue.kind == "perp":
            await trade.market_close()
    assert (await trade.proof()).flat()


@contract(arms=memory, kinds=("spot",))
async def test_coins_that_arrive_from_elsewhere_are_not_sold(venue: Stack) -> None:
    """[ours] On spot nothing bounds a sale but our own trades: a deposit in mid-play stays, and is said aloud."""
    trade = trading(venue)
    await trade.market_order("buy", await trade.size_i(Amount(), is_ask=False))
    bought = trade.traded()
    account = venue.desk.positions.account(venue.venue)
    account.baselines[venue.market.facts.base] -= 1
    sold = sum(order.filled for order in await trade.market_close())
    assert 0 < sold <= bought
    with pytest.raises(ActFailed) as said:
        await trade.flat_proof(within_secs=1)
    assert said.value.code == "NOT_FLAT"


@contract(arms=memory)
async def test_sizes_in_words_become_sizes_on_the_grid(venue: Stack) -> None:
    """[client] Base units exactly, dollars rounded down; below the minimum or off the lot is refused by name."""
    trade, market = trading(venue), venue.market
    assert await trade.size_i(Amount("base", Decimal("0.5")), is_ask=False) == market.size_from(Decimal("0.5"))
    bid, _ = await trade.quote()
    assert bid is not None
    dollars = await trade.size_i(Amount("usd", Decimal(100)), is_ask=False)
    assert market.size(dollars) * bid <= 100 < market.size(dollars + market.facts.lot_i) * bid
    with pytest.raises(ActFailed) as small:
        await trade.size_i(Amount("usd", Decimal("0.01")), is_ask=False)
    assert small.value.code == "MIN_SIZE"
    with pytest.raises(LocalRuleError) as off:
        await trade.size_i(Amount("base", Decimal("0.0123456789")), is_ask=False)
    assert off.value.code == "PRECISION"


@contract(arms=memory, faults=[{"action": "drop", "on": "http", "kind": "place", "nth": [2, 3]}])
async def test_a_closing_order_that_never_arrived_is_followed_by_a_fresh_one(venue: Stack) -> None:
    """[ours] Proven absent means that nothing can be live under it: the position is closed under a new id."""
    trade = trading(venue)
    await trade.market_order("sell", await venue.size())
    sent = await trade.market_close()
    assert [order.state for order in sent] == [State.FAILED, State.FAILED, State.FILLED]
    assert (await trade.flat_proof()).proves_flat
    assert venue.placed() == 4
    venue.at_rest()


@pytest.mark.parametrize("reason", ["RATE_LIMITED", "CLOCK_SKEW", "VENUE_UNAVAILABLE"])
def test_a_closing_order_refused_for_a_passing_reason_is_tried_again_a_moment_later(reason: str) -> None:
    """[ours] Busy, maintenance, clock: a second between the tries, then closed."""
    from tests.contract.arms import play

    async def body(venue: Stack) -> None:
        trade = trading(venue)
        await trade.market_order("buy", await venue.size())
        began = venue.clock.monotonic()
        sent = await trade.market_close()
        assert [order.state for order in sent][-1] is State.FILLED
        assert len(sent) == 3
        assert venue.clock.monotonic() - began >= 2
        venue.at_rest()

    reject = {"action": "reject", "on": "engine", "kind": "place", "nth": [2, 3], "params": {"reason": reason}}
    play("memory", ROOMS[0], body, faults=[reject])


@contract(
    arms=memory,
    faults=[{"action": "reject", "on": "engine", "kind": "place", "nth": [2], "params": {"reason": "PRICE_BAND"}}],
)
async def test_a_price_band_passes_too(venue: Stack) -> None:
    """[venue] A market order that the band refuses is sent again when the market has moved."""
    trade = trading(venue)
    await trade.market_order("buy", await venue.size())
    assert len(await trade.market_close()) == 2
    venue.at_rest()


@contract(
    arms=memory,
    faults=[{"action": "reject", "on": "engine", "kind": "place", "params": {"reason": "AUTH"}, "after_ms": 3_000}],
)
async def test_a_refusal_that_will_not_pass_ends_the_closing_and_says_what_to_do(venue: Stack) -> None:
    """[client] NOT_FLAT with the venue's word, after one order."""
    trade = trading(venue)
    await trade.market_order("buy", await venue.size())
    await venue.clock.sleep(4)
    with pytest.raises(ActFailed) as told:
        await trade.market_close()
    refused = list(venue.desk.book.values())[-1]
    assert (told.value.code, bool(told.value.next_move)) == ("NOT_FLAT", True)
    assert refused.code in told.value.message
    assert venue.placed() == 2


@contract(arms=memory, faults=[{"action": "partial_fill", "on": "engine", "params": {"fraction": Decimal("0.3")}}])
async def test_a_thin_book_is_closed_in_as_many_orders_as_it_takes(venue: Stack) -> None:
    """[client] A third at a time: more than five orders, and flat."""
    trade = trading(venue)
    for _ in range(6):
        await trade.market_order("buy", await venue.size(20))
    sent = await trade.market_close()
    assert len(sent) > 5
    assert (await trade.flat_proof()).proves_flat
    venue.at_rest()


@contract(arms=memory)
async def test_closing_waits_for_a_session_that_is_coming_back(venue: Stack) -> None:
    """[ours] A break at the wrong moment must not leave a position: the order goes out once synced."""
    trade = trading(venue)
    await trade.market_order("buy", await venue.size())
    venue.gate.disconnect()
    await venue.until(lambda: not venue.connector.synced)
    proof = await trade.flatten()
    assert proof.proves_flat
    assert venue.sessions()[-2:] == ["lost", "synced"]
    venue.at_rest()


@contract(arms=memory, faults=[{"action": "drop", "on": "ws", "kind": "position"}])
async def test_a_position_that_the_stream_does_not_tell_is_read(venue: Stack) -> None:
    """[ours] Stream and fills stay apart for three seconds: the venue's own reading decides."""
    trade = trading(venue)
    order = await trade.market_order("buy", await venue.size())
    assert await trade.position() == order.filled
    assert "POSITION_MISMATCH" not in [row[1] for row in venue.desk.errors]
    await trade.market_close()
    venue.at_rest()


@contract(arms=memory)
async def test_a_position_that_our_fills_do_not_explain_is_noted_and_closed_as_it_is(venue: Stack) -> None:
    """[ours] POSITION_MISMATCH; the venue's word wins, so the whole of it is closed."""
    trade = trading(venue)
    await trade.market_order("buy", await venue.size(2))
    await venue.clock.sleep(1)
    engine = venue.sim.engine
    (position,) = [each for account in engine.accounts.values() for each in account.positions.values() if each.net_i]
    position.net_i, position.cost = position.net_i * 2, position.cost * 2
    quantity = venue.market.size(2 * next(iter(venue.desk.book.values())).filled_i)
    venue.positions.account(venue.venue).take(
        PositionSeen(symbol=venue.market.venue_symbol, quantity=quantity, source=Source.WS), venue.clock.now_ms()
    )
    assert await trade.position() == quantity
    assert "POSITION_MISMATCH" in [row[1] for row in venue.desk.errors]
    (closing,) = await trade.market_close()
    assert (closing.filled, position.net_i) == (quantity, 0)


@contract(arms=memory)
async def test_an_order_whose_end_is_not_proven_halts_the_market(venue: Stack) -> None:
    """[ours] IN_DOUBT: no second order in this market, by any path, until it is settled."""
    trade = trading(venue)
    size_i, price_i = await venue.size(), await venue.away()
    order = await venue.desk.place_limit(venue.market, is_ask=False, size_i=size_i, price_i=price_i, leg="doubt")
    venue.connector._wire.down.add(venue.venue)  # type: ignore[attr-defined]
    venue.gate.disconnect()
    with pytest.raises(ActFailed) as told:
        await trade._end(order)
    assert told.value.code == "IN_DOUBT"
    venue.connector._wire.down.clear()  # type: ignore[attr-defined]
    await venue.until(lambda: venue.connector.synced, 60)
    with pytest.raises(LocalRuleError) as halted:
        await venue.desk.place_limit(venue.market, is_ask=False, size_i=size_i, price_i=price_i, leg="second")
    assert halted.value.code == "HALTED"
    # Cleaning up settles it and opens the market again, for closing.
    assert (await trade.flatten()).proves_flat
    assert venue.desk.halted == {}
    venue.at_rest()


@contract(arms=memory)
async def test_flat_is_not_proven_while_an_order_rests(venue: Stack) -> None:
    """[client] No position but a live order: NOT_FLAT says so; a stranger's order counts too."""
    trade = trading(venue)
    await venue.rest()
    with pytest.raises(ActFailed) as told:
        await trade.flat_proof(within_secs=1)
    assert told.value.code == "NOT_FLAT"
    assert told.value.message.endswith("0 SOL held, 1 open order, 1 order without a proven end")
    await trade.cancel_all()
    assert (await trade.flat_proof()).proves_flat


def test_a_side_that_is_none_is_refused_with_the_nearest_word() -> None:
    """[ours] BAD_SIDE and a guess."""
    assert (side_is_ask("buy"), side_is_ask("sell")) == (False, True)
    with pytest.raises(ActFailed) as told:
        side_is_ask("sel")
    assert (told.value.code, told.value.next_move) == ("BAD_SIDE", "Did you mean sell?")


@contract(arms=memory)
async def test_a_strategy_without_a_body_says_so(venue: Stack) -> None:
    """[ours] A class without a run method makes no strategy, and unknown settings are refused by name."""

    class Empty(Strategy):
        name = "empty"

    said: list[str] = []
    with pytest.raises(TypeError, match=r"Empty.*run"):
        Empty(trading(venue), {}, said.append)  # type: ignore[abstract]
    with pytest.raises(ActFailed) as told:
        SmokeTest(trading(venue), {"speed": 3}, said.append)
    assert told.value.code == "STRATEGY_SETTING"
    assert all(kind.name == name for name, kind in STRATEGIES.items())


@contract(arms=memory, kinds=("spot",))
async def test_coins_that_were_sold_are_bought_back(venue: Stack) -> None:
    """[client] Spot, sell first: closing buys back what was sold; what the fee takes of it is less than an order."""
    trade = trading(venue)
    smallest_i = await trade.size_i(Amount(), is_ask=True)
    await trade.market_order("sell", smallest_i)
    (bought,) = await trade.market_close()
    assert (bought.state, bought.intent.side) == (State.FILLED, "buy")
    assert abs(venue.desk.traded(venue.market)) < venue.market.size(smallest_i)
    assert (await trade.flat_proof()).proves_flat
    venue.at_rest()


@contract(arms=memory, faults=[{"action": "partial_fill", "on": "engine", "nth": [1], "params": {"fraction": 0.01}}])
async def test_a_position_below_the_smallest_order_is_closed_by_reduce_only(venue: Stack) -> None:
    """[ours] One lot filled of an opening order: no order so small is taken, a larger reduce-only one closes it."""
    trade = trading(venue)
    opened = await trade.market_order("buy", await trade.size_i(Amount(), is_ask=False))
    assert opened.filled_i > 0
    await trade.market_close()
    assert venue.truth() == 0
    assert (await trade.flat_proof()).proves_flat
    venue.at_rest()


@contract(arms=memory)
async def test_a_closing_order_in_doubt_is_proven_first_and_then_the_rest_is_closed(venue: Stack) -> None:
    """[ours] The venue is away for longer than one settlement takes: flatten proves the order's end, then closes."""
    trade = trading(venue)
    await trade.market_order("buy", await venue.size())
    down = venue.connector._wire.down  # type: ignore[attr-defined]

    async def leave_and_come_back() -> None:
        await venue.until(lambda: len(venue.desk.book) == 2)
        down.add(venue.venue)
        venue.gate.disconnect()
        await venue.clock.sleep(40)
        down.clear()

    async with anyio.create_task_group() as beside:
        beside.start_soon(leave_and_come_back)
        proof = await trade.flatten()
    assert proof.proves_flat
    venue.at_rest()
