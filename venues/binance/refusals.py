"""
What a "no" of Binance means: our stable code for it, and whether it proves that nothing happened.

A refusal is ``{"code", "msg"}``, over REST as the body, over the WebSocket API as ``error`` with the status beside it.
Texts vary, codes do not: the code decides, and for -1013, -2010 and -2011, which mean many things, the text too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from venues.dialect import HttpReply, PlaceOrder
from venues.errors import OutcomeUnknown, Refused
from venues.events import MarketFacts, Status

_RAW_CHARS: Final = 300

_CODES: Final[Mapping[int, str]] = {
    **dict.fromkeys((-2018, -2019, -2027, -2028, -4050, -4051), "INSUFFICIENT_MARGIN"),
    **dict.fromkeys((-1111, -4014, -4023), "PRECISION"),
    **dict.fromkeys((-4003, -4004), "MIN_SIZE"),
    -4005: "MAX_SIZE",
    -4164: "MIN_NOTIONAL",
    -5022: "POST_ONLY_WOULD_CROSS",
    **dict.fromkeys((-2022, -2026, -4062, -4118), "REDUCE_ONLY"),
    **dict.fromkeys((-1003, -1015), "RATE_LIMITED"),
    **dict.fromkeys((-1002, -1022, -1099, -2014, -2015, -4056), "AUTH"),
    **dict.fromkeys((-1021, -5028), "CLOCK_SKEW"),
    **dict.fromkeys((-2013, -2011), "ORDER_NOT_FOUND"),
    -4116: "DUPLICATE_CLIENT_ID",
    **dict.fromkeys((-4002, -4013, -4016, -4024, -4131), "PRICE_BAND"),
    **dict.fromkeys((-1000, -1001, -1006, -1007, -1008, -1016), "VENUE_UNAVAILABLE"),
    -1121: "UNKNOWN_SYMBOL",
    -4061: "ACCOUNT_MODE",  # position side does not match: the account was switched to hedge mode after our start
}

# Codes that mean many things; the first words found in the text count.
_TEXTS: Final[Mapping[int, tuple[tuple[str, str], ...]]] = {
    -1013: (
        ("percent_price", "PRICE_BAND"),
        ("price_filter", "PRECISION"),
        ("notional", "MIN_NOTIONAL"),
        ("lot_size", "MIN_SIZE"),
    ),
    -2010: (
        ("insufficient balance", "INSUFFICIENT_BALANCE"),
        ("immediately match", "POST_ONLY_WOULD_CROSS"),
        ("duplicate order", "DUPLICATE_CLIENT_ID"),
        ("percent_price", "PRICE_BAND"),
    ),
    # "Order was not canceled due to cancel restrictions." has the same code and the order lives on.
    -2011: (("unknown order", "ORDER_NOT_FOUND"),),
}

# Words of a venue that gave up waiting for itself: the matching engine may have the order all the same.
_UNPROVEN: Final = frozenset({-1000, -1001, -1006, -1007, -1016})
# We send an id once. Who hears "duplicate" may hear it of a copy that the network made of that very request,
# whose first copy is live: the order is looked up.
_UNPROVEN_ORDER: Final = frozenset({"DUPLICATE_CLIENT_ID"})

_STATUS: Final[Mapping[str, Status]] = {
    "NEW": Status.OPEN,
    "PENDING_NEW": Status.OPEN,
    "PENDING_CANCEL": Status.OPEN,
    "NEW_INSURANCE": Status.OPEN,
    "NEW_ADL": Status.OPEN,
    "PARTIALLY_FILLED": Status.PARTIALLY_FILLED,
    "FILLED": Status.FILLED,
    "CANCELED": Status.CANCELLED,
    "EXPIRED": Status.CANCELLED,
    "EXPIRED_IN_MATCH": Status.CANCELLED,
    "REJECTED": Status.FAILED,
}

_EXPIRED_LISTEN_KEY: Final = -1125
_SUBSCRIBED_ALREADY: Final = -2035


class _Body(msgspec.Struct):
    code: int
    msg: str = ""


class Verdict(NamedTuple):
    """``proven``: nothing happened, for certain. ``raw``: the venue's own words, short. ``number``: its code or 0."""

    proven: bool
    code: str
    raw: str
    number: int


_BODY: Final = msgspec.json.Decoder(_Body)


def judge(reply: HttpReply) -> Verdict:
    """Read an answer that is not 200. Never raises, whatever the bytes."""
    try:
        body = _BODY.decode(reply.body)
        number, message = body.code, body.msg
    except (msgspec.MsgspecError, ValueError, RecursionError):
        number, message = 0, ""
    code = code_of(reply.status, number, message)
    raw = f"{number} {message}".strip()[:_RAW_CHARS] if number else f"HTTP {reply.status}"
    if reply.status in (418, 429):
        # Counted at the gate, before the request is worked on; so proven, whoever wrote the page.
        return Verdict(True, code, raw, number)
    # 5xx: the documents say UNKNOWN of 503, and a gateway that had passed the order on may say the others.
    # Without the venue's JSON a 4xx is a page of the firewall or of a proxy, and nobody's word about an order.
    proven = 400 <= reply.status < 500 and number < 0 and number not in _UNPROVEN
    return Verdict(proven, code, raw, number)


def code_of(status: int, number: int, message: str) -> str:
    """Our code of a refusal; ``number`` is 0 for an answer that is not the venue's JSON."""
    texts = _TEXTS.get(number)
    if texts is not None:
        words = message.lower()
        return next((code for text, code in texts if text in words), "REFUSED")
    if number in _CODES:
        return _CODES[number]
    if status in (418, 429):
        return "RATE_LIMITED"
    return "VENUE_UNAVAILABLE" if status >= 500 or not number else "REFUSED"


def of_order(
    reply: HttpReply, *, order: PlaceOrder | None = None, market: MarketFacts | None = None
) -> Refused | OutcomeUnknown:
    """What an answer other than 200 to a placement (``order``, in ``market``) or a cancel means."""
    verdict = judge(reply)
    what = "cancel" if order is None else "order"
    code = verdict.code
    if verdict.number == -1013 and code == "MIN_SIZE" and order is not None and market is not None:
        code = _size_code(order, market)
    if not verdict.proven:
        word = "IN_DOUBT"
    elif order is not None and code in _UNPROVEN_ORDER:
        word = code
    else:
        return Refused(code, f"Binance refused the {what} (HTTP {reply.status}).", raw=verdict.raw)
    return OutcomeUnknown(word, f"Binance answered {reply.status}: the {what} may have arrived.", raw=verdict.raw)


def of_reading(reply: HttpReply) -> Refused | OutcomeUnknown:
    """What an answer other than 200 to a question means."""
    verdict = judge(reply)
    if verdict.proven:
        return Refused(verdict.code, f"Binance refused to answer (HTTP {reply.status}).", raw=verdict.raw)
    return OutcomeUnknown("VENUE_UNAVAILABLE", f"Binance gave no answer (HTTP {reply.status}).", raw=verdict.raw)


def listen_key_is_dead(reply: HttpReply) -> bool:
    return judge(reply).number == _EXPIRED_LISTEN_KEY


def subscribed_already(reply: HttpReply) -> bool:
    """The account's events come on this connection already."""
    return judge(reply).number == _SUBSCRIBED_ALREADY


def _size_code(order: PlaceOrder, market: MarketFacts) -> str:
    # The venue has one word for below the minimum, above the maximum and off the step.
    if order.size_i < market.min_size_i:
        return "MIN_SIZE"
    if market.max_size_i is not None and order.size_i > market.max_size_i:
        return "MAX_SIZE"
    return "PRECISION"


def state_of(word: str, tif: str, filled_i: int, reduce_only: bool, reason: str) -> tuple[Status, str, str]:
    """
    ``(status, reason, code)`` of an order whose state has this ``word``.

    Raises:
        KeyError: a state that the documents do not have.
    """
    status = _STATUS[word]
    if word == "REJECTED":
        return status, reason or word, "POST_ONLY_WOULD_CROSS" if tif == "GTX" else "REFUSED"
    if not word.startswith("EXPIRED"):
        return status, "", ""
    # A post-only order that the engine turned away. One that also reduces only may have rested before the position
    # it reduced was gone, so nothing is claimed of it.
    if word == "EXPIRED" and tif == "GTX" and not filled_i and not reduce_only:
        return Status.FAILED, reason or word, "POST_ONLY_WOULD_CROSS"
    return status, reason or word, ""
