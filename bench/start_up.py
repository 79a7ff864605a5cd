"""B4: whole processes, from start to end, beside a bare Python."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping

from bench.laps import Lap, Spread, race, seconds_each
from bench.venues_at_hand import ROOT, RUNNER

SCENARIO = "scenarios/e2e_all.yaml"
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "bare Python": ("-c", "pass"),
    "runner --help": ("-c", RUNNER, "--help"),
    "runner check, one file": ("-c", RUNNER, "check", SCENARIO),
    "import of one room and its connector": (
        "-c",
        "import venues.connector, venues.wire, httpx, websockets.asyncio.client, venues.backpack.dialect",
    ),
    "import ccxt": ("-c", "import ccxt"),
    "import ccxt.async_support": ("-c", "import ccxt.async_support"),
}


def _process(words: tuple[str, ...], cache: str) -> Lap:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # Compiled code is kept, as an installed program's is.
    environ["PYTHONPYCACHEPREFIX"] = cache
    command = [sys.executable, *words]
    return lambda: seconds_each(
        lambda: subprocess.run(command, cwd=ROOT, env=environ, check=True, stdout=subprocess.DEVNULL), 1
    )


def measure(rounds: int) -> dict[str, Spread]:
    with tempfile.TemporaryDirectory() as cache:
        return race({name: _process(words, cache) for name, words in COMMANDS.items()}, rounds)
