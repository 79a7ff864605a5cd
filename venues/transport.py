"""
httpx's Request and Response over kept HTTP/1.1 connections, read by llhttp (httptools): the way of a REST order.

A request is written at once and never again. ConnectError, ConnectTimeout, UnsupportedProtocol and LocalProtocolError
come before its first byte, any other error after it; no text repeats path, headers or body. The caller's time limit
ends the rest: a cancelled request closes its connection.
"""

from __future__ import annotations

import asyncio
import re
import select
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Final, cast

import httpx
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

Address = tuple[str, str, int]

_PORTS: Final = {"http": 80, "https": 443}
_HEAD: Final = re.compile(rb"[A-Z]+ [!-~]+ HTTP/1\.1\r\n(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t -~\x80-\xff]*\r\n)+\r\n")
_PIECE: Final = 16 * 1024
_CLOSING_SECS: Final = 1.0


class Body(httpx.AsyncByteStream):
    """Handed on in pieces: unpacked at one stroke, a small compressed body could fill the memory."""

    def __init__(self, whole: bytes) -> None:
        self.whole = whole

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.whole), _PIECE):
            yield self.whole[start : start + _PIECE]


class Connection(asyncio.Protocol):
    """One exchange at a time; ``usable`` again after an answer that ended as it said, with nothing behind it."""

    def __init__(self, opened: set[Connection], max_reply_bytes: int) -> None:
        self.usable, self.idle_since, self.lost = True, 0.0, asyncio.Event()
        self._opened, self._max_reply_bytes = opened, max_reply_bytes
        self._answer: asyncio.Future[None] | None = None

    async def exchange(self, request: httpx.Request, data: bytes) -> httpx.Response:
        """Write ``data`` at once and read the whole answer."""
        if self._transport.is_closing():
            raise httpx.ConnectError("the connection was closed before a byte left")
        self.usable, self._left, self._bodyless = False, self._max_reply_bytes, request.method == "HEAD"
        self._status, self._headers, self._body = 0, list[tuple[bytes, bytes]](), bytearray()
        self._parser, self._answer = HttpResponseParser(self), asyncio.get_running_loop().create_future()
        taken = False
        try:
            self._transport.write(data)
            await self._answer
            taken = True
        finally:
            self._answer = None
            if not (taken and self.usable):
                self._transport.abort()
        return httpx.Response(self._status, headers=self._headers, stream=Body(bytes(self._body)), request=request)

    def quiet(self) -> bool:
        """True while the other end has neither closed this idle connection nor said a word on it."""
        return self.usable and not self._transport.is_closing() and not self._poll.poll(0)

    def abort(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._opened.add(self)
        self._transport, self._poll = cast("asyncio.Transport", transport), select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def connection_lost(self, error: Exception | None) -> None:
        self._opened.discard(self)
        self.lost.set()
        if self._answer is not None:
            # Only an answer that announced no length ends with its connection.
            whole = error is None and self._status and not self._framed
            self._end(None if whole else httpx.ReadError("closed before the whole answer"))

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            return self.abort()  # unasked, it must not be read as the answer to the next request
        self._left -= len(data)
        if self._left < 0:
            return self._end(httpx.ReadError(f"an answer of more than {self._max_reply_bytes >> 20} MB"))
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._end(httpx.RemoteProtocolError("the answer is not HTTP/1.1"))

    def on_message_begin(self) -> None:
        self.usable = False  # once more, behind a whole answer: these bytes are nobody's

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._status, self._keeps = self._parser.get_status_code(), self._parser.should_keep_alive()
        self._framed = any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self._headers)
        if self._bodyless and self._status >= 200:
            self._end()

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._status < 200:
            self._status, self._headers = 0, []
        elif self._answer is not None and not self._answer.done():
            self._end(usable=self._keeps)

    def _end(self, error: httpx.TransportError | None = None, *, usable: bool = False) -> None:
        self.usable = usable
        if self._answer is None or self._answer.done():
            return
        if error is None:
            self._answer.set_result(None)
        else:
            self._answer.set_exception(error)


class Transport(httpx.AsyncBaseTransport):
    """
    Connections by address, each kept for ``keep_secs``; an answer may have ``max_reply_bytes`` as sent. ``tls`` is
    asked for when an address needs it.
    """

    def __init__(self, tls: Callable[[], ssl.SSLContext], *, keep_secs: float, max_reply_bytes: int) -> None:
        self._tls = tls
        self._keep_secs = keep_secs
        self._max_reply_bytes = max_reply_bytes
        self._idle: defaultdict[Address, list[Connection]] = defaultdict(list)
        self._opened: set[Connection] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send ``request`` once, over the connection that was used last, and read the whole answer."""
        address, data = _address(request.url), _head(request) + await request.aread()
        connection = self._take(address, 0)
        if connection is None:
            connection = await self._connect(address, request.extensions.get("timeout", {}).get("connect"))
        response = await connection.exchange(request, data)
        if connection.usable:
            self._lay_by(address, connection)
        return response

    async def warm(self, url: httpx.URL, count: int, secs: float) -> None:
        """Have ``count`` idle connections that stay fit for ``secs``. Raises as a request before its first byte."""
        address = _address(url)
        fit = [kept for _ in range(count) if (kept := self._take(address, secs)) is not None]
        for kept in reversed(fit):
            self._idle[address].append(kept)
        for _ in range(count - len(fit)):
            self._lay_by(address, await self._connect(address, secs))

    async def aclose(self) -> None:
        opened = list(self._opened)
        for connection in opened:
            connection.abort()
        # uvloop never tells the end of a connection whose making was cancelled in its last moment.
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_SECS):
                for connection in opened:
                    await connection.lost.wait()
        self._opened.clear()

    def _take(self, address: Address, secs: float) -> Connection | None:
        fresh_since = asyncio.get_running_loop().time() + secs - self._keep_secs
        while kept := self._idle[address]:
            connection = kept.pop()
            if connection.idle_since > fresh_since and connection.quiet():
                return connection
            connection.abort()
        return None

    def _lay_by(self, address: Address, connection: Connection) -> None:
        connection.idle_since = asyncio.get_running_loop().time()
        self._idle[address].append(connection)

    async def _connect(self, address: Address, secs: float | None) -> Connection:
        scheme, host, port = address
        secure: dict[str, Any] = {"ssl": self._tls(), "server_hostname": host} if scheme == "https" else {}
        make, loop = lambda: Connection(self._opened, self._max_reply_bytes), asyncio.get_running_loop()
        try:
            async with asyncio.timeout(secs):
                return (await loop.create_connection(make, host, port, **secure))[1]
        except TimeoutError:
            raise httpx.ConnectTimeout("no connection in time") from None
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(f"{type(error).__name__}: {error}") from None


def _address(url: httpx.URL) -> Address:
    if url.scheme not in _PORTS or not url.host:
        raise httpx.UnsupportedProtocol("the address is neither http:// nor https://")
    return url.scheme, url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme]


def _head(request: httpx.Request) -> bytes:
    method, target = request.method.encode("ascii"), request.extensions.get("target") or request.url.raw_path
    fields = request.headers.raw
    head = b"".join((method, b" ", target, b" HTTP/1.1\r\n", *(b"%s: %s\r\n" % field for field in fields), b"\r\n"))
    if not _HEAD.fullmatch(head) or head.count(b"\n") != len(fields) + 2 or "transfer-encoding" in request.headers:
        raise httpx.LocalProtocolError("the path or a header holds what it must not")
    return head
