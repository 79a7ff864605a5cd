"""Binance: USDⓈ-M perps ``SOLUSDT_PERP`` and spot ``SOLUSDT``. README.md beside this file has the facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from venues.binance.facts import DEMO, LIVE, canonical, venue_symbol
from venues.errors import LocalRuleError

if TYPE_CHECKING:
    from venues.dialect import Dialect

__all__ = ["CREDENTIALS", "canonical", "endpoints", "make_dialect", "venue_symbol"]

CREDENTIALS: Final[Mapping[str, str]] = {"api_key": "BINANCE_API_KEY", "api_secret": "BINANCE_API_SECRET"}


def make_dialect(credentials: Mapping[str, str], endpoints: Mapping[str, str]) -> Dialect:
    """One account's dialect. Raises LocalRuleError(AUTH) for keys of the wrong form."""
    from venues.binance.dialect import BinanceDialect
    from venues.binance.sign import Signer

    return BinanceDialect(Signer(credentials.get("api_key", ""), credentials.get("api_secret", "")), endpoints)


def endpoints(on: str, sim: Mapping[str, Any] | None = None) -> Mapping[str, str]:
    """The six places of ``sim``, ``testnet`` (demo trading) or ``live``. Raises LocalRuleError(VENUE_UNAVAILABLE)."""
    if on == "live":
        return LIVE
    if on == "testnet":
        return DEMO
    if on == "sim" and sim is not None:
        rest, ws = str(sim["rest"]), str(sim["ws"])
        streams = {"fstream": ws, "stream": ws, "ws_fapi": f"{ws}/ws-fapi/v1", "ws_api": f"{ws}/ws-api/v3"}
        return {"fapi": rest, "api": rest, **streams}
    raise LocalRuleError("VENUE_UNAVAILABLE", f"No Binance simulator is known to play on ({on}).")
