"""The scaffold of one more exchange, made in a copy of the tree and judged by the tools that judge every room."""

import ast
import inspect
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from venues import VENUES
from venues.dialect import Dialect
from venues.interface import Abilities
from venues.simulation import SIMULATORS
from venues.simulation.app import VenueApp

ROOT = Path(__file__).resolve().parents[2]
STATE = shutil.ignore_patterns(
    *(".venv", ".git", "runs", "logs", "state", "__pycache__", ".*_cache", ".hypothesis", ".coverage*", "*.egg-info")
)
STUB = "Not" + "Implemented" + "Error"  # in parts: a test looks for the word in every file
LISTS = ("venues/__init__.py", "venues/simulation/__init__.py", "pyproject.toml", "config.example.yaml")
ROOM = ("facts", "sign", "encode", "decode", "refusals", "dialect", "simulator")

# Calls every method of both classes and tells the signature and the words of each.
CALLS = f"""
import inspect, json, sys
from core.chance import Chance
from core.clock import SystemClock
from venues.kite.dialect import KiteDialect
from venues.kite.sign import Signer
from venues.kite.simulator import KiteSimulator

def told(made):
    found = {{}}
    for name, member in vars(type(made)).items():
        function = member.fget if isinstance(member, property) else member
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        needed = [each for each in inspect.signature(function).parameters.values() if each.default is each.empty]
        words = "nothing was raised"
        try:
            function(made, *needed[1:])
        except {STUB} as error:
            words = str(error)
        found[name] = (str(inspect.signature(function)), words)
    return found

dialect = KiteDialect(Signer("key", "secret"), {{}})
simulator = KiteSimulator(SystemClock(), Chance(1))
print(json.dumps({{"dialect": told(dialect), "simulator": told(simulator), "name": [dialect.name, simulator.name]}}))
"""


def tree(folder, *, without=()):
    """A copy of the checkout, without what is runtime state."""
    shutil.copytree(ROOT, folder, ignore=STATE)
    for path in without:
        (folder / path).unlink()
    return folder


def tool(folder, *words):
    """Run a module of this environment inside a copy."""
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )


def make(folder, *words):
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "make_venue.py"), *words, "--root", str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def kite(tmp_path_factory):
    """A copy of the checkout with a room called kite, untouched by the tests; what was made; the lists as they were."""
    folder = tree(tmp_path_factory.mktemp("scaffold") / "tree")
    before = contents(folder)
    done = make(folder, "kite")
    assert done.returncode == 0, done.stderr
    made = [str(path) for path, text in contents(folder).items() if before.get(path) != text]
    assert sorted(made) == sorted(done.stdout.partition("\n\n")[0].splitlines())
    return folder, made, {path: before[Path(path)].decode() for path in LISTS}


@pytest.fixture(scope="module")
def stubs(kite):
    done = subprocess.run([sys.executable, "-c", CALLS], cwd=kite[0], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def promised(protocol):
    """Method → its signature, as text."""
    members = {name: member for name, member in vars(protocol).items() if not name.startswith("_")}
    functions = {name: member.fget if isinstance(member, property) else member for name, member in members.items()}
    return {name: str(inspect.signature(each)) for name, each in functions.items() if inspect.isfunction(each)}


# -- what is made


def test_every_file_of_a_room_is_made_and_nothing_else(kite):
    """[client] The room, its README, a test for each file, the folder for vectors, and four lists."""
    wanted = {f"venues/kite/{name}.py" for name in (*ROOM, "__init__")} | {"venues/kite/README.md", *LISTS}
    wanted |= {f"tests/unit/venues/kite/test_kite_{name}.py" for name in ROOM if name != "simulator"}
    wanted |= {"tests/unit/venues/kite_sim/test_kite_simulator.py", "tests/vectors/kite/.gitkeep"}
    assert set(kite[1]) == wanted


def test_the_room_passes_format_lint_and_strict_types(kite):
    """[client] black, ruff and mypy --strict are content with every generated file."""
    folder, made, _ = kite
    code = [path for path in made if path.endswith(".py")]
    for words in (("black", "--check"), ("ruff", "check", "--no-cache")):
        done = tool(folder, *words, *code)
        assert done.returncode == 0, done.stdout + done.stderr
    done = tool(folder, "mypy", "--strict", "-p", "venues.kite")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_room_with_another_contract_than_the_protocols_would_not_type_check(kite, tmp_path):
    """[ours] The judgement above can fail: one method gone, and mypy names it."""
    folder = shutil.copytree(kite[0], tmp_path / "tree")
    path = folder / "venues/kite/dialect.py"
    path.write_text(path.read_text().replace("def look_up(", "def look_for("))
    done = tool(folder, "mypy", "--strict", "-p", "venues.kite")
    assert (done.returncode, "look_up" in done.stdout) == (1, True)


@pytest.mark.parametrize("name", ["q", "ape", "gate_io", "x" * 24])
def test_any_name_gives_a_tidy_room(name, tmp_path):
    """[ours] Short, long, in two parts, early or late in the alphabet: still in black's and ruff's form."""
    folder = tree(tmp_path / "tree")
    assert make(folder, name).returncode == 0
    paths = [f"venues/{name}", f"tests/unit/venues/{name}", f"tests/unit/venues/{name}_sim", *LISTS[:2]]
    for words in (("black", "--check"), ("ruff", "check", "--no-cache")):
        done = tool(folder, *words, *paths)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_methods_are_the_protocols_to_the_letter(stubs):
    """[ours] Names, arguments, defaults and types of Dialect and VenueApp; the simulator has its engine besides."""
    own = {part: {name: signature for name, (signature, _) in stubs[part].items()} for part in ("dialect", "simulator")}
    assert own["dialect"] == promised(Dialect)
    assert own["simulator"].keys() - promised(VenueApp).keys() == {"engine", "now_ms"}
    assert own["simulator"].items() >= promised(VenueApp).items()
    assert stubs["name"] == ["kite", "kite"]


def test_a_method_that_joins_the_protocol_joins_the_scaffold(tmp_path):
    """[ours] The scaffold is read from the protocol's source, and its words from the docstring."""
    folder = tree(tmp_path / "tree")
    path = folder / "venues/dialect.py"
    path.write_text(
        path.read_text().replace(
            "    def lines(self)",
            "    def amend(self, key: OrderKey, price_i: int, *, rest: bool = False) -> Talk[Mapping[str, int]]:\n"
            '        """Move an order to ``price_i`` where it keeps its id."""\n        ...\n\n    def lines(self)',
        )
    )
    assert make(folder, "kite").returncode == 0
    text = (folder / "venues/kite/dialect.py").read_text()
    assert "def amend(self, key: OrderKey, price_i: int, *, rest: bool = False) -> Talk[Mapping[str, int]]:" in text
    assert "Move an order to `price_i`" in text
    assert tool(folder, "mypy", "--strict", "-p", "venues.kite").returncode == 0


def test_every_method_says_what_to_write_and_where_to_look(stubs):
    """[client] The venue, the method, its file, a duty and a finished room; no two say the same."""
    told = []
    for part, kept in (("dialect", "KiteDialect"), ("simulator", "KiteSimulator")):
        for name, (_, words) in stubs[part].items():
            if name == "now_ms":
                continue
            head = f"kite: write {kept}.{name} in venues/kite/{part}.py. "
            tail = f" See docs/EXCHANGE_INTEGRATION.md, and venues/backpack/{part}.py for a finished one."
            assert words.startswith(head), (name, words)
            assert words.endswith(tail), (name, words)
            told.append(words.removeprefix(head).removesuffix(tail))
    assert len(told) == len(set(told)) == len(promised(Dialect)) + len(promised(VenueApp)) + 1
    assert min(len(words) for words in told) > 20


def test_the_abilities_are_all_that_have_no_default(kite):
    """[ours] And the values promise nothing that a sheet has not said."""
    body = ast.parse((kite[0] / "venues/kite/facts.py").read_text())
    call = next(node for node in ast.walk(body) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Abilities")
    values = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    abilities = Abilities(**values)
    needed = len(Abilities.__struct_fields__) - len(Abilities.__struct_defaults__)
    assert tuple(values) == Abilities.__struct_fields__[:needed]
    assert not any(value for value in values.values() if value is True)
    assert (abilities.order_entry, abilities.expiry_ms) == ("rest", 5_000)


def test_the_readme_has_the_headings_of_a_finished_room(kite):
    """[client] In the same order, with words under each, and no marks left of the template."""

    def headings(path):
        return re.findall(r"^## (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)

    made = kite[0] / "venues/kite/README.md"
    assert headings(made) == headings(ROOT / "venues/backpack/README.md")
    parts = re.split(r"^## .+$", made.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert all(len(part.strip()) > 20 for part in parts)
    for path in kite[1]:
        if "kite" in path and (kite[0] / path).suffix in (".py", ".md"):
            assert not re.search(r"\$\{?[nN]|WRITE", (kite[0] / path).read_text(encoding="utf-8")), path


# -- the lines


def lists_of(project):
    """Every list of modules in pyproject.toml by its place."""
    tools = tomllib.loads(project)["tool"]
    found = {"packages": tools["setuptools"]["packages"]}
    for contract in tools["importlinter"]["contracts"]:
        for key, value in contract.items():
            if isinstance(value, list):
                found[contract["name"], key] = value
    return found


def test_the_room_stands_wherever_the_model_stands(kite):
    """[client] VENUES, SIMULATORS, packages, import contracts and accounts; what stood there stays, in its order."""
    before, after = lists_of(kite[2]["pyproject.toml"]), lists_of((kite[0] / "pyproject.toml").read_text())
    assert before.keys() == after.keys()
    for place, modules in before.items():
        made = {f"venues.kite{suffix}" for suffix in ("", *(f".{name}" for name in ROOM))}
        twins = {module.replace("venues.backpack", "venues.kite") for module in modules if "venues.backpack" in module}
        assert [module for module in after[place] if module not in made] == modules, place
        assert set(after[place]) - set(modules) == twins & made, place
    assert "venues.kite" in after["packages"]
    accounts = [
        YAML(typ="safe").load(text)["accounts"] for text in (kite[2][LISTS[3]], (kite[0] / LISTS[3]).read_text())
    ]
    assert accounts[1] == accounts[0] | {"kite": {"api_key_env": "KITE_API_KEY", "api_secret_env": "KITE_API_SECRET"}}
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import json; from venues import VENUES, open_room; from venues.simulation import SIMULATORS;"
            "print(json.dumps([VENUES, SIMULATORS, open_room('kite').CREDENTIALS]))",
        ],
        cwd=kite[0],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    venues, simulators, credentials = json.loads(done.stdout)
    assert venues == {**VENUES, "kite": "venues.kite"}
    assert simulators == {**SIMULATORS, "kite": "venues.kite.simulator:KiteSimulator"}
    assert credentials == {"api_key": "KITE_API_KEY", "api_secret": "KITE_API_SECRET"}
    assert [*venues][:-1] == [*VENUES]


def test_the_import_contracts_hold_the_new_room_too(kite, tmp_path):
    """[ours] Kept as made; a dialect that imports a clock is named."""
    folder = shutil.copytree(kite[0], tmp_path / "tree")
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    kept = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert "venues.kite" not in kept.stdout, kept.stdout
    path = folder / "venues/kite/sign.py"
    path.write_text(path.read_text().replace("from venues.dialect", "import time\n\nfrom venues.dialect"))
    broken = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert broken.returncode == 1
    assert "venues.kite.sign -> time" in broken.stdout


# -- how it fails


def test_the_rooms_own_tests_fail_one_by_one_with_words(kite):
    """[client] One test a method and one a file; each fails, and each failure begins with the venue's name."""
    done = tool(
        kite[0],
        *("pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=line", "-rN", "-o", "addopts="),
        *("tests/unit/venues/kite", "tests/unit/venues/kite_sim"),
    )
    count = len(promised(Dialect)) + len(promised(VenueApp)) + len(ROOM)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(rf"= {count} failed in ", done.stdout), done.stdout[-500:]
    words = {line.partition("kite: write ")[2] for line in done.stdout.splitlines() if "kite: write " in line}
    assert len(words) == count


def test_the_contract_suite_begins_by_naming_a_method(kite):
    """[client] Its first test for kite fails with what the simulator must learn first."""
    suite = kite[0] / "tests/contract"
    assert suite.is_dir()
    done = tool(
        kite[0], "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-x", "-k", "kite and memory", "tests/contract"
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed" in done.stdout
    assert "kite: write KiteSimulator.bootstrap in venues/kite/simulator.py. " in done.stdout


# -- what is refused


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Kite", "lower-case"),
        ("", "lower-case"),
        ("2kite", "lower-case"),
        ("_kite", "lower-case"),
        ("kite_", "lower-case"),
        ("ki__te", "lower-case"),
        ("ki-te", "lower-case"),
        ("../kite", "lower-case"),
        ("kïte", "lower-case"),
        ("kite\n", "lower-case"),
        ("k" * 25, "24 characters"),
        ("import", "word of Python"),
        ("all", "every venue"),
        ("backpack", "there is a venue backpack already"),
        ("simulation", "venues/simulation is there already"),
        ("wire", "venues/wire.py is there already"),
    ],
)
def test_a_name_that_cannot_be_had_is_refused_in_words(name, words, tmp_path):
    """[client] Exit 2, one sentence on stderr, nothing written, no traceback."""
    shutil.copytree(ROOT / "venues", tmp_path / "tree/venues", ignore=STATE)
    before = contents(tmp_path)
    done = make(tmp_path / "tree", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert contents(tmp_path) == before


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    """[ours] --root must have the protocols."""
    done = make(tmp_path, "kite")
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "is no checkout of this project" in done.stderr


def test_twice_is_refused_the_second_time(kite, tmp_path):
    """[client] What somebody began to write is never written over."""
    folder = shutil.copytree(kite[0], tmp_path / "tree")
    before = contents(folder)
    done = make(folder, "kite")
    assert (done.returncode, "there is a venue kite already" in done.stderr) == (2, True)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("path", "old", "new", "words"),
    [
        ("config.example.yaml", "\naccounts:", "\nkeys:", "accounts:"),
        ("pyproject.toml", '"venues.backpack", ', "", "packages"),
        ("venues/__init__.py", "VENUES: Final", "ROOMS: Final", "VENUES is not a plain dict"),
        ("venues/dialect.py", "class Dialect(", "class Tongue(", "no class Dialect"),
        ("venues/interface.py", "class Abilities(", "class Talents(", "no class Abilities"),
        ("venues/dialect.py", "class Dialect(", "class Dialect((", "a file of the checkout is broken"),
        ("pyproject.toml", "[project]", "[project", "a file of the checkout is broken"),
        ("config.example.yaml", "accounts:", "accounts:\n\t- x", "a file of the checkout is broken"),
    ],
)
def test_a_checkout_of_another_form_is_refused_before_anything_is_written(path, old, new, words, tmp_path):
    """[ours] A list that cannot be extended: exit 2, and every file is as it was."""
    folder = tree(tmp_path / "tree")
    text = (folder / path).read_text()
    assert old in text
    (folder / path).write_text(text.replace(old, new, 1))
    before = contents(folder)
    done = make(folder, "kite")
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (2, "", False)
    assert words in done.stderr
    assert contents(folder) == before


def test_a_failure_in_the_middle_leaves_everything_as_it_was(tmp_path):
    """[ours] A file stands where a folder is needed: what was written so far is taken back."""
    folder = tree(tmp_path / "tree")
    shutil.rmtree(folder / "tests/unit/venues")
    (folder / "tests/unit/venues").write_text("in the way")
    before = contents(folder)
    done = make(folder, "kite")
    assert (done.returncode, "Everything is as it was" in done.stderr) == (2, True)
    assert contents(folder) == before
    assert not (folder / "venues/kite").exists()
