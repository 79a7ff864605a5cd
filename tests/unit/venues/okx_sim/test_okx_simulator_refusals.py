"""What the OKX simulator refuses, and in which words."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.venues.okx_sim.okx_trader import BTC, PERP, SPOT, Ear, Trader, fixture, limit, market
from venues.okx.simulator import Choices
from venues.simulation.app import Request
from venues.simulation.okx_forms import REFUSALS

CODE_TABLE = fixture("error_codes.json")


@pytest.fixture
def trader():
    return Trader()


def test_the_words_of_every_refusal_are_the_venues_own():
    """[venue] Compared with its list of codes, up to what the text names."""
    texts = {}
    for row in CODE_TABLE["rest"]:
        texts.setdefault((row["code"], row["sub"] or ""), []).append(row["msg"])
    for code, sub, text in REFUSALS.values():
        start = text.partition("USDT")[0].partition("{")[0]
        if code == "51000":
            start = "Parameter"
        assert any(known.startswith(start) for known in texts[code, sub]), (code, text)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"ok-access-key": None}, "50103"),
        ({"ok-access-passphrase": ""}, "50104"),
        ({"ok-access-sign": None}, "50106"),
        ({"ok-access-timestamp": None}, "50107"),
        ({"ok-access-timestamp": "yesterday"}, "50112"),
        ({"ok-access-timestamp": "2020-01-01T00:00:00.000Z"}, "50102"),
        ({"ok-access-key": "other"}, "50111"),
        ({"ok-access-passphrase": "other"}, "50105"),
        ({"ok-access-sign": "b3RoZXI="}, "50113"),
        ({"ok-access-sign": "ü"}, "50113"),
        ({"x-simulated-trading": "1"}, "50101"),
    ],
)
def test_a_request_that_is_not_ours_is_401_without_data(trader, headers, code):
    """[venue] The gateway's shape: code and msg only."""
    reply = trader.send("GET", "account/config", headers=headers)
    told = json.loads(reply.body)
    assert (reply.status, told["code"], set(told)) == (401, code, {"code", "msg"})


def test_the_signature_covers_the_raw_query_and_the_exact_body(trader):
    """[venue] A comma raw or encoded, JSON with any spacing: what was signed is what is checked."""
    for query in ("instId=SOL-USDT-SWAP,BTC-USDT-SWAP", "instId=SOL-USDT-SWAP%2CBTC-USDT-SWAP"):
        headers = {
            "ok-access-key": trader.key,
            "ok-access-passphrase": trader.passphrase,
            "ok-access-timestamp": "2026-01-05T00:00:00.000Z",
        }
        text = f"2026-01-05T00:00:00.000ZGET/api/v5/account/positions?{query}"
        headers["ok-access-sign"] = trader.signature(text)
        reply = trader.sim.http(Request("GET", "/api/v5/account/positions", query, headers, b""))
        assert reply.status == 200
        other = query.replace("%2C", ",") if "%" in query else query.replace(",", "%2C")
        assert trader.sim.http(Request("GET", "/api/v5/account/positions", other, headers, b"")).status == 401
    spaced = json.dumps(limit(), indent=1)
    assert trader.send("POST", "trade/order", body=spaced).status == 200


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"instId": None}, "50014"),
        ({"instId": "SOL-USD"}, "51001"),
        ({"tdMode": None}, "50014"),
        ({"tdMode": "margin"}, "51000"),
        ({"tdMode": "isolated"}, "51010"),
        ({"side": "up"}, "51000"),
        ({"ordType": "trigger"}, "51000"),
        ({"sz": None}, "50014"),
        ({"sz": "x"}, "51000"),
        ({"sz": "-1"}, "51000"),
        ({"sz": "0"}, "51020"),
        ({"sz": "0.009"}, "51020"),
        ({"sz": "0.015"}, "51121"),
        ({"sz": "100000000.01"}, "51005"),
        ({"px": None}, "51000"),
        ({"px": "0"}, "51000"),
        ({"px": "135.001"}, "51000"),
        ({"px": "200"}, "51006"),
        ({"side": "sell", "px": "100"}, "51006"),
        ({"sz": "5000"}, "51008"),
        ({"clOrdId": "a-b"}, "51000"),
        ({"clOrdId": "a" * 33}, "51000"),
        ({"tag": "a" * 17}, "51000"),
        ({"posSide": "long"}, "51000"),
        ({"reduceOnly": "maybe"}, "51000"),
        ({"reduceOnly": True, "side": "sell", "px": "145"}, "51169"),
        ({"stpMode": "none"}, "51000"),
        ({"instId": SPOT, "tdMode": "cash", "reduceOnly": True}, "51205"),
        ({"instId": SPOT, "tdMode": "cross"}, "51010"),
        ({"instId": SPOT, "tdMode": "cash", "sz": "0.0009"}, "51020"),
        ({"instId": SPOT, "tdMode": "cash", "sz": "0.0010001"}, "51121"),
        ({"instId": SPOT, "tdMode": "cash", "sz": "1000"}, "51008"),
        ({"instId": SPOT, "tdMode": "cash", "sz": "11", "side": "sell", "px": "145"}, "51008"),
        (market(instId=BTC, sz="12000.01"), "51202"),
    ],
    ids=str,
)
def test_an_order_that_breaks_a_rule_is_refused_in_its_row(trader, fields, code):
    """[venue] HTTP 200, code 1, the reason in sCode; nothing reaches the engine."""
    told = trader.ask("POST", "trade/order", limit(**fields))
    (row,) = told["data"]
    assert (told["code"], told["msg"], row["sCode"], row["ordId"]) == ("1", "All operations failed", code, "")
    assert row["sMsg"]
    assert trader.sim.engine.orders == {}


def test_empty_and_null_fields_are_absent(trader):
    """[client] python-okx sends them for what is not set."""
    unset = dict.fromkeys(("ccy", "tag", "posSide", "reduceOnly", "tgtCcy", "stpMode", "banAmend"), "")
    assert trader.order(**unset, attachAlgoOrds=None)["sCode"] == "0"


def test_a_client_id_is_unique_among_live_orders_only(trader):
    """[venue] So a resent market order would be filled again."""
    trader.placed(clOrdId="42")
    assert trader.order(clOrdId="42")["sCode"] == "51016"
    assert trader.order(clOrdId="42", instId=SPOT, tdMode="cash")["sCode"] == "51016"
    trader.ask("POST", "trade/cancel-order", {"instId": PERP, "clOrdId": "42"})
    assert [trader.order(**market(clOrdId="42"))["sCode"] for _ in range(2)] == ["0", "0"]


def test_a_reduce_only_order_of_the_same_direction_is_refused(trader):
    """[venue] 51170, where there is a position."""
    trader.placed(**market())
    assert trader.order(**market(reduceOnly=True))["sCode"] == "51170"


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"clOrdId": "1"}, "51400"), ({"ordId": "x"}, "51400"), ({}, "51003"), ({"instId": None, "ordId": "1"}, "50014")],
    ids=str,
)
def test_a_cancel_of_nothing_is_refused_in_its_row(trader, fields, code):
    """[venue] Filled, cancelled and unknown are one code."""
    body = {name: value for name, value in ({"instId": PERP} | fields).items() if value}
    assert trader.ask("POST", "trade/cancel-order", body)["data"][0]["sCode"] == code


@pytest.mark.parametrize(("body", "status", "code"), [("", 400, "50000"), ("{", 400, "50002"), ("[]", 400, "50002")])
def test_a_body_that_is_no_order_is_refused_as_a_whole(trader, body, status, code):
    """[venue] HTTP 400 with data."""
    reply = trader.send("POST", "trade/batch-orders", body=body)
    assert (reply.status, json.loads(reply.body)["code"]) == (status, code)


def test_readings_refuse_what_they_do_not_know(trader):
    """[venue] Unknown order, market, kind, path."""
    assert (
        trader.ask("GET", "trade/order", {"instId": PERP, "clOrdId": "9"})
        == fixture("order_ack.json")["query_not_found"]
    )
    assert trader.ask("GET", "market/books", {"instId": "X"})["code"] == "51001"
    assert trader.ask("GET", "public/instruments")["code"] == "51000"
    assert trader.send("GET", "nowhere").status == 404


def test_an_account_in_another_mode_refuses_as_documented():
    """[venue] No swaps in spot mode; posSide in long/short mode; the mode stays while orders rest."""
    assert Trader(choices=Choices(account_level="1")).order()["sCode"] == "51010"
    hedged = Trader(choices=Choices(position_mode="long_short_mode"))
    assert hedged.order()["sMsg"] == "Parameter posSide error"
    assert hedged.order(posSide="long")["sCode"] == "0"
    assert hedged.ask("POST", "account/set-position-mode", {"posMode": "net_mode"})["code"] == "59000"


def test_a_venue_that_refuses_its_own_numbers_takes_orders_by_name():
    """[venue] As demo trading did in 2026-09."""
    trader = Trader(choices=Choices(codes_refused=True))
    ear = trader.listen()
    order = {name: value for name, value in limit().items() if name != "instId"}
    trader.say(ear, "order", [{"instIdCode": 10465, **order}], id="1")
    assert ear.last()["data"][0]["sCode"] == "51001"
    assert trader.order()["sCode"] == "0"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"apiKey": "other"}, "60005"),
        ({"passphrase": "other"}, "60024"),
        ({"sign": "other"}, "60007"),
        ({"timestamp": "x"}, "60004"),
        ({"timestamp": "1700000000"}, "60006"),
    ],
)
def test_a_login_that_is_not_ours_is_an_error_event(trader, changes, code):
    """[venue] With a connId; a second login on one socket is 60031."""
    ear = Ear()
    trader.sim.ws_open(ear, "/ws/v5/private?brokerId=9999", {})
    trader.login(ear, **changes)
    assert (ear.last()["event"], ear.last()["code"]) == ("error", code)
    trader.login(ear)
    assert (ear.last()["event"], ear.last()["code"]) == ("login", "0")
    trader.login(ear)
    assert ear.last()["code"] == "60031"


@pytest.mark.parametrize(
    ("line", "frame", "code"),
    [
        ("private", {"op": "subscribe", "args": [{"channel": "account"}]}, "60011"),
        ("public", {"op": "subscribe", "args": [{"channel": "account"}]}, "60018"),
        ("public", {"op": "subscribe", "args": [{"channel": "bbo-tbt", "instId": "X"}]}, "60018"),
        ("private", {"op": "subscribe", "args": [{"channel": "bbo-tbt", "instId": PERP}]}, "60018"),
        ("public", {"op": "subscribe", "args": []}, "60012"),
        ("public", {"op": "dance", "args": []}, "60019"),
        ("public", {"op": "login", "args": [{}]}, "60028"),
        ("private", {"op": "order", "id": "1", "args": [{}]}, "60011"),
        ("public", [], "60012"),
    ],
    ids=str,
)
def test_a_frame_that_may_not_be_is_an_error_event(trader, line, frame, code):
    """[venue] Not logged in, wrong line, unknown channel or op."""
    ear = Ear()
    trader.sim.ws_open(ear, f"/ws/v5/{line}", {})
    trader.sim.ws_text(ear, json.dumps(frame))
    assert (ear.last()["event"], ear.last()["code"]) == ("error", code)


NAMES = st.sampled_from(
    [*("instId", "instIdCode", "tdMode", "side", "ordType", "sz", "px", "clOrdId", "ordId", "tag", "reduceOnly"),
     *("tgtCcy", "stpMode", "posSide", "timeOut", "lever", "posMode", "instType", "after", "limit", "ccy", "banAmend")]
)  # fmt: skip
VALUES = st.sampled_from(
    [PERP, SPOT, BTC, "cross", "cash", "buy", "sell", "limit", "market", "post_only", "0.05", "135", "1e5", "NaN", "-1",
     "9" * 40, "", "١", "💥", None, True, 1, 10459, -1, 10**30, 1.5, [], {}, [{}], "base_ccy", "quote_ccy", "30"]
)  # fmt: skip
FIELDS = st.dictionaries(NAMES, VALUES, max_size=8).map(lambda extra: limit() | extra)
PATHS = st.sampled_from(sorted(path for _, path in Trader().sim._routes))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(PATHS, FIELDS, st.booleans()), max_size=4))
def test_whatever_a_client_sends_okx_answers_and_the_account_stays_sound(requests):
    """[ours] Nothing raises; money neither appears nor goes below zero."""
    trader = Trader()
    ear = trader.listen({"channel": "orders", "instType": "ANY"}, {"channel": "account"})
    for path, fields, many in requests:
        name = path.removeprefix("/api/v5/")
        for method in ("GET", "POST"):
            reply = trader.send(method, name, [fields] if many and method == "POST" else fields)
            assert reply.status in (200, 400, 401, 404)
            json.loads(reply.body)
        trader.say(ear, "order", [fields], id="1")
        trader.say(ear, "subscribe", [fields | {"channel": "positions"}])
    trader.run(200)
    for balance in trader.sim.account.balances.values():
        assert balance.free >= 0 or balance is trader.sim.account.balances["USDT"]
        assert balance.locked >= 0
