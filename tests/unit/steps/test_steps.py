"""The verbs: each reaches its aim, misses it by name, and has its schema, page and codes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from runner.load import load_scenarios
from steps import CODES, STEPS, StepFailed, run_strategy
from strategy import STRATEGIES, Strategy
from tests.e2e.virtual import Played, World, play
from venues import VENUES

ROOT = Path(__file__).resolve().parents[3]
HEAD = """
scenario: verbs
title: One verb after the other
venues: all
market: {market}
symbol: SOL
side: {side}
size: {size}
seed: 3
steps:
"""


def steps(tmp_path: Path, *lines: str, market: str = "perp", side: str = "buy", size: str = "0.05", **setup) -> Played:
    """Play these steps in virtual time."""
    text = HEAD.format(market=market, side=side, size=size) + "".join(f"  - {line}\n" for line in lines)
    return play(text + "accept:\n  flat: true\n", tmp_path, **setup)


def ends(played: Played) -> list[str]:
    return [status for _, status in played.steps()]


def failure(played: Played) -> tuple[str, str]:
    error = played.play.error
    assert error is not None
    assert error.next_move
    return error.code, error.message


def test_every_verb_has_its_schema_and_every_schema_its_verb():
    """[ours] schemas/steps/<verb>.schema.json for each key of STEPS, and none besides."""
    files = {path.name.removesuffix(".schema.json") for path in (ROOT / "schemas" / "steps").glob("*.schema.json")}
    assert files == set(STEPS)
    for verb in STEPS:
        schema = json.loads((ROOT / "schemas" / "steps" / f"{verb}.schema.json").read_text(encoding="utf-8"))
        assert schema["additionalProperties"] is False, verb
        assert schema["description"], verb


def test_every_code_of_a_step_says_what_it_means_and_what_to_do():
    """[ours] Both sentences are there for each."""
    assert [code for code, (meaning, move) in CODES.items() if not meaning.strip() or not move.strip()] == []


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_market_open_and_close(side: str, tmp_path: Path):
    """[client] Opens the size of the scenario on its side, closes all of it, and says at what price."""
    played = steps(
        tmp_path, "market_open", f"assert_position: {{quantity: 0.05, side: {side}}}", "market_close", side=side
    )
    assert played.outcome.verdict == "accepted"
    opened, _, closed = played.play.steps[:3]
    assert (opened.numbers["filled"], closed.numbers["filled"], closed.numbers["orders"]) == ("0.05", "0.05", "1")
    assert [order.side for order in played.play.orders] == [side, "sell" if side == "buy" else "buy"]


def test_market_close_on_a_flat_account_has_nothing_to_do(tmp_path: Path):
    """[ours] Passed, no order."""
    played = steps(tmp_path, "market_close", "tracking_close")
    assert (ends(played), played.play.orders) == (["passed", "passed"], ())


def test_tracking_open_and_tracking_close(tmp_path: Path):
    """[client] In and out by the same tracking limit; the second reduces only."""
    patience = "{interval_secs: 5s, timeout_secs: 5m, max_attempts: 60}"
    played = steps(tmp_path, f"tracking_open: {patience}", f"tracking_close: {patience}", "assert_flat")
    assert (played.outcome.verdict, ends(played)) == ("accepted", ["passed"] * 3)
    assert [(row.side, row.reason) for row in played.play.tracking] == [("buy", "FILLED"), ("sell", "FILLED")]


def test_a_tracking_limit_that_is_not_filled_in_time_fails_by_name_unless_that_is_allowed(tmp_path: Path):
    """[client] NOT_FILLED with how much was; with require_filled: no it is a result like any other."""
    far = "tracking_open: {timeout_secs: 3s, interval_secs: 2s, price_offset_ticks: 200"
    strict = steps(tmp_path / "strict", far + "}", "wait: {secs: 1s}")
    assert (ends(strict), failure(strict)[0]) == (["failed", "skipped"], "NOT_FILLED")
    loose = steps(tmp_path / "loose", far + ", require_filled: false}", "wait: {secs: 1s}")
    assert (loose.outcome.verdict, ends(loose)) == ("accepted", ["passed", "passed"])
    assert loose.play.steps[0].numbers["reason"] == "TIMEOUT"


def test_limit_open_fills_or_is_cancelled_and_settled(tmp_path: Path):
    """[client] One limit order at the own best; what is not filled in time is cancelled, and the step fails."""
    good = steps(tmp_path / "good", "limit_open: {timeout_secs: 5m}", "market_close")
    assert (good.outcome.verdict, good.play.orders[0].kind) == ("accepted", "limit")
    late = steps(tmp_path / "late", "limit_open: {timeout_secs: 2s, price_offset_ticks: 200}")
    assert (failure(late)[0], late.play.orders[0].state, late.world.live()) == ("NOT_FILLED", "CANCELLED", [])


def test_waits_follow_the_plays_clock_and_random_ones_its_seed(tmp_path: Path):
    """[client] wait is exact; random_wait lies between its bounds and repeats with the seed."""

    def waited(name: str, **setup) -> list[float]:
        played = steps(tmp_path / name, "wait: {secs: 7s}", "random_wait: {min_secs: 2s, max_secs: 9s}", **setup)
        return [(row.ended_ms - row.started_ms) / 1000 for row in played.play.steps if row.phase == "steps"]

    first = waited("first")
    assert first[0] == pytest.approx(7, abs=0.01)
    assert 2 <= first[1] <= 9
    assert waited("second") == first
    assert waited("third", seed=4)[1] != first[1]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("assert_position: {at_least: 1}", "wanted at least 1"),
        ("assert_position: {at_most: 0.01}", "wanted at most 0.01"),
        ("assert_position: {quantity: 0.06}", "wanted 0.06"),
        ("assert_position: {side: sell}", "wanted short"),
        ("assert_margin: {available_at_least: 99999999}", "wanted at least 99999999"),
        ("assert_margin: {balance_at_least: 99999999}", "wanted at least 99999999"),
    ],
)
def test_an_assertion_that_does_not_hold_says_what_is_and_what_was_wanted(line: str, words: str, tmp_path: Path):
    """[client] ASSERTION_FAILED with both numbers; cleaned up afterwards."""
    played = steps(tmp_path, "market_open", line)
    code, message = failure(played)
    assert code == "ASSERTION_FAILED"
    assert words in message
    assert (played.outcome.exit_code, played.world.held()) == (1, 0)


def test_assertions_that_hold_pass(tmp_path: Path):
    """[client] Position by fills, by bounds and by side; margin by both numbers."""
    played = steps(
        tmp_path,
        "market_open",
        "assert_position: {quantity: filled, side: buy, at_least: 0.05, at_most: 0.05}",
        "assert_margin: {available_at_least: 1, balance_at_least: 1}",
        "market_close",
    )
    assert ends(played) == ["passed"] * 4


def test_assert_flat_on_a_position_fails_and_tolerance_is_counted_in_lots(tmp_path: Path):
    """[client] NOT_FLAT names what is held; five lots of tolerance let five lots pass."""
    code, message = failure(steps(tmp_path / "strict", "market_open", "assert_flat"))
    assert code == "NOT_FLAT"
    assert "0.05 SOL" in message
    loose = steps(tmp_path / "loose", "market_open", "assert_flat: {tolerance_lots: 5}")
    assert ends(loose) == ["passed", "passed"]


def test_a_size_below_the_minimum_fails_before_anything_is_sent(tmp_path: Path):
    """[ours] MIN_SIZE with the smallest size that would do."""
    played = steps(tmp_path, "market_open", size="0.001 USD")
    code, message = failure(played)
    assert code == "MIN_SIZE"
    assert "smallest order" in message
    assert list(played.world.engine().orders) == []


def test_a_size_in_dollars_is_rounded_down_to_the_lot(tmp_path: Path):
    """[client] 25 USD buys at most 25 USD."""
    played = steps(tmp_path, "market_open", "market_close", size="25 USD")
    order = played.play.orders[0]
    assert order.average_price is not None
    assert 20 < float(order.filled) * float(order.average_price) <= 25.1


def test_cancel_all_and_flatten_in_the_middle_of_a_scenario(tmp_path: Path):
    """[client] As steps they do what they do in finally: settled, closed, proven."""
    played = steps(tmp_path, "market_open", "cancel_all", "flatten", "assert_flat")
    assert (played.outcome.verdict, ends(played)) == ("accepted", ["passed"] * 4)


def test_a_step_that_breaks_is_told_as_our_fault_and_cleaned_up(tmp_path: Path, monkeypatch):
    """[ours] An exception of the program itself: INTERNAL, no_unhandled_errors fails, flat, exit 1."""
    from steps import wait

    async def broken(play, args):
        raise ZeroDivisionError("planted")

    monkeypatch.setitem(STEPS, "wait", STEPS["wait"].__class__(wait.Args, broken))
    text = HEAD.format(market="perp", side="buy", size="0.05") + "  - market_open\n  - wait: {secs: 1s}\n"
    played = play(text + "accept:\n  flat: true\n  no_unhandled_errors: true\n", tmp_path)
    assert failure(played)[0] == "INTERNAL"
    assert (played.outcome.exit_code, played.world.held()) == (1, 0)
    assert [name for name, verdict in played.lines().items() if verdict == "failed"] == [
        f"no_unhandled_errors/{played.play.venue}"
    ]


def test_on_spot_the_verbs_trade_the_coin_itself(tmp_path: Path):
    """[client] Bought, held against the coins that were there before, sold again; dust below a lot is told."""

    async def look(world: World) -> None:
        await world.until("step_ended", verb="market_open")

    played = steps(tmp_path, "market_open", "assert_position: {quantity: filled}", "market_close", "assert_flat",
                   market="spot", size="50 USD", beside=look)  # fmt: skip
    assert (played.outcome.verdict, ends(played)) == ("accepted", ["passed"] * 4)
    assert {order.kind for order in played.play.orders} == {"market"}


def test_a_strategy_without_a_run_method_is_refused_where_the_scenario_names_it(tmp_path: Path, monkeypatch):
    """[client] `runner check` marks the name; a play that gets past it fails the step with the same words."""

    class Empty(Strategy):
        name = "empty"

    monkeypatch.setitem(STRATEGIES, "empty", Empty)
    path = tmp_path / "empty.yaml"
    path.write_text(HEAD.format(market="perp", side="buy", size="min") + "  - run_strategy: {name: empty}\n")
    found = load_scenarios([str(path)], known_venues=tuple(VENUES), on="sim")
    (mistake,) = found.mistakes
    assert (mistake.code, mistake.found, mistake.length) == ("STRATEGY_BROKEN", "empty", 5)
    assert mistake.message == "The strategy empty has no run method."
    with pytest.raises(StepFailed) as failed:
        asyncio.run(run_strategy.run(None, run_strategy.Args(name="empty", timeout_secs=1.0)))
    assert (failed.value.code, failed.value.message) == ("STRATEGY_BROKEN", "strategy empty has no run method")
    assert "async def run" in failed.value.next_move
