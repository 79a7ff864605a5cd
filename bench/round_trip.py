"""
B3: submit to acknowledgement over loopback, one order after the other, on our own simulators in a process of their
own: Backpack over REST, Binance over its order stream. No TLS, no journal: connector against client library.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import msgspec
import uvloop

from bench import floor, peers
from bench.laps import Spread, now, spread_of
from bench.venues_at_hand import AtHand, simulators
from core.chance import Chance
from core.clock import SystemClock
from core.precision import scaled
from venues.connector import Connector
from venues.transport import Transport
from venues.wire import SocketWire

ORDERS = 25
PRICE = "130.11"
LOOPS: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
"""The second is what plays run on."""

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


@asynccontextmanager
async def connected(at: AtHand) -> AsyncIterator[tuple[Connector, Submit]]:
    """Our connector, started, and its order; its rate budget is kept, but too wide to wait for."""
    connector = Connector(at.dialect, at.endpoints, SocketWire(), SystemClock(), Chance(1))
    market = at.market
    size_i, price_i = scaled(floor.SIZE, market.size_decimals), scaled(PRICE, market.price_decimals)

    def submit(client_id: int) -> Awaitable[object]:
        return connector.submit_limit_order(
            symbol=at.symbol,
            client_order_index=client_id,
            base_amount=size_i,
            price=price_i,
            is_ask=False,
            post_only=True,
        )

    await connector.start()
    try:
        limits = at.dialect.rates.limits
        connector._budget.allow([msgspec.structs.replace(limit, most=limit.most * 1_000) for limit in limits])
        yield connector, submit
    finally:
        await connector.stop()


async def _round(submit: Submit, first: int) -> float:
    """Median of one round."""
    taken = []
    for client_id in range(first, first + ORDERS):
        began = now()
        await submit(client_id)
        taken.append(now() - began)
    return statistics.median(taken)


async def _race(
    at: AtHand, connector: Connector, contestants: Mapping[str, Submit], first: int, rounds: int
) -> dict[str, Spread]:
    told: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(-1, rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            median = await _round(contestants[name], first)
            first += ORDERS
            await connector.cancel_all(at.symbol)
            # The first round warms the connections and counts for nobody.
            if number >= 0:
                told[name].append(median)
    return {name: spread_of(medians) for name, medians in told.items()}


async def _over_rest(at: AtHand, first: int, rounds: int) -> dict[str, Spread]:
    import ccxt.async_support
    import httpx

    clock, rest = SystemClock(), at.told["rest"]
    build, symbol = floor.backpack(at.told["credentials"], at.symbol), peers.ccxt_symbol(at.name)
    address = httpx.URL(rest + "/api/v1/order")
    params = {"postOnly": True}

    async def by_hand(client_id: int) -> object:
        body, headers = build(client_id, PRICE, clock.now_ms())
        return await bare.post("/api/v1/order", body, headers)

    def by_httpx(client: httpx.AsyncClient) -> Submit:
        async def submit(client_id: int) -> object:
            body, headers = build(client_id, PRICE, clock.now_ms())
            told = await client.post(address, content=body, headers=headers | {"Content-Type": "application/json"})
            assert told.status_code == 200, told.text
            return told.content

        return submit

    def by_transport(transport: httpx.AsyncBaseTransport) -> Submit:
        async def submit(client_id: int) -> object:
            body, headers = build(client_id, PRICE, clock.now_ms())
            headers = headers | {"Content-Type": "application/json"}
            told = await transport.handle_async_request(httpx.Request("POST", address, headers=headers, content=body))
            assert told.status_code == 200
            return await told.aread()

        return submit

    def by_ccxt(client_id: int) -> Awaitable[object]:
        told: Awaitable[object] = exchange.create_order(
            symbol, "limit", "buy", float(floor.SIZE), float(PRICE), params | {"clientOrderId": str(client_id)}
        )
        return told

    async with AsyncExitStack() as opened:
        connector, ours = await opened.enter_async_context(connected(at))
        bare = BareHttp(rest)
        await bare.open()
        opened.callback(bare.close)
        contestants: dict[str, Submit] = {"raw HTTP": by_hand}
        client = await opened.enter_async_context(httpx.AsyncClient(trust_env=False))
        contestants["httpx"] = by_httpx(client)
        with suppress(ImportError):
            from httpx_aiohttp import AiohttpTransport

            over = await opened.enter_async_context(httpx.AsyncClient(transport=AiohttpTransport(), trust_env=False))
            contestants["httpx over httpx-aiohttp"] = by_httpx(over)
            contestants["httpx-aiohttp's transport"] = by_transport(over._transport)
        own = Transport(httpx.create_ssl_context, keep_secs=30, max_reply_bytes=1 << 24)
        opened.push_async_callback(own.aclose)
        contestants["our transport"] = by_transport(own)
        contestants["ours"] = ours
        exchange = peers.configure(ccxt.async_support.backpack(), at.name, at.told)
        opened.push_async_callback(exchange.close)
        await exchange.load_markets()
        contestants["ccxt async"] = by_ccxt
        return await _race(at, connector, contestants, first, rounds)


@asynccontextmanager
async def _sdk_stream(at: AtHand) -> AsyncIterator[Any]:
    """The exchange's own client, on its order stream. Raises ImportError where it is not installed."""
    from binance_common.configuration import ConfigurationWebSocketAPI
    from binance_sdk_derivatives_trading_usds_futures import DerivativesTradingUsdsFutures

    keys = {name: at.told["credentials"][name] for name in ("api_key", "api_secret")}
    settings = ConfigurationWebSocketAPI(**keys, stream_url=at.told["ws"] + "/ws-fapi/v1")
    api = await DerivativesTradingUsdsFutures(config_ws_api=settings).websocket_api.create_connection()
    try:
        yield api
    finally:
        await api.close_connection(close_session=True)


async def _over_stream(at: AtHand, first: int, rounds: int) -> dict[str, Spread]:
    from websockets.asyncio.client import connect

    clock, build = SystemClock(), floor.binance(at.told["credentials"], at.symbol.removesuffix("_PERP"))
    line = at.dialect.order_line(at.symbol)
    assert line is not None
    async with AsyncExitStack() as opened:
        connector, ours = await opened.enter_async_context(connected(at))
        address = connector._streams.address(line)
        bare = await opened.enter_async_context(connect(await address, compression=None, proxy=None))

        async def by_hand(client_id: int) -> object:
            await bare.send(build(client_id, PRICE, clock.now_ms()).decode())
            told = await bare.recv()
            assert '"status":200' in str(told), told
            return told

        contestants: dict[str, Submit] = {"websockets alone": by_hand, "ours": ours}
        with suppress(ImportError):
            api = await opened.enter_async_context(_sdk_stream(at))
            contestants["SDK"] = lambda client_id: api.new_order(
                symbol="SOLUSDT",
                side="BUY",
                type="LIMIT",
                time_in_force="GTX",
                quantity=float(floor.SIZE),
                price=float(PRICE),
                new_client_order_id=str(client_id),
                new_order_resp_type="RESULT",
            )
        return await _race(at, connector, contestants, first, rounds)


RACES = {"backpack": _over_rest, "binance": _over_stream}


def measure(rounds: int) -> dict[str, dict[str, dict[str, Spread]]]:
    """By venue and event loop: p50 of each round; the best and the median of those."""
    told: dict[str, dict[str, dict[str, Spread]]] = {}
    with simulators(*RACES, limits=False) as served:
        for venue, race in RACES.items():
            for number, (loop, make) in enumerate(LOOPS.items()):
                first = 1_000 + 1_000_000 * number
                with asyncio.Runner(loop_factory=make) as runner:
                    told.setdefault(venue, {})[loop] = runner.run(race(AtHand(venue, served[venue]), first, rounds))
    return told
