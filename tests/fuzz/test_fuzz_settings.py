"""Whatever stands in config.yaml or in the environment: settings, or SettingsError with every mistake and no secret."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from app.console import OUTSIDE
from app.settings import SETTINGS_CODES, Settings, SettingsError, load_settings, read_account
from core.secrets import VAULT
from runner.command import main
from runner.mistakes import SCENARIO_CODES
from tests.fuzz.mutations import mutated, profile
from venues import VENUES

pytestmark = pytest.mark.secrets_are_planted

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = (ROOT / "config.example.yaml").read_text(encoding="utf-8")
# What no message may repeat; the characters of a key, so that it cannot be a variable's name.
CANARY = "c4n4ry+7Qz0Vt1/sX9kLm2PwRb8Ud5Ge3Hj6Ya="
HOME = Path(mkdtemp(prefix="roundtrip-fuzz-"))
SPICE = ["\t", ":", "- ", "{", "}", "[", "]", '"', "'", "&a ", "*a", "!x ", "\n", "  ", "#", "|", "<<: ", "@", "---\n"]
SPICE += ["? ", "%", "\\", ",", "é", "\x00", "\u2028", ".inf", "1e999", "-1", "null", "yes", "0x1F", "~", "!!binary x"]
NUMBERS = ["0", "-1", "1e999", "nan", "inf", "9" * 60, "0x10", "1_0", "١", "²", "1:30", "", " ", "1e-400"]


@pytest.fixture(autouse=True)
def _empty_vault():
    yield
    VAULT.forget_all()


def planted() -> dict[str, Any]:
    """The example with everything given, and secrets where people put them by mistake."""
    config = YAML(typ="safe", pure=True).load(EXAMPLE)
    config["heartbeat"]["endpoints"] = [
        {"url": f"https://user:{CANARY}@monitor.example/beat", "auth": "hmac", "secret_env": CANARY},
        {"url": "https://spare.example/beat", "auth": "bearer", "token_env": "HEARTBEAT_TOKEN", "token": CANARY},
    ]
    config["accounts"]["backpack"] = {"api_key_env": CANARY, "api_secret": CANARY}
    return dict(config)


PLANTED = json.dumps(planted()).encode()
SOUND = json.dumps(YAML(typ="safe", pure=True).load(EXAMPLE)).encode()


def read(data: bytes, environ: dict[str, str]) -> Settings | None:
    """Settings, or None after a SettingsError whose form was looked at."""
    path = HOME / "config.yaml"
    path.write_bytes(data)
    try:
        return load_settings(path, {}, environ)
    except SettingsError as caught:
        error = caught
    told = str(error)
    told.encode()
    assert error.mistakes
    assert "Traceback" not in told
    for mistake in error.mistakes:
        assert mistake.code in {*SCENARIO_CODES, *SETTINGS_CODES}
        assert mistake.line >= 1
        assert mistake.column >= 1
    assert CANARY[:12] not in told + repr(error) + repr(error.mistakes)
    return None


def test_the_example_is_sound_and_the_planted_one_is_not():
    """[ours] The two documents that are broken below begin as they should."""
    assert read(SOUND, {}) is not None
    assert read(PLANTED, {"HEARTBEAT_TOKEN": "x"}) is None


@profile(60)
@given(data=st.data())
def test_a_broken_config_ends_in_mistakes(data):
    """[ours] Keys dropped, renamed, doubled; values retyped, huge, deep, no number: settings or SettingsError."""
    broken = data.draw(mutated(data.draw(st.sampled_from((SOUND, PLANTED))))).data
    found = read(broken, {"HEARTBEAT_TOKEN": "x", "HEARTBEAT_SECRET": "y"})
    assert found is None or isinstance(found, Settings)


@profile(40)
@given(data=st.data())
def test_noise_in_the_text_of_a_config_ends_in_mistakes(data):
    """[ours] Letters cut out of, and put into, the example: settings or SettingsError."""
    text = EXAMPLE.replace("endpoints: []", f"endpoints: [{{url: 'https://x:{CANARY}@h/', secret_env: '{CANARY}'}}]")
    for _ in range(data.draw(st.integers(1, 3))):
        at, cut = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 12))
        text = text[:at] + data.draw(st.sampled_from(SPICE)) + text[at + cut :]
    read(text.encode(errors="replace"), {})


@profile(60)
@given(data=st.binary(max_size=200))
def test_any_bytes_in_a_config_end_in_mistakes(data):
    """[ours] What is no YAML, no text, or no mapping."""
    read(data, {})


@profile(50)
@given(data=st.data())
def test_any_flag_and_any_variable_end_in_mistakes(data):
    """[ours] Flags with any text, variables with any text or file name: settings, accounts, or SettingsError."""
    texts = st.one_of(
        st.sampled_from([*NUMBERS, "/", "\x00", str(HOME), str(HOME / "none"), CANARY]), st.text(max_size=30)
    )
    names = st.sampled_from(
        ["qty", "seed", "speed", "interval_secs", "max_attempts", "runs_dir", "venue", "symbol", "on"]
    )
    flags = data.draw(st.dictionaries(names, texts, max_size=3))
    environ = {}
    for name in ("BACKPACK_API_KEY", "OKX_API_SECRET_FILE", "LIGHTER_PRIVATE_KEY_FILE", "BINANCE_API_SECRET"):
        environ[name] = data.draw(texts)
    try:
        settings = load_settings(None, flags, environ)
    except SettingsError as error:
        str(error).encode(errors="strict")
        settings = Settings()
    for venue in VENUES:
        try:
            account = read_account(settings, venue, environ)
        except SettingsError as error:
            codes = {mistake.code for mistake in error.mistakes}
        else:
            codes = {"SECRET_FILE"}
            assert set(map(type, account.missing)) <= {str}
            assert CANARY not in repr(account)
        assert codes == {"SECRET_FILE"}


@profile(8)
@given(data=st.data())
def test_the_command_answers_a_broken_config_with_words_and_2(data):
    """[ours] `runner plan --config`: exit 0 or 2, never a traceback, and nothing of the secret."""
    path = HOME / "command.yaml"
    path.write_bytes(data.draw(mutated(PLANTED)).data)
    out, err = io.StringIO(), io.StringIO()
    words = ["plan", str(ROOT / "scenarios" / "e2e_all.yaml"), "--config", str(path), "--on", "sim"]
    with redirect_stdout(out), redirect_stderr(err):
        code = main(words, OUTSIDE)
    told = out.getvalue() + err.getvalue()
    assert code in (0, 2)
    assert (code == 2) == bool(err.getvalue())
    assert "Traceback" not in told
    assert CANARY[:12] not in told
