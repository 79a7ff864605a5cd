"""
Binance, simulated: USDⓈ-M futures and spot on one port, REST, streams and both WebSocket APIs, as the sheet and the
recorded payloads show them, on the shared matching engine. Written from those alone; it shares no code with the
dialect that talks to it.

One account with two wallets, ``futures`` and ``spot``, and two API keys: HMAC and Ed25519. Both products share the
routes below: a WebSocket method is the same request as its REST path.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec
from nacl.signing import SigningKey

from core.chance import Chance
from core.clock import Clock
from venues.simulation.accounts import Account
from venues.simulation.app import Peer, Reply, Request
from venues.simulation.binance_gateway import KEYED, SIGNED, BinanceGateway, Keys, Route
from venues.simulation.binance_limits import LIMITS
from venues.simulation.binance_markets import PERP_OWNER, PERP_ROWS, SPOT_OWNER, SPOT_ROWS, SUFFIX, listings
from venues.simulation.binance_rows import BinanceRows
from venues.simulation.binance_rules import PERP, REFUSED_FOR, SPOT, Params, Refusal
from venues.simulation.binance_streams import BinanceStreams, message_kind
from venues.simulation.desk import Agenda
from venues.simulation.engine import MatchingEngine
from venues.simulation.faults import Faults
from venues.simulation.forms import read_json
from venues.simulation.front import Front, quoted
from venues.simulation.market import Street, summary
from venues.simulation.records import Order

ANCHORS: Final = {"SOL": Decimal(140), "BTC": Decimal(95000), "ETH": Decimal(3200)}
FUTURES_BALANCES: Final = {"USDT": Decimal(10_000)}
SPOT_BALANCES: Final = {"USDT": Decimal(10_000), "SOL": Decimal(10), "ETH": Decimal(1), "BTC": Decimal("0.1")}
LEVERAGE: Final = 20
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What the account is, and what the venue does where nobody recorded it."""

    hedged: bool = False
    """The account is in hedge mode."""
    post_only_cross: str = "refuse"
    """``refuse`` (-5022) or ``expire`` (a 200 with an expired order); perps only."""
    replica_lag_ms: int = 0
    """How long a query answers -2013 for a new order: reads come from replicas."""
    listen_key_ms: int = 3_600_000


class BinanceSimulator(Front):
    """
    One Binance with one account.

    Args:
        clock: The real time; ``clock_offset_ms`` is how far the venue's clock is ahead of it.
        chance: Seeds the market, the counters and the throwaway keys.
        faults: Asked for engine faults; the shells ask it for theirs.
        speed: Multiplies the activity of the market, nothing else.
        bases: Coins whose markets are quoted; empty: all.
        balances: Of the spot wallet.
    """

    name: str = "binance"
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
        # The keys are public by design: they trade play money on loopback and repeat with the seed.
        self._texts = chance.fork("texts")
        ed25519 = SigningKey(chance.fork("ed25519").bytes(32))
        self._keys = Keys(self._text(64), self._text(64), self._text(64), ed25519)
        counters = chance.fork("counters")
        self._agenda = Agenda()
        self.engine = MatchingEngine(
            listings(),
            lambda: self.now_ms() * 1000,
            lambda event: self._streams.on_event(event),
            first_order_id=counters.integer(8_000_000_000, 60_000_000_000),
            first_trade_id=counters.integer(200_000_000, 900_000_000),
            first_update_id=counters.integer(1_000_000_000, 4_000_000_000),
            portion=self._portion,
        )
        futures = Account(PERP_OWNER, FUTURES_BALANCES, leverage=Decimal(LEVERAGE), weights={"USDT": Decimal(1)})
        self.engine.open_account(futures)
        spot = self.engine.open_account(Account(SPOT_OWNER, balances or SPOT_BALANCES))
        self._rows = BinanceRows(self.engine, futures, spot)
        self._cancel_ids: dict[int, str] = {}
        self._streams = BinanceStreams(
            self.engine,
            self._rows,
            self._agenda,
            clock,
            venue_ms=self.now_ms,
            cancel_id=lambda order: self._cancel_ids.get(order.id, ""),
        )
        self._street = Street(
            self.engine, clock, chance.fork("street"), quoted(ANCHORS, bases), heard=self._streams.hears, speed=speed
        )
        self._countdowns: dict[str, object] = {}
        self._key_dies_ms = 0
        self._gateway = BinanceGateway(self._make_routes(), self._keys, self.now_ms, speed)

    def _text(self, length: int) -> str:
        return "".join(_ALPHABET[self._texts.integer(0, len(_ALPHABET) - 1)] for _ in range(length))

    # -- what the shells ask

    def ws_open(self, peer: Peer, path: str, headers: Mapping[str, str]) -> None:
        self._streams.opened(peer, path)

    def ws_text(self, peer: Peer, text: str) -> None:
        session = self._streams.session(peer)
        if session is None:
            self._streams.said(peer, text)
        else:
            self._gateway.asked(session, text)

    def ws_closed(self, peer: Peer) -> None:
        self._streams.closed(peer)

    def http(self, request: Request) -> Reply:
        return self._gateway.http(request)

    def http_kind(self, request: Request) -> str:
        return self._gateway.http_kind(request)

    def text_kind(self, text: str) -> str:
        return self._gateway.text_kind(text)

    def bootstrap(self, rest: str, ws: str) -> dict[str, Any]:
        credentials = {
            "api_key": self._keys.hmac_key,
            "api_secret": self._keys.hmac_secret,
            "ed25519_key": self._keys.ed25519_key,
            "ed25519_seed_hex": bytes(self._keys.ed25519).hex(),
        }
        return {"rest": rest, "ws": ws, "credentials": credentials}

    def expire_listen_key(self) -> None:
        """Let the listen key die now."""
        self._streams.expire_listen_key()

    def expire_login(self, ms: int) -> bool:
        """The perp account's listen key dies, and the spot account's subscriptions end; both sockets stay open."""
        self._streams.expire_listen_key()
        self._streams.end_subscriptions()
        return True

    def refused_login(self, asked: Request | str) -> Reply | str | None:
        return self._gateway.refused_login(asked)

    def forced(self, origin: str) -> tuple[str, Mapping[str, Any]]:
        client_id = "adl_autoclose" if origin == "deleverage" else f"autoclose-{self.now_ms()}"
        return client_id, {"tif": "IOC", "type": "LIMIT", "stp": "NONE"}

    def shut_down(self) -> None:
        """Announce to every stream that its connection will end."""
        self._streams.shut_down()

    # -- routes

    def _make_routes(self) -> dict[tuple[str, str], Route]:
        rows, fapi, api = self._rows, "/fapi/v1/", "/api/v3/"
        routes: dict[tuple[str, str], Route] = {}
        for perp, root in ((True, fapi), (False, api)):
            table: tuple[tuple[str, str, str, str, Callable[[Params], Any]], ...] = (
                ("GET", "ping", "other", "", lambda p: {}),
                ("GET", "time", "time", "", lambda p: {"serverTime": self.now_ms()}),
                ("GET", "exchangeInfo", "markets", "", self._exchange_info),
                ("GET", "ticker/bookTicker", "book", "", self._book_tickers),
                ("GET", "ticker/price", "book", "", self._prices),
                ("GET", "ticker/24hr", "book", "", self._days),
                ("GET", "depth", "book", "", lambda p: rows.depth(p.symbol(), p.whole("limit", 500))),
                ("GET", "trades", "book", "", self._trades),
                ("GET", "aggTrades", "book", "", self._aggregates),
                ("POST", "order", "place", SIGNED, self._place),
                ("DELETE", "order", "cancel", SIGNED, self._cancel),
                ("GET", "order", "order", SIGNED, lambda p: self._asked_row(self._find(p, "NO_ORDER"))),
                ("GET", "openOrders", "open_orders", SIGNED, self._open_orders),
                ("GET", "allOrders", "history", SIGNED, self._all_orders),
                ("DELETE", "allOpenOrders" if perp else "openOrders", "cancel_all", SIGNED, self._cancel_all),
                ("GET", "userTrades" if perp else "myTrades", "fills", SIGNED, self._fills),
            )
            for method, path, kind, security, handle in table:
                routes[method, root + path] = Route(kind, perp, security, handle)
        futures: tuple[tuple[str, str, str, str, Callable[[Params], Any]], ...] = (
            ("GET", fapi + "premiumIndex", "book", "", self._premiums),
            ("GET", fapi + "positionSide/dual", "other", SIGNED, lambda p: {"dualSidePosition": self.choices.hedged}),
            ("GET", fapi + "symbolConfig", "other", SIGNED, self._symbol_config),
            ("GET", fapi + "leverageBracket", "other", SIGNED, self._brackets),
            ("POST", fapi + "countdownCancelAll", "other", SIGNED, self._countdown),
            ("POST", fapi + "listenKey", "other", KEYED, self._start_key),
            ("PUT", fapi + "listenKey", "other", KEYED, self._keep_key),
            ("DELETE", fapi + "listenKey", "other", KEYED, self._end_key),
            ("GET", "/fapi/v3/positionRisk", "positions", SIGNED, lambda p: rows.positions(p.any_symbol())),
            ("GET", "/fapi/v3/account", "margin", SIGNED, lambda p: rows.perp_account()),
            ("GET", "/fapi/v3/balance", "margin", SIGNED, lambda p: rows.perp_balances()),
        )
        for method, path, kind, security, handle in futures:
            routes[method, path] = Route(kind, True, security, handle)
        account = Route("balances", False, SIGNED, lambda p: rows.spot_account(omit_zero=p.flag("omitZeroBalances")))
        return routes | {("GET", api + "account"): account}

    # -- public readings

    def _exchange_info(self, params: Params) -> dict[str, Any]:
        rows = PERP_ROWS if params.perp else SPOT_ROWS
        wanted = set(rows)
        if not params.perp and params.text("symbols"):
            wanted = _names(params)
        elif not params.perp and params.text("symbol"):
            wanted = {params.symbol()}
        head: dict[str, Any] = {"timezone": "UTC", "serverTime": self.now_ms(), "exchangeFilters": []}
        if params.perp:
            head |= {"futuresType": "U_MARGINED"}
            head |= {"assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-100"}]}
        shown = [row for symbol, row in rows.items() if symbol in wanted]
        return head | {"rateLimits": list(LIMITS[params.perp]), "symbols": shown}

    def _each(self, params: Params, row: Callable[[str], dict[str, Any]]) -> Any:
        """One row with ``symbol``, an array without; spot also takes ``symbols``."""
        symbol = params.any_symbol()
        if symbol is not None:
            return row(symbol)
        wanted = _names(params) if params.text("symbols") and not params.perp else None
        return [
            row(each)
            for each, listing in self.engine.listings.items()
            if listing.is_perp == params.perp and (wanted is None or each in wanted)
        ]

    def _book_tickers(self, params: Params) -> Any:
        return self._each(params, self._rows.book_ticker)

    def _prices(self, params: Params) -> Any:
        def row(symbol: str) -> dict[str, Any]:
            return {"symbol": symbol.removesuffix(SUFFIX), "price": str(summary(self.engine, symbol).last)}

        return self._each(params, row)

    def _days(self, params: Params) -> Any:
        def row(symbol: str) -> dict[str, Any]:
            day, now = summary(self.engine, symbol), self.now_ms()
            return {
                "symbol": symbol.removesuffix(SUFFIX),
                "priceChange": str(day.last - day.first),
                "lastPrice": str(day.last),
                "openPrice": str(day.first),
                "highPrice": str(day.high),
                "lowPrice": str(day.low),
                "volume": str(day.volume),
                "quoteVolume": str(day.quote_volume),
                "openTime": now - 86_400_000,
                "closeTime": now,
                "count": day.count,
            }

        return self._each(params, row)

    def _premiums(self, params: Params) -> Any:
        def row(symbol: str) -> dict[str, Any]:
            mark, now = f"{self.engine.mark(symbol):.8f}", self.now_ms()
            due = now - now % 28_800_000 + 28_800_000
            rate = {"lastFundingRate": "0.00010000", "interestRate": "0.00010000", "nextFundingTime": due}
            return {"symbol": symbol.removesuffix(SUFFIX), "markPrice": mark, "indexPrice": mark, "time": now, **rate}

        return self._each(params, row)

    def _trades(self, params: Params) -> Any:
        kept = list(self.engine.trades[params.symbol()])
        return [self._rows.public_trade(trade) for trade in kept[-params.whole("limit", 500) :]]

    def _aggregates(self, params: Params) -> Any:
        names = {"id": "a", "price": "p", "qty": "q", "time": "T", "isBuyerMaker": "m"}
        rows = [{names[key]: value for key, value in row.items() if key in names} for row in self._trades(params)]
        return [row | {"f": row["a"], "l": row["a"]} for row in rows]

    # -- orders

    def _place(self, params: Params) -> dict[str, Any]:
        ticket = params.ticket(self.engine, self._text(22), hedged=self.choices.hedged)
        rule = self.faults.engine("place")
        if rule is not None:
            reason = rule.params["reason"]
            known = reason in (PERP if params.perp else SPOT)
            raise params.refuse(reason if known else "INSUFFICIENT_MARGIN")
        verdict = self.engine.check(ticket)
        word = None if verdict is None else REFUSED_FOR.get(verdict)
        if word == "POST_ONLY_WOULD_CROSS" and params.perp and self.choices.post_only_cross == "expire":
            word = None
        if word is not None:
            raise params.refuse(word)
        order = self.engine.place(ticket)
        if params.perp:
            return self._rows.perp_order(order)
        usual = "ACK" if ticket.notes["type"] == "LIMIT_MAKER" else "FULL"
        return self._rows.spot_order(order, params.text("newOrderRespType") or usual)

    def _find(self, params: Params, absent: str) -> Order:
        """The order that a request names; the latest under a client id that was used again."""
        symbol, number, client_id = params.symbol(), params.text("orderId"), params.text("origClientOrderId")
        order: Order | None = None
        if number is not None:
            order = self.engine.orders.get(params.whole("orderId"))
        elif client_id is not None:
            order = self.engine.by_client_id(PERP_OWNER if params.perp else SPOT_OWNER, client_id, symbol)
        else:
            raise Refusal(400, -1102, "Either 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
        if order is None or order.symbol != symbol or (absent == "NO_ORDER" and not self._is_readable(order)):
            raise params.refuse(absent)
        return order

    def _is_readable(self, order: Order) -> bool:
        # Engine times run a little ahead of a clock that stands still.
        return self.now_ms() - order.created_us // 1000 >= self.choices.replica_lag_ms

    def _asked_row(self, order: Order) -> dict[str, Any]:
        return self._rows.perp_order(order, asked=True) if order.owner == PERP_OWNER else self._rows.spot_asked(order)

    def _mine(self, params: Params) -> list[Order]:
        symbol, owner = params.any_symbol(), PERP_OWNER if params.perp else SPOT_OWNER
        orders = [order for order in self.engine.orders.values() if order.owner == owner]
        return [order for order in orders if symbol in (None, order.symbol) and self._is_readable(order)]

    def _open_orders(self, params: Params) -> Any:
        return [self._asked_row(order) for order in self._mine(params) if order.live]

    def _all_orders(self, params: Params) -> Any:
        params.symbol()
        return [self._asked_row(order) for order in self._mine(params)][-params.whole("limit", 500) :]

    def _cancel(self, params: Params) -> dict[str, Any]:
        order = self._find(params, "ORDER_NOT_FOUND")
        if not order.live:
            raise params.refuse("ORDER_NOT_FOUND")
        self._cancel_ids[order.id] = params.text("newClientOrderId") or self._text(22)
        self._end(params, [order])
        if params.perp:
            return self._rows.perp_order(order)
        return self._rows.spot_cancelled(order, self._cancel_ids[order.id])

    def _cancel_all(self, params: Params) -> Any:
        orders = self.engine.open_orders(PERP_OWNER if params.perp else SPOT_OWNER, params.symbol())
        if not params.perp and not orders:
            raise params.refuse("ORDER_NOT_FOUND")
        for order in orders:
            self._cancel_ids[order.id] = self._text(22)
        self._end(params, orders)
        if params.perp:
            return {"code": 200, "msg": "The operation of cancel all open order is done."}
        return [self._rows.spot_cancelled(order, self._cancel_ids[order.id]) for order in orders]

    def _end(self, params: Params, orders: list[Order]) -> None:
        """Cancel now, or later where a fault says so."""
        rule = self.faults.engine("cancel") if orders else None
        if rule is not None and rule.action == "reject":
            reason = rule.params["reason"]
            raise params.refuse(reason if reason in (PERP if params.perp else SPOT) else "ORDER_NOT_FOUND")
        for order in orders:
            if rule is None:
                self.engine.cancel(order)
            else:
                due = self._clock.now_ms() + rule.params["ms"]
                self._agenda.at(due, lambda order=order: self.engine.cancel(order))  # type: ignore[misc]

    def _fills(self, params: Params) -> Any:
        symbol, number = params.symbol(), params.text("orderId")
        since, until = params.whole("startTime", 0), params.whole("endTime", 2**62)
        first, limit = params.whole("fromId", 0), params.whole("limit", 500)
        if params.text("fromId") and (params.text("startTime") or params.text("endTime")):
            raise Refusal(400, -1128, "Combination of optional parameters invalid.")
        fills = [
            fill
            for fill in self.engine.fills
            if fill.symbol == symbol
            and number in (None, str(fill.order_id))
            and since <= fill.us // 1000 <= until
            and fill.trade_id >= first
        ]
        row = self._rows.perp_trade if params.perp else self._rows.spot_trade
        # From a time or an id on the oldest come first; else the newest are shown.
        forward = params.text("fromId") or params.text("startTime")
        return [row(fill) for fill in (fills[:limit] if forward else fills[-limit:])]

    # -- the perp account

    def _symbol_config(self, params: Params) -> Any:
        fixed = {"marginType": "CROSSED", "isAutoAddMargin": False, "leverage": LEVERAGE, "maxNotionalValue": "1000000"}
        wanted = params.text("symbol")
        return [{"symbol": each, **fixed} for each in PERP_ROWS if wanted in (None, each)]

    def _brackets(self, params: Params) -> Any:
        bracket = {"bracket": 1, "initialLeverage": LEVERAGE, "notionalCap": 1_000_000, "notionalFloor": 0}
        row = bracket | {"maintMarginRatio": 0.025, "cum": 0.0}
        wanted = params.text("symbol")
        return [{"symbol": each, "brackets": [row]} for each in PERP_ROWS if wanted in (None, each)]

    def _countdown(self, params: Params) -> Any:
        symbol, ms = params.symbol(), params.whole("countdownTime")
        armed = self._countdowns[symbol] = object()

        def strike() -> None:
            if self._countdowns.get(symbol) is armed:
                for order in self.engine.open_orders(PERP_OWNER, symbol):
                    self.engine.cancel(order)

        if ms:
            self._agenda.at(self._clock.now_ms() + ms, strike)
        return {"symbol": symbol.removesuffix(SUFFIX), "countdownTime": str(ms)}

    def _start_key(self, params: Params) -> Any:
        # One key for all callers while it lives; asking again prolongs it.
        self._streams.listen_key = self._streams.listen_key or self._text(64)
        self._prolong()
        return {"listenKey": self._streams.listen_key}

    def _keep_key(self, params: Params) -> Any:
        if self._streams.listen_key is None:
            raise params.refuse("LISTEN_KEY")
        self._prolong()
        return {"listenKey": self._streams.listen_key}

    def _end_key(self, params: Params) -> Any:
        self._streams.listen_key = None
        return {}

    def _prolong(self) -> None:
        self._key_dies_ms = due = self._clock.now_ms() + self.choices.listen_key_ms

        def die() -> None:
            if self._key_dies_ms == due:
                self._streams.expire_listen_key()

        self._agenda.at(due, die)


def _names(params: Params) -> set[str]:
    """``symbols=["SOLUSDT"]``."""
    try:
        names = read_json(unquote_plus(params.need("symbols")))
    except ValueError:
        names = None
    if not isinstance(names, list) or not set(map(str, names)) <= set(SPOT_ROWS):
        raise params.refuse("UNKNOWN_SYMBOL")
    return set(map(str, names))
