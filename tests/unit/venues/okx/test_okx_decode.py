import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.venues.okx.recorded import answer, fixture, lines, markets
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
from venues.okx import decode

MARKETS = markets()
ORDERS = lines("ws_order_updates.jsonl")
FRAMES = [
    *ORDERS,
    *lines("ws_positions.jsonl"),
    *lines("ws_account.jsonl"),
    *lines("ws_market_data.jsonl"),
    *lines("ws_control.jsonl"),
    *lines("ws_order_ops.jsonl"),
    *lines("ws_balance_and_position.jsonl"),
]
REST_ORDERS = fixture("orders_rest.json")


def _frame(data, awaited=()):
    return decode.frame(data, MARKETS, set(awaited))


def _changed(line, **fields):
    message = json.loads(line)
    message["data"][0] |= fields
    return json.dumps(message)


# -- REST


def test_the_clock_is_read():
    """[venue] Milliseconds as text."""
    assert decode.server_time(json.dumps(fixture("server_time.json")).encode()) == 1_597_026_383_085


def test_the_documents_own_account_is_in_hedge_mode_and_may_trade():
    """[venue] acctLv 2, long_short_mode, perm with trade."""
    config = fixture("account_config.json")
    assert decode.mode(json.dumps(config).encode()) == decode.Mode("2", True, True)
    row = config["data"][0] | {"posMode": "net_mode", "perm": "read_only"}
    assert decode.mode(answer([row])) == decode.Mode("2", False, False)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (
            "order_details_docs",
            # A market buy by quote amount: its sz of 100 is USDT, so what it filled is its size.
            ("BTC-USDT", None, "680800019749904384", "filled", False, 192_834, 192_834, None, 1_708_587_373_362_000),
        ),
        (
            "orders_pending_docs",
            ("BTC-USDT", None, "1752588852617379840", "open", False, 100_000, 0, 130_135, 1_724_733_617_998_000),
        ),
        (
            "open_post_only_ccxt",
            # 50 contracts of 100 ADA.
            ("ADA-USDT-SWAP", None, "645348448086081536", "open", False, 5000, 0, 2000, 1_700_135_060_018_000),
        ),
        (
            "closed_market_ccxt",
            ("LTC-USDT-SWAP", None, "672515387010932736", "filled", False, 100, 100, None, 1_706_612_162_996_000),
        ),
        (
            "orders_pending_nautilus",
            # 0.10 contracts of 0.01 BTC.
            ("BTC-USDT-SWAP", None, "1234567890123456789", "open", False, 10, 0, 1_035_000, 1_746_947_317_000_000),
        ),
    ],
)
def test_every_recorded_order_of_rest_is_read_in_base_units(name, wanted):
    """[venue] Symbol, ids, state, side, size, filled, price and the time of the last change."""
    seen = decode.order(json.dumps(REST_ORDERS[name]).encode(), MARKETS)
    told = (
        *(seen.symbol, seen.client_id, seen.venue_id, seen.status, seen.is_ask),
        *(seen.size_i, seen.filled_i, seen.price_i, seen.engine_us),
    )
    assert told == wanted
    assert (seen.source, seen.reason, seen.code) == (Source.REST, "", "")


def test_the_recorded_trade_of_rest_is_read():
    """[venue] The fee of a spot buy is paid in the coin; negative there is paid, positive with us."""
    (row,) = decode.fill_rows(json.dumps(fixture("fills_rest.json")).encode())
    assert decode.fill(row, MARKETS) == FillSeen(
        symbol="BTC-USDT",
        trade_id="744876980",
        client_id=None,
        venue_id="680800019749904384",
        is_ask=False,
        size_i=192_834,
        price=Decimal(51858),
        fee=Decimal("0.00000192834"),
        fee_asset="BTC",
        is_maker=False,
        engine_us=1_708_587_373_361_000,
        source=Source.REST,
    )


def test_the_recorded_positions_of_rest_are_in_markets_that_we_do_not_trade():
    """[venue] An inverse swap, and spot on isolated margin: neither is a position of ours."""
    recorded = fixture("positions_rest.json")
    for name in ("swap_cross_ccxt", "margin_docs"):
        assert decode.positions(json.dumps(recorded[name]).encode(), MARKETS) == ()


@pytest.mark.parametrize(
    ("change", "quantity"),
    [
        ({"posSide": "net", "pos": "-25"}, "-0.25"),
        ({"posSide": "net", "pos": "25"}, "0.25"),
        ({"posSide": "long", "pos": "25"}, "0.25"),
        ({"posSide": "short", "pos": "25"}, "-0.25"),
        ({"pos": "0"}, None),
        ({"pos": ""}, None),
        ({"mgnMode": "isolated", "pos": "25"}, None),
    ],
    ids=str,
)
def test_a_position_of_a_linear_swap_is_in_coins_with_its_sign(change, quantity):
    """[venue] 25 contracts of 0.01 BTC; the sign, or posSide in the other mode, tells the side; flat ones go."""
    row = fixture("positions_rest.json")["swap_cross_ccxt"]["data"][0] | {"instId": "BTC-USDT-SWAP"}
    seen = decode.positions(answer([row | change]), MARKETS)
    assert [position.quantity for position in seen] == ([] if quantity is None else [Decimal(quantity)])
    if seen:
        assert (seen[0].entry_price, seen[0].mark_price) == (Decimal("91957.1"), Decimal("92057.4"))
        assert seen[0].engine_us == 1_768_899_436_623_000


def test_the_recorded_balance_of_rest_is_read():
    """[venue] Total is cash, margin is equity; what isolated positions hold is in neither's free part."""
    body = json.dumps(fixture("balance_rest.json")["nautilus_futures_mode"]).encode()
    (usdt,) = decode.balances(body)
    assert (usdt.asset, usdt.free, usdt.total) == ("USDT", Decimal("94.42612990333333"), Decimal("94.42612990333333"))
    margin = decode.margin(body)
    assert (margin.balance, margin.available) == (Decimal("99.89469657000001"), Decimal("94.42612990333333"))
    assert (usdt.engine_us, margin.engine_us) == (1_744_498_994_783_000, 1_744_499_648_556_000)


def test_an_account_without_the_settlement_coin_has_no_margin():
    """[ours] Not an error: there is none."""
    row = fixture("balance_rest.json")["nautilus_futures_mode"]["data"][0] | {"details": []}
    assert decode.margin(answer([row])) == MarginSeen(balance=Decimal(0), available=Decimal(0), source=Source.REST)


@pytest.mark.parametrize(("name", "bid_i", "ask_i"), [("docs", 410_063, 410_068), ("nautilus", 410_067, 410_068)])
def test_the_recorded_books_of_rest_are_read(name, bid_i, ask_i):
    """[venue] The first level is the best; one recording has no seqId."""
    recorded = fixture("order_book_rest.json")[name]
    seen = decode.book(json.dumps(recorded).encode(), MARKETS["BTC-USDT"])
    at_ms = int(recorded["data"][0]["ts"])
    assert (seen.bid_i, seen.ask_i, seen.seq, seen.engine_us) == (bid_i, ask_i, at_ms, at_ms * 1000)


def test_the_recorded_countdown_is_running():
    """[venue] Ten digits in the documents' example, and 0 when it is off."""
    recorded = fixture("order_ack.json")["cancel_all_after"]
    assert decode.countdown_runs(json.dumps(recorded).encode())
    assert not decode.countdown_runs(answer([recorded["data"][0] | {"triggerTime": "0"}]))


READERS = [
    decode.server_time,
    decode.mode,
    decode.countdown_runs,
    decode.order_rows,
    decode.fill_rows,
    decode.balances,
    decode.margin,
    lambda body: decode.order(body, MARKETS),
    lambda body: decode.positions(body, MARKETS),
    lambda body: decode.book(body, MARKETS["BTC-USDT"]),
]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b'{"data":[{}]}', b'{"data":[1]}', b"\xff", b'{"data":' + b"[" * 99_999]
)
def test_an_answer_of_another_shape_is_a_wire_error(read, body):
    """[ours] Never an exception of another kind, never a made-up value."""
    with pytest.raises(WireError):
        read(body)


# -- the stream


def test_the_recorded_spot_sale_is_a_fill_and_an_end():
    """[venue] The documents' example, price, size, fee and maker flag."""
    fill, seen = _frame(ORDERS[0])
    assert fill == FillSeen(
        symbol="BTC-USDT",
        trade_id="242589207",
        client_id=None,
        venue_id="452197707845865472",
        is_ask=True,
        size_i=100_000,
        price=Decimal("31527.1"),
        fee=Decimal("0.02522168"),
        fee_asset="USDT",
        is_maker=True,
        engine_us=1_654_084_353_263_000,
    )
    assert (seen.status, seen.size_i, seen.filled_i, seen.price_i) == (Status.FILLED, 100_000, 100_000, 315_271)
    assert (seen.engine_us, seen.source) == (1_654_084_353_264_000, Source.WS)


def test_the_recorded_live_order_is_open():
    """[venue] A resting sell of 0.007526 ETH; another program's id is no id of ours."""
    (seen,) = _frame(ORDERS[1])
    assert (seen.status, seen.is_ask, seen.size_i, seen.filled_i) == (Status.OPEN, True, 752_600 // 100, 0)
    assert (seen.price_i, seen.client_id, seen.venue_id) == (6_000_000, None, "370257534141235201")


def test_the_recorded_swap_order_is_read_in_base_units():
    """[venue] 0.03 contracts of 0.01 BTC are 0.0003 BTC; its fee is the order's, as one trade filled it."""
    fill, seen = _frame(ORDERS[2])
    assert (fill.size_i, fill.price, fill.fee, fill.is_maker) == (3, Decimal("103698.9"), Decimal("0.021776769"), True)
    assert (fill.trade_id, fill.engine_us) == ("1518905529", 1_746_947_317_402_000)
    assert (seen.symbol, seen.status, seen.size_i, seen.filled_i, seen.price_i) == (
        *("BTC-USDT-SWAP", Status.FILLED, 3, 3, None),
    )


def test_the_recorded_part_of_an_ioc_order_is_partially_filled():
    """[venue] 0.02 of 0.05 BTC taken."""
    fill, seen = _frame(ORDERS[3])
    assert (fill.size_i, fill.is_maker, fill.fee) == (2_000_000, False, Decimal("0.1002"))
    assert (seen.status, seen.size_i, seen.filled_i) == (Status.PARTIALLY_FILLED, 5_000_000, 2_000_000)


def test_a_trade_whose_own_fee_is_not_told_is_left_to_rest():
    """[ours] The order's total is not this trade's: the state is told, the trade comes by look-up."""
    (seen,) = _frame(_changed(ORDERS[3], accFillSz="0.03"))
    assert (type(seen), seen.filled_i) == (OrderSeen, 3_000_000)


@pytest.mark.parametrize("fields", [{"tradeId": "", "fillSz": "0"}, {"tradeId": "0"}, {"fillSz": "0"}], ids=str)
def test_a_filled_message_without_a_trade_is_an_end_and_no_fill(fields):
    """[venue] Spot market orders may end so."""
    (seen,) = _frame(_changed(ORDERS[0], **fields))
    assert seen.status is Status.FILLED


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"state": "canceled", "cancelSource": "31"}, Status.FAILED, "POST_ONLY_WOULD_CROSS"),
        (
            {"state": "canceled", "cancelSource": "31", "accFillSz": "0.001"},
            Status.CANCELLED,
            "POST_ONLY_WOULD_CROSS",
        ),
        ({"state": "canceled", "cancelSource": "1"}, Status.CANCELLED, ""),
        ({"state": "canceled", "cancelSource": ""}, Status.CANCELLED, ""),
        ({"state": "canceled", "cancelSource": "27"}, Status.CANCELLED, "PRICE_BAND"),
        ({"state": "mmp_canceled"}, Status.CANCELLED, ""),
    ],
    ids=str,
)
def test_an_end_says_why(fields, status, code):
    """[venue] Source 31 with nothing filled: it never lived."""
    (seen,) = _frame(_changed(ORDERS[1], **fields))
    assert (seen.status, seen.code) == (status, code)


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("42", 42),
        ("4294967295", 4294967295),
        ("4294967296", None),
        ("042", None),
        ("", None),
        ("4a", None),
        ("٤", None),
    ],
)
def test_only_ids_that_we_give_are_ours(text, ours):
    """[ours] Plain numbers in our range."""
    (seen,) = _frame(_changed(ORDERS[1], clOrdId=text))
    assert seen.client_id == ours


def test_orders_in_markets_that_we_do_not_know_are_nobodys():
    """[ours] The channel tells of every kind of instrument."""
    assert _frame(_changed(ORDERS[0], instId="BTC-USD-250926")) == []


def test_one_row_that_cannot_be_read_costs_no_other():
    """[ours] It is recorded, and the rest is heard."""
    message = json.loads(ORDERS[1])
    message["data"].insert(0, message["data"][0] | {"sz": "NaN"})
    unreadable, seen = _frame(json.dumps(message))
    assert (type(unreadable), type(seen)) == (Unreadable, OrderSeen)


def test_the_recorded_positions_of_the_stream_are_read():
    """[venue] A dated future is not ours; one contract of XRP is 100 coins."""
    future, swap = lines("ws_positions.jsonl")
    assert _frame(future) == []
    (seen,) = _frame(swap)
    assert seen == PositionSeen(
        symbol="XRP-USDT-SWAP",
        quantity=Decimal(100),
        entry_price=Decimal("0.52668"),
        mark_price=Decimal("0.52692"),
        engine_us=1_693_151_444_408_000,
    )
    (flat,) = _frame(_changed(swap, pos="0", avgPx=""))
    assert (flat.quantity, flat.entry_price) == (0, None)


def test_the_recorded_accounts_of_the_stream_are_read():
    """[venue] Every coin's balance, and the margin of the settlement coin."""
    snapshot, update = lines("ws_account.jsonl")
    usdt, margin = _frame(snapshot)
    assert usdt == BalanceSeen(
        asset="USDT",
        free=Decimal("4734.371190691436"),
        total=Decimal("4750.426970691436"),
        engine_us=1_705_564_213_903_000,
    )
    assert (margin.balance, margin.available) == (Decimal("4892.951170691435"), Decimal("4734.371190691435"))
    *coins, told = _frame(update)
    assert [(coin.asset, coin.total) for coin in coins] == [
        ("USDT", Decimal("100.52768569797846")),
        ("BTC", Decimal("0.0000000051")),
        ("ETH", Decimal("0.000000185")),
    ]
    assert (type(told), told.available) == (MarginSeen, Decimal("100.52768569797846"))


def test_the_recorded_best_prices_are_read():
    """[venue] bbo-tbt; the sequence is the engine's time, as maintenance may set seqId back."""
    swap, spot = lines("ws_market_data.jsonl")[2], lines("ws_market_data.jsonl")[4]
    assert _frame(swap) == (
        BookSeen(
            symbol="BCH-USDT-SWAP", bid_i=11105, ask_i=11106, seq=1_670_324_386_802, engine_us=1_670_324_386_802_000
        ),
    )
    # The example is older than the market's tick of today, so its prices lie off today's grid.
    assert isinstance(_frame(spot)[0], Unreadable)
    finer = {"BTC-USDT": msgspec.structs.replace(MARKETS["BTC-USDT"], price_decimals=2)}
    (seen,) = decode.frame(spot, finer, set())
    assert (seen.bid_i, seen.ask_i, seen.engine_us) == (847_697, 847_698, 1_597_026_383_085_000)


def test_channels_that_we_do_not_ask_for_say_nothing():
    """[ours] Books, tickers, instruments and the channel of balances and positions."""
    data = lines("ws_market_data.jsonl")
    for line in (data[0], data[1], data[3], data[5], *lines("ws_balance_and_position.jsonl")):
        assert _frame(line) == []


def test_the_recorded_control_messages_are_read():
    """[venue] Login, its refusal, subscriptions, the notice before a restart, connection counts."""
    login, refused, ticker, notice, count, too_many, orders, family, invalid = lines("ws_control.jsonl")
    assert _frame(login) == (LineReady(stage="login"),)
    (told,) = _frame(refused)
    assert (type(told), told.code) == (LineRefused, "AUTH")
    assert "60009" in told.hint
    assert _frame(ticker, ["tickers:BTC-USDT"]) == (LineReady(stage="subscribed"),)
    assert _frame(notice)[0].code == "VENUE_UNAVAILABLE"
    assert _frame(count) == ()
    assert _frame(too_many)[0].code == "RATE_LIMITED"
    assert _frame(orders, ["orders:BTC-USD-200329", "account:"]) == ()
    assert _frame(family, ["other:"]) == ()
    # It has an id, and our subscriptions have none: so it answers an order.
    assert _frame(invalid) == (Answered(request_id="1512", status=200, body=invalid.encode()),)


def test_a_refused_frame_that_is_repeated_back_is_not_passed_on():
    """[ours] 60012 quotes the request, and a login has the passphrase in it."""
    quoted = json.dumps({"op": "login", "args": [{"apiKey": "k-1", "passphrase": "p-2", "sign": "s-3"}]})
    (told,) = _frame(json.dumps({"event": "error", "code": "60012", "msg": f"Illegal request: {quoted}"}))
    assert (type(told), told.code, "60012" in told.hint) == (LineRefused, "REFUSED", True)
    assert not any(secret in repr(told) for secret in ("k-1", "p-2", "s-3"))


def test_a_line_is_ready_when_the_last_of_its_subscriptions_is_confirmed():
    """[venue] One confirmation for each argument, in any order, maybe twice."""
    awaited = {"orders:", "account:"}
    ack = {"event": "subscribe", "connId": "x"}
    events = []
    for channel in ("account", "account", "orders", "orders"):
        told = json.dumps({**ack, "arg": {"channel": channel}})
        events.append(decode.frame(told, MARKETS, awaited))
    assert events == [(), (), (LineReady(stage="subscribed"),), ()]


def test_every_recorded_answer_to_an_order_finds_its_request():
    """[venue] By id; the body is the message itself."""
    for line in lines("ws_order_ops.jsonl"):
        message = json.loads(line)
        assert _frame(line) == (Answered(request_id=message["id"], status=200, body=line.encode()),)


def test_the_text_pong_is_no_event():
    """[venue] Keep-alive is a text, not JSON and not a control frame."""
    assert (_frame("pong"), _frame(b"pong")) == ((), ())


@pytest.mark.parametrize(
    "data",
    [
        "",
        "ping",
        "{}",
        "[]",
        '{"data":[]}',
        '{"arg":{"channel":"bbo-tbt","instId":"X"},"data":[]}',
        "\ud800",
        "[" * 99_999,
    ],
    ids=lambda data: repr(data[:20]),
)
def test_what_cannot_be_read_on_the_stream_is_recorded_and_survived(data):
    """[ours] Bytes from outside are never trusted."""
    (seen,) = _frame(data)
    assert isinstance(seen, Unreadable)
    seen.text.encode()
    assert len(seen.text) <= 500


ODD = st.sampled_from(
    [None, True, -1, 0, 1.5, float("nan"), float("inf"), 10**40, "", "NaN", "Infinity", "-0", "1e-40", "1e400",
     "9" * 60, "9" * 100, "0x10", "\u0661", "💥", "\x00", [], {}, [[]], {"a": {"b": []}}]
)  # fmt: skip


@given(st.sampled_from([line for line in FRAMES if '"data":[{' in line]), st.data())
def test_no_mutated_message_of_okx_gets_out_as_an_exception(line, data):
    """[ours] Fields dropped, retyped or huge: events come out, each with sound numbers."""
    message = json.loads(line)
    row = message["data"][0]
    for name in data.draw(st.lists(st.sampled_from(sorted(row)), min_size=1, max_size=4, unique=True)):
        if data.draw(st.booleans()):
            del row[name]
        else:
            row[name] = data.draw(ODD)
    for event in _frame(json.dumps(message)):
        if isinstance(event, OrderSeen):
            assert event.size_i >= 0
            assert event.filled_i >= 0
        if isinstance(event, FillSeen):
            assert event.size_i > 0
            assert event.price.is_finite()
        if isinstance(event, PositionSeen):
            assert event.quantity.is_finite()
        repr(event)


@given(st.sampled_from(FRAMES), st.integers(0, 600), st.binary(max_size=6))
def test_no_damaged_bytes_of_okx_get_out_as_an_exception(line, at, junk):
    """[ours] Cut, overwritten and invalid UTF-8."""
    raw = line.encode()
    for damaged in (raw[:at] + junk + raw[at + len(junk) :], raw[:at], raw + junk):
        for event in _frame(damaged):
            repr(event)


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_no_noise_on_okx_streams_gets_out_as_an_exception(noise):
    """[ours] Text with lone surrogates included."""
    _frame(noise)
    _frame(noise + "\udcff" if isinstance(noise, str) else noise + b"\xff")
