"""Whatever a file holds, loading it answers."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.load import load_scenarios
from runner.mistakes import SCENARIO_CODES, render_github, render_json, render_text

ROOT = Path(__file__).resolve().parents[3]
VALID = [path.read_text() for path in sorted((ROOT / "scenarios").rglob("*.yaml"))]
SPICE = ["\t", ":", "- ", "{", "}", "[", "]", '"', "'", "$", "&a ", "*a", "!x ", "\n", "  ", "#", "|", ">", "<<: ", "@"]
SPICE += [
    ".inf",
    "1e999",
    "-1",
    "null",
    "yes",
    "0x1F",
    "\x07",
    "\u2028",
    "é",
    "---\n",
    "? ",
    "%",
    "\\",
    ",",
    "",
    "api_key",
]
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def check(tmp_path):
    path = tmp_path / "fuzz.yaml"

    def run(data):
        path.write_bytes(data)
        result = load_scenarios([path], known_venues=["backpack", "okx"], sets=["hold=3s"])
        render_json(result.mistakes, result.files)
        render_github(result.mistakes)
        assert render_text(result.mistakes, result.sources, result.files)
        own = [mistake for mistake in result.mistakes if mistake.file == str(path)]
        assert bool(own) != bool(result.scenarios)
        places = [(mistake.line, mistake.column) for mistake in own]
        assert places == sorted(places)
        assert all(line >= 1 and column >= 1 for line, column in places)
        assert {mistake.code for mistake in result.mistakes} <= set(SCENARIO_CODES)

    return run


@FUZZ
@given(data=st.binary(max_size=300))
def test_random_bytes_never_raise(check, data):
    """[ours] Bytes that are no text end in mistakes."""
    check(data)


@FUZZ
@given(text=st.lists(st.one_of(st.text(max_size=8), st.sampled_from(SPICE)), max_size=40).map("".join))
def test_random_text_never_raises(check, text):
    """[ours] Text that is no YAML ends in mistakes."""
    check(text.encode(errors="replace"))


@settings(FUZZ, max_examples=400)
@given(data=st.data())
def test_a_valid_scenario_with_slips_never_raises(check, data):
    """[ours] Letters cut out of, and put into, a good file end in a scenario or in mistakes."""
    text = data.draw(st.sampled_from(VALID))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 12))
        text = text[:at] + data.draw(st.sampled_from(SPICE)) + text[at + cut :]
    check(text.encode())
