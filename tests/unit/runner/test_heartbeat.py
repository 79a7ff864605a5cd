"""The heartbeat: what it sends, when, to whom, and what it survives."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
from decimal import Decimal
from http.server import HTTPServer
from pathlib import Path

import anyio
import pytest

from core.chance import Chance
from core.clock import VIRTUAL_EPOCH_MS, SystemClock, VirtualClock, run_virtual
from core.secrets import Secret
from runner.heartbeat import (
    Auth,
    Endpoint,
    Heartbeat,
    HeartbeatSettings,
    Holding,
    HttpPost,
    VenueState,
    body_of,
    checked_url,
    headers_of,
    signature,
)

DOCS = Path(__file__).resolve().parents[3] / "docs" / "HEARTBEAT.md"
STATE = VenueState(
    venue="backpack",
    positions=(Holding(symbol="SOL", qty=Decimal("0.01"), notional=Decimal("1.4")),),
    balance=Decimal("1000.25"),
    available=Decimal("998.85"),
)
FIRST = "https://first.example/beat?key=hidden-in-the-query"
SPARE = "https://spare.example:8443/beat"


class Receivers:
    """Stands for the network: answers by address, remembers who was asked when."""

    def __init__(self, clock, answers):
        self.clock = clock
        self.answers = answers
        self.asked = []
        self.busy = 0
        self.most_busy = 0

    async def __call__(self, url, body, headers):
        self.asked.append((round(self.clock.monotonic(), 3), url, body, dict(headers)))
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        try:
            answer = self.answers.get(url, 200)
            answer = answer(self) if callable(answer) else answer
            if isinstance(answer, float):
                await anyio.sleep(answer)
                answer = 200
            if isinstance(answer, Exception):
                raise answer
            return answer
        finally:
            self.busy -= 1

    def times(self, url=None):
        return [when for when, asked, _, _ in self.asked if url in (None, asked)]


def play(tmp_path, answers, *, secs, snapshot=lambda: [STATE], endpoints=(FIRST, SPARE), **more):
    """Beat for ``secs`` of virtual time; gives (receivers, record, lines of the fallback file)."""
    file = tmp_path / "deep" / "beats.jsonl"
    settings = HeartbeatSettings(
        endpoints=tuple(Endpoint(url=url) for url in endpoints), **({"fallback_file": file} | more)
    )

    async def main():
        clock = VirtualClock()
        receivers = Receivers(clock, answers)
        heart = Heartbeat(settings, clock=clock, chance=Chance(7), snapshot=snapshot, post=receivers)
        with anyio.move_on_after(secs):
            await heart.run()
        return receivers, heart.record()

    receivers, record = run_virtual(main())
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return receivers, record, lines


# -- the body and who signed it


def test_a_body_has_exactly_the_specified_fields_and_exact_numbers():
    """[client] The specification fixes the JSON of a beat; decimals arrive digit by digit."""
    state = VenueState(
        venue="backpack",
        positions=(Holding(symbol="SOL", qty=Decimal("-0.10"), notional=Decimal("1E+3")),),
        balance=Decimal("0.1") + Decimal("0.2"),
        available=Decimal("12345678901234567890.123456789"),
    )
    body = body_of(state, ts_ms=5, strategy="smoke")
    assert body == (
        b'{"ts":5,"strategy":"smoke","venue":"backpack","positions":[{"symbol":"SOL","qty":-0.1,"notional":1000}],'
        b'"margin":{"balance":0.3,"available":12345678901234567890.123456789}}'
    )


def test_what_is_not_known_yet_is_null():
    """[ours] A made-up zero would look like an empty account."""
    body = json.loads(body_of(VenueState(venue="backpack"), ts_ms=5, strategy="smoke"))
    assert body["margin"] == {"balance": None, "available": None}
    assert body["positions"] == []


def test_a_number_that_is_not_finite_is_refused():
    """[ours] NaN is no JSON."""
    with pytest.raises(ValueError, match="not finite"):
        body_of(VenueState(venue="x", balance=Decimal("NaN")), ts_ms=5, strategy="s")


def test_the_worked_signature_in_the_docs_is_right():
    """[client] docs/HEARTBEAT.md carries a worked signature; it is recomputed from the text there."""
    block = re.search(r"```text\n(secret .*?)```", DOCS.read_text(), re.S)
    worked = dict(re.split(r"  +", line, maxsplit=1) for line in block[1].strip().splitlines())
    ts, body = worked["X-Timestamp"], worked["body"].encode()
    assert worked["signed text"] == f"{ts}." + worked["body"]
    by_hand = hmac.new(worked["secret"].encode(), worked["signed text"].encode(), hashlib.sha256).hexdigest()
    assert by_hand == worked["X-Signature"] == signature(Secret(worked["secret"]), int(ts), body)
    assert body_of(STATE, ts_ms=int(ts), strategy="roundtrip") == body
    assert f"```json\n{worked['body']}\n```" in DOCS.read_text()


def test_each_kind_of_endpoint_gets_its_headers():
    """[client] Bearer token or HMAC signature; nothing else travels."""
    plain = headers_of(Endpoint(url=FIRST), 5, b"{}")
    assert plain == {"Content-Type": "application/json"}
    bearer = headers_of(Endpoint(url=FIRST, auth=Auth.BEARER, key=Secret("abc")), 5, b"{}")
    assert bearer == plain | {"Authorization": "Bearer abc"}
    signed = headers_of(Endpoint(url=FIRST, auth=Auth.HMAC, key=Secret("abc")), 5, b"{}")
    assert signed == plain | {
        "X-Timestamp": "5",
        "X-Signature": hmac.new(b"abc", b"5.{}", hashlib.sha256).hexdigest(),
    }


def test_an_endpoint_prints_its_host_only():
    """[ours] A query may hold a token, so only host and port are printable; the key never is."""
    endpoint = Endpoint(url=SPARE, auth=Auth.BEARER, key=Secret("very-secret"))
    assert endpoint.host == "spare.example:8443"
    assert "very-secret" not in repr(endpoint)


@pytest.mark.parametrize(
    "url", ["https://a.example/x?k=1", "http://127.0.0.1:9/x", "http://localhost", "http://[::1]:80/"]
)
def test_https_anywhere_and_http_on_this_computer_are_allowed(url):
    """[ours] Plain HTTP never leaves the machine."""
    assert checked_url(url) == url


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://monitor.example/secretpart", "https://"),
        ("http://10.0.0.1/secretpart", "https://"),
        ("ftp://monitor.example/secretpart", "must start with https"),
        ("https://user:secretpart@monitor.example/", "name or password"),
        ("https://", "no web address"),
        ("https://a.example:99999/secretpart", "no web address"),
        ("https://a.example/secret part", "no web address"),
        ("https://[broken/secretpart", "no web address"),
        ("secretpart", "no web address"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_being_repeated(url, word):
    """[ours] The refusal says why and keeps what may be secret to itself."""
    with pytest.raises(ValueError, match=word) as caught:
        checked_url(url)
    assert "secretpart" not in str(caught.value)


# -- the schedule


def test_beats_come_on_a_fixed_schedule_without_drift(tmp_path):
    """[client] Every N seconds, the first at once, and answers of 0.7 s do not push the next beat back."""
    receivers, record, _ = play(tmp_path, {FIRST: 0.7}, secs=45)
    assert receivers.times() == [0, 10, 20, 30, 40]
    assert [json.loads(body)["ts"] - VIRTUAL_EPOCH_MS for _, _, body, _ in receivers.asked] == [
        0,
        10_000,
        20_000,
        30_000,
        40_000,
    ]
    assert (record.beats, record.sent, record.failed) == (5, 5, 0)
    assert record.max_gap_secs == 10.0
    assert record.gaps == ()


def test_a_hanging_endpoint_neither_delays_nor_overlaps_the_next_beat(tmp_path):
    """[client] A slow endpoint costs its own beat and nothing more."""
    receivers, record, lines = play(tmp_path, {FIRST: 1e9}, secs=30, endpoints=[FIRST], timeout_secs=9.5)
    assert receivers.times() == [0, 10, 20]
    assert receivers.most_busy == 1
    assert (record.beats, record.sent, record.failed, record.filed) == (3, 0, 3, 3)
    assert len(lines) == 3


def test_a_post_that_cannot_be_cancelled_does_not_pile_up(tmp_path):
    """[ours] Bounded work: a venue has at most one beat under way, whatever the transport does."""

    async def main():
        clock = VirtualClock()
        started = []

        async def stubborn(url, body, headers):
            started.append(clock.monotonic())
            with anyio.CancelScope(shield=True):
                await anyio.sleep(25)
            return 200

        settings = HeartbeatSettings(
            endpoints=(Endpoint(url=FIRST),), retries=0, fallback_file=tmp_path / "beats.jsonl"
        )
        heart = Heartbeat(settings, clock=clock, chance=Chance(7), snapshot=lambda: [STATE], post=stubborn)
        with anyio.move_on_after(45):
            await heart.run()
        return started

    assert run_virtual(main()) == [0, 30]


def test_slots_slept_through_are_left_out(tmp_path):
    """[ours] After the machine slept there is one late beat, then the old rhythm; no burst."""

    async def main():
        clock = VirtualClock()
        receivers = Receivers(clock, {})

        class Sleepy(VirtualClock):
            async def sleep(self, secs):
                await super().sleep(35 - self.monotonic() if secs > 5 and self.monotonic() == 0 else secs)

        settings = HeartbeatSettings(endpoints=(Endpoint(url=FIRST),), fallback_file=tmp_path / "beats.jsonl")
        heart = Heartbeat(settings, clock=Sleepy(), chance=Chance(7), snapshot=lambda: [STATE], post=receivers)
        with anyio.move_on_after(55):
            await heart.run()
        return receivers.times(), heart.record()

    times, record = run_virtual(main())
    assert times == [0, 35, 40, 50]
    assert record.max_gap_secs == 35.0
    assert [gap.secs for gap in record.gaps] == [35.0]


def test_each_venue_has_its_own_beat(tmp_path):
    """[client] One POST per venue; one body broken on our side does not cost the others theirs."""
    broken = VenueState(venue="okx", balance=Decimal("Infinity"))
    receivers, record, lines = play(tmp_path, {}, secs=5, snapshot=lambda: [broken, STATE])
    assert [json.loads(body)["venue"] for _, _, body, _ in receivers.asked] == ["backpack"]
    assert (record.beats, record.sent, record.failed) == (2, 1, 1)
    assert lines == [{"beat": None, "tried": ["ValueError before sending"]}]


# -- retries, spares, the file


def test_a_refused_beat_goes_to_the_spare_at_once(tmp_path):
    """[client] The next endpoint in the list is the fallback."""
    receivers, record, _ = play(tmp_path, {FIRST: 503}, secs=5)
    assert [(when, url) for when, url, _, _ in receivers.asked] == [(0, FIRST), (0, SPARE)]
    assert receivers.asked[0][2] == receivers.asked[1][2]
    assert (record.sent, record.failed) == (1, 0)


@pytest.mark.parametrize("answer", [500, 503, 599, 408, 425, 429, OSError("down"), 1e9])
def test_what_may_heal_is_tried_again_after_a_jittered_wait(tmp_path, answer):
    """[client] Retries with backoff: the docs' table, rows one to five."""
    receivers, record, lines = play(tmp_path, {FIRST: answer}, secs=9.5, endpoints=[FIRST], timeout_secs=1)
    asked = receivers.times()
    assert len(asked) == 3
    spent = 1.0 if answer == 1e9 else 0.0
    assert 0.125 <= asked[1] - asked[0] - spent <= 0.25
    assert 0.25 <= asked[2] - asked[1] - spent <= 0.5
    assert (record.sent, record.failed, record.filed) == (0, 1, 1)
    assert len(lines[0]["tried"]) == 3
    assert json.loads(json.dumps(lines[0]["beat"])) == json.loads(receivers.asked[0][2])


@pytest.mark.parametrize("answer", [301, 302, 400, 401, 403, 404, 413])
def test_what_will_not_heal_is_not_asked_again(tmp_path, answer):
    """[ours] A wrong token stays wrong; the spare alone is asked again."""
    receivers, _, lines = play(tmp_path, {FIRST: answer, SPARE: 500}, secs=9.5)
    assert len(receivers.times(FIRST)) == 1
    assert len(receivers.times(SPARE)) == 3
    assert lines[0]["tried"][:2] == [f"first.example: HTTP {answer}", "spare.example:8443: HTTP 500"]


def test_the_file_keeps_what_nobody_took_and_shows_no_address(tmp_path):
    """[client] A local file when all fail; hosts only, for a query may hold a token."""
    down = {FIRST: OSError(f"cannot reach {FIRST}"), SPARE: 404}
    _, record, lines = play(tmp_path, down, secs=25)
    assert [line["beat"]["ts"] - VIRTUAL_EPOCH_MS for line in lines] == [0, 10_000, 20_000]
    assert "hidden-in-the-query" not in json.dumps(lines)
    assert "hidden-in-the-query" not in repr(record)
    assert record.endpoints == ("first.example", "spare.example:8443")


def test_a_full_disk_does_not_stop_the_heart(tmp_path):
    """[client] A failing heartbeat never disturbs trading, not even when the file fails too."""
    (tmp_path / "block").write_text("a file where a folder should be")
    file = tmp_path / "block" / "beats.jsonl"
    receivers, record, _ = play(tmp_path, {FIRST: 404, SPARE: 404}, secs=25, fallback_file=file)
    assert len(receivers.times(FIRST)) == 3
    assert (record.failed, record.filed) == (3, 0)


def test_a_snapshot_that_raises_costs_a_beat_and_nothing_else(tmp_path):
    """[client] A failing heartbeat never disturbs trading: the next beat comes on time."""
    calls = []

    def snapshot():
        calls.append(1)
        if len(calls) in (2, 3):
            raise RuntimeError("no state")
        return [STATE]

    receivers, record, _ = play(tmp_path, {}, secs=35, snapshot=snapshot)
    assert receivers.times() == [0, 30]
    assert record.max_gap_secs == 30.0


def test_without_endpoints_there_is_no_heartbeat(tmp_path):
    """[ours] Nothing configured, nothing done."""
    receivers, record, lines = play(tmp_path, {}, secs=60, endpoints=())
    assert (receivers.asked, lines) == ([], [])
    assert (record.configured, record.max_gap_secs) == (False, None)


# -- gaps


def test_an_outage_is_one_gap_with_its_two_ends(tmp_path):
    """[client] Gaps are measured from delivery to delivery, the file does not count."""
    answers = {FIRST: lambda receivers: 200 if not 15 < receivers.clock.monotonic() < 55 else 404}
    _, record, lines = play(tmp_path, answers, secs=85, endpoints=[FIRST])
    assert record.max_gap_secs == 50.0
    (gap,) = record.gaps
    assert (gap.venue, gap.secs) == ("backpack", 50.0)
    assert (gap.from_ms - VIRTUAL_EPOCH_MS, gap.to_ms - VIRTUAL_EPOCH_MS) == (10_000, 60_000)
    assert len(lines) == record.failed == 4


def test_a_heart_that_never_reached_anyone_has_a_gap_as_long_as_the_run(tmp_path):
    """[ours] Silence from first to last is the worst gap, not the absence of gaps."""
    _, record, _ = play(tmp_path, {FIRST: 404}, secs=42, endpoints=[FIRST])
    assert record.max_gap_secs == 42.0
    assert [gap.secs for gap in record.gaps] == [42.0]


def test_the_stretch_since_the_last_delivery_counts_while_running(tmp_path):
    """[ours] A heart that died half-way shows it, before the end and after it."""

    async def main():
        clock = VirtualClock()
        receivers = Receivers(clock, {FIRST: lambda self: 200 if self.clock.monotonic() < 5 else 404})
        settings = HeartbeatSettings(endpoints=(Endpoint(url=FIRST),), fallback_file=tmp_path / "beats.jsonl")
        heart = Heartbeat(settings, clock=clock, chance=Chance(7), snapshot=lambda: [STATE], post=receivers)
        async with anyio.create_task_group() as group:
            group.start_soon(heart.run)
            await anyio.sleep(33)
            during = heart.record()
            group.cancel_scope.cancel()
        await anyio.sleep(100)
        return during, heart.record()

    during, after = run_virtual(main())
    assert during.max_gap_secs == after.max_gap_secs == 33.0
    assert [gap.secs for gap in after.gaps] == [33.0]


def test_a_venue_that_stopped_has_no_gap_afterwards(tmp_path):
    """[ours] Plays end at different times; a finished one is not silent, it is gone."""
    calls = []

    def snapshot():
        calls.append(1)
        return [STATE, VenueState(venue="okx")] if len(calls) <= 2 else [STATE]

    _, record, _ = play(tmp_path, {}, secs=95, snapshot=snapshot)
    assert record.max_gap_secs == 10.0
    assert record.gaps == ()


# -- the real wire


def example_receiver():
    """The class in the docs, as the docs print it."""
    block = re.search(r"```python\n(import hashlib.*?)```", DOCS.read_text(), re.S)
    names = {"__name__": "receiver"}
    exec(block[1], names)
    names["Receiver"].log_message = lambda *words: None
    return names["Receiver"]


@pytest.mark.sockets
@pytest.mark.parametrize(("shared", "sent"), [("the-shared-secret", True), ("another-secret", False)])
def test_the_receiver_in_the_docs_checks_the_real_heartbeat(tmp_path, monkeypatch, shared, sent):
    """[client] The example of docs/HEARTBEAT.md takes a right signature and refuses a wrong one."""
    monkeypatch.setenv("HEARTBEAT_SECRET", "the-shared-secret")
    server = HTTPServer(("127.0.0.1", 0), example_receiver())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    endpoint = Endpoint(url=f"http://127.0.0.1:{server.server_port}/beat", auth=Auth.HMAC, key=Secret(shared))
    file = tmp_path / "beats.jsonl"
    settings = HeartbeatSettings(interval_secs=0.8, timeout_secs=0.75, endpoints=(endpoint,), fallback_file=file)
    heart = Heartbeat(settings, clock=SystemClock(), chance=Chance(7), snapshot=lambda: [STATE])

    async def main():
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(heart.run)
                while heart.record().sent + heart.record().failed < 2:
                    await anyio.sleep(0.01)
                group.cancel_scope.cancel()

    try:
        anyio.run(main)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    record = heart.record()
    assert (record.sent > 0) is sent
    if not sent:
        assert file.read_text().count("HTTP 401") == record.filed > 0


@pytest.mark.sockets
def test_a_flood_in_answer_is_cut_off():
    """[ours] An endpoint that answers without end costs 64 KiB, not our memory; its status still counts."""

    async def flood(stream):
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n")
            try:
                while True:
                    await stream.send(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass

    async def main():
        with anyio.fail_after(5):
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            async with listener, anyio.create_task_group() as group:
                group.start_soon(listener.serve, flood)
                post = HttpPost()
                status = await post(f"http://127.0.0.1:{port}/", b"{}", {})
                await post.aclose()
                group.cancel_scope.cancel()
            return status

    assert anyio.run(main) == 202
