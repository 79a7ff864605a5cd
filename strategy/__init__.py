"""Strategies by name. A new one is a file and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from strategy.base import Strategy
from strategy.patient import PatientRounds
from strategy.smoke import SmokeTest

STRATEGIES: Final[Mapping[str, type[Strategy]]] = {"smoke": SmokeTest, "patient": PatientRounds}

__all__ = ["STRATEGIES", "PatientRounds", "SmokeTest", "Strategy"]
