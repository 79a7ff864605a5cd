"""The gate and the wire without sockets: what each fault does to a client, on virtual time."""

from __future__ import annotations

import anyio
import pytest

from core.chance import Chance
from core.clock import VirtualClock, run_virtual
from venues.dialect import HttpCall
from venues.simulation.app import Reply
from venues.simulation.faults import Faults
from venues.simulation.gate import FaultGate
from venues.simulation.memory import MemoryWire
from venues.wire import Broken, NotSent

BASE = "memory://toy"


class ToyVenue:
    """Counts placements, tells each on the streams, and answers readings with the count."""

    name = "toy"

    def __init__(self, clock):
        self.clock = clock
        self.placed = []
        self.requests = []
        self.peers = []
        self.heard = []
        self.closed = []
        self.due = []
        self.advanced_ms = []

    def http(self, request):
        self.requests.append(request)
        if request.path == "/place":
            self.placed.append(self.clock.now_ms())
            self.tell(f"order {len(self.placed)}")
            return Reply(200, b"placed %d" % len(self.placed), {"Content-Type": "text/plain"})
        return Reply(200, b"count %d" % len(self.placed))

    def tell(self, *texts):
        for text in texts:
            for peer in self.peers:
                peer.send(text)

    def ws_open(self, peer, path, headers):
        self.peers.append(peer)
        self.path = path
        peer.send("book hello")

    def ws_text(self, peer, text):
        self.heard.append(text)
        if text == "leave":
            self.tell("fill last")
            peer.close(1001, "going away")
        else:
            peer.send("other " + text)

    def ws_closed(self, peer):
        self.peers.remove(peer)
        self.closed.append(peer)

    def advance(self):
        while self.due and self.due[0][0] <= self.clock.now_ms():
            self.tell(self.due.pop(0)[1])
            self.advanced_ms.append(self.clock.now_ms())

    def next_due_ms(self):
        return self.due[0][0] if self.due else self.clock.now_ms() + 60_000

    def http_kind(self, request):
        return {"/place": "place", "/cancel": "cancel", "/positions": "positions"}.get(request.path, "other")

    def text_kind(self, text):
        return "other"

    def message_kind(self, text):
        return text.split(" ")[0]

    def bootstrap(self, rest, ws):
        return {"rest": rest, "ws": ws}


class Stage:
    """A toy venue with faults, the wire to it, and what the body of a test asks most."""

    def __init__(self, rules, seed=1):
        self.clock = VirtualClock()
        self.venue = ToyVenue(self.clock)
        self.faults = Faults.load(rules)
        self.gate = FaultGate(self.venue, self.faults, self.clock)
        self.wire = MemoryWire({"toy": self.gate}, self.clock, Chance(seed))

    async def ask(self, path, timeout_secs=5.0, method="GET", **settings):
        reply = await self.wire.request(BASE, HttpCall(method, path, **settings), timeout_secs)
        return reply.body.decode() if reply.status == 200 else reply

    async def open(self):
        link = await self.wire.connect(BASE + "/stream?a=1", 5.0)
        assert await link.receive() == "book hello"
        return link

    def ms(self):
        return round(self.clock.monotonic() * 1000)


def play(rules, body):
    """Run ``body(stage)`` on virtual time with the drivers beside it; gives what it returns."""

    async def main():
        stage = Stage(rules)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.wire.drive)
            result = await body(stage)
            tasks.cancel_scope.cancel()
        return result

    return run_virtual(main())


async def messages(link, count, secs=30.0):
    with anyio.fail_after(secs):
        return [await link.receive() for _ in range(count)]


async def quiet(link, secs=10.0):
    """True when nothing arrives for so long."""
    with anyio.move_on_after(secs):
        await link.receive()
        return False
    return True


# -- without faults


def test_a_request_arrives_whole_and_its_answer_too():
    """[ours] Method, path, query, header names in lower case and body reach the simulator as on a socket."""

    async def body(stage):
        call = HttpCall("DELETE", "/order?a=%20b", b'{"x":1}', (("X-Key", "k"),))
        reply = await stage.wire.request(BASE + "/api", call, 5.0)
        assert (reply.status, reply.body) == (200, b"count 0")
        request = stage.venue.requests[0]
        assert (request.method, request.path, request.query) == ("DELETE", "/api/order", "a=%20b")
        assert (dict(request.headers), request.body) == ({"x-key": "k"}, b'{"x":1}')
        assert (await stage.wire.request(BASE, HttpCall("POST", "/place"), 5.0)).headers == {
            "content-type": "text/plain"
        }

    play([], body)


def test_requests_take_time_by_chance_and_the_same_seed_the_same_time():
    """[ours] Same seed, same milliseconds; one to five of them for a request."""

    def times(seed):
        async def main():
            stage = Stage([], seed)
            taken = []
            for _ in range(20):
                before = stage.clock.monotonic()
                await stage.ask("/positions")
                taken.append(stage.clock.monotonic() - before)
            return taken

        return run_virtual(main())

    assert times(1) == times(1) != times(2)
    assert all(0.001 <= secs <= 0.005 for secs in times(1))


def test_a_stream_carries_texts_both_ways_and_the_order_event_comes_before_the_answer():
    """[ours] A fill that is told before the ack of its placement must find a home."""

    async def body(stage):
        link = await stage.open()
        assert stage.venue.path == "/stream?a=1"
        await link.send("hi")
        assert await link.receive() == "other hi"
        await link.ping()
        arrived = []

        async def place():
            await stage.ask("/place")
            arrived.append("answer")

        async def listen():
            arrived.append(await link.receive())

        async with anyio.create_task_group() as both:
            both.start_soon(place)
            both.start_soon(listen)
        assert arrived == ["order 1", "answer"]

    play([], body)


def test_the_driver_advances_the_simulator_when_it_is_due_and_wakes_for_sooner_work():
    """[ours] What a simulator plans is done at its time, also when it was planned while the driver slept."""

    async def body(stage):
        link = await stage.open()
        now_ms = stage.clock.now_ms()
        stage.venue.due = [(now_ms + 700, "fill a"), (now_ms + 900, "fill b")]
        await link.send("look again")
        assert await messages(link, 3) == ["other look again", "fill a", "fill b"]
        assert stage.venue.advanced_ms == [now_ms + 700, now_ms + 900]

    play([], body)


def test_a_venue_that_is_down_or_unknown_gets_nothing():
    """[ours] NotSent is said only when the simulator certainly saw nothing."""

    async def body(stage):
        stage.wire.down.add("toy")
        for url in (BASE, "memory://elsewhere"):
            with pytest.raises(NotSent):
                await stage.wire.request(url, HttpCall("POST", "/place"), 5.0)
            with pytest.raises(NotSent):
                await stage.wire.connect(url, 5.0)
        stage.wire.down.clear()
        assert await stage.ask("/place") == "placed 1"

    play([], body)


def test_a_client_that_closes_is_told_to_the_simulator_once():
    """[ours] After a close the link is broken, and the simulator has forgotten its peer."""

    async def body(stage):
        link = await stage.open()
        other = await stage.open()
        await link.close()
        await link.close()
        assert len(stage.venue.closed) == 1
        for action in (link.receive, link.ping, lambda: link.send("x")):
            with pytest.raises(Broken):
                await action()
        await stage.wire.aclose()
        assert stage.venue.peers == []
        with pytest.raises(Broken):
            await other.receive()
        with pytest.raises(NotSent):
            await stage.ask("/place")

    play([], body)


def test_a_simulator_that_closes_a_stream_gets_its_last_words_through():
    """[ours] Messages sent before a close are received before the stream breaks."""

    async def body(stage):
        link = await stage.open()
        await link.send("leave")
        assert await link.receive() == "fill last"
        with pytest.raises(Broken, match="1001 going away"):
            await link.receive()
        assert len(stage.venue.closed) == 1

    play([{"action": "delay", "on": "ws", "kind": "fill", "params": {"ms": 300}}], body)


# -- faults of requests


def test_a_delayed_answer_is_executed_at_once_and_comes_later():
    """[ours] The order is live while its answer is still on the way."""

    async def body(stage):
        assert await stage.ask("/place") == "placed 1"
        assert 800 < stage.ms() < 810
        assert stage.venue.placed[0] - stage.clock.now_ms() < -795

    play([{"action": "delay", "on": "http", "kind": "place", "params": {"ms": 800}}], body)


def test_a_delay_longer_than_the_time_limit_breaks_and_was_executed():
    """[ours] A time-out after sending proves nothing about the order."""

    async def body(stage):
        with pytest.raises(Broken, match=r"2\.0 s"):
            await stage.ask("/place", 2.0)
        assert stage.ms() == 2000
        assert len(stage.venue.placed) == 1

    play([{"action": "delay", "on": "http", "params": {"ms": 5000}}], body)


def test_a_dropped_request_was_not_executed():
    """[ours] The client sees a broken connection, the venue nothing."""

    async def body(stage):
        with pytest.raises(Broken):
            await stage.ask("/place")
        assert stage.venue.placed == []
        assert await stage.ask("/place") == "placed 1"

    play([{"action": "drop", "on": "http", "kind": "place", "nth": [1]}], body)


def test_a_lost_reply_was_executed():
    """[ours] The same broken connection, but the order is there."""

    async def body(stage):
        link = await stage.open()
        with pytest.raises(Broken):
            await stage.ask("/place")
        assert await link.receive() == "order 1"
        assert await stage.ask("/positions") == "count 1"

    play([{"action": "lose_reply", "kind": "place"}], body)


@pytest.mark.parametrize("timeout_secs", [1.0, 10.0])
def test_a_request_executed_late_is_executed_after_the_client_gave_up(timeout_secs):
    """[ours] Absent now does not mean absent in three seconds, whether the client still waits or not."""

    async def body(stage):
        with pytest.raises(Broken):
            await stage.ask("/place", timeout_secs)
        assert stage.ms() == pytest.approx(min(timeout_secs, 3.0) * 1000, abs=6)
        assert len(stage.venue.placed) == (1 if timeout_secs > 3 else 0)
        await stage.clock.sleep(3)
        assert len(stage.venue.placed) == 1
        assert stage.venue.placed[0] - stage.clock.now_ms() + stage.ms() == pytest.approx(3000, abs=6)

    play([{"action": "execute_late", "kind": "place", "params": {"ms": 3000}}], body)


def test_a_client_may_see_the_break_before_its_late_request_is_executed():
    """[ours] A broken connection now, an order in three seconds: absence at once proves nothing."""

    async def body(stage):
        with pytest.raises(Broken):
            await stage.ask("/place")
        assert stage.ms() == pytest.approx(0, abs=6)
        assert stage.venue.placed == []
        await stage.clock.sleep(3.01)
        assert len(stage.venue.placed) == 1

    play([{"action": "execute_late", "kind": "place", "params": {"ms": 3000, "breaks_ms": 0}}], body)


@pytest.mark.parametrize(("action", "executed"), [("error_before", 0), ("error_after", 1)])
def test_an_error_status_says_nothing_about_execution(action, executed):
    """[ours] Both look the same to the client."""

    async def body(stage):
        reply = await stage.ask("/place")
        assert (reply.status, reply.body) == (502, b"bad gateway")
        assert len(stage.venue.placed) == executed

    play([{"action": action, "kind": "place", "params": {"status": 502, "body": "bad gateway"}}], body)


@pytest.mark.parametrize(("params", "header"), [({}, None), ({"retry_after": 7}, "7")])
def test_a_rate_limit_is_429_and_not_executed(params, header):
    """[ours] Retry-After is there only when the rule gives it."""

    async def body(stage):
        reply = await stage.ask("/place")
        assert (reply.status, reply.headers.get("retry-after")) == (429, header)
        assert stage.venue.placed == []

    play([{"action": "rate_limit", "params": params}], body)


def test_a_truncated_answer_arrives_in_part():
    """[ours] An answer that cannot be read leaves an executed order in doubt."""

    async def body(stage):
        assert await stage.ask("/place") == "plac"
        assert len(stage.venue.placed) == 1

    play([{"action": "truncate", "on": "http", "kind": "place"}], body)


def test_a_stale_reading_repeats_the_answer_from_before():
    """[ours] The same reading, signature and timestamp apart, gives what it gave last; another one is live."""

    async def body(stage):
        assert await stage.ask("/positions?symbol=SOL&timestamp=1&signature=a") == "count 0"
        await stage.ask("/place")
        assert await stage.ask("/positions?symbol=SOL&timestamp=2&signature=b") == "count 0"
        assert await stage.ask("/positions?symbol=BTC&timestamp=3&signature=c") == "count 1"
        assert await stage.ask("/positions?symbol=SOL&timestamp=4&signature=d") == "count 1"

    play([{"action": "stale_read", "kind": "positions", "nth": [1, 2, 3]}], body)


def test_a_stale_reading_falls_back_to_a_live_one():
    """[ours] With nothing from before, the answer is live, and remembered."""

    async def body(stage):
        assert await stage.ask("/positions") == "count 0"
        await stage.ask("/place")
        assert await stage.ask("/positions") == "count 0"
        assert await stage.ask("/positions") == "count 1"

    play([{"action": "stale_read", "nth": [1, 2]}], body)


def test_a_disconnect_at_a_request_hides_what_the_request_caused():
    """[ours] The streams go first: the order's event is never told, and all peers are forgotten."""

    async def body(stage):
        links = [await stage.open(), await stage.open()]
        assert await stage.ask("/place") == "placed 1"
        for link in links:
            with pytest.raises(Broken, match="1012"):
                await link.receive()
        assert stage.venue.peers == []
        again = await stage.open()
        await stage.ask("/place")
        assert await again.receive() == "order 2"

    play([{"action": "disconnect", "on": "http", "kind": "place", "nth": [1], "params": {"code": 1012}}], body)


# -- faults of stream messages


def test_a_delayed_message_delays_what_follows_and_nothing_overtakes():
    """[ours] A delay is a slow line, not a new order of events."""

    async def body(stage):
        link = await stage.open()
        stage.venue.tell("order 1", "fill 1", "order 2")
        stage.venue.tell("fill 2")
        await stage.clock.sleep(0.1)
        stage.venue.tell("book 9")
        start_ms = stage.ms() - 100
        assert await messages(link, 1) == ["order 1"]
        assert stage.ms() == start_ms + 100
        assert await messages(link, 4) == ["fill 1", "order 2", "fill 2", "book 9"]
        assert stage.ms() == start_ms + 400

    play([{"action": "delay", "on": "ws", "kind": "fill", "params": {"ms": 400}}], body)


def test_a_dropped_message_never_comes():
    """[ours] One message is missing, the stream looks healthy."""

    async def body(stage):
        link = await stage.open()
        stage.venue.tell("fill 1", "fill 2", "fill 3")
        assert await messages(link, 2) == ["fill 1", "fill 3"]
        assert await quiet(link)

    play([{"action": "drop", "on": "ws", "kind": "fill", "nth": [2]}], body)


def test_a_duplicate_arrives_as_often_as_the_rule_says():
    """[ours] The same trade told three times is one trade."""

    async def body(stage):
        link = await stage.open()
        stage.venue.tell("fill 1", "fill 2")
        assert await messages(link, 4) == ["fill 1", "fill 1", "fill 1", "fill 2"]

    play([{"action": "duplicate", "kind": "fill", "nth": [1], "params": {"count": 3}}], body)


def test_a_reordered_message_comes_after_the_next_one():
    """[ours] A fill before its order's acceptance; every stream is swapped for itself."""

    async def body(stage):
        link = await stage.open()
        stage.venue.tell("order 1", "fill 1", "fill 2")
        assert await messages(link, 3) == ["fill 1", "order 1", "fill 2"]

    play([{"action": "reorder", "kind": "order"}], body)


def test_a_reordered_message_without_a_next_one_comes_after_its_wait():
    """[ours] Nothing is held for ever."""

    async def body(stage):
        link = await stage.open()
        stage.venue.tell("order 1")
        before_ms = stage.ms()
        assert await messages(link, 1) == ["order 1"]
        assert stage.ms() == before_ms + 50
        stage.venue.tell("fill 1")
        assert await messages(link, 1) == ["fill 1"]

    play([{"action": "reorder", "kind": "order"}], body)


def test_two_reordered_messages_in_a_row_are_swapped():
    """[ours] A rule for each message swaps pairs and loses none."""

    async def body(stage):
        link = await stage.open()
        stage.venue.tell("order 1", "order 2", "order 3", "order 4")
        assert await messages(link, 4) == ["order 2", "order 1", "order 4", "order 3"]

    play([{"action": "reorder", "kind": "order"}], body)


def test_a_silent_stream_stays_open_and_answers_no_ping_until_it_is_over():
    """[ours] Messages and Pongs of the silence are lost, requests on the stream still arrive."""

    async def body(stage):
        link = await stage.open()
        stage.venue.tell("fill 1", "fill 2")
        assert await quiet(link, 5)
        with anyio.move_on_after(10) as waited:
            await link.ping()
        assert waited.cancelled_caught
        await link.send("still there?")
        assert stage.venue.heard == ["still there?"]
        await stage.clock.sleep(10)
        await link.ping()
        stage.venue.tell("fill 3")
        assert await messages(link, 1) == ["fill 3"]

    play([{"action": "silent", "kind": "fill", "nth": [1], "params": {"ms": 20_000}}], body)


def test_a_disconnect_in_place_of_a_message_ends_all_streams():
    """[ours] The message is lost on every stream, while the simulator is still writing to its peers."""

    async def body(stage):
        links = [await stage.open(), await stage.open()]
        stage.venue.tell("order 1", "fill 1", "order 2")
        await stage.clock.sleep(0.01)
        assert stage.venue.peers == []
        for link in links:
            assert await messages(link, 1) == ["order 1"]
            with pytest.raises(Broken, match="1006"):
                await link.receive()

    play([{"action": "disconnect", "on": "ws", "kind": "fill", "nth": [1]}], body)


def test_a_truncated_message_is_cut_and_the_stream_goes_on():
    """[ours] Half a message is unreadable, and survived."""

    async def body(stage):
        link = await stage.open()
        stage.venue.tell("fill 1234567", "fill 2")
        assert await messages(link, 2) == ["fil", "fill 2"]

    play([{"action": "truncate", "on": "ws", "kind": "fill", "nth": [1], "params": {"fraction": 0.25}}], body)


def test_engine_faults_are_the_simulators_own_business():
    """[ours] The gate asks no engine rule, so a simulator finds its count untouched."""

    async def body(stage):
        await stage.open()
        await stage.ask("/place")
        assert [rule.matched for rule in stage.faults.rules] == [0, 0, 0]
        assert stage.faults.engine("match").action == "partial_fill"

    play([{"action": "reject"}, {"action": "partial_fill"}, {"action": "slow_cancel"}], body)


def test_many_faults_at_once_repeat_byte_for_byte_with_the_seed():
    """[ours] Same seed, same arrivals at the same times."""
    rules = [
        {"action": "drop", "on": "ws", "probability": 0.1},
        {"action": "reorder", "probability": 0.2},
        {"action": "delay", "on": "ws", "probability": 0.2, "params": {"ms": 30}},
        {"action": "lose_reply", "probability": 0.3},
    ]

    async def body(stage):
        link = await stage.open()
        seen = []

        async def listen():
            while True:
                seen.append((stage.clock.monotonic(), await link.receive()))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            for _ in range(60):
                try:
                    seen.append((stage.clock.monotonic(), await stage.ask("/place")))
                except Broken:
                    seen.append((stage.clock.monotonic(), "broken"))
            await stage.clock.sleep(1)
            tasks.cancel_scope.cancel()
        return seen

    # The first message is the greeting, which the rules may strike too: take a stage where it passes.
    first = play([{**rule, "after_ms": 10} for rule in rules], body)
    assert first == play([{**rule, "after_ms": 10} for rule in rules], body)
    assert {"broken"} < {text for _, text in first}
