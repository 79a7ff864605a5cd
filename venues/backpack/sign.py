"""
ED25519 over ``instruction=<name>&<sorted params>&timestamp=<ms>&window=<ms>``.

Values are signed raw, not percent-encoded (bpx-py and the Rust client do so; the two readings differ only for
reserved characters). Proven by the 23 vectors of ``signing_vectors.json``, made by ccxt 4.5.64 and bpx-py 2.0.11.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_seed_keypair

from venues.backpack.facts import ABILITIES
from venues.dialect import HttpCall
from venues.errors import LocalRuleError

WINDOW_MS: Final = ABILITIES.expiry_ms
"""The venue refuses what reaches it later than this after its timestamp (default 5000, at most 60000)."""

Params: TypeAlias = Iterable[tuple[str, str]]


def signing_text(instruction: str, groups: Sequence[Params], now_ms: int, window_ms: int = WINDOW_MS) -> str:
    """
    What is signed. ``groups`` has one entry for a plain request (maybe empty) and one per order for a batch:
    the instruction is then repeated before each.
    """
    parts: list[str] = []
    for params in groups:
        parts.append(f"instruction={instruction}")
        parts.extend(f"{key}={value}" for key, value in sorted(params))
    return "&".join([*parts, f"timestamp={now_ms}", f"window={window_ms}"])


class Signer:
    """
    One account's key, its schedule computed once.

    Args:
        api_key: base64 of the 32-byte verifying key.
        api_secret: base64 of the 32-byte seed; of 64 bytes the first 32 are the seed, as ccxt has it.

    Raises:
        LocalRuleError: AUTH. Its text never has a part of the secret.
    """

    __slots__ = ("_secret", "api_key")

    def __init__(self, api_key: str, api_secret: str) -> None:
        seed = _bytes(api_secret)
        if seed is None or len(seed) not in (32, 64):
            raise LocalRuleError("AUTH", "api_secret must be base64 of 32 bytes, as Backpack shows it.")
        verifying_key, self._secret = crypto_sign_seed_keypair(seed[:32])
        self.api_key = api_key.strip()
        # The venue would answer "Invalid signature"; a mixed-up pair is better told before anything is sent.
        if _bytes(self.api_key) != verifying_key:
            raise LocalRuleError("AUTH", "api_key and api_secret of Backpack do not belong together.")

    def __repr__(self) -> str:
        return "Signer(•••)"

    def signature(self, text: str) -> str:
        """base64 of the 64-byte signature of ``text``."""
        return b64encode(crypto_sign(text.encode(), self._secret)[:crypto_sign_BYTES]).decode()

    def signed(self, call: HttpCall, now_ms: int) -> HttpCall:
        """``call`` with its four headers; unchanged when it is public. ``now_ms`` is the venue's time."""
        if call.auth is None:
            return call
        text = signing_text(call.auth, (call.params,), now_ms)
        return HttpCall(
            call.method,
            call.path,
            call.body,
            (
                *call.headers,
                ("X-API-Key", self.api_key),
                ("X-Signature", self.signature(text)),
                ("X-Timestamp", str(now_ms)),
                ("X-Window", str(WINDOW_MS)),
            ),
            call.auth,
            call.params,
            call.host,
        )

    def subscription(self, now_ms: int) -> list[str]:
        """The ``signature`` of a SUBSCRIBE frame: key, signature, timestamp, window - four strings."""
        text = signing_text("subscribe", ((),), now_ms)
        return [self.api_key, self.signature(text), str(now_ms), str(WINDOW_MS)]


def _bytes(text: str) -> bytes | None:
    try:
        return b64decode(text.strip(), validate=True)
    except ValueError:
        return None
