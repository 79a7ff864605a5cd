"""
The gate between a simulator and the shell that carries it: here the faults happen.

Whatever comes late - a delayed message, a request executed late - waits in the gate and is let go by
:meth:`FaultGate.advance`, which also advances the simulator; :meth:`FaultGate.drive` does that for ever. The gate
starts no task, so a client that gives up waiting never takes a request back.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

import anyio
import msgspec

from core.clock import Clock
from venues.simulation.app import Peer, Reply, Request, VenueApp
from venues.simulation.faults import READS, FaultRule, Faults

ABNORMAL: Final = 1006
"""The close code for a connection that ends without a Close frame (RFC 6455, 7.4.1)."""

# Query keys that differ between two requests for the same thing.
_PER_REQUEST: Final = frozenset({"timestamp", "signature", "recvWindow", "window", "nonce"})
_REMEMBERED_READINGS: Final = 256
_FOR_GOOD: Final = 2**63


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
    text: str | None
    code: int = 1000
    reason: str = ""


class GatedStream:
    """
    One stream connection. The simulator has it as its :class:`Peer`; the shell hands in what the client does.

    Messages keep their order whatever the faults delay, but for the one a ``reorder`` holds back.
    """

    def __init__(self, gate: FaultGate, out: Peer) -> None:
        self._gate = gate
        self._out = out
        self._queue: deque[_Waiting] = deque()
        self._held: _Waiting | None = None
        self._silent_until_ms = 0
        self._answer_ms = 0
        self._ended = False

    # -- the simulator's side

    def send(self, text: str) -> None:
        if self._ended or self.silent:
            return
        gate = self._gate
        now_ms = gate.clock.now_ms()
        rule = gate.faults.ws(gate.app.message_kind(text))
        action, params = (rule.action, rule.params) if rule else ("", {})
        if action == "drop":
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
            case _:
                self._push(_Waiting(now_ms, text))
        if held is not None:
            self._push(_Waiting(now_ms, held.text))

    def close(self, code: int = 1000, reason: str = "") -> None:
        if self._ended:
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
        if not self._ended:
            self._gate.text(self, text)

    def closed(self) -> None:
        """The client's connection is gone; harmless when the stream has ended already."""
        if not self._ended:
            self._end()
            self._gate.settle_ended()

    # -- the gate's side

    def answer_late(self, ms: int) -> None:
        """What is sent from now on leaves ``ms`` later; 0 ends that."""
        self._answer_ms = ms

    def cut(self, code: int, reason: str) -> None:
        """End the connection now; what still waits is lost."""
        if not self._ended:
            self._end()
            self._out.close(code, reason)

    def next_due_ms(self) -> int | None:
        due = [waiting.due_ms for waiting in (self._held, *list(self._queue)[:1]) if waiting is not None]
        return min(due, default=None)

    def release(self, now_ms: int) -> None:
        """Let go of everything that is due."""
        if self._held is not None and self._held.due_ms <= now_ms:
            held, self._held = self._held, None
            self._push(held)
        while self._queue and self._queue[0].due_ms <= now_ms and not self._ended:
            self._let_go(self._queue.popleft())

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
        self._ended = True
        self._queue.clear()
        self._held = None
        self._gate.ended(self)


class FaultGate:
    """
    One simulator with its faults.

    Args:
        clock: The simulator's clock; it must not be paced, since the simulator's own times are real.
    """

    def __init__(self, app: VenueApp, faults: Faults, clock: Clock) -> None:
        self.app = app
        self.faults = faults
        self.clock = clock
        self._streams: list[GatedStream] = []
        self._ended: list[GatedStream] = []
        self._late: list[_Late] = []
        self._breaks: list[_Break] = []
        self._readings: OrderedDict[tuple[object, ...], Reply] = OrderedDict()
        self._asleep_until_ms: int | None = None
        self._touched = anyio.Event()
        faults.begin(clock)

    async def http(self, request: Request) -> Reply | Dropped:
        """Carry one request to the simulator. What it causes on the streams has been sent when this returns."""
        self.advance()
        kind = self.app.http_kind(request)
        rule = self.faults.http(kind)
        try:
            return await self._http(request, kind, rule)
        finally:
            self.advance()
            self.touch()

    async def _http(self, request: Request, kind: str, rule: FaultRule | None) -> Reply | Dropped:
        if rule is None:
            return self._execute(request, kind)
        params = rule.params
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
        raise AssertionError(f"{rule.action} does not strike requests")

    def text(self, stream: GatedStream, text: str) -> None:
        """Carry one message of the client to the simulator; a rule for requests may strike one that is a request."""
        kind = self.app.text_kind(text) if self.faults.rules else "other"
        rule = None if kind == "other" else self.faults.text(kind)
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
            case _:
                self.app.ws_text(stream, text)
        self.advance()
        self.touch()

    def ws_open(self, out: Peer, path: str, headers: Mapping[str, str]) -> GatedStream:
        """
        A client connected. ``path`` includes the query string, if any; header names are lower-case. The shell tells
        the stream what the client sends, and :meth:`GatedStream.closed` when its connection is gone.
        """
        stream = GatedStream(self, out)
        self._streams.append(stream)
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
            self._touched = anyio.Event()
            self._asleep_until_ms = self.next_due_ms()
            # Never 0: a simulator that is always due must not stop the loop's time.
            wait_ms = max(1, self._asleep_until_ms - self.clock.now_ms())
            async with anyio.create_task_group() as either:
                either.start_soon(self._nap, wait_ms / 1000, either.cancel_scope)
                await self._touched.wait()
                either.cancel_scope.cancel()

    async def _nap(self, secs: float, woken: anyio.CancelScope) -> None:
        await self.clock.sleep(secs)
        woken.cancel()

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
