"""
Coins, markets and sizes of a scenario judged without opening anything.

On simulators the drawn table of ``schemas/markets.json`` decides, as it says all they list. The exchanges themselves
list new coins and change their sizes at any time: there only a kind of market that we do not trade at all is refused,
and the rest is read from the exchange before the first order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from math import lcm
from typing import Final

from core.precision import plain
from runner.scenario import SizeSpec
from runner.values import BadValue, either
from schemas.markets import Row, load_markets

_DIGITS: Final = 18


class Listings:
    """What may be played ``on`` sim, testnet or live; None: nothing is judged."""

    def __init__(self, on: str | None) -> None:
        self._on = on

    def has(self, venue: str, market: str, coin: str) -> bool:
        """Whether a scenario may name this; an exchange that is not in the table is never judged."""
        kinds = load_markets().get(venue)
        if self._on is None or kinds is None:
            return True
        return coin in kinds.get(market, ()) if self._on == "sim" else market in kinds

    def coins(self, venues: Iterable[str], market: str) -> list[str]:
        """What these exchanges list, each coin once, in the order of the alphabet."""
        return sorted({coin for venue in venues for coin in load_markets().get(venue, {}).get(market, ())})

    def lacking(self, venues: Sequence[str], market: str, coin: str) -> str:
        """In words, what all of ``venues`` do not have."""
        named, one = _named(venues), len(venues) == 1
        if self._on != "sim":
            return f"Roundtrip trades no {market} market on {named}."
        who = f"The simulator of {named} has" if one else f"The simulators of {named} have"
        return f"{who} no {market} market for {coin}."

    def instead(self, venue: str, market: str, coin: str) -> str:
        """In words, what ``venue`` has, and who has the market."""
        others = [other for other in load_markets() if self.has(other, market, coin)]
        kinds = [
            kind if self._on != "sim" else f"{kind} of {either(coins)}"
            for kind, coins in load_markets()[venue].items()
            if kind == market or self._on != "sim" or coin in coins
        ]
        return "; ".join([*([either(others)] if others else []), *(f"on {venue} {kind}" for kind in kinds)])

    def refuse_size(self, key: str, size: SizeSpec, coin: str, market: str, venues: Sequence[str]) -> None:
        """
        Args:
            venues: The exchanges that have this market.

        Raises:
            BadValue: MIN_SIZE or PRECISION, with the nearest size that every one of them takes.
        """
        if self._on != "sim" or size.value is None:
            return
        known = load_markets()
        rows = {venue: known[venue][market][coin] for venue in venues if venue in known}
        if not rows:
            return
        value = size.value
        if size.kind == "usd":
            small = [venue for venue, row in rows.items() if value < Decimal(row["least_usd"])]
            if small:
                enough = plain(max(Decimal(row["enough_usd"]) for row in rows.values()))
                wanted = f"min, or at least {enough} USD"
                raise BadValue("MIN_SIZE", _too_small(key, small), wanted, f"{enough} USD")
            return
        lot = _common_lot(rows.values())
        enough_base = _up(max(Decimal(row["enough"]) for row in rows.values()), lot)
        small = [venue for venue, row in rows.items() if value < Decimal(row["least"])]
        if small:
            wanted = f"min, or at least {plain(enough_base)}"
            raise BadValue("MIN_SIZE", _too_small(key, small), wanted, plain(enough_base))
        rough = [venue for venue, row in rows.items() if value % Decimal(row["lot"])]
        if rough:
            # Never more than was asked for, unless less is not taken.
            mended = max(value // lot * lot, enough_base)
            message = f"{key} is no multiple of the lot of {_named(rough)}."
            raise BadValue("PRECISION", message, f"a multiple of {plain(lot)} {coin}", plain(mended))


def _too_small(key: str, venues: Sequence[str]) -> str:
    return f"{key} is below the smallest order of {_named(venues)}."


def _named(venues: Sequence[str]) -> str:
    return either(venues).replace(" or ", " and ")


def _scaled(text: str) -> int:
    return int(Decimal(text).scaleb(_DIGITS))


def _common_lot(rows: Iterable[Row]) -> Decimal:
    """The smallest step that is a multiple of every lot."""
    return Decimal(lcm(*(_scaled(row["lot"]) for row in rows))).scaleb(-_DIGITS)


def _up(value: Decimal, lot: Decimal) -> Decimal:
    return (value // lot + bool(value % lot)) * lot
