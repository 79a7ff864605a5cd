"""The recorded payloads of OKX, and the markets that they speak of."""

import json
from pathlib import Path

import pytest

from venues.okx.facts import read_markets

FOLDER = Path(__file__).resolve().parents[4].parent / "shared" / "fixtures" / "okx"


def text(name):
    if not FOLDER.exists():
        pytest.skip("../shared with the recorded payloads is missing", allow_module_level=True)
    return (FOLDER / name).read_text()


def fixture(name):
    return json.loads(text(name))


def lines(name):
    return text(name).splitlines()


def instruments():
    """Rows of every recorded market; those known by part are filled up from the next of kin, as SOURCES.md says."""
    recorded = fixture("markets.json")
    swaps, spots = recorded["swap_response"]["data"], recorded["spot_response"]["data"]
    docs = recorded["docs_example"]["data"][0]
    btc = swaps[1]
    kin = [
        btc | recorded["swap_sol_usdt_partial_record"] | {"uly": "SOL-USDT", "instFamily": "SOL-USDT", "instIdCode": 1},
        *(
            btc
            | {"instId": f"{coin}-USDT-SWAP", "uly": f"{coin}-USDT", "ctValCcy": coin, "ctVal": size, "tickSz": tick}
            for coin, size, tick in [
                ("XRP", "100", "0.0001"),
                ("DOGE", "1000", "0.00001"),
                ("ADA", "100", "0.0001"),
                ("LTC", "1", "0.01"),
                ("BCH", "0.1", "0.01"),
            ]
        ),
        recorded["spot_sol_usdt_record"],
        docs | {"instId": "ETH-USDT", "baseCcy": "ETH", "tickSz": "0.01", "lotSz": "0.000001", "instIdCode": None},
    ]
    return [*swaps, *spots, docs, *kin]


def answer(rows, code="0"):
    return json.dumps({"code": code, "msg": "", "data": rows}).encode()


def markets():
    return {symbol: listed.facts for symbol, listed in read_markets(answer(instruments())).items()}
