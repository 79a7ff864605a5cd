"""The verbs of scenarios. A new one is a file, a schema of the same name and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from steps import (
    assert_flat,
    assert_margin,
    assert_position,
    cancel_all,
    flatten,
    limit_open,
    market_close,
    market_open,
    random_wait,
    run_strategy,
    tracking_close,
    tracking_open,
    wait,
)
from steps.play import Done, Play, Step, StepFailed

STEPS: Final[Mapping[str, Step]] = {
    "tracking_open": Step(tracking_open.Args, tracking_open.run),
    "tracking_close": Step(tracking_close.Args, tracking_close.run),
    "limit_open": Step(limit_open.Args, limit_open.run),
    "market_open": Step(market_open.Args, market_open.run),
    "market_close": Step(market_close.Args, market_close.run),
    "wait": Step(wait.Args, wait.run),
    "random_wait": Step(random_wait.Args, random_wait.run),
    "assert_flat": Step(assert_flat.Args, assert_flat.run),
    "assert_position": Step(assert_position.Args, assert_position.run),
    "assert_margin": Step(assert_margin.Args, assert_margin.run),
    "cancel_all": Step(cancel_all.Args, cancel_all.run),
    "flatten": Step(flatten.Args, flatten.run),
    "run_strategy": Step(run_strategy.Args, run_strategy.run),
}

CODES: Final[Mapping[str, tuple[str, str]]] = {
    "NOT_FILLED": ("The order was not filled as required.", "Give it more time or attempts, or a smaller size."),
    "NOT_FLAT": (
        "Something is still held or open at the exchange.",
        "Look at the exchange's own page; `runner recover` settles, cancels and closes.",
    ),
    "ASSERTION_FAILED": ("A check of the scenario did not hold.", "Compare the wanted and the found value."),
    "POSITION_MISMATCH": (
        "The exchange's position and the sum of our own fills differ.",
        "Something else traded on this account, or a fill is missing: read the order stories in the report.",
    ),
    "UNKNOWN_STRATEGY": ("There is no strategy of this name.", "Use one of the names given."),
    "STRATEGY_SETTING": ("The strategy has no setting of this name.", "Use one of the names given."),
    "STRATEGY_TIMEOUT": ("The strategy took longer than allowed.", "Raise `timeout_secs`."),
    "STRATEGY_BROKEN": ("The strategy's own code failed.", "Read the error; the position was cleaned up by `finally`."),
    "BAD_SIDE": ("A side is `buy` or `sell`.", "Correct the word."),
    "INTERNAL": (
        "The program itself has a fault; the play went on to its cleanup and its report.",
        "Keep the run folder and report it.",
    ),
    "LOG_INCOMPLETE": (
        "A line of a log or timeline could not be written.",
        "Make room on the disk and check its permissions; the journal of intents is kept apart and is complete.",
    ),
    "DIRTY_ACCOUNT": (
        "The account already holds a position or open orders in this market.",
        "Close them first, so that the run can prove what it did itself; or take them over: `runner play --adopt` "
        "cancels the orders, and `flatten` closes the position. What an earlier run left, `runner recover` clears.",
    ),
}
"""Codes that a step may end with, beside those of ``venues.errors``: code → (meaning, next move)."""

__all__ = ["CODES", "STEPS", "Done", "Play", "Step", "StepFailed"]
