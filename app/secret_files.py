"""
A secret by the name of its environment variable: the variable itself, the private file that a variable with ``_FILE``
names, or the system keyring (service ``roundtrip``), where the extra ``keyring`` is installed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from importlib import import_module
from typing import Final

SUFFIX: Final = "_FILE"
KEYRING_SERVICE: Final = "roundtrip"
_MAX_BYTES: Final = 65_536


class SecretFileError(Exception):
    """A file of secrets that cannot be used; the text says why and what to do, and holds nothing of the file."""


def read_secret(name: str, environ: Mapping[str, str]) -> str:
    """
    The secret under ``name``, in the file under ``name`` + ``_FILE``, or in the system keyring as ``roundtrip`` / name;
    without white space around, empty for none.

    The first of them wins. The file must be an ordinary one that only its owner may read (mode 0600 or 0400).

    Raises:
        SecretFileError: the file cannot be read, others may read it, or it is no short text; or the keyring is locked.
    """
    text = environ.get(name, "").strip()
    path = environ.get(name + SUFFIX, "").strip()
    if text:
        return text
    return _read(name + SUFFIX, path) if path else _from_keyring(name)


def _from_keyring(name: str) -> str:
    try:
        keyring = import_module("keyring")
    except ImportError:
        return ""
    try:
        return str(keyring.get_password(KEYRING_SERVICE, name) or "").strip()
    except Exception as error:
        # Each system's keyring has errors of its own; none of their texts is ours to repeat.
        raise SecretFileError(f"The system keyring cannot be asked for {name} ({type(error).__name__}).") from None


def _read(variable: str, path: str) -> str:
    try:
        # A pipe would make an opening wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise SecretFileError(f"{variable} names {path}, which is no ordinary file.")
            if facts.st_mode & 0o077:
                raise SecretFileError(
                    f"{variable} names {path}, which others on this machine may read "
                    f"(mode {stat.S_IMODE(facts.st_mode):04o}). Make it private: chmod 600 {path}"
                )
            data = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "that is no file name"
        raise SecretFileError(f"{variable} names {path}, which cannot be read: {why}.") from error
    try:
        text = data.decode("utf-8").strip() if len(data) <= _MAX_BYTES else ""
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise SecretFileError(f"{variable} names {path}, which holds no secret: one line of text is wanted.")
    return text
