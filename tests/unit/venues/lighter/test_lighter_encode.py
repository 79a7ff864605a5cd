"""Intents of ours become exactly the fields of the recorded transactions, and readings the documented paths."""

import json
from urllib.parse import parse_qsl

import pytest

from tests.unit.venues.lighter.payloads import listed, load, needed
from venues.dialect import PlaceOrder
from venues.lighter import encode
from venues.lighter.encode import ORDER_LIFE_MS
from venues.lighter.sign import FIELDS, Transaction

pytestmark = needed
VECTORS = {case["name"]: json.loads(case["tx_info"]) for case in load("signing_vectors.json").get("vectors", [])}
POST_ONLY, MARKET, PLAIN, CANCEL = list(VECTORS)[:4] if VECTORS else [None] * 4


def fields_of(info, kind=14):
    return {name: info[name] for name in FIELDS[kind]}


def placed(now_ms=0, **values):
    sol = listed()["SOL"]
    order = PlaceOrder(
        **{"symbol": "SOL", "client_id": 1001, "is_ask": False, "size_i": 140, "price_i": 73245} | values
    )
    return encode.place(order, sol.facts, sol, now_ms)


def test_the_recorded_post_only_order():
    """[venue] 0.140 SOL at 73.245, client id 1001, TimeInForce 2."""
    wanted = fields_of(VECTORS[POST_ONLY])
    assert placed(wanted["OrderExpiry"] - ORDER_LIFE_MS, post_only=True) == wanted


def test_the_recorded_market_order():
    """[venue] A reduce-only sell with the worst price 74.755: type 1, no expiry."""
    wanted = fields_of(VECTORS[MARKET])
    made = placed(client_id=1002, is_ask=True, price_i=None, worst_price_i=74755, reduce_only=True)
    assert made == wanted


def test_the_recorded_good_till_time_order_and_cancel():
    """[venue] TimeInForce 1; a cancel by client id."""
    wanted = fields_of(VECTORS[PLAIN])
    assert placed(wanted["OrderExpiry"] - ORDER_LIFE_MS, client_id=1003) == wanted
    assert encode.cancel(2, 1001) == fields_of(VECTORS[CANCEL], 15)


def test_a_transaction_travels_as_a_form_or_as_a_frame():
    """[venue] tx_type and tx_info: text in the form, an object in the frame."""
    made = Transaction(15, '{"Nonce":9}', "ab" * 40)
    call = encode.send(made)
    assert (call.method, call.path, call.auth) == ("POST", "/api/v1/sendTx", None)
    assert dict(call.headers)["content-type"] == "application/x-www-form-urlencoded"
    assert dict(parse_qsl(call.body.decode())) == {"tx_type": "15", "tx_info": '{"Nonce":9}'}
    frame = json.loads(encode.send_text(made, "rt-1"))
    assert frame == {"type": "jsonapi/sendtx", "data": {"id": "rt-1", "tx_type": 15, "tx_info": {"Nonce": 9}}}


@pytest.mark.parametrize(
    ("call", "path", "private"),
    [
        (encode.status(), "/", False),
        (encode.markets(), "/api/v1/orderBookDetails", False),
        (encode.next_nonce(1, 5), "/api/v1/nextNonce?account_index=1&api_key_index=5", False),
        (encode.api_key(1, 5), "/api/v1/apikeys?account_index=1&api_key_index=5", False),
        (encode.account(1), "/api/v1/account?by=index&value=1", False),
        (encode.book(2), "/api/v1/orderBookOrders?market_id=2&limit=1", False),
        (
            encode.orders_by_client_id(1, 7),
            "/api/v1/accountOrders?account_index=1&client_order_indexes=7",
            True,
        ),
        (encode.active_orders(1, None), "/api/v1/accountActiveOrders?account_index=1", True),
        (encode.active_orders(1, 2), "/api/v1/accountActiveOrders?account_index=1&market_id=2", True),
        (
            encode.inactive_orders(1, 2, "c"),
            "/api/v1/accountInactiveOrders?account_index=1&market_id=2&limit=100&cursor=c",
            True,
        ),
        (
            encode.trades(1, 2, "9", None),
            "/api/v1/trades?sort_by=timestamp&sort_dir=desc&limit=100&account_index=1&market_id=2&order_index=9",
            True,
        ),
    ],
)
def test_each_reading_has_its_path_and_asks_for_a_token_or_not(call, path, private):
    """[venue] The sheet's endpoints; account data is public, orders and trades are not."""
    assert (call.method, call.path, call.auth == encode.TOKEN) == ("GET", path, private)
