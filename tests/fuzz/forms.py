"""What every event must be, whatever it was read from: numbers that are numbers, ids that are text."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from venues.errors import CODES
from venues.events import (
    Answered,
    BalanceSeen,
    BookSeen,
    FillSeen,
    LineReady,
    LineRefused,
    MarginSeen,
    MarketFacts,
    OrderSeen,
    PositionSeen,
    Source,
    Status,
    Unreadable,
)

# A number column of the journal's database, and of most that read our files.
_MOST = 10**72


def whole(value: Any, low: int = 0) -> None:
    assert type(value) is int
    assert low <= value < _MOST


def text(value: Any, *, some: bool = False) -> None:
    assert type(value) is str
    # Any file must be able to hold it.
    value.encode()
    assert value or not some


def money(value: Any, *, some: bool = False) -> None:
    assert type(value) is Decimal
    assert value.is_finite()
    assert abs(value.adjusted()) < 80
    assert value >= 0 or not some


def _moment(event: Any) -> None:
    whole(event.engine_us)
    # A signed 64-bit column holds it.
    assert event.engine_us < 1 << 63
    assert type(event.source) is Source


def _order(event: OrderSeen) -> None:
    text(event.symbol, some=True)
    text(event.venue_id)
    text(event.reason)
    assert type(event.status) is Status
    assert type(event.is_ask) is bool
    whole(event.size_i)
    whole(event.filled_i)
    if event.client_id is not None:
        whole(event.client_id)
    if event.price_i is not None:
        whole(event.price_i)
    assert event.code == "" or event.code in CODES
    _moment(event)


def _fill(event: FillSeen) -> None:
    text(event.symbol, some=True)
    text(event.trade_id)
    text(event.venue_id)
    text(event.fee_asset)
    assert type(event.is_ask) is bool
    assert type(event.is_maker) in (bool, type(None))
    whole(event.size_i)
    if event.client_id is not None:
        whole(event.client_id)
    money(event.price, some=True)
    money(event.fee)
    _moment(event)


def _position(event: PositionSeen) -> None:
    text(event.symbol)
    money(event.quantity)
    for each in (event.entry_price, event.mark_price):
        if each is not None:
            money(each)
    _moment(event)


def _book(event: BookSeen) -> None:
    text(event.symbol, some=True)
    for each in (event.bid_i, event.ask_i):
        if each is not None:
            whole(each)
    whole(event.seq)
    _moment(event)


def _balance(event: BalanceSeen) -> None:
    text(event.asset)
    money(event.free)
    money(event.total)
    _moment(event)


def _margin(event: MarginSeen) -> None:
    money(event.balance)
    money(event.available)
    _moment(event)


def _answered(event: Answered) -> None:
    text(event.request_id)
    assert type(event.status) is int
    assert type(event.body) is bytes


def _refused(event: LineRefused) -> None:
    assert event.code in CODES
    text(event.hint, some=True)
    text(event.raw)


def _unreadable(event: Unreadable) -> None:
    text(event.why, some=True)
    text(event.text)
    assert len(event.why) <= 1_000
    assert len(event.text) <= 1_000


def _ready(event: LineReady) -> None:
    assert event.stage in ("login", "subscribed")


def _facts(event: MarketFacts) -> None:
    for name in (event.symbol, event.base, event.quote):
        text(name)
    assert event.kind in ("perp", "spot")
    for number in (event.price_decimals, event.size_decimals):
        whole(number)
        assert number <= 36
    for number in (event.tick_i, event.lot_i, event.min_size_i, event.min_price_i):
        whole(number, 1)
    for most in (event.max_size_i, event.max_price_i):
        if most is not None:
            whole(most)
    for amount in (event.min_notional, event.contract_size, event.initial_margin):
        money(amount, some=True)


_FORMS: Mapping[type, Any] = {
    OrderSeen: _order,
    FillSeen: _fill,
    PositionSeen: _position,
    BookSeen: _book,
    BalanceSeen: _balance,
    MarginSeen: _margin,
    Answered: _answered,
    LineReady: _ready,
    LineRefused: _refused,
    Unreadable: _unreadable,
    MarketFacts: _facts,
    int: whole,
    str: text,
    bool: lambda value: None,
    type(None): lambda value: None,
}


def sound(value: Any) -> None:
    """Assert the form of an event, or of each of several."""
    if isinstance(value, Mapping):
        for each in value.values():
            sound(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            sound(each)
    else:
        _FORMS[type(value)](value)
