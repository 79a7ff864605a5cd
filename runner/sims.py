"""The simulators of a run: started here, served to others (``runner sim serve``), or found by their JSON line."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from core.chance import Chance
from core.clock import Clock, PacedClock
from runner.load import similar_file
from runner.mistakes import wrong_word
from venues import VENUES
from venues.simulation import open_simulator
from venues.simulation.faults import Faults
from venues.simulation.gate import FaultGate
from venues.simulation.limits import limits_of
from venues.simulation.server import serve

Lines = Mapping[str, Mapping[str, Any]]
"""The object of the JSON line: venue → rest, ws, credentials, symbols, and how much faster than life it lives."""

DEFAULT_PORT: Final = 9100


class SimsError(Exception):
    """The simulators cannot be started; the text says why and what to do."""


@contextlib.asynccontextmanager
async def simulators(
    venues: Sequence[str],
    *,
    clock: Clock,
    seed: int | str,
    speed: float = 1.0,
    faults: Faults | None = None,
    port_base: int | None = None,
) -> AsyncIterator[Lines]:
    """
    Run one simulator a venue while the block runs, on loopback.

    Raises:
        SimsError: a port is taken.
    """
    chance = Chance(seed)
    rules = faults or Faults()
    gates = {}
    for venue in venues:
        own = rules.for_venue(venue)
        app = open_simulator(venue, clock=clock, chance=chance.fork(f"sim/{venue}"), faults=own, speed=speed)
        # A market that lives faster has faster minutes, too.
        gates[venue] = FaultGate(app, own, clock, limits_of(venue, PacedClock(clock, speed)))
    try:
        async with serve(gates, port_base) as addresses:
            yield {venue: {**gate.app.bootstrap(*addresses[venue]), "speed": speed} for venue, gate in gates.items()}
    except OSError as error:
        raise SimsError(f"The simulators cannot listen: {error}. Choose another --port-base.") from error


def read_sims(source: str) -> Lines:
    """
    The JSON line of a ``runner sim serve --json`` that is already up; ``-`` reads standard input.

    Raises:
        WrongInput: FILE_MISSING and its like, or FLAG_VALUE: not such a line.
    """
    text = sys.stdin.readline() if source == "-" else _text("--sims", source)
    try:
        lines = json.loads(text)
        assert isinstance(lines, dict)
        assert lines
        for venue, line in lines.items():
            assert venue in VENUES
            assert all(isinstance(line[key], str) for key in ("rest", "ws"))
            assert all(isinstance(value, str | int) for value in line["credentials"].values())
    except (ValueError, AssertionError, TypeError, LookupError, AttributeError, RecursionError) as error:
        wanted = "a file with the JSON line that `runner sim serve --json` prints"
        raise wrong_word("--sims", source, "FLAG_VALUE", "This holds no line of simulators.", wanted) from error
    return lines


def read_faults(path: Path, chance: Chance) -> Faults:
    """
    Fault rules from a YAML or JSON file.

    Raises:
        WrongInput: FILE_MISSING and its like, or FLAG_VALUE with the rule, key and allowed words that are wrong.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    text = _text("--faults", str(path))
    try:
        data = YAML(typ="safe", pure=True).load(text)
        return Faults.load(data, chance=chance, venues=tuple(VENUES))
    except (YAMLError, ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        wanted = "a YAML or JSON list of fault rules"
        raise wrong_word("--faults", str(path), "FLAG_VALUE", f"These rules do not fit: {why}", wanted) from error


def _text(flag: str, name: str) -> str:
    """The text of a file that a flag names. Raises WrongInput."""
    try:
        return Path(name).read_text(encoding="utf-8")
    except IsADirectoryError:
        raise wrong_word(flag, name, "FILE_IS_FOLDER", "This is a folder, and a file is wanted.", "a file") from None
    except FileNotFoundError:
        near = similar_file(name)
        raise wrong_word(flag, name, "FILE_MISSING", "There is no such file.", "a file that exists", near) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise wrong_word(flag, name, "FILE_UNREADABLE", f"This file cannot be read: {why}.", "a text file") from None
