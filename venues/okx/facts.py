"""
What OKX is: its places, abilities, symbol grammar and market rules.

Source: the v5 documents of 2026 and recorded payloads (README.md tells which fact is which).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final, NamedTuple

import msgspec

from core.precision import MAX_DIGITS, OffGrid, ceil_to, decimal_of, decimals_of, plain, scaled
from venues.dialect import Cost, HttpCall, HttpReply, Limit, RateRules
from venues.errors import WireError
from venues.events import MarketFacts
from venues.interface import Abilities

NAME: Final = "okx"
LIVE: Final[Mapping[str, str]] = {
    "rest": "https://www.okx.com",
    "ws": "wss://ws.okx.com:8443/ws/v5",
}
TESTNET: Final[Mapping[str, str]] = {
    # Demo trading: the same REST host, told apart by a header; streams have a host of their own.
    "rest": "https://www.okx.com",
    "ws": "wss://wspap.okx.com:8443/ws/v5",
}

ABILITIES: Final = Abilities(
    order_entry="ws",
    post_only=True,
    reduce_only=True,
    max_client_id=4_294_967_295,
    expiry_ms=5_000,
    # How far a reading may lag is documented nowhere: a cautious guess, no measurement.
    read_lag_ms=5_000,
    history_by_client_id=True,
    dead_mans_switch=True,
    spot=True,
    spot_fee_in_base=True,
    quotes=("USDT", "USDC", "USD"),
    # The venue takes 10 to 120 s; long enough that a slow reconnect does not cost a resting order.
    dead_man_secs=30,
)

# Requests in a number of seconds, by request. Those of trading are per account and market: we count all markets
# together, which is never too much.
_LIMITS: Final[Mapping[str, tuple[int, float]]] = {
    "POST trade/order": (60, 2),
    "POST trade/cancel-order": (60, 2),
    # 300 orders in 2 s; a batch of ours has 20.
    "POST trade/cancel-batch-orders": (15, 2),
    "POST trade/cancel-all-after": (1, 1),
    "GET trade/order": (60, 2),
    "GET trade/orders-pending": (60, 2),
    # The venue's page has 40 and 20 readings of history; the sheet has none, so the least of its neighbours.
    "GET trade/orders-history": (10, 2),
    "GET trade/fills": (60, 2),
    "GET trade/fills-history": (10, 2),
    "GET account/positions": (10, 2),
    "GET account/balance": (10, 2),
    "GET account/config": (5, 2),
    "GET public/instruments": (20, 2),
    "GET public/time": (10, 2),
    "GET market/books": (40, 2),
}


class Rates(RateRules):
    """A limit for each request, told by HTTP 429 or by a code in an answer with HTTP 200."""

    limits = tuple(Limit(name, most, secs) for name, (most, secs) in _LIMITS.items())

    def cost(self, call: HttpCall) -> Sequence[Cost]:
        name = f"{call.method} {call.path.partition('?')[0].removeprefix('/api/v5/')}"
        return (Cost(name),) if name in _LIMITS else ()

    def order_cost(self, symbol: str, *, cancel: bool, rest: bool) -> Sequence[Cost]:
        return _CANCEL if cancel else _PLACE

    def throttled(self, reply: HttpReply) -> bool:
        return reply.status == 429 or _THROTTLED.search(reply.body, 0, _HEAD) is not None


_PLACE: Final = (Cost("POST trade/order"),)
_CANCEL: Final = (Cost("POST trade/cancel-order"),)
# Of a whole request or of its only order; 50061 is the sub-account's own limit of orders.
_THROTTLED: Final = re.compile(rb'"(?:c|sC)ode":"(?:50011|50061)"')
_HEAD: Final = 400
"""Bytes of an answer in which a refusal has its code."""

_SUFFIX: Final[Mapping[str, str]] = {"perp": "-USDT-SWAP", "spot": "-USDT"}


def venue_symbol(base: str, kind: str) -> str:
    """``("SOL", "perp")`` → ``SOL-USDT-SWAP``; ``kind`` is ``perp`` or ``spot``, the quote is USDT."""
    return base + _SUFFIX[kind]


def canonical(symbol: str) -> tuple[str, str] | None:
    """``SOL-USDT`` → ``("SOL", "spot")``; None for anything that is not a USDT spot or swap market."""
    for kind, suffix in _SUFFIX.items():
        base = symbol.removesuffix(suffix)
        if base != symbol and base.isalnum():
            return base, kind
    return None


class Listed(NamedTuple):
    """A market and the number that stands for its name in orders over WebSocket, where it has one."""

    facts: MarketFacts
    code: int | None


class _Row(msgspec.Struct, rename="camel"):
    inst_type: str
    inst_id: str
    tick_sz: str
    lot_sz: str
    min_sz: str
    state: str
    base_ccy: str = ""
    quote_ccy: str = ""
    settle_ccy: str = ""
    uly: str = ""
    ct_type: str = ""
    ct_val: str = ""
    ct_mult: str = ""
    ct_val_ccy: str = ""
    max_lmt_sz: str = ""
    max_mkt_sz: str = ""
    lever: str = ""
    inst_id_code: int | str | None = None


class _Answer(msgspec.Struct):
    data: list[msgspec.Raw]


_ANSWER: Final = msgspec.json.Decoder(_Answer)
_ROW: Final = msgspec.json.Decoder(_Row)


def read_markets(body: bytes) -> dict[str, Listed]:
    """
    ``GET /api/v5/public/instruments`` by symbol. A market whose numbers cannot be read is left out: one odd listing
    must not keep every other market from trading.

    Raises:
        WireError: the answer has no list at all.
    """
    try:
        rows = _ANSWER.decode(body).data
    except (msgspec.MsgspecError, ValueError, RecursionError) as broken:
        raise WireError("UNREADABLE", "The list of instruments is not a JSON list.") from broken
    markets: dict[str, Listed] = {}
    for raw in rows:
        try:
            listed = _listed(_ROW.decode(raw))
        except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError):
            continue
        if listed is not None:
            markets[listed.facts.symbol] = listed
    return markets


def _listed(row: _Row) -> Listed | None:
    """None for what we do not trade: dated futures, options, and swaps whose contract is not counted in the coin."""
    if row.inst_type == "SPOT":
        kind, base, quote, contract = "spot", row.base_ccy, row.quote_ccy, Decimal(1)
    elif row.inst_type == "SWAP" and row.ct_type == "linear":
        kind = "perp"
        base, _, quote = row.uly.partition("-")
        if row.ct_val_ccy != base or row.settle_ccy != quote:
            return None
        # The documents give ctMult to every contract; on each recorded swap it is 1.
        contract = _positive(row.ct_val) * _positive(row.ct_mult or "1")
    else:
        return None
    tick, lot = _positive(row.tick_sz), _positive(row.lot_sz) * contract
    price_decimals, size_decimals = decimals_of(plain(tick)), decimals_of(plain(lot))
    lot_i = scaled(plain(lot), size_decimals)
    limits = [row.max_lmt_sz] if kind == "spot" else [row.max_lmt_sz, row.max_mkt_sz]
    sizes = [_on_grid(decimal_of(text) * contract, size_decimals, ROUND_FLOOR) for text in limits if text]
    lever = _positive(row.lever) if kind == "perp" and row.lever else Decimal(1)
    facts = MarketFacts(
        symbol=row.inst_id,
        base=base,
        quote=quote,
        kind=kind,
        price_decimals=price_decimals,
        size_decimals=size_decimals,
        tick_i=scaled(plain(tick), price_decimals),
        lot_i=lot_i,
        min_size_i=ceil_to(max(lot_i, _on_grid(_positive(row.min_sz) * contract, size_decimals, ROUND_CEILING)), lot_i),
        # One limit for both kinds of order. A spot market order's own limit is in USDT and stays with the venue.
        max_size_i=min(sizes, default=None),
        min_price_i=scaled(plain(tick), price_decimals),
        contract_size=contract,
        initial_margin=1 / max(lever, Decimal(1)),
        tradable=row.state == "live",
    )
    return Listed(facts, row.inst_id_code if isinstance(row.inst_id_code, int) else None)


def _positive(text: str) -> Decimal:
    value = decimal_of(text)
    if value <= 0 or abs(value.adjusted()) > MAX_DIGITS // 2:
        raise OffGrid(f"{text} must be above 0")
    return value


def _on_grid(value: Decimal, decimals: int, rounding: str) -> int:
    """A limit of the venue on our grid, moved inwards."""
    if abs(value.adjusted()) > MAX_DIGITS:
        raise OffGrid("not a usable limit")
    return int(value.scaleb(decimals).to_integral_value(rounding))
