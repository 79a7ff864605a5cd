"""Order timelines on disk: one file per order, one line per thing that touched it."""

from __future__ import annotations

from execution.order import Deed, Order, replay
from execution.timeline import Timelines
from tests.unit.execution.desk import an_intent


def test_each_line_is_on_disk_before_the_call_returns(tmp_path):
    """[ours] kill -9 loses nothing that was told."""
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
