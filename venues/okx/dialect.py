"""OKX's whole language for one account: encode, sign, decode and the talks that take several requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

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
from venues.okx import decode, encode, facts, refusals
from venues.okx.sign import Signer

Row = TypeVar("Row")

PAGES: Final = 5
"""How many history pages one look-up reads at most."""
OPEN_PAGES: Final = 40
"""The venue lets an account have 4,000 open orders."""
PUBLIC: Final = "public"
PRIVATE: Final = "private"
PING_SECS: Final = 15.0
"""The venue closes a stream after 30 s without traffic."""

# Our clock, the venue's and the milliseconds of ``cTime`` never differ by more than this.
_AGE_MARGIN_MS: Final = 60_000
_REMEMBERED: Final = 10_000
# The name of a market, or the number that stands for it, is not known to the gateway that took the order.
_CODE_REFUSED: Final = frozenset({"51001", "50014"})


class OkxDialect:
    """
    Implements :class:`venues.dialect.Dialect`.

    Orders go over the private stream. A market whose number for that (instIdCode) is missing, or was once refused
    there, takes REST from then on: the demo venue has refused its own published numbers.
    """

    name = facts.NAME
    abilities = facts.ABILITIES
    rates: RateRules = facts.Rates()

    def __init__(self, signer: Signer) -> None:
        self.markets: Mapping[str, MarketFacts] = {}
        self._signer = signer
        self._mode: decode.Mode | None = None
        self._codes: dict[str, int] = {}
        self._asked = 0
        self._signed_ms: dict[tuple[str, int], int] = {}
        self._sent: dict[str, set[str]] = {PUBLIC: set(), PRIVATE: set()}
        """Subscriptions sent on the present connection of each line."""
        self._awaited: dict[str, set[str]] = {PUBLIC: set(), PRIVATE: set()}

    # -- facts, time, signing

    def facts(self) -> Talk[Mapping[str, MarketFacts]]:
        listed: dict[str, facts.Listed] = {}
        for kind in ("SWAP", "SPOT"):
            reply = yield encode.instruments(kind)
            listed |= facts.read_markets(_answer(reply))
        self._codes = {symbol: each.code for symbol, each in listed.items() if each.code is not None}
        return {symbol: each.facts for symbol, each in listed.items()}

    def server_time(self) -> Talk[int]:
        reply = yield encode.server_time()
        return decode.server_time(_answer(reply))

    def prepare(self) -> Talk[None]:
        reply = yield encode.config()
        mode = decode.mode(_answer(reply))
        if mode.hedged:
            raise Refused("ACCOUNT_MODE", "The OKX account is in long/short mode; switch it to net mode.")
        if not mode.may_trade:
            raise Refused("AUTH", "The OKX key has no permission to trade.")
        self._mode = mode

    @property
    def unprepared(self) -> bool:
        return self._mode is None

    def sign(self, call: HttpCall, now_ms: int) -> HttpCall:
        return self._signer.signed(call, now_ms)

    # -- order entry

    def order_line(self, symbol: str) -> str | None:
        return PRIVATE if symbol in self._codes else None

    def place(self, order: PlaceOrder, now_ms: int, *, rest: bool = False) -> HttpCall | WsText:
        market = self._market(order.symbol)
        fields = encode.order_fields(order, market, self._trade_mode(market))
        if len(self._signed_ms) >= _REMEMBERED:
            del self._signed_ms[next(iter(self._signed_ms))]
        self._signed_ms[order.symbol, order.client_id] = now_ms
        code = None if rest else self._codes.get(order.symbol)
        if code is None:
            return encode.place(order.symbol, fields, now_ms)
        request_id = self._request_id()
        return WsText(PRIVATE, request_id, encode.place_text(request_id, code, fields, now_ms))

    def _trade_mode(self, market: MarketFacts) -> str:
        level = self._mode.level if self._mode else ""
        if market.kind == "spot":
            return "cash" if level in ("1", "2") else "cross"
        if level == "1":
            raise LocalRuleError("ACCOUNT_MODE", "The OKX account is in spot mode, which has no perps.")
        return "cross"

    def read_placed(self, order: PlaceOrder, reply: HttpReply) -> Sequence[OrderSeen]:
        market = self.markets.get(order.symbol)
        row = self._row(reply, order.symbol, spot=market is not None and market.kind == "spot")
        if row.cl_ord_id != str(order.client_id):
            raise OutcomeUnknown("IN_DOUBT", "OKX answered for another order.", raw=row.ord_id)
        return (
            OrderSeen(
                symbol=order.symbol,
                client_id=order.client_id,
                venue_id=row.ord_id,
                # Taken, no more: an end, post-only's included, comes by stream, maybe before this. So no time here.
                status=Status.OPEN,
                is_ask=order.is_ask,
                size_i=order.size_i,
                filled_i=0,
                price_i=order.price_i,
                source=Source.REST,
            ),
        )

    def cancel(self, key: OrderKey, now_ms: int, *, rest: bool = False) -> HttpCall | WsText:
        code = None if rest else self._codes.get(key.symbol)
        if code is None:
            return encode.cancel(key.symbol, key.client_id)
        request_id = self._request_id()
        return WsText(PRIVATE, request_id, encode.cancel_text(request_id, code, key.client_id))

    def read_cancelled(self, key: OrderKey, reply: HttpReply) -> Sequence[OrderSeen]:
        self._row(reply, key.symbol, what="cancel")
        # Taken, not done yet: the end comes by stream.
        return ()

    def _row(self, reply: HttpReply, symbol: str, *, what: str = "order", spot: bool = False) -> refusals.Row:
        """The successful row of a request for one order. Raises Refused or OutcomeUnknown."""
        rows = refusals.rows_of(reply)
        if rows is None:
            verdict = refusals.judge(reply, spot=spot)
        elif len(rows) != 1:
            raise OutcomeUnknown("IN_DOUBT", f"OKX answered with {len(rows)} rows for one {what}.")
        elif rows[0].s_code == "0":
            return rows[0]
        else:
            verdict = refusals.judge_row(rows[0], spot=spot)
        if verdict.venue_code in _CODE_REFUSED:
            self._codes.pop(symbol, None)
        raise refusals.of_order(verdict, what)

    def _request_id(self) -> str:
        self._asked += 1
        return str(self._asked)

    def cancel_all(self, symbol: str) -> Talk[Sequence[OrderSeen]]:
        """The venue has no such request: list, then cancel by twenties."""
        listed = yield from self.open_orders(symbol)
        for start in range(0, len(listed), encode.BATCH):
            batch = [order.venue_id for order in listed[start : start + encode.BATCH]]
            reply = yield encode.cancel_batch(symbol, batch)
            rows = refusals.rows_of(reply)
            if rows is None or len(rows) != len(batch):
                raise refusals.of_order(refusals.judge(reply), "cancel of all orders")
            for row in rows:
                verdict = refusals.judge_row(row)
                # Gone already is what was wanted.
                if row.s_code != "0" and verdict.code != "ORDER_NOT_FOUND":
                    raise refusals.of_order(verdict, "cancel of all orders")
        return ()

    def fence(self, key: OrderKey) -> Talk[bool]:
        """None but the expiry: wait until it has passed."""
        return False
        yield

    def dead_man(self, symbol: str, secs: int) -> Talk[None]:
        """Our orders of this market only: they carry its tag."""
        reply = yield encode.cancel_all_after(symbol, secs)
        if decode.countdown_runs(_answer(reply)) != (secs > 0):
            raise WireError("UNREADABLE", "OKX's countdown is not as it was asked for.")

    # -- reading

    def look_up(self, key: OrderKey) -> Talk[OrderSeen | None]:
        reply = yield encode.order(key.symbol, key.client_id)
        if _ok(reply):
            return _expect(decode.order(reply.body, self.markets), key)
        verdict = refusals.of_reading(reply)
        if verdict.code != "ORDER_NOT_FOUND":
            raise verdict
        return (yield from self._ended(key))

    def _ended(self, key: OrderKey) -> Talk[OrderSeen | None]:
        """The order in history, a second reading; None when the scan went back to its birth or to the end."""
        oldest_ms = (self._signed_ms.get((key.symbol, key.client_id)) or key.sent_ms) - _AGE_MARGIN_MS
        for kind in self._kinds(key.symbol):
            after = ""
            for _ in range(PAGES):
                reply = yield encode.order_history(key.symbol, kind, after)
                rows = decode.order_rows(_answer(reply))
                for row in rows:
                    # Whatever else the row says: this market's history was asked for.
                    if row.cl_ord_id == str(key.client_id) or row.ord_id == key.venue_id:
                        return _expect(decode.row_seen(row, self.markets), key)
                if len(rows) < encode.PAGE or decode.created_ms(rows[-1]) < oldest_ms:
                    break
                after = rows[-1].ord_id
            else:
                raise OutcomeUnknown("IN_DOUBT", f"Not among the last {PAGES * encode.PAGE} orders of {key.symbol}.")
        return None

    def _kinds(self, symbol: str) -> Sequence[str]:
        """The venue's words for the kind of this market's orders; spot on margin counts as its own."""
        market = self._market(symbol)
        if market.kind == "perp":
            return ("SWAP",)
        return ("SPOT",) if self._trade_mode(market) == "cash" else ("SPOT", "MARGIN")

    def open_orders(self, symbol: str | None) -> Talk[Sequence[OrderSeen]]:
        rows = yield from _pages(
            lambda after: encode.open_orders(symbol, after), decode.order_rows, lambda row: row.ord_id, OPEN_PAGES
        )
        return tuple(decode.row_seen(row, self.markets) for row in rows if row.inst_id in self.markets)

    def order_fills(self, key: OrderKey) -> Talk[Sequence[FillSeen]]:
        venue_id = key.venue_id
        if not venue_id:
            seen = yield from self.look_up(key)
            if seen is None:
                return ()
            venue_id = seen.venue_id
        wanted: str = venue_id
        rows = yield from _pages(
            lambda after: encode.fills(after, symbol=key.symbol, venue_id=wanted), decode.fill_rows, _bill, PAGES
        )
        if not rows:
            # Older than three days, or none at all.
            for kind in self._kinds(key.symbol):
                rows += yield from _pages(
                    lambda after, kind=kind: encode.old_fills(key.symbol, kind, wanted, after),  # type: ignore[misc]
                    decode.fill_rows,
                    _bill,
                    PAGES,
                )
        fills = (decode.fill(row, self.markets) for row in rows if row.ord_id == wanted)
        return _distinct([msgspec.structs.replace(fill, client_id=key.client_id) for fill in fills])

    def recent_fills(self, since_ms: int) -> Talk[Sequence[FillSeen]]:
        rows = yield from _pages(
            lambda after: encode.fills(after),
            decode.fill_rows,
            _bill,
            PAGES,
            lambda page: decode.fill_ms(page[-1]) < since_ms,
        )
        young = [row for row in rows if row.inst_id in self.markets and decode.fill_ms(row) >= since_ms]
        return _distinct([decode.fill(row, self.markets) for row in young])

    def positions(self) -> Talk[Sequence[PositionSeen]]:
        reply = yield encode.positions()
        return decode.positions(_answer(reply), self.markets)

    def balances(self) -> Talk[Sequence[BalanceSeen]]:
        reply = yield encode.balance()
        return decode.balances(_answer(reply))

    def margin(self) -> Talk[MarginSeen]:
        reply = yield encode.balance()
        return decode.margin(_answer(reply))

    def top_of_book(self, symbol: str) -> Talk[BookSeen]:
        market = self._market(symbol)
        reply = yield encode.book(symbol)
        return decode.book(_answer(reply), market)

    # -- streams

    def lines(self) -> Sequence[Line]:
        return (
            Line(
                name=PRIVATE,
                private=True,
                needs_login=True,
                acks_subscriptions=True,
                ping_text="ping",
                ping_secs=PING_SECS,
            ),
            Line(name=PUBLIC, private=False, acks_subscriptions=True, ping_text="ping", ping_secs=PING_SECS),
        )

    def open_line(self, line: str) -> Talk[str]:
        yield from ()
        return f"ws/{line}"

    def login(self, line: str, now_ms: int) -> Sequence[str]:
        self._sent[line], self._awaited[line] = set(), set()
        return (encode.login(self._signer.login(now_ms)),) if line == PRIVATE else ()

    def subscribe(self, line: str, symbols: Sequence[str], now_ms: int) -> Sequence[str]:
        """What this connection of the line does not have yet, in one frame."""
        wanted: Sequence[Mapping[str, str]] = encode.ACCOUNT_CHANNELS
        if line == PUBLIC:
            wanted = [{"channel": "bbo-tbt", "instId": symbol} for symbol in symbols]
        names = {decode.subscription(arg["channel"], arg.get("instId", "")): arg for arg in wanted}
        new = [name for name in names if name not in self._sent[line]]
        self._sent[line].update(new)
        self._awaited[line].update(new)
        return (encode.subscribe([names[name] for name in new]),) if new else ()

    def upkeep(self, line: str) -> Talk[None]:
        yield from ()

    def decode(self, line: str, data: str | bytes) -> Sequence[StreamEvent]:
        return decode.frame(data, self.markets, self._awaited[line])

    def _market(self, symbol: str) -> MarketFacts:
        market = self.markets.get(symbol)
        if market is None:
            raise LocalRuleError("UNKNOWN_SYMBOL", f"OKX has no market {symbol}.")
        return market


class _Code(msgspec.Struct):
    code: str


_CODE: Final = msgspec.json.Decoder(_Code)


def _ok(reply: HttpReply) -> bool:
    """HTTP 200 is not success: the code in the body is."""
    if reply.status != 200:
        return False
    with decode.reading("answer", reply.body):
        return _CODE.decode(reply.body).code == "0"


def _answer(reply: HttpReply) -> bytes:
    if not _ok(reply):
        raise refusals.of_reading(reply)
    return reply.body


def _expect(seen: OrderSeen, key: OrderKey) -> OrderSeen:
    """``seen`` if it is the order that we asked for."""
    if seen.symbol != key.symbol or seen.client_id != key.client_id:
        raise WireError("UNREADABLE", "OKX answered with another order.", raw=seen.venue_id)
    return seen


def _pages(
    ask: Callable[[str], HttpCall],
    read: Callable[[bytes], list[Row]],
    name: Callable[[Row], str],
    most: int,
    enough: Callable[[list[Row]], bool] = lambda page: False,
) -> Talk[list[Row]]:
    """
    Every row of a list that is told newest first, the next page being what came before the last row's ``name``.

    Raises OutcomeUnknown when it is longer than ``most`` pages. A short page is the last.
    """
    rows: list[Row] = []
    after = ""
    for _ in range(most):
        reply = yield ask(after)
        page = read(_answer(reply))
        rows += page
        if len(page) < encode.PAGE or enough(page):
            return rows
        after = name(page[-1])
    raise OutcomeUnknown("IN_DOUBT", f"More than {len(rows)} rows to read.")


def _bill(row: decode.FillRow) -> str:
    return row.bill_id


def _distinct(fills: Sequence[FillSeen]) -> tuple[FillSeen, ...]:
    """Each trade once, oldest first."""
    return tuple(
        sorted({(fill.symbol, fill.trade_id): fill for fill in fills}.values(), key=lambda fill: fill.engine_us)
    )
