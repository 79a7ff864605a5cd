"""
HMAC-SHA256 or Ed25519 over the parameters.

REST: the percent-encoded query exactly as sent. WebSocket API: all ``params`` but the signature, sorted by name,
``name=value`` joined by ``&``, not percent-encoded. Proven by the 17 vectors of ``auth_vectors.json``, made by
ccxt 4.5.64, the official SDKs and the published examples.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote, urlencode

import msgspec
from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_seed_keypair

from venues.binance.facts import ABILITIES
from venues.dialect import HttpCall
from venues.errors import LocalRuleError

WINDOW_MS: Final = ABILITIES.expiry_ms
"""``recvWindow``: the venue refuses what reaches it later than this after its timestamp (default 5000, most 60000)."""
KEYED: Final = "key"
"""``HttpCall.auth`` of a call that carries the key and no signature (listen keys)."""
SIGNED: Final = "signed"

_KEY: Final = re.compile(r"[\x21-\x7e]{1,256}")
_SEED_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")
# PKCS#8 of an Ed25519 seed (RFC 8410): this head, then the 32 bytes.
_PKCS8_HEAD: Final = bytes.fromhex("302e020100300506032b657004220420")

_encoder: Final = msgspec.json.Encoder()


class Signer:
    """
    One account's key, its schedule computed once. ``can_log_on``: an Ed25519 key, which may log a connection on.

    Args:
        api_key: As the venue shows it.
        api_secret: The HMAC secret; or an Ed25519 key as PKCS#8 PEM or as the 32-byte seed in hex.

    Raises:
        LocalRuleError: AUTH. Its text never has a part of the secret.
    """

    __slots__ = ("_hmac", "_secret", "api_key", "can_log_on")

    def __init__(self, api_key: str, api_secret: str) -> None:
        self.api_key = api_key.strip()
        secret = api_secret.strip()
        if not _KEY.fullmatch(self.api_key):
            raise LocalRuleError("AUTH", "api_key of Binance is missing or has characters that no key has.")
        seed = _seed(secret)
        self.can_log_on = seed is not None
        if seed is not None:
            _, self._secret = crypto_sign_seed_keypair(seed)
            self._hmac = None
        elif _KEY.fullmatch(secret):
            self._secret = b""
            self._hmac = hmac.new(secret.encode(), None, hashlib.sha256)
        else:
            raise LocalRuleError("AUTH", "api_secret of Binance is neither an HMAC secret nor an Ed25519 key (PEM).")

    def __repr__(self) -> str:
        return "Signer(•••)"

    def signature(self, text: str) -> str:
        """Lower-case hex (HMAC) or base64 (Ed25519)."""
        if self._hmac is not None:
            digest = self._hmac.copy()
            digest.update(text.encode())
            return digest.hexdigest()
        return b64encode(crypto_sign(text.encode(), self._secret)[:crypto_sign_BYTES]).decode()

    def signed(self, call: HttpCall, now_ms: int) -> HttpCall:
        """``call`` with key and signature; unchanged when it is public. ``now_ms`` is the venue's time."""
        if call.auth is None:
            return call
        path = call.path
        if call.auth == SIGNED:
            query = urlencode((*call.params, ("recvWindow", str(WINDOW_MS)), ("timestamp", str(now_ms))))
            path = f"{path}?{query}&signature={quote(self.signature(query), safe='')}"
        headers = (*call.headers, ("X-MBX-APIKEY", self.api_key))
        return HttpCall(call.method, path, call.body, headers, call.auth, call.params, call.host)

    def frame(self, request_id: str, method: str, params: Sequence[tuple[str, str]], now_ms: int) -> str:
        """A signed request of the WebSocket API."""
        values: dict[str, str | int] = {"apiKey": self.api_key, "recvWindow": WINDOW_MS, "timestamp": now_ms}
        values.update(params)
        values["signature"] = self.signature(signing_text(values))
        return _encoder.encode({"id": request_id, "method": method, "params": values}).decode()

    def logon(self, request_id: str, now_ms: int) -> str:
        """``session.logon``; only an Ed25519 key may send it."""
        return self.frame(request_id, "session.logon", (), now_ms)


def signing_text(params: Mapping[str, str | int | bool]) -> str:
    """What is signed of a WebSocket request's ``params``; JSON booleans as their JSON text."""
    return "&".join(
        f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in sorted(params.items())
    )


def _seed(secret: str) -> bytes | None:
    """The 32 bytes of an Ed25519 key in either form; None when it is no such key."""
    if _SEED_HEX.fullmatch(secret):
        return bytes.fromhex(secret)
    if "PRIVATE KEY-----" not in secret:
        return None
    # Line ends of a PEM in an environment variable are often typed as \n.
    lines = secret.replace("\\n", "\n").split("\n")
    try:
        raw = b64decode("".join(line.strip() for line in lines if "-----" not in line), validate=True)
    except ValueError:
        raw = b""
    if len(raw) != 48 or not raw.startswith(_PKCS8_HEAD):
        raise LocalRuleError("AUTH", "api_secret of Binance is a PEM, but not one of an Ed25519 private key.")
    return raw[16:]
