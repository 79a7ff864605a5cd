"""Is this an outcome? The published schema of ``outcome.json``, asked by who writes it and by who reads it."""

from __future__ import annotations

from typing import Final

from schemas import load_schema

NAME: Final = "roundtrip/outcome/1"
"""The value of ``schema`` in every outcome this version writes and reads."""


def faults(document: object) -> list[str]:
    """
    Every way in which a parsed ``outcome.json`` breaks its schema, in order of place; empty when it is sound.

    Each is one sentence that starts with the place: ``plays[0].orders[2].price: ...``. Long values are cut.
    """
    # A thousand orders take jsonschema seconds and jsonschema-rs milliseconds, but only the former's words are told.
    import jsonschema_rs

    schema = load_schema("outcome")
    if jsonschema_rs.Draft202012Validator(schema).is_valid(document):
        return []
    from jsonschema import Draft202012Validator

    found = sorted(Draft202012Validator(schema).iter_errors(document), key=lambda e: e.json_path)
    return [f"{error.json_path.removeprefix('$.')}: {_short(error.message)}" for error in found]


def _short(message: str) -> str:
    return message if len(message) <= 240 else f"{message[:120]} … {message[-100:]}"
