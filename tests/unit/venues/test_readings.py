"""Texts that were read before: found as they were read, checked all the same, and never too many."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.precision import OffGrid, bounded, unsigned
from venues.errors import WireError
from venues.readings import AMOUNTS, KEPT, UNSIGNED, Readings, excerpt, reading

NUMBERS = st.one_of(
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
    st.integers(-(10**12), 10**12).map(str),
    st.text("0123456789.-+eE ", max_size=12),
)


def outcome(read, text):
    try:
        return read(text)
    except OffGrid as error:
        return str(error)


@given(NUMBERS, st.integers(0, 12))
def test_a_remembered_text_reads_as_it_did_the_first_time(text, decimals):
    """[ours] Whatever the text, and however often: the grid's and the plain reading agree with core.precision."""
    for _ in range(2):
        assert outcome(UNSIGNED[decimals].__getitem__, text) == outcome(lambda t: unsigned(t, decimals), text)
        again = outcome(AMOUNTS.__getitem__, text)
        assert (again, str(again)) == (outcome(bounded, text), str(outcome(bounded, text)))


@pytest.mark.parametrize("text", ["", "NaN", "-1", "0.001", "1" * 80])
def test_what_is_no_such_number_is_refused_each_time_and_not_kept(text):
    """[ours] A bad size never becomes a good one by being told twice."""
    for _ in range(2):
        with pytest.raises(OffGrid):
            UNSIGNED[2][text]
    assert text not in UNSIGNED[2]


def test_no_more_texts_are_kept_than_a_market_repeats():
    """[ours] Memory is bounded: by the number of texts, and by the length of each."""
    readings = Readings(Decimal)
    for number in range(3 * KEPT):
        assert readings[str(number)] == number
    assert len(readings) <= KEPT
    long = "1" * 1_000
    assert readings[long] == Decimal(long)
    assert long not in readings


def test_an_answer_that_cannot_be_read_says_whose_it_is_and_repeats_it_only_where_it_may():
    """[ours] UNREADABLE with the beginning of the answer, or without a word of it."""
    with pytest.raises(WireError) as told, reading("Kite", "time", b"\xff" * 600):
        int("x")
    assert (told.value.code, told.value.raw) == ("UNREADABLE", excerpt(b"\xff" * 600))
    assert told.value.hint.startswith("Kite's time cannot be read: invalid literal")
    with pytest.raises(WireError) as hidden, reading("Kite", "key", None):
        raise KeyError("secret")
    assert (hidden.value.hint, hidden.value.raw) == ("Kite's key cannot be read", "")
