"""
Backpack Exchange, simulated: REST and streams as the sheet and the recorded payloads show them, on the shared
matching engine. Written from those alone; it shares no code with the dialect that talks to it.

What no recording shows is a switch in :class:`Choices`. Left out: trigger and scheduled orders (refused with
NOT_IMPLEMENTED), lending and borrowing, funding payments, liquidation, klines.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey

from core.chance import Chance
from core.clock import Clock
from core.precision import OffGrid, decimal_of, scaled
from venues.simulation.accounts import Account
from venues.simulation.app import Peer, Reply, Request
from venues.simulation.backpack_rows import MARKET_ROWS, BackpackRows, listing_of
from venues.simulation.backpack_streams import BackpackStreams, message_kind, signed_text
from venues.simulation.desk import Agenda
from venues.simulation.engine import MatchingEngine
from venues.simulation.faults import Faults
from venues.simulation.forms import Answer, Fields, json_reply, page, read_values, text_reply
from venues.simulation.front import Front, quoted
from venues.simulation.market import Street
from venues.simulation.records import Order, Reason, SelfTrade, Ticket, TimeInForce

OWNER: Final = "main"
ANCHORS: Final = {"SOL": Decimal(140), "BTC": Decimal(95000), "ETH": Decimal(3200)}
START_BALANCES: Final = {"USDC": Decimal(10_000), "SOL": Decimal(10)}
WEIGHTS: Final = {"USDC": Decimal(1), "SOL": Decimal("0.95"), "BTC": Decimal("0.95"), "ETH": Decimal("0.95")}
"""Collateral weights: 0.95 is what the recorded collateral reading shows for a coin."""
ASSET_ROWS: Final = [{"displayName": name, "symbol": name, "tokens": []} for name in WEIGHTS]

REFUSALS: Final[Mapping[str, tuple[int, str, str]]] = {
    "AUTH": (400, "INVALID_CLIENT_REQUEST", "Invalid signature"),
    "CLOCK_SKEW": (400, "INVALID_CLIENT_REQUEST", "Request has expired"),
    "SIZE_PRECISION": (400, "INVALID_CLIENT_REQUEST", "Quantity decimal too long"),
    "PRECISION": (400, "INVALID_CLIENT_REQUEST", "Price decimal too long"),
    "MIN_SIZE": (400, "INVALID_CLIENT_REQUEST", "Quantity is below the minimum allowed value"),
    "PRICE_BAND": (400, "INVALID_CLIENT_REQUEST", "Price is too far from the last active price"),
    "POST_ONLY_WOULD_CROSS": (400, "INVALID_ORDER", "Order would immediately match and take"),
    "REDUCE_ONLY": (400, "INVALID_ORDER", "Reduce only order not reduced"),
    "INSUFFICIENT_MARGIN": (400, "INSUFFICIENT_FUNDS", "Insufficient funds"),
    "UNFILLED": (400, "INVALID_ORDER", "Order could not be filled"),
    "DUPLICATE_CLIENT_ID": (400, "INVALID_CLIENT_REQUEST", "Duplicate client id"),
    "ORDER_NOT_FOUND": (400, "INVALID_CLIENT_REQUEST", "Order not found"),
    "NOT_FOUND": (404, "RESOURCE_NOT_FOUND", "Not Found"),
    "RATE_LIMITED": (429, "TOO_MANY_REQUESTS", "Too many requests"),
    "VENUE_UNAVAILABLE": (503, "MAINTENANCE", "Maintenance"),
}
"""Status, code and text of each refusal; a ``reject`` fault names one of the keys as its ``reason``."""

_REFUSED_FOR: Final[Mapping[Reason, tuple[str, str]]] = {
    Reason.WOULD_CROSS: ("POST_ONLY_WOULD_CROSS", "post_only_cross"),
    Reason.REDUCE_ONLY: ("REDUCE_ONLY", "reduce_only_flat"),
    Reason.REDUCE_ONLY_SIZE: ("REDUCE_ONLY", "reduce_only_flat"),
    Reason.FUNDS: ("INSUFFICIENT_MARGIN", "insufficient"),
    Reason.MARGIN: ("INSUFFICIENT_MARGIN", "insufficient"),
    Reason.FILL_OR_KILL: ("UNFILLED", "immediate_unfilled"),
    Reason.IMMEDIATE: ("UNFILLED", "immediate_unfilled"),
    Reason.IMPACT: ("UNFILLED", "market_beyond_impact"),
    Reason.NO_LIQUIDITY: ("UNFILLED", "market_beyond_impact"),
}
_STP: Final = {
    "RejectTaker": SelfTrade.TAKER,
    "RejectMaker": SelfTrade.MAKER,
    "RejectBoth": SelfTrade.BOTH,
    "Allow": SelfTrade.ALLOW,
}
HEADERS: Final = {"key": "x-api-key", "signature": "x-signature", "timestamp": "x-timestamp", "window": "x-window"}
MARKET_TYPES: Final = ("SPOT", "PERP", "IPERP", "DATED", "PREDICTION", "RFQ")
FILL_TYPES: Final = (
    *("User", "BookLiquidation", "Adl", "Backstop", "Liquidation", "AllLiquidation"),
    *("CollateralConversion", "CollateralConversionAndSpotLiquidation"),
)
DEPTH_LIMITS: Final = ("5", "10", "20", "50", "100", "500", "1000")
NOT_SIMULATED: Final = (
    *("triggerPrice", "triggerBy", "stopLossTriggerPrice", "takeProfitTriggerPrice"),
    *("slippageTolerance", "slippageToleranceType"),
)


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue does where nobody recorded it: mostly ``expire`` (a 200 with an expired order) or ``refuse``."""

    duplicate_client_id: str = "accept"
    post_only_cross: str = "refuse"
    reduce_only_flat: str = "refuse"
    reduce_only_oversize: str = "clip"
    insufficient: str = "refuse"
    immediate_unfilled: str = "expire"
    market_beyond_impact: str = "expire"
    cancel_is_202: bool = False
    """Cancels answer 202 without a body; the order is gone all the same."""
    history_lag_ms: int = 0
    """How long history keeps silent about an order or fill."""


def _error(status: int, code: str, message: str) -> Answer:
    return Answer(json_reply({"code": code, "message": message}, status))


def _refused(word: str) -> Answer:
    return _error(*REFUSALS[word])


def _invalid(message: str) -> Answer:
    return _error(400, "INVALID_CLIENT_REQUEST", message)


def _symbol(fields: Fields) -> str:
    symbol = fields.need("symbol", "MarketSymbol")
    if symbol not in MARKET_ROWS:
        fields.fail("symbol", "MarketSymbol", "Invalid market symbol")
    return symbol


def _any_symbol(fields: Fields) -> str | None:
    return _symbol(fields) if fields.text("symbol") else None


def _listed(fields: Fields) -> Callable[[str], bool]:
    """Whether a symbol is asked for by the ``symbol`` and ``marketType`` of a query."""
    symbol, kind = _any_symbol(fields), fields.choice("marketType", "MarketType", MARKET_TYPES)
    return lambda each: symbol in (None, each) and kind in (None, MARKET_ROWS[each]["marketType"])


class _Route(NamedTuple):
    kind: str
    instruction: str | None
    handle: Callable[[list[Fields]], Reply]
    is_batch: bool = False


class BackpackSimulator(Front):
    """
    One Backpack with one account.

    Args:
        clock: The real time; ``clock_offset_ms`` is how far the venue's clock is ahead of it.
        chance: Seeds the market, the counters and, unless ``key_seed`` (32 bytes) is given, the throwaway key.
        faults: Asked for engine faults; the shells ask it for theirs.
        speed: Multiplies the activity of the market, nothing else.
        bases: Coins whose markets are quoted; empty: all.
    """

    name: str = "backpack"
    message_kind = staticmethod(message_kind)

    def __init__(
        self,
        clock: Clock,
        chance: Chance,
        faults: Faults | None = None,
        speed: float = 1.0,
        *,
        choices: Choices | None = None,
        key_seed: bytes | None = None,
        balances: Mapping[str, Decimal] | None = None,
        clock_offset_ms: int = 0,
        bases: Collection[str] = (),
    ) -> None:
        self._clock = clock
        self._offset_ms = clock_offset_ms
        self.faults = faults or Faults()
        self.choices = choices or Choices()
        # The key is public by design: it trades play money on loopback and repeats with the seed.
        self._key = SigningKey(key_seed or chance.fork("key").bytes(32))
        self._api_key = base64.b64encode(bytes(self._key.verify_key)).decode()
        counters = chance.fork("counters")
        self._settings: dict[str, Any] = {
            **dict.fromkeys(("autoBorrowSettlements", "autoLend", "autoRepayBorrows"), False),
            "leverageLimit": "10",
        }
        self._agenda = Agenda()
        self.engine = MatchingEngine(
            map(listing_of, MARKET_ROWS.values()),
            lambda: self.now_ms() * 1000,
            lambda event: self._streams.on_event(event),
            first_order_id=counters.integer(28_000_000_000, 60_000_000_000),
            first_trade_id=counters.integer(2_000_000, 9_000_000),
            first_update_id=counters.integer(1_000_000_000, 4_000_000_000),
            clip_reduce_only=self.choices.reduce_only_oversize == "clip",
            portion=self._portion,
        )
        self.account = self.engine.open_account(
            Account(OWNER, balances or START_BALANCES, leverage=Decimal(10), weights=WEIGHTS)
        )
        self._rows = BackpackRows(self.engine, self.account, counters.integer(1_000_000, 2_000_000))
        self._streams = BackpackStreams(
            self.engine, self._rows, self._agenda, clock, signed=self._is_signed, venue_ms=self.now_ms
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
        route = self._routes.get((request.method, request.path))
        return route.kind if route else "other"

    def text_kind(self, text: str) -> str:
        """No order entry over streams here."""
        return "other"

    def bootstrap(self, rest: str, ws: str) -> dict[str, Any]:
        secret = base64.b64encode(bytes(self._key)).decode()
        return {
            "rest": rest,
            "ws": ws,
            "credentials": {"api_key": self._api_key, "api_secret": secret},
            "symbols": {"perp": "SOL_USDC_PERP", "spot": "SOL_USDC"},
        }

    # -- what a fault lets the venue do

    def refused_login(self, asked: Request | str) -> str | None:
        return self._streams.refused(asked) if isinstance(asked, str) else None

    def maintenance(self) -> Reply:
        return _refused("VENUE_UNAVAILABLE").reply

    def forced(self, origin: str) -> tuple[None, Mapping[str, Any]]:
        return None, {"stp": "RejectTaker"}

    # -- requests

    def http(self, request: Request) -> Reply:
        route = self._routes.get((request.method, request.path))
        if route is None:
            return json_reply({"code": "RESOURCE_NOT_FOUND", "message": "Not Found"}, 404)
        try:
            values = read_values(request, many=route.is_batch)
            if route.instruction is not None:
                found = {key: request.headers[name] for key, name in HEADERS.items() if name in request.headers}
                self._verify(route.instruction, values, **found)
            word = route.instruction or ""
            payload = "" if request.method == "GET" else f"{word[:1].upper()}{word[1:]}Payload"
            return route.handle([Fields(each, payload) for each in values])
        except Answer as answer:
            return answer.reply

    def _verify(
        self,
        instruction: str,
        groups: Sequence[Any],
        key: str = "",
        signature: str = "",
        timestamp: str = "",
        window: str = "5000",
    ) -> None:
        """Raises Answer unless the signature over these values, for this instruction, is good now."""
        if not key:
            raise _invalid("Invalid X-API-Key header")
        try:
            raw = base64.b64decode(signature, validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if len(raw) != 64:
            raise _invalid("Invalid X-Signature header")
        for name, value in (("Timestamp", timestamp), ("Window", window)):
            if not (value.isascii() and value.isdigit() and len(value) < 17):
                raise _invalid(f"Invalid X-{name} header")
        if int(window) > 60_000:
            raise _invalid("Invalid X-Window header")
        if abs(self.now_ms() - int(timestamp)) > int(window):
            raise _refused("CLOCK_SKEW")
        if key != self._api_key:
            raise _refused("AUTH")
        signable = [each if isinstance(each, dict) else {} for each in groups]
        for encode in (False, True):
            try:
                text = signed_text(instruction, signable, encode) + f"&timestamp={timestamp}&window={window}"
                self._key.verify_key.verify(text.encode(), raw)
                return
            except (BadSignatureError, UnicodeEncodeError):
                continue
        raise _refused("AUTH")

    def _is_signed(self, signature: list[str]) -> bool:
        try:
            self._verify("subscribe", [{}], *signature[:4])
        except Answer:
            return False
        return len(signature) == 4

    def _make_routes(self) -> dict[tuple[str, str], _Route]:
        def alone(handle: Callable[[Fields], Reply]) -> Callable[[list[Fields]], Reply]:
            return lambda fields: handle(fields[0])

        v1, history = "/api/v1/", "/wapi/v1/history/"
        rows: tuple[tuple[str, str, str, str | None, Callable[[Fields], Reply]], ...] = (
            ("GET", v1 + "assets", "markets", None, lambda f: json_reply(ASSET_ROWS)),
            ("GET", v1 + "markets", "markets", None, self._markets),
            ("GET", v1 + "market", "markets", None, lambda f: json_reply(MARKET_ROWS[_symbol(f)])),
            ("GET", v1 + "depth", "book", None, self._depth),
            ("GET", v1 + "ticker", "book", None, lambda f: json_reply(self._rows.ticker(_symbol(f)))),
            ("GET", v1 + "tickers", "book", None, lambda f: json_reply(list(map(self._rows.ticker, MARKET_ROWS)))),
            ("GET", v1 + "status", "other", None, lambda f: json_reply({"message": None, "status": "Ok"})),
            ("GET", v1 + "ping", "other", None, lambda f: text_reply("pong")),
            ("GET", v1 + "time", "time", None, lambda f: text_reply(str(self.now_ms()))),
            ("GET", v1 + "trades", "book", None, self._trades),
            ("GET", v1 + "markPrices", "book", None, self._mark_prices),
            ("POST", v1 + "order", "place", "orderExecute", lambda f: json_reply(self._place(self._ticket(f)))),
            ("DELETE", v1 + "order", "cancel", "orderCancel", self._cancel),
            ("GET", v1 + "order", "order", "orderQuery", self._order),
            ("GET", v1 + "orders", "open_orders", "orderQueryAll", self._open_orders),
            ("DELETE", v1 + "orders", "cancel_all", "orderCancelAll", self._cancel_all),
            ("GET", v1 + "position", "positions", "positionQuery", self._positions),
            ("GET", v1 + "capital", "balances", "balanceQuery", lambda f: json_reply(self._rows.capital())),
            (
                "GET",
                v1 + "capital/collateral",
                "margin",
                "collateralQuery",
                lambda f: json_reply(self._rows.collateral()),
            ),
            ("GET", v1 + "account", "margin", "accountQuery", self._account),
            ("PATCH", v1 + "account", "other", "accountUpdate", self._update_account),
            ("GET", v1 + "account/limits/order", "margin", "maxOrderQuantity", self._max_quantity),
            ("GET", v1 + "borrowLend/positions", "balances", "borrowLendPositionQuery", lambda f: json_reply([])),
            ("GET", history + "orders", "history", "orderHistoryQueryAll", self._order_history),
            ("GET", history + "fills", "fills", "fillHistoryQueryAll", self._fill_history),
        )
        routes = {(method, path): _Route(kind, word, alone(handle)) for method, path, kind, word, handle in rows}
        routes["POST", v1 + "orders"] = _Route("place", "orderExecute", self._batch, is_batch=True)
        return routes

    # -- public readings

    def _markets(self, fields: Fields) -> Reply:
        kind = fields.choice("marketType", "MarketType", MARKET_TYPES)
        rows = [row for row in MARKET_ROWS.values() if kind in (None, row["marketType"])]
        # The venue lets its cache keep this for 300 s.
        return json_reply(rows, headers={"cache-control": "public, s-maxage=300, stale-while-revalidate=600"})

    def _depth(self, fields: Fields) -> Reply:
        limit = int(fields.choice("limit", "DepthLimit", DEPTH_LIMITS) or 1000)
        return json_reply(self._rows.depth(_symbol(fields), limit))

    def _trades(self, fields: Fields) -> Reply:
        limit = fields.whole("limit", "integer_uint16", 1000)
        trades = list(self.engine.trades[_symbol(fields)])[::-1]
        return json_reply([self._rows.trade(trade) for trade in trades[: 100 if limit is None else limit]])

    def _mark_prices(self, fields: Fields) -> Reply:
        wanted, perps = _any_symbol(fields), [each for each in MARKET_ROWS if self.engine.listings[each].is_perp]
        shown = [each for each in perps if wanted in (None, each)]
        return json_reply([self._rows.mark_price(each, self.now_ms()) for each in shown])

    # -- orders

    def _ticket(self, fields: Fields) -> Ticket:
        """Read and check an order up to what only the engine knows."""
        symbol = _symbol(fields)
        side = fields.choice("side", "Side", ("Bid", "Ask"), required=True)
        is_limit = fields.choice("orderType", "OrderType", ("Limit", "Market"), required=True) == "Limit"
        tif = fields.choice("timeInForce", "TimeInForce", ("GTC", "IOC", "FOK")) or "GTC"
        stp = fields.choice("selfTradePrevention", "SelfTradePrevention", tuple(_STP)) or "RejectTaker"
        price, quantity, budget = (fields.decimal(name) for name in ("price", "quantity", "quoteQuantity"))
        post_only, reduce_only = bool(fields.flag("postOnly")), bool(fields.flag("reduceOnly"))
        client_id = fields.whole("clientId", "integer_uint32", 2**32 - 1)
        for name in ("autoLend", "autoLendRedeem", "autoBorrow", "autoBorrowRepay"):
            fields.flag(name)
        if (fields.values.get("triggerPrice") is None) != (fields.values.get("triggerQuantity") is None):
            raise _invalid("Must specify both `triggerPrice` and `triggerQuantity` or neither")
        if any(fields.values.get(name) is not None for name in NOT_SIMULATED):
            raise _error(400, "NOT_IMPLEMENTED", "Triggers and slippage tolerances are not simulated")
        if is_limit and (price is None or quantity is None or budget is not None):
            raise _invalid("Must specify `price` and `quantity` for a limit order")
        if not is_limit and (price is not None or post_only or (quantity is None) == (budget is None)):
            raise _invalid("Must specify either `quantity` or `quoteQuantity`, and no price, for a market order")
        listing = self.engine.listings[symbol]
        if reduce_only and not listing.is_perp:
            raise _invalid("Reduce only is for futures")
        size_i = 0 if quantity is None else _on_grid(quantity, listing.size_decimals, "SIZE_PRECISION")
        price_i = None if price is None else _on_grid(price, listing.price_decimals, "PRECISION")
        # Every step of the markets here is a power of ten, so decimals and step say the same.
        if quantity is not None and size_i < listing.lot_i:
            raise _refused("MIN_SIZE")
        if budget is not None and decimal_of(budget) < self.engine.mark(symbol) * listing.size(listing.lot_i):
            raise _refused("MIN_SIZE")
        if price_i is not None:
            self._check_band(symbol, listing.price(price_i))
        if client_id is not None and self.choices.duplicate_client_id == "refuse":
            known = self.engine.by_client_id(OWNER, client_id, symbol)
            if known is not None and known.live:
                raise _refused("DUPLICATE_CLIENT_ID")
        return Ticket(
            owner=OWNER,
            symbol=symbol,
            is_ask=side == "Ask",
            size_i=size_i,
            budget=None if budget is None else decimal_of(budget),
            price_i=price_i,
            time_in_force=TimeInForce(tif.lower()) if is_limit else TimeInForce.GTC,
            post_only=post_only,
            reduce_only=reduce_only,
            self_trade=_STP[stp],
            client_id=client_id,
            notes={"stp": stp},
        )

    def _check_band(self, symbol: str, price: Decimal) -> None:
        rules = MARKET_ROWS[symbol]["filters"]["price"]
        mark, trades = self.engine.mark(symbol), self.engine.trades[symbol]
        last = self.engine.listings[symbol].price(trades[-1].price_i) if trades else mark
        band = rules["meanMarkPriceBand"]
        low = max(
            decimal_of(rules["minPrice"]),
            last * decimal_of(rules["minMultiplier"]),
            mark * decimal_of(band["minMultiplier"]),
        )
        high = min(last * decimal_of(rules["maxMultiplier"]), mark * decimal_of(band["maxMultiplier"]))
        if not low <= price <= high:
            raise _refused("PRICE_BAND")

    def _place(self, ticket: Ticket) -> dict[str, Any]:
        rule = self.faults.engine("place")
        if rule is not None:
            reason = rule.params["reason"]
            raise _refused(reason if reason in REFUSALS else "INSUFFICIENT_MARGIN")
        verdict = self.engine.check(ticket)
        if verdict is not None:
            word, choice = _REFUSED_FOR[verdict]
            if getattr(self.choices, choice) == "refuse":
                raise _refused(word)
        return self._rows.order(self.engine.place(ticket))

    def _batch(self, orders: list[Fields]) -> Reply:
        rows = []
        for ticket in [self._ticket_or_error(fields) for fields in orders]:
            try:
                row = ticket if isinstance(ticket, dict) else {**self._place(ticket), "operation": "Ok"}
            except Answer as answer:
                row = {**msgspec.json.decode(answer.reply.body), "operation": "Err"}
            rows.append(row)
        return json_reply(rows)

    def _ticket_or_error(self, fields: Fields) -> Ticket | dict[str, Any]:
        """An order of a batch; what breaks the framework's rules refuses the whole batch."""
        try:
            return self._ticket(fields)
        except Answer as answer:
            if answer.reply.headers["content-type"].startswith("text/plain"):
                raise
            return {**msgspec.json.decode(answer.reply.body), "operation": "Err"}

    def _find(self, fields: Fields, missing: str) -> Order:
        """The live order that a request names by exactly one of its ids."""
        symbol, order_id = _symbol(fields), fields.text("orderId")
        client_id = fields.whole("clientId", "integer_uint32", 2**32 - 1)
        if (order_id is None) == (client_id is None):
            raise _invalid("Must specify either `orderId` or `clientId`")
        order = None
        if client_id is not None:
            order = self.engine.by_client_id(OWNER, client_id, symbol)
        elif order_id is not None and order_id.isascii() and order_id.isdigit() and len(order_id) < 20:
            order = self.engine.orders.get(int(order_id))
        if order is None or not order.live or order.symbol != symbol:
            raise _refused(missing)
        return order

    def _order(self, fields: Fields) -> Reply:
        return json_reply(self._rows.order(self._find(fields, "NOT_FOUND")))

    def _open_orders(self, fields: Fields) -> Reply:
        listed = _listed(fields)
        orders = [order for order in self.engine.open_orders(OWNER) if listed(order.symbol)]
        return json_reply([self._rows.order(order) for order in orders])

    def _cancel(self, fields: Fields) -> Reply:
        order = self._find(fields, "ORDER_NOT_FOUND")
        return self._end([order]) or json_reply(self._rows.order(order))

    def _cancel_all(self, fields: Fields) -> Reply:
        symbol = _symbol(fields)
        kind = fields.choice("orderType", "CancelOrderType", ("RestingLimitOrder", "ConditionalOrder"))
        orders = [] if kind == "ConditionalOrder" else self.engine.open_orders(OWNER, symbol)
        return self._end(orders) or json_reply([self._rows.order(order) for order in orders])

    def _end(self, orders: Sequence[Order]) -> Reply | None:
        """Cancel now, or later where a fault says so; a Reply stands for the usual one."""
        rule = self.faults.engine("cancel") if orders else None
        if rule is not None and rule.action == "reject":
            reason = rule.params["reason"]
            raise _refused(reason if reason in REFUSALS else "ORDER_NOT_FOUND")
        if rule is not None:
            due = self._clock.now_ms() + rule.params["ms"]
            for order in orders:
                self._agenda.at(due, lambda order=order: self.engine.cancel(order))  # type: ignore[misc]
            return Reply(202, b"")
        for order in orders:
            self.engine.cancel(order)
        return Reply(202, b"") if self.choices.cancel_is_202 and orders else None

    def _order_history(self, fields: Fields) -> Reply:
        wanted = fields.text("orderId")
        horizon, listed = self._horizon_us(), _listed(fields)
        rows = [
            self._rows.past_order(order)
            for order in self.engine.orders.values()
            if listed(order.symbol) and wanted in (None, str(order.id)) and order.updated_us <= horizon
        ]
        return self._history(fields, rows)

    def _fill_history(self, fields: Fields) -> Reply:
        wanted, listed = fields.text("orderId"), _listed(fields)
        fields.choice("fillType", "FillType", FILL_TYPES)
        since, until = (fields.whole(name, "integer_int64", 2**63 - 1) for name in ("from", "to"))
        rows = [
            self._rows.fill(fill)
            for fill in self.engine.fills
            if listed(fill.symbol)
            and wanted in (None, str(fill.order_id))
            and (since is None or fill.us >= since * 1000)
            and (until is None or fill.us // 1000 <= until)
            and fill.us <= self._horizon_us()
        ]
        return self._history(fields, rows)

    def _horizon_us(self) -> int:
        """History knows what happened up to here."""
        if not self.choices.history_lag_ms:
            return 2**63
        return (self.now_ms() - self.choices.history_lag_ms) * 1000

    def _history(self, fields: Fields, rows: list[dict[str, Any]]) -> Reply:
        limit = fields.whole("limit", "integer_uint64", 1000)
        offset = fields.whole("offset", "integer_uint64", 2**63) or 0
        if fields.choice("sortDirection", "SortDirection", ("Asc", "Desc")) != "Asc":
            rows.reverse()
        shown, headers = page(rows, offset, 100 if limit is None else limit)
        return json_reply(shown, headers=headers | {"cache-control": "no-store"})

    # -- the account

    def _positions(self, fields: Fields) -> Reply:
        wanted, kind = _any_symbol(fields), fields.choice("marketType", "MarketType", MARKET_TYPES)
        held = [symbol for symbol, each in self.account.positions.items() if each.net_i]
        if wanted is not None and wanted not in held:
            raise _refused("NOT_FOUND")
        shown = [each for each in held if wanted in (None, each) and kind in (None, "PERP")]
        return json_reply([self._rows.position(symbol) for symbol in shown])

    def _account(self, fields: Fields) -> Reply:
        return json_reply({**self._settings, **self._rows.account_row(len(self.engine.open_orders(OWNER)))})

    def _update_account(self, fields: Fields) -> Reply:
        for name in ("autoBorrowSettlements", "autoLend", "autoRepayBorrows"):
            flag = fields.flag(name)
            if flag is not None:
                self._settings[name] = flag
        leverage = fields.decimal("leverageLimit")
        if leverage is not None:
            if not 1 <= decimal_of(leverage) <= 50:
                raise _invalid("Invalid leverage limit")
            self._settings["leverageLimit"] = leverage
            self.account.leverage = decimal_of(leverage)
        return Reply(200, b"")

    def _max_quantity(self, fields: Fields) -> Reply:
        symbol, price, reduce_only = _symbol(fields), fields.decimal("price"), fields.flag("reduceOnly")
        side = fields.choice("side", "Side", ("Bid", "Ask"), required=True)
        at = decimal_of(price) if price else self.engine.mark(symbol)
        if at <= 0:
            raise _refused("PRICE_BAND")
        most = self._rows.largest_order(symbol, side == "Ask", at, bool(reduce_only))
        flags = {name: fields.flag(name) for name in ("autoBorrow", "autoBorrowRepay", "autoLendRedeem")}
        asked = {"price": price, "reduceOnly": reduce_only, "side": side, "symbol": symbol}
        return json_reply({**flags, **asked, "maxOrderQuantity": most})


def _on_grid(text: str, decimals: int, word: str) -> int:
    try:
        return scaled(text, decimals)
    except OffGrid:
        raise _refused(word) from None
