"""A tracking limit that is interrupted: by its caller, by a crash, by a full disk, or by its neighbour."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from execution.journal import Journal
from execution.tracking_limit import Reason, TrackingResult
from tests.unit.execution.desk import Desk, FullDisk, at_rest, chase, play
from tests.unit.execution.venue_double import SOL, Plan


@pytest.mark.parametrize("when", [0.01, 0.04, 5.0, 10.1])
def test_cancelling_the_caller_still_cancels_and_settles_first(when):
    """[ours] Before the reply, while resting, while cancelling: nothing stays live, and the result remains."""

    async def story(venue, desk):
        venue.plans = [Plan(arrive_secs=0.02, cancel_secs=0.3, fills=((5.2, 30),))]
        with anyio.move_on_after(when) as scope:
            await desk.tracking_limit(desk.sol, chase())
        assert scope.cancelled_caught
        return desk.trackings[0], venue

    result, venue = play(story)
    assert len(venue.placed()) == len(result.attempts) == 1
    at_rest(result, venue)


def test_a_task_cancelled_while_resting_leaves_nothing_live():
    """[ours] asyncio's own cancellation is the same."""

    async def story(venue, desk):
        task = asyncio.create_task(desk.tracking_limit(desk.sol, chase()))
        await anyio.sleep(4)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return desk.trackings[0], venue

    at_rest(*play(story))


def test_an_order_of_before_the_crash_whose_end_stays_unknown_stops_the_leg():
    """[ours] Nothing is posted beside an order that may still live."""

    async def story(venue, desk):
        await desk.place_limit(desk.sol, is_ask=False, size_i=100, price_i=14_000, leg="run/double/1")
        desk.stop_listening()
        after = Desk(venue, journal=desk.memory)
        venue.reads_fail = 10_000
        for order in venue.placed():
            order.plan.silent, order.plan.cancel = True, "dropped"
        return await after.tracking_limit(desk.sol, chase()), venue

    result, venue = play(story)
    assert (result.reason, result.settled, len(venue.placed())) == (Reason.IN_DOUBT, False, 1)


def test_after_a_crash_the_leg_goes_on_with_what_is_truly_left(tmp_path):
    """[ours] Journalled intents of the leg, settled or not, are charged before anything is posted."""

    async def story(venue, desk):
        first = Journal(tmp_path / "journal.db")
        before = Desk(venue, journal=first)
        venue.plans = [Plan(fills=((0.1, 30),)), Plan(fills=((0.1, 20), (60, 50)))]
        settled = await before.place_limit(desk.sol, is_ask=False, size_i=100, price_i=14_000, leg="run/double/1")
        await anyio.sleep(1)
        assert await before.settle(settled) == 30
        await before.place_limit(desk.sol, is_ask=False, size_i=70, price_i=14_000, leg="run/double/1")
        await anyio.sleep(1)
        before.stop_listening()  # kill -9: the live order stays, nothing is settled
        first.close()

        after = Desk(venue, journal=Journal(tmp_path / "journal.db"))
        venue.plans = [Plan(fills=((0.1, 200),))]
        return await after.tracking_limit(desk.sol, chase()), venue, after

    result, venue, after = play(story)
    assert [order.size_i for order in venue.placed()] == [100, 70, 50]
    assert venue.true_filled_i == 100
    assert (result.reason, venue.maybe_live, after.memory.unsettled()) == (Reason.FILLED, [], [])
    assert [order.filled_i for order in result.earlier] == [20]


def test_a_journal_that_cannot_write_sends_nothing():
    """[ours] No byte leaves without a durable intent."""

    async def story(venue, desk):
        return await desk.tracking_limit(desk.sol, chase()), venue

    result, venue = play(story, journal=FullDisk())
    assert (result.reason, venue.placed(), result.attempts) == (Reason.REFUSED, [], [])
    assert "HALTED" in result.detail


def test_two_legs_at_once_keep_their_own_purses():
    """[ours] Orders are charged to their leg; a buy and a sell of one account do not disturb each other."""

    async def story(venue, desk):
        venue.default_plan = Plan(fills=((3, 60),))
        results: list[TrackingResult] = []

        async def leg(**wanted):
            results.append(await desk.tracking_limit(desk.sol, chase(**wanted)))

        async with anyio.create_task_group() as group:
            group.start_soon(lambda: leg(leg="a"))
            group.start_soon(lambda: leg(leg="b", is_ask=True))
        return results, venue

    results, venue = play(story)
    assert [(r.reason, r.filled_i) for r in results] == [(Reason.FILLED, 100)] * 2
    assert venue.positions[SOL.symbol] == 0
