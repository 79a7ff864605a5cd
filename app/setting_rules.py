"""What each setting may be: a table from key to rule, and the readers of single values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

from execution.caps import Caps
from runner.heartbeat import Auth, checked_url
from venues import VENUES

MODES: Final = ("tracking_limit", "market", "strategy")
ON: Final = ("sim", "testnet", "live")


class Rule(NamedTuple):
    """How one value is read: ``read`` takes its text and raises ValueError; ``tags`` are the YAML kinds allowed."""

    read: Callable[[str], Any]
    expected: str
    tags: frozenset[str]
    optional: bool = False
    """An empty value (null) means None."""
    shown: bool = True
    """False: never repeat the value, it may be a secret put in the wrong place."""
    code: str = "OUT_OF_RANGE"
    options: tuple[str, ...] = ()


_STR: Final = frozenset({"str"})
_NUMERIC: Final = frozenset({"int", "float"})
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_ENV_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{2,63}", re.ASCII)


def _decimal(text: str) -> Decimal:
    if len(text) > 40 or not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return Decimal(text)


def _within(low: str, high: str, *, above: bool = False) -> Callable[[str], Decimal]:
    def read(text: str) -> Decimal:
        value = _decimal(text)
        if not Decimal(low) <= value <= Decimal(high) or (above and value == Decimal(low)):
            raise ValueError(text)
        return value

    return read


def _secs(low: str, high: str) -> Rule:
    read = _within(low, high)
    return Rule(lambda text: float(read(text)), f"a number of seconds from {low} to {high}", _NUMERIC)


def _count(low: int, high: int, *, optional: bool = False) -> Rule:
    def read(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,20}", text) or not low <= int(text) <= high:
            raise ValueError(text)
        return int(text)

    return Rule(read, f"a whole number from {low} to {high}", frozenset({"int"}), optional)


def _choice(*options: str, fold: Callable[[str], str] = str) -> Rule:
    def read(text: str) -> str:
        if fold(text) not in options:
            raise ValueError(text)
        return fold(text)

    return Rule(read, "one of " + ", ".join(options), _STR, code="UNKNOWN_CHOICE", options=options)


def _word(pattern: str, expected: str) -> Rule:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(text)
        return text

    return Rule(read, expected, _STR)


def _path(text: str) -> Path:
    if not text.strip() or "\0" in text or len(text) > 1000:
        raise ValueError(text)
    return Path(text)


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _qty(text: str) -> Decimal | None:
    return None if text == "min" else _within("0", "1e9", above=True)(text)


def _env_name(text: str) -> str:
    if not _ENV_NAME.fullmatch(text):
        raise ValueError(text)
    return text


_USD: Final = Rule(_within("0", "1e12", above=True), "an amount in USD above 0", _NUMERIC, optional=True)
_PATH: Final = Rule(_path, "the name of a file or folder", _STR)
_BPS: Final = 10_000
ENV: Final = Rule(
    _env_name,
    "the NAME of an environment variable, like BACKPACK_API_SECRET; the secret itself stays out of the file",
    _STR,
    shown=False,
    code="SECRET_IN_FILE",
)


FLAT: Final[Mapping[str, Rule]] = {
    "venue": _choice(*VENUES)._replace(code="UNKNOWN_VENUE"),
    "symbol": _word(r"[A-Za-z0-9]{1,20}", "a coin like SOL, not an exchange's own market name"),
    "market": _choice("perp", "spot"),
    "mode": _choice(*MODES),
    "qty": Rule(_qty, "a number above 0, or min", _NUMERIC | _STR),
    "side": _choice("buy", "sell"),
    "on": _choice(*ON),
    "seed": _count(0, 2**63 - 1, optional=True),
    "speed": Rule(lambda text: float(_within("0.1", "1000")(text)), "a number from 0.1 to 1000", _NUMERIC),
    "interval_secs": _secs("0.5", "3600"),
    "timeout_secs": _secs("1", "86400"),
    "max_attempts": _count(1, 10_000),
    "price_offset_ticks": _count(0, 10_000),
    "state_dir": _PATH,
    "runs_dir": _PATH,
    "logs_dir": _PATH,
    "locks_dir": _PATH._replace(optional=True),
    "control_port": _count(0, 65_535, optional=True),
    "log_level": _choice("DEBUG", "INFO", "WARNING", "ERROR", fold=str.upper),
    "log_json": Rule(_truth, "true or false", frozenset({"bool"})),
}
"""The settings that a flag of the same name (``--interval-secs``) overrides."""

CAPS: Final[Mapping[str, Rule]] = {
    **{item.name: _USD for item in fields(Caps)},
    "price_band_bps": _count(1, _BPS, optional=True),
}
BEAT: Final[Mapping[str, Rule]] = {
    "interval_secs": _secs("0.1", "3600"),
    "timeout_secs": _secs("0.05", "60"),
    "retries": _count(0, 10),
    "fallback_file": _PATH,
    "strategy": _word(r"[A-Za-z0-9_.:-]{1,64}", "a name of letters, digits, _ . : or -"),
}
ENDPOINT: Final[Mapping[str, Rule]] = {
    "url": Rule(checked_url, "an https:// address", _STR, shown=False),
    "auth": _choice(*Auth),
    "token_env": ENV,
    "secret_env": ENV,
}
