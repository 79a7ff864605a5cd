"""``market_close``: close everything that is open in this market, at market."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from core.precision import plain
from core.words import counted
from steps.play import Done, Play


@dataclass(frozen=True, slots=True)
class Args:
    """No settings."""


async def run(play: Play, args: Args) -> Done:
    sent = await play.trade.market_close()
    if not sent:
        return Done("nothing to close")
    closed = sum((order.filled for order in sent), Decimal(0))
    prices = [order.average_price for order in sent if order.average_price is not None]
    at = f" at {plain(round(prices[-1], play.trade.market.facts.price_decimals + 2))}" if prices else ""
    return Done(
        f"closed {plain(closed)} {play.trade.symbol} in {counted(len(sent), 'order')}{at}",
        {"filled": plain(closed), "orders": str(len(sent))},
    )
