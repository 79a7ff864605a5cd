"""
Bytes → events. Only the fields we use are declared: unknown ones pass, a missing one is a WireError over REST and an
``Unreadable`` on the stream.

REST orders carry ``createdAt`` as Unix milliseconds, history rows as naive ISO text in UTC; the stream's ``T`` is
microseconds of the matching engine. Numbers of money are strings throughout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType, field

from core.precision import OffGrid, bounded, bounded_price, unsigned
from venues.backpack import refusals
from venues.events import (
    BalanceSeen,
    BookSeen,
    FillSeen,
    LineRefused,
    MarginSeen,
    MarketFacts,
    OrderSeen,
    PositionSeen,
    Source,
    Status,
    StreamEvent,
    Unreadable,
)
from venues.readings import AMOUNTS, BROKEN, EXCERPT_CHARS, PRICES, UNSIGNED, excerpt, reading

_UNIX: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
# 9999-12-31: later times are no times.
_MAX_MS: Final = 253_402_300_799_999
# 2015-01-01: no order is older.
_EARLIEST_US: Final = 1_420_070_400_000_000

Side: TypeAlias = Literal["Bid", "Ask"]
Micros: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=_MAX_MS * 1000)]
Millis: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=_MAX_MS)]
# No bound of the venue (its client ids have 32 bits): what is longer is no id.
Id: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Markets: TypeAlias = Mapping[str, MarketFacts]

_reading: Final = partial(reading, "Backpack")

# What a message of the two most frequent streams has in it as the venue writes it.
_ORDER_END: Final = '"account.orderUpdate"}'
_BOOK_STREAM: Final = '"bookTicker.'

_STATUS: Final[Mapping[str, Status]] = {
    "New": Status.OPEN,
    "PartiallyFilled": Status.PARTIALLY_FILLED,
    "Filled": Status.FILLED,
    "Cancelled": Status.CANCELLED,
    "TriggerPending": Status.OPEN,
    "Triggered": Status.OPEN,
}
_RESTING: Final = frozenset({Status.OPEN, Status.PARTIALLY_FILLED})


# -- shapes of REST


class OrderRow(msgspec.Struct, rename="camel"):
    """An order of ``/api/v1/order(s)`` or ``/wapi/v1/history/orders``."""

    id: str
    symbol: str
    side: Side
    status: str
    client_id: Id | None
    quantity: str | None
    """None for orders by quote amount or with a trigger; never for ours."""
    executed_quantity: str
    created_at: Millis | str
    price: str | None = None
    expiry_reason: str | None = None

    @property
    def created_us(self) -> int:
        return self.created_at * 1000 if isinstance(self.created_at, int) else _iso_us(self.created_at)


class FillRow(msgspec.Struct, rename="camel"):
    """A trade of ``/wapi/v1/history/fills``."""

    trade_id: Id
    order_id: str
    symbol: str
    side: Side
    price: str
    quantity: str
    fee: str
    fee_symbol: str
    is_maker: bool
    timestamp: str
    client_id: Id | str | None
    """Text here, a number in orders: the venue's documents have it so."""


class _PositionRow(msgspec.Struct, rename="camel"):
    symbol: str
    net_quantity: str
    entry_price: str
    mark_price: str


class _CapitalRow(msgspec.Struct):
    available: str
    locked: str


class _CollateralRow(msgspec.Struct, rename="camel"):
    symbol: str
    lend_quantity: str


class _Collateral(msgspec.Struct, rename="camel"):
    net_equity: str
    net_equity_available: str
    collateral: list[_CollateralRow]


class _Depth(msgspec.Struct, rename="camel"):
    asks: list[tuple[str, str]]
    bids: list[tuple[str, str]]
    last_update_id: int | str
    timestamp: Micros


# -- shapes of the stream


class _StreamError(msgspec.Struct):
    code: int
    message: str


class _Frame(msgspec.Struct):
    stream: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"")
    error: _StreamError | None = None
    id: int | str | UnsetType | None = UNSET


class _OrderEvent(msgspec.Struct, kw_only=True, gc=False):
    """In the order of the wire, which is read faster so."""

    last_price: str | None = field(name="L", default=None)
    fee_asset: str | None = field(name="N", default=None)
    expiry_reason: str | None = field(name="R", default=None)
    side: Side = field(name="S")
    engine_us: Micros = field(name="T")
    state: str = field(name="X")
    client_id: Id | None = field(name="c", default=None)
    venue_id: str = field(name="i")
    last_quantity: str | None = field(name="l", default=None)
    is_maker: bool | None = field(name="m", default=None)
    fee: str | None = field(name="n", default=None)
    price: str | None = field(name="p", default=None)
    quantity: str = field(name="q")
    symbol: str = field(name="s")
    trade_id: Id | None = field(name="t", default=None)
    executed: str = field(name="z")


class _PositionEvent(msgspec.Struct):
    symbol: str = field(name="s")
    # Not Q: that one counts open orders in.
    quantity: str = field(name="q")
    engine_us: Micros = field(name="T")
    entry_price: str = field(name="B")
    mark_price: str = field(name="M")


class _BalanceEvent(msgspec.Struct):
    asset: str = field(name="a")
    available: str = field(name="A")
    locked: str = field(name="L")
    engine_us: Micros = field(name="T")


class _BookEvent(msgspec.Struct, gc=False):
    symbol: str = field(name="s")
    update_id: Id | str = field(name="u")
    """A number in recordings, text in the documents."""
    engine_us: Micros = field(name="T")
    ask: str | None = field(name="a", default=None)
    bid: str | None = field(name="b", default=None)


class _OrderFrame(msgspec.Struct, gc=False):
    data: _OrderEvent
    stream: Literal["account.orderUpdate"]


class _BookFrame(msgspec.Struct, gc=False):
    data: _BookEvent
    stream: str


_order_row: Final = msgspec.json.Decoder(OrderRow)
_order_rows: Final = msgspec.json.Decoder(list[OrderRow])
_fill_rows: Final = msgspec.json.Decoder(list[FillRow])
_position_rows: Final = msgspec.json.Decoder(list[_PositionRow])
_capital: Final = msgspec.json.Decoder(dict[str, _CapitalRow])
_collateral: Final = msgspec.json.Decoder(_Collateral)
_depth: Final = msgspec.json.Decoder(_Depth)
_frame: Final = msgspec.json.Decoder(_Frame)
_order_frame: Final = msgspec.json.Decoder(_OrderFrame)
_book_frame: Final = msgspec.json.Decoder(_BookFrame)
_order_event: Final = msgspec.json.Decoder(_OrderEvent)
_position_event: Final = msgspec.json.Decoder(_PositionEvent)
_balance_event: Final = msgspec.json.Decoder(_BalanceEvent)
_book_event: Final = msgspec.json.Decoder(_BookEvent)


# -- REST; every function raises WireError(UNREADABLE) for an answer of another shape


def server_time(body: bytes) -> int:
    """``GET /api/v1/time``: plain text, Unix milliseconds."""
    with _reading("time", body):
        return msgspec.convert(int(body.decode("ascii")[:20]), Millis)


def order(body: bytes, markets: Markets) -> OrderSeen:
    with _reading("order", body):
        return order_seen(_order_row.decode(body), markets)


def orders(body: bytes, markets: Markets) -> tuple[OrderSeen, ...]:
    """Orders in markets that we do not know cannot be put on a grid; they are not ours and left out."""
    with _reading("list of orders", body):
        return tuple(order_seen(row, markets) for row in _order_rows.decode(body) if row.symbol in markets)


def order_rows(body: bytes) -> list[OrderRow]:
    """A page of history as it came: rows of the past may lie off today's grid, so only the wanted one is translated."""
    with _reading("order history", body):
        return _order_rows.decode(body)


def history_row(row: OrderRow, markets: Markets) -> OrderSeen:
    with _reading("order history", row.id):
        return order_seen(row, markets)


def created_us(row: OrderRow) -> int:
    """When an order was made, Unix microseconds: how far back a page of history reaches."""
    with _reading("order history", row.id):
        if row.created_us < _EARLIEST_US:
            raise OffGrid("an order older than the venue")
        return row.created_us


def fill_rows(body: bytes) -> list[FillRow]:
    with _reading("fill history", body):
        return _fill_rows.decode(body)


def fill(row: FillRow, markets: Markets) -> FillSeen:
    with _reading("fill history", row.order_id):
        return FillSeen(
            symbol=row.symbol,
            trade_id=str(row.trade_id),
            client_id=None if row.client_id is None else msgspec.convert(row.client_id, Id, strict=False),
            venue_id=row.order_id,
            is_ask=row.side == "Ask",
            size_i=unsigned(row.quantity, markets[row.symbol].size_decimals),
            price=bounded_price(row.price),
            fee=bounded(row.fee),
            fee_asset=row.fee_symbol,
            is_maker=row.is_maker,
            engine_us=_iso_us(row.timestamp),
            source=Source.REST,
        )


def positions(body: bytes) -> tuple[PositionSeen, ...]:
    """``GET /api/v1/position``, flat ones left out. ``netExposureQuantity`` would count open orders in."""
    with _reading("list of positions", body):
        seen = (
            PositionSeen(
                symbol=row.symbol,
                quantity=bounded(row.net_quantity),
                entry_price=bounded(row.entry_price),
                mark_price=bounded(row.mark_price),
                source=Source.REST,
            )
            for row in _position_rows.decode(body)
        )
        return tuple(position for position in seen if position.quantity)


def balances(capital_body: bytes, collateral_body: bytes) -> tuple[BalanceSeen, ...]:
    """
    ``GET /api/v1/capital`` and what ``/capital/collateral`` says is lent, in no order that means something.

    Lent coins are in none of capital's three numbers. Staked ones cannot be traded and are left out.
    """
    with _reading("balances", capital_body):
        rows = _capital.decode(capital_body)
        available = {asset: bounded(row.available) for asset, row in rows.items()}
        locked = {asset: bounded(row.locked) for asset, row in rows.items()}
    with _reading("collateral", collateral_body):
        lent = {row.symbol: bounded(row.lend_quantity) for row in _collateral.decode(collateral_body).collateral}
        none = Decimal(0)
        return tuple(
            BalanceSeen(
                asset=asset,
                free=available.get(asset, none),
                total=available.get(asset, none) + locked.get(asset, none) + lent.get(asset, none),
                source=Source.REST,
            )
            for asset in (available | lent)
        )


def margin(body: bytes) -> MarginSeen:
    """``GET /api/v1/capital/collateral``; ``netEquityAvailable`` is net of positions and open orders."""
    with _reading("collateral", body):
        row = _collateral.decode(body)
        return MarginSeen(
            balance=bounded(row.net_equity),
            available=bounded(row.net_equity_available),
            source=Source.REST,
        )


def depth(body: bytes, facts: MarketFacts) -> BookSeen:
    """``GET /api/v1/depth``. Both sides are sorted by ascending price, so the best bid is the last one."""
    with _reading("order book", body):
        row = _depth.decode(body)
        decimals = facts.price_decimals
        return BookSeen(
            symbol=facts.symbol,
            bid_i=max((unsigned(price, decimals) for price, _ in row.bids), default=None),
            ask_i=min((unsigned(price, decimals) for price, _ in row.asks), default=None),
            seq=_sequence(row.last_update_id),
            engine_us=row.timestamp,
            source=Source.REST,
        )


def order_seen(row: OrderRow, markets: Markets) -> OrderSeen:
    """Raises KeyError for an unknown market or state, OffGrid for a number off the grid."""
    facts = markets[row.symbol]
    filled_i = unsigned(row.executed_quantity, facts.size_decimals)
    status, reason, code = _status(row.status, row.expiry_reason, filled_i, facts)
    return OrderSeen(
        symbol=row.symbol,
        client_id=row.client_id,
        venue_id=row.id,
        status=status,
        is_ask=row.side == "Ask",
        size_i=filled_i if row.quantity is None else unsigned(row.quantity, facts.size_decimals),
        filled_i=filled_i,
        price_i=None if row.price is None else unsigned(row.price, facts.price_decimals),
        reason=reason,
        code=code,
        # The venue tells when the order was made, not when it ended. For an end that would look older than what
        # the stream said about the order before, and be dropped as stale.
        engine_us=row.created_us if status in _RESTING else 0,
        source=Source.REST,
    )


# -- the stream


def frame(data: str | bytes, markets: Markets) -> Sequence[StreamEvent]:
    """Events in one message; for a trade the fill comes before the order's new state. Never raises."""
    try:
        # The two that come most are read in one go. What is odd about one is found out, and told, step by step.
        if isinstance(data, str):
            if data.endswith(_ORDER_END):
                return _order_events(_order_frame.decode(data).data, markets)
            if _BOOK_STREAM in data:
                book = _book_frame.decode(data)
                if book.stream.startswith("bookTicker."):
                    return (_book(book.data, markets),)
    except BROKEN:
        pass
    return _step_by_step(data, markets)


def _step_by_step(data: str | bytes, markets: Markets) -> Sequence[StreamEvent]:
    try:
        message = _frame.decode(data)
        stream = message.stream
        if stream is None:
            return _without_stream(message, data)
        if stream.startswith("bookTicker."):
            return (_book(_book_event.decode(message.data), markets),)
        if stream.startswith("account.orderUpdate"):
            return _order_events(_order_event.decode(message.data), markets)
        if stream.startswith("account.positionUpdate"):
            return (_position(_position_event.decode(message.data)),)
        if stream.startswith("account.balanceUpdate"):
            return (_balance(_balance_event.decode(message.data)),)
        # A stream that we did not ask for says nothing about our orders.
        return ()
    except KeyError as broken:
        return (Unreadable(why=f"unknown market or state {str(broken)[:80]}", text=excerpt(data)),)
    except BROKEN as broken:
        return (Unreadable(why=str(broken)[:EXCERPT_CHARS], text=excerpt(data)),)


def _without_stream(message: _Frame, data: str | bytes) -> Sequence[StreamEvent]:
    error = message.error
    if error is not None:
        code = refusals.of_stream(error.code, error.message)
        hint = f"Backpack refused a subscription ({error.code}): {error.message[:EXCERPT_CHARS]}"
        return (LineRefused(code=code, hint=hint, raw=excerpt(data)),)
    # The venue acknowledges nothing today; an acknowledgement would have the id of its request.
    return () if message.id is not UNSET else (Unreadable(why="neither stream nor error", text=excerpt(data)),)


def _order_events(event: _OrderEvent, markets: Markets) -> Sequence[StreamEvent]:
    facts = markets[event.symbol]
    sizes, price, is_ask = UNSIGNED[facts.size_decimals], event.price, event.side == "Ask"
    filled_i = sizes[event.executed]
    status, reason, code = _STATUS.get(event.state), "", ""
    if status is None:
        status, reason, code = _ended(event.state, event.expiry_reason, filled_i, facts)
    seen = OrderSeen(
        symbol=event.symbol,
        client_id=event.client_id,
        venue_id=event.venue_id,
        status=status,
        is_ask=is_ask,
        size_i=sizes[event.quantity],
        filled_i=filled_i,
        price_i=None if price is None else UNSIGNED[facts.price_decimals][price],
        reason=reason,
        code=code,
        engine_us=event.engine_us,
    )
    if event.trade_id is None:
        return (seen,)
    if event.last_quantity is None or event.last_price is None or event.fee is None or event.fee_asset is None:
        raise OffGrid("a trade without size, price or fee")
    trade = FillSeen(
        symbol=event.symbol,
        trade_id=str(event.trade_id),
        client_id=event.client_id,
        venue_id=event.venue_id,
        is_ask=is_ask,
        size_i=sizes[event.last_quantity],
        price=PRICES[event.last_price],
        fee=AMOUNTS[event.fee],
        fee_asset=event.fee_asset,
        is_maker=event.is_maker,
        engine_us=event.engine_us,
    )
    return (trade, seen)


def _position(event: _PositionEvent) -> PositionSeen:
    quantity = bounded(event.quantity)
    return PositionSeen(
        symbol=event.symbol,
        quantity=quantity,
        entry_price=bounded(event.entry_price) if quantity else None,
        mark_price=bounded(event.mark_price),
        engine_us=event.engine_us,
    )


def _balance(event: _BalanceEvent) -> BalanceSeen:
    free = bounded(event.available)
    return BalanceSeen(asset=event.asset, free=free, total=free + bounded(event.locked), engine_us=event.engine_us)


def _book(event: _BookEvent, markets: Markets) -> BookSeen:
    prices, bid, ask, update_id = UNSIGNED[markets[event.symbol].price_decimals], event.bid, event.ask, event.update_id
    # How the venue shows an empty side is in no recording, so each likely way counts: null, nothing, "" and "0".
    return BookSeen(
        symbol=event.symbol,
        bid_i=(prices[bid] or None) if bid else None,
        ask_i=(prices[ask] or None) if ask else None,
        seq=update_id if type(update_id) is int else _sequence(update_id),
        engine_us=event.engine_us,
    )


# -- small readings


def _status(word: str, expiry_reason: str | None, filled_i: int, facts: MarketFacts) -> tuple[Status, str, str]:
    """``(status, reason, code)``; raises KeyError for a state that the documents do not have."""
    status = _STATUS.get(word)
    return _ended(word, expiry_reason, filled_i, facts) if status is None else (status, "", "")


def _ended(word: str, expiry_reason: str | None, filled_i: int, facts: MarketFacts) -> tuple[Status, str, str]:
    """The same for a word that is not in :data:`_STATUS`."""
    if word == "Expired":
        reason = expiry_reason or "Expired"
        ended = filled_i > 0 or refusals.expired_after_entry(reason)
        code = refusals.of_expiry(reason, spot=facts.kind == "spot")
        return (Status.CANCELLED if ended else Status.FAILED), reason, code
    if word == "TriggerFailed":
        return Status.FAILED, word, "REFUSED"
    raise KeyError(word)


def _sequence(value: int | str) -> int:
    number = int(value) if isinstance(value, int) or value.isdecimal() else -1
    if not 0 <= number < 1 << 63:
        raise OffGrid("an update id out of range")
    return number


def _iso_us(text: str) -> int:
    """``2025-07-27T17:39:00.092`` - UTC, though it does not say so - as Unix microseconds."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _UNIX) // _MICROSECOND
