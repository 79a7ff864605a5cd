"""``runner steps``: the verbs with their settings, units, defaults and an example, all from the schemas."""

from __future__ import annotations

import json
import textwrap
from typing import Any, Final

from runner.values import expected
from schemas import load_schema, verbs

_WIDTH: Final = 100
_UNDER: Final = " " * 23


def step_table() -> str:
    """Every verb with one sentence."""
    rows = [f"{verb:16} {load_schema(f'steps/{verb}')['description']}" for verb in verbs()]
    return "\n".join([*rows, "", "runner steps VERB tells more."]) + "\n"


def step_page(verb: str) -> str:
    """The page of one of :func:`schemas.verbs`."""
    schema = load_schema(f"steps/{verb}")
    lines = [f"{verb} - {schema['title']}", "", *textwrap.wrap(schema["description"], _WIDTH), ""]
    for name, facts in schema.get("properties", {}).items():
        told = [expected(facts), *([facts["unit"]] if "unit" in facts else [])]
        if "default" in facts:
            told.append(f"default {_value(facts['default'])}")
        if name in schema.get("required", ()):
            told.append("needed")
        lines += textwrap.wrap(f"  {name:20} {facts['description']}", _WIDTH, subsequent_indent=_UNDER)
        lines += textwrap.wrap(_UNDER + "; ".join(told), _WIDTH, subsequent_indent=_UNDER)
    if not schema.get("properties"):
        lines.append("  It has no settings.")
    example = schema.get("examples", [{}])[-1]
    lines += ["", "Example:", f"  - {verb}: {_value(example)}"]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_value(inner)}" for key, inner in value.items()) + "}"
    return value if isinstance(value, str) else json.dumps(value)
