"""
Lighter's stream: who subscribed to what, and every event of the engine printed for them.

Channels are asked for with a slash (``ticker/2``) and told with a colon (``ticker:2``). The first frame of a channel is
its snapshot, ``subscribed/…``; changes follow as ``update/…``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from core.clock import Clock
from venues.simulation.app import Peer
from venues.simulation.desk import Agenda, Subscribers, at_tick, json_text
from venues.simulation.engine import MatchingEngine
from venues.simulation.forms import read_json
from venues.simulation.lighter_rows import MARKET_ROWS, NUMBERS, SPOT_USDC, LighterRows, by_market
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
    TimeInForce,
    Traded,
)

BOOK_MS: Final = 50
"""Changes of a book are gathered for this long."""
SNAPSHOT_TRADES: Final = 50
_PUBLIC: Final = re.compile(
    r"(?:ticker|order_book|trade|market_stats|spot_market_stats)/(?P<market>\d{1,5}|all)|height"
)
_PRIVATE: Final = re.compile(
    r"(?P<kind>account_all_orders|account_all_trades|account_all_positions|account_all_assets|user_stats|account_all"
    r"|account_tx|notification)/(?P<account>\d{1,16})"
    r"|(?P<market_kind>account_orders|account_market)/(?P<market>\d{1,5})/(?P<owner>\d{1,16})"
)
# Who watches these without a token: ccxt the trades and the statistics, the SDK's own client the whole account.
LENIENT: Final = frozenset({"account_all_trades", "user_stats", "account_all"})
_BAD_TOKEN: Final = (20013, "invalid auth: invalid auth token")
_KINDS: Final = (
    ("account_all_orders", "order"),
    ("account_orders", "order"),
    ("account_all_trades", "fill"),
    ("account_all_positions", "position"),
    ("account_all_assets", "balance"),
    ("user_stats", "balance"),
    ("ticker", "book"),
    ("order_book", "book"),
)


def message_kind(text: str) -> str:
    """The kind of an outgoing message, as :meth:`VenueApp.message_kind` names them."""
    if '"type":"subscribed/' in text[-64:]:
        # The answer to a subscription, whatever it shows.
        return "other"
    channel = text.partition('"channel":"')[2][:32]
    return next((kind for prefix, kind in _KINDS if channel.startswith(prefix)), "other")


class LighterStreams:
    """
    The stream side of one simulated Lighter.

    Args:
        token_is_good: Whether a token opens an account's private channels now.
        send: Takes the ``data`` of a transaction frame and gives the answer to it.
        strict: Ask for a token on :data:`LENIENT` channels, too.
    """

    def __init__(
        self,
        engine: MatchingEngine,
        rows: LighterRows,
        agenda: Agenda,
        clock: Clock,
        *,
        token_is_good: Callable[[str], bool],
        send: Callable[[str, Any], dict[str, Any]],
        venue_ms: Callable[[], int],
        strict: bool,
    ) -> None:
        self._engine = engine
        self._rows = rows
        self._agenda = agenda
        self._clock = clock
        self._token_is_good = token_is_good
        self._send_transaction = send
        self._venue_ms = venue_ms
        self._strict = strict
        self._subscribers = Subscribers()
        self._gathered: dict[str, tuple[int, dict[int, int], dict[int, int]]] = {}
        self._offsets: dict[str, int] = {}
        self._sessions = 0
        self.muted = False
        """True while an order is being replaced: what happens inside is not told."""
        self.doomed = False
        """True while an order comes in that cannot live: only its end is told."""
        agenda.at(at_tick(clock.now_ms(), 1000), self._every_second)

    def opened(self, peer: Peer) -> None:
        self._subscribers.add(peer)
        self._sessions += 1
        peer.send(json_text({"session_id": f"s-{self._sessions}", "type": "connected"}))

    def closed(self, peer: Peer) -> None:
        self._subscribers.remove(peer)

    # -- what clients say

    def said(self, peer: Peer, text: str) -> None:
        """Handle a frame from the client."""
        subscriber = self._subscribers.of(peer)
        if subscriber is None:
            return
        try:
            frame = read_json(text)
        except ValueError:
            peer.send(_error(30000, "Invalid Json"))
            return
        frame = frame if isinstance(frame, dict) else {}
        kind, channel = frame.get("type"), frame.get("channel")
        if kind in ("jsonapi/sendtx", "jsonapi/sendtxbatch"):
            peer.send(json_text(self._send_transaction(kind, frame.get("data"))))
        elif kind == "ping":
            peer.send('{"type":"pong"}')
        elif kind == "subscribe" and isinstance(channel, str):
            self._subscribe(peer, subscriber.streams, channel, frame.get("auth"))
        elif kind == "unsubscribe" and isinstance(channel, str):
            if channel in subscriber.streams:
                del subscriber.streams[channel]
                peer.send(json_text({"type": "unsubscribed", "channel": _colon(channel)}))
            else:
                peer.send(_error(30002, f"Not Subscribed to : {_colon(channel)}"))
        elif kind != "pong":
            peer.send(_error(30001, "Invalid Type"))

    def _subscribe(self, peer: Peer, streams: dict[str, None], channel: str, token: Any) -> None:
        problem = self._problem(channel, token)
        if problem is None and channel in streams:
            problem = (30003, f"Already Subscribed to : {_colon(channel)}")
        if problem is not None:
            peer.send(_error(*problem))
            return
        if channel.startswith("order_book/"):
            # What is gathered goes to the others first, so that the newcomer's first change follows its snapshot.
            self._send_book(MARKET_ROWS[int(channel.partition("/")[2])]["symbol"])
        self._engine.look_around()
        streams[channel] = None
        peer.send(json_text(self._snapshot(channel)))

    def _problem(self, channel: str, token: Any) -> tuple[int, str] | None:
        if public := _PUBLIC.fullmatch(channel):
            market = public["market"]
            known = market in (None, "all") or int(market) in MARKET_ROWS
            return None if known else (30005, "Invalid Channel:  (marketId)")
        private = _PRIVATE.fullmatch(channel)
        if private is None:
            return 30005, f"Invalid Channel: {channel[:60]}"
        if private["market"] is not None and int(private["market"]) not in MARKET_ROWS:
            return 30005, "Invalid Channel:  (marketId)"
        if int(private["account"] or private["owner"]) != self._rows.number:
            return 30005, "Invalid Channel:  (accountIndex)"
        if token is None and private["kind"] in LENIENT and not self._strict:
            return None
        good = isinstance(token, str) and self._token_is_good(token)
        return None if good else _BAD_TOKEN

    def refused(self, text: str) -> str | None:
        """A subscription with a token, refused; None for any other frame."""
        return _error(*_BAD_TOKEN) if '"auth"' in text and '"subscribe"' in text else None

    def end_private(self) -> None:
        """The account's channels end with a word about the token: what the venue does then is in no recording."""
        for each in self._subscribers:
            private = [channel for channel in each.streams if _PRIVATE.fullmatch(channel)]
            for channel in private:
                del each.streams[channel]
            if private:
                each.peer.send(_error(*_BAD_TOKEN))

    def hears(self, symbol: str) -> bool:
        """Whether anybody listens to a public channel of this market, or of all."""
        ends = (f"/{NUMBERS[symbol]}", "/all")
        return self._subscribers.any_stream(lambda channel: channel.endswith(ends))

    # -- what is told

    def _frame(self, word: str, channel: str, body: dict[str, Any]) -> dict[str, Any]:
        kind = channel.partition("/")[0]
        return {"type": f"{word}/{kind}", "channel": _colon(channel), **body}

    def _snapshot(self, channel: str) -> dict[str, Any]:
        kind, _, rest = channel.partition("/")
        engine, rows, owner = self._engine, self._rows, self._rows.account.name
        body: dict[str, Any] = {"timestamp": self._venue_ms()}
        if kind in ("ticker", "order_book", "trade", "market_stats", "spot_market_stats"):
            return self._frame("subscribed", channel, body | self._public_body(kind, rest))
        if kind == "account_all_orders":
            open_rows = [rows.order(order) for order in engine.open_orders(owner)]
            body |= {"orders": by_market(open_rows, "market_index")}
        elif kind == "account_orders":
            symbol = MARKET_ROWS[int(rest.partition("/")[0])]["symbol"]
            open_rows = [rows.order(order) for order in engine.open_orders(owner, symbol)]
            body |= self._order_body(open_rows)
        elif kind == "account_all_trades":
            fills = [rows.fill(fill) for fill in engine.fills[-SNAPSHOT_TRADES:]]
            body |= {"trades": by_market(fills, "market_id")}
        elif kind == "account_market":
            number = int(rest.partition("/")[0])
            symbol = MARKET_ROWS[number]["symbol"]
            body |= {
                "account": rows.number,
                "assets": None,
                "funding_history": None,
                "orders": [rows.order(order) for order in engine.open_orders(owner, symbol)],
                "position": rows.position(symbol) if engine.listings[symbol].is_perp else None,
                "trades": [],
            }
        else:
            body |= self._account_body(kind)
        return self._frame("subscribed", channel, body)

    def _public_body(self, kind: str, market: str) -> dict[str, Any]:
        if kind in ("market_stats", "spot_market_stats"):
            wanted = "spot" if kind.startswith("spot") else "perp"
            rows = {
                str(number): self._rows.market_stats(row["symbol"])
                for number, row in MARKET_ROWS.items()
                if market == str(number) or (market == "all" and row["market_type"] == wanted)
            }
            return {kind: rows if market == "all" else rows[market]}
        symbol = MARKET_ROWS[int(market)]["symbol"]
        book = self._engine.books[symbol]
        if kind == "ticker":
            return {
                "ticker": self._rows.ticker(symbol),
                "nonce": book.update_id,
                "last_updated_at": book.changed_us,
            }
        if kind == "trade":
            trades = [self._rows.trade(trade) for trade in list(self._engine.trades[symbol])[-SNAPSHOT_TRADES:]]
            return {"trades": trades, "liquidation_trades": [], "nonce": book.update_id}
        bids, asks = book.bids.ascending()[::-1], book.asks.ascending()
        return self._book_body(symbol, 0, bids, asks)

    def _book_body(self, symbol: str, begin: int, bids: Any, asks: Any) -> dict[str, Any]:
        book = self._engine.books[symbol]
        # Rises by more than one: the venue's offsets are not contiguous.
        offset = self._offsets[symbol] = self._offsets.get(symbol, 2000) + 3
        return {
            "offset": offset,
            "last_updated_at": book.changed_us,
            "order_book": {
                "code": 0,
                "asks": self._rows.levels(symbol, asks),
                "bids": self._rows.levels(symbol, bids),
                "offset": offset,
                "nonce": book.update_id,
                "begin_nonce": begin,
                "last_updated_at": book.changed_us,
            },
        }

    def _order_body(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        nonce = max((row["nonce"] for row in rows), default=0)
        return {"account": self._rows.number, "nonce": nonce, "orders": by_market(rows, "market_index")}

    def _account_body(self, kind: str) -> dict[str, Any]:
        rows = self._rows
        if kind == "account_all_positions":
            return {
                "positions": rows.positions(),
                "shares": [],
                "last_funding_round": None,
                "last_funding_discount": None,
            }
        if kind == "account_all_assets":
            return {"assets": rows.assets()}
        if kind == "user_stats":
            return {"stats": rows.stats()}
        if kind == "account_all":
            return {
                "account": rows.number,
                "assets": rows.assets(),
                "positions": rows.positions(),
                "trades": {},
                "funding_histories": {},
                "shares": [],
            }
        return {"txs": []} if kind == "account_tx" else {"notifs": []}

    def _send(self, channel: str, body: Callable[[], dict[str, Any]]) -> None:
        if self._subscribers.wanted(channel):
            self._subscribers.send(channel, json_text(self._frame("update", channel, body())))

    def _send_account(self, *kinds: str) -> None:
        for kind in kinds:
            stamp = {"timestamp": self._venue_ms()}
            self._send(
                f"{kind}/{self._rows.number}", lambda kind=kind, stamp=stamp: self._account_body(kind) | stamp  # type: ignore[misc]
            )

    def on_event(self, event: EngineEvent) -> None:
        """Tell an event of the engine to whom it concerns."""
        match event:
            case BookChanged():
                self._on_book(event)
            case Traded(trade):
                number = NUMBERS[trade.symbol]
                nonce = self._engine.peek(trade.symbol).update_id
                self._send(
                    f"trade/{number}",
                    lambda: {"trades": [self._rows.trade(trade)], "liquidation_trades": [], "nonce": nonce},
                )
            case _ if self.muted:
                pass
            case Accepted(order) if self.doomed or order.price_i is None or order.time_in_force is TimeInForce.IOC:
                # Never open: the first word is a trade or the end.
                pass
            case Filled(order, fill):
                self._send(
                    f"account_all_trades/{self._rows.number}",
                    lambda: {"trades": by_market([self._rows.fill(fill)], "market_id")},
                )
                self._on_order(order)
            case Accepted(order) | Cancelled(order) | Expired(order) | Shrunk(order):
                self._on_order(order)
            case PositionChanged():
                self._send_account("account_all_positions", "user_stats", "account_all")
            case BalanceChanged(_, asset, _):
                self._send_account("account_all_assets" if asset in (SPOT_USDC, "ETH") else "user_stats")

    def _on_order(self, order: Any) -> None:
        row = self._rows.order(order)
        self._send(f"account_all_orders/{self._rows.number}", lambda: {"orders": by_market([row], "market_index")})
        self._send(f"account_orders/{row['market_index']}/{self._rows.number}", lambda: self._order_body([row]))

    def _on_book(self, event: BookChanged) -> None:
        symbol, number = event.symbol, NUMBERS[event.symbol]
        stamp = {"timestamp": event.us // 1000}
        if event.top_changed:
            self._send(f"ticker/{number}", lambda: self._public_body("ticker", str(number)) | stamp)
        if not self._subscribers.wanted(f"order_book/{number}"):
            return
        if symbol not in self._gathered:
            self._gathered[symbol] = (event.first_id - 1, {}, {})
            self._agenda.at(self._clock.now_ms() + BOOK_MS, lambda: self._send_book(symbol))
        _, bids, asks = self._gathered[symbol]
        bids.update(event.bids)
        asks.update(event.asks)

    def _send_book(self, symbol: str) -> None:
        if symbol not in self._gathered:
            return
        begin, bids, asks = self._gathered.pop(symbol)
        stamp = {"timestamp": self._venue_ms()}
        body = self._book_body(symbol, begin, sorted(bids.items(), reverse=True), sorted(asks.items()))
        self._send(f"order_book/{NUMBERS[symbol]}", lambda: body | stamp)

    def _every_second(self) -> None:
        self._agenda.at(at_tick(self._clock.now_ms(), 1000), self._every_second)
        for number, row in MARKET_ROWS.items():
            kind = "market_stats" if row["market_type"] == "perp" else "spot_market_stats"
            for market in (str(number), "all"):
                stamp = {"timestamp": self._venue_ms()}
                self._send(
                    f"{kind}/{market}",
                    lambda kind=kind, market=market, stamp=stamp: self._public_body(kind, market) | stamp,  # type: ignore[misc]
                )


def _colon(channel: str) -> str:
    return channel.replace("/", ":")


def _error(code: int, message: str) -> str:
    return json_text({"error": {"code": code, "message": message}})
