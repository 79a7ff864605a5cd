"""From live objects to the outcome's words: orders, tracking limits, positions, margin. Pure reading, no decisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

from core.precision import plain
from core.words import counted
from execution.markets import Market
from execution.order import Deed, Order, replay
from execution.orders import Orders
from execution.positions import MarginReading as Margin
from execution.timeline import Timelines
from execution.tracking_limit import TrackingResult
from runner.outcome import (
    AttemptMade,
    ConnectionRecord,
    MarginChange,
    MarginReading,
    Move,
    Notice,
    OrderStory,
    RateLog,
    Reconnect,
    Tracking,
    Trade,
)
from strategy.trading import Proof, dust_of
from venues.events import FillSeen, OrderSeen
from venues.interface import RateRecord

KINDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("LATE_FILL", "OVERFILL", "REFUSED_BUT_SEEN", "POSITION_MISMATCH"), "alarm"),
    "ADOPTED": "note",
}
"""What a code is told as; all others are errors."""


def tell_order(order: Order, timelines: Timelines) -> OrderStory:
    """One order with its whole history."""
    intent = order.intent
    path = timelines.path(order)
    average = order.average_price
    return OrderStory(
        client_id=order.client_id,
        venue_id=order.venue_id,
        kind="market" if intent.price_i is None else "limit",
        side="sell" if intent.is_ask else "buy",
        size=_size(order, intent.size_i),
        price=None if intent.price_i is None else plain(Decimal(intent.price_i).scaleb(-intent.price_decimals)),
        state=order.state.value,
        filled=plain(order.filled),
        average_price=None if average is None else plain(round(average, intent.price_decimals + 4)),
        in_doubt=order.in_doubt or not order.settled,
        history=tuple(_moves(order)),
        fills=tuple(_trade(order, fill) for fill in sorted(order.fills.values(), key=lambda f: f.engine_us)),
        sent_ms=order.sent_ms,
        ack_ms=order.ack_ms,
        cancel_ack_ms=order.cancel_ack_ms,
        timeline_file="" if path is None else path.name,
    )


def _moves(order: Order) -> Iterable[Move]:
    for entry in order.history:
        given = entry.input
        if isinstance(given, Deed):
            source, engine_us, detail = "local", 0, given.text
        elif isinstance(given, OrderSeen):
            source, engine_us = given.source.value, given.engine_us
            detail = given.reason or f"filled {_size(order, given.filled_i)}"
        else:
            source, engine_us = given.source.value, given.engine_us
            detail = f"{_size(order, given.size_i)} at {plain(given.price)}, trade {given.trade_id}"
        yield Move(
            ts_ms=entry.ts_ms,
            from_=entry.before.value,
            to=entry.after.value,
            cause=entry.cause + (f" ({entry.alarm})" if entry.alarm else ""),
            source=source,
            engine_us=engine_us,
            detail=detail,
        )


def _trade(order: Order, fill: FillSeen) -> Trade:
    heard = next((entry.ts_ms for entry in order.history if entry.input is fill), order.intent.created_ms)
    return Trade(
        trade_id=fill.trade_id,
        size=_size(order, fill.size_i),
        price=plain(fill.price),
        fee=plain(fill.fee),
        fee_asset=fill.fee_asset,
        is_maker=fill.is_maker,
        ts_ms=fill.engine_us // 1000 or heard,
        late=fill.trade_id in order.late,
    )


def _size(order: Order, size_i: int) -> str:
    return plain(Decimal(size_i).scaleb(-order.intent.size_decimals))


def tell_tracking(result: TrackingResult) -> Tracking:
    """One tracking limit; slippage is its average price against the mid when it began, positive costs us."""
    market, wanted = result.market, result.wanted
    average, mid = result.average_price, result.mid_at_start
    slippage = None
    if average is not None and mid:
        paid = (mid - average) if wanted.is_ask else (average - mid)
        slippage = plain(round(paid / mid * 10_000, 2))
    return Tracking(
        side="sell" if wanted.is_ask else "buy",
        quantity=market.size_text(wanted.quantity_i),
        filled=market.size_text(result.filled_i),
        attempts=tuple(
            AttemptMade(
                n=attempt.number,
                client_id=attempt.order.client_id,
                price=market.price_text(attempt.order.intent.price_i or 0),
                size=market.size_text(attempt.order.intent.size_i),
                filled=market.size_text(attempt.order.filled_i),
                placed_ms=attempt.placed_ms,
                ended_ms=attempt.ended_ms,
                end_reason=attempt.end_reason,
            )
            for attempt in result.attempts
        ),
        price_sequence=tuple(plain(price) for price in result.prices),
        average_price=None if average is None else plain(round(average, market.facts.price_decimals + 4)),
        mid_at_start=None if mid is None else plain(mid),
        slippage_bps=slippage,
        reason=result.reason.value,
        interval_errors_ms=tuple(result.interval_errors_ms),
    )


def tell_fees(orders: Iterable[Order]) -> dict[str, str]:
    total: dict[str, Decimal] = {}
    for order in orders:
        for asset, fee in order.fees().items():
            total[asset] = total.get(asset, Decimal(0)) + fee
    return {asset: plain(fee) for asset, fee in total.items()}


def tell_margin(readings: Sequence[Margin]) -> MarginChange:
    told = tuple(
        MarginReading(balance=plain(r.balance), available=plain(r.available), ts_ms=r.heard_ms) for r in readings
    )
    return MarginChange(before=told[0] if told else None, after=told[-1] if told else None, changes=told[1:-1])


def tell_connection(desk: Orders) -> ConnectionRecord:
    return ConnectionRecord(
        losses=len(desk.breaks),
        reconnects=tuple(Reconnect(lost_ms=b.lost_ms, synced_ms=b.synced_ms, why=b.why) for b in desk.breaks),
    )


def tell_rates(record: RateRecord) -> RateLog:
    return RateLog(
        refused=record.refused,
        waits=record.waits,
        waited_secs=record.waited_secs,
        limits=record.windows,
    )


def tell_notices(desk: Orders, kind: str) -> tuple[Notice, ...]:
    """What the desk noted of one kind: ``error``, ``alarm`` or ``note``."""
    return tuple(
        Notice(ts_ms=ts_ms, code=code, text=text, source=source)
        for ts_ms, code, text, source in desk.errors
        if KINDS.get(code, "error") == kind
    )


def round_trips(orders: Iterable[Order], market: Market, began: Decimal = Decimal(0)) -> int:
    """
    How often our own fills, in the engine's order, took the position away from flat and back to it; ``began`` is what
    the play took over.
    """
    fills = [
        (fill.engine_us, -fill.size_i if order.intent.is_ask else fill.size_i, fill, order)
        for order in orders
        if order.intent.venue_symbol == market.venue_symbol
        for fill in order.fills.values()
    ]
    held, trips, away = began, 0, False
    for _, signed_i, fill, _ in sorted(fills, key=lambda row: (row[0], row[2].trade_id)):
        held += market.size(signed_i)
        if market.kind == "spot" and fill.fee_asset == market.facts.base:
            held -= fill.fee
        flat = held == 0 or (market.kind == "spot" and abs(held) < dust_of(market))
        if away and flat:
            trips += 1
        away = not flat
    return trips


def log_faults(orders: Iterable[Order], timelines: Timelines) -> list[str]:
    """Sentences about timelines that are missing, or do not replay to the order's final state; empty when complete."""
    faults = [f"a line could not be written: {failure}" for failure in timelines.failures]
    for order in orders:
        path = timelines.path(order)
        if path is None:
            return [*faults, "order timelines are switched off"]
        fault = _replay_fault(order, path)
        if fault:
            faults.append(f"{path.name}: {fault}")
    return faults


def _replay_fault(order: Order, path: Path) -> str:
    try:
        with path.open("rb") as lines:
            again = replay(lines)
    except (OSError, ValueError, KeyError) as error:
        return f"cannot be read again ({error})"
    if (again.state, again.filled_i, again.settled) != (order.state, order.filled_i, order.settled):
        return f"replays to {again.state.value}, the order is {order.state.value}"
    return ""


def proof_words(proof: Proof, symbol: str) -> str:
    """One sentence for the acceptance table."""
    words = f"the exchange reads {plain(proof.quantity)} {symbol}, {counted(proof.open_orders, 'open order')}"
    if proof.quantity and proof.flat():
        words += " (dust: too small to be traded)"
    return words
