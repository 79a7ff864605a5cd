"""Lighter's recorded payloads, and the markets that they are about."""

import json
from pathlib import Path

import pytest

from venues.lighter import facts

FOLDER = Path(__file__).resolve().parents[4].parent / "shared" / "fixtures" / "lighter"
needed = pytest.mark.skipif(not FOLDER.is_dir(), reason="../shared/fixtures/lighter is not there")


def load(name):
    """A fixture; empty where there is none."""
    path = FOLDER / name
    if not path.exists():
        return [] if name.endswith("l") else {}
    text = path.read_text()
    return [json.loads(line) for line in text.splitlines() if line.strip()] if name.endswith("l") else json.loads(text)


def body(value):
    return json.dumps(value).encode()


def details():
    """An answer of ``orderBookDetails`` made of all recorded rows."""
    recorded = load("markets.json")
    perps = recorded["full_perp_orderBookDetails"]["order_book_details"]
    perps = [*perps, *recorded["trimmed_perps_some_fields_missing"], recorded["trimmed_rwa_perp"]]
    btc = dict(perps[0], symbol="BTC", market_id=1, size_decimals=5, price_decimals=1, min_base_amount="0.00020")
    return {
        "code": 200,
        "order_book_details": [*perps, btc],
        "spot_order_book_details": [recorded["spot_orderBookDetails_row"]],
    }


def listed():
    return facts.read_markets(body(details()))


def numbers():
    """Market facts by the venue's number, as the decoder wants them."""
    return {each.number: each.facts for each in listed().values()}
