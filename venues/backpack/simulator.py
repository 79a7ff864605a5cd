"""
Backpack Exchange, simulated: REST and streams as the sheet and the recorded payloads show them, on the shared
matching engine. Written from those alone; it shares no code with the dialect that talks to it.

What no recording shows is a switch in :class:`Choices`. Left out: trigger and scheduled orders (refused with
NOT_IMPLEMENTED), lending and borrowing, funding payments, liquidation, klines.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple, NoReturn
from urllib.parse import parse_qsl, quote

import msgspec
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from core.chance import Chance
from core.clock import Clock, iso_utc
from core.precision import decimals_of, floor_to, plain, scaled
from venues.simulation.accounts import Account
from venues.simulation.app import Peer, Reply, Request
from venues.simulation.desk import Agenda, Subscribers, json_bytes, json_text
from venues.simulation.engine import MatchingEngine
from venues.simulation.faults import Faults
from venues.simulation.market import Street, summary
from venues.simulation.records import (
    ZERO,
    Accepted,
    BalanceChanged,
    BookChanged,
    Cancelled,
    EngineEvent,
    Expired,
    Filled,
    Listing,
    Order,
    PositionChanged,
    Reason,
    SelfTrade,
    Shrunk,
    State,
    Ticket,
    TimeInForce,
    Trade,
    Traded,
)

OWNER: Final = "main"
ANCHORS: Final = {"SOL": Decimal(140), "BTC": Decimal(95000), "ETH": Decimal(3200)}
START_BALANCES: Final = {"USDC": Decimal(10_000), "SOL": Decimal(10)}
WEIGHTS: Final = {"USDC": Decimal(1), "SOL": Decimal("0.95"), "BTC": Decimal("0.95"), "ETH": Decimal("0.95")}
"""Collateral weights: 0.95 is what the recorded collateral reading shows for a coin."""
FEES_BPS: Final = {"SPOT": (8, 10), "PERP": (2, 5)}
"""Maker and taker, base tier."""
EMIT_LAG_US: Final = 160
"""How long after the engine a message leaves, in the recordings."""

REFUSALS: Final[Mapping[str, tuple[int, str, str]]] = {
    "AUTH": (400, "INVALID_CLIENT_REQUEST", "Invalid signature"),
    "CLOCK_SKEW": (400, "INVALID_CLIENT_REQUEST", "Request has expired"),
    "SIZE_PRECISION": (400, "INVALID_CLIENT_REQUEST", "Quantity decimal too long"),
    "PRECISION": (400, "INVALID_CLIENT_REQUEST", "Price decimal too long"),
    "MIN_SIZE": (400, "INVALID_CLIENT_REQUEST", "Quantity is below the minimum allowed value"),
    "PRICE_BAND": (400, "INVALID_CLIENT_REQUEST", "Price is too far from the last active price"),
    "POST_ONLY_WOULD_CROSS": (400, "INVALID_ORDER", "Order would immediately match and take"),
    "REDUCE_ONLY": (400, "INVALID_ORDER", "Reduce only order not reduced"),
    "INSUFFICIENT_MARGIN": (400, "INSUFFICIENT_FUNDS", "Insufficient funds"),
    "UNFILLED": (400, "INVALID_ORDER", "Order could not be filled"),
    "DUPLICATE_CLIENT_ID": (400, "INVALID_CLIENT_REQUEST", "Duplicate client id"),
    "ORDER_NOT_FOUND": (400, "INVALID_CLIENT_REQUEST", "Order not found"),
    "NOT_FOUND": (404, "RESOURCE_NOT_FOUND", "Not Found"),
    "RATE_LIMITED": (429, "TOO_MANY_REQUESTS", "Too many requests"),
    "VENUE_UNAVAILABLE": (503, "MAINTENANCE", "Maintenance"),
}
"""Status, code and text of each refusal; a ``reject`` fault names one of the keys as its ``reason``."""

_REFUSED_FOR: Final[Mapping[Reason, tuple[str, str]]] = {
    Reason.WOULD_CROSS: ("POST_ONLY_WOULD_CROSS", "post_only_cross"),
    Reason.REDUCE_ONLY: ("REDUCE_ONLY", "reduce_only_flat"),
    Reason.REDUCE_ONLY_SIZE: ("REDUCE_ONLY", "reduce_only_flat"),
    Reason.FUNDS: ("INSUFFICIENT_MARGIN", "insufficient"),
    Reason.MARGIN: ("INSUFFICIENT_MARGIN", "insufficient"),
    Reason.FILL_OR_KILL: ("UNFILLED", "immediate_unfilled"),
    Reason.IMMEDIATE: ("UNFILLED", "immediate_unfilled"),
    Reason.IMPACT: ("UNFILLED", "market_beyond_impact"),
    Reason.NO_LIQUIDITY: ("UNFILLED", "market_beyond_impact"),
}
_EXPIRY: Final[Mapping[Reason, str]] = {
    Reason.WOULD_CROSS: "PostOnlyTaker",
    Reason.REDUCE_ONLY: "ReduceOnlyNotReduced",
    Reason.REDUCE_ONLY_SIZE: "ReduceOnlyNotReduced",
    Reason.FUNDS: "InsufficientFunds",
    Reason.MARGIN: "InsufficientMargin",
    Reason.FILL_OR_KILL: "FillOrKill",
    Reason.IMMEDIATE: "ImmediateOrCancel",
    Reason.IMPACT: "PriceImpact",
    Reason.NO_LIQUIDITY: "InsufficientLiquidity",
    Reason.SELF_TRADE: "SelfTradePrevention",
}
_STP: Final = {
    "RejectTaker": SelfTrade.TAKER,
    "RejectMaker": SelfTrade.MAKER,
    "RejectBoth": SelfTrade.BOTH,
    "Allow": SelfTrade.ALLOW,
}
_NULLS: Final = (
    "relatedOrderId stopLossLimitPrice stopLossTriggerBy stopLossTriggerPrice strategyId takeProfitLimitPrice "
    "takeProfitTriggerBy takeProfitTriggerPrice triggerBy triggerPrice triggerQuantity triggeredAt"
).split()
_FLAGS: Final = ("autoLend", "autoLendRedeem", "autoBorrow", "autoBorrowRepay")
_STREAM: Final = re.compile(
    r"(?:bookTicker|ticker|trade|openInterest|depth(?:\.(?:200|600|1000)ms)?|kline\.\w+)\.(?P<any>\w+)"
    r"|markPrice\.(?P<perp>\w+)|liquidation|account\.balanceUpdate"
    r"|account\.(?:orderUpdate|positionUpdate)(?:\.(?P<own>\w+))?"
)
_DECIMAL: Final = re.compile(r"-?[0-9]{1,28}(?:\.[0-9]{1,28})?", re.ASCII)


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue does where nobody recorded it. Words are ``expire`` (a 200 with an expired order) or ``refuse``."""

    duplicate_client_id: str = "accept"
    post_only_cross: str = "refuse"
    reduce_only_flat: str = "refuse"
    reduce_only_oversize: str = "clip"
    insufficient: str = "refuse"
    immediate_unfilled: str = "expire"
    market_beyond_impact: str = "expire"
    cancel_is_202: bool = False
    """Cancels answer 202 without a body; the order is gone all the same."""
    history_lag_ms: int = 0
    """How long history keeps silent about an order or fill."""


def _filters(tick: str, step: str, mult: str, band: str, impact: str, top: str | None, perp: bool) -> Any:
    (low, high), (band_low, band_high), (down, up) = mult.split("-"), band.split("-"), impact.split("-")
    return {
        "price": {
            "borrowEntryFeeMaxMultiplier": None if perp else "1.01",
            "borrowEntryFeeMinMultiplier": None if perp else "0.99",
            "discoveryBoundBand": None,
            "maxImpactMultiplier": up,
            "maxMultiplier": high,
            "maxPrice": top,
            "maxPriceUpdateMultiplier": "1.0025",
            "meanMarkPriceBand": {"maxMultiplier": band_high, "minMultiplier": band_low},
            "meanPremiumBand": {"tolerancePct": "0.05"} if perp else None,
            "minImpactMultiplier": down,
            "minMultiplier": low,
            "minPrice": tick,
            "minPriceUpdateMultiplier": "0.9975",
            "tickSize": tick,
        },
        "quantity": {"maxQuantity": None, "minQuantity": step, "stepSize": step},
    }


def _row(base: str, filters: Any, perp: tuple[str, str, str, str, int, str] | None = None) -> dict[str, Any]:
    margins = [None, None]
    if perp:
        margins = [{"base": b, "factor": f, "type": "sqrt"} for b, f in (perp[0:2], perp[2:4])]  # type: ignore[misc]
    return {
        "baseSymbol": base,
        "createdAt": "2025-01-21T06:34:54.691858",
        "filters": filters,
        "fundingInterval": perp[4] if perp else None,
        "fundingRateLowerBound": "-100" if perp else None,
        "fundingRateUpperBound": "100" if perp else None,
        "imfFunction": margins[0],
        "marketType": "PERP" if perp else "SPOT",
        "mmfFunction": margins[1],
        "openInterestLimit": perp[5] if perp else "0",
        "orderBookState": "Open",
        "positionLimitWeight": "1" if perp else None,
        "quoteSymbol": "USDC",
        "rwaMarketType": None,
        "symbol": f"{base}_USDC_PERP" if perp else f"{base}_USDC",
        "visible": True,
    }
