"""
The streams are cut after every single message of a recorded play, on every venue: the end is the same each time.

    python -m tests.contract.test_reconnect_proof --seeds 5      # more plays

Whole plays in virtual time. A message is whatever arrives on a stream of the account, the private and the public ones;
all of them end at once, right after it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from core.chance import Chance
from core.clock import Clock
from execution.orders import Orders
from tests.e2e import virtual
from venues import VENUES
from venues.dialect import HttpCall, HttpReply
from venues.events import SnapshotSeen
from venues.session import Session, Streams
from venues.simulation.app import Request
from venues.simulation.gate import FaultGate
from venues.simulation.memory import MemoryLink, MemoryWire

SCENARIO = """scenario: cut
title: Open by tracking limit, close at market
venues: [{venue}]
symbol: SOL
market: {market}
side: buy
size: {size}
steps:
  - tracking_open: {{interval_secs: 2, timeout_secs: 120, max_attempts: 40}}
  - market_close
  - assert_flat
accept:
  flat: true
  round_trip: {{at_least: 1}}
  no_unhandled_errors: true
  logs_complete: true
"""
SEED = 11
SPOT_VENUE = "binance"
MARKETS = [*((venue, "perp") for venue in VENUES), (SPOT_VENUE, "spot")]


@dataclass
class Recorder:
    """What arrives and what leaves, in order; the streams are cut right after the ``cut``-th message."""

    cut: int | None = None
    messages: list[str] = field(default_factory=list)
    """Kinds of the stream messages that arrived."""
    story: list[str] = field(default_factory=list)
    """``cut``, ``merged`` (a snapshot) and ``place`` (an order left)."""
    desk: Orders = None  # type: ignore[assignment]  # known once the play connects

    def make_wire(self, gates: Mapping[str, FaultGate], clock: Clock, chance: Chance) -> MemoryWire:
        return RecordingWire(self, gates, clock, chance)

    def arrived(self, gate: FaultGate, text: str) -> None:
        self.messages.append(gate.app.message_kind(text))
        if len(self.messages) == self.cut:
            self.story.append("cut")
            gate.disconnect()

    async def watch(self, world: virtual.World) -> None:
        await world.until("connecting")
        (play,) = world.interruption._plays
        self.desk = play.desk
        play.venue.subscribe(lambda event: self.story.append("merged") if isinstance(event, SnapshotSeen) else None)

    def sent_blindly(self) -> int:
        """Orders that left between the cut and the next snapshot."""
        if "cut" not in self.story:
            return 0
        after = self.story[self.story.index("cut") :]
        return (after[: after.index("merged")] if "merged" in after else after).count("place")


class RecordingWire(MemoryWire):
    def __init__(self, recorder: Recorder, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._recorder = recorder

    async def request(self, base_url: str, call: HttpCall, timeout_secs: float) -> HttpReply:
        gate = self._reach(base_url)
        path, _, query = (urlsplit(base_url).path.rstrip("/") + call.path).partition("?")
        headers = {name.lower(): value for name, value in call.headers}
        self._left(gate.app.http_kind(Request(call.method, path, query, headers, call.body)))
        return await super().request(base_url, call, timeout_secs)

    async def connect(self, url: str, timeout_secs: float) -> MemoryLink:
        link = await super().connect(url, timeout_secs)
        gate, deliver, send = self._reach(url), link.deliver, link.send

        def delivered(text: str) -> None:
            deliver(text)
            self._recorder.arrived(gate, text)

        async def sent(text: str) -> None:
            self._left(gate.app.text_kind(text))
            await send(text)

        link.deliver, link.send = delivered, sent  # type: ignore[method-assign]
        return link

    def _left(self, kind: str) -> None:
        if kind == "place":
            self._recorder.story.append(kind)


def end_of(venue: str, market: str, cut: int | None = None, seed: int = SEED) -> tuple[dict[str, Any], Recorder]:
    """The end of one play, as far as it must not depend on where the streams were cut."""
    recorder = Recorder(cut)
    with tempfile.TemporaryDirectory() as folder:
        played = virtual.play(
            SCENARIO.format(venue=venue, market=market, size="0.4" if market == "spot" else "0.1"),
            Path(folder),
            venues=[venue],
            seed=seed,
            beside=recorder.watch,
            make_wire=recorder.make_wire,
        )
    world, desk = played.world, recorder.desk
    engine = world.engine(venue)
    own = [order for order in engine.orders.values() if order.owner in engine.accounts]
    traded: dict[bool, Decimal] = {False: Decimal(0), True: Decimal(0)}
    for fill in engine.fills:
        traded[fill.is_ask] += engine.listings[fill.symbol].size(fill.size_i)
    told = {
        is_ask: sum((o.filled for o in desk.book.values() if o.intent.is_ask == is_ask), Decimal(0))
        for is_ask in traded
    }
    (chase,) = desk.trackings
    return {
        "verdict": played.outcome.verdict,
        "steps": played.steps(),
        "opened": (chase.reason, chase.market.size(chase.filled_i) == chase.market.size(chase.wanted.quantity_i)),
        "traded": traded,
        "told": told == traded,
        "live": len(world.live()),
        "held": world.held(venue),
        "twice": len(own) - len({str(order.client_id) for order in own}),
        "without an end": sum(not (order.settled and order.over and order.proven) for order in desk.book.values()),
        "alarms": sum(len(order.alarms) for order in desk.book.values()),
    }, recorder


def wrong(venue: str, market: str, cut: int, calm: Mapping[str, Any], seed: int = SEED) -> str:
    """What differs from the calm play, in words; nothing when the cut changed nothing that counts."""
    end, recorder = end_of(venue, market, cut, seed)
    if recorder.story.count("cut") != 1:
        return f"{venue} {market}: message {cut} never arrived"
    found = {name: value for name, value in end.items() if value != calm[name]}
    blindly = recorder.sent_blindly()
    if not found and not blindly:
        return ""
    kind = recorder.messages[cut - 1]
    return f"{venue} {market}, cut after message {cut} ({kind}): {found}, {blindly} orders sent before the snapshot"


@pytest.mark.parametrize(("venue", "market"), MARKETS)
def test_a_cut_after_any_message_changes_nothing_at_the_end(venue: str, market: str) -> None:
    """[client] Fills add up to the size, the account is flat, every order has a proven end, nothing is sent blindly."""
    calm, recorder = end_of(venue, market)
    assert (calm["verdict"], calm["told"], calm["live"], calm["held"]) == ("accepted", True, 0, 0)
    every = range(1, len(recorder.messages) + 1)
    assert len(every) >= 20
    assert {"book", "order", "fill"} <= set(recorder.messages)
    assert [words for cut in every if (words := wrong(venue, market, cut, calm))] == []


def test_an_order_sent_between_a_cut_and_the_snapshot_would_be_seen() -> None:
    """[ours] The proof looks at what left after the cut, up to the first snapshot after it, or to the end."""
    seen = Recorder()
    for story, blindly in (
        (["merged", "place", "cut", "merged", "place"], 0),
        (["merged", "cut", "place", "merged"], 1),
        (["merged", "place", "cut", "place"], 1),
        (["merged", "place"], 0),
    ):
        seen.story = story
        assert seen.sent_blindly() == blindly


def test_a_connector_that_trades_before_the_snapshot_fails_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """[ours] With that clause taken away, some cut of the same play shows orders that were sent blindly."""
    calm, recorder = end_of("backpack", "perp")
    come_up = Streams.line_up

    def line_up(streams: Streams, session: Session) -> None:
        come_up(streams, session)
        if streams._all_up.is_set():
            streams.synced = True
            streams._synced_event.set()

    monkeypatch.setattr(Streams, "line_up", line_up)
    found = [wrong("backpack", "perp", cut, calm) for cut in range(1, len(recorder.messages) + 1)]
    assert any(words and "0 orders sent" not in words for words in found)


def main() -> int:
    """The same for more plays: each seed is another market."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    bad = 0
    with ProcessPoolExecutor(2) as pool:
        for venue, market in MARKETS:
            cuts: Counter[str] = Counter()
            found: list[str] = []
            for seed in range(1, seeds + 1):
                calm, recorder = end_of(venue, market, None, seed)
                cuts.update(recorder.messages)
                every = range(1, len(recorder.messages) + 1)
                rows = ([venue] * len(every), [market] * len(every), every, [calm] * len(every), [seed] * len(every))
                found += [f"seed {seed}: {words}" for words in pool.map(wrong, *rows, chunksize=4) if words]
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(cuts.items()))
            print(
                f"{venue} {market}: cut after each of {cuts.total()} messages ({kinds}): {len(found)} ended otherwise"
            )
            print("\n".join(found), end="\n" if found else "", flush=True)
            bad += len(found)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
