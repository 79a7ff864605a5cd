import json
from decimal import Decimal

import pytest

from tests.unit.venues.hyperliquid.hl_fixtures import body, load, markets
from venues.errors import WireError
from venues.hyperliquid import facts

ROWS = load("markets.json")
SPOT = ROWS["spotMetaAndAssetCtxs_shape"]["response"][0]


def listed(name="meta_2026", spot=SPOT):
    return facts.read_markets(body(ROWS[name]["response"]), body(spot))


def test_perps_are_numbered_by_their_place_and_the_delisted_keep_theirs():
    """[venue] Main network of 2026: SOL is asset 5 although MATIC before it is delisted."""
    found = listed()
    assert {name: found.assets[name] for name in ("BTC", "ETH", "SOL")} == {"BTC": 0, "ETH": 1, "SOL": 5}
    assert (found.markets["MATIC"].tradable, found.markets["SOL"].tradable) == (False, True)
    sol = found.markets["SOL"]
    assert (sol.base, sol.quote, sol.kind) == ("SOL", "USDC", "perp")
    assert (sol.price_decimals, sol.size_decimals, sol.significant_figures) == (4, 2, 5)
    assert (sol.min_notional, sol.initial_margin) == (Decimal(10), Decimal("0.05"))


def test_the_lists_of_the_test_network_and_of_2023_are_read_too():
    """[venue] Other places, other keys."""
    assert listed("meta_testnet_2026").markets["SOL"].initial_margin == Decimal("0.1")
    old = listed("meta_2023")
    assert (len([row for row in old.markets.values() if row.kind == "perp"]), old.markets["DOGE"].price_decimals) == (
        13,
        6,
    )
    shape = ROWS["metaAndAssetCtxs_shape"]["response"]
    assert list(facts.read_markets(body(shape[0]), body({"tokens": [], "universe": []})).markets) == ["BTC", "ETH"]


def test_spot_pairs_are_numbered_from_10000_and_read_tokens_by_index():
    """[venue] PURR/USDC as recorded; @156 is USOL, which stands for SOL."""
    found = listed()
    assert found.assets["PURR/USDC"] == 10_000
    purr = found.markets["PURR/USDC"]
    assert (purr.base, purr.kind, purr.price_decimals, purr.size_decimals) == ("PURR", "spot", 8, 0)
    usol = markets()["@156"]
    assert (usol.base, usol.quote, usol.price_decimals, usol.size_decimals) == ("SOL", "USDC", 5, 3)


def test_a_token_that_merely_calls_itself_sol_is_no_market_for_sol():
    """[ours] Canonical SOL is the Unit token; a namesake must never be traded in its place."""
    spot = {
        "tokens": [{"name": "USDC", "szDecimals": 8, "index": 0}, {"name": "SOL", "szDecimals": 2, "index": 9}],
        "universe": [{"name": "@9", "tokens": [9, 0], "index": 9}],
    }
    assert "@9" not in listed(spot=spot).markets


@pytest.mark.parametrize(
    ("symbol", "price", "step"),
    [
        ("SOL", "101.73", "0.01"),
        ("SOL", "9.1234", "0.0001"),
        ("BTC", "99999", "1"),
        ("BTC", "123456", "1"),
        ("DOGE", "0.001234", "0.000001"),
        ("ETH", "1234.5", "0.1"),
    ],
)
def test_the_tick_follows_five_significant_figures(symbol, price, step):
    """[venue] The sheet's examples: five figures, within the decimals, whole numbers always."""
    row = markets()[symbol]
    unit = Decimal(1).scaleb(-row.price_decimals)
    price_i = int(Decimal(price) / unit)
    assert row.price_step(price_i) * unit == Decimal(step)
    assert price_i % row.price_step(price_i) == 0


def test_a_broken_entry_is_left_out_and_keeps_its_number():
    """[ours] One odd listing costs no other market."""
    meta = json.loads(body(ROWS["meta_2026"]["response"]))
    meta["universe"][1] = {"name": "ETH", "szDecimals": "many"}
    found = facts.read_markets(body(meta), body(SPOT))
    assert ("ETH" in found.markets, found.assets["SOL"]) == (False, 5)


@pytest.mark.parametrize("answer", [b"", b"[]", b"null", b'{"universe":5}'])
def test_an_answer_that_is_no_list_of_markets_is_a_wire_error(answer):
    """[ours] Nothing is guessed."""
    with pytest.raises(WireError):
        facts.read_markets(answer, body(SPOT))
