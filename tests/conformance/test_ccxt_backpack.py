"""
ccxt and ccxt.pro, unmodified, trade on the Backpack simulator over real sockets: only the URLs are set. If they
cannot, the simulator is wrong until shown otherwise.
"""

import base64
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
from venues.backpack.simulator import BackpackSimulator
from venues.simulation.faults import Faults
from venues.simulation.gate import FaultGate
from venues.simulation.server import serve

pytestmark = pytest.mark.sockets

PERP, SPOT = "SOL/USDC:USDC", "SOL/USDC"


@asynccontextmanager
async def venue(**options):
    """A simulator on a free loopback port: its simulator and what ``bootstrap`` says about it."""
    clock = SystemClock()
    sim = BackpackSimulator(clock, Chance(11), **options)
    async with serve({"backpack": FaultGate(sim, Faults(), clock)}) as addresses:
        yield sim, sim.bootstrap(addresses["backpack"].rest, addresses["backpack"].ws)


def configure(exchange, told, **credentials):
    exchange.apiKey = told["credentials"]["api_key"]
    exchange.secret = told["credentials"]["api_secret"]
    for name, value in credentials.items():
        setattr(exchange, name, value)
    exchange.urls["api"]["public"] = exchange.urls["api"]["private"] = told["rest"]
    exchange.urls["api"]["ws"] = {"public": told["ws"], "private": told["ws"]}
    exchange.enableRateLimit = False
    return exchange


async def with_ccxt(body, *, credentials=None, **options):
    """Run ``body(exchange)`` with the blocking ccxt in a thread of its own."""
    with anyio.fail_after(5):
        async with venue(**options) as (_, told):
            exchange = configure(ccxt.backpack(), told, **(credentials or {}))
            exchange.session.trust_env = False
            try:
                await anyio.to_thread.run_sync(partial(body, exchange), abandon_on_cancel=True)
            finally:
                exchange.session.close()


@asynccontextmanager
async def pro(**options):
    """ccxt.pro on a simulator."""
    with anyio.fail_after(5):
        async with venue(**options) as (sim, told):
            exchange = configure(ccxt.pro.backpack(), told)
            try:
                yield sim, exchange
            finally:
                with anyio.CancelScope(shield=True):
                    await exchange.close()


async def test_ccxt_loads_markets_and_reads_the_book():
    """[client] load_markets, fetch_order_book, fetch_ticker, fetch_trades, fetch_status, fetch_funding_rate."""

    def body(ex):
        markets = ex.load_markets()
        perp, spot = markets[PERP], markets[SPOT]
        assert (perp["id"], perp["linear"], perp["swap"]) == ("SOL_USDC_PERP", True, True)
        assert (spot["id"], spot["spot"], spot["precision"]["price"]) == ("SOL_USDC", True, 0.01)
        assert perp["limits"]["amount"]["min"] == 0.01
        book = ex.fetch_order_book(PERP)
        assert book["bids"][0][0] < book["asks"][0][0]
        assert book["bids"] == sorted(book["bids"], reverse=True)
        ex.create_order(PERP, "market", "buy", 0.05)
        assert ex.fetch_trades(PERP)[-1]["amount"] == 0.05
        assert ex.fetch_ticker(PERP)["last"] == ex.fetch_trades(PERP)[-1]["price"]
        assert ex.fetch_status()["status"] == "ok"
        assert ex.fetch_funding_rate(PERP)["markPrice"] > 100

    await with_ccxt(body)


async def test_ccxt_rests_finds_and_cancels_orders():
    """[client] create_order, fetch_open_order(s), cancel_order and by client id, cancel_all_orders, fetch_orders."""

    def body(ex):
        ex.load_markets()
        order = ex.create_order(PERP, "limit", "buy", 0.05, 135, {"postOnly": True, "clientOrderId": 1001})
        assert (order["status"], order["filled"], order["clientOrderId"]) == ("open", 0, "1001")
        assert [each["id"] for each in ex.fetch_open_orders(PERP)] == [order["id"]]
        assert ex.fetch_open_order(order["id"], PERP)["price"] == 135
        found = ex.privateGetApiV1Order({"symbol": "SOL_USDC_PERP", "clientId": 1001})
        assert found["id"] == order["id"]
        cancelled = ex.privateDeleteApiV1Order({"symbol": "SOL_USDC_PERP", "clientId": 1001})
        assert cancelled["status"] == "Cancelled"
        with pytest.raises(ccxt.BadRequest, match="Order not found"):
            ex.cancel_order(order["id"], PERP)
        second = ex.create_order(PERP, "limit", "sell", 0.05, 145)
        assert ex.cancel_order(second["id"], PERP)["status"] == "canceled"
        ex.create_order(PERP, "limit", "sell", 0.05, 146)
        assert [each["price"] for each in ex.cancel_all_orders(PERP)] == [146]
        assert ex.fetch_open_orders(PERP) == []
        assert [each["status"] for each in ex.fetch_orders(PERP)] == ["canceled"] * 3

    await with_ccxt(body)


async def test_ccxt_sends_a_batch():
    """[client] create_orders: one signature over two orders."""

    def body(ex):
        ex.load_markets()
        rows = [
            {"symbol": PERP, "type": "limit", "side": "buy", "amount": 0.05, "price": price, "params": {}}
            for price in (134, 135)
        ]
        assert [each["price"] for each in ex.create_orders(rows)] == [134, 135]

    await with_ccxt(body)


async def test_ccxt_raises_its_own_errors_for_our_refusals():
    """[client] InvalidOrder, InsufficientFunds, BadRequest, and ExchangeNotAvailable for 404 (sheet, Errors)."""

    def body(ex):
        ex.load_markets()
        with pytest.raises(ccxt.InvalidOrder, match="immediately match"):
            ex.create_order(PERP, "limit", "buy", 0.05, 142, {"postOnly": True})
        with pytest.raises(ccxt.InsufficientFunds):
            ex.create_order(SPOT, "limit", "buy", 1000, 139)
        with pytest.raises(ccxt.InsufficientFunds):
            ex.create_order(PERP, "limit", "buy", 5000, 139)
        with pytest.raises(ccxt.InvalidOrder, match="Reduce only"):
            ex.create_order(PERP, "limit", "sell", 0.05, 142, {"reduceOnly": True})
        with pytest.raises(ccxt.BadRequest, match="too far from the last active price"):
            ex.create_order(PERP, "limit", "buy", 0.05, 80)
        with pytest.raises(ccxt.ExchangeNotAvailable):
            ex.fetch_open_order("1", PERP)

    await with_ccxt(body)


async def test_a_wrong_secret_is_refused():
    """[client] A bad signature is BadRequest in ccxt."""

    def body(ex):
        ex.load_markets()
        with pytest.raises(ccxt.BadRequest, match="Invalid signature"):
            ex.fetch_balance()

    await with_ccxt(body, credentials={"secret": base64.b64encode(b"x" * 32).decode()})


async def test_a_clock_that_is_off_is_refused():
    """[client] Six seconds of skew against a window of five."""

    def body(ex):
        with pytest.raises(ccxt.BadRequest, match="Request has expired"):
            ex.fetch_balance()

    await with_ccxt(body, clock_offset_ms=6_000)


async def test_ccxt_opens_and_closes_a_position_at_market():
    """[client] Market order, fetch_positions, reduce-only close, fetch_my_trades, fetch_balance."""

    def body(ex):
        ex.load_markets()
        opened = ex.create_order(PERP, "market", "buy", 0.05)
        assert (opened["status"], opened["filled"]) == ("closed", 0.05)
        (held,) = ex.fetch_positions()
        assert (held["symbol"], held["side"], float(held["contracts"])) == (PERP, "long", 0.05)
        closed = ex.create_order(PERP, "market", "sell", 0.05, None, {"reduceOnly": True})
        assert (closed["status"], closed["reduceOnly"]) == ("closed", True)
        assert ex.fetch_positions() == []
        trades = ex.fetch_my_trades(PERP)
        assert {trade["side"] for trade in trades} == {"buy", "sell"}
        assert {trade["fee"]["currency"] for trade in trades} == {"USDC"}
        paid = sum(Decimal(str(trade["fee"]["cost"])) for trade in trades)
        assert paid > 0
        balance = ex.fetch_balance()
        expected = Decimal(10_000) + Decimal(str(closed["cost"])) - Decimal(str(opened["cost"])) - paid
        assert Decimal(str(balance["USDC"]["free"])) == expected

    await with_ccxt(body)


async def test_ccxt_buys_spot_and_pays_the_fee_in_the_coin():
    """[client] Spot by cost, fee in SOL, free and locked balance."""

    def body(ex):
        ex.load_markets()
        order = ex.create_order(SPOT, "market", "buy", 0, None, {"cost": "15"})
        assert (order["status"], order["filled"]) == ("closed", 0.1)
        (trade,) = ex.fetch_my_trades(SPOT)
        assert (trade["fee"]["currency"], trade["fee"]["cost"]) == ("SOL", 0.0001)
        ex.create_order(SPOT, "limit", "sell", 4, 143)
        balance = ex.fetch_balance()
        assert (balance["SOL"]["free"], balance["SOL"]["used"]) == (6.0999, 4)

    await with_ccxt(body)


async def test_ccxt_pro_watches_orders_and_positions_while_it_trades():
    """[client] watch_orders and watch_positions see a resting order, its cancel, and a round trip."""
    async with pro() as (_, ex):
        await ex.load_markets()
        states, positions = {}, []

        async def orders():
            while True:
                # What arrives between two calls is merged per order, so only the latest word of each is sure.
                for order in await ex.watch_orders():
                    states[order["id"]] = (order["info"]["e"], order["info"]["X"], order["info"].get("c"))

        async def held():
            while True:
                for position in await ex.watch_positions():
                    positions.append(position["info"]["e"])

        async with anyio.create_task_group() as watching:
            watching.start_soon(orders)
            watching.start_soon(held)
            await anyio.sleep(0.3)
            order = await ex.create_order(PERP, "limit", "buy", 0.05, 135, {"clientOrderId": 5})
            await ex.cancel_order(order["id"], PERP)
            sold = await ex.create_order(PERP, "market", "sell", 0.05)
            bought = await ex.create_order(PERP, "market", "buy", 0.05, None, {"reduceOnly": True})
            while len(states) < 3 or positions[-1:] != ["positionClosed"]:
                await anyio.sleep(0.02)
            watching.cancel_scope.cancel()
    assert states == {
        order["id"]: ("orderCancelled", "Cancelled", 5),
        sold["id"]: ("orderFill", "Filled", None),
        bought["id"]: ("orderFill", "Filled", None),
    }


async def test_ccxt_pro_follows_the_books():
    """[client] watch_bids_asks and watch_order_book on a lively market; the book equals the venue's."""
    async with pro(speed=20.0) as (sim, ex):
        await ex.load_markets()
        top = await ex.watch_bids_asks([PERP])
        assert top[PERP]["bid"] < top[PERP]["ask"]
        for _ in range(20):
            book = await ex.watch_order_book(PERP)
            assert book["bids"][0][0] < book["asks"][0][0]
        listing, live = sim.engine.listings["SOL_USDC_PERP"], sim.engine.books["SOL_USDC_PERP"]
        while book["nonce"] != live.update_id:
            book = await ex.watch_order_book(PERP)
        assert [price for price, _ in book["bids"]] == [float(listing.price(each)) for each in live.bids.prices()]
        trades = await ex.watch_trades(PERP)
        assert trades[-1]["amount"] > 0


async def test_ccxt_pro_sees_a_resting_order_being_filled_by_the_market():
    """[client] A post-only order at the best price is filled by the street, as maker."""
    async with pro(speed=100.0) as (_, ex):
        await ex.load_markets()

        async def filled():
            while True:
                for order in await ex.watch_orders():
                    if order["info"]["X"] == "Filled":
                        return order["info"]

        async with anyio.create_task_group() as watching:
            done = []

            async def watch():
                done.append(await filled())

            watching.start_soon(watch)
            await anyio.sleep(0.2)
            while not done:
                price = (await ex.fetch_order_book(PERP))["bids"][0][0]
                try:
                    order = await ex.create_order(PERP, "limit", "buy", 0.05, price, {"postOnly": True})
                except ccxt.InvalidOrder:
                    continue
                await anyio.sleep(0.3)
                if not done:
                    try:
                        await ex.cancel_order(order["id"], PERP)
                    except ccxt.BadRequest:
                        await anyio.sleep(0.05)
    assert (done[0]["m"], done[0]["z"]) == (True, "0.05")
