"""
The invariants of DESIGN section 4, looked at after every event of a simulated run.

The truth is the simulator's own books. A breach raises :class:`Breach` with the promise that was broken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from execution.order import TERMINAL, State
from execution.orders import Orders
from execution.tracking_limit import Reason, unreserved_i
from venues.events import FillSeen, SessionSeen, SnapshotSeen, VenueEvent
from venues.simulation.records import State as Theirs


class Breach(AssertionError):
    """A promise was broken."""


class Watch:
    """Follows one account: its order service on our side, the engine on the venue's."""

    def __init__(self, desk: Orders, engine: Any, owner: str, client_id_of: Any) -> None:
        self.desk = desk
        self.engine = engine
        self.owner = owner
        self.breaches: list[str] = []
        self._client_id_of = client_id_of
        self._measure: dict[str, Fraction] = {}
        self._seen: dict[int, tuple[State, int]] = {}
        self._behind_ms: int | None = None

    def __call__(self, event: VenueEvent) -> None:
        # Listeners must not raise into the feed; what is found is raised at the end.
        self.breaches += self.heard(event)
        self.breaches += self.look()

    def heard(self, event: VenueEvent) -> Iterable[str]:
        """Promises about what this event must have caused: our order service heard it just before."""
        fills: tuple[FillSeen, ...] = ()
        match event:
            case FillSeen():
                fills = (event,)
            case SessionSeen(state="lost") if not self.desk.venue.synced and self._behind_ms is None:
                self._behind_ms = self.desk.clock.now_ms()
            case SnapshotSeen():
                fills = tuple(event.fills)
                if self._behind_ms is not None:
                    now_ms = self.desk.clock.now_ms()
                    for order in self.desk.book.values():
                        if self._behind_ms < order.intent.created_ms < now_ms:
                            yield f"order {order.client_id} was sent before the snapshot after a break was merged"
                self._behind_ms = None
        for fill in fills:
            for order in self.desk.book.values():
                named = fill.client_id == order.client_id or (
                    fill.client_id is None and fill.venue_id == order.venue_id
                )
                if named and fill.symbol == order.intent.venue_symbol and fill.trade_id not in order.fills:
                    yield f"order {order.client_id}: the told trade {fill.trade_id} was dropped"

    def theirs(self) -> Mapping[int, list[Any]]:
        """The venue's orders of ours, by our client id."""
        found: dict[int, list[Any]] = {}
        for order in self.engine.orders.values():
            if order.owner == self.owner and order.client_id is not None:
                found.setdefault(self._client_id_of(order.client_id), []).append(order)
        return found

    def look(self) -> Iterable[str]:
        """Every promise that does not hold now, in words."""
        theirs = self.theirs()
        for client_id, orders in theirs.items():
            if len(orders) > 1:
                yield f"client id {client_id} was executed {len(orders)} times"
            ours = self.desk.book.get(client_id)
            if ours is None:
                yield f"order {client_id} reached the venue without an intent"
            elif ours.state is State.FAILED and (
                orders[0].filled_i or orders[0].state in (Theirs.OPEN, Theirs.CANCELLED)
            ):
                yield f"order {client_id} is FAILED here and lived there"
            elif ours.filled_i > ours.intent.size_i:
                yield f"order {client_id} is overfilled"
            elif ours.settled and ours.filled_i != self._base_i(ours, orders[0]):
                yield f"order {client_id} settled at {ours.filled_i}, truly {self._base_i(ours, orders[0])}"
        for order in self.desk.book.values():
            if order.settled and order.traded_i != order.filled_i:
                yield f"order {order.client_id} settled at {order.filled_i} with trades for {order.traded_i}"
            known = self._seen.get(order.client_id)
            if known is not None:
                state, filled_i = known
                if order.filled_i < filled_i:
                    yield f"order {order.client_id}: the fill went back from {filled_i} to {order.filled_i}"
                late = (state, order.state) == (State.CANCELLED, State.FILLED)
                if state in TERMINAL and order.state is not state and not late:
                    yield f"order {order.client_id} reopened: {state} to {order.state}"
            self._seen[order.client_id] = (order.state, order.filled_i)
        for result in self.desk.trackings:
            wanted, orders_of_leg = result.wanted, self.desk.of_leg(result.wanted.leg)
            true_i = sum(self._base_i(o, row) for o in orders_of_leg for row in theirs.get(o.client_id, ()))
            if true_i > wanted.quantity_i:
                yield f"leg {wanted.leg} truly filled {true_i} of {wanted.quantity_i}"
            if unreserved_i(wanted.quantity_i, orders_of_leg) < 0:
                yield f"leg {wanted.leg} has more charged than its quantity"
            if sum(not order.terminal for order in orders_of_leg) > 1 and result.reason is not Reason.IN_DOUBT:
                yield f"leg {wanted.leg} has more than one possibly-live order"

    def final(self, *, said_flat: bool) -> Iterable[str]:
        """What must hold once the run has ended."""
        yield from self.look()
        live = [order for orders in self.theirs().values() for order in orders if order.live]
        if said_flat and live:
            yield f"the outcome says flat, {len(live)} orders are live"
        if said_flat and any(position.net_i for position in self.engine.accounts[self.owner].positions.values()):
            yield "the outcome says flat, a position is held"
        if said_flat and self.desk.unsettled():
            yield "the outcome says flat, an order is not settled"

    def _base_i(self, ours: Any, theirs: Any) -> int:
        """The venue's fill on our grid: engines may count contracts or wider decimals."""
        # A reduce-only order may have been clipped, so only the others give the measure.
        if not ours.intent.reduce_only and theirs.size_i:
            self._measure[theirs.symbol] = Fraction(ours.intent.size_i, theirs.size_i)
        return int(theirs.filled_i * self._measure.get(theirs.symbol, Fraction(1)))
