"""
OKX's requests, read as strictly as OKX reads them, and every refusal with its code and words.

The texts are those of the venue's own list of error codes. Whatever a client sends, reading it ends in a value, in
:class:`Refusal` (one order, or the whole request, in HTTP 200) or in ``Answer`` (an HTTP status of its own).
"""

from __future__ import annotations

import hmac
import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from core.precision import decimal_of
from venues.simulation.app import Request
from venues.simulation.forms import Answer, json_reply, read_json
from venues.simulation.okx_rows import INSTRUMENTS, SETTLE

REFUSALS: Final[Mapping[str, tuple[str, str, str]]] = {
    "INSUFFICIENT_MARGIN": ("51008", "1001", f"Order failed. Insufficient {SETTLE} margin in account"),
    "INSUFFICIENT_BALANCE": ("51008", "1000", "Order failed. Insufficient {0} balance in account"),
    "SIZE_STEP": ("51121", "", "Order quantity must be a multiple of the lot size."),
    "PRECISION": ("51000", "", "Parameter px error"),
    "MIN_SIZE": ("51020", "", "Your order should meet or exceed the minimum order amount."),
    "MAX_SIZE": ("51005", "", "Your order amount exceeds the max order amount."),
    "MAX_MARKET_SIZE": ("51202", "", "Market order amount exceeds the maximum amount."),
    "PRICE_BAND": (
        "51006",
        "",
        "Order price is not within the price limit (max buy price: {0} , min sell price: {1} )",
    ),
    "REDUCE_ONLY": (
        "51169",
        "",
        "Order failed because you don't have any positions in this direction for this contract to reduce or close.",
    ),
    "REDUCE_ONLY_SIDE": (
        "51170",
        "",
        "Failed to place order. A reduce-only order can’t be the same trading direction as your existing positions.",
    ),
    "REDUCE_ONLY_SIZE": ("51112", "", "Close order size exceeds available size for this position."),
    "REDUCE_ONLY_SPOT": ("51205", "", "Reduce Only is not available."),
    "ACCOUNT_MODE": ("51010", "", "Request unsupported under current account mode"),
    "DUPLICATE_CLIENT_ID": ("51016", "", "Client order ID already exists."),
    "UNKNOWN_SYMBOL": ("51001", "", "Instrument ID, Instrument ID code or Spread ID doesn't exist."),
    "ORDER_NOT_FOUND": (
        "51400",
        "",
        "Order cancellation failed as the order has been filled, canceled or does not exist.",
    ),
    "NO_ID": ("51003", "", "Either client order ID or order ID is required."),
    "EMPTY": ("50014", "", "Parameter {0} can not be empty."),
    "PARAMETER": ("51000", "", "Parameter {0} error"),
    "EXPIRED": ("50037", "", "Order expired."),
    "NO_POSITION": ("51023", "", "Position doesn't exist."),
    "RATE_LIMITED": (
        "50011",
        "",
        "Rate limit reached. Please refer to API documentation and throttle requests accordingly.",
    ),
    "VENUE_UNAVAILABLE": ("51030", "", "Funding fee is being settled."),
}
"""Code, subCode and text of each refusal of an order; a ``reject`` fault names one of the keys as its ``reason``."""

WINDOW_MS: Final = 30_000
HEADERS: Final = {
    "OK-ACCESS-KEY": "50103",
    "OK-ACCESS-PASSPHRASE": "50104",
    "OK-ACCESS-SIGN": "50106",
    "OK-ACCESS-TIMESTAMP": "50107",
}
CLIENT_ID: Final = re.compile(r"[A-Za-z0-9]{1,32}", re.ASCII)
TAG: Final = re.compile(r"[A-Za-z0-9]{0,16}", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,24}(\.[0-9]{1,24})?", re.ASCII)


class Refusal(Exception):
    """One order is refused: a key of :data:`REFUSALS`, and what its text names."""

    def __init__(self, word: str, *names: object) -> None:
        self.code, self.sub, text = REFUSALS[word]
        self.text = text.format(*names)
        super().__init__(self.code, self.text)


def error(status: int, code: str, msg: str, *, gateway: bool = False) -> Answer:
    """A refusal of the whole request; one of the gateway has no ``data``."""
    body: dict[str, Any] = {"code": code, "msg": msg}
    return Answer(json_reply(body if gateway else {**body, "data": []}, status))


def body_of(request: Request) -> Any:
    """The JSON of a POST: an array for the batches, an object for everything else."""
    if not request.body:
        raise error(400, "50000", "Body for POST request cannot be empty.")
    try:
        value = read_json(request.body)
    except ValueError:
        value = None
    if not isinstance(value, list if "batch-" in request.path else dict):
        raise error(400, "50002", "JSON syntax error")
    return value


def iso_ms(text: str) -> int | None:
    """``2023-11-14T22:13:20.000Z`` as Unix milliseconds."""
    try:
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def symbol_of(fields: Any) -> str:
    symbol = fields.get("instId") if isinstance(fields, dict) else None
    if symbol in (None, ""):
        raise error(400, "50014", "Parameter instId can not be empty.")
    if not isinstance(symbol, str) or symbol not in INSTRUMENTS:
        raise error(200, "51001", "Instrument ID, Instrument ID code or Spread ID doesn't exist.")
    return symbol


def whole(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise error(400, "51000", f"Parameter {name} error")
    return int(text)


def page(query: Mapping[str, str], rows: list[dict[str, Any]], key: str) -> list[Any]:
    """Rows of the asked kind and market, newest first, those before ``after`` only."""
    kind, symbol, after = (query.get(name) or "" for name in ("instType", "instId", "after"))
    if after:
        last = next((place for place, row in enumerate(rows) if row[key] == after), len(rows))
        rows = rows[last + 1 :]
    shown = [row for row in rows if kind in ("", row["instType"]) and symbol in ("", row["instId"])]
    return shown[: min(100, whole(query, "limit", 100))]


def choice(fields: Mapping[str, Any], name: str, options: Any) -> str:
    value = fields[name]
    if not isinstance(value, str) or value not in options:
        raise Refusal("PARAMETER", name)
    return value


def flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if value not in (True, False, "true", "false"):
        raise Refusal("PARAMETER", name)
    return value in (True, "true")


def number(fields: Mapping[str, Any], name: str) -> Decimal:
    value = fields.get(name)
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not _NUMBER.fullmatch(text):
        raise Refusal("PARAMETER", name)
    return decimal_of(text)


def verify(request: Request, known: Mapping[str, str], now_ms: int, *, demo: bool) -> None:
    """Raises Answer unless the signature over the raw target and the exact body is good now."""
    given = {}
    for name, code in HEADERS.items():
        given[name] = request.headers.get(name.lower(), "")
        if not given[name]:
            raise error(401, code, f'Request header "{name}" cannot be empty.', gateway=True)
    timestamp = given["OK-ACCESS-TIMESTAMP"]
    sent_ms = iso_ms(timestamp)
    if sent_ms is None:
        raise error(401, "50112", "Invalid OK-ACCESS-TIMESTAMP.", gateway=True)
    if abs(now_ms - sent_ms) > WINDOW_MS:
        raise error(401, "50102", "Timestamp request expired.", gateway=True)
    if given["OK-ACCESS-KEY"] != known["api_key"]:
        raise error(401, "50111", "Invalid OK-ACCESS-KEY.", gateway=True)
    if (request.headers.get("x-simulated-trading") == "1") != demo:
        raise error(401, "50101", "APIKey does not match current environment.", gateway=True)
    if given["OK-ACCESS-PASSPHRASE"] != known["passphrase"]:
        raise error(401, "50105", 'Request header "OK-ACCESS-PASSPHRASE" incorrect.', gateway=True)
    target = request.path + (f"?{request.query}" if request.query else "")
    text = f"{timestamp}{request.method}{target}".encode() + request.body
    right = b64encode(hmac.digest(known["api_secret"].encode(), text, "sha256")).decode()
    if not hmac.compare_digest(right.encode(), given["OK-ACCESS-SIGN"].encode()):
        raise error(401, "50113", "Invalid Sign", gateway=True)
