"""
What a fault lets a simulated venue do to an account: hide its new orders, trade or end them at awkward moments, close
its positions, take its money, change the time. Wire formats are the venue's own affair; here only the books change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import islice
from typing import Final

from core.precision import floor_to
from venues.simulation.faults import FaultRule
from venues.simulation.front import Front
from venues.simulation.records import ZERO, Order, Reason, State, Ticket, TimeInForce

_STATE: Final = re.compile(r'("(?:X|state|status)":\s*)"(?!order")[A-Za-z_-]+"')


@contextmanager
def hidden(front: Front, ms: int) -> Iterator[int]:
    """While this lasts, readings find no order that was placed within the last ``ms``. Gives how many it hides."""
    engine, since_us = front.engine, (front.now_ms() - ms) * 1000
    young = {order.id for order in engine.orders.values() if order.created_us > since_us and not order.origin}
    kept = engine.orders, engine.fills, engine.by_client, engine.open
    if young:
        engine.orders = {number: order for number, order in kept[0].items() if number not in young}
        engine.fills = [fill for fill in kept[1] if fill.order_id not in young]
        engine.by_client = {
            name: [order for order in orders if order.id not in young] for name, orders in kept[2].items()
        }
        engine.open = {
            owner: {number: order for number, order in orders.items() if number not in young}
            for owner, orders in kept[3].items()
        }
    try:
        yield len(young)
    finally:
        engine.orders, engine.fills, engine.by_client, engine.open = kept


def rested(front: Front, known: int) -> Order | None:
    """The first order that came to rest after the first ``known`` ones, and has not traded."""
    orders = islice(front.engine.orders.values(), known, None)
    return next((order for order in orders if order.live and order.price_i is not None and not order.filled_i), None)


def live(front: Front) -> list[Order]:
    """Every account's live limit orders."""
    engine = front.engine
    return [order for owner in engine.accounts for order in engine.open_orders(owner) if order.price_i is not None]


def trade_early(front: Front, order: Order, share: Decimal) -> None:
    """Somebody trades with this order at once."""
    front.engine.hit(order, _part_i(front, order, share))


def refuse_late(front: Front, order: Order) -> None:
    """The order is ended as one that would have traded, unless it has traded or ended meanwhile."""
    if order.live and not order.filled_i:
        front.engine.end(order, State.EXPIRED, Reason.WOULD_CROSS)
        front.engine.flush(order.symbol)


def trade_late(front: Front, order: Order, share: Decimal) -> None:
    """The venue finds a trade of an order whose end it has told: it had come just before the cancel."""
    engine, price_i = front.engine, order.price_i
    assert price_i is not None
    size_i = _part_i(front, order, share)
    listing, account = engine.listings[order.symbol], engine.accounts[order.owner]
    if not listing.is_perp:
        # What the cancel set free is spent after all.
        order.locked = listing.size(size_i) if order.is_ask else listing.notional(price_i, size_i)
        account.lock(listing.base if order.is_ask else listing.quote, order.locked)
    order.late_i += size_i
    ended_us, order.updated_us = order.updated_us, engine.stamp()
    engine.record(
        engine.street_order(order.symbol, not order.is_ask, size_i, price_i), order, price_i, size_i, ended_us - 1
    )
    engine.flush(order.symbol)


def possible(front: Front, rule: FaultRule) -> bool:
    """Whether this act of the venue would change anything now."""
    match rule.action:
        case "liquidate" | "deleverage":
            return _exposed(front) is not None
        case _:
            return True


def happen(front: Front, rule: FaultRule) -> None:
    """Let the venue do what the rule says."""
    params = rule.params
    match rule.action:
        case "clock_jump":
            front.jump(params["by_ms"])
        case "clock_drift":
            front.drift(params["ppm"], params["ms"])
        case "withdraw":
            _withdraw(front, params["fraction"], params["ms"])
        case "liquidate" | "deleverage":
            _force(front, rule.action, params["fraction"])


def _part_i(front: Front, order: Order, share: Decimal) -> int:
    """A share of what is left of an order, on the grid, at least a lot."""
    lot = front.engine.listings[order.symbol].lot_i
    return min(order.left_i, max(lot, floor_to(int(order.left_i * share), lot)))


def _exposed(front: Front) -> tuple[str, str] | None:
    """Account and market of a perp position."""
    for owner, account in front.engine.accounts.items():
        for symbol, held in account.positions.items():
            if held.net_i:
                return owner, symbol
    return None


def _force(front: Front, origin: str, share: Decimal) -> None:
    found = _exposed(front)
    assert found is not None
    owner, symbol = found
    engine = front.engine
    net_i, lot = engine.accounts[owner].net_i(symbol), engine.listings[symbol].lot_i
    client_id, notes = front.forced(origin)
    engine.place(
        Ticket(
            owner=owner,
            symbol=symbol,
            is_ask=net_i > 0,
            size_i=max(lot, floor_to(int(abs(net_i) * share), lot)),
            # Priced to trade: deep in the other side.
            price_i=_through(front, symbol, is_ask=net_i > 0),
            time_in_force=TimeInForce.IOC,
            reduce_only=True,
            client_id=client_id,
            notes=notes,
            origin=origin,
        )
    )


def _through(front: Front, symbol: str, *, is_ask: bool) -> int:
    book, tick = front.engine.books[symbol], front.engine.listings[symbol].tick_i
    best = book.best_bid if is_ask else book.best_ask
    assert best is not None
    return floor_to(best[0] * (98 if is_ask else 102) // 100, tick)


def _withdraw(front: Front, share: Decimal, ms: int | None) -> None:
    engine = front.engine
    quotes = {listing.quote for listing in engine.listings.values()}
    taken: list[tuple[str, str, Decimal]] = []
    for owner, account in engine.accounts.items():
        for asset in sorted(account.balances.keys() & {*quotes, *account.weights}):
            amount = round(account.balance(asset).free * (1 - share), 2)
            if amount > ZERO:
                taken.append((owner, asset, amount))
    for owner, asset, amount in taken:
        engine.move_money(owner, asset, -amount)

    def give_back() -> None:
        for each in taken:
            engine.move_money(*each)

    if ms is not None:
        front.later(ms, give_back)


def unknown(text: str) -> str:
    """The same message, with states that no venue ever named."""
    return _STATE.sub(r'\1"levitating"', text)
