"""The price band: what is priced far from the book never leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.bands import PriceBand
from execution.caps import Caps
from execution.markets import Market
from tests.unit.execution.desk import play
from tests.unit.execution.venue_double import SOL
from venues.errors import LocalRuleError, OutcomeUnknown

PERP = Market("a", "SOL", SOL)
TEN = 1_000


def limit(
    price_i: int, bid_i: int | None = 13_900, ask_i: int | None = 14_100, *, band: PriceBand | None = None
) -> str:
    """The refusal in words, "" when it passes."""
    try:
        (band or PriceBand(TEN)).check_limit(PERP, price_i, bid_i, ask_i)
    except LocalRuleError as error:
        return str(error)
    return ""


def market(bid_i: int | None, ask_i: int | None, *, is_ask: bool = False, band: PriceBand | None = None) -> str:
    try:
        (band or PriceBand(TEN)).check_market(PERP, bid_i, ask_i, is_ask=is_ask)
    except LocalRuleError as error:
        return str(error)
    return ""


def test_a_limit_price_may_lie_within_the_band_of_the_best_prices_and_no_further():
    """[client] Ten percent below the best bid and above the best ask, edges included."""
    assert [limit(price_i) for price_i in (12_510, 13_900, 14_000, 14_100, 15_510)] == [""] * 5
    assert limit(12_509).startswith("PRICE_BAND")
    assert limit(15_511).startswith("PRICE_BAND")


def test_the_words_have_both_numbers_and_the_band():
    """[client] What the price is, what it is measured against, and how far it may be."""
    assert limit(15_651) == (
        "PRICE_BAND: the price 156.51 is 11 % above the best ask 141 of SOL-P on a; the band is 10 %"
    )
    assert "the price 100 is 28.05 % below the best bid 139" in limit(10_000)
    assert "the best ask 180 is 12.85 % above the mid 159.5" in market(13_900, 18_000)


def test_a_market_order_trades_near_the_mid_or_not_at_all():
    """[client] A book torn apart on either side, or crossed, is refused; a locked one is not."""
    assert market(13_900, 14_100) == market(14_000, 14_000) == ""
    assert market(9_000, 14_100).startswith("PRICE_BAND")
    assert market(9_000, 14_100, is_ask=True).startswith("PRICE_BAND")
    assert "crossed: bid 141 above ask 139" in market(14_100, 13_900)


def test_a_book_that_lost_a_side_is_judged_by_the_last_mid():
    """[client] The side that is left may be a stray order: 999 999 as the only ask is no price."""
    band = PriceBand(TEN)
    assert market(13_900, 14_100, band=band) == ""
    assert market(None, 14_300, band=band) == limit(14_300, None, 14_300, band=band) == ""
    assert "above the last known mid 140" in market(None, 99_999_900, band=band)
    assert "above the last known mid 140" in limit(99_999_900, None, 99_999_900, band=band)
    assert market(None, 14_300, band=PriceBand(TEN)).startswith("STALE_BOOK")
    assert market(None, None, band=band).startswith("STALE_BOOK")


def test_a_limit_price_without_a_mid_is_judged_by_the_side_there_is():
    """[ours] One side is better than none; an empty book that was never whole judges nothing, so nothing goes out."""
    assert limit(14_000, 13_900, None) == limit(14_000, None, 13_900) == ""
    assert "the only price in the book 139" in limit(20_000, None, 13_900)
    assert limit(14_000, None, None).startswith("STALE_BOOK")


def test_a_crossed_book_gives_no_mid():
    """[ours] What is known stays known."""
    band = PriceBand(TEN)
    limit(14_000, band=band)
    limit(14_000, 90_000, 10_000, band=band)
    assert market(None, 14_100, band=band) == ""


def test_markets_do_not_share_their_mids():
    """[ours] The same symbol on another venue is another book."""
    band = PriceBand(TEN)
    limit(14_000, band=band)
    with pytest.raises(LocalRuleError, match="STALE_BOOK"):
        band.check_market(replace(PERP, venue="b"), None, 14_100, is_ask=False)


def test_without_a_band_everything_passes():
    """[client] caps.price_band_bps: null."""
    off = PriceBand(None)
    assert limit(1, band=off) == limit(1, None, None, band=off) == market(90, 10, band=off) == ""


@given(
    st.integers(1, 10_000),
    st.integers(1, 10**12),
    st.one_of(st.none(), st.integers(1, 10**12)),
    st.one_of(st.none(), st.integers(1, 10**12)),
)
def test_any_numbers_get_a_clear_answer_and_the_best_prices_always_pass(bps, price_i, bid_i, ask_i):
    """[ours] Only LocalRuleError comes out; an order at the best price of either side is within every band."""
    band = PriceBand(bps)
    limit(price_i, bid_i, ask_i, band=band)
    market(bid_i, ask_i, band=band)
    if bid_i is not None and ask_i is not None:
        assert limit(bid_i, bid_i, ask_i, band=band) == limit(ask_i, bid_i, ask_i, band=band) == ""


# -- in the order service: the book of the double is 140.00 / 140.02


BANDED = Caps(price_band_bps=TEN)


async def refusal(placing) -> str:
    try:
        await placing
    except LocalRuleError as error:
        return error.code
    return ""


def test_an_order_beyond_the_band_never_leaves_and_leaves_no_trace():
    """[client] Limit and market, opening and reducing: refused by name, no intent, no byte, no money counted."""

    async def story(venue, desk):
        async def place(price_i, **more):
            return await refusal(desk.place_limit(desk.sol, is_ask=False, size_i=10, price_i=price_i, leg="l", **more))

        told = [await place(12_599), await place(15_500), await place(1, reduce_only=True)]
        venue.told_book[SOL.symbol] = (14_000, 20_000)
        for reduce_only in (False, True):
            told.append(
                await refusal(desk.place_market(desk.sol, is_ask=False, size_i=10, leg="l", reduce_only=reduce_only))
            )
        return told, venue.calls, desk.memory.unsettled(), desk.guard.opened_usd

    assert play(story, caps=BANDED) == (["PRICE_BAND"] * 5, [], [], 0)


def test_within_the_band_orders_go_out():
    """[client] The band stands in nobody's way."""

    async def story(venue, desk):
        orders = [
            await desk.place_limit(desk.sol, is_ask=False, size_i=10, price_i=12_600, leg="l"),
            await desk.place_market(desk.sol, is_ask=False, size_i=10, leg="m"),
        ]
        await desk.settle_all(orders)
        return [order.sent_ms is not None for order in orders]

    assert play(story, caps=BANDED) == [True, True]


def test_the_cleanups_closing_order_passes_a_torn_book_and_its_opening_order_does_not():
    """[client] Nothing comes after the cleanup: only there a market order that reduces goes out at any price."""

    async def story(venue, desk):
        venue.told_book[SOL.symbol] = (14_000, 20_000)
        desk.closing = True
        opening = await refusal(desk.place_market(desk.sol, is_ask=False, size_i=10, leg="l"))
        order = await desk.place_market(desk.sol, is_ask=False, size_i=10, leg="m", reduce_only=True)
        await desk.settle(order)
        return opening, order.sent_ms is not None

    assert play(story, caps=BANDED) == ("PRICE_BAND", True)


def test_a_book_that_cannot_be_read_stops_a_limit_order_with_a_band():
    """[ours] A price that cannot be judged does not go out: STALE_BOOK; without a band the book is not asked."""

    async def unread(symbol):
        raise OutcomeUnknown("UNREADABLE", "planted")

    async def story(venue, desk):
        venue.get_top_of_book = unread
        return await refusal(desk.place_limit(desk.sol, is_ask=False, size_i=10, price_i=14_000, leg="l"))

    assert play(story, caps=BANDED) == "STALE_BOOK"

    async def unasked(venue, desk):
        venue.get_top_of_book = unread
        order = await desk.place_limit(desk.sol, is_ask=False, size_i=10, price_i=14_000, leg="l")
        await desk.settle(order)
        return order.sent_ms is not None

    assert play(unasked) is True
