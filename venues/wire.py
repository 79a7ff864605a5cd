"""
The seam between a connector and the outside: HTTP requests and stream connections.

:class:`SocketWire` is the real one (httpx, websockets). ``venues.simulation.memory`` has one that reaches a simulator
in the same process without sockets, for virtual time.
"""

from __future__ import annotations

from typing import Protocol

from venues.dialect import HttpCall, HttpReply


class NotSent(Exception):
    """The request certainly did not leave: no connection could be made."""


class Broken(Exception):
    """The connection failed after bytes may have left, or a stream ended. The outcome is unknown."""


class Link(Protocol):
    """One open stream connection."""

    async def send(self, text: str) -> None:
        """Raises Broken."""
        ...

    async def receive(self) -> str | bytes:
        """The next message. Raises Broken when the stream has ended."""
        ...

    async def ping(self) -> None:
        """Send a Ping and wait for its Pong. Raises Broken. The caller sets the time limit."""
        ...

    async def close(self) -> None: ...


class Wire(Protocol):
    """How a connector reaches its venue."""

    async def request(self, base_url: str, call: HttpCall, timeout_secs: float) -> HttpReply:
        """
        Send one signed request and read the whole answer. Never sends twice, follows no redirect.

        Raises:
            NotSent: nothing left this machine.
            Broken: it may have left (time-out, reset, unreadable answer).
        """
        ...

    async def connect(self, url: str, timeout_secs: float) -> Link:
        """Raises NotSent or Broken."""
        ...

    async def aclose(self) -> None: ...
