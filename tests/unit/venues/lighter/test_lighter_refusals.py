"""Each "no" of Lighter: our code, and whether it proves that nothing happened."""

import json

import pytest

from tests.unit.venues.lighter.payloads import load, needed
from venues.dialect import HttpReply
from venues.errors import CODES, OutcomeUnknown, Refused
from venues.lighter import refusals


def reply(status, value):
    return HttpReply(status, value if isinstance(value, bytes) else json.dumps(value).encode())


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        (21739, "INSUFFICIENT_MARGIN"),
        (21507, "INSUFFICIENT_MARGIN"),
        (21508, "INSUFFICIENT_MARGIN"),
        (21723, "INSUFFICIENT_MARGIN"),
        (21701, "PRECISION"),
        (21702, "PRECISION"),
        (21706, "MIN_SIZE"),
        (21732, "REDUCE_ONLY"),
        (21738, "REDUCE_ONLY"),
        (21740, "REDUCE_ONLY"),
        (23000, "RATE_LIMITED"),
        (23004, "RATE_LIMITED"),
        (30009, "RATE_LIMITED"),
        (30010, "RATE_LIMITED"),
        (21506, "RATE_LIMITED"),
        (21120, "AUTH"),
        (21108, "AUTH"),
        (21136, "AUTH"),
        (21109, "AUTH"),
        (21110, "AUTH"),
        (21100, "AUTH"),
        (21102, "AUTH"),
        (20013, "AUTH"),
        (21711, "CLOCK_SKEW"),
        (21600, "ORDER_NOT_FOUND"),
        (21700, "ORDER_NOT_FOUND"),
        (21708, "ORDER_NOT_FOUND"),
        (21709, "ORDER_NOT_FOUND"),
        (21715, "ORDER_NOT_FOUND"),
        (21728, "DUPLICATE_CLIENT_ID"),
        (21727, "CLIENT_ID_RANGE"),
        (21733, "PRICE_BAND"),
        (21734, "PRICE_BAND"),
        (21735, "PRICE_BAND"),
        (21605, "MARKET_CLOSED"),
        (21602, "UNKNOWN_SYMBOL"),
        (21104, "REFUSED"),
        (21505, "REFUSED"),
    ],
)
def test_a_code_of_the_gate_is_a_refusal_with_our_code(code, ours):
    """[venue] The sheet's table; HTTP 400 with a number proves that nothing was queued."""
    error = refusals.of_transaction(reply(400, {"code": code, "message": "words"}))
    assert isinstance(error, Refused)
    assert (error.code, error.raw) == (ours, f"{code} words")


@needed
def test_every_documented_code_has_one_of_ours():
    """[venue] All 239 numbers: never an unknown code of ours, and 29500/29501 prove nothing."""
    known = load("error_codes.json")
    assert len(known) == 239
    for code, message in known.items():
        error = refusals.of_transaction(reply(400, {"code": int(code), "message": message}))
        assert error.code in CODES
        assert isinstance(error, OutcomeUnknown) == (code in ("29500", "29501"))


@needed
def test_the_recorded_answers():
    """[venue] Both yes and both no; the nonce class is its own."""
    recorded = load("send_tx.json")
    for name in ("http_ok", "http_ok_as_modelled_by_nautilus_test_server"):
        assert refusals.is_done(reply(200, recorded[name]))
    signature, nonce = (reply(400, each) for each in recorded["http_refused_status_400"])
    assert refusals.of_transaction(signature).code == "AUTH"
    assert refusals.is_nonce(refusals.word_of(nonce.body))
    assert not refusals.is_nonce(refusals.word_of(signature.body))


def test_an_older_server_says_invalid_nonce_in_words():
    """[venue] {"code": 400, "message": "invalid nonce"}: proven, and about the nonce."""
    old = reply(400, {"code": 400, "message": "invalid nonce"})
    assert refusals.judge(old).proven
    assert refusals.is_nonce(refusals.word_of(old.body))


def test_a_code_other_than_200_inside_an_http_200_is_a_no():
    """[client] ccxt goes by the code, whatever the status."""
    assert not refusals.is_done(reply(200, {"code": 21739, "message": "m"}))
    assert refusals.judge(reply(200, {"code": 21739, "message": "m"})).proven


@pytest.mark.parametrize(
    ("status", "value"),
    [
        (500, {"code": 21739, "message": "m"}),
        (502, b"<html>bad gateway</html>"),
        (400, b"<html>"),
        (400, {"code": 29500, "message": "internal server error"}),
        (400, {"code": 29501, "message": "process timeout"}),
        (400, {"message": "no code"}),
        (408, {"code": 21739, "message": "m"}),
        (200, b""),
        (200, b"{"),
        (200, {"tx_hash": "ab"}),
        (404, b"[" * 50_000),
    ],
)
def test_what_proves_nothing_is_in_doubt(status, value):
    """[ours] 5xx, pages without a code, a server that gave up, answers that cannot be read."""
    error = refusals.of_transaction(reply(status, value))
    assert isinstance(error, OutcomeUnknown)
    assert error.code == "IN_DOUBT"


def test_a_429_is_counted_at_the_gate_whoever_wrote_it():
    """[venue] RATE_LIMITED and proven; a reading says so as well."""
    assert refusals.judge(reply(429, b"slow down")) == (True, "RATE_LIMITED", "HTTP 429")
    assert isinstance(refusals.of_reading(reply(429, {"code": 23000, "message": "m"})), Refused)


def test_spot_has_too_few_coins_and_not_too_little_margin():
    """[ours] The venue has one word for both."""
    no = reply(400, {"code": 21739, "message": "not enough margin to create the order"})
    assert refusals.of_transaction(no, spot=True).code == "INSUFFICIENT_BALANCE"
    assert refusals.of_end("canceled-invalid-balance", traded=False, spot=True)[1] == "INSUFFICIENT_BALANCE"


def test_an_unknown_end_is_no_end():
    """[ours] A word that no document has raises, and becomes Unreadable."""
    with pytest.raises(KeyError):
        refusals.of_end("canceled-by-moon", traded=False)
