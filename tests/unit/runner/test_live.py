"""What people see of a run: lines, the live table, the journal as JSON."""

import io
import json
import re

import pytest

from runner.live import open_view
from tests.e2e.virtual import FIRST, SCENARIOS, play

T0 = 1_767_571_200_000
STARTED = {
    "ts_ms": T0,
    "event": "started",
    "run": "20260105T000000Z-demo",
    "scenario": "demo",
    "symbol": "SOL",
    "venues": ["backpack", "okx"],
    "on": "sim",
}


def step(at_secs, venue, index, verb, words, *, secs=0, phase="steps", of=4):
    now = T0 + at_secs * 1000
    facts = {"phase": phase, "index": index, "of": of, "verb": verb, "words": words, "until_ms": now + secs * 1000}
    return {"ts_ms": now, "event": "step", "venue": venue, **facts}


def sample(at_secs, venue, attempts=0, price=None, position="0.01", available="9998.20"):
    facts = {"attempts": attempts, "price": price, "position": position, "available": available}
    return {"ts_ms": T0 + at_secs * 1000, "event": "sample", "venue": venue, **facts}


def ended(at_secs, venue, verdict, text):
    return {"ts_ms": T0 + at_secs * 1000, "event": "ended", "venue": venue, "verdict": verdict, "text": text}


class Terminal(io.StringIO):
    """A terminal of some width that knows what stands on its screen after each redrawing."""

    def isatty(self):
        return True


def screen(rows, monkeypatch, *, width=80, now_secs=0.0, environ=None):
    """The last frame, without its escape codes, and everything that was written."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in (environ or {}).items():
        monkeypatch.setenv(name, value)
    out = Terminal()
    view = open_view("auto", out, terminal=True)
    for row in rows:
        view(row)
    before = out.tell()
    view.tick(T0 + round(now_secs * 1000))
    frame = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", out.getvalue()[before:])
    view.close()
    return frame.splitlines(), out.getvalue()


LONG = "open (buy the smallest size) with a limit order that follows the best price every 10 s, for at most 2 min"


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_the_terminal_and_has_a_row_for_each_play(monkeypatch, width):
    """[client] Step n of m in words, attempts and price, position, margin, elapsed; 80 columns are enough."""
    rows = [
        STARTED,
        step(1, "backpack", 0, "tracking_open", LONG, secs=120),
        sample(12, "backpack", 3, "140.12", "-0.01"),
        step(2, "okx", 1, "wait", "wait 20 s", secs=20),
        sample(2, "okx", position="0.5", available="12.00"),
    ]
    frame, _ = screen(rows, monkeypatch, width=width, now_secs=14.2)
    assert max(map(len, frame)) <= width
    text = "\n".join(frame)
    first = next(line for line in frame if line.startswith("backpack"))
    for words in ("step 1 of 4, attempt 3 at 140.12", "-0.01 SOL", "0:14"):
        assert words in first
    assert "open (buy the smallest size)" in text
    assert "free 9998.20 USD" in text
    second = next(line for line in frame if line.startswith("okx"))
    assert "step 2 of 4, 8 s left" in second
    assert "0.5 SOL" in second
    assert "Ctrl-C" in text


def test_a_random_wait_counts_to_its_drawn_end(monkeypatch):
    """[client] The step tells what was drawn; the countdown ends when the step does."""
    waiting = {"ts_ms": T0, "event": "waiting", "venue": "okx", "text": "waiting 12.4 s", "until_ms": T0 + 12_400}
    rows = [STARTED, step(0, "okx", 0, "random_wait", "wait between 1 s and 30 s", secs=30), waiting]
    frame, _ = screen(rows, monkeypatch, now_secs=2)
    assert "step 1 of 4, 11 s left" in "\n".join(frame)
    out = io.StringIO()
    view = open_view("plain", out, terminal=False)
    view(waiting)
    assert out.getvalue().endswith("okx: waiting 12.4 s\n")


def test_cleanup_and_interruption_are_shown_as_such(monkeypatch):
    """[client] A person who pressed Ctrl-C sees that it was heard and what goes on."""
    rows = [
        STARTED,
        step(1, "backpack", 2, "wait", "wait 20 s", secs=20),
        {"ts_ms": T0 + 3000, "event": "interrupted", "text": "SIGINT: cleaning up; once more leaves at once"},
        {"ts_ms": T0 + 3000, "event": "cleanup", "venue": "backpack"},
        step(3, "backpack", 1, "flatten", "close whatever is still open", phase="finally", of=2),
    ]
    frame, _ = screen(rows, monkeypatch, now_secs=4)
    assert "cleanup 2 of 2" in "\n".join(frame)
    assert "once more leaves at once" in "\n".join(frame)
    proving = {"ts_ms": T0 + 5000, "event": "proving", "venue": "backpack"}
    frame, _ = screen([*rows, proving], monkeypatch, now_secs=5)
    assert "cleanup, last reading" in "\n".join(frame)


def test_colour_only_repeats_what_words_say(monkeypatch):
    """[client] Without colour the frame reads the same, letter for letter."""
    rows = [
        STARTED,
        ended(5, "backpack", "accepted", "backpack played every step and is proven flat"),
        ended(6, "okx", "not_proven_flat", "okx is NOT proven flat: its last reading failed"),
    ]
    colour, raw = screen(rows, monkeypatch, now_secs=9)
    plain, bare = screen(rows, monkeypatch, now_secs=9, environ={"NO_COLOR": "1"})
    assert plain == colour
    assert "\x1b[1;32m" in raw
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", bare)
    text = "\n".join(plain)
    for words in ("ACCEPTED", "NOT PROVEN FLAT", "0:05", "0:06"):
        assert words in text
    assert "Ctrl-C" not in text


def test_failures_and_notes_stay_above_the_table(monkeypatch):
    """[client] What a person should not miss is not drawn over."""
    failed = {"ts_ms": T0 + 4000, "event": "step_ended", "venue": "okx", "status": "failed", "text": "not filled"}
    note = {"ts_ms": T0 + 1000, "event": "note", "venue": "backpack", "text": "waiting 5.671 s"}
    _, raw = screen([STARTED, note, failed], monkeypatch, now_secs=9)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", raw)
    assert "00:00:01  backpack: waiting 5.671 s\n" in text
    assert "00:00:04  okx: failed: not filled\n" in text


def test_a_venues_text_cannot_move_the_cursor(monkeypatch):
    """[ours] Escape codes and markup in a refusal are shown, not obeyed."""
    hostile = {**ended(1, "okx", "not_accepted", "\x1b[2J[bold red]gone[/]"), "venue": "okx"}
    frame, raw = screen([STARTED, hostile], monkeypatch, now_secs=2, width=120)
    assert "\x1b[2J" not in raw
    assert "·[2J[bold red]gone[/]" in "\n".join(frame)
    out = io.StringIO()
    view = open_view("plain", out, terminal=False)
    view(hostile)
    assert "\x1b" not in out.getvalue()


def test_the_cursor_comes_back_when_the_view_closes(monkeypatch):
    """[client] After the end and after a second Ctrl-C the terminal is as it was."""
    _, raw = screen([STARTED], monkeypatch)
    assert raw.rfind("\x1b[?25h") > raw.rfind("\x1b[?25l") >= 0


@pytest.mark.parametrize(("progress", "terminal"), [("auto", False), ("plain", True), ("plain", False)])
def test_without_a_terminal_there_are_dated_lines_and_silence_is_broken(progress, terminal):
    """[client] At least one line each ten seconds; each begins with its time and has no escape code."""
    out = io.StringIO()
    view = open_view(progress, out, terminal=terminal)
    view(STARTED)
    view(step(0, "backpack", 1, "wait", "wait 60 s", secs=60))
    view(sample(1, "backpack"))
    view(ended(2, "okx", "accepted", "okx played every step and is proven flat"))
    for quarter in range(4 * 60):
        view.tick(T0 + quarter * 250)
    lines = out.getvalue().splitlines()
    assert [line for line in lines if not re.match(r"2026-01-05 \d\d:\d\d:\d\d  ", line)] == []
    seconds = [int(line[14:16]) * 60 + int(line[17:19]) for line in lines]
    assert max(after - before for before, after in zip(seconds, [*seconds[1:], 60], strict=True)) <= 10
    assert lines[3] == "2026-01-05 00:00:11  still: backpack step 2 of 4, 49 s left, holds 0.01 SOL"
    assert "\x1b" not in out.getvalue()


def test_after_the_last_play_ended_silence_is_silence():
    """[ours] No line claims that something still goes on."""
    out = io.StringIO()
    view = open_view("plain", out, terminal=False)
    for row in (STARTED, ended(1, "backpack", "accepted", "a"), ended(1, "okx", "accepted", "b")):
        view(row)
    before = out.getvalue()
    view.tick(T0 + 60_000)
    assert out.getvalue() == before


def test_json_is_the_journal_and_time_adds_nothing():
    """[client] One JSON object a line, as in events.jsonl."""
    out = io.StringIO()
    view = open_view("json", out, terminal=True)
    view(STARTED)
    view.tick(T0 + 60_000)
    assert [json.loads(line) for line in out.getvalue().splitlines()] == [STARTED]


@pytest.mark.parametrize("progress", ["auto", "plain", "json"])
def test_a_reader_who_left_does_not_end_the_play(progress, monkeypatch):
    """[ours] Broken pipe, closed terminal: the view falls silent."""
    monkeypatch.setenv("TERM", "xterm")

    class Gone(Terminal):
        def write(self, text):
            raise BrokenPipeError

    view = open_view(progress, Gone(), terminal=True)
    view(STARTED)
    view(step(0, "backpack", 0, "wait", "wait 60 s", secs=60))
    view.tick(T0 + 20_000)
    view.close()


def test_a_real_play_tells_the_view_all_it_shows(tmp_path, monkeypatch):
    """[client] The journal of a whole run, shown at every moment of it, in 80 columns; the samples are few."""
    played = play(SCENARIOS / "e2e_all.yaml", tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    samples = [row for row in rows if row["event"] == "sample"]
    assert 3 <= len(samples) <= played.outcome.duration_secs + 20
    assert {"attempts", "price", "position", "available"} <= set(samples[0])
    assert max(row["attempts"] for row in samples) == len(played.play.tracking[0].attempts)
    assert any(row["price"] == played.play.tracking[0].price_sequence[0] for row in samples)
    (wait,) = [row for row in rows if row["event"] == "step" and row["verb"] == "random_wait"]
    (drawn,) = [row for row in rows if row["event"] == "waiting"]
    (done,) = [row for row in rows if row["event"] == "step_ended" and row["verb"] == "random_wait"]
    assert (wait["of"], wait["until_ms"] - wait["ts_ms"]) == (4, 30_000)
    assert drawn["text"] == f"waiting {(drawn['until_ms'] - drawn['ts_ms']) / 1000:g} s"
    assert 0 <= done["ts_ms"] - drawn["until_ms"] <= 300
    at = 0
    for end in range(1, len(rows) + 1, 3):
        frame, _ = screen(rows[:end], monkeypatch, now_secs=(rows[end - 1]["ts_ms"] - T0) / 1000)
        assert max(map(len, frame), default=0) <= 80
        at += FIRST in "\n".join(frame)
    assert at > 3
