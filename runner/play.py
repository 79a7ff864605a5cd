"""The play of one scenario on one venue: connect, check, steps, finally, proof. It always ends with a verdict."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal

import anyio
from msgspec import UNSET

from core.chance import Chance
from core.clock import Clock, within
from core.log import get
from core.precision import plain
from execution.journal import Journal
from execution.orders import Orders
from execution.positions import Positions
from execution.risk import Risk
from execution.router import ExecutionRouter
from execution.timeline import Timelines
from runner import story
from runner.events import EventLog
from runner.outcome import Failure, PositionChange, Quote, StepDone, Verdict
from runner.outcome import Play as PlayTold
from runner.outcome import Proof as ProofTold
from runner.plan import CLEANUP_SECS, Plan, longest_secs, own_secs
from runner.scenario import StepCall
from runner.takeover import refuse_or_take_over
from steps import CODES as STEP_CODES
from steps import STEPS, StepFailed
from strategy.trading import Proof, Trading
from venues.errors import CODES, LocalRuleError, VenueError
from venues.events import MarginSeen, Source
from venues.interface import Venue

log = get(__name__)

_STOP_SECS: Final = 5.0
_QUOTE_SECS: Final = 1.0
_SAMPLE_SECS: Final = 1.0
_MARGIN_SECS: Final = 5.0
_FLAT_MARGIN_SECS: Final = 10.0
_MAX_QUOTES: Final = 2_000

Status = Literal["passed", "failed", "skipped", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all plays of a run have in common."""

    run: str
    plan: Plan
    clock: Clock
    pace: Clock
    chance: Chance
    journal: Journal
    timelines: Timelines
    positions: Positions
    risk: Risk
    events: EventLog
    adopt: bool = False
    """Take over open orders and a position that are there at the start."""
    desks: dict[str, Orders] = field(default_factory=dict)


def explain(code: str) -> str:
    """The next move for any code a play may end with."""
    if code in CODES:
        return CODES[code].next_move
    return STEP_CODES[code][1] if code in STEP_CODES else "Read the log and report it."


class VenuePlay:
    """One venue's part of a run. :meth:`go` never raises, cancellation apart; :meth:`told` is its outcome."""

    def __init__(
        self,
        shared: Shared,
        venue: Venue,
        account: str,
        *,
        left_by: str | None = None,
        spot_baseline: Decimal | None = None,
    ) -> None:
        self.shared = shared
        self.left_by = left_by
        self._spot_baseline = spot_baseline
        self.venue = venue
        self.account = account
        self.trade: Trading
        self.steps: list[StepDone] = []
        self.quotes: list[Quote] = []
        self.error: Failure | None = None
        self.proof: Proof | None = None
        self.before: Decimal | None = None
        self.interrupted = False
        self.left_open = False
        """Halted by hand, and the position is to stay."""
        self.ended = False
        self.environment_failed = False
        self.unhandled: list[str] = []
        self._chases_before = 0
        self._quoted: tuple[int | None, int | None] | None = None
        self._sample: tuple[int, int | None, Decimal, Decimal | None] | None = None
        self._began = False
        self._disarmed = False
        self._scope: anyio.CancelScope | None = None
        self.desk = Orders(
            venue=venue,
            account=account,
            clock=shared.clock,
            pace=shared.pace,
            chance=shared.chance.fork(f"orders/{venue.name}"),
            journal=shared.journal,
            timelines=shared.timelines,
            positions=shared.positions,
            risk=shared.risk,
            play=left_by or f"{shared.run}/{venue.name}",
        )
        shared.desks[venue.name] = self.desk

    @property
    def name(self) -> str:
        return self.venue.name

    def say(self, text: str) -> None:
        self.shared.events.say("note", venue=self.name, text=text)

    def say_wait(self, secs: float) -> None:
        until_ms = self.shared.clock.now_ms() + round(secs * 1000 / self.shared.pace.speed)
        self.shared.events.say("waiting", venue=self.name, text=f"waiting {secs:g} s", until_ms=until_ms)

    def interrupt(self) -> None:
        """End the steps now and go on to ``finally``."""
        self.interrupted = True
        if self._scope is not None:
            self._scope.cancel()

    def halt(self, *, flatten: bool) -> None:
        """No new order from now on, and every live one is cancelled; without ``flatten`` the position stays."""
        if self.ended or (flatten and self.desk.closing):
            return
        self.left_open = not flatten
        self.desk.halt("halted by hand")
        self.interrupt()

    # -- the play

    async def go(self) -> None:
        """Play to the end. Cleanup runs even when the surrounding scope is cancelled."""
        say = self.shared.events.say
        say("connecting", venue=self.name)
        try:
            await self._interruptible(self._begin)
            if self._began:
                # Before the first order: from here on the venue itself cancels what a dead program leaves.
                await self._surely(self._arm_dead_man, "while arming the dead-man's switch")
                async with anyio.create_task_group() as watch:
                    watch.start_soon(self._surely, self._sample_play, "while sampling the play")
                    watch.start_soon(self._surely, self._sample_margin, "while sampling margin")
                    watch.start_soon(self._surely, self._keep_dead_man, "while refreshing the dead-man's switch")
                    try:
                        await self._interruptible(self._play_steps)
                    finally:
                        with anyio.CancelScope(shield=True):
                            await self._surely(self._clean_up, "while cleaning up")
                        watch.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                self._end_play()
                with anyio.move_on_after(_STOP_SECS):
                    await self.venue.stop()
                self.ended = True
                say("ended", venue=self.name, verdict=self.verdict(), text=self.sentence())

    async def _surely(self, part: Callable[[], Awaitable[None]], where: str) -> None:
        """Whatever breaks in ``part``, the play goes on to its verdict and its report."""
        try:
            await part()
        except Exception as error:
            self._survive(where, error)

    async def _interruptible(self, part: Callable[[], Awaitable[None]]) -> None:
        if not self.interrupted:
            with anyio.CancelScope() as self._scope:
                await part()
            self._scope = None

    async def _begin(self) -> None:
        scenario = self.shared.plan.scenario
        try:
            await self.venue.start()
            self.trade = Trading(
                ExecutionRouter(self.shared.desks),
                venue=self.name,
                symbol=scenario.symbol,
                kind=scenario.market,
                run=self.shared.run,
                clock=self.shared.clock,
                pace=self.shared.pace,
                chance=self.shared.chance.fork(f"play/{self.name}"),
                side=scenario.side,
                size=scenario.size,
                recovering=self.left_by is not None,
            )
            market = self.trade.market
            self.shared.positions.follow(market)
            await self.venue.watch(market.venue_symbol)
            baseline = self.shared.positions.set_baseline(market, self._spot_baseline)
            self.desk.adopt()
            self.before = (await self.trade.proof()).quantity
            if self.left_by is None:
                baseline = await self._face_what_stands(baseline)
            self.shared.journal.begin_play(
                play=self.trade.play,
                run=self.shared.run,
                venue=self.name,
                account=self.account,
                symbol=scenario.symbol,
                market=scenario.market,
                spot_baseline=plain(baseline),
                now_ms=self.shared.clock.now_ms(),
            )
            await self._read_margin()
            self._began = True
            self.shared.events.say("ready", venue=self.name, venue_symbol=market.venue_symbol, account=self.account)
        except VenueError as error:
            self.environment_failed = error.code != "UNKNOWN_SYMBOL"
            self.error = Failure(code=error.code, message=str(error), next_move=explain(error.code))
        except StepFailed as failed:
            self.environment_failed = True
            self.error = Failure(code=failed.code, message=failed.message, next_move=failed.next_move)
        except Exception as error:
            self._survive("while connecting", error)
            self.environment_failed = True

    async def _face_what_stands(self, baseline: Decimal) -> Decimal:
        """A run that begins on a position or orders it does not own cannot prove what it did itself; new baseline."""
        shared, market = self.shared, self.trade.market
        found = await refuse_or_take_over(self.trade, shared.journal, adopt=shared.adopt)
        if not found:
            return baseline
        self.say(f"takes over {found}")
        self.desk.note("ADOPTED", f"taken over: {found}")
        self.before = self.desk.traded(market)
        # Coins that the cancelled orders traded meanwhile are not the play's.
        return shared.positions.set_baseline(market)

    async def _play_steps(self) -> None:
        failed = False
        for index, call in enumerate(self.shared.plan.scenario.steps):
            if failed or self.interrupted:
                self._record(index, "steps", call, "skipped")
                continue
            failed = not await self._step(index, "steps", call)

    async def _clean_up(self) -> None:
        # Steps that an interruption kept from starting still stand in the report.
        calls = self.shared.plan.scenario.steps
        for index in range(len(self.steps), len(calls)):
            self._record(index, "steps", calls[index], "skipped")
        self.desk.closing = True
        self.shared.events.say("cleanup", venue=self.name)
        with anyio.move_on_after(CLEANUP_SECS) as limit:
            if self.desk.halted_by_hand:
                await self._surely(self._settle_rest, "while cancelling what is live")
                # Closing is what new orders are wanted for now; the steps that could send others have ended.
                self.desk.halted_by_hand = "halted by hand" if self.left_open else ""
            for index, call in enumerate(self.shared.plan.scenario.finally_):
                if self.left_open:
                    self._record(index, "finally", call, "skipped")
                else:
                    await self._step(index, "finally", call)
            self.shared.events.say("proving", venue=self.name)
            await self._prove_flat()
            await self._read_margin()
            if self._stale() and not self.left_open:
                # The exchange told a trade after it had shown flat: close that too, and prove it anew.
                await self._surely(self._flatten_again, "while closing a late trade")
                await self._prove_flat()
            self._tell_sample()
            if self.proven_flat:
                await self._disarm_dead_man()
        if limit.cancelled_caught:
            self._fail(
                Failure(code="NOT_FLAT", message="the cleanup did not end in time", next_move=explain("NOT_FLAT"))
            )

    async def _prove_flat(self) -> None:
        await self._surely(self._settle_rest, "while settling")
        if self.left_open:
            await self._read_proof()
            return
        try:
            self.proof = await self.trade.flat_proof()
        except StepFailed as failed:
            self._fail(Failure(code=failed.code, message=failed.message, next_move=failed.next_move))
            await self._read_proof()
        except VenueError as error:
            self._fail(Failure(code=error.code, message=f"flat is not proven: {error}", next_move=explain("NOT_FLAT")))

    async def _flatten_again(self) -> None:
        await self.trade.flatten()

    async def _settle_rest(self) -> None:
        await self.desk.settle_all(self.desk.unsettled(self.trade.market.venue_symbol))

    async def _read_proof(self) -> None:
        try:
            self.proof = await self.trade.proof()
        except VenueError as error:
            log.warning("no last reading", venue=self.name, error=str(error))

    # -- steps

    async def _step(self, index: int, phase: Literal["steps", "finally"], call: StepCall) -> bool:
        """Run one step and record it. True when it passed."""
        say, clock = self.shared.events.say, self.shared.clock
        began = clock.now_ms()
        scenario = self.shared.plan.scenario
        say(
            "step",
            venue=self.name,
            phase=phase,
            index=index,
            of=len(scenario.steps if phase == "steps" else scenario.finally_),
            verb=call.verb,
            words=call.words,
            until_ms=began + round(own_secs(call) * 1000 / self.shared.pace.speed),
        )
        self._chases_before = len(self.desk.trackings)
        status: Status = "interrupted"
        detail, numbers = "", {}
        try:
            # A step has its own time limit; this one stands behind it, for a venue that never answers.
            async def whole() -> None:
                nonlocal status, detail, numbers
                done = await STEPS[call.verb].run(self, self.shared.plan.args[id(call)])
                status, detail, numbers = "passed", done.detail, dict(done.numbers)

            limit_secs = longest_secs(call) / self.shared.pace.speed + CLEANUP_SECS
            if not await within(clock, limit_secs, whole):
                raise StepFailed("WS_TIMEOUT", f"{call.verb} took longer than {limit_secs:g} s", explain("WS_TIMEOUT"))
        except StepFailed as failed:
            status, detail = "failed", failed.message
            self._fail(Failure(code=failed.code, message=failed.message, next_move=failed.next_move))
        except VenueError as error:
            status, detail = "failed", str(error)
            self._fail(Failure(code=error.code, message=str(error), next_move=explain(error.code)))
        except Exception as error:
            status, detail = "failed", self._survive(f"in step {call.verb}", error)
        finally:
            self._record(index, phase, call, status, began, detail, numbers)
            self._tell_sample()
            say("step_ended", venue=self.name, phase=phase, index=index, verb=call.verb, status=status, text=detail)
        return status == "passed"

    def _record(
        self,
        index: int,
        phase: Literal["steps", "finally"],
        call: StepCall,
        status: Status,
        began: int | None = None,
        detail: str = "",
        numbers: dict[str, Any] | None = None,
    ) -> None:
        self.steps.append(
            StepDone(
                index=index,
                phase=phase,
                verb=call.verb,
                words=call.words,
                status=status,
                started_ms=began,
                ended_ms=None if began is None else self.shared.clock.now_ms(),
                detail=detail,
                numbers=numbers or {},
            )
        )

    def _fail(self, failure: Failure) -> None:
        # The first failure is the cause; what follows is seen in the steps.
        self.error = self.error or failure

    def _survive(self, where: str, error: Exception) -> str:
        """A fault of our own: the play ends, its cleanup runs, and the report says so."""
        log.exception("unhandled error", venue=self.name, where=where)
        while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        words = f"an error of the program itself {where}: {type(error).__name__}: {error}"
        self.unhandled.append(words)
        self._fail(Failure(code="INTERNAL", message=words, next_move="Keep the log and report it."))
        return words

    # -- watching

    async def _sample_play(self) -> None:
        """Quotes at the play's pace; what a watcher sees, in real time."""
        clock, speed = self.shared.clock, self.shared.pace.speed
        told = -_SAMPLE_SECS
        while True:
            self._sample_quote()
            # Half of it, as a tick may come a moment before the second is over; a faster pace has ticks between.
            if clock.monotonic() - told > _SAMPLE_SECS / 2:
                told = clock.monotonic()
                self._tell_sample()
            await clock.sleep(min(_QUOTE_SECS / speed, _SAMPLE_SECS))

    def _sample_quote(self) -> None:
        market = self.trade.market
        book = self.shared.positions.account(self.name).books.get(market.venue_symbol)
        if book is None or (book.bid_i, book.ask_i) == self._quoted or len(self.quotes) >= _MAX_QUOTES:
            return
        self._quoted = (book.bid_i, book.ask_i)
        bid, ask = (None if price_i is None else market.price_text(price_i) for price_i in self._quoted)
        self.quotes.append(Quote(ts_ms=self.shared.clock.now_ms(), bid=bid, ask=ask))

    def _tell_sample(self) -> None:
        """What a watcher wants to see of the play, when it is not what was told last."""
        market, account = self.trade.market, self.shared.positions.account(self.name)
        chases = self.desk.trackings[self._chases_before :]
        last = next((chase.attempts[-1] for chase in reversed(chases) if chase.attempts), None)
        sample = (
            sum(len(chase.attempts) for chase in chases),
            None if last is None else last.order.intent.price_i,
            self.shared.positions.quantity(market),
            None if account.margin is None else round(account.margin.available, 2),
        )
        if sample == self._sample:
            return
        self._sample = sample
        attempts, price_i, position, available = sample
        self.shared.events.say(
            "sample",
            venue=self.name,
            attempts=attempts,
            price=None if price_i is None else market.price_text(price_i),
            position=plain(position),
            available=None if available is None else f"{available:.2f}",
        )

    async def _sample_margin(self) -> None:
        """Ask for the margin, unless the stream told it meanwhile; less often while there is no position to move it."""
        account, clock, market = self.shared.positions.account(self.name), self.shared.clock, self.trade.market
        while True:
            await clock.sleep(_MARGIN_SECS)
            old_secs = _MARGIN_SECS if self.shared.positions.quantity(market) else _FLAT_MARGIN_SECS
            age_secs = old_secs if account.margin is None else (clock.now_ms() - account.margin.heard_ms) / 1000
            # The readings of two ticks lie a moment further apart than the ticks.
            if not 0 <= age_secs < old_secs - _MARGIN_SECS / 2:
                await self._read_margin()

    async def _arm_dead_man(self) -> None:
        """Arm, or refresh, the venue's own dead-man's switch."""
        if self._disarmed or not self.venue.abilities.dead_mans_switch:
            return
        try:
            await self.venue.arm_dead_man(self.trade.market.venue_symbol)
        except VenueError as error:
            self.desk.note(error.code, f"the dead-man's switch of {self.name} is not armed: {error}")

    async def _keep_dead_man(self) -> None:
        """Keep the switch from going off while we live."""
        secs = self.venue.abilities.dead_man_secs
        while self.venue.abilities.dead_mans_switch:
            await self.shared.clock.sleep(secs / 3)
            await self._arm_dead_man()

    async def _disarm_dead_man(self) -> None:
        self._disarmed = True
        try:
            await self.venue.disarm_dead_man(self.trade.market.venue_symbol)
        except VenueError as error:
            self.desk.note(error.code, f"the dead-man's switch of {self.name} is still armed: {error}")

    async def _read_margin(self) -> None:
        try:
            seen = await self.venue.get_margin()
        except VenueError as error:
            log.warning("margin not read", venue=self.name, error=str(error))
            return
        self.shared.positions.account(self.name).take(
            MarginSeen(balance=seen.balance, available=seen.available, source=Source.REST), self.shared.clock.now_ms()
        )

    # -- the end

    @property
    def proven_flat(self) -> bool:
        """True also when nothing was ever sent, by this run or the one that it recovers."""
        if not self._began:
            return self.left_by is None
        return self.proof is not None and self.proof.proves_flat and not self._stale()

    def _stale(self) -> bool:
        """A trade became known after the last reading, and the reading does not show it."""
        proof = self.proof
        if proof is None:
            return False
        traded = self.trade.traded()
        return traded != proof.expected and abs(traded - proof.quantity) >= proof.lot

    def verdict(self) -> Verdict:
        if not self.proven_flat:
            return "not_proven_flat"
        if self.interrupted:
            return "interrupted"
        if self.environment_failed:
            return "environment_failed"
        return "not_accepted" if self.error or self.unhandled else "accepted"

    def sentence(self) -> str:
        """The verdict for people."""
        match self.verdict():
            case "not_proven_flat":
                if self.proof is None:
                    why = self.error.message if self.error and not self._began else "its last reading failed"
                    return f"{self.name} is NOT proven flat: {why}"
                if self._stale():
                    return f"{self.name} is NOT proven flat: a trade was told after the last reading"
                open_words = story.proof_words(self.proof, self.trade.symbol)
                if self.left_open:
                    return f"{self.name} was halted by hand; positions were left open as asked: {open_words}"
                return f"{self.name} is NOT proven flat: {open_words}"
            case "interrupted":
                return f"{self.name} was interrupted and is proven flat" if self._began else f"{self.name}: interrupted"
            case "environment_failed":
                return f"{self.name} could not be played: {self.error.message if self.error else ''}"
            case "not_accepted":
                return f"{self.name} failed and is proven flat: {self.error.message if self.error else ''}"
            case _:
                return f"{self.name} played every step and is proven flat"

    def _end_play(self) -> None:
        if self._began and self.proven_flat:
            try:
                # A play that ends with an intent unsettled in the journal would be found by no `runner recover`.
                self.desk.write_down()
                for play in (self.trade.play, self.left_by):
                    if play is not None:
                        self.shared.journal.end_play(play, self.verdict(), self.shared.clock.now_ms())
            except LocalRuleError as error:
                self.desk.note(error.code, error.hint)
        self.desk.stop_listening()

    def told(self, verdict: Verdict, sentence: str) -> PlayTold:
        """The outcome's part for this venue; the run's acceptance lines may have changed the verdict."""
        scenario, desk = self.shared.plan.scenario, self.desk
        orders = list(desk.book.values())
        return PlayTold(
            venue=self.name,
            market=scenario.market,
            symbol=scenario.symbol,
            venue_symbol=self.trade.market.venue_symbol if self._began else "",
            side=scenario.side,
            size=str(scenario.size),
            verdict=verdict,
            sentence=sentence,
            error=self.error,
            steps=tuple(self.steps),
            tracking=tuple(story.tell_tracking(result) for result in desk.trackings),
            orders=tuple(story.tell_order(order, self.shared.timelines) for order in orders),
            fees=story.tell_fees(orders),
            position=self._position_told(),
            margin=story.tell_margin(self.shared.positions.account(self.name).margin_changes),
            quotes=tuple(self.quotes),
            connection=story.tell_connection(desk),
            rates=story.tell_rates(self.venue.rates),
            errors=story.tell_notices(desk, "error"),
            alarms=story.tell_notices(desk, "alarm"),
            notes=story.tell_notices(desk, "note") or UNSET,
        )

    def _position_told(self) -> PositionChange:
        proof = self.proof
        if proof is None:
            return PositionChange(before=None if self.before is None else plain(self.before))
        return PositionChange(
            before=None if self.before is None else plain(self.before),
            after=plain(proof.quantity),
            flat=self.proven_flat,
            proof=ProofTold(
                source="rest", read_ms=proof.read_ms, quantity=plain(proof.quantity), open_orders=proof.open_orders
            ),
        )

    def round_trips(self) -> int:
        if not self._began:
            return 0
        market = self.trade.market
        began = self.desk.taken_over.get(market.venue_symbol, Decimal(0))
        return story.round_trips(self.desk.book.values(), market, began)
