import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venues.backpack.facts import ABILITIES, read_markets
from venues.errors import WireError

FOLDER = Path(__file__).resolve().parents[4].parent / "shared" / "fixtures" / "backpack"
if not FOLDER.exists():
    pytest.skip("../shared with the recorded payloads is missing", allow_module_level=True)

ROWS = json.loads((FOLDER / "markets.json").read_text())


def _read(*rows):
    return read_markets(json.dumps(rows).encode())


def _perp(**changes):
    row = json.loads(json.dumps(ROWS[5]))
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = row
        for parent in parents:
            place = place[parent]
        place[last] = value
    return row


def test_every_recorded_market_is_read():
    """[venue] Seven markets of 2025 and 2026, with and without the newer keys."""
    markets = _read(*ROWS)
    assert list(markets) == [row["symbol"] for row in ROWS]
    shapes = {
        name: (m.kind, m.price_decimals, m.size_decimals, m.tick_i, m.lot_i, m.min_size_i, m.tradable)
        for name, m in markets.items()
    }
    assert shapes == {
        "SOL_USDC": ("spot", 2, 2, 1, 1, 1, True),
        "PYTH_USDC": ("spot", 6, 0, 1, 1, 1, True),
        "HNT_USDC": ("spot", 3, 1, 1, 1, 1, False),
        "BONK_USDC": ("spot", 9, 0, 1, 10_000, 10_000, True),
        "USDT_USDC": ("spot", 4, 0, 1, 1, 1, True),
        "SOL_USDC_PERP": ("perp", 2, 2, 1, 1, 1, True),
        "BTC_USDC_PERP": ("perp", 1, 5, 1, 1, 1, True),
    }


def test_a_perp_has_its_margin_limits_and_bands():
    """[venue] SOL_USDC_PERP of 2025-07."""
    perp = _read(*ROWS)["SOL_USDC_PERP"]
    assert (perp.base, perp.quote) == ("SOL", "USDC")
    assert perp.initial_margin == Decimal("0.02")
    assert (perp.min_price_i, perp.max_price_i, perp.max_size_i) == (1, 100_000, None)
    assert (perp.band_low, perp.band_high) == (Decimal("0.9"), Decimal("1.1"))
    assert perp.min_notional == 0


def test_a_spot_market_is_paid_in_full():
    """[venue] No imfFunction on spot; the mean-mark band is the narrow one."""
    spot = _read(*ROWS)["SOL_USDC"]
    assert spot.initial_margin == 1
    assert (spot.band_low, spot.band_high) == (Decimal("0.97"), Decimal("1.03"))


def test_a_market_without_bands_has_none():
    """[ours] Keys come and go; the rules that remain count."""
    row = _perp(
        filters__price__meanMarkPriceBand=None,
        filters__price__minMultiplier=None,
        filters__price__maxMultiplier=None,
    )
    market = _read(row)["SOL_USDC_PERP"]
    assert (market.band_low, market.band_high) == (None, None)


def test_limits_off_the_grid_move_inwards():
    """[ours] A minimum rounds up to the lot, a maximum down."""
    market = _read(
        _perp(
            filters__quantity__stepSize="0.2",
            filters__quantity__minQuantity="0.25",
            filters__quantity__maxQuantity="7.55",
            filters__price__minPrice="0.015",
            filters__price__maxPrice="9.999",
        )
    )["SOL_USDC_PERP"]
    assert (market.lot_i, market.min_size_i, market.max_size_i) == (2, 4, 75)
    assert (market.min_price_i, market.max_price_i) == (2, 999)


@pytest.mark.parametrize("state", ["Closed", "CancelOnly", "LimitOnly", "PostOnly", "Asleep"])
def test_only_an_open_book_counts_as_tradable(state):
    """[venue] The five states of orderBookState, and one of tomorrow."""
    assert not _read(_perp(orderBookState=state))["SOL_USDC_PERP"].tradable


def test_a_hidden_market_is_not_tradable():
    """[venue] visible false."""
    assert not _read(_perp(visible=False))["SOL_USDC_PERP"].tradable


@pytest.mark.parametrize(
    "odd",
    [
        {"marketType": "PREDICTION"},
        {"filters__price__tickSize": "NaN"},
        {"filters__price__tickSize": "0"},
        {"filters__quantity__stepSize": "-0.01"},
        {"filters__quantity__stepSize": 0.01},
        {"filters__price__tickSize": "1e-999999"},
        {"filters__quantity__maxQuantity": "1e99"},
        {"imfFunction__base": "0"},
        {"filters": None},
        {"symbol": None},
    ],
)
def test_one_odd_market_is_left_out_and_the_others_trade(odd):
    """[ours] A listing that cannot be read is not fatal."""
    row = _perp(**odd)
    assert list(_read(row, ROWS[0], "text", 7)) == ["SOL_USDC"]


def test_a_market_of_damaged_text_is_left_out():
    """[ours] Invalid UTF-8 in one row."""
    body = json.dumps(ROWS[5:]).encode().replace(b"BTC", b"\xff\xff\xff", 1)
    assert list(read_markets(body)) == ["SOL_USDC_PERP"]


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", b"\xff", b"null"])
def test_an_answer_that_is_no_list_is_the_venues_fault(body):
    """[ours] Without markets nothing can start."""
    with pytest.raises(WireError):
        read_markets(body)


@given(
    st.text(max_size=12) | st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["tickSize", "maxPrice"]),
)
def test_no_value_of_a_filter_can_stop_the_reading(value, name):
    """[ours] Any price rule is read or leaves its market out."""
    row = _perp(**{f"filters__price__{name}": value})
    assert "SOL_USDC" in _read(row, ROWS[0])


def test_the_abilities_are_those_of_the_documents():
    """[venue] uint32 client ids, REST entry, no dead man's switch."""
    assert ABILITIES.max_client_id == 2**32 - 1
    assert ABILITIES.order_entry == "rest"
    assert ABILITIES.expiry_ms == 5000
    assert not ABILITIES.dead_mans_switch
    assert ABILITIES.spot_fee_in_base
