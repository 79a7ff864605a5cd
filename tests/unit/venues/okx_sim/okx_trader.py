"""A hand-driven client of the OKX simulator: it signs as the sheet says and shares no code with the product."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from urllib.parse import urlencode

import pytest

from core.chance import Chance
from core.clock import VIRTUAL_EPOCH_MS, iso_utc
from venues.okx.simulator import OkxSimulator
from venues.simulation.app import Request

FIXTURES = Path(__file__).resolve().parents[4].parent / "shared" / "fixtures" / "okx"
PERP, SPOT, BTC, ETH = "SOL-USDT-SWAP", "SOL-USDT", "BTC-USDT-SWAP", "ETH-USDT-SWAP"


def fixture(name):
    """A recorded payload; skips where the recordings are missing."""
    path = FIXTURES / name
    if not path.exists():
        pytest.skip("../shared with the recorded payloads is missing", allow_module_level=True)
    text = path.read_text()
    if name.endswith(".jsonl"):
        return [json.loads(line) for line in text.splitlines() if line]
    return json.loads(text)


class HandClock:
    """Stands still until told."""

    def __init__(self, ms=VIRTUAL_EPOCH_MS):
        self.ms = ms

    def now_ms(self):
        return self.ms

    def monotonic(self):
        return self.ms / 1000


class Ear:
    """The client's end of a stream; ``got`` is what arrived."""

    def __init__(self):
        self.got = []
        self.closed = None

    def send(self, text):
        self.got.append(text if text == "pong" else json.loads(text))

    def close(self, code=1000, reason=""):
        self.closed = code

    def rows(self, channel):
        """Rows that were pushed on a channel, in order."""
        pushed = [each for each in self.got if isinstance(each, dict) and each.get("arg", {}).get("channel") == channel]
        return [row for each in pushed for row in each.get("data", ())]

    def last(self):
        return self.got[-1]


class Trader:
    """Signs and sends; nothing moves the market but our own actions, unless time is let pass."""

    def __init__(self, *, seed=7, **options):
        self.clock = HandClock()
        self.sim = OkxSimulator(self.clock, Chance(seed), **options)
        told = self.sim.bootstrap("http://rest", "ws://ws")["credentials"]
        self.key, self.secret, self.passphrase = told["api_key"], told["api_secret"], told["passphrase"]

    def signature(self, text):
        return base64.b64encode(hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).digest()).decode()

    def send(self, method, path, values=None, *, headers=None, body=None):
        """A signed request; ``headers`` replace single ones, None removes one."""
        target = f"/api/v5/{path}"
        query = urlencode(values or {}) if method == "GET" else ""
        body = "" if method == "GET" else json.dumps(values) if body is None else body
        timestamp = iso_utc(self.clock.now_ms())
        signed = {
            "ok-access-key": self.key,
            "ok-access-passphrase": self.passphrase,
            "ok-access-timestamp": timestamp,
            "ok-access-sign": self.signature(timestamp + method + target + (f"?{query}" if query else "") + body),
        } | (headers or {})
        signed = {name: text for name, text in signed.items() if text is not None}
        return self.sim.http(Request(method, target, query, signed, body.encode()))

    def ask(self, method, path, values=None, **more):
        """The parsed answer, whatever its code."""
        return json.loads(self.send(method, path, values, **more).body)

    def get(self, path, **values):
        """The data of a reading that must succeed."""
        told = self.ask("GET", path, values)
        assert told["code"] == "0", told
        return told["data"]

    def order(self, **fields):
        """The row of a placement."""
        return self.ask("POST", "trade/order", limit(**fields))["data"][0]

    def placed(self, **fields):
        row = self.order(**fields)
        assert row["sCode"] == "0", row
        return self.get("trade/order", instId=limit(**fields)["instId"], ordId=row["ordId"])[0]

    def login(self, ear, **changes):
        seconds = str(self.clock.now_ms() // 1000)
        sign = self.signature(f"{seconds}GET/users/self/verify")
        arg = {"apiKey": self.key, "passphrase": self.passphrase, "timestamp": seconds, "sign": sign} | changes
        self.sim.ws_text(ear, json.dumps({"op": "login", "args": [arg]}))

    def listen(self, *args, line="private"):
        """A stream, logged in if it is private, that listens to these arguments."""
        ear = Ear()
        self.sim.ws_open(ear, f"/ws/v5/{line}", {})
        if line == "private":
            self.login(ear)
        if args:
            self.say(ear, "subscribe", args)
        return ear

    def say(self, ear, op, args, **more):
        self.sim.ws_text(ear, json.dumps({"op": op, "args": args, **more}))

    def run(self, ms):
        """Let time pass, doing what is due when it is due."""
        end = self.clock.ms + ms
        while self.sim.next_due_ms() <= end:
            self.clock.ms = max(self.clock.ms, self.sim.next_due_ms())
            self.sim.advance()
        self.clock.ms = end


def limit(**fields):
    """The fields of an order; a limit buy of the perp far from the market unless told otherwise, None drops a field."""
    base = {"instId": PERP, "tdMode": "cross", "side": "buy", "ordType": "limit", "sz": "0.05", "px": "135"}
    return {name: value for name, value in (base | fields).items() if value is not None}


def market(**fields):
    return {"ordType": "market", "px": None, **fields}
