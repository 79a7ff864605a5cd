"""A client of the simulated Lighter for tests: signs by the verifier's own arithmetic, not by the room's signer."""

import base64
import json
from urllib.parse import urlencode

from core.chance import Chance
from venues.lighter.simulator import Choices, LighterSimulator
from venues.simulation import schnorr_check as curve
from venues.simulation.app import Request
from venues.simulation.lighter_forms import transaction_message

DAY_MS = 86_400_000


class HandClock:
    """Stands still until it is moved."""

    def __init__(self, ms=1_795_361_500_000):
        self.ms = ms

    def now_ms(self):
        return self.ms

    def monotonic(self):
        return self.ms / 1000

    def move(self, secs):
        self.ms += round(secs * 1000)


class Screen:
    """A stream connection that keeps what it was told."""

    def __init__(self):
        self.frames = []
        self.closed = False

    def send(self, text):
        self.frames.append(json.loads(text))

    def close(self, code=1000, reason=""):
        self.closed = True

    def of(self, kind):
        return [frame for frame in self.frames if frame.get("type") == kind]


class Sender:
    """One simulator, its key, and a count of nonces."""

    def __init__(self, clock=None, faults=None, **choices):
        self.clock = clock or HandClock()
        self.sim = LighterSimulator(self.clock, Chance(3), faults, choices=Choices(**choices))
        keys = self.sim.bootstrap("http://x", "ws://x")["credentials"]
        self.secret = int.from_bytes(bytes.fromhex(keys["private_key"]), "little")
        self.account, self.key, self.chain = keys["account_index"], keys["api_key_index"], keys["chain_id"]

    @property
    def nonce(self):
        return self.get("nextNonce", account_index=self.account, api_key_index=self.key)["nonce"]

    def sign(self, message):
        k = 12345
        r = curve.encode(curve.multiple(k))
        e = int.from_bytes(curve.bytes_of(curve.hash_five([*r, *message])), "little") % curve.GROUP
        s = (k - e * self.secret) % curve.GROUP
        return s.to_bytes(40, "little") + e.to_bytes(40, "little")

    def transaction(self, kind, fields, *, attributes=None, chain=None, **head):
        values = {"Nonce": self.nonce, "ExpiredAt": self.sim.now_ms() + 5_000, "AccountIndex": self.account}
        values |= {"ApiKeyIndex": self.key, **head, **fields}
        message = transaction_message(chain or self.chain, kind, values, attributes or {})
        named = {str(name): value for name, value in attributes.items()} if attributes else None
        return values | {"Sig": base64.b64encode(self.sign(message)).decode(), "L2TxAttributes": named}

    def order(self, **change):
        fields = {
            "MarketIndex": 2,
            "ClientOrderIndex": 1001,
            "BaseAmount": 140,
            "Price": 135_000,
            "IsAsk": 0,
            "Type": 0,
        }
        fields |= {"TimeInForce": 2, "ReduceOnly": 0, "TriggerPrice": 0}
        fields["OrderExpiry"] = 0 if change.get("TimeInForce", 2) == 0 else self.sim.now_ms() + DAY_MS
        return fields | change

    def post(self, kind, info, path="sendTx"):
        form = urlencode({"tx_type": kind, "tx_info": info if isinstance(info, str) else json.dumps(info)}).encode()
        return self.http("POST", f"/api/v1/{path}", body=form)

    def send(self, kind, fields, **more):
        """``(status, answer)`` of one transaction; what it causes has happened."""
        return self.post(kind, self.transaction(kind, fields, **more))

    def place(self, **change):
        return self.send(14, self.order(**change))

    def http(self, method, path, query="", body=b"", headers=None):
        kind = {"content-type": "application/x-www-form-urlencoded"}
        reply = self.sim.http(Request(method, path, query, headers or kind, body))
        self.sim.advance()
        return reply.status, json.loads(reply.body)

    def token(self, secs=600):
        text = f"{self.sim.now_ms() // 1000 + secs}:{self.account}:{self.key}"
        raw = text.encode()
        limbs = [int.from_bytes(raw[at : at + 8], "little") for at in range(0, len(raw), 8)]
        return f"{text}:{self.sign(curve.hash_five(limbs)).hex()}"

    def get(self, path, token=None, **query):
        headers = {"authorization": token} if token else {}
        return self.http("GET", f"/api/v1/{path}", urlencode(query), headers=headers)[1]

    def mine(self, path, **query):
        """A private reading."""
        return self.get(path, self.token(), account_index=self.account, **query)

    def watch(self, *channels, token=True):
        screen = Screen()
        self.sim.ws_open(screen, "/stream", {})
        for channel in channels:
            auth = {"auth": self.token()} if token else {}
            self.sim.ws_text(screen, json.dumps({"type": "subscribe", "channel": channel, **auth}))
        return screen
