"""The venue's own dead-man's switch in a whole run: armed before the first order, refreshed, disarmed once flat."""

from __future__ import annotations

import itertools
from importlib import import_module
from pathlib import Path

import pytest

from core.clock import VIRTUAL_EPOCH_MS, VirtualClock
from tests.e2e import virtual
from venues import VENUES
from venues.connector import Connector

SCENARIO = """scenario: long_hold
title: Hold longer than the switch waits
venues: all
symbol: SOL
steps:
  - market_open
  - wait: {secs: 400}
  - market_close
  - assert_flat
accept:
  flat: true
  no_unhandled_errors: true
"""


def abilities(venue: str):
    return import_module(f"{VENUES[venue]}.facts").ABILITIES


@pytest.mark.parametrize("venue", [venue for venue in VENUES if abilities(venue).dead_mans_switch])
def test_the_switch_is_refreshed_in_time_and_taken_back_at_the_end(venue: str, tmp_path: Path, monkeypatch) -> None:
    """[client] Never a gap as long as the countdown while the play lives; nothing is armed after it is disarmed."""
    said: list[tuple[str, float]] = []
    arm, disarm = Connector.arm_dead_man, Connector.disarm_dead_man

    async def armed(self: Connector, symbol: str) -> None:
        await arm(self, symbol)
        said.append(("armed", VirtualClock().monotonic()))

    async def disarmed(self: Connector, symbol: str) -> None:
        await disarm(self, symbol)
        said.append(("disarmed", VirtualClock().monotonic()))

    monkeypatch.setattr(Connector, "arm_dead_man", armed)
    monkeypatch.setattr(Connector, "disarm_dead_man", disarmed)
    played = virtual.play(SCENARIO, tmp_path, venues=[venue])
    assert played.outcome.verdict == "accepted"
    assert [word for word, _ in said].count("disarmed") == 1
    assert said[-1][0] == "disarmed"
    moments = [at for _, at in said]
    longest = max(after - before for before, after in itertools.pairwise(moments))
    assert longest < abilities(venue).dead_man_secs
    first_order_ms = min(order.sent_ms for order in played.play.orders if order.sent_ms is not None)
    assert VIRTUAL_EPOCH_MS + round(moments[0] * 1000) <= first_order_ms
