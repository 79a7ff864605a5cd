"""
Words for the log: structlog, set up once, with secrets masked before anything is written.

:func:`configure` is called once by the program; modules take ``log = get(__name__)`` whenever they like. People read
``2026-01-05T00:00:00.000Z info order sent venue=backpack coi=7``; a file, or ``json=True``, gets one JSON object a
line. DEBUG holds the raw text of the streams. A log call never raises: a line that cannot be written is counted.
"""

from __future__ import annotations

import json as jsonlib
import logging
import math
import sys
from collections.abc import Callable, Mapping, MutableMapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TextIO

import structlog

from core.clock import Clock, SystemClock, iso_utc
from core.secrets import VAULT

FIELDS: Final = ("trace_id", "coi", "engine_ts", "ws_seq", "cancel_ack_ts")
"""The bound names that follow one order through every line: the play's trace, the client id, the engine's time of
the event (microseconds), the stream's sequence, and when the cancel was acknowledged (Unix milliseconds)."""
LEVELS: Final[Mapping[str, int]] = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}

MAX_TEXT: Final = 65_536
"""Characters of one value; a longer one is cut and says how much is missing."""
MAX_DEPTH: Final = 8

_Fields = MutableMapping[str, Any]


class Log(structlog.BoundLoggerBase):
    """A logger with bound fields; ``bind(coi=7)`` gives another. None of its methods raises."""

    def isEnabledFor(self, level: int) -> bool:
        """Whether a line of ``level`` (10 is DEBUG) would be written: ask before building a costly one."""
        return level >= _OUTPUT.level

    def debug(self, event: str, /, **fields: Any) -> None:
        if _OUTPUT.level <= 10:
            self._say("debug", event, fields)

    def info(self, event: str, /, **fields: Any) -> None:
        if _OUTPUT.level <= 20:
            self._say("info", event, fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        if _OUTPUT.level <= 30:
            self._say("warning", event, fields)

    def error(self, event: str, /, **fields: Any) -> None:
        self._say("error", event, fields)

    def exception(self, event: str, /, **fields: Any) -> None:
        """An error line with the traceback of the exception being handled."""
        self._say("error", event, {"exc_info": True, **fields})

    def _say(self, level: str, event: str, fields: dict[str, Any]) -> None:
        try:
            _, line = self._process_event(level, event, fields)
            _OUTPUT.write(line)
        except Exception:
            _OUTPUT.lost += 1


class _Output:
    """Where lines go. Before :func:`configure`: warnings and errors, to the standard error of the moment."""

    def __init__(self) -> None:
        self.lost = 0
        self.reset()

    def reset(self) -> None:
        self.level = LEVELS["WARNING"]
        self.json = False
        self.to_stderr = True
        self.stream: TextIO | None = None
        self.file: TextIO | None = None
        self.clock: Clock = SystemClock()
        self.mask: Callable[[str], str] = VAULT.mask

    def write(self, fields: Mapping[str, Any]) -> None:
        """Write the finished fields to the stream and the file; the one failing does not keep it from the other."""
        stream = sys.stderr if self.to_stderr else self.stream
        for target, as_json in ((stream, self.json), (self.file, True)):
            if target is None:
                continue
            try:
                text = json_line(fields) if as_json else people_line(fields)
                encoding = getattr(target, "encoding", None) or "utf-8"
                # A terminal that cannot show a character gets its escape instead of losing the line.
                target.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
                target.flush()
            except Exception:
                self.lost += 1


_OUTPUT: Final = _Output()


def get(name: str) -> Log:
    """The logger of a module; it follows :func:`configure`, however early it was taken."""
    return Log(_OUTPUT, _CHAIN, {"logger": name})


def configure(
    *,
    level: str,
    json: bool,
    stream: TextIO | None,
    file: Path | None,
    clock: Clock | None = None,
    mask: Callable[[str], str] = VAULT.mask,
) -> None:
    """
    Set up logging; a second call replaces the first.

    Args:
        level: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``, for stream and file alike.
        json: JSON on the stream too; the file is always JSON, one object a line.
        stream: Usually the standard error; None where a live view owns the terminal.
        file: Opened for appending, its folder made.

    Raises:
        ValueError: no such level.
        OSError: the file cannot be opened.
    """
    number = LEVELS.get(level.upper())
    if number is None:
        raise ValueError(f"no log level {level!r}: choose one of {', '.join(LEVELS)}")
    opened: TextIO | None = None
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        opened = file.open("a", encoding="utf-8")
    close()
    _OUTPUT.level, _OUTPUT.json, _OUTPUT.to_stderr = number, json, False
    _OUTPUT.stream, _OUTPUT.file = stream, opened
    _OUTPUT.clock, _OUTPUT.mask = clock or SystemClock(), mask
    _OUTPUT.lost = 0
    structlog.configure(
        processors=_CHAIN,
        wrapper_class=Log,
        logger_factory=lambda *names: _OUTPUT,
        cache_logger_on_first_use=False,
    )
    logging.getLogger().addHandler(_FOREIGN)


def close() -> None:
    """Close the file and go back to the state before :func:`configure`."""
    if _OUTPUT.file is not None:
        try:
            _OUTPUT.file.close()
        except OSError:
            _OUTPUT.lost += 1
    logging.getLogger().removeHandler(_FOREIGN)
    structlog.reset_defaults()
    _OUTPUT.reset()


def lost_lines() -> int:
    """How many lines could not be written since :func:`configure`: 0 is what a complete log means."""
    return _OUTPUT.lost


def people_line(fields: Mapping[str, Any]) -> str:
    """``time level event key=value …`` on one line; the fields that name an order come first."""
    rest = [name for name in (*FIELDS, *fields) if name in fields and name not in ("ts", "level", "event", "logger")]
    words = [str(fields["ts"]), str(fields["level"]), _one_line(str(fields["event"]))]
    words += [f"{_one_line(name)}={_word(fields[name])}" for name in dict.fromkeys(rest) if name != "exception"]
    traceback = fields.get("exception")
    return " ".join(words) + (f"\n{traceback}" if traceback else "")


def json_line(fields: Mapping[str, Any]) -> str:
    """One JSON object: ts, level, event, logger, the fields that name an order, the rest in the order given."""
    first = [name for name in ("ts", "level", "event", "logger", *FIELDS) if name in fields]
    ordered = {name: fields[name] for name in dict.fromkeys((*first, *fields))}
    return jsonlib.dumps(ordered, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _one_line(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else jsonlib.dumps(char)[1:-1] for char in text)


def _word(value: Any) -> str:
    if not isinstance(value, str):
        value = jsonlib.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return _one_line(value)
    if value and value.isprintable() and not any(char in value for char in ' "='):
        return value
    return _one_line(jsonlib.dumps(value, ensure_ascii=False))


def _stamp(logger: Any, method: str, fields: _Fields) -> _Fields:
    fields["ts"] = iso_utc(_OUTPUT.clock.now_ms())
    fields["level"] = method
    return fields


def _mask(logger: Any, method: str, fields: _Fields) -> _Fields:
    """Turn every value into plain JSON matter, so that nothing can print itself later, and mask each text in it."""
    return {_text(str(name)): _plain(value, 0) for name, value in fields.items()}


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        # Beyond 64 bits most readers of JSON lose digits; far beyond, Python refuses to print it at all.
        return int(value) if value.bit_length() <= 64 else _text(hex(value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, Decimal):
        return _text(str(value))
    if isinstance(value, str):
        return _text(str(value))
    if isinstance(value, bytes | bytearray):
        return _text(bytes(value[:MAX_TEXT]).decode("utf-8", "backslashreplace"))
    if depth < MAX_DEPTH and isinstance(value, Mapping):
        return {_text(str(name)): _plain(item, depth + 1) for name, item in value.items()}
    if depth < MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth + 1) for item in value]
    try:
        return _text(str(value))
    except Exception:
        return f"<{type(value).__name__} that cannot be printed>"


def _text(text: str) -> str:
    # Masked before it is cut: half a secret is a secret too.
    masked = _OUTPUT.mask(text)
    return masked if len(masked) <= MAX_TEXT else f"{masked[:MAX_TEXT]}… ({len(masked) - MAX_TEXT} more)"


_CHAIN: Final[list[Any]] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.format_exc_info,
    _stamp,
    _mask,
]


class _Foreign(logging.Handler):
    """What libraries say through the standard library's logging, from WARNING up: masked like our own lines."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:
            text = str(record.msg)
        fields: dict[str, Any] = {"exc_info": record.exc_info} if record.exc_info else {}
        log = get(record.name)
        (log.error if record.levelno >= logging.ERROR else log.warning)(text, **fields)


_FOREIGN: Final = _Foreign(logging.WARNING)
