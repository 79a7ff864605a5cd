"""``limit_open``: one limit order at the own side's best price."""

from __future__ import annotations

from dataclasses import dataclass

from core.precision import plain
from execution.order import Order, State
from steps.play import Done, Play, StepFailed
from strategy.trading import Size, side_is_ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Seconds are of the play's clock."""

    size: Size
    side: str
    price_offset_ticks: int
    post_only: bool
    timeout_secs: float


async def run(play: Play, args: Args) -> Done:
    trade = play.trade
    size_i = await trade.size_i(args.size, is_ask=side_is_ask(args.side))
    order = await trade.limit(
        args.side,
        size_i,
        price_offset_ticks=args.price_offset_ticks,
        post_only=args.post_only,
        timeout_secs=args.timeout_secs,
    )
    return order_told(order)


def order_told(order: Order) -> Done:
    """
    One order's end as a step's end.

    Raises:
        StepFailed: REFUSED-like codes when the order never lived, NOT_FILLED when nothing of it traded.
    """
    intent = order.intent
    if order.state is State.FAILED:
        raise StepFailed(
            order.code or "REFUSED",
            f"{intent.venue} refused the order: {order.reason or order.code}",
            f"`runner explain {order.code or 'REFUSED'}` says more.",
        )
    average = order.average_price
    numbers = {"filled": plain(order.filled), "orders": "1"}
    if average is None:
        raise StepFailed("NOT_FILLED", f"nothing of the order on {intent.venue} was filled", "Give it more time.")
    numbers["average_price"] = plain(round(average, intent.price_decimals + 2))
    return Done(f"{plain(order.filled)} {intent.symbol} at {numbers['average_price']}", numbers)
