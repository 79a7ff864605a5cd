"""What is quick because it loads nothing that it does not need. Times are told by bench/check_speed.py."""

import json
import subprocess
import sys

import pytest

from tests.e2e.virtual import ROOT

FAR = {"httpx", "websockets", "jinja2", "rich", "anyio", "msgspec", "structlog", "jsonschema", "ruamel", "markdown_it"}
CODE = """
import json, sys
from app.console import OUTSIDE
from runner.command import main
code = main(json.loads(sys.argv[1]), OUTSIDE)
sys.stderr.write(json.dumps([code, sorted(sys.modules)]))
"""


def modules_after(*words):
    done = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(words)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    code, names = json.loads(done.stderr)
    assert code == 0, done.stdout
    return names


def rooms(names):
    return {name for name in names if name.startswith("venues.")}


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["play", "--help"], ["check", "--help"]])
def test_help_and_version_load_no_library_and_no_venue(words):
    """[client] Neither httpx nor websockets nor jinja2 nor any venue, nor anything else from outside."""
    names = modules_after(*words)
    assert FAR & {name.partition(".")[0] for name in names} == set()
    assert rooms(names) == set()
    assert {"execution", "strategy", "steps", "reports"} & set(names) == set()


def test_a_check_loads_the_readers_of_yaml_and_schema_only():
    """[client] The engine, the exchanges and the network stay out of it."""
    names = modules_after("check", "scenarios/e2e_all.yaml")
    assert (FAR - {"jsonschema", "ruamel"}) & {name.partition(".")[0] for name in names} == set()
    assert rooms(names) == set()
    assert {"execution", "strategy", "steps", "runner.heartbeat"} & set(names) == set()


@pytest.mark.parametrize("words", [["steps"], ["steps", "wait"], ["check", "scenarios/examples/strategy.yaml"]])
def test_steps_and_checks_open_no_room(words):
    """[ours] Words about scenarios need no exchange; a strategy's name costs the engine, still no exchange's room."""
    from venues import VENUES

    assert not rooms(modules_after(*words)) & {f"venues.{name}" for name in VENUES}


def test_the_measurement_runs():
    """[ours] bench/check_speed.py prints three ratios; what they are is for people to judge."""
    done = subprocess.run(
        [sys.executable, "bench/check_speed.py", "--rounds", "1"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.count(" ms / ") == 3
