"""How long to wait before trying again."""

from __future__ import annotations

from collections.abc import Iterator

from core.chance import Chance


def backoff(chance: Chance, *, first_secs: float = 0.25, ceiling_secs: float = 15.0) -> Iterator[float]:
    """
    Endless waits in seconds: doubling from ``first_secs`` up to ``ceiling_secs``, each drawn
    between half and the whole of it, so that many sessions cut off together do not return together.
    """
    wait = first_secs
    while True:
        yield chance.uniform(wait / 2, wait)
        wait = min(ceiling_secs, wait * 2)
