"""
The seam between a connector and the outside: HTTP requests and stream connections.

:class:`SocketWire` is the real one (httpx, websockets). ``venues.simulation.memory`` has one that reaches a simulator
in the same process without sockets, for virtual time.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol

import anyio

from venues.dialect import HttpCall, HttpReply

if TYPE_CHECKING:
    import ssl

    import httpx
    from websockets.asyncio.client import ClientConnection

MAX_REPLY_BYTES: Final = 16 * 1024 * 1024
"""Largest answer or stream message read; the largest known one (a venue's list of all markets) has a few MB."""
# Idle connections are kept this long. A server that closes earlier is noticed before the next request leaves.
KEEP_ALIVE_SECS: Final = 30.0
_HEADERS: Final = (("user-agent", "roundtrip"), ("accept", "*/*"), ("accept-encoding", "gzip, deflate"))


class NotSent(Exception):
    """The request certainly did not leave: no connection could be made."""


class Broken(Exception):
    """The connection failed after bytes may have left, or a stream ended. The outcome is unknown."""


class Link(Protocol):
    """One open stream connection."""

    async def send(self, text: str) -> None:
        """Raises Broken."""
        ...

    async def receive(self) -> str | bytes:
        """The next message. Raises Broken when the stream has ended."""
        ...

    async def ping(self) -> None:
        """Send a Ping and wait for its Pong. Raises Broken. The caller sets the time limit."""
        ...

    async def close(self) -> None: ...


class Wire(Protocol):
    """How a connector reaches its venue."""

    async def request(self, base_url: str, call: HttpCall, timeout_secs: float) -> HttpReply:
        """
        Send one signed request and read the whole answer. Never sends twice, follows no redirect.

        Raises:
            NotSent: nothing left this machine.
            Broken: it may have left (time-out, reset, unreadable answer).
        """
        ...

    async def connect(self, url: str, timeout_secs: float) -> Link:
        """Raises NotSent or Broken."""
        ...

    async def aclose(self) -> None: ...


class SocketLink:
    """A WebSocket connection; made by :meth:`SocketWire.connect`."""

    def __init__(self, connection: ClientConnection, failures: tuple[type[Exception], ...]) -> None:
        self._connection = connection
        self._failures = failures

    async def send(self, text: str) -> None:
        try:
            await self._connection.send(text)
        except self._failures as error:
            raise Broken(_ended(error)) from None

    async def receive(self) -> str | bytes:
        try:
            return await self._connection.recv()
        except self._failures as error:
            raise Broken(_ended(error)) from None

    async def ping(self) -> None:
        try:
            pong = await self._connection.ping()
            # A caller that gives up must not cancel the future: the library still holds it.
            await asyncio.shield(pong)
        except self._failures as error:
            raise Broken(_ended(error)) from None

    async def close(self) -> None:
        await self._connection.close()


class SocketWire:
    """
    The real wire: HTTP/1.1 with kept connections (httpx) and WebSockets. No proxy from the environment, no
    redirect, no second try, certificates always checked. The libraries are loaded with the first connection,
    and a wire that was closed opens again when it is used again.
    """

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None
        self._tls: ssl.SSLContext | None = None
        self._bases: dict[str, tuple[httpx.URL, str]] = {}

    async def request(self, base_url: str, call: HttpCall, timeout_secs: float) -> HttpReply:
        import httpx

        client = self._client or self._open_client()
        try:
            url, prefix = self._bases.get(base_url) or self._learn_base(base_url)
            request = httpx.Request(
                call.method,
                url,
                headers=[*_HEADERS, *call.headers],
                content=call.body or None,
                extensions={
                    # The path goes out byte for byte as it was signed; httpx would quote it anew.
                    "target": (prefix + call.path).encode("ascii"),
                    # Connecting ends before the whole does, so that it is known as "not sent".
                    "timeout": {
                        "connect": timeout_secs * 0.5,
                        "pool": timeout_secs * 0.25,
                        "read": timeout_secs,
                        "write": timeout_secs,
                    },
                },
            )
        except (ValueError, TypeError, httpx.InvalidURL) as error:
            # The texts of these repeat what was refused: an address or a header, perhaps a secret one.
            raise NotSent(f"the request could not be built ({type(error).__name__})") from None
        try:
            with anyio.fail_after(timeout_secs):
                response = await client.send(request, stream=True)
                try:
                    body = await _read_body(response)
                finally:
                    await response.aclose()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as error:
            raise NotSent(_said(error)) from None
        except TimeoutError:
            raise Broken(f"no whole answer within {timeout_secs:g} s") from None
        except Broken:
            raise
        except Exception as error:  # whatever it is, bytes may have left
            raise Broken(_said(error)) from None
        headers = {name.lower(): value for name, value in response.headers.items()}
        return HttpReply(response.status_code, body, headers)

    async def connect(self, url: str, timeout_secs: float) -> Link:
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidURI, WebSocketException

        class Opening(connect):
            """Follows no redirect: the address may carry a listen key."""

            def process_redirect(self, exc: Exception) -> Exception | str:
                return exc

        _hush()
        secure = url.startswith("wss:")
        try:
            connection = await Opening(
                url,
                compression=None,
                proxy=None,
                open_timeout=timeout_secs,
                ping_interval=None,  # the session pings by itself
                close_timeout=1.0,
                max_size=MAX_REPLY_BYTES,
                ssl=self._tls_context() if secure else None,
            )
        except InvalidURI:
            raise NotSent("the stream's address is not a WebSocket URL") from None
        except TimeoutError:
            raise Broken(f"no stream within {timeout_secs:g} s") from None
        except OSError as error:
            raise NotSent(_said(error)) from None
        except WebSocketException as error:
            raise Broken(_said(error)) from None
        return SocketLink(connection, (WebSocketException, OSError))

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _open_client(self) -> httpx.AsyncClient:
        import httpx

        _hush()
        self._client = httpx.AsyncClient(
            verify=self._tls_context(),
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=32, keepalive_expiry=KEEP_ALIVE_SECS),
        )
        return self._client

    def _learn_base(self, base_url: str) -> tuple[httpx.URL, str]:
        import httpx

        url = httpx.URL(base_url)
        known = self._bases[base_url] = (url, url.raw_path.decode("ascii").rstrip("/"))
        return known

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            import httpx

            self._tls = httpx.create_ssl_context(trust_env=False)
        return self._tls


async def _read_body(response: httpx.Response) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > MAX_REPLY_BYTES:
            raise Broken(f"an answer of more than {MAX_REPLY_BYTES >> 20} MB")
        chunks.append(chunk)
    return b"".join(chunks)


def _said(error: Exception) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _ended(error: Exception) -> str:
    return f"the stream ended ({_said(error)})"


def _hush() -> None:
    # Below WARNING these libraries write addresses, headers and frames: signatures, listen keys, logins.
    for name in ("httpx", "httpcore", "websockets"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))
