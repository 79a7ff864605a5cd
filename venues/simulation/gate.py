"""
The gate between a simulator and the shell that carries it: here the faults happen.

Whatever comes late - a delayed message, a request executed late - waits in the gate and is let go by
:meth:`FaultGate.advance`, which also advances the simulator; :meth:`FaultGate.drive` does that for ever. The gate
starts no task, so a client that gives up waiting never takes a request back.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, cast
from urllib.parse import parse_qsl

import msgspec

from core.clock import Clock
from venues.simulation import mishaps
from venues.simulation.app import Reply, Request, VenueApp
from venues.simulation.faults import READS, FaultRule, Faults
from venues.simulation.front import Front
from venues.simulation.gated import GatedStream, Outlet
from venues.simulation.limits import Limits, limits_of
from venues.simulation.records import ZERO, Order, State

ABNORMAL: Final = 1006
"""The close code for a connection that ends without a Close frame (RFC 6455, 7.4.1)."""

# Query keys that differ between two requests for the same thing.
_PER_REQUEST: Final = frozenset({"timestamp", "signature", "recvWindow", "window", "nonce"})
_BESIDES: Final = frozenset({"late_ack", "early_fill", "late_refusal", "late_fill"})
"""Actions that execute a request as ever and do something besides."""
_REMEMBERED_READINGS: Final = 256
GOING_AWAY: Final = 1001
RESTARTING: Final = 1012
"""Close codes of an end that the server means (RFC 6455, 7.4.1, and its registry)."""


class Dropped(msgspec.Struct, frozen=True):
    """No answer: the connection breaks."""

    why: str


class _Late(msgspec.Struct, frozen=True):
    """A request that is executed at ``due_ms``; ``stream`` is the one that it came over, None for HTTP."""

    due_ms: int
    request: Request | str
    stream: GatedStream | None = None


class _Break(msgspec.Struct, frozen=True):
    """A stream whose connection breaks at ``due_ms``."""

    due_ms: int
    stream: GatedStream


class FaultGate:
    """
    One simulator with its faults.

    Args:
        clock: The simulator's clock; it must not be paced, since the simulator's own times are real.
        limits: The venue's rate limits; None is those of its sheet, on ``clock``.
    """

    def __init__(self, app: VenueApp, faults: Faults, clock: Clock, limits: Limits | None = None) -> None:
        self.app = app
        self.faults = faults
        self.clock = clock
        self.limits = limits or limits_of(app.name, clock)
        self._streams: list[GatedStream] = []
        self._ended: list[GatedStream] = []
        self._late: list[_Late] = []
        self._breaks: list[_Break] = []
        self._readings: OrderedDict[tuple[object, ...], Reply] = OrderedDict()
        self.broken: list[Exception] = []
        """Errors of the simulator itself: a client may take them for an answer that it cannot read."""
        self._closed_until_ms = 0
        self._asleep_until_ms = 0
        self._nap: asyncio.Handle | None = None
        """The next look of :meth:`drive`; None while nobody drives."""
        self._wake: Callable[[], None] = lambda: None
        faults.begin(clock)

    async def http(self, request: Request) -> Reply | Dropped:
        """Carry one request to the simulator. What it causes on the streams has been sent when this returns."""
        self.advance()
        over = self.limits.http(request) if self.limits is not None else None
        if over is not None:
            return over
        try:
            if not self.faults.rules:
                return self.app.http(request)
            kind = self.app.http_kind(request)
            self._happen(kind)
            if self.clock.now_ms() < self._closed_until_ms:
                return self._front.maintenance()
            refusal = self._refused_login(request)
            if refusal is not None:
                return cast(Reply, refusal)
            return await self._http(request, kind, self.faults.http(kind))
        except Exception as error:
            self.broken.append(error)
            raise
        finally:
            self.advance()
            self.touch()

    async def _http(self, request: Request, kind: str, rule: FaultRule | None) -> Reply | Dropped:
        if rule is None:
            return self._execute(request, kind)
        params = rule.params
        replies: list[Reply] = []
        match rule.action:
            case "drop":
                return Dropped("the request was lost before it was executed")
            case "error_before":
                return _gateway_error(rule)
            case "error_after":
                self._execute(request, kind)
                return _gateway_error(rule)
            case "rate_limit":
                return _gateway_error(rule)
            case "lose_reply":
                self._execute(request, kind)
                return Dropped("the request was executed and its answer was lost")
            case "execute_late":
                self._late.append(_Late(self.clock.now_ms() + params["ms"], request))
                self.touch()
                await self.clock.sleep(_breaks_ms(rule) / 1000)
                return Dropped("the request was executed late and its answer was lost")
            case "delay":
                reply = self._execute(request, kind)
                self.advance()
                self.touch()
                await self.clock.sleep(params["ms"] / 1000)
                return reply
            case "truncate":
                reply = self._execute(request, kind)
                return Reply(reply.status, reply.body[: int(len(reply.body) * params["fraction"])], reply.headers)
            case "stale_read":
                return self._readings.get(_reading(request)) or self._execute(request, kind)
            case "disconnect":
                self.disconnect(params["code"])
                return self._execute(request, kind)
            case "malformed":
                reply, nonsense = self._execute(request, kind), self.faults.nonsense(params["shape"])
                body = nonsense.encode() if isinstance(nonsense, str) else nonsense
                return Reply(reply.status, body, reply.headers)
            case "unknown_word":
                reply = self._execute(request, kind)
                text = reply.body.decode()
                told = mishaps.unknown(text)
                rule.fired -= told == text
                return Reply(reply.status, told.encode(), reply.headers)
            case "hide_new":
                with mishaps.hidden(self._front, params["ms"]) as count:
                    rule.fired -= not count
                    return self.app.http(request)
            case _ if rule.action in _BESIDES:
                wait_ms = self._besides(rule, lambda: replies.append(self._execute(request, kind)))
                if wait_ms:
                    await self.clock.sleep(wait_ms / 1000)
                return replies[0]
        raise AssertionError(f"{rule.action} does not strike requests")

    def text(self, stream: GatedStream, text: str) -> None:
        """Carry one message of the client to the simulator; a rule for requests may strike one that is a request."""
        try:
            self._text(stream, text)
        except Exception as error:
            self.broken.append(error)
            raise
        self.advance()
        self.touch()

    def _text(self, stream: GatedStream, text: str) -> None:
        kind, rule = "other", None
        over = self.limits.text(text) if self.limits is not None else None
        if over is not None:
            stream.send(over)
            return
        if self.faults.rules:
            kind = self.app.text_kind(text)
            refusal = self._refused_login(text)
            if refusal is not None:
                stream.send(cast(str, refusal))
                return
        if kind != "other":
            self._happen(kind)
            if stream.over:
                return
            rule = self.faults.text(kind)
        match rule.action if rule else "":
            case "drop":
                return
            case "execute_late":
                assert rule is not None
                now_ms = self.clock.now_ms()
                self._late.append(_Late(now_ms + rule.params["ms"], text, stream))
                self._breaks.append(_Break(now_ms + _breaks_ms(rule), stream))
            case "delay":
                assert rule is not None
                stream.answer_late(rule.params["ms"])
                self.app.ws_text(stream, text)
                stream.answer_late(0)
            case "lose_reply":
                self._execute_unheard(stream, text)
            case "disconnect":
                assert rule is not None
                self.disconnect(rule.params["code"])
                self.app.ws_text(stream, text)
            case action if action in _BESIDES:
                assert rule is not None
                stream.hold_answers()
                stream.let_answers_go(self._besides(rule, lambda: self.app.ws_text(stream, text)))
            case _:
                self.app.ws_text(stream, text)

    def _besides(self, rule: FaultRule, execute: Callable[[], None]) -> int:
        """Execute a request and do to its order what the rule says; gives the ms that its answer waits."""
        front, ms = self._front, int(rule.params["ms"])
        share: Decimal = rule.params.get("fraction", ZERO)
        known, live = len(front.engine.orders), mishaps.live(front) if rule.action == "late_fill" else []
        execute()
        # Where the venue queues orders, this one is executed now.
        self.advance()
        if rule.action == "late_ack":
            return ms
        found: Order | None
        if rule.action == "late_fill":
            found = next((order for order in live if order.state is State.CANCELLED), None)
        else:
            found = mishaps.rested(front, known)
        if found is None:
            rule.fired -= 1
            return 0
        match rule.action:
            case "early_fill":
                mishaps.trade_early(front, found, share)
                return ms
            case "late_refusal":
                front.later(ms, lambda: mishaps.refuse_late(front, found))
            case _:
                front.later(ms, lambda: mishaps.trade_late(front, found, share))
        return 0

    def _happen(self, kind: str) -> None:
        """Let the venue do by itself what a rule says for a request of this kind."""
        rule = self.faults.venue(kind, lambda rule: mishaps.possible(self._front, rule))
        match rule.action if rule else "":
            case "":
                return
            case "maintenance":
                assert rule is not None
                self._closed_until_ms = self.clock.now_ms() + rule.params["ms"]
                self.disconnect(RESTARTING)
            case "expire_login":
                assert rule is not None
                if not self._front.expire_login(rule.params["ms"]):
                    self.disconnect(GOING_AWAY)
            case _:
                assert rule is not None
                mishaps.happen(self._front, rule)

    def _refused_login(self, asked: Request | str) -> Reply | str | None:
        """The venue's "no" where a rule strikes this login; None for anything else."""
        if not any(rule.on == "login" for rule in self.faults.rules):
            return None
        refusal = self._front.refused_login(asked)
        return None if refusal is None or self.faults.login() is None else refusal

    @property
    def _front(self) -> Front:
        # Rules that need more than a VenueApp are for the simulators of this package.
        return cast(Front, self.app)

    def ws_open(self, out: Outlet, path: str, headers: Mapping[str, str]) -> GatedStream:
        """
        A client connected. ``path`` includes the query string, if any; header names are lower-case. The shell tells
        the stream what the client sends, and :meth:`GatedStream.closed` when its connection is gone.
        """
        stream = GatedStream(self, out)
        self._streams.append(stream)
        if self.clock.now_ms() < self._closed_until_ms:
            stream.cut(RESTARTING, "")
            return stream
        self.app.ws_open(stream, path, headers)
        self.advance()
        self.touch()
        return stream

    def disconnect(self, code: int = ABNORMAL, reason: str = "") -> None:
        """End every stream of the client now; code 1006 cuts it without a Close frame."""
        for stream in list(self._streams):
            stream.cut(code, reason)

    def advance(self) -> None:
        """Do everything that is due by now, in the simulator and in the gate."""
        self.settle_ended()
        now_ms = self.clock.now_ms()
        if self._late:
            due = [late for late in self._late if late.due_ms <= now_ms]
            self._late = [late for late in self._late if late.due_ms > now_ms]
            for late in sorted(due, key=lambda late: late.due_ms):
                if isinstance(late.request, Request):
                    self.app.http(late.request)
                elif late.stream is not None:
                    self._execute_unheard(late.stream, late.request)
        if self._breaks:
            broken = [each for each in self._breaks if each.due_ms <= now_ms]
            self._breaks = [each for each in self._breaks if each.due_ms > now_ms]
            for each in broken:
                each.stream.cut(ABNORMAL, "")
        self.app.advance()
        for stream in tuple(self._streams):
            stream.release(now_ms)
        self.settle_ended()

    def next_due_ms(self) -> int:
        """Unix milliseconds of the next thing that is due in the simulator or in the gate."""
        due_ms = self.app.next_due_ms()
        for late in self._late:
            due_ms = min(due_ms, late.due_ms)
        for each in self._breaks:
            due_ms = min(due_ms, each.due_ms)
        for stream in self._streams:
            at_ms = stream.next_due_ms()
            if at_ms is not None and at_ms < due_ms:
                due_ms = at_ms
        return due_ms

    async def drive(self) -> None:
        """Advance whenever something is due, until cancelled."""
        loop = asyncio.get_running_loop()
        broken: asyncio.Future[None] = loop.create_future()

        def look() -> None:
            try:
                self.advance()
                self._asleep_until_ms = self.next_due_ms()
            except Exception as error:
                self._plan(None)
                broken.set_exception(error)
                return
            # Never 0: a simulator that is always due must not stop the loop's time. The clock is not paced, so its
            # time is the loop's; a timer is far cheaper than a task that is woken for each look.
            wait_ms = max(1, self._asleep_until_ms - self.clock.now_ms())
            self._plan(loop.call_later(wait_ms / 1000, look))

        self._wake = lambda: self._plan(loop.call_soon(look))
        self._wake()
        try:
            await broken
        finally:
            self._plan(None)

    def _plan(self, nap: asyncio.Handle | None) -> None:
        if self._nap is not None:
            self._nap.cancel()
        self._nap = nap

    def touch(self) -> None:
        """Wake :meth:`drive` if something has come to be due before it would look again."""
        if self._nap is not None and (due_ms := self.next_due_ms()) < self._asleep_until_ms:
            self._asleep_until_ms = due_ms
            self._wake()

    def ended(self, stream: GatedStream) -> None:
        """A stream has ended. The simulator hears of it later: it may be in the middle of writing to its peers."""
        self._streams.remove(stream)
        self._ended.append(stream)
        if self._nap is not None:
            self._wake()

    def settle_ended(self) -> None:
        """Tell the simulator which streams have ended, each once; one with a request under way only after that."""
        if not self._ended:
            return
        busy = [late.stream for late in self._late if late.stream is not None]
        ended, self._ended = self._ended, [stream for stream in self._ended if stream in busy]
        for stream in ended:
            if stream not in busy:
                self.app.ws_closed(stream)

    def _execute_unheard(self, stream: GatedStream, text: str) -> None:
        """Execute a request; its connection breaks before the answer."""
        stream.cut(ABNORMAL, "")
        self.app.ws_text(stream, text)

    def _execute(self, request: Request, kind: str) -> Reply:
        reply = self.app.http(request)
        if kind in READS:
            place = _reading(request)
            self._readings[place] = reply
            self._readings.move_to_end(place)
            if len(self._readings) > _REMEMBERED_READINGS:
                self._readings.popitem(last=False)
        return reply


def _reading(request: Request) -> tuple[object, ...]:
    """What makes two readings the same: method, path, body, and the query without its per-request part."""
    query = tuple(pair for pair in parse_qsl(request.query, keep_blank_values=True) if pair[0] not in _PER_REQUEST)
    return (request.method, request.path, query, request.body)


def _breaks_ms(rule: FaultRule) -> int:
    """How long after a request that is executed late its connection breaks: with the execution at the latest."""
    breaks_ms = rule.params["breaks_ms"]
    return int(rule.params["ms"] if breaks_ms is None else min(breaks_ms, rule.params["ms"]))


def _gateway_error(rule: FaultRule) -> Reply:
    headers = {"content-type": "text/plain; charset=utf-8"}
    if rule.params.get("retry_after") is not None:
        headers["retry-after"] = str(rule.params["retry_after"])
    return Reply(rule.params["status"], rule.params["body"].encode(), headers)
