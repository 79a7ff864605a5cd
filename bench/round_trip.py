"""
B3: submit to acknowledgement over loopback, one order after the other, on our own Backpack simulator in a process of
its own. No TLS, no journal: connector against client library.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from bench import floor, peers
from bench.laps import Spread, now, spread_of
from bench.venues_at_hand import AtHand, simulators
from core.chance import Chance
from core.clock import SystemClock
from core.precision import scaled
from venues.connector import Connector
from venues.wire import SocketWire

ORDERS = 100
PRICE = "130.11"

Submit = Callable[[int], Awaitable[object]]


class BareHttp:
    """One kept connection: write the request, read the answer by its length. The floor of REST over asyncio."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
        head = f"POST {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nContent-Type: application/json\r\n"
        self._writer.write(f"{head}{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        told = await self._reader.readuntil(b"\r\n\r\n")
        assert told.startswith(b"HTTP/1.1 200"), told
        length = next(line for line in told.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return await self._reader.readexactly(int(length.partition(b":")[2]))

    def close(self) -> None:
        self._writer.close()


async def _round(submit: Submit, first: int) -> float:
    """Median of one round."""
    taken = []
    for client_id in range(first, first + ORDERS):
        began = now()
        await submit(client_id)
        taken.append(now() - began)
    return statistics.median(taken)


async def _race(at: AtHand, rounds: int) -> dict[str, Spread]:
    import ccxt.async_support
    import httpx

    clock, market = SystemClock(), at.market
    connector = Connector(at.dialect, at.endpoints, SocketWire(), clock, Chance(1))
    exchange = peers.configure(ccxt.async_support.backpack(), at.name, at.told)
    bare, build = BareHttp(at.told["rest"]), floor.backpack(at.told["credentials"], at.symbol)
    size_i, price_i = scaled(floor.SIZE, market.size_decimals), scaled(PRICE, market.price_decimals)
    symbol = peers.ccxt_symbol(at.name)
    params = {"postOnly": True}

    def ours(client_id: int) -> Awaitable[object]:
        return connector.submit_limit_order(
            symbol=at.symbol,
            client_order_index=client_id,
            base_amount=size_i,
            price=price_i,
            is_ask=False,
            post_only=True,
        )

    def by_ccxt(client_id: int) -> Awaitable[object]:
        told: Awaitable[object] = exchange.create_order(
            symbol, "limit", "buy", float(floor.SIZE), float(PRICE), params | {"clientOrderId": str(client_id)}
        )
        return told

    def by_hand(client_id: int) -> Awaitable[object]:
        body, headers = build(client_id, PRICE, clock.now_ms())
        return bare.post("/api/v1/order", body, headers)

    async def by_httpx(client_id: int) -> object:
        body, headers = build(client_id, PRICE, clock.now_ms())
        told = await client.post("/api/v1/order", content=body, headers=headers | {"Content-Type": "application/json"})
        assert told.status_code == 200, told.text
        return told.content

    client = httpx.AsyncClient(base_url=at.told["rest"], trust_env=False)
    contestants: dict[str, Submit] = {"raw HTTP": by_hand, "httpx alone": by_httpx, "ours": ours, "ccxt async": by_ccxt}
    told: dict[str, list[float]] = {name: [] for name in contestants}
    await connector.start()
    try:
        await bare.open()
        await exchange.load_markets()
        first, names = 1_000, list(contestants)
        for number in range(-1, rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                median = await _round(contestants[name], first)
                first += ORDERS
                await connector.cancel_all(at.symbol)
                # The first round warms the connections and counts for nobody.
                if number >= 0:
                    told[name].append(median)
    finally:
        bare.close()
        await client.aclose()
        await exchange.close()
        await connector.stop()
    return {name: spread_of(medians) for name, medians in told.items()}


def measure(rounds: int) -> dict[str, Spread]:
    """p50 of each round; the best and the median of those."""
    with simulators("backpack") as told:
        return asyncio.run(_race(AtHand("backpack", told["backpack"]), rounds))
