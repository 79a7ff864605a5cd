"""Orders that travel over a stream, on virtual time and the toy exchange."""

from __future__ import annotations

import anyio
import pytest

from tests.unit.venues.toy import play
from venues.dialect import Line
from venues.errors import LocalRuleError, OutcomeUnknown
from venues.events import OrderSeen, Source, Status


def test_an_order_over_the_stream_is_answered_by_its_request_id():
    """[venue] The answer with our request id settles the placement; others do not."""

    async def story(toy):
        toy.dialect.ws_orders = True
        toy.wire.replies_to["place"] = [
            ("answer", {"r": "r99", "status": 422, "body": ""}),
            ("answer", {"r": "r1", "status": 200, "body": '{"id": "w1"}'}),
        ]
        assert await toy.submit() == "w1"
        seen = [event for event in toy.heard if isinstance(event, OrderSeen)]
        assert [(event.client_id, event.status, event.source) for event in seen] == [(1, Status.OPEN, Source.REST)]
        assert not toy.wire.asked("/order")

    play(story)


def test_an_unanswered_order_over_the_stream_is_in_doubt_and_its_late_answer_ignored():
    """[venue] Silence after sending proves nothing; what comes later disturbs nobody."""

    async def story(toy):
        toy.dialect.ws_orders = True
        with pytest.raises(OutcomeUnknown) as caught:
            await toy.submit()
        assert caught.value.code == "IN_DOUBT"
        toy.heard.clear()
        toy.wire.link().say("answer", r="r1", status=200, body='{"id": "w1"}')
        await toy.sleep(1)
        assert toy.heard == []
        assert toy.connector.synced

    play(story, request_timeout_secs=3)


def test_a_line_that_breaks_before_the_answer_leaves_the_order_in_doubt_at_once():
    """[venue] Nobody waits for an answer on a line that is gone."""

    async def story(toy):
        toy.dialect.ws_orders = True
        began = toy.wire.clock.monotonic()

        async def cut():
            await toy.sleep(0.5)
            toy.wire.link().cut()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cut)
            with pytest.raises(OutcomeUnknown) as caught:
                await toy.submit()
        assert caught.value.code == "IN_DOUBT"
        assert toy.wire.clock.monotonic() - began < 1

    play(story)


def test_an_order_over_a_shut_stream_is_in_doubt_and_over_a_line_that_is_down_not_sent():
    """[ours] Bytes may have left a pipe that breaks; none leave without a pipe."""
    lines = (Line(name="fills", private=True), Line(name="account", private=False))

    async def story(toy):
        toy.dialect.ws_orders = True
        toy.wire.send_fails = True
        with pytest.raises(OutcomeUnknown):
            await toy.submit(1)
        toy.wire.link("account").cut()
        await toy.sleep(0.001)
        assert toy.connector.synced
        with pytest.raises(LocalRuleError) as caught:
            await toy.submit(2)
        assert caught.value.code == "NOT_SYNCED"

    play(story, *lines)
