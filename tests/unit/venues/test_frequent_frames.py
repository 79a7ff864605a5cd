"""
The messages that come most are read in one go, all others step by step. Both ways must tell the same: here each message
is told as the venue writes it, with spaces, as bytes and inside a combined stream.
"""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from bench.messages import book_messages, order_messages
from venues.backpack import decode as backpack
from venues.binance import decode as binance
from venues.binance.facts import PERP_SUFFIX
from venues.events import BookSeen, FillSeen, MarketFacts, OrderSeen, PositionSeen, Unreadable
from venues.hyperliquid import decode as hyperliquid
from venues.lighter import decode as lighter
from venues.okx import decode as okx

ACCOUNT = 1234
NAMES = {
    "backpack": "SOL_USDC_PERP",
    "binance": "SOLUSDT",
    "hyperliquid": "SOL",
    "lighter": "2",
    "okx": "SOL-USDT-SWAP",
}


def market(symbol, contract_size="1"):
    return MarketFacts(
        symbol=symbol,
        base="SOL",
        quote="USDC",
        kind="perp",
        price_decimals=4,
        size_decimals=4,
        tick_i=1,
        lot_i=1,
        min_size_i=1,
        contract_size=Decimal(contract_size),
    )


def tell(venue, data):
    name = NAMES[venue]
    if venue == "backpack":
        return list(backpack.frame(data, {name: market(name)}))
    if venue == "binance":
        perps = {name + PERP_SUFFIX: market(name + PERP_SUFFIX)}
        book = "bookTicker" in (data if isinstance(data, str) else data.decode())
        return list(binance.book_frame(data, perps, PERP_SUFFIX) if book else binance.perp_account_frame(data, perps))
    if venue == "hyperliquid":
        return list(hyperliquid.frame(data, {name: market(name)}, hyperliquid.Stand()))
    if venue == "lighter":
        return list(lighter.frame(data, {int(name): market(name)}, ACCOUNT))
    return list(okx.frame(data, {name: market(name, "0.01")}, set()))


def messages(venue):
    orders = [text for frames in order_messages(venue, NAMES[venue], 3, ACCOUNT) for text in frames]
    return orders + book_messages(venue, NAMES[venue], 5)


def otherwise(venue, text):
    """The same message in other words."""
    value = json.loads(text)
    yield json.dumps(value)
    yield text.encode()
    yield json.dumps(dict(reversed(value.items())))
    if venue == "binance":
        yield json.dumps({"stream": "any", "data": value}, separators=(",", ":"))


@pytest.mark.parametrize("venue", NAMES)
def test_a_message_tells_the_same_however_it_is_spelt(venue):
    """[venue] Spaces, the order of keys, bytes and combined streams change nothing in what is told."""
    kinds = set()
    for text in messages(venue):
        events = tell(venue, text)
        assert events
        assert not any(isinstance(event, Unreadable) for event in events), text
        kinds |= {type(event) for event in events}
        for other in otherwise(venue, text):
            assert tell(venue, other) == events, other
    held = {PositionSeen} if venue == "hyperliquid" else set()
    assert kinds == {OrderSeen, FillSeen, BookSeen} | held


@pytest.mark.parametrize("venue", NAMES)
@pytest.mark.parametrize("number", ["-0.01", "0.000000000001", "NaN", "1e400", "abc"])
def test_a_number_off_the_grid_is_unreadable_however_often_it_is_told(venue, number):
    """[ours] The quick reading refuses what the careful one refuses, and says why in the same words."""
    for text in messages(venue):
        for good in ('"0.05"', '"0.050"', '"0.02"', '"0.020"', '"140.11"', '"140.110"', '"141.01"', '"141.010"'):
            bad = text.replace(good, json.dumps(number))
            if bad == text:
                continue
            first, again, careful = tell(venue, bad), tell(venue, bad), tell(venue, json.dumps(json.loads(bad)))
            assert [type(event) for event in first] == [type(event) for event in again]
            whys = [[event.why for event in told if isinstance(event, Unreadable)] for told in (first, careful)]
            assert whys[0] == whys[1]


@pytest.mark.parametrize("venue", NAMES)
def test_a_message_cut_short_is_unreadable(venue):
    """[ours] Half a frame of a frequent kind is recorded and survived, wherever it ends."""
    for text in messages(venue)[::4]:
        for end in range(1, len(text), 37):
            events = tell(venue, text[:end])
            assert [type(event) for event in events] == [Unreadable], text[:end]
