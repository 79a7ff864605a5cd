"""What a simulator does while nothing happens: as little as it can, and nobody can tell."""

import json

import pytest

from core.chance import Chance
from tests.unit.venues.backpack_sim.trader import HandClock
from venues import VENUES
from venues.simulation import open_simulator
from venues.simulation.desk import TICK_MS, at_tick
from venues.simulation.records import State, Ticket

ASKED = {
    "backpack": ("/", {"method": "SUBSCRIBE", "params": ["trade.BTC_USDC_PERP", "bookTicker.BTC_USDC_PERP"]}),
    "binance": ("/public/ws", {"id": 1, "method": "SUBSCRIBE", "params": ["btcusdt@bookTicker"]}),
    "hyperliquid": ("/ws", {"method": "subscribe", "subscription": {"type": "bbo", "coin": "BTC"}}),
    "lighter": ("/stream", {"type": "subscribe", "channel": "ticker/1"}),
    "okx": ("/ws/v5/public", {"op": "subscribe", "args": [{"channel": "bbo-tbt", "instId": "BTC-USDT-SWAP"}]}),
}


class Ear:
    def __init__(self):
        self.heard = []

    def send(self, text):
        self.heard.append(text)

    def close(self, code=1000, reason=""):
        raise AssertionError(f"closed: {code} {reason}")


class Idle:
    """One simulator and the times at which it woke."""

    def __init__(self, venue):
        self.clock = HandClock(1_767_571_200_007)
        self.sim = open_simulator(venue, clock=self.clock, chance=Chance("idle"))
        self.engine = self.sim.engine
        self.symbol = next(
            symbol for symbol, listing in self.engine.listings.items() if listing.base == "BTC" and listing.is_perp
        )
        self.woke = []

    def live(self, secs):
        end = self.clock.ms + secs * 1000
        while (due := self.sim.next_due_ms()) <= end:
            self.clock.ms = max(self.clock.ms, due)
            self.woke.append(self.clock.ms)
            self.sim.advance()
        self.clock.ms = end

    def listen(self, venue):
        path, message = ASKED[venue]
        ear = Ear()
        self.sim.ws_open(ear, path, {})
        self.sim.ws_text(ear, json.dumps(message))
        return ear


def standing(book):
    return book.bids.ascending(), book.asks.ascending()


@pytest.mark.parametrize("venue", VENUES)
def test_an_idle_simulator_wakes_once_a_second_and_at_ticks(venue):
    """[ours] A thousand of them in one process wake it together."""
    idle = Idle(venue)
    idle.live(10)
    idle.woke.clear()
    idle.live(60)
    assert 60 <= len(idle.woke) <= 75
    assert all(ms % TICK_MS == 0 for ms in idle.woke)


@pytest.mark.parametrize("venue", VENUES)
def test_a_market_that_nobody_saw_has_moved_when_somebody_looks(venue):
    """[ours] The steps that came due are made before the answer."""
    idle = Idle(venue)
    idle.live(10)
    before = standing(idle.engine.peek(idle.symbol))
    idle.live(60)
    assert standing(idle.engine.peek(idle.symbol)) == before
    assert standing(idle.engine.books[idle.symbol]) != before


@pytest.mark.parametrize("venue", VENUES)
def test_whoever_listens_hears_of_the_market_to_the_end(venue):
    """[venue] A subscription made after a long silence starts with what is now and goes on as the book changes."""
    idle = Idle(venue)
    idle.live(100)
    ear = idle.listen(venue)
    counts = []
    for _ in range(3):
        before = len(ear.heard)
        idle.live(20)
        counts.append(len(ear.heard) - before)
    assert min(counts) >= 10, counts


def test_the_first_word_to_a_new_listener_is_its_snapshot():
    """[venue] Lighter: what the market makes up for comes before, and is nobody's."""
    idle = Idle("lighter")
    idle.live(100)
    words = [json.loads(text)["type"] for text in idle.listen("lighter").heard]
    assert words == ["connected", "subscribed/ticker"]


def test_an_order_that_rests_unseen_is_still_traded_with():
    """[ours] A market with an account's order never sleeps."""
    idle = Idle("backpack")
    idle.live(100)
    (owner,) = idle.engine.accounts
    lot, best = idle.engine.listings[idle.symbol].lot_i, idle.engine.books[idle.symbol].best_bid[0]
    order = idle.engine.place(
        Ticket(owner=owner, symbol=idle.symbol, is_ask=False, size_i=lot, price_i=best, notes={"stp": "RejectTaker"})
    )
    idle.live(300)
    assert order.state is State.FILLED


@pytest.mark.parametrize(
    ("now", "ms", "due"), [(1007, 1000, 2000), (1000, 10, 1020), (1019, 1, 1020), (1000, 30, 1040)]
)
def test_a_tick_is_always_later_than_now(now, ms, due):
    """[ours] Rounded to the nearest tick, at least the next one."""
    assert at_tick(now, ms) == due
