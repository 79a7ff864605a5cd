"""What every simulated venue's front needs: who listens to which stream, and what is due when."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from venues.simulation.app import Peer

TICK_MS: Final = 20
"""
What the simulators do of their own accord they do at multiples of this, in Unix time. A thousand of them in one process
then wake it fifty times a second and not thousands of times, and waking is most of what an idle one costs.
"""


def at_tick(now_ms: int, ms: int) -> int:
    """``ms`` from now, at a tick; always later than now."""
    return now_ms - now_ms % TICK_MS + max(1, round(ms / TICK_MS)) * TICK_MS


class Subscriber:
    """One stream connection and the stream names it asked for, in order."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.streams: dict[str, None] = {}


class Subscribers:
    """All open stream connections of a venue."""

    def __init__(self) -> None:
        self._all: list[Subscriber] = []

    def __iter__(self) -> Iterator[Subscriber]:
        return iter(self._all)

    def add(self, peer: Peer) -> Subscriber:
        subscriber = Subscriber(peer)
        self._all.append(subscriber)
        return subscriber

    def of(self, peer: Peer) -> Subscriber | None:
        """The open connection of a peer; None once it is closed."""
        return next((each for each in self._all if each.peer is peer), None)

    def remove(self, peer: Peer) -> None:
        self._all = [each for each in self._all if each.peer is not peer]

    def wanted(self, stream: str) -> bool:
        for each in self._all:  # noqa: SIM110 - asked at every change of a book: a generator takes twice as long
            if stream in each.streams:
                return True
        return False

    def any_stream(self, concerned: Callable[[str], bool]) -> bool:
        return any(concerned(stream) for each in self._all for stream in each.streams)

    def send(self, stream: str, text: str) -> None:
        """Send ``text`` to everyone who listens to ``stream``."""
        for each in self._all:
            if stream in each.streams:
                each.peer.send(text)


class Agenda:
    """Things to do at a time, Unix milliseconds; those of one time in the order in which they were set."""

    def __init__(self) -> None:
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    @property
    def next_ms(self) -> int | None:
        return self._due[0][0] if self._due else None

    def at(self, due_ms: int, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (due_ms, self._count, action))
        self._count += 1

    def run(self, now_ms: int) -> None:
        """Do what is due by now; what that sets for now or earlier is done in the next run."""
        if not self._due or self._due[0][0] > now_ms:
            return
        due = []
        while self._due and self._due[0][0] <= now_ms:
            due.append(heapq.heappop(self._due)[2])
        for action in due:
            action()


def json_bytes(value: Any) -> bytes:
    """JSON with keys in alphabetical order; a number that was kept as its text is echoed as that text."""
    return msgspec.json.encode(value, order="sorted", enc_hook=str)


def json_text(value: Mapping[str, Any]) -> str:
    return json_bytes(value).decode()
