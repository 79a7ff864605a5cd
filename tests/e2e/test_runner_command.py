"""The installed commands as a person meets them: subprocesses in an empty folder, real loopback sockets, real time."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from schemas.outcome import faults as outcome_faults
from tests.e2e.virtual import FIRST, SCENARIOS

pytestmark = pytest.mark.sockets

RUNNER = [str(Path(sys.executable).with_name("runner"))]
# Long beside what a test takes, so that a busy machine does not fail it; short beside a hanging suite.
PATIENCE_SECS = 60
FILES = {"plan.json", "events.jsonl", "outcome.json", "report.md", "report.html", "junit.xml"}
HOLD = f"""scenario: hold
title: Open at market, hold, close
venues: [{FIRST}]
market: perp
symbol: SOL
side: buy
size: min
seed: 7
steps:
  - market_open
  - wait: {{secs: 4m}}
  - market_close
"""
QUICK = HOLD.replace("scenario: hold", "scenario: quick").replace("4m", "1s") + "accept:\n  flat: true\n"


def environment(folder: Path) -> dict[str, str]:
    """Nothing of the machine's own settings or keys."""
    return {"PATH": os.defpath, "HOME": str(folder), "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}


def run(folder: Path, *words: str, command: list[str] = RUNNER) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *words],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=PATIENCE_SECS,
        check=False,
    )


class Started:
    """A command that runs beside the test."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            [*RUNNER, *words],
            cwd=folder,
            env=environment(folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            bufsize=1,
        )
        self.out = self.err = ""
        self._lines: queue.Queue[str] = queue.Queue()
        # Threads, so that neither pipe can fill up and a wait for a line can end.
        self._readers = [threading.Thread(target=self._read_out), threading.Thread(target=self._read_err)]
        for reader in self._readers:
            reader.start()

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.out += line
            self._lines.put(line)

    def _read_err(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.err += line

    def line_with(self, words: str) -> str:
        """The next line of standard output that has ``words``."""
        while True:
            try:
                line = self._lines.get(timeout=PATIENCE_SECS)
            except queue.Empty:
                raise AssertionError(f"no line with {words!r} in:\n{self.out}\n{self.err}") from None
            if words in line:
                return line

    def end(self, *signals: signal.Signals) -> tuple[int, str, str]:
        """``(exit code, all standard output, standard error)``."""
        for number in signals:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE_SECS)
        self.close()
        return code, self.out, self.err

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_SECS)
        for reader in self._readers:
            reader.join(PATIENCE_SECS)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()


@contextlib.contextmanager
def started(folder: Path, *words: str) -> Iterator[Started]:
    command = Started(folder, *words)
    try:
        yield command
    finally:
        command.close()


@contextlib.contextmanager
def served(folder: Path, *words: str) -> Iterator[Path]:
    """A file with the JSON line of simulators that are up."""
    with started(folder, "sim", "serve", "--json", "--port-base", "0", "--seed", "11", *words) as server:
        line = server.line_with("{")
        file = folder / "sims.json"
        file.write_text(line, encoding="utf-8")
        yield file
        code, _, err = server.end(signal.SIGTERM)
        assert (code, err) == (0, "")


def only_run(folder: Path, runs: int = 1) -> Path:
    found = sorted((folder / "runs").iterdir())
    assert len(found) == runs
    return found[-1]


def outcome_of(folder: Path) -> dict:
    outcome = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    assert outcome_faults(outcome) == []
    return outcome


def test_the_scenario_plays_in_an_empty_folder_and_its_report_can_be_told_again(tmp_path: Path):
    """[client] `runner play e2e_all.yaml`: exit 0, every file of the report; `runner report` gives the same bytes."""
    (tmp_path / "e2e_all.yaml").write_bytes((SCENARIOS / "e2e_all.yaml").read_bytes())
    done = run(tmp_path, "play", "e2e_all.yaml", "--speed", "20")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "accepted" in done.stdout.lower()
    assert "Traceback" not in done.stdout + done.stderr
    folder = only_run(tmp_path)
    assert {path.name for path in folder.iterdir()} >= FILES
    outcome = outcome_of(folder)
    assert (outcome["verdict"], outcome["exit_code"], outcome["on"]) == ("accepted", 0, "sim")
    timelines = {order["timeline_file"] for play in outcome["plays"] for order in play["orders"]}
    assert timelines <= {path.name for path in (tmp_path / "logs" / "orders").iterdir()}
    told = {name: (folder / name).read_bytes() for name in ("report.md", "report.html", "junit.xml")}
    for name in told:
        (folder / name).unlink()
    again = run(tmp_path, "report", folder.name)
    assert (again.returncode, again.stderr) == (0, "")
    assert {name: (folder / name).read_bytes() for name in told} == told


def test_simulators_that_are_up_are_played_on_and_no_secret_is_written_anywhere(tmp_path: Path):
    """[ours] `sim serve --json` + `--sims`: accepted; at DEBUG no form of a secret is in any file or output."""
    (tmp_path / "quick.yaml").write_text(QUICK, encoding="utf-8")
    with served(tmp_path, "--speed", "5") as sims:
        lines = json.loads(sims.read_text(encoding="utf-8"))
        done = run(tmp_path, "play", "quick.yaml", "--sims", "sims.json", "--speed", "5", "--log-level", "DEBUG")
    assert done.returncode == 0, done.stdout + done.stderr
    sims.unlink()
    texts = {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
    for path in tmp_path.rglob("*"):
        if path.is_file():
            texts[str(path.relative_to(tmp_path))] = path.read_bytes()
    assert any(name.endswith("log.jsonl") for name in texts)
    # DEBUG does hold what went over the streams: the search looks at the right files.
    assert any(b"account." in text for name, text in texts.items() if name.endswith("log.jsonl")) or FIRST != "backpack"
    for line in lines.values():
        for name, secret in line["credentials"].items():
            if name not in ("api_key", "address", "account_index", "api_key_index", "chain_id", "ed25519_key"):
                for form, needle in forms(str(secret)).items():
                    found = [where for where, text in texts.items() if needle in text]
                    assert found == [], f"{name} as {form}"


def forms(secret: str) -> dict[str, bytes]:
    """The ways in which a secret might be written."""
    raw = secret.encode()
    found = {
        "text": raw,
        "url": quote(secret, safe="").encode(),
        "base64": base64.b64encode(raw).rstrip(b"="),
        "hex": raw.hex().encode(),
        "json": json.dumps(secret)[1:-1].encode(),
    }
    with contextlib.suppress(ValueError):
        key = bytes.fromhex(secret.removeprefix("0x")) if secret.startswith("0x") else base64.b64decode(secret)
        if len(key) >= 16:
            found |= {
                "bytes": key,
                "bytes in hex": key.hex().encode(),
                "bytes in base64": base64.b64encode(key).rstrip(b"="),
                "bytes in base64url": base64.urlsafe_b64encode(key).rstrip(b"="),
                "repr of bytes": repr(key)[2:-1].encode(),
            }
    return found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HOLD.replace("market_open", "markt_open"), "market_open"),
        (HOLD.replace("side: buy", "side: bye"), "buy"),
        (HOLD + "\taccept: [\n", "bad.yaml"),
        (HOLD.replace(f"[{FIRST}]", "[nowhere]"), "nowhere"),
    ],
    ids=["step", "side", "syntax", "venue"],
)
def test_a_wrong_file_is_refused_before_anything_is_sent(text: str, words: str, tmp_path: Path):
    """[client] Exit 2 with file, line and column; no run folder, no order, no traceback."""
    (tmp_path / "bad.yaml").write_text(text, encoding="utf-8")
    done = run(tmp_path, "play", "bad.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "bad.yaml:" in done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"bad.yaml"}


def test_ctrl_c_in_mid_play_cleans_up_and_another_process_finds_the_account_flat(tmp_path: Path):
    """[client] SIGINT while a position is held: exit 4, report written; the next play is not refused as dirty."""
    (tmp_path / "hold.yaml").write_text(HOLD, encoding="utf-8")
    (tmp_path / "quick.yaml").write_text(QUICK, encoding="utf-8")
    with served(tmp_path):
        with started(tmp_path, "play", "hold.yaml", "--sims", "sims.json") as hold:
            hold.line_with("step 2")
            code, out, err = hold.end(signal.SIGINT)
        assert code == 4, out + err
        assert "Traceback" not in out + err
        folder = only_run(tmp_path)
        outcome = outcome_of(folder)
        assert (outcome["verdict"], outcome["interrupted"]) == ("interrupted", "SIGINT")
        assert outcome["plays"][0]["position"]["flat"] is True
        assert {path.name for path in folder.iterdir()} >= FILES
        done = run(tmp_path, "play", "quick.yaml", "--sims", "sims.json", "--speed", "5")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_second_signal_leaves_at_once_and_says_what_stays_open(tmp_path: Path):
    """[client] TERM, then Ctrl-C while the closing order hangs: exit 5, the position named, and where to go next."""
    (tmp_path / "hold.yaml").write_text(HOLD, encoding="utf-8")
    (tmp_path / "faults.json").write_text(
        json.dumps([{"action": "delay", "on": "http", "kind": "place", "nth": [2], "params": {"ms": 20_000}}]),
        encoding="utf-8",
    )
    with started(tmp_path, "play", "hold.yaml", "--faults", "faults.json") as hold:
        hold.line_with("step 2")
        hold.process.send_signal(signal.SIGTERM)
        hold.line_with("cleanup 2")
        code, out, err = hold.end(signal.SIGINT)
    assert code == 5, out + err
    assert "may still be open" in err
    assert f"{FIRST}: " in err
    assert "runner recover" in err
    assert "Traceback" not in out + err
    journal = (only_run(tmp_path) / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["event"] for line in journal][-1] == "left"


def test_one_order_type_on_one_venue_without_a_scenario_file(tmp_path: Path):
    """[client] `python -m app.main --mode tracking_limit`: the same engine, closed again at the end, exit 0."""
    words = ["--venue", FIRST, "--symbol", "SOL", "--mode", "tracking_limit", "--qty", "0.01", "--speed", "20"]
    done = run(tmp_path, *words, "--seed", "7", command=[sys.executable, "-m", "app.main"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    folder = next(path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    outcome = outcome_of(folder)
    (played,) = outcome["plays"]
    assert (outcome["verdict"], played["tracking"][0]["reason"]) == ("accepted", "FILLED")
    assert played["position"]["flat"] is True


def test_json_progress_is_the_journal_line_by_line(tmp_path: Path):
    """[ours] `--progress json`: standard output is events.jsonl and nothing else."""
    (tmp_path / "quick.yaml").write_text(QUICK, encoding="utf-8")
    done = run(tmp_path, "play", "quick.yaml", "--speed", "20", "--progress", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == (only_run(tmp_path) / "events.jsonl").read_text(encoding="utf-8")
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()][-1] == "outcome"


def test_a_port_that_is_taken_is_told_in_words(tmp_path: Path):
    """[ours] `sim serve` on a port in use: exit 3, the port and what to do, no traceback."""
    with served(tmp_path) as sims:
        port = json.loads(sims.read_text(encoding="utf-8"))[FIRST]["rest"].rpartition(":")[2]
        done = run(tmp_path, "sim", "serve", "--venue", FIRST, "--port-base", port)
    assert done.returncode == 3
    assert port in done.stderr
    assert "Traceback" not in done.stderr
