"""Numbers of money: decimal text to grid and back, exactly."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.precision import (
    OffGrid,
    as_decimal,
    ceil_to,
    decimal_of,
    decimals_of,
    floor_to,
    plain,
    power_of_ten,
    scaled,
    scaled_decimal,
    unscaled,
)

DECIMALS = st.integers(0, 12)
UNITS = st.integers(-(10**20), 10**20)


@given(UNITS, DECIMALS)
def test_a_number_on_the_grid_survives_text_and_back(units, decimals):
    """[ours] What we send is what we meant."""
    text = unscaled(units, decimals)
    assert scaled(text, decimals) == units
    assert Decimal(text) * 10**decimals == units


@given(UNITS, DECIMALS)
def test_the_text_is_the_shortest_plain_one(units, decimals):
    """[venue] No exponent, no trailing zeros, no minus zero: some venues sign the text itself."""
    text = unscaled(units, decimals)
    assert text == plain(as_decimal(units, decimals))
    assert "e" not in text.lower()
    assert not (("." in text) and text.endswith(("0", ".")))
    assert text != "-0"


@given(UNITS, DECIMALS, st.integers(0, 6))
def test_zeros_behind_the_grid_do_not_matter(units, decimals, zeros):
    """[venue] "140.9900" is 140.99; venues pad as they like."""
    text = unscaled(units, decimals)
    padded = text + ("" if "." in text else ".") + "0" * (zeros + 1)
    assert scaled(padded, decimals) == units


@given(UNITS, st.integers(0, 8), st.integers(1, 9))
def test_a_digit_behind_the_grid_is_refused_never_rounded(units, decimals, digit):
    """[client] A price off the grid is refused; rounding would trade another price."""
    finer = units * 10 + (digit if units >= 0 else -digit)
    with pytest.raises(OffGrid, match="decimals"):
        scaled(unscaled(finer, decimals + 1), decimals)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=8))
def test_text_and_decimal_take_the_same_way(value):
    """[ours] The quick reading of plain text agrees with the one through Decimal."""
    assert scaled(f"{value:f}", 8) == scaled_decimal(value, 8) == int(value * 10**8)


@pytest.mark.parametrize(
    ("text", "decimals", "units"),
    [
        ("140.99", 2, 14099),
        ("1.", 2, 100),
        ("0", 8, 0),
        ("-0.5", 1, -5),
        ("-0", 0, 0),
        ("007", 0, 7),
        ("1e-5", 5, 1),
        ("1.5E+3", 0, 1500),
        ("123456789012345678901234567890", 0, 123456789012345678901234567890),
    ],
)
def test_what_venues_write_is_read(text, decimals, units):
    """[venue] Plain numbers, padded ones, exponents."""
    assert scaled(text, decimals) == units


@pytest.mark.parametrize(
    "text", ["", "-", ".", "NaN", "Infinity", "-inf", "1,5", "0x10", "abc", "1" * 200, "1e400", "1.2.3", "--1"]
)
def test_what_is_no_number_is_refused(text):
    """[ours] NaN, infinity, other alphabets, absurd lengths: OffGrid, never something else."""
    with pytest.raises(OffGrid):
        scaled(text, 2)


@pytest.mark.parametrize("text", ["1e-3", "1.234", "14.0991E1"])
def test_a_number_between_the_lines_of_the_grid_is_refused(text):
    """[client] However it is written."""
    with pytest.raises(OffGrid, match="more than 2 decimals"):
        scaled(text, 2)


@given(st.text(max_size=60), DECIMALS)
def test_any_text_gives_a_whole_number_or_off_grid(text, decimals):
    """[ours] A hostile payload raises nothing unexpected."""
    with suppress(OffGrid):
        assert isinstance(scaled(text, decimals), int)


@given(st.integers(0, 10**24), st.integers(1, 10**9))
def test_floor_and_ceil_are_the_neighbours_on_the_grid(value, step):
    """[client] The remainder is cut to the lot, never rounded up; buys go down to the tick, sells up."""
    low, high = floor_to(value, step), ceil_to(value, step)
    assert low <= value <= high
    assert low % step == high % step == 0
    assert high - low in (0, step)


@pytest.mark.parametrize(
    ("step", "decimals"), [("0.01", 2), ("0.010", 2), ("1", 0), ("10000", 0), ("1e-6", 6), ("5E-1", 1), ("0.00025", 5)]
)
def test_a_step_tells_its_decimals(step, decimals):
    """[venue] Ticks and lots come as text."""
    assert decimals_of(step) == decimals


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20))
def test_a_plain_text_is_the_same_number(value):
    """[ours] Reports and heartbeats write decimals for people, exactly."""
    text = plain(value)
    assert Decimal(text) == value
    assert "E" not in text
    assert text != "-0"


@pytest.mark.parametrize(
    ("value", "text"), [("1E+3", "1000"), ("0.10", "0.1"), ("-0", "0"), ("100", "100"), ("-0.000", "0")]
)
def test_plain_has_no_exponent_and_no_idle_zeros(value, text):
    """[ours] 1E+3 is 1000."""
    assert plain(Decimal(value)) == text


def test_powers_of_ten_are_looked_up():
    """[ours] 0 to 36; beyond is a mistake of ours."""
    assert [power_of_ten(n) for n in (0, 1, 36)] == [1, 10, 10**36]
    with pytest.raises(IndexError):
        power_of_ten(37)


def test_a_decimal_with_an_exponent_is_read():
    """[venue] Some payloads say 1e-7."""
    assert decimal_of("1e-7") == Decimal("0.0000001")


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), Decimal("1E+50"), Decimal("1E-50")])
def test_a_decimal_that_is_no_usable_number_is_refused(value):
    """[ours] Not finite, or far outside of every venue's range."""
    with pytest.raises(OffGrid):
        scaled_decimal(value, 2)


def test_the_quick_way_is_exact_beyond_28_digits():
    """[ours] Plain text never passes through Decimal's default context."""
    assert scaled("12345678901234567890123456789.1", 1) == 123456789012345678901234567891


def test_a_decimal_of_more_than_28_digits_keeps_every_digit():
    """[gap] A longer Decimal is rounded without a word."""
    assert scaled_decimal(Decimal("12345678901234567890123456789.1"), 1) == 123456789012345678901234567891


@pytest.mark.parametrize("text", [" 1", "1 ", "1_000", "\t1\n", "١٢"])
def test_blanks_underscores_and_other_digits_are_no_number(text):
    """[gap] No venue writes them; reading them hides a broken payload."""
    with pytest.raises(OffGrid):
        scaled(text, 0)
