"""Intents → parameters, as the sheet lists them and as ccxt's own vectors order the same things."""

import pytest

from venues.binance import encode
from venues.binance.sign import KEYED, SIGNED
from venues.dialect import OrderKey, PlaceOrder
from venues.errors import LocalRuleError
from venues.events import MarketFacts


def market(kind):
    symbol = "SOLUSDT_PERP" if kind == "perp" else "SOLUSDT"
    grid = {"price_decimals": 2, "size_decimals": 3, "tick_i": 1, "lot_i": 1, "min_size_i": 1}
    return MarketFacts(symbol=symbol, base="SOL", quote="USDT", kind=kind, **grid)


def order(kind="perp", **more):
    facts = market(kind)
    return (
        PlaceOrder(
            **{"symbol": facts.symbol, "client_id": 1001, "is_ask": False, "size_i": 500, "price_i": 14250} | more
        ),
        facts,
    )


COMMON = {"symbol": "SOLUSDT", "side": "BUY", "quantity": "0.5", "newClientOrderId": "1001"}


@pytest.mark.parametrize(
    ("kind", "more", "wanted"),
    [
        ("perp", {}, {"newOrderRespType": "RESULT", "price": "142.5", "type": "LIMIT", "timeInForce": "GTC"}),
        (
            "perp",
            {"post_only": True},
            {"newOrderRespType": "RESULT", "price": "142.5", "type": "LIMIT", "timeInForce": "GTX"},
        ),
        (
            "perp",
            {"price_i": None, "reduce_only": True},
            {"newOrderRespType": "RESULT", "type": "MARKET", "reduceOnly": "true"},
        ),
        ("spot", {}, {"newOrderRespType": "FULL", "price": "142.5", "type": "LIMIT", "timeInForce": "GTC"}),
        ("spot", {"post_only": True}, {"newOrderRespType": "FULL", "price": "142.5", "type": "LIMIT_MAKER"}),
        ("spot", {"price_i": None}, {"newOrderRespType": "FULL", "type": "MARKET"}),
    ],
)
def test_each_kind_of_order_has_its_parameters_and_no_others(kind, more, wanted):
    """[venue] Post-only is GTX on perps and LIMIT_MAKER without a time in force on spot."""
    params = encode.place(*order(kind, **more))
    assert dict(params) == COMMON | wanted
    assert len(dict(params)) == len(params)


def test_a_sell_sells():
    """[venue] The other side."""
    assert dict(encode.place(*order(is_ask=True)))["side"] == "SELL"


@pytest.mark.parametrize(
    ("kind", "more", "code"),
    [
        ("spot", {"reduce_only": True}, "REDUCE_ONLY"),
        ("perp", {"post_only": True, "price_i": None}, "POST_ONLY_WOULD_CROSS"),
        ("perp", {"client_id": 0}, "CLIENT_ID_RANGE"),
        ("perp", {"client_id": 4294967296}, "CLIENT_ID_RANGE"),
    ],
)
def test_an_order_that_the_venue_does_not_have_is_refused_here(kind, more, code):
    """[ours] Nothing is sent that could mean something else."""
    with pytest.raises(LocalRuleError) as told:
        encode.place(*order(kind, **more))
    assert told.value.code == code


def test_each_reading_goes_to_its_product():
    """[venue] /fapi for perps, /api for spot, the wire's name for both."""
    perp, spot = "SOLUSDT_PERP", "SOLUSDT"
    params = encode.named(OrderKey(symbol=perp, client_id=7))
    assert params == (("symbol", "SOLUSDT"), ("origClientOrderId", "7"))
    calls = [
        (encode.order_call("GET", perp, params), ("GET", "fapi", "/fapi/v1/order")),
        (encode.order_call("DELETE", spot, params), ("DELETE", "api", "/api/v3/order")),
        (encode.cancel_all(perp), ("DELETE", "fapi", "/fapi/v1/allOpenOrders")),
        (encode.cancel_all(spot), ("DELETE", "api", "/api/v3/openOrders")),
        (encode.open_orders(perp), ("GET", "fapi", "/fapi/v1/openOrders")),
        (encode.order_fills(perp, "9"), ("GET", "fapi", "/fapi/v1/userTrades")),
        (encode.order_fills(spot, "9"), ("GET", "api", "/api/v3/myTrades")),
        (encode.fills_since(spot, 5), ("GET", "api", "/api/v3/myTrades")),
        (encode.fills_from(perp, 6), ("GET", "fapi", "/fapi/v1/userTrades")),
        (encode.positions(), ("GET", "fapi", "/fapi/v3/positionRisk")),
        (encode.perp_account(), ("GET", "fapi", "/fapi/v3/account")),
        (encode.spot_account(), ("GET", "api", "/api/v3/account")),
        (encode.position_mode(), ("GET", "fapi", "/fapi/v1/positionSide/dual")),
        (encode.countdown(perp, 120), ("POST", "fapi", "/fapi/v1/countdownCancelAll")),
    ]
    for call, (method, host, path) in calls:
        assert (call.method, call.host, call.path, call.auth) == (method, host, path, SIGNED)
        assert dict(call.params).get("symbol", "SOLUSDT") == "SOLUSDT"
    assert dict(encode.countdown(perp, 120).params)["countdownTime"] == "120000"
    assert {"startTime", "fromId"} & set(dict(encode.fills_since(spot, 5).params)) == {"startTime"}
    assert {"startTime", "fromId"} & set(dict(encode.fills_from(spot, 5).params)) == {"fromId"}
    assert [call.host for call in encode.all_open_orders()] == ["fapi", "api"]


def test_public_calls_are_not_signed_and_listen_keys_carry_the_key():
    """[venue] exchangeInfo, time and book ticker are public."""
    public = [encode.perp_markets(), encode.spot_markets(), encode.server_time(), encode.book_ticker("SOLUSDT_PERP")]
    assert {call.auth for call in public} == {None}
    assert public[-1].path == "/fapi/v1/ticker/bookTicker?symbol=SOLUSDT"
    assert encode.book_ticker("SOLUSDT").path == "/api/v3/ticker/bookTicker?symbol=SOLUSDT"
    assert encode.listen_key("PUT").auth == KEYED


def test_frames_name_streams_in_lower_case():
    """[venue] One SUBSCRIBE for all books of a line."""
    frame = encode.subscribe_books(["SOLUSDT_PERP", "BTCUSDT_PERP"])
    assert frame == '{"method":"SUBSCRIBE","params":["solusdt@bookTicker","btcusdt@bookTicker"],"id":1}'
    assert encode.subscribe_account("account") == '{"id":"account","method":"userDataStream.subscribe"}'
