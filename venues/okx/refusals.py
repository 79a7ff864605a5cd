"""
What a "no" of OKX means: our stable code for it, and whether it proves that nothing happened.

Three shapes: a gateway's ``{"code", "msg"}`` with its HTTP status; HTTP 200 with a top-level code; and HTTP 200 with
code 0, 1 or 2 and the reason of each order in its own row (``sCode``). Codes decide, texts only help.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from venues.dialect import HttpReply
from venues.errors import OutcomeUnknown, Refused

_RAW_CHARS: Final = 300


def _spread(table: Mapping[str, str]) -> dict[str, str]:
    return {code: word for word, codes in table.items() for code in codes.split()}


_CODES: Final[Mapping[str, str]] = _spread(
    {
        "INSUFFICIENT_MARGIN": "51008 51119 51127 51131 51502 51736 54024 54025 54026 54027 54028 59200",
        "PRECISION": "51121",
        "MIN_SIZE": "51020 51007 51120 50122",
        # Limits of one order; 51105 and 51129 are those of the position that it would make.
        "MAX_SIZE": "51004 51005 51101 51105 51129 51185 51201 51202 51203",
        # Only an amendment is told so; a placement is taken, then cancelled (see end_of).
        "POST_ONLY_WOULD_CROSS": "51511",
        "REDUCE_ONLY": "51169 51170 51171 51112 51134 51205 51206 51139 51148 51133 51023 51521 51522",
        "RATE_LIMITED": "50011 50040 50061 51113 60014 60023",
        "AUTH": (
            "50030 50035 50100 50101 50103 50104 50105 50106 50107 50110 50111 50113 50114 50119 50120 50121 "
            "60005 60007 60009 60011 60024 60031 60032"
        ),
        # 50036 and 50037: the order's own expiry had passed when it arrived.
        "CLOCK_SKEW": "50102 50112 50036 50037 60004 60006",
        "ORDER_NOT_FOUND": "51603 51400 51401 51402 51405 51410 51503 51509 51510",
        "DUPLICATE_CLIENT_ID": "51016 51011",
        "PRICE_BAND": "51006 51031 51116 51122 51124 51135 51136 51137 51138 54084 54085",
        "UNKNOWN_SYMBOL": "51001 51002 51015",
        "ACCOUNT_MODE": "51010",
        "MARKET_CLOSED": "51021 51022 51027 51028 51507",
        "VENUE_UNAVAILABLE": "50001 50004 50005 50013 50026 50046 51029 51030 51149 63999 64007 64008",
    }
)
_PARAMETERS: Final = (
    # 51000 names the parameter. A price off the tick is documented nowhere; this is the likely word for it.
    ("parameter px", "PRECISION"),
    ("parameter sz", "PRECISION"),
    ("parameter posside", "ACCOUNT_MODE"),
    ("parameter tdmode", "ACCOUNT_MODE"),
    ("parameter instid", "UNKNOWN_SYMBOL"),
)

_UNPROVEN: Final = frozenset(
    {
        # The documents say of these two that the request may have succeeded.
        "50004",
        "51149",
        # Overload and failures inside: said by whoever gave up first, the engine may have the order all the same.
        "50001",
        "50013",
        "50026",
        "64007",
        # "Repeated request": whatever it repeats was taken.
        "50042",
        # "Cancellation timed out".
        "51412",
    }
)
_LENGTH: Final = 5
"""Each of the venue's numbers that says no is so long, and begins with 5 or 6."""
# Request Timeout, Too Early: the answer came from in front of the engine and says nothing about it.
_UNPROVEN_STATUSES: Final = frozenset({408, 425})
# The code of these is in the rows: all failed, some failed.
_IN_ROWS: Final = frozenset({"0", "1", "2"})

_ENDS: Final[Mapping[str, str]] = _spread(
    {
        "INSUFFICIENT_MARGIN": "2 3 6",
        "PRICE_BAND": "15 27",
        "REDUCE_ONLY": "17 21 22 23",
        "POST_ONLY_WOULD_CROSS": "31",
    }
)


class Row(msgspec.Struct, rename="camel"):
    """What became of one order of a request."""

    s_code: str = ""
    s_msg: str = ""
    sub_code: str = ""
    ord_id: str = ""
    cl_ord_id: str = ""
    ts: str = ""


class _Body(msgspec.Struct):
    code: str
    msg: str = ""
    data: list[Row] = []


class Verdict(NamedTuple):
    """``proven``: nothing happened, for certain. ``raw``: the venue's own words, short. ``venue_code``: its number."""

    proven: bool
    code: str
    raw: str
    venue_code: str


_BODY: Final = msgspec.json.Decoder(_Body)


def rows_of(reply: HttpReply) -> list[Row] | None:
    """The rows of an answer to order requests; None when it has none, or is no answer of the venue."""
    try:
        body = _BODY.decode(reply.body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return body.data if reply.status == 200 and body.code in _IN_ROWS and body.data else None


def judge(reply: HttpReply, *, spot: bool = False) -> Verdict:
    """Read an answer that is a "no" as a whole. Never raises, whatever the bytes."""
    try:
        body = _BODY.decode(reply.body)
        venue_code, text, taken = body.code, body.msg, any(row.s_code == "0" for row in body.data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        venue_code, text, taken = "", "", False
    raw = f"{venue_code} {text}".strip()[:_RAW_CHARS] or f"HTTP {reply.status}"
    code = code_of(venue_code, text, spot=spot)
    if reply.status == 429 and venue_code != "50013":
        # Counted at the gate, before the request is worked on; so proven, whoever wrote the page.
        return Verdict(True, "RATE_LIMITED", raw, venue_code)
    proven = (
        reply.status < 500
        and reply.status not in _UNPROVEN_STATUSES
        # A CDN's page has no code; code 0 or 1 without a row says nothing about the order.
        and _says_no(venue_code)
        and not taken
    )
    return Verdict(proven, code, raw, venue_code)


def judge_row(row: Row, *, spot: bool = False) -> Verdict:
    """Read the row of one order that did not succeed."""
    number = f"{row.s_code}/{row.sub_code}" if row.sub_code else row.s_code
    raw = f"{number} {row.s_msg}".strip()[:_RAW_CHARS]
    return Verdict(_says_no(row.s_code), code_of(row.s_code, row.s_msg, spot=spot), raw, row.s_code)


def _says_no(venue_code: str) -> bool:
    """Proof that nothing happened: one of the venue's own numbers, and none of those that leave it open."""
    return len(venue_code) == _LENGTH and venue_code[0] in "56" and venue_code not in _UNPROVEN


def code_of(venue_code: str, text: str, *, spot: bool = False) -> str:
    """Our code of one of the venue's numbers."""
    if venue_code == "51000":
        lower = text.lower()
        return next((word for start, word in _PARAMETERS if start in lower), "REFUSED")
    word = _CODES.get(venue_code, "REFUSED")
    # The venue has one number for both.
    return "INSUFFICIENT_BALANCE" if spot and word == "INSUFFICIENT_MARGIN" else word


def of_order(verdict: Verdict, what: str = "order") -> Refused | OutcomeUnknown:
    """What a "no" to a placement or a cancel means."""
    if verdict.proven:
        return Refused(verdict.code, f"OKX refused the {what}.", raw=verdict.raw)
    return OutcomeUnknown("IN_DOUBT", f"OKX's answer does not say what became of the {what}.", raw=verdict.raw)


def of_reading(reply: HttpReply) -> Refused | OutcomeUnknown:
    """What a "no" to a question means."""
    verdict = judge(reply)
    if verdict.proven:
        return Refused(verdict.code, f"OKX refused to answer (HTTP {reply.status}).", raw=verdict.raw)
    return OutcomeUnknown("VENUE_UNAVAILABLE", f"OKX gave no answer (HTTP {reply.status}).", raw=verdict.raw)


def of_stream(code: str) -> str:
    """Our code of an ``event: error`` on a stream."""
    return _CODES.get(code, "REFUSED")


def end_of(cancel_source: str, reason: str) -> tuple[str, str]:
    """
    ``(reason, code)`` of a cancelled order; the code is empty for an end that the order or we asked for: 1 user,
    13 fill-or-kill, 14 immediate-or-cancel, 20 our own countdown, 32 our own other order.
    """
    if not cancel_source:
        return reason, ""
    words = f"cancelSource {cancel_source}" + (f": {reason}" if reason else "")
    return words, _ENDS.get(cancel_source, "")
