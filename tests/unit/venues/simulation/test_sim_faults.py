"""Fault rules: what a file may say, and which occurrence a rule strikes. What the faults do: test_sim_memory.py."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.chance import Chance
from core.clock import VirtualClock, run_virtual
from venues.simulation.faults import ACTIONS, KINDS, FaultRule, Faults


def fired_at(faults: Faults, count: int, on: str = "http", kind: str = "place") -> list[int]:
    return [n for n in range(1, count + 1) if getattr(faults, on)(kind) is not None]


def mistakes_in(data: object, **settings) -> list[str]:
    with pytest.raises(ValueError) as caught:
        Faults.load(data, **settings)
    return str(caught.value).splitlines()


def test_no_rules_strike_nothing():
    """[ours] A simulator without a fault file asks the same question and hears None."""
    faults = Faults()
    assert [faults.engine("place"), faults.http("place"), faults.ws("fill")] == [None, None, None]
    assert Faults.load(None).rules == ()
    assert Faults.load([]).rules == ()


def test_every_action_loads_bare_and_has_all_its_params():
    """[ours] An action needs no params: each has a default."""
    for action, facts in ACTIONS.items():
        for on in facts.strikes:
            (rule,) = Faults.load([{"action": action, "on": on}]).rules
            assert rule.params == facts.params


def test_each_kind_an_action_strikes_is_a_kind_that_exists():
    """[ours] The table of actions names no kind that no simulator ever tells."""
    for facts in ACTIONS.values():
        for on, kinds in facts.strikes.items():
            assert set(kinds) <= set(KINDS[on])


def test_on_may_be_left_out_where_only_one_place_fits():
    """[ours] `lose_reply` can only strike requests, so a rule need not say so."""
    (rule,) = Faults.load([{"action": "lose_reply", "kind": "place"}]).rules
    assert (rule.on, rule.kind) == ("http", "place")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"nth": [2, 5]}, [2, 5]),
        ({"nth": 3}, [3]),
        ({"every": 2}, [2, 4, 6]),
        ({"probability": 0}, []),
        ({"probability": 1}, [1, 2, 3, 4, 5, 6]),
    ],
)
def test_a_rule_fires_at_the_occurrences_it_names(settings, expected):
    """[ours] nth counts from 1, every n-th, by probability, or always."""
    faults = Faults.load([{"action": "lose_reply", "kind": "place", **settings}])
    assert fired_at(faults, 6) == expected
    assert (faults.rules[0].matched, faults.rules[0].fired) == (6, len(expected))


def test_other_kinds_and_places_are_not_counted():
    """[ours] The second place is the second place, whatever happened between."""
    faults = Faults.load([{"action": "lose_reply", "kind": "place", "nth": [2]}])
    assert faults.http("place") is None
    assert faults.http("cancel") is None
    assert faults.ws("order") is None
    assert faults.engine("place") is None
    assert faults.http("place") is faults.rules[0]


def test_the_first_of_two_rules_acts_and_both_count():
    """[ours] `nth: [2]` means the second request even where another rule took the first."""
    faults = Faults.load(
        [
            {"action": "error_before", "on": "http", "kind": "place", "nth": [1]},
            {"action": "lose_reply", "kind": "*", "nth": [1, 2]},
        ]
    )
    struck = [faults.http("place"), faults.http("place"), faults.http("place")]
    assert [rule.action if rule else None for rule in struck] == ["error_before", "lose_reply", None]
    assert [rule.fired for rule in faults.rules] == [1, 1]


def test_any_kind_means_any_kind_the_action_can_strike():
    """[ours] A slow cancel for `*` never answers the question about a placement."""
    faults = Faults.load([{"action": "slow_cancel", "params": {"ms": 700}}, {"action": "stale_read"}])
    assert faults.engine("place") is None
    assert faults.engine("cancel").params["ms"] == 700
    assert faults.http("place") is None
    assert faults.http("positions").action == "stale_read"


def test_a_rule_holds_inside_its_window_only():
    """[ours] after_ms and until_ms count from the start of the simulator; the end is not included."""

    async def main():
        clock = VirtualClock()
        await clock.sleep(5)
        faults = Faults.load([{"action": "drop", "on": "ws", "after_ms": 1000, "until_ms": 2000, "nth": [2, 3]}])
        faults.begin(clock)
        struck = []
        for _ in range(6):
            struck.append(faults.ws("book") is not None)
            await clock.sleep(0.5)
        return struck, faults.rules[0].matched

    # At 0, 500, 1000, 1500, 2000, 2500 ms: the window holds two, and the second of them is the second counted.
    assert run_virtual(main()) == ([False, False, False, True, False, False], 2)


def test_chance_repeats_with_the_seed_and_differs_between_rules():
    """[ours] The same seed breaks the same messages."""
    data = [{"action": "drop", "on": "ws", "probability": 0.5}, {"action": "lose_reply", "probability": 0.5}]
    one, same, other = (Faults.load(data, chance=Chance(seed)) for seed in (1, 1, 2))
    drawn = fired_at(one, 64, "ws", "book")
    assert drawn == fired_at(same, 64, "ws", "book")
    assert drawn != fired_at(other, 64, "ws", "book")
    assert drawn != fired_at(one, 64, "http", "place")


def test_each_venue_gets_its_own_rules_and_counters():
    """[ours] `nth: [1]` without a venue is the first at each venue."""
    faults = Faults.load(
        [{"action": "lose_reply", "nth": [1]}, {"action": "reject", "venue": "okx"}], venues=["backpack", "okx"]
    )
    backpack, okx = faults.for_venue("backpack"), faults.for_venue("okx")
    assert [len(backpack.rules), len(okx.rules)] == [1, 2]
    assert fired_at(backpack, 2) == fired_at(okx, 2) == [1]
    assert backpack.engine("place") is None
    assert okx.engine("place").action == "reject"


def test_a_share_is_read_as_a_decimal():
    """[ours] A share multiplies sizes, and no float touches money."""
    (rule,) = Faults.load([{"action": "partial_fill", "params": {"fraction": 0.1}}]).rules
    assert rule.params["fraction"] == Decimal("0.1")


def test_an_unknown_action_is_told_its_nearest_word():
    """[client] A slip of the pen is answered with the word that was meant, and all that are allowed."""
    (text,) = mistakes_in([{"action": "lose_reply"}, {"action": "lose_replay"}])
    assert text.startswith(
        "rule 2: action: 'lose_replay' is not known; did you mean 'lose_reply'? allowed: delay, drop,"
    )


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("drop", "rule 1: expected a mapping with the key 'action', found 'drop'"),
        ({"on": "ws"}, "rule 1: action: missing; allowed: delay"),
        ({"action": ["drop"]}, "rule 1: action: ['drop'] is not known"),
        ({"action": "drop"}, "rule 1: on: drop needs it; allowed: http, ws"),
        ({"action": "reorder", "on": "http"}, "rule 1: on (of reorder): 'http' is not known; allowed: ws"),
        (
            {"action": "reject", "kind": "plaice"},
            "rule 1: kind (of reject on engine): 'plaice' is not known; did you mean 'place'? allowed: *, place,",
        ),
        ({"action": "stale_read", "kind": "place"}, "rule 1: kind (of stale_read on http): 'place' is not known"),
        ({"action": "reject", "nht": [1]}, "rule 1: nht: 'nht' is not known; did you mean 'nth'? allowed: action,"),
        ({"action": "reject", "nth": [0]}, "rule 1: nth: expected a whole number from 1 up, found 0"),
        ({"action": "reject", "nth": []}, "rule 1: nth: expected at least one"),
        ({"action": "reject", "nth": [True]}, "rule 1: nth: expected a whole number from 1 up, found True"),
        ({"action": "reject", "every": 1.5}, "rule 1: every: expected a whole number from 1 up, found 1.5"),
        ({"action": "reject", "probability": 2}, "rule 1: probability: expected a number from 0 to 1, found 2"),
        ({"action": "reject", "nth": 1, "every": 2}, "rule 1: nth, every, probability: only one of them"),
        ({"action": "reject", "after_ms": 9, "until_ms": 9}, "rule 1: until_ms: expected more than after_ms, found 9"),
        ({"action": "reject", "params": [1]}, "rule 1: params: expected a mapping, found [1]"),
        (
            {"action": "lose_reply", "params": {"ms": 1}},
            "rule 1: params (of lose_reply): 'ms' is not known; allowed: none",
        ),
        (
            {"action": "silent", "params": {"mss": 1}},
            "rule 1: params (of silent): 'mss' is not known; did you mean 'ms'?",
        ),
        ({"action": "silent", "params": {"ms": -1}}, "rule 1: params.ms: expected a whole number from 0 up, found -1"),
        ({"action": "slow_cancel", "params": {"ms": None}}, "rule 1: params.ms: expected a whole number"),
        ({"action": "partial_fill", "params": {"fraction": "half"}}, "rule 1: params.fraction: expected a share"),
        (
            {"action": "rate_limit", "params": {"status": 200}},
            "rule 1: params.status: expected a whole number from 400 to",
        ),
        ({"action": "reject", "venue": "oxk"}, "rule 1: venue: 'oxk' is not known; did you mean 'okx'? allowed: okx"),
    ],
)
def test_a_mistake_is_told_by_rule_key_and_what_is_allowed(row, text):
    """[client] Who writes a fault file is told where it is wrong and what may stand there."""
    found = mistakes_in([row], venues=["okx"])
    assert len(found) == 1
    assert found[0].startswith(text)


def test_all_mistakes_are_told_at_once():
    """[client] One pass over the file finds everything."""
    found = mistakes_in([{"action": "x"}, {"action": "reject", "every": 0, "kinds": 1}])
    assert [text.split(":")[:2] for text in found] == [
        ["rule 1", " action"],
        ["rule 2", " kinds"],
        ["rule 2", " every"],
    ]


def test_a_file_that_is_no_list_is_refused():
    """[client] A mapping or a word in place of the list is named."""
    assert mistakes_in({"action": "drop"}) == ["faults: expected a list of rules, found {'action': 'drop'}"]
    assert mistakes_in("drop") == ["faults: expected a list of rules, found 'drop'"]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(sorted(ACTIONS)),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["action", "on", "kind", "venue", "nth", "every", "probability", "params", "ms", "fraction"])
        | st.text(max_size=4)
        | st.integers(),
        inner,
        max_size=5,
    ),
    max_leaves=12,
)


@given(
    st.lists(st.fixed_dictionaries({"action": st.sampled_from(sorted(ACTIONS))}, optional={"nth": anything}) | anything)
)
def test_any_data_gives_rules_or_words(data):
    """[ours] Nothing that YAML can hold makes the loader fail in another way than by a ValueError with words."""
    try:
        faults = Faults.load(data)
    except ValueError as error:
        lines = str(error).splitlines()
    else:
        lines = []
        assert len(faults.rules) == len(data)
        assert all(isinstance(rule, FaultRule) for rule in faults.rules)
    assert all(line.startswith("rule ") for line in lines)
