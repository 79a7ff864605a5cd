"""
A run: one plan on its venues at once, each with its own verdict, and everything written down.

:func:`run_plan` knows no socket and no file layout of its own: how a venue is reached, the clock and the folders are
handed in, so the same code plays in virtual time.
"""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import anyio
from msgspec import UNSET

from core.chance import Chance
from core.clock import Clock, PacedClock, iso_utc
from core.log import get
from core.precision import as_decimal, plain
from core.words import counted
from execution.caps import Caps
from execution.journal import Journal
from execution.order import Order
from execution.positions import Positions
from execution.risk import Risk
from execution.timeline import Timelines
from runner.acceptance import acceptance_of
from runner.events import EventLog
from runner.heartbeat import Heartbeat, HeartbeatSettings, Holding, Post, VenueState
from runner.outcome import EXIT_CODES, Criterion, Gap, Halted, HeartbeatLog, Notice, Outcome, ScenarioPlayed, Verdict
from runner.plan import Plan
from runner.play import Shared, VenuePlay
from venues.interface import Venue

log = get(__name__)

# From the worst; a run is as good as its worst play.
_WORST_FIRST: Final[Sequence[Verdict]] = (
    "not_proven_flat",
    "interrupted",
    "environment_failed",
    "not_accepted",
    "accepted",
)
_LIBRARIES: Final = ("anyio", "httpx", "websockets", "msgspec", "structlog", "PyNaCl", "jsonschema", "ruamel.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where a run writes. ``run`` exists and is its own; ``orders`` None switches order timelines off."""

    run: Path
    orders: Path | None
    journal: Path | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A venue of the run: its connector and the name of the account behind the key (no secret)."""

    venue: Venue
    account: str


@dataclass(slots=True)
class Interruption:
    """
    What a first Ctrl-C does: it ends the steps of every play and lets the cleanup run. And what :meth:`halt` does,
    which comes from outside.
    """

    signal: str | None = None
    halted: Halted | None = None
    _plays: list[VenuePlay] = field(default_factory=list)

    def watch(self, plays: Sequence[VenuePlay]) -> None:
        self._plays = list(plays)
        if self.signal is not None:
            self.interrupt(self.signal)
        if self.halted is not None:
            self.halt(self.halted)

    @property
    def asked(self) -> bool:
        """Somebody stopped the run by hand, even if it was over before that took hold."""
        return self.signal is not None or self.halted is not None

    def halt(self, halted: Halted) -> None:
        """Stop new orders on every venue at once and cancel what is live; see :meth:`VenuePlay.halt`."""
        self.halted = self.halted or halted
        for play in self._plays:
            play.halt(flatten=halted.flatten)

    def state(self) -> dict[str, Any]:
        """What is live and held now, by venue; JSON values only."""
        venues = {}
        for play in self._plays:
            live, held = _open(play)
            venues[play.name] = {
                "ended": play.ended,
                "proven_flat": play.ended and play.proven_flat,
                "live": [
                    {
                        "client_id": order.client_id,
                        "side": order.intent.side,
                        "symbol": order.intent.venue_symbol,
                        "size": plain(as_decimal(order.intent.size_i, order.intent.size_decimals)),
                        "filled": plain(order.filled),
                    }
                    for order in live
                ],
                "held": {symbol: plain(quantity) for symbol, quantity in held.items()},
            }
        return {"halted": self.halted is not None, "venues": venues}

    def interrupt(self, signal: str) -> None:
        self.signal = signal
        for play in self._plays:
            play.interrupt()

    def open_words(self) -> list[str]:
        """For a second Ctrl-C: what may stay open, venue by venue; empty when every venue is proven flat."""
        words = []
        for play in self._plays:
            if play.ended and play.proven_flat:
                continue
            live, held = _open(play)
            if not live and not held:
                words.append(f"{play.name}: nothing that we know of, but it was not proven")
            else:
                parts = [f"order {o.client_id} ({o.intent.side} {o.intent.venue_symbol})" for o in live]
                parts += [f"{quantity} {symbol}" for symbol, quantity in held.items()]
                words.append(f"{play.name}: {', '.join(parts)}")
        return words


def _open(play: VenuePlay) -> tuple[list[Order], dict[str, Decimal]]:
    """Orders that may be live, and positions held, as far as is known."""
    live = [order for order in play.desk.unsettled() if not order.terminal]
    positions = play.desk.positions
    held = {symbol: reading.quantity for symbol, reading in positions.account(play.name).positions.items()}
    for (venue, _), market in positions.markets.items():
        # Of spot there is no position, only what the play changed.
        if venue == play.name and market.kind == "spot":
            held[market.venue_symbol] = positions.quantity(market)
    return live, {symbol: quantity for symbol, quantity in held.items() if quantity}


async def run_plan(
    plan: Plan,
    *,
    run_id: str,
    text: str,
    folders: Folders,
    clock: Clock,
    chance: Chance,
    reach: Callable[[str], Awaitable[Reached]],
    events: EventLog,
    caps: Caps,
    heartbeat: HeartbeatSettings,
    post: Post | None = None,
    command: Sequence[str] = (),
    interruption: Interruption | None = None,
    left_by: str | None = None,
    spot_baseline: Decimal | None = None,
    adopt: bool = False,
) -> Outcome:
    """
    Play ``plan`` and return its outcome; nothing is raised for what a venue does.

    Args:
        text: The scenario file's text, for the report.
        reach: Makes the connector of a venue; not started yet.
        post: How heartbeats leave; httpx when None.
        left_by: An earlier play whose orders and position this run takes over; ``spot_baseline`` is that play's.
        adopt: Take over open orders and a position that nobody here made, instead of refusing to start.

    Raises:
        LocalRuleError: HALTED - the journal cannot be opened, so nothing was sent.
    """
    interruption = interruption or Interruption()
    started_ms, began = clock.now_ms(), clock.monotonic()
    events.say(
        "started",
        run=run_id,
        scenario=plan.scenario.name,
        symbol=plan.scenario.symbol,
        venues=list(plan.venues),
        on=plan.on,
    )
    journal = Journal(folders.journal)
    timelines = Timelines(folders.orders)
    positions = Positions(clock)
    shared = Shared(
        run=run_id,
        plan=plan,
        clock=clock,
        pace=PacedClock(clock, plan.speed),
        chance=chance,
        journal=journal,
        timelines=timelines,
        positions=positions,
        risk=Risk(caps, positions, journal),
        events=events,
        adopt=adopt,
    )
    plays: list[VenuePlay] = []
    try:
        for venue in plan.venues:
            reached = await reach(venue)
            plays.append(
                VenuePlay(shared, reached.venue, reached.account, left_by=left_by, spot_baseline=spot_baseline)
            )
        interruption.watch(plays)
        heart = Heartbeat(
            heartbeat, clock=clock, chance=chance.fork("heartbeat"), snapshot=lambda: _states(plays), post=post
        )
        async with anyio.create_task_group() as beside:
            beside.start_soon(heart.run)
            async with anyio.create_task_group() as group:
                for play in plays:
                    group.start_soon(play.go)
            beside.cancel_scope.cancel()
        beats = _heartbeat_told(heart, heartbeat)
        outcome = _outcome(
            plan,
            plays,
            beats,
            run_id=run_id,
            text=text,
            started_ms=started_ms,
            ended_ms=clock.now_ms(),
            duration_secs=clock.monotonic() - began,
            command=tuple(command),
            interrupted=interruption.signal,
            halted=interruption.halted,
            errors=tuple(
                Notice(ts_ms=clock.now_ms(), code="LOG_INCOMPLETE", text=failure)
                for failure in (*timelines.failures, *events.failures)
            ),
        )
    finally:
        timelines.close_all()
        journal.close()
    events.say("outcome", verdict=outcome.verdict, exit_code=outcome.exit_code, text=outcome.sentence)
    return outcome


def _states(plays: Sequence[VenuePlay]) -> list[VenueState]:
    """What the heartbeat says of each venue, now."""
    states = []
    for play in plays:
        if play.ended:
            # A venue that is done owes no beat.
            continue
        account = play.desk.positions.account(play.name)
        holdings = []
        for (venue, _), market in play.desk.positions.markets.items():
            if venue == play.name:
                quantity, mid = play.desk.positions.quantity(market), play.desk.positions.mid(market)
                notional = None if mid is None else quantity * mid
                holdings.append(Holding(symbol=market.symbol, qty=quantity, notional=notional))
        margin = account.margin
        states.append(
            VenueState(
                venue=play.name,
                positions=tuple(holdings),
                balance=margin.balance if margin else None,
                available=margin.available if margin else None,
            )
        )
    return states


def _heartbeat_told(heart: Heartbeat, settings: HeartbeatSettings) -> HeartbeatLog:
    record = heart.record()
    return HeartbeatLog(
        configured=record.configured,
        interval_secs=record.interval_secs,
        sent=record.sent,
        failed=record.failed,
        max_gap_secs=None if record.max_gap_secs is None else round(record.max_gap_secs, 3),
        gaps=tuple(
            Gap(venue=gap.venue, from_ms=gap.from_ms, to_ms=gap.to_ms, secs=round(gap.secs, 3)) for gap in record.gaps
        ),
        endpoints=record.endpoints,
        fallback_file=record.fallback_file if record.filed else None,
    )


def _heartbeat_line(plan: Plan, beats: HeartbeatLog) -> list[Criterion]:
    wanted_secs = plan.scenario.accept.heartbeat_max_gap_secs
    if wanted_secs is None:
        return []
    if not beats.configured:
        evidence, passed = "no heartbeat endpoint is configured", False
    else:
        gap = beats.max_gap_secs
        evidence = (
            f"{counted(beats.sent, 'beat')} delivered, {beats.failed} not, "
            f"longest gap {'none' if gap is None else f'{gap:g} s'}"
        )
        passed = gap is not None and gap <= wanted_secs and beats.sent > 0
    return [
        Criterion(
            criterion="heartbeat",
            wanted=f"no gap above {wanted_secs:g} s",
            evidence=evidence,
            verdict="passed" if passed else "failed",
        )
    ]


def _outcome(
    plan: Plan,
    plays: Sequence[VenuePlay],
    beats: HeartbeatLog,
    *,
    run_id: str,
    text: str,
    started_ms: int,
    ended_ms: int,
    duration_secs: float,
    command: tuple[str, ...],
    interrupted: str | None,
    halted: Halted | None,
    errors: tuple[Notice, ...],
) -> Outcome:
    general = _heartbeat_line(plan, beats)
    lines = list(general)
    told = []
    for play in plays:
        own = acceptance_of(play)
        lines += own
        verdict, sentence = play.verdict(), play.sentence()
        failed = [line for line in own if line.verdict == "failed"]
        if verdict == "accepted" and failed:
            verdict = "not_accepted"
            sentence = f"{play.name} is proven flat but failed {failed[0].criterion}: {failed[0].evidence}"
        told.append(play.told(verdict, sentence))
    verdicts: list[Verdict] = [play.verdict for play in told]
    if any(line.verdict == "failed" for line in general):
        verdicts.append("not_accepted")
    verdict = min(verdicts, key=_WORST_FIRST.index)
    return Outcome(
        run_id=run_id,
        started=iso_utc(started_ms),
        started_ms=started_ms,
        ended=iso_utc(ended_ms),
        ended_ms=ended_ms,
        duration_secs=round(duration_secs, 3),
        command=command,
        on=plan.on,  # type: ignore[arg-type]
        seed=plan.seed,
        speed=plan.speed,
        interrupted=interrupted,
        halted=halted or UNSET,
        verdict=verdict,
        exit_code=EXIT_CODES[verdict],
        sentence=_sentence(verdict, [play.sentence for play in told if play.verdict == verdict], len(told), general),
        versions=_versions(),
        scenario=ScenarioPlayed(
            name=plan.scenario.name,
            title=plan.scenario.title,
            path=plan.scenario.path,
            sha256=plan.scenario.sha256,
            text=text,
        ),
        plan_hash=plan.hash,
        plays=tuple(told),
        heartbeat=beats,
        acceptance=tuple(lines),
        not_tested=tuple(_not_tested(plan, lines)),
        errors=errors,
    )


def _sentence(verdict: Verdict, sentences: Sequence[str], plays: int, general: Sequence[Criterion]) -> str:
    where = "The exchange" if plays == 1 else f"All {plays} exchanges"
    match verdict:
        case "accepted":
            return f"{where} played every step, met every line and {'is' if plays == 1 else 'are'} proven flat."
        case "interrupted":
            return "The run was stopped by hand; it cleaned up and is proven flat."
        case _:
            reasons = list(sentences) or [f"{line.criterion}: {line.evidence}" for line in general]
            return f"{'; '.join(reasons)}."


def _not_tested(plan: Plan, lines: Sequence[Criterion]) -> list[str]:
    words = [f"{line.criterion} on {line.venue}: {line.evidence}" for line in lines if line.verdict == "not_tested"]
    if plan.on == "sim":
        words.append("Real exchanges: this run traded on local simulators, with simulated prices and money.")
    if plan.speed != 1:
        words.append(f"Waiting at full length: waits were shortened {plan.speed:g} times.")
    asked = plan.scenario.accept
    if asked.round_trip_at_least is None:
        words.append("A whole round trip was not asked for.")
    if asked.heartbeat_max_gap_secs is None:
        words.append("Heartbeat gaps were not asked for.")
    return words


@cache
def _versions() -> dict[str, str]:
    found = {"roundtrip": metadata.version("roundtrip"), "python": platform.python_version()}
    for name in _LIBRARIES:
        found[name] = metadata.version(name)
    return found
