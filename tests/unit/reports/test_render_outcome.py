"""The published schema of outcome.json and the runner's Structs say the same."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from jsonschema import Draft202012Validator

from runner import outcome as model
from schemas import load_schema
from venues.interface import RateWindow

HERE = Path(__file__).resolve().parent
_spec = importlib.util.spec_from_file_location("outcome_builder", HERE / "outcome_builder.py")
assert _spec is not None
assert _spec.loader is not None
builder = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(builder)

STRUCTS = {
    "attempt": model.AttemptMade,
    "connection": model.ConnectionRecord,
    "criterion": model.Criterion,
    "failure": model.Failure,
    "fill": model.Trade,
    "gap": model.Gap,
    "halted": model.Halted,
    "heartbeat": model.HeartbeatLog,
    "margin": model.MarginChange,
    "margin_reading": model.MarginReading,
    "move": model.Move,
    "notice": model.Notice,
    "order": model.OrderStory,
    "play": model.Play,
    "position": model.PositionChange,
    "proof": model.Proof,
    "quote": model.Quote,
    "rate_limit": RateWindow,
    "rates": model.RateLog,
    "reconnect": model.Reconnect,
    "scenario": model.ScenarioPlayed,
    "step": model.StepDone,
    "tracking": model.Tracking,
}


# Fields that outcomes of earlier programs do not have; an old run must still be told.
LATER = {("play", "rates"), ("play", "notes")}


def fields(struct):
    return [field.encode_name for field in msgspec.structs.fields(struct)]


def test_the_schema_is_a_schema():
    """[ours] It is valid draft 2020-12, and every object in it is closed."""
    schema = load_schema("outcome")
    Draft202012Validator.check_schema(schema)
    for name, part in schema["$defs"].items():
        if "properties" in part:
            assert part["additionalProperties"] is False, name
            wanted = [field for field in part["properties"] if (name, field) not in LATER]
            assert part["required"] == wanted, name


def test_schema_and_structs_have_the_same_fields_in_the_same_order():
    """[ours] Neither side can gain, lose or rename a field alone."""
    schema = load_schema("outcome")
    assert fields(model.Outcome) == list(schema["properties"])
    objects = {name for name, part in schema["$defs"].items() if "properties" in part}
    assert objects == set(STRUCTS)
    for name, struct in STRUCTS.items():
        assert fields(struct) == list(schema["$defs"][name]["properties"]), name
    assert list(get_args(model.Verdict)) == schema["$defs"]["verdict"]["enum"]
    assert sorted(model.EXIT_CODES.values()) == schema["properties"]["exit_code"]["enum"]


@pytest.mark.parametrize("name", sorted(builder.SAMPLES))
def test_a_kept_sample_is_what_the_builder_makes(name):
    """[ours] The samples are sound, and are made by the builder, not by hand."""
    made = model.to_json(builder.SAMPLES[name]())
    assert model.check(made) == []
    assert made == (HERE / "outcomes" / f"{name}.json").read_bytes()


def test_an_outcome_survives_the_file():
    """[ours] Written and read back it is the same, and free keys are sorted."""
    made = builder.accepted()
    text = model.to_json(made)
    assert msgspec.json.decode(text, type=model.Outcome) == made
    assert list(json.loads(text)["versions"]) == sorted(made.versions)
    assert text.endswith(b"}\n")


def test_who_halted_a_run_and_its_rates_survive_the_file_and_may_be_absent():
    """[ours] Both came later: an outcome without them is sound, and so is one that has them."""
    made = builder.accepted()
    assert b'"halted"' not in model.to_json(made)
    rates = model.RateLog(refused=1, limits=(RateWindow(name="weight", limit=10, per_secs=60, peak=3),))
    play = msgspec.structs.replace(made.plays[0], rates=rates)
    halted = model.Halted(by="endpoint", at_ms=1, flatten=True)
    text = model.to_json(msgspec.structs.replace(made, halted=halted, plays=(play,)))
    assert model.check(text) == []
    again = msgspec.json.decode(text, type=model.Outcome)
    assert (again.halted, again.plays[0].rates) == (halted, rates)


def changed(path, value):
    document = json.loads(model.to_json(builder.accepted()))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return document


ORDER = ("plays", 0, "orders", 1)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "roundtrip/outcome/2"),
        (("verdict",), "fine"),
        (("exit_code",), 1),
        (("exit_code",), 2),
        (("on",), "paper"),
        (("speed",), 0),
        (("duration_secs",), -1),
        (("started",), "2026-01-05 00:00:00"),
        (("started_ms",), 10**15),
        (("surplus",), 1),
        (("scenario", "sha256"), "3b"),
        (("versions", "python"), 3),
        ((*ORDER, "price"), 140.16),
        ((*ORDER, "price"), "1E-8"),
        ((*ORDER, "price"), "NaN"),
        ((*ORDER, "price"), "140,16"),
        ((*ORDER, "size"), None),
        ((*ORDER, "size"), "9" * 81),
        ((*ORDER, "state"), "LOST"),
        ((*ORDER, "client_id"), "4000001"),
        ((*ORDER, "history", 0, "to"), "open"),
        ((*ORDER, "fills", 0, "fee"), 0.1),
        ((*ORDER, "surplus"), 1),
        (("plays", 0, "fees", "USDC"), 1),
        (("plays", 0, "steps", 0, "status"), "ok"),
        (("plays", 0, "steps", 0, "numbers", "x"), []),
        (("plays", 0, "position", "proof", "quantity"), 0),
        (("heartbeat", "endpoints", 0), "user:word@host/path?key=1"),
        (("acceptance", 0, "verdict"), True),
        (("not_tested", 0), None),
    ],
)
def test_a_changed_outcome_is_refused(path, value):
    """[ours] Floats, exponents, unknown words, foreign keys and endpoints with more than a host are no outcome."""
    assert model.check(json.dumps(changed(path, value)).encode())


def test_every_missing_field_is_named():
    """[ours] No field of the run or of an order is optional."""
    whole = json.loads(model.to_json(builder.accepted()))
    for name in list(whole):
        document = {key: value for key, value in whole.items() if key != name}
        assert any(f"'{name}' is a required property" in fault for fault in model.check(json.dumps(document).encode()))
    for name in list(whole["plays"][0]["orders"][0]):
        document = copy.deepcopy(whole)
        del document["plays"][0]["orders"][0][name]
        (fault,) = model.check(json.dumps(document).encode())
        assert fault == f"plays[0].orders[0]: '{name}' is a required property"


@pytest.mark.parametrize("broken", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_not_json_is_one_fault(broken):
    """[ours] check never raises."""
    (fault,) = model.check(broken)
    assert fault.startswith("not JSON")


def test_a_long_value_is_cut_in_the_fault():
    """[ours] A fault stays readable whatever stands in the file."""
    (fault,) = model.check(json.dumps(changed((*ORDER, "price"), "x" * 100_000)).encode())
    assert len(fault) < 400
