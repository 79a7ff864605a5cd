import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.venues.hyperliquid.hl_fixtures import load
from venues.errors import LocalRuleError
from venues.hyperliquid.sign import Signer, action_hash, address_of

VECTORS = load("signing_vectors.json")
OFFICIAL = load("signing_official.json")
KEY = VECTORS["private_key"]
L1 = [vector for vector in VECTORS["vectors"] if "action_hash" in vector]


def number(text):
    return int(text, 16)


def same(signed, wanted):
    """r and s as numbers: the official SDK drops leading zeros."""
    return (number(signed["r"]), number(signed["s"]), signed["v"]) == (
        number(wanted["r"]),
        number(wanted["s"]),
        wanted["v"],
    )


def test_all_recorded_vectors_are_here():
    """[client] 17 of our own run of SDK and ccxt, of which two are user-signed, and those of the SDK's tests."""
    assert (len(VECTORS["vectors"]), len(L1), len(OFFICIAL["l1"])) == (17, 15, 6)


@pytest.mark.parametrize("vector", L1, ids=lambda vector: vector["name"])
def test_hash_and_signature_are_those_of_the_official_sdk_and_ccxt(vector):
    """[client] RFC 6979 makes them deterministic: action hash, r, s and v are equal."""
    sent = vector["body"]
    vault = bytes.fromhex((sent.get("vaultAddress") or "").removeprefix("0x"))
    connection_id = action_hash(sent["action"], sent["nonce"], sent.get("expiresAfter"), vault)
    assert "0x" + connection_id.hex() == vector["action_hash"]
    signer = Signer(KEY, mainnet=vector["network"] == "mainnet")
    assert same(signer.signature(connection_id), sent["signature"])


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("network", ["mainnet", "testnet"])
def test_the_signatures_of_the_sdks_own_tests_are_ours(place, network):
    """[venue] Orders, cloids, vaults and scheduleCancel on both networks."""
    case = OFFICIAL["l1"][place]
    vault = bytes.fromhex((case["vault"] or "").removeprefix("0x"))
    signer = Signer(OFFICIAL["private_key"], mainnet=network == "mainnet")
    hashed = action_hash(case["action"], OFFICIAL["nonce"], None, vault)
    assert same(signer.signature(hashed), case[network])


def test_the_connection_id_of_the_sdks_own_test_is_ours():
    """[venue] Nonce and action alone."""
    case = OFFICIAL["connection_id"]
    assert "0x" + action_hash(case["action"], case["nonce"]).hex() == case["connectionId"]


def test_the_address_is_derived_from_the_key():
    """[venue] keccak of the public key, its last 20 bytes."""
    assert Signer(KEY, mainnet=True).address == VECTORS["address"].lower()
    assert Signer(KEY.removeprefix("0x").upper(), mainnet=True).address == VECTORS["address"].lower()


@given(st.lists(st.integers(1_700_000_000_000, 1_700_000_000_020), max_size=40))
def test_nonces_never_repeat_and_follow_the_clock(times):
    """[ours] However often the clock repeats or goes back."""
    signer = Signer(KEY, mainnet=False)
    nonces = [signer.next_nonce(now_ms) for now_ms in times]
    assert nonces == sorted(set(nonces))
    assert all(nonce >= now_ms for nonce, now_ms in zip(nonces, times, strict=True))


@pytest.mark.parametrize("key", ["", "0x12", "zz" * 32, "00" * 32, "ff" * 32, KEY + "00"])
def test_a_key_of_another_form_is_told_without_its_text(key):
    """[ours] AUTH before anything is sent; the text has no part of the key."""
    with pytest.raises(LocalRuleError) as told:
        Signer(key, mainnet=False)
    assert told.value.code == "AUTH"
    assert not key or key not in str(told.value)


def test_the_key_is_in_no_text_about_the_signer():
    """[ours] repr hides it."""
    assert repr(Signer(KEY, mainnet=False)) == "Signer(•••)"


@pytest.mark.parametrize("address", ["", "0x", "0x12", "14791697260e4c9a71f18484c9f997b308e59325", "0x" + "g" * 40])
def test_an_address_of_another_form_is_refused(address):
    """[ours] AUTH, with what is expected."""
    with pytest.raises(LocalRuleError, match="0x and 40 hex digits"):
        address_of(address)
    assert address_of(" " + VECTORS["address"] + " ") == VECTORS["address"].lower()
