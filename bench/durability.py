"""B8: what it costs that an intent outlives a loss of power, on the disk that the project stands on."""

from __future__ import annotations

import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path

from bench.laps import Lap, Spread, now, race, seconds_each
from bench.venues_at_hand import ROOT
from core.clock import SystemClock
from execution.journal import Journal
from execution.order import Deed, Intent, Order

WRITES = 20
TOGETHER = 10
"""Intents in one transaction: what plays that are due in the same moment could share."""
_BARE = "INSERT INTO intents (text) VALUES (?)"
_TEXT = "x" * 200


def _intent(now_ms: int) -> Intent:
    return Intent(
        venue="backpack",
        account="backpack:bench",
        client_id=0,
        symbol="SOL",
        market="perp",
        venue_symbol="SOL_USDC_PERP",
        is_ask=False,
        size_i=1,
        price_i=13_000,
        price_decimals=2,
        size_decimals=2,
        leg="bench/backpack/1",
        created_ms=now_ms,
        expiry_ms=now_ms + 5_000,
        post_only=True,
        reduce_only=False,
    )


def _shared(database: sqlite3.Connection) -> Lap:
    """One intent's share of a transaction that several wait for."""

    def lap() -> float:
        began = now()
        for _ in range(WRITES // TOGETHER):
            database.execute("BEGIN IMMEDIATE")
            for _ in range(TOGETHER):
                database.execute(_BARE, (_TEXT,))
            database.execute("COMMIT")
        return (now() - began) / WRITES

    return lap


def measure(rounds: int) -> dict[str, Spread]:
    """Seconds each: our journal, and the bare database under the same settings."""
    intent = _intent(SystemClock().now_ms())
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        journal = Journal(Path(folder) / "journal.db")
        order = Order(journal.intend(intent))
        order.apply(Deed(kind="sent"), intent.created_ms)
        bare = sqlite3.connect(Path(folder) / "bare.db", isolation_level=None)
        bare.execute("PRAGMA journal_mode=WAL")
        bare.execute("PRAGMA synchronous=FULL")
        bare.execute("CREATE TABLE intents (id INTEGER PRIMARY KEY, text TEXT)")
        contestants: dict[str, Lap] = {
            "a row of bare SQLite, synced": lambda: seconds_each(lambda: bare.execute(_BARE, (_TEXT,)), WRITES),
            f"the same, {TOGETHER} in one transaction": _shared(bare),
            "Journal.intend, synced": lambda: seconds_each(lambda: journal.intend(replace(intent)), WRITES),
            "Journal.settle, not synced": lambda: seconds_each(lambda: journal.settle(order, 1), WRITES),
        }
        told = race(contestants, rounds)
        journal.close()
        bare.close()
    return told
