import json

import pytest

from tests.unit.venues.okx.recorded import fixture
from venues.dialect import HttpCall
from venues.errors import LocalRuleError
from venues.okx.sign import SIGNED, Signer, iso_time

VECTORS = fixture("auth_vectors.json")
KEYS = (VECTORS["apiKey"], VECTORS["secret"], VECTORS["passphrase"])
AT_MS = 1_700_000_000_000
REST = [each for each in VECTORS["vectors"] if "method" in each]
LOGINS = [each for each in VECTORS["vectors"] if "frame" in each]


def test_every_vector_is_used():
    """[ours] Thirteen or more requests and two logins; none is left out by its shape."""
    assert (len(REST) + len(LOGINS), len(LOGINS)) == (len(VECTORS["vectors"]), 2)


@pytest.mark.parametrize("vector", REST, ids=lambda each: each["name"])
def test_a_request_is_signed_as_ccxt_and_the_sdk_sign_it(vector):
    """[venue] Timestamp, method, raw target and the exact bytes of the body."""
    body = (vector["body"] or "").encode()
    made_by_sdk = "x-simulated-trading" in vector["headers"]
    signer = Signer(*KEYS, demo=made_by_sdk)
    call = signer.signed(HttpCall(vector["method"], vector["path"], body, auth=SIGNED), AT_MS)
    wanted = {name: text for name, text in vector["headers"].items() if name != "Content-Type"}
    assert dict(call.headers) == wanted
    assert wanted["OK-ACCESS-SIGN"] == vector["sign"]
    assert (call.path, call.body) == (vector["path"], body)


@pytest.mark.parametrize("vector", LOGINS, ids=lambda each: each["name"])
def test_a_login_is_signed_as_ccxt_and_the_sdk_sign_it(vector):
    """[venue] Whole seconds; text or number makes no difference to the signature."""
    wanted = {name: str(value) for name, value in vector["frame"]["args"][0].items()}
    assert Signer(*KEYS).login(AT_MS + 999) == wanted


def test_times_are_printed_with_their_milliseconds():
    """[venue] ISO 8601 in UTC."""
    assert iso_time(AT_MS) == "2023-11-14T22:13:20.000Z"
    assert iso_time(1_767_571_199_007) == "2026-01-04T23:59:59.007Z"


def test_a_public_request_stays_as_it_is_and_says_demo_only_for_demo():
    """[venue] The header x-simulated-trading belongs to every request of demo trading."""
    call = HttpCall("GET", "/api/v5/public/time")
    assert Signer(*KEYS).signed(call, AT_MS) is call
    assert Signer(*KEYS, demo=True).signed(call, AT_MS).headers == (("x-simulated-trading", "1"),)


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("text", ["", " x", "x\n", "ü"])
def test_a_credential_of_the_wrong_form_is_told_without_its_text(place, text):
    """[ours] AUTH, and no part of a secret."""
    keys = list(KEYS)
    keys[place] = text
    with pytest.raises(LocalRuleError) as told:
        Signer(*keys)
    assert told.value.code == "AUTH"
    assert not any(key in str(told.value) for key in KEYS)


def test_no_text_about_a_signer_has_a_secret():
    """[ours] Logs and tracebacks print objects."""
    signer = Signer(*KEYS)
    assert not any(key in repr(signer) + str(signer) for key in KEYS)
    assert json.dumps(signer.login(AT_MS))
