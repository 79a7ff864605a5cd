"""
What a venue's room must provide: pure functions from intents to bytes and from bytes to events.

A dialect does no I/O and reads no clock. Whatever takes more than one request is a *talk*: a generator that yields
an unsigned :class:`HttpCall` and is sent the :class:`HttpReply`::

    def positions(self) -> Talk[tuple[PositionSeen, ...]]:
        reply = yield HttpCall("GET", "/api/v1/position", auth="positionQuery")
        return decode.positions(reply, self.markets)

The shell (:mod:`venues.connector`) signs each call just before it leaves, with the venue's time.

Keys and market facts live in the dialect object; it is made per account and per run. All methods may raise
``WireError`` for an answer that breaks the venue's documents, and ``Refused`` for one that says no.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

import msgspec

from venues.events import (
    BalanceSeen,
    BookSeen,
    FillSeen,
    MarginSeen,
    MarketFacts,
    OrderSeen,
    PositionSeen,
    StreamEvent,
)
from venues.interface import Abilities

T = TypeVar("T")


class HttpCall(msgspec.Struct, frozen=True):
    """One HTTP request. ``path`` includes the query string; ``host`` is a key of the room's endpoints."""

    method: str
    path: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    auth: str | None = None
    """What the signature must be bound to (Backpack: the instruction); None for a public request."""
    params: tuple[tuple[str, str], ...] = ()
    """Key-value pairs that a signature covers, where it does not cover the bytes themselves."""
    host: str = "rest"


class HttpReply(msgspec.Struct, frozen=True):
    """The answer, whole. Header names are lower-case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


class WsText(msgspec.Struct, frozen=True):
    """A request sent over the stream ``line``; its reply is the ``Answered`` event with this ``request_id``."""

    line: str
    request_id: str
    text: str


Talk: TypeAlias = Generator[HttpCall, HttpReply, T]


class Limit(msgspec.Struct, frozen=True):
    """At most ``most`` (requests, orders or units of weight) in any ``per_secs`` seconds."""

    name: str
    most: int
    per_secs: float
    for_orders: int = 80
    """How much of it new orders may fill, in per cent. Half where their cancels count, too: each may want one."""


class Cost(NamedTuple):
    """What one request takes of the limit of that name."""

    limit: str
    weight: int = 1


class Count(NamedTuple):
    """
    What an answer says about a limit: how much the venue counts as ``used`` of it (None: it does not say), and how
    much ``more`` than its cost the request turned out to weigh.
    """

    limit: str
    used: int | None = None
    more: int = 0


class RateRules:
    """
    A venue's rate limits; each room has its own in ``facts``. This one knows none, and HTTP 429 as their breach.

    A ``cost`` names limits of ``limits`` only.
    """

    limits: Sequence[Limit] = ()
    """They may change with ``Dialect.facts``, where a venue publishes them."""

    def cost(self, call: HttpCall) -> Sequence[Cost]:
        """What a request takes that is no single order's placement or cancel. Not signed yet."""
        return ()

    def order_cost(self, symbol: str, *, cancel: bool, rest: bool) -> Sequence[Cost]:
        """What placing, or cancelling, one order takes; ``rest`` False: over the stream, where that exists."""
        return ()

    def counts(self, call: HttpCall, reply: HttpReply) -> Sequence[Count]:
        """What the answer says about the limits; ``call`` may be signed."""
        return ()

    def throttled(self, reply: HttpReply) -> bool:
        """The answer says "too many requests": nothing was done, the same may be asked again later."""
        return reply.status in (418, 429)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One stream connection that a venue wants."""

    name: str
    private: bool
    """True: orders depend on it; losing it stops new orders until it is back and a snapshot is merged."""
    needs_login: bool = False
    """True: ``subscribe`` frames are sent after a ``LineReady(stage="login")``."""
    acks_subscriptions: bool = False
    """True: the line counts as up after ``LineReady(stage="subscribed")``; False: right after sending."""
    ping_text: str | None = None
    """Text the venue wants as keep-alive; None: a WebSocket Ping frame."""
    ping_secs: float = 15.0
    silence_secs: float = 10.0
    """A Ping unanswered for this long means the line is dead."""
    upkeep_secs: float | None = None
    """How often ``Dialect.upkeep`` must be talked (listen keys, auth tokens)."""


class OrderKey(msgspec.Struct, frozen=True, kw_only=True):
    """How to name one of our orders; ``venue_id`` once an ack or event told it."""

    symbol: str
    client_id: int
    venue_id: str | None = None
    sent_ms: int = 0
    """When it was sent, Unix milliseconds; 0 when not known. A history need not be searched further back."""


class PlaceOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order to send. Size and price lie on the market's grid already; ``price_i`` None is a market order."""

    symbol: str
    client_id: int
    is_ask: bool
    size_i: int
    price_i: int | None
    post_only: bool = False
    reduce_only: bool = False
    worst_price_i: int | None = None
    """For a market order where ``Abilities.market_slippage_bps`` is set: the worst price to accept, on the grid."""


class Dialect(Protocol):
    """One venue's language, for one account."""

    name: str
    abilities: Abilities
    markets: Mapping[str, MarketFacts]
    """Filled by the shell from ``facts`` before anything else but ``server_time`` is asked."""

    @property
    def rates(self) -> RateRules:
        """What the venue allows in a time; ``RateRules()`` where nothing is known."""
        ...

    # -- facts and time
    def facts(self) -> Talk[Mapping[str, MarketFacts]]: ...
    def server_time(self) -> Talk[int]: ...

    def prepare(self) -> Talk[None]:
        """
        What must be known before anything is signed: sequence numbers, account mode. Talked after ``facts``, again
        before each snapshot, and before the next order whenever ``unprepared`` is True.

        Raises Refused(ACCOUNT_MODE or AUTH) for an account that cannot be traded on.
        """
        ...

    @property
    def unprepared(self) -> bool:
        """True when an answer showed that what ``prepare`` learned is out of step (a sequence number)."""
        ...

    # -- signing
    def sign(self, call: HttpCall, now_ms: int) -> HttpCall:
        """``call`` with its authentication; called once, just before the bytes leave."""
        ...

    # -- order entry
    def order_line(self, symbol: str) -> str | None:
        """The stream that orders in this market go over; None: REST only."""
        ...

    def place(self, order: PlaceOrder, now_ms: int, *, rest: bool = False) -> HttpCall | WsText:
        """The request that places ``order``; ``rest`` True when the stream for order entry is down."""
        ...

    def read_placed(self, order: PlaceOrder, reply: HttpReply) -> Sequence[OrderSeen | FillSeen]:
        """Raises Refused (proven not live), OutcomeUnknown (5xx, 202, time-out words) or WireError."""
        ...

    def cancel(self, key: OrderKey, now_ms: int, *, rest: bool = False) -> HttpCall | WsText: ...
    def read_cancelled(self, key: OrderKey, reply: HttpReply) -> Sequence[OrderSeen]:
        """Raises Refused(ORDER_NOT_FOUND), Refused, OutcomeUnknown or WireError."""
        ...

    def cancel_all(self, symbol: str) -> Talk[Sequence[OrderSeen]]: ...
    def fence(self, key: OrderKey) -> Talk[bool]:
        """See ``VenueFeed.fence``; a dialect without one returns False."""
        ...

    def dead_man(self, symbol: str, secs: int) -> Talk[None]:
        """Arm the venue's countdown for ``secs`` seconds, 0 disarms; nothing where there is no switch."""
        ...

    # -- reading
    def look_up(self, key: OrderKey) -> Talk[OrderSeen | None]:
        """Open orders first, then history. None only if BOTH readings were complete and neither has it."""
        ...

    def open_orders(self, symbol: str | None) -> Talk[Sequence[OrderSeen]]: ...
    def order_fills(self, key: OrderKey) -> Talk[Sequence[FillSeen]]: ...
    def recent_fills(self, since_ms: int) -> Talk[Sequence[FillSeen]]:
        """Own trades since then, every market; for the snapshot after a break."""
        ...

    def positions(self) -> Talk[Sequence[PositionSeen]]: ...
    def balances(self) -> Talk[Sequence[BalanceSeen]]: ...
    def margin(self) -> Talk[MarginSeen]: ...
    def top_of_book(self, symbol: str) -> Talk[BookSeen]: ...

    # -- streams
    def lines(self) -> Sequence[Line]: ...
    def open_line(self, line: str) -> Talk[str]:
        """
        Where to connect, after whatever requests it takes (listen keys): a whole URL, or ``host/path`` whose first
        word is a key of the room's endpoints.
        """
        ...

    def login(self, line: str, now_ms: int) -> Sequence[str]:
        """Frames that log in; empty where there is no login."""
        ...

    def subscribe(self, line: str, symbols: Sequence[str], now_ms: int) -> Sequence[str]:
        """Frames that subscribe this line to these markets and, on a private line, to the account."""
        ...

    def upkeep(self, line: str) -> Talk[None]: ...

    def decode(self, line: str, data: str | bytes) -> Sequence[StreamEvent]:
        """Events in one frame. Never raises: what cannot be read becomes ``Unreadable``."""
        ...


@runtime_checkable
class DrawsAhead(Protocol):
    """A dialect whose signatures have a part that depends on no message, and so can be made before an order comes."""

    def draw_ahead(self, entropy: bytes) -> bool:
        """Do about a millisecond of that work with 64 unguessable bytes. False when enough is ready."""
        ...
