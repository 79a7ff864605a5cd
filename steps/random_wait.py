"""``random_wait``: hold for a random time; the scenario's seed repeats it."""

from __future__ import annotations

from dataclasses import dataclass

from steps.play import Done, Play


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    min_secs: float
    max_secs: float


async def run(play: Play, args: Args) -> Done:
    secs = round(play.trade.chance.uniform(args.min_secs, args.max_secs), 3)
    play.say_wait(secs)
    await play.trade.wait(secs)
    return Done(f"waited {secs:g} s", {"secs": f"{secs:g}"})
