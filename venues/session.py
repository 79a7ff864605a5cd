"""
The streams of one account. A :class:`Session` keeps one line alive: connect, log in, subscribe, up; lost, wait a
little longer each time, and again. :class:`Streams` holds all lines of a venue and says when they are in step with it.

Neither ends by itself. What goes wrong is told and survived; only cancelling ``run`` stops it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NoReturn, cast

import anyio

from core.chance import Chance
from core.clock import Clock
from core.retry import backoff
from venues.budget import Use
from venues.dialect import Dialect, HttpReply, Line, WsText
from venues.errors import LocalRuleError, Refused, VenueError
from venues.events import (
    Answered,
    BookSeen,
    FillSeen,
    LineReady,
    LineRefused,
    OrderSeen,
    SessionSeen,
    SnapshotSeen,
    Source,
    StreamEvent,
    Unreadable,
    VenueEvent,
)
from venues.wire import Broken, Link, Log, NotSent, Talks, Wire, trace_of

HANDSHAKE_SECS: Final = 10.0
"""Longest time to connect, and again to log in and subscribe."""
STABLE_SECS: Final = 60.0
"""A line that was up for this long starts again with the shortest wait."""
CLOSE_SECS: Final = 2.0
FILLS_MARGIN_MS: Final = 60_000
"""A snapshot asks for fills from this long before the last one that was told."""
IDS_KEPT: Final = 10_000
TEXT_KEPT: Final = 500
"""Characters of an unreadable message that are kept."""
DEBUG: Final = 10


class Silence:
    """A log that nobody reads."""

    def debug(self, event: str, /, **words: Any) -> None: ...

    info = warning = error = debug

    def isEnabledFor(self, level: int) -> bool:
        return False


class Session:
    """
    One line. ``books`` holds the newest top of each book seen on it since it came up; ``losses`` counts how
    often it went down after it was up.
    """

    def __init__(
        self, line: Line, dialect: Dialect, wire: Wire, clock: Clock, chance: Chance, streams: Streams, log: Log
    ) -> None:
        self.line = line
        self.up = False
        self.losses = 0
        self.books: dict[str, BookSeen] = {}
        self._dialect = dialect
        self._wire = wire
        self._clock = clock
        self._chance = chance
        self._streams = streams
        self._log = log
        self._decode = dialect.decode
        self._answers: dict[str, asyncio.Future[Answered | None]] = {}
        self._link: Link | None = None
        self._frames = 0
        self._greeted = False
        self._over = True
        self._scope: anyio.CancelScope | None = None
        self._ready = {"login": anyio.Event(), "subscribed": anyio.Event()}
        self._handlers = cast(
            "Mapping[type, Callable[[StreamEvent], None]]",
            {
                BookSeen: self._take_book,
                Answered: self._take_answer,
                LineReady: self._take_ready,
                LineRefused: self._take_refusal,
            },
        )

    async def run(self) -> NoReturn:
        """Keep the line alive until cancelled."""
        waits = backoff(self._chance)
        while True:
            began = self._clock.monotonic()
            try:
                await self._live()
            finally:
                self._clear()
            if self._clock.monotonic() - began >= STABLE_SECS:
                waits = backoff(self._chance)
            await self._clock.sleep(next(waits))

    async def ask(self, request: WsText, timeout_secs: float) -> HttpReply:
        """
        Send a request on this line and wait for its answer.

        Raises:
            NotSent: the line is not up.
            Broken: no answer in time, or the line broke; the request may have arrived.
        """
        link = self._link
        if link is None or not self.up:
            raise NotSent(f"line {self.line.name} is down")
        answered: asyncio.Future[Answered | None] = asyncio.get_running_loop().create_future()
        self._answers[request.request_id] = answered
        try:
            async with asyncio.timeout(timeout_secs):
                await link.send(request.text)
                answer = await answered
        except TimeoutError:
            raise Broken(f"no answer on line {self.line.name} within {timeout_secs:g} s") from None
        finally:
            self._answers.pop(request.request_id, None)
        if answer is None:
            raise Broken(f"line {self.line.name} broke before the answer came")
        return HttpReply(answer.status, answer.body)

    async def subscribe_again(self) -> None:
        """Send the subscriptions again after the watched markets changed; a line on its way up does so anyway."""
        link = self._link
        if link is None or not self._greeted:
            return
        try:
            await self._subscribe(link)
        except Broken as error:
            self._drop("WS_TIMEOUT", str(error))

    # -- one life of the line

    async def _live(self) -> None:
        self._over = False
        self._ready = {"login": anyio.Event(), "subscribed": anyio.Event()}
        link: Link | None = None
        try:
            with anyio.CancelScope() as self._scope:
                url = await self._streams.address(self.line.name)
                link = await self._wire.connect(url, HANDSHAKE_SECS)
                self._link = link
                async with anyio.create_task_group() as parts:
                    parts.start_soon(self._guard, self._read, link)
                    parts.start_soon(self._guard, self._greet, link)
                    parts.start_soon(self._guard, self._keep_alive, link)
                    if self.line.upkeep_secs is not None:
                        parts.start_soon(self._guard, self._keep_up, self.line.upkeep_secs)
        except Exception as error:
            self._drop_for(error)
        finally:
            if link is not None:
                with anyio.move_on_after(CLOSE_SECS, shield=True):
                    try:
                        await link.close()
                    except Exception as error:
                        self._log.debug("ws_close_failed", line=self.line.name, why=type(error).__name__)

    async def _guard(self, part: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        try:
            await part(*arguments)
        except Exception as error:
            self._drop_for(error)

    async def _read(self, link: Link) -> None:
        receive, decode, name = link.receive, self._decode, self.line.name
        handlers, otherwise = self._handlers, self._streams.tell
        wanted = getattr(self._log, "isEnabledFor", None)
        debug = self._log.debug if wanted is None or wanted(DEBUG) else None
        while True:
            data = await receive()
            self._frames += 1
            if debug is not None:
                debug("ws", line=name, text=data)
            try:
                for event in decode(name, data):
                    handlers.get(type(event), otherwise)(event)
            except Exception as error:
                # Decoders promise not to raise. One that does must not cost the line, nor its orders.
                self._log.error("unreadable", line=name, trace=trace_of(error))
                text = data if isinstance(data, str) else data.decode("utf-8", "replace")
                why = f"the decoder failed: {type(error).__name__}"
                otherwise(Unreadable(why=why, text=text[:TEXT_KEPT]))

    async def _greet(self, link: Link) -> None:
        try:
            with anyio.fail_after(HANDSHAKE_SECS):
                for text in self._dialect.login(self.line.name, self._streams.talks.now_ms()):
                    await link.send(text)
                if self.line.needs_login:
                    await self._ready["login"].wait()
                asked = await self._subscribe(link)
                if asked and self.line.acks_subscriptions:
                    await self._ready["subscribed"].wait()
        except TimeoutError:
            raise Broken(f"login or subscriptions not confirmed within {HANDSHAKE_SECS:g} s") from None
        if self._over:
            # It was cut in the very moment its last confirmation arrived; the end has been told already.
            return
        self.up = True
        self._log.info("line_up", line=self.line.name)
        self._streams.line_up(self)

    async def _subscribe(self, link: Link) -> int:
        # Set before the markets are read: whoever watches one from now on sends the frames again.
        self._greeted = True
        frames = self._dialect.subscribe(self.line.name, tuple(self._streams.watched), self._streams.talks.now_ms())
        for text in frames:
            await link.send(text)
        return len(frames)

    async def _keep_alive(self, link: Link) -> None:
        line = self.line
        wait = line.ping_secs
        while True:
            await self._clock.sleep(wait)
            if line.ping_text is None:
                with anyio.move_on_after(line.silence_secs):
                    await link.ping()
                    continue
            else:
                before = self._frames
                # How long a network may be silent does not follow the pace of the play.
                with anyio.move_on_after(line.silence_secs):
                    await link.send(line.ping_text)
                    await anyio.sleep_forever()
                if self._frames != before:
                    wait = line.ping_secs - line.silence_secs
                    continue
            raise Broken(f"silent: a ping was not answered within {line.silence_secs:g} s")

    async def _keep_up(self, every_secs: float) -> None:
        while True:
            await self._clock.sleep(every_secs)
            await self._streams.talks.read(lambda: self._dialect.upkeep(self.line.name), Use.SETTLE)

    def _drop_for(self, error: Exception) -> None:
        if isinstance(error, VenueError):
            self._drop(error.code, str(error))
        elif isinstance(error, NotSent):
            self._drop("UNREACHABLE", str(error))
        elif isinstance(error, Broken):
            self._drop("WS_TIMEOUT", str(error))
        else:
            self._log.error("line_failed", line=self.line.name, trace=trace_of(error))
            self._drop("WS_TIMEOUT", f"an error of our own: {type(error).__name__}")

    def _drop(self, code: str, why: str) -> None:
        """The first reason counts; the connector hears of it before the connection is closed."""
        if self._over:
            return
        was_up = self.up
        self.losses += was_up
        self._clear()
        if self._scope is not None:
            self._scope.cancel()
        self._log.warning("line_down", line=self.line.name, code=code, why=why)
        self._streams.line_down(self, code, why, was_up)

    def _clear(self) -> None:
        self._over = True
        self.up = self._greeted = False
        self._link = None
        self.books.clear()
        for answered in self._answers.values():
            if not answered.done():
                answered.set_result(None)

    # -- events that stay here, or pass

    def _take_book(self, event: BookSeen) -> None:
        old = self.books.get(event.symbol)
        if old is None or event.seq >= old.seq:
            self.books[event.symbol] = event
            self._streams.tell(event)

    def _take_answer(self, event: Answered) -> None:
        # An answer that nobody waits for any more is late: its order is in doubt already and gets looked up.
        answered = self._answers.get(event.request_id)
        if answered is not None and not answered.done():
            answered.set_result(event)

    def _take_ready(self, event: LineReady) -> None:
        self._ready[event.stage].set()

    def _take_refusal(self, event: LineRefused) -> None:
        self._drop(event.code, event.hint + (f" (the exchange said: {event.raw})" if event.raw else ""))


class Streams:
    """
    All lines of one account. ``synced`` is True while the private ones are up and one REST snapshot, read after the
    last break, was taken by every listener.

    Args:
        endpoints: Where an address that ``open_line`` gives without ``://`` finds its first word.
        decide: Told None at the first synced moment, or ``Refused(AUTH)``; later words may be ignored.
    """

    def __init__(
        self,
        dialect: Dialect,
        endpoints: Mapping[str, str],
        wire: Wire,
        clock: Clock,
        chance: Chance,
        talks: Talks,
        decide: Callable[[VenueError | None], None],
        log: Log,
    ) -> None:
        self.talks = talks
        self.synced = False
        self.watched: dict[str, None] = {}
        self.venue_ids: dict[int, str] = {}
        """Client id → venue id, of the last :data:`IDS_KEPT` orders that were told."""
        self.trouble = ("UNREACHABLE", "no answer yet")
        """Code and reason of what went wrong last."""
        self._dialect = dialect
        self._endpoints = endpoints
        self._clock = clock
        self._chance = chance
        self._decide = decide
        self._log = log
        self._listeners: tuple[Callable[[VenueEvent], None], ...] = ()
        self.sessions = {
            line.name: Session(line, dialect, wire, clock, chance.fork(line.name), self, log)
            for line in dialect.lines()
        }
        self._private = [session for session in self.sessions.values() if session.line.private]
        self._synced_event = anyio.Event()
        self._all_up = anyio.Event()
        self._one_down = anyio.Event()
        self._reading: anyio.CancelScope | None = None
        self._told_us = 0
        self._since_ms: int | None = None

    # -- listeners

    def subscribe(self, listener: Callable[[VenueEvent], None]) -> Callable[[], None]:
        """Call ``listener`` for every event from now on. Returns the way to stop it."""
        self._listeners = (*self._listeners, listener)

        def stop() -> None:
            self._listeners = tuple(other for other in self._listeners if other is not listener)

        return stop

    def tell(self, event: StreamEvent | VenueEvent) -> bool:
        """Hand an event to every listener, in order. False if one of them raised; the others still heard it."""
        if type(event) is OrderSeen:
            self._learn(event)
        elif type(event) is FillSeen and event.engine_us > self._told_us and event.source is Source.WS:
            self._told_us = event.engine_us
        taken = True
        for listener in self._listeners:
            try:
                listener(event)  # type: ignore[arg-type]
            except Exception as error:
                taken = False
                kind = type(event).__name__
                self._log.error("listener_failed", event_kind=kind, trace=trace_of(error))
                # A listener that fails on this one, too, is only logged.
                if not isinstance(event, Unreadable):
                    why = f"a listener failed on {kind}: {type(error).__name__}"
                    self.tell(Unreadable(why=why, text=repr(event)[:TEXT_KEPT]))
        return taken

    def remember(self, client_id: int, venue_id: str) -> None:
        """Keep the venue's id of an order; the oldest is forgotten when there are too many."""
        self.venue_ids[client_id] = venue_id
        if len(self.venue_ids) > IDS_KEPT:
            del self.venue_ids[next(iter(self.venue_ids))]

    def _learn(self, event: OrderSeen) -> None:
        if event.engine_us > self._told_us and event.source is Source.WS:
            self._told_us = event.engine_us
        if event.client_id is not None and event.venue_id and event.client_id not in self.venue_ids:
            self.remember(event.client_id, event.venue_id)

    # -- what the connector asks

    async def run(self) -> None:
        """Keep every line alive and the account in step, until cancelled."""
        self._all_up = anyio.Event()
        self._one_down = anyio.Event()
        if not self._private:
            self._all_up.set()
        try:
            async with anyio.create_task_group() as parts:
                parts.start_soon(self._keep_synced)
                for session in self.sessions.values():
                    parts.start_soon(session.run)
        finally:
            self._unsync()

    async def wait_synced(self) -> None:
        """Wait until ``synced``. Raises LocalRuleError NOT_SYNCED if the connector is stopped."""
        while not self.synced:
            if self.talks.closed:
                raise LocalRuleError("NOT_SYNCED", "the connector is stopped")
            await self._synced_event.wait()

    def wake(self) -> None:
        """Let those who wait for ``synced`` look again."""
        waited, self._synced_event = self._synced_event, anyio.Event()
        waited.set()

    async def watch(self, symbol: str) -> None:
        """Follow one more market, at once on the lines that are up."""
        if symbol not in self.watched:
            self.watched[symbol] = None
            for session in self.sessions.values():
                await session.subscribe_again()

    def book(self, symbol: str) -> BookSeen | None:
        """The newest top of this book from a line that is up."""
        for session in self.sessions.values():
            book = session.books.get(symbol)
            if book is not None and session.up:
                return book
        return None

    def order_line_down(self, symbol: str) -> bool:
        """Orders in this market go over a stream, and that stream is not up."""
        line = self._dialect.order_line(symbol)
        return line is not None and not self.sessions[line].up

    # -- what the sessions ask and tell

    async def address(self, line: str) -> str:
        """Where to connect this line."""
        address = await self.talks.once(self._dialect.open_line(line))
        if "://" in address:
            return address
        host, slash, path = address.partition("/")
        if host not in self._endpoints:
            raise NotSent(f"no address is given for {host!r}")
        return self._endpoints[host] + slash + path

    def line_up(self, session: Session) -> None:
        """A line is ready for use."""
        if not session.line.private:
            if self.synced:
                self.tell(SessionSeen(state="synced", line=session.line.name, count=session.losses))
        elif all(other.up for other in self._private) and not self._all_up.is_set():
            self._one_down = anyio.Event()
            self._all_up.set()

    def line_down(self, session: Session, code: str, why: str, was_up: bool) -> None:
        """A line is not usable any more, or could not be brought up; ``code`` is a key of ``errors.CODES``."""
        self._fell(code, f"line {session.line.name}: {why}")
        if was_up:
            if session.line.private and self._all_up.is_set():
                self._unsync()
                self._all_up = anyio.Event()
                self._one_down.set()
                if self._reading is not None:
                    self._reading.cancel()
            self.tell(SessionSeen(state="lost", line=session.line.name, why=why, count=session.losses))
        elif code == "AUTH":
            self.tell(SessionSeen(state="refused", line=session.line.name, why=why, count=session.losses))

    def _fell(self, code: str, why: str) -> None:
        self.trouble = (code, why)
        self.talks.notice(code)
        if code == "AUTH":
            self._decide(Refused(code, why))

    # -- in step with the venue

    async def _keep_synced(self) -> NoReturn:
        waits = backoff(self._chance)
        while True:
            while not self._all_up.is_set():  # it may be another event by the time the first one woke us
                await self._all_up.wait()
            with anyio.CancelScope() as reading:
                self._reading = reading
                try:
                    snapshot = await self._read_snapshot()
                except Exception as error:
                    code = error.code if isinstance(error, VenueError) else "UNREADABLE"
                    self._fell(code, f"snapshot: {error}")
                    self._log.warning("snapshot_failed", code=code, trace=trace_of(error))
                    await self._clock.sleep(next(waits))
                    continue
            # A break while it was read: what it says may be older than what was missed.
            if reading.cancel_called:
                continue
            if not self.tell(snapshot):
                self._fell("UNREADABLE", "the snapshot could not be merged")
                await self._clock.sleep(next(waits))
                continue
            waits = backoff(self._chance)
            self._told_us = max(self._told_us, (snapshot.asked_ms + self.talks.offset_ms) * 1000)
            self.synced = True
            self._synced_event.set()
            self.tell(SessionSeen(state="synced", count=sum(session.losses for session in self._private)))
            self._decide(None)
            await self._one_down.wait()

    def _unsync(self) -> None:
        if self.synced:
            self.synced = False
            self._synced_event = anyio.Event()
            # What came before was told by the stream or by the last snapshot.
            self._since_ms = min(self._told_us // 1000, self.talks.now_ms()) - FILLS_MARGIN_MS

    async def _read_snapshot(self) -> SnapshotSeen:
        read, dialect, since_ms = self.talks.read, self._dialect, self._since_ms
        await read(dialect.prepare)
        asked_ms = self._clock.now_ms()
        snapshot = SnapshotSeen(
            asked_ms=asked_ms,
            open_orders=tuple(await read(lambda: dialect.open_orders(None))),
            positions=tuple(await read(dialect.positions)),
            balances=tuple(await read(dialect.balances)),
            margin=await read(dialect.margin),
            fills=() if since_ms is None else tuple(await read(lambda: dialect.recent_fills(since_ms))),
        )
        for order in snapshot.open_orders:
            self._learn(order)
        return snapshot
