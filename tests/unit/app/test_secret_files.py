"""Secrets from private files: which are taken, which are refused, and that nothing of them is repeated."""

import os

import pytest

from app.secret_files import SecretFileError, read_secret
from app.settings import Settings, SettingsError, load_settings, read_account
from core.secrets import VAULT

CANARY = "canary-file-90b1e4"


@pytest.fixture(autouse=True)
def _empty_vault():
    yield
    VAULT.forget_all()


@pytest.fixture
def secret(tmp_path):
    def write(content=CANARY + "\n", mode=0o600):
        path = tmp_path / "key.secret"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return path

    return write


def test_a_private_file_gives_its_text_and_the_variable_itself_wins(secret):
    """[client] 0600 and 0400 are private; the line end of the file is no part of the secret."""
    environ = {"KEY_FILE": str(secret())}
    assert read_secret("KEY", environ) == CANARY
    assert read_secret("KEY", {**environ, "KEY": "mine"}) == "mine"
    assert read_secret("KEY", {"KEY_FILE": str(secret(mode=0o400))}) == CANARY
    assert read_secret("KEY", {"KEY_FILE": " "}) == ""


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604, 0o601])
def test_a_file_that_others_may_touch_is_refused_with_the_command_that_mends_it(secret, mode):
    """[client] A wider mode is a leak already."""
    path = secret(mode=mode)
    with pytest.raises(SecretFileError, match=f"chmod 600 {path}") as caught:
        read_secret("KEY", {"KEY_FILE": str(path)})
    assert CANARY not in str(caught.value)
    assert f"{mode:04o}" in str(caught.value)


def test_what_is_no_short_text_is_refused(secret, tmp_path):
    """[ours] Folders, pipes, bytes, nothing at all: each in a sentence."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (
        tmp_path / "nowhere",
        tmp_path,
        tmp_path / "pipe",
        secret(b"\xff\xfe" + CANARY.encode()),
        tmp_path / "a\0b",
    ):
        with pytest.raises(SecretFileError, match="KEY_FILE names") as caught:
            read_secret("KEY", {"KEY_FILE": str(path)})
        assert CANARY not in str(caught.value)
    for content in (" \n", "x" * 70_000):
        with pytest.raises(SecretFileError, match="holds no secret"):
            read_secret("KEY", {"KEY_FILE": str(secret(content))})


def test_an_account_takes_its_keys_from_private_files(secret):
    """[client] BACKPACK_API_SECRET_FILE, masked from then on; a wide file stops the run with its code."""
    environ = {"BACKPACK_API_KEY": "a-public-name", "BACKPACK_API_SECRET_FILE": str(secret())}
    account = read_account(Settings(), "backpack", environ)
    assert account.secrets["api_secret"].reveal() == CANARY
    assert account.missing == ()
    assert VAULT.mask(f"x{CANARY}x") == "x•••x"
    secret(mode=0o644)
    with pytest.raises(SettingsError) as caught:
        read_account(Settings(), "backpack", environ)
    assert [mistake.code for mistake in caught.value.mistakes] == ["SECRET_FILE"]
    assert "BACKPACK_API_SECRET_FILE" in str(caught.value)


def test_the_heartbeats_secret_may_stand_in_a_file_too(secret, tmp_path):
    """[client] One rule for every secret of the settings."""
    config = tmp_path / "config.yaml"
    config.write_text(
        "heartbeat: {endpoints: [{url: 'https://monitor.example/beat', auth: bearer, token_env: BEAT_TOKEN}]}\n"
    )
    settings = load_settings(config, {}, {"BEAT_TOKEN_FILE": str(secret())})
    assert settings.heartbeat.endpoints[0].key.reveal() == CANARY
    with pytest.raises(SettingsError) as caught:
        load_settings(config, {}, {"BEAT_TOKEN_FILE": str(secret(mode=0o666))})
    assert [mistake.code for mistake in caught.value.mistakes] == ["SECRET_FILE"]
