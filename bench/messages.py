"""
Stream messages as each venue sends them (shapes of the captured payloads in ``../shared/fixtures``, with a client id
where the venue's documents have one), made for as many orders as a lap needs.

An order of 0.05 is told in four messages: resting, then filled in parts. Every tenth order's last trade is told twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal

MESSAGES = 4
REPEAT_EVERY = 10
SIZE = "0.05"
PARTS = ("0.01", "0.02", "0.02")
SUMS = ("0.01", "0.03", "0.05")
TWO_PARTS = ("0.02", "0.03")
PRICES = 100
"""Different prices among the orders, a cent apart."""
BORN_MS = 1_767_571_200_000
FIRST_ID = 1_000_001

Told = list[str]


def _price(number: int) -> Decimal:
    return Decimal(14_000 + number * 37 % PRICES).scaleb(-2)


def _fee(number: int, part: str) -> str:
    """0.02 % of what was traded."""
    return str(_price(number) * Decimal(part) * Decimal("0.0002"))


def _text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _backpack(cid: int, symbol: str, number: int) -> Told:
    price = str(_price(number))

    def told(at: int, **more: object) -> str:
        us = (BORN_MS + number) * 1000 + at
        data = {"E": us + 500, "O": "USER", "Q": "7.0495", "S": "Bid", "T": us, "V": "RejectTaker", "c": cid}
        data |= {"f": "GTC", "i": str(cid + 5_000_000), "o": "LIMIT", "p": price, "q": SIZE, "r": False, "s": symbol}
        data |= {"t": None, "y": True, **more}
        return _text({"data": dict(sorted(data.items())), "stream": "account.orderUpdate"})

    frames = [told(0, e="orderAccepted", X="New", Z="0", z="0")]
    for at, (part, total) in enumerate(zip(PARTS, SUMS, strict=True)):
        state = "Filled" if total == SIZE else "PartiallyFilled"
        trade = {"L": price, "N": "USDC", "l": part, "m": True, "n": _fee(number, part), "t": number * 3 + at + 1}
        frames.append(told(at + 1, e="orderFill", X=state, Z="4.2297", z=total, **trade))
    return frames


def _binance(cid: int, symbol: str, number: int) -> Told:
    price = str(_price(number))

    def told(at: int, **more: object) -> str:
        ms = BORN_MS + number * 4 + at
        row = {"s": symbol, "c": str(cid), "S": "BUY", "o": "LIMIT", "f": "GTX", "q": SIZE, "p": price, "ap": "0"}
        row |= {"sp": "0", "x": "NEW", "X": "NEW", "i": cid + 5_000_000, "l": "0", "z": "0", "L": "0", "N": "USDT"}
        row |= {"n": "0", "T": ms, "t": 0, "b": "0", "a": "0", "m": False, "R": False, "wt": "CONTRACT_PRICE"}
        row |= {"ot": "LIMIT", "ps": "BOTH", "cp": False, "AP": "0", "cr": "0", "pP": False, "si": 0, "ss": 0}
        row |= {"rp": "0", "V": "EXPIRE_TAKER", **more}
        return _text({"e": "ORDER_TRADE_UPDATE", "T": ms, "E": ms, "o": row})

    frames = [told(0)]
    for at, (part, total) in enumerate(zip(PARTS, SUMS, strict=True)):
        state = "FILLED" if total == SIZE else "PARTIALLY_FILLED"
        trade = {"l": part, "z": total, "L": price, "ap": price, "n": _fee(number, part), "m": True}
        trade |= {"t": number * 3 + at + 1}
        frames.append(told(at + 1, x="TRADE", X=state, **trade))
    return frames


def _hyperliquid(cid: int, symbol: str, number: int) -> Told:
    oid, ms, price = cid + 5_000_000, BORN_MS + number * 4, str(_price(number))

    def order(status: str, left: str, at: int) -> str:
        row = {"coin": symbol, "side": "B", "limitPx": price, "sz": left, "oid": oid, "timestamp": ms}
        row |= {"origSz": SIZE, "cloid": f"0x{cid:032x}"}
        data = [{"order": row, "status": status, "statusTimestamp": ms + at}]
        return _text({"channel": "orderUpdates", "data": data})

    def trade(part: str, before: str, at: int) -> str:
        row = {"coin": symbol, "px": price, "sz": part, "side": "B", "time": ms + at, "startPosition": before}
        row |= {"dir": "Open Long", "closedPnl": "0.0", "hash": "0x" + "ab" * 32, "oid": oid, "crossed": False}
        row |= {"fee": _fee(number, part), "feeToken": "USDC", "tid": number * 2 + at, "cloid": f"0x{cid:032x}"}
        return _text({"channel": "userFills", "data": {"user": "0x" + "70" * 20, "fills": [row]}})

    first, second = TWO_PARTS
    return [order("open", SIZE, 0), trade(first, "0.0", 1), trade(second, first, 2), order("filled", "0.0", 3)]


def _lighter(cid: int, market: str, number: int, account: int) -> Told:
    index, us, price = cid + 5_000_000, (BORN_MS + number * 4) * 1000, f"{_price(number)}0"

    def order(status: str, filled: str, at: int) -> str:
        row = {"order_index": index, "client_order_index": cid, "order_id": str(index), "client_order_id": str(cid)}
        row |= {"market_index": int(market), "owner_account_index": account, "initial_base_amount": "0.050"}
        row |= {"price": price, "nonce": 9182390020, "remaining_base_amount": "0.000", "is_ask": False}
        row |= {"base_size": 50, "base_price": 140990, "filled_base_amount": filled, "side": "buy", "type": "limit"}
        row |= {"filled_quote_amount": "0.000000", "time_in_force": "post-only", "reduce_only": False}
        row |= {"trigger_price": "0.000", "order_expiry": 1780360584479, "status": status, "trigger_status": "na"}
        row |= {"block_height": 227535532, "timestamp": us // 1000, "transaction_time": us + at}
        row |= {"created_at": us // 1000, "updated_at": us // 1000}
        frame = {"type": "update/account_all_orders", "channel": f"account_all_orders:{account}"}
        return _text(frame | {"orders": {market: [row]}})

    def trade(part: str, at: int) -> str:
        row = {"trade_id": number * 2 + at, "trade_id_str": str(number * 2 + at), "tx_hash": "000000128b1ee814"}
        row |= {"type": "trade", "market_id": int(market), "size": part, "price": price}
        row |= {"usd_amount": f"{_price(number) * Decimal(part):.6f}"}
        row |= {"ask_id": 281476929510102, "bid_id": index, "ask_client_id": 0, "bid_client_id": cid}
        row |= {"ask_account_id": 91249, "bid_account_id": account, "is_maker_ask": False, "block_height": 227535535}
        row |= {"timestamp": us // 1000, "taker_fee": 196, "maker_fee": 28, "transaction_time": us + at}
        frame = {"type": "update/account_all_trades", "channel": f"account_all_trades:{account}"}
        return _text(frame | {"trades": {market: [row]}})

    return [order("open", "0.000", 0), trade("0.020", 1), trade("0.030", 2), order("filled", "0.050", 3)]


def _okx(cid: int, symbol: str, number: int) -> Told:
    price = str(_price(number))

    def told(at: int, **more: object) -> str:
        ms = str(BORN_MS + number * 4 + at)
        row = {"accFillSz": "0", "algoClOrdId": "", "algoId": "", "attachAlgoOrds": [], "avgPx": "", "cTime": ms}
        row |= {"cancelSource": "", "cancelSourceReason": "", "category": "normal", "ccy": "", "clOrdId": str(cid)}
        row |= {"code": "0", "execType": "", "fee": "0", "feeCcy": "USDT", "fillFee": "0", "fillFeeCcy": ""}
        row |= {"fillNotionalUsd": "", "fillPx": "", "fillSz": "0", "fillPnl": "0", "fillTime": "", "instId": symbol}
        row |= {"instType": "SWAP", "lever": "3", "msg": "", "notionalUsd": "7.05", "ordId": str(cid + 5_000_000)}
        row |= {"ordType": "post_only", "pnl": "0", "posSide": "net", "px": price, "rebate": "0", "rebateCcy": "USDT"}
        row |= {"reduceOnly": "false", "reqId": "", "side": "buy", "slOrdPx": "", "slTriggerPx": "", "source": ""}
        row |= {"state": "live", "stpMode": "cancel_maker", "sz": SIZE, "tag": "", "tdMode": "cross", "tgtCcy": ""}
        row |= {"tpOrdPx": "", "tpTriggerPx": "", "tradeId": "", "lastPx": price, "uTime": ms, **more}
        return _text({"arg": {"channel": "orders", "instType": "ANY", "uid": "614488474791936"}, "data": [row]})

    frames = [told(0)]
    for at, (part, total) in enumerate(zip(PARTS, SUMS, strict=True)):
        state = "filled" if total == SIZE else "partially_filled"
        trade = {"accFillSz": total, "fillPx": price, "fillSz": part, "fillFee": "-" + _fee(number, part)}
        trade |= {"state": state, "tradeId": str(number * 3 + at + 1), "execType": "M", "avgPx": price}
        trade |= {"fillFeeCcy": "USDT"}
        frames.append(told(at + 1, **trade, fillTime=str(BORN_MS + number * 4 + at)))
    return frames


_MAKERS: Mapping[str, Callable[[int, str, int], Told]] = {
    "backpack": _backpack,
    "binance": _binance,
    "hyperliquid": _hyperliquid,
    "okx": _okx,
}


def order_messages(venue: str, name: str, orders: int, account: int = 0) -> list[Told]:
    """Four (five with the repeated trade) messages for each of ``orders``; ``name`` is the market as streams say it."""
    told = []
    for number in range(orders):
        cid = FIRST_ID + number
        frames = _lighter(cid, name, number, account) if venue == "lighter" else _MAKERS[venue](cid, name, number)
        if number % REPEAT_EVERY == 0:
            # The second to last is a trade everywhere; told again after the end it must change nothing.
            frames.append(frames[2])
        told.append(frames)
    return told


def book_messages(venue: str, name: str, count: int) -> list[str]:
    """Best prices, each different from the one before: bid 140.00 and up, ask one cent above."""
    told = []
    for number in range(count):
        bid, ask, ms = f"14{number % 10}.{number % 90:02}", f"14{number % 10}.{number % 90 + 1:02}", BORN_MS + number
        if venue == "backpack":
            data = {"A": "22.39", "B": "288.77", "E": ms * 1000 + 9, "T": ms * 1000, "a": ask, "b": bid}
            frame: object = {
                "data": data | {"e": "bookTicker", "s": name, "u": 4330360995 + number},
                "stream": f"bookTicker.{name}",
            }
        elif venue == "binance":
            frame = {"e": "bookTicker", "u": 400900217 + number, "E": ms, "T": ms, "s": name, "b": bid, "B": "31.21"}
            frame |= {"a": ask, "A": "40.66", "st": 1, "ps": name}
        elif venue == "hyperliquid":
            best = [{"px": bid, "sz": "22.61", "n": 81}, {"px": ask, "sz": "0.16", "n": 1}]
            frame = {"channel": "bbo", "data": {"coin": name, "time": ms, "bbo": best}}
        elif venue == "lighter":
            sides = {"a": {"price": ask + "0", "size": "99.000"}, "b": {"price": bid + "0", "size": "0.020"}}
            frame = {"channel": f"ticker:{name}", "last_updated_at": ms * 1000, "nonce": 904895 + number}
            frame |= {"ticker": sides | {"last_updated_at": ms * 1000, "s": "SOL"}, "timestamp": ms}
            frame |= {"type": "update/ticker"}
        else:
            row = {"asks": [[ask, "55154", "0", "2"]], "bids": [[bid, "57745", "0", "2"]], "ts": str(ms)}
            row |= {"seqId": 363996337 + number}
            frame = {"arg": {"channel": "bbo-tbt", "instId": name}, "data": [row]}
        told.append(_text(frame))
    return told
