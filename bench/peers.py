"""
The peers, unmodified: ccxt and the exchanges' own clients, set up on our simulators as in ``tests/conformance`` and
then cut off where they would send. What runs is everything before the first byte leaves.
"""

from __future__ import annotations

import asyncio
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from bench.floor import SIZE, lighter_library
from bench.venues_at_hand import AtHand, Told

Build = Callable[[int, str, int], object]

QUOTES: Mapping[str, str] = {"binance": "USDT", "okx": "USDT"}


class Cut(Exception):
    """Raised in the place of sending."""


reached = 0
"""How often a peer came to where it would have sent."""


def _cut(*_: object, **__: object) -> Any:
    global reached
    reached += 1
    raise Cut


def _checked(build: Build) -> Build:
    """``build`` after one trial, which must get as far as sending and give a result or the cut."""
    before = reached
    assert build(999_999, "130.11", 0) is not None or reached > before, "a peer never came to send"
    return build


def ccxt_symbol(venue: str) -> str:
    quote = QUOTES.get(venue, "USDC")
    return f"SOL/{quote}:{quote}"


def configure(exchange: Any, venue: str, told: Told) -> Any:
    """Point a ccxt exchange (blocking or not) at a simulator."""
    keys, rest = told["credentials"], told["rest"]
    exchange.enableRateLimit = False
    api = exchange.urls["api"]
    if venue == "hyperliquid":
        exchange.walletAddress, exchange.privateKey = keys["address"], keys["private_key"]
        api["public"] = api["private"] = rest
    elif venue == "lighter":
        account, key = str(keys["account_index"]), str(keys["api_key_index"])
        exchange.urls["api"] = dict.fromkeys(("root", "public", "private"), rest)
        exchange.options |= {
            "accountIndex": int(account),
            "apiKeyIndex": int(key),
            "libraryPath": lighter_library(),
            "chainId": keys["chain_id"],
            "auths": {account: {key: {"lighterPrivateKey": keys["private_key"]}}},
            "builderFee": True,
            "approvedBuilderFee": True,
            "integratorAccountIndex": 0,
            "integratorTakerFee": 0,
            "integratorMakerFee": 0,
        }
    else:
        exchange.apiKey, exchange.secret = keys["api_key"], keys["api_secret"]
        if venue == "backpack":
            api["public"] = api["private"] = rest
        elif venue == "okx":
            exchange.password, api["rest"] = keys["passphrase"], rest
        else:
            for version in ("", "V2", "V3"):
                for side in ("fapiPublic", "fapiPrivate"):
                    api[side + version] = f"{rest}/fapi/{version.lower() or 'v1'}"
            exchange.options |= {"fetchMarkets": {"types": ["linear"]}, "fetchMargins": False}
            exchange.options |= {"defaultType": "swap", "fetchCurrencies": False}
    return exchange


def ccxt_build(at: AtHand) -> Build:
    """ccxt's ``create_order`` up to its ``fetch``."""
    import ccxt

    kind = "binanceusdm" if at.name == "binance" else at.name
    exchange = configure(getattr(ccxt, kind)(), at.name, at.told)
    exchange.session.trust_env = False
    symbol, nonce = ccxt_symbol(at.name), 0

    def build(cid: int, price: str, now_ms: int) -> None:
        nonlocal nonce
        nonce += 1
        client_id: object = f"0x{cid:032x}" if at.name == "hyperliquid" else cid if at.name == "lighter" else str(cid)
        params: dict[str, object] = {"postOnly": True, "clientOrderId": client_id}
        if at.name == "lighter":
            # -1: 28 days, the library's own default; ccxt's is refused for a post-only order.
            params |= {"nonce": nonce, "orderExpiry": -1}
        with suppress(Cut):
            exchange.create_order(symbol, "limit", "buy", float(SIZE), float(price), params)

    exchange.load_markets()
    if at.name == "hyperliquid":
        # What it asks of the venue once, before its first order.
        exchange.initialize_client()
    exchange.fetch = _cut
    return _checked(build)


class _Heard:
    """What ccxt.pro's handlers see of a connection, without any."""

    url = "ws://nowhere/private"

    def __init__(self) -> None:
        self.subscriptions: dict[str, object] = {}
        self.futures: dict[str, object] = {}
        self.told = 0

    def resolve(self, result: object, *_: object) -> object:
        self.told += 1
        return result

    def reject(self, error: Exception, *_: object) -> None:
        raise error


def ccxt_reader(at: AtHand) -> Callable[[Sequence[str]], Callable[[str], object] | None]:
    """
    ccxt.pro's handlers from the message's text on. Made while the simulator is up, to read the markets; then given
    messages to try, it returns the reader, or None where it has no handler for such messages or fails on them.
    """
    import ccxt
    import ccxt.pro

    kind = "binanceusdm" if at.name == "binance" else at.name
    plain = configure(getattr(ccxt, kind)(), at.name, at.told)
    plain.session.trust_env = False
    plain.load_markets()

    def begin(trial: Sequence[str]) -> Callable[[str], object] | None:
        exchange, line = getattr(ccxt.pro, kind)(), _Heard()
        exchange.set_markets(plain.markets)

        def read(text: str) -> object:
            return exchange.handle_message(line, json.loads(text))

        try:
            for text in trial:
                read(text)
        except ValueError:
            # Lighter: it takes the venue's milliseconds for seconds.
            return None
        return read if line.told >= len(trial) else None

    return begin


def _backpack(at: AtHand) -> Build:
    from bpx.base.base_account import BaseAccount
    from bpx.constants.enums import OrderTypeEnum, TimeInForceEnum

    keys = at.told["credentials"]
    account = BaseAccount(keys["api_key"], keys["api_secret"], 5000, False)

    def build(cid: int, price: str, now_ms: int) -> object:
        made = account.execute_order(
            at.symbol,
            "Bid",
            OrderTypeEnum.LIMIT,
            TimeInForceEnum.GTC,
            quantity=SIZE,
            price=price,
            client_id=cid,
            post_only=True,
        )
        return json.dumps(made.data), made.headers

    return build


def _binance(at: AtHand) -> Build:
    from binance_common.configuration import ConfigurationRestAPI
    from binance_sdk_derivatives_trading_usds_futures import DerivativesTradingUsdsFutures

    keys = at.told["credentials"]
    settings = ConfigurationRestAPI(
        api_key=keys["api_key"], api_secret=keys["api_secret"], base_path=at.told["rest"], retries=0
    )
    client = DerivativesTradingUsdsFutures(config_rest_api=settings)
    import requests

    class CutSession(requests.Session):
        request = _cut

    for holder in (client.rest_api, getattr(client.rest_api, "_tradeApi", None)):
        for name in ("_session", "session"):
            if holder is not None and isinstance(getattr(holder, name, None), requests.Session):
                setattr(holder, name, CutSession())

    def build(cid: int, price: str, now_ms: int) -> None:
        with suppress(Cut):
            client.rest_api.new_order(
                symbol="SOLUSDT",
                side="BUY",
                type="LIMIT",
                time_in_force="GTX",
                quantity=float(SIZE),
                price=float(price),
                new_client_order_id=str(cid),
            )

    return build


def _hyperliquid(at: AtHand) -> Build:
    import eth_account
    from hyperliquid.exchange import Exchange
    from hyperliquid.utils.types import Cloid

    keys = at.told["credentials"]
    wallet = eth_account.Account.from_key(keys["private_key"])
    exchange = Exchange(wallet, at.told["rest"], account_address=keys["address"], timeout=3)
    exchange.post = lambda path, payload: json.dumps(payload)

    def build(cid: int, price: str, now_ms: int) -> object:
        kind = {"limit": {"tif": "Alo"}}
        return exchange.order("SOL", True, float(SIZE), float(price), kind, cloid=Cloid.from_int(cid))

    return build


def _lighter(at: AtHand) -> Build:
    import lighter

    keys = at.told["credentials"]

    async def make() -> Any:
        made = lighter.SignerClient(
            at.told["rest"], keys["account_index"], {keys["api_key_index"]: keys["private_key"]}
        )
        made.chain_id = keys["chain_id"]
        made.create_client(keys["api_key_index"])
        await made.close()
        return made

    client, nonce, key = asyncio.run(make()), 0, keys["api_key_index"]

    def build(cid: int, price: str, now_ms: int) -> object:
        nonlocal nonce
        nonce += 1
        ticks = int(price.replace(".", "")) * 10
        return client.sign_create_order(2, cid, 500, ticks, False, 0, 2, nonce=nonce, api_key_index=key)

    return build


def _okx(at: AtHand) -> Build:
    import httpx
    from okx.Trade import TradeAPI

    keys = at.told["credentials"]
    # It asks for HTTP/2, which needs one more package; nothing is sent, so plain HTTP does.
    begin = httpx.Client.__init__
    httpx.Client.__init__ = lambda self, *args, http2=False, **more: begin(self, *args, **more)  # type: ignore[method-assign]
    try:
        api = TradeAPI(keys["api_key"], keys["api_secret"], keys["passphrase"], None, "0", at.told["rest"])
    finally:
        httpx.Client.__init__ = begin  # type: ignore[method-assign]
    api.post = _cut

    def build(cid: int, price: str, now_ms: int) -> None:
        with suppress(Cut):
            api.place_order(at.symbol, "cross", "buy", "post_only", SIZE, clOrdId=str(cid), px=price)

    return build


_SDKS: Mapping[str, Callable[[AtHand], Build]] = {
    "backpack": _backpack,
    "binance": _binance,
    "hyperliquid": _hyperliquid,
    "lighter": _lighter,
    "okx": _okx,
}


def sdk_build(at: AtHand) -> Build:
    """The venue's own client (the community's, for Backpack) up to where it would send."""
    os.environ["NO_PROXY"] = "127.0.0.1"
    warnings.simplefilter("ignore")
    return _checked(_SDKS[at.name](at))
