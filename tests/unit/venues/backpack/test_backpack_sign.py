import json
from base64 import b64decode, b64encode
from pathlib import Path
from urllib.parse import parse_qsl, quote

import pytest

from venues.backpack.sign import Signer, signing_text
from venues.dialect import HttpCall
from venues.errors import LocalRuleError

FOLDER = Path(__file__).resolve().parents[4].parent / "shared" / "fixtures" / "backpack"
if not FOLDER.exists():
    pytest.skip("../shared with the recorded payloads is missing", allow_module_level=True)

FILE = json.loads((FOLDER / "signing_vectors.json").read_text())
VECTORS = FILE["vectors"]
NOW = FILE["timestamp_ms"]


def _signer():
    return Signer(FILE["verifying_key_base64"], FILE["seed_base64"])


def _text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def _groups(vector):
    """Params as the request has them, read from the request and not from the signing string."""
    if "frame" in vector:
        return [()]
    body = json.loads(vector["body"]) if vector["body"] else None
    if isinstance(body, list):
        return [[(k, _text(v)) for k, v in order.items()] for order in body]
    if body is not None:
        pairs = [(k, _text(v)) for k, v in body.items()]
        # ccxt encodes what it signs; the venue takes both.
        return [[(k, quote(v)) for k, v in pairs] if vector["made_by"].startswith("ccxt") else pairs]
    pairs = parse_qsl(vector["target"].partition("?")[2])
    # bpx-py signs "false" and sends "False".
    return [[(k, v.lower() if v in ("True", "False") else v) for k, v in pairs]]


def _instruction(vector):
    return vector["signing_string"].partition("&")[0].removeprefix("instruction=")


def test_all_recorded_vectors_are_here():
    """[client] 15 of ccxt and 7 of bpx-py over REST, one of ccxt.pro."""
    assert len(VECTORS) == 23


@pytest.mark.parametrize("vector", VECTORS, ids=[f"{v['made_by']}: {v['name']}" for v in VECTORS])
def test_text_and_signature_match_byte_for_byte(vector):
    """[client] ED25519 is deterministic, so two clients' signatures are ours."""
    text = signing_text(_instruction(vector), _groups(vector), NOW, FILE["window_ms"])
    assert text == vector["signing_string"]
    wanted = vector["frame"]["signature"][1] if "frame" in vector else vector["headers"]["X-Signature"]
    assert _signer().signature(text) == wanted


def test_a_signed_call_carries_the_four_headers_of_the_vector():
    """[client] Key, signature, timestamp and window; what was there stays."""
    vector = VECTORS[0]
    params = tuple(sorted((k, _text(v)) for k, v in json.loads(vector["body"]).items()))
    call = HttpCall("POST", "/api/v1/order", b"{}", (("Content-Type", "application/json"),), "orderExecute", params)
    signed = _signer().signed(call, NOW)
    wanted = {k: v for k, v in vector["headers"].items() if k != "X-Broker-Id"}
    assert dict(signed.headers) == wanted
    assert (signed.method, signed.path, signed.body, signed.host) == ("POST", "/api/v1/order", b"{}", "rest")


def test_a_public_call_is_not_signed():
    """[venue] Market data takes no key."""
    call = HttpCall("GET", "/api/v1/markets")
    assert _signer().signed(call, NOW) is call


def test_a_subscription_is_four_strings():
    """[client] The frame of ccxt.pro."""
    assert _signer().subscription(NOW) == VECTORS[-1]["frame"]["signature"]


def test_a_secret_of_64_bytes_counts_by_its_first_32():
    """[client] ccxt takes such a secret."""
    long = b64encode(b64decode(FILE["seed_base64"]) + b"\x01" * 32).decode()
    text = VECTORS[0]["signing_string"]
    assert Signer(FILE["verifying_key_base64"], f" {long}\n").signature(text) == _signer().signature(text)


@pytest.mark.parametrize("secret", ["", "not base64 at all", "c2hvcnQgc2VjcmV0", "ключ", b64encode(b"x" * 33).decode()])
def test_a_bad_secret_is_refused_and_never_shown(secret):
    """[ours] The text of the error has no part of what was given."""
    with pytest.raises(LocalRuleError) as refused:
        Signer(FILE["verifying_key_base64"], secret)
    assert refused.value.code == "AUTH"
    assert not secret or secret not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("key", ["", "nonsense!", b64encode(b"k" * 32).decode()])
def test_a_key_of_another_secret_is_refused_before_anything_is_sent(key):
    """[ours] A mixed-up pair is told at once."""
    with pytest.raises(LocalRuleError) as refused:
        Signer(key, FILE["seed_base64"])
    assert refused.value.code == "AUTH"
    assert FILE["seed_base64"] not in str(refused.value)


def test_a_signer_shows_nothing_of_its_key():
    """[ours] Neither repr nor str has key material."""
    signer = _signer()
    assert FILE["seed_base64"] not in f"{signer!r}{signer}"
    assert not hasattr(signer, "__dict__")
