"""Canonical names ↔ venue symbols, and the grid that every order must lie on."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import VirtualClock
from execution.markets import Market, Markets
from tests.unit.execution.venue_double import SOL, VenueDouble
from venues.dialect import HttpReply
from venues.errors import LocalRuleError
from venues.events import MarketFacts

SHARED = Path(__file__).resolve().parents[3].parent / "shared"
ROWS = SHARED / "fixtures" / "backpack" / "markets.json"


class Feed:
    """As much of a venue as the markets service asks for."""

    def __init__(self, facts, quotes=("USDC", "USDT", "USD")):
        double = VenueDouble(VirtualClock(), name="backpack", markets=tuple(facts))
        self.name, self.markets = double.name, double.markets
        self.abilities = msgspec.structs.replace(double.abilities, quotes=quotes)


@pytest.fixture(scope="module")
def backpack() -> Markets:
    """The markets of the captured answer, as the room's dialect reads them."""
    if not ROWS.exists():
        pytest.skip("the captured payloads (../shared) are not beside this checkout")
    from base64 import b64encode

    from nacl.signing import SigningKey

    from venues.backpack import make_dialect

    key = SigningKey(bytes(32))
    pair = {"api_key": b64encode(bytes(key.verify_key)).decode(), "api_secret": b64encode(bytes(key)).decode()}
    talk = make_dialect(pair, {"rest": "", "ws": ""}).facts()
    assert next(talk).method == "GET"
    with pytest.raises(StopIteration) as told:
        talk.send(HttpReply(200, ROWS.read_bytes()))
    return Markets(Feed(told.value.value.values()))


def facts(symbol: str, base: str, quote: str = "USDC", kind: str = "perp", **more: object) -> MarketFacts:
    return msgspec.structs.replace(SOL, symbol=symbol, base=base, quote=quote, kind=kind, **more)


@pytest.mark.parametrize(
    ("symbol", "kind", "venue_symbol", "tick", "lot", "least"),
    [
        ("SOL", "perp", "SOL_USDC_PERP", "0.01", "0.01", "0.01"),
        ("SOL", "spot", "SOL_USDC", "0.01", "0.01", "0.01"),
        ("BTC", "perp", "BTC_USDC_PERP", "0.1", "0.00001", "0.00001"),
        ("BONK", "spot", "BONK_USDC", "0.000000001", "10000", "10000"),
        ("PYTH", "spot", "PYTH_USDC", "0.000001", "1", "1"),
    ],
)
def test_canonical_names_lead_to_the_venues_market_and_back(backpack, symbol, kind, venue_symbol, tick, lot, least):
    """[venue] The captured rows of Backpack: symbol, tick, lot and minimum of perp and spot, both ways."""
    market = backpack.find(symbol, kind)
    assert market.venue_symbol == venue_symbol
    assert (market.price_text(market.facts.tick_i), market.size_text(market.facts.lot_i)) == (tick, lot)
    assert market.size_text(market.facts.min_size_i) == least
    assert market.lot() == Decimal(lot)
    back = backpack.named(venue_symbol)
    assert (back.symbol, back.kind, back.facts) == (symbol, kind, market.facts)


def test_a_lot_above_one_is_a_grid_of_ten_thousands(backpack):
    """[venue] BONK trades in steps of 10000."""
    market = backpack.find("BONK", "spot")
    assert market.size_from(Decimal(30_000)) == 30_000
    assert market.floor_size(39_999) == 30_000
    assert market.whole_lots(Decimal("-25000.5")) == 20_000
    for wrong, code in ((15_000, "PRECISION"), (0, "MIN_SIZE"), (-10_000, "MIN_SIZE"), (9_999, "PRECISION")):
        assert refusal(market, size_i=wrong, price_i=10_000) == code


def test_a_market_that_is_closed_is_found_and_refused(backpack):
    """[venue] HNT_USDC is Closed in the captured answer."""
    market = backpack.find("HNT", "spot")
    assert refusal(market, size_i=market.facts.min_size_i, price_i=1_000) == "MARKET_CLOSED"


def test_prices_outside_the_venues_hard_limits_are_refused(backpack):
    """[venue] SOL_USDC_PERP: 0.01 to 1000; PYTH_USDC: 0.001 and up."""
    perp, spot = backpack.find("SOL", "perp"), backpack.find("PYTH", "spot")
    perp.check(size_i=1, price_i=100_000)
    assert refusal(perp, size_i=1, price_i=100_001) == "PRICE_RANGE"
    spot.check(size_i=1, price_i=1_000)
    assert refusal(spot, size_i=1, price_i=999) == "PRICE_RANGE"


@pytest.mark.parametrize(
    ("symbol", "near"), [("SLO", "SOL"), ("sol", "SOL"), ("BNK", "BONK"), ("PYHT", "PYTH"), ("USTD", "USDT")]
)
def test_an_unknown_name_is_answered_with_the_nearest(backpack, symbol, near):
    """[ours] UNKNOWN_SYMBOL names what was probably meant; case counts, but does not hide the match."""
    kind = "perp" if near == "SOL" else "spot"
    with pytest.raises(LocalRuleError) as unknown:
        backpack.find(symbol, kind)
    assert (unknown.value.code, near in unknown.value.hint) == ("UNKNOWN_SYMBOL", True)


@pytest.mark.parametrize("symbol", ["", "/", "SOL/", "/USDC", "SOL/EUR", "SOL_USDC", "ZZZZZZ", "SOL/USDC/X", "💰"])
def test_what_is_no_market_is_refused_whatever_it_looks_like(backpack, symbol):
    """[ours] No name leads to a market by accident ("SOL/" is SOL in the preferred quote)."""
    if symbol == "SOL/":
        assert backpack.find(symbol, "perp").venue_symbol == "SOL_USDC_PERP"
        return
    with pytest.raises(LocalRuleError) as unknown:
        backpack.find(symbol, "perp")
    assert unknown.value.code == "UNKNOWN_SYMBOL"


def test_an_unknown_venue_symbol_is_answered_with_the_nearest(backpack):
    """[ours] The way back too."""
    with pytest.raises(LocalRuleError, match="SOL_USDC_PERP"):
        backpack.named("SOL_USDC_PREP")
    with pytest.raises(LocalRuleError, match="has no market"):
        backpack.named("")


def test_a_bare_name_means_the_first_quote_that_the_venue_prefers():
    """[ours] SOL is USDC where there is one; SOL/USDT names the other; the way back keeps the difference."""
    markets = Markets(Feed([facts("SOLUSDT", "SOL", "USDT"), facts("SOLUSDC", "SOL"), facts("DOGEUSDT", "DOGE", "USDT"),
                            facts("XEUR", "X", "EUR")]))  # fmt: skip
    assert markets.find("SOL", "perp").venue_symbol == "SOLUSDC"
    assert markets.find("SOL/USDT", "perp").venue_symbol == "SOLUSDT"
    assert markets.find("DOGE", "perp").venue_symbol == "DOGEUSDT"
    assert markets.find("X/EUR", "perp").venue_symbol == "XEUR"
    assert [markets.named(s).symbol for s in ("SOLUSDC", "SOLUSDT", "XEUR")] == ["SOL", "SOL/USDT", "X/EUR"]
    with pytest.raises(LocalRuleError, match="UNKNOWN_SYMBOL"):
        markets.find("X", "perp")
    with pytest.raises(LocalRuleError, match="3 perp markets"):
        Markets(Feed([facts("A1", "AAA"), facts("B1", "BBB"), facts("C1", "CCC")])).find("ZZZ", "perp")


# -- the gate


def refusal(market: Market, **order: object) -> str:
    with pytest.raises(LocalRuleError) as refused:
        market.check(**order)
    assert market.venue_symbol in refused.value.hint
    return refused.value.code


def market_of(**more: object) -> Market:
    return Market("double", "SOL", msgspec.structs.replace(SOL, **more))


@pytest.mark.parametrize("price_i", [0, -1, True, 1.0, 14_000.0, float("nan"), float("inf"), "14000", Decimal(14_000)])
def test_a_price_that_is_no_positive_integer_never_passes(price_i):
    """[ours] Zero, negative, bool, float, NaN, text: refused locally, as a price of a limit order."""
    assert refusal(market_of(), size_i=100, price_i=price_i) == "PRICE_RANGE"


@pytest.mark.parametrize("size_i", [0, -100, True, 100.0, float("nan"), "100", None, Decimal(100)])
def test_a_size_that_is_no_positive_integer_never_passes(size_i):
    """[ours] Also for a market order, which has no price to stumble over."""
    for price_i in (14_000, None):
        assert refusal(market_of(), size_i=size_i, price_i=price_i, reference_i=14_000) == "MIN_SIZE"


@pytest.mark.parametrize(
    ("rules", "order", "code"),
    [
        ({"tick_i": 5}, {"size_i": 10, "price_i": 14_001}, "PRECISION"),
        ({"lot_i": 10}, {"size_i": 15, "price_i": 14_000}, "PRECISION"),
        ({"min_size_i": 20}, {"size_i": 19, "price_i": 14_000}, "MIN_SIZE"),
        ({"max_size_i": 20}, {"size_i": 21, "price_i": 14_000}, "MAX_SIZE"),
        ({"max_price_i": 14_000}, {"size_i": 1, "price_i": 14_001}, "PRICE_RANGE"),
        ({"min_price_i": 14_000}, {"size_i": 1, "price_i": 13_999}, "PRICE_RANGE"),
        ({"min_notional": Decimal(10)}, {"size_i": 7, "price_i": 14_000}, "MIN_NOTIONAL"),
        ({"min_notional": Decimal(10)}, {"size_i": 7, "price_i": None, "reference_i": 14_000}, "MIN_NOTIONAL"),
        ({"tradable": False}, {"size_i": 1, "price_i": 14_000}, "MARKET_CLOSED"),
    ],
)
def test_each_rule_of_a_market_is_held_before_anything_is_sent(rules, order, code):
    """[venue] Tick, lot, minimum, maximum, range, value, state; one step inside passes."""
    assert refusal(market_of(**rules), **order) == code


def test_the_edges_of_the_rules_pass():
    """[venue] Exactly the minimum, the maximum and the limits are allowed."""
    rules = {"min_size_i": 10, "max_size_i": 20, "min_price_i": 100, "max_price_i": 20_000}
    for size_i, price_i in ((10, 100), (20, 20_000)):
        market_of(**rules).check(size_i=size_i, price_i=price_i)
    market_of(min_notional=Decimal(14)).check(size_i=10, price_i=14_000)
    market_of(min_notional=Decimal(14)).check(size_i=1, price_i=None)


@pytest.mark.parametrize(
    ("price_i", "fine", "down", "up"),
    [
        (123_456_000, False, 123_450_000, 123_460_000),
        (123_450_000, True, 123_450_000, 123_450_000),
        (1_234_567, False, 1_234_500, 1_234_600),
        (12_345, True, 12_345, 12_345),
        (123_456_000_000, True, 123_456_000_000, 123_456_000_000),
        (9_999_950, False, 9_999_900, 10_000_000),
    ],
)
def test_significant_figures_coarsen_the_tick_but_whole_numbers_pass(price_i, fine, down, up):
    """[venue] Hyperliquid: five significant figures, and whole numbers however long they are."""
    market = market_of(price_decimals=6, tick_i=1, significant_figures=5)
    if fine:
        market.check(size_i=100, price_i=price_i)
    else:
        assert refusal(market, size_i=100, price_i=price_i) == "PRECISION"
    assert market.passive_price(price_i, is_ask=False) == down
    assert market.passive_price(price_i, is_ask=True) == up


@given(st.integers(1, 10**9), st.sampled_from([1, 5, 10, 25, 10_000]), st.sampled_from([None, 4, 5]), st.booleans())
def test_a_passive_price_lies_on_the_grid_and_never_nearer_to_the_other_side(price_i, tick_i, figures, is_ask):
    """[ours] Down for a buy, up for a sell, always sendable."""
    market = market_of(price_decimals=2, tick_i=tick_i, significant_figures=figures)
    passive = market.passive_price(price_i, is_ask=is_ask)
    assert passive >= price_i if is_ask else passive <= price_i
    if passive > 0 and (figures is None or tick_i in (1, 10, 10_000)):
        market.check(size_i=100, price_i=passive)


@given(
    st.integers(1, 10**7),
    st.sampled_from([1, 7, 100, 10_000]),
    st.integers(1, 500),
    st.integers(0, 10**4),
    st.booleans(),
)
def test_the_smallest_order_passes_the_gate_and_one_lot_less_does_not(price_i, lot_i, least, value, on_grid):
    """[ours] `size: min` is exact: minimum size and minimum value, rounded up to the lot."""
    market = market_of(lot_i=lot_i, min_size_i=least * (lot_i if on_grid else 1), min_notional=Decimal(value) / 7)
    size_i = market.smallest_order(price_i)
    market.check(size_i=size_i, price_i=price_i)
    if size_i > lot_i:
        assert refusal(market, size_i=size_i - lot_i, price_i=price_i) in ("MIN_SIZE", "MIN_NOTIONAL")


def test_a_value_in_quote_becomes_the_largest_size_worth_at_most_that():
    """[ours] `size: 25 USD` never buys for more."""
    market = market_of(lot_i=5)
    assert market.size_for_quote(Decimal(25), 14_000) == 15
    assert market.notional(15, 14_000) == Decimal("21.00")
    assert market.size_for_quote(Decimal(1), 14_000) == 0


@pytest.mark.parametrize(
    "quantity", ["0.001", "-0.01", "NaN", "sNaN", "Infinity", "-Infinity", "1E+40", "1E-40", "1E+999999"]
)
def test_a_size_off_the_lot_or_not_a_number_is_a_precision_error_of_one_short_line(quantity):
    """[ours] NaN and absurd exponents get a clear error too, not a page of zeros."""
    with pytest.raises(LocalRuleError) as refused:
        market_of().size_from(Decimal(quantity))
    assert refused.value.code == "PRECISION"
    assert len(refused.value.hint) < 200


def test_an_exact_size_is_taken_as_it_is():
    """[ours] Trailing zeros and exponents are the same number."""
    assert [market_of().size_from(Decimal(q)) for q in ("0.01", "1.500", "2E+1", "0")] == [1, 150, 2_000, 0]
