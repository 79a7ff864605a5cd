"""
Order timelines on disk: ``logs/orders/{venue}-{symbol}-{coi}.jsonl``, one line per thing that touched an order.

What a venue says is written by one appender per venue, at the end of the event loop's turn in which it was heard: a
burst of messages costs one write per order, not one per word. What we do ourselves is written at once, with all that
was heard before it - so the line ``sent`` or ``cancel_requested`` is with the operating system before the first byte
of that request leaves. ``kill -9`` can lose no more than the words heard in that last turn, never an intent (the
journal has it) nor a line about a request that left; what is lost here, the venue tells again.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import IO, Final

from core.append import append_whole
from execution.order import Deed, Entry, Line, Order, encode_intent, encode_lines, line_of

_GATHERED: Final = 256
"""Lines of one venue that are held back at most, however long a turn is."""


class Timelines:
    """
    Appends to one file per order; without a running event loop each line is written before the call returns.

    A disk that refuses a line must not stop a cancel: the failure is kept in ``failures`` (the outcome shows it as
    an incomplete log) and trading goes on. Intents are safe in the journal regardless.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.failures: list[str] = []
        self._open: dict[tuple[str, int], IO[bytes]] = {}
        self._waiting: dict[str, list[tuple[Order, Line]]] = {}
        """By venue: what was told since the last write."""
        self._called: set[str] = set()
        """Venues whose write the event loop has been asked for."""
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                self.failures.append(f"{folder.name}: {error.strerror or error}")

    def path(self, order: Order) -> Path | None:
        """The file of this order's story, with everything told so far in it; None when timelines are off."""
        self.flush(order.intent.venue)
        return self._path(order)

    def begin(self, order: Order) -> None:
        """Write the intent as the first line, unless an earlier process did."""
        self._write(order, b"")

    def add(self, order: Order, entry: Entry) -> None:
        """One more line; see above for when it is written."""
        if self.folder is None:
            return
        venue = order.intent.venue
        waiting = self._waiting.get(venue)
        if waiting is None:
            waiting = self._waiting[venue] = []
        waiting.append((order, line_of(order, entry)))
        if type(entry.input) is Deed or len(waiting) >= _GATHERED or not self._will_flush(venue):
            self.flush(venue)

    def flush(self, venue: str) -> None:
        """Hand every line of this venue to the operating system."""
        waiting = self._waiting.get(venue)
        if not waiting:
            return
        if len(waiting) == 1:
            order, line = waiting.pop()
            self._tell(order, [line])
            return
        stories: dict[int, tuple[Order, list[Line]]] = {}
        for order, line in waiting:
            story = stories.get(id(order))
            if story is None:
                stories[id(order)] = (order, [line])
            else:
                story[1].append(line)
        waiting.clear()
        for order, lines in stories.values():
            self._tell(order, lines)

    def close(self, order: Order) -> None:
        """Give the file handle back; a later line opens it again."""
        self.flush(order.intent.venue)
        stream = self._open.pop((order.intent.account, order.client_id), None)
        if stream is not None:
            stream.close()

    def close_all(self) -> None:
        """Write what waits and close every file."""
        for venue in self._waiting:
            self.flush(venue)
        self._called.clear()
        for stream in self._open.values():
            stream.close()
        self._open.clear()

    def _will_flush(self, venue: str) -> bool:
        """Have this turn of the event loop end with a write; False where no loop runs."""
        if venue in self._called:
            return True
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        self._called.add(venue)
        loop.call_soon(self._end_turn, venue)
        return True

    def _end_turn(self, venue: str) -> None:
        self._called.discard(venue)
        self.flush(venue)

    def _path(self, order: Order) -> Path | None:
        if self.folder is None:
            return None
        intent = order.intent
        symbol = intent.venue_symbol.replace("/", "-")
        return self.folder / f"{intent.venue}-{symbol}-{intent.client_id}.jsonl"

    def _tell(self, order: Order, lines: list[Line]) -> None:
        try:
            told = encode_lines(lines)
        except ValueError as error:
            # A text that is no text (half a surrogate pair) must not cost the other orders their lines.
            self.failures.append(f"{order.client_id}: {type(error).__name__}")
        else:
            self._write(order, told)

    def _write(self, order: Order, lines: bytes) -> None:
        key = (order.intent.account, order.client_id)
        stream = self._open.get(key)
        try:
            if stream is None:
                path = self._path(order)
                if path is None:
                    return
                stream = self._open[key] = path.open("ab", buffering=0)
                if not stream.tell():
                    lines = encode_intent(order.intent) + lines
            append_whole(stream, lines)
        except OSError as error:
            # Opened again by the next line, which begins with the intent if this one was to.
            refused = self._open.pop(key, None)
            if refused is not None:
                refused.close()
            name = self._path(order)
            self.failures.append(f"{name.name if name else order.client_id}: {error.strerror or error}")
