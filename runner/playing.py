"""From a command line to runs: check, plan, reach the venues, play, write everything down, and tell what came of it."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import anyio
import msgspec

from core import log as logs
from core.chance import Chance
from core.clock import Clock, SystemClock, iso_utc
from core.loop import run
from runner.checked import open_settings, read_files
from runner.command import ENVIRONMENT_FAILED, WRONG_INPUT, Outside
from runner.control import listening
from runner.environment import Environment, WrongInput
from runner.events import EventLog
from runner.evidence import keep_inputs, keep_timelines
from runner.live import TICK_SECS, View, open_view
from runner.load import venues_named
from runner.mistakes import render_text
from runner.outcome import EXIT_CODES, Outcome, to_json
from runner.plan import Plan, make_plan, plan_json
from runner.plan_page import plan_page
from runner.run import Folders, Interruption, run_plan
from runner.scenario import Scenario
from runner.sims import DEFAULT_PORT, Lines, SimsError, read_faults, read_sims, simulators
from runner.site import account_name, credentials_of, locked_accounts, open_site
from venues import VENUES
from venues.errors import CODES, LocalRuleError
from venues.simulation.faults import Faults

_FLAGS = ("on", "seed", "speed", "state_dir", "runs_dir", "logs_dir", "locks_dir", "log_level", "log_json")
"""Settings that a command line may override; not every command has a flag for each."""


def environment_of(args: argparse.Namespace, outside: Outside) -> Environment:
    """Settings from config and flags. Raises WrongInput."""
    return open_settings(args, outside.open_environment, {name: getattr(args, name, None) for name in _FLAGS})


def plans_of(args: argparse.Namespace, environment: Environment, now_ms: int) -> list[tuple[Plan, str]]:
    """Every file checked and planned, with its text (secrets masked). Raises WrongInput with all mistakes at once."""
    found = read_files(args, environment.on)
    mistakes = list(found.mistakes)
    plans = []
    for scenario in found.scenarios:
        plan, more = make_plan(
            scenario,
            known_venues=tuple(VENUES),
            on=environment.on,
            seed=_seed(environment, scenario, now_ms),
            speed=environment.speed,
        )
        mistakes += more
        if plan is not None:
            plans.append((plan, found.sources[scenario.path]))
    if mistakes:
        raise WrongInput([render_text(mistakes, found.sources, found.files).rstrip("\n")])
    return plans


def _seed(environment: Environment, scenario: Scenario, now_ms: int) -> int:
    if environment.seed is not None:
        return environment.seed
    # Without a wish the moment decides; the report says which seed it was.
    return scenario.seed if scenario.seed is not None else now_ms % 1_000_000


def play_files(args: argparse.Namespace, outside: Outside, argv: Sequence[str]) -> int:
    """``runner play``: one run a file, one after the other; the worst exit code. One stopped by hand is the last."""
    environment = environment_of(args, outside)
    plans = plans_of(args, environment, SystemClock().now_ms())
    sims = read_sims(args.sims) if args.sims else None
    faults = read_faults(Path(args.faults), Chance("faults")) if args.faults else None
    if environment.on != "sim" or sims is not None:
        # Before a run folder is made: every key of every venue, all that are missing at once.
        texts: list[str] = []
        accounts: list[str] = []
        for venue in dict.fromkeys(venue for plan, _ in plans for venue in plan.venues):
            try:
                accounts.append(account_name(venue, credentials_of(venue, environment, sims)))
            except WrongInput as wrong:
                texts += wrong.texts
        if texts:
            raise WrongInput(texts)
        if environment.on != "sim" and args.progress != "json":
            sys.stdout.write(f"Trading on {environment.on} with the accounts {', '.join(accounts)}\n")
    worst = 0
    for number, (plan, text) in enumerate(plans, 1):
        interruption = Interruption()
        code = play_plan(
            plan,
            text,
            environment,
            outside,
            argv,
            progress=args.progress,
            sims=sims,
            faults=faults,
            language=getattr(args, "language", None),
            adopt=args.adopt,
            interruption=interruption,
        )
        worst = max(worst, code, key=_BADNESS.index)
        if interruption.asked and number < len(plans):
            # Whatever became of this one: who stopped it did not want the next to begin.
            return max(worst, EXIT_CODES["interrupted"], key=_BADNESS.index)
    return worst


_BADNESS = (0, 1, 3, 2, 4, 5)
"""Exit codes from best to worst."""


def play_plan(
    plan: Plan,
    text: str,
    environment: Environment,
    outside: Outside,
    argv: Sequence[str],
    *,
    progress: str = "auto",
    sims: Lines | None = None,
    faults: Faults | None = None,
    left_by: str | None = None,
    spot_baseline: Decimal | None = None,
    language: Literal["en", "zh"] | None = None,
    adopt: bool = False,
    interruption: Interruption | None = None,
) -> int:
    """
    Play one plan into a new run folder, write the reports, and tell the result. Returns the exit code.

    ``left_by`` names an earlier play whose orders and position this one takes over, with its ``spot_baseline``;
    ``adopt`` has it take over what nobody here made; ``language`` is of the reports, the scenario's own when None;
    ``interruption`` tells the caller afterwards whether somebody stopped it by hand.
    While it plays it holds the locks of its accounts; when somebody else has one, nothing begins.
    """
    clock = SystemClock()
    with contextlib.ExitStack() as held:
        try:
            name_run = held.enter_context(locked_accounts(plan.venues, environment, sims, argv, clock))
        except LocalRuleError as error:
            sys.stderr.write(f"{error}\n{CODES[error.code].next_move}\n")
            return ENVIRONMENT_FAILED
        folder = new_run_folder(environment.runs_dir, plan.scenario.name, clock.now_ms())
        name_run(folder.name)
        return _play_into(
            folder,
            plan,
            text,
            environment,
            outside,
            argv,
            clock=clock,
            progress=progress,
            sims=sims,
            faults=faults,
            left_by=left_by,
            spot_baseline=spot_baseline,
            language=language,
            adopt=adopt,
            interruption=interruption or Interruption(),
        )


def _play_into(
    folder: Path,
    plan: Plan,
    text: str,
    environment: Environment,
    outside: Outside,
    argv: Sequence[str],
    *,
    clock: Clock,
    progress: str,
    sims: Lines | None,
    faults: Faults | None,
    left_by: str | None,
    spot_baseline: Decimal | None,
    language: Literal["en", "zh"] | None,
    adopt: bool,
    interruption: Interruption,
) -> int:
    # The terminal shows the play; the log is beside it, unless somebody asks to see it all.
    wanted = environment.log_level == "DEBUG" or environment.log_json
    try:
        (folder / "plan.json").write_bytes(plan_json(plan))
        keep_inputs(folder, plan, text)
        logs.configure(
            level=environment.log_level,
            json=environment.log_json,
            stream=sys.stderr if wanted else None,
            file=folder / "log.jsonl",
        )
        events = EventLog(folder / "events.jsonl", clock)
    except OSError as error:
        sys.stderr.write(f"{folder} cannot be written: {error.strerror or error}. Nothing was sent.\n")
        return ENVIRONMENT_FAILED
    terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not wanted
    view = open_view(progress, sys.stdout, terminal=terminal)
    events.listen(view)
    # The state of simulators that end with the run is of no use to a later one.
    own_sims = plan.on == "sim" and sims is None
    folders = Folders(
        run=folder,
        orders=environment.logs_dir / "orders",
        journal=folder / "journal.db" if own_sims else environment.state_dir / "journal.db",
    )
    chance = Chance(plan.seed)

    async def whole() -> Outcome:
        async with anyio.create_task_group() as group:
            group.start_soon(_hear_signals, interruption, events, view)
            group.start_soon(_tell_time, view, clock)
            async with (
                open_site(plan, environment=environment, clock=clock, chance=chance, sims=sims, faults=faults) as (
                    reach,
                    heartbeat,
                ),
                listening(
                    folder, plan, reach, interruption, events, clock, port=environment.control_port, own_sims=own_sims
                ),
            ):
                outcome = await run_plan(
                    plan,
                    run_id=folder.name,
                    text=text,
                    folders=folders,
                    clock=clock,
                    chance=chance,
                    reach=reach,
                    events=events,
                    caps=environment.caps,
                    heartbeat=heartbeat,
                    command=("runner", *argv),
                    interruption=interruption,
                    left_by=left_by,
                    spot_baseline=spot_baseline,
                    adopt=adopt,
                )
            group.cancel_scope.cancel()
        return outcome

    try:
        outcome = _unwrapped(whole)
    except (SimsError, LocalRuleError) as error:
        events.say("failed", text=str(error))
        view.close()
        sys.stderr.write(f"{error}\n")
        return ENVIRONMENT_FAILED
    finally:
        view.close()
        events.close()
    outcome = keep_timelines(folder, outcome, folders.orders)
    language = language or plan.scenario.language
    if language is not None:
        outcome = msgspec.structs.replace(outcome, language=language)
    try:
        write_outcome(folder, outcome)
        outside.write_reports(folder)
    except (OSError, ValueError) as error:
        # The verdict is known and must be told, whatever the disk does.
        sys.stderr.write(f"The reports of {folder} cannot be written: {error}\n{outcome.sentence}\n")
    logs.close()
    if progress != "json":
        sys.stdout.write(ending_words(outcome, folder))
    return outcome.exit_code


def _unwrapped(whole: Any) -> Outcome:
    """Run, and let a lone error out of its group."""
    try:
        outcome: Outcome = run(whole)
        return outcome
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None


async def _tell_time(view: View, clock: Clock) -> None:
    while True:
        view.tick(clock.now_ms())
        await clock.sleep(TICK_SECS)


async def _hear_signals(interruption: Interruption, events: EventLog, view: View) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as heard:
        async for number in heard:
            name = signal.Signals(number).name
            if interruption.signal is None:
                events.say("interrupted", text=f"{name}: cleaning up; once more leaves at once", signal=name)
                interruption.interrupt(name)
                continue
            words = interruption.open_words()
            events.say("left", text=f"{name} again", open=words)
            view.close()
            sys.stderr.write("Left at once. What may still be open:\n")
            for line in words or ["nothing: every exchange is proven flat, only the report is missing"]:
                sys.stderr.write(f"  {line}\n")
            if words:
                sys.stderr.write("Run `runner recover`, or look at the exchange's own page.\n")
            sys.stderr.flush()
            sys.stdout.flush()
            # No cleanup, as asked: whatever could still run here could also hang.
            os._exit(EXIT_CODES["not_proven_flat" if words else "interrupted"])


def new_run_folder(runs_dir: Path, name: str, now_ms: int) -> Path:
    """``runs/20260105T000000Z-name``, with a number behind it when that is taken."""
    stamp = iso_utc(now_ms)[:19].replace("-", "").replace(":", "") + "Z"
    for number in range(1, 1000):
        folder = runs_dir / (f"{stamp}-{name}" if number == 1 else f"{stamp}-{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise WrongInput([f"The run folder {folder} cannot be made: {error.strerror}."]) from error
        return folder
    raise WrongInput([f"{runs_dir} already holds 999 runs of this second."])


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Write outcome.json whole or not at all."""
    part = folder / "outcome.json.part"
    part.write_bytes(to_json(outcome))
    part.replace(folder / "outcome.json")


def ending_words(outcome: Outcome, folder: Path) -> str:
    """The last lines a person reads."""
    lines = ["", f"{outcome.verdict.upper().replace('_', ' ')}. {outcome.sentence}"]
    for play in outcome.plays:
        if play.error is not None and play.error.next_move:
            lines.append(f"  {play.venue}: {play.error.code} - {play.error.next_move}")
    lines += [f"Report: {folder / 'report.html'}", *_next(outcome)]
    return "\n".join(lines) + "\n"


def _next(outcome: Outcome) -> list[str]:
    """What to try now."""
    file = outcome.scenario.path
    sims = _sims_flag(outcome.command)
    recovered = outcome.command[1:2] == ("recover",)
    match outcome.verdict:
        case "accepted" if outcome.on == "sim" and not recovered:
            return [f"This was a simulation. Next: `runner plan {file} --on live` shows what a real run would do."]
        case "accepted":
            return []
        case "not_proven_flat" if outcome.on == "sim" and not sims:
            return ["The simulators ended with this run, so nothing is left to close. Next: read the report"]
        case "not_proven_flat":
            return [f"Next: look at the exchange's own page, then settle, cancel and close with: runner recover{sims}"]
        case "interrupted":
            return [f"Next: runner recover{sims}" if recovered else f"Next: runner play {file}{sims}"]
        case _:
            codes = dict.fromkeys(play.error.code for play in outcome.plays if play.error is not None)
            return [f"Next: runner explain {code}" for code in codes] or [
                "Next: read the acceptance table of the report"
            ]


def _sims_flag(command: Sequence[str]) -> str:
    """The words that name the same simulators again, with a space before them; empty without any."""
    for word, value in zip(command, (*command[1:], ""), strict=True):
        if word == "--sims":
            return f" --sims {value}"
        if word.startswith("--sims="):
            return f" {word}"
    return ""


def show_plans(args: argparse.Namespace, outside: Outside) -> int:
    """``runner plan``: what would happen. Nothing is sent."""
    environment = environment_of(args, outside)
    pages = [
        plan_page(plan, environment.caps, adopt=args.adopt)
        for plan, _ in plans_of(args, environment, SystemClock().now_ms())
    ]
    sys.stdout.write("\n".join(page.text for page in pages))
    return WRONG_INPUT if any(page.unplayable for page in pages) else 0


def serve_simulators(args: argparse.Namespace) -> int:
    """``runner sim serve``: until TERM or Ctrl-C."""
    import json

    venues = venues_named(args.venue, tuple(VENUES))
    faults = read_faults(Path(args.faults), Chance(args.seed).fork("faults")) if args.faults else None

    async def whole() -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as heard:
            async with simulators(
                venues,
                clock=SystemClock(),
                seed=args.seed,
                speed=args.speed,
                faults=faults,
                port_base=DEFAULT_PORT if args.port_base is None else args.port_base,
            ) as lines:
                sys.stdout.write(json.dumps(lines) + "\n" if args.json else _addresses(lines))
                sys.stdout.flush()
                async for _ in heard:
                    return

    try:
        run(whole)
    except SimsError as error:
        sys.stderr.write(f"{error}\n")
        return ENVIRONMENT_FAILED
    return 0


def _addresses(lines: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [f"{venue:12} {line['rest']}  {line['ws']}" for venue, line in lines.items()]
    return "\n".join([*rows, "Ctrl-C stops them; --json also prints the throwaway keys."]) + "\n"
