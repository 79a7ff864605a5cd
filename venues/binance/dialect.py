"""Binance's whole language for one account: encode, sign, decode and the talks that take several requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from venues.binance import decode, encode, facts, refusals
from venues.binance.facts import PERP_SUFFIX, is_perp
from venues.binance.sign import Signer
from venues.dialect import HttpCall, HttpReply, Line, OrderKey, PlaceOrder, Talk, WsText
from venues.errors import LocalRuleError, OutcomeUnknown, Refused, WireError
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

PERP_BOOKS: Final = "perp_books"
PERP_ACCOUNT: Final = "perp_account"
PERP_ORDERS: Final = "perp_orders"
SPOT_BOOKS: Final = "spot_books"
SPOT_ACCOUNT: Final = "spot_account"
"""The spot WebSocket API: the account's events, and orders."""

UPKEEP_SECS: Final = 1800.0
"""A listen key lives for 60 minutes from its last PUT."""
PAGES: Final = 10
"""How many pages of trades one reading takes at most for one market."""
_REMEMBERED: Final = 10_000
_AGE_MARGIN_MS: Final = 3_600_000


class BinanceDialect:
    """
    Implements :class:`venues.dialect.Dialect`.

    When each order was signed is kept (the last 10,000): the venue forgets perp orders that ended without a fill.
    The markets that were watched or traded are kept too: trades can be read market by market only.
    """

    name = facts.NAME
    abilities = facts.ABILITIES
    rates: facts.Rates

    def __init__(self, signer: Signer, endpoints: Mapping[str, str]) -> None:
        self.markets: Mapping[str, MarketFacts] = {}
        self.rates = facts.Rates()
        self._signer = signer
        self._fstream_url = endpoints["fstream"]
        self._urls = {
            PERP_BOOKS: self._fstream_url + "/public/ws",
            PERP_ORDERS: endpoints["ws_fapi"],
            SPOT_BOOKS: endpoints["stream"] + "/ws",
            SPOT_ACCOUNT: endpoints["ws_api"],
        }
        self._sent_ms: dict[tuple[str, int], int] = {}
        self._followed: dict[str, None] = {}
        self._requests = 0
        self._readers: Mapping[str, Callable[[str | bytes], Sequence[StreamEvent]]] = {
            PERP_BOOKS: lambda data: decode.book_frame(data, self.markets, PERP_SUFFIX),
            PERP_ACCOUNT: lambda data: decode.perp_account_frame(data, self.markets),
            PERP_ORDERS: lambda data: decode.api_frame(data, self.markets),
            SPOT_BOOKS: lambda data: decode.book_frame(data, self.markets, ""),
            SPOT_ACCOUNT: lambda data: decode.api_frame(data, self.markets),
        }

    # -- facts, time, signing

    def facts(self) -> Talk[Mapping[str, MarketFacts]]:
        perps = yield encode.perp_markets()
        markets = facts.read_markets(_answer(perps), "perp")
        self.rates.learn("fapi", perps.body)
        spots = yield encode.spot_markets()
        markets |= facts.read_markets(_answer(spots), "spot")
        self.rates.learn("api", spots.body)
        return markets

    def server_time(self) -> Talk[int]:
        reply = yield encode.server_time()
        return decode.server_time(_answer(reply))

    def sign(self, call: HttpCall, now_ms: int) -> HttpCall:
        return self._signer.signed(call, now_ms)

    def prepare(self) -> Talk[None]:
        """Refuses an account in hedge mode: it takes no reduce-only orders and wants a side for each position."""
        reply = yield encode.position_mode()
        if decode.is_hedged(_answer(reply)):
            raise Refused("ACCOUNT_MODE", "Binance futures are in hedge mode; switch the account to one-way mode.")

    @property
    def unprepared(self) -> bool:
        return False

    # -- order entry

    def order_line(self, symbol: str) -> str:
        return PERP_ORDERS if is_perp(symbol) else SPOT_ACCOUNT

    def place(self, order: PlaceOrder, now_ms: int, *, rest: bool = False) -> HttpCall | WsText:
        params = encode.place(order, self._market(order.symbol))
        if len(self._sent_ms) >= _REMEMBERED:
            del self._sent_ms[next(iter(self._sent_ms))]
        self._sent_ms[order.symbol, order.client_id] = now_ms
        self._followed[order.symbol] = None
        if rest:
            return encode.order_call("POST", order.symbol, params)
        return self._request(order.symbol, "order.place", params, now_ms)

    def read_placed(self, order: PlaceOrder, reply: HttpReply) -> Sequence[OrderSeen | FillSeen]:
        if reply.status != 200:
            raise refusals.of_order(reply, order=order, market=self.markets.get(order.symbol))
        try:
            seen, fills = decode.order(reply.body, self.markets, _suffix(order.symbol))
        except WireError as broken:
            raise OutcomeUnknown("IN_DOUBT", broken.hint, raw=broken.raw) from broken
        if seen.symbol != order.symbol or seen.client_id != order.client_id:
            raise OutcomeUnknown("IN_DOUBT", "Binance answered with another order.", raw=seen.venue_id)
        return (*fills, seen)

    def cancel(self, key: OrderKey, now_ms: int, *, rest: bool = False) -> HttpCall | WsText:
        params = encode.named(key)
        if rest:
            return encode.order_call("DELETE", key.symbol, params)
        return self._request(key.symbol, "order.cancel", params, now_ms)

    def read_cancelled(self, key: OrderKey, reply: HttpReply) -> Sequence[OrderSeen]:
        if reply.status != 200:
            raise refusals.of_order(reply)
        return (self._expected(reply, key),)

    def cancel_all(self, symbol: str) -> Talk[Sequence[OrderSeen]]:
        """The ends come by stream; spot says "Unknown order sent." where nothing was open."""
        reply = yield encode.cancel_all(symbol)
        if reply.status != 200:
            verdict = refusals.of_order(reply)
            if isinstance(verdict, Refused) and verdict.code == "ORDER_NOT_FOUND":
                return ()
            raise verdict
        return ()

    def fence(self, key: OrderKey) -> Talk[bool]:
        """None but the window: wait until it has passed."""
        return False
        yield

    def dead_man(self, symbol: str, secs: int) -> Talk[None]:
        """Spot has no such switch."""
        if is_perp(symbol):
            reply = yield encode.countdown(symbol, secs)
            _answer(reply)

    # -- reading

    def look_up(self, key: OrderKey) -> Talk[OrderSeen | None]:
        """One query knows open and ended orders alike; the open ones are read too before absence is said."""
        reply = yield encode.order_call("GET", key.symbol, encode.named(key))
        if reply.status == 200:
            return self._expected(reply, key)
        verdict = refusals.of_reading(reply)
        if verdict.code != "ORDER_NOT_FOUND":
            raise verdict
        reply = yield encode.open_orders(key.symbol)
        for seen in decode.orders(_answer(reply), self.markets, _suffix(key.symbol), strangers=False):
            if seen.client_id == key.client_id or seen.venue_id == key.venue_id:
                return _expect(seen, key)
        sent_ms = self._sent_ms.get((key.symbol, key.client_id)) or key.sent_ms
        if sent_ms and is_perp(key.symbol):
            now_ms = yield from self.server_time()
            if now_ms - sent_ms > facts.ENDED_KEPT_MS - _AGE_MARGIN_MS:
                raise OutcomeUnknown("IN_DOUBT", "Binance forgets orders without a fill after three days.")
        return None

    def open_orders(self, symbol: str | None) -> Talk[Sequence[OrderSeen]]:
        if symbol is not None:
            reply = yield encode.open_orders(symbol)
            return decode.orders(_answer(reply), self.markets, _suffix(symbol))
        perps, spots = encode.all_open_orders()
        reply = yield perps
        seen = decode.orders(_answer(reply), self.markets, PERP_SUFFIX)
        reply = yield spots
        return (*seen, *decode.orders(_answer(reply), self.markets, ""))

    def order_fills(self, key: OrderKey) -> Talk[Sequence[FillSeen]]:
        venue_id = key.venue_id
        if not venue_id:
            found = yield from self.look_up(key)
            if found is None:
                return ()
            venue_id = found.venue_id
        reply = yield encode.order_fills(key.symbol, venue_id)
        rows = [row for row in decode.trade_rows(_answer(reply)) if str(row.order_id) == venue_id]
        if len(rows) >= encode.PAGE:
            raise OutcomeUnknown("IN_DOUBT", f"An order of more than {encode.PAGE} trades.")
        fills = (decode.trade(row, self.markets, _suffix(key.symbol)) for row in rows)
        return _distinct([msgspec.structs.replace(fill, client_id=key.client_id) for fill in fills])

    def recent_fills(self, since_ms: int) -> Talk[Sequence[FillSeen]]:
        """In every market that was watched or traded: the venue has no reading over all of them."""
        fills: list[FillSeen] = []
        for symbol in tuple(self._followed):
            reply = yield encode.fills_since(symbol, since_ms)
            rows = decode.trade_rows(_answer(reply))
            for _ in range(PAGES):
                fills += [decode.trade(row, self.markets, _suffix(symbol)) for row in rows]
                if len(rows) < encode.PAGE:
                    break
                reply = yield encode.fills_from(symbol, max(row.id for row in rows) + 1)
                rows = decode.trade_rows(_answer(reply))
            else:
                raise OutcomeUnknown("IN_DOUBT", f"More than {PAGES * encode.PAGE} trades to read in {symbol}.")
        return _distinct(fills)

    def positions(self) -> Talk[Sequence[PositionSeen]]:
        reply = yield encode.positions()
        return decode.positions(_answer(reply))

    def balances(self) -> Talk[Sequence[BalanceSeen]]:
        reply = yield encode.spot_account()
        return decode.balances(_answer(reply))

    def margin(self) -> Talk[MarginSeen]:
        reply = yield encode.perp_account()
        return decode.margin(_answer(reply))

    def top_of_book(self, symbol: str) -> Talk[BookSeen]:
        market = self._market(symbol)
        reply = yield encode.book_ticker(symbol)
        return decode.book_ticker(_answer(reply), market)

    # -- streams

    def lines(self) -> Sequence[Line]:
        """
        Both accounts' lines are private: which products will be traded is not known when they are opened, and the
        snapshot is one for both. Perp orders have a line of their own; while it is down they go over REST.
        """
        return (
            Line(name=PERP_BOOKS, private=False),
            Line(name=PERP_ACCOUNT, private=True, upkeep_secs=UPKEEP_SECS),
            Line(name=PERP_ORDERS, private=False),
            Line(name=SPOT_BOOKS, private=False),
            Line(name=SPOT_ACCOUNT, private=True, needs_login=self._signer.can_log_on, acks_subscriptions=True),
        )

    def open_line(self, line: str) -> Talk[str]:
        if line != PERP_ACCOUNT:
            return self._urls[line]
        # The same key while it lives, and a new one after it expired.
        reply = yield encode.listen_key("POST")
        return f"{self._fstream_url}/private/ws?listenKey={decode.listen_key(_answer(reply))}"

    def login(self, line: str, now_ms: int) -> Sequence[str]:
        if line == SPOT_ACCOUNT and self._signer.can_log_on:
            return (self._signer.logon(decode.LOGIN_ID, now_ms),)
        return ()

    def subscribe(self, line: str, symbols: Sequence[str], now_ms: int) -> Sequence[str]:
        self._followed.update(dict.fromkeys(symbols))
        if line in (PERP_BOOKS, SPOT_BOOKS):
            wanted = [symbol for symbol in symbols if is_perp(symbol) == (line == PERP_BOOKS)]
            return (encode.subscribe_books(wanted),) if wanted else ()
        if line != SPOT_ACCOUNT:
            return ()
        if self._signer.can_log_on:
            return (encode.subscribe_account(decode.ACCOUNT_ID),)
        return (self._signer.frame(decode.ACCOUNT_ID, "userDataStream.subscribe.signature", (), now_ms),)

    def upkeep(self, line: str) -> Talk[None]:
        if line == PERP_ACCOUNT:
            reply = yield encode.listen_key("PUT")
            if refusals.listen_key_is_dead(reply):
                # The line is dropped for it, and the next one asks for a new key.
                raise OutcomeUnknown("WS_TIMEOUT", "the listen key has expired")
            _answer(reply)

    def decode(self, line: str, data: str | bytes) -> Sequence[StreamEvent]:
        return self._readers[line](data)

    # -- inside

    def _request(self, symbol: str, method: str, params: encode.Params, now_ms: int) -> WsText:
        self._requests += 1
        line, number = self.order_line(symbol), str(self._requests)
        if line == SPOT_ACCOUNT and self._signer.can_log_on:
            return WsText(line, number, encode.logged_on_frame(number, method, params, now_ms))
        return WsText(line, number, self._signer.frame(number, method, params, now_ms))

    def _expected(self, reply: HttpReply, key: OrderKey) -> OrderSeen:
        seen, _ = decode.order(reply.body, self.markets, _suffix(key.symbol))
        return _expect(seen, key)

    def _market(self, symbol: str) -> MarketFacts:
        market = self.markets.get(symbol)
        if market is None:
            raise LocalRuleError("UNKNOWN_SYMBOL", f"Binance has no market {symbol}.")
        return market


def _suffix(symbol: str) -> str:
    return PERP_SUFFIX if is_perp(symbol) else ""


def _answer(reply: HttpReply) -> bytes:
    if reply.status != 200:
        raise refusals.of_reading(reply)
    return reply.body


def _expect(seen: OrderSeen, key: OrderKey) -> OrderSeen:
    """``seen`` if it is the order that we asked for."""
    if seen.symbol != key.symbol or seen.client_id != key.client_id:
        raise WireError("UNREADABLE", "Binance answered with another order.", raw=seen.venue_id)
    return seen


def _distinct(fills: Sequence[FillSeen]) -> tuple[FillSeen, ...]:
    """Each trade once, oldest first."""
    return tuple(
        sorted({(fill.symbol, fill.trade_id): fill for fill in fills}.values(), key=lambda fill: fill.engine_us)
    )
