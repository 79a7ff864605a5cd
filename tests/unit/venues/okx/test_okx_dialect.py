import json

import msgspec
import pytest

from tests.unit.venues.okx.recorded import answer, fixture, instruments
from venues.dialect import HttpCall, HttpReply, OrderKey, PlaceOrder, WsText
from venues.errors import LocalRuleError, OutcomeUnknown, Refused, WireError
from venues.events import LineReady, Status
from venues.okx import make_dialect

VECTORS = fixture("auth_vectors.json")
KEYS = {"api_key": VECTORS["apiKey"], "api_secret": VECTORS["secret"], "passphrase": VECTORS["passphrase"]}
ACKS = fixture("order_ack.json")
ROWS = fixture("orders_rest.json")
CONFIG = fixture("account_config.json")["data"][0] | {"posMode": "net_mode"}
NOW_MS = 1_700_000_000_000
ORDER = PlaceOrder(symbol="BTC-USDT-SWAP", client_id=42, is_ask=False, size_i=25, price_i=900_000, post_only=True)
KEY = OrderKey(symbol="BTC-USDT-SWAP", client_id=42)
LIVE = ROWS["orders_pending_nautilus"]["data"][0] | {"clOrdId": "42"}
FILL = fixture("fills_rest.json")["data"][0] | {"instId": "BTC-USDT-SWAP", "fillSz": "0.25", "ordId": LIVE["ordId"]}
ABSENT = HttpReply(200, json.dumps(ACKS["query_not_found"]).encode())


def _ok(*rows):
    return HttpReply(200, answer(rows))


def _talk(talk, *replies):
    """Play a talk to its end; returns the calls and the result. Every reply must be used."""
    calls, waiting = [], list(replies)
    try:
        calls.append(next(talk))
        while True:
            calls.append(talk.send(waiting.pop(0)))
    except StopIteration as end:
        assert not waiting
        return calls, end.value


def _result(talk, *replies):
    return _talk(talk, *replies)[1]


def _prepared(level="2"):
    made = make_dialect(KEYS, {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1/ws/v5"})
    rows = instruments()
    swaps = [row for row in rows if row["instType"] == "SWAP"]
    spots = [row for row in rows if row["instType"] == "SPOT"]
    made.markets = _result(made.facts(), _ok(*swaps), _ok(*spots))
    assert made.unprepared
    _result(made.prepare(), _ok(CONFIG | {"acctLv": level}))
    assert not made.unprepared
    return made


@pytest.fixture
def dialect():
    return _prepared()


def _body(request):
    return json.loads(request.body if isinstance(request, HttpCall) else request.text)


# -- the account's mode


def test_an_account_in_long_short_mode_is_refused_by_name():
    """[venue] Two positions per market: our orders would need posSide."""
    with pytest.raises(Refused) as told:
        _result(_prepared().prepare(), _ok(CONFIG | {"posMode": "long_short_mode"}))
    assert told.value.code == "ACCOUNT_MODE"


def test_a_key_that_may_not_trade_is_refused_before_the_first_order():
    """[venue] perm tells."""
    with pytest.raises(Refused) as told:
        _result(_prepared().prepare(), _ok(CONFIG | {"perm": "read_only"}))
    assert told.value.code == "AUTH"


@pytest.mark.parametrize(
    ("level", "symbol", "mode"),
    [("1", "SOL-USDT", "cash"), ("2", "SOL-USDT", "cash"), ("3", "SOL-USDT", "cross"), ("4", "SOL-USDT", "cross"),
     ("2", "BTC-USDT-SWAP", "cross"), ("3", "BTC-USDT-SWAP", "cross")],
)  # fmt: skip
def test_the_trade_mode_follows_the_account(level, symbol, mode):
    """[venue] Swaps are cross; spot is cash in the modes 1 and 2."""
    request = _prepared(level).place(msgspec.structs.replace(ORDER, symbol=symbol, size_i=1000), NOW_MS, rest=True)
    assert _body(request)["tdMode"] == mode


def test_an_account_in_spot_mode_has_no_perps():
    """[venue] 51010 there; here nothing is sent."""
    with pytest.raises(LocalRuleError) as told:
        _prepared("1").place(ORDER, NOW_MS)
    assert told.value.code == "ACCOUNT_MODE"


# -- order entry


def test_orders_go_over_the_private_stream_by_number_and_over_rest_by_name(dialect):
    """[venue] instIdCode there, instId here; each request over the stream has an id of its own."""
    first, second = dialect.place(ORDER, NOW_MS), dialect.cancel(KEY, NOW_MS)
    assert (dialect.order_line("BTC-USDT-SWAP"), type(first), first.line) == ("private", WsText, "private")
    assert (_body(first)["args"][0]["instIdCode"], _body(first)["args"][0]["sz"]) == (10459, "0.25")
    assert (_body(first)["id"], _body(second)["id"]) == (first.request_id, second.request_id)
    assert first.request_id != second.request_id
    assert _body(dialect.place(ORDER, NOW_MS, rest=True))["instId"] == "BTC-USDT-SWAP"
    assert _body(dialect.cancel(KEY, NOW_MS, rest=True)) == {"instId": "BTC-USDT-SWAP", "clOrdId": "42"}


def test_a_market_without_a_number_takes_rest(dialect):
    """[venue] instIdCode may be null."""
    assert dialect.order_line("SOL-USDT") is None
    assert isinstance(dialect.place(msgspec.structs.replace(ORDER, symbol="SOL-USDT", size_i=1000), NOW_MS), HttpCall)


@pytest.mark.parametrize("code", ["51001", "50014"])
def test_a_market_whose_number_is_refused_takes_rest_from_then_on(dialect, code):
    """[venue] The demo venue refused its own published numbers in 2026-09."""
    told = answer([{"sCode": code, "sMsg": "x", "clOrdId": "42", "ordId": ""}], "1")
    with pytest.raises(Refused):
        dialect.read_placed(ORDER, HttpReply(200, told))
    assert dialect.order_line("BTC-USDT-SWAP") is None
    assert dialect.order_line("ETH-USDT-SWAP") == "private"


def test_a_success_is_taken_for_open_with_the_venues_id(dialect):
    """[venue] Text in sMsg is no error; the recorded acks of the documents and of ccxt."""
    for name in ("place", "place_live_capture_ccxt"):
        ack = ACKS[name]
        ack = {**ack, "data": [ack["data"][0] | {"clOrdId": "42"}]}
        (seen,) = dialect.read_placed(ORDER, HttpReply(200, json.dumps(ack).encode()))
        assert (seen.status, seen.venue_id, seen.client_id) == (Status.OPEN, ack["data"][0]["ordId"], 42)
        assert (seen.size_i, seen.price_i, seen.filled_i, seen.engine_us) == (25, 900_000, 0, 0)


@pytest.mark.parametrize(
    ("row", "code", "kind", "ours"),
    [
        ({"sCode": "51008", "subCode": "1001"}, "1", Refused, "INSUFFICIENT_MARGIN"),
        # Code 0 on top and a bad row: the row counts.
        ({"sCode": "51121"}, "0", Refused, "PRECISION"),
        ({"sCode": "51016"}, "1", Refused, "DUPLICATE_CLIENT_ID"),
        ({"sCode": "51149"}, "1", OutcomeUnknown, "IN_DOUBT"),
        ({"sCode": "0", "clOrdId": "43"}, "0", OutcomeUnknown, "IN_DOUBT"),
        ({"sCode": ""}, "1", OutcomeUnknown, "IN_DOUBT"),
    ],
)
def test_the_row_of_the_order_decides(dialect, row, code, kind, ours):
    """[venue] HTTP 200 is not success, and code 0 is not either."""
    told = {"clOrdId": "42", "ordId": "1", "sMsg": "words", **row}
    with pytest.raises(kind) as raised:
        dialect.read_placed(ORDER, HttpReply(200, answer([told], code)))
    assert raised.value.code == ours


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", answer([]), answer([{}, {}])])
def test_an_answer_without_one_row_leaves_the_order_in_doubt(dialect, body):
    """[ours] Nothing is proven by what cannot be read."""
    with pytest.raises(OutcomeUnknown):
        dialect.read_placed(ORDER, HttpReply(200, body))


def test_a_cancel_taken_is_no_end_and_one_too_late_is_not_found(dialect):
    """[venue] The recorded ack; 51400 for filled, cancelled and unknown alike."""
    assert dialect.read_cancelled(KEY, HttpReply(200, json.dumps(ACKS["cancel"]).encode())) == ()
    with pytest.raises(Refused) as told:
        dialect.read_cancelled(KEY, HttpReply(200, answer([{"sCode": "51400", "sMsg": "gone"}], "1")))
    assert told.value.code == "ORDER_NOT_FOUND"


def test_all_orders_of_a_market_are_cancelled_by_twenties(dialect):
    """[venue] There is no cancel-all; one that is gone already is what was wanted."""
    rows = [LIVE | {"ordId": str(number)} for number in range(1, 24)]
    gone = {"sCode": "51400", "sMsg": "gone"}
    calls, result = _talk(
        dialect.cancel_all("BTC-USDT-SWAP"),
        _ok(*rows),
        _ok(*[{"sCode": "0"}] * 20),
        HttpReply(200, answer([gone] * 3, "1")),
    )
    assert [len(json.loads(call.body)) for call in calls[1:]] == [20, 3]
    assert result == ()
    with pytest.raises(Refused):
        _result(dialect.cancel_all("BTC-USDT-SWAP"), _ok(LIVE), _ok({"sCode": "50061", "sMsg": "slow"}))


def test_the_countdown_is_armed_and_stopped_and_its_answer_checked(dialect):
    """[venue] The recorded answer; 0 stops it."""
    armed = _ok(ACKS["cancel_all_after"]["data"][0])
    calls, _ = _talk(dialect.dead_man("BTC-USDT-SWAP", 30), armed)
    assert json.loads(calls[0].body) == {"timeOut": "30", "tag": "rtBTCUSDTSWAP"}
    _result(dialect.dead_man("BTC-USDT-SWAP", 0), _ok({"triggerTime": "0", "ts": "1"}))
    with pytest.raises(WireError):
        _result(dialect.dead_man("BTC-USDT-SWAP", 0), armed)
    assert _talk(dialect.fence(KEY)) == ([], False)


# -- the doubt procedure


def test_one_reading_finds_an_order_open_or_ended(dialect):
    """[venue] GET by clOrdId."""
    seen = _result(dialect.look_up(KEY), _ok(LIVE))
    assert (seen.status, seen.size_i, seen.venue_id) == (Status.OPEN, 10, LIVE["ordId"])


def test_absent_needs_a_second_reading(dialect):
    """[ours] 51603, and a history that ends without it."""
    calls, seen = _talk(dialect.look_up(KEY), ABSENT, _ok(LIVE | {"clOrdId": "41", "state": "canceled"}))
    assert seen is None
    assert [call.path.split("?")[0][8:] for call in calls] == ["trade/order", "trade/orders-history"]
    assert _result(dialect.look_up(KEY), ABSENT, _ok(LIVE | {"state": "canceled"})).status is Status.CANCELLED


def test_a_history_is_read_back_to_the_orders_birth_and_no_further(dialect):
    """[ours] Full pages older than the order end the search; newer ones go on, five at most."""
    dialect.place(ORDER, NOW_MS)
    page = [LIVE | {"clOrdId": "1", "ordId": str(n), "cTime": str(NOW_MS), "state": "canceled"} for n in range(100)]
    old = [row | {"cTime": str(NOW_MS - 60_001)} for row in page]
    calls, seen = _talk(dialect.look_up(KEY), ABSENT, _ok(*page), _ok(*old))
    assert (seen, "after=99" in calls[2].path) == (None, True)
    with pytest.raises(OutcomeUnknown):
        _result(dialect.look_up(KEY), ABSENT, *[_ok(*page)] * 5)


@pytest.mark.parametrize("reply", [HttpReply(503, b""), HttpReply(401, b'{"code":"50113","msg":"Invalid Sign"}')])
def test_a_reading_that_fails_is_not_absence(dialect, reply):
    """[ours] Neither the first nor the second."""
    for replies in ([reply], [ABSENT, reply]):
        with pytest.raises((OutcomeUnknown, Refused)):
            _result(dialect.look_up(KEY), *replies)


def test_another_order_in_the_answer_is_a_wire_error(dialect):
    """[ours] Never taken for ours."""
    with pytest.raises(WireError):
        _result(dialect.look_up(KEY), _ok(LIVE | {"clOrdId": "43"}))


def test_the_trades_of_an_order_are_read_once_each_and_old_ones_from_further_back(dialect):
    """[venue] Three days first, then three months."""
    key = msgspec.structs.replace(KEY, venue_id=LIVE["ordId"])
    calls, fills = _talk(dialect.order_fills(key), _ok(FILL, FILL))
    assert (len(calls), [(fill.size_i, fill.client_id) for fill in fills]) == (1, [(25, 42)])
    calls, fills = _talk(dialect.order_fills(key), _ok(), _ok(FILL))
    assert "trade/fills-history?instType=SWAP" in calls[1].path
    assert len(fills) == 1
    assert _result(dialect.order_fills(KEY), ABSENT, _ok()) == ()


def test_recent_trades_end_where_they_are_older_than_asked(dialect):
    """[ours] Full pages are turned until then; markets that we do not know are left out."""
    since_ms = int(FILL["ts"]) - 1_000
    page = [FILL | {"tradeId": str(n), "billId": str(n)} for n in range(100)]
    old = [row | {"fillTime": str(since_ms - 1), "tradeId": f"9{row['tradeId']}"} for row in page]
    strange = FILL | {"instId": "BTC-USD-250926", "tradeId": "7777"}
    calls, fills = _talk(dialect.recent_fills(since_ms), _ok(*page[1:], strange), _ok(*old))
    assert (len(calls), len(fills)) == (2, 99)


# -- streams


def test_the_lines_are_a_private_and_a_public_one_with_text_pings(dialect):
    """[venue] Quiet streams are closed after 30 s."""
    private, public = dialect.lines()
    assert (private.private, private.needs_login, private.acks_subscriptions) == (True, True, True)
    assert (public.private, public.needs_login, public.acks_subscriptions) == (False, False, True)
    assert {line.ping_text for line in dialect.lines()} == {"ping"}
    assert max(line.ping_secs for line in dialect.lines()) < 30
    assert [_result(dialect.open_line(line.name)) for line in dialect.lines()] == ["ws/private", "ws/public"]


def test_the_login_frame_is_the_vectors(dialect):
    """[venue] On the private line only."""
    (vector,) = [each for each in VECTORS["vectors"] if each["name"] == "ws login"]
    assert [json.loads(text) for text in dialect.login("private", NOW_MS)] == [vector["frame"]]
    assert dialect.login("public", NOW_MS) == ()


def test_a_connection_subscribes_to_each_thing_once_and_is_ready_when_all_are_confirmed(dialect):
    """[ours] Watching one more market adds only that; a new connection begins anew."""
    dialect.login("public", NOW_MS)
    assert dialect.subscribe("public", (), NOW_MS) == ()
    (frame,) = dialect.subscribe("public", ("SOL-USDT",), NOW_MS)
    assert json.loads(frame)["args"] == [{"channel": "bbo-tbt", "instId": "SOL-USDT"}]
    (frame,) = dialect.subscribe("public", ("SOL-USDT", "BTC-USDT"), NOW_MS)
    assert json.loads(frame)["args"] == [{"channel": "bbo-tbt", "instId": "BTC-USDT"}]
    acks = [
        json.dumps({"event": "subscribe", "arg": {"channel": "bbo-tbt", "instId": symbol}})
        for symbol in ("SOL-USDT", "BTC-USDT")
    ]
    assert [dialect.decode("public", ack) for ack in acks] == [(), (LineReady(stage="subscribed"),)]
    dialect.login("public", NOW_MS)
    (frame,) = dialect.subscribe("public", ("SOL-USDT",), NOW_MS)
    assert len(json.loads(frame)["args"]) == 1


def test_the_private_line_has_orders_positions_and_account(dialect):
    """[venue] Every kind of instrument; asked once for a connection."""
    dialect.login("private", NOW_MS)
    (frame,) = dialect.subscribe("private", ("SOL-USDT",), NOW_MS)
    told = json.loads(frame)
    assert [arg["channel"] for arg in told["args"]] == ["orders", "positions", "account"]
    assert "id" not in told
    assert dialect.subscribe("private", ("SOL-USDT", "BTC-USDT"), NOW_MS) == ()


def test_an_unknown_market_is_told_before_anything_is_sent(dialect):
    """[ours] Placing and reading alike."""
    for ask in (
        lambda: dialect.place(msgspec.structs.replace(ORDER, symbol="X"), NOW_MS),
        lambda: _result(dialect.top_of_book("X")),
    ):
        with pytest.raises(LocalRuleError, match="UNKNOWN_SYMBOL"):
            ask()
