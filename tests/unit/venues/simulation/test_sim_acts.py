"""What the venue does by itself as rules: which of them load, when they count, and nonsense that repeats."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from core.chance import Chance
from core.clock import VirtualClock, run_virtual
from venues.simulation import SIMULATORS, mishaps, open_simulator
from venues.simulation.faults import ACTIONS, KINDS, SHAPES, Faults
from venues.simulation.records import Reason, State, Ticket


def played(body):
    """Run a plain function on virtual time, where simulators can be opened."""

    async def main():
        return body()

    return run_virtual(main())


def opened(venue, **settings):
    return open_simulator(venue, clock=VirtualClock(), chance=Chance(1), **settings)


def resting(sim, share=99):
    """A perp buy order of the account, a little behind the best bid."""
    engine = sim.engine
    listing = next(each for each in engine.listings.values() if each.is_perp and each.base == "SOL")
    owner = next(iter(engine.accounts))
    _, notes = sim.forced("liquidate")
    if "worst_i" not in notes and "expiry" in notes:
        notes = {**notes, "worst_i": 1}
    best = engine.books[listing.symbol].best_bid[0]
    ticket = Ticket(
        owner=owner,
        symbol=listing.symbol,
        is_ask=False,
        size_i=10 * listing.lot_i,
        price_i=best * share // 100 // listing.tick_i * listing.tick_i,
        client_id=None,
        notes=notes,
    )
    return engine.place(ticket)


def test_a_rule_of_the_venue_counts_only_where_it_would_change_something():
    """[ours] `nth: [1]` of a liquidation is the first request at which a position is held."""
    faults = Faults.load([{"action": "liquidate", "nth": [1]}])
    assert faults.venue("place", lambda rule: False) is None
    assert faults.rules[0].matched == 0
    assert faults.venue("cancel", lambda rule: True) is faults.rules[0]
    assert faults.venue("cancel", lambda rule: True) is None


def test_a_rule_for_logins_strikes_logins_alone():
    """[ours] Requests and messages are not counted as logins."""
    faults = Faults.load([{"action": "refuse_login", "nth": [1]}])
    assert [faults.http("other"), faults.text("place"), faults.ws("other")] == [None, None, None]
    assert faults.login() is faults.rules[0]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"action": "clock_jump", "params": {"by_ms": 0}}, "by_ms: expected a whole number other than 0, found 0"),
        ({"action": "clock_drift", "params": {"ppm": "fast"}}, "ppm: expected a whole number other than 0"),
        ({"action": "malformed", "on": "ws", "params": {"shape": "jason"}}, "did you mean 'json'?"),
        ({"action": "withdraw", "params": {"ms": -1}}, "ms: expected a whole number from 0 up"),
        ({"action": "refuse_login", "on": "http"}, "allowed: login"),
        ({"action": "delay", "on": "http", "params": {"ms": None}}, "ms: expected a whole number"),
    ],
)
def test_what_a_file_may_not_say_is_told(row, words):
    """[ours] The rule, its key and what is allowed there."""
    with pytest.raises(ValueError, match="rule 1") as caught:
        Faults.load([row])
    assert words in str(caught.value)


def test_money_may_be_gone_for_good():
    """[ours] `ms: null` never gives it back."""
    (rule,) = Faults.load([{"action": "withdraw", "params": {"ms": None}}]).rules
    assert rule.params["ms"] is None


@pytest.mark.parametrize("shape", SHAPES)
def test_nonsense_repeats_with_the_seed_and_is_what_it_says(shape):
    """[ours] Bytes are no UTF-8, text is no JSON, json is JSON; the same seed says the same."""
    said = [Faults((), Chance(seed)).nonsense(shape) for seed in (1, 1)]
    assert said[0] == said[1]
    for number in range(50):
        nonsense = Faults((), Chance(number)).nonsense(shape)
        if shape == "json":
            msgspec.json.decode(nonsense)
        else:
            with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError)):
                msgspec.json.decode(nonsense if isinstance(nonsense, str) else nonsense.decode())


def test_there_are_at_least_twenty_five_faults_and_each_says_what_it_does():
    """[ours] Every action strikes kinds that exist and has a sentence."""
    assert len(ACTIONS) >= 25
    for facts in ACTIONS.values():
        assert facts.meaning.endswith(".")
        assert all(set(kinds) <= set(KINDS[on]) for on, kinds in facts.strikes.items())


@pytest.mark.parametrize("venue", SIMULATORS)
def test_a_late_trade_moves_the_position_and_keeps_the_end(venue):
    """[ours] The order stays cancelled with more filled, or becomes filled; the account has what it bought."""

    def body():
        sim = opened(venue)
        order = resting(sim)
        sim.engine.cancel(order)
        assert (order.state, order.filled_i) == (State.CANCELLED, 0)
        mishaps.trade_late(sim, order, Decimal("0.5"))
        account = sim.engine.accounts[order.owner]
        assert order.late_i == order.filled_i == account.net_i(order.symbol) > 0
        assert order.state is State.CANCELLED
        mishaps.trade_late(sim, order, Decimal("0.9999"))
        return order.state, order.left_i < order.size_i // 2

    assert played(body)[1]


@pytest.mark.parametrize("venue", SIMULATORS)
def test_new_orders_are_hidden_for_a_moment_only(venue):
    """[ours] While it lasts neither list, look-up nor fills know the order; afterwards all is as before."""

    def body():
        sim = opened(venue)
        order = resting(sim)
        with mishaps.hidden(sim, 1000) as count:
            seen = order.id in sim.engine.orders, sim.engine.open_orders(order.owner), count
        with mishaps.hidden(sim, -1000) as none:
            return seen, none, order.id in sim.engine.orders, len(sim.engine.open_orders(order.owner))

    assert played(body) == ((False, [], 1), 0, True, 1)


@pytest.mark.parametrize("venue", SIMULATORS)
def test_a_late_refusal_ends_what_rests_and_nothing_else(venue):
    """[ours] As a post-only order that would have traded; one that has traded meanwhile is left alone."""

    def body():
        sim = opened(venue)
        first, second = resting(sim), resting(sim)
        mishaps.trade_early(sim, second, Decimal("0.5"))
        for order in (first, second):
            mishaps.refuse_late(sim, order)
        return first.state, first.reason, second.state, second.filled_i > 0

    assert played(body) == (State.EXPIRED, Reason.WOULD_CROSS, State.OPEN, True)


@pytest.mark.parametrize("venue", SIMULATORS)
def test_a_clock_jumps_and_drifts_and_engine_times_never_go_back(venue):
    """[ours] The venue's own time moves; what the engine stamps still grows."""

    async def main():
        clock = VirtualClock()
        sim = open_simulator(venue, clock=clock, chance=Chance(1))
        stamps = [sim.engine.stamp()]
        sim.jump(-10_000)
        stamps.append(sim.engine.stamp())
        sim.drift(100_000, 5_000)
        await clock.sleep(20)
        stamps.append(sim.engine.stamp())
        return sim.now_ms() - clock.now_ms(), stamps == sorted(set(stamps))

    assert run_virtual(main()) == (-10_000 + 500, True)


@pytest.mark.parametrize("venue", SIMULATORS)
def test_money_that_is_gone_comes_back(venue):
    """[ours] Every account is as rich afterwards as before, and what moved is written down meanwhile."""

    async def main():
        clock = VirtualClock()
        sim = open_simulator(venue, clock=clock, chance=Chance(1))

        def wealth():
            return {
                (owner, asset): balance.free
                for owner, account in sim.engine.accounts.items()
                for asset, balance in account.balances.items()
            }

        before = wealth()
        (rule,) = Faults.load([{"action": "withdraw", "params": {"ms": 1000}}]).rules
        mishaps.happen(sim, rule)
        poor, moved = wealth(), dict(sim.engine.moved)
        await clock.sleep(2)
        sim.advance()
        assert all(before[each] + amount == poor[each] for each, amount in moved.items())
        return poor == before, wealth() == before, len(moved) > 0

    assert run_virtual(main()) == (False, True, True)
