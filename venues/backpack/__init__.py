"""Backpack Exchange: spot ``SOL_USDC`` and perp ``SOL_USDC_PERP``. README.md beside this file has the facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from venues.backpack.facts import LIVE, canonical, venue_symbol
from venues.errors import LocalRuleError

if TYPE_CHECKING:
    from venues.dialect import Dialect

__all__ = ["CREDENTIALS", "canonical", "endpoints", "make_dialect", "venue_symbol"]

CREDENTIALS: Final[Mapping[str, str]] = {"api_key": "BACKPACK_API_KEY", "api_secret": "BACKPACK_API_SECRET"}


def make_dialect(credentials: Mapping[str, str], endpoints: Mapping[str, str]) -> Dialect:
    """One account's dialect. Raises LocalRuleError(AUTH) for keys of the wrong form."""
    from venues.backpack.dialect import BackpackDialect
    from venues.backpack.sign import Signer

    signer = Signer(credentials.get("api_key", ""), credentials.get("api_secret", ""))
    return BackpackDialect(signer, endpoints)


def endpoints(on: str, sim: Mapping[str, Any] | None = None) -> Mapping[str, str]:
    """``rest`` and ``ws`` of ``sim`` or ``live``. Raises LocalRuleError(VENUE_UNAVAILABLE)."""
    if on == "live":
        return LIVE
    if on == "testnet":
        raise LocalRuleError("VENUE_UNAVAILABLE", "Backpack has no testnet: play on sim or on live.")
    if on == "sim" and sim is not None:
        return {"rest": str(sim["rest"]), "ws": str(sim["ws"])}
    raise LocalRuleError("VENUE_UNAVAILABLE", f"No Backpack simulator is known to play on ({on}).")
