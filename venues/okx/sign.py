"""
HMAC-SHA256, base64, over ``timestamp + METHOD + path with query + body``, all exactly as sent.

Proven by the 15 vectors of ``auth_vectors.json``, made by ccxt 4.5.64 and python-okx 0.4.4.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Final

from venues.dialect import HttpCall
from venues.errors import LocalRuleError

SIGNED: Final = "signed"
"""``HttpCall.auth`` of a private request."""
_UNIX: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DEMO: Final = (("x-simulated-trading", "1"),)


def iso_time(now_ms: int) -> str:
    """Unix milliseconds as the venue signs them: ``2023-11-14T22:13:20.000Z``."""
    moment = _UNIX + timedelta(milliseconds=now_ms)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{now_ms % 1000:03d}Z"


class Signer:
    """
    One account's key.

    Args:
        api_secret: Taken whole, as text; nothing in it is decoded.
        demo: Demo trading: every request says so in a header.

    Raises:
        LocalRuleError: AUTH. Its text never has a part of a credential.
    """

    __slots__ = ("_passphrase", "_secret", "api_key", "demo")

    def __init__(self, api_key: str, api_secret: str, passphrase: str, *, demo: bool = False) -> None:
        parts = {"api_key": api_key, "api_secret": api_secret, "passphrase": passphrase}
        for name, text in parts.items():
            if not text or not text.isascii() or not text.isprintable() or text != text.strip():
                raise LocalRuleError(
                    "AUTH", f"{name} of OKX is missing, or is not plain text without blanks around it."
                )
        self.api_key = api_key
        self.demo = demo
        self._secret = api_secret.encode()
        self._passphrase = passphrase

    def __repr__(self) -> str:
        return "Signer(•••)"

    def signature(self, text: bytes) -> str:
        """base64 of the 32-byte signature of ``text``."""
        return b64encode(hmac.digest(self._secret, text, "sha256")).decode()

    def signed(self, call: HttpCall, now_ms: int) -> HttpCall:
        """``call`` with its headers; ``now_ms`` is the venue's time, good for 30 s there."""
        demo = _DEMO if self.demo else ()
        if call.auth is None:
            return HttpCall(call.method, call.path, call.body, (*call.headers, *demo), host=call.host) if demo else call
        timestamp = iso_time(now_ms)
        text = f"{timestamp}{call.method}{call.path}".encode() + call.body
        return HttpCall(
            call.method,
            call.path,
            call.body,
            (
                *call.headers,
                ("OK-ACCESS-KEY", self.api_key),
                ("OK-ACCESS-SIGN", self.signature(text)),
                ("OK-ACCESS-TIMESTAMP", timestamp),
                ("OK-ACCESS-PASSPHRASE", self._passphrase),
                *demo,
            ),
            call.auth,
            call.params,
            call.host,
        )

    def login(self, now_ms: int) -> dict[str, str]:
        """The argument of a stream's ``login``; its timestamp is in whole seconds."""
        timestamp = str(now_ms // 1000)
        return {
            "apiKey": self.api_key,
            "passphrase": self._passphrase,
            "timestamp": timestamp,
            "sign": self.signature(f"{timestamp}GET/users/self/verify".encode()),
        }
