import json
from decimal import Decimal
from pathlib import Path

import pytest

from core.chance import Chance
from core.clock import VirtualClock, run_virtual
from tests.unit.venues.hyperliquid_sim.hl_trader import Trader, trade
from venues.hyperliquid.simulator import Choices, HyperliquidSimulator
from venues.simulation.app import Request

FOLDER = Path(__file__).resolve().parents[4].parent / "shared" / "fixtures" / "hyperliquid"
if not FOLDER.exists():
    pytest.skip("../shared with the recorded payloads is missing", allow_module_level=True)


def load(name):
    return json.loads((FOLDER / name).read_text())


def keys(value):
    """The shape of a payload: its keys at every depth, of lists the first item's."""
    if isinstance(value, dict):
        return {key: keys(inner) for key, inner in value.items()}
    return [keys(value[0])] if isinstance(value, list) and value else type(value).__name__


# -- two readers, one truth


@pytest.mark.parametrize("vector", load("signing_vectors.json")["vectors"], ids=lambda vector: vector["name"])
def test_every_recorded_request_is_verified(vector):
    """[client] SDK and ccxt, both networks, agents and user-signed actions: the signer is recovered and may act."""
    told = load("signing_vectors.json")

    async def main():
        clock = VirtualClock(told["nonce_ms"])
        sim = HyperliquidSimulator(clock, Chance(1), key=bytes.fromhex(told["private_key"][2:]))
        assert sim.owner == told["address"].lower()
        reply = sim.http(Request("POST", "/exchange", "", {}, json.dumps(vector["body"]).encode()))
        answer = json.loads(reply.body)
        if vector["body"].get("vaultAddress"):
            assert answer["response"].startswith("Vault not registered")
        else:
            assert "does not exist" not in str(answer)
            assert "recover" not in str(answer)
        # One changed byte, and a stranger is recovered, whom the refusal names.
        vector["body"]["nonce"] += 1
        changed = {**vector["body"], "action": {**vector["body"]["action"]}}
        if "nonce" in changed["action"]:
            changed["action"]["nonce"] += 1
        reply = sim.http(Request("POST", "/exchange", "", {}, json.dumps(changed).encode()))
        assert "does not exist" in json.loads(reply.body)["response"]

    run_virtual(main())


@pytest.mark.parametrize("change", ["order of keys", "trailing zero"])
def test_what_the_venue_would_hash_differently_recovers_a_stranger(change):
    """[venue] It re-serialises from its own structures: canonical keys, numbers without trailing zeros."""

    async def body(trader):
        row = {"a": 5, "b": True, "p": "135", "s": "0.2", "r": False, "t": {"limit": {"tif": "Gtc"}}}
        if change == "trailing zero":
            row["p"] = "135.0"
        action = {"type": "order", "orders": [row], "grouping": "na"}
        if change == "order of keys":
            action = dict(sorted(action.items()))
        answer = trader.act(action)
        assert answer["status"] == "err"
        assert "does not exist" in answer["response"]

    trade(body)


# -- shapes


def test_readings_have_the_recorded_shapes():
    """[venue] Key for key as captured: order states, fills, accounts, books and balances."""

    async def body(trader):
        trader.order("135", cloid=7)
        trader.order("150", tif="Ioc", cloid=8)
        wanted = load("order_status.json")[0]["response"]
        status = trader.mine("orderStatus", oid=f"0x{7:032x}")
        assert set(status["order"]["order"]) == set(wanted["order"]["order"])
        assert (status["status"], status["order"]["status"]) == ("order", "open")
        assert trader.mine("orderStatus", oid=1) == load("order_status.json")[3]["response"]
        (row,) = trader.mine("frontendOpenOrders")
        assert set(load("frontend_open_orders.json")[0]["response"][0]) | {"cloid"} == set(row)
        assert keys(trader.mine("openOrders")) == keys(load("open_orders.json")[1]["response"])
        fill = trader.mine("userFills")[0]
        wanted_fill = set(load("user_fills.json")[2]["response"][0])
        assert wanted_fill <= set(fill)
        state, wanted_state = trader.mine("clearinghouseState"), load("clearinghouse_state.json")[0]["response"]
        assert set(state) == set(wanted_state)
        assert set(state["assetPositions"][0]["position"]) == set(wanted_state["assetPositions"][0]["position"])
        assert state["assetPositions"][0]["position"]["szi"] == "0.2"
        assert keys(trader.info("l2Book", coin="BTC")) == keys(load("l2book_rest.json")[1]["response"])
        balances = trader.mine("spotClearinghouseState")
        assert keys(balances) == keys(load("spot_clearinghouse_state.json")[0]["response"])
        assert {row["coin"]: row["token"] for row in balances["balances"]} == {"USDC": 0, "USOL": 254}
        misc = {each["request"]["type"]: each["response"] for each in load("account_misc.json")}
        assert keys(trader.info("exchangeStatus")) == keys(misc["exchangeStatus"])
        assert keys(trader.mine("userRateLimit")) == keys(misc["userRateLimit"])
        assert trader.mine("userAbstraction") == "default"

    trade(body)


def test_markets_keep_the_recorded_numbers():
    """[venue] SOL is 5, delisted ones keep their place; tokens stand where their index says."""

    async def body(trader):
        meta = trader.info("meta")
        recorded = load("markets.json")["meta_2026"]["response"]
        assert [row["name"] for row in meta["universe"]] == [row["name"] for row in recorded["universe"]]
        assert meta["universe"][5] == recorded["universe"][5]
        assert meta["marginTables"] == recorded["marginTables"]
        spot, contexts = trader.info("spotMetaAndAssetCtxs")
        assert all(token["index"] == place for place, token in enumerate(spot["tokens"]))
        assert {row["name"]: row["index"] for row in spot["universe"]}["@156"] == 156
        assert contexts[156]["coin"] == "@156"
        assert len(trader.info("metaAndAssetCtxs")[1]) == len(meta["universe"])
        assert trader.info("perpDexs") == [None]
        assert {"SOL", "BTC", "ETH", "@156", "@142", "@151"} == set(trader.info("allMids"))

    trade(body)


# -- trading


def test_an_order_rests_and_is_cancelled():
    """[venue] resting with oid and cloid; success; the remainder stays in sz."""

    async def body(trader):
        told = trader.order("135.5", cloid=42)["resting"]
        assert told["cloid"] == "0x0000000000000000000000000000002a"
        assert trader.cancel(told["oid"]) == "success"
        row = trader.mine("orderStatus", oid=told["oid"])["order"]
        assert (row["status"], row["order"]["sz"], row["order"]["origSz"]) == ("canceled", "0.2", "0.2")
        assert trader.cancel(told["oid"])["error"] == "Order was never placed, already canceled, or filled. asset=5"
        assert [each["status"] for each in trader.mine("historicalOrders")] == ["canceled", "open"]

    trade(body)


def test_a_round_trip_moves_money_by_price_and_fee():
    """[venue] Position, profit, fees and what is left of the account add up."""

    async def body(trader):
        bought = trader.order("150", tif="Ioc")["filled"]
        state = trader.mine("clearinghouseState")
        assert state["assetPositions"][0]["position"]["leverage"] == {"type": "cross", "value": 20}
        sold = trader.order("130", buy=False, tif="Ioc", reduce_only=True)["filled"]
        assert (bought["totalSz"], sold["totalSz"]) == ("0.2", "0.2")
        assert trader.mine("clearinghouseState")["assetPositions"] == []
        sell, buy = trader.mine("userFills")
        assert (buy["dir"], sell["dir"], buy["startPosition"], sell["startPosition"]) == (
            "Open Long",
            "Close Long",
            "0.0",
            "0.2",
        )
        fees = Decimal(buy["fee"]) + Decimal(sell["fee"])
        value = Decimal(trader.mine("clearinghouseState")["marginSummary"]["accountValue"])
        assert value == 10_000 + Decimal(sell["closedPnl"]) - fees
        assert Decimal(sell["closedPnl"]) == (Decimal(sell["px"]) - Decimal(buy["px"])) * Decimal("0.2")

    trade(body)


def test_a_spot_buyer_pays_in_the_coin_and_cannot_sell_what_never_arrived():
    """[venue] 0.07 % of USOL; selling the whole fill back is refused for funds."""

    async def body(trader):
        assert trader.order("150", "0.1", asset=10_156, tif="Ioc")["filled"]["totalSz"] == "0.1"
        (fill,) = trader.mine("userFills")
        assert (fill["fee"], fill["feeToken"], fill["dir"], fill["startPosition"]) == ("0.00007", "USOL", "Buy", "10.0")
        told = trader.order("130", "10.1", asset=10_156, buy=False, tif="Ioc")
        assert told["error"].startswith("Insufficient spot balance")
        assert trader.order("130", "10.099", asset=10_156, buy=False, tif="Ioc")["filled"]["totalSz"] == "10.099"
        state = trader.mine("spotClearinghouseState")["balances"]
        assert next(row["total"] for row in state if row["coin"] == "USOL") == "0.00093"

    trade(body)


def test_an_ioc_that_trades_in_part_loses_its_rest():
    """[gap] Answered "filled" with what traded; the status word for the rest is ours."""

    async def body(trader):
        listing = trader.sim.engine.listings["SOL"]
        trader.sim.engine.requote("SOL", {}, {listing.tick_i * 14_100: 10})
        told = trader.order("145", "0.2", tif="Ioc")["filled"]
        assert (told["totalSz"], told["avgPx"]) == ("0.1", "141.0")
        row = trader.mine("orderStatus", oid=told["oid"])["order"]
        assert (row["status"], row["order"]["sz"]) == ("canceled", "0.1")

    trade(body)


def test_a_modify_replaces_the_order_under_a_new_id():
    """[venue] Cancelled and open again, same cloid, another oid."""

    async def body(trader):
        oid = trader.order("135", cloid=9)["resting"]["oid"]
        new = {
            "a": 5,
            "b": True,
            "p": "136",
            "s": "0.3",
            "r": False,
            "t": {"limit": {"tif": "Alo"}},
            "c": f"0x{9:032x}",
        }
        answer = trader.act({"type": "batchModify", "modifies": [{"oid": oid, "order": new}]})
        (status,) = answer["response"]["data"]["statuses"]
        assert status["resting"]["oid"] != oid
        assert trader.mine("orderStatus", oid=f"0x{9:032x}")["order"]["order"]["oid"] == status["resting"]["oid"]
        gone = trader.act({"type": "batchModify", "modifies": [{"oid": oid, "order": new}]})
        assert "error" in gone["response"]["data"]["statuses"][0]

    trade(body)


# -- the stream


def test_a_resting_order_and_its_cancel_are_told_to_whoever_listens():
    """[venue] orderUpdates as recorded, clearinghouseState after it; nothing on a subscription to orderUpdates."""

    async def body(trader):
        peer = trader.listen("orderUpdates")
        (ack,) = peer.take()
        wanted = {"type": "orderUpdates", "user": trader.address}
        assert ack == {"channel": "subscriptionResponse", "data": {"method": "subscribe", "subscription": wanted}}
        trader.cancel(trader.order("135", cloid=5)["resting"]["oid"])
        opened, cancelled = peer.take("orderUpdates")
        recorded = [json.loads(line)["data"] for line in (FOLDER / "ws_order_updates.jsonl").read_text().splitlines()]
        assert (keys(opened), keys(cancelled)) == (keys(recorded[0]), keys(recorded[1]))
        assert [rows[0]["status"] for rows in (opened, cancelled)] == ["open", "canceled"]

    trade(body)


def test_a_taker_is_told_in_one_array_and_its_fill_on_both_channels():
    """[venue] [open, filled] at once, then userFills, user, and the new state of the account."""

    async def body(trader):
        peer = trader.listen("orderUpdates", "userFills", "userEvents", "clearinghouseState")
        first = peer.take()
        snapshots = [each["data"] for each in first if each["channel"] == "userFills"]
        assert (snapshots[0]["isSnapshot"], snapshots[0]["fills"]) == (True, [])
        trader.order("150", tif="Ioc")
        told = peer.take()
        assert [each["channel"] for each in told] == ["orderUpdates", "userFills", "user", "clearinghouseState"]
        assert [row["status"] for row in told[0]["data"]] == ["open", "filled"]
        assert "isSnapshot" not in told[1]["data"]
        assert told[1]["data"]["fills"] == told[2]["data"]["fills"]
        recorded = json.loads((FOLDER / "ws_user_events.jsonl").read_text().splitlines()[0])
        assert set(recorded["data"]["fills"][0]) <= set(told[2]["data"]["fills"][0])
        again = trader.listen("userFills").take("userFills")
        assert len(again[0]["fills"]) == 1

    trade(body)


def test_orders_over_the_stream_are_answered_by_their_number():
    """[venue] method post: the REST reply as payload; readings, too; what cannot be read is an error frame."""

    async def body(trader):
        peer = trader.listen()
        action = {"type": "scheduleCancel"}
        post = {"method": "post", "id": 31, "request": {"type": "action", "payload": trader.envelope(action)}}
        trader.say(peer, post)
        assert peer.take("post") == [
            {"id": 31, "response": {"type": "action", "payload": {"status": "ok", "response": {"type": "default"}}}}
        ]
        trader.say(peer, {"method": "post", "id": 32, "request": {"type": "info", "payload": {"type": "perpDexs"}}})
        assert peer.take("post")[0]["response"]["payload"] == {"type": "perpDexs", "data": [None]}
        for bad in ({"type": "action", "payload": {}}, {"type": "info", "payload": {"type": "x"}}, {"type": "y"}, 5):
            trader.say(peer, {"method": "post", "id": 33, "request": bad})
            (told,) = peer.take("error")
            assert told.startswith("Error parsing JSON into valid websocket request: ")
        kinds = [trader.sim.text_kind(json.dumps(each)) for each in (post, {"method": "ping"})]
        order = {"type": "order", "orders": []}
        order_post = {"method": "post", "id": 1, "request": {"type": "action", "payload": {"action": order}}}
        assert [*kinds, trader.sim.text_kind(json.dumps(order_post))] == ["other", "other", "place"]

    trade(body)


def test_control_frames_are_the_recorded_ones():
    """[venue] pong, a repeated or unknown subscription, unsubscribe, users and coins."""

    async def body(trader):
        control = [json.loads(line) for line in (FOLDER / "ws_control.jsonl").read_text().splitlines()]
        peer = trader.listen("bbo", "l2Book", "userFills")
        acks = [each["subscription"] for each in peer.take("subscriptionResponse")]
        assert acks[0] == {"type": "bbo", "coin": "SOL"}
        assert acks[1] == {"type": "l2Book", "coin": "SOL", "nSigFigs": None, "mantissa": None, "fast": False}
        assert acks[2] == {"type": "userFills", "user": trader.address, "aggregateByTime": False}
        trader.say(peer, {"method": "ping"})
        assert peer.take() == [control[4]]
        unknown = '{"method": "subscribe", "subscription": {"type": "noSuchType", "coin": "BTC"}}'
        trader.say(peer, unknown)
        assert peer.take() == [control[5]]
        trader.say(peer, {"method": "subscribe", "subscription": {"type": "bbo", "coin": "SOL"}})
        assert peer.take("error") == ['Already subscribed: {"type":"bbo","coin":"SOL"}']
        trader.say(peer, {"method": "unsubscribe", "subscription": {"type": "bbo", "coin": "SOL"}})
        assert peer.take("subscriptionResponse")[0]["method"] == "unsubscribe"
        for number in range(10):
            user = f"0x{number:040x}"
            trader.say(peer, {"method": "subscribe", "subscription": {"type": "spotState", "user": user}})
        assert peer.take("error") == [control[7]["data"]]
        trader.say(peer, {"method": "subscribe", "subscription": {"type": "bbo", "coin": "NOPE"}})
        assert peer.closed == 1000

    trade(body)


def test_books_move_and_are_pushed_as_they_do():
    """[venue] bbo on a change of the top, l2Book no closer than half a second, in the recorded shapes."""

    async def body(trader):
        peer = trader.listen("bbo", "l2Book", "trades")
        await trader.clock.sleep(0)
        peer.take()
        began = trader.clock.monotonic()
        while trader.clock.monotonic() < began + 20:
            await trader.clock.sleep((trader.sim.next_due_ms() - trader.clock.now_ms()) / 1000)
            trader.sim.advance()
        told = peer.take()
        recorded = {json.loads(line)["channel"]: json.loads(line) for line in
                    (FOLDER / "ws_market_data.jsonl").read_text().splitlines()}  # fmt: skip
        by_channel = {}
        for each in told:
            by_channel.setdefault(each["channel"], []).append(each["data"])
        assert keys(by_channel["bbo"][0]) == keys(recorded["bbo"]["data"])
        assert keys(by_channel["trades"][0]) == keys(recorded["trades"]["data"])
        times = [each["time"] for each in by_channel["l2Book"]]
        assert len(times) <= 41
        assert len(by_channel["bbo"]) > len(times) / 2
        assert {trader.sim.message_kind(json.dumps(each, separators=(",", ":"))) for each in told} == {"book", "other"}

    trade(body)


# -- who and when


def test_a_stranger_sees_an_empty_account():
    """[venue] Readings are public by address; the address of an agent has nothing."""

    async def body(trader):
        trader.order("135")
        stranger = "0x" + "5" * 40
        assert trader.info("userRole", user=stranger) == {"role": "missing"}
        assert trader.mine("userRole") == {"role": "user"}
        assert trader.info("frontendOpenOrders", user=stranger) == []
        assert trader.info("historicalOrders", user=stranger) == []
        assert trader.info("clearinghouseState", user=stranger)["marginSummary"]["accountValue"] == "0.0"
        assert trader.info("spotClearinghouseState", user=stranger) == {"balances": []}
        assert len(trader.info("frontendOpenOrders", user=trader.address.upper().replace("0X", "0x"))) == 1

    trade(body)


def test_the_dead_mans_switch_goes_off_unless_it_is_set_again():
    """[venue] All orders end scheduledCancel at the time last set."""

    async def body(trader):
        oid = trader.order("135")["resting"]["oid"]
        for ahead_ms in (10_000, 20_000):
            answer = trader.act({"type": "scheduleCancel", "time": trader.sim.now_ms() + ahead_ms})
            assert answer["status"] == "ok"
        for secs, word in ((11, "open"), (10, "scheduledCancel")):
            await trader.clock.sleep(secs)
            trader.sim.advance()
            assert trader.mine("orderStatus", oid=oid)["order"]["status"] == word
        kept = trader.order("135")["resting"]["oid"]
        trader.act({"type": "scheduleCancel", "time": trader.sim.now_ms() + 5_000})
        trader.act({"type": "scheduleCancel"})
        await trader.clock.sleep(6)
        trader.sim.advance()
        assert trader.mine("orderStatus", oid=kept)["order"]["status"] == "open"
        early = trader.act({"type": "scheduleCancel", "time": trader.sim.now_ms() + 4_999})
        assert early["status"] == "err"

    trade(body)


def test_a_fresh_account_may_not_use_the_dead_mans_switch():
    """[venue] The recorded sentence, with what was traded."""

    async def body(trader):
        wanted = load("errors.json")[5]["response"]
        assert trader.act({"type": "scheduleCancel"}) == wanted

    trade(body, choices=Choices(traded_usd=Decimal("373.47205")))


def test_the_same_seed_gives_the_same_key_and_the_agreed_bootstrap():
    """[ours] Credentials are throwaway and repeat."""

    async def body(trader):
        told = trader.sim.bootstrap("http://127.0.0.1:1", "ws://127.0.0.1:1")
        assert (told["rest"], told["ws"]) == ("http://127.0.0.1:1", "ws://127.0.0.1:1/ws")
        assert set(told) == {"rest", "ws", "credentials"}
        assert set(told["credentials"]) == {"private_key", "address"}
        assert Trader(HyperliquidSimulator(trader.clock, Chance(3)), trader.clock).address == trader.address
        assert Trader(HyperliquidSimulator(trader.clock, Chance(4)), trader.clock).address != trader.address

    trade(body)
