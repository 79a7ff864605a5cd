"""Order timelines on disk: one file per order, one line per thing that touched it."""

from __future__ import annotations

import gc
from collections import Counter

import anyio

from core.clock import run_virtual
from execution.order import Deed, Order, replay
from execution.timeline import Timelines
from tests.unit.execution.desk import an_intent, play
from tests.unit.execution.venue_double import SOL, Plan
from venues.events import OrderSeen, Status


def test_each_line_is_on_disk_before_the_call_returns(tmp_path):
    """[ours] Where no event loop runs, kill -9 loses nothing that was told."""
    timelines, order = Timelines(tmp_path / "logs" / "orders"), Order(an_intent())
    timelines.begin(order)
    path = timelines.path(order)
    assert path == tmp_path / "logs" / "orders" / "double-SOL-P-7.jsonl"
    for number, kind in enumerate(("sent", "acked", "cancel_requested"), 2):
        timelines.add(order, order.apply(Deed(kind=kind), number))
        assert len(path.read_bytes().splitlines()) == number
    assert replay(path.read_bytes().splitlines(keepends=True)) == order
    timelines.close_all()


def test_a_closed_story_goes_on_in_the_same_file_and_begins_once(tmp_path):
    """[ours] A late fill after settlement, or the next process, appends."""
    timelines, order = Timelines(tmp_path), Order(an_intent())
    timelines.begin(order)
    timelines.close(order)
    timelines.close(order)
    again = Timelines(tmp_path)
    again.begin(order)
    again.add(order, order.apply(Deed(kind="sent"), 1))
    again.close_all()
    assert len(timelines.path(order).read_bytes().splitlines()) == 2


def test_without_a_folder_nothing_is_written():
    """[ours] Timelines can be off."""
    timelines, order = Timelines(None), Order(an_intent())
    timelines.begin(order)
    timelines.add(order, order.apply(Deed(kind="sent"), 1))
    assert (timelines.path(order), timelines.failures) == (None, [])


def test_a_disk_that_refuses_is_remembered_and_survived(tmp_path):
    """[ours] An incomplete log is an acceptance line, never a reason to stop a cancel."""
    timelines, order = Timelines(tmp_path), Order(an_intent())
    (tmp_path / "double-SOL-P-7.jsonl").mkdir()
    timelines.begin(order)
    timelines.add(order, order.apply(Deed(kind="sent"), 1))
    assert timelines.failures
    assert all("double-SOL-P-7.jsonl" in failure for failure in timelines.failures)


def heard(order, filled_i=0, **more):
    """One word of the venue, applied."""
    seen = OrderSeen(symbol=SOL.symbol, client_id=order.client_id, venue_id="V1", status=Status.OPEN,
                     is_ask=False, size_i=100, filled_i=filled_i, **more)  # fmt: skip
    return order.apply(seen, 1)


def lines(path):
    return len(path.read_bytes().splitlines())


def test_a_burst_is_written_at_the_end_of_its_turn_once_for_each_order(tmp_path, monkeypatch):
    """[client] One appender per venue with bounded delay: the turn of the event loop in which the words came."""
    writes = []
    plain = Timelines._write
    monkeypatch.setattr(Timelines, "_write", lambda self, order, data: (writes.append(data), plain(self, order, data)))

    async def story():
        timelines, orders = Timelines(tmp_path), [Order(an_intent(client_id=number)) for number in (7, 8)]
        for order in orders:
            timelines.begin(order)
        del writes[:]
        for filled_i in range(5):
            for order in orders:
                timelines.add(order, heard(order, filled_i))
        before = list(writes)
        await anyio.sleep(0)
        counted = [lines(tmp_path / f"double-SOL-P-{number}.jsonl") for number in (7, 8)]
        timelines.close_all()
        return before, len(writes), counted, [order == replay((tmp_path / f"double-SOL-P-{order.client_id}.jsonl")
                                              .read_bytes().splitlines(keepends=True)) for order in orders]  # fmt: skip

    assert run_virtual(story()) == ([], 2, [6, 6], [True, True])


def test_what_we_do_is_written_at_once_after_what_was_heard(tmp_path):
    """[client] Flushed before the next send: a deed takes all words of its venue with it, and only those."""

    async def story():
        timelines = Timelines(tmp_path)
        first, second, far = (
            Order(an_intent()),
            Order(an_intent(client_id=8)),
            Order(an_intent(venue="far", account="far")),
        )
        for order in (first, second, far):
            timelines.begin(order)
            timelines.add(order, heard(order))
        timelines.add(second, second.apply(Deed(kind="cancel_requested"), 2))
        told = [lines(tmp_path / f"{name}-SOL-P-{number}.jsonl") for name, number in
                (("double", 7), ("double", 8), ("far", 7))]  # fmt: skip
        timelines.close_all()
        return told

    assert run_virtual(story()) == [2, 3, 1]


def test_all_that_was_heard_is_on_disk_when_an_order_or_a_cancel_leaves(tmp_path):
    """[client] A second reader sees every word and the line of the request itself, before its first byte."""

    async def story(venue, desk):
        seen = []

        def look(*_):
            told = {path: replay(path.read_bytes().splitlines(keepends=True)) for path in tmp_path.glob("*.jsonl")}
            seen.append([len(order.history) for order in told.values()] == [len(o.history) for o in desk.book.values()])

        venue.before_submit = look
        cancel = venue.cancel_by_client_id

        async def cancelled(symbol, client_id):
            look()
            await cancel(symbol, client_id)

        venue.cancel_by_client_id = cancelled
        venue.plans = [Plan(fills=((0.1, 40),)), Plan()]
        for _ in range(2):
            order = await desk.place_limit(desk.sol, is_ask=False, size_i=100, price_i=14_000, leg="leg")
            await anyio.sleep(1)
            await desk.cancel(order)
        desk.timelines.close_all()
        return seen

    assert play(story, timelines=Timelines(tmp_path)) == [True] * 4


def test_whoever_asks_for_the_file_finds_all_that_was_told(tmp_path):
    """[ours] path(), close() and close_all() leave no word behind."""

    async def story():
        timelines, order = Timelines(tmp_path), Order(an_intent())
        timelines.begin(order)
        counted = []
        for ask in (lambda: None, lambda: timelines.close(order), timelines.close_all):
            timelines.add(order, heard(order))
            ask()
            counted.append(lines(timelines.path(order)))
        return counted

    assert run_virtual(story()) == [2, 3, 4]


def test_a_long_turn_does_not_hold_back_more_than_its_share(tmp_path):
    """[ours] A flood within one turn of the event loop is written while it lasts."""

    async def story():
        timelines, order = Timelines(tmp_path), Order(an_intent())
        timelines.begin(order)
        for _ in range(300):
            timelines.add(order, heard(order))
        told = lines(tmp_path / "double-SOL-P-7.jsonl")
        timelines.close_all()
        return told

    assert run_virtual(story()) == 257


def test_a_text_that_is_no_text_costs_no_other_order_its_lines(tmp_path):
    """[ours] Half a surrogate pair cannot be written: it is told as a failure, the rest of the burst is written."""

    async def story():
        timelines, good, bad = Timelines(tmp_path), Order(an_intent()), Order(an_intent(client_id=8))
        for order, reason in ((bad, "\ud800"), (good, "fine")):
            timelines.begin(order)
            timelines.add(order, heard(order, reason=reason))
        told = lines(timelines.path(good))
        timelines.close_all()
        return told, timelines.failures

    assert run_virtual(story()) == (2, ["8: UnicodeEncodeError"])


def test_nothing_stays_in_memory_of_a_line_that_was_written(tmp_path):
    """[client] A play of weeks does not grow: found by the soak, an object for good with every line."""

    def kept():
        gc.collect()
        return Counter(type(each).__name__ for each in gc.get_objects())

    timelines = Timelines(tmp_path)
    orders = [Order(an_intent(client_id=number)) for number in range(1, 81)]
    for order in orders:
        timelines.begin(order)
    entries = [(order, order.apply(Deed(kind="sent"), 1)) for order in orders]
    before = kept()
    for order, entry in entries:
        timelines.add(order, entry)
    after = kept() - before
    timelines.close_all()
    grown = {name: count for name, count in after.items() if count >= len(orders)}
    assert grown == {}
