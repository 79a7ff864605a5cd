"""Rules for requests that come over a stream: what each does to an order that a client sends as a message."""

from __future__ import annotations

import anyio
import pytest

from core.chance import Chance
from core.clock import VirtualClock, run_virtual
from venues.simulation.faults import Faults
from venues.simulation.gate import FaultGate
from venues.simulation.memory import MemoryWire
from venues.wire import Broken

BASE = "memory://toy"


class OrderStream:
    """Takes ``place N`` and ``cancel N`` as messages, tells every peer of an order, and answers its sender."""

    name = "toy"

    def __init__(self, clock):
        self.clock = clock
        self.done = []
        self.peers = []

    def ws_open(self, peer, path, headers):
        self.peers.append(peer)

    def ws_text(self, peer, text):
        if peer not in self.peers:
            return
        if self.text_kind(text) != "other":
            self.done.append((text, self.clock.now_ms()))
            for each in self.peers:
                each.send(f"order {text}")
        peer.send(f"other answer to {text}")

    def ws_closed(self, peer):
        self.peers.remove(peer)

    def advance(self):
        pass

    def next_due_ms(self):
        return self.clock.now_ms() + 60_000

    def text_kind(self, text):
        word = text.split(" ")[0]
        return word if word in ("place", "cancel") else "other"

    def message_kind(self, text):
        return text.split(" ")[0]


def play(rules, body):
    """Run ``body(app, gate, first, second)`` with two streams open."""

    async def main():
        clock = VirtualClock()
        app = OrderStream(clock)
        gate = FaultGate(app, Faults.load(rules, chance=Chance(1)), clock)
        wire = MemoryWire({"toy": gate}, clock, Chance(1))
        async with anyio.create_task_group() as beside:
            beside.start_soon(wire.drive)
            await body(app, gate, await wire.connect(BASE, 5), await wire.connect(BASE, 5))
            beside.cancel_scope.cancel()

    run_virtual(main())


async def heard(link, secs=3.0):
    """Everything that comes within ``secs``; the last word is ``broken`` if the link broke."""
    texts = []
    with anyio.move_on_after(secs):
        try:
            while True:
                texts.append(await link.receive())
        except Broken:
            texts.append("broken")
    return texts


def test_a_dropped_order_is_not_executed_and_never_answered():
    """[gap] Only the order is lost: the stream lives, and a login passes untouched."""

    async def body(app, gate, first, second):
        await first.send("place 1")
        await first.send("login")
        assert await heard(first) == ["other answer to login"]
        assert (app.done, await heard(second)) == ([], [])

    play([{"action": "drop", "on": "http", "kind": "place"}], body)


def test_an_order_with_a_lost_reply_is_executed_and_its_connection_breaks():
    """[gap] The other stream hears of the order; the one that carried it is gone without a word."""

    async def body(app, gate, first, second):
        await first.send("place 1")
        assert await heard(first) == ["broken"]
        assert [text for text, _ in app.done] == ["place 1"]
        assert await heard(second) == ["order place 1"]
        assert len(app.peers) == 1

    play([{"action": "lose_reply", "on": "http", "kind": "place"}], body)


@pytest.mark.parametrize("hangs_up", [False, True])
def test_an_order_executed_late_is_executed_even_when_its_client_has_gone(hangs_up):
    """[gap] Nothing happens for two seconds; then the order is live and its connection is broken."""

    async def body(app, gate, first, second):
        await first.send("place 1")
        sent_ms = app.clock.now_ms()
        if hangs_up:
            await first.close()
        assert await heard(second, 1.9) == []
        assert await heard(second) == ["order place 1"]
        assert app.done == [("place 1", sent_ms + 2000)]
        assert await heard(first) == ["broken"]
        assert len(app.peers) == 1

    play([{"action": "execute_late", "on": "http", "kind": "place", "params": {"ms": 2000}}], body)


@pytest.mark.parametrize("breaks_ms", [0, 500])
def test_a_connection_may_break_before_its_late_order_is_executed(breaks_ms):
    """[gap] The client sees a broken line while the order is still on its way; until then the line carries words."""

    async def body(app, gate, first, second):
        sent_ms = app.clock.now_ms()
        await first.send("place 1")
        if breaks_ms:
            await first.send("login")
        assert await heard(first, 1) == [*(["other answer to login"] if breaks_ms else []), "broken"]
        assert app.done == []
        assert await heard(second) == ["order place 1"]
        assert app.done == [("place 1", sent_ms + 2000)]
        assert len(app.peers) == 1

    late = {"ms": 2000, "breaks_ms": breaks_ms}
    play([{"action": "execute_late", "on": "http", "kind": "place", "params": late}], body)


def test_a_delayed_order_is_executed_at_once_and_answered_later():
    """[gap] The answer, and what follows it on that stream, comes 800 ms later; other streams hear at once."""

    async def body(app, gate, first, second):
        await first.send("place 1")
        await first.send("login")
        assert await heard(second, 0.1) == ["order place 1"]
        assert await heard(first, 0.5) == []
        assert await heard(first) == ["order place 1", "other answer to place 1", "other answer to login"]

    play([{"action": "delay", "on": "http", "kind": "place", "params": {"ms": 800}}], body)


def test_a_disconnect_at_an_order_ends_all_streams_and_the_order_is_executed():
    """[gap] As for a request over HTTP: the streams go first, so nobody hears of it."""

    async def body(app, gate, first, second):
        await first.send("cancel 1")
        assert (await heard(first), await heard(second)) == (["broken"], ["broken"])
        assert [text for text, _ in app.done] == ["cancel 1"]

    play([{"action": "disconnect", "on": "http", "kind": "cancel"}], body)


@pytest.mark.parametrize("action", ["error_before", "error_after", "rate_limit", "truncate"])
def test_rules_about_statuses_pass_over_orders_on_a_stream_and_do_not_count_them(action):
    """[gap] A message has no HTTP status: the order is executed, answered, and the rule has seen nothing."""

    async def body(app, gate, first, second):
        await first.send("place 1")
        assert await heard(first) == ["order place 1", "other answer to place 1"]
        assert [(rule.matched, rule.fired) for rule in gate.faults.rules] == [(0, 0)]

    play([{"action": action, "on": "http", "kind": "place"}], body)


def test_a_rule_counts_orders_over_http_and_over_streams_together():
    """[gap] ``nth: [2]`` strikes the second order, whichever way it came."""

    async def body(app, gate, first, second):
        assert gate.faults.http("place") is None
        await first.send("place 2")
        await first.send("place 3")
        assert await heard(first) == ["order place 3", "other answer to place 3"]

    play([{"action": "drop", "on": "http", "kind": "place", "nth": [2]}], body)
