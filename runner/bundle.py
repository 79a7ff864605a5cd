"""One zip of a run's evidence, that a third person can verify without this program or its settings."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from core.seal import ORDERS, Folder, SealError
from core.secrets import VAULT
from runner.environment import WrongInput

README: Final = "VERIFY.md"
_WHOLE: Final = (
    "report.html",
    "report.md",
    "junit.xml",
    "outcome.json",
    "plan.json",
    "scenario.yaml",
    "inputs.json",
    "events.jsonl",
)
# Zip knows no time before this; the archive of one run has the same bytes whenever it is made.
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_PRIVATE: Final = (b"PRIVATE KEY-----",)

_HOW: Final = """\
# How to verify this run

This folder holds the evidence of one run of Roundtrip{simulated}. Nothing but `openssl` (3.0 or newer) and `sha256sum`
is needed, no network, no account and no settings. Run the commands inside this folder.

{signatures}
Every file is as it was signed when this prints only OK:

    sha256sum -c seal/SHA256SUMS

`seal/SHA256SUMS` and `seal/manifest.json` are the ones that were signed when these sums stand in the statement
(`sums_sha256` and `manifest_sha256`):

    sha256sum seal/SHA256SUMS seal/manifest.json

The key: a `.pem` file proves nothing about a person. Compare its fingerprint with the one the signer gave you by
another way. It is the first 16 digits of:

    openssl pkey -pubin -in KEY.pem -outform DER | tail -c 32 | sha256sum

With Roundtrip installed, `runner verify THIS-FOLDER-OR-ZIP` does all of it and names the first byte range that changed.
`report.html`, `report.md` and `junit.xml` are made from the signed `outcome.json` and are not themselves signed;
`seal/report.html` is the report as it was read before signing, and is.
"""
_SIGNATURE: Final = """\
The statement `{stem}.json` was signed by its key when this prints "Signature Verified Successfully":

    openssl pkeyutl -verify -pubin -inkey {stem}.pem -rawin -in {stem}.json -sigfile {stem}.sig

"""


def export(folder: Path, target: Path) -> list[str]:
    """
    Write the zip, whole or not at all, and return the names in it.

    Raises:
        WrongInput: a file holds a secret, or the archive cannot be written. The secret itself is never told.
    """
    files = Folder(folder)
    names = [name for name in files.names() if name in _WHOLE or name.startswith((ORDERS, "seal/"))]
    try:
        content = {name: files.read(name) or b"" for name in names}
    except SealError as error:
        raise WrongInput([f"{folder}: {error}"]) from error
    content[README] = _how(names, simulated=b'"on": "sim"' in content.get("outcome.json", b"")).encode()
    leaks = [words for name, data in content.items() for words in _leaks(name, data)]
    if leaks:
        raise WrongInput([*leaks, "Nothing was exported. Take the secret out of circulation: it stands in the run."])
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(content):
                info = zipfile.ZipInfo(f"{folder.resolve().name}/{name}", _EPOCH)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = 0o644 << 16
                archive.writestr(info, content[name])
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise WrongInput([f"{target} cannot be written: {error.strerror}."]) from error
    return sorted(content)


def _how(names: Iterable[str], *, simulated: bool) -> str:
    stems = [name.removesuffix(".sig") for name in names if name.endswith(".sig")]
    signatures = "".join(_SIGNATURE.format(stem=stem) for stem in stems) or "Nobody has signed it yet.\n\n"
    return _HOW.format(simulated=", a SIMULATED one" if simulated else "", signatures=signatures)


def _leaks(name: str, data: bytes) -> list[str]:
    """Places of remembered secrets, in any form they travel in, and of private keys; by line, without the secret."""
    found = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        text = line.decode("utf-8", "surrogateescape")
        if VAULT.mask(text) != text:
            found.append(f"{name}, line {number}: a secret of this machine's settings stands there.")
        if any(mark in line for mark in _PRIVATE):
            found.append(f"{name}, line {number}: a private key stands there.")
    return found
