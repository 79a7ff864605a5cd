"""``assert_flat``: the venue's own reading shows no position and no open order."""

from __future__ import annotations

from dataclasses import dataclass

from core.precision import plain
from steps.play import Done, Play


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    tolerance_lots: int


async def run(play: Play, args: Args) -> Done:
    proof = await play.trade.flat_proof(args.tolerance_lots)
    dust = f" ({plain(proof.quantity)} {play.trade.symbol} of dust, too small to be traded)" if proof.quantity else ""
    return Done(f"flat, no open orders{dust}", {"quantity": plain(proof.quantity)})
