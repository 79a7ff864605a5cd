"""
What every chart stands on: axes, grids, stairs, and the frame with its text alternative.

Inline SVG, built as text by these few functions. A plotting library would bring a script, fonts or a raster image, or
put colours into the picture that neither a dark page nor a printer can change; here every colour is a CSS class of the
page. Coordinates are computed in Decimal like the money they stand for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape
from typing import Final, NamedTuple, TypeVar

from markupsafe import Markup

from core.precision import plain
from reports.language import Tongue
from reports.text import visible

WIDTH: Final = 640
LEFT: Final = 92
RIGHT: Final = 14
_T = TypeVar("_T")
_TIME_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400)


class Chart(NamedTuple):
    """A picture, and what it shows in words: its text alternative and its whole place in the Markdown form."""

    svg: Markup
    words: str


class Axis(NamedTuple):
    """Values ``low``..``high`` laid on the pixels ``start``..``end``."""

    low: Decimal
    high: Decimal
    start: int
    end: int

    def at(self, value: Decimal | int) -> str:
        """The pixel of ``value``, with one decimal."""
        return f"{self.start + (value - self.low) * (self.end - self.start) / (self.high - self.low):.1f}"


def time_axis(first_ms: int, last_ms: int) -> Axis:
    """Unix milliseconds across the whole picture; at least a second."""
    return Axis(Decimal(first_ms), Decimal(max(last_ms, first_ms + 1000)), LEFT, WIDTH - RIGHT)


def value_axis(values: Sequence[Decimal], bottom: int, top: int) -> Axis:
    """From the least to the greatest value with some air around, never empty."""
    low, high = min(values), max(values)
    room = (high - low) * Decimal("0.08") or abs(high) / 1000 or Decimal(1)
    return Axis(low - room, high + room, bottom, top)


def title(words: str) -> str:
    """What a mark says when it is pointed at or read aloud."""
    return f"<title>{escape(visible(words, 160))}</title>"


def label(words: str, x: int, y: int, kind: str = "lane") -> str:
    """A name on the left of a lane, cut to fit."""
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="end">{escape(visible(words, 14))}</text>'


def stairs(points: Sequence[tuple[int, Decimal]], x: Axis, y: Axis, last_ms: int | None = None) -> str:
    """Points of a line that keeps each value until the next one, and the last until ``last_ms``."""
    drawn: list[str] = []
    level = ""
    for ms, value in points:
        at = x.at(ms)
        if level:
            drawn.append(f"{at},{level}")
        level = y.at(value)
        drawn.append(f"{at},{level}")
    if last_ms is not None and level:
        drawn.append(f"{x.at(last_ms)},{level}")
    return " ".join(drawn)


def thinned(rows: Sequence[_T], most: int) -> list[_T]:
    """At most ``most`` rows and the last one, evenly."""
    stride = -(-len(rows) // most) or 1
    return [*rows[:-1:stride], *rows[-1:]]


def value_grid(y: Axis, most: int = 4) -> str:
    """Level lines at round values, labelled on the left."""
    step = _round_step(y.high - y.low, most)
    tick, lines = (y.low / step).to_integral_value(rounding="ROUND_CEILING") * step, []
    for _ in range(8):
        if tick > y.high:
            break
        at = y.at(tick)
        lines.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>'
            f'<text x="{LEFT - 10}" y="{Decimal(at) + 4}" text-anchor="end">{_tick(tick, step)}</text>'
        )
        tick += step
    return f'<g class="grid">{"".join(lines)}</g>'


def measure_grid(x: Axis, top: int, bottom: int, unit: str) -> str:
    """Upright lines at round values, labelled below."""
    step = _round_step(x.high - x.low, 5)
    tick, lines = (x.low / step).to_integral_value(rounding="ROUND_CEILING") * step, []
    for _ in range(10):
        if tick > x.high:
            break
        at = x.at(tick)
        lines.append(
            f'<line x1="{at}" x2="{at}" y1="{top}" y2="{bottom}"/>'
            f'<text x="{at}" y="{bottom + 18}" text-anchor="middle">{_tick(tick, step)} {escape(unit)}</text>'
        )
        tick += step
    return f'<g class="grid">{"".join(lines)}</g>'


def time_grid(x: Axis, top: int, bottom: int, t: Tongue) -> str:
    """Upright lines at round times since the beginning."""
    secs = (x.high - x.low) / 1000
    step = next((step for step in _TIME_STEPS if step * 5 >= secs), int(secs / 5) + 1)
    lines = []
    for tick in range(0, int(secs) + 1, step):
        at = x.at(x.low + tick * 1000)
        said = f"{tick} {t.line('s')}" if step < 60 or tick == 0 else f"{plain(Decimal(tick) / 60)} {t.line('min')}"
        lines.append(
            f'<line x1="{at}" x2="{at}" y1="{top}" y2="{bottom}"/>'
            f'<text x="{at}" y="{bottom + 18}" text-anchor="middle">{said}</text>'
        )
    return f'<g class="grid">{"".join(lines)}</g>'


def _round_step(span: Decimal, most: int) -> Decimal:
    magnitude = Decimal(1).scaleb((span / most).adjusted())
    return next(magnitude * factor for factor in (1, 2, 5, 10) if magnitude * factor * most >= span * Decimal("0.9"))


def _tick(value: Decimal, step: Decimal) -> str:
    # Zero reached by counting up from below is a negative zero.
    text = f"{value or Decimal(0):.{max(0, -step.adjusted())}f}"
    return text if len(text) <= 10 else f"{value:.4E}"


def framed(key: str, name: str, words: str, height: int, parts: Iterable[str]) -> Chart:
    """The finished picture. ``key`` makes its ids unique on the page; ``words`` is its text alternative."""
    svg = Markup(  # noqa: S704 - every stranger's word in the parts went through escape()
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{key}-title {key}-desc">'
        f'<title id="{key}-title">{escape(visible(name, 160))}</title>'
        f'<desc id="{key}-desc">{escape(visible(words, 3000))}</desc>'
        f"{''.join(parts)}</svg>"
    )
    return Chart(svg, words)
