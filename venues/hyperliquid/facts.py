"""
What Hyperliquid is: its places, abilities, symbol grammar and market rules.

Source: the venue's documents and recorded payloads of 2023 to 2026 (README.md tells which fact is which).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Final, NamedTuple

import msgspec

from venues.dialect import Cost, Count, HttpCall, HttpReply, Limit, RateRules
from venues.errors import WireError
from venues.events import MarketFacts
from venues.interface import Abilities

NAME: Final = "hyperliquid"
LIVE: Final[Mapping[str, str]] = {
    "rest": "https://api.hyperliquid.xyz",
    "ws": "wss://api.hyperliquid.xyz/ws",
}
TESTNET: Final[Mapping[str, str]] = {
    "rest": "https://api.hyperliquid-testnet.xyz",
    "ws": "wss://api.hyperliquid-testnet.xyz/ws",
}

ABILITIES: Final = Abilities(
    order_entry="ws",
    post_only=True,
    reduce_only=True,
    max_client_id=4_294_967_295,
    # expiresAfter, taken from our own nonce.
    expiry_ms=5_000,
    # Nodes answer readings from their own copy; by how much one may lag is not documented: a cautious guess.
    read_lag_ms=5_000,
    history_by_client_id=True,
    dead_mans_switch=True,
    spot=True,
    spot_fee_in_base=True,
    quotes=("USDC",),
    # What the official SDK uses for its market orders.
    market_slippage_bps=500,
    fence=True,
    dead_man_secs=60,
)

WEIGHT: Final = "weight"
_WEIGHTS: Final[Mapping[str, int]] = {
    **dict.fromkeys(
        ("l2Book", "allMids", "clearinghouseState", "orderStatus", "spotClearinghouseState", "exchangeStatus"), 2
    ),
    "userRole": 60,
}
_OTHER_WEIGHT: Final = 20
_ROWS_PER_WEIGHT: Final = 20
_ROWS_KINDS: Final = frozenset({"userFills", "userFillsByTime", "historicalOrders"})
_BATCH_PER_WEIGHT: Final = 40


class _Asked(msgspec.Struct):
    type: str = ""


_ASKED: Final = msgspec.json.Decoder(_Asked)


class Rates(RateRules):
    """
    1,200 of weight a minute and address; actions over the stream share it. Readings of history weigh one more for
    each 20 rows, which is known afterwards only. The limit of actions per account (10,000 and one for each USDC ever
    traded) is the venue's to tell.
    """

    limits = (Limit(WEIGHT, 1_200, 60),)

    def cost(self, call: HttpCall) -> Sequence[Cost]:
        if call.path == "/exchange":
            # Batches of cancels: 1, and one more for each 40 in it.
            return (Cost(WEIGHT, 1 + call.body.count(b'"o":') // _BATCH_PER_WEIGHT),)
        return (Cost(WEIGHT, _WEIGHTS.get(_kind(call), _OTHER_WEIGHT)),)

    def order_cost(self, symbol: str, *, cancel: bool, rest: bool) -> Sequence[Cost]:
        return _ACTION

    def counts(self, call: HttpCall, reply: HttpReply) -> Sequence[Count]:
        if call.path == "/exchange" or _kind(call) not in _ROWS_KINDS:
            return ()
        more = reply.body.count(b'"coin":') // _ROWS_PER_WEIGHT
        return (Count(WEIGHT, more=more),) if more else ()


_ACTION: Final = (Cost(WEIGHT),)


def _kind(call: HttpCall) -> str:
    return _ASKED.decode(call.body).type


SIGNIFICANT_FIGURES: Final = 5
_PRICE_DECIMALS: Final = {"perp": 6, "spot": 8}
"""Most decimals of a price, less the market's size decimals."""
_SPOT_ASSETS: Final = 10_000
"""A spot pair's asset id is its index plus this; a perp's is its index alone."""
_MIN_NOTIONAL: Final = Decimal(10)
# "Order price cannot be more than 95% away from the reference price".
_BAND: Final = (Decimal("0.05"), Decimal("1.95"))

COINS: Final[Mapping[str, str]] = {"USOL": "SOL", "UBTC": "BTC", "UETH": "ETH"}
"""Tokens of the Unit bridge → the coin they stand for."""
_PAIRS: Final[Mapping[str, str]] = {"SOL": "@156", "BTC": "@142", "ETH": "@151", "HYPE": "@107", "PURR": "PURR/USDC"}
"""USDC pairs of the main network by coin. A running dialect never uses it: ids differ on the test network."""
_BASES: Final = {symbol: base for base, symbol in _PAIRS.items()}


def venue_symbol(base: str, kind: str) -> str:
    """``("SOL", "perp")`` → ``SOL``, ``("SOL", "spot")`` → ``@156``; a spot coin without known pair → ``COIN/USDC``."""
    return base if kind == "perp" else _PAIRS.get(base, f"{base}/USDC")


def canonical(symbol: str) -> tuple[str, str] | None:
    """``@156`` → ``("SOL", "spot")``; None for pairs and builder-deployed markets whose coin the name does not tell."""
    if symbol in _BASES:
        return _BASES[symbol], "spot"
    if symbol.isalnum():
        return symbol, "perp"
    base, slash, quote = symbol.partition("/")
    return (coin(base), "spot") if slash and quote == "USDC" and base.isalnum() else None


def coin(token: str) -> str:
    """The canonical coin of a token name: ``USOL`` → ``SOL``."""
    return COINS.get(token, token)


Decimals = Annotated[int, msgspec.Meta(ge=0, le=18)]
Index = Annotated[int, msgspec.Meta(ge=0, le=1 << 32)]


class _Perp(msgspec.Struct, rename="camel"):
    name: str
    sz_decimals: Decimals
    max_leverage: Annotated[int, msgspec.Meta(ge=1)]
    is_delisted: bool = False


class _Meta(msgspec.Struct):
    universe: list[msgspec.Raw]


class _Token(msgspec.Struct, rename="camel"):
    name: str
    sz_decimals: Decimals
    index: Index


class _Pair(msgspec.Struct):
    name: str
    tokens: tuple[Index, Index]
    index: Index


class _SpotMeta(msgspec.Struct):
    tokens: list[_Token]
    universe: list[_Pair]


_META: Final = msgspec.json.Decoder(_Meta)
_PERP: Final = msgspec.json.Decoder(_Perp)
_SPOT_META: Final = msgspec.json.Decoder(_SpotMeta)


class Listed(NamedTuple):
    """``markets`` by symbol and the number that each has in signed actions."""

    markets: dict[str, MarketFacts]
    assets: dict[str, int]


def read_markets(meta: bytes, spot_meta: bytes) -> Listed:
    """
    ``meta`` and ``spotMeta`` together. An entry that cannot be read is left out and keeps its number.

    Raises:
        WireError: an answer is no such list at all.
    """
    try:
        perps = _META.decode(meta).universe
        spot = _SPOT_META.decode(spot_meta)
    except (msgspec.MsgspecError, ValueError, RecursionError) as broken:
        raise WireError("UNREADABLE", f"The list of markets cannot be read: {str(broken)[:200]}") from broken
    listed = Listed({}, {})
    for number, raw in enumerate(perps):
        try:
            perp = _PERP.decode(raw)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
        _add(
            listed,
            number,
            _facts(perp.name, perp.name, "USDC", "perp", perp.sz_decimals),
            initial_margin=Decimal(1) / perp.max_leverage,
            tradable=not perp.is_delisted,
        )
    tokens = {token.index: token for token in spot.tokens}
    for pair in spot.universe:
        base, quote = (tokens.get(index) for index in pair.tokens)
        # A token that merely calls itself SOL is not the coin that USOL stands for.
        if base is None or quote is None or base.name in COINS.values():
            continue
        facts = _facts(pair.name, coin(base.name), quote.name, "spot", base.sz_decimals)
        _add(listed, _SPOT_ASSETS + pair.index, facts)
    return listed


def _facts(symbol: str, base: str, quote: str, kind: str, size_decimals: int) -> MarketFacts:
    low, high = _BAND
    return MarketFacts(
        symbol=symbol,
        base=base,
        quote=quote,
        kind=kind,
        price_decimals=max(0, _PRICE_DECIMALS[kind] - size_decimals),
        size_decimals=size_decimals,
        # No tick and no smallest size: decimals and figures say it all.
        tick_i=1,
        lot_i=1,
        min_size_i=1,
        min_notional=_MIN_NOTIONAL,
        significant_figures=SIGNIFICANT_FIGURES,
        band_low=low,
        band_high=high,
    )


def _add(listed: Listed, asset: int, facts: MarketFacts, **more: object) -> None:
    # The first of two equal names counts: the second would send orders to another asset.
    if facts.symbol not in listed.markets:
        listed.markets[facts.symbol] = msgspec.structs.replace(facts, **more)
        listed.assets[facts.symbol] = asset
