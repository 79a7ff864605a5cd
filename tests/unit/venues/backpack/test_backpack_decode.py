import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venues.backpack import decode
from venues.backpack.facts import read_markets
from venues.errors import WireError
from venues.events import (
    BalanceSeen,
    BookSeen,
    FillSeen,
    LineRefused,
    MarketFacts,
    OrderSeen,
    PositionSeen,
    Source,
    Status,
    Unreadable,
)

FOLDER = Path(__file__).resolve().parents[4].parent / "shared" / "fixtures" / "backpack"
if not FOLDER.exists():
    pytest.skip("../shared with the recorded payloads is missing", allow_module_level=True)


def _json(name):
    return json.loads((FOLDER / name).read_text())


def _lines(name):
    return (FOLDER / name).read_text().splitlines()


def _bytes(value):
    return json.dumps(value).encode()


def _market(symbol, price_decimals, size_decimals, kind):
    """A market of the recordings whose row was not recorded; decimals as its payloads show."""
    return MarketFacts(
        symbol=symbol,
        base=symbol.partition("_")[0],
        quote="USDC",
        kind=kind,
        price_decimals=price_decimals,
        size_decimals=size_decimals,
        tick_i=1,
        lot_i=1,
        min_size_i=1,
    )


MARKETS = {
    **read_markets((FOLDER / "markets.json").read_bytes()),
    "ETH_USDC": _market("ETH_USDC", 2, 4, "spot"),
    "ETH_USDC_PERP": _market("ETH_USDC_PERP", 2, 4, "perp"),
    "ADA_USDC_PERP": _market("ADA_USDC_PERP", 4, 0, "perp"),
    "BTC_USDC": _market("BTC_USDC", 1, 5, "spot"),
}
ACKS = _json("order_ack.json")
FRAMES = [
    line
    for name in ("ws_order_updates", "ws_position_updates", "ws_balance_updates", "ws_market")
    for line in _lines(f"{name}.jsonl")
]


# -- REST


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("POST /api/v1/order limit post-only (real capture, wire types)", Status.OPEN),
        ("GET /api/v1/order by orderId, same order", Status.OPEN),
        ("DELETE /api/v1/order", Status.CANCELLED),
    ],
)
def test_the_recorded_limit_order_reads_at_each_call(name, status):
    """[venue] One order of 2026-09-01: placed, queried, cancelled."""
    assert decode.order(_bytes(ACKS[name]), MARKETS) == OrderSeen(
        symbol="USDT_USDC",
        client_id=None,
        venue_id="59669287267",
        status=status,
        is_ask=True,
        size_i=20,
        filled_i=0,
        price_i=10077,
        engine_us=1788285244094000 if status is Status.OPEN else 0,
        source=Source.REST,
    )


def test_the_recorded_lists_of_orders_read():
    """[venue] One order, none, and one with a client id."""
    (seen,) = decode.orders(_bytes(ACKS["GET /api/v1/orders"]), MARKETS)
    assert seen.venue_id == "59669287267"
    assert decode.orders(_bytes(ACKS["DELETE /api/v1/orders, nothing left"]), MARKETS) == ()
    row = ACKS["GET /api/v1/orders item with clientId (ccxt comment)"]
    (seen,) = decode.orders(_bytes([row]), MARKETS)
    assert (seen.client_id, seen.price_i, seen.size_i, seen.is_ask) == (123456789, 300_000, 10, False)


def test_the_recorded_market_orders_are_filled():
    """[venue] A market reply is final already, and has no price."""
    seen = decode.order(_bytes(ACKS[next(name for name in ACKS if "filled at once" in name)]), MARKETS)
    assert seen.status is Status.FILLED
    assert (seen.client_id, seen.size_i, seen.filled_i, seen.price_i) == (55555, 1, 1, None)
    # createdAt would make the end look older than the stream's acceptance.
    assert seen.engine_us == 0
    seen = decode.order(_bytes(ACKS[next(name for name in ACKS if "by quoteQuantity" in name)]), MARKETS)
    assert (seen.status, seen.size_i, seen.filled_i, seen.client_id) == (Status.FILLED, 10, 10, None)


def test_every_recorded_acknowledgement_is_covered():
    """[ours] A new recording fails here until somebody reads it."""
    assert len(ACKS) == 8
    assert sorted(path.name for path in FOLDER.iterdir()) == [
        "SOURCES.md",
        "balances.json",
        "collateral.json",
        "errors.json",
        "fills.json",
        "markets.json",
        "order_ack.json",
        "order_history.json",
        "positions.json",
        "public_rest.json",
        "signing_vectors.json",
        "ws_balance_updates.jsonl",
        "ws_market.jsonl",
        "ws_order_updates.jsonl",
        "ws_position_updates.jsonl",
    ]


def test_the_recorded_history_row_reads_with_its_time_as_utc():
    """[venue] History has naive ISO times; the same order's REST time was 1788285244094 ms."""
    (row,) = decode.order_rows(_bytes(_json("order_history.json")["body"]))
    assert decode.created_us(row) == 1788285244094000
    seen = decode.history_row(row, MARKETS)
    assert (seen.status, seen.venue_id, seen.engine_us) == (Status.CANCELLED, "59669287267", 0)


def test_the_recorded_fills_read():
    """[venue] A perp fill paid in USDC, a spot buy paid in the coin bought."""
    perp, spot = [decode.fill(row, MARKETS) for row in decode.fill_rows(_bytes(_json("fills.json")))]
    assert perp == FillSeen(
        symbol="ETH_USDC_PERP",
        trade_id="9748827",
        client_id=None,
        venue_id="4238907375",
        is_ask=False,
        size_i=26,
        price=Decimal("3826.15"),
        fee=Decimal("0.004974"),
        fee_asset="USDC",
        is_maker=False,
        engine_us=1753637940092000,
        source=Source.REST,
    )
    assert (spot.fee_asset, spot.fee, spot.size_i) == ("ETH", Decimal("0.000001"), 10)


def test_a_fill_names_its_client_id_as_text_or_number():
    """[venue] Text in fills, a number in orders."""
    row = _json("fills.json")[0]
    for given_id in ("77", 77):
        (read,) = decode.fill_rows(_bytes([row | {"clientId": given_id}]))
        assert decode.fill(read, MARKETS).client_id == 77
    (read,) = decode.fill_rows(_bytes([row | {"clientId": "mine"}]))
    with pytest.raises(WireError):
        decode.fill(read, MARKETS)


def test_the_recorded_positions_are_net_and_signed():
    """[venue] netQuantity, never netExposureQuantity."""
    short, long = decode.positions(_bytes(_json("positions.json")))
    assert (short.symbol, short.quantity, short.entry_price) == (
        "SOL_USDC_PERP",
        Decimal("-0.01"),
        Decimal("126.93"),
    )
    assert long.quantity == Decimal("0.0036")
    assert long.entry_price == Decimal("3826.8888888888888888888888889")
    assert long.mark_price == Decimal("3787.46813304")
    assert short.source is Source.REST


def test_flat_positions_are_left_out():
    """[venue] [] when flat; a row of 0 means the same."""
    assert decode.positions(b"[]") == ()
    row = _json("positions.json")[0] | {"netQuantity": "0", "netExposureQuantity": "5"}
    assert decode.positions(_bytes([row])) == ()


def test_the_recorded_balances_read():
    """[venue] available is free; what is locked counts in the total, what is staked does not."""
    recorded = _json("balances.json")
    collateral = (FOLDER / "collateral.json").read_bytes()
    (usdt,) = decode.balances(_bytes(recorded["GET /api/v1/capital (1)"]), collateral)
    assert usdt == BalanceSeen(asset="USDT", free=Decimal(30), total=Decimal(30), source=Source.REST)
    second = decode.balances(
        _bytes(recorded["GET /api/v1/capital (2)"]), b'{"netEquity":"0",' b'"netEquityAvailable":"0","collateral":[]}'
    )
    assert {b.asset: b.free for b in second} == {
        "ETH": Decimal("0.0019918"),
        "POINTS": Decimal(2),
        "USDC": Decimal("112.847976936"),
    }


def test_lent_coins_count_in_the_total_even_when_nothing_else_is_left():
    """[venue] Lent funds are in none of capital's numbers."""
    collateral = _json("collateral.json")
    row = collateral["collateral"][0]
    collateral["collateral"] = [row | {"symbol": "USDC", "lendQuantity": "50"}, row | {"lendQuantity": "4"}]
    capital = {"USDT": {"available": "1", "locked": "2", "staked": "8"}}
    seen = {b.asset: (b.free, b.total) for b in decode.balances(_bytes(capital), _bytes(collateral))}
    assert seen == {"USDT": (1, 7), "USDC": (0, 50)}


def test_the_recorded_collateral_is_the_margin():
    """[venue] netEquity and netEquityAvailable."""
    seen = decode.margin((FOLDER / "collateral.json").read_bytes())
    assert (seen.balance, seen.available) == (Decimal("28.49145"), Decimal("28.49145"))


def test_the_recorded_depth_gives_the_best_of_both_ascending_sides():
    """[venue] The best bid is the last row."""
    body = _bytes(_json("public_rest.json")[next(n for n in _json("public_rest.json") if "depth" in n)])
    assert decode.depth(body, MARKETS["BTC_USDC"]) == BookSeen(
        symbol="BTC_USDC",
        bid_i=129,
        ask_i=1183183,
        seq=1504999670,
        engine_us=1753102447307501,
        source=Source.REST,
    )
    empty = b'{"asks":[],"bids":[],"lastUpdateId":"7","timestamp":1}'
    book = decode.depth(empty, MARKETS["BTC_USDC"])
    assert (book.bid_i, book.ask_i) == (None, None)


def test_the_recorded_time_reads():
    """[venue] Plain text."""
    recorded = _json("public_rest.json")
    text = recorded[next(n for n in recorded if "time" in n)]
    assert decode.server_time(text.encode()) == 1788285151083


@pytest.mark.parametrize("body", [b"", b"pong", b"-5", b"1e12", b"9" * 18, b"\xff", b"<html>"])
def test_a_time_that_is_none_is_the_venues_fault(body):
    """[ours] A wrong clock would sign every request wrongly."""
    with pytest.raises(WireError):
        decode.server_time(body)


@pytest.mark.parametrize(
    "change",
    [
        {"status": "Dreaming"},
        {"symbol": "NOPE_USDC"},
        {"side": "Buy"},
        {"id": 59669287267},
        {"executedQuantity": "0.5"},
        {"executedQuantity": "-1"},
        {"quantity": "NaN"},
        {"quantity": 20},
        {"price": "1.00771"},
        {"createdAt": 10**30},
        {"createdAt": "yesterday"},
        {"clientId": -1},
    ],
    ids=str,
)
def test_an_order_that_breaks_the_documents_is_told_as_such(change):
    """[ours] Wrong types, unknown words and numbers off the grid are never guessed at."""
    row = ACKS["GET /api/v1/order by orderId, same order"]
    with pytest.raises(WireError) as broken:
        decode.order(_bytes(row | change), MARKETS)
    assert broken.value.code == "UNREADABLE"


@pytest.mark.parametrize("name", ["id", "status", "side", "symbol", "executedQuantity", "quantity", "clientId"])
def test_a_missing_field_breaks_the_documents(name):
    """[ours] What we use must be there."""
    row = dict(ACKS["GET /api/v1/order by orderId, same order"])
    del row[name]
    with pytest.raises(WireError):
        decode.order(_bytes(row), MARKETS)


def test_unknown_fields_pass_and_foreign_markets_are_left_out():
    """[venue] Keys and markets appear over time."""
    row = ACKS["GET /api/v1/order by orderId, same order"] | {"novelty": [1, {"deep": None}]}
    assert decode.order(_bytes(row), MARKETS).venue_id == "59669287267"
    assert len(decode.orders(_bytes([row, row | {"symbol": "NEW_USDC"}]), MARKETS)) == 1


def test_an_order_by_quote_amount_without_a_size_is_as_large_as_its_fill():
    """[venue] quantity is null on orders that were not sized in base; they are never ours."""
    row = ACKS["GET /api/v1/order by orderId, same order"] | {"quantity": None, "executedQuantity": "3"}
    assert decode.order(_bytes(row), MARKETS).size_i == 3


@pytest.mark.parametrize(
    ("reason", "filled", "status", "code"),
    [
        ("PostOnlyTaker", "0", Status.FAILED, "POST_ONLY_WOULD_CROSS"),
        ("PriceImpact", "0", Status.FAILED, "PRICE_BAND"),
        ("PriceImpact", "3", Status.CANCELLED, "PRICE_BAND"),
        ("ImmediateOrCancel", "0", Status.CANCELLED, ""),
        ("FillOrKill", "0", Status.CANCELLED, ""),
        ("SelfTradePrevention", "0", Status.CANCELLED, "REFUSED"),
        ("InsufficientFunds", "0", Status.FAILED, "INSUFFICIENT_BALANCE"),
        (None, "0", Status.FAILED, "REFUSED"),
    ],
)
def test_an_expired_order_is_cancelled_or_failed_by_its_reason(reason, filled, status, code):
    """[venue] FAILED only when it was never live."""
    row = ACKS["GET /api/v1/order by orderId, same order"]
    row = row | {"status": "Expired", "expiryReason": reason, "executedQuantity": filled}
    seen = decode.order(_bytes(row), MARKETS)
    assert (seen.status, seen.code, seen.reason) == (status, code, reason or "Expired")


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("PartiallyFilled", Status.PARTIALLY_FILLED),
        ("TriggerPending", Status.OPEN),
        ("Triggered", Status.OPEN),
        ("TriggerFailed", Status.FAILED),
    ],
)
def test_every_other_state_has_its_meaning(word, status):
    """[venue] The table of states."""
    row = ACKS["GET /api/v1/order by orderId, same order"] | {"status": word}
    assert decode.order(_bytes(row), MARKETS).status is status


@pytest.mark.parametrize(
    "read",
    [
        lambda body: decode.order(body, MARKETS),
        lambda body: decode.orders(body, MARKETS),
        decode.order_rows,
        decode.fill_rows,
        decode.positions,
        lambda body: decode.balances(body, b"{}"),
        lambda body: decode.balances(b"{}", body),
        decode.margin,
        lambda body: decode.depth(body, MARKETS["SOL_USDC"]),
    ],
)
@pytest.mark.parametrize("body", [b"", b"7", b"null", b"\xff\xff", b"<html>", b"[" * 50_000, b'[{"a":1}]'])
def test_no_answer_gets_out_but_as_a_wire_error(read, body):
    """[ours] Whatever the bytes are."""
    with pytest.raises(WireError):
        read(body)


# -- the stream


def _frame(text):
    return decode.frame(text, MARKETS)


def test_the_recorded_acceptance_and_cancel_read():
    """[venue] Captured 2026-09-02; no client id when none was given."""
    (accepted,), (cancelled,) = (_frame(line) for line in _lines("ws_order_updates.jsonl")[:2])
    assert accepted == OrderSeen(
        symbol="USDT_USDC",
        client_id=None,
        venue_id="59887375336",
        status=Status.OPEN,
        is_ask=True,
        size_i=20,
        filled_i=0,
        price_i=10076,
        engine_us=1788368290062979,
    )
    assert (cancelled.status, cancelled.engine_us) == (Status.CANCELLED, 1788368293113270)


def test_the_recorded_market_order_is_accepted_and_then_filled():
    """[venue] The trade comes before the order's new state; z is cumulative, n the fee in the coin bought."""
    lines = _lines("ws_order_updates.jsonl")
    (accepted,) = _frame(lines[2])
    assert (accepted.status, accepted.price_i, accepted.size_i) == (Status.OPEN, None, 10)
    fill, order = _frame(lines[3])
    assert fill == FillSeen(
        symbol="ETH_USDC",
        trade_id="2888471",
        client_id=None,
        venue_id="5406825793",
        is_ask=False,
        size_i=10,
        price=Decimal("4299.16"),
        fee=Decimal("0.000001"),
        fee_asset="ETH",
        is_maker=False,
        engine_us=1754939110174705,
    )
    assert (order.status, order.filled_i, order.venue_id) == (Status.FILLED, 10, fill.venue_id)


def test_an_old_order_id_beyond_the_doubles_stays_whole():
    """[venue] Ids before 2025-06 exceed 2^53."""
    (seen,) = _frame(_lines("ws_order_updates.jsonl")[4])
    assert (seen.venue_id, seen.price_i, seen.size_i) == ("114575842681290753", 17815, 2003)


def test_a_client_id_and_an_expiry_reason_are_read_from_the_stream():
    """[venue] c is a number, R comes with orderExpired."""
    event = json.loads(_lines("ws_order_updates.jsonl")[0])
    event["data"] |= {"c": 4294967295, "e": "orderExpired", "X": "Expired", "R": "PostOnlyTaker"}
    (seen,) = _frame(json.dumps(event))
    assert seen.client_id == 4294967295
    assert (seen.status, seen.code) == (Status.FAILED, "POST_ONLY_WOULD_CROSS")


def test_the_recorded_positions_of_the_stream_are_net():
    """[venue] An event and a snapshot without e; q is net, Q is not."""
    opened, snapshot = (_frame(line)[0] for line in _lines("ws_position_updates.jsonl"))
    assert opened == PositionSeen(
        symbol="ETH_USDC_PERP",
        quantity=Decimal("0.0010"),
        entry_price=Decimal("4236.36"),
        mark_price=Decimal("4235.88650933"),
        engine_us=1754943862040487,
    )
    assert snapshot.quantity == Decimal("-0.01")
    closed = json.loads(_lines("ws_position_updates.jsonl")[0])
    closed["data"] |= {"e": "positionClosed", "q": "0", "Q": "0", "B": "0"}
    (seen,) = _frame(json.dumps(closed))
    assert (seen.quantity, seen.entry_price) == (0, None)


def test_the_recorded_balances_of_the_stream_read():
    """[venue] Free is A, the total adds what is locked."""
    first, second = (_frame(line)[0] for line in _lines("ws_balance_updates.jsonl"))
    assert first == BalanceSeen(asset="USDT", free=Decimal(10), total=Decimal(30), engine_us=1788368290062981)
    assert (second.free, second.total) == (30, 30)


def test_the_recorded_market_stream_gives_the_best_prices():
    """[venue] bookTicker is read; depth, markPrice and ticker are nothing that we asked for."""
    events = [_frame(line) for line in _lines("ws_market.jsonl")]
    assert [len(event) for event in events] == [1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert events[0][0] == BookSeen(
        symbol="SOL_USDC", bid_i=9896, ask_i=9897, seq=4330360995, engine_us=1788367430246081
    )
    assert [events[n][0].seq for n in (0, 4, 9)] == [4330360995, 4330360998, 4330361035]


def test_a_book_id_may_be_text_and_a_side_empty():
    """[gap] The documents print u as text; no recording shows an empty side."""
    event = json.loads(_lines("ws_market.jsonl")[0])
    event["data"] |= {"u": "77", "a": None, "b": ""}
    (seen,) = _frame(json.dumps(event))
    assert (seen.seq, seen.bid_i, seen.ask_i) == (77, None, None)
    event["data"]["a"] = "0.00"
    assert _frame(json.dumps(event))[0].ask_i is None


@pytest.mark.parametrize(("index", "code"), [(11, "AUTH"), (12, "REFUSED"), (13, "UNKNOWN_SYMBOL")])
def test_a_recorded_error_frame_refuses_the_line(index, code):
    """[venue] 4003, 4006 and 4005."""
    recorded = _json("errors.json")[index]
    message = recorded.get("ws") or {"id": None, "error": recorded["ws_error"]}
    (refused,) = _frame(json.dumps(message))
    assert isinstance(refused, LineRefused)
    assert refused.code == code


def test_an_expired_subscription_is_clock_skew():
    """[ours] The message says more than the number."""
    (refused,) = _frame('{"id":null,"error":{"code":4003,"message":"Request has expired"}}')
    assert refused.code == "CLOCK_SKEW"


def test_an_acknowledgement_is_nothing():
    """[gap] The venue sends none today."""
    assert _frame('{"id":null,"result":null}') == ()


@pytest.mark.parametrize(
    "data",
    [
        "",
        "{}",
        "[]",
        "null",
        "hello",
        b"\xff\xfe",
        "\ud800",
        '{"error":"text"}',
        '{"stream":7}',
        '{"stream":"bookTicker.SOL_USDC"}',
        '{"stream":"bookTicker.NOPE","data":{"s":"NOPE","u":1,"T":1,"a":"1","b":"1"}}',
        '{"stream":"bookTicker.SOL_USDC","data":{"s":"SOL_USDC","u":"x","T":1}}',
        '{"stream":"bookTicker.SOL_USDC","data":{"s":"SOL_USDC","u":-1,"T":1}}',
        '{"stream":"account.balanceUpdate","data":{"a":"X","A":"1e999999","L":"1","T":1}}',
        '{"stream":"account.orderUpdate","data":' + "[" * 100_000,
    ],
    ids=lambda data: repr(data[:40]),
)
def test_what_cannot_be_read_is_recorded_and_survived(data):
    """[ours] Bytes from outside are never trusted."""
    (seen,) = _frame(data)
    assert isinstance(seen, Unreadable)
    seen.text.encode()
    assert len(seen.text) <= 500


def test_a_trade_without_its_price_is_unreadable():
    """[ours] A fill is never made up."""
    event = json.loads(_lines("ws_order_updates.jsonl")[3])
    event["data"]["L"] = None
    assert isinstance(_frame(json.dumps(event))[0], Unreadable)


ODD = st.sampled_from(
    [None, True, -1, 0, 1.5, float("nan"), float("inf"), 10**40, -(10**25), "", "NaN", "Infinity", "-0", "1e-40",
     "1e400", "9" * 60, "9" * 100, "0x10", "\u0661", "💥", "\x00", [], {}, [[]], {"a": {"b": []}}]
)  # fmt: skip


@given(st.sampled_from(FRAMES), st.data())
def test_no_mutated_message_gets_out_as_an_exception(line, data):
    """[ours] Fields dropped, retyped or huge: events come out, each with sound numbers."""
    message = json.loads(line)
    keys = sorted(message["data"])
    for name in data.draw(st.lists(st.sampled_from(keys), min_size=1, max_size=3, unique=True)):
        if data.draw(st.booleans()):
            del message["data"][name]
        else:
            message["data"][name] = data.draw(ODD)
    for event in _frame(json.dumps(message)):
        if isinstance(event, OrderSeen):
            assert event.size_i >= 0
            assert event.filled_i >= 0
        if isinstance(event, PositionSeen):
            assert event.quantity.is_finite()
        repr(event)


@given(st.sampled_from(FRAMES), st.integers(0, 600), st.binary(max_size=6))
def test_no_damaged_bytes_get_out_as_an_exception(line, at, junk):
    """[ours] Cut, overwritten and invalid UTF-8."""
    raw = line.encode()
    for damaged in (raw[:at] + junk + raw[at + len(junk) :], raw[:at], raw + junk):
        for event in _frame(damaged):
            repr(event)


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_no_noise_gets_out_as_an_exception(noise):
    """[ours] Text with lone surrogates included."""
    _frame(noise)
    _frame(noise + "\udcff" if isinstance(noise, str) else noise + b"\xff")
