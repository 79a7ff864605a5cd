"""What the Lighter dialect keeps in mind: nonces, tokens, who an answer is for, and the talks of several requests."""

import json
from decimal import Decimal
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from tests.unit.venues.lighter.payloads import body, details, needed
from venues.dialect import HttpCall, HttpReply, OrderKey, PlaceOrder, WsText
from venues.errors import LocalRuleError, OutcomeUnknown, Refused
from venues.events import Answered, LineRefused, PositionSeen, Unreadable
from venues.lighter.dialect import ON_ITS_WAY_MS, RECONNECT_SECS, TOKEN_SECS, LighterDialect
from venues.lighter.sign import Signer

pytestmark = needed
NOW = 1_795_361_500_000
SIGNER = Signer("07" * 40, 12345, 5, 304)
YES = HttpReply(200, b'{"code":200,"tx_hash":"ab"}')


def no(code, message="words", status=400):
    return HttpReply(status, json.dumps({"code": code, "message": message}).encode())


def answer(value):
    return HttpReply(200, json.dumps({"code": 200, **value}).encode())


def hold(dialect, talk, replies, now_ms=NOW):
    """Hold a talk as the shell does: each call is signed, then answered. Returns its value and what was sent."""
    sent, replies = [], list(replies)
    try:
        call = next(talk)
        while True:
            sent.append(dialect.sign(call, now_ms))
            call = talk.send(replies.pop(0))
    except StopIteration as end:
        assert replies == []
        return end.value, sent


def ready(nonce=7):
    dialect = LighterDialect(SIGNER, {"rest": "http://x", "ws": "ws://x/stream"})
    dialect.markets, _ = hold(dialect, dialect.facts(), [HttpReply(200, body(details()))])
    keys = answer({"api_keys": [{"api_key_index": 5, "public_key": "0x" + SIGNER.public_key.upper()}]})
    hold(dialect, dialect.prepare(), [keys, answer({"nonce": nonce})])
    return dialect


def order(client_id=1001, **more):
    values = {"symbol": "SOL", "client_id": client_id, "is_ask": False, "size_i": 140, "price_i": 73245} | more
    return PlaceOrder(**values)


def info_of(request):
    """The transaction that a request carries."""
    if isinstance(request, WsText):
        return json.loads(request.text)["data"]["tx_info"]
    return json.loads(dict(parse_qsl(request.body.decode()))["tx_info"])


def key(client_id=1001, **more):
    return OrderKey(symbol="SOL", client_id=client_id, **more)


# -- orders


def test_a_limit_order_goes_over_the_stream_signed_and_with_a_short_life():
    """[venue] tx 14 post-only, the next nonce, ExpiredAt five seconds ahead; `rest` gives the form instead."""
    dialect = ready()
    request = dialect.place(order(post_only=True), NOW)
    info = info_of(request)
    assert (request.line, dialect.order_line("SOL")) == ("main", "main")
    assert json.loads(request.text)["data"]["id"] == request.request_id
    told = {name: info[name] for name in ("Nonce", "ExpiredAt", "MarketIndex", "BaseAmount", "Price", "TimeInForce")}
    assert told == {
        "Nonce": 7,
        "ExpiredAt": NOW + 5_000,
        "MarketIndex": 2,
        "BaseAmount": 140,
        "Price": 73245,
        "TimeInForce": 2,
    }
    assert info["OrderExpiry"] == NOW + 28 * 86_400_000
    form = dialect.place(order(1002), NOW, rest=True)
    assert (form.method, form.path, info_of(form)["Nonce"]) == ("POST", "/api/v1/sendTx", 8)
    assert parse_qs(form.body.decode())["tx_type"] == ["14"]
    assert info_of(form)["TimeInForce"] == 1


def test_a_market_order_carries_the_worst_price():
    """[venue] Type 1, immediate, no expiry of its own; without a worst price it is not sent."""
    dialect = ready()
    info = info_of(dialect.place(order(price_i=None, worst_price_i=74755, is_ask=True, reduce_only=True), NOW))
    told = {name: info[name] for name in ("Type", "TimeInForce", "OrderExpiry", "Price", "IsAsk", "ReduceOnly")}
    assert told == {"Type": 1, "TimeInForce": 0, "OrderExpiry": 0, "Price": 74755, "IsAsk": 1, "ReduceOnly": 1}
    with pytest.raises(LocalRuleError):
        dialect.place(order(1002, price_i=None), NOW)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"client_id": 0}, "CLIENT_ID_RANGE"),
        ({"client_id": 2**48}, "CLIENT_ID_RANGE"),
        ({"symbol": "NOPE"}, "UNKNOWN_SYMBOL"),
        ({"size_i": 2**48}, "MAX_SIZE"),
        ({"price_i": 2**31}, "PRICE_RANGE"),
        ({"symbol": "ETH/USDC", "reduce_only": True}, "REDUCE_ONLY"),
        ({"price_i": None, "worst_price_i": 5, "post_only": True}, "POST_ONLY_WOULD_CROSS"),
    ],
)
def test_what_the_venue_does_not_have_is_refused_before_a_nonce_is_taken(change, code):
    """[ours] LocalRuleError, and the next order has the same nonce."""
    dialect = ready()
    with pytest.raises(LocalRuleError) as told:
        dialect.place(order(**change), NOW)
    assert told.value.code == code
    assert info_of(dialect.place(order(5), NOW))["Nonce"] == 7


def test_a_yes_is_only_queued():
    """[venue] No order word out of a 200; a refusal is Refused; anything else is in doubt."""
    dialect = ready()
    dialect.place(order(), NOW)
    assert dialect.read_placed(order(), YES) == ()
    assert dialect.abilities.ack_is_queued
    dialect.place(order(2), NOW)
    with pytest.raises(Refused) as told:
        dialect.read_placed(order(2), no(21739))
    assert told.value.code == "INSUFFICIENT_MARGIN"
    dialect.place(order(3), NOW)
    with pytest.raises(OutcomeUnknown):
        dialect.read_placed(order(3), HttpReply(502, b"<html>"))


# -- nonces


def test_nonces_count_up_and_a_refused_one_is_used_again():
    """[venue] Refused at the gate: not consumed. No reading is needed for that."""
    dialect = ready()
    assert info_of(dialect.place(order(1), NOW))["Nonce"] == 7
    assert dialect.read_placed(order(1), YES) == ()
    dialect.place(order(2), NOW)
    with pytest.raises(Refused):
        dialect.read_placed(order(2), no(21706))
    assert not dialect.unprepared
    assert info_of(dialect.cancel(key(1), NOW))["Nonce"] == 8


def test_a_refusal_below_a_later_nonce_has_the_count_read_again():
    """[venue] 8 was signed on top of the refused 7, so 8 will be refused as well."""
    dialect = ready()
    dialect.place(order(1), NOW)
    dialect.place(order(2), NOW)
    with pytest.raises(Refused):
        dialect.read_placed(order(1), no(21706))
    assert dialect.unprepared


def test_an_invalid_nonce_has_the_count_read_again():
    """[venue] 21104: refused for certain; the next one follows nextNonce."""
    dialect = ready()
    dialect.place(order(1), NOW)
    with pytest.raises(Refused):
        dialect.read_placed(order(1), no(21104, "invalid nonce"))
    assert dialect.unprepared
    with pytest.raises(LocalRuleError):
        dialect.place(order(2), NOW)
    _, sent = hold(dialect, dialect.prepare(), [answer({"nonce": 41})])
    assert [call.path for call in sent] == ["/api/v1/nextNonce?account_index=12345&api_key_index=5"]
    assert not dialect.unprepared
    assert info_of(dialect.place(order(3), NOW))["Nonce"] == 41


@pytest.mark.parametrize(
    ("later_ms", "venue_next", "wanted"),
    [(5_000, 8, 8), (5_000, 7, 7), (100, 7, 8), (100, 8, 8)],
    ids=["arrived", "lost", "on its way", "arrived at once"],
)
def test_a_lost_answer_has_the_count_read_again(later_ms, venue_next, wanted):
    """[venue] Without an answer the venue's count decides; what left a moment ago counts as on its way."""
    dialect = ready()
    dialect.place(order(1), NOW)
    assert dialect.unprepared
    hold(dialect, dialect.prepare(), [answer({"nonce": venue_next})], NOW + later_ms)
    assert info_of(dialect.cancel(key(1), NOW + later_ms))["Nonce"] == wanted


def test_a_key_that_the_venue_does_not_have_is_auth():
    """[venue] Another public key, none, or a refusal: nothing is traded under it."""
    for reply in (
        answer({"api_keys": [{"api_key_index": 5, "public_key": "ab"}]}),
        answer({"api_keys": []}),
        no(21109),
    ):
        dialect = LighterDialect(SIGNER, {"rest": "http://x", "ws": "ws://x"})
        with pytest.raises(Refused) as told:
            hold(dialect, dialect.prepare(), [reply])
        assert told.value.code == "AUTH"


# -- the fence


def test_a_lost_submit_is_fenced_by_a_cancel_under_its_own_nonce():
    """[venue] Taken: one of the two can be executed, and it is the cancel. Proven once nothing is on its way."""
    dialect = ready()
    dialect.place(order(1), NOW)
    done, sent = hold(dialect, dialect.fence(key(1)), [answer({"nonce": 7}), YES], NOW + 500)
    info = info_of(sent[1])
    assert (done, info["Nonce"], info["Index"]) == (False, 7, 1)
    later = NOW + 500 + ON_ITS_WAY_MS
    assert hold(dialect, dialect.fence(key(1)), [answer({"nonce": 8})], later)[0] is True


def test_a_nonce_that_the_order_may_have_used_itself_proves_nothing():
    """[venue] nextNonce has passed it and no other transaction of ours took it."""
    dialect = ready()
    dialect.place(order(1), NOW)
    assert hold(dialect, dialect.fence(key(1)), [answer({"nonce": 8})], NOW + 60_000)[0] is False
    assert hold(dialect, dialect.fence(key(77)), [], NOW)[0] is False


def test_a_cancel_that_was_taken_under_the_nonce_is_the_fence():
    """[venue] After the re-reading the cancel had the lost submit's nonce; its yes is the proof, a moment later."""
    dialect = ready()
    dialect.place(order(1), NOW)
    hold(dialect, dialect.prepare(), [answer({"nonce": 7})], NOW + 6_000)
    assert info_of(dialect.cancel(key(1), NOW + 6_000))["Nonce"] == 7
    assert dialect.read_cancelled(key(1), YES) == ()
    assert hold(dialect, dialect.fence(key(1)), [answer({"nonce": 8})], NOW + 6_100)[0] is False
    assert hold(dialect, dialect.fence(key(1)), [answer({"nonce": 8})], NOW + 7_100)[0] is True


def test_a_talk_that_waited_for_room_fences_no_submit_that_overtook_it():
    """[ours] The nonce that counts is the one it was signed with, not the one that was next when it asked."""
    dialect = ready()
    talk = dialect.dead_man("SOL", 60)
    call = next(talk)
    dialect.place(order(1), NOW)
    assert info_of(dialect.sign(call, NOW + 4_000))["Nonce"] == 8
    with pytest.raises(StopIteration):
        talk.send(YES)
    # The submit under 7 may live: the venue took it, or will.
    assert dialect.unprepared
    assert hold(dialect, dialect.fence(key(1)), [answer({"nonce": 9})], NOW + 60_000)[0] is False


def test_a_refused_fence_proves_nothing():
    """[venue] The order came first after all."""
    dialect = ready()
    dialect.place(order(1), NOW)
    done, _ = hold(dialect, dialect.fence(key(1)), [answer({"nonce": 7}), no(21104)], NOW + 60_000)
    assert done is False


# -- cancels of all orders, the dead man's switch


def test_the_dead_mans_switch_is_a_scheduled_cancel_of_all():
    """[venue] tx 16: TimeInForce 1 with a time, at least five minutes ahead; 2 takes it back."""
    dialect = ready()
    secs = dialect.abilities.dead_man_secs
    assert secs >= 300
    _, sent = hold(dialect, dialect.dead_man("SOL", secs), [YES])
    info = info_of(sent[0])
    assert (info["TimeInForce"], info["Time"], info["Nonce"]) == (1, NOW + secs * 1000, 7)
    _, sent = hold(dialect, dialect.dead_man("SOL", 0), [YES])
    info = info_of(sent[0])
    assert (info["TimeInForce"], info["Time"], info["Nonce"]) == (2, 0, 8)


def test_all_orders_of_one_market_are_cancelled_by_attribute_five():
    """[venue] TimeInForce 0, and the market in the attributes."""
    dialect = ready()
    seen, sent = hold(dialect, dialect.cancel_all("SOL"), [YES])
    assert (seen, info_of(sent[0])["L2TxAttributes"], info_of(sent[0])["TimeInForce"]) == ((), {"5": 2}, 0)


def test_a_scheduled_cancel_in_the_way_is_taken_back_first():
    """[venue] 21712: account has a queued cancel all orders request."""
    dialect = ready()
    _, sent = hold(dialect, dialect.cancel_all("SOL"), [no(21712), YES, YES])
    assert [(info_of(call)["TimeInForce"], info_of(call)["Nonce"]) for call in sent] == [(0, 7), (2, 7), (0, 8)]


def test_a_talk_whose_nonce_was_wrong_reads_it_and_tries_once_more():
    """[venue] A refusal for the nonce is safe to repeat: it was not executed."""
    dialect = ready()
    _, sent = hold(dialect, dialect.cancel_all("SOL"), [no(21104, "invalid nonce"), answer({"nonce": 30}), YES])
    assert info_of(sent[2])["Nonce"] == 30
    with pytest.raises(Refused):
        hold(dialect, dialect.cancel_all("SOL"), [no(21104), answer({"nonce": 30}), no(21104)])


# -- readings


ROW = {
    "order_index": 2**48 + 9,
    "client_order_index": 1001,
    "market_index": 2,
    "initial_base_amount": "0.140",
    "filled_base_amount": "0.000",
    "price": "73.245",
    "is_ask": False,
    "status": "open",
    "type": "limit",
}


def test_a_look_up_asks_by_id_then_both_lists():
    """[venue] Each alone forgets: None only when all three are complete and none has it."""
    dialect = ready()
    empty = answer({"orders": []})
    seen, sent = hold(dialect, dialect.look_up(key()), [empty, empty, empty])
    assert seen is None
    assert [urlsplit(call.path).path.rpartition("/")[2] for call in sent] == [
        "accountOrders",
        "accountActiveOrders",
        "accountInactiveOrders",
    ]
    assert all(dict(call.headers)["authorization"].startswith(f"{NOW // 1000 + TOKEN_SECS}:12345:5:") for call in sent)
    found, _ = hold(dialect, dialect.look_up(key()), [answer({"orders": [ROW]})])
    assert (found.client_id, found.venue_id, found.price_i) == (1001, str(2**48 + 9), 73245)
    found, _ = hold(dialect, dialect.look_up(key()), [empty, answer({"orders": [ROW]})])
    assert found.client_id == 1001
    pages = [empty, empty, answer({"orders": [dict(ROW, client_order_index=5)], "next_cursor": "c2"})]
    found, sent = hold(dialect, dialect.look_up(key()), [*pages, answer({"orders": [dict(ROW, status="canceled")]})])
    assert found.reason == "canceled"
    assert parse_qs(urlsplit(sent[3].path).query)["cursor"] == ["c2"]


def test_an_incomplete_or_undecided_look_up_proves_nothing():
    """[ours] A failed reading, a history without end, an order in progress, another market's id."""
    dialect = ready()
    empty = answer({"orders": []})
    endless = [answer({"orders": [dict(ROW, client_order_index=5)], "next_cursor": str(n)}) for n in range(10)]
    for replies in (
        [HttpReply(502, b"")],
        [empty, empty, *endless],
        [answer({"orders": [dict(ROW, status="in-progress")]})],
    ):
        with pytest.raises(OutcomeUnknown):
            hold(dialect, dialect.look_up(key()), replies)
    other = answer({"orders": [dict(ROW, market_index=0)]})
    assert hold(dialect, dialect.look_up(key()), [other, empty, empty])[0] is None


def test_the_fills_of_an_order_are_found_by_its_index():
    """[venue] order_index filters the trades; without it the order is looked up first."""
    dialect = ready()
    index = 2**48 + 9
    trade = {"trade_id": 5, "market_id": 2, "size": "0.100", "price": "73.245", "usd_amount": "7.324500"}
    trade |= {"ask_id": 1, "bid_id": index, "ask_account_id": 9, "bid_account_id": 12345, "is_maker_ask": True}
    trade |= {"bid_client_id": 1001, "transaction_time": 1}
    listed = answer({"trades": [trade, trade, dict(trade, trade_id=6, bid_id=index + 1)]})
    fills, sent = hold(dialect, dialect.order_fills(key(venue_id=str(index))), [listed])
    assert [(fill.trade_id, fill.size_i, fill.client_id) for fill in fills] == [("5", 100, 1001)]
    assert parse_qs(urlsplit(sent[0].path).query)["order_index"] == [str(index)]
    again, _ = hold(dialect, dialect.order_fills(key()), [answer({"orders": [ROW]}), listed])
    assert again == fills


def test_recent_fills_are_read_back_to_the_moment_asked_for():
    """[ours] Newest first; the first older one ends it, a missing end is doubt."""
    dialect = ready()
    trade = {"trade_id": 5, "market_id": 2, "size": "0.100", "price": "73.245", "usd_amount": "7.3", "bid_id": 3}
    trade |= {"ask_id": 1, "ask_account_id": 9, "bid_account_id": 12345, "is_maker_ask": True}
    new = dict(trade, transaction_time=(NOW + 5) * 1000)
    old = dict(trade, trade_id=4, transaction_time=(NOW - 5) * 1000)
    fills, _ = hold(dialect, dialect.recent_fills(NOW), [answer({"trades": [new, old], "next_cursor": "x"})])
    assert [fill.trade_id for fill in fills] == ["5"]
    with pytest.raises(OutcomeUnknown):
        hold(dialect, dialect.recent_fills(NOW), [answer({"trades": [new], "next_cursor": "x"})] * 10)


# -- the stream


def test_subscriptions_carry_a_token_that_outlives_the_connection():
    """[venue] Five account channels with auth, tickers without; asked again only what is new (30003)."""
    dialect = ready()
    dialect.login("main", NOW)
    frames = [json.loads(text) for text in dialect.subscribe("main", ["SOL"], NOW)]
    assert [frame["channel"] for frame in frames] == [
        "account_all_orders/12345",
        "account_all_trades/12345",
        "account_all_positions/12345",
        "account_all_assets/12345",
        "user_stats/12345",
        "ticker/2",
    ]
    deadline = int(frames[0]["auth"].partition(":")[0])
    assert RECONNECT_SECS < deadline - NOW // 1000 <= 8 * 3600
    assert "auth" not in frames[5]
    assert [json.loads(text)["channel"] for text in dialect.subscribe("main", ["SOL", "ETH"], NOW)] == ["ticker/0"]
    dialect.login("main", NOW)
    again = [json.loads(text) for text in dialect.subscribe("main", [], NOW + 3_600_000)]
    assert int(again[0]["auth"].partition(":")[0]) == deadline + 3_600
    (line,) = dialect.lines()
    assert (line.upkeep_secs, line.private) == (RECONNECT_SECS, True)
    with pytest.raises(LocalRuleError):
        next(dialect.upkeep("main"))


def test_a_token_is_kept_while_it_lasts():
    """[ours] One signature for many readings; a new one half an hour before the end."""
    dialect = ready()
    call = HttpCall("GET", "/x", auth="token")
    first = dialect.sign(call, NOW).headers
    assert dialect.sign(call, NOW + 3_600_000).headers == first
    assert dialect.sign(call, NOW + (TOKEN_SECS - 1_700) * 1000).headers != first


def frame(dialect, value):
    return list(dialect.decode("main", json.dumps(value)))


def test_an_answer_finds_its_request_by_id_by_hash_or_by_being_the_only_one():
    """[gap] How the venue names the request is not recorded; each likely way works, and none is guessed."""
    dialect = ready()
    one, two, three = (dialect.place(order(number), NOW) for number in (1, 2, 3))
    (told,) = frame(dialect, {"type": "jsonapi/sendtx", "id": two.request_id, "code": 200})
    assert (type(told), told.request_id, told.status) == (Answered, two.request_id, 200)
    # Two are waiting: an answer that names none of them is nobody's.
    assert isinstance(frame(dialect, {"type": "jsonapi/sendtx", "code": 200})[0], Unreadable)
    hashes = {request.request_id: dialect._asked[request.request_id][0] for request in (one, three)}
    (told,) = frame(dialect, {"type": "jsonapi/sendtx", "data": {"tx_hash": hashes[three.request_id]}, "code": 200})
    assert told.request_id == three.request_id
    (told,) = frame(dialect, {"error": {"code": 21739, "message": "not enough margin to create the order"}})
    assert told.request_id == one.request_id
    with pytest.raises(Refused):
        dialect.read_placed(order(1), HttpReply(told.status, told.body))
    # Nobody waits: about an order it is recorded, about the connection it ends the line.
    assert isinstance(frame(dialect, {"error": {"code": 21739, "message": "m"}})[0], Unreadable)
    (told,) = frame(dialect, {"error": {"code": 30009, "message": "Too Many Websocket Messages!"}})
    assert (type(told), told.code) == (LineRefused, "RATE_LIMITED")


def test_a_position_that_a_frame_leaves_out_has_been_closed():
    """[client] nautilus reads account_all_positions as the whole truth; a row of 0 may also remain."""
    dialect = ready()
    row = {"market_id": 2, "sign": -1, "position": "0.140", "avg_entry_price": "73.2"}
    channel = {"type": "update/account_all_positions", "channel": "account_all_positions:12345"}
    (short,) = frame(dialect, channel | {"positions": {"2": row}})
    assert short == PositionSeen(symbol="SOL", quantity=Decimal("-0.140"), entry_price=Decimal("73.2"))
    assert frame(dialect, channel | {"positions": {}}) == [PositionSeen(symbol="SOL", quantity=Decimal(0))]
    assert frame(dialect, channel | {"positions": {}}) == []
    (flat,) = frame(dialect, channel | {"positions": {"2": dict(row, position="0.000", sign=1)}})
    assert flat.quantity == 0
