"""
python-okx, OKX's own client, unmodified, trades on the simulator over real sockets. Its stream client insists on TLS,
so its connection is opened for it; its ``subscribe`` sleeps five seconds, so its own ``send`` is used instead.
"""

import json
from contextlib import asynccontextmanager
from functools import partial

import anyio
import anyio.to_thread
import httpx
import pytest
import websockets

from core.chance import Chance
from core.clock import SystemClock
from venues.okx.simulator import Choices, OkxSimulator
from venues.simulation.faults import Faults
from venues.simulation.gate import FaultGate
from venues.simulation.server import serve

pytest.importorskip("okx", reason="the extra sdk is not installed")

from okx.Account import AccountAPI
from okx.MarketData import MarketAPI
from okx.PublicData import PublicAPI
from okx.Trade import TradeAPI
from okx.websocket.WsPrivateAsync import WsPrivateAsync

pytestmark = [
    pytest.mark.sockets,
    # python-okx 0.4.4 signs with datetime.utcnow.
    pytest.mark.filterwarnings(r"ignore:datetime\.datetime\.utcnow:DeprecationWarning"),
    # It hands bodies to httpx as text.
    pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes/text content:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:There is no current event loop:DeprecationWarning"),
]

PERP, SPOT, BTC = "SOL-USDT-SWAP", "SOL-USDT", "BTC-USDT-SWAP"


@pytest.fixture(autouse=True)
def plain_http(monkeypatch):
    """It asks httpx for HTTP/2, which needs one more package; over http:// it speaks HTTP/1.1 either way."""
    begin = httpx.Client.__init__

    def without(self, *args, http2=False, **options):
        begin(self, *args, trust_env=False, **options)

    monkeypatch.setattr(httpx.Client, "__init__", without)


@asynccontextmanager
async def venue(**options):
    clock = SystemClock()
    sim = OkxSimulator(clock, Chance(12), **options)
    async with serve({"okx": FaultGate(sim, Faults(), clock)}) as addresses:
        yield sim.bootstrap(addresses["okx"].rest, addresses["okx"].ws)


def client(kind, told, flag="0"):
    keys = told["credentials"]
    return kind(keys["api_key"], keys["api_secret"], keys["passphrase"], None, flag, told["rest"])


async def with_sdk(body, *, kinds=(TradeAPI, AccountAPI), flag="0", **options):
    """Run ``body`` with clients of these kinds in a thread of their own."""
    with anyio.fail_after(5):
        async with venue(**options) as told:
            clients = [client(kind, told, flag) for kind in kinds]
            try:
                await anyio.to_thread.run_sync(partial(body, *clients), abandon_on_cancel=True)
            finally:
                for each in clients:
                    each.close()


async def test_the_okx_sdk_reads_markets_books_and_time():
    """[client] Public requests are signed by it, too, and answered all the same."""

    def body(public, market):
        rows = {row["instId"]: row for row in public.get_instruments("SWAP")["data"]}
        assert (rows[BTC]["ctVal"], rows[BTC]["instIdCode"], rows[PERP]["tickSz"]) == ("0.01", 10459, "0.01")
        (book,) = market.get_orderbook(PERP, "5")["data"]
        assert len(book["asks"]) == len(book["bids"]) == 5
        assert float(book["bids"][0][0]) < float(book["asks"][0][0])
        assert len(book["bids"][0]) == 4
        assert len(public.get_system_time()["data"][0]["ts"]) == 13
        assert market.get_ticker(SPOT)["data"][0]["instType"] == "SPOT"

    await with_sdk(body, kinds=(PublicAPI, MarketAPI))


async def test_the_okx_sdk_places_finds_cancels_and_closes():
    """[client] It sends empty strings and null for what is not set; the simulator takes them as absent."""

    def body(trade, account):
        placed = trade.place_order(PERP, "cross", "buy", "post_only", "0.05", clOrdId="42", px="135")
        (row,) = placed["data"]
        assert (placed["code"], row["sCode"], row["clOrdId"], len(row["ordId"])) == ("0", "0", "42", 19)
        (found,) = trade.get_order(PERP, clOrdId="42")["data"]
        assert (found["state"], found["sz"], found["px"], found["tradeId"]) == ("live", "0.05", "135", "")
        assert [each["ordId"] for each in trade.get_order_list(instType="SWAP")["data"]] == [row["ordId"]]
        assert trade.cancel_order(PERP, clOrdId="42")["data"][0]["sCode"] == "0"
        gone = trade.cancel_order(PERP, clOrdId="42")
        assert (gone["code"], gone["msg"], gone["data"][0]["sCode"]) == ("1", "All operations failed", "51400")
        assert trade.get_order(PERP, clOrdId="43") == {"code": "51603", "data": [], "msg": "Order does not exist"}
        trade.place_order(BTC, "cross", "buy", "market", "0.25")
        (held,) = account.get_positions("SWAP", BTC)["data"]
        assert (held["pos"], held["posSide"], held["mgnMode"]) == ("0.25", "net", "cross")
        assert trade.close_positions(BTC, "cross")["data"][0]["instId"] == BTC
        assert account.get_positions("SWAP")["data"] == []
        (flat,) = account.get_positions("SWAP", BTC)["data"]
        assert flat["pos"] == "0"
        fills = trade.get_fills(instType="SWAP", instId=BTC)["data"]
        assert [fill["side"] for fill in fills] == ["sell", "buy"]
        assert trade.get_fills_history("SWAP", instId=BTC)["data"] == fills

    await with_sdk(body)


async def test_the_okx_sdk_sends_batches_and_reads_each_row():
    """[client] One good, one bad: code 2, rows in the order of the request."""

    def body(trade, account):
        order = {"instId": PERP, "tdMode": "cross", "side": "buy", "ordType": "limit", "px": "135"}
        told = trade.place_multiple_orders([{**order, "sz": "0.05"}, {**order, "sz": "0.015"}])
        assert (told["code"], told["msg"]) == ("2", "Bulk operation partially succeeded.")
        assert [row["sCode"] for row in told["data"]] == ["0", "51121"]
        number = told["data"][0]["ordId"]
        cancelled = trade.cancel_multiple_orders([{"instId": PERP, "ordId": number}])
        assert cancelled["data"][0]["ordId"] == number
        assert trade.get_orders_history("SWAP")["data"][0]["state"] == "canceled"

    await with_sdk(body)


async def test_the_okx_sdk_reads_and_sets_the_account():
    """[client] Balance, configuration, fees, leverage and position mode; hedge mode wants posSide on each order."""

    def body(trade, account):
        (balance,) = account.get_account_balance()["data"]
        assert {row["ccy"]: row["cashBal"] for row in balance["details"]} == {"USDT": "10000", "SOL": "10"}
        (config,) = account.get_account_config()["data"]
        assert (config["acctLv"], config["posMode"]) == ("2", "net_mode")
        assert account.get_fee_rates("SPOT", instId=SPOT)["data"][0]["taker"] == "-0.001"
        assert account.set_leverage("5", "cross", instId=PERP)["data"][0]["lever"] == "5"
        trade.place_order(PERP, "cross", "buy", "limit", "1", px="135")
        assert account.set_position_mode("long_short_mode")["code"] == "59000"
        for row in trade.get_order_list()["data"]:
            trade.cancel_order(PERP, row["ordId"])
        assert account.set_position_mode("long_short_mode")["data"] == [{"posMode": "long_short_mode"}]
        refused = trade.place_order(PERP, "cross", "buy", "limit", "1", px="135")
        assert refused["data"][0]["sMsg"] == "Parameter posSide error"

    await with_sdk(body)


async def test_the_okx_sdk_tells_demo_from_live():
    """[venue] flag 1 is the header x-simulated-trading; a live key refuses it with 50101."""

    def refused(trade, account):
        assert account.get_account_config()["code"] == "50101"

    def taken(trade, account):
        assert account.get_account_config()["code"] == "0"

    await with_sdk(refused, flag="1")
    await with_sdk(taken, flag="1", choices=Choices(demo=True))


async def test_the_okx_sdk_hears_its_orders_and_sends_them_over_the_stream():
    """[client] Login with a number as timestamp, one subscribe with many args and an id, an order by instIdCode."""
    with anyio.fail_after(5):
        async with venue() as told, websockets.connect(f"{told['ws']}/private") as socket:
            keys = told["credentials"]
            stream = WsPrivateAsync(keys["api_key"], keys["passphrase"], keys["api_secret"], f"{told['ws']}/private")
            stream.websocket = socket
            heard = []

            async def until(done):
                while not any(done(each) for each in heard):
                    heard.append(json.loads(await socket.recv()))

            await stream.login()
            await until(lambda each: each.get("event") == "login")
            args = [{"channel": "orders", "instType": "ANY"}, {"channel": "positions", "instType": "SWAP"}]
            await stream.send("subscribe", args, id="7")
            await until(lambda each: each.get("event") == "subscribe" and each["arg"]["channel"] == "positions")
            assert {each["id"] for each in heard if each.get("event") == "subscribe"} == {"7"}
            order = {"instIdCode": 10459, "tdMode": "cross", "side": "buy", "ordType": "market", "sz": "0.25"}
            await stream.place_order([{**order, "clOrdId": "42"}], id="8")
            await until(lambda each: each.get("arg", {}).get("channel") == "positions" and "data" in each)
            (answer,) = [each for each in heard if each.get("op") == "order"]
            assert (answer["id"], answer["code"], answer["data"][0]["clOrdId"]) == ("8", "0", "42")
            rows = [
                each["data"][0] for each in heard if each.get("arg", {}).get("channel") == "orders" and "data" in each
            ]
            assert (rows[-1]["state"], rows[-1]["accFillSz"], rows[-1]["tradeId"] != "") == ("filled", "0.25", True)
            assert heard[-1]["data"][0]["pos"] == "0.25"
