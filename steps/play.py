"""What a step gets and what it gives back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from strategy.trading import ActFailed, Trading

StepFailed = ActFailed
"""Raised by a step that missed its aim: ``code``, ``message``, ``next_move``."""


@dataclass(frozen=True, slots=True)
class Done:
    """A step that reached its aim: a sentence for people, and named numbers (decimal texts) for the report."""

    detail: str
    numbers: Mapping[str, str] = field(default_factory=dict)


class Play(Protocol):
    """The play of one scenario on one venue, as its steps see it."""

    trade: Trading

    def say(self, text: str) -> None:
        """A line for the run's journal and the live view."""
        ...

    def say_wait(self, secs: float) -> None:
        """The step now waits ``secs`` on the play's clock: what a countdown counts to."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """A verb: its arguments and what it does. Its settings' schema is ``schemas/steps/<verb>.schema.json``."""

    args: Callable[..., Any]
    run: Callable[[Any, Any], Awaitable[Done]]
