"""
Make the room of one more exchange: files that import and type-check, and say word by word what is to be written.

``python scripts/make_venue.py kite`` makes the room, its mirrored tests and its folder for vectors, and adds the lines
that make it known. The methods come from the protocols in ``venues/dialect.py`` and ``venues/simulation/app.py`` as
they are now. Exit 2, with nothing written, when that cannot be done whole.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import json
import keyword
import re
import sys
import textwrap
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from string import Template
from typing import Final, NamedTuple

import black
from room_texts import (
    BY_TYPE,
    CAUTIOUS,
    CONTRACT_MIRROR,
    DECODE,
    DIALECT,
    DUTIES,
    ENCODE,
    FACTS,
    FRONT_DOOR,
    HEADINGS,
    MIRROR,
    MIRRORS,
    NEXT,
    README,
    REFUSALS,
    SIGN,
    SIMULATOR,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

ROOT: Final = Path(__file__).resolve().parents[1]
MODEL: Final = "backpack"
"""The room that the words point to, and whose lines in pyproject.toml show where a room's lines belong."""
NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
MAX_NAME: Final = 24
STUB: Final = "raise NotImplementedError"
PAGE_CHARS: Final = 120
PIECE_CHARS: Final = 92
"""A message is cut into strings of this many characters, so that none reaches over the edge."""


class Impossible(Exception):
    """Nothing was written; the text says why."""


class Member(NamedTuple):
    """A method or property of a protocol."""

    name: str
    arguments: str
    returns: str
    is_property: bool
    duty: str
    """What ``DUTIES`` and the protocol's docstring say; empty where both are silent."""


class Contract(NamedTuple):
    """A protocol as its source has it."""

    members: tuple[Member, ...]
    attributes: Mapping[str, str]
    """Plain attribute → annotation; without those that the template sets."""
    imports: Mapping[str, frozenset[str]]
    """Module → the names from it that the signatures use."""


# -- the protocols


def read_contract(source: str, protocol: str, module: str, *, written: Collection[str]) -> Contract:
    """
    A protocol class of a source text.

    Args:
        module: Where that text is imported from.
        written: The attributes that the template sets by itself.

    Raises:
        Impossible: the text has no such class.
    """
    tree = ast.parse(source)
    homes = {
        alias.asname or alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    body = next((node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == protocol), None)
    if body is None:
        raise Impossible(f"{module} has no class {protocol}, from which the methods are to be taken.")
    members: list[Member] = []
    attributes: dict[str, str] = {}
    annotations: list[ast.expr] = []
    for node in body:
        if isinstance(node, ast.AnnAssign):
            if ast.unparse(node.target) not in written:
                attributes[ast.unparse(node.target)] = ast.unparse(node.annotation)
                annotations.append(node.annotation)
        elif isinstance(node, ast.FunctionDef) and node.returns is not None:
            told = f"{DUTIES.get(node.name, '')} {ast.get_docstring(node) or ''}"
            words = " ".join(told.replace("``", "`").split())
            decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
            members.append(
                Member(node.name, ast.unparse(node.args), ast.unparse(node.returns), "property" in decorators, words)
            )
            every = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            annotations += [argument.annotation for argument in every if argument.annotation is not None]
            annotations.append(node.returns)
    used = {node.id for each in annotations for node in ast.walk(each) if isinstance(node, ast.Name)}
    imports: dict[str, set[str]] = {}
    for name in used - set(vars(builtins)):
        imports.setdefault(homes.get(name, module), set()).add(name)
    return Contract(tuple(members), attributes, {home: frozenset(names) for home, names in imports.items()})


def cautious_abilities(source: str) -> str:
    """
    The arguments of ``Abilities`` that have no default, each with the value that promises least.

    Raises:
        Impossible: the text has no such class.
    """
    kinds = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    if "Abilities" not in kinds:
        raise Impossible("venues.interface has no class Abilities, which facts.py is to fill.")
    lines = []
    for field in kinds["Abilities"].body:
        if isinstance(field, ast.AnnAssign) and field.value is None:
            name, kind = ast.unparse(field.target), ast.unparse(field.annotation)
            lines.append(f"    {name}={CAUTIOUS.get(name) or BY_TYPE.get(kind, '()')},")
    return "\n".join(lines)


# -- the texts


class Room(NamedTuple):
    """The names of a room to make."""

    name: str

    @property
    def title(self) -> str:
        """As classes are called: ``gate_io`` → ``GateIo``."""
        return "".join(part.capitalize() for part in self.name.split("_"))

    def filled(self, template: str, **more: str) -> str:
        """A template with its names, and its WRITE lines left to :meth:`code`."""
        return Template(template).substitute(name=self.name, Name=self.title, NAME=self.name.upper(), **more)

    def words(self, file: str, member: str, duty: str) -> str:
        """What the reader of a failing test is told."""
        duty = duty if duty.endswith(".") else f"{duty}."
        return (
            f"{self.name}: write {member} in venues/{self.name}/{file}. {duty} "
            f"See docs/EXCHANGE_INTEGRATION.md, and venues/{MODEL}/{file} for a finished one."
        )

    def code(self, file: str, template: str, **more: str) -> str:
        """A Python file of the room, its WRITE lines turned into statements."""
        return re.sub(
            r"^( +)WRITE (\S+): (.*)$",
            lambda found: statement(STUB, self.words(file, found[2], found[3]), found[1]),
            self.filled(template, **more),
            flags=re.MULTILINE,
        )

    def members(self, contract: Contract, file: str, kind: str) -> dict[str, str]:
        """The stubs of a contract, and its attributes, for a class called by the room and ``kind``."""
        where = "venues/simulation/app.py" if file == "simulator.py" else "venues/dialect.py"
        stubs = []
        for member in contract.members:
            duty = member.duty or f"What {where} asks of it: -> {member.returns}."
            stubs.append(
                ("    @property\n" if member.is_property else "")
                + f"    def {member.name}({member.arguments}) -> {member.returns}:\n"
                + statement(STUB, self.words(file, f"{self.title}{kind}.{member.name}", duty))
            )
        return {
            "members": "\n\n".join(stubs),
            "attributes": "\n".join(f"    {name}: {kind}" for name, kind in contract.attributes.items()),
        }

    def keeper(self, module: str, protocol: str, file: str) -> dict[str, str]:
        """What the test of a class that keeps a protocol must name."""
        kept = self.title + file.capitalize()
        wanted = {module: [protocol], f"venues.{self.name}.{file}": [kept]}
        return {"protocol": protocol, "kept": kept, "imports": imports(wanted)}


def mirror_path(name: str, file: str) -> str:
    """Where the test of a room's file stands. A simulator's stands apart: it may share nothing with the others."""
    return f"tests/unit/venues/{name}{'_sim' if file == 'simulator' else ''}/test_{name}_{file}.py"


def statement(call: str, words: str, indent: str = " " * 8) -> str:
    """``call("…")`` with the words in pieces that fit a line."""
    pieces = textwrap.wrap(words, PIECE_CHARS, break_long_words=False, break_on_hyphens=False)
    quoted = [json.dumps(piece + " ", ensure_ascii=False) for piece in pieces[:-1]]
    quoted.append(json.dumps(pieces[-1], ensure_ascii=False))
    lines = "\n".join(f"{indent}    {piece}" for piece in quoted)
    return f"{indent}{call}(\n{lines}\n{indent})"


def imports(modules: Mapping[str, Iterable[str]]) -> str:
    """The import block: standard library, others, our own; each in the order that ruff wants."""
    ours = {"core", "venues"}
    blocks: dict[int, list[str]] = {0: [], 1: [], 2: []}
    for module in sorted(modules):
        top = module.partition(".")[0]
        names = sorted(modules[module], key=lambda name: (not name.isupper(), name[:1].islower(), name))
        block = 2 if top in ours else 0 if top in sys.stdlib_module_names else 1
        blocks[block].append(f"from {module} import {', '.join(names)}")
    return "\n\n".join("\n".join(lines) for lines in blocks.values() if lines)


def merged(*parts: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Import tables put together."""
    whole: dict[str, set[str]] = {}
    for part in parts:
        for module, names in part.items():
            whole.setdefault(module, set()).update(names)
    return whole


def room_texts(room: Room, root: Path) -> dict[str, str]:
    """Every new file of a room: path below ``root`` → text, Python not yet in black's form."""
    name, here = room.name, f"venues/{room.name}"
    dialect = read_contract(
        read(root / "venues/dialect.py"), "Dialect", "venues.dialect", written=("name", "abilities", "markets")
    )
    app = read_contract(read(root / "venues/simulation/app.py"), "VenueApp", "venues.simulation.app", written=("name",))
    door_imports = {
        "collections.abc": ["Mapping"],
        "typing": ["TYPE_CHECKING", "Any", "Final"],
        "venues.errors": ["LocalRuleError"],
        f"venues.{name}.facts": ["LIVE", "canonical", "venue_symbol"],
    }
    dialect_imports = {
        "collections.abc": ["Mapping"],
        "venues.events": ["MarketFacts"],
        f"venues.{name}": ["facts"],
        f"venues.{name}.sign": ["Signer"],
    }
    simulator_imports = {
        "core.chance": ["Chance"],
        "core.clock": ["Clock"],
        "venues.simulation.engine": ["MatchingEngine"],
        "venues.simulation.faults": ["Faults"],
    }
    dialect_parts = room.members(dialect, "dialect.py", "Dialect")
    simulator_parts = room.members(app, "simulator.py", "Simulator")
    keepers = {
        "dialect": room.keeper("venues.dialect", "Dialect", "dialect"),
        "simulator": room.keeper("venues.simulation.app", "VenueApp", "simulator"),
    }
    texts = {
        f"{here}/__init__.py": room.code("__init__.py", FRONT_DOOR, imports=imports(door_imports)),
        f"{here}/facts.py": room.code(
            "facts.py", FACTS, abilities=cautious_abilities(read(root / "venues/interface.py"))
        ),
        f"{here}/sign.py": room.code("sign.py", SIGN),
        f"{here}/encode.py": room.code("encode.py", ENCODE),
        f"{here}/decode.py": room.code("decode.py", DECODE),
        f"{here}/refusals.py": room.code("refusals.py", REFUSALS),
        f"{here}/dialect.py": room.code(
            "dialect.py", DIALECT, imports=imports(merged(dialect.imports, dialect_imports)), **dialect_parts
        ),
        f"{here}/simulator.py": room.code(
            "simulator.py", SIMULATOR, imports=imports(merged(app.imports, simulator_imports)), **simulator_parts
        ),
        f"{here}/README.md": readme(room, read(root / f"venues/{MODEL}/README.md")),
        f"tests/vectors/{name}/.gitkeep": "",
    }
    for file, (outcome, demand, shows) in MIRRORS.items():
        path, model = mirror_path(name, file), mirror_path(MODEL, file)
        words = room.filled(f"$name: write {path}. To show: {shows}. See {model} for a finished one.")
        texts[path] = room.filled(
            CONTRACT_MIRROR if file in keepers else MIRROR,
            outcome=outcome,
            demand=demand,
            failure=statement("pytest.fail", words, " " * 4).lstrip(),
            **keepers.get(file, {}),
        )
    return texts


def readme(room: Room, model: str) -> str:
    """The headings of the model room's README, each with a line about what belongs there."""
    parts = [room.filled(README)]
    for heading in re.findall(r"^## (.+)$", model, re.MULTILINE):
        belongs = HEADINGS.get(heading, "What the sheet says about this, with source and date.")
        parts.append(f"## {heading}\n\n{textwrap.fill(belongs, PAGE_CHARS)}\n")
    return "\n".join(parts)


# -- the lines that make a room known


def venue_names(source: str) -> list[str]:
    """The keys of ``VENUES``."""
    return [str(key.value) for key in _table(source, "VENUES").keys if isinstance(key, ast.Constant)]


def _table(source: str, variable: str) -> ast.Dict:
    for node in ast.parse(source).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == variable:
            if isinstance(node.value, ast.Dict) and node.value.values:
                return node.value
            break
    raise Impossible(f"{variable} is not a plain dict with entries any more: a line cannot be added to it.")


def with_entry(source: str, variable: str, key: str, value: str) -> str:
    """A dict in a source text with one more entry at its end."""
    last = _table(source, variable).values[-1]
    assert last.end_lineno is not None
    assert last.end_col_offset is not None
    raw = source.encode()
    # The parser counts bytes.
    at = sum(len(line) + 1 for line in raw.split(b"\n")[: last.end_lineno - 1]) + last.end_col_offset
    return (raw[:at] + f', "{key}": "{value}"'.encode() + raw[at:]).decode()


def with_modules(project: str, name: str, venues: Iterable[str]) -> str:
    """pyproject.toml with the room in every list that has the model room or files of it."""
    known = re.compile(rf'"venues\.(?:{"|".join(venues)})(?:\.\w+)*"')

    def extend(found: re.Match[str]) -> str:
        head, body = found[1], found[2]
        parts = re.findall(rf'"venues\.{MODEL}((?:\.\w+)?)"', body)
        twins = [f'"venues.{name}{part}"' for part in parts if not part or part[1:] in MIRRORS]
        if not twins:
            return found[0]
        end = list(known.finditer(body))[-1].end()
        indent = re.match(r"\s*", body[body.rfind("\n", 0, end) + 1 : end])
        assert indent is not None
        gap = f",\n{indent[0]}" if "\n" in body and len(twins) > 1 else ", "
        return f"{head}{body[:end]}{gap}{', '.join(twins)}{body[end:]}]"

    extended = re.sub(r"^([\w-]+ = \[)(.*?)\]", extend, project, flags=re.MULTILINE | re.DOTALL)
    if f"venues.{name}" not in tomllib.loads(extended)["tool"]["setuptools"]["packages"]:
        raise Impossible(f"the packages of pyproject.toml do not list venues.{MODEL}: no place for a line beside it.")
    return extended


def with_account(config: str, room: Room) -> str:
    """config.example.yaml with the room's credentials at the end of ``accounts``."""
    lines = config.splitlines(keepends=True)
    starts = [number for number, line in enumerate(lines) if re.match(r"accounts:\s*(#.*)?$", line)]
    if not starts:
        raise Impossible("config.example.yaml has no block `accounts:` to add a line to.")
    end = starts[0] + 1
    for number, line in enumerate(lines[end:], end):
        if line.strip() and not line.startswith(" "):
            break
        if line.strip():
            end = number + 1
    wanted = {f"{key}_env": f"{room.name.upper()}_{key.upper()}" for key in ("api_key", "api_secret")}
    added = "".join([f"  {room.name}:\n", *(f"    {key}: {value}\n" for key, value in wanted.items())])
    before = "".join(lines[:end])
    extended = before + ("" if before.endswith("\n") else "\n") + added + "".join(lines[end:])
    if YAML(typ="safe", pure=True).load(extended)["accounts"].get(room.name) != wanted:
        raise Impossible("the accounts of config.example.yaml stand in a form that a line cannot be added to.")
    return extended


# -- all of it


def plan(name: str, root: Path) -> dict[Path, str]:
    """
    Every file to write, whole: path → text.

    Raises:
        Impossible: the name cannot be had, or the checkout is not what we know.
    """
    if not (root / "venues/dialect.py").is_file():
        raise Impossible(f"{root} is no checkout of this project: it has no venues/dialect.py.")
    check_name(name, root)
    room = Room(name)
    files = room_texts(room, root)
    for path in files:
        if (root / path).exists():
            raise Impossible(f"{path} is there already, and nothing is written over.")
    listed, simulated = read(root / "venues/__init__.py"), read(root / "venues/simulation/__init__.py")
    files["venues/__init__.py"] = with_entry(listed, "VENUES", name, f"venues.{name}")
    files["venues/simulation/__init__.py"] = with_entry(
        simulated, "SIMULATORS", name, f"venues.{name}.simulator:{room.title}Simulator"
    )
    project = read(root / "pyproject.toml")
    files["pyproject.toml"] = with_modules(project, name, venue_names(listed))
    files["config.example.yaml"] = with_account(read(root / "config.example.yaml"), room)
    form = black.Mode(line_length=tomllib.loads(project)["tool"]["black"]["line-length"])
    return {
        root / path: black.format_str(text, mode=form) if path.endswith(".py") else text for path, text in files.items()
    }


def check_name(name: str, root: Path) -> None:
    """Raises Impossible for a name that a room cannot have."""
    if not NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise Impossible(
            f"{name!r} cannot name a room: a name is a lower-case word such as kite or gate_io, made of a to z, 0 to 9 "
            f"and single underscores, {MAX_NAME} characters at most."
        )
    if keyword.iskeyword(name):
        raise Impossible(f"{name!r} cannot name a room: it is a word of Python itself.")
    if name == "all":
        raise Impossible("'all' cannot name a room: in a scenario it means every venue.")
    if name in venue_names(read(root / "venues/__init__.py")):
        raise Impossible(f"there is a venue {name} already.")
    for taken in (root / "venues" / name, root / "venues" / f"{name}.py"):
        if taken.exists():
            raise Impossible(f"{name!r} is taken: {taken.relative_to(root)} is there already.")


def read(path: Path) -> str:
    """
    Raises:
        Impossible: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise Impossible(f"{path.name} cannot be read: {error.strerror}.") from error


def write(files: Mapping[Path, str]) -> None:
    """
    All files or none: after a failure everything is as it was.

    Raises:
        Impossible: one of them could not be written.
    """
    before = {path: path.read_bytes() if path.exists() else None for path in files}
    folders: list[Path] = []
    try:
        for path, text in files.items():
            missing = [folder for folder in path.parents if not folder.exists()]
            for folder in reversed(missing):
                folder.mkdir()
                folders.append(folder)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        for path, old in before.items():
            if old is not None:
                path.write_bytes(old)
            elif path.is_file():
                path.unlink()
        for folder in reversed(folders):
            folder.rmdir()
        raise Impossible(f"{path} cannot be written: {error.strerror}. Everything is as it was.") from error


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the room of one more exchange.")
    parser.add_argument("name", metavar="NAME", help="a lower-case word, such as kite")
    parser.add_argument("--root", type=Path, default=ROOT, metavar="DIR", help="the checkout to work in")
    options = parser.parse_args()
    try:
        files = plan(options.name, options.root)
        write(files)
    except Impossible as refused:
        print(f"make_venue: {refused}", file=sys.stderr)
        return 2
    except (SyntaxError, ValueError, YAMLError) as broken:
        print(f"make_venue: a file of the checkout is broken, nothing was written: {broken}", file=sys.stderr)
        return 2
    for path in files:
        print(path.relative_to(options.root))
    print("\n" + Room(options.name).filled(NEXT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
