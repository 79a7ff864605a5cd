"""
``runner halt``: stop running plays from another terminal. It asks each run's own endpoint, waits for its end and tells
what became of it; a run that does not answer is told as such within seconds, with what to do.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import anyio

from core.clock import Clock, SystemClock
from core.secrets import VAULT
from core.words import counted
from runner.command import Outside
from runner.control import CONTROL_FILE, held
from runner.environment import WrongInput
from runner.evidence import find_run, read_outcome
from runner.outcome import EXIT_CODES

NOT_PROVEN: Final = EXIT_CODES["not_proven_flat"]
ANSWER_SECS: Final = 3.0
"""How long an endpoint may take to answer; a frozen process takes for ever."""
_LOOK_SECS: Final = 0.2


class Running(NamedTuple):
    """A run that left word how to reach it."""

    folder: Path
    url: str
    token: str
    pid: int
    locked: bool
    """It keeps its control file locked while it lives."""
    own_sims: bool
    dead_man_secs: Mapping[str, int]


class _NoAnswer(Exception):
    """The endpoint of a run said nothing useful; the text says what. ``gone``: a run that lives would be there."""

    def __init__(self, why: str, *, gone: bool = False) -> None:
        super().__init__(why)
        self.gone = gone


def halt(args: argparse.Namespace, outside: Outside) -> int:
    """Halt every running play, or the one named. 0 when all is proven flat, 5 otherwise."""
    environment = outside.open_environment(args.config, {"runs_dir": args.runs_dir})
    found = _find(environment.runs_dir, args.run)
    if not found:
        sys.stdout.write(f"Nothing to halt: no play is running in {environment.runs_dir}.\n")
        return 0
    proven, asked = True, []
    # All are told before any is waited for.
    for run in found:
        if not _alive(run):
            proven = _tell_dead(run) and proven
            continue
        try:
            state = _ask(run, flatten=args.flatten)
        except _NoAnswer as no:
            if no.gone and not run.locked:
                proven = _tell_dead(run) and proven
                continue
            _tell_mute(run, str(no))
            proven = False
        else:
            sys.stdout.write(f"{run.folder.name}: halting\n{_state_words(state)}")
            asked.append(run)
    sys.stdout.flush()
    for run in asked:
        proven = anyio.run(_wait, run, args.wait, SystemClock()) and proven
    return 0 if proven else NOT_PROVEN


def _find(runs_dir: Path, word: str | None) -> list[Running]:
    """
    Raises:
        WrongInput: the run named does not exist, is over, or its control file cannot be used.
    """
    if word is None:
        return [_read(file) for file in sorted(runs_dir.glob(f"*/{CONTROL_FILE}")) if not _over(file.parent)]
    folder = find_run(word, runs_dir)
    if _over(folder):
        raise WrongInput([f"{folder.name} is over: `runner report {folder.name}` tells how it went."])
    if not (folder / CONTROL_FILE).exists():
        raise WrongInput(
            [f"{folder.name} cannot be halted: it is not running, or `control_port` is null in its config."]
        )
    return [_read(folder / CONTROL_FILE)]


def _over(folder: Path) -> bool:
    return (folder / "outcome.json").exists()


def _read(file: Path) -> Running:
    try:
        told = json.loads(file.read_bytes())
        run = Running(
            folder=file.parent,
            url=str(told["url"]),
            token=str(told["token"]),
            pid=int(told["pid"]),
            locked=told.get("locked") is True,
            own_sims=bool(told["own_sims"]),
            dead_man_secs={str(venue): int(secs) for venue, secs in told["dead_man_secs"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WrongInput([f"{file} cannot be used ({type(error).__name__}). Is it yours?"]) from error
    VAULT.remember(run.token)
    return run


def _alive(run: Running) -> bool:
    """Its lock knows; where there is none, a process with its number may be another one."""
    known = held(run.folder / CONTROL_FILE) if run.locked else None
    return _there(run.pid) if known is None else known


def _there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _ask(run: Running, *, flatten: bool) -> Mapping[str, Any]:
    where = urlsplit(run.url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=ANSWER_SECS)
    body = json.dumps({"flatten": flatten, "by": "command"})
    try:
        connection.request("POST", "/halt", body, {"authorization": f"Bearer {run.token}"})
        answer = connection.getresponse()
        told = json.loads(answer.read())
    except TimeoutError:
        raise _NoAnswer(f"process {run.pid} is there and does not answer (it may be frozen)") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        refused = isinstance(error, ConnectionRefusedError)
        raise _NoAnswer(f"process {run.pid} cannot be asked ({type(error).__name__})", gone=refused) from None
    finally:
        connection.close()
    if answer.status != 200 or not isinstance(told, dict):
        raise _NoAnswer(f"what listens at {run.url} is not this run (HTTP {answer.status})", gone=True)
    return told


def _state_words(state: Mapping[str, Any]) -> str:
    lines = []
    for venue, own in state.get("venues", {}).items():
        cancelling = [
            f"{order['side']} {order['size']} {order['symbol']} ({order['client_id']})" for order in own["live"]
        ]
        held = [f"{quantity} {symbol}" for symbol, quantity in own["held"].items()]
        lines.append(
            f"  {venue}: cancelling {', '.join(cancelling) or 'nothing, no order is live'}; "
            f"holding {', '.join(held) or 'nothing'}\n"
        )
    return "".join(lines)


async def _wait(run: Running, within_secs: float, clock: Clock) -> bool:
    """Wait for the run's end and tell it. True when it is proven flat."""
    give_up = clock.monotonic() + within_secs
    while not _over(run.folder):
        if not _alive(run) and not _over(run.folder):
            return _tell_dead(run)
        if clock.monotonic() >= give_up:
            sys.stdout.write(
                f"{run.folder.name}: halted, and not over after {within_secs:g} s; it goes on settling.\n"
                "  Look again with: runner runs\n"
            )
            return False
        await clock.sleep(_LOOK_SECS)
    outcome = read_outcome(run.folder)
    assert outcome is not None
    sys.stdout.write(f"{run.folder.name}: {outcome['sentence']}\n")
    for play in outcome["plays"]:
        sys.stdout.write(f"  {play['venue']}: cancelled {_cancelled(play['orders'])}; {_left(play['position'])}\n")
    return bool(outcome["exit_code"] != NOT_PROVEN)


def _cancelled(orders: Sequence[Mapping[str, Any]]) -> str:
    ended = [str(order["client_id"]) for order in orders if order["state"] == "CANCELLED"]
    doubtful = [str(order["client_id"]) for order in orders if order["in_doubt"]]
    words = counted(len(ended), "order") + (f" ({', '.join(ended)})" if ended else "")
    return words + (f", NOT proven ended: {', '.join(doubtful)}" if doubtful else "")


def _left(position: Mapping[str, Any]) -> str:
    proof = position["proof"]
    if proof is None:
        return "what is open was not read" if position["flat"] is None else "nothing is open"
    if position["flat"]:
        return "nothing is open"
    return f"open: {proof['quantity']} and {counted(proof['open_orders'], 'live order')}"


def _tell_dead(run: Running) -> bool:
    """The process is gone. True when that proves that nothing is open."""
    name = run.folder.name
    ended = f"{name}: that run has ended, its process {run.pid} is dead"
    if _there(run.pid):
        ended += " (whatever has that number now is not it; leave it alone)"
    if run.own_sims:
        (run.folder / CONTROL_FILE).unlink(missing_ok=True)
        sys.stdout.write(f"{ended}, and its simulators with it; nothing is open.\n")
        return True
    sys.stdout.write(f"{ended}; nobody there can cancel.\n{_switches(run)}")
    sys.stdout.write(f"  Next: runner recover {name}\n")
    return False


def _tell_mute(run: Running, why: str) -> None:
    name = run.folder.name
    sys.stdout.write(f"{name}: not halted: {why}.\n{_switches(run)}")
    sys.stdout.write(f"  Next: end it with `kill -9 {run.pid}`, then: runner recover {name}\n")


def _switches(run: Running) -> str:
    lines = []
    for venue, secs in run.dead_man_secs.items():
        if secs:
            lines.append(
                f"  {venue}: its own dead-man's switch, if it could be armed, cancels orders within {secs} s\n"
            )
        else:
            lines.append(f"  {venue}: has no dead-man's switch; orders stay live until somebody cancels them\n")
    return "".join(lines)
