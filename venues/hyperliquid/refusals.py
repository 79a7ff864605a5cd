"""
What a "no" of Hyperliquid means: our stable code for it, and whether it proves that nothing happened.

A refusal is a sentence, in ``{"status":"err","response":…}`` for a whole action or in ``{"error":…}`` for one order of
it; both come with HTTP 200. Live sentences may begin with ``L1 error: `` and end in `` asset=N``, so beginnings count.
"Ok" for an action proves nothing: the answer is read down to each order's own word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from venues.dialect import HttpReply
from venues.errors import OutcomeUnknown, Refused, WireError
from venues.events import Status

_RAW_CHARS: Final = 300

# The beginning of the sentence in lower case → our code. First match counts.
_SENTENCES: Final = (
    ("insufficient margin", "INSUFFICIENT_MARGIN"),
    ("insufficient spot balance", "INSUFFICIENT_BALANCE"),
    ("order has insufficient spot balance", "INSUFFICIENT_BALANCE"),
    ("order would cause position to exceed margin tier", "INSUFFICIENT_MARGIN"),
    ("price must be divisible by tick size", "PRECISION"),
    ("order has invalid price", "PRECISION"),
    ("order has invalid size", "PRECISION"),
    ("order has zero size", "PRECISION"),
    ("order must have minimum value", "MIN_NOTIONAL"),
    ("post only order would have immediately matched", "POST_ONLY_WOULD_CROSS"),
    ("reduce only order would increase position", "REDUCE_ONLY"),
    ("order price cannot be more than", "PRICE_BAND"),
    ("price too far from oracle", "PRICE_BAND"),
    ("order price too far from oracle", "PRICE_BAND"),
    ("order was never placed", "ORDER_NOT_FOUND"),
    ("too many cumulative requests", "RATE_LIMITED"),
    ("too many pending post requests", "RATE_LIMITED"),
    ("cannot send more than", "RATE_LIMITED"),
    ("cannot track more than", "RATE_LIMITED"),
    ("cannot subscribe to more than", "RATE_LIMITED"),
    # A wrong signature recovers a stranger's address, so this is also what a mistake in signing looks like.
    ("user or api wallet", "AUTH"),
    ("unable to recover signer", "AUTH"),
    ("must deposit before performing actions", "AUTH"),
    ("invalid nonce: nonce too low", "CLOCK_SKEW"),
    ("only post-only orders allowed", "VENUE_UNAVAILABLE"),
)
_DUPLICATE_NONCE: Final = "invalid nonce: duplicate nonce"
_VOLUME: Final = "cannot set scheduled cancel time until enough volume traded"

# How an order that is not filled ended, in its status → our code. Others by their ending.
_ENDS: Final[Mapping[str, str]] = {
    "tickRejected": "PRECISION",
    "minTradeNtlRejected": "MIN_NOTIONAL",
    "minTradeSpotNtlRejected": "MIN_NOTIONAL",
    "perpMarginRejected": "INSUFFICIENT_MARGIN",
    "perpMaxPositionRejected": "INSUFFICIENT_MARGIN",
    "insufficientSpotBalanceRejected": "INSUFFICIENT_BALANCE",
    "reduceOnlyRejected": "REDUCE_ONLY",
    "reduceOnlyCanceled": "REDUCE_ONLY",
    "badAloPxRejected": "POST_ONLY_WOULD_CROSS",
    "oracleRejected": "PRICE_BAND",
    "marginCanceled": "INSUFFICIENT_MARGIN",
    "liquidatedCanceled": "INSUFFICIENT_MARGIN",
    "delistedCanceled": "MARKET_CLOSED",
    # The Ioc order itself asked for this end.
    "iocCancelRejected": "",
    "marketOrderNoLiquidityRejected": "",
}
_CANCELLED: Final = frozenset({"canceled", "scheduledCancel"})

# Answers from in front of the engine that say nothing about it: Request Timeout, Too Early.
_UNPROVEN_STATUSES: Final = frozenset({408, 425})


Id = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class Resting(msgspec.Struct):
    oid: Id


class Filled(msgspec.Struct, rename="camel"):
    oid: Id
    total_sz: str


class Ack(msgspec.Struct):
    """One order's or cancel's part of an answer. ``word`` stands for a bare text (``success``)."""

    resting: Resting | None = None
    filled: Filled | None = None
    error: str | None = None
    word: str = ""


class _Answer(msgspec.Struct):
    status: str
    response: msgspec.Raw


class _Statuses(msgspec.Struct):
    statuses: list[Ack | str]


class _Done(msgspec.Struct):
    type: str
    data: _Statuses | None = None


_answer: Final = msgspec.json.Decoder(_Answer)
_done: Final = msgspec.json.Decoder(_Done)
_word: Final = msgspec.json.Decoder(str)


def acknowledged(reply: HttpReply, what: str, wanted: int) -> list[Ack]:
    """
    The acknowledgements in an answer to an action on ``wanted`` orders.

    Some faults are told once for a whole batch: a single error then stands for all.

    Raises:
        Refused, OutcomeUnknown: the whole action was refused.
        WireError: no such answer.
    """
    if reply.status != 200:
        raise of_reply(reply, what)
    try:
        answer = _answer.decode(reply.body)
        refused = _word.decode(answer.response) if answer.status == "err" else None
        done = _done.decode(answer.response) if answer.status == "ok" else None
    except (msgspec.MsgspecError, ValueError, RecursionError) as broken:
        raise _unreadable(what, str(broken), reply) from broken
    if refused is not None:
        raise of_action(refused, what)
    if done is None:
        raise _unreadable(what, f"status {answer.status[:40]!r}", reply)
    statuses = done.data.statuses if done.data else []
    acks = [Ack(word=each) if isinstance(each, str) else each for each in statuses]
    if len(acks) == wanted or (len(acks) == 1 and acks[0].error is not None):
        return acks
    raise _unreadable(what, f"{len(acks)} states, not {wanted}", reply)


def _unreadable(what: str, why: str, reply: HttpReply) -> WireError:
    hint = f"Hyperliquid's answer to the {what} cannot be read: {why[:200]}"
    return WireError("UNREADABLE", hint, raw=reply.body[:_RAW_CHARS].decode("utf-8", "replace"))


def code_of(sentence: str) -> str:
    """Our code of a refusal; REFUSED for what has none."""
    text = _bare(sentence)
    code = next((code for words, code in _SENTENCES if text.startswith(words)), None)
    if code is not None:
        return code
    # The sentence for an action past its expiresAfter is in no recording; it will not do without this word.
    return "CLOCK_SKEW" if "expire" in text else "REFUSED"


def of_action(sentence: str, what: str) -> Refused | OutcomeUnknown:
    """A refusal in an answer with HTTP 200: the engine's own word, so nothing happened."""
    raw = sentence[:_RAW_CHARS]
    if _bare(sentence).startswith(_DUPLICATE_NONCE):
        # Our nonces never repeat. Whoever used this one may have been another copy of the very same request.
        return OutcomeUnknown("IN_DOUBT", f"Hyperliquid has seen the nonce of the {what} before.", raw=raw)
    return Refused(code_of(sentence), f"Hyperliquid refused the {what}.", raw=raw)


def of_reply(reply: HttpReply, what: str) -> Refused | OutcomeUnknown:
    """What an answer other than 200 to an action means."""
    raw = _plain_text(reply)
    if reply.status == 429:
        # Counted at the gate, before the request is worked on; so proven, whoever wrote the page.
        return Refused("RATE_LIMITED", f"Hyperliquid takes no more requests now (the {what} was not done).", raw=raw)
    # 422 is the venue's own word for a request that it could not parse, always in plain text. Any other page may
    # come from a gateway that had passed the action on.
    if 400 <= reply.status < 500 and reply.status not in _UNPROVEN_STATUSES and _own_words(raw):
        return Refused(code_of(raw), f"Hyperliquid refused the {what} (HTTP {reply.status}).", raw=raw)
    hint = f"Hyperliquid answered HTTP {reply.status}: the {what} may have arrived."
    return OutcomeUnknown("IN_DOUBT", hint, raw=raw)


def of_reading(reply: HttpReply) -> Refused | OutcomeUnknown:
    """What an answer other than 200 to a question means."""
    raw = _plain_text(reply)
    if reply.status == 422:
        return Refused("REFUSED", "Hyperliquid does not understand the question.", raw=raw)
    code = "RATE_LIMITED" if reply.status == 429 else "VENUE_UNAVAILABLE"
    return OutcomeUnknown(code, f"Hyperliquid gave no answer (HTTP {reply.status}).", raw=raw)


def needs_volume(refused: Refused) -> bool:
    """True for a dead-man's switch that the account may not use before it has traded 1,000,000 USD."""
    return _bare(refused.raw).startswith(_VOLUME)


def of_status(word: str, filled: bool, whole: bool) -> tuple[Status, str]:
    """
    ``(status, code)`` of an order's status word.

    Args:
        filled: Part of it was traded.
        whole: All of it was.

    Raises:
        LookupError: a word that belongs to no family.
    """
    if word in ("open", "triggered"):
        return (Status.PARTIALLY_FILLED if filled else Status.OPEN), ""
    if word == "filled":
        # An Ioc that traded in part is said to answer "filled", too; its rest is gone.
        return (Status.FILLED if whole else Status.CANCELLED), ""
    if word in _CANCELLED or word.endswith("Canceled"):
        return Status.CANCELLED, _ENDS.get(word, "")
    if word == "rejected" or word.endswith("Rejected"):
        # What has traded was live, whatever the word says.
        return (Status.CANCELLED if filled else Status.FAILED), _ENDS.get(word, "REFUSED")
    raise LookupError(f"status {word[:40]!r}")


def _bare(sentence: str) -> str:
    return sentence.strip().lower().removeprefix("l1 error: ")


def _own_words(raw: str) -> bool:
    return raw.lower().startswith("failed to deserialize") or code_of(raw) != "REFUSED"


def _plain_text(reply: HttpReply) -> str:
    text = reply.body[:_RAW_CHARS].decode("utf-8", "replace").strip()
    return text if text and text.isprintable() else f"HTTP {reply.status}"
