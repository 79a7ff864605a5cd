"""DESIGN §4's invariants, looked at after every event of seeded plays in which everything may go wrong at once."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import anyio
import msgspec
import pytest

from core.chance import Chance
from core.clock import VirtualClock, run_virtual
from core.precision import as_decimal
from execution.journal import Journal
from execution.order import TERMINAL, State, encode_entry
from execution.orders import SETTLE_SECS
from execution.tracking_limit import Reason, TrackingLimit, unreserved_i
from tests.unit.execution.desk import Desk
from tests.unit.execution.venue_double import ABILITIES, SOL, Plan, VenueDouble
from venues.events import Status

BLOCKS, BLOCK = 10, 40


def a_plan(chance: Chance) -> Plan:
    """One order's fate; about half of them are harmless."""
    fills = tuple(
        (chance.uniform(0, 6), chance.pick([1, 5, 20, 60, 97, 100])) for _ in range(chance.pick([0, 0, 1, 1, 2, 4]))
    )
    if chance.happens(0.4):
        return Plan(fills=fills)
    arrive_secs = chance.pick([0.001, 0.01, 0.2, chance.uniform(1, 4.9), 6.0, None])
    answer = chance.pick(["ok", "ok", "lost", "lost", "POST_ONLY_WOULD_CROSS", "RATE_LIMITED"])
    if arrive_secs is None or arrive_secs > 0.5:
        answer = "lost"
    answer_secs = chance.pick([0.0, 0.03, 0.6, 2.0]) if answer != "ok" else chance.pick([0.0, 0.03, 0.6])
    return Plan(
        arrive_secs=arrive_secs,
        answer=answer,
        # An acknowledgement comes after the arrival; a lost one may be given up before.
        answer_secs=max(answer_secs, arrive_secs or 0) if answer == "ok" else answer_secs,
        fills=fills,
        expire_secs=chance.uniform(0, 3) if chance.happens(0.15) else None,
        tell_secs=chance.pick([0.001, 0.02, 0.4, 1.5]),
        fill_tell_secs=chance.pick([None, 0.001, 0.5, 2.0]),
        silent=chance.happens(0.15),
        twice=chance.happens(0.3),
        named_fills=chance.happens(0.7),
        cancel=chance.pick(["ok", "ok", "ok", "ok", "ok", "lost", "dropped"]),
        cancel_secs=chance.pick([0.0, 0.02, 0.5, 2.5]),
        cancel_answer_secs=chance.pick([0.0, 0.03, 1.0]),
    )


class Witness:
    """Holds truth and belief side by side after every event."""

    def __init__(self, venue: VenueDouble, desk: Desk, wanted: TrackingLimit) -> None:
        self.venue, self.desk, self.wanted = venue, desk, wanted
        self.states: dict[int, State] = {}
        self.filled: dict[int, int] = {}
        self.sent: set[int] = set()
        self.looks = 0
        venue.after_event = self.look
        venue.before_submit = self.before_submit

    def before_submit(self, client_id: int) -> None:
        assert client_id not in self.sent, "a client id is sent once"
        self.sent.add(client_id)
        assert self.venue.synced, "no submit while unsynced"
        assert not self.desk.halted, "no submit while halted"
        assert self.venue.maybe_live == [], "at most one possibly live order per leg"
        assert client_id in {intent.client_id for intent, _ in self.desk.memory.unsettled()}, "intent first"
        intent = self.desk.book[client_id].intent
        bid_i, ask_i = self.venue.told_book[SOL.symbol]
        assert intent.price_i >= ask_i if intent.is_ask else intent.price_i <= bid_i, "own side only"
        assert intent.post_only

    def look(self) -> None:
        self.looks += 1
        quantity_i, venue = self.wanted.quantity_i, self.venue
        assert len(venue.maybe_live) <= 1
        assert venue.true_filled_i <= quantity_i, "true fills never exceed the quantity"
        charged = settled = 0
        for order in self.desk.of_leg(self.wanted.leg):
            true = venue.true.get(order.client_id)
            if order.settled:
                assert true is None or true.dead, "a settled order cannot live"
                assert order.filled_i == order.traded_i == (true.filled_i if true else 0), "settled is the truth"
                settled += order.filled_i
            else:
                charged += order.intent.size_i
            assert order.filled_i <= (true.filled_i if true else 0) <= order.intent.size_i
            assert order.filled_i >= self.filled.get(order.client_id, 0), "quantity only grows"
            before = self.states.get(order.client_id)
            if before in TERMINAL and order.state is not before:
                assert (before, order.state) == (State.CANCELLED, State.FILLED)
            if order.state is State.FAILED:
                assert true is None or (true.status is None and true.filled_i == 0), "FAILED was never live"
            self.filled[order.client_id], self.states[order.client_id] = order.filled_i, order.state
        free_i = unreserved_i(quantity_i, self.desk.of_leg(self.wanted.leg))
        assert quantity_i == free_i + settled + charged
        assert free_i >= 0


async def a_play(seed: int) -> tuple[Reason, int, bytes]:
    """One seeded play with its faults; returns the reason, the looks taken and every order's timeline."""
    chance = Chance(f"sweep/{seed}")
    facts = msgspec.structs.replace(SOL, min_size_i=chance.pick([1, 1, 5]))
    abilities = msgspec.structs.replace(ABILITIES, fence=chance.happens(0.3))
    venue = VenueDouble(VirtualClock(), markets=(facts,), abilities=abilities)
    desk = Desk(venue, seed=seed)
    plans = chance.fork("plans")
    venue.plans = [a_plan(plans) for _ in range(60)]
    venue.crossing = chance.pick(["refuse", "expire"])
    venue.read_lag_secs = chance.pick([0.0, 0.5, 1.9])
    venue.list_lag_secs = chance.pick([None, 1.0])
    venue.reads_fail = chance.pick([0, 0, 3, 9])
    venue.offset_ms = chance.pick([0, -3_000, 3_000])
    venue.book_tell_secs = chance.pick([0.0, 0.05, 0.3])
    jitter = chance.fork("jitter")
    if chance.happens(0.5):
        venue.jitter = lambda: jitter.uniform(0, 0.4)
    wanted = TrackingLimit(
        is_ask=chance.happens(0.5),
        quantity_i=100,
        leg="sweep",
        interval_secs=chance.pick([1.0, 3.0, 5.0]),
        timeout_secs=chance.pick([8.0, 20.0, 40.0]),
        max_attempts=chance.pick([3, 12, 40]),
        price_offset_ticks=chance.pick([0, 0, 2]),
        keep_if_best=chance.happens(0.3),
    )
    witness = Witness(venue, desk, wanted)
    await venue.start()
    await anyio.sleep(0.5)
    began = venue.clock.monotonic()
    walk = chance.fork("book")
    for step in range(40):
        bid_i = 14_000 + walk.integer(-4, 4)
        venue._later(step + walk.uniform(0, 1), lambda bid_i=bid_i: venue.set_book(bid_i, bid_i + 2))
    for _ in range(chance.pick([0, 0, 1, 3])):
        at, back = chance.uniform(0, 20), chance.uniform(0.1, 8)
        venue._later(at, lambda back=back: venue.lose_stream(back))
    if chance.happens(0.1):
        venue._later(chance.uniform(0, 10), desk.stop)
    with anyio.move_on_after(chance.uniform(0, 15) if chance.happens(0.2) else 600):
        await desk.tracking_limit(desk.sol, wanted)
    result = desk.trackings[0]
    took = venue.clock.monotonic() - began
    assert took <= wanted.timeout_secs + 2 * (SETTLE_SECS + 10) + 15, f"bounded: {took}"
    if result.reason is not Reason.IN_DOUBT:
        assert venue.maybe_live == []
        assert result.settled
        assert result.filled_i == venue.true_filled_i
        assert desk.memory.unsettled() == []
        assert not any(o.status in (Status.OPEN, Status.PARTIALLY_FILLED) for o in venue.placed())
    else:
        assert desk.halted
    if result.reason is Reason.FILLED:
        assert venue.true_filled_i == 100
    assert max(map(abs, result.interval_errors_ms), default=0) <= 300
    await anyio.sleep(20)
    for error in venue.broken:
        raise error
    witness.look()
    assert desk.positions.quantity(desk.sol) == venue.positions.get(SOL.symbol, Decimal(0)), "positions agree"
    sign = -1 if wanted.is_ask else 1
    assert venue.positions.get(SOL.symbol, Decimal(0)) == sign * as_decimal(venue.true_filled_i, 2)
    story = b"".join(encode_entry(order, e) for order in desk.book.values() for e in order.history)
    return result.reason, witness.looks, story


@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_fault_breaks_an_invariant(block):
    """[ours] DESIGN 4: the invariants hold after every simulated event, and every play ends in bounded time."""
    reasons: Counter[Reason] = Counter()
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        try:
            reason, looks, _ = run_virtual(a_play(seed))
        except BaseException as broken:
            raise AssertionError(f"seed {seed}: {broken!r}") from broken
        assert looks > 0
        reasons[reason] += 1
    # A sweep in which nothing fills, or nothing goes wrong, would prove nothing.
    assert len(reasons) >= 3
    assert reasons[Reason.FILLED] >= 2


@pytest.mark.parametrize("seed", [3, 17, 101])
def test_the_same_seed_gives_the_same_bytes(seed):
    """[ours] DESIGN 4: same seed → same bytes in the timeline."""
    assert run_virtual(a_play(seed)) == run_virtual(a_play(seed))


def test_the_witness_notices_an_overfill():
    """[ours] The sweep can fail: a second live order of the leg is seen at once."""

    async def story():
        venue = VenueDouble(VirtualClock())
        desk = Desk(venue, journal=Journal(":memory:"))
        Witness(venue, desk, TrackingLimit(is_ask=False, quantity_i=100, leg="sweep"))
        await venue.start()
        await anyio.sleep(0.1)
        for _ in range(2):
            await desk.place_limit(desk.sol, is_ask=False, size_i=100, price_i=14_000, leg="sweep")

    with pytest.raises(AssertionError, match="possibly live"):
        run_virtual(story())
