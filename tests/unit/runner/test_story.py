"""From live objects to the outcome's words: round trips, fees, slippage, logs that replay."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from execution.markets import Market
from execution.order import Deed, Intent, Order
from execution.timeline import Timelines
from execution.tracking_limit import Attempt, Reason, TrackingLimit, TrackingResult
from runner.story import log_faults, proof_words, round_trips, tell_fees, tell_order, tell_tracking
from strategy.trading import Proof
from venues.events import FillSeen, MarketFacts, OrderSeen, Status

FACTS = {"base": "SOL", "quote": "USDC", "price_decimals": 2, "size_decimals": 2, "tick_i": 1, "lot_i": 1}
PERP = Market("v", "SOL", MarketFacts(symbol="SOL-P", kind="perp", min_size_i=1, **FACTS))
SPOT = Market("v", "SOL", MarketFacts(symbol="SOL-S", kind="spot", min_size_i=1, **FACTS))
T0 = 1_767_571_200_000


def an_order(number: int, size_i: int, *, is_ask: bool = False, market: Market = PERP, price_i: int = 14_000) -> Order:
    return Order(
        Intent(
            venue="v",
            account="v:a",
            symbol="SOL",
            market=market.kind,
            venue_symbol=market.venue_symbol,
            is_ask=is_ask,
            size_i=size_i,
            price_i=price_i,
            price_decimals=2,
            size_decimals=2,
            leg="run/v/1",
            created_ms=T0,
            expiry_ms=T0 + 5_000,
            client_id=number,
        )
    )


def filled(
    number: int,
    size_i: int,
    at: int,
    *,
    is_ask: bool = False,
    market: Market = PERP,
    fee: str = "0",
    asset: str = "USDC",
) -> Order:
    order = an_order(number, size_i, is_ask=is_ask, market=market)
    order.apply(
        FillSeen(
            symbol=market.venue_symbol,
            trade_id=f"t{number}",
            client_id=number,
            venue_id=f"o{number}",
            is_ask=is_ask,
            size_i=size_i,
            price=Decimal(140),
            fee=Decimal(fee),
            fee_asset=asset,
            engine_us=(T0 + at) * 1000,
        ),
        T0 + at,
    )
    return order


@pytest.mark.parametrize(
    ("sizes", "trips"),
    [
        ([], 0),
        ([10], 0),
        ([10, -10], 1),
        ([-10, 10], 1),
        ([10, 10, -20], 1),
        ([10, -4, -6], 1),
        ([10, -10, 10, -10], 2),
        ([10, -20, 10], 1),
        ([10, -9], 0),
    ],
)
def test_round_trips_are_counted_by_the_way_back_to_flat(sizes, trips):
    """[client] Away from zero and back is one, by the engine's order of our own trades, whatever order they came in."""
    orders = [filled(n, abs(size), n, is_ask=size < 0) for n, size in enumerate(sizes, 1)]
    assert round_trips(orders, PERP) == trips
    assert round_trips(list(reversed(orders)), PERP) == trips
    assert round_trips(orders, SPOT) == 0


def test_on_spot_what_the_fee_takes_counts_and_dust_is_flat():
    """[venue] 1.00 bought less 0.001 fee, 0.99 sold: 0.009 is less than a lot, so it is a round trip."""
    bought = filled(1, 100, 1, market=SPOT, fee="0.001", asset="SOL")
    assert round_trips([bought, filled(2, 99, 2, is_ask=True, market=SPOT)], SPOT) == 1
    assert round_trips([bought, filled(2, 90, 2, is_ask=True, market=SPOT)], SPOT) == 0


def test_fees_add_up_by_asset_and_rebates_lower_them():
    """[client] Plain decimal text for each asset."""
    orders = [filled(1, 10, 1, fee="0.5"), filled(2, 10, 2, fee="-0.2"), filled(3, 10, 3, fee="0.001", asset="SOL")]
    assert tell_fees(orders) == {"USDC": "0.3", "SOL": "0.001"}


def test_an_orders_story_has_every_move_with_its_source():
    """[client] Sent, acknowledged, filled: times, states, causes; the timeline's file name."""
    order = an_order(7, 10)
    order.apply(Deed(kind="sent"), T0)
    order.apply(Deed(kind="acked", venue_id="o7"), T0 + 5)
    order.apply(filled(7, 10, 9).history[0].input, T0 + 9)
    told = tell_order(order, Timelines(None))
    assert [(move.from_, move.to, move.source) for move in told.history] == [
        ("SUBMITTING", "SUBMITTING", "local"),
        ("SUBMITTING", "OPEN", "local"),
        ("OPEN", "FILLED", "ws"),
    ]
    assert (told.kind, told.side, told.size, told.price, told.filled) == ("limit", "buy", "0.1", "140", "0.1")
    assert (told.sent_ms, told.ack_ms, told.timeline_file) == (T0, T0 + 5, "")
    (trade,) = told.fills
    assert (trade.size, trade.price, trade.ts_ms, trade.late) == ("0.1", "140", T0 + 9, False)
    # Its end was never settled: the report must not call it certain.
    assert told.in_doubt


@pytest.mark.parametrize(("is_ask", "bps"), [(False, "-14.29"), (True, "14.29")])
def test_slippage_is_positive_when_it_costs_us(is_ask, bps):
    """[client] Against the mid at the start: buying below it is a gain, selling below it a cost."""
    result = TrackingResult(TrackingLimit(is_ask=is_ask, quantity_i=10, leg="run/v/1"), PERP, reason=Reason.FILLED)
    order = filled(1, 10, 1, is_ask=is_ask)
    result.attempts = [Attempt(1, order, T0, T0 + 9, "FILLED")]
    result.mid_at_start = Decimal("140.2003")
    told = tell_tracking(result)
    assert told.slippage_bps == bps
    assert (told.price_sequence, told.average_price, told.filled) == (("140",), "140", "0.1")


def timelines_of(tmp_path: Path, *orders: Order) -> Timelines:
    timelines = Timelines(tmp_path)
    for order in orders:
        timelines.begin(order)
        for entry in order.history:
            timelines.add(order, entry)
    timelines.close_all()
    return timelines


def test_logs_are_complete_when_each_timeline_replays_to_its_end(tmp_path: Path):
    """[ours] Nothing to complain of for two orders that were written as they went."""
    orders = [filled(1, 10, 1), filled(2, 10, 2, is_ask=True)]
    assert log_faults(orders, timelines_of(tmp_path, *orders)) == []


def test_a_missing_cut_or_foreign_timeline_is_a_fault(tmp_path: Path):
    """[ours] Deleted, without its last line, or with garbage: named by file, never an exception."""
    orders = [filled(n, 10, n) for n in (1, 2, 3)]
    timelines = timelines_of(tmp_path, *orders)
    missing, cut, broken = [timelines.path(order) for order in orders]
    missing.unlink()
    cut.write_bytes(b"".join(cut.read_bytes().splitlines(keepends=True)[:-1]))
    broken.write_bytes(b"garbage\n")
    faults = log_faults(orders, timelines)
    assert [fault.partition(":")[0] for fault in faults] == [missing.name, cut.name, broken.name]
    assert log_faults(orders, Timelines(None)) == ["order timelines are switched off"]
    timelines.failures.append("x.jsonl: No space left on device")
    assert "No space left" in log_faults([], timelines)[0]


def test_a_timeline_that_tells_another_end_is_a_fault(tmp_path: Path):
    """[ours] The file says FILLED, the order was changed after it: told as such."""
    order = filled(1, 10, 1)
    timelines = timelines_of(tmp_path, order)
    late = OrderSeen(
        symbol="SOL-P", client_id=1, venue_id="o1", status=Status.FILLED, is_ask=False, size_i=10, filled_i=11
    )
    order.apply(late, T0 + 20)
    assert len(log_faults([order], timelines)) == 1


def test_a_proof_is_one_sentence():
    """[client] Quantity and open orders as the venue reads them; dust is called dust."""
    proof = Proof(read_ms=T0, quantity=Decimal("0.004"), expected=Decimal(0), open_orders=0, unsettled=0,
                  lot=Decimal("0.01"), kind="spot")  # fmt: skip
    assert proof_words(proof, "SOL") == "the exchange reads 0.004 SOL, 0 open orders (dust: too small to be traded)"
    assert proof.proves_flat
