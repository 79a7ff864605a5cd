"""What people see while a run goes on: dated plain lines, or the journal itself as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TextIO

import msgspec

from core.clock import iso_utc


def teller(progress: str, out: TextIO) -> Callable[[Mapping[str, Any]], None]:
    """A listener for the event log: ``json`` streams the journal, anything else plain lines."""
    return _Json(out) if progress == "json" else _Plain(out)


class _Out:
    def __init__(self, out: TextIO) -> None:
        self._out: TextIO | None = out

    def write(self, line: str) -> None:
        if self._out is None:
            return
        try:
            self._out.write(line + "\n")
            self._out.flush()
        except OSError:
            # Whoever watched has gone; the play goes on and the journal has every line.
            self._out = None


class _Json(_Out):
    def __call__(self, row: Mapping[str, Any]) -> None:
        self.write(msgspec.json.encode(row).decode())


class _Plain(_Out):
    def __call__(self, row: Mapping[str, Any]) -> None:
        words = _words(row)
        if words:
            venue = row.get("venue")
            self.write(f"{iso_utc(row['ts_ms'])[11:19]}  {venue + ': ' if venue else ''}{words}")


def _words(row: Mapping[str, Any]) -> str:
    match row["event"]:
        case "started":
            where = "simulators" if row["on"] == "sim" else row["on"]
            return f"{row['scenario']} on {where}: {', '.join(row['venues'])}  (run {row['run']})"
        case "connecting":
            return "connecting"
        case "ready":
            return f"connected, {row['venue_symbol']}, account {row['account']}"
        case "step":
            return f"{'cleanup' if row['phase'] == 'finally' else 'step'} {row['index'] + 1}: {row['words']}"
        case "step_ended":
            return f"  {row['status']}: {row['text']}" if row["text"] else f"  {row['status']}"
        case "cleanup":
            return "cleaning up"
        case "ended":
            return f"{row['verdict'].upper().replace('_', ' ')} - {row['text']}"
        case "note" | "interrupted" | "left" | "failed":
            return str(row["text"])
        case _:
            return ""
