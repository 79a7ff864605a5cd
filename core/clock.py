"""
Time, handed in. This is the only module that reads the machine's clock.

Three clocks keep one promise (:class:`Clock`):

* :class:`SystemClock` - the machine's.
* :class:`VirtualClock` - the time of a :class:`VirtualLoop`, which jumps to the next timer as soon as nothing
  is ready to run. anyio, asyncio and our own waits all follow it, so a play of minutes takes milliseconds.
* :class:`PacedClock` - another clock with its waits shortened; ``runner play --speed N`` uses it. Signatures and
  timestamps never go through it.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeVar

import anyio

T = TypeVar("T")

# 2026-01-05T00:00:00Z: where virtual time starts, so that client ids and signatures look like real ones.
VIRTUAL_EPOCH_MS: Final = 1_767_571_200_000


class Clock(Protocol):
    """What everything above asks of time."""

    speed: float
    """Seconds of this clock in one real second."""

    def now_ms(self) -> int:
        """Unix milliseconds."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back. Differences of it are durations."""
        ...

    async def sleep(self, secs: float) -> None:
        """Wait ``secs`` seconds of this clock; a value ≤ 0 only yields."""
        ...


class SystemClock:
    """The machine's own time."""

    speed = 1.0

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()  # noqa: TID251 - the one place

    async def sleep(self, secs: float) -> None:
        await asyncio.sleep(max(0.0, secs))


class VirtualClock:
    """The time of the running :class:`VirtualLoop`."""

    speed = 1.0

    def __init__(self, epoch_ms: int = VIRTUAL_EPOCH_MS) -> None:
        self._epoch_ms = epoch_ms

    def now_ms(self) -> int:
        return self._epoch_ms + round(self.monotonic() * 1000)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, secs: float) -> None:
        await asyncio.sleep(max(0.0, secs))


class PacedClock:
    """
    ``clock`` with waits made ``speed`` times shorter.

    ``monotonic`` runs ``speed`` times faster, so a timeout of 120 s measured on it passes in 120 / speed real
    seconds. ``now_ms`` is untouched: what is signed or written down is real time.
    """

    def __init__(self, clock: Clock, speed: float) -> None:
        if not speed > 0:
            raise ValueError(f"speed must be above 0, got {speed}")
        self._clock = clock
        self.speed = speed

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def monotonic(self) -> float:
        return self._clock.monotonic() * self.speed

    async def sleep(self, secs: float) -> None:
        await self._clock.sleep(secs / self.speed)


class _JumpingSelector(selectors.BaseSelector):
    """A selector that never waits: asked to, it moves the loop's time forward instead."""

    def __init__(self) -> None:
        self.now = 0.0
        self._keys: dict[int, selectors.SelectorKey] = {}

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("virtual time stands still: every task waits and no timer is set")
        if timeout > 0:
            self.now += timeout
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        # The loop registers its self-pipe here; real sockets are not for virtual time.
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = selectors.SelectorKey(fileobj, fd, events, data)
        self._keys[fd] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        return self._keys.pop(fd)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time: same order of events on every run, no waiting, no sockets, no threads."""

    def __init__(self) -> None:
        self._jumper = _JumpingSelector()
        super().__init__(self._jumper)
        # Timers due within this are run together; the default is the machine's clock resolution.
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._jumper.now


async def within(clock: Clock, secs: float, wait: Callable[[], Awaitable[object]]) -> bool:
    """
    Wait for ``wait()``, at most ``secs`` seconds of ``clock``. True when it ended in time.

    An exception of ``wait`` comes through as itself.
    """
    # All waits run on the event loop's time, which every clock here follows at its speed.
    with anyio.move_on_after(secs / clock.speed):
        await wait()
        return True
    return False


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` to its end on a fresh :class:`VirtualLoop`."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def iso_utc(ms: int) -> str:
    """Unix milliseconds as ``2026-01-05T00:00:00.000Z``."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"
