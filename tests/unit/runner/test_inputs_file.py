"""Values for inputs from flags, a file and the environment: which one holds, and what is wrong with them."""

import pytest

from runner.load import load_scenarios
from runner.mistakes import render_text

KNOWN = ["backpack"]
SCENARIO = """scenario: demo
venues: [backpack]
symbol: SOL
inputs:
  hold: {type: duration, default: 30s, max: 5m}
  much: {type: size, default: min}
  pace: {type: choice, choices: [slow, fast], default: slow}
  note: {type: text, default: hello}
steps:
  - market_open: {size: $much}
  - wait: {secs: $hold}
"""


@pytest.fixture
def load(tmp_path):
    path = tmp_path / "demo.yaml"
    path.write_text(SCENARIO)

    def read(values=None, **options):
        if values is not None:
            file = tmp_path / "values.yaml"
            file.write_bytes(values if isinstance(values, bytes) else values.encode())
            options["inputs"] = str(file)
        return load_scenarios([path], known_venues=KNOWN, **options)

    return read


def hold(result):
    assert result.mistakes == ()
    found = result.scenarios[0].inputs["hold"]
    return found.value, found.origin, found.place.rpartition("/")[2]


def told(result):
    return [(m.code, m.file.rpartition("/")[2], m.line, m.column, m.suggestion) for m in result.mistakes]


def test_the_flag_wins_over_the_file_the_file_over_the_environment_and_that_over_the_default(load):
    """[client] One order of precedence, and the origin of the value that holds is kept for the plan."""
    environ = {"ROUNDTRIP_INPUT_HOLD": "40s"}
    assert hold(load("hold: 50s\n", sets=["hold=60s"], environ=environ)) == (60.0, "--set", "")
    assert hold(load("# mine\nhold: 50s\n", environ=environ)) == (50.0, "--inputs", "values.yaml:2")
    assert hold(load(environ=environ)) == (40.0, "environment", "ROUNDTRIP_INPUT_HOLD")
    assert hold(load(environ={"ROUNDTRIP_INPUT_HOLD": " "})) == (30.0, "default", "")


def test_values_keep_the_kind_they_have_in_the_file(load):
    """[client] Numbers without quotes, texts with or without, sizes to the last decimal."""
    scenario = load("much: 0.10\nnote: 'true'\npace: fast\n").scenarios[0]
    assert [str(scenario.inputs[name].value) for name in ("much", "note", "pace")] == ["0.1", "true", "fast"]
    assert scenario.inputs["much"].text == "0.10"
    assert str(scenario.steps[0].settings["size"]) == "0.1"


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ("hold: 10 sec\n", ("INPUT_VALUE", "values.yaml", 1, 7, "10s")),
        ("much: min\nhold: 9m\n", ("INPUT_VALUE", "values.yaml", 2, 7, None)),
        ("pace: fsat\n", ("INPUT_VALUE", "values.yaml", 1, 7, "fast")),
        ("hodl: 10s\n", ("UNKNOWN_INPUT", "values.yaml", 1, 1, "hold")),
        ("hold: {secs: 3}\n", ("INPUT_VALUE", "values.yaml", 1, 7, None)),
        ("- hold: 3\n", ("WRONG_TYPE", "values.yaml", 1, 1, None)),
        ("hold: 3\nhold: 4\n", ("DUPLICATE_KEY", "values.yaml", 2, 1, None)),
        ("hold:\t3\n", ("YAML_TAB", "values.yaml", 1, 6, " ")),
        ("api_secret: abcdefgh\n", ("SECRET_IN_FILE", "values.yaml", 1, 1, None)),
        ("note: " + "ab" * 32 + "\n", ("SECRET_IN_FILE", "values.yaml", 1, 7, None)),
    ],
)
def test_a_mistake_in_the_file_of_inputs_has_its_place(load, values, fault):
    """[client] The same shape as in a scenario: place, code, the nearest right word, secrets refused."""
    assert told(load(values)) == [fault]


def test_a_secret_is_not_shown_from_anywhere(load):
    """[client] Neither a file's, nor the environment's, nor a flag's; each is refused with its own words."""
    canary = "5ca1ab1e" * 8
    for result in (
        load(f"note: {canary}\n"),
        load(environ={"ROUNDTRIP_INPUT_NOTE": canary}),
        load(sets=[f"note={canary}"]),
    ):
        assert [m.code for m in result.mistakes] == ["SECRET_IN_FILE"]
        assert "5ca1ab1e" not in render_text(result.mistakes, result.sources, result.files)


def test_a_mistake_in_the_environment_names_the_variable(load):
    """[client] People find the value they exported."""
    result = load(environ={"ROUNDTRIP_INPUT_HOLD": "10 sec", "ROUNDTRIP_INPUT_OTHER": "1"})
    assert told(result) == [("INPUT_VALUE", "ROUNDTRIP_INPUT_HOLD", 1, 1, "10s")]
    assert "^^^^^^" in render_text(result.mistakes, result.sources, 1)


def test_a_file_that_is_not_there_is_a_mistake_and_an_empty_one_is_not(load, tmp_path):
    """[client] Nothing to say is allowed; nothing to read is not."""
    assert told(load(inputs=str(tmp_path / "nowhere.yaml")))[0][0] == "FILE_MISSING"
    assert told(load(inputs=str(tmp_path))) == [("FILE_IS_FOLDER", tmp_path.name, 1, 1, None)]
    assert hold(load("")) == hold(load("# nothing yet\n")) == (30.0, "default", "")


def test_a_name_need_only_be_known_to_one_of_the_files(load, tmp_path):
    """[client] One file of inputs serves several scenarios."""
    other = tmp_path / "other.yaml"
    other.write_text("scenario: other\nvenues: all\nsymbol: SOL\nsteps: [market_open]\n")
    values = tmp_path / "values.yaml"
    values.write_text("hold: 3s\n")
    paths = [other, tmp_path / "demo.yaml"]
    assert load_scenarios(paths, inputs=str(values), known_venues=KNOWN).mistakes == ()
    alone = load_scenarios([other], inputs=str(values), known_venues=KNOWN)
    assert [m.code for m in alone.mistakes] == ["UNKNOWN_INPUT"]
