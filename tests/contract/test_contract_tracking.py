"""The tracking limit through the whole connector, faults drawn from a seed, checked by the venue's own books."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from execution.order import State, replay
from execution.tracking_limit import Reason, TrackingLimit, TrackingResult
from tests.contract.arms import ALARMS, Stack, contract, play, rooms

# Everything at once, each rarely; after 120 s the weather clears, so every play must come to its end.
STORM = [
    {"action": action, "on": on, "kind": kind, "probability": share, "until_ms": 120_000, "params": params}
    for action, on, kind, share, params in [
        ("lose_reply", "http", "place", 0.15, {}),
        ("drop", "http", "place", 0.05, {}),
        ("error_after", "http", "place", 0.1, {"status": 502}),
        ("execute_late", "http", "place", 0.1, {"ms": 1_200}),
        ("truncate", "http", "place", 0.05, {}),
        ("lose_reply", "http", "cancel", 0.15, {}),
        ("error_before", "http", "cancel", 0.15, {}),
        ("error_before", "http", "order", 0.2, {}),
        ("stale_read", "http", "open_orders", 0.3, {}),
        ("stale_read", "http", "order", 0.2, {}),
        ("truncate", "http", "fills", 0.2, {}),
        ("rate_limit", "http", "history", 0.1, {"retry_after": 1}),
        ("drop", "ws", "order", 0.15, {}),
        ("drop", "ws", "fill", 0.2, {}),
        ("duplicate", "ws", "fill", 0.3, {"count": 3}),
        ("delay", "ws", "order", 0.1, {"ms": 900}),
        ("reorder", "ws", "order", 0.2, {"ms": 300}),
        ("truncate", "ws", "*", 0.01, {}),
        ("disconnect", "ws", "book", 0.004, {}),
        ("partial_fill", "engine", "match", 0.6, {"fraction": 0.3}),
        ("slow_cancel", "engine", "cancel", 0.3, {"ms": 700}),
        ("reject", "engine", "place", 0.05, {"reason": "RATE_LIMITED"}),
    ]
]


async def chase(venue: Stack, *, is_ask: bool = False, times: int = 40, **settings: float) -> TrackingResult:
    wanted = TrackingLimit(
        is_ask=is_ask,
        quantity_i=await venue.size(times),
        leg=f"test/track/{len(venue.desk.trackings)}",
        **{"interval_secs": 5.0, "timeout_secs": 90.0, "max_attempts": 30, **settings},  # type: ignore[arg-type]
    )
    return await venue.desk.tracking_limit(venue.market, wanted)


def check_bounds(venue: Stack, result: TrackingResult) -> None:
    """What holds for every tracking limit, by the venue's own books."""
    lot = venue.market.facts.lot_i
    assert result.filled_i <= result.wanted.quantity_i
    assert abs(venue.truth()) <= venue.market.size(sum(r.wanted.quantity_i for r in venue.desk.trackings))
    for order in result.orders:
        assert order.filled_i <= order.intent.size_i
        assert order.intent.size_i % lot == 0
        assert order.intent.post_only
    # At most one order of a leg may be live at any time: each begins after the one before was settled.
    for earlier, later in zip(result.attempts, result.attempts[1:], strict=False):
        assert earlier.ended_ms is not None
        assert later.placed_ms >= earlier.ended_ms
    ids = [order.client_id for order in venue.desk.book.values()]
    assert len(set(ids)) == len(ids) == venue.placed()


@contract(kinds=("perp", "spot"), speed=20.0)
async def test_a_tracking_limit_trades_its_quantity_at_its_own_side(venue: Stack) -> None:
    """[client] Buy then sell: filled or ended with a reason, never above the quantity, never by crossing the book."""
    result = await chase(venue, times=60, interval_secs=10.0)
    assert result.reason in (Reason.FILLED, Reason.TIMEOUT, Reason.MAX_ATTEMPTS)
    assert result.filled_i > 0
    fills = [fill for order in result.orders for fill in order.fills.values()]
    assert {fill.is_maker for fill in fills} == {True}
    check_bounds(venue, result)
    venue.at_rest()
    back = await venue.desk.place_market(
        venue.market,
        is_ask=True,
        size_i=venue.market.whole_lots(venue.desk.traded(venue.market)),
        leg="test/back",
        reduce_only=venue.kind == "perp",
    )
    await venue.desk.settle(back)
    assert 0 <= venue.desk.traded(venue.market) < venue.market.lot()
    venue.at_rest()


@contract(arms=("memory",))
async def test_the_interval_is_kept_to_300_ms(venue: Stack) -> None:
    """[client] Far from the market nothing fills: cancel → settle → re-post every interval, the last one cancelled."""
    result = await chase(venue, interval_secs=10.0, timeout_secs=65.0, price_offset_ticks=100)
    assert (result.reason, result.filled_i, len(result.attempts)) == (Reason.TIMEOUT, 0, 7)
    assert len(result.interval_errors_ms) == 6
    assert max(map(abs, result.interval_errors_ms)) <= 300
    assert all(order.state is State.CANCELLED for order in result.orders)
    check_bounds(venue, result)
    venue.at_rest()


@pytest.mark.parametrize("seed", range(1, 9))
@rooms(("memory",))
def test_in_a_storm_no_more_is_traded_than_was_wanted(
    arm: str, venue: str, kind: str, seed: int, tmp_path: Path
) -> None:
    """[ours] Lost, late, doubled and false words: true fills = local fills ≤ quantity, and nothing stays live."""

    async def body(opened: Stack) -> None:
        result = await chase(opened, is_ask=seed % 2 == 0, times=200)
        check_bounds(opened, result)
        # A play that had to give up halted the symbol; in clear weather everything can still be proven.
        if result.reason is Reason.IN_DOUBT:
            assert opened.desk.halted
            await opened.clock.sleep(130)
        assert await opened.desk.settle_all() == []
        await opened.clock.sleep(130)
        assert opened.live() == []
        assert opened.believed() == opened.truth()
        assert abs(opened.truth()) <= opened.market.size(result.wanted.quantity_i)
        for order in opened.desk.book.values():
            with (tmp_path / f"{opened.venue}-{order.intent.venue_symbol}-{order.client_id}.jsonl").open("rb") as lines:
                again = replay(lines)
            assert (again.state, again.filled_i, again.settled) == (order.state, order.filled_i, True)
            if order.state is State.FAILED:
                assert order.traded_i == 0
        overfilled = [row for row in opened.desk.errors if row[1] in ALARMS - {"LATE_FILL"}]
        assert overfilled == []
        # A position message that was cut or lost is not told again: the venue's own reading has the last word.
        rows = await opened.connector.get_positions()
        assert sum((row.quantity for row in rows), Decimal(0)) == opened.truth()

    play(arm, venue, body, seed=seed, faults=STORM, folder=tmp_path)


@rooms(("memory",))
def test_the_same_seed_tells_the_same_story_byte_by_byte(arm: str, venue: str, kind: str, tmp_path: Path) -> None:
    """[ours] Two plays of one seed in the same storm leave identical timelines; another seed leaves others."""

    def timelines(name: str, seed: int) -> dict[str, bytes]:
        async def body(opened: Stack) -> None:
            await chase(opened, times=100, timeout_secs=40.0)

        play(arm, venue, body, seed=seed, faults=STORM, folder=tmp_path / name)
        return {path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())}

    first = timelines("first", 5)
    assert first == timelines("second", 5)
    assert first != timelines("third", 6)


@contract(arms=("memory",), faults=[{"action": "partial_fill", "on": "engine", "params": {"fraction": Decimal("0.4")}}])
async def test_partial_fills_are_carried_over_not_repeated(venue: Stack) -> None:
    """[client] Each new order asks for what is left, and for no more."""
    result = await chase(venue, times=500, interval_secs=3.0, timeout_secs=60.0)
    left = result.wanted.quantity_i
    for attempt in result.attempts:
        assert attempt.order.intent.size_i <= left
        left -= attempt.order.filled_i
    assert result.filled_i > 0
    check_bounds(venue, result)
    venue.at_rest()
