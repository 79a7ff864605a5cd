"""
ccxt and ccxt.pro, unmodified, trade on the OKX simulator over real sockets: only the URLs are set. If they cannot,
the simulator is wrong until shown otherwise.
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
from venues.okx.simulator import Choices, OkxSimulator
from venues.simulation.faults import Faults
from venues.simulation.gate import FaultGate
from venues.simulation.server import serve

pytestmark = pytest.mark.sockets

PERP, SPOT, BTC, ETH = "SOL/USDT:USDT", "SOL/USDT", "BTC/USDT:USDT", "ETH/USDT:USDT"


@asynccontextmanager
async def venue(**options):
    """A simulator on a free loopback port: its simulator and what ``bootstrap`` says about it."""
    clock = SystemClock()
    sim = OkxSimulator(clock, Chance(11), **options)
    async with serve({"okx": FaultGate(sim, Faults(), clock)}) as addresses:
        yield sim, sim.bootstrap(addresses["okx"].rest, addresses["okx"].ws)


def configure(exchange, told, **credentials):
    keys = told["credentials"] | credentials
    exchange.apiKey, exchange.secret, exchange.password = keys["api_key"], keys["api_secret"], keys["passphrase"]
    exchange.urls["api"]["rest"], exchange.urls["api"]["ws"] = told["rest"], told["ws"]
    exchange.enableRateLimit = False
    return exchange


async def with_ccxt(body, *, credentials=None, sandbox=False, **options):
    """Run ``body(exchange)`` with the blocking ccxt in a thread of its own."""
    with anyio.fail_after(5):
        async with venue(**options) as (_, told):
            exchange = ccxt.okx()
            exchange.set_sandbox_mode(sandbox)
            configure(exchange, told, **(credentials or {}))
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
            exchange = configure(ccxt.pro.okx(), told)
            try:
                yield sim, exchange
            finally:
                with anyio.CancelScope(shield=True):
                    await exchange.close()


async def test_ccxt_loads_okx_markets_with_their_contract_sizes_and_reads_the_book():
    """[client] load_markets, fetch_order_book, fetch_ticker, fetch_time; BTC's contract is 0.01, ETH's 0.1."""

    def body(ex):
        markets = ex.load_markets()
        assert [markets[name]["contractSize"] for name in (PERP, BTC, ETH)] == [1, 0.01, 0.1]
        assert (markets[PERP]["id"], markets[PERP]["linear"], markets[SPOT]["id"]) == (
            "SOL-USDT-SWAP",
            True,
            "SOL-USDT",
        )
        assert (markets[SPOT]["precision"]["amount"], markets[SPOT]["limits"]["amount"]["min"]) == (0.000001, 0.001)
        book = ex.fetch_order_book(PERP)
        assert book["bids"][0][0] < book["asks"][0][0]
        assert (len(book["bids"]) > 5, book["bids"]) == (True, sorted(book["bids"], reverse=True))
        ticker = ex.fetch_ticker(SPOT)
        assert 100 < ticker["bid"] < ticker["ask"] < 200
        assert abs(ex.fetch_time() - ex.milliseconds()) < 2_000
        assert ex.fetch_trading_fee(PERP)["taker"] == 0.0005

    await with_ccxt(body)


async def test_ccxt_rests_finds_and_cancels_okx_orders():
    """[client] Post-only limit, fetch_order and fetch_open_orders, cancel by client id and by id."""

    def body(ex):
        ex.load_markets()
        order = ex.create_order(PERP, "limit", "buy", 0.05, 135, {"postOnly": True, "clientOrderId": "1001"})
        found = ex.fetch_order(order["id"], PERP)
        assert (found["status"], found["filled"], found["clientOrderId"], found["postOnly"]) == (
            "open",
            0,
            "1001",
            True,
        )
        assert [each["id"] for each in ex.fetch_open_orders(PERP)] == [order["id"]]
        assert ex.fetch_order(None, PERP, {"clientOrderId": "1001"})["price"] == 135
        ex.cancel_order(None, PERP, {"clientOrderId": "1001"})
        assert ex.fetch_order(order["id"], PERP)["status"] == "canceled"
        with pytest.raises(ccxt.OrderNotFound):
            ex.cancel_order(order["id"], PERP)
        second = ex.create_order(SPOT, "limit", "sell", 0.05, 145)
        assert len(second["clientOrderId"]) == 32
        assert ex.cancel_order(second["id"], SPOT)["id"] == second["id"]
        assert ex.fetch_open_orders(SPOT) == []

    await with_ccxt(body)


async def test_ccxt_sees_a_crossing_post_only_order_acknowledged_and_then_cancelled():
    """[venue] The ack is a success; the order is canceled with cancelSource 31 and traded nothing."""

    def body(ex):
        ex.load_markets()
        order = ex.create_order(PERP, "limit", "buy", 0.05, 145, {"postOnly": True})
        assert order["info"]["sCode"] == "0"
        ended = ex.fetch_order(order["id"], PERP)
        assert (ended["status"], ended["filled"], ended["info"]["cancelSource"]) == ("canceled", 0, "31")

    await with_ccxt(body)


async def test_ccxt_raises_its_own_errors_for_okx_refusals():
    """[client] InvalidOrder, InsufficientFunds, OrderNotFound, BadRequest by sCode (sheet, Errors)."""

    def body(ex):
        ex.load_markets()
        with pytest.raises(ccxt.InsufficientFunds, match="51008"):
            ex.create_order(SPOT, "limit", "buy", 1000, 139)
        with pytest.raises(ccxt.InsufficientFunds, match="51008"):
            ex.create_order(PERP, "limit", "buy", 5000, 139)
        with pytest.raises(ccxt.InvalidOrder, match="51006"):
            ex.create_order(PERP, "limit", "buy", 0.05, 180)
        with pytest.raises(ccxt.ExchangeError, match="51169"):
            ex.create_order(PERP, "market", "sell", 0.05, None, {"reduceOnly": True})
        ex.create_order(PERP, "limit", "buy", 0.05, 135, {"clientOrderId": "7"})
        with pytest.raises(ccxt.InvalidOrder, match="51016"):
            ex.create_order(PERP, "limit", "buy", 0.05, 135, {"clientOrderId": "7"})
        with pytest.raises(ccxt.BadRequest, match="Parameter clOrdId error"):
            ex.create_order(PERP, "limit", "buy", 0.05, 135, {"clientOrderId": "a-b"})
        with pytest.raises(ccxt.OrderNotFound, match="51603"):
            ex.fetch_order("1", PERP)
        with pytest.raises(ccxt.InvalidOrder, match="51121"):
            ex.privatePostTradeOrder(
                {
                    "instId": "SOL-USDT-SWAP",
                    "tdMode": "cross",
                    "side": "buy",
                    "ordType": "limit",
                    "sz": "0.015",
                    "px": "135",
                }
            )
        with pytest.raises(ccxt.InvalidOrder, match="51020"):
            ex.privatePostTradeOrder(
                {"instId": "SOL-USDT", "tdMode": "cash", "side": "buy", "ordType": "limit", "sz": "0.0001", "px": "135"}
            )

    await with_ccxt(body)


@pytest.mark.parametrize(
    ("credentials", "code"),
    [({"api_secret": "x" * 32}, "50113"), ({"passphrase": "wrong"}, "50105"), ({"api_key": "stranger"}, "50111")],
)
async def test_wrong_okx_credentials_are_refused(credentials, code):
    """[client] AuthenticationError with the code of what is wrong."""

    def body(ex):
        with pytest.raises(ccxt.AuthenticationError, match=code):
            ex.fetch_balance()

    await with_ccxt(body, credentials=credentials)


async def test_an_okx_clock_that_is_off_is_refused():
    """[client] 31 seconds of skew against a window of 30."""

    def body(ex):
        with pytest.raises(ccxt.InvalidNonce, match="50102"):
            ex.fetch_balance()

    await with_ccxt(body, clock_offset_ms=31_000)


async def test_demo_trading_wants_its_header_and_ccxt_sends_it_in_sandbox_mode():
    """[venue] x-simulated-trading: 1 with a demo key; without it 50101."""

    def body(ex):
        assert ex.fetch_balance()["USDT"]["total"] == 10_000

    def refused(ex):
        with pytest.raises(ccxt.AuthenticationError, match="50101"):
            ex.fetch_balance()

    await with_ccxt(body, sandbox=True, choices=Choices(demo=True))
    await with_ccxt(refused, choices=Choices(demo=True))


async def test_ccxt_opens_and_closes_an_okx_position_whose_contract_is_not_one_coin():
    """[client] 0.25 contracts of BTC are 0.0025 BTC: notional, fee and profit follow the coin, sizes the contract."""

    def body(ex):
        ex.load_markets()
        opened = ex.create_order(BTC, "market", "buy", 0.25)
        bought = ex.fetch_order(opened["id"], BTC)
        assert (bought["status"], bought["filled"], bought["info"]["accFillSz"]) == ("closed", 0.25, "0.25")
        (held,) = ex.fetch_positions()
        assert (held["symbol"], held["side"], held["contracts"], held["contractSize"]) == (BTC, "long", 0.25, 0.01)
        coins = Decimal("0.0025")
        assert abs(Decimal(str(held["notional"])) - coins * Decimal(str(held["markPrice"]))) < Decimal("0.01")
        paid = coins * Decimal(bought["info"]["avgPx"]) * Decimal("0.0005")
        assert Decimal(str(bought["fee"]["cost"])) == paid
        assert [each["symbol"] for each in ex.fetch_positions([PERP, BTC])] == [BTC]
        closed = ex.create_order(BTC, "market", "sell", 0.25, None, {"reduceOnly": True})
        sold = ex.fetch_order(closed["id"], BTC)
        assert (sold["reduceOnly"], sold["status"]) == (True, "closed")
        assert ex.fetch_positions() == []
        trades = ex.fetch_my_trades(BTC)
        assert {trade["side"] for trade in trades} == {"buy", "sell"}
        assert sum(trade["amount"] for trade in trades) == 0.5
        fees = sum(Decimal(str(trade["fee"]["cost"])) for trade in trades)
        profit = coins * (Decimal(sold["info"]["avgPx"]) - Decimal(bought["info"]["avgPx"]))
        assert abs(Decimal(str(ex.fetch_balance()["USDT"]["total"])) - (10_000 + profit - fees)) < Decimal("1e-9")

    await with_ccxt(body)


async def test_ccxt_buys_okx_spot_in_base_units_and_pays_the_fee_in_the_coin():
    """[client] tgtCcy base_ccy, fee in SOL, frozen balance of a resting sell."""

    def body(ex):
        ex.load_markets()
        order = ex.create_order(SPOT, "market", "buy", 0.1)
        assert ex.fetch_order(order["id"], SPOT)["filled"] == 0.1
        (trade,) = ex.fetch_my_trades(SPOT)
        assert (trade["fee"]["currency"], trade["fee"]["cost"]) == ("SOL", 0.0001)
        ex.create_order(SPOT, "limit", "sell", 4, 143)
        balance = ex.fetch_balance()
        assert (balance["SOL"]["free"], balance["SOL"]["used"]) == (6.0999, 4)
        cost = ex.create_order(SPOT, "market", "buy", None, None, {"tgtCcy": "quote_ccy", "cost": 28})
        spent = ex.fetch_order(cost["id"], SPOT)
        assert 27 < float(spent["info"]["accFillSz"]) * float(spent["info"]["avgPx"]) <= 28

    await with_ccxt(body)


async def test_the_okx_countdown_cancels_what_rests():
    """[venue] cancel-all-after takes 10 to 120 seconds, 0 is off; once a second, else 50011."""

    def body(ex):
        ex.load_markets()
        armed = ex.cancel_all_orders_after(30_000)
        assert int(armed["data"][0]["triggerTime"]) - int(armed["data"][0]["ts"]) == 30
        with pytest.raises(ccxt.RateLimitExceeded, match="50011"):
            ex.cancel_all_orders_after(0)
        ex.sleep(1_050)
        assert ex.cancel_all_orders_after(0)["data"][0]["triggerTime"] == "0"
        ex.sleep(1_050)
        with pytest.raises(ccxt.BadRequest, match="timeOut"):
            ex.cancel_all_orders_after(5_000)

    await with_ccxt(body)


async def test_ccxt_pro_watches_okx_orders_positions_and_balance_while_it_trades():
    """[client] watch_orders, watch_my_trades, watch_positions and watch_balance on one socket, each push once."""
    async with pro() as (_, ex):
        await ex.load_markets()
        states, sizes, balances, trades = {}, [], [], []

        async def orders():
            while True:
                for order in await ex.watch_orders():
                    states[order["id"]] = (order["status"], order["filled"], order["clientOrderId"])

        async def mine():
            while True:
                trades.extend(await ex.watch_my_trades())

        async def held():
            while True:
                for position in await ex.watch_positions():
                    sizes.append((position["symbol"], position["contracts"], position["side"]))

        async def money():
            while True:
                balances.append((await ex.watch_balance())["USDT"]["total"])

        async with anyio.create_task_group() as watching:
            for watch in (orders, mine, held, money):
                watching.start_soon(watch)
            await anyio.sleep(0.3)
            order = await ex.create_order(ETH, "limit", "buy", 0.05, 3100, {"clientOrderId": "5"})
            await ex.cancel_order(order["id"], ETH)
            sold = await ex.create_order(ETH, "market", "sell", 0.05, None, {"clientOrderId": "6"})
            await anyio.sleep(0.1)
            bought = await ex.create_order(ETH, "market", "buy", 0.05, None, {"reduceOnly": True, "clientOrderId": "7"})
            while len(states) < 3 or (ETH, 0, "long") not in sizes or balances[-1] == balances[0]:
                await anyio.sleep(0.02)
            watching.cancel_scope.cancel()
    assert states == {
        order["id"]: ("canceled", 0, "5"),
        sold["id"]: ("closed", 0.05, "6"),
        bought["id"]: ("closed", 0.05, "7"),
    }
    assert (ETH, 0.05, "short") in sizes
    assert [trade["amount"] for trade in trades] == [0.05, 0.05]


async def test_ccxt_pro_follows_okx_books():
    """[client] watch_bids_asks and watch_order_book on a lively market; the book equals the venue's."""
    async with pro(speed=20.0) as (sim, ex):
        await ex.load_markets()
        top = await ex.watch_bids_asks([PERP])
        assert top[PERP]["bid"] < top[PERP]["ask"]
        for _ in range(10):
            book = await ex.watch_order_book(BTC)
            assert book["bids"][0][0] < book["asks"][0][0]
        listing, live = sim.engine.listings["BTC-USDT-SWAP"], sim.engine.books["BTC-USDT-SWAP"]
        while book["nonce"] != live.update_id:
            book = await ex.watch_order_book(BTC)
        assert [price for price, _ in book["bids"]] == [float(listing.price(each)) for each in live.bids.prices()]
        # Contracts: a hundred times the coins.
        best = float(listing.size(live.best_bid[1])) * 100
        assert book["bids"][0][1] == pytest.approx(best)


async def test_ccxt_pro_places_and_cancels_over_the_okx_stream():
    """[client] create_order_ws and cancel_order_ws by instIdCode; a refusal comes with its sCode."""
    async with pro() as (_, ex):
        await ex.load_markets()
        order = await ex.create_order_ws(BTC, "limit", "buy", 0.05, 91000, {"clientOrderId": "9"})
        assert (await ex.fetch_order(order["id"], BTC))["status"] == "open"
        cancelled = await ex.cancel_order_ws(order["id"], BTC)
        assert cancelled["id"] == order["id"]
        with pytest.raises(ccxt.OrderNotFound):
            await ex.cancel_order_ws(order["id"], BTC)
        with pytest.raises(ccxt.InsufficientFunds):
            await ex.create_order_ws(BTC, "limit", "buy", 5000, 91000)
