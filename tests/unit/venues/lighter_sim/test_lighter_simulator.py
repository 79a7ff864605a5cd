"""The simulated Lighter: what its gate refuses, what its sequencer does later, and what it prints."""

import base64
import json
from itertools import pairwise

import pytest

from tests.unit.venues.lighter_sim.sender import DAY_MS, HandClock, Screen, Sender
from venues.simulation.app import Request
from venues.simulation.faults import Faults

ORDERS, TRADES = "account_all_orders/12345", "account_all_trades/12345"


def refusal(answer):
    status, body = answer
    assert status in (400, 429), body
    return body["code"]


# -- the gate


def test_a_yes_is_queued_and_the_order_is_told_later():
    """[venue] 200 with the hash and a time, no order id; the row comes on the stream under our client id."""
    clock = HandClock()
    sender = Sender(clock, queue_ms=200)
    screen = sender.watch(ORDERS)
    status, body = sender.place()
    assert (status, body["code"], len(body["tx_hash"])) == (200, 200, 80)
    assert body["predicted_execution_time_ms"] == sender.sim.now_ms() + 200
    assert sender.mine("accountActiveOrders")["orders"] == []
    assert sender.get("tx", by="hash", value=body["tx_hash"])["status"] == 1
    clock.move(0.25)
    sender.sim.advance()
    (order,) = sender.mine("accountActiveOrders")["orders"]
    assert (order["client_order_index"], order["status"], order["initial_base_amount"]) == (1001, "open", "0.140")
    assert order["order_index"] >= 2**48
    assert [row["status"] for frame in screen.of("update/account_all_orders") for row in frame["orders"]["2"]] == [
        "open"
    ]
    assert sender.get("tx", by="hash", value=body["tx_hash"])["status"] == 2


def test_signature_account_key_chain_and_expiry_are_checked():
    """[venue] 21120, 21100, 21109, and a transaction past its ExpiredAt; none consumes the nonce."""
    sender = Sender()
    before = sender.nonce
    forged = sender.transaction(14, sender.order())
    assert refusal(sender.post(14, forged | {"Price": 136_000})) == 21120
    assert refusal(sender.post(14, forged | {"Sig": base64.b64encode(b"\0" * 80).decode()})) == 21120
    assert refusal(sender.send(14, sender.order(), chain=300)) == 21120
    assert refusal(sender.send(14, sender.order(), AccountIndex=1)) == 21100
    assert refusal(sender.send(14, sender.order(), ApiKeyIndex=6)) == 21109
    assert refusal(sender.send(14, sender.order(), ExpiredAt=sender.sim.now_ms())) == 21711
    assert sender.nonce == before


def test_nonces_have_no_holes_unless_they_are_skipped():
    """[venue] next = last + 1, else 21104; attribute 4 lets the counter jump."""
    sender = Sender()
    first = sender.nonce
    for wrong in (first - 1, first + 1):
        assert refusal(sender.send(14, sender.order(), Nonce=wrong)) == 21104
    assert sender.place()[0] == 200
    assert sender.nonce == first + 1
    assert sender.send(14, sender.order(ClientOrderIndex=2), Nonce=1_795_361_147_765, attributes={4: 1})[0] == 200
    assert sender.nonce == 1_795_361_147_766
    assert refusal(sender.send(14, sender.order(ClientOrderIndex=3), Nonce=5, attributes={4: 1})) == 21104


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"MarketIndex": 9}, 21602),
        ({"ClientOrderIndex": 2**48}, 21727),
        ({"BaseAmount": 0}, 21701),
        ({"BaseAmount": 2**48}, 21701),
        ({"Price": 0}, 21702),
        ({"Price": 2**32}, 21702),
        ({"IsAsk": 2}, 21703),
        ({"Type": 2}, 21710),
        ({"Type": 9}, 21704),
        ({"TimeInForce": 3}, 21705),
        ({"Type": 1}, 21705),
        ({"ReduceOnly": 2}, 21740),
        ({"MarketIndex": 2048, "ReduceOnly": 1, "Price": 310_000}, 21740),
        ({"TriggerPrice": 5}, 21729),
        ({"OrderExpiry": 0}, 21711),
        ({"OrderExpiry": 10**15}, 21711),
        ({"TimeInForce": 0, "OrderExpiry": 5}, 21711),
        ({"BaseAmount": 49}, 21706),
        ({"BaseAmount": 60}, 21706),
        ({"Price": 20_000, "BaseAmount": 1_000}, 21734),
        ({"Price": 300_000}, 21734),
        ({"BaseAmount": 5_000_000}, 21739),
        ({"MarketIndex": 2048, "Price": 310_000, "BaseAmount": 1_000_000}, 21739),
    ],
)
def test_an_order_that_breaks_a_rule_is_refused_by_its_number(change, code):
    """[venue] The sheet's rules and the 239 documented codes; the nonce is not consumed."""
    sender = Sender()
    before = sender.nonce
    assert refusal(sender.place(**change)) == code
    assert (sender.nonce, sender.sim.engine.orders) == (before, {})


def test_minimums_bind_makers_only():
    """[venue] A taker may trade dust."""
    sender = Sender()
    assert refusal(sender.place(BaseAmount=1)) == 21706
    assert sender.place(BaseAmount=1, Type=1, TimeInForce=0, Price=145_000)[0] == 200
    (fill,) = sender.sim.engine.fills
    assert fill.size_i == 1


@pytest.mark.parametrize(("policy", "again"), [("accept", 200), ("refuse", 400)])
def test_a_client_id_lives_once(policy, again):
    """[gap] A live one: 21728. Whether an ended one may come again is not documented: a switch."""
    sender = Sender(ended_client_id=policy)
    assert sender.place()[0] == 200
    assert refusal(sender.place(MarketIndex=0, Price=310_000)) == 21728
    sender.send(15, {"MarketIndex": 2, "Index": 1001})
    assert sender.place()[0] == again


@pytest.mark.parametrize(("policy", "status"), [("queue", 200), ("refuse", 400)])
def test_a_cancel_of_nothing_is_queued_and_fails_or_is_refused(policy, status):
    """[gap] Where it is refused is not documented; queued it consumes the nonce and the transaction shows 0."""
    sender = Sender(unknown_cancel=policy)
    before = sender.nonce
    told, body = sender.send(15, {"MarketIndex": 2, "Index": 77})
    assert (told, sender.nonce - before) == (status, int(status == 200))
    if status == 200:
        found = sender.get("tx", by="hash", value=body["tx_hash"])
        assert (found["status"], "ae" in json.loads(found["event_info"])) == (0, True)


@pytest.mark.parametrize("info", ["", "[]", "{", '{"Nonce":1}', '{"a":' * 5_000])
def test_what_is_no_transaction_is_refused(info):
    """[ours] 21501 for the shape, 21505 for the type."""
    sender = Sender()
    assert refusal(sender.post(14, info)) == 21501
    assert refusal(sender.post(8, info)) == 21505
    assert refusal(sender.post("x", info)) == 21505


def test_a_form_may_be_multipart():
    """[client] ccxt's blocking client and nautilus send it so."""
    sender = Sender()
    info = json.dumps(sender.transaction(14, sender.order()))
    lines = []
    for name, value in (("tx_type", "14"), ("tx_info", info)):
        lines += ["--zz", f'Content-Disposition: form-data; name="{name}"', "", value]
    raw = "\r\n".join([*lines, "--zz--", ""]).encode()
    headers = {"content-type": "multipart/form-data; boundary=zz"}
    assert sender.http("POST", "/api/v1/sendTx", body=raw, headers=headers)[0] == 200
    assert sender.sim.http_kind(Request("POST", "/api/v1/sendTx", "", headers, raw)) == "place"


def test_a_batch_is_taken_whole_or_not_at_all():
    """[venue] Consecutive nonces; the second one's refusal refuses the first."""
    sender = Sender()
    nonce = sender.nonce
    good = [sender.transaction(14, sender.order(ClientOrderIndex=n), Nonce=nonce + n) for n in (0, 1)]
    bad = [good[0], sender.transaction(14, sender.order(ClientOrderIndex=5), Nonce=nonce)]
    for infos, wanted in ((bad, 21104), (good, 200)):
        texts = json.dumps([json.dumps(info) for info in infos])
        data = {"id": "b", "tx_types": "[14,14]", "tx_infos": texts}
        screen = sender.watch()
        sender.sim.ws_text(screen, json.dumps({"type": "jsonapi/sendtxbatch", "data": data}))
        assert (screen.frames[-1]["code"], screen.frames[-1]["id"]) == (wanted, "b")
        sender.sim.advance()
    assert len(screen.frames[-1]["tx_hash"]) == len(sender.sim.engine.orders) == 2


def test_engine_faults_refuse_in_the_venues_words():
    """[ours] place and cancel rejects, and a rate limit with its own status."""
    for reason, wanted in (("", 21739), ("PRICE_BAND", 21734), ("RATE_LIMITED", 23000)):
        rule = {"action": "reject", "on": "engine", "kind": "place", "params": {"reason": reason}}
        assert refusal(Sender(faults=Faults.load([rule])).place()) == wanted
    sender = Sender(faults=Faults.load([{"action": "reject", "on": "engine", "kind": "cancel", "params": {}}]))
    sender.place()
    assert refusal(sender.send(15, {"MarketIndex": 2, "Index": 1001})) == 21715


# -- the sequencer


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"Price": 145_000}, "canceled-post-only"),
        ({"Price": 145_000, "TimeInForce": 1, "ReduceOnly": 1}, "canceled-reduce-only"),
        ({"Type": 1, "TimeInForce": 0, "Price": 120_000}, "canceled-too-much-slippage"),
        ({"Type": 1, "TimeInForce": 0, "Price": 200_000, "BaseAmount": 5_000_000}, "canceled-margin-not-allowed"),
        ({"TimeInForce": 0, "Price": 130_000}, "canceled"),
        (
            {"MarketIndex": 2048, "Type": 1, "TimeInForce": 0, "Price": 400_000, "BaseAmount": 10**6},
            "canceled-invalid-balance",
        ),
    ],
)
def test_what_the_sequencer_refuses_is_told_by_the_row(change, status):
    """[venue] 200, the nonce is consumed, and the order ends with the sheet's word."""
    sender = Sender()
    before = sender.nonce
    assert sender.place(**change)[0] == 200
    (row,) = sender.mine("accountOrders", client_order_indexes="1001,5")["orders"]
    assert (row["status"], row["filled_base_amount"].strip("0."), sender.nonce) == (status, "", before + 1)
    assert row["remaining_base_amount"].strip("0.") == ""
    assert sender.mine("accountInactiveOrders", limit=100)["orders"] == [row]


def test_a_refused_taker_may_leave_no_trace():
    """[gap] Reported of the testnet: a switch."""
    sender = Sender(silent_drops=True)
    assert sender.place(Type=1, TimeInForce=0, Price=120_000)[0] == 200
    assert sender.mine("accountOrders", client_order_indexes="1001")["orders"] == []


def test_orders_are_cancelled_by_client_id_by_index_by_market_and_all():
    """[venue] One field for both ids; attribute 5 is one market."""
    sender = Sender()
    for number in (1, 2, 3):
        sender.place(ClientOrderIndex=number)
    sender.place(ClientOrderIndex=4, MarketIndex=0, Price=310_000)

    def live():
        return [row["client_order_index"] for row in sender.mine("accountActiveOrders")["orders"]]

    sender.send(15, {"MarketIndex": 2, "Index": 1})
    assert live() == [2, 3, 4]
    index = sender.mine("accountActiveOrders")["orders"][0]["order_index"]
    sender.send(15, {"MarketIndex": 2, "Index": index})
    assert live() == [3, 4]
    sender.send(16, {"TimeInForce": 0, "Time": 0}, attributes={5: 2})
    assert live() == [4]
    sender.send(16, {"TimeInForce": 0, "Time": 0})
    assert live() == []


def test_a_scheduled_cancel_goes_off_unless_it_is_taken_back():
    """[venue] Five minutes to fifteen days ahead; shown as cancel_all_time."""
    clock = HandClock()
    sender = Sender(clock)
    sender.place()
    for ahead_ms in (299_000, 16 * DAY_MS):
        assert refusal(sender.send(16, {"TimeInForce": 1, "Time": sender.sim.now_ms() + ahead_ms})) == 21714
    assert refusal(sender.send(16, {"TimeInForce": 4, "Time": 0})) == 21713
    moment = sender.sim.now_ms() + 300_000
    sender.send(16, {"TimeInForce": 1, "Time": moment})
    (row,) = sender.get("account", by="index", value=12345)["accounts"]
    assert row["cancel_all_time"] == moment
    sender.send(16, {"TimeInForce": 2, "Time": 0})
    clock.move(301)
    sender.sim.advance()
    assert len(sender.mine("accountActiveOrders")["orders"]) == 1
    sender.send(16, {"TimeInForce": 1, "Time": sender.sim.now_ms() + 300_000})
    clock.move(301)
    sender.sim.advance()
    assert sender.mine("accountActiveOrders")["orders"] == []


def test_a_changed_order_keeps_its_index():
    """[venue] tx 17: new size and price, the same index and client id; one row, one word on the stream."""
    sender = Sender()
    sender.place()
    screen = sender.watch(ORDERS)
    (before,) = sender.mine("accountActiveOrders")["orders"]
    fields = {"MarketIndex": 2, "Index": 1001, "BaseAmount": 150, "Price": 136_000, "TriggerPrice": 0}
    assert sender.send(17, fields)[0] == 200
    (after,) = sender.mine("accountActiveOrders")["orders"]
    assert (after["order_index"], after["price"], after["initial_base_amount"]) == (
        before["order_index"],
        "136.000",
        "0.150",
    )
    assert len(screen.of("update/account_all_orders")) == 1
    sender.send(15, {"MarketIndex": 2, "Index": before["order_index"]})
    assert [row["status"] for row in sender.mine("accountInactiveOrders")["orders"]] == ["canceled"]


def test_a_round_trip_is_told_with_trades_position_and_margin():
    """[venue] Trade rows with both sides, sign and unsigned size, the flat row that remains, and no fee."""
    sender = Sender()
    screen = sender.watch(ORDERS, TRADES, "account_all_positions/12345", "user_stats/12345")
    sender.place(Type=1, TimeInForce=0, Price=145_000, IsAsk=0)
    sender.place(Type=1, TimeInForce=0, Price=135_000, IsAsk=1, ReduceOnly=1, ClientOrderIndex=1002)
    rows = [row for frame in screen.of("update/account_all_trades") for row in frame["trades"]["2"]]
    assert {row["bid_client_id"] if row["bid_account_id"] == 12345 else row["ask_client_id"] for row in rows} == {
        1001,
        1002,
    }
    assert all("taker_fee" not in row for row in rows)
    held = [frame["positions"]["2"] for frame in screen.of("update/account_all_positions")]
    assert (held[0]["sign"], held[-1]["sign"], held[-1]["position"]) == (1, 1, "0.000")
    listed = sender.mine("trades", sort_by="timestamp", limit=100)["trades"]
    assert {row["trade_id"] for row in listed} == {row["trade_id"] for row in rows}
    index = rows[0]["bid_id"]
    assert all(
        row["bid_id"] == index for row in sender.mine("trades", sort_by="timestamp", order_index=index)["trades"]
    )
    stats = screen.of("update/user_stats")[-1]["stats"]
    (account,) = sender.get("account", by="index", value=12345)["accounts"]
    assert (stats["collateral"], stats["portfolio_value"]) == (account["collateral"], account["total_asset_value"])


# -- tokens and channels


def test_private_readings_want_a_good_token():
    """[venue] None, another's, an expired one: refused; a good one may also stand in the query."""
    clock = HandClock()
    sender = Sender(clock)
    token = sender.token(600)
    text, _, signature = token.rpartition(":")
    for bad in (None, "x", f"{text}:{'0' * 160}", f"9{text}:{signature}", "ro:12345:single:9999999999:ab"):
        assert sender.get("accountActiveOrders", bad, account_index=12345)["code"] == 20013
    assert sender.get("accountActiveOrders", token, account_index=12345)["code"] == 200
    assert sender.get("accountActiveOrders", account_index=12345, auth=token)["code"] == 200
    assert sender.get("accountActiveOrders", token, account_index=1)["code"] == 21100
    clock.move(601)
    assert sender.get("accountActiveOrders", token, account_index=12345)["code"] == 20013


def test_channels_greet_snapshot_refuse_and_end():
    """[venue] connected, subscribed/…, 30003, 30005, 30002, pong, and a colon where we wrote a slash."""
    sender = Sender()
    screen = sender.watch("ticker/2", "ticker/2", "ticker/77", "nonsense", ORDERS)
    assert screen.frames[0]["type"] == "connected"
    (ticker,) = screen.of("subscribed/ticker")
    assert (ticker["channel"], ticker["ticker"]["s"]) == ("ticker:2", "SOL")
    errors = [frame["error"]["code"] for frame in screen.frames if "error" in frame]
    assert errors == [30003, 30005, 30005]
    assert screen.of("subscribed/account_all_orders")[0]["orders"] == {}
    for text, wanted in (
        ('{"type":"ping"}', "pong"),
        ('{"type":"unsubscribe","channel":"ticker/2"}', "unsubscribed"),
    ):
        sender.sim.ws_text(screen, text)
        assert screen.frames[-1]["type"] == wanted
    for text, code in (('{"type":"unsubscribe","channel":"ticker/2"}', 30002), ("{", 30000), ("[]", 30001)):
        sender.sim.ws_text(screen, text)
        assert screen.frames[-1]["error"]["code"] == code


def test_private_channels_want_a_token_but_for_those_that_clients_open_without():
    """[client] ccxt watches trades and statistics, the SDK account_all, without one; strict_tokens ends that."""
    lenient = (TRADES, "user_stats/12345", "account_all/12345")
    strict = (ORDERS, "account_all_positions/12345", "account_orders/2/12345", "account_market/2/12345")
    screen = Sender().watch(*lenient, *strict, "account_all_orders/7", token=False)
    assert [frame["error"]["code"] for frame in screen.frames if "error" in frame] == [20013] * 4 + [30005]
    screen = Sender(strict_tokens=True).watch(*lenient, token=False)
    assert [frame["error"]["code"] for frame in screen.frames if "error" in frame] == [20013] * 3
    assert len(Sender(strict_tokens=True).watch(*lenient, *strict).frames) == 1 + 7


def test_a_book_can_be_followed_without_a_hole():
    """[venue] update.begin_nonce is the nonce before, from the snapshot on; offsets are not contiguous."""
    clock = HandClock()
    sender = Sender(clock)
    early = sender.watch("order_book/2")
    late = Screen()
    for step in range(200):
        clock.move(0.03)
        sender.sim.advance()
        if step == 100:
            sender.sim.ws_open(late, "/stream", {})
            sender.sim.ws_text(late, '{"type":"subscribe","channel":"order_book/2"}')
    for screen in (early, late):
        frames = [frame["order_book"] for frame in screen.frames if "order_book" in frame]
        assert len(frames) > 5
        assert frames[0]["begin_nonce"] == 0
        for earlier, later in pairwise(frames):
            assert later["begin_nonce"] == earlier["nonce"]
            assert later["offset"] > earlier["offset"]


@pytest.mark.parametrize("bare", [False, True])
def test_a_transaction_on_the_stream_is_answered_there(bare):
    """[gap] By its id, or as a bare error that names nothing: a switch."""
    sender = Sender(bare_refusals=bare)
    screen = sender.watch()
    for fields in (sender.order(), sender.order(ClientOrderIndex=2, BaseAmount=1)):
        data = {"id": "a", "tx_type": 14, "tx_info": sender.transaction(14, fields)}
        text = json.dumps({"type": "jsonapi/sendtx", "data": data})
        assert sender.sim.text_kind(text) == "place"
        sender.sim.ws_text(screen, text)
        sender.sim.advance()
    yes, refused = screen.frames[-2:]
    assert (yes["type"], yes["id"], yes["code"], len(yes["tx_hash"])) == ("jsonapi/sendtx", "a", 200, 80)
    assert refused.get("error", refused)["code"] == 21706
    assert ("id" in refused) != bare


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{", "other"),
        ("[]", "other"),
        ('{"type":"jsonapi/sendtx","data":{"tx_type":15}}', "cancel"),
        ('{"type":"jsonapi/sendtx","data":{"tx_type":"16"}}', "cancel_all"),
        ('{"type":"jsonapi/sendtx"}', "other"),
        ('{"type":"subscribe","channel":"ticker/2"}', "other"),
    ],
)
def test_a_fault_knows_what_a_frame_asks_for(text, kind):
    """[ours] text_kind never raises."""
    assert Sender().sim.text_kind(text) == kind


def test_what_goes_out_is_sorted_for_faults():
    """[ours] message_kind of each channel; the answer to a subscription is none of them."""
    sender = Sender()
    screen = sender.watch(ORDERS, TRADES, "account_all_positions/12345", "account_all_assets/12345", "ticker/2")
    sender.place(Type=1, TimeInForce=0, Price=145_000)
    kinds = {}
    for frame in screen.frames:
        text = json.dumps(frame, separators=(",", ":"), sort_keys=True)
        kinds.setdefault(frame["type"], set()).add(sender.sim.message_kind(text))
    assert kinds["update/account_all_orders"] == {"order"}
    assert kinds["update/account_all_trades"] == {"fill"}
    assert kinds["update/account_all_positions"] == {"position"}
    assert kinds["update/ticker"] == {"book"}
    assert kinds["subscribed/account_all_orders"] == kinds["connected"] == {"other"}


def test_readings_refuse_what_they_do_not_know():
    """[ours] Unknown accounts, keys, markets, limits, hashes and paths."""
    sender = Sender()
    assert sender.get("account", by="index", value=1)["code"] == 21100
    assert sender.get("nextNonce", account_index=12345, api_key_index=9)["code"] == 21109
    assert sender.get("apikeys", account_index=12345, api_key_index=9)["code"] == 21109
    assert sender.get("orderBookOrders", market_id="x")["code"] == 21602
    assert sender.get("orderBookOrders", market_id=2, limit=0)["code"] == 20001
    assert sender.get("tx", by="hash", value="00")["code"] == 21500
    assert sender.get("nothing")["code"] == 29404
    assert sender.mine("trades", sort_by="moon")["code"] == 20001
