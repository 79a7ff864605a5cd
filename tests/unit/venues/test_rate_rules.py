"""The rate limits of each room, held against the sheets' figures; and that every request of a dialect has its cost."""

from __future__ import annotations

import pytest

from tests.contract.arms import ROOMS, Stack, play
from venues.binance import encode as binance
from venues.binance.facts import Rates as BinanceRates
from venues.dialect import HttpCall, HttpReply, RateRules
from venues.hyperliquid import encode as hyperliquid
from venues.hyperliquid.facts import Rates as HyperliquidRates
from venues.lighter.facts import Rates as LighterRates
from venues.okx import encode as okx
from venues.okx.facts import Rates as OkxRates


def limits(rates: RateRules) -> dict[str, tuple[int, float]]:
    return {limit.name: (limit.most, limit.per_secs) for limit in rates.limits}


def costs(rates: RateRules, call: HttpCall) -> dict[str, int]:
    return dict(rates.cost(call))


def test_binance_weighs_as_its_sheet_says():
    """[venue] Section 9: weights of futures and spot, 2400 and 6000 a minute, order pools by product."""
    rates = BinanceRates()
    assert limits(rates)["fapi weight"] == (2_400, 60)
    assert limits(rates)["api weight"] == (6_000, 60)
    assert limits(rates)["fapi orders 10s"] == (300, 10)
    perps, spots = binance.all_open_orders()
    wanted = {
        "fapi weight": [
            (binance.perp_account(), 5),
            (binance.positions(), 5),
            (binance.position_mode(), 30),
            (binance.countdown("SOLUSDT_PERP", 120), 10),
            (binance.listen_key("PUT"), 1),
            (binance.open_orders("SOLUSDT_PERP"), 1),
            (perps, 40),
            (binance.order_fills("SOLUSDT_PERP", "1"), 5),
            (binance.order_call("GET", "SOLUSDT_PERP", ()), 1),
            (binance.perp_markets(), 1),
            (binance.book_ticker("SOLUSDT_PERP"), 2),
        ],
        "api weight": [
            (binance.spot_account(), 20),
            (binance.spot_markets(), 20),
            (binance.order_call("GET", "SOLUSDT", ()), 4),
            (spots, 80),
        ],
    }
    for name, calls in wanted.items():
        for call, weight in calls:
            assert costs(rates, call) == {name: weight}, call
    assert dict(rates.order_cost("SOLUSDT_PERP", cancel=False, rest=False)) == {
        "fapi orders 10s": 1,
        "fapi orders 1m": 1,
    }
    assert dict(rates.order_cost("SOLUSDT_PERP", cancel=True, rest=True)) == {"fapi weight": 1}


def test_binance_learns_its_limits_and_reads_its_counts():
    """[venue] rateLimits of exchangeInfo; X-MBX-USED-WEIGHT-1M and X-MBX-ORDER-COUNT of an answer."""
    rates = BinanceRates()
    row = b'{"rateLimitType":"%s","interval":"%s","intervalNum":%d,"limit":%d}'
    rows = [row % each for each in ((b"REQUEST_WEIGHT", b"MINUTE", 1, 1_800), (b"ORDERS", b"SECOND", 10, 77))]
    rates.learn("fapi", b'{"rateLimits":[' + b",".join(rows) + b"]}")
    assert limits(rates)["fapi weight"] == (1_800, 60)
    assert limits(rates)["fapi orders 10s"] == (77, 10)
    for nonsense in (b"", b"[]", b'{"rateLimits":[{"rateLimitType":"ORDERS","interval":"EON","intervalNum":1}]}'):
        rates.learn("fapi", nonsense)
    assert limits(rates)["fapi weight"] == (1_800, 60)
    headers = {"x-mbx-used-weight-1m": "312", "x-mbx-order-count-10s": "4", "x-mbx-used-weight": "312", "date": "x"}
    call = binance.order_call("POST", "SOLUSDT_PERP", ())
    told = rates.counts(call, HttpReply(200, b"", {**headers, "x-mbx-order-count-1m": "-5"}))
    assert {(count.limit, count.used) for count in told} == {("fapi weight", 312), ("fapi orders 10s", 4)}


def test_okx_has_a_limit_for_each_request():
    """[venue] Sheet, "Limits": 60 in 2 s for orders, cancels, queries; 5 for config; 1 a second for the switch."""
    rates = OkxRates()
    figures = limits(rates)
    for call, most, secs in (
        (okx.cancel("SOL-USDT-SWAP", 1), 60, 2),
        (okx.order("SOL-USDT-SWAP", 1), 60, 2),
        (okx.open_orders(None, ""), 60, 2),
        (okx.config(), 5, 2),
        (okx.positions(), 10, 2),
        (okx.balance(), 10, 2),
        (okx.server_time(), 10, 2),
        (okx.cancel_all_after("SOL-USDT-SWAP", 30), 1, 1),
    ):
        ((name, weight),) = costs(rates, call).items()
        assert (figures[name], weight) == ((most, secs), 1)
    placed, cancelled = (rates.order_cost("SOL-USDT-SWAP", cancel=cancel, rest=False) for cancel in (False, True))
    assert placed != cancelled


@pytest.mark.parametrize(
    ("status", "body", "throttled"),
    [
        (200, b'{"code":"50011","msg":"Rate limit reached.","data":[]}', True),
        (429, b'{"code":"50011","msg":"Too Many Requests"}', True),
        (429, b"<html>", True),
        (200, b'{"id":"7","op":"order","code":"50011","msg":"","data":[]}', True),
        (200, b'{"id":"7","op":"order","code":"1","data":[{"sCode":"50061","sMsg":""}]}', True),
        (200, b'{"code":"0","data":[{"clOrdId":"50011"}]}', False),
        (200, b'{"code":"0","data":[' + b" " * 600 + b'{"code":"50011"}]}', False),
        (503, b'{"code":"50001"}', False),
    ],
)
def test_okx_tells_a_breach_with_http_200_too(status: int, body: bytes, throttled: bool):
    """[venue] 50011 comes with HTTP 200 or 429 (fixtures/okx/error_codes.json); 50061 is of the sub-account."""
    assert OkxRates().throttled(HttpReply(status, body)) is throttled


def test_lighter_tells_a_breach_by_its_code():
    """[venue] 23000 "Too Many Requests!" and its relatives (fixtures/lighter/error_codes.json)."""
    rates = LighterRates()
    assert rates.throttled(HttpReply(400, b'{"code":23000,"message":"Too Many Requests!"}'))
    assert rates.throttled(HttpReply(429, b""))
    assert not rates.throttled(HttpReply(400, b'{"code":21120,"message":"invalid signature"}'))
    assert not rates.throttled(HttpReply(200, b'{"code":200,"volume_quota_remaining":23000}'))


def test_hyperliquid_weighs_history_by_its_rows():
    """[venue] 2 for books and states, 60 for the role, 20 for the rest and one more for each 20 rows of history."""
    rates = HyperliquidRates()
    for kind, weight in (("l2Book", 2), ("clearinghouseState", 2), ("userRole", 60), ("meta", 20), ("userFills", 20)):
        assert costs(rates, hyperliquid.info(kind)) == {"weight": weight}
    assert costs(rates, hyperliquid.cancel_by_oid([(5, n) for n in range(80)])) == {"weight": 3}
    rows = HttpReply(200, b"[" + b",".join([b'{"coin":"SOL","oid":1}'] * 100) + b"]")
    assert [count.more for count in rates.counts(hyperliquid.info("userFillsByTime"), rows)] == [5]
    assert list(rates.counts(hyperliquid.info("meta"), rows)) == []


@pytest.mark.parametrize("venue", ROOMS)
def test_every_request_of_a_whole_session_has_a_cost(venue: str, monkeypatch: pytest.MonkeyPatch):
    """[ours] Start, order, cancel, look-up, fills, readings, dead-man's switch: nothing leaves uncounted."""

    async def body(opened: Stack) -> None:
        rates, free = opened.dialect.rates, []
        real = type(rates).cost

        def cost(self: RateRules, call: HttpCall):
            found = real(self, call)
            assert {each.limit for each in found} <= {limit.name for limit in rates.limits}
            if not found:
                free.append(f"{call.method} {call.path}")
            return found

        monkeypatch.setattr(type(rates), "cost", cost)
        await opened.start()
        order = await opened.rest()
        assert await opened.desk.settle(order) == 0
        await opened.take()
        await opened.take(is_ask=True, reduce_only=True)
        feed, symbol = opened.connector, opened.market.venue_symbol
        await feed.get_open_orders()
        await feed.get_order_fills(symbol, order.client_id)
        await feed.get_margin()
        await feed.cancel_all(symbol)
        if feed.abilities.dead_mans_switch:
            await feed.arm_dead_man(symbol)
            await opened.clock.sleep(2)
            await feed.disarm_dead_man(symbol)
        assert free == []
        assert feed.rates.windows
        assert feed.rates.refused == 0

    play("memory", venue, body, start=False)
