"""
The official hyperliquid-python-sdk, unmodified, trades on the Hyperliquid simulator over real sockets: only its base
URL is set. It signs for the test network against any address but the live one.
"""

import threading
from contextlib import asynccontextmanager
from functools import partial

import anyio
import anyio.to_thread
import pytest

from core.chance import Chance
from core.clock import SystemClock
from venues.hyperliquid.simulator import HyperliquidSimulator
from venues.simulation.faults import Faults
from venues.simulation.gate import FaultGate
from venues.simulation.server import serve

pytestmark = [
    pytest.mark.sockets,
    # The SDK's Ethereum libraries import websockets' old client.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
eth_account = pytest.importorskip("eth_account", exc_type=ImportError)
pytest.importorskip("hyperliquid", exc_type=ImportError)


@asynccontextmanager
async def venue(**options):
    clock = SystemClock()
    sim = HyperliquidSimulator(clock, Chance(12), **options)
    async with serve({"hyperliquid": FaultGate(sim, Faults(), clock)}) as addresses:
        yield sim, sim.bootstrap(addresses["hyperliquid"].rest, addresses["hyperliquid"].ws)


async def with_sdk(body, **options):
    """Run ``body(exchange, url, sim)`` with the blocking SDK in a thread of its own."""
    from hyperliquid.exchange import Exchange

    def blocking(url, credentials, sim):
        wallet = eth_account.Account.from_key(credentials["private_key"])
        exchange = Exchange(wallet, url, account_address=credentials["address"], timeout=3)
        for session in (exchange.session, exchange.info.session):
            session.trust_env = False
        try:
            body(exchange, url, sim)
        finally:
            exchange.session.close()
            exchange.info.session.close()

    with anyio.fail_after(5):
        async with venue(**options) as (sim, told):
            work = partial(blocking, told["rest"], told["credentials"], sim)
            await anyio.to_thread.run_sync(work, abandon_on_cancel=True)


def status(answer):
    assert answer["status"] == "ok", answer
    return answer["response"]["data"]["statuses"][0]


async def test_the_sdk_rests_finds_and_cancels_orders():
    """[client] order, query by oid and cloid, open orders, modify, cancel and cancel_by_cloid."""
    from hyperliquid.utils.types import Cloid

    def body(exchange, url, sim):
        info, me, cloid = exchange.info, exchange.account_address, Cloid.from_int(42)
        placed = status(exchange.order("SOL", True, 0.2, 135.5, {"limit": {"tif": "Alo"}}, cloid=cloid))
        oid = placed["resting"]["oid"]
        assert placed["resting"]["cloid"] == cloid.to_raw()
        assert [row["oid"] for row in info.open_orders(me)] == [oid]
        (row,) = info.frontend_open_orders(me)
        assert (row["limitPx"], row["sz"], row["tif"], row["cloid"]) == ("135.5", "0.2", "Alo", cloid.to_raw())
        for found in (info.query_order_by_oid(me, oid), info.query_order_by_cloid(me, cloid)):
            assert (found["status"], found["order"]["status"], found["order"]["order"]["oid"]) == ("order", "open", oid)
        changed = exchange.modify_order(cloid, "SOL", True, 0.3, 136, {"limit": {"tif": "Alo"}}, cloid=cloid)
        assert status(changed)["resting"]["oid"] != oid
        assert status(exchange.cancel_by_cloid("SOL", cloid)) == "success"
        assert "never placed" in status(exchange.cancel("SOL", oid))["error"]
        assert [row["status"] for row in info.historical_orders(me)] == ["canceled", "open", "canceled", "open"]
        assert info.query_order_by_oid(me, 1) == {"status": "unknownOid"}

    await with_sdk(body)


async def test_the_sdk_opens_and_closes_at_market():
    """[client] market_open and market_close: Ioc at 5 % past the mid; positions, fills, leverage, mids, spot."""

    def body(exchange, url, sim):
        info, me = exchange.info, exchange.account_address
        assert exchange.update_leverage(5, "SOL") == {"status": "ok", "response": {"type": "default"}}
        assert status(exchange.market_open("SOL", True, 0.2))["filled"]["totalSz"] == "0.2"
        (held,) = info.user_state(me)["assetPositions"]
        assert (held["position"]["szi"], held["position"]["leverage"]) == ("0.2", {"type": "cross", "value": 5})
        assert status(exchange.market_close("SOL"))["filled"]["totalSz"] == "0.2"
        assert info.user_state(me)["assetPositions"] == []
        assert exchange.market_close("SOL") is None
        assert [(row["side"], row["dir"]) for row in info.user_fills(me)] == [("A", "Close Long"), ("B", "Open Long")]
        assert len(info.user_fills_by_time(me, 0)) == 2
        assert {"SOL", "BTC", "@156"} <= set(info.all_mids())
        assert status(exchange.market_open("USOL/USDC", True, 0.1))["filled"]["totalSz"] == "0.1"
        assert {row["coin"] for row in info.spot_user_state(me)["balances"]} >= {"USDC", "USOL"}
        assert info.l2_snapshot("SOL")["levels"][0][0]["n"] >= 1

    await with_sdk(body)


async def test_an_agent_of_the_sdk_trades_for_its_master():
    """[venue] approve_agent, named or not; the agent's orders are the account's, its own address is empty."""
    from hyperliquid.exchange import Exchange

    def body(exchange, url, sim):
        me = exchange.account_address
        for name in (None, "bot1"):
            approved, key = exchange.approve_agent(name)
            assert approved == {"status": "ok", "response": {"type": "default"}}
            agent = eth_account.Account.from_key(key)
            trader = Exchange(agent, url, account_address=me)
            trader.session.trust_env = trader.info.session.trust_env = False
            placed = status(trader.order("SOL", True, 0.2, 135, {"limit": {"tif": "Gtc"}}))
            assert [row["oid"] for row in trader.info.open_orders(me)] == [placed["resting"]["oid"]]
            assert trader.info.open_orders(agent.address) == []
            assert status(trader.cancel("SOL", placed["resting"]["oid"])) == "success"
            # Money moves by the account's own key alone.
            assert "does not exist" in trader.usd_class_transfer(1, False)["response"]
        assert [row["name"] for row in exchange.info.extra_agents(me)] == ["bot1"]
        assert exchange.usd_class_transfer(100, False)["status"] == "ok"
        assert exchange.info.user_state(me)["marginSummary"]["accountValue"] == "9900.0"

    await with_sdk(body)


async def test_the_sdk_burns_nonces_and_lets_actions_expire():
    """[venue] noop with a nonce of one's own, refused the second time; expiresAfter in the past; scheduleCancel."""

    def body(exchange, url, sim):
        nonce = sim.now_ms() - 5
        assert exchange.noop(nonce)["status"] == "ok"
        assert exchange.noop(nonce) == {"status": "err", "response": f"Invalid nonce: duplicate nonce {nonce}"}
        assert "nonce too low" in exchange.noop(nonce - 3 * 86_400_000)["response"]
        assert exchange.schedule_cancel(sim.now_ms() + 60_000)["status"] == "ok"
        assert exchange.schedule_cancel(None)["status"] == "ok"
        assert exchange.schedule_cancel(sim.now_ms() + 1_000)["status"] == "err"
        exchange.set_expires_after(sim.now_ms() - 1)
        late = exchange.order("SOL", True, 0.2, 135, {"limit": {"tif": "Gtc"}})
        assert (late["status"], "expire" in late["response"]) == ("err", True)
        assert sim.engine.orders == {}

    await with_sdk(body)


async def test_the_sdk_hears_its_orders_and_fills():
    """[client] WebSocket: bbo, orderUpdates, userFills and userEvents, told once each."""
    from hyperliquid.info import Info

    def body(exchange, url, sim):
        me, heard, done = exchange.account_address, [], threading.Event()

        def hear(message):
            heard.append(message)
            if {each["channel"] for each in heard} >= {"bbo", "orderUpdates", "userFills", "user"}:
                done.set()

        info = Info(url)
        info.session.trust_env = False
        try:
            info.subscribe({"type": "bbo", "coin": "SOL"}, hear)
            for kind in ("orderUpdates", "userFills", "userEvents"):
                info.subscribe({"type": kind, "user": me}, hear)
            for _ in range(50):
                if any(each["channel"] == "userFills" for each in heard):
                    break
                done.wait(0.05)
            assert status(exchange.market_open("SOL", True, 0.2))["filled"]
            assert done.wait(3)
        finally:
            info.disconnect_websocket()
            info.session.close()
        updates = [row for each in heard if each["channel"] == "orderUpdates" for row in each["data"]]
        assert [row["status"] for row in updates] == ["open", "filled"]
        first, second = (each["data"] for each in heard if each["channel"] == "userFills")
        assert (first["isSnapshot"], first["fills"]) == (True, [])
        assert [row["crossed"] for row in second["fills"]] == [True] * len(second["fills"])

    await with_sdk(body)
