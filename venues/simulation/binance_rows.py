"""
How Binance prints its markets, orders, trades, positions and balances: key for key as in its recorded payloads.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from venues.simulation.accounts import Account
from venues.simulation.binance_markets import PERP_OWNER, PERP_ROWS, SUFFIX
from venues.simulation.engine import MatchingEngine
from venues.simulation.records import ZERO, Fill, Listing, Order, Reason, State, Trade

EMIT_LAG_MS: Final = 2
"""How long after the engine a message leaves; the recorded book tickers show 2."""
COINS: Final = 8
"""Decimals of every number on spot, and of money on futures."""


def fixed(value: Decimal, places: int = COINS) -> str:
    """A number with all its decimals, as the venue pads it."""
    return f"{value:.{places}f}"


def status_of(order: Order) -> str:
    """The state's word."""
    if order.state is State.OPEN:
        return "PARTIALLY_FILLED" if order.filled_i else "NEW"
    if order.state is State.EXPIRED and order.reason is Reason.SELF_TRADE:
        return "EXPIRED_IN_MATCH"
    return {State.FILLED: "FILLED", State.CANCELLED: "CANCELED", State.EXPIRED: "EXPIRED"}[order.state]


class BinanceRows:
    """Prints one account's two wallets and the books of one engine."""

    def __init__(self, engine: MatchingEngine, futures: Account, spot: Account) -> None:
        self.engine = engine
        self.futures = futures
        self.spot = spot

    # -- numbers

    def _price(self, listing: Listing, value: Decimal) -> str:
        if not listing.is_perp:
            return fixed(value)
        return fixed(value, PERP_ROWS[listing.symbol.removesuffix(SUFFIX)]["pricePrecision"])

    def _size(self, listing: Listing, size_i: int) -> str:
        return fixed(listing.size(size_i), listing.size_decimals if listing.is_perp else COINS)

    def _order_price(self, order: Order, listing: Listing) -> str:
        return self._price(listing, ZERO if order.price_i is None else listing.price(order.price_i))

    # -- orders

    def perp_order(self, order: Order, *, asked: bool = False) -> dict[str, Any]:
        """``asked`` True: what a query prints. Answers to orders have had no average price since July 2026."""
        listing = self.engine.listings[order.symbol]
        filled = listing.size(order.filled_i)
        row = {
            "orderId": order.id,
            "symbol": order.symbol.removesuffix(SUFFIX),
            "status": status_of(order),
            "clientOrderId": order.client_id,
            "price": self._order_price(order, listing),
            "origQty": self._size(listing, order.size_i),
            "executedQty": self._size(listing, order.filled_i),
            "timeInForce": order.notes["tif"],
            "type": order.notes["type"],
            "reduceOnly": order.reduce_only,
            "closePosition": False,
            "side": "SELL" if order.is_ask else "BUY",
            "positionSide": "BOTH",
            "stopPrice": "0.00",
            "workingType": "CONTRACT_PRICE",
            "priceProtect": False,
            "origType": order.notes["type"],
            "priceMatch": "NONE",
            "selfTradePreventionMode": order.notes["stp"],
            "goodTillDate": 0,
            "updateTime": order.updated_us // 1000,
        }
        if not asked:
            return row | {"cumQty": row["executedQty"]}
        average = order.filled_quote / filled if filled else ZERO
        times = {"time": order.created_us // 1000}
        return row | times | {"avgPrice": self._price(listing, average), "cumQuote": fixed(order.filled_quote)}

    def spot_order(self, order: Order, kind: str = "FULL") -> dict[str, Any]:
        """The answer to a placement: ``kind`` is ACK, RESULT or FULL."""
        listing = self.engine.listings[order.symbol]
        row: dict[str, Any] = {
            "symbol": order.symbol,
            "orderId": order.id,
            "orderListId": -1,
            "clientOrderId": order.client_id,
            "transactTime": order.updated_us // 1000,
        }
        if kind == "ACK":
            return row
        row |= self._spot_state(order, listing) | {"workingTime": order.created_us // 1000}
        if order.state is State.EXPIRED:
            row["expiryReason"] = "IOC_EXPIRED" if order.notes["tif"] == "IOC" else "INSUFFICIENT_LIQUIDITY"
        if kind == "RESULT":
            return row
        parts = [
            {
                "price": fixed(listing.price(fill.price_i)),
                "qty": fixed(listing.size(fill.size_i)),
                "commission": fixed(fill.fee),
                "commissionAsset": fill.fee_asset,
                "tradeId": fill.trade_id,
            }
            for fill in self.engine.fills
            if fill.order_id == order.id
        ]
        return row | {"fills": parts}

    def spot_cancelled(self, order: Order, cancel_id: str) -> dict[str, Any]:
        """The answer to a cancel: ``clientOrderId`` is the id of the cancel."""
        listing = self.engine.listings[order.symbol]
        return {
            "symbol": order.symbol,
            "origClientOrderId": order.client_id,
            "orderId": order.id,
            "orderListId": -1,
            "clientOrderId": cancel_id,
            "transactTime": order.updated_us // 1000,
            **self._spot_state(order, listing),
        }

    def spot_asked(self, order: Order) -> dict[str, Any]:
        """What a query prints."""
        listing = self.engine.listings[order.symbol]
        return {
            "symbol": order.symbol,
            "orderId": order.id,
            "orderListId": -1,
            "clientOrderId": order.client_id,
            **self._spot_state(order, listing),
            "stopPrice": fixed(ZERO),
            "icebergQty": fixed(ZERO),
            "time": order.created_us // 1000,
            "updateTime": order.updated_us // 1000,
            "isWorking": True,
            "workingTime": order.created_us // 1000,
        }

    def _spot_state(self, order: Order, listing: Listing) -> dict[str, Any]:
        return {
            "price": self._order_price(order, listing),
            "origQty": self._size(listing, order.size_i),
            "executedQty": self._size(listing, order.filled_i),
            "origQuoteOrderQty": fixed(order.budget or ZERO),
            "cummulativeQuoteQty": fixed(order.filled_quote),
            "status": status_of(order),
            "timeInForce": order.notes["tif"],
            "type": order.notes["type"],
            "side": "SELL" if order.is_ask else "BUY",
            "selfTradePreventionMode": order.notes["stp"],
        }

    # -- trades

    def perp_trade(self, fill: Fill) -> dict[str, Any]:
        listing = self.engine.listings[fill.symbol]
        return {
            "buyer": not fill.is_ask,
            "commission": fixed(fill.fee),
            "commissionAsset": fill.fee_asset,
            "id": fill.trade_id,
            "maker": fill.is_maker,
            "orderId": fill.order_id,
            "price": self._price(listing, listing.price(fill.price_i)),
            "qty": self._size(listing, fill.size_i),
            "quoteQty": fixed(listing.notional(fill.price_i, fill.size_i)),
            "marginAsset": "USDT",
            "realizedPnl": "0",
            "side": "SELL" if fill.is_ask else "BUY",
            "positionSide": "BOTH",
            "symbol": fill.symbol.removesuffix(SUFFIX),
            "pair": fill.symbol.removesuffix(SUFFIX),
            "time": fill.us // 1000,
        }

    def spot_trade(self, fill: Fill) -> dict[str, Any]:
        listing = self.engine.listings[fill.symbol]
        return {
            "symbol": fill.symbol,
            "id": fill.trade_id,
            "orderId": fill.order_id,
            "orderListId": -1,
            "price": fixed(listing.price(fill.price_i)),
            "qty": fixed(listing.size(fill.size_i)),
            "quoteQty": fixed(listing.notional(fill.price_i, fill.size_i)),
            "commission": fixed(fill.fee),
            "commissionAsset": fill.fee_asset,
            "time": fill.us // 1000,
            "isBuyer": not fill.is_ask,
            "isMaker": fill.is_maker,
            "isBestMatch": True,
        }

    def public_trade(self, trade: Trade) -> dict[str, Any]:
        listing = self.engine.listings[trade.symbol]
        return {
            "id": trade.id,
            "price": self._price(listing, listing.price(trade.price_i)),
            "qty": self._size(listing, trade.size_i),
            "quoteQty": fixed(listing.notional(trade.price_i, trade.size_i)),
            "time": trade.us // 1000,
            "isBuyerMaker": trade.buyer_is_maker,
        }

    # -- books

    def book_ticker(self, symbol: str) -> dict[str, Any]:
        listing, book = self.engine.listings[symbol], self.engine.books[symbol]
        bid, ask = book.best_bid or (0, 0), book.best_ask or (0, 0)
        row: dict[str, Any] = {
            "symbol": symbol.removesuffix(SUFFIX),
            "bidPrice": self._price(listing, listing.price(bid[0])),
            "bidQty": self._size(listing, bid[1]),
            "askPrice": self._price(listing, listing.price(ask[0])),
            "askQty": self._size(listing, ask[1]),
        }
        return row | {"time": book.changed_us // 1000, "lastUpdateId": book.update_id} if listing.is_perp else row

    def book_event(self, symbol: str) -> dict[str, Any]:
        """The stream's book ticker; spot's has neither type nor time."""
        row, book = self.book_ticker(symbol), self.engine.books[symbol]
        event: dict[str, Any] = {
            "u": book.update_id,
            "s": row["symbol"],
            "b": row["bidPrice"],
            "B": row["bidQty"],
            "a": row["askPrice"],
            "A": row["askQty"],
        }
        if symbol.endswith(SUFFIX):
            ms = book.changed_us // 1000
            event |= {"e": "bookTicker", "E": ms + EMIT_LAG_MS, "T": ms, "st": 1, "ps": row["symbol"]}
        return event

    def depth(self, symbol: str, limit: int) -> dict[str, Any]:
        listing, book = self.engine.listings[symbol], self.engine.books[symbol]
        ms = book.changed_us // 1000
        row: dict[str, Any] = {"E": ms + EMIT_LAG_MS, "T": ms} if listing.is_perp else {}
        return row | {
            "lastUpdateId": book.update_id,
            "bids": self.levels(listing, book.bids.ascending()[::-1][:limit]),
            "asks": self.levels(listing, book.asks.ascending()[:limit]),
        }

    def levels(self, listing: Listing, levels: Any) -> list[list[str]]:
        return [[self._price(listing, listing.price(price)), self._size(listing, size)] for price, size in levels]

    # -- the two wallets

    def wallet(self) -> Decimal:
        """USDT of the perp wallet, without unrealised profit."""
        return self.futures.balance("USDT").free

    def perp_account(self) -> dict[str, Any]:
        margin = self.engine.margin(PERP_OWNER)
        wallet, unrealised, initial = fixed(self.wallet()), fixed(margin.unrealised), fixed(margin.initial)
        maintenance, equity, available = fixed(margin.maintenance), fixed(margin.equity), fixed(margin.available)
        asset = {
            "asset": "USDT",
            "walletBalance": wallet,
            "unrealizedProfit": unrealised,
            "marginBalance": equity,
            "maintMargin": maintenance,
            "initialMargin": initial,
            "positionInitialMargin": initial,
            "openOrderInitialMargin": fixed(ZERO),
            "crossWalletBalance": wallet,
            "crossUnPnl": unrealised,
            "availableBalance": available,
            "maxWithdrawAmount": available,
            "updateTime": 0,
        }
        keys = ("unrealizedProfit", "isolatedMargin", "notional", "initialMargin", "maintMargin", "updateTime")
        positions = []
        for row in self.positions():
            named = {"unrealizedProfit": row["unRealizedProfit"]} | {key: row[key] for key in keys[1:]}
            held = {key: row[key] for key in ("symbol", "positionSide", "positionAmt", "isolatedWallet")}
            positions.append(held | named)
        return {
            "totalInitialMargin": initial,
            "totalMaintMargin": maintenance,
            "totalWalletBalance": wallet,
            "totalUnrealizedProfit": unrealised,
            "totalMarginBalance": equity,
            "totalPositionInitialMargin": initial,
            "totalOpenOrderInitialMargin": fixed(ZERO),
            "totalCrossWalletBalance": wallet,
            "totalCrossUnPnl": unrealised,
            "availableBalance": available,
            "maxWithdrawAmount": available,
            "assets": [asset],
            "positions": positions,
        }

    def perp_balances(self) -> list[dict[str, Any]]:
        row = self.perp_account()["assets"][0]
        same = ("asset", "crossWalletBalance", "crossUnPnl", "availableBalance", "maxWithdrawAmount", "updateTime")
        more = {"accountAlias": "SgsR", "balance": row["walletBalance"], "marginAvailable": True}
        return [{key: row[key] for key in same} | more]

    def positions(self, wanted: str | None = None) -> list[dict[str, Any]]:
        """``positionRisk``: markets with a position or an open order."""
        rows = []
        for symbol, listing in self.engine.listings.items():
            busy = self.futures.net_i(symbol) or self.engine.open_orders(PERP_OWNER, symbol)
            if listing.is_perp and wanted in (None, symbol) and busy:
                rows.append(self._position(symbol, listing))
        return rows

    def _position(self, symbol: str, listing: Listing) -> dict[str, Any]:
        held, mark = self.futures.position(symbol), self.engine.mark(symbol)
        size, notional = listing.size(held.net_i), listing.size(held.net_i) * mark
        entry = fixed(self.entry(symbol))
        initial = abs(notional) * self.futures.share_of_margin(listing)
        return {
            "symbol": symbol.removesuffix(SUFFIX),
            "positionSide": "BOTH",
            "positionAmt": fixed(size, listing.size_decimals),
            "entryPrice": entry,
            "breakEvenPrice": entry,
            "markPrice": fixed(mark),
            "unRealizedProfit": fixed(self.futures.unrealised(listing, mark) if held.net_i else ZERO),
            "liquidationPrice": "0",
            "isolatedMargin": "0",
            "notional": fixed(notional),
            "marginAsset": "USDT",
            "isolatedWallet": "0",
            "initialMargin": fixed(initial),
            "maintMargin": fixed(abs(notional) * listing.maintenance_margin),
            "positionInitialMargin": fixed(initial),
            "openOrderInitialMargin": "0",
            "adl": 0,
            "bidNotional": "0",
            "askNotional": "0",
            "updateTime": max((each.us for each in self.engine.fills if each.symbol == symbol), default=0) // 1000,
        }

    def entry(self, symbol: str) -> Decimal:
        held = self.futures.position(symbol)
        return held.cost / self.engine.listings[symbol].size(abs(held.net_i)) if held.net_i else ZERO

    def spot_account(self, *, omit_zero: bool) -> dict[str, Any]:
        return {
            "makerCommission": 10,
            "takerCommission": 10,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": {
                "maker": "0.00100000",
                "taker": "0.00100000",
                "buyer": fixed(ZERO),
                "seller": fixed(ZERO),
            },
            "canTrade": True,
            "canWithdraw": True,
            "canDeposit": True,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": 0,
            "accountType": "SPOT",
            "balances": [
                {"asset": asset, "free": fixed(balance.free), "locked": fixed(balance.locked)}
                for asset, balance in self.spot.balances.items()
                if not omit_zero or balance.free or balance.locked
            ],
            "permissions": ["SPOT"],
            "uid": 354937868,
        }

    # -- events of the private streams

    def order_update(self, order: Order, execution: str, fill: Fill | None) -> dict[str, Any]:
        """ORDER_TRADE_UPDATE; ``n`` and ``N`` are absent when nothing was paid."""
        listing = self.engine.listings[order.symbol]
        filled, ms = listing.size(order.filled_i), order.updated_us // 1000
        average = order.filled_quote / filled if filled else ZERO
        row = {
            "s": order.symbol.removesuffix(SUFFIX),
            "c": order.client_id,
            "S": "SELL" if order.is_ask else "BUY",
            "o": order.notes["type"],
            "f": order.notes["tif"],
            "q": self._size(listing, order.size_i),
            "p": self._order_price(order, listing),
            "ap": self._price(listing, average),
            "sp": "0",
            "x": execution,
            "X": status_of(order),
            "i": order.id,
            "l": self._size(listing, fill.size_i if fill else 0),
            "z": self._size(listing, order.filled_i),
            "L": self._price(listing, listing.price(fill.price_i) if fill else ZERO),
            "T": ms,
            "t": fill.trade_id if fill else 0,
            "b": "0",
            "a": "0",
            "m": bool(fill and fill.is_maker),
            "R": order.reduce_only,
            "wt": "CONTRACT_PRICE",
            "ot": order.notes["type"],
            "ps": "BOTH",
            "cp": False,
            "pP": False,
            "si": 0,
            "ss": 0,
            "rp": "0",
            "V": order.notes["stp"],
            "pm": "NONE",
            "gtd": 0,
        }
        if fill and fill.fee:
            row |= {"N": fill.fee_asset, "n": fixed(fill.fee)}
        return {"e": "ORDER_TRADE_UPDATE", "T": ms, "E": ms + EMIT_LAG_MS, "o": row}

    def trade_lite(self, order: Order, fill: Fill) -> dict[str, Any]:
        full = self.order_update(order, "TRADE", fill)
        kept: Mapping[str, Any] = {key: full["o"][key] for key in ("s", "c", "S", "q", "p", "i", "l", "L", "t", "m")}
        return {"e": "TRADE_LITE", "E": full["E"], "T": full["T"], **kept}

    def account_update(self, symbol: str, us: int) -> dict[str, Any]:
        listing, wallet, ms = self.engine.listings[symbol], fixed(self.wallet()), us // 1000
        held, entry = self.futures.position(symbol), fixed(self.entry(symbol))
        unrealised = self.futures.unrealised(listing, self.engine.mark(symbol)) if held.net_i else ZERO
        row = {
            "s": symbol.removesuffix(SUFFIX),
            "pa": fixed(listing.size(held.net_i), listing.size_decimals),
            "ep": entry,
            "bep": entry,
            "cr": fixed(held.realised),
            "up": fixed(unrealised),
            "mt": "cross",
            "iw": "0",
            "ps": "BOTH",
        }
        money = {"a": "USDT", "wb": wallet, "cw": wallet, "bc": "0"}
        return {"e": "ACCOUNT_UPDATE", "T": ms, "E": ms + EMIT_LAG_MS, "a": {"m": "ORDER", "B": [money], "P": [row]}}

    def execution_report(self, order: Order, execution: str, fill: Fill | None, cancel_id: str) -> dict[str, Any]:
        """``cancel_id``: the id of the cancel that ended it; then ``c`` is that and ``C`` the order's own."""
        listing, ms = self.engine.listings[order.symbol], order.updated_us // 1000
        return {
            "e": "executionReport",
            "E": ms + EMIT_LAG_MS,
            "s": order.symbol,
            "c": cancel_id or order.client_id,
            "S": "SELL" if order.is_ask else "BUY",
            "o": order.notes["type"],
            "f": order.notes["tif"],
            "q": self._size(listing, order.size_i),
            "p": self._order_price(order, listing),
            "P": fixed(ZERO),
            "F": fixed(ZERO),
            "g": -1,
            "C": order.client_id if cancel_id else "",
            "x": execution,
            "X": status_of(order),
            "r": "NONE",
            "i": order.id,
            "l": self._size(listing, fill.size_i if fill else 0),
            "z": self._size(listing, order.filled_i),
            "L": self._price(listing, listing.price(fill.price_i) if fill else ZERO),
            "n": fixed(fill.fee) if fill else "0",
            "N": fill.fee_asset if fill else None,
            "T": ms,
            "t": fill.trade_id if fill else -1,
            "I": order.updated_us,
            "w": order.live,
            "m": bool(fill and fill.is_maker),
            "M": False,
            "O": order.created_us // 1000,
            "Z": fixed(order.filled_quote),
            "Y": fixed(listing.notional(fill.price_i, fill.size_i) if fill else ZERO),
            "Q": fixed(order.budget or ZERO),
            "W": order.created_us // 1000,
            "V": order.notes["stp"],
        }

    def account_position(self, asset: str, us: int) -> dict[str, Any]:
        balance, ms = self.spot.balance(asset), us // 1000
        row = {"a": asset, "f": fixed(balance.free), "l": fixed(balance.locked)}
        return {"e": "outboundAccountPosition", "E": ms + EMIT_LAG_MS, "u": ms, "B": [row]}
