"""Lighter's markets and names out of recorded rows."""

import json
from decimal import Decimal

import pytest

from tests.unit.venues.lighter.payloads import body, details, listed, load, needed
from venues.errors import WireError
from venues.lighter import facts

pytestmark = needed


def test_the_recorded_perp_row():
    """[venue] ETH: two price and four size decimals, minimum 0.0050 and 10 USDC, five per cent margin."""
    number, eth = listed()["ETH"]
    assert (number, eth.base, eth.quote, eth.kind, eth.tradable) == (0, "ETH", "USDC", "perp", True)
    assert (eth.price_decimals, eth.size_decimals, eth.tick_i, eth.lot_i) == (2, 4, 1, 1)
    assert (eth.min_size_i, eth.min_notional, eth.initial_margin) == (50, Decimal(10), Decimal("0.05"))
    assert (eth.contract_size, eth.max_size_i, eth.max_price_i) == (1, 2**48 - 1, 2**31 - 1)


def test_rows_without_limits_are_read():
    """[venue] SOL and SUI were recorded with few fields: one lot is the minimum then."""
    markets = listed()
    sol, sui = markets["SOL"], markets["SUI"]
    assert (sol.number, sol.facts.price_decimals, sol.facts.size_decimals) == (2, 3, 3)
    assert (sol.facts.min_size_i, sol.facts.min_notional, sol.facts.initial_margin) == (1, 0, Decimal("0.1"))
    assert (sui.number, sui.facts.price_decimals, sui.facts.size_decimals) == (16, 5, 1)
    assert (markets["NVDA"].number, markets["NVDA"].facts.min_size_i) == (110, 25)


def test_the_documented_spot_row():
    """[venue] ETH/USDC is 2048; spot ties up the whole value."""
    number, spot = listed()["ETH/USDC"]
    assert (number, spot.base, spot.quote, spot.kind) == (2048, "ETH", "USDC", "spot")
    assert (spot.min_size_i, spot.min_notional, spot.initial_margin) == (1, Decimal("0.000001"), 1)


def test_the_short_form_of_the_list_has_the_same_decimals():
    """[venue] orderBooks, captured on another deployment: supported_* only."""
    row = load("markets.json")["orderBooks_row"]
    read = facts.read_markets(body({"order_book_details": [row]}))["QBTS"]
    assert (read.number, read.facts.price_decimals, read.facts.min_size_i) == (51, 3, 500)


@pytest.mark.parametrize(
    "change",
    [{"status": "inactive"}, {"market_config": {"hidden": True}}, {"market_config": {"force_reduce_only": True}}],
)
def test_a_market_that_cannot_be_entered_is_not_tradable(change):
    """[venue] Not active, hidden, or reduce-only by force."""
    row = details()["order_book_details"][0] | change
    assert not facts.read_markets(body({"order_book_details": [row]}))["ETH"].facts.tradable


@pytest.mark.parametrize(
    "change",
    [
        {"market_type": "binary_options"},
        {"price_decimals": None, "supported_price_decimals": None},
        {"size_decimals": -3},
        {"min_base_amount": "NaN"},
        {"min_base_amount": "1e99"},
        {"default_initial_margin_fraction": 0},
        {"symbol": "ETH/USDT"},
        {"market_id": "x"},
    ],
)
def test_one_odd_row_does_not_cost_the_others(change):
    """[ours] It is left out, the rest is read."""
    rows = details()
    rows["order_book_details"][0] |= change
    markets = facts.read_markets(body(rows))
    assert "ETH" not in markets
    assert "SOL" in markets


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"code":200}', b"{" * 50_000])
def test_no_list_at_all_is_a_wire_error(raw):
    """[ours] Then nothing is known."""
    with pytest.raises(WireError):
        facts.read_markets(raw)


def test_names_go_both_ways():
    """[venue] A perp is the bare base, spot has a slash; other quotes are not ours."""
    for base, kind, symbol in (("SOL", "perp", "SOL"), ("ETH", "spot", "ETH/USDC"), ("1000PEPE", "perp", "1000PEPE")):
        assert facts.venue_symbol(base, kind) == symbol
        assert facts.canonical(symbol) == (base, kind)
    for symbol in ("ETH/USDT", "", "/USDC", "A-B", "ETH/"):
        assert facts.canonical(symbol) is None


def test_symbols_of_perp_and_spot_never_meet():
    """[ours] One key for each market."""
    symbols = [json.dumps(symbol) for symbol in listed()]
    assert len(symbols) == len(set(symbols)) == 6
