"""
The exchanges. One room each, all with the same files; :data:`VENUES` names them and :func:`open_room` opens one.

Importing this package imports no room: a play on one exchange never pays for the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

if TYPE_CHECKING:
    from venues.dialect import Dialect

VENUES: Final[Mapping[str, str]] = {
    "backpack": "venues.backpack",
    "binance": "venues.binance",
    "hyperliquid": "venues.hyperliquid",
    "lighter": "venues.lighter",
    "okx": "venues.okx",
}
"""Venue name → module of its room."""


class Room(Protocol):
    """What the front door of a room offers: a module with these names."""

    @property
    def CREDENTIALS(self) -> Mapping[str, str]:
        """Credential key → the environment variable that holds it."""
        ...

    def make_dialect(self, credentials: Mapping[str, str], endpoints: Mapping[str, str]) -> Dialect:
        """
        One account's dialect.

        Raises:
            LocalRuleError: AUTH - a credential is missing or has the wrong form.
        """
        ...

    def endpoints(self, on: str, sim: Mapping[str, Any] | None = None) -> Mapping[str, str]:
        """
        Where ``on`` (``sim``, ``testnet`` or ``live``) is reached: ``rest`` and ``ws``, without a closing slash.

        ``sim`` is the venue's object in the JSON line of ``runner sim serve --json``.

        Raises:
            LocalRuleError: VENUE_UNAVAILABLE - the venue has no such place.
        """
        ...

    def venue_symbol(self, base: str, kind: str) -> str:
        """The venue's own name of a canonical coin and market kind, ``perp`` or ``spot``."""
        ...

    def canonical(self, symbol: str) -> tuple[str, str] | None:
        """``(base, kind)`` of a venue's own name; None for a market that we do not trade."""
        ...


def open_room(name: str) -> Room:
    """
    The room of a venue.

    Raises:
        LookupError: no such venue; the text lists those there are.
    """
    module = VENUES.get(name)
    if module is None:
        raise LookupError(f"no venue {name!r}; there are: {', '.join(VENUES)}")
    return cast("Room", import_module(module))
