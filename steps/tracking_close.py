"""``tracking_close``: close what is open with a limit order that follows the best price."""

from __future__ import annotations

from dataclasses import dataclass

from steps.play import Done, Play
from steps.tracking_open import told


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Seconds are of the play's clock."""

    interval_secs: float
    timeout_secs: float
    max_attempts: int
    price_offset_ticks: int
    keep_if_best: bool
    require_filled: bool


async def run(play: Play, args: Args) -> Done:
    trade = play.trade
    held = await trade.position()
    size_i = trade.market.whole_lots(held)
    if size_i == 0:
        return Done("nothing to close")
    result = await trade.tracking_limit(
        "sell" if held > 0 else "buy",
        size_i,
        interval_secs=args.interval_secs,
        timeout_secs=args.timeout_secs,
        max_attempts=args.max_attempts,
        price_offset_ticks=args.price_offset_ticks,
        keep_if_best=args.keep_if_best,
        reduce_only=True,
    )
    return told(play, result, require_filled=args.require_filled)
