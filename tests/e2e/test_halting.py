"""Halting a run from outside, in virtual time: what is live is cancelled, what is held stays or is closed, as asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reports.render import render
from runner.outcome import Halted
from tests.contract.arms import ROOMS
from tests.e2e.virtual import FIRST, World, play

RESTING = """scenario: resting
title: Hold a position and an order far away
venues: all
symbol: SOL
side: buy
size: min
seed: 3
steps:
  - market_open
  - limit_open: {price_offset_ticks: 900, timeout_secs: 300}
  - wait: {secs: 300}
finally:
  - cancel_all
  - flatten
accept:
  flat: true
"""


def halting(*, flatten: bool, secs: float = 4.0):
    async def beside(world: World) -> None:
        await world.until("step", verb="limit_open")
        await world.clock.sleep(secs)
        world.interruption.halt(Halted(by="command", at_ms=world.clock.now_ms(), flatten=flatten))

    return beside


@pytest.mark.parametrize("venue", ROOMS)
def test_a_halt_cancels_and_settles_and_leaves_the_position_as_asked(venue: str, tmp_path: Path):
    """[client] Exit 5 with the words; no order after the halt, none live, the exchange's own reading of the rest."""
    played = play(RESTING, tmp_path, venues=(venue,), beside=halting(flatten=False))
    outcome, told = played.outcome, played.play
    assert (outcome.verdict, outcome.exit_code) == ("not_proven_flat", 5)
    assert "halted by hand; positions were left open as asked: the exchange reads" in outcome.sentence
    assert outcome.halted
    assert (outcome.halted.by, outcome.halted.flatten) == ("command", False)
    assert (played.world.live(), played.world.held() != 0) == ([], True)
    assert told.position.proof is not None
    assert (told.position.flat, told.position.proof.open_orders) == (False, 0)
    assert {status for _, status in played.steps("finally")} == {"skipped"}
    assert all((order.sent_ms or 0) <= outcome.halted.at_ms for order in told.orders)
    assert {order.state for order in told.orders} == {"FILLED", "CANCELLED"}


@pytest.mark.parametrize("venue", ROOMS)
def test_a_halt_that_flattens_runs_the_scenarios_own_cleanup(venue: str, tmp_path: Path):
    """[client] As after Ctrl-C: exit 4, flat by the exchange's own books; what was live is cancelled before."""
    played = play(RESTING, tmp_path, venues=(venue,), beside=halting(flatten=True))
    assert (played.outcome.verdict, played.outcome.exit_code) == ("interrupted", 4)
    assert (played.world.live(), played.world.held()) == ([], 0)
    assert {status for _, status in played.steps("finally")} == {"passed"}
    assert played.outcome.halted
    page = render(json.loads((tmp_path / "outcome.json").read_bytes())).markdown
    assert "by the command runner halt, positions to be closed" in page


def test_on_spot_the_coins_that_the_play_bought_count_as_held(tmp_path: Path):
    """[client] There is no position on spot; the state tells the balance that the play changed."""
    seen = {}

    async def beside(world: World) -> None:
        await world.until("step", verb="limit_open")
        await world.clock.sleep(4)
        seen.update(world.interruption.state()["venues"][FIRST])
        world.interruption.halt(Halted(by="endpoint", at_ms=world.clock.now_ms(), flatten=False))

    # Spot prices have two decimals here, so as many ticks are further away.
    text = RESTING.replace("symbol: SOL", "market: spot\nsymbol: SOL").replace("ticks: 900", "ticks: 90")
    played = play(text, tmp_path, beside=beside)
    assert played.outcome.exit_code == 5
    assert len(seen["held"]) == 1
    assert "positions were left open as asked" in played.outcome.sentence


def test_a_halt_before_anything_began_sends_nothing(tmp_path: Path):
    """[ours] While it connects: the play ends, proven flat because nothing was ever sent."""

    async def early(world: World) -> None:
        world.interruption.halt(Halted(by="endpoint", at_ms=0, flatten=False))

    played = play(RESTING, tmp_path, beside=early)
    assert (played.outcome.verdict, list(played.world.engine().orders)) == ("interrupted", [])


def test_a_halt_during_the_cleanup_keeps_it_from_trading_unless_it_flattens(tmp_path: Path):
    """[ours] Asked to leave things open, the cleanup stops sending; asked to flatten, it goes on as it was."""
    for flatten, held in ((False, True), (True, False)):

        async def late(world: World, flatten: bool = flatten) -> None:
            await world.until("step", verb="limit_open")
            world.interruption.interrupt("SIGINT")
            await world.until("step", phase="finally", verb="cancel_all")
            world.interruption.halt(Halted(by="endpoint", at_ms=world.clock.now_ms(), flatten=flatten))

        played = play(RESTING, tmp_path / str(flatten), beside=late)
        assert (played.world.held() != 0, played.world.live()) == (held, [])


def test_no_order_leaves_while_halted_whatever_asks_for_one(tmp_path: Path):
    """[client] A chase in its middle of posting ends; every order of the run was sent before the halt."""
    text = RESTING.replace(
        "  - limit_open: {price_offset_ticks: 900, timeout_secs: 300}",
        "  - tracking_open: {interval_secs: 2, timeout_secs: 200, max_attempts: 90, price_offset_ticks: 900}",
    )

    async def beside(world: World) -> None:
        await world.until("step", verb="tracking_open")
        await world.clock.sleep(7)
        world.interruption.halt(Halted(by="endpoint", at_ms=world.clock.now_ms(), flatten=False))
        assert world.interruption.state()["halted"]

    played = play(text, tmp_path, beside=beside)
    assert played.outcome.halted
    halted_ms = played.outcome.halted.at_ms
    assert len(played.play.orders) > 3
    assert max(order.sent_ms or 0 for order in played.play.orders) <= halted_ms
    assert played.world.live() == []


def test_the_state_tells_what_is_live_and_held_by_venue(tmp_path: Path):
    """[client] GET /state while it runs: the resting order and the position; nothing of either at the end."""
    seen = {}

    async def beside(world: World) -> None:
        await world.until("step", verb="limit_open")
        await world.clock.sleep(4)
        seen.update(world.interruption.state()["venues"][FIRST])
        world.interruption.interrupt("SIGINT")

    played = play(RESTING, tmp_path, beside=beside)
    (order,) = seen["live"]
    assert order["side"] == "buy"
    assert order["filled"] == "0"
    assert list(seen["held"].values()) == [order["size"]]
    assert (seen["ended"], seen["proven_flat"]) == (False, False)
    after = played.world.interruption.state()["venues"][FIRST]
    assert (after["live"], after["held"], after["proven_flat"]) == ([], {}, True)


@pytest.mark.parametrize("venue", ROOMS)
def test_a_closing_order_that_waits_for_room_does_not_leave_after_a_halt(venue: str, tmp_path: Path):
    """[client] The halt came while the order waited in the rate budget: the exchange never hears of it."""
    before: list[int] = []

    async def beside(world: World) -> None:
        await world.until("step", verb="limit_open")
        world.interruption.interrupt("SIGINT")
        await world.until("step", phase="finally", verb="flatten")
        (play,) = world.interruption._plays
        connector: Any = play.venue
        rules, symbol = connector._dialect.rates, play.trade.market.venue_symbol
        for rest in (False, True):
            connector._budget.refuse(rules.order_cost(symbol, cancel=False, rest=rest), 4.0)
        await world.clock.sleep(1)
        assert [order.over for order in play.desk.book.values() if order.intent.reduce_only] == [False]
        before.append(len(world.engine(venue).orders))
        world.interruption.halt(Halted(by="command", at_ms=world.clock.now_ms(), flatten=False))

    played = play(RESTING, tmp_path, venues=(venue,), beside=beside)
    assert [len(played.world.engine(venue).orders)] == before
    assert (played.world.held() != 0, played.world.live()) == (True, [])
    assert played.outcome.exit_code == 5
    assert "positions were left open as asked" in played.outcome.sentence
    assert [order.state for order in played.play.orders if order.side == "sell"] == ["FAILED"]
    assert not any(order.in_doubt for order in played.play.orders)
