"""Backpack's whole language for one account: encode, sign, decode and the talks that take several requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from venues.backpack import decode, encode, facts, refusals
from venues.backpack.sign import Signer
from venues.dialect import HttpCall, HttpReply, Line, OrderKey, PlaceOrder, RateRules, Talk
from venues.errors import LocalRuleError, OutcomeUnknown, WireError
from venues.events import (
    BalanceSeen,
    BookSeen,
    FillSeen,
    MarginSeen,
    MarketFacts,
    OrderSeen,
    PositionSeen,
    StreamEvent,
)

Row = TypeVar("Row")

PAGES: Final = 5
"""How many history pages one look-up reads at most."""

# Our clock, the venue's and the milliseconds of ``createdAt`` never differ by more than this.
_AGE_MARGIN_US: Final = 60_000_000
_REMEMBERED: Final = 10_000


class BackpackDialect:
    """
    Implements :class:`venues.dialect.Dialect`.

    ``endpoints`` has ``ws``. When each order was signed is kept (the last 10,000): history has no filter by client
    id, and a scan back in time is complete once it has passed that moment.
    """

    name = facts.NAME
    abilities = facts.ABILITIES
    rates: RateRules = facts.Rates()

    def __init__(self, signer: Signer, endpoints: Mapping[str, str]) -> None:
        self.markets: Mapping[str, MarketFacts] = {}
        self._signer = signer
        self._ws_url = endpoints["ws"]
        self._signed_ms: dict[tuple[str, int], int] = {}

    # -- facts, time, signing

    def facts(self) -> Talk[Mapping[str, MarketFacts]]:
        reply = yield encode.markets()
        return facts.read_markets(_answer(reply))

    def server_time(self) -> Talk[int]:
        reply = yield encode.server_time()
        return decode.server_time(_answer(reply))

    def sign(self, call: HttpCall, now_ms: int) -> HttpCall:
        return self._signer.signed(call, now_ms)

    def prepare(self) -> Talk[None]:
        """Nothing to learn: no sequence numbers, one-way positions only."""
        return
        yield

    @property
    def unprepared(self) -> bool:
        return False

    # -- order entry

    def order_line(self, symbol: str) -> None:
        return None

    def place(self, order: PlaceOrder, now_ms: int, *, rest: bool = False) -> HttpCall:
        call = encode.place(order, self._market(order.symbol))
        if len(self._signed_ms) >= _REMEMBERED:
            del self._signed_ms[next(iter(self._signed_ms))]
        self._signed_ms[order.symbol, order.client_id] = now_ms
        return call

    def read_placed(self, order: PlaceOrder, reply: HttpReply) -> Sequence[OrderSeen]:
        if reply.status != 200:
            market = self.markets.get(order.symbol)
            raise refusals.of_order(reply, spot=market is not None and market.kind == "spot")
        try:
            seen = decode.order(reply.body, self.markets)
        except WireError as broken:
            raise OutcomeUnknown("IN_DOUBT", broken.hint, raw=broken.raw) from broken
        if seen.symbol != order.symbol or seen.client_id not in (None, order.client_id):
            raise OutcomeUnknown("IN_DOUBT", "Backpack answered with another order.", raw=seen.venue_id)
        return (msgspec.structs.replace(seen, client_id=order.client_id),)

    def cancel(self, key: OrderKey, now_ms: int, *, rest: bool = False) -> HttpCall:
        return encode.cancel(key.symbol, key.client_id)

    def read_cancelled(self, key: OrderKey, reply: HttpReply) -> Sequence[OrderSeen]:
        if reply.status == 202:
            # Taken, not done yet: the end comes by stream.
            return ()
        if reply.status != 200:
            raise refusals.of_order(reply, what="cancel")
        return (_expect(decode.order(reply.body, self.markets), key),)

    def cancel_all(self, symbol: str) -> Talk[Sequence[OrderSeen]]:
        reply = yield encode.cancel_all(symbol)
        if reply.status == 202:
            return ()
        if reply.status != 200:
            raise refusals.of_order(reply, what="cancel of all orders")
        return decode.orders(reply.body, self.markets)

    def fence(self, key: OrderKey) -> Talk[bool]:
        """None but the window: wait until it has passed."""
        return False
        yield

    def dead_man(self, symbol: str, secs: int) -> Talk[None]:
        """Backpack has no such switch."""
        return
        yield

    # -- reading

    def look_up(self, key: OrderKey) -> Talk[OrderSeen | None]:
        reply = yield encode.order(key.symbol, key.client_id)
        if reply.status == 200:
            return _expect(decode.order(reply.body, self.markets), key)
        verdict = refusals.of_reading(reply)
        if verdict.code != "ORDER_NOT_FOUND":
            raise verdict
        return (yield from self._ended(key))

    def _ended(self, key: OrderKey) -> Talk[OrderSeen | None]:
        """The order in history; None when the scan went back to the order's birth or to the end."""
        signed_ms = self._signed_ms.get((key.symbol, key.client_id)) or key.sent_ms or None
        oldest_us = 0 if signed_ms is None else signed_ms * 1000 - _AGE_MARGIN_US
        offset = 0
        for _ in range(PAGES):
            reply = yield encode.order_history(key.symbol, key.venue_id, offset)
            rows = decode.order_rows(_answer(reply))
            young = [row for row in rows if decode.created_us(row) >= oldest_us]
            for row in young:
                # Whatever else the row says: the history was asked for this market, and for the id where it is known.
                if row.client_id == key.client_id or row.id == key.venue_id:
                    return _expect(decode.history_row(row, self.markets), key)
            offset += len(rows)
            if _last_page(reply, len(rows), offset) or (rows and not young):
                return None
        raise OutcomeUnknown("IN_DOUBT", f"Not among the last {offset} orders, and there are older ones.")

    def open_orders(self, symbol: str | None) -> Talk[Sequence[OrderSeen]]:
        reply = yield encode.open_orders(symbol)
        return decode.orders(_answer(reply), self.markets)

    def order_fills(self, key: OrderKey) -> Talk[Sequence[FillSeen]]:
        venue_id = key.venue_id
        if not venue_id:
            seen = yield from self.look_up(key)
            if seen is None:
                return ()
            venue_id = seen.venue_id
        wanted: str = venue_id
        rows = yield from _pages(
            lambda offset: encode.order_fills(key.symbol, wanted, offset), decode.fill_rows, "fills"
        )
        fills = (decode.fill(row, self.markets) for row in rows if row.order_id == wanted)
        return _distinct([msgspec.structs.replace(fill, client_id=key.client_id) for fill in fills])

    def recent_fills(self, since_ms: int) -> Talk[Sequence[FillSeen]]:
        rows = yield from _pages(lambda offset: encode.recent_fills(since_ms, offset), decode.fill_rows, "fills")
        return _distinct([decode.fill(row, self.markets) for row in rows if row.symbol in self.markets])

    def positions(self) -> Talk[Sequence[PositionSeen]]:
        reply = yield encode.positions()
        return decode.positions(_answer(reply))

    def balances(self) -> Talk[Sequence[BalanceSeen]]:
        capital = yield encode.capital()
        capital_body = _answer(capital)
        collateral = yield encode.collateral()
        return decode.balances(capital_body, _answer(collateral))

    def margin(self) -> Talk[MarginSeen]:
        reply = yield encode.collateral()
        return decode.margin(_answer(reply))

    def top_of_book(self, symbol: str) -> Talk[BookSeen]:
        market = self._market(symbol)
        reply = yield encode.depth(symbol)
        return decode.depth(_answer(reply), market)

    # -- streams

    def lines(self) -> Sequence[Line]:
        # Login is the subscribe frame itself, and the venue acknowledges neither.
        return (Line(name="main", private=True),)

    def open_line(self, line: str) -> Talk[str]:
        yield from ()
        return self._ws_url

    def login(self, line: str, now_ms: int) -> Sequence[str]:
        return ()

    def subscribe(self, line: str, symbols: Sequence[str], now_ms: int) -> Sequence[str]:
        """
        One signed frame for the account, one for the books of ``symbols``.

        Asked again on a running line it repeats the account streams. That is harmless: a position snapshot comes
        once more, and whatever is told twice is dropped by trade id and engine time.
        """
        account = encode.subscribe_account(self._signer.subscription(now_ms))
        return (account, encode.subscribe_books(symbols)) if symbols else (account,)

    def upkeep(self, line: str) -> Talk[None]:
        yield from ()

    def decode(self, line: str, data: str | bytes) -> Sequence[StreamEvent]:
        return decode.frame(data, self.markets)

    def _market(self, symbol: str) -> MarketFacts:
        market = self.markets.get(symbol)
        if market is None:
            raise LocalRuleError("UNKNOWN_SYMBOL", f"Backpack has no market {symbol}.")
        return market


def _answer(reply: HttpReply) -> bytes:
    if reply.status != 200:
        raise refusals.of_reading(reply)
    return reply.body


def _expect(seen: OrderSeen, key: OrderKey) -> OrderSeen:
    """``seen`` if it is the order that we asked for, with its client id."""
    if seen.symbol != key.symbol or seen.client_id not in (None, key.client_id):
        raise WireError("UNREADABLE", "Backpack answered with another order.", raw=seen.venue_id)
    return msgspec.structs.replace(seen, client_id=key.client_id)


def _pages(ask: Callable[[int], HttpCall], read: Callable[[bytes], list[Row]], what: str) -> Talk[list[Row]]:
    """Every row of a paged history. Raises OutcomeUnknown when it is longer than we read."""
    rows: list[Row] = []
    for _ in range(PAGES):
        reply = yield ask(len(rows))
        page = read(_answer(reply))
        rows += page
        if _last_page(reply, len(page), len(rows)):
            return rows
    raise OutcomeUnknown("IN_DOUBT", f"More than {len(rows)} {what} to read.")


def _last_page(reply: HttpReply, count: int, end: int) -> bool:
    """
    True when no rows follow the ``count`` ones up to offset ``end``.

    The header counts all rows, whatever size of page the venue chose to give; without it a short page is the last.
    New rows come in at the top meanwhile, so a row may be read twice and is never missed.
    """
    total = reply.headers.get("x-total", "")
    if total.isdecimal() and len(total) < 19:
        if count == 0 and end < int(total):
            raise WireError("UNREADABLE", f"Backpack's history ends at {end} of {total} rows.")
        return end >= int(total)
    return count < encode.PAGE


def _distinct(fills: Sequence[FillSeen]) -> tuple[FillSeen, ...]:
    """Each trade once, oldest first."""
    return tuple(
        sorted({(fill.symbol, fill.trade_id): fill for fill in fills}.values(), key=lambda fill: fill.engine_us)
    )
