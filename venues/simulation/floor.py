"""
What a matching engine stands on: markets with their books, accounts with their open orders, and what can be read of
them without changing anything - among it what an order would do if it came now.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Final, NamedTuple

from core.precision import ceil_to, floor_to
from venues.simulation.accounts import Account, Margin
from venues.simulation.book import Book, Looked
from venues.simulation.records import ZERO, Fill, Listing, Order, Reason, SelfTrade, Ticket, TimeInForce, Trade

KEPT_TRADES: Final = 1000


class Walk(NamedTuple):
    """What an order would take if it came now."""

    size_i: int
    value: Decimal
    stop: Reason | None
    """What kept it from taking all it wants: IMPACT (more is there, past its price), NO_LIQUIDITY, SELF_TRADE."""


class Floor:
    """
    Args:
        listings: The markets.
        clip_reduce_only: True: a reduce-only order larger than the position is cut to it; False: it is refused.
    """

    def __init__(self, listings: Iterable[Listing], *, clip_reduce_only: bool) -> None:
        self.listings: dict[str, Listing] = {listing.symbol: listing for listing in listings}
        self.accounts: dict[str, Account] = {}
        self.look: Callable[[str], None] = lambda symbol: None
        """Told of every market whose state somebody is about to read or to trade on."""
        self._books = {symbol: Book() for symbol in self.listings}
        self.books = Looked(self._books, self._look)
        self.marks: dict[str, Decimal] = {}
        self.trades = Looked[deque[Trade]]({symbol: deque(maxlen=KEPT_TRADES) for symbol in self.listings}, self._look)
        self.orders: dict[int, Order] = {}
        self.fills: list[Fill] = []
        self.by_client: dict[tuple[str, int | str], list[Order]] = {}
        self.open: dict[str, dict[int, Order]] = {}
        self.resting: dict[tuple[str, str, bool], int] = {}
        """What is left of the open orders that may grow a position, by account, market and side."""
        self._clip = clip_reduce_only

    def _look(self, symbol: str) -> None:
        self.look(symbol)

    # -- accounts

    def open_account(self, account: Account) -> Account:
        """Let an account trade here."""
        self.accounts[account.name] = account
        self.open[account.name] = {}
        return account

    def mark(self, symbol: str) -> Decimal:
        """The mark price; the middle of the book, or 0, before one is set."""
        self.look(symbol)
        if symbol in self.marks:
            return self.marks[symbol]
        bid, ask = self._books[symbol].best_bid, self._books[symbol].best_ask
        if bid is None or ask is None:
            return ZERO
        return self.listings[symbol].price(bid[0] + ask[0]) / 2

    def worth(self, asset: str) -> Decimal:
        """Price of an asset in the quote asset of its market; 1 for a quote asset, 0 when no market has it."""
        for listing in self.listings.values():
            if listing.quote == asset:
                return Decimal(1)
        for listing in self.listings.values():
            if listing.base == asset:
                return self.mark(listing.symbol)
        return ZERO

    def worst_i(self, owner: str, symbol: str, *, more_bid: int = 0, more_ask: int = 0) -> int:
        """Largest absolute size that the position may reach if the open orders (and ``more``) fill on one side."""
        bid = more_bid + self.resting.get((owner, symbol, False), 0)
        ask = more_ask + self.resting.get((owner, symbol, True), 0)
        net = self.accounts[owner].net_i(symbol)
        return max(abs(net), abs(net + bid), abs(net - ask))

    def margin(self, owner: str) -> Margin:
        """The account's margin at the present marks."""
        exposures = {}
        for symbol, listing in self.listings.items():
            if listing.is_perp and (worst := self.worst_i(owner, symbol)):
                exposures[symbol] = worst
        return self.accounts[owner].margin(self.listings, exposures, self.mark, self.worth)

    # -- reading

    def open_orders(self, owner: str, symbol: str | None = None) -> list[Order]:
        """Live orders, oldest first."""
        return [order for order in self.open[owner].values() if symbol in (None, order.symbol)]

    def by_client_id(self, owner: str, client_id: int | str, symbol: str) -> Order | None:
        """The order under a client id: the live one if any, else the latest."""
        orders = [order for order in self.by_client.get((owner, client_id), ()) if order.symbol == symbol]
        live = [order for order in orders if order.live]
        return live[-1] if live else orders[-1] if orders else None

    def look_around(self) -> None:
        """A look at every market: somebody begins to listen."""
        for symbol in self.listings:
            self.look(symbol)

    def peek(self, symbol: str) -> Book:
        """The book of a market, without a look at it."""
        return self._books[symbol]

    def is_busy(self, symbol: str) -> bool:
        """Whether an account has an open order there."""
        return any(order.symbol == symbol for orders in self.open.values() for order in orders.values())

    # -- what an order would do

    def walk(self, ticket: Ticket) -> Walk:
        """What a ticket would trade at once, price limit and self-trade rule observed; changes nothing."""
        self.look(ticket.symbol)
        listing, book = self.listings[ticket.symbol], self._books[ticket.symbol]
        side = book.side(not ticket.is_ask)
        bound = self._bound(ticket)
        size, value = 0, ZERO
        for price in side.prices():
            if not reaches(ticket.is_ask, price, bound):
                return Walk(size, value, Reason.IMPACT)
            for resting in side.levels[price].orders:
                if resting.owner == ticket.owner and ticket.self_trade is not SelfTrade.ALLOW:
                    if ticket.self_trade is SelfTrade.MAKER:
                        continue
                    return Walk(size, value, Reason.SELF_TRADE)
                if ticket.budget is None:
                    more = min(resting.left_i, ticket.size_i - size)
                else:
                    affordable = (ticket.budget - value) / listing.notional(price, 1)
                    more = min(resting.left_i, floor_to(int(affordable), listing.lot_i))
                size += more
                value += listing.notional(price, more)
                if more < resting.left_i:
                    return Walk(size, value, None)
        return Walk(size, value, Reason.NO_LIQUIDITY)

    def check(self, ticket: Ticket) -> Reason | None:
        """Why the ticket could not live as it stands, or None. Changes nothing."""
        listing, account = self.listings[ticket.symbol], self.accounts[ticket.owner]
        if ticket.reduce_only:
            closing = self._reducible_i(ticket.owner, ticket.symbol, ticket.is_ask)
            if closing <= 0:
                return Reason.REDUCE_ONLY
            if ticket.size_i > closing and not self._clip:
                return Reason.REDUCE_ONLY_SIZE
        walk = self.walk(ticket)
        blocked = walk.stop is Reason.SELF_TRADE
        if ticket.post_only and (walk.size_i or blocked):
            return Reason.WOULD_CROSS
        size_i = walk.size_i if ticket.budget is not None else ticket.size_i
        if not listing.is_perp:
            asset, amount = self._reserve(ticket, listing, size_i, walk.value)
            if amount > account.balance(asset).free:
                return Reason.FUNDS
        elif not ticket.reduce_only:
            more = {"more_ask": size_i} if ticket.is_ask else {"more_bid": size_i}
            grown = self.worst_i(ticket.owner, ticket.symbol, **more) - self.worst_i(ticket.owner, ticket.symbol)
            needed = listing.size(grown) * self.mark(ticket.symbol) * account.share_of_margin(listing)
            if grown and needed > self.margin(ticket.owner).available:
                return Reason.MARGIN
        if ticket.time_in_force is TimeInForce.FOK and walk.size_i < size_i:
            return Reason.FILL_OR_KILL
        if walk.size_i == 0 and not blocked:
            if ticket.price_i is None:
                return walk.stop or Reason.NO_LIQUIDITY
            if ticket.time_in_force is TimeInForce.IOC:
                return Reason.IMMEDIATE
        return None

    def _bound(self, ticket: Ticket) -> int | None:
        """Worst price the ticket may take; None: any."""
        if ticket.price_i is not None:
            return ticket.price_i
        listing, book = self.listings[ticket.symbol], self._books[ticket.symbol]
        best = book.best_bid if ticket.is_ask else book.best_ask
        share = listing.impact_down if ticket.is_ask else listing.impact_up
        limits = [] if ticket.bound_i is None else [ticket.bound_i]
        if best is not None and share is not None:
            walked = int(best[0] * share)
            limits.append(ceil_to(walked, listing.tick_i) if ticket.is_ask else floor_to(walked, listing.tick_i))
        if not limits:
            return None
        return max(limits) if ticket.is_ask else min(limits)

    def _affordable_i(self, ticket: Ticket, budget: Decimal) -> int:
        """Size that a market order's leftover would buy at its price limit, on the grid."""
        listing = self.listings[ticket.symbol]
        bound = self._bound(ticket)
        price = listing.price(bound) if bound else self.mark(ticket.symbol)
        if not price:
            return 0
        return floor_to(int((budget / price).scaleb(listing.size_decimals)), listing.lot_i)

    def _reducible_i(self, owner: str, symbol: str, is_ask: bool) -> int:
        net = self.accounts[owner].net_i(symbol)
        return net if is_ask else -net

    def _reserve(self, ticket: Ticket, listing: Listing, size_i: int, value: Decimal) -> tuple[str, Decimal]:
        """Asset and amount that a spot order ties up."""
        if ticket.is_ask:
            return listing.base, listing.size(size_i)
        if ticket.price_i is None:
            return listing.quote, value
        return listing.quote, listing.notional(ticket.price_i, size_i)


def reaches(is_ask: bool, price_i: int, bound_i: int | None) -> bool:
    """Whether an order of this side with this limit may trade at ``price_i``."""
    if bound_i is None:
        return True
    return price_i >= bound_i if is_ask else price_i <= bound_i
