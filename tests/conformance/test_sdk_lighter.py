"""
The venue's own SDK (lighter-sdk 1.1.0, with its native signer) trades on the Lighter simulator over real sockets. It
guesses the chain id from the host's name and has no argument for it, so the attribute is set: the one shim.
"""

import json
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
import pytest
from anyio.from_thread import start_blocking_portal

from core.chance import Chance
from core.clock import SystemClock
from venues.lighter.sign import Signer
from venues.lighter.simulator import LighterSimulator
from venues.simulation.faults import Faults
from venues.simulation.gate import FaultGate
from venues.simulation.server import serve

lighter = pytest.importorskip("lighter", reason="lighter-sdk is not installed")

pytestmark = [
    pytest.mark.sockets,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20"),
]

SOL, ETH_SPOT = 2, 2048


@asynccontextmanager
async def trader(**options):
    """A simulator, its credentials, and the SDK's client on it."""
    clock = SystemClock()
    sim = LighterSimulator(clock, Chance(12), **options)
    # The SDK's constructor asks for the nonce by a blocking request, so the venue lives in a thread of its own.
    with anyio.fail_after(5), start_blocking_portal() as portal:
        served = portal.wrap_async_context_manager(serve({"lighter": FaultGate(sim, Faults(), clock)}))
        with served as addresses:
            told = sim.bootstrap(addresses["lighter"].rest, addresses["lighter"].ws)
            keys = told["credentials"]
            client = lighter.SignerClient(
                told["rest"], keys["account_index"], {keys["api_key_index"]: keys["private_key"]}
            )
            client.chain_id = keys["chain_id"]
            client.create_client(keys["api_key_index"])
            try:
                yield sim, told, client
            finally:
                await client.close()


async def place(client, price, *, is_ask=False, tif=2, client_id=1001, kind=0, amount=140, **more):
    """``(tx, response, error)`` of the SDK's create_order."""
    return await client.create_order(SOL, client_id, amount, price, is_ask, kind, tif, **more)


async def test_the_sdks_own_check_of_the_key_passes():
    """[client] check_client: the native library reads apikeys by itself and compares."""
    async with trader() as (_, _, client):
        assert await anyio.to_thread.run_sync(client.check_client) is None


async def test_the_sdk_rests_queries_and_cancels_orders():
    """[client] create_order post-only, accountActiveOrders, accountOrders by client id, cancel by client id."""
    async with trader() as (_, told, client):
        account = told["credentials"]["account_index"]
        _, response, error = await place(client, 135_000)
        assert (error, response.code, len(response.tx_hash)) == (None, 200, 80)
        token, error = client.create_auth_token_with_expiry(600)
        assert error is None
        active = await client.order_api.account_active_orders(account_index=account, market_id=SOL, authorization=token)
        (order,) = active.orders
        assert (order.client_order_index, order.price, order.initial_base_amount) == (1001, "135.000", "0.140")
        assert (order.status, order.time_in_force, order.is_ask) == ("open", "post-only", False)
        _, response, error = await client.cancel_order(SOL, 1001)
        assert (error, response.code) == (None, 200)
        assert (
            await client.order_api.account_active_orders(account_index=account, market_id=SOL, authorization=token)
        ).orders == []
        ended = await client.order_api.account_inactive_orders(account_index=account, limit=100, authorization=token)
        assert [each.status for each in ended.orders] == ["canceled"]


async def test_the_sdk_modifies_an_order_and_cancels_all():
    """[client] modify keeps the index; cancel_all now, scheduled and taken back; leverage; a batch."""
    async with trader() as (sim, _, client):
        await place(client, 135_000)
        index = next(iter(sim.engine.orders))
        _, response, error = await client.modify_order(SOL, 1001, 150, 136_000)
        assert (error, response.code) == (None, 200)
        (order,) = sim.engine.open_orders("main")
        assert (sim._rows.order(order)["order_index"], order.price_i, order.size_i) == (index, 136_000, 150)
        scheduled = sim.now_ms() + 400_000
        for tif, moment in ((1, scheduled), (2, 0), (0, 0)):
            _, response, error = await client.cancel_all_orders(tif, moment)
            assert (error, response.code) == (None, 200)
            assert sim._rows.cancel_all_ms == (moment if tif == 1 else 0)
        assert sim.engine.open_orders("main") == []
        _, response, error = await client.update_leverage(SOL, client.CROSS_MARGIN_MODE, 5)
        assert (error, response.code, sim._rows.fractions) == (None, 200, {SOL: 2000})
        kinds, infos = [], []
        for number in (1, 2):
            key, nonce = client.nonce_manager.next_nonce()
            kind, info, _, error = client.sign_create_order(
                SOL, number, 140, 135_000 + number, 0, 0, 2, nonce=nonce, api_key_index=key
            )
            assert error is None
            kinds.append(kind)
            infos.append(info)
        batch = await client.send_tx_batch(kinds, infos)
        assert (batch.code, len(batch.tx_hash)) == (200, 2)
        assert len(sim.engine.open_orders("main")) == 2


async def test_the_sdk_opens_and_closes_a_position():
    """[client] Market orders with a worst price, account positions and trades; the second one reduce-only."""
    async with trader() as (_, told, client):
        account = told["credentials"]["account_index"]
        _, _, error = await client.create_market_order(SOL, 11, 140, 145_000, False)
        assert error is None
        api = lighter.AccountApi(client.api_client)
        (row,) = (await api.account(by="index", value=str(account))).accounts
        (held,) = row.positions
        assert (held.symbol, held.sign, held.position) == ("SOL", 1, "0.140")
        _, _, error = await client.create_market_order(SOL, 12, 140, 135_000, True, reduce_only=True)
        assert error is None
        (row,) = (await api.account(by="index", value=str(account))).accounts
        assert [each.position for each in row.positions] == ["0.000"]
        token, _ = client.create_auth_token_with_expiry(600)
        trades = (await client.order_api.trades("timestamp", 100, account_index=account, authorization=token)).trades
        assert {
            trade.ask_client_id if trade.ask_account_id == account else trade.bid_client_id for trade in trades
        } == {
            11,
            12,
        }


async def test_the_sdk_reads_the_markets():
    """[client] order_book_details, order_books, order_book_orders, next_nonce, status."""
    async with trader() as (_, told, client):
        keys = told["credentials"]
        details = await client.order_api.order_book_details()
        assert [(row.symbol, row.market_id) for row in details.order_book_details] == [
            ("ETH", 0),
            ("BTC", 1),
            ("SOL", 2),
        ]
        assert len((await client.order_api.order_books()).order_books) == 4
        book = await client.order_api.order_book_orders(SOL, 5)
        assert float(book.bids[0].price) < float(book.asks[0].price)
        nonce = await client.tx_api.next_nonce(keys["account_index"], keys["api_key_index"])
        assert nonce.nonce > 0
        assert (await lighter.RootApi(client.api_client).status()).status == 200


async def test_the_sdk_hears_our_refusals():
    """[client] HTTP 400 with the venue's code becomes the third value, and the nonce is used again."""
    async with trader() as (sim, _, client):
        before = dict(sim._nonces)
        for price, amount, code in ((135_000, 10, "21706"), (20_000, 1_000, "21734"), (135_000, 2**47, "21739")):
            _, _, error = await place(client, price, amount=amount)
            assert code in error
        assert sim._nonces == before
        _, response, error = await place(client, 135_000)
        assert (error, response.code) == (None, 200)
        _, _, error = await place(client, 135_000)
        assert "21728" in error


async def test_the_native_signer_and_ours_make_the_same_hash():
    """[ours] Same fields, nonce and expiry: one tx_hash, and the venue's verifier takes both signatures."""
    async with trader() as (_, told, client):
        keys = told["credentials"]
        ours = Signer(keys["private_key"], keys["account_index"], keys["api_key_index"], keys["chain_id"])
        for nonce in (5, 6):
            kind, info, tx_hash, error = client.sign_cancel_order(
                SOL, 1001, nonce=nonce, api_key_index=keys["api_key_index"]
            )
            assert error is None
            theirs = json.loads(info)
            signed = ours.transaction(kind, theirs, nonce=nonce, expired_at=theirs["ExpiredAt"])
            assert signed.hash == tx_hash
            assert json.loads(signed.info) | {"Sig": ""} == theirs | {"Sig": ""}


async def test_the_sdks_stream_client_follows_a_book_and_the_account():
    """[client] WsClient waits for the greeting, then takes order_book and account_all without a token."""
    async with trader(speed=20.0) as (_, told, client):
        heard = {"book": [], "account": []}
        stream = lighter.WsClient(
            host="unused",
            order_book_ids=[SOL],
            account_ids=[told["credentials"]["account_index"]],
            on_order_book_update=lambda market, state: heard["book"].append((market, len(state["asks"]))),
            on_account_update=lambda account, state: heard["account"].append(state["type"]),
        )
        stream.base_url = told["ws"]
        async with anyio.create_task_group() as following:
            following.start_soon(stream.run_async)
            while len(heard["book"]) < 3 or not heard["account"]:
                await anyio.sleep(0.02)
            await client.create_market_order(SOL, 11, 140, 145_000, False)
            while "update/account_all" not in heard["account"]:
                await anyio.sleep(0.02)
            following.cancel_scope.cancel()
        assert heard["account"][0] == "subscribed/account_all"
        assert heard["book"][0][0] == str(SOL)
