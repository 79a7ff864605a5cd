"""The few figures by which two outcomes are compared, read off a parsed ``outcome.json``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Any

Row = Mapping[str, Any]


def ack_ms(play: Row) -> Iterator[Decimal]:
    """Milliseconds from send to acknowledgement of every order that has both."""
    for order in play["orders"]:
        if order["sent_ms"] is not None and order["ack_ms"] is not None:
            yield Decimal(order["ack_ms"] - order["sent_ms"])


def cancel_ms(play: Row) -> Iterator[Decimal]:
    """Milliseconds from the first wish to cancel to its confirmation."""
    for order in play["orders"]:
        asked = [entry["ts_ms"] for entry in order["history"] if entry["cause"] == "cancel_requested"]
        if asked and order["cancel_ack_ms"] is not None and order["cancel_ack_ms"] >= asked[0]:
            yield Decimal(order["cancel_ack_ms"] - asked[0])


def attempts(plays: Iterable[Row]) -> int:
    """Orders of all tracking limits."""
    return sum(len(one["attempts"]) for play in plays for one in play["tracking"])


def slippage_bps(plays: Iterable[Row]) -> Decimal | None:
    """Mean slippage of all tracking limits that have one, to the hundredth of a basis point; positive costs us."""
    found = [Decimal(one["slippage_bps"]) for play in plays for one in play["tracking"] if one["slippage_bps"]]
    if not found:
        return None
    with localcontext(prec=120):
        return (sum(found, Decimal(0)) / len(found)).quantize(Decimal("0.01"))


def quantile(ordered: Sequence[Decimal], percent: int) -> Decimal:
    """The smallest of the sorted values that at least ``percent`` of them do not exceed; there must be one."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def median(values: Iterable[Decimal]) -> Decimal | None:
    """The middle value, the lower one of two; None of nothing."""
    ordered = sorted(values)
    return quantile(ordered, 50) if ordered else None
