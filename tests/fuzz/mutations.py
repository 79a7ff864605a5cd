"""
Broken payloads: one to three changes to a JSON text, as exchanges, proxies and bad days make them.

The document is kept as pairs and literals, so that a key can stand twice and a number can be no number.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""How many examples each test tries; 0 takes the test's own number, always the same ones."""

DEEP = 2_000


def profile(examples: int) -> settings:
    """The settings of one test: repeatable in CI, fresh and many with FUZZ_EXAMPLES."""
    return settings(
        max_examples=EXAMPLES or examples,
        derandomize=not EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


class Literal(str):
    """Stands in the text as it is."""


class Pairs(list):
    """An object, its keys in order; a key may stand twice."""


def parsed(text: bytes | str) -> Any:
    """A JSON document as lists, :class:`Pairs` and :class:`Literal` numbers; raises ValueError."""
    return json.loads(text, object_pairs_hook=Pairs, parse_int=Literal, parse_float=Literal)


def rendered(value: Any) -> str:
    """The JSON text of what :func:`parsed` gave, whatever was put into it."""
    if isinstance(value, Literal):
        return str(value)
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{json.dumps(key)}:{rendered(each)}" for key, each in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(rendered, value)) + "]"
    if isinstance(value, dict):
        return rendered(Pairs(value.items()))
    return json.dumps(value)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a document, the document itself first; an object's member by its index and key."""
    found = [path]
    if isinstance(value, Pairs):
        for index, (key, each) in enumerate(value):
            found += places(each, (*path, (index, key)))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            found += places(each, (*path, index))
    return found


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step[0]][1] if isinstance(step, tuple) else value[step]
    return value


def replaced(root: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The document with ``new`` at ``path``."""
    if not path:
        return new
    holder = at(root, path[:-1])
    step = path[-1]
    if isinstance(step, tuple):
        holder[step[0]] = (holder[step[0]][0], new)
    else:
        holder[step] = new
    return root


NOTHING = (None, "", [], Pairs(), False, Literal("0"), "[]", "null")
"""What a wrong answer has in place of a list or an object."""

VALUES: tuple[Any, ...] = (
    *NOTHING,
    True,
    Literal("1"),
    Literal("-1"),
    Literal("-0"),
    Literal("0.1"),
    Literal("1e400"),
    Literal("-1e400"),
    Literal("1e-400"),
    Literal("9" * 60),
    Literal("-" + "9" * 60),
    Literal(str(1 << 63)),
    Literal("NaN"),
    Literal("Infinity"),
    Literal("-Infinity"),
    "0",
    "-1",
    "-0",
    "1e400",
    "1e36",
    "1e-36",
    "9" * 60,
    "9" * 36,
    "0." + "0" * 30 + "1",
    "NaN",
    "Infinity",
    "١",
    "²",
    " 1",
    "1_0",
    "zzz",
    "\x00",
    "é\u2028🙂",
    "x" * 100_000,
    Literal('"\\ud800"'),
    Literal("[" * DEEP + "]" * DEEP),
    Literal('{"a":' * DEEP + "1" + "}" * DEEP),
)
PAGES = (
    b"",
    b" ",
    b"null",
    b"{}",
    b"[]",
    b'""',
    b"OK",
    b"pong",
    b"Bad Gateway",
    b"upstream connect error or disconnect/reset before headers",
    b"<html><head><title>502 Bad Gateway</title></head></html>",
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b"\x1f\x8b\x08\x00",
    b"[" * DEEP,
    b'{"code":',
)


@dataclass(frozen=True)
class Mutated:
    """A broken payload. ``changes`` has (what was done, the last key on the way there) of each change."""

    data: bytes
    changes: tuple[tuple[str, Any], ...]


def _twisted(old: Any) -> list[Any]:
    """The same value in another dress."""
    if isinstance(old, Literal):
        return [str(old), Literal("-" + old.lstrip("-")), Literal(old + "0" * 12), Literal(old + ".5"), [old]]
    if isinstance(old, str):
        number = Literal(old) if old.replace(".", "", 1).isdigit() and old.isascii() else Literal("7")
        return [number, "-" + old, old + "0", old * 40, old.upper(), old[:-1], [old], Pairs([("a", old)])]
    if isinstance(old, bool):
        return [not old, str(old).lower(), Literal(str(int(old)))]
    if old is None:
        return ["", Literal("0")]
    if isinstance(old, Pairs):
        return [[each for _, each in old], [old], str(rendered(old))]
    return [Pairs((str(index), each) for index, each in enumerate(old)), old + old, [old], str(rendered(old))]


def _once(draw: Any, root: Any) -> tuple[Any, tuple[str, Any]]:
    known = places(root)
    path = known[draw(st.integers(0, len(known) - 1))]
    old = at(root, path)
    step = path[-1] if path else None
    named = step[1] if isinstance(step, tuple) else step
    kind = draw(st.sampled_from(("value", "twist", "drop", "rename", "double", "value", "drop")))
    if kind in ("drop", "rename", "double") and not isinstance(step, tuple):
        kind = "value"
    if kind == "value":
        return replaced(root, path, draw(st.sampled_from(VALUES))), (kind, named)
    if kind == "twist":
        return replaced(root, path, draw(st.sampled_from(_twisted(old)))), (kind, named)
    holder = at(root, path[:-1])
    index, key = step
    if kind == "drop":
        del holder[index]
    elif kind == "rename":
        holder[index] = (draw(st.sampled_from((key + "_", key.upper(), key.lower(), key[:-1], "", "zzz"))), old)
    else:
        holder.insert(draw(st.sampled_from((index, index + 1))), (key, draw(st.sampled_from(VALUES))))
    return root, (kind, key)


def _text_once(draw: Any, data: bytes) -> tuple[bytes, tuple[str, Any]]:
    kind = draw(st.sampled_from(("cut", "noise", "bom", "page", "twice", "tail")))
    where = draw(st.integers(0, max(0, len(data) - 1)))
    if kind == "cut":
        return data[:where], (kind, None)
    if kind == "noise":
        byte = draw(st.sampled_from((b"\xff", b"\xc3", b"\x00", b"\xed\xa0\x80", b"\\u", b"\n", b'"', b"\\")))
        return data[:where] + byte + data[where:], (kind, None)
    if kind == "bom":
        return b"\xef\xbb\xbf" + data, (kind, None)
    if kind == "page":
        return draw(st.sampled_from(PAGES)), (kind, None)
    return (data + data, (kind, None)) if kind == "twice" else (data + b" x", (kind, None))


@st.composite
def mutated(draw: Any, payload: bytes, most: int = 3) -> Mutated:
    """``payload``, a JSON text, with one to ``most`` changes."""
    changes = []
    count = draw(st.integers(1, most))
    try:
        root = parsed(payload)
    except ValueError:
        count = 0
    else:
        for _ in range(count - 1 if draw(st.integers(0, 4)) == 0 else count):
            root, told = _once(draw, root)
            changes.append(told)
        payload = rendered(root).encode(errors="replace")
    if len(changes) < max(1, count):
        payload, told = _text_once(draw, payload)
        changes.append(told)
    return Mutated(payload, tuple(changes))
