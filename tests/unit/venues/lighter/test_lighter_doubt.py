"""The whole connector on a Lighter that behaves as the venue may: late execution, silent refusals, nameless answers."""

from decimal import Decimal

import pytest

from execution.order import State
from tests.contract.arms import play
from venues.errors import LocalRuleError, Refused
from venues.lighter.simulator import Choices

LATE = {"choices": Choices(queue_ms=250)}
MUTE = [{"action": "drop", "on": "ws", "kind": kind} for kind in ("order", "fill")]


def body_of(test, **setup):
    play("memory", "lighter", test, **setup)


@pytest.mark.parametrize("mute", [False, True], ids=["streams tell", "streams mute"])
def test_a_round_trip_on_a_venue_that_executes_late(mute):
    """[venue] 250 ms from the 200 to the execution: SUBMITTING until the stream or a look-up says more."""

    async def body(opened):
        order = await opened.rest()
        assert (order.state, order.in_doubt, order.seen_live) == (State.SUBMITTING, False, False)
        if not mute:
            await opened.until(lambda: order.state is State.OPEN)
        assert await opened.desk.settle(order) == 0
        assert order.state is State.CANCELLED
        bought = await opened.take()
        sold = await opened.take(is_ask=True, reduce_only=True)
        assert (bought.state, sold.state) == (State.FILLED, State.FILLED)
        opened.at_rest()

    body_of(body, sim=LATE, faults=MUTE if mute else [])


def test_post_only_and_reduce_only_end_by_the_row():
    """[venue] 200 first, then canceled-post-only or canceled-reduce-only: FAILED with our code."""

    async def body(opened):
        _, ask_i = await opened.best()
        order = await opened.desk.place_limit(
            opened.market, is_ask=False, size_i=await opened.size(), price_i=ask_i + 50, leg="test/cross"
        )
        assert await opened.desk.settle(order) == 0
        assert (order.state, order.code) == (State.FAILED, "POST_ONLY_WOULD_CROSS")
        flat = await opened.take(is_ask=True, reduce_only=True)
        assert (flat.state, flat.code) == (State.FAILED, "REDUCE_ONLY")
        opened.at_rest()

    body_of(body, sim=LATE)


def test_a_taker_that_leaves_no_trace_is_proven_absent():
    """[venue] Taken with 200 and dropped by the sequencer: absent from all lists after expiry and read lag: FAILED."""

    async def body(opened):
        order = await opened.take(is_ask=True, reduce_only=True)
        assert (order.state, order.settled, order.seen_live) == (State.FAILED, True, False)
        # Its own submit took the nonce, so only time could prove it.
        abilities = opened.connector.abilities
        assert opened.connector.venue_now_ms() >= order.intent.expiry_ms + abilities.read_lag_ms
        opened.at_rest()

    body_of(body, sim={"choices": Choices(queue_ms=250, silent_drops=True)})


def test_a_refusal_that_names_nothing_is_still_understood():
    """[gap] One transaction is waiting, so the bare error is about it."""

    async def body(opened):
        price_i = await opened.away()
        with pytest.raises(Refused) as told:
            await opened.connector.submit_limit_order(
                symbol="SOL", client_order_index=9, base_amount=10, price=price_i, is_ask=False
            )
        assert told.value.code == "MIN_SIZE"
        order = await opened.rest()
        assert await opened.desk.settle(order) == 0

    body_of(body, sim={"choices": Choices(bare_refusals=True)})


def test_a_lost_submit_is_proven_absent_by_its_nonce_long_before_its_expiry_and_lag():
    """[venue] The cancel burns the nonce of the request that never arrived; two seconds later that is proof."""

    async def body(opened):
        order = await opened.rest()
        assert order.in_doubt
        began = opened.clock.monotonic()
        assert await opened.desk.settle(order) == 0
        assert order.state is State.FAILED
        assert opened.clock.monotonic() - began < 6
        assert opened.sim.engine.orders == {}
        opened.at_rest()

    body_of(body, faults=[{"action": "drop", "on": "http", "kind": "place", "nth": [1]}])


def test_orders_go_over_rest_while_the_stream_for_them_is_not_there():
    """[ours] A cancel with the stream down leaves as a form, with the next nonce, and is taken."""

    async def body(opened):
        order = await opened.rest()
        await opened.until(lambda: order.seen_live)
        opened.gate.disconnect()
        await opened.until(lambda: not opened.connector.synced)
        await opened.connector.cancel_by_client_id("SOL", order.client_id)
        assert opened.live() == []
        await opened.connector.wait_synced()
        assert await opened.desk.settle(order) == 0

    body_of(body)


def test_the_dead_mans_switch_is_armed_goes_off_and_does_not_stand_in_the_way():
    """[venue] Armed it shows in the account; a cancel of all takes it back where the venue insists (21712)."""

    async def body(opened):
        order = await opened.rest()
        await opened.connector.arm_dead_man("SOL")
        assert opened.sim._rows.cancel_all_ms > opened.connector.venue_now_ms() + 300_000
        await opened.connector.cancel_all("SOL")
        await opened.until(lambda: order.terminal)
        assert opened.sim._rows.cancel_all_ms == 0
        left = await opened.rest()
        await opened.connector.arm_dead_man("SOL")
        await opened.clock.sleep(335)
        await opened.until(lambda: left.terminal)
        await opened.connector.disarm_dead_man("SOL")
        assert await opened.desk.settle_all() == []

    body_of(body, sim={"choices": Choices(queued_cancel_all="refuse")})


def test_two_programs_on_one_key_collide_and_recover():
    """[venue] Another signer took our nonce: 21104, refused for certain, and the next order goes out."""

    async def body(opened):
        opened.sim._nonces[5] += 3
        with pytest.raises(Refused):
            await opened.connector.submit_limit_order(
                symbol="SOL", client_order_index=9, base_amount=500, price=await opened.away(), is_ask=False
            )
        order = await opened.rest()
        assert await opened.desk.settle(order) == 0
        assert order.state is State.CANCELLED
        opened.at_rest()

    body_of(body)


def test_an_order_whose_nonce_cannot_be_read_is_not_in_doubt():
    """[ours] The reading before the submit fails for good: LocalRuleError, nothing was sent; later orders go out."""
    outage = {"action": "error_before", "on": "http", "kind": "other", "after_ms": 60_000, "until_ms": 90_000}

    async def body(opened):
        await opened.clock.sleep(61)
        opened.dialect._next_nonce = None
        order = await opened.rest()
        assert (order.state, order.code, order.in_doubt) == (State.FAILED, "VENUE_UNAVAILABLE", False)
        assert opened.placed() == 0
        await opened.clock.sleep(30)
        later = await opened.rest()
        assert await opened.desk.settle(later) == 0
        assert later.state is State.CANCELLED

    body_of(body, faults=[outage])


def test_many_orders_at_once_share_one_count_of_nonces():
    """[ours] Placed and cancelled side by side: each is settled, whatever was refused for its nonce meanwhile."""

    async def body(opened):
        orders = [await opened.rest(times=2) for _ in range(6)]
        assert await opened.desk.settle_all(orders) == []
        assert {order.state for order in orders} == {State.CANCELLED}
        assert opened.truth() == Decimal(0)
        opened.at_rest()

    body_of(body, sim=LATE)


def test_sol_spot_does_not_exist_here():
    """[venue] No such pair is documented: UNKNOWN_SYMBOL, with a plain word."""

    async def body(opened):
        assert (opened.market.venue_symbol, opened.market.symbol) == ("ETH/USDC", "ETH")
        with pytest.raises(LocalRuleError) as told:
            opened.desk.markets.find("SOL", "spot")
        assert told.value.code == "UNKNOWN_SYMBOL"

    body_of(body, kind="spot")
