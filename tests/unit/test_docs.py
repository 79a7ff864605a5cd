"""README and docs say what is there: examples load, commands exist, tables agree with the code."""

import argparse
import ast
import importlib.util
import inspect
import io
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from app.console import explanations
from app.main import MODES
from app.main import make_parser as make_mode_parser
from app.settings import load_settings
from runner.command import make_parser
from runner.load import load_scenarios
from runner.outcome import EXIT_CODES
from runner.plan import make_plan
from strategy import STRATEGIES
from strategy.trading import Trading
from venues import VENUES, Room
from venues.dialect import Dialect
from venues.interface import Abilities
from venues.simulation.app import VenueApp
from venues.simulation.faults import Faults

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"README.md": ROOT / "README.md", **{path.name: path for path in sorted((ROOT / "docs").glob("*.md"))}}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items()}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SCENARIO = {
    "scenario": "scenario: example",
    "venues": "venues: all",
    "symbol": "symbol: SOL",
    "steps": "steps:\n  - market_open",
}


def blocks(page, *languages):
    return [text for language, text in FENCE.findall(TEXTS[page]) if language in languages]


def every_block(*languages):
    return [
        pytest.param(name, text, id=f"{name}-{number}")
        for name in PAGES
        for number, text in enumerate(blocks(name, *languages), 1)
    ]


def inline(page):
    """The code spans of a page, fenced blocks left out."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", TEXTS[page]))


def first_cells(text, heading):
    """The code spans in the first column of every table under a heading."""
    part = re.split(r"^#+ ", text.partition(f"# {heading}\n")[2], flags=re.MULTILINE)[0]
    cells = [row.split("|")[1] for row in part.splitlines() if row.startswith("|")]
    return [span for cell in cells for span in re.findall(r"`([^`]+)`", cell)]


# -- files


def whole_scenario(text):
    """A piece of a scenario with the rest of one around it; None for what is no scenario."""
    found = YAML(typ="safe", pure=True).load(text)
    if isinstance(found, list):
        return None if "action" in found[0] else wrapped({"steps": "steps:\n" + indented(text)})
    if "scenario" in found and "steps" in found:
        return text
    if set(found) <= {"heartbeat", "caps", "accounts"}:
        return None
    known = {*SCENARIO, "title", "market", "side", "size", "seed", "inputs", "finally", "accept"}
    if set(found) <= known:
        return wrapped({next(iter(found)): text.rstrip("\n")})
    return wrapped({"steps": "steps:\n  - tracking_open:\n" + indented(text, 6)})


def wrapped(part):
    return "\n".join({**SCENARIO, **part}.values()) + "\n"


def indented(text, spaces=2):
    return "".join(" " * spaces + line for line in io.StringIO(text)).rstrip("\n")


@pytest.mark.parametrize(("page", "text"), every_block("yaml"))
def test_a_yaml_example_is_taken_by_the_program(page, text, tmp_path):
    """[client] What people copy from a page works: scenarios, steps, settings and fault rules."""
    scenario = whole_scenario(text)
    file = tmp_path / "example.yaml"
    if scenario is not None:
        file.write_text(scenario, encoding="utf-8")
        # The texts of runner.mistakes name an exchange that has a sheet and no room yet.
        known = (*VENUES, "okx") if page == "ERRORS.md" else tuple(VENUES)
        result = load_scenarios([file], known_venues=known)
        assert result.mistakes == ()
        if page != "ERRORS.md":
            plan, mistakes = make_plan(result.scenarios[0], known_venues=known, on="sim", seed=1, speed=1)
            assert (plan is not None, mistakes) == (True, [])
        return
    found = YAML(typ="safe", pure=True).load(text)
    if isinstance(found, list):
        assert len(Faults.load(found).rules) == len(found)
        return
    file.write_text(text, encoding="utf-8")
    secrets = {"HEARTBEAT_SECRET": "docs-5b1f0c7e2a", "HEARTBEAT_TOKEN": "docs-c94d11e07b"}
    load_settings(file, {}, secrets)


def test_every_example_scenario_of_the_repository_is_planned():
    """[client] The files that the pages point to load and plan."""
    files = sorted((ROOT / "scenarios").rglob("*.yaml"))
    result = load_scenarios(files, known_venues=tuple(VENUES))
    assert (len(result.scenarios), result.mistakes) == (len(files), ())
    for scenario in result.scenarios:
        assert make_plan(scenario, known_venues=tuple(VENUES), on="sim", seed=1, speed=1)[1] == []


# -- commands


def subparsers(parser):
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(actions[0].choices) if actions else {}


def commands(page):
    """Every command of a page as its words: lines of fenced blocks, code spans that begin like a command."""
    lines = [line for text in blocks(page, "sh", "text") for line in text.splitlines()]
    for line in [*lines, *inline(page)]:
        words = shlex.split(line.partition(" #")[0], posix=True) if re.match(r"[\w./]+( |$)", line) else []
        if not words:
            continue
        words[0] = words[0].removeprefix(".venv/bin/")
        if len(words) > 1 and words[0] in ("runner", "make", "python"):
            yield words


def fault(words):
    """What is wrong with a command, or None."""
    known = set()
    if words[0] == "make":
        targets = set(re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
        variables = set(re.findall(r"^(\w+) \?=", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
        wrong = {word for word in words[1:] if "=" not in word} - targets
        return (wrong | {word.split("=")[0] for word in words[1:] if "=" in word} - variables) or None
    if words[0] == "python" and words[1].startswith("scripts/"):
        return None if (ROOT / words[1]).is_file() else {words[1]}
    if words[:3] == ["python", "-m", "app.main"]:
        parser = make_mode_parser()
        if "--mode" in words and words[words.index("--mode") + 1] not in MODES:
            return {words[words.index("--mode") + 1]}
        if "--strategy" in words and words[words.index("--strategy") + 1] not in STRATEGIES:
            return {words[words.index("--strategy") + 1]}
    elif words[0] == "runner":
        parser, rest = make_parser(), words[1:]
        while rest and subparsers(parser):
            if rest[0] not in subparsers(parser):
                return {rest[0]}
            parser, rest = subparsers(parser)[rest[0]], rest[1:]
    else:
        return None
    for action in parser._actions:
        known |= set(action.option_strings)
    return {word.split("=")[0] for word in words if word.startswith("--")} - known or None


def test_every_command_of_the_pages_exists():
    """[client] Verbs, flags, targets and scripts that a page names are in the parser, the Makefile, the checkout."""
    seen, missing = 0, set()
    for page in PAGES:
        for words in commands(page):
            seen += 1
            if fault(words):
                missing.add((page, " ".join(words)))
    assert seen >= 50
    assert missing == set()


def test_a_command_that_is_not_there_is_noticed():
    """[ours] The test above can fail."""
    for line in (
        "runner dance",
        "runner play x.yaml --faster",
        "runner sim stop",
        "make tea",
        "make test SPEEDY=1",
        "python -m app.main --mode limit",
        "python -m app.main --pace 3",
        "python scripts/write.py",
    ):
        assert fault(line.split()), line
    assert fault(["runner", "play", "x.yaml", "--speed", "10", "--set", "hold=2s"]) is None
    assert fault(["make", "test", "PYTEST_ARGS=-x"]) is None


# -- places


def test_every_link_and_path_of_the_pages_leads_somewhere():
    """[client] Relative links, and code spans that name a file or folder of the house."""
    rooms = "app|runner|reports|steps|strategy|execution|venues|core|schemas|scenarios|tests|docs|scripts"
    for page, path in PAGES.items():
        for target in re.findall(r"\]\(([^)#:]+)\)", TEXTS[page]):
            assert (path.parent / target).exists(), f"{page}: {target}"
        for span in inline(page):
            # `example` and `ladder` are what the reader of a guide makes.
            if re.fullmatch(rf"({rooms})/[\w./]*", span) and "example_" not in span and "/example/" not in span:
                assert span == "strategy/ladder.py" or (ROOT / span).exists(), f"{page}: {span}"


# -- the written pages


def write_docs():
    spec = importlib.util.spec_from_file_location("write_docs", ROOT / "scripts" / "write_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_written_pages_are_fresh():
    """[ours] docs/SCENARIOS.md and docs/ERRORS.md are what scripts/write_docs.py writes now."""
    for name, write in write_docs().PAGES.items():
        assert TEXTS[name] == write(), f"{name} is stale: run python scripts/write_docs.py"


def test_a_stale_page_is_named_and_written_again(tmp_path):
    """[ours] --check writes nothing, names the page and exits 1; without it the page is written."""
    script = [sys.executable, str(ROOT / "scripts" / "write_docs.py"), "--folder", str(tmp_path)]
    assert subprocess.run(script, check=False).returncode == 0
    page = tmp_path / "ERRORS.md"
    page.write_text("old", encoding="utf-8")
    checked = subprocess.run([*script, "--check"], check=False, capture_output=True, text=True)
    assert (checked.returncode, "ERRORS.md" in checked.stdout, "SCENARIOS.md" in checked.stdout) == (1, True, False)
    assert page.read_text(encoding="utf-8") == "old"
    subprocess.run(script, check=True)
    assert page.read_text(encoding="utf-8") == TEXTS["ERRORS.md"]


def test_every_code_stands_in_the_page_of_codes_once():
    """[client] What `runner explain` knows, docs/ERRORS.md has, and nothing twice."""
    text = TEXTS["ERRORS.md"]
    told = re.findall(r"^\| `([A-Z_]+)` \|", text, re.MULTILINE) + re.findall(r"^### (\w+)$", text, re.MULTILINE)
    assert sorted(told) == sorted(explanations())


# -- README


def test_the_readme_opens_with_the_two_commands():
    """[client] One line, then `make play`, then `make test`, each in a block of its own."""
    lines = [line for line in TEXTS["README.md"].splitlines() if line]
    assert lines[1:7] == ["```sh", "make play", "```", "```sh", "make test", "```"]
    assert len(TEXTS["README.md"].splitlines()) <= 220


def test_the_readme_tells_every_exit_code():
    """[client] The table has each code that a run can end with, and 2 for wrong input."""
    told = re.findall(r"^\| (\d) \|", TEXTS["README.md"], re.MULTILINE)
    assert told == [str(code) for code in sorted({*EXIT_CODES.values(), 2})]


def test_the_readmes_sample_is_what_the_scenario_says_now():
    """[client] The sentences of the sample are those of the plan of scenarios/e2e_all.yaml."""
    result = load_scenarios([ROOT / "scenarios" / "e2e_all.yaml"], known_venues=tuple(VENUES))
    sample = next(text for text in blocks("README.md", "text") if "e2e_all on simulators" in text)
    for number, call in enumerate(result.scenarios[0].steps, 1):
        assert f"step {number}: {call.words}\n" in sample
    for number, call in enumerate(result.scenarios[0].finally_, 1):
        assert f"cleanup {number}: {call.words}\n" in sample
    assert sample.rstrip().splitlines()[-3].startswith("ACCEPTED")


def test_the_readmes_map_has_every_room():
    """[ours] The rooms of the table are the packages of the house, from top to bottom."""
    packages = [name for name in PROJECT["tool"]["setuptools"]["packages"] if "." not in name]
    assert first_cells(TEXTS["README.md"], "The house") == [f"{name}/" for name in packages]


# -- adding an exchange


def guide_block(word):
    return next(text for text in blocks("EXCHANGE_INTEGRATION.md", "python") if word in text)


def arguments(function):
    return [argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)]


def members(text, name):
    """Method → argument names, and plain names, of a class in a text."""
    tree = next(node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == name)
    return {node.name: arguments(node) for node in tree.body if isinstance(node, ast.FunctionDef)}


def promised(protocol):
    """The same of a protocol."""
    found = {}
    for name, member in vars(protocol).items():
        if not name.startswith("_") and (callable(member) or isinstance(member, property)):
            function = member.fget if isinstance(member, property) else member
            found[name] = list(inspect.signature(function).parameters)
    return found


@pytest.mark.parametrize(
    ("template", "protocol"),
    [("ExampleDialect", Dialect), ("ExampleSimulator", VenueApp)],
    ids=["dialect", "simulator"],
)
def test_a_template_of_the_guide_has_exactly_the_contracts_members(template, protocol):
    """[ours] Method by method, argument by argument; a changed contract makes the guide stale."""
    own = members(guide_block(f"class {template}"), template)
    del own["__init__"]
    assert own == promised(protocol)


def test_the_front_door_of_the_guide_offers_what_a_room_must():
    """[ours] Its __all__ is the Room protocol."""
    text = guide_block("CREDENTIALS")
    names = next(node for node in ast.parse(text).body if isinstance(node, ast.Assign)).value
    assert set(ast.literal_eval(names)) == {name for name in vars(Room) if not name.startswith("_")}


def test_the_guides_table_names_every_member_of_the_dialect():
    """[ours] No method without a word about what it owes."""
    told = [span.partition("(")[0] for span in first_cells(TEXTS["EXCHANGE_INTEGRATION.md"], "The dialect")]
    assert sorted(told) == sorted({*promised(Dialect), *Dialect.__annotations__})


def test_the_guides_abilities_are_all_there_are():
    """[ours] The example runs and sets every field."""
    text = guide_block("ABILITIES: Final = Abilities(")
    space = {}
    exec(compile(text, "guide", "exec"), space)
    call = next(node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    assert {keyword.arg for keyword in call.keywords} == set(Abilities.__struct_fields__)
    assert isinstance(space["ABILITIES"], Abilities)


# -- strategies


@pytest.mark.parametrize(("page", "text"), every_block("python"))
def test_a_python_example_compiles(page, text):
    """[client] No page shows Python that is none."""
    compile(text, page, "exec")


def test_the_strategy_of_the_guide_plays_on_the_simulator():
    """[client] The guide's strategy and its test, as printed, run in virtual time and end flat."""
    space = {}
    for text in blocks("STRATEGY_GUIDE.md", "python"):
        exec(compile(text, "guide", "exec"), space)
    assert set(space["Ladder"].params) == {"parts", "pause_secs"}
    tests = [item for name, item in space.items() if name.startswith("test_")]
    assert len(tests) == 1
    tests[0]()


def test_the_guides_desk_is_the_whole_desk():
    """[ours] Every public act and name of Trading is in the tables, and nothing else."""
    told = [span.partition("(")[0] for span in first_cells(TEXTS["STRATEGY_GUIDE.md"], "The desk")]
    made = re.findall(r"self\.(\w+)\b(?:: [\w.]+)? =", inspect.getsource(Trading.__init__))
    wanted = {name for name in (*vars(Trading), *made) if not name.startswith("_")}
    assert sorted(told) == sorted(wanted)


# -- dependencies


def test_every_dependency_has_its_reason():
    """[ours] The page lists the packages of pyproject.toml, group by group, in their order."""

    def names(requirements):
        return [re.split(r"[<>=!~\[ ]", line)[0] for line in requirements]

    project, text = PROJECT["project"], TEXTS["dependencies.md"]
    groups = project["optional-dependencies"]
    assert set(groups) == {"test", "sdk", "bench", "keyring"}
    assert first_cells(text, "A transport to compare with") == names(groups["bench"])
    assert first_cells(text, "Keys from the system keyring") == names(groups["keyring"])
    assert first_cells(text, "At run time") == names(project["dependencies"])
    assert first_cells(text, "For tests and checks") == names(groups["test"])
    assert first_cells(text, "The exchanges' own clients") == names(groups["sdk"])


def test_the_rooms_that_use_a_dependency_are_the_rooms_named():
    """[ours] The third column names every room that imports the package, and some room does."""
    modules = {"ruamel.yaml": "ruamel", "markdown-it-py": "markdown_it", "pynacl": "nacl", "pycryptodome": "Crypto"}
    modules["jsonschema-rs"] = "jsonschema_rs"
    rows = re.findall(r"^\| `([\w.-]+)` \| [^|]+ \| ([^|]+) \|$", TEXTS["dependencies.md"], re.MULTILINE)
    rooms = [name for name in PROJECT["tool"]["setuptools"]["packages"] if "." not in name]
    sources = {room: [path.read_text(encoding="utf-8") for path in (ROOT / room).rglob("*.py")] for room in rooms}
    assert len(rows) == len(PROJECT["project"]["dependencies"])
    for package, told in rows:
        line = re.compile(rf"^\s*(import|from) {modules.get(package, package)}\b", re.MULTILINE)
        used = {room for room, texts in sources.items() if any(line.search(text) for text in texts)}
        assert used, f"nothing imports {package}"
        assert used <= set(told.split(", ")), package
