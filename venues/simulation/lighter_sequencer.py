"""
The sequencer of the simulated Lighter: what becomes of a transaction after it was taken at the gate.

Takers' margin, post-only and reduce-only are judged here, and told as the status of the order's row only.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from core.clock import Clock
from venues.simulation.desk import Agenda
from venues.simulation.engine import MatchingEngine
from venues.simulation.lighter_forms import (
    CANCEL_ALL,
    CANCEL_ORDER,
    CREATE_ORDER,
    MODIFY_ORDER,
    UPDATE_LEVERAGE,
    Signed,
)
from venues.simulation.lighter_rows import FIRST_INDEX, MARKET_ROWS, LighterRows, index_of
from venues.simulation.lighter_streams import LighterStreams
from venues.simulation.records import Order, Ticket, TimeInForce


class LighterSequencer:
    """
    Executes transactions of one account on ``engine``.

    Args:
        venue_ms: The venue's clock.
        silent_drops: A taker's order that is refused here leaves no row.
    """

    def __init__(
        self,
        engine: MatchingEngine,
        rows: LighterRows,
        streams: LighterStreams,
        agenda: Agenda,
        clock: Clock,
        *,
        venue_ms: Callable[[], int],
        silent_drops: bool,
    ) -> None:
        self._engine = engine
        self._rows = rows
        self._streams = streams
        self._agenda = agenda
        self._clock = clock
        self._venue_ms = venue_ms
        self._silent_drops = silent_drops
        self._owner = rows.account.name
        self._by_index: dict[int, Order] = {}
        """Orders that keep the index of one that they replaced."""

    def execute(self, signed: Signed) -> str:
        """Do what a transaction says; the reason where it comes to nothing, else empty."""
        words = {
            CREATE_ORDER: self._place,
            CANCEL_ORDER: self._cancel,
            CANCEL_ALL: self._cancel_all,
            MODIFY_ORDER: self._modify,
            UPDATE_LEVERAGE: self._leverage,
        }
        word = words.get(signed.kind)
        return word(signed) if word else ""

    def ticket(self, signed: Signed) -> Ticket:
        """A transaction 14 as the engine takes it; the price of a market order is the worst it may pay."""
        fields = signed.fields
        is_market, tif = fields["Type"] == 1, fields["TimeInForce"]
        return Ticket(
            owner=self._owner,
            symbol=MARKET_ROWS[fields["MarketIndex"]]["symbol"],
            is_ask=bool(fields["IsAsk"]),
            size_i=fields["BaseAmount"],
            price_i=None if is_market else fields["Price"],
            bound_i=fields["Price"] if is_market else None,
            time_in_force=TimeInForce.IOC if tif == 0 and not is_market else TimeInForce.GTC,
            post_only=tif == 2,
            reduce_only=bool(fields["ReduceOnly"]),
            client_id=fields["ClientOrderIndex"] or None,
            notes={"expiry": fields["OrderExpiry"], "worst_i": fields["Price"]},
        )

    def _place(self, signed: Signed) -> str:
        ticket = self.ticket(signed)
        verdict = self._engine.check(ticket)
        if verdict is not None and signed.fields["TimeInForce"] == 0 and self._silent_drops:
            return verdict.value
        self._streams.doomed = verdict is not None
        order = self._engine.place(ticket)
        self._streams.doomed = False
        if order.live:
            due = self._clock.now_ms() + order.notes["expiry"] - self._venue_ms()
            self._agenda.at(due, lambda: self._engine.cancel(self._by_index.get(index_of(order), order)))
        return verdict.value if verdict is not None else ""

    def find(self, signed: Signed) -> Order | None:
        """The live order that a cancel or change names, by client id or order index."""
        symbol, index = MARKET_ROWS[signed.fields["MarketIndex"]]["symbol"], signed.fields["Index"]
        if index < FIRST_INDEX:
            order = self._engine.by_client_id(self._owner, index, symbol)
        else:
            order = self._by_index.get(index) or self._engine.orders.get(index)
        return order if order is not None and order.live and order.symbol == symbol else None

    def _cancel(self, signed: Signed) -> str:
        order = self.find(signed)
        if order is None:
            return "given order is not an active order"
        self._engine.cancel(order)
        return ""

    def _modify(self, signed: Signed) -> str:
        """The order keeps its index and what it has filled; here another one takes its place in the book."""
        order = self.find(signed)
        if order is None or order.price_i is None:
            return "given order is not an active limit order"
        before_i, before_quote = order.notes.get("before", (0, Decimal(0)))
        filled_i, quote = order.filled_i + before_i, order.filled_quote + before_quote
        left_i = signed.fields["BaseAmount"] - filled_i
        self._streams.muted = left_i > 0
        self._engine.cancel(order)
        self._streams.muted = False
        if left_i <= 0:
            return ""
        notes = {**order.notes, "index": index_of(order), "before": (filled_i, quote)}
        order.notes = {**order.notes, "replaced": True}
        ticket = Ticket(
            owner=self._owner,
            symbol=order.symbol,
            is_ask=order.is_ask,
            size_i=left_i,
            price_i=signed.fields["Price"],
            post_only=order.post_only,
            reduce_only=order.reduce_only,
            client_id=order.client_id,
            notes=notes,
        )
        self._by_index[notes["index"]] = self._engine.place(ticket)
        return ""

    def _cancel_all(self, signed: Signed) -> str:
        tif, moment, market = signed.fields["TimeInForce"], signed.fields["Time"], signed.attributes.get(5, 255)
        if tif == 0:
            self._cancel_orders(None if market == 255 else MARKET_ROWS[market]["symbol"])
            return ""
        self._rows.cancel_all_ms = moment
        if moment:
            due = self._clock.now_ms() + moment - self._venue_ms()
            self._agenda.at(due, lambda: self._cancel_scheduled(moment))
        return ""

    def _cancel_scheduled(self, moment: int) -> None:
        # Another one may have taken its place.
        if self._rows.cancel_all_ms == moment:
            self._rows.cancel_all_ms = 0
            self._cancel_orders(None)

    def _cancel_orders(self, symbol: str | None) -> None:
        for order in self._engine.open_orders(self._owner, symbol):
            self._engine.cancel(order)

    def _leverage(self, signed: Signed) -> str:
        self._rows.fractions[signed.fields["MarketIndex"]] = signed.fields["InitialMarginFraction"]
        return ""
