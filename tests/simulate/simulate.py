"""
The door: whole runs in virtual time under seeded faults, every invariant looked at after every event.

    python tests/simulate/simulate.py --seeds 2000            # make simulate SEEDS=2000
    python tests/simulate/simulate.py --venue backpack --seed 17   # one again, with its schedule

A run is (seed, commit). A failing seed prints what broke, the command that replays it, and its fault schedule shrunk
to the rules that matter.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
for place in (ROOT, ROOT / "tests" / "e2e", Path(__file__).parent):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

import virtual  # noqa: E402
from schedule import calm_ms, schedule  # noqa: E402
from watch import Watch  # noqa: E402

from core.chance import Chance  # noqa: E402
from venues import VENUES  # noqa: E402
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
  - tracking_open: {{interval_secs: {interval}, timeout_secs: 40, max_attempts: 8, require_filled: false}}
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


def text_of(chance: Chance) -> str:
    """A seed's scenario: both sides, open and close by tracking limit or market, small and larger sizes."""
    return SCENARIO.format(
        symbol="SOL",
        market="perp",
        side=chance.pick(["buy", "sell"]),
        size=chance.pick(["min", "60 USD", "400 USD"]),
        interval=chance.pick([2, 5, 10]),
        close=chance.pick(["market_close", TRACKING_CLOSE]),
    )


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

    with tempfile.TemporaryDirectory() as folder:
        try:
            played = virtual.play(
                text_of(chance.fork("scenario")),
                Path(folder),
                venues=[venue],
                faults=faults,
                seed=seed,
                beside=beside,
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
        for line in played.outcome.acceptance:
            if line.criterion in ("no_unhandled_errors", "logs_complete") and line.verdict == "failed":
                ran.breaches.append(f"{line.criterion}: {line.evidence}")
        digest = hashlib.sha256()
        for name, content in played.files().items():
            if name.startswith("orders/"):
                digest.update(name.encode() + content)
        ran.digest = digest.hexdigest()
    for world in worlds:
        for rule in world.wire.gates[venue].faults.rules:
            if rule.fired:
                ran.fired[rule.action] += rule.fired
    return ran


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
    with ProcessPoolExecutor(args.jobs) as pool:
        results = list(pool.map(run_seed, *zip(*work, strict=True), chunksize=8))
        again = work[:: max(1, len(work) // 20)]
        twice = list(pool.map(run_seed, *zip(*again, strict=True)))
    return _tell(results, twice)


def _again(venue: str, seed: int) -> int:
    for rule in schedule(Chance(f"simulate/{venue}/{seed}").fork("faults")):
        print("fault:", rule)
    print(text_of(Chance(f"simulate/{venue}/{seed}").fork("scenario")))
    ran = run_seed(venue, seed)
    print(f"{venue} seed {seed}: {ran.verdict}, {ran.virtual_secs:g} s, fired {dict(ran.fired)}")
    for breach in ran.breaches:
        print("BREACH:", breach)
    return 1 if ran.breaches else 0


def _tell(results: Sequence[Ran], twice: Sequence[Ran]) -> int:
    failed = [ran for ran in results if ran.breaches]
    for ran in failed[:5]:
        print(f"FAILED {ran.venue} seed {ran.seed}: {ran.breaches[0]}")
        for rule in shrink(ran.venue, ran.seed):
            print("   needs fault:", rule)
        print(f"   again: python tests/simulate/simulate.py --venue {ran.venue} --seed {ran.seed}")
    first = {(ran.venue, ran.seed): ran.digest for ran in results}
    unequal = [ran for ran in twice if first[ran.venue, ran.seed] != ran.digest]
    for ran in unequal:
        print(f"NOT DETERMINISTIC {ran.venue} seed {ran.seed}")
    fired: Counter[str] = sum((ran.fired for ran in results), Counter())
    never = sorted(set(ACTIONS) - set(fired)) if len(results) >= 500 else []
    for action in never:
        print(f"NEVER HIT: fault {action}")
    verdicts = Counter(ran.verdict for ran in results)
    hours = sum(ran.virtual_secs for ran in results) / 3600
    equal = len(twice) - len(unequal)
    print(f"verdicts: {dict(verdicts)}; {hours:.1f} h of virtual time; twice with equal bytes: {equal}")
    print(f"faults fired: {dict(sorted(fired.items()))}")
    print(f"simulate: {len(results) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed or unequal or never else 0


if __name__ == "__main__":
    raise SystemExit(main())
