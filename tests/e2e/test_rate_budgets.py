"""Rate budgets of whole runs: no simulator ever has to say "too many", and cancels go before everything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from execution.order import State
from reports.render import render
from tests.contract.arms import ROOMS, Stack
from tests.contract.arms import play as play_stack
from tests.e2e.virtual import SCENARIOS, play
from venues.errors import LocalRuleError, VenueError
from venues.simulation.app import Reply, Request
from venues.simulation.memory import MemoryWire

PLAYS = 20


def refused(gate: Any) -> int:
    """How often the simulated venue said "too many requests"."""
    counts = gate.limits if gate.limits is not None else gate.app._gateway.counts
    return int(counts.refused)


def peaks(gate: Any) -> dict[str, int]:
    counts = gate.limits if gate.limits is not None else gate.app._gateway.counts
    return dict(counts.peaks)


def test_an_acceptance_run_over_all_exchanges_meets_no_429(tmp_path: Path):
    """[client] Accepted on every simulator with its limits enforced; the outcome tells what was used of them."""
    played = play(SCENARIOS / "e2e_all.yaml", tmp_path, venues=ROOMS)
    assert played.outcome.verdict == "accepted"
    for told in played.outcome.plays:
        gate = played.world.wire.gates[told.venue]
        assert refused(gate) == 0
        assert sum(peaks(gate).values()) > 0
        assert told.rates
        assert told.rates.refused == 0
        assert told.rates.limits
        for limit in told.rates.limits:
            assert 0 < limit.peak <= limit.limit


def test_a_report_tells_the_limits_and_a_refusal(tmp_path: Path):
    """[client] A line an exchange; a run that met a 429 shows it."""
    played = play(SCENARIOS / "e2e_all.yaml", tmp_path, venues=(ROOMS[0],))
    page = render(json.loads((tmp_path / "outcome.json").read_bytes())).markdown
    assert "No request was refused for its rate" in page
    fault = {"action": "rate_limit", "on": "http", "kind": "margin", "nth": [1], "params": {"status": 429}}
    played = play(SCENARIOS / "e2e_all.yaml", tmp_path / "hit", venues=(ROOMS[0],), faults=[fault])
    (told,) = played.outcome.plays
    assert told.rates
    assert told.rates.refused == 1
    page = render(json.loads((tmp_path / "hit" / "outcome.json").read_bytes())).markdown
    assert "1 time" in page
    assert "too many requests" in page


@pytest.mark.parametrize("left", [0, 8, 12, 14, 16, 18, 22, 40])
def test_a_run_right_after_others_waits_for_room_and_is_accepted(tmp_path: Path, left: int):
    """[client] Runs before it used Lighter's 60 requests a minute up, whatever it does when it meets the limit."""

    def used_up(gates: Any, *rest: Any, **more: Any) -> MemoryWire:
        for _ in range(60 - left):
            assert gates["lighter"].limits.http(Request("GET", "/api/v1/account", "", {}, b"")) is None
        return MemoryWire(gates, *rest, **more)

    played = play(SCENARIOS / "e2e_all.yaml", tmp_path, venues=("lighter",), make_wire=used_up)
    assert played.outcome.verdict == "accepted"
    assert (played.world.held(), played.world.live()) == (0, [])
    assert refused(played.world.wire.gates["lighter"]) > 0 or left == 40


def test_okx_may_say_too_many_requests_with_http_200_and_the_reading_is_tried_again():
    """[venue] 50011 over HTTP 200 (fixtures/okx/error_codes.json): the reading comes all the same."""
    told = '{"code":"50011","msg":"Rate limit reached.","data":[]}'

    async def body(opened: Stack) -> None:
        order = await opened.rest()
        answers, real = [Reply(200, told.encode()), Reply(200, told.encode())], opened.gate.app.http

        def http(request: Request) -> Reply:
            return answers.pop() if answers and request.path.endswith("orders-pending") else real(request)

        opened.gate.app.http = http  # type: ignore[method-assign]
        (seen,) = await opened.connector.get_open_orders()
        assert (seen.client_id, answers, opened.connector.rates.refused) == (order.client_id, [], 2)
        await opened.desk.settle(order)

    play_stack("memory", "okx", body)


@pytest.mark.parametrize("venue", ROOMS)
def test_under_the_load_of_twenty_plays_no_window_overflows_and_cancels_go_first(venue: str):
    """[client] Submits wait or are refused locally; no cancel ever waits behind them, and the venue refuses nothing."""

    async def body(opened: Stack) -> None:
        waits: list[float] = []
        held_up: list[str] = []
        size_i, price_i = await opened.size(), await opened.away()

        async def one() -> None:
            for _ in range(6):
                try:
                    order = await opened.desk.place_limit(
                        opened.market, is_ask=False, size_i=size_i, price_i=price_i, leg="test/load"
                    )
                except LocalRuleError as error:
                    held_up.append(error.code)
                    continue
                if order.state is State.FAILED:
                    held_up.append(order.code)
                    assert order.code == "RATE_LIMITED"
                    await opened.clock.sleep(5)
                    continue
                asked = opened.clock.monotonic()
                try:
                    await opened.connector.cancel_by_client_id(opened.market.venue_symbol, order.client_id)
                finally:
                    waits.append(opened.clock.monotonic() - asked)

        async with anyio.create_task_group() as group:
            for _ in range(PLAYS):
                group.start_soon(one)
        assert refused(opened.gate) == 0
        assert opened.connector.rates.refused == 0
        assert waits
        # Two ways of a request and the next nonce, where there is one: milliseconds, no budget in it.
        assert max(waits) < 0.5
        for limit in opened.connector.rates.windows:
            assert limit.peak <= limit.limit
        if venue == "lighter":
            # The only one whose sheet has fewer than 120 orders a minute.
            assert set(held_up) == {"RATE_LIMITED"}
        left = await opened.desk.settle_all(within_secs=300)
        assert left == []

    play_stack("memory", venue, body)


@pytest.mark.parametrize("venue", ROOMS)
def test_a_wait_for_room_comes_before_the_signature_and_its_expiry(venue: str, monkeypatch: pytest.MonkeyPatch):
    """[ours] An order that waited 4 s is signed after the wait, so it is taken; a longer wait sends none."""

    async def body(opened: Stack) -> None:
        made: list[float] = []
        real, budget = type(opened.dialect).place, opened.connector._budget

        def place(self: Any, *args: Any, **more: Any) -> Any:
            made.append(opened.clock.monotonic())
            return real(self, *args, **more)

        monkeypatch.setattr(type(opened.dialect), "place", place)
        costs = opened.dialect.rates.order_cost(opened.market.venue_symbol, cancel=False, rest=False)
        costs = costs or opened.dialect.rates.order_cost(opened.market.venue_symbol, cancel=False, rest=True)
        budget.refuse(costs, 4.0)
        began = opened.clock.monotonic()
        order = await opened.rest()
        assert made[0] - began > 3.999
        assert not order.in_doubt
        await opened.desk.settle(order)
        budget.refuse(costs, 60.0)
        made.clear()
        late = await opened.desk.place_limit(
            opened.market, is_ask=False, size_i=await opened.size(), price_i=await opened.away(), leg="test/late"
        )
        assert (late.state, late.code, made) == (State.FAILED, "RATE_LIMITED", [])
        with pytest.raises(VenueError) as told:
            await opened.connector.cancel_by_client_id(opened.market.venue_symbol, order.client_id)
        assert told.value.code in ("RATE_LIMITED", "ORDER_NOT_FOUND")

    play_stack("memory", venue, body)
