from decimal import Decimal

import pytest

from tests.unit.venues.okx.recorded import answer, fixture, instruments, lines, markets
from venues.errors import WireError
from venues.okx.facts import read_markets

RECORDED = fixture("markets.json")


def test_the_recorded_swaps_are_read_in_base_units():
    """[venue] ctVal 0.01 BTC and lotSz 0.01 make a step of 0.0001 BTC."""
    listed = read_markets(answer(RECORDED["swap_response"]["data"]))
    btc, eth = listed["BTC-USDT-SWAP"], listed["ETH-USDT-SWAP"]
    assert (btc.code, eth.code) == (10459, 10461)
    told = [
        (f.base, f.quote, f.kind, f.price_decimals, f.size_decimals, f.tick_i, f.lot_i, f.min_size_i, f.contract_size)
        for f in (btc.facts, eth.facts)
    ]
    assert told == [
        ("BTC", "USDT", "perp", 1, 4, 1, 1, 1, Decimal("0.01")),
        ("ETH", "USDT", "perp", 2, 3, 1, 1, 1, Decimal("0.1")),
    ]
    # 12000 and 20000 contracts at market are less than a limit order may have.
    assert (btc.facts.max_size_i, eth.facts.max_size_i) == (1_200_000, 2_000_000)
    assert (btc.facts.initial_margin, btc.facts.tradable) == (Decimal("0.01"), True)


def test_the_recorded_spot_markets_are_read():
    """[venue] Sizes are the coin's own; SOL-USD has no instIdCode in that recording."""
    rows = [*RECORDED["spot_response"]["data"], RECORDED["spot_sol_usdt_record"], *RECORDED["docs_example"]["data"]]
    listed = read_markets(answer(rows))
    assert set(listed) == {"BTC-USD", "SOL-USD", "SOL-USDT", "BTC-USDT"}
    sol, btc = listed["SOL-USDT"], listed["BTC-USDT"]
    assert (sol.code, btc.code) == (None, 1_000_000_000)
    assert (sol.facts.base, sol.facts.quote, sol.facts.kind, sol.facts.contract_size) == ("SOL", "USDT", "spot", 1)
    assert (sol.facts.price_decimals, sol.facts.size_decimals, sol.facts.lot_i, sol.facts.min_size_i) == (2, 6, 1, 1000)
    assert (btc.facts.size_decimals, btc.facts.min_size_i) == (8, 1000)


def test_the_instruments_channel_has_the_same_rows():
    """[venue] An old row: lotSz 1 made a step of 0.01 BTC."""
    import json

    row = json.loads(lines("ws_market_data.jsonl")[5])["data"][0]
    (listed,) = read_markets(answer([row])).values()
    assert (listed.facts.size_decimals, listed.facts.lot_i, listed.code) == (2, 1, None)


def test_a_step_above_one_is_kept_as_a_step():
    """[venue] DOGE: 0.01 contracts of 1000 are 10 coins, XRP's 0.01 of 100 one."""
    known = markets()
    doge, xrp = known["DOGE-USDT-SWAP"], known["XRP-USDT-SWAP"]
    assert (doge.size_decimals, doge.lot_i, doge.min_size_i, doge.contract_size) == (0, 10, 10, 1000)
    assert (xrp.size_decimals, xrp.lot_i) == (0, 1)


def test_ct_mult_counts():
    """[venue] Base units per contract are ctVal times ctMult."""
    btc = RECORDED["swap_response"]["data"][1] | {"ctMult": "10"}
    (listed,) = read_markets(answer([btc])).values()
    assert (listed.facts.contract_size, listed.facts.size_decimals) == (Decimal("0.1"), 3)


@pytest.mark.parametrize(
    "change",
    [
        {"ctType": "inverse"},
        {"instType": "FUTURES"},
        {"ctValCcy": "USD"},
        {"settleCcy": "BTC"},
        {"tickSz": "0"},
        {"lotSz": ""},
        {"minSz": "NaN"},
        {"ctVal": "-1"},
        {"ctVal": "1e400"},
        {"uly": ""},
    ],
    ids=str,
)
def test_what_we_cannot_trade_or_read_is_left_out_and_costs_no_other(change):
    """[ours] One odd listing keeps no other market from trading."""
    eth, btc = RECORDED["swap_response"]["data"]
    assert list(read_markets(answer([btc | change, eth]))) == ["ETH-USDT-SWAP"]


def test_a_suspended_market_is_known_and_not_tradable():
    """[venue] Only state live is traded."""
    (listed,) = read_markets(answer([instruments()[0] | {"state": "suspend"}])).values()
    assert not listed.facts.tradable


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"code":"0"}', b'{"data":' + b"[" * 100_000])
def test_an_answer_without_a_list_is_a_wire_error(body):
    """[ours] Not an empty exchange."""
    with pytest.raises(WireError):
        read_markets(body)
