"""What an exchange may do by itself - to orders, logins, money, time - and what must be true afterwards: every room."""

from __future__ import annotations

from decimal import Decimal

import anyio
import pytest

from execution.order import State
from tests.contract.arms import Stack, contract, play, rooms
from venues.errors import VenueError
from venues.events import FillSeen, Unreadable
from venues.interface import Absent
from venues.simulation import mishaps

MUTE = [{"action": "drop", "on": "ws", "kind": kind} for kind in ("order", "fill")]


def fired(venue: Stack, action: str) -> int:
    return sum(rule.fired for rule in venue.gate.faults.rules if rule.action == action)


@contract(
    arms=("memory",),
    faults=[
        {"action": "hide_new", "on": "http", "kind": kind, "params": {"ms": 3000}}
        for kind in ("order", "open_orders", "history", "fills")
    ],
)
async def test_a_new_order_that_readings_do_not_know_yet_is_not_absent(venue: Stack) -> None:
    """[venue] Reads come from replicas: for a while the order is nowhere, and older ones are told as they are."""
    older = await venue.rest()
    await venue.clock.sleep(4)
    order = await venue.rest()
    symbol = venue.market.venue_symbol
    assert isinstance(await venue.connector.get_order(symbol, order.client_id), Absent)
    assert {seen.client_id for seen in await venue.connector.get_open_orders(symbol)} <= {older.client_id}
    assert not isinstance(await venue.connector.get_order(symbol, older.client_id), Absent)
    assert fired(venue, "hide_new") > 0
    assert await venue.desk.settle_all() == []
    assert (order.state, older.state) == (State.CANCELLED, State.CANCELLED)
    venue.at_rest()


@contract(
    arms=("memory",),
    faults=[
        {"action": "lose_reply", "on": "http", "kind": "place", "nth": [1]},
        *MUTE,
        *(
            {"action": "hide_new", "on": "http", "kind": kind, "params": {"ms": 4500}}
            for kind in ("order", "open_orders", "history", "fills")
        ),
    ],
)
async def test_a_doubtful_order_that_replicas_hide_is_not_declared_dead(venue: Stack) -> None:
    """[ours] Absence in a reading younger than the read lag proves nothing: the order lives and is found."""
    order = await venue.rest()
    assert order.in_doubt
    assert await venue.desk.settle(order) == 0
    assert order.state is State.CANCELLED
    venue.at_rest()


@contract(arms=("memory",), faults=[{"action": "late_ack", "on": "http", "kind": "place", "params": {"ms": 700}}])
async def test_an_acknowledgement_behind_the_stream_finds_the_order_open_already(venue: Stack) -> None:
    """[venue] The stream tells an order before the answer to it comes."""
    moves: list[State] = []
    async with anyio.create_task_group() as beside:
        beside.start_soon(venue.rest)
        await venue.until(lambda: any(o.seen_live for o in venue.desk.book.values()))
        (order,) = venue.desk.book.values()
        moves.append(order.state)
        assert order.ack_ms is None
    assert moves == [State.OPEN]
    assert (order.ack_ms or 0) - (order.sent_ms or 0) >= 700
    await venue.desk.settle(order)
    venue.at_rest()


@contract(arms=("memory",), faults=[{"action": "early_fill", "on": "http", "kind": "place", "nth": [1]}])
async def test_a_fill_told_before_the_acknowledgement_has_a_home(venue: Stack) -> None:
    """[venue] The trade of an order arrives before the answer that names it; half of it, then the rest is cancelled."""
    order = await venue.rest()
    await venue.until(lambda: order.traded_i)
    causes = [entry.cause for entry in order.history]
    assert causes.index("fill_part") < causes.index("acked")
    assert fired(venue, "early_fill") == 1
    await venue.desk.settle(order)
    assert 0 < order.filled_i < order.intent.size_i
    venue.at_rest()


@contract(arms=("memory",), faults=[{"action": "late_refusal", "on": "http", "kind": "place", "nth": [1]}])
async def test_a_post_only_order_refused_after_its_acknowledgement_was_live(venue: Stack) -> None:
    """[venue] Acknowledged and then ended as one that would have traded: CANCELLED with that reason, not FAILED."""
    order = await venue.rest()
    await venue.until(lambda: order.terminal)
    assert (order.state, order.code) == (State.CANCELLED, "POST_ONLY_WOULD_CROSS")
    assert await venue.desk.settle(order) == 0
    venue.at_rest()


@pytest.mark.parametrize("share", [0.5, 0.999])
@rooms(("memory",))
def test_a_trade_told_after_a_proven_end_raises_an_alarm_and_counts(
    arm: str, venue: str, kind: str, share: float
) -> None:
    """[gap] The venue broke its word about the end: the fill is taken, alarms, and the position tells the truth."""
    late = {"action": "late_fill", "on": "http", "kind": "cancel", "params": {"fraction": share, "ms": 2000}}

    async def body(opened: Stack) -> None:
        order = await opened.rest(times=8)
        assert await opened.desk.settle(order) == 0
        await opened.until(lambda: order.traded_i)
        (row,) = [row for row in opened.sim.engine.orders.values() if row.late_i]
        assert order.filled_i == opened.believed() / opened.market.lot() * opened.market.facts.lot_i
        assert opened.believed() == opened.truth() != 0
        assert row.filled_i == row.late_i
        assert [entry.alarm for entry in order.alarms] == ["LATE_FILL"] * len(order.alarms) != []
        assert order.state in (State.CANCELLED, State.FILLED)
        proof = await opened.connector.get_positions()
        assert [seen.quantity for seen in proof if seen.quantity] == [opened.truth()]

    play(arm, venue, body, faults=[{**late, "on": "http"}])


@contract(arms=("memory",))
async def test_a_position_closed_by_the_venue_is_never_our_own_trade(venue: Stack) -> None:
    """[venue] A liquidation and an auto-deleveraging change the position; no order of ours holds their trades."""
    await venue.take()
    held = venue.truth()
    for origin in ("liquidate", "deleverage"):
        rule = venue.gate.faults.load([{"action": origin, "on": "venue"}]).rules[0]
        assert mishaps.possible(venue.sim, rule)
        mishaps.happen(venue.sim, rule)
    told = [event for event in venue.heard if isinstance(event, FillSeen)]
    await venue.until(lambda: venue.positions.quantity(venue.market) == venue.truth())
    assert abs(venue.truth()) < abs(held) == abs(venue.believed())
    assert venue.desk.strangers > 0 or len(told) == len(venue.desk.book)
    ours = {trade for order in venue.desk.book.values() for trade in order.fills}
    forced = {order.id for order in venue.sim.engine.orders.values() if order.origin}
    assert len(forced) == 2
    assert len(ours) == sum(fill.order_id not in forced for fill in venue.sim.engine.fills)


@contract(arms=("memory",), faults=[{"action": "maintenance", "on": "venue", "kind": "place", "nth": [2]}])
async def test_maintenance_refuses_everything_and_ends(venue: Stack) -> None:
    """[venue] Requests are refused and streams end for a while; what rested before is found afterwards."""
    first = await venue.rest()
    second = await venue.rest()
    assert second.in_doubt or second.state is State.FAILED
    await venue.until(venue.came_back, 60)
    assert await venue.desk.settle_all() == []
    assert (first.state, second.state) == (State.CANCELLED, State.FAILED)
    venue.at_rest()


@contract(arms=("memory",), faults=[{"action": "expire_login", "on": "venue", "kind": "cancel", "nth": [1]}])
async def test_an_account_stream_whose_login_is_over_is_opened_again(venue: Stack) -> None:
    """[venue] The private stream ends in the venue's own way; the session logs in anew and misses nothing."""
    order = await venue.rest()
    other = await venue.rest()
    await venue.desk.cancel(order)
    await venue.until(lambda: "lost" in venue.sessions(), 30)
    venue.hit()
    await venue.until(venue.came_back, 60)
    assert fired(venue, "expire_login") == 1
    await venue.desk.settle_all()
    # The cancel may have been lost with its line: the street then hits the older of the two.
    assert sorted((order.filled_i, other.filled_i)) == [0, other.intent.size_i]
    venue.at_rest()


@contract(
    arms=("memory",),
    faults=[
        {"action": "disconnect", "on": "http", "kind": "cancel", "nth": [1]},
        {"action": "refuse_login", "on": "login", "nth": [1, 2], "after_ms": 3000},
    ],
)
async def test_a_login_refused_on_the_way_back_is_tried_again(venue: Stack) -> None:
    """[ours] Keys that were good at the start and are refused once or twice do not end the session."""
    order = await venue.rest()
    await venue.clock.sleep(5)
    await venue.desk.cancel(order)
    await venue.until(lambda: fired(venue, "refuse_login") == 2, 60)
    await venue.until(venue.came_back, 60)
    await venue.desk.settle_all()
    venue.at_rest()


@contract(arms=("memory",), faults=[{"action": "withdraw", "on": "venue", "kind": "place", "nth": [2]}])
async def test_an_order_without_money_behind_it_is_refused_and_never_lived(venue: Stack) -> None:
    """[venue] The balance is gone for ten seconds: refused in the venue's words, and accepted again afterwards."""
    first = await venue.rest()
    poor = await venue.rest(times=60)
    await venue.desk.settle(poor)
    assert poor.state in (State.FAILED, State.CANCELLED)
    assert (poor.code, poor.filled_i) == ("INSUFFICIENT_MARGIN", 0)
    await venue.clock.sleep(11)
    rich = await venue.rest()
    assert rich.state is State.OPEN
    await venue.desk.settle_all()
    assert first.settled
    venue.at_rest()


@pytest.mark.parametrize("by_ms", [-20_000, 20_000])
@rooms(("memory",))
def test_a_clock_that_jumps_is_measured_again(arm: str, venue: str, kind: str, by_ms: int) -> None:
    """[ours] Requests signed with the old time are refused, or count as doubtful; after a new measure they pass."""
    jump = {"action": "clock_jump", "on": "venue", "kind": "place", "nth": [1], "params": {"by_ms": by_ms}}

    async def body(opened: Stack) -> None:
        order = await opened.rest()
        await opened.desk.settle(order)
        assert order.settled
        for _ in range(20):
            await opened.clock.sleep(1)
            again = await opened.rest()
            await opened.desk.settle(again)
            if again.state is State.CANCELLED:
                break
        assert (again.state, again.settled) == (State.CANCELLED, True)
        if any(code == "CLOCK_SKEW" for _, code, _, _ in opened.desk.errors):
            assert abs(opened.connector.venue_now_ms() - opened.sim.now_ms()) < 1000
        opened.at_rest()

    play(arm, venue, body, faults=[jump])


@pytest.mark.parametrize("shape", ["bytes", "text", "json"])
@rooms(("memory", "loopback"))
def test_nonsense_on_a_stream_is_recorded_and_survived(arm: str, venue: str, kind: str, shape: str) -> None:
    """[ours] A frame that nobody can read costs neither the line nor the order that it spoke of."""
    broken = {"action": "malformed", "on": "ws", "kind": "order", "params": {"shape": shape}, "nth": [1, 2]}

    async def body(opened: Stack) -> None:
        order = await opened.rest()
        await opened.desk.settle(order)
        assert order.state is State.CANCELLED
        assert [event for event in opened.heard if isinstance(event, Unreadable)] != []
        opened.at_rest()

    play(arm, venue, body, faults=[broken])


@contract(
    arms=("memory",),
    faults=[
        {"action": "unknown_word", "on": "ws"},
        {"action": "unknown_word", "on": "http", "kind": "order", "nth": [1, 2]},
    ],
)
async def test_a_state_that_nobody_knows_moves_no_order(venue: Stack) -> None:
    """[ours] The word is recorded; the order's end is looked up until the venue speaks plainly again."""
    order = await venue.rest()
    assert await venue.desk.settle(order) == 0
    assert order.state is State.CANCELLED
    assert fired(venue, "unknown_word") > 0
    assert [event for event in venue.heard if isinstance(event, Unreadable)] != []
    venue.at_rest()


@contract(arms=("memory",), faults=[{"action": "gap", "on": "ws", "kind": "order", "params": {"count": 3}, "nth": [1]}])
async def test_words_lost_in_a_row_are_looked_up(venue: Stack) -> None:
    """[ours] The account's channels carry no number that would show the gap: settlement asks."""
    order = await venue.rest()
    venue.hit()
    assert await venue.desk.settle(order) == order.intent.size_i
    venue.at_rest()


@contract(arms=("memory",), faults=[{"action": "clock_drift", "on": "venue", "nth": [1], "params": {"ppm": 200_000}}])
async def test_a_clock_that_drifts_ends_that_far_ahead(venue: Stack) -> None:
    """[ours] A fifth too fast for twenty seconds is four seconds: the measure follows and orders pass."""
    await venue.clock.sleep(30)
    assert venue.sim.now_ms() - venue.clock.now_ms() == 4000
    with anyio.fail_after(200):
        while True:
            try:
                order = await venue.rest()
            except VenueError:
                await venue.clock.sleep(1)
                continue
            await venue.desk.settle(order)
            if order.state is State.CANCELLED:
                break
    assert Decimal(order.filled_i) == 0
    venue.at_rest()
