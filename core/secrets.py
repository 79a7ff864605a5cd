"""
Secrets that cannot be printed by accident, and the mask that takes them out of any text.

``key = remember(environ["BACKPACK_API_SECRET"])`` gives a :class:`Secret`; from then on :func:`mask` replaces it, in
the forms it usually travels in, in everything that goes to a log, a report or an error text.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode
from contextlib import suppress
from typing import Final, NoReturn
from urllib.parse import quote, quote_plus

DOTS: Final = "•••"
# Shorter words turn up in innocent text; nothing that protects an account is this short.
MIN_LENGTH: Final = 6


class Secret:
    """A text that shows itself only when asked with :meth:`reveal`; repr, str, format and pickle do not."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Secret({DOTS})"

    def __str__(self) -> str:
        return DOTS

    def __format__(self, spec: str) -> str:
        return DOTS

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_bytes(self._text), _bytes(other._text))

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written to a file")


class Vault:
    """What must never be seen. :meth:`mask` costs one test while nothing is remembered."""

    def __init__(self) -> None:
        self._secrets: frozenset[Secret] = frozenset()
        self._forms: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Vault({len(self._secrets)} secrets)"

    def remember(self, value: str | Secret) -> Secret:
        """Mask ``value`` from now on; shorter than 6 characters it is wrapped but not masked."""
        secret = value if isinstance(value, Secret) else Secret(value)
        if len(secret.reveal()) >= MIN_LENGTH and secret not in self._secrets:
            forms = _forms(secret.reveal()).union(self._forms)
            self._secrets = self._secrets | {secret}
            # Longest first: a padded form must go before the form inside it.
            self._forms = tuple(sorted(forms, key=lambda form: (-len(form), form)))
        return secret

    def forget_all(self) -> None:
        """Start again with nothing remembered."""
        self._secrets, self._forms = frozenset(), ()

    def mask(self, text: str) -> str:
        """``text`` with every remembered secret, plain, base64, hex or URL-encoded, replaced by three dots."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, DOTS)
        return text


def _bytes(text: str) -> bytes:
    # Text from the environment may hold bytes that are no UTF-8, as lone surrogates.
    return text.encode("utf-8", "surrogatepass")


def _forms(text: str) -> set[str]:
    """Every way in which a secret of at least 6 characters may stand in a text."""
    forms = {text, text.strip(), text.encode("unicode_escape").decode("ascii")}
    # JSON, with other alphabets escaped or not, and Python's own printing add backslashes.
    forms |= {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1]}
    for raw in {_bytes(text), *_decoded(text)}:
        forms |= _encoded(raw)
    for escaped in (quote(_bytes(text), safe=""), quote(_bytes(text)), quote_plus(_bytes(text))):
        forms |= {escaped, _lower_escapes(escaped)}
    return {form for form in forms if len(form) >= MIN_LENGTH}


def _encoded(raw: bytes) -> set[str]:
    whole = b64encode(raw).decode("ascii")
    forms = {whole, whole.rstrip("="), raw.hex(), raw.hex().upper()}
    # Inside a longer text (``key:secret`` of Basic auth) the same bytes give three other texts, by where they start.
    # The characters at both ends also hold bits of the neighbours, so only the middle is looked for.
    for before, spoiled in ((0, 0), (1, 2), (2, 3)):
        text = b64encode(bytes(before) + raw).decode("ascii").rstrip("=")
        tail = 1 if (before + len(raw)) % 3 else 0
        forms.add(text[spoiled : len(text) - tail])
    return forms | {quote(form, safe="") for form in forms} | {_url_safe(form) for form in forms}


def _url_safe(form: str) -> str:
    return form.replace("+", "-").replace("/", "_")


def _lower_escapes(escaped: str) -> str:
    """``%2F`` as ``%2f``; everything that is no escape stays."""
    head, *rest = escaped.split("%")
    return head + "".join("%" + part[:2].lower() + part[2:] for part in rest)


def _decoded(text: str) -> set[bytes]:
    """The bytes behind a key that is itself base64 or hex: they may be printed in the other of the two."""
    found = set()
    digits = text.removeprefix("0x")
    with suppress(ValueError):
        found.add(bytes.fromhex(digits))
    with suppress(ValueError):
        found.add(b64decode(text, validate=True))
    # A short guess would mask innocent text.
    return {raw for raw in found if len(raw) >= 16}


VAULT: Final = Vault()
"""The one vault of this process: logs and reports mask with it."""

remember: Final = VAULT.remember
mask: Final = VAULT.mask
