"""
What the simulated Binance counts: weight of requests by product and calendar minute, new orders by several windows.

Over a limit a request is refused unread, with the time to wait; going on all the same costs nothing more here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from venues.simulation.binance_markets import PERP_LIMITS, SPOT_LIMITS
from venues.simulation.binance_rules import Refusal

LIMITS: Final[Mapping[bool, tuple[Mapping[str, Any], ...]]] = {True: PERP_LIMITS, False: SPOT_LIMITS}
"""As exchangeInfo tells them, by whether it is about perps."""
_SECS: Final[Mapping[str, int]] = {"SECOND": 1, "MINUTE": 60, "DAY": 86_400}
# Weights with a symbol and without one (sheet, 9); what is not here weighs 1.
_PERP: Final[Mapping[str, tuple[int, int]]] = {
    "POST order": (0, 0),
    "GET openOrders": (1, 40),
    "GET account": (5, 5),
    "GET balance": (5, 5),
    "GET positionRisk": (5, 5),
    "GET userTrades": (5, 5),
    "GET dual": (30, 30),
    "POST countdownCancelAll": (10, 10),
    "GET bookTicker": (2, 5),
    "GET depth": (2, 2),
}
_SPOT: Final[Mapping[str, tuple[int, int]]] = {
    "POST order": (0, 0),
    "DELETE order": (0, 0),
    "GET order": (4, 4),
    "GET account": (20, 20),
    "GET exchangeInfo": (20, 20),
}


class OverLimit(Refusal):
    """HTTP 429, with the seconds to wait."""

    def __init__(self, code: int, text: str, retry_secs: int) -> None:
        super().__init__(429, code, text)
        self.retry_secs = retry_secs


class Counts:
    """
    Args:
        venue_ms: The venue's clock.
        speed: How much faster than life its minutes pass.
    """

    def __init__(self, venue_ms: Callable[[], int], speed: float = 1.0) -> None:
        self.refused = 0
        """Requests that were over a limit."""
        self.peaks: dict[str, int] = {}
        """The most that each window ever held."""
        self._venue_ms = venue_ms
        self._speed = speed
        self._counts: dict[tuple[str, int], int] = {}

    def take(self, perp: bool, method: str, path: str, *, order: bool, named: bool) -> dict[str, str]:
        """
        Count a request and give the headers that tell the counts.

        Raises:
            Refusal: 429, it is over a limit.
        """
        table = _PERP if perp else _SPOT
        weight = table.get(f"{method} {path.rpartition('/')[2]}", (1, 1))[not named]
        charged = [(limit, 1 if self._orders(limit) else weight) for limit in LIMITS[perp]]
        charged = [(limit, amount) for limit, amount in charged if order or not self._orders(limit)]
        for limit, amount in charged:
            if amount and self.count(perp, limit) + amount > limit["limit"]:
                self.refused += 1
                if self._orders(limit):
                    raise OverLimit(-1015, f"Too many new orders; current limit is {_words(limit)}.", self._left(limit))
                raise OverLimit(-1003, f"Too many requests; current limit is {_words(limit)}.", self._left(limit))
        headers = {}
        for limit, amount in charged:
            slot = self._slot(perp, limit)
            held = self._counts[slot] = self._counts.get(slot, 0) + amount
            self.peaks[slot[0]] = max(self.peaks.get(slot[0], 0), held)
            if self._orders(limit):
                headers[f"x-mbx-order-count-{limit['intervalNum']}{limit['interval'][0].lower()}"] = str(held)
            else:
                headers |= {"x-mbx-used-weight": str(held), "x-mbx-used-weight-1m": str(held)}
        return headers

    def told(self, perp: bool) -> list[dict[str, Any]]:
        """The list ``rateLimits`` of a WebSocket API's answer."""
        return [{**limit, "count": self.count(perp, limit)} for limit in LIMITS[perp]]

    def count(self, perp: bool, limit: Mapping[str, Any]) -> int:
        return self._counts.get(self._slot(perp, limit), 0)

    def _slot(self, perp: bool, limit: Mapping[str, Any]) -> tuple[str, int]:
        secs = limit["intervalNum"] * _SECS[limit["interval"]]
        name = f"{'perp' if perp else 'spot'} {limit['rateLimitType']} {secs}"
        return name, int(self._venue_ms() * self._speed) // int(secs * 1000)

    def _left(self, limit: Mapping[str, Any]) -> int:
        """Seconds until the window is over, in our time; at least 1."""
        whole_ms = limit["intervalNum"] * _SECS[limit["interval"]] * 1000
        left_ms: float = whole_ms - int(self._venue_ms() * self._speed) % whole_ms
        return max(1, math.ceil(left_ms / (1000 * self._speed)))

    @staticmethod
    def _orders(limit: Mapping[str, Any]) -> bool:
        return bool(limit["rateLimitType"] == "ORDERS")


def _words(limit: Mapping[str, Any]) -> str:
    return f"{limit['limit']} per {limit['intervalNum']} {limit['interval']}"
