"""
The gate between a simulator and the shell that carries it: here the faults happen.

Whatever comes late - a delayed message, a request executed late - waits in the gate and is let go by
:meth:`FaultGate.advance`, which also advances the simulator; :meth:`FaultGate.drive` does that for ever. The gate
starts no task, so a client that gives up waiting never takes a request back.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, Protocol, cast
from urllib.parse import parse_qsl

import msgspec

from core.clock import Clock
from venues.simulation import mishaps
from venues.simulation.app import Reply, Request, VenueApp
from venues.simulation.faults import READS, FaultRule, Faults
from venues.simulation.front import Front
from venues.simulation.limits import Limits, limits_of
from venues.simulation.records import ZERO, Order, State

ABNORMAL: Final = 1006
"""The close code for a connection that ends without a Close frame (RFC 6455, 7.4.1)."""

# Query keys that differ between two requests for the same thing.
_PER_REQUEST: Final = frozenset({"timestamp", "signature", "recvWindow", "window", "nonce"})
_BESIDES: Final = frozenset({"late_ack", "early_fill", "late_refusal", "late_fill"})
"""Actions that execute a request as ever and do something besides."""
_REMEMBERED_READINGS: Final = 256
_FOR_GOOD: Final = 2**63
GOING_AWAY: Final = 1001
RESTARTING: Final = 1012
"""Close codes of an end that the server means (RFC 6455, 7.4.1, and its registry)."""


class Outlet(Protocol):
    """The shell's end of a stream: what is to reach the client."""

    def send(self, text: str | bytes) -> None: ...
    def close(self, code: int = 1000, reason: str = "") -> None: ...


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


class _Waiting(msgspec.Struct, frozen=True):
    """A message, or with ``text`` None the end of the stream, that may not leave before ``due_ms``."""

    due_ms: int
    text: str | bytes | None
    code: int = 1000
    reason: str = ""


class GatedStream:
    """
    One stream connection. The simulator has it as its :class:`Peer`; the shell hands in what the client does.

    Messages keep their order whatever the faults delay, but for the one a ``reorder`` holds back.
    """

    def __init__(self, gate: FaultGate, out: Outlet) -> None:
        self._gate = gate
        self._out = out
        self._queue: deque[_Waiting] = deque()
        self._held: _Waiting | None = None
        self._silent_until_ms = 0
        self._answer_ms = 0
        self._asides: list[_Waiting] = []
        self._answers: list[str] | None = None
        self._gaps: dict[str, int] = {}
        self.over = False

    # -- the simulator's side

    def send(self, text: str) -> None:
        if self.over or self.silent:
            return
        gate = self._gate
        if not gate.faults.rules:
            self._push(_Waiting(0, text))
            return
        now_ms = gate.clock.now_ms()
        kind = gate.app.message_kind(text)
        if self._answers is not None and kind == "other":
            self._answers.append(text)
            return
        missing = self._gaps.get(kind, 0)
        if missing:
            self._gaps[kind] = missing - 1
            return
        rule = gate.faults.ws(kind)
        action, params = (rule.action, rule.params) if rule else ("", {})
        if action == "drop":
            return
        if action == "gap":
            self._gaps[kind] = params["count"] - 1
            return
        held, self._held = self._held, None
        match action:
            case "disconnect":
                gate.disconnect(params["code"])
                return
            case "silent":
                self._silent_until_ms = _FOR_GOOD if params["ms"] is None else now_ms + params["ms"]
                return
            case "reorder" if held is None:
                self._held = _Waiting(now_ms + params["ms"], text)
                gate.touch()
                return
            case "delay":
                self._push(_Waiting(now_ms + params["ms"], text))
            case "duplicate":
                for _ in range(params["count"]):
                    self._push(_Waiting(now_ms, text))
            case "truncate":
                self._push(_Waiting(now_ms, text[: int(len(text) * params["fraction"])]))
            case "malformed":
                self._push(_Waiting(now_ms, gate.faults.nonsense(params["shape"])))
            case "unknown_word":
                self._push(_Waiting(now_ms, mishaps.unknown(text)))
            case _:
                self._push(_Waiting(now_ms, text))
        if held is not None:
            self._push(_Waiting(now_ms, held.text))

    def close(self, code: int = 1000, reason: str = "") -> None:
        if self.over:
            return
        now_ms = self._gate.clock.now_ms()
        if self._held is not None:
            self._push(_Waiting(now_ms, self._held.text))
            self._held = None
        self._push(_Waiting(now_ms, None, code, reason))

    # -- the shell's side

    @property
    def silent(self) -> bool:
        """True while a fault keeps this stream mute: no messages, no Pongs."""
        return self._gate.clock.now_ms() < self._silent_until_ms

    def text(self, text: str) -> None:
        """The client sent ``text``."""
        if not self.over:
            self._gate.text(self, text)

    def closed(self) -> None:
        """The client's connection is gone; harmless when the stream has ended already."""
        if not self.over:
            self._end()
            self._gate.settle_ended()

    # -- the gate's side

    def answer_late(self, ms: int) -> None:
        """What is sent from now on leaves ``ms`` later; 0 ends that."""
        self._answer_ms = ms

    def hold_answers(self) -> None:
        """Keep answers to requests back from now on; words about the account go on."""
        self._answers = []

    def let_answers_go(self, ms: int) -> None:
        """The answers kept back leave in ``ms``, whatever else has left by then."""
        due_ms = self._gate.clock.now_ms() + ms
        self._asides += [_Waiting(due_ms, text) for text in self._answers or ()]
        self._answers = None
        self._gate.touch()

    def cut(self, code: int, reason: str) -> None:
        """End the connection now; what still waits is lost."""
        if not self.over:
            self._end()
            self._out.close(code, reason)

    def next_due_ms(self) -> int | None:
        due = [waiting.due_ms for waiting in self._asides]
        if self._held is not None:
            due.append(self._held.due_ms)
        if self._queue:
            due.append(self._queue[0].due_ms)
        return min(due, default=None)

    def release(self, now_ms: int) -> None:
        """Let go of everything that is due."""
        if self._held is not None and self._held.due_ms <= now_ms:
            held, self._held = self._held, None
            self._push(held)
        while self._queue and self._queue[0].due_ms <= now_ms and not self.over:
            self._let_go(self._queue.popleft())
        if self._asides:
            due = [waiting for waiting in self._asides if waiting.due_ms <= now_ms]
            self._asides = [waiting for waiting in self._asides if waiting.due_ms > now_ms]
            for waiting in due:
                if not self.over:
                    self._let_go(waiting)

    def _push(self, waiting: _Waiting) -> None:
        if self._answer_ms:
            waiting = msgspec.structs.replace(waiting, due_ms=waiting.due_ms + self._answer_ms)
        if not self._queue and waiting.due_ms <= self._gate.clock.now_ms():
            self._let_go(waiting)
            return
        if self._queue and self._queue[-1].due_ms > waiting.due_ms:
            waiting = msgspec.structs.replace(waiting, due_ms=self._queue[-1].due_ms)
        self._queue.append(waiting)
        self._gate.touch()

    def _let_go(self, waiting: _Waiting) -> None:
        if waiting.text is None:
            self.cut(waiting.code, waiting.reason)
        elif not self.silent:
            self._out.send(waiting.text)

    def _end(self) -> None:
        self.over = True
        self._queue.clear()
        self._asides.clear()
        self._held = None
        self._gate.ended(self)


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
        self._asleep_until_ms: int | None = None
        self._touched = asyncio.Event()
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
        due = [late for late in self._late if late.due_ms <= now_ms]
        if due:
            self._late = [late for late in self._late if late.due_ms > now_ms]
            for late in sorted(due, key=lambda late: late.due_ms):
                if isinstance(late.request, Request):
                    self.app.http(late.request)
                elif late.stream is not None:
                    self._execute_unheard(late.stream, late.request)
        broken = [each for each in self._breaks if each.due_ms <= now_ms]
        if broken:
            self._breaks = [each for each in self._breaks if each.due_ms > now_ms]
            for each in broken:
                each.stream.cut(ABNORMAL, "")
        self.app.advance()
        for stream in list(self._streams):
            stream.release(now_ms)
        self.settle_ended()

    def next_due_ms(self) -> int:
        """Unix milliseconds of the next thing that is due in the simulator or in the gate."""
        due = [self.app.next_due_ms(), *(late.due_ms for late in self._late)]
        due += [each.due_ms for each in self._breaks]
        due += [at_ms for stream in self._streams if (at_ms := stream.next_due_ms()) is not None]
        return min(due)

    async def drive(self) -> None:
        """Advance whenever something is due, until cancelled."""
        while True:
            self.advance()
            self._touched = asyncio.Event()
            self._asleep_until_ms = self.next_due_ms()
            # Never 0: a simulator that is always due must not stop the loop's time.
            wait_ms = max(1, self._asleep_until_ms - self.clock.now_ms())
            # The clock is not paced, so its time is the loop's; a timer is far cheaper than a task for each nap.
            nap = asyncio.get_running_loop().call_later(wait_ms / 1000, self._touched.set)
            try:
                await self._touched.wait()
            finally:
                nap.cancel()

    def touch(self) -> None:
        """Wake :meth:`drive` if something has come to be due before it would look again."""
        if self._asleep_until_ms is not None and self.next_due_ms() < self._asleep_until_ms:
            self._touched.set()

    def ended(self, stream: GatedStream) -> None:
        """A stream has ended. The simulator hears of it later: it may be in the middle of writing to its peers."""
        self._streams.remove(stream)
        self._ended.append(stream)
        self._touched.set()

    def settle_ended(self) -> None:
        """Tell the simulator which streams have ended, each once; one with a request under way only after that."""
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
