"""A sample of the plays that are killed anywhere, and what a full disk may and may not do."""

from __future__ import annotations

import errno
import sys
from collections import Counter
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "tests" / "simulate"
if str(PLACE) not in sys.path:
    sys.path.insert(0, str(PLACE))

from crashes import draw, run_seed  # noqa: E402
from mortal import Doom  # noqa: E402

import app.console  # noqa: E402
import execution.timeline  # noqa: E402
import runner.playing  # noqa: E402
from core.append import append_whole  # noqa: E402
from execution.journal import Journal  # noqa: E402
from execution.order import Deed, Order, replay  # noqa: E402
from execution.orders import Orders  # noqa: E402
from execution.timeline import Timelines  # noqa: E402
from runner.outcome import Outcome  # noqa: E402
from runner.play import VenuePlay  # noqa: E402
from strategy.trading import Trading  # noqa: E402
from tests.contract.arms import Stack, contract  # noqa: E402
from tests.unit.execution.desk import an_intent  # noqa: E402
from tests.unit.strategy.test_trading import trading  # noqa: E402
from venues import VENUES  # noqa: E402
from venues.errors import OutcomeUnknown  # noqa: E402

PLAIN_INTEND = Journal.intend
PLAIN_OPEN = Path.open


def forgotten(journal: Journal, *arguments: Any, **named: Any) -> Any:
    intent = PLAIN_INTEND(journal, *arguments, **named)
    with journal._guard("write"):
        journal._db.execute("DELETE FROM intents WHERE client_id = ?", (intent.client_id,))
    return intent


MUTATIONS: dict[str, tuple[str, int, AbstractContextManager[Any], str]] = {
    "an intent that is not on disk is sent": (
        *("backpack", 0),
        mock.patch.object(Journal, "intend", forgotten),
        "without a durable intent",
    ),
    "what an earlier process left is not taken over": (
        *("binance", 1),
        mock.patch.object(Orders, "adopt", return_value=[]),
        "has no proven end in the journal",
    ),
    "a settlement that could not be written is forgotten": (
        *("backpack", 125),
        mock.patch.object(Orders, "write_down", return_value=None),
        "has no proven end in the journal",
    ),
    "half a line stays on a full disk": (
        *("lighter", 8),
        mock.patch.object(execution.timeline, "append_whole", lambda stream, data: stream.write(data)),
        "cannot be replayed",
    ),
    "a play is ended without a proof": (
        *("backpack", 25),
        mock.patch.object(VenuePlay, "proven_flat", True),
        "something is open",
    ),
}
"""Venue and seed that notice it, and the words of the breach."""
ONCE_BROKEN = {
    "a new spot play on coins that an earlier one left": ("backpack", 985),
    "a chase that a full disk refuses says why": ("lighter", 363),
    "a journal that cannot be opened for a recovery": ("binance", 796),
}


@pytest.mark.parametrize("venue", VENUES)
def test_a_play_that_dies_anywhere_is_recovered(venue):
    """[client] Whatever the moment: nothing sent twice, every intent ended, flat, and the timelines tell it."""
    place = list(VENUES).index(venue)
    assert [breach for seed in range(6) for breach in run_seed(venue, 1_000 + place + 5 * seed).breaches] == []


def test_deaths_full_disks_and_locked_journals_all_happen():
    """[ours] The drawn fates hold every kind of death, up to three of them, and both kinds of disk trouble."""
    fates = [draw(venue, seed) for venue in VENUES for seed in range(60)]
    kinds = Counter(doom.kind for fate in fates for doom in fate.dooms)
    assert set(kinds) == {"write", "request", "message", "moment"}
    assert {len(fate.dooms) for fate in fates} == {0, 1, 2, 3}
    disks = [disk for fate in fates for disk in fate.disks]
    assert any(disk.full[0] < 60 for disk in disks)
    assert any(disk.locked[0] < 60 for disk in disks)
    assert run_seed("backpack", 1).fired["killed"] == 1
    assert draw("backpack", 1).dooms == (Doom("request", 20, True),)


def test_the_same_seed_dies_the_same_death():
    """[ours] The order timelines of all processes are equal to the byte."""
    first, second = run_seed("okx", 1), run_seed("okx", 1)
    assert first == second
    assert (first.fired["killed"], first.digest != "") == (3, True)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_promise_of_recovery_taken_away_is_noticed(name):
    """[ours] The seed that noticed it still does, and it is quiet with the promise in place."""
    venue, seed, taken_away, words = MUTATIONS[name]
    assert run_seed(venue, seed).breaches == []
    with taken_away:
        assert words in "\n".join(run_seed(venue, seed).breaches)


@pytest.mark.parametrize("name", ONCE_BROKEN)
def test_what_the_seeds_found_stays_mended(name):
    """[ours] The seeds that showed a fault of ours are quiet."""
    assert run_seed(*ONCE_BROKEN[name]).breaches == []


class Full:
    """A file on a disk that has room for so many more bytes."""

    def __init__(self, path: Path, room: int) -> None:
        self.file = PLAIN_OPEN(path, "ab", buffering=0)
        self.room = room

    def write(self, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = min(self.room, len(data))
        self.room -= taken
        return self.file.write(data[:taken])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def test_a_line_is_appended_whole_or_not_at_all(tmp_path):
    """[ours] A disk that runs full takes a part of a write and says so in the count only: it is taken back."""
    path = tmp_path / "lines"
    disk = Full(path, 9)
    append_whole(disk, b"first\n")
    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            append_whole(disk, b"second\n")
    disk.room = 100
    append_whole(disk, b"third\n")
    disk.close()
    assert path.read_bytes() == b"first\nthird\n"


def test_a_timeline_begins_with_the_intent_even_when_the_disk_refused_it(tmp_path):
    """[ours] The lines after a full disk are still a story that can be replayed; what is missing is told."""
    timelines, order = Timelines(tmp_path), Order(an_intent())
    with mock.patch.object(Path, "open", lambda path, *arguments, **named: Full(path, 40)):
        timelines.begin(order)
    timelines.add(order, order.apply(Deed(kind="sent"), 5))
    path = timelines.path(order)
    timelines.close_all()
    assert len(timelines.failures) == 1
    with path.open("rb") as lines:
        told = replay(lines)
    assert (told.intent, told.sent_ms) == (order.intent, 5)


@contract(arms=("memory",))
async def test_a_proof_waits_for_a_full_rate_budget(venue: Stack) -> None:
    """[ours] Without room nothing was read: flat is proven a minute later, not given up within seconds."""
    trade = trading(venue)
    until = venue.clock.monotonic() + 45
    read = venue.connector.get_positions

    async def refused() -> Any:
        if venue.clock.monotonic() < until:
            raise OutcomeUnknown("RATE_LIMITED", "no room")
        return await read()

    with mock.patch.object(venue.connector, "get_positions", refused):
        assert (await Trading.flat_proof(trade)).quantity == Decimal(0)
        until += 1_000
        with pytest.raises(OutcomeUnknown):
            await trade.flat_proof()


def command(monkeypatch, capsys, *words: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["runner", *words])
    code = app.console.main()
    return int(code or 0), capsys.readouterr().err


def test_recover_without_a_readable_journal_says_so(tmp_path, monkeypatch, capsys):
    """[ours] Exit 3 with the reason, no traceback, nothing sent."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "state" / "journal.db").mkdir(parents=True)
    code, err = command(monkeypatch, capsys, "recover")
    assert (code, "cannot open the journal" in err) == (3, True)


def test_recover_on_a_disk_that_cannot_be_written_says_so(tmp_path, monkeypatch, capsys):
    """[ours] Exit 3 before anything is sent; the play stays for the next try."""
    monkeypatch.chdir(tmp_path)
    journal = Journal(tmp_path / "state" / "journal.db")
    row = {"play": "r/okx", "run": "r", "venue": "okx", "account": "okx:1", "symbol": "SOL", "market": "perp"}
    journal.begin_play(**row, spot_baseline="0", now_ms=1)
    (tmp_path / "runs").write_text("a file where the folder should be", encoding="utf-8")
    (tmp_path / "sims.json").write_bytes(msgspec.json.encode({"okx": {"rest": "", "ws": "", "credentials": {}}}))
    code, err = command(monkeypatch, capsys, "recover", "--sims", "sims.json")
    assert (code, "cannot be written" in err, "Nothing was sent" in err) == (3, True, True)
    assert len(journal.unended_plays()) == 1
    journal.close()


def test_a_verdict_is_told_even_when_no_report_can_be_written(tmp_path, monkeypatch, capsys):
    """[ours] A disk that is full at the end of a run: exit code and words of the outcome, no traceback."""
    monkeypatch.chdir(tmp_path)
    sample = ROOT / "tests" / "unit" / "reports" / "outcomes" / "not_proven_flat.json"
    outcome = msgspec.json.decode(sample.read_bytes(), type=Outcome)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(runner.playing, "_unwrapped", lambda whole: outcome)
    monkeypatch.setattr(runner.playing, "write_outcome", full)
    scenario = (ROOT / "scenarios" / "e2e_all.yaml").read_bytes()
    (tmp_path / "all.yaml").write_bytes(scenario)
    code, err = command(monkeypatch, capsys, "play", "all.yaml", "--venue", "okx")
    assert code == outcome.exit_code == 5
    assert "No space left on device" in err
    assert outcome.sentence in err
