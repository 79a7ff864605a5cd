"""
Patient round trips: in and out by tracking limit, so that neither side takes from the book.

Which exchange it trades on is one word, and that word is not in here: ``venues: [backpack]`` in the scenario, or
``--venue backpack`` on the command line. Change the word and the same file trades elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from core.words import counted
from execution.tracking_limit import Reason
from strategy.base import Strategy
from strategy.trading import ActFailed


class PatientRounds(Strategy):
    """``rounds`` round trips with the scenario's side and size; what the closing leaves goes at market."""

    name = "patient"
    params: ClassVar[Mapping[str, Any]] = {
        "side": "",
        "rounds": 1,
        "interval_secs": 10.0,
        "timeout_secs": 120.0,
        "price_offset_ticks": 0,
    }

    async def run(self) -> str:
        side = str(self.settings["side"]) or self.trade.side
        back = "sell" if side == "buy" else "buy"
        pacing: dict[str, Any] = {
            "interval_secs": float(self.settings["interval_secs"]),
            "timeout_secs": float(self.settings["timeout_secs"]),
        }
        takers = 0
        for number in range(1, int(self.settings["rounds"]) + 1):
            offset = int(self.settings["price_offset_ticks"])
            opening = await self.trade.open_tracking(side, price_offset_ticks=offset, **pacing)
            if opening.reason is not Reason.FILLED:
                raise ActFailed(
                    "NOT_FILLED", f"round {number}: the opening order ended as {opening.reason}", "Give it more time."
                )
            held = self.trade.market.whole_lots(await self.trade.position())
            await self.trade.tracking_limit(back, held, reduce_only=True, **pacing)
            takers += len(await self.trade.market_close())
            self.say(f"round {number} done")
        return f"{counted(int(self.settings['rounds']), 'round trip')}, {takers} of the closings needed a market order"
