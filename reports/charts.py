"""
Two charts of a play as inline SVG: prices over time, and lanes of what happened when.

Plain text building, no library: the page carries no script and asks the network for nothing. Colours are CSS classes
of the page, so light, dark and print follow it. Coordinates are computed in Decimal like the money they stand for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, localcontext
from html import escape
from typing import Any, Final, NamedTuple

from markupsafe import Markup

from core.clock import iso_utc
from core.precision import plain
from reports.text import visible

Row = Mapping[str, Any]

WIDTH: Final = 640
LEFT: Final = 84
RIGHT: Final = 14
MOST_QUOTES: Final = 240
"""Samples drawn at most; more are thinned out evenly."""
_TERMINAL: Final = frozenset({"FILLED", "CANCELLED", "FAILED"})
_TIME_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400)


class Axis(NamedTuple):
    """Values ``low``..``high`` laid on the pixels ``start``..``end``."""

    low: Decimal
    high: Decimal
    start: int
    end: int

    def at(self, value: Decimal | int) -> str:
        """The pixel of ``value``, with one decimal."""
        return f"{self.start + (value - self.low) * (self.end - self.start) / (self.high - self.low):.1f}"


def price_chart(play: Row, key: str) -> Markup | None:
    """Best bid and ask, the prices our orders rested at, and the fills. ``key`` makes ids unique; None: no price."""
    # An outcome's numbers may have 80 digits; differences of them must not round to nothing.
    with localcontext(prec=200):
        return _price_chart(play, key)


def _price_chart(play: Row, key: str) -> Markup | None:
    quotes = _thinned(play["quotes"])
    orders = [order for order in play["orders"] if order["price"] is not None and _born(order) is not None]
    fills = [(order, fill) for order in play["orders"] for fill in order["fills"]]
    prices = [Decimal(quote[side]) for quote in quotes for side in ("bid", "ask") if quote[side] is not None]
    prices += [Decimal(order["price"]) for order in orders] + [Decimal(fill["price"]) for _, fill in fills]
    times = _times(play)
    if not prices or times is None:
        return None
    low, high = min(prices), max(prices)
    room = (high - low) * Decimal("0.08") or abs(high) / 1000 or Decimal(1)
    top, bottom = 10, 214
    x = Axis(Decimal(times[0]), Decimal(times[1]), LEFT, WIDTH - RIGHT)
    y = Axis(low - room, high + room, bottom, top)
    parts = [_price_grid(y), _time_grid(x, top, bottom), *_quote_band(quotes, x, y)]
    for order in orders:
        start, end = x.at(_born(order) or 0), x.at(max(_died(order, times[1]), _born(order) or 0))
        level = y.at(Decimal(order["price"]))
        parts.append(
            f'<g class="order">{_title(_order_words(order))}<line x1="{start}" x2="{end}" y1="{level}" y2="{level}"/>'
            f'<circle cx="{start}" cy="{level}" r="2.5"/></g>'
        )
    for order, fill in fills:
        px, py, lift = x.at(fill["ts_ms"]), y.at(Decimal(fill["price"])), -1 if order["side"] == "buy" else 1
        words = f"{order['side']} {fill['size']} filled at {fill['price']}, {iso_utc(fill['ts_ms'])[11:23]}"
        parts.append(
            f'<path class="fill" transform="translate({px} {py})" d="M0 {6 * lift}L6 {-5 * lift}H-6Z">'
            f"{_title(words)}</path>"
        )
    desc = (
        f"{len(play['quotes'])} samples of bid and ask, {len(orders)} resting orders and {len(fills)} fills "
        f"between {plain(low)} and {plain(high)}, from {iso_utc(times[0])} to {iso_utc(times[1])}."
    )
    return _svg(f"{key}-prices", f"Prices at {_name(play)}", desc, bottom + 28, parts)


def lanes_chart(play: Row, key: str) -> Markup | None:
    """Steps, orders, fills, cancels and lost streams, one lane each, on the time axis of the price chart."""
    times = _times(play)
    if times is None:
        return None
    x = Axis(Decimal(times[0]), Decimal(times[1]), LEFT, WIDTH - RIGHT)
    steps = [step for step in play["steps"] if step["started_ms"] is not None]
    born = [order for order in play["orders"] if _born(order) is not None]
    fills = [(order, fill) for order in play["orders"] for fill in order["fills"]]
    cancels = [(order, order["cancel_ack_ms"]) for order in play["orders"] if order["cancel_ack_ms"] is not None]
    breaks = play["connection"]["reconnects"]
    lanes: list[tuple[str, list[str]]] = [
        ("Steps", [_step_bar(step, x, times[1]) for step in steps]),
        ("Orders", [_bar("order", _order_words(o), x, _born(o) or 0, _died(o, times[1])) for o in born]),
        ("Fills", [_dot(f"{o['side']} {f['size']} at {f['price']}", x, f["ts_ms"]) for o, f in fills]),
        ("Cancels", [_cross(f"order {order['client_id']} cancelled", x, ms) for order, ms in cancels]),
        ("Stream", [_bar("bad", f"lost: {b['why']}", x, b["lost_ms"], b["synced_ms"] or times[1]) for b in breaks]),
    ]
    if not breaks:
        lanes[-1] = ("Stream", [_bar("quiet", "up all the time", x, times[0], times[1])])
    height = 26
    bottom = 8 + height * len(lanes)
    parts = [_time_grid(x, 8, bottom)]
    for index, (name, marks) in enumerate(lanes):
        middle = 8 + height * index + height // 2
        parts.append(
            f'<text class="lane" x="{LEFT - 10}" y="{middle + 4}" text-anchor="end">{name}</text>'
            f'<g transform="translate(0 {middle})">{"".join(marks)}</g>'
        )
    desc = (
        f"{len(steps)} steps, {len(born)} orders, {len(fills)} fills, {len(cancels)} cancels and "
        f"{len(breaks)} breaks of the stream, from {iso_utc(times[0])} to {iso_utc(times[1])}."
    )
    return _svg(f"{key}-lanes", f"What happened when at {_name(play)}", desc, bottom + 28, parts)


# -- time and life


def _times(play: Row) -> tuple[int, int] | None:
    """First and last moment of the play, in Unix milliseconds, at least a second apart."""
    seen = [quote["ts_ms"] for quote in play["quotes"]]
    for step in play["steps"]:
        seen += [ms for ms in (step["started_ms"], step["ended_ms"]) if ms is not None]
    for order in play["orders"]:
        seen += [ms for ms in (order["sent_ms"], order["ack_ms"], order["cancel_ack_ms"]) if ms is not None]
        seen += [entry["ts_ms"] for entry in (*order["history"], *order["fills"])]
    for gap in play["connection"]["reconnects"]:
        seen += [ms for ms in (gap["lost_ms"], gap["synced_ms"]) if ms is not None]
    return (min(seen), max(max(seen), min(seen) + 1000)) if seen else None


def _born(order: Row) -> int | None:
    if order["sent_ms"] is not None:
        return int(order["sent_ms"])
    return int(order["history"][0]["ts_ms"]) if order["history"] else None


def _died(order: Row, last_ms: int) -> int:
    ends = [entry["ts_ms"] for entry in order["history"] if entry["to"] in _TERMINAL]
    return int(ends[0]) if ends else last_ms


def _thinned(quotes: Sequence[Row]) -> list[Row]:
    stride = -(-len(quotes) // MOST_QUOTES) or 1
    return [*quotes[::stride], *quotes[-1:]]


# -- marks


def _order_words(order: Row) -> str:
    price = f"at {order['price']}" if order["price"] is not None else "at market"
    return f"Order {order['client_id']}: {order['side']} {order['size']} {price}, {order['state']}"


def _name(play: Row) -> str:
    return f"{play['venue']}, {play['symbol']} {play['market']}"


def _title(words: str) -> str:
    return f"<title>{escape(visible(words, 160))}</title>"


def _bar(kind: str, words: str, x: Axis, start_ms: int, end_ms: int) -> str:
    start = Decimal(x.at(start_ms))
    width = max(Decimal(x.at(max(end_ms, start_ms))) - start, Decimal(3))
    return f'<rect class="{kind}" x="{start}" y="-8" width="{width}" height="16" rx="3">{_title(words)}</rect>'


def _step_bar(step: Row, x: Axis, last_ms: int) -> str:
    start_ms, end_ms = step["started_ms"], step["ended_ms"] or last_ms
    kind = {"passed": "step", "skipped": "quiet"}.get(step["status"], "bad")
    bar = _bar(kind, f"{step['verb']}: {step['status']}. {step['words']}", x, start_ms, end_ms)
    verb = visible(step["verb"], 40)
    start, room = Decimal(x.at(start_ms)), Decimal(x.at(max(end_ms, start_ms))) - Decimal(x.at(start_ms))
    if room < len(verb) * 7 + 8:
        return bar
    return f'{bar}<text class="within" x="{start + 6}" y="4">{escape(verb)}</text>'


def _dot(words: str, x: Axis, ms: int) -> str:
    return f'<circle class="fill" cx="{x.at(ms)}" cy="0" r="5">{_title(words)}</circle>'


def _cross(words: str, x: Axis, ms: int) -> str:
    return f'<path class="cancel" transform="translate({x.at(ms)} 0)" d="M-4 -4L4 4M-4 4L4 -4">{_title(words)}</path>'


def _quote_band(quotes: Iterable[Row], x: Axis, y: Axis) -> list[str]:
    """A band from bid to ask for every stretch in which both sides were there, and a line for each side."""
    stretches: list[list[Row]] = [[]]
    for quote in quotes:
        if quote["bid"] is None or quote["ask"] is None:
            stretches.append([])
        else:
            stretches[-1].append(quote)
    parts = []
    for stretch in filter(None, stretches):
        bids, asks = _stairs(stretch, "bid", x, y), _stairs(stretch, "ask", x, y)
        back = " ".join(reversed(bids.split()))
        parts.append(
            f'<polygon class="band" points="{asks} {back}"/><polyline class="quote" points="{bids}"/>'
            f'<polyline class="quote" points="{asks}"/>'
        )
    return parts


def _stairs(quotes: Sequence[Row], side: str, x: Axis, y: Axis) -> str:
    # A quote holds until the next one: steps, not slopes.
    points: list[str] = []
    level = ""
    for quote in quotes:
        at = x.at(quote["ts_ms"])
        if level:
            points.append(f"{at},{level}")
        level = y.at(Decimal(quote[side]))
        points.append(f"{at},{level}")
    return " ".join(points)


# -- grid and frame


def _price_grid(y: Axis) -> str:
    span = y.high - y.low
    magnitude = Decimal(1).scaleb((span / 4).adjusted())
    step = next(magnitude * factor for factor in (1, 2, 5, 10) if magnitude * factor * 4 >= span * Decimal("0.9"))
    tick, lines = (y.low / step).to_integral_value(rounding="ROUND_CEILING") * step, []
    for _ in range(8):
        if tick > y.high:
            break
        text = f"{tick:.{max(0, -step.adjusted())}f}"
        label = text if len(text) <= 10 else f"{tick:.4E}"
        at = y.at(tick)
        lines.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>'
            f'<text x="{LEFT - 10}" y="{Decimal(at) + 4}" text-anchor="end">{label}</text>'
        )
        tick += step
    return f'<g class="grid">{"".join(lines)}</g>'


def _time_grid(x: Axis, top: int, bottom: int) -> str:
    secs = (x.high - x.low) / 1000
    step = next((step for step in _TIME_STEPS if step * 5 >= secs), int(secs / 5) + 1)
    lines = []
    for tick in range(0, int(secs) + 1, step):
        at = x.at(x.low + tick * 1000)
        label = f"{tick} s" if step < 60 or tick == 0 else f"{plain(Decimal(tick) / 60)} min"
        lines.append(
            f'<line x1="{at}" x2="{at}" y1="{top}" y2="{bottom}"/>'
            f'<text x="{at}" y="{bottom + 18}" text-anchor="middle">{label}</text>'
        )
    return f'<g class="grid">{"".join(lines)}</g>'


def _svg(key: str, title: str, desc: str, height: int, parts: Iterable[str]) -> Markup:
    return Markup(  # noqa: S704 - every stranger's word above went through escape()
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{key}-title {key}-desc">'
        f'<title id="{key}-title">{escape(visible(title, 160))}</title><desc id="{key}-desc">{escape(desc)}</desc>'
        f"{''.join(parts)}</svg>"
    )
