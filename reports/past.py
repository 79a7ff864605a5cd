"""Earlier runs of the same scenario on the same kind of place, found beside a run: a table and two trend lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any, Final

from reports.drawing import LEFT, RIGHT, WIDTH, Axis, Chart, framed, title, value_axis, value_grid
from reports.language import Tongue
from schemas.figures import ack_ms, attempts, median, slippage_bps

Row = Mapping[str, Any]

MOST_RUNS: Final = 20
_LARGEST: Final = 32 * 1024 * 1024


def measured(outcome: Row) -> dict[str, Any]:
    """One row of the table: run_id, started_ms, verdict, attempts, slippage_bps and ack_ms (texts, or None)."""
    plays = outcome["plays"]
    slippage, ack = slippage_bps(plays), median(value for play in plays for value in ack_ms(play))
    return {
        "run_id": outcome["run_id"],
        "started_ms": outcome["started_ms"],
        "verdict": outcome["verdict"],
        "attempts": attempts(plays),
        "slippage_bps": None if slippage is None else f"{slippage:f}",
        "ack_ms": None if ack is None else f"{ack:f}",
    }


def past_of(run_dir: Path, outcome: Row) -> Sequence[Row]:
    """The last twenty such runs up to this one, oldest first; empty when this is the first."""
    rows = [measured(outcome)]
    for path in run_dir.resolve().parent.glob("*/outcome.json"):
        try:
            if path.parent.name == run_dir.resolve().name or path.stat().st_size > _LARGEST:
                continue
            other = json.loads(path.read_bytes())
            same = (other["scenario"]["name"], other["on"]) == (outcome["scenario"]["name"], outcome["on"])
            if same and other["started_ms"] <= outcome["started_ms"] and other["run_id"] != outcome["run_id"]:
                rows.append(measured(other))
        except (OSError, ValueError, ArithmeticError, LookupError, TypeError, RecursionError):
            # A neighbour that is no sound outcome says nothing about this run.
            continue
    rows.sort(key=lambda row: (row["started_ms"], str(row["run_id"])))
    return rows[-MOST_RUNS:] if len(rows) > 1 else []


def trend_chart(past: Sequence[Row], fact: str, name: str, key: str, t: Tongue) -> Chart | None:
    """One point a run, in order of time. None: fewer than two runs have the number."""
    known = [(number, row) for number, row in enumerate(past) if row[fact] is not None]
    if len(known) < 2:
        return None
    with localcontext(prec=200):
        top, bottom = 8, 92
        values = [Decimal(row[fact]) for _, row in known]
        y = value_axis(values, bottom, top)
        x = Axis(Decimal(-1), Decimal(len(past)), LEFT, WIDTH - RIGHT)
        points = [(x.at(number), y.at(value)) for (number, _), value in zip(known, values, strict=True)]
        line = " ".join(f"{px},{py}" for px, py in points)
        dots = "".join(
            f'<circle class="{"fill" if row["verdict"] == "accepted" else "miss"}" cx="{px}" cy="{py}" r="4.5">'
            + title(f"{row['run_id']}: {row[fact]}")
            + "</circle>"
            for (px, py), (_, row) in zip(points, known, strict=True)
        )
        words = t.line(
            "{n}: {first} at first, {last} at last, between {low} and {high}.",
            n=t.counted(len(known), "run"),
            first=values[0],
            last=values[-1],
            low=min(values),
            high=max(values),
        )
        parts = [value_grid(y, 3), f'<polyline class="course" points="{line}"/>', dots]
        return framed(f"{key}-{fact}", t.line(name), words, bottom + 10, parts)
