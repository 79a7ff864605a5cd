import json
from pathlib import Path

import pytest

from venues.backpack import make_dialect
from venues.backpack.facts import read_markets
from venues.dialect import HttpReply, OrderKey, PlaceOrder
from venues.errors import LocalRuleError, OutcomeUnknown, Refused, WireError
from venues.events import BookSeen, LineRefused, Status

FOLDER = Path(__file__).resolve().parents[4].parent / "shared" / "fixtures" / "backpack"
if not FOLDER.exists():
    pytest.skip("../shared with the recorded payloads is missing", allow_module_level=True)

SIGNING = json.loads((FOLDER / "signing_vectors.json").read_text())
ACKS = json.loads((FOLDER / "order_ack.json").read_text())
ROW = ACKS["GET /api/v1/order by orderId, same order"]
HISTORY = json.loads((FOLDER / "order_history.json").read_text())["body"][0]
FILL = json.loads((FOLDER / "fills.json").read_text())[0] | {
    "symbol": "USDT_USDC",
    "orderId": ROW["id"],
    "quantity": "20",
    "price": "1.0077",
}
ORDER = PlaceOrder(symbol="USDT_USDC", client_id=1001, is_ask=True, size_i=20, price_i=10077, post_only=True)
KEY = OrderKey(symbol="USDT_USDC", client_id=1001)
CREATED_MS = ROW["createdAt"]
NOT_FOUND = HttpReply(404, b'{"code":"RESOURCE_NOT_FOUND","message":"Not Found"}')


@pytest.fixture
def dialect():
    made = make_dialect(
        {"api_key": SIGNING["verifying_key_base64"], "api_secret": SIGNING["seed_base64"]},
        {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1"},
    )
    made.markets = read_markets((FOLDER / "markets.json").read_bytes())
    return made


def _ok(value, **headers):
    return HttpReply(200, json.dumps(value).encode(), headers)


def _talk(talk, *replies):
    """Play a talk to its end; returns the calls and the result. Every reply must be used."""
    calls = [next(talk)]
    waiting = list(replies)
    try:
        while True:
            calls.append(talk.send(waiting.pop(0)))
    except StopIteration as end:
        assert not waiting
        return calls, end.value


def _result(talk, *replies):
    return _talk(talk, *replies)[1]


def _page(count, **changes):
    rows = [HISTORY | {"id": f"7{n}", "clientId": 500_000 + n} | changes for n in range(count)]
    return _ok(rows)


# -- order entry


def test_a_resting_reply_is_an_open_order_with_our_client_id(dialect):
    """[venue] The recorded reply; its null client id is filled in, for we know whose answer it is."""
    (seen,) = dialect.read_placed(ORDER, _ok(ROW))
    assert (seen.client_id, seen.status, seen.venue_id) == (1001, Status.OPEN, "59669287267")


def test_a_refusal_is_proven_and_has_our_code(dialect):
    """[venue] Post-only would cross."""
    reply = HttpReply(400, b'{"code":"INVALID_ORDER","message":"Order would immediately match and take"}')
    with pytest.raises(Refused) as refused:
        dialect.read_placed(ORDER, reply)
    assert refused.value.code == "POST_ONLY_WOULD_CROSS"
    assert "immediately match" in refused.value.raw


def test_missing_funds_depend_on_the_kind_of_market(dialect):
    """[ours] A balance on spot, margin on a perp."""
    reply = HttpReply(400, b'{"code":"INSUFFICIENT_FUNDS","message":"Insufficient funds"}')
    with pytest.raises(Refused, match="INSUFFICIENT_BALANCE"):
        dialect.read_placed(ORDER, reply)
    perp = PlaceOrder(symbol="SOL_USDC_PERP", client_id=1, is_ask=False, size_i=1, price_i=1)
    with pytest.raises(Refused, match="INSUFFICIENT_MARGIN"):
        dialect.read_placed(perp, reply)


def test_an_expired_window_is_clock_skew_and_proven(dialect):
    """[venue] The fence: the order does not exist."""
    reply = HttpReply(400, b'{"code":"INVALID_CLIENT_REQUEST","message":"Request has expired"}')
    with pytest.raises(Refused, match="CLOCK_SKEW"):
        dialect.read_placed(ORDER, reply)


@pytest.mark.parametrize(
    "reply",
    [
        HttpReply(202, b""),
        HttpReply(500, b"oops"),
        HttpReply(504, b"<html>"),
        HttpReply(200, b""),
        HttpReply(200, b'{"id":"cut'),
        HttpReply(200, b'{"code":"INVALID_ORDER","message":"no"}'),
        _ok(ROW | {"clientId": 1002}),
        _ok(ROW | {"symbol": "SOL_USDC"}),
        _ok(ROW | {"quantity": "20.5"}),
    ],
    ids=lambda reply: f"{reply.status} {reply.body[:30]!r}",
)
def test_anything_unclear_after_sending_is_in_doubt(dialect, reply):
    """[ours] Never "failed"."""
    with pytest.raises(OutcomeUnknown) as doubt:
        dialect.read_placed(ORDER, reply)
    assert doubt.value.code == "IN_DOUBT"


def test_a_market_that_is_not_listed_takes_no_order(dialect):
    """[ours] Nothing is sent."""
    order = PlaceOrder(symbol="NOPE_USDC", client_id=1, is_ask=False, size_i=1, price_i=1)
    with pytest.raises(LocalRuleError, match="UNKNOWN_SYMBOL"):
        dialect.place(order, 0)


def test_a_placed_call_signs_at_the_time_it_leaves(dialect):
    """[ours] The shell signs last, with the venue's time."""
    call = dialect.place(ORDER, SIGNING["timestamp_ms"])
    headers = dict(dialect.sign(call, SIGNING["timestamp_ms"] + 7).headers)
    assert headers["X-Timestamp"] == str(SIGNING["timestamp_ms"] + 7)
    assert headers["X-Window"] == str(dialect.abilities.expiry_ms)


def test_a_cancel_reply_is_the_order_cancelled(dialect):
    """[venue] The recorded reply."""
    assert dialect.cancel(KEY, 0).method == "DELETE"
    (seen,) = dialect.read_cancelled(KEY, _ok(ACKS["DELETE /api/v1/order"]))
    assert (seen.status, seen.client_id) == (Status.CANCELLED, 1001)


def test_a_cancel_that_was_taken_but_not_done_says_nothing_yet(dialect):
    """[venue] 202 without a body: wait for the stream."""
    assert dialect.read_cancelled(KEY, HttpReply(202, b"")) == ()


def test_a_cancel_of_nothing_is_order_not_found(dialect):
    """[venue] 400 "Order not found", logged 17 times."""
    reply = HttpReply(400, b'{"code":"INVALID_CLIENT_REQUEST","message":"Order not found"}')
    with pytest.raises(Refused, match="ORDER_NOT_FOUND"):
        dialect.read_cancelled(KEY, reply)


def test_an_unclear_cancel_is_in_doubt(dialect):
    """[ours] The order may be gone or not."""
    with pytest.raises(OutcomeUnknown):
        dialect.read_cancelled(KEY, HttpReply(502, b""))
    with pytest.raises(WireError):
        dialect.read_cancelled(KEY, _ok(ROW | {"clientId": 9}))


def test_cancel_all_tells_the_orders_it_ended(dialect):
    """[venue] An array, empty when nothing was open; 202 when it is still at it."""
    calls, seen = _talk(dialect.cancel_all("USDT_USDC"), _ok([ACKS["DELETE /api/v1/order"]]))
    assert (calls[0].method, calls[0].path) == ("DELETE", "/api/v1/orders")
    assert [order.status for order in seen] == [Status.CANCELLED]
    assert _result(dialect.cancel_all("USDT_USDC"), _ok([])) == ()
    assert _result(dialect.cancel_all("USDT_USDC"), HttpReply(202, b"")) == ()
    with pytest.raises(OutcomeUnknown):
        _talk(dialect.cancel_all("USDT_USDC"), HttpReply(500, b""))


# -- looking up


def test_a_resting_order_is_found_at_once(dialect):
    """[venue] GET order answers while it rests."""
    calls, seen = _talk(dialect.look_up(KEY), _ok(ROW | {"clientId": 1001}))
    assert len(calls) == 1
    assert seen.status is Status.OPEN


def test_an_ended_order_is_found_in_history_by_its_client_id(dialect):
    """[venue] 404, then a scan: history has no filter by client id."""
    mine = HISTORY | {"clientId": 1001}
    other = HISTORY | {"clientId": 1002, "id": "1"}
    calls, seen = _talk(dialect.look_up(KEY), NOT_FOUND, _ok([other, mine]))
    assert calls[1].path == "/wapi/v1/history/orders?limit=100&offset=0&symbol=USDT_USDC"
    assert (seen.status, seen.venue_id, seen.client_id) == (Status.CANCELLED, "59669287267", 1001)


def test_a_known_venue_id_is_the_filter(dialect):
    """[venue] One row instead of pages."""
    key = OrderKey(symbol="USDT_USDC", client_id=1001, venue_id="59669287267")
    calls, seen = _talk(dialect.look_up(key), NOT_FOUND, _ok([HISTORY | {"clientId": 1001}]))
    assert "orderId=59669287267" in calls[1].path
    assert seen.status is Status.CANCELLED
    assert _result(dialect.look_up(key), NOT_FOUND, _ok([])) is None


def test_an_order_in_neither_complete_reading_is_absent(dialect):
    """[ours] None needs both."""
    assert _result(dialect.look_up(KEY), NOT_FOUND, _page(3)) is None
    assert _result(dialect.look_up(KEY), NOT_FOUND, _page(100), _page(0)) is None


def test_the_page_header_beats_the_length_of_a_page(dialect):
    """[venue] X-Total counts all rows, whatever page size the venue chose."""
    short = HttpReply(200, _page(40).body, {"x-total": "41"})
    last = HttpReply(200, json.dumps([HISTORY | {"clientId": 1001}]).encode(), {"x-total": "41"})
    calls, seen = _talk(dialect.look_up(KEY), NOT_FOUND, short, last)
    assert "offset=40" in calls[2].path
    assert seen.venue_id == "59669287267"
    with pytest.raises(WireError):
        _talk(dialect.look_up(KEY), NOT_FOUND, short, HttpReply(200, b"[]", {"x-total": "41"}))


def test_a_history_longer_than_we_read_proves_nothing(dialect):
    """[ours] Five full pages without the order are doubt, not absence."""
    with pytest.raises(OutcomeUnknown) as doubt:
        _talk(dialect.look_up(KEY), NOT_FOUND, *[_page(100)] * 5)
    assert doubt.value.code == "IN_DOUBT"


def test_a_scan_that_passed_the_orders_birth_is_complete(dialect):
    """[ours] Older rows cannot be the order, not even with its client id."""
    dialect.place(ORDER, CREATED_MS + 120_000)
    assert _result(dialect.look_up(KEY), NOT_FOUND, _page(100, clientId=1001)) is None


def test_a_row_as_young_as_the_order_is_it(dialect):
    """[ours] A minute of grace for clocks."""
    dialect.place(ORDER, CREATED_MS + 30_000)
    found = _result(dialect.look_up(KEY), NOT_FOUND, _ok([HISTORY | {"clientId": 1001}]))
    assert found is not None


def test_only_the_youngest_ten_thousand_orders_are_remembered(dialect):
    """[ours] The memory of a long run is bounded."""
    for client_id in range(1, 10_002):
        dialect.place(PlaceOrder(symbol="USDT_USDC", client_id=client_id, is_ask=True, size_i=1, price_i=1), 5)
    assert len(dialect._signed_ms) == 10_000
    assert ("USDT_USDC", 1) not in dialect._signed_ms


@pytest.mark.parametrize(
    "replies",
    [
        [HttpReply(500, b"")],
        [HttpReply(404, b"<html>")],
        [NOT_FOUND, HttpReply(503, b"")],
    ],
)
def test_a_failed_reading_proves_nothing(dialect, replies):
    """[ours] Neither the first nor the second may fail."""
    with pytest.raises(OutcomeUnknown):
        _talk(dialect.look_up(KEY), *replies)


@pytest.mark.parametrize(
    "replies",
    [
        [_ok(ROW | {"clientId": 7})],
        [NOT_FOUND, HttpReply(200, b"{}")],
        [NOT_FOUND, _ok([HISTORY | {"clientId": 1001, "status": "Odd"}])],
        [NOT_FOUND, _ok([HISTORY | {"createdAt": "never"}])],
    ],
)
def test_a_reading_of_another_shape_proves_nothing(dialect, replies):
    """[ours] WireError, which the shell tells as doubt."""
    with pytest.raises(WireError):
        _talk(dialect.look_up(KEY), *replies)


def test_old_rows_off_todays_grid_do_not_hide_the_order(dialect):
    """[ours] Ticks change; only the wanted row is put on the grid."""
    odd = HISTORY | {"clientId": 5, "price": "1.00775", "quantity": None, "status": "Novel"}
    seen = _result(dialect.look_up(KEY), NOT_FOUND, _ok([odd, HISTORY | {"clientId": 1001}]))
    assert seen is not None


def test_fills_of_an_order_are_asked_by_its_venue_id(dialect):
    """[venue] Without it the order is looked up first; strangers in the answer are left out."""
    rows = [FILL, FILL, FILL | {"tradeId": 8, "timestamp": "2025-07-27T17:38:00.092"}, FILL | {"orderId": "1"}]
    key = OrderKey(symbol="USDT_USDC", client_id=1001, venue_id=ROW["id"])
    calls, fills = _talk(dialect.order_fills(key), _ok(rows))
    assert len(calls) == 1
    assert [(fill.trade_id, fill.client_id, fill.size_i) for fill in fills] == [("8", 1001, 20), ("9748827", 1001, 20)]
    calls, fills = _talk(dialect.order_fills(KEY), _ok(ROW), _ok(rows))
    assert len(fills) == 2
    assert _result(dialect.order_fills(KEY), NOT_FOUND, _ok([])) == ()


def test_recent_fills_are_read_page_by_page(dialect):
    """[ours] Every market we know, each trade once, oldest first."""
    page = [FILL | {"tradeId": n} for n in range(100)]
    rest = [FILL | {"tradeId": 99}, FILL | {"tradeId": 100}, FILL | {"symbol": "NEW_USDC"}]
    calls, fills = _talk(dialect.recent_fills(1753637940000), _ok(page), _ok(rest))
    assert "from=1753637940000" in calls[0].path
    assert "offset=100" in calls[1].path
    assert len(fills) == 101
    with pytest.raises(OutcomeUnknown):
        _talk(dialect.recent_fills(0), *[_ok(page)] * 5)


# -- the rest of the account


def test_the_readings_of_the_account_are_one_talk_each(dialect):
    """[venue] Positions, balances and margin from the recorded payloads."""
    body = (FOLDER / "collateral.json").read_bytes()
    positions = HttpReply(200, (FOLDER / "positions.json").read_bytes())
    assert len(_result(dialect.positions(), positions)) == 2
    capital = json.loads((FOLDER / "balances.json").read_text())["GET /api/v1/capital (1)"]
    calls, balances = _talk(dialect.balances(), _ok(capital), HttpReply(200, body))
    assert [call.auth for call in calls] == ["balanceQuery", "collateralQuery"]
    assert balances[0].asset == "USDT"
    assert _result(dialect.margin(), HttpReply(200, body)).balance > 0
    assert len(_result(dialect.open_orders(None), _ok([ROW]))) == 1
    with pytest.raises(Refused, match="AUTH"):
        _talk(dialect.margin(), HttpReply(400, b'{"code":"INVALID_CLIENT_REQUEST","message":"Invalid signature"}'))


def test_facts_time_and_book_are_public_talks(dialect):
    """[venue] What a start needs before any key is used."""
    calls, markets = _talk(dialect.facts(), HttpReply(200, (FOLDER / "markets.json").read_bytes()))
    assert calls[0].auth is None
    assert len(markets) == 7
    assert _result(dialect.server_time(), HttpReply(200, b"1788285151083")) == 1788285151083
    book = b'{"asks":[["98.97","1"]],"bids":[["98.95","1"],["98.96","1"]],"lastUpdateId":"5","timestamp":9}'
    seen = _result(dialect.top_of_book("SOL_USDC"), HttpReply(200, book))
    assert (seen.bid_i, seen.ask_i, seen.seq) == (9896, 9897, 5)
    with pytest.raises(LocalRuleError):
        next(dialect.top_of_book("NOPE"))


# -- streams


def test_one_private_line_logs_in_by_subscribing(dialect):
    """[client] The signature is that of ccxt.pro's recorded frame."""
    (line,) = dialect.lines()
    assert (line.name, line.private, line.needs_login, line.acks_subscriptions) == ("main", True, False, False)
    assert dialect.login("main", 0) == ()
    account, books = dialect.subscribe("main", ["SOL_USDC_PERP"], SIGNING["timestamp_ms"])
    assert json.loads(account)["signature"] == SIGNING["vectors"][-1]["frame"]["signature"]
    assert json.loads(books)["params"] == ["bookTicker.SOL_USDC_PERP"]
    assert len(dialect.subscribe("main", [], 1)) == 1


def test_opening_a_line_takes_no_request(dialect):
    """[venue] No listen key, no upkeep."""
    with pytest.raises(StopIteration) as end:
        next(dialect.open_line("main"))
    assert end.value.value == "ws://127.0.0.1:1"
    with pytest.raises(StopIteration):
        next(dialect.upkeep("main"))


def test_frames_are_decoded_on_the_dialects_markets(dialect):
    """[venue] A book and a refusal."""
    (book,) = dialect.decode("main", (FOLDER / "ws_market.jsonl").read_text().splitlines()[0])
    assert isinstance(book, BookSeen)
    (refused,) = dialect.decode("main", b'{"id":null,"error":{"code":4003,"message":"Invalid signature"}}')
    assert isinstance(refused, LineRefused)
