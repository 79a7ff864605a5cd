"""
ccxt and ccxt.pro, unmodified, trade on the Hyperliquid simulator over real sockets: only the URLs are set. If they
cannot, the simulator is wrong until shown otherwise.
"""

from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial

import anyio
import anyio.to_thread
import ccxt
import ccxt.pro
import pytest

from core.chance import Chance
from core.clock import SystemClock
from venues.hyperliquid.simulator import Choices, HyperliquidSimulator
from venues.simulation.faults import Faults
from venues.simulation.gate import FaultGate
from venues.simulation.server import serve

pytestmark = pytest.mark.sockets

PERP, SPOT = "SOL/USDC:USDC", "SOL/USDC"
CLOID = "0x000000000000000000000000000003e9"


@asynccontextmanager
async def venue(**options):
    """A simulator on a free loopback port: its simulator and what ``bootstrap`` says about it."""
    clock = SystemClock()
    sim = HyperliquidSimulator(clock, Chance(11), **options)
    async with serve({"hyperliquid": FaultGate(sim, Faults(), clock)}) as addresses:
        yield sim, sim.bootstrap(addresses["hyperliquid"].rest, addresses["hyperliquid"].ws)


def configure(exchange, told, *, sandbox=True, **credentials):
    exchange.walletAddress = told["credentials"]["address"]
    exchange.privateKey = told["credentials"]["private_key"]
    for name, value in credentials.items():
        setattr(exchange, name, value)
    if sandbox:
        # Chooses the network that is signed for; the simulator takes either.
        exchange.set_sandbox_mode(True)
    exchange.urls["api"]["public"] = exchange.urls["api"]["private"] = told["rest"]
    exchange.urls["api"]["ws"] = {"public": told["ws"]}
    exchange.enableRateLimit = False
    return exchange


async def with_ccxt(body, *, sandbox=True, credentials=None, **options):
    """Run ``body(exchange)`` with the blocking ccxt in a thread of its own."""
    with anyio.fail_after(5):
        async with venue(**options) as (sim, told):
            exchange = configure(ccxt.hyperliquid(), told, sandbox=sandbox, **(credentials or {}))
            exchange.session.trust_env = False
            try:
                await anyio.to_thread.run_sync(partial(body, exchange), abandon_on_cancel=True)
            finally:
                exchange.session.close()
            return sim


@asynccontextmanager
async def pro(**options):
    """ccxt.pro on a simulator."""
    with anyio.fail_after(5):
        async with venue(**options) as (sim, told):
            exchange = configure(ccxt.pro.hyperliquid(), told)
            try:
                yield sim, exchange
            finally:
                with anyio.CancelScope(shield=True):
                    await exchange.close()


@pytest.mark.parametrize("sandbox", [True, False])
async def test_ccxt_loads_markets_and_reads_the_book(sandbox):
    """[client] load_markets with a key, which signs twice by itself; book, tickers, time and status."""

    def body(ex):
        markets = ex.load_markets()
        perp, spot = markets[PERP], markets[SPOT]
        assert (perp["id"], perp["linear"], perp["swap"], perp["limits"]["cost"]["min"]) == ("5", True, True, 10)
        assert (spot["id"], spot["spot"], spot["baseId"]) == ("@156", True, "10156")
        assert (perp["precision"]["amount"], perp["precision"]["price"]) == (0.01, 0.01)
        book = ex.fetch_order_book(PERP)
        assert book["bids"][0][0] < book["asks"][0][0]
        assert book["bids"] == sorted(book["bids"], reverse=True)
        assert ex.fetch_order_book(SPOT)["bids"][0][0] > 100
        assert ex.fetch_ticker(PERP)["last"] > 100
        assert ex.fetch_status()["status"] == "ok"
        assert abs(ex.fetch_time() - ex.milliseconds()) < 2000

    await with_ccxt(body, sandbox=sandbox)


@pytest.mark.parametrize("sandbox", [True, False])
async def test_ccxt_rests_finds_and_cancels_orders(sandbox):
    """[client] create_order post-only, fetch_order, open orders, cancel by oid and client id, edit, cancel_orders."""

    def body(ex):
        ex.load_markets()
        order = ex.create_order(PERP, "limit", "buy", 0.2, 135, {"postOnly": True, "clientOrderId": CLOID})
        assert order["info"]["resting"] == {"oid": order["id"], "cloid": CLOID}
        found = ex.fetch_order(order["id"], PERP)
        assert (found["status"], found["price"], found["filled"], found["clientOrderId"]) == ("open", 135, 0, CLOID)
        assert found["info"]["order"]["tif"] == "Alo"
        assert [each["id"] for each in ex.fetch_open_orders(PERP)] == [order["id"]]
        assert ex.fetch_order(None, PERP, {"clientOrderId": CLOID})["id"] == order["id"]
        ex.cancel_order(None, PERP, {"clientOrderId": CLOID})
        assert ex.fetch_order(order["id"], PERP)["status"] == "canceled"
        with pytest.raises(ccxt.OrderNotFound):
            ex.cancel_order(order["id"], PERP)
        second = ex.create_order(PERP, "limit", "sell", 0.2, 145)
        edited = ex.edit_order(second["id"], PERP, "limit", "sell", 0.3, 146)
        assert edited["id"] != second["id"]
        (left,) = ex.fetch_open_orders(PERP)
        assert (left["id"], left["price"], left["amount"]) == (edited["id"], 146, 0.3)
        ex.cancel_orders([left["id"]], PERP)
        assert ex.fetch_open_orders(PERP) == []

    await with_ccxt(body, sandbox=sandbox)


async def test_ccxt_raises_its_own_errors_for_our_refusals():
    """[client] The classes of the sheet's table: InvalidOrder, InsufficientFunds, OrderNotFound, ExchangeError."""

    def body(ex):
        ex.load_markets()
        with pytest.raises(ccxt.InvalidOrder, match="would have immediately matched, bbo was"):
            ex.create_order(PERP, "limit", "buy", 0.2, 150, {"postOnly": True})
        with pytest.raises(ccxt.InvalidOrder, match=r"minimum value of \$10\. asset=5"):
            ex.create_order(PERP, "limit", "buy", 0.01, 135)
        with pytest.raises(ccxt.InsufficientFunds, match="Insufficient margin"):
            ex.create_order(PERP, "limit", "buy", 50_000, 139)
        with pytest.raises(ccxt.InsufficientFunds, match="Insufficient spot balance"):
            ex.create_order(SPOT, "limit", "buy", 1000, 139)
        with pytest.raises(ccxt.InvalidOrder, match="Reduce only"):
            ex.create_order(PERP, "limit", "sell", 0.2, 145, {"reduceOnly": True})
        with pytest.raises(ccxt.ExchangeError, match="away from the reference price"):
            ex.create_order(PERP, "limit", "buy", 10, 5)
        with pytest.raises(ccxt.InvalidOrder, match="could not immediately match"):
            ex.create_order(PERP, "limit", "buy", 0.2, 135, {"timeInForce": "ioc"})
        with pytest.raises(ccxt.OrderNotFound):
            ex.cancel_order("77", PERP)

    await with_ccxt(body)


async def test_a_key_that_nobody_approved_recovers_a_stranger():
    """[venue] The refusal names the recovered address; ccxt makes it InvalidOrder (sheet, Errors)."""
    stranger = {"privateKey": "0x" + "11" * 32}

    def body(ex):
        ex.load_markets()
        with pytest.raises(ccxt.InvalidOrder, match=r"User or API Wallet 0x[0-9a-f]{40} does not exist"):
            ex.create_order(PERP, "limit", "buy", 0.2, 135)

    await with_ccxt(body, credentials=stranger)


async def test_ccxt_opens_and_closes_a_position_at_market():
    """[client] Market order with a reference price, fetch_positions, reduce-only close, trades, balance, leverage."""

    def body(ex):
        ex.load_markets()
        ex.set_leverage(5, PERP)
        opened = ex.create_order(PERP, "market", "buy", 0.2, 140)
        assert opened["filled"] == 0.2
        (held,) = ex.fetch_positions()
        assert (held["symbol"], held["side"], held["contracts"], held["leverage"]) == (PERP, "long", 0.2, 5)
        ex.create_order(PERP, "market", "sell", 0.2, 140, {"reduceOnly": True})
        assert ex.fetch_positions() == []
        trades = ex.fetch_my_trades(PERP)
        assert {trade["side"] for trade in trades} == {"buy", "sell"}
        assert {trade["takerOrMaker"] for trade in trades} == {"taker"}
        change = sum(
            Decimal(str(each["cost"])) * (1 if each["side"] == "sell" else -1) - Decimal(str(each["fee"]["cost"]))
            for each in trades
        )
        balance = ex.fetch_balance({"type": "swap"})
        assert abs(Decimal(str(balance["USDC"]["total"])) - (10_000 + change)) < Decimal("0.00001")
        assert ex.fetch_order(opened["id"], PERP)["status"] == "closed"

    await with_ccxt(body)


async def test_ccxt_buys_spot_and_pays_the_fee_in_the_coin():
    """[client] Spot by USOL: fee in the coin, free and held balance under the canonical name."""

    def body(ex):
        ex.load_markets()
        order = ex.create_order(SPOT, "market", "buy", 0.1, 140)
        assert order["filled"] == 0.1
        (trade,) = ex.fetch_my_trades(SPOT)
        assert (trade["fee"]["cost"], trade["info"]["feeToken"]) == (0.00007, "USOL")
        ex.create_order(SPOT, "limit", "sell", 4, 143)
        balance = ex.fetch_balance({"type": "spot"})
        assert (balance["SOL"]["total"], balance["SOL"]["used"]) == (10.09993, 4)

    await with_ccxt(body)


async def test_ccxt_arms_the_dead_mans_switch():
    """[venue] cancel_all_orders_after on an account with enough volume, and the refusal on a fresh one."""

    def body(ex):
        ex.load_markets()
        ex.cancel_all_orders_after(10_000)

    def fresh(ex):
        ex.load_markets()
        with pytest.raises(ccxt.ExchangeError, match="until enough volume traded"):
            ex.cancel_all_orders_after(10_000)

    await with_ccxt(body)
    await with_ccxt(fresh, choices=Choices(traded_usd=Decimal("373.47205")))


async def test_ccxt_pro_watches_orders_fills_and_positions_while_it_trades():
    """[client] watch_orders, watch_my_trades and watch_positions see a resting order, its cancel, and a round trip."""
    async with pro() as (_, ex):
        await ex.load_markets()
        states, trades, positions = {}, [], []

        async def orders():
            while True:
                for order in await ex.watch_orders():
                    states[order["id"]] = (order["status"], order["remaining"])

        async def mine():
            while True:
                trades.extend(each["side"] for each in await ex.watch_my_trades())

        async def held():
            while True:
                positions.extend(position["contracts"] for position in await ex.watch_positions())

        async with anyio.create_task_group() as watching:
            for watch in (orders, mine, held):
                watching.start_soon(watch)
            await anyio.sleep(0.3)
            order = await ex.create_order(PERP, "limit", "buy", 0.2, 135, {"clientOrderId": CLOID})
            await ex.cancel_order(order["id"], PERP)
            sold = await ex.create_order(PERP, "market", "sell", 0.2, 140)
            bought = await ex.create_order(PERP, "market", "buy", 0.2, 140, {"reduceOnly": True})
            while len(states) < 3 or len(trades) < 2 or not positions:
                await anyio.sleep(0.02)
            watching.cancel_scope.cancel()
    assert states == {order["id"]: ("canceled", 0.2), sold["id"]: ("closed", 0.0), bought["id"]: ("closed", 0.0)}
    assert {"sell", "buy"} <= set(trades)
    assert 0.2 in [abs(each) for each in positions]


async def test_ccxt_pro_trades_over_the_stream():
    """[client] create_order_ws, edit_order_ws and cancel_order_ws, answered by post frames."""
    async with pro() as (sim, ex):
        await ex.load_markets()
        order = await ex.create_order_ws(PERP, "limit", "buy", 0.2, 135)
        assert order["id"] == str(sim.engine.open_orders(sim.owner)[0].id)
        edited = await ex.edit_order_ws(order["id"], PERP, "limit", "buy", 0.3, 136)
        (live,) = sim.engine.open_orders(sim.owner)
        assert str(live.id) == edited["id"]
        await ex.cancel_order_ws(edited["id"], PERP)
        assert sim.engine.open_orders(sim.owner) == []


async def test_ccxt_pro_follows_the_books_and_balances():
    """[client] watch_order_book, watch_ticker, watch_trades and both balances on a lively market."""
    async with pro(speed=20.0) as (_, ex):
        await ex.load_markets()
        for _ in range(3):
            book = await ex.watch_order_book(PERP)
            assert book["bids"][0][0] < book["asks"][0][0]
        assert (await ex.watch_trades(PERP))[-1]["amount"] > 0
        assert (await ex.watch_ticker(PERP))["last"] > 100
        assert (await ex.watch_balance({"type": "swap"}))["USDC"]["total"] == 10_000
        # Here ccxt keeps the venue's own name of the coin.
        assert (await ex.watch_balance({"type": "spot"}))["USOL"]["total"] == 10
