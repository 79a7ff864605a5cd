"""
What a venue's simulator is to the shells that carry it: sockets (:mod:`venues.simulation.server`) or memory
(:mod:`venues.simulation.memory`). A simulator is written from the venue's sheet and does no I/O of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec


class Request(msgspec.Struct, frozen=True):
    """An HTTP request as it came off the wire. Header names are lower-case; ``query`` is raw, without ``?``."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


class Reply(msgspec.Struct, frozen=True):
    """An HTTP answer. ``body`` empty is sent as such."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


class Peer(Protocol):
    """The simulator's end of one stream connection."""

    def send(self, text: str) -> None:
        """Queue a message for the client; never blocks, never raises."""
        ...

    def close(self, code: int = 1000, reason: str = "") -> None: ...


class VenueApp(Protocol):
    """One simulated exchange with one throwaway account."""

    name: str

    def http(self, request: Request) -> Reply:
        """Answer a request; events it causes go out on the streams."""
        ...

    def ws_open(self, peer: Peer, path: str, headers: Mapping[str, str]) -> None: ...
    def ws_text(self, peer: Peer, text: str) -> None: ...
    def ws_closed(self, peer: Peer) -> None: ...

    def advance(self) -> None:
        """Do everything that is due by now: market moves, delayed effects, pings."""
        ...

    def next_due_ms(self) -> int:
        """Unix milliseconds of the next thing that is due."""
        ...

    def http_kind(self, request: Request) -> str:
        """
        What a fault rule matches: ``place``, ``cancel``, ``cancel_all``, ``order``, ``open_orders``, ``history``,
        ``fills``, ``positions``, ``margin``, ``balances``, ``book``, ``time``, ``markets`` or ``other``.
        """
        ...

    def text_kind(self, text: str) -> str:
        """As ``http_kind``, for a message that a client sent on a stream (``other`` for logins and subscriptions)."""
        ...

    def message_kind(self, text: str) -> str:
        """``order``, ``fill``, ``position``, ``balance``, ``book`` or ``other`` for an outgoing stream message."""
        ...

    def bootstrap(self, rest: str, ws: str) -> dict[str, Any]:
        """This venue's part of the JSON line of ``runner sim serve --json``."""
        ...
