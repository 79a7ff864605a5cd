import json

import msgspec
import pytest

from tests.unit.venues.hyperliquid.hl_fixtures import load, markets
from venues.dialect import PlaceOrder
from venues.errors import LocalRuleError
from venues.hyperliquid import encode

VECTORS = {vector["name"]: vector for vector in load("signing_vectors.json")["vectors"]}
FACTS = markets()


def order(symbol="SOL", **more):
    given = {"client_id": 42, "is_ask": False, "size_i": 20, "price_i": 1_015_000}
    return PlaceOrder(symbol=symbol, **{**given, **more})


@pytest.mark.parametrize(
    ("name", "intent", "asset"),
    [
        ("place_limit_alo_cloid_testnet", order(post_only=True), 5),
        ("market_buy_ioc_testnet", order(price_i=None, worst_price_i=1_050_000), 5),
        (
            "reduce_only_ioc_sell_testnet",
            order(client_id=43, is_ask=True, price_i=None, worst_price_i=950_000, reduce_only=True),
            5,
        ),
        ("spot_limit_gtc_testnet", order("@156", size_i=100, price_i=15_025_000), 10_156),
    ],
)
def test_an_order_is_the_action_that_the_sdk_sends(name, intent, asset):
    """[client] Byte for byte the same MessagePack, so the same hash; and the same JSON."""
    vector = VECTORS[name]
    action = encode.place(intent, FACTS[intent.symbol], asset)
    assert msgspec.msgpack.encode(action).hex() == vector["msgpack_hex"]
    assert json.loads(msgspec.json.encode(action)) == vector["body"]["action"]


def test_cancels_are_the_actions_that_the_sdk_sends():
    """[client] By cloid, and by oid in a batch."""
    by_cloid = encode.cancel(5, 42)
    assert msgspec.msgpack.encode(by_cloid).hex() == VECTORS["cancel_by_cloid_testnet"]["msgpack_hex"]
    batch = encode.cancel_by_oid([(5, 91490942)])
    assert (batch.path, batch.auth) == ("/exchange", encode.ACTION)
    assert json.loads(batch.body) == VECTORS["cancel_by_oid_testnet"]["body"]["action"]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"client_id": 0}, "CLIENT_ID_RANGE"),
        ({"client_id": 1 << 32}, "CLIENT_ID_RANGE"),
        ({"price_i": None, "post_only": True, "worst_price_i": 1}, "POST_ONLY_WOULD_CROSS"),
        ({"price_i": None}, "STALE_BOOK"),
    ],
)
def test_what_the_venue_has_not_is_refused_before_it_is_sent(more, code):
    """[ours] LocalRuleError with our code."""
    with pytest.raises(LocalRuleError) as told:
        encode.place(order(**more), FACTS["SOL"], 5)
    assert told.value.code == code


def test_a_reduce_only_order_on_spot_is_refused_before_it_is_sent():
    """[venue] Spot has no position."""
    with pytest.raises(LocalRuleError, match="REDUCE_ONLY"):
        encode.place(order("@156", reduce_only=True), FACTS["@156"], 10_156)


def test_a_client_id_is_sixteen_bytes_of_hex():
    """[venue] As the SDK's Cloid.from_int."""
    assert encode.cloid(42) == "0x0000000000000000000000000000002a"
    assert encode.cloid(4_294_967_295) == "0x000000000000000000000000ffffffff"


def test_readings_and_subscriptions_have_the_venues_words():
    """[venue] POST /info by type and address; subscribe frames."""
    call = encode.info("l2Book", coin="SOL")
    assert (call.method, call.path, json.loads(call.body), call.auth) == (
        "POST",
        "/info",
        {"type": "l2Book", "coin": "SOL"},
        None,
    )
    assert json.loads(encode.subscribe("bbo", coin="SOL")) == {
        "method": "subscribe",
        "subscription": {"type": "bbo", "coin": "SOL"},
    }
