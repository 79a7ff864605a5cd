"""Sentences that count say "1 order" and "2 orders"."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from core.words import counted
from reports.language import tongue
from runner.load import load_scenarios
from tests.e2e.virtual import FIRST

ROOT = Path(__file__).resolve().parents[3]
ROOMS = ("app", "runner", "reports", "steps", "strategy", "execution", "core", "schemas")
FIXED = re.compile(
    r" (?:[a-z]+ )?(?:order|beat|timeline|attempt|trip|file|fill|play|step|run|gap|line|sample|reading)s\b"
)
"""What stands behind a number when its noun is always in the plural."""


@pytest.mark.parametrize(("number", "words"), [(0, "0 orders"), (1, "1 order"), (2, "2 orders"), (11, "11 orders")])
def test_a_noun_is_in_the_plural_unless_there_is_one(number: int, words: str):
    """[client] As people say it."""
    assert counted(number, "order") == words


def test_no_sentence_counts_with_a_fixed_plural():
    """[client] "1 open orders" can stand in no reason, report or live view: numbers go through `counted`."""
    found = []
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for one, two in zip(node.values, node.values[1:], strict=False) if isinstance(node, ast.JoinedStr) else ():
                if isinstance(one, ast.FormattedValue) and isinstance(two, ast.Constant) and FIXED.match(two.value):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []


@pytest.mark.parametrize(
    ("most", "words"), [(1, "for at most 2 min or 1 order"), (12, "for at most 2 min or 12 orders")]
)
def test_a_tracking_limit_of_one_attempt_is_told_in_the_singular(most: int, words: str, tmp_path: Path):
    """[client] In the plan, the live view and the report."""
    path = tmp_path / "one.yaml"
    path.write_text(
        f"scenario: one\ntitle: One\nvenues: [{FIRST}]\nsymbol: SOL\n"
        f"steps:\n  - tracking_open: {{max_attempts: {most}}}\n"
    )
    found = load_scenarios([str(path)], known_venues=(FIRST,))
    told = found.scenarios[0].steps[0].words
    assert told.endswith(words)
    assert tongue("zh").told(told) != told


@pytest.mark.parametrize(
    "sentence",
    [
        "1 beat delivered, 0 not, longest gap 1 s",
        "2 beats delivered, 0 not, longest gap none s",
        "1 timeline replayed",
        "2 timelines replayed",
        "not flat on okx: 0 SOL held, 1 open order, 0 orders without a proven end",
        "not flat on okx: 0 SOL held, 2 open orders, 1 order without a proven end",
    ],
)
def test_the_chinese_report_knows_both_numbers(sentence: str):
    """[client] A sentence in the singular is translated as well as in the plural."""
    assert tongue("zh").told(sentence) != sentence
