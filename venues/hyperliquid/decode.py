"""
Bytes → events. Only the fields we use are declared: unknown ones pass, a missing one is a WireError over REST and an
``Unreadable`` on the stream.

Numbers of money are text, ``time`` and ``statusTimestamp`` are the block's Unix milliseconds; there are no sequence
numbers. ``sz`` of an order is what REMAINS of it. What concerns a market that is not in our list (another dex) is left
out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from core.precision import OffGrid, bounded, unsigned
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
from venues.hyperliquid import refusals
from venues.hyperliquid.facts import ABILITIES, coin
from venues.readings import AMOUNTS, BROKEN, EXCERPT_CHARS, PRICES, UNSIGNED, Millis, Readings, excerpt, reading

_CLOID: Final = re.compile(r"0x[0-9a-fA-F]{32}", re.ASCII)
# An error frame repeats the request that it is about, id included.
_POST_ID: Final = re.compile(r'"method"\s*:\s*"post".*?"id"\s*:\s*(\d{1,18})|post requests id=(\d{1,18})', re.ASCII)

Side: TypeAlias = Literal["B", "A"]
Id: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Markets: TypeAlias = Mapping[str, MarketFacts]

_reading: Final = partial(reading, "Hyperliquid")


# -- shapes


class OrderRow(msgspec.Struct, rename="camel", gc=False):
    """An order of any reading or stream. ``orig_sz`` and ``cloid`` are missing in rows of 2023."""

    coin: str
    side: Side
    limit_px: str
    sz: str
    oid: Id
    timestamp: Millis
    orig_sz: str | None = None
    cloid: str | UnsetType | None = UNSET


class StatusRow(msgspec.Struct, rename="camel", gc=False):
    """An order with its state: a row of ``orderUpdates``, ``orderStatus`` or ``historicalOrders``."""

    order: OrderRow
    status: str
    status_timestamp: Millis


class _StatusAnswer(msgspec.Struct):
    status: str
    order: StatusRow | None = None


class FillRow(msgspec.Struct, rename="camel", gc=False):
    """A trade. Rows of 2023 have neither ``tid`` nor ``feeToken``."""

    coin: str
    px: str
    sz: str
    side: Side
    time: Millis
    start_position: str
    oid: Id
    crossed: bool
    fee: str
    tid: Id | None = None
    fee_token: str = "USDC"  # noqa: S105 - a coin
    cloid: str | None = None

    @property
    def trade_id(self) -> str:
        """``tid`` is a hash that repeats over time, so the time belongs to it."""
        return f"{self.time}-{self.start_position if self.tid is None else self.tid}"


class _Position(msgspec.Struct, rename="camel"):
    coin: str
    szi: str
    position_value: str
    entry_px: str | None = None


class _AssetPosition(msgspec.Struct):
    position: _Position


class _Summary(msgspec.Struct, rename="camel"):
    account_value: str


class _Clearinghouse(msgspec.Struct, rename="camel"):
    margin_summary: _Summary
    withdrawable: str
    asset_positions: list[_AssetPosition]
    time: Millis | None = None
    """Missing in rows of 2023."""


class _Balance(msgspec.Struct):
    coin: str
    total: str
    hold: str


class _SpotState(msgspec.Struct):
    balances: list[_Balance]


class _Level(msgspec.Struct, gc=False):
    px: str


class _Book(msgspec.Struct):
    coin: str
    time: Millis
    levels: tuple[list[_Level], list[_Level]]


class _BestPrices(msgspec.Struct, gc=False):
    coin: str
    time: Millis
    bbo: tuple[_Level | None, _Level | None]


class _Time(msgspec.Struct):
    time: Millis


class _RoleData(msgspec.Struct):
    user: str = ""


class _Role(msgspec.Struct):
    role: str
    data: _RoleData | None = None


class _Frame(msgspec.Struct):
    """A message of a channel that is none of :data:`_Often`."""

    channel: str
    data: msgspec.Raw = msgspec.Raw(b"")


class _Fills(msgspec.Struct, rename="camel"):
    fills: list[FillRow]
    is_snapshot: bool | None = None


class _ClearinghouseFrame(msgspec.Struct, rename="camel"):
    clearinghouse_state: _Clearinghouse
    dex: str = ""


class _SpotFrame(msgspec.Struct, rename="camel"):
    spot_state: _SpotState


class _PostResponse(msgspec.Struct):
    type: str
    payload: msgspec.Raw


class _Post(msgspec.Struct):
    id: Id
    response: _PostResponse


class _BboFrame(msgspec.Struct, tag_field="channel", tag="bbo", gc=False):
    data: _BestPrices


class _OrdersFrame(msgspec.Struct, tag_field="channel", tag="orderUpdates", gc=False):
    data: list[StatusRow]


class _FillsFrame(msgspec.Struct, tag_field="channel", tag="userFills", gc=False):
    data: _Fills


class _PostFrame(msgspec.Struct, tag_field="channel", tag="post", gc=False):
    data: _Post


_Often: TypeAlias = _BboFrame | _OrdersFrame | _FillsFrame | _PostFrame


class _Subscription(msgspec.Struct):
    type: str


class _Subscribed(msgspec.Struct):
    method: str
    subscription: _Subscription


_rows: Final = msgspec.json.Decoder(list[OrderRow])
_history: Final = msgspec.json.Decoder(list[StatusRow])
_status: Final = msgspec.json.Decoder(_StatusAnswer)
_fill_rows: Final = msgspec.json.Decoder(list[FillRow])
_clearinghouse: Final = msgspec.json.Decoder(_Clearinghouse)
_spot: Final = msgspec.json.Decoder(_SpotState)
_book: Final = msgspec.json.Decoder(_Book)
_time: Final = msgspec.json.Decoder(_Time)
_role: Final = msgspec.json.Decoder(_Role)
_word: Final = msgspec.json.Decoder(str)
_frame: Final = msgspec.json.Decoder(_Frame)
_often: Final = msgspec.json.Decoder(_Often)
_clearinghouse_frame: Final = msgspec.json.Decoder(_ClearinghouseFrame)
_spot_frame: Final = msgspec.json.Decoder(_SpotFrame)
_subscribed: Final = msgspec.json.Decoder(_Subscribed)


# -- readings; every function raises WireError(UNREADABLE) for an answer of another shape


def server_time(body: bytes) -> int:
    """``exchangeStatus``: Unix milliseconds."""
    with _reading("time", body):
        return _time.decode(body).time


def role(body: bytes) -> tuple[str, str]:
    """``userRole``: the role, and the master's address in lower case if it is an agent."""
    with _reading("role", body):
        row = _role.decode(body)
        return row.role, row.data.user.lower() if row.data else ""


def abstraction(body: bytes) -> str:
    """``userAbstraction``: a bare JSON string."""
    with _reading("account mode", body):
        return _word.decode(body)


def order_status(body: bytes, markets: Markets) -> OrderSeen | None:
    """``orderStatus``; None for ``unknownOid``."""
    with _reading("order", body):
        answer = _status.decode(body)
        if answer.order is not None and answer.status == "order":
            return _status_seen(answer.order, markets[answer.order.order.coin], Source.REST)
        if answer.status != "unknownOid":
            raise ValueError(f"status {answer.status[:40]!r}")
        return None


def history(body: bytes) -> list[StatusRow]:
    """``historicalOrders`` as it came: one row for each change, newest first; old rows may lie off today's grid."""
    with _reading("order history", body):
        return _history.decode(body)


def history_row(row: StatusRow, markets: Markets) -> OrderSeen:
    with _reading("order history", str(row.order.oid)):
        return _status_seen(row, markets[row.order.coin], Source.REST)


def open_orders(body: bytes, markets: Markets) -> tuple[OrderSeen, ...]:
    """``frontendOpenOrders`` or ``openOrders``."""
    with _reading("list of orders", body):
        return tuple(
            _order_seen(row, "open", row.timestamp, markets[row.coin], Source.REST)
            for row in _rows.decode(body)
            if row.coin in markets
        )


def fill_rows(body: bytes) -> list[FillRow]:
    """``userFills`` or ``userFillsByTime``."""
    with _reading("fills", body):
        return _fill_rows.decode(body)


def fill(row: FillRow, markets: Markets) -> FillSeen:
    with _reading("fills", str(row.oid)):
        return _fill_seen(row, markets[row.coin], Source.REST)


def positions(body: bytes) -> tuple[PositionSeen, ...]:
    """``clearinghouseState``: a flat market has no entry."""
    with _reading("positions", body):
        return tuple(_positions(_clearinghouse.decode(body), Source.REST))


def margin(body: bytes) -> MarginSeen:
    """``clearinghouseState`` of an account whose collateral is in its perp wallet."""
    with _reading("margin", body):
        return _margin(_clearinghouse.decode(body), Source.REST)


def balances(body: bytes) -> tuple[BalanceSeen, ...]:
    """``spotClearinghouseState``."""
    with _reading("balances", body):
        return tuple(_balances(_spot.decode(body), Source.REST))


def top_of_book(body: bytes, facts: MarketFacts) -> BookSeen:
    """``l2Book``, best levels first."""
    with _reading("order book", body):
        row = _book.decode(body)
        bid, ask = (side[0] if side else None for side in row.levels)
        return _book_seen(facts, bid, ask, row.time, Source.REST)


def size(text: str, facts: MarketFacts) -> int:
    """``totalSz`` of an acknowledgement, on the grid."""
    with _reading("acknowledgement", text):
        return unsigned(text, facts.size_decimals)


# -- the stream


class Stand:
    """
    What the frames of the line have told so far, where one frame alone does not say all.

    Attributes:
        unconfirmed: Account streams that were asked for and not acknowledged yet.
        held: Markets with a position: the next full list says which of them are flat by leaving them out.
        margin_in_spot: The account's collateral is in its spot wallet, so the perp wallet's words about it are void.
    """

    __slots__ = ("held", "margin_in_spot", "unconfirmed")

    def __init__(self) -> None:
        self.unconfirmed: set[str] = set()
        self.held: set[str] = set()
        self.margin_in_spot = False


def frame(data: str | bytes, markets: Markets, stand: Stand) -> Sequence[StreamEvent]:
    """Events in one message. Never raises."""
    try:
        return _often_seen(_often.decode(data), markets, stand)
    except BROKEN:
        # Another channel, or something odd about it: found out, and told, below.
        pass
    try:
        message = _frame.decode(data)
        match message.channel:
            case "bbo" | "orderUpdates" | "userFills" | "post":
                return _often_seen(_often.decode(data), markets, stand)
            case "clearinghouseState":
                events = _clearinghouse_events(_clearinghouse_frame.decode(message.data), stand)
                return [*events, *_confirmed("clearinghouseState", stand)]
            case "spotState":
                events = _spot_events(_spot_frame.decode(message.data).spot_state, stand)
                return [*events, *_confirmed("spotState", stand)]
            case "subscriptionResponse":
                told = _subscribed.decode(message.data)
                return _confirmed(told.subscription.type, stand) if told.method == "subscribe" else ()
            case "error":
                return _refused(_word.decode(message.data), data)
        # pong, and channels that we did not ask for.
        return ()
    except LookupError as broken:
        return (Unreadable(why=f"unknown word {str(broken)[:80]}", text=excerpt(data)),)
    except BROKEN as broken:
        return (Unreadable(why=str(broken)[:EXCERPT_CHARS], text=excerpt(data)),)


def _often_seen(told: _Often, markets: Markets, stand: Stand) -> Sequence[StreamEvent]:
    if type(told) is _FillsFrame:
        fills = _fill_events(told.data, markets, stand)
        return [*fills, *_confirmed("userFills", stand)] if stand.unconfirmed else fills
    if type(told) is _BboFrame:
        best = told.data
        facts = markets.get(best.coin)
        return () if facts is None else (_book_seen(facts, *best.bbo, best.time, _WS),)
    if type(told) is _OrdersFrame:
        rows = [row for row in told.data if row.order.coin in markets]
        return [_order_seen(row.order, row.status, row.status_timestamp, markets[row.order.coin], _WS) for row in rows]
    assert type(told) is _PostFrame
    return (_answered(told.data),)


def _answered(post: _Post) -> Answered:
    number = str(post.id)
    if post.response.type != "error":
        return Answered(request_id=number, status=200, body=bytes(post.response.payload))
    # The shape of this one is in no recording; it is said to read like an HTTP error.
    text = bytes(post.response.payload).strip().strip(b'"')
    status = int(text[:3]) if text[:3].isdigit() else 500
    return Answered(request_id=number, status=status, body=text)


def _refused(sentence: str, data: str | bytes) -> Sequence[StreamEvent]:
    if sentence.startswith("Already subscribed"):
        return ()
    number = _POST_ID.search(sentence)
    if number is not None:
        # Refused before it was read: nothing was done.
        status = 429 if number[2] else 422
        body = (sentence if number[2] else "Failed to deserialize: " + sentence).encode()
        return (Answered(request_id=number[1] or number[2], status=status, body=body),)
    code = refusals.code_of(sentence)
    hint = f"Hyperliquid refused a request on the stream: {sentence[:EXCERPT_CHARS]}"
    return (LineRefused(code=code, hint=hint, raw=excerpt(data)),)


def _confirmed(kind: str, stand: Stand) -> Sequence[StreamEvent]:
    """An acknowledgement, or data that says as much; the last one makes the line ready."""
    if kind not in stand.unconfirmed:
        return ()
    stand.unconfirmed.discard(kind)
    return () if stand.unconfirmed else (LineReady(stage="subscribed"),)


def _fill_events(told: _Fills, markets: Markets, stand: Stand) -> Sequence[StreamEvent]:
    # The snapshot repeats history at each subscription; what was missed is read over REST after a break.
    if told.is_snapshot:
        return ()
    if len(told.fills) == 1:
        (row,) = told.fills
        facts = markets.get(row.coin)
        if facts is None:
            return ()
        fill = _fill_seen(row, facts, _WS)
        if facts.kind != "perp":
            return (fill,)
        stand.held.add(row.coin)
        return (fill, PositionSeen(symbol=row.coin, quantity=_held_after(row), engine_us=fill.engine_us))
    known = [row for row in told.fills if row.coin in markets]
    events: list[StreamEvent] = [_fill_seen(row, markets[row.coin], Source.WS) for row in known]
    # The state of the account follows seconds later, but each fill says what the position was before it. Fills of one
    # block come in any order: the last is the one that no other goes on from.
    for symbol in dict.fromkeys(row.coin for row in known if markets[row.coin].kind == "perp"):
        rows = [row for row in known if row.coin == symbol]
        before = {bounded(row.start_position) for row in rows}
        after = [_held_after(row) for row in rows]
        last = next((each for each in after if each not in before), after[-1])
        stand.held.add(symbol)
        events.append(PositionSeen(symbol=symbol, quantity=last, engine_us=max(row.time for row in rows) * 1000))
    return events


def _held_after(row: FillRow) -> Decimal:
    before, size = AMOUNTS[row.start_position], AMOUNTS[row.sz]
    return before + size if row.side == "B" else before - size


def _clearinghouse_events(told: _ClearinghouseFrame, stand: Stand) -> Sequence[StreamEvent]:
    if told.dex:
        return ()
    state = told.clearinghouse_state
    events: list[StreamEvent] = list(_positions(state, Source.WS))
    listed = {each.position.coin for each in state.asset_positions}
    engine_us = (state.time or 0) * 1000
    for symbol in sorted(stand.held - listed):
        events.append(PositionSeen(symbol=symbol, quantity=Decimal(0), engine_us=engine_us))
    stand.held = listed
    if not stand.margin_in_spot:
        events.append(_margin(state, Source.WS))
    return events


def _spot_events(state: _SpotState, stand: Stand) -> Sequence[StreamEvent]:
    events: list[StreamEvent] = list(_balances(state, Source.WS))
    if stand.margin_in_spot:
        events.append(spot_margin(_balances(state, Source.WS), Source.WS))
    return events


# -- small readings


def spot_margin(held: Iterable[BalanceSeen], source: Source) -> MarginSeen:
    """Margin of an account whose collateral is the USDC of its spot wallet."""
    cash = next((each for each in held if each.asset == "USDC"), None)
    zero = Decimal(0)
    return MarginSeen(balance=cash.total if cash else zero, available=cash.free if cash else zero, source=source)


def client_id(text: str | UnsetType | None) -> int | None:
    """Our client id in a cloid; None for ids that are not ours."""
    if not isinstance(text, str) or not _CLOID.fullmatch(text):
        return None
    number = int(text, 16)
    return number if 1 <= number <= ABILITIES.max_client_id else None


_CLIENT_IDS: Final = Readings(client_id)
_WS: Final = Source.WS


def _status_seen(row: StatusRow, facts: MarketFacts, source: Source) -> OrderSeen:
    return _order_seen(row.order, row.status, row.status_timestamp, facts, source)


def _order_seen(row: OrderRow, word: str, at_ms: int, facts: MarketFacts, source: Source) -> OrderSeen:
    """Raises LookupError for an unknown status word, OffGrid for a number off the grid."""
    sizes = UNSIGNED[facts.size_decimals]
    left_i = sizes[row.sz]
    size_i = left_i if row.orig_sz is None else sizes[row.orig_sz]
    filled_i = size_i - left_i
    if filled_i < 0:
        raise OffGrid("more remains than was asked for")
    status, code = refusals.of_status(word, filled_i > 0, left_i == 0)
    return OrderSeen(
        symbol=row.coin,
        client_id=_CLIENT_IDS[row.cloid] if row.cloid else None,
        venue_id=str(row.oid),
        status=status,
        is_ask=row.side == "A",
        size_i=size_i,
        filled_i=filled_i,
        price_i=UNSIGNED[facts.price_decimals][row.limit_px],
        reason="" if word in ("open", "triggered", "filled") else word,
        code=code,
        engine_us=at_ms * 1000,
        source=source,
    )


def _fill_seen(row: FillRow, facts: MarketFacts, source: Source) -> FillSeen:
    return FillSeen(
        symbol=row.coin,
        trade_id=row.trade_id,
        client_id=_CLIENT_IDS[row.cloid] if row.cloid else None,
        venue_id=str(row.oid),
        is_ask=row.side == "A",
        size_i=UNSIGNED[facts.size_decimals][row.sz],
        price=PRICES[row.px],
        fee=AMOUNTS[row.fee],
        fee_asset=coin(row.fee_token),
        is_maker=not row.crossed,
        engine_us=row.time * 1000,
        source=source,
    )


def _positions(state: _Clearinghouse, source: Source) -> Iterator[PositionSeen]:
    for each in state.asset_positions:
        row = each.position
        quantity = bounded(row.szi)
        if quantity:
            yield PositionSeen(
                symbol=row.coin,
                quantity=quantity,
                entry_price=None if row.entry_px is None else bounded(row.entry_px),
                mark_price=abs(bounded(row.position_value) / quantity),
                engine_us=(state.time or 0) * 1000,
                source=source,
            )


def _margin(state: _Clearinghouse, source: Source) -> MarginSeen:
    return MarginSeen(
        balance=bounded(state.margin_summary.account_value),
        available=bounded(state.withdrawable),
        engine_us=(state.time or 0) * 1000,
        source=source,
    )


def _balances(state: _SpotState, source: Source) -> Iterator[BalanceSeen]:
    for row in state.balances:
        total = bounded(row.total)
        yield BalanceSeen(asset=coin(row.coin), free=total - bounded(row.hold), total=total, source=source)


def _book_seen(facts: MarketFacts, bid: _Level | None, ask: _Level | None, at_ms: int, source: Source) -> BookSeen:
    prices = UNSIGNED[facts.price_decimals]
    return BookSeen(
        symbol=facts.symbol,
        bid_i=None if bid is None else prices[bid.px],
        ask_i=None if ask is None else prices[ask.px],
        # No sequence numbers here; of one block's messages the last one counts.
        seq=at_ms,
        engine_us=at_ms * 1000,
        source=source,
    )
