"""
Hyperliquid's one stream: subscriptions by anyone to any address, their acknowledgements, and what is pushed on an
event. Orders that come over it are handed on (``post``).

Everything that one operation of the engine caused goes out together when its book has changed: the order updates of a
taker come as one array, as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from core.clock import Clock
from venues.simulation.app import Peer
from venues.simulation.desk import Agenda, Subscriber, Subscribers, at_tick
from venues.simulation.engine import MatchingEngine
from venues.simulation.hyperliquid_rows import CASH, META, HyperliquidRows
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
    Reason,
    Shrunk,
    Traded,
)

BOOK_MS: Final = 500
"""Full books are pushed no closer than this."""
MOST_USERS: Final = 10
RECENT_TRADES: Final = 30
SNAPSHOT_FILLS: Final = 2000
BY_USER: Final = (
    "orderUpdates",
    "userFills",
    "userEvents",
    "clearinghouseState",
    "spotState",
    "openOrders",
    "webData2",
)
BY_COIN: Final = ("bbo", "l2Book", "trades")

_KINDS: Final = {
    "orderUpdates": "order",
    "userFills": "fill",
    "user": "fill",
    "clearinghouseState": "position",
    "spotState": "balance",
    "bbo": "book",
    "l2Book": "book",
}
_REQUESTS: Final[Mapping[str, str]] = {
    "order": "place",
    "batchModify": "place",
    "cancel": "cancel",
    "cancelByCloid": "cancel",
    "orderStatus": "order",
    "frontendOpenOrders": "open_orders",
    "openOrders": "open_orders",
    "historicalOrders": "history",
    "userFills": "fills",
    "userFillsByTime": "fills",
    "clearinghouseState": "positions",
    "spotClearinghouseState": "balances",
    "exchangeStatus": "time",
    "l2Book": "book",
    "allMids": "book",
    "meta": "markets",
    "metaAndAssetCtxs": "markets",
    "spotMeta": "markets",
    "spotMetaAndAssetCtxs": "markets",
}
# An order that could not live shows up with its end alone.
_NEVER_LIVE: Final = frozenset({Reason.WOULD_CROSS, Reason.IMMEDIATE, Reason.NO_LIQUIDITY})


def message_kind(text: str) -> str:
    """The kind of an outgoing message, as :meth:`VenueApp.message_kind` names them."""
    return _KINDS.get(text[12 : text.find('"', 12)], "other")


def read_object(text: str | bytes) -> dict[str, Any]:
    """A JSON object; an empty one for anything else."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def request_kind(body: Any) -> str:
    """What a fault rule matches in an action or a reading."""
    word = body.get("type") if isinstance(body, dict) else None
    return _REQUESTS.get(word, "other") if isinstance(word, str) else "other"


def frame(channel: str, data: Any) -> str:
    return msgspec.json.encode({"channel": channel, "data": data}).decode()


class HyperliquidStreams:
    """
    The stream side of one simulated Hyperliquid.

    Args:
        owner: The account's address in lower case.
        post: Answers the ``request`` of a ``post``; None for one that cannot be read.
        now_ms: The venue's clock.
    """

    def __init__(
        self,
        engine: MatchingEngine,
        rows: HyperliquidRows,
        agenda: Agenda,
        clock: Clock,
        *,
        owner: str,
        post: Callable[[Any], Any],
        now_ms: Callable[[], int],
    ) -> None:
        self.history: list[dict[str, Any]] = []
        """One row for each change of an order, oldest first."""
        self.fills: list[dict[str, Any]] = []
        self._engine = engine
        self._rows = rows
        self._agenda = agenda
        self._clock = clock
        self._owner = owner
        self._post = post
        self._now_ms = now_ms
        self._subscribers = Subscribers()
        self._updates: list[dict[str, Any]] = []
        self._new_fills: list[dict[str, Any]] = []
        self._accepted: Order | None = None
        self._changed = {"perp": False, "spot": False}
        self._held_books: set[str] = set()
        agenda.at(at_tick(clock.now_ms(), 1000), self._every_second)

    # -- connections

    def opened(self, peer: Peer) -> None:
        self._subscribers.add(peer)

    def closed(self, peer: Peer) -> None:
        self._subscribers.remove(peer)

    def said(self, peer: Peer, text: str) -> None:
        """Handle a message from the client."""
        subscriber = self._subscribers.of(peer)
        if subscriber is None:
            return
        message = read_object(text)
        method = message.get("method")
        if method == "ping":
            peer.send('{"channel":"pong"}')
            return
        done = False
        if method == "post":
            done = self._answer(peer, message)
        elif method in ("subscribe", "unsubscribe") and isinstance(message.get("subscription"), dict):
            done = self._subscribe(subscriber, method, message["subscription"])
        if not done:
            peer.send(frame("error", f"Error parsing JSON into valid websocket request: {text}"))

    def refused(self, text: str) -> str | None:
        """A subscription to an account's stream, refused; None for any other message."""
        asked = read_object(text).get("subscription")
        if not isinstance(asked, dict) or asked.get("type") not in BY_USER:
            return None
        return frame("error", f"Cannot track more than {MOST_USERS} total users.")

    def _answer(self, peer: Peer, message: Mapping[str, Any]) -> bool:
        number, request = message.get("id"), message.get("request")
        if not isinstance(number, int) or not 0 <= number < 1 << 64 or not isinstance(request, dict):
            return False
        payload = self._post(request)
        if payload is None:
            return False
        self.flush()
        peer.send(frame("post", {"id": number, "response": {"type": request["type"], "payload": payload}}))
        return True

    def _subscribe(self, subscriber: Subscriber, method: str, asked: Mapping[str, Any]) -> bool:
        kind = asked.get("type")
        normal: dict[str, Any] = {"type": kind}
        if kind in BY_USER:
            user = asked.get("user")
            if not isinstance(user, str) or len(user) != 42:
                return False
            normal["user"] = user.lower()
            name = f"{kind}:{user.lower()}"
            if kind == "userFills":
                normal["aggregateByTime"] = bool(asked.get("aggregateByTime", False))
            elif kind in ("clearinghouseState", "openOrders"):
                normal["dex"] = ""
        elif kind in BY_COIN:
            coin = asked.get("coin")
            if not isinstance(coin, str) or coin not in self._engine.listings:
                # Said to close the connection.
                subscriber.peer.close(1000, "")
                return True
            normal["coin"] = coin
            name = f"{kind}:{coin}"
            if kind == "l2Book":
                normal |= {"nSigFigs": asked.get("nSigFigs"), "mantissa": asked.get("mantissa"), "fast": False}
        elif kind == "allMids":
            name = "allMids"
        else:
            return False
        send = subscriber.peer.send
        if method == "unsubscribe":
            subscriber.streams.pop(name, None)
        elif name in subscriber.streams:
            send(frame("error", f"Already subscribed: {msgspec.json.encode(normal).decode()}"))
            return True
        elif self._users(subscriber, name) > MOST_USERS:
            send(frame("error", f"Cannot track more than {MOST_USERS} total users."))
            return True
        else:
            self._engine.look_around()
            subscriber.streams[name] = None
        send(frame("subscriptionResponse", {"method": method, "subscription": normal}))
        if method == "subscribe":
            first = self._first(str(kind), name.partition(":")[2])
            if first is not None:
                send(first)
        return True

    @staticmethod
    def _users(subscriber: Subscriber, name: str) -> int:
        return len({each.partition(":")[2] for each in (*subscriber.streams, name) if ":0x" in each})

    def _first(self, kind: str, about: str) -> str | None:
        """What a new subscriber gets at once."""
        match kind:
            case "userFills":
                fills = self.fills[: -SNAPSHOT_FILLS - 1 : -1] if about == self._owner else []
                return frame("userFills", {"isSnapshot": True, "user": about, "fills": fills})
            case "clearinghouseState" | "spotState" | "openOrders" | "webData2":
                return self._state(kind, about)
            case "bbo":
                return frame("bbo", self._rows.best_prices(about))
            case "l2Book":
                return frame("l2Book", self._rows.book(about))
            case "trades":
                trades = list(self._engine.trades[about])[-RECENT_TRADES:]
                return frame("trades", [self._rows.trade(each) for each in trades])
            case "allMids":
                return frame("allMids", {"mids": self._rows.mids()})
        return None

    def clearinghouse(self, user: str) -> dict[str, Any]:
        """The perp account of an address; an empty one for a stranger's."""
        if user == self._owner:
            return self._rows.clearinghouse(self._now_ms())
        nothing = dict.fromkeys(("accountValue", "totalNtlPos", "totalRawUsd", "totalMarginUsed"), "0.0")
        return {
            "marginSummary": nothing,
            "crossMarginSummary": nothing,
            "crossMaintenanceMarginUsed": "0.0",
            "withdrawable": "0.0",
            "assetPositions": [],
            "time": self._now_ms(),
        }

    def spot(self, user: str) -> dict[str, Any]:
        return self._rows.spot_state() if user == self._owner else {"balances": []}

    def open_orders(self, user: str) -> list[dict[str, Any]]:
        """Newest first."""
        orders = self._engine.open_orders(self._owner) if user == self._owner else []
        return [self._rows.order(order) for order in reversed(orders)]

    def hears(self, symbol: str) -> bool:
        """Whether anybody listens to this market, or to all."""
        every = ("allMids", "webData2")
        return self._subscribers.any_stream(lambda stream: stream.endswith(f":{symbol}") or stream.startswith(every))

    def _state(self, kind: str, user: str) -> str:
        match kind:
            case "clearinghouseState":
                return frame(kind, {"dex": "", "user": user, kind: self.clearinghouse(user)})
            case "spotState":
                return frame(kind, {"user": user, kind: self.spot(user)})
            case "openOrders":
                return frame(kind, {"dex": "", "user": user, "orders": self.open_orders(user)})
        return frame(
            "webData2",
            {
                "clearinghouseState": self.clearinghouse(user),
                "openOrders": self.open_orders(user),
                "spotState": self.spot(user),
                "meta": META,
                "assetCtxs": self._rows.asset_contexts(),
                "spotAssetCtxs": self._rows.spot_contexts(),
                "serverTime": self._now_ms(),
                "isVault": False,
                "user": user,
            },
        )

    # -- events

    def on_event(self, event: EngineEvent) -> None:
        """Keep an event of the engine; the book's own change ends an operation and sends what it caused."""
        match event:
            case Accepted(order):
                self._accepted = order
            case Filled(order, fill):
                self._tell_accepted()
                row = self._rows.fill(fill)
                self.fills.append(row)
                self._new_fills.append(row)
                if not order.live:
                    self._update(order)
            case Cancelled(order) | Expired(order):
                if order.reason in _NEVER_LIVE and not order.filled_i:
                    self._accepted = None
                self._tell_accepted()
                self._update(order)
            case Shrunk(order):
                self._update(order)
            case PositionChanged():
                self._changed["perp"] = True
            case BalanceChanged(_, asset, _):
                self._changed["perp" if asset == CASH else "spot"] = True
            case Traded(trade):
                if self._subscribers.wanted(f"trades:{trade.symbol}"):
                    self._send(f"trades:{trade.symbol}", frame("trades", [self._rows.trade(trade)]))
            case BookChanged():
                self.flush()
                self._on_book(event)

    def wallets_changed(self) -> None:
        """Money moved between the wallets."""
        self._changed = {"perp": True, "spot": True}

    def _tell_accepted(self) -> None:
        order, self._accepted = self._accepted, None
        if order is not None:
            self._update(order)
            self._changed["perp"] = True

    def _update(self, order: Order) -> None:
        self.history.append(self._rows.with_state(self._rows.order(order), order))
        self._updates.append(self._rows.with_state(self._rows.short_order(order), order))

    def flush(self) -> None:
        """Send what the operation caused."""
        self._tell_accepted()
        owner = self._owner
        updates, self._updates = self._updates, []
        fills, self._new_fills = self._new_fills, []
        if updates:
            self._send(f"orderUpdates:{owner}", frame("orderUpdates", updates))
            self._changed["perp"] = True
            self._send_state("openOrders")
        if fills:
            self._send(f"userFills:{owner}", frame("userFills", {"user": owner, "fills": fills}))
            self._send(f"userEvents:{owner}", frame("user", {"fills": fills}))
        if self._changed["perp"]:
            self._changed["perp"] = False
            self._send_state("clearinghouseState")
        if self._changed["spot"]:
            self._changed["spot"] = False
            self._send_state("spotState")

    def _send_state(self, kind: str) -> None:
        if self._subscribers.wanted(f"{kind}:{self._owner}"):
            self._send(f"{kind}:{self._owner}", self._state(kind, self._owner))

    def _send(self, stream: str, text: str) -> None:
        self._subscribers.send(stream, text)

    def _on_book(self, event: BookChanged) -> None:
        symbol = event.symbol
        if event.top_changed and self._subscribers.wanted(f"bbo:{symbol}"):
            self._send(f"bbo:{symbol}", frame("bbo", self._rows.best_prices(symbol)))
        if symbol not in self._held_books and self._subscribers.wanted(f"l2Book:{symbol}"):
            self._held_books.add(symbol)
            self._agenda.at(self._clock.now_ms() + BOOK_MS, lambda: self._send_book(symbol))

    def _send_book(self, symbol: str) -> None:
        self._held_books.discard(symbol)
        self._send(f"l2Book:{symbol}", frame("l2Book", self._rows.book(symbol)))

    def _every_second(self) -> None:
        self._agenda.at(at_tick(self._clock.now_ms(), 1000), self._every_second)
        if self._subscribers.wanted("allMids"):
            self._send("allMids", frame("allMids", {"mids": self._rows.mids()}))
        for user in {name for each in self._subscribers for name in each.streams if name.startswith("webData2:")}:
            self._send(user, self._state("webData2", user.partition(":")[2]))
