"""Hyperliquid's whole language for one account: encode, sign, decode and the talks that take several requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET

from venues.dialect import HttpCall, HttpReply, Line, OrderKey, PlaceOrder, RateRules, Talk, WsText
from venues.errors import LocalRuleError, OutcomeUnknown, Refused, WireError
from venues.events import (
    BalanceSeen,
    BookSeen,
    FillSeen,
    MarginSeen,
    MarketFacts,
    OrderSeen,
    PositionSeen,
    Source,
    Status,
    StreamEvent,
)
from venues.hyperliquid import decode, encode, facts, refusals
from venues.hyperliquid.sign import Signer, address_of

ROWS: Final = 2000
"""Rows of one history answer at most."""
PAGES: Final = 5
"""The venue keeps the last 10,000 fills."""

# Our clock and the venue's never differ by more than this.
_AGE_MARGIN_MS: Final = 60_000
_REMEMBERED: Final = 10_000
_RAW_CHARS: Final = 300
_TRADING_ROLES: Final = frozenset({"user", "subAccount", "vault"})
_SPOT_COLLATERAL: Final = frozenset({"unifiedAccount", "portfolioMargin"})


class HyperliquidDialect:
    """
    Implements :class:`venues.dialect.Dialect`.

    ``endpoints`` has ``ws``. ``address`` is the account; empty means the signer's own. The nonce of each order (of the
    last 10,000) is kept: burning it is how a doubtful order is fenced off.
    """

    name = facts.NAME
    abilities = facts.ABILITIES
    rates: RateRules = facts.Rates()

    def __init__(self, signer: Signer, address: str, endpoints: Mapping[str, str]) -> None:
        self.markets: Mapping[str, MarketFacts] = {}
        self._signer = signer
        self._address = address_of(address) if address.strip() else signer.address
        self._ws_url = endpoints["ws"]
        self._assets: Mapping[str, int] = {}
        self._nonces: dict[int, int] = {}
        self._posts = 0
        self._known = False
        self._subscribed: set[str] = set()
        self._stand = decode.Stand()
        self._no_dead_man = False

    # -- facts, time, signing

    def facts(self) -> Talk[Mapping[str, MarketFacts]]:
        meta = yield encode.info("meta")
        meta_body = _answer(meta)
        spot_meta = yield encode.info("spotMeta")
        markets, self._assets = facts.read_markets(meta_body, _answer(spot_meta))
        return markets

    def server_time(self) -> Talk[int]:
        reply = yield encode.info("exchangeStatus")
        return decode.server_time(_answer(reply))

    def prepare(self) -> Talk[None]:
        """
        Once: does the venue know the account, and may this key trade for it? Readings are public here, so a wrong key
        would show with the first order only.
        """
        if self._known:
            return
        reply = yield encode.info("userRole", user=self._signer.address)
        role, master = decode.role(_answer(reply))
        own = self._signer.address == self._address
        if own and role == "agent":
            hint = f"this key is an agent's: address must be the account that it trades for, {master}"
            raise Refused("AUTH", hint, raw=role)
        if role not in _TRADING_ROLES if own else (role != "agent" or master != self._address):
            what = "has no account for this key" if own else f"does not know this key as an agent of {self._address}"
            raise Refused("AUTH", f"Hyperliquid {what}: deposit, or approve the agent, first.", raw=role)
        reply = yield encode.info("userAbstraction", user=self._address)
        self._stand.margin_in_spot = decode.abstraction(_answer(reply)) in _SPOT_COLLATERAL
        self._known = True

    @property
    def unprepared(self) -> bool:
        """Nonces follow the clock: an answer never puts them out of step."""
        return False

    def sign(self, call: HttpCall, now_ms: int) -> HttpCall:
        if call.auth is None:
            return call
        action: dict[str, Any] = msgspec.json.decode(call.body)
        params = dict(call.params)
        if encode.AFTER in params:
            action["time"] = now_ms + int(params[encode.AFTER])
        nonce = int(params[encode.NONCE]) if encode.NONCE in params else self._signer.next_nonce(now_ms)
        return encode.exchange(self._signer.envelope(action, nonce))

    # -- order entry

    def order_line(self, symbol: str) -> str:
        return encode.LINE

    def place(self, order: PlaceOrder, now_ms: int, *, rest: bool = False) -> HttpCall | WsText:
        action = encode.place(order, self._market(order.symbol), self._assets[order.symbol])
        nonce = self._signer.next_nonce(now_ms)
        if len(self._nonces) >= _REMEMBERED:
            del self._nonces[next(iter(self._nonces))]
        self._nonces[order.client_id] = nonce
        return self._request(self._signer.envelope(action, nonce, now_ms + self.abilities.expiry_ms), rest)

    def read_placed(self, order: PlaceOrder, reply: HttpReply) -> Sequence[OrderSeen | FillSeen]:
        (ack,) = refusals.acknowledged(reply, "order", 1)
        if ack.error is not None:
            raise refusals.of_action(ack.error, "order")
        told = ack.resting or ack.filled
        if told is None:
            raise OutcomeUnknown(
                "IN_DOUBT", "Hyperliquid's answer to the order says nothing we know.", raw=ack.word[:_RAW_CHARS]
            )
        filled_i = decode.size(ack.filled.total_sz, self._market(order.symbol)) if ack.filled else 0
        status = Status.OPEN
        if filled_i >= order.size_i:
            status = Status.FILLED
        elif filled_i:
            # Only a limit order rests with what is left.
            status = Status.CANCELLED if order.price_i is None else Status.PARTIALLY_FILLED
        return (
            OrderSeen(
                symbol=order.symbol,
                client_id=order.client_id,
                venue_id=str(told.oid),
                status=status,
                is_ask=order.is_ask,
                size_i=order.size_i,
                filled_i=filled_i,
                price_i=order.price_i,
                source=Source.WS,
            ),
        )

    def cancel(self, key: OrderKey, now_ms: int, *, rest: bool = False) -> HttpCall | WsText:
        self._market(key.symbol)
        action = encode.cancel(self._assets[key.symbol], key.client_id)
        return self._request(self._signer.envelope(action, self._signer.next_nonce(now_ms)), rest)

    def read_cancelled(self, key: OrderKey, reply: HttpReply) -> Sequence[OrderSeen]:
        """A cancel that was taken says nothing about fills before it: the end comes by stream."""
        (ack,) = refusals.acknowledged(reply, "cancel", 1)
        if ack.error is not None:
            raise refusals.of_action(ack.error, "cancel")
        if ack.word != "success":
            raise WireError(
                "UNREADABLE", "Hyperliquid's answer to the cancel says nothing we know.", raw=ack.word[:_RAW_CHARS]
            )
        return ()

    def cancel_all(self, symbol: str) -> Talk[Sequence[OrderSeen]]:
        """There is no such action: the live orders are listed, and cancelled in one batch."""
        listed = yield from self.open_orders(symbol)
        if listed:
            asset = self._assets[symbol]
            reply = yield encode.cancel_by_oid([(asset, int(seen.venue_id)) for seen in listed])
            for ack in refusals.acknowledged(reply, "cancel of all orders", len(listed)):
                refused = None if ack.error is None else refusals.of_action(ack.error, "cancel of all orders")
                # One that ended meanwhile is what was wanted.
                if refused is not None and refused.code != "ORDER_NOT_FOUND":
                    raise refused
        return ()

    def fence(self, key: OrderKey) -> Talk[bool]:
        """
        Burn the nonce that the order was signed with. Taken: the order did not use it and never can. Refused: somebody
        did, the order perhaps - only a look-up tells, and none is proof yet.
        """
        nonce = self._nonces.get(key.client_id)
        if nonce is None:
            return False
        reply = yield encode.noop(nonce)
        refusals.acknowledged(reply, "noop", 0)
        return True

    def dead_man(self, symbol: str, secs: int) -> Talk[None]:
        """
        ``scheduleCancel``, which cancels the account's orders in EVERY market. A fresh account may not use it: that is
        told once, and then left alone.
        """
        if self._no_dead_man:
            return
        reply = yield encode.schedule_cancel(secs * 1000 if secs else None)
        try:
            refusals.acknowledged(reply, "dead-man's switch", 0)
        except Refused as refused:
            self._no_dead_man = refusals.needs_volume(refused)
            raise

    # -- reading

    def look_up(self, key: OrderKey) -> Talk[OrderSeen | None]:
        """By client id; where the venue knows none, in the history of the last 2000 changes, too."""
        reply = yield encode.info("orderStatus", user=self._address, oid=encode.cloid(key.client_id))
        seen = decode.order_status(_answer(reply), self.markets)
        if seen is None:
            seen = yield from self._ended(key)
        return None if seen is None else _expect(seen, key)

    def _ended(self, key: OrderKey) -> Talk[OrderSeen | None]:
        """The order's newest row in history; None when the history reaches back to before it was sent."""
        reply = yield encode.info("historicalOrders", user=self._address)
        rows = decode.history(_answer(reply))
        sent_ms = self._nonces.get(key.client_id) or key.sent_ms
        if any(row.order.cloid is UNSET and row.status_timestamp >= sent_ms - _AGE_MARGIN_MS for row in rows):
            # Rows of 2023 have none; any later one says at least that there is none.
            raise WireError("UNREADABLE", "Hyperliquid's order history lacks the client id of an order.")
        mine = [
            row
            for row in rows
            if decode.client_id(row.order.cloid) == key.client_id or str(row.order.oid) == key.venue_id
        ]
        if mine:
            return decode.history_row(max(mine, key=lambda row: row.status_timestamp), self.markets)
        if len(rows) >= ROWS and min(row.status_timestamp for row in rows) > sent_ms - _AGE_MARGIN_MS:
            raise OutcomeUnknown("IN_DOUBT", f"Not among the last {len(rows)} changes, and there are older ones.")
        return None

    def open_orders(self, symbol: str | None) -> Talk[Sequence[OrderSeen]]:
        reply = yield encode.info("frontendOpenOrders", user=self._address)
        seen = decode.open_orders(_answer(reply), self.markets)
        return tuple(order for order in seen if symbol in (None, order.symbol))

    def order_fills(self, key: OrderKey) -> Talk[Sequence[FillSeen]]:
        venue_id = key.venue_id
        if not venue_id:
            seen = yield from self.look_up(key)
            if seen is None:
                return ()
            venue_id = seen.venue_id
        sent_ms = self._nonces.get(key.client_id) or key.sent_ms
        if sent_ms:
            rows = yield from self._fills_since(sent_ms - _AGE_MARGIN_MS)
        else:
            reply = yield encode.info("userFills", user=self._address)
            rows = decode.fill_rows(_answer(reply))
        fills = (decode.fill(row, self.markets) for row in rows if str(row.oid) == venue_id)
        return _distinct([msgspec.structs.replace(fill, client_id=key.client_id) for fill in fills])

    def recent_fills(self, since_ms: int) -> Talk[Sequence[FillSeen]]:
        rows = yield from self._fills_since(since_ms)
        return _distinct([decode.fill(row, self.markets) for row in rows if row.coin in self.markets])

    def _fills_since(self, since_ms: int) -> Talk[list[decode.FillRow]]:
        rows: list[decode.FillRow] = []
        for _ in range(PAGES):
            reply = yield encode.info("userFillsByTime", user=self._address, startTime=max(0, since_ms))
            page = decode.fill_rows(_answer(reply))
            rows += page
            latest_ms = max((row.time for row in page), default=0)
            if len(page) < ROWS:
                return rows
            if latest_ms <= since_ms:
                break
            since_ms = latest_ms
        raise OutcomeUnknown("IN_DOUBT", f"More than {len(rows)} fills to read.")

    def positions(self) -> Talk[Sequence[PositionSeen]]:
        reply = yield encode.info("clearinghouseState", user=self._address)
        seen = decode.positions(_answer(reply))
        self._stand.held.update(position.symbol for position in seen)
        return seen

    def balances(self) -> Talk[Sequence[BalanceSeen]]:
        reply = yield encode.info("spotClearinghouseState", user=self._address)
        return decode.balances(_answer(reply))

    def margin(self) -> Talk[MarginSeen]:
        if self._stand.margin_in_spot:
            held = yield from self.balances()
            return decode.spot_margin(held, Source.REST)
        reply = yield encode.info("clearinghouseState", user=self._address)
        return decode.margin(_answer(reply))

    def top_of_book(self, symbol: str) -> Talk[BookSeen]:
        market = self._market(symbol)
        reply = yield encode.info("l2Book", coin=symbol)
        return decode.top_of_book(_answer(reply), market)

    # -- streams

    def lines(self) -> Sequence[Line]:
        # The server closes a connection that it has sent nothing to for 60 s, so something must be asked of it.
        return (
            Line(
                name=encode.LINE,
                private=True,
                acks_subscriptions=True,
                ping_text=encode.PING,
                ping_secs=15.0,
                silence_secs=10.0,
            ),
        )

    def open_line(self, line: str) -> Talk[str]:
        yield from ()
        return self._ws_url

    def login(self, line: str, now_ms: int) -> Sequence[str]:
        """There is none; this marks a fresh connection, on which nothing is subscribed."""
        self._subscribed.clear()
        self._stand.unconfirmed = set(encode.ACCOUNT_STREAMS)
        return ()

    def subscribe(self, line: str, symbols: Sequence[str], now_ms: int) -> Sequence[str]:
        """What this connection has not asked for yet: a repeated subscription is answered with an error."""
        frames = {kind: encode.subscribe(kind, user=self._address) for kind in encode.ACCOUNT_STREAMS}
        frames |= {f"bbo {symbol}": encode.subscribe("bbo", coin=symbol) for symbol in symbols}
        new = [text for name, text in frames.items() if name not in self._subscribed]
        self._subscribed.update(frames)
        return new

    def upkeep(self, line: str) -> Talk[None]:
        yield from ()

    def decode(self, line: str, data: str | bytes) -> Sequence[StreamEvent]:
        return decode.frame(data, self.markets, self._stand)

    def _request(self, envelope: dict[str, Any], rest: bool) -> HttpCall | WsText:
        if rest:
            return encode.exchange(envelope)
        self._posts += 1
        return encode.post(self._posts, envelope)

    def _market(self, symbol: str) -> MarketFacts:
        market = self.markets.get(symbol)
        if market is None:
            raise LocalRuleError("UNKNOWN_SYMBOL", f"Hyperliquid has no market {symbol}.")
        return market


def _answer(reply: HttpReply) -> bytes:
    if reply.status != 200:
        raise refusals.of_reading(reply)
    return reply.body


def _expect(seen: OrderSeen, key: OrderKey) -> OrderSeen:
    """``seen`` if it is the order that we asked for, with its client id."""
    if seen.symbol != key.symbol or seen.client_id not in (None, key.client_id):
        raise WireError("UNREADABLE", "Hyperliquid answered with another order.", raw=seen.venue_id)
    return msgspec.structs.replace(seen, client_id=key.client_id)


def _distinct(fills: Sequence[FillSeen]) -> tuple[FillSeen, ...]:
    """Each trade once, oldest first."""
    distinct = {(fill.symbol, fill.venue_id, fill.trade_id): fill for fill in fills}
    return tuple(sorted(distinct.values(), key=lambda fill: fill.engine_us))
