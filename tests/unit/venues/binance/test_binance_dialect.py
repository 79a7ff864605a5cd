"""The talks of the room: several requests, one answer, and what may be concluded from it."""

import json

import pytest

from venues import binance
from venues.binance import dialect as room
from venues.binance.facts import ENDED_KEPT_MS
from venues.dialect import HttpCall, HttpReply, OrderKey, PlaceOrder, WsText
from venues.errors import LocalRuleError, OutcomeUnknown, Refused, WireError
from venues.events import MarketFacts, Status

PERP, SPOT = "SOLUSDT_PERP", "SOLUSDT"
SEED = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
NOW_MS = 1700000000000
# Shapes of order_query_futures.json and order_ack_spot.json, with our own numbers.
ROW = {
    "orderId": 9,
    "symbol": "SOLUSDT",
    "status": "NEW",
    "clientOrderId": "7",
    "price": "140.00",
    "side": "BUY",
    "origQty": "0.50",
    "executedQty": "0.00",
    "timeInForce": "GTX",
    "type": "LIMIT",
    "reduceOnly": False,
    "updateTime": NOW_MS,
    "time": NOW_MS,
}
TRADE = {
    "symbol": "SOLUSDT",
    "id": 1,
    "orderId": 9,
    "price": "140.00",
    "qty": "0.20",
    "commission": "0.01",
    "commissionAsset": "USDT",
    "time": NOW_MS,
    "buyer": True,
    "maker": True,
}
NO_ORDER = (400, {"code": -2013, "msg": "Order does not exist."})


def make(secret="secret"):
    dialect = binance.make_dialect({"api_key": "key", "api_secret": secret}, binance.endpoints("live"))
    grid = {"price_decimals": 2, "size_decimals": 2, "tick_i": 1, "lot_i": 1, "min_size_i": 1}
    dialect.markets = {
        PERP: MarketFacts(symbol=PERP, base="SOL", quote="USDT", kind="perp", **grid),
        SPOT: MarketFacts(symbol=SPOT, base="SOL", quote="USDT", kind="spot", **grid),
    }
    return dialect


def hold(talk, *answers):
    """The end of a talk that gets these answers, and the requests that it made."""
    asked, replies = [], iter(answers)
    try:
        call = next(talk)
        while True:
            asked.append(call)
            status, value = next(replies)
            call = talk.send(HttpReply(status, value if isinstance(value, bytes) else json.dumps(value).encode()))
    except StopIteration as end:
        assert next(replies, None) is None
        return end.value, asked


def order(symbol=PERP, **more):
    return PlaceOrder(**{"symbol": symbol, "client_id": 7, "is_ask": False, "size_i": 50, "price_i": 14000} | more)


def key(symbol=PERP, **more):
    return OrderKey(symbol=symbol, client_id=7, **more)


def test_orders_go_over_the_line_of_their_product_or_over_rest():
    """[venue] ws-fapi for perps, ws-api for spot; the same parameters as REST while a line is down."""
    dialect = make()
    for symbol, line, path in ((PERP, room.PERP_ORDERS, "/fapi/v1/order"), (SPOT, room.SPOT_ACCOUNT, "/api/v3/order")):
        assert dialect.order_line(symbol) == line
        sent = dialect.place(order(symbol), NOW_MS)
        assert isinstance(sent, WsText)
        frame = json.loads(sent.text)
        assert (sent.line, frame["id"], frame["method"]) == (line, sent.request_id, "order.place")
        call = dialect.place(order(symbol), NOW_MS, rest=True)
        assert isinstance(call, HttpCall)
        assert (call.method, call.path) == ("POST", path)
        assert dict(call.params).items() <= frame["params"].items()
        assert frame["params"]["timestamp"] == NOW_MS
        gone, call = dialect.cancel(key(symbol), NOW_MS), dialect.cancel(key(symbol), NOW_MS, rest=True)
        assert json.loads(gone.text)["params"]["origClientOrderId"] == "7"
        assert (call.method, call.path) == ("DELETE", path)
    ids = [dialect.place(order(), NOW_MS).request_id for _ in range(3)]
    assert len(set(ids)) == 3


def test_a_connection_that_is_logged_on_takes_orders_without_a_signature():
    """[venue] Ed25519 on spot; perps have no logon, so their requests stay signed."""
    dialect = make(SEED)
    params = json.loads(dialect.place(order(SPOT), NOW_MS).text)["params"]
    assert not {"apiKey", "signature"} & set(params)
    assert (params["timestamp"], params["recvWindow"]) == (NOW_MS, 5000)
    assert "signature" in json.loads(dialect.place(order(PERP), NOW_MS).text)["params"]
    (login,) = dialect.login(room.SPOT_ACCOUNT, NOW_MS)
    assert json.loads(login)["method"] == "session.logon"
    (subscribe,) = dialect.subscribe(room.SPOT_ACCOUNT, (), NOW_MS)
    assert json.loads(subscribe) == {"id": "account", "method": "userDataStream.subscribe"}
    assert [line.name for line in dialect.lines() if line.needs_login] == [room.SPOT_ACCOUNT]


def test_an_hmac_key_subscribes_by_signature_and_never_logs_on():
    """[venue] Such keys cannot log on."""
    dialect = make()
    assert dialect.login(room.SPOT_ACCOUNT, NOW_MS) == ()
    (subscribe,) = dialect.subscribe(room.SPOT_ACCOUNT, (SPOT,), NOW_MS)
    assert json.loads(subscribe)["method"] == "userDataStream.subscribe.signature"
    assert not any(line.needs_login for line in dialect.lines())


def test_each_line_has_its_address_and_the_perp_account_its_listen_key():
    """[venue] Routed stream URLs; the key comes by POST and is prolonged by PUT."""
    dialect, wanted = make(), binance.endpoints("live")
    addresses = {line.name: line for line in dialect.lines()}
    assert [name for name, line in addresses.items() if line.private] == [room.PERP_ACCOUNT, room.SPOT_ACCOUNT]
    assert hold(dialect.open_line(room.PERP_BOOKS))[0] == wanted["fstream"] + "/public/ws"
    assert hold(dialect.open_line(room.SPOT_BOOKS))[0] == wanted["stream"] + "/ws"
    assert hold(dialect.open_line(room.PERP_ORDERS))[0] == wanted["ws_fapi"]
    assert hold(dialect.open_line(room.SPOT_ACCOUNT))[0] == wanted["ws_api"]
    url, (asked,) = hold(dialect.open_line(room.PERP_ACCOUNT), (200, {"listenKey": "abc"}))
    assert (url, asked.method) == (wanted["fstream"] + "/private/ws?listenKey=abc", "POST")
    _, (kept,) = hold(dialect.upkeep(room.PERP_ACCOUNT), (200, {"listenKey": "abc"}))
    assert (kept.method, kept.path) == ("PUT", "/fapi/v1/listenKey")
    assert hold(dialect.upkeep(room.SPOT_ACCOUNT)) == (None, [])
    with pytest.raises(OutcomeUnknown, match="listen key has expired"):
        hold(dialect.upkeep(room.PERP_ACCOUNT), (400, {"code": -1125, "msg": "This listenKey does not exist."}))
    with pytest.raises(Refused, match="AUTH"):
        hold(dialect.upkeep(room.PERP_ACCOUNT), (401, {"code": -2015, "msg": "Invalid API-key."}))


def test_books_are_subscribed_on_the_line_of_their_product_only():
    """[venue] What is asked on the wrong route never comes."""
    dialect = make()
    (perps,) = dialect.subscribe(room.PERP_BOOKS, (PERP, SPOT), NOW_MS)
    (spots,) = dialect.subscribe(room.SPOT_BOOKS, (PERP, SPOT), NOW_MS)
    assert json.loads(perps)["params"] == json.loads(spots)["params"] == ["solusdt@bookTicker"]
    assert dialect.subscribe(room.SPOT_BOOKS, (PERP,), NOW_MS) == ()
    assert dialect.subscribe(room.PERP_ACCOUNT, (PERP,), NOW_MS) == ()


def test_hedge_mode_is_refused_with_a_clear_word():
    """[ours] It takes no reduce-only order and wants a side for each position."""
    assert hold(make().prepare(), (200, {"dualSidePosition": False}))[0] is None
    with pytest.raises(Refused, match="one-way mode") as told:
        hold(make().prepare(), (200, {"dualSidePosition": True}))
    assert told.value.code == "ACCOUNT_MODE"


def test_the_answer_to_an_order_is_read_or_leaves_it_in_doubt():
    """[ours] Another order's answer, half an answer, or none of ours: never FAILED."""
    dialect = make()
    (seen,) = dialect.read_placed(order(), HttpReply(200, json.dumps(ROW).encode()))
    assert (seen.client_id, seen.status, seen.venue_id, seen.size_i) == (7, Status.OPEN, "9", 50)
    for broken in (
        b"",
        b"{}",
        json.dumps(ROW | {"clientOrderId": "8"}).encode(),
        json.dumps(ROW | {"symbol": "X"}).encode(),
    ):
        with pytest.raises(OutcomeUnknown):
            dialect.read_placed(order(), HttpReply(200, broken))
    with pytest.raises(Refused, match="INSUFFICIENT_MARGIN"):
        dialect.read_placed(order(), HttpReply(400, b'{"code":-2019,"msg":"Margin is insufficient."}'))
    fills = [{"price": "140.00", "qty": "0.50", "commission": "0.0005", "commissionAsset": "SOL", "tradeId": 3}]
    full = ROW | {"status": "FILLED", "executedQty": "0.50", "transactTime": NOW_MS, "fills": fills}
    fill, seen = dialect.read_placed(order(SPOT), HttpReply(200, json.dumps(full).encode()))
    assert (fill.trade_id, fill.client_id, fill.is_maker, seen.status) == ("3", 7, False, Status.FILLED)


def test_the_answer_to_a_cancel_names_our_order():
    """[venue] Spot's has the cancel's id in clientOrderId."""
    dialect = make()
    ended = ROW | {"status": "CANCELED", "clientOrderId": "cancel1", "origClientOrderId": "7"}
    (seen,) = dialect.read_cancelled(key(SPOT), HttpReply(200, json.dumps(ended).encode()))
    assert (seen.client_id, seen.status) == (7, Status.CANCELLED)
    with pytest.raises(WireError):
        dialect.read_cancelled(key(), HttpReply(200, json.dumps(ROW | {"clientOrderId": "8"}).encode()))
    with pytest.raises(Refused, match="ORDER_NOT_FOUND"):
        dialect.read_cancelled(key(), HttpReply(400, b'{"code":-2011,"msg":"Unknown order sent."}'))


def test_cancel_all_finds_nothing_to_cancel_without_complaint():
    """[venue] Spot refuses where nothing is open; perps never do."""
    done = (200, {"code": 200, "msg": "The operation of cancel all open order is done."})
    assert hold(make().cancel_all(PERP), done)[0] == ()
    assert hold(make().cancel_all(SPOT), (400, {"code": -2011, "msg": "Unknown order sent."}))[0] == ()
    with pytest.raises(OutcomeUnknown):
        hold(make().cancel_all(SPOT), (503, b""))
    with pytest.raises(Refused):
        hold(make().cancel_all(PERP), (401, {"code": -2015, "msg": "x"}))


@pytest.mark.parametrize("symbol", [PERP, SPOT])
def test_absence_is_said_only_after_both_readings(symbol):
    """[ours] The query and the open orders; an order in either is found."""
    answers = [NO_ORDER, (200, [])]
    found, asked = hold(make().look_up(key(symbol)), *answers)
    assert found is None
    assert [call.path.rpartition("/")[2] for call in asked] == ["order", "openOrders"]
    found, _ = hold(make().look_up(key(symbol)), (200, ROW))
    assert found.venue_id == "9"
    found, _ = hold(make().look_up(key(symbol)), NO_ORDER, (200, [ROW | {"clientOrderId": "8"}, ROW]))
    assert found.client_id == 7
    for answers in ([(503, b"")], [NO_ORDER, (503, b"")]):
        with pytest.raises(OutcomeUnknown):
            hold(make().look_up(key(symbol)), *answers)
    with pytest.raises(Refused):
        hold(make().look_up(key(symbol)), (401, {"code": -2015, "msg": "x"}))


def test_an_old_perp_order_is_not_declared_absent():
    """[venue] After three days the venue forgets perp orders that ended without a fill."""
    now = (200, {"serverTime": NOW_MS})
    young, old = key(sent_ms=NOW_MS - 60_000), key(sent_ms=NOW_MS - ENDED_KEPT_MS)
    assert hold(make().look_up(young), NO_ORDER, (200, []), now)[0] is None
    with pytest.raises(OutcomeUnknown, match="three days"):
        hold(make().look_up(old), NO_ORDER, (200, []), now)
    dialect = make()
    dialect.place(order(), NOW_MS - ENDED_KEPT_MS)
    with pytest.raises(OutcomeUnknown):
        hold(dialect.look_up(key()), NO_ORDER, (200, []), now)


def test_the_trades_of_one_order():
    """[venue] By venue id, looked up first where it is not known; other orders' rows are not taken."""
    rows = [TRADE, TRADE, TRADE | {"id": 2, "time": NOW_MS - 1}, TRADE | {"id": 3, "orderId": 10}]
    fills, (asked,) = hold(make().order_fills(key(venue_id="9")), (200, rows))
    assert [(fill.trade_id, fill.client_id) for fill in fills] == [("2", 7), ("1", 7)]
    assert dict(asked.params)["orderId"] == "9"
    fills, asked = hold(make().order_fills(key()), (200, ROW), (200, [TRADE]))
    assert (len(fills), len(asked)) == (1, 2)
    assert hold(make().order_fills(key()), NO_ORDER, (200, []))[0] == ()
    with pytest.raises(OutcomeUnknown, match="more than 1000"):
        hold(make().order_fills(key(venue_id="9")), (200, [TRADE | {"id": each} for each in range(1000)]))


def test_recent_trades_are_read_market_by_market_and_page_by_page():
    """[venue] Those markets that were watched or traded; after a full page on from its last trade."""
    dialect = make()
    assert hold(dialect.recent_fills(NOW_MS))[0] == ()
    dialect.subscribe(room.SPOT_BOOKS, (SPOT,), NOW_MS)
    dialect.place(order(), NOW_MS)
    page = [TRADE | {"id": each, "isBuyer": True, "isMaker": False} for each in range(1, 1001)]
    fills, asked = hold(dialect.recent_fills(5), (200, page), (200, [page[0] | {"id": 1001}]), (200, [TRADE]))
    assert len(fills) == 1002
    assert [call.host for call in asked] == ["api", "api", "fapi"]
    assert [dict(call.params).get("fromId") for call in asked] == [None, "1001", None]
    with pytest.raises(OutcomeUnknown, match="More than 10000"):
        hold(dialect.recent_fills(5), *[(200, page)] * (room.PAGES + 1))


def test_open_orders_of_both_products_or_of_one_market():
    """[venue] One reading each; the same name is another market on the other."""
    seen, asked = hold(make().open_orders(None), (200, [ROW]), (200, [ROW | {"orderId": 10}]))
    assert [(each.symbol, each.venue_id) for each in seen] == [(PERP, "9"), (SPOT, "10")]
    assert [call.host for call in asked] == ["fapi", "api"]
    seen, (asked,) = hold(make().open_orders(SPOT), (200, [ROW]))
    assert (seen[0].symbol, asked.host) == (SPOT, "api")


def test_the_dead_mans_switch_is_for_perps():
    """[venue] 120 s in milliseconds, 0 stops it; spot has none."""
    _, (asked,) = hold(make().dead_man(PERP, 120), (200, {"symbol": "SOLUSDT", "countdownTime": "120000"}))
    assert dict(asked.params) == {"symbol": "SOLUSDT", "countdownTime": "120000"}
    assert hold(make().dead_man(SPOT, 120)) == (None, [])
    with pytest.raises(Refused):
        hold(make().dead_man(PERP, 0), (400, {"code": -1121, "msg": "Invalid symbol."}))
    assert hold(make().fence(key())) == (False, [])


def test_both_lists_of_markets_become_one():
    """[venue] Perp and spot under names that differ."""
    row = {
        "symbol": "SOLUSDT",
        "status": "TRADING",
        "baseAsset": "SOL",
        "quoteAsset": "USDT",
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "stepSize": "0.01", "minQty": "0.01", "maxQty": "100"},
        ],
    }
    perps = {"symbols": [row | {"contractType": "PERPETUAL"}]}
    markets, asked = hold(make().facts(), (200, perps), (200, {"symbols": [row]}))
    assert {symbol: market.kind for symbol, market in markets.items()} == {PERP: "perp", SPOT: "spot"}
    assert [call.auth for call in asked] == [None, None]


def test_a_market_that_we_do_not_know_is_told():
    """[ours] Before anything is sent."""
    with pytest.raises(LocalRuleError, match="UNKNOWN_SYMBOL"):
        make().place(order("NOPE"), NOW_MS)
