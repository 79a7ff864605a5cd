"""There is one tracking limit, and one door to the venue. Looked for in the syntax tree of every product package."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("app", "runner", "reports", "steps", "strategy", "execution", "venues", "core")
NAME = "place_tracking_limit_order"
HOME = "execution/tracking_limit.py"
DOOR = "execution/orders.py"
SUBMITS = {"submit_limit_order", "submit_market_order"}
POSTS = {"place_limit", "submit_limit_order", "limit"}
ENDS = {"cancel", "settle", "settle_all", "cancel_by_client_id", "cancel_all"}
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def product() -> dict[str, str]:
    """Source text by path, for every module of the product."""
    files = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in files}


def named(call: ast.AST) -> str:
    """The last word of what is called: ``a.b.c(...)`` → ``c``."""
    if not isinstance(call, ast.Call):
        return ""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def reached(node: ast.AST, functions: dict[str, list[ast.AST]]) -> set[str]:
    """Names called below a node, through functions and methods of the same module."""
    names: set[str] = set()
    waiting, looked = [node], set()
    while waiting:
        for below in ast.walk(waiting.pop()):
            name = named(below)
            names.add(name)
            if name in functions and name not in looked:
                looked.add(name)
                waiting += functions[name]
    return names


def breaches(files: dict[str, str]) -> list[str]:
    """What speaks against "only one"; empty when all is well."""
    found: list[str] = []
    definitions: list[str] = []
    for path, text in files.items():
        tree = ast.parse(text, path)
        functions: dict[str, list[ast.AST]] = {}
        for node in ast.walk(tree):
            if isinstance(node, DEFINITIONS):
                functions.setdefault(node.name, []).append(node)
        # A call of one's own place_limit or cancel is looked at as that call, not as what stands in it.
        inner = {name: body for name, body in functions.items() if name not in POSTS | ENDS}
        for node in ast.walk(tree):
            if isinstance(node, DEFINITIONS) and node.name == NAME:
                definitions.append(path)
            if named(node) in SUBMITS and path != DOOR:
                found.append(f"{path}:{node.lineno} goes past the order service")
            if isinstance(node, (ast.For, ast.AsyncFor, ast.While)) and path != HOME:
                calls = reached(node, inner)
                if calls & POSTS and calls & ENDS:
                    found.append(f"{path}:{node.lineno} posts and cancels in a loop")
    if definitions != [HOME]:
        found.append(f"{NAME} is defined in {definitions}")
    return found


def test_the_product_has_one_tracking_limit_and_one_door():
    """[client] The only implementation is execution/tracking_limit.py; only execution/orders.py submits."""
    files = product()
    assert HOME in files
    assert DOOR in files
    assert breaches(files) == []


def test_the_loop_of_the_real_one_would_be_noticed_elsewhere():
    """[ours] The checker knows the thing it looks for: the real one under another path is a breach."""
    text = (ROOT / HOME).read_text(encoding="utf-8")
    found = breaches({HOME: text, "strategy/copy.py": text})
    assert any("strategy/copy.py" in each and "posts and cancels" in each for each in found)
    assert any("is defined in" in each for each in found)


@pytest.mark.parametrize(
    "planted",
    [
        "async def place_tracking_limit_order(orders, market, wanted):\n    return None\n",
        "class Chaser:\n    def place_tracking_limit_order(self):\n        return None\n",
        "async def buy(venue):\n    await venue.submit_limit_order(symbol='SOL')\n",
        "async def buy(self):\n    return await self.desk.venue.submit_market_order(symbol='SOL')\n",
        "async def chase(desk, market):\n"
        "    while True:\n"
        "        order = await desk.place_limit(market, size_i=1)\n"
        "        await desk.settle(order)\n",
        "async def chase(router, market):\n"
        "    for price in range(9):\n"
        "        order = await router.limit(market, price_i=price)\n"
        "        await router.cancel(order)\n",
        "async def post(desk):\n    return await desk.place_limit()\n"
        "async def drop(desk, order):\n    await desk.cancel(order)\n"
        "async def once(desk):\n    await drop(desk, await post(desk))\n"
        "async def chase(desk):\n    while True:\n        await once(desk)\n",
    ],
)
def test_a_planted_second_implementation_is_found(planted):
    """[ours] The check can fail: by name, past the service, or as a loop, even one spread over functions."""
    files = {**product(), "strategy/planted.py": planted}
    assert any("strategy/planted.py" in each for each in breaches(files))


def test_a_missing_implementation_is_found():
    """[ours] Deleting it, or moving it, is a breach too."""
    files = product()
    files["execution/chase.py"] = files.pop(HOME)
    assert any("is defined in" in each for each in breaches(files))
