"""``assert_margin``: the account has at least so much equity or free margin, in USD."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from core.precision import plain
from steps.play import Done, Play, StepFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """USD; None is not asked."""

    available_at_least: Decimal | None = None
    balance_at_least: Decimal | None = None


async def run(play: Play, args: Args) -> Done:
    margin = await play.trade.desk.venue.get_margin()
    for name, wanted, found in (
        ("available margin", args.available_at_least, margin.available),
        ("margin balance", args.balance_at_least, margin.balance),
    ):
        if wanted is not None and found < wanted:
            raise StepFailed(
                "ASSERTION_FAILED",
                f"{name} on {play.trade.venue} is {plain(found)} USD, wanted at least {plain(wanted)} USD",
                "Add collateral or lower the wanted amount.",
            )
    numbers = {"available": plain(margin.available), "balance": plain(margin.balance)}
    return Done(f"margin balance {numbers['balance']} USD, available {numbers['available']} USD", numbers)
