"""
Whole runs in virtual time: a scenario file, the real runner, connectors and dialects, simulators in memory.

A *twin* is a second venue by another name: the first room again, with a simulator and a key of its own. So a run on
two exchanges can be played while only one room is built.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import msgspec

from core.chance import Chance
from core.clock import VirtualClock, run_virtual
from execution.caps import Caps
from runner.events import EventLog
from runner.heartbeat import Endpoint, HeartbeatSettings
from runner.load import load_scenarios
from runner.outcome import Outcome, check, to_json
from runner.outcome import Play as PlayTold
from runner.plan import Plan, make_plan
from runner.run import Folders, Interruption, Reached, run_plan
from runner.site import account_name
from venues import VENUES, open_room
from venues.connector import Connector
from venues.simulation import SIMULATORS, open_simulator
from venues.simulation.faults import Faults
from venues.simulation.gate import FaultGate
from venues.simulation.memory import MemoryWire

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = ROOT / "scenarios"
FIRST = next(iter(VENUES))
BEATS = HeartbeatSettings(endpoints=(Endpoint(url="http://127.0.0.1:9/beat"),))


@dataclass
class World:
    """What the test may touch while a run goes on."""

    clock: VirtualClock
    wire: MemoryWire
    events: list[Mapping[str, Any]] = field(default_factory=list)
    interruption: Interruption = field(default_factory=Interruption)
    _bell: anyio.Event = field(default_factory=anyio.Event)

    def heard(self, event: str, **facts: Any) -> bool:
        return any(row["event"] == event and facts.items() <= row.items() for row in self.events)

    def hear(self, row: Mapping[str, Any]) -> None:
        self.events.append(dict(row))
        bell, self._bell = self._bell, anyio.Event()
        bell.set()

    async def until(self, event: str, **facts: Any) -> None:
        """Wait for an event of the journal; returns at the moment it is written."""
        while not self.heard(event, **facts):
            await self._bell.wait()

    def engine(self, venue: str = FIRST) -> Any:
        return self.wire.gates[venue].app.engine  # type: ignore[attr-defined]

    def live(self) -> list[Any]:
        """Orders live at any venue, in any wallet."""
        engines = [self.engine(venue) for venue in self.wire.gates]
        return [order for engine in engines for wallet in engine.accounts for order in engine.open_orders(wallet)]

    def held(self, venue: str | None = None) -> int:
        """Signed sum of all open positions at a venue (the run's first one), in its own units."""
        engine = self.engine(venue or next(iter(self.wire.gates)))
        return sum(each.net_i for account in engine.accounts.values() for each in account.positions.values())


def owner(engine: Any) -> str:
    return str(next(iter(engine.accounts)))


@dataclass
class Played:
    outcome: Outcome
    world: World
    folder: Path
    beats: list[bytes]
    plan: Plan

    @property
    def play(self) -> PlayTold:
        """The play of a run on one venue."""
        (only,) = self.outcome.plays
        return only

    def lines(self) -> dict[str, str]:
        """Verdict by criterion."""
        return {f"{line.criterion}/{line.venue or 'run'}": line.verdict for line in self.outcome.acceptance}

    def steps(self, phase: str = "steps") -> list[tuple[str, str]]:
        return [(step.verb, step.status) for step in self.play.steps if step.phase == phase]

    def files(self) -> dict[str, bytes]:
        """Every byte the run left but the journal's, by name."""
        rows = [path for path in sorted(self.folder.rglob("*")) if path.is_file() and "journal" not in path.name]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in rows}


def reached(venue: str, wire: MemoryWire, clock: VirtualClock, chance: Chance) -> Reached:
    """A connector, not started yet, to the simulator of ``venue`` (or of a twin) behind ``wire``."""
    line = wire.gates[venue].app.bootstrap(f"memory://{venue}", f"memory://{venue}")
    room = open_room(venue if venue in VENUES else FIRST)
    places = room.endpoints("sim", line)
    keys = {name: str(value) for name, value in line["credentials"].items()}
    dialect = room.make_dialect(keys, places)
    dialect.name = venue
    connector = Connector(dialect, places, wire, clock, chance.fork(f"connector/{venue}"))
    return Reached(venue=connector, account=account_name(venue, keys))


def play(
    scenario: Path | str,
    folder: Path,
    *,
    venues: Sequence[str] = (FIRST,),
    faults: Mapping[str, Sequence[Mapping[str, Any]]] | Sequence[Mapping[str, Any]] = (),
    sets: Sequence[str] = (),
    seed: int | None = None,
    speed: float = 1.0,
    caps: Caps | None = None,
    heartbeat: HeartbeatSettings = BEATS,
    beside: Callable[[World], Any] | None = None,
    down: Sequence[str] = (),
    sim: Mapping[str, Any] | None = None,
    journal: str = ":memory:",
    sims_seed: int | None = None,
    run_id: str = "20260105T000000Z-test",
    left_by: str | None = None,
    make_wire: Callable[..., MemoryWire] = MemoryWire,
    adopt: bool = False,
) -> Played:
    """
    Play a scenario (a file, or the text of one) and check its outcome against the published schema.

    Args:
        venues: Names of this run; any that is no room is a twin of the first one.
        faults: Rules for every venue, or by venue.
        beside: Runs beside the play with the world in hand.
        down: Venues that never answer.
        adopt: Take over what stands on the account.
        make_wire: Makes the client's wire to the gates, for tests that look at what leaves and what arrives.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(scenario, str):
        path = folder / "scenario.yaml"
        path.write_text(scenario, encoding="utf-8")
    else:
        path = scenario
    known = tuple(dict.fromkeys((*VENUES, *venues)))
    found = load_scenarios([str(path)], sets=sets, venues=venues, known_venues=known)
    assert list(found.mistakes) == [], found.mistakes
    asked = found.scenarios[0]
    wanted = seed if seed is not None else asked.seed or 0
    plan, mistakes = make_plan(asked, known_venues=venues, on="sim", seed=wanted, speed=speed)
    assert plan is not None, mistakes
    beats: list[bytes] = []

    async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        beats.append(body)
        return 204

    async def whole() -> tuple[Outcome, World]:
        clock = VirtualClock()
        chance = Chance(plan.seed)
        gates = {}
        for venue in plan.venues:
            rows = faults.get(venue, ()) if isinstance(faults, Mapping) else faults
            rules = Faults.load([dict(row) for row in rows], chance=Chance(wanted).fork(f"faults/{venue}"))
            app = open_simulator(
                venue if venue in SIMULATORS else FIRST,
                clock=clock,
                chance=Chance(plan.seed if sims_seed is None else sims_seed).fork(f"sim/{venue}"),
                faults=rules,
                speed=speed,
                **(sim or {}),
            )
            gates[venue] = FaultGate(app, rules, clock)
        world = World(clock, MemoryWire(gates, clock, chance.fork("wire")))
        world.wire.down |= set(down)
        events = EventLog(folder / "events.jsonl", clock)
        events.listen(world.hear)

        async def reach(venue: str) -> Reached:
            # Each connector closes its wire at the end: it gets one of its own to the shared gates.
            wire = make_wire(gates, clock, chance.fork(f"wire/{venue}"))
            wire.down = world.wire.down
            return reached(venue, wire, clock, chance)

        with contextlib.closing(events), anyio.fail_after(7_200):
            async with anyio.create_task_group() as group:
                group.start_soon(world.wire.drive)
                if beside is not None:
                    group.start_soon(beside, world)
                outcome = await run_plan(
                    plan,
                    run_id=run_id,
                    text=found.sources[asked.path],
                    folders=Folders(run=folder, orders=folder / "orders", journal=journal),
                    clock=clock,
                    chance=chance,
                    reach=reach,
                    events=events,
                    caps=caps or Caps(),
                    heartbeat=heartbeat,
                    post=post,
                    command=("runner", "play"),
                    interruption=world.interruption,
                    left_by=left_by,
                    adopt=adopt,
                )
                group.cancel_scope.cancel()
        return outcome, world

    outcome, world = run_virtual(whole())
    written = to_json(outcome)
    assert check(written) == []
    (folder / "outcome.json").write_bytes(written)
    assert msgspec.json.decode(written, type=Outcome) == outcome
    return Played(outcome, world, folder, beats, plan)
