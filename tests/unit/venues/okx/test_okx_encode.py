import json
from urllib.parse import parse_qsl

import msgspec
import pytest

from tests.unit.venues.okx.recorded import fixture, markets
from venues.dialect import PlaceOrder
from venues.errors import LocalRuleError
from venues.okx import encode
from venues.okx.sign import SIGNED

MARKETS = markets()
VECTORS = {each["name"]: each for each in fixture("auth_vectors.json")["vectors"]}
NOW_MS = 1_700_000_000_000


def _fields(symbol="SOL-USDT-SWAP", mode="cross", **changes):
    values = {"symbol": symbol, "client_id": 42, "is_ask": False, "size_i": 5, "price_i": 14950} | changes
    return encode.order_fields(PlaceOrder(**values), MARKETS[symbol], mode)


def _told(fields):
    return {name: value for name, value in fields.items() if name != "tag"}


@pytest.mark.parametrize(
    ("name", "symbol", "fields"),
    [
        ("place post-only limit buy 0.05 contracts SOL-USDT-SWAP (single)", "SOL-USDT-SWAP", {"post_only": True}),
        (
            "reduce-only market sell (ccxt default)",
            "SOL-USDT-SWAP",
            {"client_id": 43, "is_ask": True, "price_i": None, "reduce_only": True},
        ),
    ],
)
def test_an_order_says_what_ccxt_says_of_the_same(name, symbol, fields):
    """[venue] The vectors' bodies, but for the order of keys and our tag."""
    wanted = json.loads(VECTORS[name]["body"])
    wanted = wanted[0] if isinstance(wanted, list) else wanted
    assert {"instId": symbol, **_told(_fields(symbol, **fields))} == wanted


def test_a_spot_market_order_is_by_base_size_and_never_shrunk():
    """[venue] As ccxt's vector, and banAmend, so that a buy beyond the balance is refused."""
    (wanted,) = json.loads(VECTORS["spot market buy 0.1 SOL (tgtCcy base_ccy)"]["body"])
    fields = _fields("SOL-USDT", "cash", client_id=44, size_i=100_000, price_i=None)
    assert {"instId": "SOL-USDT", **_told(fields)} == wanted | {"banAmend": True}


@pytest.mark.parametrize(
    ("symbol", "size_i", "sz"),
    [
        ("SOL-USDT-SWAP", 5, "0.05"),
        ("BTC-USDT-SWAP", 25, "0.25"),
        ("BTC-USDT-SWAP", 10_000, "100"),
        ("ETH-USDT-SWAP", 1, "0.01"),
        ("ETH-USDT-SWAP", 1234, "12.34"),
        ("DOGE-USDT-SWAP", 10, "0.01"),
        ("XRP-USDT-SWAP", 250, "2.5"),
        ("SOL-USDT", 1000, "0.001"),
    ],
)
def test_base_units_become_contracts(symbol, size_i, sz):
    """[venue] 0.0025 BTC are 0.25 contracts of 0.01 BTC."""
    assert encode.contracts(size_i, MARKETS[symbol]) == sz


def test_a_size_that_makes_no_exact_number_of_contracts_is_refused_here():
    """[ours] Nothing is rounded on the way out."""
    odd = msgspec.structs.replace(MARKETS["BTC-USDT-SWAP"], contract_size=MARKETS["BTC-USDT-SWAP"].contract_size * 3)
    with pytest.raises(LocalRuleError, match="PRECISION"):
        encode.contracts(1, odd)


@pytest.mark.parametrize(
    ("symbol", "changes", "code"),
    [
        ("SOL-USDT", {"reduce_only": True}, "REDUCE_ONLY"),
        ("SOL-USDT-SWAP", {"post_only": True, "price_i": None}, "POST_ONLY_WOULD_CROSS"),
        ("SOL-USDT-SWAP", {"client_id": 0}, "CLIENT_ID_RANGE"),
        ("SOL-USDT-SWAP", {"client_id": 2**32}, "CLIENT_ID_RANGE"),
    ],
)
def test_orders_that_okx_does_not_have_never_leave(symbol, changes, code):
    """[venue] Reduce-only is for swaps, post-only for limits."""
    with pytest.raises(LocalRuleError) as told:
        _fields(symbol, **changes)
    assert told.value.code == code


def test_both_ways_of_placing_say_the_same_and_expire_in_five_seconds():
    """[venue] The header over REST, a field of the frame over the stream; instIdCode stands for instId there."""
    fields = _fields(post_only=True)
    call = encode.place("SOL-USDT-SWAP", fields, NOW_MS)
    frame = json.loads(encode.place_text("7", 10465, fields, NOW_MS))
    assert (call.method, call.path, call.auth) == ("POST", "/api/v5/trade/order", SIGNED)
    assert call.headers == (("Content-Type", "application/json"), ("expTime", str(NOW_MS + 5000)))
    assert json.loads(call.body) == {"instId": "SOL-USDT-SWAP", **fields}
    assert frame == {
        "id": "7",
        "op": "order",
        "args": [{"instIdCode": 10465, **fields}],
        "expTime": str(NOW_MS + 5000),
    }


def test_a_cancel_names_the_client_id():
    """[venue] As the vector, and as the recorded frame names its order."""
    assert json.loads(encode.cancel("SOL-USDT-SWAP", 42).body) == json.loads(VECTORS["cancel by client id"]["body"])
    frame = json.loads(encode.cancel_text("8", 10465, 42))
    assert frame == {"id": "8", "op": "cancel-order", "args": [{"instIdCode": 10465, "clOrdId": "42"}]}


def test_the_countdown_is_for_our_orders_of_one_market():
    """[venue] Orders carry the tag that the countdown names; 16 characters at most."""
    body = json.loads(encode.cancel_all_after("SOL-USDT-SWAP", 30).body)
    assert body == {"timeOut": "30", "tag": _fields()["tag"]}
    assert body["tag"] == "rtSOLUSDTSWAP"
    assert len(encode.tag("1000SATS-USDT-SWAP")) == 16
    assert encode.tag("SOL-USDT") != encode.tag("SOL-USDT-SWAP")


@pytest.mark.parametrize(
    ("call", "path", "query"),
    [
        (encode.order("SOL-USDT-SWAP", 42), "trade/order", {"instId": "SOL-USDT-SWAP", "clOrdId": "42"}),
        (encode.open_orders(None, ""), "trade/orders-pending", {"limit": "100"}),
        (encode.open_orders("X", "9"), "trade/orders-pending", {"instId": "X", "after": "9", "limit": "100"}),
        (
            encode.order_history("X", "SWAP", ""),
            "trade/orders-history",
            {"instType": "SWAP", "instId": "X", "limit": "100"},
        ),
        (encode.fills(""), "trade/fills", {"limit": "100"}),
        (encode.fills("8", venue_id="9"), "trade/fills", {"ordId": "9", "after": "8", "limit": "100"}),
        (
            encode.old_fills("X", "SPOT", "9", ""),
            "trade/fills-history",
            {"instType": "SPOT", "instId": "X", "ordId": "9", "limit": "100"},
        ),
        (encode.positions(), "account/positions", {"instType": "SWAP"}),
        (encode.balance(), "account/balance", {}),
        (encode.config(), "account/config", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_readings_are_signed_gets(call, path, query):
    """[venue] The query is part of the path that is signed."""
    head, _, tail = call.path.partition("?")
    assert (call.method, head, call.auth, call.body) == ("GET", f"/api/v5/{path}", SIGNED, b"")
    assert dict(parse_qsl(tail)) == query


@pytest.mark.parametrize("name", ["signed GET order by client id", "signed GET balance (no query)"])
def test_the_vectors_paths_are_ours(name):
    """[venue] Byte for byte, since they are signed."""
    made = {encode.order("SOL-USDT-SWAP", 42).path, encode.balance().path}
    assert VECTORS[name]["path"] in made


def test_public_readings_are_not_signed():
    """[venue] Time, instruments, book."""
    calls = [encode.server_time(), encode.instruments("SPOT"), encode.book("SOL-USDT")]
    assert [call.path for call in calls] == [
        "/api/v5/public/time",
        "/api/v5/public/instruments?instType=SPOT",
        "/api/v5/market/books?instId=SOL-USDT&sz=1",
    ]
    assert {call.auth for call in calls} == {None}
