"""The room and its simulator together, over the one connector: what is Binance's own about staying connected."""

from __future__ import annotations

import pytest

from execution.order import State
from tests.contract import arms
from tests.contract.arms import Stack, play
from venues.binance.dialect import PERP_ORDERS
from venues.binance.simulator import BinanceSimulator, Choices
from venues.errors import Refused
from venues.simulation.app import Request


def plays(body, **setup):
    play("memory", "binance", body, **setup)


async def round_trip(venue: Stack) -> None:
    order = await venue.rest()
    assert order.state is State.OPEN
    assert await venue.desk.settle(order) == 0
    bought = await venue.take()
    sold = await venue.take(is_ask=True, reduce_only=venue.kind == "perp")
    assert (bought.state, sold.state) == (State.FILLED, State.FILLED)
    venue.at_rest()


@pytest.fixture
def hours(monkeypatch):
    """Bodies may last for hours of virtual time, on a market that hardly moves."""
    monkeypatch.setitem(arms.LIMIT_SECS, "memory", 20_000.0)

    def settle_down(venue: Stack) -> None:
        venue.sim._street._speed = 0.002

    return settle_down


def ed25519() -> dict[str, str]:
    """The simulator's Ed25519 key, as the two credentials of a user."""
    from core.chance import Chance
    from core.clock import VirtualClock, run_virtual

    async def ask():
        sim = BinanceSimulator(VirtualClock(), Chance(1).fork("sim"))
        return sim.bootstrap("r", "w")["credentials"]

    told = run_virtual(ask())
    return {"api_key": told["ed25519_key"], "api_secret": told["ed25519_seed_hex"]}


@pytest.mark.parametrize("kind", ["perp", "spot"])
def test_an_ed25519_key_logs_on_and_trades(kind):
    """[venue] session.logon, then orders without a signature on spot and with one on perps."""
    plays(round_trip, kind=kind, credentials=ed25519())


def test_an_account_in_hedge_mode_is_refused_at_the_start():
    """[ours] A clear word instead of refusals of every order."""

    async def body(venue: Stack) -> None:
        with pytest.raises(Refused, match="one-way mode") as told:
            await venue.connector.start()
        assert told.value.code == "ACCOUNT_MODE"

    plays(body, sim={"choices": Choices(hedged=True)}, start=False)


def test_a_listen_key_that_expired_is_replaced_and_what_was_missed_is_found():
    """[venue] The socket would stay open and mute: the line is dropped, a new key asked for, a snapshot merged."""

    async def body(venue: Stack) -> None:
        order = await venue.rest()
        before = venue.sim._streams.listen_key
        venue.sim.expire_listen_key()
        venue.hit()
        await venue.until(lambda: venue.sessions()[-2:] == ["lost", "synced"])
        assert venue.sim._streams.listen_key not in (None, before)
        assert "expired" in venue.desk.breaks[0].why
        assert await venue.desk.settle(order, cancel=False) == order.intent.size_i
        venue.at_rest()

    plays(body)


def test_the_listen_key_is_kept_alive_past_its_hour(hours):
    """[venue] PUT every half hour: after an hour and a half the first connection still tells."""

    async def body(venue: Stack) -> None:
        hours(venue)
        await venue.clock.sleep(5400)
        assert venue.sessions() == ["synced"]
        await round_trip(venue)

    plays(body)


def test_a_listen_key_that_died_unheard_is_noticed_at_the_next_extension(hours):
    """[venue] -1125 drops the line, and the next one has a new key."""

    async def body(venue: Stack) -> None:
        hours(venue)
        venue.sim._streams.listen_key = None
        await venue.clock.sleep(1900)
        await venue.until(lambda: venue.sessions()[-2:] == ["lost", "synced"], 60)
        assert "expired" in venue.desk.breaks[0].why
        await round_trip(venue)

    plays(body)


def test_an_announced_shutdown_is_answered_by_new_connections():
    """[venue] Every line is opened again before the venue closes it."""

    async def body(venue: Stack) -> None:
        venue.sim.shut_down()
        await venue.until(lambda: venue.connector.synced and venue.sessions().count("lost") >= 2)
        await round_trip(venue)

    plays(body)


def test_perp_orders_go_over_rest_while_their_line_is_down():
    """[venue] The order line is no condition for trading: the safety net is the same request over REST."""

    async def body(venue: Stack) -> None:
        session = venue.connector._streams.sessions[PERP_ORDERS]
        session._drop("WS_TIMEOUT", "cut by the test")
        asked: list[Request] = []
        send, http = venue.sim.http, venue.sim.http_kind

        def hear(request: Request):
            asked.append(request)
            return send(request)

        venue.sim.http = hear
        assert venue.connector.synced
        order = await venue.rest()
        assert order.state is State.OPEN
        assert [http(request) for request in asked] == ["place"]
        assert await venue.desk.settle(order) == 0
        venue.at_rest()

    plays(body)


def test_the_dead_mans_switch_cancels_what_nobody_keeps_alive():
    """[venue] Armed for 120 s, disarmed with 0."""

    async def body(venue: Stack) -> None:
        symbol = venue.market.venue_symbol
        order = await venue.rest()
        await venue.connector.arm_dead_man(symbol)
        await venue.clock.sleep(119)
        assert len(venue.live()) == 1
        await venue.clock.sleep(2)
        assert venue.live() == []
        await venue.until(lambda: order.state is State.CANCELLED)
        kept = await venue.rest()
        await venue.connector.arm_dead_man(symbol)
        await venue.connector.disarm_dead_man(symbol)
        await venue.clock.sleep(130)
        assert len(venue.live()) == 1
        assert await venue.desk.settle(kept) == 0

    plays(body, speed=0.1)


@pytest.mark.parametrize("lag_ms", [500, 4000])
def test_a_replica_that_does_not_know_an_order_yet_proves_nothing(lag_ms):
    """[venue] -2013 right after placing: within the read lag no order is declared absent."""
    lost = [{"action": "lose_reply", "on": "http", "kind": "place", "nth": [1]}]
    mute = [{"action": "drop", "on": "ws", "kind": kind} for kind in ("order", "fill")]

    async def body(venue: Stack) -> None:
        order = await venue.rest()
        assert len(venue.live()) == 1
        assert await venue.desk.settle(order) == 0
        assert order.state is State.CANCELLED
        venue.at_rest()

    plays(body, sim={"choices": Choices(replica_lag_ms=lag_ms)}, faults=lost + mute)


def test_perp_and_spot_of_one_name_are_traded_side_by_side():
    """[ours] Orders, fills and balances never cross between the two."""

    async def body(venue: Stack) -> None:
        spot = venue.desk.markets.find("SOL", "spot")
        assert (venue.market.venue_symbol, spot.venue_symbol) == ("SOLUSDT_PERP", "SOLUSDT")
        await venue.connector.watch(spot.venue_symbol)
        perp_order = await venue.rest()
        bid_i, _, _ = await venue.connector.get_top_of_book(spot.venue_symbol)
        spot_order = await venue.desk.place_limit(
            spot, is_ask=False, size_i=100, price_i=bid_i * 99 // 100, leg="test/spot"
        )
        listed = await venue.connector.get_open_orders()
        assert {seen.client_id: seen.symbol for seen in listed} == {
            perp_order.client_id: "SOLUSDT_PERP",
            spot_order.client_id: "SOLUSDT",
        }
        await venue.connector.cancel_all(spot.venue_symbol)
        await venue.until(lambda: spot_order.state is State.CANCELLED)
        assert perp_order.state is State.OPEN
        assert await venue.desk.settle_all() == []
        venue.at_rest()

    plays(body)
