"""The REST transport on real loopback sockets, against a server that sends exactly the bytes a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gzip
import ipaddress
import socket
import ssl

import anyio
import httpx
import pytest

from core.loop import new_loop
from tests.unit.venues.toy import play
from venues.dialect import HttpCall
from venues.transport import Connection, Transport
from venues.wire import NotSent, SocketWire

pytestmark = pytest.mark.sockets

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSE = object()
"""In a script: the server ends the connection here."""
SIT = object()
"""In a script: the server says nothing to this request."""


class Scripted:
    """Answers each request with the next entry of ``script``: bytes, a list of pieces, CLOSE or SIT; then with OK."""

    def __init__(self, *script) -> None:
        self.script = list(script)
        self.heard: list[bytes] = []
        self.connections = 0
        self.gone = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader, writer) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                body = await reader.readexactly(int(length[0].split(b":")[1])) if length else b""
                self.heard.append(head + body)
                answer = self.script.pop(0) if self.script else OK
                for piece in answer if isinstance(answer, list) else [answer]:
                    if piece is CLOSE:
                        return
                    if piece is not SIT:
                        writer.write(piece)
                        await writer.drain()
                        await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone += 1
        finally:
            writer.close()

    @contextlib.asynccontextmanager
    async def up(self, tls: ssl.SSLContext | None = None):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=tls)
        transport = Transport(lambda: httpx.create_ssl_context(trust_env=False), keep_secs=30, max_reply_bytes=1 << 20)
        try:
            with anyio.fail_after(5):
                port = server.sockets[0].getsockname()[1]
                yield transport, httpx.URL(f"{'https' if tls else 'http'}://127.0.0.1:{port}/time")
        finally:
            await transport.aclose()
            server.close()
            for writer in self.writers:
                writer.close()
            await asyncio.sleep(0)


async def ask(transport, url, method="GET", body=b"", **kept):
    response = await transport.handle_async_request(httpx.Request(method, url, content=body or None, **kept))
    return response.status_code, await response.aread()


async def until(true) -> None:
    while not true():
        await asyncio.sleep(0)


# -- what is an answer


@pytest.mark.parametrize(
    ("answer", "status", "body", "kept"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
            200,
            b"abcde",
            True,
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-After: 1\r\n\r\n", 200, b"a", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b"", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b"", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, 200, b"ok", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\na", 200, b"a", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", 200, b"a", False),
        ([b"HTTP/1.1 200 OK\r\n\r\nuntil the", b" end", CLOSE], 200, b"until the end", False),
        (OK + b"HTTP/1.1 200 OK\r\n", 200, b"ok", False),
        (OK + b"junk", 200, b"ok", False),
    ],
    ids=["chunked", "trailers", "204", "304", "empty", "1xx", "close", "HTTP/1.0", "to the end", "two", "junk behind"],
)
async def test_every_form_of_answer_is_read_whole_also_byte_by_byte(answer, status, body, kept):
    """[venue] Lengths, chunks, ends and interim answers as in RFC 9112; a connection is kept only after a clean end."""
    ended = isinstance(answer, list)
    whole = b"".join(piece for piece in answer if piece is not CLOSE) if ended else answer
    slowly = [whole[place : place + 1] for place in range(len(whole))] + ([CLOSE] if ended else [])
    for script in (answer, slowly):
        server = Scripted(script)
        async with server.up() as (transport, url):
            assert await ask(transport, url) == (status, body)
            # What came too late to be seen with the answer is seen before the next request leaves.
            await until(lambda server=server: server.script == [])
            assert await ask(transport, url) == (200, b"ok")
            if kept or script is answer:
                assert server.connections == (1 if kept else 2)


async def test_an_answer_to_head_has_no_body():
    """[venue] Its length is that of the answer to GET; what follows is not read as its body."""
    server = Scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    async with server.up() as (transport, url):
        assert await ask(transport, url, "HEAD") == (200, b"")
        assert await ask(transport, url) == (200, b"ok")


@pytest.mark.parametrize(
    "answer",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", CLOSE],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", CLOSE],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", CLOSE],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc", CLOSE],
        [b"HTTP/1.1 200 OK\r\nX-Half: ", CLOSE],
        [b"HTTP/1.1 100 Continue\r\n\r\n", CLOSE],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"],
        [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nwords"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n", b"a" * 1_100_000],
        [b"HTTP/1.1 200 OK\r\n", b"X-Endless: a\r\n" * 100_000],
        [b"SSH-2.0-server\r\n"],
    ],
    ids=[
        *("short", "half a chunk", "no last chunk", "odd coding", "half a head", "1xx only"),
        *("two framings", "two lengths", "upgrade", "too long", "endless head", "no HTTP"),
    ],
)
async def test_an_answer_that_is_not_whole_or_not_sound_is_an_error_and_ends_its_connection(answer):
    """[client] Nothing half-read or ambiguous is taken for an answer, and the next request starts afresh."""
    server = Scripted(answer)
    async with server.up() as (transport, url):
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await ask(transport, url, "POST", b"{}")
        assert len(server.heard) == 1
        assert await ask(transport, url) == (200, b"ok")
        assert server.connections == 2


async def test_a_compressed_answer_is_unpacked_in_pieces():
    """[ours] httpx unpacks it, and no more than a piece of it at a time."""
    packed = gzip.compress(bytes(1 << 25))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with Scripted(head + packed).up() as (transport, url):
        response = await transport.handle_async_request(httpx.Request("GET", url))
        sizes = [len(piece) async for piece in response.aiter_bytes()]
    assert sum(sizes) == 1 << 25
    assert len(sizes) > 1


# -- which connection


async def test_a_kept_connection_that_the_server_closed_is_replaced_before_the_first_byte():
    """[client] A request never leaves over a connection whose end has arrived, not even when nobody has read it yet."""
    server = Scripted([OK, CLOSE])
    async with server.up() as (transport, url):
        assert await ask(transport, url) == (200, b"ok")
        [writer] = server.writers
        await writer.wait_closed()
        assert await ask(transport, url, "POST", b"{}") == (200, b"ok")
    assert (server.connections, len(server.heard)) == (2, 2)


async def test_a_connection_that_ends_before_the_first_byte_is_no_reason_for_doubt():
    """[client] Nothing is written to it, so nothing left: it is told as a connection that was not made."""
    async with Scripted().up() as (transport, url):
        connection = await transport._connect(("http", url.host, url.port), 1)
        connection.abort()
        with pytest.raises(httpx.ConnectError):
            await connection.exchange(httpx.Request("GET", url), b"GET / HTTP/1.1\r\n\r\n")


async def test_words_that_nobody_asked_for_are_not_the_next_answer():
    """[ours] A server that answers twice must not shift every later answer by one."""
    server = Scripted()
    async with server.up() as (transport, url):
        await ask(transport, url)
        server.writers[0].write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
        await server.writers[0].drain()
        assert await ask(transport, url) == (200, b"ok")
        assert server.connections == 2
        # Also when the loop reads them before the next request.
        server.writers[1].write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        await until(lambda: server.gone == 2)
        assert await ask(transport, url) == (200, b"ok")


async def test_a_cancelled_request_closes_its_connection():
    """[client] Its late answer reaches nobody, and what waits on other connections is not disturbed."""
    server = Scripted(SIT)
    async with server.up() as (transport, url):
        with anyio.move_on_after(0.02) as limit:
            await ask(transport, url, "POST", b"{}")
        assert limit.cancelled_caught
        await until(lambda: server.gone == 1)
        assert await ask(transport, url) == (200, b"ok")
        assert server.connections == 2


async def test_a_request_cancelled_in_the_moment_of_its_answer_leaves_no_connection_behind():
    """[ours] The answer is whole and nobody takes it: kept, its connection would be known to nobody."""
    server = Scripted()
    async with server.up() as (transport, url):
        await ask(transport, url)
        (connection,) = transport._opened
        ends = connection._end

        def end(*given, **more):
            ends(*given, **more)
            asked.cancel()

        connection._end = end
        asked = asyncio.ensure_future(ask(transport, url))
        with contextlib.suppress(asyncio.CancelledError):
            await asked
        assert asked.cancelled()
        await until(lambda: transport._opened == set())


async def test_requests_at_the_same_time_have_a_connection_each_and_share_them_later():
    """[client] An order does not wait behind a reading."""
    server = Scripted()
    async with server.up() as (transport, url):
        assert await asyncio.gather(ask(transport, url), ask(transport, url)) == [(200, b"ok")] * 2
        assert await asyncio.gather(ask(transport, url), ask(transport, url)) == [(200, b"ok")] * 2
        assert server.connections == 2


async def test_a_connection_that_was_idle_too_long_is_replaced():
    """[ours] Servers and the boxes between forget idle connections without a word."""
    server = Scripted()
    async with server.up() as (transport, url):
        transport._keep_secs = 0
        await ask(transport, url)
        await ask(transport, url)
        await until(lambda: server.gone == 1)
    assert server.connections == 2


async def test_warm_connections_are_there_when_requests_come():
    """[client] Two of them: the first order and a reading beside it wait for no handshake."""
    server = Scripted()
    async with server.up() as (transport, url):
        await transport.warm(url, 2, 10)
        await transport.warm(url, 2, 10)
        await until(lambda: server.connections == 2)
        await asyncio.gather(ask(transport, url), ask(transport, url))
        assert server.connections == 2
        # One that would be too old soon is replaced now.
        await transport.warm(url, 1, 31)
        await until(lambda: server.connections == 3 and server.gone == 2)


async def test_bytes_leave_at_once():
    """[ours] Nagle's algorithm is off: a small request must not wait for the acknowledgement of the one before."""
    async with Scripted().up() as (transport, url):
        await ask(transport, url)
        for connection in transport._opened:
            wire = connection._transport.get_extra_info("socket")
            assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


async def test_closing_ends_what_is_under_way():
    """[ours] Requests in flight fail as broken ones, and no connection is left."""
    server = Scripted(SIT)
    async with server.up() as (transport, url):
        asking = asyncio.create_task(ask(transport, url))
        await until(lambda: server.heard)
        await transport.aclose()
        with pytest.raises(httpx.ReadError):
            await asking
        await until(lambda: server.gone == 1)


# -- what leaves


@pytest.mark.parametrize(
    "given",
    [
        {"headers": [("X-Key", "secret\r\nX-Other: 1")]},
        {"headers": [("X-Key", "secret\nX-Other: 1")]},
        {"headers": [("X-Key", "secret\x00")]},
        {"headers": [("X-Key: secret\r\nX-Other", "1")]},
        {"headers": [("X Key", "secret")]},
        {"headers": [("Transfer-Encoding", "chunked")]},
        {"extensions": {"target": b"/secret HTTP/1.1\r\nX-Other: 1\r\n\r\n"}},
        {"extensions": {"target": b"/sec ret"}},
    ],
)
async def test_a_header_or_path_that_would_break_out_of_its_line_is_refused(given):
    """[ours] Nothing is sent, not even a connection is made, and the words do not repeat what was refused."""
    server = Scripted()
    async with server.up() as (transport, url):
        with pytest.raises(httpx.LocalProtocolError) as refused:
            await ask(transport, url, "POST", b"{}", **given)
    assert "secret" not in str(refused.value)
    assert server.connections == 0


async def test_the_wire_says_of_a_refused_header_that_nothing_was_sent():
    """[client] A request that could not be written is no reason for doubt."""
    wire = SocketWire()
    with anyio.fail_after(5), pytest.raises(NotSent) as refused:
        await wire.request("http://127.0.0.1:9", HttpCall("GET", "/", b"", (("X-Key", "secret\r\nX: y"),)), 2)
    assert "secret" not in str(refused.value)
    await wire.aclose()


async def test_a_connection_that_is_not_made_in_time_is_told_from_one_that_broke():
    """[client] The limit to connect ends before a byte has left, and says so."""
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    # Whatever still fits into the queue of a server that accepts nothing.
    waiting = [socket.socket() for _ in range(3)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(full.getsockname())
    transport = Transport(lambda: httpx.create_ssl_context(trust_env=False), keep_secs=30, max_reply_bytes=1 << 20)
    url = httpx.URL(f"http://127.0.0.1:{full.getsockname()[1]}/")
    with anyio.fail_after(5), pytest.raises(httpx.ConnectTimeout):
        await ask(transport, url, extensions={"timeout": {"connect": 0.05}})
    await transport.aclose()
    for one in (full, *waiting):
        one.close()


# -- certificates


def certificate(name: str) -> tuple[bytes, bytes]:
    """A self-signed certificate for an address, and its key, both PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test")])
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), secret


@pytest.fixture(scope="module", params=["127.0.0.1", "127.0.0.2"], ids=["its name", "another name"])
def secured(request, tmp_path_factory):
    """What a server shows, the authority that stands for it, and whether it stands for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    shown, secret = certificate(request.param)
    (folder / "shown.pem").write_bytes(shown)
    (folder / "key.pem").write_bytes(secret)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "shown.pem", folder / "key.pem")
    return tls, ssl.create_default_context(cadata=shown.decode()), request.param == "127.0.0.1"


async def over_tls(secured) -> None:
    tls, trusting, right_name = secured
    server = Scripted([OK, CLOSE])
    async with server.up(tls) as (transport, url):
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await ask(transport, url)
        transport._tls = lambda: trusting
        if not right_name:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await ask(transport, url)
            assert server.heard == []
            return
        assert await ask(transport, url) == (200, b"ok")
        await until(lambda: not transport._opened)
        await transport.warm(url, 1, 1)
        assert await ask(transport, url, "POST", b"{}") == (200, b"ok")
        assert await ask(transport, url) == (200, b"ok")
    assert len(server.heard) == 3


async def test_a_certificate_must_be_trusted_and_bear_the_name(secured):
    """[ours] With the authority that was given a request goes through; without it, or for another name, none leaves."""
    await over_tls(secured)


async def test_the_wire_refuses_a_certificate_that_nobody_vouches_for(secured):
    """[ours] The default wire, HTTP and streams: nothing is sent to a server that cannot prove its name."""
    server = Scripted()
    async with server.up(secured[0]) as (_, url):
        wire = SocketWire()
        with pytest.raises(NotSent, match="CERTIFICATE_VERIFY_FAILED"):
            await wire.request(str(url), HttpCall("POST", "/", b"{}"), 4)
        with pytest.raises(NotSent, match="CERTIFICATE_VERIFY_FAILED"):
            await wire.connect(str(url).replace("https", "wss"), 4)
        await wire.aclose()
    assert server.heard == []


def test_the_same_holds_on_the_loop_that_runs_plays(secured):
    """[ours] uvloop has connections of its own: certificates, kept connections, ends and cancelling behave alike."""

    async def main() -> None:
        await over_tls(secured)
        await test_a_kept_connection_that_the_server_closed_is_replaced_before_the_first_byte()
        await test_words_that_nobody_asked_for_are_not_the_next_answer()
        await test_a_cancelled_request_closes_its_connection()
        await test_bytes_leave_at_once()
        await test_closing_ends_what_is_under_way()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


# -- kept warm


async def test_a_wire_keeps_connections_warm_where_requests_went():
    """[client] After the first request a second connection stands ready, and both serve what comes."""
    server = Scripted()
    async with server.up() as (_, url):
        wire, base = SocketWire(), str(url).removesuffix("/time")
        await wire.request(base, HttpCall("GET", "/"), 2)
        warming = asyncio.create_task(wire.keep_warm())
        await until(lambda: server.connections == 2)
        await asyncio.gather(*(wire.request(base, HttpCall("GET", "/"), 2) for _ in range(2)))
        assert server.connections == 2
        warming.cancel()
        await wire.aclose()


async def test_a_server_that_is_gone_does_not_end_the_warming():
    """[ours] The next request tells what is wrong; warming goes on."""
    server = Scripted()
    wire = SocketWire()
    async with server.up() as (_, url):
        base = str(url).removesuffix("/time")
        await wire.request(base, HttpCall("GET", "/"), 2)
    await wire.aclose()
    warming = asyncio.create_task(wire.keep_warm())
    for _ in range(50):
        await asyncio.sleep(0)
    with anyio.fail_after(5), pytest.raises(NotSent):
        await wire.request(base, HttpCall("GET", "/"), 2)
    assert not warming.done()
    warming.cancel()
    await wire.aclose()


def test_a_connector_has_its_wire_kept_warm_from_its_start_to_its_stop():
    """[client] Before the first order the connections are there; with the connector the warming ends."""

    async def story(toy):
        told = []

        async def keep_warm():
            told.append("began")
            try:
                await anyio.sleep_forever()
            finally:
                told.append("ended")

        toy.wire.keep_warm = keep_warm
        await toy.connector.start()
        assert told == ["began"]
        await toy.connector.stop()
        assert told == ["began", "ended"]

    play(story, started=False)


async def test_closing_waits_for_no_connection_whose_end_is_never_told(monkeypatch):
    """[ours] Found by the soak: uvloop forgets one that is cancelled while it is made; a play must end all the same."""
    monkeypatch.setattr("venues.transport._CLOSING_SECS", 0.05)
    transport = Transport(lambda: httpx.create_ssl_context(trust_env=False), keep_secs=30, max_reply_bytes=1 << 20)
    forgotten = Connection(transport._opened, 1 << 20)
    monkeypatch.setattr(forgotten, "abort", lambda: None)
    transport._opened.add(forgotten)
    with anyio.fail_after(5):
        await transport.aclose()
    assert not forgotten.lost.is_set()
    assert not transport._opened
