"""``market_open``: open at market."""

from __future__ import annotations

from dataclasses import dataclass

from steps.limit_open import order_told
from steps.play import Done, Play
from strategy.trading import Size, side_is_ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    size: Size
    side: str


async def run(play: Play, args: Args) -> Done:
    size_i = await play.trade.size_i(args.size, is_ask=side_is_ask(args.side))
    return order_told(await play.trade.market_order(args.side, size_i))
