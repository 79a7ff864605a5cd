"""
Backpack Exchange's streams: who subscribed to what, and every event of the engine printed for them.

One socket carries public and private streams; a subscription is confirmed by nothing but data. The login of a private
stream is the signature in its SUBSCRIBE frame.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from core.clock import Clock
from venues.simulation.app import Peer
from venues.simulation.backpack_rows import MARKET_ROWS, BackpackRows
from venues.simulation.desk import Agenda, Subscribers, at_tick, json_text
from venues.simulation.engine import MatchingEngine
from venues.simulation.forms import read_json
from venues.simulation.records import (
    Accepted,
    BalanceChanged,
    BookChanged,
    Cancelled,
    EngineEvent,
    Expired,
    Filled,
    PositionChanged,
    Shrunk,
    Traded,
)

INVALID_STREAM: Final = (4006, "Invalid stream")
INVALID_MARKET: Final = (4005, "Invalid market")
INVALID_SIGNATURE: Final = (4003, "Invalid signature")
_ORDERS: Final = "account.orderUpdate"
_EVENTS: Final[Mapping[type, str]] = {
    Accepted: "orderAccepted",
    Cancelled: "orderCancelled",
    Expired: "orderExpired",
    Shrunk: "orderModified",
}
_STREAM: Final = re.compile(
    r"(?:bookTicker|ticker|trade|openInterest|depth(?:\.(?:200|600|1000)ms)?|kline\.\w+)\.(?P<any>\w+)"
    r"|markPrice\.(?P<perp>\w+)|liquidation|account\.balanceUpdate"
    r"|account\.(?:orderUpdate|positionUpdate)(?:\.(?P<own>\w+))?"
)


def signed_text(instruction: str, groups: Sequence[Mapping[str, Any]], encode: bool) -> str:
    """The text before timestamp and window: per group the instruction and the values sorted by key."""
    parts = []
    for group in groups:
        parts.append(f"instruction={instruction}")
        for key, value in sorted(group.items()):
            if isinstance(value, bool) or value in ("True", "False"):
                value = str(value).lower()
            if value is not None:
                parts.append(f"{key}={quote(str(value), safe='') if encode else value}")
    return "&".join(parts)


def message_kind(text: str) -> str:
    """The kind of an outgoing message, as :meth:`VenueApp.message_kind` names them."""
    stream = text.rpartition('"stream":"')[2]
    if stream.startswith("account.order"):
        return "fill" if '"e":"orderFill"' in text else "order"
    for prefix, kind in (("account.pos", "position"), ("account.bal", "balance"), ("bookT", "book")):
        if stream.startswith(prefix):
            return kind
    return "book" if stream.startswith("depth") else "other"


class BackpackStreams:
    """
    The stream side of one simulated Backpack.

    Args:
        signed: Whether a SUBSCRIBE frame's ``signature`` (four texts) is good now.
        venue_ms: The venue's clock.
    """

    def __init__(
        self,
        engine: MatchingEngine,
        rows: BackpackRows,
        agenda: Agenda,
        clock: Clock,
        *,
        signed: Callable[[list[str]], bool],
        venue_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._rows = rows
        self._agenda = agenda
        self._clock = clock
        self._signed = signed
        self._venue_ms = venue_ms
        self._subscribers = Subscribers()
        self._held_depth: dict[str, tuple[int, dict[int, int], dict[int, int]]] = {}
        agenda.at(at_tick(clock.now_ms(), 1000), self._every_second)

    def opened(self, peer: Peer) -> None:
        self._subscribers.add(peer)

    def closed(self, peer: Peer) -> None:
        self._subscribers.remove(peer)

    def said(self, peer: Peer, text: str) -> None:
        """Handle a frame from the client."""
        subscriber = self._subscribers.of(peer)
        if subscriber is None:
            return
        try:
            frame = read_json(text)
        except ValueError:
            frame = None
        frame = frame if isinstance(frame, dict) else {}
        method, streams = frame.get("method"), frame.get("params")
        if not isinstance(streams, list) or not all(isinstance(each, str) for each in streams):
            method, streams = None, []
        if method == "UNSUBSCRIBE":
            for stream in streams:
                subscriber.streams.pop(stream, None)
            return
        problem = self._problem(streams, frame.get("signature")) if method == "SUBSCRIBE" else INVALID_STREAM
        if problem is not None:
            number = frame.get("id")
            known_id = number if isinstance(number, int | str) else None
            peer.send(json_text({"error": {"code": problem[0], "message": problem[1]}, "id": known_id}))
            return
        self._engine.look_around()
        for stream in streams:
            subscriber.streams[stream] = None
            if stream.startswith("account.positionUpdate"):
                for symbol, held in self._rows.account.positions.items():
                    if held.net_i and stream in ("account.positionUpdate", f"account.positionUpdate.{symbol}"):
                        data = self._rows.position_update(symbol, self._engine.stamp())
                        peer.send(json_text({"data": data, "stream": stream}))

    def refused(self, text: str) -> str | None:
        """A frame that opens private streams, refused; None for any other."""
        if '"signature"' not in text:
            return None
        code, message = INVALID_SIGNATURE
        return json_text({"error": {"code": code, "message": message}, "id": read_json(text).get("id")})

    def _problem(self, streams: list[str], signature: Any) -> tuple[int, str] | None:
        """Why these streams are refused. A frame is taken whole or not at all."""
        for stream in streams:
            parts = _STREAM.fullmatch(stream)
            if parts is None:
                return INVALID_STREAM
            symbol = parts["any"] or parts["perp"] or parts["own"]
            if symbol and (symbol not in MARKET_ROWS or (parts["perp"] and not symbol.endswith("_PERP"))):
                return INVALID_MARKET
        if not any(stream.startswith("account.") for stream in streams):
            return None
        if not isinstance(signature, list) or not all(isinstance(each, str) for each in signature):
            return INVALID_SIGNATURE
        return None if self._signed(signature) else INVALID_SIGNATURE

    def hears(self, symbol: str) -> bool:
        """Whether anybody listens to a stream of this market."""
        return self._subscribers.any_stream(lambda stream: stream.endswith(f".{symbol}"))

    def _send(self, stream: str, data: Mapping[str, Any]) -> None:
        if self._subscribers.wanted(stream):
            self._subscribers.send(stream, json_text({"data": data, "stream": stream}))

    def _send_own(self, stream: str, symbol: str, data: Mapping[str, Any]) -> None:
        self._send(stream, data)
        self._send(f"{stream}.{symbol}", data)

    def on_event(self, event: EngineEvent) -> None:
        """Tell an event of the engine to whom it concerns."""
        match event:
            case Filled(order, fill):
                self._send_own(_ORDERS, order.symbol, self._rows.order_update(order, "orderFill", fill))
            case Accepted(order) | Cancelled(order) | Expired(order) | Shrunk(order):
                self._send_own(_ORDERS, order.symbol, self._rows.order_update(order, _EVENTS[type(event)]))
            case PositionChanged(_, symbol, change, us):
                data = self._rows.position_update(symbol, us, change)
                self._send_own("account.positionUpdate", symbol, data)
            case BalanceChanged(_, asset, us):
                self._send("account.balanceUpdate", self._rows.balance_update(asset, us))
            case Traded(trade):
                if self._subscribers.wanted(f"trade.{trade.symbol}"):
                    self._send(f"trade.{trade.symbol}", self._rows.trade_update(trade))
            case BookChanged():
                self._on_book(event)

    def _on_book(self, event: BookChanged) -> None:
        symbol = event.symbol
        if event.top_changed and self._subscribers.wanted(f"bookTicker.{symbol}"):
            self._send(f"bookTicker.{symbol}", self._rows.book_ticker(symbol))
        if self._subscribers.wanted(f"depth.{symbol}"):
            data = self._rows.depth_update(symbol, event.first_id, event.last_id, event.bids, event.asks, event.us)
            self._send(f"depth.{symbol}", data)
        for ms in (200, 600, 1000):
            stream = f"depth.{ms}ms.{symbol}"
            if not self._subscribers.wanted(stream):
                continue
            if stream not in self._held_depth:
                self._held_depth[stream] = (event.first_id, {}, {})
                due = self._clock.now_ms() + ms
                self._agenda.at(due, lambda name=stream: self._send_held(name, symbol))  # type: ignore[misc]
            _, bids, asks = self._held_depth[stream]
            bids.update(event.bids)
            asks.update(event.asks)

    def _send_held(self, stream: str, symbol: str) -> None:
        first, bids, asks = self._held_depth.pop(stream)
        book = self._engine.books[symbol]
        changes = sorted(bids.items()), sorted(asks.items())
        data = self._rows.depth_update(symbol, first, book.update_id, *changes, book.changed_us)
        self._send(stream, data)

    def _every_second(self) -> None:
        self._agenda.at(at_tick(self._clock.now_ms(), 1000), self._every_second)
        now = self._venue_ms()
        for symbol, listing in self._engine.listings.items():
            if listing.is_perp and self._subscribers.wanted(f"markPrice.{symbol}"):
                self._send(f"markPrice.{symbol}", self._rows.mark_price_update(symbol, now))
            if self._subscribers.wanted(f"ticker.{symbol}"):
                self._send(f"ticker.{symbol}", self._rows.ticker_update(symbol, now * 1000))
