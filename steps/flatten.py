"""``flatten``: cancel, settle, close and prove flat."""

from __future__ import annotations

from dataclasses import dataclass

from core.precision import plain
from steps.play import Done, Play


@dataclass(frozen=True, slots=True)
class Args:
    """No settings."""


async def run(play: Play, args: Args) -> Done:
    proof = await play.trade.flatten()
    return Done("flat, no open orders", {"quantity": plain(proof.quantity)})
