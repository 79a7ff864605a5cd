"""
What Lighter is: its places, abilities, symbol grammar and market rules.

Source: the venue's documents, its SDK and recorded payloads (README.md tells which fact is which).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from core.precision import MAX_DIGITS, OffGrid, decimal_of
from venues.dialect import Cost, HttpCall, HttpReply, Limit, RateRules
from venues.errors import WireError
from venues.events import MarketFacts
from venues.interface import Abilities

NAME: Final = "lighter"
LIVE: Final[Mapping[str, str]] = {
    "rest": "https://mainnet.zklighter.elliot.ai",
    "ws": "wss://mainnet.zklighter.elliot.ai/stream",
}
TESTNET: Final[Mapping[str, str]] = {
    "rest": "https://testnet.zklighter.elliot.ai",
    "ws": "wss://testnet.zklighter.elliot.ai/stream",
}
MAINNET_CHAIN: Final = 304
TESTNET_CHAIN: Final = 300

MAX_AMOUNT: Final = (1 << 48) - 1
"""Largest ``BaseAmount`` and client id; order indexes of the venue begin above it."""
MAX_PRICE: Final = (1 << 31) - 1
"""Prices have 32 bits in a transaction; the venue's own signer takes a signed one."""
USDC: Final = "USDC"

ABILITIES: Final = Abilities(
    order_entry="ws",
    post_only=True,
    reduce_only=True,
    max_client_id=MAX_AMOUNT,
    # Our own choice of ExpiredAt; the venue's SDK takes ten minutes. The nonce bounds a doubtful order as well.
    expiry_ms=5_000,
    # REST lags the sequencer; a live bot waits this long before it believes "not found" (hummingbot).
    read_lag_ms=10_000,
    history_by_client_id=True,
    dead_mans_switch=True,
    # The venue takes 5 minutes ahead at least; half a minute more for clocks and the way there.
    dead_man_secs=330,
    spot=True,
    spot_fee_in_base=False,
    quotes=(USDC,),
    market_slippage_bps=100,
    fence=True,
    ack_is_queued=True,
)


class Rates(RateRules):
    """
    Those of a standard account: 60 requests over REST in any minute, and 60 transactions over REST and stream together.
    No reading tells which kind of account it is; the others have far more.
    """

    limits = (Limit("requests", 60, 60), Limit("transactions", 60, 60, for_orders=50))

    def cost(self, call: HttpCall) -> Sequence[Cost]:
        return _SENT if call.path.endswith("/sendTx") else _ASKED

    def order_cost(self, symbol: str, *, cancel: bool, rest: bool) -> Sequence[Cost]:
        return _SENT if rest else _STREAMED

    def throttled(self, reply: HttpReply) -> bool:
        return reply.status == 429 or _THROTTLED.search(reply.body, 0, _HEAD) is not None


_ASKED: Final = (Cost("requests"),)
_STREAMED: Final = (Cost("transactions"),)
_SENT: Final = _ASKED + _STREAMED
# "Too Many Requests!" and its relatives for single kinds of request.
_THROTTLED: Final = re.compile(rb'"code": ?2300[0-4][,}]')
_HEAD: Final = 400
"""Bytes of an answer in which a refusal has its code."""


def venue_symbol(base: str, kind: str) -> str:
    """``("SOL", "perp")`` → ``SOL``, ``("ETH", "spot")`` → ``ETH/USDC``. The venue need not have the market."""
    return base if kind == "perp" else f"{base}/{USDC}"


def canonical(symbol: str) -> tuple[str, str] | None:
    """``ETH/USDC`` → ``("ETH", "spot")``; None for anything that is neither a perp nor a USDC spot market."""
    base, slash, quote = symbol.partition("/")
    if not base.isalnum() or (slash and quote != USDC):
        return None
    return base, "spot" if slash else "perp"


class Listed(NamedTuple):
    """A market with the number that the wire has for it, and the decimals of the wire's integers."""

    number: int
    facts: MarketFacts


class _Config(msgspec.Struct):
    hidden: bool = False
    force_reduce_only: bool = False


class _Row(msgspec.Struct):
    symbol: str
    market_id: int
    market_type: str
    status: str
    price_decimals: int | None = None
    size_decimals: int | None = None
    supported_price_decimals: int | None = None
    supported_size_decimals: int | None = None
    # Some recorded rows have none of the limits.
    min_base_amount: str = "0"
    min_quote_amount: str = "0"
    default_initial_margin_fraction: int | None = None
    market_config: _Config | None = None


class _Details(msgspec.Struct):
    order_book_details: list[msgspec.Raw]
    spot_order_book_details: list[msgspec.Raw] = []


_DETAILS: Final = msgspec.json.Decoder(_Details)
_ROW: Final = msgspec.json.Decoder(_Row)


def read_markets(body: bytes) -> dict[str, Listed]:
    """
    ``GET /api/v1/orderBookDetails`` by symbol. A row whose numbers cannot be read is left out: one odd listing must
    not keep every other market from trading.

    Raises:
        WireError: the answer is no such list at all.
    """
    try:
        details = _DETAILS.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as broken:
        raise WireError("UNREADABLE", "The list of markets has no order_book_details.") from broken
    markets: dict[str, Listed] = {}
    for raw in (*details.order_book_details, *details.spot_order_book_details):
        try:
            listed = _listed(_ROW.decode(raw))
        except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError):
            continue
        if listed is not None:
            markets[listed.facts.symbol] = listed
    return markets


def _listed(row: _Row) -> Listed | None:
    """None for a kind of market that we do not trade (binary options)."""
    named = canonical(row.symbol)
    if row.market_type not in ("perp", "spot") or named is None or named[1] != row.market_type:
        return None
    price_decimals = row.supported_price_decimals if row.price_decimals is None else row.price_decimals
    size_decimals = row.supported_size_decimals if row.size_decimals is None else row.size_decimals
    if price_decimals is None or size_decimals is None:
        raise OffGrid(f"{row.symbol}: no usable decimals")
    if not 0 <= min(price_decimals, size_decimals) <= max(price_decimals, size_decimals) <= MAX_DIGITS:
        raise OffGrid(f"{row.symbol}: {price_decimals} and {size_decimals} decimals")
    config = row.market_config or _Config()
    margin = row.default_initial_margin_fraction
    facts = MarketFacts(
        symbol=row.symbol,
        base=named[0],
        quote=USDC,
        kind=row.market_type,
        price_decimals=price_decimals,
        size_decimals=size_decimals,
        # One unit of the wire's integers is the grid.
        tick_i=1,
        lot_i=1,
        min_size_i=max(1, _up(row.min_base_amount, size_decimals)),
        max_size_i=MAX_AMOUNT,
        max_price_i=MAX_PRICE,
        min_notional=decimal_of(row.min_quote_amount),
        initial_margin=Decimal(1) if margin is None or row.market_type == "spot" else Decimal(margin).scaleb(-4),
        tradable=row.status == "active" and not config.hidden and not config.force_reduce_only,
    )
    if not 0 < facts.initial_margin <= 1:
        raise OffGrid(f"{row.symbol}: a margin of {facts.initial_margin}")
    return Listed(row.market_id, facts)


def _up(text: str, decimals: int) -> int:
    """A minimum on our grid, moved inwards."""
    value = decimal_of(text)
    if value < 0 or abs(value.adjusted()) > MAX_DIGITS:
        raise OffGrid(f"{text} is not a usable limit")
    scaled = value.scaleb(decimals)
    return int(scaled) + (int(scaled) < scaled)
