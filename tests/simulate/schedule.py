"""A seed's fault schedule, as data: what goes wrong, when, how often. Faults stop at ``CALM_MS``."""

from __future__ import annotations

from typing import Any

from core.chance import Chance
from venues.simulation.faults import ACTIONS

CALM_MS = 90_000
"""Milliseconds after the start from which nothing goes wrong any more."""


def schedule(chance: Chance, most: int = 5) -> list[dict[str, Any]]:
    """Zero to ``most`` rules, each a row that ``Faults.load`` takes; often the pair that makes an order doubtful."""
    rules = [_rule(chance) for _ in range(chance.integer(0, most))]
    return [*_doubt(chance), *rules] if chance.happens(0.3) else rules


def _doubt(chance: Chance) -> list[dict[str, Any]]:
    """An order's answer is lost, or it is executed late, and the stream keeps silent about it."""
    answer = chance.pick(["lose_reply", "execute_late", "error_after", "drop"])
    struck: dict[str, Any] = {"action": answer, "on": "http", "kind": "place", "nth": [chance.integer(1, 3)]}
    if answer == "execute_late":
        struck["params"] = {"ms": chance.integer(200, 4_500)}
    silence: dict[str, Any] = {"action": chance.pick(["drop", "delay"]), "on": "ws", "kind": "*", "until_ms": CALM_MS}
    if silence["action"] == "delay":
        silence["params"] = {"ms": chance.integer(2_000, 20_000)}
    return [struck, silence]


def _rule(chance: Chance) -> dict[str, Any]:
    action = chance.pick(sorted(ACTIONS))
    on = chance.pick(sorted(ACTIONS[action].strikes))
    kinds = ACTIONS[action].strikes[on]
    rule: dict[str, Any] = {"action": action, "on": on, "kind": chance.pick([*kinds, "*"])}
    # Trading requests and words about orders are what can lose money: struck more often than their share.
    hot = [kind for kind in ("place", "cancel", "order", "fill", "match") if kind in kinds]
    if hot and chance.happens(0.6):
        rule["kind"] = chance.pick(hot)
    how = chance.integer(0, 3)
    if how == 0:
        rule["nth"] = sorted({chance.integer(1, 6) for _ in range(chance.integer(1, 3))})
    elif how == 1:
        rule["every"] = chance.integer(2, 5)
    else:
        rule["probability"] = round(chance.uniform(0.05, 0.5), 3)
    begin = chance.integer(0, 40_000)
    rule["after_ms"] = begin if chance.happens(0.5) else 0
    rule["until_ms"] = min(CALM_MS, begin + chance.integer(1_000, 60_000))
    params = _params(action, chance)
    if params:
        rule["params"] = params
    return rule


def _params(action: str, chance: Chance) -> dict[str, Any]:
    match action:
        case "delay":
            return {"ms": chance.integer(10, 9_000)}
        case "duplicate":
            return {"count": chance.integer(2, 4)}
        case "reorder":
            return {"ms": chance.integer(10, 2_000)}
        case "silent":
            return {"ms": chance.integer(1_000, 40_000)}
        case "partial_fill" | "truncate":
            return {"fraction": round(chance.uniform(0.1, 0.9), 2)}
        case "slow_cancel" | "execute_late":
            return {"ms": chance.integer(50, 8_000)}
        case "error_before" | "error_after":
            return {"status": chance.pick([500, 502, 503, 504])}
        case "rate_limit":
            return {"retry_after": chance.integer(1, 3)} if chance.happens(0.5) else {}
        case _:
            return {}
