"""The smoke test: open the smallest size by tracking limit, wait a moment, close at market."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from core.precision import plain
from execution.tracking_limit import Reason
from strategy.base import Strategy
from strategy.trading import ActFailed


class SmokeTest(Strategy):
    """One smallest round trip; fails when the opening order is not filled in time."""

    name = "smoke"
    params: ClassVar[Mapping[str, Any]] = {
        "side": "",
        "hold_secs": 2.0,
        "interval_secs": 10.0,
        "timeout_secs": 120.0,
    }

    async def run(self) -> str:
        settings = self.settings
        result = await self.trade.open_tracking(
            str(settings["side"]),
            interval_secs=float(settings["interval_secs"]),
            timeout_secs=float(settings["timeout_secs"]),
        )
        if result.reason is not Reason.FILLED:
            raise ActFailed("NOT_FILLED", f"the opening order ended as {result.reason}", "Give it more time.")
        self.say(f"open at {plain(result.average_price)}" if result.average_price is not None else "open")
        await self.trade.wait(float(settings["hold_secs"]))
        closing = await self.trade.market_close()
        return f"attempts to open: {len(result.attempts)}, orders to close: {len(closing)}"
