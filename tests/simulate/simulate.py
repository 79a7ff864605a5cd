"""
The door: whole runs in virtual time under seeded faults, every invariant looked at after every event.

    python tests/simulate/simulate.py --seeds 2000            # make simulate SEEDS=2000
    python tests/simulate/simulate.py --venue backpack --seed 17   # one again, with its schedule

A run is (seed, commit). A failing seed prints what broke, the command that replays it, its fault schedule shrunk to
the rules that matter, and the stories of its orders. Every eighth seed is one of ``crashes.py``: the process dies.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import hashlib
import itertools
import math
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[2]
for place in (ROOT, ROOT / "tests" / "e2e", Path(__file__).parent):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

import virtual  # noqa: E402
from order_stories import tell_orders  # noqa: E402
from schedule import calm_ms, schedule  # noqa: E402
from watch import Watch  # noqa: E402

import runner.run  # noqa: E402
from core.chance import Chance  # noqa: E402
from venues import VENUES  # noqa: E402
from venues.simulation import schnorr_check  # noqa: E402
from venues.simulation.faults import ACTIONS  # noqa: E402

CALM_SECS = 60
"""Twice the time that a settlement is tried: so long after the last fault a run that ends must be proven flat."""
LONGEST_SECS = 600
"""Virtual time within which every run ends, whatever goes wrong."""

SCENARIO = """scenario: simulated
title: A round trip under faults
venues: all
symbol: {symbol}
market: {market}
side: {side}
size: {size}
steps:
  - tracking_open:
      {{interval_secs: {interval}, timeout_secs: 40, max_attempts: 8, keep_if_best: {keep}, require_filled: false}}
  - random_wait: {{min_secs: 1, max_secs: 5}}
  - {close}
  - assert_flat
finally:
  - cancel_all
  - flatten
accept:
  flat: true
  no_unhandled_errors: true
  logs_complete: true
"""

TRACKING_CLOSE = "tracking_close: {interval_secs: 5, timeout_secs: 20, require_filled: false}"
COINS = {"lighter": "ETH"}
"""The coin of a spot market, where it is not SOL."""
CRASH_EVERY = 8
"""One seed in so many belongs to ``crashes.py``."""
MEMORY = Path("/dev/shm")


@dataclass
class Ran:
    """One seed's end."""

    venue: str
    seed: int
    verdict: str = ""
    breaches: list[str] = field(default_factory=list)
    fired: Counter[str] = field(default_factory=Counter)
    digest: str = ""
    virtual_secs: float = 0.0
    stories: list[str] = field(default_factory=list)
    """What its orders went through, in words; told of a run that breaks a promise."""


def text_of(chance: Chance, venue: str) -> str:
    """A seed's scenario: perp and spot, both sides, open and close by tracking limit or market, several sizes."""
    side, size = chance.pick(["buy", "sell"]), chance.pick(["min", "60 USD", "400 USD"])
    interval, close = chance.pick([2, 5, 10]), chance.pick(["market_close", TRACKING_CLOSE])
    market = "spot" if chance.happens(0.25) else "perp"
    return SCENARIO.format(
        symbol=coin_of(venue, market),
        market=market,
        side=side,
        size=size,
        interval=interval,
        close=close,
        keep="true" if chance.happens(0.3) else "false",
    )


def coin_of(venue: str, market: str) -> str:
    return COINS.get(venue, "SOL") if market == "spot" else "SOL"


def client_id_of(text: Any) -> int:
    """Our client id, in whatever form the venue keeps it."""
    if isinstance(text, int):
        return text
    return int(text, 16) if str(text).startswith("0x") else int(text)


def run_seed(
    venue: str,
    seed: int,
    rules: Sequence[dict[str, Any]] | None = None,
    after: Callable[[Watch], None] | None = None,
) -> Ran:
    """Play one seed. ``rules`` replaces its schedule (for shrinking); ``after`` is handed each watch at the end."""
    ran = Ran(venue, seed)
    text = text_of(Chance(f"simulate/{venue}/{seed}").fork("scenario"), venue)
    chance = Chance(f"simulate/{venue}/{seed}")
    faults = schedule(chance.fork("faults")) if rules is None else list(rules)
    hand = chance.fork("interrupt")
    interrupt_secs = hand.uniform(0.05, 30) if hand.happens(0.15) else None
    watches: list[Watch] = []
    worlds: list[virtual.World] = []

    async def beside(world: virtual.World) -> None:
        worlds.append(world)
        await world.until("connecting")
        for play in world.interruption._plays:
            engine = world.engine(play.name)
            watch = Watch(play.desk, engine, virtual.owner(engine), client_id_of)
            watches.append(watch)
            play.venue.subscribe(watch)
        if interrupt_secs is not None:
            await world.clock.sleep(interrupt_secs)
            world.interruption.interrupt("SIGINT")

    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder, _thrifty(seed):
        try:
            played = virtual.play(
                text,
                Path(folder),
                venues=[venue],
                faults=faults,
                seed=seed,
                beside=beside,
                sim={"bases": ("ETH" if "symbol: ETH" in text else "SOL",)},
            )
        except BaseException as error:
            ran.breaches.append(f"the run itself broke: {type(error).__name__}: {error}")
            ran.breaches.append("".join(traceback.format_exception(error))[-1500:])
            return ran
        ran.verdict = played.outcome.verdict
        ran.virtual_secs = played.outcome.duration_secs
        said_flat = ran.verdict != "not_proven_flat"
        if not said_flat and ran.virtual_secs > calm_ms(faults) / 1000 + CALM_SECS:
            ran.breaches.append(f"not proven flat though nothing has gone wrong for {CALM_SECS} s")
        if ran.virtual_secs > LONGEST_SECS:
            ran.breaches.append(f"it took {ran.virtual_secs:g} s to end")
        for watch in watches:
            if after is not None:
                after(watch)
            ran.breaches += [*watch.breaches, *watch.final(said_flat=said_flat)]
            told = any(alarm.code == "POSITION_MISMATCH" for play in played.outcome.plays for alarm in play.alarms)
            if watch.forced_i() and said_flat and not told:
                ran.breaches.append("the venue's own order changed the position, and the outcome does not say so")
        for line in played.outcome.acceptance:
            if line.criterion in ("no_unhandled_errors", "logs_complete") and line.verdict == "failed":
                ran.breaches.append(f"{line.criterion}: {line.evidence}")
        digest = hashlib.sha256()
        for name, content in played.files().items():
            if name.startswith("orders/"):
                digest.update(name.encode() + content)
        ran.digest = digest.hexdigest()
        if ran.breaches:
            ran.stories = list(tell_orders(Path(folder) / "orders"))
    for world in worlds:
        for error in world.wire.gates[venue].broken:
            ran.breaches.append("the simulator broke: " + "".join(traceback.format_exception(error))[-1500:])
        for rule in world.wire.gates[venue].faults.rules:
            if rule.fired:
                ran.fired[rule.action] += rule.fired
    return ran


@contextlib.contextmanager
def _thrifty(seed: int) -> Iterator[None]:
    """
    What costs time in every run and is the same in all of them is done once: reading a scenario's text, looking up
    versions. Lighter's simulator reckons signatures in every eighth of its runs: in plain Python that costs more than
    all the rest.
    """
    with contextlib.ExitStack() as patches:
        patches.enter_context(patch.object(virtual, "load_scenarios", _load))
        patches.enter_context(patch.object(runner.run, "_versions", _versions))
        if seed // len(VENUES) % 8:
            patches.enter_context(patch.object(schnorr_check, "is_signed", lambda *of: True))
        yield


_loaded: dict[tuple[Any, ...], Any] = {}
_load_plainly, _versions = virtual.load_scenarios, functools.cache(runner.run._versions)


def _load(paths: Sequence[str], **settings: Any) -> Any:
    key = (Path(paths[0]).read_bytes(), *map(repr, settings.items()))
    if key not in _loaded:
        _loaded[key] = _load_plainly(paths, **settings)
    return _loaded[key]


def shrink(venue: str, seed: int) -> list[dict[str, Any]]:
    """The seed's fault rules without those that the breach does not need."""
    rules = schedule(Chance(f"simulate/{venue}/{seed}").fork("faults"))
    index = 0
    while index < len(rules):
        fewer = rules[:index] + rules[index + 1 :]
        if run_seed(venue, seed, fewer).breaches:
            rules = fewer
        else:
            index += 1
    return rules


def run(venue: str, seed: int) -> Ran:
    """One seed of the door: a play under faults or, now and then, one whose process dies."""
    if seed % 16 == 0:
        gc.collect()
    return _of_crashes(venue, seed) if seed % CRASH_EVERY == CRASH_EVERY - 1 else run_seed(venue, seed)


def _of_crashes(venue: str, seed: int) -> Ran:
    # Imported late: it takes its own Ran from here.
    import crashes

    with _thrifty(seed):
        return crashes.run_seed(venue, seed)


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
        return _again(venues[0], args.seed)
    work = [(venues[n % len(venues)], args.first + n) for n in range(args.seeds)]
    began = time.perf_counter()
    # Garbage is collected between runs, not within them.
    with ProcessPoolExecutor(args.jobs, initializer=gc.disable) as pool:
        results = list(pool.map(run, *zip(*work, strict=True), chunksize=8))
        secs = time.perf_counter() - began
        again = sampled(work)
        twice = list(pool.map(run, *zip(*again, strict=True)))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{used.ru_utime + used.ru_stime:.0f} s of processor time")
    return _tell(results, twice, secs)


def sampled(work: Sequence[tuple[str, int]]) -> Sequence[tuple[str, int]]:
    """About 20 of these, of every venue, plays whose process dies among them."""
    shared = len(VENUES) * CRASH_EVERY
    step = next(step for step in itertools.count(max(1, len(work) // 20)) if math.gcd(step, shared) == 1)
    return work[::step]


def _again(venue: str, seed: int) -> int:
    crashed = seed % CRASH_EVERY == CRASH_EVERY - 1
    if not crashed:
        for rule in schedule(Chance(f"simulate/{venue}/{seed}").fork("faults")):
            print("fault:", rule)
        print(text_of(Chance(f"simulate/{venue}/{seed}").fork("scenario"), venue))
    ran = run(venue, seed)
    print(f"{venue} seed {seed}: {ran.verdict}, {ran.virtual_secs:g} s, fired {dict(ran.fired)}")
    for line in ran.stories:
        print("  ", line)
    for breach in ran.breaches:
        print("BREACH:", breach)
    return 1 if ran.breaches else 0


def _tell(results: Sequence[Ran], twice: Sequence[Ran], secs: float) -> int:
    failed = [ran for ran in results if ran.breaches]
    for ran in failed[:5]:
        _tell_failure(ran)
    first = {(ran.venue, ran.seed): ran.digest for ran in results}
    unequal = [ran for ran in twice if first[ran.venue, ran.seed] != ran.digest]
    for ran in unequal:
        print(f"NOT DETERMINISTIC {ran.venue} seed {ran.seed}")
    fired: Counter[str] = sum((ran.fired for ran in results), Counter())
    never = sorted({*ACTIONS, "killed", "disk_full", "locked"} - set(+fired)) if len(results) >= 1000 else []
    for action in never:
        print(f"NEVER HIT: fault {action}")
    hours = sum(ran.virtual_secs for ran in results) / 3600
    print(f"verdicts: {dict(Counter(ran.verdict for ran in results).most_common())}")
    print(
        f"{hours:.1f} h of virtual time in {secs:.0f} s, {hours * 3600 / secs:.0f} times as fast as real time;", end=" "
    )
    print(f"twice with equal bytes: {len(twice) - len(unequal)}")
    print(f"faults fired: {dict(sorted(fired.items()))}")
    print(f"simulate: {len(results) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed or unequal or never else 0


def _tell_failure(ran: Ran) -> None:
    print(f"FAILED {ran.venue} seed {ran.seed}: {ran.breaches[0]}")
    if ran.seed % CRASH_EVERY != CRASH_EVERY - 1:
        for rule in shrink(ran.venue, ran.seed):
            print("   needs fault:", rule)
    for line in ran.stories:
        print("   ", line)
    print(f"   again: python tests/simulate/simulate.py --venue {ran.venue} --seed {ran.seed}")


if __name__ == "__main__":
    raise SystemExit(main())
