"""
How Backpack Exchange prints its markets, orders, positions and balances: key for key as in its recorded payloads.

REST and streams differ: REST prints the shortest number, a stream pads it to the market's grid; REST prints a null
where a stream leaves the key out.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from core.clock import iso_utc
from core.precision import as_decimal, decimals_of, floor_to, plain, scaled
from venues.simulation.accounts import Account, Position
from venues.simulation.engine import MatchingEngine
from venues.simulation.market import summary
from venues.simulation.records import ZERO, Fill, Listing, Order, Reason, State, Trade

FEES_BPS: Final = {"SPOT": (8, 10), "PERP": (2, 5)}
"""Maker and taker, base tier."""
EMIT_LAG_US: Final = 160
"""How long after the engine a message leaves; the recordings show 14 to 1100."""
FUNDING_RATE: Final = "0.0001"

# From the recorded rows of SOL_USDC, SOL_USDC_PERP and BTC_USDC_PERP. BTC and ETH spot follow SOL spot on the
# grids that recorded orders and books show; ETH perp follows BTC perp, with the margins of a recorded position.
# symbol, tick, step, multipliers, mean-mark band, impact, highest price, imf and mmf, funding hours, interest limit
_MARKETS: Final = (
    ("SOL_USDC", "0.01", "0.01", "0.25-2", "0.97-1.03", "0.99-1.01", None, None, 0, "0"),
    ("BTC_USDC", "0.1", "0.00001", "0.25-2", "0.97-1.03", "0.99-1.01", None, None, 0, "0"),
    ("ETH_USDC", "0.01", "0.0001", "0.25-2", "0.97-1.03", "0.99-1.01", None, None, 0, "0"),
    (
        "SOL_USDC_PERP",
        "0.01",
        "0.01",
        "0.75-1.25",
        "0.9-1.1",
        "0.97-1.03",
        "1000",
        "0.02 0.0001275 0.0125 0.0000765",
        8,
        "4000000",
    ),
    (
        "BTC_USDC_PERP",
        "0.1",
        "0.00001",
        "0.25-2",
        "0.96-1.04",
        "0.99-1.01",
        "1000000",
        "0.01333333 0.00002494 0.00666667 0.00001496",
        1,
        "4000",
    ),
    (
        "ETH_USDC_PERP",
        "0.01",
        "0.0001",
        "0.25-2",
        "0.96-1.04",
        "0.99-1.01",
        "1000000",
        "0.02 0.0000935 0.0125 0.0000561",
        1,
        "4000",
    ),
)


def _market_row(spec: tuple[Any, ...]) -> dict[str, Any]:
    symbol, tick, step, mult, band, impact, top, margins, funding_hours, interest = spec
    perp = margins is not None
    low, high = mult.split("-")
    imf, imf_factor, mmf, mmf_factor = margins.split() if perp else [None] * 4
    return {
        "baseSymbol": symbol.partition("_")[0],
        "createdAt": "2025-01-21T06:34:54.691858",
        "filters": {
            "price": {
                "borrowEntryFeeMaxMultiplier": None if perp else "1.01",
                "borrowEntryFeeMinMultiplier": None if perp else "0.99",
                "discoveryBoundBand": None,
                "maxImpactMultiplier": impact.split("-")[1],
                "maxMultiplier": high,
                "maxPrice": top,
                "maxPriceUpdateMultiplier": "1.0025",
                "meanMarkPriceBand": dict(zip(("minMultiplier", "maxMultiplier"), band.split("-"), strict=True)),
                "meanPremiumBand": {"tolerancePct": "0.05"} if perp else None,
                "minImpactMultiplier": impact.split("-")[0],
                "minMultiplier": low,
                "minPrice": tick,
                "minPriceUpdateMultiplier": "0.9975",
                "tickSize": tick,
            },
            "quantity": {"maxQuantity": None, "minQuantity": step, "stepSize": step},
        },
        "fundingInterval": funding_hours * 3_600_000 or None,
        "fundingRateLowerBound": "-100" if perp else None,
        "fundingRateUpperBound": "100" if perp else None,
        "imfFunction": {"base": imf, "factor": imf_factor, "type": "sqrt"} if perp else None,
        "marketType": "PERP" if perp else "SPOT",
        "mmfFunction": {"base": mmf, "factor": mmf_factor, "type": "sqrt"} if perp else None,
        "openInterestLimit": interest,
        "orderBookState": "Open",
        "positionLimitWeight": "1" if perp else None,
        "quoteSymbol": "USDC",
        "rwaMarketType": None,
        "symbol": symbol,
        "visible": True,
    }


MARKET_ROWS: Final = {spec[0]: _market_row(spec) for spec in _MARKETS}
"""What GET /api/v1/markets prints, by symbol."""


def listing_of(row: Mapping[str, Any]) -> Listing:
    """A market row as the engine needs it."""
    price, quantity = row["filters"]["price"], row["filters"]["quantity"]
    price_decimals, size_decimals = decimals_of(price["tickSize"]), decimals_of(quantity["stepSize"])
    maker, taker = FEES_BPS[row["marketType"]]
    margins = row["imfFunction"] or {"base": "1"}, row["mmfFunction"] or {"base": "1"}
    return Listing(
        symbol=row["symbol"],
        base=row["baseSymbol"],
        quote=row["quoteSymbol"],
        kind=row["marketType"].lower(),
        price_decimals=price_decimals,
        size_decimals=size_decimals,
        tick_i=scaled(price["tickSize"], price_decimals),
        lot_i=scaled(quantity["stepSize"], size_decimals),
        maker_fee=Decimal(maker).scaleb(-4),
        taker_fee=Decimal(taker).scaleb(-4),
        initial_margin=Decimal(margins[0]["base"]),
        maintenance_margin=Decimal(margins[1]["base"]),
        impact_up=Decimal(price["maxImpactMultiplier"]),
        impact_down=Decimal(price["minImpactMultiplier"]),
    )


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
_NULLS: Final = (
    *("stopLossLimitPrice", "stopLossTriggerBy", "stopLossTriggerPrice", "strategyId"),
    *("takeProfitLimitPrice", "takeProfitTriggerBy", "takeProfitTriggerPrice"),
    *("triggerBy", "triggerPrice", "triggerQuantity"),
)


def padded(value: int, decimals: int) -> str:
    """As the streams print a number: all decimals of its grid, but a bare 0."""
    return f"{as_decimal(value, decimals):f}" if value else "0"


def naive_time(us: int) -> str:
    return iso_utc(us // 1000).removesuffix("Z")


ORIGINS: Final = {"": "USER", "liquidate": "LIQUIDATION_AUTOCLOSE", "deleverage": "ADL_AUTOCLOSE"}


def side_word(is_ask: bool) -> str:
    return "Ask" if is_ask else "Bid"


def status_word(order: Order) -> str:
    if order.state is State.OPEN:
        return "PartiallyFilled" if order.filled_i else "New"
    return {State.FILLED: "Filled", State.CANCELLED: "Cancelled", State.EXPIRED: "Expired"}[order.state]


def kind_word(order: Order) -> str:
    return "Market" if order.price_i is None else "Limit"


class BackpackRows:
    """Prints the state of ``engine`` for ``account``."""

    def __init__(self, engine: MatchingEngine, account: Account, user_id: int) -> None:
        self._engine = engine
        self.account = account
        self._user_id = user_id

    # -- orders and fills

    def order(self, order: Order) -> dict[str, Any]:
        """An order as REST prints it."""
        listing = self._engine.listings[order.symbol]
        row: dict[str, Any] = dict.fromkeys((*_NULLS, "relatedOrderId", "triggeredAt"))
        row |= {
            "clientId": order.client_id,
            "createdAt": order.created_us // 1000,
            "executedQuantity": plain(listing.size(order.filled_i)),
            "executedQuoteQuantity": plain(order.filled_quote),
            "id": str(order.id),
            "orderType": kind_word(order),
            "quantity": plain(listing.size(order.size_i)),
            "reduceOnly": True if order.reduce_only else None,
            "selfTradePrevention": order.notes["stp"],
            "side": side_word(order.is_ask),
            "status": status_word(order),
            "symbol": order.symbol,
            "timeInForce": order.time_in_force.upper(),
        }
        if order.price_i is None:
            row["quoteQuantity"] = plain(order.filled_quote if order.budget is None else order.budget)
        else:
            row |= {"postOnly": order.post_only, "price": plain(listing.price(order.price_i))}
        return row

    def past_order(self, order: Order) -> dict[str, Any]:
        """An order as the history prints it."""
        row = self.order(order)
        for key in ("reduceOnly", "relatedOrderId", "triggeredAt"):
            del row[key]
        listing = self._engine.listings[order.symbol]
        if order.price_i is None:
            row |= {"postOnly": None, "price": None}
        else:
            row["quoteQuantity"] = plain(listing.notional(order.price_i, order.size_i))
        row |= dict.fromkeys(("slippageTolerance", "slippageToleranceType", "systemOrderType"))
        row["createdAt"] = naive_time(order.created_us)
        row["expiryReason"] = _EXPIRY[order.reason] if order.reason else None
        return row

    def fill(self, fill: Fill) -> dict[str, Any]:
        listing = self._engine.listings[fill.symbol]
        return {
            "clientId": None if fill.client_id is None else str(fill.client_id),
            "fee": plain(fill.fee),
            "feeSymbol": fill.fee_asset,
            "isMaker": fill.is_maker,
            "orderId": str(fill.order_id),
            "price": plain(listing.price(fill.price_i)),
            "quantity": plain(listing.size(fill.size_i)),
            "side": side_word(fill.is_ask),
            "symbol": fill.symbol,
            "systemOrderType": None,
            "timestamp": naive_time(fill.us),
            "tradeId": fill.trade_id,
        }

    def order_update(self, order: Order, event: str, fill: Fill | None = None) -> dict[str, Any]:
        """The data of an ``account.orderUpdate`` message."""
        listing = self._engine.listings[order.symbol]
        us = fill.us if fill else order.updated_us
        grid = listing.price_decimals + listing.size_decimals
        data: dict[str, Any] = {
            "E": us + EMIT_LAG_US,
            "O": ORIGINS[order.origin],
            "S": side_word(order.is_ask),
            "T": us,
            "V": order.notes["stp"],
            "X": status_word(order),
            "Z": f"{order.filled_quote:.{grid}f}" if order.filled_i else "0",
            "e": event,
            "f": order.time_in_force.upper(),
            "i": str(order.id),
            "o": kind_word(order).upper(),
            "q": padded(order.size_i, listing.size_decimals),
            "r": order.reduce_only,
            "s": order.symbol,
            "t": fill.trade_id if fill else None,
            "z": padded(order.filled_i, listing.size_decimals),
        }
        if order.price_i is not None:
            data["Q"] = f"{listing.notional(order.price_i, order.size_i):.{grid}f}"
            data |= {"p": padded(order.price_i, listing.price_decimals), "y": order.post_only}
        elif order.budget is not None:
            data["Q"] = f"{order.budget:f}"
        else:
            data["Q"] = plain(listing.size(order.size_i) * self._engine.mark(order.symbol))
        if order.client_id is not None:
            data["c"] = order.client_id
        if event == "orderExpired" and order.reason:
            data["R"] = _EXPIRY[order.reason]
        if fill:
            data |= {
                "L": padded(fill.price_i, listing.price_decimals),
                "N": fill.fee_asset,
                "l": padded(fill.size_i, listing.size_decimals),
                "m": fill.is_maker,
                "n": plain(fill.fee),
            }
        return data

    # -- positions and balances

    def position(self, symbol: str) -> dict[str, Any]:
        """A position as REST prints it."""
        listing, held = self._engine.listings[symbol], self.account.position(symbol)
        market = MARKET_ROWS[symbol]
        entry, break_even = _entry(listing, held)
        mark = self._engine.mark(symbol)
        exposure = listing.size(self._engine.worst_i(self.account.name, symbol))
        sign = 1 if held.net_i >= 0 else -1
        return {
            "breakEvenPrice": plain(break_even),
            "cumulativeFundingPayment": "0",
            "cumulativeInterest": "0",
            "entryPrice": plain(entry),
            "estLiquidationPrice": "0",
            "imf": plain(self.account.share_of_margin(listing)),
            "imfFunction": market["imfFunction"],
            "markPrice": plain(mark),
            "mmf": plain(listing.maintenance_margin),
            "mmfFunction": market["mmfFunction"],
            "netCost": plain(held.cost * sign),
            "netExposureNotional": plain(exposure * mark),
            "netExposureQuantity": plain(exposure),
            "netQuantity": plain(listing.size(held.net_i)),
            "pnlRealized": plain(held.realised),
            "pnlUnrealized": plain(self.account.unrealised(listing, mark)),
            "positionId": str(held.id),
            "subaccountId": None,
            "symbol": symbol,
            "userId": self._user_id,
        }

    def position_update(self, symbol: str, us: int, change: str = "") -> dict[str, Any]:
        """The data of an ``account.positionUpdate`` message; without ``change`` it is the snapshot form."""
        row, held = self.position(symbol), self.account.position(symbol)
        listing = self._engine.listings[symbol]
        exposure_i = self._engine.worst_i(self.account.name, symbol)
        data = {
            "B": row["entryPrice"],
            "E": us + EMIT_LAG_US,
            "M": row["markPrice"],
            "P": row["pnlUnrealized"],
            "Q": padded(exposure_i, listing.size_decimals),
            "T": us,
            "b": row["breakEvenPrice"],
            "f": row["imf"],
            "i": held.id,
            "l": "0",
            "m": row["mmf"],
            "n": row["netExposureNotional"],
            "p": row["pnlRealized"],
            "q": padded(held.net_i, listing.size_decimals),
            "s": symbol,
        }
        if change:
            data["e"] = f"position{change.capitalize()}"
        return data

    def balance_update(self, asset: str, us: int) -> dict[str, Any]:
        balance = self.account.balance(asset)
        return {
            "A": plain(balance.free),
            "E": us + EMIT_LAG_US,
            "L": plain(balance.locked),
            "S": "0",
            "T": us,
            "a": asset,
            "e": "balanceUpdate",
        }

    def capital(self) -> dict[str, Any]:
        return {
            asset: {"available": plain(held.free), "locked": plain(held.locked), "staked": "0"}
            for asset, held in self.account.balances.items()
            if held.free or held.locked
        }

    def collateral(self) -> dict[str, Any]:
        margin = self._engine.margin(self.account.name)
        rows, assets_value = [], ZERO
        for asset, held in self.account.balances.items():
            total = held.free + held.locked
            if not total:
                continue
            price, weight = self._engine.worth(asset), self.account.weights.get(asset, ZERO)
            assets_value += total * price * weight
            rows.append(
                {
                    "assetMarkPrice": plain(price),
                    "availableQuantity": plain(held.free),
                    "balanceNotional": plain(total * price),
                    "collateralValue": plain(total * price * weight),
                    "collateralWeight": plain(weight),
                    "lendQuantity": "0",
                    "openOrderQuantity": plain(held.locked),
                    "symbol": asset,
                    "totalQuantity": plain(total),
                }
            )
        used = margin.exposure
        return {
            "assetsValue": plain(assets_value),
            "borrowLiability": "0",
            "collateral": rows,
            # Flat, the recording shows these two constants.
            "imf": plain(_rounded(margin.initial / used)) if used else "1",
            "liabilitiesValue": "0",
            "marginFraction": plain(_rounded(margin.equity / used)) if used else None,
            "mmf": plain(_rounded(margin.maintenance / used)) if used else "0.007",
            "netEquity": plain(margin.equity),
            "netEquityAvailable": plain(margin.available),
            "netEquityLocked": plain(margin.locked),
            "netExposureFutures": plain(margin.exposure),
            "pnlUnrealized": plain(margin.unrealised),
            "unsettledEquity": "0",
        }

    def account_row(self, limit_orders: int) -> dict[str, Any]:
        """GET /api/v1/account without the settings a client may change."""
        fees = {
            f"{room}{side}Fee": str(bps)
            for room, key in (("futures", "PERP"), ("spot", "SPOT"))
            for side, bps in zip(("Maker", "Taker"), FEES_BPS[key], strict=True)
        }
        state = {"autoRealizePnl": False, "borrowLimit": "0", "liquidating": False, "positionLimit": "4000000"}
        return {**fees, **state, "limitOrders": limit_orders, "triggerOrders": 0}

    def largest_order(self, symbol: str, is_ask: bool, price: Decimal, reduce_only: bool) -> str:
        """The largest quantity that funds or margin allow at ``price``."""
        listing = self._engine.listings[symbol]
        closing = max(ZERO, listing.size(self.account.net_i(symbol)) * (1 if is_ask else -1))
        if reduce_only:
            most = closing
        elif listing.is_perp:
            available = self._engine.margin(self.account.name).available
            most = available / (price * self.account.share_of_margin(listing)) + 2 * closing
        else:
            funds = self.account.balance(listing.base if is_ask else listing.quote).free
            most = funds if is_ask else funds / price
        most_i = floor_to(int(most.scaleb(listing.size_decimals)), listing.lot_i)
        return plain(listing.size(most_i))

    # -- markets

    def depth(self, symbol: str, limit: int) -> dict[str, Any]:
        """Both sides ascending, as the venue prints them."""
        listing, book = self._engine.listings[symbol], self._engine.books[symbol]
        return {
            "asks": self.levels(listing, book.asks.ascending()[:limit]),
            "bids": self.levels(listing, book.bids.ascending()[-limit:]),
            "lastUpdateId": str(book.update_id),
            "timestamp": book.changed_us,
        }

    @staticmethod
    def levels(listing: Listing, levels: Any) -> list[list[str]]:
        """(price, size) pairs on the market's grid, a size of 0 with all its decimals."""
        return [
            [f"{listing.price(price):f}", f"{listing.size(size):.{listing.size_decimals}f}"] for price, size in levels
        ]

    def book_ticker(self, symbol: str) -> dict[str, Any]:
        listing, book = self._engine.listings[symbol], self._engine.books[symbol]
        data: dict[str, Any] = {"E": book.changed_us + EMIT_LAG_US, "T": book.changed_us, "e": "bookTicker"}
        data |= {"s": symbol, "u": book.update_id}
        for best, price, size in ((book.best_ask, "a", "A"), (book.best_bid, "b", "B")):
            if best is not None:
                data[price], data[size] = self.levels(listing, [best])[0]
        return data

    def depth_update(self, symbol: str, first: int, last: int, bids: Any, asks: Any, us: int) -> dict[str, Any]:
        listing = self._engine.listings[symbol]
        return {
            "E": us + EMIT_LAG_US,
            "T": us,
            "U": first,
            "a": self.levels(listing, asks),
            "b": self.levels(listing, bids),
            "e": "depth",
            "s": symbol,
            "u": last,
        }

    def trade_update(self, trade: Trade) -> dict[str, Any]:
        listing = self._engine.listings[trade.symbol]
        return {
            "E": trade.us + EMIT_LAG_US,
            "T": trade.us,
            "a": str(trade.seller_order_id),
            "b": str(trade.buyer_order_id),
            "e": "trade",
            "m": trade.buyer_is_maker,
            "p": padded(trade.price_i, listing.price_decimals),
            "q": padded(trade.size_i, listing.size_decimals),
            "s": trade.symbol,
            "t": trade.id,
        }

    def trade(self, trade: Trade) -> dict[str, Any]:
        listing = self._engine.listings[trade.symbol]
        return {
            "id": trade.id,
            "isBuyerMaker": trade.buyer_is_maker,
            "price": plain(listing.price(trade.price_i)),
            "quantity": plain(listing.size(trade.size_i)),
            "quoteQuantity": plain(listing.notional(trade.price_i, trade.size_i)),
            "timestamp": trade.us // 1000,
        }

    def ticker(self, symbol: str) -> dict[str, Any]:
        """What the kept trades add up to; the venue's own covers a day."""
        told = summary(self._engine, symbol)
        change = told.last - told.first
        return {
            "firstPrice": plain(told.first),
            "high": plain(told.high),
            "lastPrice": plain(told.last),
            "low": plain(told.low),
            "priceChange": plain(change),
            "priceChangePercent": plain(_rounded(change / told.first)) if told.first else "0",
            "quoteVolume": plain(told.quote_volume),
            "symbol": symbol,
            "trades": str(told.count),
            "volume": plain(told.volume),
        }

    def ticker_update(self, symbol: str, us: int) -> dict[str, Any]:
        told = summary(self._engine, symbol)
        return {
            "E": us,
            "V": plain(told.quote_volume),
            "c": plain(told.last),
            "e": "ticker",
            "h": plain(told.high),
            "l": plain(told.low),
            "n": told.count,
            "o": plain(told.first),
            "s": symbol,
            "v": plain(told.volume),
        }

    def mark_price(self, symbol: str, now_ms: int) -> dict[str, Any]:
        interval = MARKET_ROWS[symbol]["fundingInterval"]
        mark = plain(self._engine.mark(symbol))
        return {
            "fundingRate": FUNDING_RATE,
            "indexPrice": mark,
            "markPrice": mark,
            "nextFundingTimestamp": (now_ms // interval + 1) * interval,
            "symbol": symbol,
        }

    def mark_price_update(self, symbol: str, now_ms: int) -> dict[str, Any]:
        row = self.mark_price(symbol, now_ms)
        return {
            "E": now_ms * 1000 + EMIT_LAG_US,
            "T": now_ms * 1000,
            "e": "markPrice",
            "f": row["fundingRate"],
            "i": row["indexPrice"],
            "n": row["nextFundingTimestamp"],
            "p": row["markPrice"],
            "s": symbol,
        }


def _entry(listing: Listing, held: Position) -> tuple[Decimal, Decimal]:
    """Average entry price and the price at which closing pays back the fees."""
    size = listing.size(abs(held.net_i))
    if not size:
        return ZERO, ZERO
    sign = 1 if held.net_i > 0 else -1
    return held.cost / size, (held.cost + sign * held.fees) / size


def _rounded(share: Decimal) -> Decimal:
    return share.quantize(Decimal("0.00000001"))
