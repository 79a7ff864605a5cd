"""
What a run leaves behind, as it stands in ``outcome.json`` (schemas/outcome.schema.json).

The engine fills these; the report reads the file, never this module. Prices, sizes, fees and balances are decimal
TEXT (``core.precision.plain``), sizes in base units, moments Unix milliseconds. Texts may hold an exchange's own
words; they are escaped where they are shown, not here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import msgspec

from schemas.outcome import NAME, faults
from venues.interface import RateWindow

Verdict: TypeAlias = Literal["accepted", "not_accepted", "interrupted", "not_proven_flat", "environment_failed"]

EXIT_CODES: Final[Mapping[Verdict, int]] = MappingProxyType(
    {"accepted": 0, "not_accepted": 1, "environment_failed": 3, "interrupted": 4, "not_proven_flat": 5}
)
"""What the process ends with. 2, wrong input, leaves no outcome: nothing was sent."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a play ended early: a stable code, a sentence, and what to do next."""

    code: str
    message: str
    next_move: str = ""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """An error, alarm or note on the way. ``source``: ws, rest, local, or the part of the program that saw it."""

    ts_ms: int
    code: str
    text: str
    source: str = "local"


class StepDone(msgspec.Struct, frozen=True, kw_only=True):
    """One step as it went. ``index`` counts from 0 within its phase; a skipped step has no times."""

    index: int
    phase: Literal["steps", "finally"] = "steps"
    verb: str
    words: str = ""
    status: Literal["passed", "failed", "skipped", "interrupted"]
    started_ms: int | None = None
    ended_ms: int | None = None
    detail: str = ""
    numbers: dict[str, str | int | float | bool | None] = {}


class AttemptMade(msgspec.Struct, frozen=True, kw_only=True):
    """One order of a tracking limit; ``n`` counts from 1."""

    n: int
    client_id: int
    price: str
    size: str
    filled: str = "0"
    placed_ms: int
    ended_ms: int | None = None
    end_reason: str = ""


class Tracking(msgspec.Struct, frozen=True, kw_only=True):
    """What one tracking limit came to. ``slippage_bps`` is against ``mid_at_start``; positive costs us."""

    side: Literal["buy", "sell"]
    quantity: str
    filled: str = "0"
    attempts: tuple[AttemptMade, ...] = ()
    price_sequence: tuple[str, ...] = ()
    average_price: str | None = None
    mid_at_start: str | None = None
    slippage_bps: str | None = None
    reason: str
    interval_errors_ms: tuple[float, ...] = ()


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an order's story. ``from_`` is ``from`` in the file; states as in ``execution.order.State``."""

    ts_ms: int
    from_: str = msgspec.field(name="from")
    to: str
    cause: str
    source: str
    engine_us: int = 0
    detail: str = ""


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One fill. ``fee`` positive is paid, negative a rebate; ``late``: after the order was thought over."""

    trade_id: str
    size: str
    price: str
    fee: str = "0"
    fee_asset: str = ""
    is_maker: bool | None = None
    ts_ms: int
    late: bool = False


class OrderStory(msgspec.Struct, frozen=True, kw_only=True):
    """One order from intent to end. ``price`` None is a market order; ``timeline_file`` holds every entry."""

    client_id: int
    venue_id: str = ""
    kind: Literal["limit", "market"]
    side: Literal["buy", "sell"]
    size: str
    price: str | None = None
    state: str
    filled: str = "0"
    average_price: str | None = None
    in_doubt: bool = False
    history: tuple[Move, ...] = ()
    fills: tuple[Trade, ...] = ()
    sent_ms: int | None = None
    ack_ms: int | None = None
    cancel_ack_ms: int | None = None
    timeline_file: str = ""


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The exchange's own reading of the position at the end, and how many live orders it listed."""

    source: str
    read_ms: int
    quantity: str
    open_orders: int


class PositionChange(msgspec.Struct, frozen=True, kw_only=True):
    """Base units before and after. ``flat`` None: nobody could tell."""

    before: str | None = None
    after: str | None = None
    flat: bool | None = None
    proof: Proof | None = None


class MarginReading(msgspec.Struct, frozen=True, kw_only=True):
    """Equity and free margin in USD (spot: in the quote currency)."""

    balance: str
    available: str
    ts_ms: int


class MarginChange(msgspec.Struct, frozen=True, kw_only=True):
    before: MarginReading | None = None
    after: MarginReading | None = None
    changes: tuple[MarginReading, ...] = ()


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """A sample of the best bid and ask; None is an empty side."""

    ts_ms: int
    bid: str | None = None
    ask: str | None = None


class Reconnect(msgspec.Struct, frozen=True, kw_only=True):
    """``synced_ms`` None: it did not come back before the end."""

    lost_ms: int
    synced_ms: int | None = None
    why: str = ""


class ConnectionRecord(msgspec.Struct, frozen=True, kw_only=True):
    losses: int = 0
    reconnects: tuple[Reconnect, ...] = ()


class RateLog(msgspec.Struct, frozen=True, kw_only=True):
    """How the exchange's rate limits were kept. ``refused``: answers that said "too many requests"."""

    refused: int = 0
    waits: int = 0
    waited_secs: float = 0
    limits: tuple[RateWindow, ...] = ()


class Play(msgspec.Struct, frozen=True, kw_only=True):
    """The scenario on one exchange. ``symbol`` is canonical; ``size`` is the text that was asked for."""

    venue: str
    market: Literal["perp", "spot"] = "perp"
    symbol: str
    venue_symbol: str = ""
    side: Literal["buy", "sell"] = "buy"
    size: str = "min"
    verdict: Verdict
    sentence: str
    error: Failure | None = None
    steps: tuple[StepDone, ...] = ()
    tracking: tuple[Tracking, ...] = ()
    orders: tuple[OrderStory, ...] = ()
    fees: dict[str, str] = {}
    position: PositionChange = PositionChange()
    margin: MarginChange = MarginChange()
    quotes: tuple[Quote, ...] = ()
    connection: ConnectionRecord = ConnectionRecord()
    rates: RateLog | msgspec.UnsetType = msgspec.UNSET
    errors: tuple[Notice, ...] = ()
    alarms: tuple[Notice, ...] = ()
    notes: tuple[Notice, ...] | msgspec.UnsetType = msgspec.UNSET
    """What was done as asked and is no error; absent when there is none."""


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A time without a delivered heartbeat for one venue."""

    venue: str
    from_ms: int
    to_ms: int
    secs: float


class HeartbeatLog(msgspec.Struct, frozen=True, kw_only=True):
    """``endpoints`` are host names only; ``max_gap_secs`` None: no beat was due."""

    configured: bool
    interval_secs: float = 0
    sent: int = 0
    failed: int = 0
    max_gap_secs: float | None = None
    gaps: tuple[Gap, ...] = ()
    endpoints: tuple[str, ...] = ()
    fallback_file: str | None = None


class Criterion(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the acceptance table. ``venue`` None: it is about the run as a whole."""

    criterion: str
    wanted: str
    evidence: str
    verdict: Literal["passed", "failed", "not_tested"]
    venue: str | None = None


class Halted(msgspec.Struct, frozen=True, kw_only=True):
    """The run was halted from outside: through its endpoint, or by the command ``runner halt``."""

    by: Literal["endpoint", "command"]
    at_ms: int
    flatten: bool


class ScenarioPlayed(msgspec.Struct, frozen=True, kw_only=True):
    """``sha256`` is of the file's bytes, ``text`` is what they say."""

    name: str
    title: str = ""
    path: str
    sha256: str
    text: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """
    All of ``outcome.json``. ``command`` is free of secrets; ``started`` and ``ended`` are ``iso_utc`` texts.

    ``language`` is of the reports and stands in the file only when the scenario asks for one, ``halted`` only when
    somebody halted the run.
    """

    schema: str = NAME
    run_id: str
    started: str
    started_ms: int
    ended: str
    ended_ms: int
    duration_secs: float
    command: tuple[str, ...] = ()
    on: Literal["sim", "testnet", "live"]
    seed: int | None = None
    speed: float = 1
    language: Literal["en", "zh"] | msgspec.UnsetType = msgspec.UNSET
    interrupted: str | None = None
    halted: Halted | msgspec.UnsetType = msgspec.UNSET
    verdict: Verdict
    exit_code: int
    sentence: str
    versions: dict[str, str]
    scenario: ScenarioPlayed
    plan_hash: str | None = None
    plays: tuple[Play, ...] = ()
    heartbeat: HeartbeatLog | None = None
    acceptance: tuple[Criterion, ...] = ()
    not_tested: tuple[str, ...] = ()
    errors: tuple[Notice, ...] = ()


def to_json(outcome: Outcome) -> bytes:
    """The bytes of ``outcome.json``: fields as above, free keys sorted, two spaces of indent, a final newline."""
    return msgspec.json.format(msgspec.json.encode(outcome, order="deterministic"), indent=2) + b"\n"


def check(outcome_bytes: bytes) -> list[str]:
    """Every way in which the bytes break the published schema, as sentences with their place; empty when sound."""
    try:
        document = json.loads(outcome_bytes)
    except (ValueError, RecursionError) as error:
        return [f"not JSON: {error}"]
    return faults(document)
