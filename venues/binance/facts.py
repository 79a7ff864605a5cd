"""
What Binance is: its places, abilities, symbol grammar and market rules.

Perp and spot share one text (``SOLUSDT``); here a perp is ``SOLUSDT_PERP`` and the wire name is without the suffix.
Sources are named in README.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

import msgspec

from core.precision import OffGrid, ceil_to, decimal_of, decimals_of, scaled
from venues.dialect import Cost, Count, HttpCall, HttpReply, Limit, RateRules
from venues.errors import WireError
from venues.events import MarketFacts
from venues.interface import Abilities

NAME: Final = "binance"
LIVE: Final[Mapping[str, str]] = {
    "fapi": "https://fapi.binance.com",
    "api": "https://api.binance.com",
    "fstream": "wss://fstream.binance.com",
    "stream": "wss://stream.binance.com:9443",
    "ws_fapi": "wss://ws-fapi.binance.com/ws-fapi/v1",
    "ws_api": "wss://ws-api.binance.com:443/ws-api/v3",
}
DEMO: Final[Mapping[str, str]] = {
    "fapi": "https://demo-fapi.binance.com",
    "api": "https://demo-api.binance.com",
    "fstream": "wss://fstream.binancefuture.com",
    "stream": "wss://demo-stream.binance.com",
    "ws_fapi": "wss://testnet.binancefuture.com/ws-fapi/v1",
    "ws_api": "wss://demo-ws-api.binance.com/ws-api/v3",
}

ABILITIES: Final = Abilities(
    order_entry="ws",
    post_only=True,
    reduce_only=True,
    # Ids are texts of up to 36 characters; ours are decimal numbers of the journal's range.
    max_client_id=4_294_967_295,
    # The venue's default recvWindow; it refuses what reaches it later (-1021), its matching engine again (-5028).
    expiry_ms=5_000,
    # Reads come from replicas (-2013 right after placing is real); by how much they lag is nowhere said.
    read_lag_ms=5_000,
    history_by_client_id=True,
    dead_mans_switch=True,
    spot=True,
    spot_fee_in_base=True,
    quotes=("USDT", "USDC"),
    dead_man_secs=120,
)

# Weight of a request on its product's address, by method and the end of its path; with a symbol, without one.
_WEIGHTS: Final[Mapping[str, Mapping[str, tuple[int, int]]]] = {
    "fapi": {
        "POST order": (0, 0),
        "GET openOrders": (1, 40),
        "GET account": (5, 5),
        "GET positionRisk": (5, 5),
        "GET userTrades": (5, 5),
        "GET dual": (30, 30),
        "POST countdownCancelAll": (10, 10),
        "GET bookTicker": (2, 5),
    },
    "api": {
        # What fails weighs 1; they are counted so.
        "POST order": (1, 1),
        "GET order": (4, 4),
        "GET account": (20, 20),
        "GET exchangeInfo": (20, 20),
        # The sheet has no figures for these three: as the venue's pages told them, unverified.
        "GET openOrders": (6, 80),
        "GET myTrades": (20, 20),
        "GET bookTicker": (2, 4),
    },
}
_SECS: Final[Mapping[str, int]] = {"SECOND": 1, "MINUTE": 60, "HOUR": 3_600, "DAY": 86_400}
_USED: Final = "x-mbx-used-weight-1m"
_ORDERS: Final = "x-mbx-order-count-"


class _RateLimit(msgspec.Struct, rename="camel"):
    rate_limit_type: str
    interval: str
    interval_num: int
    limit: int


class _Limits(msgspec.Struct, rename="camel"):
    rate_limits: list[_RateLimit] = []


_LIMITS: Final = msgspec.json.Decoder(_Limits)


class Rates(RateRules):
    """
    Weight a minute and address for each product, and counts of new orders. What stands here holds until exchangeInfo
    has told the venue's own; response headers tell what was used.
    """

    def __init__(self) -> None:
        self._named: dict[str, dict[str, Limit]] = {"fapi": {}, "api": {}}
        self._orders: dict[str, tuple[Cost, ...]] = {}
        self._put("fapi", [("", 2_400, 60), ("10s", 300, 10), ("1m", 1_200, 60)])
        self._put("api", [("", 6_000, 60), ("10s", 50, 10), ("1d", 160_000, 86_400)])

    def learn(self, host: str, body: bytes) -> None:
        """The limits that ``exchangeInfo`` publishes; what cannot be read leaves ours as they are."""
        try:
            told = _LIMITS.decode(body).rate_limits
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return
        found = []
        for each in told:
            kind = {"REQUEST_WEIGHT": "", "ORDERS": f"{each.interval_num}{each.interval[:1].lower()}"}.get(
                each.rate_limit_type
            )
            secs = each.interval_num * _SECS.get(each.interval, 0)
            if kind is not None and secs > 0 and each.limit > 0:
                found.append((kind, each.limit, secs))
        self._put(host, found)

    def _put(self, host: str, limits: Sequence[tuple[str, int, float]]) -> None:
        own = self._named[host]
        for kind, most, secs in limits:
            name = f"{host} orders {kind}" if kind else f"{host} weight"
            own[name] = Limit(name, most, secs)
        self._orders[host] = tuple(Cost(name) for name in own if " orders " in name)
        self.limits = tuple(limit for each in self._named.values() for limit in each.values())

    def cost(self, call: HttpCall) -> Sequence[Cost]:
        path, _, query = call.path.partition("?")
        named = "symbol=" in query or any(name == "symbol" for name, _ in call.params)
        weights = _WEIGHTS[call.host].get(f"{call.method} {path.rpartition('/')[2]}", (1, 1))
        return (Cost(f"{call.host} weight", weights[not named]),)

    def order_cost(self, symbol: str, *, cancel: bool, rest: bool) -> Sequence[Cost]:
        host = "fapi" if is_perp(symbol) else "api"
        if cancel:
            return (Cost(f"{host} weight"),)
        weight = _WEIGHTS[host]["POST order"][0]
        return (*self._orders[host], Cost(f"{host} weight", weight)) if weight else self._orders[host]

    def counts(self, call: HttpCall, reply: HttpReply) -> Sequence[Count]:
        found = []
        for name, text in reply.headers.items():
            if name == _USED and text.isdecimal() and len(text) < 10:
                found.append(Count(f"{call.host} weight", int(text)))
            elif name.startswith(_ORDERS) and text.isdecimal() and len(text) < 10:
                found.append(Count(f"{call.host} orders {name.removeprefix(_ORDERS)}", int(text)))
        return found


PERP_SUFFIX: Final = "_PERP"
QUOTE: Final = "USDT"
ENDED_KEPT_MS: Final = 3 * 86_400_000
"""A perp order that ended without a fill can be queried for three days."""


def venue_symbol(base: str, kind: str) -> str:
    """``("SOL", "perp")`` → ``SOLUSDT_PERP``; ``kind`` is ``perp`` or ``spot``, the quote USDT."""
    return base + QUOTE + {"perp": PERP_SUFFIX, "spot": ""}[kind]


def canonical(symbol: str) -> tuple[str, str] | None:
    """``SOLUSDT`` → ``("SOL", "spot")``; None for anything that is not quoted in USDT."""
    wire = symbol.removesuffix(PERP_SUFFIX)
    base = wire.removesuffix(QUOTE)
    if base == wire or not base.isalnum():
        return None
    return base, "perp" if wire != symbol else "spot"


def is_perp(symbol: str) -> bool:
    return symbol.endswith(PERP_SUFFIX)


def wire_name(symbol: str) -> str:
    """What the venue calls it: ``SOLUSDT_PERP`` and ``SOLUSDT`` are both ``SOLUSDT``."""
    return symbol.removesuffix(PERP_SUFFIX)


def client_id(text: str) -> int | None:
    """Our id behind a client id's text; None for one that another program, or the venue, made."""
    if text.isascii() and text.isdigit() and len(text) <= 10 and text[0] != "0":
        number = int(text)
        return number if number <= ABILITIES.max_client_id else None
    return None


class _Filter(msgspec.Struct, rename="camel"):
    filter_type: str
    tick_size: str | None = None
    min_price: str | None = None
    max_price: str | None = None
    step_size: str | None = None
    min_qty: str | None = None
    max_qty: str | None = None
    notional: str | None = None
    min_notional: str | None = None
    multiplier_up: str | None = None
    multiplier_down: str | None = None
    bid_multiplier_up: str | None = None
    bid_multiplier_down: str | None = None
    ask_multiplier_up: str | None = None
    ask_multiplier_down: str | None = None


class _Market(msgspec.Struct, rename="camel"):
    symbol: str
    status: str
    base_asset: str
    quote_asset: str
    filters: list[_Filter]
    contract_type: str | None = None
    """Perps only; spot rows have no such key."""
    required_margin_percent: str | None = None
    is_spot_trading_allowed: bool = True


class _Info(msgspec.Struct):
    symbols: list[msgspec.Raw]


_INFO: Final = msgspec.json.Decoder(_Info)
_ROW: Final = msgspec.json.Decoder(_Market)
_NO_FILTER: Final = _Filter("")


def read_markets(body: bytes, kind: str) -> dict[str, MarketFacts]:
    """
    ``exchangeInfo`` of one product by our symbol. A row whose numbers cannot be read is left out: one odd listing
    must not keep every other market from trading.

    Raises:
        WireError: the answer has no list of symbols.
    """
    try:
        rows = _INFO.decode(body).symbols
    except (msgspec.MsgspecError, ValueError, RecursionError) as broken:
        raise WireError("UNREADABLE", "Binance's exchangeInfo has no list of symbols.") from broken
    markets: dict[str, MarketFacts] = {}
    for raw in rows:
        try:
            row = _ROW.decode(raw)
            # Quarterly and TradFi contracts are other products.
            if (row.contract_type == "PERPETUAL") if kind == "perp" else row.is_spot_trading_allowed:
                facts = _facts(row, kind)
                markets[facts.symbol] = facts
        except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError):
            continue
    return markets


def _facts(row: _Market, kind: str) -> MarketFacts:
    filters = {each.filter_type: each for each in row.filters}
    price, lot = filters.get("PRICE_FILTER", _NO_FILTER), filters.get("LOT_SIZE", _NO_FILTER)
    market = filters.get("MARKET_LOT_SIZE", _NO_FILTER)
    least = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or _NO_FILTER
    if price.tick_size is None or lot.step_size is None:
        raise OffGrid(f"{row.symbol}: no tick or step")
    # pricePrecision and quantityPrecision are not the decimals of tick and step.
    price_decimals, size_decimals = decimals_of(price.tick_size), decimals_of(lot.step_size)
    tick_i, lot_i = scaled(price.tick_size, price_decimals), scaled(lot.step_size, size_decimals)
    if tick_i <= 0 or lot_i <= 0:
        raise OffGrid(f"{row.symbol}: tick and step must be above 0")
    # A market order must be able to close what a limit order opened: the stricter of both rules holds for all.
    smallest = [_on_grid(each.min_qty, size_decimals, ROUND_CEILING) for each in (lot, market)]
    largest = [_on_grid(each.max_qty, size_decimals, ROUND_FLOOR) for each in (lot, market)]
    band = filters.get("PERCENT_PRICE_BY_SIDE") or filters.get("PERCENT_PRICE") or _NO_FILTER
    lows = (band.multiplier_down, band.bid_multiplier_down, band.ask_multiplier_down)
    highs = (band.multiplier_up, band.bid_multiplier_up, band.ask_multiplier_up)
    return MarketFacts(
        symbol=row.symbol + (PERP_SUFFIX if kind == "perp" else ""),
        base=row.base_asset,
        quote=row.quote_asset,
        kind=kind,
        price_decimals=price_decimals,
        size_decimals=size_decimals,
        tick_i=tick_i,
        lot_i=lot_i,
        min_size_i=ceil_to(max(lot_i, *(limit or 0 for limit in smallest)), lot_i),
        max_size_i=min((limit for limit in largest if limit), default=None),
        min_price_i=ceil_to(max(tick_i, _on_grid(price.min_price, price_decimals, ROUND_CEILING) or 0), tick_i),
        max_price_i=_on_grid(price.max_price, price_decimals, ROUND_FLOOR) or None,
        min_notional=decimal_of(least.notional or least.min_notional or "0"),
        # Code -4164 says so itself: "... (unless you choose reduce only)".
        closes_below_minimum=kind == "perp",
        initial_margin=_margin(row),
        band_low=max((decimal_of(low) for low in lows if low is not None), default=None),
        band_high=min((decimal_of(high) for high in highs if high is not None), default=None),
        tradable=row.status == "TRADING",
    )


def _margin(row: _Market) -> Decimal:
    if row.required_margin_percent is None:
        return Decimal(1)
    margin = decimal_of(row.required_margin_percent) / 100
    if not 0 < margin <= 1:
        raise OffGrid(f"{row.symbol}: a margin of {margin}")
    return margin


def _on_grid(text: str | None, decimals: int, rounding: str) -> int | None:
    """A limit of the venue on our grid, moved inwards; None when there is none. On spot 0 turns a rule off."""
    if text is None:
        return None
    value = decimal_of(text)
    if value and abs(value.adjusted()) > 36:
        raise OffGrid(f"{text} is not a usable limit")
    return int(value.scaleb(decimals).to_integral_value(rounding))
