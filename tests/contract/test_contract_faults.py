"""What goes wrong between us and a venue, and what must still be true afterwards: every room, seeded faults."""

from __future__ import annotations

from decimal import Decimal

import anyio
import pytest

from execution.order import Order, State
from tests.contract.arms import Stack, contract, play, rooms
from venues.errors import LocalRuleError, VenueError
from venues.events import Status

MUTE = [{"action": "drop", "on": "ws", "kind": kind} for kind in ("order", "fill")]
# After these the order is live although its answer never came, or came as an error.
LOST = {
    "lost reply": [{"action": "lose_reply", "on": "http", "kind": "place", "nth": [1]}],
    "503 after": [{"action": "error_after", "on": "http", "kind": "place", "nth": [1]}],
    "500 after": [{"action": "error_after", "on": "http", "kind": "place", "nth": [1], "params": {"status": 500}}],
    "cut answer": [{"action": "truncate", "on": "http", "kind": "place", "nth": [1]}],
}


@pytest.mark.parametrize("mute", [False, True], ids=["streams tell", "streams mute"])
@pytest.mark.parametrize("fault", list(LOST))
@rooms(("memory",))
def test_a_lost_answer_is_looked_up_and_never_sent_again(
    arm: str, venue: str, kind: str, fault: str, mute: bool
) -> None:
    """[ours] The order is not FAILED, its end comes from the streams or a look-up, and one request was sent."""

    async def body(opened: Stack) -> None:
        order = await settled_after_a_lost_answer(opened)
        # Some faults have no form on a stream: where orders go over one, nothing was struck.
        struck = opened.gate.faults.rules[0].fired
        assert not (mute and struck) or "doubt" in [entry.cause for entry in order.history]

    play(arm, venue, body, faults=LOST[fault] + (MUTE if mute else []))


@contract(arms=("loopback",), faults=LOST["lost reply"])
async def test_a_connection_that_breaks_under_an_order_is_a_lost_answer(venue: Stack) -> None:
    """[ours] The same on sockets, where the connection itself is cut."""
    await settled_after_a_lost_answer(venue)


async def settled_after_a_lost_answer(venue: Stack) -> Order:
    order = await venue.rest()
    assert len(venue.live()) == 1
    assert order.state is not State.FAILED
    assert await venue.desk.settle(order) == 0
    assert (order.state, order.in_doubt) == (State.CANCELLED, False)
    assert (venue.placed(), len(venue.sim.engine.orders)) == (1, 1)
    venue.at_rest()
    return order


@contract(arms=("memory",), faults=LOST["lost reply"] + MUTE)
async def test_a_fill_behind_a_lost_answer_is_found_with_every_trade(venue: Stack) -> None:
    """[ours] Nobody told us of the order or its trade: the look-up brings both."""
    order = await venue.rest()
    venue.hit()
    assert (order.in_doubt, order.fills) == (True, {})
    assert await venue.desk.settle(order) == order.intent.size_i
    assert (order.state, order.traded_i) == (State.FILLED, order.intent.size_i)
    venue.at_rest()


@contract(arms=("memory",), faults=[{"action": "drop", "on": "http", "kind": "place", "nth": [1]}])
async def test_a_request_that_never_arrived_is_proven_absent_after_its_expiry(venue: Stack) -> None:
    """[ours] Absence proves nothing before expiry + skew + read lag; then the order is FAILED and settled at 0."""
    order = await venue.rest()
    assert order.in_doubt
    abilities = venue.connector.abilities
    if not abilities.fence:
        assert await venue.desk.settle(order, within_secs=1) is None
        assert order.state is State.SUBMITTING
    assert await venue.desk.settle(order) == 0
    assert (order.state, order.settled) == (State.FAILED, True)
    assert abilities.fence or venue.connector.venue_now_ms() >= order.intent.expiry_ms + abilities.read_lag_ms
    assert (venue.sim.engine.orders, venue.placed()) == ({}, 1)
    venue.at_rest()


@pytest.mark.parametrize("late_ms", [1_500, 4_000, 7_000])
@rooms(("memory",))
def test_an_order_that_arrives_late_is_caught_or_has_expired(arm: str, venue: str, kind: str, late_ms: int) -> None:
    """[venue] Inside its expiry it becomes live and is found and cancelled; after it the venue refuses it."""
    late = {"action": "execute_late", "on": "http", "kind": "place", "nth": [1], "params": {"ms": late_ms}}

    async def body(opened: Stack) -> None:
        order = await opened.rest()
        assert order.state is not State.FAILED
        assert await opened.desk.settle(order) == 0
        abilities = opened.connector.abilities
        # A fence closes the door as soon as the order is in doubt: after the request's time limit of 2 s.
        expired = late_ms > (2_000 if abilities.fence else abilities.expiry_ms)
        assert order.state is (State.FAILED if expired else State.CANCELLED)
        await opened.clock.sleep(10)
        assert len(opened.sim.engine.orders) == (0 if expired else 1)
        opened.at_rest()

    play(arm, venue, body, faults=[late], request_timeout_secs=2.0)


@contract(
    arms=("memory",),
    faults=[
        {"action": "lose_reply", "on": "http", "kind": "cancel", "nth": [1]},
        {"action": "error_before", "on": "http", "kind": "cancel", "nth": [2]},
        *MUTE,
    ],
)
async def test_a_cancel_without_answer_is_not_an_end(venue: Stack) -> None:
    """[ours] The end is what the venue's reading proves, not what a cancel was answered."""
    first = await venue.rest()
    assert await venue.desk.settle(first) == 0
    assert (first.state, venue.gate.asked.count("cancel")) == (State.CANCELLED, 1)
    second = await venue.rest()
    assert await venue.desk.settle(second) == 0
    # An error page has no form on a stream.
    struck = venue.gate.faults.rules[1].fired
    assert (second.state, venue.gate.asked.count("cancel")) == (State.CANCELLED, 2 + struck)
    venue.at_rest()


@contract(
    arms=("memory",),
    faults=[{"action": "delay", "on": "ws", "kind": kind, "params": {"ms": 2_500}} for kind in ("order", "fill")],
)
async def test_a_cancel_that_lost_the_race_is_a_fill(venue: Stack) -> None:
    """[client] Filled at the venue before we hear of it: the cancel finds nothing, the look-up finds the fill."""
    order = await venue.rest()
    venue.hit()
    assert not order.terminal
    assert await venue.desk.settle(order) == order.intent.size_i
    assert order.state is State.FILLED
    # The stream's own words come later and change nothing.
    await venue.clock.sleep(3)
    assert order.traded_i == order.intent.size_i
    venue.at_rest()


@contract(arms=("memory",), faults=[{"action": "slow_cancel", "on": "engine", "kind": "cancel", "params": {"ms": 900}}])
async def test_a_fill_between_the_ack_of_a_cancel_and_its_effect_counts(venue: Stack) -> None:
    """[venue] A cancel taken is no settlement: half trades before it takes effect, and the half is counted."""
    order = await venue.rest()
    await venue.desk.cancel(order)
    assert order.cancel_ack_ms is not None
    assert not order.terminal
    venue.hit(Decimal("0.5"))
    assert await venue.desk.settle(order) == order.intent.size_i // 2
    assert order.state is State.CANCELLED
    venue.at_rest()


# Not the answers to logins, subscriptions and orders: a venue that loses every second of them cannot be reached at all.
TOLD = ("order", "fill", "position", "balance", "book")
TWISTED = {
    "plain": [],
    "duplicate": [{"action": "duplicate", "on": "ws", "params": {"count": 3}}],
    "reorder": [{"action": "reorder", "on": "ws", "every": 2, "params": {"ms": 400}}],
    "late": [{"action": "delay", "on": "ws", "every": 2, "params": {"ms": 700}}],
    "truncate": [{"action": "truncate", "on": "ws", "kind": kind, "every": 3} for kind in TOLD],
    "truncate fills": [{"action": "truncate", "on": "ws", "kind": "fill"}],
    "drop": [{"action": "drop", "on": "ws", "kind": kind, "every": 2} for kind in TOLD],
    "drop fills": [{"action": "drop", "on": "ws", "kind": "fill"}],
    "drop positions": [{"action": "drop", "on": "ws", "kind": "position"}],
}


@pytest.mark.parametrize("twist", list(TWISTED))
@rooms(("memory",))
def test_whatever_happens_to_the_stream_the_end_is_the_same(arm: str, venue: str, kind: str, twist: str) -> None:
    """[client] Duplicate, reordered, late, cut or lost messages: same states, same trades, same position."""
    play(arm, venue, three_orders, faults=TWISTED[twist])


@contract(arms=("loopback",), faults=TWISTED["reorder"])
async def test_out_of_order_on_sockets_the_end_is_the_same_too(venue: Stack) -> None:
    """[client] One twist over real sockets."""
    await three_orders(venue)


async def three_orders(venue: Stack) -> None:
    bought = await venue.take(times=4)
    resting = await venue.rest(is_ask=True, times=4)
    venue.hit(Decimal("0.5"))
    assert await venue.desk.settle(resting) == resting.intent.size_i // 2
    sold = await venue.take(is_ask=True, times=2, reduce_only=True)
    assert [order.state for order in (bought, resting, sold)] == [State.FILLED, State.CANCELLED, State.FILLED]
    rows = await venue.connector.get_positions()
    assert sum((row.quantity for row in rows), Decimal(0)) == venue.truth()
    assert abs(venue.truth()) < venue.market.size(await venue.size(1))
    await venue.clock.sleep(1)
    venue.at_rest()


@contract()
async def test_a_fill_while_the_stream_was_down_is_found_by_the_snapshot(venue: Stack) -> None:
    """[client] Disconnect, resubscribe, snapshot: the order that filled in between is FILLED without being asked."""
    order, other = await venue.rest(), await venue.rest(is_ask=True)
    await venue.until(lambda: order.seen_live and other.seen_live)
    venue.gate.disconnect()
    venue.hit()
    await venue.until(venue.came_back)
    assert [gone.synced_ms is not None for gone in venue.desk.breaks] == [True]
    await venue.until(lambda: other.terminal or other.in_doubt)
    assert await venue.desk.settle(other, cancel=False) == other.intent.size_i
    assert (other.state, order.state, order.in_doubt) == (State.FILLED, State.OPEN, False)
    await venue.until(lambda: venue.positions.quantity(venue.market) == venue.truth())
    # The streams really are back: the next word comes by them.
    venue.hit()
    await venue.until(lambda: order.state is State.FILLED)
    assert await venue.desk.settle(order) == order.intent.size_i
    venue.at_rest()


@contract(arms=("memory",))
async def test_a_cancel_while_the_stream_was_down_is_found_by_the_snapshot(venue: Stack) -> None:
    """[client] Gone from the open orders after a break: in doubt at once, and settled by one look-up."""
    order = await venue.rest()
    await venue.until(lambda: order.seen_live)
    venue.gate.disconnect()
    venue.sim.engine.cancel(venue.live()[0])
    await venue.until(venue.came_back)
    assert order.terminal or order.in_doubt
    assert await venue.desk.settle(order, cancel=False) == 0
    assert order.state is State.CANCELLED
    venue.at_rest()


@contract()
async def test_nothing_new_is_sent_until_the_snapshot_is_merged_but_cancels_are(venue: Stack) -> None:
    """[ours] Unsynced: NOT_SYNCED for a new order, with nothing sent and nothing written down; a cancel goes out."""
    order = await venue.rest()
    await venue.until(lambda: order.seen_live)
    size_i, price_i = await venue.size(), await venue.away()
    venue.gate.disconnect()
    await venue.until(lambda: not venue.connector.synced)
    with pytest.raises(LocalRuleError) as told:
        await venue.desk.place_limit(venue.market, is_ask=False, size_i=size_i, price_i=price_i, leg="test/unsynced")
    assert (told.value.code, venue.placed(), len(venue.desk.book)) == ("NOT_SYNCED", 1, 1)
    await venue.connector.cancel_by_client_id(venue.market.venue_symbol, order.client_id)
    assert venue.live() == []
    with anyio.fail_after(5):
        await venue.connector.wait_synced()
    assert await venue.desk.settle(order) == 0
    venue.at_rest()


@contract(
    arms=("memory",),
    faults=[{"action": "silent", "on": "ws", "nth": [1], "after_ms": 3_000, "params": {"ms": 600_000}}],
)
async def test_a_silent_stream_is_noticed_and_replaced(venue: Stack) -> None:
    """[client] Open but mute, no Pong: the line is dropped within a minute, and the next one brings the truth."""
    order = await venue.rest()
    await venue.clock.sleep(4)
    venue.hit()
    assert not order.terminal
    await venue.until(venue.came_back, 60)
    assert await venue.desk.settle(order, cancel=False) == order.intent.size_i
    assert "silent" in venue.desk.breaks[0].why
    venue.at_rest()


@contract(
    arms=("memory",),
    faults=[
        {"action": "rate_limit", "on": "http", "kind": kind, "nth": [1], "params": {"retry_after": 0}}
        for kind in ("order", "open_orders", "positions", "balances", "fills", "history")
    ]
    + [{"action": "error_before", "on": "http", "kind": kind, "nth": [2]} for kind in ("order", "positions")],
)
async def test_readings_survive_rate_limits_and_short_outages(venue: Stack) -> None:
    """[client] 429 and 503 on readings are waited for and asked again; nobody above notices."""
    order = await venue.rest()
    seen = await venue.connector.get_order(venue.market.venue_symbol, order.client_id)
    assert seen.status is Status.OPEN
    assert len(await venue.connector.get_open_orders(venue.market.venue_symbol)) == 1
    assert await venue.connector.get_order_fills(venue.market.venue_symbol, order.client_id) == ()
    assert await venue.desk.settle(order) == 0
    venue.at_rest()


@contract(arms=("memory",), faults=[{"action": "rate_limit", "on": "http", "kind": "place", "nth": [1]}])
async def test_a_placement_answered_429_is_never_sent_again_under_its_id(venue: Stack) -> None:
    """[venue] Refused or doubtful, it settles at 0; a second order goes out under a fresh id."""
    first = await venue.rest()
    assert await venue.desk.settle(first) == 0
    struck = venue.gate.faults.rules[0].fired
    assert first.state is (State.FAILED if struck else State.CANCELLED)
    second = await venue.rest()
    assert second.client_id != first.client_id
    assert await venue.desk.settle(second) == 0
    assert len(venue.sim.engine.orders) == 2 - struck
    venue.at_rest()


@contract(arms=("memory",))
async def test_a_reading_that_fails_for_good_proves_nothing(venue: Stack) -> None:
    """[ours] A venue that stops answering: the order stays unknown, and is settled once it answers again."""
    order = await venue.rest()
    venue.connector._wire.down.add(venue.venue)  # type: ignore[attr-defined]
    venue.gate.disconnect()
    assert await venue.desk.settle(order, within_secs=8) is None
    assert (order.settled, order.state is State.FAILED) == (False, False)
    with pytest.raises(VenueError):
        await venue.connector.get_positions()
    venue.connector._wire.down.clear()  # type: ignore[attr-defined]
    assert await venue.desk.settle(order) == 0
    venue.at_rest()


@contract(
    arms=("memory",),
    faults=[
        {"action": "stale_read", "on": "http", "kind": kind, "every": 2}
        for kind in ("order", "open_orders", "positions", "fills", "history", "balances")
    ],
)
async def test_a_stale_reading_never_moves_an_order_back(venue: Stack) -> None:
    """[client] An old answer about an ended order is heard and changes nothing; the last word is the newer one."""
    symbol = venue.market.venue_symbol
    order = await venue.rest()
    await venue.connector.get_order(symbol, order.client_id)
    venue.hit()
    await venue.until(lambda: order.state is State.FILLED)
    stale = await venue.connector.get_order(symbol, order.client_id)
    assert stale.status is Status.OPEN
    assert order.state is State.FILLED
    assert await venue.desk.settle(order) == order.intent.size_i
    closing = await venue.take(is_ask=True, reduce_only=True)
    assert closing.state is State.FILLED
    await venue.until(lambda: venue.positions.quantity(venue.market) == venue.truth())
    venue.at_rest()


@pytest.mark.parametrize("reason", ["", "INSUFFICIENT_MARGIN", "PRICE_BAND", "RATE_LIMITED"])
@rooms(("memory",))
def test_a_refusal_of_the_venue_is_final_and_has_our_code(arm: str, venue: str, kind: str, reason: str) -> None:
    """[venue] FAILED, settled at 0, never live, with one of our stable codes and the venue's own words."""
    reject = {"action": "reject", "on": "engine", "kind": "place", "nth": [1], "params": {"reason": reason}}

    async def body(opened: Stack) -> None:
        order = await opened.rest()
        assert await opened.desk.settle(order) == 0
        assert order.state is State.FAILED
        assert order.code == (reason or order.code)
        assert order.code
        assert order.reason
        assert opened.sim.engine.orders == {}
        opened.at_rest()

    play(arm, venue, body, faults=[reject])
