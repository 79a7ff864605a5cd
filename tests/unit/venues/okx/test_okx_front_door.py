import pytest

from venues import okx
from venues.errors import LocalRuleError

KEYS = {"api_key": "key-0001", "api_secret": "secret-0002", "passphrase": "phrase-0003"}


def test_the_okx_door_is_pinned():
    """[ours] Nothing slips out of the room by accident."""
    assert okx.__all__ == ["CREDENTIALS", "canonical", "endpoints", "make_dialect", "venue_symbol"]
    assert okx.CREDENTIALS == {
        "api_key": "OKX_API_KEY",
        "api_secret": "OKX_API_SECRET",
        "passphrase": "OKX_PASSPHRASE",
    }


@pytest.mark.parametrize(
    ("base", "kind", "symbol"),
    [("SOL", "perp", "SOL-USDT-SWAP"), ("SOL", "spot", "SOL-USDT"), ("1INCH", "perp", "1INCH-USDT-SWAP")],
)
def test_okx_symbols_translate_both_ways(base, kind, symbol):
    """[venue] Spot is BASE-USDT, a perp BASE-USDT-SWAP."""
    assert okx.venue_symbol(base, kind) == symbol
    assert okx.canonical(symbol) == (base, kind)


@pytest.mark.parametrize("symbol", ["", "SOL", "-USDT", "SOL-USDC", "-USDT-SWAP", "BTC-USD-SWAP", "A-B-USDT"])
def test_a_name_that_okx_would_not_give_has_no_canonical_form(symbol):
    """[ours] A bare coin means its USDT markets."""
    assert okx.canonical(symbol) is None


def test_okx_places_are_live_demo_or_a_simulator():
    """[venue] Demo trading has the live REST host and streams of its own."""
    assert okx.endpoints("live") == {"rest": "https://www.okx.com", "ws": "wss://ws.okx.com:8443/ws/v5"}
    assert okx.endpoints("testnet") == {"rest": "https://www.okx.com", "ws": "wss://wspap.okx.com:8443/ws/v5"}
    served = {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1/ws/v5", "credentials": {}}
    assert okx.endpoints("sim", served) == {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1/ws/v5"}
    for on in ("sim", "moon"):
        with pytest.raises(LocalRuleError) as refused:
            okx.endpoints(on)
        assert refused.value.code == "VENUE_UNAVAILABLE"


@pytest.mark.parametrize(("on", "demo"), [("live", False), ("testnet", True)])
def test_only_demo_trading_says_so_in_its_requests(on, demo):
    """[venue] A live key with the demo header is refused with 50101, and the reverse."""
    dialect = okx.make_dialect(KEYS, okx.endpoints(on))
    call = dialect.sign(next(dialect.server_time()), 0)
    assert (("x-simulated-trading", "1") in call.headers) is demo


def test_okx_secrets_are_in_no_text_about_the_dialect():
    """[ours] And a missing one is AUTH."""
    dialect = okx.make_dialect(KEYS, okx.endpoints("live"))
    assert dialect.name == "okx"
    assert not any(key in repr(vars(dialect)) for key in KEYS.values())
    with pytest.raises(LocalRuleError, match="AUTH"):
        okx.make_dialect({}, okx.endpoints("live"))
