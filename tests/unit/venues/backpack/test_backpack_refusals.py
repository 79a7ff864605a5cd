import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venues.backpack import refusals
from venues.dialect import HttpReply
from venues.errors import CODES, OutcomeUnknown, Refused

FOLDER = Path(__file__).resolve().parents[4].parent / "shared" / "fixtures" / "backpack"
if not FOLDER.exists():
    pytest.skip("../shared with the recorded payloads is missing", allow_module_level=True)

ERRORS = json.loads((FOLDER / "errors.json").read_text())
WANTED = [
    "POST_ONLY_WOULD_CROSS",
    "PRECISION",
    "ORDER_NOT_FOUND",
    "PRICE_BAND",
    "CLOCK_SKEW",
    "INSUFFICIENT_MARGIN",
    "PRICE_BAND",
    "REFUSED",
    "REFUSED",
    "UNKNOWN_SYMBOL",
    "REFUSED",
    "AUTH",
    "REFUSED",
    "UNKNOWN_SYMBOL",
]


def _reply(status, code="", message="", text=None):
    body = text.encode() if text is not None else json.dumps({"code": code, "message": message}).encode()
    return HttpReply(status, body)


@pytest.mark.parametrize(("error", "wanted"), list(zip(ERRORS, WANTED, strict=True)), ids=range(len(ERRORS)))
def test_every_recorded_error_has_its_code(error, wanted):
    """[venue] Lines of live logs and client comments; a missing status is read as 400."""
    if "ws" in error or "ws_error" in error:
        inner = error["ws"]["error"] if "ws" in error else error["ws_error"]
        assert refusals.of_stream(inner["code"], inner["message"]) == wanted
        return
    body = error.get("body", {})
    reply = _reply(error["http"] or 400, body.get("code"), body.get("message"), error.get("text"))
    refused = refusals.of_order(reply)
    assert isinstance(refused, Refused)
    assert refused.code == wanted
    assert refused.raw in f"{body.get('code')} {body.get('message')}" + error.get("text", "")


@pytest.mark.parametrize(
    ("status", "code", "message", "wanted"),
    [
        (400, "INVALID_CLIENT_REQUEST", "Invalid signature", "AUTH"),
        (400, "INVALID_CLIENT_REQUEST", "Invalid X-Signature header", "AUTH"),
        (401, "UNAUTHORIZED", "", "AUTH"),
        (403, "FORBIDDEN", "no", "AUTH"),
        (400, "INVALID_CLIENT_REQUEST", "Invalid timestamp: must be within 10 minutes", "CLOCK_SKEW"),
        (400, "INVALID_CLIENT_REQUEST", "Price decimal too long", "PRECISION"),
        (400, "INVALID_CLIENT_REQUEST", "Quantity is below the minimum allowed value", "MIN_SIZE"),
        (400, "INVALID_QUANTITY", "", "MIN_SIZE"),
        (400, "INVALID_QUANTITY", "Quantity decimal too long", "PRECISION"),
        (400, "INVALID_ORDER", "Reduce only order not reduced", "REDUCE_ONLY"),
        (400, "INSUFFICIENT_MARGIN", "", "INSUFFICIENT_MARGIN"),
        (400, "MAX_LEVERAGE_REACHED", "", "INSUFFICIENT_MARGIN"),
        (404, "RESOURCE_NOT_FOUND", "Not Found", "ORDER_NOT_FOUND"),
        (429, "TOO_MANY_REQUESTS", "", "RATE_LIMITED"),
        (400, "ORDER_LIMIT", "", "RATE_LIMITED"),
        (400, "TRADING_PAUSED", "", "VENUE_UNAVAILABLE"),
        (412, "PRECONDITION_FAILED", "", "VENUE_UNAVAILABLE"),
        (400, "INVALID_SYMBOL", "", "UNKNOWN_SYMBOL"),
        (400, "ACCOUNT_LIQUIDATING", "", "REFUSED"),
        (400, "SOMETHING_NEW", "whatever", "REFUSED"),
    ],
)
def test_each_documented_refusal_has_its_code(status, code, message, wanted):
    """[venue] The Errors table of the sheet."""
    refused = refusals.of_order(_reply(status, code, message))
    assert isinstance(refused, Refused)
    assert refused.code == wanted


def test_missing_funds_are_a_balance_on_spot():
    """[ours] The venue has one word, our readers have two."""
    reply = _reply(400, "INSUFFICIENT_FUNDS", "Insufficient funds")
    assert refusals.of_order(reply, spot=True).code == "INSUFFICIENT_BALANCE"
    assert refusals.of_expiry("InsufficientFunds", spot=True) == "INSUFFICIENT_BALANCE"


@pytest.mark.parametrize(
    "reply",
    [
        _reply(202, text=""),
        _reply(200, text="not json"),
        _reply(301, text="moved"),
        _reply(500, "SERVER_ERROR", "oops"),
        _reply(502, text="<html>Bad gateway</html>"),
        _reply(503, "MAINTENANCE", "back soon"),
        _reply(504, text=""),
        _reply(400, "TIMEOUT", "took too long"),
        _reply(400, "SERVER_ERROR", ""),
        _reply(408, "ANY", "request timeout"),
        _reply(425, "TOO_EARLY", "too early"),
        _reply(403, text="<HTML><TITLE>ERROR: The request could not be satisfied</TITLE>"),
        _reply(400, text=""),
        _reply(400, text='{"error": "another shape"}'),
        _reply(400, text='{"code": 17, "message": null}'),
        HttpReply(400, b"\xff\xfe\x00"),
        HttpReply(400, b"[" * 100_000),
    ],
    ids=lambda reply: f"{reply.status} {reply.body[:20]!r}",
)
def test_what_does_not_prove_a_refusal_is_in_doubt(reply):
    """[ours] Doubt is never called failed."""
    doubt = refusals.of_order(reply)
    assert isinstance(doubt, OutcomeUnknown)
    assert doubt.code == "IN_DOUBT"
    assert isinstance(refusals.of_reading(reply), OutcomeUnknown)


def test_too_many_requests_proves_that_nothing_happened_even_as_a_page():
    """[venue] A 429 is counted at the gate."""
    refused = refusals.of_order(_reply(429, text="<html>slow down</html>"))
    assert isinstance(refused, Refused)
    assert refused.code == "RATE_LIMITED"
    assert refused.raw == "HTTP 429"


def test_plain_text_of_2024_still_tells_an_expired_request():
    """[venue] Before 2025 it was a 401 in plain text."""
    refused = refusals.of_reading(_reply(401, text="Request has expired"))
    assert isinstance(refused, Refused)
    assert refused.code == "CLOCK_SKEW"


def test_a_plain_page_not_found_does_not_prove_an_order_absent():
    """[ours] A wrong path answers 404 too; only the venue's own word counts."""
    assert refusals.of_reading(_reply(404, text="not found")).code == "VENUE_UNAVAILABLE"


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("PostOnlyTaker", "POST_ONLY_WOULD_CROSS"),
        ("PRICE_BAND", "PRICE_BAND"),
        ("PriceOutOfBounds", "PRICE_BAND"),
        ("PRICE_OUT_OF_BOUNDS", "PRICE_BAND"),
        ("ReduceOnlyNotReduced", "REDUCE_ONLY"),
        ("InsufficientMargin", "INSUFFICIENT_MARGIN"),
        ("ImmediateOrCancel", ""),
        ("FillOrKill", ""),
        ("SelfTradePrevention", "REFUSED"),
        ("Liquidation", "REFUSED"),
        ("Unknown", "REFUSED"),
        ("", "REFUSED"),
    ],
)
def test_an_expiry_reason_has_its_code_in_either_spelling(reason, code):
    """[venue] REST documents and stream sample spell reasons differently."""
    assert refusals.of_expiry(reason) == code


def test_all_codes_are_ours():
    """[ours] Every code that can come out has an explanation."""
    tables = (refusals._CODES, refusals._STATUSES, refusals._STREAM_CODES, refusals._EXPIRIES)
    made = {code for table in tables for code in table.values()} | {code for _, code in refusals._MESSAGES}
    assert made - {""} <= set(CODES)


@given(st.integers(100, 599), st.binary(max_size=80) | st.text(max_size=40).map(lambda t: t.encode()))
def test_no_answer_can_break_the_judge(status, body):
    """[ours] Whatever the bytes, a verdict comes out, and only a readable 4xx proves anything."""
    verdict = refusals.judge(HttpReply(status, body))
    assert verdict.code in CODES
    assert not verdict.proven or 400 <= status < 500
