"""The shell's promises about starting, sending and reading, on virtual time and the toy exchange."""

from __future__ import annotations

import asyncio
import contextlib
import json
from unittest.mock import patch

import anyio
import pytest

from core.clock import VIRTUAL_EPOCH_MS
from tests.unit.venues.toy import COIN, Toy, ToyDialect, ToyLog, play
from venues.dialect import HttpReply
from venues.errors import LocalRuleError, OutcomeUnknown, Refused
from venues.events import OrderSeen, SnapshotSeen, Status
from venues.interface import Absent
from venues.wire import OFFSET_FRESH_SECS, Broken, NotSent


def signed_ms(call) -> int:
    return int(dict(call.headers)["signed"])


# -- starting and stopping


def test_start_leaves_a_synced_connector_and_stop_leaves_nothing():
    """[ours] Start reads markets and clock and opens the streams; stop closes all, and twice is harmless."""

    async def story(toy):
        connector = toy.connector
        assert (connector.name, connector.synced) == ("toy", True)
        assert connector.abilities is toy.dialect.abilities
        assert list(connector.markets) == [COIN, "COINS"]
        assert await connector.get_price_size_decimals(COIN) == (2, 3)
        assert await connector.get_min_size_i(COIN) == 10
        with pytest.raises(RuntimeError):
            await connector.start()
        await connector.stop()
        await connector.stop()
        assert not connector.synced
        assert toy.wire.closed
        assert all(link.closed for link in toy.wire.links)
        with pytest.raises(LocalRuleError) as caught:
            await connector.get_positions()
        assert caught.value.code == "UNREACHABLE"

    play(story)


def test_a_stopped_connector_starts_again_and_waits_for_its_new_snapshot():
    """[ours] Nothing of the first life counts as up in the second."""

    async def story(toy):
        await toy.connector.stop()
        toy.heard.clear()
        await toy.connector.start()
        assert toy.kinds() == ["SnapshotSeen", "SessionSeen"]
        assert len(toy.wire.links) == 4

    play(story)


def test_start_ends_with_the_last_reason_when_the_venue_cannot_be_reached():
    """[client] UNREACHABLE after the start timeout, and nothing is left running."""

    async def story(toy):
        toy.wire.answers["/time"] = [NotSent("connection refused")]
        with pytest.raises(LocalRuleError) as caught:
            await toy.connector.start()
        assert caught.value.code == "UNREACHABLE"
        assert "connection refused" in caught.value.hint
        assert toy.wire.clock.monotonic() == pytest.approx(20)
        assert len(asyncio.all_tasks()) == 1

    play(story, started=False)


def test_start_names_a_stream_that_does_not_come_up():
    """[client] WS_TIMEOUT where REST answers and the stream does not."""

    async def story(toy):
        toy.wire.connect_fails = [Broken("HTTP 502")] * 99
        with pytest.raises(LocalRuleError) as caught:
            await toy.connector.start()
        assert caught.value.code == "WS_TIMEOUT"
        assert "HTTP 502" in caught.value.hint
        assert len(asyncio.all_tasks()) == 1
        toy.wire.connect_fails = []
        await toy.connector.start()
        assert toy.connector.synced

    play(story, started=False, start_timeout_secs=5)


@pytest.mark.parametrize("path", ["/markets", "/time", "/listen", "/margin"])
def test_a_key_refused_by_rest_ends_the_start_at_once(path):
    """[venue] AUTH is final: trying again with the same key helps nobody."""

    async def story(toy):
        toy.wire.answers[path] = [HttpReply(401, b"")]
        with pytest.raises(Refused) as caught:
            await toy.connector.start()
        assert caught.value.code == "AUTH"
        assert toy.wire.clock.monotonic() < 2
        assert len(asyncio.all_tasks()) == 1

    play(story, started=False)


def test_a_key_refused_by_the_stream_ends_the_start_at_once():
    """[venue] The venue's own words about the login reach the reader."""

    async def story(toy):
        toy.wire.replies_to["login"] = [("refused", {"code": "AUTH", "raw": "no such key"})]
        with pytest.raises(Refused) as caught:
            await toy.connector.start()
        assert caught.value.code == "AUTH"
        assert "no such key" in str(caught.value)
        assert toy.wire.clock.monotonic() < 2

    play(story, started=False)


def test_stop_during_connect_ends_the_start():
    """[ours] A start that is stopped from elsewhere raises and leaves nothing."""

    async def story(toy):
        toy.wire.latency_secs = 1
        starting = asyncio.create_task(toy.connector.start())
        while not toy.wire.asked("/listen"):
            await toy.sleep(0.1)
        await toy.sleep(1.5)
        await toy.connector.stop()
        with pytest.raises(LocalRuleError) as caught:
            await starting
        assert "stopped" in caught.value.hint
        assert not toy.wire.links

    play(story, started=False)


def test_a_cancelled_start_leaves_nothing():
    """[ours] Cancelling the starter stops what it began."""

    async def story(toy):
        toy.wire.answers["/markets"] = [HttpReply(503, b"")]
        with anyio.move_on_after(3):
            await toy.connector.start()
        assert len(asyncio.all_tasks()) == 1
        assert toy.wire.closed

    play(story, started=False)


def test_a_watched_market_that_the_venue_lacks_ends_the_start():
    """[ours] A wrong symbol is said at the start, with the nearest names."""

    async def story(toy):
        await toy.connector.watch("COINZ")
        with pytest.raises(LocalRuleError) as caught:
            await toy.connector.start()
        assert caught.value.code == "UNKNOWN_SYMBOL"
        assert "COIN" in caught.value.hint

    play(story, started=False)


def test_a_market_watched_before_the_start_is_subscribed_from_the_start():
    """[ours] watch() before start() counts."""

    async def story(toy):
        await toy.connector.watch(COIN)
        await toy.connector.start()
        assert toy.wire.link("account").sent[-1]["to"] == [COIN]

    play(story, started=False)


def test_a_bug_of_our_own_ends_the_start_with_words_and_a_later_one_is_told():
    """[ours] No failure hides: it ends the start, or is told as a loss."""
    log = ToyLog()

    async def story(toy):
        broken, toy.dialect.server_time = toy.dialect.server_time, lambda: 1 // 0
        with pytest.raises(LocalRuleError) as caught:
            await toy.connector.start()
        assert "ZeroDivisionError" in caught.value.hint
        toy.dialect.server_time = broken
        await toy.connector.start()
        toy.dialect.server_time = lambda: 1 // 0
        await toy.sleep(OFFSET_FRESH_SECS + 10)
        assert not toy.connector.synced
        assert toy.states()[-1] == "lost"

    play(story, started=False, log=log)
    assert [event for level, event, _ in log.lines if level == "error"] == ["connector_failed"] * 2


def test_waiting_for_sync_ends_when_the_connector_stops():
    """[ours] Nobody waits for ever on a stopped connector."""

    async def story(toy):
        async def wait():
            with pytest.raises(LocalRuleError) as caught:
                await toy.connector.wait_synced()
            assert caught.value.code == "NOT_SYNCED"

        toy.wire.connect_fails = [Broken("down")] * 99
        toy.wire.link().cut()
        await toy.sleep(1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await toy.sleep(1)
            await toy.connector.stop()
        await wait()

    play(story)


# -- the venue's clock


def test_the_offset_of_the_quickest_probe_is_applied_to_signatures():
    """[ours] Offset = server time less the middle of the shortest round trip."""

    async def story(toy):
        async def slow(secs):
            # The venue reads its clock, then the answer takes long: a naive reading is wrong by half of that.
            now = toy.wire.clock.now_ms() + 5000
            await toy.sleep(secs)
            return HttpReply(200, str(now).encode())

        waits = iter([2.0, 0.0, 1.0])
        toy.wire.answers["/time"] = lambda call: slow(next(waits))
        await toy.connector.start()
        ahead = toy.connector.venue_now_ms() - toy.wire.clock.now_ms()
        assert abs(ahead - 5000) <= 6
        assert abs(signed_ms(toy.wire.calls[-1]) - (toy.wire.clock.now_ms() + 5000)) < 100
        assert toy.wire.link().sent[0]["at"] > VIRTUAL_EPOCH_MS + 5000

    play(story, started=False)


def test_one_answered_probe_is_enough():
    """[client] A lost probe does not stop the measuring."""

    async def story(toy):
        toy.wire.answers["/time"] = [Broken("lost"), VIRTUAL_EPOCH_MS + 60_000, Broken("lost")]
        await toy.connector.start()
        assert toy.connector.venue_now_ms() - toy.wire.clock.now_ms() > 59_000

    play(story, started=False)


def test_a_refusal_for_the_clock_has_it_measured_again_soon():
    """[venue] CLOCK_SKEW on a placement is told to the caller, and the next one carries the right time."""

    async def story(toy):
        toy.wire.skew_ms = 30_000
        toy.wire.answers["/order"] = [HttpReply(425, b""), {"id": "v2"}]
        with pytest.raises(Refused) as caught:
            await toy.submit(1)
        assert caught.value.code == "CLOCK_SKEW"
        await toy.sleep(1)
        await toy.submit(2)
        first, second = (signed_ms(call) for call in toy.wire.asked("/order"))
        assert second - first > 30_000

    play(story)


def test_a_reading_refused_for_the_clock_is_read_again_with_the_right_time():
    """[venue] A reading measures the clock and asks again; absence is dated by the clock that was right."""

    async def story(toy):
        toy.wire.skew_ms = -30_000
        toy.wire.answers["/open"] = [HttpReply(425, b""), []]
        found = await toy.connector.get_order(COIN, 5)
        assert isinstance(found, Absent)
        assert found.read_ms < toy.wire.clock.now_ms() - 29_000

    play(story)


def test_the_clock_is_measured_every_ten_minutes_and_a_failure_changes_nothing():
    """[ours] Machines drift; a venue that does not answer leaves the last offset."""

    async def story(toy):
        toy.wire.skew_ms = 1000
        await toy.sleep(OFFSET_FRESH_SECS + 1)
        measured = toy.connector.venue_now_ms() - toy.wire.clock.now_ms()
        assert measured == pytest.approx(1000, abs=10)
        toy.wire.answers["/time"] = [Broken("lost")]
        await toy.sleep(OFFSET_FRESH_SECS + 10)
        assert toy.connector.venue_now_ms() - toy.wire.clock.now_ms() == measured
        assert toy.connector.synced

    play(story)


def test_the_venues_time_can_be_read():
    """[ours] server_time_ms is the venue's own word."""

    async def story(toy):
        toy.wire.answers["/time"] = [1234]
        assert await toy.connector.server_time_ms() == 1234

    play(story)


# -- sending orders


def test_a_placement_returns_the_venue_id_after_its_events_were_told():
    """[ours] Listeners know the order before the caller goes on."""

    async def story(toy):
        assert await toy.submit(1, post_only=True, reduce_only=1) == "v7"
        assert isinstance(toy.heard[-1], OrderSeen)
        assert json.loads(toy.wire.asked("/order")[0].body) == {"cid": 1, "price": 100, "reduce": True}
        sent = await toy.connector.submit_market_order(symbol=COIN, client_order_index=2, size_i=5, is_ask=True)
        assert sent == "v7"
        assert json.loads(toy.wire.asked("/order")[1].body)["price"] is None

    play(story)


def test_a_placement_without_an_order_in_its_answer_returns_no_venue_id():
    """[venue] Where the answer only says "taken", the id comes later by stream."""

    async def story(toy):
        toy.wire.answers["/order"] = [HttpReply(202, b"")]
        assert await toy.submit(1) == ""
        toy.wire.link().say("order", client_id=1, venue_id="late")
        await toy.sleep(1)
        toy.wire.answers["/order"] = [{}]
        await toy.connector.cancel_by_client_id(COIN, 1)
        assert json.loads(toy.wire.asked("/order")[-1].body) == {"cid": 1, "id": "late"}

    play(story)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"symbol": "GHOST"}, "UNKNOWN_SYMBOL"),
        ({"client_id": 0}, "CLIENT_ID_RANGE"),
        ({"client_id": 1001}, "CLIENT_ID_RANGE"),
        ({"client_id": True}, "CLIENT_ID_RANGE"),
        ({"base_amount": 0}, "MIN_SIZE"),
        ({"base_amount": 1.0}, "PRECISION"),
        ({"base_amount": True}, "PRECISION"),
        ({"price": 0}, "PRICE_RANGE"),
        ({"price": -5}, "PRICE_RANGE"),
        ({"price": 1.5}, "PRECISION"),
        ({"price": None}, "PRECISION"),
        ({"reduce_only": 2}, "REDUCE_ONLY"),
    ],
)
def test_a_malformed_order_is_refused_here_and_nothing_is_sent(words, code):
    """[ours] The shell's own rules come before the first byte."""

    async def story(toy):
        with pytest.raises(LocalRuleError) as caught:
            await toy.submit(**words)
        assert caught.value.code == code
        assert not toy.wire.asked("/order")

    play(story)


@pytest.mark.parametrize("first", [{"id": "v1"}, HttpReply(422, b""), Broken("lost"), NotSent("refused")])
def test_a_client_id_is_sent_once_whatever_became_of_it(first):
    """[ours] The same client id is never sent again on this connector."""

    async def story(toy):
        toy.wire.answers["/order"] = [first, {"id": "v2"}]
        with contextlib.suppress(Refused, OutcomeUnknown, LocalRuleError):
            await toy.submit(1)
        with pytest.raises(LocalRuleError) as caught:
            await toy.submit(1)
        assert caught.value.code == "DUPLICATE_CLIENT_ID"
        assert len(toy.wire.asked("/order")) == 1

    play(story)


def test_a_remembered_order_is_looked_up_by_its_venue_id_and_its_client_id_is_spent():
    """[ours] After a restart old ids help to find orders and are not used again."""

    async def story(toy):
        toy.connector.remember(COIN, 5, "old")
        toy.connector.remember(COIN, 6, "")
        toy.wire.answers["/open"] = [[5, 6]]
        assert (await toy.connector.get_order(COIN, 5)).venue_id == "old"
        assert (await toy.connector.get_order(COIN, 6)).venue_id == "found"
        for client_id in (5, 6):
            with pytest.raises(LocalRuleError) as caught:
                await toy.submit(client_id)
            assert caught.value.code == "DUPLICATE_CLIENT_ID"

    play(story)


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (NotSent("refused"), LocalRuleError, "UNREACHABLE"),
        (Broken("reset"), OutcomeUnknown, "IN_DOUBT"),
        (HttpReply(500, b""), OutcomeUnknown, "IN_DOUBT"),
        (HttpReply(400, b""), OutcomeUnknown, "IN_DOUBT"),
        (HttpReply(200, b"<html>"), OutcomeUnknown, "IN_DOUBT"),
        (HttpReply(422, b""), Refused, "MIN_SIZE"),
    ],
)
def test_what_becomes_of_a_placement(answer, kind, code):
    """[ours] Only a proven refusal is one; nothing left is nothing sent; all else is in doubt. Never sent twice."""

    async def story(toy):
        toy.wire.answers["/order"] = [answer]
        with pytest.raises(kind) as caught:
            await toy.submit(1)
        assert caught.value.code == code
        assert len(toy.wire.asked("/order")) == 1

    play(story)


def test_cancelling_the_caller_is_not_swallowed():
    """[ours] A cancelled submit ends cancelled; its caller holds it for in doubt."""

    async def story(toy):
        toy.wire.latency_secs = 5
        task = asyncio.create_task(toy.submit(1))
        await toy.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with anyio.move_on_after(1) as scope:
            await toy.submit(2)
        assert scope.cancelled_caught
        assert len(toy.wire.asked("/order")) == 2

    play(story)


def test_a_cancel_is_sent_also_while_the_streams_are_down():
    """[ours] Taking risk away never waits for the streams."""

    async def story(toy):
        toy.wire.connect_fails = [Broken("down")] * 99
        toy.wire.link().cut()
        await toy.sleep(1)
        assert not toy.connector.synced
        await toy.connector.cancel_by_client_id(COIN, 1)
        assert toy.heard[-1].status is Status.CANCELLED

    play(story)


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (NotSent("refused"), LocalRuleError, "UNREACHABLE"),
        (Broken("reset"), OutcomeUnknown, "IN_DOUBT"),
        (HttpReply(200, b"<html>"), OutcomeUnknown, "IN_DOUBT"),
        (HttpReply(404, b""), Refused, "ORDER_NOT_FOUND"),
    ],
)
def test_what_becomes_of_a_cancel(answer, kind, code):
    """[ours] A cancel is as doubtful as a placement."""

    async def story(toy):
        toy.wire.answers["/order"] = [answer]
        with pytest.raises(kind) as caught:
            await toy.connector.cancel_by_client_id(COIN, 1)
        assert caught.value.code == code

    play(story)


def test_cancel_all_tells_what_it_ended():
    """[ours] Every order that the venue names as cancelled is told."""

    async def story(toy):
        toy.wire.answers["/orders"] = [[3, 4]]
        await toy.connector.cancel_all(COIN)
        assert [event.client_id for event in toy.heard[-2:]] == [3, 4]

    play(story)


@pytest.mark.parametrize(
    ("answers", "kind", "code"),
    [
        ({"/orders": [NotSent("refused")]}, LocalRuleError, "UNREACHABLE"),
        ({"/orders": [Broken("reset")]}, OutcomeUnknown, "IN_DOUBT"),
        ({"/orders/check": [NotSent("refused")]}, OutcomeUnknown, "IN_DOUBT"),
        ({"/orders": [HttpReply(400, b"")]}, OutcomeUnknown, "UNREADABLE"),
        ({"/orders": [HttpReply(200, b"<html>")]}, OutcomeUnknown, "UNREADABLE"),
        ({"/orders": [HttpReply(425, b"")]}, Refused, "CLOCK_SKEW"),
    ],
)
def test_what_becomes_of_cancel_all(answers, kind, code):
    """[ours] It is never sent twice, and once one of its requests left, "not sent" is no answer any more."""

    async def story(toy):
        toy.wire.answers.update(answers)
        with pytest.raises(kind) as caught:
            await toy.connector.cancel_all(COIN)
        assert caught.value.code == code
        assert len(toy.wire.asked("/orders")) == 1

    play(story)


def test_a_host_without_an_address_is_not_sent_to():
    """[ours] A room that names an unknown host gets words, not a KeyError."""

    async def story(toy):
        toy.connector._talks._endpoints = {}
        with pytest.raises(LocalRuleError) as caught:
            await toy.submit(1)
        assert "'rest'" in caught.value.hint

    play(story)


def test_two_runs_with_the_same_seed_tell_the_same():
    """[ours] Same chance, same virtual time, same events."""

    def run():
        async def story(toy: Toy):
            for _ in range(3):
                toy.wire.link().cut()
                await toy.sleep(0.001)
                await toy.connector.wait_synced()
            return [event.asked_ms for event in toy.heard if isinstance(event, SnapshotSeen)]

        return play(story)

    assert run() == run()


def test_signatures_are_prepared_between_orders_with_fresh_entropy():
    """[ours] A dialect that draws ahead is asked at the start and after each request, never twice with one entropy."""
    seen: list[bytes] = []
    wanted = 3

    def draw_ahead(self, entropy: bytes) -> bool:
        if len(seen) >= wanted:
            return False
        seen.append(entropy)
        return True

    async def story(toy):
        nonlocal wanted
        await anyio.sleep(0.01)
        assert len(seen) == 3
        wanted = 5
        await toy.connector.submit_limit_order(
            symbol=COIN, client_order_index=1, base_amount=10, price=100, is_ask=False
        )
        await anyio.sleep(0.01)
        assert len(seen) == len(set(seen)) == 5
        assert {len(each) for each in seen} == {64}

    # A class of its own: what isinstance once found of a protocol, it remembers of the class for good.
    drawing = type("DrawingDialect", (ToyDialect,), {"draw_ahead": draw_ahead})
    with patch("tests.unit.venues.toy.ToyDialect", drawing):
        play(story)
