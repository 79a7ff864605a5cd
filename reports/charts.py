"""The charts that tell what happened: the lanes of all venues, and prices, position and margin of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, localcontext
from html import escape
from typing import Any, Final

from core.clock import iso_utc
from core.precision import plain
from reports.drawing import (
    LEFT,
    WIDTH,
    Axis,
    Chart,
    framed,
    label,
    stairs,
    thinned,
    time_axis,
    time_grid,
    title,
    value_axis,
    value_grid,
)
from reports.language import Tongue
from reports.text import visible

Row = Mapping[str, Any]

MOST_QUOTES: Final = 240
"""Samples drawn at most; more are thinned out evenly."""
_TERMINAL: Final = frozenset({"FILLED", "CANCELLED", "FAILED"})
_LANE: Final = 22
_HEAD: Final = 20
# An outcome's numbers may have 80 digits; differences of them must not round to nothing.
_DIGITS: Final = 200


def price_chart(play: Row, key: str, t: Tongue) -> Chart | None:
    """Best bid and ask, the prices our orders rested at, and the fills. None: no price was seen."""
    with localcontext(prec=_DIGITS):
        return _price_chart(play, key, t)


def _price_chart(play: Row, key: str, t: Tongue) -> Chart | None:
    quotes = thinned(play["quotes"], MOST_QUOTES)
    orders = [order for order in play["orders"] if order["price"] is not None and _born(order) is not None]
    fills = _fills(play)
    prices = [Decimal(quote[side]) for quote in quotes for side in ("bid", "ask") if quote[side] is not None]
    prices += [Decimal(order["price"]) for order in orders] + [Decimal(fill["price"]) for _, fill in fills]
    times = _times([play])
    if not prices or times is None:
        return None
    top, bottom = 10, 200
    x, y = time_axis(*times), value_axis(prices, bottom, top)
    parts = [value_grid(y), time_grid(x, top, bottom, t), *_quote_band(quotes, x, y)]
    for order in orders:
        start, end = x.at(_born(order) or 0), x.at(max(_died(order, times[1]), _born(order) or 0))
        level = y.at(Decimal(order["price"]))
        parts.append(
            f'<g class="order">{title(_order_words(order, t))}<line x1="{start}" x2="{end}" y1="{level}" y2="{level}"/>'
            f'<circle cx="{start}" cy="{level}" r="2.5"/></g>'
        )
    for order, fill in fills:
        px, py, lift = x.at(fill["ts_ms"]), y.at(Decimal(fill["price"])), -1 if order["side"] == "buy" else 1
        parts.append(
            f'<path class="fill" transform="translate({px} {py})" d="M0 {6 * lift}L6 {-5 * lift}H-6Z">'
            f"{title(_fill_words(order, fill, t))}</path>"
        )
    words = t.line(
        "{quotes} of bid and ask, {orders} and {fills} between {low} and {high}, from {start} to {end}.",
        quotes=t.counted(len(play["quotes"]), "sample"),
        orders=t.counted(len(orders), "resting order"),
        fills=t.counted(len(fills), "fill"),
        low=plain(min(prices)),
        high=plain(max(prices)),
        start=_clock(times[0]),
        end=_clock(times[1]),
    )
    return framed(f"{key}-prices", t.line("Prices at {name}", name=_name(play)), words, bottom + 28, parts)


def lanes_chart(plays: Sequence[Row], key: str, t: Tongue) -> Chart | None:
    """Steps, orders, fills, cancels and lost streams of every venue on one axis of time. None: nothing has a time."""
    times = _times(plays)
    if times is None:
        return None
    x = time_axis(*times)
    y, marks, told = 4, [], []
    for play in plays:
        marks.append(
            f'<text class="venue" x="0" y="{y + 14}">{escape(visible(_name(play), 60))}</text>'
            f'<line class="rule" x1="0" x2="{WIDTH}" y1="{y + _HEAD}" y2="{y + _HEAD}"/>'
        )
        y += _HEAD
        lanes, words = _lanes(play, x, times, t)
        told.append(words)
        for name, drawn in lanes:
            middle = y + _LANE // 2
            marks.append(
                f'{label(name, LEFT - 10, middle + 4)}<g transform="translate(0 {middle})">{"".join(drawn)}</g>'
            )
            y += _LANE
        y += 6
    words = " ".join([*told, t.line("From {start} to {end}.", start=_clock(times[0]), end=_clock(times[1]))])
    parts = [time_grid(x, 4 + _HEAD, y, t), *marks]
    return framed(f"{key}-lanes", t.line("What happened when"), words, y + 24, parts)


def _lanes(play: Row, x: Axis, times: tuple[int, int], t: Tongue) -> tuple[list[tuple[str, list[str]]], str]:
    steps = [step for step in play["steps"] if step["started_ms"] is not None]
    born = [order for order in play["orders"] if _born(order) is not None]
    fills = _fills(play)
    cancels = [(order, order["cancel_ack_ms"]) for order in play["orders"] if order["cancel_ack_ms"] is not None]
    breaks = play["connection"]["reconnects"]
    own = _times([play]) or times
    up = [_bar("quiet", t.line("up all the time"), x, *own)]
    lost = [
        _bar("bad", t.line("lost: {why}", why=b["why"]), x, b["lost_ms"], b["synced_ms"] or times[1]) for b in breaks
    ]
    lanes: list[tuple[str, list[str]]] = [
        (t.line("Steps"), [_step_bar(step, x, times[1], t) for step in steps]),
        (t.line("Orders"), [_bar("order", _order_words(o, t), x, _born(o) or 0, _died(o, times[1])) for o in born]),
        (t.line("Fills"), [_dot(_fill_words(o, f, t), x, f["ts_ms"]) for o, f in fills]),
        (
            t.line("Cancels"),
            [_cross(t.line("order {id} cancelled", id=o["client_id"]), x, ms) for o, ms in cancels],
        ),
        (t.line("Stream"), lost or up),
    ]
    words = t.line(
        "{name}: {steps}, {orders}, {fills}, {cancels}, {breaks}.",
        name=_name(play),
        steps=t.counted(len(steps), "step"),
        orders=t.counted(len(born), "order"),
        fills=t.counted(len(fills), "fill"),
        cancels=t.counted(len(cancels), "cancel"),
        breaks=t.counted(len(breaks), "break") if breaks else t.line("stream never lost"),
    )
    return lanes, words


# -- courses: what was held and what was worth, over time


def position_chart(play: Row, key: str, t: Tongue) -> Chart | None:
    """The position by our own fills, and the exchange's own readings before and after. None: nothing was filled."""
    with localcontext(prec=_DIGITS):
        fills = sorted(_fills(play), key=lambda row: row[1]["ts_ms"])
        times = _times([play])
        if not fills or times is None:
            return None
        held = Decimal(play["position"]["before"] or 0)
        course = [(times[0], held)]
        for order, fill in fills:
            held += Decimal(fill["size"]) if order["side"] == "buy" else -Decimal(fill["size"])
            course.append((fill["ts_ms"], held))
        top, bottom = 10, 120
        proof = play["position"]["proof"]
        levels = [Decimal(0), *(value for _, value in course)]
        if proof is not None:
            levels.append(Decimal(proof["quantity"]))
        x, y = time_axis(*times), value_axis(levels, bottom, top)
        zero = y.at(Decimal(0))
        parts = [
            value_grid(y, 3),
            time_grid(x, top, bottom, t),
            f'<line class="zero" x1="{LEFT}" x2="{WIDTH}" y1="{zero}" y2="{zero}"/>',
            f'<polyline class="course" points="{stairs(course, x, y, times[1])}"/>',
        ]
        if proof is not None:
            at, level = x.at(min(max(proof["read_ms"], times[0]), times[1])), y.at(Decimal(proof["quantity"]))
            said = t.line("the exchange reads {quantity}", quantity=proof["quantity"])
            parts.append(
                f'<path class="proof" transform="translate({at} {level})" d="M0 -6L6 0L0 6L-6 0Z">{title(said)}</path>'
            )
        words = t.line(
            "Position by our own fills: {before} at first, between {low} and {high}, {after} at last.",
            before=plain(course[0][1]),
            low=plain(min(value for _, value in course)),
            high=plain(max(value for _, value in course)),
            after=plain(held),
        )
        name = t.line("Position at {name}", name=_name(play))
        return framed(f"{key}-position", name, words, bottom + 28, parts)


def margin_chart(play: Row, key: str, t: Tongue) -> Chart | None:
    """Balance and free margin over time. None: fewer than two readings."""
    with localcontext(prec=_DIGITS):
        margin = play["margin"]
        readings = [one for one in (margin["before"], *margin["changes"], margin["after"]) if one is not None]
        times = _times([play])
        if len(readings) < 2 or times is None:
            return None
        readings = thinned(sorted(readings, key=lambda one: one["ts_ms"]), MOST_QUOTES)
        times = (min(times[0], readings[0]["ts_ms"]), max(times[1], readings[-1]["ts_ms"]))
        courses = {kind: [(one["ts_ms"], Decimal(one[kind])) for one in readings] for kind in ("balance", "available")}
        top, bottom = 10, 120
        x = time_axis(*times)
        y = value_axis([value for course in courses.values() for _, value in course], bottom, top)
        parts = [value_grid(y, 3), time_grid(x, top, bottom, t)]
        for kind, shape in (("available", "quote"), ("balance", "course")):
            parts.append(f'<polyline class="{shape}" points="{stairs(courses[kind], x, y, times[1])}"/>')
        words = t.line(
            "Balance from {before} to {after}, least free margin {least}, {n}.",
            before=t.number(readings[0]["balance"]),
            after=t.number(readings[-1]["balance"]),
            least=t.number(plain(min(value for _, value in courses["available"]))),
            n=t.counted(len(readings), "reading"),
        )
        return framed(f"{key}-margin", t.line("Margin at {name}", name=_name(play)), words, bottom + 28, parts)


# -- time and life


def _times(plays: Iterable[Row]) -> tuple[int, int] | None:
    """First and last moment of the plays, in Unix milliseconds, at least a second apart."""
    seen: list[int] = []
    for play in plays:
        seen += [quote["ts_ms"] for quote in play["quotes"]]
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


def _fills(play: Row) -> list[tuple[Row, Row]]:
    return [(order, fill) for order in play["orders"] for fill in order["fills"]]


# -- marks


def _clock(ms: int) -> str:
    return f"{iso_utc(ms)[11:23]} UTC"


def _order_words(order: Row, t: Tongue) -> str:
    price = t.line(" at {price}", price=order["price"]) if order["price"] is not None else t.line(" at market")
    return f"{order['client_id']}: {t.line(order['side'])} {order['size']}{price}, {order['state']}"


def _fill_words(order: Row, fill: Row, t: Tongue) -> str:
    return t.line(
        "{side} {size} filled at {price}, {time}",
        side=t.line(order["side"]),
        size=fill["size"],
        price=fill["price"],
        time=_clock(fill["ts_ms"]),
    )


def _name(play: Row) -> str:
    return f"{play['venue']}, {play['symbol']} {play['market']}"


def _bar(kind: str, words: str, x: Axis, start_ms: int, end_ms: int) -> str:
    start = Decimal(x.at(start_ms))
    width = max(Decimal(x.at(max(end_ms, start_ms))) - start, Decimal(3))
    return f'<rect class="{kind}" x="{start}" y="-8" width="{width}" height="16" rx="3">{title(words)}</rect>'


def _step_bar(step: Row, x: Axis, last_ms: int, t: Tongue) -> str:
    start_ms, end_ms = step["started_ms"], step["ended_ms"] or last_ms
    kind = {"passed": "step", "skipped": "quiet"}.get(step["status"], "bad")
    bar = _bar(kind, f"{step['verb']}: {t.line(step['status'])}. {t.told(step['words'])}", x, start_ms, end_ms)
    verb = visible(step["verb"], 40)
    start, room = Decimal(x.at(start_ms)), Decimal(x.at(max(end_ms, start_ms))) - Decimal(x.at(start_ms))
    if room < len(verb) * 7 + 8:
        return bar
    return f'{bar}<text class="within" x="{start + 6}" y="4">{escape(verb)}</text>'


def _dot(words: str, x: Axis, ms: int) -> str:
    return f'<circle class="fill" cx="{x.at(ms)}" cy="0" r="5">{title(words)}</circle>'


def _cross(words: str, x: Axis, ms: int) -> str:
    return f'<path class="cancel" transform="translate({x.at(ms)} 0)" d="M-4 -4L4 4M-4 4L4 -4">{title(words)}</path>'


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
        bids, asks = (stairs([(q["ts_ms"], Decimal(q[side])) for q in stretch], x, y) for side in ("bid", "ask"))
        back = " ".join(reversed(bids.split()))
        parts.append(
            f'<polygon class="band" points="{asks} {back}"/><polyline class="quote" points="{bids}"/>'
            f'<polyline class="quote" points="{asks}"/>'
        )
    return parts
