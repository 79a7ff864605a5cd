"""``assert_position``: the venue's own position meets every line given."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from core.precision import plain
from steps.play import Done, Play, StepFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Base units, unsigned; None is not asked. ``quantity`` may be ``filled``: what our own fills add up to."""

    quantity: Decimal | str | None = None
    at_least: Decimal | None = None
    at_most: Decimal | None = None
    side: str | None = None


async def run(play: Play, args: Args) -> Done:
    trade = play.trade
    held = await trade.position()
    size = abs(held)
    wanted = abs(trade.traded()) if args.quantity == "filled" else args.quantity
    faults = []
    if isinstance(wanted, Decimal) and size != wanted:
        faults.append(f"wanted {plain(wanted)}")
    if args.at_least is not None and size < args.at_least:
        faults.append(f"wanted at least {plain(args.at_least)}")
    if args.at_most is not None and size > args.at_most:
        faults.append(f"wanted at most {plain(args.at_most)}")
    found_side = "buy" if held > 0 else "sell" if held < 0 else "flat"
    if args.side is not None and found_side != args.side:
        faults.append(f"wanted {'long' if args.side == 'buy' else 'short'}")
    words = f"{trade.venue} holds {plain(held)} {trade.symbol}"
    if faults:
        raise StepFailed("ASSERTION_FAILED", f"{words}, {', '.join(faults)}", "Compare with the fills in the report.")
    return Done(words, {"quantity": plain(held)})
