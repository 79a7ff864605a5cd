"""The simulators' rate limits: what is over one is refused in the venue's own words and has no effect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.chance import Chance
from core.clock import PacedClock, VirtualClock, run_virtual
from venues.simulation import open_simulator
from venues.simulation.app import Request
from venues.simulation.faults import Faults
from venues.simulation.gate import FaultGate
from venues.simulation.limits import Limits, limits_of


def ask(method: str, path: str, query: str = "", body: bytes = b"") -> Request:
    return Request(method, path, query, {}, body)


def info(kind: str) -> Request:
    return ask("POST", "/info", body=json.dumps({"type": kind}).encode())


CASES: list[Any] = [
    ("backpack", ask("GET", "/api/v1/time"), 2_000, 60, '"TOO_MANY_REQUESTS"'),
    ("okx", ask("GET", "/api/v5/account/config"), 5, 2, '"50011"'),
    ("okx", ask("POST", "/api/v5/trade/cancel-all-after", body=b"{}"), 1, 1, '"50011"'),
    ("okx", ask("GET", "/api/v5/trade/order", "instId=SOL-USDT&clOrdId=1"), 60, 2, '"50011"'),
    ("hyperliquid", info("meta"), 60, 60, "null"),
    ("hyperliquid", info("l2Book"), 600, 60, "null"),
    ("hyperliquid", info("userRole"), 20, 60, "null"),
    ("lighter", ask("GET", "/api/v1/nextNonce"), 60, 60, "23000"),
]


@pytest.mark.parametrize(("venue", "request_", "most", "secs", "word"), CASES)
def test_one_more_than_the_sheet_allows_is_refused_until_the_window_has_passed(
    venue: str, request_: Request, most: int, secs: float, word: str
):
    """[venue] The sheet's figures; HTTP 429 in the venue's words, and room again when the window is over."""

    async def main() -> None:
        clock = VirtualClock()
        limits = limits_of(venue, clock)
        assert limits is not None
        assert [limits.http(request_) for _ in range(most)] == [None] * most
        refusal = limits.http(request_)
        assert refusal is not None
        assert (refusal.status, limits.refused) == (429, 1)
        assert word in refusal.body.decode()
        await clock.sleep(secs)
        assert limits.http(request_) is None

    run_virtual(main())


def test_okx_counts_markets_and_kinds_of_request_apart_and_refuses_on_the_stream_too():
    """[venue] Per instrument; place and cancel apart; 50011 in an answer of the usual shape (ws_order_ops.jsonl)."""

    async def main() -> None:
        limits = limits_of("okx", VirtualClock())
        assert isinstance(limits, Limits)

        def placed(code: int, op: str = "order") -> str | None:
            return limits.text(json.dumps({"id": "7", "op": op, "args": [{"instIdCode": code}]}))

        assert {placed(1) for _ in range(60)} == {None}
        assert (placed(2), placed(1, "cancel-order")) == (None, None)
        told = json.loads(placed(1) or "")
        assert (told["id"], told["op"], told["code"], told["data"]) == ("7", "order", "50011", [])
        assert limits.text('{"op":"subscribe","args":[]}') is None

    run_virtual(main())


def test_what_is_over_a_limit_has_no_effect_and_faster_markets_have_faster_minutes():
    """[ours] The gate refuses before the simulator hears of it; at speed 60 a minute of limits lasts a second."""

    async def main() -> None:
        clock = VirtualClock()
        app = open_simulator("lighter", clock=clock, chance=Chance("limits"))
        gate = FaultGate(app, Faults(), clock, limits_of("lighter", PacedClock(clock, 60)))
        heard = []
        real = app.http
        app.http = lambda request: heard.append(request) or real(request)  # type: ignore[method-assign]
        statuses = [(await gate.http(ask("GET", "/"))).status for _ in range(62)]  # type: ignore[union-attr]
        assert (statuses.count(429), len(heard)) == (2, 60)
        await clock.sleep(1)
        assert (await gate.http(ask("GET", "/"))).status == 200  # type: ignore[union-attr]

    run_virtual(main())


def test_binance_refuses_over_its_weight_with_the_time_to_wait():
    """[venue] 2400 a minute; -1003 with Retry-After to the end of the calendar minute; headers tell the count."""

    async def main() -> None:
        clock = VirtualClock()
        gate = FaultGate(open_simulator("binance", clock=clock, chance=Chance("limits")), Faults(), clock)
        await clock.sleep(10)
        first = await gate.http(ask("GET", "/fapi/v1/exchangeInfo"))
        assert first.headers["x-mbx-used-weight-1m"] == "1"  # type: ignore[union-attr]
        for _ in range(2_399):
            assert (await gate.http(ask("GET", "/fapi/v1/time"))).status == 200  # type: ignore[union-attr]
        over = await gate.http(ask("GET", "/fapi/v1/time"))
        assert (over.status, json.loads(over.body)["code"]) == (429, -1003)  # type: ignore[union-attr]
        assert over.headers["retry-after"] == "50"  # type: ignore[union-attr]
        assert (await gate.http(ask("GET", "/api/v3/time"))).status == 200  # type: ignore[union-attr]
        await clock.sleep(50)
        assert (await gate.http(ask("GET", "/fapi/v1/time"))).status == 200  # type: ignore[union-attr]

    run_virtual(main())
