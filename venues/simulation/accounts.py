"""
An account of the matching engine: spot balances, perp positions, and the margin they leave.

Perps settle in their quote asset at each fill. The margin model is one for all venues: equity is weighted assets plus
unrealised profit; an open exposure ties up initial margin on the larger of what it is and what its open orders may
make of it; balances locked in spot orders back nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

import msgspec

from venues.simulation.records import ZERO, Listing


class Balance(msgspec.Struct):
    """One asset of one account."""

    free: Decimal = ZERO
    locked: Decimal = ZERO


class Position(msgspec.Struct, kw_only=True):
    """A perp position; ``net_i`` is signed, ``cost`` the quote value at which what is held was entered, unsigned."""

    symbol: str
    id: int = 0
    net_i: int = 0
    cost: Decimal = ZERO
    realised: Decimal = ZERO
    """Profit taken since it was opened, without fees."""
    fees: Decimal = ZERO
    """Fees paid since it was opened."""


class Margin(msgspec.Struct, frozen=True, kw_only=True):
    """The account in quote, as of one moment."""

    equity: Decimal
    available: Decimal
    """Free for new exposure; never negative."""
    locked: Decimal
    """Equity that is not available."""
    initial: Decimal
    maintenance: Decimal
    unrealised: Decimal
    exposure: Decimal
    """Notional of all perp exposure, open orders at their worst included."""


class Account:
    """
    Balances and positions under one name.

    Args:
        leverage: Caps every market's leverage; None leaves it to the markets.
        weights: Share of an asset's value that counts as equity; assets left out count nothing.
    """

    def __init__(
        self,
        name: str,
        balances: Mapping[str, Decimal],
        *,
        leverage: Decimal | None = None,
        weights: Mapping[str, Decimal] | None = None,
    ) -> None:
        self.name = name
        self.leverage = leverage
        self.weights = dict(weights or {})
        self.balances = {asset: Balance(free) for asset, free in balances.items()}
        self.positions: dict[str, Position] = {}

    def balance(self, asset: str) -> Balance:
        return self.balances.setdefault(asset, Balance())

    def position(self, symbol: str) -> Position:
        return self.positions.setdefault(symbol, Position(symbol=symbol))

    def net_i(self, symbol: str) -> int:
        """Signed size of the position, 0 when flat."""
        held = self.positions.get(symbol)
        return held.net_i if held else 0

    def lock(self, asset: str, amount: Decimal) -> None:
        balance = self.balance(asset)
        balance.free -= amount
        balance.locked += amount

    def settle_spot(
        self, listing: Listing, *, is_ask: bool, size: Decimal, value: Decimal, fee: Decimal, reserve: Decimal
    ) -> tuple[str, Decimal]:
        """Exchange ``size`` base for ``value`` quote out of ``reserve``; the fee comes off what is received."""
        base, quote = self.balance(listing.base), self.balance(listing.quote)
        if is_ask:
            base.locked -= reserve
            quote.free += value - fee
            return listing.quote, fee
        quote.locked -= reserve
        quote.free += reserve - value
        base.free += size - fee
        return listing.base, fee

    def settle_perp(self, listing: Listing, *, signed_i: int, value: Decimal, fee: Decimal, position_id: int) -> str:
        """Book a perp fill of ``signed_i`` (negative: sold) worth ``value``; returns what happened to the position."""
        held = self.position(listing.symbol)
        before, after = held.net_i, held.net_i + signed_i
        cash = self.balance(listing.quote)
        cash.free -= fee
        if before == 0:
            held.id, held.cost, held.realised, held.fees = position_id, value, ZERO, fee
        elif (before > 0) == (signed_i > 0):
            held.cost += value
            held.fees += fee
        else:
            closed_i = min(abs(before), abs(signed_i))
            closed_cost = held.cost * closed_i / abs(before)
            closed_value = value * closed_i / abs(signed_i)
            profit = closed_value - closed_cost if before > 0 else closed_cost - closed_value
            cash.free += profit
            held.fees += fee
            held.realised += profit
            held.cost = held.cost - closed_cost if abs(signed_i) <= abs(before) else value - closed_value
            if after == 0:
                held.cost = ZERO
            elif (after > 0) != (before > 0):
                held.id, held.realised, held.fees = position_id, ZERO, fee
        held.net_i = after
        if before == 0:
            return "opened"
        return "adjusted" if after else "closed"

    def share_of_margin(self, listing: Listing) -> Decimal:
        """Initial margin per notional under the account's leverage."""
        if not self.leverage:
            return listing.initial_margin
        return max(listing.initial_margin, 1 / self.leverage)

    def margin(
        self,
        listings: Mapping[str, Listing],
        exposures: Mapping[str, int],
        mark: Callable[[str], Decimal],
        worth: Callable[[str], Decimal],
    ) -> Margin:
        """
        Equity and what is free of it.

        Args:
            exposures: Worst-case size per perp, open orders included.
            mark: Mark price of a perp.
            worth: Price of an asset in the settlement currency.
        """
        equity = locked = initial = maintenance = unrealised = exposure = ZERO
        for asset, balance in self.balances.items():
            weight = self.weights.get(asset, ZERO)
            if weight:
                price = weight * worth(asset)
                equity += (balance.free + balance.locked) * price
                locked += balance.locked * price
        for symbol, held in self.positions.items():
            if held.net_i:
                unrealised += self.unrealised(listings[symbol], mark(symbol))
        for symbol, worst_i in exposures.items():
            listing = listings[symbol]
            notional = listing.size(worst_i) * mark(symbol)
            exposure += notional
            initial += notional * self.share_of_margin(listing)
            maintenance += notional * listing.maintenance_margin
        equity += unrealised
        available = max(ZERO, equity - initial - locked)
        return Margin(
            equity=equity,
            available=available,
            locked=equity - available,
            initial=initial,
            maintenance=maintenance,
            unrealised=unrealised,
            exposure=exposure,
        )

    def unrealised(self, listing: Listing, mark: Decimal) -> Decimal:
        """Profit of a position if it were closed at ``mark``."""
        held = self.position(listing.symbol)
        value = listing.size(abs(held.net_i)) * mark
        return value - held.cost if held.net_i > 0 else held.cost - value
