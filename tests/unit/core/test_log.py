"""The log: what people read, what machines read, what never gets in, and that it never raises."""

from __future__ import annotations

import io
import json
import logging
from decimal import Decimal
from pathlib import Path

import pytest
import structlog

from core import log as logs
from core.clock import VIRTUAL_EPOCH_MS
from core.secrets import Vault


class Still:
    """A clock that stands at the start of virtual time."""

    speed = 1.0

    def now_ms(self):
        return VIRTUAL_EPOCH_MS

    def monotonic(self):
        return 0.0

    async def sleep(self, secs):
        raise AssertionError("a log does not sleep")


@pytest.fixture
def setup_log():
    """Configure for one test; gives a function that returns the stream."""

    def configure(*, level="INFO", json=False, file=None, stream=None, mask=str):
        stream = io.StringIO() if stream is None else stream
        logs.configure(level=level, json=json, stream=stream, file=file, clock=Still(), mask=mask)
        return stream

    yield configure
    logs.close()


def test_people_read_time_level_event_and_words(setup_log):
    """[client] INFO is short and for people; what names an order comes first."""
    stream = setup_log()
    logs.get("x").info("order sent", venue="backpack", size=Decimal("0.01"), why="two words", coi=7, trace_id="t1")
    assert stream.getvalue() == (
        '2026-01-05T00:00:00.000Z info order sent trace_id=t1 coi=7 venue=backpack size=0.01 why="two words"\n'
    )


def test_machines_read_one_json_object_a_line(setup_log):
    """[client] JSON on request, with the names trace_id, coi, engine_ts, ws_seq, cancel_ack_ts."""
    stream = setup_log(json=True)
    log = logs.get("orders").bind(trace_id="t1", coi=7)
    log.warning("late fill", ws_seq=9, engine_ts=5, cancel_ack_ts=None, price=Decimal("140.99"), tags=("a", 1))
    (line,) = stream.getvalue().splitlines()
    assert list(json.loads(line).items()) == [
        ("ts", "2026-01-05T00:00:00.000Z"),
        ("level", "warning"),
        ("event", "late fill"),
        ("logger", "orders"),
        ("trace_id", "t1"),
        ("coi", 7),
        ("engine_ts", 5),
        ("ws_seq", 9),
        ("cancel_ack_ts", None),
        ("price", "140.99"),
        ("tags", ["a", 1]),
    ]
    assert set(logs.FIELDS) <= json.loads(line).keys()


def test_the_file_is_json_whatever_the_stream_is(setup_log, tmp_path):
    """[ours] The file is for searching later; its folder is made; a second run appends."""
    file = tmp_path / "deep" / "run.log"
    for _ in range(2):
        stream = setup_log(file=file)
        logs.get("x").info("started")
        logs.close()
    assert stream.getvalue() == "2026-01-05T00:00:00.000Z info started\n"
    assert [json.loads(line)["event"] for line in file.read_text().splitlines()] == ["started", "started"]


@pytest.mark.parametrize(
    ("level", "seen"),
    [
        ("DEBUG", ["a", "b", "c", "d"]),
        ("info", ["b", "c", "d"]),
        ("WARNING", ["c", "d"]),
        ("ERROR", ["d"]),
    ],
)
def test_a_level_lets_through_itself_and_what_is_above(setup_log, level, seen):
    """[client] DEBUG holds everything, ERROR the worst only; a logger taken before follows."""
    log = logs.get("x")
    stream = setup_log(level=level, json=True)
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == seen
    assert log.isEnabledFor(logging.DEBUG) is (level == "DEBUG")


def test_no_such_level_is_refused_in_words():
    """[ours] Wrong input gets a clear error."""
    with pytest.raises(ValueError, match="choose one of DEBUG, INFO"):
        logs.configure(level="LOUD", json=False, stream=None, file=None)


def test_secrets_are_masked_wherever_they_stand(setup_log, tmp_path):
    """[client] DEBUG holds raw WebSocket text with secrets masked; no other place shows them either."""
    vault = Vault()
    vault.remember("very-secret-key")

    class Odd:
        def __str__(self):
            return "odd very-secret-key"

    file = tmp_path / "run.log"
    stream = setup_log(level="DEBUG", file=file, mask=vault.mask)
    log = logs.get("x").bind(account="very-secret-key")
    raw = '{"op":"login","key":"very-secret-key"}'
    log.debug("ws", text=raw, raw=raw.encode(), deep={"very-secret-key": [("very-secret-key", Odd())]})
    log.info("said very-secret-key", **{"very-secret-key": 1})
    try:
        raise ValueError("bad very-secret-key")
    except ValueError as error:
        log.exception("failed", error=error)
    for text in (stream.getvalue(), file.read_text()):
        assert "very-secret" not in text
        assert text.count("•••") >= 9
        assert "ValueError: bad •••" in text


def test_a_secret_at_the_cut_is_masked_whole(setup_log):
    """[ours] A long text is cut after masking; half a secret is a secret too."""
    vault = Vault()
    vault.remember("very-secret-key")
    stream = setup_log(level="DEBUG", mask=vault.mask)
    logs.get("x").debug("ws", text="x" * (logs.MAX_TEXT - 6) + "very-secret-key" * 3)
    assert "very" not in stream.getvalue()
    assert "more)" in stream.getvalue()
    assert len(stream.getvalue()) < logs.MAX_TEXT + 200


def test_a_hostile_text_stays_on_its_line(setup_log):
    """[ours] A venue's words cannot forge a line, move the cursor or turn the writing round."""
    stream = setup_log()
    logs.get("x").info("said\nforged", words="a\n2026 error forged=1 \x1b[2J \u202e", **{"odd key\n": "="})
    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()
    assert "\\n2026" in line


def test_what_cannot_be_json_is_written_all_the_same(setup_log):
    """[ours] NaN, huge numbers, lone surrogates, rings and broken objects cost nothing but their beauty."""

    class Broken:
        def __str__(self):
            raise RuntimeError("no")

    ring = []
    ring.append(ring)
    stream = setup_log(json=True)
    logs.get("x").info(
        "odd", nan=float("nan"), huge=10**5000, lone="\ud800", ring=ring, broken=Broken(), keys={1: 2}, some={3}
    )
    line = json.loads(stream.getvalue())
    assert line["nan"] == "nan"
    assert line["huge"].startswith("0x")
    assert line["broken"] == "<Broken that cannot be printed>"
    assert (line["keys"], line["some"]) == ({"1": 2}, [3])
    assert logs.lost_lines() == 0


class Full(io.StringIO):
    """A disk without room."""

    def write(self, text):
        raise OSError("no space left")


def test_a_line_that_cannot_be_written_is_counted_not_raised(setup_log, tmp_path):
    """[client] Logging never raises into the caller; the other target still gets the line."""
    file = tmp_path / "run.log"
    setup_log(stream=Full(), file=file)
    logs.get("x").info("still here")
    assert logs.lost_lines() == 1
    assert json.loads(file.read_text())["event"] == "still here"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_counted_and_closing_does_not_raise(setup_log):
    """[client] A real file on a disk without room."""
    setup_log(file=Path("/dev/full"))
    logs.get("x").info("lost")
    assert logs.lost_lines() == 1
    logs.close()


def test_a_closed_stream_and_a_broken_mask_do_not_raise(setup_log):
    """[ours] Whatever is wrong with the log, the trading goes on."""

    def broken(text):
        raise KeyError(text)

    stream = setup_log()
    stream.close()
    logs.get("x").error("to nobody")
    setup_log(mask=broken)
    logs.get("x").error("unmaskable", key="v")
    assert logs.lost_lines() == 1


@pytest.mark.parametrize("name", ["event", "level", "ts", "self", "method_name", "logger", "exc_info"])
def test_any_field_name_is_survived(setup_log, name):
    """[ours] A field may be called like an argument of the machinery below."""
    stream = setup_log(json=True)
    logs.get("x").info("words", **{name: "odd"})
    assert json.loads(stream.getvalue())["event"] == "words"
    assert logs.lost_lines() == 0


def test_a_terminal_that_knows_ascii_only_gets_escapes(setup_log):
    """[ours] A character that cannot be shown does not lose the line."""
    raw = io.BytesIO()
    setup_log(stream=io.TextIOWrapper(raw, encoding="ascii"))
    logs.get("x").info("fill •••")
    assert b"fill \\u2022" in raw.getvalue()
    assert logs.lost_lines() == 0


def test_what_libraries_say_is_masked_and_kept_from_warning_up(setup_log):
    """[ours] asyncio tells of lost exceptions through the standard library; HTTP clients tell addresses at INFO."""
    vault = Vault()
    vault.remember("very-secret-key")
    stream = setup_log(level="DEBUG", json=True, mask=vault.mask)
    library = logging.getLogger("some.library")
    library.info("HTTP Request: POST https://host/?key=very-secret-key")
    library.warning("retrying %s", "very-secret-key")
    try:
        raise ValueError("lost")
    except ValueError:
        library.exception("never retrieved")
    # Straight to our handler: the test runner's own would raise.
    (ours,) = [handler for handler in logging.getLogger().handlers if type(handler).__module__ == logs.__name__]
    ours.emit(logging.makeLogRecord({"name": "some.library", "levelno": 40, "msg": "broken %d", "args": ("words",)}))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("warning", "retrying •••"),
        ("error", "never retrieved"),
        ("error", "broken %d"),
    ]
    assert "ValueError: lost" in lines[1]["exception"]


def test_structlogs_own_loggers_and_bound_context_go_the_same_way(setup_log):
    """[ours] One set-up for every way of asking for a logger."""
    stream = setup_log(json=True)
    with structlog.contextvars.bound_contextvars(trace_id="t9"):
        structlog.get_logger(part="third").info("hello", coi=1)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["trace_id"], line["coi"], line["part"]) == ("hello", "t9", 1, "third")


def test_before_the_set_up_warnings_go_to_the_standard_error(capsys):
    """[ours] Nothing serious is lost when a part is used on its own."""
    logs.get("x").info("quiet")
    logs.get("x").warning("loud", coi=7)
    shown = capsys.readouterr()
    assert shown.err.endswith("warning loud coi=7\n")
    assert "quiet" not in shown.err
    assert shown.out == ""


def test_a_log_file_that_cannot_be_opened_is_told_at_the_start(tmp_path):
    """[ours] At the start there is somebody to tell; nothing is half set up."""
    (tmp_path / "block").write_text("")
    with pytest.raises(OSError):
        logs.configure(level="INFO", json=False, stream=None, file=tmp_path / "block" / "run.log")
    assert not logs.get("x").isEnabledFor(logging.INFO)
