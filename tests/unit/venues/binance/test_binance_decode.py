"""Every recorded payload → events with asserted values, and nothing that bytes could hold breaks the streams."""

import json
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from venues.binance import decode
from venues.errors import WireError
from venues.events import (
    Answered,
    BalanceSeen,
    BookSeen,
    FillSeen,
    LineReady,
    LineRefused,
    MarginSeen,
    MarketFacts,
    OrderSeen,
    PositionSeen,
    Source,
    Status,
    Unreadable,
)

FIXTURES = Path(__file__).resolve().parents[4].parent / "shared" / "fixtures" / "binance"
pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason="../shared/fixtures/binance is not beside this checkout")

PERP = "_PERP"


def facts(base, quote, price_decimals, size_decimals, kind):
    symbol = base + quote + (PERP if kind == "perp" else "")
    grid = {"price_decimals": price_decimals, "size_decimals": size_decimals, "tick_i": 1, "lot_i": 1, "min_size_i": 1}
    return MarketFacts(symbol=symbol, base=base, quote=quote, kind=kind, **grid)


MARKETS = {
    each.symbol: each
    for each in (
        facts("BTC", "USDT", 2, 3, "perp"),
        facts("ETH", "USDT", 2, 3, "perp"),
        facts("BNB", "USDT", 4, 2, "perp"),
        facts("BTC", "USDT", 2, 5, "spot"),
        facts("ETH", "USDT", 2, 4, "spot"),
        facts("BNB", "USDT", 4, 3, "spot"),
        facts("SOL", "USDT", 2, 3, "spot"),
        facts("LTC", "BTC", 6, 3, "spot"),
        facts("ETH", "BTC", 7, 4, "spot"),
        facts("BNB", "BTC", 7, 3, "spot"),
    )
}


def rows(name):
    text = (FIXTURES / name).read_text()
    found = json.loads(text) if name.endswith(".json") else [json.loads(line) for line in text.splitlines() if line]
    return {row["kind"]: row["payload"] for row in found}


def payload(name, start):
    known = rows(name)
    (found,) = [known[start]] if start in known else [each for kind, each in known.items() if kind.startswith(start)]
    return json.dumps(found).encode()


# -- REST


@pytest.mark.parametrize(
    ("start", "venue_id", "status", "is_ask", "size_i", "price_i", "ms"),
    [
        ("new_order", "22542179", Status.OPEN, True, 10_000, None, 1566818724722),
        ("cancel_order", "283194212", Status.CANCELLED, False, 11_000, None, 1571110484038),
        ("modify_order", "20072994037", Status.OPEN, False, 1_000, 3000500, 1629182711600),
        ("batchOrders", "4087922044", Status.OPEN, True, 200, 11000100, 1739781831932),
    ],
)
def test_answers_to_perp_orders(start, venue_id, status, is_ask, size_i, price_i, ms):
    """[venue] With and without average price; a price of 0 is a market or trigger order."""
    seen, fills = decode.order(payload("order_ack_futures.json", start), MARKETS, PERP)
    told = (seen.venue_id, seen.status, seen.is_ask, seen.size_i, seen.price_i, seen.engine_us)
    assert told == (venue_id, status, is_ask, size_i, price_i, ms * 1000)
    assert (seen.client_id, seen.filled_i, seen.source, fills) == (None, 0, Source.REST, ())


def test_further_answers_of_the_futures():
    """[venue] cancel-all says 200 in its body, the countdown repeats itself; neither is an order."""
    for start in ("cancel_all", "countdownCancelAll"):
        with pytest.raises(WireError):
            decode.order(payload("order_ack_futures.json", start), MARKETS, PERP)


def test_queries_of_perp_orders_trades_books_and_words():
    """[venue] query_order, userTrades, bookTicker, time, listenKey and the position mode."""
    asked, _ = decode.order(payload("order_query_futures.json", "query_order"), MARKETS, PERP)
    assert (asked.venue_id, asked.size_i, asked.engine_us) == ("1573346959", 400, 1579276756075_000)
    asked, _ = decode.order(payload("order_query_futures.json", "order (http"), MARKETS, PERP)
    assert (asked.venue_id, asked.size_i, asked.price_i, asked.status) == ("12345678", 1, 5000000, Status.OPEN)
    (row,) = decode.trade_rows(payload("order_query_futures.json", "userTrades"))
    assert decode.trade(row, MARKETS, PERP) == FillSeen(
        symbol="BTCUSDT_PERP",
        trade_id="698759",
        client_id=None,
        venue_id="25851813",
        is_ask=True,
        size_i=2,
        price=Decimal("7819.01"),
        fee=Decimal("0.07819010"),
        fee_asset="USDT",
        is_maker=False,
        engine_us=1569514978020_000,
        source=Source.REST,
    )
    fine = msgspec.structs.replace(MARKETS["BTCUSDT_PERP"], price_decimals=6)
    for text in [value for kind, value in rows("order_query_futures.json").items() if kind.startswith("bookTicker")]:
        book = decode.book_ticker(json.dumps(text).encode(), fine)
        assert (book.bid_i, book.ask_i, book.engine_us) == (4000000, 4000002, 1589437530011_000)
    assert decode.server_time(payload("order_query_futures.json", "time")) == 1499827319559
    key = decode.listen_key(payload("order_query_futures.json", "listenKey"))
    assert key == "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1"
    assert decode.is_hedged(payload("order_query_futures.json", "positionSide")) is True
    assert decode.is_hedged(b'{"dualSidePosition":false}') is False


def test_a_spot_answer_with_its_trades():
    """[venue] FULL lists each trade; RESULT does not, and ACK says too little to be read as an order."""
    seen, fills = decode.order(payload("order_ack_spot.json", "new order FULL"), MARKETS, "")
    assert (seen.status, seen.is_ask, seen.size_i, seen.filled_i, seen.price_i) == (
        Status.FILLED,
        True,
        10**6,
        10**6,
        None,
    )
    assert seen.engine_us == 1507725176595_000
    assert [(fill.trade_id, fill.size_i, fill.price, fill.fee, fill.fee_asset) for fill in fills] == [
        ("56", 100_000, Decimal(4000), Decimal(4), "USDT"),
        ("57", 500_000, Decimal(3999), Decimal("19.995"), "USDT"),
        ("58", 200_000, Decimal(3998), Decimal("7.996"), "USDT"),
        ("59", 100_000, Decimal(3997), Decimal("3.997"), "USDT"),
        ("60", 100_000, Decimal(3995), Decimal("3.995"), "USDT"),
    ]
    assert sum(fill.size_i for fill in fills) == seen.filled_i
    result, none = decode.order(payload("order_ack_spot.json", "new order RESULT"), MARKETS, "")
    assert (result, none) == (seen, ())
    with pytest.raises(WireError):
        decode.order(payload("order_ack_spot.json", "new order ACK"), MARKETS, "")


def test_further_spot_orders():
    """[venue] A cancel carries its own id in clientOrderId; ccxt's capture quotes its integers."""
    ended, _ = decode.order(payload("order_ack_spot.json", "cancel").replace(b"myOrder1", b"1001"), MARKETS, "")
    assert (ended.client_id, ended.venue_id, ended.status, ended.price_i) == (1001, "4", Status.CANCELLED, 2000000)
    asked, _ = decode.order(payload("order_ack_spot.json", "query order"), MARKETS, "")
    assert (asked.size_i, asked.price_i, asked.engine_us) == (1000, 100000, 1499827319559_000)
    assert decode.orders(payload("order_ack_spot.json", "open orders"), MARKETS, "") == (asked,)
    assert decode.orders(payload("order_ack_spot.json", "open orders"), {}, "") == ()
    sol, _ = decode.order(payload("order_ack_spot.json", "new SOL"), MARKETS, "")
    assert (sol.venue_id, sol.client_id, sol.size_i, sol.price_i) == ("9780331417", None, 50, 24100)
    book = decode.book_ticker(payload("order_ack_spot.json", "book ticker"), MARKETS["LTCBTC"])
    assert (book.bid_i, book.ask_i, book.engine_us, book.source) == (4000000, 4000002, 0, Source.REST)
    for start in ("cancel restriction", "amend"):
        with pytest.raises(WireError):
            decode.order(payload("order_ack_spot.json", start), MARKETS, "")


def test_the_two_wallets():
    """[venue] Perp margin, positions signed and netted; spot balances, free and total."""
    margin = decode.margin(payload("account_futures.json", "account v3"))
    assert margin == MarginSeen(balance=Decimal("126.72469206"), available=Decimal("126.72469206"), source=Source.REST)
    (ada,) = decode.positions(payload("account_futures.json", "positionRisk v3"))
    assert ada == PositionSeen(
        symbol="ADAUSDT_PERP",
        quantity=Decimal(30),
        entry_price=Decimal("0.385"),
        mark_price=Decimal("0.41047590"),
        engine_us=1720736417660_000,
        source=Source.REST,
    )
    (btc,) = decode.positions(payload("account_futures.json", "positionRisk fixture"))
    assert (btc.quantity, btc.entry_price) == (Decimal("0.001"), Decimal(50000))
    assert decode.positions(payload("account_futures.json", "positions one-way")) == ()
    (hedged,) = decode.positions(payload("account_futures.json", "positions hedge"))
    assert (hedged.quantity, hedged.entry_price) == (Decimal(10), None)
    for start in ("account", "account capture"):
        name = "account_spot.json"
        coins = decode.balances(json.dumps(rows(name)[start]).encode())
        assert coins[0] == BalanceSeen(
            asset="BTC", free=Decimal("4723846.89208129"), total=Decimal("4723846.89208129"), source=Source.REST
        )
        assert [coin.asset for coin in coins] == ["BTC", "LTC"]
    (trade,) = decode.trade_rows(payload("account_spot.json", "myTrades"))
    fill = decode.trade(trade, MARKETS, "")
    assert (fill.is_ask, fill.is_maker, fill.fee_asset, fill.size_i, fill.price) == (
        *(False, False, "BNB", 12000),
        Decimal("4.000001"),
    )


@pytest.mark.parametrize("start", ["balance v3", "balance fixture", "symbolConfig"])
def test_answers_that_we_never_ask_for_are_not_taken_for_others(start):
    """[ours] A list where an account is wanted is a WireError."""
    with pytest.raises(WireError):
        decode.margin(payload("account_futures.json", start))


READERS = (
    decode.server_time,
    decode.listen_key,
    decode.is_hedged,
    lambda body: decode.order(body, MARKETS, ""),
    lambda body: decode.orders(body, MARKETS, PERP),
    decode.trade_rows,
    decode.positions,
    decode.balances,
    decode.margin,
    lambda body: decode.book_ticker(body, MARKETS["BTCUSDT"]),
)


@pytest.mark.parametrize("body", [b"", b"null", b"1", b'"x"', b"<html>", b"[1]", b'{"a":', b"\xff", b"[" * 100_000])
@pytest.mark.parametrize("reader", READERS)
def test_an_answer_of_another_shape_is_a_wire_error(reader, body):
    """[ours] And nothing else, whatever the bytes."""
    with pytest.raises(WireError):
        reader(body)


def test_an_error_about_a_listen_key_does_not_repeat_it():
    """[ours] Whoever has the key can read the account."""
    with pytest.raises(WireError) as told:
        decode.listen_key(b'{"listenKey":"secret key"}')
    assert "secret" not in str(told.value)


# -- the streams


def perp(name, kind):
    return decode.perp_account_frame(json.dumps(rows(name)[kind]), MARKETS)


def spot(name, kind):
    return decode.api_frame(json.dumps(rows(name)[kind]), MARKETS)


ORDERS = "ws_order_updates_futures.jsonl"


def test_perp_order_events():
    """[venue] New, traded, partly traded; the combined form too."""
    (new,) = perp(ORDERS, "order_update_new")
    assert (new.symbol, new.venue_id, new.client_id, new.status) == ("BTCUSDT_PERP", "8886774", None, Status.OPEN)
    assert (new.size_i, new.price_i, new.engine_us, new.source) == (1, None, 1568879465651_000, Source.WS)
    fill, seen = perp(ORDERS, "order_update_trade")
    assert fill == FillSeen(
        symbol="BTCUSDT_PERP",
        trade_id="12345678",
        client_id=None,
        venue_id="8886774",
        is_ask=False,
        size_i=1,
        price=Decimal("7100.50"),
        fee=Decimal("0.01"),
        fee_asset="USDT",
        is_maker=True,
        engine_us=1568879465651_000,
    )
    assert (seen.status, seen.filled_i, seen.size_i, seen.price_i) == (Status.PARTIALLY_FILLED, 1, 1, 710050)
    fill, seen = perp(ORDERS, "order_update_trade_partial")
    assert (fill.size_i, seen.filled_i, seen.size_i) == (1, 1, 2)
    (new,) = perp(ORDERS, "ws_futures_order_update_new_price_match")
    assert (new.symbol, new.size_i, new.price_i, new.status) == ("ETHUSDT_PERP", 1000, 249550, Status.OPEN)
    (new,) = perp(ORDERS, "ws_futures_order_update_new_reduce_only_qty")
    assert (new.is_ask, new.size_i, new.price_i) == (True, 1000, 250000)


def test_a_liquidation_is_a_fill_of_nobodys_order():
    """[venue] x CALCULATED, with an id that the venue made."""
    fill, seen = perp(ORDERS, "ws_futures_order_update_liquidation")
    assert (fill.trade_id, fill.size_i, fill.price, fill.fee, fill.client_id) == (
        *("1122334455", 100),
        *(Decimal(50000), Decimal(5), None),
    )
    assert (seen.status, seen.filled_i, seen.client_id) == (Status.FILLED, 100, None)


def test_trade_lite_says_nothing_new():
    """[venue] It repeats a part of the TRADE event that follows."""
    assert perp(ORDERS, "trade_lite") == ()


def changed(kind, **values):
    """A recorded order event with some of its fields changed."""
    event = rows(ORDERS)[kind]
    fields = event["o"] | values
    return decode.perp_account_frame(
        json.dumps(event | {"o": {k: v for k, v in fields.items() if v is not None}}), MARKETS
    )


def test_a_fee_that_is_absent_is_no_fee_and_a_trade_without_size_is_no_trade():
    """[venue] n and N are absent when nothing was paid; nautilus_trader saw trades of size 0."""
    fill, _ = changed("order_update_trade", n=None, N=None)
    assert (fill.fee, fill.fee_asset) == (0, "USDT")
    for values in ({"l": "0"}, {"L": "0"}, {"t": 0}, {"t": -1}):
        (seen,) = changed("order_update_trade", **values)
        assert isinstance(seen, OrderSeen)


def test_our_own_order_is_known_by_its_client_id_and_a_foreign_market_is_left_out():
    """[ours] Decimal text is ours; a market that is not in our list cannot be put on a grid."""
    _, seen = changed("order_update_trade", c="1001")
    assert seen.client_id == 1001
    assert changed("order_update_trade", s="XRPUSDT") == ()
    assert isinstance(changed("order_update_trade", X="HALFWAY")[0], Unreadable)


def test_account_update_tells_positions_one_way_only():
    """[venue] LONG and SHORT rows are hedge mode's, which is refused at the start."""
    (seen,) = perp("ws_account_updates_futures.jsonl", "account_update")
    assert seen == PositionSeen(symbol="BTCUSDT_PERP", quantity=Decimal(0), engine_us=1564745798939_000)


REPORTS = "ws_order_updates_spot.jsonl"


def test_spot_execution_reports():
    """[venue] Bare, wrapped by a subscription, and in the old combined form."""
    (new,) = spot(REPORTS, "execution_report_new")
    assert (new.symbol, new.venue_id, new.status, new.size_i, new.price_i) == (
        *("ETHUSDT", "12345678", Status.OPEN),
        *(10_000, 250000),
    )
    fill, seen = spot(REPORTS, "execution_report_trade")
    assert (fill.trade_id, fill.size_i, fill.price, fill.fee, fill.fee_asset, fill.is_maker) == (
        *("98765432", 10_000, Decimal(2500)),
        *(Decimal("0.001"), "ETH", True),
    )
    assert (seen.status, seen.filled_i, seen.engine_us) == (Status.FILLED, 10_000, 1709654401000_000)
    (ended,) = spot(REPORTS, "execution_report_canceled")
    assert (ended.status, ended.filled_i) == (Status.CANCELLED, 0)
    for kind in ("execution_report_wrapped", "executionReport documented"):
        (new,) = spot(REPORTS, kind)
        assert (new.symbol, new.venue_id, new.size_i, new.price_i) == ("ETHBTC", "4293153", 10_000, 1026441)
    fill, seen = spot(REPORTS, "ws_spot_execution_report_trade")
    assert (fill.size_i, fill.price, seen.status, seen.filled_i) == (
        *(5_000, Decimal("2499.5")),
        *(Status.PARTIALLY_FILLED, 5_000),
    )
    (ended,) = spot(REPORTS, "ws_spot_execution_report_canceled")
    assert (ended.status, ended.filled_i, ended.is_ask) == (Status.CANCELLED, 1_000, True)
    (ended,) = spot(REPORTS, "ws_spot_execution_report_expired")
    assert (ended.status, ended.reason, ended.code) == (Status.CANCELLED, "EXPIRED", "")
    (failed,) = spot(REPORTS, "ws_spot_execution_report_rejected")
    assert (failed.status, failed.reason, failed.code) == (Status.FAILED, "GTX_ORDER_REJECT", "POST_ONLY_WOULD_CROSS")


def test_a_cancelled_spot_order_is_named_by_its_original_id():
    """[venue] c is then the id of the cancel."""
    report = rows(REPORTS)["execution_report_canceled"] | {"c": "cancel7", "C": "1001"}
    (ended,) = decode.api_frame(json.dumps({"subscriptionId": 0, "event": report}), MARKETS)
    assert ended.client_id == 1001


COINS = "ws_account_updates_spot.jsonl"


def test_spot_account_events():
    """[venue] Absolute balances are told; deltas and locks of others say nothing; an end ends the line."""
    (coin,) = spot(COINS, "outboundAccountPosition")
    assert coin == BalanceSeen(asset="ETH", free=Decimal(10000), total=Decimal(10000), engine_us=1564034571073_000)
    assert spot(COINS, "balanceUpdate") == spot(COINS, "externalLockUpdate") == ()
    for kind in ("eventStreamTerminated", "serverShutdown"):
        (ended,) = spot(COINS, kind)
        assert (type(ended), ended.code) == (LineRefused, "WS_TIMEOUT")


def test_a_listen_key_that_expired_ends_the_line_without_being_repeated():
    """[venue] With and without the key, and with a time in text, as old versions had it."""
    for event in ({"E": 1736996475556, "listenKey": "SECRETKEY"}, {"E": "1736996475556"}, {"E": 1}):
        (ended,) = decode.perp_account_frame(json.dumps({"e": "listenKeyExpired", **event}), MARKETS)
        assert isinstance(ended, LineRefused)
        assert "SECRETKEY" not in repr(ended)
    (ended,) = decode.book_frame('{"e":"serverShutdown","E":1}', MARKETS, PERP)
    assert isinstance(ended, LineRefused)


def test_answers_of_the_futures_api():
    """[venue] Status and result, as REST would have said it."""
    name = "ws_api_futures.jsonl"
    (placed,) = spot(name, "order.place response")
    assert (type(placed), placed.request_id, placed.status) == (Answered, "3f7df6e3-2df4-44b9-9919-d2f38f90a99a", 200)
    seen, _ = decode.order(placed.body, MARKETS, PERP)
    assert (seen.venue_id, seen.price_i, seen.size_i, seen.status) == ("325078477", 4318700, 100, Status.OPEN)
    (ended,) = spot(name, "order.cancel response")
    assert decode.order(ended.body, MARKETS, PERP)[0].status is Status.CANCELLED
    (asked,) = spot(name, "order.status response")
    assert decode.order(asked.body, MARKETS, PERP)[0].venue_id == "1573346959"
    (key,) = spot(name, "userDataStream.start response")
    assert decode.listen_key(key.body) == "xs0mRXdAKlIPDRFrlPcw0qI41Eh3ixNntmymGyhrhgqo7L6FuLaWArTD7RLP"


def test_answers_of_the_spot_api():
    """[venue] Orders, refusals with their status, and a session that the venue ended."""
    name = "ws_api_spot.jsonl"
    for kind, status in (("order.place response", Status.OPEN), ("order.cancel response", Status.CANCELLED)):
        (answer,) = spot(name, kind)
        assert decode.order(answer.body, MARKETS, "")[0].status is status
    (asked,) = spot(name, "order.status response")
    seen, _ = decode.order(asked.body, MARKETS, "")
    assert (seen.status, seen.filled_i, seen.engine_us) == (Status.FILLED, 847, 1660801717945_000)
    (refused,) = spot(name, "error response")
    assert (refused.status, json.loads(refused.body)["code"]) == (400, -2010)
    (banned,) = spot(name, "418 ban response")
    assert (banned.status, json.loads(banned.body)["code"]) == (418, -1003)
    (revoked,) = spot(name, "session revoked")
    assert (type(revoked), revoked.code) == (LineRefused, "AUTH")
    (logged_on,) = spot(name, "session.logon response")
    (subscribed,) = spot(name, "userDataStream.subscribe response")
    assert (logged_on.status, subscribed.status) == (200, 200)


def test_our_login_and_our_subscription_make_the_line_ready():
    """[venue] Their answers are ours by their ids; subscribed twice is subscribed."""
    logon = rows("ws_api_spot.jsonl")["session.logon response"] | {"id": decode.LOGIN_ID}
    assert decode.api_frame(json.dumps(logon), MARKETS) == (LineReady(stage="login"),)
    taken = rows("ws_api_spot.jsonl")["userDataStream.subscribe response"] | {"id": decode.ACCOUNT_ID}
    assert decode.api_frame(json.dumps(taken), MARKETS) == (LineReady(stage="subscribed"),)
    twice = {"id": decode.ACCOUNT_ID, "status": 400, "error": {"code": -2035, "msg": "already"}}
    assert decode.api_frame(json.dumps(twice), MARKETS) == (LineReady(stage="subscribed"),)
    for name in (decode.LOGIN_ID, decode.ACCOUNT_ID):
        no = {"id": name, "status": 401, "error": {"code": -2015, "msg": "Invalid API-key."}}
        (refused,) = decode.api_frame(json.dumps(no), MARKETS)
        assert (type(refused), refused.code) == (LineRefused, "AUTH")


@pytest.mark.parametrize(
    "kind",
    [
        *("order.place request", "session.logon request", "userDataStream.subscribe request"),
        *("userDataStream.subscribe.signature request", "order.cancel request", "order.status request"),
    ],
)
def test_recorded_requests_are_answers_to_nobody(kind):
    """[ours] They read as answers without a status, which no order waits for."""
    (answer,) = spot("ws_api_spot.jsonl", kind)
    assert (type(answer), answer.status, answer.body) == (Answered, 0, b"")


def test_book_tickers_of_both_products():
    """[venue] Futures with type and time, spot with neither, raw and combined."""
    name = "ws_book_ticker.jsonl"
    for kind in ("futures bookTicker (2026: ps, st)", "futures bookTicker combined"):
        (book,) = decode.book_frame(json.dumps(rows(name)[kind]), MARKETS, PERP)
        assert book == BookSeen(
            symbol="BNBUSDT_PERP", bid_i=253519, ask_i=253652, seq=400900217, engine_us=1568014460891_000
        )
    (book,) = decode.book_frame(json.dumps(rows(name)["spot bookTicker"]), MARKETS, "")
    assert book == BookSeen(symbol="BNBUSDT", bid_i=253519, ask_i=253652, seq=400900217)
    (book,) = decode.book_frame(json.dumps(rows(name)["spot bookTicker combined"]), MARKETS, "")
    assert (book.symbol, book.bid_i, book.ask_i, book.seq) == ("ETHUSDT", 450724, 450725, 12711621188)


def test_words_of_a_market_line():
    """[venue] An acknowledgement, a refusal, an unknown market, and what is none of these."""
    assert decode.book_frame('{"result":null,"id":1}', MARKETS, PERP) == (LineReady(stage="subscribed"),)
    (refused,) = decode.book_frame('{"error":{"code":2,"msg":"Invalid request"},"id":1}', MARKETS, PERP)
    assert isinstance(refused, LineRefused)
    assert decode.book_frame('{"u":1,"s":"XRPUSDT","b":"1","a":"2"}', MARKETS, "") == ()
    (odd,) = decode.book_frame("{}", MARKETS, "")
    assert isinstance(odd, Unreadable)
    (empty,) = decode.book_frame('{"u":1,"s":"BTCUSDT","b":"0.00","a":"2.00"}', MARKETS, "")
    assert (empty.bid_i, empty.ask_i) == (None, 200)


FRAMES = [
    json.dumps(value)
    for name in (
        ORDERS,
        REPORTS,
        COINS,
        "ws_account_updates_futures.jsonl",
        "ws_book_ticker.jsonl",
        "ws_api_spot.jsonl",
    )
    for value in (rows(name).values() if FIXTURES.is_dir() else ())
]
EVENTS = (OrderSeen, FillSeen, BalanceSeen, PositionSeen, BookSeen, Answered, LineReady, LineRefused, Unreadable)


@settings(max_examples=400)
@given(
    frame=st.sampled_from(FRAMES or [""]),
    where=st.floats(0, 1),
    length=st.integers(0, 12),
    instead=st.sampled_from(["", "null", "1e999", "-1", '"', "{}", "[]", "9" * 40, "NaN", "\x00", "é", "true"]),
)
def test_no_mutated_frame_breaks_a_decoder(frame, where, length, instead):
    """[ours] Whatever a line carries, events come back and nothing is raised."""
    place = int(where * len(frame))
    data = frame[:place] + instead + frame[place + length :]
    for kind in (data, data.encode()):
        for events in (
            decode.perp_account_frame(kind, MARKETS),
            decode.api_frame(kind, MARKETS),
            decode.book_frame(kind, MARKETS, PERP),
            decode.book_frame(kind, MARKETS, ""),
        ):
            assert all(isinstance(event, EVENTS) for event in events)
