"""
Intents → requests and frames. ``params`` of an HttpCall become its query when it is signed; nothing is signed here.

Numbers travel as strings, the client id as its decimal text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias
from urllib.parse import urlencode

import msgspec

from core.precision import unscaled
from venues.binance.facts import ABILITIES, is_perp, wire_name
from venues.binance.sign import KEYED, SIGNED
from venues.dialect import HttpCall, OrderKey, PlaceOrder
from venues.errors import LocalRuleError
from venues.events import MarketFacts

PAGE: Final = 1000
"""Rows of a page of trades: the most that the venue gives."""

_encoder: Final = msgspec.json.Encoder()

Params: TypeAlias = tuple[tuple[str, str], ...]


def place(order: PlaceOrder, facts: MarketFacts) -> Params:
    """
    ``order.place``, or ``POST …/order``: a limit order good till cancelled, or a market order by base size.

    Raises:
        LocalRuleError: the venue has no such order.
    """
    perp = facts.kind == "perp"
    if not 1 <= order.client_id <= ABILITIES.max_client_id:
        raise LocalRuleError("CLIENT_ID_RANGE", f"Binance takes our client ids 1 to {ABILITIES.max_client_id}.")
    if order.reduce_only and not perp:
        raise LocalRuleError("REDUCE_ONLY", "Binance has reduce-only orders on perps only.")
    if order.post_only and order.price_i is None:
        raise LocalRuleError("POST_ONLY_WOULD_CROSS", "A market order cannot be post-only.")
    params = [
        ("symbol", wire_name(order.symbol)),
        ("side", "SELL" if order.is_ask else "BUY"),
        ("quantity", unscaled(order.size_i, facts.size_decimals)),
        ("newClientOrderId", str(order.client_id)),
        # ACK says NEW and 0 filled even of a market order that is done. FULL has the trades, on spot only.
        ("newOrderRespType", "RESULT" if perp else "FULL"),
    ]
    if order.price_i is None:
        params.append(("type", "MARKET"))
    else:
        params.append(("price", unscaled(order.price_i, facts.price_decimals)))
        if order.post_only and not perp:
            params.append(("type", "LIMIT_MAKER"))
        else:
            params += [("type", "LIMIT"), ("timeInForce", "GTX" if order.post_only else "GTC")]
    if order.reduce_only:
        params.append(("reduceOnly", "true"))
    return tuple(params)


def named(key: OrderKey) -> Params:
    """How a cancel or a query names an order: by client id, which is there before any answer."""
    return (("symbol", wire_name(key.symbol)), ("origClientOrderId", str(key.client_id)))


def order_call(method: str, symbol: str, params: Params) -> HttpCall:
    """``/order`` of the product: POST places, GET queries, DELETE cancels."""
    return _signed(method, symbol, "order", params)


def cancel_all(symbol: str) -> HttpCall:
    path = "allOpenOrders" if is_perp(symbol) else "openOrders"
    return _signed("DELETE", symbol, path, (("symbol", wire_name(symbol)),))


def open_orders(symbol: str) -> HttpCall:
    return _signed("GET", symbol, "openOrders", (("symbol", wire_name(symbol)),))


def all_open_orders() -> tuple[HttpCall, HttpCall]:
    """Those of both products."""
    return (
        HttpCall("GET", "/fapi/v1/openOrders", auth=SIGNED, host="fapi"),
        HttpCall("GET", "/api/v3/openOrders", auth=SIGNED, host="api"),
    )


def order_fills(symbol: str, venue_id: str) -> HttpCall:
    return _trades(symbol, (("orderId", venue_id),))


def fills_since(symbol: str, since_ms: int) -> HttpCall:
    return _trades(symbol, (("startTime", str(since_ms)),))


def fills_from(symbol: str, trade_id: int) -> HttpCall:
    """From this trade on; the venue takes a trade id and a time never together."""
    return _trades(symbol, (("fromId", str(trade_id)),))


def positions() -> HttpCall:
    return HttpCall("GET", "/fapi/v3/positionRisk", auth=SIGNED, host="fapi")


def perp_account() -> HttpCall:
    return HttpCall("GET", "/fapi/v3/account", auth=SIGNED, host="fapi")


def spot_account() -> HttpCall:
    return HttpCall("GET", "/api/v3/account", auth=SIGNED, params=(("omitZeroBalances", "true"),), host="api")


def position_mode() -> HttpCall:
    return HttpCall("GET", "/fapi/v1/positionSide/dual", auth=SIGNED, host="fapi")


def countdown(symbol: str, secs: int) -> HttpCall:
    """The dead-man's switch of one perp: 0 stops it."""
    params = (("symbol", wire_name(symbol)), ("countdownTime", str(secs * 1000)))
    return HttpCall("POST", "/fapi/v1/countdownCancelAll", auth=SIGNED, params=params, host="fapi")


def listen_key(method: str) -> HttpCall:
    """POST gives the key of the perp account's stream and PUT prolongs it, each for an hour."""
    return HttpCall(method, "/fapi/v1/listenKey", auth=KEYED, host="fapi")


def perp_markets() -> HttpCall:
    return HttpCall("GET", "/fapi/v1/exchangeInfo", host="fapi")


def spot_markets() -> HttpCall:
    # The permission sets of all symbols are most of the answer, and nothing to us.
    return HttpCall("GET", "/api/v3/exchangeInfo?permissions=SPOT&showPermissionSets=false", host="api")


def server_time() -> HttpCall:
    return HttpCall("GET", "/fapi/v1/time", host="fapi")


def book_ticker(symbol: str) -> HttpCall:
    host, path = _product(symbol)
    return HttpCall("GET", f"{path}ticker/bookTicker?{urlencode({'symbol': wire_name(symbol)})}", host=host)


def subscribe_books(symbols: Sequence[str]) -> str:
    streams = [f"{wire_name(symbol).lower()}@bookTicker" for symbol in symbols]
    return _encoder.encode({"method": "SUBSCRIBE", "params": streams, "id": 1}).decode()


def logged_on_frame(request_id: str, method: str, params: Params, now_ms: int) -> str:
    """A request on a connection that is logged on: neither key nor signature, but still a time where it is signed."""
    values: dict[str, str | int] = {"recvWindow": ABILITIES.expiry_ms, "timestamp": now_ms}
    values.update(params)
    return _encoder.encode({"id": request_id, "method": method, "params": values}).decode()


def subscribe_account(request_id: str) -> str:
    """The spot account's events, on a connection that is logged on."""
    return _encoder.encode({"id": request_id, "method": "userDataStream.subscribe"}).decode()


def _trades(symbol: str, params: Params) -> HttpCall:
    path = "userTrades" if is_perp(symbol) else "myTrades"
    return _signed("GET", symbol, path, (("symbol", wire_name(symbol)), *params, ("limit", str(PAGE))))


def _signed(method: str, symbol: str, path: str, params: Params) -> HttpCall:
    host, root = _product(symbol)
    return HttpCall(method, root + path, auth=SIGNED, params=params, host=host)


def _product(symbol: str) -> tuple[str, str]:
    return ("fapi", "/fapi/v1/") if is_perp(symbol) else ("api", "/api/v3/")
