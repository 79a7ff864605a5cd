import pytest

from tests.unit.venues.hyperliquid.hl_fixtures import body, load
from venues.dialect import HttpReply
from venues.errors import OutcomeUnknown, Refused, WireError
from venues.events import Status
from venues.hyperliquid import refusals

ERRORS = load("errors.json")
ACKS = load("order_ack.json")
RECORDED = [
    "AUTH",
    "AUTH",
    "AUTH",
    "IN_DOUBT",
    "RATE_LIMITED",
    "REFUSED",
    "INSUFFICIENT_MARGIN",
    "PRICE_BAND",
    "VENUE_UNAVAILABLE",
    "REFUSED",
]


def read(row):
    """What a recorded answer means to an order that got it."""
    if "body_text" in row:
        reply = HttpReply(row["http_status"], row["body_text"].encode())
    else:
        reply = HttpReply(200, body(row["response"]))
    try:
        (ack,) = refusals.acknowledged(reply, "order", 1)
    except (Refused, OutcomeUnknown) as told:
        return told
    return refusals.of_action(ack.error, "order")


@pytest.mark.parametrize(("row", "code"), list(zip(ERRORS, RECORDED, strict=True)))
def test_every_recorded_error_has_its_code_and_its_proof(row, code):
    """[venue] Refused, but for the duplicate nonce: that one may be our own request's second copy."""
    told = read(row)
    assert told.code == code
    assert isinstance(told, OutcomeUnknown if code == "IN_DOUBT" else Refused)
    assert told.raw


@pytest.mark.parametrize(
    ("sentence", "code"),
    [
        ("Insufficient margin to place order. asset=5", "INSUFFICIENT_MARGIN"),
        ("Insufficient spot balance asset=10156", "INSUFFICIENT_BALANCE"),
        ("Order has insufficient spot balance to trade", "INSUFFICIENT_BALANCE"),
        ("Order would cause position to exceed margin tier limit at current leverage", "INSUFFICIENT_MARGIN"),
        ("Price must be divisible by tick size. asset=5", "PRECISION"),
        ("Order has invalid price.", "PRECISION"),
        ("Order has invalid size.", "PRECISION"),
        ("Order has zero size.", "PRECISION"),
        ("Order must have minimum value of $10. asset=5", "MIN_NOTIONAL"),
        ("Order must have minimum value of 10 USDC.", "MIN_NOTIONAL"),
        ("Post only order would have immediately matched, bbo was 86759@86760.", "POST_ONLY_WOULD_CROSS"),
        ("Reduce only order would increase position. asset=5", "REDUCE_ONLY"),
        ("Order could not immediately match against any resting orders.", "REFUSED"),
        ("No liquidity available for market order.", "REFUSED"),
        ("Order price cannot be more than 95% away from the reference price", "PRICE_BAND"),
        ("Price too far from oracle", "PRICE_BAND"),
        ("Order was never placed, already canceled, or filled. asset=5", "ORDER_NOT_FOUND"),
        ("Must deposit before performing actions. User: 0x00", "AUTH"),
        ("Invalid nonce: nonce too low 5 < 6", "CLOCK_SKEW"),
        ("Only post-only orders allowed immediately after a network upgrade", "VENUE_UNAVAILABLE"),
        ("Something about expiresAfter having expired", "CLOCK_SKEW"),
        ("", "REFUSED"),
    ],
)
def test_the_sheets_sentences_have_their_codes(sentence, code):
    """[venue] By their beginning, with or without the asset behind."""
    assert refusals.code_of(sentence) == code
    assert refusals.code_of("L1 error: " + sentence) == code


@pytest.mark.parametrize(
    ("status", "text", "kind", "code"),
    [
        (429, b"null", Refused, "RATE_LIMITED"),
        (422, b"Failed to deserialize the JSON body into the target type", Refused, "REFUSED"),
        (403, b"<html>", OutcomeUnknown, "IN_DOUBT"),
        (400, b"what", OutcomeUnknown, "IN_DOUBT"),
        (408, b"Failed to deserialize", OutcomeUnknown, "IN_DOUBT"),
        (500, b"null", OutcomeUnknown, "IN_DOUBT"),
        (502, b"\xff\x00", OutcomeUnknown, "IN_DOUBT"),
    ],
)
def test_only_the_venues_own_word_proves_a_refusal(status, text, kind, code):
    """[ours] A gateway's page leaves an order in doubt."""
    told = refusals.of_reply(HttpReply(status, text), "order")
    assert (type(told), told.code) == (kind, code)
    assert told.raw.isprintable()


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [(422, Refused, "REFUSED"), (429, OutcomeUnknown, "RATE_LIMITED"), (503, OutcomeUnknown, "VENUE_UNAVAILABLE")],
)
def test_a_reading_that_failed_proves_nothing(status, kind, code):
    """[ours] Only a question that the venue does not understand is refused."""
    told = refusals.of_reading(HttpReply(status, b""))
    assert (type(told), told.code) == (kind, code)


def test_the_volume_rule_of_the_dead_mans_switch_is_recognised():
    """[venue] A fresh account may not use scheduleCancel."""
    assert refusals.needs_volume(read(ERRORS[5]))
    assert not refusals.needs_volume(read(ERRORS[4]))


@pytest.mark.parametrize(
    ("word", "filled", "whole", "status", "code"),
    [
        ("open", False, False, Status.OPEN, ""),
        ("open", True, False, Status.PARTIALLY_FILLED, ""),
        ("triggered", False, False, Status.OPEN, ""),
        ("filled", True, True, Status.FILLED, ""),
        ("filled", True, False, Status.CANCELLED, ""),
        ("canceled", True, False, Status.CANCELLED, ""),
        ("scheduledCancel", False, False, Status.CANCELLED, ""),
        ("marginCanceled", False, False, Status.CANCELLED, "INSUFFICIENT_MARGIN"),
        ("selfTradeCanceled", False, False, Status.CANCELLED, ""),
        ("reduceOnlyCanceled", False, False, Status.CANCELLED, "REDUCE_ONLY"),
        ("rejected", False, False, Status.FAILED, "REFUSED"),
        ("badAloPxRejected", False, False, Status.FAILED, "POST_ONLY_WOULD_CROSS"),
        ("iocCancelRejected", False, False, Status.FAILED, ""),
        ("iocCancelRejected", True, False, Status.CANCELLED, ""),
        ("perpMarginRejected", False, False, Status.FAILED, "INSUFFICIENT_MARGIN"),
        ("insufficientSpotBalanceRejected", False, False, Status.FAILED, "INSUFFICIENT_BALANCE"),
        ("tooAggressiveAtOpenInterestCapRejected", False, False, Status.FAILED, "REFUSED"),
    ],
)
def test_status_words_fall_into_their_families(word, filled, whole, status, code):
    """[venue] By their ending; what has traded is cancelled, never failed."""
    assert refusals.of_status(word, filled, whole) == (status, code)


def test_a_status_word_of_no_family_is_not_guessed():
    """[ours] It becomes Unreadable, and a look-up decides."""
    with pytest.raises(LookupError):
        refusals.of_status("resting?", False, False)


def test_every_recorded_acknowledgement_is_read_to_the_order():
    """[venue] resting, filled, error, bare words, success and default."""
    told = []
    for row in ACKS:
        states = row["response"]["response"].get("data", {}).get("statuses", [])
        acks = refusals.acknowledged(HttpReply(200, body(row["response"])), "order", len(states))
        told.append(
            [ack.error or ack.word or (ack.resting or ack.filled).oid for ack in acks],
        )
    assert told == [
        [77738308],
        [77747314],
        ["Order must have minimum value of $10."],
        [296683658818],
        [211341310459, "waitingForTrigger", "waitingForTrigger"],
        [12345677, 12345678],
        ["success"],
        ["Order was never placed, already canceled, or filled."],
        [],
    ]


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b'{"status":"ok"}', b'{"status":"maybe","response":"x"}', b'{"status":"err","response":{}}',
     b'{"status":"ok","response":{"type":"order","data":{"statuses":[]}}}', b"\xff"],
)  # fmt: skip
def test_an_answer_of_another_shape_is_a_wire_error(answer):
    """[ours] For a placement that means doubt, never a refusal."""
    with pytest.raises(WireError):
        refusals.acknowledged(HttpReply(200, answer), "order", 1)
