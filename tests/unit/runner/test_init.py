"""``runner init``: what it writes, and what it leaves alone."""

import json
import re

import jsonschema
import pytest

from app.settings import load_settings
from runner.environment import WrongInput
from runner.init import init, whole_schema
from runner.load import load_scenarios
from schemas import load_schema, registry, verbs
from tests.e2e.virtual import ROOT, SCENARIOS
from venues import VENUES

FILES = {"hello.yaml", "config.example.yaml", "scenario.schema.json", ".gitignore"}


def everything(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_empty_folder_becomes_one_to_play_in(tmp_path):
    """[client] The scenario is sound, the settings too, and the words say what to do next."""
    words = init(tmp_path / "first")
    assert set(everything(tmp_path / "first")) == FILES
    assert f"Next: runner play {tmp_path / 'first' / 'hello.yaml'}\n" in words
    assert load_scenarios([tmp_path / "first" / "hello.yaml"], known_venues=tuple(VENUES)).mistakes == ()
    assert load_settings(tmp_path / "first" / "config.example.yaml", {}, {}).on == "sim"


def test_the_settings_are_those_of_the_repository(tmp_path):
    """[ours] One explained file, not two that drift apart."""
    init(tmp_path)
    assert everything(tmp_path)["config.example.yaml"] == (ROOT / "config.example.yaml").read_bytes()


@pytest.mark.parametrize("name", sorted(FILES - {".gitignore"}))
def test_nothing_is_overwritten_and_nothing_half_written(tmp_path, name):
    """[client] One file that is there stops all of it, by name."""
    (tmp_path / name).write_text("mine")
    with pytest.raises(WrongInput, match=re.escape(name)):
        init(tmp_path)
    assert everything(tmp_path) == {name: b"mine"}


def test_gitignore_gets_only_what_it_lacks(tmp_path):
    """[client] A file of the folder's owner is continued, not replaced."""
    (tmp_path / ".gitignore").write_text("*.pyc\nruns/")
    words = init(tmp_path)
    assert (tmp_path / ".gitignore").read_text() == "*.pyc\nruns/\nlogs/\nstate/\nconfig.yaml\n"
    assert ".gitignore" in words
    for name in FILES - {".gitignore"}:
        (tmp_path / name).unlink()
    assert ".gitignore" not in init(tmp_path)


def test_a_folder_that_cannot_be_written_is_said_in_a_sentence(tmp_path):
    """[client] Never a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(WrongInput, match="cannot be written"):
        init(tmp_path / "file" / "below")


def test_the_schema_beside_the_scenario_needs_no_other_file(tmp_path):
    """[client] Editors complete every verb and setting from it: no reference leaves it, no text is lost."""
    init(tmp_path)
    line = (tmp_path / "hello.yaml").read_text().splitlines()[0]
    schema = json.loads((tmp_path / line.partition("$schema=")[2]).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert {ref[:2] for ref in re.findall(r'"\$ref": "([^"]+)"', json.dumps(schema))} == {"#/"}
    assert json.dumps(schema).count('"$schema"') == 1
    steps = schema["$defs"]["step"]["properties"]
    assert set(steps) == set(verbs())
    for verb in verbs():
        assert steps[verb] == {k: v for k, v in load_schema(f"steps/{verb}").items() if k != "$schema"}


def hover_texts(name, schema):
    """Every key of a schema with its facts, at any depth."""
    for key, facts in schema.get("properties", {}).items():
        yield f"{name}.{key}", facts
        yield from hover_texts(f"{name}.{key}", facts)
    for word in ("additionalProperties", "items"):
        if isinstance(schema.get(word), dict):
            yield from hover_texts(name, schema[word])


def test_every_key_that_an_editor_completes_has_a_text_and_an_example():
    """[client] Hovering over any word of a scenario explains it."""
    schema = whole_schema()
    keys = [*hover_texts("scenario", schema)]
    for name, part in schema["$defs"].items():
        keys += hover_texts(name, part)
    assert len(keys) > 70
    assert [name for name, facts in keys if not facts.get("description") and "$ref" not in facts] == []
    assert [name for name, facts in keys if not facts.get("examples") and "$ref" not in facts] == []


def corpus():
    return [*sorted(SCENARIOS.rglob("*.yaml")), ROOT / "runner" / "templates" / "hello.yaml"]


# What only the engine can know: names of things elsewhere in the file or of exchanges, what these list and take, times
# compared, doubled keys.
ENGINE_ONLY = {
    *("UNKNOWN_VENUE", "DUPLICATE_VENUE", "UNKNOWN_INPUT", "INPUT_MISSING", "INPUT_VALUE", "INPUT_DEFINITION"),
    *("MIN_OVER_MAX", "SECRET_IN_FILE", "DUPLICATE_KEY", "BAD_NUMBER", "UNKNOWN_SYMBOL", "MIN_SIZE", "PRECISION"),
    *("UNKNOWN_STRATEGY", "STRATEGY_SETTING"),
}


def schema_takes(path):
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = True
    found = yaml.load(path.read_text(encoding="utf-8-sig"))
    return jsonschema.Draft202012Validator(load_schema("scenario"), registry=registry()).is_valid(found)


@pytest.mark.parametrize("path", corpus(), ids=lambda path: path.stem)
def test_an_editor_underlines_nothing_in_what_we_ship(path):
    """[client] The schema alone accepts what the engine accepts."""
    assert schema_takes(path)
    assert load_scenarios([path], known_venues=tuple(VENUES)).mistakes == ()


@pytest.mark.parametrize("path", sorted((ROOT / "tests" / "broken").glob("*.yaml")), ids=lambda path: path.stem)
def test_editor_and_engine_are_of_one_mind_about_broken_files(path):
    """[client] A file that is YAML is refused by both, unless all its mistakes are such as only the engine can see."""
    mistakes = load_scenarios([path], known_venues=tuple(VENUES), on="sim").mistakes
    codes = {mistake.code for mistake in mistakes}
    assert codes
    if any(code.startswith(("YAML_", "FILE_")) for code in codes):
        # Not a text that a schema could be held against.
        return
    assert codes <= ENGINE_ONLY or not schema_takes(path)
