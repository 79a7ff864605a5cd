"""The connector and its rate budget, on the toy exchange: readings, probes of the clock, cancels and the dead man."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.unit.venues.toy import COIN, Toy, ToyDialect, play
from venues.budget import PATIENCE_SECS, Use
from venues.dialect import Cost, Count, HttpCall, HttpReply, Limit, RateRules
from venues.errors import LocalRuleError, OutcomeUnknown


class ToyRates(RateRules):
    """One window for all; the venue says "slow down" with HTTP 200, and tells its count in a header."""

    def __init__(self, most: int = 100) -> None:
        self.limits = (Limit("all", most, 60),)

    def cost(self, call: HttpCall) -> Sequence[Cost]:
        return (Cost("all"),)

    def order_cost(self, symbol: str, *, cancel: bool, rest: bool) -> Sequence[Cost]:
        return (Cost("all"),)

    def counts(self, call: HttpCall, reply: HttpReply) -> Sequence[Count]:
        return (Count("all", int(reply.headers["used"])),) if "used" in reply.headers else ()

    def throttled(self, reply: HttpReply) -> bool:
        return reply.status == 429 or reply.body == b'"slow down"'


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> ToyRates:
    found = ToyRates()
    monkeypatch.setattr(ToyDialect, "rates", found)
    return found


SLOW = HttpReply(200, b'"slow down"')


def test_a_breach_told_with_http_200_is_tried_again_and_counted(rates: ToyRates):
    """[venue] As OKX's 50011: the reading waits and comes through; the record says that it happened."""

    async def story(toy: Toy) -> None:
        toy.wire.answers["/margin"] = [SLOW, SLOW, "100"]
        began = toy.wire.clock.monotonic()
        assert (await toy.connector.get_margin()).balance == 100
        assert toy.wire.clock.monotonic() - began >= 2
        assert toy.connector.rates.refused == 2

    play(story)


def test_a_breach_that_does_not_end_is_rate_limited_and_proves_nothing(rates: ToyRates):
    """[ours] OutcomeUnknown RATE_LIMITED after the patience of a proof, never a reading that means something else."""

    async def story(toy: Toy) -> None:
        toy.wire.answers["/open"] = [SLOW]
        began = toy.wire.clock.monotonic()
        with pytest.raises(OutcomeUnknown) as told:
            await toy.connector.get_open_orders()
        assert told.value.code == "RATE_LIMITED"
        waited = toy.wire.clock.monotonic() - began
        assert waited == pytest.approx(PATIENCE_SECS[Use.SETTLE], abs=0.5)
        assert 5 < len(toy.wire.asked("/open")) < 15

    play(story)


def test_the_venues_own_count_holds_our_readings_back_and_lets_cancels_pass(rates: ToyRates):
    """[venue] A header says that others on this address used nearly all: readings stop, a cancel leaves at once."""

    async def story(toy: Toy) -> None:
        await toy.submit(1)
        toy.wire.answers["/margin"] = [HttpReply(200, b'"100"', {"used": "95"})]
        await toy.connector.get_margin()
        asked = len(toy.wire.calls)
        with pytest.raises(OutcomeUnknown, match="was not asked for"):
            await toy.connector.get_margin()
        with pytest.raises(LocalRuleError) as told:
            await toy.submit(2)
        assert told.value.code == "RATE_LIMITED"
        assert len(toy.wire.calls) == asked
        began = toy.wire.clock.monotonic()
        await toy.connector.cancel_by_client_id(COIN, 1)
        assert toy.wire.clock.monotonic() - began < 0.1

    play(story)


def test_a_wait_for_room_does_not_bend_the_measured_clock(rates: ToyRates):
    """[ours] The round trip of a probe is read when it leaves, not when it asked for room."""

    async def story(toy: Toy) -> None:
        toy.wire.skew_ms = 700
        toy.connector._budget.refuse((Cost("all"),), 4.0)
        await toy.connector._talks.measure()
        assert abs(toy.connector.venue_now_ms() - toy.wire.clock.now_ms() - 700) <= 10

    play(story)


def test_the_time_limit_of_a_reading_does_not_run_while_it_waits_for_room(rates: ToyRates):
    """[ours] 14 s of our own caution and 6 s of the venue's slowness are two things."""

    async def story(toy: Toy) -> None:
        toy.connector._budget.refuse((Cost("all"),), 14.0)
        toy.wire.latency_secs = 5.0
        assert (await toy.connector.get_margin()).balance == 100

    play(story)


def test_a_proof_may_wait_longer_for_room_than_a_reading_may_take(rates: ToyRates):
    """[ours] A look-up has 30 s of patience; the 15 s of a reading begin when it leaves."""

    async def story(toy: Toy) -> None:
        clock = toy.wire.clock
        toy.connector._budget.refuse((Cost("all"),), 22.0)
        began = clock.monotonic()
        assert list(await toy.connector.get_open_orders()) == []
        assert 22 <= clock.monotonic() - began < 23

    play(story)


def test_a_client_id_that_waits_for_room_is_not_sent_by_somebody_else_meanwhile(rates: ToyRates):
    """[ours] Two submits of one id at once: one leaves, the other is refused here."""

    async def story(toy: Toy) -> None:
        toy.connector._budget.refuse((Cost("all"),), 1.0)
        told = await asyncio.gather(toy.submit(1), toy.submit(1), return_exceptions=True)
        assert len(toy.wire.asked("/order")) == 1
        assert [error.code for error in told if isinstance(error, LocalRuleError)] == ["DUPLICATE_CLIENT_ID"]

    play(story)


def test_what_a_cancel_needs_before_it_leaves_has_the_room_of_a_cancel(rates: ToyRates):
    """[ours] A fresh nonce is read at once where look-ups already wait."""

    async def story(toy: Toy) -> None:
        await toy.submit(1)
        toy.dialect.unprepared = True
        toy.dialect.prepare = toy.dialect.margin
        toy.wire.answers["/margin"] = [HttpReply(200, b'"100"', {"used": "93"}), "100"]
        await toy.connector.get_margin()
        began = toy.wire.clock.monotonic()
        await toy.connector.cancel_by_client_id(COIN, 1)
        assert toy.wire.clock.monotonic() - began < 0.1

    play(story)


def test_a_request_that_finds_no_room_was_not_sent(rates: ToyRates):
    """[ours] cancel_all and the clock raise LocalRuleError RATE_LIMITED, and nothing left."""

    async def story(toy: Toy) -> None:
        toy.connector._budget.refuse((Cost("all"),), 600.0)
        asked = len(toy.wire.calls)
        with pytest.raises(LocalRuleError) as told:
            await toy.connector.cancel_all(COIN)
        assert (told.value.code, len(toy.wire.calls)) == ("RATE_LIMITED", asked)

    play(story)


def test_a_start_outlasts_the_minute_that_an_earlier_process_used_up(rates: ToyRates):
    """[ours] A recovery right after a crash is throttled first; it waits for the window, beyond its 20 s."""

    async def story(toy: Toy) -> None:
        clock = toy.wire.clock
        toy.wire.answers["/markets"] = lambda call: SLOW if clock.monotonic() < 58 else [COIN]
        await toy.connector.start()
        assert toy.connector.synced
        assert clock.monotonic() >= 58

    play(story, started=False)


def test_a_start_that_is_throttled_for_ever_gives_up_in_words(rates: ToyRates):
    """[ours] 20 s and 75 more; the reason says what the exchange said."""

    async def story(toy: Toy) -> None:
        toy.wire.answers["/markets"] = [SLOW]
        with pytest.raises(LocalRuleError) as told:
            await toy.connector.start()
        assert told.value.code == "UNREACHABLE"
        assert "slow down" in str(told.value)
        assert toy.wire.clock.monotonic() <= 100

    play(story, started=False)
