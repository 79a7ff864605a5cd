"""The most that a run may put at risk: numbers a person writes into the config."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """Limits in USD, each above 0; None is no limit. Live runs refuse to start without the first two."""

    order_notional_usd: Decimal | None = None
    """Price times size of one order."""
    total_notional_usd: Decimal | None = None
    """Price times size of all orders of a run together, filled or not."""
    net_exposure_usd: Decimal | None = None
    """Net position over all exchanges, long minus short, at mark prices."""
