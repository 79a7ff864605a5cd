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

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from decimal import Decimal
from typing import Final

from core.precision import floor_to
from venues.simulation.floor import Floor, reaches
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

Portion = Callable[[], Decimal | None]
"""Asked once before an order's first trade: the share of it to trade at once, None for all of it."""


class MatchingEngine(Floor):
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
        super().__init__(listings, clip_reduce_only=clip_reduce_only)
        self.moved: dict[tuple[str, str], Decimal] = {}
        """What came from outside less what left, by account and asset."""
        self._now_us = now_us
        self._tell = listener
        self._portion = portion
        self._next_order_id = first_order_id
        self._next_trade_id = dict.fromkeys(self.listings, first_trade_id)
        self._last_us = 0
        self._dirty: dict[str, dict[tuple[bool, int], None]] = {symbol: {} for symbol in self.listings}
        self._top: dict[str, tuple[tuple[int, int] | None, tuple[int, int] | None]] = {}
        for book in self._books.values():
            book.update_id = first_update_id

    def move_money(self, owner: str, asset: str, amount: Decimal) -> None:
        """Money arrives from outside, or leaves."""
        self.accounts[owner].balance(asset).free += amount
        self.moved[owner, asset] = self.moved.get((owner, asset), ZERO) + amount
        self._tell(BalanceChanged(owner, asset, self.stamp()))

    # -- orders

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
        self._rest(order, order.left_i)
        stopped = self._match(order, self._bound(ticket))
        if order.live:
            if stopped is not None:
                self.end(order, State.EXPIRED, stopped)
            elif order.price_i is None:
                self.end(order, State.EXPIRED, walk.stop or Reason.NO_LIQUIDITY)
            elif order.time_in_force is not TimeInForce.GTC:
                self.end(order, State.EXPIRED, Reason.IMMEDIATE)
            else:
                self._books[order.symbol].side(order.is_ask).join(order)
                self._touch(order.symbol, order.is_ask, order.price_i)
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
        book = self._books[symbol]
        sides = ((False, book.bids, book.asks, bids), (True, book.asks, book.bids, asks))
        for is_ask, side, _, wanted in sides:
            for price in side.prices():
                level = side.levels[price]
                excess = level.street - wanted.get(price, 0)
                if excess <= 0:
                    continue
                self._touch(symbol, is_ask, price)
                if excess == level.total:
                    side.drop(price)
                    continue
                for order in reversed([each for each in level.orders if not each.owner]):
                    if excess <= 0:
                        break
                    cut = min(excess, order.left_i)
                    excess -= cut
                    side.reduce(order, cut, leave=cut == order.left_i)
                    order.size_i -= cut
        for is_ask, side, other, wanted in sides:
            for price, size in wanted.items():
                standing = side.levels.get(price)
                missing = size - (standing.street if standing else 0)
                if missing > 0:
                    order = self.street_order(symbol, is_ask, missing, price)
                    crosses = (best := other.best) is not None and reaches(is_ask, best.price_i, price)
                    # An order that a fault left half filled still stands at a crossing price: do not rest then.
                    if crosses and (self._match(order, price) is not None or not order.left_i):
                        continue
                    side.join(order)
                    self._touch(symbol, is_ask, price)
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

    def _match(self, taker: Order, bound_i: int | None) -> Reason | None:
        """Trade while prices cross. Returns why it had to stop short of that, None otherwise."""
        side = self._books[taker.symbol].side(not taker.is_ask)
        asked = False
        while taker.live and taker.left_i and (level := side.best) is not None:
            if not reaches(taker.is_ask, level.price_i, bound_i):
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
        self._books[maker.symbol].side(maker.is_ask).reduce(maker, size_i, leave=size_i == maker.left_i)
        self._touch(maker.symbol, maker.is_ask, price_i)
        self.record(taker, maker, price_i, size_i, us)

    def record(self, taker: Order, maker: Order, price_i: int, size_i: int, us: int) -> None:
        """Book and tell a trade of two orders, whatever the book says. ``us`` is when it happened."""
        listing = self.listings[taker.symbol]
        trade_id = self._next_trade_id[taker.symbol]
        self._next_trade_id[taker.symbol] += 1
        value = listing.notional(price_i, size_i)
        for order in (maker, taker):
            if order.owner and order.id in self.open[order.owner]:
                self._rest(order, -size_i)
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
        self.trades.unasked(taker.symbol).append(trade)
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
            self._books[symbol].side(order.is_ask).reduce(order, excess, leave=False)
            self._touch(order.symbol, order.is_ask, order.price_i)
            order.size_i -= excess
            order.updated_us = self.stamp()
            self._tell(Shrunk(copy(order)))

    def end(self, order: Order, state: State, reason: Reason | None) -> None:
        """End an order; :meth:`flush` then tells what that did to the book."""
        if order.price_i is not None:
            side = self._books[order.symbol].side(order.is_ask)
            level = side.levels.get(order.price_i)
            if level is not None and order in level.orders:
                side.reduce(order, order.left_i, leave=True)
                self._touch(order.symbol, order.is_ask, order.price_i)
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
        if self.open[order.owner].pop(order.id, None) is not None:
            self._rest(order, -order.left_i)
        if order.locked:
            listing = self.listings[order.symbol]
            self.accounts[order.owner].lock(listing.base if order.is_ask else listing.quote, -order.locked)
            order.locked = ZERO

    def _rest(self, order: Order, more_i: int) -> None:
        if not order.reduce_only:
            place = (order.owner, order.symbol, order.is_ask)
            self.resting[place] = self.resting.get(place, 0) + more_i

    def _touch(self, symbol: str, is_ask: bool, price_i: int) -> None:
        self._dirty[symbol][(is_ask, price_i)] = None

    def flush(self, symbol: str) -> None:
        """Tell the book's changes of one operation as one event."""
        dirty = self._dirty[symbol]
        if not dirty:
            return
        book = self._books[symbol]
        changed: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
        for is_ask, price in sorted(dirty):
            changed[is_ask].append((price, book.side(is_ask).total(price)))
        first = book.update_id + 1
        book.update_id += len(dirty)
        dirty.clear()
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
