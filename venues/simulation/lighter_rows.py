"""
How Lighter prints its markets, orders, trades, positions and balances: key for key as in the recorded payloads.

Amounts are padded to their market's decimals and money to six; ids are numbers, with a text beside them in some rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from venues.simulation.accounts import Account
from venues.simulation.engine import MatchingEngine
from venues.simulation.market import summary
from venues.simulation.records import ZERO, Fill, Listing, Order, Reason, State, TimeInForce, Trade

SPOT_USDC: Final = "USDC spot"
"""The engine's name for the USDC of the spot wallet; that of the perp account is plain USDC."""
ASSETS: Final[Mapping[str, tuple[int, str]]] = {"ETH": (1, "ETH"), SPOT_USDC: (3, "USDC")}
"""Engine asset of the spot wallet → the venue's id and symbol."""
STRANGER: Final = 91249
"""Account index that the other side of a trade shows."""
FIRST_INDEX: Final = 1 << 48
"""Order indexes of the venue begin here, client ids end before."""

# symbol, id, price and size decimals, min base, min quote, margin fractions (default, min, maintenance, close-out).
# Decimals and fractions of SOL and ETH and everything of the spot pair are recorded; the limits of SOL and BTC and
# the fractions of BTC are our choice.
_MARKETS: Final = (
    ("ETH", 0, 2, 4, "0.0050", "10.000000", (500, 200, 120, 80)),
    ("BTC", 1, 1, 5, "0.00020", "10.000000", (500, 200, 120, 80)),
    ("SOL", 2, 3, 3, "0.050", "10.000000", (1000, 400, 240, 160)),
    ("ETH/USDC", 2048, 2, 4, "0.0001", "0.000001", None),
)


def _market_row(spec: tuple[Any, ...]) -> dict[str, Any]:
    symbol, number, price_decimals, size_decimals, min_base, min_quote, margins = spec
    row: dict[str, Any] = {
        "symbol": symbol,
        "market_id": number,
        "market_type": "perp" if margins else "spot",
        "base_asset_id": 0 if margins else 1,
        "quote_asset_id": 0 if margins else 3,
        "status": "active",
        "taker_fee": "0.0000",
        "is_taker_fee_enabled": True,
        "maker_fee": "0.0000",
        "is_maker_fee_enabled": True,
        "liquidation_fee": "1.0000" if margins else "0.0000",
        "min_base_amount": min_base,
        "min_quote_amount": min_quote,
        "order_quote_limit": "281474976.710655",
        "supported_size_decimals": size_decimals,
        "supported_price_decimals": price_decimals,
        "supported_quote_decimals": 6,
        "size_decimals": size_decimals,
        "price_decimals": price_decimals,
    }
    if margins:
        names = ("default_initial", "min_initial", "maintenance", "closeout")
        row |= {"quote_multiplier": 1, "open_interest": 27350.8981, "strategy_index": 2}
        row |= {f"{name}_margin_fraction": value for name, value in zip(names, margins, strict=True)}
    row["market_config"] = {
        "market_margin_mode": 0,
        "insurance_fund_account_index": 281474976710655,
        "liquidation_mode": 0,
        "force_reduce_only": False,
        "trading_hours": "",
        "funding_fee_discounts_enabled": False,
        "hidden": False,
        "rfq_enabled": bool(margins),
    }
    return row


MARKET_ROWS: Final = {spec[1]: _market_row(spec) for spec in _MARKETS}
"""The constant part of ``orderBookDetails`` by the market's number."""
NUMBERS: Final = {row["symbol"]: number for number, row in MARKET_ROWS.items()}


def listing_of(row: Mapping[str, Any]) -> Listing:
    """A market row as the engine needs it; a standard account pays no fees."""
    perp = row["market_type"] == "perp"
    initial = row["default_initial_margin_fraction"] if perp else 10_000
    return Listing(
        symbol=row["symbol"],
        base=row["symbol"].partition("/")[0],
        quote="USDC" if perp else SPOT_USDC,
        kind=row["market_type"],
        price_decimals=row["price_decimals"],
        size_decimals=row["size_decimals"],
        initial_margin=Decimal(initial).scaleb(-4),
        maintenance_margin=Decimal(row["maintenance_margin_fraction"] if perp else 10_000).scaleb(-4),
    )


_ENDED: Final[Mapping[Reason, str]] = {
    Reason.WOULD_CROSS: "canceled-post-only",
    Reason.REDUCE_ONLY: "canceled-reduce-only",
    Reason.REDUCE_ONLY_SIZE: "canceled-reduce-only",
    Reason.FUNDS: "canceled-invalid-balance",
    Reason.MARGIN: "canceled-margin-not-allowed",
    Reason.IMMEDIATE: "canceled",
    Reason.IMPACT: "canceled-too-much-slippage",
    Reason.NO_LIQUIDITY: "canceled-not-enough-liquidity",
    Reason.SELF_TRADE: "canceled-self-trade",
}
_LINKS: Final = (
    *("parent_order_id", "to_trigger_order_id_0", "to_trigger_order_id_1"),
    *("to_cancel_order_id_0", "to_cancel_order_id_1"),
    *("integrator_fee_collector_index", "integrator_taker_fee", "integrator_maker_fee"),
)


def money(value: Decimal) -> str:
    return f"{value:.6f}"


_TRADE_TYPES: Final = {"": "trade", "liquidate": "liquidation", "deleverage": "deleverage"}


def by_market(rows: Iterable[dict[str, Any]], key: str) -> dict[str, list[dict[str, Any]]]:
    """Rows grouped by the market's number, as text."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(str(row[key]), []).append(row)
    return grouped


def index_of(order: Order) -> int:
    """The venue's order index; a modified order keeps that of the first."""
    return int(order.notes.get("index", order.id))


class LighterRows:
    """Prints the state of ``engine`` for ``account``, whose number on the venue is ``number``."""

    def __init__(self, engine: MatchingEngine, account: Account, number: int) -> None:
        self._engine = engine
        self.account = account
        self.number = number
        self.cancel_all_ms = 0
        self.fractions: dict[int, int] = {}
        """Initial margin fraction by market where the account has set one."""

    # -- orders and trades

    def order(self, order: Order) -> dict[str, Any]:
        """An order, REST and stream alike."""
        listing = self._engine.listings[order.symbol]
        before_i, before_quote = order.notes.get("before", (0, ZERO))
        filled_i, size_i = order.filled_i + before_i, order.size_i + before_i
        index, client = index_of(order), order.client_id or 0
        shown_i = order.price_i if order.price_i is not None else order.notes["worst_i"]
        seconds = order.created_us // 1_000_000
        row: dict[str, Any] = dict.fromkeys(_LINKS, "0")
        row |= {
            "order_index": index,
            "client_order_index": client,
            "order_id": str(index),
            "client_order_id": str(client),
            "market_index": NUMBERS[order.symbol],
            "owner_account_index": self.number,
            "initial_base_amount": _padded(listing.size(size_i), listing.size_decimals),
            "price": _padded(listing.price(shown_i), listing.price_decimals),
            "nonce": order.updated_us,
            "remaining_base_amount": _padded(listing.size(order.left_i if order.live else 0), listing.size_decimals),
            "is_ask": order.is_ask,
            "base_size": order.left_i if order.live else 0,
            "base_price": shown_i,
            "filled_base_amount": _padded(listing.size(filled_i), listing.size_decimals),
            "filled_quote_amount": money(order.filled_quote + before_quote),
            "side": "sell" if order.is_ask else "buy",
            "type": "market" if order.price_i is None else "limit",
            "time_in_force": _tif(order),
            "reduce_only": order.reduce_only,
            "trigger_price": _padded(ZERO, listing.price_decimals),
            "order_expiry": order.notes["expiry"],
            "status": self.status(order),
            "trigger_status": "na",
            "trigger_time": 0,
            "parent_order_index": 0,
            "block_height": order.updated_us // 100_000 % 10**9,
            "timestamp": seconds,
            "created_at": seconds,
            "updated_at": order.updated_us // 1_000_000,
            # The documented sample has the time of birth here, also after a fill.
            "transaction_time": order.created_us,
        }
        return row

    @staticmethod
    def status(order: Order) -> str:
        if order.state is State.EXPIRED and order.reason is not None:
            return _ENDED.get(order.reason, "canceled")
        return {State.OPEN: "open", State.FILLED: "filled"}.get(order.state, "canceled")

    def fill(self, fill: Fill) -> dict[str, Any]:
        """A trade of ours. Among the kept trades is the other side, where that is ours as well."""
        trade = next(
            (each for each in reversed(self._engine.trades[fill.symbol]) if each.id == fill.trade_id),
            None,
        )
        if trade is None:
            # Long ago; the other side was the street's.
            trade = Trade(
                id=fill.trade_id,
                symbol=fill.symbol,
                price_i=fill.price_i,
                size_i=fill.size_i,
                buyer_order_id=0 if fill.is_ask else fill.order_id,
                seller_order_id=fill.order_id if fill.is_ask else 0,
                buyer_is_maker=fill.is_maker != fill.is_ask,
                us=fill.us,
            )
        return self.trade(trade)

    def trade(self, trade: Trade) -> dict[str, Any]:
        listing = self._engine.listings[trade.symbol]
        row: dict[str, Any] = {
            "trade_id": trade.id,
            "trade_id_str": str(trade.id),
            "tx_hash": f"{trade.id:016x}",
            "type": self._trade_type(trade),
            "market_id": NUMBERS[trade.symbol],
            "size": _padded(listing.size(trade.size_i), listing.size_decimals),
            "price": _padded(listing.price(trade.price_i), listing.price_decimals),
            "usd_amount": money(listing.notional(trade.price_i, trade.size_i)),
            "is_maker_ask": not trade.buyer_is_maker,
            "block_height": trade.us // 100_000 % 10**9,
            "timestamp": trade.us // 1000,
            "transaction_time": trade.us,
        }
        for side, order_id in (("ask", trade.seller_order_id), ("bid", trade.buyer_order_id)):
            order = self._engine.orders.get(order_id)
            index = index_of(order) if order else FIRST_INDEX + 10**9 + trade.id
            client = (order.client_id or 0) if order else 0
            row |= {f"{side}_id": index, f"{side}_id_str": str(index)}
            row |= {f"{side}_client_id": client, f"{side}_client_id_str": str(client)}
            row[f"{side}_account_id"] = self.number if order else STRANGER
        return row

    def _trade_type(self, trade: Trade) -> str:
        sides = (self._engine.orders.get(number) for number in (trade.buyer_order_id, trade.seller_order_id))
        return _TRADE_TYPES[next((order.origin for order in sides if order is not None), "")]

    # -- the account

    def position(self, symbol: str) -> dict[str, Any]:
        listing, held = self._engine.listings[symbol], self.account.position(symbol)
        number = NUMBERS[symbol]
        size, mark = listing.size(abs(held.net_i)), self._engine.mark(symbol)
        entry = held.cost / size if size else ZERO
        fraction = self.fractions.get(number, MARKET_ROWS[number]["default_initial_margin_fraction"])
        return {
            "market_id": number,
            "symbol": symbol,
            "initial_margin_fraction": f"{Decimal(fraction).scaleb(-2):.2f}",
            "open_order_count": len(self._engine.open_orders(self.account.name, symbol)),
            "pending_order_count": 0,
            "position_tied_order_count": 0,
            # A flat row stays, with the sign of a long one.
            "sign": -1 if held.net_i < 0 else 1,
            "position": _padded(size, listing.size_decimals),
            "avg_entry_price": _padded(entry, listing.price_decimals),
            "position_value": money(size * mark),
            "unrealized_pnl": money(self.account.unrealised(listing, mark)) if size else "0.000000",
            "realized_pnl": money(held.realised),
            "liquidation_price": "0",
            "total_funding_paid_out": "0.000000",
            "margin_mode": 0,
            "allocated_margin": "0.000000",
        }

    def positions(self) -> dict[str, dict[str, Any]]:
        """Every market that was ever held, by its number."""
        held = [symbol for symbol in self.account.positions if self._engine.listings[symbol].is_perp]
        return {str(NUMBERS[symbol]): self.position(symbol) for symbol in held}

    def assets(self) -> dict[str, dict[str, Any]]:
        """The spot wallet by asset id; the row of USDC also shows the perp account's."""
        rows = {}
        for asset, (number, symbol) in ASSETS.items():
            balance = self.account.balance(asset)
            collateral = self.account.balance("USDC") if asset == SPOT_USDC else None
            rows[str(number)] = {
                "symbol": symbol,
                "asset_id": number,
                "balance": money(balance.free + balance.locked),
                "locked_balance": money(balance.locked),
                "margin_mode": "disabled",
                "margin_balance": money(collateral.free if collateral else ZERO),
            }
        return rows

    def account_row(self) -> dict[str, Any]:
        margin = self._engine.margin(self.account.name)
        open_orders = len(self._engine.open_orders(self.account.name))
        return {
            "code": 0,
            "account_type": 0,
            "index": self.number,
            "account_index": self.number,
            "l1_address": "0x0000000000000000000000000000000000000000",
            "cancel_all_time": self.cancel_all_ms,
            "total_order_count": open_orders,
            "total_isolated_order_count": 0,
            "pending_order_count": 0,
            "available_balance": money(margin.available),
            "status": 1,
            "collateral": money(self.account.balance("USDC").free),
            "transaction_time": 0,
            "account_trading_mode": 0,
            "name": "",
            "description": "",
            "can_invite": False,
            "referral_points_percentage": "",
            "positions": list(self.positions().values()),
            "assets": list(self.assets().values()),
            "total_asset_value": money(margin.equity),
            "cross_asset_value": money(margin.equity),
            "cross_initial_margin_requirement": money(margin.initial),
            "cross_maintenance_margin_requirement": money(margin.maintenance),
            "shares": [],
            "pending_unlocks": [],
            "approved_integrators": [],
        }

    def stats(self) -> dict[str, Any]:
        """The ``stats`` of ``user_stats``."""
        margin = self._engine.margin(self.account.name)
        equity = margin.equity
        part = {
            "available_balance": money(margin.available),
            "buying_power": "0",
            "collateral": money(self.account.balance("USDC").free),
            "leverage": f"{margin.exposure / equity:.2f}" if equity > 0 else "0.00",
            "margin_usage": f"{100 * margin.initial / equity:.2f}" if equity > 0 else "0.00",
            "portfolio_value": money(equity),
        }
        return {"account_trading_mode": 0, **part, "cross_stats": part, "total_stats": part}

    # -- markets

    def details(self, number: int) -> dict[str, Any]:
        """A row of ``orderBookDetails``; the day's numbers are what the kept trades add up to."""
        row = MARKET_ROWS[number]
        told = summary(self._engine, row["symbol"])
        return row | {
            "last_trade_price": float(told.last),
            "daily_trades_count": told.count,
            "daily_base_token_volume": float(told.volume),
            "daily_quote_token_volume": float(told.quote_volume),
            "daily_price_low": float(told.low),
            "daily_price_high": float(told.high),
            "daily_price_change": 0.0,
            "daily_chart": {},
        }

    def asset_details(self) -> dict[str, Any]:
        rows = [
            {
                "asset_id": number,
                "symbol": symbol,
                "l1_decimals": 6,
                "decimals": 6,
                "min_transfer_amount": "1.000000",
                "min_withdrawal_amount": "1.000000",
                "margin_mode": "enabled" if symbol == "USDC" else "disabled",
                "index_price": money(self._engine.worth(asset)),
                "l1_address": "0x" + "0" * 40,
            }
            for asset, (number, symbol) in ASSETS.items()
        ]
        return {"code": 200, "asset_details": rows}

    def book_orders(self, number: int, limit: int) -> dict[str, Any]:
        """Single orders, the best first."""
        symbol = MARKET_ROWS[number]["symbol"]
        listing, book = self._engine.listings[symbol], self._engine.books[symbol]
        answer: dict[str, Any] = {"code": 200}
        for name, side in (("asks", book.asks), ("bids", book.bids)):
            rows: list[dict[str, Any]] = []
            for price in side.prices()[:limit]:
                for order in side.levels[price].orders:
                    index = index_of(order) if order.owner else FIRST_INDEX + 10**9 + price
                    rows.append(
                        {
                            "order_index": index,
                            "order_id": str(index),
                            "owner_account_index": self.number if order.owner else STRANGER,
                            "initial_base_amount": _padded(listing.size(order.size_i), listing.size_decimals),
                            "remaining_base_amount": _padded(listing.size(order.left_i), listing.size_decimals),
                            "price": _padded(listing.price(price), listing.price_decimals),
                            "order_expiry": order.notes.get("expiry", 0),
                            "transaction_time": 0,
                        }
                    )
            answer |= {name: rows[:limit], f"total_{name}": len(rows[:limit])}
        return answer

    def levels(self, symbol: str, levels: Iterable[tuple[int, int]]) -> list[dict[str, str]]:
        """(price, size) pairs; a size of 0 with all its decimals."""
        listing = self._engine.listings[symbol]
        return [
            {
                "price": _padded(listing.price(price), listing.price_decimals),
                "size": _padded(listing.size(size), listing.size_decimals),
            }
            for price, size in levels
        ]

    def ticker(self, symbol: str) -> dict[str, Any]:
        book = self._engine.books[symbol]
        best_ask, best_bid = book.best_ask, book.best_bid
        return {
            "s": symbol,
            "a": self.levels(symbol, [best_ask])[0] if best_ask else {"price": "", "size": ""},
            "b": self.levels(symbol, [best_bid])[0] if best_bid else {"price": "", "size": ""},
            "last_updated_at": book.changed_us,
        }

    def market_stats(self, symbol: str) -> dict[str, Any]:
        listing, told = self._engine.listings[symbol], summary(self._engine, symbol)
        mark = _padded(self._engine.mark(symbol), listing.price_decimals)
        return {
            "symbol": symbol,
            "market_id": NUMBERS[symbol],
            "index_price": mark,
            "mark_price": mark,
            "mid_price": mark,
            "open_interest": "27250.8411",
            "last_trade_price": _padded(told.last, listing.price_decimals),
            "current_funding_rate": "0.000001",
            "funding_rate": "0.000002",
            "funding_timestamp": 1774886400000,
            "daily_base_token_volume": float(told.volume),
            "daily_quote_token_volume": float(told.quote_volume),
            "daily_price_low": float(told.low),
            "daily_price_high": float(told.high),
            "daily_price_change": 0.0,
        }


def _padded(value: Decimal, decimals: int) -> str:
    return f"{value:.{decimals}f}"


def _tif(order: Order) -> str:
    if order.price_i is None or order.time_in_force is TimeInForce.IOC:
        return "immediate-or-cancel"
    return "post-only" if order.post_only else "good-till-time"
