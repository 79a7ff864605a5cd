"""``runner plan``: what a run would do, for people. Nothing is executed to tell it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from typing import Final

from core.precision import plain, unscaled
from core.secrets import VAULT
from core.words import counted
from execution.caps import Caps
from runner.estimate import Estimate, Opening, estimate
from runner.mistakes import printable
from runner.plan import CLEANUP_SECS, STEP_OVERHEAD_SECS, Plan, longest_secs, own_secs
from runner.scenario import InputValue, Scenario, StepCall
from runner.values import show_secs

_WIDTH: Final = 100
_CLOSING: Final = frozenset({"market_close", "flatten", "assert_flat"})
_WHERE: Final = {
    "sim": "simulators on this machine; no key, no money",
    "testnet": "the exchanges' test networks",
    "live": "the exchanges themselves, REAL MONEY",
}
_STANDING: Final = {
    False: "It does not begin on an account with open orders or a perp position in this market.",
    True: "--adopt: open orders in this market are cancelled first, a perp position is closed with its own.",
}
_ACCEPT: Final = {
    "flat": "nothing is open at the end",
    "no_unhandled_errors": "no error is left unhandled",
    "logs_complete": "every order has its whole story in the logs",
}


@dataclass(frozen=True, slots=True)
class Told:
    """The page, and whether an exchange cannot play this plan."""

    text: str
    unplayable: bool


def plan_page(plan: Plan, caps: Caps, *, adopt: bool = False) -> Told:
    """
    A plan for people. ``adopt`` is a run's leave to begin on open orders and a position.

    On simulators sizes are read from them, in memory; for an exchange they are read when a run connects.
    """
    scenario = plan.scenario
    groups = open_at_once(scenario.steps)
    openings = list(dict.fromkeys(opening for group in groups for opening in group))
    estimates = estimate(plan, openings) if plan.on == "sim" else {}
    lines = [
        f"NOT EXECUTED: the plan of {scenario.name}. Nothing was sent.",
        "",
        f"  {scenario.title}",
        f"  file     {scenario.path}",
        f"  where    {plan.on}: {_WHERE[plan.on]}",
        f"  seed     {plan.seed}",
    ]
    if plan.speed != 1:
        lines.append(f"  speed    {plan.speed:g}: waits are so many times shorter")
    lines += ["", *_matrix(plan, groups, estimates, caps), *_wrapped(f"  {_STANDING[adopt]}", 2), ""]
    lines += _inputs(scenario)
    lines += [f"steps, on each of {counted(len(plan.venues), 'exchange')}" if len(plan.venues) > 1 else "steps"]
    lines += _steps(scenario.steps)
    lines += ["", "cleanup, whatever happened before, Ctrl-C included", *_steps(scenario.finally_)]
    lines += _wrapped(
        "     Then position and open orders are read from the exchange; only that reading counts as flat.", 5
    )
    lines += ["", *_accepted(scenario), *_longest(plan), f"plan hash {plan.hash}", "NOT EXECUTED."]
    text = "\n".join(VAULT.mask(printable(line)) for line in lines) + "\n"
    return Told(text, any(found.fault for found in estimates.values()))


def open_at_once(steps: Sequence[StepCall]) -> list[tuple[Opening, ...]]:
    """The openings of one side that may be held together: all since the last step after which nothing is open."""
    groups: list[tuple[Opening, ...]] = []
    open_now: dict[str, list[Opening]] = {}

    def end_group() -> None:
        groups.extend(tuple(group) for group in open_now.values())
        open_now.clear()

    for call in steps:
        if call.verb.endswith("_open"):
            side = str(call.settings["side"])
            open_now.setdefault(side, []).append((side, call.settings["size"]))
        elif call.verb in _CLOSING or (call.verb == "tracking_close" and call.settings["require_filled"]):
            end_group()
    end_group()
    return list(dict.fromkeys(groups))


# -- the matrix


def _matrix(
    plan: Plan, groups: Sequence[tuple[Opening, ...]], estimates: Mapping[str, Estimate], caps: Caps
) -> list[str]:
    scenario = plan.scenario
    rows = [("exchange", "market", "side", "size", "largest exposure")]
    notes = []
    for venue in plan.venues:
        found = estimates.get(venue)
        if found is not None and found.fault:
            exposure = "cannot be played"
            notes.append(f"{venue} cannot play this: {found.fault}.")
        else:
            exposure = _largest(groups, scenario.symbol, found)
        rows.append((venue, f"{scenario.symbol} {scenario.market}", scenario.side, str(scenario.size), exposure))
    widths = [max(len(row[at]) for row in rows) for at in range(4)]
    table = ["  " + "   ".join([*(f"{row[at]:{widths[at]}}" for at in range(4)), row[4]]).rstrip() for row in rows]
    if estimates and not notes:
        notes.append("Sizes and prices are those of the simulators at their start.")
    elif not estimates:
        notes.append("Smallest sizes and prices are read when a run connects.")
    strategies = [str(call.settings["name"]) for call in scenario.steps if call.verb == "run_strategy"]
    if strategies:
        own = " and ".join(dict.fromkeys(strategies))
        notes.append(f"What the strategy {own} opens comes on top; its own settings decide, and the caps bound it.")
    bounds = {
        "an order": caps.order_notional_usd,
        "an exchange's part of the run": caps.play_notional_usd,
        "all orders of the run together": caps.total_notional_usd,
        "an account's UTC day over all runs": caps.day_notional_usd,
        "the net position over all exchanges": caps.net_exposure_usd,
    }
    asked = [f"{plain(limit)} USD for {what}" for what, limit in bounds.items() if limit is not None]
    notes.append(f"Caps: {', '.join(asked)}." if asked else "Caps: none.")
    if caps.price_band_bps is not None:
        notes.append(f"An order priced more than {unscaled(caps.price_band_bps, 2)} % away from the book is refused.")
    return [*table, *(line for note in notes for line in _wrapped(f"  {note}", 2))]


def _largest(groups: Sequence[tuple[Opening, ...]], symbol: str, found: Estimate | None) -> str:
    """The most that may be held at once, in base units and USD."""
    if not groups:
        return "nothing by its steps"
    if found is not None:
        sums = [(sum((found.worth[o].usd for o in group), Decimal(0)), group) for group in groups]
        usd, group = max(sums, key=lambda row: row[0])
        base = sum((found.worth[o].base for o in group), Decimal(0))
        return f"{plain(base)} {symbol}, about {usd.quantize(Decimal('0.01'), ROUND_UP)} USD"
    return " or ".join(dict.fromkeys(_unread(group, symbol) for group in groups))


def _unread(group: Sequence[Opening], symbol: str) -> str:
    sizes = [size for _, size in group]
    parts = []
    least = sum(size.kind == "min" for size in sizes)
    if least:
        parts.append("the exchange's smallest size" + (f" x {least}" if least > 1 else ""))
    for kind, unit in (("base", symbol), ("usd", "USD")):
        total = sum((size.value for size in sizes if size.kind == kind and size.value is not None), Decimal(0))
        if total:
            parts.append(f"{plain(total)} {unit}")
    return " + ".join(parts)


# -- the rest


def _inputs(scenario: Scenario) -> list[str]:
    if not scenario.inputs:
        return []
    values = scenario.inputs.values()
    shown = {value.name: f"{value.name} = {value.text}" for value in values}
    width = max(map(len, shown.values()))
    rows = [f"  {shown[value.name]:{width}}   {_origin(value)}" for value in values]
    return ["inputs", *rows, ""]


def _origin(value: InputValue) -> str:
    words = {"default": "the scenario's default", "environment": f"from the environment, {value.place}"}
    told = words.get(value.origin) or f"from {value.origin}" + (f", {value.place}" if value.place else "")
    return f"{told}; {value.description}" if value.description else told


def _steps(calls: Sequence[StepCall]) -> list[str]:
    lines: list[str] = []
    for number, call in enumerate(calls, 1):
        lines += _wrapped(f"  {number}. {call.words}", 5)
    return lines


def _accepted(scenario: Scenario) -> list[str]:
    accept = scenario.accept
    asked = [words for name, words in _ACCEPT.items() if getattr(accept, name)]
    if accept.round_trip_at_least is not None:
        asked.append(
            f"the position went away from flat and back at least {counted(accept.round_trip_at_least, 'time')}"
        )
    if accept.heartbeat_max_gap_secs is not None:
        asked.append(f"no heartbeat came more than {show_secs(accept.heartbeat_max_gap_secs)} after the one before")
    if not asked:
        return ["accepted when every step passes and flat is proven", ""]
    return ["accepted when every step passes, flat is proven, and", *(f"  - {words}" for words in asked), ""]


def _longest(plan: Plan) -> list[str]:
    calls = (*plan.scenario.steps, *plan.scenario.finally_)
    answered = sum(own_secs(call) / plan.speed + STEP_OVERHEAD_SECS for call in calls)
    hanging = sum(longest_secs(call) / plan.speed + CLEANUP_SECS for call in plan.scenario.steps) + CLEANUP_SECS
    return _wrapped(
        f"longest time {_minutes(answered)}; {_minutes(hanging)} if the exchange hangs in every single step", 2
    )


def _minutes(secs: float) -> str:
    whole = int(-(-secs // 1))
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent=" " * indent, break_long_words=False)
