"""
A client that can die between any two instructions, while the exchange it trades on lives on.

``kill -9`` runs no ``finally``, cancels nothing and flushes nothing. So a process here is everything that runs with
its own :data:`LIFE` in the context: when it dies, the loop drops every callback and timer of it, its connections are
gone, and only what stood on its disk at that instant is left to the next process. A request that had left travels on.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import shutil
import sqlite3
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from core.chance import Chance
from core.clock import VirtualClock, VirtualLoop
from execution.journal import Journal
from venues.dialect import HttpCall, HttpReply
from venues.simulation.gate import FaultGate
from venues.simulation.memory import MemoryLink, MemoryWire

T = TypeVar("T")

Kind = Literal["write", "request", "message", "moment"]

LOCK_SECS: Final = 5.0
"""How long SQLite waits for a lock (``Journal``'s timeout); the whole process stands still meanwhile."""
_FOR_EVER: Final = float("inf")


class MortalLoop(VirtualLoop):
    """Virtual time for several processes, some of them dead."""

    def __init__(self) -> None:
        super().__init__()
        self._deaths = False
        self._parked: deque[asyncio.Handle] = deque()
        self._held: set[asyncio.Task[Any]] = set()
        self.set_exception_handler(lambda *_: None)

    def pass_time(self, secs: float) -> None:
        """Time passes while nothing at all runs."""
        self._jumper.now += secs

    def kill(self) -> None:
        """Nothing of a process that is dead by now runs any more, but for the step under way up to its next await."""
        self._deaths = True
        # Kept, or the collector of garbage would run their cleanup.
        self._held |= asyncio.all_tasks(self)
        for handle in [*self._ready, *self._scheduled]:  # type: ignore[attr-defined]
            if not handle.cancelled() and _dead(handle._context):
                if not isinstance(handle, asyncio.TimerHandle):
                    self._parked.append(asyncio.Handle(handle._callback, handle._args, self, handle._context))
                handle.cancel()

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        if self._deaths and _dead(context):
            handle = asyncio.Handle(callback, args, self, context)
            self._parked.append(handle)
            return handle
        return super().call_soon(callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        if self._deaths and _dead(context):
            return asyncio.TimerHandle(when, callback, args, self, context)
        return super().call_at(when, callback, *args, context=context)

    def bury(self) -> None:
        """When all is told: end what is left of the dead, so that no task is lost. Nothing reaches anybody now."""
        self._deaths = False
        self._ready.extend(handle for handle in self._parked if not handle.cancelled())  # type: ignore[attr-defined]
        self._parked.clear()
        for _ in range(1_000):
            left = {task for task in self._held | asyncio.all_tasks(self) if not task.done()}
            if not left:
                return
            # A task that has not begun cannot be ended without a complaint about what it would have awaited.
            self.run_until_complete(_a_moment())
            for task in left:
                task.cancel()
        raise AssertionError("tasks of a dead process cannot be ended")


async def _a_moment() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


@dataclass(frozen=True)
class Doom:
    """The moment of a death: before or after the ``nth`` of its kind, or ``nth`` milliseconds after the start."""

    kind: Kind
    nth: int
    after: bool = False


@dataclass(frozen=True)
class Disk:
    """Spans of virtual seconds since the start of a process in which its disk is full, or its journal locked."""

    full: tuple[float, float] = (_FOR_EVER, _FOR_EVER)
    locked: tuple[float, float] = (_FOR_EVER, _FOR_EVER)


@dataclass(eq=False)
class Life:
    """One process of the client, from its start to its end or its death."""

    number: int
    folder: Path
    """Its disk."""
    heir: Path
    """Where the disk as it was at the moment of death is left."""
    loop: MortalLoop
    doom: Doom | None = None
    disk: Disk = Disk()
    dead: bool = False
    died_ms: int = 0
    fired: Counter[str] = field(default_factory=Counter)
    """``killed``, ``disk_full``, ``locked``: how often each happened to it."""
    counts: Counter[str] = field(default_factory=Counter)
    lines_refused: int = 0
    """Lines of logs and timelines that the full disk did not take."""

    def __post_init__(self) -> None:
        self._world = contextvars.copy_context()
        self._over = asyncio.Event()
        self._links: list[MemoryLink] = []
        self._began = self.loop.time()

    async def run(self, part: Callable[[Life], Awaitable[T]]) -> T | None:
        """Let the process run ``part``, to its end (then its result) or to its death (None)."""
        context = contextvars.copy_context()
        context.run(LIFE.set, self)
        timer = None
        if self.doom is not None and self.doom.kind == "moment":
            timer = self.loop.call_later(self.doom.nth / 1000, self.die)
        task = self.loop.create_task(part(self), context=context)  # type: ignore[arg-type]
        task.add_done_callback(lambda _: self._over.set())
        await self._over.wait()
        if timer is not None:
            timer.cancel()
        return None if self.dead else task.result()

    def die(self) -> None:
        if self.dead:
            return
        self.dead = True
        self.died_ms = VirtualClock().now_ms()
        self.fired["killed"] += 1
        shutil.copytree(self.folder, self.heir, ignore=shutil.ignore_patterns("*-shm"))
        self.loop.kill()
        for link in self._links:
            self.loop.call_soon(link._stream.closed, context=self._world)
        self._over.set()

    def before(self, kind: Kind) -> None:
        self.counts[kind] += 1
        self._meet(kind, False)

    def after(self, kind: Kind) -> None:
        self._meet(kind, True)

    def _meet(self, kind: Kind, after: bool) -> None:
        if self.doom == Doom(kind, self.counts[kind], after):
            self.die()

    async def alive(self) -> None:
        """The dead go no further."""
        if self.dead:
            await self.loop.create_future()

    # -- what it reaches

    def carry(self, request: Awaitable[T]) -> asyncio.Future[T]:
        """A request that has left does not come back, whatever happens to its sender."""
        task = self.loop.create_task(request, context=self._world)  # type: ignore[arg-type]
        return asyncio.shield(task)

    def listen(self, link: MemoryLink) -> None:
        """Count what arrives and leaves on a stream; its connection ends with the process."""
        deliver, send = link.deliver, link.send
        self._links.append(link)

        def delivered(text: str) -> None:
            if not self.dead:
                self.before("message")
                deliver(text)
                self.after("message")

        async def sent(text: str) -> None:
            await self.alive()
            self.before("request")
            await self.alive()
            await send(text)
            self.after("request")

        link.deliver = delivered  # type: ignore[method-assign]
        link.send = sent  # type: ignore[method-assign]

    # -- its disk

    def full(self) -> bool:
        begin, end = self.disk.full
        return begin <= self.loop.time() - self._began < end

    def write(self) -> None:
        """The journal is about to write. Raises what SQLite raises."""
        self.before("write")
        if self.full():
            self.fired["disk_full"] += 1
            raise sqlite3.OperationalError("database or disk is full")
        begin, end = self.disk.locked
        elapsed = self.loop.time() - self._began
        if begin <= elapsed < end:
            self.fired["locked"] += 1
            self.loop.pass_time(min(end - elapsed, LOCK_SECS))
            if end - elapsed > LOCK_SECS:
                raise sqlite3.OperationalError("database is locked")


LIFE: Final[contextvars.ContextVar[Life | None]] = contextvars.ContextVar("LIFE", default=None)
"""The process that runs; None is the world."""


def _dead(context: contextvars.Context | None) -> bool:
    life = LIFE.get() if context is None else context.get(LIFE, None)
    return life is not None and life.dead


class MortalWire(MemoryWire):
    """The network as one process sees it."""

    def __init__(self, life: Life, gates: Mapping[str, FaultGate], clock: VirtualClock, chance: Chance) -> None:
        super().__init__(gates, clock, chance)
        self._life = life

    async def request(self, base_url: str, call: HttpCall, timeout_secs: float) -> HttpReply:
        life = self._life
        await life.alive()
        life.before("request")
        await life.alive()
        answer = life.carry(super().request(base_url, call, timeout_secs))
        life.after("request")
        return await answer

    async def connect(self, url: str, timeout_secs: float) -> MemoryLink:
        await self._life.alive()
        link = await super().connect(url, timeout_secs)
        self._life.listen(link)
        return link


class MortalJournal(Journal):
    """The journal of the process that opens it: each write may be the last, or be refused."""

    @contextmanager
    def _guard(self, doing: str) -> Iterator[None]:
        life = LIFE.get()
        if life is None or doing == "read":
            with super()._guard(doing):
                yield
            return
        with super()._guard(doing):
            life.write()
            yield
        life.after("write")


class MortalFile:
    """A log or timeline on the disk of a process. A full disk takes the first half of a line, then nothing."""

    def __init__(self, stream: Any, life: Life) -> None:
        self._stream = stream
        self._life = life
        self._cut = False

    def write(self, data: bytes) -> int:
        if not self._life.full():
            self._cut = False
            return int(self._stream.write(data))
        self._life.lines_refused += 1
        if not self._cut:
            self._cut = True
            return int(self._stream.write(data[: len(data) // 2]))
        raise OSError(errno.ENOSPC, "No space left on device")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


_OPEN: Final = Path.open


def mortal_open(path: Path, mode: str = "r", *arguments: Any, **named: Any) -> Any:
    """``Path.open`` that knows whose disk it writes to."""
    stream = _OPEN(path, mode, *arguments, **named)
    life = LIFE.get()
    return stream if life is None or mode != "ab" else MortalFile(stream, life)
