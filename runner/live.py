"""
What people see while a run goes on: a live table in a terminal, dated plain lines elsewhere, or the journal as JSON.

A view hears every row of the journal and is told the time a few times a second; it knows nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO

import msgspec

from core.clock import iso_utc
from runner.mistakes import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

TICK_SECS: Final = 0.25
"""How often a view wants to be told the time."""
# Told the time every 0.25 s, a silence ends before its tenth second.
_SILENCE_MS: Final = 9_500


class View(Protocol):
    """Hears rows of the journal; a row is a mapping with ``ts_ms`` and ``event``."""

    def __call__(self, row: Mapping[str, Any]) -> None: ...
    def tick(self, now_ms: int) -> None:
        """The time is ``now_ms``."""
        ...

    def close(self) -> None:
        """Nothing more is told; the terminal is as it was."""
        ...


def open_view(progress: str, out: TextIO, *, terminal: bool) -> View:
    """``json`` streams the journal; ``auto`` on a terminal is the live table; anything else gives plain lines."""
    if progress == "json":
        return _Json(out)
    return _Table(out) if progress == "auto" and terminal else _Plain(out)


# -- what is known of each play


@dataclass(slots=True)
class _Row:
    """One exchange, as the journal told it so far."""

    venue: str
    state: str = "waiting to begin"
    """``step``, ``cleanup``, or words of its own."""
    index: int = 0
    count: int = 0
    verb: str = ""
    words: str = ""
    until_ms: int | None = None
    attempts: int = 0
    price: str | None = None
    position: str | None = None
    available: str | None = None
    verdict: str | None = None
    ended_ms: int | None = None

    def doing(self, now_ms: int) -> str:
        """``step 2 of 4, 12 s left``."""
        if self.verdict is not None:
            return self.verdict.upper().replace("_", " ")
        if self.state not in ("step", "cleanup"):
            return self.state
        told = f"{self.state} {self.index + 1} of {self.count}"
        if self.verb in ("wait", "random_wait") and self.until_ms is not None:
            left = max(0, -(-(self.until_ms - now_ms) // 1000))
            told += f", {left} s left"
        elif self.attempts:
            told += f", attempt {self.attempts}" + (f" at {self.price}" if self.price else "")
        return told


@dataclass(slots=True)
class _Board:
    """The run, as the journal told it so far."""

    title: str = ""
    symbol: str = ""
    began_ms: int = 0
    hint: str = "Ctrl-C stops the steps, cleans up and reports"
    rows: dict[str, _Row] = field(default_factory=dict)

    def take(self, fact: Mapping[str, Any]) -> None:
        match fact["event"]:
            case "started":
                where = "simulators" if fact["on"] == "sim" else fact["on"]
                self.title = printable(f"{fact['scenario']} on {where}, run {fact['run']}")
                self.symbol, self.began_ms = fact["symbol"], fact["ts_ms"]
                self.rows = {venue: _Row(venue) for venue in fact["venues"]}
            case "interrupted":
                self.hint = str(fact["text"])
        row = self.rows.get(fact.get("venue", ""))
        if row is not None:
            self._take_row(row, fact)

    def _take_row(self, row: _Row, fact: Mapping[str, Any]) -> None:
        match fact["event"]:
            case "connecting":
                row.state = "connecting"
            case "ready":
                row.state = "connected"
            case "step":
                row.state = "cleanup" if fact["phase"] == "finally" else "step"
                row.index, row.count, row.words = fact["index"], fact["of"], fact["words"]
                row.verb, row.until_ms, row.attempts, row.price = fact["verb"], fact["until_ms"], 0, None
            case "waiting":
                row.until_ms = fact["until_ms"]
            case "step_ended":
                row.verb, row.attempts = "", 0
                if fact["status"] == "failed":
                    row.words = f"failed: {fact['text']}"
            case "cleanup":
                row.state, row.words = "cleaning up", ""
            case "proving":
                row.state = "cleanup, last reading"
                row.words = "reads position and open orders from the exchange"
            case "sample":
                row.attempts, row.price = fact["attempts"], fact["price"]
                row.position, row.available = fact["position"], fact["available"]
            case "ended":
                row.verdict, row.words, row.ended_ms = fact["verdict"], str(fact["text"]), fact["ts_ms"]


# -- lines


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

    def tick(self, now_ms: int) -> None:
        pass

    def close(self) -> None:
        pass


class _Json(_Out):
    def __call__(self, row: Mapping[str, Any]) -> None:
        self.write(msgspec.json.encode(row).decode())


class _Plain(_Out):
    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._board = _Board()
        self._last_ms: int | None = None

    def __call__(self, row: Mapping[str, Any]) -> None:
        self._board.take(row)
        words = _words(row)
        if words:
            self._last_ms = row["ts_ms"]
            self.write(_line(row, words))

    def tick(self, now_ms: int) -> None:
        """Silence looks like a fault, so it is broken."""
        if self._last_ms is None or now_ms - self._last_ms < _SILENCE_MS:
            return
        self._last_ms = now_ms
        told = []
        for row in self._board.rows.values():
            if row.verdict is None:
                holds = f", holds {row.position} {self._board.symbol}" if row.position not in (None, "0") else ""
                told.append(f"{row.venue} {row.doing(now_ms)}{holds}")
        if told:
            self.write(f"{_clock(now_ms)}  still: {'; '.join(told)}")


def _line(row: Mapping[str, Any], words: str) -> str:
    venue = row.get("venue")
    return f"{_clock(row['ts_ms'])}  {venue + ': ' if venue else ''}{words}"


def _clock(ms: int) -> str:
    """Day and time, UTC: these lines are read long after, in the logs of other programs."""
    return iso_utc(ms)[:19].replace("T", " ")


def _words(row: Mapping[str, Any]) -> str:
    return printable(_unguarded(row))


def _unguarded(row: Mapping[str, Any]) -> str:
    match row["event"]:
        case "started":
            where = "simulators" if row["on"] == "sim" else row["on"]
            return f"{row['scenario']} on {where}: {', '.join(row['venues'])}  (run {row['run']})"
        case "connecting":
            return "connecting"
        case "ready":
            return f"connected, {row['venue_symbol']}"
        case "step":
            return f"{'cleanup' if row['phase'] == 'finally' else 'step'} {row['index'] + 1}: {row['words']}"
        case "step_ended":
            return f"  {row['status']}: {row['text']}" if row["text"] else f"  {row['status']}"
        case "cleanup":
            return "cleaning up"
        case "ended":
            return f"{row['verdict'].upper().replace('_', ' ')} - {row['text']}"
        case "note" | "waiting" | "interrupted" | "left" | "failed":
            return str(row["text"])
        case _:
            return ""


# -- the table


class _Table:
    """A row a play, redrawn in place; what a person should not miss is also a line above it."""

    def __init__(self, out: TextIO) -> None:
        self._console = _console(out)
        self._board = _Board()
        self._live: Live | None = None
        self._now_ms = 0
        self._lost = False

    def __call__(self, row: Mapping[str, Any]) -> None:
        self._board.take(row)
        self._now_ms = max(self._now_ms, row["ts_ms"])
        kept = row["event"] in ("note", "failed") or (row["event"] == "step_ended" and row["status"] == "failed")
        if kept:
            self._surely(lambda: self._console.print(_line(row, _words(row).strip())))
        if row["event"] in ("step", "cleanup", "interrupted", "ended"):
            self._draw()

    def tick(self, now_ms: int) -> None:
        self._now_ms = max(self._now_ms, now_ms)
        self._draw()

    def close(self) -> None:
        if self._live is not None:
            self._draw()
            self._surely(self._live.stop)
            self._live = None

    def _draw(self) -> None:
        if not self._board.rows:
            return

        def draw() -> None:
            if self._live is None:
                from rich.live import Live

                self._live = Live(console=self._console, auto_refresh=False)
                self._live.start()
            self._live.update(self._frame(), refresh=True)

        self._surely(draw)

    def _surely(self, part: Callable[[], object]) -> None:
        """A terminal that has gone must not end the play."""
        if not self._lost:
            try:
                part()
            except (OSError, ValueError):
                self._lost = True

    def _frame(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        board = self._board
        table = Table(box=None, expand=True, padding=(0, 1, 0, 0), show_edge=False)
        table.add_column("exchange", no_wrap=True)
        table.add_column("doing", ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column("holds", no_wrap=True, min_width=14)
        table.add_column("time", no_wrap=True, justify="right", min_width=5)
        for row in board.rows.values():
            doing = Text(no_wrap=True, overflow="ellipsis")
            doing.append(row.doing(self._now_ms), style=_style(row))
            doing.append(f"\n{printable(row.words)}", style="dim")
            holds = "" if row.position is None else f"{row.position} {board.symbol}"
            margin = "" if row.available is None else f"\nfree {row.available} USD"
            spent = _spent((row.ended_ms or self._now_ms) - board.began_ms)
            table.add_row(Text(row.venue, style="bold"), doing, Text(holds + margin), Text(spent))
        title = Text(board.title, style="bold", no_wrap=True, overflow="ellipsis")
        parts: list[Text | Table] = [title, table]
        if any(row.verdict is None for row in board.rows.values()):
            parts.append(Text(board.hint, style="dim"))
        return Group(*parts)


def _console(out: TextIO) -> Console:
    from rich.console import Console

    class Patient(Console):
        def on_broken_pipe(self) -> None:
            # rich would leave the program here, in the middle of a play.
            self.quiet = True

    return Patient(file=out, highlight=False, emoji=False, markup=False)


def _style(row: _Row) -> str:
    """Colour repeats what the words say."""
    if row.verdict is not None:
        return "bold green" if row.verdict == "accepted" else "bold red"
    return "yellow" if row.state.startswith("clean") else ""


def _spent(ms: int) -> str:
    """``0:42``, ``12:05``, ``1:00:00``."""
    secs = max(0, ms // 1000)
    hours, minutes = secs // 3600, secs % 3600 // 60
    return f"{hours}:{minutes:02}:{secs % 60:02}" if hours else f"{minutes}:{secs % 60:02}"
