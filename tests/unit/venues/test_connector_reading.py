"""What the shell reads, how often it tries, and what a failed reading is worth; on virtual time."""

from __future__ import annotations

import pytest

from tests.unit.venues.toy import COIN, play
from venues.dialect import HttpReply
from venues.errors import LocalRuleError, OutcomeUnknown, Refused
from venues.events import OrderSeen
from venues.interface import Absent
from venues.wire import READ_SECS, READ_TRIES, Broken, NotSent


def test_an_order_is_found_or_absent_as_of_before_the_first_request():
    """[ours] Absence is dated by the moment before its first request was sent."""

    async def story(toy):
        toy.wire.answers["/history"] = [[5]]
        seen = await toy.connector.get_order(COIN, 5)
        assert isinstance(seen, OrderSeen)
        assert toy.heard[-1] == seen
        toy.wire.answers["/history"] = [[]]
        before = toy.connector.venue_now_ms()
        toy.wire.answers["/open"] = [Broken("lost"), []]
        assert await toy.connector.get_order(COIN, 6) == Absent(client_id=6, read_ms=before)

    play(story)


@pytest.mark.parametrize(
    "answer", [NotSent("refused"), Broken("lost"), HttpReply(502, b""), HttpReply(400, b""), HttpReply(401, b"")]
)
@pytest.mark.parametrize("path", ["/open", "/history"])
def test_a_failed_look_up_proves_nothing(path, answer):
    """[ours] Whatever goes wrong with a look-up, the order may exist."""

    async def story(toy):
        toy.wire.answers[path] = [answer]
        with pytest.raises(OutcomeUnknown):
            await toy.connector.get_order(COIN, 5)

    play(story)


def test_readings_answer_with_what_the_venue_has():
    """[ours] Each reading is the venue's answer, translated."""

    async def story(toy):
        toy.wire.answers.update({"/open": [[1, 2]], "/fills": [["a", "b"]], "/positions": [{COIN: "-2"}]})
        connector = toy.connector
        assert [seen.client_id for seen in await connector.get_open_orders()] == [1, 2]
        assert [seen.client_id for seen in await connector.get_open_orders(COIN)] == [1, 2]
        assert [seen.trade_id for seen in await connector.get_order_fills(COIN, 1)] == ["a", "b"]
        assert [seen.quantity for seen in await connector.get_positions()] == [-2]
        assert [seen.free for seen in await connector.get_balances()] == [100]
        assert (await connector.get_margin()).balance == 100
        for wrong in (connector.get_open_orders("GHOST"), connector.get_top_of_book("GHOST")):
            with pytest.raises(LocalRuleError) as caught:
                await wrong
            assert caught.value.code == "UNKNOWN_SYMBOL"

    play(story)


@pytest.mark.parametrize(
    "hiccup", [NotSent("refused"), Broken("lost"), HttpReply(500, b""), HttpReply(429, b"", {"retry-after": "x"})]
)
def test_a_reading_is_tried_again(hiccup):
    """[client] A hiccup of the line or of the venue is not the caller's business."""

    async def story(toy):
        toy.wire.answers["/positions"] = [hiccup, hiccup, {COIN: "1"}]
        assert len(await toy.connector.get_positions()) == 1

    play(story)


def test_a_reading_waits_as_long_as_the_venue_says():
    """[venue] Retry-After is obeyed, unless it is longer than a reading may take."""

    async def story(toy):
        toy.wire.answers["/positions"] = [HttpReply(429, b"", {"retry-after": "7"}), {}]
        began = toy.wire.clock.monotonic()
        await toy.connector.get_positions()
        assert toy.wire.clock.monotonic() - began > 7
        toy.wire.answers["/positions"] = [HttpReply(429, b"slow down", {"retry-after": "600"})]
        with pytest.raises(OutcomeUnknown) as caught:
            await toy.connector.get_positions()
        assert caught.value.code == "RATE_LIMITED"
        assert caught.value.raw == "slow down"

    play(story)


@pytest.mark.parametrize(
    ("answers", "kind", "code"),
    [
        ([NotSent("refused")], LocalRuleError, "UNREACHABLE"),
        ([Broken("lost"), NotSent("refused")], OutcomeUnknown, "VENUE_UNAVAILABLE"),
        ([HttpReply(500, b"")], OutcomeUnknown, "VENUE_UNAVAILABLE"),
        ([HttpReply(400, b"odd")], OutcomeUnknown, "UNREADABLE"),
        ([HttpReply(401, b"")], Refused, "AUTH"),
    ],
)
def test_how_a_reading_fails_after_its_last_try(answers, kind, code):
    """[ours] A few tries, then the reason."""

    async def story(toy):
        toy.wire.answers["/positions"] = answers
        before = len(toy.wire.asked("/positions"))
        with pytest.raises(kind) as caught:
            await toy.connector.get_positions()
        assert caught.value.code == code
        assert len(toy.wire.asked("/positions")) - before in (1, READ_TRIES)

    play(story)


def test_a_reading_ends_in_time():
    """[client] All tries of a reading together stay within its time limit."""

    async def story(toy):
        toy.wire.latency_secs = 3600
        began = toy.wire.clock.monotonic()
        with pytest.raises(OutcomeUnknown) as caught:
            await toy.connector.get_positions()
        assert caught.value.code == "VENUE_UNAVAILABLE"
        assert toy.wire.clock.monotonic() - began == pytest.approx(READ_SECS)

    play(story)


def test_a_signature_in_the_query_stays_out_of_the_errors():
    """[ours] What a failed reading says never has the query."""

    async def story(toy):
        toy.wire.answers["/book"] = [HttpReply(500, b"")]
        with pytest.raises(OutcomeUnknown) as caught:
            await toy.connector.get_top_of_book(COIN)
        assert "GET /book was" in caught.value.hint

    play(story)
