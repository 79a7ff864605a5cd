"""Positions: one truth from stream and snapshot, per venue and over all of them."""

from __future__ import annotations

from decimal import Decimal

import anyio

from core.clock import VIRTUAL_EPOCH_MS, VirtualClock, run_virtual
from execution.markets import Market
from execution.positions import Positions
from tests.unit.execution.venue_double import SOL, SOL_SPOT
from venues.events import BalanceSeen, BookSeen, MarginSeen, PositionSeen, SnapshotSeen, Source, Unreadable

PERP, SPOT = Market("a", "SOL", SOL), Market("a", "SOL", SOL_SPOT)
OTHER = Market("b", "SOL", SOL)


def at_rest(story):
    async def main():
        positions = Positions(VirtualClock())
        return await story(positions, positions.listen("a"))

    return run_virtual(main())


def held(quantity: str, engine_us: int = 0, source: Source = Source.WS) -> PositionSeen:
    return PositionSeen(symbol=SOL.symbol, quantity=Decimal(quantity), engine_us=engine_us, source=source)


def coin(total: str, engine_us: int = 0, source: Source = Source.WS) -> BalanceSeen:
    return BalanceSeen(asset="SOL", free=Decimal(total), total=Decimal(total), engine_us=engine_us, source=source)


def snapshot(asked_ms: int, positions=(), balances=()) -> SnapshotSeen:
    margin = MarginSeen(balance=Decimal(5), available=Decimal(4), source=Source.REST)
    return SnapshotSeen(asked_ms=asked_ms, open_orders=(), positions=positions, balances=balances, margin=margin)


def test_a_position_is_opened_adjusted_and_closed_with_each_change_kept():
    """[venue] Told by the stream; the same word twice is no change."""

    async def story(positions, tell):
        for quantity in ("1", "1", "0.5", "0"):
            tell(held(quantity))
        return positions.quantity(PERP), [r.quantity for _, r in positions.account("a").position_changes]

    assert at_rest(story) == (0, [Decimal(1), Decimal("0.5"), Decimal(0)])


def test_an_older_word_by_engine_time_is_dropped():
    """[venue] Reordered position and balance updates."""

    async def story(positions, tell):
        for event in (held("2", 20), held("1", 10), coin("12", 20), coin("11", 10)):
            tell(event)
        return positions.quantity(PERP), positions.account("a").balances["SOL"].quantity

    assert at_rest(story) == (2, 12)


def test_a_snapshot_corrects_what_was_missed_and_closes_what_it_does_not_list():
    """[ours] After a break: markets that the reading leaves out are flat, coins that it leaves out are gone."""

    async def story(positions, tell):
        tell(held("2"))
        tell(coin("12"))
        await anyio.sleep(1)
        tell(snapshot(VIRTUAL_EPOCH_MS + 1_000))
        flat = positions.quantity(PERP), positions.account("a").balances["SOL"].quantity
        tell(snapshot(VIRTUAL_EPOCH_MS + 1_000, (held("3", source=Source.REST),), (coin("7", source=Source.REST),)))
        account = positions.account("a")
        return flat, positions.quantity(PERP), account.free["SOL"], account.snapshots, account.margin.available

    assert at_rest(story) == ((0, 0), 3, 7, 2, 4)


def test_what_the_stream_told_after_the_reading_was_asked_for_wins():
    """[ours] The reading is older than the word."""

    async def story(positions, tell):
        await anyio.sleep(2)
        tell(held("2"))
        tell(coin("12"))
        tell(snapshot(VIRTUAL_EPOCH_MS + 1_000, (held("9", source=Source.REST),), (coin("9", source=Source.REST),)))
        return positions.quantity(PERP), positions.account("a").balances["SOL"].quantity

    assert at_rest(story) == (2, 12)


def test_a_reading_carries_when_and_how_it_was_heard():
    """[ours] The proof of a flat end names its source and time; never mentioned is None and flat."""

    async def story(positions, tell):
        assert positions.reading(PERP) is None
        assert positions.reading(SPOT) is None
        await anyio.sleep(1)
        tell(held("-1", 5, Source.REST))
        reading = positions.reading(PERP)
        return reading.quantity, reading.source, reading.heard_ms - VIRTUAL_EPOCH_MS, reading.engine_us

    assert at_rest(story) == (-1, Source.REST, 1_000, 5)


def test_coins_held_before_the_play_are_not_part_of_the_position():
    """[ours] A spot position is the balance above its baseline, so a person's own coins are never sold."""

    async def story(positions, tell):
        unknown = positions.set_baseline(SPOT)
        tell(coin("10"))
        taken = positions.set_baseline(SPOT)
        tell(coin("10.75"))
        bought = positions.quantity(SPOT)
        positions.set_baseline(SPOT, Decimal("10.5"))
        return unknown, taken, bought, positions.quantity(SPOT), positions.set_baseline(PERP)

    assert at_rest(story) == (0, 10, Decimal("0.75"), Decimal("0.25"), 0)


def test_margin_changes_are_kept_and_repeats_are_not():
    """[client] The report shows margin before, after and every change."""

    async def story(positions, tell):
        for available in ("4", "4", "3"):
            tell(MarginSeen(balance=Decimal(5), available=Decimal(available)))
        return [reading.available for reading in positions.account("a").margin_changes]

    assert at_rest(story) == [4, 3]


def test_net_exposure_is_signed_and_valued_at_each_middle():
    """[client] Net exposure over venues; a market that is not followed or has no book adds nothing."""

    async def story(positions, tell):
        tell_b = positions.listen("b")
        positions.follow(PERP)
        positions.follow(OTHER)
        tell(held("2"))
        tell_b(held("-1"))
        before = positions.net_exposure_usd(), positions.mid(PERP), positions.book_changes(PERP)
        tell(BookSeen(symbol=SOL.symbol, bid_i=13_900, ask_i=14_100))
        tell_b(BookSeen(symbol=SOL.symbol, bid_i=14_900, ask_i=15_100))
        tell(BookSeen(symbol="UNHEARD", bid_i=1, ask_i=None))
        tell(Unreadable(why="", text=""))
        return before, positions.net_exposure_usd(), positions.mid(PERP), positions.book_changes(PERP)

    assert at_rest(story) == ((0, None, 0), 130, 140, 1)
