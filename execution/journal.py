"""
What must survive ``kill -9``: client ids, intents, plays. One SQLite file (WAL, full sync of these) in ``state/``.

An intent and its client id are made durable in one transaction, before the first byte of the order leaves.
``runner recover`` starts from :meth:`Journal.unsettled`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from core.precision import plain
from execution.order import Intent, Order
from venues.errors import LocalRuleError

MAX_CLIENT_ID: Final = 2**32 - 1
"""The narrowest venue's range (Backpack's uint32)."""

# Ids start at a value grown from the calendar, so that a lost database does not lead to used ids again unless an
# account averaged more than eight orders a second since then.
_IDS_EPOCH_MS: Final = 1_735_689_600_000  # 2025-01-01T00:00:00Z
_IDS_PER_SECOND: Final = 8

_FORMAT: Final = 2
"""``PRAGMA user_version`` of the file. 0 has no sums of what orders open, 1 not the last two indexes."""
_TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS ids (account TEXT PRIMARY KEY, next INTEGER NOT NULL) STRICT""",
    """
CREATE TABLE IF NOT EXISTS intents (
  account TEXT NOT NULL, client_id INTEGER NOT NULL, venue TEXT NOT NULL, symbol TEXT NOT NULL,
  market TEXT NOT NULL, venue_symbol TEXT NOT NULL, is_ask INTEGER NOT NULL, size_i INTEGER NOT NULL,
  price_i INTEGER, price_decimals INTEGER NOT NULL, size_decimals INTEGER NOT NULL, leg TEXT NOT NULL,
  created_ms INTEGER NOT NULL, expiry_ms INTEGER NOT NULL, post_only INTEGER NOT NULL,
  reduce_only INTEGER NOT NULL, venue_id TEXT NOT NULL DEFAULT '', settled_i INTEGER, settled_ms INTEGER,
  opens_usd TEXT NOT NULL DEFAULT '0', play TEXT NOT NULL DEFAULT '', PRIMARY KEY (account, client_id)) STRICT""",
    """
CREATE TABLE IF NOT EXISTS plays (
  play TEXT PRIMARY KEY, run TEXT NOT NULL, venue TEXT NOT NULL, account TEXT NOT NULL, symbol TEXT NOT NULL,
  market TEXT NOT NULL, spot_baseline TEXT NOT NULL, started_ms INTEGER NOT NULL, ended_ms INTEGER,
  verdict TEXT) STRICT""",
)
_ADDED: Final = {"opens_usd": "TEXT NOT NULL DEFAULT '0'", "play": "TEXT NOT NULL DEFAULT ''"}
"""Columns of ``intents`` that a file of format 0 does not have."""
_INDEXES: Final = (
    "CREATE INDEX IF NOT EXISTS open_intents ON intents (account) WHERE settled_i IS NULL",
    "CREATE INDEX IF NOT EXISTS days ON intents (account, created_ms) WHERE opens_usd <> '0'",
    "CREATE INDEX IF NOT EXISTS legs ON intents (account, leg)",
    "CREATE INDEX IF NOT EXISTS open_plays ON plays (account) WHERE ended_ms IS NULL",
)
"""So that no reading grows with the history of an account."""

_COLUMNS: Final = tuple(f.name for f in fields(Intent))
_FLAGS: Final = ("is_ask", "post_only", "reduce_only")


class Journal:
    """
    The durable memory of one state folder, readable by its owner only. Every call is short and synchronous.

    A file that an older program wrote is brought to this format when it is opened; one of a newer program is refused.

    Raises (every method): LocalRuleError("HALTED") when the file cannot be written (disk full, locked by another
    process for more than five seconds) - so an intent that is not durable is never sent.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        if self.path != ":memory:":
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            _make_private(self.path)
        with self._guard("open"):
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=5.0)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._bring_up_to_date()

    def close(self) -> None:
        self._db.close()

    # -- orders

    def intend(
        self, intent: Intent, highest_id: int = MAX_CLIENT_ID, *, opens_usd: Decimal = Decimal(0), play: str = ""
    ) -> Intent:
        """
        ``intent`` with a client id that this account has never used; durable when this returns, together with what
        the order may open (``opens_usd``, 0 for one that only reduces) in which ``play``.
        """
        with self._guard("write"), self._transaction():
            row = self._db.execute("SELECT next FROM ids WHERE account = ?", (intent.account,)).fetchone()
            calendar = max(1, (intent.created_ms - _IDS_EPOCH_MS) * _IDS_PER_SECOND // 1000)
            client_id = max(calendar, row[0]) if row else calendar
            if client_id > min(highest_id, MAX_CLIENT_ID):
                raise LocalRuleError("CLIENT_ID_RANGE", f"this account has used up its client ids ({client_id})")
            self._db.execute(
                "INSERT INTO ids VALUES (?, ?) ON CONFLICT (account) DO UPDATE SET next = excluded.next",
                (intent.account, client_id + 1),
            )
            intent = replace(intent, client_id=client_id)
            values = [int(v) if n in _FLAGS else v for n in _COLUMNS for v in (getattr(intent, n),)]
            columns, values = [*_COLUMNS, "opens_usd", "play"], [*values, plain(opens_usd), play]
            marks = ", ".join("?" * len(columns))
            self._db.execute(f"INSERT INTO intents ({', '.join(columns)}) VALUES ({marks})", values)  # noqa: S608
        return intent

    def name(self, order: Order) -> None:
        """Remember the venue's id of an order, for histories that cannot be searched by client id."""
        with self._guard("write"), self._without_sync():
            self._db.execute(
                "UPDATE intents SET venue_id = ? WHERE account = ? AND client_id = ?",
                (order.venue_id, order.intent.account, order.client_id),
            )

    def settle(self, order: Order, now_ms: int) -> None:
        """The order's final cumulative fill is proven; it no longer needs recovery."""
        with self._guard("write"), self._without_sync():
            self._db.execute(
                "UPDATE intents SET settled_i = ?, settled_ms = ? WHERE account = ? AND client_id = ?",
                (order.filled_i, now_ms, order.intent.account, order.client_id),
            )

    def unsettled(self, account: str | None = None, leg: str | None = None) -> list[tuple[Intent, str]]:
        """``(intent, venue_id)`` of every order whose final fill is not proven, oldest first."""
        query = f"SELECT {', '.join(_COLUMNS)}, venue_id FROM intents WHERE settled_i IS NULL"  # noqa: S608
        values: list[str] = []
        for column, value in (("account", account), ("leg", leg)):
            if value is not None:
                query += f" AND {column} = ?"
                values.append(value)
        with self._guard("read"):
            rows = self._db.execute(query + " ORDER BY created_ms, client_id", values).fetchall()
        return [(_intent(row[:-1]), row[-1]) for row in rows]

    def settled(self, account: str, leg: str) -> list[tuple[int, int]]:
        """``(client_id, filled_i)`` of every settled order of a leg."""
        query = "SELECT client_id, settled_i FROM intents WHERE account = ? AND leg = ? AND settled_i IS NOT NULL"
        with self._guard("read"):
            return self._db.execute(query, (account, leg)).fetchall()

    # -- what was opened

    def opened_between(self, account: str, from_ms: int, to_ms: int) -> Decimal:
        """USD that orders of this account made in ``[from_ms, to_ms)`` have opened, or may open while unsettled."""
        return self._opened("created_ms >= ? AND created_ms < ?", account, from_ms, to_ms)

    def opened_by_play(self, account: str, play: str) -> Decimal:
        """The same of all orders of a play."""
        return self._opened("play = ?", account, play)

    def _opened(self, which: str, account: str, *values: str | int) -> Decimal:
        query = f"SELECT opens_usd, size_i, settled_i FROM intents WHERE account = ? AND opens_usd <> '0' AND {which}"  # noqa: S608
        with self._guard("read"):
            rows = self._db.execute(query, (account, *values)).fetchall()
        held = (
            Decimal(usd) if settled_i is None else Decimal(usd) * settled_i / size_i for usd, size_i, settled_i in rows
        )
        return sum(held, Decimal(0))

    # -- plays

    def begin_play(
        self,
        *,
        play: str,
        run: str,
        venue: str,
        account: str,
        symbol: str,
        market: str,
        spot_baseline: str,
        now_ms: int,
    ) -> None:
        """Remember a play before its first order; ``spot_baseline`` is the coin balance it started from."""
        with self._guard("write"):
            self._db.execute(
                "INSERT INTO plays (play, run, venue, account, symbol, market, spot_baseline, started_ms)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (play, run, venue, account, symbol, market, spot_baseline, now_ms),
            )

    def end_play(self, play: str, verdict: str, now_ms: int) -> None:
        """Only a play that is proven flat, with nothing unsettled, is ended; others stay for ``runner recover``."""
        with self._guard("write"):
            self._db.execute("UPDATE plays SET ended_ms = ?, verdict = ? WHERE play = ?", (now_ms, verdict, play))

    def unended_plays(self, account: str | None = None) -> list[dict[str, Any]]:
        """Plays that were never brought to a proven end, oldest first."""
        names = ("play", "run", "venue", "account", "symbol", "market", "spot_baseline", "started_ms")
        query = f"SELECT {', '.join(names)} FROM plays WHERE ended_ms IS NULL"  # noqa: S608
        values: Sequence[str] = ()
        if account is not None:
            query, values = query + " AND account = ?", (account,)
        with self._guard("read"):
            rows = self._db.execute(query + " ORDER BY started_ms", values).fetchall()
        return [dict(zip(names, row, strict=True)) for row in rows]

    # -- inside

    def _bring_up_to_date(self) -> None:
        if self._format() == _FORMAT:
            return
        with self._transaction():
            found = self._format()
            if found > _FORMAT:
                raise LocalRuleError(
                    "HALTED",
                    f"the journal {self.path} was written by a newer program (format {found}, this one knows {_FORMAT})"
                    "; nothing was sent",
                )
            for statement in _TABLES:
                self._db.execute(statement)
            there = {row[1] for row in self._db.execute("PRAGMA table_info(intents)")}
            for column, kind in _ADDED.items():
                if column not in there:
                    self._db.execute(f"ALTER TABLE intents ADD COLUMN {column} {kind}")
            for statement in _INDEXES:
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {_FORMAT}")

    def _format(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        # IMMEDIATE takes the write lock before the id is read: two processes never get the same one.
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def _without_sync(self) -> Iterator[None]:
        """
        What stands here outlives ``kill -9`` but perhaps not a loss of power, and costs microseconds in place of
        milliseconds. Only for what the venue can tell again: without its venue id an order is found by client id, and
        an order whose settlement is forgotten is proven once more.
        """
        self._db.execute("PRAGMA synchronous=NORMAL")
        try:
            yield
        finally:
            self._db.execute("PRAGMA synchronous=FULL")

    @contextmanager
    def _guard(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OverflowError) as error:
            raise LocalRuleError(
                "HALTED", f"cannot {doing} the journal {self.path}: {error}; nothing was sent"
            ) from error


def _intent(row: Sequence[Any]) -> Intent:
    values = dict(zip(_COLUMNS, row, strict=True))
    for flag in _FLAGS:
        values[flag] = bool(values[flag])
    return Intent(**values)


def _make_private(path: str) -> None:
    """Make the file, or shut out all but its owner; SQLite gives its companion files the same mode."""
    with suppress(OSError):
        # What cannot be made or changed here fails, or is told, when SQLite opens it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        if os.stat(path).st_mode & 0o077:
            os.chmod(path, 0o600)
