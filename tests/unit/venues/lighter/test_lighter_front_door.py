"""What the Lighter room shows to the outside."""

import pytest

import venues.lighter as room
from venues.errors import LocalRuleError

KEYS = {"account_index": "12345", "api_key_index": "5", "private_key": "07" * 40}


def test_the_front_door_has_five_names():
    """[ours] And no more."""
    assert sorted(room.__all__) == ["CREDENTIALS", "canonical", "endpoints", "make_dialect", "venue_symbol"]
    assert set(room.CREDENTIALS) == set(KEYS)


def test_every_place_has_its_addresses():
    """[venue] Mainnet, testnet and a simulator's own; nothing else."""
    assert room.endpoints("live")["ws"] == "wss://mainnet.zklighter.elliot.ai/stream"
    assert room.endpoints("testnet")["rest"] == "https://testnet.zklighter.elliot.ai"
    sim = {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1/stream", "credentials": {}}
    assert room.endpoints("sim", sim) == {"rest": sim["rest"], "ws": sim["ws"]}
    for on in ("sim", "moon"):
        with pytest.raises(LocalRuleError) as told:
            room.endpoints(on)
        assert told.value.code == "VENUE_UNAVAILABLE"


@pytest.mark.parametrize(("on", "chain"), [("live", 304), ("testnet", 300)])
def test_the_chain_id_follows_the_place(on, chain):
    """[venue] 304 and 300; a simulator's credentials name their own."""
    assert room.make_dialect(KEYS, room.endpoints(on))._signer.chain_id == chain
    assert room.make_dialect({**KEYS, "chain_id": "77"}, room.endpoints(on))._signer.chain_id == 77


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("account_index", ""),
        ("account_index", "-1"),
        ("account_index", "x" * 5),
        ("api_key_index", "255"),
        ("private_key", "secret"),
        ("private_key", ""),
    ],
)
def test_a_credential_of_the_wrong_form_is_auth_and_not_shown(name, value):
    """[ours] Before anything is sent; a wrong secret is not repeated."""
    with pytest.raises(LocalRuleError) as told:
        room.make_dialect({**KEYS, name: value}, room.endpoints("live"))
    assert told.value.code == "AUTH"
    assert "secret" not in str(told.value)
