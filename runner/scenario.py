"""A scenario as the engine plays it: checked, resolved, frozen. No file and no clock is read here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from core.precision import plain

Market = Literal["perp", "spot"]
Side = Literal["buy", "sell"]


@dataclass(frozen=True, slots=True)
class SizeSpec:
    """How much to trade, before a venue's market facts are known."""

    kind: Literal["min", "base", "usd"]
    value: Decimal | None = None
    """Base units (base) or USD (usd), above zero; None for min."""

    def __str__(self) -> str:
        if self.value is None:
            return "min"
        return plain(self.value) + (" USD" if self.kind == "usd" else "")


@dataclass(frozen=True, slots=True)
class StepCall:
    """One step with every setting filled in."""

    verb: str
    settings: Mapping[str, Any]
    """
    By key of the verb's schema, defaults included: durations are float seconds, whole numbers int, amounts Decimal,
    sizes SizeSpec, yes or no bool, words str. A setting without default that nobody gave is absent, except that
    ``size`` and ``side`` of opening verbs are then the scenario's.
    """
    line: int
    """From 1; 0 for a step that the file does not spell out."""
    column: int
    words: str
    """The step as people say it, in English."""


@dataclass(frozen=True, slots=True)
class Accept:
    """What the acceptance table asks. None or False: not asked."""

    round_trip_at_least: int | None = None
    flat: bool = False
    heartbeat_max_gap_secs: float | None = None
    no_unhandled_errors: bool = False
    logs_complete: bool = False


@dataclass(frozen=True, slots=True)
class InputValue:
    """A named value of the scenario, and where it came from."""

    name: str
    type: Literal["duration", "number", "integer", "size", "text", "choice", "yes_no"]
    value: Any
    """float seconds, Decimal, int, SizeSpec, str or bool, by type."""
    text: str
    """As it was written."""
    origin: Literal["default", "--set", "--inputs", "environment"]
    description: str = ""
    unit: str = ""
    place: str = ""
    """Where it was written: the file of --inputs with its line, or the environment variable; else empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One checked scenario file."""

    name: str
    title: str
    venues: tuple[str, ...] | Literal["all"]
    market: Market
    symbol: str
    """Canonical, such as SOL."""
    side: Side
    size: SizeSpec
    seed: int | None = None
    steps: tuple[StepCall, ...]
    finally_: tuple[StepCall, ...]
    """Never empty: cancel_all and flatten when the file has no ``finally``."""
    accept: Accept = Accept()
    language: Literal["en", "zh"] | None = None
    """Of the reports; None: nobody asked."""
    inputs: Mapping[str, InputValue] = field(default_factory=dict)
    path: str
    """As the caller named the file."""
    data: bytes = field(repr=False)
    """The file's bytes."""

    @property
    def sha256(self) -> str:
        """Of the file's bytes, hex."""
        # Only plays ask for it, and a check is spared the import.
        from hashlib import sha256

        return sha256(self.data).hexdigest()
