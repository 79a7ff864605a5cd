"""
ccxt and ccxt.pro, unmodified, trade on the Lighter simulator over real sockets: only the URLs, the account and the path
of the venue's own signer library (the one that ships with lighter-sdk 1.1.0, which ccxt 4.5.64 needs) are set.
"""

import importlib.util
import platform
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import ccxt
import ccxt.pro
import pytest

from core.chance import Chance
from core.clock import SystemClock
from venues.lighter.simulator import Choices, LighterSimulator
from venues.simulation.faults import Faults
from venues.simulation.gate import FaultGate
from venues.simulation.server import serve


def library():
    """The venue's signer library, None where lighter-sdk is not installed."""
    found = importlib.util.find_spec("lighter")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine())
    if found is None or found.origin is None or machine is None or platform.system() != "Linux":
        return None
    path = Path(found.origin).parent / "signers" / f"lighter-signer-linux-{machine}.so"
    return str(path) if path.exists() else None


pytestmark = [
    pytest.mark.sockets,
    pytest.mark.skipif(library() is None, reason="the signer library of lighter-sdk 1.1.0 is not installed"),
]

PERP, SPOT = "SOL/USDC:USDC", "ETH/USDC"


@asynccontextmanager
async def venue(**options):
    """A simulator on a free loopback port: its simulator and what ``bootstrap`` says about it."""
    clock = SystemClock()
    sim = LighterSimulator(clock, Chance(11), **options)
    async with serve({"lighter": FaultGate(sim, Faults(), clock)}) as addresses:
        yield sim, sim.bootstrap(addresses["lighter"].rest, addresses["lighter"].ws)


def configure(exchange, told, **more):
    keys = told["credentials"] | more
    account, key = str(keys["account_index"]), str(keys["api_key_index"])
    exchange.urls["api"] = dict.fromkeys(("root", "public", "private"), told["rest"]) | {"ws": told["ws"]}
    exchange.enableRateLimit = False
    exchange.options |= {
        "accountIndex": int(account),
        "apiKeyIndex": int(key),
        "libraryPath": library(),
        "chainId": keys["chain_id"],
        "auths": {account: {key: {"lighterPrivateKey": keys["private_key"]}}},
        # The sheet's section 12.1: False makes ccxt raise a KeyError.
        "builderFee": True,
        "approvedBuilderFee": True,
        "integratorAccountIndex": 0,
        "integratorTakerFee": 0,
        "integratorMakerFee": 0,
    }
    return exchange


async def with_ccxt(body, *, credentials=None, **options):
    """Run ``body(exchange)`` with the blocking ccxt in a thread of its own."""
    with anyio.fail_after(5):
        async with venue(**options) as (_, told):
            exchange = configure(ccxt.lighter(), told, **(credentials or {}))
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
            exchange = configure(ccxt.pro.lighter(), told)
            try:
                yield sim, exchange
            finally:
                with anyio.CancelScope(shield=True):
                    await exchange.close()


POST_ONLY = {"postOnly": True, "orderExpiry": -1}


async def test_ccxt_loads_markets_and_reads_the_book():
    """[client] load_markets, fetch_order_book, fetch_ticker(s), fetch_status, fetch_time, fetch_currencies."""

    def body(ex):
        markets = ex.load_markets()
        perp, spot = markets[PERP], markets[SPOT]
        assert (perp["id"], perp["linear"], perp["precision"]["price"]) == ("2", True, 0.001)
        assert (perp["limits"]["amount"]["min"], perp["limits"]["cost"]["min"]) == (0.05, 10)
        assert (spot["id"], spot["spot"], spot["limits"]["amount"]["min"]) == ("2048", True, 0.0001)
        book = ex.fetch_order_book(PERP)
        assert book["bids"][0][0] < book["asks"][0][0]
        assert book["bids"] == sorted(book["bids"], reverse=True)
        assert ex.fetch_ticker(PERP)["symbol"] == PERP
        assert ex.fetch_status()["status"] == "ok"
        assert abs(ex.fetch_time() - ex.milliseconds()) < 2_000
        assert set(ex.fetch_currencies()) == {"USDC", "ETH"}

    await with_ccxt(body)


async def test_ccxt_rests_finds_and_cancels_orders():
    """[client] Post-only, fetch_open_orders, cancel by client id and by id, edit, cancel all, fetch_closed_orders."""

    def body(ex):
        ex.load_markets()
        told = ex.create_order(PERP, "limit", "buy", 0.1, 135, {"clientOrderId": 1001, **POST_ONLY})
        assert len(told["info"]["tx_hash"]) == 80
        (order,) = ex.fetch_open_orders(PERP)
        assert (order["clientOrderId"], order["price"], order["amount"]) == ("1001", 135, 0.1)
        assert (order["postOnly"], order["side"], order["status"]) == (True, "buy", "open")
        assert int(order["id"]) >= 2**48
        ex.cancel_order(None, PERP, {"clientOrderId": 1001})
        assert ex.fetch_open_orders(PERP) == []
        ex.create_order(PERP, "limit", "sell", 0.1, 145, {"clientOrderId": 1002})
        (order,) = ex.fetch_open_orders(PERP)
        ex.edit_order(order["id"], PERP, "limit", "sell", 0.12, 146)
        (edited,) = ex.fetch_open_orders(PERP)
        assert (edited["id"], edited["price"], edited["amount"]) == (order["id"], 146, 0.12)
        ex.cancel_order(order["id"], PERP)
        ex.create_order(PERP, "limit", "sell", 0.1, 147)
        ex.cancel_all_orders()
        assert ex.fetch_open_orders(PERP) == []
        assert [each["status"] for each in ex.fetch_closed_orders(PERP)] == ["canceled"] * 3

    await with_ccxt(body)


async def test_ccxt_arms_the_dead_mans_switch():
    """[client] cancel_all_orders_after: tx 16; ccxt itself wants 5 minutes at least."""

    def body(ex):
        ex.load_markets()
        assert ex.cancel_all_orders_after(400_000)["code"] == 200

    await with_ccxt(body)


async def test_ccxt_raises_its_own_errors_for_our_refusals():
    """[client] InvalidOrder for bad amounts, prices, ids and margins; ExchangeError for a bad nonce."""

    def body(ex):
        ex.load_markets()
        ex.create_order(PERP, "limit", "buy", 0.1, 135, {"clientOrderId": 7})
        for amount, price, params, text in (
            (0.01, 135, {}, "21706"),
            (1, 20, {}, "21734"),
            (5000, 139, {}, "21739"),
            (0.1, 135, {"clientOrderId": 7}, "21728"),
        ):
            with pytest.raises(ccxt.InvalidOrder, match=text):
                ex.create_order(PERP, "limit", "buy", amount, price, params)
        with pytest.raises(ccxt.ExchangeError, match="21104"):
            ex.create_order(PERP, "limit", "buy", 0.1, 135, {"nonce": 1})
        assert len(ex.fetch_open_orders(PERP)) == 1

    await with_ccxt(body)


async def test_a_wrong_key_is_refused():
    """[client] The signature of another key: 21120 for transactions, a bad token for private readings."""

    def body(ex):
        ex.load_markets()
        with pytest.raises(ccxt.BaseError, match="21120"):
            ex.create_order(PERP, "limit", "buy", 0.1, 135)
        with pytest.raises(ccxt.BaseError, match="invalid auth"):
            ex.fetch_open_orders(PERP)

    await with_ccxt(body, credentials={"private_key": "07" * 40})


async def test_another_chain_id_is_refused():
    """[client] 300 instead of 304 changes the signed hash."""

    def body(ex):
        ex.load_markets()
        with pytest.raises(ccxt.BaseError, match="21120"):
            ex.create_order(PERP, "limit", "buy", 0.1, 135)

    await with_ccxt(body, credentials={"chain_id": 300})


async def test_ccxt_opens_and_closes_a_position_at_market():
    """[client] Market order with its worst price, fetch_positions, reduce-only close, trades, balance; twice: flat."""

    def body(ex):
        ex.load_markets()
        ex.create_order(PERP, "market", "buy", 0.1, 142, {"clientOrderId": 11})
        (held,) = [each for each in ex.fetch_positions() if each["contracts"]]
        assert (held["symbol"], held["side"], held["contracts"]) == (PERP, "long", 0.1)
        ex.create_order(PERP, "market", "sell", 0.1, 138, {"reduceOnly": True, "clientOrderId": 12})
        assert [each for each in ex.fetch_positions() if each["contracts"]] == []
        trades = ex.fetch_my_trades(PERP)
        assert {(trade["side"], trade["takerOrMaker"]) for trade in trades} == {("buy", "taker"), ("sell", "taker")}
        assert {trade["info"]["bid_client_id"] for trade in trades if trade["side"] == "buy"} == {11}
        spent = sum(t["cost"] * (1 if t["side"] == "buy" else -1) for t in trades)
        balance = ex.fetch_balance({"type": "swap"})["USDC"]
        assert (balance["total"], balance["used"]) == (pytest.approx(10_000 - spent, abs=1e-6), 0)
        ex.create_order(PERP, "market", "sell", 0.1, 138, {"reduceOnly": True})
        assert {each["status"] for each in ex.fetch_closed_orders(PERP)} == {"closed", "canceled"}

    await with_ccxt(body)


async def test_a_market_order_with_no_one_in_reach_ends_without_a_fill():
    """[venue] 200, then a row canceled-too-much-slippage."""

    def body(ex):
        ex.load_markets()
        ex.create_order(PERP, "market", "buy", 0.1, 120)
        (order,) = ex.fetch_closed_orders(PERP)
        assert (order["info"]["status"], order["filled"]) == ("canceled-too-much-slippage", 0)

    await with_ccxt(body)


async def test_ccxt_buys_spot():
    """[client] ETH/USDC: the wallet's rows move, a resting order is locked, no fee."""

    def body(ex):
        ex.load_markets()
        ex.create_order(SPOT, "market", "buy", 0.1, 3300)
        ex.create_order(SPOT, "limit", "sell", 1, 3400)
        # ccxt 4.5.64 loses the totals of a spot wallet (it adds to None), so its raw rows are looked at.
        (account,) = ex.fetch_balance({"type": "spot"})["info"]["accounts"]
        rows = {row["symbol"]: (row["balance"], row["locked_balance"]) for row in account["assets"]}
        assert rows["ETH"] == ("3.100000", "1.000000")
        assert 19_600 < float(rows["USDC"][0]) < 19_700

    await with_ccxt(body)


async def test_ccxt_pro_watches_orders_trades_and_balances_while_it_trades():
    """[client] watch_orders, watch_my_trades, watch_balance (perp and spot) see what create_order does."""
    async with pro(choices=Choices(queue_ms=20)) as (_, ex):
        await ex.load_markets()
        states, trades, balances = {}, [], {}

        async def orders():
            while True:
                for order in await ex.watch_orders():
                    states[order["clientOrderId"]] = order["info"]["status"]

        async def fills():
            while True:
                trades.extend(await ex.watch_my_trades())

        async def perp_balance():
            while True:
                balances["perp"] = (await ex.watch_balance({"type": "swap"}))["USDC"]["total"]

        async def spot_balance():
            while True:
                balances["spot"] = (await ex.watch_balance({"type": "spot"}))["USDC"]["total"]

        async with anyio.create_task_group() as watching:
            for watch in (orders, fills, perp_balance, spot_balance):
                watching.start_soon(watch)
            await anyio.sleep(0.3)
            await ex.create_order(PERP, "limit", "buy", 0.1, 135, {"clientOrderId": 5, **POST_ONLY})
            await ex.create_order(PERP, "market", "buy", 0.1, 145, {"clientOrderId": 6})
            await ex.create_order(PERP, "limit", "buy", 0.1, 145, {"clientOrderId": 7, **POST_ONLY})
            await ex.cancel_order(None, PERP, {"clientOrderId": 5})
            while states != {"5": "canceled", "6": "filled", "7": "canceled-post-only"} or not trades:
                await anyio.sleep(0.02)
            watching.cancel_scope.cancel()
    assert balances == {"perp": pytest.approx(10_000, abs=1), "spot": 20_000}


async def test_ccxt_pro_follows_the_books():
    """[client] watch_order_book on a lively market stays whole; watch_ticker and watch_trades answer."""
    async with pro(speed=20.0) as (sim, ex):
        await ex.load_markets()
        for _ in range(20):
            book = await ex.watch_order_book(PERP)
            assert book["bids"][0][0] < book["asks"][0][0]
        listing, live = sim.engine.listings["SOL"], sim.engine.books["SOL"]
        same = 0
        while not same:
            book = await ex.watch_order_book(PERP)
            same = [price for price, _ in book["bids"]] == [float(listing.price(p)) for p in live.bids.prices()]
        assert (await ex.watch_ticker(PERP))["last"] > 100
        assert (await ex.watch_trades(PERP))[-1]["amount"] > 0
