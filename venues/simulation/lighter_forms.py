"""
What Lighter's clients send, read strictly: forms, the JSON of a transaction with its hash, and auth tokens. The order
of the hashed fields is that of the sheet's section 2.2.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Final, NamedTuple

from venues.simulation.app import Request
from venues.simulation.forms import Answer, json_reply, read_json, read_query
from venues.simulation.schnorr_check import Element, bytes_of, hash_five

CREATE_ORDER: Final = 14
CANCEL_ORDER: Final = 15
CANCEL_ALL: Final = 16
MODIFY_ORDER: Final = 17
UPDATE_LEVERAGE: Final = 20
APPROVE_INTEGRATOR: Final = 45

HEAD: Final = ("Nonce", "ExpiredAt", "AccountIndex", "ApiKeyIndex")
BODIES: Final[Mapping[int, str]] = {
    CREATE_ORDER: "MarketIndex ClientOrderIndex BaseAmount Price IsAsk Type TimeInForce"
    " ReduceOnly TriggerPrice OrderExpiry",
    CANCEL_ORDER: "MarketIndex Index",
    CANCEL_ALL: "TimeInForce Time",
    MODIFY_ORDER: "MarketIndex Index BaseAmount Price TriggerPrice",
    UPDATE_LEVERAGE: "MarketIndex InitialMarginFraction MarginMode",
    APPROVE_INTEGRATOR: "IntegratorAccountIndex MaxPerpsTakerFee MaxPerpsMakerFee"
    " MaxSpotTakerFee MaxSpotMakerFee ApprovalExpiry",
}
"""Transaction type → its own fields in the order of the hash."""
KNOWN_ATTRIBUTES: Final = range(1, 9)


class Signed:
    """A transaction that could be read; nothing about it is checked yet."""

    __slots__ = ("account", "attributes", "fields", "hash", "key", "kind", "late_ms", "message", "nonce", "signature")

    def __init__(
        self, kind: int, fields: Mapping[str, int], attributes: Mapping[int, int], signature: bytes, chain_id: int
    ) -> None:
        self.kind = kind
        self.fields = fields
        self.attributes = attributes
        self.signature = signature
        self.message = transaction_message(chain_id, kind, fields, attributes)
        self.hash = bytes_of(self.message).hex()
        self.account = fields["AccountIndex"]
        self.key = fields["ApiKeyIndex"]
        self.nonce = fields["Nonce"]
        self.late_ms = 0
        """How much later than its turn a fault lets it take effect."""


class Token(NamedTuple):
    """An auth token, read; ``limbs`` is what its signature covers."""

    deadline_secs: int
    account: int
    key: int
    limbs: list[int]
    signature: bytes


def transaction_message(chain_id: int, kind: int, fields: Mapping[str, int], attributes: Mapping[int, int]) -> Element:
    """The five elements that are signed."""
    numbers = [chain_id, kind, *(fields[name] for name in (*HEAD, *BODIES[kind].split()))]
    message = hash_five([number % 2**64 for number in numbers])
    told = sorted((key, value) for key, value in attributes.items() if value != (255 if key == 5 else 0))
    if not told:
        return message
    flat = [number for pair in told for number in pair]
    return hash_five([*message, *hash_five(flat + [0] * (8 - len(flat)))])


def read_form(request: Request) -> dict[str, Any]:
    """The fields of a form, url-encoded or multipart; empty for anything else."""
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        message = BytesParser(policy=HTTP).parsebytes(b"content-type: " + kind.encode() + b"\r\n\r\n" + request.body)
        parts = message.iter_parts() if message.is_multipart() else ()
        form = {}
        for part in parts:
            name, value = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
            if isinstance(name, str) and isinstance(value, bytes):
                form[name] = value.decode(errors="replace").strip()
        return form
    return read_query(request.body.decode(errors="replace"))


def read_transaction(kind: Any, info: Any, chain_id: int) -> Signed:
    """
    A transaction out of its type and its JSON, which the stream may carry as an object.

    Raises:
        Answer: 21505 for a type that is not simulated, 21501 for JSON of another shape.
    """
    number = int(kind) if str(kind).isascii() and str(kind).isdigit() and len(str(kind)) < 4 else -1
    if number not in BODIES:
        raise _refused(21505, "unsupported tx type")
    try:
        row = read_json(info) if isinstance(info, str) else info
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise _refused(21501, "invalid tx info")
    fields = {}
    for name in (*HEAD, *BODIES[number].split()):
        value = row.get(name)
        if type(value) is not int or not -(2**63) <= value < 2**64:
            raise _refused(21501, "invalid tx info")
        fields[name] = value
    attributes = row.get("L2TxAttributes") or {}
    if not isinstance(attributes, dict) or len(attributes) > 4:
        raise _refused(21501, "invalid tx info")
    read: dict[int, int] = {}
    for key, value in attributes.items():
        if not (key.isascii() and key.isdigit() and int(key[:4]) in KNOWN_ATTRIBUTES and type(value) is int):
            raise _refused(21501, "invalid tx info")
        read[int(key)] = value
    try:
        signature = base64.b64decode(row.get("Sig") or "", validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise _refused(21501, "invalid tx info") from None
    return Signed(number, fields, read, signature, chain_id)


def token_message(token: str) -> Token | None:
    """``deadline:account:key:signature``, None for a text of another shape."""
    text, _, signature = token.rpartition(":")
    parts = text.split(":")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 16 for part in parts):
        return None
    try:
        raw = bytes.fromhex(signature)
    except ValueError:
        return None
    limbs = [int.from_bytes(text.encode()[start : start + 8], "little") for start in range(0, len(text), 8)]
    deadline, account, key = map(int, parts)
    return Token(deadline, account, key, limbs, raw)


def _refused(code: int, message: str) -> Answer:
    return Answer(json_reply({"code": code, "message": message}, 400))
