"""Whole runs in virtual time: minutes of trading in a moment, the same bytes on every machine."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from app.console import write_reports
from execution.caps import Caps
from runner.heartbeat import HeartbeatSettings
from runner.load import load_scenarios
from tests.contract.arms import ROOMS
from tests.contract.test_contract_tracking import STORM
from tests.e2e.virtual import FIRST, SCENARIOS, World, owner, play
from venues import VENUES

EVERY = sorted(path for path in SCENARIOS.rglob("*.yaml"))
HOLD = """
scenario: hold
title: Open at market, hold for a minute, close
venues: all
market: perp
symbol: SOL
side: buy
size: 0.05
seed: 7
steps:
  - market_open
  - wait: {secs: 60s}
  - market_close
  - assert_flat
accept:
  round_trip: {at_least: 1}
  flat: true
  logs_complete: true
"""


def test_there_are_scenarios_to_play():
    """[ours] The next test must not pass by finding none."""
    assert {path.stem for path in EVERY} >= {"e2e_all", "one_venue", "sell_first", "spot", "strategy"}


def wanted() -> list[tuple[Path, str]]:
    """Each file on each venue that it asks for."""
    found = load_scenarios([str(path) for path in EVERY], known_venues=tuple(VENUES))
    assert not found.mistakes, found.mistakes
    rows = [(scenario, ROOMS if scenario.venues == "all" else scenario.venues) for scenario in found.scenarios]
    return [(Path(scenario.path), venue) for scenario, venues in rows for venue in venues]


@pytest.mark.parametrize(("path", "venue"), wanted(), ids=lambda value: getattr(value, "stem", value))
def test_every_scenario_file_plays_to_accepted_on_every_venue_that_it_asks_for(path: Path, venue: str, tmp_path: Path):
    """[client] Each file that we ship: every step passed, flat by the venue's own books, exit 0."""
    played = play(path, tmp_path, venues=(venue,))
    outcome = played.outcome
    if played.play.error is not None and played.play.error.code == "UNKNOWN_SYMBOL":
        kinds = {each.is_perp for each in played.world.engine(venue).listings.values() if each.base == "SOL"}
        assert (played.play.market == "perp") not in kinds
        pytest.skip(f"{venue} has no such market")
    assert (outcome.verdict, outcome.exit_code, played.play.error) == ("accepted", 0, None), outcome.sentence
    assert {status for _, status in played.steps()} | {status for _, status in played.steps("finally")} == {"passed"}
    assert set(played.lines().values()) == {"passed"}
    assert (played.world.live(), played.world.held()) == ([], 0)
    assert played.play.position.flat is True
    assert played.beats


def test_e2e_all_leaves_all_that_a_report_needs(tmp_path: Path):
    """[client] Attempts, price sequence, timelines that replay, margin before and after, beats, and the reports."""
    played = play(SCENARIOS / "e2e_all.yaml", tmp_path)
    told = played.play
    (tracking,) = told.tracking
    assert (tracking.reason, tracking.filled) == ("FILLED", tracking.quantity)
    assert len(tracking.attempts) == len(tracking.price_sequence) >= 1
    assert max(map(abs, tracking.interval_errors_ms), default=0) <= 300
    assert [order.state for order in told.orders][-2:] == ["FILLED", "FILLED"]
    assert {(tmp_path / "orders" / order.timeline_file).is_file() for order in told.orders} == {True}
    assert told.margin.before is not None
    assert told.margin.after is not None
    assert told.quotes
    assert told.position.proof is not None
    assert (told.position.proof.source, told.position.proof.open_orders) == ("rest", 0)
    heartbeat = played.outcome.heartbeat
    assert heartbeat is not None
    assert heartbeat.max_gap_secs is not None
    assert heartbeat.max_gap_secs <= 15
    beat = json.loads(played.beats[0])
    assert {"ts", "strategy", "venue", "positions", "margin"} <= set(beat)
    write_reports(tmp_path)
    for name in ("report.md", "report.html", "junit.xml"):
        assert (tmp_path / name).stat().st_size > 500, name


def test_the_same_seed_leaves_the_same_bytes_and_another_seed_others(tmp_path: Path):
    """[ours] Order timelines, events.jsonl and outcome.json of two runs are identical, in fair weather and foul."""
    for name, faults in (("fair", ()), ("foul", STORM)):
        first = play(SCENARIOS / "e2e_all.yaml", tmp_path / name / "first", faults=faults).files()
        second = play(SCENARIOS / "e2e_all.yaml", tmp_path / name / "second", faults=faults).files()
        assert first == second
        assert "events.jsonl" in first
        assert any(path.startswith("orders") for path in first)
        third = play(SCENARIOS / "e2e_all.yaml", tmp_path / name / "third", faults=faults, seed=8).files()
        assert third["events.jsonl"] != first["events.jsonl"]


@pytest.mark.parametrize("seed", range(1, 9))
def test_in_any_weather_a_run_ends_flat_or_says_that_it_is_not(seed: int, tmp_path: Path):
    """[ours] Seeded storms of two minutes: the verdict agrees with the venue's own books, and flat is the rule."""
    played = play(SCENARIOS / "e2e_all.yaml", tmp_path, faults=STORM, seed=seed)
    outcome, world = played.outcome, played.world
    really_flat = (world.live(), world.held()) == ([], 0)
    assert outcome.verdict != "accepted" or really_flat
    assert (outcome.verdict == "not_proven_flat") >= (not really_flat)
    # A step may fail in such weather; cleaning up may not.
    assert outcome.verdict in ("accepted", "not_accepted", "environment_failed")
    assert really_flat
    assert [play.alarms for play in outcome.plays if any(alarm.code == "OVERFILL" for alarm in play.alarms)] == []
    assert played.lines().get(f"no_unhandled_errors/{FIRST}") == "passed"


@pytest.mark.parametrize("moment", ["connecting", "ready", "step", "step_ended", "cleanup"])
def test_an_interrupted_run_cleans_up_and_says_so(moment: str, tmp_path: Path):
    """[client] Ctrl-C at any moment: steps end, finally runs, flat is proven, verdict interrupted, exit 4."""

    async def interrupt(world: World) -> None:
        await world.until(moment)
        world.interruption.interrupt("SIGINT")

    played = play(HOLD, tmp_path, beside=interrupt)
    outcome = played.outcome
    assert (outcome.verdict, outcome.exit_code, outcome.interrupted) == ("interrupted", 4, "SIGINT")
    assert (played.world.live(), played.world.held()) == ([], 0)
    if moment != "connecting":
        assert {status for _, status in played.steps("finally")} == {"passed"}
        assert played.play.position.flat is True
        assert "passed" in {verdict for name, verdict in played.lines().items() if name.startswith("flat")}


def test_an_interruption_while_a_tracking_limit_rests_cancels_and_sells_what_it_bought(tmp_path: Path):
    """[client] In the middle of a chase with half its quantity bought: nothing live, nothing held afterwards."""
    chase = HOLD.replace("market_open", "tracking_open: {size: 20, interval_secs: 10s, timeout_secs: 10m}")

    async def interrupt(world: World) -> None:
        while not world.held():
            await world.clock.sleep(0.05)
        assert world.live()
        world.interruption.interrupt("SIGTERM")

    played = play(chase, tmp_path, beside=interrupt)
    assert (played.outcome.verdict, played.outcome.exit_code) == ("interrupted", 4)
    assert played.steps()[0] == ("tracking_open", "interrupted")
    assert {status for _, status in played.steps()[1:]} == {"skipped"}
    assert (played.world.live(), played.world.held()) == ([], 0)
    (tracking,) = played.play.tracking
    assert Decimal(tracking.filled) > 0


def test_a_venue_that_never_answers_fails_alone(tmp_path: Path):
    """[client] Two exchanges, one unreachable: it is environment_failed, the other is accepted and flat, exit 3."""
    played = play(HOLD, tmp_path, venues=(FIRST, "twin"), down=("twin",))
    verdicts = {told.venue: told.verdict for told in played.outcome.plays}
    assert verdicts == {FIRST: "accepted", "twin": "environment_failed"}
    assert (played.outcome.verdict, played.outcome.exit_code) == ("environment_failed", 3)
    failed = next(told for told in played.outcome.plays if told.venue == "twin")
    assert failed.error is not None
    assert failed.error.code == "UNREACHABLE"
    assert (failed.orders, played.world.live(), played.world.held()) == ((), [], 0)
    assert list(played.world.engine("twin").orders) == []


def test_two_exchanges_are_played_at_once_and_judged_each_for_itself(tmp_path: Path):
    """[client] Both accepted; their orders overlap in time and keep to their own books."""
    played = play(HOLD, tmp_path, venues=(FIRST, "twin"))
    assert {told.venue: told.verdict for told in played.outcome.plays} == {FIRST: "accepted", "twin": "accepted"}
    for venue in (FIRST, "twin"):
        assert len(played.world.engine(venue).orders) == 2
        assert played.world.held(venue) == 0
    spans = [(told.steps[0].started_ms, told.steps[-1].ended_ms) for told in played.outcome.plays]
    assert max(began for began, _ in spans) < min(ended for _, ended in spans)


def test_a_venue_that_dies_in_mid_play_is_not_proven_flat_and_the_other_goes_on(tmp_path: Path):
    """[client] Holding a position, the exchange stops answering for good: exit 5 names it; the other is accepted."""

    async def cut(world: World) -> None:
        await world.until("step", venue="twin", verb="wait")
        world.wire.down.add("twin")
        world.wire.gates["twin"].disconnect()

    played = play(HOLD, tmp_path, venues=(FIRST, "twin"), beside=cut)
    assert {told.venue: told.verdict for told in played.outcome.plays} == {
        FIRST: "accepted",
        "twin": "not_proven_flat",
    }
    assert (played.outcome.verdict, played.outcome.exit_code) == ("not_proven_flat", 5)
    assert "twin" in played.outcome.sentence
    assert played.world.held("twin") > 0
    assert played.world.held() == 0


def test_a_failed_step_skips_the_rest_and_runs_finally(tmp_path: Path):
    """[client] An assertion that does not hold: not_accepted, exit 1, later steps skipped, flat."""
    text = HOLD.replace("  - wait: {secs: 60s}\n", "  - assert_position: {at_least: 5}\n")
    played = play(text, tmp_path)
    assert (played.outcome.verdict, played.outcome.exit_code) == ("not_accepted", 1)
    assert [status for _, status in played.steps()] == ["passed", "failed", "skipped", "skipped"]
    assert played.steps("finally") == [("cancel_all", "passed"), ("flatten", "passed")]
    assert played.play.error is not None
    assert (played.play.error.code, bool(played.play.error.next_move)) == ("ASSERTION_FAILED", True)
    assert (played.world.live(), played.world.held()) == ([], 0)


def test_a_refused_order_is_a_failed_step_with_the_venues_code(tmp_path: Path):
    """[client] Refused by the venue: the step says so by code, finally finds nothing to do."""
    reject = {"action": "reject", "on": "engine", "kind": "place", "params": {"reason": "INSUFFICIENT_MARGIN"}}
    played = play(HOLD, tmp_path, faults=[reject])
    assert (played.outcome.verdict, played.outcome.exit_code) == ("not_accepted", 1)
    assert played.play.error is not None
    assert played.play.error.code == "INSUFFICIENT_MARGIN"
    assert [order.state for order in played.play.orders] == ["FAILED"]


def test_an_account_that_is_not_empty_is_refused_before_any_order(tmp_path: Path):
    """[ours] A run cannot prove what it did on a position it does not own: DIRTY_ACCOUNT, nothing sent, exit 3."""

    async def dirty(world: World) -> None:
        engine = world.engine()
        symbol = next(name for name, each in engine.listings.items() if each.is_perp and each.base == "SOL")
        position = engine.accounts[owner(engine)].position(symbol)
        position.net_i, position.cost = 7, Decimal("9.8")

    played = play(HOLD, tmp_path, beside=dirty)
    assert (played.outcome.verdict, played.outcome.exit_code) == ("environment_failed", 3)
    assert played.play.error is not None
    assert played.play.error.code == "DIRTY_ACCOUNT"
    assert (played.play.orders, played.world.held()) == ((), 7)


def test_a_cap_refuses_the_order_before_it_exists(tmp_path: Path):
    """[ours] NOTIONAL_CAP: nothing was ever sent, and that is flat."""
    played = play(HOLD, tmp_path, caps=Caps(order_notional_usd=Decimal(1)))
    assert (played.outcome.verdict, played.outcome.exit_code) == ("not_accepted", 1)
    assert played.play.error is not None
    assert (played.play.error.code, played.play.orders) == ("NOTIONAL_CAP", ())
    assert list(played.world.engine().orders) == []


@pytest.mark.parametrize(
    ("name", "params"),
    [("smoke", ""), ("smoke", "side: sell"), ("patient", "rounds: 2"), ("patient", "side: sell, rounds: 1")],
)
def test_strategies_trade_and_leave_nothing(name: str, params: str, tmp_path: Path):
    """[client] The two examples, both sides: done, flat, and the line they said is in the journal."""
    step = f"  - run_strategy: {{name: {name}, timeout_secs: 20m, params: {{{params}}}}}\n"
    text = HOLD.partition("  - market_open")[0] + step + "  - assert_flat\naccept:\n  flat: true\n"
    played = play(text, tmp_path)
    assert played.outcome.verdict == "accepted", played.outcome.sentence
    assert played.world.heard("note")
    assert (played.world.live(), played.world.held()) == ([], 0)


def test_a_strategy_with_a_wrong_setting_fails_by_name(tmp_path: Path):
    """[ours] STRATEGY_SETTING names what it knows; nothing is sent."""
    step = "  - run_strategy: {name: smoke, params: {hodl_secs: 3}}\n"
    text = HOLD.partition("  - market_open")[0] + step + "accept:\n  flat: true\n"
    played = play(text, tmp_path)
    assert (played.outcome.verdict, played.play.orders) == ("not_accepted", ())
    assert played.play.error is not None
    assert played.play.error.code == "STRATEGY_SETTING"


def test_without_a_heartbeat_endpoint_the_heartbeat_line_fails_and_nothing_else(tmp_path: Path):
    """[ours] Not configured is told as such; the trading is not judged by it."""
    played = play(SCENARIOS / "e2e_all.yaml", tmp_path, heartbeat=HeartbeatSettings())
    assert (played.outcome.verdict, played.outcome.exit_code) == ("not_accepted", 1)
    assert played.play.verdict == "accepted"
    failed = [name for name, verdict in played.lines().items() if verdict == "failed"]
    assert failed == ["heartbeat/run"]


def test_a_faster_pace_shortens_the_play_and_changes_no_timestamp(tmp_path: Path):
    """[client] --speed 20 holds for a twentieth of the time; what is signed stays on real time."""
    slow, fast = play(HOLD, tmp_path / "slow"), play(HOLD, tmp_path / "fast", speed=20.0)
    assert fast.outcome.verdict == slow.outcome.verdict == "accepted"
    assert fast.outcome.duration_secs < slow.outcome.duration_secs / 5
    assert any("shortened" in words for words in fast.outcome.not_tested)


def test_a_play_survives_reconnects_and_tells_of_them(tmp_path: Path):
    """[client] Three breaks while holding: still accepted, each with its length in the report."""

    async def cut(world: World) -> None:
        await world.until("step", verb="wait")
        for _ in range(3):
            await world.clock.sleep(8)
            world.wire.gates[FIRST].disconnect()

    played = play(HOLD, tmp_path, beside=cut)
    assert played.outcome.verdict == "accepted"
    connection = played.play.connection
    assert (connection.losses, len(connection.reconnects)) == (3, 3)
    assert all(row.synced_ms is not None for row in connection.reconnects)
