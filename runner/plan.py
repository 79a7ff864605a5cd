"""
From a checked scenario to a plan: which venues, which steps with which arguments, how long at most. Nothing is sent.

The plan hash covers everything that decides what a run does, so two runs of one plan are comparable.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from core.precision import plain
from runner.mistakes import Mistake
from runner.scenario import Scenario, SizeSpec, StepCall
from steps import STEPS
from strategy import STRATEGIES

# What a step takes beside its own waits: acknowledgements, settlement, readings.
STEP_OVERHEAD_SECS: Final = 10.0
# Cleanup is not cut short by a play's own limits, but it must end.
CLEANUP_SECS: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be played. ``on`` is sim, testnet or live; ``speed`` shortens the waits of simulated plays."""

    scenario: Scenario
    venues: tuple[str, ...]
    on: str
    seed: int
    speed: float
    args: Mapping[int, Any]
    """Arguments by ``id`` of the StepCall."""
    hash: str

    @property
    def longest_secs(self) -> float:
        """Upper bound of all steps' own waits and overheads on the play's clock."""
        return sum(longest_secs(call) for call in (*self.scenario.steps, *self.scenario.finally_))


def own_secs(call: StepCall) -> float:
    """The longest a step may wait by its own settings, on the play's clock."""
    settings = call.settings
    return float(settings.get("timeout_secs") or settings.get("secs") or settings.get("max_secs") or 0.0)


def longest_secs(call: StepCall) -> float:
    """The longest a step may take on the play's clock."""
    return own_secs(call) + STEP_OVERHEAD_SECS


def make_plan(
    scenario: Scenario, *, known_venues: Sequence[str], on: str, seed: int, speed: float
) -> tuple[Plan | None, list[Mistake]]:
    """The plan, or the mistakes that only the engine can see (a strategy that does not exist)."""
    mistakes = [
        _unknown_strategy(scenario, call)
        for call in (*scenario.steps, *scenario.finally_)
        if call.verb == "run_strategy" and call.settings["name"] not in STRATEGIES
    ]
    if mistakes:
        return None, mistakes
    venues = tuple(known_venues) if scenario.venues == "all" else scenario.venues
    calls = (*scenario.steps, *scenario.finally_)
    args = {id(call): STEPS[call.verb].args(**call.settings) for call in calls}
    plan = Plan(
        scenario=scenario, venues=venues, on=on, seed=seed, speed=speed, args=args, hash=_hash(scenario, venues)
    )
    return plan, []


def plan_json(plan: Plan) -> bytes:
    """``plan.json``: the matrix of venues and steps as it will be played."""
    scenario = plan.scenario
    document = {
        "schema": "roundtrip/plan/1",
        "scenario": scenario.name,
        "sha256": scenario.sha256,
        "venues": plan.venues,
        "market": scenario.market,
        "symbol": scenario.symbol,
        "side": scenario.side,
        "size": str(scenario.size),
        "on": plan.on,
        "seed": plan.seed,
        "speed": plan.speed,
        "longest_secs": plan.longest_secs,
        "steps": [_step(call) for call in scenario.steps],
        "finally": [_step(call) for call in scenario.finally_],
        "plan_hash": plan.hash,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _step(call: StepCall) -> dict[str, Any]:
    return {"verb": call.verb, "words": call.words, "settings": {k: _plain(v) for k, v in call.settings.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, SizeSpec):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    return plain(value)


def _hash(scenario: Scenario, venues: Sequence[str]) -> str:
    decided = {
        "venues": venues,
        "market": scenario.market,
        "symbol": scenario.symbol,
        "side": scenario.side,
        "size": str(scenario.size),
        "steps": [_step(call) for call in scenario.steps],
        "finally": [_step(call) for call in scenario.finally_],
    }
    return hashlib.sha256(msgspec.json.encode(decided, order="deterministic")).hexdigest()


def _unknown_strategy(scenario: Scenario, call: StepCall) -> Mistake:
    name = str(call.settings["name"])
    near = difflib.get_close_matches(name, list(STRATEGIES), n=1)
    return Mistake(
        code="UNKNOWN_STRATEGY",
        file=scenario.path,
        line=call.line,
        column=call.column,
        message=f"No strategy is called {name}.",
        found=name,
        expected=f"one of {', '.join(STRATEGIES)}",
        suggestion=near[0] if near else None,
        length=len(call.verb),
    )
