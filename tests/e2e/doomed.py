"""
The ``runner`` command in processes that can be killed at a journal write, and simulators that show their books.

    python tests/e2e/doomed.py serve sim serve --json ...   # SIGUSR1 prints the books of all exchanges, one line
    python tests/e2e/doomed.py play                         # a request a line on stdin, an answer a line

A request is ``{"argv", "folder", "kill", "after", "text"}``: a process of its own runs ``runner ARGV`` in the folder,
its output goes to the file ``text``, and it is killed with SIGKILL just before (or after) the ``kill``-th write of its
journal reached the disk. The answer is ``{"code", "writes"}``; a killed process has the code -9. All modules are read
before the first request, so that a process costs only its work.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import app.console
import runner.playing
import runner.recover
import runner.sims
import venues.budget
import venues.simulation.binance_limits
import venues.simulation.limits
from execution.journal import Journal
from venues import VENUES, open_room

GUARD = Journal._guard
PATIENCE_SECS = 150
writes = 0


def count_writes(kill: int, after: bool, counted: int) -> None:
    """From now on the ``kill``-th write of a journal is the last thing this process does; 0: it lives."""

    @contextmanager
    def guard(journal: Journal, doing: str) -> Iterator[None]:
        global writes
        if doing == "read":
            with GUARD(journal, doing):
                yield
            return
        writes += 1
        # Told before it may be too late to tell.
        os.pwrite(counted, str(writes).encode(), 0)
        if writes == kill and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        with GUARD(journal, doing):
            yield
        if writes == kill and after:
            os.kill(os.getpid(), signal.SIGKILL)

    Journal._guard = guard  # type: ignore[method-assign]


def play() -> None:
    # The budgets have tests of their own; here they would make each process wait for the requests of the dead ones.
    venues.budget._Window.wait_secs = lambda *_: 0.0  # type: ignore[method-assign]
    # Read now, not in each process.
    for venue in VENUES:
        open_room(venue)
    for line in sys.stdin:
        print(json.dumps(one(**json.loads(line))), flush=True)


def one(argv: list[str], folder: str, kill: int, after: bool, text: str) -> dict[str, int]:
    counted = os.memfd_create("writes")
    child = os.fork()
    if child == 0:
        code = 70
        try:
            # One that hangs must not hang the tests.
            signal.alarm(PATIENCE_SECS)
            os.chdir(folder)
            os.environ.update(HOME=folder, XDG_STATE_HOME=f"{folder}/state-home")
            sink = os.open(text, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            count_writes(kill, after, counted)
            sys.argv = ["runner", *argv]
            code = int(app.console.main() or 0)
        except SystemExit as stop:
            code = int(stop.code or 0)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    told = os.pread(counted, 20, 0).decode()
    os.close(counted)
    return {"code": os.waitstatus_to_exitcode(status), "writes": int(told or 0)}


def serve(argv: list[str]) -> int:
    engines: dict[str, Any] = {}
    open_simulator = runner.sims.open_simulator

    def opened(venue: str, **options: Any) -> Any:
        simulator: Any = open_simulator(venue, **options)
        engines[venue] = simulator.engine
        return simulator

    def tell(*_: Any) -> None:
        books = {venue: books_of(engine) for venue, engine in engines.items()}
        os.write(1, json.dumps(books).encode() + b"\n")

    # Dying again and again takes more requests than some venues give in a minute.
    venues.simulation.limits._VENUES = {}  # type: ignore[misc]
    venues.simulation.binance_limits.LIMITS = {True: (), False: ()}  # type: ignore[misc]
    runner.sims.open_simulator = opened  # type: ignore[assignment]
    signal.signal(signal.SIGUSR1, tell)
    sys.argv = ["runner", *argv]
    return int(app.console.main() or 0)


def books_of(engine: Any) -> dict[str, Any]:
    """What is true at one exchange, whatever a client believes."""
    own = [order for order in engine.orders.values() if order.owner in engine.accounts]
    ids = Counter(str(order.client_id) for order in own if order.client_id is not None)
    return {
        "live": sum(order.live for order in own),
        "held": [
            each.net_i for account in engine.accounts.values() for each in account.positions.values() if each.net_i
        ],
        "twice": [client_id for client_id, times in ids.items() if times > 1],
        "orders": len(own),
    }


if __name__ == "__main__":
    if sys.argv[1] == "play":
        play()
    else:
        raise SystemExit(serve(sys.argv[2:]))
