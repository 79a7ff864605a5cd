"""``runner doctor`` about a coin: its smallest orders, or that the exchange does not know it."""

from __future__ import annotations

import pytest

from app.console import OUTSIDE
from core.chance import Chance
from core.clock import VirtualClock, run_virtual
from runner.command import ENVIRONMENT_FAILED, main
from runner.doctor import Finding, examine
from tests.e2e.virtual import FIRST, reached
from venues import VENUES
from venues.simulation import open_simulator
from venues.simulation.memory import MemoryWire


def asked(venue: str, symbol: str) -> Finding:
    async def whole() -> Finding:
        clock, chance = VirtualClock(), Chance(1)
        wire = MemoryWire({venue: open_simulator(venue, clock=clock, chance=chance)}, clock, chance)
        return await examine(venue, reached(venue, wire, clock, chance).venue, clock, symbol)

    return run_virtual(whole())


@pytest.mark.parametrize("venue", VENUES)
def test_a_coin_that_the_exchange_does_not_know_is_not_well(venue: str):
    """[client] Neither market has it: BAD, with the code, the nearest names and what to do."""
    finding = asked(venue, "SOOL")
    assert not finding.well
    bad = [words for good, words in finding.lines if good is False]
    assert bad == [f"UNKNOWN_SYMBOL: {venue} has no market for SOOL"]
    said = "\n".join(words for _, words in finding.lines)
    assert "the nearest name is SOL" in said
    assert "what to do: Look at the nearest names" in said


@pytest.mark.parametrize("venue", VENUES)
def test_a_coin_with_only_one_kind_of_market_is_well(venue: str):
    """[client] SOL has a perp everywhere; an exchange without its spot market is told as a fact."""
    finding = asked(venue, "SOL")
    assert finding.well
    assert any("perp: " in words and "smallest order" in words for _, words in finding.lines)


@pytest.mark.sockets
def test_an_unknown_coin_ends_like_every_other_trouble(tmp_path, monkeypatch, capsys):
    """[client] Exit 3 and NOT WELL."""
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "--venue", FIRST, "--symbol", "NOSUCH"], OUTSIDE) == ENVIRONMENT_FAILED
    assert f"{FIRST} (sim): NOT WELL" in capsys.readouterr().out
