"""The room's dialect in the one connector against its simulator, in memory: what neither proves alone."""

from contextlib import asynccontextmanager
from decimal import Decimal

import anyio
import pytest

from core.chance import Chance
from core.clock import VirtualClock, run_virtual
from venues.connector import Connector
from venues.errors import LocalRuleError, Refused
from venues.events import FillSeen, OrderSeen, PositionSeen, Source, Status
from venues.okx import endpoints, make_dialect
from venues.okx.simulator import Choices, OkxSimulator
from venues.simulation.faults import Faults
from venues.simulation.gate import FaultGate
from venues.simulation.memory import MemoryWire

BTC, ETH, SPOT = "BTC-USDT-SWAP", "ETH-USDT-SWAP", "SOL-USDT"


class Kinds(FaultGate):
    """A gate that keeps what came over HTTP and what over streams."""

    def __init__(self, *given):
        super().__init__(*given)
        self.http_kinds, self.text_kinds = [], []

    async def http(self, request):
        self.http_kinds.append(self.app.http_kind(request))
        return await super().http(request)

    def text(self, stream, text):
        self.text_kinds.append(self.app.text_kind(text))
        super().text(stream, text)


@asynccontextmanager
async def whole(symbol=BTC, *, start=True, faults=(), **choices):
    clock = VirtualClock()
    rules = Faults.load(list(faults))
    sim = OkxSimulator(clock, Chance(5), rules, choices=Choices(**choices))
    gate = Kinds(sim, rules, clock)
    wire = MemoryWire({"okx": gate}, clock, Chance(6))
    told = sim.bootstrap("memory://okx", "memory://okx")
    places = endpoints("sim", told)
    connector = Connector(make_dialect(told["credentials"], places), places, wire, clock, Chance(7))
    heard = []
    connector.subscribe(heard.append)
    async with anyio.create_task_group() as beside:
        beside.start_soon(wire.drive)
        try:
            await connector.watch(symbol)
            if start:
                await connector.start()
            yield connector, sim, gate, heard
        finally:
            await connector.stop()
            beside.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("symbol", "size_i", "coins", "sz"),
    [(BTC, 25, "0.0025", "0.25"), (ETH, 37, "0.037", "0.37"), (BTC, 1, "0.0001", "0.01")],
)
def test_coins_go_out_as_contracts_and_come_back_as_coins(symbol, size_i, coins, sz):
    """[venue] Order, trade, position over REST and stream, and the simulator's own books agree."""

    async def main():
        async with whole(symbol) as (connector, sim, gate, heard):
            await connector.submit_market_order(symbol=symbol, client_order_index=1, size_i=size_i, is_ask=False)
            await anyio.sleep(0.2)
            fills = [event for event in heard if isinstance(event, FillSeen)]
            assert sum(fill.size_i for fill in fills) == size_i
            assert [event.status for event in heard if isinstance(event, OrderSeen)][-2:] == [
                Status.FILLED,
                Status.OPEN,
            ]
            (held,) = await connector.get_positions()
            pushed = [event for event in heard if isinstance(event, PositionSeen)][-1]
            assert held.quantity == pushed.quantity == Decimal(coins)
            assert sim._rows.position(symbol, 0)["pos"] == sz
            assert sum(
                (sim.engine.listings[symbol].size(fill.size_i) for fill in sim.engine.fills), Decimal(0)
            ) == Decimal(coins)
            assert await connector.get_order_fills(symbol, 1) != ()
            assert ("place" in gate.text_kinds, "place" in gate.http_kinds) == (True, False)

    run_virtual(main())


def test_an_account_in_long_short_mode_does_not_start():
    """[venue] ACCOUNT_MODE, before anything was sent that trades."""

    async def main():
        async with whole(start=False, position_mode="long_short_mode") as (connector, _, gate, _):
            with pytest.raises(Refused) as told:
                await connector.start()
            assert told.value.code == "ACCOUNT_MODE"
            assert "place" not in gate.http_kinds + gate.text_kinds

    run_virtual(main())


def test_an_account_in_spot_mode_plays_spot_and_no_perps():
    """[venue] acctLv 1: cash for spot; a perp is refused here, unsent."""

    async def main():
        async with whole(SPOT, account_level="1") as (connector, sim, _, _):
            await connector.submit_market_order(symbol=SPOT, client_order_index=1, size_i=100_000, is_ask=False)
            assert len(sim.engine.fills) >= 1
            with pytest.raises(LocalRuleError, match="ACCOUNT_MODE"):
                await connector.submit_market_order(symbol=BTC, client_order_index=2, size_i=25, is_ask=False)

    run_virtual(main())


def test_after_a_refused_number_orders_take_rest():
    """[venue] One refusal, then the market's orders and cancels go by name."""

    async def main():
        async with whole(codes_refused=True) as (connector, _, gate, _):
            order = {"symbol": BTC, "base_amount": 25, "price": 900_000, "is_ask": False}
            with pytest.raises(Refused) as told:
                await connector.submit_limit_order(client_order_index=1, **order)
            assert told.value.code == "UNKNOWN_SYMBOL"
            assert await connector.submit_limit_order(client_order_index=2, **order)
            await connector.cancel_by_client_id(BTC, 2)
            assert (gate.text_kinds.count("place"), gate.http_kinds.count("place")) == (1, 1)
            assert gate.http_kinds.count("cancel") == 1

    run_virtual(main())


def test_a_crossing_post_only_order_ends_as_failed_with_its_name():
    """[venue] Acknowledged, canceled by source 31: told by stream and by REST alike."""

    async def main():
        async with whole() as (connector, sim, _, heard):
            crossing = sim.engine.books[BTC].best_ask[0] + 10
            order = {"symbol": BTC, "base_amount": 25, "price": crossing, "is_ask": False, "post_only": True}
            await connector.submit_limit_order(client_order_index=1, **order)
            told = [event for event in heard if isinstance(event, OrderSeen) and event.source is Source.WS]
            assert [(event.status, event.code) for event in told] == [(Status.FAILED, "POST_ONLY_WOULD_CROSS")]
            seen = await connector.get_order(BTC, 1)
            assert (seen.status, seen.code) == (Status.FAILED, "POST_ONLY_WOULD_CROSS")

    run_virtual(main())


def test_the_countdown_of_one_market_leaves_the_others_alone():
    """[venue] Armed for BTC, not refreshed: BTC's order is gone after 30 s, ETH's rests."""

    async def main():
        async with whole() as (connector, sim, _, _):
            order = {"base_amount": 25, "is_ask": False}
            await connector.submit_limit_order(symbol=BTC, client_order_index=1, price=920_000, **order)
            await connector.submit_limit_order(symbol=ETH, client_order_index=2, price=310_000, **order)
            await connector.arm_dead_man(BTC)
            await anyio.sleep(29)
            assert len(sim.engine.open_orders("main")) == 2
            await anyio.sleep(2)
            assert [each.symbol for each in sim.engine.open_orders("main")] == [ETH]
            assert (await connector.get_order(BTC, 1)).reason.startswith("cancelSource 20")
            await connector.arm_dead_man(ETH)
            await connector.disarm_dead_man(ETH)
            await anyio.sleep(31)
            assert len(sim.engine.open_orders("main")) == 1
            await connector.cancel_all(ETH)
            assert sim.engine.open_orders("main") == []

    run_virtual(main())


def test_a_quiet_account_stays_in_step_for_minutes():
    """[venue] Text pings keep both lines; nothing is unreadable."""

    async def main():
        async with whole() as (connector, _, _, heard):
            await anyio.sleep(200)
            assert connector.synced
            assert [event.state for event in heard if type(event).__name__ == "SessionSeen"] == ["synced"]
            assert [event for event in heard if type(event).__name__ == "Unreadable"] == []

    run_virtual(main())
