"""Secrets that cannot be printed by accident, and the mask."""

from __future__ import annotations

import base64
import copy
import json
import pickle
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.secrets import DOTS, Secret, Vault

KEY = 'hunter2/+"\\ ü?=%'
SECRETS = st.text(st.characters(exclude_categories=["Cs"]), min_size=6, max_size=40)


def vault(*values):
    made = Vault()
    for value in values:
        made.remember(value)
    return made


def test_a_secret_shows_itself_only_when_asked():
    """[ours] repr, str, format and containers around it print three dots."""
    secret = Secret(KEY)
    assert secret.reveal() == KEY
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>40}",
        f"{secret!r}",
        repr([secret]),
    ]
    assert not any("hunter2" in text for text in shown)
    assert str(secret) == DOTS


def test_a_secret_is_not_pickled_or_copied_into_a_file():
    """[ours] Pickle would write it in clear."""
    for way in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="not written"):
            way(Secret(KEY))


def test_secrets_compare_by_content_and_never_with_text():
    """[ours] Equal ones count once; a comparison with plain text says no."""
    assert Secret(KEY) == Secret(KEY)
    assert len({Secret(KEY), Secret(KEY), Secret("other one")}) == 2
    assert Secret(KEY) != KEY
    assert not Secret("")


def in_every_form(text):
    raw = text.encode()
    return {
        "plain": text,
        "hex": raw.hex(),
        "HEX": raw.hex().upper(),
        "base64": base64.b64encode(raw).decode(),
        "base64 without padding": base64.b64encode(raw).decode().rstrip("="),
        "url-safe base64": base64.urlsafe_b64encode(raw).decode(),
        "URL": quote(raw, safe=""),
        "URL path": quote(raw),
        "form": quote_plus(raw),
        "base64 in a URL": quote(base64.b64encode(raw), safe=""),
    }


@given(SECRETS)
def test_a_remembered_secret_is_masked_in_every_form_it_travels_in(text):
    """[ours] Plain, base64, hex and URL-encoded, wherever it stands in a text."""
    made = vault(text)
    for name, form in in_every_form(text).items():
        masked = made.mask(f"<before {form} after>")
        assert form not in masked, name
        assert DOTS in masked, name


@given(SECRETS, st.text(st.characters(codec="ascii"), max_size=5))
def test_a_secret_inside_longer_base64_is_masked(text, user):
    """[ours] Basic auth encodes user:secret; the secret then starts at any of three places."""
    encoded = base64.b64encode(f"{user}:{text}".encode()).decode()
    masked = vault(text).mask(encoded)
    assert DOTS in masked
    # What may be left are the letters of the name and the few that share bits with a neighbour.
    assert len(masked.replace(DOTS, "")) <= len(encoded) - (len(text.encode()) * 4 // 3 - 3)


def test_a_secret_inside_json_is_masked():
    """[ours] Raw stream text is JSON, and JSON escapes quotes and backslashes."""
    masked = vault(KEY).mask(json.dumps({"key": KEY}, ensure_ascii=False))
    assert masked == '{"key": "' + DOTS + '"}'


def test_a_key_in_base64_is_masked_in_hex_too():
    """[ours] The same key bytes in the other spelling are the same key."""
    raw = bytes(range(200, 232))
    made = vault(base64.b64encode(raw).decode())
    assert raw.hex() not in made.mask(f"seed {raw.hex()} end")
    made = vault("0x" + raw.hex())
    assert made.mask(f"key {raw.hex()}") == f"key {DOTS}"
    assert made.mask(f"key {base64.b64encode(raw).decode()}") == f"key {DOTS}"


def test_what_is_shorter_than_six_is_not_masked():
    """[ours] A short word turns up in innocent text."""
    made = vault("12345", "")
    assert made.mask("order 12345 filled") == "order 12345 filled"


def test_the_longer_of_two_secrets_goes_first():
    """[ours] A secret that begins like another leaves no tail behind."""
    assert vault("abcdef", "abcdefghij").mask("x abcdefghij y abcdef z") == f"x {DOTS} y {DOTS} z"


@given(st.text(max_size=200))
def test_a_text_without_secrets_stays_as_it_is(text):
    """[ours] The mask takes away nothing else."""
    made = vault("a secret that is nowhere", "0123456789abcdef" * 4)
    assert made.mask(text) is text


def test_a_vault_prints_a_count():
    """[ours] Nothing stands in clear in a repr."""
    made = vault("abcdef-one", "abcdef-two", "abcdef-two")
    assert repr(made) == "Vault(2 secrets)"
    made.forget_all()
    assert repr(made) == "Vault(0 secrets)"
    assert made.mask("abcdef-one") == "abcdef-one"


def test_a_secret_that_is_no_unicode_is_survived():
    """[ours] An environment variable may hold any bytes; Python hands them over as lone surrogates."""
    odd = "secret-\udcff\udcfe"
    assert vault(odd).mask(f"<{odd}>") == f"<{DOTS}>"


def test_remembering_gives_the_secret_back():
    """[ours] One call reads, wraps and registers."""
    made = Vault()
    secret = made.remember("abcdef-one")
    assert isinstance(secret, Secret)
    assert made.remember(secret) is secret
