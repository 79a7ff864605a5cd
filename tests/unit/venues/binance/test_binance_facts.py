"""Market rules out of exchangeInfo: every recorded row of both products."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from venues.binance import facts
from venues.errors import WireError

FIXTURES = Path(__file__).resolve().parents[4].parent / "shared" / "fixtures" / "binance"
pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason="../shared/fixtures/binance is not beside this checkout")


def payloads(name):
    return [row["payload"] for row in json.loads((FIXTURES / name).read_text())]


def read(payload, kind):
    """A whole exchangeInfo, or one of its rows."""
    whole = payload if "symbols" in payload else {"symbols": [payload]}
    return facts.read_markets(json.dumps(whole).encode(), kind)


def numbers(market):
    return (
        (market.price_decimals, market.tick_i, market.min_price_i, market.max_price_i),
        (market.size_decimals, market.lot_i, market.min_size_i, market.max_size_i),
        market.min_notional,
    )


def test_the_perps_of_2022():
    """[venue] pricePrecision is not the decimals of the tick: 0.10 has one."""
    markets = read(payloads("markets_futures.json")[0], "perp")
    assert list(markets) == ["BTCUSDT_PERP", "ETHUSDT_PERP"]
    btc, eth = markets.values()
    assert numbers(btc) == ((1, 1, 4020, 12463966), (3, 1, 1, 1_000_000), Decimal(10))
    assert numbers(eth) == ((2, 1, 2823, 14400403), (3, 1, 1, 10_000_000), Decimal(10))
    assert (btc.base, btc.quote, btc.kind, btc.tradable, btc.initial_margin) == (
        *("BTC", "USDT", "perp", True),
        Decimal("0.05"),
    )
    assert (btc.band_low, btc.band_high) == (Decimal("0.5454"), Decimal("1.1000"))


def test_the_sol_perp_of_2023_trades_whole_coins():
    """[venue] Tick 0.0010 has three decimals; the largest market order limits every order."""
    (sol,) = read(payloads("markets_futures.json")[1], "perp").values()
    assert numbers(sol) == ((3, 1, 420, 6857000), (0, 1, 1, 5000), Decimal(5))
    assert (sol.symbol, sol.band_low, sol.band_high) == ("SOLUSDT_PERP", Decimal("0.95"), Decimal("1.05"))


def test_every_further_recorded_perp_row_is_read():
    """[venue] Numbers quoted by ccxt included."""
    for payload in payloads("markets_futures.json")[2:]:
        for market in read(payload, "perp").values():
            assert market.symbol.endswith("_PERP")
            assert market.tick_i > 0
            assert market.lot_i > 0
            assert market.min_notional > 0


def test_the_spot_markets_of_2021_and_of_today():
    """[venue] MIN_NOTIONAL then, NOTIONAL now; a market step of 0 is a rule switched off."""
    old, new, skeleton = payloads("markets_spot.json")
    btc = read(old, "spot")["BTCUSDT"]
    assert numbers(btc) == ((2, 1, 1, 100_000_000), (5, 1, 1, 11221108), Decimal(10))
    assert (btc.kind, btc.initial_margin, btc.band_low, btc.band_high) == ("spot", 1, Decimal("0.2"), Decimal(5))
    (btc,) = read(new, "spot").values()
    assert numbers(btc) == ((2, 1, 1, 100_000_000), (5, 1, 1, 12852621), Decimal(5))
    assert (btc.band_low, btc.band_high) == (Decimal("0.2"), Decimal(5))
    # The documented skeleton has no filters: without a grid nothing can be traded.
    assert read(skeleton, "spot") == {}


def test_other_contracts_and_unreadable_rows_are_left_out_and_closed_ones_are_marked():
    """[venue] Quarterly and TradFi contracts are other products; one odd row keeps nobody else from trading."""
    row = payloads("markets_futures.json")[1]
    rows = [
        row | {"symbol": "SOLUSDT_260327", "contractType": "CURRENT_QUARTER"},
        row | {"symbol": "TSLAUSDT", "contractType": "TRADIFI_PERPETUAL"},
        row | {"symbol": "ODDUSDT", "filters": [{"filterType": "PRICE_FILTER", "tickSize": "NaN"}]},
        row
        | {"symbol": "ZEROUSDT", "filters": [f | {"tickSize": "0"} if "tickSize" in f else f for f in row["filters"]]},
        row | {"symbol": "SHUTUSDT", "status": "SETTLING"},
        row,
    ]
    markets = read({"symbols": rows}, "perp")
    assert {symbol: market.tradable for symbol, market in markets.items()} == {
        "SHUTUSDT_PERP": False,
        "SOLUSDT_PERP": True,
    }


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"symbols":1}', b"<html>", b"[" * 100_000])
def test_an_answer_without_symbols_is_a_wire_error(body):
    """[ours] No list, no markets, and no other exception."""
    with pytest.raises(WireError):
        facts.read_markets(body, "perp")


@pytest.mark.parametrize(
    ("base", "kind", "symbol", "wire"),
    [
        ("SOL", "perp", "SOLUSDT_PERP", "SOLUSDT"),
        ("SOL", "spot", "SOLUSDT", "SOLUSDT"),
        ("1000PEPE", "perp", "1000PEPEUSDT_PERP", "1000PEPEUSDT"),
    ],
)
def test_symbols_translate_both_ways(base, kind, symbol, wire):
    """[venue] Perp and spot share the wire's name, and here they differ."""
    assert facts.venue_symbol(base, kind) == symbol
    assert facts.canonical(symbol) == (base, kind)
    assert (facts.wire_name(symbol), facts.is_perp(symbol)) == (wire, kind == "perp")


@pytest.mark.parametrize("symbol", ["", "SOL", "USDT", "SOLUSDC", "_PERP", "USDT_PERP", "SOL_USDT", "BTCUSDT_260327"])
def test_a_name_of_another_grammar_has_no_canonical_form(symbol):
    """[ours] Only markets in USDT have a bare name."""
    assert facts.canonical(symbol) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("1", 1), ("4294967295", 4294967295), ("4294967296", None), ("0", None), ("01", None), ("", None)),
        *(("autoclose-1234567890123456", None), ("adl_autoclose", None), ("x-cvBPrNm9abc", None), ("-1", None)),
        *(("1.0", None), ("१", None), ("12345678901", None)),
    ],
)
def test_only_our_own_kind_of_client_id_is_read_as_one(text, number):
    """[venue] Ids that the venue or another program made belong to nobody here."""
    assert facts.client_id(text) == number
