"""
OKX, simulated: REST and streams as the sheet and the recorded payloads show them, on the shared matching engine.
Written from those alone; it shares no code with the dialect that talks to it.

What is documented in two ways, or not at all, is a switch in :class:`Choices`. Left out: dated futures, options, spot
margin, isolated margin, algo orders, funding payments, liquidation, rate limits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from core.chance import Chance
from core.clock import Clock
from core.precision import OffGrid, decimal_of, scaled_decimal
from venues.simulation.accounts import Account
from venues.simulation.app import Peer, Reply, Request
from venues.simulation.desk import Agenda
from venues.simulation.engine import MatchingEngine
from venues.simulation.faults import Faults
from venues.simulation.forms import Answer, json_reply, read_json, read_query
from venues.simulation.front import Front, quoted
from venues.simulation.market import Street
from venues.simulation.okx_forms import (
    CLIENT_ID,
    REFUSALS,
    TAG,
    Refusal,
    body_of,
    choice,
    error,
    flag,
    number,
    page,
    symbol_of,
    verify,
    whole,
)
from venues.simulation.okx_rows import BY_CODE, INSTRUMENTS, SETTLE, OkxRows, contract_size, listing_of
from venues.simulation.okx_streams import ORDER_OPS, OkxStreams, message_kind
from venues.simulation.records import Order, Reason, SelfTrade, State, Ticket, TimeInForce

OWNER: Final = "main"
ANCHORS: Final = {"SOL": Decimal(140), "BTC": Decimal(95000), "ETH": Decimal(3200)}
START_BALANCES: Final = {SETTLE: Decimal(10_000), "SOL": Decimal(10)}
KEPT_MS: Final = 2 * 3_600_000
"""Orders cancelled without a fill can be asked for so long."""
MOST_IN_BATCH: Final = 20

TIFS: Final = {
    "limit": TimeInForce.GTC,
    "post_only": TimeInForce.GTC,
    "ioc": TimeInForce.IOC,
    "fok": TimeInForce.FOK,
    "market": TimeInForce.GTC,
    "optimal_limit_ioc": TimeInForce.IOC,
}
STP: Final = {
    "cancel_maker": SelfTrade.MAKER,
    "cancel_taker": SelfTrade.TAKER,
    "cancel_both": SelfTrade.BOTH,
}
_REFUSED_FOR: Final[Mapping[Reason, str]] = {
    Reason.REDUCE_ONLY: "REDUCE_ONLY",
    Reason.REDUCE_ONLY_SIZE: "REDUCE_ONLY_SIZE",
    Reason.FUNDS: "INSUFFICIENT_BALANCE",
    Reason.MARGIN: "INSUFFICIENT_MARGIN",
}
"""What is refused at the gate. Every other reason lets the order in and cancels it."""


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """How the account is set up, and what the venue does where its documents disagree or are silent."""

    account_level: str = "2"
    """acctLv: 1 spot, 2 futures, 3 multi-currency, 4 portfolio."""
    position_mode: str = "net_mode"
    permissions: str = "read_only,trade"
    demo: bool = False
    """The key is one of demo trading: every private request must say so."""
    reduce_only_oversize: str = "clip"
    """``clip`` or ``refuse``: the two documents differ."""
    market_goes_live: bool = False
    """A market order, or one of post-only that crosses, is shown ``live`` before its end."""
    codes_refused: bool = False
    """Orders over the stream are refused for their instIdCode, as the demo venue did in 2026-09."""


class Route(NamedTuple):
    kind: str
    private: bool
    handle: Callable[[Any], Any]
    """From the query or body to the ``data`` of the answer, or to the whole Reply."""


class OkxSimulator(Front):
    """
    One OKX with one account.

    Args:
        clock: The real time; ``clock_offset_ms`` is how far the venue's clock is ahead of it.
        chance: Seeds the market, the counters and the throwaway credentials.
        faults: Asked for engine faults; the shells ask it for theirs.
        speed: Multiplies the activity of the market, nothing else.
        bases: Coins whose markets are quoted; empty: all.
    """

    name: str = "okx"
    message_kind = staticmethod(message_kind)

    def __init__(
        self,
        clock: Clock,
        chance: Chance,
        faults: Faults | None = None,
        speed: float = 1.0,
        *,
        choices: Choices | None = None,
        balances: Mapping[str, Decimal] | None = None,
        clock_offset_ms: int = 0,
        bases: Collection[str] = (),
    ) -> None:
        self._clock = clock
        self._offset_ms = clock_offset_ms
        self.faults = faults or Faults()
        self.choices = choices or Choices()
        # Public by design: they trade play money on loopback and repeat with the seed.
        keys, counters = chance.fork("key"), chance.fork("counters")
        raw = keys.bytes(16).hex()
        self.credentials: Mapping[str, str] = {
            "api_key": f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:]}",
            "api_secret": keys.bytes(16).hex().upper(),
            "passphrase": f"Throwaway-{keys.bytes(4).hex()}",
        }
        self._position_mode = self.choices.position_mode
        self._agenda = Agenda()
        self._timers: dict[str, int] = {}
        """Tag → how often its countdown was set; an older one does nothing when it comes to its end."""
        self.engine = MatchingEngine(
            map(listing_of, INSTRUMENTS.values()),
            lambda: self.now_ms() * 1000,
            lambda event: self._streams.on_event(event),
            first_order_id=counters.integer(2_000_000_000_000_000_000, 2_900_000_000_000_000_000),
            first_trade_id=counters.integer(100_000_000, 900_000_000),
            first_update_id=counters.integer(1_000_000_000, 4_000_000_000),
            clip_reduce_only=self.choices.reduce_only_oversize == "clip",
            portion=self._portion,
        )
        self.account = self.engine.open_account(
            Account(OWNER, balances or START_BALANCES, leverage=Decimal(10), weights={SETTLE: Decimal(1)})
        )
        uid = str(counters.integer(10**17, 10**18 - 1))
        first_bill = counters.integer(10**18, 2 * 10**18)
        self._rows = OkxRows(self.engine, self.account, uid, first_bill, self.choices.account_level)
        self._streams = OkxStreams(
            self.engine,
            self._rows,
            self._agenda,
            clock,
            credentials=self.credentials,
            execute=self._execute,
            venue_ms=self.now_ms,
        )
        self._street = Street(
            self.engine, clock, chance.fork("street"), quoted(ANCHORS, bases), heard=self._streams.hears, speed=speed
        )
        self._routes = self._make_routes()

    # -- what the shells ask

    def ws_open(self, peer: Peer, path: str, headers: Mapping[str, str]) -> None:
        self._streams.opened(peer, path)

    def ws_text(self, peer: Peer, text: str) -> None:
        self._streams.said(peer, text)

    def ws_closed(self, peer: Peer) -> None:
        self._streams.closed(peer)

    def http_kind(self, request: Request) -> str:
        route = self._routes.get((request.method, request.path))
        return route.kind if route else "other"

    def text_kind(self, text: str) -> str:
        """Orders and cancels over the private stream."""
        try:
            frame = read_json(text)
        except ValueError:
            return "other"
        op = frame.get("op") if isinstance(frame, dict) else None
        return ORDER_OPS.get(op, "other") if isinstance(op, str) else "other"

    def bootstrap(self, rest: str, ws: str) -> dict[str, Any]:
        return {
            "rest": rest,
            "ws": f"{ws}/ws/v5",
            "credentials": dict(self.credentials),
            "symbols": {"perp": "SOL-USDT-SWAP", "spot": "SOL-USDT"},
        }

    # -- what a fault lets the venue do

    def expire_login(self, ms: int) -> bool:
        """Nothing expires here but the server: it asks the client to reconnect, and closes later."""
        self._streams.ask_to_reconnect(ms)
        return True

    def refused_login(self, asked: Request | str) -> str | None:
        return self._streams.refused(asked) if isinstance(asked, str) else None

    def maintenance(self) -> Reply:
        words = "Service temporarily unavailable. Please try again later."
        return json_reply({"code": "50001", "data": [], "msg": words}, 503)

    def forced(self, origin: str) -> tuple[None, Mapping[str, Any]]:
        return None, {"ordType": "ioc", "stpMode": "", "tag": "", "tdMode": "cross", "tgtCcy": "", "quiet": True}

    # -- requests

    def http(self, request: Request) -> Reply:
        route = self._routes.get((request.method, request.path))
        if route is None:
            return json_reply({"code": "404", "data": {}, "msg": "Not Found"}, 404)
        try:
            if route.private:
                verify(request, self.credentials, self.now_ms(), demo=self.choices.demo)
            values = read_query(request.query) if request.method == "GET" else body_of(request)
            self._check_expiry(request.headers.get("exptime"))
            answer = route.handle(values)
        except Answer as refused:
            return refused.reply
        except Refusal as refusal:
            return json_reply({"code": refusal.code, "data": [], "msg": refusal.text})
        return json_reply(answer if isinstance(answer, dict) else {"code": "0", "data": answer, "msg": ""})

    def _check_expiry(self, text: object) -> None:
        if text in (None, ""):
            return
        digits = str(text)
        if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
            raise Refusal("PARAMETER", "expTime")
        if int(digits) < self.now_ms():
            raise Refusal("EXPIRED")

    def _make_routes(self) -> dict[tuple[str, str], Route]:
        rows: tuple[tuple[str, str, str, bool, Callable[[Any], Any]], ...] = (
            ("GET", "public/time", "time", False, lambda q: [{"ts": str(self.now_ms())}]),
            ("GET", "public/instruments", "markets", False, _instruments),
            ("GET", "public/price-limit", "book", False, self._price_limit),
            ("GET", "market/books", "book", False, self._book),
            ("GET", "market/ticker", "book", False, lambda q: [self._rows.ticker(symbol_of(q))]),
            ("GET", "asset/currencies", "other", True, lambda q: []),
            ("GET", "account/instruments", "markets", True, _instruments),
            ("GET", "account/config", "other", True, self._config),
            ("GET", "account/balance", "balances", True, self._balance),
            ("GET", "account/positions", "positions", True, self._positions),
            ("GET", "account/trade-fee", "other", True, self._trade_fee),
            ("POST", "account/set-leverage", "other", True, self._set_leverage),
            ("POST", "account/set-position-mode", "other", True, self._set_position_mode),
            ("POST", "trade/order", "place", True, lambda b: self._each([b], self._place)),
            ("POST", "trade/batch-orders", "place", True, lambda b: self._each(b, self._place)),
            ("POST", "trade/cancel-order", "cancel", True, lambda b: self._each([b], self._cancel)),
            ("POST", "trade/cancel-batch-orders", "cancel_all", True, lambda b: self._each(b, self._cancel)),
            ("POST", "trade/close-position", "place", True, self._close_position),
            ("POST", "trade/cancel-all-after", "other", True, self._cancel_all_after),
            ("GET", "trade/order", "order", True, self._order),
            ("GET", "trade/orders-pending", "open_orders", True, self._orders_pending),
            ("GET", "trade/orders-history", "history", True, self._orders_history),
            ("GET", "trade/fills", "fills", True, self._fills),
            ("GET", "trade/fills-history", "fills", True, self._fills),
        )
        return {(method, f"/api/v5/{path}"): Route(kind, private, do) for method, path, kind, private, do in rows}

    # -- public readings

    def _price_limit(self, query: Mapping[str, str]) -> list[Any]:
        symbol = symbol_of(query)
        high, low = self._rows.price_limit(symbol)
        row = {"instType": INSTRUMENTS[symbol]["instType"], "instId": symbol, "enabled": True}
        return [{**row, "buyLmt": f"{high:f}", "sellLmt": f"{low:f}", "ts": str(self.now_ms())}]

    def _book(self, query: Mapping[str, str]) -> list[Any]:
        return [self._rows.book(symbol_of(query), min(400, whole(query, "sz", 1)))]

    # -- orders

    def _execute(self, op: str, args: Any, expiry: Any) -> dict[str, Any]:
        """An order request over the stream: markets are named by instIdCode, and failures have no ``msg`` on top."""
        if not isinstance(args, list) or not args or not all(isinstance(arg, dict) for arg in args):
            return self._envelope("60013", [], "Invalid args")
        handle = self._cancel if "cancel" in op else self._place

        def named(arg: Mapping[str, Any]) -> dict[str, Any]:
            code = arg.get("instIdCode")
            if code in (None, ""):
                raise Refusal("EMPTY", "instIdCode")
            symbol = BY_CODE.get(code) if isinstance(code, int) else None
            if symbol is None or self.choices.codes_refused:
                raise Refusal("UNKNOWN_SYMBOL")
            return handle({**arg, "instId": symbol})

        try:
            self._check_expiry(expiry)
            return {**self._each(args, named), "msg": ""}
        except Refusal as refusal:
            return self._envelope(refusal.code, [], refusal.text)
        except Answer:
            return self._envelope("60013", [], "Invalid args")

    def _each(self, orders: Any, handle: Callable[[Mapping[str, Any]], dict[str, Any]]) -> dict[str, Any]:
        """Code 0: all went well, 1: none, 2: some. The reason of each is in its row."""
        if not isinstance(orders, list) or not orders or not all(isinstance(each, dict) for each in orders):
            raise error(400, "50002", "JSON syntax error")
        if len(orders) > MOST_IN_BATCH:
            raise error(200, "51111", f"Maximum {MOST_IN_BATCH} orders can be placed in bulk.")
        rows, failed = [], 0
        for each in orders:
            given = {name: value for name, value in each.items() if value not in (None, "")}
            blank = {"clOrdId": str(given.get("clOrdId", "")), "ordId": "", "tag": str(given.get("tag", ""))}
            try:
                told = {"sCode": "0", "sMsg": "", "subCode": "", **handle(given)}
            except Refusal as refusal:
                failed += 1
                told = {"sCode": refusal.code, "sMsg": refusal.text, "subCode": refusal.sub}
            rows.append({**blank, **told, "ts": str(self.now_ms())})
        code = "0" if not failed else "1" if failed == len(rows) else "2"
        words = {"0": "", "1": "All operations failed", "2": "Bulk operation partially succeeded."}
        return self._envelope(code, rows, words[code])

    def _envelope(self, code: str, rows: list[Any], msg: str) -> dict[str, Any]:
        us = str(self.engine.stamp())
        return {"code": code, "data": rows, "inTime": us, "msg": msg, "outTime": us}

    def _place(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        ticket = self._ticket(fields)
        rule = self.faults.engine("place")
        if rule is not None:
            reason = rule.params["reason"]
            raise Refusal(reason if reason in REFUSALS else "INSUFFICIENT_MARGIN", "", "")
        verdict = self.engine.check(ticket)
        listing = self.engine.listings[ticket.symbol]
        is_market = ticket.price_i is None
        if verdict is Reason.FUNDS and is_market and not ticket.is_ask and not fields.get("banAmend"):
            # A spot market buy beyond the balance is silently made as small as the balance.
            budget = self.account.balance(listing.quote).free
            ticket = msgspec.structs.replace(ticket, size_i=0, budget=budget)
        elif verdict is Reason.REDUCE_ONLY and self.account.net_i(ticket.symbol):
            raise Refusal("REDUCE_ONLY_SIDE")
        elif verdict is not None and verdict in _REFUSED_FOR:
            raise Refusal(_REFUSED_FOR[verdict], listing.base if ticket.is_ask else listing.quote)
        quiet = (is_market or verdict is Reason.WOULD_CROSS) and not self.choices.market_goes_live
        ticket = msgspec.structs.replace(ticket, notes={**ticket.notes, "quiet": quiet})
        order = self.engine.place(ticket)
        return {"ordId": str(order.id), "sMsg": "Order placed"}

    def _ticket(self, fields: Mapping[str, Any]) -> Ticket:
        """Read and check an order up to what only the engine knows."""
        for name in ("instId", "tdMode", "side", "ordType", "sz"):
            if name not in fields:
                raise Refusal("EMPTY", name)
        symbol = fields["instId"]
        if symbol not in (*INSTRUMENTS,):
            raise Refusal("UNKNOWN_SYMBOL")
        row, listing = INSTRUMENTS[symbol], self.engine.listings[symbol]
        side = choice(fields, "side", ("buy", "sell"))
        kind = choice(fields, "ordType", TIFS)
        stp = choice(fields, "stpMode", STP) if "stpMode" in fields else "cancel_maker"
        unit = choice(fields, "tgtCcy", ("base_ccy", "quote_ccy")) if "tgtCcy" in fields else ""
        for name, shape in (("clOrdId", CLIENT_ID), ("tag", TAG)):
            if name in fields and not (isinstance(fields[name], str) and shape.fullmatch(fields[name])):
                raise Refusal("PARAMETER", name)
        self._check_mode(fields, is_swap=listing.is_perp)
        reduce_only = flag(fields, "reduceOnly")
        if reduce_only and not listing.is_perp:
            raise Refusal("REDUCE_ONLY_SPOT")
        is_market = kind in ("market", "optimal_limit_ioc")
        by_quote = kind == "market" and not listing.is_perp and (unit or ("quote_ccy", "base_ccy")[side == "sell"])
        size = number(fields, "sz")
        budget = size if by_quote == "quote_ccy" else None
        size_i = 0
        if budget is None:
            self._check_size(row, size, is_market=is_market)
            size_i = scaled_decimal(size * contract_size(symbol), listing.size_decimals)
        high, low = self._rows.price_limit(symbol)
        price_i = None if is_market else self._price_i(fields, symbol)
        if price_i is not None:
            price = listing.price(price_i)
            if (side == "buy" and price > high) or (side == "sell" and price < low):
                raise Refusal("PRICE_BAND", high, low)
        client_id = fields.get("clOrdId")
        if client_id is not None and any(order.client_id == client_id for order in self.engine.open_orders(OWNER)):
            raise Refusal("DUPLICATE_CLIENT_ID")
        return Ticket(
            owner=OWNER,
            symbol=symbol,
            is_ask=side == "sell",
            size_i=size_i,
            budget=budget,
            price_i=price_i,
            # A market order is a limit order at the edge of the price band that does not rest.
            bound_i=scaled_decimal(low if side == "sell" else high, listing.price_decimals),
            time_in_force=TIFS[kind] if not is_market else TimeInForce.GTC,
            post_only=kind == "post_only",
            reduce_only=reduce_only,
            self_trade=STP[stp],
            client_id=client_id,
            notes={
                "ordType": kind,
                "stpMode": stp,
                "tag": fields.get("tag", ""),
                "tdMode": fields["tdMode"],
                "tgtCcy": by_quote or "",
            },
        )

    def _check_mode(self, fields: Mapping[str, Any], *, is_swap: bool) -> None:
        level, mode, side = self.choices.account_level, fields["tdMode"], fields.get("posSide", "net")
        if mode not in ("cash", "cross", "isolated"):
            raise Refusal("PARAMETER", "tdMode")
        if is_swap:
            if level == "1" or mode != "cross":
                raise Refusal("ACCOUNT_MODE")
            hedged = self._position_mode == "long_short_mode"
            if side not in (("long", "short") if hedged else ("net",)):
                raise Refusal("PARAMETER", "posSide")
        elif mode != "cash" and level in ("1", "2"):
            raise Refusal("ACCOUNT_MODE")

    def _check_size(self, row: Mapping[str, Any], size: Decimal, *, is_market: bool) -> None:
        if size < decimal_of(row["minSz"]):
            raise Refusal("MIN_SIZE")
        if size % decimal_of(row["lotSz"]):
            raise Refusal("SIZE_STEP")
        if size > decimal_of(row["maxLmtSz"]):
            raise Refusal("MAX_SIZE")
        if is_market and row["instType"] == "SWAP" and size > decimal_of(row["maxMktSz"]):
            raise Refusal("MAX_MARKET_SIZE")

    def _price_i(self, fields: Mapping[str, Any], symbol: str) -> int:
        listing = self.engine.listings[symbol]
        try:
            price_i = scaled_decimal(number(fields, "px"), listing.price_decimals)
        except OffGrid:
            raise Refusal("PRECISION") from None
        if not price_i or price_i % listing.tick_i:
            raise Refusal("PRECISION")
        return price_i

    def _find(self, fields: Mapping[str, Any]) -> Order | None:
        """The order that a request names by ordId, which wins, or by clOrdId. Raises Refusal for no id or market."""
        symbol, venue_id, client_id = fields.get("instId"), fields.get("ordId"), fields.get("clOrdId")
        if symbol is None:
            raise Refusal("EMPTY", "instId")
        if symbol not in (*INSTRUMENTS,):
            raise Refusal("UNKNOWN_SYMBOL")
        if venue_id is None and client_id is None:
            raise Refusal("NO_ID")
        if venue_id is None:
            return self.engine.by_client_id(OWNER, str(client_id), symbol)
        text = str(venue_id)
        order = self.engine.orders.get(int(text)) if text.isascii() and text.isdigit() and len(text) < 25 else None
        return order if order is not None and order.symbol == symbol else None

    def _cancel(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        order = self._find(fields)
        if order is None or not order.live:
            raise Refusal("ORDER_NOT_FOUND")
        rule = self.faults.engine("cancel")
        if rule is not None and rule.action == "reject":
            reason = rule.params["reason"]
            raise Refusal(reason if reason in REFUSALS else "ORDER_NOT_FOUND", "", "")
        if rule is not None:
            self._agenda.at(self._clock.now_ms() + rule.params["ms"], lambda: self.engine.cancel(order))
        else:
            self.engine.cancel(order)
        return {"ordId": str(order.id), "clOrdId": str(order.client_id or "")}

    def _close_position(self, fields: Mapping[str, Any]) -> list[Any]:
        symbol = symbol_of(fields)
        net_i = self.account.net_i(symbol)
        if not net_i:
            raise Refusal("NO_POSITION")
        size = self._rows.count(symbol, abs(net_i))
        side = "sell" if net_i > 0 else "buy"
        order = {"instId": symbol, "tdMode": "cross", "side": side, "ordType": "market", "sz": size, "reduceOnly": True}
        self._place(order | {name: fields[name] for name in ("clOrdId", "tag") if fields.get(name)})
        told = {name: fields.get(name) or "" for name in ("clOrdId", "tag")}
        return [{**told, "instId": symbol, "posSide": "net"}]

    def _cancel_all_after(self, fields: Mapping[str, Any]) -> list[Any]:
        text, tag = str(fields.get("timeOut", "")), fields.get("tag") or ""
        secs = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else -1
        if secs != 0 and not 10 <= secs <= 120:
            raise Refusal("PARAMETER", "timeOut")
        if not (isinstance(tag, str) and TAG.fullmatch(tag)):
            raise Refusal("PARAMETER", "tag")
        turn = self._timers[tag] = self._timers.get(tag, 0) + 1
        if secs:
            self._agenda.at(self._clock.now_ms() + secs * 1000, lambda: self._time_out(tag, turn))
        now_s = self.now_ms() // 1000
        return [{"triggerTime": str(now_s + secs) if secs else "0", "tag": tag, "ts": str(now_s)}]

    def _time_out(self, tag: str, turn: int) -> None:
        if self._timers[tag] == turn:
            for order in self.engine.open_orders(OWNER):
                if tag in ("", order.notes["tag"]):
                    self._rows.causes[order.id] = "20"
                    self.engine.cancel(order)

    # -- orders and trades of the past

    def _order(self, query: Mapping[str, str]) -> list[Any]:
        order = self._find({name: value for name, value in query.items() if value})
        if order is None or self._forgotten(order):
            raise error(200, "51603", "Order does not exist")
        return [self._rows.order(order)]

    def _forgotten(self, order: Order) -> bool:
        ended = order.state in (State.CANCELLED, State.EXPIRED)
        return ended and not order.filled_i and self.now_ms() - order.updated_us // 1000 > KEPT_MS

    def _orders_pending(self, query: Mapping[str, str]) -> list[Any]:
        return self._listed(query, self.engine.open_orders(OWNER))

    def _orders_history(self, query: Mapping[str, str]) -> list[Any]:
        _kind(query)
        return self._listed(query, [order for order in self.engine.orders.values() if not order.live])

    def _listed(self, query: Mapping[str, str], orders: Sequence[Order]) -> list[Any]:
        kinds = [kind for kind in query.get("ordType", "").split(",") if kind]
        rows = [
            self._rows.order(order)
            for order in reversed(orders)
            if not self._forgotten(order) and (not kinds or order.notes["ordType"] in kinds)
        ]
        return page(query, rows, "ordId")

    def _fills(self, query: Mapping[str, str]) -> list[Any]:
        rows = [self._rows.fill(fill, place) for place, fill in enumerate(self.engine.fills)]
        wanted = query.get("ordId") or ""
        return page(query, [row for row in reversed(rows) if wanted in ("", row["ordId"])], "billId")

    # -- the account

    def _config(self, query: Mapping[str, str]) -> list[Any]:
        return [self._rows.config(self._position_mode, self.choices.permissions)]

    def _balance(self, query: Mapping[str, str]) -> list[Any]:
        row = self._rows.balance(self.now_ms() * 1000, self._streams.changed_us)
        wanted = [coin for coin in query.get("ccy", "").split(",") if coin]
        row["details"] = [each for each in row["details"] if not wanted or each["ccy"] in wanted]
        return [row]

    def _positions(self, query: Mapping[str, str]) -> list[Any]:
        """Unfiltered without flat ones; a market that is asked for by name is told with 0 once it was held."""
        wanted = [symbol for symbol in query.get("instId", "").split(",") if symbol]
        if query.get("instType") not in (None, "", "SWAP"):
            return []
        shown = [
            symbol
            for symbol, each in self.account.positions.items()
            if (symbol in wanted and each.id) or (not wanted and each.net_i)
        ]
        return [self._rows.position(symbol, self._streams.changed_us.get(symbol, 0)) for symbol in shown]

    def _trade_fee(self, query: Mapping[str, str]) -> list[Any]:
        return [self._rows.trade_fee(_kind(query), self.now_ms())]

    def _set_leverage(self, fields: Mapping[str, Any]) -> list[Any]:
        """One for the whole account; the venue keeps one for each market."""
        lever = number(fields, "lever")
        if not 1 <= lever <= 100:
            raise Refusal("PARAMETER", "lever")
        self.account.leverage = lever
        return [{"instId": fields.get("instId", ""), "lever": str(lever), "mgnMode": "cross", "posSide": ""}]

    def _set_position_mode(self, fields: Mapping[str, Any]) -> list[Any]:
        mode = fields.get("posMode")
        if mode not in ("net_mode", "long_short_mode"):
            raise Refusal("PARAMETER", "posMode")
        if self.engine.open_orders(OWNER) or any(each.net_i for each in self.account.positions.values()):
            raise error(200, "59000", "Setting failed. Cancel any open orders, close positions, and stop bots first.")
        self._position_mode = mode
        return [{"posMode": mode}]


def _kind(query: Mapping[str, str]) -> str:
    kind = query.get("instType", "")
    if kind not in ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION"):
        raise error(400, "51000", "Parameter instType error")
    return kind


def _instruments(query: Mapping[str, str]) -> list[Any]:
    kind, symbol = _kind(query), query.get("instId") or ""
    return [row for row in INSTRUMENTS.values() if row["instType"] == kind and symbol in ("", row["instId"])]
