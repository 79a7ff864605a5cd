"""What stands on an account before a run begins: a run refuses to start on it, or takes it over when it is told to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from core.precision import plain
from core.retry import backoff
from core.words import counted
from execution.journal import Journal
from execution.markets import Market
from steps import StepFailed
from strategy.trading import Proof, Trading
from venues.errors import VenueError
from venues.events import OrderSeen

_TRIES: Final = 6
_SHOWN: Final = 5


async def refuse_or_take_over(trade: Trading, journal: Journal, *, adopt: bool) -> str:
    """
    Look for open orders of this market, and on perps for a position, that no play of this process made.

    With ``adopt`` the orders are cancelled and the position counts as the play's own, so that ``flatten`` closes it.
    On spot a balance is nobody's position (a play counts from the balance it began with), so only orders count.

    Returns:
        What was taken over, in words; empty on a clean account.

    Raises:
        StepFailed: DIRTY_ACCOUNT, naming what is there and what to do; also when an earlier run's orders, or on spot
            its play, have no proven end, which only ``runner recover`` mends, or when the orders cannot be cancelled.
        VenueError: it could not be read.
    """
    proof = await trade.proof()
    unended = journal.unended_plays(trade.desk.account)
    left = [row["run"] for row in unended]
    recover = f"`runner recover{f' {left[0]}' if left else ''}`"
    if proof.unsettled:
        whose = f"run {left[0]}" if left else "an earlier run"
        raise StepFailed(
            "DIRTY_ACCOUNT",
            f"{whose} left {counted(proof.unsettled, 'order')} on {trade.venue} whose end is not proven",
            f"Run {recover} first.",
        )
    if trade.kind == "spot" and any((row["symbol"], row["market"]) == (trade.symbol, "spot") for row in unended):
        raise StepFailed(
            "DIRTY_ACCOUNT",
            f"run {left[0]} left a play of {trade.symbol} on {trade.venue} without a proven end, and coins do not tell "
            "whose they are",
            f"Run {recover} first.",
        )
    if not (proof.open_orders or _held(trade, proof)):
        return ""
    foreign = await trade.desk.venue.get_open_orders(trade.market.venue_symbol)
    found = _words(trade, foreign, proof)
    if not adopt:
        own = f"; run {left[0]} left a play on this account without a proven end" if left else ""
        raise StepFailed(
            "DIRTY_ACCOUNT",
            f"{trade.venue} already holds {found}{own}",
            f"Run {recover} if an earlier run left it; close it yourself; or let the play take it over and close it: "
            "`runner play --adopt`.",
        )
    if proof.open_orders:
        proof = await _cancel_all(trade)
    if _held(trade, proof):
        trade.desk.taken_over[trade.market.venue_symbol] = proof.quantity
    return f"{found}: the orders are cancelled, a position is closed by `flatten` with the play's own"


def _held(trade: Trading, proof: Proof) -> bool:
    return trade.kind == "perp" and not proof.flat()


async def _cancel_all(trade: Trading) -> Proof:
    """Cancel until the venue lists nothing; a venue's list may lag behind its cancels."""
    venue, symbol = trade.desk.venue, trade.market.venue_symbol
    for tries, wait_secs in enumerate(backoff(trade.chance.fork("takeover"), first_secs=0.3, ceiling_secs=2.0)):
        try:
            await venue.cancel_all(symbol)
        except VenueError as error:
            trade.desk.note(error.code, f"cancelling what stands in {symbol}: {error}")
        proof = await trade.proof()
        if not proof.open_orders:
            return proof
        if tries >= _TRIES:
            break
        await trade.clock.sleep(wait_secs)
    raise StepFailed(
        "DIRTY_ACCOUNT",
        f"{trade.venue} still lists {counted(proof.open_orders, 'open order')} of {symbol} after they were cancelled",
        "Cancel them on the exchange's own page.",
    )


def _words(trade: Trading, orders: Sequence[OrderSeen], proof: Proof) -> str:
    """``2 open orders (buy 0.5 at 100, sell 0.2 at 180) and a position of 0.5 SOL``."""
    told = []
    if orders:
        shown = [_order(trade.market, order) for order in orders[:_SHOWN]]
        more = f" and {len(orders) - _SHOWN} more" if len(orders) > _SHOWN else ""
        told.append(f"{counted(len(orders), 'open order')} ({', '.join(shown)}{more})")
    if _held(trade, proof):
        told.append(f"a position of {plain(proof.quantity)} {trade.symbol}")
    return " and ".join(told) or "open orders that ended just now"


def _order(market: Market, order: OrderSeen) -> str:
    side = "sell" if order.is_ask else "buy"
    at = "" if order.price_i is None else f" at {market.price_text(order.price_i)}"
    return f"{side} {market.size_text(max(0, order.size_i - order.filled_i))}{at}"
