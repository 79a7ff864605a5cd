"""
How OKX prints its instruments, orders, trades, positions and balances: key for key as in its recorded payloads.

Numbers are text, "none" is empty text, sizes of swaps are contracts. Times are milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from core.precision import as_decimal, decimal_of, decimals_of, plain, scaled
from venues.simulation.accounts import Account
from venues.simulation.engine import MatchingEngine
from venues.simulation.market import summary
from venues.simulation.records import ZERO, Fill, Listing, Order, Reason, State

SETTLE: Final = "USDT"
# The recorded answer of /account/trade-fee has the spot rates of the first level; the rates for swaps are those that
# OKX publishes for it.
FEES: Final = {"SPOT": ("0.0008", "0.001"), "SWAP": ("0.0002", "0.0005")}
"""Maker and taker."""
PRICE_BAND: Final = Decimal("0.05")
"""A buy may not cost more than the mark and this share of it, a sell not less (initPxLmtPct of a recorded row)."""

# From the recorded rows of BTC-USDT-SWAP, ETH-USDT-SWAP and SOL-USDT and the fields known of SOL-USDT-SWAP. BTC-USDT
# is the documents' example; ETH-USDT is on the grid of a recorded order. Numbers (instIdCode) of SOL and of spot are
# made up: any integer is right, since clients must read it here.
# base, code, ctVal, tickSz, lotSz, minSz, maxLmtSz, maxMktSz, listTime
_SWAPS: Final = (
    ("SOL", 10465, "1", "0.01", "0.01", "0.01", "100000000", "1000000", "1611916828000"),
    ("BTC", 10459, "0.01", "0.1", "0.01", "0.01", "100000000", "12000", "1573557408000"),
    ("ETH", 10461, "0.1", "0.01", "0.01", "0.01", "100000000", "20000", "1573557408000"),
)
_SPOTS: Final = (
    ("SOL", 1000000011, "", "0.01", "0.000001", "0.001", "999999999999", "1000000", "1611907686000"),
    ("BTC", 1000000000, "", "0.1", "0.00000001", "0.00001", "9999999999", "1000000", "1606468572000"),
    ("ETH", 1000000001, "", "0.01", "0.000001", "0.0001", "9999999999", "1000000", "1606468572000"),
)
_EMPTY: Final = (
    *("alias", "auctionEndTime", "contTdSwTime", "expTime", "openType", "optType", "posLmtAmt", "posLmtPct"),
    *("preMktSwTime", "stk", "maxPlatOILmt"),
)


def _instrument(kind: str, row: tuple[str, int, str, str, str, str, str, str, str]) -> dict[str, Any]:
    base, code, contract, tick, lot, smallest, most, most_at_market, listed = row
    is_swap = kind == "SWAP"
    family = f"{base}-{SETTLE}"
    return {
        **dict.fromkeys(_EMPTY, ""),
        "baseCcy": "" if is_swap else base,
        "category": "1",
        "ctMult": "1" if is_swap else "",
        "ctType": "linear" if is_swap else "",
        "ctVal": contract,
        "ctValCcy": base if is_swap else "",
        "futureSettlement": False,
        "groupId": "1",
        "instFamily": family if is_swap else "",
        "instId": f"{family}-SWAP" if is_swap else family,
        "instIdCode": code,
        "instType": kind,
        "lever": "100" if is_swap else "10",
        "listTime": listed,
        "lotSz": lot,
        "maxIcebergSz": f"{most}.0000000000000000",
        "maxLmtAmt": "20000000",
        "maxLmtSz": most,
        "maxMktAmt": "" if is_swap else "1000000",
        "maxMktSz": most_at_market,
        "maxStopSz": most_at_market,
        "maxTriggerSz": f"{most}.0000000000000000",
        "maxTwapSz": f"{most}.0000000000000000",
        "minSz": smallest,
        "quoteCcy": "" if is_swap else SETTLE,
        "ruleType": "normal",
        "settleCcy": SETTLE if is_swap else "",
        "state": "live",
        "tickSz": tick,
        "tradeQuoteCcyList": [] if is_swap else [SETTLE],
        "uly": family if is_swap else "",
        "upcChg": [],
    }


INSTRUMENTS: Final[Mapping[str, Mapping[str, Any]]] = {
    row["instId"]: row
    for row in [*(_instrument("SWAP", each) for each in _SWAPS), *(_instrument("SPOT", each) for each in _SPOTS)]
}
BY_CODE: Final[Mapping[int, str]] = {row["instIdCode"]: symbol for symbol, row in INSTRUMENTS.items()}

_ENDED_BY: Final[Mapping[Reason, tuple[str, str]]] = {
    Reason.WOULD_CROSS: ("31", "The post-only order would have taken liquidity"),
    Reason.FILL_OR_KILL: ("13", "The fill-or-kill order could not be filled whole"),
    Reason.IMMEDIATE: ("14", "The remainder of the immediate-or-cancel order"),
    Reason.NO_LIQUIDITY: ("14", "The remainder of the market order"),
    Reason.IMPACT: ("15", "The order price is beyond the price limit"),
    Reason.SELF_TRADE: ("32", "Self trade prevention"),
    Reason.REDUCE_ONLY: ("22", "The position no longer covers the reduce-only order"),
    Reason.REDUCE_ONLY_SIZE: ("22", "The position no longer covers the reduce-only order"),
    Reason.FUNDS: ("0", "Insufficient balance"),
    Reason.MARGIN: ("0", "Insufficient margin"),
}
_ORDER_EMPTY: Final = (
    *("algoClOrdId", "algoId", "attachAlgoClOrdId", "ccy", "pxType", "pxUsd", "pxVol", "quickMgnType"),
    *("slOrdPx", "slTriggerPx", "slTriggerPxType", "source", "stpId", "tpOrdPx", "tpTriggerPx", "tpTriggerPxType"),
)


def contract_size(symbol: str) -> Decimal:
    """Base units in one unit of ``sz``."""
    row = INSTRUMENTS[symbol]
    return decimal_of(row["ctVal"]) * decimal_of(row["ctMult"]) if row["ctVal"] else Decimal(1)


def listing_of(row: Mapping[str, Any]) -> Listing:
    """An instrument as the engine needs it: there sizes are base units."""
    is_swap = row["instType"] == "SWAP"
    step = plain(decimal_of(row["lotSz"]) * contract_size(row["instId"]))
    price_decimals, size_decimals = decimals_of(row["tickSz"]), decimals_of(step)
    maker, taker = FEES[row["instType"]]
    base = row["ctValCcy"] or row["baseCcy"]
    return Listing(
        symbol=row["instId"],
        base=base,
        quote=SETTLE,
        kind="perp" if is_swap else "spot",
        price_decimals=price_decimals,
        size_decimals=size_decimals,
        tick_i=scaled(row["tickSz"], price_decimals),
        lot_i=scaled(step, size_decimals),
        maker_fee=Decimal(maker),
        taker_fee=Decimal(taker),
        initial_margin=1 / decimal_of(row["lever"]) if is_swap else Decimal(1),
        maintenance_margin=Decimal("0.004") if is_swap else Decimal(1),
    )


def side_word(is_ask: bool) -> str:
    return "sell" if is_ask else "buy"


CATEGORIES: Final = {"": "normal", "liquidate": "full_liquidation", "deleverage": "adl"}


class OkxRows:
    """Prints what the engine knows about one account. ``causes`` names a cancelSource where it is not the user's."""

    def __init__(self, engine: MatchingEngine, account: Account, uid: str, first_bill: int, level: str) -> None:
        self._engine = engine
        self.account = account
        self.uid = uid
        self.level = level
        self.causes: dict[int, str] = {}
        self._first_bill = first_bill
        self._last_fill: dict[int, Fill] = {}

    def count(self, symbol: str, size_i: int) -> str:
        """A size in base units as ``sz``: contracts of a swap."""
        return plain(self._engine.listings[symbol].size(size_i) / contract_size(symbol))

    def remember(self, fill: Fill) -> None:
        """The last trade of an order is part of its row."""
        self._last_fill[fill.order_id] = fill

    # -- orders and trades

    def order(self, order: Order) -> dict[str, Any]:
        """An order as REST prints it: its last trade, and totals."""
        row = self._order(order, self._last_fill.get(order.id))
        row["cancelSourceReason"] = self._cause(order)[1]
        return row

    def order_push(self, order: Order, fill: Fill | None, amend_source: str = "") -> dict[str, Any]:
        """An order as the channel prints it: the trade, if any, is this message's own."""
        listing = self._engine.listings[order.symbol]
        row = self._order(order, fill)
        value = listing.size(order.size_i) * self._engine.mark(order.symbol)
        fee_asset = fill.fee_asset if fill else ""
        row |= {
            **dict.fromkeys(("fillPxVol", "fillPxUsd", "fillMarkVol", "fillFwdPx", "fillIdxPx", "msg", "reqId"), ""),
            "amendResult": "0" if amend_source else "",
            "amendSource": amend_source,
            "code": "0",
            "execType": ("M" if fill.is_maker else "T") if fill else "",
            "fillFee": plain(-fill.fee) if fill else "0",
            "fillFeeCcy": fee_asset,
            "fillMarkPx": plain(self._engine.mark(order.symbol)) if fill else "",
            "fillNotionalUsd": plain(listing.notional(fill.price_i, fill.size_i)) if fill else "",
            "fillPnl": "0",
            "lastPx": plain(summary(self._engine, order.symbol).last),
            "notionalUsd": plain(value),
        }
        return row

    def _order(self, order: Order, fill: Fill | None) -> dict[str, Any]:
        listing, notes = self._engine.listings[order.symbol], order.notes
        instrument = INSTRUMENTS[order.symbol]
        is_swap = listing.is_perp
        fee_asset = listing.base if not is_swap and not order.is_ask else listing.quote
        size = self.count(order.symbol, order.size_i) if order.budget is None else plain(order.budget)
        average = order.filled_quote / listing.size(order.filled_i) if order.filled_i else None
        return {
            **dict.fromkeys(_ORDER_EMPTY, ""),
            "accFillSz": self.count(order.symbol, order.filled_i),
            "attachAlgoOrds": [],
            "avgPx": "" if average is None else plain(round(average, listing.price_decimals + 8)),
            "cTime": str(order.created_us // 1000),
            "cancelSource": self._cause(order)[0],
            "category": CATEGORIES[order.origin],
            "clOrdId": "" if order.client_id is None else str(order.client_id),
            "fee": plain(-order.fees),
            "feeCcy": fee_asset,
            "fillPx": plain(listing.price(fill.price_i)) if fill else "",
            "fillSz": self.count(order.symbol, fill.size_i) if fill else "0",
            "fillTime": str(fill.us // 1000) if fill else "",
            "instId": order.symbol,
            "instType": instrument["instType"],
            "isTpLimit": "false",
            "lever": self.lever() if is_swap else "",
            "linkedAlgoOrd": {"algoId": ""},
            "ordId": str(order.id),
            "ordType": notes["ordType"],
            "pnl": "0",
            "posSide": "net" if is_swap else "",
            "px": "" if order.price_i is None else plain(listing.price(order.price_i)),
            "rebate": "0",
            "rebateCcy": listing.quote,
            "reduceOnly": "true" if order.reduce_only else "false",
            "side": side_word(order.is_ask),
            "state": _state(order),
            "stpMode": notes["stpMode"],
            "sz": size,
            "tag": notes["tag"],
            "tdMode": notes["tdMode"],
            "tgtCcy": notes["tgtCcy"],
            # Never "0" where there is none: clients would take it for a trade.
            "tradeId": str(fill.trade_id) if fill else "",
            "tradeQuoteCcy": "" if is_swap else listing.quote,
            "uTime": str(order.updated_us // 1000),
        }

    def _cause(self, order: Order) -> tuple[str, str]:
        if order.state is State.CANCELLED:
            source = self.causes.get(order.id, "1")
            return source, "Order canceled by user" if source == "1" else "Canceled by the countdown"
        if order.state is State.EXPIRED and order.reason:
            return _ENDED_BY[order.reason]
        return "", ""

    def fill(self, fill: Fill, place: int) -> dict[str, Any]:
        """A trade as REST prints it; ``place`` is its number in the engine's list."""
        listing = self._engine.listings[fill.symbol]
        rate = fill.fee / (listing.notional(fill.price_i, fill.size_i) or 1)
        return {
            **dict.fromkeys(("fillFwdPx", "fillIdxPx", "fillMarkVol", "fillPxUsd", "fillPxVol"), ""),
            "billId": str(self._first_bill + place),
            "clOrdId": "" if fill.client_id is None else str(fill.client_id),
            "execType": "M" if fill.is_maker else "T",
            "fee": plain(-fill.fee),
            "feeCcy": fill.fee_asset,
            "feeRate": plain(-round(rate, 8)) if listing.is_perp else "",
            "fillMarkPx": "",
            "fillPnl": "0",
            "fillPx": plain(listing.price(fill.price_i)),
            "fillSz": self.count(fill.symbol, fill.size_i),
            "fillTime": str(fill.us // 1000),
            "instId": fill.symbol,
            "instType": INSTRUMENTS[fill.symbol]["instType"],
            "ordId": str(fill.order_id),
            "posSide": "net",
            "side": side_word(fill.is_ask),
            "subType": "2" if fill.is_ask else "1",
            "tag": self._engine.orders[fill.order_id].notes["tag"],
            "tradeId": str(fill.trade_id),
            "tradeQuoteCcy": "" if listing.is_perp else listing.quote,
            "ts": str(fill.us // 1000 + 1),
        }

    # -- the account

    def config(self, position_mode: str, permissions: str) -> dict[str, Any]:
        """``data[0]`` of /account/config."""
        quiet = ("ip", "labelTmp", "levelTmp", "spotOffsetType", "spotRoleType")
        return {
            **dict.fromkeys(quiet, ""),
            "acctLv": self.level,
            "acctStpMode": "cancel_maker",
            "autoLoan": False,
            "ctIsoMode": "automatic",
            "enableSpotBorrow": False,
            "feeType": "0",
            "greeksType": "PA",
            "kycLv": "3",
            "label": "simulated",
            "level": "Lv1",
            "liquidationGear": "-1",
            "mainUid": self.uid,
            "mgnIsoMode": "automatic",
            "opAuth": "1",
            "perm": permissions,
            "posMode": position_mode,
            "roleType": "0",
            "settleCcy": SETTLE,
            "settleCcyList": [SETTLE],
            "spotBorrowAutoRepay": False,
            "spotTraderInsts": [],
            "stgyType": "0",
            "traderInsts": [],
            "type": "0",
            "uid": self.uid,
        }

    def trade_fee(self, kind: str, now_ms: int) -> dict[str, Any]:
        """A row of /account/trade-fee: a cost is negative."""
        maker, taker = FEES["SWAP" if kind == "SWAP" else "SPOT"]
        rates = {"maker": f"-{maker}", "taker": f"-{taker}"}
        groups = [{"groupId": "1", **rates}]
        return {**rates, "feeGroup": groups, "instType": kind, "level": "Lv1", "ts": str(now_ms)}

    def lever(self) -> str:
        return plain(self.account.leverage or Decimal(1))

    def position(self, symbol: str, us: int, pushed_us: int | None = None) -> dict[str, Any]:
        """A position, flat ones with ``pos`` 0; ``us`` is its last change, ``pushed_us`` for the channel."""
        listing, held = self._engine.listings[symbol], self.account.position(symbol)
        mark = self._engine.mark(symbol)
        size = listing.size(abs(held.net_i))
        profit = self.account.unrealised(listing, mark) if size else ZERO
        notional = size * mark
        average = plain(round(held.cost / size, listing.price_decimals + 8)) if size else ""
        last = self._engine.fills[-1].trade_id if self._engine.fills else 0
        row = {
            **dict.fromkeys(
                (
                    *("availPos", "baseBal", "baseBorrowed", "baseInterest", "bizRefId", "bizRefType", "hedgedPos"),
                    *("clSpotInUseAmt", "deltaBS", "deltaPA", "gammaBS", "gammaPA", "interest", "liab", "liabCcy"),
                    *("maxSpotInUseAmt", "optVal", "pendingCloseOrdLiabVal", "posCcy", "quoteBal", "quoteBorrowed"),
                    *("quoteInterest", "spotInUseAmt", "spotInUseCcy", "thetaBS", "thetaPA", "vegaBS", "vegaPA"),
                    *("liqPx", "margin", "nonSettleAvgPx", "settledPnl"),
                ),
                "",
            ),
            "adl": "1",
            "avgPx": average,
            "bePx": average,
            "cTime": str(us // 1000),
            "ccy": listing.quote,
            "closeOrderAlgo": [],
            "fee": plain(-held.fees),
            "fundingFee": "0",
            "idxPx": plain(mark),
            "imr": plain(notional * self.account.share_of_margin(listing)),
            "instId": symbol,
            "instType": "SWAP",
            "last": plain(summary(self._engine, symbol).last),
            "lever": self.lever(),
            "liqPenalty": "0",
            "markPx": plain(mark),
            "mgnMode": "cross",
            "mgnRatio": "",
            "mmr": plain(notional * listing.maintenance_margin),
            "notionalUsd": plain(notional),
            "pnl": plain(held.realised),
            "pos": self.count(symbol, held.net_i),
            "posId": str(held.id),
            "posSide": "net",
            "realizedPnl": plain(held.realised - held.fees),
            "tradeId": str(last),
            "uTime": str(us // 1000),
            "upl": plain(profit),
            "uplLastPx": plain(profit),
            "uplRatio": "",
            "uplRatioLastPx": "",
            "usdPx": "",
        }
        if pushed_us is not None:
            row["pTime"] = str(pushed_us // 1000)
        return row

    def balance(self, us: int, changed_us: Mapping[str, int], only: str = "") -> dict[str, Any]:
        """
        ``data[0]`` of /account/balance and of the channel ``account``.

        Args:
            changed_us: When each coin's balance last changed.
            only: This coin alone.
        """
        margin = self._engine.margin(self.account.name)
        details, total = [], ZERO
        for asset, held in self.account.balances.items():
            cash = held.free + held.locked
            is_settle = asset == SETTLE
            equity = margin.equity if is_settle else cash
            price = Decimal(1) if is_settle else self._engine.worth(asset)
            total += equity * price
            # A coin that is gone is told once, with 0; lists leave it out.
            if asset != only if only else not cash:
                continue
            available = margin.available if is_settle else held.free
            details.append(
                {
                    **dict.fromkeys(
                        (
                            *("accAvgPx", "borrowFroz", "clSpotInUseAmt", "crossLiab", "interest", "isoLiab", "liab"),
                            *("maxLoan", "maxSpotInUseAmt", "mgnRatio", "openAvgPx", "spotBal", "spotInUseAmt"),
                            *("spotUpl", "spotUplRatio", "totalPnl", "totalPnlRatio", "uplLiab"),
                        ),
                        "",
                    ),
                    **dict.fromkeys(
                        (
                            *("disEq", "fixedBal", "isoEq", "isoUpl", "notionalLever", "rewardBal", "smtSyncEq"),
                            *("spotCopyTradingEq", "spotIsoBal", "stgyEq", "twap"),
                        ),
                        "0",
                    ),
                    "availBal": plain(min(held.free, available)),
                    "availEq": plain(available) if self.level != "1" else "",
                    "cashBal": plain(cash),
                    "ccy": asset,
                    "collateralEnabled": False,
                    "eq": plain(equity),
                    "eqUsd": plain(equity * price),
                    "frozenBal": plain(equity - available),
                    "imr": plain(margin.initial) if is_settle else "0",
                    "mmr": plain(margin.maintenance) if is_settle else "0",
                    "ordFrozen": plain(held.locked),
                    "uTime": str(changed_us.get(asset, 0) // 1000),
                    "upl": plain(margin.unrealised) if is_settle else "0",
                }
            )
        names = (
            *("adjEq", "borrowFroz", "imr", "mgnRatio", "mmr", "notionalUsd", "notionalUsdForBorrow", "ordFroz"),
            *("notionalUsdForFutures", "notionalUsdForOption", "notionalUsdForSwap", "upl"),
        )
        now = str(us // 1000)
        return {**dict.fromkeys(names, ""), "details": details, "isoEq": "0", "totalEq": plain(total), "uTime": now}

    # -- markets

    def levels(self, symbol: str, levels: Any) -> list[list[str]]:
        """(price, size) pairs as the venue prints them: price, amount, "0", number of orders."""
        listing = self._engine.listings[symbol]
        return [
            [
                f"{as_decimal(price, listing.price_decimals):.{listing.price_decimals}f}",
                self.count(symbol, size),
                "0",
                "1" if size else "0",
            ]
            for price, size in levels
        ]

    def book(self, symbol: str, depth: int) -> dict[str, Any]:
        """The best ``depth`` levels of both sides, best first."""
        book = self._engine.books[symbol]
        return {
            "asks": self.levels(symbol, book.asks.ascending()[:depth]),
            "bids": self.levels(symbol, book.bids.ascending()[::-1][:depth]),
            "seqId": book.update_id,
            "ts": str(book.changed_us // 1000),
        }

    def ticker(self, symbol: str) -> dict[str, Any]:
        """What the kept trades add up to; the venue's own covers a day."""
        told, top = summary(self._engine, symbol), self.book(symbol, 1)
        (ask, ask_size, *_), (bid, bid_size, *_) = (*top["asks"], ["", ""])[0], (*top["bids"], ["", ""])[0]
        opened = plain(told.first)
        return {
            "askPx": ask,
            "askSz": ask_size,
            "bidPx": bid,
            "bidSz": bid_size,
            "high24h": plain(told.high),
            "instId": symbol,
            "instType": INSTRUMENTS[symbol]["instType"],
            "last": plain(told.last),
            "lastSz": "0",
            "low24h": plain(told.low),
            "open24h": opened,
            "sodUtc0": opened,
            "sodUtc8": opened,
            "ts": top["ts"],
            "vol24h": plain(told.volume / contract_size(symbol)),
            "volCcy24h": plain(told.volume),
        }

    def price_limit(self, symbol: str) -> tuple[Decimal, Decimal]:
        """Highest price of a buy, lowest of a sell."""
        listing, mark = self._engine.listings[symbol], self._engine.mark(symbol)
        high, low = (round(mark * share, listing.price_decimals) for share in (1 + PRICE_BAND, 1 - PRICE_BAND))
        return high, low


def _state(order: Order) -> str:
    if order.state is State.OPEN:
        return "partially_filled" if order.filled_i else "live"
    return "filled" if order.state is State.FILLED else "canceled"
