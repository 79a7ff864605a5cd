"""The order model: its table of moves, its two flags, and what can never happen to quantity."""

from __future__ import annotations

import itertools
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.order import MOVES, TERMINAL, Cause, Deed, Order, State, encode_entry, encode_intent, replay
from tests.unit.execution.desk import an_intent
from tests.unit.execution.venue_double import SOL
from venues.events import FillSeen, OrderSeen, Source, Status

ROOT = Path(__file__).resolve().parents[3]
WORD = {
    Cause.ACCEPT: Status.OPEN,
    Cause.FILL_PART: Status.PARTIALLY_FILLED,
    Cause.FILL_REST: Status.FILLED,
    Cause.CANCEL: Status.CANCELLED,
    Cause.REJECT: Status.FAILED,
}


def seen(status: Status, filled_i: int = 0, engine_us: int = 0, **wanted: object) -> OrderSeen:
    base = {
        "symbol": SOL.symbol, "client_id": 7, "venue_id": "V1", "status": status, "is_ask": False, "size_i": 100,
        "filled_i": filled_i, "engine_us": engine_us,
    }  # fmt: skip
    return OrderSeen(**{**base, **wanted})


def trade(trade_id: str, size_i: int, engine_us: int = 0, price: str = "140.00", **wanted: object) -> FillSeen:
    base = {
        "symbol": SOL.symbol, "trade_id": trade_id, "client_id": 7, "venue_id": "V1", "is_ask": False,
        "size_i": size_i, "price": Decimal(price), "fee": Decimal("0.02"), "fee_asset": "USDC",
        "engine_us": engine_us,
    }  # fmt: skip
    return FillSeen(**{**base, **wanted})


def order_of(*inputs: object, **wanted: object) -> Order:
    order = Order(an_intent(**wanted))
    for number, each in enumerate(inputs):
        order.apply(each, 1_000 + number)
    return order


SENT = Deed(kind="sent")
INTO = {
    State.SUBMITTING: (SENT,),
    State.OPEN: (SENT, seen(Status.OPEN)),
    State.PARTIALLY_FILLED: (SENT, seen(Status.PARTIALLY_FILLED, 40), trade("T1", 40)),
    State.FILLED: (SENT, trade("T1", 100)),
    State.CANCELLED: (SENT, seen(Status.CANCELLED, 40), trade("T1", 40)),
    State.FAILED: (SENT, Deed(kind="refused", code="REFUSED", text="no")),
}
FILLED_BY = {Cause.FILL_PART: 60, Cause.FILL_REST: 100}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("cause", Cause)
def test_every_pair_of_state_and_cause_does_what_the_table_says_and_is_recorded(state, cause):
    """[ours] DESIGN 3: moves are one table; unknown moves are refused and recorded."""
    order = order_of(*INTO[state])
    assert order.state is state
    lines = len(order.history)
    word = seen(WORD[cause], FILLED_BY.get(cause, order.filled_i))
    entry = order.apply(word, 2_000)
    # An OPEN word about an order with fills is read as "still partly filled".
    effective = Cause.FILL_PART if cause is Cause.ACCEPT and order.filled_i else cause
    if cause in (Cause.CANCEL, Cause.REJECT) and order.filled_i == 100:
        effective = Cause.FILL_REST
    assert order.state is MOVES.get((state, effective), state)
    assert len(order.history) == lines + 1
    assert (entry.before, entry.after, entry.input) == (state, order.state, word)
    if (state, effective) not in MOVES:
        assert entry.cause in ("repeat", "refused_move")
        assert order.state is state


def test_the_table_lets_nothing_out_of_a_terminal_state_but_a_late_fill():
    """[ours] A terminal state never reopens; CANCELLED → FILLED is the single way on."""
    out = {pair: after for pair, after in MOVES.items() if pair[0] in TERMINAL}
    assert out == {
        (State.CANCELLED, Cause.FILL_PART): State.CANCELLED,
        (State.CANCELLED, Cause.FILL_REST): State.FILLED,
    }
    assert all(pair[0] is State.SUBMITTING for pair, after in MOVES.items() if after is State.FAILED)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_an_ended_order_that_is_said_to_be_open_stays_ended(state):
    """[ours] A word from before the end changes nothing and is a repeat, not a breach."""
    order = order_of(*INTO[state])
    entry = order.apply(seen(Status.OPEN), 9)
    assert (order.state, entry.alarm) == (state, "")
    assert entry.cause == ("fill_part" if order.filled_i and state is State.CANCELLED else "repeat")


def test_a_cancel_told_after_a_full_fill_is_refused_without_losing_the_fill():
    """[ours] The rest was traded; a cancel word cannot undo it."""
    order = order_of(SENT, trade("T1", 100), seen(Status.CANCELLED, 100))
    assert (order.state, order.filled_i) == (State.FILLED, 100)


def test_a_late_fill_turns_cancelled_into_filled_with_an_alarm():
    """[ours] DESIGN 3: a late fill raises the quantity and an alarm and is never dropped."""
    order = order_of(SENT, seen(Status.OPEN), seen(Status.CANCELLED, 0))
    part = order.apply(trade("T1", 30), 5)
    assert (order.state, part.alarm, order.filled_i) == (State.CANCELLED, "LATE_FILL", 30)
    rest = order.apply(trade("T2", 70), 6)
    assert (order.state, rest.alarm, order.filled_i) == (State.FILLED, "LATE_FILL", 100)
    assert order.late == {"T1", "T2"}


def test_a_fill_of_a_refused_order_is_counted_and_alarmed_but_the_state_stays():
    """[ours] FAILED never reopens, and still no unit may vanish."""
    order = order_of(*INTO[State.FAILED])
    entry = order.apply(trade("T1", 100), 5)
    assert (order.state, entry.alarm, entry.cause, order.filled_i) == (
        State.FAILED, "LATE_FILL", "refused_move", 100,
    )  # fmt: skip


@pytest.mark.parametrize("surplus", [trade("T2", 10), seen(Status.FILLED, 110)])
def test_more_than_was_ordered_is_counted_and_raises_an_overfill_alarm(surplus):
    """[ours] Refusing to book a fill does not prevent an overfill, it hides one."""
    order = order_of(SENT, trade("T1", 100))
    entry = order.apply(surplus, 5)
    assert (entry.alarm, order.filled_i, order.state) == ("OVERFILL", 110, State.FILLED)


def test_a_trade_told_twice_counts_once():
    """[venue] Streams and REST tell the same trade; its id names it for good."""
    order = order_of(SENT, trade("T1", 40), trade("T1", 40), trade("T1", 40, source=Source.REST))
    assert (order.filled_i, order.traded_i) == (40, 40)
    assert [e.cause for e in order.history][-2:] == ["duplicate_fill", "duplicate_fill"]


@pytest.mark.parametrize("turn", list(itertools.permutations(range(4))))
def test_any_order_of_trades_and_cumulative_words_gives_the_same_sum(turn):
    """[venue] Cumulative words and trades of one order arrive over different channels."""
    words = [trade("T1", 40, 10), seen(Status.PARTIALLY_FILLED, 40, 11), trade("T2", 60, 20),
             seen(Status.FILLED, 100, 21)]  # fmt: skip
    order = order_of(SENT, *(words[i] for i in turn))
    assert (order.state, order.filled_i, order.proven, order.alarms) == (State.FILLED, 100, True, [])


def test_an_end_is_proven_only_when_distinct_trades_back_the_venues_count():
    """[ours] DESIGN 4: settled means the deduplicated sum of trades equals the cumulative."""
    order = order_of(SENT, seen(Status.CANCELLED, 40))
    assert (order.terminal, order.filled_i, order.proven) == (True, 40, False)
    order.apply(trade("T1", 15), 1)
    assert not order.proven
    entry = order.apply(trade("T2", 25), 2)
    assert (order.proven, entry.cause, entry.alarm) == (True, "backfill", "")
    assert (order.state, order.average_price) == (State.CANCELLED, Decimal(140))


def test_an_older_word_by_engine_time_moves_nothing_back():
    """[venue] Reordered updates are stale by engine time."""
    order = order_of(SENT, seen(Status.PARTIALLY_FILLED, 40, 50))
    entry = order.apply(seen(Status.OPEN, 0, 49), 5)
    assert (order.state, order.filled_i, entry.cause) == (State.PARTIALLY_FILLED, 40, "stale")


def test_an_older_word_that_shows_more_filled_still_raises_the_quantity():
    """[ours] Quantity only grows, whatever the clock of the message says."""
    order = order_of(SENT, seen(Status.OPEN, 0, 50))
    order.apply(seen(Status.PARTIALLY_FILLED, 40, 49), 5)
    assert (order.state, order.filled_i) == (State.PARTIALLY_FILLED, 40)


def test_an_end_told_with_the_creation_time_still_ends_the_order():
    """[venue] Backpack's REST history repeats createdAt, which is older than every stream word of the order."""
    order = order_of(SENT, seen(Status.OPEN, 0, 50), trade("T1", 40, 60))
    order.apply(seen(Status.CANCELLED, 40, 50, source=Source.REST), 5)
    assert (order.state, order.proven, order.filled_i) == (State.CANCELLED, True, 40)


def test_a_rest_open_word_after_a_stream_fill_changes_nothing():
    """[ours] The stream won the race; the lagging reading carries an older engine time, or none."""
    for engine_us in (0, 10):
        order = order_of(SENT, trade("T1", 40, 50), seen(Status.PARTIALLY_FILLED, 40, 50))
        order.apply(seen(Status.OPEN, 0, engine_us, source=Source.REST), 5)
        assert (order.state, order.filled_i) == (State.PARTIALLY_FILLED, 40)


def test_a_rest_fill_before_the_stream_counts_once_when_the_stream_tells_it_again():
    """[ours] The reading won the race; the stream's trades only back it."""
    order = order_of(SENT, seen(Status.FILLED, 100, 10, source=Source.REST))
    assert (order.state, order.proven) == (State.FILLED, False)
    for each in (trade("T1", 60, 9), trade("T2", 40, 10), seen(Status.FILLED, 100, 10)):
        assert order.apply(each, 5).alarm == ""
    assert (order.filled_i, order.proven) == (100, True)


def test_a_fill_before_the_acknowledgement_finds_its_order():
    """[venue] The stream may overtake the reply to the submit."""
    order = order_of(SENT, trade("T1", 40))
    assert order.state is State.PARTIALLY_FILLED
    order.apply(Deed(kind="acked", venue_id="V1"), 5)
    assert (order.state, order.ack_ms, order.alarms) == (State.PARTIALLY_FILLED, 5, [])


@pytest.mark.parametrize("doubt", ["timed out", "HTTP 503", "unreadable answer", "line dropped"])
def test_doubt_is_a_flag_and_never_failure(doubt):
    """[ours] DESIGN 3: a timeout, a 5xx, an unreadable answer or a dropped line never means FAILED."""
    order = order_of(SENT, Deed(kind="doubt", code="IN_DOUBT", text=doubt))
    assert (order.state, order.in_doubt, order.proven) == (State.SUBMITTING, True, False)


def test_a_queued_order_is_not_alive_yet():
    """[venue] Where a yes only means that the submit waits its turn (Lighter), absence can still prove it never was."""
    order = order_of(SENT, Deed(kind="queued"))
    assert (order.state, order.seen_live, order.in_doubt) == (State.SUBMITTING, False, False)
    order.apply(Deed(kind="refused", code="IN_DOUBT"), 5)
    assert order.state is State.FAILED


@pytest.mark.parametrize("word", [seen(Status.OPEN), trade("T1", 10), Deed(kind="acked"), seen(Status.CANCELLED)])
def test_the_first_word_of_the_venue_ends_the_doubt(word):
    """[ours] in_doubt says that the fate is unclear, so a clear word clears it, and its code with it."""
    order = order_of(SENT, Deed(kind="doubt", code="IN_DOUBT", text="lost"), word)
    assert (order.in_doubt, order.code, order.reason) == (False, "", "")


def test_doubt_about_an_ended_order_is_ignored():
    """[ours] What is over cannot be in doubt."""
    order = order_of(*INTO[State.CANCELLED], Deed(kind="doubt", code="IN_DOUBT"))
    assert (order.in_doubt, order.code) == (False, "")


def test_a_refusal_of_an_order_that_the_stream_has_shown_is_doubt_with_an_alarm():
    """[ours] FAILED means proven never live, so two contradicting words cannot prove it."""
    order = order_of(SENT, seen(Status.OPEN))
    entry = order.apply(Deed(kind="refused", code="REFUSED"), 5)
    assert (order.state, order.in_doubt, entry.alarm) == (State.OPEN, True, "REFUSED_BUT_SEEN")


def test_a_refusal_that_stream_and_reply_both_tell_is_no_alarm():
    """[ours] Both say it never lived: they agree."""
    order = order_of(SENT, seen(Status.FAILED, code="POST_ONLY_WOULD_CROSS"))
    entry = order.apply(Deed(kind="refused", code="POST_ONLY_WOULD_CROSS"), 5)
    assert (order.state, order.in_doubt, entry.alarm) == (State.FAILED, False, "")
    assert order.code == "POST_ONLY_WOULD_CROSS"


def test_a_refusal_after_a_fill_does_not_fail_the_order():
    """[ours] It has traded: it cannot be "never live"."""
    order = order_of(SENT, trade("T1", 10), Deed(kind="refused", code="REFUSED"))
    assert (order.state, order.in_doubt, order.filled_i) == (State.PARTIALLY_FILLED, True, 10)


def test_an_expiry_after_the_acknowledgement_is_cancelled_not_failed():
    """[venue] Post-only at matching: the order has been live for a moment."""
    order = order_of(SENT, Deed(kind="acked", venue_id="V1"), seen(Status.FAILED, code="POST_ONLY_WOULD_CROSS"))
    assert (order.state, order.code) == (State.CANCELLED, "POST_ONLY_WOULD_CROSS")


def test_cancel_requested_is_a_flag_and_no_state():
    """[ours] DESIGN 3: a request to cancel moves nothing; neither does its acknowledgement."""
    order = order_of(SENT, seen(Status.OPEN), Deed(kind="cancel_requested"), Deed(kind="cancel_acked"))
    assert (order.state, order.cancel_requested, order.cancel_ack_ms) == (State.OPEN, True, 1_003)
    order.apply(Deed(kind="cancel_acked"), 9_999)
    assert order.cancel_ack_ms == 1_003
    order.apply(trade("T1", 100), 10_000)
    assert (order.state, order.alarms) == (State.FILLED, [])


@pytest.mark.parametrize(("filled_i", "state"), [(999_900, State.FILLED), (999_899, State.CANCELLED)])
def test_a_cancel_in_the_last_ten_thousandth_is_a_fill(filled_i, state):
    """[client] DESIGN 3: ≥ 99.99 % filled is FILLED."""
    order = order_of(SENT, seen(Status.CANCELLED, filled_i), size_i=1_000_000)
    assert order.state is state


def test_an_order_filled_but_for_a_ten_thousandth_is_not_proven_over_before_the_venue_says_so():
    """[ours] It counts as FILLED, and yet its last unit may still rest at the venue."""
    order = order_of(SENT, trade("T1", 999_950), size_i=1_000_000)
    assert (order.state, order.over, order.proven) == (State.FILLED, False, False)
    entry = order.apply(trade("T2", 50), 5)
    assert (order.state, order.over, order.proven, entry.alarm) == (State.FILLED, True, True, "")
    other = order_of(SENT, trade("T1", 999_950), seen(Status.CANCELLED, 999_950), size_i=1_000_000)
    assert (other.state, other.over, other.proven, other.alarms) == (State.FILLED, True, True, [])


def test_fees_and_average_price_are_exact():
    """[ours] Decimal all the way: no float touches money."""
    order = order_of(
        SENT, trade("T1", 30, price="140.01"), trade("T2", 70, price="140.03", fee=Decimal("-0.005")),
        trade("T3", 0, price="1", fee=Decimal("0.1"), fee_asset="SOL"),
    )  # fmt: skip
    assert order.average_price == Decimal("140.024")
    assert order.fees() == {"USDC": Decimal("0.015"), "SOL": Decimal("0.1")}
    assert order.filled == Decimal("1.00")
    assert order_of(SENT).average_price is None


def test_the_timeline_line_carries_the_fields_that_logs_are_searched_by():
    """[client] trace_id, coi, source, engine_ts, ws_seq and cancel_ack_ts in each line."""
    import json

    order = order_of(SENT, seen(Status.OPEN, seq=5), Deed(kind="cancel_acked"))
    line = json.loads(encode_entry(order, order.apply(seen(Status.CANCELLED, 0, 77, seq=6), 5)))
    assert {k: line[k] for k in ("trace_id", "coi", "source", "engine_ts", "ws_seq", "cancel_ack_ts")} == {
        "trace_id": "run/double/1", "coi": 7, "source": "ws", "engine_ts": 77, "ws_seq": 6, "cancel_ack_ts": 1_002,
    }  # fmt: skip
    assert (line["from"], line["to"], line["cause"]) == ("OPEN", "CANCELLED", "cancel")
    head = json.loads(encode_intent(order.intent))
    assert (head["kind"], head["coi"], head["trace_id"]) == ("intent", 7, "run/double/1")


def test_a_half_written_last_line_is_left_out():
    """[ours] The process died while writing; everything before still counts."""
    order = order_of(SENT, seen(Status.OPEN))
    lines = [encode_intent(order.intent), *(encode_entry(order, e) for e in order.history)]
    assert replay([*lines, encode_entry(order, order.apply(trade("T1", 100), 9))[:-9]]).state is State.OPEN


@pytest.mark.parametrize(
    "broken",
    [b"", b"{}\n", b"not json\n", b'{"kind":"deed"}\n', b'{"kind":"intent","data":{}}\n', b'{"kind":"x"}\n', b"7\n"],
)
def test_a_file_that_is_no_timeline_is_a_value_error(broken):
    """[ours] One kind of error, whatever is wrong with the file."""
    head = encode_intent(an_intent())
    with pytest.raises(ValueError):
        replay([broken])
    if broken:
        with pytest.raises(ValueError):
            replay([head, broken])


def test_an_unknown_deed_is_a_mistake_of_ours():
    """[ours] Deeds are made by our own code only."""
    with pytest.raises(ValueError, match="no such deed"):
        order_of(Deed(kind="dance"))


# -- random stories

_WORDS = st.one_of(
    st.builds(
        seen,
        st.sampled_from(Status),
        st.integers(0, 120),
        st.integers(0, 9),
        code=st.sampled_from(["", "REFUSED"]),
        source=st.sampled_from(Source),
    ),
    st.builds(trade, st.sampled_from(["T1", "T2", "T3", "T4"]), st.integers(1, 60), st.integers(0, 9)),
    st.builds(
        Deed,
        kind=st.sampled_from(
            ["sent", "acked", "queued", "refused", "doubt", "cancel_requested", "cancel_acked", "settled"]
        ),
        code=st.sampled_from(["", "IN_DOUBT", "REFUSED"]),
        venue_id=st.sampled_from(["", "V1"]),
    ),
)


def _face(order: Order) -> tuple[object, ...]:
    kept = (getattr(order, name) for name in Order.__slots__ if name != "intent")
    return (*kept, order.filled_i, order.proven, order.average_price)


@settings(max_examples=400, deadline=None)
@given(st.lists(_WORDS, max_size=25))
def test_whatever_is_said_quantity_grows_ends_hold_and_replay_agrees(words):
    """[ours] Invariants over random stories: monotone fills, absorbing ends, one line per input, equal replay."""
    order = Order(an_intent())
    lines = [encode_intent(order.intent)]
    trades: dict[str, int] = {}
    cumulative = 0
    shown = False
    for number, word in enumerate(words):
        before, filled = order.state, order.filled_i
        entry = order.apply(word, number)
        lines.append(encode_entry(order, entry))
        assert order.filled_i >= filled
        if before in TERMINAL and order.state is not before:
            assert (before, order.state) == (State.CANCELLED, State.FILLED)
        if isinstance(word, FillSeen):
            trades.setdefault(word.trade_id, word.size_i)
        elif isinstance(word, OrderSeen):
            cumulative = max(cumulative, word.filled_i)
        if entry.after is State.FAILED and entry.before is not State.FAILED:
            assert not shown
        if order.filled_i > filled and (order.filled_i > 100):
            assert entry.alarm == "OVERFILL"
        shown = shown or isinstance(word, FillSeen)
        assert not (order.in_doubt and order.terminal)
    assert order.filled_i == max(cumulative, sum(trades.values()))
    assert len(order.history) == len(words)
    assert _face(replay(lines)) == _face(order)


def test_the_drawing_of_the_table_is_up_to_date():
    """[ours] docs/order.md is drawn from MOVES; CI runs the same check."""
    drawn = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "draw_moves.py"), "--check"], capture_output=True, text=True
    )
    assert drawn.returncode == 0, drawn.stdout + drawn.stderr


def test_a_stale_drawing_is_noticed(tmp_path):
    """[ours] The check can fail: a page that lacks a move is stale."""
    page = tmp_path / "order.md"
    page.write_text((ROOT / "docs" / "order.md").read_text().replace("fill_rest", "fill_some"))
    command = [sys.executable, str(ROOT / "scripts" / "draw_moves.py"), "--check", "--page", str(page)]
    stale = subprocess.run(command, capture_output=True, text=True)
    assert (stale.returncode, "stale" in stale.stdout) == (1, True)
    command.remove("--check")
    assert subprocess.run(command, capture_output=True, text=True).returncode == 0
    assert page.read_text() == (ROOT / "docs" / "order.md").read_text()
