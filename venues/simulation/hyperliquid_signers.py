"""
Who signed an action on a simulated Hyperliquid: EIP-712 from its type texts, key recovery, agents and used nonces.

Nothing here says that a signature is wrong: a wrong one recovers the address of a stranger, as on the venue.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec
from coincurve import PublicKey
from Crypto.Hash import keccak as _keccak

KEPT_NONCES: Final = 100
"""The highest ones of a signer; a new one must be above the lowest of them."""
DAY_MS: Final = 86_400_000
NONCE_AGE_MS: Final = 2 * DAY_MS
NONCE_AHEAD_MS: Final = DAY_MS

# The venue hashes an action anew from its own structures: keys in this order, others dropped, absent ones left out.
_ORDER_KEYS: Final = ("a", "b", "p", "s", "r", "t", "c")
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "order": ("type", "orders", "grouping", "builder"),
    "cancel": ("type", "cancels"),
    "cancelByCloid": ("type", "cancels"),
    "batchModify": ("type", "modifies"),
    "scheduleCancel": ("type", "time"),
    "updateLeverage": ("type", "asset", "isCross", "leverage"),
    "setReferrer": ("type", "code"),
    "noop": ("type",),
}
_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "orders": _ORDER_KEYS,
    "order": _ORDER_KEYS,
    "modifies": ("oid", "order"),
    "builder": ("b", "f"),
    "t": ("limit", "trigger"),
    "limit": ("tif",),
    "trigger": ("isMarket", "triggerPx", "tpsl"),
}
_CANCELS: Final[Mapping[str, tuple[str, ...]]] = {"cancel": ("a", "o"), "cancelByCloid": ("asset", "cloid")}
_NUMBERS: Final = ("p", "s", "triggerPx")

_CHAIN: Final = "string hyperliquidChain"
USER_SIGNED: Final[Mapping[str, str]] = {
    "approveAgent": f"ApproveAgent({_CHAIN},address agentAddress,string agentName,uint64 nonce)",
    "approveBuilderFee": f"ApproveBuilderFee({_CHAIN},string maxFeeRate,address builder,uint64 nonce)",
    "usdClassTransfer": f"UsdClassTransfer({_CHAIN},string amount,bool toPerp,uint64 nonce)",
}
"""Actions that the account key itself signs, as EIP-712 types of their own."""


class Malformed(Exception):
    """The request is none that the venue's own types could hold."""


def keccak(data: bytes) -> bytes:
    """Keccak-256."""
    return _keccak.new(digest_bits=256, data=data).digest()


def _struct(text: str, *values: bytes) -> bytes:
    return keccak(keccak(text.encode()) + b"".join(values))


def _domain(name: str, chain_id: int) -> bytes:
    text = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    return _struct(text, keccak(name.encode()), keccak(b"1"), chain_id.to_bytes(32, "big"), bytes(32))


_EXCHANGE: Final = _domain("Exchange", 1337)


def canonical(action: Mapping[str, Any]) -> Any:
    """An L1 action as the venue's own structures print it."""
    kind = action.get("type")
    if not isinstance(kind, str) or kind not in _KEYS:
        raise Malformed(f"action {kind!r}")
    return _ordered(action, _KEYS[kind], _CANCELS.get(kind, ()))


def _ordered(value: Any, keys: tuple[str, ...], cancels: tuple[str, ...]) -> Any:
    if isinstance(value, list):
        return [_ordered(each, keys, cancels) for each in value]
    if not isinstance(value, dict):
        raise Malformed("expected an object")
    done: dict[str, Any] = {}
    for key in keys:
        part = value.get(key)
        if part is None:
            continue
        inner = cancels if key == "cancels" else _PARTS.get(key, ())
        if inner:
            part = _ordered(part, inner, ())
        elif key in _NUMBERS:
            part = _number(part)
        elif not isinstance(part, str | int):
            raise Malformed(f"{key} of another type")
        done[key] = part
    return done


def _number(text: Any) -> str:
    """A number as the venue prints it: without trailing zeros."""
    try:
        value = Decimal(text) if isinstance(text, str) and len(text) < 40 else Decimal("NaN")
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or abs(value.adjusted()) > 36:
        raise Malformed("a number of another form")
    plain = f"{value:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def digests(action: Mapping[str, Any], nonce: int, vault: bytes, expires_ms: int | None) -> Iterator[bytes]:
    """What may have been signed: for an L1 action once for each network."""
    try:
        if action.get("type") in USER_SIGNED:
            yield _user_signed(action)
            return
        data = msgspec.msgpack.encode(canonical(action)) + nonce.to_bytes(8, "big")
        data += b"\x01" + vault if vault else b"\x00"
        if expires_ms is not None:
            data += b"\x00" + expires_ms.to_bytes(8, "big")
    except (OverflowError, UnicodeError, TypeError, RecursionError) as broken:
        raise Malformed(str(broken)) from None
    for source in (b"a", b"b"):
        agent = _struct("Agent(string source,bytes32 connectionId)", keccak(source), keccak(data))
        yield keccak(b"\x19\x01" + _EXCHANGE + agent)


def _user_signed(action: Mapping[str, Any]) -> bytes:
    text = USER_SIGNED[action["type"]]
    values = []
    for field in text.partition("(")[2].rstrip(")").split(","):
        kind, _, name = field.partition(" ")
        # The official SDK signs an unnamed agent as "" and leaves the key out.
        value = action.get(name, "")
        match kind, value:
            case "string", str():
                values.append(keccak(value.encode()))
            case "address", str():
                values.append(address_bytes(value).rjust(32, b"\0"))
            case "uint64" | "bool", int() if 0 <= value < 1 << 64:
                values.append(int(value).to_bytes(32, "big"))
            case _:
                raise Malformed(f"{name} of another type")
    chain = action.get("signatureChainId")
    if not isinstance(chain, str) or len(chain) > 18:
        raise Malformed("signatureChainId")
    try:
        chain_id = int(chain, 16)
    except ValueError:
        raise Malformed("signatureChainId") from None
    if chain_id < 0:
        raise Malformed("signatureChainId")
    domain = _domain("HyperliquidSignTransaction", chain_id)
    return keccak(b"\x19\x01" + domain + _struct(f"HyperliquidTransaction:{text}", *values))


def address_bytes(text: Any) -> bytes:
    """20 bytes of an address in hex, with or without ``0x``."""
    try:
        raw = bytes.fromhex(text.removeprefix("0x")) if isinstance(text, str) else b""
    except ValueError:
        raw = b""
    if len(raw) != 20:
        raise Malformed("an address of another form")
    return raw


def address_text(raw: bytes) -> str:
    return "0x" + raw.hex()


def recover(digest: bytes, signature: Any) -> str:
    """
    The address that signed ``digest``; empty where no key could have.

    Raises:
        Malformed: not a signature in form. Leading zeros of r and s may be missing.
    """
    if not isinstance(signature, dict):
        raise Malformed("signature")
    r, s, v = (signature.get(name) for name in "rsv")
    if not (isinstance(r, str) and isinstance(s, str) and isinstance(v, int) and len(r) < 67 and len(s) < 67):
        raise Malformed("signature")
    try:
        raw = bytes.fromhex(r.removeprefix("0x").rjust(64, "0") + s.removeprefix("0x").rjust(64, "0"))
    except ValueError:
        raise Malformed("signature") from None
    if v not in (27, 28) or len(raw) != 64:
        return ""
    try:
        key = PublicKey.from_signature_and_message(raw + bytes([v - 27]), digest, hasher=None)
    except Exception:  # the library raises a bare Exception for numbers that are no point
        return ""
    return address_text(keccak(key.format(compressed=False)[1:])[-20:])


class Signers:
    """The accounts, their agents, and the nonces that each signer has used."""

    def __init__(self, *accounts: str) -> None:
        self.accounts = set(accounts)
        self.agents: dict[str, str] = {}
        """Agent's address → its master's."""
        self.names: dict[tuple[str, str], str] = {}
        """(master, name) → agent: approving a name again replaces its agent."""
        self._nonces: dict[str, set[int]] = {}

    def approve(self, master: str, agent: str, name: str) -> None:
        old = self.names.pop((master, name), None)
        if old is not None:
            self.agents.pop(old, None)
        self.names[master, name] = agent
        self.agents[agent] = master

    def account_of(self, signer: str, *, own_key: bool) -> str | None:
        """The account that a signer acts for; an agent may not sign what needs the account's own key."""
        if signer in self.accounts:
            return signer
        return None if own_key else self.agents.get(signer)

    def burn(self, signer: str, nonce: int, now_ms: int) -> str:
        """Use a nonce. Returns the refusal, empty for none; a refused nonce stays unused."""
        used = self._nonces.setdefault(signer, set())
        lowest = min(used) if len(used) >= KEPT_NONCES else 0
        lowest = max(lowest, now_ms - NONCE_AGE_MS)
        if nonce in used:
            return f"Invalid nonce: duplicate nonce {nonce}"
        if nonce <= lowest:
            return f"Invalid nonce: nonce too low {nonce} < {lowest}"
        if nonce >= now_ms + NONCE_AHEAD_MS:
            return f"Invalid nonce: nonce too high {nonce} > {now_ms + NONCE_AHEAD_MS}"
        used.add(nonce)
        if len(used) > KEPT_NONCES:
            used.remove(min(used))
        return ""
