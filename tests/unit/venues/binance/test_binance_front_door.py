"""The room's five public names."""

import pytest

from venues import binance
from venues.errors import LocalRuleError


def test_the_public_names_are_pinned():
    """[ours] Nothing slips out of the room by accident."""
    assert binance.__all__ == ["CREDENTIALS", "canonical", "endpoints", "make_dialect", "venue_symbol"]
    assert binance.CREDENTIALS == {"api_key": "BINANCE_API_KEY", "api_secret": "BINANCE_API_SECRET"}


def test_places_are_live_demo_or_a_simulator():
    """[venue] Six places; a simulator serves them all on one port."""
    live, demo = binance.endpoints("live"), binance.endpoints("testnet")
    assert set(live) == set(demo) == {"fapi", "api", "fstream", "stream", "ws_fapi", "ws_api"}
    assert (live["fapi"], live["ws_api"]) == ("https://fapi.binance.com", "wss://ws-api.binance.com:443/ws-api/v3")
    assert (demo["fapi"], demo["api"]) == ("https://demo-fapi.binance.com", "https://demo-api.binance.com")
    assert not set(live.values()) & set(demo.values())
    told = binance.endpoints("sim", {"rest": "http://h:1", "ws": "ws://h:1", "credentials": {}})
    assert told == {
        "fapi": "http://h:1",
        "api": "http://h:1",
        "fstream": "ws://h:1",
        "stream": "ws://h:1",
        "ws_fapi": "ws://h:1/ws-fapi/v1",
        "ws_api": "ws://h:1/ws-api/v3",
    }
    for on in ("sim", "moon"):
        with pytest.raises(LocalRuleError) as refused:
            binance.endpoints(on)
        assert refused.value.code == "VENUE_UNAVAILABLE"


def test_a_dialect_is_made_of_credentials_and_places():
    """[ours] Keys live in the dialect object and in no text about it."""
    places = binance.endpoints("live")
    dialect = binance.make_dialect({"api_key": "somekey", "api_secret": "verysecretword"}, places)
    assert dialect.name == "binance"
    assert "verysecretword" not in repr(vars(dialect))
    with pytest.raises(LocalRuleError, match="AUTH"):
        binance.make_dialect({}, places)
