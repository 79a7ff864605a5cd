"""An account that is not empty when a run begins: named and refused, or taken over when the run was told to."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import pytest

from core.chance import Chance
from execution.bands import PriceBand
from execution.journal import Journal
from execution.markets import Markets
from reports.render import render
from runner import takeover
from tests.e2e.virtual import FIRST, Played, World, play, reached
from venues import VENUES
from venues.errors import LocalRuleError
from venues.simulation.memory import MemoryWire

TEXT = """
scenario: a_play
title: Open, wait, close
venues: [{venue}]
market: {market}
symbol: SOL
side: buy
size: min
seed: 7
steps:
  - market_open
  - wait: {{secs: 5s}}
  - market_close
accept:
  round_trip: {{at_least: 1}}
  flat: true
  no_unhandled_errors: true
  logs_complete: true
"""


def foreign(venue: str, market: str = "perp", *, orders: int = 0, held: int = 0) -> Callable[[World], Awaitable[None]]:
    """
    Somebody else on the same account, before the run reaches the venue: resting buys of half a coin each, and a
    position of ``held`` half coins. The play begins with the venue ``down``; this ends it.
    """

    async def make(world: World) -> None:
        chance = Chance("somebody else")
        wire = MemoryWire(world.wire.gates, world.clock, chance.fork("wire"))
        other = reached(venue, wire, world.clock, chance).venue
        await other.start()
        found = Markets(other).find("SOL", market)
        await other.watch(found.venue_symbol)
        half_i = found.size_from(Decimal("0.5"))
        bid_i, _, _ = await other.get_top_of_book(found.venue_symbol)
        assert bid_i is not None
        for number in range(orders):
            await other.submit_limit_order(
                symbol=found.venue_symbol,
                client_order_index=71 + number,
                base_amount=half_i,
                price=found.passive_price(bid_i * (99 - number) // 100, is_ask=False),
                is_ask=False,
            )
        if held:
            await other.submit_market_order(
                symbol=found.venue_symbol, client_order_index=81, size_i=abs(held) * half_i, is_ask=held < 0
            )
        await world.clock.sleep(1)
        await other.stop()
        world.wire.down.discard(venue)

    return make


def code(played: Played) -> str:
    return played.play.error.code if played.play.error else ""


@pytest.mark.parametrize("venue", VENUES)
def test_a_dirty_account_is_named_order_by_order_and_nothing_is_sent(venue: str, tmp_path: Path):
    """[client] Side, size and price of each order, the position, and both ways on: `--adopt` and `runner recover`."""
    text = TEXT.format(venue=venue, market="perp")
    played = play(text, tmp_path, venues=(venue,), down=(venue,), beside=foreign(venue, orders=2, held=1))
    assert (played.outcome.verdict, code(played)) == ("environment_failed", "DIRTY_ACCOUNT")
    assert played.play.error is not None
    said = played.play.error.message
    assert re.search(r"2 open orders \(buy [\d.]+ at [\d.]+, buy [\d.]+ at [\d.]+\) and a position of [\d.]+ SOL", said)
    assert "--adopt" in played.play.error.next_move
    assert "runner recover" in played.play.error.next_move
    assert (played.play.orders, len(played.world.live())) == ((), 2)


@pytest.mark.parametrize("venue", VENUES)
def test_what_stands_there_is_taken_over_when_asked_and_closed_with_the_plays_own(venue: str, tmp_path: Path):
    """[client] `--adopt`: foreign orders cancelled before the first order, the position part of what is closed."""
    text = TEXT.format(venue=venue, market="perp")
    played = play(text, tmp_path, venues=(venue,), down=(venue,), beside=foreign(venue, orders=2, held=1), adopt=True)
    assert (played.outcome.verdict, code(played)) == ("accepted", "")
    assert (played.world.live(), played.world.held(venue)) == ([], 0)
    assert played.play.position.before is not None
    assert Decimal(played.play.position.before) > 0
    opened, closed = played.play.orders
    assert Decimal(closed.filled) == Decimal(opened.filled) + Decimal(played.play.position.before)
    told = next(row for row in played.world.events if row["event"] == "note")
    sent_ms = min(order.sent_ms or 0 for order in played.play.orders)
    assert told["ts_ms"] <= sent_ms
    assert "2 open orders (buy" in told["text"]
    assert (played.play.errors, played.play.alarms) == ((), ())
    assert played.play.notes
    assert [notice.code for notice in played.play.notes] == ["ADOPTED"]
    assert "2 open orders (buy" in played.play.notes[0].text
    made = render(json.loads((tmp_path / "outcome.json").read_bytes()))
    assert "## Errors, alarms and notes" in made.markdown
    row = rf"\| note \| {played.play.venue}[^|]*\| ADOPTED \| taken over: 2 open orders"
    assert re.search(row, made.markdown, re.I)
    assert "<h2>Errors, alarms and notes</h2>" in made.html
    assert "<system-out>ADOPTED: taken over: 2 open orders" in made.junit


def test_on_spot_orders_are_dirt_and_balances_are_not(tmp_path: Path):
    """[client] Coins that were there stay; a foreign order is refused, or cancelled and its fills are not ours."""
    text = TEXT.format(venue=FIRST, market="spot")
    coins = play(text, tmp_path / "a", down=(FIRST,), beside=foreign(FIRST, "spot", held=1))
    assert coins.outcome.verdict == "accepted"
    refused = play(text, tmp_path / "b", down=(FIRST,), beside=foreign(FIRST, "spot", orders=1, held=1))
    assert code(refused) == "DIRTY_ACCOUNT"
    assert refused.play.error is not None
    assert "1 open order (buy" in refused.play.error.message
    assert "position" not in refused.play.error.message
    taken = play(text, tmp_path / "c", down=(FIRST,), beside=foreign(FIRST, "spot", orders=1, held=1), adopt=True)
    assert (taken.outcome.verdict, taken.world.live()) == ("accepted", [])
    assert taken.play.alarms == ()


def test_a_clean_account_is_taken_over_without_a_word(tmp_path: Path):
    """[ours] `--adopt` changes nothing where nothing stands."""
    played = play(TEXT.format(venue=FIRST, market="perp"), tmp_path, adopt=True)
    assert (played.outcome.verdict, played.play.errors) == ("accepted", ())


def test_orders_that_cannot_be_cancelled_are_not_traded_beside(tmp_path: Path, monkeypatch):
    """[ours] The venue goes on listing them: DIRTY_ACCOUNT in words, nothing of ours sent."""
    monkeypatch.setattr(takeover, "_TRIES", 1)
    made = foreign(FIRST, orders=1)

    async def stubborn(world: World) -> None:
        await made(world)
        monkeypatch.setattr(world.engine().__class__, "cancel", lambda engine, order: None)

    played = play(TEXT.format(venue=FIRST, market="perp"), tmp_path, down=(FIRST,), beside=stubborn, adopt=True)
    assert code(played) == "DIRTY_ACCOUNT"
    assert played.play.error is not None
    assert "still lists 1 open order" in played.play.error.message
    assert played.play.orders == ()


def test_the_run_that_left_the_dirt_is_named(tmp_path: Path):
    """[client] An earlier play without a proven end: its name stands in the message and in the next move."""
    path = tmp_path / "journal.db"
    first = play(TEXT.format(venue=FIRST, market="perp"), tmp_path / "a", journal=str(path))
    account = Journal(path)._db.execute("SELECT account FROM plays").fetchone()[0]
    Journal(path).begin_play(
        play=f"crashed/{FIRST}", run="crashed", venue=FIRST, account=account, symbol="SOL", market="perp",
        spot_baseline="0", now_ms=1,
    )  # fmt: skip
    text = TEXT.format(venue=FIRST, market="perp")
    made = foreign(FIRST, held=1)
    played = play(
        text, tmp_path / "b", journal=str(path), down=(FIRST,), beside=made, run_id="second", seed=first.plan.seed
    )
    assert played.play.error is not None
    assert "run crashed left a play" in played.play.error.message
    assert "runner recover crashed" in played.play.error.next_move


def test_a_close_that_the_band_refuses_in_a_step_is_done_by_the_cleanup(tmp_path: Path, monkeypatch):
    """[client] A torn book: the step fails as NOT_FLAT and names no order; the cleanup closes all the same."""
    opened: list[bool] = []

    def torn(self: PriceBand, market: object, bid_i: int, ask_i: int, *, is_ask: bool) -> None:
        opened.append(is_ask)
        if len(opened) > 1:
            raise LocalRuleError("PRICE_BAND", "planted")

    monkeypatch.setattr(PriceBand, "check_market", torn)
    played = play(TEXT.format(venue=FIRST, market="perp"), tmp_path)
    assert [status for _, status in played.steps()] == ["passed", "passed", "failed"]
    assert (played.outcome.verdict, code(played)) == ("not_accepted", "NOT_FLAT")
    assert played.play.error is not None
    assert "refused here: PRICE_BAND: planted" in played.play.error.message
    assert (played.world.held(), played.world.live()) == (0, [])
    assert played.steps("finally") == [("cancel_all", "passed"), ("flatten", "passed")]
