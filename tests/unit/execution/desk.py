"""An order service on a venue double, and the orders that tests begin with."""

from __future__ import annotations

import anyio

from core.chance import Chance
from core.clock import VirtualClock, run_virtual
from execution.caps import Caps
from execution.journal import Journal
from execution.markets import Market
from execution.order import Intent
from execution.orders import Orders
from execution.positions import Positions
from execution.risk import Risk
from execution.timeline import Timelines
from execution.tracking_limit import TrackingLimit, TrackingResult
from tests.unit.execution.venue_double import SOL, VenueDouble
from venues.errors import LocalRuleError


class Desk(Orders):
    """An order service on a :class:`VenueDouble`, with everything below it in memory."""

    def __init__(
        self,
        venue: VenueDouble,
        *,
        journal: Journal | None = None,
        timelines: Timelines | None = None,
        caps: Caps | None = None,
        positions: Positions | None = None,
        seed: int | str = 1,
        pace: object | None = None,
    ) -> None:
        self.double = venue
        self.memory = journal or Journal(":memory:")
        positions = positions or Positions(venue.clock)
        self.guard = Risk(caps or Caps(), positions, self.memory)
        super().__init__(
            venue=venue,
            account="acc",
            clock=venue.clock,
            pace=pace or venue.clock,
            chance=Chance(seed),
            journal=self.memory,
            timelines=timelines or Timelines(None),
            positions=positions,
            risk=self.guard,
        )
        self.sol = Market(venue.name, "SOL", venue.markets[SOL.symbol]) if SOL.symbol in venue.markets else None


def chase(**wanted: object) -> TrackingLimit:
    """A buy of 100 lots on a short schedule, with what the test wants otherwise."""
    base = {"is_ask": False, "quantity_i": 100, "leg": "run/double/1", "interval_secs": 10.0, "timeout_secs": 60.0}
    return TrackingLimit(**{**base, **wanted})


def an_intent(**wanted: object) -> Intent:
    """A limit buy of 100 lots at 140.00."""
    base = {
        "venue": "double", "account": "acc", "symbol": "SOL", "market": "perp", "venue_symbol": SOL.symbol,
        "is_ask": False, "size_i": 100, "price_i": 14_000, "price_decimals": 2, "size_decimals": 2,
        "leg": "run/double/1", "created_ms": 1_767_571_200_000, "expiry_ms": 1_767_571_205_000, "client_id": 7,
    }  # fmt: skip
    return Intent(**{**base, **wanted})


class FullDisk(Journal):
    """A journal whose writes fail from the ``good``-th intent on."""

    def __init__(self, good: int = 0) -> None:
        super().__init__(":memory:")
        self.good = good

    def intend(self, intent: Intent, highest_id: int = 2**32 - 1, **opening: object) -> Intent:
        if self.good <= 0:
            raise LocalRuleError("HALTED", "cannot write the journal: disk full; nothing was sent")
        self.good -= 1
        return super().intend(intent, highest_id, **opening)


def play(story, **desk):
    """Run ``story(venue, desk)`` on virtual time; the markets are up when it begins."""

    async def main():
        venue = VenueDouble(VirtualClock(), **{k: desk.pop(k) for k in ("markets", "abilities") if k in desk})
        service = Desk(venue, **desk)
        await venue.start()
        await anyio.sleep(0.05)
        told = await story(venue, service)
        assert venue.broken == []
        return told

    return run_virtual(main())


def at_rest(result: TrackingResult, venue: VenueDouble) -> None:
    """Nothing lives, everything is settled, and what we believe is the truth."""
    assert venue.maybe_live == []
    assert result.settled
    assert result.filled_i == venue.true_filled_i <= result.wanted.quantity_i
    for order in result.orders:
        assert order.filled_i == venue.true[order.client_id].filled_i
