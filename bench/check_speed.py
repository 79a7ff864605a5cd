"""
How quick ``runner check`` is, as ratios, so that machines can be compared::

    python bench/check_speed.py

1. One file: wall time of the whole process against a process that only imports jsonschema and ruamel.yaml
   (wanted: at most 1.36, which is 0.30 s where the imports cost 0.22 s).
2. A scenario of 1,000 steps: the check against loading the same text with ruamel.yaml alone (wanted: at most 4).
3. ``runner --help`` against a bare Python.

The best of several rounds counts, as the noise of a machine only ever adds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

MAIN = "import sys; from app.console import main; sys.exit(main())"
HEAD = "scenario: long\nvenues: [backpack]\nsymbol: SOL\nsteps:\n"
FOUR = (
    "  - tracking_open: {interval_secs: 10, timeout_secs: 2m, max_attempts: 12, price_offset_ticks: 0}\n"
    "  - random_wait: {min_secs: 1, max_secs: 30}\n"
    "  - market_close\n"
    "  - assert_flat\n"
)


def best_secs(work: Callable[[], object], rounds: int) -> float:
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)


def process(cache: str, *words: str) -> Callable[[], object]:
    """A Python of its own; compiled code is kept in ``cache``, as an installed program's is kept beside it."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environ["PYTHONPYCACHEPREFIX"] = cache
    command = [sys.executable, *words]
    return lambda: subprocess.run(command, cwd=ROOT, env=environ, check=True, stdout=subprocess.DEVNULL)


def long_file(steps: int) -> bytes:
    return (HEAD + FOUR * (steps // 4)).encode()


def check_against_load(steps: int, rounds: int) -> tuple[float, float]:
    """Seconds of a whole check, and of ruamel.yaml alone."""
    from ruamel.yaml import YAML

    from runner.load import load_scenarios

    data = long_file(steps)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.yaml"
        path.write_bytes(data)

        def check() -> None:
            result = load_scenarios([path], known_venues=("backpack",), on="sim")
            assert not result.mistakes
            assert len(result.scenarios[0].steps) == steps

        return best_secs(check, rounds), best_secs(lambda: YAML(typ="safe", pure=True).load(data), rounds)


def told(words: str, ours: float, theirs: float, wanted: str) -> None:
    print(f"{words:44} {ours * 1000:7.0f} ms / {theirs * 1000:5.0f} ms = {ours / theirs:5.2f}   wanted {wanted}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    file = str(ROOT / "scenarios" / "e2e_all.yaml")
    with tempfile.TemporaryDirectory() as cache:

        def secs(*words: str) -> float:
            return best_secs(process(cache, "-c", *words), rounds)

        imports, bare = secs("import jsonschema, ruamel.yaml"), secs("pass")
        told("check of one file / imports alone", secs(MAIN, "check", file), imports, "<= 1.36")
        told("runner --help / bare Python", secs(MAIN, "--help"), bare, "no import of a library")
    told("check of 1,000 steps / ruamel.yaml alone", *check_against_load(1000, max(2, rounds // 2)), "<= 4")


if __name__ == "__main__":
    main()
