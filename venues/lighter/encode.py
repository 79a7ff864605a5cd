"""
Intents → requests, stream frames and the fields of transactions. Nothing here is signed.

A request whose ``auth`` is :data:`TOKEN` gets the auth token as a header; a transaction comes signed in its form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

import msgspec

from core.precision import power_of_ten
from venues.dialect import HttpCall, PlaceOrder
from venues.errors import LocalRuleError
from venues.events import MarketFacts
from venues.lighter.facts import ABILITIES, MAX_AMOUNT, MAX_PRICE, Listed
from venues.lighter.sign import Transaction

API: Final = "/api/v1/"
PAGE: Final = 100
"""Rows of a history page: the venue's most."""
TOKEN: Final = "token"  # noqa: S105 - the name of a way to sign, no secret
TRANSACTION: Final = "transaction"
"""``HttpCall.auth`` of a transaction that is signed just before it leaves; ``params`` are its type and fields."""

LIMIT, MARKET = 0, 1
IMMEDIATE, GOOD_TILL_TIME, POST_ONLY = 0, 1, 2
ALL_NOW, ALL_SCHEDULED, ALL_UNSCHEDULED = 0, 1, 2
CANCEL_ALL_MARKET: Final = 5
"""Transaction attribute: the one market that a cancel of all orders is about."""

ORDER_LIFE_MS: Final = 28 * 24 * 3_600_000
"""How long an order may rest: what the venue's SDK takes for "good till cancelled"; 30 days are the most."""

_FORM: Final = (("content-type", "application/x-www-form-urlencoded"),)
_encoder: Final = msgspec.json.Encoder()


# -- fields of transactions


def place(order: PlaceOrder, facts: MarketFacts, listed: Listed, now_ms: int) -> dict[str, int]:
    """
    Transaction 14: a limit order good till time, or a market order with the worst price that it may take.

    Raises:
        LocalRuleError: the venue has no such order, or its integers cannot say it.
    """
    if not 1 <= order.client_id <= ABILITIES.max_client_id:
        raise LocalRuleError("CLIENT_ID_RANGE", f"Lighter takes client ids 1 to {ABILITIES.max_client_id}.")
    if order.reduce_only and facts.kind != "perp":
        raise LocalRuleError("REDUCE_ONLY", "Lighter has reduce-only orders on perps only.")
    is_market = order.price_i is None
    price_i = order.worst_price_i if order.price_i is None else order.price_i
    if price_i is None:
        raise LocalRuleError("PRICE_RANGE", "A market order on Lighter needs the worst price to accept.")
    if is_market and order.post_only:
        raise LocalRuleError("POST_ONLY_WOULD_CROSS", "A market order cannot be post-only.")
    amount = _on_wire(order.size_i, facts.size_decimals, listed.facts.size_decimals, "size")
    price = _on_wire(price_i, facts.price_decimals, listed.facts.price_decimals, "price")
    if not 1 <= amount <= MAX_AMOUNT:
        raise LocalRuleError("MAX_SIZE", f"Lighter takes sizes up to {MAX_AMOUNT} lots.")
    if not 1 <= price <= MAX_PRICE:
        raise LocalRuleError("PRICE_RANGE", f"Lighter takes prices up to {MAX_PRICE} ticks.")
    return {
        "MarketIndex": listed.number,
        "ClientOrderIndex": order.client_id,
        "BaseAmount": amount,
        "Price": price,
        "IsAsk": int(order.is_ask),
        "Type": MARKET if is_market else LIMIT,
        "TimeInForce": IMMEDIATE if is_market else POST_ONLY if order.post_only else GOOD_TILL_TIME,
        "ReduceOnly": int(order.reduce_only),
        "TriggerPrice": 0,
        "OrderExpiry": 0 if is_market else now_ms + ORDER_LIFE_MS,
    }


def cancel(market: int, index: int) -> dict[str, int]:
    """Transaction 15, by client id or by the venue's order index: their ranges do not meet."""
    return {"MarketIndex": market, "Index": index}


def _on_wire(value: int, decimals: int, wire_decimals: int, what: str) -> int:
    """``value`` on the wire's own grid: the venue sees integers, so what lies between two cannot be said at all."""
    shift = decimals - wire_decimals
    if shift <= 0:
        return value * power_of_ten(-shift)
    whole, rest = divmod(value, power_of_ten(shift))
    if rest:
        raise LocalRuleError("PRECISION", f"Lighter cannot express this {what}: it lies off the market's grid.")
    return whole


# -- how a transaction travels


def send(transaction: Transaction) -> HttpCall:
    """``POST /api/v1/sendTx``, form-encoded as the venue's SDK does; it needs no header."""
    body = urlencode({"tx_type": transaction.kind, "tx_info": transaction.info}).encode()
    return HttpCall("POST", f"{API}sendTx", body, _FORM)


def send_later(kind: int, fields: Mapping[str, int], **more: int) -> HttpCall:
    """A transaction whose nonce and times are only known when it leaves; see :data:`TRANSACTION`."""
    params = tuple((name, str(value)) for name, value in (("tx_type", kind), *fields.items(), *more.items()))
    return HttpCall("POST", f"{API}sendTx", auth=TRANSACTION, params=params)


def send_text(transaction: Transaction, request_id: str) -> str:
    """The same as a frame of the stream."""
    data = {"id": request_id, "tx_type": transaction.kind, "tx_info": msgspec.Raw(transaction.info.encode())}
    return _encoder.encode({"type": "jsonapi/sendtx", "data": data}).decode()


# -- readings


def _get(path: str, *, private: bool = False, **params: int | str | None) -> HttpCall:
    query = urlencode({name: value for name, value in params.items() if value is not None})
    return HttpCall("GET", f"{API}{path}?{query}" if query else API + path, auth=TOKEN if private else None)


def status() -> HttpCall:
    # The root, not /api/v1: it has the venue's time, in seconds.
    return HttpCall("GET", "/")


def markets() -> HttpCall:
    return _get("orderBookDetails")


def next_nonce(account: int, key: int) -> HttpCall:
    return _get("nextNonce", account_index=account, api_key_index=key)


def api_key(account: int, key: int) -> HttpCall:
    return _get("apikeys", account_index=account, api_key_index=key)


def account(index: int) -> HttpCall:
    """Public: positions, balances and margin of any account."""
    return _get("account", by="index", value=index)


def book(market: int) -> HttpCall:
    return _get("orderBookOrders", market_id=market, limit=1)


def orders_by_client_id(account_index: int, client_id: int) -> HttpCall:
    """The last 10,000 active ones, or the last 1,000 ended within 24 h."""
    return _get("accountOrders", private=True, account_index=account_index, client_order_indexes=client_id)


def active_orders(account_index: int, market: int | None) -> HttpCall:
    return _get("accountActiveOrders", private=True, account_index=account_index, market_id=market)


def inactive_orders(account_index: int, market: int, cursor: str | None) -> HttpCall:
    return _get(
        "accountInactiveOrders",
        private=True,
        account_index=account_index,
        market_id=market,
        limit=PAGE,
        cursor=cursor,
    )


def trades(account_index: int, market: int | None, order_index: str | None, cursor: str | None) -> HttpCall:
    return _get(
        "trades",
        private=True,
        sort_by="timestamp",
        sort_dir="desc",
        limit=PAGE,
        account_index=account_index,
        market_id=market,
        order_index=order_index,
        cursor=cursor,
    )


# -- the stream


def account_channels(index: int) -> tuple[str, ...]:
    """What is subscribed with a token: orders, trades, positions, spot balances, margin."""
    kinds = ("account_all_orders", "account_all_trades", "account_all_positions", "account_all_assets", "user_stats")
    return tuple(f"{kind}/{index}" for kind in kinds)


def subscribe(channel: str, token: str | None = None) -> str:
    frame = {"type": "subscribe", "channel": channel}
    return _encoder.encode(frame if token is None else {**frame, "auth": token}).decode()


PING: Final = '{"type":"ping"}'
