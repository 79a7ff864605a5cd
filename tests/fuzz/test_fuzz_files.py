"""
Whatever stands in the other files that a person hands in - fault rules, a simulators' line, inputs, the folder of an
earlier run - the answer is words and a documented exit code.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.console import OUTSIDE
from core.chance import Chance
from core.clock import VirtualClock, run_virtual
from core.secrets import VAULT
from runner.command import main
from runner.environment import WrongInput
from runner.load import load_scenarios
from runner.mistakes import SCENARIO_CODES, render_text
from runner.sims import read_faults, read_sims
from runner.site import connector_of, credentials_of
from tests.fuzz.mutations import PAGES, mutated, profile
from venues import VENUES
from venues.simulation import open_simulator
from venues.simulation.faults import Faults

pytestmark = pytest.mark.secrets_are_planted

ROOT = Path(__file__).resolve().parents[2]
HOME = Path(mkdtemp(prefix="roundtrip-fuzz-"))
RULES = json.dumps(
    [
        {"action": "lose_reply", "on": "http", "kind": "place", "nth": [1]},
        {"action": "delay", "on": "ws", "kind": "fill", "every": 3, "params": {"ms": 800}},
        {"action": "silent", "venue": "okx", "on": "ws", "after_ms": 20000, "until_ms": 21000, "params": {"ms": 15000}},
        {"action": "partial_fill", "on": "engine", "kind": "match", "probability": 0.5, "params": {"fraction": "0.5"}},
        {"action": "rate_limit", "on": "http", "kind": "*", "params": {"status": 429, "retry_after": 2, "body": "x"}},
    ]
).encode()
INPUTS = b'{"hold": "20s", "size": 0.05, "word": "a", "fast": true}'
SCENARIO = """\
scenario: small
title: Open at market, close at market
venues: [backpack]
symbol: SOL
inputs:
  hold: {type: duration, default: 2s, max: 5m}
  size: {type: number, default: 1}
  word: {type: text, default: a}
  fast: {type: yes_no, default: yes}
steps:
  - market_open
  - wait: {secs: $hold}
  - market_close
"""


@pytest.fixture(autouse=True)
def _empty_vault():
    yield
    VAULT.forget_all()


def written(name: str, data: bytes) -> Path:
    path = HOME / name
    path.write_bytes(data)
    return path


def told(*words: object) -> tuple[int, str]:
    """Exit code and everything that a command printed."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(word) for word in words], OUTSIDE)
    text = out.getvalue() + err.getvalue()
    assert "Traceback" not in text
    return code, text


@profile(12)
@given(data=st.data())
def test_a_broken_file_of_faults_is_told(data):
    """[ours] Rules, or WrongInput; what was taken can strike without an error of its own."""
    path = written("faults.json", data.draw(mutated(RULES)).data)
    try:
        rules = read_faults(path, Chance(1))
    except WrongInput as error:
        str(error).encode(errors="strict")
    else:
        assert isinstance(rules, Faults)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: repr(page[:12]))
def test_a_page_in_place_of_a_file_is_told(page):
    """[ours] HTML, nothing, half a word, endless brackets as faults, as a simulators' line and as inputs."""
    path = written("page", page)
    for read in (lambda: read_faults(path, Chance(1)), lambda: read_sims(str(path))):
        with contextlib.suppress(WrongInput):
            read()
    if page[:2] != b"[[":  # slow to read, and tests/broken has it
        load_scenarios([written("small.yaml", SCENARIO.encode())], inputs=str(path), known_venues=tuple(VENUES))


@functools.cache
def sims_line() -> bytes:
    async def ask() -> bytes:
        lines = {}
        for venue in VENUES:
            app = open_simulator(venue, clock=VirtualClock(), chance=Chance("files"))
            lines[venue] = app.bootstrap("http://127.0.0.1:9", "ws://127.0.0.1:9")
        return json.dumps(lines).encode()

    return run_virtual(ask())


class _Simulated:
    on = "sim"


@profile(60)
@given(data=st.data())
def test_a_broken_line_of_simulators_is_told(data):
    """[ours] The line, its keys and its addresses: connectors or WrongInput, and no key in the words."""
    line = sims_line()
    secrets = [
        value
        for venue in json.loads(line).values()
        for name, value in venue["credentials"].items()
        if isinstance(value, str) and len(value) >= 32 and name != "address"
    ]
    path = written("sims.json", data.draw(mutated(line)).data)
    try:
        sims = read_sims(str(path))
    except WrongInput as error:
        words = str(error)
    else:
        words = ""
        for venue in VENUES:
            try:
                keys = credentials_of(venue, _Simulated(), sims)  # type: ignore[arg-type]
                connector_of(venue, "sim", keys, sims, VirtualClock(), Chance(1))
            except WrongInput as wrong:
                words += "".join(wrong.texts)
    words.encode(errors="strict")
    assert not any(secret in words for secret in secrets)


@profile(10)
@given(data=st.data())
def test_a_broken_file_of_inputs_is_told(data):
    """[ours] A value for each input, or mistakes with code and place."""
    scenario = written("small.yaml", SCENARIO.encode())
    path = written("inputs.yaml", data.draw(mutated(INPUTS)).data)
    result = load_scenarios([scenario], inputs=str(path), known_venues=tuple(VENUES))
    render_text(result.mistakes, result.sources, result.files).encode()
    assert {mistake.code for mistake in result.mistakes} <= set(SCENARIO_CODES)
    assert bool(result.scenarios) or bool(result.mistakes)


# -- the folder of an earlier run


def disk():
    place = ROOT / "tests" / "unit" / "runner" / "runs_on_disk.py"
    spec = importlib.util.spec_from_file_location("runs_on_disk", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sealed():
    """A signed run, and a second one to compare it with."""
    home = HOME / "sealed"
    maker = disk()
    first = maker.make_run(home, "20260105T000000Z-one")
    maker.make_run(home, "20260105T000000Z-two")
    code, text = told(
        *("sign", first, "--name", "Ann", "--role", "Head", "--decision", "accept"),
        *("--state-dir", HOME / "state", "--runs-dir", home, "--logs-dir", HOME / "logs"),
    )
    assert code == 0, text
    return home


FILES = ("outcome.json", "plan.json", "inputs.json", "seal/manifest.json", "events.jsonl", "seal/signatures")


@profile(10)
@given(data=st.data())
def test_a_broken_run_is_told_by_every_command_that_reads_it(sealed, data):
    """[ours] One file of a signed run changed: report, verify, runs, compare, export answer 0, 1 or 2, in words."""
    home = HOME / "broken"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(sealed, home)
    folder = home / "20260105T000000Z-one"
    path = folder / data.draw(st.sampled_from(FILES))
    if path.is_dir():
        path = next(path.glob("*.json"))
    before = path.read_bytes()
    if path.suffix == ".jsonl":
        lines = before.splitlines(keepends=True)
        row = data.draw(st.integers(0, len(lines) - 1))
        lines[row] = data.draw(mutated(lines[row])).data
        after = b"".join(lines)
    else:
        after = data.draw(mutated(before, most=2)).data
    path.write_bytes(after)
    places = ("--state-dir", HOME / "state", "--runs-dir", home, "--logs-dir", HOME / "logs")
    code, text = told("verify", folder)
    assert code in (0, 1, 2)
    assert after == before or code != 0, (path, text)
    for words in (("runs",), ("compare", folder, home / "20260105T000000Z-two"), ("report", folder)):
        code, text = told(*words, *places)
        assert code in (0, 2), words
        assert text
    if data.draw(st.booleans()):
        (folder / "outcome.json").unlink()
        for words in (("report", folder), ("export", folder, "--out", HOME / "out.zip"), ("verify", folder)):
            assert told(*words, *(places if words[0] != "verify" else ()))[0] in (0, 1, 2), words


@profile(30)
@given(data=st.data())
def test_a_broken_zip_is_not_verified(sealed, data):
    """[ours] An exported archive with bytes changed, cut or put in: NOT VERIFIED or wrong input, in words."""
    whole = HOME / "whole.zip"
    if not whole.exists():
        places = ("--state-dir", HOME / "state", "--runs-dir", sealed, "--logs-dir", HOME / "logs")
        assert told("export", sealed / "20260105T000000Z-one", "--out", whole, *places)[0] == 0
    raw = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        kind = data.draw(st.sampled_from(("flip", "cut", "put")))
        if kind == "flip":
            raw[at] ^= data.draw(st.integers(1, 255))
        elif kind == "cut":
            del raw[at : at + data.draw(st.integers(1, 2_000))]
        else:
            raw[at:at] = data.draw(st.binary(min_size=1, max_size=20))
        if len(raw) < 2:
            break
    code, text = told("verify", written("broken.zip", bytes(raw)))
    assert code in (0, 1, 2)
    assert text
