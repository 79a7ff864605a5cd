"""
Bytes → events. Only the fields we use are declared: unknown ones pass, a missing one is a WireError over REST and an
``Unreadable`` on a stream.

Times are Unix milliseconds of the matching engine (``updateTime``, ``transactTime``, ``T``). Symbols get their
product's suffix here. Orders and trades in markets that we do not know are not ours and left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, UnsetType, field

from core.precision import OffGrid, bounded, bounded_price, unsigned
from venues.binance import refusals
from venues.binance.facts import PERP_SUFFIX, client_id
from venues.dialect import HttpReply
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
    StreamEvent,
    Unreadable,
)
from venues.readings import AMOUNTS, BROKEN, EXCERPT_CHARS, PRICES, UNSIGNED, Millis, Readings, excerpt, reading

LOGIN_ID: Final = "login"
ACCOUNT_ID: Final = "account"
"""Request ids of ours on the spot WebSocket API that are no orders."""


Id: TypeAlias = Annotated[int, msgspec.Meta(ge=-1, le=(1 << 63) - 1)]
Side: TypeAlias = Literal["BUY", "SELL"]
Markets: TypeAlias = Mapping[str, MarketFacts]
Shape = TypeVar("Shape")

_reading: Final = partial(reading, "Binance")


# -- shapes of REST; the WebSocket API has the same in ``result``


class TradeRow(msgspec.Struct, rename="camel"):
    """A trade of ``userTrades`` (``buyer``, ``maker``) or ``myTrades`` (``isBuyer``, ``isMaker``)."""

    symbol: str
    id: Id
    order_id: Id
    price: str
    qty: str
    commission: str
    commission_asset: str
    time: Millis
    buyer: bool | None = None
    maker: bool | None = None
    is_buyer: bool | None = None
    is_maker: bool | None = None


class _Part(msgspec.Struct, rename="camel"):
    """A trade in the answer to a spot order."""

    price: str
    qty: str
    commission: str
    commission_asset: str
    trade_id: Id


class _OrderRow(msgspec.Struct, rename="camel"):
    symbol: str
    order_id: Id
    client_order_id: str
    status: str
    side: Side
    orig_qty: str
    executed_qty: str
    price: str
    time_in_force: str = ""
    type: str = ""
    reduce_only: bool = False
    update_time: Millis = 0
    transact_time: Millis = 0
    orig_client_order_id: str | None = None
    """The answer to a spot cancel only: ``clientOrderId`` is then the id of the cancel."""
    expiry_reason: str = ""
    fills: list[_Part] = []


class _PositionRow(msgspec.Struct, rename="camel"):
    symbol: str
    position_amt: str
    entry_price: str
    mark_price: str
    update_time: Millis = 0


class _BalanceRow(msgspec.Struct):
    asset: str
    free: str
    locked: str


class _BookRow(msgspec.Struct, rename="camel"):
    symbol: str
    bid_price: str
    ask_price: str
    time: Millis = 0
    last_update_id: Id = 0


# -- shapes of the streams


class _Frame(msgspec.Struct):
    """What any private line, or the WebSocket API, may say; a market line has :class:`_BookFrame`."""

    id: int | str | UnsetType | None = UNSET
    status: int = 0
    result: msgspec.Raw | UnsetType = UNSET
    error: msgspec.Raw | UnsetType = UNSET
    event: msgspec.Raw | UnsetType = UNSET
    data: msgspec.Raw | UnsetType = UNSET
    e: str | UnsetType = UNSET


class _BookFrame(msgspec.Struct):
    s: str | UnsetType = UNSET
    b: str | UnsetType = UNSET
    a: str | UnsetType = UNSET
    e: str | UnsetType = UNSET
    id: int | str | UnsetType | None = UNSET
    data: msgspec.Raw | UnsetType = UNSET
    error: msgspec.Raw | UnsetType = UNSET


class _OrderEvent(msgspec.Struct, kw_only=True, gc=False):
    """``o`` of ORDER_TRADE_UPDATE, or a whole executionReport; in the order of the wire, which is read faster so."""

    symbol: str = field(name="s")
    client_id: str = field(name="c")
    side: Side = field(name="S")
    time_in_force: str = field(name="f", default="")
    quantity: str = field(name="q")
    price: str = field(name="p")
    execution: str = field(name="x")
    state: str = field(name="X")
    venue_id: Id = field(name="i")
    last_quantity: str = field(name="l")
    executed: str = field(name="z")
    last_price: str = field(name="L")
    fee_asset: str | None = field(name="N", default=None)
    fee: str | None = field(name="n", default=None)
    engine_ms: Millis = field(name="T")
    trade_id: Id = field(name="t")
    is_maker: bool = field(name="m")
    reduce_only: bool = field(name="R", default=False)


class _SpotOrderEvent(_OrderEvent, kw_only=True, gc=False):
    original_id: str | None = field(name="C", default=None)
    """Set on a cancel, whose own id is then ``c``."""
    reject: str = field(name="r", default="NONE")
    expiry: str = field(name="eR", default="")


class _Ticker(msgspec.Struct, kw_only=True, gc=False):
    u: Id = 0
    s: str
    b: str
    a: str
    T: Millis = 0  # spot has none


class _HeldEvent(msgspec.Struct):
    symbol: str = field(name="s")
    quantity: str = field(name="pa")
    entry_price: str = field(name="ep")
    side: str = field(name="ps")


class _AccountEvent(msgspec.Struct):
    positions: list[_HeldEvent] = field(name="P", default_factory=list)


class _OrderUpdate(msgspec.Struct, tag_field="e", tag="ORDER_TRADE_UPDATE", gc=False):
    o: _OrderEvent


class _AccountUpdate(msgspec.Struct, tag_field="e", tag="ACCOUNT_UPDATE"):
    a: _AccountEvent
    T: Millis = 0


class _CoinEvent(msgspec.Struct):
    asset: str = field(name="a")
    free: str = field(name="f")
    locked: str = field(name="l")


class _CoinsEvent(msgspec.Struct):
    engine_ms: Millis = field(name="u")
    coins: list[_CoinEvent] = field(name="B")


_frame: Final = msgspec.json.Decoder(_Frame)
_book_frame: Final = msgspec.json.Decoder(_BookFrame)
_update: Final = msgspec.json.Decoder(_OrderUpdate | _AccountUpdate)
_ticker: Final = msgspec.json.Decoder(_Ticker)
_spot_order_event: Final = msgspec.json.Decoder(_SpotOrderEvent)
_coins_event: Final = msgspec.json.Decoder(_CoinsEvent)


# -- REST; every function raises WireError(UNREADABLE) for an answer of another shape


def server_time(body: bytes) -> int:
    with _reading("time", body):
        return _word(body, "serverTime", Millis)


def listen_key(body: bytes) -> str:
    with _reading("listen key", None):
        key = _word(body, "listenKey", str)
        if not (key.isascii() and key.isalnum() and len(key) <= 256):
            raise OffGrid("a listen key of strange characters")
        return key


def is_hedged(body: bytes) -> bool:
    """``GET /fapi/v1/positionSide/dual``."""
    with _reading("position mode", body):
        return _word(body, "dualSidePosition", bool)


def order(body: bytes, markets: Markets, suffix: str) -> tuple[OrderSeen, tuple[FillSeen, ...]]:
    """One order, with the trades that the answer to a spot placement lists."""
    with _reading("order", body):
        row = _read(body, _OrderRow)
        seen = _order_seen(row, markets, suffix)
        return seen, tuple(_part(part, seen, markets[seen.symbol]) for part in row.fills)


def orders(body: bytes, markets: Markets, suffix: str, *, strangers: bool = True) -> tuple[OrderSeen, ...]:
    """Orders in markets that we do not know are left out; without ``strangers`` there may be none."""
    with _reading("list of orders", body):
        return tuple(
            _order_seen(row, markets, suffix)
            for row in _read(body, list[_OrderRow])
            if not strangers or row.symbol + suffix in markets
        )


def trade_rows(body: bytes) -> list[TradeRow]:
    with _reading("list of trades", body):
        return _read(body, list[TradeRow])


def trade(row: TradeRow, markets: Markets, suffix: str) -> FillSeen:
    with _reading("list of trades", None):
        buyer = row.buyer if row.is_buyer is None else row.is_buyer
        if buyer is None:
            raise OffGrid("a trade without a side")
        return FillSeen(
            symbol=row.symbol + suffix,
            trade_id=str(row.id),
            client_id=None,
            venue_id=str(row.order_id),
            is_ask=not buyer,
            size_i=unsigned(row.qty, markets[row.symbol + suffix].size_decimals),
            price=bounded_price(row.price),
            fee=bounded(row.commission),
            fee_asset=row.commission_asset,
            is_maker=row.maker if row.is_maker is None else row.is_maker,
            engine_us=row.time * 1000,
            source=Source.REST,
        )


def positions(body: bytes) -> tuple[PositionSeen, ...]:
    """``GET /fapi/v3/positionRisk``, flat ones left out; the two rows of a hedged symbol are netted."""
    with _reading("list of positions", body):
        held: dict[str, PositionSeen] = {}
        for row in _read(body, list[_PositionRow]):
            symbol, quantity = row.symbol + PERP_SUFFIX, bounded(row.position_amt)
            before = held.get(symbol)
            held[symbol] = PositionSeen(
                symbol=symbol,
                quantity=quantity + (before.quantity if before else 0),
                entry_price=bounded(row.entry_price) if before is None else None,
                mark_price=bounded(row.mark_price),
                engine_us=row.update_time * 1000,
                source=Source.REST,
            )
        return tuple(position for position in held.values() if position.quantity)


def balances(body: bytes) -> tuple[BalanceSeen, ...]:
    """``GET /api/v3/account``: the spot wallet. The perp wallet is another one and counts as margin only."""
    with _reading("balances", body):
        return tuple(
            BalanceSeen(
                asset=row.asset,
                free=bounded(row.free),
                total=bounded(row.free) + bounded(row.locked),
                source=Source.REST,
            )
            for row in _word(body, "balances", list[_BalanceRow])
        )


def margin(body: bytes) -> MarginSeen:
    """``GET /fapi/v3/account``; equity is wallet plus unrealised profit."""
    with _reading("margin", body):
        equity, available = (_word(body, name, str) for name in ("totalMarginBalance", "availableBalance"))
        return MarginSeen(balance=bounded(equity), available=bounded(available), source=Source.REST)


def book_ticker(body: bytes, facts: MarketFacts) -> BookSeen:
    with _reading("book ticker", body):
        row = _read(body, _BookRow)
        return _book(facts, row.bid_price, row.ask_price, row.last_update_id, row.time, Source.REST)


# -- the streams; none of these raises


def book_frame(data: str | bytes, markets: Markets, suffix: str) -> Sequence[StreamEvent]:
    """A line of market data: book tickers, and answers to subscriptions."""
    try:
        return _ticker_seen(data, markets, suffix)
    except BROKEN:
        # Something else, or something odd about it: found out, and told, step by step.
        return _safely(lambda: _book_steps(data, markets, suffix), data)


def _book_steps(data: str | bytes, markets: Markets, suffix: str) -> Sequence[StreamEvent]:
    frame = _book_frame.decode(data)
    inner = data if frame.data is UNSET else frame.data
    frame = frame if inner is data else _book_frame.decode(inner)
    if frame.s is not UNSET and frame.b is not UNSET and frame.a is not UNSET:
        return _ticker_seen(inner, markets, suffix)
    if frame.error is not UNSET:
        told = excerpt(bytes(frame.error))
        return (LineRefused(code="REFUSED", hint="Binance refused a subscription.", raw=told),)
    if frame.e is not UNSET:
        return _closing(frame.e, data)
    if frame.id is not UNSET:
        return (LineReady(stage="subscribed"),)
    return (Unreadable(why="neither book, event nor answer", text=excerpt(data)),)


def _ticker_seen(data: str | bytes | msgspec.Raw, markets: Markets, suffix: str) -> Sequence[BookSeen]:
    row = _ticker.decode(data)
    facts = markets.get(row.s + suffix)
    return () if facts is None else (_book(facts, row.b, row.a, row.u, row.T, Source.WS),)


def perp_account_frame(data: str | bytes, markets: Markets) -> Sequence[StreamEvent]:
    """The perp account's own stream; for a trade the fill comes before the order's new state."""
    try:
        return _perp_update(data, markets)
    except BROKEN:
        return _safely(lambda: _perp_steps(data, markets), data)


def _perp_steps(data: str | bytes, markets: Markets) -> Sequence[StreamEvent]:
    frame = _frame.decode(data)
    inner = data if frame.data is UNSET else frame.data
    kind = frame.e if inner is data else _frame.decode(inner).e
    if kind in ("ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"):
        return _perp_update(inner, markets)
    if kind is UNSET:
        return (Unreadable(why="no event", text=excerpt(data)),)
    # TRADE_LITE among them: it says a part of what ORDER_TRADE_UPDATE says.
    return _closing(kind, data)


def _perp_update(data: str | bytes | msgspec.Raw, markets: Markets) -> Sequence[StreamEvent]:
    update = _update.decode(data)
    if isinstance(update, _OrderUpdate):
        return _order_events(update.o, markets, PERP_SUFFIX)
    # LONG and SHORT rows are those of hedge mode, which is refused at the start.
    return tuple(_position(row, update.T) for row in update.a.positions if row.side == "BOTH")


def api_frame(data: str | bytes, markets: Markets) -> Sequence[StreamEvent]:
    """A WebSocket API: answers to our requests and, on spot, the account's events."""

    def read() -> Sequence[StreamEvent]:
        frame = _frame.decode(data)
        if frame.event is not UNSET or frame.data is not UNSET:
            inner = frame.event if frame.data is UNSET else frame.data
            assert inner is not UNSET
            return _spot_event(inner, _frame.decode(inner).e, markets, data)
        if frame.e is not UNSET:
            return _spot_event(data, frame.e, markets, data)
        if frame.id is UNSET:
            return (Unreadable(why="neither event nor answer", text=excerpt(data)),)
        answer = frame.error if frame.result is UNSET else frame.result
        reply = HttpReply(frame.status, b"" if answer is UNSET else bytes(answer))
        if frame.id is None:
            return (_refused(reply, "ended the session"),)
        if frame.id == LOGIN_ID:
            return (LineReady(stage="login") if frame.status == 200 else _refused(reply, "refused the login"),)
        if frame.id == ACCOUNT_ID:
            if frame.status == 200 or refusals.subscribed_already(reply):
                return (LineReady(stage="subscribed"),)
            return (_refused(reply, "refused the account's stream"),)
        return (Answered(request_id=str(frame.id), status=frame.status, body=reply.body),)

    return _safely(read, data)


def _spot_event(
    inner: msgspec.Raw | str | bytes, kind: str | UnsetType, markets: Markets, data: str | bytes
) -> Sequence[StreamEvent]:
    if kind == "executionReport":
        return _order_events(_spot_order_event.decode(inner), markets, "")
    if kind == "outboundAccountPosition":
        coins = _coins_event.decode(inner)
        return tuple(_coin(row, coins.engine_ms) for row in coins.coins)
    return (Unreadable(why="no event", text=excerpt(data)),) if kind is UNSET else _closing(kind, data)


def _closing(kind: str, data: str | bytes) -> Sequence[StreamEvent]:
    """What ends a line though its socket is open; any other event says nothing about our orders."""
    why = {
        # After it nothing more comes, and the socket stays open.
        "listenKeyExpired": "the listen key has expired",
        "eventStreamTerminated": "the venue has ended the account's stream",
        "serverShutdown": "the venue is about to close this connection",
    }.get(kind)
    # Without the raw text: it may carry the listen key.
    return () if why is None else (LineRefused(code="WS_TIMEOUT", hint=why),)


def _refused(reply: HttpReply, what: str) -> LineRefused:
    verdict = refusals.judge(reply)
    return LineRefused(code=verdict.code, hint=f"Binance {what}.", raw=verdict.raw)


def _safely(read: Callable[[], Sequence[StreamEvent]], data: str | bytes) -> Sequence[StreamEvent]:
    try:
        return read()
    except KeyError as broken:
        return (Unreadable(why=f"unknown state {str(broken)[:80]}", text=excerpt(data)),)
    except BROKEN as broken:
        return (Unreadable(why=str(broken)[:EXCERPT_CHARS], text=excerpt(data)),)


# -- small readings

_CLIENT_IDS: Final = Readings(client_id)
# Words that mean the same whatever else is said.
_PLAIN: Final = {word: refusals.state_of(word, "", 0, False, "")[0] for word in ("NEW", "PARTIALLY_FILLED", "FILLED")}


def _read(body: bytes, shape: type[Shape]) -> Shape:
    # Not strict: some proxies quote every number.
    return msgspec.json.decode(body, type=shape, strict=False)


def _word(body: bytes, name: str, shape: type[Shape]) -> Shape:
    """One value of an object; raises KeyError where it is missing."""
    return msgspec.convert(msgspec.json.decode(body, type=dict[str, Any])[name], shape)


def _order_seen(row: _OrderRow, markets: Markets, suffix: str) -> OrderSeen:
    """Raises KeyError for an unknown market or state, OffGrid for a number off the grid."""
    facts = markets[row.symbol + suffix]
    filled_i = unsigned(row.executed_qty, facts.size_decimals)
    status, reason, code = refusals.state_of(
        row.status, row.time_in_force, filled_i, row.reduce_only, row.expiry_reason
    )
    return OrderSeen(
        symbol=facts.symbol,
        client_id=client_id(row.orig_client_order_id or row.client_order_id),
        venue_id=str(row.order_id),
        status=status,
        is_ask=row.side == "SELL",
        size_i=unsigned(row.orig_qty, facts.size_decimals),
        filled_i=filled_i,
        price_i=unsigned(row.price, facts.price_decimals) or None,
        reason=reason,
        code=code,
        # Both are the engine's time of the order's last change, so a later event is never older than this.
        engine_us=(row.update_time or row.transact_time) * 1000,
        source=Source.REST,
    )


def _part(part: _Part, seen: OrderSeen, facts: MarketFacts) -> FillSeen:
    return FillSeen(
        symbol=seen.symbol,
        trade_id=str(part.trade_id),
        client_id=seen.client_id,
        venue_id=seen.venue_id,
        is_ask=seen.is_ask,
        size_i=unsigned(part.qty, facts.size_decimals),
        price=bounded_price(part.price),
        fee=bounded(part.commission),
        fee_asset=part.commission_asset,
        # What trades before the placement is answered took liquidity.
        is_maker=False,
        engine_us=seen.engine_us,
        source=Source.REST,
    )


def _order_events(event: _OrderEvent, markets: Markets, suffix: str) -> Sequence[StreamEvent]:
    facts = markets.get(event.symbol + suffix)
    if facts is None:
        return ()
    own_id, reason = event.client_id, ""
    if isinstance(event, _SpotOrderEvent):
        own_id = event.original_id or own_id
        reason = event.expiry or ("" if event.reject == "NONE" else event.reject)
    sizes = UNSIGNED[facts.size_decimals]
    filled_i = sizes[event.executed]
    status, code = _PLAIN.get(event.state), ""
    if status is None:
        tif, reduces = event.time_in_force, event.reduce_only
        status, reason, code = refusals.state_of(event.state, tif, filled_i, reduces, reason)
    else:
        reason = ""
    seen = OrderSeen(
        symbol=facts.symbol,
        client_id=_CLIENT_IDS[own_id],
        venue_id=str(event.venue_id),
        status=status,
        is_ask=event.side == "SELL",
        size_i=sizes[event.quantity],
        filled_i=filled_i,
        price_i=UNSIGNED[facts.price_decimals][event.price] or None,
        reason=reason,
        code=code,
        engine_us=event.engine_ms * 1000,
    )
    size_i, price = sizes[event.last_quantity], PRICES[event.last_price]
    # A TRADE without size or price only tells a state (seen by nautilus_trader).
    if event.execution not in ("TRADE", "CALCULATED") or event.trade_id <= 0 or not size_i or not price:
        return (seen,)
    fill = FillSeen(
        symbol=facts.symbol,
        trade_id=str(event.trade_id),
        client_id=seen.client_id,
        venue_id=seen.venue_id,
        is_ask=seen.is_ask,
        size_i=size_i,
        price=price,
        # Both are absent when nothing was paid.
        fee=AMOUNTS[event.fee or "0"],
        fee_asset=event.fee_asset or facts.quote,
        is_maker=event.is_maker,
        engine_us=seen.engine_us,
    )
    return (fill, seen)


def _book(facts: MarketFacts, bid: str, ask: str, seq: int, engine_ms: int, source: Source) -> BookSeen:
    """How the venue shows an empty side is in no recording; 0 counts as one."""
    prices = UNSIGNED[facts.price_decimals]
    return BookSeen(
        symbol=facts.symbol,
        bid_i=prices[bid] or None,
        ask_i=prices[ask] or None,
        seq=seq if seq > 0 else 0,
        engine_us=engine_ms * 1000,
        source=source,
    )


def _position(row: _HeldEvent, engine_ms: int) -> PositionSeen:
    quantity = bounded(row.quantity)
    return PositionSeen(
        symbol=row.symbol + PERP_SUFFIX,
        quantity=quantity,
        entry_price=bounded(row.entry_price) if quantity else None,
        engine_us=engine_ms * 1000,
    )


def _coin(row: _CoinEvent, engine_ms: int) -> BalanceSeen:
    free = bounded(row.free)
    return BalanceSeen(asset=row.asset, free=free, total=free + bounded(row.locked), engine_us=engine_ms * 1000)
