"""A seed's fault schedule, as data: what goes wrong, when, how often. Faults stop at ``CALM_MS``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from core.chance import Chance
from venues.simulation.faults import ACTIONS

CALM_MS = 90_000
"""Milliseconds after the start from which nothing goes wrong any more."""


def schedule(chance: Chance, most: int = 5) -> list[dict[str, Any]]:
    """Zero to ``most`` rules, each a row that ``Faults.load`` takes; often after those of one of :data:`STORIES`."""
    rules = [_rule(chance) for _ in range(chance.integer(0, most))]
    return [*chance.pick(STORIES)(chance), *rules] if chance.happens(0.4) else rules


def calm_ms(rules: Sequence[Mapping[str, Any]]) -> int:
    """Milliseconds after the start from which these rules cannot touch anything any more."""
    ends = [rule.get("until_ms", CALM_MS) + ((rule.get("params") or {}).get("ms") or 0) for rule in rules]
    return max(ends, default=0)


# Each story is what one clause of the settlement rule is there for; chance alone would rarely tell it.


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


def _late(chance: Chance) -> list[dict[str, Any]]:
    """The line breaks while an order is still on its way, and the streams do not speak of orders for a while."""
    params = {"ms": chance.integer(300, 4_900), "breaks_ms": chance.integer(0, 200)}
    place = {"action": "execute_late", "on": "http", "kind": "place", "nth": [chance.integer(1, 3)], "params": params}
    return [{**place, "until_ms": CALM_MS}, *_mute(chance.integer(5_000, 40_000))]


def _stale(chance: Chance) -> list[dict[str, Any]]:
    """As :func:`_late`, and readings are as old as the venue's read lag allows; cancels get lost meanwhile."""
    until_ms = 8_500
    # It is executed so late that a reading at the end of the window may still be from before it.
    params = {"ms": chance.integer(4_000, 4_900), "breaks_ms": 0}
    place = {"action": "execute_late", "on": "http", "kind": "place", "nth": [1], "params": params}
    reads = [{"action": "stale_read", "on": "http", "kind": kind} for kind in ("order", "open_orders", "history")]
    lost = {"action": "drop", "on": "http", "kind": "cancel"}
    return [{**rule, "until_ms": until_ms} for rule in (place, *reads, lost)] + _mute(until_ms)


def _dark(chance: Chance) -> list[dict[str, Any]]:
    """An order's answer is lost, and for longer than a settlement is tried nothing tells or ends its fate."""
    until_ms = chance.integer(36_000, 45_000)
    answer = {"action": "lose_reply", "on": "http", "kind": "place", "nth": [1], "until_ms": until_ms}
    blind = [
        {"action": "drop", "on": "http", "kind": kind, "until_ms": until_ms} for kind in ("order", "history", "cancel")
    ]
    return [answer, *blind, *_mute(until_ms)]


def _slow(chance: Chance) -> list[dict[str, Any]]:
    """Cancels are acknowledged at once and take effect later, and the streams may keep silent about it."""
    params = {"ms": chance.integer(200, 6_000)}
    cancel = {"action": "slow_cancel", "on": "engine", "kind": "cancel", "until_ms": CALM_MS, "params": params}
    return [cancel, *(_mute(chance.integer(5_000, 40_000)) if chance.happens(0.5) else [])]


def _cut(chance: Chance) -> list[dict[str, Any]]:
    """All streams end in place of a word about an order or a fill."""
    kind = chance.pick(["order", "fill"])
    nth = sorted({chance.integer(1, 6) for _ in range(3)})
    return [{"action": "disconnect", "on": "ws", "kind": kind, "nth": nth, "until_ms": CALM_MS}]


def _double(chance: Chance) -> list[dict[str, Any]]:
    """Matches are partial, and words about them come twice, late or not at all: also after the end of their order."""
    late = {"action": "reorder", "params": {"ms": chance.integer(100, 3_000)}, "every": chance.integer(1, 2)}
    fills, orders = chance.pick([({"action": "duplicate", "every": 2}, late), (late, late), ({"action": "drop"}, late)])
    part = {"action": "partial_fill", "on": "engine", "kind": "match", "params": {"fraction": 0.4}}
    words = [{**fills, "on": "ws", "kind": "fill"}, {**orders, "on": "ws", "kind": "order"}]
    return [{**rule, "until_ms": CALM_MS} for rule in (part, *words)]


def _cancelled(chance: Chance) -> list[dict[str, Any]]:
    """An end is told with a count below the true one; the trade comes later, over the stream or in the history."""
    params = {"fraction": chance.pick([0.3, 0.6, 0.999]), "ms": chance.integer(200, 15_000)}
    late = {"action": "late_fill", "on": "http", "kind": "cancel", "nth": [chance.integer(1, 3)], "until_ms": CALM_MS}
    return [{**late, "params": params}]


def _replica(chance: Chance) -> list[dict[str, Any]]:
    """Readings come from replicas that learn of new orders late, and answers to orders are lost."""
    lost = {"action": chance.pick(["lose_reply", "error_after"]), "on": "http", "kind": "place"}
    params = {"ms": chance.integer(500, 4_900)}
    hidden = [
        {"action": "hide_new", "on": "http", "kind": kind, "params": params}
        for kind in ("order", "open_orders", "history", "fills")
    ]
    rules = [{**lost, "nth": [chance.integer(1, 3)]}, *hidden]
    return [{**rule, "until_ms": CALM_MS} for rule in rules] + _mute(chance.integer(2_000, 20_000))


def _closed(chance: Chance) -> list[dict[str, Any]]:
    """The private streams end, and the next logins are refused."""
    kind = chance.pick(["place", "cancel", "order"])
    first = chance.pick(["expire_login", "maintenance"])
    end = {"action": first, "on": "venue", "kind": kind, "nth": [chance.integer(1, 3)]}
    refused = {"action": "refuse_login", "on": "login", "after_ms": 1_500, "nth": [1, 2][: chance.integer(1, 2)]}
    return [{**rule, "until_ms": CALM_MS} for rule in (end, refused)]


def _not_ours(chance: Chance) -> list[dict[str, Any]]:
    """The venue closes a part of the position, or all of it, with orders of its own."""
    act = {"action": chance.pick(["liquidate", "deleverage"]), "on": "venue", "kind": "*"}
    params = {"fraction": chance.pick([0.3, 0.999])}
    return [{**act, "nth": sorted({chance.integer(1, 12)}), "until_ms": CALM_MS, "params": params}]


def _crossing(chance: Chance) -> list[dict[str, Any]]:
    """Post-only orders are acknowledged and then ended, and words come before the answers that they belong to."""
    late = {
        "action": "late_refusal",
        "on": "http",
        "kind": "place",
        "every": 2,
        "params": {"ms": chance.integer(1, 900)},
    }
    early = {"action": "early_fill", "on": "http", "kind": "place", "params": {"ms": chance.integer(1, 3_000)}}
    return [{**rule, "until_ms": CALM_MS} for rule in (late, early)]


def _mute(until_ms: int) -> list[dict[str, Any]]:
    """No word about orders or fills comes over the streams; the lines live."""
    return [{"action": "drop", "on": "ws", "kind": kind, "until_ms": until_ms} for kind in ("order", "fill")]


STORIES: Final = (
    *(_doubt, _late, _stale, _dark, _slow, _cut, _double),
    *(_cancelled, _replica, _closed, _not_ours, _crossing),
)
"""Faults that belong together, by what they are about."""


def _rule(chance: Chance) -> dict[str, Any]:
    action = chance.pick(sorted(ACTIONS))
    on = chance.pick(sorted(ACTIONS[action].strikes))
    kinds = ACTIONS[action].strikes[on]
    rule: dict[str, Any] = {"action": action, "on": on, "kind": chance.pick([*kinds, "*"])}
    # Trading requests and words about orders are what can lose money: struck more often than their share.
    hot = [kind for kind in ("place", "cancel", "order", "fill", "match") if kind in kinds]
    if hot and chance.happens(0.6):
        rule["kind"] = chance.pick(hot)
    # What the venue does to the whole account happens now and then, not at every request.
    how = 0 if on in ("venue", "login") else chance.integer(0, 3)
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
        case "slow_cancel":
            return {"ms": chance.integer(50, 8_000)}
        case "hide_new":
            return {"ms": chance.integer(100, 4_900)}
        case "late_ack" | "late_refusal":
            return {"ms": chance.integer(10, 4_000)}
        case "early_fill" | "late_fill":
            return {"fraction": round(chance.uniform(0.1, 0.99), 2), "ms": chance.integer(10, 9_000)}
        case "malformed":
            return {"shape": chance.pick(["bytes", "text", "json"])}
        case "gap":
            return {"count": chance.integer(2, 9)}
        case "expire_login":
            return {"ms": chance.integer(100, 5_000)}
        case "maintenance":
            return {"ms": chance.integer(500, 20_000)}
        case "withdraw":
            return {"ms": chance.integer(1_000, 20_000)}
        case "liquidate" | "deleverage":
            return {"fraction": chance.pick([0.2, 0.5, 0.999])}
        case "clock_jump":
            return {"by_ms": chance.pick([-1, 1]) * chance.integer(100, 30_000)}
        case "clock_drift":
            return {"ppm": chance.pick([-1, 1]) * chance.integer(1_000, 300_000), "ms": chance.integer(1_000, 30_000)}
        case "execute_late":
            late_ms = chance.integer(50, 8_000)
            return {"ms": late_ms, "breaks_ms": chance.integer(0, late_ms)} if chance.happens(0.5) else {"ms": late_ms}
        case "error_before" | "error_after":
            return {"status": chance.pick([500, 502, 503, 504])}
        case "rate_limit":
            return {"retry_after": chance.integer(1, 3)} if chance.happens(0.5) else {}
        case _:
            return {}
