"""Every venue's room looks the same from outside: same files, same front door, same promises."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from core.chance import Chance
from core.clock import VirtualClock, run_virtual
from venues import VENUES, open_room
from venues.dialect import Dialect
from venues.errors import LocalRuleError
from venues.interface import Abilities
from venues.simulation import SIMULATORS, open_simulator
from venues.simulation.app import VenueApp

ROOT = Path(__file__).resolve().parents[3]
FILES = {
    *("__init__.py", "facts.py", "sign.py", "encode.py", "decode.py", "refusals.py", "dialect.py", "simulator.py"),
    "README.md",
}
FRONT_DOOR = ["CREDENTIALS", "canonical", "endpoints", "make_dialect", "venue_symbol"]
every_room = pytest.mark.parametrize("venue", list(VENUES))


def members(protocol: type) -> list[str]:
    """Public names that a protocol asks for."""
    return sorted(
        {name for name in vars(protocol) if not name.startswith("_")}
        | {name for name in getattr(protocol, "__annotations__", {}) if not name.startswith("_")}
    )


def line_of(venue: str) -> dict:
    async def ask() -> dict:
        return open_simulator(venue, clock=VirtualClock(), chance=Chance("rooms")).bootstrap("http://x", "ws://x")

    return run_virtual(ask())


def dialect_of(venue: str) -> Dialect:
    line = line_of(venue)
    room = open_room(venue)
    keys = {name: str(value) for name, value in line["credentials"].items()}
    return room.make_dialect(keys, room.endpoints("sim", line))


@every_room
def test_every_room_has_the_same_files(venue: str):
    """[ours] The eight files and a README; more only under names that begin with one of theirs."""
    folder = Path(str(importlib.import_module(VENUES[venue]).__file__)).parent
    found = {path.name for path in folder.iterdir() if path.name != "__pycache__"}
    assert found >= FILES
    stems = tuple(Path(file).stem for file in FILES)
    assert [file for file in found - FILES if not file.startswith(stems)] == []


@every_room
def test_the_front_door_of_every_room_is_the_same(venue: str):
    """[ours] __all__ is the five names of venues.Room, with the same parameters, in at most 40 lines."""
    module = importlib.import_module(VENUES[venue])
    assert sorted(module.__all__) == FRONT_DOOR
    assert list(inspect.signature(module.make_dialect).parameters) == ["credentials", "endpoints"]
    assert list(inspect.signature(module.endpoints).parameters) == ["on", "sim"]
    assert list(inspect.signature(module.venue_symbol).parameters) == ["base", "kind"]
    assert list(inspect.signature(module.canonical).parameters) == ["symbol"]
    text = Path(str(module.__file__)).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40


@every_room
def test_opening_a_room_loads_neither_network_nor_another_room(venue: str):
    """[ours] A play on one exchange never pays for the others, and a dialect knows no socket."""
    words = (
        f"import sys; from venues import open_room; room = open_room({venue!r}); room.venue_symbol('SOL', 'perp');"
        "print('\\n'.join(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(done.stdout.split())
    others = {module for name, module in VENUES.items() if name != venue}
    heavy = {"httpx", "websockets", "uvicorn", "starlette", "ccxt", "venues.connector", "venues.simulation"}
    assert loaded & (others | heavy) == set()


@every_room
def test_every_dialect_keeps_the_whole_protocol(venue: str):
    """[ours] Each name of venues.dialect.Dialect is there; its abilities are within the contract's limits."""
    dialect = dialect_of(venue)
    assert [name for name in members(Dialect) if not hasattr(dialect, name)] == []
    assert dialect.name == venue
    abilities = dialect.abilities
    assert isinstance(abilities, Abilities)
    assert abilities.order_entry in ("rest", "ws")
    assert abilities.max_client_id >= 2**31
    assert 0 < abilities.expiry_ms <= 5_000
    assert 0 <= abilities.read_lag_ms <= 60_000
    assert abilities.quotes
    names = [line.name for line in dialect.lines()]
    assert len(set(names)) == len(names) >= 1
    assert any(line.private for line in dialect.lines())


@every_room
def test_every_room_has_a_simulator_that_keeps_the_whole_protocol(venue: str):
    """[ours] SIMULATORS and VENUES name the same; the JSON line has what the room needs to play on it."""
    assert set(SIMULATORS) == set(VENUES)

    async def check() -> None:
        app = open_simulator(venue, clock=VirtualClock(), chance=Chance("rooms"), speed=2.0, clock_offset_ms=5)
        assert [name for name in members(VenueApp) if not hasattr(app, name)] == []
        assert app.name == venue

    run_virtual(check())
    line = line_of(venue)
    assert {"rest", "ws", "credentials"} <= set(line)
    room = open_room(venue)
    assert set(line["credentials"]) >= set(room.CREDENTIALS)
    assert line_of(venue) == line, "the keys of a simulator repeat with its seed"
    for kind, symbol in line.get("symbols", {}).items():
        found = room.canonical(symbol)
        assert found is None or (found[1], room.venue_symbol(*found)) == (kind, symbol)


@every_room
def test_places_are_told_or_refused_in_words(venue: str):
    """[ours] sim without a simulator, and a place that does not exist, are LocalRuleError VENUE_UNAVAILABLE."""
    room = open_room(venue)
    live = room.endpoints("live")
    for place, address in live.items():
        assert re.match(r"(https|wss)://[a-z0-9.-]+(:\d+)?(/|$)", address), (place, address)
        assert not address.endswith("/")
    assert {address.partition(":")[0] for address in live.values()} == {"https", "wss"}
    assert set(live) == set(room.endpoints("sim", line_of(venue)))
    for on in ("sim", "moon"):
        with pytest.raises(LocalRuleError) as told:
            room.endpoints(on)
        assert told.value.code == "VENUE_UNAVAILABLE"


@every_room
def test_credentials_of_the_wrong_form_are_auth_and_are_not_repeated(venue: str):
    """[ours] A missing key is AUTH; so is a malformed one where keys have a form, and it is not repeated."""
    room = open_room(venue)
    places = room.endpoints("sim", line_of(venue))
    with pytest.raises(LocalRuleError) as told:
        room.make_dialect({}, places)
    assert told.value.code == "AUTH"
    refused: LocalRuleError | None = None
    try:
        room.make_dialect(dict.fromkeys(room.CREDENTIALS, "n0-such-k3y"), places)
    except LocalRuleError as error:
        refused = error
    assert refused is None or (refused.code, "n0-such-k3y" in str(refused)) == ("AUTH", False)


@every_room
def test_symbols_translate_both_ways(venue: str):
    """[ours] venue_symbol and canonical are each other's inverse, and nonsense is None."""
    room = open_room(venue)
    abilities = dialect_of(venue).abilities
    for kind in ("perp", "spot") if abilities.spot else ("perp",):
        for base in ("SOL", "BTC", "ETH"):
            assert room.canonical(room.venue_symbol(base, kind)) in ((base, kind), None)
    assert room.canonical("NO-SUCH-MARKET-AT-ALL") is None


@every_room
def test_every_environment_variable_is_the_rooms_own(venue: str):
    """[ours] Named after the venue, so that two rooms never share a key by accident."""
    room = open_room(venue)
    assert room.CREDENTIALS
    for variable in room.CREDENTIALS.values():
        assert variable.startswith(venue.upper() + "_")


def test_a_room_that_does_not_exist_is_named_with_those_that_do():
    """[ours] LookupError with the list."""
    with pytest.raises(LookupError, match=r"no venue 'nowhere'.*" + next(iter(VENUES))):
        open_room("nowhere")
