"""The captured payloads of every exchange, and a dialect that knows each market they name."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.fuzz.sessions import fork, hold, session
from venues.dialect import HttpReply
from venues.events import MarketFacts

FIXTURES = Path(__file__).resolve().parents[2].parent / "shared" / "fixtures"
# No payloads: key material, and tables of what a code means.
_NO_PAYLOADS = ("auth", "signing", "poseidon", "error_codes")
_SYMBOLS = {"symbol", "s", "instId", "coin", "market_id", "market_index"}
_LONGEST = 20_000


def _files(venue: str) -> list[Path]:
    folder = FIXTURES / venue
    return [path for path in sorted(folder.glob("*.json*")) if not path.name.startswith(_NO_PAYLOADS)]


def _documents(path: Path) -> Iterator[Any]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        for line in filter(None, text.splitlines()):
            frame = json.loads(line)
            yield frame.get("payload", frame) if isinstance(frame, dict) else frame
    else:
        yield json.loads(text)


def _inside(document: Any, depth: int = 2) -> Iterator[Any]:
    """A file's payloads stand in wrappers that differ: every object and list near the top counts."""
    yield document
    if depth:
        for each in document.values() if isinstance(document, dict) else document[:12]:
            if isinstance(each, (dict, list)):
                yield from _inside(each, depth - 1)


@functools.cache
def payloads(venue: str) -> tuple[tuple[str, bytes], ...]:
    """(file name, JSON text) of every answer that was captured."""
    found: dict[bytes, str] = {}
    for path in _files(venue):
        if path.suffix == ".json":
            for document in _documents(path):
                for each in _inside(document):
                    text = json.dumps(each, ensure_ascii=False).encode()
                    if len(text) <= _LONGEST:
                        found.setdefault(text, path.name)
    return tuple((name, text) for text, name in found.items())


@functools.cache
def frames(venue: str) -> tuple[tuple[str, bytes], ...]:
    """(file name, JSON text) of every stream message that was captured."""
    return tuple(
        (path.name, json.dumps(document, ensure_ascii=False).encode())
        for path in _files(venue)
        if path.suffix == ".jsonl"
        for document in _documents(path)
    )


def _names(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key in _SYMBOLS and isinstance(each, (str, int)) and not isinstance(each, bool):
                yield each
            yield from _names(each)
    elif isinstance(value, list):
        for each in value:
            yield from _names(each)


@functools.cache
def _widened(venue: str) -> Any:
    day = session(venue)
    dialect = fork(day.dialect)
    if not FIXTURES.is_dir():
        return dialect
    names = {name for path in _files(venue) for document in _documents(path) for name in _names(document)}
    if venue == "lighter":
        listing = next(scene for scene in day.scenes if scene.name == "facts").replies[0]
        answer = json.loads(listing.body)
        row, *_ = answer["order_book_details"]
        known = {each["market_id"] for each in answer["order_book_details"] + answer["spot_order_book_details"]}
        for number in sorted(name for name in names if isinstance(name, int) and name not in known):
            answer["order_book_details"].append(row | {"market_id": number, "symbol": f"M{number}"})
        body = json.dumps(answer).encode()
        dialect.markets = hold(dialect.facts(), lambda call: HttpReply(200, body))
        return dialect
    markets = dict(dialect.markets)
    like = markets[day.symbol]
    for name in names:
        for symbol in (f"{name}", f"{name}_PERP") if venue == "binance" else (f"{name}",):
            # A fine grid: what was captured lies on it.
            markets.setdefault(
                symbol,
                msgspec.structs.replace(like, symbol=symbol, price_decimals=8, size_decimals=8, tick_i=1, lot_i=1),
            )
    dialect.markets = markets
    return dialect


def knowing(venue: str) -> Any:
    """A dialect of its own that knows every market of the captured payloads."""
    return fork(_widened(venue))


def market(venue: str) -> MarketFacts:
    found: MarketFacts = knowing(venue).markets[session(venue).symbol]
    return found
