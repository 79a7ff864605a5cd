"""
The rate limits that the simulated venues enforce, as their sheets tell them: a table for each, one way of counting.

What is over a limit is refused in the venue's own words, unread and without any effect. Where the sheets do not say
what a venue answers on a stream, requests there are counted and not refused. Binance counts in its own front
(:mod:`venues.simulation.binance_gateway`), because its answers tell the counts.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from core.clock import Clock
from venues.simulation.app import Reply, Request
from venues.simulation.desk import json_text
from venues.simulation.forms import json_reply


class Charge(NamedTuple):
    """``weight`` of the window ``name``, which holds ``most`` in any ``secs`` seconds."""

    name: str
    most: int
    secs: float
    weight: int = 1


class _Rules(NamedTuple):
    charge: Callable[[Request], Sequence[Charge]]
    charge_text: Callable[[str], Sequence[Charge]]
    refusal: Reply
    refusal_text: Callable[[str], str] | None = None


class Limits:
    """
    The limits of one venue for one client.

    Args:
        clock: Its ``monotonic`` decides; a simulator whose market is faster than life has faster minutes, too.
    """

    def __init__(self, rules: _Rules, clock: Clock) -> None:
        self.refused = 0
        """Requests that were over a limit."""
        self.peaks: dict[str, int] = {}
        """The most that each window ever held."""
        self._rules = rules
        self._clock = clock
        self._used: dict[str, deque[tuple[float, int]]] = {}
        self._held: dict[str, int] = {}

    def http(self, request: Request) -> Reply | None:
        """Count a request; the refusal when it is over a limit."""
        charges = self._rules.charge(request)
        return None if self._take(charges) else self._rules.refusal

    def text(self, text: str) -> str | None:
        """Count a message of a stream; the refusal when it is over a limit."""
        charges = self._rules.charge_text(text)
        if not charges or self._take(charges, always=self._rules.refusal_text is None):
            return None
        assert self._rules.refusal_text is not None
        return self._rules.refusal_text(text)

    def _take(self, charges: Sequence[Charge], *, always: bool = False) -> bool:
        now = self._clock.monotonic()
        sums = [self._now_held(charge, now) + charge.weight for charge in charges]
        if not always and any(held > charge.most for held, charge in zip(sums, charges, strict=True)):
            self.refused += 1
            return False
        for held, charge in zip(sums, charges, strict=True):
            self._used[charge.name].append((now, charge.weight))
            self._held[charge.name] = held
            self.peaks[charge.name] = max(self.peaks.get(charge.name, 0), held)
        return True

    def _now_held(self, charge: Charge, now: float) -> int:
        used, held = self._used.setdefault(charge.name, deque()), self._held.get(charge.name, 0)
        while used and used[0][0] <= now - charge.secs:
            held -= used.popleft()[1]
        self._held[charge.name] = held
        return held


def limits_of(venue: str, clock: Clock) -> Limits | None:
    """Those of a venue; None for one that has none here."""
    rules = _VENUES.get(venue)
    return None if rules is None else Limits(rules, clock)


def _nothing(text: str) -> Sequence[Charge]:
    return ()


# -- Backpack: 2,000 requests a minute and subaccount (sheet, "Limits"); nothing is sent over its streams that counts.


def _backpack(request: Request) -> Sequence[Charge]:
    return (Charge("requests", 2_000, 60),)


_BACKPACK_NO: Final = json_reply({"code": "TOO_MANY_REQUESTS", "message": "Too many requests"}, 429)


# -- OKX: by request, those of trading by market, too, REST and stream together (sheet, "Limits").

_OKX: Final[Mapping[str, tuple[int, float]]] = {
    "POST trade/order": (60, 2),
    "POST trade/cancel-order": (60, 2),
    "POST trade/cancel-batch-orders": (15, 2),
    "POST trade/cancel-all-after": (1, 1),
    "GET trade/order": (60, 2),
    "GET trade/orders-pending": (60, 2),
    "GET trade/fills": (60, 2),
    "GET trade/fills-history": (10, 2),
    "GET trade/trade-fee": (5, 2),
    "GET account/positions": (10, 2),
    "GET account/balance": (10, 2),
    "GET account/config": (5, 2),
    "POST account/set-position-mode": (5, 2),
    "POST trade/close-position": (20, 2),
    "GET market/books": (40, 2),
    "GET market/ticker": (20, 2),
    "GET market/tickers": (20, 2),
    "GET public/instruments": (20, 2),
    "GET public/time": (10, 2),
    "GET public/price-limit": (20, 2),
}
_OKX_MARKETS: Final = frozenset({"POST trade/order", "POST trade/cancel-order", "GET trade/order"})
_OKX_OPS: Final[Mapping[str, str]] = {"order": "POST trade/order", "cancel-order": "POST trade/cancel-order"}
_OKX_OP: Final = re.compile(r'"op":\s*"((?:cancel-)?order)"')
_OKX_MARKET: Final = re.compile(r'"?(?:instId|uly|instType)(?:"?:\s*"|=)([A-Z0-9-]+)')
_OKX_WORDS: Final = "Rate limit reached. Please refer to API documentation and throttle requests accordingly."


def _okx(request: Request) -> Sequence[Charge]:
    name = f"{request.method} {request.path.removeprefix('/api/v5/')}"
    known = _OKX.get(name)
    if known is None:
        return ()
    market = ""
    if name in _OKX_MARKETS or name == "GET public/instruments":
        found = _OKX_MARKET.search(request.query or request.body.decode("utf-8", "replace"))
        market = f" {found[1]}" if found else ""
    return (Charge(name + market, *known),)


def _okx_text(text: str) -> Sequence[Charge]:
    found = _OKX_OP.search(text)
    if found is None:
        return ()
    # The stream names a market by its number; that it is the same window as the name's is left out.
    name = _OKX_OPS[found[1]]
    number = re.search(r'"instIdCode":\s*"?(\d+)', text)
    return (Charge(f"{name} {number[1] if number else ''}", *_OKX[name]),)


def _okx_no(text: str) -> str:
    try:
        frame: Any = json.loads(text)
    except ValueError:
        frame = {}
    told = frame if isinstance(frame, dict) else {}
    return json_text({"id": told.get("id"), "op": told.get("op"), "data": [], "code": "50011", "msg": _OKX_WORDS})


# -- Hyperliquid: 1,200 of weight a minute and address; posts over the stream share it (sheet, "Limits").

_HYPERLIQUID_LIGHT: Final = re.compile(
    rb'"type":\s*"(?:l2Book|allMids|clearinghouseState|orderStatus|spotClearinghouseState|exchangeStatus)"'
)
_HYPERLIQUID_ROLE: Final = re.compile(rb'"type":\s*"userRole"')


def _hyperliquid(request: Request) -> Sequence[Charge]:
    weight = 20
    if request.path == "/exchange":
        weight = 1
    elif _HYPERLIQUID_LIGHT.search(request.body):
        weight = 2
    elif _HYPERLIQUID_ROLE.search(request.body):
        weight = 60
    return (Charge("weight", 1_200, 60, weight),)


def _hyperliquid_text(text: str) -> Sequence[Charge]:
    return (Charge("weight", 1_200, 60),) if '"post"' in text else ()


# -- Lighter: a standard account's 60 requests and 60 transactions a minute (sheet, 9).


def _lighter(request: Request) -> Sequence[Charge]:
    asked = Charge("requests", 60, 60)
    return (asked, Charge("transactions", 60, 60)) if request.path.endswith("/sendTx") else (asked,)


def _lighter_text(text: str) -> Sequence[Charge]:
    return (Charge("transactions", 60, 60),) if '"jsonapi/sendtx"' in text else ()


_VENUES: Final[Mapping[str, _Rules]] = {
    "backpack": _Rules(_backpack, _nothing, _BACKPACK_NO),
    "okx": _Rules(_okx, _okx_text, json_reply({"code": "50011", "msg": "Too Many Requests"}, 429), _okx_no),
    # What stands in a 429 of Hyperliquid is not recorded; its SDK is ready for `null`.
    "hyperliquid": _Rules(_hyperliquid, _hyperliquid_text, json_reply(None, 429)),
    "lighter": _Rules(_lighter, _lighter_text, json_reply({"code": 23000, "message": "Too Many Requests!"}, 429)),
}
