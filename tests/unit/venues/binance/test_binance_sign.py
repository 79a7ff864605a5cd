"""Every vector of the sheet: the signed text and the signature, as ccxt, the SDKs and the documents made them."""

import json
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import pytest

from venues.binance.sign import KEYED, SIGNED, Signer, signing_text
from venues.dialect import HttpCall
from venues.errors import LocalRuleError

FIXTURES = Path(__file__).resolve().parents[4].parent / "shared" / "fixtures" / "binance"
pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason="../shared/fixtures/binance is not beside this checkout")
TOLD = json.loads((FIXTURES / "auth_vectors.json").read_text()) if FIXTURES.is_dir() else {"vectors": []}
KEYS = TOLD.get("throwaway_credentials", {})
VECTORS = TOLD["vectors"]
NOW_MS = 1700000000000


def signer_of(vector, form="ed25519_pem"):
    if "api_secret" in vector:
        return Signer("k", vector["api_secret"])
    if vector["algorithm"].startswith("Ed25519"):
        return Signer(KEYS["ed25519_api_key"], KEYS[form])
    return Signer(KEYS["hmac_api_key"], KEYS["hmac_secret"])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_each_vector_has_its_signature(vector):
    """[venue] HMAC gives lower-case hex, Ed25519 base64, over the text as it was signed."""
    assert signer_of(vector).signature(vector["signed_payload"]) == vector["signature"]


@pytest.mark.parametrize("vector", [v for v in VECTORS if "message" in v], ids=lambda vector: vector["name"])
def test_the_text_of_a_websocket_request_is_its_sorted_parameters(vector):
    """[venue] Key and time included, booleans as JSON writes them, the signature left out."""
    params = dict(vector["message"]["params"])
    assert params.pop("signature") == vector["signature"]
    assert signing_text(params) == vector["signed_payload"]


def test_all_seventeen_vectors_are_there():
    """[ours] A shorter file would prove less without anyone noticing."""
    assert len(VECTORS) == 17


def test_a_signed_call_carries_what_it_signs():
    """[venue] The query goes out byte for byte as it was signed, the signature last, the key in a header."""
    signer = Signer(KEYS["hmac_api_key"], KEYS["hmac_secret"])
    call = HttpCall("GET", "/fapi/v1/order", auth=SIGNED, params=(("symbol", "SOLUSDT"), ("origClientOrderId", "7")))
    signed = signer.signed(call, NOW_MS)
    path, _, query = signed.path.partition("?")
    payload, _, signature = query.rpartition("&signature=")
    assert (path, signed.host, signed.body) == ("/fapi/v1/order", "rest", b"")
    assert payload == f"symbol=SOLUSDT&origClientOrderId=7&recvWindow=5000&timestamp={NOW_MS}"
    assert signature == signer.signature(payload)
    assert signed.headers == (("X-MBX-APIKEY", KEYS["hmac_api_key"]),)


def test_an_ed25519_signature_is_percent_encoded_in_a_url():
    """[venue] base64 has +, / and =, which a query may not carry."""
    signer = Signer(KEYS["ed25519_api_key"], KEYS["ed25519_pem"])
    signed = signer.signed(HttpCall("GET", "/api/v3/account", auth=SIGNED), NOW_MS)
    payload, _, signature = signed.path.partition("?")[2].rpartition("&signature=")
    assert unquote(signature) == signer.signature(payload)
    assert not set("+/=") & set(signature)


def test_a_listen_key_call_has_the_key_and_no_signature_and_a_public_one_neither():
    """[venue] Listen keys want the header only."""
    signer = Signer("key", "secret")
    keyed = signer.signed(HttpCall("POST", "/fapi/v1/listenKey", auth=KEYED), NOW_MS)
    assert (keyed.path, keyed.headers) == ("/fapi/v1/listenKey", (("X-MBX-APIKEY", "key"),))
    public = HttpCall("GET", "/fapi/v1/time")
    assert signer.signed(public, NOW_MS) is public


def test_a_frame_is_signed_over_its_own_parameters():
    """[venue] Any order of keys in the JSON, sorted in the signed text; the window is always there."""
    signer = Signer(KEYS["hmac_api_key"], KEYS["hmac_secret"])
    frame = json.loads(signer.frame("9", "order.cancel", (("symbol", "SOLUSDT"), ("origClientOrderId", "7")), NOW_MS))
    params = frame["params"]
    assert (frame["id"], frame["method"], params["recvWindow"], params["timestamp"]) == (
        "9",
        "order.cancel",
        5000,
        NOW_MS,
    )
    signature = params.pop("signature")
    assert signature == signer.signature("&".join(f"{name}={params[name]}" for name in sorted(params)))


def test_an_ed25519_key_is_taken_as_pem_as_one_line_and_as_seed():
    """[ours] The three forms in which people keep it make the same signature; only such a key may log on."""
    pem = KEYS["ed25519_pem"]
    forms = [pem, pem.replace("\n", "\\n"), KEYS["ed25519_seed_hex"], f"\n{pem}\n"]
    signers = [Signer(KEYS["ed25519_api_key"], form) for form in forms]
    assert len({signer.signature("text") for signer in signers}) == 1
    assert all(signer.can_log_on for signer in signers)
    assert not Signer("key", "secret").can_log_on


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        ("", "secret"),
        ("two words", "secret"),
        ("key", ""),
        ("key", "two words"),
        ("key", "-----BEGIN PRIVATE KEY-----\nQUJD\n-----END PRIVATE KEY-----"),
        ("key", "-----BEGIN RSA PRIVATE KEY-----\n!!!!\n-----END RSA PRIVATE KEY-----"),
    ],
)
def test_keys_of_a_wrong_form_are_refused_without_being_repeated(key, secret):
    """[ours] AUTH, before anything is sent, and no part of the secret in the text."""
    with pytest.raises(LocalRuleError) as told:
        Signer(key, secret)
    assert told.value.code == "AUTH"
    assert not secret or secret not in str(told.value)


def test_the_signer_shows_no_secret():
    """[ours] Not in its repr, and the query it makes parses back to what went in."""
    signer = Signer("key", "a-very-secret-word")
    assert "secret-word" not in repr(signer)
    call = signer.signed(HttpCall("POST", "/p", auth=SIGNED, params=(("a", "x y&z"),)), NOW_MS)
    assert dict(parse_qsl(call.path.partition("?")[2]))["a"] == "x y&z"
