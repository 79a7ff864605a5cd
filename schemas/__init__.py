"""
The one reader of the published JSON Schemas (draft 2020-12). The same files serve editors and the engine.

Beside the standard words our schemas carry three of their own: ``kind`` (how a value is read and worded: duration,
integer, decimal, quantity, size, yes_no, choice, text, name, symbol), ``unit``, and, on a verb, ``words`` (the step
as a sentence).
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from referencing import Registry


@cache
def load_schema(name: str) -> dict[str, Any]:
    """
    One schema by name: ``"scenario"``, ``"steps/wait"``. The dict is shared: read it, do not change it.

    Raises:
        FileNotFoundError: there is no such schema.
    """
    found: dict[str, Any] = json.loads(files(__name__).joinpath(f"{name}.schema.json").read_bytes())
    return found


@cache
def verbs() -> tuple[str, ...]:
    """Every verb a step may name, in the order people read about them."""
    return tuple(load_schema("scenario")["$defs"]["step"]["properties"])


@cache
def registry() -> Registry[Any]:
    """What resolves the relative ``$ref`` of the scenario's schema: from these files, never from the network."""
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012

    names = ("scenario", *(f"steps/{verb}" for verb in verbs()))
    return Registry().with_resources(
        (f"{name}.schema.json", DRAFT202012.create_resource(load_schema(name))) for name in names
    )
