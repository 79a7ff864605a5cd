"""Time: the machine's, the virtual one and the paced one."""

from __future__ import annotations

import asyncio
import re

import anyio
import pytest

from core.clock import (
    VIRTUAL_EPOCH_MS,
    PacedClock,
    SystemClock,
    VirtualClock,
    VirtualLoop,
    iso_utc,
    run_virtual,
    within,
)


def test_a_day_of_waiting_passes_at_once():
    """[ours] Virtual time jumps to the next timer."""

    async def main():
        clock = VirtualClock()
        before = SystemClock().monotonic()
        await clock.sleep(86_400)
        return clock.monotonic(), clock.now_ms(), SystemClock().monotonic() - before

    virtual, now_ms, real = run_virtual(main())
    assert virtual == 86_400
    assert now_ms == VIRTUAL_EPOCH_MS + 86_400_000
    assert real < 5


def test_waits_end_in_the_order_of_their_deadlines():
    """[ours] Virtual time keeps the order that real time would have."""

    async def main():
        clock, seen = VirtualClock(), []

        async def wait(secs):
            await clock.sleep(secs)
            seen.append((secs, clock.monotonic()))

        async with anyio.create_task_group() as group:
            for secs in (3, 0.5, 2, 0.25):
                group.start_soon(wait, secs)
        return seen

    assert run_virtual(main()) == [(0.25, 0.25), (0.5, 0.5), (2, 2), (3, 3)]


def test_two_runs_have_the_same_order_of_events():
    """[ours] Same program, same order: timelines compare byte by byte."""

    async def main():
        clock, seen = VirtualClock(), []

        async def walk(name, step):
            for _ in range(20):
                await clock.sleep(step)
                seen.append((name, round(clock.monotonic(), 9)))

        async with anyio.create_task_group() as group:
            for name, step in (("a", 0.3), ("b", 0.2), ("c", 0.1)):
                group.start_soon(walk, name, step)
        return seen

    assert run_virtual(main()) == run_virtual(main())


def test_limits_of_anyio_follow_virtual_time():
    """[ours] Timeouts in our code and in libraries measure the same time."""

    async def main():
        clock = VirtualClock()
        with anyio.move_on_after(30) as limit:
            await clock.sleep(31)
        return limit.cancelled_caught, clock.monotonic()

    assert run_virtual(main()) == (True, 30)


def test_a_wait_of_nothing_lets_others_run():
    """[ours] A value of 0 or below only yields."""

    async def main():
        clock, seen = VirtualClock(), []

        async def other():
            seen.append("other")

        async with anyio.create_task_group() as group:
            group.start_soon(other)
            await clock.sleep(-5)
            await clock.sleep(0)
            seen.append("main")
        return seen, clock.monotonic()

    assert run_virtual(main()) == (["other", "main"], 0)


def test_waiting_for_nothing_at_all_is_an_error_not_a_hang():
    """[ours] A deadlock in a play on virtual time shows itself at once."""

    async def main():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="virtual time stands still"):
        run_virtual(main())


def test_each_virtual_run_starts_at_the_same_moment():
    """[ours] A new loop starts at zero, so client ids and signatures repeat."""

    async def main():
        clock = VirtualClock()
        first = clock.now_ms()
        await clock.sleep(5)
        return first

    assert run_virtual(main()) == run_virtual(main()) == VIRTUAL_EPOCH_MS
    assert iso_utc(VIRTUAL_EPOCH_MS) == "2026-01-05T00:00:00.000Z"


def test_a_virtual_clock_can_start_elsewhere():
    """[ours] Vectors are signed at the moment they were made."""

    async def main():
        return VirtualClock(epoch_ms=1_614_550_000_000).now_ms()

    assert run_virtual(main()) == 1_614_550_000_000


def test_an_exception_comes_out_of_a_virtual_run_and_the_loop_is_closed():
    """[ours] run_virtual hides no failure and leaves nothing open."""
    loops = []

    async def main():
        loops.append(asyncio.get_running_loop())
        raise LookupError("no such thing")

    with pytest.raises(LookupError):
        run_virtual(main())
    assert isinstance(loops[0], VirtualLoop)
    assert loops[0].is_closed()


def test_a_paced_clock_shortens_waits_and_leaves_timestamps_alone():
    """[ours] --speed N: waits are N times shorter, what is signed stays real time."""

    async def main():
        base = VirtualClock()
        paced = PacedClock(base, 10)
        start = paced.monotonic()
        await paced.sleep(120)
        return base.monotonic(), paced.monotonic() - start, paced.now_ms() - base.now_ms(), base.now_ms()

    real, told, difference, now_ms = run_virtual(main())
    assert real == 12
    assert told == 120
    assert difference == 0
    assert now_ms == VIRTUAL_EPOCH_MS + 12_000


@pytest.mark.parametrize(("limit_secs", "ended", "at"), [(5, True, 3), (2, False, 2)])
def test_a_limit_on_a_handed_in_clock_ends_the_wait_or_lets_it_end(limit_secs, ended, at):
    """[ours] within() says whether the wait ended in time, and is over at the earlier of the two."""

    async def main():
        clock = VirtualClock()
        return await within(clock, limit_secs, lambda: clock.sleep(3)), clock.monotonic()

    assert run_virtual(main()) == (ended, at)


def test_a_limit_follows_the_paced_clock():
    """[ours] A timeout of 120 s passes in 12 s at ten times the speed."""

    async def main():
        base = VirtualClock()
        paced = PacedClock(base, 10)
        assert (paced.speed, base.speed, SystemClock.speed) == (10, 1, 1)
        return await within(paced, 120, anyio.sleep_forever), base.monotonic()

    assert run_virtual(main()) == (False, 12)


def test_a_limited_wait_that_fails_raises_its_own_exception():
    """[ours] No exception group around it: callers catch what they know."""

    async def fail():
        raise LookupError("own words")

    async def main():
        await within(VirtualClock(), 5, fail)

    with pytest.raises(LookupError, match="own words"):
        run_virtual(main())


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_a_speed_that_is_not_above_zero_is_refused(speed):
    """[ours] Such a clock would stand still or run back."""
    with pytest.raises(ValueError, match="above 0"):
        PacedClock(SystemClock(), speed)


def test_the_machines_clock_tells_milliseconds_and_never_goes_back():
    """[ours] Unix milliseconds, a plausible one, and durations from a clock that only goes forward."""
    clock = SystemClock()
    first, later = clock.monotonic(), clock.monotonic()
    assert later >= first
    assert 1_735_689_600_000 < clock.now_ms() < 4_102_444_800_000

    async def main():
        await clock.sleep(-1)
        return True

    assert anyio.run(main)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_614_550_000_000, "2021-02-28T22:06:40.000Z"),
        (1_767_571_200_999, "2026-01-05T00:00:00.999Z"),
        (1_767_571_200_001, "2026-01-05T00:00:00.001Z"),
    ],
)
def test_a_time_is_written_in_utc_with_milliseconds(ms, text):
    """[ours] One format in logs, timelines and reports."""
    assert iso_utc(ms) == text
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
