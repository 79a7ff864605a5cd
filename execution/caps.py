"""The most that a run may put at risk: numbers a person writes into the config."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """
    Limits, amounts in USD and each above 0; None is no limit. Live runs refuse to start without the ones for an order
    and for a run. Only orders that open count: nothing stands in the way of closing.
    """

    order_notional_usd: Decimal | None = None
    """Price times size of one order."""
    play_notional_usd: Decimal | None = None
    """The same of all orders of one exchange's part of a run; `runner recover` goes on with the sum."""
    total_notional_usd: Decimal | None = None
    """The same of all orders of a run together, filled or not."""
    day_notional_usd: Decimal | None = None
    """The same of one account in one UTC day, over all runs with the same state folder."""
    net_exposure_usd: Decimal | None = None
    """Net position over all exchanges, long minus short, at mark prices."""
    price_band_bps: int | None = None
    """How far from the book an order's price may be, in basis points; see :class:`execution.bands.PriceBand`."""
