"""Coins, markets and sizes are judged by a check, offline, as the simulators would judge them."""

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from app.console import OUTSIDE
from runner.command import main
from runner.estimate import estimate
from runner.load import load_scenarios
from runner.plan import make_plan
from runner.scenario import SizeSpec
from schemas.markets import load_markets
from venues import VENUES

ROOT = Path(__file__).resolve().parents[3]
MARKETS = [
    (venue, kind, coin) for venue, kinds in load_markets().items() for kind, coins in kinds.items() for coin in coins
]
SPOT = "scenario: s\nvenues: {venues}\nmarket: {market}\nsymbol: {symbol}\nsize: {size}\nsteps:\n  - market_open\n"


@pytest.fixture
def put(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(venues="all", market="perp", symbol="SOL", size="min", name="s.yaml", more=""):
        text = SPOT.format(venues=venues, market=market, symbol=symbol, size=size) + more
        (tmp_path / name).write_text(text)
        return name

    return write


def mistakes(path, **options):
    options = {"on": "sim", **options}
    return load_scenarios([path], known_venues=tuple(VENUES), **options).mistakes


def test_the_table_is_what_the_simulators_list_now(tmp_path):
    """[ours] --check names a missing or stale file with the way out; drawn again, it is the one in the checkout."""
    page = tmp_path / "markets.json"
    script = [sys.executable, str(ROOT / "scripts" / "draw_markets.py"), "--page", str(page)]
    stale = subprocess.run([*script, "--check"], capture_output=True, text=True)
    assert stale.returncode == 1
    assert "run python scripts/draw_markets.py" in stale.stdout
    subprocess.run(script, check=True)
    assert page.read_bytes() == (ROOT / "schemas" / "markets.json").read_bytes()


@pytest.mark.parametrize(("venue", "kind", "coin"), MARKETS)
def test_the_table_judges_sizes_as_the_simulator_does(put, venue, kind, coin):
    """[ours] Enough is taken, in base units and in USD; one lot less than the least is not."""
    row = load_markets()[venue][kind][coin]
    (scenario,) = load_scenarios([put(f"[{venue}]", kind, coin)], known_venues=tuple(VENUES), on="sim").scenarios
    plan, _ = make_plan(scenario, known_venues=tuple(VENUES), on="sim", seed=3, speed=1)
    enough = [("buy", SizeSpec("base", Decimal(row["enough"]))), ("sell", SizeSpec("usd", Decimal(row["enough_usd"])))]
    assert estimate(plan, enough)[venue].fault == ""
    less = Decimal(row["least"]) - Decimal(row["lot"])
    if less:
        assert "below the smallest order" in estimate(plan, [("buy", SizeSpec("base", less))])[venue].fault
    assert mistakes(put(f"[{venue}]", kind, coin, row["enough"])) == ()
    assert mistakes(put(f"[{venue}]", kind, coin, f"{row['enough_usd']} USD")) == ()
    if less:
        assert [m.code for m in mistakes(put(f"[{venue}]", kind, coin, less))] == ["MIN_SIZE"]
    rough = Decimal(row["enough"]) + Decimal(row["lot"]) / 2
    assert [(m.code, m.suggestion) for m in mistakes(put(f"[{venue}]", kind, coin, rough))] == [
        ("PRECISION", row["enough"])
    ]


@pytest.mark.parametrize("verb", ["check", "plan", "play"])
def test_what_no_simulator_lists_is_told_before_anything_starts(verb, put, capsys, tmp_path):
    """[client] Exit 2 with place, caret, code and nearest word, together with the other mistakes, and no run folder."""
    name = put("[backpack, lighter]", "spot", "SOL", "0.001", more="  - market_clse\n")
    other = put("[okx]", symbol="SLO", name="other.yaml")
    assert main([verb, name, other], OUTSIDE) == 2
    said = capsys.readouterr()
    text = said.out + said.err
    for words in (
        "s.yaml:2:20",
        "The simulator of lighter has no spot market for SOL.",
        "s.yaml:5:7",
        "  write:    size: 0.01\n",
        "s.yaml:8:5",
        "  write:    - market_close\n",
        "other.yaml:4:9",
        "  write:    symbol: SOL\n",
        "2 files, 4 mistakes",
    ):
        assert words in text, words
    assert not (tmp_path / "runs").exists()


def test_all_exchanges_with_a_market_that_one_lacks_are_named_one_by_one_in_the_corrected_line(put):
    """[client] `venues: all` is refused with the list that works."""
    (mistake,) = mistakes(put(market="spot"))
    assert (mistake.code, mistake.line, mistake.column, mistake.length) == ("UNKNOWN_SYMBOL", 2, 9, 3)
    assert mistake.suggestion == "[backpack, binance, hyperliquid, okx]"
    assert mistakes(put(mistake.suggestion, "spot")) == ()


def test_the_exchanges_of_the_command_line_are_judged_and_blamed(put):
    """[client] A flag takes the place of the file's exchanges, so the flag is what is wrong."""
    found = mistakes(put("[okx]", "spot"), venues=["okx", "lighter"])
    assert [(m.code, m.file, m.line, m.found) for m in found] == [("UNKNOWN_SYMBOL", "--venue", 2, "lighter")]
    assert mistakes(put("[lighter]", "spot"), venues=["okx"]) == ()


@pytest.mark.parametrize("on", ["testnet", "live", None])
def test_an_exchange_itself_may_list_what_no_simulator_has(put, on):
    """[client] Its own list decides, and a run reads it before the first order; old captures refuse nobody."""
    assert mistakes(put(market="spot", symbol="DOGE", size="0.0000001"), on=on) == ()


def test_a_kind_of_market_that_we_do_not_trade_there_is_refused_everywhere(put, monkeypatch):
    """[client] No list of an exchange helps where its room has no such market."""
    table = {**load_markets(), "okx": {"perp": load_markets()["okx"]["perp"]}}
    monkeypatch.setattr("runner.listings.load_markets", lambda: table)
    (mistake,) = mistakes(put("[backpack, okx]", "spot", "DOGE"), on="live")
    assert (mistake.code, mistake.line, mistake.column, mistake.found) == ("UNKNOWN_SYMBOL", 2, 20, "okx")
    assert mistake.message == "Roundtrip trades no spot market on okx."


def test_an_exchange_without_a_row_is_not_judged(put, monkeypatch):
    """[ours] A room whose simulator is not built yet can be checked all the same."""
    table = {name: kinds for name, kinds in load_markets().items() if name != "okx"}
    monkeypatch.setattr("runner.listings.load_markets", lambda: table)
    assert mistakes(put("[okx]", "spot", "DOGE", "0.0001")) == ()


INPUTS = "inputs:\n  much: {type: size, default: 1}\n  coin: {type: text, default: SOL}\n"


@pytest.mark.parametrize("way", ["--set", "values.yaml", "ROUNDTRIP_INPUT_MUCH", "default"])
def test_a_size_from_an_input_is_blamed_where_it_was_written(put, tmp_path, way):
    """[client] The caret stands under the value, not under $much."""
    more = INPUTS.replace("default: 1}", "default: 0.001}") if way == "default" else INPUTS
    name = put("[okx]", size="$much", more=more)
    options = {}
    if way == "--set":
        options = {"sets": ["much=0.001"]}
    elif way == "values.yaml":
        (tmp_path / way).write_text("much: 0.001\n")
        options = {"inputs": way}
    elif way.isupper():
        options = {"environ": {way: "0.001"}}
    (mistake,) = mistakes(name, **options)
    assert (mistake.file, mistake.suggestion) == ("s.yaml" if way == "default" else way, "0.01")
    assert mistake.message == "size is below the smallest order of okx."
    column = {"--set": 6, "values.yaml": 7, "ROUNDTRIP_INPUT_MUCH": 1, "default": 31}[way]
    assert mistake.column == column
    assert load_scenarios([name], known_venues=tuple(VENUES), on="sim", **options).scenarios == ()


def test_a_coin_from_a_flag_is_blamed_at_the_flag(put):
    """[client] As sizes are."""
    name = put("[okx]", symbol="$coin", more=INPUTS)
    (mistake,) = mistakes(name, sets=["coin=SLO"])
    assert (mistake.file, mistake.column, mistake.suggestion) == ("--set", 6, "SOL")


def test_where_a_scenario_plays_is_read_from_the_config_too(put, tmp_path, capsys):
    """[client] `check` judges as `play` would: config.yaml says testnet, --on wins over it."""
    name = put("[okx]", symbol="DOGE")
    assert main(["check", name], OUTSIDE) == 2
    (tmp_path / "config.yaml").write_text("on: testnet\n")
    assert main(["check", name], OUTSIDE) == 0
    assert main(["check", name, "--on", "sim"], OUTSIDE) == 2
    capsys.readouterr()


@pytest.mark.parametrize("verb", ["check", "play", "plan"])
def test_config_and_scenario_are_told_in_one_pass(verb, put, tmp_path, capsys):
    """[client] One shape for both: place, context, caret, nearest word, code; a closing line that counts all."""
    (tmp_path / "config.yaml").write_text("seed: 7\nspeeed: 3\nnote: abc123token # hunter2\non: sim\nlog_level: lowd\n")
    assert main([verb, put(more="  - market_clse\n")], OUTSIDE) == 2
    said = capsys.readouterr()
    text = said.out + said.err
    for words in (
        "config.yaml:2:1",
        "  2 | speeed: •\n    | ^^^^^^\n",
        "  did you mean: speed\n",
        "config.yaml:5:12",
        "  5 | log_level: lowd\n    |            ^^^^\n",
        "s.yaml:8:5",
        "2 files, 4 mistakes",
    ):
        assert words in text, words
    assert "abc123token" not in text
    assert "hunter2" not in text


def test_a_check_needs_no_keys(put, tmp_path, monkeypatch, capsys):
    """[ours] Who checks scenarios in CI has none; the rest of the config is still judged."""
    monkeypatch.delenv("ROUNDTRIP_TEST_TOKEN", raising=False)
    (tmp_path / "config.yaml").write_text(
        "heartbeat:\n  endpoints:\n    - url: https://example.com/beat\n      auth: bearer\n"
        "      token_env: ROUNDTRIP_TEST_TOKEN\n"
    )
    assert main(["check", put()], OUTSIDE) == 0
    assert "no mistakes" in capsys.readouterr().out


def test_the_table_costs_next_to_nothing():
    """[ours] Lean enough that no check feels it."""
    assert len(json.dumps(load_markets())) < 6000
