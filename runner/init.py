"""``runner init``: a folder with everything that a first play needs."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from runner.mistakes import WrongInput
from schemas import load_schema

_TEMPLATES: Final = ("hello.yaml", "config.example.yaml")
_SCHEMA: Final = "scenario.schema.json"
_IGNORED: Final = ("runs/", "logs/", "state/", "config.yaml")
"""What runs write, and the file with somebody's own settings: neither belongs under version control."""


def init(folder: Path) -> str:
    """
    Write a first scenario, the schema that editors complete it with, and the explained settings.

    Returns:
        What was written and what to do next, for people.

    Raises:
        WrongInput: a file is there already (then nothing is written), or the folder cannot be written.
    """
    taken = [name for name in (*_TEMPLATES, _SCHEMA) if (folder / name).exists() or (folder / name).is_symlink()]
    if taken:
        raise WrongInput([f"{folder / name} is there already, and nothing is overwritten." for name in taken])
    texts = {name: files("runner").joinpath("templates", name).read_text(encoding="utf-8") for name in _TEMPLATES}
    texts[_SCHEMA] = json.dumps(whole_schema(), indent=2, ensure_ascii=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            with (folder / name).open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
        written = [*texts, *_ignore(folder / ".gitignore")]
    except OSError as error:
        raise WrongInput([f"{folder} cannot be written: {error.strerror or error}."]) from error
    into = "" if folder == Path() else f" into {folder}"
    return (
        f"Written{into}: {', '.join(written)}\n"
        f"Next: runner play {folder / 'hello.yaml'}\n"
        "It plays on a simulator: no key, no money. `runner steps` lists what else a scenario can do.\n"
    )


def whole_schema() -> dict[str, Any]:
    """The scenario's schema in one piece, so that an editor needs no other file."""
    schema: dict[str, Any] = json.loads(json.dumps(load_schema("scenario")))
    steps = schema["$defs"]["step"]["properties"]
    for verb in steps:
        steps[verb] = {key: value for key, value in load_schema(f"steps/{verb}").items() if key != "$schema"}
    return schema


def _ignore(path: Path) -> list[str]:
    """Add what is missing to ``.gitignore``; its name when anything was."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    missing = [line for line in _IGNORED if line not in text.splitlines()]
    if not missing:
        return []
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(("\n" if text and not text.endswith("\n") else "") + "\n".join(missing) + "\n")
    return [path.name]
