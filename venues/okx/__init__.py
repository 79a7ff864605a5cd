"""OKX: spot ``SOL-USDT`` and perp ``SOL-USDT-SWAP``. README.md beside this file has the facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from venues.errors import LocalRuleError
from venues.okx.facts import LIVE, TESTNET, canonical, venue_symbol

if TYPE_CHECKING:
    from venues.dialect import Dialect

__all__ = ["CREDENTIALS", "canonical", "endpoints", "make_dialect", "venue_symbol"]

CREDENTIALS: Final[Mapping[str, str]] = {
    "api_key": "OKX_API_KEY",
    "api_secret": "OKX_API_SECRET",
    "passphrase": "OKX_PASSPHRASE",
}


def make_dialect(credentials: Mapping[str, str], endpoints: Mapping[str, str]) -> Dialect:
    """One account's dialect. Raises LocalRuleError(AUTH) for credentials of the wrong form."""
    from venues.okx.dialect import OkxDialect
    from venues.okx.sign import Signer

    parts = (credentials.get(name, "") for name in CREDENTIALS)
    return OkxDialect(Signer(*parts, demo=endpoints.get("ws") == TESTNET["ws"]))


def endpoints(on: str, sim: Mapping[str, Any] | None = None) -> Mapping[str, str]:
    """``rest`` and ``ws`` of ``sim``, ``testnet`` (demo trading) or ``live``. Raises LocalRuleError."""
    if on == "live":
        return LIVE
    if on == "testnet":
        return TESTNET
    if on == "sim" and sim is not None:
        return {"rest": str(sim["rest"]), "ws": str(sim["ws"])}
    raise LocalRuleError("VENUE_UNAVAILABLE", f"No OKX simulator is known to play on ({on}).")
