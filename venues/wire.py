"""
The seam between a connector and the outside: HTTP requests and stream connections.

:class:`SocketWire` is the real one (``venues.transport``, websockets). ``venues.simulation.memory`` has one that
reaches a simulator in the same process without sockets, for virtual time. :class:`Talks` holds a dialect's talks over
either.
"""

from __future__ import annotations

import asyncio
import logging
import math
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeVar, cast, runtime_checkable

import anyio

from core.chance import Chance
from core.clock import Clock
from core.retry import backoff
from venues.budget import PATIENCE_SECS, Budget, Spent, Taken, Use
from venues.dialect import Dialect, HttpCall, HttpReply, Talk
from venues.errors import LocalRuleError, OutcomeUnknown, Refused, VenueError, WireError

if TYPE_CHECKING:
    import ssl

    import httpx
    from websockets.asyncio.client import ClientConnection

    from venues.transport import Body, Transport

T = TypeVar("T")

MAX_REPLY_BYTES: Final = 16 * 1024 * 1024
"""Largest answer or stream message read; the largest known one (a venue's list of all markets) has a few MB."""
# Idle connections are kept this long. A server that closes earlier is noticed before the next request leaves.
KEEP_ALIVE_SECS: Final = 30.0
WARM_CONNECTIONS: Final = 2
"""Idle connections kept ready at each address: an order need not wait behind a reading, nor for a handshake."""
WARM_SECS: Final = 10.0
"""How often they are looked after."""
READ_TRIES: Final = 4
READ_SECS: Final = 15.0
"""Longest time for one reading, all its requests and tries together."""
THROTTLED_FIRST_SECS: Final = 1.0
"""The first pause after a "too many requests" without a hint; it doubles."""
PROBES: Final = 3
OFFSET_FRESH_SECS: Final = 600.0
SKEW_PAUSE_SECS: Final = 5.0
RAW_KEPT: Final = 300
"""Characters of a venue's answer that an error keeps."""
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


@runtime_checkable
class KeepsWarm(Protocol):
    """A wire whose connections take time to make, and so can be made before an order comes."""

    async def keep_warm(self) -> NoReturn:
        """Have connections ready wherever a request went, until cancelled. Raises nothing."""
        ...


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
            await (await self._connection.ping())
        except self._failures as error:
            raise Broken(_ended(error)) from None

    async def close(self) -> None:
        await self._connection.close()


class SocketWire:
    """
    The real wire: HTTP/1.1 with kept connections and WebSockets. No proxy from the environment, no redirect, no
    cookie, no second try, certificates always checked. The libraries are loaded with the first connection, and a wire
    that was closed opens again when it is used again.
    """

    def __init__(self) -> None:
        self._transport: Transport | None = None
        self._bases: dict[str, tuple[httpx.URL, str]] = {}

    async def request(self, base_url: str, call: HttpCall, timeout_secs: float) -> HttpReply:
        import httpx

        transport = self._transport or self._open_transport()
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
                    "timeout": {"connect": timeout_secs * 0.5},
                },
            )
        except (ValueError, TypeError, httpx.InvalidURL) as error:
            # The texts of these repeat what was refused: an address or a header, perhaps a secret one.
            raise NotSent(f"the request could not be built ({type(error).__name__})") from None
        try:
            async with asyncio.timeout(timeout_secs):
                response = await transport.handle_async_request(request)
                body = await _unpacked(response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            raise NotSent(_said(error)) from None
        except TimeoutError:
            raise Broken(f"no whole answer within {timeout_secs:g} s") from None
        except Broken:
            raise
        except Exception as error:  # whatever it is, bytes may have left
            raise Broken(_said(error)) from None
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.raw}
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

    async def keep_warm(self) -> NoReturn:
        import httpx

        while True:
            for url, _ in tuple(self._bases.values()):
                # Whatever is wrong, the next request meets it, too, and tells.
                with suppress(httpx.TransportError):
                    await (self._transport or self._open_transport()).warm(url, WARM_CONNECTIONS, WARM_SECS)
            await anyio.sleep(WARM_SECS)

    async def aclose(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    def _open_transport(self) -> Transport:
        from venues.transport import Transport

        _hush()
        self._transport = Transport(self._tls_context, keep_secs=KEEP_ALIVE_SECS, max_reply_bytes=MAX_REPLY_BYTES)
        return self._transport

    def _learn_base(self, base_url: str) -> tuple[httpx.URL, str]:
        import httpx

        url = httpx.URL(base_url)
        known = self._bases[base_url] = (url, url.raw_path.decode("ascii").rstrip("/"))
        return known

    def _tls_context(self) -> ssl.SSLContext:
        return _tls_of_this_process()


@cache
def _tls_of_this_process() -> ssl.SSLContext:
    """Reading the certificates of all authorities takes some 20 ms: once, and never for loopback's plain HTTP."""
    import httpx

    context = httpx.create_ssl_context(trust_env=False)
    context.set_alpn_protocols(["http/1.1"])
    return context


async def _unpacked(response: httpx.Response) -> bytes:
    if "content-encoding" not in response.headers:
        return cast("Body", response.stream).whole
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


class Log(Protocol):
    """The part of a structlog logger that the shell uses."""

    def debug(self, event: str, /, **words: Any) -> Any: ...
    def info(self, event: str, /, **words: Any) -> Any: ...
    def warning(self, event: str, /, **words: Any) -> Any: ...
    def error(self, event: str, /, **words: Any) -> Any: ...


def trace_of(error: BaseException) -> str:
    """The traceback as plain text; a logger that prints it by itself may print local variables, keys included."""
    return "".join(traceback.format_exception(error))


class Talks:
    """
    The talks of one account with its venue over HTTP, every request signed with the venue's time just before it
    leaves, after there is room for it in the rate budget. ``offset_ms`` is the venue's clock minus ours; ``closed``
    refuses everything.
    """

    def __init__(
        self,
        dialect: Dialect,
        endpoints: Mapping[str, str],
        wire: Wire,
        clock: Clock,
        chance: Chance,
        budget: Budget,
        *,
        request_timeout_secs: float,
        log: Log,
    ) -> None:
        self.budget = budget
        self.offset_ms = 0
        self.closed = False
        self.request_timeout_secs = request_timeout_secs
        self._dialect = dialect
        self._endpoints = endpoints
        self._wire = wire
        self._clock = clock
        self._chance = chance
        self._log = log
        self._skewed = anyio.Event()

    def now_ms(self) -> int:
        """The venue's time, Unix milliseconds."""
        return self._clock.now_ms() + self.offset_ms

    def notice(self, code: str) -> None:
        """Have the clock measured again if a refusal with this code is about the clock."""
        if code == "CLOCK_SKEW":
            self._skewed.set()

    async def send(self, call: HttpCall, taken: Taken) -> HttpReply:
        """One request that has its room in the budget, sent once. Raises NotSent or Broken."""
        base = self._endpoints.get(call.host)
        if self.closed or base is None:
            raise NotSent("the connector is stopped" if self.closed else f"no address is given for {call.host!r}")
        signed = self._dialect.sign(call, self.now_ms())
        reply = await self._wire.request(base, signed, self.request_timeout_secs)
        rates = self._dialect.rates
        counts = rates.counts(call, reply)
        if counts:
            self.budget.correct(taken, counts)
        if rates.throttled(reply):
            self.budget.refuse(taken.costs, _retry_after(reply))
        return reply

    async def once(self, talk: Talk[T], use: Use = Use.READ, leaving: Callable[[], None] | None = None) -> T:
        """
        Hold a talk, each of its requests sent once; ``leaving`` is called when one is about to leave.

        Raises:
            LocalRuleError: UNREACHABLE or RATE_LIMITED - nothing was sent.
            Refused: as the dialect reads it.
            OutcomeUnknown: something was sent, and no readable answer came.
        """
        left = False

        async def ask(call: HttpCall) -> HttpReply:
            nonlocal left
            try:
                taken = await self.budget.take(use, self._dialect.rates.cost(call))
                if leaving is not None:
                    leaving()
                reply = await self.send(call, taken)
            except (NotSent, Spent) as error:
                if left:
                    raise Broken(str(error)) from None
                raise
            left = True
            return reply

        try:
            return await _hold(talk, ask)
        except NotSent as error:
            raise LocalRuleError("UNREACHABLE", str(error)) from None
        except Spent as error:
            raise LocalRuleError("RATE_LIMITED", f"nothing was sent: {error}") from None
        except Broken as error:
            raise OutcomeUnknown("IN_DOUBT", str(error)) from None
        except WireError as error:
            raise OutcomeUnknown("UNREADABLE", error.hint, raw=error.raw) from error
        except VenueError as error:
            self.notice(error.code)
            raise

    async def read(self, begin: Callable[[], Talk[T]], use: Use = Use.READ) -> T:
        """
        Hold a talk that only reads: its requests are tried again after a broken connection, a 5xx or a "too many
        requests" in the venue's own form, whatever their method (Hyperliquid reads with POST), and the whole of it
        after the clock was off. "Too many requests" has the patience of ``use``: room comes with time, not with tries.

        Raises:
            LocalRuleError: UNREACHABLE - no connection could be made.
            Refused: as the dialect reads it.
            OutcomeUnknown: no whole and readable answer in time; it proves nothing. RATE_LIMITED: the rate budget
                had no room soon enough.
        """
        left = False

        async def ask(call: HttpCall) -> HttpReply:
            nonlocal left
            waits, pauses = backoff(self._chance), backoff(self._chance, first_secs=THROTTLED_FIRST_SECS)
            tries, pause, give_up = 0, 0.0, math.inf
            while True:
                # The time limit is for the venue, not for our own caution, which has its own.
                left_secs, limit.deadline = limit.deadline - anyio.current_time(), math.inf
                if pause:
                    await self._clock.sleep(pause)
                taken = await self.budget.take(use, self._dialect.rates.cost(call))
                limit.deadline = anyio.current_time() + left_secs
                pause = hint = 0.0
                try:
                    reply = await self.send(call, taken)
                except NotSent as error:
                    failure: Exception = Broken(str(error)) if left else error
                except Broken as error:
                    left, failure = True, error
                else:
                    left = True
                    throttled = self._dialect.rates.throttled(reply)
                    if reply.status < 500 and not throttled:
                        return reply
                    failure, hint = _no_answer(call, reply, throttled), _retry_after(reply)
                    if throttled:
                        now = self._clock.monotonic()
                        give_up = min(give_up, now + PATIENCE_SECS[use])
                        pause = max(hint, min(next(pauses), give_up - now))
                        if now >= give_up or now + hint > give_up or self.closed:
                            raise failure
                        # Without the query: it may carry a signature.
                        asked = f"{call.method} {call.path.partition('?')[0]}"
                        self._log.warning("rate_limited", asked=asked, again_secs=round(pause, 1))
                        continue
                tries, wait = tries + 1, max(hint, next(waits))
                if tries == READ_TRIES or wait >= READ_SECS or self.closed:
                    raise failure
                await self._clock.sleep(wait)

        try:
            with anyio.fail_after(READ_SECS) as limit:
                try:
                    return await _hold(begin(), ask)
                except Refused as error:
                    if error.code != "CLOCK_SKEW":
                        raise
                    await self.measure()
                    return await _hold(begin(), ask)
        except NotSent as error:
            raise LocalRuleError("UNREACHABLE", str(error)) from None
        except Spent as error:
            raise OutcomeUnknown("RATE_LIMITED", f"the reading was not asked for: {error}") from None
        except Broken as error:
            raise OutcomeUnknown("VENUE_UNAVAILABLE", f"the reading failed: {error}") from None
        except TimeoutError:
            raise OutcomeUnknown("VENUE_UNAVAILABLE", f"the reading took more than {READ_SECS:g} s") from None
        except WireError as error:
            raise OutcomeUnknown("UNREADABLE", error.hint, raw=error.raw) from error

    async def measure(self) -> None:
        """
        Measure the venue's clock. Of a few probes the one with the shortest round trip counts, read in its middle.

        Raises:
            VenueError: no probe was answered.
        """
        shortest: tuple[float, int] | None = None
        failure: VenueError | None = None
        began, sent_ms = 0.0, 0

        def leaving() -> None:
            nonlocal began, sent_ms
            began, sent_ms = self._clock.monotonic(), self._clock.now_ms()

        for _ in range(PROBES):
            try:
                venue_ms = await self.once(self._dialect.server_time(), leaving=leaving)
            except VenueError as error:
                failure = error
                continue
            trip, middle_ms = self._clock.monotonic() - began, (sent_ms + self._clock.now_ms()) // 2
            if shortest is None or trip < shortest[0]:
                shortest = (trip, venue_ms - middle_ms)
        if shortest is None:
            assert failure is not None
            raise failure
        self.offset_ms = shortest[1]

    async def keep_time(self) -> NoReturn:
        """Measure again every ten minutes, and soon after the venue refused something for its time."""
        while True:
            with anyio.move_on_after(OFFSET_FRESH_SECS):
                await self._skewed.wait()
            try:
                await self.measure()
                self._log.info("clock_measured", offset_ms=self.offset_ms)
            except VenueError as error:
                self._log.warning("clock_not_measured", code=error.code, why=error.hint)
            self._skewed = anyio.Event()
            # A venue that refuses every request for its time must not be asked for it all the time.
            await self._clock.sleep(SKEW_PAUSE_SECS)


async def _hold(talk: Talk[T], ask: Callable[[HttpCall], Awaitable[HttpReply]]) -> T:
    try:
        call = next(talk)
        while True:
            call = talk.send(await ask(call))
    except StopIteration as end:
        return cast("T", end.value)
    except (VenueError, NotSent, Broken, Spent):
        raise
    except Exception as error:
        raise WireError("UNREADABLE", f"the answer could not be read ({type(error).__name__})") from error
    finally:
        talk.close()


def _no_answer(call: HttpCall, reply: HttpReply, throttled: bool) -> OutcomeUnknown:
    code = "RATE_LIMITED" if throttled else "VENUE_UNAVAILABLE"
    # Without the query: it may carry a signature.
    hint = f"{call.method} {call.path.partition('?')[0]} was answered with HTTP {reply.status}"
    return OutcomeUnknown(code, hint, raw=reply.body[:RAW_KEPT].decode("utf-8", "replace"))


def _retry_after(reply: HttpReply) -> float:
    """Seconds; 0 where the header is absent or a date."""
    text = reply.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0.0
