"""
``runner recover``: after a crash, settle every order, cancel, flatten, report. Nothing is ever sent a second time.

What an earlier process left is read from the journal: plays without a proven end, and intents without a proven fill.
Each of them becomes a run of its own that has no steps, only the cleanup.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from core.clock import SystemClock
from execution.journal import Journal
from runner.command import ENVIRONMENT_FAILED, Outside
from runner.control import CONTROL_FILE
from runner.environment import Environment, WrongInput
from runner.evidence import find_run
from runner.load import load_scenarios
from runner.outcome import EXIT_CODES
from runner.plan import Plan, make_plan
from runner.playing import environment_of, play_plan
from runner.run import Interruption
from runner.sims import read_sims
from venues import VENUES
from venues.errors import LocalRuleError

_TEXT = """scenario: recover
title: Settle, cancel and close what run {run} left on {venue}
venues: [{venue}]
market: {market}
symbol: {symbol}
steps:
  - cancel_all
finally:
  - cancel_all
  - flatten
accept:
  flat: true
  no_unhandled_errors: true
"""


def recover(args: argparse.Namespace, outside: Outside, argv: Sequence[str]) -> int:
    """Recover every unended play of the journal (of one run, when named); the worst exit code, 0 with nothing to do."""
    environment = environment_of(args, outside)
    path = environment.state_dir / "journal.db"
    if not path.exists():
        _known(args.run, environment)
        sys.stdout.write(f"Nothing to recover: {path} does not exist.\n")
        return 0
    try:
        journal = Journal(path)
        try:
            left = [row for row in journal.unended_plays() if args.run is None or row["run"] == Path(args.run).name]
        finally:
            journal.close()
    except LocalRuleError as error:
        sys.stderr.write(f"{error}\n")
        return ENVIRONMENT_FAILED
    if not left:
        _known(args.run, environment)
        sys.stdout.write("Nothing to recover: every play in the journal is proven flat and settled.\n")
        return 0
    sims = read_sims(args.sims) if args.sims else None
    if environment.on == "sim" and sims is None:
        raise WrongInput(["Simulators of their own have nothing to recover: name those that are up with --sims FILE."])
    worst = 0
    for number, row in enumerate(left, 1):
        interruption = Interruption()
        worst = max(worst, _recover(row, environment, outside, argv, args, sims, interruption))
        if interruption.asked and number < len(left):
            # Who stopped this one did not want the next to begin; it is still in the journal.
            return max(worst, EXIT_CODES["interrupted"])
    return worst


def _known(run: str | None, environment: Environment) -> None:
    """Raises WrongInput when the run named, of which the journal knows nothing, has no folder either."""
    if run is not None:
        find_run(run, environment.runs_dir)


def recovery_plan(row: Mapping[str, Any], folder: Path, *, on: str, seed: int, speed: float) -> tuple[Plan, str]:
    """
    The run that brings one unended play to its end, and the text of its scenario.

    Args:
        row: As :meth:`execution.journal.Journal.unended_plays` gives it.
        folder: Where the scenario is written, ``recover-<venue>.yaml``.
    """
    file = folder / f"recover-{row['venue']}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(_TEXT.format(**row), encoding="utf-8")
    found = load_scenarios([str(file)], known_venues=tuple(VENUES))
    plan, mistakes = make_plan(found.scenarios[0], known_venues=tuple(VENUES), on=on, seed=seed, speed=speed)
    assert plan is not None, mistakes
    return plan, found.sources[str(file)]


def _recover(
    row: Mapping[str, Any],
    environment: Environment,
    outside: Outside,
    argv: Sequence[str],
    args: argparse.Namespace,
    sims: Any,
    interruption: Interruption,
) -> int:
    seed = SystemClock().now_ms() % 1_000_000
    try:
        plan, text = recovery_plan(row, environment.runs_dir, on=environment.on, seed=seed, speed=environment.speed)
    except OSError as error:
        sys.stderr.write(f"{environment.runs_dir} cannot be written: {error.strerror or error}. Nothing was sent.\n")
        return ENVIRONMENT_FAILED
    code = play_plan(
        plan,
        text,
        environment,
        outside,
        argv,
        progress=args.progress,
        sims=sims,
        left_by=row["play"],
        spot_baseline=Decimal(row["spot_baseline"]),
        interruption=interruption,
    )
    if code != EXIT_CODES["not_proven_flat"]:
        # What a killed run left for `runner halt` has nothing to say any more.
        (environment.runs_dir / row["run"] / CONTROL_FILE).unlink(missing_ok=True)
    return code
