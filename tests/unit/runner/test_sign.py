"""Sign and verify: what is signed stays as it was, and nobody accepts what is not proven flat."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
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


def sign(capsys, folder, *more, name="Ann Lee", role="Head of trading", decision="accept"):
    return run(capsys, "sign", folder, "--name", name, "--role", role, "--decision", decision, *more)


def test_a_signed_run_verifies_and_says_that_it_was_simulated(runs, capsys):
    """[client] Sign, verify: the run, the signer, the fingerprint and the word SIMULATED are told."""
    folder = disk.make_run(runs)
    code, out, _ = sign(capsys, folder.name)
    assert code == 0
    print_ = re.search(r"Key fingerprint: ((?:[0-9a-f]{4} ?){4})", out)[1].strip()
    code, out, _ = run(capsys, "verify", folder.name)
    assert code == 0
    assert out.startswith(f"SIMULATED RUN {folder.name}, on sim\n")
    assert "✓ accepted by Ann Lee, Head of trading" in out
    assert "(of a simulated run)" in out
    assert f"key {print_}" in out
    assert out.endswith("VERIFIED\n")


def test_the_report_shows_the_decision_with_a_short_fingerprint(runs, capsys):
    """[client] Both written forms name signer, role, decision and key; the sealed copy is the one before signing."""
    folder = disk.make_run(runs)
    _, out, _ = sign(capsys, folder, "--comment", "as seen <b>today</b>")
    print_ = re.search(r"Key fingerprint: (.+)", out)[1]
    markdown, html = (folder / "report.md").read_text(), (folder / "report.html").read_text()
    assert "✓ accepted (of a simulated run) | Ann Lee | Head of trading |" in markdown
    assert print_ in markdown
    assert print_ in html
    assert "&lt;b&gt;today" in html
    assert "Ann Lee" not in (folder / "seal" / "report.html").read_text()


def test_more_than_one_person_can_sign(runs, capsys):
    """[client] Each with a key of their own; a second signature does not break the first."""
    folder = disk.make_run(runs)
    assert sign(capsys, folder)[0] == 0
    code, out, _ = sign(capsys, folder, "--key", "bo.key", name="Bo Chen", role="Risk", decision="reject")
    assert code == 0
    assert "Your key was made now: bo.key" in out
    assert Path("bo.key").stat().st_mode & 0o777 == 0o600
    code, out, _ = run(capsys, "verify", folder)
    assert code == 0
    assert "✓ accepted by Ann Lee" in out
    assert "✓ rejected by Bo Chen, Risk" in out
    code, _, err = sign(capsys, folder)
    assert (code, err) == (2, f"Ann Lee has already signed {folder.name} as accepted.\n")


def test_the_key_is_made_once_for_its_owner_alone(runs, capsys):
    """[client] 0600, in the state folder, the same key the next time; a key that others can read is refused."""
    one, two = disk.make_run(runs, "one"), disk.make_run(runs, "two")
    first = re.search(r"Public key.*: (\w{64})", sign(capsys, one)[1])[1]
    key = Path("state/signing-key")
    assert key.stat().st_mode & 0o777 == 0o600
    assert re.search(r"Public key.*: (\w{64})", sign(capsys, two)[1])[1] == first
    assert key.read_text().strip() not in (one / "report.html").read_text() + str(list(one.rglob("*")))
    key.chmod(0o640)
    code, _, err = sign(capsys, disk.make_run(runs, "three"))
    assert code == 2
    assert "chmod 600" in err
    key.chmod(0o600)
    key.write_text("not hex\n")
    code, _, err = sign(capsys, runs / "three")
    assert code == 2
    assert "64 hex digits" in err
    assert "not hex\n" not in err.replace("it is not 64 hex digits", "")


def every_sealed_file(folder):
    return sorted(row["path"] for row in json.loads((folder / "seal/manifest.json").read_text())["files"])


def test_scenario_inputs_plan_journal_timelines_and_outcome_are_sealed(runs, capsys):
    """[client] Every kind of evidence is in the manifest, the timeline of every order among it."""
    folder = disk.make_run(runs)
    sign(capsys, folder)
    orders = [
        order["timeline_file"]
        for play in json.loads((folder / "outcome.json").read_text())["plays"]
        for order in play["orders"]
    ]
    assert len(orders) >= 2
    assert every_sealed_file(folder) == sorted(
        ["scenario.yaml", "inputs.json", "plan.json", "events.jsonl", "outcome.json", "seal/report.html"]
        + [f"orders/{name}" for name in orders]
    )


def test_any_changed_byte_is_named_with_its_file_and_range(runs, capsys):
    """[client] One flipped bit in any sealed file: verify fails and names that file and a range that holds the byte."""
    folder = disk.make_run(runs)
    sign(capsys, folder)
    for name in every_sealed_file(folder):
        path = folder / name
        whole = path.read_bytes()
        for place in {0, len(whole) // 2, len(whole) - 1}:
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            code, out, _ = run(capsys, "verify", folder)
            first, last = map(int, re.search(rf"✗ {re.escape(name)}, bytes (\d+) to (\d+): changed", out).groups())
            assert code == 1
            assert first <= place <= last < first + 1024
            assert out.endswith("NOT VERIFIED\n")
        path.write_bytes(whole)
    assert run(capsys, "verify", folder)[0] == 0


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "events.jsonl").unlink(), "events.jsonl is missing"),
        (lambda f: (f / "orders" / "backpack-SOL-1.jsonl").write_text("{}\n"), "was not there when the run was sealed"),
        (lambda f: (f / "inputs.json").write_bytes((f / "inputs.json").read_bytes() + b" "), "added after it was"),
        (lambda f: (f / "inputs.json").write_bytes((f / "inputs.json").read_bytes()[:-1]), "inputs.json, bytes 0 to"),
        (lambda f: next(f.glob("seal/signatures/*.sig")).unlink(), ".sig is missing"),
        (lambda f: next(f.glob("seal/signatures/*.sig")).write_bytes(b"0" * 64), "not of this statement and this key"),
        (lambda f: next(f.glob("seal/signatures/*.pem")).write_bytes(b"-"), ".pem is another key"),
        (lambda f: (f / "seal/SHA256SUMS").write_text(""), "SHA256SUMS is not the one that was signed"),
        (lambda f: resum(f), "manifest.json is not the one that was signed"),
        (lambda f: edit_statement(f, "Ann Lee", "Eve Lee"), "not of this statement and this key"),
    ],
)
def test_whatever_is_spoiled_is_found(runs, capsys, spoil, words):
    """[ours] Missing, added, cut, forged: never verified, and the reason is said."""
    folder = disk.make_run(runs)
    sign(capsys, folder)
    spoil(folder)
    code, out, _ = run(capsys, "verify", folder)
    assert code == 1
    assert words in out
    assert run(capsys, "report", folder)[0] == 0
    assert "✗" in (folder / "report.md").read_text().split("## Signed by")[1].split("## ")[0]
    assert sign(capsys, folder, name="Bo")[0] == 2


def resum(folder):
    """A forger who changes the outcome and makes the sums fit again, but has no key."""
    from core.seal import Folder, make_manifest, make_sums, read_manifest

    path = folder / "outcome.json"
    path.write_text(path.read_text().replace('"speed": 1.0', '"speed": 2.0'))
    text = make_manifest(Folder(folder), run_id=folder.name, on="sim", verdict="accepted")
    (folder / "seal/manifest.json").write_bytes(text)
    (folder / "seal/SHA256SUMS").write_bytes(make_sums(read_manifest(text)))


def edit_statement(folder, old, new):
    path = next(folder.glob("seal/signatures/*.json"))
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize("name", ["/etc/passwd", "orders/../../x", "log.jsonl"])
def test_a_manifest_of_other_files_is_refused(runs, capsys, name):
    """[ours] No manifest makes verify read what is no evidence."""
    folder = disk.make_run(runs)
    sign(capsys, folder)
    path = folder / "seal/manifest.json"
    path.write_text(path.read_text().replace('"path": "inputs.json"', f'"path": "{name}"'))
    code, _, err = run(capsys, "verify", folder)
    assert code == 2
    assert "lists what no seal covers" in err


def test_a_seal_that_leaves_evidence_out_is_not_believed(runs, capsys):
    """[ours] A signer cannot sign less than the whole run."""
    folder = disk.make_run(runs)
    (folder / "inputs.json").rename(folder / "away.json")
    code, _, err = sign(capsys, folder)
    assert (code, err) == (2, f"{folder.name} cannot be signed: it has no inputs.json.\n")
    (folder / "away.json").rename(folder / "inputs.json")
    sign(capsys, folder)
    path = folder / "seal/manifest.json"
    document = json.loads(path.read_text())
    document["files"] = [row for row in document["files"] if row["path"] != "inputs.json"]
    path.write_text(json.dumps(document))
    (folder / "inputs.json").unlink()
    code, out, _ = run(capsys, "verify", folder)
    assert code == 1
    assert "does not cover inputs.json" in out


def test_only_the_key_that_is_asked_for_counts(runs, capsys):
    """[client] With --public-key a run signed by somebody else is not verified."""
    folder = disk.make_run(runs)
    public = re.search(r"Public key.*: (\w{64})", sign(capsys, folder)[1])[1]
    code, out, _ = run(capsys, "verify", folder, "--public-key", public)
    assert code == 0
    assert "(the key you gave)" in out
    pem = next(folder.glob("seal/signatures/*.pem"))
    assert run(capsys, "verify", folder, "--public-key", pem)[0] == 0
    code, out, _ = run(capsys, "verify", folder, "--public-key", "ab" * 32)
    assert code == 1
    assert "no signature by the key" in out
    assert run(capsys, "verify", folder, "--public-key", "nonsense")[0] == 2


def flat_but(**position):
    def change(document):
        document["plays"][0]["position"] |= position

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (flat_but(flat=False), "backpack is not proven flat"),
        (flat_but(flat=None), "backpack is not proven flat"),
        (flat_but(proof=None), "backpack is not proven flat"),
        (lambda o: o["plays"][0]["orders"][0].update(in_doubt=True), "an order in doubt"),
        (lambda o: o.update(interrupted="SIGINT", verdict="interrupted", exit_code=4), "interrupted before its end"),
        (lambda o: o.update(plays=[]), "nothing was played"),
        (lambda o: o.update(verdict="not_accepted", exit_code=1), "events.jsonl says accepted"),
    ],
)
def test_what_is_not_proven_flat_or_not_finished_cannot_be_accepted(runs, capsys, change, words):
    """[client] The refusal says why; a rejection of the same run can be signed."""
    folder = disk.make_run(runs)
    document = json.loads((folder / "outcome.json").read_text())
    change(document)
    (folder / "outcome.json").write_text(json.dumps(document))
    code, _, err = sign(capsys, folder)
    assert code == 2
    assert words in err
    assert not (folder / "seal").exists()
    assert sign(capsys, folder, decision="reject")[0] == 0
    assert run(capsys, "verify", folder)[0] == 0


def test_a_plan_cannot_be_signed_and_an_unfinished_run_only_rejected(runs, capsys):
    """[client] No outcome: not accepted. No event either: nothing to sign."""
    folder = disk.make_run(runs)
    (folder / "outcome.json").unlink()
    code, _, err = sign(capsys, folder)
    assert (code, err) == (2, f"{folder.name} cannot be signed as accepted: the run did not end: it has no outcome.\n")
    assert sign(capsys, folder, decision="reject")[0] == 0
    code, out, _ = run(capsys, "verify", folder)
    assert code == 0
    assert "The run's own verdict: unfinished." in out
    plan = runs / "plan"
    plan.mkdir()
    shutil.copy(folder / "plan.json", plan)
    code, _, err = sign(capsys, plan, decision="reject")
    assert code == 2
    assert "this is a plan" in err


def test_accepting_what_the_run_itself_did_not_needs_a_reason(runs, capsys):
    """[ours] A flat run whose own verdict is not accepted takes a comment."""
    folder = disk.make_run(runs, verdict="not_accepted", exit_code=1)
    events = folder / "events.jsonl"
    events.write_text(
        events.read_text().replace('"verdict":"accepted","exit_code":0', '"verdict":"not_accepted","exit_code":1')
    )
    code, _, err = sign(capsys, folder)
    assert code == 2
    assert "Say in --comment" in err
    assert sign(capsys, folder, "--comment", "known gap")[0] == 0


def test_a_forged_acceptance_with_a_key_of_its_own_is_seen_through(runs, capsys):
    """[ours] Whoever signs with other tools cannot make an acceptance of a run that is not flat."""
    from core.seal import Folder, Statement, make_statement, pem, public_key_of, read_manifest, sum_of
    from core.seal import sign as sign_bytes

    folder = disk.make_run(runs)
    document = json.loads((folder / "outcome.json").read_text())
    document["plays"][0]["position"]["flat"] = False
    (folder / "outcome.json").write_text(json.dumps(document))
    sign(capsys, folder, decision="reject")
    text = Folder(folder).read("seal/manifest.json")
    seed = bytes(range(32))
    statement = make_statement(
        Statement(
            run_id=read_manifest(text).run_id,
            on="sim",
            simulated=True,
            verdict="accepted",
            decision="accept",
            name="Eve",
            role="Nobody",
            signed_at="2026-01-05T00:00:00.000Z",
            signed_ms=0,
            manifest_sha256=sum_of(text),
            sums_sha256=sum_of(Folder(folder).read("seal/SHA256SUMS")),
            public_key=public_key_of(seed).hex(),
        )
    )
    stem = folder / "seal/signatures/02-eve"
    stem.with_suffix(".json").write_bytes(statement)
    stem.with_suffix(".sig").write_bytes(sign_bytes(statement, seed))
    stem.with_suffix(".pem").write_bytes(pem(public_key_of(seed)))
    code, out, _ = run(capsys, "verify", folder)
    assert code == 1
    assert "it accepts what cannot be accepted: backpack is not proven flat" in out


def test_names_are_one_visible_line(runs, capsys):
    """[ours] Nobody signs with control characters, an empty name or a novel."""
    folder = disk.make_run(runs)
    for name in ("", " ", "Ann\x1b[2J", "x" * 101, "Ann\nBo"):
        code, _, err = sign(capsys, folder, name=name)
        assert code == 2
        assert "--name takes one line" in err


def test_openssl_and_sha256sum_agree(runs, capsys):
    """[client] A third person needs none of our software: the commands of VERIFY.md succeed, and fail on a change."""
    if shutil.which("openssl") is None or shutil.which("sha256sum") is None:
        pytest.skip("openssl or sha256sum is not on the path")
    folder = disk.make_run(runs)
    sign(capsys, folder)
    stem = str(next(folder.glob("seal/signatures/*.json")).relative_to(folder)).removesuffix(".json")
    check = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", f"{stem}.pem", "-rawin"]
    check += ["-in", f"{stem}.json", "-sigfile", f"{stem}.sig"]
    assert subprocess.run(check, cwd=folder, capture_output=True).returncode == 0
    sums = ["sha256sum", "--quiet", "-c", "seal/SHA256SUMS"]
    assert subprocess.run(sums, cwd=folder, capture_output=True).returncode == 0
    (folder / "outcome.json").write_text("{}")
    edit_statement(folder, "Ann Lee", "Eve Lee")
    assert subprocess.run(check, cwd=folder, capture_output=True).returncode != 0
    assert subprocess.run(sums, cwd=folder, capture_output=True).returncode != 0
