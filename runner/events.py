"""
The run's journal, ``events.jsonl``: one JSON line per thing that happened, flushed as it happens.

It is what the live view shows, what ``--progress json`` prints, and what is left when the process dies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec

from core.append import append_whole
from core.clock import Clock
from core.secrets import VAULT

Listener = Callable[[Mapping[str, Any]], None]


class EventLog:
    """
    Appends events and passes each to its listeners.

    A line that cannot be written is kept in ``failures``; the play goes on and the outcome says so.
    """

    def __init__(self, path: Path | None, clock: Clock) -> None:
        self.failures: list[str] = []
        self._clock = clock
        self._listeners: list[Listener] = []
        self._stream: IO[bytes] | None = None
        if path is not None:
            self._stream = path.open("ab", buffering=0)

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def say(self, event: str, *, venue: str | None = None, **facts: Any) -> None:
        """Record ``event`` (a stable word) with its facts; texts are masked."""
        row: dict[str, Any] = {"ts_ms": self._clock.now_ms(), "event": event}
        if venue is not None:
            row["venue"] = venue
        row |= {name: VAULT.mask(fact) if isinstance(fact, str) else fact for name, fact in facts.items()}
        if self._stream is not None:
            try:
                append_whole(self._stream, msgspec.json.encode(row) + b"\n")
            except OSError as error:
                self.failures.append(error.strerror or str(error))
        for listener in self._listeners:
            listener(row)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
