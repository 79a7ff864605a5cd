"""
What a "no" of Backpack means: our stable code for it, and whether it proves that nothing happened.

Refusals are ``{"code", "message"}`` in JSON, plain text when the venue's framework could not parse the request
(bad enum, unknown symbol, wrong type), and HTML when the CDN answered for the venue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from venues.dialect import HttpReply
from venues.errors import OutcomeUnknown, Refused

_RAW_CHARS: Final = 300

# A message says more than the code it comes with: INVALID_CLIENT_REQUEST covers half of these. First match counts.
_MESSAGES: Final = (
    ("request has expired", "CLOCK_SKEW"),
    ("timestamp", "CLOCK_SKEW"),
    ("signature", "AUTH"),
    ("decimal too long", "PRECISION"),
    ("below the minimum", "MIN_SIZE"),
    ("immediately match", "POST_ONLY_WOULD_CROSS"),
    ("reduce only", "REDUCE_ONLY"),
    ("reduce-only", "REDUCE_ONLY"),
    ("too far from", "PRICE_BAND"),
    ("order not found", "ORDER_NOT_FOUND"),
    ("invalid market symbol", "UNKNOWN_SYMBOL"),
)

_CODES: Final[Mapping[str, str]] = {
    "INVALID_SIGNATURE": "AUTH",
    "UNAUTHORIZED": "AUTH",
    "FORBIDDEN": "AUTH",
    "INVALID_QUANTITY": "MIN_SIZE",
    "INSUFFICIENT_FUNDS": "INSUFFICIENT_MARGIN",
    "INSUFFICIENT_MARGIN": "INSUFFICIENT_MARGIN",
    "INSUFFICIENT_SUPPLY": "INSUFFICIENT_MARGIN",
    "MAX_LEVERAGE_REACHED": "INSUFFICIENT_MARGIN",
    "BORROW_LIMIT": "INSUFFICIENT_MARGIN",
    "RESOURCE_NOT_FOUND": "ORDER_NOT_FOUND",
    "TOO_MANY_REQUESTS": "RATE_LIMITED",
    "ORDER_LIMIT": "RATE_LIMITED",
    "MAINTENANCE": "VENUE_UNAVAILABLE",
    "SERVER_ERROR": "VENUE_UNAVAILABLE",
    "TIMEOUT": "VENUE_UNAVAILABLE",
    "TOO_EARLY": "VENUE_UNAVAILABLE",
    "TRADING_PAUSED": "VENUE_UNAVAILABLE",
    "PRECONDITION_FAILED": "VENUE_UNAVAILABLE",
    "INVALID_MARKET": "UNKNOWN_SYMBOL",
    "INVALID_SYMBOL": "UNKNOWN_SYMBOL",
}

_STATUSES: Final[Mapping[int, str]] = {401: "AUTH", 403: "AUTH", 429: "RATE_LIMITED"}

# Words of a venue that gave up waiting, or was going down: its engine may have the order all the same.
_UNPROVEN_CODES: Final = frozenset({"TIMEOUT", "SERVER_ERROR", "TOO_EARLY", "MAINTENANCE"})
# Request Timeout, Too Early: the answer came from in front of the engine and says nothing about it.
_UNPROVEN_STATUSES: Final = frozenset({408, 425})

_STREAM_CODES: Final[Mapping[int, str]] = {4003: "AUTH", 4005: "UNKNOWN_SYMBOL"}

_EXPIRIES: Final[Mapping[str, str]] = {
    "accounttradingsuspended": "AUTH",
    "borrowrequireslendredeem": "INSUFFICIENT_MARGIN",
    "fillorkill": "",
    "immediateorcancel": "",
    "insufficientborrowablequantity": "INSUFFICIENT_MARGIN",
    "insufficientfunds": "INSUFFICIENT_MARGIN",
    "insufficientmargin": "INSUFFICIENT_MARGIN",
    "invalidquantity": "MIN_SIZE",
    "negativeequity": "INSUFFICIENT_MARGIN",
    "postonlymode": "MARKET_CLOSED",
    "postonlytaker": "POST_ONLY_WOULD_CROSS",
    "priceband": "PRICE_BAND",
    "priceimpact": "PRICE_BAND",
    "priceoutofbounds": "PRICE_BAND",
    "reduceonlynotreduced": "REDUCE_ONLY",
    "slippagetoleranceexceeded": "PRICE_BAND",
    "stopwithoutposition": "REDUCE_ONLY",
    "userpermissions": "AUTH",
}
_EXPIRED_AFTER_ENTRY: Final = frozenset({"immediateorcancel", "fillorkill", "selftradeprevention"})


class _Body(msgspec.Struct):
    code: str
    message: str = ""


class Verdict(NamedTuple):
    """``proven``: nothing happened, for certain. ``raw``: the venue's own words, short."""

    proven: bool
    code: str
    raw: str


_BODY: Final = msgspec.json.Decoder(_Body)


def judge(reply: HttpReply, *, spot: bool = False) -> Verdict:
    """Read an answer that is not 200. Never raises, whatever the bytes."""
    try:
        body = _BODY.decode(reply.body)
        venue_code, message = body.code, body.message
    except (msgspec.MsgspecError, ValueError, RecursionError):
        venue_code, message = "", _plain_text(reply.body)
    code = code_of(reply.status, venue_code, message, spot=spot)
    raw = f"{venue_code} {message}".strip()[:_RAW_CHARS] or f"HTTP {reply.status}"
    if reply.status == 429:
        # Counted at the gate, before the request is worked on; so proven, whoever wrote the page.
        return Verdict(True, code, raw)
    proven = (
        # 5xx, MAINTENANCE with its 503 included, may come from a gateway that had passed the order on.
        400 <= reply.status < 500
        and reply.status not in _UNPROVEN_STATUSES
        and venue_code not in _UNPROVEN_CODES
        # A CDN's page, a gateway's sentence or an unknown JSON is not the venue's word.
        and bool(venue_code or _own_words(message))
    )
    return Verdict(proven, code, raw)


def code_of(status: int, venue_code: str, message: str, *, spot: bool = False) -> str:
    """Our code of a refusal; ``venue_code`` is empty for plain text."""
    text = message.lower()
    # A parse failure quotes names of fields, which mean nothing here.
    if "failed to parse" in text:
        return "UNKNOWN_SYMBOL" if '"marketsymbol"' in text else "REFUSED"
    code = next((code for words, code in _MESSAGES if words in text), None)
    return _for(code or _CODES.get(venue_code) or _STATUSES.get(status, "REFUSED"), spot)


def of_order(reply: HttpReply, *, what: str = "order", spot: bool = False) -> Refused | OutcomeUnknown:
    """What an answer other than 200 to a placement or a cancel means."""
    verdict = judge(reply, spot=spot)
    if verdict.proven:
        return Refused(verdict.code, f"Backpack refused the {what} (HTTP {reply.status}).", raw=verdict.raw)
    return OutcomeUnknown(
        "IN_DOUBT", f"Backpack answered HTTP {reply.status}: the {what} may have arrived.", raw=verdict.raw
    )


def of_reading(reply: HttpReply) -> Refused | OutcomeUnknown:
    """What an answer other than 200 to a question means."""
    verdict = judge(reply)
    if verdict.proven:
        return Refused(verdict.code, f"Backpack refused to answer (HTTP {reply.status}).", raw=verdict.raw)
    return OutcomeUnknown("VENUE_UNAVAILABLE", f"Backpack gave no answer (HTTP {reply.status}).", raw=verdict.raw)


def of_stream(code: int, message: str) -> str:
    """Our code of an error frame: 4003 signature, 4005 market, 4006 stream."""
    by_message = code_of(400, "", message)
    return by_message if by_message != "REFUSED" else _STREAM_CODES.get(code, "REFUSED")


def of_expiry(reason: str, *, spot: bool = False) -> str:
    """
    Our code of an ``expiryReason``, empty for an end that the order itself asked for (IOC, FOK).

    Spellings are compared loosely: the REST documents have ``PostOnlyTaker``, their stream sample ``PRICE_BAND``.
    """
    return _for(_EXPIRIES.get(_loose(reason), "REFUSED"), spot)


def expired_after_entry(reason: str) -> bool:
    """True for an expiry of an order that the engine had taken in: it is cancelled, not failed."""
    return _loose(reason) in _EXPIRED_AFTER_ENTRY


def _for(code: str, spot: bool) -> str:
    # The venue has one word for both.
    return "INSUFFICIENT_BALANCE" if spot and code == "INSUFFICIENT_MARGIN" else code


def _loose(reason: str) -> str:
    return "".join(filter(str.isalpha, reason)).lower()


def _own_words(text: str) -> bool:
    """Plain text that the venue's framework, or the venue before 2025, is known to write."""
    return "failed to parse" in text.lower() or code_of(400, "", text) != "REFUSED"


def _plain_text(body: bytes) -> str:
    """A plain sentence of the venue; empty for HTML, JSON of another shape, and what is no text."""
    try:
        text = body[: 4 * _RAW_CHARS].decode().strip()
    except UnicodeDecodeError:
        return ""
    return "" if text[:1] in ("<", "{", "[", '"') or not text.isprintable() else text
