"""Lighter: perps ``SOL``, spot ``ETH/USDC``. README.md beside this file has the facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from venues.errors import LocalRuleError
from venues.lighter.facts import LIVE, MAINNET_CHAIN, TESTNET, TESTNET_CHAIN, canonical, venue_symbol

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
    from venues.lighter.dialect import LighterDialect
    from venues.lighter.sign import Signer

    account = _number(credentials, "account_index", (1 << 48) - 1)
    key = _number(credentials, "api_key_index", 254)
    chain = TESTNET_CHAIN if endpoints["rest"] == TESTNET["rest"] else MAINNET_CHAIN
    if credentials.get("chain_id"):
        chain = _number(credentials, "chain_id", (1 << 32) - 1)
    return LighterDialect(Signer(credentials.get("private_key", ""), account, key, chain), endpoints)


def _number(credentials: Mapping[str, str], name: str, high: int) -> int:
    text = credentials.get(name, "").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= high):
        raise LocalRuleError("AUTH", f"{name} of Lighter must be a whole number from 0 to {high}.")
    return int(text)


def endpoints(on: str, sim: Mapping[str, Any] | None = None) -> Mapping[str, str]:
    """``rest`` and ``ws`` of ``sim``, ``testnet`` or ``live``. Raises LocalRuleError(VENUE_UNAVAILABLE)."""
    if on in ("live", "testnet"):
        return LIVE if on == "live" else TESTNET
    if on == "sim" and sim is not None:
        return {"rest": str(sim["rest"]), "ws": str(sim["ws"])}
    raise LocalRuleError("VENUE_UNAVAILABLE", f"No Lighter simulator is known to play on ({on}).")
