"""
bpx-py, the community's client of Backpack, unmodified, trades on the simulator over real sockets: only its two base
addresses are set. It is REST only, and it never raises: a refusal is the venue's own JSON.
"""

import base64
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial

import anyio
import anyio.to_thread
import pytest

from core.chance import Chance
from core.clock import SystemClock
from venues.backpack.simulator import BackpackSimulator
from venues.simulation.faults import Faults
from venues.simulation.gate import FaultGate
from venues.simulation.server import serve

pytest.importorskip("bpx", reason="the extra sdk is not installed")

from bpx.account import Account
from bpx.base.base_account import BaseAccount
from bpx.base.base_public import BasePublic
from bpx.constants.enums import OrderTypeEnum, TimeInForceEnum
from bpx.public import Public

pytestmark = pytest.mark.sockets

PERP, SPOT = "SOL_USDC_PERP", "SOL_USDC"
LIMIT, MARKET = OrderTypeEnum.LIMIT, OrderTypeEnum.MARKET
NOT_FOUND = {"code": "INVALID_CLIENT_REQUEST", "message": "Order not found"}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """It asks through requests, which reads proxies from the environment."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@asynccontextmanager
async def venue(monkeypatch, **options):
    """A simulator on a free loopback port: what ``bootstrap`` says about it."""
    clock = SystemClock()
    sim = BackpackSimulator(clock, Chance(13), **options)
    async with serve({"backpack": FaultGate(sim, Faults(), clock)}) as addresses:
        told = sim.bootstrap(addresses["backpack"].rest, addresses["backpack"].ws)
        # Both must end in a slash (sheet, Endpoints).
        monkeypatch.setattr(BaseAccount, "BPX_API_URL", told["rest"] + "/")
        monkeypatch.setattr(BasePublic, "BASE_URL", told["rest"] + "/")
        yield told


async def with_sdk(monkeypatch, body, *, secret=None, **options):
    """Run ``body(public, account)`` with the blocking clients in a thread of their own."""
    with anyio.fail_after(5):
        async with venue(monkeypatch, **options) as told:
            keys = told["credentials"]
            account = Account(keys["api_key"], secret or keys["api_secret"])
            await anyio.to_thread.run_sync(partial(body, Public(), account), abandon_on_cancel=True)


async def test_bpx_reads_markets_books_and_time(monkeypatch):
    """[client] markets, depth, ticker, trades, status, time and the text of ping."""

    def body(public, account):
        rows = {row["symbol"]: row for row in public.get_markets()}
        assert (rows[PERP]["marketType"], rows[SPOT]["marketType"]) == ("PERP", "SPOT")
        assert rows[PERP]["filters"]["price"]["tickSize"] == "0.01"
        assert rows[PERP]["filters"]["quantity"]["minQuantity"] == "0.01"
        assert {"SOL", "USDC"} <= {row["symbol"] for row in public.get_assets()}
        depth = public.get_depth(PERP)
        # Bids ascend here, so the best one is last.
        assert Decimal(depth["bids"][-1][0]) < Decimal(depth["asks"][0][0])
        done = account.execute_order(PERP, "Bid", MARKET, quantity="0.05")
        (trade,) = public.get_recent_trades(PERP, limit=1)
        assert (trade["quantity"], done["executedQuantity"]) == ("0.05", "0.05")
        assert public.get_ticker(PERP)["lastPrice"] == trade["price"]
        assert public.get_status()["status"] == "Ok"
        assert public.get_ping() == "pong"
        assert len(str(public.get_time())) == 13

    await with_sdk(monkeypatch, body)


async def test_bpx_rests_finds_and_cancels_by_client_id(monkeypatch):
    """[client] A post-only limit order: query and open orders name it; its cancel carries the id as text."""

    def body(public, account):
        placed = account.execute_order(
            PERP, "Bid", LIMIT, TimeInForceEnum.GTC, quantity="0.05", price="135", client_id=1001, post_only=True
        )
        assert (placed["status"], placed["clientId"], placed["postOnly"]) == ("New", 1001, True)
        found = account.get_open_order(PERP, client_id=1001)
        assert (found["id"], found["price"], found["executedQuantity"]) == (placed["id"], "135", "0")
        assert account.get_open_order(PERP, order_id=placed["id"]) == found
        assert account.get_open_orders(symbol=PERP) == [found]
        assert account.get_open_orders(symbol=SPOT) == []
        cancelled = account.cancel_order(PERP, client_id=1001)
        assert (cancelled["id"], cancelled["status"]) == (placed["id"], "Cancelled")
        assert account.cancel_order(PERP, client_id=1001) == NOT_FOUND
        assert account.get_open_order(PERP, client_id=1001)["code"] == "RESOURCE_NOT_FOUND"
        (past,) = account.get_order_history(symbol=PERP)
        assert (past["id"], past["status"], past["clientId"]) == (placed["id"], "Cancelled", 1001)

    await with_sdk(monkeypatch, body)


async def test_bpx_cancels_every_order_of_a_market(monkeypatch):
    """[client] cancel_all_orders leaves the other market's order alone."""

    def body(public, account):
        for number, (symbol, side, price) in enumerate(
            [(PERP, "Ask", "145"), (PERP, "Bid", "134"), (SPOT, "Bid", "138")]
        ):
            account.execute_order(symbol, side, LIMIT, "GTC", quantity="0.05", price=price, client_id=number + 1)
        gone = account.cancel_all_orders(PERP)
        assert sorted(row["clientId"] for row in gone) == [1, 2]
        assert [row["clientId"] for row in account.get_open_orders()] == [3]

    await with_sdk(monkeypatch, body)


async def test_bpx_opens_and_closes_a_position_at_market(monkeypatch):
    """[client] Fills, positions, collateral and balances agree with the two answers, to the last digit."""

    def body(public, account):
        before = account.get_collateral()
        opened = account.execute_order(PERP, "Bid", MARKET, quantity="0.05", client_id=7)
        assert (opened["status"], opened["executedQuantity"], opened["clientId"]) == ("Filled", "0.05", 7)
        (held,) = account.get_open_positions()
        assert (held["symbol"], Decimal(held["netQuantity"])) == (PERP, Decimal("0.05"))
        charged = account.get_collateral()
        assert Decimal(charged["netEquityAvailable"]) < Decimal(before["netEquityAvailable"])
        closed = account.execute_order(PERP, "Ask", MARKET, quantity="0.05", reduce_only=True)
        assert (closed["status"], closed["reduceOnly"]) == ("Filled", True)
        assert account.get_open_positions() == []
        fills = account.get_fill_history(symbol=PERP)
        assert [fill["side"] for fill in fills if fill["orderId"] == opened["id"]] == ["Bid"]
        assert sum(Decimal(fill["quantity"]) for fill in fills) == Decimal("0.10")
        paid = sum(Decimal(fill["fee"]) for fill in fills)
        assert (paid > 0, {fill["feeSymbol"] for fill in fills}) == (True, {"USDC"})
        earned = Decimal(closed["executedQuoteQuantity"]) - Decimal(opened["executedQuoteQuantity"])
        assert Decimal(account.get_balances()["USDC"]["available"]) == 10_000 + earned - paid

    await with_sdk(monkeypatch, body)


async def test_bpx_buys_spot_for_a_sum_of_money(monkeypatch):
    """[client] quote_quantity; the fee is taken from the coin."""

    def body(public, account):
        bought = account.execute_order(SPOT, "Bid", MARKET, quote_quantity="15")
        assert (bought["status"], bought["executedQuantity"]) == ("Filled", "0.1")
        (fill,) = account.get_fill_history(symbol=SPOT)
        assert fill["feeSymbol"] == "SOL"
        arrived = Decimal(10) + Decimal(fill["quantity"]) - Decimal(fill["fee"])
        assert Decimal(account.get_balances()["SOL"]["available"]) == arrived
        assert account.get_open_positions() == []

    await with_sdk(monkeypatch, body)


async def test_bpx_reads_and_sets_the_account(monkeypatch):
    """[client] account; update_account answers without a body."""

    def body(public, account):
        assert account.get_account()["leverageLimit"] == "10"
        assert account.update_account(leverage_limit="5") == ""
        assert account.get_account()["leverageLimit"] == "5"

    await with_sdk(monkeypatch, body)


async def test_bpx_is_told_each_refusal_in_the_venues_words(monkeypatch):
    """[client] A crossing post-only, an order too large, a reduce-only without a position; nothing stays open."""

    def body(public, account):
        def refused(side, price, **more):
            answer = account.execute_order(PERP, side, LIMIT, "GTC", price=price, **more)
            return answer["code"], answer["message"]

        code, words = refused("Bid", "142", quantity="0.05", post_only=True)
        assert (code, "immediately match" in words) == ("INVALID_ORDER", True)
        assert refused("Bid", "139", quantity="5000")[0].startswith("INSUFFICIENT_")
        code, words = refused("Ask", "142", quantity="0.05", reduce_only=True)
        assert (code, "Reduce only" in words) == ("INVALID_ORDER", True)
        assert account.get_open_orders() == []

    await with_sdk(monkeypatch, body)


async def test_a_wrong_secret_of_bpx_is_refused(monkeypatch):
    """[client] The key is known, the signature is not its own."""

    def body(public, account):
        answer = account.get_balances()
        assert (answer["code"], answer["message"]) == ("INVALID_CLIENT_REQUEST", "Invalid signature")

    await with_sdk(monkeypatch, body, secret=base64.b64encode(b"x" * 32).decode())


async def test_a_clock_of_bpx_that_is_off_is_refused(monkeypatch):
    """[client] Six seconds of skew against a window of five."""

    def body(public, account):
        assert "expired" in account.get_balances()["message"]

    await with_sdk(monkeypatch, body, clock_offset_ms=6_000)
