"""
What the simulated venues answer alike to the shell that carries them, and what each may do by itself when a fault says
so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Any, Final

from core.clock import Clock
from venues.simulation.app import Reply, Request
from venues.simulation.desk import Agenda
from venues.simulation.engine import MatchingEngine
from venues.simulation.faults import Faults
from venues.simulation.market import Street

UNAVAILABLE: Final = Reply(
    503,
    b"<html><head><title>503 Service Temporarily Unavailable</title></head></html>",
    {"content-type": "text/html"},
)
"""What a load balancer says while nobody answers behind it."""


class Front:
    """One simulated venue; the subclass makes the parts."""

    faults: Faults
    engine: MatchingEngine
    _clock: Clock
    _offset_ms: int
    _agenda: Agenda
    _street: Street
    _drifts: tuple[tuple[int, int, int], ...] = ()
    """``(from_ms, until_ms, millionths)`` of our time in which the venue's clock runs too fast."""

    def now_ms(self) -> int:
        """The venue's clock."""
        now_ms = self._clock.now_ms()
        ahead_ms = self._offset_ms
        for begin_ms, end_ms, ppm in self._drifts:
            ahead_ms += (min(now_ms, end_ms) - begin_ms) * ppm // 1_000_000
        return now_ms + ahead_ms

    def advance(self) -> None:
        """Do what is due by now."""
        now_ms = self._clock.now_ms()
        self._agenda.run(now_ms)
        if self._street.advance(now_ms):
            # What is to be told of its steps at once.
            self._agenda.run(now_ms)

    def next_due_ms(self) -> int:
        """Unix milliseconds of the next thing that is due."""
        planned = self._agenda.next_ms
        street = self._street.next_due_ms()
        return street if planned is None else min(planned, street)

    def later(self, ms: int, action: Callable[[], None]) -> None:
        """Do something in ``ms``."""
        self._agenda.at(self._clock.now_ms() + ms, action)

    def _portion(self) -> Decimal | None:
        rule = self.faults.engine("match")
        return None if rule is None else rule.params["fraction"]

    # -- what the venue may do by itself

    def jump(self, by_ms: int) -> None:
        """The venue's clock jumps."""
        self._offset_ms += by_ms

    def drift(self, ppm: int, ms: int) -> None:
        """The venue's clock runs ``ppm`` millionths too fast for ``ms``, and stays that far ahead."""
        now_ms = self._clock.now_ms()
        self._drifts = (*self._drifts, (now_ms, now_ms + ms, ppm))

    def expire_login(self, ms: int) -> bool:
        """End the private streams as the venue does; False where nothing expires but the connection."""
        return False

    def refused_login(self, asked: Request | str) -> Reply | str | None:
        """The venue's "no" to this request or message, if it is a login or opens a private stream; else None."""
        return None

    def maintenance(self) -> Reply:
        """What every request is answered while the venue is away."""
        return UNAVAILABLE

    def forced(self, origin: str) -> tuple[int | str | None, Mapping[str, Any]]:
        """Client id and notes of an order that the venue itself makes."""
        return None, {}


def quoted(anchors: Mapping[str, Decimal], bases: Collection[str]) -> Mapping[str, Decimal]:
    """The anchors of these coins; all of them where none is named."""
    return {base: anchor for base, anchor in anchors.items() if not bases or base in bases}
