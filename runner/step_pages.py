"""``runner steps``: the verbs with their settings, units, defaults and an example, all from the schemas."""

from __future__ import annotations

import difflib
import json
from typing import Any

from runner.environment import WrongInput
from schemas import load_schema

VERBS = (
    "tracking_open",
    "tracking_close",
    "limit_open",
    "market_open",
    "market_close",
    "wait",
    "random_wait",
    "assert_flat",
    "assert_position",
    "assert_margin",
    "cancel_all",
    "flatten",
    "run_strategy",
)


def step_table() -> str:
    """Every verb with one sentence."""
    rows = [f"{verb:16} {load_schema(f'steps/{verb}')['description']}" for verb in VERBS]
    return "\n".join([*rows, "", "runner steps VERB tells more."]) + "\n"


def step_page(verb: str) -> str:
    """
    One verb's page.

    Raises:
        WrongInput: no such verb, with the nearest one.
    """
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        raise WrongInput([f"There is no step {verb}" + (f"; did you mean {near[0]}?" if near else ".")])
    schema = load_schema(f"steps/{verb}")
    lines = [f"{verb} - {schema['title']}", "", schema["description"], ""]
    for name, facts in schema.get("properties", {}).items():
        default = f", default {_value(facts['default'])}" if "default" in facts else ""
        needed = ", needed" if name in schema.get("required", ()) else ""
        lines.append(
            f"  {name:20} {facts['description']} ({facts.get('unit', facts.get('kind', 'value'))}{default}{needed})"
        )
    if not schema.get("properties"):
        lines.append("  It has no settings.")
    example = schema.get("examples", [{}])[-1]
    lines += ["", "Example:", f"  - {verb}: {_value(example)}"]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_value(inner)}" for key, inner in value.items()) + "}"
    return value if isinstance(value, str) else json.dumps(value)
