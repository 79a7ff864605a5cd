"""Canaries: secrets are planted wherever secrets can be, and looked for in everything that comes out."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from app.console import OUTSIDE
from core.secrets import VAULT
from runner.command import main
from tests.e2e.virtual import FIRST, SCENARIOS
from venues import VENUES, open_room

CANARY = 'canary+7f/c1"d 9e=ü'
HEX_CANARY = "c0ffee5ca1ab1e00" * 4
# base64 of 32 bytes, the form of an Ed25519 seed: it passes the check of its form.
SEED = base64.b64encode(bytes(range(97, 129))).decode()
SCENARIO = f"""scenario: canary
venues: [{FIRST}]
symbol: SOL
seed: 7
inputs:
  note: {{type: text, default: hello}}
steps:
  - tracking_open: {{interval_secs: 2, timeout_secs: 5m, max_attempts: 150}}
  - market_close
accept:
  flat: true
  heartbeat: {{max_gap_secs: 15}}
"""


def forms(secret: str) -> set[bytes]:
    """Every form that a secret may be found in: as it is, base64, hex, URL-encoded, as JSON and Python write it."""
    raw = secret.encode()
    texts = {
        secret,
        base64.b64encode(raw).decode(),
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        raw.hex(),
        raw.hex().upper(),
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
    }
    try:
        inner = base64.b64decode(secret, validate=True)
    except ValueError:
        inner = b""
    if len(inner) >= 16:
        texts |= {inner.hex(), inner.hex().upper(), base64.urlsafe_b64encode(inner).decode()}
    return {text.encode() for text in texts}


def found(secret: str, outputs: dict[str, bytes]) -> list[tuple[str, bytes]]:
    return [(name, form) for name, data in outputs.items() for form in forms(secret) if form in data]


def files_of(folder: Path, *, but: set[str]) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in but]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture(autouse=True)
def _empty_vault() -> Iterator[None]:
    yield
    VAULT.forget_all()


def test_the_search_finds_a_canary_in_each_of_its_forms() -> None:
    """[ours] The tests below can fail."""
    for form in forms(CANARY):
        assert found(CANARY, {"log": b"x " + form + b" y"})
    assert found(SEED, {"log": bytes(range(97, 129)).hex().encode()})
    assert not found(CANARY, {"log": b"canary"})


def test_the_vault_masks_every_form_that_is_looked_for() -> None:
    """[client] Plain, base64, hex, URL-encoded, escaped: the mask knows what the search knows."""
    for secret in (CANARY, HEX_CANARY, SEED):
        VAULT.remember(secret)
        for form in forms(secret):
            assert not found(secret, {"text": VAULT.mask(f"a {form.decode()} b").encode()})


WRONG = {
    "a scenario": ["check", "secret.yaml"],
    "a scenario, as json": ["check", "secret.yaml", "--format", "json"],
    "a scenario, for github": ["check", "secret.yaml", "--format", "github"],
    "a broken scenario": ["check", "broken.yaml"],
    "a scenario that is planned": ["plan", "secret.yaml"],
    "a scenario that is played": ["play", "secret.yaml"],
    "a flag": ["check", "good.yaml", "--set", f"note={HEX_CANARY}"],
    "a flag with a telling name": ["check", "good.yaml", "--set", f"api_secret={HEX_CANARY}"],
    "a file of inputs": ["plan", "good.yaml", "--inputs", "inputs.yaml"],
    "the settings": ["plan", "good.yaml", "--config", "secret-config.yaml"],
}


@pytest.mark.parametrize("words", WRONG.values(), ids=list(WRONG))
def test_a_secret_in_the_wrong_place_is_refused_and_not_repeated(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """[client] Exit 2 with words of its own; neither terminal nor any file has it."""
    monkeypatch.chdir(tmp_path)
    own = {
        "secret.yaml": SCENARIO.replace("default: hello", f"default: {HEX_CANARY}"),
        "broken.yaml": SCENARIO + f'api_secret: "{HEX_CANARY}\n\tx: [',
        "good.yaml": SCENARIO,
        "inputs.yaml": f"note: {HEX_CANARY}\n",
        "secret-config.yaml": f"accounts:\n  {FIRST}:\n    api_secret_env: {HEX_CANARY}\n",
    }
    for name, text in own.items():
        (tmp_path / name).write_text(text)
    assert main(words, OUTSIDE) == 2
    out, err = capsys.readouterr()
    outputs = {"out": out.encode(), "err": err.encode(), **files_of(tmp_path, but=set(own))}
    assert found(HEX_CANARY, outputs) == []
    assert found(HEX_CANARY[:24], outputs) == []
    if words[1] != "broken.yaml":
        assert "SECRET_IN_FILE" in out + err


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("command", ["play", "doctor", "plan"])
def test_keys_of_the_wrong_form_are_refused_and_not_repeated(
    venue: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """[client] Every credential of every venue is a canary that is no key: nothing is sent, nothing is shown."""
    monkeypatch.chdir(tmp_path)
    # A call that leaves this machine would be a fault of its own.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    canaries = {variable: f"{CANARY}{at}" for at, variable in enumerate(open_room(venue).CREDENTIALS.values())}
    for variable, canary in canaries.items():
        monkeypatch.setenv(variable, canary)
    (tmp_path / "good.yaml").write_text(SCENARIO.replace(FIRST, venue))
    (tmp_path / "config.yaml").write_text("caps: {order_notional_usd: 20, total_notional_usd: 100}\n")
    words = ["doctor", "--venue", venue] if command == "doctor" else [command, "good.yaml"]
    code = main([*words, "--on", "live"], OUTSIDE)
    assert code == (0 if command == "plan" else 2) or (command == "doctor" and code in (2, 3))
    out, err = capsys.readouterr()
    outputs = {"out": out.encode(), "err": err.encode(), **files_of(tmp_path, but=set())}
    for canary in canaries.values():
        assert found(canary, outputs) == []


@pytest.mark.sockets
def test_a_whole_run_at_the_loudest_leaves_no_secret_anywhere(tmp_path: Path) -> None:
    """[client] Terminal, log, journals, timelines, outcome, reports, beats kept in a file: keys and tokens in none."""
    runner = [sys.executable, "-c", "import sys; from app.console import main; sys.exit(main())"]
    environ = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(SCENARIOS.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "BEAT_TOKEN": "canary-token-41c9",
        "BEAT_SECRET": SEED,
        "BACKPACK_API_SECRET": "canary-unused-77aa",
    }
    (tmp_path / "good.yaml").write_text(SCENARIO)
    beats = (
        "heartbeat:\n  interval_secs: 1\n  timeout_secs: 0.5\n  retries: 0\n  endpoints:\n"
        "    - {url: 'http://127.0.0.1:9/beat', auth: bearer, token_env: BEAT_TOKEN}\n"
        "    - {url: 'http://localhost:9/beat', auth: hmac, secret_env: BEAT_SECRET}\n"
    )
    (tmp_path / "config.yaml").write_text(beats)
    (tmp_path / "faults.yaml").write_text("- {action: lose_reply, on: http, kind: place, nth: [1]}\n")
    serving = [*runner, "sim", "serve", "--venue", FIRST, "--port-base", "0", "--json", "--speed", "10"]
    with subprocess.Popen(serving, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True) as serve:
        try:
            assert serve.stdout is not None
            line = serve.stdout.readline()
            (tmp_path / "sims.json").write_text(line)
            played = subprocess.run(
                [*runner, "play", "good.yaml", "--sims", "sims.json", "--speed", "10", "--log-level", "DEBUG"],
                cwd=tmp_path,
                env=environ,
                capture_output=True,
                timeout=60,
                check=False,
            )
        finally:
            serve.terminate()
            serve.wait(10)
    assert played.returncode in (0, 1), played.stderr[-2000:]
    outputs = {"out": played.stdout, "err": played.stderr, **files_of(tmp_path, but={"sims.json"})}
    kinds = {name.rpartition("/")[2].rpartition(".")[2] for name in outputs}
    assert {"out", "err", "jsonl", "json", "md", "html", "xml", "db"} <= kinds
    assert b" debug " in played.stderr
    credentials = json.loads(line)[FIRST]["credentials"]
    planted = [*credentials.values(), environ["BEAT_TOKEN"], environ["BEAT_SECRET"], environ["BACKPACK_API_SECRET"]]
    for secret in planted:
        assert found(str(secret), outputs) == [], secret
