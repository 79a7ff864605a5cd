"""Scenario files become scenarios, or mistakes; never anything else."""

import hashlib
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from runner.load import load_scenarios
from runner.mistakes import Mistake, render_github, render_text
from runner.scenario import Accept, SizeSpec

ROOT = Path(__file__).resolve().parents[3]
KNOWN = ["backpack", "okx"]
HEAD = "scenario: demo\nvenues: [backpack]\nsymbol: SOL\n"


@pytest.fixture
def write(tmp_path):
    def put(text, name="demo.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return put


def one(path, **options):
    result = load_scenarios([path], known_venues=KNOWN, **options)
    assert result.mistakes == ()
    return result.scenarios[0]


def codes(path, **options):
    return [m.code for m in load_scenarios([path], known_venues=KNOWN, **options).mistakes]


def test_the_published_example_becomes_the_scenario_it_describes():
    """[client] DESIGN's example is read to the last setting."""
    path = ROOT / "scenarios" / "e2e_all.yaml"
    scenario = one(path)
    assert (scenario.name, scenario.venues, scenario.market, scenario.symbol) == ("e2e_all", "all", "perp", "SOL")
    assert (scenario.side, scenario.size, scenario.seed) == ("buy", SizeSpec("min"), 7)
    assert [call.verb for call in scenario.steps] == ["tracking_open", "random_wait", "market_close", "assert_flat"]
    assert scenario.steps[0].settings == {
        "interval_secs": 10.0,
        "timeout_secs": 120.0,
        "max_attempts": 12,
        "price_offset_ticks": 0,
        "keep_if_best": False,
        "require_filled": True,
        "size": SizeSpec("min"),
        "side": "buy",
    }
    assert [call.verb for call in scenario.finally_] == ["cancel_all", "flatten"]
    assert scenario.accept == Accept(1, True, 15.0, True, True)
    assert (scenario.steps[0].line, scenario.steps[0].column) == (11, 5)
    assert scenario.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("path", sorted((ROOT / "scenarios").rglob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_scenario_is_free_of_mistakes(path):
    """[client] What we ship can be played."""
    every = ["backpack", "binance", "hyperliquid", "lighter", "okx"]
    result = load_scenarios([path], known_venues=every)
    assert result.mistakes == ()
    assert "$schema=" in path.read_text().splitlines()[0]


def test_what_a_file_leaves_out_is_filled_in(write):
    """[client] Four lines make a scenario; cleanup is spelled out even when the file is silent."""
    scenario = one(write(HEAD + "steps: [market_open, market_close]\n"))
    assert (scenario.market, scenario.side, scenario.size, scenario.seed) == ("perp", "buy", SizeSpec("min"), None)
    assert scenario.title == "demo"
    assert [(call.verb, call.line) for call in scenario.finally_] == [("cancel_all", 0), ("flatten", 0)]
    assert scenario.accept == Accept()


def test_a_step_may_be_a_bare_word_an_empty_line_or_braces(write):
    """[client] The three spellings of a step without settings mean the same."""
    scenario = one(write(HEAD + "steps:\n  - assert_flat\n  - assert_flat:\n  - assert_flat: {}\n"))
    assert [call.settings for call in scenario.steps] == [{"tolerance_lots": 0}] * 3


def test_an_opening_step_takes_size_and_side_of_the_scenario_unless_it_has_its_own(write):
    """[client] A step's own size and side win."""
    steps = "steps:\n  - market_open\n  - market_open: {size: 0.10, side: buy}\n  - market_close\n"
    scenario = one(write(HEAD + "side: sell\nsize: 25.50 USD\n" + steps))
    assert scenario.steps[0].settings == {"size": SizeSpec("usd", Decimal("25.50")), "side": "sell"}
    assert scenario.steps[1].settings == {"size": SizeSpec("base", Decimal("0.10")), "side": "buy"}
    assert scenario.steps[2].settings == {}


def test_amounts_keep_every_decimal_and_durations_are_seconds(write):
    """[ours] No amount passes through a binary fraction."""
    steps = (
        "steps:\n  - assert_position: {at_least: 0.100000000000000001, quantity: filled}\n"
        "  - wait: {secs: 500ms}\n  - wait: {secs: 2m}\n  - wait: {secs: 1h}\n  - wait: {secs: 1.5}\n"
    )
    scenario = one(write(HEAD + steps))
    assert scenario.steps[0].settings == {"at_least": Decimal("0.100000000000000001"), "quantity": "filled"}
    assert [call.settings["secs"] for call in scenario.steps[1:]] == [0.5, 120.0, 3600.0, 1.5]


def test_a_step_tells_what_it_does_in_a_sentence(write):
    """[client] The plan shows steps in words."""
    steps = "steps:\n  - tracking_open: {timeout_secs: 2m}\n  - assert_margin: {available_at_least: 50}\n"
    words = [call.words for call in one(write(HEAD + steps)).steps]
    assert words == [
        "open (buy the smallest size) with a limit order that follows the best price every 10 s, "
        "for at most 2 min or 12 orders",
        "check the margin: available at least 50",
    ]


INPUTS = """inputs:
  hold: {type: duration, default: 30s, max: 5m, description: How long, unit: seconds}
  much: {type: size, default: min}
  pace: {type: choice, choices: [slow, fast], default: slow}
  tries: {type: integer, default: 3, min: 1, max: 9}
  keep: {type: yes_no, default: false}
  ratio: {type: number, default: 0.1}
  word: {type: text, default: smoke}
steps:
  - tracking_open: {size: $much, max_attempts: $tries, keep_if_best: $keep, timeout_secs: $hold}
  - run_strategy: {name: $word, params: {pace: $pace, list: [$hold, $ratio, 0.3], deep: {much: $much}}}
"""


def test_inputs_take_their_place_with_their_defaults(write):
    """[client] A value may be an input by name, at any depth of a strategy's settings too."""
    scenario = one(write(HEAD + INPUTS))
    opening, strategy = (call.settings for call in scenario.steps)
    assert (opening["size"], opening["max_attempts"], opening["keep_if_best"]) == (SizeSpec("min"), 3, False)
    assert opening["timeout_secs"] == 30.0
    assert strategy["name"] == "smoke"
    assert strategy["params"] == {
        "pace": "slow",
        "list": [30.0, Decimal("0.1"), Decimal("0.3")],
        "deep": {"much": SizeSpec("min")},
    }
    hold = scenario.inputs["hold"]
    assert (hold.value, hold.text, hold.origin, hold.unit) == (30.0, "30s", "default", "seconds")


@pytest.mark.parametrize("as_texts", [True, False])
def test_set_replaces_the_default_and_says_so(write, as_texts):
    """[client] --set wins, and the origin is kept for the plan."""
    sets = {"hold": "2m", "much": "25 USD", "tries": "7", "keep": "true", "pace": "fast", "word": "patient"}
    given = [f"{key}={value}" for key, value in sets.items()] if as_texts else sets
    scenario = one(write(HEAD + INPUTS), sets=given)
    opening, strategy = (call.settings for call in scenario.steps)
    assert (opening["size"], opening["max_attempts"]) == (SizeSpec("usd", Decimal(25)), 7)
    assert (opening["keep_if_best"], opening["timeout_secs"]) == (True, 120.0)
    assert (strategy["name"], strategy["params"]["pace"]) == ("patient", "fast")
    assert {value.origin for name, value in scenario.inputs.items() if name in sets} == {"--set"}
    assert scenario.inputs["ratio"].origin == "default"


@pytest.mark.parametrize(
    ("text", "code", "column", "suggestion"),
    [
        ("hodl=20s", "UNKNOWN_INPUT", 1, "hold"),
        ("whatever=1", "UNKNOWN_INPUT", 1, None),
        ("hold=10m", "INPUT_VALUE", 6, None),
        ("hold=30 sec", "INPUT_VALUE", 6, "30s"),
        ("hold=.inf", "INPUT_VALUE", 6, None),
        ("tries=0", "INPUT_VALUE", 7, None),
        ("tries=1.5", "INPUT_VALUE", 7, None),
        ("pace=fsat", "INPUT_VALUE", 6, "fast"),
        ("keep=yes", "INPUT_VALUE", 6, "true"),
        ("hold 20s", "SET_SYNTAX", 1, None),
        ("=20s", "SET_SYNTAX", 1, None),
        ("api_key=abcdef", "SECRET_IN_FILE", 1, None),
    ],
)
def test_a_slip_in_set_is_shown_like_a_slip_in_a_file(write, text, code, column, suggestion):
    """[client] --set typos have a place, a caret, a code and the nearest right word."""
    result = load_scenarios([write(HEAD + INPUTS)], sets=["ratio=0.2", text], known_venues=KNOWN)
    (mistake,) = result.mistakes
    assert (mistake.code, mistake.file, mistake.line, mistake.column) == (code, "--set", 2, column)
    assert mistake.suggestion == suggestion
    shown = render_text(result.mistakes, result.sources, result.files)
    assert f"--set:2:{column}" in shown
    assert "^" in shown
    assert "abcdef" not in shown


def test_a_name_set_twice_is_refused(write):
    """[client] One of the two values would be lost."""
    assert codes(write(HEAD + INPUTS), sets=["hold=1s", "hold=2s"]) == ["DUPLICATE_KEY"]


def test_an_input_without_value_is_missed_until_it_is_set(write):
    """[client] Missing inputs are found before the first connection."""
    path = write(HEAD + "inputs:\n  hold: {type: duration}\nsteps:\n  - wait: {secs: $hold}\n")
    assert codes(path) == ["INPUT_MISSING"]
    assert one(path, sets={"hold": "3"}).steps[0].settings == {"secs": 3.0}


def test_set_belongs_to_whichever_file_has_the_input(write):
    """[client] With several files, a name need only be known to one of them."""
    with_input = write(HEAD + INPUTS)
    without = write(HEAD + "steps: [market_open]\n", "other.yaml")
    result = load_scenarios([without, with_input], sets={"hold": "1s"}, known_venues=KNOWN)
    assert result.mistakes == ()
    assert len(result.scenarios) == 2


def test_an_unread_file_keeps_set_from_being_blamed(write):
    """[ours] A file with a slip in its syntax may be the one that has the input."""
    assert codes(write("scenario: [\n"), sets={"hold": "1s"}) == ["YAML_BRACES"]


def test_two_limits_fed_by_inputs_are_still_compared(write):
    """[client] min_secs above max_secs is found behind inputs too."""
    inputs = "inputs:\n  low: {type: duration, default: 40s}\n"
    steps = "steps:\n  - random_wait: {min_secs: $low, max_secs: 30}\n"
    assert codes(write(HEAD + inputs + steps)) == ["MIN_OVER_MAX"]


def test_the_command_line_chooses_other_venues(write):
    """[client] --venue takes the place of the file's own list."""
    path = write(HEAD + "steps: [market_open]\n")
    assert one(path, venues=["okx"]).venues == ("okx",)
    result = load_scenarios([path], venues=["okx", "bakpack", "okx"], known_venues=KNOWN)
    found = [(m.file, m.line, m.code, m.suggestion) for m in result.mistakes]
    assert found == [("--venue", 2, "UNKNOWN_VENUE", "backpack"), ("--venue", 3, "DUPLICATE_VENUE", None)]


def test_a_missing_file_names_its_neighbour(write, tmp_path):
    """[client] The nearest file name in the same folder is offered."""
    write(HEAD, "hello.yaml")
    (mistake,) = load_scenarios([tmp_path / "helo.yaml"], known_venues=KNOWN).mistakes
    assert (mistake.code, mistake.suggestion) == ("FILE_MISSING", str(tmp_path / "hello.yaml"))
    assert codes(tmp_path / "nowhere" / "x.yaml") == ["FILE_MISSING"]
    assert codes("bad\0name") == ["FILE_MISSING"]


def test_what_is_no_text_file_is_refused_with_its_own_words(write, tmp_path):
    """[client] Folders, devices and enormous files are told apart."""
    assert codes(tmp_path) == ["FILE_IS_FOLDER"]
    assert codes("/dev/null") == ["FILE_UNREADABLE"]
    assert codes(write("#" * 1_000_001)) == ["FILE_TOO_BIG"]
    bomb = "a: &a [" + "x," * 400 + "]\nb: &b [" + "*a," * 400 + "]\nc: [" + "*b," * 400 + "]\n"
    assert "FILE_TOO_BIG" in codes(write(bomb))


def test_windows_line_ends_and_byte_order_mark_change_nothing(write):
    """[client] A file from Notepad is as good as any, and its columns are counted alike."""
    text = HEAD + "steps:\n  - market_opn\n"
    plain_one = load_scenarios([write(text)], known_venues=KNOWN).mistakes
    windows = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
    other = load_scenarios([write(windows)], known_venues=KNOWN)
    assert other.mistakes == plain_one
    assert "\r" not in render_text(other.mistakes, other.sources, 1)


def test_anchors_and_merged_settings_are_understood(write):
    """[client] & and * spare repetition, and a setting beside << wins over the merged one."""
    steps = (
        "steps:\n  - tracking_open: &pace {interval_secs: 5, max_attempts: 2}\n"
        "  - tracking_close: {<<: *pace, max_attempts: 9}\n"
    )
    closing = one(write(HEAD + steps)).steps[1].settings
    assert (closing["interval_secs"], closing["max_attempts"]) == (5.0, 9)


def test_words_that_old_yaml_turned_into_yes_or_no_stay_words(write):
    """[client] A token called NO or ON is a token."""
    assert one(write(HEAD.replace("SOL", "ON") + "steps: [market_open]\n")).symbol == "ON"


def test_wide_letters_keep_the_caret_in_place(write):
    """[client] Chinese titles take two columns a letter in a terminal."""
    result = load_scenarios([write("title: {开} 仓 x\n")], known_venues=KNOWN)
    lines = render_text(result.mistakes, result.sources, 1).splitlines()
    caret = next(line for line in lines if "^" in line)
    assert caret == "    |        ^^^^^^^^^"


def test_a_hostile_file_cannot_move_the_cursor(write):
    """[ours] Escape codes and turned writing never reach the terminal."""
    result = load_scenarios([write(HEAD + 'sid\u202ee: "x"\nsteps: [market_open]\n')], known_venues=KNOWN)
    shown = render_text(result.mistakes, result.sources, 1)
    assert "\u202e" not in shown
    evil = Mistake("X", "a\x1b[2Jb.yaml", 1, 1, "m\x1b[31m\n.", "f\x07")
    assert "\x1b" not in render_text([evil], {}, 1)


def test_a_very_long_line_is_cut_around_the_caret(write):
    """[ours] Context stays readable however long the line is."""
    path = write(HEAD + "steps: [" + "market_open, " * 200 + "market_opn]\n")
    result = load_scenarios([path], known_venues=KNOWN)
    shown = render_text(result.mistakes, result.sources, 1).splitlines()
    at = next(number for number, line in enumerate(shown) if "^" in line)
    assert shown[at - 1][shown[at].index("^") :].startswith("market_opn")
    assert all(len(line) < 200 for line in shown)


def test_the_github_form_escapes_what_would_end_it():
    """[venue] A workflow command ends at a line break; its properties at a comma or colon."""
    told = render_github([Mistake("WRONG_TYPE", "a,b:c.yaml", 3, 7, "100 %\nsure.", None, "x", "y")])
    assert told == (
        "::error file=a%2Cb%3Ac.yaml,line=3,col=7,title=WRONG_TYPE::100 %25%0Asure. Expected: x. Did you mean: y\n"
    )


def test_no_mistakes_read_as_such():
    """[client] The closing line counts one file as one file."""
    assert render_text([], {}, 1) == "1 file, 0 mistakes\n"


def test_scenario_and_mistakes_cost_no_yaml_and_no_validator():
    """[client] `runner --help` and explain import neither of the two."""
    code = (
        "import sys, runner.mistakes, runner.scenario, runner.load\n"
        "print([m for m in ('ruamel', 'jsonschema', 'referencing') if any(n.split('.')[0] == m for n in sys.modules)])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("deep", ["[" * 3000, "- " * 3000, "{a: " * 3000])
def test_a_bottomless_file_is_refused_like_any_other(write, deep):
    """[ours] Nesting beyond what the YAML reader survives is a mistake with a place, not a crash."""
    assert codes(write(HEAD + "steps:\n  " + deep)) == ["YAML_DEEP"]


def test_odd_corners_of_inputs_and_lists_have_their_words(write):
    """[client] A list where a value belongs, overlong texts, and limits that are no limits."""
    inputs = "inputs:\n  hold: {type: duration, default: [1], max: soon}\n  low: {type: integer, min: {}, default: 2}\n"
    text = f"title: {'x' * 201}\n" + inputs + "steps:\n  - wait: {secs: $hold}\n  - run_strategy: {name: 7}\n"
    assert codes(write(HEAD + text)) == ["OUT_OF_RANGE", "WRONG_TYPE", "BAD_DURATION", "WRONG_TYPE", "WRONG_TYPE"]
    assert codes(write(HEAD + "steps: [" + "market_open, " * 5001 + "]\n")) == ["OUT_OF_RANGE"]
    assert codes(write(HEAD.replace("[backpack]", "[5, [okx]]") + "steps: [market_open]\n")) == ["WRONG_TYPE"] * 2
