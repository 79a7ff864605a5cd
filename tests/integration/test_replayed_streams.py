"""
A replaying connector: the real dialect, connector and order service over a wire that plays recorded payloads.

The frames are the exchange's own, from ../shared/fixtures. Where a story needs one that nobody recorded (the first of
two partial fills, an adjusted and a closed position) a recorded frame is repeated with other values; no field is
added. Recorded orders had no client id, so ours are known by the exchange's id alone.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from core.chance import Chance
from core.clock import VirtualClock, run_virtual
from execution.caps import Caps
from execution.journal import Journal
from execution.order import Order, State
from execution.orders import Orders
from execution.positions import Positions
from execution.risk import Risk
from execution.timeline import Timelines
from venues import open_room
from venues.connector import Connector
from venues.dialect import HttpCall, HttpReply
from venues.simulation import open_simulator
from venues.wire import Broken

FIXTURES = Path(__file__).resolve().parents[2].parent / "shared" / "fixtures" / "backpack"
pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason="../shared is not there: no recorded payloads to replay")
# When the first of the frames was recorded.
RECORDED_MS = 1_788_368_290_000
PLACES = {"rest": "replay://rest", "ws": "replay://ws"}


def recorded(name: str) -> Any:
    text = (FIXTURES / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if name.endswith(".jsonl") else json.loads(text)


def altered(frame: dict[str, Any], **values: Any) -> dict[str, Any]:
    """A recorded frame with other values in fields that it has."""
    assert set(values) <= set(frame["data"]), values
    return {**frame, "data": {**frame["data"], **values}}


def markets() -> list[dict[str, Any]]:
    """The recorded markets, and ETH's, for which there are only order and position frames, after SOL's pattern."""
    rows = recorded("markets.json")
    for symbol, quote in (("SOL_USDC", "ETH_USDC"), ("SOL_USDC_PERP", "ETH_USDC_PERP")):
        row = json.loads(json.dumps(next(each for each in rows if each["symbol"] == symbol)))
        row.update(symbol=quote, baseSymbol="ETH")
        row["filters"]["quantity"].update(minQuantity="0.0001", stepSize="0.0001")
        rows.append(row)
    return rows


class ReplayLink:
    """A stream into which the test puts frames."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self._inbox: asyncio.Queue[str | None] = asyncio.Queue()

    async def send(self, text: str) -> None:
        self.sent.append(text)

    async def receive(self) -> str:
        frame = await self._inbox.get()
        if frame is None:
            raise Broken("the recording ends here")
        return frame

    async def ping(self) -> None: ...

    async def close(self) -> None: ...

    def tell(self, *frames: Any) -> None:
        for frame in frames:
            self._inbox.put_nowait(json.dumps(frame))

    def end(self) -> None:
        self._inbox.put_nowait(None)


@dataclass
class ReplayWire:
    """Answers requests from a table of recorded bodies; a function is asked when it is needed."""

    clock: VirtualClock
    answers: dict[str, Any] = field(default_factory=dict)
    links: list[ReplayLink] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def request(self, base_url: str, call: HttpCall, timeout_secs: float) -> HttpReply:
        await self.clock.sleep(0.01)
        what = f"{call.method} {call.path.partition('?')[0]}"
        self.asked.append(what)
        answer = self.answers[what]
        answer = answer() if callable(answer) else answer
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        status = 404 if isinstance(answer, dict) and answer.get("code") == "RESOURCE_NOT_FOUND" else 200
        return HttpReply(status, body, {})

    async def connect(self, url: str, timeout_secs: float) -> ReplayLink:
        await self.clock.sleep(0.01)
        self.links.append(ReplayLink())
        return self.links[-1]

    async def aclose(self) -> None: ...


@dataclass
class Desk:
    wire: ReplayWire
    clock: VirtualClock
    connector: Connector
    orders: Orders
    positions: Positions

    def tell(self, *frames: Any) -> None:
        self.wire.links[-1].tell(*frames)

    async def pause(self, secs: float = 0.05) -> None:
        await self.clock.sleep(secs)

    async def sell_tether(self) -> Order:
        """The order that the recording shows: 20 USDT at 1.0076, post-only."""
        market = self.orders.markets.named("USDT_USDC")
        return await self.orders.place_limit(market, is_ask=True, size_i=20, price_i=10_076, leg="replay")

    async def buy_ether(self) -> Order:
        market = self.orders.markets.named("ETH_USDC")
        return await self.orders.place_limit(
            market, is_ask=False, size_i=10, price_i=430_000, leg="replay", post_only=False
        )


def replay(story: Callable[[Desk], Awaitable[None]]) -> None:
    """Tell one story against the recorded account."""

    async def whole() -> None:
        clock = VirtualClock(RECORDED_MS)
        acks = recorded("order_ack.json")
        rested = next(row for key, row in acks.items() if key.startswith("POST /api/v1/order limit"))
        wire = ReplayWire(clock)
        wire.answers = {
            "GET /api/v1/time": lambda: str(clock.now_ms()).encode(),
            "GET /api/v1/markets": markets(),
            "GET /api/v1/orders": [],
            "GET /api/v1/position": [],
            "GET /api/v1/capital": recorded("balances.json")["GET /api/v1/capital (1)"]
            | recorded("balances.json")["GET /api/v1/capital (2)"],
            "GET /api/v1/capital/collateral": recorded("collateral.json"),
            "GET /wapi/v1/history/fills": [],
            "GET /wapi/v1/history/orders": [],
            "GET /api/v1/order": {"code": "RESOURCE_NOT_FOUND", "message": "Not Found"},
            # The recorded acknowledgement, under the id of the order that the recorded frames tell of.
            "POST /api/v1/order": {**rested, "id": "59887375336", "price": "1.0076"},
        }
        keys = open_simulator("backpack", clock=clock, chance=Chance("replay")).bootstrap("", "")["credentials"]
        dialect = open_room("backpack").make_dialect(keys, PLACES)
        connector = Connector(dialect, PLACES, wire, clock, Chance("replay"))
        positions = Positions(clock)
        orders = Orders(
            venue=connector,
            account="backpack:replay",
            clock=clock,
            pace=clock,
            chance=Chance("replay"),
            journal=Journal(":memory:"),
            timelines=Timelines(None),
            positions=positions,
            risk=Risk(Caps(), positions),
        )
        with anyio.fail_after(300):
            await connector.start()
            await story(Desk(wire, clock, connector, orders, positions))
            await connector.stop()

    run_virtual(whole())


ORDERS = recorded("ws_order_updates.jsonl") if FIXTURES.is_dir() else []
ETHER_ACK = {"id": "5406825793", "symbol": "ETH_USDC", "side": "Bid", "quantity": "0.0010", "price": "4300"}


@pytest.mark.parametrize("first", ["reply", "stream"])
def test_a_recorded_order_is_accepted_and_cancelled(first: str) -> None:
    """[venue] orderAccepted and orderCancelled as recorded, whichever of reply and stream comes first."""

    async def story(desk: Desk) -> None:
        accepted, cancelled = ORDERS[:2]
        if first == "stream":
            desk.tell(accepted)
        order = await desk.sell_tether()
        if first == "reply":
            assert (order.state, order.venue_id) == (State.OPEN, "59887375336")
            desk.tell(accepted)
        await desk.pause()
        assert (order.state, order.engine_us) == (State.OPEN, 1_788_368_290_062_979)
        desk.tell(cancelled)
        await desk.pause()
        assert (order.state, order.filled_i, order.ended) == (State.CANCELLED, 0, True)
        assert await desk.orders.settle(order) == 0
        assert desk.orders.strangers == 0
        assert desk.wire.asked.count("POST /api/v1/order") == 1
        assert "DELETE /api/v1/order" not in desk.wire.asked

    replay(story)


@pytest.mark.parametrize("first", ["reply", "stream"])
def test_recorded_fills_add_up_from_accepted_over_partial_to_filled(first: str) -> None:
    """[venue] orderAccepted, two orderFill: OPEN, PARTIALLY_FILLED, FILLED, with price and fee of each trade."""

    async def story(desk: Desk) -> None:
        accepted, filled = ORDERS[2:4]
        part = altered(filled, l="0.0004", z="0.0004", X="PartiallyFilled", t=2_888_470, Z="1.719664")
        rest = altered(filled, l="0.0006", E=filled["data"]["E"] + 900, T=filled["data"]["T"] + 900)
        wire = desk.wire
        wire.answers["POST /api/v1/order"] = {**wire.answers["POST /api/v1/order"], **ETHER_ACK}
        if first == "stream":
            desk.tell(accepted, part)
            await desk.pause()
        order = await desk.buy_ether()
        if first == "reply":
            assert order.state is State.OPEN
            desk.tell(accepted, part)
            await desk.pause()
        assert (order.state, order.filled_i, order.proven) == (State.PARTIALLY_FILLED, 4, False)
        # The same trade told again moves nothing.
        desk.tell(part, rest, rest)
        await desk.pause()
        assert (order.state, order.filled_i, order.proven) == (State.FILLED, 10, True)
        assert order.average_price == Decimal("4299.16")
        assert order.fees() == {"ETH": Decimal("0.000002")}
        assert [move.after for move in order.history if move.before is not move.after] == [
            State.OPEN,
            State.PARTIALLY_FILLED,
            State.FILLED,
        ]
        assert await desk.orders.settle(order) == 10
        assert desk.orders.strangers == 0

    replay(story)


def test_recorded_position_frames_open_adjust_and_close_it() -> None:
    """[venue] positionOpened as recorded, then adjusted and closed; an older frame that comes late moves nothing."""

    async def story(desk: Desk) -> None:
        opened = recorded("ws_position_updates.jsonl")[0]
        market = desk.orders.markets.named("ETH_USDC_PERP")
        at_us = opened["data"]["E"]
        adjusted = altered(opened, e="positionAdjusted", q="0.0004", Q="0.0004", E=at_us + 1_000, T=at_us + 999)
        closed = altered(opened, e="positionClosed", q="0", Q="0", E=at_us + 2_000, T=at_us + 1_999)
        seen = []
        for frame in (opened, adjusted, opened, closed, adjusted):
            desk.tell(frame)
            await desk.pause()
            seen.append(desk.positions.quantity(market))
        assert seen == [Decimal("0.0010"), Decimal("0.0004"), Decimal("0.0004"), 0, 0]
        assert len(desk.positions.account("backpack").position_changes) == 3
        # The form that a fresh subscription brings, without an event name.
        desk.tell(recorded("ws_position_updates.jsonl")[1])
        await desk.pause()
        assert desk.positions.quantity(desk.orders.markets.named("SOL_USDC_PERP")) == Decimal("-0.01")

    replay(story)


def test_after_a_break_the_snapshot_reconciles_orders_fills_and_positions() -> None:
    """[client] Disconnect, resubscribe, snapshot: one order filled meanwhile, one cancelled, one still open."""

    async def story(desk: Desk) -> None:
        wire = desk.wire
        tether = await desk.sell_tether()
        still_open = await desk_order(desk, "59887375337")
        wire.answers["POST /api/v1/order"] = {**wire.answers["POST /api/v1/order"], **ETHER_ACK}
        ether = await desk.buy_ether()
        desk.tell(ORDERS[0], ORDERS[2])
        await desk.pause()
        subscriptions = wire.links[0].sent
        assert [order.state for order in (tether, still_open, ether)] == [State.OPEN] * 3

        listed = {**recorded("order_ack.json")["GET /api/v1/orders"][0], "id": "59887375337", "price": "1.0076"}
        spot_fill = next(row for row in recorded("fills.json") if row["symbol"] == "ETH_USDC")
        gone = recorded("order_history.json")["body"][0]
        wire.answers |= {
            "GET /api/v1/orders": [listed],
            "GET /wapi/v1/history/fills": [{**spot_fill, "orderId": "5406825793", "timestamp": "2026-09-02T17:00:00"}],
            "GET /api/v1/position": [recorded("positions.json")[0]],
            "GET /wapi/v1/history/orders": [
                {**gone, "id": "59887375336", "price": "1.0076", "createdAt": "2026-09-02T16:58:10.064"}
            ],
        }
        wire.links[0].end()
        await desk.pause(0.02)
        assert not desk.connector.synced
        await desk.connector.wait_synced()

        assert len(wire.links) == 2
        # The same subscriptions again, freshly signed.
        assert [json.loads(text)["method"] for text in wire.links[1].sent] == [
            json.loads(text)["method"] for text in subscriptions
        ]
        assert (ether.state, ether.filled_i) == (State.FILLED, 10)
        assert (still_open.state, still_open.in_doubt) == (State.OPEN, False)
        assert (tether.state, tether.in_doubt) == (State.OPEN, True)
        assert desk.positions.quantity(desk.orders.markets.named("SOL_USDC_PERP")) == Decimal("-0.01")
        (gap,) = desk.orders.breaks
        assert gap.synced_ms is not None
        assert gap.synced_ms > gap.lost_ms
        assert await desk.orders.settle(tether, cancel=False) == 0
        assert (tether.state, tether.in_doubt) == (State.CANCELLED, False)
        # The new line is heard like the first one.
        desk.tell(altered(ORDERS[1], i="59887375337"))
        await desk.pause()
        assert still_open.state is State.CANCELLED

    async def desk_order(desk: Desk, venue_id: str) -> Order:
        desk.wire.answers["POST /api/v1/order"] = {**desk.wire.answers["POST /api/v1/order"], "id": venue_id}
        return await desk.sell_tether()

    replay(story)


def test_every_recorded_frame_passes_through_a_running_connector() -> None:
    """[venue] All recorded market, order, position and balance frames: none breaks the line, none is unreadable."""

    async def story(desk: Desk) -> None:
        names = sorted(path.name for path in FIXTURES.glob("ws_*.jsonl"))
        assert len(names) == 4
        for name in names:
            desk.tell(*recorded(name))
        await desk.pause()
        assert desk.connector.synced
        assert [row for row in desk.orders.errors if row[1] == "UNREADABLE"] == []
        # Orders of this account that are not ours are counted and left alone.
        assert (desk.orders.book, desk.orders.strangers > 0) == ({}, True)

    replay(story)


def test_broken_frames_between_recorded_ones_are_recorded_and_survived() -> None:
    """[venue] Half a frame, no JSON, NaN, a huge number, a missing field: noted; the next frame is heard."""

    async def story(desk: Desk) -> None:
        order = await desk.sell_tether()
        accepted, cancelled = ORDERS[:2]
        whole = json.dumps(cancelled)
        broken = [
            whole[: len(whole) // 2],
            "",
            "[]",
            "null",
            "NaN",
            whole.replace('"20"', '"NaN"'),
            whole.replace('"20"', '"1e999999"'),
            whole.replace('"20"', '"' + "9" * 5_000 + '"'),
            whole.replace('"i":', '"j":'),
            whole.replace("USDT_USDC", "NOBODY_USDC"),
            "\ud800",
        ]
        desk.tell(accepted)
        for text in broken:
            desk.wire.links[-1]._inbox.put_nowait(text)
        await desk.pause()
        assert order.state is State.OPEN
        assert len([row for row in desk.orders.errors if row[1] == "UNREADABLE"]) == len(broken)
        desk.tell(cancelled)
        await desk.pause()
        assert (order.state, desk.connector.synced) == (State.CANCELLED, True)

    replay(story)
