"""
A toy exchange for tests of the shell: a dialect of a made-up language, and a wire that plays the exchange from a
script. It copies no venue: every answer is a JSON value that the toy dialect itself invented.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal

from core.chance import Chance
from core.clock import VirtualClock, run_virtual
from venues.connector import Connector
from venues.dialect import HttpCall, HttpReply, Line, OrderKey, PlaceOrder, RateRules, WsText
from venues.errors import OutcomeUnknown, Refused, WireError
from venues.events import (
    Answered,
    BalanceSeen,
    BookSeen,
    FillSeen,
    LineReady,
    LineRefused,
    MarginSeen,
    MarketFacts,
    OrderSeen,
    PositionSeen,
    Source,
    Status,
    Unreadable,
)
from venues.interface import Abilities
from venues.wire import Broken, NotSent

COIN = "COIN"
ENDPOINTS = {"rest": "toy://rest", "ws": "toy://ws"}


def market(symbol: str = COIN) -> MarketFacts:
    return MarketFacts(
        symbol=symbol,
        base=symbol,
        quote="USD",
        kind="perp",
        price_decimals=2,
        size_decimals=3,
        tick_i=1,
        lot_i=1,
        min_size_i=10,
    )


def order(client_id: int | None = 1, **more) -> OrderSeen:
    fields = {
        "symbol": COIN,
        "client_id": client_id,
        "venue_id": f"v{client_id}",
        "status": Status.OPEN,
        "is_ask": False,
        "size_i": 50,
        "filled_i": 0,
    }
    return OrderSeen(**{**fields, **more})


def fill(trade_id: str = "t1", **more) -> FillSeen:
    fields = {
        "symbol": COIN,
        "trade_id": trade_id,
        "client_id": 1,
        "venue_id": "v1",
        "is_ask": False,
        "size_i": 5,
        "price": Decimal("1.5"),
        "fee": Decimal(0),
        "fee_asset": "USD",
    }
    return FillSeen(**{**fields, **more})


PRIVATE = Line(name="account", private=True, needs_login=True, acks_subscriptions=True)
PUBLIC = Line(name="books", private=False, ping_text="are you there")


class ToyDialect:
    """Speaks ``{"k": kind, …}``. Requests name their duty as the path; answers are what the script says."""

    name = "toy"
    abilities = Abilities(
        order_entry="rest",
        post_only=True,
        reduce_only=True,
        max_client_id=1000,
        expiry_ms=5000,
        read_lag_ms=1000,
        history_by_client_id=True,
        dead_mans_switch=False,
        spot=False,
        spot_fee_in_base=False,
    )

    def __init__(self, *lines: Line) -> None:
        self.markets = {}
        self._lines = lines or (PRIVATE, PUBLIC)
        self.ws_orders = False
        self.address = "ws/{line}"

    def _ask(self, path: str, method: str = "GET", **words):
        reply = yield HttpCall(method, path, json.dumps(words).encode() if words else b"")
        if reply.status == 401:
            raise Refused("AUTH", "who are you?")
        if reply.status == 425:
            raise Refused("CLOCK_SKEW", "you live in another time")
        if reply.status == 400:
            raise WireError("UNREADABLE", "nonsense", raw=reply.body.decode())
        return json.loads(reply.body)

    def facts(self):
        return {symbol: market(symbol) for symbol in (yield from self._ask("/markets"))}

    def server_time(self):
        return (yield from self._ask("/time"))

    def sign(self, call, now_ms):
        return HttpCall(call.method, call.path, call.body, (("signed", str(now_ms)),), host=call.host)

    def prepare(self):
        return
        yield

    unprepared = False
    rates = RateRules()

    def order_line(self, symbol: str):
        return None

    def fence(self, key: OrderKey):
        return False
        yield

    def dead_man(self, symbol: str, secs: int):
        return
        yield

    def place(self, order: PlaceOrder, now_ms: int, *, rest: bool = False):
        words = json.dumps({"cid": order.client_id, "price": order.price_i, "reduce": order.reduce_only})
        if self.ws_orders:
            return WsText("account", f"r{order.client_id}", json.dumps({"k": "place", "r": f"r{order.client_id}"}))
        return HttpCall("POST", "/order", words.encode())

    def read_placed(self, placed, reply):
        if reply.status >= 500:
            raise OutcomeUnknown("IN_DOUBT", "the exchange stumbled")
        if reply.status == 425:
            raise Refused("CLOCK_SKEW", "you live in another time")
        if reply.status == 422:
            raise Refused("MIN_SIZE", "too small")
        if reply.status == 400:
            raise WireError("UNREADABLE", "nonsense", raw="nonsense")
        if reply.status == 202:
            return []
        told = json.loads(reply.body)
        return [order(placed.client_id, venue_id=told["id"], source=Source.REST)]

    def cancel(self, key: OrderKey, now_ms: int, *, rest: bool = False):
        return HttpCall("DELETE", "/order", json.dumps({"cid": key.client_id, "id": key.venue_id}).encode())

    def read_cancelled(self, key, reply):
        if reply.status == 404:
            raise Refused("ORDER_NOT_FOUND", "no such order")
        json.loads(reply.body)
        return [order(key.client_id, status=Status.CANCELLED, source=Source.REST)]

    def cancel_all(self, symbol):
        ids = yield from self._ask("/orders", "DELETE")
        yield from self._ask("/orders/check")
        return [order(cid, status=Status.CANCELLED, source=Source.REST) for cid in ids]

    def look_up(self, key):
        for place in ("/open", "/history"):
            for cid in (yield from self._ask(place)):
                if cid == key.client_id:
                    return order(cid, venue_id=key.venue_id or "found", source=Source.REST)
        return None

    def open_orders(self, symbol):
        return [order(cid, source=Source.REST) for cid in (yield from self._ask("/open"))]

    def order_fills(self, key):
        return [fill(t, source=Source.REST) for t in (yield from self._ask("/fills"))]

    def recent_fills(self, since_ms):
        return [fill(t, source=Source.REST) for t in (yield from self._ask(f"/fills?since={since_ms}"))]

    def positions(self):
        return [PositionSeen(symbol=s, quantity=Decimal(q)) for s, q in (yield from self._ask("/positions")).items()]

    def balances(self):
        return [
            BalanceSeen(asset=a, free=Decimal(q), total=Decimal(q))
            for a, q in (yield from self._ask("/balances")).items()
        ]

    def margin(self):
        amount = Decimal((yield from self._ask("/margin")))
        return MarginSeen(balance=amount, available=amount)

    def top_of_book(self, symbol):
        bid, ask, seq = yield from self._ask(f"/book?symbol={symbol}")
        return BookSeen(symbol=symbol, bid_i=bid, ask_i=ask, seq=seq, source=Source.REST)

    def lines(self):
        return self._lines

    def open_line(self, line):
        yield from self._ask("/listen", "POST")
        return self.address.format(line=line)

    def login(self, line, now_ms):
        return [json.dumps({"k": "login", "at": now_ms})] if line == "account" else []

    def subscribe(self, line, symbols, now_ms):
        return [json.dumps({"k": "subscribe", "to": list(symbols)})]

    def upkeep(self, line):
        yield from self._ask("/upkeep", "PUT")

    def decode(self, line, data):
        told = json.loads(data)
        kind = told.pop("k")
        if kind == "explode":
            raise ZeroDivisionError
        if kind == "book":
            return [BookSeen(symbol=COIN, bid_i=told["bid"], ask_i=told["ask"], seq=told["seq"])]
        if kind == "several":
            return [event for part in told["parts"] for event in self.decode(line, json.dumps(part))]
        made = {
            "ready": lambda: LineReady(stage=told["stage"]),
            "refused": lambda: LineRefused(code=told["code"], hint="no", raw=told.get("raw", "")),
            "order": lambda: order(**told),
            "fill": lambda: fill(**told),
            "answer": lambda: Answered(request_id=told["r"], status=told["status"], body=told["body"].encode()),
        }
        return [made[kind]()] if kind in made else [Unreadable(why="no such word", text=str(data))]


class ToyLink:
    """The exchange's end is :meth:`say` and :meth:`cut`; ``sent`` is what it heard."""

    def __init__(self, wire: ToyWire, url: str) -> None:
        self.wire, self.url = wire, url
        self.sent: list[dict] = []
        self.pings: list[float] = []
        self.closed = False
        self._inbox: asyncio.Queue = asyncio.Queue()

    def say(self, kind: str, **words) -> None:
        self._inbox.put_nowait(json.dumps({"k": kind, **words}))

    def say_raw(self, data: str | bytes) -> None:
        self._inbox.put_nowait(data)

    def cut(self) -> None:
        self._inbox.put_nowait(None)

    async def send(self, text: str) -> None:
        if self.wire.send_fails:
            raise Broken("the pipe is shut")
        if text == PUBLIC.ping_text:
            self.pings.append(self.wire.clock.monotonic())
            if not self.wire.silent:
                self._inbox.put_nowait('{"k": "several", "parts": []}')
            return
        told = json.loads(text)
        self.sent.append(told)
        for kind, words in self.wire.on_text(self, told):
            self.say(kind, **words)

    async def receive(self):
        data = await self._inbox.get()
        if data is None:
            raise Broken("cut")
        return data

    async def ping(self) -> None:
        self.pings.append(self.wire.clock.monotonic())
        if self.wire.silent:
            await asyncio.sleep(3600)

    async def close(self) -> None:
        self.closed = True
        await asyncio.sleep(self.wire.close_secs)
        if self.wire.close_fails:
            raise OSError("already gone")


class ToyWire:
    """
    The exchange, healthy unless told otherwise. ``answers[path]`` is what a path is answered with: a JSON value,
    an ``HttpReply``, an exception to raise, a function of the call, or a list of these used up one by one
    (the last one stays).
    """

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.skew_ms = 0
        self.latency_secs = 0.01
        self.close_secs = 0.0
        self.calls: list[HttpCall] = []
        self.links: list[ToyLink] = []
        self.connect_fails: list[Exception] = []
        self.silent = self.mute = self.send_fails = self.close_fails = self.closed = False
        self.answers = {
            "/time": lambda call: self.clock.now_ms() + self.skew_ms,
            "/markets": [[COIN, "COINS"]],
            "/listen": [{}],
            "/open": [[]],
            "/history": [[]],
            "/positions": [{}],
            "/balances": [{"USD": "100"}],
            "/margin": ["100"],
            "/fills": [[]],
            "/book": [[100, 101, 7]],
            "/order": [{"id": "v7"}],
            "/orders": [[]],
            "/orders/check": [[]],
            "/upkeep": [{}],
        }
        self.replies_to = {
            "login": [("ready", {"stage": "login"})],
            "subscribe": [("ready", {"stage": "subscribed"})],
        }

    def on_text(self, link: ToyLink, told: dict):
        return [] if self.mute else self.replies_to.get(told["k"], [])

    def asked(self, path: str) -> list[HttpCall]:
        return [call for call in self.calls if call.path.partition("?")[0] == path]

    def link(self, line: str = "account") -> ToyLink:
        """The newest connection of a line."""
        return [link for link in self.links if link.url.endswith(line)][-1]

    async def request(self, base_url: str, call: HttpCall, timeout_secs: float) -> HttpReply:
        assert base_url == ENDPOINTS["rest"]
        self.calls.append(call)
        answer = self.answers[call.path.partition("?")[0]]
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if callable(answer):
            answer = answer(call)
        if not isinstance(answer, NotSent):
            await self.clock.sleep(self.latency_secs)
        if asyncio.iscoroutine(answer):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, HttpReply):
            return answer
        return HttpReply(200, json.dumps(answer).encode())

    async def connect(self, url: str, timeout_secs: float) -> ToyLink:
        await self.clock.sleep(self.latency_secs)
        if self.connect_fails:
            raise self.connect_fails.pop(0)
        self.links.append(ToyLink(self, url))
        return self.links[-1]

    async def aclose(self) -> None:
        self.closed = True


class ToyLog:
    """Keeps every line: (level, event, words)."""

    def __init__(self, level: int = 10) -> None:
        self.lines: list[tuple[str, str, dict]] = []
        self.level = level

    def isEnabledFor(self, level: int) -> bool:
        return level >= self.level

    def debug(self, event, /, **words):
        self.lines.append(("debug", event, words))

    def info(self, event, /, **words):
        self.lines.append(("info", event, words))

    def warning(self, event, /, **words):
        self.lines.append(("warning", event, words))

    def error(self, event, /, **words):
        self.lines.append(("error", event, words))


class Toy:
    """A connector on the toy exchange, and everything its listener heard."""

    def __init__(self, *lines: Line, log=None, **settings) -> None:
        self.wire = ToyWire()
        self.dialect = ToyDialect(*lines)
        self.connector = Connector(self.dialect, ENDPOINTS, self.wire, self.wire.clock, Chance(1), log=log, **settings)
        self.heard: list = []
        self.connector.subscribe(self.heard.append)

    def states(self) -> list[str]:
        return [event.state for event in self.heard if type(event).__name__ == "SessionSeen"]

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.heard]

    async def sleep(self, secs: float) -> None:
        await self.wire.clock.sleep(secs)

    async def submit(self, client_id=1, **more) -> str:
        words = {"symbol": COIN, "client_order_index": client_id, "base_amount": 50, "price": 100, "is_ask": False}
        return await self.connector.submit_limit_order(**{**words, **more})


def play(story: Callable, *lines: Line, started: bool = True, **settings):
    """Run ``story(toy)`` on virtual time with a connector that is started before and stopped after."""

    async def main():
        toy = Toy(*lines, **settings)
        try:
            if started:
                await toy.connector.start()
            return await story(toy)
        finally:
            await toy.connector.stop()
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, left

    return run_virtual(main())
