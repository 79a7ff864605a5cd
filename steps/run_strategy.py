"""``run_strategy``: play a Python strategy on this venue."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import isabstract
from typing import Any

from core.clock import within
from core.log import get
from steps.play import Done, Play, StepFailed
from strategy import STRATEGIES
from venues.errors import VenueError

log = get(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    name: str
    timeout_secs: float
    params: Mapping[str, Any] = field(default_factory=dict)


async def run(play: Play, args: Args) -> Done:
    kind = STRATEGIES.get(args.name)
    if kind is None:
        near = difflib.get_close_matches(args.name, list(STRATEGIES), n=1)
        raise StepFailed(
            "UNKNOWN_STRATEGY",
            f"no strategy is called {args.name}",
            f"Did you mean {near[0]}?" if near else f"There are: {', '.join(STRATEGIES)}.",
        )
    if isabstract(kind):
        raise StepFailed(
            "STRATEGY_BROKEN",
            f"strategy {args.name} has no run method",
            "Write `async def run(self) -> str` in its class.",
        )
    told: list[str] = []

    async def whole() -> None:
        try:
            told.append(await kind(play.trade, args.params, play.say).run())
        except (StepFailed, VenueError):
            raise
        except Exception as error:
            log.exception("strategy broken", strategy=args.name)
            raise StepFailed(
                "STRATEGY_BROKEN",
                f"the code of strategy {args.name} failed: {type(error).__name__}: {error}",
                "Mend the strategy; what it left open is closed by `finally`.",
            ) from error

    if not await within(play.trade.pace, args.timeout_secs, whole):
        raise StepFailed(
            "STRATEGY_TIMEOUT", f"strategy {args.name} took longer than {args.timeout_secs:g} s", "Raise timeout_secs."
        )
    return Done(told[0], {"strategy": args.name})
