"""What each "no" means: the sheet's table, every recorded error, and what proves nothing."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venues.binance import refusals
from venues.dialect import HttpReply, PlaceOrder
from venues.errors import CODES, OutcomeUnknown, Refused
from venues.events import MarketFacts, Status

FIXTURES = Path(__file__).resolve().parents[4].parent / "shared" / "fixtures" / "binance"
MARKET = MarketFacts(
    *(), symbol="SOLUSDT", base="SOL", quote="USDT", kind="spot", price_decimals=2, size_decimals=3, tick_i=1, lot_i=2,
    min_size_i=10, max_size_i=1000,
)  # fmt: skip


def order(size_i=100):
    return PlaceOrder(symbol="SOLUSDT", client_id=1, is_ask=False, size_i=size_i, price_i=14000)


def said(code, text="", status=400):
    return HttpReply(status, json.dumps({"code": code, "msg": text}).encode())


RECORDED = {
    "REST error shape": "UNKNOWN_SYMBOL",
    "auth": "AUTH",
    "order rate": "RATE_LIMITED",
    "not found": "ORDER_NOT_FOUND",
    "unknown order on cancel": "ORDER_NOT_FOUND",
    "min notional (futures)": "MIN_NOTIONAL",
    "post only (futures)": "POST_ONLY_WOULD_CROSS",
    "margin (futures)": "INSUFFICIENT_MARGIN",
    "reduce only (futures)": "REDUCE_ONLY",
}


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="../shared/fixtures/binance is not beside this checkout")
def test_every_recorded_error_is_a_proven_refusal_with_its_code():
    """[venue] 4xx with the venue's JSON: nothing happened, and the words are kept."""
    rows = json.loads((FIXTURES / "errors.json").read_text())
    assert {row["kind"] for row in rows} == set(RECORDED)
    for row in rows:
        reply = HttpReply(row["http"], json.dumps(row["payload"]).encode())
        refused = refusals.of_order(reply, order=order(), market=MARKET)
        assert isinstance(refused, Refused)
        assert refused.code == RECORDED[row["kind"]]
        assert row["payload"]["msg"] in refused.raw


@pytest.mark.parametrize(
    ("number", "text", "code"),
    [
        *((n, "", "INSUFFICIENT_MARGIN") for n in (-2018, -2019, -2027, -2028, -4050, -4051)),
        (-2010, "Account has insufficient balance for requested action.", "INSUFFICIENT_BALANCE"),
        *((n, "", "PRECISION") for n in (-1111, -4014, -4023)),
        (-1013, "Filter failure: PRICE_FILTER", "PRECISION"),
        (-1013, "Filter failure: NOTIONAL", "MIN_NOTIONAL"),
        (-1013, "Filter failure: MIN_NOTIONAL", "MIN_NOTIONAL"),
        (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE", "PRICE_BAND"),
        (-1013, "Invalid quantity.", "REFUSED"),
        *((n, "", "MIN_SIZE") for n in (-4003, -4004)),
        (-4005, "", "MAX_SIZE"),
        (-4164, "", "MIN_NOTIONAL"),
        (-5022, "", "POST_ONLY_WOULD_CROSS"),
        (-2010, "Order would immediately match and take.", "POST_ONLY_WOULD_CROSS"),
        *((n, "", "REDUCE_ONLY") for n in (-2022, -4118, -4062, -2026)),
        *((n, "", "RATE_LIMITED") for n in (-1003, -1015)),
        *((n, "", "AUTH") for n in (-1022, -2014, -2015, -1002, -4056, -1099)),
        *((n, "", "CLOCK_SKEW") for n in (-1021, -5028)),
        *((n, "", "PRICE_BAND") for n in (-4016, -4024, -4131, -4002, -4013)),
        (-4061, "", "ACCOUNT_MODE"),
        (-1102, "", "REFUSED"),
        (-1008, "", "VENUE_UNAVAILABLE"),
    ],
)
def test_each_code_of_the_sheet_refuses_with_ours(number, text, code):
    """[venue] The code decides, and the text where one code means many things."""
    refused = refusals.of_order(said(number, text), order=order(), market=MARKET)
    assert (type(refused), refused.code) == (Refused, code)


@pytest.mark.parametrize(("size_i", "code"), [(8, "MIN_SIZE"), (2000, "MAX_SIZE"), (101, "PRECISION")])
@pytest.mark.parametrize("name", ["LOT_SIZE", "MARKET_LOT_SIZE"])
def test_a_lot_filter_is_told_apart_by_the_size_that_was_sent(size_i, code, name):
    """[venue] Spot has one word for too small, too large and off the step."""
    refused = refusals.of_order(said(-1013, f"Filter failure: {name}"), order=order(size_i), market=MARKET)
    assert refused.code == code


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"code":-1001,"msg":"x"}', b'{"code":-2019,"msg":"x"}'])
def test_a_5xx_proves_nothing_whatever_it_says(status, body):
    """[venue] 503 means that the outcome is unknown; no gateway's page is better evidence."""
    doubt = refusals.of_order(HttpReply(status, body), order=order(), market=MARKET)
    assert (type(doubt), doubt.code) == (OutcomeUnknown, "IN_DOUBT")
    assert isinstance(refusals.of_reading(HttpReply(status, body)), OutcomeUnknown)


@pytest.mark.parametrize("number", [-1000, -1001, -1006, -1007, -1016])
def test_words_of_a_venue_that_gave_up_waiting_prove_nothing_at_any_status(number):
    """[venue] The WebSocket API may say them with another status."""
    assert isinstance(refusals.of_order(said(number), order=order(), market=MARKET), OutcomeUnknown)


@pytest.mark.parametrize(
    "reply", [HttpReply(403, b"<html>WAF"), HttpReply(400, b"{}"), HttpReply(408, b""), HttpReply(200, b"x")]
)
def test_a_page_that_is_not_the_venues_own_proves_nothing(reply):
    """[ours] The firewall's page, a proxy's, or JSON of another shape."""
    assert isinstance(refusals.of_order(reply, order=order(), market=MARKET), OutcomeUnknown)


@pytest.mark.parametrize("status", [418, 429])
def test_a_limit_is_counted_at_the_gate_so_it_proves(status):
    """[venue] Whoever wrote the page: the request was not worked on."""
    refused = refusals.of_order(HttpReply(status, b""), order=order(), market=MARKET)
    assert (type(refused), refused.code) == (Refused, "RATE_LIMITED")


@pytest.mark.parametrize(
    ("number", "text"), [(-4116, "ClientOrderId is duplicated."), (-2010, "Duplicate order sent.")]
)
def test_a_duplicate_client_id_is_looked_up_and_not_believed(number, text):
    """[ours] An id is sent once: who has it already may be the first copy of this very request."""
    doubt = refusals.of_order(said(number, text), order=order(), market=MARKET)
    assert (type(doubt), doubt.code) == (OutcomeUnknown, "DUPLICATE_CLIENT_ID")


def test_a_cancel_that_was_restricted_is_not_a_missing_order():
    """[venue] -2011 has two texts, and under one of them the order lives on."""
    assert refusals.of_order(said(-2011, "Unknown order sent.")).code == "ORDER_NOT_FOUND"
    assert refusals.of_order(said(-2011, "Order was not canceled due to cancel restrictions.")).code == "REFUSED"


def test_listen_keys_and_subscriptions_have_codes_of_their_own():
    """[venue] -1125: ask for a new key; -2035: the events come already."""
    assert refusals.listen_key_is_dead(said(-1125, "This listenKey does not exist."))
    assert not refusals.listen_key_is_dead(HttpReply(200, b"{}"))
    assert refusals.subscribed_already(said(-2035))
    assert not refusals.subscribed_already(said(-2015))


@pytest.mark.parametrize(
    ("word", "tif", "filled", "reduce_only", "status", "code"),
    [
        ("NEW", "GTC", 0, False, Status.OPEN, ""),
        ("PENDING_NEW", "GTC", 0, False, Status.OPEN, ""),
        ("NEW_INSURANCE", "GTC", 0, False, Status.OPEN, ""),
        ("NEW_ADL", "GTC", 0, False, Status.OPEN, ""),
        ("PARTIALLY_FILLED", "GTC", 1, False, Status.PARTIALLY_FILLED, ""),
        ("FILLED", "GTC", 1, False, Status.FILLED, ""),
        ("CANCELED", "GTX", 0, False, Status.CANCELLED, ""),
        ("EXPIRED", "IOC", 0, False, Status.CANCELLED, ""),
        ("EXPIRED_IN_MATCH", "GTX", 0, False, Status.CANCELLED, ""),
        ("EXPIRED", "GTX", 0, False, Status.FAILED, "POST_ONLY_WOULD_CROSS"),
        ("EXPIRED", "GTX", 1, False, Status.CANCELLED, ""),
        ("EXPIRED", "GTX", 0, True, Status.CANCELLED, ""),
        ("REJECTED", "GTC", 0, False, Status.FAILED, "REFUSED"),
        ("REJECTED", "GTX", 0, False, Status.FAILED, "POST_ONLY_WOULD_CROSS"),
    ],
)
def test_each_state_of_the_sheet_has_ours(word, tif, filled, reduce_only, status, code):
    """[venue] FAILED only for what was never live."""
    got, reason, ours = refusals.state_of(word, tif, filled, reduce_only, "")
    assert (got, ours) == (status, code)
    assert bool(reason) == (word.startswith("EXPIRED") or word == "REJECTED")


def test_a_state_that_no_document_has_is_told():
    """[ours] Guessing a state would be worse than not reading it."""
    with pytest.raises(KeyError):
        refusals.state_of("HALFWAY", "GTC", 0, False, "")


@given(status=st.integers(100, 599), body=st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_no_answer_breaks_the_judge(status, body):
    """[ours] Whatever the bytes, a verdict with a known code comes back."""
    verdict = refusals.judge(HttpReply(status, body))
    assert verdict.code in CODES
    assert not verdict.proven or 400 <= status < 500
