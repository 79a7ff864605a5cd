import json
from decimal import Decimal

import pytest

from core.chance import Chance
from tests.unit.venues.hyperliquid_sim.hl_trader import trade
from venues.hyperliquid.sign import Signer
from venues.hyperliquid.simulator import Choices
from venues.simulation.faults import Faults

UNREADABLE = b"Failed to deserialize the JSON body into the target type"


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"price": "135.123"}, "Price must be divisible by tick size. asset=5"),
        ({"price": "99.12345"}, "Price must be divisible by tick size. asset=5"),
        ({"price": "0"}, "Order has invalid price. asset=5"),
        ({"price": "135", "size": "0.001"}, "Order has invalid size. asset=5"),
        ({"price": "135", "size": "0"}, "Order has zero size. asset=5"),
        ({"price": "135", "size": "0.07"}, "Order must have minimum value of $10. asset=5"),
        ({"price": "135", "size": "0.01", "asset": 10_156}, "Order must have minimum value of 10 USDC. asset=10156"),
        ({"price": "5", "size": "10"}, "Order price cannot be more than 95% away from the reference price asset=5"),
        ({"price": "150", "buy": False, "reduce_only": True}, "Reduce only order would increase position. asset=5"),
        ({"price": "135", "size": "50000"}, "Insufficient margin to place order. asset=5"),
        ({"price": "135", "size": "500", "asset": 10_156}, "Insufficient spot balance asset=10156"),
        ({"price": "135", "tif": "Ioc"}, "Order could not immediately match against any resting orders. asset=5"),
        ({"price": "135", "asset": 3}, "Asset is not traded asset=3"),
    ],
)
def test_an_order_that_breaks_a_rule_is_refused_in_the_venues_words(order, words):
    """[venue] HTTP 200, status ok, one error for the order; nothing rests."""

    async def body(trader):
        assert trader.order(**order)["error"] == words
        assert trader.mine("frontendOpenOrders") == []

    trade(body)


@pytest.mark.parametrize(("price", "fine"), [("135.12", True), ("9.1234", True), ("123456", True), ("135.123", False)])
def test_the_price_rule_is_five_figures_or_a_whole_number(price, fine):
    """[venue] The sheet's examples; what is far away is refused for that instead."""

    async def body(trader):
        told = trader.order(price, "10").get("error", "")
        assert ("divisible" in told) is not fine

    trade(body)


@pytest.mark.parametrize(
    ("order", "word"),
    [({"price": "150", "tif": "Alo"}, "badAloPxRejected"), ({"price": "135", "tif": "Ioc"}, "iocCancelRejected")],
)
def test_a_refused_alo_or_ioc_has_an_id_and_a_row_all_the_same(order, word):
    """[venue] As recorded: only its end is told, on the stream and in the history."""

    async def body(trader):
        peer = trader.listen("orderUpdates")
        peer.take()
        told = trader.order(**order, cloid=6)["error"]
        if order["tif"] == "Alo":
            bid, ask = (side[0]["px"].removesuffix(".0") for side in trader.info("l2Book", coin="SOL")["levels"])
            assert told == f"Post only order would have immediately matched, bbo was {bid}@{ask}. asset=5"
        ((row,),) = peer.take("orderUpdates")
        assert (row["status"], row["order"]["sz"]) == (word, "0.2")
        assert [each["status"] for each in trader.mine("historicalOrders")] == [word]
        assert trader.mine("orderStatus", oid=f"0x{6:032x}")["order"]["status"] == word

    trade(body)


def test_nonces_are_taken_out_of_order_but_never_twice():
    """[venue] The 100 highest of a signer are kept; windows of two days back and one ahead."""

    async def body(trader):
        now = trader.sim.now_ms()

        def burn(nonce):
            return trader.act({"type": "noop"}, nonce=nonce).get("response")

        assert burn(now + 5) == burn(now) == {"type": "default"}
        assert burn(now) == f"Invalid nonce: duplicate nonce {now}"
        assert "nonce too low" in burn(now - 2 * 86_400_000 - 1)
        assert "nonce too high" in burn(now + 86_400_000)
        for more in range(100):
            assert burn(now + 10 + more) == {"type": "default"}
        assert burn(now + 6).startswith(f"Invalid nonce: nonce too low {now + 6} < ")

    trade(body)


def test_a_burnt_nonce_kills_the_order_that_was_signed_with_it():
    """[venue] The fence: noop first, and the order that comes later is refused."""

    async def body(trader):
        row = {"a": 5, "b": True, "p": "135", "s": "0.2", "r": False, "t": {"limit": {"tif": "Gtc"}}}
        late = trader.envelope({"type": "order", "orders": [row], "grouping": "na"})
        assert trader.act({"type": "noop"}, nonce=late["nonce"])["status"] == "ok"
        answer = json.loads(trader.post("/exchange", late).body)
        assert answer == {"status": "err", "response": f"Invalid nonce: duplicate nonce {late['nonce']}"}
        assert trader.sim.engine.orders == {}

    trade(body)


def test_an_action_past_its_expiry_is_refused():
    """[gap] The sentence is ours; that it is refused is documented."""

    async def body(trader):
        now = trader.sim.now_ms()
        assert "resting" in trader.order("135", expires_ms=now)
        assert trader.order("135", expires_ms=now - 1) == Choices().expired_action
        assert len(trader.sim.engine.orders) == 1

    trade(body)


def test_agents_may_trade_but_not_move_money():
    """[venue] An unknown key, an approved agent, and one whose name was given away."""

    async def body(trader):
        agents = [Signer(f"{number:02x}" * 32, mainnet=False) for number in (1, 2)]
        told = trader.order("135", signer=agents[0])
        assert told.startswith("User or API Wallet 0x")
        assert told.endswith(" does not exist.")
        trader.sim.signers.approve(trader.address, agents[0].address, "bot")
        assert "resting" in trader.order("135", signer=agents[0])
        role = trader.info("userRole", user=agents[0].address)
        assert role == {"role": "agent", "data": {"user": trader.address}}
        trader.sim.signers.approve(trader.address, agents[1].address, "bot")
        assert "does not exist" in trader.order("135", signer=agents[0])
        assert "resting" in trader.order("135", signer=agents[1])
        (row,) = trader.mine("extraAgents")
        assert (row["name"], row["address"]) == ("bot", agents[1].address)

    trade(body)


@pytest.mark.parametrize(
    "envelope",
    [
        {},
        {"action": {}, "nonce": 1, "signature": {}},
        {"action": {"type": "noop"}, "nonce": "1", "signature": {}},
        {"action": {"type": "noop"}, "nonce": -1, "signature": {}},
        {"action": {"type": "noop"}, "nonce": 1, "signature": {"r": "x", "s": "0x1", "v": 27}},
        {"action": {"type": "noop"}, "nonce": 1, "signature": {"r": "0x1", "s": "0x1", "v": "27"}},
        {"action": {"type": "noop"}, "nonce": 1, "vaultAddress": "0x12"},
        {"action": {"type": "withdraw3"}, "nonce": 1, "signature": {}},
        {"action": {"type": "approveAgent"}, "nonce": 1, "signature": {}},
    ],
)
def test_what_the_venues_types_cannot_hold_is_422(envelope):
    """[venue] Plain text, before anything is looked at."""

    async def body(trader):
        reply = trader.post("/exchange", envelope)
        assert (reply.status, reply.body, reply.headers["content-type"][:10]) == (422, UNREADABLE, "text/plain")

    trade(body)


@pytest.mark.parametrize("signature", [{"r": "0x0", "s": "0x0", "v": 27}, {"r": "0x1", "s": "0x1", "v": 29}])
def test_a_signature_that_no_key_could_make_is_told(signature):
    """[venue] The recorded sentence."""

    async def body(trader):
        reply = trader.post("/exchange", {"action": {"type": "noop"}, "nonce": 1, "signature": signature})
        assert json.loads(reply.body) == {"status": "err", "response": "Unable to recover signer."}

    trade(body)


def test_unknown_readings_and_paths_are_refused():
    """[venue] 422 for a type that there is not; 404 and 405 beside the two paths."""

    async def body(trader):
        for value in ({"type": "noSuchType"}, {}, b"", b"[", {"type": "l2Book", "coin": "X"}, {"type": "openOrders"}):
            reply = trader.post("/info", value)
            assert (reply.status, reply.body) == (422, UNREADABLE)
        for bad in ({"oid": "0x1"}, {"oid": None}):
            assert trader.post("/info", {"type": "orderStatus", "user": trader.address, **bad}).status == 422
        assert trader.post("/elsewhere", {}).status == 404

    trade(body)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("", "Insufficient margin to place order."),
        ("PRICE_BAND", "Order price cannot be more than 95% away"),
        ("RATE_LIMITED", "Too many cumulative requests sent"),
        ("VENUE_UNAVAILABLE", "Only post-only orders allowed"),
    ],
)
def test_a_reject_fault_speaks_the_venues_language(reason, words):
    """[ours] One order, or the whole action; the next one is taken."""
    rule = {"action": "reject", "on": "engine", "kind": "place", "nth": [1], "params": {"reason": reason}}

    async def body(trader):
        told = trader.order("135")
        assert (told if isinstance(told, str) else told["error"]).startswith(words)
        assert "resting" in trader.order("135")

    trade(body, faults=Faults.load([rule], chance=Chance(1)))


def test_slow_and_refused_cancels_are_faults():
    """[ours] slow_cancel is acknowledged at once and done later; reject says the order was never placed."""
    rules = [
        {"action": "slow_cancel", "on": "engine", "kind": "cancel", "nth": [1], "params": {"ms": 700}},
        {"action": "reject", "on": "engine", "kind": "cancel", "nth": [2]},
    ]

    async def body(trader):
        slow, other = (trader.order("135")["resting"]["oid"] for _ in range(2))
        assert trader.cancel(slow) == "success"
        assert trader.cancel(other)["error"].startswith("Order was never placed")
        assert len(trader.mine("frontendOpenOrders")) == 2
        await trader.clock.sleep(0.8)
        trader.sim.advance()
        assert [row["oid"] for row in trader.mine("frontendOpenOrders")] == [other]

    trade(body, faults=Faults.load(rules, chance=Chance(1)))


def test_what_nobody_recorded_is_a_switch():
    """[gap] A second use of a cloid, and a reduce-only order larger than the position."""
    strict = Choices(duplicate_client_id="refuse", reduce_only_oversize="refuse")

    async def lenient(trader):
        trader.order("150", tif="Ioc", cloid=1)
        assert trader.order("130", "0.5", buy=False, tif="Ioc", reduce_only=True, cloid=1)["filled"]["totalSz"] == "0.2"

    async def refused(trader):
        trader.order("150", tif="Ioc", cloid=1)
        assert "Duplicate" in trader.order("135", cloid=1)["error"]
        told = trader.order("130", "0.5", buy=False, tif="Ioc", reduce_only=True)
        assert told["error"].startswith("Reduce only order would increase position")

    trade(lenient)
    trade(refused, choices=strict)


def test_wallets_are_two_and_money_moves_between_them_on_request():
    """[venue] A spot order spends the spot wallet alone."""

    async def body(trader):
        account = trader.sim.account
        assert trader.order("135", "0.2", asset=10_156)["error"].startswith("Insufficient spot balance")
        assert account.balance("USDC").free == Decimal(500)

    trade(body, balances={"USDC": Decimal(500)})
