"""
How a run is stopped from outside: an HTTP endpoint on loopback, and the file in the run folder that says where.

``POST /halt`` with ``{"flatten": bool}`` and ``GET /state``, each with ``Authorization: Bearer <token>``. One request a
connection, small and plain; whatever is not exactly that is refused. The token is known to nobody but the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.chance import entropy
from core.clock import Clock
from core.log import get
from core.secrets import VAULT
from runner.outcome import Halted

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from runner.events import EventLog
    from runner.plan import Plan
    from runner.run import Interruption, Reached

log = get(__name__)

CONTROL_FILE: Final = "control.json"
HOST: Final = "127.0.0.1"
MOST_HEAD_BYTES: Final = 8_192
MOST_BODY_BYTES: Final = 1_024
REQUEST_SECS: Final = 5.0
"""A client that takes longer to say what it wants is cut off."""
_TOKEN_BYTES: Final = 32
_WORDS: Final[Mapping[int, str]] = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
}
_PATHS: Final[Mapping[str, str]] = {"/halt": "POST", "/state": "GET"}

State = Mapping[str, Any]
"""What is live and held, by venue; JSON values only."""


class _Refusal(Exception):
    def __init__(self, status: int, why: str) -> None:
        super().__init__(status, why)
        self.status = status
        self.why = why


class Control:
    """
    The endpoint of one run.

    Args:
        state: What ``GET /state`` tells.
        halt: Halts the run: ``(by, flatten)``, where ``by`` is ``endpoint`` or ``command``.
    """

    def __init__(self, state: Callable[[], State], halt: Callable[[str, bool], None]) -> None:
        self._state = state
        self._halt = halt
        self._token = entropy(_TOKEN_BYTES).hex()
        VAULT.remember(self._token)

    @contextlib.asynccontextmanager
    async def serve(self, folder: Path, port: int, facts: Mapping[str, Any]) -> AsyncIterator[None]:
        """
        Listen while the block runs; ``folder`` then holds control.json, which nobody else on the machine can read, and
        which stays locked until this process lets it go or dies: see :func:`held`.

        Args:
            port: 0 takes a free one.
            facts: What else stands in the file, for who finds it when the run does not answer any more.

        Raises:
            OSError: the port is taken, or the file cannot be written.
        """
        server = await asyncio.start_server(self._talk, HOST, port, limit=MOST_HEAD_BYTES)
        file = folder / CONTROL_FILE
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as out, contextlib.ExitStack() as end:
                # Removed while it is still locked: a file that is there and free belongs to a process that died.
                end.callback(file.unlink, missing_ok=True)
                told = {
                    "url": f"http://{HOST}:{server.sockets[0].getsockname()[1]}",
                    "token": self._token,
                    "pid": os.getpid(),
                    "locked": _lock(descriptor),
                    **facts,
                }
                json.dump(told, out)
                out.flush()
                yield
        finally:
            server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECS):
                try:
                    status, told = 200, await self._answer(reader)
                except _Refusal as no:
                    status, told = no.status, {"error": no.why}
                body = json.dumps(told).encode()
                head = (
                    f"HTTP/1.1 {status} {_WORDS[status]}\r\ncontent-type: application/json\r\n"
                    f"content-length: {len(body)}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
                )
                writer.write(head.encode("ascii") + body)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            log.debug("control request lost", why=type(error).__name__)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> State:
        method, path, headers = _read_head(await _head(reader))
        # A web page whose name was pointed at this address still sends its own name.
        if headers.get("host", "").rpartition(":")[0] not in (HOST, "localhost"):
            raise _Refusal(403, "only loopback may ask")
        if "origin" in headers:
            raise _Refusal(403, "not for web pages")
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.encode(), self._token.encode()):
            raise _Refusal(401, "the token of control.json is wanted")
        if path not in _PATHS:
            raise _Refusal(404, "there are /halt and /state")
        if method != _PATHS[path]:
            raise _Refusal(405, f"{path} wants {_PATHS[path]}")
        if path == "/halt":
            by, flatten = _wanted(await _body(reader, headers))
            self._halt(by, flatten)
        return self._state()


def held(file: Path) -> bool | None:
    """
    Whether the process that wrote this control.json, and locked it, lives. Its number says nothing: the system gives
    it to another process one day.

    Returns:
        None where nobody can tell: the file is gone with the end of its run, or cannot be locked here.
    """
    if fcntl is None:  # pragma: no cover - Windows
        return None
    try:
        with file.open("rb") as known:
            # Shared, so that two who look at once do not take each other for the owner.
            fcntl.flock(known, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False if file.exists() else None
    except BlockingIOError:
        return True
    except OSError:
        return None


def _lock(descriptor: int) -> bool:
    """Lock an open file to the end of this process; False where nothing can be locked."""
    if fcntl is None:  # pragma: no cover - Windows
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextlib.asynccontextmanager
async def listening(
    folder: Path,
    plan: Plan,
    reach: Callable[[str], Awaitable[Reached]],
    interruption: Interruption,
    events: EventLog,
    clock: Clock,
    *,
    port: int | None,
    own_sims: bool,
) -> AsyncIterator[None]:
    """
    Let a run be halted while the block runs; a port that is taken costs that, and a note, and not the run.

    Args:
        port: None: the run cannot be halted.
        own_sims: The simulators end with this process, and so does all that was open there.
    """

    def halt(by: str, flatten: bool) -> None:
        closing = "closing positions" if flatten else "positions stay open"
        events.say(
            "interrupted", text=f"halted by hand ({by}): no new orders, cancelling all, {closing}", signal="halt"
        )
        interruption.halt(
            Halted(by="command" if by == "command" else "endpoint", at_ms=clock.now_ms(), flatten=flatten)
        )

    async with contextlib.AsyncExitStack() as stack:
        if port is not None:
            abilities = {venue: (await reach(venue)).venue.abilities for venue in plan.venues}
            facts = {
                "own_sims": own_sims,
                "dead_man_secs": {venue: own.dead_man_secs for venue, own in abilities.items()},
            }
            try:
                await stack.enter_async_context(Control(interruption.state, halt).serve(folder, port, facts))
            except OSError as error:
                events.say("note", text=f"`runner halt` cannot reach this run: {error.strerror or error}")
        yield


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise _Refusal(413, "the request is too large") from None


def _read_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    """``(method, path, headers)``; names are lower-case, and no header may come twice."""
    try:
        first, *lines = head.decode("ascii").removesuffix("\r\n\r\n").split("\r\n")
        method, path, version = first.split(" ")
    except ValueError:
        raise _Refusal(400, "this is no HTTP request") from None
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not name or name != name.strip() or name in headers:
            raise _Refusal(400, "a header cannot be read")
        headers[name] = value.strip()
    if version != "HTTP/1.1" or "transfer-encoding" in headers:
        raise _Refusal(400, "HTTP/1.1 with a content-length is wanted")
    return method, path, headers


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise _Refusal(400, "the content-length is no number")
    if len(text) > 9 or int(text) > MOST_BODY_BYTES:
        raise _Refusal(413, "the request is too large")
    return await reader.readexactly(int(text))


def _wanted(body: bytes) -> tuple[str, bool]:
    try:
        given = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise _Refusal(400, "the body is no JSON") from None
    by, flatten = (given.get("by", "endpoint"), given.get("flatten", False)) if isinstance(given, dict) else ("", None)
    if not isinstance(flatten, bool) or by not in ("endpoint", "command"):
        raise _Refusal(400, 'the body is {"flatten": true} or {"flatten": false}')
    return by, flatten
