"""The price band: an order priced far from the book is a slip of the hand, or the book is broken, so it stays here."""

from __future__ import annotations

from typing import Final

from core.precision import unscaled
from execution.markets import Market
from venues.errors import LocalRuleError, VenueError
from venues.interface import Venue

_WHOLE_BPS: Final = 10_000


class PriceBand:
    """
    Judges prices against the best bid and ask, all integers of the market's price grid.

    ``bps`` is the width in basis points, None switches the band off. A book that lost a side is judged by the last
    mid that this band has seen of the market.

    It holds for every order but a market order that reduces during the cleanup: a step that cannot close near the mid
    fails in words and the cleanup comes after it, but nothing comes after the cleanup, and staying open in a torn
    market is worse than a bad price. What the cleanup closes was opened, or taken over, by the run.
    """

    def __init__(self, bps: int | None) -> None:
        self.bps = bps
        # By venue and symbol, twice the mid, so that it stays a whole number.
        self._mids: dict[tuple[str, str], int] = {}

    async def read_and_check(self, venue: Venue, market: Market, price_i: int) -> None:
        """
        :meth:`check_limit` against the book of now. While the stream is not up, nothing goes out anyhow.

        Raises:
            LocalRuleError: also STALE_BOOK when the book cannot be read.
        """
        if self.bps is None or not venue.synced:
            return
        try:
            bid_i, ask_i, _ = await venue.get_top_of_book(market.venue_symbol)
        except VenueError as error:
            raise LocalRuleError("STALE_BOOK", f"no price can be judged without a book: {error}") from error
        self.check_limit(market, price_i, bid_i, ask_i)

    def check_limit(self, market: Market, price_i: int, bid_i: int | None, ask_i: int | None) -> None:
        """
        A limit price must lie between the best bid less the band and the best ask plus the band.

        Raises:
            LocalRuleError: PRICE_BAND with both prices; STALE_BOOK when the book is empty and no mid was ever known.
        """
        if self.bps is None:
            return
        known = self._known_mid(market, bid_i, ask_i)
        sides = [2 * side_i for side_i in (bid_i, ask_i) if side_i is not None]
        if len(sides) == 2:
            low, high, names = min(sides), max(sides), ("best bid", "best ask")
        elif known is not None or sides:
            low = high = known if known is not None else sides[0]
            names = ("last known mid",) * 2 if known is not None else ("only price in the book",) * 2
        else:
            raise LocalRuleError("STALE_BOOK", f"the book of {market.venue_symbol} is empty: no price can be judged")
        if 2 * price_i < low:
            self._refuse_beyond(market, "the price", 2 * price_i, names[0], low)
        elif 2 * price_i > high:
            self._refuse_beyond(market, "the price", 2 * price_i, names[1], high)

    def check_market(self, market: Market, bid_i: int | None, ask_i: int | None, *, is_ask: bool) -> None:
        """
        A market order trades at the other side's best price: that must be near the mid, and the book not crossed.

        Raises:
            LocalRuleError: PRICE_BAND with both prices; STALE_BOOK when the side to trade with is empty, or the other
                one is and no mid was ever known.
        """
        if self.bps is None:
            return
        if bid_i is not None and ask_i is not None and bid_i > ask_i:
            raise LocalRuleError(
                "PRICE_BAND",
                f"the book of {market.venue_symbol} on {market.venue} is crossed: "
                f"bid {market.price_text(bid_i)} above ask {market.price_text(ask_i)}",
            )
        known = self._known_mid(market, bid_i, ask_i)
        reference_i = bid_i if is_ask else ask_i
        if reference_i is None or known is None:
            raise LocalRuleError("STALE_BOOK", f"a side of {market.venue_symbol} is empty and no mid is known")
        whole = bid_i is not None and ask_i is not None
        name = "the best bid" if is_ask else "the best ask"
        self._refuse_beyond(market, name, 2 * reference_i, "mid" if whole else "last known mid", known)

    def _known_mid(self, market: Market, bid_i: int | None, ask_i: int | None) -> int | None:
        """Twice the mid of this book, or of the last one that had both sides and was not crossed."""
        key = (market.venue, market.venue_symbol)
        if bid_i is not None and ask_i is not None and bid_i <= ask_i:
            self._mids[key] = bid_i + ask_i
        return self._mids.get(key)

    def _refuse_beyond(self, market: Market, what: str, price2: int, name: str, reference2: int) -> None:
        """Prices are given twice over, as mids are."""
        assert self.bps is not None
        off = abs(price2 - reference2) * _WHOLE_BPS
        if off <= self.bps * reference2:
            return
        decimals = market.facts.price_decimals + 1
        raise LocalRuleError(
            "PRICE_BAND",
            f"{what} {unscaled(5 * price2, decimals)} is {unscaled(off // reference2, 2)} % "
            f"{'above' if price2 > reference2 else 'below'} the {name} {unscaled(5 * reference2, decimals)} "
            f"of {market.venue_symbol} on {market.venue}; the band is {unscaled(self.bps, 2)} %",
        )
