"""What survives kill -9: ids, intents, plays."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
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


# What the program of the first release wrote, with one order in doubt and one settled.
OLD_FORMAT = """
CREATE TABLE IF NOT EXISTS ids (account TEXT PRIMARY KEY, next INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS intents (
  account TEXT NOT NULL, client_id INTEGER NOT NULL, venue TEXT NOT NULL, symbol TEXT NOT NULL,
  market TEXT NOT NULL, venue_symbol TEXT NOT NULL, is_ask INTEGER NOT NULL, size_i INTEGER NOT NULL,
  price_i INTEGER, price_decimals INTEGER NOT NULL, size_decimals INTEGER NOT NULL, leg TEXT NOT NULL,
  created_ms INTEGER NOT NULL, expiry_ms INTEGER NOT NULL, post_only INTEGER NOT NULL,
  reduce_only INTEGER NOT NULL, venue_id TEXT NOT NULL DEFAULT '', settled_i INTEGER, settled_ms INTEGER,
  PRIMARY KEY (account, client_id)) STRICT;
CREATE INDEX IF NOT EXISTS open_intents ON intents (account) WHERE settled_i IS NULL;
CREATE TABLE IF NOT EXISTS plays (
  play TEXT PRIMARY KEY, run TEXT NOT NULL, venue TEXT NOT NULL, account TEXT NOT NULL, symbol TEXT NOT NULL,
  market TEXT NOT NULL, spot_baseline TEXT NOT NULL, started_ms INTEGER NOT NULL, ended_ms INTEGER,
  verdict TEXT) STRICT;
INSERT INTO ids VALUES ('acc', 900000000);
INSERT INTO intents VALUES ('acc', 899999998, 'double', 'SOL', 'perp', 'SOL-P', 0, 100, 14000, 2, 2, 'run/double/1',
  1767571200000, 1767571205000, 1, 0, 'V1', 40, 1767571201000);
INSERT INTO intents VALUES ('acc', 899999999, 'double', 'SOL', 'perp', 'SOL-P', 1, 100, NULL, 2, 2, 'run/double/2',
  1767571200000, 1767571205000, 0, 1, '', NULL, NULL);
INSERT INTO plays VALUES ('run/double', 'run', 'double', 'acc', 'SOL', 'perp', '0', 1767571200000, NULL, NULL);
"""


def test_a_journal_of_an_older_program_opens_and_keeps_all_it_has(tmp_path):
    """[client] Ids, intents, plays are as they were; its orders count for nothing in sums it did not keep."""
    path = tmp_path / "journal.db"
    old = sqlite3.connect(path)
    old.executescript(OLD_FORMAT)
    old.close()
    for _ in range(2):
        journal = Journal(path)
        ((intent, venue_id),) = journal.unsettled()
        assert (intent.client_id, intent.price_i, intent.reduce_only, venue_id) == (899_999_999, None, True, "")
        assert journal.settled("acc", "run/double/1") == [(899_999_998, 40)]
        assert [row["play"] for row in journal.unended_plays("acc")] == ["run/double"]
        assert journal.opened_between("acc", 0, 2**60) == 0
        assert journal._db.execute("PRAGMA user_version").fetchone() == (2,)
        journal.close()
    journal = Journal(path)
    fresh = journal.intend(FRESH, opens_usd=Decimal("140.10"), play="run/double")
    assert fresh.client_id == 900_000_000
    assert journal.opened_by_play("acc", "run/double") == Decimal("140.10")


def test_two_processes_may_open_an_old_journal_at_once(tmp_path):
    """[ours] The one that comes second finds it done."""
    path = tmp_path / "journal.db"
    old = sqlite3.connect(path)
    old.executescript(OLD_FORMAT)
    old.close()
    code = "import sys; sys.path.insert(0, sys.argv[1]); from execution.journal import Journal; Journal(sys.argv[2])"
    words = [sys.executable, "-c", code, str(ROOT), str(path)]
    both = [subprocess.Popen(words, stderr=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate(timeout=30)[1] for process in both] == [b"", b""]


def test_a_journal_of_a_newer_program_is_left_alone(tmp_path):
    """[ours] What this program does not know it must not write into: HALTED with both formats, nothing changed."""
    path = tmp_path / "journal.db"
    Journal(path).close()
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 7")
    newer.close()
    with pytest.raises(LocalRuleError, match=r"newer program \(format 7, this one knows 2\)"):
        Journal(path)
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone() == (7,)


def test_no_question_of_a_play_goes_through_the_history_of_all_accounts():
    """[client] Found by the soak: each start read every play that ever was. SQLite tells how it looks things up."""
    journal, asked = Journal(":memory:"), []
    journal._db.set_trace_callback(asked.append)
    journal.unended_plays("acc")
    journal.unsettled("acc")
    journal.unsettled("acc", "run/double/1")
    journal.settled("acc", "run/double/1")
    journal.opened_between("acc", 0, 1)
    journal.opened_by_play("acc", "run/double")
    journal._db.set_trace_callback(None)
    plans = [row[3] for each in asked for row in journal._db.execute(f"EXPLAIN QUERY PLAN {each}")]
    assert [plan for plan in plans if plan.startswith("SCAN")] == []
    for index in ("open_plays", "open_intents", "legs", "days"):
        assert any(f"USING INDEX {index} " in plan for plan in plans), plans


def test_what_orders_open_is_added_up_exactly():
    """[client] Whole while unsettled, the filled share afterwards; by account, by play, by the moment of the intent."""
    journal = Journal(":memory:")

    def order(usd: str, play: str = "p", **intent) -> Order:
        return Order(journal.intend(replace(FRESH, **intent), opens_usd=Decimal(usd), play=play))

    at = FRESH.created_ms
    first, _, _ = order("0.1"), order("0.2", "q"), order("5", account="other")
    order("7", created_ms=at + 10)
    order("0", "p")
    assert journal.opened_between("acc", at, at + 10) == Decimal("0.3")
    assert journal.opened_between("acc", at, at + 11) == Decimal("7.3")
    first.cumulative_i = 33
    journal.settle(first, 1)
    assert journal.opened_between("acc", at, at + 10) == Decimal("0.233")
    assert (journal.opened_by_play("acc", "p"), journal.opened_by_play("acc", "q")) == (
        Decimal("7.033"),
        Decimal("0.2"),
    )
    assert journal.opened_by_play("acc", "nobody") == 0


def test_the_sum_is_durable_in_the_moment_of_the_intent(tmp_path):
    """[client] kill -9 right after intend: what the order may open counts in the next process."""
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from decimal import Decimal\n"
        "from execution.journal import Journal\n"
        "from tests.unit.execution.desk import an_intent\n"
        "Journal(sys.argv[2]).intend(an_intent(), opens_usd=Decimal('140'), play='p')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    words = [sys.executable, "-c", code, str(ROOT), str(tmp_path / "j.db")]
    assert subprocess.run(words, timeout=30, check=False).returncode == -9
    assert Journal(tmp_path / "j.db").opened_between("acc", 0, 2**60) == 140


def test_only_the_owner_may_read_the_journal(tmp_path):
    """[ours] It tells what an account did: 0600, its companions too, and one that was open to others is shut."""
    wide = tmp_path / "wide.db"
    wide.touch()
    wide.chmod(0o664)
    for path in (tmp_path / "new" / "journal.db", wide):
        journal = Journal(path)
        journal.intend(FRESH)
        found = {file.name: file.stat().st_mode & 0o777 for file in path.parent.glob(path.name + "*")}
        assert set(found.values()) == {0o600}
        assert len(found) == 3
        journal.close()


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
                   lambda: journal.opened_by_play("a", "p"),
                   journal.unended_plays, lambda: journal.end_play("p", "v", 1)):  # fmt: skip
        with pytest.raises(LocalRuleError, match="HALTED"):
            broken()


def test_intents_and_plays_are_synced_and_what_the_venue_can_tell_again_is_not(tmp_path):
    """[ours] No intent is ever committed without a full sync, also not after a write that failed without one."""
    journal = Journal(tmp_path / "j.db")
    level, commits = "FULL", []

    def hear(statement: str) -> None:
        nonlocal level
        if statement.startswith("PRAGMA synchronous="):
            level = statement.partition("=")[2]
        elif statement.split()[0] in ("INSERT", "UPDATE"):
            commits.append((statement.split()[0], level))

    journal._db.set_trace_callback(hear)
    order = Order(journal.intend(FRESH))
    order.apply(Deed(kind="sent"), 1)
    journal.name(order)
    journal.settle(order, 2)
    with pytest.raises(LocalRuleError):
        journal.settle(order, 2**70)
    journal.intend(FRESH)
    journal.end_play("none", "accepted", 3)
    lightly = [kind for kind, level in commits if level == "NORMAL"]
    assert commits[:2] == [("INSERT", "FULL"), ("INSERT", "FULL")]
    assert lightly[:2] == ["UPDATE", "UPDATE"]
    assert "INSERT" not in lightly
    assert commits[-1] == ("UPDATE", "FULL")
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)
