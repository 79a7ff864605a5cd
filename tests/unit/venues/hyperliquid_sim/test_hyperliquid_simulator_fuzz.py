import contextlib
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.venues.hyperliquid_sim.hl_trader import trade
from venues.simulation.hyperliquid_signers import Malformed, canonical

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("a", "b", "p", "s", "r", "t", "c")
KINDS = ("order", "cancel", "cancelByCloid", "batchModify", "scheduleCancel", "updateLeverage", "approveAgent",
         "usdClassTransfer", "noop")  # fmt: skip
INFOS = ("l2Book", "orderStatus", "userFillsByTime", "clearinghouseState", "userRole", "meta")


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), JSON), st.sampled_from(KINDS), JSON)
def test_a_signed_action_of_any_shape_is_answered(row, kind, more):
    """[ours] 200 or 422, never an exception, and books stay sound."""

    async def body(trader):
        good = {"a": 5, "b": True, "p": "135", "s": "0.2", "r": False, "t": {"limit": {"tif": "Gtc"}}}
        action = {
            "type": kind,
            "orders": [good | row],
            "cancels": [row, more],
            "modifies": [{"oid": more, "order": row}],
        }
        action |= {"time": more, "leverage": more, "amount": more, "toPerp": more, "grouping": "na"}
        value = {"action": action, "nonce": trader.sim.now_ms(), "signature": {"r": "0x1", "s": "0x1", "v": 27}}
        # Signed as the venue would hash it, so that it gets past the signature wherever that can be.
        with contextlib.suppress(Malformed, TypeError, OverflowError, ValueError):
            value = trader.envelope(canonical(action))
        for each in (value, {**value, "action": action}):
            assert trader.post("/exchange", json.dumps(each).encode()).status in (200, 422)
        for order in trader.sim.engine.open_orders(trader.address):
            assert order.left_i > 0

    trade(body)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(INFOS), st.dictionaries(st.sampled_from(("user", "oid", "coin", "startTime")), JSON), JSON)
def test_a_reading_of_any_shape_is_answered(kind, values, noise):
    """[ours] 200 or 422; noise on the stream is answered or ends in an error frame."""

    async def body(trader):
        for each in ({"type": kind, **values}, {"type": kind, "user": trader.address, **values}, noise):
            assert trader.post("/info", json.dumps(each).encode()).status in (200, 422)
        peer = trader.listen()
        told = [noise, *({"method": "subscribe", "subscription": each} for each in (noise, values))]
        told.append({"method": "post", "id": noise, "request": {"type": "info", "payload": values}})
        told.append({"method": "post", "id": 1, "request": {"type": "action", "payload": noise}})
        for each in told:
            trader.say(peer, each)
            trader.sim.text_kind(json.dumps(each))
        for message in peer.take():
            assert message["channel"] in ("error", "post", "subscriptionResponse", "pong")

    trade(body)
