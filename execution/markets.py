"""
Markets: canonical names ↔ venue symbols, and the grid every order must lie on.

All four paths - limit, market, cancel, tracking limit - go through here. What is zero, negative, off the grid or out
of range is refused before it exists anywhere, so nothing can turn into a market order by accident.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from core.precision import as_decimal, ceil_to, floor_to, plain, scaled_decimal, unscaled
from venues.errors import LocalRuleError
from venues.events import MarketFacts
from venues.interface import VenueFeed

KINDS: Final = ("perp", "spot")


@dataclass(frozen=True, slots=True)
class Market:
    """One market of one venue, by its canonical name."""

    venue: str
    symbol: str
    """Canonical base, ``SOL``; ``SOL/USDT`` names the quote too."""
    facts: MarketFacts

    @property
    def kind(self) -> str:
        return self.facts.kind

    @property
    def venue_symbol(self) -> str:
        return self.facts.symbol

    # -- numbers in words

    def price_text(self, price_i: int) -> str:
        return unscaled(price_i, self.facts.price_decimals)

    def size_text(self, size_i: int) -> str:
        return unscaled(size_i, self.facts.size_decimals)

    def price(self, price_i: int) -> Decimal:
        return as_decimal(price_i, self.facts.price_decimals)

    def size(self, size_i: int) -> Decimal:
        """Base units."""
        return as_decimal(size_i, self.facts.size_decimals)

    def notional(self, size_i: int, price_i: int) -> Decimal:
        """Quote."""
        return as_decimal(size_i * price_i, self.facts.size_decimals + self.facts.price_decimals)

    # -- rounding

    def passive_price(self, price_i: int, *, is_ask: bool) -> int:
        """The nearest price on the grid that is no better for the other side: down for a buy, up for a sell."""
        step = self.facts.price_step(price_i)
        return ceil_to(price_i, step) if is_ask else floor_to(price_i, step)

    def floor_size(self, size_i: int) -> int:
        return floor_to(size_i, self.facts.lot_i)

    def whole_lots(self, quantity: Decimal) -> int:
        """``|quantity|`` in base units as a size on the lot grid, rounded down."""
        return self.floor_size(int(abs(quantity).scaleb(self.facts.size_decimals)))

    def lot(self) -> Decimal:
        return self.size(self.facts.lot_i)

    def smallest_order(self, price_i: int, *, reduce_only: bool = False) -> int:
        """The smallest size on the grid that satisfies minimum size and minimum notional at this price."""
        facts = self.facts
        size = ceil_to(max(facts.min_size_i, facts.lot_i), facts.lot_i)
        if facts.min_notional > 0 and price_i > 0 and not (reduce_only and facts.closes_below_minimum):
            needed = (facts.min_notional / self.price(price_i)).scaleb(facts.size_decimals)
            whole = int(needed)
            size = max(size, ceil_to(whole + (needed > whole), facts.lot_i))
        return size

    def size_for_quote(self, value: Decimal, price_i: int) -> int:
        """The largest size on the lot grid worth at most ``value`` quote at this price."""
        return self.floor_size(int((value / self.price(price_i)).scaleb(self.facts.size_decimals)))

    def size_from(self, quantity: Decimal) -> int:
        """
        An exact size from base units.

        Raises:
            LocalRuleError: PRECISION when it does not lie on the lot grid.
        """
        try:
            size_i = scaled_decimal(quantity, self.facts.size_decimals)
        except ValueError:
            size_i = -1
        if size_i < 0 or size_i % self.facts.lot_i:
            raise LocalRuleError(
                "PRECISION",
                f"size {quantity} is not a multiple of the lot {plain(self.lot())} of {self.venue_symbol}",
            )
        return size_i

    # -- the gate

    def check(
        self, *, size_i: int, price_i: int | None, reference_i: int | None = None, reduce_only: bool = False
    ) -> None:
        """
        Refuse what must not be sent. ``price_i`` None is a market order, whose value is taken at ``reference_i``.

        Raises:
            LocalRuleError: MARKET_CLOSED, PRICE_RANGE, PRECISION, MIN_SIZE, MAX_SIZE or MIN_NOTIONAL.
        """
        facts = self.facts
        name = f"{self.venue_symbol} on {self.venue}"
        if not facts.tradable:
            raise LocalRuleError("MARKET_CLOSED", f"{name} takes no orders now")
        if price_i is not None:
            self._check_price(price_i, name)
        if type(size_i) is not int or size_i <= 0:
            raise LocalRuleError("MIN_SIZE", f"the size for {name} must be above 0, got {size_i!r}")
        if size_i % facts.lot_i:
            raise LocalRuleError(
                "PRECISION", f"size {self.size_text(size_i)} is off the lot {plain(self.lot())} of {name}"
            )
        if size_i < facts.min_size_i:
            raise LocalRuleError(
                "MIN_SIZE",
                f"size {self.size_text(size_i)} is below the minimum {self.size_text(facts.min_size_i)} of {name}",
            )
        if facts.max_size_i is not None and size_i > facts.max_size_i:
            raise LocalRuleError(
                "MAX_SIZE",
                f"size {self.size_text(size_i)} is above the maximum {self.size_text(facts.max_size_i)} of {name}",
            )
        worth_at = price_i if price_i is not None else reference_i
        exempt = reduce_only and facts.closes_below_minimum
        if facts.min_notional > 0 and not exempt and worth_at and self.notional(size_i, worth_at) < facts.min_notional:
            raise LocalRuleError(
                "MIN_NOTIONAL",
                f"{self.size_text(size_i)} x {self.price_text(worth_at)} is worth less than the minimum "
                f"{plain(facts.min_notional)} {facts.quote} of {name}",
            )

    def _check_price(self, price_i: int, name: str) -> None:
        facts = self.facts
        if type(price_i) is not int or price_i <= 0:
            raise LocalRuleError("PRICE_RANGE", f"the price for {name} must be above 0, got {price_i!r}")
        low, high = facts.min_price_i, facts.max_price_i
        if price_i < low or (high is not None and price_i > high):
            limits = f"{self.price_text(low)} to {self.price_text(high)}" if high else f"{self.price_text(low)} and up"
            raise LocalRuleError("PRICE_RANGE", f"price {self.price_text(price_i)} is outside {limits} of {name}")
        step = self.facts.price_step(price_i)
        if price_i % step:
            raise LocalRuleError(
                "PRECISION", f"price {self.price_text(price_i)} is off the tick {self.price_text(step)} of {name}"
            )


class Markets:
    """Finds a venue's market by its canonical name, and the canonical name of a venue's symbol."""

    def __init__(self, feed: VenueFeed) -> None:
        self._feed = feed

    def find(self, symbol: str, kind: str) -> Market:
        """
        The market of canonical ``symbol`` (``SOL``, or ``SOL/USDT`` to choose the quote) and kind.

        Raises:
            LocalRuleError: UNKNOWN_SYMBOL with the nearest names.
        """
        base, _, quote = symbol.partition("/")
        wanted = (quote,) if quote else self._feed.abilities.quotes
        rows = [f for f in self._feed.markets.values() if f.kind == kind and f.base == base and f.quote in wanted]
        if rows:
            return Market(self._feed.name, symbol, min(rows, key=lambda f: (wanted.index(f.quote), f.symbol)))
        names = sorted({f.base for f in self._feed.markets.values() if f.kind == kind and f.quote in wanted})
        nearest = difflib.get_close_matches(base.upper(), names, n=3, cutoff=0.5)
        hint = f"{self._feed.name} has no {kind} market for {symbol}"
        listed = ", ".join(names) if len(names) <= 8 else f"{len(names)} {kind} markets"
        hint += _near(nearest) or f"; it has {listed or 'none'}"
        raise LocalRuleError("UNKNOWN_SYMBOL", hint)

    def named(self, venue_symbol: str) -> Market:
        """
        The market behind a venue's own name.

        Raises:
            LocalRuleError: UNKNOWN_SYMBOL with the nearest names.
        """
        facts = self._feed.markets.get(venue_symbol)
        if facts is None:
            nearest = difflib.get_close_matches(venue_symbol.upper(), list(self._feed.markets), n=3, cutoff=0.5)
            raise LocalRuleError("UNKNOWN_SYMBOL", f"{self._feed.name} has no market {venue_symbol}{_near(nearest)}")
        preferred = facts.quote == self._feed.abilities.quotes[0]
        return Market(self._feed.name, facts.base if preferred else f"{facts.base}/{facts.quote}", facts)


def _near(names: Sequence[str]) -> str:
    return f"; the nearest {'name is' if len(names) == 1 else 'names are'} {', '.join(names)}" if names else ""
