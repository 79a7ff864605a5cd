"""Caps and the price band in a whole play: the opening is refused in words, what is open is closed all the same."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core.chance import Chance
from core.clock import VirtualClock, run_virtual
from execution.caps import Caps
from execution.journal import Journal
from execution.positions import Positions
from execution.risk import Risk
from execution.timeline import Timelines
from runner.play import Shared, VenuePlay
from tests.e2e.virtual import FIRST, play
from tests.unit.execution.venue_double import VenueDouble
from venues.connector import Connector

TEXT = f"""
scenario: twice
title: Open twice
venues: [{FIRST}]
market: perp
symbol: SOL
side: buy
size: 0.05
seed: 7
steps:
  - market_open
  - market_open
  - market_close
accept:
  flat: true
"""


@pytest.mark.parametrize(
    ("cap", "words"),
    [
        ("play_notional_usd", f"this play on {FIRST} could open"),
        ("total_notional_usd", "the run could open"),
        ("day_notional_usd", f"this account on {FIRST}, over all its runs of this UTC day, could open"),
    ],
)
def test_the_opening_that_would_pass_a_cap_is_refused_and_what_is_open_is_closed(tmp_path: Path, cap: str, words: str):
    """[client] 0.05 SOL are worth 7 USD: one fits under 10, two do not; the cleanup closes the one."""
    played = play(TEXT, tmp_path, caps=Caps(**{cap: Decimal(10)}))
    assert [status for _, status in played.steps()] == ["passed", "failed", "skipped"]
    error = played.play.error
    assert error is not None
    assert error.code == "NOTIONAL_CAP"
    assert words in error.message
    assert (played.outcome.verdict, played.world.held(), played.world.live()) == ("not_accepted", 0, [])


def test_a_day_goes_on_in_the_next_run(tmp_path: Path):
    """[client] The same journal, the same day, another run: its first opening is refused."""
    settings: dict[str, Any] = {"caps": Caps(day_notional_usd=Decimal(10)), "journal": str(tmp_path / "journal.db")}
    once = TEXT.replace("  - market_open\n  - market_open\n", "  - market_open\n")
    first = play(once, tmp_path / "a", **settings)
    second = play(once, tmp_path / "b", run_id="second", **settings)
    assert (first.outcome.verdict, second.outcome.verdict) == ("accepted", "not_accepted")
    assert [status for _, status in second.steps()] == ["failed", "skipped"]


def test_a_torn_book_stops_a_market_order_and_not_an_order_that_rests_at_its_own_side(tmp_path: Path, monkeypatch):
    """[client] The ask is a third too high: nothing is bought there; a bid rests, fills, and the cleanup closes it."""
    real = Connector.get_top_of_book

    async def torn(self: Connector, symbol: str) -> tuple[int | None, int | None, int]:
        bid_i, ask_i, scale = await real(self, symbol)
        return bid_i, None if ask_i is None else ask_i * 4 // 3, scale

    monkeypatch.setattr(Connector, "get_top_of_book", torn)
    caps = Caps(price_band_bps=1_000)
    refused = play(TEXT, tmp_path / "a", caps=caps)
    assert refused.play.error is not None
    assert refused.play.error.code == "PRICE_BAND"
    assert "the band is 10 %" in refused.play.error.message
    assert refused.play.orders == ()
    chased = TEXT.replace("  - market_open\n  - market_open\n  - market_close\n", "  - tracking_open\n")
    resting = play(chased, tmp_path / "b", caps=caps)
    assert (resting.outcome.verdict, resting.world.held()) == ("accepted", 0)
    assert [order.state for order in resting.play.orders].count("FILLED") == 2


@pytest.mark.parametrize(("left_by", "counted_to"), [(None, "now/double"), ("before/double", "before/double")])
def test_a_recovered_play_goes_on_with_the_sum_of_the_play_it_recovers(left_by: str | None, counted_to: str):
    """[client] caps.play_notional_usd survives the crash under the name of the play that crashed."""

    async def main() -> str:
        clock = VirtualClock()
        positions, journal = Positions(clock), Journal(":memory:")
        shared: Any = Shared(
            run="now",
            plan=None,  # type: ignore[arg-type]
            clock=clock,
            pace=clock,
            chance=Chance(1),
            journal=journal,
            timelines=Timelines(None),
            positions=positions,
            risk=Risk(Caps(), positions, journal),
            events=None,  # type: ignore[arg-type]
        )
        return VenuePlay(shared, VenueDouble(clock), "acc", left_by=left_by).desk.play

    assert run_virtual(main()) == counted_to
