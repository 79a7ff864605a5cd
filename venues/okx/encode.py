"""
Intents → requests and frames. Nothing here is signed: ``auth`` only says that it must be.

All numbers travel as strings. Sizes of swaps are contracts: base units over ``MarketFacts.contract_size``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

import msgspec

from core.precision import as_decimal, plain, unscaled
from venues.dialect import HttpCall, PlaceOrder
from venues.errors import LocalRuleError
from venues.events import MarketFacts
from venues.okx.facts import ABILITIES
from venues.okx.sign import SIGNED

PAGE: Final = 100
"""Rows of a page: the venue's default and maximum."""
BATCH: Final = 20
"""Most orders in one batch."""
EXPIRY_MS: Final = ABILITIES.expiry_ms

ACCOUNT_CHANNELS: Final[Sequence[Mapping[str, str]]] = (
    {"channel": "orders", "instType": "ANY"},
    {"channel": "positions", "instType": "ANY"},
    {"channel": "account"},
)
_API: Final = "/api/v5/"
_JSON: Final = ("Content-Type", "application/json")
_encoder: Final = msgspec.json.Encoder()


def order_fields(order: PlaceOrder, facts: MarketFacts, trade_mode: str) -> dict[str, str | bool]:
    """
    An order without the name of its market: limit good till cancelled, post-only, or market by base size.

    Args:
        trade_mode: ``cross``, or ``cash`` for spot in the account modes 1 and 2.

    Raises:
        LocalRuleError: the venue has no such order.
    """
    if not 1 <= order.client_id <= ABILITIES.max_client_id:
        raise LocalRuleError("CLIENT_ID_RANGE", f"OKX takes client ids 1 to {ABILITIES.max_client_id}.")
    if order.reduce_only and facts.kind != "perp":
        raise LocalRuleError("REDUCE_ONLY", "OKX has reduce-only orders on swaps only.")
    fields: dict[str, str | bool] = {
        "tdMode": trade_mode,
        "side": "sell" if order.is_ask else "buy",
        "sz": contracts(order.size_i, facts),
        "clOrdId": str(order.client_id),
        "tag": tag(order.symbol),
    }
    if order.price_i is not None:
        fields["ordType"] = "post_only" if order.post_only else "limit"
        fields["px"] = unscaled(order.price_i, facts.price_decimals)
    elif order.post_only:
        raise LocalRuleError("POST_ONLY_WOULD_CROSS", "A market order cannot be post-only.")
    else:
        fields["ordType"] = "market"
        if facts.kind == "spot":
            # Without it a buy would spend sz in quote; and a buy beyond the balance is shrunk, not refused.
            fields |= {"tgtCcy": "base_ccy", "banAmend": True}
    if order.reduce_only:
        fields["reduceOnly"] = True
    return fields


def contracts(size_i: int, facts: MarketFacts) -> str:
    """A size in base units as ``sz``. Raises LocalRuleError(PRECISION) where it makes no exact number of contracts."""
    if facts.contract_size == 1:
        return unscaled(size_i, facts.size_decimals)
    size = as_decimal(size_i, facts.size_decimals)
    count = size / facts.contract_size
    if count * facts.contract_size != size:
        raise LocalRuleError("PRECISION", f"{plain(size)} is no exact number of contracts of {facts.symbol}.")
    return plain(count)


def tag(symbol: str) -> str:
    """Marks our orders of one market, so that its countdown cancels these and no others; at most 16 characters."""
    return ("rt" + symbol.replace("-", ""))[:16]


def place(symbol: str, fields: Mapping[str, str | bool], now_ms: int) -> HttpCall:
    """``POST /trade/order``; the header ``expTime`` makes the venue refuse it when it arrives later than that."""
    return _post("trade/order", {"instId": symbol, **fields}, ("expTime", str(now_ms + EXPIRY_MS)))


def place_text(request_id: str, code: int, fields: Mapping[str, str | bool], now_ms: int) -> str:
    """The same over the stream, where ``code`` (instIdCode) stands for the market."""
    args = [{"instIdCode": code, **fields}]
    return _text({"id": request_id, "op": "order", "args": args, "expTime": str(now_ms + EXPIRY_MS)})


def cancel(symbol: str, client_id: int) -> HttpCall:
    return _post("trade/cancel-order", {"instId": symbol, "clOrdId": str(client_id)})


def cancel_text(request_id: str, code: int, client_id: int) -> str:
    args = [{"instIdCode": code, "clOrdId": str(client_id)}]
    return _text({"id": request_id, "op": "cancel-order", "args": args})


def cancel_batch(symbol: str, venue_ids: Sequence[str]) -> HttpCall:
    return _post("trade/cancel-batch-orders", [{"instId": symbol, "ordId": venue_id} for venue_id in venue_ids])


def cancel_all_after(symbol: str, secs: int) -> HttpCall:
    """The dead-man's switch for our orders of one market; 0 stops its countdown."""
    return _post("trade/cancel-all-after", {"timeOut": str(secs), "tag": tag(symbol)})


def order(symbol: str, client_id: int) -> HttpCall:
    return _get("trade/order", instId=symbol, clOrdId=str(client_id))


def open_orders(symbol: str | None, after: str) -> HttpCall:
    return _get("trade/orders-pending", instId=symbol or "", after=after, limit=str(PAGE))


def order_history(symbol: str, kind: str, after: str) -> HttpCall:
    """Ended orders of seven days, newest first; ``kind`` is the venue's instType."""
    return _get("trade/orders-history", instType=kind, instId=symbol, after=after, limit=str(PAGE))


def fills(after: str, *, symbol: str = "", venue_id: str = "") -> HttpCall:
    """Trades of three days, newest first."""
    return _get("trade/fills", instId=symbol, ordId=venue_id, after=after, limit=str(PAGE))


def old_fills(symbol: str, kind: str, venue_id: str, after: str) -> HttpCall:
    """Trades of three months, newest first."""
    return _get("trade/fills-history", instType=kind, instId=symbol, ordId=venue_id, after=after, limit=str(PAGE))


def positions() -> HttpCall:
    return _get("account/positions", instType="SWAP")


def balance() -> HttpCall:
    return _get("account/balance")


def config() -> HttpCall:
    return _get("account/config")


def instruments(kind: str) -> HttpCall:
    return HttpCall("GET", f"{_API}public/instruments?instType={kind}")


def server_time() -> HttpCall:
    return HttpCall("GET", f"{_API}public/time")


def book(symbol: str) -> HttpCall:
    return HttpCall("GET", f"{_API}market/books?{urlencode({'instId': symbol, 'sz': '1'})}")


def login(arg: Mapping[str, str]) -> str:
    return _text({"op": "login", "args": [arg]})


def subscribe(args: Sequence[Mapping[str, str]]) -> str:
    # Without an id: so an error with one always answers an order.
    return _text({"op": "subscribe", "args": args})


def _get(path: str, **params: str) -> HttpCall:
    query = urlencode({name: value for name, value in params.items() if value})
    return HttpCall("GET", f"{_API}{path}?{query}" if query else _API + path, auth=SIGNED)


def _post(path: str, value: object, *headers: tuple[str, str]) -> HttpCall:
    return HttpCall("POST", _API + path, _encoder.encode(value), (_JSON, *headers), SIGNED)


def _text(frame: Mapping[str, object]) -> str:
    return _encoder.encode(frame).decode()
