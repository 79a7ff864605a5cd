"""
What a "no" of Lighter means: our stable code for it, and whether it proves that nothing happened.

A refusal is ``{"code", "message"}``: HTTP 400 over REST, a frame or a bare ``{"error": {...}}`` over the stream. A
refusal at the gate consumes no nonce. What the sequencer refuses later is told as the status of the order's row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from venues.dialect import HttpReply
from venues.errors import OutcomeUnknown, Refused
from venues.events import Status

_RAW_CHARS: Final = 300

INVALID_NONCE: Final = 21104
"""Another transaction took the nonce, or one before it is missing: this one was not executed."""
ALREADY_SUBSCRIBED: Final = 30003
QUEUED_CANCEL_ALL: Final = 21712
"""A cancel of all orders is scheduled, and some transactions do not go with it."""
DONE: Final = 200
_NONCE_CODES: Final = frozenset({INVALID_NONCE, 21105, 21101})

_CODES: Final[Mapping[int, str]] = {
    **dict.fromkeys((21739, 21507, 21508, 21723), "INSUFFICIENT_MARGIN"),
    **dict.fromkeys((21701, 21702), "PRECISION"),
    21706: "MIN_SIZE",
    **dict.fromkeys((21732, 21738, 21740, 21614), "REDUCE_ONLY"),
    **dict.fromkeys((23000, 23001, 23002, 23003, 23004, 30009, 30010, 21506), "RATE_LIMITED"),
    **dict.fromkeys((21717, 21718, 21719, 21720), "RATE_LIMITED"),
    **dict.fromkeys((21100, 21101, 21102, 21107, 21108, 21109, 21110, 21120, 21136, 21103), "AUTH"),
    # 21711 is about an OrderExpiry, which our clock makes.
    21711: "CLOCK_SKEW",
    **dict.fromkeys((21600, 21700, 21708, 21709, 21715), "ORDER_NOT_FOUND"),
    21728: "DUPLICATE_CLIENT_ID",
    21727: "CLIENT_ID_RANGE",
    **dict.fromkeys((21733, 21734, 21735), "PRICE_BAND"),
    **dict.fromkeys((29500, 29501, 30011, 30012), "VENUE_UNAVAILABLE"),
    **dict.fromkeys((21605, 21744), "MARKET_CLOSED"),
    **dict.fromkeys((21602, 21621), "UNKNOWN_SYMBOL"),
}
_STATUSES: Final[Mapping[int, str]] = {401: "AUTH", 403: "AUTH", 429: "RATE_LIMITED"}
# The server failed or gave up waiting: the sequencer may have the transaction all the same.
_UNPROVEN: Final = frozenset({408, 425, 29500, 29501})
# A number of another size is no code of the venue, and says nothing about the order.
_OWN_CODES: Final = range(10_000, 100_000)

# Ends of an order row: our status for one that never traded, and our code (sheet, section 7).
_ENDS: Final[Mapping[str, tuple[Status, str]]] = {
    "canceled": (Status.CANCELLED, ""),
    "canceled-expired": (Status.CANCELLED, ""),
    "canceled-oco": (Status.CANCELLED, ""),
    "canceled-child": (Status.CANCELLED, ""),
    "canceled-liquidation": (Status.CANCELLED, ""),
    "canceled-self-trade": (Status.CANCELLED, ""),
    # Hummingbot holds these two for failed; the order had been taken in and found nobody, as an IOC elsewhere.
    "canceled-too-much-slippage": (Status.CANCELLED, "PRICE_BAND"),
    "canceled-not-enough-liquidity": (Status.CANCELLED, ""),
    "canceled-post-only": (Status.FAILED, "POST_ONLY_WOULD_CROSS"),
    "canceled-reduce-only": (Status.FAILED, "REDUCE_ONLY"),
    "canceled-position-not-allowed": (Status.FAILED, "REDUCE_ONLY"),
    "canceled-margin-not-allowed": (Status.FAILED, "INSUFFICIENT_MARGIN"),
    "canceled-invalid-balance": (Status.FAILED, "INSUFFICIENT_MARGIN"),
}


class Word(NamedTuple):
    """``code`` is the venue's own, 200 for yes, 0 where there is none."""

    code: int
    message: str
    tx_hash: str = ""


class Verdict(NamedTuple):
    """``proven``: nothing happened, for certain. ``raw``: the venue's own words, short."""

    proven: bool
    code: str
    raw: str


class _Error(msgspec.Struct):
    code: int = 0
    message: str = ""
    tx_hash: str | list[str] = ""


class _Body(msgspec.Struct):
    code: int = 0
    message: str = ""
    tx_hash: str | list[str] = ""
    error: _Error | None = None
    data: _Error | None = None


_BODY: Final = msgspec.json.Decoder(_Body)


def word_of(body: bytes) -> Word:
    """The code and message of an answer, wherever they stand in it. Never raises."""
    try:
        row = _BODY.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Word(0, "")
    for each in (row.error, row, row.data):
        if each is not None and each.code:
            tx_hash = each.tx_hash or (row.data.tx_hash if row.data else "")
            return Word(each.code, each.message, tx_hash if isinstance(tx_hash, str) else "")
    return Word(0, row.message)


def judge(reply: HttpReply, *, spot: bool = False) -> Verdict:
    """Read an answer that is not a yes. Never raises, whatever the bytes."""
    word = word_of(reply.body)
    code = code_of(reply.status, word, spot=spot)
    raw = f"{word.code or ''} {word.message}".strip()[:_RAW_CHARS] or f"HTTP {reply.status}"
    if reply.status == 429:
        # Counted at the gate, before the request is worked on; so proven, whoever wrote the page.
        return Verdict(True, code, raw)
    proven = (
        # Older servers print their HTTP status as the code; a page of a CDN has no code at all.
        reply.status < 500
        and reply.status not in (408, 425)
        and (400 <= word.code < 500 or word.code in _OWN_CODES)
        and word.code not in _UNPROVEN
    )
    return Verdict(proven, code, raw)


def code_of(status: int, word: Word, *, spot: bool = False) -> str:
    """Our code of a refusal."""
    code = _CODES.get(word.code)
    if code is None and 20000 <= word.code < 20100:
        # A bad or expired token; the exact number is not documented.
        code = "AUTH"
    if code is None and "invalid auth" in word.message.lower():
        code = "AUTH"
    return for_kind(code or _STATUSES.get(status, "REFUSED"), spot)


def for_kind(code: str, spot: bool) -> str:
    """The venue has one word for too little margin and for too few coins."""
    return "INSUFFICIENT_BALANCE" if spot and code == "INSUFFICIENT_MARGIN" else code


def is_done(reply: HttpReply) -> bool:
    """HTTP 200 and the code 200: taken. For a transaction that means queued, and no more."""
    return reply.status == 200 and word_of(reply.body).code == DONE


def is_nonce(word: Word) -> bool:
    """The refusal says that our count of nonces is out of step; older servers say so in words only."""
    return word.code in _NONCE_CODES or "invalid nonce" in word.message.lower()


def of_transaction(reply: HttpReply, *, what: str = "order", spot: bool = False) -> Refused | OutcomeUnknown:
    """What an answer other than yes to a transaction means."""
    verdict = judge(reply, spot=spot)
    if verdict.proven:
        return Refused(verdict.code, f"Lighter refused the {what}.", raw=verdict.raw)
    return OutcomeUnknown(
        "IN_DOUBT", f"Lighter answered HTTP {reply.status}: the {what} may have arrived.", raw=verdict.raw
    )


def of_reading(reply: HttpReply) -> Refused | OutcomeUnknown:
    """What an answer other than yes to a question means."""
    verdict = judge(reply)
    if verdict.proven:
        return Refused(verdict.code, f"Lighter refused to answer (HTTP {reply.status}).", raw=verdict.raw)
    return OutcomeUnknown("VENUE_UNAVAILABLE", f"Lighter gave no answer (HTTP {reply.status}).", raw=verdict.raw)


def of_end(status: str, *, traded: bool, spot: bool = False) -> tuple[Status, str]:
    """
    Our status and code of a ``canceled…`` row. Whatever the word, an order that traded was live.

    Raises:
        KeyError: a word that no document has.
    """
    ours, code = _ENDS[status]
    return (Status.CANCELLED if traded else ours), for_kind(code, spot)
