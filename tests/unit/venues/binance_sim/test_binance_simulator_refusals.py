"""What the simulated Binance refuses: keys, signatures, times, filters - in the venue's own codes."""

from decimal import Decimal
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.venues.binance_sim.exchange import Exchange, Peer
from venues.binance.simulator import Choices
from venues.simulation.app import Request

FUTURES, SPOT = "fapi/v1", "api/v3"


@pytest.mark.parametrize("ed25519", [False, True], ids=["hmac", "ed25519"])
@pytest.mark.parametrize("in_body", [False, True], ids=["query", "body"])
def test_a_good_signature_is_taken_from_the_query_and_from_the_body(ed25519, in_body):
    """[venue] Both products, both keys."""
    exchange = Exchange()
    exchange.ed25519 = ed25519
    fields = {
        "symbol": "SOLUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "quantity": "0.5",
        "price": "135.5",
        "timeInForce": "GTC",
    }
    for product in (FUTURES, SPOT):
        assert exchange.ask("POST", f"/{product}/order", in_body, **fields)[0] == 200


def test_query_and_body_are_signed_as_one_text_and_the_query_wins():
    """[venue] Joined by nothing."""
    exchange = Exchange()
    query = "symbol=SOLUSDT&side=BUY&type=LIMIT&quantity=0.5&price=135.5"
    body = f"timeInForce=GTC&price=1&timestamp={exchange.sim.now_ms()}"
    status, placed = exchange.send("POST", "/fapi/v1/order", query, f"{body}&signature={exchange.sign(query + body)}")
    assert (status, placed["price"]) == (200, "135.5000")
    assert (
        exchange.send("POST", "/fapi/v1/order", query, f"{body}&signature={exchange.sign(query + '&' + body)}")[0]
        == 400
    )


def test_an_hmac_signature_may_have_any_letter_case():
    """[venue] Hex is hex."""
    exchange = Exchange()
    text = f"timestamp={exchange.sim.now_ms()}"
    assert exchange.send("GET", "/fapi/v3/account", f"{text}&signature={exchange.sign(text).upper()}")[0] == 200


def test_keys_signatures_and_times_that_are_wrong():
    """[venue] -2014 without a key, -2015 for a stranger's, -1022, -1102, -1131; -1021 on both sides of the window."""
    exchange = Exchange()
    now = exchange.sim.now_ms()

    def ask(key=None, sign=exchange.sign, **params):
        text = urlencode(params)
        status, told = exchange.send("GET", "/api/v3/account", f"{text}&signature={sign(text)}", key=key)
        return status, told.get("code", 0)

    assert ask(timestamp=now) == (200, 0)
    assert ask(timestamp=now, key="") == (400, -2014)
    assert ask(timestamp=now, key="stranger") == (401, -2015)
    assert ask(timestamp=now, sign=lambda text: "00") == (400, -1022)
    assert ask(timestamp=now, sign=lambda text: "") == (400, -1102)
    assert ask() == (400, -1102)
    assert ask(timestamp="soon") == (400, -1102)
    assert ask(timestamp=now, recvWindow=60_001) == (400, -1131)
    assert ask(timestamp=now, recvWindow="x") == (400, -1131)
    assert ask(timestamp=now - 5_000) == (200, 0)
    assert ask(timestamp=now - 5_001) == (400, -1021)
    assert ask(timestamp=now - 5_001, recvWindow="5001.5") == (200, 0)
    assert ask(timestamp=now + 999) == (200, 0)
    assert ask(timestamp=now + 1000) == (400, -1021)
    assert ask(timestamp=now * 1000) == (200, 0)


def test_a_changed_byte_breaks_the_signature():
    """[ours] The text that is checked is the one that was sent."""
    exchange = Exchange()
    text = f"symbol=SOLUSDT&timestamp={exchange.sim.now_ms()}"
    assert exchange.send("GET", "/fapi/v1/openOrders", f"{text}&signature={exchange.sign(text)}")[0] == 200
    changed = text.replace("SOL", "BTC")
    assert exchange.send("GET", "/fapi/v1/openOrders", f"{changed}&signature={exchange.sign(text)}")[1]["code"] == -1022


PERP_CASES = [
    ({"symbol": "NOPE"}, -1121),
    ({"symbol": None}, -1102),
    ({"side": "LEFT"}, -1117),
    ({"type": "STOP"}, -1116),
    ({"timeInForce": "GTD"}, -1115),
    ({"timeInForce": None}, -1102),
    ({"type": "MARKET", "timeInForce": "GTC"}, -1106),
    ({"type": "MARKET"}, -1106),
    ({"quantity": None}, -1102),
    ({"quantity": "many"}, -1100),
    ({"quantity": "0"}, -4003),
    ({"quantity": "-1"}, -4003),
    ({"quantity": "0.005"}, -1111),
    ({"quantity": "1000001"}, -4005),
    ({"type": "MARKET", "price": None, "quantity": "5000.01"}, -4005),
    ({"price": "135.00001"}, -1111),
    ({"price": "135.005"}, -4014),
    ({"price": "0.41"}, -4013),
    ({"price": "7000"}, -4002),
    ({"price": "150"}, -4016),
    ({"price": "130", "side": "SELL"}, -4024),
    ({"quantity": "0.03"}, -4164),
    ({"timeInForce": "GTX", "price": "145"}, -5022),
    ({"reduceOnly": "true"}, -2022),
    ({"quantity": "2000"}, -2019),
    ({"newClientOrderId": "x" * 37}, -4015),
    ({"newClientOrderId": "a b"}, -4015),
    ({"newClientOrderId": "taken"}, -4116),
    ({"positionSide": "LONG"}, -4061),
]
SPOT_CASES = [
    ({"symbol": "NOPE"}, -1121, ""),
    ({"timeInForce": "GTX"}, -1115, ""),
    ({"type": "LIMIT_MAKER", "timeInForce": "GTC"}, -1106, ""),
    ({"reduceOnly": "true"}, -1106, ""),
    ({"quantity": "0.5000000001"}, -1111, "too much precision"),
    ({"quantity": "0.0001"}, -1013, "LOT_SIZE"),
    ({"quantity": "0.5001"}, -1013, "LOT_SIZE"),
    ({"quantity": "90000.001"}, -1013, "LOT_SIZE"),
    ({"type": "MARKET", "price": None, "timeInForce": None, "quantity": "21001"}, -1013, "LOT_SIZE"),
    ({"price": "135.001"}, -1013, "PRICE_FILTER"),
    ({"price": "1000001"}, -1013, "PRICE_FILTER"),
    ({"price": "1000"}, -1013, "PERCENT_PRICE_BY_SIDE"),
    ({"price": "20"}, -1013, "PERCENT_PRICE_BY_SIDE"),
    ({"quantity": "0.03"}, -1013, "NOTIONAL"),
    ({"type": "LIMIT_MAKER", "timeInForce": None, "price": "145"}, -2010, "immediately match"),
    ({"quantity": "100"}, -2010, "insufficient balance"),
    ({"side": "SELL", "price": "145", "quantity": "11"}, -2010, "insufficient balance"),
    ({"newClientOrderId": "taken"}, -2010, "Duplicate order sent."),
    ({"newClientOrderId": "ü"}, -1100, "newClientOrderId"),
]


@pytest.mark.parametrize(("fields", "code"), PERP_CASES)
def test_each_refusal_of_a_perp_order(fields, code):
    """[venue] The sheet's codes; nothing rests afterwards."""
    exchange = Exchange()
    exchange.order(newClientOrderId="taken")
    status, told = exchange.order(**({"timeInForce": "GTC"} if fields.get("type") in (None, "STOP") else {}) | fields)
    assert (status, told["code"]) == (400, code)
    assert len(exchange.sim.engine.orders) == 1


@pytest.mark.parametrize(("fields", "code", "text"), SPOT_CASES)
def test_each_refusal_of_a_spot_order(fields, code, text):
    """[venue] One code for every filter, with its name."""
    exchange = Exchange()
    exchange.order(SPOT, newClientOrderId="taken")
    status, told = exchange.order(SPOT, **fields)
    assert (status, told["code"]) == (400, code)
    assert text in told["msg"]
    assert len(exchange.sim.engine.orders) == 1


def test_the_smallest_reduce_only_order_needs_no_notional():
    """[venue] So dust can be closed on perps."""
    exchange = Exchange()
    exchange.order(type="MARKET", price=None)
    assert exchange.order(type="MARKET", price=None, side="SELL", quantity="0.01", reduceOnly="true")[0] == 200
    assert exchange.order(type="MARKET", price=None, side="SELL", quantity="0.01")[1]["code"] == -4164


def test_numbers_as_floats_are_read_generously():
    """[venue] The SDK sends 135.0 and 5e-1."""
    _, placed = Exchange().order(quantity="5e-1", price="135.0")
    assert (placed["origQty"], placed["price"]) == ("0.50", "135.0000")


def test_hedge_mode_wants_a_side_and_takes_no_reduce_only():
    """[venue] -4061 and -1106, and the mode is told."""
    exchange = Exchange(choices=Choices(hedged=True))
    assert exchange.ask("GET", "/fapi/v1/positionSide/dual")[1] == {"dualSidePosition": True}
    assert exchange.order()[1]["code"] == -4061
    assert exchange.order(positionSide="LONG", reduceOnly="true")[1]["code"] == -1106


def test_a_post_only_order_may_also_be_taken_and_expire():
    """[gap] How the venue answers today is one of two ways; this is the other."""
    exchange = Exchange(choices=Choices(post_only_cross="expire"))
    status, row = exchange.order(timeInForce="GTX", price="145")
    assert (status, row["status"], row["executedQty"]) == (200, "EXPIRED", "0.00")


def test_an_ioc_or_fok_order_that_finds_nothing_is_taken_and_expires():
    """[venue] A 200 with an expired order."""
    for product in (FUTURES, SPOT):
        exchange = Exchange()
        assert exchange.order(product, timeInForce="IOC")[1]["status"] == "EXPIRED"
        assert exchange.order(product, timeInForce="FOK")[1]["status"] == "EXPIRED"
    assert exchange.order(SPOT, timeInForce="IOC")[1]["expiryReason"] == "IOC_EXPIRED"


def test_requests_about_orders_that_are_not_there():
    """[venue] -2013 for a query, -2011 for a cancel, -1102 without an id, -1128 for a bad mixture."""
    exchange = Exchange()
    for product, trades in ((FUTURES, "userTrades"), (SPOT, "myTrades")):
        assert exchange.ask("GET", f"/{product}/order", symbol="SOLUSDT", orderId=1)[1]["code"] == -2013
        assert exchange.ask("DELETE", f"/{product}/order", symbol="SOLUSDT", orderId=1)[1]["code"] == -2011
        assert exchange.ask("GET", f"/{product}/order", symbol="SOLUSDT")[1]["code"] == -1102
        assert exchange.ask("GET", f"/{product}/{trades}", symbol="SOLUSDT", fromId=1, startTime=1)[1]["code"] == -1128
    assert exchange.ask("DELETE", "/api/v3/openOrders", symbol="SOLUSDT")[1]["code"] == -2011
    done = exchange.ask("DELETE", "/fapi/v1/allOpenOrders", symbol="SOLUSDT")
    assert done == (200, {"code": 200, "msg": "The operation of cancel all open order is done."})


def test_all_orders_of_a_market_are_cancelled_and_no_others():
    """[venue] Spot lists what it cancelled."""
    exchange = Exchange()
    exchange.order(SPOT)
    exchange.order(SPOT)
    exchange.order(FUTURES)
    _, rows = exchange.ask("DELETE", "/api/v3/openOrders", symbol="SOLUSDT")
    assert [row["status"] for row in rows] == ["CANCELED", "CANCELED"]
    assert len(exchange.ask("GET", "/fapi/v1/openOrders")[1]) == 1


def test_the_countdown_cancels_the_orders_of_its_market_unless_it_is_renewed_or_stopped():
    """[venue] Per symbol; it never touches positions."""

    exchange = Exchange()
    exchange.order()
    assert exchange.ask("POST", "/fapi/v1/countdownCancelAll", symbol="SOLUSDT", countdownTime=10_000)[1] == {
        "symbol": "SOLUSDT",
        "countdownTime": "10000",
    }
    exchange.later(8)
    exchange.ask("POST", "/fapi/v1/countdownCancelAll", symbol="SOLUSDT", countdownTime=10_000)
    exchange.later(8)
    assert len(exchange.ask("GET", "/fapi/v1/openOrders")[1]) == 1
    exchange.later(3)
    assert exchange.ask("GET", "/fapi/v1/openOrders")[1] == []
    exchange.order()
    exchange.ask("POST", "/fapi/v1/countdownCancelAll", symbol="SOLUSDT", countdownTime=5_000)
    exchange.ask("POST", "/fapi/v1/countdownCancelAll", symbol="SOLUSDT", countdownTime=0)
    exchange.later(9)
    assert len(exchange.ask("GET", "/fapi/v1/openOrders")[1]) == 1


def test_a_listen_key_dies_an_hour_after_its_last_extension():
    """[venue] 60 minutes from the last POST or PUT."""

    exchange = Exchange()
    peer = exchange.account_stream()
    exchange.later(3000)
    assert exchange.send("PUT", "/fapi/v1/listenKey")[0] == 200
    exchange.later(3000)
    assert "listenKeyExpired" not in {event["e"] for event in peer.heard}
    exchange.later(700)
    assert peer.heard[-1]["e"] == "listenKeyExpired"
    assert exchange.send("PUT", "/fapi/v1/listenKey")[1]["code"] == -1125


@pytest.mark.parametrize(("reason", "code"), [("", -2019), ("PRICE_BAND", -4016), ("RATE_LIMITED", -1015)])
def test_a_reject_fault_speaks_the_venues_words(reason, code):
    """[ours] Over REST and over the WebSocket API."""
    exchange = Exchange(faults=[{"action": "reject", "kind": "place", "params": {"reason": reason}}])
    status, told = exchange.order()
    assert (status, told["code"]) == (429 if reason == "RATE_LIMITED" else 400, code)
    fields = {
        "symbol": "SOLUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.5",
        "price": "135.5",
    }
    answer = exchange.call(exchange.stream("/ws-fapi/v1"), "order.place", **fields)
    assert answer["error"]["code"] == code


def test_cancel_faults_refuse_or_wait():
    """[ours] A slow cancel is acknowledged with the order as it still is."""
    refusing = Exchange(faults=[{"action": "reject", "kind": "cancel"}])
    refusing.order(newClientOrderId="7")
    assert refusing.ask("DELETE", "/fapi/v1/order", symbol="SOLUSDT", origClientOrderId="7")[1]["code"] == -2011

    slow = Exchange(faults=[{"action": "slow_cancel", "params": {"ms": 900}}])
    slow.order(newClientOrderId="7")
    status, row = slow.ask("DELETE", "/fapi/v1/order", symbol="SOLUSDT", origClientOrderId="7")
    assert (status, row["status"]) == (200, "NEW")
    slow.later(1)
    assert slow.ask("GET", "/fapi/v1/openOrders")[1] == []


def test_a_partial_fill_fault_trades_a_share():
    """[ours] Half of a market order, the rest expires."""
    exchange = Exchange(faults=[{"action": "partial_fill", "params": {"fraction": "0.5"}}])
    _, row = exchange.order(type="MARKET", price=None)
    assert (row["status"], row["executedQty"]) == ("EXPIRED", "0.25")


def test_used_weight_and_orders_are_told():
    """[venue] Counted in headers, never enforced here."""
    exchange = Exchange()
    reply = exchange.sim.http(Request("GET", "/fapi/v1/ping", "", {}, b""))
    assert reply.headers["x-mbx-used-weight-1m"] == "1"
    assert reply.headers["content-type"].startswith("application/json")


SHARED = Exchange()
"""One venue for all that is thrown at it."""
WORDS = st.sampled_from(
    ["SOLUSDT", "BUY", "LIMIT", "GTC", "0.5", "135.5", "", "-1", "1e400", "NaN", "9" * 60, "é", "\x00"]
)
NAMES = (
    "symbol",
    "side",
    "type",
    "timeInForce",
    "quantity",
    "price",
    "orderId",
    "newClientOrderId",
    "recvWindow",
    "limit",
)


@settings(max_examples=150, deadline=None)
@given(fields=st.dictionaries(st.sampled_from(NAMES), WORDS), place=st.integers(0, 10_000))
def test_no_request_breaks_the_simulator(fields, place):
    """[ours] Whatever is asked, signed or not, an answer in the venue's form comes back."""
    exchange = SHARED
    routes = sorted(exchange.sim._gateway._routes)
    method, path = routes[place % len(routes)]
    status, told = exchange.ask(method, path, **fields)
    assert status == 200 or set(told) == {"code", "msg"}
    assert exchange.sim.engine.margin("futures").equity > Decimal(0)


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=60) | st.recursive(st.none() | st.integers() | WORDS, st.lists, max_leaves=4).map(repr))
def test_no_frame_breaks_the_simulator(text):
    """[ours] On any kind of stream."""
    for path in ("/ws-api/v3", "/ws-fapi/v1", "/public/ws", "/private/stream"):
        peer = SHARED.stream(path, Peer())
        SHARED.sim.ws_text(peer, text)
        SHARED.sim.ws_text(peer, f'{{"id":{{}},"method":"order.place","params":{{"symbol":{text!r}}}}}')
        assert len(peer.heard) == 2
        SHARED.sim.ws_closed(peer)


@pytest.mark.parametrize(
    "text",
    ['{"id":"\\ud800","method":"time"}', '{"id":1,"method":"\\ud800"}', "[" * 100_000, '{"id":' + "9" * 40 + "}"],
)
def test_a_frame_that_no_answer_could_repeat_is_answered_without_it(text):
    """[ours] Half a character, or brackets without end."""
    for path in ("/ws-api/v3", "/public/ws"):
        peer = SHARED.stream(path, Peer())
        SHARED.sim.ws_text(peer, text)
        assert peer.heard[0]["id"] is None
        assert SHARED.sim.text_kind(text) == "other"
