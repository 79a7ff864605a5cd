"""
One process an account: a file that the operating system locks for us, and that names who holds it.

The lock is the operating system's (``flock``), so ``kill -9`` frees it; the text inside is only for people, and a text
that a dead process left behind stops nobody. The file is readable by its owner only and its name gives no key away.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

import msgspec

from venues.errors import LocalRuleError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

LOCKS_WORK: Final = fcntl is not None
"""False on a system without ``flock``: there :meth:`AccountLock.take` keeps nobody out, and a run says so."""
# Somebody who only looks holds a lock for a moment, too short for as many looks.
_TRIES: Final = 5
_MAX_BYTES: Final = 4_096


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds an account; no secret may be in it."""

    pid: int
    host: str
    command: str
    started: str
    """UTC, ISO 8601."""
    run: str = ""
    """Empty until the run has a folder."""

    def __str__(self) -> str:
        what = f"run {self.run}" if self.run else "a run that is just beginning"
        return f"{what} (process {self.pid} on {self.host}, since {self.started}: {self.command})"


class AccountLock:
    """
    The lock of one account in one place.

    Args:
        folder: Of the locks of this user; made when missing.
        place: ``live``, ``testnet``, or a simulator's address.
        account: What names the account in this place; only its fingerprint is used.
    """

    def __init__(self, folder: Path, *, venue: str, place: str, account: str) -> None:
        fingerprint = hashlib.sha256(f"{venue}\n{place}\n{account}".encode()).hexdigest()[:16]
        self.venue = venue
        self.path = folder / f"{venue}-{fingerprint}.lock"
        self._descriptor: int | None = None

    def take(self, owner: Owner) -> None:
        """
        Hold the account from now to :meth:`release`, or to the end of the process.

        Raises:
            LocalRuleError: ACCOUNT_LOCKED, naming who holds it, or why the file cannot be made.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for _ in range(_TRIES):
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
                if self._taken(descriptor):
                    self._descriptor = descriptor
                    self.tell(owner)
                    return
                os.close(descriptor)
            holder = _read(self.path)
        except OSError as error:
            raise LocalRuleError(
                "ACCOUNT_LOCKED",
                f"the lock {self.path} cannot be used: {error.strerror}; see `locks_dir` in the config",
            ) from error
        raise LocalRuleError("ACCOUNT_LOCKED", f"this account on {self.venue} is in use by {_words(holder)}")

    def tell(self, owner: Owner) -> None:
        """Write down who holds it. What cannot be written is left out: the lock holds without it."""
        if self._descriptor is not None:
            try:
                os.truncate(self._descriptor, 0)
                os.pwrite(self._descriptor, msgspec.json.encode(owner) + b"\n", 0)
            except OSError:
                return

    def release(self) -> None:
        """Let the account go; calling it twice is harmless."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            # While it is still locked: whoever opened it meanwhile sees that it is no longer the one by this name.
            self.path.unlink(missing_ok=True)
            os.close(descriptor)

    def holder(self) -> str | None:
        """Who holds it now, in words; None when nobody does. Takes nothing."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        except OSError as error:
            return f"nobody knows whom: {self.path} cannot be read ({error.strerror})"
        try:
            return None if self._taken(descriptor) else _words(_read(self.path))
        finally:
            os.close(descriptor)

    def _taken(self, descriptor: int) -> bool:
        """Lock the open file; False when somebody has it, or when it is not the one by this name any more."""
        if fcntl is None:  # pragma: no cover - Windows
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except OSError:
            # Held, gone, or on a file system that locks nothing: not ours in any case.
            return False


def _read(path: Path) -> Owner | None:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_MAX_BYTES), type=Owner)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _words(holder: Owner | None) -> str:
    return "another process, which has not written its name" if holder is None else str(holder)
