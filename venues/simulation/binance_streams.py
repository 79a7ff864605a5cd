"""
Binance's streams: who listens on which route to what, and every event of the engine printed for them.

Perp streams are split into routes, ``/public``, ``/market`` and ``/private``: what is asked on the wrong one is
acknowledged and never comes. The perp account is a stream named by its listen key; the spot account's events come on
the WebSocket API connections that subscribed to them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from core.clock import Clock
from venues.simulation.app import Peer
from venues.simulation.binance_markets import PERP_OWNER, PERP_ROWS, SUFFIX
from venues.simulation.binance_rows import EMIT_LAG_MS, BinanceRows
from venues.simulation.desk import Agenda, at_tick, json_text
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
    Order,
    PositionChanged,
    Shrunk,
    Trade,
    Traded,
)

MOST_STREAMS: Final = {"spot": 1024, "public": 200, "market": 200, "private": 200}
_EXECUTIONS: Final[Mapping[type, str]] = {
    Accepted: "NEW",
    Cancelled: "CANCELED",
    Expired: "EXPIRED",
    Shrunk: "AMENDMENT",
}


@dataclass(eq=False)
class Listener:
    """One connection to a stream route; ``wrapped``: events come as ``{"stream", "data"}``."""

    peer: Peer
    route: str
    wrapped: bool
    streams: dict[str, None] = field(default_factory=dict)


@dataclass(eq=False)
class Session:
    """One connection to a WebSocket API."""

    peer: Peer
    perp: bool
    since_ms: int
    logged_on_ms: int | None = None
    subscription: int | None = None
    subscriptions: int = 0


def read_frame(text: str) -> dict[str, Any] | None:
    """A client's frame; None when it is no JSON object, or holds what no UTF-8 can carry back."""
    try:
        frame = read_json(text)
        json.dumps(frame, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return frame if isinstance(frame, dict) else None


def echo_of(number: Any) -> int | str | None:
    """A request's id as its answer repeats it, with its type."""
    if isinstance(number, str):
        return number
    return number if isinstance(number, int) and abs(number) < 1 << 63 else None


def message_kind(text: str) -> str:
    """The kind of an outgoing message, as :meth:`VenueApp.message_kind` names them; keys come in order."""
    if text.startswith(('{"id"', '{"error"')):
        return "other"
    if '"e":"ORDER_TRADE_UPDATE"' in text or '"e":"executionReport"' in text:
        return "fill" if '"x":"TRADE"' in text else "order"
    if '"e":"ACCOUNT_UPDATE"' in text:
        return "position"
    if '"e":"outboundAccountPosition"' in text:
        return "balance"
    is_book = '"e":"bookTicker"' in text or "@bookTicker" in text or text.startswith('{"A"') or "depthUpdate" in text
    return "book" if is_book else "other"


class BinanceStreams:
    """
    The stream side of one simulated Binance.

    Args:
        venue_ms: The venue's clock.
        cancel_id: The id of the cancel that is ending an order, "" for any other end.
    """

    def __init__(
        self,
        engine: MatchingEngine,
        rows: BinanceRows,
        agenda: Agenda,
        clock: Clock,
        *,
        venue_ms: Callable[[], int],
        cancel_id: Callable[[Order], str],
    ) -> None:
        self._engine = engine
        self._rows = rows
        self._clock = clock
        self._agenda = agenda
        self._venue_ms = venue_ms
        self._cancel_id = cancel_id
        self._listeners: list[Listener] = []
        self.sessions: list[Session] = []
        self.listen_key: str | None = None
        self._held: dict[str, tuple[int, dict[int, int], dict[int, int]]] = {}
        self._last_ids: dict[str, int] = {}
        agenda.at(at_tick(clock.now_ms(), 1000), self._every_second)

    # -- connections

    def opened(self, peer: Peer, path: str) -> None:
        """A client connected; a path that is none of ours ends at once."""
        place, _, query = path.partition("?")
        parts = [part for part in place.split("/") if part]
        asked = dict(parse_qsl(query, keep_blank_values=True))
        if parts[:1] in (["ws-api"], ["ws-fapi"]):
            self.sessions.append(Session(peer, parts[0] == "ws-fapi", self._venue_ms()))
            return
        route = parts.pop(0) if parts[:1] and parts[0] in ("public", "market", "private") else "spot"
        if parts[:1] not in (["ws"], ["stream"]):
            peer.close(1008, "no such path")
            return
        listener = Listener(peer, route, parts[0] == "stream")
        names = parts[1:] + [name for name in asked.get("streams", "").split("/") if name]
        if "listenKey" in asked:
            names.append(asked["listenKey"])
        self._engine.look_around()
        # ccxt numbers its sockets: /ws/0.
        listener.streams.update(dict.fromkeys(name for name in names if not name.isdigit()))
        self._listeners.append(listener)

    def closed(self, peer: Peer) -> None:
        self._listeners = [each for each in self._listeners if each.peer is not peer]
        self.sessions = [each for each in self.sessions if each.peer is not peer]

    def session(self, peer: Peer) -> Session | None:
        return next((each for each in self.sessions if each.peer is peer), None)

    def said(self, peer: Peer, text: str) -> None:
        """Handle a frame on a stream route."""
        listener = next((each for each in self._listeners if each.peer is peer), None)
        if listener is None:
            return
        frame = read_frame(text) or {}
        number, method, names = frame.get("id"), frame.get("method"), frame.get("params", [])
        number = echo_of(number)
        if method == "LIST_SUBSCRIPTIONS":
            peer.send(json_text({"result": list(listener.streams), "id": number}))
            return
        if method not in ("SUBSCRIBE", "UNSUBSCRIBE") or not isinstance(names, list):
            peer.send(
                json_text({"error": {"code": 2, "msg": f"Invalid request: unknown method {method}"}, "id": number})
            )
            return
        for name in names:
            if not isinstance(name, str) or len(listener.streams) >= MOST_STREAMS[listener.route]:
                peer.send(json_text({"error": {"code": 2, "msg": "Invalid request: bad stream name"}, "id": number}))
                return
            if method == "SUBSCRIBE":
                self._engine.look_around()
                listener.streams[name] = None
            else:
                listener.streams.pop(name, None)
        peer.send(json_text({"result": None, "id": number}))

    def hears(self, symbol: str) -> bool:
        """Whether anybody listens to this coin, as perp or spot."""
        start = f"{symbol.removesuffix(SUFFIX).lower()}@"
        return any(name.startswith(start) for each in self._listeners for name in each.streams)

    # -- sending

    def _wanted(self, route: str, name: str) -> list[Listener]:
        return [each for each in self._listeners if each.route == route and name in each.streams]

    def _send(self, route: str, name: str, data: Callable[[], Mapping[str, Any]]) -> None:
        listeners = self._wanted(route, name)
        if not listeners:
            return
        plain = json_text(data())
        wrapped = f'{{"data":{plain},"stream":{msgspec.json.encode(name).decode()}}}'
        for each in listeners:
            each.peer.send(wrapped if each.wrapped else plain)

    def _send_futures(self, data: Mapping[str, Any]) -> None:
        if self.listen_key is not None:
            self._send("private", self.listen_key, lambda: data)

    def _send_spot(self, data: Mapping[str, Any]) -> None:
        for each in self.sessions:
            if each.subscription is not None:
                each.peer.send(json_text({"subscriptionId": each.subscription, "event": data}))

    def expire_listen_key(self) -> None:
        """The key dies: its listeners are told, and hear nothing more though their sockets stay open."""
        if self.listen_key is not None:
            self._send_futures({"e": "listenKeyExpired", "E": self._venue_ms(), "listenKey": self.listen_key})
            self.listen_key = None

    def end_subscriptions(self) -> None:
        """The spot account's events end though the sessions go on."""
        for each in self.sessions:
            if each.subscription is not None:
                event = {"e": "eventStreamTerminated", "E": self._venue_ms()}
                each.peer.send(json_text({"subscriptionId": each.subscription, "event": event}))
                each.subscription = None

    def shut_down(self) -> None:
        """Announce the end of every connection, as the venue does before maintenance."""
        event = {"e": "serverShutdown", "E": self._venue_ms()}
        for each in self._listeners:
            wrapped = {"stream": "!serverShutdown", "data": event}
            each.peer.send(json_text(wrapped if each.wrapped else event))
        for session in self.sessions:
            session.peer.send(json_text({"event": event}))

    # -- the engine's events

    def on_event(self, event: EngineEvent) -> None:
        """Tell an event of the engine to whom it concerns."""
        match event:
            case Filled(order, fill) if order.owner == PERP_OWNER:
                self._send_futures(self._rows.trade_lite(order, fill))
                execution = "CALCULATED" if order.origin == "liquidate" else "TRADE"
                self._send_futures(self._rows.order_update(order, execution, fill))
            case Filled(order, fill):
                self._send_spot(self._rows.execution_report(order, "TRADE", fill, ""))
            case Accepted(order) | Cancelled(order) | Expired(order) | Shrunk(order):
                execution = _EXECUTIONS[type(event)]
                if order.owner == PERP_OWNER:
                    self._send_futures(self._rows.order_update(order, execution, None))
                else:
                    cancel_id = self._cancel_id(order) if execution == "CANCELED" else ""
                    self._send_spot(self._rows.execution_report(order, execution, None, cancel_id))
            case PositionChanged(_, symbol, _, us):
                self._send_futures(self._rows.account_update(symbol, us))
            case BalanceChanged(owner, asset, us) if owner != PERP_OWNER:
                self._send_spot(self._rows.account_position(asset, us))
            case Traded(trade):
                self._on_trade(trade)
            case BookChanged():
                self._on_book(event)

    def _on_trade(self, trade: Trade) -> None:
        perp, name = trade.symbol.endswith(SUFFIX), trade.symbol.removesuffix(SUFFIX)
        ms = trade.us // 1000

        def row(kind: str) -> dict[str, Any]:
            shown = self._rows.public_trade(trade)
            same = {"E": ms + EMIT_LAG_MS, "T": ms, "s": name, "p": shown["price"], "q": shown["qty"], "M": True}
            same |= {"m": trade.buyer_is_maker, "e": kind}
            return same | ({"t": trade.id} if kind == "trade" else {"a": trade.id, "f": trade.id, "l": trade.id})

        self._send("public" if perp else "spot", f"{name.lower()}@trade", lambda: row("trade"))
        self._send("market" if perp else "spot", f"{name.lower()}@aggTrade", lambda: row("aggTrade"))

    def _on_book(self, event: BookChanged) -> None:
        symbol = event.symbol
        perp, name = symbol.endswith(SUFFIX), symbol.removesuffix(SUFFIX).lower()
        route = "public" if perp else "spot"
        if event.top_changed:
            self._send(route, f"{name}@bookTicker", lambda: self._rows.book_event(symbol))
        for suffix, ms in (("", 250 if perp else 1000), ("@100ms", 100), ("@500ms", 500)):
            stream = f"{name}@depth{suffix}"
            if not self._wanted(route, stream):
                self._last_ids.pop(stream, None)
                continue
            if stream not in self._held:
                self._held[stream] = (event.first_id, {}, {})
                due = self._clock.now_ms() + ms
                self._agenda.at(due, lambda name=stream: self._send_held(route, name, symbol))  # type: ignore[misc]
            _, bids, asks = self._held[stream]
            bids.update(event.bids)
            asks.update(event.asks)

    def _send_held(self, route: str, stream: str, symbol: str) -> None:
        first, bids, asks = self._held.pop(stream)
        book, listing = self._engine.books[symbol], self._engine.listings[symbol]
        ms = book.changed_us // 1000
        row: dict[str, Any] = {
            "e": "depthUpdate",
            "E": ms + EMIT_LAG_MS,
            "s": symbol.removesuffix(SUFFIX),
            "U": first,
            "u": book.update_id,
            "b": self._rows.levels(listing, sorted(bids.items())),
            "a": self._rows.levels(listing, sorted(asks.items())),
        }
        if listing.is_perp:
            row |= {"T": ms, "pu": self._last_ids.get(stream, first - 1), "ps": row["s"], "st": 1}
        self._last_ids[stream] = book.update_id
        self._send(route, stream, lambda: row)

    def _every_second(self) -> None:
        self._agenda.at(at_tick(self._clock.now_ms(), 1000), self._every_second)
        now = self._venue_ms()
        for name in PERP_ROWS:
            streams = [f"{name.lower()}@{kind}" for kind in ("markPrice@1s", "markPrice")]
            if not any(self._wanted("market", stream) for stream in streams):
                continue
            mark = f"{self._engine.mark(name + SUFFIX):.8f}"
            row = {"e": "markPriceUpdate", "E": now, "s": name, "p": mark, "i": mark, "P": mark, "r": "0.0001"}
            row["T"] = now - now % 28_800_000 + 28_800_000
            for stream in streams:
                self._send("market", stream, lambda row=row: row)  # type: ignore[misc]
