"""SIGKILL at the writes of the journal, on sockets with real processes. `python tests/e2e/killed.py --all`: at all."""

from __future__ import annotations

import pytest

from tests.e2e.killed import SHARE, Told, places, try_all
from venues import VENUES

pytestmark = pytest.mark.sockets

EVERY_WRITE = "okx"
SHARES = {venue: 1_000 if venue == EVERY_WRITE else SHARE for venue in VENUES}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    found = try_all(tmp_path_factory.mktemp("killed"), SHARES)
    return {each.venue: each for each in found}


@pytest.mark.parametrize("venue", VENUES)
def test_a_killed_play_is_recovered_and_nothing_is_sent_twice_or_left(told: dict[str, Told], venue: str) -> None:
    """[client] SIGKILL at a write: a new play is refused if anything is left, recover leaves nothing, exit 0."""
    found = told[venue]
    assert found.lines == []
    assert found.deaths == (found.writes if venue == EVERY_WRITE else SHARE)


def test_every_way_to_die_was_met(told: dict[str, Told]) -> None:
    """[ours] With nothing sent, with orders or a position left, and with everything done but the last line."""
    found = told[EVERY_WRITE]
    assert 0 < found.refused < found.deaths
    assert 0 < found.recovered < found.deaths


def test_the_writes_to_die_at_are_spread_over_the_play_on_both_sides() -> None:
    """[ours] Every write before or after in turn; a share of them takes none twice; `--all` takes both sides."""
    assert places(4, 1_000) == [(1, False), (2, True), (3, False), (4, True)]
    assert places(15, 4) == [(2, False), (6, True), (10, False), (14, True)]
    assert len(places(15, None)) == 30
