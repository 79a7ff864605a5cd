"""A client of the simulator that shares no code with the room: it signs with hmac and PyNaCl itself."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64encode
from urllib.parse import quote, urlencode

from nacl.signing import SigningKey

from core.chance import Chance
from venues.binance.simulator import BinanceSimulator
from venues.simulation.app import Request
from venues.simulation.faults import Faults
from venues.simulation.gate import FaultGate


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.ms = 1_767_571_200_000

    def now_ms(self):
        return self.ms

    def monotonic(self):
        return self.ms / 1000


class Peer:
    """One stream connection: what came, as JSON."""

    def __init__(self):
        self.texts = []
        self.codes = []

    def send(self, text):
        self.texts.append(text)

    def close(self, code=1000, reason=""):
        self.codes.append(code)

    @property
    def heard(self):
        return [json.loads(text) for text in self.texts]

    def take(self):
        heard, self.texts = self.heard, []
        return heard


class Exchange:
    """A simulator on a clock moved by hand, behind its gate, and one customer."""

    def __init__(self, *, faults=(), **options):
        self.clock = HandClock()
        rules = Faults.load(list(faults), chance=Chance(3))
        self.sim = BinanceSimulator(self.clock, Chance(5), rules, **options)
        self.gate = FaultGate(self.sim, rules, self.clock)
        self.keys = self.sim.bootstrap("r", "w")["credentials"]
        self.ed25519 = False
        self.number = 0

    def later(self, secs):
        """Let so much time pass."""
        self.clock.ms += int(secs * 1000)
        self.gate.advance()

    # -- REST

    def sign(self, text):
        if self.ed25519:
            key = SigningKey(bytes.fromhex(self.keys["ed25519_seed_hex"]))
            return b64encode(key.sign(text.encode()).signature).decode()
        return hmac.new(self.keys["api_secret"].encode(), text.encode(), hashlib.sha256).hexdigest()

    @property
    def key(self):
        return self.keys["ed25519_key" if self.ed25519 else "api_key"]

    def send(self, method, path, query="", body="", key=None):
        headers = {"x-mbx-apikey": self.key if key is None else key}
        reply = self.sim.http(Request(method, path, query, headers, body.encode()))
        return reply.status, json.loads(reply.body)

    def ask(self, method, path, in_body=False, **params):
        """A signed request; everything in the query, or in the body."""
        text = urlencode({**params, "timestamp": self.sim.now_ms()})
        text += "&signature=" + quote(self.sign(text), safe="")
        return self.send(method, path, "" if in_body else text, text if in_body else "")

    def order(self, product="fapi/v1", **params):
        usual = {"symbol": "SOLUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.5", "price": "135.5"}
        if params.get("type", "LIMIT") == "LIMIT":
            usual["timeInForce"] = "GTC"
        fields = {name: value for name, value in (usual | params).items() if value is not None}
        return self.ask("POST", f"/{product}/order", **fields)

    def stir(self):
        """Move both SOL books: an order inside the spread or at the best, and away again."""
        for product, symbol in (("fapi/v1", "SOLUSDT_PERP"), ("api/v3", "SOLUSDT")):
            bid = self.sim.engine.books[symbol].best_bid[0]
            _, placed = self.order(product, price=f"{bid / 100:.2f}")
            self.ask("DELETE", f"/{product}/order", symbol="SOLUSDT", orderId=placed["orderId"])

    # -- streams

    def stream(self, path, peer=None):
        peer = peer or Peer()
        self.sim.ws_open(peer, path, {})
        return peer

    def call(self, peer, method, signed=True, **params):
        """A request of a WebSocket API, and its answer."""
        self.number += 1
        if signed:
            params |= {"apiKey": self.key, "timestamp": self.sim.now_ms()}
            text = "&".join(f"{name}={_text(params[name])}" for name in sorted(params))
            params["signature"] = self.sign(text)
        self.sim.ws_text(peer, json.dumps({"id": self.number, "method": method, "params": params}))
        (answer,) = [each for each in peer.heard if each.get("id") == self.number]
        return answer

    def account_stream(self):
        """A connection to the perp account's stream."""
        _, told = self.send("POST", "/fapi/v1/listenKey")
        return self.stream(f"/private/ws?listenKey={told['listenKey']}")


def _text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)
