"""
Positions: one truth from stream and snapshot, for every venue of a run.

A perp's position is what the venue says. A spot "position" is the coin balance above the baseline it had when the
play began, so coins a person held before are never sold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import msgspec

from core.clock import Clock
from execution.markets import Market
from venues.events import (
    BalanceSeen,
    BookSeen,
    MarginSeen,
    PositionSeen,
    SnapshotSeen,
    Source,
    VenueEvent,
)

ZERO: Final = Decimal(0)


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One quantity as the venue gave it: base units, when we heard it, and how."""

    quantity: Decimal
    heard_ms: int
    source: Source
    engine_us: int = 0


class MarginReading(msgspec.Struct, frozen=True, gc=False):
    """USD."""

    balance: Decimal
    available: Decimal
    heard_ms: int


@dataclass(slots=True)
class _Book:
    bid_i: int | None = None
    ask_i: int | None = None
    changes: int = 0


@dataclass(slots=True)
class Account:
    """What one venue's account holds, as last heard."""

    venue: str
    positions: dict[str, Reading] = field(default_factory=dict)
    """By the venue's symbol; perps only. Absent means flat."""
    balances: dict[str, Reading] = field(default_factory=dict)
    """Total by asset, locked included."""
    free: dict[str, Decimal] = field(default_factory=dict)
    baselines: dict[str, Decimal] = field(default_factory=dict)
    """Coin balances that were there before we traded."""
    margin: MarginReading | None = None
    margin_changes: list[MarginReading] = field(default_factory=list)
    position_changes: list[tuple[str, Reading]] = field(default_factory=list)
    books: dict[str, _Book] = field(default_factory=dict)
    snapshots: int = 0

    def take(self, event: VenueEvent, now_ms: int) -> None:
        """Merge one event."""
        take = _TAKERS.get(type(event))
        if take is not None:
            take(self, event, now_ms)

    def take_reading(self, event: PositionSeen | BalanceSeen, asked_ms: int, now_ms: int) -> None:
        """Merge a REST reading that was asked for at ``asked_ms``: what the stream told since then is newer."""
        match event:
            case PositionSeen():
                known = self.positions.get(event.symbol)
            case BalanceSeen():
                known = self.balances.get(event.asset)
        if known is None or known.source is not Source.WS or known.heard_ms <= asked_ms:
            self.take(event, now_ms)

    def _take_book(self, seen: BookSeen, now_ms: int) -> None:
        book = self.books.get(seen.symbol)
        if book is None:
            book = self.books[seen.symbol] = _Book()
        book.bid_i, book.ask_i = seen.bid_i, seen.ask_i
        book.changes += 1

    def _take_position(self, seen: PositionSeen, now_ms: int) -> None:
        known = self.positions.get(seen.symbol)
        if known is not None and 0 < seen.engine_us < known.engine_us:
            return
        reading = Reading(seen.quantity, now_ms, seen.source, seen.engine_us)
        if known is None or known.quantity != reading.quantity:
            self.position_changes.append((seen.symbol, reading))
        self.positions[seen.symbol] = reading

    def _take_balance(self, seen: BalanceSeen, now_ms: int) -> None:
        known = self.balances.get(seen.asset)
        if known is not None and 0 < seen.engine_us < known.engine_us:
            return
        self.balances[seen.asset] = Reading(seen.total, now_ms, seen.source, seen.engine_us)
        self.free[seen.asset] = seen.free

    def _take_margin(self, seen: MarginSeen, now_ms: int) -> None:
        reading = MarginReading(seen.balance, seen.available, now_ms)
        before = self.margin
        if before is None or (before.balance, before.available) != (reading.balance, reading.available):
            self.margin_changes.append(reading)
        self.margin = reading

    def _take_snapshot(self, snapshot: SnapshotSeen, now_ms: int) -> None:
        rest = Source.REST
        listed = {seen.symbol: seen for seen in snapshot.positions}
        for symbol in self.positions:
            listed.setdefault(symbol, PositionSeen(symbol=symbol, quantity=ZERO, source=rest))
        held = {seen.asset: seen for seen in snapshot.balances}
        for asset in self.balances:
            held.setdefault(asset, BalanceSeen(asset=asset, free=ZERO, total=ZERO, source=rest))
        for position in listed.values():
            self.take_reading(position, snapshot.asked_ms, now_ms)
        for balance in held.values():
            self.take_reading(balance, snapshot.asked_ms, now_ms)
        self._take_margin(snapshot.margin, now_ms)
        self.snapshots += 1


_TAKERS: Final[Mapping[type, Callable[[Account, Any, int], None]]] = {
    PositionSeen: Account._take_position,
    BalanceSeen: Account._take_balance,
    MarginSeen: Account._take_margin,
    BookSeen: Account._take_book,
    SnapshotSeen: Account._take_snapshot,
}


class Positions:
    """The accounts of all venues of a run."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.accounts: dict[str, Account] = {}
        self.markets: dict[tuple[str, str], Market] = {}
        """Every market followed, by venue and venue symbol: what net exposure adds up."""

    def follow(self, market: Market) -> None:
        self.markets[(market.venue, market.venue_symbol)] = market

    def listen(self, venue: str) -> Callable[[VenueEvent], None]:
        """The listener to hand to this venue's feed."""
        account, now_ms = self.account(venue), self._clock.now_ms

        def hear(event: VenueEvent) -> None:
            take = _TAKERS.get(type(event))
            if take is not None:
                take(account, event, now_ms())

        return hear

    def account(self, venue: str) -> Account:
        return self.accounts.setdefault(venue, Account(venue))

    def set_baseline(self, market: Market, quantity: Decimal | None = None) -> Decimal:
        """Take the coin balance as it is now (or ``quantity``, after a restart) as "nothing traded yet"; spot only."""
        if market.kind != "spot":
            return ZERO
        account = self.account(market.venue)
        if quantity is None:
            known = account.balances.get(market.facts.base)
            quantity = known.quantity if known else ZERO
        account.baselines[market.facts.base] = quantity
        return quantity

    def quantity(self, market: Market) -> Decimal:
        """Signed position in base units; spot: what was bought (sold: negative) since the baseline."""
        reading = self.reading(market)
        return reading.quantity if reading else ZERO

    def reading(self, market: Market) -> Reading | None:
        """The position with its time and source; None when the venue has never mentioned it (flat)."""
        account = self.account(market.venue)
        if market.kind == "perp":
            return account.positions.get(market.venue_symbol)
        known = account.balances.get(market.facts.base)
        if known is None:
            return None
        baseline = account.baselines.get(market.facts.base, ZERO)
        return Reading(known.quantity - baseline, known.heard_ms, known.source, known.engine_us)

    def mid(self, market: Market) -> Decimal | None:
        """Middle of the last book heard, quote per base."""
        book = self.account(market.venue).books.get(market.venue_symbol)
        if book is None or book.bid_i is None or book.ask_i is None:
            return None
        return (market.price(book.bid_i) + market.price(book.ask_i)) / 2

    def book_changes(self, market: Market) -> int:
        """How many book messages this market has had; grows with each."""
        book = self.account(market.venue).books.get(market.venue_symbol)
        return book.changes if book else 0

    def net_exposure_usd(self) -> Decimal:
        """Signed exposure of every followed market over all venues, at their mids."""
        total = ZERO
        for market in self.markets.values():
            mid = self.mid(market)
            if mid is not None:
                total += self.quantity(market) * mid
        return total
