"""
Binance's requests read and refused: which parameters an order needs, which filters it must pass, in the venue's own
codes and words. Perps and spot differ in nearly every word; the tables below say how.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from core.precision import OffGrid, decimal_of, scaled_decimal
from venues.simulation.binance_markets import PERP_OWNER, PERP_ROWS, SPOT_OWNER, SPOT_ROWS, SUFFIX, filters_of
from venues.simulation.engine import MatchingEngine
from venues.simulation.records import Reason, SelfTrade, Ticket, TimeInForce

_CLIENT_ID: Final = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
_STP: Final = {
    "NONE": SelfTrade.ALLOW,
    "EXPIRE_TAKER": SelfTrade.TAKER,
    "EXPIRE_MAKER": SelfTrade.MAKER,
    "EXPIRE_BOTH": SelfTrade.BOTH,
}

COMMON: Final[Mapping[str, tuple[int, int, str]]] = {
    "NO_KEY": (400, -2014, "API-key format invalid."),
    "AUTH": (401, -2015, "Invalid API-key, IP, or permissions for action."),
    "SIGNATURE": (400, -1022, "Signature for this request is not valid."),
    "CLOCK_SKEW": (400, -1021, "Timestamp for this request is outside of the recvWindow."),
    "AHEAD": (400, -1021, "Timestamp for this request was 1000ms ahead of the server's time."),
    "UNKNOWN_SYMBOL": (400, -1121, "Invalid symbol."),
    "TIF": (400, -1115, "Invalid timeInForce."),
    "TYPE": (400, -1116, "Invalid orderType."),
    "SIDE": (400, -1117, "Invalid side."),
    "NO_ORDER": (400, -2013, "Order does not exist."),
    "ORDER_NOT_FOUND": (400, -2011, "Unknown order sent."),
    "LISTEN_KEY": (400, -1125, "This listenKey does not exist."),
    "NO_PATH": (404, -1000, "Path not found."),
    "VENUE_UNAVAILABLE": (503, -1001, "Internal error; unable to process your request. Please try again."),
}
PERP: Final[Mapping[str, tuple[int, int, str]]] = {
    **COMMON,
    "INSUFFICIENT_MARGIN": (400, -2019, "Margin is insufficient."),
    "DECIMALS": (400, -1111, "Precision is over the maximum defined for this asset."),
    "PRECISION": (400, -4014, "Price not increased by tick size."),
    "STEP": (400, -4023, "Qty not increased by step size."),
    "NO_SIZE": (400, -4003, "Quantity less than zero."),
    "MIN_SIZE": (400, -4004, "Quantity less than min quantity."),
    "MAX_SIZE": (400, -4005, "Quantity greater than max quantity."),
    "HIGH": (400, -4002, "Price greater than max price."),
    "LOW": (400, -4013, "Price less than min price."),
    "PRICE_BAND": (400, -4016, "Price is higher than mark price multiplier cap."),
    "BELOW_BAND": (400, -4024, "Price is lower than mark price multiplier floor."),
    "MIN_NOTIONAL": (400, -4164, "Order's notional must be no smaller than {} (unless you choose reduce only)."),
    "POST_ONLY_WOULD_CROSS": (
        400,
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected. "
        "The order will not be recorded in the order history",
    ),
    "REDUCE_ONLY": (400, -2022, "ReduceOnly Order is rejected."),
    "DUPLICATE_CLIENT_ID": (400, -4116, "ClientOrderId is duplicated."),
    "CLIENT_ID": (400, -4015, "Client order id length should not be more than 36 chars"),
    "POSITION_SIDE": (400, -4061, "Order's position side does not match user's setting."),
    "RATE_LIMITED": (429, -1015, "Too many new orders; current limit is 300 orders per TEN_SECONDS."),
}
SPOT: Final[Mapping[str, tuple[int, int, str]]] = {
    **COMMON,
    "INSUFFICIENT_MARGIN": (400, -2010, "Account has insufficient balance for requested action."),
    "DECIMALS": (400, -1111, "Parameter '{}' has too much precision."),
    "PRECISION": (400, -1013, "Filter failure: PRICE_FILTER"),
    "STEP": (400, -1013, "Filter failure: LOT_SIZE"),
    "NO_SIZE": (400, -1013, "Invalid quantity."),
    "MIN_SIZE": (400, -1013, "Filter failure: LOT_SIZE"),
    "MAX_SIZE": (400, -1013, "Filter failure: LOT_SIZE"),
    "HIGH": (400, -1013, "Filter failure: PRICE_FILTER"),
    "LOW": (400, -1013, "Filter failure: PRICE_FILTER"),
    "PRICE_BAND": (400, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    "MIN_NOTIONAL": (400, -1013, "Filter failure: NOTIONAL"),
    "POST_ONLY_WOULD_CROSS": (400, -2010, "Order would immediately match and take."),
    "DUPLICATE_CLIENT_ID": (400, -2010, "Duplicate order sent."),
    "CLIENT_ID": (400, -1100, "Illegal characters found in parameter 'newClientOrderId'."),
    "RATE_LIMITED": (429, -1015, "Too many new orders; current limit is 100 orders per 10 SECOND."),
}
"""HTTP status, code and text of each refusal; a ``reject`` fault names one of the keys as its ``reason``."""

REFUSED_FOR: Final[Mapping[Reason, str]] = {
    Reason.WOULD_CROSS: "POST_ONLY_WOULD_CROSS",
    Reason.REDUCE_ONLY: "REDUCE_ONLY",
    Reason.REDUCE_ONLY_SIZE: "REDUCE_ONLY",
    Reason.FUNDS: "INSUFFICIENT_MARGIN",
    Reason.MARGIN: "INSUFFICIENT_MARGIN",
}
"""What the engine finds and the venue refuses; an order that finds nothing to trade with is taken, and expires."""


class Refusal(Exception):
    """A "no" of the venue."""

    def __init__(self, status: int, code: int, text: str) -> None:
        self.status = status
        self.body = {"code": code, "msg": text}


def refusal(perp: bool, word: str, *inserts: str) -> Refusal:
    status, code, text = (PERP if perp else SPOT)[word]
    return Refusal(status, code, text.format(*inserts))


def missing(name: str) -> Refusal:
    return Refusal(400, -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


class Params:
    """The parameters of one request of one product, all of them text. Reading a wrong one raises Refusal."""

    def __init__(self, values: Mapping[str, str], perp: bool) -> None:
        self.values = values
        self.perp = perp

    def refuse(self, word: str, *inserts: str) -> Refusal:
        return refusal(self.perp, word, *inserts)

    def text(self, name: str) -> str | None:
        return self.values.get(name) or None

    def need(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise missing(name)
        return value

    def whole(self, name: str, default: int | None = None) -> int:
        value = self.text(name)
        if value is None and default is not None:
            return default
        if value is None or not (value.isascii() and value.isdigit() and len(value) < 19):
            raise missing(name)
        return int(value)

    def decimal(self, name: str) -> Decimal:
        try:
            value = decimal_of(self.need(name))
        except OffGrid:
            raise Refusal(400, -1100, f"Illegal characters found in parameter '{name}'.") from None
        if value and abs(value.adjusted()) > 30:
            raise self.refuse("DECIMALS", name)
        return value

    def flag(self, name: str) -> bool:
        return (self.text(name) or "false").lower() == "true"

    def symbol(self) -> str:
        """Our name of the market asked for."""
        name = self.need("symbol")
        if name not in (PERP_ROWS if self.perp else SPOT_ROWS):
            raise self.refuse("UNKNOWN_SYMBOL")
        return name + SUFFIX if self.perp else name

    def any_symbol(self) -> str | None:
        return self.symbol() if self.text("symbol") else None

    # -- an order

    def ticket(self, engine: MatchingEngine, fresh_id: str, *, hedged: bool = False) -> Ticket:
        """Read and check an order up to what only the engine knows. ``fresh_id``: its client id if it has none."""
        symbol, side, kind = self.symbol(), self.need("side"), self.need("type")
        if side not in ("BUY", "SELL"):
            raise self.refuse("SIDE")
        if kind not in ("LIMIT", "MARKET", *(() if self.perp else ("LIMIT_MAKER",))):
            raise self.refuse("TYPE")
        tif = self.need("timeInForce") if kind == "LIMIT" else "GTC"
        if tif not in ("GTC", "IOC", "FOK", *(("GTX",) if self.perp else ())):
            raise self.refuse("TIF")
        for name in ("timeInForce", "price") if kind == "MARKET" else ("timeInForce",) * (kind == "LIMIT_MAKER"):
            if self.text(name):
                raise Refusal(400, -1106, f"Parameter '{name.lower()}' sent when not required.")
        reduce_only, position_side = self.flag("reduceOnly"), self.text("positionSide") or "BOTH"
        if self.perp and hedged != (position_side in ("LONG", "SHORT")):
            raise self.refuse("POSITION_SIDE")
        if reduce_only and (hedged or not self.perp):
            raise Refusal(400, -1106, "Parameter 'reduceonly' sent when not required.")
        client_id = self.text("newClientOrderId") or fresh_id
        if not _CLIENT_ID.fullmatch(client_id):
            raise self.refuse("CLIENT_ID")
        owner = PERP_OWNER if self.perp else SPOT_OWNER
        if any(order.client_id == client_id for order in engine.open_orders(owner)):
            raise self.refuse("DUPLICATE_CLIENT_ID")
        stp = self.text("selfTradePreventionMode") or ("NONE" if self.perp else "EXPIRE_MAKER")
        budget = None
        if kind == "MARKET" and not self.perp and not self.text("quantity"):
            budget = self.decimal("quoteOrderQty")
        price_i = None if kind == "MARKET" else self._price(engine, symbol, side == "SELL")
        size_i = 0 if budget is not None else self._size(engine, symbol, kind == "MARKET")
        self._check_notional(engine, symbol, size_i, price_i, budget, reduce_only)
        return Ticket(
            owner=owner,
            symbol=symbol,
            is_ask=side == "SELL",
            size_i=size_i,
            budget=budget,
            price_i=price_i,
            time_in_force=TimeInForce(tif.lower()) if tif in ("IOC", "FOK") else TimeInForce.GTC,
            post_only=tif == "GTX" or kind == "LIMIT_MAKER",
            reduce_only=reduce_only,
            self_trade=_STP.get(stp, SelfTrade.MAKER),
            client_id=client_id,
            notes={"type": kind, "tif": tif, "stp": stp},
        )

    def _places(self, symbol: str, name: str) -> int:
        """Most decimals that a number may have, on the grid or not."""
        row: int = PERP_ROWS[symbol.removesuffix(SUFFIX)][name] if self.perp else 8
        return row

    def _price(self, engine: MatchingEngine, symbol: str, is_ask: bool) -> int:
        price, listing, filters = self.decimal("price"), engine.listings[symbol], filters_of(symbol)
        rule = filters["PRICE_FILTER"]
        if _decimals(price) > self._places(symbol, "pricePrecision"):
            raise self.refuse("DECIMALS", "price")
        if price < decimal_of(rule["minPrice"]):
            raise self.refuse("LOW")
        if price > decimal_of(rule["maxPrice"]):
            raise self.refuse("HIGH")
        if price % decimal_of(rule["tickSize"]):
            raise self.refuse("PRECISION")
        mark = engine.mark(symbol)
        if self.perp:
            # Only the far side is bounded.
            band = filters["PERCENT_PRICE"]
            if not is_ask and price > mark * decimal_of(band["multiplierUp"]):
                raise self.refuse("PRICE_BAND")
            if is_ask and price < mark * decimal_of(band["multiplierDown"]):
                raise self.refuse("BELOW_BAND")
        else:
            band, word = filters["PERCENT_PRICE_BY_SIDE"], "ask" if is_ask else "bid"
            low, high = decimal_of(band[f"{word}MultiplierDown"]), decimal_of(band[f"{word}MultiplierUp"])
            if not mark * low <= price <= mark * high:
                raise self.refuse("PRICE_BAND")
        return scaled_decimal(price, listing.price_decimals)

    def _size(self, engine: MatchingEngine, symbol: str, market: bool) -> int:
        size, listing, filters = self.decimal("quantity"), engine.listings[symbol], filters_of(symbol)
        rule = filters["LOT_SIZE"]
        most = filters["MARKET_LOT_SIZE"]["maxQty"] if market else rule["maxQty"]
        if size <= 0:
            raise self.refuse("NO_SIZE")
        if _decimals(size) > self._places(symbol, "quantityPrecision"):
            raise self.refuse("DECIMALS", "quantity")
        if size < decimal_of(rule["minQty"]):
            raise self.refuse("MIN_SIZE")
        if size > decimal_of(most):
            raise self.refuse("MAX_SIZE")
        if size % decimal_of(rule["stepSize"]):
            raise self.refuse("STEP")
        return scaled_decimal(size, listing.size_decimals)

    def _check_notional(
        self,
        engine: MatchingEngine,
        symbol: str,
        size_i: int,
        price_i: int | None,
        budget: Decimal | None,
        reduce_only: bool,
    ) -> None:
        listing, filters = engine.listings[symbol], filters_of(symbol)
        least: str = filters["MIN_NOTIONAL"]["notional"] if self.perp else filters["NOTIONAL"]["minNotional"]
        price = engine.mark(symbol) if price_i is None else listing.price(price_i)
        value = listing.size(size_i) * price if budget is None else budget
        if value < decimal_of(least) and not reduce_only:
            raise self.refuse("MIN_NOTIONAL", least)


def _decimals(value: Decimal) -> int:
    exponent: Any = value.normalize().as_tuple().exponent
    return max(0, -int(exponent))
