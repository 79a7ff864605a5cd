"""A hand-driven client of the Backpack simulator: it signs as the sheet says and shares no code with the product."""

import base64
import json
from pathlib import Path
from urllib.parse import urlencode

import pytest
from nacl.signing import SigningKey

from core.chance import Chance
from core.clock import VIRTUAL_EPOCH_MS
from venues.backpack.simulator import BackpackSimulator
from venues.simulation.app import Request

FIXTURES = Path(__file__).resolve().parents[4].parent / "shared" / "fixtures" / "backpack"
PERP, SPOT = "SOL_USDC_PERP", "SOL_USDC"
INSTRUCTIONS = {
    ("POST", "/api/v1/order"): "orderExecute",
    ("POST", "/api/v1/orders"): "orderExecute",
    ("DELETE", "/api/v1/order"): "orderCancel",
    ("DELETE", "/api/v1/orders"): "orderCancelAll",
    ("GET", "/api/v1/order"): "orderQuery",
    ("GET", "/api/v1/orders"): "orderQueryAll",
    ("GET", "/api/v1/position"): "positionQuery",
    ("GET", "/api/v1/capital"): "balanceQuery",
    ("GET", "/api/v1/capital/collateral"): "collateralQuery",
    ("GET", "/api/v1/account"): "accountQuery",
    ("PATCH", "/api/v1/account"): "accountUpdate",
    ("GET", "/api/v1/account/limits/order"): "maxOrderQuantity",
    ("GET", "/api/v1/borrowLend/positions"): "borrowLendPositionQuery",
    ("GET", "/wapi/v1/history/orders"): "orderHistoryQueryAll",
    ("GET", "/wapi/v1/history/fills"): "fillHistoryQueryAll",
}


def fixture(name):
    """A recorded payload; skips where the recordings are missing."""
    path = FIXTURES / name
    if not path.exists():
        pytest.skip(f"no recorded payloads at {FIXTURES}")
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

    def send(self, text):
        self.got.append(json.loads(text))

    def close(self, code=1000, reason=""):
        raise AssertionError("the simulator closes no stream by itself")

    def data(self, prefix="account."):
        return [each["data"] for each in self.got if each.get("stream", "").startswith(prefix)]


class Trader:
    """Signs and sends; ``calm`` keeps the market still, so that only our own actions move it."""

    def __init__(self, *, calm=True, seed=7, **options):
        self.clock = HandClock()
        self.sim = BackpackSimulator(self.clock, Chance(seed), **options)
        self.calm = calm
        credentials = self.sim.bootstrap("http://rest", "ws://ws")["credentials"]
        self.api_key = credentials["api_key"]
        self.key = SigningKey(base64.b64decode(credentials["api_secret"]))

    def signature(self, instruction, groups, window=5000, offset_ms=0):
        """The four texts of a signature."""
        ts = self.clock.now_ms() + offset_ms
        parts = []
        for group in groups:
            pairs = "".join(f"&{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in sorted(group.items()))
            parts.append(f"instruction={instruction}{pairs}")
        text = "&".join(parts) + f"&timestamp={ts}&window={window}"
        return [self.api_key, base64.b64encode(self.key.sign(text.encode()).signature).decode(), str(ts), str(window)]

    def headers(self, instruction, groups, **more):
        names = ("x-api-key", "x-signature", "x-timestamp", "x-window")
        return dict(zip(names, self.signature(instruction, groups, **more), strict=True))

    def send(self, method, path, values=None, *, headers=None, body=None):
        """A signed (where the path is private) request; ``headers`` replace single ones, None removes one."""
        values = {} if values is None else values
        instruction = INSTRUCTIONS.get((method, path))
        signed = self.headers(instruction, values if isinstance(values, list) else [values]) if instruction else {}
        signed |= headers or {}
        signed = {name: value for name, value in signed.items() if value is not None}
        if method == "GET":
            return self.sim.http(Request(method, path, urlencode(values), signed, b""))
        return self.sim.http(Request(method, path, "", signed, json.dumps(values).encode() if body is None else body))

    def ask(self, method, path, values=None):
        """The parsed answer of a request that must succeed."""
        reply = self.send(method, path, values)
        assert reply.status == 200, reply
        return json.loads(reply.body)

    def get(self, path, **values):
        return self.ask("GET", path, values)

    def order(self, **fields):
        return self.send("POST", "/api/v1/order", limit(**fields))

    def placed(self, **fields):
        reply = self.order(**fields)
        assert reply.status == 200, reply
        return json.loads(reply.body)

    def best(self, symbol=PERP):
        """(bid, ask) as texts."""
        depth = self.get("/api/v1/depth", symbol=symbol)
        return depth["bids"][-1][0], depth["asks"][0][0]

    def listen(self, *streams):
        ear = Ear()
        self.sim.ws_open(ear, "/", {})
        frame = {"method": "SUBSCRIBE", "params": list(streams), "signature": self.signature("subscribe", [{}])}
        self.sim.ws_text(ear, json.dumps(frame))
        return ear

    def run(self, ms):
        """Let time pass, doing what is due when it is due."""
        end = self.clock.ms + ms
        while self.sim.next_due_ms() <= end:
            self.clock.ms = max(self.clock.ms, self.sim.next_due_ms())
            self.sim.advance()
        self.clock.ms = end


def limit(**fields):
    """The fields of an order; a limit buy of the perp far from the market unless told otherwise, None drops a field."""
    base = {"symbol": PERP, "side": "Bid", "orderType": "Limit", "price": "135.00", "quantity": "0.05"}
    return {name: value for name, value in (base | fields).items() if value is not None}


def market(**fields):
    return {"orderType": "Market", "price": None, **fields}
