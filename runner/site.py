"""How a run reaches its venues: simulators of its own, simulators that are up already, or the exchanges themselves."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from msgspec import structs

from core.chance import Chance
from core.clock import Clock, PacedClock, iso_utc
from core.log import get
from core.secrets import VAULT
from execution.locks import LOCKS_WORK, AccountLock, Owner
from runner.environment import Environment, WrongInput
from runner.heartbeat import Endpoint, HeartbeatSettings
from runner.mistakes import wrong_word
from runner.plan import Plan
from runner.run import Reached
from runner.sims import Lines, simulators
from runner.values import either
from venues import open_room
from venues.connector import Connector
from venues.errors import LocalRuleError
from venues.simulation.app import Peer, Reply, Request
from venues.simulation.faults import Faults
from venues.simulation.gate import FaultGate
from venues.simulation.server import serve
from venues.wire import SocketWire

Reach = Callable[[str], Awaitable[Reached]]


def account_name(venue: str, credentials: Mapping[str, str]) -> str:
    """The account behind a key, as journal and logs name it: the venue and a fingerprint that gives nothing away."""
    material = "\n".join(f"{name}={credentials[name]}" for name in sorted(credentials))
    return f"{venue}:{hashlib.sha256(material.encode()).hexdigest()[:12]}"


def credentials_of(venue: str, environment: Environment, sims: Lines | None) -> dict[str, str]:
    """
    The keys of one venue: a simulator's own, or those of the environment. Each is masked in all output from here on.

    Raises:
        WrongInput: the simulator is not there, or an environment variable is missing.
    """
    if environment.on == "sim":
        if sims is None or venue not in sims:
            message = f"These simulators do not include {venue}."
            raise wrong_word("--sims", venue, "UNKNOWN_VENUE", message, either(sims or ("none",)))
        found = {name: str(value) for name, value in sims[venue]["credentials"].items()}
    else:
        keys = environment.keys(venue)
        if keys.missing:
            raise WrongInput(
                [
                    f"No key for {venue}: set {' and '.join(keys.missing)} in the environment, "
                    "or play on simulators without --on."
                ]
            )
        found = {name: secret.reveal() for name, secret in keys.secrets.items()}
    for name, text in found.items():
        if name not in _PUBLIC:
            VAULT.remember(text)
    return found


def account_lock(
    venue: str, environment: Environment, credentials: Mapping[str, str], sims: Lines | None
) -> AccountLock:
    """
    The lock of the account behind a key. Where a key tells the account (Hyperliquid's address, Lighter's number) two
    keys of one account share a lock; elsewhere each API key is an account of its own to us.
    """
    # Simulators with the same seed give out the same keys.
    place = str(sims[venue]["rest"]) if environment.on == "sim" and sims is not None else environment.on
    account = next((credentials[name] for name in _ACCOUNT if name in credentials), account_name(venue, credentials))
    return AccountLock(environment.locks_dir, venue=venue, place=place, account=account)


@contextlib.contextmanager
def locked_accounts(
    venues: Sequence[str], environment: Environment, sims: Lines | None, argv: Sequence[str], clock: Clock
) -> Iterator[Callable[[str], None]]:
    """
    Hold the accounts of a run, all or none, while the block runs; yields how to tell them the run's name.

    A run on simulators of its own has nobody to share them with, and holds nothing.

    Raises:
        WrongInput: a key is missing.
        LocalRuleError: ACCOUNT_LOCKED, naming who trades there now.
    """
    if environment.on == "sim" and sims is None:
        yield lambda run: None
        return
    if not LOCKS_WORK:  # pragma: no cover - Windows
        sys.stderr.write("This system has no file locks: nothing keeps a second process from these accounts.\n")
    texts: list[str] = []
    locks: list[AccountLock] = []
    for venue in venues:
        try:
            locks.append(account_lock(venue, environment, credentials_of(venue, environment, sims), sims))
        except WrongInput as wrong:
            texts += wrong.texts
    if texts:
        raise WrongInput(texts)
    # In one order everywhere, so that of two runs that want the same accounts one gets them all.
    locks.sort(key=lambda lock: lock.path)
    command = VAULT.mask(" ".join(("runner", *argv)))[:_COMMAND_SHOWN]
    owner = Owner(pid=os.getpid(), host=socket.gethostname(), command=command, started=iso_utc(clock.now_ms()))
    with contextlib.ExitStack() as held:
        for lock in locks:
            lock.take(owner)
            held.callback(lock.release)

        def name_run(run: str) -> None:
            for lock in locks:
                lock.tell(structs.replace(owner, run=run))

        yield name_run


def connector_of(
    venue: str, on: str, credentials: Mapping[str, str], sims: Lines | None, clock: Clock, chance: Chance
) -> Connector:
    """
    A connector that is not started yet.

    Raises:
        WrongInput: a key has the wrong form, or the venue has no such place.
    """
    room = open_room(venue)
    try:
        places = room.endpoints(on, None if sims is None else sims[venue])
        dialect = room.make_dialect(credentials, places)
    except LocalRuleError as error:
        raise WrongInput([f"{venue}: {error.hint}"]) from error
    # The minutes of a simulator's rate limits pass as fast as its market.
    pace = clock if sims is None else PacedClock(clock, float(sims[venue].get("speed", 1)))
    return Connector(
        dialect,
        places,
        SocketWire(),
        clock,
        chance.fork(f"connector/{venue}"),
        log=get(f"venues.{venue}"),
        pace=pace,
    )


@contextlib.asynccontextmanager
async def open_site(
    plan: Plan,
    *,
    environment: Environment,
    clock: Clock,
    chance: Chance,
    sims: Lines | None,
    faults: Faults | None = None,
) -> AsyncIterator[tuple[Reach, HeartbeatSettings]]:
    """
    Yield how to reach each venue, and the heartbeat to use (a simulated run without endpoints gets one of its own).

    Raises:
        WrongInput: a key is missing or has the wrong form, or the venue has no such place.
        SimsError: simulators cannot listen.
    """
    async with contextlib.AsyncExitStack() as stack:
        heartbeat = environment.heartbeat
        if plan.on == "sim":
            if sims is None:
                sims = await stack.enter_async_context(
                    simulators(plan.venues, clock=clock, seed=plan.seed, speed=plan.speed, faults=faults)
                )
            if not heartbeat.endpoints:
                url = await stack.enter_async_context(_receiver(clock))
                heartbeat = replace(heartbeat, endpoints=(Endpoint(url=url),))
        reached: dict[str, Reached] = {}
        texts: list[str] = []
        for venue in plan.venues:
            try:
                credentials = credentials_of(venue, environment, sims)
                connector = connector_of(venue, plan.on, credentials, sims, clock, chance)
                reached[venue] = Reached(venue=connector, account=account_name(venue, credentials))
            except WrongInput as wrong:
                texts += wrong.texts
        if texts:
            raise WrongInput(texts)

        async def reach(venue: str) -> Reached:
            return reached[venue]

        yield reach, heartbeat


# The part of a key that names the account, the most telling first.
_ACCOUNT: Final = ("address", "account_index", "api_key")
_COMMAND_SHOWN: Final = 300
# Parts of a simulator's credentials that are no secret and occur in ordinary texts.
_PUBLIC = frozenset({"account_index", "api_key_index", "chain_id", "address"})


class _Receiver:
    """A heartbeat receiver on loopback for simulated runs: it takes every beat, so gaps are measured for real."""

    name = "heartbeat"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def http(self, request: Request) -> Reply:
        return Reply(204 if request.method == "POST" else 405, b"")

    def ws_open(self, peer: Peer, path: str, headers: Mapping[str, str]) -> None:
        peer.close(1008, "no streams here")

    def ws_text(self, peer: Peer, text: str) -> None: ...
    def ws_closed(self, peer: Peer) -> None: ...
    def advance(self) -> None: ...

    def next_due_ms(self) -> int:
        return self._clock.now_ms() + 60_000

    def http_kind(self, request: Request) -> str:
        return "other"

    def text_kind(self, text: str) -> str:
        return "other"

    def message_kind(self, text: str) -> str:
        return "other"

    def bootstrap(self, rest: str, ws: str) -> dict[str, Any]:
        return {"rest": rest}


@contextlib.asynccontextmanager
async def _receiver(clock: Clock) -> AsyncIterator[str]:
    async with serve({"heartbeat": FaultGate(_Receiver(clock), Faults(), clock)}) as addresses:
        yield f"{addresses['heartbeat'].rest}/beat"
