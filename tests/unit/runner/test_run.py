"""A run over several venues: the worst verdict counts, everything is written down, and nothing is claimed untested."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.clock import VirtualClock, run_virtual
from execution.journal import Journal
from execution.timeline import Timelines
from runner.events import EventLog
from runner.heartbeat import Endpoint, HeartbeatSettings
from runner.outcome import EXIT_CODES
from runner.run import Interruption
from tests.e2e.virtual import FIRST, World, play
from venues.errors import LocalRuleError

TEXT = """
scenario: a_run
title: Open, wait, close
venues: all
market: perp
symbol: SOL
side: buy
size: 0.05
seed: 7
steps:
  - market_open
  - wait: {secs: 30s}
  - market_close
accept:
  round_trip: {at_least: 1}
  flat: true
  heartbeat: {max_gap_secs: 15}
  no_unhandled_errors: true
  logs_complete: true
"""
REJECT = {"action": "reject", "on": "engine", "kind": "place", "params": {"reason": "INSUFFICIENT_MARGIN"}}
TWO = (FIRST, "twin")


def test_exit_codes_are_those_of_the_promise():
    """[client] 0 accepted, 1 not accepted, 3 environment, 4 interrupted, 5 not proven flat; 2 has no outcome."""
    assert EXIT_CODES == {
        "accepted": 0,
        "not_accepted": 1,
        "environment_failed": 3,
        "interrupted": 4,
        "not_proven_flat": 5,
    }


@pytest.mark.parametrize(
    ("setup", "verdict"),
    [
        ({}, "accepted"),
        ({"faults": {"twin": [REJECT]}}, "not_accepted"),
        ({"down": ("twin",)}, "environment_failed"),
        ({"faults": {"twin": [{**REJECT, "after_ms": 5_000}], FIRST: [REJECT]}}, "not_proven_flat"),
        ({"faults": {FIRST: [REJECT]}, "down": ("twin",)}, "environment_failed"),
    ],
    ids=["both well", "one refused", "one down", "one stuck, one refused", "one down, one refused"],
)
def test_a_run_is_as_good_as_its_worst_play(setup: dict, verdict: str, tmp_path: Path):
    """[client] Each play keeps its own verdict; the run takes the worst, and its sentence names who it was."""
    played = play(TEXT, tmp_path, venues=TWO, **setup)
    assert (played.outcome.verdict, played.outcome.exit_code) == (verdict, EXIT_CODES[verdict])
    assert verdict in {told.verdict for told in played.outcome.plays}
    if verdict != "accepted":
        worst = [told.venue for told in played.outcome.plays if told.verdict == verdict]
        assert all(venue in played.outcome.sentence for venue in worst)


def test_the_journal_of_a_run_tells_it_from_start_to_end(tmp_path: Path):
    """[client] started, connecting, ready, step, step_ended, cleanup, ended, outcome: in order, each with its time."""
    played = play(TEXT, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows == [dict(row) for row in played.world.events]
    assert [row["ts_ms"] for row in rows] == sorted(row["ts_ms"] for row in rows)
    events = [row["event"] for row in rows]
    for earlier, later in zip(
        ("started", "connecting", "ready", "step", "cleanup", "ended"),
        ("connecting", "ready", "step", "cleanup", "ended", "outcome"),
        strict=True,
    ):
        assert events.index(earlier) < events.index(later)
    assert events.count("step") == events.count("step_ended") == 5
    assert rows[-1]["exit_code"] == 0


def test_a_run_leaves_nothing_unsettled_in_the_durable_journal(tmp_path: Path):
    """[ours] Every intent settled, the play ended with its verdict: recovery has nothing to do."""
    played = play(TEXT, tmp_path, journal=str(tmp_path / "journal.db"))
    assert played.outcome.verdict == "accepted"
    journal = Journal(tmp_path / "journal.db")
    assert (journal.unsettled(), journal.unended_plays()) == ([], [])
    journal.close()


def test_a_play_that_is_not_proven_flat_stays_for_recovery(tmp_path: Path):
    """[ours] Not ended in the journal, so `runner recover` finds it."""
    play(TEXT, tmp_path, journal=str(tmp_path / "journal.db"), faults=[{**REJECT, "after_ms": 5_000}])
    journal = Journal(tmp_path / "journal.db")
    (left,) = journal.unended_plays()
    assert (left["venue"], left["symbol"]) == (FIRST, "SOL")
    journal.close()


def test_a_journal_that_cannot_be_opened_stops_the_run_before_anything_is_sent(tmp_path: Path):
    """[ours] HALTED: without a durable journal nothing may be sent."""
    (tmp_path / "no_folder").write_text("a file", encoding="utf-8")
    with pytest.raises((LocalRuleError, BaseExceptionGroup, OSError)) as told:
        play(TEXT, tmp_path, journal=str(tmp_path / "no_folder"))
    error: BaseException = told.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, LocalRuleError)
    assert error.code == "HALTED"


def test_a_timeline_that_cannot_be_written_fails_the_log_line_and_nothing_else(tmp_path: Path, monkeypatch):
    """[ours] Disk trouble in the logs: trading goes on, flat, logs_complete failed with the file's name."""
    real, count = Timelines._write, 0

    def write(self, order, line):
        nonlocal count
        count += 1
        if count == 4:
            self.failures.append("x.jsonl: No space left on device")
            return
        real(self, order, line)

    monkeypatch.setattr(Timelines, "_write", write)
    played = play(TEXT, tmp_path)
    assert (played.outcome.verdict, played.world.held()) == ("not_accepted", 0)
    assert [name for name, verdict in played.lines().items() if verdict == "failed"] == [f"logs_complete/{FIRST}"]
    assert [error.code for error in played.outcome.errors] == ["LOG_INCOMPLETE"]


def test_heartbeats_that_nobody_takes_fail_their_line_and_disturb_nothing(tmp_path: Path):
    """[client] Endpoint down: the plays are accepted, the run is not, and the beats stand in the fallback file."""
    settings = HeartbeatSettings(
        endpoints=(Endpoint(url="http://127.0.0.1:9/beat"),), fallback_file=tmp_path / "beats.jsonl"
    )
    from tests.e2e import virtual

    real = virtual.run_plan

    async def refusing(plan, **setup):
        async def post(url, body, headers):
            raise ConnectionRefusedError("planted")

        return await real(plan, **{**setup, "post": post})

    virtual.run_plan = refusing
    try:
        played = play(TEXT, tmp_path, heartbeat=settings)
    finally:
        virtual.run_plan = real
    assert (played.play.verdict, played.outcome.verdict) == ("accepted", "not_accepted")
    assert [name for name, verdict in played.lines().items() if verdict == "failed"] == ["heartbeat/run"]
    assert (tmp_path / "beats.jsonl").read_text(encoding="utf-8").count("\n") >= 3


def test_what_was_not_tested_is_said(tmp_path: Path):
    """[ours] A simulation, shortened waits, lines that were not asked for: each is named."""
    text = TEXT.partition("accept:")[0] + "accept:\n  flat: true\n"
    words = " ".join(play(text, tmp_path, speed=4.0).outcome.not_tested)
    for part in ("simulators", "shortened 4 times", "round trip", "Heartbeat"):
        assert part in words


def test_versions_of_what_played_stand_in_the_outcome(tmp_path: Path):
    """[client] Ours, Python's, and those of the libraries on the order path."""
    versions = play(TEXT, tmp_path).outcome.versions
    assert {"roundtrip", "python", "httpx", "websockets", "msgspec"} <= set(versions)


def test_an_interruption_before_the_plays_exist_reaches_them(tmp_path: Path):
    """[client] Ctrl-C while simulators start: the plays begin interrupted, nothing is sent."""
    interruption = Interruption()
    interruption.interrupt("SIGTERM")

    class Play:
        heard = 0

        def interrupt(self) -> None:
            self.heard += 1

    one = Play()
    interruption.watch([one])  # type: ignore[list-item]
    assert (one.heard, interruption.signal) == (1, "SIGTERM")


def test_the_words_of_a_second_signal_name_what_is_open(tmp_path: Path):
    """[client] Holding: venue, quantity and symbol; proven flat at the end: nothing."""
    heard: list[list[str]] = []

    async def ask(world: World) -> None:
        await world.until("step", verb="wait")
        heard.append(world.interruption.open_words())

    played = play(TEXT, tmp_path, beside=ask)
    ((words,),) = heard
    assert words.startswith(f"{FIRST}: ")
    assert "0.05" in words
    assert played.world.interruption.open_words() == []


def test_an_event_that_cannot_be_written_is_kept_and_told(tmp_path: Path):
    """[ours] Listeners still hear it; the failure is remembered for the outcome."""

    async def story() -> None:
        events = EventLog(tmp_path / "events.jsonl", VirtualClock())
        rows: list = []
        events.listen(rows.append)

        class Full:
            def write(self, line: bytes) -> None:
                raise OSError(28, "No space left on device")

            def close(self) -> None: ...

        assert events._stream is not None
        events._stream.close()
        events._stream = Full()  # type: ignore[assignment]
        events.say("note", venue="v", text="hello")
        events.close()
        assert (events.failures, rows[0]["text"]) == (["No space left on device"], "hello")

    run_virtual(story())
