"""How long to wait before trying again."""

from __future__ import annotations

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from core.chance import Chance
from core.retry import backoff


@given(st.integers(), st.floats(0.01, 5), st.floats(5, 100))
def test_each_wait_lies_between_half_and_the_whole_of_its_step(seed, first, ceiling):
    """[ours] Doubling, capped, jittered: many sessions cut off together do not return together."""
    step = first
    for wait in islice(backoff(Chance(seed), first_secs=first, ceiling_secs=ceiling), 20):
        assert step / 2 <= wait <= step <= ceiling
        step = min(ceiling, step * 2)


def test_two_sessions_wait_differently_and_the_same_one_repeats():
    """[ours] The jitter comes from the chance handed in."""
    one = list(islice(backoff(Chance(7).fork("a")), 8))
    assert one == list(islice(backoff(Chance(7).fork("a")), 8))
    assert one != list(islice(backoff(Chance(7).fork("b")), 8))


def test_the_waits_never_end():
    """[ours] Who gives up is the caller's decision."""
    assert len(list(islice(backoff(Chance(7)), 5000))) == 5000
