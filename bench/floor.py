"""
The floor: the bare primitive and one encoder or decoder, no checks, no types of ours. Nothing in pure Python that is
correct can be much faster, so a ratio to it says how much of our time is ours to save.

Signatures are compared with those of ``../shared/fixtures`` (:func:`assert_vectors`), and the bytes of a floor with our
own (``build_and_sign``), before anything is timed.
"""

from __future__ import annotations

import ctypes
import hmac
import importlib.util
import platform
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from coincurve import PrivateKey
from Crypto.Hash import keccak
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from bench.venues_at_hand import fixture
from venues.lighter.sign import CREATE_ORDER, FIELDS
from venues.lighter.sign import Signer as LighterSigner

SIZE = "0.5"
WINDOW_MS = 5000
DOMAIN = bytes.fromhex("d79297fcdf2ffcd4ae223d01edaa2ba214ff8f401d7c9300d995d17c82aa4040")
AGENT = bytes.fromhex("26f05c2f7239b6983075e58321292d77b3aa173d19b27257ac96ab362570f508")

_json = msgspec.json.Encoder()
_pack = msgspec.msgpack.Encoder()

Build = Callable[[int, str, int], Any]
"""``(client id, price text, Unix milliseconds)`` → what goes on the wire."""
Hear = Callable[[str], None]


# -- B1: one encoder and one signature


def ed25519(secret: bytes, text: bytes) -> str:
    return b64encode(crypto_sign(text, secret)[:64]).decode()


def sha256_hex(secret: bytes, text: bytes) -> str:
    return hmac.digest(secret, text, "sha256").hex()


def sha256_base64(secret: bytes, text: bytes) -> str:
    return b64encode(hmac.digest(secret, text, "sha256")).decode()


def keccak256(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def eip712(key: PrivateKey, head: bytes, connection_id: bytes) -> dict[str, Any]:
    digest = keccak256(b"\x19\x01" + DOMAIN + keccak256(head + connection_id))
    signed = key.sign_recoverable(digest, hasher=None)
    return {"r": "0x" + signed[:32].hex(), "s": "0x" + signed[32:64].hex(), "v": 27 + signed[64]}


def backpack(keys: Mapping[str, Any], symbol: str) -> Build:
    secret = crypto_sign_seed_keypair(b64decode(keys["api_secret"])[:32])[1]
    api_key = keys["api_key"]

    def build(cid: int, price: str, now_ms: int) -> Any:
        body = _json.encode(
            {
                "clientId": cid,
                "orderType": "Limit",
                "postOnly": True,
                "price": price,
                "quantity": SIZE,
                "side": "Bid",
                "symbol": symbol,
                "timeInForce": "GTC",
            }
        )
        text = (
            f"instruction=orderExecute&clientId={cid}&orderType=Limit&postOnly=true&price={price}&quantity={SIZE}"
            f"&side=Bid&symbol={symbol}&timeInForce=GTC&timestamp={now_ms}&window={WINDOW_MS}"
        )
        headers = {"X-API-Key": api_key, "X-Signature": ed25519(secret, text.encode())}
        return body, headers | {"X-Timestamp": str(now_ms), "X-Window": "5000"}

    return build


def binance(keys: Mapping[str, Any], symbol: str) -> Build:
    secret, api_key = keys["api_secret"].encode(), keys["api_key"]

    def build(cid: int, price: str, now_ms: int) -> Any:
        text = (
            f"apiKey={api_key}&newClientOrderId={cid}&newOrderRespType=RESULT&price={price}&quantity={SIZE}"
            f"&recvWindow={WINDOW_MS}&side=BUY&symbol={symbol}&timeInForce=GTX&timestamp={now_ms}&type=LIMIT"
        )
        params = {
            "apiKey": api_key,
            "newClientOrderId": str(cid),
            "newOrderRespType": "RESULT",
            "price": price,
            "quantity": SIZE,
            "recvWindow": WINDOW_MS,
            "side": "BUY",
            "symbol": symbol,
            "timeInForce": "GTX",
            "timestamp": now_ms,
            "type": "LIMIT",
            "signature": sha256_hex(secret, text.encode()),
        }
        return _json.encode({"id": "1", "method": "order.place", "params": params})

    return build


def hyperliquid(keys: Mapping[str, Any], asset: int, *, source: bytes, expiry_ms: int) -> Build:
    key = PrivateKey(bytes.fromhex(keys["private_key"].removeprefix("0x")))
    head = AGENT + keccak256(source)

    def build(cid: int, price: str, now_ms: int) -> Any:
        kind = {"limit": {"tif": "Alo"}}
        order = {"a": asset, "b": True, "p": price, "s": SIZE, "r": False, "t": kind, "c": f"0x{cid:032x}"}
        action = {"type": "order", "orders": [order], "grouping": "na"}
        expires = now_ms + expiry_ms
        data = _pack.encode(action) + now_ms.to_bytes(8, "big") + b"\x00\x00" + expires.to_bytes(8, "big")
        payload = {"action": action, "nonce": now_ms, "signature": eip712(key, head, keccak256(data))}
        payload |= {"vaultAddress": None, "expiresAfter": expires}
        return _json.encode({"method": "post", "id": 1, "request": {"type": "action", "payload": payload}})

    return build


def okx(keys: Mapping[str, Any], symbol: str, tag: str) -> Build:
    secret, api_key, passphrase = keys["api_secret"].encode(), keys["api_key"], keys["passphrase"]

    def build(cid: int, price: str, now_ms: int) -> Any:
        body = _json.encode(
            {
                "instId": symbol,
                "tdMode": "cross",
                "side": "buy",
                "sz": SIZE,
                "clOrdId": str(cid),
                "tag": tag,
                "ordType": "post_only",
                "px": price,
            }
        )
        at = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{now_ms % 1000:03}Z"
        text = f"{at}POST/api/v5/trade/order".encode() + body
        headers = {"OK-ACCESS-KEY": api_key, "OK-ACCESS-SIGN": sha256_base64(secret, text), "OK-ACCESS-TIMESTAMP": at}
        return body, headers | {"OK-ACCESS-PASSPHRASE": passphrase, "expTime": str(now_ms + WINDOW_MS)}

    return build


class _Signed(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_uint8),
        ("info", ctypes.c_void_p),
        ("hash", ctypes.c_void_p),
        ("message", ctypes.c_void_p),
        ("error", ctypes.c_void_p),
    )


def lighter_library() -> str | None:
    """The venue's own signer, as lighter-sdk ships it; None where that is not installed."""
    found = importlib.util.find_spec("lighter")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine())
    if found is None or found.origin is None or machine is None or platform.system() != "Linux":
        return None
    path = Path(found.origin).parent / "signers" / f"lighter-signer-linux-{machine}.so"
    return str(path) if path.exists() else None


def lighter(keys: Mapping[str, Any], market: int, life_ms: int) -> Build:
    """Call it off the main thread: there, each call makes the Go runtime read the process's memory map."""
    library = ctypes.CDLL(lighter_library())
    account, key = int(keys["account_index"]), int(keys["api_key_index"])
    library.CreateClient.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int, ctypes.c_longlong]
    library.CreateClient.restype = ctypes.c_void_p
    library.Free.argtypes = [ctypes.c_void_p]
    i, q, b = ctypes.c_int, ctypes.c_longlong, ctypes.c_uint8
    library.SignCreateOrder.argtypes = [i, q, q, i, i, i, i, i, i, q, q, i, i, b, q, i, q]
    library.SignCreateOrder.restype = _Signed
    failed = library.CreateClient(b"", keys["private_key"].encode(), int(keys["chain_id"]), key, account)
    assert not failed, ctypes.string_at(failed)
    nonce = 0

    def build(cid: int, price: str, now_ms: int) -> Any:
        nonlocal nonce
        nonce += 1
        ticks, expiry = int(price.replace(".", "")) * 10, now_ms + life_ms
        told = library.SignCreateOrder(market, cid, 500, ticks, 0, 0, 2, 0, 0, expiry, 0, 0, 0, 0, nonce, key, account)
        assert not told.error, ctypes.string_at(told.error)
        info = ctypes.string_at(told.info)
        for each in (told.info, told.hash, told.message):
            library.Free(each)
        data = {"id": "rt-1", "tx_type": told.kind, "tx_info": msgspec.Raw(info)}
        return _json.encode({"type": "jsonapi/sendtx", "data": data})

    return build


def assert_vectors() -> list[str]:
    """Compare the primitives with the SDKs' own signatures; returns what was compared, empty without fixtures."""
    compared = []
    told = fixture("backpack/signing_vectors.json")
    if told is None:
        return []
    secret = crypto_sign_seed_keypair(b64decode(told["seed_base64"]))[1]
    for each in told["vectors"]:
        if "headers" in each:
            assert ed25519(secret, each["signing_string"].encode()) == each["headers"]["X-Signature"], each["name"]
    compared.append("backpack")
    told = fixture("binance/auth_vectors.json")
    secret = told["throwaway_credentials"]["hmac_secret"].encode()
    for each in told["vectors"]:
        if each.get("algorithm") == "HMAC-SHA256" and "perp place post-only" in each["name"]:
            assert sha256_hex(secret, each["signed_payload"].encode()) == each["signature"], each["made_by"]
    compared.append("binance")
    told = fixture("hyperliquid/signing_vectors.json")
    (first,) = (each for each in told["vectors"] if each["name"] == "place_limit_alo_cloid_mainnet")
    data = bytes.fromhex(first["msgpack_hex"]) + told["nonce_ms"].to_bytes(8, "big") + b"\x00"
    key = PrivateKey(bytes.fromhex(told["private_key"][2:]))
    made, wanted = eip712(key, AGENT + keccak256(b"a"), keccak256(data)), first["body"]["signature"]
    # The SDK writes r and s without leading zeros.
    assert [int(str(made[n]), 0) for n in "rsv"] == [int(str(wanted[n]), 0) for n in "rsv"]
    assert _pack.encode(first["body"]["action"]).hex() == first["msgpack_hex"]
    compared.append("hyperliquid")
    told = fixture("okx/auth_vectors.json")
    for each in told["vectors"]:
        if "prehash" in each and "sign" in each:
            assert sha256_base64(told["secret"].encode(), each["prehash"].encode()) == each["sign"], each["name"]
    compared.append("okx")
    told = fixture("lighter/signing_vectors.json")
    for each in told["vectors"]:
        if each["tx_type"] == CREATE_ORDER:
            info = msgspec.json.decode(each["tx_info"])
            if info["L2TxAttributes"] is None:
                signer = LighterSigner(told["private_key"], info["AccountIndex"], info["ApiKeyIndex"], each["chain_id"])
                fields = {name: info[name] for name in FIELDS[CREATE_ORDER]}
                made = signer.transaction(CREATE_ORDER, fields, nonce=info["Nonce"], expired_at=info["ExpiredAt"])
                assert made.hash == each["tx_hash"], each["name"]
    compared.append("lighter (hash of the transaction, ours; signatures there are random)")
    return compared


def primitive(venue: str) -> Callable[[], object] | None:
    """The signature of a floor alone, over a text of an order's length; None for Lighter, whose library does it all."""
    text = b"x" * 180
    if venue == "backpack":
        pair = crypto_sign_seed_keypair(bytes(32))[1]
        return lambda: ed25519(pair, text)
    if venue == "binance":
        return lambda: sha256_hex(bytes(64), text)
    if venue == "okx":
        return lambda: sha256_base64(bytes(32), text)
    if venue == "hyperliquid":
        key, head = PrivateKey(b"\x01" * 32), AGENT + keccak256(b"a")
        return lambda: eip712(key, head, keccak256(text))
    return None


# -- B2: decode what is used, and keep it in a dict


class _BackpackOrder(msgspec.Struct):
    c: int
    X: str
    z: str
    l: str = "0"  # noqa: E741 - the venue's name
    t: int | None = None


class _BackpackFrame(msgspec.Struct):
    data: _BackpackOrder


class _BinanceOrder(msgspec.Struct):
    c: str
    X: str
    z: str
    l: str  # noqa: E741 - the venue's name
    t: int


class _BinanceFrame(msgspec.Struct):
    o: _BinanceOrder


class _OkxOrder(msgspec.Struct, rename="camel"):
    cl_ord_id: str
    state: str
    acc_fill_sz: str
    fill_sz: str
    trade_id: str


class _OkxFrame(msgspec.Struct):
    data: list[_OkxOrder]


class _HyperliquidOrder(msgspec.Struct):
    cloid: str
    sz: str


class _HyperliquidStatus(msgspec.Struct):
    order: _HyperliquidOrder
    status: str


class _HyperliquidUpdates(msgspec.Struct, tag_field="channel", tag="orderUpdates"):
    data: list[_HyperliquidStatus]


class _HyperliquidTrade(msgspec.Struct):
    cloid: str
    sz: str
    tid: int


class _HyperliquidTrades(msgspec.Struct):
    fills: list[_HyperliquidTrade]


class _HyperliquidFills(msgspec.Struct, tag_field="channel", tag="userFills"):
    data: _HyperliquidTrades


class _LighterOrder(msgspec.Struct):
    client_order_index: int
    filled_base_amount: str
    status: str


class _LighterTrade(msgspec.Struct):
    trade_id: int
    size: str
    bid_client_id: int


class _LighterFrame(msgspec.Struct):
    orders: dict[str, list[_LighterOrder]] | None = None
    trades: dict[str, list[_LighterTrade]] | None = None


def integer(text: str) -> int:
    """A decimal text whose number of decimals is known beforehand."""
    return int(text.replace(".", ""))


def order_state(venue: str) -> tuple[Hear, dict[int, list[Any]]]:
    """A listener, and the dict that it fills: client id → ``[state, filled by trades, trade ids]``."""
    states: dict[int, list[Any]] = {}

    def take(cid: int, state: str | None, part: str | None, trade: object) -> None:
        kept = states.get(cid)
        if kept is None:
            kept = states[cid] = ["", 0, set()]
        if trade:
            if trade in kept[2]:
                return
            kept[2].add(trade)
            kept[1] += integer(part or "0")
        if state is not None:
            kept[0] = state

    if venue == "backpack":
        read_backpack = msgspec.json.Decoder(_BackpackFrame).decode

        def hear(text: str) -> None:
            row = read_backpack(text).data
            take(row.c, row.X, row.l, row.t)

    elif venue == "binance":
        read_binance = msgspec.json.Decoder(_BinanceFrame).decode

        def hear(text: str) -> None:
            row = read_binance(text).o
            take(int(row.c), row.X, row.l, row.t)

    elif venue == "okx":
        read_okx = msgspec.json.Decoder(_OkxFrame).decode

        def hear(text: str) -> None:
            for row in read_okx(text).data:
                take(int(row.cl_ord_id), row.state, row.fill_sz, row.trade_id)

    elif venue == "hyperliquid":
        read_hyperliquid = msgspec.json.Decoder(_HyperliquidUpdates | _HyperliquidFills).decode

        def hear(text: str) -> None:
            frame = read_hyperliquid(text)
            if isinstance(frame, _HyperliquidUpdates):
                for row in frame.data:
                    take(int(row.order.cloid, 16), row.status, None, None)
            else:
                for trade in frame.data.fills:
                    take(int(trade.cloid, 16), None, trade.sz, trade.tid)

    else:
        read_lighter = msgspec.json.Decoder(_LighterFrame).decode

        def hear(text: str) -> None:
            frame = read_lighter(text)
            for rows in (frame.orders or {}).values():
                for row in rows:
                    take(row.client_order_index, row.status, None, None)
            for trades in (frame.trades or {}).values():
                for trade in trades:
                    take(trade.bid_client_id, None, trade.size, trade.trade_id)

    return hear, states


# -- B5: decode the two best prices


class _Sides(msgspec.Struct):
    b: str
    a: str


class _SidesFrame(msgspec.Struct):
    data: _Sides


class _Px(msgspec.Struct):
    px: str


class _Bbo(msgspec.Struct):
    bbo: tuple[_Px, _Px]


class _BboFrame(msgspec.Struct):
    data: _Bbo


class _Price(msgspec.Struct):
    price: str


class _Ticker(msgspec.Struct):
    b: _Price
    a: _Price


class _TickerFrame(msgspec.Struct):
    ticker: _Ticker


class _Tops(msgspec.Struct):
    bids: list[list[str]]
    asks: list[list[str]]


class _TopsFrame(msgspec.Struct):
    data: list[_Tops]


def top_of_book(venue: str) -> Callable[[str], tuple[int, int]]:
    """Message → ``(bid_i, ask_i)``."""
    if venue == "binance":
        read_sides = msgspec.json.Decoder(_Sides).decode

        def top(text: str) -> tuple[int, int]:
            row = read_sides(text)
            return integer(row.b), integer(row.a)

    elif venue == "backpack":
        read_backpack = msgspec.json.Decoder(_SidesFrame).decode

        def top(text: str) -> tuple[int, int]:
            row = read_backpack(text).data
            return integer(row.b), integer(row.a)

    elif venue == "hyperliquid":
        read_bbo = msgspec.json.Decoder(_BboFrame).decode

        def top(text: str) -> tuple[int, int]:
            bid, ask = read_bbo(text).data.bbo
            return integer(bid.px), integer(ask.px)

    elif venue == "lighter":
        read_ticker = msgspec.json.Decoder(_TickerFrame).decode

        def top(text: str) -> tuple[int, int]:
            row = read_ticker(text).ticker
            return integer(row.b.price), integer(row.a.price)

    else:
        read_tops = msgspec.json.Decoder(_TopsFrame).decode

        def top(text: str) -> tuple[int, int]:
            row = read_tops(text).data[0]
            return integer(row.bids[0][0]), integer(row.asks[0][0])

    return top
