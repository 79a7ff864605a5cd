"""
Bytes → events. Only the fields we use are declared: unknown ones pass, a missing one is a WireError over REST and an
``Unreadable`` on the stream.

Everything is text, also times (Unix milliseconds of the matching engine) and booleans of orders; empty text means
"none". Sizes of swaps are contracts and leave here in base units. Rows in markets that we do not know are left out:
they cannot be ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Final, Literal, TypeAlias

import msgspec

from core.precision import OffGrid, bounded, bounded_price, decimal_of, scaled, scaled_decimal
from venues import readings
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
    StreamEvent,
    Unreadable,
)
from venues.okx import refusals
from venues.okx.facts import ABILITIES
from venues.readings import AMOUNTS, BROKEN, EXCERPT_CHARS, MAX_MS, PRICES, UNSIGNED, Readings, excerpt

SETTLE: Final = "USDT"
"""The margin that we report: the coin in which the swaps that we trade are settled."""
MARGIN_MODE: Final = "cross"
# 2015-01-01: no order is older.
_EARLIEST_MS: Final = 1_420_070_400_000

Side: TypeAlias = Literal["buy", "sell"]
Markets: TypeAlias = Mapping[str, MarketFacts]

reading: Final = partial(readings.reading, "OKX")
"""Whatever bytes from outside make its block raise becomes WireError(UNREADABLE)."""

# How a message of the two most frequent channels begins as the venue writes it.
_BOOK_START: Final = '{"arg":{"channel":"bbo-tbt"'
_ORDERS_START: Final = '{"arg":{"channel":"orders"'

_STATUS: Final[Mapping[str, Status]] = {
    "live": Status.OPEN,
    "partially_filled": Status.PARTIALLY_FILLED,
    "filled": Status.FILLED,
    "canceled": Status.CANCELLED,
    "mmp_canceled": Status.CANCELLED,
}


# -- shapes


class OrderRow(msgspec.Struct, rename="camel", kw_only=True, gc=False):
    """
    An order of REST or of the channel ``orders``; there ``trade_id`` and ``fill_*`` are this message's own trade. In
    the order of the wire, which is read faster so.
    """

    acc_fill_sz: str
    cancel_source: str = ""
    cancel_source_reason: str = ""
    # Empty where an order has none, and never left out: a look-up goes by it.
    cl_ord_id: str
    c_time: str = ""
    exec_type: str = ""
    fee: str = ""
    fee_ccy: str = ""
    fill_fee: str | None = None
    fill_fee_ccy: str = ""
    fill_px: str = ""
    fill_sz: str = ""
    fill_time: str = ""
    inst_id: str
    ord_id: str
    px: str = ""
    side: Side
    state: str
    sz: str
    tgt_ccy: str = ""
    trade_id: str = ""
    u_time: str


class FillRow(msgspec.Struct, rename="camel"):
    """A trade of ``/trade/fills`` or ``/trade/fills-history``."""

    inst_id: str
    trade_id: str
    ord_id: str
    bill_id: str
    side: Side
    fill_px: str
    fill_sz: str
    fee: str
    fee_ccy: str
    ts: str
    cl_ord_id: str = ""
    exec_type: str = ""
    fill_time: str = ""


class _PositionRow(msgspec.Struct, rename="camel"):
    inst_id: str
    mgn_mode: str
    pos_side: str
    pos: str
    u_time: str
    avg_px: str = ""
    mark_px: str = ""


class _Coin(msgspec.Struct, rename="camel"):
    ccy: str
    avail_bal: str
    cash_bal: str
    eq: str
    u_time: str
    avail_eq: str = ""


class _Account(msgspec.Struct, rename="camel"):
    details: list[_Coin]
    u_time: str


class _Config(msgspec.Struct, rename="camel"):
    acct_lv: str
    pos_mode: str
    perm: str = "trade"


class _Countdown(msgspec.Struct, rename="camel"):
    trigger_time: str


class _Time(msgspec.Struct):
    ts: str


class _Level(msgspec.Struct, array_like=True, gc=False):
    px: str


class _Book(msgspec.Struct):
    asks: list[_Level]
    bids: list[_Level]
    ts: str


class _Envelope(msgspec.Struct):
    data: list[msgspec.Raw]


class _Arg(msgspec.Struct, rename="camel"):
    channel: str = ""
    inst_id: str = ""


class _Frame(msgspec.Struct):
    arg: _Arg | None = None
    data: list[msgspec.Raw] = []
    event: str = ""
    op: str = ""
    id: str = ""
    code: str = ""
    msg: str = ""


class _BookArg(msgspec.Struct, rename="camel", gc=False):
    channel: Literal["bbo-tbt"]
    inst_id: str


class _BookPush(msgspec.Struct):
    arg: _BookArg
    data: list[_Book]


class _OrdersArg(msgspec.Struct, gc=False):
    channel: Literal["orders"]


class _OrdersPush(msgspec.Struct):
    arg: _OrdersArg
    data: list[OrderRow]


_envelope: Final = msgspec.json.Decoder(_Envelope)
_book_push: Final = msgspec.json.Decoder(_BookPush)
_orders_push: Final = msgspec.json.Decoder(_OrdersPush)
_frame: Final = msgspec.json.Decoder(_Frame)
_order: Final = msgspec.json.Decoder(OrderRow)
_fill: Final = msgspec.json.Decoder(FillRow)
_position: Final = msgspec.json.Decoder(_PositionRow)
_account: Final = msgspec.json.Decoder(_Account)
_config: Final = msgspec.json.Decoder(_Config)
_countdown: Final = msgspec.json.Decoder(_Countdown)
_time: Final = msgspec.json.Decoder(_Time)
_book: Final = msgspec.json.Decoder(_Book)


class Mode(msgspec.Struct, frozen=True):
    """How the account is set up."""

    level: str
    """``1`` spot, ``2`` futures, ``3`` multi-currency margin, ``4`` portfolio margin."""
    hedged: bool
    may_trade: bool


# -- REST; every function raises WireError(UNREADABLE) for an answer of another shape


def server_time(body: bytes) -> int:
    with reading("time", body):
        return _ms(_time.decode(_first(body)).ts)


def mode(body: bytes) -> Mode:
    """``GET /account/config``."""
    with reading("account configuration", body):
        row = _config.decode(_first(body))
        # Only net mode is known to have one position per market.
        return Mode(row.acct_lv, row.pos_mode != "net_mode", "trade" in row.perm.split(","))


def countdown_runs(body: bytes) -> bool:
    """``POST /trade/cancel-all-after``. Seconds or milliseconds is unverified; 0 is off in both."""
    with reading("countdown", body):
        return _countdown.decode(_first(body)).trigger_time not in ("", "0")


def order(body: bytes, markets: Markets) -> OrderSeen:
    """``GET /trade/order``."""
    with reading("order", body):
        row = _order.decode(_first(body))
        return _order_seen(row, markets[row.inst_id], Source.REST)


def order_rows(body: bytes) -> list[OrderRow]:
    """A page of orders as it came: rows of the past may lie off today's grid, so only wanted ones are translated."""
    with reading("list of orders", body):
        return [_order.decode(raw) for raw in _envelope.decode(body).data]


def row_seen(row: OrderRow, markets: Markets) -> OrderSeen:
    """One row of :func:`order_rows`."""
    with reading("list of orders", row.ord_id):
        return _order_seen(row, markets[row.inst_id], Source.REST)


def created_ms(row: OrderRow) -> int:
    """When an order was made: how far back a page of history reaches."""
    with reading("list of orders", row.ord_id):
        at_ms = _ms(row.c_time)
        if at_ms < _EARLIEST_MS:
            raise OffGrid("an order older than the venue")
        return at_ms


def fill_rows(body: bytes) -> list[FillRow]:
    with reading("list of trades", body):
        return [_fill.decode(raw) for raw in _envelope.decode(body).data]


def fill_ms(row: FillRow) -> int:
    with reading("list of trades", row.bill_id):
        return _ms(row.fill_time or row.ts)


def fill(row: FillRow, markets: Markets) -> FillSeen:
    with reading("list of trades", row.bill_id):
        return FillSeen(
            symbol=row.inst_id,
            trade_id=row.trade_id,
            client_id=client_id(row.cl_ord_id),
            venue_id=row.ord_id,
            is_ask=row.side == "sell",
            size_i=_size(row.fill_sz, markets[row.inst_id]),
            price=bounded_price(row.fill_px),
            fee=-bounded(row.fee) or Decimal(0),
            fee_asset=row.fee_ccy,
            is_maker=_IS_MAKER.get(row.exec_type),
            engine_us=fill_ms(row) * 1000,
            source=Source.REST,
        )


def positions(body: bytes, markets: Markets) -> tuple[PositionSeen, ...]:
    """``GET /account/positions``, flat ones left out."""
    with reading("list of positions", body):
        rows = (_position.decode(raw) for raw in _envelope.decode(body).data)
        seen = (_position_seen(row, markets, Source.REST) for row in rows)
        return tuple(position for position in seen if position is not None and position.quantity)


def balances(body: bytes) -> tuple[BalanceSeen, ...]:
    """``GET /account/balance``."""
    with reading("balances", body):
        return tuple(_balances(_account.decode(_first(body)), Source.REST))


def margin(body: bytes) -> MarginSeen:
    """``GET /account/balance``; an account without the settlement coin has no margin."""
    with reading("balances", body):
        seen = _margin(_account.decode(_first(body)), Source.REST)
        return seen or MarginSeen(balance=Decimal(0), available=Decimal(0), source=Source.REST)


def book(body: bytes, facts: MarketFacts) -> BookSeen:
    """``GET /market/books``."""
    with reading("order book", body):
        return _book_seen(_book.decode(_first(body)), facts, Source.REST)


# -- the stream


def frame(data: str | bytes, markets: Markets, awaited: set[str]) -> Sequence[StreamEvent]:
    """
    Events in one message; for a trade the fill comes before the order's new state. Never raises.

    ``awaited`` holds the subscriptions that are not confirmed yet (:func:`subscription`); one that this message
    confirms is taken out, and the last one makes the line ready.
    """
    # The two channels that tell most are read in one go; what is odd about a message is told row by row.
    try:
        if isinstance(data, str):
            if data.startswith(_BOOK_START):
                book = _book_push.decode(data)
                facts, books = markets[book.arg.inst_id], book.data
                one = len(books) == 1
                return (_book_seen(books[0], facts, _WS),) if one else [_book_seen(row, facts, _WS) for row in books]
            if data.startswith(_ORDERS_START):
                rows = _orders_push.decode(data).data
                if len(rows) == 1:
                    return _order_events(rows[0], markets)
                return [event for row in rows for event in _order_events(row, markets)]
    except BROKEN:
        pass
    return _row_by_row(data, markets, awaited)


def _row_by_row(data: str | bytes, markets: Markets, awaited: set[str]) -> Sequence[StreamEvent]:
    if data in ("pong", b"pong"):
        return ()
    try:
        message = _frame.decode(data)
        if message.event or message.op:
            return _control(message, data, awaited)
        arg = message.arg
        if arg is None:
            return (Unreadable(why="neither a channel nor an answer", text=excerpt(data)),)
        if arg.channel == "bbo-tbt":
            facts = markets[arg.inst_id]
            return tuple(_book_seen(_book.decode(raw), facts, Source.WS) for raw in message.data)
    except KeyError as broken:
        return (Unreadable(why=f"unknown market {str(broken)[:80]}", text=excerpt(data)),)
    except BROKEN as broken:
        return (Unreadable(why=str(broken)[:EXCERPT_CHARS], text=excerpt(data)),)
    events: list[StreamEvent] = []
    for raw in message.data:
        # One row that cannot be read must not cost the others.
        try:
            if arg.channel == "orders":
                events += _order_events(_order.decode(raw), markets)
            elif arg.channel == "positions":
                position = _position_seen(_position.decode(raw), markets, Source.WS)
                if position is not None:
                    events.append(position)
            elif arg.channel == "account":
                account = _account.decode(raw)
                events += _balances(account, Source.WS)
                told = _margin(account, Source.WS)
                if told is not None:
                    events.append(told)
        except BROKEN as broken:
            events.append(Unreadable(why=str(broken)[:EXCERPT_CHARS], text=excerpt(bytes(raw))))
    return events


def subscription(channel: str, inst_id: str = "") -> str:
    """What names a subscription in its confirmation."""
    return f"{channel}:{inst_id}"


def _control(message: _Frame, data: str | bytes, awaited: set[str]) -> Sequence[StreamEvent]:
    if message.op or (message.event == "error" and message.id):
        # Our subscriptions carry no id: an error with one answers an order that the gateway could not read.
        body = data if isinstance(data, bytes) else data.encode(errors="replace")
        return (Answered(request_id=message.id, status=200, body=body),)
    match message.event:
        case "subscribe" if message.arg is not None:
            key = subscription(message.arg.channel, message.arg.inst_id)
            if key not in awaited:
                return ()
            awaited.remove(key)
            return () if awaited else (LineReady(stage="subscribed"),)
        case "login" if message.code == "0":
            return (LineReady(stage="login"),)
        case "login" | "error":
            # 60012 repeats the frame that it refuses; that of a login has the passphrase in it.
            words, raw = ("", "") if message.code == "60012" else (message.msg[:EXCERPT_CHARS], excerpt(data))
            hint = f"OKX refused a login or subscription ({message.code}): {words or 'invalid request'}"
            return (LineRefused(code=refusals.of_stream(message.code), hint=hint, raw=raw),)
        case "notice":
            # 64008: the socket is closed within a minute; a new one now is better than a gap then.
            return (LineRefused(code="VENUE_UNAVAILABLE", hint="OKX asks to reconnect.", raw=excerpt(data)),)
        case "channel-conn-count-error":
            hint = "Too many connections of this account listen to one channel of OKX."
            return (LineRefused(code="RATE_LIMITED", hint=hint, raw=excerpt(data)),)
    return ()


def _order_events(row: OrderRow, markets: Markets) -> Sequence[StreamEvent]:
    facts = markets.get(row.inst_id)
    if facts is None:
        return ()
    seen = _order_seen(row, facts, _WS)
    # A spot market order may end with a message that says "filled" and carries no trade of its own.
    size_i = _sizes(facts)[row.fill_sz] if row.trade_id not in ("", "0") else 0
    if not size_i:
        return (seen,)
    fee, fee_asset = row.fill_fee, row.fill_fee_ccy
    if fee is None:
        if size_i != seen.filled_i:
            # Only the order's total is told, and it is not all of this trade's; REST has the trade.
            return (seen,)
        fee, fee_asset = row.fee, row.fee_ccy
    trade = FillSeen(
        symbol=row.inst_id,
        trade_id=row.trade_id,
        client_id=seen.client_id,
        venue_id=row.ord_id,
        is_ask=seen.is_ask,
        size_i=size_i,
        price=PRICES[row.fill_px],
        # Negative is paid here, positive with us; and no minus zero.
        fee=-AMOUNTS[fee or "0"] or Decimal(0),
        fee_asset=fee_asset,
        is_maker=_IS_MAKER.get(row.exec_type),
        engine_us=_ms(row.fill_time) * 1000,
    )
    return (trade, seen)


_IS_MAKER: Final[Mapping[str, bool]] = {"M": True, "T": False}


def _order_seen(row: OrderRow, facts: MarketFacts, source: Source) -> OrderSeen:
    """Raises KeyError for an unknown state, OffGrid for a number off the grid."""
    sizes, status = _sizes(facts), _STATUS[row.state]
    filled_i = sizes[row.acc_fill_sz]
    reason = code = ""
    if status is _CANCELLED:
        reason, code = refusals.end_of(row.cancel_source, row.cancel_source_reason)
        if code == "POST_ONLY_WOULD_CROSS" and not filled_i:
            status = Status.FAILED
    return OrderSeen(
        symbol=row.inst_id,
        client_id=_CLIENT_IDS[row.cl_ord_id],
        venue_id=row.ord_id,
        status=status,
        is_ask=row.side == "sell",
        # A market order by quote amount, never ours, has its size in another coin.
        size_i=filled_i if row.tgt_ccy == "quote_ccy" else sizes[row.sz],
        filled_i=filled_i,
        price_i=UNSIGNED[facts.price_decimals][row.px] if row.px else None,
        reason=reason,
        code=code,
        engine_us=_ms(row.u_time) * 1000,
        source=source,
    )


def _position_seen(row: _PositionRow, markets: Markets, source: Source) -> PositionSeen | None:
    facts = markets.get(row.inst_id)
    if facts is None or facts.kind != "perp" or row.mgn_mode != MARGIN_MODE:
        return None
    quantity = bounded(row.pos or "0") * facts.contract_size
    return PositionSeen(
        symbol=row.inst_id,
        # In net mode the sign tells the side; in the other one posSide does.
        quantity=-quantity if row.pos_side == "short" else quantity,
        entry_price=bounded(row.avg_px) if row.avg_px and quantity else None,
        mark_price=bounded(row.mark_px) if row.mark_px else None,
        engine_us=_ms(row.u_time) * 1000,
        source=source,
    )


def _balances(account: _Account, source: Source) -> Iterator[BalanceSeen]:
    for coin in account.details:
        yield BalanceSeen(
            asset=coin.ccy,
            free=bounded(coin.avail_bal or "0"),
            # Not eq: that one counts the profit of open positions in.
            total=bounded(coin.cash_bal or "0"),
            engine_us=_ms(coin.u_time) * 1000,
            source=source,
        )


def _margin(account: _Account, source: Source) -> MarginSeen | None:
    for coin in account.details:
        if coin.ccy == SETTLE:
            return MarginSeen(
                balance=bounded(coin.eq or "0"),
                # Empty in spot mode.
                available=bounded(coin.avail_eq or coin.avail_bal or "0"),
                engine_us=_ms(account.u_time) * 1000,
                source=source,
            )
    return None


def _book_seen(row: _Book, facts: MarketFacts, source: Source) -> BookSeen:
    at_ms, prices = _ms(row.ts), UNSIGNED[facts.price_decimals]
    return BookSeen(
        symbol=facts.symbol,
        bid_i=prices[row.bids[0].px] if row.bids else None,
        ask_i=prices[row.asks[0].px] if row.asks else None,
        # Not seqId: maintenance may set it back, and every later book would look old.
        seq=at_ms,
        engine_us=at_ms * 1000,
        source=source,
    )


# -- small readings


_WS, _CANCELLED = Source.WS, Status.CANCELLED


def client_id(text: str) -> int | None:
    """Ours are plain numbers; what other programs use is no id of ours."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and text[0] != "0"):
        return None
    number = int(text)
    return number if number <= ABILITIES.max_client_id else None


_CLIENT_IDS: Final = Readings(client_id)


def _size(text: str, facts: MarketFacts) -> int:
    """A size of the venue, contracts for a swap, on our grid of base units; raises OffGrid."""
    if not text:
        return 0
    if facts.contract_size == 1:
        size_i = scaled(text, facts.size_decimals)
    else:
        size_i = scaled_decimal(decimal_of(text) * facts.contract_size, facts.size_decimals)
    if size_i < 0:
        raise OffGrid(f"{text} is below 0")
    return size_i


_SIZES: Final[dict[str, tuple[MarketFacts, Readings[int]]]] = {}


def _sizes(facts: MarketFacts) -> Readings[int]:
    """Texts of this market's sizes that were read before, for as long as it has these facts."""
    known = _SIZES.get(facts.symbol)
    if known is None or known[0] is not facts:
        known = _SIZES[facts.symbol] = (facts, Readings(partial(_size, facts=facts)))
    return known[1]


def _ms(text: str) -> int:
    if len(text) == 13 and text.isdecimal() and text.isascii():
        return int(text)
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise OffGrid(f"{text[:40]!r} is no time")
    value = int(text)
    if value > MAX_MS:
        raise OffGrid(f"{text} is no time")
    return value


def _first(body: bytes) -> msgspec.Raw:
    """The only row of an answer; raises IndexError."""
    return _envelope.decode(body).data[0]
