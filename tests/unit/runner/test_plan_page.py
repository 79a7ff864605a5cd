"""``runner plan`` tells people what a run would do, and does nothing."""

import re
import socket
from decimal import Decimal
from pathlib import Path

import pytest

from core.secrets import VAULT
from execution.caps import Caps
from runner.load import load_scenarios
from runner.plan import make_plan
from runner.plan_page import open_at_once, plan_page
from venues import VENUES

ROOT = Path(__file__).resolve().parents[3]
HEAD = "scenario: demo\ntitle: A demonstration\nvenues: [backpack]\nsymbol: SOL\nsize: 0.05\n"


@pytest.fixture
def page(tmp_path):
    def tell(text, *, on="sim", speed=1.0, caps=None, adopt=False, **options):
        path = tmp_path / "demo.yaml"
        path.write_text(text)
        result = load_scenarios([path], known_venues=tuple(VENUES), **options)
        assert result.mistakes == ()
        plan, _ = make_plan(result.scenarios[0], known_venues=tuple(VENUES), on=on, seed=3, speed=speed)
        return plan_page(plan, caps or Caps(), adopt=adopt)

    return tell


def row(told):
    return next(line for line in told.text.splitlines() if line.startswith("  backpack "))


def test_the_page_says_that_nothing_was_executed_at_both_ends(page):
    """[client] Nobody may take a plan for a report."""
    lines = page(HEAD + "steps: [market_open]\n").text.splitlines()
    assert lines[0].startswith("NOT EXECUTED: the plan of demo.")
    assert lines[-1] == "NOT EXECUTED."
    assert re.fullmatch(r"plan hash [0-9a-f]{64}", lines[-2])


def test_planning_opens_no_socket_and_writes_no_file(page, tmp_path, monkeypatch):
    """[client] The simulators it asks for sizes live in memory."""

    def refuse(*args, **kwargs):
        raise AssertionError("a plan connected")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "bind", refuse)
    monkeypatch.chdir(tmp_path)
    page(HEAD + "steps: [market_open]\n")
    assert {path.name for path in tmp_path.rglob("*")} == {"demo.yaml"}


def test_the_largest_exposure_is_in_base_units_and_usd(page):
    """[client] Openings of one side add up until a step closes; the other side counts for itself."""
    opens = "steps:\n  - market_open\n  - market_open: {size: 0.1}\n  - market_close\n  - market_open: {size: 0.12}\n"
    told = row(page(HEAD + opens))
    base, usd = re.search(r"([\d.]+) SOL, about ([\d.]+) USD", told).groups()
    assert Decimal(base) == Decimal("0.15")
    assert Decimal("0.15") * 100 < Decimal(usd) < Decimal("0.15") * 200


def test_openings_that_can_be_held_together_are_found(tmp_path):
    """[ours] A tracking close that may leave a rest does not end a group; assert_flat does."""
    path = tmp_path / "a.yaml"
    path.write_text(
        HEAD + "steps:\n  - market_open\n  - tracking_close: {require_filled: false}\n  - limit_open: {size: 1}\n"
        "  - market_open: {side: sell}\n  - assert_flat\n  - market_open: {size: 9 USD}\n"
    )
    steps = load_scenarios([path], known_venues=("backpack",)).scenarios[0].steps
    told = [[(side, str(size)) for side, size in group] for group in open_at_once(steps)]
    assert told == [[("buy", "0.05"), ("buy", "1")], [("sell", "0.05")], [("buy", "9 USD")]]


def test_without_a_connection_the_exchanges_own_minimum_is_named_and_not_guessed(page):
    """[client] Live plans send nothing, so they know no minimum and no price; the caps stand beside them."""
    caps = Caps(order_notional_usd=Decimal(25), total_notional_usd=Decimal(100))
    steps = "steps:\n  - market_open: {size: min}\n  - market_open: {size: 25 USD}\n  - market_open\n"
    told = page(HEAD + steps, on="live", caps=caps)
    assert row(told).endswith("the exchange's smallest size + 0.05 SOL + 25 USD")
    assert "REAL MONEY" in told.text
    assert "Caps: 25 USD for an order, 100 USD for all orders of the run together." in told.text
    assert "away from the book" not in told.text
    assert not told.unplayable


def test_every_cap_and_the_band_stand_in_the_plan(page):
    """[client] What bounds an order, a play, the run, the account's day, the exposure and the price."""
    caps = Caps(
        order_notional_usd=Decimal(1), play_notional_usd=Decimal(2), total_notional_usd=Decimal(3),
        day_notional_usd=Decimal(4), net_exposure_usd=Decimal(5), price_band_bps=250,
    )  # fmt: skip
    text = " ".join(page(HEAD + "steps: [market_open]\n", caps=caps).text.split())
    assert (
        "Caps: 1 USD for an order, 2 USD for an exchange's part of the run, 3 USD for all orders of the run together, "
        "4 USD for an account's UTC day over all runs, 5 USD for the net position over all exchanges." in text
    )
    assert "An order priced more than 2.5 % away from the book is refused." in text


def test_the_plan_says_whether_it_would_take_over_what_stands_there(page):
    """[client] `--adopt` changes the sentence and nothing else."""
    refusing, adopting = (page(HEAD + "steps: [market_open]\n", adopt=adopt).text for adopt in (False, True))
    changed = set(refusing.splitlines()) ^ set(adopting.splitlines())
    assert len(changed) == 2
    assert any("does not begin" in line for line in changed)
    assert any("--adopt" in line for line in changed)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("size: 0.05", "size: 0.001"), "not a multiple of the lot"),
        (("size: 0.05", "size: 0.5 USD"), "below the smallest order"),
        (("symbol: SOL", "symbol: NOSUCH"), "NOSUCH"),
    ],
)
def test_what_an_exchange_cannot_play_is_said_before_anything_is_sent(page, change, words):
    """[client] A size below the minimum, a symbol that is not there."""
    told = page(HEAD.replace(*change) + "steps: [market_open]\n")
    assert told.unplayable
    assert "cannot be played" in row(told)
    assert words in told.text


def test_steps_cleanup_and_conditions_stand_there_in_words(page):
    """[client] No verb and no brace is left for the reader."""
    text = page((ROOT / "scenarios" / "e2e_all.yaml").read_text()).text
    for words in (
        "1. open (buy the smallest size) with a limit order",
        "2. wait between 1 s and 30 s",
        "cleanup, whatever happened before, Ctrl-C included",
        "1. cancel all open orders",
        "only that reading counts as flat",
        "at least 1 time",
        "no heartbeat came more than 15 s",
    ):
        assert words in text
    assert not set("{}_") & set(text.partition("\nsteps")[2].partition("plan hash")[0])
    assert max(map(len, text.splitlines())) <= 100


def test_inputs_are_shown_with_their_origin_and_masked(page, tmp_path, monkeypatch):
    """[client] Where each value came from; a value that is somebody's secret is dots."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("\npace: fast\n")
    inputs = (
        "inputs:\n  hold: {type: duration, default: 30s, description: Longest hold}\n"
        "  pace: {type: text, default: slow}\n  word: {type: text, default: a}\n  tag: {type: text, default: a}\n"
        "steps:\n  - wait: {secs: $hold}\n"
    )
    canary = "canary-plan-7c1d"
    VAULT.remember(canary)
    try:
        text = page(
            HEAD + inputs, inputs="mine.yaml", sets=["word=b"], environ={"ROUNDTRIP_INPUT_TAG": f"x{canary}"}
        ).text
    finally:
        VAULT.forget_all()
    rows = [re.sub(" +", " ", line.strip()) for line in text.splitlines()]
    assert "hold = 30s the scenario's default; Longest hold" in rows
    assert "pace = fast from --inputs, mine.yaml:2" in rows
    assert "word = b from --set" in rows
    assert "tag = x••• from the environment, ROUNDTRIP_INPUT_TAG" in rows
    assert canary not in text


def test_the_longest_time_follows_the_speed(page):
    """[client] Waits are divided by the speed; what the exchange takes is not."""
    steps = "steps:\n  - wait: {secs: 10m}\nfinally: [cancel_all]\n"
    assert "longest time 10 min 20 s; 14 min 10 s if" in page(HEAD + steps).text
    assert "longest time 1 min 20 s; 5 min 1 s if" in page(HEAD + steps, speed=10.0).text
