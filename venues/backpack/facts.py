"""
What Backpack is: its places, abilities, symbol grammar and market rules.

Source: the venue's OpenAPI text of 2026-08 and recorded payloads (README.md tells which fact is which).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

import msgspec

from core.precision import OffGrid, ceil_to, decimal_of, decimals_of, scaled
from venues.dialect import Cost, HttpCall, Limit, RateRules
from venues.errors import WireError
from venues.events import MarketFacts
from venues.interface import Abilities

NAME: Final = "backpack"
LIVE: Final[Mapping[str, str]] = {
    "rest": "https://api.backpack.exchange",
    "ws": "wss://ws.backpack.exchange",
}

ABILITIES: Final = Abilities(
    order_entry="rest",
    post_only=True,
    reduce_only=True,
    max_client_id=4_294_967_295,
    expiry_ms=5_000,
    # The documents say that history may lag and not how much: a cautious guess, no measurement.
    read_lag_ms=5_000,
    history_by_client_id=True,
    dead_mans_switch=False,
    spot=True,
    spot_fee_in_base=True,
)


class Rates(RateRules):
    """2,000 requests a minute and subaccount, by the venue's support pages; limits of orders are not published."""

    limits = (Limit("requests", 2_000, 60, for_orders=50),)

    def cost(self, call: HttpCall) -> Sequence[Cost]:
        return _REQUEST

    def order_cost(self, symbol: str, *, cancel: bool, rest: bool) -> Sequence[Cost]:
        return _REQUEST


_REQUEST: Final = (Cost("requests"),)

_SUFFIX: Final[Mapping[str, str]] = {"perp": "_USDC_PERP", "spot": "_USDC"}
_KIND: Final[Mapping[str, str]] = {"PERP": "perp", "SPOT": "spot"}


def venue_symbol(base: str, kind: str) -> str:
    """``("SOL", "perp")`` → ``SOL_USDC_PERP``; ``kind`` is ``perp`` or ``spot``, the quote is always USDC."""
    return base + _SUFFIX[kind]


def canonical(symbol: str) -> tuple[str, str] | None:
    """``SOL_USDC`` → ``("SOL", "spot")``; None for anything that is not a USDC spot or perp market."""
    for kind, suffix in _SUFFIX.items():
        base = symbol.removesuffix(suffix)
        if base != symbol and base.isalnum():
            return base, kind
    return None


class _Band(msgspec.Struct, rename="camel"):
    min_multiplier: str
    max_multiplier: str


class _PriceFilter(msgspec.Struct, rename="camel"):
    tick_size: str
    min_price: str | None = None
    max_price: str | None = None
    min_multiplier: str | None = None
    max_multiplier: str | None = None
    mean_mark_price_band: _Band | None = None


class _QuantityFilter(msgspec.Struct, rename="camel"):
    min_quantity: str
    step_size: str
    max_quantity: str | None = None


class _Filters(msgspec.Struct):
    price: _PriceFilter
    quantity: _QuantityFilter


class _Margin(msgspec.Struct):
    base: str


class _Market(msgspec.Struct, rename="camel"):
    symbol: str
    base_symbol: str
    quote_symbol: str
    market_type: str
    order_book_state: str
    filters: _Filters
    imf_function: _Margin | None = None
    # Rows of 2025 have no such key.
    visible: bool = True


_ROWS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_ROW: Final = msgspec.json.Decoder(_Market)


def read_markets(body: bytes) -> dict[str, MarketFacts]:
    """
    ``GET /api/v1/markets`` by symbol. A market whose numbers cannot be read is left out: one odd listing must not
    keep every other market from trading.

    Raises:
        WireError: the answer is no list at all.
    """
    try:
        rows = _ROWS.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as broken:
        raise WireError("UNREADABLE", "The list of markets is not a JSON list.") from broken
    markets: dict[str, MarketFacts] = {}
    for raw in rows:
        try:
            facts = _facts(_ROW.decode(raw))
        except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError):
            continue
        if facts is not None:
            markets[facts.symbol] = facts
    return markets


def _facts(row: _Market) -> MarketFacts | None:
    """A row as MarketFacts; None for a kind of market that we do not trade (new ones appear over time)."""
    kind = _KIND.get(row.market_type)
    if kind is None:
        return None
    price, quantity = row.filters.price, row.filters.quantity
    price_decimals, size_decimals = decimals_of(price.tick_size), decimals_of(quantity.step_size)
    tick_i = scaled(price.tick_size, price_decimals)
    lot_i = scaled(quantity.step_size, size_decimals)
    if tick_i <= 0 or lot_i <= 0:
        raise OffGrid(f"{row.symbol}: tick and step must be above 0")
    min_price = _on_grid(price.min_price, price_decimals, ROUND_CEILING)
    low, high = _band(price)
    return MarketFacts(
        symbol=row.symbol,
        base=row.base_symbol,
        quote=row.quote_symbol,
        kind=kind,
        price_decimals=price_decimals,
        size_decimals=size_decimals,
        tick_i=tick_i,
        lot_i=lot_i,
        min_size_i=ceil_to(max(lot_i, _on_grid(quantity.min_quantity, size_decimals, ROUND_CEILING) or 0), lot_i),
        max_size_i=_on_grid(quantity.max_quantity, size_decimals, ROUND_FLOOR),
        min_price_i=max(tick_i, min_price or 0),
        max_price_i=_on_grid(price.max_price, price_decimals, ROUND_FLOOR),
        initial_margin=_initial_margin(row),
        band_low=low,
        band_high=high,
        # LimitOnly and PostOnly books could not be left at market, so they do not count.
        tradable=row.order_book_state == "Open" and row.visible,
    )


def _initial_margin(row: _Market) -> Decimal:
    # The base of a curve that rises with the size of the position: right for small ones only.
    margin = decimal_of(row.imf_function.base) if row.imf_function else Decimal(1)
    if not 0 < margin <= 1:
        raise OffGrid(f"{row.symbol}: a margin of {margin}")
    return margin


def _on_grid(text: str | None, decimals: int, rounding: str) -> int | None:
    """A limit of the venue on our grid, moved inwards; None when there is none."""
    if text is None:
        return None
    value = decimal_of(text)
    if abs(value.adjusted()) > 36:
        raise OffGrid(f"{text} is not a usable limit")
    return int(value.scaleb(decimals).to_integral_value(rounding))


def _band(price: _PriceFilter) -> tuple[Decimal | None, Decimal | None]:
    # Two bands hold at once, round the last and round the mean mark price. These are nearly one price, so the
    # narrower of each side is what counts.
    mark = price.mean_mark_price_band
    lows = [price.min_multiplier, mark.min_multiplier if mark else None]
    highs = [price.max_multiplier, mark.max_multiplier if mark else None]
    return (
        max((decimal_of(low) for low in lows if low is not None), default=None),
        min((decimal_of(high) for high in highs if high is not None), default=None),
    )
