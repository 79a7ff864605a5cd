"""A client for simulator tests: signs with the room's signer (proven by the SDK's vectors), sends by HTTP or stream."""

import json

from core.chance import Chance
from core.clock import VirtualClock, run_virtual
from venues.hyperliquid.sign import Signer
from venues.hyperliquid.simulator import HyperliquidSimulator
from venues.simulation.app import Request


class Peer:
    """A stream connection that keeps what it was sent."""

    def __init__(self):
        self.texts = []
        self.closed = None

    def send(self, text):
        self.texts.append(text)

    def close(self, code=1000, reason=""):
        self.closed = code

    def take(self, channel=None):
        """The messages since the last take, parsed; of one channel, their data alone."""
        told = [json.loads(text) for text in self.texts]
        self.texts.clear()
        return told if channel is None else [each.get("data") for each in told if each["channel"] == channel]


class Trader:
    """The simulator's own account."""

    def __init__(self, sim, clock):
        self.sim, self.clock = sim, clock
        told = sim.bootstrap("http://x", "ws://x")
        self.address = told["credentials"]["address"]
        self.signer = Signer(told["credentials"]["private_key"], mainnet=False)

    def post(self, path, value):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.sim.http(Request("POST", path, "", {}, body))

    def info(self, kind, **values):
        reply = self.post("/info", {"type": kind, **values})
        assert reply.status == 200, reply
        return json.loads(reply.body)

    def mine(self, kind, **values):
        return self.info(kind, user=self.address, **values)

    def envelope(self, action, *, nonce=None, expires_ms=None, signer=None):
        signer = signer or self.signer
        return signer.envelope(action, nonce or signer.next_nonce(self.sim.now_ms()), expires_ms)

    def act(self, action, **more):
        reply = self.post("/exchange", self.envelope(action, **more))
        assert reply.status == 200, reply
        return json.loads(reply.body)

    def order(self, price, size="0.2", *, asset=5, buy=True, tif="Gtc", reduce_only=False, cloid=None, **more):
        row = {"a": asset, "b": buy, "p": price, "s": size, "r": reduce_only, "t": {"limit": {"tif": tif}}}
        if cloid is not None:
            row["c"] = f"0x{cloid:032x}"
        answer = self.act({"type": "order", "orders": [row], "grouping": "na"}, **more)
        if answer["status"] == "err":
            return answer["response"]
        (status,) = answer["response"]["data"]["statuses"]
        return status

    def cancel(self, oid, asset=5):
        answer = self.act({"type": "cancel", "cancels": [{"a": asset, "o": oid}]})
        return answer["response"]["data"]["statuses"][0]

    def listen(self, *kinds, coin="SOL"):
        peer = Peer()
        self.sim.ws_open(peer, "/ws", {})
        for kind in kinds:
            about = {"coin": coin} if kind in ("bbo", "l2Book", "trades") else {"user": self.address}
            self.say(peer, {"method": "subscribe", "subscription": {"type": kind, **about}})
        return peer

    def say(self, peer, value):
        self.sim.ws_text(peer, value if isinstance(value, str) else json.dumps(value))


def trade(body, **options):
    """Run ``async body(trader)`` with a fresh simulator on virtual time."""

    async def main():
        clock = VirtualClock()
        sim = HyperliquidSimulator(clock, Chance(3), **options)
        await body(Trader(sim, clock))

    run_virtual(main())
