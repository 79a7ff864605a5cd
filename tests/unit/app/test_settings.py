"""Settings: file, environment and flags, and every mistake told at once."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from decimal import Decimal
from pathlib import Path

import pytest

from app.settings import SETTINGS_CODES, Settings, SettingsError, load_settings, locks_folder, read_account
from core.secrets import VAULT
from execution.caps import Caps
from runner.heartbeat import Auth, Endpoint, HeartbeatSettings
from runner.mistakes import SCENARIO_CODES
from venues import VENUES, open_room

EXAMPLE = Path(__file__).resolve().parents[3] / "config.example.yaml"


@pytest.fixture(autouse=True)
def _empty_vault():
    """Secrets remembered by one test are not masked in the next."""
    yield
    VAULT.forget_all()


@pytest.fixture
def load(tmp_path):
    def load_text(text, overrides=None, environ=None):
        path = tmp_path / "config.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_settings(path, overrides or {}, environ or {})

    return load_text


@pytest.fixture
def refused(load):
    def mistakes_of(text, overrides=None, environ=None):
        with pytest.raises(SettingsError) as caught:
            load(text, overrides, environ)
        for mistake in caught.value.mistakes:
            assert mistake.code in {*SCENARIO_CODES, *SETTINGS_CODES}
            assert mistake.message in str(caught.value)
        return caught.value.mistakes

    return mistakes_of


# -- what holds


def test_without_a_file_the_defaults_hold():
    """[ours] Nothing has to be configured for a simulated play."""
    settings = load_settings(None, {}, {})
    assert settings == Settings()
    assert (settings.venue, settings.symbol, settings.on, settings.qty) == ("backpack", "SOL", "sim", None)


@pytest.mark.parametrize(
    "text",
    ["", "# only words\n", "\ufeffvenue: backpack\n", "caps:\nheartbeat:\naccounts:\n", "heartbeat: {endpoints: }"],
)
def test_an_empty_file_changes_nothing(load, text):
    """[ours] Comments, a BOM or empty sections are no mistake."""
    assert load(text) == Settings()


def test_the_settings_are_frozen():
    """[client] config.yaml becomes a frozen dataclass."""
    settings = Settings()
    with pytest.raises(FrozenInstanceError):
        settings.venue = "okx"
    with pytest.raises(TypeError):
        settings.accounts["okx"] = {}


def test_every_value_of_the_file_arrives_exactly(load):
    """[client] Money is read digit by digit: 0.1 is not 0.1000000000000000055."""
    settings = load("""
symbol: ETH
market: spot
mode: market
qty: 0.10
side: sell
on: testnet
seed: 7
interval_secs: 0.5
timeout_secs: 30
max_attempts: 3
price_offset_ticks: 2
state_dir: a
runs_dir: b
logs_dir: c
locks_dir: d
log_level: debug
log_json: true
caps: {order_notional_usd: 25, play_notional_usd: 60, total_notional_usd: 1e2, day_notional_usd: 500.5, \
net_exposure_usd: 0.3, price_band_bps: 50}
heartbeat: {interval_secs: 5, timeout_secs: 2, retries: 0, strategy: smoke}
""")
    assert settings == Settings(
        symbol="ETH",
        market="spot",
        mode="market",
        qty=Decimal("0.10"),
        side="sell",
        on="testnet",
        seed=7,
        interval_secs=0.5,
        timeout_secs=30.0,
        max_attempts=3,
        price_offset_ticks=2,
        state_dir=Path("a"),
        runs_dir=Path("b"),
        logs_dir=Path("c"),
        locks_dir=Path("d"),
        log_level="DEBUG",
        log_json=True,
        caps=Caps(
            order_notional_usd=Decimal(25),
            play_notional_usd=Decimal(60),
            total_notional_usd=Decimal(100),
            day_notional_usd=Decimal("500.5"),
            net_exposure_usd=Decimal("0.3"),
            price_band_bps=50,
        ),
        heartbeat=HeartbeatSettings(
            interval_secs=5.0, timeout_secs=2.0, retries=0, strategy="smoke", fallback_file=Path("c/heartbeat.jsonl")
        ),
    )
    assert str(settings.qty) == "0.10"


@pytest.mark.parametrize(
    ("text", "bps"),
    [("", 1_000), ("caps: {order_notional_usd: 5}", 1_000), ("caps: {price_band_bps: null}", None),
     ("caps:\n  price_band_bps:\n", None), ("caps: {price_band_bps: 1}", 1)],
)  # fmt: skip
def test_the_price_band_is_on_unless_it_is_switched_off(load, text, bps):
    """[client] Ten percent where the config says nothing; null is no band."""
    assert load(text).caps.price_band_bps == bps


@pytest.mark.parametrize("value", ["0", "10001", "1.5", "-1", "ten", "true"])
def test_a_price_band_is_whole_basis_points(refused, value):
    """[ours] 1 to 10000; nothing else is guessed at."""
    (mistake,) = refused(f"caps: {{price_band_bps: {value}}}")
    assert mistake.code in ("OUT_OF_RANGE", "WRONG_TYPE")


@pytest.mark.parametrize(
    ("text", "environ", "folder"),
    [
        ("", {"XDG_STATE_HOME": "/state"}, "/state/roundtrip/locks"),
        ("", {"XDG_STATE_HOME": "relative"}, "~/.local/state/roundtrip/locks"),
        ("", {}, "~/.local/state/roundtrip/locks"),
        ("locks_dir: null", {}, "~/.local/state/roundtrip/locks"),
        ("locks_dir: mine\nstate_dir: other", {"XDG_STATE_HOME": "/state"}, "mine"),
    ],
)
def test_locks_are_in_one_folder_whatever_the_state_folder_is(load, text, environ, folder):
    """[client] Per user, so that two runs with different state folders still meet."""
    assert locks_folder(load(text), environ) == Path(folder).expanduser()


def test_a_user_without_a_home_keeps_locks_in_the_state_folder(monkeypatch):
    """[ours] In a container nobody may have a home; a simulated run must not fail for it."""

    def homeless(self):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    assert locks_folder(Settings(state_dir=Path("here")), {}) == Path("here/locks")


def test_a_flag_of_the_same_name_overrides_the_file(load):
    """[client] Flags win, as text or as values; one that was not given changes nothing."""
    text = "qty: 0.5\nseed: 3\non: testnet\nlog_json: true\nruns_dir: here\n"
    flags = {
        "qty": "min",
        "seed": 9,
        "on": "sim",
        "log_json": False,
        "runs_dir": Path("there"),
        "speed": "2.5",
        "side": None,
    }
    settings = load(text, flags)
    assert (settings.qty, settings.seed, settings.on, settings.log_json) == (None, 9, "sim", False)
    assert (settings.runs_dir, settings.speed, settings.side) == (Path("there"), 2.5, "buy")


def test_heartbeat_endpoints_take_their_secrets_from_the_environment(load):
    """[client] The file names variables; their values are masked from then on and printed nowhere."""
    text = """
heartbeat:
  endpoints:
    - {url: "https://one.example/beat?k=1", auth: hmac, secret_env: HEARTBEAT_SECRET}
    - {url: "https://two.example", auth: bearer, token_env: HEARTBEAT_TOKEN}
    - {url: "http://127.0.0.1:8099/beat"}
"""
    settings = load(text, environ={"HEARTBEAT_SECRET": "first-secret\n", "HEARTBEAT_TOKEN": "second-secret"})
    first, second, third = settings.heartbeat.endpoints
    assert (first.auth, first.key.reveal()) == (Auth.HMAC, "first-secret")
    assert (second.auth, second.key.reveal()) == (Auth.BEARER, "second-secret")
    assert (third.auth, third.key) == (Auth.NONE, None)
    assert "-secret'" not in repr(settings)
    assert VAULT.mask("x first-secret second-secret") == "x ••• •••"


def test_account_keys_come_from_the_environment_under_the_usual_or_the_configured_names(load):
    """[client] Keys never stand in the file; what is missing is named by its variable."""
    usual = open_room("backpack").CREDENTIALS
    environ = {usual["api_key"]: "usual-key", "OTHER_SECRET": "other-secret"}
    account = read_account(Settings(), "backpack", environ)
    assert {name: secret.reveal() for name, secret in account.secrets.items()} == {"api_key": "usual-key"}
    assert account.missing == (usual["api_secret"],)
    settings = load("accounts: {backpack: {api_secret_env: OTHER_SECRET}}")
    account = read_account(settings, "backpack", environ)
    assert account.secrets["api_secret"].reveal() == "other-secret"
    assert account.missing == ()
    assert VAULT.mask("usual-key other-secret") == "••• •••"
    assert "other-secret" not in repr(account)


def test_reading_settings_loads_no_yaml_reader_and_no_http_client_before_they_are_needed():
    """[ours] `runner --help` starts fast; a run without a file or a heartbeat never pays for them."""
    code = "import sys, app.settings as s; s.load_settings(None, {}, {}); print([m for m in sys.modules if m in " + (
        "('ruamel.yaml', 'httpx', 'jsonschema', 'venues.backpack')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=EXAMPLE.parent, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# -- the example


def keys_of(settings):
    return {item.name for item in fields(settings)}


def test_the_example_explains_every_key_and_holds_the_defaults():
    """[client] config.example.yaml has every field of the dataclass, no other, each with a comment."""
    text = EXAMPLE.read_text()
    usual = {venue: dict(open_room(venue).CREDENTIALS) for venue in VENUES}
    settings = load_settings(EXAMPLE, {}, {})
    assert {venue: dict(names) for venue, names in settings.accounts.items()} == usual
    plain = {item.name: getattr(settings, item.name) for item in fields(settings)} | {"accounts": {}}
    assert plain == {item.name: getattr(Settings(), item.name) for item in fields(Settings)} | {"accounts": {}}
    top = set(re.findall(r"^(\w+):", text, re.M))
    assert top == keys_of(Settings)
    section = dict(re.findall(r"^(caps|heartbeat):\n((?:  .*\n)+)", text, re.M))
    assert set(re.findall(r"^  (\w+):", section["caps"], re.M)) == keys_of(Caps)
    assert set(re.findall(r"^  (\w+):", section["heartbeat"], re.M)) == keys_of(HeartbeatSettings)
    silent = [line for line in re.findall(r"^ *\w+: \S.*$", text, re.M) if "#" not in line and "_env:" not in line]
    assert silent == []


def test_the_endpoints_in_the_examples_comment_work(load):
    """[ours] What people uncomment is right, and names every key of an endpoint."""
    text = EXAMPLE.read_text()
    commented = re.search(r"^  endpoints: \[\].*\n((?:  # .*\n)+)", text, re.M)
    lines = re.sub(r"^  # ", "  ", commented[1], flags=re.M)
    environ = {"HEARTBEAT_SECRET": "first-secret", "HEARTBEAT_TOKEN": "second-secret"}
    first, second = load(text.replace(commented[0], lines), environ=environ).heartbeat.endpoints
    assert (first.auth, second.auth) == (Auth.HMAC, Auth.BEARER)
    named = set(re.findall(r"^[ -]*(\w+):", lines, re.M))
    assert named - {"endpoints"} == keys_of(Endpoint) - {"key"}


# -- what is refused


def test_all_mistakes_are_told_at_once_with_their_places(refused):
    """[client] One pass finds everything: file, line, column, what was found, what is expected, the nearest word."""
    mistakes = refused(
        "venue: backpak\nmax_atempts: 3\nspeed: fast\nheartbeat:\n  retries: 99\n", {"side": "bye", "wat": 1}
    )
    told = [(m.code, Path(m.file).name, m.line, m.column, m.suggestion) for m in mistakes]
    assert told == [
        ("UNKNOWN_VENUE", "config.yaml", 1, 8, "backpack"),
        ("UNKNOWN_KEY", "config.yaml", 2, 1, "max_attempts"),
        ("WRONG_TYPE", "config.yaml", 3, 8, None),
        ("OUT_OF_RANGE", "config.yaml", 5, 12, None),
        ("UNKNOWN_CHOICE", "--side", 1, 1, "buy"),
        ("UNKNOWN_KEY", "--wat", 1, 1, None),
    ]
    assert mistakes[0].found == "'backpak'"
    assert mistakes[3].expected == "a whole number from 0 to 10"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("qty: 0", "OUT_OF_RANGE"),
        ("qty: -1", "OUT_OF_RANGE"),
        ("qty: .nan", "OUT_OF_RANGE"),
        ("qty: .inf", "OUT_OF_RANGE"),
        ("qty: 1" + "0" * 400, "OUT_OF_RANGE"),
        ("qty: 1e999", "OUT_OF_RANGE"),
        ("qty: much", "OUT_OF_RANGE"),
        ("qty:", "WRONG_TYPE"),
        ("qty: [1]", "WRONG_TYPE"),
        ("qty: {a: 1}", "WRONG_TYPE"),
        ("qty: true", "WRONG_TYPE"),
        ("max_attempts: 1.5", "WRONG_TYPE"),
        ("max_attempts: 0x10", "OUT_OF_RANGE"),
        ("max_attempts: 0", "OUT_OF_RANGE"),
        ('max_attempts: "3"', "WRONG_TYPE"),
        ("max_attempts: " + "9" * 5000, "OUT_OF_RANGE"),
        ("seed: -1", "OUT_OF_RANGE"),
        ("interval_secs: 0.1", "OUT_OF_RANGE"),
        ("interval_secs: 10s", "WRONG_TYPE"),
        ("symbol: 1000", "WRONG_TYPE"),
        ("symbol: SOL_USDC_PERP", "OUT_OF_RANGE"),
        ("log_json: yes", "WRONG_TYPE"),
        ("log_level: LOUD", "UNKNOWN_CHOICE"),
        ("market: futures", "UNKNOWN_CHOICE"),
        ('state_dir: " "', "OUT_OF_RANGE"),
        ("caps: 5", "WRONG_TYPE"),
        ("caps: {order_notional_usd: 0}", "OUT_OF_RANGE"),
        ("caps: {orders: 5}", "UNKNOWN_KEY"),
        ("heartbeat: {endpoints: https://a.example}", "WRONG_TYPE"),
        ("heartbeat: {endpoints: [https://a.example]}", "WRONG_TYPE"),
        ("heartbeat: {endpoints: [{auth: none}]}", "MISSING_KEY"),
        ("heartbeat: {interval_secs: 3, timeout_secs: 3}", "OUT_OF_RANGE"),
        ("accounts: {kraken: {}}", "UNKNOWN_VENUE"),
        ("accounts: {backpack: {api_kee_env: ABC}}", "UNKNOWN_KEY"),
        ("side: buy\nside: sell", "DUPLICATE_KEY"),
        ("<<: {side: sell}", "UNKNOWN_KEY"),
        ("? [a]\n: 1", "UNKNOWN_KEY"),
        ("- venue", "WRONG_TYPE"),
        ("just words", "WRONG_TYPE"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(refused, line, code):
    """[client] Unknown keys, wrong kinds, NaN, huge numbers, values out of range: a clear error, nothing started."""
    (mistake,) = refused(line)
    assert mistake.code == code


@pytest.mark.parametrize(
    ("raw", "code", "line"),
    [
        (b"venue: [1", "YAML_SYNTAX", 1),
        (b"venue: backpack\n\tsymbol: SOL", "YAML_SYNTAX", 2),
        (b"a: 1\n---\nb: 2", "YAML_SYNTAX", 2),
        (b"venue: *x", "YAML_SYNTAX", 1),
        (b"venue: \x07", "YAML_SYNTAX", 1),
        (b"[" * 100_000, "YAML_DEEP", 1),
        (b"venue: backpack\nsymbol: \xff\xfe", "FILE_ENCODING", 2),
        ("venue: backpack".encode("utf-16"), "FILE_ENCODING", 1),
        (b"#" * 1_000_001, "FILE_TOO_BIG", 1),
    ],
)
def test_a_file_that_cannot_be_read_is_told_in_words(refused, raw, code, line):
    """[client] Broken YAML, wrong encoding, absurd size: the place, no traceback."""
    (mistake,) = refused(raw)
    assert (mistake.code, mistake.line) == (code, line)


@pytest.mark.parametrize(
    ("name", "value"), [("log_json", "maybe"), ("seed", ""), ("speed", float("nan")), ("qty", Decimal("-1"))]
)
def test_a_flag_that_does_not_fit_is_told_by_its_name(name, value):
    """[ours] Flags go through the same rules as the file."""
    with pytest.raises(SettingsError) as caught:
        load_settings(None, {name: value}, {})
    assert [mistake.file for mistake in caught.value.mistakes] == ["--" + name.replace("_", "-")]


@pytest.mark.parametrize(("name", "code"), [("none.yaml", "FILE_MISSING"), (".", "FILE_IS_FOLDER")])
def test_a_file_that_is_not_there_is_told(tmp_path, name, code):
    """[client] A typing error in --config is no default config."""
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path / name, {}, {})
    assert [mistake.code for mistake in caught.value.mistakes] == [code]


SECRET = "sEcReT0123456789"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"api_secret: {SECRET}", "SECRET_IN_FILE"),
        (f"accounts: {{backpack: {{api_secret: {SECRET}}}}}", "SECRET_IN_FILE"),
        (f"accounts: {{backpack: {{api_secret_env: {SECRET}}}}}", "SECRET_IN_FILE"),
        ("accounts: {backpack: {api_secret_env: 1234567890123456}}", "SECRET_IN_FILE"),
        (f"heartbeat: {{token: {SECRET}}}", "SECRET_IN_FILE"),
        (
            f"heartbeat: {{endpoints: [{{url: 'https://a.example', auth: bearer, token_env: {SECRET}}}]}}",
            "SECRET_IN_FILE",
        ),
        (f"heartbeat: {{endpoints: [{{url: 'https://me:{SECRET}@a.example'}}]}}", "OUT_OF_RANGE"),
        (f"heartbeat: {{endpoints: [{{url: 'http://a.example/{SECRET}'}}]}}", "OUT_OF_RANGE"),
        (f"unknown: {SECRET}", "UNKNOWN_KEY"),
        (f"venue: *{SECRET}", "YAML_SYNTAX"),
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(refused, text, code):
    """[client] A secret does not belong into the file; the message has its own words and never the value."""
    (mistake,) = refused(text)
    assert mistake.code == code
    assert SECRET not in repr(mistake)
    assert "1234567890" not in repr(mistake)


def test_the_way_out_for_a_secret_is_named(refused):
    """[client] The message says where the secret goes instead."""
    (mistake,) = refused(f"accounts: {{backpack: {{api_secret: {SECRET}}}}}")
    assert "environment variable" in mistake.message
    assert mistake.suggestion == "api_secret_env"


@pytest.mark.parametrize(
    ("endpoint", "environ", "code"),
    [
        ("auth: bearer", {}, "MISSING_KEY"),
        ("auth: hmac", {}, "MISSING_KEY"),
        ("auth: hmac, token_env: TOKEN", {"TOKEN": "x"}, "OUT_OF_RANGE"),
        ("auth: bearer, token_env: TOKEN", {}, "MISSING_SECRET"),
        ("auth: bearer, token_env: TOKEN", {"TOKEN": " "}, "MISSING_SECRET"),
        ("auth: bearer, token_env: TOKEN", {"TOKEN": "two\nlines"}, "OUT_OF_RANGE"),
        ("auth: basic", {}, "UNKNOWN_CHOICE"),
    ],
)
def test_an_endpoint_that_could_not_log_in_is_refused(refused, endpoint, environ, code):
    """[ours] The presence of every secret is checked before the first connection."""
    mistakes = refused(f"heartbeat: {{endpoints: [{{url: 'https://a.example', {endpoint}}}]}}", environ=environ)
    assert code in [mistake.code for mistake in mistakes]


def test_a_live_run_needs_caps(refused, load):
    """[client] `live` needs the notional caps per order and in all, whether the file or the flag says live."""
    (mistake,) = refused("caps: {order_notional_usd: 25}", {"on": "live"})
    assert mistake.code == "LIVE_NEEDS_CAPS"
    assert "caps.total_notional_usd" in mistake.message
    (mistake,) = refused("side: sell\non: live")
    assert (mistake.line, mistake.column) == (2, 1)
    assert load("on: live\ncaps: {order_notional_usd: 25, total_notional_usd: 100}").on == "live"


def test_a_real_exchange_keeps_its_own_time(refused):
    """[ours] --speed is for simulated runs."""
    (mistake,) = refused("on: testnet", {"speed": "10"})
    assert mistake.code == "OUT_OF_RANGE"
