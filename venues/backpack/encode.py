"""
Intents → requests and frames. Nothing here is signed: ``auth`` names the instruction, ``params`` what it covers.

Decimals travel as strings, the client id as a number; the order of keys is free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias
from urllib.parse import urlencode

import msgspec

from core.precision import unscaled
from venues.backpack.facts import ABILITIES
from venues.dialect import HttpCall, PlaceOrder
from venues.errors import LocalRuleError
from venues.events import MarketFacts

PAGE: Final = 100
"""Rows of a history page: the venue's default."""

ACCOUNT_STREAMS: Final = ("account.orderUpdate", "account.positionUpdate", "account.balanceUpdate")

_JSON: Final = (("Content-Type", "application/json"),)
_encoder: Final = msgspec.json.Encoder()

Value: TypeAlias = str | int | bool


def place(order: PlaceOrder, facts: MarketFacts) -> HttpCall:
    """
    ``POST /api/v1/order``: a limit order good till cancelled, or a market order by base size.

    Raises:
        LocalRuleError: the venue has no such order.
    """
    if not 1 <= order.client_id <= ABILITIES.max_client_id:
        raise LocalRuleError("CLIENT_ID_RANGE", f"Backpack takes client ids 1 to {ABILITIES.max_client_id}.")
    if order.reduce_only and facts.kind != "perp":
        raise LocalRuleError("REDUCE_ONLY", "Backpack has reduce-only orders on perps only.")
    fields: dict[str, Value] = {
        "clientId": order.client_id,
        "orderType": "Market" if order.price_i is None else "Limit",
        "quantity": unscaled(order.size_i, facts.size_decimals),
        "side": "Ask" if order.is_ask else "Bid",
        "symbol": order.symbol,
    }
    if order.price_i is not None:
        fields["price"] = unscaled(order.price_i, facts.price_decimals)
        fields["timeInForce"] = "GTC"
        if order.post_only:
            fields["postOnly"] = True
    elif order.post_only:
        raise LocalRuleError("POST_ONLY_WOULD_CROSS", "A market order cannot be post-only.")
    if order.reduce_only:
        fields["reduceOnly"] = True
    return _with_body("POST", "/api/v1/order", "orderExecute", fields)


def cancel(symbol: str, client_id: int) -> HttpCall:
    """``DELETE /api/v1/order`` by client id; naming both ids is refused by the venue."""
    return _with_body("DELETE", "/api/v1/order", "orderCancel", {"clientId": client_id, "symbol": symbol})


def cancel_all(symbol: str) -> HttpCall:
    """``DELETE /api/v1/orders``: every live order of one market."""
    return _with_body("DELETE", "/api/v1/orders", "orderCancelAll", {"symbol": symbol})


def order(symbol: str, client_id: int) -> HttpCall:
    """``GET /api/v1/order``: answers only while the order rests."""
    return _get("/api/v1/order", "orderQuery", {"clientId": client_id, "symbol": symbol})


def open_orders(symbol: str | None) -> HttpCall:
    return _get("/api/v1/orders", "orderQueryAll", {"symbol": symbol} if symbol else {})


def order_history(symbol: str, venue_id: str | None, offset: int) -> HttpCall:
    """``GET /wapi/v1/history/orders``, newest first; it filters by venue id, not by client id."""
    params: dict[str, Value] = {"limit": PAGE, "offset": offset, "symbol": symbol}
    if venue_id:
        params["orderId"] = venue_id
    return _get("/wapi/v1/history/orders", "orderHistoryQueryAll", params)


def order_fills(symbol: str, venue_id: str, offset: int) -> HttpCall:
    params: dict[str, Value] = {"limit": PAGE, "offset": offset, "orderId": venue_id, "symbol": symbol}
    return _get("/wapi/v1/history/fills", "fillHistoryQueryAll", params)


def recent_fills(since_ms: int, offset: int) -> HttpCall:
    params: dict[str, Value] = {"from": since_ms, "limit": PAGE, "offset": offset}
    return _get("/wapi/v1/history/fills", "fillHistoryQueryAll", params)


def positions() -> HttpCall:
    # Without a symbol: with one, a missing position is 404 and not an empty list.
    return _get("/api/v1/position", "positionQuery", {})


def capital() -> HttpCall:
    return _get("/api/v1/capital", "balanceQuery", {})


def collateral() -> HttpCall:
    return _get("/api/v1/capital/collateral", "collateralQuery", {})


def markets() -> HttpCall:
    return HttpCall("GET", "/api/v1/markets")


def server_time() -> HttpCall:
    return HttpCall("GET", "/api/v1/time")


def depth(symbol: str) -> HttpCall:
    # Not /ticker: that one has no best prices and is cached for 20 s.
    return HttpCall("GET", f"/api/v1/depth?{urlencode({'limit': 5, 'symbol': symbol})}")


def subscribe_account(signature: Sequence[str]) -> str:
    """The frame that logs in and subscribes in one; the venue does not acknowledge it."""
    frame = {"method": "SUBSCRIBE", "params": ACCOUNT_STREAMS, "signature": signature}
    return _encoder.encode(frame).decode()


def subscribe_books(symbols: Sequence[str]) -> str:
    frame = {"method": "SUBSCRIBE", "params": [f"bookTicker.{symbol}" for symbol in symbols]}
    return _encoder.encode(frame).decode()


def _with_body(method: str, path: str, instruction: str, fields: Mapping[str, Value]) -> HttpCall:
    return HttpCall(method, path, _encoder.encode(fields), _JSON, instruction, _signed(fields))


def _get(path: str, instruction: str, params: Mapping[str, Value]) -> HttpCall:
    signed = _signed(params)
    return HttpCall("GET", f"{path}?{urlencode(signed)}" if signed else path, auth=instruction, params=signed)


def _signed(fields: Mapping[str, Value]) -> tuple[tuple[str, str], ...]:
    # Python's "True" in the signed text is the venue's most common "Invalid signature".
    return tuple(
        (key, ("true" if value else "false") if isinstance(value, bool) else str(value))
        for key, value in sorted(fields.items())
    )
