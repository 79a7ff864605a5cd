import subprocess
import sys
from pathlib import Path

import pytest

import venues
from venues import backpack, open_room
from venues.errors import LocalRuleError

SEED = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
KEY = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="


def test_every_named_room_opens_and_offers_the_same_door():
    """[ours] A room is a module with the five public names."""
    for name in venues.VENUES:
        room = open_room(name)
        assert room.CREDENTIALS
        for offered in ("make_dialect", "endpoints", "venue_symbol", "canonical"):
            assert callable(getattr(room, offered))


def test_an_unknown_venue_is_told_with_those_there_are():
    """[ours] A misspelt venue names its neighbours."""
    with pytest.raises(LookupError, match=r"backpac.*backpack"):
        open_room("backpac")


def test_naming_the_venues_imports_no_room():
    """[ours] Importing the package is cheap."""
    code = "import sys, venues; assert not any(n.startswith(('venues.', 'msgspec', 'nacl')) for n in sys.modules)"
    root = Path(__file__).resolve().parents[4]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True, timeout=30)


def test_the_public_names_are_pinned():
    """[ours] Nothing slips out of the room by accident."""
    assert backpack.__all__ == ["CREDENTIALS", "canonical", "endpoints", "make_dialect", "venue_symbol"]
    assert backpack.CREDENTIALS == {"api_key": "BACKPACK_API_KEY", "api_secret": "BACKPACK_API_SECRET"}


@pytest.mark.parametrize(
    ("base", "kind", "symbol"),
    [("SOL", "perp", "SOL_USDC_PERP"), ("SOL", "spot", "SOL_USDC"), ("kBONK", "perp", "kBONK_USDC_PERP")],
)
def test_symbols_translate_both_ways(base, kind, symbol):
    """[venue] Spot is BASE_USDC, a perp BASE_USDC_PERP."""
    assert backpack.venue_symbol(base, kind) == symbol
    assert backpack.canonical(symbol) == (base, kind)


@pytest.mark.parametrize("symbol", ["", "SOL", "_USDC", "SOL_USDT", "_USDC_PERP", "SOL_USDC_IPERP", "A_B_USDC"])
def test_a_name_of_another_grammar_has_no_canonical_form(symbol):
    """[ours] Only USDC spot and perps are traded."""
    assert backpack.canonical(symbol) is None


def test_places_are_live_or_a_simulator():
    """[venue] Backpack documents no testnet."""
    assert backpack.endpoints("live") == {
        "rest": "https://api.backpack.exchange",
        "ws": "wss://ws.backpack.exchange",
    }
    served = {"rest": "http://127.0.0.1:9100", "ws": "ws://127.0.0.1:9100", "credentials": {}, "symbols": {}}
    assert backpack.endpoints("sim", served) == {"rest": "http://127.0.0.1:9100", "ws": "ws://127.0.0.1:9100"}
    for on in ("testnet", "sim", "moon"):
        with pytest.raises(LocalRuleError) as refused:
            backpack.endpoints(on)
        assert refused.value.code == "VENUE_UNAVAILABLE"


def test_a_dialect_is_made_of_credentials_and_places():
    """[ours] Keys live in the dialect object and in no text about it."""
    dialect = backpack.make_dialect({"api_key": KEY, "api_secret": SEED}, {"rest": "r", "ws": "w"})
    assert dialect.name == "backpack"
    assert SEED not in repr(vars(dialect))
    with pytest.raises(LocalRuleError, match="AUTH"):
        backpack.make_dialect({}, {"rest": "r", "ws": "w"})
