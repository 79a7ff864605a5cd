"""Appending to a file on a disk that may run full."""

from __future__ import annotations

import errno
import os
from typing import IO


def append_whole(stream: IO[bytes], data: bytes) -> None:
    """
    Append ``data`` to an unbuffered file, or nothing of it.

    A disk that runs full takes the first part of a write and says so in the count only. That part is taken back:
    the next line must not begin in the middle of this one.

    Raises:
        OSError: not all of it could be written.
    """
    written = stream.write(data)
    if written != len(data):
        stream.truncate(stream.tell() - (written or 0))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
