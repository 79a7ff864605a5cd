"""
The two faces of a connector. ``IConnector`` has the specification's signatures to the letter; ``VenueFeed`` is
what else execution needs. Execution sees a venue through these two, the events and the errors, and nothing else.

``symbol`` is the venue's own name here (``SOL_USDC_PERP``); the markets service translates. Prices and sizes are
integers scaled by 10^decimals, sizes always in base units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from venues.events import BalanceSeen, FillSeen, MarginSeen, MarketFacts, OrderSeen, PositionSeen, VenueEvent


class Abilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue can do; printed in its README and in the table of all venues."""

    order_entry: str
    """``rest`` or ``ws`` (then REST is the fallback)."""
    post_only: bool
    reduce_only: bool
    max_client_id: int
    """Client ids are 1..this."""
    expiry_ms: int
    """A submit that reaches the venue later than this after it was signed is refused by the venue."""
    read_lag_ms: int
    """How old a REST reading may be: an order absent from readings younger than expiry + skew + this may yet appear."""
    history_by_client_id: bool
    dead_mans_switch: bool
    """The venue cancels orders by itself when it hears nothing for ``dead_man_secs``."""
    spot: bool
    spot_fee_in_base: bool
    """A spot buyer pays the fee in the coin bought, so slightly less than the fill arrives."""
    quotes: tuple[str, ...] = ("USDC", "USDT", "USD")
    """Quote currencies in order of preference: what a bare ``SOL`` means on this venue."""
    market_slippage_bps: int | None = None
    """Where a market order is a limit order that may not rest: how far past the best price it may go, in basis
    points. None: the venue has market orders of its own."""
    fence: bool = False
    """``VenueFeed.fence`` can prove that a doubtful submit will never be executed."""
    dead_man_secs: int = 0
    """Countdown that a play arms and keeps refreshing; 0 where there is no switch."""
    ack_is_queued: bool = False
    """A yes to a submit only says that it waits its turn; whether the order ever lives is told later."""


class RateWindow(msgspec.Struct, frozen=True, kw_only=True):
    """One of a venue's rate limits: at most ``limit`` in ``per_secs`` seconds; ``peak`` is the most we ever used."""

    name: str
    limit: int
    per_secs: float
    peak: int


class RateRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How a connector kept to its venue's rate limits."""

    refused: int = 0
    """Answers that said "too many requests" (HTTP 429 and its like)."""
    waits: int = 0
    """Requests that waited for room in the budget."""
    waited_secs: float = 0.0
    windows: tuple[RateWindow, ...] = ()
    """Those that were used."""


class Absent(msgspec.Struct, frozen=True, kw_only=True):
    """The venue lists no such order, neither open nor in its history, at ``read_ms`` (venue time, when asked)."""

    client_id: int
    read_ms: int


class IConnector(Protocol):
    """One account on one venue."""

    async def start(self) -> None:
        """
        Read the markets, measure the clock, open the streams and merge the first snapshot.

        Raises:
            LocalRuleError: UNREACHABLE after the start timeout.
            Refused: AUTH - the key was not accepted.
        """
        ...

    async def stop(self) -> None:
        """Close the streams and the HTTP client. Orders are left as they are; calling it twice is harmless."""
        ...

    async def get_price_size_decimals(self, symbol: str) -> tuple[int, int]:
        """``(price_decimals, size_decimals)`` of a market."""
        ...

    async def get_min_size_i(self, symbol: str) -> int:
        """Smallest order size, scaled by 10^size_decimals."""
        ...

    async def get_top_of_book(self, symbol: str) -> tuple[int | None, int | None, int]:
        """``(bid_i, ask_i, scale)``: best prices scaled by ``scale`` = 10^price_decimals, None for an empty side."""
        ...

    async def submit_limit_order(
        self,
        *,
        symbol: str,
        client_order_index: int,
        base_amount: int,
        price: int,
        is_ask: bool,
        post_only: bool = False,
        reduce_only: int = 0,
    ) -> str:
        """
        Rest a limit order, good till cancelled. Returns the venue's order id ("" where it comes later by stream).

        Raises:
            LocalRuleError: nothing was sent.
            Refused: the order does not exist.
            OutcomeUnknown: it may exist; look it up by client id.
        """
        ...

    async def submit_market_order(
        self, *, symbol: str, client_order_index: int, size_i: int, is_ask: bool, reduce_only: int = 0
    ) -> str:
        """Trade at once against the book. Returns and raises as :meth:`submit_limit_order`."""
        ...

    async def cancel_by_client_id(self, symbol: str, client_order_index: int) -> None:
        """
        Ask for a cancel. A normal return says the venue took the request, NOT that the order is settled.

        Raises:
            LocalRuleError: UNREACHABLE - nothing was sent.
            Refused: ORDER_NOT_FOUND - nothing live under this id (it may have filled).
            OutcomeUnknown: the request may or may not have arrived.
        """
        ...

    async def get_order(self, symbol: str, client_order_index: int) -> OrderSeen | Absent:
        """
        The order as the venue's REST interface has it, open or ended.

        Raises:
            OutcomeUnknown: the reading failed or was incomplete; it proves nothing.
        """
        ...

    async def get_positions(self) -> Sequence[PositionSeen]:
        """Perp positions as the venue has them now; markets without one are left out."""
        ...

    async def get_margin(self) -> MarginSeen:
        """Equity and free margin in USD as the venue has them now."""
        ...


class VenueFeed(Protocol):
    """What execution needs beside the specification's interface."""

    @property
    def name(self) -> str:
        """The venue's name, a key of ``venues.VENUES``."""
        ...

    @property
    def abilities(self) -> Abilities: ...

    @property
    def rates(self) -> RateRecord:
        """How the rate limits were kept so far."""
        ...

    @property
    def markets(self) -> Mapping[str, MarketFacts]:
        """Every market by the venue's symbol; empty before ``start``."""
        ...

    @property
    def synced(self) -> bool:
        """True while all private lines are up and the snapshot after the last break is merged."""
        ...

    async def wait_synced(self) -> None:
        """Wait until ``synced``."""
        ...

    async def watch(self, symbol: str) -> None:
        """Follow this market's book, orders and position on the streams."""
        ...

    def subscribe(self, listener: Callable[[VenueEvent], None]) -> Callable[[], None]:
        """Call ``listener`` for every event, in order of arrival. Returns the way to stop it."""
        ...

    def remember(self, symbol: str, client_order_index: int, venue_id: str, sent_ms: int = 0) -> None:
        """
        Tell an order from before a restart: its client id was sent at ``sent_ms``; ``venue_id`` where known ("" if
        not). It helps to find it in a history that cannot be searched by client id.
        """
        ...

    async def server_time_ms(self) -> int:
        """The venue's clock, Unix milliseconds."""
        ...

    def venue_now_ms(self) -> int:
        """Our clock corrected by the measured offset: what signatures and expiries use."""
        ...

    async def get_open_orders(self, symbol: str | None = None) -> Sequence[OrderSeen]:
        """Every live order of the account (of one market), ours or not."""
        ...

    async def get_order_fills(self, symbol: str, client_order_index: int) -> Sequence[FillSeen]:
        """Every trade of one order that the venue's history has."""
        ...

    async def get_balances(self) -> Sequence[BalanceSeen]:
        """Spot balances as the venue has them now."""
        ...

    async def cancel_all(self, symbol: str) -> None:
        """Cancel every live order of the account in this market, ours or not. Raises as ``cancel_by_client_id``."""
        ...

    async def fence(self, symbol: str, client_order_index: int) -> bool:
        """
        Make sure that a doubtful submit can no longer be executed (Hyperliquid: burn its nonce). True when proven.

        False where the venue has no such means, or it did not work; the order may still appear.
        """
        ...

    async def arm_dead_man(self, symbol: str) -> None:
        """
        Start, or restart, the venue's countdown: unless called again it cancels the orders of this market.

        A venue without a switch does nothing. Raises VenueError when it could not be armed.
        """
        ...

    async def disarm_dead_man(self, symbol: str) -> None:
        """Stop the countdown. Raises as :meth:`arm_dead_man`."""
        ...


class Venue(IConnector, VenueFeed, Protocol):
    """Both faces: what ``venues.connector.Connector`` is."""
