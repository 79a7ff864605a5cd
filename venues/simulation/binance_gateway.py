"""
The front of the simulated Binance: who may ask what. Keys, signatures and times of REST requests, and the frames and
sessions of both WebSocket APIs, whose methods are the same requests as their REST paths.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlencode

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey

from venues.simulation.app import Reply, Request
from venues.simulation.binance_limits import Counts, OverLimit
from venues.simulation.binance_rules import Params, Refusal, missing, refusal
from venues.simulation.binance_streams import Session, echo_of, read_frame
from venues.simulation.desk import json_text
from venues.simulation.forms import json_reply

MOST_WINDOW_MS: Final = 60_000
AHEAD_MS: Final = 1000
KEYED: Final = "key"
SIGNED: Final = "signed"
_TICKERS: Final = {"book": "bookTicker", "price": "price"}
_PERP_ACCOUNT: Final = {"status": "account", "balance": "balance", "position": "positionRisk"}


class Route(NamedTuple):
    """One request: what a fault rule calls it, its product, what it needs (``""``, KEYED or SIGNED), who answers."""

    kind: str
    perp: bool
    security: str
    handle: Callable[[Params], Any]


class Keys(NamedTuple):
    """The account's two keys: an HMAC key with its secret, and the name of an Ed25519 one with the key itself."""

    hmac_key: str
    hmac_secret: str
    ed25519_key: str
    ed25519: SigningKey


class BinanceGateway:
    """
    Reads requests, checks them, hands them to ``routes`` and prints what comes back.

    Args:
        routes: By method and path.
        venue_ms: The venue's clock.
        speed: How much faster than life the minutes of its limits pass.
    """

    def __init__(
        self, routes: Mapping[tuple[str, str], Route], keys: Keys, venue_ms: Callable[[], int], speed: float = 1.0
    ) -> None:
        self._routes = routes
        self._methods = _methods()
        self._keys = keys
        self.now_ms = venue_ms
        self.counts = Counts(venue_ms, speed)

    def http_kind(self, request: Request) -> str:
        route = self._routes.get((request.method, request.path))
        return route.kind if route else "other"

    def text_kind(self, text: str) -> str:
        method = str((read_frame(text) or {}).get("method"))
        place = self._methods.get((True, method)) or self._methods.get((False, method))
        return self._routes[place].kind if place else "other"

    def refused_login(self, asked: Request | str) -> Reply | str | None:
        """A request for a listen key, a logon or a subscription to the account, refused; None for any other."""
        if isinstance(asked, Request):
            if (asked.method, asked.path) != ("POST", "/fapi/v1/listenKey"):
                return None
            no = refusal(True, "AUTH")
            return json_reply(no.body, no.status)
        frame = read_frame(asked) or {}
        if not str(frame.get("method")).startswith(("session.logon", "userDataStream.subscribe")):
            return None
        no = refusal(False, "AUTH")
        return json_text({"id": echo_of(frame.get("id")), "status": no.status, "error": no.body})

    # -- requests over HTTP

    def http(self, request: Request) -> Reply:
        perp = request.path.startswith("/fapi")
        route = self._routes.get((request.method, request.path))
        told: dict[str, str] = {}
        try:
            if route is None:
                raise refusal(perp, "NO_PATH")
            named = "symbol=" in request.query
            told = self.counts.take(perp, request.method, request.path, order=route.kind == "place", named=named)
            query = dict(parse_qsl(request.query, keep_blank_values=True))
            body = request.body.decode("latin-1")
            # On a name clash the query wins.
            values = dict(parse_qsl(body, keep_blank_values=True)) | query
            self._check(
                route, values, request.headers.get("x-mbx-apikey", ""), _signed_part(request.query) + _signed_part(body)
            )
            return json_reply(route.handle(Params(values, route.perp)), headers=told)
        except Refusal as no:
            secs = no.retry_secs if isinstance(no, OverLimit) else 1
            retry = {"retry-after": str(secs)} if no.status == 429 else {}
            return json_reply(no.body, no.status, headers=told | retry)

    def _check(self, route: Route, values: Mapping[str, str], key: str, *payloads: str) -> None:
        """Raises Refusal unless key, time and the signature over one of ``payloads`` are good."""
        if not route.security:
            return
        if not key:
            raise refusal(route.perp, "NO_KEY")
        if key not in (self._keys.hmac_key, self._keys.ed25519_key):
            raise refusal(route.perp, "AUTH")
        if route.security == SIGNED:
            self._check_time(route.perp, values)
            self._check_signature(route.perp, key, values.get("signature", ""), payloads)

    def _check_time(self, perp: bool, values: Mapping[str, str]) -> None:
        moment, window = values.get("timestamp", ""), values.get("recvWindow", "5000")
        if not (moment.isascii() and moment.isdigit() and len(moment) in (13, 16)):
            raise missing("timestamp")
        if not window.replace(".", "", 1).isdigit() or Decimal(window) > MOST_WINDOW_MS:
            raise Refusal(400, -1131, f"recvWindow must be less than {MOST_WINDOW_MS}.")
        sent, now = int(moment[:13]), self.now_ms()
        if sent >= now + AHEAD_MS:
            raise refusal(perp, "AHEAD")
        if now - sent > Decimal(window):
            raise refusal(perp, "CLOCK_SKEW")

    def _check_signature(self, perp: bool, key: str, signature: str, payloads: tuple[str, ...]) -> None:
        if not signature:
            raise missing("signature")
        for payload in payloads:
            if key == self._keys.hmac_key:
                digest = hmac.new(self._keys.hmac_secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
                if hmac.compare_digest(digest.encode(), signature.lower().encode()):
                    return
                continue
            try:
                self._keys.ed25519.verify_key.verify(payload.encode(), b64decode(signature, validate=True))
                return
            except (BadSignatureError, ValueError):
                continue
        raise refusal(perp, "SIGNATURE")

    # -- requests over a WebSocket API

    def asked(self, session: Session, text: str) -> None:
        frame = read_frame(text)
        number = frame.get("id") if frame else None
        answer: dict[str, Any] = {"id": echo_of(number)}
        params: Any = None
        try:
            if frame is None or not isinstance(frame.get("method"), str):
                raise Refusal(400, -1135, "Invalid JSON Request: expected an object with a method.")
            params = frame.get("params", {})
            if not isinstance(params, dict):
                raise Refusal(400, -1135, "Invalid JSON Request: params.")
            values = {name: _text_of(value) for name, value in params.items() if value is not None}
            result = self._answer(session, frame["method"], values)
            answer |= {"status": 200, "result": result}
        except Refusal as no:
            answer |= {"status": no.status, "error": no.body}
        if not isinstance(params, dict) or params.get("returnRateLimits") is not False:
            answer["rateLimits"] = self.counts.told(session.perp)
        session.peer.send(json_text(answer))

    def _answer(self, session: Session, method: str, values: dict[str, str]) -> Any:
        if method.startswith(("session.", "userDataStream.")):
            return self._session_answer(session, method, values)
        place = self._methods.get((session.perp, method))
        if place is None:
            raise Refusal(400, -1122, f"Invalid method: {method}")
        route = self._routes[place]
        self._check_frame(session, route.security, values)
        self.counts.take(session.perp, *place, order=route.kind == "place", named="symbol" in values)
        return route.handle(Params(values, session.perp))

    def _check_frame(self, session: Session, security: str, values: dict[str, str]) -> None:
        if session.logged_on_ms is not None and "apiKey" not in values:
            if security == SIGNED:
                self._check_time(session.perp, values)
            return
        pairs = sorted((name, value) for name, value in values.items() if name != "signature")
        raw = "&".join(f"{name}={value}" for name, value in pairs)
        route = Route("other", session.perp, security, lambda params: {})
        self._check(route, values, values.get("apiKey", ""), raw, urlencode(pairs))

    def _session_answer(self, session: Session, method: str, values: dict[str, str]) -> Any:
        if session.perp:
            actions = {"start": "POST", "ping": "PUT", "stop": "DELETE"}
            action = actions.get(method.removeprefix("userDataStream."))
            if action is None:
                raise Refusal(400, -1122, f"Invalid method: {method}")
            self._check_frame(session, KEYED, values)
            return self._routes[action, "/fapi/v1/listenKey"].handle(Params(values, perp=True))
        match method:
            case "session.logon":
                self._check_frame(session, SIGNED, values)
                if values.get("apiKey") == self._keys.hmac_key:
                    raise Refusal(400, -4056, "HMAC_SHA256 API key is not supported.")
                session.logged_on_ms = self.now_ms()
            case "session.logout":
                session.logged_on_ms = None
            case "userDataStream.subscribe" | "userDataStream.subscribe.signature":
                if method.endswith("signature"):
                    self._check_frame(session, SIGNED, values)
                elif session.logged_on_ms is None:
                    raise Refusal(400, -2015, "Invalid API-key, IP, or permissions for action.")
                if session.subscription is not None:
                    raise Refusal(400, -2035, "User Data Stream subscription already active.")
                session.subscription = session.subscriptions
                session.subscriptions += 1
                return {"subscriptionId": session.subscription}
            case "userDataStream.unsubscribe":
                session.subscription = None
                return {}
            case "session.status":
                pass
            case _:
                raise Refusal(400, -1122, f"Invalid method: {method}")
        return {
            "apiKey": None if session.logged_on_ms is None else self._keys.ed25519_key,
            "authorizedSince": session.logged_on_ms,
            "connectedSince": session.since_ms,
            "returnRateLimits": False,
            "serverTime": self.now_ms(),
            "userDataStream": session.subscription is not None,
        }


def _methods() -> dict[tuple[bool, str], tuple[str, str]]:
    """The REST request behind each method of the two WebSocket APIs."""
    found: dict[tuple[bool, str], tuple[str, str]] = {}
    orders = {"order.place": "POST", "order.cancel": "DELETE", "order.status": "GET"}
    for perp, root in ((True, "/fapi/v1/"), (False, "/api/v3/")):
        found |= {(perp, method): (verb, f"{root}order") for method, verb in orders.items()}
        found |= {(perp, name): ("GET", root + name) for name in ("ping", "time", "exchangeInfo", "depth")}
        found |= {(perp, f"ticker.{tail}"): ("GET", f"{root}ticker/{path}") for tail, path in _TICKERS.items()}
    found |= {(True, f"v2/account.{name}"): ("GET", f"/fapi/v3/{path}") for name, path in _PERP_ACCOUNT.items()}
    found |= {(False, "openOrders.status"): ("GET", "/api/v3/openOrders")}
    found |= {(False, "openOrders.cancelAll"): ("DELETE", "/api/v3/openOrders")}
    found |= {(False, "account.status"): ("GET", "/api/v3/account"), (False, "myTrades"): ("GET", "/api/v3/myTrades")}
    return found


def _signed_part(text: str) -> str:
    """A query or form body as it was sent, without its signature."""
    return "&".join(pair for pair in text.split("&") if not pair.startswith("signature="))


def _text_of(value: Any) -> str:
    """A JSON value as the signature covers it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
