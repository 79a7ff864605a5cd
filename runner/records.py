"""The commands about runs that are over: report, sign, verify, runs, compare, export."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from runner.command import Outside
    from runner.environment import Environment

LANGUAGES: Final = ("en", "zh")


def add_records(verbs: Any) -> None:
    """Their part of the command line."""
    report = verbs.add_parser("report", help="write the reports of a run again, also of one that did not end")
    report.add_argument("run", metavar="RUN", help="the name of a run, or its folder")
    report.add_argument("--language", choices=LANGUAGES, default=None, help="default: the scenario's own, else en")
    report.add_argument("--template", metavar="FILE", help="your own Jinja template; it is written beside the reports")
    _places(report)

    sign = verbs.add_parser("sign", help="accept or reject a run, with a signature over all its evidence")
    sign.add_argument("run", metavar="RUN", help="the name of a run, or its folder")
    sign.add_argument("--name", required=True, help="who signs")
    sign.add_argument("--role", required=True, help="as what")
    sign.add_argument("--decision", required=True, choices=("accept", "reject"))
    sign.add_argument("--comment", default="", help="one line; needed to accept what the run itself did not")
    sign.add_argument("--key", metavar="FILE", help="your signing key, made when missing (default: state/signing-key)")
    _places(sign)

    verify = verbs.add_parser("verify", help="is every byte of a signed run as it was? names the first that is not")
    verify.add_argument("run", metavar="RUN", help="the name of a run, a copied folder, or an exported zip")
    verify.add_argument("--public-key", action="append", default=[], metavar="KEY", help="hex or file; who must sign")
    _places(verify)

    runs = verbs.add_parser("runs", help="the runs of this machine")
    runs.add_argument("--format", choices=("text", "json"), default="text")
    _places(runs)

    compare = verbs.add_parser("compare", help="what changed from one run to another")
    compare.add_argument("runs", nargs=2, metavar="RUN")
    _places(compare)

    export = verbs.add_parser("export", help="one zip of a run's evidence, without secrets")
    export.add_argument("run", metavar="RUN", help="the name of a run, or its folder")
    export.add_argument("--out", metavar="FILE", help="default: RUN.zip here")
    _places(export)


def _places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="default: config.yaml, if there is one")
    for name in ("runs", "state", "logs"):
        parser.add_argument(f"--{name}-dir", default=None, help=argparse.SUPPRESS)


def _environment(args: argparse.Namespace, outside: Outside) -> Environment:
    names = ("runs_dir", "state_dir", "logs_dir")
    return outside.open_environment(args.config, {name: getattr(args, name) for name in names})


def _traces(folder: Path, environment: Environment) -> bytes | None:
    """The outcome of a run that left none, told again; None when it left one. Raises WrongInput."""
    if (folder / "outcome.json").exists():
        return None
    from runner.unfinished import retell

    return retell(folder, environment.logs_dir / "orders")


def _report(args: argparse.Namespace, outside: Outside, argv: list[str]) -> int:
    from runner.environment import WrongInput
    from runner.evidence import find_run

    environment = _environment(args, outside)
    folder = find_run(args.run, environment.runs_dir)
    traces = _traces(folder, environment)
    try:
        if args.template is None:
            outside.write_reports(folder, language=args.language, unfinished=traces)
            path = folder / "report.html"
        else:
            path = outside.write_own(folder, Path(args.template), language=args.language, unfinished=traces)
    except ValueError as error:
        raise WrongInput([str(error)]) from error
    sys.stdout.write(f"{path}\n")
    return 0


def _sign(args: argparse.Namespace, outside: Outside, argv: list[str]) -> int:
    from core.clock import SystemClock
    from core.seal import fingerprint, public_key_of
    from runner.environment import WrongInput
    from runner.evidence import find_run
    from runner.signing import sign_run, signing_seed

    environment = _environment(args, outside)
    folder = find_run(args.run, environment.runs_dir)
    path = environment.state_dir / "signing-key" if args.key is None else Path(args.key)
    made = not path.exists()
    traces = _traces(folder, environment)
    seed = signing_seed(path)
    try:
        statement = sign_run(
            folder,
            seed=seed,
            name=args.name,
            role=args.role,
            decision=args.decision,
            comment=args.comment,
            clock=SystemClock(),
            write_reports=lambda: outside.write_reports(folder, unfinished=traces),
        )
    except ValueError as error:
        raise WrongInput([str(error)]) from error
    except OSError as error:
        raise WrongInput([f"{folder} cannot be written to: {error.strerror}."]) from error
    public = public_key_of(seed)
    lines = [f"Signed: {args.decision} by {args.name}, {args.role}.", f"Statement: {statement}"]
    lines += [f"Your key was made now: {path}. Keep it; nobody can sign as you without it."] if made else []
    lines += [f"Key fingerprint: {fingerprint(public)}", f"Public key, for whoever verifies: {public.hex()}"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _verify(args: argparse.Namespace, outside: Outside, argv: list[str]) -> int:
    from runner.evidence import find_run
    from runner.signing import NOT_VERIFIED, public_keys, tell, verify

    target = Path(args.run)
    if not target.exists():
        target = find_run(args.run, _environment(args, outside).runs_dir)
    sound, lines = verify(target, public_keys(args.public_key))
    tell([*lines, "VERIFIED" if sound else "NOT VERIFIED"])
    return 0 if sound else NOT_VERIFIED


def _runs(args: argparse.Namespace, outside: Outside, argv: list[str]) -> int:
    from runner.history import runs_in, runs_json, runs_table

    found = runs_in(_environment(args, outside).runs_dir)
    sys.stdout.write(runs_json(found) if args.format == "json" else runs_table(found))
    return 0


def _compare(args: argparse.Namespace, outside: Outside, argv: list[str]) -> int:
    from runner.environment import WrongInput
    from runner.evidence import find_run, read_outcome
    from runner.history import comparison

    environment = _environment(args, outside)
    folders = [find_run(word, environment.runs_dir) for word in args.runs]
    outcomes = [read_outcome(folder) for folder in folders]
    missing = [
        f"{folder} has no outcome.json: it did not end." for folder, o in zip(folders, outcomes, strict=True) if not o
    ]
    if missing:
        raise WrongInput(missing)
    sys.stdout.write(comparison(outcomes[0] or {}, outcomes[1] or {}))
    return 0


def _export(args: argparse.Namespace, outside: Outside, argv: list[str]) -> int:
    from core.secrets import VAULT
    from core.words import counted
    from runner.bundle import export
    from runner.environment import WrongInput
    from runner.evidence import find_run
    from venues import VENUES

    environment = _environment(args, outside)
    folder = find_run(args.run, environment.runs_dir)
    for venue in VENUES:
        # Not used, only looked for: whatever this machine keeps secret must not be in the archive.
        for secret in environment.keys(venue).secrets.values():
            VAULT.remember(secret)
    key = environment.state_dir / "signing-key"
    if key.is_file():
        VAULT.remember(key.read_text(encoding="ascii", errors="replace").strip())
    try:
        outside.write_reports(folder, unfinished=_traces(folder, environment))
    except ValueError as error:
        raise WrongInput([str(error)]) from error
    target = Path(f"{folder.resolve().name}.zip") if args.out is None else Path(args.out)
    names = export(folder, target)
    sys.stdout.write(f"{target}: {counted(len(names), 'file')}. `runner verify {target}` or its VERIFY.md checks it.\n")
    return 0


RECORDS: Final[Mapping[str, Callable[[argparse.Namespace, Outside, list[str]], int]]] = {
    "report": _report,
    "sign": _sign,
    "verify": _verify,
    "runs": _runs,
    "compare": _compare,
    "export": _export,
}
