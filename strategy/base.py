"""The base of strategies: write ``run``, use ``self.trade``; the venue is one word of the scenario or the command."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from strategy.trading import ActFailed, Trading


class Strategy(ABC):
    """
    One strategy on one venue.

    ``run`` returns a sentence for the report. Raise ``ActFailed`` when the aim is missed; whatever is still open is
    cleaned up by the scenario's ``finally``.
    """

    name: ClassVar[str] = ""
    params: ClassVar[Mapping[str, Any]] = {}
    """Names and defaults of what a scenario may set."""

    def __init__(self, trade: Trading, settings: Mapping[str, Any], say: Callable[[str], None]) -> None:
        unknown = sorted(set(settings) - set(self.params))
        if unknown:
            raise ActFailed(
                "STRATEGY_SETTING",
                f"strategy {self.name} has no setting {unknown[0]}",
                f"It knows: {', '.join(self.params) or 'none'}.",
            )
        self.trade = trade
        self.settings: dict[str, Any] = {**self.params, **settings}
        self.say = say
        """Puts a line into the run's journal and the live view."""

    @abstractmethod
    async def run(self) -> str:
        """Play the strategy; returns one sentence for the report."""
