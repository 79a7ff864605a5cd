"""``tracking_open``: open with a limit order that follows the best price."""

from __future__ import annotations

from dataclasses import dataclass

from core.precision import plain
from core.words import counted
from execution.tracking_limit import Reason, TrackingResult
from steps.play import Done, Play, StepFailed
from strategy.trading import Size, side_is_ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Seconds are of the play's clock."""

    size: Size
    side: str
    interval_secs: float
    timeout_secs: float
    max_attempts: int
    price_offset_ticks: int
    keep_if_best: bool
    require_filled: bool


async def run(play: Play, args: Args) -> Done:
    trade = play.trade
    quantity_i = await trade.size_i(args.size, is_ask=side_is_ask(args.side))
    result = await trade.tracking_limit(
        args.side,
        quantity_i,
        interval_secs=args.interval_secs,
        timeout_secs=args.timeout_secs,
        max_attempts=args.max_attempts,
        price_offset_ticks=args.price_offset_ticks,
        keep_if_best=args.keep_if_best,
    )
    return told(play, result, require_filled=args.require_filled)


def told(play: Play, result: TrackingResult, *, require_filled: bool) -> Done:
    """
    A tracking limit's result as a step's end.

    Raises:
        StepFailed: IN_DOUBT, or NOT_FILLED where the whole quantity was required.
    """
    market = result.market
    wanted, filled = market.size_text(result.wanted.quantity_i), market.size_text(result.filled_i)
    average = result.average_price
    numbers = {"wanted": wanted, "filled": filled, "attempts": str(len(result.attempts)), "reason": result.reason.value}
    if average is not None:
        numbers["average_price"] = plain(round(average, market.facts.price_decimals + 2))
    words = f"{filled} of {wanted} {market.symbol} filled in {counted(len(result.attempts), 'attempt')}"
    if average is not None:
        words += f" at {numbers['average_price']} on average"
    if result.reason is Reason.IN_DOUBT:
        raise StepFailed("IN_DOUBT", f"{result.detail} ({words})", "Do not send it again; run `runner recover`.")
    if require_filled and result.reason is not Reason.FILLED:
        why = result.detail or _WHY[result.reason]
        raise StepFailed("NOT_FILLED", f"{words}: {why}", "Give it more time or attempts, or a smaller size.")
    why = f": {result.detail}" if result.reason is Reason.REFUSED and result.detail else ""
    return Done(f"{words} ({result.reason.value}{why})", numbers)


_WHY = {
    Reason.TIMEOUT: "the time was over",
    Reason.MAX_ATTEMPTS: "the attempts were used up",
    Reason.STOPPED: "it was asked to stop",
    Reason.DUST: "the rest is below the smallest order",
    Reason.REFUSED: "the exchange refuses such orders",
}
