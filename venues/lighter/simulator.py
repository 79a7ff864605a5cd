"""
Lighter, simulated: REST, stream and signed transactions as the sheet and the recorded payloads show them, on the
shared matching engine. Written from those alone; it shares no code with the dialect that talks to it.

A transaction is checked at the gate, answered 200, and executed later; what the sequencer then refuses is only told by
the order's row. What no recording shows is a switch in :class:`Choices`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from core.chance import Chance
from core.clock import Clock
from venues.simulation import schnorr_check
from venues.simulation.accounts import Account
from venues.simulation.app import Peer, Reply, Request
from venues.simulation.desk import Agenda
from venues.simulation.engine import MatchingEngine
from venues.simulation.faults import Faults
from venues.simulation.forms import Answer, json_reply, read_json, read_query
from venues.simulation.front import Front, quoted
from venues.simulation.lighter_forms import (
    CANCEL_ALL,
    CANCEL_ORDER,
    CREATE_ORDER,
    MODIFY_ORDER,
    UPDATE_LEVERAGE,
    Signed,
    read_form,
    read_transaction,
    token_message,
)
from venues.simulation.lighter_rows import (
    ASSETS,
    FIRST_INDEX,
    MARKET_ROWS,
    NUMBERS,
    SPOT_USDC,
    LighterRows,
    listing_of,
)
from venues.simulation.lighter_sequencer import LighterSequencer
from venues.simulation.lighter_streams import LighterStreams, message_kind
from venues.simulation.market import Street
from venues.simulation.records import Order, Reason

OWNER: Final = "main"
ANCHORS: Final = {"SOL": Decimal(140), "BTC": Decimal(95000), "ETH": Decimal(3200)}
START_BALANCES: Final = {"USDC": Decimal(10_000), SPOT_USDC: Decimal(20_000), "ETH": Decimal(3)}
ACCOUNT_INDEX: Final = 12345
API_KEY_INDEX: Final = 5
CHAIN_ID: Final = 304

REFUSALS: Final[Mapping[str, tuple[int, int, str]]] = {
    "AUTH": (400, 21120, "invalid signature"),
    "CLOCK_SKEW": (400, 21711, "invalid expiry"),
    "PRECISION": (400, 21702, "invalid price"),
    "MIN_SIZE": (400, 21706, "invalid order base or quote amount"),
    "PRICE_BAND": (400, 21734, "limit order price is too far from the mark price"),
    "INSUFFICIENT_MARGIN": (400, 21739, "not enough margin to create the order"),
    "INSUFFICIENT_BALANCE": (400, 21739, "not enough margin to create the order"),
    "REDUCE_ONLY": (400, 21740, "invalid reduce only mode"),
    "DUPLICATE_CLIENT_ID": (400, 21728, "client order index already exists"),
    "ORDER_NOT_FOUND": (400, 21715, "given order is not an active order"),
    "RATE_LIMITED": (429, 23000, "Too Many Requests!"),
    "VENUE_UNAVAILABLE": (400, 21605, "invalid market status"),
}
"""Status, code and text of each refusal; a ``reject`` fault names one of the keys as its ``reason``."""
LONGEST_LIFE_MS: Final = 30 * 86_400_000
SHORTEST_LIFE_MS: Final = 300_000
LATEST_CANCEL_MS: Final = 15 * 86_400_000
BAND: Final = (Decimal("0.5"), Decimal("1.5"))
"""How far from the mark a limit price may lie; the venue's own limits are not published."""
KIND_OF: Final = {CREATE_ORDER: "place", MODIFY_ORDER: "place", CANCEL_ORDER: "cancel", CANCEL_ALL: "cancel_all"}
LARGEST_BATCH: Final = 50


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue does where nobody recorded it."""

    queue_ms: int = 0
    """From the answer 200 to the execution; the venue takes 20 to 300. At 0 it follows the answer at once."""
    ended_client_id: str = "accept"
    """A client id whose order has ended: ``accept`` or ``refuse`` with 21728, as a live one is."""
    unknown_cancel: str = "queue"
    """A cancel of nothing live: ``queue`` (200, fails later, nonce consumed) or ``refuse`` (21715)."""
    queued_cancel_all: str = "accept"
    """A cancel of all orders while one is scheduled: ``accept`` or ``refuse`` with 21712."""
    bare_refusals: bool = False
    """The stream refuses a transaction as ``{"error": …}``, without naming it."""
    silent_drops: bool = False
    """A taker's order that the sequencer refuses leaves no row at all (reported of the testnet)."""
    strict_tokens: bool = False
    """Channels that clients open without a token want one."""


def _refused(word: str) -> Answer:
    return _error(*REFUSALS[word])


def _error(status: int, code: int, message: str) -> Answer:
    return Answer(json_reply({"code": code, "message": message}, status))


def _invalid(code: int, message: str) -> Answer:
    return _error(400, code, message)


class _Route(NamedTuple):
    kind: str
    is_private: bool
    handle: Callable[[Mapping[str, str]], Any]


class LighterSimulator(Front):
    """
    One Lighter with one account that has one API key.

    Args:
        clock: The real time; ``clock_offset_ms`` is how far the venue's clock is ahead of it.
        chance: Seeds the market, the counters and the throwaway key.
        faults: Asked for engine faults; the shells ask it for theirs.
        speed: Multiplies the activity of the market, nothing else.
        bases: Coins whose markets are quoted; empty: all.
        private_key: 80 hexadecimal digits, instead of a throwaway key.
    """

    name: str = "lighter"
    message_kind = staticmethod(message_kind)

    def __init__(
        self,
        clock: Clock,
        chance: Chance,
        faults: Faults | None = None,
        speed: float = 1.0,
        *,
        choices: Choices | None = None,
        private_key: str | None = None,
        balances: Mapping[str, Decimal] | None = None,
        clock_offset_ms: int = 0,
        bases: Collection[str] = (),
    ) -> None:
        self._clock = clock
        self._offset_ms = clock_offset_ms
        self.faults = faults or Faults()
        self.choices = choices or Choices()
        # The key is public by design: it trades play money on loopback and repeats with the seed.
        raw = bytes.fromhex(private_key) if private_key else chance.fork("key").bytes(40)
        secret = int.from_bytes(raw, "little") % schnorr_check.GROUP
        self._secret = secret
        self._keys = {API_KEY_INDEX: schnorr_check.public_key_of(secret)}
        counters = chance.fork("counters")
        self._nonces = {API_KEY_INDEX: counters.integer(1, 5000)}
        """Next nonce by key."""
        self._good_tokens: dict[str, int] = {}
        self._transactions: dict[str, tuple[int, str]] = {}
        """Tx hash → status (0 failed, 1 pending, 2 executed) and the sequencer's words."""
        self._agenda = Agenda()
        self.engine = MatchingEngine(
            map(listing_of, MARKET_ROWS.values()),
            lambda: self.now_ms() * 1000,
            lambda event: self._streams.on_event(event),
            first_order_id=FIRST_INDEX + counters.integer(1_000_000, 900_000_000),
            first_trade_id=counters.integer(16_000_000_000, 19_000_000_000),
            first_update_id=counters.integer(900_000, 9_000_000_000),
            portion=self._portion,
        )
        self.account = self.engine.open_account(
            Account(OWNER, balances or START_BALANCES, weights={"USDC": Decimal(1)})
        )
        for asset in ASSETS:
            self.account.balance(asset)
        self._rows = LighterRows(self.engine, self.account, ACCOUNT_INDEX)
        self._streams = LighterStreams(
            self.engine,
            self._rows,
            self._agenda,
            clock,
            token_is_good=self._token_is_good,
            send=self._on_stream,
            venue_ms=self.now_ms,
            strict=self.choices.strict_tokens,
        )
        self._sequencer = LighterSequencer(
            self.engine,
            self._rows,
            self._streams,
            self._agenda,
            clock,
            venue_ms=self.now_ms,
            silent_drops=self.choices.silent_drops,
        )
        self._street = Street(
            self.engine, clock, chance.fork("street"), quoted(ANCHORS, bases), heard=self._streams.hears, speed=speed
        )
        self._routes = self._make_routes()

    # -- what the shells ask

    def ws_open(self, peer: Peer, path: str, headers: Mapping[str, str]) -> None:
        self._streams.opened(peer)

    def ws_text(self, peer: Peer, text: str) -> None:
        self._streams.said(peer, text)

    def ws_closed(self, peer: Peer) -> None:
        self._streams.closed(peer)

    def http_kind(self, request: Request) -> str:
        name = request.path.removeprefix("/api/v1/")
        if name in ("sendTx", "sendTxBatch"):
            return _kind_of_form(read_form(request))
        route = self._routes.get(name)
        return route.kind if route else "other"

    def text_kind(self, text: str) -> str:
        try:
            frame = read_json(text)
        except ValueError:
            return "other"
        if not isinstance(frame, dict) or frame.get("type") not in ("jsonapi/sendtx", "jsonapi/sendtxbatch"):
            return "other"
        return _kind_of_form(frame.get("data"))

    def bootstrap(self, rest: str, ws: str) -> dict[str, Any]:
        return {
            "rest": rest,
            "ws": f"{ws}/stream",
            "credentials": {
                "account_index": ACCOUNT_INDEX,
                "api_key_index": API_KEY_INDEX,
                "private_key": self._secret.to_bytes(40, "little").hex(),
                "chain_id": CHAIN_ID,
            },
            "symbols": {"perp": "SOL", "spot": "ETH/USDC"},
        }

    # -- what a fault lets the venue do

    def expire_login(self, ms: int) -> bool:
        self._streams.end_private()
        return True

    def refused_login(self, asked: Request | str) -> str | None:
        return self._streams.refused(asked) if isinstance(asked, str) else None

    def forced(self, origin: str) -> tuple[None, Mapping[str, Any]]:
        return None, {"expiry": 0}

    # -- requests

    def http(self, request: Request) -> Reply:
        name = request.path.removeprefix("/api/v1/")
        try:
            if request.method == "POST" and name in ("sendTx", "sendTxBatch"):
                form = read_form(request)
                return json_reply(self._send(form) if name == "sendTx" else self._send_batch(form))
            route = self._routes.get(name) if request.method == "GET" else None
            if route is None:
                raise _error(404, 29404, "not found")
            values = read_query(request.query)
            if route.is_private:
                token = request.headers.get("authorization") or values.get("auth", "")
                if not self._token_is_good(token):
                    raise _invalid(20013, "invalid auth: invalid auth token")
                if values.get("account_index") != str(ACCOUNT_INDEX):
                    raise _invalid(21100, "account not found")
            return json_reply(route.handle(values))
        except Answer as answer:
            return answer.reply

    def _token_is_good(self, token: str) -> bool:
        """An auth token of this account that has not ended; one that was checked is remembered."""
        deadline = self._good_tokens.get(token)
        if deadline is None:
            read = token_message(token)
            if read is None or read.account != ACCOUNT_INDEX or read.key not in self._keys:
                return False
            message = schnorr_check.hash_five(read.limbs)
            if not schnorr_check.is_signed(self._keys[read.key], message, read.signature, self._secret):
                return False
            deadline = self._good_tokens[token] = read.deadline_secs
        return self.now_ms() < deadline * 1000

    def _make_routes(self) -> dict[str, _Route]:
        rows: tuple[tuple[str, str, bool, Callable[[Mapping[str, str]], Any]], ...] = (
            ("/", "time", False, self._status),
            ("/info", "other", False, lambda q: {"contract_address": "0x" + "0" * 40}),
            ("orderBookDetails", "markets", False, self._details),
            ("orderBooks", "markets", False, self._order_books),
            ("assetDetails", "markets", False, lambda q: self._rows.asset_details()),
            ("orderBookOrders", "book", False, self._book_orders),
            ("recentTrades", "book", False, self._recent_trades),
            ("account", "positions", False, self._account),
            ("apikeys", "other", False, self._api_keys),
            ("nextNonce", "other", False, self._next_nonce),
            ("tx", "other", False, self._transaction),
            ("accountOrders", "order", True, self._orders_by_client_id),
            ("accountActiveOrders", "open_orders", True, self._active_orders),
            ("accountInactiveOrders", "history", True, self._inactive_orders),
            ("trades", "fills", True, self._trades),
        )
        return {name: _Route(kind, private, handle) for name, kind, private, handle in rows}

    # -- public readings

    def _status(self, query: Mapping[str, str]) -> Any:
        return {"status": 200, "network_id": 1, "timestamp": self.now_ms() // 1000}

    def _listed(self, query: Mapping[str, str]) -> list[int]:
        wanted = query.get("market_id")
        if wanted in (None, "255"):
            return list(MARKET_ROWS)
        return [_market(wanted)]

    def _details(self, query: Mapping[str, str]) -> Any:
        rows = [self._rows.details(number) for number in self._listed(query)]
        return {
            "code": 200,
            "order_book_details": [row for row in rows if row["market_type"] == "perp"],
            "spot_order_book_details": [row for row in rows if row["market_type"] == "spot"],
        }

    def _order_books(self, query: Mapping[str, str]) -> Any:
        return {"code": 200, "order_books": [MARKET_ROWS[number] for number in self._listed(query)]}

    def _book_orders(self, query: Mapping[str, str]) -> Any:
        return self._rows.book_orders(_market(query.get("market_id")), _limit(query, 250))

    def _recent_trades(self, query: Mapping[str, str]) -> Any:
        symbol = MARKET_ROWS[_market(query.get("market_id"))]["symbol"]
        trades = list(self.engine.trades[symbol])[: -_limit(query, 100) - 1 : -1]
        return {"code": 200, "trades": [self._rows.trade(trade) for trade in trades]}

    def _account(self, query: Mapping[str, str]) -> Any:
        row = self._rows.account_row()
        known = {"index": str(ACCOUNT_INDEX), "l1_address": row["l1_address"]}
        if query.get("by") not in known or query.get("value") != known[query["by"]]:
            raise _invalid(21100, "account not found")
        return {"code": 200, "total": 1, "accounts": [row]}

    def _api_keys(self, query: Mapping[str, str]) -> Any:
        if query.get("account_index") != str(ACCOUNT_INDEX):
            raise _invalid(21100, "account not found")
        wanted = query.get("api_key_index", "255")
        head = {"account_index": ACCOUNT_INDEX, "transaction_time": 0}
        rows = [
            {**head, "api_key_index": index, "nonce": self._nonces[index], "public_key": key.hex()}
            for index, key in self._keys.items()
            if wanted in ("255", str(index))
        ]
        if not rows:
            raise _invalid(21109, "api key not found")
        return {"code": 200, "api_keys": rows}

    def _next_nonce(self, query: Mapping[str, str]) -> Any:
        if query.get("account_index") != str(ACCOUNT_INDEX):
            raise _invalid(21100, "account not found")
        key = query.get("api_key_index", "")
        if key not in map(str, self._nonces):
            raise _invalid(21109, "api key not found")
        return {"code": 200, "nonce": self._nonces[int(key)]}

    def _transaction(self, query: Mapping[str, str]) -> Any:
        found = self._transactions.get(query.get("value", ""))
        if found is None or query.get("by") != "hash":
            raise _invalid(21500, "transaction not found")
        info = {"ae": found[1]} if found[1] else {}
        event_info = msgspec.json.encode(info).decode()
        return {"code": 200, "hash": query["value"], "status": found[0], "event_info": event_info}

    # -- the account's readings

    def _orders_by_client_id(self, query: Mapping[str, str]) -> Any:
        wanted = query.get("client_order_indexes", "").split(",")[:20]
        return {"code": 200, "orders": [self._rows.order(o) for o in self._all() if str(o.client_id) in wanted]}

    def _active_orders(self, query: Mapping[str, str]) -> Any:
        numbers = self._listed(query)
        orders = [order for order in self.engine.open_orders(OWNER) if NUMBERS[order.symbol] in numbers]
        return {"code": 200, "orders": [self._rows.order(order) for order in orders]}

    def _inactive_orders(self, query: Mapping[str, str]) -> Any:
        numbers = self._listed(query)
        ended = [order for order in self._all() if not order.live and NUMBERS[order.symbol] in numbers]
        return self._page(query, "orders", [self._rows.order(order) for order in reversed(ended)])

    def _trades(self, query: Mapping[str, str]) -> Any:
        numbers, index = self._listed(query), query.get("order_index")
        if query.get("sort_by") not in ("timestamp", "trade_id", "block_height"):
            raise _invalid(20001, "invalid param : sort_by")
        rows = [self._rows.fill(fill) for fill in self.engine.fills if NUMBERS[fill.symbol] in numbers]
        rows = [row for row in rows if index in (None, row["ask_id_str"], row["bid_id_str"])]
        if query.get("sort_dir") != "asc":
            rows.reverse()
        return self._page(query, "trades", rows)

    def _page(self, query: Mapping[str, str], name: str, rows: list[Any]) -> Any:
        limit, cursor = _limit(query, 100), query.get("cursor") or "0"
        start = int(cursor) if cursor.isascii() and cursor.isdigit() and len(cursor) < 10 else 0
        answer = {"code": 200, name: rows[start : start + limit]}
        return answer | ({"next_cursor": str(start + limit)} if len(rows) > start + limit else {})

    def _all(self) -> list[Order]:
        """Every order of the account, without those that another one has replaced."""
        return [order for order in self.engine.orders.values() if not order.notes.get("replaced")]

    # -- transactions

    def _on_stream(self, kind: str, data: Any) -> dict[str, Any]:
        """The answer to a transaction that came as a frame."""
        data = data if isinstance(data, dict) else {}
        name = {"id": data["id"]} if isinstance(data.get("id"), str | int) else {}
        try:
            told = self._send(data) if kind == "jsonapi/sendtx" else self._send_batch(data)
        except Answer as answer:
            told = msgspec.json.decode(answer.reply.body)
            if self.choices.bare_refusals:
                return {"error": told}
        return {"type": kind, **name, **told}

    def _send(self, form: Any) -> dict[str, Any]:
        """Check one transaction, and queue it. Raises Answer with the refusal."""
        signed = self._checked(form, self._nonces)
        self._commit(signed)
        return self._queued([signed]) | {"tx_hash": signed.hash}

    def _send_batch(self, form: Any) -> dict[str, Any]:
        """All or none; their nonces follow each other."""
        form, lists = form if isinstance(form, dict) else {}, []
        for name in ("tx_types", "tx_infos"):
            try:
                value = read_json(form[name]) if isinstance(form.get(name), str) else form.get(name)
            except ValueError:
                value = None
            lists.append(value if isinstance(value, list) else [])
        if not lists[0] or len(lists[0]) != len(lists[1]):
            raise _invalid(21513, "TxInfos and TxTypes should have the same length")
        if len(lists[0]) > LARGEST_BATCH:
            raise _invalid(21514, "maximum 50 transactions allowed per batch")
        nonces = dict(self._nonces)
        batch = []
        for kind, info in zip(*lists, strict=True):
            signed = self._checked({"tx_type": kind, "tx_info": info}, nonces)
            nonces[signed.key] = signed.nonce + 1
            batch.append(signed)
        for signed in batch:
            self._commit(signed)
        return self._queued(batch) | {"tx_hash": [signed.hash for signed in batch]}

    def _queued(self, batch: list[Signed]) -> dict[str, Any]:
        return {
            "code": 200,
            "message": '{"ratelimit": "didn\'t use volume quota"}',
            "predicted_execution_time_ms": self.now_ms() + self.choices.queue_ms,
            "volume_quota_remaining": 0,
        }

    def _checked(self, form: Any, nonces: Mapping[int, int]) -> Signed:
        """What the gate checks, in the venue's order: shape, account, key, expiry, signature, nonce, content."""
        form = form if isinstance(form, dict) else {}
        signed = read_transaction(form.get("tx_type"), form.get("tx_info"), CHAIN_ID)
        if signed.account != ACCOUNT_INDEX:
            raise _invalid(21100, "account not found")
        if signed.key not in self._keys:
            raise _invalid(21109, "api key not found")
        if signed.fields["ExpiredAt"] <= self.now_ms():
            raise _refused("CLOCK_SKEW")
        if not schnorr_check.is_signed(self._keys[signed.key], signed.message, signed.signature, self._secret):
            raise _refused("AUTH")
        expected = nonces[signed.key]
        skips = signed.attributes.get(4) == 1
        if not (expected <= signed.nonce < 2**47 - 1 if skips else signed.nonce == expected):
            raise _invalid(21104, "invalid nonce")
        self._check_content(signed)
        return signed

    def _check_content(self, signed: Signed) -> None:
        fields = signed.fields
        if signed.kind in (CREATE_ORDER, CANCEL_ORDER, MODIFY_ORDER, UPDATE_LEVERAGE):
            _market(str(fields["MarketIndex"]))
        match signed.kind:
            case 14:
                self._check_order(signed)
            case 15 | 17:
                self._check_target(signed)
            case 16:
                self._check_cancel_all(signed)
            case 20 if not 0 < fields["InitialMarginFraction"] <= 10_000 or fields["MarginMode"] not in (0, 1):
                raise _invalid(21113, "invalid initial margin fraction")

    def _check_order(self, signed: Signed) -> None:
        fields = signed.fields
        row = MARKET_ROWS[fields["MarketIndex"]]
        client, kind, tif = fields["ClientOrderIndex"], fields["Type"], fields["TimeInForce"]
        if not 0 <= client < FIRST_INDEX:
            raise _invalid(21727, "invalid client order index")
        if fields["IsAsk"] not in (0, 1):
            raise _invalid(21703, "invalid isAsk")
        if kind not in (0, 1):
            raise _invalid(21710 if 2 <= kind <= 6 else 21704, "unsupported order type")
        if tif not in (0, 1, 2) or (kind == 1 and tif):
            raise _invalid(21705, "invalid OrderTimeInForce")
        if fields["ReduceOnly"] not in (0, 1) or (fields["ReduceOnly"] and row["market_type"] == "spot"):
            raise _refused("REDUCE_ONLY")
        if fields["TriggerPrice"]:
            raise _invalid(21729, "invalid order trigger price")
        ahead_ms = fields["OrderExpiry"] - self.now_ms()
        if fields["OrderExpiry"] if tif == 0 else not SHORTEST_LIFE_MS <= ahead_ms <= LONGEST_LIFE_MS:
            raise _refused("CLOCK_SKEW")
        known = [order for order in self._all() if client and order.client_id == client]
        if any(order.live for order in known) or (known and self.choices.ended_client_id == "refuse"):
            raise _refused("DUPLICATE_CLIENT_ID")
        self._check_amounts(row, fields["BaseAmount"], fields["Price"], rests=tif != 0, is_limit=kind == 0)
        rule = self.faults.engine("place")
        if rule is not None:
            raise _refused(rule.params["reason"] if rule.params["reason"] in REFUSALS else "INSUFFICIENT_MARGIN")
        # Makers' margin is checked here, takers' by the sequencer.
        if tif != 0 and self.engine.check(self._sequencer.ticket(signed)) in (Reason.MARGIN, Reason.FUNDS):
            raise _refused("INSUFFICIENT_MARGIN")

    def _check_amounts(self, row: Mapping[str, Any], amount: int, price: int, *, rests: bool, is_limit: bool) -> None:
        listing = self.engine.listings[row["symbol"]]
        if not 1 <= amount < 2**48:
            raise _invalid(21701, "invalid base amount")
        if not 1 <= price < 2**32:
            raise _refused("PRECISION")
        small = listing.size(amount) < Decimal(row["min_base_amount"])
        # The minimums bind what may rest; a taker may close dust.
        if rests and (small or listing.notional(price, amount) < Decimal(row["min_quote_amount"])):
            raise _refused("MIN_SIZE")
        mark = self.engine.mark(row["symbol"])
        if is_limit and not BAND[0] * mark <= listing.price(price) <= BAND[1] * mark:
            raise _refused("PRICE_BAND")

    def _check_target(self, signed: Signed) -> None:
        order = self._sequencer.find(signed)
        if signed.kind == CANCEL_ORDER:
            rule = self.faults.engine("cancel")
            if rule is not None and rule.action == "reject":
                raise _refused(rule.params["reason"] if rule.params["reason"] in REFUSALS else "ORDER_NOT_FOUND")
            if rule is not None:
                signed.late_ms = rule.params["ms"]
        elif order is not None:
            amounts = signed.fields["BaseAmount"], signed.fields["Price"]
            self._check_amounts(MARKET_ROWS[signed.fields["MarketIndex"]], *amounts, rests=True, is_limit=True)
        if order is None and self.choices.unknown_cancel == "refuse":
            raise _refused("ORDER_NOT_FOUND")

    def _check_cancel_all(self, signed: Signed) -> None:
        tif, moment = signed.fields["TimeInForce"], signed.fields["Time"]
        one_market = signed.attributes.get(5, 255) != 255
        if tif not in (0, 1, 2) or (one_market and tif != 0):
            raise _invalid(21713, "invalid cancel all time in force")
        ahead_ms = moment - self.now_ms()
        if moment if tif != 1 else not SHORTEST_LIFE_MS <= ahead_ms <= LATEST_CANCEL_MS:
            raise _invalid(21714, "invalid cancel all time")
        if tif == 0 and self._rows.cancel_all_ms and self.choices.queued_cancel_all == "refuse":
            raise _invalid(21712, "account has a queued cancel all orders request")
        if one_market:
            _market(str(signed.attributes[5]))

    def _commit(self, signed: Signed) -> None:
        """The nonce is taken; the rest happens when its turn has come."""
        self._nonces[signed.key] = signed.nonce + 1
        self._transactions[signed.hash] = (1, "")
        due = self._clock.now_ms() + self.choices.queue_ms + signed.late_ms
        self._agenda.at(due, lambda: self._execute(signed))

    def _execute(self, signed: Signed) -> None:
        failure = self._sequencer.execute(signed)
        self._transactions[signed.hash] = (0, failure) if failure else (2, "")


def _kind_of_form(form: Any) -> str:
    kind = form.get("tx_type", "") if isinstance(form, dict) else ""
    text = str(kind)
    return KIND_OF.get(int(text), "other") if text.isascii() and text.isdigit() and len(text) < 4 else "other"


def _market(text: str | None) -> int:
    number = int(text) if text and text.isascii() and text.isdigit() and len(text) < 6 else -1
    if number not in MARKET_ROWS:
        raise _invalid(21602, "invalid market index")
    return number


def _limit(query: Mapping[str, str], most: int) -> int:
    text = query.get("limit", str(most))
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= most):
        raise _invalid(20001, "invalid param : limit")
    return int(text)
