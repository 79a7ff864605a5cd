"""
OKX's streams: logins, subscriptions, and every event of the engine printed for those who listen.

A subscription is its argument, echoed in every message: two equal ones on a socket are confirmed twice and served
once. Private channels need a login on the same socket and a URL ending in ``/private``.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from core.clock import Clock
from venues.simulation.app import Peer
from venues.simulation.desk import Agenda, at_tick, json_text
from venues.simulation.engine import MatchingEngine
from venues.simulation.forms import read_json
from venues.simulation.okx_rows import INSTRUMENTS, OkxRows
from venues.simulation.records import (
    Accepted,
    BalanceChanged,
    BookChanged,
    Cancelled,
    EngineEvent,
    Expired,
    Fill,
    Filled,
    Order,
    PositionChanged,
    Shrunk,
)

MARKET_CHANNELS: Final = ("bbo-tbt", "books", "books5", "tickers")
PUBLIC_CHANNELS: Final = (*MARKET_CHANNELS, "instruments")
_LOGIN_FAILED: Final = {"event": "error", "code": "60009", "msg": "Login failed.", "connId": "a4d3ae55"}
_NOTICE: Final = {
    "event": "notice",
    "code": "64008",
    "msg": "The connection will soon be closed for a service upgrade. Please reconnect.",
}
PRIVATE_CHANNELS: Final = ("orders", "positions", "account", "balance_and_position")
_TYPES: Final = ("ANY", "SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION")
LOGIN_WINDOW_SECS: Final = 30
IDLE_MS: Final = 30_000
"""A socket without traffic for this long is closed with 4004."""
REGULAR_MS: Final = 5_000
POSITION_MS: Final = 50
"""Changes of positions are gathered for this long."""
BEST_MS: Final = 10
"""The best prices of a market come no more often."""
BOOK_MS: Final = 100
"""Books of many levels and tickers come no more often."""
DEPTH: Final = 400
ORDER_OPS: Final[Mapping[str, str]] = {
    "order": "place",
    "batch-orders": "place",
    "cancel-order": "cancel",
    "batch-cancel-orders": "cancel",
}
"""Requests over a stream, and the kind of each for fault rules."""


def message_kind(text: str) -> str:
    """The kind of an outgoing message, as :meth:`VenueApp.message_kind` names them."""
    start = '{"arg":{"channel":"'
    if not text.startswith(start) or '"event":"' in text:
        return "other"
    channel = text[len(start) : text.index('"', len(start))]
    if channel == "orders":
        return "order" if '"tradeId":""' in text else "fill"
    if channel in ("account", "balance_and_position"):
        return "balance"
    if channel == "positions":
        return "position"
    return "book" if channel in ("bbo-tbt", "books", "books5") else "other"


class Socket:
    """One connection: where it leads, whether it is logged in, what it listens to."""

    def __init__(self, peer: Peer, line: str, conn_id: str, now_ms: int) -> None:
        self.peer = peer
        self.line = line
        self.conn_id = conn_id
        self.logged_in = False
        self.heard_ms = now_ms
        self.args: dict[str, dict[str, Any]] = {}
        """By their JSON text."""
        self.book_ids: dict[str, int] = {}
        """seqId that was last sent for each ``books`` subscription."""


class OkxStreams:
    """
    The stream side of one simulated OKX.

    Args:
        credentials: What a login must show.
        execute: Handles an order request: ``(op, args, expTime)`` → the answer without ``id`` and ``op``.
        venue_ms: The venue's clock.
    """

    def __init__(
        self,
        engine: MatchingEngine,
        rows: OkxRows,
        agenda: Agenda,
        clock: Clock,
        *,
        credentials: Mapping[str, str],
        execute: Callable[[str, Any, Any], dict[str, Any]],
        venue_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._rows = rows
        self._agenda = agenda
        self._clock = clock
        self._credentials = credentials
        self._execute = execute
        self._venue_ms = venue_ms
        self._sockets: list[Socket] = []
        self._opened = 0
        self.changed_us = dict.fromkeys(rows.account.balances, venue_ms() * 1000)
        """When each position or balance last changed, by market or coin."""
        self._moved: dict[str, None] = {}
        self._touched: dict[str, dict[bool, set[int]]] = {}
        self._best_ms: dict[str, int] = {}
        """When the best prices of each market were last told, or will be."""
        self._heard: dict[str, list[tuple[Socket, str, dict[str, Any]]]] = {}
        """Who listens to each channel: socket, the argument's text, the argument."""
        agenda.at(at_tick(clock.now_ms(), 1_000), self._every_second)
        agenda.at(at_tick(clock.now_ms(), REGULAR_MS), self._regularly)

    # -- what clients do

    def opened(self, peer: Peer, path: str) -> None:
        self._opened += 1
        line = path.partition("?")[0].rstrip("/").rpartition("/")[2]
        self._sockets.append(Socket(peer, line, f"{0xA4D30000 + self._opened:08x}", self._clock.now_ms()))

    def closed(self, peer: Peer) -> None:
        self._sockets = [each for each in self._sockets if each.peer is not peer]
        self._count_listeners()

    def said(self, peer: Peer, text: str) -> None:
        """Handle a frame from the client."""
        socket = next((each for each in self._sockets if each.peer is peer), None)
        if socket is None:
            return
        socket.heard_ms = self._clock.now_ms()
        if text == "ping":
            peer.send("pong")
            return
        try:
            frame = read_json(text)
        except ValueError:
            frame = None
        op = frame.get("op") if isinstance(frame, dict) else None
        args = frame.get("args") if isinstance(frame, dict) else None
        if not isinstance(frame, dict) or not isinstance(op, str):
            self._fail(socket, {}, "60012", f"Invalid request: {text[:200]}")
        elif op in ORDER_OPS:
            self._request(socket, frame, op)
        elif op not in ("login", "subscribe", "unsubscribe"):
            self._fail(socket, frame, "60019", f"Invalid op: {op}")
        elif not isinstance(args, list) or not args or not all(isinstance(arg, dict) for arg in args):
            self._fail(socket, frame, "60012", f"Invalid request: {text[:200]}")
        elif op == "login":
            self._login(socket, args[0])
        else:
            for arg in args:
                self._subscribe(socket, frame, arg, op)

    def _fail(self, socket: Socket, frame: Mapping[str, Any], code: str, msg: str) -> None:
        self._control(socket, frame, {"event": "error", "code": code, "msg": msg})

    def _control(self, socket: Socket, frame: Mapping[str, Any], told: Mapping[str, Any]) -> None:
        number = {"id": frame["id"]} if isinstance(frame.get("id"), str) else {}
        self._send(socket, {**told, **number, "connId": socket.conn_id})

    def _send(self, socket: Socket, value: Mapping[str, Any]) -> None:
        socket.heard_ms = self._clock.now_ms()
        socket.peer.send(json_text(value))

    def refused(self, text: str) -> str | None:
        """A login, refused; None for any other frame."""
        return json_text(_LOGIN_FAILED) if '"op":"login"' in text.replace(" ", "") else None

    def ask_to_reconnect(self, ms: int) -> None:
        """The server is about to be changed for another: sockets that have logged in are told, and end in ``ms``."""
        for socket in [each for each in self._sockets if each.logged_in]:
            self._control(socket, {}, _NOTICE)
            self._agenda.at(self._clock.now_ms() + ms, lambda peer=socket.peer: peer.close(1001, ""))  # type: ignore[misc]

    def _login(self, socket: Socket, arg: Mapping[str, Any]) -> None:
        problem = self._login_problem(socket, arg)
        if problem is not None:
            self._fail(socket, {}, *problem)
            return
        socket.logged_in = True
        self._control(socket, {}, {"event": "login", "code": "0", "msg": ""})

    def _login_problem(self, socket: Socket, arg: Mapping[str, Any]) -> tuple[str, str] | None:
        known, timestamp = self._credentials, str(arg.get("timestamp"))
        if socket.line not in ("private", "business"):
            return "60028", "The current operation is not supported by this URL."
        if socket.logged_in:
            return "60031", "The WebSocket endpoint does not allow multiple or repeated logins."
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 13):
            return "60004", "Invalid timestamp"
        if abs(self._venue_ms() // 1000 - int(timestamp)) > LOGIN_WINDOW_SECS:
            return "60006", "Timestamp request expired"
        if arg.get("apiKey") != known["api_key"]:
            return "60005", "Invalid apiKey"
        if arg.get("passphrase") != known["passphrase"]:
            return "60024", "Wrong passphrase"
        right = hmac.digest(known["api_secret"].encode(), f"{timestamp}GET/users/self/verify".encode(), "sha256")
        return None if arg.get("sign") == b64encode(right).decode() else ("60007", "Invalid sign")

    def _request(self, socket: Socket, frame: Mapping[str, Any], op: str) -> None:
        number = frame.get("id")
        if socket.line != "private":
            self._fail(socket, frame, "60028", "The current operation is not supported by this URL.")
        elif not socket.logged_in:
            self._fail(socket, frame, "60011", "Please log in")
        elif not isinstance(number, str) or not (number.isascii() and number.isalnum() and len(number) <= 32):
            self._fail(socket, {}, "60033", "Parameter id error.")
        else:
            answer = self._execute(op, frame.get("args"), frame.get("expTime"))
            self._send(socket, {"id": number, "op": op, **answer})

    # -- subscriptions

    def _subscribe(self, socket: Socket, frame: Mapping[str, Any], arg: dict[str, Any], op: str) -> None:
        problem = self._problem(socket, arg)
        if problem is not None:
            self._fail(socket, frame, *problem)
            return
        key = json_text(arg)
        self._control(socket, frame, {"event": op, "arg": arg})
        if op == "unsubscribe":
            socket.args.pop(key, None)
            self._count_listeners()
            return
        channel, is_new = arg["channel"], key not in socket.args
        self._engine.look_around()
        socket.args[key] = arg
        self._count_listeners()
        if channel in PRIVATE_CHANNELS:
            count = str(sum(channel == each["channel"] for one in self._sockets for each in one.args.values()))
            told = {"event": "channel-conn-count", "channel": channel, "connCount": count}
            self._control(socket, {}, told)
        if is_new:
            self._snapshot(socket, key, arg)

    def _problem(self, socket: Socket, arg: Mapping[str, Any]) -> tuple[str, str] | None:
        channel, symbol = arg.get("channel"), arg.get("instId")
        missing = f"Wrong URL or channel:{channel},instId:{symbol} doesn't exist. Please use the correct URL."
        if channel in PRIVATE_CHANNELS:
            if socket.line != "private":
                return "60018", missing
            if not socket.logged_in:
                return "60011", "Please log in"
            if channel in ("orders", "positions") and arg.get("instType") not in _TYPES:
                return "60018", missing
            return None if symbol in (None, "", *INSTRUMENTS) else ("60018", missing)
        if channel not in PUBLIC_CHANNELS or socket.line != "public":
            return "60018", missing
        if channel == "instruments":
            return None if arg.get("instType") in _TYPES else ("60018", missing)
        return None if symbol in (*INSTRUMENTS,) else ("60018", missing)

    def _snapshot(self, socket: Socket, key: str, arg: Mapping[str, Any]) -> None:
        channel = arg["channel"]
        whole = {"eventType": "snapshot", "curPage": 1, "lastPage": True}
        if channel == "positions":
            rows = [row for row in self._positions() if _concerns(arg, row)]
            if rows:
                self._push(socket, arg, rows, **whole)
        elif channel == "account":
            self._push(socket, arg, [self._balance()], **whole)
        elif channel == "balance_and_position":
            self._push(socket, arg, [self._both("snapshot", list(self._rows.account.balances), None, [])])
        elif channel == "books":
            book = self._rows.book(arg["instId"], DEPTH)
            socket.book_ids[key] = book["seqId"]
            self._push(socket, arg, [{**book, "checksum": 0, "prevSeqId": -1}], action="snapshot")
        elif channel in ("bbo-tbt", "books5", "tickers"):
            self._push(socket, arg, [self._quote(channel, arg["instId"])])

    def _quote(self, channel: str, symbol: str) -> dict[str, Any]:
        if channel == "tickers":
            return self._rows.ticker(symbol)
        book = self._rows.book(symbol, 1 if channel == "bbo-tbt" else 5)
        return {**book, "instId": symbol} if channel == "books5" else book

    def _push(self, socket: Socket, arg: Mapping[str, Any], rows: list[Any], **more: Any) -> None:
        own = {"uid": self._rows.uid} if arg["channel"] in PRIVATE_CHANNELS else {}
        self._send(socket, {"arg": {**arg, **own}, "data": rows, **more})

    def _count_listeners(self) -> None:
        self._heard = {}
        for socket in self._sockets:
            for key, arg in socket.args.items():
                self._heard.setdefault(arg["channel"], []).append((socket, key, arg))

    def _listeners(self, channel: str) -> Sequence[tuple[Socket, str, dict[str, Any]]]:
        return self._heard.get(channel, ())

    def _is_heard(self, symbol: str, *channels: str) -> bool:
        return any(arg["instId"] == symbol for channel in channels for _, _, arg in self._listeners(channel))

    def hears(self, symbol: str) -> bool:
        """Whether anybody listens to a public channel of this market."""
        return self._is_heard(symbol, *MARKET_CHANNELS)

    # -- events of the engine

    def on_event(self, event: EngineEvent) -> None:
        """Tell an event of the engine to whom it concerns."""
        match event:
            case Filled(order, fill):
                self._rows.remember(fill)
                self._order(order, fill)
                self._tell_both(fill)
            case Accepted(order):
                # Only an order that may rest is shown before it trades.
                if not order.notes["quiet"]:
                    self._order(order, None)
            case Cancelled(order) | Expired(order):
                self._order(order, None)
            case Shrunk(order):
                self._order(order, None, amend_source="4")
            case PositionChanged(_, symbol, _, us):
                self.changed_us[symbol] = us
                if not self._moved:
                    self._agenda.at(self._clock.now_ms() + POSITION_MS, self._tell_positions)
                self._moved[symbol] = None
            case BalanceChanged(_, asset, us):
                self.changed_us[asset] = us
                for socket, _, arg in self._listeners("account"):
                    if arg.get("ccy") in (None, "", asset):
                        self._push(socket, arg, [self._balance(asset)], eventType="event_update")
            case BookChanged():
                self._on_book(event)
            case _:
                pass

    def _order(self, order: Order, fill: Fill | None, amend_source: str = "") -> None:
        listeners = self._listeners("orders")
        if listeners:
            row = self._rows.order_push(order, fill, amend_source)
            for socket, _, arg in listeners:
                if _concerns(arg, row):
                    self._push(socket, arg, [row])

    def _positions(self) -> list[dict[str, Any]]:
        held = [symbol for symbol, each in self._rows.account.positions.items() if each.net_i]
        return [self._position(symbol) for symbol in held]

    def _position(self, symbol: str) -> dict[str, Any]:
        return self._rows.position(symbol, self.changed_us.get(symbol, 0), self._venue_ms() * 1000)

    def _balance(self, only: str = "") -> dict[str, Any]:
        return self._rows.balance(self._venue_ms() * 1000, self.changed_us, only)

    def _tell_positions(self) -> None:
        moved, self._moved = list(self._moved), {}
        for socket, _, arg in self._listeners("positions"):
            rows = [row for row in map(self._position, moved) if _concerns(arg, row)]
            if rows:
                self._push(socket, arg, rows, eventType="event_update")

    def _tell_both(self, fill: Fill) -> None:
        listing = self._engine.listings[fill.symbol]
        coins = [listing.quote] if listing.is_perp else [listing.base, listing.quote]
        trades = [{"instId": fill.symbol, "tradeId": str(fill.trade_id)}]
        for socket, _, arg in self._listeners("balance_and_position"):
            both = self._both("filled", coins, fill.symbol if listing.is_perp else None, trades)
            self._push(socket, arg, [both])

    def _both(self, kind: str, coins: list[str], symbol: str | None, trades: list[Any]) -> dict[str, Any]:
        account, now = self._rows.account, str(self._venue_ms())
        told = self._positions() if kind == "snapshot" else [self._position(symbol)] if symbol else []
        names = ("posId", "tradeId", "instId", "instType", "mgnMode", "posSide", "pos", "ccy", "avgPx", "uTime")
        cash = {coin: account.balance(coin).free + account.balance(coin).locked for coin in coins}
        return {
            "pTime": now,
            "eventType": kind,
            "balData": [{"ccy": coin, "cashBal": f"{amount:f}", "uTime": now} for coin, amount in cash.items()],
            "posData": [{name: row[name] for name in names} for row in told],
            "trades": trades,
        }

    def _on_book(self, event: BookChanged) -> None:
        symbol = event.symbol
        now_ms = self._clock.now_ms()
        if event.top_changed and self._best_ms.get(symbol, 0) <= now_ms and self._is_heard(symbol, "bbo-tbt"):
            due_ms = self._best_ms[symbol] = max(now_ms, self._best_ms.get(symbol, 0) + BEST_MS)
            # Always a moment later: what one operation does in several steps is told as one.
            self._agenda.at(due_ms, lambda: self._tell_best(symbol))
        if not self._is_heard(symbol, "books", "books5", "tickers"):
            return
        if symbol not in self._touched:
            self._touched[symbol] = {False: set(), True: set()}
            self._agenda.at(now_ms + BOOK_MS, lambda: self._tell_book(symbol))
        self._touched[symbol][False].update(price for price, _ in event.bids)
        self._touched[symbol][True].update(price for price, _ in event.asks)

    def _tell_best(self, symbol: str) -> None:
        for socket, _, arg in self._listeners("bbo-tbt"):
            if arg["instId"] == symbol:
                self._push(socket, arg, [self._rows.book(symbol, 1)])

    def _tell_book(self, symbol: str) -> None:
        touched, book = self._touched.pop(symbol), self._engine.books[symbol]
        for socket, key, arg in self._listeners("books"):
            if arg["instId"] == symbol:
                sides = [[(price, book.side(a).total(price)) for price in sorted(touched[a])] for a in (True, False)]
                asks, bids = (self._rows.levels(symbol, side) for side in sides)
                row = {"asks": asks, "bids": bids, "ts": str(book.changed_us // 1000), "checksum": 0}
                row |= {"prevSeqId": socket.book_ids[key], "seqId": book.update_id}
                socket.book_ids[key] = book.update_id
                self._push(socket, arg, [row], action="update")
        for channel in ("books5", "tickers"):
            for socket, _, arg in self._listeners(channel):
                if arg["instId"] == symbol:
                    self._push(socket, arg, [self._quote(channel, symbol)])

    # -- as time passes

    def _every_second(self) -> None:
        now_ms = self._clock.now_ms()
        self._agenda.at(at_tick(now_ms, 1_000), self._every_second)
        for socket in list(self._sockets):
            if now_ms - socket.heard_ms > IDLE_MS:
                socket.peer.close(4004, "No data received in 30s")

    def _regularly(self) -> None:
        self._agenda.at(at_tick(self._clock.now_ms(), REGULAR_MS), self._regularly)
        rows = self._positions()
        for socket, _, arg in self._listeners("positions"):
            told = [row for row in rows if _concerns(arg, row)]
            if told:
                self._push(socket, arg, told, eventType="snapshot", curPage=1, lastPage=True)
        for socket, _, arg in self._listeners("account"):
            self._push(socket, arg, [self._balance()], eventType="snapshot", curPage=1, lastPage=True)


def _concerns(arg: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether a subscription asks for this order or position."""
    instrument = INSTRUMENTS[row["instId"]]
    return (
        arg["instType"] in ("ANY", instrument["instType"])
        and arg.get("instId") in (None, "", row["instId"])
        and arg.get("instFamily") in (None, "", instrument["instFamily"])
    )
