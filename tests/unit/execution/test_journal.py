"""What survives kill -9: ids, intents, plays."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from execution.journal import MAX_CLIENT_ID, Journal
from execution.order import Deed, Order
from tests.unit.execution.desk import an_intent
from venues.errors import LocalRuleError

ROOT = Path(__file__).resolve().parents[3]
FRESH = replace(an_intent(), client_id=0)


def test_an_intent_comes_back_as_it_was(tmp_path):
    """[ours] Every field survives, flags and the missing price of a market order too."""
    journal = Journal(tmp_path / "state" / "journal.db")
    sent = [journal.intend(FRESH), journal.intend(replace(FRESH, price_i=None, is_ask=True, reduce_only=True))]
    journal.close()
    assert [intent for intent, _ in Journal(tmp_path / "state" / "journal.db").unsettled()] == sent


def test_client_ids_grow_and_are_never_reused_across_restarts_or_clock_jumps(tmp_path):
    """[ours] Also when the machine's clock went back, and per account."""
    ids = []
    for created_ms in (FRESH.created_ms, FRESH.created_ms, FRESH.created_ms - 10**9, FRESH.created_ms + 10**6):
        journal = Journal(tmp_path / "j.db")
        ids.append(journal.intend(replace(FRESH, created_ms=created_ms)).client_id)
        ids.append(journal.intend(replace(FRESH, created_ms=created_ms)).client_id)
        journal.close()
    assert ids == sorted(set(ids))
    assert Journal(tmp_path / "j.db").intend(replace(FRESH, account="other")).client_id == ids[0]


def test_a_lost_database_starts_above_the_ids_of_the_day_before():
    """[ours] Ids grow with the calendar, eight a second."""
    day_ms = 86_400_000
    first = Journal(":memory:").intend(FRESH).client_id
    second = Journal(":memory:").intend(replace(FRESH, created_ms=FRESH.created_ms + day_ms)).client_id
    assert second - first == day_ms // 1000 * 8


@pytest.mark.parametrize("created_ms", [0, -(10**12)])
def test_a_clock_before_the_epoch_still_gives_a_valid_id(created_ms):
    """[ours] Ids start at 1."""
    assert Journal(":memory:").intend(replace(FRESH, created_ms=created_ms)).client_id == 1


def test_an_exhausted_range_is_refused_and_leaves_no_trace():
    """[venue] Ids beyond what the venue takes are never sent."""
    journal = Journal(":memory:")
    for highest in (100, MAX_CLIENT_ID):
        late = replace(FRESH, created_ms=FRESH.created_ms * 10)
        with pytest.raises(LocalRuleError) as refused:
            journal.intend(late, highest)
        assert refused.value.code == "CLIENT_ID_RANGE"
    assert journal.unsettled() == []
    assert journal.intend(FRESH).client_id > 0


def test_two_connections_never_get_the_same_id(tmp_path):
    """[ours] The write lock is taken before the id is read."""
    one, two = Journal(tmp_path / "j.db"), Journal(tmp_path / "j.db")
    ids = [journal.intend(FRESH).client_id for _ in range(20) for journal in (one, two)]
    assert len(set(ids)) == 40


def test_a_process_killed_after_the_intent_leaves_it_to_be_found(tmp_path):
    """[ours] kill -9 right after intend: the intent and its id are there."""
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from execution.journal import Journal\n"
        "from tests.unit.execution.desk import an_intent\n"
        "print(Journal(sys.argv[2]).intend(an_intent()).client_id, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT), str(tmp_path / "j.db")], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == -9, done.stderr
    journal = Journal(tmp_path / "j.db")
    assert [intent.client_id for intent, _ in journal.unsettled()] == [int(done.stdout)]
    assert journal.intend(FRESH).client_id > int(done.stdout)


def test_settled_orders_need_no_recovery_and_their_fills_are_kept():
    """[ours] unsettled() is what recovery reads; settled() is what a resumed leg is charged with."""
    journal = Journal(":memory:")
    intents = [journal.intend(replace(FRESH, leg=leg)) for leg in ("a", "a", "b")]
    order = Order(intents[0])
    order.apply(Deed(kind="acked", venue_id="V9"), 1)
    journal.name(order)
    assert journal.unsettled("acc", "a") == [(intents[0], "V9"), (intents[1], "")]
    order.cumulative_i = 40
    journal.settle(order, 5)
    assert [intent.client_id for intent, _ in journal.unsettled()] == [i.client_id for i in intents[1:]]
    assert journal.unsettled("nobody") == []
    assert journal.settled("acc", "a") == [(order.client_id, 40)]
    assert journal.settled("acc", "b") == journal.settled("nobody", "a") == []


def test_plays_stay_until_they_are_proven_flat():
    """[ours] `runner recover` finds every play without an end."""
    journal = Journal(":memory:")
    play = {
        "run": "r1",
        "venue": "double",
        "account": "acc",
        "symbol": "SOL",
        "market": "spot",
        "spot_baseline": "10.5",
    }
    journal.begin_play(play="p1", now_ms=5, **play)
    journal.begin_play(play="p2", now_ms=4, **{**play, "account": "other"})
    assert [row["play"] for row in journal.unended_plays()] == ["p2", "p1"]
    assert journal.unended_plays("acc") == [{"play": "p1", "started_ms": 5, **play}]
    journal.end_play("p1", "accepted", 9)
    assert journal.unended_plays("acc") == []


@pytest.mark.parametrize("field", ["size_i", "price_i", "expiry_ms"])
def test_a_number_too_large_for_the_disk_is_refused_and_nothing_is_sent(field):
    """[ours] Huge integers get a clear error, and the journal still works afterwards."""
    journal = Journal(":memory:")
    with pytest.raises(LocalRuleError) as refused:
        journal.intend(replace(FRESH, **{field: 10**30}))
    assert refused.value.code == "HALTED"
    assert journal.unsettled() == []
    assert journal.intend(FRESH).client_id > 0


def test_every_failure_of_the_file_is_one_local_error(tmp_path):
    """[ours] Unwritable, locked, closed, or no database at all: HALTED, nothing was sent."""
    (tmp_path / "junk.db").write_bytes(b"this is no database, and long enough to be read as one" * 50)
    with pytest.raises(LocalRuleError, match="HALTED"):
        Journal(tmp_path / "junk.db")
    journal = Journal(tmp_path / "j.db")
    journal._db.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(tmp_path / "j.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LocalRuleError, match="locked"):
        journal.intend(FRESH)
    other.execute("ROLLBACK")
    other.close()
    assert journal.intend(FRESH).client_id > 0
    journal.close()
    for broken in (lambda: journal.intend(FRESH), journal.unsettled, lambda: journal.settled("a", "b"),
                   journal.unended_plays, lambda: journal.end_play("p", "v", 1)):  # fmt: skip
        with pytest.raises(LocalRuleError, match="HALTED"):
            broken()
