"""Lines and their step with the venue, on virtual time and the toy exchange."""

from __future__ import annotations

import asyncio
import json

import anyio
import pytest

from core.clock import VIRTUAL_EPOCH_MS, run_virtual
from tests.unit.venues.toy import COIN, PRIVATE, PUBLIC, Toy, ToyLog, order, play
from venues.dialect import HttpReply, Line
from venues.errors import LocalRuleError
from venues.events import BookSeen, SessionSeen, SnapshotSeen, Unreadable
from venues.session import FILLS_MARGIN_MS, IDS_KEPT
from venues.wire import Broken, NotSent


def test_a_line_logs_in_before_it_subscribes_and_the_snapshot_comes_before_synced():
    """[ours] DESIGN 2: connect, log in, subscribe, snapshot, synced."""

    async def story(toy):
        assert [text["k"] for text in toy.wire.link().sent] == ["login", "subscribe"]
        assert toy.kinds()[:2] == ["SnapshotSeen", "SessionSeen"]
        snapshot = toy.heard[0]
        assert snapshot.margin.available == 100
        assert snapshot.fills == ()
        assert toy.states() == ["synced"]
        assert toy.connector.synced

    play(story)


def test_nothing_can_be_submitted_before_the_snapshot_is_merged():
    """[ours] No submit while unsynced, not even from the listener that merges the snapshot."""

    async def story(toy):
        seen = []
        toy.connector.subscribe(lambda event: seen.append((type(event), toy.connector.synced)))
        starting = asyncio.create_task(toy.connector.start())
        while not toy.wire.asked("/margin"):
            await toy.sleep(0.001)
        with pytest.raises(LocalRuleError) as caught:
            await toy.submit()
        assert caught.value.code == "NOT_SYNCED"
        assert not toy.wire.asked("/order")
        await starting
        assert seen == [(SnapshotSeen, False), (SessionSeen, True)]
        assert await toy.submit() == "v7"

    play(story, started=False)


def test_a_broken_line_reconnects_subscribes_again_and_reads_one_snapshot():
    """[ours] DESIGN 2: lost, reconnect, resubscribe, one REST snapshot before anything new."""

    async def story(toy):
        await toy.connector.watch(COIN)
        first = toy.wire.link()
        toy.heard.clear()
        first.cut()
        await toy.sleep(0)
        await toy.sleep(0)
        assert not toy.connector.synced
        assert toy.states() == ["lost"]
        assert toy.heard[0].line == "account"
        assert toy.heard[0].count == 1
        with pytest.raises(LocalRuleError) as caught:
            await toy.submit()
        assert caught.value.code == "NOT_SYNCED"
        await toy.connector.wait_synced()
        assert first.closed
        assert toy.wire.link() is not first
        assert toy.wire.link().sent[-1] == {"k": "subscribe", "to": [COIN]}
        assert toy.kinds() == ["SessionSeen", "SnapshotSeen", "SessionSeen"]
        await toy.submit()

    play(story)


def test_the_snapshot_after_a_break_asks_for_fills_since_the_last_one_told():
    """[ours] Trades missed while the line was down come with the snapshot, from a minute before the last news."""

    async def story(toy):
        await toy.sleep(300)
        toy.wire.link().say("fill", trade_id="a", engine_us=(VIRTUAL_EPOCH_MS + 200_000) * 1000)
        toy.wire.link().say("order", client_id=1, engine_us=(VIRTUAL_EPOCH_MS + 250_000) * 1000)
        toy.wire.link().say("order", client_id=1, engine_us=(VIRTUAL_EPOCH_MS + 240_000) * 1000)
        toy.wire.link().cut()
        toy.wire.answers["/fills"] = [["b"]]
        await toy.sleep(0.001)
        await toy.connector.wait_synced()
        wanted = VIRTUAL_EPOCH_MS + 250_000 - FILLS_MARGIN_MS
        assert [call.path for call in toy.wire.asked("/fills")] == [f"/fills?since={wanted}"]
        snapshot = [event for event in toy.heard if isinstance(event, SnapshotSeen)][-1]
        assert [fill.trade_id for fill in snapshot.fills] == ["b"]

    play(story)


def test_without_news_the_fills_are_asked_since_the_last_snapshot():
    """[ours] A quiet account asks from the last snapshot on, and an engine time ahead of now does not skip trades."""

    async def story(toy):
        first = toy.heard[0].asked_ms + toy.connector.venue_now_ms() - toy.wire.clock.now_ms()
        toy.wire.link().cut()
        await toy.sleep(0.001)
        await toy.connector.wait_synced()
        toy.wire.link().say("fill", engine_us=(VIRTUAL_EPOCH_MS + 10**9) * 1000)
        await toy.sleep(100)
        before = toy.connector.venue_now_ms()
        toy.wire.link().cut()
        await toy.sleep(0.001)
        await toy.connector.wait_synced()
        asked = [int(call.path.split("=")[1]) for call in toy.wire.asked("/fills")]
        assert asked == [first - FILLS_MARGIN_MS, before - FILLS_MARGIN_MS]

    play(story)


def test_a_break_during_the_snapshot_starts_it_over():
    """[ours] A snapshot from before a break proves nothing about what was missed in it."""

    async def story(toy):
        toy.wire.link().cut()
        await toy.sleep(0.001)
        while len(toy.wire.asked("/positions")) < 2:
            await toy.sleep(0.001)
        toy.wire.link().cut()
        toy.heard.clear()
        await toy.connector.wait_synced()
        assert toy.kinds() == ["SessionSeen", "SnapshotSeen", "SessionSeen"]
        assert len(toy.wire.asked("/margin")) == 2
        assert len(toy.wire.asked("/positions")) == 3

    play(story)


def test_all_private_lines_must_be_up():
    """[ours] One of two private lines is not enough, and losing either loses the step."""
    lines = (PRIVATE, Line(name="fills", private=True))

    async def story(toy):
        toy.wire.link("fills").cut()
        await toy.sleep(0.001)
        assert not toy.connector.synced
        toy.wire.link("account").cut()
        await toy.connector.wait_synced()
        assert toy.states() == ["synced", "lost", "lost", "synced"]
        assert len(toy.wire.asked("/margin")) == 2

    play(story, *lines)


def test_a_line_down_again_before_its_waiter_woke_is_not_taken_for_up():
    """[ours] The moment of all lines up may have passed when the snapshot task runs."""

    async def story(toy):
        toy.wire.link().cut()
        await toy.sleep(0.001)
        toy.wire.replies_to["subscribe"] = [("several", {"parts": [{"k": "ready", "stage": "subscribed"}]})]
        streams, session = toy.connector._streams, toy.connector._streams.sessions["account"]
        reads = len(toy.wire.asked("/open"))
        session.up = True
        streams.line_up(session)
        session.up = False
        streams.line_down(session, "WS_TIMEOUT", "gone", True)
        await toy.sleep(0.005)
        assert len(toy.wire.asked("/open")) == reads
        await toy.connector.wait_synced()

    play(story)


def test_a_failing_snapshot_is_read_again_until_it_works():
    """[ours] A 5xx leaves the connector unsynced; it goes on trying."""

    async def story(toy):
        toy.wire.answers["/margin"] = [HttpReply(503, b"")] * 5 + [KeyError("a bug"), "77"]
        toy.wire.link().cut()
        await toy.sleep(0.001)
        await toy.connector.wait_synced()
        assert [event.margin.balance for event in toy.heard if isinstance(event, SnapshotSeen)] == [100, 77]

    play(story)


def test_a_snapshot_that_a_listener_cannot_merge_does_not_count():
    """[ours] Orders wait until the snapshot is merged by everybody, so a failing listener keeps us unsynced."""

    async def story(toy):
        failures = [ValueError("cannot"), ValueError("still not")]

        def merge(event):
            if isinstance(event, SnapshotSeen) and failures:
                raise failures.pop()

        toy.connector.subscribe(merge)
        await toy.connector.start()
        assert not failures
        assert toy.kinds().count("SnapshotSeen") == 3
        assert toy.states() == ["synced"]

    play(story, started=False)


def test_stream_events_during_the_snapshot_arrive_at_once_and_in_order():
    """[ours] Private events are neither held back nor lost while the snapshot is read."""

    async def story(toy):
        starting = asyncio.create_task(toy.connector.start())
        while not toy.wire.asked("/open"):
            await toy.sleep(0.001)
        toy.wire.link().say("order", client_id=5)
        toy.wire.link().say("fill", client_id=5)
        await starting
        assert toy.kinds() == ["OrderSeen", "FillSeen", "SnapshotSeen", "SessionSeen"]

    play(story, started=False)


@pytest.mark.parametrize("line", [PUBLIC, PRIVATE], ids=["text", "frame"])
def test_a_silent_line_is_found_dead_by_its_ping(line):
    """[client] A stream that stays open and says nothing is dropped when its ping stays unanswered."""

    async def story(toy):
        link = toy.wire.link(line.name)
        await toy.sleep(3 * line.ping_secs)
        assert len(link.pings) == 3
        assert toy.states() == ["synced"]
        toy.wire.silent = True
        await toy.sleep(line.ping_secs + line.silence_secs + 1)
        assert link.closed
        assert toy.states()[1] == "lost"
        assert any("silent" in getattr(event, "why", "") for event in toy.heard)

    play(story)


def test_only_a_public_line_lost_leaves_orders_possible():
    """[ours] A public line is told lost and back, and does not stop orders."""

    async def story(toy):
        toy.wire.link("books").cut()
        await toy.sleep(0.001)
        assert toy.connector.synced
        await toy.submit()
        await toy.sleep(1)
        lines = [(e.state, e.line) for e in toy.heard if isinstance(e, SessionSeen)]
        assert lines == [("synced", ""), ("lost", "books"), ("synced", "books")]

    play(story)


def test_waits_grow_while_the_venue_is_down_and_start_small_after_a_stable_minute():
    """[ours] Reconnects back off, and a line that lasted begins anew."""

    async def story(toy):
        toy.wire.connect_fails = [NotSent("refused")] * 6
        toy.wire.link().cut()
        began = toy.wire.clock.monotonic()
        await toy.sleep(0.001)
        await toy.connector.wait_synced()
        assert 0.25 * (2**7 - 1) / 2 < toy.wire.clock.monotonic() - began < 0.25 * 2**7 + 1
        await toy.sleep(61)
        toy.wire.link().cut()
        began = toy.wire.clock.monotonic()
        await toy.sleep(0.001)
        await toy.connector.wait_synced()
        assert toy.wire.clock.monotonic() - began < 0.5

    play(story)


def test_a_login_that_nobody_confirms_drops_the_line():
    """[client] Waiting for a login ends by itself, and the line is tried again."""

    async def story(toy):
        toy.wire.mute = True
        toy.wire.link().cut()
        await toy.sleep(11)
        assert [link.closed for link in toy.wire.links if link.url.endswith("account")] == [True, True, False]
        toy.wire.mute = False
        await toy.connector.wait_synced()

    play(story)


def test_what_cannot_be_decoded_is_recorded_and_survived():
    """[client] Garbage, a decoder's bug, bytes and unknown words cost neither the line nor later messages."""

    async def story(toy):
        link = toy.wire.link()
        toy.heard.clear()
        link.say_raw("{not json")
        link.say_raw(b'\xff{"k"')
        link.say("explode")
        link.say("gibberish")
        link.say("ready", stage="married")
        link.say("order", client_id=3)
        await toy.sleep(1)
        assert toy.kinds() == ["Unreadable"] * 5 + ["OrderSeen"]
        assert "ZeroDivisionError" in toy.heard[2].why
        assert toy.connector.synced

    play(story, log=ToyLog())


def test_a_listener_that_raises_costs_neither_the_session_nor_the_others():
    """[ours] Its failure is recorded as Unreadable, without running in circles."""

    async def story(toy):
        def broken(event):
            raise RuntimeError("listener bug")

        stop = toy.connector.subscribe(broken)
        last = []
        toy.connector.subscribe(last.append)
        toy.heard.clear()
        toy.wire.link().say("order", client_id=9)
        await toy.sleep(1)
        assert toy.kinds() == ["OrderSeen", "Unreadable"]
        # The listener after the broken one hears both, the failure first: it was told from within.
        assert sorted(type(event).__name__ for event in last) == ["OrderSeen", "Unreadable"]
        assert "RuntimeError" in toy.heard[1].why
        assert toy.connector.synced
        stop()
        toy.wire.link().say("order", client_id=10)
        await toy.sleep(1)
        assert toy.kinds() == ["OrderSeen", "Unreadable", "OrderSeen"]

    play(story)


def test_watching_while_running_subscribes_every_line_with_all_markets():
    """[ours] A market watched later joins those watched before, on each line; twice is once."""

    async def story(toy):
        await toy.connector.watch(COIN)
        await toy.connector.watch("COINS")
        await toy.connector.watch("COINS")
        for line in ("account", "books"):
            wanted = [[], [COIN], [COIN, "COINS"]]
            assert [t["to"] for t in toy.wire.link(line).sent if t["k"] == "subscribe"] == wanted
        with pytest.raises(LocalRuleError) as caught:
            await toy.connector.watch("COIM")
        assert caught.value.code == "UNKNOWN_SYMBOL"
        assert "COIN" in caught.value.hint

    play(story)


def test_watching_on_a_shut_line_drops_it_and_the_next_one_has_the_market():
    """[client] A subscription that cannot be sent is made on the next connection."""

    async def story(toy):
        toy.wire.send_fails = True
        await toy.connector.watch(COIN)
        assert not toy.connector.synced
        toy.wire.send_fails = False
        await toy.connector.watch("COINS")  # the lines are on their way up: nothing to send yet
        await toy.connector.wait_synced()
        await toy.sleep(1)
        assert toy.wire.link("books").sent[-1] == {"k": "subscribe", "to": [COIN, "COINS"]}

    play(story)


def test_the_book_comes_from_the_stream_and_an_older_one_is_dropped():
    """[ours] A book with a lower sequence never replaces a newer one, and nobody hears of it."""

    async def story(toy):
        books = toy.wire.link("books")
        books.say("book", bid=10, ask=11, seq=5)
        books.say("book", bid=1, ask=2, seq=4)
        await toy.sleep(1)
        assert await toy.connector.get_top_of_book(COIN) == (10, 11, 100)
        books.say("book", bid=None, ask=12, seq=5)
        await toy.sleep(1)
        assert await toy.connector.get_top_of_book(COIN) == (None, 12, 100)
        assert toy.kinds().count("BookSeen") == 2
        assert not toy.wire.asked("/book")

    play(story)


def test_without_a_streamed_book_it_is_read_and_a_restarted_sequence_counts():
    """[ours] REST answers while the line has no book or is down; a new connection may begin at a lower sequence."""

    async def story(toy):
        assert await toy.connector.get_top_of_book(COIN) == (100, 101, 100)
        toy.wire.link("books").say("book", bid=10, ask=11, seq=50)
        await toy.sleep(1)
        toy.wire.link("books").cut()
        await toy.sleep(0.001)
        assert await toy.connector.get_top_of_book(COIN) == (100, 101, 100)
        await toy.sleep(1)
        toy.wire.link("books").say("book", bid=20, ask=21, seq=1)
        await toy.sleep(1)
        assert await toy.connector.get_top_of_book(COIN) == (20, 21, 100)
        assert len(toy.wire.asked("/book")) == 2

    play(story)


def test_a_book_streamed_while_one_is_read_wins():
    """[ours] The stream's word is newer than an answer that was on its way."""

    async def story(toy):
        async with anyio.create_task_group() as tasks:
            toy.wire.link("books").say("book", bid=20, ask=21, seq=1)
            tasks.start_soon(toy.sleep, 0)
            assert await toy.connector.get_top_of_book(COIN) == (20, 21, 100)
        assert len(toy.wire.asked("/book")) == 1

    play(story)


def test_upkeep_is_talked_on_time_and_its_failure_drops_the_line():
    """[venue] A listen key that cannot be renewed is replaced by a new connection."""
    lines = (Line(name="account", private=True, upkeep_secs=100),)

    async def story(toy):
        await toy.sleep(205)
        assert len(toy.wire.asked("/upkeep")) == 2
        assert len(toy.wire.links) == 1
        toy.wire.answers["/upkeep"] = [HttpReply(401, b"")]
        await toy.sleep(100)
        assert len(toy.wire.links) == 2
        assert len(toy.wire.asked("/listen")) == 2

    play(story, *lines)


def test_an_address_is_whole_or_starts_with_a_host_name():
    """[ours] A room may leave the host to the endpoints; one it does not have is a reason, not a crash."""

    async def story(toy):
        assert {link.url for link in toy.wire.links} == {"toy://ws/account", "toy://ws/books"}
        toy.dialect.address = "other://place/{line}"
        toy.wire.link().cut()
        await toy.sleep(0.001)
        await toy.connector.wait_synced()
        assert toy.wire.link().url == "other://place/account"
        toy.dialect.address = "nowhere"
        toy.wire.link().cut()
        await toy.sleep(5)
        assert "nowhere" in toy.connector._streams.trouble[1]

    play(story)


def test_raw_text_is_logged_only_when_somebody_reads_debug():
    """[ours] Raw stream text goes to the handed logger at DEBUG and costs nothing otherwise."""
    loud, quiet = ToyLog(10), ToyLog(20)

    async def story(toy):
        toy.wire.link().say("order", client_id=4)
        await toy.sleep(1)

    play(story, log=loud)
    play(story, log=quiet)
    texts = [words["text"] for level, event, words in loud.lines if (level, event) == ("debug", "ws")]
    assert json.loads(texts[-1]) == {"k": "order", "client_id": 4}
    assert not [event for _, event, _ in quiet.lines if event == "ws"]


def test_a_bug_in_the_dialect_drops_the_line_and_a_link_that_cannot_close_is_left():
    """[ours] An exception of our own making is recorded and the line tried again."""
    log = ToyLog()

    async def story(toy):
        whole = toy.dialect.login
        toy.dialect.login = lambda line, now_ms: 1 // 0
        toy.wire.close_fails = True
        toy.wire.link().cut()
        await toy.sleep(1)
        assert not toy.connector.synced
        toy.dialect.login = whole
        await toy.connector.wait_synced()

    play(story, log=log)
    assert ("error", "line_failed") in [(level, event) for level, event, _ in log.lines]


def test_a_venue_without_private_lines_is_synced_by_its_snapshot():
    """[ours] Where orders depend on no stream, the snapshot alone is enough."""

    async def story(toy):
        assert toy.states() == ["synced"]

    play(story, Line(name="books", private=False))


def test_venue_ids_are_kept_for_the_last_orders_only():
    """[ours] The memory of venue ids is bounded, oldest first; the first word about an order counts."""

    async def story(toy):
        streams = toy.connector._streams
        streams.tell(order(1, venue_id="first"))
        streams.tell(order(1, venue_id="second"))
        assert streams.venue_ids == {1: "first"}
        for client_id in range(2, IDS_KEPT + 2):
            streams.tell(order(client_id))
        assert len(streams.venue_ids) == IDS_KEPT
        assert 1 not in streams.venue_ids

    play(story, started=False)


def test_a_snapshot_teaches_the_venue_ids_of_open_orders():
    """[ours] What a reading of the account says about an order helps to cancel it."""

    async def story(toy):
        toy.wire.answers["/open"] = [[5]]
        await toy.connector.start()
        await toy.connector.cancel_by_client_id(COIN, 5)
        assert json.loads(toy.wire.asked("/order")[0].body) == {"cid": 5, "id": "v5"}

    play(story, started=False)


def test_only_the_first_reason_of_a_loss_is_told():
    """[ours] A line that is refused twice in one breath is lost once."""

    async def story(toy):
        toy.heard.clear()
        refusals = [{"k": "refused", "code": "RATE_LIMITED", "raw": raw} for raw in ("first", "second")]
        toy.wire.link().say("several", parts=refusals)
        await toy.sleep(0.05)
        assert [(event.state, event.why) for event in toy.heard] == [("lost", "no (the exchange said: first)")]

    play(story)


def test_a_book_in_the_last_breath_of_a_line_is_not_used():
    """[ours] What a line says after its loss is not the newest book."""

    async def story(toy):
        book = {"k": "book", "bid": 1, "ask": 2, "seq": 9}
        toy.wire.link("books").say("several", parts=[{"k": "refused", "code": "RATE_LIMITED"}, book])
        toy.wire.close_secs = 1
        await toy.sleep(0.01)
        assert await toy.connector.get_top_of_book(COIN) == (100, 101, 100)

    play(story)


def test_a_connector_can_be_made_before_the_event_loop_runs():
    """[ours] Programs are put together first and run afterwards."""
    toy = Toy()
    assert not toy.connector.synced

    async def main():
        await toy.connector.start()
        await toy.connector.stop()

    run_virtual(main())
    assert toy.states() == ["synced"]


def test_a_refused_line_is_told_and_tried_again():
    """[venue] A login refused after the start backs off and stays alive; the listener hears why."""

    async def story(toy):
        toy.wire.replies_to["login"] = [("refused", {"code": "AUTH", "raw": "bad signature"})]
        toy.wire.link().cut()
        await toy.sleep(3)
        refusals = [event for event in toy.heard if isinstance(event, SessionSeen) and event.state == "refused"]
        assert len(refusals) > 1
        assert "bad signature" in refusals[0].why
        toy.wire.replies_to["login"] = [("ready", {"stage": "login"})]
        await toy.connector.wait_synced()

    play(story)


def test_unreadable_from_the_dialect_reaches_the_listeners_as_it_is():
    """[ours] What the dialect could not read is handed on, not hidden."""

    async def story(toy):
        toy.heard.clear()
        toy.wire.link().say("gibberish")
        await toy.sleep(1)
        assert [type(event) for event in toy.heard] == [Unreadable]

    play(story)


def test_a_broken_stream_during_the_connection_is_a_reason_to_try_again():
    """[client] A handshake that fails half-way is tried again."""

    async def story(toy):
        toy.wire.connect_fails = [Broken("HTTP 502"), Broken("HTTP 502")]
        await toy.connector.start()
        assert isinstance(toy.heard[0], SnapshotSeen)
        assert not any(isinstance(event, BookSeen) for event in toy.heard)

    play(story, started=False)
