import json

import pytest

from tests.unit.venues.okx.recorded import fixture, lines
from venues.dialect import HttpReply
from venues.errors import CODES, OutcomeUnknown, Refused
from venues.okx import refusals

ACKS = fixture("order_ack.json")
CODE_TABLE = fixture("error_codes.json")
# The sheet's table of errors, where it gives a code of ours.
SHEET = {
    "INSUFFICIENT_MARGIN": "51008 51119 51127 51131 51502 51736 54024 54025 54026 54027 54028 59200",
    "PRECISION": "51121",
    "MIN_SIZE": "51020 51007 51120 50122",
    "POST_ONLY_WOULD_CROSS": "51511",
    "REDUCE_ONLY": "51169 51170 51171 51112 51205 51206 51139 51148 51133 51023 51521 51522",
    "RATE_LIMITED": "50011 50061 51113 60014 60023",
    "AUTH": "50100 50101 50103 50104 50105 50106 50107 50110 50111 50113 50114 50119 50120 50121 "
    "60005 60007 60009 60011 60024 60031 60032",
    "CLOCK_SKEW": "50102 50112 60004 60006",
    "ORDER_NOT_FOUND": "51603 51400 51401 51402 51503 51509 51510 51405 51410",
    "DUPLICATE_CLIENT_ID": "51016 51011",
    "PRICE_BAND": "51006 51116 51122 51135 51136 51137 51138 51031 54084 54085",
    "VENUE_UNAVAILABLE": "50001 50004 50005 50013 50026 51149 51029 51030 64007 64008 63999",
}


def _reply(value, status=200):
    return HttpReply(status, json.dumps(value).encode())


@pytest.mark.parametrize("ours", list(SHEET))
def test_the_sheets_table_is_ours(ours):
    """[venue] Every code of the sheet leads to the word that the sheet gives it."""
    assert {refusals.code_of(code, "") for code in SHEET[ours].split()} == {ours}


@pytest.mark.parametrize("row", CODE_TABLE["rest"], ids=lambda row: f"{row['code']}-{row['http']}-{row['sub']}")
def test_every_documented_rest_code_is_judged(row):
    """[venue] As a gateway's answer: one of our words, the venue's own beside it, and doubt only where it is due."""
    verdict = refusals.judge(_reply({"code": row["code"], "msg": row["msg"]}, row["http"]))
    assert verdict.code in CODES
    assert verdict.raw.startswith(row["code"])
    doubtful = {"0", "1", "2", "50001", "50004", "50013", "50026", "50042", "51149", "51412"}
    assert verdict.proven is (row["code"] not in doubtful)


@pytest.mark.parametrize(
    "row", [row for row in CODE_TABLE["rest"] if int(row["code"]) > 50_000], ids=lambda r: r["code"]
)
def test_every_documented_code_of_one_order_is_judged(row):
    """[venue] The same number in a row: the same word."""
    verdict = refusals.judge_row(refusals.Row(s_code=row["code"], s_msg=row["msg"], sub_code=row["sub"] or ""))
    assert verdict.code == refusals.code_of(row["code"], row["msg"])
    if row["sub"]:
        assert verdict.raw.startswith(f"{row['code']}/{row['sub']}")


@pytest.mark.parametrize("row", [row for row in CODE_TABLE["ws"] if row["kind"] == "event"], ids=lambda r: r["code"])
def test_every_documented_stream_error_has_a_word(row):
    """[venue] Login and subscription errors."""
    assert refusals.of_stream(row["code"]) in CODES


def test_the_recorded_refusals_of_an_order_are_read_from_their_row():
    """[venue] Code 1 on top says nothing; 51121 and 51119 in the row do."""
    (lot,) = refusals.rows_of(_reply(ACKS["rejected_live_capture_51121"]))
    (funds,) = refusals.rows_of(_reply(ACKS["rejected_51119_ccxt_comment"]))
    assert refusals.judge_row(lot)[:2] == (True, "PRECISION")
    assert refusals.judge_row(funds)[:2] == (True, "INSUFFICIENT_MARGIN")
    assert refusals.judge_row(funds, spot=True).code == "INSUFFICIENT_BALANCE"


def test_the_recorded_answer_for_an_unknown_order_is_not_found():
    """[venue] HTTP 200, code 51603."""
    told = refusals.of_reading(_reply(ACKS["query_not_found"]))
    assert (type(told), told.code) == (Refused, "ORDER_NOT_FOUND")


def test_the_recorded_answers_of_the_stream_are_read():
    """[venue] Refused rows, malformed requests, and the capture of 2026-01 without instIdCode."""
    recorded = [HttpReply(200, line.encode()) for line in lines("ws_order_ops.jsonl")]
    for place in (2, 6):
        (row,) = refusals.rows_of(recorded[place])
        assert refusals.judge_row(row)[:2] == (True, "REFUSED")
    for place in (3, 7, 11):
        assert refusals.rows_of(recorded[place]) is None
        assert refusals.judge(recorded[place])[:2] == (True, "REFUSED")
    (amended,) = refusals.rows_of(recorded[10])
    assert refusals.judge_row(amended)[:2] == (True, "INSUFFICIENT_MARGIN")
    (code,) = refusals.rows_of(recorded[12])
    assert refusals.judge_row(code).venue_code == "50014"


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("Parameter px error", "PRECISION"),
        ("Parameter sz error", "PRECISION"),
        ("Parameter posSide error", "ACCOUNT_MODE"),
        ("Parameter tdMode error", "ACCOUNT_MODE"),
        ("Parameter instId error", "UNKNOWN_SYMBOL"),
        ("Parameter clOrdId error", "REFUSED"),
        ("", "REFUSED"),
    ],
)
def test_a_parameter_error_is_told_by_its_parameter(text, ours):
    """[venue] 51000 is one number for all."""
    assert refusals.code_of("51000", text) == ours


@pytest.mark.parametrize(
    ("status", "body", "proven", "ours"),
    [
        (401, b'{"msg":"Invalid Sign","code":"50113"}', True, "AUTH"),
        (429, b"<html>", True, "RATE_LIMITED"),
        (429, b'{"code":"50011","msg":"Too Many Requests"}', True, "RATE_LIMITED"),
        (429, b'{"code":"50013","msg":"Systems are busy."}', False, "VENUE_UNAVAILABLE"),
        (403, b"<html>blocked</html>", False, "REFUSED"),
        (408, b'{"code":"50011","msg":""}', False, "RATE_LIMITED"),
        (502, b"Bad Gateway", False, "REFUSED"),
        (500, b'{"code":"51121","msg":""}', False, "PRECISION"),
        (200, b'{"code":"0","data":[],"msg":""}', False, "REFUSED"),
        (200, b'{"code":"1","data":[],"msg":"All operations failed"}', False, "REFUSED"),
        (200, b"", False, "REFUSED"),
    ],
)
def test_doubt_is_kept_wherever_the_venue_itself_did_not_say_no(status, body, proven, ours):
    """[ours] A page of somebody else, a 5xx and an empty success prove nothing."""
    verdict = refusals.judge(HttpReply(status, body))
    assert verdict[:2] == (proven, ours)
    told = refusals.of_order(verdict)
    assert isinstance(told, Refused if proven else OutcomeUnknown)
    assert proven or told.code == "IN_DOUBT"


@pytest.mark.parametrize(
    ("source", "ours"),
    [("31", "POST_ONLY_WOULD_CROSS"), ("1", ""), ("14", ""), ("20", ""), ("32", ""), ("27", "PRICE_BAND"), ("", "")],
)
def test_a_cancel_source_leads_to_a_word_only_where_it_is_a_refusal(source, ours):
    """[venue] What we or the order asked for has none."""
    assert refusals.end_of(source, "why")[1] == ours
