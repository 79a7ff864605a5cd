"""An order book in price-time order. It matches nothing by itself: :mod:`venues.simulation.engine` does."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Mapping
from typing import TypeVar

from venues.simulation.records import Order

T = TypeVar("T")


class Looked(dict[str, T]):
    """By market; ``look`` hears of every market that is asked for, before the answer."""

    def __init__(self, values: Mapping[str, T], look: Callable[[str], None]) -> None:
        super().__init__(values)
        self._look = look

    def __getitem__(self, symbol: str) -> T:
        self._look(symbol)
        return super().__getitem__(symbol)

    def unasked(self, symbol: str) -> T:
        """The value, and nobody hears of it."""
        return super().__getitem__(symbol)


class Level:
    """The orders at one price, oldest first; ``total`` is their unfilled size, ``street`` the part without owner."""

    __slots__ = ("orders", "price_i", "street", "total")

    def __init__(self, price_i: int) -> None:
        self.price_i = price_i
        self.orders: deque[Order] = deque()
        self.total = 0
        self.street = 0


class BookSide:
    """Bids or asks. ``levels`` maps prices to levels; no level is empty."""

    def __init__(self, is_ask: bool) -> None:
        self.is_ask = is_ask
        self.levels: dict[int, Level] = {}
        self._prices: list[int] = []

    @property
    def best(self) -> Level | None:
        if not self._prices:
            return None
        return self.levels[self._prices[0] if self.is_ask else self._prices[-1]]

    def prices(self) -> list[int]:
        """Prices from the best to the worst."""
        return self._prices[:] if self.is_ask else self._prices[::-1]

    def ascending(self) -> list[tuple[int, int]]:
        """(price, total) of every level, lowest price first."""
        return [(price, self.levels[price].total) for price in self._prices]

    def total(self, price_i: int) -> int:
        level = self.levels.get(price_i)
        return level.total if level else 0

    def join(self, order: Order) -> None:
        """Queue the order behind all others at its price."""
        assert order.price_i is not None
        level = self.levels.get(order.price_i)
        if level is None:
            level = self.levels[order.price_i] = Level(order.price_i)
            insort(self._prices, order.price_i)
        level.orders.append(order)
        self._add(level, order, order.left_i)

    def reduce(self, order: Order, size_i: int, *, leave: bool) -> None:
        """Take ``size_i`` of an order out of its level's totals; ``leave``: the order is out of the queue, too."""
        assert order.price_i is not None
        level = self.levels[order.price_i]
        self._add(level, order, -size_i)
        if leave:
            level.orders.remove(order)
            if not level.orders:
                del self.levels[level.price_i]
                del self._prices[bisect_left(self._prices, level.price_i)]

    def drop(self, price_i: int) -> None:
        """Take a whole level out, whoever stands there."""
        del self.levels[price_i]
        del self._prices[bisect_left(self._prices, price_i)]

    def _add(self, level: Level, order: Order, size_i: int) -> None:
        level.total += size_i
        if not order.owner:
            level.street += size_i


class Book:
    """Both sides of one market, its update counter and its mark."""

    def __init__(self) -> None:
        self.bids = BookSide(is_ask=False)
        self.asks = BookSide(is_ask=True)
        self.update_id = 0
        self.changed_us = 0

    def side(self, is_ask: bool) -> BookSide:
        return self.asks if is_ask else self.bids

    @property
    def best_bid(self) -> tuple[int, int] | None:
        """(price, size), None when empty."""
        best = self.bids.best
        return (best.price_i, best.total) if best else None

    @property
    def best_ask(self) -> tuple[int, int] | None:
        best = self.asks.best
        return (best.price_i, best.total) if best else None
