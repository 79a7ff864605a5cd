"""Chance: seeded, forked, the same everywhere."""

from __future__ import annotations

import pytest

from core.chance import Chance


def drawn(chance):
    return (
        chance.uniform(1, 30),
        chance.integer(1, 6),
        chance.gauss(0, 1),
        chance.happens(0.5),
        chance.pick("abc"),
        chance.bytes(8),
    )


@pytest.mark.parametrize("seed", [0, 7, "7", "a name", 2**63])
def test_the_same_seed_gives_the_same_choices(seed):
    """[client] Random waits repeat with the seed."""
    assert drawn(Chance(seed)) == drawn(Chance(seed))


def test_the_choices_of_a_seed_are_pinned():
    """[ours] A report names its seed; the same seed must mean the same run on another machine and next year."""
    chance = Chance(7)
    assert [chance.integer(1, 1000) for _ in range(5)] == [294, 57, 432, 424, 499]


def test_other_seeds_give_other_choices():
    """[ours] Seeds are told apart."""
    assert len({drawn(Chance(seed)) for seed in range(50)}) == 50


def test_a_fork_depends_on_seed_and_name_alone():
    """[ours] A new consumer does not shift the numbers of the others."""
    used, fresh = Chance(7), Chance(7)
    for _ in range(10):
        used.uniform(0, 1)
    used.fork("somebody else")
    assert drawn(used.fork("market")) == drawn(fresh.fork("market"))
    assert drawn(fresh.fork("market")) != drawn(fresh.fork("faults"))
    assert drawn(Chance(8).fork("market")) != drawn(fresh.fork("market"))


def test_forks_of_forks_keep_apart():
    """[ours] Every branch has numbers of its own."""
    root = Chance(7)
    assert drawn(root.fork("a").fork("b")) != drawn(root.fork("b").fork("a"))


def test_whole_numbers_include_both_ends():
    """[ours] integer(1, 3) can be 1 and can be 3."""
    chance = Chance(7)
    assert {chance.integer(1, 3) for _ in range(200)} == {1, 2, 3}


def test_never_and_always_are_exact():
    """[ours] A fault of probability 0 never happens, one of probability 1 always."""
    chance = Chance(7)
    assert not any(chance.happens(0.0) for _ in range(1000))
    assert all(chance.happens(1.0) for _ in range(1000))


def test_a_range_is_kept():
    """[client] A random wait lies between its two ends."""
    chance = Chance(7)
    assert all(1 <= chance.uniform(1, 30) <= 30 for _ in range(1000))
    assert len(chance.bytes(17)) == 17
