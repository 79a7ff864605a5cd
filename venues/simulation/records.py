"""
What the matching engine takes and what it reports, in words that belong to no venue.

Prices and sizes are integers on the grids that :class:`Listing` names; amounts of money are Decimal. Every event
carries a copy of its order as of that moment, so a listener may keep it.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec

from core.precision import as_decimal

ZERO = Decimal(0)


class TimeInForce(StrEnum):
    """How long an order may live."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"


class SelfTrade(StrEnum):
    """Which of two crossing orders of one account ends."""

    TAKER = "taker"
    MAKER = "maker"
    BOTH = "both"
    ALLOW = "allow"


class State(StrEnum):
    """Where an order stands."""

    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Reason(StrEnum):
    """Why an order cannot live, or ended without being filled or cancelled."""

    WOULD_CROSS = "post-only would take"
    REDUCE_ONLY = "nothing to reduce"
    REDUCE_ONLY_SIZE = "larger than the position"
    FUNDS = "not enough free balance"
    MARGIN = "not enough margin"
    FILL_OR_KILL = "cannot be filled whole"
    IMMEDIATE = "nothing more to take at its price"
    IMPACT = "the rest lies beyond the impact limit"
    NO_LIQUIDITY = "the book is empty"
    SELF_TRADE = "would trade with its own account"


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A market as the engine needs it. Fees and margins are shares of the notional (0.0005 is 5 bps)."""

    symbol: str
    base: str
    quote: str
    kind: str
    """``spot`` or ``perp``."""
    price_decimals: int
    size_decimals: int
    tick_i: int = 1
    lot_i: int = 1
    maker_fee: Decimal = ZERO
    taker_fee: Decimal = ZERO
    initial_margin: Decimal = Decimal("0.05")
    maintenance_margin: Decimal = Decimal("0.025")
    impact_up: Decimal | None = None
    """A market buy takes at most best ask times this; None: no limit."""
    impact_down: Decimal | None = None
    """A market sell takes at least best bid times this."""

    @property
    def is_perp(self) -> bool:
        return self.kind == "perp"

    def price(self, price_i: int) -> Decimal:
        return as_decimal(price_i, self.price_decimals)

    def size(self, size_i: int) -> Decimal:
        return as_decimal(size_i, self.size_decimals)

    def notional(self, price_i: int, size_i: int) -> Decimal:
        """Price times size in quote, exact."""
        return as_decimal(price_i * size_i, self.price_decimals + self.size_decimals)


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """An order as an account hands it in, on the grid already. ``price_i`` None is a market order."""

    owner: str
    symbol: str
    is_ask: bool
    size_i: int = 0
    budget: Decimal | None = None
    """Market orders: spend or raise this much quote instead of trading ``size_i``."""
    price_i: int | None = None
    bound_i: int | None = None
    """Market orders: the worst price to take, where it is tighter than the listing's impact limit."""
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    reduce_only: bool = False
    self_trade: SelfTrade = SelfTrade.TAKER
    client_id: int | str | None = None
    notes: Mapping[str, Any] = {}
    """The venue's own fields, carried along untouched."""
    origin: str = ""
    """Empty: the account's own order. Else why the venue made it: ``liquidate`` or ``deleverage``."""


class Order(msgspec.Struct, kw_only=True, eq=False):
    """An order in the book or in the history. ``owner`` is empty for the street (simulated liquidity)."""

    id: int
    owner: str
    symbol: str
    is_ask: bool
    size_i: int
    price_i: int | None
    created_us: int
    updated_us: int
    budget: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    reduce_only: bool = False
    self_trade: SelfTrade = SelfTrade.TAKER
    client_id: int | str | None = None
    notes: Mapping[str, Any] = {}
    origin: str = ""
    state: State = State.OPEN
    reason: Reason | None = None
    filled_i: int = 0
    late_i: int = 0
    """How much of ``filled_i`` was told only after the order's end had been told without it."""
    filled_quote: Decimal = ZERO
    fees: Decimal = ZERO
    locked: Decimal = ZERO
    """What of the balance is still tied up by it: quote for a spot buy, base for a spot sell."""

    @property
    def left_i(self) -> int:
        return self.size_i - self.filled_i

    @property
    def live(self) -> bool:
        return self.state is State.OPEN


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """One account's side of a trade."""

    trade_id: int
    order_id: int
    client_id: int | str | None
    owner: str
    symbol: str
    is_ask: bool
    price_i: int
    size_i: int
    fee: Decimal
    fee_asset: str
    is_maker: bool
    us: int


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """A public trade. The order ids are 0 for the street."""

    id: int
    symbol: str
    price_i: int
    size_i: int
    buyer_order_id: int
    seller_order_id: int
    buyer_is_maker: bool
    us: int


class Accepted(msgspec.Struct, frozen=True):
    """The order passed the gate; its fills, if any, follow."""

    order: Order


class Filled(msgspec.Struct, frozen=True):
    order: Order
    fill: Fill


class Cancelled(msgspec.Struct, frozen=True):
    order: Order


class Expired(msgspec.Struct, frozen=True):
    """Ended by the venue; ``order.reason`` says why."""

    order: Order


class Shrunk(msgspec.Struct, frozen=True):
    """A resting reduce-only order lost what the position no longer covers."""

    order: Order


class PositionChanged(msgspec.Struct, frozen=True):
    """``change`` is ``opened``, ``adjusted`` or ``closed``."""

    owner: str
    symbol: str
    change: str
    us: int


class BalanceChanged(msgspec.Struct, frozen=True):
    owner: str
    asset: str
    us: int


class Traded(msgspec.Struct, frozen=True):
    trade: Trade


class BookChanged(msgspec.Struct, frozen=True, kw_only=True):
    """Levels whose total changed: (price, new total; 0 when gone). Update ids have no holes."""

    symbol: str
    first_id: int
    last_id: int
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]
    top_changed: bool
    us: int


EngineEvent: TypeAlias = (
    Accepted | Filled | Cancelled | Expired | Shrunk | PositionChanged | BalanceChanged | Traded | BookChanged
)
"""What a listener of the engine hears, in the order in which it happened."""
