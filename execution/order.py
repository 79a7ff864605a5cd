"""
The one model of an order: a table of moves, an append-only record of everything that touched it, and two flags.

An :class:`Order` is event-sourced. Every input - the venue's word (``OrderSeen``), a trade (``FillSeen``) or
something we did ourselves (:class:`Deed`) - is an :class:`Entry` of its timeline, and feeding the same entries to
a fresh order (:func:`replay`) gives the same final state.

Three rules carry the money:

* FAILED means *proven never live*. A time-out, a 5xx or a broken line only sets ``in_doubt``.
* A terminal state never reopens; the single move out of one is CANCELLED → FILLED, by a late fill.
* Quantity only grows. A late or surplus fill is counted and raises an alarm; it is never dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from core.precision import as_decimal
from venues.events import FINAL, FillSeen, OrderSeen, Source, Status


class State(StrEnum):
    SUBMITTING = "SUBMITTING"
    OPEN = "OPEN"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"


TERMINAL: Final = frozenset({State.FILLED, State.CANCELLED, State.FAILED})


class Cause(StrEnum):
    """Why an order moves."""

    ACCEPT = "accept"
    FILL_PART = "fill_part"
    FILL_REST = "fill_rest"
    CANCEL = "cancel"
    REJECT = "reject"


MOVES: Final[Mapping[tuple[State, Cause], State]] = {
    (State.SUBMITTING, Cause.ACCEPT): State.OPEN,
    # A fill may overtake the acknowledgement.
    (State.SUBMITTING, Cause.FILL_PART): State.PARTIALLY_FILLED,
    (State.SUBMITTING, Cause.FILL_REST): State.FILLED,
    (State.SUBMITTING, Cause.CANCEL): State.CANCELLED,
    (State.SUBMITTING, Cause.REJECT): State.FAILED,
    (State.OPEN, Cause.FILL_PART): State.PARTIALLY_FILLED,
    (State.OPEN, Cause.FILL_REST): State.FILLED,
    (State.OPEN, Cause.CANCEL): State.CANCELLED,
    # Refused after it was acknowledged (post-only at matching): it has been live, so it is not FAILED.
    (State.OPEN, Cause.REJECT): State.CANCELLED,
    (State.PARTIALLY_FILLED, Cause.FILL_PART): State.PARTIALLY_FILLED,
    (State.PARTIALLY_FILLED, Cause.FILL_REST): State.FILLED,
    (State.PARTIALLY_FILLED, Cause.CANCEL): State.CANCELLED,
    (State.PARTIALLY_FILLED, Cause.REJECT): State.CANCELLED,
    # A cancel that lost the race is a fill, not an error.
    (State.CANCELLED, Cause.FILL_PART): State.CANCELLED,
    (State.CANCELLED, Cause.FILL_REST): State.FILLED,
}
"""Every move there is. docs/order.md is drawn from here; any other pair is refused and recorded."""

# A member's name looked up on its class costs more than all else that is done with it here.
_SUBMITTING, _FILLED, _FAILED = State.SUBMITTING, State.FILLED, State.FAILED
_ACCEPT, _FILL_PART, _FILL_REST = Cause.ACCEPT, Cause.FILL_PART, Cause.FILL_REST
_CANCEL, _REJECT = Cause.CANCEL, Cause.REJECT
_SAID_FAILED, _SAID_CANCELLED = Status.FAILED, Status.CANCELLED
_LOCAL = Source.LOCAL

_CAUSE: Final[Mapping[Status, Cause]] = {
    Status.OPEN: Cause.ACCEPT,
    Status.PARTIALLY_FILLED: Cause.FILL_PART,
    Status.FILLED: Cause.FILL_REST,
    Status.CANCELLED: Cause.CANCEL,
    Status.FAILED: Cause.REJECT,
}
_NAMES: Final[Mapping[Cause, str]] = {cause: cause.value for cause in Cause}

_END: Final[Mapping[Cause, State]] = {
    Cause.FILL_REST: State.FILLED,
    Cause.CANCEL: State.CANCELLED,
    Cause.REJECT: State.FAILED,
}

# 99.99 % filled counts as filled: venues round the last lot of converted sizes away.
_FULL_PER_10_000: Final = 9_999


class Deed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    Something on our side of the wire.

    ``kind``: ``sent``, ``acked`` (the reply to the submit arrived), ``refused`` (proven: it never lived), ``doubt``
    (its fate became unclear), ``cancel_requested``, ``cancel_acked``, ``settled`` (``filled_i`` is final and proven).
    """

    kind: str
    code: str = ""
    text: str = ""
    venue_id: str = ""
    filled_i: int = 0


Input: TypeAlias = OrderSeen | FillSeen | Deed


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line of an order's story."""

    ts_ms: int
    input: Input
    before: State
    after: State
    cause: str
    """A :class:`Cause`, the kind of a :class:`Deed`, ``repeat``, ``stale``, ``backfill``, ``duplicate_fill`` or
    ``refused_move``."""
    alarm: str = ""


@dataclass(frozen=True, slots=True)
class Intent:
    """What we mean to do; durable in the journal before the first byte leaves. It never changes."""

    venue: str
    account: str
    symbol: str
    """Canonical, ``SOL``."""
    market: str
    """``perp`` or ``spot``."""
    venue_symbol: str
    is_ask: bool
    size_i: int
    price_i: int | None
    """None: a market order."""
    price_decimals: int
    size_decimals: int
    leg: str
    """What this order belongs to: ``run/venue/step``; also the trace id."""
    created_ms: int
    expiry_ms: int
    """Venue time after which the submit cannot be accepted any more."""
    client_id: int = 0
    post_only: bool = False
    reduce_only: bool = False

    @property
    def side(self) -> str:
        return "sell" if self.is_ask else "buy"

    @property
    def kind(self) -> str:
        return "market" if self.price_i is None else "limit"


@dataclass(slots=True)
class Order:
    """One order's whole truth. Only :meth:`apply` changes it."""

    intent: Intent
    state: State = State.SUBMITTING
    in_doubt: bool = False
    cancel_requested: bool = False
    seen_live: bool = False
    """The venue has acknowledged or shown it at least once: absence can no longer mean "never existed"."""
    ended: bool = False
    """The venue has told an end."""
    venue_id: str = ""
    cumulative_i: int = 0
    """The largest cumulative fill the venue stated."""
    traded_i: int = 0
    """Sum of distinct trades."""
    fills: dict[str, FillSeen] = field(default_factory=dict)
    late: set[str] = field(default_factory=set)
    """Trade ids that arrived after the order was thought over."""
    engine_us: int = 0
    code: str = ""
    reason: str = ""
    sent_ms: int | None = None
    ack_ms: int | None = None
    cancel_ack_ms: int | None = None
    settled: bool = False
    history: list[Entry] = field(default_factory=list)

    # -- what it amounts to

    @property
    def client_id(self) -> int:
        return self.intent.client_id

    @property
    def terminal(self) -> bool:
        return self.state in TERMINAL

    @property
    def over(self) -> bool:
        """Nothing of it can be live: FILLED by the 99.99 % rule alone may still rest with its last units."""
        return self.over_at(self.filled_i)

    def over_at(self, filled_i: int) -> bool:
        """The same, had it ``filled_i`` filled."""
        state = self.state
        return state in TERMINAL and (state is not _FILLED or self.ended or filled_i >= self.intent.size_i)

    @property
    def filled_i(self) -> int:
        return max(self.cumulative_i, self.traded_i)

    @property
    def proven(self) -> bool:
        """Over, and every unit the venue counts is backed by a distinct trade we hold."""
        return self.over and self.traded_i >= self.cumulative_i

    @property
    def alarms(self) -> list[Entry]:
        return [entry for entry in self.history if entry.alarm]

    @property
    def average_price(self) -> Decimal | None:
        """Quote per base over the trades we hold; None without any."""
        if not self.traded_i:
            return None
        value = sum((fill.price * fill.size_i for fill in self.fills.values()), Decimal(0))
        return value / self.traded_i

    @property
    def filled(self) -> Decimal:
        """Base units."""
        return as_decimal(self.filled_i, self.intent.size_decimals)

    def fees(self) -> dict[str, Decimal]:
        """Paid fees by asset; negative is a rebate."""
        total: dict[str, Decimal] = {}
        for fill in self.fills.values():
            total[fill.fee_asset] = total.get(fill.fee_asset, Decimal(0)) + fill.fee
        return total

    # -- how it changes

    def apply(self, given: Input, ts_ms: int) -> Entry:
        """Take one input, record it, and return the recorded line. Never raises for anything a venue may say."""
        before, kind = self.state, type(given)
        if kind is OrderSeen:
            cause, alarm = self._take_seen(given, ts_ms)  # type: ignore[arg-type]
        elif kind is FillSeen:
            cause, alarm = self._take_fill(given)  # type: ignore[arg-type]
        else:
            cause, alarm = self._take_deed(given, ts_ms)  # type: ignore[arg-type]
        entry = Entry(ts_ms, given, before, self.state, cause, alarm)
        self.history.append(entry)
        return entry

    def _take_seen(self, seen: OrderSeen, ts_ms: int) -> tuple[str, str]:
        status, told_i, engine_us = seen.status, seen.filled_i, seen.engine_us
        filled_i = self.cumulative_i if self.cumulative_i > self.traded_i else self.traded_i
        if told_i > self.cumulative_i:
            self.cumulative_i = told_i
        if not self.venue_id:
            self.venue_id = seen.venue_id
        raised = told_i > filled_i
        late = raised and self.over_at(filled_i)
        if raised:
            filled_i = told_i
        stale = 0 < engine_us < self.engine_us
        if engine_us > self.engine_us:
            self.engine_us = engine_us
        if status is not _SAID_FAILED:
            self.seen_live = True
        final = status in FINAL
        if final:
            self.ended = True
        if self.in_doubt:
            self._clear_doubt()
        cause = _CAUSE[status]
        if cause is _ACCEPT and filled_i:
            cause = _FILL_PART
        # Cancelled in the last ten-thousandth, or a stale word that still proves the rest was filled.
        if cause is not _ACCEPT and filled_i * 10_000 >= self.intent.size_i * _FULL_PER_10_000:
            cause = _FILL_REST
        # An end is true at all later times; and REST may stamp it with the time of creation.
        if stale and not raised and not final:
            return "stale", ""
        if (cause is _CANCEL or cause is _REJECT) and self.state not in TERMINAL:
            self.code, self.reason = seen.code, seen.reason
            if status is _SAID_CANCELLED and self.cancel_requested and self.cancel_ack_ms is None:
                self.cancel_ack_ms = ts_ms
        return self._move(cause, filled_i, late, raised)

    def _take_fill(self, fill: FillSeen) -> tuple[str, str]:
        trade_id = fill.trade_id
        if trade_id in self.fills:
            return "duplicate_fill", ""
        self.fills[trade_id] = fill
        filled_i = self.cumulative_i if self.cumulative_i > self.traded_i else self.traded_i
        self.traded_i += fill.size_i
        if not self.venue_id:
            self.venue_id = fill.venue_id
        if fill.engine_us > self.engine_us:
            self.engine_us = fill.engine_us
        self.seen_live = True
        if self.in_doubt:
            self._clear_doubt()
        if self.traded_i <= filled_i:
            # The venue's own count came first; this trade only backs it.
            return "backfill", ""
        late = self.over_at(filled_i)
        if late:
            self.late.add(trade_id)
        filled_i = self.traded_i
        full = filled_i * 10_000 >= self.intent.size_i * _FULL_PER_10_000
        return self._move(_FILL_REST if full else _FILL_PART, filled_i, late, True)

    def _take_deed(self, deed: Deed, ts_ms: int) -> tuple[str, str]:
        if deed.venue_id:
            # The venue names only what it has.
            self.venue_id = self.venue_id or deed.venue_id
            self.seen_live = True
        match deed.kind:
            case "sent":
                self.sent_ms = ts_ms
            case "acked":
                self.ack_ms = ts_ms
                self.seen_live = True
                self._clear_doubt()
                if self.state is _SUBMITTING:
                    self._move(_ACCEPT, self.filled_i)
            case "queued":
                # Taken, not executed: until the venue shows it, it may also never live.
                self.ack_ms = ts_ms
            case "refused":
                if self.state is _SUBMITTING and not self.filled_i:
                    self.code, self.reason, self.in_doubt = deed.code, deed.text, False
                    self._move(_REJECT, 0)
                elif self.state is not _FAILED or self.filled_i:
                    # The reply says it never lived, the stream says it did: only a look-up can tell.
                    self.in_doubt = not self.terminal
                    return deed.kind, "REFUSED_BUT_SEEN"
            case "doubt":
                if not self.terminal:
                    self.in_doubt = True
                    self.code, self.reason = deed.code, deed.text
            case "cancel_requested":
                self.cancel_requested = True
            case "cancel_acked":
                self.cancel_ack_ms = self.cancel_ack_ms or ts_ms
            case "settled":
                self.settled = True
                self._clear_doubt()
            case _:
                raise ValueError(f"no such deed: {deed.kind}")
        return deed.kind, ""

    def _clear_doubt(self) -> None:
        if self.in_doubt:
            self.in_doubt, self.code, self.reason = False, "", ""

    def _move(self, cause: Cause, filled_i: int, late: bool = False, changed: bool = False) -> tuple[str, str]:
        """Look the move up; what is not in the table changes nothing but is recorded."""
        alarm = "OVERFILL" if changed and filled_i > self.intent.size_i else "LATE_FILL" if late else ""
        after = MOVES.get((self.state, cause))
        if after is not None:
            self.state = after
            return _NAMES[cause], alarm
        # A word from before the end, or the end told twice, is no breach; anything else is.
        harmless = cause is _ACCEPT or cause is _FILL_PART or _END.get(cause) is self.state
        return "repeat" if harmless and not alarm else "refused_move", alarm


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line of a timeline after the first, with the fields logs are searched by, in the order they are written."""

    ts_ms: int
    trace_id: str
    coi: int
    source: Source
    engine_ts: int | None
    ws_seq: int | None
    cancel_ack_ts: int | None
    before: State = msgspec.field(name="from")
    after: State = msgspec.field(name="to")
    cause: str
    alarm: str
    kind: str
    data: Input


def line_of(order: Order, entry: Entry) -> Line:
    """What is written of ``entry``; ``order`` as it was right after it."""
    given, intent = entry.input, order.intent
    source, engine_us, seq, kind = _LOCAL, None, None, "deed"
    if type(given) is OrderSeen:
        source, engine_us, seq, kind = given.source, given.engine_us, given.seq, "order"
    elif type(given) is FillSeen:
        source, engine_us, kind = given.source, given.engine_us, "fill"
    return Line(
        entry.ts_ms,
        intent.leg,
        intent.client_id,
        source,
        engine_us,
        seq,
        order.cancel_ack_ms,
        entry.before,
        entry.after,
        entry.cause,
        entry.alarm,
        kind,
        given,
    )


_encoder: Final = msgspec.json.Encoder()
encode_lines: Final[Callable[[list[Line]], bytes]] = _encoder.encode_lines
"""Lines as the bytes of their file. A list and nothing else: msgspec 0.22 keeps an iterator of any other for good."""


def encode_entry(order: Order, entry: Entry) -> bytes:
    """One JSON line of the order's timeline."""
    return encode_lines([line_of(order, entry)])


def encode_intent(intent: Intent) -> bytes:
    """The first JSON line of a timeline."""
    head = {
        "ts_ms": intent.created_ms,
        "trace_id": intent.leg,
        "coi": intent.client_id,
        "source": Source.LOCAL,
    }
    return msgspec.json.encode({**head, "kind": "intent", "data": intent}) + b"\n"


_TYPES: Final[Mapping[str, type[Input]]] = {"order": OrderSeen, "fill": FillSeen, "deed": Deed}


def replay(lines: Iterable[bytes]) -> Order:
    """
    The order that a timeline tells of, rebuilt from its lines.

    Raises:
        ValueError: the first line is not an intent, or a line is not one of ours. A half-written last line (the
            process died) is left out.
    """
    order: Order | None = None
    for line in lines:
        if not line.endswith(b"\n"):
            break
        try:
            row = msgspec.json.decode(line)
            kind = row["kind"]
            if order is None:
                if kind != "intent":
                    raise ValueError("a timeline begins with the intent")
                order = Order(msgspec.convert(row["data"], Intent))
            else:
                order.apply(msgspec.convert(row["data"], _TYPES[kind]), row["ts_ms"])
        except (msgspec.MsgspecError, KeyError, TypeError) as broken:
            raise ValueError(f"not a line of a timeline: {line[:80]!r}") from broken
    if order is None:
        raise ValueError("an empty timeline")
    return order
