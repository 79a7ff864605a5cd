"""
Each clause of the settlement rule taken away, one at a time: the simulated runs must notice.

    python tests/simulate/mutations.py --seeds 2000              # each until it is caught
    python tests/simulate/mutations.py --only timeout_is_failure

A clause that nothing notices when it is gone is either not needed or not tested.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))

import msgspec
from simulate import CRASH_EVERY, run_seed

from execution import order as order_model
from execution import tracking_limit
from execution.order import Cause, Deed, Order, State
from execution.orders import Orders
from venues import VENUES
from venues.errors import Refused, VenueError
from venues.events import FillSeen, OrderSeen
from venues.interface import Absent
from venues.session import Streams


@dataclass(frozen=True)
class Mutation:
    """A clause and the way to take it away."""

    clause: str
    applied: Callable[[], contextlib.AbstractContextManager[Any]]


def _ack_settles() -> Any:
    plain = Orders.cancel

    async def cancel(self: Orders, order: Order) -> None:
        await plain(self, order)
        if order.cancel_ack_ms is not None:
            self._settled(order)

    return patch.object(Orders, "cancel", cancel)


def _not_found_settles() -> Any:
    async def cancel(self: Orders, order: Order) -> None:
        if order.over:
            return
        self._apply(order, Deed(kind="cancel_requested"))
        try:
            await self.venue.cancel_by_client_id(order.intent.venue_symbol, order.client_id)
        except Refused as error:
            if error.code == "ORDER_NOT_FOUND":
                self._settled(order)
        except VenueError as error:
            self.note(error.code, str(error))
        else:
            self._apply(order, Deed(kind="cancel_acked"))

    return patch.object(Orders, "cancel", cancel)


def _timeout_fails() -> Any:
    plain = Orders._apply

    def apply(self: Orders, order: Order, given: Any) -> None:
        if isinstance(given, Deed) and given.kind == "doubt" and order.state is State.SUBMITTING:
            given = Deed(kind="refused", code=given.code, text=given.text)
        plain(self, order, given)

    return patch.object(Orders, "_apply", apply)


def _absence(sooner_ms: Callable[[Orders], int]) -> Any:
    """A reading of absence proves that much sooner."""
    plain = Orders._absence_proves

    def proves(self: Orders, order: Order, absent: Absent) -> bool:
        return plain(self, order, msgspec.structs.replace(absent, read_ms=absent.read_ms + sooner_ms(self)))

    return patch.object(Orders, "_absence_proves", proves)


def _fence_without_look_up() -> Any:
    async def fenced(self: Orders, order: Order) -> bool:
        if not self.venue.abilities.fence:
            return False
        await self.venue.fence(order.intent.venue_symbol, order.client_id)
        self._apply(order, Deed(kind="refused", code="IN_DOUBT", text="fenced"))
        return order.proven

    return patch.object(Orders, "_fenced", fenced)


def _trades_need_not_add_up() -> Any:
    return patch.object(Order, "proven", property(lambda self: self.over))


def _words_after_the_end_dropped() -> Any:
    plain = Order._take_fill

    def take(self: Order, fill: FillSeen) -> tuple[str, str]:
        return ("stale", "") if self.over else plain(self, fill)

    return patch.object(Order, "_take_fill", take)


def _late_fill_dropped() -> Any:
    plain_fill, plain_seen = Order._take_fill, Order._take_seen

    def take_fill(self: Order, fill: FillSeen) -> tuple[str, str]:
        late = self.over and fill.trade_id not in self.fills and self.traded_i + fill.size_i > self.filled_i
        return ("stale", "") if late else plain_fill(self, fill)

    def take_seen(self: Order, seen: OrderSeen, ts_ms: int) -> tuple[str, str]:
        return ("stale", "") if self.over and seen.filled_i > self.filled_i else plain_seen(self, seen, ts_ms)

    return _both(patch.object(Order, "_take_fill", take_fill), patch.object(Order, "_take_seen", take_seen))


def _duplicates_count() -> Any:
    plain = Order._take_fill

    def take(self: Order, fill: FillSeen) -> tuple[str, str]:
        if fill.trade_id in self.fills:
            self.traded_i += fill.size_i
        return plain(self, fill)

    return patch.object(Order, "_take_fill", take)


def _old_words_count() -> Any:
    plain = Order._take_seen

    def take(self: Order, seen: OrderSeen, ts_ms: int) -> tuple[str, str]:
        self.cumulative_i = seen.filled_i
        return plain(self, seen, ts_ms)

    return patch.object(Order, "_take_seen", take)


def _ends_reopen() -> Any:
    moves = {
        (State.CANCELLED, Cause.ACCEPT): State.OPEN,
        (State.CANCELLED, Cause.FILL_PART): State.PARTIALLY_FILLED,
        (State.FAILED, Cause.ACCEPT): State.OPEN,
    }
    return patch.dict(order_model.MOVES, moves)


def _timeout_resubmits() -> Any:
    plain = Orders.place_limit

    async def place(self: Orders, market: Any, **wanted: Any) -> Order:
        order = await plain(self, market, **wanted)
        if order.in_doubt:
            order = await plain(self, market, **wanted)
        return order

    return patch.object(Orders, "place_limit", place)


def _reservation_forgets() -> Any:
    def unreserved_i(quantity_i: int, orders: Any) -> int:
        return quantity_i - sum(order.filled_i for order in orders)

    return patch.object(tracking_limit, "unreserved_i", unreserved_i)


def _unknown_goes_on() -> Any:
    plain = Orders.settle

    async def settle(self: Orders, order: Order, *args: Any, **settings: Any) -> int | None:
        z = await plain(self, order, *args, **settings)
        return order.filled_i if z is None else z

    return patch.object(Orders, "settle", settle)


def _nothing_looked_up() -> Any:
    async def prove(self: Orders, order: Order) -> bool:
        return order.proven

    return patch.object(Orders, "_prove", prove)


def _snapshot_not_merged() -> Any:
    return patch.object(Orders, "_merge", lambda self, snapshot: None)


def _synced_before_snapshot() -> Any:
    plain = Streams.line_up

    def line_up(self: Streams, session: Any) -> None:
        plain(self, session)
        if self._all_up.is_set():
            self.synced = True
            self._synced_event.set()

    return patch.object(Streams, "line_up", line_up)


@contextlib.contextmanager
def _both(*patches: Any) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for each in patches:
            stack.enter_context(each)
        yield


MUTATIONS: Final[Mapping[str, Mutation]] = {
    "cancel_ack_settles": Mutation("A cancel acknowledgement is no settlement", _ack_settles),
    "not_found_settles": Mutation("A cancel answered 'no such order' is no settlement", _not_found_settles),
    "timeout_is_failure": Mutation("A lost answer never means FAILED", _timeout_fails),
    "absence_at_once": Mutation("Absence proves nothing at once", lambda: _absence(lambda desk: 10**12)),
    "absence_without_expiry": Mutation(
        "Absence proves only after the submit has expired",
        lambda: _absence(lambda desk: desk.venue.abilities.expiry_ms),
    ),
    "absence_without_read_lag": Mutation(
        "Absence proves only in a reading that is younger than the venue's read lag",
        lambda: _absence(lambda desk: desk.venue.abilities.read_lag_ms),
    ),
    "fence_without_look_up": Mutation("A fence proves only together with a look-up after it", _fence_without_look_up),
    "trades_need_not_add_up": Mutation("Trades add up to the venue's count at settlement", _trades_need_not_add_up),
    "fills_after_the_end_dropped": Mutation("A trade told after the end is taken", _words_after_the_end_dropped),
    "late_fill_dropped": Mutation("A late fill raises the quantity", _late_fill_dropped),
    "duplicates_count": Mutation("A trade counts once", _duplicates_count),
    "old_words_count": Mutation("The cumulative fill never goes back", _old_words_count),
    "ends_reopen": Mutation("A terminal state never reopens", _ends_reopen),
    "timeout_resubmits": Mutation("Doubt is never resolved by sending again", _timeout_resubmits),
    "both_locks_off": Mutation(
        "An unknown end halts, and unsettled orders stay charged",
        lambda: _both(_reservation_forgets(), _unknown_goes_on()),
    ),
    "reservation_forgets": Mutation("Unsettled orders stay charged", _reservation_forgets),
    "unknown_goes_on": Mutation("An order whose end is unknown halts the chase", _unknown_goes_on),
    "nothing_looked_up": Mutation("What the streams do not tell is looked up", _nothing_looked_up),
    "snapshot_not_merged": Mutation("What was missed in a break is merged", _snapshot_not_merged),
    "synced_before_snapshot": Mutation("Nothing is sent before the snapshot is merged", _synced_before_snapshot),
}
"""Every mutation, by name."""


def run_mutant(name: str, venue: str, seed: int) -> str:
    """The first promise that a seed breaks under a mutation; empty when it breaks none."""
    with MUTATIONS[name].applied():
        return next(iter(run_seed(venue, seed).breaches), "")


def catch(name: str, seeds: int, pool: ProcessPoolExecutor, batch: int = 40) -> tuple[int, str, str] | None:
    """``(seed, venue, breach)`` of the first seed that notices, or None."""
    venues = list(VENUES)
    for first in range(0, seeds, batch):
        # Those that the door plays as plays whose process dies are left out.
        plain = [seed for seed in range(first, min(seeds, first + batch)) if seed % CRASH_EVERY != CRASH_EVERY - 1]
        work = [(name, venues[seed % len(venues)], seed) for seed in plain]
        for (_, venue, seed), breach in zip(
            work, pool.map(run_mutant, *zip(*work, strict=True), chunksize=4), strict=True
        ):
            if breach:
                return seed, venue, breach
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Take away one clause at a time until a seed notices.")
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--only", action="append", default=[], choices=list(MUTATIONS))
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args(arguments)
    wrong = 0
    with ProcessPoolExecutor(args.jobs) as pool:
        for name in args.only or MUTATIONS:
            found = catch(name, args.seeds, pool)
            if found is None:
                print(f"{name}: NOT CAUGHT in {args.seeds} seeds", flush=True)
                wrong += 1
                continue
            seed, venue, breach = found
            print(f"{name}: caught by seed {seed} on {venue}: {breach}", flush=True)
    print(f"mutations: {len(args.only or MUTATIONS) - wrong} caught, {wrong} not")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
