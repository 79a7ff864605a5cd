"""Canonical names ↔ venue symbols on every venue, and the grid that every order must lie on."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.chance import Chance
from core.clock import VirtualClock, run_virtual
from execution.markets import Market, Markets
from tests.unit.execution.venue_double import SOL, VenueDouble
from venues import VENUES, open_room
from venues.dialect import HttpReply
from venues.errors import LocalRuleError
from venues.events import MarketFacts
from venues.simulation import open_simulator
from venues.simulation.app import Request

FIXTURES = Path(__file__).resolve().parents[3].parent / "shared" / "fixtures"


class Feed:
    """As much of a venue as the markets service asks for."""

    def __init__(self, facts, quotes=("USDC", "USDT", "USD"), name="backpack"):
        double = VenueDouble(VirtualClock(), name=name, markets=tuple(facts))
        self.name, self.markets = double.name, double.markets
        self.abilities = msgspec.structs.replace(double.abilities, quotes=quotes)


def answers(venue):
    """The recorded lists of markets by a word of the request that they answer."""
    if not (FIXTURES / venue).is_dir():
        pytest.skip("the captured payloads (../shared) are not beside this checkout")

    def rows(name):
        return json.loads((FIXTURES / venue / name).read_text())

    # What a room's own tests know about rows that were recorded in part is used here, too.
    if venue == "binance":
        perps, spots = ([row["payload"] for row in rows(f"markets_{kind}.json")] for kind in ("futures", "spot"))
        return {"/fapi/v1/": {"symbols": [*perps[0]["symbols"], perps[1]]}, "/api/v3/": spots[0]}
    if venue == "okx":
        from tests.unit.venues.okx.recorded import instruments

        kinds = ("SWAP", "SPOT")
        return {kind: {"code": "0", "data": [r for r in instruments() if r["instType"] == kind]} for kind in kinds}
    if venue == "hyperliquid":
        recorded = rows("markets.json")
        spot = recorded["spotMetaAndAssetCtxs_shape"]["response"][0]
        # USOL is token 254 in spot_clearinghouse_state.json; its pair and decimals are in the sheet.
        spot["tokens"].append({"name": "USOL", "szDecimals": 3, "index": 254})
        spot["universe"].append({"name": "@156", "tokens": [254, 0], "index": 156})
        return {'"meta"': recorded["meta_2026"]["response"], '"spotMeta"': spot}
    if venue == "lighter":
        from tests.unit.venues.lighter.payloads import details

        return {"/orderBookDetails": details()}
    return {"/markets": rows("markets.json")}


def markets_of(venue, told=None):
    """The markets of a room, as its dialect reads them from ``told``, or else from the answers of its simulator."""

    async def read():
        sim = open_simulator(venue, clock=VirtualClock(), chance=Chance(1))
        line, room = sim.bootstrap("memory://x", "memory://x"), open_room(venue)
        keys = {name: str(value) for name, value in line["credentials"].items()}
        dialect = room.make_dialect(keys, room.endpoints("sim", line))
        talk, reply = dialect.facts(), None
        while True:
            try:
                call = talk.send(reply)
            except StopIteration as done:
                return Markets(Feed(done.value.values(), dialect.abilities.quotes, venue))
            path, _, query = call.path.partition("?")
            if told is None:
                got = sim.http(Request(call.method, path, query, dict(call.headers), call.body))
                reply = HttpReply(got.status, got.body, got.headers)
            else:
                asked = call.path + call.body.decode()
                (rows,) = [rows for word, rows in told.items() if word in asked]
                reply = HttpReply(200, json.dumps(rows).encode())

    return run_virtual(read())


@pytest.fixture(scope="module")
def recorded():
    """The recorded markets of a venue, read once."""
    known: dict[str, Markets] = {}

    def markets(venue):
        if venue not in known:
            known[venue] = markets_of(venue, answers(venue))
        return known[venue]

    return markets


@pytest.fixture(scope="module")
def backpack(recorded):
    return recorded("backpack")


def facts(symbol: str, base: str, quote: str = "USDC", kind: str = "perp", **more: object) -> MarketFacts:
    return msgspec.structs.replace(SOL, symbol=symbol, base=base, quote=quote, kind=kind, **more)


ROWS = """
backpack     SOL   perp  SOL_USDC_PERP   0.01         0.01        0.01     0         1     -
backpack     SOL   spot  SOL_USDC        0.01         0.01        0.01     0         1     -
backpack     BTC   perp  BTC_USDC_PERP   0.1          0.00001     0.00001  0         1     -
backpack     BONK  spot  BONK_USDC       0.000000001  10000       10000    0         1     -
backpack     PYTH  spot  PYTH_USDC       0.000001     1           1        0         1     -
binance      SOL   perp  SOLUSDT_PERP    0.001        1           1        5         1     -
binance      BTC   perp  BTCUSDT_PERP    0.1          0.001       0.001    10        1     -
binance      ETH   perp  ETHUSDT_PERP    0.01         0.001       0.001    10        1     -
binance      BTC   spot  BTCUSDT         0.01         0.00001     0.00001  10        1     -
binance      ETH   spot  ETHUSDT         0.01         0.0001      0.0001   10        1     -
hyperliquid  SOL   perp  SOL             0.0001       0.01        0.01     10        1     5
hyperliquid  BTC   perp  BTC             0.1          0.00001     0.00001  10        1     5
hyperliquid  SOL   spot  @156            0.00001      0.001       0.001    10        1     5
hyperliquid  PURR  spot  PURR/USDC       0.00000001   1           1        10        1     5
lighter      SOL   perp  SOL             0.001        0.001       0.001    0         1     -
lighter      ETH   perp  ETH             0.01         0.0001      0.005    10        1     -
lighter      NVDA  perp  NVDA            0.001        0.001       0.025    10        1     -
lighter      ETH   spot  ETH/USDC        0.01         0.0001      0.0001   0.000001  1     -
okx          SOL   perp  SOL-USDT-SWAP   0.01         0.01        0.01     0         1     -
okx          BTC   perp  BTC-USDT-SWAP   0.1          0.0001      0.0001   0         0.01  -
okx          ETH   perp  ETH-USDT-SWAP   0.01         0.001       0.001    0         0.1   -
okx          SOL   spot  SOL-USDT        0.01         0.000001    0.001    0         1     -
okx          BTC   spot  BTC-USDT        0.1          0.00000001  0.00001  0         1     -
"""
"""Venue, canonical symbol, kind, the venue's own name, tick, lot, smallest size, smallest value, contract, figures."""
ROOMS = tuple(VENUES)


@pytest.mark.parametrize("row", ROWS.strip().splitlines(), ids=lambda row: "-".join(row.split()[:3]))
def test_canonical_names_lead_to_the_venues_market_and_back(recorded, row):
    """[venue] The recorded rows of all five: name, tick, lot, minima, contract and figures; and the way back."""
    venue, symbol, kind, venue_symbol, tick, lot, least, value, contract, figures = row.split()
    markets = recorded(venue)
    market = markets.find(symbol, kind)
    rules = market.facts
    assert (market.venue, market.venue_symbol, market.kind) == (venue, venue_symbol, kind)
    assert (market.price_text(rules.tick_i), market.size_text(rules.lot_i)) == (tick, lot)
    assert market.size_text(rules.min_size_i) == least
    assert (rules.min_notional, rules.contract_size) == (Decimal(value), Decimal(contract))
    assert rules.significant_figures == (None if figures == "-" else int(figures))
    assert market.lot() == Decimal(lot)
    back = markets.named(venue_symbol)
    assert (back.symbol, back.kind, back.facts) == (symbol, kind, rules)


def test_the_table_has_perp_and_spot_of_every_venue():
    """[client] A room added later is missed here."""
    told = {tuple(row.split()[i] for i in (0, 2)) for row in ROWS.strip().splitlines()}
    assert told == {(venue, kind) for venue in ROOMS for kind in ("perp", "spot")}


@pytest.mark.parametrize("venue", ROOMS)
def test_every_recorded_market_is_found_by_the_name_that_it_is_given(recorded, venue):
    """[ours] venue symbol → canonical → venue symbol, for all that was recorded; no two markets meet."""
    markets = recorded(venue)
    listed = markets._feed.markets
    for venue_symbol, rules in listed.items():
        named = markets.named(venue_symbol)
        assert markets.find(named.symbol, named.kind) == named
        assert named.facts is rules
    assert len({(markets.named(each).symbol, listed[each].kind) for each in listed}) == len(listed) > 1


@pytest.mark.parametrize("kind", ["perp", "spot"])
@pytest.mark.parametrize("venue", ROOMS)
def test_the_front_door_and_the_venues_list_agree_on_a_name(venue, kind):
    """[ours] What the room calls a coin without asking is what its simulator's list of markets leads to."""
    room, markets = open_room(venue), markets_of(venue)
    symbol = "ETH" if (venue, kind) == ("lighter", "spot") else "SOL"
    market = markets.find(symbol, kind)
    assert market.venue_symbol == room.venue_symbol(symbol, kind)
    assert room.canonical(market.venue_symbol) == (symbol, kind)
    assert markets.named(market.venue_symbol) == market
    assert market.facts.tradable


@pytest.mark.parametrize(
    ("venue", "symbol", "kind", "price", "size"),
    [
        ("backpack", "SOL", "perp", "140", "0.01"),
        ("binance", "SOL", "perp", "140", "1"),
        ("binance", "ETH", "perp", "2000", "0.005"),
        ("binance", "ETH", "spot", "2300", "0.0044"),
        ("hyperliquid", "SOL", "perp", "140", "0.08"),
        ("hyperliquid", "SOL", "spot", "140", "0.072"),
        ("lighter", "ETH", "perp", "2361.31", "0.005"),
        ("lighter", "ETH", "perp", "1000", "0.01"),
        ("lighter", "ETH", "spot", "2731.79", "0.0001"),
        ("okx", "BTC", "perp", "100000", "0.0001"),
        ("okx", "SOL", "spot", "140", "0.001"),
    ],
)
def test_the_smallest_order_obeys_size_and_value_of_each_venue(recorded, venue, symbol, kind, price, size):
    """[venue] `size: min`: the larger of the smallest size and the smallest value, up to the next lot."""
    market = recorded(venue).find(symbol, kind)
    price_i = int(Decimal(price).scaleb(market.facts.price_decimals))
    smallest = market.smallest_order(price_i)
    assert market.size_text(smallest) == size
    market.check(size_i=smallest, price_i=price_i)
    assert refusal(market, size_i=smallest - market.facts.lot_i, price_i=price_i) in ("MIN_SIZE", "MIN_NOTIONAL")


def test_only_perps_of_binance_may_close_below_the_smallest_value(recorded):
    """[venue] Binance's futures excuse reduce-only orders; elsewhere the documents do not, so nothing does here."""
    free = {
        (venue, kind)
        for venue, symbol, kind, *_ in map(str.split, ROWS.strip().splitlines())
        if recorded(venue).find(symbol, kind).facts.closes_below_minimum
    }
    assert free == {("binance", "perp")}
    for venue, size in (("binance", "0.001"), ("hyperliquid", "0.1"), ("lighter", "0.1")):
        market = recorded(venue).find("ETH", "perp")
        price_i = 100 * 10**market.facts.price_decimals
        assert market.size_text(market.smallest_order(price_i)) == "0.1"
        size_i = market.smallest_order(price_i, reduce_only=True)
        assert market.size_text(size_i) == size
        market.check(size_i=size_i, price_i=price_i, reduce_only=True)
        if size == "0.001":
            assert refusal(market, size_i=size_i, price_i=price_i) == "MIN_NOTIONAL"


@pytest.mark.parametrize(("symbol", "contracts", "size"), [("BTC", "3.01", "0.0301"), ("ETH", "3.01", "0.301")])
def test_a_lot_of_contracts_is_a_lot_of_coins(recorded, symbol, contracts, size):
    """[venue] OKX counts swaps in contracts of 0.01 BTC and 0.1 ETH, by 0.01; above the room all is coins."""
    market = recorded("okx").find(symbol, "perp")
    assert market.size_text(market.size_from(Decimal(contracts) * market.facts.contract_size)) == size
    assert market.lot() / market.facts.contract_size == Decimal("0.01")
    with pytest.raises(LocalRuleError, match="PRECISION"):
        market.size_from(Decimal("3.015") * market.facts.contract_size)


@pytest.mark.parametrize(
    ("symbol", "kind", "wrong", "bid", "ask"),
    [
        ("SOL", "perp", "140.005", "140", "140.01"),
        ("SOL", "perp", "12.3456", "12.345", "12.346"),
        ("BTC", "perp", "100000.5", "100000", "100001"),
        ("SOL", "spot", "140.005", "140", "140.01"),
        ("PURR", "spot", "0.1234567", "0.12345", "0.12346"),
    ],
)
def test_five_significant_figures_are_the_tick_of_hyperliquid(recorded, symbol, kind, wrong, bid, ask):
    """[venue] The tick grows with the price; whole numbers pass at any length."""
    market = recorded("hyperliquid").find(symbol, kind)
    price_i = int(Decimal(wrong).scaleb(market.facts.price_decimals))
    size_i = 2 * market.smallest_order(price_i)
    assert refusal(market, size_i=size_i, price_i=price_i) == "PRECISION"
    for is_ask, price in ((False, bid), (True, ask)):
        passive = market.passive_price(price_i, is_ask=is_ask)
        assert market.price(passive) == Decimal(price)
        market.check(size_i=size_i, price_i=passive)


@pytest.mark.parametrize(
    ("venue", "symbol", "kind", "words"),
    [
        ("backpack", "SOLL", "spot", "nearest name is SOL"),
        ("binance", "SLO", "perp", "nearest name is SOL"),
        ("hyperliquid", "USOL", "spot", "nearest name is SOL"),
        ("lighter", "SLO", "perp", "SOL"),
        ("lighter", "SOL", "spot", "lighter has no spot market for SOL"),
        ("lighter", "ETHH", "spot", "nearest name is ETH"),
        ("okx", "SOLANA", "perp", "nearest name is SOL"),
        ("okx", "SOL/EUR", "spot", "okx has no spot market for SOL/EUR"),
    ],
)
def test_a_name_that_a_venue_does_not_have_is_answered_with_its_nearest(recorded, venue, symbol, kind, words):
    """[client] The venue, the kind and the name asked for, and what was probably meant; Lighter has no SOL spot."""
    with pytest.raises(LocalRuleError) as unknown:
        recorded(venue).find(symbol, kind)
    assert unknown.value.code == "UNKNOWN_SYMBOL"
    assert words in unknown.value.hint
    assert f"{venue} has no {kind} market for {symbol}" in unknown.value.hint


@pytest.mark.parametrize(
    ("venue", "venue_symbol", "near"),
    [
        ("backpack", "SOL_USDC_PREP", "SOL_USDC_PERP"),
        ("binance", "SOLUSDT", "SOLUSDT_PERP"),
        ("hyperliquid", "@157", "@156"),
        ("lighter", "ETH-USDC", "ETH/USDC"),
        ("okx", "SOL-USDT-SWP", "SOL-USDT-SWAP"),
    ],
)
def test_a_venue_symbol_that_is_not_there_is_answered_with_the_nearest(recorded, venue, venue_symbol, near):
    """[ours] Each venue's own grammar; no spot SOL was recorded of Binance, so its perp is the nearest."""
    with pytest.raises(LocalRuleError) as unknown:
        recorded(venue).named(venue_symbol)
    assert (unknown.value.code, near in unknown.value.hint) == ("UNKNOWN_SYMBOL", True)


def test_the_quote_can_be_chosen_where_a_venue_has_two(recorded):
    """[venue] OKX lists SOL against USDT and USD: the bare name is the first, the way back keeps the other's quote."""
    markets = recorded("okx")
    assert [markets.find(name, "spot").venue_symbol for name in ("SOL", "SOL/USDT", "SOL/USD")] == [
        *("SOL-USDT", "SOL-USDT", "SOL-USD")
    ]
    assert markets.named("SOL-USD").symbol == "SOL/USD"


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


def test_an_empty_venue_symbol_names_no_market(backpack):
    """[ours] Nothing is near to nothing."""
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
    with pytest.raises(LocalRuleError, match="it has AAA, BBB, CCC"):
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
