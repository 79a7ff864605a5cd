"""Lighter: perps ``SOL``, spot ``ETH/USDC``. README.md beside this file has the facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from venues.errors import LocalRuleError
from venues.lighter.facts import LIVE, TESTNET, canonical, venue_symbol

if TYPE_CHECKING:
    from venues.dialect import Dialect

__all__ = ["CREDENTIALS", "canonical", "endpoints", "make_dialect", "venue_symbol"]

CREDENTIALS: Final[Mapping[str, str]] = {
    "account_index": "LIGHTER_ACCOUNT_INDEX",
    "api_key_index": "LIGHTER_API_KEY_INDEX",
    "private_key": "LIGHTER_PRIVATE_KEY",
}


def make_dialect(credentials: Mapping[str, str], endpoints: Mapping[str, str]) -> Dialect:
    """One account's dialect; ``chain_id`` may stand among the credentials. Raises LocalRuleError(AUTH)."""
    from venues.lighter.dialect import LighterDialect, signer_of

    return LighterDialect(signer_of(credentials, endpoints), endpoints)


def endpoints(on: str, sim: Mapping[str, Any] | None = None) -> Mapping[str, str]:
    """``rest`` and ``ws`` of ``sim``, ``testnet`` or ``live``. Raises LocalRuleError(VENUE_UNAVAILABLE)."""
    if on in ("live", "testnet"):
        return LIVE if on == "live" else TESTNET
    if on == "sim" and sim is not None:
        return {"rest": str(sim["rest"]), "ws": str(sim["ws"])}
    raise LocalRuleError("VENUE_UNAVAILABLE", f"No Lighter simulator is known to play on ({on}).")
