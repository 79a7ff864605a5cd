"""What SECURITY.md promises, where no other test holds it; and that each of its claims names a test that exists."""

from __future__ import annotations

import argparse
import ast
import asyncio
import contextlib
import datetime
import ipaddress
import re
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from core.clock import SystemClock
from runner.command import make_parser
from runner.heartbeat import HttpPost
from runner.sims import simulators
from venues import VENUES, open_room
from venues.dialect import HttpCall
from venues.errors import LocalRuleError
from venues.wire import Broken, NotSent, SocketWire

ROOT = Path(__file__).resolve().parents[2]
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
ROOMS = ("app", "runner", "reports", "steps", "strategy", "execution", "venues", "core", "schemas", "scripts")
CODE = {
    path.relative_to(ROOT): path.read_text(encoding="utf-8") for room in ROOMS for path in (ROOT / room).rglob("*.py")
}


# -- the page


def test_every_claim_names_a_test_that_exists():
    """[client] SECURITY.md: the last cell of each row is a test of ours, by file and name."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", SECURITY)
    part = SECURITY.partition("## What is enforced")[2].partition("\n## ")[0]
    rows = [line for line in part.splitlines() if line.startswith("| ")][2:]
    assert len(rows) >= 20
    assert [row for row in rows if "tests/" not in row.split("|")[-2]] == []
    missing = []
    for file, test in named:
        path = ROOT / file
        tree = ast.parse(path.read_text(encoding="utf-8")) if path.exists() else ast.Module([], [])
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        if test not in names:
            missing.append(f"{file}::{test}")
    assert missing == []


def test_the_page_is_short_and_both_readmes_lead_to_it():
    """[client] At most 120 lines; reporting and what is not defended have parts of their own."""
    assert len(SECURITY.splitlines()) <= 120
    for heading in ("## How to report", "## What is not defended", "## Threat model", "## What is enforced"):
        assert heading in SECURITY
    for page in ("README.md", "README.zh-CN.md"):
        assert "(SECURITY.md)" in (ROOT / page).read_text(encoding="utf-8")


# -- certificates


LOOSE = {
    "verification switched off": re.compile(r"verify\s*=\s*(False|0|None)\b"),
    "no certificate demanded": re.compile(r"CERT_(NONE|OPTIONAL)"),
    "names not checked": re.compile(r"check_hostname\s*=\s*False"),
    "a context that checks nothing": re.compile(r"_create_(unverified|stdlib)_context|_create_default_https_context"),
    "a stream without TLS settings": re.compile(r"\bssl\s*=\s*False"),
    "the environment trusted": re.compile(r"trust_env\s*=\s*True"),
    "a bare context": re.compile(r"SSLContext\("),
}


@pytest.mark.parametrize("what", list(LOOSE))
def test_no_line_of_the_program_can_switch_certificate_checks_off(what):
    """[client] No setting, flag or branch: the words do not occur in any room or script."""
    assert len(CODE) > 100
    assert [str(path) for path, text in CODE.items() if LOOSE[what].search(text)] == []


def test_the_search_for_loose_words_finds_them():
    """[ours] The test above can fail."""
    loose = (
        "AsyncClient(verify=False)", "context.verify_mode = ssl.CERT_NONE", "context.check_hostname = False",
        "ssl._create_unverified_context()", "open_connection(host, ssl=False)", "Client(trust_env=True)",
        "ssl.SSLContext(ssl.PROTOCOL_TLS)",
    )  # fmt: skip
    assert [next(what for what, pattern in LOOSE.items() if pattern.search(line)) for line in loose] == list(LOOSE)


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory) -> Path:
    """A certificate for 127.0.0.1 and localhost that nobody vouches for, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2090, 1, 1, tzinfo=datetime.UTC))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    return path


@contextlib.asynccontextmanager
async def tls_server(certificate: Path, heard: list[bytes]) -> AsyncIterator[int]:
    """Answers 200 to whatever it hears, once somebody has accepted its certificate."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            heard.append(await reader.read(4_096))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            await writer.drain()
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.sockets
async def test_a_certificate_that_nobody_vouches_for_gets_no_request_no_stream_and_no_beat(self_signed):
    """[client] HTTP, WebSocket and heartbeat: refused before the first byte of a request, key or token leaves."""
    heard: list[bytes] = []
    wire, post = SocketWire(), HttpPost()
    with anyio.fail_after(10):
        async with tls_server(self_signed, heard) as port:
            call = HttpCall("POST", "/order", headers=(("x-api-key", "secret"),), body=b"secret")
            with pytest.raises((NotSent, Broken)):
                await wire.request(f"https://127.0.0.1:{port}", call, 4)
            with pytest.raises((NotSent, Broken)):
                await wire.connect(f"wss://127.0.0.1:{port}/ws", 4)
            with pytest.raises(httpx.HTTPError):
                await post(f"https://127.0.0.1:{port}/beat", b"{}", {"authorization": "secret"})
            assert [text for text in heard if text] == []
            # The server does answer those who trust it.
            trusting = ssl.create_default_context(cafile=str(self_signed))
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
            writer.write(b"hello")
            assert (await reader.read(15)).startswith(b"HTTP/1.1 200")
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
        await wire.aclose()
        await post.aclose()
    assert [text for text in heard if text] == [b"hello"]


@pytest.mark.parametrize("venue", VENUES)
def test_every_real_address_is_encrypted(venue):
    """[client] live and testnet of each room: https and wss, nothing else."""
    found = [*open_room(venue).endpoints("live", None).values()]
    # Not every exchange has a test network.
    with contextlib.suppress(LocalRuleError):
        found += open_room(venue).endpoints("testnet", None).values()
    assert len(found) >= 2
    assert {address.partition("://")[0] for address in found} <= {"https", "wss"}


# -- loopback


@pytest.mark.sockets
async def test_simulators_listen_on_loopback_and_nowhere_else(monkeypatch):
    """[client] Every socket that `runner sim serve` binds has a loopback address."""
    bound, real = [], socket.socket.bind

    def bind(self, address):
        bound.append(address[0])
        return real(self, address)

    monkeypatch.setattr(socket.socket, "bind", bind)
    with anyio.fail_after(15):
        async with simulators(tuple(VENUES)[:1], clock=SystemClock(), seed=1) as lines:
            assert list(lines) == list(VENUES)[:1]
    assert len(bound) == 1
    assert all(ipaddress.ip_address(host).is_loopback for host in bound)


def test_no_flag_opens_a_simulator_to_the_network():
    """[client] There is no --host; and no line of the program names an address that means everywhere."""
    commands = make_parser()._subparsers._group_actions[0].choices
    serve = next(a for a in commands["sim"]._actions if isinstance(a, argparse._SubParsersAction)).choices["serve"]
    flags = {
        flag for parser in (*commands.values(), serve) for action in parser._actions for flag in action.option_strings
    }
    assert "--port-base" in flags
    assert not {flag for flag in flags if "host" in flag or "bind" in flag or "listen" in flag}
    everywhere = re.compile(r"[\"'](0\.0\.0\.0|::|\[::\])[\"']")
    assert [str(path) for path, text in CODE.items() if everywhere.search(text)] == []


# -- what a file may make the program do


def test_no_file_can_make_the_program_run_code():
    """[ours] No eval, no pickle, no shell, no full YAML loader: scenarios, configs, runs and reports are data."""
    banned = {"eval", "exec", "compile", "__import__"}
    found = []
    for path, text in CODE.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in banned:
                found.append(f"{path}:{node.lineno} {node.func.id}")
            elif isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                if names & {"pickle", "marshal", "shelve", "subprocess"} and path.parts[0] != "scripts":
                    found.append(f"{path}:{node.lineno} {names}")
    assert found == []
    unsafe = re.compile(r"YAML\((?!typ=\"safe\")|yaml\.(load|unsafe_load)\(")
    assert [str(path) for path, text in CODE.items() if unsafe.search(text)] == []
