"""
The usual hand-written chase, in the same runs as ours: how often each trades more than it was asked to.

    python tests/simulate/naive.py --seeds 2000
    python tests/simulate/naive.py --seeds 500 --calm      # the same without any fault

It awaits the cancel's reply and takes that for the end of the order, trusts the fills its stream told it (each trade
once), and when a submit times out it sends the remainder again. It uses the same connector, so it has the same
reconnects, the same clean errors and the same wire; only the rule is missing.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))

from simulate import run_seed
from watch import Watch

from core.clock import within
from execution import orders as order_service
from execution.markets import Market
from execution.orders import Orders
from execution.tracking_limit import Reason, TrackingLimit, TrackingResult
from venues import VENUES
from venues.errors import LocalRuleError, Refused, VenueError
from venues.events import FillSeen, VenueEvent

POLL_SECS = 0.1
PAUSE_SECS = 1.0


@dataclass
class Leg:
    """One chase: what it was asked for on the market's grid, and the client ids of the orders it sent."""

    wanted_i: int
    decimals: int
    sent: set[int] = field(default_factory=set)


@dataclass
class Chases:
    """Stands in for our tracking limit in one run."""

    legs: list[Leg] = field(default_factory=list)
    ids: Iterator[int] = field(default_factory=lambda: count(1))

    async def chase(self, orders: Orders, market: Market, wanted: TrackingLimit) -> TrackingResult:
        """Rest at the own side's best, cancel every interval, send what is left."""
        venue, pace = orders.venue, orders.pace
        leg = Leg(wanted.quantity_i, market.facts.size_decimals)
        self.legs.append(leg)
        fills: dict[str, FillSeen] = {}
        venue_ids: set[str] = set()

        def hear(event: VenueEvent) -> None:
            if isinstance(event, FillSeen):
                fills[event.trade_id] = event

        def left_i() -> int:
            mine = (f for f in fills.values() if f.client_id in leg.sent or f.venue_id in venue_ids)
            return wanted.quantity_i - sum(fill.size_i for fill in mine)

        async def filled() -> None:
            while left_i() > 0:
                await pace.sleep(POLL_SECS)

        stop = venue.subscribe(hear)
        deadline = pace.monotonic() + wanted.timeout_secs
        try:
            for _ in range(wanted.max_attempts):
                if pace.monotonic() >= deadline or orders.stopping:
                    break
                try:
                    bid_i, ask_i, _ = await venue.get_top_of_book(market.venue_symbol)
                except VenueError:
                    bid_i = ask_i = None
                own_i = ask_i if wanted.is_ask else bid_i
                if own_i is None:
                    await pace.sleep(PAUSE_SECS)
                    continue
                price_i = market.passive_price(own_i, is_ask=wanted.is_ask)
                size_i = market.floor_size(left_i())
                if size_i < market.smallest_order(price_i, reduce_only=wanted.reduce_only):
                    break
                client_id = next(self.ids)
                leg.sent.add(client_id)
                try:
                    venue_id = await venue.submit_limit_order(
                        symbol=market.venue_symbol,
                        client_order_index=client_id,
                        base_amount=size_i,
                        price=price_i,
                        is_ask=wanted.is_ask,
                        post_only=True,
                        reduce_only=int(wanted.reduce_only and market.kind == "perp"),
                    )
                except (LocalRuleError, Refused):
                    await pace.sleep(PAUSE_SECS)
                    continue
                except VenueError:
                    # No answer: "it did not arrive".
                    continue
                venue_ids |= {venue_id} - {""}
                await within(pace, min(wanted.interval_secs, deadline - pace.monotonic()), filled)
                try:
                    await venue.cancel_by_client_id(market.venue_symbol, client_id)
                except VenueError:
                    # "It is gone already."
                    continue
        finally:
            stop()
        return TrackingResult(wanted, market, Reason.FILLED if left_i() <= 0 else Reason.TIMEOUT)


@dataclass
class Told:
    """One seed with one chase: legs, those that truly traded more than asked, and the worst share of excess."""

    legs: int = 0
    over: int = 0
    worst: float = 0.0
    left_live: int = 0


def tell(legs: Sequence[Leg], watch: Watch) -> Told:
    """
    The truth about these legs, from the venue's books. Trades that the venue told after it had told another end are
    left out for both chases: no rule is safe from them.
    """
    told = Told()
    theirs = watch.theirs()
    for leg in legs:
        rows = [row for client_id in leg.sent for row in theirs.get(client_id, ())]
        size_of = watch.engine.listings
        true = sum(size_of[row.symbol].size(row.filled_i - row.late_i) for row in rows) * 10**leg.decimals
        told.legs += 1
        if true > leg.wanted_i:
            told.over += 1
            told.worst = max(told.worst, float(true) / leg.wanted_i - 1)
        told.left_live += sum(row.live for row in rows)
    return told


def compare(venue: str, seed: int, calm: bool = False) -> tuple[Told, Told]:
    """``(ours, naive)`` of one seed: the same scenario, the same faults (``calm``: none)."""
    rules: list[dict[str, Any]] | None = [] if calm else None
    told: list[Told] = []

    def ours(watch: Watch) -> None:
        legs = []
        for result in watch.desk.trackings:
            sent = {order.client_id for order in watch.desk.of_leg(result.wanted.leg)}
            legs.append(Leg(result.wanted.quantity_i, result.market.facts.size_decimals, sent))
        told.append(tell(legs, watch))

    run_seed(venue, seed, rules, after=ours)
    chases = Chases()
    with patch.object(order_service, "place_tracking_limit_order", chases.chase):
        run_seed(venue, seed, rules, after=lambda watch: told.append(tell(chases.legs, watch)))
    first, second = told
    return first, second


def main() -> int:
    parser = argparse.ArgumentParser(description="Both overfill rates, in the same runs under the same faults.")
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--calm", action="store_true", help="without any fault")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    venues = list(VENUES)
    work = [(venues[seed % len(venues)], seed, args.calm) for seed in range(args.seeds)]
    with ProcessPoolExecutor(args.jobs) as pool:
        pairs = list(pool.map(compare, *zip(*work, strict=True), chunksize=8))
    for name, rows in (("ours", [ours for ours, _ in pairs]), ("naive", [naive for _, naive in pairs])):
        sums = Counter(legs=sum(r.legs for r in rows), over=sum(r.over for r in rows))
        runs = sum(row.over > 0 for row in rows)
        print(
            f"{name}: {sums['over']} of {sums['legs']} chases overfilled ({sums['over'] / max(1, sums['legs']):.2%}), "
            f"in {runs} of {len(rows)} runs; the worst by {max(row.worst for row in rows):.0%}; "
            f"{sum(row.left_live for row in rows)} orders left live at the end of a run"
        )
    return 1 if any(ours.over for ours, _ in pairs) else 0


if __name__ == "__main__":
    raise SystemExit(main())
