"""The front door of the ``runner`` command: it joins the rooms that may not see each other."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.command import Outside
from runner.command import main as run_command

if TYPE_CHECKING:
    from app.settings import Account
    from runner.environment import Environment
    from runner.mistakes import Explained

CONFIG = "config.yaml"


def open_environment(config: str | None, flags: Mapping[str, Any]) -> Environment:
    """Settings from the config file (``config.yaml`` if there is one), flags and environment. Raises WrongInput."""
    from app.settings import SettingsError, load_settings, locks_folder, read_account
    from runner.environment import Environment, WrongInput

    path = Path(config) if config is not None else Path(CONFIG)
    try:
        settings = load_settings(path if config is not None or path.exists() else None, flags, os.environ)
    except SettingsError as error:
        raise WrongInput([str(error).rstrip()], error.mistakes, error.sources) from error

    def keys(venue: str) -> Account:
        try:
            return read_account(settings, venue, os.environ)
        except SettingsError as error:
            raise WrongInput([str(error).rstrip()]) from error

    return Environment(
        on=settings.on,
        seed=settings.seed,
        speed=settings.speed,
        state_dir=settings.state_dir,
        runs_dir=settings.runs_dir,
        logs_dir=settings.logs_dir,
        locks_dir=locks_folder(settings, os.environ),
        control_port=settings.control_port,
        log_level=settings.log_level,
        log_json=settings.log_json,
        caps=settings.caps,
        heartbeat=settings.heartbeat,
        keys=keys,
    )


def write_reports(folder: Path, *, language: str | None = None, unfinished: bytes | None = None) -> None:
    """report.md, report.html and junit.xml from outcome.json. Raises ValueError with place and next move."""
    from reports.render import ReportError, write

    try:
        write(folder, language=language, unfinished=unfinished)
    except ReportError as error:
        raise ValueError(str(error)) from error


def write_own(folder: Path, template: Path, *, language: str | None = None, unfinished: bytes | None = None) -> Path:
    """The report by somebody's own template. Raises ValueError with place and next move."""
    from reports.own_template import write_own as write
    from reports.render import ReportError

    try:
        return write(folder, template, language=language, unfinished=unfinished)
    except ReportError as error:
        raise ValueError(str(error)) from error


def explanations() -> Mapping[str, Explained]:
    """Every code that any output may carry."""
    from app.settings import SETTINGS_CODES
    from runner.mistakes import SCENARIO_CODES, Explained
    from steps import CODES as STEP_CODES
    from venues.errors import CODES

    pages = {code: Explained(page.meaning, page.next_move, "") for code, page in CODES.items()}
    pages |= {code: Explained(meaning, move, "") for code, (meaning, move) in STEP_CODES.items()}
    return {**pages, **SETTINGS_CODES, **SCENARIO_CODES}


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as installed

    return installed("roundtrip")


OUTSIDE = Outside(
    open_environment=open_environment,
    write_reports=write_reports,
    write_own=write_own,
    explanations=explanations,
    version=version,
)


def main() -> int:
    """Entry point of ``runner``."""
    return run_command(sys.argv[1:], OUTSIDE)
