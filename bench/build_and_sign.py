"""B1: from the plain numbers of a post-only limit order to signed bytes, nothing sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import Any

from bench import floor, peers
from bench.laps import Lap, Spreads, race, seconds_each
from bench.venues_at_hand import AtHand
from core.chance import entropy
from core.precision import scaled
from venues.dialect import DrawsAhead, HttpCall, PlaceOrder, WsText
from venues.lighter.sign import AHEAD

PRICES = tuple(f"130.{cents}" for cents in range(11, 21))
REST = frozenset({"backpack", "okx"})
"""Where our order is built for REST: Backpack has nothing else, and on OKX's stream only the log-in is signed."""
GOALS: Mapping[str, float] = {"backpack": 1.5, "binance": 3, "hyperliquid": 1.5, "lighter": 1.2, "okx": 2}

_AHEAD = count(1)

Build = Callable[[int, str, int], Any]


def ours(at: AtHand) -> Build:
    """What a connector does before its bytes leave: the checks of ``Dialect.place``, encoding, signing."""
    dialect, market = at.dialect, at.market
    rest, symbol = at.name in REST, at.symbol
    size_i = scaled(floor.SIZE, market.size_decimals)
    ticks = {price: scaled(price, market.price_decimals) for price in PRICES}

    def build(cid: int, price: str, now_ms: int) -> Any:
        order = PlaceOrder(
            symbol=symbol, client_id=cid, is_ask=False, size_i=size_i, price_i=ticks[price], post_only=True
        )
        request = dialect.place(order, now_ms, rest=rest)
        return dialect.sign(request, now_ms) if isinstance(request, HttpCall) else request

    return build


def floor_of(at: AtHand) -> Build:
    keys = {name: str(value) for name, value in at.told["credentials"].items()}
    if at.name == "backpack":
        return floor.backpack(keys, at.symbol)
    if at.name == "binance":
        return floor.binance(keys, "SOLUSDT")
    if at.name == "hyperliquid":
        sample = _ws(ours(at)(1, PRICES[0], at.now_ms()))["request"]["payload"]
        asset = sample["action"]["orders"][0]["a"]
        # Which network is signed for follows from the room's endpoints; the comparison below settles it.
        for source in (b"a", b"b"):
            made = floor.hyperliquid(keys, asset, source=source, expiry_ms=at.dialect.abilities.expiry_ms)
            if _same(at, made):
                return made
        raise AssertionError("neither network gives our signature")
    if at.name == "okx":
        sample = json.loads(ours(at)(1, PRICES[0], at.now_ms()).body)
        return floor.okx(keys, at.symbol, sample["tag"])
    sample = _ws(ours(at)(1, PRICES[0], at.now_ms()))["data"]["tx_info"]
    return floor.lighter(keys, sample["MarketIndex"], 28 * 24 * 3_600_000)


def _ws(request: WsText) -> Any:
    return json.loads(request.text)


def _plain(made: Any) -> Any:
    """What goes on the wire, without the number of the request and in no order of keys."""
    if isinstance(made, HttpCall):
        headers = {name: text for name, text in made.headers if name != "Content-Type"}
        return json.loads(made.body), headers
    if isinstance(made, tuple):
        return json.loads(made[0]), made[1]
    told = json.loads(made.text if isinstance(made, WsText) else made)
    told.pop("id", None)
    return told


def _same(at: AtHand, bare: Build) -> bool:
    """Do floor and ours put the same bytes on the wire? (Lighter: the same order; its signatures are random.)"""
    # Ahead of every nonce that was taken before: nonces follow the clock and never go back.
    now_ms = at.now_ms() + 60_000 * next(_AHEAD)
    made, wanted = _plain(bare(1001, PRICES[0], now_ms)), _plain(ours(at)(1001, PRICES[0], now_ms))
    if at.name == "lighter":
        # The library counts and times for itself, signs at random, and names attributes that are nil.
        free = ("Nonce", "ExpiredAt", "Sig", "L2TxAttributes")
        orders = [{k: v for k, v in told["data"]["tx_info"].items() if k not in free} for told in (made, wanted)]
        return orders[0] == orders[1]
    return bool(made == wanted)


def _lap(build: Build, at: AtHand, times: int) -> Lap:
    counter = 0

    def once() -> None:
        nonlocal counter
        counter += 1
        build(1_000_000 + counter, PRICES[counter % 10], at.now_ms())

    return lambda: seconds_each(once, times)


def _settled(lap: Lap, at: AtHand, *, ahead: bool) -> Lap:
    """
    Lighter's dialect keeps what waits for an answer; a line begun anew forgets it, as in a play. With ``ahead`` the
    commitments of the lap's signatures are drawn before it, as a connector does between orders.
    """

    def run() -> float:
        at.dialect.login("main", at.now_ms())
        while ahead and isinstance(at.dialect, DrawsAhead) and at.dialect.draw_ahead(entropy(64)):
            pass
        return lap()

    return run


def measure(venues: Mapping[str, AtHand], rounds: int) -> dict[str, Spreads]:
    told: dict[str, Spreads] = {}
    with ThreadPoolExecutor(1) as aside:
        for name, at in venues.items():
            contestants: dict[str, Lap] = {}
            if name != "lighter" or floor.lighter_library() is not None:
                bare = floor_of(at)
                assert _same(at, bare), f"{name}: floor and ours differ"
                lap = _lap(bare, at, 30 if name == "lighter" else 500)
                contestants["floor"] = lap if name != "lighter" else _on(aside, lap)
            alone = floor.primitive(name)
            if alone is not None:
                contestants["signature alone"] = partial(seconds_each, alone, 500)
            mine = _lap(ours(at), at, AHEAD if name == "lighter" else 500)
            contestants["ours"] = _settled(mine, at, ahead=True) if name == "lighter" else mine
            if name == "lighter":
                contestants["nothing ahead"] = _settled(mine, at, ahead=False)
            slow = name in ("hyperliquid", "lighter")
            contestants["ccxt"] = _lap(peers.ccxt_build(at), at, 5 if slow else 60)
            contestants["SDK"] = _lap(peers.sdk_build(at), at, 20 if slow else 100)
            told[name] = race(contestants, rounds)
    return told


def _on(aside: ThreadPoolExecutor, lap: Lap) -> Lap:
    """The whole lap on another thread; the hand-over is paid once a lap."""
    return lambda: aside.submit(lap).result()
