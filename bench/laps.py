"""Timing: laps of several contestants, interleaved, so that the noise of a machine falls on all of them alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

Lap = Callable[[], float]
"""Does its work once and returns seconds for ONE operation."""


@dataclass(frozen=True)
class Spread:
    """Seconds of one operation over all rounds; noise only adds, so the best is the figure, the median its doubt."""

    best: float
    median: float
    rounds: int

    @property
    def doubt(self) -> float:
        """How far the median lies above the best, as a share of the best."""
        return self.median / self.best - 1


Spreads = Mapping[str, Spread]


def spread_of(values: Sequence[float]) -> Spread:
    return Spread(min(values), statistics.median(values), len(values))


def now() -> float:
    return time.perf_counter()


def seconds_each(work: Callable[[], object], times: int) -> float:
    """Seconds of one call of ``work``, measured over ``times`` calls."""
    calls = range(times)
    began = time.perf_counter()
    for _ in calls:
        work()
    return (time.perf_counter() - began) / times


def lap_over(work: Callable[[str], object], texts: Iterable[str]) -> Lap:
    """A lap that hands each of ``texts`` to ``work``."""
    kept = list(texts)

    def lap() -> float:
        began = time.perf_counter()
        for text in kept:
            work(text)
        return (time.perf_counter() - began) / len(kept)

    return lap


def race(contestants: Mapping[str, Lap], rounds: int) -> dict[str, Spread]:
    """Every contestant laps once a round, each round begun by another one, after one lap that does not count."""
    for lap in contestants.values():
        lap()
    names = list(contestants)
    told: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            gc.collect()
            told[name].append(contestants[name]())
    return {name: spread_of(values) for name, values in told.items()}
