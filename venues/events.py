"""
What a venue tells us, in one vocabulary. Dialects make these from bytes; execution reads them.

Sizes of orders and fills are integers of 10^-size_decimals in BASE units, prices of orders integers of
10^-price_decimals (:class:`MarketFacts` says how many). What a venue may compute off the grid - average and
liquidation prices, fees, balances - is Decimal. Times are microseconds of the venue's matching engine, 0 when
the venue gave none.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

import msgspec


class Source(StrEnum):
    """Where a statement came from."""

    WS = "ws"
    REST = "rest"
    LOCAL = "local"


class Status(StrEnum):
    """A venue's word about an order, after translation. There is no "unknown": silence makes no event."""

    OPEN = "open"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    FAILED = "failed"
    """Never live: refused or expired before it could rest or trade."""


FINAL = frozenset({Status.FILLED, Status.CANCELLED, Status.FAILED})


class MarketFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One market of a venue. Integers are on the grids that the two ``*_decimals`` name."""

    symbol: str
    """The venue's own name; where perp and spot share one (Binance), the room makes them differ."""
    base: str
    quote: str
    kind: str
    """``perp`` or ``spot``."""
    price_decimals: int
    size_decimals: int
    tick_i: int
    lot_i: int
    min_size_i: int
    max_size_i: int | None = None
    min_price_i: int = 1
    max_price_i: int | None = None
    min_notional: Decimal = Decimal(0)
    """Smallest price times size, in quote; 0 where the venue has no such rule."""
    closes_below_minimum: bool = False
    """Reduce-only orders are exempt from ``min_notional``."""
    significant_figures: int | None = None
    """Most significant figures a price may have (Hyperliquid: 5); None where only the tick counts."""
    contract_size: Decimal = Decimal(1)
    """Base units per contract. Sizes here are in base units already; only the dialect needs this."""
    initial_margin: Decimal = Decimal(1)
    """Share of the notional that an order ties up at most leverage 1/this; 1 for spot."""
    band_low: Decimal | None = None
    band_high: Decimal | None = None
    """Limit prices must lie within mark x low .. mark x high, where the venue says so."""
    tradable: bool = True

    def price_step(self, price_i: int) -> int:
        """The tick at this price: the market's own, or coarser where only so many significant figures are allowed."""
        step = self.tick_i
        if self.significant_figures is not None:
            whole: int = 10**self.price_decimals
            # Whole numbers are always allowed, however many figures they have.
            step = max(step, min(10 ** max(0, len(str(price_i)) - self.significant_figures), whole))
        return step


class OrderSeen(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The venue's word about one order of ours."""

    symbol: str
    client_id: int | None
    venue_id: str
    status: Status
    is_ask: bool
    size_i: int
    filled_i: int
    """CUMULATIVE filled size."""
    price_i: int | None = None
    """None for a market order, or where the venue does not repeat it."""
    reason: str = ""
    """The venue's own word for an end that is not a fill."""
    code: str = ""
    """Our stable code for ``reason``, a key of ``venues.errors.CODES``; empty when it needs none."""
    engine_us: int = 0
    seq: int | None = None
    source: Source = Source.WS


class FillSeen(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One trade of one order of ours. ``(symbol, trade_id)`` names it for good: the same trade may be told twice."""

    symbol: str
    trade_id: str
    client_id: int | None
    venue_id: str
    is_ask: bool
    size_i: int
    price: Decimal
    fee: Decimal
    """Positive is paid, negative a rebate; in ``fee_asset``."""
    fee_asset: str
    is_maker: bool | None = None
    engine_us: int = 0
    source: Source = Source.WS


class PositionSeen(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Net position of a perp, in base units, negative when short. Flat is ``quantity == 0``."""

    symbol: str
    quantity: Decimal
    entry_price: Decimal | None = None
    mark_price: Decimal | None = None
    engine_us: int = 0
    source: Source = Source.WS


class BalanceSeen(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A spot balance: ``total`` includes what is locked in open orders (and lent, where the venue lends)."""

    asset: str
    free: Decimal
    total: Decimal
    engine_us: int = 0
    source: Source = Source.WS


class MarginSeen(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The account's margin in USD: ``balance`` is equity, ``available`` what new exposure may use."""

    balance: Decimal
    available: Decimal
    engine_us: int = 0
    source: Source = Source.WS


class BookSeen(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Top of the book; a side is None when empty."""

    symbol: str
    bid_i: int | None
    ask_i: int | None
    seq: int = 0
    """Grows with each change of this symbol's book; an older one is dropped."""
    engine_us: int = 0
    source: Source = Source.WS


class Answered(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The reply to a request that we sent over a stream, matched by ``request_id``."""

    request_id: str
    status: int
    body: bytes


class LineReady(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The venue confirmed a login (``stage="login"``) or the subscriptions (``stage="subscribed"``) of a line."""

    stage: str


class LineRefused(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The venue refused a login or subscription; the session is dropped and tried again."""

    code: str
    hint: str
    raw: str = ""


class Unreadable(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message that the dialect could not read. It is recorded and survived."""

    why: str
    text: str


class SessionSeen(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The connector's own word about its streams: ``lost``, ``synced``, ``refused``, ``lag``."""

    state: str
    line: str = ""
    why: str = ""
    count: int = 0
    """How many times this line has been lost so far."""


class SnapshotSeen(msgspec.Struct, frozen=True, kw_only=True):
    """
    One REST reading of the whole account, taken after the lines were up and before anything new is sent.

    ``asked_ms`` is when the first of its requests was sent, by our own clock: what the stream said later than that
    wins. An order that we hold as live and that is not among ``open_orders`` has ended meanwhile.
    """

    asked_ms: int
    open_orders: tuple[OrderSeen, ...]
    positions: tuple[PositionSeen, ...]
    balances: tuple[BalanceSeen, ...]
    margin: MarginSeen
    fills: tuple[FillSeen, ...] = ()


StreamEvent: TypeAlias = (
    OrderSeen
    | FillSeen
    | PositionSeen
    | BalanceSeen
    | MarginSeen
    | BookSeen
    | Answered
    | LineReady
    | LineRefused
    | Unreadable
)
"""What ``Dialect.decode`` may give."""

VenueEvent: TypeAlias = (
    OrderSeen | FillSeen | PositionSeen | BalanceSeen | MarginSeen | BookSeen | Unreadable | SessionSeen | SnapshotSeen
)
"""What ``VenueFeed.subscribe`` hands to execution."""
