"""The cookbook: ten scenarios to copy from, each played on simulators, and the one that `runner init` writes."""

import re
from decimal import Decimal
from importlib.resources import files
from pathlib import Path

import pytest

from runner.load import load_scenarios
from tests.e2e.virtual import FIRST, SCENARIOS, play
from venues import VENUES

EXAMPLES = SCENARIOS / "examples"
SUBJECTS = {
    "one_venue": "one venue",
    "all_venues": "all venues",
    "sell_first": "sell first",
    "spot": "spot",
    "fixed_size": "fixed size",
    "usd_size": "USD size",
    "patient_chase": "patient chase with offset",
    "tracking_close": "close by tracking limit",
    "strategy": "strategy in a scenario",
    "assertions": "assertions on position and margin",
}
HELLO = Path(str(files("runner"))) / "templates" / "hello.yaml"


def load(name):
    result = load_scenarios([EXAMPLES / f"{name}.yaml"], known_venues=tuple(VENUES))
    assert result.mistakes == ()
    return result.scenarios[0]


def verbs(name):
    return [call.verb for call in load(name).steps]


def test_the_cookbook_has_exactly_its_ten_subjects():
    """[client] One file a subject, named like its scenario."""
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == set(SUBJECTS)
    assert {load(name).name for name in SUBJECTS} == set(SUBJECTS)


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_cookbook_scenario_is_accepted_at_speed(name, tmp_path):
    """[client] `runner play FILE --speed 10` on simulators: every step passed, flat by the venue's own books."""
    played = play(EXAMPLES / f"{name}.yaml", tmp_path, speed=10.0)
    assert played.outcome.verdict == "accepted", played.outcome.sentence
    assert {status for _, status in played.steps()} == {"passed"}
    assert (played.world.live(), played.world.held()) == ([], 0)


@pytest.mark.parametrize("path", [*sorted(EXAMPLES.glob("*.yaml")), SCENARIOS / "e2e_all.yaml"], ids=lambda p: p.stem)
def test_the_schema_line_of_a_scenario_leads_to_the_schema(path):
    """[client] Editors complete what people copy."""
    (target,) = re.findall(r"\A# yaml-language-server: \$schema=(\S+)\n", path.read_text(encoding="utf-8"))
    assert (path.parent / target).resolve() == (SCENARIOS.parent / "schemas" / "scenario.schema.json")


def test_each_subject_is_what_its_file_shows():
    """[ours] A file that lost its subject is noticed."""
    assert load("one_venue").venues == (FIRST,)
    assert load("all_venues").venues == "all"
    assert load("sell_first").side == "sell"
    assert load("spot").market == "spot"
    assert load("fixed_size").size.kind == "base"
    assert load("usd_size").size.kind == "usd"
    chase = load("patient_chase").steps[0].settings
    assert (chase["price_offset_ticks"] > 0, chase["timeout_secs"] >= 600) == (True, True)
    assert "tracking_close" in verbs("tracking_close")
    assert "run_strategy" in verbs("strategy")
    assert {"assert_position", "assert_margin"} <= set(verbs("assertions"))


def test_a_patient_chase_stays_behind_the_best_price(tmp_path):
    """[client] Its prices are two ticks under the best bid of the moment they were sent."""
    played = play(EXAMPLES / "patient_chase.yaml", tmp_path)
    (tracking,) = played.play.tracking
    bids = [Decimal(quote.bid) for quote in played.play.quotes if quote.bid is not None]
    tick = played.world.engine().listings[played.play.venue_symbol]
    assert Decimal(tracking.price_sequence[0]) <= max(bids) - 2 * tick.price(tick.tick_i)


def test_hello_is_at_most_fifteen_lines_and_names_a_schema_beside_it():
    """[client] Short enough to be read at once; no seed, so no play is like the one before."""
    lines = HELLO.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 15
    assert lines[0] == "# yaml-language-server: $schema=scenario.schema.json"
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("seed", range(1, 13))
def test_hello_is_accepted_whatever_the_seed(seed, tmp_path):
    """[client] The first play of a stranger must not fail for want of a fill."""
    played = play(HELLO, tmp_path, seed=seed, speed=5.0)
    assert played.outcome.verdict == "accepted", played.outcome.sentence
