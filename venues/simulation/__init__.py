"""Simulated exchanges: one matching engine, one shell, and a front in each venue's room."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, cast

from venues.simulation.app import VenueApp

__all__ = ["SIMULATORS", "open_simulator"]

SIMULATORS: Final[Mapping[str, str]] = {
    "backpack": "venues.backpack.simulator:BackpackSimulator",
    "binance": "venues.binance.simulator:BinanceSimulator",
    "hyperliquid": "venues.hyperliquid.simulator:HyperliquidSimulator",
    "lighter": "venues.lighter.simulator:LighterSimulator",
    "okx": "venues.okx.simulator:OkxSimulator",
}
"""Where each venue's simulator is, as ``module:class``; imported only when opened."""


def open_simulator(name: str, **options: Any) -> VenueApp:
    """
    A fresh simulator of a venue.

    Args:
        options: What its constructor takes: ``clock``, ``chance``, ``faults``, ``speed`` and the venue's own switches.

    Raises:
        KeyError: no simulator of that name.
    """
    module, _, kind = SIMULATORS[name].partition(":")
    return cast(VenueApp, getattr(import_module(module), kind)(**options))
