"""Risk: a breach refuses the order before it exists at the venue."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clock import VirtualClock, run_virtual
from execution.caps import Caps
from execution.journal import Journal
from execution.markets import Market
from execution.order import Deed, Order
from execution.positions import Positions
from execution.risk import Risk
from tests.unit.execution.desk import an_intent
from tests.unit.execution.venue_double import SOL, SOL_SPOT
from venues.errors import LocalRuleError
from venues.events import BalanceSeen, BookSeen, MarginSeen, PositionSeen

PERP = Market("a", "SOL", SOL)
SPOT = Market("a", "SOL", SOL_SPOT)
OTHER = Market("b", "SOL", SOL)


class Table:
    """Two venues with a book at 139 / 141, and what they hold."""

    def __init__(self, caps: Caps | None = None, *, margin: str | None = "1000", **held: str) -> None:
        self.positions = Positions(VirtualClock())
        self.risk = Risk(caps or Caps(), self.positions)
        self.tell = {venue: self.positions.listen(venue) for venue in "ab"}
        for market in (PERP, OTHER):
            self.positions.follow(market)
            self.tell[market.venue](BookSeen(symbol=SOL.symbol, bid_i=13_900, ask_i=14_100))
            if margin is not None:
                self.tell[market.venue](MarginSeen(balance=Decimal(margin), available=Decimal(margin)))
        for venue, quantity in held.items():
            self.tell[venue](PositionSeen(symbol=SOL.symbol, quantity=Decimal(quantity)))

    def ask(self, market: Market = PERP, *, is_ask=False, size_i=100, price_i=14_000, reduce_only=False) -> str:
        """ "" when allowed, else the code."""
        try:
            self.risk.check(
                market,
                an_intent(venue=market.venue, is_ask=is_ask, size_i=size_i, price_i=price_i, reduce_only=reduce_only),
                price_i,
            )
        except LocalRuleError as error:
            return error.code
        return ""

    def send(self, market: Market = PERP, *, price_i: int | None = 14_000, client_id=1, **intent) -> Order:
        order = Order(an_intent(venue=market.venue, price_i=price_i, client_id=client_id, **intent))
        opens = Risk(Caps(), self.positions).check(market, order.intent, price_i or 14_000)
        self.risk.charge(market, order, price_i or 14_000, opens)
        return order


def at_rest(story):
    async def main():
        return story()

    return run_virtual(main())


def codes(*asks, caps=None, margin="1000", **held):
    def story():
        table = Table(caps, margin=margin, **held)
        return [table.ask(**ask) for ask in asks]

    return at_rest(story)


def test_margin_is_needed_for_what_opens_and_not_for_what_closes():
    """[ours] 1 SOL at 140 with 2 % initial margin needs 2.80 USD."""
    assert codes({}, margin="2.80") == [""]
    assert codes({}, margin="2.79") == ["INSUFFICIENT_MARGIN"]
    assert codes({"is_ask": True}, {"is_ask": True, "size_i": 101}, {}, margin="0", a="1") == [
        "", "INSUFFICIENT_MARGIN", "INSUFFICIENT_MARGIN",
    ]  # fmt: skip
    assert codes({"reduce_only": True}, margin="0", a="-1") == [""]


def test_an_account_whose_margin_was_never_told_is_left_to_the_venue():
    """[ours] No reading is no reason to refuse: the venue has its own word."""
    assert codes({}, margin=None) == [""]


@pytest.mark.parametrize("size_i", [10**12, 10**30, 10**60])
def test_an_absurd_size_is_refused_in_words(size_i):
    """[ours] Huge integers get a clear error, not an arithmetic one."""
    assert codes({"size_i": size_i}) == ["INSUFFICIENT_MARGIN"]
    assert codes({"size_i": size_i}, margin=None, caps=Caps(net_exposure_usd=Decimal(1))) == ["EXPOSURE_CAP"]


def test_spot_spends_the_coin_or_the_quote_that_is_free():
    """[ours] A buy needs quote, a sell needs base; what was never told is zero."""

    def story():
        table = Table()
        before = [table.ask(SPOT), table.ask(SPOT, is_ask=True)]
        table.tell["a"](BalanceSeen(asset="USDC", free=Decimal(140), total=Decimal(500)))
        table.tell["a"](BalanceSeen(asset="SOL", free=Decimal(1), total=Decimal(9)))
        after = [table.ask(SPOT), table.ask(SPOT, is_ask=True)]
        over = [table.ask(SPOT, size_i=101), table.ask(SPOT, is_ask=True, size_i=101)]
        return before, after, over

    lack = ["INSUFFICIENT_BALANCE"] * 2
    assert at_rest(story) == (lack, ["", ""], lack)


def test_the_cap_of_one_order_holds_at_its_edge():
    """[client] caps.order_notional_usd: exactly the cap passes."""
    assert codes({}, {"size_i": 101}, caps=Caps(order_notional_usd=Decimal(140))) == ["", "NOTIONAL_CAP"]


def test_caps_never_stand_in_the_way_of_closing():
    """[ours] Not with reduce-only, and not for an order that only shrinks what is held."""
    caps = Caps(order_notional_usd=Decimal(1), total_notional_usd=Decimal(1), net_exposure_usd=Decimal(1))
    asks = ({"is_ask": True}, {"is_ask": True, "reduce_only": True, "size_i": 900}, {"is_ask": True, "size_i": 101}, {})
    assert codes(*asks, caps=caps, a="1") == ["", "", "NOTIONAL_CAP", "NOTIONAL_CAP"]
    assert codes({}, {"is_ask": True}, caps=caps, a="-1") == ["", "NOTIONAL_CAP"]


def test_the_cap_of_all_orders_counts_what_is_out_and_gives_back_what_never_traded():
    """[client] caps.total_notional_usd: 280 are two orders of 140; 60 of the first never traded."""

    def story():
        table = Table(Caps(total_notional_usd=Decimal(280)))
        told = [table.ask()]
        first = table.send(client_id=1)
        told.append(table.ask())
        table.send(client_id=2)
        told.append(table.ask(size_i=1))
        first.cumulative_i = 40
        first.apply(Deed(kind="settled"), 1)
        table.risk.release(first)
        told += [table.ask(size_i=60), table.ask(size_i=61)]
        table.risk.release(first)
        return [*told, table.risk.opened_usd]

    assert at_rest(story) == ["", "", "NOTIONAL_CAP", "", "NOTIONAL_CAP", 196]


def test_a_closing_order_does_not_use_up_the_cap():
    """[ours] What reduces opens nothing."""

    def story():
        table = Table(a="1")
        table.send(is_ask=True)
        table.send(is_ask=True, client_id=2, reduce_only=True, size_i=500)
        table.send(client_id=3)
        return table.risk.opened_usd

    assert at_rest(story) == 140


def test_net_exposure_adds_up_over_all_venues_with_sign():
    """[client] Long 1 on a and short 1 on b is nothing; the cap looks at the sum after the order."""
    cap = Caps(net_exposure_usd=Decimal(140))
    assert codes({}, {"is_ask": True}, {"size_i": 101}, caps=cap) == ["", "", "EXPOSURE_CAP"]
    assert codes({}, caps=cap, b="1") == ["EXPOSURE_CAP"]
    assert codes({"size_i": 200}, {"size_i": 201}, caps=cap, b="-1") == ["", "EXPOSURE_CAP"]
    assert codes({"is_ask": True, "market": OTHER, "size_i": 100}, caps=cap, b="-1") == ["EXPOSURE_CAP"]


def test_two_orders_in_flight_cannot_pass_the_cap_together():
    """[ours] An order's unfilled part counts as filled until it is settled; the other side's orders do not help."""

    def story():
        table = Table(Caps(net_exposure_usd=Decimal(280)))
        first = table.send(client_id=1)
        told = [table.ask(OTHER), table.ask(OTHER, size_i=101)]
        table.send(OTHER, client_id=2, price_i=None)
        told.append(table.ask(size_i=1))
        table.send(OTHER, client_id=3, is_ask=True, size_i=500)
        table.send(client_id=4, reduce_only=True, size_i=500)
        told.append(table.ask(size_i=1))
        table.risk.release(first)
        return [*told, table.ask(size_i=100)]

    assert at_rest(story) == ["", "EXPOSURE_CAP", "EXPOSURE_CAP", "EXPOSURE_CAP", ""]


def test_a_market_without_a_middle_adds_nothing():
    """[gap] Without a book there is no price to value a position by; caps on single orders still hold."""

    def story():
        table = Table(Caps(net_exposure_usd=Decimal(140)), b="5")
        table.tell["b"](BookSeen(symbol=SOL.symbol, bid_i=None, ask_i=14_000))
        return table.positions.net_exposure_usd(), table.ask()

    assert at_rest(story) == (0, "")


def test_initial_margin_is_the_markets_own():
    """[venue] A market with 50 % initial margin needs more."""
    half = Market("a", "SOL", msgspec.structs.replace(SOL, initial_margin=Decimal("0.5")))
    assert codes({"market": half}, {"market": half, "size_i": 101}, margin="70") == ["", "INSUFFICIENT_MARGIN"]


# -- caps of a play and of a day: what survives the process


DAY = 86_400_000
NOON = 20_458 * DAY + DAY // 2


class Process(Table):
    """One process of ours on a journal that outlives it: orders go check → durable intent → charge, as on a desk."""

    def __init__(self, journal: Journal, **caps: int) -> None:
        super().__init__(Caps(**{name: Decimal(cap) for name, cap in caps.items()}))
        self.journal = journal
        self.risk = Risk(Caps(**{name: Decimal(cap) for name, cap in caps.items()}), self.positions, journal)

    def buy(
        self, size_i: int = 100, *, at_ms: int = NOON, play: str = "r/a", account: str = "acc", **intent
    ) -> Order | str:
        """The order, sent; or the words of the refusal. 100 lots at 140.00 are worth 140 USD."""
        wanted = an_intent(venue="a", size_i=size_i, created_ms=at_ms, account=account, client_id=0, **intent)
        try:
            opens = self.risk.check(PERP, wanted, 14_000, play)
        except LocalRuleError as error:
            return f"{error.code} {error.hint}"
        order = Order(self.journal.intend(wanted, opens_usd=opens, play=play))
        self.risk.charge(PERP, order, 14_000, opens, play)
        return order

    def settle(self, order: Order, filled_i: int) -> None:
        order.cumulative_i = filled_i
        order.apply(Deed(kind="settled"), 1)
        self.risk.release(order)
        self.journal.settle(order, 1)


def on_disk(tmp_path, story):
    return at_rest(lambda: story(lambda **caps: Process(Journal(tmp_path / "journal.db"), **caps)))


def test_the_cap_of_a_day_counts_every_process_of_the_day(tmp_path):
    """[client] caps.day_notional_usd: a process that died counts with all it sent, settled parts with their fills."""

    def story(process):
        first = process(day_notional_usd=420)
        partly, _ = first.buy(), first.buy()
        first.settle(partly, 50)
        # 70 traded and 140 may yet trade; nothing is closed: the process is gone.
        second = process(day_notional_usd=420)
        assert isinstance(second.buy(150), Order)
        return second.buy(1)

    words = on_disk(tmp_path, story)
    assert words == (
        "NOTIONAL_CAP with this order this account on a, over all its runs of this UTC day, could open 421.4 USD, "
        "the cap for the day is 420 USD"
    )


def test_a_day_ends_at_midnight_utc_and_an_account_has_its_own(tmp_path):
    """[client] The next day begins at nothing; another account never counted."""

    def story(process):
        one = process(day_notional_usd=140)
        assert isinstance(one.buy(at_ms=NOON), Order)
        midnight = NOON + DAY // 2
        return [
            isinstance(one.buy(at_ms=at_ms, account=account), Order)
            for at_ms, account in ((midnight - 1, "acc"), (midnight - 1, "other"), (midnight, "acc"), (midnight, "acc"))
        ]

    assert on_disk(tmp_path, story) == [False, True, True, False]


def test_what_an_earlier_process_left_unsettled_is_given_back_when_it_is_settled_here(tmp_path):
    """[ours] An adopted order was never charged here; its settlement makes the sums be read again."""

    def story(process):
        left = process(day_notional_usd=140).buy()
        now = process(day_notional_usd=140)
        before = isinstance(now.buy(50), Order)
        # Its end becomes durable after the sums forgot it, as on a desk.
        now.settle(left, 0)
        return before, isinstance(now.buy(50), Order), isinstance(now.buy(50), Order), isinstance(now.buy(1), Order)

    assert on_disk(tmp_path, story) == (False, True, True, False)


def test_the_cap_of_a_play_counts_one_exchanges_part_and_goes_on_after_a_crash(tmp_path):
    """[client] caps.play_notional_usd: another play has its own; the play that is recovered goes on with its sum."""

    def story(process):
        one = process(play_notional_usd=140)
        told = [isinstance(one.buy(100, play=play), Order) for play in ("r/a", "r/a", "r/b")]
        again = process(play_notional_usd=140)
        return [*told, isinstance(again.buy(1, play="r/a"), Order), isinstance(again.buy(1, play="s/a"), Order)]

    assert on_disk(tmp_path, story) == [True, False, True, False, True]


def test_a_late_fill_counts_in_every_sum(tmp_path):
    """[ours] Settled at nothing and filled after all: the caps see it, here and in the next process."""

    def story(process):
        one = process(day_notional_usd=140, play_notional_usd=140, total_notional_usd=140)
        order = one.buy()
        one.settle(order, 0)
        assert one.risk.opened_usd == 0
        assert isinstance(one.buy(1, at_ms=NOON - DAY, play="other"), Order)
        order.cumulative_i = 99
        one.risk.release(order)
        one.journal.settle(order, 2)
        here = [one.buy(2), one.buy(2, play="new", at_ms=NOON + DAY)]
        return one.risk.opened_usd, [isinstance(told, Order) for told in here], process(day_notional_usd=140).buy(2)

    opened, here, later = on_disk(tmp_path, story)
    assert (opened, here) == (140, [False, False])
    assert later.startswith("NOTIONAL_CAP")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("buy"), st.integers(1, 200), st.sampled_from(("r/a", "r/b")), st.integers(0, 2)),
            st.tuples(st.just("settle"), st.integers(0, 20), st.integers(0, 200)),
            st.tuples(st.just("restart")),
        ),
        max_size=25,
    )
)
def test_what_this_process_adds_up_is_what_the_next_one_reads(acts):
    """[ours] Orders, settlements, late fills and restarts in any order: the sums in memory are the journal's."""

    def story():
        journal, orders = Journal(":memory:"), []
        process = Process(journal, day_notional_usd=10**9, play_notional_usd=10**9)
        for act, *how in acts:
            if act == "buy":
                size_i, play, day = how
                orders.append(process.buy(size_i, play=play, at_ms=NOON + day * DAY))
            elif act == "restart":
                process = Process(journal, day_notional_usd=10**9, play_notional_usd=10**9)
            elif orders:
                order = orders[how[0] % len(orders)]
                order.cumulative_i = max(order.cumulative_i, min(how[1], order.intent.size_i))
                order.apply(Deed(kind="settled"), 1)
                process.risk.release(order)
                journal.settle(order, 1)
            fresh = Risk(Caps(), process.positions, journal)
            for day in range(3):
                assert process.risk._of_day(("acc", NOON // DAY + day)) == fresh._of_day(("acc", NOON // DAY + day))
            for play in ("r/a", "r/b"):
                assert process.risk._of_play("acc", play) == fresh._of_play("acc", play)

    at_rest(story)


def test_closing_uses_up_neither_play_nor_day(tmp_path):
    """[client] Reduce-only orders are free, whatever the sums are; the journal holds nothing for them."""

    def story(process):
        one = process(day_notional_usd=140, play_notional_usd=140)
        assert isinstance(one.buy(), Order)
        closing = [one.buy(900, is_ask=True, reduce_only=True) for _ in range(3)]
        return all(isinstance(told, Order) for told in closing), one.journal.opened_between("acc", 0, NOON + 1)

    assert on_disk(tmp_path, story) == (True, 140)


def test_without_a_journal_the_sums_are_those_of_this_process():
    """[ours] Play and day are counted all the same."""

    def story():
        table = Table(Caps(day_notional_usd=Decimal(140), play_notional_usd=Decimal(140)))
        told = [table.ask()]
        table.send()
        return [*told, table.ask(size_i=1)]

    assert at_rest(story) == ["", "NOTIONAL_CAP"]


def test_a_journal_that_cannot_be_read_stops_what_opens_and_not_what_closes(tmp_path):
    """[ours] A sum that is not known is not nothing: HALTED; closing never asks for it."""

    def story(process):
        one = process(day_notional_usd=140)
        one.journal.close()
        words = one.buy()
        reducing = an_intent(venue="a", is_ask=True, reduce_only=True, client_id=0)
        return words.split()[0], one.risk.check(PERP, reducing, 14_000)

    assert on_disk(tmp_path, story) == ("HALTED", 0)
