"""Whatever a client sends, the Backpack simulator answers; nothing raises and the account stays sound."""

import json
from urllib.parse import quote

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.venues.backpack_sim.trader import INSTRUCTIONS, PERP, SPOT, Trader
from venues.simulation.app import Request

numbers = st.sampled_from(["0.05", "140", "139.99", "135", "1", "0", "-1", "1e5", "NaN", "9" * 30, "0.001", "", "１"])
texts = st.one_of(
    numbers,
    st.sampled_from([PERP, SPOT, "Bid", "Ask", "Limit", "Market", "GTC", "IOC", "FOK", "80%", "true"]),
    st.text(max_size=8),
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), texts)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2))
names = st.sampled_from(
    [
        *("symbol", "side", "orderType", "price", "quantity", "quoteQuantity", "timeInForce", "postOnly"),
        *("reduceOnly", "clientId", "orderId", "limit", "offset", "selfTradePrevention", "triggerPrice"),
        *("from", "to", "sortDirection", "fillType", "marketType", "leverageLimit", "autoLend"),
    ]
)
plausible = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from([PERP, SPOT, "BTC_USDC_PERP"]),
        "side": st.sampled_from(["Bid", "Ask"]),
        "orderType": st.sampled_from(["Limit", "Market"]),
    },
    optional={
        "price": numbers,
        "quantity": numbers,
        "quoteQuantity": numbers,
        "timeInForce": st.sampled_from(["GTC", "IOC", "FOK"]),
        "postOnly": st.booleans(),
        "reduceOnly": st.booleans(),
        "clientId": st.integers(0, 3),
        "selfTradePrevention": st.sampled_from(["RejectTaker", "RejectMaker", "RejectBoth", "Allow"]),
    },
)
groups = st.one_of(plausible, st.dictionaries(names, values, max_size=6), values)
PATHS = [path for _, path in INSTRUCTIONS] + [f"/api/v1/{name}" for name in ("depth", "trades", "ticker", "market")]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(INSTRUCTIONS)), st.one_of(groups, st.lists(groups, max_size=3))), max_size=8
    )
)
def test_any_signed_body_or_query_gets_an_answer(requests):
    """[ours] Status 200, 202, 400 or 404, JSON or plain text; balances stay above zero and the book uncrossed."""
    trader = Trader()
    for (method, path), value in requests:
        rows = value if isinstance(value, list) else [value]
        signable = [row if isinstance(row, dict) else {} for row in rows]
        body = json.dumps(value).encode()
        query = ""
        if method == "GET":
            flat = {str(key): str(each) for key, each in signable[0].items()} if signable else {}
            query = "&".join(f"{quote(key)}={quote(each)}" for key, each in flat.items())
            signable, body = [flat], b""
        # A float in the body is signed as it is written.
        signable = [{k: json.dumps(v) if isinstance(v, float) else v for k, v in row.items()} for row in signable]
        headers = trader.headers(
            INSTRUCTIONS[method, path], [{k: v for k, v in row.items() if v is not None} for row in signable]
        )
        reply = trader.sim.http(Request(method, path, query, headers, body))
        assert reply.status in (200, 202, 400, 404)
        if reply.body and reply.headers["content-type"].startswith("application/json"):
            json.loads(reply.body)
    for held in trader.sim.account.balances.values():
        assert held.free >= 0
        assert held.locked >= 0
    for book in trader.sim.engine.books.values():
        assert book.best_bid[0] < book.best_ask[0]


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(PATHS),
    st.sampled_from(["GET", "POST", "DELETE", "PATCH"]),
    st.binary(max_size=40),
    st.text(max_size=30),
)
def test_any_bytes_get_an_answer(path, method, body, query):
    """[ours] Unsigned rubbish is refused, whatever its encoding."""
    headers = {"x-api-key": query, "x-signature": query, "x-timestamp": query, "x-window": "５０００"}
    reply = Trader().sim.http(Request(method, path, query, headers, body))
    assert reply.status in (200, 400, 404)


@example(text='{"method": null, "params": null, "signature": null, "id": 0.0}')
@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        st.text(max_size=30),
        st.dictionaries(st.sampled_from(["method", "params", "signature", "id"]), values).map(json.dumps),
    )
)
def test_any_frame_is_survived(text):
    """[ours] The stream stays open and goes on."""
    trader = Trader()
    ear = trader.listen("account.orderUpdate")
    trader.sim.ws_text(ear, text)
    ear.got.clear()
    trader.placed()
    assert len(ear.got) <= 1
