"""Keys from the system keyring: the last place that is asked, and only where its library is installed."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from app.secret_files import SecretFileError, read_secret


def keyring(monkeypatch: pytest.MonkeyPatch, found: dict[tuple[str, str], str], error: Exception | None = None) -> None:
    """Puts a keyring in the place of the system's own."""
    module = ModuleType("keyring")

    def get_password(service: str, name: str) -> str | None:
        if error is not None:
            raise error
        return found.get((service, name))

    module.get_password = get_password  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", module)


def test_a_key_of_the_keyring_is_found_by_the_name_of_its_variable(monkeypatch):
    """[client] service roundtrip, name BACKPACK_API_SECRET."""
    keyring(monkeypatch, {("roundtrip", "BACKPACK_API_SECRET"): " from-the-ring\n"})
    assert read_secret("BACKPACK_API_SECRET", {}) == "from-the-ring"
    assert read_secret("BACKPACK_API_KEY", {}) == ""


def test_the_environment_wins_over_the_keyring(monkeypatch, tmp_path):
    """[client] Variable first, then private file, then keyring."""
    keyring(monkeypatch, {("roundtrip", "KEY"): "ring"})
    private = tmp_path / "key"
    private.write_text("file")
    private.chmod(0o600)
    assert read_secret("KEY", {"KEY": "word", "KEY_FILE": str(private)}) == "word"
    assert read_secret("KEY", {"KEY_FILE": str(private)}) == "file"


def test_a_locked_keyring_is_said_without_its_words(monkeypatch):
    """[client] The refusal names the key that was asked for, never what the keyring holds or says."""
    keyring(monkeypatch, {}, RuntimeError("canary-of-the-ring"))
    with pytest.raises(SecretFileError) as said:
        read_secret("BACKPACK_API_SECRET", {})
    assert "BACKPACK_API_SECRET" in str(said.value)
    assert "canary" not in str(said.value)


def test_without_the_library_there_is_no_keyring(monkeypatch):
    """[ours] The extra is optional: nothing is missing but the third place."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert read_secret("BACKPACK_API_SECRET", {}) == ""
