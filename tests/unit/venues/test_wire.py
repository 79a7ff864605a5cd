"""The real wire on a real loopback socket: a tiny HTTP server that says what the test wants, and a WebSocket one."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import ssl

import anyio
import pytest

from venues import wire as wire_module
from venues.dialect import HttpCall
from venues.wire import Broken, NotSent, SocketWire

pytestmark = pytest.mark.sockets


def reply(body: bytes = b"{}", status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Server:
    """Reads whole requests and answers each with the next of ``answers``: bytes, or None to hang up, "wait" to sit."""

    def __init__(self) -> None:
        self.answers: list = []
        self.heard: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader, writer) -> None:
        self.connections += 1
        self._writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.heard.append((head[0], headers, body))
                answer = self.answers.pop(0) if self.answers else reply()
                if answer == "wait":
                    continue
                if answer is None:
                    break
                writer.write(answer)
        writer.close()

    @contextlib.asynccontextmanager
    async def up(self):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for writer in self._writers:
                writer.close()
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def wired(server: Server):
    wire = SocketWire()
    with anyio.fail_after(5):
        async with server.up() as base:
            try:
                yield wire, base
            finally:
                await wire.aclose()
                await wire.aclose()


async def test_a_request_leaves_as_it_was_signed_and_its_answer_is_whole():
    """[ours] Path, headers and body go out byte for byte; header names come back in lower case."""
    server = Server()
    server.answers = [reply(b"[1]", "201 Created", "X-Used-Weight: 7")]
    async with wired(server) as (wire, base):
        call = HttpCall("POST", "/a?b=[c]:,'%2F'&d=\"|", b'{"x":1}', (("X-Key", "k"),))
        answer = await wire.request(base + "/stem", call, 2)
    assert (answer.status, answer.body, answer.headers["x-used-weight"]) == (201, b"[1]", "7")
    line, headers, body = server.heard[0]
    assert line == "POST /stem/a?b=[c]:,'%2F'&d=\"| HTTP/1.1"
    assert (headers["x-key"], headers["user-agent"], body) == ("k", "roundtrip", b'{"x":1}')


async def test_a_delete_may_have_a_body_and_connections_are_kept():
    """[venue] Backpack cancels with DELETE and a JSON body; the next request uses the same connection."""
    server = Server()
    async with wired(server) as (wire, base):
        await wire.request(base, HttpCall("DELETE", "/order", b'{"id":1}'), 2)
        await wire.request(base, HttpCall("GET", "/time"), 2)
    assert [(line.split()[0], body) for line, _, body in server.heard] == [("DELETE", b'{"id":1}'), ("GET", b"")]
    assert server.connections == 1


async def test_a_redirect_is_an_answer_and_cookies_are_forgotten():
    """[ours] Signed requests are not carried elsewhere, and one answer does not change the next request."""
    server = Server()
    server.answers = [reply(b"", "302 Found", "Location: /elsewhere", "Set-Cookie: a=b")]
    async with wired(server) as (wire, base):
        assert (await wire.request(base, HttpCall("GET", "/"), 2)).status == 302
        await wire.request(base, HttpCall("GET", "/"), 2)
    assert len(server.heard) == 2
    assert "cookie" not in server.heard[1][1]


async def test_the_environments_proxy_is_not_used(monkeypatch):
    """[ours] A proxy set for other programs does not see our requests."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server = Server()
    async with wired(server) as (wire, base):
        assert (await wire.request(base, HttpCall("GET", "/"), 2)).status == 200


async def test_nothing_listening_means_not_sent():
    """[client] A refused connection, an odd scheme or an unbuildable request sent nothing."""
    server = Server()
    async with server.up() as base:
        pass
    wire = SocketWire()
    with anyio.fail_after(5):
        for url, path in ((base, "/"), ("ftp://127.0.0.1", "/"), ("http://[", "/"), (base, "/é?key=secret")):
            with pytest.raises(NotSent) as caught:
                await wire.request(url, HttpCall("GET", path), 2)
            assert "secret" not in str(caught.value)
        await wire.aclose()


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "wait",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
        b"not http at all\r\n\r\n",
        reply(b"not gzip", "200 OK", "Content-Encoding: gzip"),
    ],
    ids=["hung up", "silent", "half an answer", "not http", "not gzip"],
)
async def test_a_connection_that_fails_after_sending_is_broken_and_not_tried_again(answer):
    """[client] Once bytes may have left, nothing is sent again and nothing is called refused."""
    server = Server()
    server.answers = [answer, *([reply()] if answer == "wait" else [])]
    async with wired(server) as (wire, base):
        with pytest.raises(Broken):
            await wire.request(base, HttpCall("POST", "/order", b"{}"), 0.2)
        assert len(server.heard) == 1
        # The wire is usable afterwards, on a fresh connection.
        assert (await wire.request(base, HttpCall("GET", "/"), 2)).status == 200


async def test_an_answer_that_drips_ends_with_the_time_limit():
    """[client] The limit holds for the whole answer, not for each piece of it."""
    server = Server()
    server.answers = ["wait"]

    async def drip():
        while True:
            await asyncio.sleep(0.05)
            for writer in server._writers:
                writer.write(b"H")

    async with wired(server) as (wire, base):
        dripping = asyncio.create_task(drip())
        with pytest.raises(Broken):
            await wire.request(base, HttpCall("GET", "/"), 0.3)
        dripping.cancel()


async def test_an_answer_beyond_the_size_limit_is_broken(monkeypatch):
    """[ours] An endless or exploding answer does not fill the memory."""
    monkeypatch.setattr(wire_module, "MAX_REPLY_BYTES", 1 << 20)
    server = Server()
    server.answers = [reply(gzip.compress(b"0" * (1 << 21)), "200 OK", "Content-Encoding: gzip")]
    async with wired(server) as (wire, base):
        with pytest.raises(Broken, match="more than 1 MB"):
            await wire.request(base, HttpCall("GET", "/"), 2)


async def test_a_closed_wire_opens_again():
    """[ours] A connector that is started again uses the same wire."""
    server = Server()
    async with wired(server) as (wire, base):
        await wire.request(base, HttpCall("GET", "/"), 2)
        await wire.aclose()
        assert (await wire.request(base, HttpCall("GET", "/"), 2)).status == 200


async def test_no_address_header_or_frame_reaches_the_libraries_logs(caplog):
    """[ours] The libraries would log signatures and listen keys below WARNING, whoever asks for DEBUG."""
    caplog.set_level(logging.DEBUG)
    server = Server()
    async with wired(server) as (wire, base):
        await wire.request(base, HttpCall("GET", "/?signature=secret", b"", (("X-Key", "secret"),)), 2)
        async with echo() as url:
            link = await wire.connect(url + "/?listenKey=secret", 2)
            await link.send("secret")
            await link.receive()
            await link.close()
    assert not [r for r in caplog.records if r.name.startswith(("httpx", "httpcore", "websockets.client"))]


# -- streams


@contextlib.asynccontextmanager
async def echo():
    """A WebSocket server that echoes; "bye" closes, "nap" makes it deaf for a while."""
    from websockets.asyncio.server import serve

    async def handle(connection):
        async for text in connection:
            if text == "bye":
                await connection.close()
            elif text == "nap":
                awake, connection.data_received = connection.data_received, lambda data: None
                await asyncio.sleep(0.2)
                connection.data_received = awake
            else:
                await connection.send(text)

    def redirect(connection, request):
        if request.path == "/redirect":
            answer = connection.respond(302, "")
            answer.headers["Location"] = "/"
            return answer
        return None

    async with serve(handle, "127.0.0.1", 0, process_request=redirect, close_timeout=0.1) as server:
        host, port = server.sockets[0].getsockname()
        yield f"ws://{host}:{port}"


async def test_a_stream_carries_text_and_pings():
    """[client] What is sent arrives, and a Ping is answered."""
    with anyio.fail_after(5):
        async with echo() as url:
            link = await SocketWire().connect(url, 2)
            await link.send("hello")
            assert await link.receive() == "hello"
            await link.ping()
            await link.close()
            await link.close()


async def test_a_stream_that_ended_is_broken_in_every_way():
    """[client] Receive, send and ping on an ended stream say so."""
    with anyio.fail_after(5):
        async with echo() as url:
            link = await SocketWire().connect(url, 2)
            await link.send("bye")
            with pytest.raises(Broken):
                await link.receive()
            with pytest.raises(Broken):
                await link.send("too late")
            with pytest.raises(Broken):
                await link.ping()


async def test_a_ping_given_up_leaves_the_stream_usable():
    """[ours] The caller's time limit ends its wait, not the stream."""
    with anyio.fail_after(5):
        async with echo() as url:
            link = await SocketWire().connect(url, 2)
            await link.send("nap")
            await asyncio.sleep(0.05)
            with anyio.move_on_after(0.05) as scope:
                await link.ping()
            assert scope.cancelled_caught
            await asyncio.sleep(0.2)
            await link.ping()
            await link.send("hello")
            assert await link.receive() == "hello"
            await link.close()


async def test_a_stream_that_cannot_be_opened_says_whether_anything_was_there():
    """[client] No server and no WebSocket address: not sent; an answer that is no stream, or none: broken."""
    server = Server()
    server.answers = [reply(b"", "403 Forbidden"), "wait"]
    async with wired(server) as (wire, base):
        url = base.replace("http", "ws")
        with pytest.raises(Broken, match="403"):
            await wire.connect(url, 2)
        with pytest.raises(Broken, match="no stream within"):
            await wire.connect(url, 0.1)
        with pytest.raises(NotSent) as caught:
            await wire.connect("http://127.0.0.1/?listenKey=secret", 2)
        assert "secret" not in str(caught.value)
    with pytest.raises(NotSent):
        await wire.connect(url, 2)
    with anyio.fail_after(5):
        async with echo() as url:
            with pytest.raises(Broken):
                await wire.connect(url + "/redirect", 2)


async def test_tls_is_checked():
    """[ours] Certificates are demanded, and a server that cannot show one gets no request."""
    heard = []

    async def speak_plainly(reader, writer):
        heard.append(await reader.read(1))
        writer.write(reply(b"", "400 Bad Request"))
        writer.close()

    server = await asyncio.start_server(speak_plainly, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    wire = SocketWire()
    with anyio.fail_after(5):
        with pytest.raises(NotSent, match="SSL"):
            await wire.request(f"https://{address}", HttpCall("GET", "/"), 4)
        with pytest.raises(NotSent, match="SSL"):
            await wire.connect(f"wss://{address}", 4)
        await wire.aclose()
    server.close()
    assert heard == [b"\x16", b"\x16"]  # a TLS handshake began each time, nothing else
    context = wire._tls_context()
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
