"""The simulated Binance from the outside: shapes as recorded, orders, streams, sessions, listen keys."""

import json
from pathlib import Path

import pytest

from tests.unit.venues.binance_sim.exchange import Exchange, Peer
from venues.binance.simulator import Choices

FIXTURES = Path(__file__).resolve().parents[4].parent / "shared" / "fixtures" / "binance"
recorded = pytest.mark.skipif(not FIXTURES.is_dir(), reason="../shared/fixtures/binance is not beside this checkout")
FUTURES, SPOT = "fapi/v1", "api/v3"


def fixture(name, kind):
    text = (FIXTURES / name).read_text()
    rows = json.loads(text) if name.endswith(".json") else [json.loads(line) for line in text.splitlines() if line]
    return next(row["payload"] for row in rows if row["kind"].startswith(kind))


@recorded
def test_perp_rows_have_the_keys_of_the_recorded_ones():
    """[venue] Answers to orders have cumQty and no average price, queries the other way round."""
    exchange = Exchange()
    _, placed = exchange.order(timeInForce="GTX", newClientOrderId="1001")
    assert set(placed) == set(fixture("order_ack_futures.json", "new_order"))
    _, asked = exchange.ask("GET", "/fapi/v1/order", symbol="SOLUSDT", origClientOrderId="1001")
    wanted = set(fixture("order_query_futures.json", "query_order"))
    assert set(asked) == wanted - {"activatePrice", "priceRate"}
    _, ended = exchange.ask("DELETE", "/fapi/v1/order", symbol="SOLUSDT", orderId=placed["orderId"])
    assert (ended["status"], set(ended)) == ("CANCELED", set(placed))
    assert exchange.order(type="MARKET", price=None)[0] == 200
    _, trades = exchange.ask("GET", "/fapi/v1/userTrades", symbol="SOLUSDT")
    assert set(trades[0]) == set(fixture("order_query_futures.json", "userTrades")[0]) - {"baseQty"}
    _, held = exchange.ask("GET", "/fapi/v3/positionRisk")
    assert set(held[0]) == set(fixture("account_futures.json", "positionRisk v3")[0])
    _, account = exchange.ask("GET", "/fapi/v3/account")
    wanted = fixture("account_futures.json", "account v3")
    assert set(account) == set(wanted)
    assert set(account["assets"][0]) == set(wanted["assets"][0])
    assert set(account["positions"][0]) == set(wanted["positions"][0])
    _, balances = exchange.ask("GET", "/fapi/v3/balance")
    assert set(balances[0]) == set(fixture("account_futures.json", "balance v3")[0])
    _, info = exchange.send("GET", "/fapi/v1/exchangeInfo", key="")
    assert set(info) == set(fixture("markets_futures.json", "exchangeInfo 2022"))


@recorded
def test_spot_rows_have_the_keys_of_the_recorded_ones():
    """[venue] ACK, RESULT and FULL; a cancel with two ids; queries, trades, balances."""
    exchange = Exchange()
    for kind in ("ACK", "RESULT", "FULL"):
        _, row = exchange.order(SPOT, newOrderRespType=kind, newClientOrderId=f"id-{kind}")
        assert set(row) == set(fixture("order_ack_spot.json", f"new order {kind}"))
    _, asked = exchange.ask("GET", "/api/v3/order", symbol="SOLUSDT", origClientOrderId="id-FULL")
    assert set(asked) == set(fixture("order_ack_spot.json", "query order"))
    _, ended = exchange.ask("DELETE", "/api/v3/order", symbol="SOLUSDT", origClientOrderId="id-FULL")
    assert set(ended) == set(fixture("order_ack_spot.json", "cancel"))
    assert (ended["origClientOrderId"], ended["clientOrderId"] != "id-FULL") == ("id-FULL", True)
    _, bought = exchange.order(SPOT, type="MARKET", price=None)
    assert sum(float(part["qty"]) for part in bought["fills"]) == 0.5
    assert set(bought["fills"][0]) == set(fixture("order_ack_spot.json", "new order FULL")["fills"][0])
    _, trades = exchange.ask("GET", "/api/v3/myTrades", symbol="SOLUSDT")
    assert set(trades[0]) == set(fixture("account_spot.json", "myTrades")[0])
    _, account = exchange.ask("GET", "/api/v3/account", omitZeroBalances="true")
    assert set(account) == set(fixture("account_spot.json", "account"))


@recorded
def test_events_have_the_keys_of_the_recorded_ones():
    """[venue] Orders, trades, positions and balances of both products, and both book tickers."""
    exchange = Exchange()
    peer, api = exchange.account_stream(), exchange.stream("/ws-api/v3")
    exchange.call(api, "userDataStream.subscribe.signature")
    exchange.order(type="MARKET", price=None)
    exchange.order(SPOT, type="MARKET", price=None)
    events = {event["e"]: event for event in peer.heard}
    assert set(events) == {"ORDER_TRADE_UPDATE", "TRADE_LITE", "ACCOUNT_UPDATE"}
    name = "ws_order_updates_futures.jsonl"
    recorded_row = fixture(name, "order_update_trade")["o"]
    assert set(recorded_row) - set(events["ORDER_TRADE_UPDATE"]["o"]) == {"AP", "cr"}
    assert set(events["TRADE_LITE"]) == set(fixture(name, "trade_lite"))
    update = fixture("ws_account_updates_futures.jsonl", "account_update")
    assert set(events["ACCOUNT_UPDATE"]["a"]["P"][0]) == set(update["a"]["P"][0])
    assert set(events["ACCOUNT_UPDATE"]["a"]["B"][0]) == set(update["a"]["B"][0])
    wrapped = [each for each in api.heard if "event" in each]
    assert {each["subscriptionId"] for each in wrapped} == {0}
    events = {each["event"]["e"]: each["event"] for each in wrapped}
    documented = fixture("ws_order_updates_spot.jsonl", "executionReport documented")["event"]
    assert set(events["executionReport"]) == set(documented) - {"v"}
    coins = fixture("ws_account_updates_spot.jsonl", "outboundAccountPosition")["event"]
    assert set(events["outboundAccountPosition"]) == set(coins)
    perp, spot = exchange.stream("/public/ws/solusdt@bookTicker"), exchange.stream("/ws/solusdt@bookTicker")
    exchange.stir()
    assert set(perp.heard[0]) == set(fixture("ws_book_ticker.jsonl", "futures bookTicker (2026"))
    assert set(spot.heard[0]) == set(fixture("ws_book_ticker.jsonl", "spot bookTicker"))


def test_an_order_rests_is_found_by_both_ids_and_is_gone_after_its_cancel():
    """[venue] The query still knows it, the list of open ones does not, and a second cancel finds nothing."""
    for product, exchange in ((FUTURES, Exchange()), (SPOT, Exchange())):
        _, placed = exchange.order(product, newClientOrderId="1001")
        for name, value in (("orderId", placed["orderId"]), ("origClientOrderId", "1001")):
            status, found = exchange.ask("GET", f"/{product}/order", symbol="SOLUSDT", **{name: value})
            assert (status, found["status"], found["orderId"]) == (200, "NEW", placed["orderId"])
        assert len(exchange.ask("GET", f"/{product}/openOrders")[1]) == 1
        assert exchange.ask("DELETE", f"/{product}/order", symbol="SOLUSDT", origClientOrderId="1001")[0] == 200
        assert exchange.ask("GET", f"/{product}/openOrders", symbol="SOLUSDT")[1] == []
        status, found = exchange.ask("GET", f"/{product}/order", symbol="SOLUSDT", origClientOrderId="1001")
        assert (status, found["status"]) == (200, "CANCELED")
        again = exchange.ask("DELETE", f"/{product}/order", symbol="SOLUSDT", origClientOrderId="1001")
        assert again == (400, {"code": -2011, "msg": "Unknown order sent."})
        # After its end an id may be used again; the query then finds the newer order.
        _, newer = exchange.order(product, newClientOrderId="1001")
        _, found = exchange.ask("GET", f"/{product}/order", symbol="SOLUSDT", origClientOrderId="1001")
        assert found["orderId"] == newer["orderId"]


def test_the_two_products_are_two_markets_and_two_wallets():
    """[venue] A spot order neither moves the perp book nor its money."""
    exchange = Exchange()
    exchange.order(SPOT, type="MARKET", price=None)
    assert exchange.ask("GET", "/fapi/v3/positionRisk")[1] == []
    assert exchange.ask("GET", "/fapi/v3/account")[1]["totalWalletBalance"] == "10000.00000000"
    exchange.order(FUTURES, type="MARKET", price=None)
    spot = {row["asset"]: row for row in exchange.ask("GET", "/api/v3/account")[1]["balances"]}
    assert spot["SOL"]["free"] == "10.49950000"


def test_a_perp_market_order_opens_and_a_reduce_only_one_closes():
    """[venue] Signed position, empty list when flat, a larger closing order is cut to the position."""
    exchange = Exchange()
    _, sold = exchange.order(type="MARKET", price=None, side="SELL", newOrderRespType="RESULT")
    assert (sold["status"], sold["executedQty"], "avgPrice" in sold) == ("FILLED", "0.50", False)
    (held,) = exchange.ask("GET", "/fapi/v3/positionRisk")[1]
    assert (held["positionAmt"], held["positionSide"]) == ("-0.50", "BOTH")
    status, closed = exchange.order(type="MARKET", price=None, quantity="0.9", reduceOnly="true")
    assert (status, closed["executedQty"]) == (200, "0.50")
    assert exchange.ask("GET", "/fapi/v3/positionRisk")[1] == []


def test_a_spot_market_order_by_quote():
    """[venue] quoteOrderQty: what the money buys, on the step."""
    exchange = Exchange()
    _, bought = exchange.order(SPOT, type="MARKET", price=None, quantity=None, quoteOrderQty="15")
    assert 0 < float(bought["cummulativeQuoteQty"]) <= 15
    assert bought["executedQty"].endswith("00000")


def test_reading_public_data():
    """[venue] With a symbol one row, without an array; depth best first; time; an unknown symbol."""
    exchange = Exchange()
    for product in (FUTURES, SPOT):
        assert len(exchange.send("GET", f"/{product}/ticker/bookTicker")[1]) == 3
        one = exchange.send("GET", f"/{product}/ticker/bookTicker", "symbol=SOLUSDT")[1]
        assert float(one["bidPrice"]) < float(one["askPrice"])
        assert ("time" in one) == (product == FUTURES)
        depth = exchange.send("GET", f"/{product}/depth", "symbol=SOLUSDT&limit=5")[1]
        assert [depth[side][0][0] for side in ("bids", "asks")] == [one["bidPrice"], one["askPrice"]]
        assert (len(depth["bids"]), "T" in depth) == (5, product == FUTURES)
        assert exchange.send("GET", f"/{product}/time")[1] == {"serverTime": exchange.sim.now_ms()}
        assert exchange.send("GET", f"/{product}/ping")[1] == {}
        assert exchange.send("GET", f"/{product}/depth", "symbol=NOPE") == (
            400,
            {"code": -1121, "msg": "Invalid symbol."},
        )
        assert len(exchange.send("GET", f"/{product}/exchangeInfo")[1]["symbols"]) == 3
    some = exchange.send("GET", "/api/v3/ticker/bookTicker", "symbols=%5B%22SOLUSDT%22%5D")[1]
    assert [row["symbol"] for row in some] == ["SOLUSDT"]
    assert exchange.send("GET", "/api/v3/ticker/bookTicker", "symbols=x")[0] == 400
    assert [row["symbol"] for row in exchange.send("GET", "/api/v3/exchangeInfo", "symbol=SOLUSDT")[1]["symbols"]] == [
        "SOLUSDT"
    ]
    assert exchange.send("GET", "/fapi/v1/premiumIndex", "symbol=SOLUSDT")[1]["symbol"] == "SOLUSDT"
    assert exchange.send("GET", "/nowhere")[0] == 404


def test_one_listen_key_lives_for_all_and_is_prolonged():
    """[venue] POST again gives the same; PUT of a dead one is -1125; DELETE kills it."""
    exchange = Exchange()
    first = exchange.send("POST", "/fapi/v1/listenKey")[1]["listenKey"]
    assert (len(first), exchange.send("POST", "/fapi/v1/listenKey")[1]["listenKey"]) == (64, first)
    assert exchange.send("PUT", "/fapi/v1/listenKey")[0] == 200
    assert exchange.send("DELETE", "/fapi/v1/listenKey") == (200, {})
    assert exchange.send("PUT", "/fapi/v1/listenKey")[1]["code"] == -1125
    assert exchange.send("POST", "/fapi/v1/listenKey")[1]["listenKey"] != first
    assert exchange.send("POST", "/fapi/v1/listenKey", key="")[1]["code"] == -2014


def test_after_its_key_expired_a_stream_stays_open_and_says_nothing():
    """[venue] listenKeyExpired is the last word."""
    exchange = Exchange()
    peer = exchange.account_stream()
    exchange.sim.expire_listen_key()
    (told,) = peer.take()
    assert told["e"] == "listenKeyExpired"
    exchange.order()
    assert (peer.heard, peer.codes) == ([], [])


def test_the_account_is_streamed_in_three_forms_of_address():
    """[venue] ?listenKey=, /KEY, and SUBSCRIBE on a combined stream; a wrong key hears nothing."""
    exchange = Exchange()
    key = exchange.send("POST", "/fapi/v1/listenKey")[1]["listenKey"]
    raw = [exchange.stream(f"/private/ws?listenKey={key}"), exchange.stream(f"/private/ws/{key}")]
    combined, stranger = exchange.stream("/private/stream"), exchange.stream("/private/ws?listenKey=x")
    exchange.sim.ws_text(combined, json.dumps({"method": "SUBSCRIBE", "params": [key], "id": "a-text"}))
    assert combined.take() == [{"id": "a-text", "result": None}]
    exchange.order()
    assert [peer.heard[0]["e"] for peer in raw] == ["ORDER_TRADE_UPDATE"] * 2
    assert combined.heard[0]["stream"] == key
    assert combined.heard[0]["data"] == raw[0].heard[0]
    assert stranger.heard == []


def test_a_stream_on_the_wrong_route_is_acknowledged_and_never_comes():
    """[venue] The classic silent failure: bookTicker on /market."""
    exchange = Exchange()
    right, wrong = exchange.stream("/public/ws"), exchange.stream("/market/ws")
    for peer in (right, wrong):
        exchange.sim.ws_text(peer, '{"method":"SUBSCRIBE","params":["solusdt@bookTicker"],"id":1}')
        assert peer.take() == [{"id": 1, "result": None}]
    exchange.stir()
    assert right.heard
    assert wrong.heard == []


def test_subscriptions_are_listed_ended_and_refused():
    """[venue] LIST_SUBSCRIPTIONS, UNSUBSCRIBE, and what is no request."""
    exchange = Exchange()
    peer = exchange.stream("/ws/0")
    for frame, wanted in (
        ({"method": "SUBSCRIBE", "params": ["solusdt@bookTicker"], "id": 1}, {"id": 1, "result": None}),
        ({"method": "LIST_SUBSCRIPTIONS", "id": 2}, {"id": 2, "result": ["solusdt@bookTicker"]}),
        ({"method": "UNSUBSCRIBE", "params": ["solusdt@bookTicker"], "id": 3}, {"id": 3, "result": None}),
        ({"method": "LIST_SUBSCRIPTIONS", "id": 4}, {"id": 4, "result": []}),
    ):
        exchange.sim.ws_text(peer, json.dumps(frame))
        assert peer.take() == [wanted]
    for text in ("", "[]", '{"method":"DANCE","id":5}', '{"method":"SUBSCRIBE","params":[7],"id":6}'):
        exchange.sim.ws_text(peer, text)
        assert peer.take()[0]["error"]["code"] == 2
    lost = exchange.stream("/nowhere")
    assert lost.codes == [1008]


def test_orders_over_the_websocket_apis_are_those_of_rest():
    """[venue] Same result, status and rate limits beside it; a refusal under ``error``; the id keeps its type."""
    for path, product in (("/ws-fapi/v1", FUTURES), ("/ws-api/v3", SPOT)):
        exchange = Exchange()
        peer = exchange.stream(path)
        fields = {"symbol": "SOLUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
        placed = exchange.call(peer, "order.place", **fields, quantity="0.5", price="135.5", newClientOrderId="7")
        assert (placed["status"], placed["result"]["status"]) == (200, "NEW")
        assert {limit["rateLimitType"] for limit in placed["rateLimits"]} == {"REQUEST_WEIGHT", "ORDERS"}
        assert exchange.ask("GET", f"/{product}/openOrders")[1][0]["clientOrderId"] == "7"
        asked = exchange.call(peer, "order.status", symbol="SOLUSDT", origClientOrderId="7", returnRateLimits=False)
        assert (asked["result"]["status"], "rateLimits" in asked) == ("NEW", False)
        ended = exchange.call(peer, "order.cancel", symbol="SOLUSDT", origClientOrderId="7")
        assert ended["result"]["status"] == "CANCELED"
        again = exchange.call(peer, "order.cancel", symbol="SOLUSDT", origClientOrderId="7")
        assert (again["status"], again["error"]) == (400, {"code": -2011, "msg": "Unknown order sent."})
        assert exchange.call(peer, "order.dance")["status"] == 400
        assert exchange.call(peer, "time", signed=False)["result"] == {"serverTime": exchange.sim.now_ms()}
        exchange.sim.ws_text(peer, "nonsense")
        assert peer.heard[-1]["error"]["code"] == -1135


def test_a_session_that_is_logged_on_needs_no_signature():
    """[venue] Ed25519 only; then orders and the account's events with only a timestamp."""
    exchange = Exchange()
    peer = exchange.stream("/ws-api/v3")
    assert exchange.call(peer, "userDataStream.subscribe", signed=False)["status"] == 400
    assert exchange.call(peer, "session.logon")["error"]["code"] == -4056
    exchange.ed25519 = True
    logged_on = exchange.call(peer, "session.logon")
    assert logged_on["result"]["apiKey"] == exchange.keys["ed25519_key"]
    assert exchange.call(peer, "userDataStream.subscribe", signed=False)["result"] == {"subscriptionId": 0}
    fields = {"symbol": "SOLUSDT", "side": "BUY", "type": "LIMIT_MAKER", "quantity": "0.5", "price": "135.5"}
    now = exchange.sim.now_ms()
    assert exchange.call(peer, "order.place", signed=False, timestamp=now, **fields)["status"] == 200
    assert exchange.call(peer, "order.place", signed=False, **fields)["error"]["code"] == -1102
    late = exchange.call(peer, "order.place", signed=False, timestamp=now - 6000, **fields)
    assert late["error"]["code"] == -1021
    assert "executionReport" in {each["event"]["e"] for each in peer.heard if "event" in each}
    exchange.call(peer, "session.logout", signed=False)
    assert exchange.call(peer, "order.place", signed=False, timestamp=now, **fields)["error"]["code"] == -2014


def test_a_subscription_by_signature_is_taken_once_per_connection():
    """[venue] 0 is a valid id; a second one is -2035; the events stop when it is ended."""
    exchange = Exchange()
    peer = exchange.stream("/ws-api/v3")
    assert exchange.call(peer, "userDataStream.subscribe.signature")["result"] == {"subscriptionId": 0}
    assert exchange.call(peer, "userDataStream.subscribe.signature")["error"]["code"] == -2035
    exchange.call(peer, "userDataStream.unsubscribe", signed=False)
    peer.take()
    exchange.order(SPOT)
    assert peer.heard == []


def test_the_futures_api_gives_the_same_listen_key():
    """[venue] userDataStream.start, ping and stop."""
    exchange = Exchange()
    peer = exchange.stream("/ws-fapi/v1")
    key = exchange.call(peer, "userDataStream.start", signed=False, apiKey=exchange.key)["result"]["listenKey"]
    assert key == exchange.send("POST", "/fapi/v1/listenKey")[1]["listenKey"]
    assert exchange.call(peer, "userDataStream.ping", signed=False, apiKey=exchange.key)["status"] == 200
    assert exchange.call(peer, "userDataStream.stop", signed=False, apiKey=exchange.key)["status"] == 200
    assert exchange.call(peer, "userDataStream.ping", signed=False, apiKey=exchange.key)["error"]["code"] == -1125


def test_a_shutdown_is_announced_in_the_form_of_each_stream():
    """[venue] Raw, combined, and wrapped on the WebSocket API."""
    exchange = Exchange()
    raw, combined, api = (exchange.stream(path) for path in ("/public/ws", "/stream", "/ws-api/v3"))
    exchange.sim.shut_down()
    assert raw.heard[0]["e"] == combined.heard[0]["data"]["e"] == api.heard[0]["event"]["e"] == "serverShutdown"


def test_messages_and_requests_have_the_kinds_that_fault_rules_name():
    """[ours] Orders, fills, positions, balances and books; answers are none of these."""
    exchange = Exchange()
    peer, api = exchange.account_stream(), exchange.stream("/ws-api/v3")
    exchange.call(api, "userDataStream.subscribe.signature")
    exchange.order(type="MARKET", price=None)
    exchange.order(SPOT, type="MARKET", price=None)
    kinds = [exchange.sim.message_kind(text) for text in peer.texts]
    assert kinds == ["order", *["other", "fill", "position"] * (len(kinds) // 3)]
    kinds = [exchange.sim.message_kind(text) for text in api.texts]
    assert (kinds[0], set(kinds)) == ("other", {"other", "order", "balance", "fill"})
    kinds = {name: exchange.sim.text_kind(json.dumps({"method": name})) for name in ("order.place", "order.cancel")}
    assert kinds == {"order.place": "place", "order.cancel": "cancel"}
    for text in ("", "[]", '{"method":"session.logon"}', '{"method":["order.place"]}'):
        assert exchange.sim.text_kind(text) == "other"


def test_what_is_printed_for_runner_sim_serve():
    """[ours] The four credentials, and the same ones for the same seed."""
    told = Exchange().sim.bootstrap("http://h", "ws://h")
    assert (told["rest"], told["ws"]) == ("http://h", "ws://h")
    assert set(told["credentials"]) == {"api_key", "api_secret", "ed25519_key", "ed25519_seed_hex"}
    assert told == Exchange().sim.bootstrap("http://h", "ws://h")


def test_a_replica_that_lags_does_not_know_a_new_order_yet():
    """[venue] -2013 right after placing is real."""
    exchange = Exchange(choices=Choices(replica_lag_ms=1000))
    exchange.order(newClientOrderId="7")
    status, told = exchange.ask("GET", "/fapi/v1/order", symbol="SOLUSDT", origClientOrderId="7")
    assert (status, told["code"]) == (400, -2013)
    assert exchange.ask("GET", "/fapi/v1/openOrders")[1] == []
    assert exchange.ask("DELETE", "/fapi/v1/order", symbol="SOLUSDT", origClientOrderId="7")[0] == 200


def test_a_peer_that_left_hears_nothing():
    """[ours] Closed is closed, on every kind of stream."""
    exchange = Exchange()
    peer, api = exchange.account_stream(), exchange.stream("/ws-api/v3", Peer())
    for each in (peer, api):
        exchange.sim.ws_closed(each)
    exchange.order()
    exchange.sim.ws_text(api, '{"id":1,"method":"time"}')
    assert peer.heard == api.heard == []
