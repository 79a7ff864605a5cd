"""Sign a run's evidence, and verify what others signed. docs/SIGN_OFF.md says what a signature proves."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from core.clock import Clock, iso_utc
from core.seal import (
    MANIFEST,
    READ_REPORT,
    SIGNATURES,
    SUMS,
    Files,
    Folder,
    Seal,
    SealError,
    Signature,
    Statement,
    Zip,
    fingerprint,
    make_manifest,
    make_statement,
    make_sums,
    pem,
    public_key_of,
    read_json,
    read_manifest,
    read_seal,
    sign,
    sum_of,
)
from core.secrets import VAULT
from core.words import counted
from runner.environment import WrongInput
from runner.evidence import read_outcome
from schemas.outcome import faults

NOT_VERIFIED: Final = 1
_LONGEST_NAME: Final = 100
_LONGEST_COMMENT: Final = 1000
_DECIDED: Final = {"accept": "accepted", "reject": "rejected"}


def signing_seed(path: Path) -> bytes:
    """
    The 32 secret bytes in ``path`` (hex), made when there is no such file.

    Raises:
        WrongInput: others may read the file, it holds no key, or it cannot be made.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Never readable by others, not even for a moment; never in place of another's key.
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(os.urandom(32).hex() + "\n")
                file.flush()
                os.fsync(file.fileno())
        if path.stat().st_mode & 0o077:
            raise WrongInput([f"{path} can be read by others than its owner. Run `chmod 600 {path}`."])
        text = path.read_text(encoding="ascii").strip()
        seed = bytes.fromhex(text)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not 64 hex digits"
        raise WrongInput([f"The signing key {path} cannot be used: {why}."]) from None
    if len(seed) != 32:
        raise WrongInput([f"The signing key {path} cannot be used: it is not 64 hex digits."])
    VAULT.remember(text)
    return seed


def why_not_acceptable(outcome: Mapping[str, Any] | None) -> str:
    """Why nobody can sign a run as accepted; empty when somebody may."""
    if outcome is None:
        return "the run did not end: it has no outcome"
    if outcome["interrupted"] is not None or outcome["verdict"] == "interrupted":
        return "the run was interrupted before its end"
    if not outcome["plays"]:
        return "nothing was played"
    for play in outcome["plays"]:
        position = play["position"]
        if position["flat"] is not True or position["proof"] is None or position["proof"]["open_orders"]:
            return f"{play['venue']} is not proven flat"
        if any(order["in_doubt"] for order in play["orders"]):
            return f"{play['venue']} has an order in doubt"
    return ""


def sign_run(
    folder: Path,
    *,
    seed: bytes,
    name: str,
    role: str,
    decision: str,
    comment: str,
    clock: Clock,
    write_reports: Callable[[], None],
) -> Path:
    """
    Seal the run if nobody did, add one signature, write the reports again. Returns the statement's path.

    Raises:
        WrongInput: the run cannot be signed so, or it changed since it was sealed.
        OSError: the folder cannot be written to.
    """
    for flag, text, longest in (
        ("--name", name, _LONGEST_NAME),
        ("--role", role, _LONGEST_NAME),
        ("--comment", comment, _LONGEST_COMMENT),
    ):
        if not text.isprintable() or len(text) > longest or (flag != "--comment" and not text.strip()):
            raise WrongInput([f"{flag} takes one line of 1 to {longest} visible characters."])
    outcome = read_outcome(folder)
    events = folder / "events.jsonl"
    if outcome is None and (not events.is_file() or not events.stat().st_size):
        raise WrongInput([f"{folder}: this is a plan; nothing was played, so there is nothing to sign."])
    if decision == "accept":
        why = why_not_acceptable(outcome) or _contradiction(folder, outcome or {})
        if why:
            raise WrongInput([f"{folder.name} cannot be signed as accepted: {why}."])
        if outcome is not None and outcome["verdict"] != "accepted" and not comment.strip():
            words = outcome["verdict"].replace("_", " ")
            raise WrongInput(
                [f"The run's own verdict is {words}. Say in --comment why you accept it, or sign with reject."]
            )
    try:
        return _signed(folder, outcome, seed, name, role, decision, comment, clock, write_reports)
    except SealError as error:
        raise WrongInput([f"{folder}: {error}"]) from error


def _contradiction(folder: Path, outcome: Mapping[str, Any]) -> str:
    """The journal was written while the run went on; an outcome that says something else is not to be believed."""
    lines = (Folder(folder).read("events.jsonl") or b"").splitlines()
    last = next((row for row in map(read_json, reversed(lines)) if row), None)
    if not isinstance(last, dict) or last.get("event") != "outcome":
        return "events.jsonl does not end with the outcome"
    if (last.get("verdict"), last.get("exit_code")) != (outcome["verdict"], outcome["exit_code"]):
        return f"outcome.json says {outcome['verdict']}, events.jsonl says {last.get('verdict')}"
    return ""


def _signed(
    folder: Path,
    outcome: Mapping[str, Any] | None,
    seed: bytes,
    name: str,
    role: str,
    decision: str,
    comment: str,
    clock: Clock,
    write_reports: Callable[[], None],
) -> Path:
    files = Folder(folder)
    absent = [name for name in ("scenario.yaml", "inputs.json", "plan.json") if files.read(name) is None]
    if absent:
        raise WrongInput([f"{folder.name} cannot be signed: it has no {' and no '.join(absent)}."])
    seal = read_seal(files)
    public = public_key_of(seed)
    if seal is None or not seal.signatures:
        _seal(folder, outcome, write_reports)
    else:
        fault = next((f"{one.file}: {one.fault}" for one in seal.signatures if one.fault), "")
        if seal.change or fault:
            words = seal.change.words if seal.change else fault
            raise WrongInput([f"{folder.name} is not what was signed before: {words}"])
        for one in seal.signatures:
            same = (one.statement.public_key, one.statement.name, one.statement.decision)
            if same == (public.hex(), name, decision):
                raise WrongInput([f"{name} has already signed {folder.name} as {_DECIDED[decision]}."])
    text = files.read(MANIFEST) or b""
    manifest = read_manifest(text)
    now_ms = clock.now_ms()
    statement = make_statement(
        Statement(
            run_id=manifest.run_id,
            on=manifest.on,
            simulated=manifest.simulated,
            verdict=manifest.verdict,
            decision=decision,
            name=VAULT.mask(name),
            role=VAULT.mask(role),
            comment=VAULT.mask(comment),
            signed_at=iso_utc(now_ms),
            signed_ms=now_ms,
            manifest_sha256=sum_of(text),
            sums_sha256=sum_of(files.read(SUMS) or b""),
            public_key=public.hex(),
        )
    )
    number = 1 + len(list((folder / SIGNATURES).glob("*.json")))
    stem = folder / SIGNATURES / f"{number:02d}-{fingerprint(public).replace(' ', '')}"
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".sig").write_bytes(sign(statement, seed))
    stem.with_suffix(".pem").write_bytes(pem(public))
    stem.with_suffix(".json").write_bytes(statement)
    write_reports()
    return stem.with_suffix(".json")


def _seal(folder: Path, outcome: Mapping[str, Any] | None, write_reports: Callable[[], None]) -> None:
    plan = read_json(Folder(folder).read("plan.json")) or {}
    # The report as the signer reads it: made from the outcome now, before any decision stands in it.
    write_reports()
    path = folder / READ_REPORT
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((folder / "report.html").read_bytes())
    manifest = make_manifest(
        Folder(folder),
        run_id=folder.name if outcome is None else outcome["run_id"],
        on=str(plan.get("on", "unknown")) if outcome is None else outcome["on"],
        verdict="unfinished" if outcome is None else outcome["verdict"],
    )
    (folder / MANIFEST).write_bytes(manifest)
    (folder / SUMS).write_bytes(make_sums(read_manifest(manifest)))


# -- verification


def open_files(target: Path) -> Files:
    """A run folder or an exported zip. Raises WrongInput."""
    if target.is_dir():
        return Folder(target)
    try:
        return Zip(target)
    except SealError as error:
        raise WrongInput([str(error)]) from error


def public_keys(words: Sequence[str]) -> list[bytes]:
    """Public keys given as 64 hex digits, or as files that hold such digits or a PEM. Raises WrongInput."""
    found = []
    for word in words:
        text = word
        path = Path(word)
        if len(word) != 64 and path.is_file():
            text = path.read_text(encoding="ascii", errors="replace").strip()
        if "BEGIN PUBLIC KEY" in text:
            from base64 import b64decode

            body = "".join(line for line in text.splitlines() if "-----" not in line)
            try:
                text = b64decode(body, validate=True)[-32:].hex()
            except ValueError:
                text = ""
        try:
            key = bytes.fromhex(text)
        except ValueError:
            key = b""
        if len(key) != 32:
            raise WrongInput([f"--public-key {word}: neither 64 hex digits nor a file that holds a public key."])
        found.append(key)
    return found


def verify(target: Path, keys: Sequence[bytes]) -> tuple[bool, list[str]]:
    """
    Whether every sealed byte and every signature is sound, and the lines that say so.

    Raises:
        WrongInput: there is no seal, or it cannot be read.
    """
    files = open_files(target)
    try:
        seal = read_seal(files)
        if seal is None or not seal.signatures:
            raise WrongInput([f"{target} is not signed."])
        outcome = read_json(files.read("outcome.json"))
        names = files.names()
    except SealError as error:
        raise WrongInput([f"{target}: {error}"]) from error
    manifest = seal.manifest
    lines = [f"{'SIMULATED RUN ' if manifest.simulated else 'Run '}{_seen(manifest.run_id)}, on {_seen(manifest.on)}"]
    lines.append(f"The run's own verdict: {_seen(manifest.verdict.replace('_', ' '))}.")
    faults_found = _disagreements(seal, outcome)
    if seal.change:
        lines.append(f"✗ {_seen(seal.change.words)}")
    else:
        lines.append(f"✓ {counted(len(manifest.files), 'file')} sealed, every byte is as it was.")
    lines += [f"✗ {_seen(fault)}" for fault in faults_found]
    sound = seal.change is None and not faults_found
    signers = set()
    for one in seal.signatures:
        words, good = _judged(one, outcome, keys)
        lines += words
        sound = sound and good
        signers.add(one.statement.public_key)
    missing = [key for key in keys if key.hex() not in signers]
    lines += [f"✗ no signature by the key {fingerprint(key)}" for key in missing]
    if not keys:
        lines.append("The keys are the ones that lie beside the signatures: compare each fingerprint with its owner,")
        lines.append("or give the key you trust with --public-key.")
    covered = {row.path for row in manifest.files}
    loose = [name for name in names if name not in covered and not name.startswith("seal/")]
    if loose:
        lines.append(f"Not sealed: {_seen(', '.join(loose))}. {READ_REPORT} is the report as it was signed.")
    return sound and not missing, lines


def _disagreements(seal: Seal, outcome: Any) -> list[str]:
    """Where the manifest says something else than the outcome that it seals, or leaves evidence out."""
    covered = {row.path for row in seal.manifest.files}
    needed = ["scenario.yaml", "inputs.json", "plan.json", "events.jsonl", READ_REPORT]
    needed += [] if seal.manifest.verdict == "unfinished" else ["outcome.json"]
    missing = [name for name in needed if name not in covered]
    if missing:
        return [f"{MANIFEST} does not cover {', '.join(missing)}"]
    if outcome is None:
        return [] if seal.manifest.verdict == "unfinished" else ["there is no outcome.json that can be read"]
    if faults(outcome):
        return ["outcome.json breaks its schema"]
    told = (outcome["run_id"], outcome["on"], outcome["verdict"])
    manifest = seal.manifest
    if told != (manifest.run_id, manifest.on, manifest.verdict) or manifest.simulated != (manifest.on == "sim"):
        return [f"{MANIFEST} and outcome.json are about different runs"]
    return []


def _judged(one: Signature, outcome: Any, keys: Sequence[bytes]) -> tuple[list[str], bool]:
    said = one.statement
    fault = one.fault
    if not fault and said.decision == "accept":
        why = why_not_acceptable(None if outcome is None or faults(outcome) else outcome)
        fault = f"it accepts what cannot be accepted: {why}" if why else ""
    key = fingerprint(bytes.fromhex(said.public_key))
    trusted = " (the key you gave)" if said.public_key in {key.hex() for key in keys} else ""
    words = f"{_DECIDED.get(said.decision, said.decision)} by {said.name}, {said.role}, {said.signed_at}"
    words += " (of a simulated run)" if said.simulated else ""
    lines = [_seen(f"{'✗' if fault else '✓'} {words}, key {key}{trusted}{f': {fault}' if fault else ''}")]
    if said.comment:
        lines.append(_seen(f'  "{said.comment}"'))
    return lines, not fault


def _seen(text: str) -> str:
    """A stranger's words on a terminal: nothing that moves the cursor or hides itself."""
    return "".join(char if char.isprintable() else f"⟨U+{ord(char):04X}⟩" for char in text)


def tell(lines: Sequence[str]) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
