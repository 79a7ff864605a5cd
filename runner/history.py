"""The runs of this machine: a table of them, and what changed from one to another."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from core.clock import iso_utc
from core.seal import Folder, SealError, read_json, read_seal
from schemas.figures import ack_ms, attempts, cancel_ms, median, slippage_bps

Row = Mapping[str, Any]
_UNKNOWN = "–"


class Run(NamedTuple):
    """One line of ``runner runs``, as texts."""

    when: str
    run: str
    scenario: str
    venues: str
    on: str
    verdict: str
    signed_by: str


def runs_in(runs_dir: Path) -> list[Run]:
    """Every run folder, oldest first; a folder without outcome is shown as unfinished, one without events as a plan."""
    return sorted(_runs(runs_dir), key=lambda run: (run.when, run.run))


def _runs(runs_dir: Path) -> Iterator[Run]:
    for folder in runs_dir.glob("*"):
        files = Folder(folder)
        plan = read_json(files.read("plan.json")) if folder.is_dir() else None
        if not isinstance(plan, dict):
            continue
        outcome = read_json(files.read("outcome.json"))
        first = read_json((files.read("events.jsonl") or b"").partition(b"\n")[0])
        if isinstance(outcome, dict) and "verdict" in outcome:
            verdict, started_ms = str(outcome["verdict"]).replace("_", " "), outcome.get("started_ms")
        elif isinstance(first, dict):
            verdict, started_ms = "unfinished", first.get("ts_ms")
        else:
            verdict, started_ms = "only planned", None
        yield Run(
            when=f"{iso_utc(started_ms)[:19].replace('T', ' ')} UTC" if isinstance(started_ms, int) else _UNKNOWN,
            run=folder.name,
            scenario=str(plan.get("scenario", _UNKNOWN)),
            venues=",".join(map(str, plan.get("venues", ()))) or _UNKNOWN,
            on=str(plan.get("on", _UNKNOWN)),
            verdict=verdict,
            signed_by=_signed_by(files),
        )


def _signed_by(files: Folder) -> str:
    try:
        seal = read_seal(files)
    except SealError:
        return "unreadable seal"
    if seal is None or not seal.signatures:
        return _UNKNOWN
    if seal.change or any(one.fault for one in seal.signatures):
        return "BROKEN SEAL"
    return ", ".join(f"{one.statement.name} ({one.statement.decision})" for one in seal.signatures)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest text; control characters are shown, not obeyed."""
    shown = [heads, *([_seen(text) for text in row] for row in rows)]
    widths = [max(len(row[column]) for row in shown) for column in range(len(heads))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in shown]
    return "\n".join(lines) + "\n"


def _seen(text: str) -> str:
    return "".join(char if char.isprintable() else "·" for char in text)


def runs_table(runs: Sequence[Run]) -> str:
    """For people: when, run, scenario, venues, on, verdict, signed by."""
    return table(("WHEN", "RUN", "SCENARIO", "VENUES", "ON", "VERDICT", "SIGNED BY"), runs)


def runs_json(runs: Sequence[Run]) -> str:
    """For programs: a JSON array, one object a run."""
    return json.dumps([run._asdict() for run in runs], indent=2, ensure_ascii=False) + "\n"


def comparison(one: Row, two: Row) -> str:
    """What changed from outcome ``one`` to outcome ``two``: verdicts, attempts, slippage, latency, acceptance."""
    rows = [_changed("run", "verdict", one["verdict"], two["verdict"])]
    rows += _facts("run", [("duration, s", one["duration_secs"], two["duration_secs"])])
    plays = [{play["venue"]: play for play in outcome["plays"]} for outcome in (one, two)]
    for venue in dict.fromkeys([*plays[0], *plays[1]]):
        before, after = (_figures(side.get(venue)) for side in plays)
        rows += _facts(venue, [(name, before[name], after[name]) for name in before])
    lines = [
        {(line["venue"] or "run", line["criterion"]): line["verdict"] for line in outcome["acceptance"]}
        for outcome in (one, two)
    ]
    for place, criterion in dict.fromkeys([*lines[0], *lines[1]]):
        verdicts = (side.get((place, criterion), _UNKNOWN) for side in lines)
        rows.append(_changed(place, criterion, *verdicts))
    head = f"{one['run_id']}  →  {two['run_id']}\n"
    if one["plan_hash"] != two["plan_hash"]:
        head += "The plans differ: these runs did not play the same thing.\n"
    if one["on"] != two["on"]:
        head += f"The places differ: {one['on']} and {two['on']}.\n"
    return _seen_lines(head) + table(("", "WHERE", "WHAT", "FIRST", "SECOND"), rows)


def _seen_lines(text: str) -> str:
    return "\n".join(_seen(line) for line in text.split("\n"))


def _figures(play: Row | None) -> dict[str, Any]:
    if play is None:
        return dict.fromkeys(_FIGURES)
    return {
        "verdict": play["verdict"],
        "orders": len(play["orders"]),
        "attempts": attempts([play]),
        "slippage, bp": slippage_bps([play]),
        "submit to ack, ms": median(ack_ms(play)),
        "cancel to ack, ms": median(cancel_ms(play)),
        "fees": ", ".join(f"{paid} {asset}" for asset, paid in play["fees"].items()) or "none",
        "flat": {True: "yes", False: "NO", None: "not proven"}[play["position"]["flat"]],
    }


_FIGURES = ("verdict", "orders", "attempts", "slippage, bp", "submit to ack, ms", "cancel to ack, ms", "fees", "flat")


def _facts(where: str, facts: Sequence[tuple[str, Any, Any]]) -> list[tuple[str, ...]]:
    return [_changed(where, name, first, second) for name, first, second in facts]


def _changed(where: str, what: str, first: Any, second: Any) -> tuple[str, ...]:
    texts = [_UNKNOWN if value is None else str(value) for value in (first, second)]
    return ("≠" if texts[0] != texts[1] else "", where, what, *texts)
