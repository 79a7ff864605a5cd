import json

import pytest

from tests.unit.venues.hyperliquid.hl_fixtures import body, load
from venues.dialect import HttpReply, OrderKey, PlaceOrder
from venues.errors import LocalRuleError, OutcomeUnknown, Refused, WireError
from venues.events import Status
from venues.hyperliquid import endpoints, make_dialect
from venues.hyperliquid.sign import Signer

VECTORS = {vector["name"]: vector for vector in load("signing_vectors.json")["vectors"]}
KEY, ADDRESS = load("signing_vectors.json")["private_key"], load("signing_vectors.json")["address"].lower()
MASTER = "0x" + "ab" * 20
NOW = 1_700_000_000_000
SPOT = {
    "tokens": [{"name": "USDC", "szDecimals": 8, "index": 0}, {"name": "USOL", "szDecimals": 3, "index": 254}],
    "universe": [{"name": "@156", "tokens": [254, 0], "index": 156}],
}
OK = {"status": "ok", "response": {"type": "default"}}


def hold(talk, *answers):
    """What a talk returns for these answers, and the calls that it made."""
    calls = []
    answers = iter(answers)
    try:
        call = next(talk)
        while True:
            calls.append(call)
            answer = next(answers)
            call = talk.send(answer if isinstance(answer, HttpReply) else HttpReply(200, body(answer)))
    except StopIteration as end:
        return end.value, calls


@pytest.fixture
def dialect():
    made = make_dialect({"private_key": KEY, "address": ADDRESS}, endpoints("testnet"))
    made.markets, _ = hold(made.facts(), load("markets.json")["meta_2026"]["response"], SPOT)
    return made


def order(**more):
    given = {"symbol": "SOL", "client_id": 42, "is_ask": False, "size_i": 20, "price_i": 1_015_000, "post_only": True}
    return PlaceOrder(**{**given, **more})


KEY_42 = OrderKey(symbol="SOL", client_id=42)


def same(envelope, wanted):
    """Equal but for the zeros that the SDK drops from r and s."""
    shown = {**envelope, "signature": {k: v if k == "v" else hex(int(v, 16)) for k, v in envelope["signature"].items()}}
    return shown == wanted


# -- what is sent


def test_a_placement_over_rest_is_what_the_sdk_sends(dialect):
    """[client] The vector with expiresAfter, signature included: five seconds after the nonce."""
    call = dialect.place(order(), NOW, rest=True)
    assert (call.method, call.path, call.auth) == ("POST", "/exchange", None)
    assert same(json.loads(call.body), VECTORS["order_with_expires_after_testnet"]["body"])
    assert dialect.sign(call, NOW + 9) is call


def test_the_same_placement_goes_over_the_stream_as_a_post(dialect):
    """[venue] method post, a number that the answer repeats, the REST body as payload."""
    assert dialect.order_line("SOL") == "main"
    sent = dialect.place(order(), NOW)
    message = json.loads(sent.text)
    assert (sent.line, sent.request_id) == ("main", "1")
    assert (message["method"], message["id"], message["request"]["type"]) == ("post", 1, "action")
    assert same(message["request"]["payload"], VECTORS["order_with_expires_after_testnet"]["body"])
    again = dialect.cancel(KEY_42, NOW)
    assert (again.request_id, json.loads(again.text)["request"]["payload"]["nonce"]) == ("2", NOW + 1)


def test_a_cancel_is_what_the_sdk_sends(dialect):
    """[client] By client id, without an expiry: late it does no harm."""
    assert same(json.loads(dialect.cancel(KEY_42, NOW, rest=True).body), VECTORS["cancel_by_cloid_testnet"]["body"])


def test_actions_of_talks_are_signed_just_before_they_leave(dialect):
    """[client] scheduleCancel set and unset, with the time counted from the moment of signing."""
    for secs, name in ((10, "schedule_cancel_set_testnet"), (0, "schedule_cancel_unset_testnet")):
        fresh = make_dialect({"private_key": KEY, "address": ADDRESS}, endpoints("testnet"))
        _, (call,) = hold(fresh.dead_man("SOL", secs), OK)
        assert same(json.loads(fresh.sign(call, NOW).body), VECTORS[name]["body"])


def test_the_main_network_signs_with_its_own_source():
    """[venue] Only against the live address; anything else is a test network."""
    live = make_dialect({"private_key": KEY, "address": ADDRESS}, endpoints("live"))
    live.markets, _ = hold(live.facts(), load("markets.json")["meta_2026"]["response"], SPOT)
    sent = json.loads(live.cancel(KEY_42, NOW, rest=True).body)["signature"]
    assert sent != json.loads(json.dumps(VECTORS["cancel_by_cloid_testnet"]["body"]["signature"]))


def test_an_unknown_market_is_refused_locally(dialect):
    """[ours] Nothing is signed for it."""
    with pytest.raises(LocalRuleError, match="UNKNOWN_SYMBOL"):
        dialect.place(order(symbol="NOPE"), NOW)
    with pytest.raises(LocalRuleError, match="UNKNOWN_SYMBOL"):
        dialect.cancel(OrderKey(symbol="NOPE", client_id=1), NOW)


# -- who may trade


@pytest.mark.parametrize(
    ("address", "role", "fine"),
    [
        (ADDRESS, {"role": "user"}, True),
        (ADDRESS, {"role": "missing"}, False),
        (ADDRESS, {"role": "agent", "data": {"user": MASTER}}, False),
        (MASTER, {"role": "agent", "data": {"user": MASTER.upper().replace("0X", "0x")}}, True),
        (MASTER, {"role": "agent", "data": {"user": "0x" + "cd" * 20}}, False),
        (MASTER, {"role": "user"}, False),
        (MASTER, {"role": "missing"}, False),
    ],
)
def test_a_key_that_may_not_trade_is_told_before_the_first_order(address, role, fine):
    """[venue] Readings are public, so userRole is asked; an agent must be its master's."""
    made = make_dialect({"private_key": KEY, "address": address}, endpoints("testnet"))
    if fine:
        _, calls = hold(made.prepare(), role, "default")
        assert json.loads(calls[0].body) == {"type": "userRole", "user": ADDRESS}
        assert json.loads(calls[1].body) == {"type": "userAbstraction", "user": address}
        assert hold(made.prepare()) == (None, [])
    else:
        with pytest.raises(Refused) as told:
            hold(made.prepare(), role, "default")
        assert told.value.code == "AUTH"
    assert made.unprepared is False


def test_a_unified_account_reads_its_margin_from_the_spot_wallet():
    """[venue] userAbstraction says where the collateral is."""
    made = make_dialect({"private_key": KEY, "address": ADDRESS}, endpoints("testnet"))
    hold(made.prepare(), {"role": "user"}, "unifiedAccount")
    state = {"balances": [{"coin": "USDC", "token": 0, "total": "50.0", "hold": "5.0"}]}
    margin, (call,) = hold(made.margin(), state)
    assert (margin.balance, margin.available) == (50, 45)
    assert json.loads(call.body)["type"] == "spotClearinghouseState"


# -- answers to a placement


def placed(dialect, intent, status):
    answer = {"status": "ok", "response": {"type": "order", "data": {"statuses": [status]}}}
    (seen,) = dialect.read_placed(intent, HttpReply(200, body(answer)))
    return seen


def test_a_resting_order_is_open_and_a_filled_one_says_how_much(dialect):
    """[venue] resting; filled whole; an Ioc filled in part is over, a limit order rests with what is left."""
    market = order(price_i=None, worst_price_i=1_050_000, post_only=False)
    seen = placed(dialect, order(), {"resting": {"oid": 77}})
    assert (seen.status, seen.venue_id, seen.client_id, seen.filled_i) == (Status.OPEN, "77", 42, 0)
    whole = {"filled": {"totalSz": "0.2", "avgPx": "101.5", "oid": 78}}
    assert (placed(dialect, market, whole).status, placed(dialect, market, whole).filled_i) == (Status.FILLED, 20)
    part = {"filled": {"totalSz": "0.1", "avgPx": "101.5", "oid": 79}}
    assert (placed(dialect, market, part).status, placed(dialect, market, part).filled_i) == (Status.CANCELLED, 10)
    assert placed(dialect, order(post_only=False), part).status is Status.PARTIALLY_FILLED


def test_a_refused_order_is_refused_by_name(dialect):
    """[venue] "ok" for the action says nothing about its order."""
    with pytest.raises(Refused) as told:
        placed(dialect, order(), {"error": "Insufficient margin to place order. asset=5"})
    assert (told.value.code, told.value.raw) == ("INSUFFICIENT_MARGIN", "Insufficient margin to place order. asset=5")


@pytest.mark.parametrize("status", ["waitingForTrigger", "success"])
def test_an_acknowledgement_that_says_nothing_we_know_is_doubt(dialect, status):
    """[ours] It is looked up."""
    with pytest.raises(OutcomeUnknown):
        placed(dialect, order(), status)


def test_a_cancel_that_was_taken_says_nothing_about_fills(dialect):
    """[ours] No end is told; one that found nothing is ORDER_NOT_FOUND."""
    rows = [row["response"] for row in load("order_ack.json") if row["request"]["action"]["type"] == "cancel"]
    assert dialect.read_cancelled(KEY_42, HttpReply(200, body(rows[0]))) == ()
    with pytest.raises(Refused) as told:
        dialect.read_cancelled(KEY_42, HttpReply(200, body(rows[1])))
    assert told.value.code == "ORDER_NOT_FOUND"


# -- doubt


def status_answer(word="open", left="0.2", cloid="0x0000000000000000000000000000002a", coin="SOL"):
    row = {"coin": coin, "side": "B", "limitPx": "101.5", "sz": left, "oid": 77, "timestamp": NOW, "origSz": "0.2"}
    return {"order": {**row, "cloid": cloid}, "status": word, "statusTimestamp": NOW + 5}


def test_an_order_is_looked_up_by_client_id(dialect):
    """[venue] orderStatus answers for live and ended orders alike."""
    answer = {"status": "order", "order": status_answer("canceled", "0.15")}
    seen, (call,) = hold(dialect.look_up(KEY_42), answer)
    assert json.loads(call.body) == {
        "type": "orderStatus",
        "user": ADDRESS,
        "oid": "0x0000000000000000000000000000002a",
    }
    assert (seen.status, seen.filled_i, seen.venue_id, seen.engine_us) == (Status.CANCELLED, 5, "77", (NOW + 5) * 1000)


def test_absent_needs_two_complete_readings(dialect):
    """[ours] Unknown to orderStatus and not in a history that reaches back far enough."""
    unknown = {"status": "unknownOid"}
    assert hold(dialect.look_up(KEY_42), unknown, [])[0] is None
    rows = [status_answer("open"), status_answer("canceled")]
    rows[1]["statusTimestamp"] += 1
    assert hold(dialect.look_up(KEY_42), unknown, rows)[0].status is Status.CANCELLED
    dialect.place(order(), NOW)
    strangers = [{**status_answer(cloid=None), "statusTimestamp": NOW + place} for place in range(2000)]
    with pytest.raises(OutcomeUnknown):
        hold(dialect.look_up(KEY_42), unknown, strangers)
    strangers[0]["statusTimestamp"] = NOW - 120_000
    assert hold(dialect.look_up(KEY_42), unknown, strangers)[0] is None


def test_a_reading_that_failed_is_no_absence(dialect):
    """[ours] 5xx, 429 and another order's answer prove nothing."""
    for status in (500, 429):
        with pytest.raises(OutcomeUnknown):
            hold(dialect.look_up(KEY_42), HttpReply(status, b"null"))
    other = status_answer(cloid="0x00000000000000000000000000000001")
    with pytest.raises(WireError):
        hold(dialect.look_up(KEY_42), {"status": "order", "order": other})


def test_the_fence_burns_the_very_nonce_of_the_order(dialect):
    """[venue] noop with the nonce that the order was signed with; taken, the order can never be executed."""
    dialect.place(order(), NOW)
    dialect.place(order(client_id=43), NOW)
    closed, (call,) = hold(dialect.fence(OrderKey(symbol="SOL", client_id=43)), OK)
    signed = json.loads(dialect.sign(call, NOW + 3_000).body)
    assert (closed, signed["action"], signed["nonce"], signed["expiresAfter"]) == (
        True,
        {"type": "noop"},
        NOW + 1,
        None,
    )
    fresh = Signer(KEY, mainnet=False)
    assert signed == {**fresh.envelope({"type": "noop"}, NOW + 1)}


def test_a_nonce_that_is_used_already_fences_nothing(dialect):
    """[ours] The order may have used it: refused or unanswered, the fence is not proven."""
    assert hold(dialect.fence(KEY_42)) == (False, [])
    dialect.place(order(), NOW)
    with pytest.raises(OutcomeUnknown):
        hold(dialect.fence(KEY_42), {"status": "err", "response": f"Invalid nonce: duplicate nonce {NOW}"})
    with pytest.raises(OutcomeUnknown):
        hold(dialect.fence(KEY_42), HttpReply(502, b""))


def test_a_dead_mans_switch_that_the_account_may_not_use_is_told_once(dialect):
    """[venue] Refused until 1,000,000 USD were traded; after that it is not asked for again."""
    told = load("errors.json")[5]["response"]
    with pytest.raises(Refused):
        hold(dialect.dead_man("SOL", 60), told)
    assert hold(dialect.dead_man("SOL", 60)) == (None, [])
    assert hold(dialect.dead_man("SOL", 0)) == (None, [])


# -- readings of several requests


def fill_row(time_ms, tid, oid=77, coin="SOL"):
    row = {"coin": coin, "px": "101.5", "sz": "0.1", "side": "B", "time": time_ms, "startPosition": "0.0", "oid": oid}
    return {**row, "crossed": False, "fee": "0.001", "tid": tid, "feeToken": "USDC"}


def test_fills_of_an_order_are_read_from_when_it_was_sent(dialect):
    """[client] Each trade once, oldest first, under our client id; others' are left out."""
    dialect.place(order(), NOW)
    key = OrderKey(symbol="SOL", client_id=42, venue_id="77")
    rows = [fill_row(NOW + 9, 2), fill_row(NOW + 1, 1), fill_row(NOW + 1, 1), fill_row(NOW + 1, 3, oid=5)]
    fills, (call,) = hold(dialect.order_fills(key), rows)
    assert json.loads(call.body) == {"type": "userFillsByTime", "user": ADDRESS, "startTime": NOW - 60_000}
    assert [(each.trade_id, each.client_id) for each in fills] == [(f"{NOW + 1}-1", 42), (f"{NOW + 9}-2", 42)]


def test_fills_of_an_order_from_before_a_restart_are_read_without_its_time(dialect):
    """[client] The look-up names it; the newest 2000 fills are searched."""
    answer = {"status": "order", "order": status_answer("filled", "0.0")}
    fills, calls = hold(dialect.order_fills(KEY_42), answer, [fill_row(NOW, 1)])
    assert [json.loads(call.body)["type"] for call in calls] == ["orderStatus", "userFills"]
    assert len(fills) == 1
    assert hold(dialect.order_fills(KEY_42), {"status": "unknownOid"}, [])[0] == ()


def test_full_pages_of_fills_are_followed(dialect):
    """[venue] 2000 a page: the next begins at the last one's time; what does not end is doubt."""
    page = [fill_row(NOW + number, number) for number in range(2000)]
    fills, calls = hold(dialect.recent_fills(NOW), page, [fill_row(NOW + 1999, 1999), fill_row(NOW + 2000, 2000)])
    assert (len(fills), json.loads(calls[1].body)["startTime"]) == (2001, NOW + 1999)
    with pytest.raises(OutcomeUnknown):
        hold(dialect.recent_fills(NOW), [fill_row(NOW, number) for number in range(2000)])


def test_cancel_all_lists_and_cancels_by_the_venues_ids(dialect):
    """[venue] No such action: one batch for this market's orders, whoever placed them."""
    listed = [
        {"coin": coin, "side": "B", "limitPx": "101.5", "sz": "0.2", "oid": oid, "timestamp": NOW, "origSz": "0.2"}
        for coin, oid in (("SOL", 1), ("ETH", 2), ("SOL", 3))
    ]
    done = {"status": "ok", "response": {"type": "cancel", "data": {"statuses": ["success", {"error": "x"}]}}}
    done["response"]["data"]["statuses"][1]["error"] = "Order was never placed, already canceled, or filled. asset=5"
    _, calls = hold(dialect.cancel_all("SOL"), listed, done)
    assert json.loads(calls[1].body) == {"type": "cancel", "cancels": [{"a": 5, "o": 1}, {"a": 5, "o": 3}]}
    assert len(hold(dialect.cancel_all("BTC"), listed)[1]) == 1
    done["response"]["data"]["statuses"][1]["error"] = "Something else"
    with pytest.raises(Refused):
        hold(dialect.cancel_all("SOL"), listed, done)


# -- the stream


def test_only_what_is_new_is_subscribed(dialect):
    """[venue] A repeated subscription is an error here; a fresh connection starts from nothing."""
    (line,) = dialect.lines()
    assert (line.name, line.private, line.ping_text) == ("main", True, '{"method":"ping"}')
    assert dialect.login("main", NOW) == ()
    first = [json.loads(text)["subscription"] for text in dialect.subscribe("main", ["SOL"], NOW)]
    assert [each["type"] for each in first] == ["orderUpdates", "userFills", "clearinghouseState", "spotState", "bbo"]
    assert {each.get("user") for each in first[:4]} == {ADDRESS}
    (more,) = dialect.subscribe("main", ["SOL", "@156"], NOW)
    assert json.loads(more)["subscription"] == {"type": "bbo", "coin": "@156"}
    assert dialect.subscribe("main", ["SOL", "@156"], NOW) == []
    dialect.login("main", NOW)
    assert len(dialect.subscribe("main", ["SOL"], NOW)) == 5
