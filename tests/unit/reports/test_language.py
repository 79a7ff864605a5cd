"""The report in two languages: nothing is left untranslated, nothing but words changes."""

from __future__ import annotations

import json
import re
import string
from pathlib import Path

import pytest
from jinja2 import Environment, nodes

from reports import render
from reports.chinese import PHRASES
from reports.language import tongue
from steps import CODES as STEP_CODES
from venues.errors import CODES as VENUE_CODES

HERE = Path(__file__).resolve().parent
REPORTS = HERE.parents[2] / "reports"
# Phrases that reach the translator by name, not as a literal: sides, states, kinds, measures.
SPOKEN = ("{n} order", "{n} fill", "passed", "failed", "Accepted", "error", "alarm", "before", "after", "change")


def sample(name):
    return json.loads((HERE / "outcomes" / f"{name}.json").read_bytes())


def literals_of_templates():
    """Every text handed to ``t(…)`` in a template, on both sides of an inline condition."""
    for path in sorted((REPORTS / "templates").glob("*.j2")):
        tree = Environment(autoescape=True).parse(path.read_text("utf-8"))
        for call in tree.find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "t" and call.args:
                for word in _words(call.args[0]):
                    yield path.name, word


def _words(node):
    if isinstance(node, nodes.Const):
        yield node.value
    elif isinstance(node, nodes.CondExpr):
        yield from _words(node.expr1)
        yield from _words(node.expr2)
    elif isinstance(node, nodes.Getitem) and isinstance(node.node, nodes.Dict):
        for pair in node.node.items:
            yield from _words(pair.value)


def literals_of_code():
    """Every text handed to ``t.line("…")`` in the charts and the frame."""
    for path in sorted(REPORTS.glob("*.py")):
        for word in re.findall(r't\.line\(\s*"((?:[^"\\]|\\.)*)"', path.read_text("utf-8")):
            yield path.name, word


@pytest.mark.parametrize("literals", [literals_of_templates, literals_of_code])
def test_every_phrase_has_its_chinese(literals):
    """[client] No English is left behind in a Chinese report."""
    found = list(literals())
    assert len(found) > 20
    assert not [place for place in found if place[1] not in PHRASES]
    assert not [word for word in SPOKEN if word not in PHRASES]


def test_a_translation_has_the_fields_of_its_phrase():
    """[ours] A phrase cannot fail, or lose a number, in one language only."""

    def fields(text):
        return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)

    assert not [phrase for phrase, chinese in PHRASES.items() if fields(phrase) != fields(chinese)]


def test_the_chinese_report_tells_the_same_run():
    """[client] Headings, sentences, dates and units are Chinese; numbers, names and times are the same."""
    outcome = sample("accepted")
    english, chinese = render(outcome), render(outcome, language="zh")
    assert '<html lang="zh-Hans">' in chinese.html
    assert "## 模拟运行" in chinese.markdown
    assert "**通过。**" in chinese.markdown
    assert "读取时间 2026年1月5日 00:00:27.080 UTC" in chinese.markdown
    assert "合计：1 场、3 笔订单、4 笔成交；验收：4 项通过，0 项失败，0 项未测试。" in chinese.markdown
    assert chinese.junit == english.junit
    times = re.compile(r"\d\d:\d\d:\d\d\.\d{3}")
    assert times.findall(chinese.markdown) == times.findall(english.markdown)


def test_the_scenarios_own_language_is_used_unless_another_is_asked_for():
    """[client] ``report: {language: zh}`` and ``--language``."""
    outcome = sample("accepted") | {"language": "zh"}
    assert render(outcome) == render(sample("accepted"), language="zh")
    assert render(outcome, language="en") == render(sample("accepted"))


@pytest.mark.parametrize(
    ("sentence", "chinese"),
    [
        (
            "All 5 exchanges played every step, met every line and are proven flat.",
            "全部 5 家交易所完成了所有步骤，满足全部标准，并已证明无持仓。",
        ),
        ("okx could not be played: no connection to okx", "okx 无法运行：no connection to okx"),
        (
            "okx already holds a position of 0.01 SOL; run r1 left a play on this account without a proven end",
            "okx 已有持仓 0.01 SOL；运行 r1 在此账户上留下了一场未证明结束的交易",
        ),
        (
            "backpack was halted by hand; positions were left open as asked: the exchange reads 0.01 SOL, 0 open "
            "orders; okx was interrupted and is proven flat.",
            "backpack 被人工停机；按要求保留持仓：交易所读数 0.01 SOL，0 笔未结订单；okx 被中断，已证明无持仓",
        ),
        ("Run `runner recover r1` first.", "请先运行 `runner recover r1`。"),
        ("wait between 1 s and 2 min", "等待 1 秒 到 2 分钟"),
        ("okx failed and is proven flat: x; backpack played every step and is proven flat.", None),
        ("The exchange says: nonce too low", "The exchange says: nonce too low"),
    ],
)
def test_sentences_of_the_engine_are_translated_and_strangers_words_are_not(sentence, chinese):
    """[ours] What is not known is shown as it was said."""
    told = tongue("zh").told(sentence)
    assert told == chinese if chinese else "okx 失败" in told
    assert tongue("en").told(sentence) == sentence


def test_every_next_move_of_a_code_has_its_chinese():
    """[client] Who reads Chinese is told in Chinese what to do."""
    moves = {page.next_move for page in VENUE_CODES.values()} | {move for _, move in STEP_CODES.values()}
    assert not [move for move in moves if tongue("zh").told(move) == move]
    assert all(tongue("en").told(move) == move for move in moves)


def test_thousands_are_set_apart_from_five_digits_on():
    """[client] Long amounts can be read; short ones and decimals are left alone."""
    number = tongue("en").number
    assert [number(text) for text in ("1000", "11330.665", "-1234567.125", "0.00001", "999.99431", None)] == [
        "1000",
        "11,330.665",
        "-1,234,567.125",
        "0.00001",
        "999.99431",
        None,
    ]
