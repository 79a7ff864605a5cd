"""Who signed a run, for its report. A decision is shown as sound only when its signature and every sealed byte are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.seal import Folder, SealError, fingerprint, read_seal

Row = Mapping[str, Any]


def decisions_of(run_dir: Path) -> Sequence[Row]:
    """
    One row a signature: decision, name, role, comment, signed_ms, on, fingerprint and ``sound``, the first fault found
    as a sentence or an empty text. A seal that cannot be read gives one row that says so.
    """
    try:
        seal = read_seal(Folder(run_dir))
    except SealError as error:
        return [
            {
                "decision": "",
                "name": "",
                "role": "",
                "comment": "",
                "signed_ms": None,
                "on": "",
                "fingerprint": "",
                "sound": str(error),
            }
        ]
    if seal is None:
        return []
    changed = seal.change.words if seal.change else ""
    return [
        {
            "decision": one.statement.decision,
            "name": one.statement.name,
            "role": one.statement.role,
            "comment": one.statement.comment,
            "signed_ms": one.statement.signed_ms,
            "on": one.statement.on,
            "fingerprint": fingerprint(bytes.fromhex(one.statement.public_key)),
            "sound": one.fault or changed,
        }
        for one in seal.signatures
    ]
