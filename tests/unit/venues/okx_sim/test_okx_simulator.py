"""What the OKX simulator does: shapes as recorded, contracts, orders, streams, the countdown."""

import json
from decimal import Decimal

import pytest

from core.chance import Chance
from tests.unit.venues.okx_sim.okx_trader import BTC, ETH, PERP, SPOT, Trader, fixture, limit, market
from venues.okx.simulator import Choices
from venues.simulation import SIMULATORS, open_simulator
from venues.simulation.faults import Faults

ORDERS, POSITIONS, ACCOUNT = ({"channel": "orders", "instType": "ANY"}, {"channel": "positions", "instType": "ANY"},
                              {"channel": "account"})  # fmt: skip


@pytest.fixture
def trader():
    return Trader()


# -- shapes


def test_okx_is_registered_and_says_how_to_reach_it():
    """[ours] DESIGN 6: one port, streams under /ws/v5."""
    assert "okx" in SIMULATORS
    sim = open_simulator("okx", clock=Trader().clock, chance=Chance(1))
    told = sim.bootstrap("http://127.0.0.1:1", "ws://127.0.0.1:1")
    assert (told["rest"], told["ws"]) == ("http://127.0.0.1:1", "ws://127.0.0.1:1/ws/v5")
    assert set(told["credentials"]) == {"api_key", "api_secret", "passphrase"}
    assert told["symbols"] == {"perp": PERP, "spot": SPOT}


def test_the_same_seed_gives_the_same_okx():
    """[ours] Credentials and market repeat."""
    first, second, other = Trader(seed=3), Trader(seed=3), Trader(seed=4)
    assert first.key == second.key != other.key
    assert first.get("market/books", instId=BTC) == second.get("market/books", instId=BTC)


def test_instruments_have_the_recorded_keys_and_numbers(trader):
    """[venue] Key for key as captured; BTC and ETH number for number."""
    recorded = fixture("markets.json")
    rows = {row["instId"]: row for row in trader.get("public/instruments", instType="SWAP")}
    for wanted in recorded["swap_response"]["data"]:
        row = rows[wanted["instId"]]
        assert set(wanted) <= set(row)
        for name in ("instIdCode", "ctVal", "ctMult", "tickSz", "lotSz", "minSz", "maxLmtSz", "maxMktSz", "uly"):
            assert row[name] == wanted[name]
    partial = recorded["swap_sol_usdt_partial_record"]
    assert {name: rows[PERP][name] for name in partial} == partial
    (spot,) = trader.get("public/instruments", instType="SPOT", instId=SPOT)
    wanted = recorded["spot_sol_usdt_record"]
    assert {name: spot[name] for name in wanted if name not in ("category",)} == {
        name: value for name, value in wanted.items() if name not in ("category",)
    }
    assert trader.get("public/instruments", instType="FUTURES") == []
    codes = [row["instIdCode"] for kind in ("SWAP", "SPOT") for row in trader.get("public/instruments", instType=kind)]
    assert len(set(codes)) == 6


def test_readings_have_the_recorded_keys(trader):
    """[venue] Orders, trades, balance, configuration, ticker, book, price limit, fees."""
    trader.placed(**market())
    recorded = fixture("orders_rest.json")["order_details_docs"]["data"][0]
    (row,) = trader.get("trade/orders-history", instType="SWAP")
    assert set(recorded) == set(row)
    assert set(fixture("fills_rest.json")["data"][0]) <= set(trader.get("trade/fills")[0])
    balance = fixture("balance_rest.json")["nautilus_futures_mode"]["data"][0]
    told = trader.get("account/balance")[0]
    assert set(balance) - {"notionalUsdForOption", "notionalUsdForSwap"} <= set(told)
    assert set(balance["details"][0]) <= set(told["details"][0])
    held = fixture("positions_rest.json")["swap_cross_ccxt"]["data"][0]
    assert set(held) <= set(trader.get("account/positions")[0])
    config = fixture("account_config.json")["data"][0]
    assert set(config) <= set(trader.get("account/config")[0])
    assert set(fixture("ticker_rest.json")["data"][0]) == set(trader.get("market/ticker", instId=PERP)[0])
    assert set(fixture("order_book_rest.json")["docs"]["data"][0]) == set(trader.get("market/books", instId=PERP)[0])
    assert set(fixture("price_limit.json")["data"][0]) == set(trader.get("public/price-limit", instId=BTC)[0])
    assert {"maker", "taker", "level", "ts", "instType"} <= set(trader.get("account/trade-fee", instType="SPOT")[0])


def test_pushes_have_the_recorded_keys(trader):
    """[venue] Orders, positions and account channels."""
    ear = trader.listen(ORDERS, POSITIONS, ACCOUNT)
    trader.placed(**market(instId=SPOT, tdMode="cash", sz="0.1", tgtCcy="base_ccy"))
    trader.placed(**market())
    trader.run(60)
    recorded = fixture("ws_order_updates.jsonl")[0]["data"][0]
    assert set(recorded) <= set(ear.rows("orders")[0])
    assert set(fixture("ws_positions.jsonl")[1]["data"][0]) <= set(ear.rows("positions")[0])
    told, wanted = ear.rows("account")[0], fixture("ws_account.jsonl")[1]["data"][0]
    assert set(wanted) - {"availEq", "notionalUsdForOption", "notionalUsdForSwap"} <= set(told)


# -- contracts


@pytest.mark.parametrize(("symbol", "coins"), [(PERP, "1"), (BTC, "0.01"), (ETH, "0.1")])
def test_sizes_are_contracts_and_money_follows_the_coin(trader, symbol, coins):
    """[venue] One contract of BTC is 0.01 BTC: position, fee, notional and balance say so."""
    order = trader.placed(**market(instId=symbol, sz="0.25"))
    assert (order["accFillSz"], order["state"]) == ("0.25", "filled")
    value = Decimal("0.25") * Decimal(coins) * Decimal(order["avgPx"])
    assert Decimal(order["fee"]) == -value * Decimal("0.0005")
    (held,) = trader.get("account/positions", instType="SWAP")
    assert (held["instId"], held["pos"], held["posSide"]) == (symbol, "0.25", "net")
    assert Decimal(held["notionalUsd"]) == Decimal("0.25") * Decimal(coins) * Decimal(held["markPx"])
    assert trader.sim.engine.fills[0].size_i == trader.sim.engine.listings[symbol].lot_i * 25


def test_a_book_is_counted_in_contracts(trader):
    """[venue] The engine's coins over the contract's size."""
    (book,) = trader.get("market/books", instId=BTC, sz="1")
    best = trader.sim.engine.books[BTC].best_bid
    listing = trader.sim.engine.listings[BTC]
    assert Decimal(book["bids"][0][1]) == listing.size(best[1]) * 100
    assert len(book["bids"][0]) == 4


def test_a_short_position_is_negative_and_a_closed_one_is_told_with_zero(trader):
    """[venue] Net mode; a list without name leaves flat ones out, the stream says 0 once."""
    ear = trader.listen(POSITIONS)
    trader.placed(**market(side="sell", sz="0.05"))
    trader.run(60)
    trader.placed(**market(sz="0.05", reduceOnly=True))
    trader.run(60)
    assert [row["pos"] for row in ear.rows("positions")] == ["-0.05", "0"]
    assert trader.get("account/positions") == []
    assert trader.get("account/positions", instId=f"{BTC},{PERP}")[0]["pos"] == "0"


# -- orders


def test_an_order_rests_is_found_both_ways_and_is_cancelled(trader):
    """[venue] live, canceled by source 1; gone from the open ones, kept in history."""
    row = trader.order(clOrdId="42", ordType="post_only")
    assert (row["sCode"], row["clOrdId"], len(row["ordId"])) == ("0", "42", 19)
    (found,) = trader.get("trade/order", instId=PERP, clOrdId="42")
    assert (found["state"], found["px"], found["tradeId"]) == ("live", "135", "")
    assert [each["ordId"] for each in trader.get("trade/orders-pending")] == [row["ordId"]]
    assert trader.ask("POST", "trade/cancel-order", {"instId": PERP, "clOrdId": "42"})["code"] == "0"
    (ended,) = trader.get("trade/order", instId=PERP, ordId=row["ordId"])
    assert (ended["state"], ended["cancelSource"]) == ("canceled", "1")
    assert trader.get("trade/orders-pending") == []
    assert trader.get("trade/orders-history", instType="SWAP") == [ended]


def test_a_crossing_post_only_order_is_taken_and_then_cancelled(trader):
    """[venue] The ack is a success; then canceled, source 31, nothing filled."""
    ear = trader.listen(ORDERS)
    order = trader.placed(ordType="post_only", px="145")
    assert (order["state"], order["cancelSource"], order["accFillSz"]) == ("canceled", "31", "0")
    assert [row["state"] for row in ear.rows("orders")] == ["canceled"]
    assert trader.sim.engine.fills == []


@pytest.mark.parametrize(("kind", "source"), [("ioc", "14"), ("fok", "13")])
def test_orders_that_may_not_rest_end_with_their_source(trader, kind, source):
    """[venue] A remainder of IOC, a FOK that cannot be whole."""
    order = trader.placed(ordType=kind, px="135")
    assert (order["state"], order["cancelSource"]) == ("canceled", source)


def test_ones_own_resting_order_is_cancelled_when_one_meets_it(trader):
    """[venue] stpMode cancel_maker: source 32."""
    price = trader.get("market/books", instId=PERP, sz="1")[0]["asks"][0][0]
    resting = trader.placed(side="sell", px=price)
    # Large enough to take the whole level, our own order behind the others included.
    assert trader.placed(**market(sz="120"))["state"] == "filled"
    assert trader.get("trade/order", instId=PERP, ordId=resting["ordId"])[0]["cancelSource"] == "32"


def test_spot_market_orders_are_by_quote_unless_told_otherwise(trader):
    """[venue] A buy spends sz USDT by default; base_ccy makes it coins; the fee is in the coin."""
    by_quote = trader.placed(**market(instId=SPOT, tdMode="cash", sz="28"))
    by_base = trader.placed(**market(instId=SPOT, tdMode="cash", sz="0.1", tgtCcy="base_ccy"))
    assert (by_quote["tgtCcy"], by_quote["sz"], by_base["accFillSz"]) == ("quote_ccy", "28", "0.1")
    assert Decimal("0.19") < Decimal(by_quote["accFillSz"]) < Decimal("0.21")
    fee = trader.get("trade/fills", ordId=by_base["ordId"])[0]
    assert (fee["fee"], fee["feeCcy"], by_base["feeCcy"]) == ("-0.0001", "SOL", "SOL")


def test_a_spot_buy_beyond_the_balance_is_shrunk_unless_that_is_banned(trader):
    """[venue] Silently; banAmend refuses it instead."""
    huge = market(instId=SPOT, tdMode="cash", sz="100", tgtCcy="base_ccy")
    assert trader.order(**huge, banAmend=True)["sCode"] == "51008"
    order = trader.placed(**huge)
    assert order["state"] == "filled"
    assert trader.get("account/balance", ccy="USDT")[0]["details"][0]["cashBal"][:2] != "10"


def test_a_reduce_only_order_is_cut_to_the_position_or_refused_by_choice():
    """[venue] The two documents differ, so both can be had."""
    for choice, code in (("clip", "0"), ("refuse", "51112")):
        trader = Trader(choices=Choices(reduce_only_oversize=choice))
        trader.placed(**market(sz="0.05"))
        row = trader.order(**market(side="sell", sz="1", reduceOnly="true"))
        assert row["sCode"] == code
        assert trader.sim.account.net_i(PERP) == (0 if choice == "clip" else 5)


def test_a_position_is_closed_by_name(trader):
    """[venue] close-position answers without an ordId."""
    trader.placed(**market(instId=BTC, sz="0.25"))
    told = trader.ask("POST", "trade/close-position", {"instId": BTC, "mgnMode": "cross", "posSide": "", "tag": ""})
    assert told["data"] == [{"clOrdId": "", "instId": BTC, "posSide": "net", "tag": ""}]
    assert trader.sim.account.net_i(BTC) == 0
    assert trader.ask("POST", "trade/close-position", {"instId": BTC, "mgnMode": "cross"})["code"] == "51023"


def test_a_batch_has_a_row_for_each_order(trader):
    """[venue] Code 0, 1 or 2 by how many failed; rows in the order of the request."""
    good, bad = limit(), limit(sz="0.001")
    for orders, code, rows in (
        ([good], "0", ["0"]),
        ([bad, bad], "1", ["51020"] * 2),
        ([bad, good], "2", ["51020", "0"]),
    ):
        told = trader.ask("POST", "trade/batch-orders", orders)
        assert (told["code"], [row["sCode"] for row in told["data"]]) == (code, rows)
    numbers = [{"instId": PERP, "ordId": row["ordId"]} for row in trader.get("trade/orders-pending")]
    assert trader.ask("POST", "trade/cancel-batch-orders", numbers)["code"] == "0"
    assert trader.ask("POST", "trade/batch-orders", [good] * 21)["code"] == "51111"


def test_lists_are_told_newest_first_in_pages(trader):
    """[venue] ``after`` an id: what came before it."""
    numbers = [trader.order()["ordId"] for _ in range(5)][::-1]
    pages = [trader.get("trade/orders-pending", limit="2")]
    while pages[-1]:
        pages.append(trader.get("trade/orders-pending", limit="2", after=pages[-1][-1]["ordId"]))
    assert [[row["ordId"] for row in page] for page in pages] == [numbers[:2], numbers[2:4], numbers[4:], []]


def test_an_unfilled_cancelled_order_is_forgotten_after_two_hours(trader):
    """[venue] One with a trade is not."""
    gone, kept = trader.placed(), trader.placed(**market())
    trader.ask("POST", "trade/cancel-order", {"instId": PERP, "ordId": gone["ordId"]})
    trader.clock.ms += 2 * 3_600_000 + 1
    assert trader.ask("GET", "trade/order", {"instId": PERP, "ordId": gone["ordId"]})["code"] == "51603"
    assert trader.get("trade/order", instId=PERP, ordId=kept["ordId"])[0]["state"] == "filled"


@pytest.mark.parametrize("tag", ["", "mine"])
def test_the_countdown_cancels_everything_or_what_carries_its_tag(trader, tag):
    """[venue] Source 20; each call begins anew; 0 stops it."""
    mine, other = trader.placed(tag="mine"), trader.placed()
    for _ in range(2):
        trader.ask("POST", "trade/cancel-all-after", {"timeOut": "10", "tag": tag})
        trader.run(9_000)
    assert len(trader.get("trade/orders-pending")) == 2
    trader.run(1_100)
    assert trader.get("trade/order", instId=PERP, ordId=mine["ordId"])[0]["cancelSource"] == "20"
    left = [row["ordId"] for row in trader.get("trade/orders-pending")]
    assert left == ([other["ordId"]] if tag else [])
    trader.ask("POST", "trade/cancel-all-after", {"timeOut": "10"})
    trader.ask("POST", "trade/cancel-all-after", {"timeOut": "0"})
    trader.run(11_000)
    assert [row["ordId"] for row in trader.get("trade/orders-pending")] == left


# -- faults


@pytest.mark.parametrize(
    ("reason", "code"), [("", "51008"), ("PRICE_BAND", "51006"), ("RATE_LIMITED", "50011"), ("NONSENSE", "51008")]
)
def test_an_engine_fault_refuses_in_the_venues_words(reason, code):
    """[ours] The same hooks as every simulator has."""
    rule = {"action": "reject", "on": "engine", "kind": "place", "params": {"reason": reason}}
    assert Trader(faults=Faults.load([rule])).order()["sCode"] == code


def test_partial_fills_have_trades_of_their_own_and_a_slow_cancel_takes_its_time():
    """[venue] Distinct trade ids; an ack of a cancel is not its effect."""
    rules = [
        {"action": "partial_fill", "on": "engine", "kind": "match", "nth": [1]},
        {"action": "slow_cancel", "on": "engine", "kind": "cancel", "params": {"ms": 500}},
    ]
    trader = Trader(faults=Faults.load(rules))
    ear = trader.listen(ORDERS)
    part = trader.placed(px="141", sz="2", ordType="ioc")
    assert (part["state"], Decimal(0) < Decimal(part["accFillSz"]) < 2) == ("canceled", True)
    assert [row["state"] for row in ear.rows("orders")] == ["live", "partially_filled", "canceled"]
    assert ear.rows("orders")[1]["tradeId"] == trader.get("trade/fills")[0]["tradeId"]
    order = trader.placed()
    assert trader.ask("POST", "trade/cancel-order", {"instId": PERP, "ordId": order["ordId"]})["code"] == "0"
    assert trader.get("trade/order", instId=PERP, ordId=order["ordId"])[0]["state"] == "live"
    trader.run(501)
    assert trader.get("trade/order", instId=PERP, ordId=order["ordId"])[0]["state"] == "canceled"
    trader.placed(**market(sz="50"))
    numbers = [row["tradeId"] for row in trader.get("trade/fills")]
    assert len(set(numbers)) == len(numbers) > 1


def test_the_kinds_of_requests_and_messages_are_told_for_fault_rules(trader):
    """[ours] Over HTTP, over the stream, and what goes out."""
    ear = trader.listen(ORDERS, POSITIONS, ACCOUNT)
    book = trader.listen({"channel": "bbo-tbt", "instId": PERP}, line="public")
    trader.placed(**market())
    trader.run(60)
    kinds = {trader.sim.message_kind(json.dumps(each, sort_keys=True, separators=(",", ":"))) for each in ear.got}
    assert kinds == {"fill", "position", "balance", "other"}
    assert trader.sim.message_kind('{"arg":{"channel":"orders"},"data":[{"tradeId":""}]}') == "order"
    assert trader.sim.message_kind(json.dumps(book.last(), sort_keys=True, separators=(",", ":"))) == "book"
    texts = ['{"op":"order"}', '{"op":"batch-orders"}', '{"op":"cancel-order"}', '{"op":"login"}', "ping", "{", "[]"]
    assert [trader.sim.text_kind(text) for text in texts] == ["place", "place", "cancel", *["other"] * 4]


# -- streams


def test_an_order_goes_over_the_stream_by_number(trader):
    """[venue] As the recorded frames: an id comes back, msg is empty also where all failed."""
    ear = trader.listen(ORDERS)
    order = {name: value for name, value in limit().items() if name != "instId"} | {"clOrdId": "42"}
    trader.say(ear, "order", [{"instIdCode": 10459, **order, "px": "91000"}], id="1512")
    told = next(each for each in ear.got if each.get("op") == "order")
    assert set(told) == set(fixture("ws_order_ops.jsonl")[1])
    assert (told["id"], told["code"], told["data"][0]["sCode"]) == ("1512", "0", "0")
    assert ear.rows("orders")[0]["instId"] == BTC
    cases = [
        ({"instIdCode": 1, **order}, "1", "51001"),
        ({"instId": BTC, **order}, "1", "50014"),
        ({"instIdCode": 10459, **order, "sz": "0.001", "clOrdId": "43"}, "1", "51020"),
    ]
    for number, (arg, code, row) in enumerate(cases):
        trader.say(ear, "order", [arg], id=str(number))
        assert (ear.last()["code"], ear.last()["msg"], ear.last()["data"][0]["sCode"]) == (code, "", row)
    trader.say(ear, "cancel-order", [{"instIdCode": 10459, "clOrdId": "42"}], id="9")
    assert (ear.last()["op"], ear.last()["code"]) == ("cancel-order", "0")
    for args in ([], [1], None):
        trader.say(ear, "order", args, id="10")
        assert (ear.last()["code"], ear.last()["data"], ear.last()["msg"]) == ("60013", [], "Invalid args")


def test_an_order_that_arrives_after_its_expiry_is_refused_on_both_ways(trader):
    """[venue] expTime: a header, or a field of the frame."""
    ear = trader.listen()
    late = str(trader.clock.ms - 1)
    told = trader.ask("POST", "trade/order", limit(), headers={"exptime": late})
    assert (told["code"], told["data"]) == ("50037", [])
    order = {name: value for name, value in limit().items() if name != "instId"}
    trader.say(ear, "order", [{"instIdCode": 10465, **order}], id="1", expTime=late)
    assert (ear.last()["code"], ear.last()["data"]) == ("50037", [])
    assert trader.sim.engine.orders == {}
    assert trader.ask("POST", "trade/order", limit(), headers={"exptime": str(trader.clock.ms)})["code"] == "0"


def test_a_subscription_is_echoed_and_served_once_however_often_it_is_asked(trader):
    """[venue] ccxt asks for orders twice on one socket; the argument comes back with the uid."""
    ear = trader.listen(ORDERS)
    trader.say(ear, "subscribe", [ORDERS], id="7")
    acks = [each for each in ear.got if each.get("event") == "subscribe"]
    assert [each.get("id") for each in acks] == [None, "7"]
    assert [each["event"] for each in ear.got].count("channel-conn-count") == 2
    trader.order()
    pushes = [each for each in ear.got if "data" in each]
    assert len(pushes) == 1
    assert pushes[0]["arg"] == {**ORDERS, "uid": trader.get("account/config")[0]["uid"]}
    trader.say(ear, "unsubscribe", [ORDERS])
    trader.order()
    assert len([each for each in ear.got if "data" in each]) == 1


def test_books_follow_without_a_gap(trader):
    """[venue] A snapshot with prevSeqId -1, then updates whose prevSeqId is the last seqId; changes add up."""
    books = {"channel": "books", "instId": BTC}
    first = trader.listen(books, line="public")
    trader.run(777)
    second = trader.listen(books, line="public")
    trader.run(5_000)
    for ear in (first, second):
        levels, last = {"asks": {}, "bids": {}}, -1
        for row in ear.rows("books"):
            assert row["prevSeqId"] == last
            last = row["seqId"]
            for side, known in levels.items():
                for price, size, *_ in row[side]:
                    known[price] = size
                    if size == "0":
                        del known[price]
        (book,) = trader.get("market/books", instId=BTC, sz="400")
        if last == book["seqId"]:
            for side, known in levels.items():
                assert known == {price: size for price, size, *_ in book[side]}
        assert last > 0


def test_best_prices_come_at_most_every_ten_milliseconds(trader):
    """[venue] bbo-tbt: one level, no action, the engine's time."""
    ear = trader.listen({"channel": "bbo-tbt", "instId": PERP}, line="public")
    trader.run(30_000)
    times = [int(row["ts"]) for row in ear.rows("bbo-tbt")]
    assert len(times) > 5
    assert times == sorted(times)
    assert all(len(row["asks"]) == len(row["bids"]) == 1 for row in ear.rows("bbo-tbt"))


def test_positions_and_account_are_told_again_every_five_seconds(trader):
    """[venue] A regular push beside the events."""
    trader.placed(**market())
    trader.run(60)
    ear = trader.listen(POSITIONS, ACCOUNT)
    before = len(ear.rows("positions")), len(ear.rows("account"))
    trader.run(10_100)
    assert (len(ear.rows("positions")), len(ear.rows("account"))) == (before[0] + 2, before[1] + 2)


def test_a_fill_is_told_on_balance_and_position(trader):
    """[venue] Snapshot, then what changed."""
    ear = trader.listen({"channel": "balance_and_position"})
    trader.placed(**market(instId=BTC, sz="0.25"))
    rows = ear.rows("balance_and_position")
    assert [row["eventType"] for row in rows] == ["snapshot", "filled"]
    assert rows[1]["posData"][0]["pos"] == "0.25"
    assert [row["ccy"] for row in rows[1]["balData"]] == ["USDT"]
    assert set(fixture("ws_balance_and_position.jsonl")[0]["data"][0]) <= set(rows[1])


def test_a_quiet_socket_is_closed_and_a_text_ping_keeps_it(trader):
    """[venue] 30 s without traffic: 4004; ping is answered with pong."""
    quiet, kept = trader.listen(), trader.listen()
    for _ in range(4):
        trader.run(10_000)
        trader.sim.ws_text(kept, "ping")
    assert (quiet.closed, kept.closed, kept.last()) == (4004, None, "pong")
