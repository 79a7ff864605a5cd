"""The rate budget on virtual time: who may use how much, who waits, and what the venue's own words change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clock import PacedClock, VirtualClock, run_virtual
from venues.budget import PATIENCE_SECS, PAUSE_SECS, SPARE_SECS, Budget, Spent, Use
from venues.dialect import Cost, Count, Limit

ONE = (Cost("requests"),)
SPAN = 90 + SPARE_SECS


def on_time(story: Callable[[Budget, VirtualClock], Any], *limits: Limit) -> Any:
    async def main() -> Any:
        clock = VirtualClock()
        return await story(Budget(limits or (Limit("requests", 10, 90),), clock), clock)

    return run_virtual(main())


async def take(budget: Budget, use: Use, times: int = 1) -> None:
    for _ in range(times):
        await budget.take(use, ONE)


def test_each_use_stops_at_its_share_and_cancels_have_the_whole():
    """[ours] Of 10: readings 7, new orders 8, look-ups 9, cancels 10; nobody waits before that."""

    async def story(budget: Budget, clock: VirtualClock) -> None:
        await take(budget, Use.READ, 7)
        with pytest.raises(Spent):
            await take(budget, Use.READ)
        await take(budget, Use.SUBMIT)
        with pytest.raises(Spent):
            await take(budget, Use.SUBMIT)
        await take(budget, Use.SETTLE)
        with pytest.raises(Spent):
            await take(budget, Use.SETTLE)
        await take(budget, Use.CANCEL)
        assert clock.monotonic() == 0
        with pytest.raises(Spent) as spent:
            await take(budget, Use.CANCEL)
        assert (spent.value.limit, spent.value.wait_secs) == ("requests", SPAN)
        assert budget.record().windows[0].peak == 10

    on_time(story)


def test_where_cancels_share_the_window_orders_have_half_of_it():
    """[ours] Each order may want a cancel, so half is left for them."""

    async def story(budget: Budget, clock: VirtualClock) -> None:
        await take(budget, Use.SUBMIT, 5)
        with pytest.raises(Spent):
            await take(budget, Use.SUBMIT)
        await take(budget, Use.CANCEL, 5)

    on_time(story, Limit("requests", 10, 60, for_orders=50))


def test_a_short_wait_is_waited_and_counted_and_a_long_one_refused():
    """[ours] A submit waits for the 2 s window, and is refused at once where the wait would pass its patience."""

    async def story(budget: Budget, clock: VirtualClock) -> None:
        for _ in range(4):
            await budget.take(Use.SUBMIT, (Cost("fast"),))
        await budget.take(Use.SUBMIT, (Cost("fast"), Cost("slow", 8)))
        assert clock.monotonic() == pytest.approx(2 + SPARE_SECS)
        record = budget.record()
        assert (record.waits, record.waited_secs) == (1, pytest.approx(2 + SPARE_SECS))
        before = clock.monotonic()
        with pytest.raises(Spent, match="'slow'"):
            await budget.take(Use.SUBMIT, (Cost("fast"), Cost("slow")))
        assert clock.monotonic() == before
        # Refused, it took nothing of the other window.
        assert budget.record().windows[0].peak == 4

    on_time(story, Limit("fast", 5, 2), Limit("slow", 10, 60))


def test_a_request_heavier_than_its_share_leaves_alone():
    """[ours] It can never fit, so it waits until nothing else counts; it is not held for ever."""

    async def story(budget: Budget, clock: VirtualClock) -> None:
        await budget.take(Use.READ, (Cost("requests", 9),))
        assert clock.monotonic() == 0
        await budget.take(Use.READ, (Cost("requests", 9),))
        assert clock.monotonic() == pytest.approx(2 + SPARE_SECS)

    on_time(story, Limit("requests", 10, 2))


def test_the_venues_count_raises_ours_and_never_lowers_it():
    """[venue] X-MBX-USED-WEIGHT-1M counts others on this address; what is under way is added to it."""

    async def story(budget: Budget, clock: VirtualClock) -> None:
        first = await budget.take(Use.READ, ONE)
        await take(budget, Use.READ, 2)
        budget.correct(first, [Count("requests", used=1), Count("nobody knows", used=99)])
        await take(budget, Use.READ)
        # Four of ours, and five of others: only the first had arrived when the venue counted 6.
        budget.correct(first, [Count("requests", used=6)])
        with pytest.raises(Spent):
            await take(budget, Use.SETTLE)
        await take(budget, Use.CANCEL)
        budget.correct(first, [Count("requests", used=6)])
        assert budget.record().windows[0].peak == 10
        await clock.sleep(SPAN)
        budget.correct(await budget.take(Use.READ, ONE), [Count("requests", more=6)])
        with pytest.raises(Spent):
            await take(budget, Use.READ)

    on_time(story)


def test_after_a_refusal_orders_wait_for_the_hint_and_cancels_no_longer_than_it():
    """[venue] Retry-After: 3 closes the window for 3 s to all; going on would get the address banned."""

    async def story(budget: Budget, clock: VirtualClock) -> None:
        budget.refuse(ONE, 3.0)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(take, budget, Use.SUBMIT)
                await take(budget, Use.CANCEL)
                assert clock.monotonic() == 3.0
        assert (clock.monotonic(), budget.record().refused) == (3.0, 1)

    on_time(story)


def test_without_a_hint_cancels_and_look_ups_do_not_wait_at_all():
    """[ours] The pause is our own caution then; a cancel is worth a try, an order is not."""

    async def story(budget: Budget, clock: VirtualClock) -> None:
        budget.refuse(ONE)
        await take(budget, Use.CANCEL)
        await take(budget, Use.SETTLE)
        assert clock.monotonic() == 0
        await take(budget, Use.READ)
        assert clock.monotonic() == PAUSE_SECS

    on_time(story)


def test_a_hint_beyond_all_patience_refuses_at_once():
    """[ours] Banned for an hour: an order is refused locally, and so is a cancel, in words, without hanging."""

    async def story(budget: Budget, clock: VirtualClock) -> None:
        budget.refuse(ONE, 3_600)
        for use in Use:
            with pytest.raises(Spent):
                await take(budget, use)
        assert clock.monotonic() == 0

    on_time(story)


def test_limits_that_the_venue_publishes_replace_ours_and_keep_what_was_used():
    """[venue] exchangeInfo's rateLimits come after the first requests."""

    async def story(budget: Budget, clock: VirtualClock) -> None:
        await take(budget, Use.CANCEL, 9)
        budget.allow([Limit("requests", 20, 60), Limit("orders", 5, 10)])
        await take(budget, Use.SUBMIT, 7)
        with pytest.raises(Spent):
            await take(budget, Use.SUBMIT)
        await budget.take(Use.CANCEL, (Cost("orders", 5),))

    on_time(story)


def test_a_faster_clock_has_faster_minutes():
    """[ours] A simulated play at speed 60 has 60 minutes of budget in each, as its simulator has."""

    async def main() -> None:
        clock = VirtualClock()
        budget = Budget((Limit("requests", 10, 60),), PacedClock(clock, 60))
        await take(budget, Use.CANCEL, 10)
        await clock.sleep((60 + SPARE_SECS) / 60)
        await take(budget, Use.CANCEL, 10)

    run_virtual(main())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(Use)), st.integers(1, 6), st.floats(0, 4)), min_size=20, max_size=60))
def test_no_order_of_requests_ever_fills_a_window_beyond_its_limit(wishes: list[tuple[Use, int, float]]):
    """[ours] Whatever is asked for by whom and when, no span of a window's length holds more than its limit."""

    async def story(budget: Budget, clock: VirtualClock) -> list[tuple[float, int]]:
        left: list[tuple[float, int]] = []

        async def ask(use: Use, weight: int, after: float) -> None:
            await clock.sleep(after)
            began = clock.monotonic()
            try:
                await budget.take(use, (Cost("requests", weight),))
            except Spent:
                assert clock.monotonic() - began <= PATIENCE_SECS[use]
            else:
                left.append((clock.monotonic(), weight))

        async with anyio.create_task_group() as group:
            for use, weight, after in wishes:
                group.start_soon(ask, use, weight, after)
        return left

    left = on_time(story, Limit("requests", 10, 2))
    for start, _ in left:
        assert sum(weight for at, weight in left if start <= at < start + 2) <= 10
