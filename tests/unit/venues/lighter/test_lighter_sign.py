"""Lighter's signatures against vectors of the venue's own signer and of the curve's reference implementation."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from venues.errors import LocalRuleError
from venues.lighter import sign
from venues.lighter.sign import Signer
from venues.simulation import schnorr_check

FOLDER = Path(__file__).resolve().parents[4].parent / "shared" / "fixtures" / "lighter"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="../shared/fixtures/lighter is not there")


def load(name):
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


VECTORS, PRIMITIVES, ORACLE = load("signing_vectors"), load("signing_primitives"), load("signing_sdk_oracle")


def limbs(text):
    raw = bytes.fromhex(text)
    return [int.from_bytes(raw[at : at + 8], "little") for at in range(0, len(raw), 8)]


def number(text):
    return int.from_bytes(bytes.fromhex(text), "little")


def attributes_of(info):
    return {int(kind): value for kind, value in (info["L2TxAttributes"] or {}).items()}


def is_signed(public_key, tx_hash, signature):
    message = schnorr_check.limbs_of(bytes.fromhex(tx_hash))
    return schnorr_check.is_signed(bytes.fromhex(public_key), message, signature)


@pytest.mark.parametrize("case", VECTORS.get("vectors", []), ids=lambda case: case["name"])
def test_a_transaction_of_the_native_signer_has_the_same_hash(case):
    """[venue] The nine worked vectors of lighter-sdk 1.1.8, types 14 to 17 and 20, skip nonce and one-market cancel."""
    info = json.loads(case["tx_info"])
    digest = sign.transaction_digest(case["chain_id"], case["tx_type"], info, attributes_of(info))
    assert b"".join(limb.to_bytes(8, "little") for limb in digest).hex() == case["tx_hash"]
    assert is_signed(VECTORS["public_key"], case["tx_hash"], base64.b64decode(info["Sig"]))


@pytest.mark.parametrize("case", VECTORS.get("vectors", []), ids=lambda case: case["name"])
def test_what_we_sign_is_byte_for_byte_the_venues_json_but_for_the_signature(case):
    """[venue] Key order, null attributes, and a signature that the separate verifier accepts."""
    info = json.loads(case["tx_info"])
    signer = Signer(VECTORS["private_key"], 12345, 5, case["chain_id"])
    ours = signer.transaction(
        case["tx_type"], info, nonce=info["Nonce"], expired_at=info["ExpiredAt"], attributes=attributes_of(info)
    )
    mine = json.loads(ours.info)
    assert ours.info.replace(mine["Sig"], info["Sig"]) == case["tx_info"]
    assert ours.hash == case["tx_hash"]
    assert is_signed(VECTORS["public_key"], ours.hash, base64.b64decode(mine["Sig"]))


@pytest.mark.parametrize("case", ORACLE.get("tx", []), ids=lambda case: f"{case['kind']}-{case['nonce']}")
def test_the_oracle_of_another_client_has_the_same_hash(case):
    """[venue] nautilus_trader's captured output of the official signer, integrator and nil attributes included."""
    if case["tx_type"] not in sign.FIELDS:
        pytest.skip("a type that we never send")
    info = json.loads(case["tx_info"])
    digest = sign.transaction_digest(case["chain_id"], case["tx_type"], info, attributes_of(info))
    assert b"".join(limb.to_bytes(8, "little") for limb in digest).hex() == case["tx_hash"]


def test_a_fixed_nonce_gives_the_signature_of_the_sheet():
    """[venue] k fixed for the test only; 80 bytes equal."""
    fixed = VECTORS["fixed_k_signature"]
    secret = number(VECTORS["private_key"]) % sign.ORDER
    made = sign.signature(secret, limbs(VECTORS["vectors"][0]["tx_hash"]), sign.commitment(number(fixed["k_le_hex"])))
    assert (made.hex(), base64.b64encode(made).decode()) == (fixed["sig_hex"], fixed["sig_base64"])


@pytest.mark.parametrize("case", PRIMITIVES.get("keygen", []), ids=lambda case: case["sk"][:8])
def test_a_public_key_is_the_encoded_multiple_of_the_generator(case):
    """[venue] Reference vectors, the key 1 among them."""
    assert sign.public_key(number(case["sk"])).hex() == case["pk"]


@pytest.mark.parametrize("case", PRIMITIVES.get("sign", []), ids=lambda case: case["sk"][:8])
def test_the_reference_signatures_are_reproduced(case):
    """[venue] Secret, message and k given: s and e equal."""
    made = sign.signature(number(case["sk"]), limbs(case["hashed_msg"]), sign.commitment(number(case["k"])))
    assert made.hex() == case["sig"]


def test_the_permutation_and_the_hash_are_those_of_the_reference():
    """[venue] Poseidon2 on twelve elements, and H5 of inputs of several lengths."""
    for case in PRIMITIVES["poseidon2_permute"]:
        assert sign.permute(limbs(case["input"])) == limbs(case["output"])
    for case in PRIMITIVES["hash_to_quintic"]:
        assert list(sign.digest(limbs(case["input"]))) == limbs(case["output"])


def test_a_token_is_signed_over_its_own_text():
    """[venue] The digest of the sheet, three fields and 160 hexadecimal digits, good for the verifier."""
    wanted = VECTORS["auth_token"]
    digest = sign.token_digest(wanted["message"])
    assert b"".join(limb.to_bytes(8, "little") for limb in digest).hex() == wanted["message_digest"]
    token = Signer(VECTORS["private_key"], 12345, 5, 304).token(1700000600)
    text, _, signature = token.rpartition(":")
    assert (text, len(signature)) == (wanted["message"], 160)
    assert is_signed(VECTORS["public_key"], wanted["message_digest"], bytes.fromhex(signature))
    theirs = wanted["token"].rpartition(":")[2]
    assert is_signed(VECTORS["public_key"], wanted["message_digest"], bytes.fromhex(theirs))


@given(st.integers(1, sign.ORDER - 1), st.lists(st.integers(0, sign.P - 1), min_size=5, max_size=5))
@settings(max_examples=15, deadline=None)
def test_any_signature_of_ours_is_accepted_and_no_other_message_is(secret, message):
    """[ours] Two implementations, one truth: random keys and messages."""
    key = sign.public_key(secret)
    assert schnorr_check.public_key_of(secret) == key
    made = sign.signature(secret, message)
    assert made == sign.signature(secret, message)
    assert schnorr_check.is_signed(key, tuple(message), made)
    other = (*message[:4], (message[4] + 1) % sign.P)
    assert not schnorr_check.is_signed(key, other, made)


def test_the_chain_id_and_each_field_change_the_hash():
    """[venue] 304 against 300, and any one field."""
    info = json.loads(VECTORS["vectors"][0]["tx_info"])
    base = sign.transaction_digest(304, 14, info)
    assert sign.transaction_digest(300, 14, info) != base
    for name in (*sign.FIELDS[14], "Nonce", "ExpiredAt", "AccountIndex", "ApiKeyIndex"):
        assert sign.transaction_digest(304, 14, info | {name: info[name] + 1}) != base
    assert sign.transaction_digest(304, 14, info, {1: 0, 2: 0, 3: 0, 5: 255}) == base
    assert sign.transaction_digest(304, 14, info, {4: 1}) != base


@pytest.mark.parametrize("key", ["", "zz" * 40, "ab" * 39, "00" * 40, "héé"])
def test_an_unusable_key_is_told_without_being_shown(key):
    """[ours] AUTH, and no part of the key in the text."""
    with pytest.raises(LocalRuleError) as told:
        Signer(key, 1, 5, 304)
    assert told.value.code == "AUTH"
    assert not key or key not in str(told.value)


def test_a_signer_shows_nothing_of_its_secret():
    """[ours] repr and attributes; 0x in front is taken."""
    signer = Signer("0x" + VECTORS["private_key"], 12345, 5, 304)
    assert repr(signer) == "Signer(•••)"
    assert signer.public_key == VECTORS["public_key"]


@given(st.lists(st.integers(0, 2**66), min_size=12, max_size=12))
@settings(max_examples=50, deadline=None)
def test_any_twelve_numbers_are_permuted_as_the_verifier_permutes_them(state):
    """[ours] The inner rounds in lanes give what the plain rounds of the second implementation give."""
    assert sign.permute(state) == schnorr_check._permuted([value % sign.P for value in state])


def test_what_was_drawn_ahead_is_used_for_one_signature_only():
    """[ours] A nonce under two messages would give the key away: each signature has another point, and is valid."""
    signer = Signer(VECTORS["private_key"], 12345, 5, 304)
    drawn = 0
    while signer.draw_ahead(drawn.to_bytes(64, "big")):
        drawn += 1
    assert drawn == sign.AHEAD
    secret = number(VECTORS["private_key"]) % sign.ORDER
    nonces = set()
    for deadline in range(sign.AHEAD + 3):
        token = signer.token(deadline)
        text, _, hexed = token.rpartition(":")
        made = bytes.fromhex(hexed)
        digest = b"".join(limb.to_bytes(8, "little") for limb in sign.token_digest(text))
        assert is_signed(VECTORS["public_key"], digest.hex(), made)
        s, e = int.from_bytes(made[:40], "little"), int.from_bytes(made[40:], "little")
        nonces.add((s + e * secret) % sign.ORDER)
    assert len(nonces) == sign.AHEAD + 3
    assert signer.draw_ahead(bytes(64))


@pytest.mark.parametrize("entropy", [b"", bytes(63), bytes(65)])
def test_too_little_entropy_draws_nothing(entropy):
    """[ours] A short one is an error of the shell, and no commitment comes of it."""
    signer = Signer(VECTORS["private_key"], 12345, 5, 304)
    with pytest.raises(ValueError, match="64 bytes"):
        signer.draw_ahead(entropy)
    assert not signer._ahead
