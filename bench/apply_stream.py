"""
B2: private order and fill messages to the state of orders, trades deduplicated. B5: a book message to
``(bid_i, ask_i)``. No socket: text in, state out.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import floor
from bench.laps import Lap, Spreads, lap_over, now, race
from bench.messages import FIRST_ID, Told, book_messages, order_messages
from bench.venues_at_hand import AtHand
from core.chance import Chance
from core.clock import SystemClock
from core.precision import scaled
from execution.caps import Caps
from execution.journal import Journal
from execution.order import Deed, Intent, Order, State
from execution.orders import Orders
from execution.positions import Positions
from execution.risk import Risk
from execution.timeline import Timelines
from venues.events import BookSeen, FillSeen, OrderSeen, VenueEvent
from venues.readings import Readings

ORDERS = 1_000
LIVE = 50
"""Orders that are live together; the next ones begin when these have ended."""
BOOKS = 4_000
LINES: Mapping[str, tuple[str, str]] = {
    "backpack": ("main", "main"),
    "binance": ("perp_account", "perp_books"),
    "hyperliquid": ("main", "main"),
    "lighter": ("main", "main"),
    "okx": ("private", "public"),
}
"""The line that tells of orders, and the one that tells of books."""
WIRE_NAMES: Mapping[str, str] = {"binance": "SOLUSDT", "lighter": "2"}

Listener = Callable[[VenueEvent], None]


class QuietVenue:
    """A connector as execution sees it, without any connection: what is heard is handed in."""

    synced = True

    def __init__(self, at: AtHand) -> None:
        self.name = at.name
        self.abilities = at.dialect.abilities
        self.markets = at.dialect.markets
        self.listener: Listener = lambda event: None

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        self.listener = listener
        return lambda: None


class Execution:
    """The services of one account, with their timelines in ``folder`` (None: off)."""

    def __init__(self, at: AtHand, folder: Path | None) -> None:
        clock = SystemClock()
        self.venue: Any = QuietVenue(at)
        positions = Positions(clock)
        self.orders = Orders(
            venue=self.venue,
            account=f"{at.name}/bench",
            clock=clock,
            pace=clock,
            chance=Chance(1),
            journal=Journal(":memory:"),
            timelines=Timelines(folder),
            positions=positions,
            risk=Risk(Caps(), positions),
        )


def _order(at: AtHand, client_id: int) -> Order:
    """An order that was sent and acknowledged."""
    market, born = at.market, 1_767_571_200_000
    intent = Intent(
        venue=at.name,
        account=f"{at.name}/bench",
        symbol="SOL",
        market="perp",
        venue_symbol=at.symbol,
        is_ask=False,
        size_i=scaled("0.05", market.size_decimals),
        price_i=scaled("140.99", market.price_decimals),
        price_decimals=market.price_decimals,
        size_decimals=market.size_decimals,
        leg="bench/1",
        created_ms=born,
        expiry_ms=born + 5_000,
        client_id=client_id,
        post_only=True,
    )
    order = Order(intent)
    order.apply(Deed(kind="sent"), born)
    order.apply(Deed(kind="acked", venue_id=str(client_id + 5_000_000)), born)
    return order


def _forget() -> None:
    """Every lap reads its texts for the first time, as a play does."""
    for each in gc.get_objects():
        if isinstance(each, Readings):
            each.clear()


def _fresh(lap: Lap) -> Lap:
    def fresh() -> float:
        _forget()
        return lap()

    return fresh


def _mixed(batch: Sequence[Told]) -> list[str]:
    """The messages of orders that are live together: first all first ones, then all second ones, and so on."""
    longest = max(len(frames) for frames in batch)
    return [frames[at] for at in range(longest) for frames in batch if at < len(frames)]


def _batches(told: Sequence[Told]) -> list[list[str]]:
    return [_mixed(told[at : at + LIVE]) for at in range(0, len(told), LIVE)]


def _ours(at: AtHand, batches: Sequence[Sequence[str]], folder: Path | None, *, through: str) -> Lap:
    """``through``: ``decode`` alone, ``apply`` (decode and the order model), or ``hear`` (all of it)."""
    line, decode = LINES[at.name][0], at.dialect.decode
    size_i = scaled("0.05", at.market.size_decimals)
    count = sum(len(batch) for batch in batches)

    async def told() -> float:
        execution = Execution(at, folder)
        orders, book, hear = execution.orders, execution.orders.book, execution.venue.listener
        spent, first = 0.0, FIRST_ID
        for batch in batches:
            # Begun, and given back, outside of the clock: a play does it once an order, around its own requests.
            for client_id in range(first, first + LIVE):
                order = book[client_id] = _order(at, client_id)
                orders.timelines.begin(order)
            began = now()
            if through == "decode":
                for text in batch:
                    decode(line, text)
            elif through == "apply":
                for text in batch:
                    for event in decode(line, text):
                        if isinstance(event, (OrderSeen, FillSeen)):
                            book[event.client_id].apply(event, 0)  # type: ignore[index]
            elif folder is None:
                for text in batch:
                    for event in decode(line, text):
                        hear(event)
            else:
                flush = orders.timelines.flush
                for text in batch:
                    for event in decode(line, text):
                        hear(event)
                    # What the event loop does at the end of each turn; here every message has a turn of its own.
                    flush(at.name)
            spent += now() - began
            for client_id in range(first, first + LIVE):
                order = book.pop(client_id)
                orders.timelines.close(order)
                if through != "decode":
                    ended = (order.state, order.filled_i, order.traded_i)
                    assert ended == (State.FILLED, size_i, size_i), f"{at.name}: {client_id} is {ended}"
            first += LIVE
        return spent / count

    def lap() -> float:
        _forget()
        secs = asyncio.run(told())
        for path in folder.iterdir() if folder is not None else ():
            path.unlink()
        return secs

    return lap


def _floor(at: AtHand, batches: Sequence[Sequence[str]]) -> Lap:
    count = sum(len(batch) for batch in batches)
    whole = floor.integer("0.050" if at.name == "lighter" else "0.05")

    def lap() -> float:
        hear, states = floor.order_state(at.name)
        spent = 0.0
        for batch in batches:
            began = now()
            for text in batch:
                hear(text)
            spent += now() - began
        assert len(states) == ORDERS
        assert all(state.lower() == "filled" and filled == whole for state, filled, _ in states.values())
        return spent / count

    return lap


CCXT_ORDERS = 200
"""Orders of ccxt.pro's laps: it keeps the last thousand, and takes its time."""
Readers = Mapping[str, Callable[[Sequence[str]], Callable[[str], object] | None]]
"""See :func:`bench.peers.ccxt_reader`."""


def _ccxt(readers: Readers, venue: str, texts: Sequence[str]) -> dict[str, Lap]:
    begin = readers.get(venue)
    read = begin(texts[:4]) if begin is not None else None
    return {} if read is None else {"ccxt.pro": lap_over(read, texts)}


def measure_orders(venues: Mapping[str, AtHand], readers: Readers, rounds: int) -> dict[str, Spreads]:
    told: dict[str, Spreads] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, at in venues.items():
            account = int(at.told["credentials"].get("account_index", 0))
            wire_name = WIRE_NAMES.get(name, at.symbol)
            batches = _batches(order_messages(name, wire_name, ORDERS, account))
            told[name] = race(
                {
                    "floor": _floor(at, batches),
                    "decode": _ours(at, batches, None, through="decode"),
                    "decode + Order.apply": _ours(at, batches, None, through="apply"),
                    "hear": _ours(at, batches, None, through="hear"),
                    "hear + timeline": _ours(at, batches, Path(scratch), through="hear"),
                }
                | _ccxt(readers, name, [text for batch in batches[: CCXT_ORDERS // LIVE] for text in batch]),
                rounds,
            )
    return told


def measure_books(venues: Mapping[str, AtHand], readers: Readers, rounds: int) -> dict[str, Spreads]:
    told: dict[str, Spreads] = {}
    for name, at in venues.items():
        texts = book_messages(name, WIRE_NAMES.get(name, at.symbol), BOOKS)
        bare, line, decode = floor.top_of_book(name), LINES[name][1], at.dialect.decode

        def ours(text: str, line: str = line, decode: Any = decode) -> tuple[int | None, int | None]:
            (seen,) = decode(line, text)
            return seen.bid_i, seen.ask_i

        decimals = at.market.price_decimals
        # The floor reads its integers on the grid of the text: 2 decimals, Lighter 3.
        shift = 10 ** (decimals - (3 if name == "lighter" else 2))
        for text in texts[:100]:
            (seen,) = decode(line, text)
            assert isinstance(seen, BookSeen), seen
            assert (seen.bid_i, seen.ask_i) == tuple(price * shift for price in bare(text)), text
        laps = {"floor": lap_over(bare, texts), "ours": _fresh(lap_over(ours, texts))}
        told[name] = race(laps | _ccxt(readers, name, texts[: BOOKS // 4]), rounds)
    return told
