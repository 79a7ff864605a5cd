"""
How Hyperliquid prints its markets, orders, fills and accounts: key for key as in the recorded payloads.

Numbers of money are text with at least one decimal; ids and times are numbers, times the block's milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from core.precision import plain
from venues.simulation.accounts import Account
from venues.simulation.engine import MatchingEngine
from venues.simulation.market import summary
from venues.simulation.records import ZERO, Fill, Listing, Order, Reason, State, Trade

CASH: Final = "USDC"
"""The perp wallet."""
SPOT_CASH: Final = "USDC in the spot wallet"
"""Two wallets hold USDC, and perps and spot pairs each spend from their own."""
SIGNIFICANT_FIGURES: Final = 5
MIN_VALUE: Final = Decimal(10)
BOOK_LEVELS: Final = 20
SPOT_FEES: Final = (Decimal("0.0004"), Decimal("0.0007"))
PERP_FEES: Final = (Decimal("0.00015"), Decimal("0.00045"))
"""Maker and taker, base tier."""

# The first six of the main network's universe, recorded on 2026-09-25. The asset id is the place in this list. Those
# without a simulated market are shown as delisted.
UNIVERSE: Final[tuple[dict[str, Any], ...]] = (
    {"szDecimals": 5, "name": "BTC", "maxLeverage": 40, "marginTableId": 56},
    {"szDecimals": 4, "name": "ETH", "maxLeverage": 25, "marginTableId": 55},
    {"szDecimals": 2, "name": "ATOM", "maxLeverage": 5, "marginTableId": 5, "isDelisted": True},
    {"szDecimals": 1, "name": "MATIC", "maxLeverage": 20, "marginTableId": 20, "isDelisted": True},
    {"szDecimals": 1, "name": "DYDX", "maxLeverage": 5, "marginTableId": 5, "isDelisted": True},
    {"szDecimals": 2, "name": "SOL", "maxLeverage": 20, "marginTableId": 54},
)
_TIERS: Final = ((54, "tiered 20x (2)", 20, "70000000.0", 10), (55, "tiered 25x", 25, "100000000.0", 15))
_TIERS_40: Final = (56, "tiered 40x", 40, "150000000.0", 20)
MARGIN_TABLES: Final = [
    [
        number,
        {
            "description": words,
            "marginTiers": [
                {"lowerBound": "0.0", "maxLeverage": first},
                {"lowerBound": bound, "maxLeverage": then},
            ],
        },
    ]
    for number, words, first, bound, then in (*_TIERS, _TIERS_40)
]

# Token → place in the list, size decimals, and the pair's own number. USOL and UETH as recorded; UBTC's place and the
# decimals of it and of UETH (those of the perps) are ours.
_TOKENS: Final = {"UBTC": (197, 5, 142), "UETH": (221, 4, 151), "USOL": (254, 3, 156)}
TOKEN_OF: Final[Mapping[str, str]] = {"BTC": "UBTC", "ETH": "UETH", "SOL": "USOL", CASH: "USDC", SPOT_CASH: "USDC"}
PLACE_OF: Final = {"USDC": 0, **{name: row[0] for name, row in _TOKENS.items()}}
PAIRS: Final = {f"@{number}": (name, number) for name, (_, _, number) in _TOKENS.items()}

ANCHORS: Final = {"SOL": Decimal(140), "BTC": Decimal(95_000), "ETH": Decimal(3_200)}
_WORDS: Final[Mapping[Reason, str]] = {
    Reason.WOULD_CROSS: "badAloPxRejected",
    Reason.SELF_TRADE: "selfTradeCanceled",
    Reason.REDUCE_ONLY: "reduceOnlyCanceled",
}


def _spot_meta() -> dict[str, Any]:
    def token(place: int, name: str, decimals: int) -> dict[str, Any]:
        return {
            "name": name,
            "szDecimals": decimals,
            "weiDecimals": 8,
            "index": place,
            "tokenId": f"0x{place:032x}",
            "isCanonical": place == 0,
            "evmContract": None,
            "fullName": None,
        }

    named = {0: token(0, "USDC", 8)}
    named |= {place: token(place, name, decimals) for name, (place, decimals, _) in _TOKENS.items()}
    # ccxt reads this list by position, so the places between must be filled.
    tokens = [named.get(place) or token(place, f"FILL{place}", 2) for place in range(max(named) + 1)]
    universe = [
        {"name": symbol, "tokens": [PLACE_OF[name], 0], "index": number, "isCanonical": False}
        for symbol, (name, number) in PAIRS.items()
    ]
    return {"tokens": tokens, "universe": universe}


META: Final = {"universe": list(UNIVERSE), "marginTables": MARGIN_TABLES, "collateralToken": 0}
SPOT_META: Final = _spot_meta()
ASSETS: Final = {
    **{place: row["name"] for place, row in enumerate(UNIVERSE) if not row.get("isDelisted")},
    **{10_000 + number: symbol for symbol, (_, number) in PAIRS.items()},
}
"""Number in a signed action → symbol, of the markets that trade here."""


def listings() -> list[Listing]:
    """The markets as the engine needs them. Their tick is the one that five figures allow at today's prices."""
    rows = []
    for row in UNIVERSE:
        if not row.get("isDelisted"):
            leverage = Decimal(row["maxLeverage"])
            rows.append(_listing(row["name"], row["name"], row["szDecimals"], leverage))
    for symbol, (name, _) in PAIRS.items():
        base = next(coin for coin, token in TOKEN_OF.items() if token == name)
        rows.append(_listing(symbol, base, _TOKENS[name][1], None))
    return rows


def _listing(symbol: str, base: str, size_decimals: int, leverage: Decimal | None) -> Listing:
    decimals = (8 if leverage is None else 6) - size_decimals
    allowed = min(decimals, max(0, SIGNIFICANT_FIGURES - (ANCHORS[base].adjusted() + 1)))
    maker, taker = SPOT_FEES if leverage is None else PERP_FEES
    return Listing(
        symbol=symbol,
        base=base,
        quote=SPOT_CASH if leverage is None else CASH,
        kind="spot" if leverage is None else "perp",
        price_decimals=decimals,
        size_decimals=size_decimals,
        tick_i=10 ** (decimals - allowed),
        maker_fee=maker,
        taker_fee=taker,
        initial_margin=Decimal(1) if leverage is None else 1 / leverage,
        maintenance_margin=Decimal(1) if leverage is None else 1 / (2 * leverage),
    )


def money(value: Decimal) -> str:
    """At least one decimal."""
    text = plain(value)
    return text if "." in text else f"{text}.0"


def rounded(value: Decimal) -> Decimal:
    """At most eight decimals, as the venue keeps."""
    return value.quantize(Decimal("0.00000001"))


class HyperliquidRows:
    """Prints the state of ``engine`` for ``account``."""

    def __init__(self, engine: MatchingEngine, account: Account) -> None:
        self._engine = engine
        self.account = account
        self.scheduled: set[int] = set()
        """Orders that the dead-man's switch ended."""
        self._realised: dict[tuple[str, int], Decimal] = {}

    # -- orders

    def short_order(self, order: Order) -> dict[str, Any]:
        """An order as ``orderUpdates`` and ``openOrders`` print it; ``sz`` is what remains."""
        listing = self._engine.listings[order.symbol]
        assert order.price_i is not None
        row: dict[str, Any] = {
            "coin": order.symbol,
            "side": "A" if order.is_ask else "B",
            "limitPx": money(listing.price(order.price_i)),
            "sz": money(listing.size(order.left_i)),
            "oid": order.id,
            "timestamp": order.created_us // 1000,
            "origSz": money(listing.size(order.size_i)),
        }
        if order.client_id is not None:
            row["cloid"] = order.client_id
        return row

    def order(self, order: Order) -> dict[str, Any]:
        """An order in full, as ``orderStatus``, ``frontendOpenOrders`` and ``historicalOrders`` print it."""
        return {
            **self.short_order(order),
            "triggerCondition": "N/A",
            "isTrigger": False,
            "triggerPx": "0.0",
            "children": [],
            "isPositionTpsl": False,
            "reduceOnly": order.reduce_only,
            "orderType": "Limit",
            "tif": order.notes["tif"],
            "cloid": order.client_id,
        }

    def word(self, order: Order) -> str:
        """The state of an order in the venue's word."""
        if order.state is State.OPEN:
            return "open"
        if order.state is State.FILLED:
            return "filled"
        if order.id in self.scheduled:
            return "scheduledCancel"
        if order.reason is None or order.reason in _WORDS:
            return _WORDS[order.reason] if order.reason else "canceled"
        return "canceled" if order.filled_i else "iocCancelRejected"

    def with_state(self, row: Mapping[str, Any], order: Order) -> dict[str, Any]:
        since_us = order.created_us if order.live else order.updated_us
        return {"order": row, "status": self.word(order), "statusTimestamp": since_us // 1000}

    # -- fills

    def fill(self, fill: Fill) -> dict[str, Any]:
        """A trade. To be called while the account is as this trade left it."""
        listing = self._engine.listings[fill.symbol]
        size = listing.size(fill.size_i)
        signed = -size if fill.is_ask else size
        if listing.is_perp:
            held = self.account.position(fill.symbol)
            after = listing.size(held.net_i)
            before = after - signed
            key = (fill.symbol, held.id)
            gained = held.realised - self._realised.get(key, ZERO)
            self._realised[key] = held.realised
            direction = _direction(before, after)
        else:
            wallet = self.account.balance(listing.base)
            before = wallet.free + wallet.locked - signed + (ZERO if fill.is_ask else fill.fee)
            gained, direction = ZERO, "Sell" if fill.is_ask else "Buy"
        return {
            "coin": fill.symbol,
            "px": money(listing.price(fill.price_i)),
            "sz": money(size),
            "side": "A" if fill.is_ask else "B",
            "time": fill.us // 1000,
            "startPosition": money(before),
            "dir": direction,
            "closedPnl": money(rounded(gained)),
            "hash": f"0x{fill.us:064x}",
            "oid": fill.order_id,
            "crossed": not fill.is_maker,
            "fee": money(rounded(fill.fee)),
            "tid": trade_number(fill.trade_id),
            "cloid": fill.client_id,
            "feeToken": TOKEN_OF[fill.fee_asset],
            "twapId": None,
            **self._liquidation(fill),
        }

    def _liquidation(self, fill: Fill) -> dict[str, Any]:
        """What a fill says besides when the venue itself made its order."""
        if not self._engine.orders[fill.order_id].origin:
            return {}
        mark = money(self._engine.mark(fill.symbol))
        return {"liquidation": {"liquidatedUser": self.account.name, "markPx": mark, "method": "market"}}

    def trade(self, trade: Trade) -> dict[str, Any]:
        listing = self._engine.listings[trade.symbol]
        return {
            "coin": trade.symbol,
            "side": "A" if trade.buyer_is_maker else "B",
            "px": money(listing.price(trade.price_i)),
            "sz": money(listing.size(trade.size_i)),
            "time": trade.us // 1000,
            "hash": f"0x{trade.us:064x}",
            "tid": trade_number(trade.id),
            "users": [f"0x{trade.buyer_order_id:040x}", f"0x{trade.seller_order_id:040x}"],
        }

    # -- the account

    def clearinghouse(self, now_ms: int) -> dict[str, Any]:
        margin = self._engine.margin(self.account.name)
        positions, notional, net, used, maintenance = [], ZERO, ZERO, ZERO, ZERO
        for symbol, held in self.account.positions.items():
            if not held.net_i:
                continue
            listing, mark = self._engine.listings[symbol], self._engine.mark(symbol)
            size = listing.size(held.net_i)
            value, share = abs(size) * mark, self.account.share_of_margin(listing)
            notional, net = notional + value, net + size * mark
            used, maintenance = used + value * share, maintenance + value * listing.maintenance_margin
            profit = self.account.unrealised(listing, mark)
            positions.append(
                {
                    "type": "oneWay",
                    "position": {
                        "coin": symbol,
                        "szi": money(size),
                        "leverage": {"type": "cross", "value": int(1 / share)},
                        "entryPx": money(rounded(held.cost / abs(size))),
                        "positionValue": money(rounded(value)),
                        "unrealizedPnl": money(rounded(profit)),
                        "returnOnEquity": money(rounded(profit / (held.cost * share))),
                        "liquidationPx": None,
                        "marginUsed": money(rounded(value * share)),
                        "maxLeverage": int(1 / listing.initial_margin),
                        "cumFunding": dict.fromkeys(("allTime", "sinceOpen", "sinceChange"), "0.0"),
                    },
                }
            )
        total = {
            "accountValue": money(rounded(margin.equity)),
            "totalNtlPos": money(rounded(notional)),
            "totalRawUsd": money(rounded(margin.equity - net)),
            "totalMarginUsed": money(rounded(used)),
        }
        return {
            "marginSummary": total,
            "crossMarginSummary": total,
            "crossMaintenanceMarginUsed": money(rounded(maintenance)),
            "withdrawable": money(rounded(margin.available)),
            "assetPositions": positions,
            "time": now_ms,
        }

    def spot_state(self) -> dict[str, Any]:
        held = [(asset, balance) for asset, balance in self.account.balances.items() if asset != CASH]
        return {
            "balances": [
                {
                    "coin": TOKEN_OF[asset],
                    "token": PLACE_OF[TOKEN_OF[asset]],
                    "total": money(rounded(balance.free + balance.locked)),
                    "hold": money(rounded(balance.locked)),
                    "entryNtl": "0.0",
                }
                for asset, balance in held
            ]
        }

    # -- markets

    def levels(self, symbol: str) -> list[list[dict[str, Any]]]:
        """Bids descending, asks ascending."""
        book = self._engine.books[symbol]
        return [
            [
                self._level(symbol, price, side.levels[price].total, len(side.levels[price].orders))
                for price in side.prices()[:BOOK_LEVELS]
            ]
            for side in (book.bids, book.asks)
        ]

    def _level(self, symbol: str, price_i: int, size_i: int, count: int) -> dict[str, Any]:
        listing = self._engine.listings[symbol]
        return {"px": money(listing.price(price_i)), "sz": money(listing.size(size_i)), "n": count}

    def book(self, symbol: str) -> dict[str, Any]:
        at_ms = self._engine.books[symbol].changed_us // 1000
        return {"coin": symbol, "time": at_ms, "levels": self.levels(symbol)}

    def best_prices(self, symbol: str) -> dict[str, Any]:
        book = self._engine.books[symbol]
        best = [
            (
                None
                if side.best is None
                else self._level(symbol, side.best.price_i, side.best.total, len(side.best.orders))
            )
            for side in (book.bids, book.asks)
        ]
        return {"coin": symbol, "time": book.changed_us // 1000, "bbo": best}

    def mids(self) -> dict[str, str]:
        return {symbol: money(mid) for symbol in self._engine.listings if (mid := self._mid(symbol)) is not None}

    def _mid(self, symbol: str) -> Decimal | None:
        book, listing = self._engine.books[symbol], self._engine.listings[symbol]
        if book.best_bid is None or book.best_ask is None:
            return None
        return listing.price(book.best_bid[0] + book.best_ask[0]) / 2

    def asset_contexts(self) -> list[dict[str, Any]]:
        return [self._context(row["name"]) for row in UNIVERSE]

    def spot_contexts(self) -> list[dict[str, Any]]:
        """By the pair's number: ccxt reads them so."""
        places: Iterable[int] = range(max(number for _, number in PAIRS.values()) + 1)
        return [self._spot_context(f"@{place}") for place in places]

    def _prices(self, symbol: str) -> dict[str, Any]:
        if symbol not in self._engine.listings:
            return {"prevDayPx": "1.0", "dayNtlVlm": "0.0", "markPx": "1.0", "midPx": None, "dayBaseVlm": "0.0"}
        told, mid = summary(self._engine, symbol), self._mid(symbol)
        return {
            "prevDayPx": money(told.first),
            "dayNtlVlm": money(told.quote_volume),
            "markPx": money(self._engine.mark(symbol)),
            "midPx": None if mid is None else money(mid),
            "dayBaseVlm": money(told.volume),
        }

    def _context(self, symbol: str) -> dict[str, Any]:
        prices = self._prices(symbol)
        impact = None
        if prices["midPx"] is not None:
            impact = [row["px"] for row in self.best_prices(symbol)["bbo"]]
        more = {"funding": "0.0000125", "openInterest": "0.0", "premium": "0.0", "oraclePx": prices["markPx"]}
        return {**more, **prices, "impactPxs": impact}

    def _spot_context(self, symbol: str) -> dict[str, Any]:
        return {**self._prices(symbol), "circulatingSupply": "0.0", "coin": symbol}


def trade_number(trade_id: int) -> int:
    """A number of 50 bits that looks like the venue's hash and is one to one."""
    return trade_id * 0x2545F4914F6CDD % (1 << 50)


def _direction(before: Decimal, after: Decimal) -> str:
    if before * after < 0:
        return "Long > Short" if before > 0 else "Short > Long"
    opened = abs(after) > abs(before)
    side = after if opened else before
    return f"{'Open' if opened else 'Close'} {'Long' if side > 0 else 'Short'}"
