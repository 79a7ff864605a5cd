import pytest

from tests.unit.venues.hyperliquid.hl_fixtures import load
from venues import hyperliquid
from venues.errors import LocalRuleError

KEY = load("signing_vectors.json")["private_key"]
ADDRESS = load("signing_vectors.json")["address"]


def test_the_public_names_are_pinned():
    """[ours] Nothing slips out of the room by accident."""
    assert hyperliquid.__all__ == ["CREDENTIALS", "canonical", "endpoints", "make_dialect", "venue_symbol"]
    assert hyperliquid.CREDENTIALS == {"private_key": "HYPERLIQUID_PRIVATE_KEY", "address": "HYPERLIQUID_ADDRESS"}


@pytest.mark.parametrize(
    ("base", "kind", "symbol"),
    [
        ("SOL", "perp", "SOL"),
        ("SOL", "spot", "@156"),
        ("BTC", "spot", "@142"),
        ("ETH", "spot", "@151"),
        ("PURR", "spot", "PURR/USDC"),
        ("kPEPE", "perp", "kPEPE"),
    ],
)
def test_symbols_translate_both_ways(base, kind, symbol):
    """[venue] A perp is its coin, a spot pair @N: USOL, UBTC and UETH stand for their coins."""
    assert hyperliquid.venue_symbol(base, kind) == symbol
    assert hyperliquid.canonical(symbol) == (base, kind)


@pytest.mark.parametrize("symbol", ["", "@9999", "xyz:TSLA", "A/B", "/USDC"])
def test_a_name_of_another_grammar_has_no_canonical_form(symbol):
    """[ours] Pairs of unknown number and builder-deployed markets are found by their facts, not by name."""
    assert hyperliquid.canonical(symbol) is None


def test_places_are_live_testnet_or_a_simulator():
    """[venue] REST and stream of one host each; the stream's path is /ws."""
    assert hyperliquid.endpoints("live")["ws"] == "wss://api.hyperliquid.xyz/ws"
    assert hyperliquid.endpoints("testnet")["rest"] == "https://api.hyperliquid-testnet.xyz"
    served = {"rest": "http://127.0.0.1:9100", "ws": "ws://127.0.0.1:9100/ws", "credentials": {}}
    assert hyperliquid.endpoints("sim", served) == {"rest": "http://127.0.0.1:9100", "ws": "ws://127.0.0.1:9100/ws"}
    for on in ("sim", "moon"):
        with pytest.raises(LocalRuleError, match="VENUE_UNAVAILABLE"):
            hyperliquid.endpoints(on)


def test_a_dialect_is_made_of_credentials_and_places():
    """[ours] Keys live in the dialect object and in no text about it; the address may be left out."""
    for address in (ADDRESS, ""):
        dialect = hyperliquid.make_dialect({"private_key": KEY, "address": address}, hyperliquid.endpoints("testnet"))
        assert dialect.name == "hyperliquid"
        assert KEY[2:] not in repr(vars(dialect))
        assert vars(dialect)["_address"] == ADDRESS.lower()
    with pytest.raises(LocalRuleError, match="AUTH"):
        hyperliquid.make_dialect({}, hyperliquid.endpoints("live"))
