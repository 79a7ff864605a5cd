"""
Killed anywhere: plays that die at a drawn instant, up to three times, and are recovered by what is left on the disk.

    python tests/simulate/crashes.py --seeds 500
    python tests/simulate/crashes.py --venue okx --seed 17      # one again, told in full

The exchange lives on: what had left arrives, what rests may fill. The next process has the disk as the dead one left
it, and runs what ``runner recover`` runs. In some seeds the disk is full or the journal locked for a while or for good.
"""

from __future__ import annotations

import argparse
import hashlib
import sqlite3
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
for place in (ROOT, ROOT / "tests" / "e2e", Path(__file__).parent):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

import anyio  # noqa: E402
import virtual  # noqa: E402
from mortal import Disk, Doom, Life, MortalJournal, MortalLoop, MortalWire, mortal_open  # noqa: E402
from simulate import Ran, client_id_of, sampled  # noqa: E402
from watch import Watch  # noqa: E402

import runner.run  # noqa: E402
from core.chance import Chance  # noqa: E402
from core.clock import VirtualClock  # noqa: E402
from core.precision import as_decimal  # noqa: E402
from execution.caps import Caps  # noqa: E402
from execution.journal import Journal  # noqa: E402
from execution.order import replay  # noqa: E402
from execution.orders import Orders  # noqa: E402
from runner.events import EventLog  # noqa: E402
from runner.heartbeat import HeartbeatSettings  # noqa: E402
from runner.load import load_scenarios  # noqa: E402
from runner.outcome import Outcome, to_json  # noqa: E402
from runner.plan import Plan, make_plan  # noqa: E402
from runner.recover import recovery_plan  # noqa: E402
from runner.run import Folders, Interruption, Reached, run_plan  # noqa: E402
from venues import VENUES  # noqa: E402
from venues.errors import LocalRuleError  # noqa: E402
from venues.simulation import open_simulator  # noqa: E402
from venues.simulation.faults import Faults  # noqa: E402
from venues.simulation.gate import FaultGate  # noqa: E402
from venues.simulation.memory import MemoryWire  # noqa: E402

SPOT = ("backpack", "binance", "okx")
LIGHT_MS = 60_000
"""Milliseconds after the start from which nothing goes wrong on the exchange's side any more."""
MOST_LIVES = 12
TRAVEL_MS = 10
"""Longer than a request that has left is on its way."""
MEMORY = Path("/dev/shm")

SCENARIO = """scenario: crashed
title: A round trip that is cut off
venues: [{venue}]
symbol: SOL
market: {market}
side: {side}
size: {size}
steps:
  - tracking_open: {{interval_secs: {interval}, timeout_secs: 30, max_attempts: 6, require_filled: false}}
  - random_wait: {{min_secs: 0, max_secs: 3}}
  - {close}
  - assert_flat
finally:
  - cancel_all
  - flatten
accept:
  flat: true
  no_unhandled_errors: true
"""
TRACKING_CLOSE = "tracking_close: {interval_secs: 3, timeout_secs: 15, require_filled: false}"


@dataclass(frozen=True)
class Fate:
    """What a seed draws: the scenario, the deaths and disks of its processes, and how the exchange behaves."""

    text: str
    spot: bool
    faults: tuple[dict[str, Any], ...]
    dooms: tuple[Doom, ...]
    """One a process, from the first; later ones live."""
    disks: tuple[Disk, ...]
    pauses: tuple[float, ...]
    """Seconds until somebody starts the next process."""
    again: bool
    """The second process is another play of the scenario, not a recovery."""


def draw(venue: str, seed: int) -> Fate:
    chance = Chance(f"crashes/{venue}/{seed}")
    spot = venue in SPOT and chance.happens(0.2)
    text = SCENARIO.format(
        venue=venue,
        market="spot" if spot else "perp",
        side="buy" if spot else chance.pick(["buy", "sell"]),
        size="60 USD" if spot else chance.pick(["min", "60 USD", "400 USD"]),
        interval=chance.pick([2, 5]),
        close=chance.pick(["market_close", TRACKING_CLOSE]),
    )
    dooms = tuple(_doom(chance, place) for place in range(chance.pick([0, 1, 1, 1, 2, 2, 3])))
    disks = [Disk() for _ in range(len(dooms) + 1)]
    if not dooms or chance.happens(0.25):
        disks[chance.integer(0, len(dooms))] = _disk(chance)
    return Fate(
        text=text,
        spot=spot,
        faults=tuple(_light(chance) for _ in range(chance.pick([0, 0, 1, 2]))),
        dooms=dooms,
        disks=tuple(disks),
        pauses=tuple(chance.pick([0.05, 1.0, 7.0, 45.0]) for _ in range(MOST_LIVES)),
        again=chance.happens(0.2),
    )


def _doom(chance: Chance, place: int) -> Doom:
    later = place > 0
    match chance.integer(0, 3):
        case 0:
            return Doom("write", chance.integer(1, 7 if later else 14), chance.happens(0.5))
        case 1:
            return Doom("request", chance.integer(1, 25 if later else 45), chance.happens(0.5))
        case 2:
            return Doom("message", chance.integer(1, 40 if later else 160), chance.happens(0.5))
        case _:
            return Doom("moment", chance.integer(1, 1_500 if later else 20_000))


def _disk(chance: Chance) -> Disk:
    begin = chance.uniform(0.0, 8.0)
    end = begin + chance.pick([0.5, 3.0, 12.0, 10_000.0])
    return Disk(full=(begin, end)) if chance.happens(0.6) else Disk(locked=(begin, end))


def _light(chance: Chance) -> dict[str, Any]:
    on, action, params = chance.pick(
        [
            ("http", "delay", {"ms": chance.integer(50, 2_000)}),
            ("http", "drop", {}),
            ("http", "lose_reply", {}),
            ("http", "error_after", {}),
            ("http", "execute_late", {"ms": chance.integer(100, 4_500)}),
            ("http", "disconnect", {}),
            ("http", "stale_read", {}),
            ("ws", "delay", {"ms": chance.integer(50, 2_000)}),
            ("ws", "drop", {}),
            ("ws", "duplicate", {}),
            ("ws", "reorder", {}),
            ("ws", "disconnect", {}),
        ]
    )
    kinds = ["order", "fill"] if on == "ws" else ["order", "history"] if action == "stale_read" else ["place", "cancel"]
    rule = {"action": action, "on": on, "kind": chance.pick(kinds), "until_ms": LIGHT_MS, "params": params}
    if chance.happens(0.5):
        return {**rule, "nth": sorted({chance.integer(1, 4), chance.integer(1, 8)})}
    return {**rule, "probability": round(chance.uniform(0.05, 0.4), 2)}


class OwnWatch(Watch):
    """Every promise of a process about its own orders, until it dies; those of all processes are looked at last."""

    def __init__(self, life: Life, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._life = life

    def __call__(self, event: Any) -> None:
        if not self._life.dead:
            super().__call__(event)

    def theirs(self) -> Mapping[int, list[Any]]:
        return {client_id: rows for client_id, rows in super().theirs().items() if client_id in self.desk.book}


class CountingGate(FaultGate):
    """A gate that writes down when each request reached it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.asked_ms: list[int] = []

    async def http(self, request: Any) -> Any:
        self.asked_ms.append(self.clock.now_ms())
        return await super().http(request)

    def text(self, stream: Any, text: str) -> None:
        self.asked_ms.append(self.clock.now_ms())
        super().text(stream, text)


@dataclass
class Case:
    """One seed under way."""

    venue: str
    seed: int
    fate: Fate
    root: Path
    loop: MortalLoop
    breaches: list[str] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    desks: list[Orders] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    async def whole(self) -> None:
        self.clock = VirtualClock()
        self.chance = Chance(self.seed)
        rules = Faults.load(list(self.fate.faults), chance=self.chance.fork("faults"))
        sim_chance = self.chance.fork(f"sim/{self.venue}")
        app = open_simulator(self.venue, clock=self.clock, chance=sim_chance, faults=rules)
        self.gate = CountingGate(app, rules, self.clock)
        self.engine: Any = app.engine
        # Binance keeps perps and coins in wallets of their own.
        self.owner = virtual.owner(self.engine) if not self.fate.spot else list(self.engine.accounts)[-1]
        self.coins = self._coins()
        self.disk = self.root / "disk-1"
        self.disk.mkdir()
        async with anyio.create_task_group() as world:
            world.start_soon(MemoryWire({self.venue: self.gate}, self.clock).drive)
            with anyio.fail_after(7_200):
                await self._lives()
                # What a dead process had sent may still be executed late; then all is quiet.
                await self.clock.sleep(10)
            world.cancel_scope.cancel()

    async def _lives(self) -> None:
        for number in range(1, MOST_LIVES + 1):
            plays = number == 1 or (number == 2 and self.fate.again)
            if not plays and not self._left():
                return
            await self._live(number, self._play if plays else self._recover)
            await self.clock.sleep(self.fate.pauses[number - 1])
        if self._left():
            self.breaches.append(f"not recovered by {MOST_LIVES} processes: {self._left()}")

    async def _live(self, number: int, part: Any) -> None:
        fate = self.fate
        life = Life(
            number,
            self.disk,
            self.root / f"disk-{number + 1}",
            self.loop,
            doom=fate.dooms[number - 1] if number <= len(fate.dooms) else None,
            disk=fate.disks[number - 1] if number <= len(fate.disks) else Disk(),
        )
        self.lives.append(life)
        dirty = self.live() or self._held()
        outcomes = await life.run(part)
        if life.dead:
            self.disk = life.heir
            await self.clock.sleep(TRAVEL_MS / 1000)
            silent_ms, deaf = life.died_ms + TRAVEL_MS, self.gate.asked_ms
            if any(at_ms >= silent_ms for at_ms in deaf):
                self.breaches.append(f"process {number} sent a request after its death")
            return
        for outcome in outcomes or ():
            self.outcomes.append(outcome)
            self._look_at(life, outcome)
        if number > 1 and part == self._play and dirty and self._intents(f"run-{number}/"):
            self.breaches.append(f"process {number} traded on an account that was not clean")

    def _look_at(self, life: Life, outcome: Outcome) -> None:
        """What the end of a process that was not killed must say."""
        told = to_json(outcome).decode()
        if life.fired["disk_full"] and "disk is full" not in told:
            self.breaches.append(f"process {life.number}: the outcome does not say that the disk is full")
        error = outcome.plays[0].error
        if error is not None and error.code == "DIRTY_ACCOUNT":
            if "runner recover" not in error.next_move:
                self.breaches.append(f"process {life.number} was refused and nobody told of recovery")
        elif outcome.verdict != "not_proven_flat" and (self.live() or self._held()):
            self.breaches.append(f"process {life.number} says {outcome.verdict} and something is open")
        if not self.fate.faults and not self.fate.dooms and self.live():
            self.breaches.append(f"process {life.number} ended and left {len(self.live())} live orders")

    # -- what a process does

    async def _play(self, life: Life) -> list[Outcome]:
        path = life.folder / "scenario.yaml"
        path.write_text(self.fate.text, encoding="utf-8")
        found = load_scenarios([str(path)], known_venues=tuple(VENUES))
        assert list(found.mistakes) == [], found.mistakes
        plan, mistakes = make_plan(
            found.scenarios[0], known_venues=tuple(VENUES), on="sim", seed=self.seed + life.number, speed=1.0
        )
        assert plan is not None, mistakes
        outcome = await self._run(life, plan, found.sources[str(path)], f"run-{life.number}")
        return [] if outcome is None else [outcome]

    async def _recover(self, life: Life) -> list[Outcome]:
        try:
            journal = MortalJournal(life.folder / "journal.db")
        except LocalRuleError:
            return []
        left = journal.unended_plays()
        journal.close()
        ended = []
        for place, row in enumerate(left):
            plan, text = recovery_plan(row, life.folder, on="sim", seed=self.seed + life.number, speed=1.0)
            run_id = f"run-{life.number}-{place}"
            outcome = await self._run(life, plan, text, run_id, row["play"], Decimal(row["spot_baseline"]))
            if outcome is not None:
                ended.append(outcome)
        return ended

    async def _run(
        self,
        life: Life,
        plan: Plan,
        text: str,
        run_id: str,
        left_by: str | None = None,
        baseline: Decimal | None = None,
    ) -> Outcome:
        chance = self.chance.fork(run_id)
        folder = life.folder / run_id
        folder.mkdir()
        events = EventLog(folder / "events.jsonl", self.clock)
        interruption = Interruption()

        def attend(row: Mapping[str, Any]) -> None:
            if row["event"] == "connecting":
                (play,) = interruption._plays
                watch = OwnWatch(life, play.desk, self.engine, self.owner, client_id_of)
                self.desks.append(play.desk)
                play.venue.subscribe(watch)
                self.watches.append(watch)

        async def reach(venue: str) -> Reached:
            wire = MortalWire(life, {venue: self.gate}, self.clock, chance.fork("wire"))
            return virtual.reached(venue, wire, self.clock, chance)

        events.listen(attend)
        try:
            return await run_plan(
                plan,
                run_id=run_id,
                text=text,
                folders=Folders(run=folder, orders=life.folder / "orders", journal=life.folder / "journal.db"),
                clock=self.clock,
                chance=chance,
                reach=reach,
                events=events,
                caps=Caps(),
                heartbeat=HeartbeatSettings(),
                interruption=interruption,
                left_by=left_by,
                spot_baseline=baseline,
            )
        except LocalRuleError as refused:
            # The journal cannot be opened: the command ends in words, nothing was sent.
            if refused.code != "HALTED":
                raise
            return None
        finally:
            events.close()

    watches: list[OwnWatch] = field(default_factory=list)

    # -- the truth

    def live(self) -> list[Any]:
        return self.engine.open_orders(self.owner)  # type: ignore[no-any-return]

    def _coins(self) -> Decimal:
        balance = self.engine.accounts[self.owner].balances.get("SOL")
        return Decimal(0) if balance is None else balance.free + balance.locked

    def _held(self) -> bool:
        """Something is held that the smallest order could close."""
        if self.fate.spot:
            return abs(self._coins() - self.coins) >= Decimal("0.05")
        return any(position.net_i for position in self.engine.accounts[self.owner].positions.values())

    def _left(self) -> list[str]:
        """Plays that the journal knows no end of: what ``runner recover`` goes by."""
        if not (self.disk / "journal.db").exists():
            return []
        journal = Journal(self.disk / "journal.db")
        try:
            return [row["play"] for row in journal.unended_plays()]
        finally:
            journal.close()

    def _intents(self, leg: str = "") -> list[dict[str, Any]]:
        if not (self.disk / "journal.db").exists():
            return []
        db = sqlite3.connect(self.disk / "journal.db")
        db.row_factory = sqlite3.Row
        try:
            found = db.execute("SELECT * FROM intents WHERE leg LIKE ? ORDER BY client_id", (f"{leg}%",)).fetchall()
            return [dict(row) for row in found]
        except sqlite3.OperationalError as error:
            # Killed before the first table was made.
            if "no such table" not in str(error):
                raise
            return []
        finally:
            db.close()

    def _base(self, order: Any) -> Decimal:
        return Decimal(self.engine.listings[order.symbol].size(order.filled_i))

    def final(self) -> Iterable[str]:
        """What must hold when all is over, whoever died."""
        theirs: dict[int, list[Any]] = {}
        for order in self.engine.orders.values():
            if order.owner == self.owner and order.client_id is not None:
                theirs.setdefault(client_id_of(order.client_id), []).append(order)
        intents = {row["client_id"]: row for row in self._intents()}
        for client_id, orders in theirs.items():
            if len(orders) > 1:
                yield f"client id {client_id} was executed {len(orders)} times"
            if client_id not in intents:
                yield f"order {client_id} reached the venue without a durable intent"
        legs: Counter[str] = Counter()
        for client_id, row in intents.items():
            truly = sum((self._base(order) for order in theirs.get(client_id, ())), Decimal(0))
            legs[row["leg"]] += truly  # type: ignore[assignment]
            if row["settled_i"] is None:
                yield f"intent {client_id} has no proven end in the journal"
                continue
            settled = as_decimal(row["settled_i"], row["size_decimals"])
            if settled != truly:
                yield f"intent {client_id} is settled at {settled}, truly {truly}"
            yield from self._story(client_id, row)
        for desk in self.desks:
            for chase in desk.trackings:
                if legs[chase.wanted.leg] > chase.market.size(chase.wanted.quantity_i):
                    yield f"leg {chase.wanted.leg} truly filled {legs[chase.wanted.leg]}, more than asked for"
        if self.live():
            yield f"{len(self.live())} orders are live at the end"
        if self._held():
            yield "a position is held at the end"

    def _story(self, client_id: int, row: Mapping[str, Any]) -> Iterable[str]:
        """The timeline tells the same end as the journal, over all processes that wrote it."""
        paths = list((self.disk / "orders").glob(f"*-{client_id}.jsonl"))
        if not paths and self.lines_refused:
            return
        try:
            with paths[0].open("rb") as lines:
                told = replay(lines)
        except (ValueError, IndexError) as error:
            yield f"the timeline of {client_id} cannot be replayed: {error}"
            return
        if self.lines_refused:
            return
        if not told.settled or told.filled_i != row["settled_i"] or not told.over:
            yield f"the timeline of {client_id} ends {told.state} at {told.filled_i}, the journal at {row['settled_i']}"

    @property
    def lines_refused(self) -> int:
        return sum(life.lines_refused for life in self.lives)


def run_seed(venue: str, seed: int) -> Ran:
    """Play one seed to its end, through all its deaths. The same seed leaves the same bytes."""
    ran = Ran(venue, seed)
    loop = MortalLoop()
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        case = Case(venue, seed, draw(venue, seed), Path(folder), loop)
        try:
            with (
                mock.patch.object(runner.run, "Journal", MortalJournal),
                mock.patch.object(Path, "open", mortal_open),
            ):
                loop.run_until_complete(case.whole())
            ran.breaches += [breach for watch in case.watches for breach in watch.breaches]
            ran.breaches += [*case.breaches, *case.final()]
            ran.digest = _digest(case.disk / "orders")
        except BaseException as error:
            ran.breaches.append(f"the run itself broke: {type(error).__name__}: {error}")
            ran.breaches.append("".join(traceback.format_exception(error))[-3000:])
        finally:
            loop.bury()
            ran.virtual_secs = loop.time()
            loop.close()
    ran.verdict = case.outcomes[-1].verdict if case.outcomes else "nothing was left"
    for life in case.lives:
        ran.fired += life.fired
    return ran


def _digest(orders: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(orders.glob("*.jsonl")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="one seed again, told in full")
    parser.add_argument("--venue", action="append", default=[])
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    venues = args.venue or list(VENUES)
    if args.seed is not None:
        print(draw(venues[0], args.seed))
        ran = run_seed(venues[0], args.seed)
        print(f"{ran.venue} seed {ran.seed}: {ran.verdict}, {ran.virtual_secs:g} s, fired {dict(ran.fired)}")
        for breach in ran.breaches:
            print("BREACH:", breach)
        return 1 if ran.breaches else 0
    work = [(venues[n % len(venues)], args.first + n) for n in range(args.seeds)]
    with ProcessPoolExecutor(args.jobs) as pool:
        results = list(pool.map(run_seed, *zip(*work, strict=True), chunksize=4))
        twice = list(pool.map(run_seed, *zip(*sampled(work), strict=True)))
    return _tell(results, twice)


def _tell(results: Sequence[Ran], twice: Sequence[Ran]) -> int:
    failed = [ran for ran in results if ran.breaches]
    for ran in failed[:10]:
        print(f"FAILED {ran.venue} seed {ran.seed}: {ran.breaches[0]}")
        print(f"   again: python tests/simulate/crashes.py --venue {ran.venue} --seed {ran.seed}")
    first = {(ran.venue, ran.seed): ran.digest for ran in results}
    unequal = [ran for ran in twice if first[ran.venue, ran.seed] != ran.digest]
    for ran in unequal:
        print(f"NOT DETERMINISTIC {ran.venue} seed {ran.seed}")
    fired: Counter[str] = sum((ran.fired for ran in results), Counter())
    print(f"last verdicts: {dict(Counter(ran.verdict for ran in results))}; deaths and disks: {dict(fired)}")
    print(f"{sum(ran.virtual_secs for ran in results) / 3600:.1f} h of virtual time; twice with equal bytes: ", end="")
    print(len(twice) - len(unequal))
    print(f"crashes: {len(results) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed or unequal else 0


if __name__ == "__main__":
    raise SystemExit(main())
