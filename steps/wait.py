"""``wait``: hold for a fixed time."""

from __future__ import annotations

from dataclasses import dataclass

from steps.play import Done, Play


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    secs: float


async def run(play: Play, args: Args) -> Done:
    await play.trade.wait(args.secs)
    return Done(f"waited {args.secs:g} s", {"secs": f"{args.secs:g}"})
