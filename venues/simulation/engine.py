"""
A matching engine for simulated venues: price-time priority on integer prices and sizes, many markets, named accounts
and an anonymous street that supplies liquidity.

It knows no wire format. What happened is told to one listener as :data:`~venues.simulation.records.EngineEvent`, in
order; the venue's simulator prints it. For one order the order of events is: accepted, its fills (each followed by
the position and the balances it changed), its end, and last the book.

:meth:`MatchingEngine.check` tells why an order could not live; :meth:`MatchingEngine.place` takes any order, and lets
one that cannot live expire. So a venue that refuses asks first, and a venue that accepts and expires does not ask.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from decimal import Decimal
from typing import Final, NamedTuple

from core.precision import ceil_to, floor_to
from venues.simulation.accounts import Account, Margin
from venues.simulation.book import Book
from venues.simulation.records import (
    ZERO,
    Accepted,
    BalanceChanged,
    BookChanged,
    Cancelled,
    EngineEvent,
    Expired,
    Fill,
    Filled,
    Listing,
    Order,
    PositionChanged,
    Reason,
    SelfTrade,
    Shrunk,
    State,
    Ticket,
    TimeInForce,
    Trade,
    Traded,
)

STREET: Final = ""
"""Owner of the simulated liquidity."""
KEPT_TRADES: Final = 1000

Portion = Callable[[], Decimal | None]
"""Asked once before an order's first trade: the share of it to trade at once, None for all of it."""


class Walk(NamedTuple):
    """What an order would take if it came now."""

    size_i: int
    value: Decimal
    stop: Reason | None
    """What kept it from taking all it wants: IMPACT (more is there, past its price), NO_LIQUIDITY, SELF_TRADE."""


class MatchingEngine:
    """
    One exchange.

    Args:
        listings: Its markets.
        now_us: The venue's time, Unix microseconds; engine times follow it and never repeat.
        listener: Hears every event.
        first_order_id, first_trade_id: Where the counters start; trade ids count per market.
        clip_reduce_only: True: a reduce-only order larger than the position is cut to it; False: it is refused.
        portion: See :data:`Portion`.
    """

    def __init__(
        self,
        listings: Iterable[Listing],
        now_us: Callable[[], int],
        listener: Callable[[EngineEvent], None],
        *,
        first_order_id: int = 1,
        first_trade_id: int = 1,
        first_update_id: int = 1,
        clip_reduce_only: bool = True,
        portion: Portion = lambda: None,
    ) -> None:
        self.listings: dict[str, Listing] = {listing.symbol: listing for listing in listings}
        self.accounts: dict[str, Account] = {}
        self.books = {symbol: Book() for symbol in self.listings}
        self.marks: dict[str, Decimal] = {}
        self.trades: dict[str, deque[Trade]] = {symbol: deque(maxlen=KEPT_TRADES) for symbol in self.listings}
        self.orders: dict[int, Order] = {}
        self.fills: list[Fill] = []
        self.moved: dict[tuple[str, str], Decimal] = {}
        """What came from outside less what left, by account and asset."""
        self._now_us = now_us
        self._tell = listener
        self._clip = clip_reduce_only
        self._portion = portion
        self._next_order_id = first_order_id
        self._next_trade_id = dict.fromkeys(self.listings, first_trade_id)
        self.by_client: dict[tuple[str, int | str], list[Order]] = {}
        self.open: dict[str, dict[int, Order]] = {}
        self._last_us = 0
        self._dirty: dict[tuple[bool, int], None] = {}
        self._top: dict[str, tuple[tuple[int, int] | None, tuple[int, int] | None]] = {}
        for book in self.books.values():
            book.update_id = first_update_id

    # -- accounts

    def open_account(self, account: Account) -> Account:
        """Let an account trade here."""
        self.accounts[account.name] = account
        self.open[account.name] = {}
        return account

    def mark(self, symbol: str) -> Decimal:
        """The mark price; the middle of the book, or 0, before one is set."""
        if symbol in self.marks:
            return self.marks[symbol]
        bid, ask = self.books[symbol].best_bid, self.books[symbol].best_ask
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
        bid, ask = more_bid, more_ask
        for order in self.open[owner].values():
            if order.symbol == symbol and not order.reduce_only:
                if order.is_ask:
                    ask += order.left_i
                else:
                    bid += order.left_i
        net = self.accounts[owner].net_i(symbol)
        return max(abs(net), abs(net + bid), abs(net - ask))

    def margin(self, owner: str) -> Margin:
        """The account's margin at the present marks."""
        exposures = {}
        for symbol, listing in self.listings.items():
            if listing.is_perp and (worst := self.worst_i(owner, symbol)):
                exposures[symbol] = worst
        return self.accounts[owner].margin(self.listings, exposures, self.mark, self.worth)

    def move_money(self, owner: str, asset: str, amount: Decimal) -> None:
        """Money arrives from outside, or leaves."""
        self.accounts[owner].balance(asset).free += amount
        self.moved[owner, asset] = self.moved.get((owner, asset), ZERO) + amount
        self._tell(BalanceChanged(owner, asset, self.stamp()))

    # -- reading

    def open_orders(self, owner: str, symbol: str | None = None) -> list[Order]:
        """Live orders, oldest first."""
        return [order for order in self.open[owner].values() if symbol in (None, order.symbol)]

    def by_client_id(self, owner: str, client_id: int | str, symbol: str) -> Order | None:
        """The order under a client id: the live one if any, else the latest."""
        orders = [order for order in self.by_client.get((owner, client_id), ()) if order.symbol == symbol]
        live = [order for order in orders if order.live]
        return live[-1] if live else orders[-1] if orders else None

    # -- orders

    def walk(self, ticket: Ticket) -> Walk:
        """What a ticket would trade at once, price limit and self-trade rule observed; changes nothing."""
        listing, book = self.listings[ticket.symbol], self.books[ticket.symbol]
        side = book.side(not ticket.is_ask)
        bound = self._bound(ticket)
        size, value = 0, ZERO
        for price in side.prices():
            if not _reaches(ticket.is_ask, price, bound):
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

    def place(self, ticket: Ticket) -> Order:
        """Take an order, trade what crosses, rest or end the remainder. Returns the order as it stands then."""
        listing, account = self.listings[ticket.symbol], self.accounts[ticket.owner]
        verdict = self.check(ticket)
        walk = self.walk(ticket)
        size_i = ticket.size_i
        if ticket.budget is not None:
            size_i = walk.size_i
            if walk.stop is not None:
                # What the budget could still buy counts as asked for, and expires.
                size_i += self._affordable_i(ticket, ticket.budget - walk.value)
        if ticket.reduce_only and verdict is None:
            size_i = min(size_i, self._reducible_i(ticket.owner, ticket.symbol, ticket.is_ask))
        us = self.stamp()
        order = Order(
            id=self._next_order_id,
            owner=ticket.owner,
            symbol=ticket.symbol,
            is_ask=ticket.is_ask,
            size_i=size_i,
            price_i=ticket.price_i,
            created_us=us,
            updated_us=us,
            budget=ticket.budget,
            time_in_force=ticket.time_in_force,
            post_only=ticket.post_only,
            reduce_only=ticket.reduce_only,
            self_trade=ticket.self_trade,
            client_id=ticket.client_id,
            notes=ticket.notes,
            origin=ticket.origin,
        )
        self._next_order_id += 1
        self.orders[order.id] = order
        if order.client_id is not None:
            self.by_client.setdefault((order.owner, order.client_id), []).append(order)
        self._tell(Accepted(copy(order)))
        if verdict is not None:
            self.end(order, State.EXPIRED, verdict)
            return order
        if not listing.is_perp:
            asset, order.locked = self._reserve(ticket, listing, size_i, walk.value)
            account.lock(asset, order.locked)
            self._tell(BalanceChanged(order.owner, asset, order.updated_us))
        self.open[order.owner][order.id] = order
        stopped = self._match(order, self._bound(ticket))
        if order.live:
            if stopped is not None:
                self.end(order, State.EXPIRED, stopped)
            elif order.price_i is None:
                self.end(order, State.EXPIRED, walk.stop or Reason.NO_LIQUIDITY)
            elif order.time_in_force is not TimeInForce.GTC:
                self.end(order, State.EXPIRED, Reason.IMMEDIATE)
            else:
                self.books[order.symbol].side(order.is_ask).join(order)
                self._touch(order.is_ask, order.price_i)
        self.flush(order.symbol)
        return order

    def cancel(self, order: Order) -> None:
        """End a live order; one that has ended stays as it is."""
        if order.live:
            self.end(order, State.CANCELLED, None)
            self.flush(order.symbol)

    # -- the street

    def requote(self, symbol: str, bids: Mapping[int, int], asks: Mapping[int, int]) -> None:
        """
        Make the street's resting liquidity exactly these levels (price to size). What crosses an account's order
        trades with it first; added size queues behind what rests already.
        """
        for is_ask, wanted in ((False, bids), (True, asks)):
            side = self.books[symbol].side(is_ask)
            for price in side.prices():
                excess = side.levels[price].street - wanted.get(price, 0)
                if excess <= 0:
                    continue
                for order in reversed([each for each in side.levels[price].orders if not each.owner]):
                    if excess <= 0:
                        break
                    cut = min(excess, order.left_i)
                    excess -= cut
                    side.reduce(order, cut, leave=cut == order.left_i)
                    order.size_i -= cut
                    self._touch(is_ask, price)
        for is_ask, wanted in ((False, bids), (True, asks)):
            side = self.books[symbol].side(is_ask)
            for price, size in wanted.items():
                level = side.levels.get(price)
                missing = size - (level.street if level else 0)
                if missing > 0:
                    order = self.street_order(symbol, is_ask, missing, price)
                    # An order that a fault left half filled still stands at a crossing price: do not rest then.
                    if self._match(order, price) is None and order.left_i:
                        side.join(order)
                        self._touch(is_ask, price)
        self.flush(symbol)

    def take(self, symbol: str, *, is_ask: bool, size_i: int, bound_i: int) -> None:
        """The street trades up to ``size_i`` against the book, no worse than ``bound_i``; nothing rests."""
        self._match(self.street_order(symbol, is_ask, size_i, bound_i), bound_i)
        self.flush(symbol)

    def hit(self, order: Order, size_i: int) -> None:
        """The street trades with this very order, wherever it stands in its queue."""
        assert order.price_i is not None
        self._trade(
            self.street_order(order.symbol, not order.is_ask, size_i, order.price_i), order, order.price_i, size_i
        )
        self.flush(order.symbol)

    # -- inside

    def stamp(self) -> int:
        """The next engine time, µs: at least now, and later than every one before."""
        self._last_us = max(self._now_us(), self._last_us + 1)
        return self._last_us

    def street_order(self, symbol: str, is_ask: bool, size_i: int, price_i: int) -> Order:
        """An order of nobody's, in no book."""
        return Order(
            id=0,
            owner=STREET,
            symbol=symbol,
            is_ask=is_ask,
            size_i=size_i,
            price_i=price_i,
            created_us=self._last_us,
            updated_us=self._last_us,
            time_in_force=TimeInForce.IOC,
            self_trade=SelfTrade.ALLOW,
        )

    def _bound(self, ticket: Ticket) -> int | None:
        """Worst price the ticket may take; None: any."""
        if ticket.price_i is not None:
            return ticket.price_i
        listing, book = self.listings[ticket.symbol], self.books[ticket.symbol]
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

    def _match(self, taker: Order, bound_i: int | None) -> Reason | None:
        """Trade while prices cross. Returns why it had to stop short of that, None otherwise."""
        side = self.books[taker.symbol].side(not taker.is_ask)
        asked = False
        while taker.live and taker.left_i and (level := side.best) is not None:
            if not _reaches(taker.is_ask, level.price_i, bound_i):
                break
            maker = level.orders[0]
            if taker.owner and maker.owner == taker.owner and taker.self_trade is not SelfTrade.ALLOW:
                if taker.self_trade is not SelfTrade.TAKER:
                    self.end(maker, State.EXPIRED, Reason.SELF_TRADE)
                if taker.self_trade is not SelfTrade.MAKER:
                    return Reason.SELF_TRADE
                continue
            size = min(taker.left_i, maker.left_i)
            share = None
            if not asked and (taker.owner or maker.owner) and taker.time_in_force is not TimeInForce.FOK:
                asked, share = True, self._portion()
            if share is not None:
                lot = self.listings[taker.symbol].lot_i
                size = min(size, max(lot, floor_to(int(size * share), lot)))
            self._trade(taker, maker, level.price_i, size)
            if share is not None and taker.left_i:
                if taker.price_i is None:
                    return Reason.NO_LIQUIDITY
                if taker.time_in_force is not TimeInForce.GTC:
                    return Reason.IMMEDIATE
        return None

    def _trade(self, taker: Order, maker: Order, price_i: int, size_i: int) -> None:
        us = self.stamp()
        self.books[maker.symbol].side(maker.is_ask).reduce(maker, size_i, leave=size_i == maker.left_i)
        self._touch(maker.is_ask, price_i)
        self.record(taker, maker, price_i, size_i, us)

    def record(self, taker: Order, maker: Order, price_i: int, size_i: int, us: int) -> None:
        """Book and tell a trade of two orders, whatever the book says. ``us`` is when it happened."""
        listing = self.listings[taker.symbol]
        trade_id = self._next_trade_id[taker.symbol]
        self._next_trade_id[taker.symbol] += 1
        value = listing.notional(price_i, size_i)
        for order in (maker, taker):
            order.filled_i += size_i
            order.filled_quote += value
            order.updated_us = max(us, order.updated_us)
            if not order.left_i:
                order.state = State.FILLED
        trade = Trade(
            id=trade_id,
            symbol=taker.symbol,
            price_i=price_i,
            size_i=size_i,
            buyer_order_id=maker.id if taker.is_ask else taker.id,
            seller_order_id=taker.id if taker.is_ask else maker.id,
            buyer_is_maker=taker.is_ask,
            us=us,
        )
        self.trades[taker.symbol].append(trade)
        for order in (maker, taker):
            if order.owner:
                self._settle(order, listing, trade, value, is_maker=order is maker)
        self._tell(Traded(trade))
        for owner in dict.fromkeys((maker.owner, taker.owner)):
            if owner and listing.is_perp:
                self._trim_reduce_only(owner, taker.symbol, busy=taker)

    def _settle(self, order: Order, listing: Listing, trade: Trade, value: Decimal, *, is_maker: bool) -> None:
        account = self.accounts[order.owner]
        rate = listing.maker_fee if is_maker else listing.taker_fee
        size = listing.size(trade.size_i)
        change = ""
        if listing.is_perp:
            fee, fee_asset = value * rate, listing.quote
            signed = -trade.size_i if order.is_ask else trade.size_i
            change = account.settle_perp(listing, signed_i=signed, value=value, fee=fee, position_id=order.id)
        else:
            reserve = size if order.is_ask else value
            if not order.is_ask and order.price_i is not None:
                reserve = listing.notional(order.price_i, trade.size_i)
            order.locked -= reserve
            fee_asset, fee = account.settle_spot(
                listing,
                is_ask=order.is_ask,
                size=size,
                value=value,
                fee=(value if order.is_ask else size) * rate,
                reserve=reserve,
            )
        order.fees += fee
        fill = Fill(
            trade_id=trade.id,
            order_id=order.id,
            client_id=order.client_id,
            owner=order.owner,
            symbol=order.symbol,
            is_ask=order.is_ask,
            price_i=trade.price_i,
            size_i=trade.size_i,
            fee=fee,
            fee_asset=fee_asset,
            is_maker=is_maker,
            us=trade.us,
        )
        self.fills.append(fill)
        if not order.live:
            self._release(order)
        self._tell(Filled(copy(order), fill))
        if listing.is_perp:
            self._tell(PositionChanged(order.owner, order.symbol, change, trade.us))
        else:
            self._tell(BalanceChanged(order.owner, listing.base, trade.us))
        self._tell(BalanceChanged(order.owner, listing.quote, trade.us))

    def _trim_reduce_only(self, owner: str, symbol: str, *, busy: Order) -> None:
        """Shrink or end resting reduce-only orders that the position no longer covers."""
        for order in self.open_orders(owner, symbol):
            if not order.reduce_only or order is busy:
                continue
            covered = max(0, self._reducible_i(owner, symbol, order.is_ask))
            excess = order.left_i - covered
            if excess <= 0:
                continue
            if not covered:
                self.end(order, State.EXPIRED, Reason.REDUCE_ONLY)
                continue
            assert order.price_i is not None
            self.books[symbol].side(order.is_ask).reduce(order, excess, leave=False)
            self._touch(order.is_ask, order.price_i)
            order.size_i -= excess
            order.updated_us = self.stamp()
            self._tell(Shrunk(copy(order)))

    def end(self, order: Order, state: State, reason: Reason | None) -> None:
        """End an order; :meth:`flush` then tells what that did to the book."""
        if order.price_i is not None:
            side = self.books[order.symbol].side(order.is_ask)
            level = side.levels.get(order.price_i)
            if level is not None and order in level.orders:
                side.reduce(order, order.left_i, leave=True)
                self._touch(order.is_ask, order.price_i)
        order.state, order.reason = state, reason
        order.updated_us = self.stamp()
        had_locked = order.locked
        self._release(order)
        self._tell(Cancelled(copy(order)) if state is State.CANCELLED else Expired(copy(order)))
        if had_locked:
            listing = self.listings[order.symbol]
            asset = listing.base if order.is_ask else listing.quote
            self._tell(BalanceChanged(order.owner, asset, order.updated_us))

    def _release(self, order: Order) -> None:
        """Forget a finished order among the open ones and free what it still ties up."""
        self.open[order.owner].pop(order.id, None)
        if order.locked:
            listing = self.listings[order.symbol]
            self.accounts[order.owner].lock(listing.base if order.is_ask else listing.quote, -order.locked)
            order.locked = ZERO

    def _touch(self, is_ask: bool, price_i: int) -> None:
        self._dirty[(is_ask, price_i)] = None

    def flush(self, symbol: str) -> None:
        """Tell the book's changes of one operation as one event."""
        if not self._dirty:
            return
        book = self.books[symbol]
        changed: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
        for is_ask, price in sorted(self._dirty):
            changed[is_ask].append((price, book.side(is_ask).total(price)))
        first = book.update_id + 1
        book.update_id += len(self._dirty)
        self._dirty.clear()
        book.changed_us = self.stamp()
        top = (book.best_bid, book.best_ask)
        event = BookChanged(
            symbol=symbol,
            first_id=first,
            last_id=book.update_id,
            bids=tuple(changed[False]),
            asks=tuple(changed[True]),
            top_changed=top != self._top.get(symbol),
            us=book.changed_us,
        )
        self._top[symbol] = top
        self._tell(event)


def _reaches(is_ask: bool, price_i: int, bound_i: int | None) -> bool:
    """Whether an order of this side with this limit may trade at ``price_i``."""
    if bound_i is None:
        return True
    return price_i >= bound_i if is_ask else price_i <= bound_i
