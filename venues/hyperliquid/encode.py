"""
Intents → actions, requests and frames. Nothing here is signed.

The order of keys is part of what an action's hash covers, so structs keep it. Numbers of money are text without
trailing zeros, for the same reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from core.precision import unscaled
from venues.dialect import HttpCall, PlaceOrder, WsText
from venues.errors import LocalRuleError
from venues.events import MarketFacts
from venues.hyperliquid.facts import ABILITIES

ACCOUNT_STREAMS: Final = ("orderUpdates", "userFills", "clearinghouseState", "spotState")
LINE: Final = "main"
PING: Final = '{"method":"ping"}'

# What :meth:`Dialect.sign` does with a call.
ACTION: Final = "action"
"""``auth`` of a call whose body is an action to be signed with a fresh nonce."""
NONCE: Final = "nonce"
"""``params`` key: sign with this nonce instead."""
AFTER: Final = "after"
"""``params`` key: put ``time``, so many milliseconds from now, into the action."""

_JSON: Final = (("Content-Type", "application/json"),)
_encoder: Final = msgspec.json.Encoder()


class Limit(msgspec.Struct, frozen=True):
    tif: Literal["Gtc", "Ioc", "Alo"]


class Kind(msgspec.Struct, frozen=True):
    limit: Limit


class Order(msgspec.Struct, frozen=True):
    """Asset, is a buy, price, size, reduce-only, kind, client id."""

    a: int
    b: bool
    p: str
    s: str
    r: bool
    t: Kind
    c: str


class PlaceAction(msgspec.Struct, frozen=True, tag_field="type", tag="order"):
    orders: tuple[Order, ...]
    grouping: str = "na"


class Cloid(msgspec.Struct, frozen=True):
    asset: int
    cloid: str


class CancelByCloidAction(msgspec.Struct, frozen=True, tag_field="type", tag="cancelByCloid"):
    cancels: tuple[Cloid, ...]


class Oid(msgspec.Struct, frozen=True):
    a: int
    o: int


class CancelAction(msgspec.Struct, frozen=True, tag_field="type", tag="cancel"):
    cancels: tuple[Oid, ...]


_GTC, _IOC, _ALO = Kind(Limit("Gtc")), Kind(Limit("Ioc")), Kind(Limit("Alo"))


def cloid(client_id: int) -> str:
    """Our client id as the venue's: 16 bytes in hex."""
    return f"0x{client_id:032x}"


def place(order: PlaceOrder, facts: MarketFacts, asset: int) -> PlaceAction:
    """
    A limit order good till cancelled, post-only or not; a market order is an Ioc at the worst price to accept.

    Raises:
        LocalRuleError: the venue has no such order.
    """
    if not 1 <= order.client_id <= ABILITIES.max_client_id:
        raise LocalRuleError("CLIENT_ID_RANGE", f"Hyperliquid takes client ids 1 to {ABILITIES.max_client_id} from us.")
    if order.reduce_only and facts.kind != "perp":
        raise LocalRuleError("REDUCE_ONLY", "Hyperliquid has reduce-only orders on perps only.")
    price_i, kind = order.price_i, _ALO if order.post_only else _GTC
    if price_i is None:
        if order.post_only:
            raise LocalRuleError("POST_ONLY_WOULD_CROSS", "A market order cannot be post-only.")
        price_i, kind = order.worst_price_i, _IOC
        if price_i is None:
            raise LocalRuleError("STALE_BOOK", "A market order here needs a worst price, and there is no book.")
    return PlaceAction(
        (
            Order(
                a=asset,
                b=not order.is_ask,
                p=unscaled(price_i, facts.price_decimals),
                s=unscaled(order.size_i, facts.size_decimals),
                r=order.reduce_only,
                t=kind,
                c=cloid(order.client_id),
            ),
        )
    )


def cancel(asset: int, client_id: int) -> CancelByCloidAction:
    return CancelByCloidAction((Cloid(asset, cloid(client_id)),))


def cancel_by_oid(orders: Sequence[tuple[int, int]]) -> HttpCall:
    """Cancel ``(asset, oid)`` pairs in one action, ours or not."""
    return _action(CancelAction(tuple(Oid(asset, oid) for asset, oid in orders)))


def noop(nonce: int) -> HttpCall:
    """Burn a nonce: whatever was signed with it and has not arrived yet is refused from then on."""
    return _action({"type": "noop"}, (NONCE, str(nonce)))


def schedule_cancel(after_ms: int | None) -> HttpCall:
    """Cancel every order of the account ``after_ms`` from now, 5000 at least; None takes it back."""
    params = () if after_ms is None else ((AFTER, str(after_ms)),)
    return _action({"type": "scheduleCancel"}, *params)


def exchange(envelope: dict[str, Any]) -> HttpCall:
    """A signed action over REST."""
    return HttpCall("POST", "/exchange", _encoder.encode(envelope), _JSON)


def post(number: int, envelope: dict[str, Any]) -> WsText:
    """A signed action over the stream; the answer repeats ``number``."""
    request = {"method": "post", "id": number, "request": {"type": "action", "payload": envelope}}
    return WsText(LINE, str(number), _encoder.encode(request).decode())


def info(kind: str, **values: Any) -> HttpCall:
    """``POST /info``: every reading; public, by address."""
    return HttpCall("POST", "/info", _encoder.encode({"type": kind, **values}), _JSON)


def subscribe(kind: str, **values: str) -> str:
    return _encoder.encode({"method": "subscribe", "subscription": {"type": kind, **values}}).decode()


def _action(action: Any, *params: tuple[str, str]) -> HttpCall:
    return HttpCall("POST", "/exchange", _encoder.encode(action), _JSON, ACTION, params)
