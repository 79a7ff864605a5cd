"""What the whole tree promises: small files, plain names, no traces of the machine it was written on."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from venues import VENUES

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("app", "runner", "reports", "steps", "strategy", "execution", "venues", "core", "schemas")
MAX_LINES = 600
MAX_FRONT_DOOR = 40
BANNED = re.compile(r"manager|helper|(^|_)utils?($|_)|^common$|^misc$", re.IGNORECASE)
TEXTS = {".py", ".md", ".yaml", ".yml", ".toml", ".json", ".jsonl", ".j2", ".css", ".txt", ".cfg", ".sh", ".html", ""}
# Written by tools from what is pinned, and data that was recorded.
GENERATED = {"requirements.lock", "requirements-test.lock"}


def tracked() -> list[Path]:
    """Every file of the project; outside a repository, every file that is no runtime state."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]
    state = {".venv", ".git", "runs", "logs", "state", "__pycache__", "build"}
    return [
        path for path in ROOT.rglob("*") if path.is_file() and not state & set(path.relative_to(ROOT).parts)
    ]  # pragma: no cover


def finished(path: Path) -> bool:
    """A venue's room counts once it stands in VENUES; until then it is being built."""
    for part in path.relative_to(ROOT).parts:
        if part in UNFINISHED:
            return False
    return not any(path.name.startswith(f"test_{venue}_") for venue in UNFINISHED)


UNFINISHED = {path.name for path in (ROOT / "venues").iterdir() if path.is_dir()} - {*VENUES, "simulation"}
FILES = [path for path in tracked() if finished(path)]
CODE = [path for path in FILES if path.suffix == ".py"]
OURS = [path for path in CODE if path.relative_to(ROOT).parts[0] in ROOMS]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_tree_is_found():
    """[ours] The tests below must not pass by finding nothing."""
    assert {path.relative_to(ROOT).parts[0] for path in OURS} == set(ROOMS)
    assert len(CODE) > 100


def test_no_file_of_code_is_longer_than_600_lines():
    """[client] At most 600 lines a file, tests included."""
    long = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in CODE}
    assert {file: lines for file, lines in long.items() if lines > MAX_LINES} == {}


def test_every_front_door_is_small_and_names_what_it_gives():
    """[ours] An __init__ has at most 40 lines and, where it defines or imports names for others, an __all__."""
    faults = []
    for path in OURS:
        if path.name != "__init__.py":
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        tree = ast.parse("\n".join(lines))
        gives = [
            node
            for node in tree.body
            if isinstance(node, ast.ImportFrom | ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign)
            and not (isinstance(node, ast.ImportFrom) and node.module == "__future__")
        ]
        named = "__all__" in {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        # The two packages that are rooms of their own right hold their reader: schemas and the list of venues.
        allowed = {"schemas/__init__.py", "venues/__init__.py", "steps/__init__.py"}
        if len(lines) > MAX_FRONT_DOOR and name(path) not in allowed:
            faults.append(f"{name(path)}: {len(lines)} lines")
        if gives and not named and name(path) not in allowed:
            faults.append(f"{name(path)}: no __all__")
    assert faults == []


def test_names_are_nouns_of_the_trade():
    """[ours] No manager, helper, util, common or misc: no file, class or function is called so."""
    faults = []
    for path in CODE:
        for part in path.relative_to(ROOT).with_suffix("").parts:
            if BANNED.search(part):
                faults.append(name(path))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and BANNED.search(node.name):
                faults.append(f"{name(path)}:{node.lineno} {node.name}")
    # Python's own word for `async with` factories is not ours.
    assert [fault for fault in faults if "contextmanager" not in fault] == []


# Spelled in parts, so that this file does not find itself.
TRACES = {
    "a path of the machine": re.compile(
        r"/(?:" + "|".join((r"root/[\w.-]+/", "home/[a-z]+/", "work/", "Users/")) + r")"
    ),
    "a mirror of packages": re.compile("|".join((r"(?<!emit-)index-" + "url", "extra-" + "index", "artif" + "actory"))),
    "a host of packages": re.compile("|".join(("pypi" + r"\.org", "pythonhosted" + r"\.org", "npmjs" + r"\.org"))),
}


@pytest.mark.parametrize("what", list(TRACES))
def test_nothing_tells_where_it_was_written_or_where_packages_come_from(what: str):
    """[ours] No absolute path of a machine, no address of a package registry, in any text file."""
    found = []
    for path in FILES:
        if path.suffix not in TEXTS or path.name in GENERATED:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if TRACES[what].search(line):
                found.append(f"{name(path)}:{number}: {line.strip()[:100]}")
    assert found == []


def test_locks_hold_names_versions_and_hashes_only():
    """[ours] No address in a lock file: it must not say where packages were downloaded from."""
    for file in GENERATED:
        text = (ROOT / file).read_text(encoding="utf-8")
        assert "--hash=sha256:" in text
        assert re.findall(r"https?://\S+", text) == []


def test_there_is_no_dead_promise_in_the_code():
    """[ours] No notes to oneself and no stubs, but for the base that asks to be written and the template of a room."""
    found = []
    words = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "raise Not" + "Implemented" + "Error")))
    for path in CODE:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if words.search(line):
                found.append(f"{name(path)}:{number}")
    allowed = ("strategy/base.py:", "scripts/make_venue.py:")
    assert [place for place in found if not place.startswith(allowed)] == []


def test_every_python_file_of_the_product_says_what_it_is():
    """[ours] A module docstring in every file that is more than an empty front door."""
    silent = []
    for path in OURS:
        text = path.read_text(encoding="utf-8")
        if text.strip() and ast.get_docstring(ast.parse(text)) is None:
            silent.append(name(path))
    assert silent == []


def test_only_the_clock_reads_the_machines_time_and_only_chance_draws():
    """[ours] time, datetime.now and random are imported in one place each."""
    found = set()
    for path in OURS:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {(name(path), each.name) for each in node.names if each.name in ("time", "random")}
            elif isinstance(node, ast.ImportFrom) and node.module in ("time", "random"):
                found.add((name(path), node.module))
            elif isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow") and _is_datetime(node.value):
                found.add((name(path), "now"))
    assert found == {("core/clock.py", "time"), ("core/chance.py", "random")}


def _is_datetime(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("datetime", "date")
