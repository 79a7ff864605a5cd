"""
Binance's official SDKs (binance-sdk-spot 8.4.0, binance-sdk-derivatives-trading-usds-futures 10.2.0), unmodified,
trade on our simulator over real sockets: only their URLs are set.
"""

import asyncio
import base64
from contextlib import asynccontextmanager
from functools import partial

import anyio
import anyio.to_thread
import pytest

from core.chance import Chance
from core.clock import SystemClock
from venues.binance.simulator import BinanceSimulator
from venues.simulation.faults import Faults
from venues.simulation.gate import FaultGate
from venues.simulation.server import serve

futures_sdk = pytest.importorskip("binance_sdk_derivatives_trading_usds_futures", reason="the Binance SDKs are extras")
spot_sdk = pytest.importorskip("binance_sdk_spot", reason="the Binance SDKs are extras")

from binance_common.configuration import (  # noqa: E402
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_common.errors import BadRequestError, UnauthorizedError  # noqa: E402
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import (  # noqa: E402
    DerivativesTradingUsdsFutures,
)
from binance_sdk_spot.spot import Spot  # noqa: E402

pytestmark = [
    pytest.mark.sockets,
    # The SDK's models carry the class-based configuration of pydantic 1, and it leaves its sockets to the collector.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pydantic.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:binance.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:websockets.*"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]


@asynccontextmanager
async def venue(**options):
    """A simulator on a free loopback port: itself and what ``bootstrap`` says about it."""
    clock = SystemClock()
    sim = BinanceSimulator(clock, Chance(11), **options)
    async with serve({"binance": FaultGate(sim, Faults(), clock)}) as addresses:
        yield sim, sim.bootstrap(addresses["binance"].rest, addresses["binance"].ws)


def pem(seed_hex):
    body = base64.b64encode(bytes.fromhex("302e020100300506032b657004220420" + seed_hex)).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"


def keys(told, ed25519=False):
    known = told["credentials"]
    if ed25519:
        return {"api_key": known["ed25519_key"], "private_key": pem(known["ed25519_seed_hex"])}
    return {"api_key": known["api_key"], "api_secret": known["api_secret"]}


def futures_client(told, **more):
    rest = ConfigurationRestAPI(**keys(told, **more), base_path=told["rest"], retries=0)
    api = ConfigurationWebSocketAPI(**keys(told, **more), stream_url=told["ws"] + "/ws-fapi/v1")
    streams = ConfigurationWebSocketStreams(stream_url=told["ws"])
    return DerivativesTradingUsdsFutures(rest, api, streams)


def spot_client(told, **more):
    rest = ConfigurationRestAPI(**keys(told, **more), base_path=told["rest"], retries=0)
    api = ConfigurationWebSocketAPI(**keys(told, **more), stream_url=told["ws"] + "/ws-api/v3")
    streams = ConfigurationWebSocketStreams(stream_url=told["ws"])
    return Spot(rest, api, streams)


async def in_thread(make, body, *, ed25519=False, **options):
    """Run ``body(client.rest_api)``; the REST side of the SDK blocks."""
    with anyio.fail_after(5):
        async with venue(**options) as (_, told):
            client = make(told, ed25519=ed25519)
            await anyio.to_thread.run_sync(partial(body, client.rest_api), abandon_on_cancel=True)


KEYS = pytest.mark.parametrize("ed25519", [False, True], ids=["hmac", "ed25519"])


@KEYS
async def test_the_futures_sdk_trades_over_rest(ed25519):
    """[client] Markets, book, a post-only order by client id, a round trip at market, account and countdown."""

    def body(api):
        listed = {row.symbol: row for row in api.exchange_information().data().symbols}
        assert set(listed) == {"SOLUSDT", "BTCUSDT", "ETHUSDT"}
        top = api.symbol_order_book_ticker(symbol="SOLUSDT").data().actual_instance
        resting = {"symbol": "SOLUSDT", "side": "BUY", "type": "LIMIT", "time_in_force": "GTX", "quantity": 0.5}
        placed = api.new_order(**resting, price=135.5, new_client_order_id="1001").data()
        assert (placed.status, placed.client_order_id, placed.orig_qty) == ("NEW", "1001", "0.50")
        asked = api.query_order(symbol="SOLUSDT", orig_client_order_id="1001").data()
        assert (asked.order_id, asked.avg_price) == (placed.order_id, "0.0000")
        ended = api.cancel_order(symbol="SOLUSDT", orig_client_order_id="1001").data()
        assert ended.status == "CANCELED"
        with pytest.raises(BadRequestError, match="Unknown order sent"):
            api.cancel_order(symbol="SOLUSDT", orig_client_order_id="1001")
        with pytest.raises(BadRequestError, match="Post Only"):
            api.new_order(**resting, price=145.0)
        bought = api.new_order("SOLUSDT", "BUY", "MARKET", quantity=0.5, new_order_resp_type="RESULT").data()
        assert (bought.status, bought.executed_qty) == ("FILLED", "0.50")
        (held,) = api.position_information_v3(symbol="SOLUSDT").data()
        assert float(held.position_amt) == 0.5
        assert float(api.account_information_v3().data().total_margin_balance) < 10_000
        api.new_order("SOLUSDT", "SELL", "MARKET", quantity=0.5, reduce_only="true")
        assert api.position_information_v3(symbol="SOLUSDT").data() == []
        trades = api.account_trade_list(symbol="SOLUSDT").data()
        assert {trade.side for trade in trades} == {"BUY", "SELL"}
        assert api.auto_cancel_all_open_orders("SOLUSDT", 120_000).data().countdown_time == "120000"
        assert api.futures_account_balance_v3().data()[0].asset == "USDT"
        assert float(top.bid_price) < float(top.ask_price)

    await in_thread(futures_client, body, ed25519=ed25519)


@KEYS
async def test_the_spot_sdk_trades_over_rest(ed25519):
    """[client] Markets, book, a maker order by client id, a market order with its fills, balances."""

    def body(api):
        (row,) = api.exchange_info(symbol="SOLUSDT").data().symbols
        assert row.base_asset == "SOL"
        placed = api.new_order(
            *("SOLUSDT", "BUY", "LIMIT_MAKER"),
            quantity=0.5,
            price=135.5,
            new_client_order_id="1001",
            new_order_resp_type="FULL",
        ).data()
        assert (placed.status, placed.client_order_id, placed.orig_qty) == ("NEW", "1001", "0.50000000")
        ended = api.delete_order("SOLUSDT", orig_client_order_id="1001").data()
        assert (ended.status, ended.orig_client_order_id) == ("CANCELED", "1001")
        assert ended.client_order_id != "1001"
        with pytest.raises(BadRequestError, match="Unknown order sent"):
            api.delete_order("SOLUSDT", orig_client_order_id="1001")
        bought = api.new_order("SOLUSDT", "BUY", "MARKET", quantity=0.1).data()
        assert (bought.status, bought.fills[0].commission_asset) == ("FILLED", "SOL")
        coins = {row.asset: row.free for row in api.get_account(omit_zero_balances=True).data().balances}
        assert coins["SOL"] == "10.09990000"

    await in_thread(spot_client, body, ed25519=ed25519)


async def test_a_key_that_the_venue_does_not_know_is_unauthorized():
    """[client] 401 with -2015."""

    with anyio.fail_after(5):
        async with venue() as (_, told):
            told["credentials"]["api_key"] = "stranger"
            client = futures_client(told)
            with pytest.raises(UnauthorizedError, match="Invalid API-key"):
                await anyio.to_thread.run_sync(client.rest_api.account_information_v3, abandon_on_cancel=True)


async def until(done):
    while not done():
        await asyncio.sleep(0.02)


async def test_the_futures_sdk_listens_and_trades_over_websockets():
    """[client] Book and account on routed streams, orders over ws-fapi, a refusal as a dict."""
    with anyio.fail_after(5):
        async with venue(speed=10.0) as (_, told):
            client = futures_client(told)
            started = await anyio.to_thread.run_sync(client.rest_api.start_user_data_stream)
            key = started.data().listen_key
            streams = await client.websocket_streams.create_connection()
            api = await client.websocket_api.create_connection()
            try:
                books, events = [], []
                ticker = await streams.individual_symbol_book_ticker_streams(symbol="solusdt")
                ticker.on("message", books.append)
                account = await streams.user_data(key)
                account.on("message", events.append)
                placed = await api.new_order("SOLUSDT", "BUY", "LIMIT", time_in_force="GTX", quantity=0.5, price=135.5)
                order = placed.data().result
                assert order.status == "NEW"
                ended = await api.cancel_order("SOLUSDT", order_id=order.order_id)
                assert ended.data().result.status == "CANCELED"
                refused = await api.cancel_order("SOLUSDT", order_id=order.order_id)
                assert "-2011" in str(refused.data())
                await until(lambda: books and len(events) >= 2)
                assert "CANCELED" in str(events)
            finally:
                await streams.close_connection(close_session=True)
                await api.close_connection(close_session=True)


async def test_the_spot_sdk_logs_on_and_trades_over_its_websocket():
    """[client] session.logon with Ed25519, then orders and the account's events with neither key nor signature."""
    with anyio.fail_after(5):
        async with venue() as (_, told):
            client = spot_client(told, ed25519=True)
            api = await client.websocket_api.create_connection()
            try:
                logged_on = await api.session_logon()
                assert logged_on.data().result.api_key == told["credentials"]["ed25519_key"]
                account = await api.user_data_stream_subscribe()
                events = []
                account.stream.on("message", events.append)
                placed = await api.order_place("SOLUSDT", "BUY", "LIMIT_MAKER", quantity=0.5, price=135.5)
                ended = await api.order_cancel("SOLUSDT", order_id=placed.data().result.order_id)
                assert ended.data().result.status == "CANCELED"
                await until(lambda: "CANCELED" in str(events))
            finally:
                await api.close_connection(close_session=True)
