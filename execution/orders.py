"""
The orders of one account: the only way to the venue.

Every order goes market check → risk check → durable intent → wire. Every word the venue says, from stream or REST, goes
through :meth:`Orders.hear` into one :class:`~execution.order.Order`. Doubt is resolved by :meth:`Orders.settle`, never
by sending again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import anyio

from core.chance import Chance
from core.clock import Clock
from core.log import LEVELS, get
from core.retry import backoff
from execution.journal import Journal
from execution.markets import Market, Markets
from execution.order import Deed, Entry, Input, Intent, Order
from execution.positions import Positions
from execution.risk import Risk
from execution.timeline import Timelines
from execution.tracking_limit import TrackingLimit, TrackingResult, place_tracking_limit_order
from venues.errors import LocalRuleError, Refused, VenueError
from venues.events import (
    BalanceSeen,
    BookSeen,
    FillSeen,
    MarginSeen,
    OrderSeen,
    PositionSeen,
    SessionSeen,
    SnapshotSeen,
    Unreadable,
    VenueEvent,
)
from venues.interface import Absent, Venue

log = get(__name__)

SETTLE_SECS: Final = 30.0
"""How long a settlement is tried before the order counts as in doubt. Longer than any expiry + read lag."""
_SKEW_MS: Final = 1_000
_STREAM_GRACE_SECS: Final = 0.3
_ORPHANS: Final = 1_000
_LIST_TRIES: Final = 6
_DEBUG, _INFO = LEVELS["DEBUG"], LEVELS["INFO"]


@dataclass(slots=True)
class Break:
    """One loss of the streams; ``synced_ms`` None while it lasts."""

    lost_ms: int
    why: str
    synced_ms: int | None = None


class Orders:
    """
    Orders of one account on one venue.

    ``clock`` is real time (doubt, expiry, settlement); ``pace`` is the clock of the play, faster under ``--speed``.
    """

    def __init__(
        self,
        *,
        venue: Venue,
        account: str,
        clock: Clock,
        pace: Clock,
        chance: Chance,
        journal: Journal,
        timelines: Timelines,
        positions: Positions,
        risk: Risk,
        play: str = "",
    ) -> None:
        self.venue = venue
        self.account = account
        self.play = play
        """What ``caps.play_notional_usd`` counts our orders to."""
        self.clock = clock
        self.pace = pace
        self.markets = Markets(venue)
        self.positions = positions
        self.timelines = timelines
        self.book: dict[int, Order] = {}
        """Every order of this run and those adopted from before, by client id."""
        self.halted: dict[str, str] = {}
        """Venue symbols that take no new orders, with the reason."""
        self.halted_by_hand = ""
        """Set, no market takes new orders, and this is why."""
        self.breaks: list[Break] = []
        self.errors: list[tuple[int, str, str, str]] = []
        """``(ts_ms, code, text, source)`` of what went wrong and was survived."""
        self.trackings: list[TrackingResult] = []
        self.stopping = False
        self.closing = False
        """Set for the cleanup: its market orders that reduce pass the price band, see :class:`PriceBand`."""
        self.taken_over: dict[str, Decimal] = {}
        """By venue symbol: a position from before the run that the run was told to close, signed base units."""
        self.strangers = 0
        """Words about orders of this account that are not ours."""
        self._chance = chance
        self._journal = journal
        self._risk = risk
        self._by_venue_id: dict[str, int] = {}
        self._legs: dict[str, list[Order]] = {}
        self._orphans: deque[OrderSeen | FillSeen] = deque(maxlen=_ORPHANS)
        self._bells: dict[int, anyio.Event] = {}
        self._unwritten: dict[int, Order] = {}
        self._leaving: dict[int, asyncio.Task[Any] | None] = {}
        """Client ids whose request may not have left yet, with the task that sends it; None: it was called back."""
        self._logged = log.isEnabledFor
        self._hearers = self._hearing(positions.listen(venue.name))
        self.stop_listening = venue.subscribe(self.hear)

    # -- placing

    async def place_limit(
        self,
        market: Market,
        *,
        is_ask: bool,
        size_i: int,
        price_i: int,
        leg: str,
        post_only: bool = True,
        reduce_only: bool = False,
    ) -> Order:
        """
        Send one limit order. The returned order may be FAILED (proven never live) or ``in_doubt``.

        Raises:
            LocalRuleError: it was refused before it existed, also as PRICE_BAND; nothing was sent.
        """
        if type(price_i) is not int:
            # To the gate, no price means a market order; a limit order must never become one.
            raise LocalRuleError("PRICE_RANGE", f"a limit order needs a price, got {price_i!r}")
        market.check(size_i=size_i, price_i=price_i, reduce_only=reduce_only)
        await self._risk.band.read_and_check(self.venue, market, price_i)
        intent = self._intent(market, is_ask, size_i, price_i, leg, post_only=post_only, reduce_only=reduce_only)
        return await self._send(market, intent, price_i)

    async def place_market(
        self, market: Market, *, is_ask: bool, size_i: int, leg: str, reduce_only: bool = False
    ) -> Order:
        """
        Trade at once against the book; returns and raises as :meth:`place_limit`.

        Raises:
            LocalRuleError: also STALE_BOOK when the side to trade against is empty or unknown.
        """
        bid_i, ask_i, _ = await self.venue.get_top_of_book(market.venue_symbol)
        reference_i = bid_i if is_ask else ask_i
        if reference_i is None:
            raise LocalRuleError("STALE_BOOK", f"nobody to trade with on {market.venue_symbol}: the side is empty")
        if not (self.closing and reduce_only):
            self._risk.band.check_market(market, bid_i, ask_i, is_ask=is_ask)
        market.check(size_i=size_i, price_i=None, reference_i=reference_i, reduce_only=reduce_only)
        intent = self._intent(market, is_ask, size_i, None, leg, reduce_only=reduce_only)
        return await self._send(market, intent, reference_i)

    async def tracking_limit(self, market: Market, wanted: TrackingLimit) -> TrackingResult:
        """See :func:`execution.tracking_limit.place_tracking_limit_order`."""
        return await place_tracking_limit_order(self, market, wanted)

    def _intent(
        self,
        market: Market,
        is_ask: bool,
        size_i: int,
        price_i: int | None,
        leg: str,
        *,
        post_only: bool = False,
        reduce_only: bool = False,
    ) -> Intent:
        return Intent(
            venue=self.venue.name,
            account=self.account,
            symbol=market.symbol,
            market=market.kind,
            venue_symbol=market.venue_symbol,
            is_ask=is_ask,
            size_i=size_i,
            price_i=price_i,
            price_decimals=market.facts.price_decimals,
            size_decimals=market.facts.size_decimals,
            leg=leg,
            created_ms=self.clock.now_ms(),
            expiry_ms=self.venue.venue_now_ms() + self.venue.abilities.expiry_ms,
            post_only=post_only,
            # Spot has no position to reduce; its closing orders are bounded by the balance.
            reduce_only=reduce_only and market.kind == "perp",
        )

    async def _send(self, market: Market, intent: Intent, price_i: int) -> Order:
        symbol = intent.venue_symbol
        opens = self._risk.check(market, intent, price_i, self.play)
        if self.halted_by_hand:
            raise LocalRuleError("HALTED", f"no new orders: {self.halted_by_hand}")
        if symbol in self.halted:
            raise LocalRuleError("HALTED", f"no new orders for {symbol}: {self.halted[symbol]}")
        if not self.venue.synced:
            raise LocalRuleError("NOT_SYNCED", f"the stream of {self.venue.name} is not up to date; nothing was sent")
        intent = self._journal.intend(intent, self.venue.abilities.max_client_id, opens_usd=opens, play=self.play)
        order = self._enter(intent)
        self.timelines.begin(order)
        self._risk.charge(market, order, price_i, opens, self.play)
        self._apply(order, Deed(kind="sent"))
        task = asyncio.current_task()
        assert task is not None
        self._leaving[order.client_id], cancelled_before = task, task.cancelling()
        try:
            both: dict[str, Any] = {"symbol": symbol, "client_order_index": order.client_id, "is_ask": intent.is_ask}
            both["reduce_only"] = int(intent.reduce_only)
            if intent.price_i is None:
                venue_id = await self.venue.submit_market_order(size_i=intent.size_i, **both)
            else:
                venue_id = await self.venue.submit_limit_order(
                    base_amount=intent.size_i, price=intent.price_i, post_only=intent.post_only, **both
                )
        except (LocalRuleError, Refused) as error:
            if error.code == "DUPLICATE_CLIENT_ID" and isinstance(error, Refused):
                # Somebody's order lives under this id; if it is ours from a lost request, only a look-up tells.
                self._apply(order, Deed(kind="doubt", code=error.code, text=str(error)))
            else:
                self._apply(order, Deed(kind="refused", code=error.code, text=error.raw or error.hint))
            self.note(error.code, str(error))
        except VenueError as error:
            self._apply(order, Deed(kind="doubt", code="IN_DOUBT", text=str(error)))
            self.note("IN_DOUBT", str(error))
        except BaseException as error:
            # Cancelled while the bytes may be on their way.
            self._apply(order, Deed(kind="doubt", code="IN_DOUBT", text="interrupted while sending"))
            called_back = self._leaving[order.client_id] is None and task.cancelling() == cancelled_before + 1
            if not (called_back and isinstance(error, asyncio.CancelledError)):
                raise
        else:
            queued = self.venue.abilities.ack_is_queued and not venue_id
            self._apply(order, Deed(kind="queued" if queued else "acked", venue_id=venue_id))
        finally:
            if self._leaving.pop(order.client_id) is None:
                task.uncancel()
        return order

    def _enter(self, intent: Intent) -> Order:
        order = self.book[intent.client_id] = Order(intent)
        self._legs.setdefault(intent.leg, []).append(order)
        return order

    def of_leg(self, leg: str) -> Sequence[Order]:
        """Every order that was ever meant for this leg, sent or not."""
        return self._legs.get(leg, ())

    def traded(self, market: Market) -> Decimal:
        """Signed base units: what the run took over, plus all our fills, on spot less the fees taken in the coin."""
        total = self.taken_over.get(market.venue_symbol, Decimal(0))
        for order in self.book.values():
            if order.intent.venue_symbol == market.venue_symbol and order.filled_i:
                total += -order.filled if order.intent.is_ask else order.filled
                if market.kind == "spot":
                    total -= order.fees().get(market.facts.base, Decimal(0))
        return total

    # -- ending

    def halt(self, why: str) -> None:
        """Take no new order on any market, and call back each that still waits here, in :attr:`halted_by_hand`."""
        self.halted_by_hand = why
        for client_id, task in self._leaving.items():
            if task is not None:
                # The task's own cancel holds from this moment on; a scope's would come a turn of the loop too late.
                task.cancel()
                self._leaving[client_id] = None

    def stop(self) -> None:
        """Ask every tracking limit to end at once with STOPPED."""
        self.stopping = True
        self._ring_all()

    async def cancel(self, order: Order) -> None:
        """Ask for a cancel, once. Never raises for what the venue answers: only :meth:`settle` proves an end."""
        if order.over:
            return
        self._apply(order, Deed(kind="cancel_requested"))
        try:
            await self.venue.cancel_by_client_id(order.intent.venue_symbol, order.client_id)
        except Refused as error:
            if error.code != "ORDER_NOT_FOUND":
                self.note(error.code, f"cancel of {order.client_id}: {error}")
        except VenueError as error:
            self.note(error.code, f"cancel of {order.client_id}: {error}")
        else:
            self._apply(order, Deed(kind="cancel_acked"))

    async def settle(self, order: Order, within_secs: float = SETTLE_SECS, *, cancel: bool = True) -> int | None:
        """
        Bring an order to a proven end and return its final cumulative fill, or None when it stays unknown.

        Cancels (unless ``cancel`` is False) and looks up by client id, with back-off, until the order is terminal and
        distinct trades add up to the venue's own count - or until the venue lists it nowhere after its expiry.
        """
        if order.settled:
            return order.filled_i
        give_up = self.clock.monotonic() + within_secs
        for wait_secs in backoff(self._chance, first_secs=0.2, ceiling_secs=2.0):
            if cancel and not order.over:
                await self.cancel(order)
            await self.wait(order, lambda: order.proven, _STREAM_GRACE_SECS, self.clock)
            if order.proven or await self._prove(order):
                self._settled(order)
                return order.filled_i
            left = give_up - self.clock.monotonic()
            if left <= 0:
                break
            await self.clock.sleep(min(wait_secs, left))
        return None

    async def _prove(self, order: Order) -> bool:
        """One round of questions. True when the end is proven."""
        symbol, client_id = order.intent.venue_symbol, order.client_id
        try:
            if not order.over:
                found = await self.venue.get_order(symbol, client_id)
                if isinstance(found, Absent):
                    if client_id in self._leaving:
                        # It may still wait here, for a connection or for room in the rate budget.
                        return False
                    return self._absence_proves(order, found) or await self._fenced(order)
            if order.over and not order.proven:
                for fill in await self.venue.get_order_fills(symbol, client_id):
                    if fill.trade_id not in order.fills:
                        self._apply(order, fill)
        except VenueError as error:
            self.note(error.code, f"look-up of {client_id}: {error}")
        return order.proven

    async def _fenced(self, order: Order) -> bool:
        """The venue has made sure that the submit can never be executed, and lists the order nowhere since then."""
        if order.seen_live or order.filled_i or not self.venue.abilities.fence:
            return False
        if not await self.venue.fence(order.intent.venue_symbol, order.client_id):
            return False
        if not isinstance(await self.venue.get_order(order.intent.venue_symbol, order.client_id), Absent):
            return order.proven
        self._apply(order, Deed(kind="refused", code="IN_DOUBT", text="never executed: its request was fenced off"))
        return order.proven

    def _absence_proves(self, order: Order, absent: Absent) -> bool:
        """The venue lists it nowhere: proof only if it was never seen alive and could not arrive any more."""
        abilities, offset_ms = self.venue.abilities, self.venue.venue_now_ms() - self.clock.now_ms()
        # The intent's expiry counts from before the signature; waiting for a connection may have come between. When
        # the doubt arose, or the venue queued it, the request had been signed.
        doubts = (entry.ts_ms for entry in order.history if entry.cause == "doubt")
        signed_ms = max(order.ack_ms or 0, *doubts, 0) + offset_ms
        safe_ms = max(order.intent.expiry_ms, signed_ms + abilities.expiry_ms) + _SKEW_MS + abilities.read_lag_ms
        if order.seen_live or order.filled_i or absent.read_ms < safe_ms:
            return False
        self._apply(order, Deed(kind="refused", code="IN_DOUBT", text="never reached the exchange: proven absent"))
        return order.proven

    def _settled(self, order: Order) -> None:
        if order.settled:
            return
        self._apply(order, Deed(kind="settled", filled_i=order.filled_i))
        self._write_settlement(order)
        self.timelines.close(order)

    def _write_settlement(self, order: Order) -> None:
        self._risk.release(order)
        try:
            self._journal.settle(order, self.clock.now_ms())
        except LocalRuleError as error:
            # Tried again before the play ends; in vain, it is merely proven once more by the next `runner recover`.
            self._unwritten[order.client_id] = order
            self.note(error.code, error.hint)
        else:
            self._unwritten.pop(order.client_id, None)

    def write_down(self) -> None:
        """
        Write the settlements that the journal could not take when they happened.

        Raises:
            LocalRuleError: HALTED - it still cannot.
        """
        for order in list(self._unwritten.values()):
            self._journal.settle(order, self.clock.now_ms())
            del self._unwritten[order.client_id]

    async def settle_all(self, orders: Iterable[Order] | None = None, within_secs: float = SETTLE_SECS) -> list[Order]:
        """Cancel and settle these orders (all of this account that are not settled); returns those still unknown."""
        left = [o for o in (self.book.values() if orders is None else orders) if not o.settled]
        async with anyio.create_task_group() as group:
            for order in left:
                group.start_soon(self.settle, order, within_secs)
        return [order for order in left if not order.settled]

    async def none_listed(self, market: Market, orders: Sequence[Order]) -> bool:
        """
        The venue's own list of open orders has none of these. Asked again a few times, as a replica may lag.

        False also when the list could not be read.
        """
        mine = {order.client_id for order in orders}
        if not mine:
            return True
        for tries, wait_secs in enumerate(backoff(self._chance, first_secs=0.3, ceiling_secs=2.0)):
            try:
                listed = await self.venue.get_open_orders(market.venue_symbol)
            except VenueError as error:
                self.note(error.code, f"open orders of {market.venue_symbol}: {error}")
            else:
                if mine.isdisjoint(self._client_id(seen) for seen in listed):
                    return True
            if tries >= _LIST_TRIES:
                break
            await self.clock.sleep(wait_secs)
        return False

    def unsettled(self, venue_symbol: str | None = None) -> list[Order]:
        book = self.book.values()
        return [order for order in book if not order.settled and venue_symbol in (None, order.intent.venue_symbol)]

    def adopt(self, leg: str | None = None) -> list[Order]:
        """Take over journalled orders that an earlier process left unsettled (of one leg); they start in doubt."""
        adopted = []
        for intent, venue_id in self._journal.unsettled(self.account, leg):
            order = self.book.get(intent.client_id)
            if order is None:
                order = self._enter(intent)
                self.timelines.begin(order)
                left = "left by an earlier process"
                self._apply(order, Deed(kind="doubt", code="IN_DOUBT", text=left, venue_id=venue_id))
                self.venue.remember(intent.venue_symbol, intent.client_id, venue_id, intent.created_ms)
            adopted.append(order)
        return adopted

    def settled_before(self, leg: str) -> int:
        """Fills of this leg's orders that an earlier process settled."""
        settled = self._journal.settled(self.account, leg)
        return sum(filled_i for client_id, filled_i in settled if client_id not in self.book)

    # -- hearing

    def hear(self, event: VenueEvent) -> None:
        """Route one event of the feed, account and orders alike. Synchronous; never raises for what a venue may say."""
        hearer = self._hearers.get(type(event))
        if hearer is not None:
            hearer(event)

    def _hearing(self, account: Callable[[VenueEvent], None]) -> Mapping[type, Callable[[Any], None]]:
        """Who hears what; ``account`` takes what is about positions, balances and books."""

        def merge(snapshot: SnapshotSeen) -> None:
            account(snapshot)
            self._merge(snapshot)

        return {
            OrderSeen: self._route,
            FillSeen: self._route,
            PositionSeen: account,
            BalanceSeen: account,
            MarginSeen: account,
            BookSeen: account,
            SnapshotSeen: merge,
            SessionSeen: self._hear_session,
            Unreadable: lambda event: self.note("UNREADABLE", event.why, "ws"),
        }

    def _route(self, event: OrderSeen | FillSeen) -> None:
        client_id = event.client_id
        if client_id is None:
            # Some venues repeat their own id only.
            client_id = self._by_venue_id.get(event.venue_id, 0)
        order = self.book.get(client_id)
        if order is not None and order.intent.venue_symbol == event.symbol:
            self._apply(order, event)
        else:
            self.strangers += 1
            # It may be ours, told by venue id alone before the acknowledgement named it.
            if event.client_id is None:
                self._orphans.append(event)

    def _client_id(self, event: OrderSeen | FillSeen) -> int | None:
        """Whose it is; some venues repeat their own id only."""
        return event.client_id if event.client_id is not None else self._by_venue_id.get(event.venue_id)

    def _merge(self, snapshot: SnapshotSeen) -> None:
        for fill in snapshot.fills:
            order = self.book.get(fill.client_id or self._by_venue_id.get(fill.venue_id, 0))
            if order is None or fill.trade_id not in order.fills:
                self._route(fill)
        listed = set()
        for seen in snapshot.open_orders:
            listed.add(self._client_id(seen))
            self._route(seen)
        for order in self.book.values():
            gone = not order.terminal and order.client_id not in listed
            if gone and (order.sent_ms or 0) < snapshot.asked_ms:
                self._apply(order, Deed(kind="doubt", code="IN_DOUBT", text="not among the open orders after a break"))

    def _hear_session(self, seen: SessionSeen) -> None:
        now_ms = self.clock.now_ms()
        if seen.state == "lost":
            if not self.breaks or self.breaks[-1].synced_ms is not None:
                self.breaks.append(Break(now_ms, seen.why))
            self.note("WS_TIMEOUT", f"stream {seen.line} lost: {seen.why}", "ws")
            self._ring_all()
        elif seen.state == "synced":
            if self.breaks and self.breaks[-1].synced_ms is None:
                self.breaks[-1].synced_ms = now_ms
        elif seen.state == "refused":
            self.note("AUTH", seen.why, "ws")

    def _apply(self, order: Order, given: Input) -> None:
        named = order.venue_id
        entry = order.apply(given, self.clock.now_ms())
        self.timelines.add(order, entry)
        if self._logged(_INFO if entry.before is not entry.after or entry.alarm else _DEBUG):
            self._log_entry(order, entry)
        if entry.alarm:
            self.note(entry.alarm, f"order {order.client_id}: {entry.cause}, filled {order.filled_i}")
        if not named and order.venue_id:
            self._name(order)
        if entry.alarm and order.settled:
            # A fill after settlement: the journal must tell the truth to whoever reads it next.
            self._write_settlement(order)
        if self._bells:
            bell = self._bells.pop(order.intent.client_id, None)
            if bell is not None:
                bell.set()

    def _log_entry(self, order: Order, entry: Entry) -> None:
        moved = entry.before is not entry.after
        given = entry.input
        facts = {
            "trace_id": order.intent.leg,
            "coi": order.client_id,
            "venue": order.intent.venue,
            "source": "local" if isinstance(given, Deed) else given.source.value,
            "engine_ts": None if isinstance(given, Deed) else given.engine_us,
            "ws_seq": given.seq if isinstance(given, OrderSeen) else None,
            "cancel_ack_ts": order.cancel_ack_ms,
            "cause": entry.cause,
        }
        if entry.alarm:
            log.warning("order alarm", alarm=entry.alarm, state=entry.after.value, **facts)
        elif moved:
            log.info("order moved", state=entry.after.value, was=entry.before.value, **facts)
        else:
            log.debug("order heard", state=entry.after.value, **facts)

    def _name(self, order: Order) -> None:
        self._by_venue_id[order.venue_id] = order.client_id
        try:
            self._journal.name(order)
        except LocalRuleError as error:
            # The id only helps a later search; the order itself is safe.
            self.note(error.code, error.hint)
        for event in [event for event in self._orphans if event.venue_id == order.venue_id]:
            self._orphans.remove(event)
            self.strangers -= 1
            self._apply(order, event)

    def note(self, code: str, text: str, source: str = "local") -> None:
        """Keep what went wrong and was survived, for the report."""
        self.errors.append((self.clock.now_ms(), code, text, source))

    # -- waiting

    def _ring_all(self) -> None:
        for bell in self._bells.values():
            bell.set()

    async def wait(self, order: Order, done: Callable[[], bool], secs: float, clock: Clock) -> bool:
        """Wait until ``done()``, looked at whenever something touches the order; False after ``secs`` of ``clock``."""
        if done():
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(secs / clock.speed):
                while not done():
                    bell = self._bells.get(order.client_id)
                    if bell is None or bell.is_set():
                        bell = self._bells[order.client_id] = anyio.Event()
                    await bell.wait()
                return True
        return False
