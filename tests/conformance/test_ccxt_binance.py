"""
ccxt and ccxt.pro trade on the Binance simulator over real sockets: only URLs are set, and the two guesses that ccxt
makes from host names, which fail on loopback, are answered (sheet, "Simulator notes"). If they cannot, the simulator
is wrong until shown otherwise.
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
from venues.binance.simulator import BinanceSimulator
from venues.simulation.faults import Faults
from venues.simulation.gate import FaultGate
from venues.simulation.server import serve

pytestmark = pytest.mark.sockets

PERP, SPOT = "SOL/USDT:USDT", "SOL/USDT"


class HostNames:
    """What ccxt reads off ``binance.com`` in a URL, read off the path instead."""

    def get_exceptions_by_url(self, url, exact_or_broad):
        product = "linear" if "/fapi/" in url else "spot"
        return self.safe_dict(self.safe_dict(self.exceptions, product, {}), exact_or_broad, {})

    def is_spot_url(self, client):
        return not any(route in client.url for route in ("/public/", "/market/", "/private/", "/ws-fapi/"))


class Usdm(HostNames, ccxt.binanceusdm):
    pass


class Spot(HostNames, ccxt.binance):
    pass


class ProUsdm(HostNames, ccxt.pro.binanceusdm):
    pass


class ProSpot(HostNames, ccxt.pro.binance):
    pass


@asynccontextmanager
async def venue(**options):
    """A simulator on a free loopback port: itself and what ``bootstrap`` says about it."""
    clock = SystemClock()
    sim = BinanceSimulator(clock, Chance(11), **options)
    async with serve({"binance": FaultGate(sim, Faults(), clock)}) as addresses:
        yield sim, sim.bootstrap(addresses["binance"].rest, addresses["binance"].ws)


def configure(kind, told, ed25519=False, **credentials):
    exchange = kind(
        {"options": {"defaultType": "swap" if "Usdm" in kind.__name__ else "spot", "fetchCurrencies": False}}
    )
    keys = told["credentials"]
    exchange.apiKey, exchange.secret = keys["api_key"], keys["api_secret"]
    if ed25519:
        exchange.apiKey, exchange.secret = keys["ed25519_key"], pem(keys["ed25519_seed_hex"])
    for name, value in credentials.items():
        setattr(exchange, name, value)
    rest, ws = told["rest"], told["ws"]
    for version in ("", "V2", "V3"):
        for side in ("fapiPublic", "fapiPrivate"):
            exchange.urls["api"][side + version] = f"{rest}/fapi/{version.lower() or 'v1'}"
    for side in ("public", "private"):
        exchange.urls["api"][side] = f"{rest}/api/v3"
    exchange.urls["api"]["v1"] = f"{rest}/api/v1"
    api = {"spot": f"{ws}/ws-api/v3", "future": f"{ws}/ws-fapi/v1"}
    exchange.urls["api"]["ws"] = {"spot": f"{ws}/ws", "future": f"{ws}/ws", "ws-api": api}
    exchange.options["fetchMarkets"] = {"types": ["linear" if "Usdm" in kind.__name__ else "spot"]}
    exchange.options["fetchMargins"] = False
    exchange.enableRateLimit = False
    return exchange


def pem(seed_hex):
    """PKCS#8 as ccxt wants it: head line, one line, tail line."""
    body = base64.b64encode(bytes.fromhex("302e020100300506032b657004220420" + seed_hex)).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"


async def with_ccxt(kind, body, *, ed25519=False, credentials=None, **options):
    """Run ``body(exchange)`` with the blocking ccxt in a thread of its own."""
    with anyio.fail_after(5):
        async with venue(**options) as (_, told):
            exchange = configure(kind, told, ed25519, **(credentials or {}))
            exchange.session.trust_env = False
            try:
                await anyio.to_thread.run_sync(partial(body, exchange), abandon_on_cancel=True)
            finally:
                exchange.session.close()


@asynccontextmanager
async def pro(kind, **options):
    """ccxt.pro on a simulator."""
    with anyio.fail_after(5):
        async with venue(**options) as (sim, told):
            exchange = configure(kind, told)
            try:
                yield sim, exchange
            finally:
                with anyio.CancelScope(shield=True):
                    await exchange.close()


BOTH = pytest.mark.parametrize(("kind", "market"), [(Usdm, PERP), (Spot, SPOT)], ids=["perp", "spot"])
PRO = pytest.mark.parametrize(("kind", "market"), [(ProUsdm, PERP), (ProSpot, SPOT)], ids=["perp", "spot"])


@BOTH
async def test_ccxt_loads_markets_and_reads_the_book(kind, market):
    """[client] load_markets, fetch_time, fetch_order_book, fetch_bids_asks, fetch_trades."""

    def body(ex):
        ex.load_markets()
        listed = ex.market(market)
        assert listed["precision"]["price"] == 0.01
        assert listed["precision"]["amount"] == (0.01 if market == PERP else 0.001)
        assert listed["limits"]["cost"]["min"] == 5
        book = ex.fetch_order_book(market, 5)
        assert 130 < book["bids"][0][0] < book["asks"][0][0] < 150
        top = ex.fetch_bids_asks([market])[market]
        assert top["bid"] < top["ask"]
        assert abs(ex.fetch_time() - ex.milliseconds()) < 2_000
        assert isinstance(ex.fetch_trades(market), list)

    await with_ccxt(kind, body)


@BOTH
@pytest.mark.parametrize("ed25519", [False, True], ids=["hmac", "ed25519"])
async def test_ccxt_rests_queries_and_cancels_a_post_only_order(kind, market, ed25519):
    """[client] create, fetch by both ids, open orders, cancel by client id, and what a second cancel says."""

    def body(ex):
        ex.load_markets()
        order = ex.create_order(market, "limit", "buy", 0.5, 135.55, {"postOnly": True, "clientOrderId": "1001"})
        # A maker order on spot is answered with an ACK unless more is asked for; ccxt asks for FULL.
        assert (order["status"], order["clientOrderId"], order["amount"]) == ("open", "1001", 0.5)
        found = ex.fetch_order(order["id"], market)
        assert (found["price"], found["filled"], found["postOnly"]) == (135.55, 0, True)
        by_client = ex.fetch_order(None, market, {"origClientOrderId": "1001"})
        assert by_client["id"] == order["id"]
        assert [each["id"] for each in ex.fetch_open_orders(market)] == [order["id"]]
        ended = ex.cancel_order(None, market, {"origClientOrderId": "1001"})
        assert (ended["status"], ended["id"]) == ("canceled", order["id"])
        assert ex.fetch_open_orders(market) == []
        assert ex.fetch_order(order["id"], market)["status"] == "canceled"
        with pytest.raises(ccxt.OrderNotFound):
            ex.cancel_order(order["id"], market)
        with pytest.raises(ccxt.OrderNotFound):
            ex.fetch_order("1", market)
        other = ex.create_order(market, "limit", "sell", 0.5, 143)
        ex.cancel_all_orders(market)
        assert ex.fetch_order(other["id"], market)["status"] == "canceled"

    await with_ccxt(kind, body, ed25519=ed25519)


@BOTH
async def test_ccxt_understands_the_refusals(kind, market):
    """[client] Margin, post-only, notional, tick, duplicate id and symbol become ccxt's own exceptions."""

    def body(ex):
        ex.load_markets()
        with pytest.raises(ccxt.InsufficientFunds):
            ex.create_order(market, "limit", "buy", 4000, 139)
        with pytest.raises((ccxt.OrderImmediatelyFillable, ccxt.InvalidOrder)):
            ex.create_order(market, "limit", "buy", 0.5, 145, {"postOnly": True})
        # Spot's -1013 covers every filter, and ccxt calls it BadRequest.
        with pytest.raises(ccxt.InvalidOrder if market == PERP else ccxt.BadRequest):
            ex.create_order(market, "limit", "buy", 0.01, 139)
        ex.create_order(market, "limit", "buy", 0.5, 135, {"clientOrderId": "77"})
        with pytest.raises(ccxt.InvalidOrder):
            ex.create_order(market, "limit", "buy", 0.5, 135, {"clientOrderId": "77"})
        raw = {"symbol": "SOLUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.5"}
        send = ex.fapiPrivatePostOrder if market == PERP else ex.privatePostOrder
        with pytest.raises((ccxt.InvalidOrder, ccxt.BadRequest)):
            send(raw | {"price": "135.005"})
        with pytest.raises(ccxt.BadSymbol):
            send(raw | {"price": "135", "symbol": "NOPE"})

    await with_ccxt(kind, body)


@BOTH
@pytest.mark.parametrize("credentials", [{"secret": "wrong"}, {"apiKey": "stranger"}], ids=["secret", "key"])
async def test_a_wrong_key_is_an_authentication_error(kind, market, credentials):
    """[client] -1022 and -2015."""

    def body(ex):
        with pytest.raises(ccxt.AuthenticationError):
            ex.fetch_balance()

    await with_ccxt(kind, body, credentials=credentials)


@BOTH
async def test_a_clock_that_is_off_is_refused(kind, market):
    """[client] Eleven seconds behind, against ccxt's window of ten."""

    def body(ex):
        with pytest.raises(ccxt.InvalidNonce):
            ex.fetch_balance()

    await with_ccxt(kind, body, clock_offset_ms=11_000)


async def test_ccxt_opens_and_closes_a_position_at_market():
    """[client] Market order, fetch_positions, reduce-only close, fetch_my_trades, fetch_balance."""

    def body(ex):
        ex.load_markets()
        with pytest.raises(ccxt.InvalidOrder):
            ex.create_order(PERP, "market", "sell", 0.5, None, {"reduceOnly": True})
        opened = ex.create_order(PERP, "market", "buy", 0.5)
        assert (opened["status"], opened["filled"]) == ("closed", 0.5)
        (held,) = ex.fetch_positions()
        assert (held["symbol"], held["side"], float(held["contracts"])) == (PERP, "long", 0.5)
        closed = ex.create_order(PERP, "market", "sell", 0.5, None, {"reduceOnly": True})
        assert (closed["status"], closed["reduceOnly"]) == ("closed", True)
        assert ex.fetch_positions() == []
        trades = ex.fetch_my_trades(PERP)
        assert {trade["side"] for trade in trades} == {"buy", "sell"}
        assert {trade["fee"]["currency"] for trade in trades} == {"USDT"}
        assert {trade["order"] for trade in trades} == {opened["id"], closed["id"]}
        paid = sum(Decimal(str(trade["fee"]["cost"])) for trade in trades)
        cost = {side: sum(Decimal(str(t["cost"])) for t in trades if t["side"] == side) for side in ("buy", "sell")}
        expected = Decimal(10_000) + cost["sell"] - cost["buy"] - paid
        assert abs(Decimal(str(ex.fetch_balance()["USDT"]["total"])) - expected) < Decimal("0.000001")

    await with_ccxt(Usdm, body)


async def test_ccxt_buys_spot_and_pays_the_fee_in_the_coin():
    """[client] The fills come with the answer; fee in SOL; free and locked balance."""

    def body(ex):
        ex.load_markets()
        order = ex.create_order(SPOT, "market", "buy", 0.1)
        assert (order["status"], order["filled"]) == ("closed", 0.1)
        assert order["trades"][0]["fee"] == {"currency": "SOL", "cost": 0.0001}
        assert len(ex.fetch_my_trades(SPOT)) == len(order["trades"])
        ex.create_order(SPOT, "limit", "sell", 4, 143)
        balance = ex.fetch_balance()
        assert (balance["SOL"]["free"], balance["SOL"]["used"]) == (6.0999, 4)

    await with_ccxt(Spot, body)


@PRO
async def test_ccxt_pro_watches_its_orders_while_it_trades_over_rest_and_websocket(kind, market):
    """[client] watch_orders sees an order rest and go, and one that came over the WebSocket API."""
    async with pro(kind) as (_, ex):
        await ex.load_markets()
        states = {}

        async def orders():
            while True:
                for order in await ex.watch_orders():
                    states.setdefault(order["clientOrderId"], []).append((order["status"], order["id"]))

        async with anyio.create_task_group() as watching:
            watching.start_soon(orders)
            await anyio.sleep(0.3)
            first = await ex.create_order(market, "limit", "buy", 0.5, 135, {"clientOrderId": "5"})
            await ex.cancel_order(first["id"], market)
            second = await ex.create_order_ws(
                market, "limit", "buy", 0.5, 135, {"clientOrderId": "6", "postOnly": True}
            )
            assert (second["status"], second["clientOrderId"]) == ("open", "6")
            gone = await ex.cancel_order_ws(second["id"], market)
            assert gone["status"] == "canceled"
            third = await ex.create_order_ws(market, "market", "buy", 0.5, None, {"clientOrderId": "7"})
            while not all(states.get(name, [("", "")])[-1][0] in ("canceled", "closed") for name in "567"):
                await anyio.sleep(0.02)
            watching.cancel_scope.cancel()
    assert {name: seen[-1] for name, seen in states.items() if name in "567"} == {
        "5": ("canceled", first["id"]),
        "6": ("canceled", second["id"]),
        "7": ("closed", third["id"]),
    }


async def test_ccxt_pro_watches_positions_balance_and_own_trades():
    """[client] One listen key for all watchers; a position opens and is flat again."""
    async with pro(ProUsdm) as (_, ex):
        await ex.load_markets()
        sizes, coins, trades = [], [], []

        async def positions():
            while True:
                sizes.extend(float(each["contracts"]) for each in await ex.watch_positions([PERP]))

        async def balance():
            while True:
                coins.append((await ex.watch_balance())["USDT"])

        async def own():
            while True:
                trades.extend(await ex.watch_my_trades(PERP))

        async with anyio.create_task_group() as watching:
            for watcher in (positions, balance, own):
                watching.start_soon(watcher)
            await anyio.sleep(0.4)
            await ex.create_order(PERP, "market", "sell", 0.5)
            await ex.create_order(PERP, "market", "buy", 0.5, None, {"reduceOnly": True})
            while sizes[-1:] != [0.0] or len(trades) < 2 or not coins:
                await anyio.sleep(0.02)
            watching.cancel_scope.cancel()
    assert 0.5 in sizes
    assert {trade["side"] for trade in trades} == {"buy", "sell"}


async def test_ccxt_pro_watches_the_spot_balance():
    """[client] outboundAccountPosition over the WebSocket API."""
    async with pro(ProSpot) as (_, ex):
        await ex.load_markets()
        async with anyio.create_task_group() as watching:
            seen = []

            async def balance():
                while True:
                    seen.append((await ex.watch_balance())["SOL"]["total"])

            watching.start_soon(balance)
            await anyio.sleep(0.3)
            await ex.create_order(SPOT, "market", "buy", 0.1)
            while not any(total == 10.0999 for total in seen):
                await anyio.sleep(0.02)
            watching.cancel_scope.cancel()


@PRO
async def test_ccxt_pro_follows_the_books(kind, market):
    """[client] watch_bids_asks and watch_order_book on a lively market; the book has the venue's own best prices."""
    async with pro(kind, speed=20.0) as (sim, ex):
        await ex.load_markets()
        top = await ex.watch_bids_asks([market])
        assert top[market]["bid"] < top[market]["ask"]
        for _ in range(5):
            book = await ex.watch_order_book(market)
            assert book["bids"][0][0] < book["asks"][0][0]
        symbol = "SOLUSDT_PERP" if market == PERP else "SOLUSDT"
        live, listing = sim.engine.books[symbol], sim.engine.listings[symbol]
        while book["nonce"] != live.update_id:
            book = await ex.watch_order_book(market)
        prices = [float(listing.price(each)) for each in live.bids.prices()]
        assert [price for price, _ in book["bids"]] == prices[: len(book["bids"])]
