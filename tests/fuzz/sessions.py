"""
A recorded session of every room with its own simulator: the requests of a whole trading day, their answers, and every
stream frame. The fuzz tests break these answers and frames one at a time and hand them to the dialect.

A :class:`Scene` is one talk with its answers, and the dialect as it stood before: placed orders, nonces, markets.
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from core.chance import Chance
from core.clock import VirtualClock, run_virtual
from venues import VENUES, open_room
from venues.dialect import HttpCall, HttpReply, OrderKey, PlaceOrder, WsText
from venues.errors import VenueError
from venues.events import Answered
from venues.simulation import open_simulator
from venues.simulation.app import Request

ROOMS = tuple(VENUES)
NO_CALL = HttpCall("GET", "/")


@dataclass(frozen=True)
class Scene:
    """
    One talk. ``says`` is what its honest answers mean: ``taken``, ``refused``, ``found``, ``absent`` or ``read``.
    """

    name: str
    says: str
    dialect: Any
    begin: Callable[[Any], Any]
    replies: tuple[HttpReply, ...]


@dataclass
class Session:
    venue: str
    scenes: list[Scene] = field(default_factory=list)
    frames: list[tuple[str, bytes]] = field(default_factory=list)
    """(line, frame) in order."""
    calls: list[HttpCall] = field(default_factory=list)
    """Requests before they were signed."""
    texts: list[tuple[str, str]] = field(default_factory=list)
    """(line, text) that the client sent."""
    dialect: Any = None
    symbol: str = ""


def fork(dialect: Any) -> Any:
    """A dialect that stands as this one does and learns on its own."""
    twin = copy.copy(dialect)
    for name, value in vars(dialect).items():
        if isinstance(value, (dict, set, list)) and name not in ("markets", "_listed", "_numbers", "_readers"):
            setattr(twin, name, copy.deepcopy(value) if name in ("_sent", "_awaited") else copy.copy(value))
    if hasattr(dialect, "_stand"):
        twin._stand = copy.copy(dialect._stand)
        twin._stand.unconfirmed = set(dialect._stand.unconfirmed)
        twin._stand.held = set(dialect._stand.held)
    return twin


def hold(talk: Any, answer: Callable[[HttpCall], HttpReply]) -> Any:
    """Play a talk to its end."""
    try:
        call = next(talk)
        while True:
            call = talk.send(answer(call))
    except StopIteration as end:
        return end.value
    finally:
        talk.close()


def placed(order: PlaceOrder) -> Callable[[Any], Any]:
    def begin(dialect: Any) -> Any:
        reply = yield NO_CALL
        return dialect.read_placed(order, reply)

    return begin


def cancelled(key: OrderKey) -> Callable[[Any], Any]:
    def begin(dialect: Any) -> Any:
        reply = yield NO_CALL
        return dialect.read_cancelled(key, reply)

    return begin


class _Ear:
    """The client's end of one line."""

    def __init__(self, session: Session, line: str) -> None:
        self.session, self.line, self.got = session, line, []  # type: ignore[var-annotated]

    def send(self, text: str) -> None:
        self.got.append(text)
        self.session.frames.append((self.line, text.encode()))

    def close(self, code: int = 1000, reason: str = "") -> None: ...


class Recorder:
    """One account's client, synchronous, with its simulator in the same process."""

    def __init__(self, venue: str) -> None:
        self.session = Session(venue)
        self.clock = VirtualClock()
        self.sim = open_simulator(venue, clock=self.clock, chance=Chance("fuzz"))
        line = self.sim.bootstrap("memory://x", "memory://x")
        room = open_room(venue)
        self.places = room.endpoints("sim", line)
        self.dialect = room.make_dialect({k: str(v) for k, v in line["credentials"].items()}, self.places)
        self.symbol = line["symbols"]["perp"] if "symbols" in line else room.venue_symbol("SOL", "perp")
        self.ears: dict[str, _Ear] = {}

    def answer(self, call: HttpCall) -> HttpReply:
        self.session.calls.append(call)
        return self.send(self.dialect.sign(call, self.clock.now_ms()))

    def send(self, signed: HttpCall) -> HttpReply:
        """One request as it stands, headers and all."""
        call = signed
        prefix = "/".join(self.places[call.host].split("/")[3:])
        path, _, query = ((f"/{prefix}" if prefix else "") + signed.path).partition("?")
        headers = {name.lower(): value for name, value in signed.headers}
        request = Request(signed.method, path, query, headers, signed.body)
        reply = self.sim.http(request)
        return HttpReply(reply.status, reply.body, {name.lower(): value for name, value in reply.headers.items()})

    def scene(self, name: str, says: str, begin: Callable[[Any], Any]) -> Any:
        """Hold a talk and keep it, answers and all; its result, or the refusal."""
        before, replies = fork(self.dialect), []

        def answer(call: HttpCall) -> HttpReply:
            replies.append(self.answer(call))
            return replies[-1]

        try:
            return hold(begin(self.dialect), answer)
        except VenueError as error:
            return error
        finally:
            self.session.scenes.append(Scene(name, says, before, begin, tuple(replies)))

    def say(self, line: str, text: str) -> list[str]:
        """Send a text on a line; what came back on it."""
        ear = self.ears[line]
        ear.got.clear()
        self.session.texts.append((line, text))
        self.sim.ws_text(ear, text)
        self.sim.advance()
        return list(ear.got)

    def hear(self) -> None:
        for line, frame in self.session.frames:
            self.dialect.decode(line, frame)

    def open_lines(self) -> None:
        for line in self.dialect.lines():
            address = hold(self.dialect.open_line(line.name), self.answer)
            if "://" not in address:
                host, slash, path = address.partition("/")
                address = self.places[host] + slash + path
            path = "/" + "/".join(address.split("/")[3:])
            self.ears[line.name] = ear = _Ear(self.session, line.name)
            self.sim.ws_open(ear, path, {})
            frames = [*self.dialect.login(line.name, self.clock.now_ms())]
            for text in frames:
                for back in self.say(line.name, text):
                    self.dialect.decode(line.name, back)
            for text in self.dialect.subscribe(line.name, (self.symbol,), self.clock.now_ms()):
                for back in self.say(line.name, text):
                    self.dialect.decode(line.name, back)

    async def prepare(self) -> None:
        if self.dialect.unprepared:
            hold(self.dialect.prepare(), self.answer)

    async def order(self, client_id: int, says: str, *, rest: bool = True, **more: Any) -> PlaceOrder:
        """Place an order and keep the scene of its answer."""
        await self.prepare()
        order = PlaceOrder(symbol=self.symbol, client_id=client_id, **more)
        self._ask(self.dialect.place(order, self.clock.now_ms(), rest=rest), f"place {client_id}", says, placed(order))
        await self.pass_by()
        return order

    async def cancel(self, key: OrderKey, says: str, *, rest: bool = True) -> None:
        await self.prepare()
        asked = self.dialect.cancel(key, self.clock.now_ms(), rest=rest)
        self._ask(asked, f"cancel {key.client_id}", says, cancelled(key))
        await self.pass_by()

    def _ask(self, asked: HttpCall | WsText, name: str, says: str, begin: Callable[[Any], Any]) -> None:
        before = fork(self.dialect)
        if isinstance(asked, HttpCall):
            reply = self.answer(asked)
        else:
            events = [
                each for text in self.say(asked.line, asked.text) for each in self.dialect.decode(asked.line, text)
            ]
            told = next(each for each in events if isinstance(each, Answered) and each.request_id == asked.request_id)
            reply, name = HttpReply(told.status, told.body), name + " ws"
        self.session.scenes.append(Scene(name, says, before, begin, (reply,)))
        refusal = None
        try:
            hold(begin(self.dialect), lambda call: reply)
        except VenueError as error:
            refusal = error
        assert (refusal is None) == (says == "taken"), (self.session.venue, name, refusal)

    async def pass_by(self, secs: float = 0.5) -> None:
        await self.clock.sleep(secs)
        self.sim.advance()

    async def play(self) -> Session:
        self.dialect.markets = self.scene("facts", "read", lambda dialect: dialect.facts())
        self.scene("server_time", "read", lambda dialect: dialect.server_time())
        self.scene("prepare", "read", lambda dialect: dialect.prepare())
        self.open_lines()
        facts = self.dialect.markets[self.symbol]
        book = self.scene("top_of_book", "read", lambda dialect: dialect.top_of_book(self.symbol))
        step = facts.price_step(book.bid_i)
        low, high = (book.bid_i * 97 // 100 // step * step, book.ask_i * 102 // 100 // step * step)
        size = 20 * facts.min_size_i
        await self.order(11, "taken", is_ask=False, size_i=size, price_i=low, post_only=True)
        await self.order(12, "taken", is_ask=False, size_i=size, price_i=low - step, rest=False)
        key = OrderKey(symbol=self.symbol, client_id=11)
        for says, state in (("found", "live"), ("found", "ended")):
            self.look(key, says, state)
            if state == "live":
                self.scene("open_orders", "read", lambda dialect: dialect.open_orders(self.symbol))
                self.scene("all open_orders", "read", lambda dialect: dialect.open_orders(None))
                await self.cancel(key, "taken")
                await self.cancel(OrderKey(symbol=self.symbol, client_id=12), "taken", rest=False)
                await self.pass_by(3.0)
        await self.order(13, "taken", is_ask=False, size_i=size, price_i=high, worst_price_i=high)
        await self.order(14, "taken", is_ask=False, size_i=size, price_i=None, worst_price_i=high, rest=False)
        await self.pass_by(3.0)
        for client_id in (13, 14):
            done = OrderKey(symbol=self.symbol, client_id=client_id)
            self.look(done, "found", "filled")
            self.scene(f"fills {client_id}", "read", lambda dialect, key=done: dialect.order_fills(key))
        since_ms = self.clock.now_ms() - 60_000
        self.scene("recent_fills", "read", lambda dialect: dialect.recent_fills(since_ms))
        for name in ("positions", "balances", "margin"):
            self.scene(name, "read", lambda dialect, name=name: getattr(dialect, name)())
        nobody = OrderKey(symbol=self.symbol, client_id=99, sent_ms=self.clock.now_ms())
        self.look(nobody, "absent", "never sent")
        self.look_again()
        await self.order(15, "taken", is_ask=True, size_i=size, price_i=high, rest=False)
        self.scene("fence", "read", lambda dialect: dialect.fence(OrderKey(symbol=self.symbol, client_id=15)))
        await self.prepare()
        self.scene("dead_man", "read", lambda dialect: dialect.dead_man(self.symbol, 30))
        await self.prepare()
        self.scene("dead_man off", "read", lambda dialect: dialect.dead_man(self.symbol, 0))
        await self.prepare()
        self.scene("cancel_all", "read", lambda dialect: dialect.cancel_all(self.symbol))
        for line in self.dialect.lines():
            self.scene(f"open_line {line.name}", "read", lambda dialect, n=line.name: dialect.open_line(n))
            self.scene(f"upkeep {line.name}", "read", lambda dialect, n=line.name: dialect.upkeep(n))
        await self.pass_by(3.0)
        for rest in (True, False):
            huge = 10**9 * size
            await self.order(20 + rest, "refused", is_ask=False, size_i=huge, price_i=low, rest=rest)
        await self.pass_by(3.0)
        self.session.dialect, self.session.symbol = self.dialect, self.symbol
        return self.session

    def look_again(self) -> None:
        """The first order, by answers of a venue that has forgotten its id and lists it elsewhere."""
        named = {scene.name: scene.replies for scene in self.session.scenes}
        nobody, listed = named["look_up never sent 99"], named["open_orders"]
        venue_id = hold(self.dialect.open_orders(self.symbol), lambda call: listed[0])[-1].venue_id
        for history in (nobody, tuple(map(_last_state, nobody))):
            for name, known, replies in (
                ("history", "", history),
                ("open list", "", (nobody[0], *listed, *nobody[2:])),
                ("open list, older id", venue_id, (nobody[0], *listed, *nobody[2:])),
            ):
                key = OrderKey(
                    symbol=self.symbol,
                    client_id=12 if known else 11,
                    venue_id=known or None,
                    sent_ms=self.clock.now_ms() - 60_000,
                )
                scene = Scene(
                    f"look_up {name}", "found", fork(self.dialect), lambda d, key=key: d.look_up(key), tuple(replies)
                )
                waiting = list(replies)
                try:
                    seen = hold(scene.begin(fork(self.dialect)), lambda call, waiting=waiting: waiting.pop(0))
                except (VenueError, IndexError):
                    continue
                if seen is not None:
                    self.session.scenes.append(scene)

    def look(self, key: OrderKey, says: str, state: str) -> None:
        seen = self.scene(f"look_up {state} {key.client_id}", says, lambda dialect: dialect.look_up(key))
        assert (seen is None) == (says == "absent"), (self.session.venue, state, seen)
        assert not isinstance(seen, VenueError), (self.session.venue, state, seen)


def _last_state(reply: HttpReply) -> HttpReply:
    """A history with one row for each order, where the venue has one for each change."""
    rows = json.loads(reply.body)
    if not (isinstance(rows, list) and rows and "statusTimestamp" in rows[0]):
        return reply
    newest = {row["order"]["oid"]: row for row in reversed(rows)}
    return HttpReply(reply.status, json.dumps(list(newest.values())).encode(), reply.headers)


@functools.cache
def session(venue: str) -> Session:
    """The day of this venue; recorded once."""

    async def record() -> Session:
        return await Recorder(venue).play()

    return run_virtual(record())
