"""A sample of the simulated runs: the rule holds, each clause taken away is noticed, the usual chase overfills."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

PLACE = Path(__file__).resolve().parents[1] / "simulate"
if str(PLACE) not in sys.path:
    sys.path.insert(0, str(PLACE))

from mutations import MUTATIONS, run_mutant  # noqa: E402
from naive import compare  # noqa: E402
from schedule import STORIES, calm_ms  # noqa: E402
from simulate import run_seed  # noqa: E402

from core.chance import Chance  # noqa: E402
from venues import VENUES  # noqa: E402
from venues.simulation.faults import Faults  # noqa: E402

NOTICED_BY: dict[str, tuple[str, int]] = {
    "cancel_ack_settles": ("hyperliquid", 22),
    "not_found_settles": ("binance", 1),
    "timeout_is_failure": ("okx", 9),
    "absence_at_once": ("binance", 11),
    "absence_without_expiry": ("binance", 11),
    "absence_without_read_lag": ("binance", 11),
    "fence_without_look_up": ("lighter", 38),
    "trades_need_not_add_up": ("binance", 1),
    "fills_after_the_end_dropped": ("binance", 1),
    "duplicates_count": ("backpack", 25),
    "old_words_count": ("hyperliquid", 287),
    "ends_reopen": ("okx", 34),
    "timeout_resubmits": ("binance", 1),
    "both_locks_off": ("okx", 9),
    "nothing_looked_up": ("binance", 1),
    "snapshot_not_merged": ("okx", 4),
    "synced_before_snapshot": ("backpack", 25),
}
"""Venue and seed, from ``python tests/simulate/mutations.py``; a new schedule needs new ones."""


@pytest.mark.parametrize("tell", STORIES)
def test_every_story_is_a_fault_file_and_ends(tell):
    """[ours] Its rules load, and there is a moment from which they touch nothing any more."""
    for number in range(20):
        rules = tell(Chance(number))
        assert len(Faults.load(rules).rules) == len(rules)
        assert 0 < calm_ms(rules) <= 120_000


@pytest.mark.parametrize("tell", STORIES)
@pytest.mark.parametrize("venue", VENUES)
def test_no_promise_breaks_in_any_story_on_any_venue(venue, tell):
    """[ours] DESIGN 4: nothing is overfilled, lost or left open, whatever the story does."""
    assert run_seed(venue, 7, tell(Chance(f"{venue}/7"))).breaches == []


def test_the_same_seed_leaves_the_same_bytes():
    """[ours] A run is its seed: the order timelines are equal to the byte."""
    first, second = run_seed("backpack", 3), run_seed("backpack", 3)
    assert first.digest == second.digest != ""


def test_every_mutation_that_is_noticed_has_its_seed():
    """[ours] A new clause in the list cannot be forgotten here."""
    assert set(NOTICED_BY) == {name for name, mutation in MUTATIONS.items() if mutation.caught}


@pytest.mark.parametrize("name", NOTICED_BY)
def test_a_clause_taken_away_is_noticed(name):
    """[ours] The seed that noticed it first still does, and it is quiet with the clause in place."""
    venue, seed = NOTICED_BY[name]
    assert run_mutant(name, venue, seed) != ""
    assert run_seed(venue, seed).breaches == []


def test_the_usual_chase_overfills_where_ours_does_not():
    """[ours] A lost answer and a silent stream: it sends again what already rests at the exchange."""
    venues = list(VENUES)
    pairs = [compare(venues[seed % len(venues)], seed) for seed in range(20)]
    assert sum(ours.over for ours, _ in pairs) == 0
    assert sum(naive.over for _, naive in pairs) > 0
