"""What a command line names, read in one pass: scenario files, the values given for inputs, and the config."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.words import counted
from runner.load import LoadResult, load_scenarios
from runner.mistakes import Mistake, WrongInput, render_github, render_json, render_text
from venues import VENUES

if TYPE_CHECKING:
    from runner.environment import Environment, OpenEnvironment

_CONFIG: Final = "config.yaml"
# Who checks scenarios has no keys at hand, and needs none.
_KEYS: Final = frozenset({"MISSING_SECRET", "SECRET_FILE"})


def read_files(args: argparse.Namespace, on: str | None) -> LoadResult:
    """The scenario files of a command line; ``on`` as in :func:`runner.load.load_scenarios`."""
    return load_scenarios(
        args.files,
        sets=args.set,
        inputs=args.inputs,
        environ=os.environ,
        venues=args.venue,
        known_venues=tuple(VENUES),
        on=on,
    )


def open_settings(args: argparse.Namespace, open_environment: OpenEnvironment, flags: Mapping[str, Any]) -> Environment:
    """
    Settings from config and flags.

    Raises:
        WrongInput: with the mistakes of the scenario files too, where the command line names some.
    """
    try:
        return open_environment(args.config, flags)
    except WrongInput as wrong:
        if not wrong.mistakes or not getattr(args, "files", None):
            raise
        # Where to play stands in the config too, so it is not known now.
        found = read_files(args, args.on)
        sources = {**found.sources, **wrong.sources}
        text = render_text([*wrong.mistakes, *found.mistakes], sources, found.files + 1)
        raise WrongInput([text.rstrip("\n")]) from None


def check_files(args: argparse.Namespace, open_environment: OpenEnvironment) -> tuple[str, bool]:
    """``runner check``: what it says, and whether all is well."""
    on: str | None = args.on or "sim"
    config: tuple[Mistake, ...] = ()
    sources: Mapping[str, str] = {}
    # Reading settings costs more than the rest of a check, so only who has some pays for it.
    if args.config is not None or Path(_CONFIG).exists():
        try:
            on = open_environment(args.config, {"on": args.on}).on
        except WrongInput as wrong:
            config = tuple(mistake for mistake in wrong.mistakes if mistake.code not in _KEYS)
            on, sources = args.on, wrong.sources
    found = read_files(args, on)
    mistakes = [*config, *found.mistakes]
    files = found.files + bool(config)
    if args.format == "json":
        return render_json(mistakes, files) + "\n", not mistakes
    if args.format == "github":
        return render_github(mistakes), not mistakes
    if mistakes:
        return render_text(mistakes, {**found.sources, **sources}, files), False
    return f"{counted(files, 'file')}, no mistakes\n", True
