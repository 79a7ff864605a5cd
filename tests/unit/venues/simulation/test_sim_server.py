"""The socket shell, with real clients on loopback."""

from __future__ import annotations

import signal
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime

import anyio
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from core.clock import SystemClock
from venues.simulation.app import Reply
from venues.simulation.faults import Faults
from venues.simulation.gate import FaultGate
from venues.simulation.server import serve

pytestmark = pytest.mark.sockets


class EchoVenue:
    """Answers what it was asked; on a stream, too."""

    name = "echo"

    def __init__(self):
        self.clock = SystemClock()
        self.requests = []
        self.peers = []
        self.opened = anyio.Event()
        self.closed = anyio.Event()

    def http(self, request):
        self.requests.append(request)
        if request.path == "/fail":
            raise RuntimeError("a mistake in the simulator")
        asked = f"{request.method} {request.path} {request.query} ".encode() + request.body
        return Reply(200, asked, {"content-type": "application/json; charset=utf-8"})

    def ws_open(self, peer, path, headers):
        self.peers.append(peer)
        peer.send(f"hello {path} {headers.get('x-key', '')}")
        self.opened.set()

    def ws_text(self, peer, text):
        if text == "leave":
            peer.close(4001, "as you wish")
        else:
            peer.send(text)

    def ws_closed(self, peer):
        self.peers.remove(peer)
        self.closed.set()

    def advance(self):
        pass

    def next_due_ms(self):
        return self.clock.now_ms() + 1000

    def http_kind(self, request):
        return "place" if request.path == "/place" else "other"

    def text_kind(self, text):
        return "other"

    def message_kind(self, text):
        return text.split(" ")[0] if text.split(" ")[0] in ("order", "fill") else "other"

    def bootstrap(self, rest, ws):
        return {}


@asynccontextmanager
async def echo_server(*rules):
    """One echo venue under ``rules``: gives the venue, an HTTP client at its address and the WebSocket address."""
    venue = EchoVenue()
    with anyio.fail_after(5):
        async with serve({"echo": FaultGate(venue, Faults.load(list(rules)), venue.clock)}) as addresses:
            rest, ws = addresses["echo"]
            async with httpx.AsyncClient(base_url=rest, trust_env=False) as client:
                yield venue, client, ws


def ws_connect(url, **settings):
    return connect(url, proxy=None, **settings)


async def test_http_goes_round_and_keeps_the_connection():
    """[ours] Path and query arrive raw, header names in lower case, the answer's headers and body as given."""
    async with echo_server() as (venue, client, _):
        reply = await client.post("/api/v1/a%20b?x=%2F&x=2", content=b'{"a":1}', headers={"X-Key": "k"})
        assert reply.status_code == 200
        assert reply.text == 'POST /api/v1/a%20b x=%2F&x=2 {"a":1}'
        assert reply.headers["content-type"] == "application/json; charset=utf-8"
        assert venue.requests[0].headers["x-key"] == "k"
        assert (await client.get("/")).text == "GET /  "


async def test_delete_carries_its_body():
    """[venue] Backpack cancels with DELETE and a JSON body."""
    async with echo_server() as (_, client, _ws):
        reply = await client.request("DELETE", "/api/v1/order", content=b'{"orderId":"1"}')
        assert reply.text == 'DELETE /api/v1/order  {"orderId":"1"}'


async def test_an_error_answer_has_its_status_and_retry_after():
    """[ours] A rate limit looks the same on a socket as in memory."""
    async with echo_server({"action": "rate_limit", "params": {"retry_after": 3}}) as (venue, client, _):
        reply = await client.get("/x")
        assert (reply.status_code, reply.headers["retry-after"], reply.content) == (429, "3", b"")
        assert venue.requests == []


async def test_every_answer_has_the_date_of_its_moment():
    """[venue] Clients read a server's clock from the Date header (RFC 9110, 6.6.1)."""
    async with echo_server() as (venue, client, _):
        for ahead_ms in (0, 3_600_000):
            now_ms = SystemClock().now_ms() + ahead_ms
            venue.clock.now_ms = lambda now_ms=now_ms: now_ms
            told = parsedate_to_datetime((await client.get("/x")).headers["date"])
            assert told.timestamp() == now_ms // 1000


async def test_messages_of_one_moment_arrive_whole_in_order_and_before_the_close():
    """[ours] They leave in one piece; none is lost to the end of the stream."""
    async with echo_server() as (venue, _, ws), ws_connect(ws + "/s") as client:
        assert (await client.recv()).startswith("hello")
        for number in range(50):
            venue.peers[0].send(f"{number} " + "x" * 5000)
        venue.peers[0].close(4001, "enough")
        heard = [(await client.recv()).partition(" ")[0] for _ in range(50)]
        assert heard == [str(number) for number in range(50)]
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 4001


@pytest.mark.parametrize(
    ("rule", "executed"),
    [({"action": "lose_reply"}, 1), ({"action": "drop", "on": "http"}, 0), ({"action": "execute_late"}, 1)],
)
async def test_a_lost_reply_is_a_broken_connection(rule, executed):
    """[ours] No status at all reaches the client, also on a connection that was used before."""
    params = {"params": {"ms": 50}} if rule["action"] == "execute_late" else {}
    async with echo_server({**rule, "kind": "place", "nth": [1], **params}) as (venue, client, _):
        assert (await client.get("/warm")).status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/place", content=b"{}")
        assert len(venue.requests) == 1 + executed
        assert (await client.post("/place", content=b"{}")).status_code == 200


async def test_a_stream_echoes_and_answers_pings():
    """[ours] Any path with its query, request headers, texts both ways, and a Pong for a Ping."""
    headers = {"X-Key": "k"}
    async with echo_server() as (_, _client, ws), ws_connect(ws + "/ws/v5?t=%2F", additional_headers=headers) as link:
        assert await link.recv() == "hello /ws/v5?t=%2F k"
        await link.send("größe")
        assert await link.recv() == "größe"
        await link.send(b"bytes")
        assert await link.recv() == "bytes"
        await (await link.ping())


async def test_two_streams_of_one_venue_live_side_by_side():
    """[ours] When one client leaves, the simulator forgets that one alone."""
    async with echo_server() as (venue, _client, ws), ws_connect(ws) as stays:
        async with ws_connect(ws):
            pass
        await venue.closed.wait()
        assert len(venue.peers) == 1
        await stays.recv()
        await stays.send("still here")
        assert await stays.recv() == "still here"


async def test_a_close_by_the_simulator_carries_its_code():
    """[ours] The client reads code and reason of the Close frame."""
    async with echo_server() as (venue, _client, ws), ws_connect(ws) as link:
        await link.recv()
        await link.send("leave")
        with pytest.raises(ConnectionClosed) as caught:
            await link.recv()
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "as you wish")
        await venue.closed.wait()


@pytest.mark.parametrize("code", [1006, 1012])
async def test_a_disconnect_closes_every_stream(code):
    """[ours] Code 1006 cuts the connection without a Close frame, another one is sent as it is."""
    rule = {"action": "disconnect", "on": "http", "kind": "place", "params": {"code": code}}
    async with echo_server(rule) as (venue, client, ws), ws_connect(ws) as one, ws_connect(ws) as two:
        assert (await client.post("/place")).status_code == 200
        for link in (one, two):
            await link.recv()
            with pytest.raises(ConnectionClosed) as caught:
                await link.recv()
            assert (caught.value.rcvd.code if caught.value.rcvd else 1006) == code
        assert venue.peers == []


async def test_a_silent_stream_answers_no_ping_until_it_is_over():
    """[ours] The Pong is missing too, so only a client that pings notices."""
    rule = {"action": "silent", "kind": "fill", "nth": [1], "params": {"ms": 400}}
    async with echo_server(rule) as (venue, _client, ws), ws_connect(ws) as link:
        await link.recv()
        await link.send("fill 1")
        (stream,) = venue.peers
        while not stream.silent:
            await anyio.sleep(0.01)
        await link.send("lost")
        pong = await link.ping()
        with anyio.move_on_after(0.1) as waited:
            await pong
        assert waited.cancelled_caught
        while stream.silent:
            await anyio.sleep(0.01)
        await (await link.ping())
        await link.send("fill 2")
        assert await link.recv() == "fill 2"


async def test_messages_late_by_a_fault_are_sent_when_due():
    """[ours] The server drives the gate by itself."""
    async with echo_server({"action": "reorder", "kind": "fill"}) as (_, _client, ws), ws_connect(ws) as link:
        await link.recv()
        await link.send("fill 1")
        assert await link.recv() == "fill 1"


async def test_a_mistake_in_a_simulator_is_a_500_and_is_logged(caplog):
    """[ours] A bug in a simulator is seen, and does not stop the server."""
    async with echo_server() as (_, client, _ws):
        assert (await client.get("/fail")).status_code == 500
        assert (await client.get("/x")).status_code == 200
    assert "a mistake in the simulator" in caplog.text


async def test_the_server_stops_within_a_second_with_streams_and_requests_open():
    """[ours] Streams get a Close frame, a request under way breaks, and the port is free again."""
    venue = EchoVenue()
    faults = Faults.load([{"action": "delay", "on": "http", "params": {"ms": 60_000}}])
    ends = []
    with anyio.fail_after(5):
        async with anyio.create_task_group() as clients, httpx.AsyncClient(trust_env=False) as client:

            async def ask(url):
                with pytest.raises(httpx.RemoteProtocolError):
                    await client.get(url, timeout=30)
                ends.append("request")

            async def listen(url):
                async with ws_connect(url) as link:
                    await link.recv()
                    with pytest.raises(ConnectionClosed) as caught:
                        await link.recv()
                    ends.append(caught.value.rcvd.code)

            async with serve({"echo": FaultGate(venue, faults, venue.clock)}) as addresses:
                rest, ws = addresses["echo"]
                clients.start_soon(ask, rest + "/slow")
                clients.start_soon(listen, ws)
                await venue.opened.wait()
                while not venue.requests:
                    await anyio.sleep(0.01)
                before = venue.clock.monotonic()
            assert venue.clock.monotonic() - before < 1
        assert sorted(map(str, ends)) == ["1012", "request"]
        assert venue.peers == []
        with pytest.raises(httpx.ConnectError):
            async with httpx.AsyncClient(trust_env=False) as late:
                await late.get(rest)


async def test_a_cancelled_block_stops_its_servers():
    """[ours] A play that is cut short leaves no port behind."""
    venue = EchoVenue()
    with anyio.fail_after(5):
        with anyio.move_on_after(0.2):
            async with serve({"echo": FaultGate(venue, Faults(), venue.clock)}) as addresses:
                await anyio.sleep_forever()
        async with httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(addresses["echo"].rest)


async def test_venues_get_ports_in_order_and_a_taken_port_is_named():
    """[ours] One port each from the base up; the host program's signals stay its own."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    venue = EchoVenue()

    def gates():
        return {name: FaultGate(venue, Faults(), venue.clock) for name in ("one", "two")}

    with anyio.fail_after(5):
        async with serve(gates(), 0) as addresses:
            base = min(int(address.rest.rpartition(":")[2]) for address in addresses.values())
            assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
            assert len({*addresses.values()}) == 2
            with pytest.raises(OSError, match=f"port {base} on 127.0.0.1 cannot be used"):
                async with serve(gates(), base):
                    pass
        async with serve(gates(), base) as addresses:
            assert addresses["one"] == (f"http://127.0.0.1:{base}", f"ws://127.0.0.1:{base}")
            assert addresses["two"].ws == f"ws://127.0.0.1:{base + 1}"


async def test_an_error_in_the_block_leaves_as_it_is():
    """[ours] A play's own error is not wrapped in a group by the servers beside it."""
    venue = EchoVenue()
    with anyio.fail_after(5), pytest.raises(KeyError, match="the block's own"):
        async with serve({"echo": FaultGate(venue, Faults(), venue.clock)}):
            raise KeyError("the block's own")
