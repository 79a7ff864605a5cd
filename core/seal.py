"""
The seal of a run folder: a manifest of SHA-256 sums, and statements about it signed with Ed25519.

``seal/manifest.json`` lists every sealed file; ``seal/signatures/NN-*.json`` are statements, each with its signature
(``.sig``, 64 raw bytes over the statement's bytes) and the public key (``.pem``), so that ``openssl`` and
``sha256sum`` check everything without this program. ``seal/report.html`` is the report as the first signer read it.
Nothing here writes a file or knows a clock.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import msgspec

MANIFEST: Final = "seal/manifest.json"
SUMS: Final = "seal/SHA256SUMS"
READ_REPORT: Final = "seal/report.html"
SIGNATURES: Final = "seal/signatures/"
ORDERS: Final = "orders/"
_FIRST: Final = ("scenario.yaml", "inputs.json", "plan.json", "events.jsonl")
_LAST: Final = ("outcome.json", READ_REPORT)
_VERSION: Final = "roundtrip/manifest/1"
_BLOCK: Final = 1024
_BLOCK_DIGITS: Final = 16
LONGEST_FILE: Final = 256 * 1024 * 1024
# RFC 8410: SubjectPublicKeyInfo of an Ed25519 key is this and the 32 bytes.
_SPKI: Final = bytes.fromhex("302a300506032b6570032100")


class SealError(Exception):
    """The seal or its files cannot be read at all; the text is a sentence with its place."""


class Files(Protocol):
    """A run's files, by names with forward slashes relative to the run."""

    def names(self) -> list[str]: ...

    def read(self, name: str) -> bytes | None:
        """The bytes, None when there is no such file. Raises SealError."""
        ...


class Folder:
    """A run folder. Symbolic links are no files of the run: what they point at was not sealed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        found = (path for path in self._path.rglob("*") if path.is_file() and not path.is_symlink())
        return sorted(path.relative_to(self._path).as_posix() for path in found)

    def read(self, name: str) -> bytes | None:
        path = self._path / name
        if path.is_symlink() or not path.is_file():
            return None
        try:
            if path.stat().st_size > LONGEST_FILE:
                raise SealError(f"{name} is longer than {LONGEST_FILE} bytes.")
            return path.read_bytes()
        except OSError as error:
            raise SealError(f"{name} cannot be read: {error.strerror}.") from error


class Zip:
    """An exported run, read where it lies: nothing is unpacked. Raises SealError when it is no such archive."""

    def __init__(self, path: Path) -> None:
        try:
            with zipfile.ZipFile(path) as archive:
                self._infos = [info for info in archive.infolist() if not info.is_dir()]
        except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
            raise SealError(f"{path} is no readable zip archive: {error}.") from error
        self._path = path
        inner = [info.filename for info in self._infos]
        tops = {name.partition("/")[0] for name in inner}
        if len(tops) != 1 or any("/" not in name for name in inner):
            raise SealError(f"{path} does not hold one run: its files stand in {len(tops)} places.")
        if len(set(inner)) != len(inner):
            raise SealError(f"{path} holds a file twice under one name.")
        self._top = f"{tops.pop()}/"

    def names(self) -> list[str]:
        return sorted(info.filename.removeprefix(self._top) for info in self._infos)

    def read(self, name: str) -> bytes | None:
        info = next((info for info in self._infos if info.filename == self._top + name), None)
        if info is None:
            return None
        if info.file_size > LONGEST_FILE:
            raise SealError(f"{name} is longer than {LONGEST_FILE} bytes.")
        try:
            with zipfile.ZipFile(self._path) as archive, archive.open(info) as member:
                return member.read(info.file_size + 1)
        except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
            raise SealError(f"{name} cannot be unpacked: {error}.") from error


# -- the manifest


class SealedFile(msgspec.Struct, frozen=True, kw_only=True):
    """``blocks`` are the first 16 hex digits of the sums of 1024 bytes each: they find a change, ``sha256`` judges."""

    path: str
    bytes: int
    sha256: str
    blocks: tuple[str, ...]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What was sealed. ``simulated`` repeats ``on`` for readers in a hurry."""

    schema: str = _VERSION
    run_id: str
    on: str
    simulated: bool
    verdict: str
    block_bytes: int = _BLOCK
    files: tuple[SealedFile, ...]


class Change(NamedTuple):
    """The first place where a file is not what was sealed; ``first`` and ``last`` count bytes from 0."""

    path: str
    what: str
    first: int | None = None
    last: int | None = None

    @property
    def words(self) -> str:
        if self.first is None or self.last is None:
            return f"{self.path} {self.what}."
        return f"{self.path}, bytes {self.first} to {self.last}: {self.what}."


def sealed_names(names: Sequence[str]) -> list[str]:
    """Which of a run's files a seal covers, in its order."""
    orders = sorted(name for name in names if name.startswith(ORDERS))
    return [*(name for name in _FIRST if name in names), *orders, *(name for name in _LAST if name in names)]


def make_manifest(files: Files, *, run_id: str, on: str, verdict: str) -> bytes:
    """The bytes of ``manifest.json`` for a run as it is now. Raises SealError."""
    rows = tuple(_sealed(name, files.read(name) or b"") for name in sealed_names(files.names()))
    manifest = Manifest(run_id=run_id, on=on, simulated=on == "sim", verdict=verdict, files=rows)
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def make_sums(manifest: Manifest) -> bytes:
    """The same sums in the form that ``sha256sum -c`` reads from within the run folder."""
    return "".join(f"{row.sha256}  {row.path}\n" for row in manifest.files).encode()


def read_manifest(text: bytes) -> Manifest:
    """Raises SealError."""
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.MsgspecError as error:
        raise SealError(f"{MANIFEST} is no manifest: {error}.") from error
    if manifest.schema != _VERSION or manifest.block_bytes <= 0:
        raise SealError(f"{MANIFEST} is of another version.")
    paths = [row.path for row in manifest.files]
    if paths != sealed_names(paths) or any(".." in path.split("/") for path in paths):
        raise SealError(f"{MANIFEST} lists what no seal covers.")
    return manifest


def first_change(files: Files, manifest: Manifest) -> Change | None:
    """The first file, in the manifest's order, that is not what was sealed, or a timeline that was added."""
    for row in manifest.files:
        data = files.read(row.path)
        if data is None:
            return Change(row.path, "is missing")
        if hashlib.sha256(data).hexdigest() != row.sha256:
            return _change(row, data, manifest.block_bytes)
    known = {row.path for row in manifest.files}
    for name in sealed_names(files.names()):
        if name not in known:
            return Change(name, "was not there when the run was sealed")
    return None


def _sealed(path: str, data: bytes) -> SealedFile:
    return SealedFile(
        path=path, bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), blocks=tuple(_blocks(data, _BLOCK))
    )


def _blocks(data: bytes, size: int) -> list[str]:
    return [
        hashlib.sha256(data[start : start + size]).hexdigest()[:_BLOCK_DIGITS] for start in range(0, len(data), size)
    ]


def _change(row: SealedFile, data: bytes, size: int) -> Change:
    if len(data) > row.bytes and sum_of(data[: row.bytes]) == row.sha256:
        return Change(row.path, "added after it was sealed", row.bytes, len(data) - 1)
    grown = "" if len(data) == row.bytes else f"; the file had {row.bytes} bytes and has {len(data)}"
    now = _blocks(data, size)
    # Blocks that are gone differ from what was there, so the first difference is always found here.
    first = next(
        (index for index, old in enumerate(row.blocks) if index >= len(now) or now[index] != old), len(row.blocks)
    )
    end = min((first + 1) * size, max(row.bytes, len(data))) - 1
    return Change(row.path, f"changed after it was sealed{grown}", first * size, end)


# -- statements


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody signs. The signature is over this file's own bytes, which name the manifest by its sum."""

    schema: str = "roundtrip/statement/1"
    run_id: str
    on: str
    simulated: bool
    verdict: str
    """The run's own verdict; the decision is the signer's."""
    decision: str
    """accept or reject."""
    name: str
    role: str
    comment: str = ""
    signed_at: str
    signed_ms: int
    manifest_sha256: str
    sums_sha256: str
    public_key: str
    """32 bytes as hex."""


class Signature(NamedTuple):
    """One statement with what its check found; ``fault`` is empty when it is sound."""

    file: str
    statement: Statement
    fault: str


class Seal(NamedTuple):
    """All that a sealed folder says of itself; ``change`` is None when every sealed byte is as it was."""

    manifest: Manifest
    change: Change | None
    signatures: tuple[Signature, ...]


def sum_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_statement(statement: Statement) -> bytes:
    """The bytes that are signed and stored."""
    return msgspec.json.format(msgspec.json.encode(statement), indent=2) + b"\n"


def public_key_of(seed: bytes) -> bytes:
    """The 32 bytes that everybody may know."""
    from nacl.signing import SigningKey

    return bytes(SigningKey(seed).verify_key)


def sign(statement: bytes, seed: bytes) -> bytes:
    """64 bytes of Ed25519."""
    from nacl.signing import SigningKey

    return SigningKey(seed).sign(statement).signature


def verifies(statement: bytes, signature: bytes, public_key: bytes) -> bool:
    """Whether ``signature`` is this key's over these bytes."""
    from nacl.exceptions import CryptoError
    from nacl.signing import VerifyKey

    try:
        VerifyKey(public_key).verify(statement, signature)
    except (CryptoError, ValueError):
        return False
    return True


def fingerprint(public_key: bytes) -> str:
    """Sixteen hex digits of the key's SHA-256 in fours: ``1f0a 88c2 …``. Short enough to read out on the telephone."""
    digits = hashlib.sha256(public_key).hexdigest()[:16]
    return " ".join(digits[start : start + 4] for start in range(0, 16, 4))


def pem(public_key: bytes) -> bytes:
    """The public key as other programs read it."""
    return b"-----BEGIN PUBLIC KEY-----\n" + b64encode(_SPKI + public_key) + b"\n-----END PUBLIC KEY-----\n"


def read_seal(files: Files) -> Seal | None:
    """
    Check a run's seal: every file, every statement. None when nothing was signed.

    Raises:
        SealError: a file of the seal cannot be read or is no such file.
    """
    text = files.read(MANIFEST)
    names = [name for name in files.names() if name.startswith(SIGNATURES) and name.endswith(".json")]
    if text is None:
        if names:
            raise SealError(f"{MANIFEST} is missing, though there are signatures.")
        return None
    manifest = read_manifest(text)
    sums = files.read(SUMS)
    signatures = tuple(_signature(files, name, manifest, sum_of(text), sum_of(sums or b"")) for name in names)
    return Seal(manifest, first_change(files, manifest), signatures)


def _signature(files: Files, name: str, manifest: Manifest, manifest_sum: str, sums_sum: str) -> Signature:
    data = files.read(name) or b""
    try:
        statement = msgspec.json.decode(data, type=Statement)
        key = bytes.fromhex(statement.public_key)
    except (msgspec.MsgspecError, ValueError) as error:
        raise SealError(f"{name} is no statement: {error}.") from error
    proof = files.read(name.removesuffix(".json") + ".sig")
    if proof is None:
        fault = f"{name.removesuffix('.json')}.sig is missing"
    elif not verifies(data, proof, key):
        fault = "the signature is not of this statement and this key"
    elif files.read(name.removesuffix(".json") + ".pem") != pem(key):
        fault = f"{name.removesuffix('.json')}.pem is another key"
    elif statement.manifest_sha256 != manifest_sum:
        fault = f"{MANIFEST} is not the one that was signed"
    elif statement.sums_sha256 != sums_sum:
        fault = f"{SUMS} is not the one that was signed"
    elif (statement.run_id, statement.on) != (manifest.run_id, manifest.on):
        fault = "the statement is about another run"
    elif statement.decision not in ("accept", "reject"):
        fault = "it decides nothing"
    else:
        fault = ""
    return Signature(name, statement, fault)


def read_json(data: bytes | None) -> Any:
    """Parsed JSON, or None when there is none or it is broken."""
    try:
        return json.loads(data or b"null")
    except (ValueError, RecursionError):
        return None
