"""The order service: the only way to the venue, and every word of the venue lands in one order."""

from __future__ import annotations

import json
from decimal import Decimal

import anyio
import pytest
from msgspec import structs

from execution.caps import Caps
from execution.journal import Journal
from execution.markets import Market
from execution.order import Deed, State, replay
from execution.orders import Orders
from execution.timeline import Timelines
from execution.tracking_limit import unreserved_i
from tests.unit.execution.desk import Desk, play
from tests.unit.execution.venue_double import ABILITIES, SOL, SOL_SPOT, Plan
from venues.errors import LocalRuleError, OutcomeUnknown, Refused
from venues.events import BalanceSeen, FillSeen, OrderSeen, SessionSeen, Source, Status, Unreadable
from venues.interface import Absent


async def buy(desk: Orders, size_i: int = 100, price_i: int = 14_000, leg: str = "leg", **more):
    return await desk.place_limit(desk.sol, is_ask=False, size_i=size_i, price_i=price_i, leg=leg, **more)


def test_an_intent_is_on_disk_before_the_first_byte(tmp_path):
    """[ours] A second reader of the database sees the intent at the moment the bytes leave."""

    async def story(venue, desk):
        venue.before_submit = lambda cid: seen.append(
            [intent.client_id for intent, _ in Journal(tmp_path / "j.db").unsettled("acc")] == [cid]
        )
        await buy(desk)

    seen: list[bool] = []
    play(story, journal=Journal(tmp_path / "j.db"))
    assert seen == [True]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"size_i": 0}, "MIN_SIZE"),
        ({"size_i": -100}, "MIN_SIZE"),
        ({"price_i": 0}, "PRICE_RANGE"),
        ({"price_i": -14_000}, "PRICE_RANGE"),
        ({"price_i": None}, "PRICE_RANGE"),
        ({"size_i": 10**30, "price_i": 1}, "INSUFFICIENT_MARGIN"),
        ({"size_i": 10**30, "price_i": 1, "reduce_only": True}, "HALTED"),
    ],
)
def test_a_wrong_order_is_refused_before_it_exists(wrong, code):
    """[ours] Nothing can turn into a market order by accident; nothing is sent, nothing is remembered as open."""

    async def story(venue, desk):
        with pytest.raises(LocalRuleError) as refused:
            await buy(desk, **wrong)
        return refused.value.code, venue.calls, desk.book, desk.memory.unsettled()

    assert play(story) == (code, [], {}, [])


def test_nothing_is_sent_while_the_stream_is_down_or_the_symbol_is_halted():
    """[ours] NOT_SYNCED and HALTED are refusals on our side."""

    async def story(venue, desk):
        codes = []
        venue.lose_stream(1)
        with pytest.raises(LocalRuleError) as down:
            await buy(desk)
        await anyio.sleep(2)
        desk.halted[SOL.symbol] = "doubt"
        with pytest.raises(LocalRuleError) as halted:
            await buy(desk)
        codes += [down.value.code, halted.value.code]
        with pytest.raises(LocalRuleError) as capped:
            await desk.place_market(desk.sol, is_ask=False, size_i=100, leg="leg")
        return [*codes, capped.value.code], venue.placed()

    assert play(story) == (["NOT_SYNCED", "HALTED", "HALTED"], [])


def test_a_breached_cap_refuses_the_order_before_it_exists():
    """[client] Risk is asked on the same path as everything else."""

    async def story(venue, desk):
        with pytest.raises(LocalRuleError) as refused:
            await buy(desk)
        return refused.value.code, venue.calls

    assert play(story, caps=Caps(order_notional_usd=Decimal(139))) == ("NOTIONAL_CAP", [])


def test_a_market_order_trades_and_settles_without_a_cancel():
    """[client] Filled at once: its end is proven by its trades."""

    async def story(venue, desk):
        order = await desk.place_market(desk.sol, is_ask=True, size_i=50, leg="leg", reduce_only=True)
        assert await desk.settle(order) == 50
        return order, venue

    order, venue = play(story)
    assert (order.state, order.average_price, order.intent.kind, order.intent.side) == (
        State.FILLED, Decimal(140), "market", "sell",
    )  # fmt: skip
    assert order.intent.reduce_only
    assert "cancel" not in venue.verbs()


def test_a_market_order_without_anybody_to_trade_with_is_refused():
    """[ours] STALE_BOOK: the side is empty."""

    async def story(venue, desk):
        venue.told_book[SOL.symbol] = (14_000, None)
        with pytest.raises(LocalRuleError) as refused:
            await desk.place_market(desk.sol, is_ask=False, size_i=1, leg="leg")
        return refused.value.code, venue.placed()

    assert play(story) == ("STALE_BOOK", [])


def test_reduce_only_is_dropped_on_spot():
    """[ours] Spot has no position to reduce; its closing orders are bounded by the balance."""

    async def story(venue, desk):
        market = Market(venue.name, "SOL", SOL_SPOT)
        venue.tell(BalanceSeen(asset="SOL", free=Decimal(10), total=Decimal(10)))
        return await desk.place_limit(
            market, is_ask=True, size_i=100, price_i=14_002, leg="leg", reduce_only=True
        )  # fmt: skip

    assert not play(story).intent.reduce_only


def test_every_unsettled_size_stays_charged():
    """[ours] The purse: an order's whole size is charged until it is settled, then its fills."""

    async def story(venue, desk):
        venue.plans = [Plan(fills=((0.1, 30),))]
        order = await buy(desk)
        await anyio.sleep(1)
        charged = unreserved_i(100, [order])
        await desk.settle(order)
        return charged, unreserved_i(100, [order])

    assert play(story) == (0, 70)


def test_settling_without_cancel_waits_for_the_order_to_end_by_itself():
    """[ours] cancel=False asks but does not kill."""

    async def story(venue, desk):
        venue.plans = [Plan(fills=((5, 100),))]
        order = await buy(desk)
        assert await desk.settle(order, 1, cancel=False) is None
        assert await desk.settle(order, 30, cancel=False) == 100
        assert await desk.settle(order) == 100
        return venue.verbs()

    assert "cancel" not in play(story)


def test_two_who_settle_the_same_order_get_the_same_answer():
    """[ours] The end of a play and a person's Ctrl-C may meet; the order is settled once."""

    async def story(venue, desk):
        venue.plans = [Plan(fills=((0.1, 30),))]
        order = await buy(desk)
        await anyio.sleep(1)
        told = []

        async def settle():
            told.append(await desk.settle(order))

        async with anyio.create_task_group() as group:
            group.start_soon(settle)
            group.start_soon(settle)
        await desk.cancel(order)
        return told, [entry.cause for entry in order.history].count("settled"), desk.traded(desk.sol)

    assert play(story) == ([30, 30], 1, Decimal("0.30"))


def test_missing_trades_are_fetched_before_an_end_counts_as_proven():
    """[ours] Backfill until the deduplicated sum equals the venue's cumulative."""

    async def story(venue, desk):
        venue.plans = [Plan(fills=((0.1, 60), (0.2, 40)), fill_tell_secs=500)]
        order = await buy(desk)
        await anyio.sleep(1)
        before = (order.state, order.proven, order.average_price)
        assert await desk.settle(order) == 100
        return before, order

    before, order = play(story)
    assert before == (State.FILLED, False, None)
    assert (order.traded_i, order.average_price, len(order.fills)) == (100, Decimal(140), 2)


def test_cancels_never_raise_whatever_the_venue_answers():
    """[ours] Only settlement proves an end; what went wrong is noted."""

    async def story(venue, desk):
        order = await buy(desk)
        for error in (Refused("RATE_LIMITED", "slow"), OutcomeUnknown("IN_DOUBT", "?"), Refused("ORDER_NOT_FOUND", "")):

            async def fail(symbol, client_id, error=error):
                raise error

            venue.cancel_by_client_id = fail
            await desk.cancel(order)
        return [code for _, code, _, _ in desk.errors], order

    codes, order = play(story)
    assert codes == ["RATE_LIMITED", "IN_DOUBT"]
    assert (order.cancel_requested, order.cancel_ack_ms, order.state) == (True, None, State.OPEN)


def test_a_failing_look_up_proves_nothing():
    """[ours] OutcomeUnknown from a reading is noted; the order stays unknown."""

    async def story(venue, desk):
        venue.plans = [Plan(answer="lost", silent=True)]
        venue.reads_fail = 10_000
        order = await buy(desk)
        assert await desk.settle(order, 3) is None
        return order, {code for _, code, _, _ in desk.errors}

    order, codes = play(story)
    assert (order.state, order.in_doubt, order.settled, codes) == (State.SUBMITTING, True, False, {"IN_DOUBT"})


def test_an_order_once_seen_alive_is_never_proven_absent():
    """[ours] Absence can no longer mean that it never existed."""

    async def story(venue, desk):
        order = await buy(desk)

        async def nowhere(symbol, client_id):
            return Absent(client_id=client_id, read_ms=venue.venue_now_ms() + 10**6)

        venue.get_order = nowhere
        venue.true[order.client_id].plan.silent = True
        assert await desk.settle(order) is None
        return order

    assert play(story).state is State.OPEN


def test_an_adopted_order_that_the_venue_had_named_is_never_proven_absent(tmp_path):
    """[ours] After a restart too: the venue names only what it has."""

    async def story(venue, desk):
        await buy(desk)
        desk.stop_listening()
        after = Desk(venue, journal=desk.memory)
        (order,) = after.adopt()
        assert after.adopt("leg") == [order]
        assert after.adopt("other leg") == []

        async def nowhere(symbol, client_id):
            return Absent(client_id=client_id, read_ms=venue.venue_now_ms() + 10**6)

        venue.get_order = nowhere
        venue.true[order.client_id].plan.silent = True
        unknown = await after.settle_all()
        return order, unknown, venue.remembered

    order, unknown, remembered = play(story)
    assert (order.state, order.in_doubt, unknown) == (State.SUBMITTING, True, [order])
    assert remembered == {order.client_id: order.venue_id}


@pytest.mark.parametrize("begun", [True, False])
def test_the_timeline_of_an_adopted_order_replays(tmp_path, begun):
    """[ours] Whether the crash came before or after its first line: one file, one story, the same final state."""

    async def story(venue, desk):
        venue.plans = [Plan(fills=((0.1, 40),))]
        await buy(desk)
        await anyio.sleep(1)
        desk.stop_listening()
        path = desk.timelines.path(desk.book[max(desk.book)])
        desk.timelines.close_all()
        if not begun:
            path.unlink()
        after = Desk(venue, journal=desk.memory, timelines=Timelines(tmp_path))
        (order,) = after.adopt()
        assert await after.settle_all() == []
        after.timelines.close_all()
        return order, path

    order, path = play(story, timelines=Timelines(tmp_path))
    told = replay(path.read_bytes().splitlines(keepends=True))
    assert (told.state, told.filled_i, told.settled) == (order.state, order.filled_i, True) == (
        State.CANCELLED, 40, True,
    )  # fmt: skip


def test_a_timeline_on_disk_replays_to_the_same_final_state(tmp_path):
    """[ours] DESIGN 3: replaying a file gives the same final state."""

    async def story(venue, desk):
        venue.plans = [Plan(fills=((0.1, 40), (0.2, 25)), twice=True, answer="lost")]
        order = await buy(desk)
        await anyio.sleep(1)
        await desk.settle(order)
        venue.tell(OrderSeen(symbol=SOL.symbol, client_id=order.client_id, venue_id=order.venue_id,
                             status=Status.OPEN, is_ask=False, size_i=100, filled_i=0))  # fmt: skip
        desk.timelines.close_all()
        return order, desk.timelines.path(order)

    order, path = play(story, timelines=Timelines(tmp_path))
    assert path.name == f"double-SOL-P-{order.client_id}.jsonl"
    told = replay(path.read_bytes().splitlines(keepends=True))
    assert told == order


def test_a_fill_after_settlement_corrects_the_journal_and_raises_an_alarm():
    """[ours] Never dropped: whoever reads the journal next finds the truth."""

    async def story(venue, desk):
        order = await buy(desk)
        await desk.settle(order)
        late = FillSeen(symbol=SOL.symbol, trade_id="late", client_id=order.client_id, venue_id=order.venue_id,
                        is_ask=False, size_i=10, price=Decimal(140), fee=Decimal(0), fee_asset="USDC")  # fmt: skip
        venue.tell(late)
        return order, desk.memory.settled("acc", "leg"), [code for _, code, _, _ in desk.errors]

    order, settled, codes = play(story)
    assert (order.filled_i, settled, codes) == (10, [(order.client_id, 10)], ["LATE_FILL"])


def test_words_about_other_peoples_orders_touch_nothing():
    """[ours] Counted as strangers: another client id, another market, an unknown venue id."""

    async def story(venue, desk):
        order = await buy(desk)
        lines = len(order.history)
        word = {"venue_id": "X", "status": Status.FILLED, "is_ask": False, "size_i": 100, "filled_i": 100}
        venue.tell(OrderSeen(symbol=SOL.symbol, client_id=order.client_id + 1, **word))
        venue.tell(OrderSeen(symbol=SOL_SPOT.symbol, client_id=order.client_id, **word))
        venue.tell(OrderSeen(symbol=SOL.symbol, client_id=None, **word))
        await anyio.sleep(0.1)
        return order.state, desk.strangers, len(order.history) - lines

    state, strangers, _ = play(story)
    assert (state, strangers) == (State.OPEN, 3)


def test_what_cannot_be_read_is_noted_and_survived():
    """[ours] UNREADABLE, AUTH and lost lines are remembered with their source."""

    async def story(venue, desk):
        venue.tell(Unreadable(why="no such field", text="{}"))
        venue.tell(SessionSeen(state="refused", why="bad key"))
        venue.tell(SessionSeen(state="lag", why="slow"))
        venue.lose_stream(2)
        venue.tell(SessionSeen(state="lost", line="second", why="too"))
        await anyio.sleep(3)
        return [(code, source) for _, code, _, source in desk.errors], desk.breaks

    notes, breaks = play(story)
    assert notes == [("UNREADABLE", "ws"), ("AUTH", "ws"), ("WS_TIMEOUT", "ws"), ("WS_TIMEOUT", "ws")]
    assert len(breaks) == 1
    assert breaks[0].synced_ms - breaks[0].lost_ms == 2_000


def test_an_order_that_vanished_during_a_break_is_in_doubt_until_looked_up():
    """[ours] Not among the open orders of the snapshot: it ended meanwhile, and how is asked."""

    async def story(venue, desk):
        order, other = await buy(desk), await buy(desk, leg="other")
        venue.lose_stream(1)
        venue._end(venue.true[order.client_id])
        await anyio.sleep(2)
        doubts = (order.in_doubt, other.in_doubt, other.state)
        assert await desk.settle(order) == 0
        return doubts, order.state

    assert play(story) == ((True, False, State.OPEN), State.CANCELLED)


def test_fills_of_a_break_come_with_the_snapshot_once():
    """[ours] Deduplicated by trade id against what the stream had told before."""

    async def story(venue, desk):
        order = await buy(desk)
        venue.fill(order.client_id, 30)
        await anyio.sleep(0.5)
        venue.lose_stream(1)
        venue.fill(order.client_id, 20)
        await anyio.sleep(2)
        return order.filled_i, order.traded_i, order.state, order.alarms

    assert play(story) == (50, 50, State.PARTIALLY_FILLED, [])


def test_an_interrupted_send_leaves_the_order_in_doubt_and_known():
    """[ours] The bytes may be on their way when the caller is cancelled."""

    async def story(venue, desk):
        with anyio.move_on_after(0.001):
            await buy(desk)
        (order,) = desk.of_leg("leg")
        doubt = order.in_doubt
        assert desk.unsettled(SOL.symbol) == [order]
        assert desk.unsettled("other") == []
        assert await desk.settle_all() == []
        return doubt, order.state, venue.maybe_live

    assert play(story) == (True, State.CANCELLED, [])


@pytest.mark.parametrize("cut", [False, True], ids=["streams up", "streams broke meanwhile"])
def test_an_order_that_still_waits_to_be_sent_is_never_proven_absent(cut):
    """[ours] Room in a rate budget may come after the intent's expiry; nobody lists the order until then."""

    async def story(venue, desk):
        at_once = venue.submit_limit_order

        async def after_a_wait(**words):
            await venue.clock.sleep(12)
            return await at_once(**words)

        venue.submit_limit_order = after_a_wait
        async with anyio.create_task_group() as group:
            group.start_soon(buy, desk)
            await venue.clock.sleep(0.1)
            if cut:
                venue.lose_stream(back_after_secs=0.1)
            left = await desk.settle_all()
        (order,) = desk.of_leg("leg")
        return left, order.state, order.settled, venue.maybe_live

    assert play(story) == ([], State.CANCELLED, True, [])


def test_a_queued_order_is_not_proven_absent_before_its_signature_expired():
    """[ours] The request was signed late, so it may still live after the expiry that was written in the intent."""

    async def story(venue, desk):
        async def queued(**words):
            await venue.clock.sleep(10)
            return ""

        venue.submit_limit_order = queued
        began = venue.clock.monotonic()
        order = await buy(desk)
        assert await desk.settle(order) == 0
        return venue.clock.monotonic() - began, order.state

    took, state = play(story, abilities=structs.replace(ABILITIES, ack_is_queued=True))
    assert state is State.FAILED
    assert took >= 10 + (ABILITIES.expiry_ms + ABILITIES.read_lag_ms) / 1000


def test_a_refused_order_is_failed_and_costs_nothing():
    """[venue] Refused: the order does not exist; the journal needs no recovery of it."""

    async def story(venue, desk):
        venue.plans = [Plan(answer="INSUFFICIENT_MARGIN")]
        order = await buy(desk)
        assert await desk.settle(order) == 0
        return order.state, order.code, order.reason, desk.memory.unsettled(), desk.guard.opened_usd

    assert play(story) == (State.FAILED, "INSUFFICIENT_MARGIN", "the double said no", [], 0)


def test_a_disk_that_fails_after_the_intent_stops_no_cancel(tmp_path):
    """[ours] Naming, settling and telling are noted when they fail; the order is still brought to its end."""

    async def story(venue, desk):
        real = desk.memory.intend

        def last_words(intent, highest_id, **opening):
            told = real(intent, highest_id, **opening)
            desk.memory.close()
            return told

        desk.memory.intend = last_words
        desk.timelines.folder = tmp_path / "gone"
        order = await buy(desk)
        assert await desk.settle(order) == 0
        return venue.maybe_live, {code for _, code, _, _ in desk.errors}, desk.timelines.failures

    live, codes, failures = play(story, timelines=Timelines(tmp_path / "there"))
    assert (live, codes, bool(failures)) == ([], {"HALTED"}, True)


def test_the_list_of_open_orders_that_cannot_be_read_is_no_proof():
    """[ours] none_listed is False when it could not be asked."""

    async def story(venue, desk):
        order = await buy(desk)

        async def fail(symbol=None):
            raise OutcomeUnknown("VENUE_UNAVAILABLE", "503")

        assert await desk.none_listed(desk.sol, []) is True
        venue.get_open_orders = fail
        return await desk.none_listed(desk.sol, [order])

    assert play(story) is False


def test_expiry_is_venue_time_and_ids_stay_in_range():
    """[ours] The fence is counted on the venue's clock; the id is the allocator's."""

    async def story(venue, desk):
        venue.offset_ms = 3_000
        order = await buy(desk)
        return order.intent, venue.clock.now_ms()

    intent, now_ms = play(story)
    assert abs(intent.expiry_ms - (now_ms + 3_000 + ABILITIES.expiry_ms)) < 100
    assert 1 <= intent.client_id <= ABILITIES.max_client_id


def test_a_stopped_listener_hears_no_more():
    """[ours] stop_listening ends the subscription."""

    async def story(venue, desk):
        order = await buy(desk)
        desk.stop_listening()
        venue.fill(order.client_id, 100)
        await anyio.sleep(1)
        return order.filled_i

    assert play(story) == 0


def test_a_rest_word_and_a_local_deed_name_their_source(tmp_path):
    """[client] source is ws, rest or local in every line."""

    async def story(venue, desk):
        venue.plans = [Plan(answer="lost", silent=True)]
        order = await buy(desk)
        await desk.settle(order)
        desk.timelines.close_all()
        return desk.timelines.path(order).read_bytes().splitlines(), order

    lines, order = play(story, timelines=Timelines(tmp_path))
    assert {json.loads(line)["source"] for line in lines} == {Source.LOCAL, Source.REST}
    assert [e.input.kind for e in order.history if isinstance(e.input, Deed)][:2] == ["sent", "doubt"]


@pytest.mark.parametrize("scoped", [False, True])
def test_a_halt_calls_back_an_order_whose_wait_is_over_in_the_same_moment(scoped: bool):
    """[client] Between the end of the wait and the first byte the halt still wins, also beside an interruption."""

    async def story(venue, desk):
        left, real, ended = [], venue.submit_limit_order, []

        async def submit(**order):
            await anyio.sleep(1)
            left.append(order["client_order_index"])
            return await real(**order)

        async def halt():
            await anyio.sleep(1)
            if scoped:
                scope.cancel()
            desk.halt("halted by hand")
            desk.halt("halted by hand")

        venue.submit_limit_order = submit
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(halt)
                await anyio.sleep(0)
                ended.append((await buy(desk)).in_doubt)
                await anyio.sleep(0.5)
                ended.append("went on")
        with pytest.raises(LocalRuleError) as refused:
            await buy(desk)
        (order,) = desk.book.values()
        assert await desk.settle(order) == 0
        return left, ended, order.state, refused.value.code

    went_on = [True] if scoped else [True, "went on"]
    assert play(story) == ([], went_on, State.FAILED, "HALTED")
