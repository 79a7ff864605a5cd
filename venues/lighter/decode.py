"""
Bytes → events. Only the fields we use are declared: unknown ones pass, a missing one is a WireError over REST and an
``Unreadable`` on the stream.

Numbers of money are strings, ids are numbers. An order's ``transaction_time`` is microseconds of the engine, and in
the documented sample that of its birth; ``updated_at`` comes in seconds or milliseconds, told by its magnitude.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Annotated, Final, Literal, TypeAlias, TypeVar

import msgspec

from core.precision import bounded, unsigned
from venues.events import (
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
from venues.lighter import refusals
from venues.lighter.facts import USDC
from venues.readings import AMOUNTS, BROKEN, EXCERPT_CHARS, PRICES, UNSIGNED, Readings, reading
from venues.readings import excerpt as excerpt

# 9999-12-31: later times are no times.
_MAX_US: Final = 253_402_300_799_999_999
_FEE_UNIT: Final = Decimal("0.000001")

Row = TypeVar("Row")
Index: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Micros: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=_MAX_US)]
Markets: TypeAlias = Mapping[int, MarketFacts]
"""Markets by the venue's number."""

_reading: Final = partial(reading, "Lighter")
_IN_PROGRESS: Final = "in-progress"


class OrderRow(msgspec.Struct, kw_only=True, gc=False):
    """An order, REST and stream alike; in the order of the wire, which is read faster so."""

    order_index: Index
    client_order_index: Index
    market_index: Index
    initial_base_amount: str
    price: str
    is_ask: bool
    filled_base_amount: str
    type: str
    status: str
    transaction_time: Micros = 0
    updated_at: Micros = 0


class TradeRow(msgspec.Struct, kw_only=True, gc=False):
    """A trade with both of its sides, in the order of the wire."""

    trade_id: Index
    market_id: Index
    size: str
    price: str
    usd_amount: str
    ask_id: Index
    bid_id: Index
    ask_client_id: Index = 0
    bid_client_id: Index = 0
    ask_account_id: Index
    bid_account_id: Index
    is_maker_ask: bool
    timestamp: Micros = 0
    # Left out where it is 0.
    taker_fee: int = 0
    maker_fee: int = 0
    transaction_time: Micros = 0


class PositionRow(msgspec.Struct):
    market_id: Index
    sign: int
    position: str
    """Without its sign."""
    avg_entry_price: str


class _AssetRow(msgspec.Struct):
    symbol: str
    balance: str
    locked_balance: str


class _Account(msgspec.Struct):
    available_balance: str
    cross_asset_value: str
    positions: list[PositionRow] = []
    assets: list[_AssetRow] = []


class _Accounts(msgspec.Struct):
    accounts: list[_Account]


class _Orders(msgspec.Struct):
    orders: list[OrderRow]
    next_cursor: str | None = None


class _Trades(msgspec.Struct):
    trades: list[TradeRow]
    next_cursor: str | None = None


class _BookOrder(msgspec.Struct):
    price: str


class _Book(msgspec.Struct):
    asks: list[_BookOrder]
    bids: list[_BookOrder]


class _Nonce(msgspec.Struct):
    nonce: Annotated[int, msgspec.Meta(ge=0, le=(1 << 48) - 1)]


class _Status(msgspec.Struct):
    timestamp: Annotated[int, msgspec.Meta(ge=0, le=_MAX_US // 1_000_000)]


class _Key(msgspec.Struct):
    public_key: str
    api_key_index: int


class _Keys(msgspec.Struct):
    api_keys: list[_Key]


class _Level(msgspec.Struct, gc=False):
    price: str


class _Ticker(msgspec.Struct, gc=False):
    # How an empty side looks is told in words only: an empty text.
    a: _Level | str = ""
    b: _Level | str = ""
    last_updated_at: Micros = 0


class _Stats(msgspec.Struct):
    portfolio_value: str
    available_balance: str


class _Error(msgspec.Struct):
    code: int = 0
    message: str = ""


class _Data(msgspec.Struct):
    id: str | int | None = None
    tx_hash: str | None = None


class _Frame(msgspec.Struct):
    type: str = ""
    channel: str = ""
    nonce: Index = 0
    error: _Error | None = None
    ticker: _Ticker | None = None
    orders: dict[int, list[OrderRow] | None] | list[OrderRow] | None = None
    trades: dict[int, list[TradeRow] | None] | list[TradeRow] | None = None
    positions: dict[int, PositionRow] | None = None
    assets: dict[str, _AssetRow] | None = None
    stats: _Stats | None = None
    # Of an answer to a transaction; documents and clients disagree about where these stand.
    id: str | int | None = None
    tx_hash: str | None = None
    data: _Data | None = None


class _TickerFrame(msgspec.Struct, gc=False):
    channel: str
    nonce: Index
    ticker: _Ticker
    type: Literal["update/ticker"]


class _OrdersFrame(msgspec.Struct, gc=False):
    type: Literal["update/account_all_orders"]
    orders: dict[str, list[OrderRow]]


class _TradesFrame(msgspec.Struct, gc=False):
    type: Literal["update/account_all_trades"]
    trades: dict[str, list[TradeRow]]


class TransactionAnswer(msgspec.Struct, frozen=True):
    """What was said to a transaction on the stream; the two names are empty where the venue gave none."""

    request_id: str
    tx_hash: str
    code: int
    body: bytes


class PositionsSeen(msgspec.Struct, frozen=True):
    """Every position that is not flat, by the market's number: what is missing here has been closed."""

    positions: Mapping[int, PositionSeen]


Told: TypeAlias = StreamEvent | TransactionAnswer | PositionsSeen

_accounts: Final = msgspec.json.Decoder(_Accounts)
_orders: Final = msgspec.json.Decoder(_Orders)
_trades: Final = msgspec.json.Decoder(_Trades)
_book: Final = msgspec.json.Decoder(_Book)
_nonce: Final = msgspec.json.Decoder(_Nonce)
_status: Final = msgspec.json.Decoder(_Status)
_keys: Final = msgspec.json.Decoder(_Keys)
_frame: Final = msgspec.json.Decoder(_Frame)
_ticker_frame: Final = msgspec.json.Decoder(_TickerFrame)
_orders_frame: Final = msgspec.json.Decoder(_OrdersFrame)
_trades_frame: Final = msgspec.json.Decoder(_TradesFrame)


# -- REST; every function raises WireError(UNREADABLE) for an answer of another shape


def server_time(body: bytes) -> int:
    """``GET /``: Unix milliseconds, though the venue gives whole seconds only; the middle of that second."""
    with _reading("status", body):
        return _status.decode(body).timestamp * 1000 + 500


def next_nonce(body: bytes) -> int:
    with _reading("nonce", body):
        return _nonce.decode(body).nonce


def public_key(body: bytes, key_index: int) -> str:
    """The registered public key, lower-case hex without ``0x``; empty when there is none."""
    with _reading("API keys", body):
        keys = [key.public_key for key in _keys.decode(body).api_keys if key.api_key_index == key_index]
        return keys[0].lower().removeprefix("0x") if keys else ""


def order_page(body: bytes) -> tuple[list[OrderRow], str]:
    """Rows as they came, and the cursor of the next page (empty: the last one)."""
    with _reading("list of orders", body):
        page = _orders.decode(body)
        return page.orders, page.next_cursor or ""


def trade_page(body: bytes) -> tuple[list[TradeRow], str]:
    with _reading("list of trades", body):
        page = _trades.decode(body)
        return page.trades, page.next_cursor or ""


def order(row: OrderRow, markets: Markets) -> OrderSeen | None:
    """A row read over REST; None while it is on its way into the book."""
    with _reading("order", str(row.order_index)):
        return order_seen(row, markets, Source.REST)


def fills(rows: Sequence[TradeRow], markets: Markets, account: int) -> list[FillSeen]:
    with _reading("list of trades", ""):
        return [
            fill
            for row in rows
            if row.market_id in markets
            for fill in _fills(row, markets[row.market_id], account, Source.REST)
        ]


def positions(body: bytes, markets: Markets) -> tuple[PositionSeen, ...]:
    """``GET /api/v1/account``; flat rows, which the venue may keep, are left out."""
    with _reading("account", body):
        seen = [
            _position(row, markets[row.market_id], Source.REST)
            for row in _account(body).positions
            if row.market_id in markets
        ]
        return tuple(position for position in seen if position.quantity)


def balances(body: bytes) -> tuple[BalanceSeen, ...]:
    """``GET /api/v1/account``: the spot wallet. Its USDC is not the collateral of perps."""
    with _reading("account", body):
        return tuple(_balance(row, Source.REST) for row in _account(body).assets)


def margin(body: bytes) -> MarginSeen:
    with _reading("account", body):
        row = _account(body)
        return MarginSeen(
            balance=bounded(row.cross_asset_value),
            available=bounded(row.available_balance),
            source=Source.REST,
        )


def top_of_book(body: bytes, facts: MarketFacts) -> BookSeen:
    """``GET /api/v1/orderBookOrders``: single orders, the best first."""
    with _reading("order book", body):
        row, decimals = _book.decode(body), facts.price_decimals
        return BookSeen(
            symbol=facts.symbol,
            bid_i=max((unsigned(each.price, decimals) for each in row.bids), default=None),
            ask_i=min((unsigned(each.price, decimals) for each in row.asks), default=None),
            source=Source.REST,
        )


def _account(body: bytes) -> _Account:
    return _accounts.decode(body).accounts[0]


# -- the stream


def frame(data: str | bytes, markets: Markets, account: int) -> Sequence[Told]:
    """What one message tells. Never raises."""
    try:
        # The three that come most have shapes of their own. What is odd about one is told by the shape of them all.
        if isinstance(data, str):
            head = data[:80]
            if "ticker" in head:
                return (_top(_ticker_frame.decode(data), markets),)
            if "account_all_orders" in head:
                return _orders_seen(_orders_frame.decode(data), markets)
            if "account_all_trades" in head:
                return _trades_seen(_trades_frame.decode(data), markets, account)
    except BROKEN:
        pass
    return _any_frame(data, markets, account)


def _orders_seen(message: _OrdersFrame, markets: Markets) -> Sequence[OrderSeen]:
    events = []
    for rows in message.orders.values():
        for row in rows:
            seen = order_seen(row, markets, Source.WS) if row.market_index in markets else None
            if seen is not None:
                events.append(seen)
    return events


def _trades_seen(message: _TradesFrame, markets: Markets, account: int) -> Sequence[FillSeen]:
    events: list[FillSeen] = []
    for rows in message.trades.values():
        for row in rows:
            facts = markets.get(row.market_id)
            if facts is not None:
                events += _fills(row, facts, account, Source.WS)
    return events


def _any_frame(data: str | bytes, markets: Markets, account: int) -> Sequence[Told]:
    try:
        message = _frame.decode(data)
        if message.error is not None:
            return _error(message, data)
        kind = message.type.partition("/")[2]
        if kind == "ticker" and message.ticker is not None:
            return (_top(message, markets),)
        if message.type == "jsonapi/sendtx":
            return (_answer(message, data),)
        if kind.startswith(("account_", "user_stats")):
            return _account_events(message, kind, markets, account)
        # Greetings, pongs, and channels that we did not ask for.
        return () if message.type else (Unreadable(why="a message without a type", text=excerpt(data)),)
    except KeyError as broken:
        return (Unreadable(why=f"unknown market or state {str(broken)[:80]}", text=excerpt(data)),)
    except BROKEN as broken:
        return (Unreadable(why=str(broken)[:EXCERPT_CHARS], text=excerpt(data)),)


def _account_events(message: _Frame, kind: str, markets: Markets, account: int) -> Sequence[Told]:
    events: list[Told] = []
    for trade in _rows(message.trades):
        if trade.market_id in markets:
            events += _fills(trade, markets[trade.market_id], account, Source.WS)
    for row in _rows(message.orders):
        seen = order_seen(row, markets, Source.WS) if row.market_index in markets else None
        if seen is not None:
            events.append(seen)
    if kind == "account_all_positions" and message.positions is not None:
        rows = {number: row for number, row in message.positions.items() if number in markets}
        seen_all = {number: _position(row, markets[number], Source.WS) for number, row in rows.items()}
        events.append(PositionsSeen(seen_all))
    events += [_balance(row, Source.WS) for row in (message.assets or {}).values()]
    if message.stats is not None:
        events.append(
            MarginSeen(
                balance=bounded(message.stats.portfolio_value),
                available=bounded(message.stats.available_balance),
            )
        )
    if message.type.startswith("subscribed/account_"):
        # One token opens them all, so the first that answers speaks for the others.
        events.append(LineReady(stage="subscribed"))
    return events


def _rows(told: Mapping[int, list[Row] | None] | list[Row] | None) -> list[Row]:
    if isinstance(told, Mapping):
        return [row for rows in told.values() for row in rows or ()]
    return told or []


def _error(message: _Frame, data: str | bytes) -> Sequence[Told]:
    error = message.error
    assert error is not None
    if error.code == refusals.ALREADY_SUBSCRIBED:
        return ()
    code = refusals.code_of(400, refusals.Word(error.code, error.message))
    if 21000 <= error.code < 22000 or code in ("RATE_LIMITED", "VENUE_UNAVAILABLE"):
        return (TransactionAnswer("", "", error.code, _raw(data)),)
    hint = f"Lighter refused a subscription ({error.code}): {error.message[:EXCERPT_CHARS]}"
    return (LineRefused(code=code, hint=hint, raw=excerpt(data)),)


def _answer(message: _Frame, data: str | bytes) -> TransactionAnswer:
    request_id = message.id if message.id is not None else message.data.id if message.data else None
    tx_hash = message.tx_hash or (message.data.tx_hash if message.data else None)
    body = _raw(data)
    code = refusals.word_of(body).code
    return TransactionAnswer("" if request_id is None else str(request_id), tx_hash or "", code, body)


def _top(message: _Frame | _TickerFrame, markets: Markets) -> BookSeen:
    ticker, facts = message.ticker, markets[_NUMBERS[message.channel]]
    assert ticker is not None
    prices = UNSIGNED[facts.price_decimals]
    bid = ticker.b if isinstance(ticker.b, str) else ticker.b.price
    ask = ticker.a if isinstance(ticker.a, str) else ticker.a.price
    return BookSeen(
        symbol=facts.symbol,
        bid_i=(prices[bid] or None) if bid else None,
        ask_i=(prices[ask] or None) if ask else None,
        seq=message.nonce,
        engine_us=ticker.last_updated_at,
    )


# -- rows


def order_seen(row: OrderRow, markets: Markets, source: Source) -> OrderSeen | None:
    """
    An order row; None while the sequencer works on it: it is neither live nor refused yet.

    Raises:
        KeyError: an unknown market or state.
        OffGrid: a number off the grid.
    """
    if row.status == _IN_PROGRESS:
        return None
    facts = markets[row.market_index]
    sizes = UNSIGNED[facts.size_decimals]
    filled_i = sizes[row.filled_base_amount]
    code = reason = ""
    live = row.status == "open" or row.status == "pending"
    if live:
        status = _PARTIALLY_FILLED if filled_i else _OPEN
    elif row.status == "filled":
        status = _FILLED
    else:
        reason = row.status
        status, code = refusals.of_end(reason, traded=filled_i > 0, spot=facts.kind == "spot")
    return OrderSeen(
        symbol=facts.symbol,
        client_id=row.client_order_index or None,
        venue_id=str(row.order_index),
        status=status,
        is_ask=row.is_ask,
        size_i=sizes[row.initial_base_amount],
        filled_i=filled_i,
        # The price of a market order is only the worst it would have taken.
        price_i=None if row.type == "market" else UNSIGNED[facts.price_decimals][row.price],
        reason=reason,
        code=code,
        # Over REST the end of an order may be stamped with its birth, and would look older than what the stream said.
        engine_us=max(row.transaction_time, _micros(row.updated_at)) if live or source is _WS else 0,
        source=source,
    )


def _fills(row: TradeRow, facts: MarketFacts, account: int, source: Source) -> list[FillSeen]:
    """Our side of a trade; both sides where an account trades with itself, none for a stranger's."""
    value = AMOUNTS[row.usd_amount]
    fills = []
    for is_ask, owner, venue_id, client_id in (
        (True, row.ask_account_id, row.ask_id, row.ask_client_id),
        (False, row.bid_account_id, row.bid_id, row.bid_client_id),
    ):
        if owner != account:
            continue
        is_maker = is_ask == row.is_maker_ask
        fills.append(
            FillSeen(
                symbol=facts.symbol,
                trade_id=str(row.trade_id),
                client_id=client_id or None,
                venue_id=str(venue_id),
                is_ask=is_ask,
                size_i=UNSIGNED[facts.size_decimals][row.size],
                price=PRICES[row.price],
                # Millionths of the trade's value; on spot, too, taken in USDC as far as anything shows.
                fee=value * (row.maker_fee if is_maker else row.taker_fee) * _FEE_UNIT,
                fee_asset=USDC,
                is_maker=is_maker,
                engine_us=row.transaction_time or _micros(row.timestamp),
                source=source,
            )
        )
    return fills


def _position(row: PositionRow, facts: MarketFacts, source: Source) -> PositionSeen:
    quantity = bounded(row.position) * (-1 if row.sign < 0 else 1)
    return PositionSeen(
        symbol=facts.symbol,
        quantity=quantity,
        entry_price=bounded(row.avg_entry_price) if quantity else None,
        source=source,
    )


def _balance(row: _AssetRow, source: Source) -> BalanceSeen:
    total = bounded(row.balance)
    return BalanceSeen(asset=row.symbol, free=total - bounded(row.locked_balance), total=total, source=source)


# -- small readings


def _market_number(channel: str) -> int:
    return int(channel.rpartition(":")[2])


_NUMBERS: Final = Readings(_market_number)
_WS, _OPEN, _PARTIALLY_FILLED, _FILLED = Source.WS, Status.OPEN, Status.PARTIALLY_FILLED, Status.FILLED


def _micros(moment: int) -> int:
    """A Unix time of unsaid unit: seconds, milliseconds and microseconds differ by their size until the year 5138."""
    if moment < 100_000_000_000:
        return moment * 1_000_000
    return moment * 1000 if moment < 100_000_000_000_000 else moment


def _raw(data: str | bytes) -> bytes:
    return data if isinstance(data, bytes) else data.encode(errors="replace")
