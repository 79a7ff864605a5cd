"""The published schemas: complete for readers, valid for editors, and of one mind with the engine."""

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.load import load_scenarios
from runner.rules import flow
from runner.values import SCALAR_KINDS, BadValue, read_value
from schemas import load_schema, registry, verbs

FOLDER = Path(__file__).resolve().parents[3] / "schemas"
FILES = ["scenario", *(f"steps/{verb}" for verb in verbs())]
KNOWN = ["backpack", "binance", "hyperliquid", "lighter", "okx"]


def settings_of(name, schema):
    for key, facts in schema.get("properties", {}).items():
        yield f"{name}.{key}", facts
        yield from settings_of(f"{name}.{key}", facts)


SCENARIO = load_schema("scenario")
EVERY = [
    *settings_of("scenario", SCENARIO),
    *settings_of("input", SCENARIO["$defs"]["input"]),
    *(row for verb in verbs() for row in settings_of(verb, load_schema(f"steps/{verb}"))),
]
SCALARS = [(name, facts) for name, facts in EVERY if facts["kind"] in SCALAR_KINDS]


def fits(schema, value):
    return jsonschema.Draft202012Validator(schema, registry=registry()).is_valid(value)


def engine_takes(facts, value):
    text = flow(value) if value is not None else ""
    try:
        read_value("key", value, text, facts)
    except BadValue:
        return False
    return True


def test_there_is_one_schema_file_for_every_verb():
    """[client] The step's list and the folder say the same."""
    on_disk = {path.name.removesuffix(".schema.json") for path in (FOLDER / "steps").glob("*.json")}
    assert on_disk == set(verbs())
    assert len(verbs()) == 13


@pytest.mark.parametrize("name", FILES)
def test_a_schema_keeps_the_rules_of_its_draft(name):
    """[ours] Draft 2020-12, checked against its own meta-schema, in plain UTF-8 without surprises."""
    schema = load_schema(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"]
    assert schema["description"].strip()
    assert "oneOf" not in json.dumps(schema)


def test_references_stay_beside_the_file():
    """[ours] An editor resolves them relative to the file, and we without a network."""
    for verb in verbs():
        ref = SCENARIO["$defs"]["step"]["properties"][verb]["$ref"]
        assert (FOLDER / ref).is_file()
        assert registry().contents(ref) is load_schema(f"steps/{verb}")


@pytest.mark.parametrize(("name", "facts"), EVERY, ids=[name for name, _ in EVERY])
def test_a_setting_explains_itself(name, facts):
    """[client] Description, examples and unit on every key; the default and the examples are good values."""
    assert facts["description"]
    assert facts["kind"]
    assert facts["examples"]
    if facts["kind"] in {"duration", "quantity", "decimal", "size"}:
        assert facts["unit"]
    resolvable = {**facts, "$defs": SCENARIO["$defs"]}
    for example in [*facts["examples"], *([facts["default"]] if "default" in facts else [])]:
        assert fits(resolvable, example), example
        if facts["kind"] in SCALAR_KINDS:
            assert engine_takes(facts, example), example


@pytest.mark.parametrize("verb", verbs())
def test_a_verb_has_a_sentence_and_examples_that_load(verb, tmp_path):
    """[client] What `runner steps VERB` shows can be copied into a file."""
    schema = load_schema(f"steps/{verb}")
    assert schema["words"]
    for number, example in enumerate(schema["examples"]):
        path = tmp_path / f"{number}.yaml"
        path.write_text(f"scenario: a\nvenues: all\nsymbol: SOL\nsteps:\n  - {verb}: {flow(example)}\n")
        result = load_scenarios([path], known_venues=KNOWN)
        assert result.mistakes == ()
        assert "{" not in result.scenarios[0].steps[0].words


def test_an_example_scenario_of_the_schema_loads(tmp_path):
    """[client] The whole-file example too."""
    (example,) = SCENARIO["examples"]
    path = tmp_path / "a.yaml"
    path.write_text(json.dumps(example))
    assert load_scenarios([path], known_venues=KNOWN).mistakes == ()


PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**7),
    st.decimals(-2, 2000, places=3, allow_nan=False).map(float),
    st.sampled_from(["min", "filled", "buy", "sell", "perp", "spot", "SOL", "sol", "SOLUSDT", "5 USD", "25usd", "yes"]),
    st.sampled_from(["", " ", "12", "1s", "250ms", "2 m", "m", "e2e_all", "A-b", "all", "backpack", "PERP", "USDC"]),
)


@settings(max_examples=60, deadline=None)
@given(value=PLAIN)
@pytest.mark.parametrize(("name", "facts"), SCALARS, ids=[name for name, _ in SCALARS])
def test_schema_and_engine_give_the_same_verdict(name, facts, value):
    """[ours] What an editor underlines the engine refuses; the engine alone compares times in words with limits."""
    if facts["kind"] == "duration" and isinstance(value, str) and fits(facts, value):
        return
    assert fits(facts, value) == engine_takes(facts, value), value
