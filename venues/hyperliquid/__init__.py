"""Hyperliquid: perps (``SOL``) and spot pairs (``@156`` is USOL/USDC). README.md beside this file has the facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from venues.errors import LocalRuleError
from venues.hyperliquid.facts import LIVE, TESTNET, canonical, venue_symbol

if TYPE_CHECKING:
    from venues.dialect import Dialect

__all__ = ["CREDENTIALS", "canonical", "endpoints", "make_dialect", "venue_symbol"]

CREDENTIALS: Final = {"private_key": "HYPERLIQUID_PRIVATE_KEY", "address": "HYPERLIQUID_ADDRESS"}


def make_dialect(credentials: Mapping[str, str], endpoints: Mapping[str, str]) -> Dialect:
    """One account's dialect; the key may be an agent's. Raises LocalRuleError(AUTH) for keys of the wrong form."""
    from venues.hyperliquid.dialect import HyperliquidDialect
    from venues.hyperliquid.sign import Signer

    # The source is part of what is signed: anything but the real main network counts as a test network.
    signer = Signer(credentials.get("private_key", ""), mainnet=endpoints["rest"] == LIVE["rest"])
    return HyperliquidDialect(signer, credentials.get("address", ""), endpoints)


def endpoints(on: str, sim: Mapping[str, Any] | None = None) -> Mapping[str, str]:
    """``rest`` and ``ws`` of ``sim``, ``testnet`` or ``live``. Raises LocalRuleError(VENUE_UNAVAILABLE)."""
    if on == "live":
        return LIVE
    if on == "testnet":
        return TESTNET
    if on == "sim" and sim is not None:
        return {"rest": str(sim["rest"]), "ws": str(sim["ws"])}
    raise LocalRuleError("VENUE_UNAVAILABLE", f"No Hyperliquid simulator is known to play on ({on}).")
