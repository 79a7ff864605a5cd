"""
The ``runner`` command. Heavy rooms are imported by the subcommand that needs them; ``--help`` needs none.

Exit codes: 0 accepted, 1 played but not accepted, 2 wrong input (nothing sent), 3 venue or environment failed,
4 interrupted and cleaned up, 5 not proven flat.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

from runner.records import LANGUAGES, RECORDS, add_records

if TYPE_CHECKING:
    from runner.environment import OpenEnvironment
    from runner.mistakes import Explained

WRONG_INPUT: Final = 2
ENVIRONMENT_FAILED: Final = 3


class WriteReports(Protocol):
    """Writes report.md, report.html and junit.xml into a run folder; raises ValueError with place and next move."""

    def __call__(self, folder: Path, *, language: str | None = None, unfinished: bytes | None = None) -> None:
        """``unfinished`` is the outcome of a run that left none; the reports then say so."""
        ...


class WriteOwn(Protocol):
    """Renders somebody's own template into a run folder and gives the file; raises ValueError."""

    def __call__(
        self, folder: Path, template: Path, *, language: str | None = None, unfinished: bytes | None = None
    ) -> Path: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What only the program's front door can give: settings, and the reports that stand beside this room."""

    open_environment: OpenEnvironment
    write_reports: WriteReports
    write_own: WriteOwn
    explanations: Callable[[], Mapping[str, Explained]]
    version: Callable[[], str]


class WrongWords(SystemExit):
    """argparse cannot read the command line."""

    def __init__(self, message: str) -> None:
        super().__init__(WRONG_INPUT)
        self.message = message


class _Parser(argparse.ArgumentParser):
    """argparse that leaves the telling to :mod:`runner.flags`."""

    def error(self, message: str) -> NoReturn:
        raise WrongWords(message)


def make_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = _Parser(prog="runner", description="Plays acceptance scenarios on exchanges or simulators.")
    parser.add_argument("--version", action="store_true", help="print the version and leave")
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", parser_class=_Parser)

    play = verbs.add_parser("play", help="check scenarios, play them, write the reports")
    play.add_argument("files", nargs="+", metavar="FILE")
    _inputs(play)
    _running(play)
    _adopt(play)
    play.add_argument("--faults", metavar="FILE", help="fault rules for the simulators of this run")
    play.add_argument("--progress", choices=("auto", "plain", "json"), default="auto", help="how to tell what happens")
    play.add_argument("--language", choices=LANGUAGES, default=None, help="of the reports (default: the scenario's)")

    check = verbs.add_parser("check", help="read scenarios and tell every mistake; nothing is sent")
    check.add_argument("files", nargs="+", metavar="FILE")
    check.add_argument("--format", choices=("text", "json", "github"), default="text")
    _on(check)
    _config(check)
    _inputs(check)

    plan = verbs.add_parser("plan", help="show what would happen; nothing is sent")
    plan.add_argument("files", nargs="+", metavar="FILE")
    _inputs(plan)
    _running(plan)
    _adopt(plan)

    explain = verbs.add_parser("explain", help="the codes of messages, or what one means and what to do")
    explain.add_argument("code", nargs="?", metavar="CODE")

    steps = verbs.add_parser("steps", help="the verbs of scenarios, or one of them")
    steps.add_argument("name", nargs="?", metavar="VERB")

    init = verbs.add_parser("init", help="write a first scenario into a folder, ready to play")
    init.add_argument("folder", nargs="?", default=".", metavar="DIR")

    add_records(verbs)

    recover = verbs.add_parser("recover", help="after a crash: settle, cancel, flatten, report")
    recover.add_argument("run", nargs="?", metavar="RUN")
    _running(recover)
    recover.add_argument("--progress", choices=("auto", "plain", "json"), default="auto")

    halt = verbs.add_parser("halt", help="stop running plays: no new orders, cancel all; --flatten closes, too")
    halt.add_argument("run", nargs="?", metavar="RUN", help="the name of a run, or its folder; default: every one")
    halt.add_argument("--flatten", action="store_true", help="close positions with the scenario's own cleanup")
    halt.add_argument("--wait", type=_secs, default=180.0, metavar="SECS", help="for the end of it (default: 180)")
    halt.add_argument("--runs-dir", default=None, metavar="DIR", help="default: as in the config")
    _config(halt)

    doctor = verbs.add_parser("doctor", help="keys, clocks, reachability, smallest orders; nothing is sent that trades")
    doctor.add_argument("--venue", action="append", default=[], metavar="V")
    doctor.add_argument("--symbol", default="SOL", metavar="S")
    _running(doctor)

    sim = verbs.add_parser("sim", help="the simulators on their own")
    sims = sim.add_subparsers(dest="sim_verb", metavar="serve", required=True, parser_class=_Parser)
    serve = sims.add_parser("serve", help="serve simulators on loopback until stopped")
    serve.add_argument("--venue", action="append", default=[], metavar="V")
    serve.add_argument("--port-base", type=_port, default=None, metavar="N")
    serve.add_argument("--seed", type=_seed, default=1, metavar="N")
    serve.add_argument("--speed", type=_speed, default=1.0, metavar="N", help="how much livelier the markets are")
    serve.add_argument("--faults", metavar="FILE")
    serve.add_argument("--json", action="store_true", help="print one JSON line when all are ready")
    return parser


def _inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--venue", action="append", default=[], metavar="V", help="play there instead; may be repeated")
    parser.add_argument(
        "--set", action="append", default=[], metavar="k=v", help="give an input of the scenario a value"
    )
    parser.add_argument("--inputs", metavar="FILE", help="a YAML file with values for inputs, a line each; --set wins")


def _adopt(parser: argparse.ArgumentParser) -> None:
    words = "begin on open orders or a position: cancel the orders, close the position in the end"
    parser.add_argument("--adopt", action="store_true", help=words)


def _on(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--on", choices=("sim", "testnet", "live"), default=None, help="where (default: sim)")


def _config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="default: config.yaml, if there is one")


def _running(parser: argparse.ArgumentParser) -> None:
    _on(parser)
    parser.add_argument("--seed", type=_seed, default=None, metavar="N", help="makes random waits repeat")
    parser.add_argument("--speed", type=_speed, default=None, metavar="N", help="shorten the waits of a simulated play")
    parser.add_argument("--sims", metavar="FILE|-", help="the JSON line of simulators that are up already")
    _config(parser)
    parser.add_argument("--log-level", choices=("DEBUG", "INFO", "WARNING", "ERROR"), default=None)


def _seed(text: str) -> int:
    if not text.isdigit() or len(text) > 18:
        raise argparse.ArgumentTypeError("a seed is a whole number of at most 18 digits")
    return int(text)


def _port(text: str) -> int:
    if not text.isdigit() or not 0 <= int(text) <= 65_000:
        raise argparse.ArgumentTypeError("a port is a whole number from 0 to 65000")
    return int(text)


def _secs(text: str) -> float:
    if not text.isdigit() or not 0 < int(text) <= 3_600:
        raise argparse.ArgumentTypeError("a wait is a whole number of seconds from 1 to 3600")
    return float(text)


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.1 <= speed <= 1000:
        raise argparse.ArgumentTypeError("speed is a number from 0.1 to 1000")
    return speed


def main(argv: Sequence[str], outside: Outside) -> int:
    """Run one command line and return its exit code. Never shows a traceback for wrong input."""
    parser = make_parser()
    try:
        args = parser.parse_args(argv)
    except WrongWords as wrong:
        from runner.flags import tell

        sys.stderr.write(tell(parser, wrong.message, argv))
        return WRONG_INPUT
    except SystemExit as stop:
        return int(stop.code or 0)
    if args.version:
        sys.stdout.write(f"runner {outside.version()}\n")
        return 0
    if args.verb is None:
        parser.print_help()
        return WRONG_INPUT
    from runner.mistakes import WrongInput

    try:
        code: int = _VERBS[args.verb](args, outside, list(argv))
        return code
    except WrongInput as wrong:
        for text in wrong.texts:
            sys.stderr.write(f"{text}\n")
        return WRONG_INPUT
    except BrokenPipeError:
        # Whoever read our output has left (`| head`).
        return 0


def _check(args: argparse.Namespace, outside: Outside, argv: list[str]) -> int:
    from runner.checked import check_files

    text, sound = check_files(args, outside.open_environment)
    sys.stdout.write(text)
    return 0 if sound else WRONG_INPUT


def _play(args: argparse.Namespace, outside: Outside, argv: list[str]) -> int:
    from runner.playing import play_files

    return play_files(args, outside, argv)


def _plan(args: argparse.Namespace, outside: Outside, argv: list[str]) -> int:
    from runner.playing import show_plans

    return show_plans(args, outside)


def _recover(args: argparse.Namespace, outside: Outside, argv: list[str]) -> int:
    from runner.recover import recover

    return recover(args, outside, argv)


def _halt(args: argparse.Namespace, outside: Outside, argv: list[str]) -> int:
    from runner.halt import halt

    return halt(args, outside)


def _doctor(args: argparse.Namespace, outside: Outside, argv: list[str]) -> int:
    from runner.doctor import doctor

    return doctor(args, outside)


def _explain(args: argparse.Namespace, outside: Outside, argv: list[str]) -> int:
    pages = outside.explanations()
    if args.code is None:
        rows = [f"{code:22} {page.meaning.partition('. ')[0].rstrip('.')}." for code, page in sorted(pages.items())]
        sys.stdout.write("\n".join([*rows, "", "runner explain CODE tells more."]) + "\n")
        return 0
    code = args.code.upper()
    page = pages.get(code)
    if page is None:
        return _unknown(argv, "UNKNOWN_CHOICE", "code", args.code, pages, "a code that `runner explain` lists")
    sys.stdout.write(f"{code}\n\n{page.meaning}\n\nWhat to do: {page.next_move}\n")
    if page.example:
        sys.stdout.write(f"\nExample:\n{page.example}\n")
    return 0


def _steps(args: argparse.Namespace, outside: Outside, argv: list[str]) -> int:
    from runner.step_pages import step_page, step_table
    from runner.values import either
    from schemas import verbs

    if args.name is not None and args.name not in verbs():
        return _unknown(argv, "UNKNOWN_STEP", "step", args.name, verbs(), either(verbs()))
    text = step_table() if args.name is None else step_page(args.name)
    sys.stdout.write(text)
    return 0


def _unknown(argv: Sequence[str], code: str, what: str, word: str, known: Iterable[str], told: str) -> int:
    from runner.flags import tell_unknown

    sys.stderr.write(tell_unknown(make_parser(), argv, code, what, word, known, told))
    return WRONG_INPUT


def _init(args: argparse.Namespace, outside: Outside, argv: list[str]) -> int:
    from runner.init import init

    sys.stdout.write(init(Path(args.folder)))
    return 0


def _sim(args: argparse.Namespace, outside: Outside, argv: list[str]) -> int:
    from runner.playing import serve_simulators

    return serve_simulators(args)


_VERBS: Final[Mapping[str, Callable[[argparse.Namespace, Outside, list[str]], int]]] = {
    "play": _play,
    "check": _check,
    "plan": _plan,
    "explain": _explain,
    "steps": _steps,
    "init": _init,
    **RECORDS,
    "recover": _recover,
    "halt": _halt,
    "doctor": _doctor,
    "sim": _sim,
}
