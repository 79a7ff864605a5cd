"""
The markets that the simulated Binance lists: what exchangeInfo prints, and the engine's side of it.

Perp and spot share the venue's symbol; inside the simulator a perp has the suffix ``_PERP``.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from core.precision import decimal_of, decimals_of
from venues.simulation.records import Listing

PERP_OWNER: Final = "futures"
SPOT_OWNER: Final = "spot"
SUFFIX: Final = "_PERP"
FEES_BPS: Final = {"perp": (2, 5), "spot": (10, 10)}
"""Maker and taker, base tier."""

# What the sheet believes of today's grid where the recorded rows are old; the other values are the recorded ones.
# symbol, tick, step, lowest and highest price, largest limit and market order, notional, band, both precisions
_PERPS: Final = (
    ("SOLUSDT", "0.0100", "0.01", "0.4200", "6857.0000", "1000000", "5000", "5", "0.9500-1.0500", 4, 2),
    ("BTCUSDT", "0.10", "0.001", "402", "1246396.60", "1000", "1000", "100", "0.9500-1.0500", 2, 3),
    ("ETHUSDT", "0.01", "0.001", "28.23", "144004.03", "10000", "10000", "20", "0.9000-1.1000", 2, 3),
)
# symbol, tick, step, largest limit and market order
_SPOTS: Final = (
    ("SOLUSDT", "0.01000000", "0.00100000", "90000.00000000", "21000.00000000"),
    ("BTCUSDT", "0.01000000", "0.00001000", "9000.00000000", "128.52621715"),
    ("ETHUSDT", "0.01000000", "0.00010000", "9000.00000000", "2900.00000000"),
)
PERP_LIMITS: Final = (
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
    {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
)
SPOT_LIMITS: Final = (
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
    {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200000},
)


def _perp_row(spec: tuple[Any, ...]) -> dict[str, Any]:
    symbol, tick, step, low, high, most, most_market, notional, band, price_precision, quantity_precision = spec
    return {
        "symbol": symbol,
        "pair": symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": symbol.removesuffix("USDT"),
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": price_precision,
        "quantityPrecision": quantity_precision,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "settlePlan": 0,
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": tick, "minPrice": low, "maxPrice": high},
            {"filterType": "LOT_SIZE", "minQty": step, "stepSize": step, "maxQty": most},
            {"filterType": "MARKET_LOT_SIZE", "minQty": step, "stepSize": step, "maxQty": most_market},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MIN_NOTIONAL", "notional": notional},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": band.split("-")[1],
                "multiplierDown": band.split("-")[0],
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }


def _spot_row(spec: tuple[str, ...]) -> dict[str, Any]:
    symbol, tick, step, most, most_market = spec
    sides = {"bidMultiplierUp": "5", "bidMultiplierDown": "0.2", "askMultiplierUp": "5", "askMultiplierDown": "0.2"}
    zero = "0.00000000"
    return {
        "symbol": symbol,
        "status": "TRADING",
        "baseAsset": symbol.removesuffix("USDT"),
        "baseAssetPrecision": 8,
        "quoteAsset": "USDT",
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": True,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": most, "stepSize": step},
            {"filterType": "MARKET_LOT_SIZE", "minQty": zero, "maxQty": most_market, "stepSize": zero},
            {"filterType": "PERCENT_PRICE_BY_SIDE", **sides, "avgPriceMins": 5},
            {
                "filterType": "NOTIONAL",
                "minNotional": "5.00000000",
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        ],
        "permissions": [],
        "permissionSets": [["SPOT", "MARGIN"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


PERP_ROWS: Final = {spec[0]: _perp_row(spec) for spec in _PERPS}
SPOT_ROWS: Final = {spec[0]: _spot_row(spec) for spec in _SPOTS}
"""What exchangeInfo prints, by the venue's symbol."""


def filters_of(symbol: str) -> dict[str, dict[str, Any]]:
    """The filters of a market of ours, by type."""
    row = PERP_ROWS[symbol.removesuffix(SUFFIX)] if symbol.endswith(SUFFIX) else SPOT_ROWS[symbol]
    return {each["filterType"]: each for each in row["filters"]}


def listings() -> list[Listing]:
    """The engine's side of every market."""
    made = []
    for kind, rows, suffix in (("perp", PERP_ROWS, SUFFIX), ("spot", SPOT_ROWS, "")):
        maker, taker = (Decimal(bps) / 10_000 for bps in FEES_BPS[kind])
        for symbol, row in rows.items():
            filters = filters_of(symbol + suffix)
            tick, step = filters["PRICE_FILTER"]["tickSize"], filters["LOT_SIZE"]["stepSize"]
            price_decimals, size_decimals = decimals_of(tick), decimals_of(step)
            made.append(
                Listing(
                    symbol=symbol + suffix,
                    base=row["baseAsset"],
                    quote=row["quoteAsset"],
                    kind=kind,
                    price_decimals=price_decimals,
                    size_decimals=size_decimals,
                    tick_i=int(decimal_of(tick).scaleb(price_decimals)),
                    lot_i=int(decimal_of(step).scaleb(size_decimals)),
                    maker_fee=maker,
                    taker_fee=taker,
                    impact_up=Decimal("1.05") if kind == "perp" else None,
                    impact_down=Decimal("0.95") if kind == "perp" else None,
                )
            )
    return made
