"""Lighter's whole language for one account: encode, sign, decode, the count of nonces, and the longer talks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from venues.dialect import HttpCall, HttpReply, Line, OrderKey, PlaceOrder, RateRules, Talk, WsText
from venues.errors import LocalRuleError, OutcomeUnknown, Refused, WireError
from venues.events import (
    Answered,
    BalanceSeen,
    BookSeen,
    FillSeen,
    LineRefused,
    MarginSeen,
    MarketFacts,
    OrderSeen,
    PositionSeen,
    StreamEvent,
    Unreadable,
)
from venues.lighter import decode, encode, facts, refusals
from venues.lighter.decode import OrderRow, PositionsSeen, Told, TransactionAnswer
from venues.lighter.facts import Listed
from venues.lighter.sign import CANCEL_ALL, CANCEL_ORDER, CREATE_ORDER, Signer, Transaction

Row = TypeVar("Row")

PAGES: Final = 10
"""How many history pages one reading takes at most; the venue keeps 1,000 ended orders."""
TOKEN_SECS: Final = 8 * 3600 - 120
"""Life of an auth token; the venue takes 8 hours at most."""
TOKEN_SPARE_SECS: Final = 1800
"""A token with less than this left is replaced before it is used again."""
RECONNECT_SECS: Final = 7 * 3600.0
"""A stream's token cannot be replaced while it runs, so the stream is opened anew well before that token ends."""
ON_ITS_WAY_MS: Final = 1_000
"""A transaction without an answer counts as on its way for this long, and as lost after it."""
_ASKED_MS: Final = 30_000
_REMEMBERED: Final = 10_000
_OURS: Final = frozenset({TransactionAnswer, PositionsSeen})
"""What the decoder tells for this dialect only."""


class _Sent(msgspec.Struct, frozen=True):
    """A transaction that left under a nonce."""

    nonce: int
    at_ms: int


class LighterDialect:
    """
    Implements :class:`venues.dialect.Dialect`.

    Nonces of an API key have no holes. Each transaction takes the next one and counts as *unanswered* until its
    answer is read; while one is, or after the venue disagreed, :attr:`unprepared` has the count read again.
    """

    name = facts.NAME
    abilities = facts.ABILITIES
    rates: RateRules = facts.Rates()

    def __init__(self, signer: Signer, endpoints: Mapping[str, str]) -> None:
        self.markets: Mapping[str, MarketFacts] = {}
        self._signer = signer
        self._account = signer.account_index
        self._ws_url = endpoints["ws"]
        self._listed: Mapping[str, Listed] = {}
        self._numbers: Mapping[int, MarketFacts] = {}
        self._key_known = False
        self._next_nonce: int | None = None
        self._unanswered: dict[int, int] = {}
        """Nonce → when its transaction was signed, Unix milliseconds."""
        self._tickets: dict[int, int] = {}
        """Number of a transaction in a talk → the nonce that it was signed with."""
        self._orders: dict[int, _Sent] = {}
        """Client id → how its submit left; the last 10,000."""
        self._cancels: dict[int, int] = {}
        """Client id → nonce of its latest cancel."""
        self._burnt: dict[int, int] = {}
        """Nonces under which the venue took a transaction that is no submit → when."""
        self._gone: set[int] = set()
        """Nonces that were found taken when one of ours was to be burnt."""
        self._asked: dict[str, tuple[str, int]] = {}
        """Request id on the stream → (tx hash, when)."""
        self._asks = 0
        self._now_ms = 0
        """The venue's time when something was signed last."""
        self._token = ("", 0)
        self._subscribed: set[str] = set()
        self._held: set[int] = set()
        """Markets in which the stream last showed a position."""

    # -- facts, time

    def facts(self) -> Talk[Mapping[str, MarketFacts]]:
        reply = yield encode.markets()
        self._listed = facts.read_markets(_answer(reply))
        self._numbers = {listed.number: listed.facts for listed in self._listed.values()}
        return {symbol: listed.facts for symbol, listed in self._listed.items()}

    def server_time(self) -> Talk[int]:
        reply = yield encode.status()
        if reply.status != 200:
            raise refusals.of_reading(reply)
        return decode.server_time(reply.body)

    def draw_ahead(self, entropy: bytes) -> bool:
        """See ``venues.dialect.DrawsAhead``."""
        return self._signer.draw_ahead(entropy)

    # -- nonces

    def prepare(self) -> Talk[None]:
        """
        The next nonce; the first time also whether the venue knows our key.

        Raises:
            Refused: AUTH - another public key, or none, is registered under this index.
        """
        if not self._key_known:
            reply = yield encode.api_key(self._account, self._signer.api_key_index)
            if decode.public_key(_answer(reply), self._signer.api_key_index) != self._signer.public_key:
                raise Refused("AUTH", f"Lighter has another key under API key index {self._signer.api_key_index}.")
            self._key_known = True
        before = self._next_nonce
        reply = yield encode.next_nonce(self._account, self._signer.api_key_index)
        expected = decode.next_nonce(_answer(reply))
        # Asked while others were signed: what they took since then is newer than the answer.
        if before != self._next_nonce and self._next_nonce is not None and self._next_nonce > expected:
            return
        self._next_nonce = expected
        for nonce, at_ms in sorted(self._unanswered.items()):
            if nonce >= expected and self._now_ms - at_ms < ON_ITS_WAY_MS:
                self._next_nonce = nonce + 1
            else:
                del self._unanswered[nonce]

    @property
    def unprepared(self) -> bool:
        return self._next_nonce is None or bool(self._unanswered)

    def _take_nonce(self) -> int:
        nonce = self._next_nonce
        if nonce is None:
            raise LocalRuleError("NOT_SYNCED", "The next nonce of this Lighter key is not known yet.")
        self._next_nonce = nonce + 1
        self._unanswered[nonce] = self._now_ms
        return nonce

    def _answered(self, nonce: int, reply: HttpReply) -> None:
        """Learn from the answer to the transaction under ``nonce``."""
        if refusals.is_done(reply):
            self._unanswered.pop(nonce, None)
        elif refusals.is_nonce(refusals.word_of(reply.body)):
            # Whatever we believed about the others is wrong, too.
            self._next_nonce = None
            self._unanswered.clear()
        elif refusals.judge(reply).proven:
            # Refused at the gate: the nonce is free again, unless others were signed on top of it.
            self._unanswered.pop(nonce, None)
            self._next_nonce = nonce if self._next_nonce == nonce + 1 else None
        # Else nothing is known: it stays unanswered.

    def _signed(
        self, kind: int, fields: Mapping[str, int], *, nonce: int, attributes: Mapping[int, int] | None = None
    ) -> Transaction:
        return self._signer.transaction(
            kind, fields, nonce=nonce, expired_at=self._now_ms + self.abilities.expiry_ms, attributes=attributes
        )

    # -- signing

    def sign(self, call: HttpCall, now_ms: int) -> HttpCall:
        self._now_ms = now_ms
        if call.auth == encode.TOKEN:
            return msgspec.structs.replace(call, headers=(*call.headers, ("authorization", self._fresh_token())))
        if call.auth == encode.TRANSACTION:
            fields = {name: int(value) for name, value in call.params}
            kind, nonce = fields.pop("tx_type"), fields.pop("Nonce", None)
            market = fields.pop("market", None)
            ahead_ms, ticket = fields.pop("ahead_ms", None), fields.pop("ticket", None)
            if ahead_ms is not None:
                fields["Time"] = now_ms + ahead_ms
            nonce = self._take_nonce() if nonce is None else nonce
            if ticket is not None:
                self._tickets[ticket] = nonce
            signed = self._signed(
                kind,
                fields,
                nonce=nonce,
                attributes=None if market is None else {encode.CANCEL_ALL_MARKET: market},
            )
            return encode.send(signed)
        return call

    def _fresh_token(self, spare_secs: int = TOKEN_SPARE_SECS) -> str:
        token, deadline = self._token
        now_secs = self._now_ms // 1000
        if deadline - now_secs < spare_secs:
            deadline = now_secs + TOKEN_SECS
            token = self._signer.token(deadline)
            self._token = (token, deadline)
        return token

    # -- order entry

    def order_line(self, symbol: str) -> str:
        return "main"

    def place(self, order: PlaceOrder, now_ms: int, *, rest: bool = False) -> HttpCall | WsText:
        self._now_ms = now_ms
        fields = encode.place(order, self._market(order.symbol), self._listing(order.symbol), now_ms)
        nonce = self._take_nonce()
        if len(self._orders) >= _REMEMBERED:
            del self._orders[next(iter(self._orders))]
        self._orders[order.client_id] = _Sent(nonce, now_ms)
        return self._leave(self._signed(CREATE_ORDER, fields, nonce=nonce), rest)

    def read_placed(self, order: PlaceOrder, reply: HttpReply) -> Sequence[OrderSeen]:
        """A yes means queued: what became of the order is told by the stream, or by a look-up."""
        self._answered(self._orders[order.client_id].nonce, reply)
        if refusals.is_done(reply):
            return ()
        market = self.markets.get(order.symbol)
        raise refusals.of_transaction(reply, spot=market is not None and market.kind == "spot")

    def cancel(self, key: OrderKey, now_ms: int, *, rest: bool = False) -> HttpCall | WsText:
        self._now_ms = now_ms
        nonce = self._take_nonce()
        if len(self._cancels) >= _REMEMBERED:
            del self._cancels[next(iter(self._cancels))]
        self._cancels[key.client_id] = nonce
        fields = encode.cancel(self._listing(key.symbol).number, key.client_id)
        return self._leave(self._signed(CANCEL_ORDER, fields, nonce=nonce), rest)

    def read_cancelled(self, key: OrderKey, reply: HttpReply) -> Sequence[OrderSeen]:
        nonce = self._cancels[key.client_id]
        self._answered(nonce, reply)
        if refusals.is_done(reply):
            self._burn(nonce)
            return ()
        raise refusals.of_transaction(reply, what="cancel")

    def _leave(self, transaction: Transaction, rest: bool) -> HttpCall | WsText:
        if rest:
            return encode.send(transaction)
        self._asks += 1
        request_id = f"rt-{self._asks}"
        for old in [name for name, (_, at_ms) in self._asked.items() if self._now_ms - at_ms > _ASKED_MS]:
            del self._asked[old]
        self._asked[request_id] = (transaction.hash, self._now_ms)
        return WsText("main", request_id, encode.send_text(transaction, request_id))

    def cancel_all(self, symbol: str) -> Talk[Sequence[OrderSeen]]:
        """
        Every order of the market, by attribute 5; a scheduled cancel of all makes the venue refuse it (21712), so
        that is taken back first.
        """
        listed = self._listing(symbol)
        reply = yield from self._talk(CANCEL_ALL, {"TimeInForce": encode.ALL_NOW, "Time": 0}, market=listed.number)
        if refusals.word_of(reply.body).code == refusals.QUEUED_CANCEL_ALL:
            yield from self._talk(CANCEL_ALL, {"TimeInForce": encode.ALL_UNSCHEDULED, "Time": 0})
            reply = yield from self._talk(CANCEL_ALL, {"TimeInForce": encode.ALL_NOW, "Time": 0}, market=listed.number)
        if not refusals.is_done(reply):
            raise refusals.of_transaction(reply, what="cancel of all orders")
        return ()

    def _talk(self, kind: int, fields: Mapping[str, int], **more: int) -> Talk[HttpReply]:
        """A transaction in a talk, with the count of nonces brought in step before it and once after a refusal."""
        for _ in range(2):
            if self.unprepared:
                yield from self.prepare()
            self._asks += 1
            ticket = self._asks
            try:
                reply = yield encode.send_later(kind, fields, ticket=ticket, **more)
            finally:
                # Others may have been signed while it waited to leave; without one, it never left.
                nonce = self._tickets.pop(ticket, -1)
            self._answered(nonce, reply)
            if refusals.is_done(reply):
                self._burn(nonce)
            if not refusals.is_nonce(refusals.word_of(reply.body)):
                break
        return reply

    def _burn(self, nonce: int) -> None:
        """The venue took something else than a submit under this nonce."""
        if len(self._burnt) >= _REMEMBERED:
            del self._burnt[next(iter(self._burnt))]
        self._burnt[nonce] = self._now_ms

    def fence(self, key: OrderKey) -> Talk[bool]:
        """
        Burn the nonce of a doubtful submit with a cancel of that same order: one of the two can be executed, not both.

        True once the venue has taken another transaction of ours under that nonce, and anything that came before it
        would have been executed. A nonce that is gone otherwise may be the order's own.
        """
        sent = self._orders.get(key.client_id)
        if sent is None or (sent.nonce in self._gone and sent.nonce not in self._burnt):
            return False
        reply = yield encode.next_nonce(self._account, self._signer.api_key_index)
        next_nonce = decode.next_nonce(_answer(reply))
        if next_nonce > sent.nonce:
            # For good: unless it was ours, asking again only costs requests, and a standard account has few.
            self._gone.add(sent.nonce)
        elif sent.nonce not in self._burnt:
            fields = encode.cancel(self._listing(key.symbol).number, key.client_id)
            reply = yield encode.send_later(CANCEL_ORDER, fields, Nonce=sent.nonce)
            self._next_nonce = None
            if refusals.is_done(reply):
                self._burn(sent.nonce)
        burnt_ms = self._burnt.get(sent.nonce)
        return burnt_ms is not None and self._now_ms - burnt_ms >= ON_ITS_WAY_MS

    def dead_man(self, symbol: str, secs: int) -> Talk[None]:
        """A scheduled cancel of ALL orders of the account, whatever the market; 0 takes it back."""
        if secs:
            reply = yield from self._talk(CANCEL_ALL, {"TimeInForce": encode.ALL_SCHEDULED}, ahead_ms=secs * 1000)
        else:
            reply = yield from self._talk(CANCEL_ALL, {"TimeInForce": encode.ALL_UNSCHEDULED, "Time": 0})
        if not refusals.is_done(reply):
            raise refusals.of_transaction(reply, what="scheduled cancel of all orders")

    # -- reading

    def look_up(self, key: OrderKey) -> Talk[OrderSeen | None]:
        """By client id, then in the lists of active and of ended orders: each alone forgets something."""
        reply = yield encode.orders_by_client_id(self._account, key.client_id)
        rows, _ = decode.order_page(_answer(reply))
        number = self._listing(key.symbol).number
        found = self._among(rows, key, number)
        if found is None:
            rows = yield from _pages(
                lambda cursor: encode.active_orders(self._account, number), decode.order_page, "active orders"
            )
            found = self._among(rows, key)
        if found is None:
            rows = yield from _pages(
                lambda cursor: encode.inactive_orders(self._account, number, cursor),
                decode.order_page,
                "ended orders",
            )
            found = self._among(rows, key)
        if found is None:
            return None
        if found.market_index != number or found.client_order_index != key.client_id:
            raise WireError("UNREADABLE", "Lighter answered with another order.", raw=str(found.order_index))
        seen = decode.order(found, self._numbers)
        if seen is None:
            raise OutcomeUnknown("IN_DOUBT", "Lighter is still working on this order.", raw=found.status)
        return seen

    def _among(self, rows: Sequence[OrderRow], key: OrderKey, market: int | None = None) -> OrderRow | None:
        """``market`` None: a list of one market was asked for, so whatever a row says it is of that one."""
        for row in rows:
            same = row.client_order_index == key.client_id or str(row.order_index) == key.venue_id
            if same and market in (None, row.market_index):
                return row
        return None

    def open_orders(self, symbol: str | None) -> Talk[Sequence[OrderSeen]]:
        number = None if symbol is None else self._listing(symbol).number
        reply = yield encode.active_orders(self._account, number)
        rows, _ = decode.order_page(_answer(reply))
        numbers = self._numbers
        orders = (decode.order(row, numbers) for row in rows if row.market_index in numbers)
        return tuple(order for order in orders if order is not None)

    def order_fills(self, key: OrderKey) -> Talk[Sequence[FillSeen]]:
        venue_id = key.venue_id
        if not venue_id:
            seen = yield from self.look_up(key)
            if seen is None:
                return ()
            venue_id = seen.venue_id
        wanted, number = venue_id, self._listing(key.symbol).number
        rows = yield from _pages(
            lambda cursor: encode.trades(self._account, number, wanted, cursor), decode.trade_page, "trades"
        )
        fills = decode.fills(rows, self._numbers, self._account)
        return _distinct(
            [msgspec.structs.replace(fill, client_id=key.client_id) for fill in fills if fill.venue_id == wanted]
        )

    def recent_fills(self, since_ms: int) -> Talk[Sequence[FillSeen]]:
        """Newest first; read back to ``since_ms``."""
        kept: list[FillSeen] = []
        cursor: str | None = None
        for _ in range(PAGES):
            reply = yield encode.trades(self._account, None, None, cursor)
            rows, cursor = decode.trade_page(_answer(reply))
            fills = decode.fills(rows, self._numbers, self._account)
            kept += [fill for fill in fills if fill.engine_us >= since_ms * 1000]
            if not cursor or any(fill.engine_us < since_ms * 1000 for fill in fills):
                return _distinct(kept)
        raise OutcomeUnknown("IN_DOUBT", f"More than {PAGES * encode.PAGE} trades to read.")

    def positions(self) -> Talk[Sequence[PositionSeen]]:
        reply = yield encode.account(self._account)
        return decode.positions(_answer(reply), self._numbers)

    def balances(self) -> Talk[Sequence[BalanceSeen]]:
        reply = yield encode.account(self._account)
        return decode.balances(_answer(reply))

    def margin(self) -> Talk[MarginSeen]:
        reply = yield encode.account(self._account)
        return decode.margin(_answer(reply))

    def top_of_book(self, symbol: str) -> Talk[BookSeen]:
        reply = yield encode.book(self._listing(symbol).number)
        return decode.top_of_book(_answer(reply), self._market(symbol))

    # -- streams

    def lines(self) -> Sequence[Line]:
        return (
            Line(
                name="main",
                private=True,
                acks_subscriptions=True,
                # The venue closes a line that sent no frame for two minutes.
                ping_text=encode.PING,
                upkeep_secs=RECONNECT_SECS,
            ),
        )

    def open_line(self, line: str) -> Talk[str]:
        yield from ()
        return self._ws_url

    def login(self, line: str, now_ms: int) -> Sequence[str]:
        """No login of its own: each private channel carries a token. Here a new connection begins."""
        self._subscribed.clear()
        self._asked.clear()
        self._held.clear()
        return ()

    def subscribe(self, line: str, symbols: Sequence[str], now_ms: int) -> Sequence[str]:
        """What this connection has not subscribed yet; the venue refuses a second time (30003)."""
        self._now_ms = now_ms
        frames = []
        # A stream needs its token for as long as it may run.
        spare_secs = int(RECONNECT_SECS) + 60
        for channel in encode.account_channels(self._account):
            if channel not in self._subscribed:
                frames.append(encode.subscribe(channel, self._fresh_token(spare_secs)))
                self._subscribed.add(channel)
        for channel in (f"ticker/{self._listing(symbol).number}" for symbol in symbols):
            if channel not in self._subscribed:
                frames.append(encode.subscribe(channel))
                self._subscribed.add(channel)
        return frames

    def upkeep(self, line: str) -> Talk[None]:
        """Ends the line, so that the next one begins with a new token."""
        yield from ()
        raise LocalRuleError("WS_TIMEOUT", "The stream's token ends soon: connecting again with a new one.")

    def decode(self, line: str, data: str | bytes) -> Sequence[StreamEvent]:
        told = decode.frame(data, self._numbers, self._account)
        for each in told:
            if type(each) in _OURS:
                return self._translated(told, data)
        return told  # type: ignore[return-value]

    def _translated(self, told: Sequence[Told], data: str | bytes) -> Sequence[StreamEvent]:
        """Of what a frame tells: answers matched to their requests, a list of all positions to those that closed."""
        events: list[StreamEvent] = []
        for each in told:
            if isinstance(each, TransactionAnswer):
                events.append(self._answer_to(each, data))
            elif isinstance(each, PositionsSeen):
                events += self._all_positions(each.positions)
            else:
                events.append(each)
        return events

    def _answer_to(self, answer: TransactionAnswer, data: str | bytes) -> StreamEvent:
        """
        Which request this answers: by its id, by the hash of the transaction, or because only one is waiting. Else
        nobody is told, and each waiting one stays in doubt.
        """
        request_id = answer.request_id
        if request_id not in self._asked:
            request_id = next((name for name, (tx, _) in self._asked.items() if tx == answer.tx_hash), "")
        if not request_id and not answer.request_id and len(self._asked) == 1:
            request_id = next(iter(self._asked))
        if self._asked.pop(request_id, None) is not None:
            return Answered(request_id=request_id, status=200, body=answer.body)
        if not self._asked and not 21000 <= answer.code < 22000 and answer.code != refusals.DONE:
            code = refusals.code_of(400, refusals.word_of(answer.body))
            return LineRefused(code=code, hint=f"Lighter complained ({answer.code}).", raw=decode.excerpt(data))
        return Unreadable(why="an answer to no transaction that waits for one", text=decode.excerpt(data))

    def _all_positions(self, seen: Mapping[int, PositionSeen]) -> list[StreamEvent]:
        """A frame tells every position there is (nautilus reads it so): one that it leaves out has been closed."""
        closed = [number for number in self._held if number not in seen and number in self._numbers]
        self._held = {number for number, position in seen.items() if position.quantity}
        flat = [PositionSeen(symbol=self._numbers[number].symbol, quantity=Decimal(0)) for number in closed]
        return [*seen.values(), *flat]

    # -- markets

    def _market(self, symbol: str) -> MarketFacts:
        market = self.markets.get(symbol)
        if market is None:
            raise LocalRuleError("UNKNOWN_SYMBOL", f"Lighter has no market {symbol}.")
        return market

    def _listing(self, symbol: str) -> Listed:
        listed = self._listed.get(symbol)
        if listed is None:
            raise LocalRuleError("UNKNOWN_SYMBOL", f"Lighter has no market {symbol}.")
        return listed


def signer_of(credentials: Mapping[str, str], endpoints: Mapping[str, str]) -> Signer:
    """
    The signer of an account; the chain id is that of the place unless ``credentials`` name one.

    Raises:
        LocalRuleError: AUTH - one is missing or has the wrong form.
    """

    def number(name: str, high: int) -> int:
        text = credentials.get(name, "").strip()
        if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= high):
            raise LocalRuleError("AUTH", f"{name} of Lighter must be a whole number from 0 to {high}.")
        return int(text)

    chain = facts.TESTNET_CHAIN if endpoints["rest"] == facts.TESTNET["rest"] else facts.MAINNET_CHAIN
    if credentials.get("chain_id"):
        chain = number("chain_id", (1 << 32) - 1)
    account, key = number("account_index", facts.MAX_AMOUNT), number("api_key_index", 254)
    return Signer(credentials.get("private_key", ""), account, key, chain)


def _answer(reply: HttpReply) -> bytes:
    if not refusals.is_done(reply):
        raise refusals.of_reading(reply)
    return reply.body


def _pages(
    ask: Callable[[str | None], HttpCall], read: Callable[[bytes], tuple[list[Row], str]], what: str
) -> Talk[list[Row]]:
    """Every row of a list with cursors. Raises OutcomeUnknown when it is longer than we read."""
    rows: list[Row] = []
    cursor: str | None = None
    for _ in range(PAGES):
        reply = yield ask(cursor)
        page, cursor = read(_answer(reply))
        rows += page
        # A full page without a cursor is the last one; so is an empty one with.
        if not cursor or not page:
            return rows
    raise OutcomeUnknown("IN_DOUBT", f"More than {len(rows)} {what} to read.")


def _distinct(fills: Sequence[FillSeen]) -> tuple[FillSeen, ...]:
    """Each trade once, oldest first."""
    return tuple(
        sorted(
            {(fill.symbol, fill.trade_id, fill.venue_id): fill for fill in fills}.values(),
            key=lambda fill: fill.engine_us,
        )
    )
