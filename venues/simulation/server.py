"""
The socket shell: each simulator on a port of its own, HTTP and WebSocket on any path, on loopback only.

uvicorn and starlette are imported when a server is made, not before. A lost reply is a connection that is closed
without an answer, which an ASGI application cannot ask for; so each connection hands its way out to the application
in ``scope["state"]``.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import anyio

from venues.simulation.app import Reply, Request
from venues.simulation.gate import ABNORMAL, Dropped, FaultGate

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send
    from uvicorn import Server

HOST: Final = "127.0.0.1"
# Backpack's sheet, "Keep-alive": a Ping every 60 s, the connection is closed after 120 s without a Pong.
_PING_SECS: Final = 60.0
_PONG_SECS: Final = 120.0
# Longer than any client keeps an idle connection, so that no request meets one that is just being closed.
_KEEP_ALIVE_SECS: Final = 300
_STOP_SECS: Final = 1


class Addresses(NamedTuple):
    """Where one simulator listens: base URLs without a closing slash."""

    rest: str
    ws: str


@contextlib.asynccontextmanager
async def serve(gates: Mapping[str, FaultGate], port_base: int | None = None) -> AsyncIterator[Mapping[str, Addresses]]:
    """
    Serve the simulators, and drive them, while the block runs. All ports listen when the block begins.

    Args:
        port_base: Port of the first venue, the others follow in order; None or 0 takes free ports.

    Raises:
        OSError: A port is taken; the text names it.
    """
    with contextlib.ExitStack() as opened:
        listeners = {
            venue: opened.enter_context(_listener(port_base + place if port_base else 0))
            for place, venue in enumerate(gates)
        }
        shells = {venue: _Shell(gate, listeners[venue]) for venue, gate in gates.items()}
        failure: Exception | None = None
        async with anyio.create_task_group() as servers:
            try:
                for shell in shells.values():
                    servers.start_soon(shell.run)
                for shell in shells.values():
                    await shell.ready.wait()
                yield {venue: _addresses(listener) for venue, listener in listeners.items()}
            except Exception as error:
                # The block's own error leaves as it is, not wrapped in a group.
                failure = error
            finally:
                for shell in shells.values():
                    shell.stop()
        if failure is not None:
            raise failure


def _listener(port: int) -> socket.socket:
    # asyncio switches Nagle's algorithm off only where the protocol number says TCP; with it a reply waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"port {port} on {HOST} cannot be used: {error.strerror}") from error
    return listener


def _addresses(listener: socket.socket) -> Addresses:
    port = listener.getsockname()[1]
    return Addresses(f"http://{HOST}:{port}", f"ws://{HOST}:{port}")


class _Shell:
    """One uvicorn server around one gate."""

    def __init__(self, gate: FaultGate, listener: socket.socket) -> None:
        self.ready = anyio.Event()
        self.left = anyio.Event()
        self._gate = gate
        self._listener = listener
        self._under_way: set[anyio.CancelScope] = set()
        self._server = _uvicorn_server(self)

    async def run(self) -> None:
        # Shielded: a cancelled block still closes its connections in order; stop() ends this.
        with anyio.CancelScope(shield=True):
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._gate.drive)
                    await self._server.serve([self._listener])
                    tasks.cancel_scope.cancel()
            finally:
                for listening in getattr(self._server, "servers", ()):
                    listening.close()
                for connection in list(self._server.server_state.connections):
                    connection.transport.abort()

    def stop(self) -> None:
        self._server.should_exit = True
        self.left.set()
        for scope in self._under_way:
            scope.cancel()

    def date(self) -> bytes:
        """The value of a Date header."""
        return formatdate(self._gate.clock.now_ms() / 1000, usegmt=True).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._stream(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.requests import Request as HttpRequest
        from starlette.responses import Response

        asked = HttpRequest(scope, receive)
        request = Request(
            asked.method,
            scope["raw_path"].decode("ascii"),
            scope["query_string"].decode("latin-1"),
            dict(asked.headers),
            await asked.body(),
        )
        answer: Reply | Dropped = Dropped("the server stops")
        with anyio.CancelScope() as under_way:
            self._under_way.add(under_way)
            try:
                answer = await self._gate.http(request)
            finally:
                self._under_way.remove(under_way)
        if isinstance(answer, Dropped):
            scope["state"]["abort"]()
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await Response(answer.body, answer.status, dict(answer.headers))(scope, receive, send)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.websockets import WebSocket, WebSocketDisconnect

        websocket = WebSocket(scope, receive, send)
        await websocket.accept()
        query = scope["query_string"].decode("latin-1")
        path = scope["raw_path"].decode("ascii") + (f"?{query}" if query else "")
        connection = scope["state"]["connection"]
        outlet = _Outlet(connection.tell)
        stream = self._gate.ws_open(outlet, path, dict(websocket.headers))
        connection.muted = lambda: stream.silent

        async def end() -> None:
            ending = await outlet.ending
            connection.write()
            if ending.code == ABNORMAL:
                scope["state"]["abort"]()
            else:
                await websocket.close(ending.code, ending.reason)

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(end)
                while (message := await websocket.receive())["type"] == "websocket.receive":
                    text = message.get("text")
                    stream.text(text if text is not None else message["bytes"].decode(errors="replace"))
                tasks.cancel_scope.cancel()
        except* WebSocketDisconnect:
            # The client left while something was being written to it.
            pass
        finally:
            stream.closed()


class _Ending(NamedTuple):
    code: int
    reason: str


class _Outlet:
    """The gate's outgoing peer."""

    def __init__(self, tell: Callable[[str | bytes], None]) -> None:
        self.send = tell
        self.ending: asyncio.Future[_Ending] = asyncio.get_running_loop().create_future()

    def close(self, code: int = 1000, reason: str = "") -> None:
        if not self.ending.done():
            self.ending.set_result(_Ending(code, reason))


def _uvicorn_server(shell: _Shell) -> Server:
    from uvicorn import Config, Server
    from uvicorn.protocols.http.h11_impl import H11Protocol
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
    from websockets.protocol import State

    class HttpConnection(H11Protocol):
        def __init__(self, config: Config, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
            super().__init__(config, server_state, {**app_state, "abort": self.abort}, _loop)

        def data_received(self, data: bytes) -> None:
            self.server_state.default_headers = [(b"date", shell.date())]
            super().data_received(data)

        def abort(self) -> None:
            self.transport.abort()

    class StreamConnection(WebSocketsSansIOProtocol):
        def __init__(self, config: Config, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
            super().__init__(config, server_state, {**app_state, "connection": self}, _loop)
            self.muted: Callable[[], bool] = lambda: False
            self._frames: list[bytes] = []

        def tell(self, text: str | bytes) -> None:
            """Send with the loop's next turn, all of a turn in one piece: three messages then cost a third less."""
            if self.conn.state is not State.OPEN:
                return
            if isinstance(text, str):
                self.conn.send_text(text.encode())
            else:
                self.conn.send_binary(text)
            if not self._frames:
                self.loop.call_soon(self.write)
            self._frames += self.conn.data_to_send()

        def write(self) -> None:
            """Send what waits."""
            frames, self._frames = self._frames, []
            if frames and not self.transport.is_closing():
                self.transport.write(b"".join(frames))

        def handle_ping(self) -> None:
            if self.muted():
                # The protocol has its Pong ready; taken and not written, it is lost.
                self.conn.data_to_send()
            else:
                super().handle_ping()

        def send_keepalive_ping(self) -> None:
            if self.muted():
                self.schedule_ping()
            else:
                super().send_keepalive_ping()

    class QuietServer(Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            # Signals belong to the host program.
            yield

        async def main_loop(self) -> None:
            # uvicorn looks ten times a second whether it should leave: with a thousand servers that is most of what
            # an idle one costs.
            await shell.left.wait()

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            shell.ready.set()

    return QuietServer(
        Config(
            shell,
            http=HttpConnection,
            ws=StreamConnection,
            ws_ping_interval=_PING_SECS,
            ws_ping_timeout=_PONG_SECS,
            ws_per_message_deflate=False,
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            timeout_keep_alive=_KEEP_ALIVE_SECS,
            timeout_graceful_shutdown=_STOP_SECS,
        )
    )
