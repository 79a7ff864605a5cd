"""The verifier of the simulated Lighter against the reference vectors of the curve, and against forgeries."""

import base64
import json
from pathlib import Path

import pytest

from venues.simulation import schnorr_check as check

FOLDER = Path(__file__).resolve().parents[4].parent / "shared" / "fixtures" / "lighter"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="../shared/fixtures/lighter is not there")


def load(name):
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


PRIMITIVES, VECTORS, ORACLE = load("signing_primitives"), load("signing_vectors"), load("signing_sdk_oracle")


def element(text):
    return check.limbs_of(bytes.fromhex(text))


def number(text):
    return int.from_bytes(bytes.fromhex(text), "little")


@pytest.mark.parametrize("case", PRIMITIVES.get("curve_decode", []), ids=lambda case: case["w"][:8])
def test_points_decode_as_the_reference_says(case):
    """[venue] Valid ones come back as they went in; 0 is the neutral point; others are no points."""
    point = check.decode(element(case["w"]))
    assert (point is not None) == case["decodes"]
    if point is not None:
        assert check.bytes_of(check.encode(point)).hex() == case["encoded_back"]
        assert (check.encode(point) == check.ZERO) == case["is_neutral"]


def test_addition_doubling_and_multiplication_follow_the_reference():
    """[venue] curve_add and curve_mul."""
    for case in PRIMITIVES["curve_add"]:
        a, b = check.decode(element(case["a_w"])), check.decode(element(case["b_w"]))
        assert check.bytes_of(check.encode(check.add(a, b))).hex() == case["sum_w"]
        assert check.bytes_of(check.encode(check.add(a, a))).hex() == case["a_double_w"]
        assert check.encode(check.add(a, check.NEUTRAL)) == check.encode(a)
    for case in PRIMITIVES["curve_mul"]:
        base = check.decode(element(case["base_w"]))
        made = check.multiple(number(case["scalar_le"]) % check.GROUP, base)
        assert check.bytes_of(check.encode(made)).hex() == case["out_w"]


def test_keys_hashes_and_signatures_of_the_reference_hold():
    """[venue] keygen, hash_to_quintic and sign."""
    for case in PRIMITIVES["keygen"]:
        assert check.public_key_of(number(case["sk"])).hex() == case["pk"]
    for case in PRIMITIVES["hash_to_quintic"]:
        raw = bytes.fromhex(case["input"])
        inputs = [int.from_bytes(raw[at : at + 8], "little") for at in range(0, len(raw), 8)]
        assert check.bytes_of(check.hash_five(inputs)).hex() == case["output"]
    for case in PRIMITIVES["sign"]:
        key = check.public_key_of(number(case["sk"]))
        assert check.is_signed(key, element(case["hashed_msg"]), bytes.fromhex(case["sig"]))


def test_every_captured_signature_holds_and_no_changed_one_does():
    """[venue] The nine vectors and the oracle's transactions; a flipped bit in s, e, the message or the key fails."""
    rows = [(case, VECTORS["public_key"]) for case in VECTORS["vectors"]]
    rows += [(case, check.public_key_of(number(case["sk"])).hex()) for case in ORACLE["tx"]]
    for case, key in rows:
        signature = base64.b64decode(json.loads(case["tx_info"])["Sig"])
        assert check.is_signed(bytes.fromhex(key), element(case["tx_hash"]), signature)
    key, message = bytes.fromhex(VECTORS["public_key"]), element(VECTORS["vectors"][0]["tx_hash"])
    signature = base64.b64decode(json.loads(VECTORS["vectors"][0]["tx_info"])["Sig"])
    for place in (0, 39, 40, 79):
        forged = bytearray(signature)
        forged[place] ^= 1
        assert not check.is_signed(key, message, bytes(forged))
    assert not check.is_signed(key, element(VECTORS["vectors"][1]["tx_hash"]), signature)
    assert not check.is_signed(check.public_key_of(7), message, signature)


def test_what_is_no_signature_or_no_key_is_refused():
    """[ours] Wrong lengths, numbers out of range, bytes that are no point."""
    key, message = bytes.fromhex(VECTORS["public_key"]), (1, 2, 3, 4, 5)
    for signature in (b"", b"x" * 79, b"\xff" * 80):
        assert not check.is_signed(key, message, signature)
    for bad in (b"", b"\xff" * 40, b"x" * 41):
        assert not check.is_signed(bad, message, b"\0" * 80)


@pytest.mark.parametrize("scalar", [0, 1, 127, 128, 129, 255, 256, 0x8080, (1 << 318) - 1, check.GROUP - 1])
def test_a_multiple_by_the_table_is_the_sum_of_doublings(scalar):
    """[ours] Digits above half of the base are negative and carry into the next."""
    doubled = check.NEUTRAL
    for bit in f"{scalar:b}":
        doubled = check.add(doubled, doubled)
        doubled = check.add(doubled, check.GENERATOR) if bit == "1" else doubled
    assert check.encode(check.multiple(scalar)) == check.encode(doubled)


@pytest.mark.parametrize("spoil", [None, 0, 45, 79])
def test_the_verdict_is_the_same_with_and_without_the_secret(spoil):
    """[ours] Who knows the secret checks with one multiplication and lets through no forgery."""
    secret, nonce, message = 987654321 << 200, 1234567 << 250, (5, 4, 3, 2, 1)
    challenge = check.hash_five([*check.encode(check.multiple(nonce)), *message])
    e = number(check.bytes_of(challenge).hex()) % check.GROUP
    signature = bytearray(((nonce - e * secret) % check.GROUP).to_bytes(40, "little") + e.to_bytes(40, "little"))
    if spoil is not None:
        signature[spoil] ^= 1
    key = check.public_key_of(secret)
    verdicts = [check.is_signed(key, message, bytes(signature), known) for known in (None, secret % check.GROUP)]
    assert verdicts == [spoil is None] * 2
