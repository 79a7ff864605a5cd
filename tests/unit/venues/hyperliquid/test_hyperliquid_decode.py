import json
from copy import deepcopy
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.venues.hyperliquid.hl_fixtures import body, lines, load, markets
from venues.errors import WireError
from venues.events import (
    Answered,
    BalanceSeen,
    BookSeen,
    FillSeen,
    LineReady,
    LineRefused,
    MarginSeen,
    OrderSeen,
    PositionSeen,
    Source,
    Status,
    Unreadable,
)
from venues.hyperliquid import decode

FACTS = markets()
STREAMS = [
    *("ws_account_state.jsonl", "ws_control.jsonl", "ws_market_data.jsonl", "ws_order_updates.jsonl"),
    *("ws_post.jsonl", "ws_user_events.jsonl", "ws_user_fills.jsonl"),
]
FRAMES = [line for name in STREAMS for line in lines(name)]


def frame(data, stand=None):
    return list(decode.frame(data, FACTS, stand or decode.Stand()))


# -- readings


def test_recorded_order_states_are_read():
    """[venue] Open, cancelled with its remainder kept, filled, and unknown."""
    rows = load("order_status.json")
    open_, cancelled, filled, unknown = (decode.order_status(body(row["response"]), FACTS) for row in rows)
    assert open_ == OrderSeen(
        symbol="HYPE",
        client_id=None,
        venue_id="80972193016",
        status=Status.OPEN,
        is_ask=False,
        size_i=200,
        filled_i=0,
        price_i=135_000,
        engine_us=1742488072039_000,
        source=Source.REST,
    )
    told = (
        cancelled.symbol,
        cancelled.status,
        cancelled.size_i,
        cancelled.filled_i,
        cancelled.is_ask,
        cancelled.reason,
    )
    assert told == ("PURR/USDC", Status.CANCELLED, 50, 0, True, "canceled")
    assert cancelled.engine_us == 1736094629472_000
    assert (filled.status, filled.size_i, filled.filled_i) == (Status.FILLED, 2000, 2000)
    assert unknown is None


def test_recorded_open_orders_are_read():
    """[venue] Of 2023 without origSz and cloid, of 2026 with a stranger's cloid, and with triggers."""
    old, new = load("open_orders.json")
    seen = decode.open_orders(body(old["response"]), FACTS)
    assert [(each.symbol, each.size_i) for each in seen[:2]] == [("MATIC", 2087), ("ARB", 1737)]
    sol = next(each for each in seen if each.symbol == "SOL")
    assert (len(seen), sol.price_i, sol.size_i, sol.filled_i, sol.is_ask) == (8, 197_040, 845, 0, True)
    (btc,) = decode.open_orders(body(new["response"]), FACTS)
    assert (btc.client_id, btc.venue_id, btc.size_i, btc.price_i) == (None, "57118842019", 37, 317_950)
    (row,) = load("frontend_open_orders.json")
    seen = decode.open_orders(body(row["response"]), FACTS)
    assert [(each.venue_id, each.status, each.size_i) for each in seen] == [
        ("3184595907", Status.OPEN, 125),
        ("3184595906", Status.OPEN, 125),
        ("3184595905", Status.OPEN, 125),
    ]


def test_recorded_history_has_refused_and_cancelled_orders():
    """[venue] An unmatched Ioc and cancelled Alo orders, each with an id."""
    (row,) = load("historical_orders.json")
    seen = [decode.history_row(each, FACTS) for each in decode.history(body(row["response"]))]
    assert [(each.symbol, each.status, each.reason) for each in seen] == [
        ("TON", Status.FAILED, "iocCancelRejected"),
        ("ORDI", Status.FAILED, "iocCancelRejected"),
        ("GRIFFAIN", Status.FAILED, "iocCancelRejected"),
        ("DYDX", Status.CANCELLED, "canceled"),
        ("DYDX", Status.CANCELLED, "canceled"),
    ]
    assert (seen[3].size_i, seen[3].price_i, seen[3].filled_i) == (15003, 62_613, 0)


def test_recorded_fills_are_read():
    """[venue] Of 2023 without trade ids, with fee and token, of spot, and with a builder's fee."""
    old, sol, purr, avax = load("user_fills.json")
    rows = decode.fill_rows(body(old["response"]))
    seen = [decode.fill(row, FACTS) for row in rows]
    assert len({(each.symbol, each.trade_id) for each in seen}) == 7
    assert (seen[0].price, seen[0].size_i, seen[0].is_maker) == (Decimal("21.661"), 20841, False)
    (seen,) = (decode.fill(row, FACTS) for row in decode.fill_rows(body(sol["response"])))
    assert seen == FillSeen(
        symbol="SOL",
        trade_id="1709643346297-566849930446139",
        client_id=None,
        venue_id="6928122855",
        is_ask=False,
        size_i=50,
        price=Decimal("132.31"),
        fee=Decimal("0.023154"),
        fee_asset="USDC",
        is_maker=False,
        engine_us=1709643346297_000,
        source=Source.REST,
    )
    (seen,) = (decode.fill(row, FACTS) for row in decode.fill_rows(body(purr["response"])))
    assert (seen.symbol, seen.size_i, seen.fee_asset) == ("PURR/USDC", 49, "USDC")
    (seen,) = (decode.fill(row, FACTS) for row in decode.fill_rows(body(avax["response"])))
    assert (seen.fee, seen.is_maker, seen.price) == (Decimal("0.01"), True, Decimal("18.435"))


def unquoted(state):
    """ccxt's recorder quotes integers: on the wire they are numbers (note in the fixture)."""
    return {**state, "time": int(state["time"])} if "time" in state else state


def test_recorded_accounts_are_read():
    """[venue] A long, a flat account, a short beside a long, and a row of 2023."""
    long, flat, both, old = (body(unquoted(row["response"])) for row in load("clearinghouse_state.json"))
    (seen,) = decode.positions(long)
    assert (seen.symbol, seen.quantity, seen.entry_price) == ("BTC", Decimal("4.5"), Decimal(81285))
    assert seen.mark_price == Decimal(83926)
    margin = decode.margin(long)
    assert (margin.balance, margin.available) == (Decimal("38252.7"), Decimal("486.0"))
    assert (decode.positions(flat), decode.margin(flat).balance) == ((), 0)
    assert [(each.symbol, each.quantity) for each in decode.positions(both)] == [
        ("SOL", Decimal("-0.5")),
        ("ETH", Decimal("1.6")),
    ]
    assert decode.positions(both)[0].mark_price == Decimal("137.96")
    assert decode.positions(old)[0].quantity == Decimal("-0.00785")
    assert decode.positions(old)[0].engine_us == 0


def test_recorded_balances_come_under_canonical_names():
    """[venue] USOL and UETH are SOL and ETH; free is total less hold."""
    (row,) = load("spot_clearinghouse_state.json")
    seen = {each.asset: each for each in decode.balances(body(row["response"]))}
    assert set(seen) == {"USDC", "HYPE", "ETH", "SOL", "USDH"}
    assert (seen["SOL"].total, seen["SOL"].free) == (Decimal("0.07894692"), Decimal("0.07894692"))


def test_recorded_books_are_read_at_their_top():
    """[venue] Bids and asks, best first."""
    dydx, btc = load("l2book_rest.json")
    seen = decode.top_of_book(body(dydx["response"]), FACTS["DYDX"])
    assert (seen.bid_i, seen.ask_i, seen.seq) == (211_100, 211_240, 1689630203930)
    seen = decode.top_of_book(body(btc["response"]), FACTS["BTC"])
    assert (seen.bid_i, seen.ask_i) == (837_670, 837_680)
    empty = decode.top_of_book(b'{"coin":"BTC","time":1,"levels":[[],[]]}', FACTS["BTC"])
    assert (empty.bid_i, empty.ask_i) == (None, None)


def test_recorded_answers_about_the_account_are_read():
    """[venue] Role, mode and time; rate limits, agents and mids are not asked for."""
    misc = {row["request"]["type"]: row["response"] for row in load("account_misc.json")}
    assert decode.role(body(misc["userRole"])) == ("vault", "")
    assert decode.role(b'{"role":"agent","data":{"user":"0xAB"}}') == ("agent", "0xab")
    assert decode.abstraction(body(misc["userAbstraction"])) == "default"
    assert decode.server_time(body(misc["exchangeStatus"])) == 1764617438643
    assert set(misc) == {"userRole", "userAbstraction", "exchangeStatus", "userRateLimit", "extraAgents"}
    assert load("all_mids.json")["response"]["SOL"] == "26.516"


@pytest.mark.parametrize(
    "read",
    [
        decode.server_time,
        decode.role,
        decode.abstraction,
        decode.history,
        decode.fill_rows,
        decode.positions,
        decode.margin,
        decode.balances,
        lambda data: decode.order_status(data, FACTS),
        lambda data: decode.open_orders(data, FACTS),
        lambda data: decode.top_of_book(data, FACTS["SOL"]),
    ],
)
@pytest.mark.parametrize("answer", [b"", b"{}", b"[1]", b"7", b"\xff", b'{"status":"later"}', b"[" * 2000])
def test_an_answer_of_another_shape_is_a_wire_error(read, answer):
    """[ours] Never a bare exception, never a guess."""
    with pytest.raises(WireError):
        read(answer)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"sz": "3.0"}, "more remains"),
        ({"sz": "-1"}, "below 0"),
        ({"sz": "0.001"}, "decimals"),
        ({"coin": "NEW"}, "NEW"),
    ],
)
def test_an_order_off_the_grid_is_not_rounded(changed, why):
    """[ours] A number that cannot be is told as unreadable."""
    answer = load("order_status.json")[0]["response"]
    answer["order"]["order"].update(changed)
    with pytest.raises(WireError, match=why):
        decode.order_status(body(answer), FACTS)


@pytest.mark.parametrize(
    ("cloid", "number"),
    [
        ("0x0000000000000000000000000000002a", 42),
        ("0x000000000000000000000000FFFFFFFF", 4_294_967_295),
        ("0x00000000000000000000000100000000", None),
        ("0x00000000000000000000000000000000", None),
        ("0xa1f0cddc17303d07f3fd128d5b35071d", None),
        ("0x2a", None),
        (None, None),
    ],
)
def test_only_ids_in_our_range_are_ours(cloid, number):
    """[ours] Other programs may use the whole 128 bits."""
    assert decode.client_id(cloid) == number


# -- the stream


def test_recorded_order_updates_are_read():
    """[venue] Open, cancelled, an order without cloid, and a taker's two states in one message."""
    seen = [frame(line) for line in lines("ws_order_updates.jsonl")]
    (opened,), (cancelled,), (plain,), (first, second) = seen
    assert (opened.status, opened.size_i, opened.price_i, opened.client_id) == (Status.OPEN, 37, 317_950, None)
    assert (cancelled.status, cancelled.filled_i, cancelled.engine_us) == (Status.CANCELLED, 0, 1785261290665_000)
    assert (plain.venue_id, plain.source) == ("7456484275", Source.WS)
    assert (first.status, second.status, second.filled_i) == (Status.OPEN, Status.FILLED, 500_000)
    assert first.engine_us == second.engine_us


def test_recorded_fills_of_the_stream_are_not_told_from_the_snapshot():
    """[venue] Both recordings are snapshots, which repeat history; without the flag the fill and its position come."""
    empty, one = lines("ws_user_fills.jsonl")
    assert (frame(empty), frame(one)) == ([], [])
    message = json.loads(one)
    for flag in (False, None):
        message["data"]["isSnapshot"] = flag
        fill, position = frame(json.dumps(message))
        assert (fill.trade_id, fill.size_i, fill.fee) == ("1710208712815-567547935839686", 11693, Decimal("2.968244"))
        assert position == PositionSeen(symbol="BTC", quantity=Decimal(0), engine_us=1710208712815_000)


def test_the_position_after_several_fills_of_a_block_is_the_end_of_their_chain():
    """[gap] The order inside one message is in no recording; what each began from tells."""
    row = load("user_fills.json")[1]["response"][0]
    chain = [
        {**row, "startPosition": start, "sz": "0.5", "tid": tid} for tid, start in ((1, "0.0"), (2, "0.5"), (3, "1.0"))
    ]
    for rows in (chain, chain[::-1], [chain[1], chain[2], chain[0]]):
        seen = frame(json.dumps({"channel": "userFills", "data": {"user": "0x", "fills": rows}}))
        assert [type(each) for each in seen] == [FillSeen] * 3 + [PositionSeen]
        assert seen[3].quantity == Decimal("1.5")


def test_recorded_user_events_are_a_channel_that_we_do_not_ask_for():
    """[venue] The same fills come on userFills."""
    assert [frame(line) for line in lines("ws_user_events.jsonl")] == [[]]


def test_recorded_states_of_the_account_are_read():
    """[venue] Margin of an empty account, and a balance."""
    perp, spot = lines("ws_account_state.jsonl")
    assert frame(perp) == [MarginSeen(balance=Decimal(0), available=Decimal(0), engine_us=1776000003409_000)]
    assert frame(spot) == [BalanceSeen(asset="USDH", free=Decimal(0), total=Decimal(0))]


def test_recorded_market_data_is_read():
    """[venue] bbo as asked for; the full book, trades and mids are nobody's business here."""
    seen = [frame(line) for line in lines("ws_market_data.jsonl")]
    assert [len(each) for each in seen] == [0, 1, 1, 0, 0]
    assert seen[2] == [
        BookSeen(symbol="BTC", bid_i=837_570, ask_i=837_580, seq=1790358617881, engine_us=1790358617881_000)
    ]
    one_sided = '{"channel":"bbo","data":{"coin":"SOL","time":5,"bbo":[null,{"px":"140.5","sz":"1.0","n":1}]}}'
    assert frame(one_sided) == [BookSeen(symbol="SOL", bid_i=None, ask_i=1_405_000, seq=5, engine_us=5000)]


def test_recorded_posts_answer_their_requests():
    """[venue] By the id that was sent, with the REST reply inside."""
    seen = [frame(line)[0] for line in lines("ws_post.jsonl")]
    assert [(each.request_id, each.status) for each in seen] == [("1740172698150", 200), ("1", 200), ("123", 200)]
    assert json.loads(seen[0].body)["status"] == "err"
    assert json.loads(seen[1].body)["response"]["data"]["statuses"][0]["error"].startswith("Order price cannot")


@pytest.mark.parametrize(
    ("payload", "status"),
    [('"429 Too Many Requests"', 429), ('"502 Bad Gateway"', 502), ('"who knows"', 500), ("{}", 500)],
)
def test_a_post_that_failed_reads_like_an_http_error(payload, status):
    """[gap] The shape is in no recording: a leading number counts, anything else is doubt."""
    (seen,) = frame('{"channel":"post","data":{"id":7,"response":{"type":"error","payload":' + payload + "}}}")
    assert (seen.request_id, seen.status) == ("7", status)


def test_recorded_control_frames_are_read():
    """[venue] Acknowledgements, a pong, and every error sentence of the sheet."""
    seen = [frame(line) for line in lines("ws_control.jsonl")]
    assert [[type(each) for each in events] for events in seen] == [
        *([[]] * 5),
        [LineRefused],
        [],
        [LineRefused],
        [Answered],
        [LineRefused],
        [LineRefused],
    ]
    assert [events[0].code for events in (seen[5], seen[7], seen[9], seen[10])] == ["REFUSED", *["RATE_LIMITED"] * 3]
    assert (seen[8][0].request_id, seen[8][0].status) == ("1234", 429)


def test_an_error_frame_about_an_order_answers_that_order():
    """[venue] It repeats the request that could not be read, id included: nothing was done."""
    request = json.dumps({"method": "post", "id": 31, "request": {}})
    told = {"channel": "error", "data": f"Error parsing JSON into valid websocket request: {request}"}
    (seen,) = frame(json.dumps(told))
    assert (seen.request_id, seen.status) == ("31", 422)


def confirm(kind):
    told = {"method": "subscribe", "subscription": {"type": kind, "user": "0x"}}
    return json.dumps({"channel": "subscriptionResponse", "data": told})


def test_the_line_is_ready_with_the_last_account_stream():
    """[client] By its acknowledgement, or by data that says as much; told once."""
    stand = decode.Stand()
    stand.unconfirmed = {"orderUpdates", "userFills", "clearinghouseState", "spotState"}
    assert frame(confirm("orderUpdates"), stand) == []
    assert frame(confirm("bbo"), stand) == []
    assert frame(lines("ws_user_fills.jsonl")[0], stand) == []
    assert frame(confirm("clearinghouseState"), stand) == []
    assert frame(confirm("spotState"), stand) == [LineReady(stage="subscribed")]
    assert frame(confirm("spotState"), stand) == []


def test_a_market_that_a_full_list_leaves_out_is_flat():
    """[venue] Flat is the absence of an entry."""
    stand = decode.Stand()
    state = load("clearinghouse_state.json")[0]["response"]
    told = {"dex": "", "user": "0x", "clearinghouseState": state}
    held, margin = frame(json.dumps({"channel": "clearinghouseState", "data": told}), stand)
    assert (held.quantity, margin.balance) == (Decimal("4.5"), Decimal("38252.7"))
    told["clearinghouseState"] = {**state, "assetPositions": [], "time": state["time"] + 1}
    flat, _ = frame(json.dumps({"channel": "clearinghouseState", "data": told}), stand)
    assert flat == PositionSeen(symbol="BTC", quantity=Decimal(0), engine_us=(state["time"] + 1) * 1000)
    told["dex"] = "xyz"
    assert frame(json.dumps({"channel": "clearinghouseState", "data": told}), stand) == []


def test_a_unified_account_has_its_margin_in_the_spot_wallet():
    """[venue] The perp wallet may read 0 then, so its words about margin are left out."""
    stand = decode.Stand()
    stand.margin_in_spot = True
    perp, _ = lines("ws_account_state.jsonl")
    assert frame(perp, stand) == []
    spot = {"balances": [{"coin": "USDC", "token": 0, "total": "120.5", "hold": "20.5", "entryNtl": "0.0"}]}
    seen = frame(json.dumps({"channel": "spotState", "data": {"user": "0x", "spotState": spot}}), stand)
    assert seen[-1] == MarginSeen(balance=Decimal("120.5"), available=Decimal(100))


def test_what_concerns_other_dexes_is_left_out():
    """[venue] Builder-deployed coins are not in our list."""
    update = json.loads(lines("ws_order_updates.jsonl")[0])
    update["data"][0]["order"]["coin"] = "xyz:TSLA"
    assert frame(json.dumps(update)) == []
    assert frame('{"channel":"bbo","data":{"coin":"xyz:TSLA","time":1,"bbo":[null,null]}}') == []


def test_an_unknown_status_is_unreadable():
    """[ours] It is recorded and survived."""
    update = json.loads(lines("ws_order_updates.jsonl")[0])
    update["data"][0]["status"] = "mystery"
    (seen,) = frame(json.dumps(update))
    assert isinstance(seen, Unreadable)
    assert "mystery" in seen.why


ODD = st.sampled_from(
    [None, True, -1, 0, 1.5, float("nan"), float("inf"), 10**40, -(10**25), "", "NaN", "Infinity", "-0", "1e-40",
     "1e400", "9" * 60, "9" * 100, "0x10", "\u0661", "💥", "\x00", [], {}, [[]], {"a": {"b": []}}]
)  # fmt: skip


def places(value, path=()):
    """Every place inside a message."""
    found = [path] if path else []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        found += places(inner, (*path, key))
    return found


@given(st.sampled_from(FRAMES), st.data())
def test_no_mutated_message_gets_out_as_an_exception(line, data):
    """[ours] Parts retyped or huge, at any depth: events come out, each with sound numbers."""
    message = json.loads(line)
    for path in data.draw(st.lists(st.sampled_from(places(message)), min_size=1, max_size=3, unique=True)):
        inner = message
        try:
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = deepcopy(data.draw(ODD))
        except (TypeError, KeyError, IndexError):
            continue
    if message.get("channel") == "userFills" and isinstance(message.get("data"), dict):
        message["data"].pop("isSnapshot", None)
    for event in frame(json.dumps(message)):
        if isinstance(event, OrderSeen):
            assert event.size_i >= event.filled_i >= 0
        if isinstance(event, PositionSeen):
            assert event.quantity.is_finite()
        repr(event)


@given(st.sampled_from(FRAMES), st.integers(0, 600), st.binary(max_size=6))
def test_no_damaged_bytes_get_out_as_an_exception(line, at, junk):
    """[ours] Cut, overwritten and invalid UTF-8."""
    raw = line.encode()
    for damaged in (raw[:at] + junk + raw[at + len(junk) :], raw[:at], raw + junk):
        for event in frame(damaged):
            repr(event)


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_no_noise_gets_out_as_an_exception(noise):
    """[ours] Text with lone surrogates included."""
    frame(noise)
    frame(noise + "\udcff" if isinstance(noise, str) else noise + b"\xff")
