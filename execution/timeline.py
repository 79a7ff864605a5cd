"""Order timelines on disk: ``logs/orders/{venue}-{symbol}-{coi}.jsonl``, one line per thing that touched an order."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from execution.order import Entry, Order, encode_entry, encode_intent


class Timelines:
    """
    Appends to one file per order; each line reaches the operating system before the call returns.

    A disk that refuses a line must not stop a cancel: the failure is kept in ``failures`` (the outcome shows it as
    an incomplete log) and trading goes on. Intents are safe in the journal regardless.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.failures: list[str] = []
        self._open: dict[tuple[str, int], IO[bytes]] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def path(self, order: Order) -> Path | None:
        """Where this order's story stands; None when timelines are off."""
        if self.folder is None:
            return None
        intent = order.intent
        symbol = intent.venue_symbol.replace("/", "-")
        return self.folder / f"{intent.venue}-{symbol}-{intent.client_id}.jsonl"

    def begin(self, order: Order) -> None:
        """Write the intent as the first line, unless an earlier process did."""
        path = self.path(order)
        if path is not None and not path.exists():
            self._write(order, encode_intent(order.intent))

    def add(self, order: Order, entry: Entry) -> None:
        self._write(order, encode_entry(order, entry))

    def close(self, order: Order) -> None:
        """Give the file handle back; a later line opens it again."""
        stream = self._open.pop((order.intent.account, order.client_id), None)
        if stream is not None:
            stream.close()

    def close_all(self) -> None:
        for stream in self._open.values():
            stream.close()
        self._open.clear()

    def _write(self, order: Order, line: bytes) -> None:
        path = self.path(order)
        if path is None:
            return
        key = (order.intent.account, order.client_id)
        try:
            stream = self._open.get(key)
            if stream is None:
                stream = self._open[key] = path.open("ab", buffering=0)
            stream.write(line)
        except OSError as error:
            self.failures.append(f"{path.name}: {error.strerror or error}")
