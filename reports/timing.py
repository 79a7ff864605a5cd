"""How fast and how even: latencies and interval errors, read off the orders' own stories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from reports.drawing import LEFT, RIGHT, WIDTH, Axis, Chart, framed, label, measure_grid, title
from reports.language import Tongue
from reports.text import rounded
from schemas.figures import ack_ms, cancel_ms, quantile

Row = Mapping[str, Any]

_MOST_DOTS: Final = 160
_LANE: Final = 24


class Spread(NamedTuple):
    """One measure at one venue, in milliseconds as texts with at most one decimal."""

    venue: str
    values: tuple[Decimal, ...]
    """Sorted, never empty."""

    @property
    def measured(self) -> int:
        return len(self.values)

    @property
    def least(self) -> str:
        return _said(self.values[0])

    @property
    def median(self) -> str:
        return _said(quantile(self.values, 50))

    @property
    def ninth(self) -> str:
        return _said(quantile(self.values, 90))

    @property
    def most(self) -> str:
        return _said(self.values[-1])


class Measure(NamedTuple):
    """One thing that was timed, at every venue where it was."""

    key: str
    title: str
    meaning: str
    rows: tuple[Spread, ...]


def measures(plays: Sequence[Row]) -> tuple[Measure, ...]:
    """Submit to acknowledgement, cancel to acknowledgement, age of the engine's news, error of the intervals."""
    return tuple(
        Measure(key, name, meaning, tuple(_spreads(plays, read)))
        for key, name, meaning, read in (
            (
                "ack",
                "Submit to acknowledgement",
                "From the moment an order was sent to the moment its acceptance was known.",
                ack_ms,
            ),
            (
                "cancel",
                "Cancel to acknowledgement",
                "From the moment a cancel was asked for to the moment it was confirmed.",
                cancel_ms,
            ),
            (
                "lag",
                "Age of news",
                "Between the exchange's own time of an event and its arrival here; the offset of both clocks is in it.",
                _lag_ms,
            ),
            (
                "interval",
                "Interval error",
                "Measured interval of a tracking limit minus the wanted one.",
                _interval_ms,
            ),
        )
    )


def _spreads(plays: Sequence[Row], read: Any) -> Iterable[Spread]:
    for play in plays:
        values = sorted(read(play))
        if values:
            yield Spread(play["venue"], tuple(values))


def _lag_ms(play: Row) -> Iterable[Decimal]:
    for order in play["orders"]:
        seen: set[int] = set()
        for entry in order["history"]:
            # Only the first news of an engine event: a later look-up tells its age, not the stream's.
            if entry["engine_us"] and entry["source"] == "ws" and entry["engine_us"] not in seen:
                yield entry["ts_ms"] - Decimal(entry["engine_us"]) / 1000
            seen.add(entry["engine_us"])


def _interval_ms(play: Row) -> Iterable[Decimal]:
    for one in play["tracking"]:
        for error in one["interval_errors_ms"]:
            yield Decimal(str(error))


def _said(value: Decimal) -> str:
    return rounded(f"{value:f}", 1) or ""


def spread_chart(measure: Measure, key: str, t: Tongue) -> Chart | None:
    """A lane of dots for every venue, one dot a measurement, an upright line at the median. None: nothing measured."""
    if not measure.rows:
        return None
    every = [value for row in measure.rows for value in row.values]
    low, high = min(Decimal(0), *every), max(Decimal(1), *every)
    room = (high - low) * Decimal("0.04")
    x = Axis(low - (room if low else 0), high + room, LEFT, WIDTH - RIGHT)
    top, bottom = 4, 4 + _LANE * len(measure.rows)
    parts = [measure_grid(x, top, bottom, t.line("ms"))]
    for number, row in enumerate(measure.rows):
        middle = top + _LANE * number + _LANE // 2
        shown = row.values if row.measured <= _MOST_DOTS else _spaced(row.values)
        dots = "".join(f'<circle cx="{x.at(value)}" cy="0" r="4"/>' for value in shown)
        at = x.at(quantile(row.values, 50))
        said = t.line("{venue}: median {median} ms", venue=row.venue, median=row.median)
        parts.append(
            f'{label(row.venue, LEFT - 10, middle + 4)}<g class="dots" transform="translate(0 {middle})">{dots}'
            f'<line x1="{at}" x2="{at}" y1="-9" y2="9">{title(said)}</line></g>'
        )
    words = " ".join(
        t.line(
            "{venue}: {n}, median {median} ms, most {most} ms.",
            venue=row.venue,
            n=t.counted(row.measured, "measurement"),
            median=row.median,
            most=row.most,
        )
        for row in measure.rows
    )
    return framed(f"{key}-{measure.key}", t.line(measure.title), words, bottom + 26, parts)


def _spaced(values: Sequence[Decimal]) -> list[Decimal]:
    """As many as can be drawn, evenly by rank, both ends included."""
    last = len(values) - 1
    return [values[last * step // (_MOST_DOTS - 1)] for step in range(_MOST_DOTS)]
