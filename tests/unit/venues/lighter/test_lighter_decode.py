"""Every recorded payload of Lighter through the decoder, and what it does with broken ones."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.venues.lighter.payloads import body, load, needed, numbers
from venues.errors import WireError
from venues.events import (
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
from venues.lighter import decode

pytestmark = needed
MARKETS = numbers() if load("markets.json") else {}
PRIVATE, PUBLIC, ERRORS = load("ws_private.jsonl"), load("ws_public.jsonl"), load("ws_errors.jsonl")


def frame(value, account=1234):
    return decode.frame(json.dumps(value), MARKETS, account)


# -- the stream


def test_the_recorded_order_update_is_a_part_filled_ask():
    """[venue] account_orders: open with a fill is PARTIALLY_FILLED; updated_at in milliseconds beats the birth."""
    (seen,) = frame(PRIVATE[0])
    assert seen == OrderSeen(
        symbol="ETH",
        client_id=42,
        venue_id="281476929510110",
        status=Status.PARTIALLY_FILLED,
        is_ask=True,
        size_i=50,
        filled_i=20,
        price_i=235274,
        engine_us=1777941383900000,
    )


def test_the_recorded_positions_are_the_whole_truth():
    """[venue] account_all_positions: sign times size, entry price."""
    (seen,) = frame(PRIVATE[1])
    assert seen.positions == {0: PositionSeen(symbol="ETH", quantity=Decimal("1.5000"), entry_price=Decimal("2350.10"))}


def test_the_recorded_trade_is_ours_as_the_buyer_who_took():
    """[venue] account_all_trades: our side by account id, taker fee in millionths of the value."""
    (fill,) = frame(PRIVATE[2])
    assert fill == FillSeen(
        symbol="ETH",
        trade_id="19209006902",
        client_id=7001011966,
        venue_id="562947905631053",
        is_ask=False,
        size_i=1336,
        price=Decimal("2352.73"),
        fee=Decimal("314.324728") * 196 / 1_000_000,
        fee_asset="USDC",
        is_maker=False,
        engine_us=1777941384181586,
    )
    (other,) = frame(PRIVATE[2], account=91249)
    told = (other.is_ask, other.is_maker, other.client_id, other.fee)
    assert told == (True, True, None, Decimal("314.324728") * 28 / 1_000_000)
    assert frame(PRIVATE[2], account=5) == []


def test_the_recorded_wallet_and_statistics():
    """[venue] account_all_assets is the spot wallet, user_stats the margin; a subscribed frame confirms the line."""
    balance, ready = frame(PRIVATE[3])
    assert balance == BalanceSeen(asset="USDC", free=Decimal(10), total=Decimal("10.000000"))
    assert ready == LineReady(stage="subscribed")
    (margin,) = frame(PRIVATE[4])
    assert margin == MarginSeen(balance=Decimal("39.995169"), available=Decimal("39.168314"))


def test_the_recorded_market_frame_has_a_list_of_orders():
    """[venue] account_market: orders as a list, post_only with an underscore, no times at all."""
    seen, ready = frame(PRIVATE[5], account=411813)
    assert isinstance(ready, LineReady)
    assert (seen.symbol, seen.client_id, seen.venue_id) == ("SOL", 439059755024, "1125898835217581")
    assert (seen.status, seen.size_i, seen.price_i, seen.engine_us) == (Status.OPEN, 150, 73991, 0)


@pytest.mark.parametrize("place", [0, 1, 2, 4, 5, 7, 8])
def test_public_frames_that_we_do_not_follow_say_nothing(place):
    """[venue] Greeting, order books, statistics, public trades, pong."""
    assert frame(PUBLIC[place]) == ()


def test_the_recorded_tickers_are_the_top_of_the_book():
    """[venue] ETH and SOL; nonce orders them, last_updated_at is microseconds."""
    assert frame(PUBLIC[3]) == (
        BookSeen(symbol="ETH", bid_i=200000, ask_i=232500, seq=904895, engine_us=1778138260508118),
    )
    assert frame(PUBLIC[6]) == (
        BookSeen(symbol="SOL", bid_i=75511, ask_i=75515, seq=19250278871, engine_us=1786770759112163),
    )


@pytest.mark.parametrize("empty", ["", {"price": "", "size": ""}])
def test_an_empty_side_of_a_ticker_is_none(empty):
    """[venue] The sheet has an empty text; both likely shapes count."""
    changed = json.loads(json.dumps(PUBLIC[6]))
    changed["ticker"]["a"] = empty
    (book,) = frame(changed)
    assert (book.bid_i, book.ask_i) == (75511, None)


def test_the_recorded_errors():
    """[venue] 30005 refuses the line; 30003 is harmless: we are subscribed."""
    (refused,) = frame(ERRORS[0])
    assert isinstance(refused, LineRefused)
    assert (refused.code, "30005" in refused.hint) == ("REFUSED", True)
    assert frame(ERRORS[1]) == ()


def test_a_bad_token_is_auth():
    """[gap] The exact code is not documented; the family 20xxx is."""
    (refused,) = frame({"error": {"code": 20013, "message": "invalid auth"}})
    assert refused.code == "AUTH"


def test_answers_to_transactions_are_told_with_whatever_names_them():
    """[venue] Both modelled frames; id or hash may stand at the top or under data; a bare error names nothing."""
    recorded = load("send_tx.json")
    (yes,) = frame(recorded["ws_ok_as_modelled_by_nautilus_test_server"])
    assert (yes.request_id, yes.tx_hash, yes.code) == ("", "", 200)
    (no,) = frame(recorded["ws_refused_as_modelled_by_nautilus_test_server"])
    assert no.code == 21702
    (named,) = frame({"type": "jsonapi/sendtx", "data": {"id": "rt-1", "code": 200, "tx_hash": "ab"}})
    assert (named.request_id, named.tx_hash, named.code) == ("rt-1", "ab", 200)
    (bare,) = frame({"error": {"code": 21104, "message": "invalid nonce"}})
    assert (bare.request_id, bare.code) == ("", 21104)


def test_unknown_markets_are_left_out_and_unknown_states_are_told():
    """[ours] A new listing costs nothing; a new state is Unreadable, never a guess."""
    stranger = json.loads(json.dumps(PRIVATE[0]).replace('"market_index": 0', '"market_index": 77'))
    assert frame(stranger) == []
    odd = json.loads(json.dumps(PRIVATE[0]).replace('"open"', '"half-open"'))
    (told,) = frame(odd)
    assert isinstance(told, Unreadable)
    working = json.loads(json.dumps(PRIVATE[0]).replace('"open"', '"in-progress"'))
    assert frame(working) == []


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_the_decoder_never_raises_on_mutated_frames(data):
    """[ours] Cut, spliced and edited real frames give events or Unreadable, nothing else."""
    text = json.dumps(data.draw(st.sampled_from([*PRIVATE, *PUBLIC, *ERRORS])))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 30)))
        piece = data.draw(st.sampled_from(["", "null", "[]", "{}", '"', "-1", "1e400", "9" * 40, "\ud800", "[" * 2000]))
        text = text[:start] + piece + text[end:]
    for event in decode.frame(text, MARKETS, 1234):
        assert not isinstance(event, Exception)
    decode.frame(text.encode(errors="replace"), MARKETS, 1234)


# -- REST


def test_the_recorded_order_list_and_its_cursor():
    """[venue] accountInactiveOrders: one open order and the cursor of the next page."""
    rows, cursor = decode.order_page(body(load("orders_rest.json")))
    assert cursor == "cursor-1"
    seen = decode.order(rows[0], MARKETS)
    assert (seen.client_id, seen.status, seen.source) == (42, Status.OPEN, Source.REST)
    assert seen.engine_us == 1777941383576735


def test_an_order_that_the_sequencer_rejected_has_failed():
    """[venue] canceled-margin-not-allowed, unfilled: FAILED for margin; over REST its time is not trusted."""
    (seen,) = [
        decode.order(decode.order_page(body({"orders": [load("order_rejected_at_sequencer.json")]}))[0][0], MARKETS)
    ]
    assert (seen.status, seen.code, seen.reason) == (
        Status.FAILED,
        "INSUFFICIENT_MARGIN",
        "canceled-margin-not-allowed",
    )
    assert (seen.client_id, seen.price_i, seen.size_i, seen.engine_us) == (None, None, 360386, 0)


@pytest.mark.parametrize(
    ("status", "filled", "wanted", "code"),
    [
        ("filled", "0.0050", Status.FILLED, ""),
        ("pending", "0.0000", Status.OPEN, ""),
        ("canceled", "0.0000", Status.CANCELLED, ""),
        ("canceled", "0.0020", Status.CANCELLED, ""),
        ("canceled-post-only", "0.0000", Status.FAILED, "POST_ONLY_WOULD_CROSS"),
        ("canceled-reduce-only", "0.0000", Status.FAILED, "REDUCE_ONLY"),
        ("canceled-reduce-only", "0.0020", Status.CANCELLED, "REDUCE_ONLY"),
        ("canceled-position-not-allowed", "0.0000", Status.FAILED, "REDUCE_ONLY"),
        ("canceled-invalid-balance", "0.0000", Status.FAILED, "INSUFFICIENT_MARGIN"),
        ("canceled-too-much-slippage", "0.0000", Status.CANCELLED, "PRICE_BAND"),
        ("canceled-not-enough-liquidity", "0.0000", Status.CANCELLED, ""),
        ("canceled-expired", "0.0000", Status.CANCELLED, ""),
        ("canceled-self-trade", "0.0000", Status.CANCELLED, ""),
    ],
)
def test_each_end_of_an_order_becomes_our_state(status, filled, wanted, code):
    """[venue] The sheet's table of states; whatever the word, an order that traded was live."""
    row = dict(load("orders_rest.json")["orders"][0], status=status, filled_base_amount=filled)
    seen = decode.order(decode.order_page(body({"orders": [row]}))[0][0], MARKETS)
    assert (seen.status, seen.code) == (wanted, code)


def test_the_recorded_accounts():
    """[venue] A flat row is no position; a short one is negative; equity and what is free."""
    recorded = load("account_rest.json")
    assert decode.positions(body(recorded["empty"]), MARKETS) == ()
    assert decode.margin(body(recorded["empty"])).balance == 0
    assert decode.balances(body(recorded["empty"])) == (
        BalanceSeen(asset="USDC", free=Decimal(0), total=Decimal(0), source=Source.REST),
    )
    held = decode.positions(body(recorded["with_positions_trimmed"]), MARKETS)
    assert [(each.symbol, each.quantity, each.entry_price) for each in held] == [
        ("BTC", Decimal("3.87333"), Decimal("64969.5")),
        ("SUI", Decimal("-1382.1"), Decimal("0.75987")),
    ]
    assert decode.margin(body(recorded["with_positions_trimmed"])) == MarginSeen(
        balance=Decimal("1837610.4619429999"), available=Decimal("1753357.208845"), source=Source.REST
    )


def test_the_recorded_book_and_nonce():
    """[venue] The best of single orders on each side; the next nonce."""
    book = decode.top_of_book(body(load("order_book_rest.json")), MARKETS[0])
    assert (book.bid_i, book.ask_i, book.source) == (236117, 236132, Source.REST)
    assert decode.next_nonce(body(load("next_nonce.json"))) == 1234567890


def test_times_of_either_unit_are_told_apart():
    """[venue] Seconds in one recorded row, milliseconds in the other, microseconds of the engine."""
    row = load("orders_rest.json")["orders"][0]
    for updated, wanted in ((1777941390, 1777941390_000_000), (1777941390_000, 1777941390_000_000)):
        changed = dict(row, updated_at=updated, transaction_time=5)
        assert decode.order(decode.order_page(body({"orders": [changed]}))[0][0], MARKETS).engine_us == wanted
    assert decode.server_time(b'{"status":200,"network_id":1,"timestamp":1717777777}') == 1717777777500


def test_a_trade_with_ourselves_is_two_fills():
    """[ours] Both account ids are ours: one fill for each order."""
    row = dict(PRIVATE[2]["trades"]["0"][0], ask_account_id=1234, ask_client_id=9)
    rows, _ = decode.trade_page(body({"trades": [row]}))
    assert [(each.client_id, each.is_ask, each.is_maker) for each in decode.fills(rows, MARKETS, 1234)] == [
        (9, True, True),
        (7001011966, False, False),
    ]


@pytest.mark.parametrize(
    "read",
    [
        decode.server_time,
        decode.next_nonce,
        decode.order_page,
        decode.trade_page,
        decode.margin,
        decode.balances,
        lambda raw: decode.positions(raw, MARKETS),
        lambda raw: decode.public_key(raw, 5),
        lambda raw: decode.top_of_book(raw, MARKETS[0]),
    ],
)
@pytest.mark.parametrize("raw", [b"", b"[]", b'{"accounts":[]}', b"{", b"<html>", b"[" * 100_000])
def test_an_answer_of_another_shape_is_a_wire_error(read, raw):
    """[ours] Never another exception, never a guess."""
    with pytest.raises(WireError):
        read(raw)
