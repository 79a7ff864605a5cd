"""What the Backpack simulator refuses, in the venue's status, code and words."""

import base64
import json
from decimal import Decimal

import pytest

from core.chance import Chance
from tests.unit.venues.backpack_sim.trader import PERP, SPOT, Ear, Trader, fixture, limit, market
from venues.backpack.simulator import BackpackSimulator, Choices
from venues.simulation.app import Request
from venues.simulation.faults import Faults

FOUND = "INVALID_CLIENT_REQUEST"


def told(reply):
    """Status, code and text of a refusal."""
    answer = json.loads(reply.body)
    assert set(answer) == {"code", "message"}
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    return reply.status, answer["code"], answer["message"]


def plain(reply):
    """The text of the framework's own refusal."""
    assert (reply.status, reply.headers["content-type"]) == (400, "text/plain; charset=utf-8")
    return reply.body.decode()


@pytest.mark.parametrize(
    ("order", "refusal"),
    [
        ({"quantity": "0.055"}, (400, FOUND, "Quantity decimal too long")),
        ({"price": "135.001"}, (400, FOUND, "Price decimal too long")),
        ({"quantity": "0"}, (400, FOUND, "Quantity is below the minimum allowed value")),
        ({"quantity": "-1"}, (400, FOUND, "Quantity is below the minimum allowed value")),
        ({"price": "90"}, (400, FOUND, "Price is too far from the last active price")),
        ({"price": "190"}, (400, FOUND, "Price is too far from the last active price")),
        ({"price": "-135"}, (400, FOUND, "Price is too far from the last active price")),
        ({"price": "9" * 28}, (400, FOUND, "Price is too far from the last active price")),
        ({"symbol": SPOT, "price": "135"}, (400, FOUND, "Price is too far from the last active price")),
        ({"price": "141", "postOnly": True}, (400, "INVALID_ORDER", "Order would immediately match and take")),
        ({"quantity": "100000"}, (400, "INSUFFICIENT_FUNDS", "Insufficient funds")),
        ({"quantity": "9" * 28}, (400, "INSUFFICIENT_FUNDS", "Insufficient funds")),
        (
            {"symbol": SPOT, "side": "Ask", "price": "141", "quantity": "10.01"},
            (400, "INSUFFICIENT_FUNDS", "Insufficient funds"),
        ),
        ({"reduceOnly": True}, (400, "INVALID_ORDER", "Reduce only order not reduced")),
        (
            {"triggerPrice": "150"},
            (400, FOUND, "Must specify both `triggerPrice` and `triggerQuantity` or neither"),
        ),
    ],
)
def test_an_order_that_breaks_a_rule_is_refused_in_the_venues_words(order, refusal):
    """[venue] Sheet, Errors; the texts are recorded ones where the sheet says so."""
    assert told(Trader().order(**order)) == refusal


def test_the_recorded_refusals_are_the_ones_given():
    """[venue] Code and text equal the recorded bodies."""
    recorded = [each["body"] for each in fixture("errors.json") if "body" in each]
    trader = Trader()
    replies = [
        trader.order(price="141", postOnly=True),
        trader.order(quantity="0.055"),
        trader.send("DELETE", "/api/v1/order", {"symbol": PERP, "orderId": "1"}),
        trader.order(price="90"),
        trader.send("GET", "/api/v1/capital", headers={"x-timestamp": "1"}),
        trader.order(quantity="100000"),
    ]
    assert [json.loads(reply.body) for reply in replies] == recorded[:6]


@pytest.mark.parametrize(
    ("order", "kind"),
    [
        ({"symbol": "SOL_USD"}, "MarketSymbol"),
        ({"symbol": None}, "MarketSymbol"),
        ({"symbol": 5}, "MarketSymbol"),
        ({"side": "Buy"}, "Side"),
        ({"orderType": "limit"}, "OrderType"),
        ({"timeInForce": "GTX"}, "TimeInForce"),
        ({"selfTradePrevention": "No"}, "SelfTradePrevention"),
        ({"price": 135}, "string_decimal"),
        ({"quantity": 0.05}, "string_decimal"),
        ({"quantity": "NaN"}, "string_decimal"),
        ({"quantity": "Infinity"}, "string_decimal"),
        ({"quantity": "1e-2"}, "string_decimal"),
        ({"quantity": "9" * 40}, "string_decimal"),
        ({"quantity": ""}, "string_decimal"),
        ({"postOnly": "true"}, "boolean"),
        ({"reduceOnly": 1}, "boolean"),
        ({"clientId": -1}, "integer_uint32"),
        ({"clientId": 2**32}, "integer_uint32"),
        ({"clientId": 1.5}, "integer_uint32"),
        ({"clientId": True}, "integer_uint32"),
        ({"clientId": "a1"}, "integer_uint32"),
        ({"clientId": [1]}, "integer_uint32"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_the_framework_in_plain_text(order, kind):
    """[venue] Bad enum, unknown symbol and wrong JSON type are text/plain 400, not JSON."""
    fields = limit() | order
    fields = {name: value for name, value in fields.items() if value is not None}
    reply = Trader().send("POST", "/api/v1/order", fields)
    assert plain(reply).startswith(f'parse request payload error: failed to parse "{kind}": ')
    assert plain(reply).endswith('(occurred while parsing "OrderExecutePayload")')


def test_an_unknown_symbol_gets_the_recorded_text():
    """[venue] errors.json, the recorded plain text for a bad market symbol."""
    recorded = [each["text"] for each in fixture("errors.json") if "MarketSymbol" in each.get("text", "")]
    assert [plain(Trader().order(symbol="NO_SUCH"))] == recorded


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe\xfa",
        b"{",
        b'"text"',
        b"[]",
        b"[{}]",
        b"null",
        b"17",
        b"[" * 100_000,
        b'{"clientId":' + b"9" * 5000 + b"}",
        b'{"price": "\\ud800"}',
        b"\x00",
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/api/v1/order"), ("DELETE", "/api/v1/order")])
def test_a_body_that_is_no_order_is_refused_and_never_raises(body, method, path):
    """[ours] Whatever bytes come, the answer is a 400."""
    trader = Trader()
    assert trader.send(method, path, body=body).status == 400


def test_a_batch_of_rubbish_is_refused_whole():
    """[ours] The framework parses the array before anything is executed."""
    trader = Trader()
    rows = [limit(clientId=1), {"symbol": PERP}]
    assert plain(trader.send("POST", "/api/v1/orders", rows))
    assert trader.get("/api/v1/orders") == []


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"x-api-key": None}, "Invalid X-API-Key header"),
        ({"x-signature": None}, "Invalid X-Signature header"),
        ({"x-signature": "not base64"}, "Invalid X-Signature header"),
        ({"x-signature": "AAAA"}, "Invalid X-Signature header"),
        ({"x-timestamp": None}, "Invalid X-Timestamp header"),
        ({"x-timestamp": "soon"}, "Invalid X-Timestamp header"),
        ({"x-window": "-5"}, "Invalid X-Window header"),
        ({"x-window": "60001"}, "Invalid X-Window header"),
        ({"x-window": "6000"}, "Invalid signature"),
        ({"x-signature": base64.b64encode(bytes(64)).decode()}, "Invalid signature"),
        ({"x-api-key": base64.b64encode(bytes(32)).decode()}, "Invalid signature"),
        ({"x-timestamp": "1767571194999"}, "Request has expired"),
        ({"x-timestamp": "1767571205001"}, "Request has expired"),
    ],
)
def test_a_request_without_good_credentials_is_refused(headers, message):
    """[venue] 400 INVALID_CLIENT_REQUEST for signature, header and clock alike."""
    reply = Trader().send("GET", "/api/v1/capital", headers=headers)
    assert told(reply) == (400, FOUND, message)


@pytest.mark.parametrize(("offset_ms", "status"), [(5000, 200), (-5000, 200), (5001, 400), (-5001, 400)])
def test_the_window_is_counted_in_both_directions(offset_ms, status):
    """[venue] |now - timestamp| may be the window and no more; an offset of the venue's clock counts."""
    assert Trader(clock_offset_ms=offset_ms).send("GET", "/api/v1/capital").status == status


def test_without_a_window_header_five_seconds_are_signed():
    """[venue] The string to sign says window=5000 although the header is missing."""
    assert Trader().send("GET", "/api/v1/capital", headers={"x-window": None}).status == 200


def vectors():
    return fixture("signing_vectors.json")


class Still:
    """A clock that shows the vectors' time."""

    def now_ms(self):
        return vectors()["timestamp_ms"]


def vector_answer(vector, *, signature=None, target=None):
    sim = BackpackSimulator(Still(), Chance(1), key_seed=base64.b64decode(vectors()["seed_base64"]))
    headers = {name.lower(): value for name, value in vector["headers"].items()}
    if signature is not None:
        headers["x-signature"] = signature
    path, _, query = (target or vector["target"]).partition("?")
    return sim.http(Request(vector["method"], path, query, headers, (vector["body"] or "").encode()))


def is_refused_signature(reply):
    return b"Invalid signature" in reply.body


def test_every_signing_vector_is_accepted():
    """[venue] All recorded request signatures of ccxt and bpx-py pass, encoded and raw values alike."""
    rest = [vector for vector in vectors()["vectors"] if "frame" not in vector]
    assert len(rest) == 22
    refused = [vector["name"] for vector in rest if is_refused_signature(vector_answer(vector))]
    assert refused == []
    assert all(vector_answer(vector).status in (200, 400, 404) for vector in rest)


def test_every_signing_vector_with_one_bit_flipped_is_refused():
    """[venue] "Invalid signature" for a signature that differs in one bit."""
    for vector in vectors()["vectors"]:
        if "frame" in vector:
            continue
        raw = bytearray(base64.b64decode(vector["headers"]["X-Signature"]))
        raw[10] ^= 1
        reply = vector_answer(vector, signature=base64.b64encode(raw).decode())
        assert told(reply) == (400, FOUND, "Invalid signature"), vector["name"]


def test_a_signature_holds_for_its_own_instruction_only():
    """[venue] Instruction and route are bound: a good signature fails on another route."""
    balances, positions = (
        next(each for each in vectors()["vectors"] if each.get("target") == f"/api/v1/{path}")
        for path in ("capital", "position")
    )
    assert is_refused_signature(vector_answer(balances, target="/api/v1/position"))
    assert is_refused_signature(vector_answer(positions, target="/api/v1/capital"))


def test_the_stream_vector_subscribes_and_a_flipped_bit_is_4003():
    """[venue] The 23rd vector; WS refusals are an error frame with id null."""
    frame = next(each["frame"] for each in vectors()["vectors"] if "frame" in each)
    sim = BackpackSimulator(Still(), Chance(1), key_seed=base64.b64decode(vectors()["seed_base64"]))
    good, bad = Ear(), Ear()
    for ear, signature in ((good, frame["signature"][1]), (bad, "A" + frame["signature"][1][1:])):
        key, _, timestamp, window = frame["signature"]
        sim.ws_open(ear, "/", {})
        sim.ws_text(ear, json.dumps(frame | {"signature": [key, signature, timestamp, window]}))
    assert good.got == []
    assert bad.got == [each["ws"] for each in fixture("errors.json") if each.get("ws", {})][:1]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"method":"SUBSCRIBE","params":["account.orderUpdate"]}', 4003),
        ('{"method":"SUBSCRIBE","params":["account.orderUpdate"],"signature":["a","b","c"]}', 4003),
        ('{"method":"SUBSCRIBE","params":["account.orderUpdate"],"signature":["a","b","c","d","e"]}', 4003),
        ('{"method":"SUBSCRIBE","params":["bookTicker.NO_SUCH"]}', 4005),
        ('{"method":"SUBSCRIBE","params":["markPrice.SOL_USDC"]}', 4005),
        ('{"method":"SUBSCRIBE","params":["books.SOL_USDC"]}', 4006),
        ('{"method":"SUBSCRIBE","params":["depth.50ms.SOL_USDC"]}', 4006),
        ('{"method":"SUBSCRIBE","params":"depth.SOL_USDC"}', 4006),
        ('{"method":"SUBSCRIBE","params":[1]}', 4006),
        ('{"method":"HELLO"}', 4006),
        ("not json", 4006),
        ("[" * 100_000, 4006),
    ],
)
def test_a_bad_frame_gets_an_error_frame_and_the_stream_stays(text, code):
    """[venue] 4003 Invalid signature, 4005 Invalid market, 4006 Invalid stream."""
    trader = Trader()
    ear = trader.listen("trade.SOL_USDC_PERP")
    trader.sim.ws_text(ear, text)
    assert [each["error"]["code"] for each in ear.got] == [code]
    assert ear.got[0]["id"] is None
    trader.placed(**market(quantity="0.05"))
    assert len(ear.data("trade.")) == 1


@pytest.mark.parametrize(("method", "status", "code"), [("GET", 404, "RESOURCE_NOT_FOUND"), ("DELETE", 400, FOUND)])
def test_an_order_that_is_not_live_is_not_found(method, status, code):
    """[venue] GET: 404 Not Found; DELETE: 400 Order not found - for unknown, cancelled and other markets' orders."""
    trader = Trader()
    order = trader.placed(clientId=5)
    for symbol, name, value in ((PERP, "clientId", "6"), (SPOT, "clientId", "5"), (PERP, "orderId", "12")):
        reply = trader.send(method, "/api/v1/order", {"symbol": symbol, name: value})
        assert told(reply)[:2] == (status, code)
    trader.ask("DELETE", "/api/v1/order", {"symbol": PERP, "orderId": order["id"]})
    assert told(trader.send(method, "/api/v1/order", {"symbol": PERP, "clientId": 5}))[:2] == (status, code)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("ids", [{}, {"orderId": "1", "clientId": 1}])
def test_an_order_is_named_by_exactly_one_id(method, ids):
    """[venue] Both ids together are refused."""
    reply = Trader().send(method, "/api/v1/order", {"symbol": PERP, **ids})
    assert told(reply)[:2] == (400, FOUND)


@pytest.mark.parametrize(
    "order",
    [
        {"quantity": None},
        {"price": None},
        {"quoteQuantity": "5"},
        market(quantity=None),
        market(quoteQuantity="5"),
        market(price="140"),
        {"symbol": SPOT, "price": "140", "reduceOnly": True},
    ],
)
def test_an_order_that_says_too_little_or_too_much_is_refused(order):
    """[venue] A limit order has price and quantity, a market order one of two sizes and no price."""
    assert told(Trader().order(**order))[:2] == (400, FOUND)


def test_triggers_are_refused_openly():
    """[gap] Trigger orders are not simulated; NOT_IMPLEMENTED is one of the venue's codes."""
    reply = Trader().order(triggerPrice="150", triggerQuantity="80%")
    assert told(reply)[:2] == (400, "NOT_IMPLEMENTED")


def test_an_unknown_path_is_not_found_and_a_missing_symbol_is_told_by_the_framework():
    """[ours] Nothing a client may ask raises."""
    trader = Trader()
    assert trader.send("GET", "/api/v1/nothing").status == 404
    text = plain(trader.send("GET", "/api/v1/depth"))
    assert text == 'failed to parse parameter `symbol`: Type "MarketSymbol" expects an input value.'
    assert "DepthLimit" in plain(trader.send("GET", "/api/v1/depth", {"symbol": PERP, "limit": "7"}))


@pytest.mark.parametrize(
    ("choices", "order", "answer"),
    [
        ({"post_only_cross": "expire"}, {"price": "141", "postOnly": True}, "PostOnlyTaker"),
        ({"reduce_only_flat": "expire"}, {"reduceOnly": True}, "ReduceOnlyNotReduced"),
        ({"insufficient": "expire"}, {"quantity": "100000"}, "InsufficientMargin"),
        ({}, {"timeInForce": "IOC"}, "ImmediateOrCancel"),
        ({}, {"timeInForce": "FOK", "price": "141", "quantity": "600"}, "FillOrKill"),
        ({}, market(quantity="700"), "PriceImpact"),
    ],
)
def test_what_expires_answers_200_and_says_why_in_stream_and_history(choices, order, answer):
    """[venue] Expired orders have a reason; which refusals come as expiry is a switch where nobody recorded it."""
    trader = Trader(choices=Choices(**choices), balances={"USDC": Decimal(100_000)})
    ear = trader.listen("account.orderUpdate")
    row = trader.placed(**order)
    assert row["status"] == "Expired"
    assert ear.data()[-1]["e"] == "orderExpired"
    assert ear.data()[-1]["R"] == answer
    assert trader.get("/wapi/v1/history/orders")[0]["expiryReason"] == answer


@pytest.mark.parametrize("order", [{"timeInForce": "IOC"}, {"timeInForce": "FOK", "price": "141", "quantity": "600"}])
def test_unfilled_immediate_orders_may_be_refused_instead(order):
    """[ours] The switch immediate_unfilled."""
    trader = Trader(choices=Choices(immediate_unfilled="refuse"), balances={"USDC": Decimal(100_000)})
    assert trader.order(**order).status == 400
    assert trader.get("/wapi/v1/history/orders") == []


def test_a_client_id_in_use_is_accepted_by_default_and_refused_by_switch():
    """[gap] Nobody recorded what a duplicate does."""
    trader = Trader()
    first, second = trader.placed(clientId=9), trader.placed(clientId=9)
    trader.ask("DELETE", "/api/v1/order", {"symbol": PERP, "orderId": second["id"]})
    assert trader.get("/api/v1/order", symbol=PERP, clientId=9)["id"] == first["id"]
    strict = Trader(choices=Choices(duplicate_client_id="refuse"))
    strict.placed(clientId=9)
    assert told(strict.order(clientId=9))[:2] == (400, FOUND)


def test_a_reduce_only_order_larger_than_the_position_is_clipped_or_refused_by_switch():
    """[gap] The sheet's default clips."""
    for choice, status in (("clip", 200), ("refuse", 400)):
        trader = Trader(choices=Choices(reduce_only_oversize=choice))
        trader.placed(**market(quantity="0.05"))
        reply = trader.order(**market(quantity="0.08", side="Ask", reduceOnly=True))
        assert reply.status == status
        if status == 200:
            assert json.loads(reply.body)["quantity"] == "0.05"


@pytest.mark.parametrize(
    ("reason", "code"), [("", "INSUFFICIENT_FUNDS"), ("PRICE_BAND", FOUND), ("RATE_LIMITED", "TOO_MANY_REQUESTS")]
)
def test_a_reject_fault_refuses_a_placement_in_the_venues_words(reason, code):
    """[ours] The order never exists."""
    rule = {"action": "reject", "on": "engine", "kind": "place", "nth": [1], "params": {"reason": reason}}
    trader = Trader(faults=Faults.load([rule]))
    assert told(trader.order(clientId=1))[1] == code
    assert trader.get("/wapi/v1/history/orders") == []
    assert trader.placed(clientId=2)["status"] == "New"
