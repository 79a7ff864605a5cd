"""A sample of the simulated runs: the rule holds, each clause taken away is noticed, the usual chase overfills."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

PLACE = Path(__file__).resolve().parents[1] / "simulate"
if str(PLACE) not in sys.path:
    sys.path.insert(0, str(PLACE))

from mutations import MUTATIONS, run_mutant  # noqa: E402
from naive import compare  # noqa: E402
from schedule import STORIES, calm_ms, schedule  # noqa: E402
from simulate import CRASH_EVERY, Ran, _tell, run, run_seed, sampled, text_of  # noqa: E402

from core.chance import Chance  # noqa: E402
from venues import VENUES  # noqa: E402
from venues.simulation.faults import ACTIONS, Faults  # noqa: E402

NOTICED_BY: dict[str, tuple[str, int]] = {
    "cancel_ack_settles": ("hyperliquid", 27),
    "not_found_settles": ("okx", 4),
    "timeout_is_failure": ("binance", 6),
    "absence_at_once": ("okx", 4),
    "absence_without_expiry": ("okx", 14),
    "absence_without_read_lag": ("okx", 14),
    "fence_without_look_up": ("lighter", 58),
    "trades_need_not_add_up": ("binance", 1),
    "fills_after_the_end_dropped": ("binance", 1),
    "late_fill_dropped": ("okx", 49),
    "duplicates_count": ("binance", 16),
    "old_words_count": ("hyperliquid", 147),
    "ends_reopen": ("backpack", 75),
    "timeout_resubmits": ("binance", 6),
    "both_locks_off": ("backpack", 0),
    "reservation_forgets": ("backpack", 0),
    "unknown_goes_on": ("lighter", 43),
    "nothing_looked_up": ("okx", 4),
    "snapshot_not_merged": ("okx", 19),
    "synced_before_snapshot": ("lighter", 18),
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


def test_every_mutation_has_the_seed_that_notices_it():
    """[ours] A new clause in the list cannot be forgotten here."""
    assert set(NOTICED_BY) == set(MUTATIONS)


@pytest.mark.parametrize("name", NOTICED_BY)
def test_a_clause_taken_away_is_noticed(name):
    """[ours] The seed that noticed it first still does, and it is quiet with the clause in place."""
    venue, seed = NOTICED_BY[name]
    assert run_mutant(name, venue, seed) != ""
    assert run_seed(venue, seed).breaches == []


def test_the_page_tells_every_fault_and_every_mutation():
    """[ours] docs/RELIABILITY.md names each with the words that the fault files' reader has for it."""
    page = (PLACE.parents[1] / "docs" / "RELIABILITY.md").read_text(encoding="utf-8")
    assert [name for name, facts in ACTIONS.items() if f"| `{name}` |" not in page or facts.meaning not in page] == []
    assert [name for name, each in MUTATIONS.items() if f"| {each.clause} | `{name}` |" not in page] == []


def test_every_fault_is_drawn():
    """[ours] A schedule may hold any action there is, and every one loads."""
    rules = [rule for number in range(600) for rule in schedule(Chance(number))]
    assert {rule["action"] for rule in rules} == set(ACTIONS)
    assert len(Faults.load(rules).rules) == len(rules)


def test_scenarios_of_all_kinds_are_drawn():
    """[ours] Perp and spot, both sides, kept and renewed places in the queue."""
    texts = [text_of(Chance(number), "okx") for number in range(60)]
    for words in ("market: perp", "market: spot", "side: buy", "side: sell", "keep_if_best: true", "market_close"):
        assert 5 < sum(words in text for text in texts) < 60
    assert all("symbol: ETH" in text_of(Chance(n), "lighter") for n in range(60) if "market: spot" in texts[n])


def test_a_share_of_the_seeds_kills_the_process():
    """[ours] The door plays the crash runs, too, and counts what struck."""
    seeds = range(CRASH_EVERY - 1, 6 * CRASH_EVERY, CRASH_EVERY)
    ran = [run("binance", seed) for seed in seeds]
    assert [each.breaches for each in ran] == [[]] * len(ran)
    assert sum(each.fired["killed"] + each.fired["disk_full"] + each.fired["locked"] for each in ran) > 0


def test_the_seeds_that_are_played_twice_are_of_every_venue_and_kind():
    """[ours] Equal bytes are looked for everywhere, also where the process dies."""
    venues = list(VENUES)
    for count in (200, 500, 1000, 2000):
        again = sampled([(venues[seed % len(venues)], seed) for seed in range(count)])
        assert 15 <= len(again) <= 22
        assert {venue for venue, _ in again} == set(venues)
        assert any(seed % CRASH_EVERY == CRASH_EVERY - 1 for _, seed in again)


def test_a_failing_seed_tells_how_to_replay_it_and_the_stories_of_its_orders(capsys):
    """[ours] The faults that matter, every order in words, and the command."""
    venue, seed = NOTICED_BY["not_found_settles"]
    with MUTATIONS["not_found_settles"].applied():
        ran = run_seed(venue, seed)
        assert _tell([ran], [], 1.0) == 1
    told = capsys.readouterr().out
    assert "needs fault: {'action':" in told
    assert f"simulate.py --venue {venue} --seed {seed}" in told
    assert "we: sent" in told
    assert "-> OPEN" in told
    assert ran.stories[0].startswith("order ")


def test_a_fault_that_no_seed_meets_fails_the_door(capsys):
    """[ours] Of a thousand seeds or more, each action has struck at least once."""
    quiet = [Ran(venue="okx", seed=number, fired=Counter(dict.fromkeys(ACTIONS, 1))) for number in range(1000)]
    assert _tell(quiet, [], 1.0) == 1
    told = capsys.readouterr().out
    assert {line for line in told.splitlines() if line.startswith("NEVER HIT")} == {
        f"NEVER HIT: fault {name}" for name in ("killed", "disk_full", "locked")
    }


def test_the_usual_chase_overfills_where_ours_does_not():
    """[ours] A lost answer and a silent stream: it sends again what already rests at the exchange."""
    venues = list(VENUES)
    pairs = [compare(venues[seed % len(venues)], seed) for seed in range(20)]
    assert sum(ours.over for ours, _ in pairs) == 0
    assert sum(naive.over for _, naive in pairs) > 0
