"""The recorded payloads, and markets to read them with."""

import json
from pathlib import Path

import pytest

from venues.hyperliquid import facts

FOLDER = Path(__file__).resolve().parents[4].parent / "shared" / "fixtures" / "hyperliquid"
if not FOLDER.exists():
    pytest.skip("../shared with the recorded payloads is missing", allow_module_level=True)

# Coins of the recordings whose own market rows were not recorded: size decimals for these tests alone.
OTHERS = {"HYPE": 2, "TON": 1, "ORDI": 2, "GRIFFAIN": 0, "INJ": 1, "PURR": 0}


def load(name):
    return json.loads((FOLDER / name).read_text())


def lines(name):
    return (FOLDER / name).read_text().splitlines()


def body(value):
    return json.dumps(value).encode()


def markets():
    """Perps of 2023 and some more, PURR and USOL against USDC."""
    universe = load("markets.json")["meta_2023"]["response"]["universe"]
    universe += [{"name": name, "szDecimals": size, "maxLeverage": 3} for name, size in OTHERS.items()]
    spot = load("markets.json")["spotMetaAndAssetCtxs_shape"]["response"][0]
    spot["tokens"].append({"name": "USOL", "szDecimals": 3, "index": 254})
    spot["universe"].append({"name": "@156", "tokens": [254, 0], "index": 156})
    return facts.read_markets(body({"universe": universe}), body(spot)).markets
