"""
A run without an outcome, told again from what it left: plan.json, events.jsonl and the timelines of its orders.

The result has an outcome's shape so that a report can be made of it, but it is never written as outcome.json: nothing
in it proves that nothing is open.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from core.clock import iso_utc
from core.seal import ORDERS
from execution.order import Order, replay
from execution.timeline import Timelines
from runner import story
from runner.environment import WrongInput
from runner.evidence import copy_timelines
from runner.outcome import (
    EXIT_CODES,
    Failure,
    Notice,
    OrderStory,
    Outcome,
    Play,
    ScenarioPlayed,
    StepDone,
    Verdict,
    to_json,
)

Row = Mapping[str, Any]


def retell(folder: Path, logged_orders: Path) -> bytes:
    """
    The bytes of an outcome for a run that has none. Timelines of its orders are copied into the folder on the way.

    Args:
        logged_orders: Where the timelines of all runs stand, ``logs/orders``.

    Raises:
        WrongInput: the folder holds no run that began.
    """
    plan = _plan(folder)
    events = list(_events(folder / "events.jsonl"))
    if not events:
        raise WrongInput([f"{folder}: this is a plan; nothing was played, so there is nothing to report."])
    run_id = str(events[0].get("run", folder.name))
    own = sorted((folder / ORDERS).glob("*.jsonl"))
    if not own:
        copy_timelines(folder, _timelines_of(run_id, logged_orders))
        own = sorted((folder / ORDERS).glob("*.jsonl"))
    orders = list(_orders(own))
    ends = [int(event["ts_ms"]) for event in events]
    started_ms, ended_ms = min(ends), max(ends)
    text = _text(folder / "scenario.yaml")
    return to_json(
        Outcome(
            run_id=run_id,
            started=iso_utc(started_ms),
            started_ms=started_ms,
            ended=iso_utc(ended_ms),
            ended_ms=ended_ms,
            duration_secs=(ended_ms - started_ms) / 1000,
            on=plan["on"],
            seed=plan["seed"],
            speed=plan["speed"],
            verdict="not_proven_flat",
            exit_code=EXIT_CODES["not_proven_flat"],
            sentence="The run did not end; nothing proves that nothing is open.",
            versions={"roundtrip": "not recorded", "python": "not recorded"},
            scenario=ScenarioPlayed(
                name=plan["scenario"], path=str(folder / "scenario.yaml"), sha256=plan["sha256"], text=text
            ),
            plan_hash=plan["plan_hash"],
            plays=tuple(_play(plan, venue, events, orders) for venue in plan["venues"]),
            not_tested=("Every acceptance line: the run did not end.",),
            errors=tuple(
                Notice(ts_ms=int(event["ts_ms"]), code=str(event["event"]).upper(), text=str(event.get("text", "")))
                for event in events
                if event["event"] in ("interrupted", "left", "failed")
            ),
        )
    )


def _plan(folder: Path) -> dict[str, Any]:
    try:
        plan = json.loads((folder / "plan.json").read_bytes())
        if not isinstance(plan, dict) or plan.get("schema") != "roundtrip/plan/1":
            raise ValueError("it is no plan of this version")
    except FileNotFoundError:
        raise WrongInput([f"{folder} is no run: it has neither outcome.json nor plan.json."]) from None
    except (OSError, ValueError, RecursionError) as error:
        raise WrongInput([f"{folder / 'plan.json'}: the file cannot be read: {error}."]) from error
    return plan


def _events(path: Path) -> Iterator[dict[str, Any]]:
    """Every whole line; the last one may have been cut off with the process."""
    if not path.is_file():
        return
    with path.open("rb") as lines:
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and isinstance(event.get("ts_ms"), int) and "event" in event:
                yield event


def _timelines_of(run_id: str, folder: Path) -> Iterator[Path]:
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as lines:
            try:
                leg = str(json.loads(lines.readline())["data"]["leg"])
            except (ValueError, LookupError, TypeError):
                continue
        if leg.startswith(f"{run_id}/"):
            yield path


def _orders(paths: Sequence[Path]) -> Iterator[tuple[Order, str]]:
    for path in paths:
        with path.open("rb") as lines:
            try:
                yield replay(lines), path.name
            except ValueError:
                # Cut off within its first line: the order never left.
                continue


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _play(plan: Row, venue: str, events: Sequence[Row], orders: Sequence[tuple[Order, str]]) -> Play:
    own = [event for event in events if event.get("venue") == venue]
    ended = next((event for event in own if event["event"] == "ended"), None)
    ready = next((event for event in own if event["event"] == "ready"), {})
    verdict: Verdict = "not_proven_flat" if ended is None else ended["verdict"]
    told = [(order, name) for order, name in orders if order.intent.venue == venue]
    return Play(
        venue=venue,
        market=plan["market"],
        symbol=plan["symbol"],
        venue_symbol=str(ready.get("venue_symbol", "")),
        side=plan["side"],
        size=plan["size"],
        verdict=verdict,
        sentence=f"{venue} is NOT proven flat: the run did not end" if ended is None else str(ended["text"]),
        error=(
            None
            if ended is not None
            else Failure(code="UNFINISHED", message="The run did not end.", next_move="Run `runner recover`.")
        ),
        steps=tuple(_steps(own)),
        orders=tuple(_story(order, name) for order, name in told),
        fees=story.tell_fees(order for order, _ in told),
    )


def _story(order: Order, name: str) -> OrderStory:
    return msgspec.structs.replace(story.tell_order(order, Timelines(None)), timeline_file=name)


def _steps(events: Sequence[Row]) -> Iterator[StepDone]:
    for event in events:
        if event["event"] != "step":
            continue
        place = (event["phase"], event["index"])
        end = next((e for e in events if e["event"] == "step_ended" and (e["phase"], e["index"]) == place), None)
        yield StepDone(
            index=event["index"],
            phase=event["phase"],
            verb=event["verb"],
            words=event["words"],
            status="interrupted" if end is None else end["status"],
            started_ms=event["ts_ms"],
            ended_ms=None if end is None else end["ts_ms"],
            detail="" if end is None else end["text"],
        )
