"""
A wire that reaches simulators in the same process, without sockets: for virtual time.

Base URLs are ``memory://<venue>``, with any path behind it. A request travels for a few milliseconds of the clock;
stream messages arrive at once, so a fill may be known before the answer to its placement.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from urllib.parse import urlsplit

import anyio

from core.chance import Chance
from core.clock import Clock
from venues.dialect import HttpCall, HttpReply
from venues.simulation.app import Reply, Request, VenueApp
from venues.simulation.faults import Faults
from venues.simulation.gate import Dropped, FaultGate
from venues.simulation.gated import GatedStream
from venues.wire import Broken, NotSent


class MemoryWire:
    """
    ``venues.wire.Wire`` to the simulators in ``apps``, by venue. :meth:`drive` must run beside it.

    Args:
        apps: A simulator without a gate gets one without faults.
        clock: For travel times. Time limits run on the event loop.
        chance: For travel times; the same seed gives the same ones.
        latency_ms: Shortest and longest time that a request and its answer travel, both together.
    """

    def __init__(
        self,
        apps: Mapping[str, FaultGate | VenueApp],
        clock: Clock,
        chance: Chance | None = None,
        *,
        latency_ms: tuple[float, float] = (1.0, 5.0),
    ) -> None:
        self.gates: Mapping[str, FaultGate] = {
            venue: app if isinstance(app, FaultGate) else FaultGate(app, Faults(), clock) for venue, app in apps.items()
        }
        self.down: set[str] = set()
        """Venues that cannot be reached now; open streams stay as they are (``gate.disconnect`` ends them)."""
        self.clock = clock
        self._chance = chance or Chance("memory wire")
        self._latency_ms = latency_ms
        self._links: list[MemoryLink] = []
        self._closed = False

    async def drive(self) -> None:
        """Advance all simulators whenever something is due, until cancelled."""
        async with anyio.create_task_group() as drivers:
            for gate in self.gates.values():
                drivers.start_soon(gate.drive)

    async def request(self, base_url: str, call: HttpCall, timeout_secs: float) -> HttpReply:
        """Raises NotSent when the venue is down, Broken when the answer is lost or later than ``timeout_secs``."""
        gate = self._reach(base_url)
        path, _, query = (urlsplit(base_url).path.rstrip("/") + call.path).partition("?")
        headers = {name.lower(): value for name, value in call.headers}
        answer: Reply | Dropped = Dropped(f"no answer within {timeout_secs} s")
        with anyio.move_on_after(timeout_secs):
            await self.travel()
            reply = await gate.http(Request(call.method, path, query, headers, call.body))
            await self.travel()
            answer = reply
        if isinstance(answer, Dropped):
            raise Broken(answer.why)
        return HttpReply(answer.status, answer.body, {name.lower(): value for name, value in answer.headers.items()})

    async def connect(self, url: str, timeout_secs: float) -> MemoryLink:
        """Raises NotSent when the venue is down, Broken when ``timeout_secs`` is shorter than the way there."""
        gate = self._reach(url)
        with anyio.move_on_after(timeout_secs):
            await self.travel()
            parts = urlsplit(url)
            link = MemoryLink(self, gate, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
            self._links.append(link)
            return link
        raise Broken(f"no stream within {timeout_secs} s")

    async def aclose(self) -> None:
        self._closed = True
        for link in list(self._links):
            await link.close()

    async def travel(self) -> None:
        """Wait for one way of the latency."""
        await self.clock.sleep(self._chance.uniform(*self._latency_ms) / 2000)

    def forget(self, link: MemoryLink) -> None:
        """``link`` has ended."""
        if link in self._links:
            self._links.remove(link)

    def _reach(self, url: str) -> FaultGate:
        venue = urlsplit(url).hostname or ""
        if self._closed:
            raise NotSent("the wire is closed")
        if venue not in self.gates or venue in self.down:
            raise NotSent(f"no connection to {venue or url}")
        return self.gates[venue]


class MemoryLink:
    """The client's end of a stream (``venues.wire.Link``)."""

    def __init__(self, wire: MemoryWire, gate: FaultGate, path: str) -> None:
        self._wire = wire
        self._inbox: deque[str | bytes] = deque()
        self._stirred = asyncio.Event()
        self._over = asyncio.Event()
        self._why = ""
        self._stream: GatedStream = gate.ws_open(_Outlet(self), path, {})

    async def send(self, text: str) -> None:
        await self._wire.clock.sleep(0)
        if self._over.is_set():
            raise Broken(self._why)
        self._stream.text(text)

    async def receive(self) -> str | bytes:
        while not self._inbox:
            if self._over.is_set():
                raise Broken(self._why)
            self._stirred.clear()
            await self._stirred.wait()
        return self._inbox.popleft()

    async def ping(self) -> None:
        if self._stream.silent:
            await self._over.wait()
        else:
            await self._wire.travel()
        if self._over.is_set():
            raise Broken(self._why)

    async def close(self) -> None:
        self.end("the stream was closed by this side")
        self._stream.closed()

    def deliver(self, text: str | bytes) -> None:
        """A message has arrived."""
        self._inbox.append(text)
        self._stirred.set()

    def end(self, why: str) -> None:
        """No more messages; those that have arrived can still be received."""
        if not self._over.is_set():
            self._why = why
            self._over.set()
            self._stirred.set()
            self._wire.forget(self)


class _Outlet:
    """The venue's end of a link."""

    def __init__(self, link: MemoryLink) -> None:
        self._link = link

    def send(self, text: str | bytes) -> None:
        self._link.deliver(text)

    def close(self, code: int = 1000, reason: str = "") -> None:
        self._link.end(f"the venue closed the stream: {code} {reason}".rstrip())
