"""
The invariants of DESIGN section 4, looked at after every event of a simulated run.

The truth is the simulator's own books. A breach raises :class:`Breach` with the promise that was broken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from execution import tracking_limit
from execution.order import TERMINAL, State
from execution.orders import Orders
from execution.tracking_limit import Reason
from strategy.trading import dust_of
from venues.events import BookSeen, FillSeen, SessionSeen, SnapshotSeen, VenueEvent
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
        self._coins = self._wallets()
        self._seen: dict[int, tuple[State, int]] = {}
        self._last: tuple[int, ...] = ()
        self._behind_ms: int | None = None

    def __call__(self, event: VenueEvent) -> None:
        # Listeners must not raise into the feed; what is found is raised at the end.
        if isinstance(event, BookSeen) and self._mark() == self._last:
            # Most events are quotes; while nothing of ours has moved on either side there is nothing new to see.
            return
        self.breaches += self.heard(event)
        self.breaches += self.look()
        self._last = self._mark()

    def _mark(self) -> tuple[int, ...]:
        """Changes whenever an order does, here or at the venue."""
        desk, engine = self.desk, self.engine
        attempts = sum(len(result.attempts) for result in desk.trackings)
        heard = sum(len(order.history) for order in desk.book.values())
        live = sum(map(len, engine.open.values()))
        return len(engine.orders), len(engine.fills), live, heard, attempts, len(desk.halted)

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
        """The venue's orders of ours, by our client id; those that it made itself are nobody's."""
        found: dict[int, list[Any]] = {}
        for order in self.engine.orders.values():
            if order.owner and order.client_id is not None and not order.origin:
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
            elif ours.settled and not self._told_i(ours, orders[0]) <= ours.filled_i <= self._base_i(ours, orders[0]):
                yield f"order {client_id} settled at {ours.filled_i}, truly {self._base_i(ours, orders[0])}"
        foreign = {str(order.id) for order in self.engine.orders.values() if order.origin}
        for order in self.desk.book.values():
            # After a late word about the order its late trade is still to come.
            if order.settled and order.traded_i != order.filled_i and not order.alarms:
                yield f"order {order.client_id} settled at {order.filled_i} with trades for {order.traded_i}"
            known = self._seen.get(order.client_id)
            if known is not None:
                state, filled_i = known
                if order.filled_i < filled_i:
                    yield f"order {order.client_id}: the fill went back from {filled_i} to {order.filled_i}"
                late = (state, order.state) == (State.CANCELLED, State.FILLED)
                if state in TERMINAL and order.state is not state and not late:
                    yield f"order {order.client_id} reopened: {state} to {order.state}"
            raised = known is not None and known[0] in TERMINAL and order.filled_i > known[1]
            if raised and order.settled and not order.alarms:
                yield f"order {order.client_id}: a fill after its end raised no alarm"
            self._seen[order.client_id] = (order.state, order.filled_i)
            for trade in order.fills.values():
                if trade.venue_id in foreign:
                    yield f"order {order.client_id}: the venue's own order {trade.venue_id} is counted as ours"
        for result in self.desk.trackings:
            wanted, orders_of_leg = result.wanted, self.desk.of_leg(result.wanted.leg)
            rows = [(order, row) for order in orders_of_leg for row in theirs.get(order.client_id, ())]
            # Where the venue told an end with too small a count, what it adds comes on top of what was sent since.
            late_i = sum(self._base_i(order, row) - self._told_i(order, row) for order, row in rows)
            true_i = sum(self._base_i(order, row) for order, row in rows) - late_i
            if true_i > wanted.quantity_i:
                yield f"leg {wanted.leg} truly filled {true_i} of {wanted.quantity_i}"
            # The ledger, reckoned here once more: Q = R + settled + unsettled.
            charged_i = sum(o.filled_i if o.settled else max(o.intent.size_i, o.filled_i) for o in orders_of_leg)
            if charged_i - late_i > wanted.quantity_i:
                yield f"leg {wanted.leg} has more charged than its quantity"
            if tracking_limit.unreserved_i(wanted.quantity_i, orders_of_leg) != wanted.quantity_i - charged_i:
                yield f"leg {wanted.leg}: what is free is not what is neither settled nor charged"
            for attempt in result.attempts:
                unknown = attempt.ended_ms is not None and not attempt.order.settled
                if unknown and attempt.order.intent.venue_symbol not in self.desk.halted:
                    yield f"order {attempt.order.client_id}: its attempt ended without proof, and nothing is halted"
            if sum(not order.terminal for order in orders_of_leg) > 1 and result.reason is not Reason.IN_DOUBT:
                yield f"leg {wanted.leg} has more than one possibly-live order"

    def final(self, *, said_flat: bool) -> Iterable[str]:
        """What must hold once the run has ended."""
        yield from self.look()
        live = [order for orders in self.theirs().values() for order in orders if order.live]
        if said_flat and live:
            yield f"the outcome says flat, {len(live)} orders are live"
        if said_flat and self._held():
            yield "the outcome says flat, a position is held"
        if said_flat and self.desk.unsettled():
            yield "the outcome says flat, an order is not settled"

    def forced_i(self) -> int:
        """What the venue's own orders have changed of the positions, in its units."""
        own = {order.id for order in self.engine.orders.values() if order.origin}
        return sum(-fill.size_i if fill.is_ask else fill.size_i for fill in self.engine.fills if fill.order_id in own)

    def _held(self) -> bool:
        """A perp position, or more coins or fewer than at the start, dust left aside."""
        if any(held.net_i for account in self.engine.accounts.values() for held in account.positions.values()):
            return True
        dust = {market.facts.base: dust_of(market) for market in self.desk.positions.markets.values()}
        now = self._wallets()
        return any(
            abs(now[each] - coins) >= dust.get(each[1], 0) for each, coins in self._coins.items() if each[1] in dust
        )

    def _wallets(self) -> dict[tuple[str, str], Decimal]:
        """Every coin of every account, whatever the venue has taken away meanwhile."""
        return {
            (owner, asset): balance.free + balance.locked - self.engine.moved.get((owner, asset), 0)
            for owner, account in self.engine.accounts.items()
            for asset, balance in account.balances.items()
        }

    def _base_i(self, ours: Any, theirs: Any) -> int:
        """The venue's fill on our grid: engines may count in wider decimals."""
        return self._on_our_grid(ours, theirs, theirs.filled_i)

    def _told_i(self, ours: Any, theirs: Any) -> int:
        """The part of the venue's fill that it had told when it told the end."""
        return self._on_our_grid(ours, theirs, theirs.filled_i - theirs.late_i)

    def _on_our_grid(self, ours: Any, theirs: Any, size_i: int) -> int:
        theirs_decimals: int = self.engine.listings[theirs.symbol].size_decimals
        if ours.intent.size_decimals == theirs_decimals:
            return size_i
        return size_i * 10**ours.intent.size_decimals // 10**theirs_decimals
