"""The tracking limit on virtual time, against a venue that tells the truth late, twice, out of order or not at all."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import anyio
import msgspec
import pytest

from core.clock import PacedClock, VirtualClock, run_virtual
from execution.order import State
from execution.tracking_limit import Reason, TrackingResult, unreserved_i
from tests.unit.execution.desk import Desk, at_rest, chase, play
from tests.unit.execution.venue_double import ABILITIES, SOL, Plan, VenueDouble
from venues.errors import LocalRuleError, OutcomeUnknown


def track(plans=(), *, book=(), prepare=None, **wanted) -> tuple[TrackingResult, VenueDouble, Desk]:
    """One tracking limit with scripted orders; ``book`` are ``(secs, bid_i, ask_i)`` moves of other people."""

    async def story(venue, desk):
        venue.plans = list(plans)
        for secs, bid_i, ask_i in book:
            venue._later(secs, lambda bid_i=bid_i, ask_i=ask_i: venue.set_book(bid_i, ask_i))
        if prepare:
            prepare(venue, desk)
        result = await desk.tracking_limit(desk.sol, chase(**wanted))
        await anyio.sleep(3)
        return result, venue, desk

    return play(story)


def wire(venue: VenueDouble) -> list[str]:
    """Places and cancels, repeats of one cancel told once."""
    calls = [(verb, cid) for _, verb, cid in venue.calls if verb in ("place", "cancel")]
    return [verb for n, (verb, cid) in enumerate(calls) if n == 0 or calls[n - 1] != (verb, cid)]


# -- the rhythm


def test_each_interval_cancels_then_posts_and_never_two_at_once():
    """[client] cancel → settle → re-post: the next order leaves when the one before is proven dead."""

    def prepare(venue, desk):
        venue.before_submit = lambda cid: alive.append(len(venue.maybe_live))

    alive: list[int] = []
    result, venue, _ = track(prepare=prepare, timeout_secs=35)
    assert wire(venue) == ["place", "cancel"] * 4
    assert alive == [0, 0, 0, 0]
    assert result.reason is Reason.TIMEOUT
    at_rest(result, venue)


def test_intervals_are_kept_within_300_ms_however_long_settling_takes():
    """[client] interval_secs 10 with an error of at most 300 ms, on the handed-in clock; errors do not add up."""
    slow = Plan(cancel_secs=1.5, answer_secs=0.8)
    result, venue, _ = track([slow] * 6, timeout_secs=62, max_attempts=20)
    firsts = {cid: t for t, verb, cid in reversed(venue.calls) if verb == "cancel"}
    times = [firsts[order.client_id] for order in venue.placed()]
    gaps = [b - a for a, b in pairwise(times[:6])]
    assert all(abs(gap - 10) <= 0.3 for gap in gaps), gaps
    assert len(result.interval_errors_ms) == 6
    assert max(map(abs, result.interval_errors_ms)) <= 300


def test_an_order_that_ended_early_does_not_stretch_the_next_interval():
    """[client] After a post-only expiry the next order rests one interval, not the rest of two."""
    result, venue, _ = track([Plan(expire_secs=0.1)], timeout_secs=25)
    firsts = {cid: t for t, verb, cid in reversed(venue.calls) if verb == "cancel"}
    second = venue.placed()[1]
    assert second.sent_at < 2
    assert abs(firsts[second.client_id] - second.sent_at - 10) <= 0.3
    assert result.attempts[0].order.state is State.CANCELLED
    assert result.attempts[0].end_reason == "POST_ONLY_WOULD_CROSS"
    at_rest(result, venue)


def test_the_interval_follows_the_clock_of_the_play():
    """[ours] Under --speed 10 an interval of 10 s passes in one, and its error is told in the play's time."""

    async def story(venue, desk):
        venue.default_plan = Plan(answer_secs=0.003, arrive_secs=0.001, tell_secs=0.002, cancel_secs=0.002)
        return await desk.tracking_limit(desk.sol, chase(timeout_secs=45)), venue

    async def main():
        venue = VenueDouble(VirtualClock())
        desk = Desk(venue, pace=PacedClock(venue.clock, 10))
        await venue.start()
        await anyio.sleep(0.05)
        return await story(venue, desk)

    result, venue = run_virtual(main())
    firsts = sorted({cid: t for t, verb, cid in reversed(venue.calls) if verb == "cancel"}.values())
    assert all(abs(b - a - 1) <= 0.03 for a, b in pairwise(firsts[:-1]))
    assert max(map(abs, result.interval_errors_ms)) <= 300
    at_rest(result, venue)


# -- the price


@pytest.mark.parametrize(
    ("is_ask", "ticks", "prices"),
    [
        (False, 0, ["140", "139.5", "140.7"]),
        (True, 0, ["140.02", "139.55", "140.72"]),
        (False, 3, ["139.97", "139.47", "140.67"]),
        (True, 3, ["140.05", "139.58", "140.75"]),
    ],
)
def test_prices_follow_the_own_sides_best(is_ask, ticks, prices):
    """[client] buy ≤ best bid, sell ≥ best ask, price_offset_ticks further from the other side."""
    result, venue, _ = track(
        book=[(5, 13_950, 13_955), (15, 14_070, 14_072)], is_ask=is_ask, price_offset_ticks=ticks, timeout_secs=28
    )
    assert result.prices == [Decimal(p) for p in prices]
    at_rest(result, venue)


def test_a_post_keeps_off_an_empty_or_crossed_book_until_it_is_sound():
    """[ours] wait: book fresh and not crossed."""

    def prepare(venue, desk):
        venue.told_book[SOL.symbol] = (14_005, 14_002)

    result, venue, _ = track(book=[(2, None, 14_002), (4, 14_001, 14_003)], prepare=prepare, timeout_secs=12)
    assert [order.price_i for order in venue.placed()] == [14_001]
    assert 4 <= venue.placed()[0].sent_at <= 4.3
    at_rest(result, venue)


def test_no_book_at_all_ends_in_a_timeout_with_nothing_sent():
    """[ours] A venue without a best price gets no order."""

    async def story(venue, desk):
        async def stale(symbol):
            raise OutcomeUnknown("STALE_BOOK", "no book")

        venue.get_top_of_book = stale
        return await desk.tracking_limit(desk.sol, chase(timeout_secs=5)), venue

    result, venue = play(story)
    assert (result.reason, venue.placed(), result.attempts) == (Reason.TIMEOUT, [], [])


def test_our_own_cancelled_order_is_not_followed():
    """[ours] Alone at the best price: the book that still shows our order is not the market."""

    def prepare(venue, desk):
        venue.book_tell_secs = 0.25

    result, venue, _ = track([Plan(cancel_secs=0.15)], book=[(5, 13_990, 14_002)], prepare=prepare, timeout_secs=15)
    assert [order.price_i for order in venue.placed()] == [14_000, 13_990]
    at_rest(result, venue)


def test_keep_if_best_leaves_the_order_in_its_place_while_the_best_stands():
    """[client] keep_if_best keeps the place in the queue; a moved best is followed at the next interval."""
    result, venue, _ = track(book=[(25, 14_001, 14_003)], keep_if_best=True, timeout_secs=55)
    assert [(o.price_i, round(o.sent_at)) for o in venue.placed()] == [(14_000, 0), (14_001, 30)]
    assert wire(venue) == ["place", "cancel", "place", "cancel"]
    assert all(abs(ms) <= 300 for ms in result.interval_errors_ms)
    at_rest(result, venue)


def test_keep_if_best_gives_its_place_up_when_the_book_cannot_be_read():
    """[ours] What cannot be seen to be best is posted again."""

    def prepare(venue, desk):
        real = venue.get_top_of_book

        async def sometimes(symbol):
            if 9.9 < venue.clock.monotonic() < 10.15:
                raise OutcomeUnknown("STALE_BOOK", "no book")
            return await real(symbol)

        venue.get_top_of_book = sometimes

    result, venue, _ = track(prepare=prepare, keep_if_best=True, timeout_secs=15)
    assert len(venue.placed()) == 2
    at_rest(result, venue)


# -- the ends


def test_a_full_fill_ends_it_with_average_price_and_one_attempt():
    """[client] FILLED; the result carries attempts, prices, fills and the average price."""
    result, venue, _ = track([Plan(fills=((1, 40), (2, 60)))])
    assert (result.reason, len(result.attempts), result.average_price) == (Reason.FILLED, 1, Decimal(140))
    assert result.mid_at_start == Decimal("140.01")
    assert wire(venue) == ["place"]
    at_rest(result, venue)


def test_partial_fills_re_post_only_the_remainder():
    """[client] 100, then what is left after 30, then what is left after 45 more."""
    result, venue, _ = track([Plan(fills=((2, 30),)), Plan(fills=((2, 25), (3, 20))), Plan(fills=((1, 25),))])
    assert [order.size_i for order in venue.placed()] == [100, 70, 25]
    assert (result.reason, result.filled_i) == (Reason.FILLED, 100)
    at_rest(result, venue)


def test_after_the_timeout_the_last_order_is_cancelled_and_settled():
    """[client] The last order is confirmed gone, and late fills count."""
    result, venue, _ = track([Plan(), Plan(cancel_secs=0.4, fills=((4.7, 10),))], timeout_secs=15)
    assert (result.reason, result.filled_i) == (Reason.TIMEOUT, 10)
    assert venue.verbs()[-1] == "list"
    assert result.attempts[-1].ended_ms is not None
    at_rest(result, venue)


def test_max_attempts_is_a_bound():
    """[client] max_attempts orders and no more."""
    result, venue, _ = track(max_attempts=3, interval_secs=2)
    assert (result.reason, len(venue.placed()), len(result.attempts)) == (Reason.MAX_ATTEMPTS, 3, 3)
    at_rest(result, venue)


@pytest.mark.parametrize("facts", [{"min_size_i": 50}, {"min_notional": Decimal("100")}, {"lot_i": 50}])
def test_a_remainder_below_the_minimum_is_dust_and_never_rounded_up(facts):
    """[ours] DUST: minimum size, minimum value or lot."""

    async def story(venue, desk):
        venue.plans = [Plan(fills=((1, 60),))]
        return await desk.tracking_limit(desk.sol, chase()), venue

    result, venue = play(story, markets=(msgspec.structs.replace(SOL, **facts),))
    assert (result.reason, result.filled_i, len(venue.placed())) == (Reason.DUST, 60, 1)
    at_rest(result, venue)


def test_asked_to_stop_it_cancels_settles_and_ends():
    """[ours] STOPPED within a moment, not at the end of the interval."""

    def prepare(venue, desk):
        venue._later(3, desk.stop)

    result, venue, _ = track(prepare=prepare)
    assert (result.reason, len(venue.placed())) == (Reason.STOPPED, 1)
    assert venue.calls[-1][0] < 4
    at_rest(result, venue)


def test_a_quantity_below_the_minimum_or_off_the_grid_is_refused_before_anything():
    """[ours] Raised as LocalRuleError; nothing was sent and no result remains."""

    async def story(venue, desk):
        for wrong in (0, -5, 7.0, True, 3):
            with pytest.raises(LocalRuleError):
                await desk.tracking_limit(desk.sol, chase(quantity_i=wrong))
        return venue.calls, desk.trackings

    assert play(story, markets=(msgspec.structs.replace(SOL, lot_i=2, min_size_i=4),)) == ([], [])


@pytest.mark.parametrize("code", ["INSUFFICIENT_MARGIN", "REDUCE_ONLY", "AUTH"])
def test_a_refusal_that_another_try_cannot_cure_ends_it(code):
    """[ours] REFUSED, with the venue's word, after one attempt; the order is FAILED because proven never live."""
    result, venue, _ = track([Plan(answer=code)])
    assert (result.reason, len(venue.placed()), result.refusals[0][1]) == (Reason.REFUSED, 1, code)
    assert code in result.detail
    assert result.attempts[0].order.state is State.FAILED
    at_rest(result, venue)


@pytest.mark.parametrize("code", ["POST_ONLY_WOULD_CROSS", "PRICE_BAND", "RATE_LIMITED", "VENUE_UNAVAILABLE"])
def test_a_refusal_that_passes_is_tried_again(code):
    """[ours] A fresh price or a moment's patience cures it; the refused one counts as an attempt."""
    result, venue, _ = track([Plan(answer=code), Plan(fills=((1, 100),))])
    assert (result.reason, len(venue.placed()), len(result.refusals)) == (Reason.FILLED, 2, 1)
    at_rest(result, venue)


@pytest.mark.parametrize("crossing", ["refuse", "expire"])
def test_a_book_that_moves_under_the_post_costs_an_attempt_and_no_taker_trade(crossing):
    """[venue] Post-only at arrival: refused, or expired after the acknowledgement; then posted at the fresh best."""

    def prepare(venue, desk):
        venue.crossing = crossing
        venue.book_tell_secs = 0.2
        venue.set_book(13_990, 13_995)

    result, venue, _ = track([Plan(), Plan(fills=((1, 100),))], prepare=prepare)
    assert [order.price_i for order in venue.placed()] == [14_000, 13_990]
    assert result.reason is Reason.FILLED
    assert result.attempts[0].order.state is (State.FAILED if crossing == "refuse" else State.CANCELLED)
    at_rest(result, venue)


def test_an_order_filled_but_for_a_ten_thousandth_leaves_nothing_resting():
    """[ours] It counts as filled, and its last unit is still cancelled at the venue."""
    result, venue, _ = track([Plan(fills=((1, 19_999),))], quantity_i=20_000)
    assert result.reason is Reason.FILLED
    assert "cancel" in venue.verbs()
    at_rest(result, venue)


def test_an_order_that_the_venue_ended_for_good_is_not_tried_again():
    """[venue] Cancelled by the venue itself with a reason that a fresh price does not cure."""

    def prepare(venue, desk):
        venue._later(2, lambda: venue._end(venue.placed()[0], "REDUCE_ONLY"))

    result, venue, _ = track(prepare=prepare)
    assert (result.reason, len(venue.placed()), result.refusals[0][1]) == (Reason.REFUSED, 1, "REDUCE_ONLY")
    assert result.average_price is None
    at_rest(result, venue)


# -- races and doubt


def test_a_fill_that_beats_the_cancel_is_counted_before_anything_is_posted():
    """[ours] The cancel is acknowledged, the order trades, and only its true remainder is posted again."""
    raced = Plan(cancel_secs=0.5, fills=((10.2, 80),), tell_secs=0.6)
    result, venue, _ = track([raced, Plan(fills=((1, 20),))])
    assert [order.size_i for order in venue.placed()] == [100, 20]
    assert result.reason is Reason.FILLED
    at_rest(result, venue)


def test_a_cancel_refused_because_the_order_is_filled_is_a_fill():
    """[venue] ORDER_NOT_FOUND while the stream lags: looked up, counted, nothing posted."""
    result, venue, _ = track([Plan(fills=((9.9, 100),), tell_secs=2.0)])
    assert (result.reason, len(venue.placed())) == (Reason.FILLED, 1)
    at_rest(result, venue)


def test_a_fill_before_the_acknowledgement_is_a_fill():
    """[venue] The stream overtakes the reply."""
    result, venue, _ = track([Plan(fills=((0.001, 100),), tell_secs=0.001, answer_secs=0.5)])
    assert (result.reason, len(venue.placed())) == (Reason.FILLED, 1)
    at_rest(result, venue)


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("fills", [(), ((0.5, 40),)])
def test_a_lost_acknowledgement_of_a_live_order_is_found_cancelled_and_counted(silent, fills):
    """[ours] Looked up by client id, never sent again; what it traded is charged."""
    lost = Plan(answer="lost", answer_secs=1.0, silent=silent, fills=fills)
    result, venue, _ = track([lost, Plan(fills=((1, 100),))])
    assert result.reason is Reason.FILLED
    assert [o.size_i for o in venue.placed()] == [100, 100 - sum(size for _, size in fills)]
    assert result.attempts[0].order.state is State.CANCELLED
    assert result.attempts[0].end_reason == "CANCELLED"
    at_rest(result, venue)


def test_a_lost_request_is_failed_only_once_it_can_no_longer_arrive():
    """[ours] Absent from readings younger than expiry + skew + read lag: proven never live, and only then posted."""
    result, venue, _ = track([Plan(arrive_secs=None, answer="lost", answer_secs=1.0), Plan(fills=((1, 100),))])
    first, second = venue.placed()
    assert second.sent_at - first.sent_at > (ABILITIES.expiry_ms + ABILITIES.read_lag_ms) / 1000 + 1
    assert result.attempts[0].order.state is State.FAILED
    assert result.reason is Reason.FILLED
    at_rest(result, venue)


@pytest.mark.parametrize("arrive_secs", [2.0, 4.9])
@pytest.mark.parametrize("lag_secs", [0.0, 1.9])
def test_a_request_that_arrives_late_is_never_taken_for_dead(arrive_secs, lag_secs):
    """[ours] Absent now may be live in a moment; and readings lag."""

    def prepare(venue, desk):
        venue.read_lag_secs = lag_secs

    late = Plan(arrive_secs=arrive_secs, answer="lost", answer_secs=0.5, silent=True, fills=((0.1, 30),))
    result, venue, _ = track([late, Plan(fills=((1, 100),))], prepare=prepare)
    assert [o.size_i for o in venue.placed()] == [100, 70]
    assert result.reason is Reason.FILLED
    at_rest(result, venue)


@pytest.mark.parametrize(("arrive_secs", "sizes"), [(3.0, [100, 100]), (0.5, [100, 70])])
def test_a_fence_proves_at_once_that_a_lost_request_never_was(arrive_secs, sizes):
    """[venue] Where a nonce can be burnt there is no waiting for the expiry; an order that arrived is not fenced."""

    async def story(venue, desk):
        lost = Plan(arrive_secs=arrive_secs, answer="lost", answer_secs=1.0, silent=True, fills=((0.1, 30),))
        venue.plans = [lost, Plan(fills=((1, 100),))]
        return await desk.tracking_limit(desk.sol, chase()), venue

    result, venue = play(story, abilities=msgspec.structs.replace(ABILITIES, fence=True))
    assert [order.size_i for order in venue.placed()] == sizes
    assert venue.placed()[1].sent_at < 3
    assert result.reason is Reason.FILLED
    at_rest(result, venue)


def test_an_order_whose_end_cannot_be_proven_halts_the_symbol():
    """[ours] IN_DOUBT: nothing more is sent for this symbol, and the whole size stays charged."""

    def prepare(venue, desk):
        venue.reads_fail = 10_000

    lost = Plan(answer="lost", answer_secs=1, silent=True, fills=((0.5, 40),), cancel="dropped")
    result, venue, desk = track([lost], prepare=prepare)
    order = result.attempts[0].order
    assert (result.reason, result.settled, order.in_doubt, order.state) == (
        Reason.IN_DOUBT, False, True, State.SUBMITTING,
    )  # fmt: skip
    assert unreserved_i(100, desk.of_leg("run/double/1")) == 0
    assert SOL.symbol in desk.halted
    assert str(order.client_id) in result.detail
    assert len(venue.placed()) == 1


def test_on_a_halted_symbol_nothing_begins():
    """[ours] DESIGN 4: no submit while halted."""

    def prepare(venue, desk):
        desk.halted[SOL.symbol] = "somebody's doubt"

    result, venue, _ = track(prepare=prepare)
    assert (result.reason, venue.placed()) == (Reason.STOPPED, [])


def test_a_client_id_that_the_venue_has_seen_is_looked_up_not_resent():
    """[venue] DUPLICATE_CLIENT_ID: somebody's order lives under this id; only a look-up tells whose."""
    result, venue, _ = track([Plan(answer="DUPLICATE_CLIENT_ID"), Plan(fills=((1, 100),))])
    first, second = venue.placed()
    assert second.sent_at - first.sent_at > 8
    assert "look_up" in venue.verbs()
    assert result.reason is Reason.FILLED
    at_rest(result, venue)


def test_trades_told_without_our_id_find_their_order():
    """[venue] Told by the venue's id alone, even before the acknowledgement names it."""
    result, venue, desk = track([Plan(fills=((0.001, 100),), named_fills=False, tell_secs=0.3, fill_tell_secs=0.001)])
    assert (result.reason, len(venue.placed()), desk.strangers) == (Reason.FILLED, 1, 0)
    at_rest(result, venue)


def test_doubled_and_reordered_words_change_nothing():
    """[venue] Each event twice, trades long after the order words."""
    plans = [Plan(fills=((1, 30), (2, 30)), twice=True, fill_tell_secs=1.7), Plan(fills=((1, 40),), twice=True)]
    result, venue, _ = track(plans)
    assert (result.reason, result.filled_i) == (Reason.FILLED, 100)
    at_rest(result, venue)


def test_a_stale_list_of_open_orders_is_asked_again():
    """[venue] A replica may still list what was cancelled a moment ago."""

    def prepare(venue, desk):
        venue.list_lag_secs = 1.5

    result, venue, _ = track(prepare=prepare, timeout_secs=5)
    assert (result.reason, venue.verbs().count("list") > 1) == (Reason.TIMEOUT, True)
    at_rest(result, venue)


@pytest.mark.parametrize("named", [True, False])
def test_an_order_that_the_venue_keeps_listing_ends_in_doubt(named):
    """[ours] "Nothing of this play is listed" is a condition of every good end, also where lists carry no client id."""

    def prepare(venue, desk):
        venue._listed = lambda symbol, lag: [
            msgspec.structs.replace(seen, client_id=seen.client_id if named else None)
            for order in venue.true.values() for _, seen in order.past[:1]
        ]  # fmt: skip

    result, _, desk = track(prepare=prepare, timeout_secs=5)
    assert result.reason is Reason.IN_DOUBT
    assert SOL.symbol in desk.halted
    assert "still lists" in result.detail


def test_a_stream_lost_mid_rest_cancels_by_rest_and_posts_again_only_when_synced():
    """[ours] No submit while unsynced; the snapshot is merged first; fills of the gap count."""

    def prepare(venue, desk):
        venue._later(3, lambda: venue.lose_stream(back_after_secs=6))
        venue.before_submit = lambda cid: synced.append(venue.synced)

    synced: list[bool] = []
    result, venue, desk = track([Plan(fills=((3.01, 25),)), Plan(fills=((1, 75),))], prepare=prepare)
    assert [o.size_i for o in venue.placed()] == [100, 75]
    assert venue.placed()[1].sent_at >= 9
    assert all(synced)
    assert result.reason is Reason.FILLED
    assert [(b.why, (b.synced_ms or 0) - b.lost_ms) for b in desk.breaks] == [("cut by the test", 6_000)]
    at_rest(result, venue)
