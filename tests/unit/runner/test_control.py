"""The halt endpoint of a run: who may ask it, what it refuses, and the file that tells where it is."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from core.secrets import VAULT
from runner.control import CONTROL_FILE, MOST_BODY_BYTES, Control, held

pytestmark = pytest.mark.sockets


class Run:
    """What the endpoint is asked about."""

    def __init__(self) -> None:
        self.halts: list[tuple[str, bool]] = []

    def state(self) -> dict[str, Any]:
        return {"halted": bool(self.halts), "venues": {}}

    def halt(self, by: str, flatten: bool) -> None:
        self.halts.append((by, flatten))


async def say(port: int, raw: bytes) -> tuple[int, dict[str, str], Any]:
    """One request as bytes; status, headers and JSON of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), json.loads(body)


def request(method: str, path: str, token: str, body: bytes = b"", **headers: str) -> bytes:
    fields = {"host": "127.0.0.1:1", "authorization": f"Bearer {token}", "content-length": str(len(body))} | headers
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items() if value)
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def serving(folder: Path, story: Callable[[Run, int, str], Any]) -> Run:
    run = Run()

    async def main() -> None:
        with anyio.fail_after(5):
            async with Control(run.state, run.halt).serve(folder, 0, {"dead_man_secs": {"okx": 30}}):
                told = json.loads((folder / CONTROL_FILE).read_text())
                await story(run, int(told["url"].rpartition(":")[2]), told["token"])

    anyio.run(main)
    return run


def test_the_file_is_private_and_goes_with_the_run(tmp_path: Path):
    """[client] 0600, with address, token, pid and the venues' dead-man's switches; removed at the end."""
    file = tmp_path / CONTROL_FILE

    async def story(run: Run, port: int, token: str) -> None:
        told = json.loads(file.read_text())
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert told == {
            "url": f"http://127.0.0.1:{port}",
            "token": token,
            "pid": os.getpid(),
            "locked": True,
            "dead_man_secs": {"okx": 30},
        }
        assert held(file) is True
        assert len(token) >= 32
        assert VAULT.mask(f"Bearer {token}") == "Bearer •••"

    serving(tmp_path, story)
    assert not file.exists()


def test_halt_and_state_are_answered_with_the_state(tmp_path: Path):
    """[client] POST /halt halts once asked, with or without flatten; GET /state tells."""

    async def story(run: Run, port: int, token: str) -> None:
        assert await say(port, request("GET", "/state", token)) == (
            200,
            {
                "content-type": "application/json",
                "content-length": "31",
                "cache-control": "no-store",
                "connection": "close",
            },
            {"halted": False, "venues": {}},
        )
        status, _, told = await say(port, request("POST", "/halt", token, b'{"flatten": true}'))
        assert (status, told["halted"]) == (200, True)
        await say(port, request("POST", "/halt", token, b'{"flatten": false, "by": "command"}', host="localhost:9"))
        await say(port, request("POST", "/halt", token))

    run = serving(tmp_path, story)
    assert run.halts == [("endpoint", True), ("command", False), ("endpoint", False)]


REFUSED: list[Any] = [
    ("a wrong token", lambda token: request("POST", "/halt", "x" * len(token), b"{}"), 401),
    ("no token", lambda token: request("POST", "/halt", "", b"{}", authorization=""), 401),
    ("another scheme", lambda token: request("POST", "/halt", "", authorization=f"Basic {token}"), 401),
    ("a half token", lambda token: request("POST", "/halt", token[:-1], b"{}"), 401),
    ("a name that was pointed here", lambda token: request("POST", "/halt", token, b"{}", host="evil.example:1"), 403),
    ("no host", lambda token: request("POST", "/halt", token, b"{}", host=""), 403),
    ("a web page", lambda token: request("POST", "/halt", token, b"{}", origin="http://127.0.0.1:1"), 403),
    ("another path", lambda token: request("GET", "/", token), 404),
    ("the wrong method", lambda token: request("GET", "/halt", token), 405),
    ("no JSON", lambda token: request("POST", "/halt", token, b"flatten"), 400),
    ("a list", lambda token: request("POST", "/halt", token, b"[]"), 400),
    ("a word for a truth", lambda token: request("POST", "/halt", token, b'{"flatten": "yes"}'), 400),
    ("somebody else", lambda token: request("POST", "/halt", token, b'{"by": "the moon"}'), 400),
    ("deep nesting", lambda token: request("POST", "/halt", token, b"[" * 1000), 400),
    ("too large a body", lambda token: request("POST", "/halt", token, b" " * (MOST_BODY_BYTES + 1)), 413),
    ("too large a head", lambda token: request("GET", "/state", token, x="y" * 9_000), 413),
    ("chunks", lambda token: request("POST", "/halt", token, b"{}", transfer_encoding="chunked"), 400),
    ("no number", lambda token: request("POST", "/halt", token, content_length="-1"), 400),
    ("a header twice", lambda token: request("GET", "/state", token)[:-2] + b"Host: 127.0.0.1:1\r\n\r\n", 400),
    ("old HTTP", lambda token: request("GET", "/state", token).replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
    ("no HTTP", lambda token: b"hello\r\n\r\n", 400),
    ("no text", lambda token: b"\xff\xfe\r\n\r\n", 400),
]


@pytest.mark.parametrize(("what", "made", "status"), REFUSED, ids=[row[0] for row in REFUSED])
def test_whatever_is_not_exactly_that_is_refused_and_halts_nothing(what: str, made: Any, status: int, tmp_path: Path):
    """[ours] Each with its status; the token is never in an answer."""

    async def story(run: Run, port: int, token: str) -> None:
        found, _, told = await say(port, made(token))
        assert found == status
        assert token not in json.dumps(told)

    assert serving(tmp_path, story).halts == []


def test_a_client_that_says_half_a_request_and_leaves_costs_nothing(tmp_path: Path):
    """[ours] The next one is answered."""

    async def story(run: Run, port: int, token: str) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("POST", "/halt", token, b"{}")[:-1])
        writer.close()
        assert (await say(port, request("GET", "/state", token)))[0] == 200

    assert serving(tmp_path, story).halts == []
