"""
The street: simulated liquidity and order flow around a price that wanders.

Every base asset has one fair price, a mean-reverting walk drawn from a seeded chance; all markets of that base follow
it. A step moves the price, requotes several levels on both sides with a spread of 1 to 3 ticks, and lets takers trade
now and then. What rests at the best price is reached by takers or by the price itself, usually within 10 to 20
seconds at speed 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

import msgspec

from core.chance import Chance
from core.clock import Clock
from core.precision import floor_to, scaled_decimal
from venues.simulation.desk import TICK_MS, at_tick
from venues.simulation.engine import MatchingEngine
from venues.simulation.records import Listing

FAIR_DECIMALS: Final = 12
"""Fair prices are integers of 10^-12."""
STEP_MS: Final = (200, 500)
"""A step of one base comes this many milliseconds after the last, at speed 1."""
SHORTEST_STEP_MS: Final = TICK_MS
"""Steps come no closer: at a higher speed each moves the market further instead."""
MOST_STEPS_AT_ONCE: Final = 10
"""After a long gap this many steps are made up for; the rest is skipped."""
DEVIATION: Final = 0.000012
"""Standard deviation of a step as a share of the price."""
DEVIATION_TICKS: Final = 1.0
"""Most ticks it may be: where ticks are fine, queues would not matter else."""
PULL: Final = 0.0002
"""Share of the distance from the anchor that a step takes back."""
LEASH: Final = 50
"""The walk never leaves anchor ± anchor / this (2 %): inside the tightest price band of any venue."""
NEAR_LEVELS: Final = 5
"""Levels one tick apart, counted from the best."""
FAR_BPS: Final = (5, 20, 60, 150, 400)
"""Distances of the levels behind them: deep enough that a very large market order meets its impact limit."""
LEVEL_NOTIONAL: Final = (800, 8000)
"""Value of one level in quote, drawn uniformly."""
TAKE_NOTIONAL: Final = (200, 6000)
TAKE_PROBABILITY: Final = 0.12
NEVER_MS: Final = 2**62
FLICKER: Final = 0.25
"""Probability that a level which stays gets a new size in a step."""


class Asset(msgspec.Struct):
    """The walk of one base asset."""

    anchor: int
    fair: int
    due_ms: int
    asleep: bool
    """Nobody saw the last step: those that come due are made when somebody looks."""
    listings: tuple[Listing, ...]
    chance: Chance


class Street:
    """
    Quotes and trades in every market of ``engine``.

    Args:
        anchors: Where each base's price starts and is drawn back to, in quote.
        heard: Whether anybody listens to a market's streams.
        speed: Multiplies all activity.
    """

    def __init__(
        self,
        engine: MatchingEngine,
        clock: Clock,
        chance: Chance,
        anchors: Mapping[str, Decimal],
        *,
        heard: Callable[[str], bool],
        speed: float = 1.0,
    ) -> None:
        if not speed > 0:
            raise ValueError(f"speed must be above 0, got {speed}")
        self._engine = engine
        self._clock = clock
        self._heard = heard
        self._speed = speed
        self._assets: list[Asset] = []
        now = clock.now_ms()
        for base, anchor in anchors.items():
            draw = chance.fork(base)
            start = scaled_decimal(anchor, FAIR_DECIMALS)
            start += start * draw.integer(-20, 20) // 10_000
            listings = tuple(each for each in engine.listings.values() if each.base == base)
            asset = Asset(anchor=start, fair=start, due_ms=now, asleep=False, listings=listings, chance=draw)
            asset.due_ms = self._next_ms(asset, now)
            self._assets.append(asset)
            for listing in listings:
                self._quote(asset, listing)
        self._by_symbol = {listing.symbol: asset for asset in self._assets for listing in asset.listings}
        self._plan()
        engine.look = self._look

    def _plan(self) -> None:
        self._next_due_ms = min((asset.due_ms for asset in self._assets if not asset.asleep), default=NEVER_MS)

    def next_due_ms(self) -> int:
        """Unix milliseconds of the next step."""
        return self._next_due_ms

    def advance(self, now: int) -> bool:
        """Make every step that is due; after a long gap, only the last few. True when there was one."""
        if now < self._next_due_ms:
            return False
        for asset in self._assets:
            if asset.due_ms <= now and not asset.asleep:
                self._catch_up(asset, now)
                asset.asleep = not any(
                    self._heard(each.symbol) or self._engine.is_busy(each.symbol) for each in asset.listings
                )
        self._plan()
        return True

    def _look(self, symbol: str) -> None:
        asset = self._by_symbol.get(symbol)
        if asset is not None and asset.asleep:
            asset.asleep = False
            self._catch_up(asset, self._clock.now_ms())
            self._plan()

    def _catch_up(self, asset: Asset, now: int) -> None:
        for _ in range(MOST_STEPS_AT_ONCE):
            if asset.due_ms > now:
                return
            self._step(asset)
            asset.due_ms = self._next_ms(asset, asset.due_ms)
        if asset.due_ms <= now:
            asset.due_ms = self._next_ms(asset, now)

    @property
    def _stretch(self) -> float:
        """How many steps of speed 1 one step stands for, where the shortest pause holds steps apart."""
        mean = sum(STEP_MS) / 2 / self._speed
        return max(1.0, SHORTEST_STEP_MS / mean)

    def _next_ms(self, asset: Asset, since_ms: int) -> int:
        return at_tick(since_ms, round(asset.chance.integer(*STEP_MS) / self._speed))

    def _step(self, asset: Asset) -> None:
        draw = asset.chance
        tick = min(each.tick_i * 10 ** (FAIR_DECIMALS - each.price_decimals) for each in asset.listings)
        deviation = min(DEVIATION * asset.fair, DEVIATION_TICKS * tick) * float(self._stretch**0.5)
        drift = round(draw.gauss(0.0, deviation)) + round((asset.anchor - asset.fair) * PULL)
        leash = asset.anchor // LEASH
        asset.fair = min(asset.anchor + leash, max(asset.anchor - leash, asset.fair + drift))
        for listing in asset.listings:
            self._quote(asset, listing)
            if draw.happens(min(0.95, TAKE_PROBABILITY * self._stretch)):
                self._take(asset, listing)

    def _quote(self, asset: Asset, listing: Listing) -> None:
        draw = asset.chance
        tick = listing.tick_i
        fair_i = _on_grid(asset.fair, listing)
        spread = draw.integer(1, 3)
        bid = floor_to(fair_i, tick) - spread // 2 * tick
        ask = bid + spread * tick
        book = self._engine.peek(listing.symbol)
        wanted: tuple[dict[int, int], dict[int, int]] = ({}, {})
        # On grids as coarse as the distance, so that far levels do not move with every step.
        gaps = [max(tick, floor_to(fair_i * bps // 10_000, tick)) for bps in FAR_BPS]
        for is_ask, price, outward in ((False, bid, -tick), (True, ask, tick)):
            levels, sizes = book.side(is_ask).levels, wanted[is_ask]
            prices = [price + step * outward for step in range(NEAR_LEVELS)]
            for gap in gaps:
                far = fair_i - fair_i % gap + (2 * gap if is_ask else -gap)
                if is_ask == (far > prices[-1]):
                    prices.append(far)
            for price in prices:
                standing = levels.get(price)
                if standing is None or not standing.street or draw.happens(FLICKER):
                    sizes[price] = self._size(listing, draw.integer(*LEVEL_NOTIONAL), price)
                else:
                    sizes[price] = standing.street
        self._engine.marks[listing.symbol] = listing.price(fair_i)
        self._engine.requote(listing.symbol, wanted[False], wanted[True])

    def _take(self, asset: Asset, listing: Listing) -> None:
        draw = asset.chance
        is_ask = draw.happens(0.5)
        book = self._engine.peek(listing.symbol)
        best = book.best_bid if is_ask else book.best_ask
        if best is None:
            return
        notional = round(draw.integer(*TAKE_NOTIONAL) * self._stretch)
        reach = 2 * listing.tick_i
        self._engine.take(
            listing.symbol,
            is_ask=is_ask,
            size_i=self._size(listing, notional, best[0]),
            bound_i=best[0] - reach if is_ask else best[0] + reach,
        )

    def _size(self, listing: Listing, notional: int, price_i: int) -> int:
        """Size worth about ``notional`` quote, at least one lot."""
        decimals = listing.price_decimals + listing.size_decimals
        size: int = notional * 10**decimals // price_i
        return max(listing.lot_i, floor_to(size, listing.lot_i))


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What the kept trades of a market add up to; prices on its grid, the mark where it has not traded."""

    first: Decimal
    last: Decimal
    high: Decimal
    low: Decimal
    volume: Decimal
    quote_volume: Decimal
    count: int


def summary(engine: MatchingEngine, symbol: str) -> Summary:
    """Open, high, low, close and volume of a market."""
    listing, trades = engine.listings[symbol], engine.trades[symbol]
    prices = [trade.price_i for trade in trades]
    if not prices:
        mark = engine.mark(symbol)
        return Summary(first=mark, last=mark, high=mark, low=mark, volume=Decimal(0), quote_volume=Decimal(0), count=0)
    return Summary(
        first=listing.price(prices[0]),
        last=listing.price(prices[-1]),
        high=listing.price(max(prices)),
        low=listing.price(min(prices)),
        volume=listing.size(sum(trade.size_i for trade in trades)),
        quote_volume=listing.notional(1, sum(trade.price_i * trade.size_i for trade in trades)),
        count=len(trades),
    )


def _on_grid(fair: int, listing: Listing) -> int:
    """A fair price as an integer of the listing's price decimals."""
    price: int = fair // 10 ** (FAIR_DECIMALS - listing.price_decimals)
    return price
