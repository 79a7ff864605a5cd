"""From a scenario to a plan: what its hash covers, how long it may take, what only the engine can find wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from runner.load import load_scenarios
from runner.plan import Plan, longest_secs, make_plan, plan_json
from runner.scenario import Scenario, SizeSpec
from steps import STEPS
from tests.e2e.virtual import SCENARIOS
from venues import VENUES

KNOWN = (*VENUES, "twin")


def scenario(path: Path = SCENARIOS / "e2e_all.yaml") -> Scenario:
    found = load_scenarios([str(path)], known_venues=KNOWN)
    assert not found.mistakes
    return found.scenarios[0]


def plan(asked: Scenario, **settings) -> Plan:
    made, mistakes = make_plan(asked, **{"known_venues": KNOWN, "on": "sim", "seed": 7, "speed": 1.0, **settings})
    assert mistakes == []
    assert made is not None
    return made


def test_all_venues_are_those_that_have_a_room():
    """[client] `venues: all` becomes the known ones, in order; a list stays as it is."""
    asked = scenario()
    assert plan(asked).venues == KNOWN
    assert plan(replace(asked, venues=("twin",))).venues == ("twin",)


def test_the_hash_covers_what_decides_a_run_and_nothing_else():
    """[ours] Venues, market, symbol, side, size and steps change it; title, seed, speed and path do not."""
    asked = scenario()
    first = plan(asked).hash
    for same in (replace(asked, title="x"), replace(asked, path="y"), replace(asked, seed=9)):
        assert plan(same).hash == first
    assert plan(asked, seed=8, speed=5.0, on="live").hash == first
    others = [
        replace(asked, venues=("twin",)),
        replace(asked, market="spot"),
        replace(asked, symbol="BTC"),
        replace(asked, side="sell"),
        replace(asked, size=SizeSpec("base", Decimal("0.05"))),
        replace(asked, steps=asked.steps[:-1]),
        replace(asked, finally_=asked.finally_[:-1]),
        replace(asked, steps=(replace(asked.steps[0], settings={**asked.steps[0].settings, "max_attempts": 3}),)),
    ]
    hashes = [plan(other).hash for other in others]
    assert len({first, *hashes}) == len(others) + 1


def test_every_step_has_its_arguments_ready():
    """[ours] Args of each verb are made before anything starts, for every shipped scenario."""
    for path in SCENARIOS.rglob("*.yaml"):
        made = plan(scenario(path))
        for call in (*made.scenario.steps, *made.scenario.finally_):
            assert isinstance(made.args[id(call)], STEPS[call.verb].args)  # type: ignore[arg-type]


def test_the_longest_time_is_the_sum_of_what_each_step_may_take():
    """[client] A tracking limit its timeout, a wait its time, each with some overhead."""
    made = plan(scenario())
    calls = (*made.scenario.steps, *made.scenario.finally_)
    assert [longest_secs(call) for call in calls] == [130, 40, 10, 10, 10, 10]
    assert made.longest_secs == 210


def test_plan_json_is_plain_and_complete():
    """[client] Settings as people write them, the hash, and one entry for each step."""
    for path in SCENARIOS.rglob("*.yaml"):
        made = plan(scenario(path))
        told = json.loads(plan_json(made))
        assert told["schema"] == "roundtrip/plan/1"
        assert told["plan_hash"] == made.hash
        assert [step["verb"] for step in told["steps"]] == [call.verb for call in made.scenario.steps]
        assert [step["verb"] for step in told["finally"]] == [call.verb for call in made.scenario.finally_]
        assert plan_json(made) == plan_json(plan(scenario(path)))


def test_a_strategy_that_does_not_exist_is_a_mistake_with_its_place(tmp_path: Path):
    """[client] No plan; line, found word, the ones there are, and the nearest."""
    text = (SCENARIOS / "examples" / "strategy.yaml").read_text(encoding="utf-8").replace("name: smoke", "name: smoek")
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    made, (mistake,) = make_plan(scenario(path), known_venues=KNOWN, on="sim", seed=1, speed=1)
    assert made is None
    assert (mistake.code, mistake.found, mistake.suggestion) == ("UNKNOWN_STRATEGY", "smoek", "smoke")
    assert "patient" in str(mistake.expected)
    assert mistake.line > 1
