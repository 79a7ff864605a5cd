"""One zip of a run: whole, verifiable by anybody, and without secrets."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
import zipfile
from pathlib import Path

import pytest

from app.console import OUTSIDE
from runner.command import main

HERE = Path(__file__).resolve().parent
_spec = importlib.util.spec_from_file_location("runs_on_disk", HERE / "runs_on_disk.py")
assert _spec is not None
assert _spec.loader is not None
disk = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(disk)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def run(capsys, *words):
    code = main([str(word) for word in words], OUTSIDE)
    told = capsys.readouterr()
    return code, told.out, told.err


def sign(capsys, folder, *more, decision="accept"):
    return run(capsys, "sign", folder, "--name", "Ann Lee", "--role", "Trading", "--decision", decision, *more)


CANARY = "canary-5d1f0c9be7a2/+=secret"


def test_the_zip_holds_the_evidence_and_verifies(runs, capsys):
    """[client] Report, outcome, plan, scenario, timelines, manifest and signatures; verified where it lies."""
    folder = disk.make_run(runs)
    sign(capsys, folder)
    code, out, _ = run(capsys, "export", folder, "--out", "evidence.zip")
    assert code == 0
    assert out.startswith("evidence.zip: ")
    with zipfile.ZipFile("evidence.zip") as archive:
        names = {name.removeprefix(f"{folder.name}/") for name in archive.namelist()}
    assert names >= {"report.html", "report.md", "junit.xml", "outcome.json", "plan.json", "scenario.yaml"}
    assert names >= {"inputs.json", "events.jsonl", "VERIFY.md", "seal/manifest.json", "seal/SHA256SUMS"}
    assert sum(name.startswith("orders/") for name in names) >= 2
    assert sum(name.startswith("seal/signatures/") for name in names) == 3
    assert not [name for name in names if "journal" in name or name == "log.jsonl"]
    code, out, _ = run(capsys, "verify", "evidence.zip")
    assert code == 0
    assert out.endswith("VERIFIED\n")


def test_the_same_run_gives_the_same_archive(runs, capsys):
    """[ours] No time and no machine's name is in it."""
    folder = disk.make_run(runs)
    run(capsys, "export", folder, "--out", "a.zip")
    run(capsys, "export", folder, "--out", "b.zip")
    assert Path("a.zip").read_bytes() == Path("b.zip").read_bytes()


def test_an_unpacked_copy_verifies_without_any_settings(runs, capsys, tmp_path, monkeypatch):
    """[client] Another place, no config, no state: verify needs the copy alone, and finds a change in it."""
    folder = disk.make_run(runs)
    sign(capsys, folder)
    run(capsys, "export", folder, "--out", tmp_path / "evidence.zip")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with zipfile.ZipFile(tmp_path / "evidence.zip") as archive:
        archive.extractall(elsewhere)
    assert run(capsys, "verify", folder.name)[0] == 0
    assert not list(elsewhere.glob("state"))
    timeline = next((elsewhere / folder.name / "orders").glob("*.jsonl"))
    timeline.write_bytes(timeline.read_bytes().replace(b'"local"', b'"venue"', 1))
    code, out, _ = run(capsys, "verify", folder.name)
    assert code == 1
    assert f"✗ orders/{timeline.name}, bytes 0 to" in out


def test_a_change_within_the_zip_is_found(runs, capsys):
    """[client] An archive that was written again with another outcome is not verified."""
    folder = disk.make_run(runs)
    sign(capsys, folder)
    run(capsys, "export", folder, "--out", "good.zip")
    with zipfile.ZipFile("good.zip") as good, zipfile.ZipFile("bad.zip", "w") as bad:
        for name in good.namelist():
            data = good.read(name)
            bad.writestr(name, data.replace(b'"accepted"', b'"refuted!"') if name.endswith("outcome.json") else data)
    code, out, _ = run(capsys, "verify", "bad.zip")
    assert code == 1
    assert re.search(r"✗ outcome\.json, bytes \d+ to \d+: changed", out)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"x" * 1000])
def test_what_is_no_archive_is_refused_with_words(runs, capsys, content):
    """[ours] No traceback for a damaged file."""
    Path("odd.zip").write_bytes(content)
    code, _, err = run(capsys, "verify", "odd.zip")
    assert code == 2
    assert "no readable zip archive" in err


def test_an_archive_cut_or_spoiled_anywhere_never_verifies(runs, capsys):
    """[ours] Whatever byte is hit, the end is a sentence and not VERIFIED."""
    folder = disk.make_run(runs)
    sign(capsys, folder)
    run(capsys, "export", folder, "--out", "good.zip")
    whole = Path("good.zip").read_bytes()
    body = whole.index(b"PK\x01\x02")
    for place in range(40, body, body // 23):
        Path("bad.zip").write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        code, out, err = run(capsys, "verify", "bad.zip")
        assert code in (0, 1, 2)
        assert code != 0 or out.endswith("VERIFIED\n")  # the byte was of a file that no signature covers
        assert "Traceback" not in out + err
    Path("bad.zip").write_bytes(whole[: len(whole) // 2])
    assert run(capsys, "verify", "bad.zip")[0] == 2


def forms(secret):
    raw = secret.encode()
    return [secret, base64.b64encode(raw).decode(), raw.hex(), "canary-5d1f0c9be7a2%2F%2B%3Dsecret"]


@pytest.mark.secrets_are_planted
@pytest.mark.parametrize("form", forms(CANARY))
@pytest.mark.parametrize("name", ["events.jsonl", "scenario.yaml", "orders/backpack-SOL-1.jsonl"])
def test_a_secret_of_this_machine_never_leaves_in_an_archive(runs, capsys, monkeypatch, form, name):
    """[client] Planted in any file and in any form it travels in: refused, place told, the secret itself never."""
    monkeypatch.setenv("BACKPACK_API_KEY", "canary-key-of-the-account")
    monkeypatch.setenv("BACKPACK_API_SECRET", CANARY)
    folder = disk.make_run(runs)
    path = folder / name
    path.write_text((path.read_text() if path.exists() else "") + f'{{"text":"{form}"}}\n')
    code, out, err = run(capsys, "export", folder, "--out", "evidence.zip")
    assert code == 2
    assert f"{name}, line " in err
    assert not Path("evidence.zip").exists()
    assert not [seen for seen in forms(CANARY) if seen in out + err]


def test_a_private_key_never_leaves_in_an_archive(runs, capsys):
    """[ours] Neither the signer's own, nor a PEM of anybody."""
    folder = disk.make_run(runs)
    sign(capsys, folder)
    seed = Path("state/signing-key").read_text().strip()
    assert run(capsys, "export", folder, "--out", "a.zip")[0] == 0
    events = folder / "events.jsonl"
    whole = events.read_text()
    for words in (seed, "-----BEGIN PRIVATE KEY-----"):
        events.write_text(whole + json.dumps({"text": words}) + "\n")
        code, _, err = run(capsys, "export", folder, "--out", "b.zip")
        assert code == 2
        assert seed not in err


def test_an_unsigned_run_can_be_exported_and_says_so(runs, capsys):
    """[ours] Evidence before the decision."""
    folder = disk.make_run(runs)
    assert run(capsys, "export", folder, "--out", "a.zip")[0] == 0
    with zipfile.ZipFile("a.zip") as archive:
        assert "Nobody has signed it yet." in archive.read(f"{folder.name}/VERIFY.md").decode()
    assert run(capsys, "verify", "a.zip") == (2, "", "a.zip is not signed.\n")
