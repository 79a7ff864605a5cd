"""Chance, handed in and seeded: the same seed gives the same choices, on every machine."""

from __future__ import annotations

import hashlib
import os
import random  # noqa: TID251 - the one place
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """
    A seeded source of choices.

    ``fork(name)`` gives a source that depends on this one's seed and the name alone, so a new consumer
    does not shift the numbers of the others. Nothing here is fit for keys or secrets.
    """

    def __init__(self, seed: int | str) -> None:
        self.seed = seed
        self._random = random.Random(hashlib.sha256(str(seed).encode()).digest())  # noqa: S311 - not for secrets

    def fork(self, name: str) -> Chance:
        return Chance(f"{self.seed}/{name}")

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def integer(self, low: int, high: int) -> int:
        """A whole number in ``low..high``, both ends included."""
        return self._random.randint(low, high)

    def gauss(self, mean: float, deviation: float) -> float:
        return self._random.gauss(mean, deviation)

    def happens(self, probability: float) -> bool:
        return self._random.random() < probability

    def pick(self, options: Sequence[T]) -> T:
        return self._random.choice(options)

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)


def entropy(count: int) -> bytes:
    """``count`` bytes from the system's own source, for nonces alone: nothing that is told may depend on them."""
    return os.urandom(count)
