"""
``markets.json``: what each simulator lists. ``scripts/draw_markets.py`` draws it from what they send over the wire.

Venue → ``perp`` or ``spot`` → coin → one row of decimal texts. ``lot`` divides every size. Below ``least`` (base units)
or ``least_usd`` an order is refused at any price the simulator may show; from ``enough`` or ``enough_usd`` on none is
too small. In between the price of the moment decides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

Row = Mapping[str, str]


@cache
def load_markets() -> Mapping[str, Mapping[str, Mapping[str, Row]]]:
    """The whole table, shared: read it, do not change it. A venue whose simulator is not built yet has no entry."""
    found: dict[str, Any] = json.loads(files("schemas").joinpath("markets.json").read_bytes())
    del found["note"]
    return found
