"""
One stream connection as the faults let it be: what the simulator sends through it may come late, twice, out of order,
broken or not at all (:mod:`venues.simulation.gate` decides when).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from venues.simulation import mishaps

if TYPE_CHECKING:
    from venues.simulation.gate import FaultGate

_FOR_GOOD: Final = 2**63


class Outlet(Protocol):
    """The shell's end of a stream: what is to reach the client."""

    def send(self, text: str | bytes) -> None: ...
    def close(self, code: int = 1000, reason: str = "") -> None: ...


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
        if not (self._queue or self._asides or self._held):
            return None
        due = [waiting.due_ms for waiting in self._asides]
        if self._held is not None:
            due.append(self._held.due_ms)
        if self._queue:
            due.append(self._queue[0].due_ms)
        return min(due)

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
