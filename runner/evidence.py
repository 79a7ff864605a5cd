"""
What a run folder keeps so that it is whole by itself: scenario, inputs and the timelines of its orders.

The runs of one machine share ``logs/orders``; a folder that is signed, copied or exported must not depend on it.
"""

from __future__ import annotations

import difflib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from core.seal import ORDERS
from core.secrets import VAULT
from runner.environment import WrongInput
from runner.mistakes import wrong_word
from runner.outcome import Notice, Outcome
from runner.plan import Plan


def keep_inputs(folder: Path, plan: Plan, text: str) -> None:
    """Write ``scenario.yaml`` (``text``, secrets already masked) and ``inputs.json`` at the beginning of a run."""
    (folder / "scenario.yaml").write_text(text, encoding="utf-8")
    rows = [
        {"name": value.name, "type": value.type, "text": VAULT.mask(value.text), "origin": value.origin}
        for value in plan.scenario.inputs.values()
    ]
    document = {"schema": "roundtrip/inputs/1", "inputs": rows}
    (folder / "inputs.json").write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def keep_timelines(folder: Path, outcome: Outcome, orders: Path | None) -> Outcome:
    """Copy the timeline of every order of ``outcome`` into the run; what cannot be copied becomes one of its errors."""
    if orders is None:
        return outcome
    names = [order.timeline_file for play in outcome.plays for order in play.orders if order.timeline_file]
    failures = copy_timelines(folder, (orders / name for name in names))
    notices = tuple(Notice(ts_ms=outcome.ended_ms, code="LOG_INCOMPLETE", text=text) for text in failures)
    return msgspec.structs.replace(outcome, errors=(*outcome.errors, *notices)) if notices else outcome


def copy_timelines(folder: Path, paths: Iterable[Path]) -> list[str]:
    """Sentences about what could not be copied into ``orders/``."""
    failures = []
    for path in paths:
        try:
            (folder / ORDERS).mkdir(exist_ok=True)
            shutil.copyfile(path, folder / ORDERS / path.name)
        except OSError as error:
            failures.append(f"{path.name} was not copied into the run: {error.strerror or error}")
    return failures


def find_run(word: str, runs_dir: Path) -> Path:
    """
    A run folder by its path or its name.

    Raises:
        WrongInput: there is none; the nearest name is offered.
    """
    for folder in (Path(word), runs_dir / word):
        if folder.is_dir():
            return folder
    known = sorted(path.name for path in runs_dir.glob("*") if path.is_dir())
    near = next(iter(difflib.get_close_matches(word, known, n=1)), None)
    wanted = f"a run of {runs_dir}/, such as {near or known[-1]}" if known else f"a run, and {runs_dir}/ holds none"
    raise wrong_word("RUN", word, "UNKNOWN_RUN", "There is no such run.", wanted, near)


def read_outcome(folder: Path) -> dict[str, Any] | None:
    """
    The parsed outcome.json of a run; None when it has none.

    Raises:
        WrongInput: it is no sound outcome.
    """
    from schemas.outcome import faults

    path = folder / "outcome.json"
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise WrongInput([f"{path}: the file cannot be read: {error}."]) from error
    found = faults(document)
    if found:
        raise WrongInput([f"{path}: the file is no sound outcome: {found[0]}."])
    return dict(document)
