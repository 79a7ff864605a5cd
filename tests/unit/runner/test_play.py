"""The play of one scenario on one venue: it always ends with a verdict, whatever breaks, and cleans up before."""

from __future__ import annotations

import itertools
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from execution.positions import Positions
from runner.play import VenuePlay, explain
from steps import CODES as STEP_CODES
from steps import STEPS, Step
from steps import wait as wait_step
from strategy.trading import Trading
from tests.e2e.virtual import FIRST, Played, World, play
from venues.connector import Connector
from venues.errors import CODES, LocalRuleError, OutcomeUnknown
from venues.events import FillSeen

TEXT = """
scenario: a_play
title: Open, wait, close
venues: all
market: perp
symbol: SOL
side: buy
size: 0.05
seed: 7
steps:
  - market_open
  - wait: {secs: 20s}
  - market_close
accept:
  round_trip: {at_least: 1}
  flat: true
  no_unhandled_errors: true
  logs_complete: true
"""


def told(played: Played) -> tuple[str, int, str | None]:
    error = played.play.error
    return played.outcome.verdict, played.outcome.exit_code, error.code if error else None


def test_a_step_that_never_ends_is_ended_and_cleaned_up(tmp_path: Path, monkeypatch):
    """[ours] Its own time plus two minutes, then WS_TIMEOUT; the position is closed."""

    async def hang(play: Any, args: Any) -> None:
        await anyio.sleep_forever()

    monkeypatch.setitem(STEPS, "wait", Step(wait_step.Args, hang))
    played = play(TEXT, tmp_path)
    assert told(played) == ("not_accepted", 1, "WS_TIMEOUT")
    assert [status for _, status in played.steps()] == ["passed", "failed", "skipped"]
    assert (played.world.live(), played.world.held()) == ([], 0)


@pytest.mark.parametrize("where", ["start", "watch", "get_margin", "get_positions"])
def test_a_fault_of_our_own_anywhere_ends_in_a_report(where: str, tmp_path: Path, monkeypatch):
    """[ours] A planted bug in the connector: INTERNAL is told, no_unhandled_errors fails, nothing stays open."""
    calls = 0
    real = getattr(Connector, where)

    async def broken(self: Connector, *args: Any) -> Any:
        nonlocal calls
        calls += 1
        # The first reading of each kind happens while connecting; the margin is sampled all along.
        if where in ("start", "watch") or calls == 3:
            raise KeyError("planted")
        return await real(self, *args)

    monkeypatch.setattr(Connector, where, broken)
    played = play(TEXT, tmp_path)
    assert told(played)[2] == "INTERNAL"
    assert played.outcome.verdict in ("environment_failed", "not_accepted")
    assert played.lines()[f"no_unhandled_errors/{FIRST}"] == "failed"
    assert (played.world.live(), played.world.held()) == ([], 0)


def test_a_cleanup_step_that_breaks_does_not_keep_the_next_from_running(tmp_path: Path, monkeypatch):
    """[ours] cancel_all fails with an error of our own; flatten still closes the position."""

    async def broken(self: Trading) -> Any:
        monkeypatch.undo()
        raise KeyError("planted")

    text = TEXT.replace("  - market_close\n", "  - assert_position: {at_least: 9}\n")
    monkeypatch.setattr(Trading, "cancel_all", broken)
    played = play(text, tmp_path)
    assert played.steps("finally") == [("cancel_all", "failed"), ("flatten", "passed")]
    assert played.world.held() == 0
    # The first failure is the cause that the report names.
    assert told(played) == ("not_accepted", 1, "ASSERTION_FAILED")


def test_when_flat_cannot_be_read_the_verdict_is_not_proven_flat(tmp_path: Path, monkeypatch):
    """[client] Every reading of the position fails at the end: exit 5, although the account is flat."""
    real = Connector.get_positions
    broken = False

    async def read(self: Connector) -> Any:
        if broken:
            raise OutcomeUnknown("VENUE_UNAVAILABLE", "planted")
        return await real(self)

    async def breaks(world: World) -> None:
        nonlocal broken
        await world.until("step", verb="market_close")
        broken = True

    monkeypatch.setattr(Connector, "get_positions", read)
    played = play(TEXT, tmp_path, beside=breaks)
    assert told(played)[:2] == ("not_proven_flat", 5)
    assert played.play.position.flat is None
    assert "NOT proven flat" in played.play.sentence
    assert played.lines()[f"flat/{FIRST}"] == "failed"


def test_a_position_that_stays_is_not_proven_flat_and_named(tmp_path: Path, monkeypatch):
    """[client] The venue takes no closing order: exit 5, the report says how much is held."""
    reject = {"action": "reject", "on": "engine", "kind": "place", "params": {"reason": "INSUFFICIENT_MARGIN"}}
    played = play(TEXT, tmp_path, faults=[{**reject, "after_ms": 5_000}])
    assert told(played)[:2] == ("not_proven_flat", 5)
    assert played.play.position.proof is not None
    assert Decimal(played.play.position.proof.quantity) == Decimal("0.05")
    assert "0.05 SOL" in played.play.sentence
    assert played.world.held() > 0


def test_an_unknown_market_is_not_the_environments_fault(tmp_path: Path):
    """[client] A symbol that the venue does not have: not accepted, with the code, nothing sent."""
    played = play(TEXT.replace("symbol: SOL", "symbol: SLO"), tmp_path)
    assert told(played) == ("not_accepted", 1, "UNKNOWN_SYMBOL")
    assert list(played.world.engine().orders) == []
    assert played.lines()[f"flat/{FIRST}"] == "not_tested"


def test_a_key_that_is_not_accepted_is_the_environments_fault(tmp_path: Path, monkeypatch):
    """[client] AUTH with the next move; no step is run and none is claimed."""

    async def refused(self: Connector) -> None:
        raise LocalRuleError("AUTH", "planted")

    monkeypatch.setattr(Connector, "start", refused)
    played = play(TEXT, tmp_path)
    assert told(played) == ("environment_failed", 3, "AUTH")
    assert played.play.error is not None
    assert "doctor" in played.play.error.next_move
    assert {status for _, status in played.steps()} <= {"skipped"}


def test_interrupted_twice_or_before_it_began_it_still_ends_clean(tmp_path: Path):
    """[client] A second first-signal changes nothing; one before the connection means that nothing is sent."""

    async def twice(world: World) -> None:
        await world.until("step", verb="wait")
        world.interruption.interrupt("SIGINT")
        await world.clock.sleep(0.02)
        world.interruption.interrupt("SIGTERM")

    async def early(world: World) -> None:
        world.interruption.interrupt("SIGINT")

    played = play(TEXT, tmp_path / "twice", beside=twice)
    assert (told(played)[:2], played.world.held()) == (("interrupted", 4), 0)
    assert {status for _, status in played.steps("finally")} == {"passed"}
    assert [status for _, status in played.steps()] == ["passed", "interrupted", "skipped"]
    played = play(TEXT, tmp_path / "early", beside=early)
    assert told(played)[:2] == ("interrupted", 4)
    assert list(played.world.engine().orders) == []


def test_quotes_and_margin_are_sampled_only_when_they_change(tmp_path: Path):
    """[client] Two quotes in a row differ; margin changes are told once each, in order of time."""
    played = play(TEXT, tmp_path)
    quotes = [(row.bid, row.ask) for row in played.play.quotes]
    assert all(first != second for first, second in itertools.pairwise(quotes))
    assert len(quotes) > 5
    changes = played.play.margin.changes
    assert [row.ts_ms for row in changes] == sorted(row.ts_ms for row in changes)
    assert len({(row.balance, row.available) for row in changes}) > 1
    # Two taker fees were paid, so what is there at the end is less.
    assert played.play.margin.before is not None
    assert played.play.margin.after is not None
    assert played.play.fees


def test_every_code_a_play_may_end_with_has_a_next_move():
    """[ours] Known codes give their own; a fault of ours, and a code nobody knows, say to report it."""
    for code in (*CODES, *STEP_CODES):
        assert explain(code).strip()
    for code in ("INTERNAL", "NOBODY_KNOWS"):
        assert "report it" in explain(code)


def test_a_position_told_wrongly_at_the_start_is_found_before_any_order(tmp_path: Path, monkeypatch):
    """[ours] An unreadable first position: no order is sent on a guess."""

    async def unread(self: Trading) -> Any:
        raise OutcomeUnknown("UNREADABLE", "planted")

    monkeypatch.setattr(Trading, "proof", unread)
    played = play(TEXT, tmp_path)
    assert told(played) == ("environment_failed", 3, "UNREADABLE")
    assert list(played.world.engine().orders) == []


def test_a_stream_that_breaks_just_before_the_closing_order_does_not_leave_a_position(tmp_path: Path):
    """[ours] Disconnected between two steps: market_close waits for the session and closes."""

    async def cut(world: World) -> None:
        await world.until("step", verb="market_close")
        world.wire.gates[FIRST].disconnect()

    played = play(TEXT, tmp_path, beside=cut)
    assert told(played)[:2] == ("accepted", 0)
    assert played.play.connection.losses == 1


def test_interrupted_while_the_stream_is_down_it_waits_and_closes(tmp_path: Path):
    """[client] Ctrl-C in the middle of a reconnect: flat, exit 4."""

    async def cut(world: World) -> None:
        await world.until("step", verb="wait")
        world.wire.gates[FIRST].disconnect()
        world.interruption.interrupt("SIGINT")

    played = play(TEXT, tmp_path, beside=cut)
    assert (told(played)[:2], played.world.held()) == (("interrupted", 4), 0)


def test_a_broken_listener_of_positions_is_survived(tmp_path: Path, monkeypatch):
    """[ours] Net exposure that cannot be computed is a refused order, not a crash of the run."""

    def broken(self: Positions, market: Any) -> Any:
        raise ArithmeticError("planted")

    async def plant(world: World) -> None:
        await world.until("step", verb="wait")
        monkeypatch.setattr(Positions, "mid", broken)
        await world.clock.sleep(5)
        monkeypatch.undo()

    played = play(TEXT, tmp_path, beside=plant)
    assert (played.world.held(), played.outcome.exit_code in (0, 1)) == (0, True)


@pytest.mark.parametrize(("where", "verdict"), [("_read_margin", "accepted"), ("_disarm_dead_man", "not_proven_flat")])
def test_a_trade_told_after_flat_was_read_is_looked_into_or_told(where: str, verdict: str, tmp_path: Path, monkeypatch):
    """[ours] While there is time flat is proven anew; told in the last moment, the outcome does not say flat."""
    real, added = getattr(VenuePlay, where), 0

    async def with_late_trade(self: VenuePlay) -> None:
        nonlocal added
        if self.proof is not None and not added:
            added += 1
            order = next(iter(self.desk.book.values()))
            self.desk.hear(
                FillSeen(
                    symbol=order.intent.venue_symbol,
                    trade_id="late",
                    client_id=order.client_id,
                    venue_id=order.venue_id,
                    is_ask=order.intent.is_ask,
                    size_i=order.intent.size_i,
                    price=Decimal(140),
                    fee=Decimal(0),
                    fee_asset="USDC",
                )
            )
        await real(self)

    monkeypatch.setattr(VenuePlay, where, with_late_trade)
    played = play(TEXT.replace("  round_trip: {at_least: 1}\n", ""), tmp_path)
    assert added == 1
    assert "OVERFILL" in {alarm.code for alarm in played.play.alarms}
    assert played.outcome.verdict == verdict
    if verdict == "not_proven_flat":
        assert "a trade was told after the last reading" in played.outcome.sentence
        assert played.lines()[f"flat/{FIRST}"] == "failed"


def test_a_recovery_that_reaches_nothing_proves_nothing(tmp_path: Path):
    """[ours] An earlier run left something here: not to get in is not to be flat."""
    played = play(TEXT, tmp_path, down=[FIRST], left_by="20260101T000000Z-before/" + FIRST)
    assert told(played)[:2] == ("not_proven_flat", 5)
    assert "was not ready" in played.outcome.sentence
    assert played.lines()[f"flat/{FIRST}"] == "failed"
