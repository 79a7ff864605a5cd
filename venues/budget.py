"""
How many requests may still leave, so that a venue never has to say "too many".

A :class:`Budget` keeps the windows that a room's :class:`~venues.dialect.RateRules` name. Not everybody may use all of
a window: readings stop at 70 %, new orders at 80 % (at half where cancels share it), what proves an end (look-ups, open
orders, positions) at 90 %, cancels at the whole of it. So a cancel never waits behind submits. What the venue itself
counts (response headers) raises our count, and a window whose limit was hit nevertheless is closed for as long as the
venue asks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

from core.clock import Clock
from venues.dialect import Cost, Count, Limit
from venues.interface import RateRecord, RateWindow

SPARE_SECS: Final = 0.5
"""A request may travel this much longer than the one a whole window later, so ours are that much longer."""
PAUSE_SECS: Final = 2.0
"""How long a window stays closed for submits and readings when the venue gave no hint."""
_LEAST_WAIT_SECS: Final = 0.001


class Use(Enum):
    """What a request is for."""

    SUBMIT = "submit"
    READ = "read"
    SETTLE = "settle"
    CANCEL = "cancel"


SHARES: Final[Mapping[Use, int]] = {Use.READ: 70, Use.SETTLE: 90, Use.CANCEL: 100}
"""How much of a window each may fill, in per cent; for new orders the limit itself says it."""
PATIENCE_SECS: Final[Mapping[Use, float]] = {Use.SUBMIT: 5.0, Use.READ: 15.0, Use.SETTLE: 65.0, Use.CANCEL: 12.0}
"""
The longest wait of each. A later submit would rest at a price of long ago; a later proof is as good as any, and within
the longest window known, a minute, there is room for it again.
"""


class Spent(Exception):
    """There is no room soon enough; nothing was sent. ``wait_secs`` is when there would be."""

    def __init__(self, limit: str, wait_secs: float) -> None:
        super().__init__(limit, wait_secs)
        self.limit = limit
        self.wait_secs = wait_secs

    def __str__(self) -> str:
        return f"the rate budget {self.limit!r} has no room for another {self.wait_secs:.1f} s"


class _Window:
    """One limit: what was used of it lately."""

    __slots__ = ("booked", "closed_until", "entries", "hinted", "limit", "peak", "span_secs", "used")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.span_secs = limit.per_secs + SPARE_SECS
        self.entries: deque[tuple[float, int]] = deque()
        self.used = 0
        self.peak = 0
        self.booked = 0
        """All that we ever used."""
        self.closed_until = 0.0
        self.hinted = False

    def forget(self, now: float) -> None:
        entries, old = self.entries, now - self.span_secs
        while entries and entries[0][0] <= old:
            self.used -= entries.popleft()[1]

    def add(self, weight: int, now: float) -> None:
        self.entries.append((now, weight))
        self.used += weight
        if self.used > self.peak:
            self.peak = self.used

    def wait_secs(self, weight: int, use: Use, now: float) -> float:
        """0 when there is room for ``weight`` now."""
        self.forget(now)
        wait = 0.0
        # Without a hint the closure is our own caution, and a cancel is worth a try.
        if self.closed_until > now and (self.hinted or use in (Use.SUBMIT, Use.READ)):
            wait = self.closed_until - now
        excess = self.used + weight - max(1, self.limit.most * SHARES.get(use, self.limit.for_orders) // 100)
        if excess > 0 and self.entries:
            at = now
            for at, freed in self.entries:  # noqa: B007 - where the loop ends is what is wanted
                excess -= freed
                if excess <= 0:
                    break
            # What is too heavy for its share leaves alone, when all that came before it is forgotten.
            wait = max(wait, at + self.span_secs - now, _LEAST_WAIT_SECS)
        return wait


class Taken:
    """What one request took, to set the venue's own count against."""

    __slots__ = ("booked", "costs")

    def __init__(self, costs: Sequence[Cost], booked: Mapping[str, int]) -> None:
        self.costs = costs
        self.booked = booked


class Budget:
    """
    The rate budget of one connector.

    Args:
        limits: See :meth:`allow`.
        clock: Windows and waits run on it; paced as the simulator's own, where one is played on faster than life.
    """

    def __init__(self, limits: Sequence[Limit], clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[str, _Window] = {}
        self._refused = 0
        self._waits = 0
        self._waited_secs = 0.0
        self.allow(limits)

    def allow(self, limits: Sequence[Limit]) -> None:
        """Take these limits; what was used so far still counts. Called again when the venue has told its own."""
        for limit in limits:
            window = self._windows.get(limit.name)
            if window is None:
                self._windows[limit.name] = _Window(limit)
            else:
                window.limit, window.span_secs = limit, limit.per_secs + SPARE_SECS

    async def take(self, use: Use, costs: Sequence[Cost]) -> Taken:
        """
        Wait until there is room in every window, and take it.

        Raises:
            Spent: it would take longer than :data:`PATIENCE_SECS`; nothing was taken.
        """
        clock = self._clock
        now = began = clock.monotonic()
        while True:
            wait, name = 0.0, ""
            for cost in costs:
                needed = self._windows[cost.limit].wait_secs(cost.weight, use, now)
                if needed > wait:
                    wait, name = needed, cost.limit
            if wait <= 0:
                break
            if now - began + wait > PATIENCE_SECS[use]:
                raise Spent(name, wait)
            if now == began:
                self._waits += 1
            await clock.sleep(wait)
            self._waited_secs -= now
            now = clock.monotonic()
            self._waited_secs += now
        booked = {}
        for cost in costs:
            window = self._windows[cost.limit]
            window.add(cost.weight, now)
            window.booked += cost.weight
            booked[cost.limit] = window.booked
        return Taken(costs, booked)

    def correct(self, taken: Taken, counts: Sequence[Count]) -> None:
        """
        Set our counts against the venue's, as its answer told them. Ours only grow by it: a venue that counts by the
        calendar minute forgets earlier than we do.
        """
        now = self._clock.monotonic()
        for count in counts:
            window = self._windows.get(count.limit)
            if window is None:
                continue
            window.forget(now)
            missing = count.more
            if count.used is not None:
                # Others on the same address or account; what left after this request is not in the venue's count.
                since = window.booked - taken.booked.get(count.limit, window.booked)
                missing += max(0, count.used + since - window.used)
            if missing > 0:
                window.add(missing, now)

    def refuse(self, costs: Sequence[Cost], hint_secs: float = 0.0) -> None:
        """The venue said "too many": close these windows to submits and readings, for as long as it asked."""
        self._refused += 1
        until = self._clock.monotonic() + (hint_secs or PAUSE_SECS)
        for cost in costs:
            window = self._windows[cost.limit]
            if until > window.closed_until:
                window.closed_until, window.hinted = until, hint_secs > 0

    def record(self) -> RateRecord:
        """What was used, waited for and refused so far."""
        return RateRecord(
            refused=self._refused,
            waits=self._waits,
            waited_secs=round(self._waited_secs, 3),
            windows=tuple(
                RateWindow(name=name, limit=window.limit.most, per_secs=window.limit.per_secs, peak=window.peak)
                for name, window in self._windows.items()
                if window.peak
            ),
        )
