"""The stories of a run's orders, in words: every timeline replayed, one line for each thing that touched the order."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

from core.precision import plain
from execution.order import Deed, Entry, Order, replay
from venues.events import OrderSeen

MOST_ORDERS = 12
MOST_LINES = 24


def tell_orders(folder: Path) -> Iterable[str]:
    """The last orders of a run, oldest first; times are seconds since the first of all."""
    orders = []
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as lines:
            orders.append(replay(lines))
    orders.sort(key=lambda order: (order.intent.created_ms, order.client_id))
    start_ms = min((order.intent.created_ms for order in orders), default=0)
    if len(orders) > MOST_ORDERS:
        yield f"... {len(orders) - MOST_ORDERS} orders before these"
    for order in orders[-MOST_ORDERS:]:
        yield from _tell(order, start_ms)


def _tell(order: Order, start_ms: int) -> Iterable[str]:
    intent = order.intent
    price = "at market" if intent.price_i is None else f"at {_number(intent.price_i, intent.price_decimals)}"
    kind = f"{'reduce-only ' if intent.reduce_only else ''}{intent.side} {_size(order, intent.size_i)} {price}"
    end = f"{order.state} at {_size(order, order.filled_i)}" + ("" if order.settled else ", its end not proven")
    yield f"order {order.client_id} of {intent.leg}: {kind}; {end}"
    entries = order.history
    for entry in entries[:MOST_LINES]:
        yield f"    +{(entry.ts_ms - start_ms) / 1000:.3f}  {_words(order, entry)}"
    if len(entries) > MOST_LINES:
        yield f"    ... and {len(entries) - MOST_LINES} more"


def _words(order: Order, entry: Entry) -> str:
    given = entry.input
    if isinstance(given, Deed):
        said = f"we: {given.kind.replace('_', ' ')}" + (f" ({given.code}: {given.text[:80]})" if given.text else "")
    elif isinstance(given, OrderSeen):
        said = f"{given.source}: {given.status}, filled {_size(order, given.filled_i)}"
        said += f" ({given.reason or given.code})" if given.reason or given.code else ""
    else:
        said = f"{given.source}: trade {given.trade_id} of {_size(order, given.size_i)} at {plain(given.price)}"
    moved = f" -> {entry.after}" if entry.before is not entry.after else f" [{entry.cause}]"
    return said + moved + (f" ALARM {entry.alarm}" if entry.alarm else "")


def _size(order: Order, size_i: int) -> str:
    return _number(size_i, order.intent.size_decimals)


def _number(value_i: int, decimals: int) -> str:
    return plain(Decimal(value_i).scaleb(-decimals))
