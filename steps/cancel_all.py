"""``cancel_all``: cancel and settle every order of this play."""

from __future__ import annotations

from dataclasses import dataclass

from core.words import counted
from steps.play import Done, Play, StepFailed


@dataclass(frozen=True, slots=True)
class Args:
    """No settings."""


async def run(play: Play, args: Args) -> Done:
    live = len(play.trade.desk.unsettled(play.trade.market.venue_symbol))
    unknown = await play.trade.cancel_all()
    if unknown:
        ids = ", ".join(str(order.client_id) for order in unknown)
        raise StepFailed("IN_DOUBT", f"the end of order {ids} is not proven", "Run `runner recover`.")
    return Done(f"{counted(live, 'order')} cancelled and settled" if live else "no live orders")
