"""The four forms of an outcome agree, are safe to read, and are written whole or not at all."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from reports import ReportError, render, write
from runner.outcome import to_json

HERE = Path(__file__).resolve().parent
_spec = importlib.util.spec_from_file_location("outcome_builder", HERE / "outcome_builder.py")
assert _spec is not None
assert _spec.loader is not None
builder = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(builder)

SAMPLES = sorted(builder.SAMPLES)
SECTIONS = [
    "SIMULATED RUN",
    "Acceptance",
    "Exchanges",
    "What happened when",
    "Prices",
    "Position and margin over time",
    "Latency and intervals",
    "Order timelines",
    "Heartbeat",
    "Errors and alarms",
    "What was not tested",
    "Where this comes from",
]


def sample(name: str) -> dict:
    return json.loads((HERE / "outcomes" / f"{name}.json").read_bytes())


class Page(HTMLParser):
    """Every tag with its attributes, and the text that a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._hidden = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._hidden += tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag == "style"

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


def spoken_totals(text: str) -> list[str]:
    found = re.search(
        r"Totals: (\d+) plays?, (\d+) orders?, (\d+) fills?; "
        r"acceptance: (\d+) passed, (\d+) failed, (\d+) not tested\.",
        text,
    )
    assert found
    return list(found.groups())


def spoken_verdict(text: str) -> str:
    found = re.search(r"(Accepted|Not accepted|Interrupted|Not proven flat|Environment failed)\.", text)
    assert found
    return found[1].lower().replace(" ", "_")


@pytest.mark.parametrize("name", [*SAMPLES, "large"])
def test_the_four_forms_agree_on_every_total(name):
    """[client] Outcome, Markdown, HTML and JUnit tell the same counts and the same verdict."""
    outcome = json.loads(to_json(builder.large())) if name == "large" else sample(name)
    made = render(outcome)
    orders = [order for play in outcome["plays"] for order in play["orders"]]
    lines = [line["verdict"] for line in outcome["acceptance"]]
    counts = [
        str(number)
        for number in (
            len(outcome["plays"]),
            len(orders),
            sum(len(order["fills"]) for order in orders),
            lines.count("passed"),
            lines.count("failed"),
            lines.count("not_tested"),
        )
    ]
    page = Page(made.html)
    suites = ElementTree.fromstring(made.junit)
    told = {one.get("name"): one.get("value") for one in suites.iter("property")}
    names = ("plays", "orders", "fills", "acceptance_passed", "acceptance_failed", "acceptance_not_tested")
    assert spoken_totals(made.markdown) == counts
    assert spoken_totals(page.text) == counts
    assert [told[name] for name in names] == counts
    assert spoken_verdict(made.markdown) == outcome["verdict"]
    assert spoken_verdict(page.text.split(":", 1)[1].replace("</title>", "")) == outcome["verdict"]
    assert told["verdict"] == outcome["verdict"]
    assert len(suites.findall("testsuite")) - 1 == len(outcome["plays"])


@pytest.mark.parametrize("name", SAMPLES)
def test_a_build_is_red_exactly_when_the_exit_code_is_not_zero(name):
    """[ours] JUnit has a failure or an error if and only if the run was not accepted."""
    outcome = sample(name)
    suites = ElementTree.fromstring(render(outcome).junit)
    red = int(suites.get("failures", 0)) + int(suites.get("errors", 0))
    assert (red > 0) == (outcome["exit_code"] != 0)


def test_every_step_and_acceptance_line_is_a_junit_case():
    """[client] A build server shows each step and each acceptance line, failures with their words."""
    outcome = sample("not_proven_flat")
    suites = ElementTree.fromstring(render(outcome).junit)
    backpack = next(suite for suite in suites if suite.get("name") == "backpack")
    cases = {case.get("name"): case for case in backpack.iter("testcase")}
    assert set(cases) == {"verdict", "1. tracking_open", "2. random_wait", "flat"}
    assert cases["1. tracking_open"].find("failure").get("message") == "IN_DOUBT after 1 attempt"
    assert cases["2. random_wait"].find("skipped") is not None
    assert "no reading" in cases["flat"].find("failure").text
    assert "runner recover" in cases["verdict"].find("failure").text
    steps = sum(len(play["steps"]) for play in outcome["plays"])
    assert int(suites.get("tests")) == 1 + len(outcome["plays"]) + steps + len(outcome["acceptance"])


def test_sections_come_in_the_promised_order():
    """[client] Verdict first, then the banner, acceptance, exchanges, charts, orders, heartbeat, errors, origin."""
    made = render(sample("accepted"))
    heads = re.findall(r"^## (.+)$", made.markdown, re.MULTILINE)
    assert heads == SECTIONS
    assert re.findall(r"<h2>(.+?)</h2>", made.html) == SECTIONS
    assert made.markdown.index("**Accepted.**") < made.markdown.index("## SIMULATED RUN")
    parts = re.findall(r"^#### (.+)$", made.markdown.split("## What happened when")[0], re.MULTILINE)
    assert parts == ["Attempts and prices", "Fills", "Final position", "Margin", "Fees", "Stream", "Steps"]


def test_only_a_simulated_run_carries_the_banner():
    """[client] A reader can never take simulators for exchanges, nor exchanges for simulators."""
    simulated, testnet = render(sample("accepted")), render(sample("not_proven_flat"))
    assert "## SIMULATED RUN" in simulated.markdown
    assert 'content: "SIMULATED RUN"' in simulated.html  # every printed page
    assert "SIMULATED" not in testnet.markdown + testnet.html


def test_the_card_shows_what_a_signer_asks_for():
    """[client] Attempts, price sequence, slippage, the exchange's own reading, margin changes and fees stand there."""
    text = render(sample("accepted")).markdown
    assert "Prices in order: 140.09 → 140.16." in text
    assert "slippage -0.71 basis points" in text
    assert "The exchange's own reading: **0 SOL** and 0 open orders, read at 2026-01-05 00:00:27.080 UTC" in text
    assert "| change | 00:00:14.200 | 999.9989 | -0.0011 | 999.2979 |" in text
    assert "| 0.00224 | USDC |" in text
    assert "| Backpack | 00:00:10.000 | 00:00:30.013 | 20.013 s |" in text
    assert "3b" * 32 in text
    assert "9f" * 32 in text
    assert "  - tracking_open: {interval_secs: 10, timeout_secs: 120}" in text


def test_an_order_in_doubt_and_a_missing_proof_are_said_aloud():
    """[client] What is not proven is never shown as flat or done."""
    text = render(sample("not_proven_flat")).markdown
    assert "**SUBMITTING**, IN DOUBT" in text
    assert "nothing proves that the position is flat" in text
    assert "| Flat at the end | Backpack | yes | no reading | ✗ failed |" in text


def test_a_run_without_plays_still_makes_a_report():
    """[ours] When no exchange could be reached the report says so."""
    made = render(sample("environment_failed"))
    assert "Nothing was played on any exchange." in made.markdown
    assert "No acceptance line was judged." in made.markdown
    assert "No order was made." in made.markdown
    assert "<svg" not in made.html


def test_the_same_outcome_gives_the_same_bytes():
    """[ours] A report made again does not differ."""
    assert render(sample("accepted")) == render(sample("accepted"))


# -- strangers


def mild(value):
    """The hostile outcome with a harmless word of the same length in place of every hostile one."""
    if isinstance(value, dict):
        return {mild(key): mild(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [mild(inner) for inner in value]
    return "w" * len(value) if value == builder.HOSTILE else value


def test_hostile_words_do_not_change_the_shape_of_the_markdown():
    """[ours] A permissive reader of Markdown sees the same headings, tables and lists as with harmless words."""
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

    def shape(outcome):
        tokens = reader.parse(render(outcome).markdown)
        kinds = {child.type for token in tokens for child in token.children or ()}
        return [token.type for token in tokens], kinds

    hostile = sample("hostile")
    blocks, kinds = shape(hostile)
    assert blocks == shape(mild(hostile))[0]
    assert kinds <= {"text", "text_special", "strong_open", "strong_close", "softbreak"}


def test_hostile_words_are_text_in_html():
    """[client] No script, link, image, handler or foreign tag gets in; the words themselves stay readable."""
    outcome = sample("hostile")
    page, calm = Page(render(outcome).html), Page(render(mild(outcome)).html)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in calm.tags]
    assert not {"script", "a", "img", "link", "iframe", "object", "form", "use", "image"} & {t for t, _ in page.tags}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "href", "style")]
    assert "<script>alert(1)</script>" in page.text
    assert "[click](https://evil.example/a)" in page.text
    assert "⟨U+202E⟩gpj.exe⟨U+2066⟩" in page.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", page.text)


def test_hostile_words_are_text_in_junit():
    """[client] The XML is valid for any word: control characters become pictures."""
    suites = ElementTree.fromstring(render(sample("hostile")).junit)
    case = next(case for case in suites.iter("testcase") if case.get("classname", "").endswith(".acceptance"))
    assert "<script>alert(1)</script>" in case.get("name")
    assert "␀␇␛[31m ]]>" in case.get("name")


@pytest.mark.parametrize("name", [*SAMPLES, "large"])
def test_the_page_asks_the_network_for_nothing_and_runs_nothing(name):
    """[client] One file: no address in any src, href or url(), no script, no import, and a policy that says so."""
    outcome = json.loads(to_json(builder.large())) if name == "large" else sample(name)
    html = render(outcome).html
    page = Page(html)
    style = html[html.index("<style>") : html.index("</style>")]
    assert not re.search(r"url\(|@import|//", style)
    assert not any({"src", "href", "srcset", "xlink:href"} & set(attributes) for _, attributes in page.tags)
    assert "script" not in {tag for tag, _ in page.tags}
    policy = next(attributes for tag, attributes in page.tags if attributes.get("http-equiv"))
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style


def test_five_exchanges_with_twenty_orders_stay_small():
    """[client] No form is larger than 500 KB."""
    made = render(json.loads(to_json(builder.large())))
    assert made.html.count("<article") == 5
    assert max(len(text.encode()) for text in made) <= 500_000


def test_a_very_long_word_is_cut_and_says_so():
    """[ours] One endless text cannot fill the report."""
    outcome = sample("accepted")
    outcome["errors"] = [{"ts_ms": 1, "code": "REFUSED", "text": "x" * 1_000_000, "source": "rest"}]
    made = render(outcome)
    assert "(1000000 characters, whole in outcome.json)" in made.markdown
    assert max(len(text) for text in made) < 100_000


def test_numbers_of_a_column_stand_on_their_decimal_point():
    """[client] Shorter numbers are padded with blanks as wide as a digit and a point; the text file is not."""
    made = render(sample("accepted"))
    assert '<td class="n">1000\u2008\u2007\u2007\u2007\u2007\u2007</td>' in made.html
    assert '<td class="n">999.9989\u2007</td>' in made.html
    assert "\u2007" not in made.markdown


# -- files


def test_a_run_folder_gets_its_three_files(tmp_path):
    """[client] report.md, report.html and junit.xml are what was rendered, and nothing else is left."""
    (tmp_path / "outcome.json").write_bytes(to_json(builder.accepted()))
    made = write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"outcome.json", "report.md", "report.html", "junit.xml"}
    assert (tmp_path / "report.md").read_text("utf-8") == made.markdown
    assert (tmp_path / "report.html").read_text("utf-8") == made.html
    assert (tmp_path / "junit.xml").read_text("utf-8") == made.junit


def test_a_disk_that_fails_keeps_the_old_report(tmp_path, monkeypatch):
    """[ours] A file is replaced whole or not at all, and no half of one stays behind."""
    (tmp_path / "outcome.json").write_bytes(to_json(builder.accepted()))
    (tmp_path / "report.md").write_text("old")

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path)
    assert (tmp_path / "report.md").read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"outcome.json", "report.md"}


def test_a_half_written_outcome_is_refused_wherever_it_was_cut(tmp_path):
    """[client] The error names the file, line and column and the next move; nothing is written."""
    whole = to_json(builder.accepted())
    path = tmp_path / "outcome.json"
    for cut in range(0, len(whole) - 2, 487):
        path.write_bytes(whole[:cut])
        with pytest.raises(ReportError) as caught:
            write(tmp_path)
        assert re.match(rf"{re.escape(str(path))}(:\d+:\d+|, byte \d+)?$", caught.value.place)
        assert "runner recover" in caught.value.next_move
        assert [found.name for found in tmp_path.iterdir()] == ["outcome.json"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no outcome"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[" * 100_000, "not usable JSON"),
        (b'{"speed": NaN}', "NaN is no number"),
        (b'{"speed": 1e999}', "beyond every measure"),
        (b'{"seed": ' + b"9" * 5_000 + b"}", "not usable JSON"),
        (b"[]", "no sound outcome"),
        (b'{"schema": "roundtrip/outcome/9"}', "this program reads roundtrip/outcome/1"),
    ],
)
def test_what_is_no_outcome_is_refused_with_words(tmp_path, content, words):
    """[ours] Missing, foreign, absurd or newer files end in a ReportError, never in a traceback of another kind."""
    if content is not None:
        (tmp_path / "outcome.json").write_bytes(content)
    with pytest.raises(ReportError) as caught:
        write(tmp_path)
    assert words in str(caught.value)
    assert caught.value.next_move
    assert len(str(caught.value)) < 2_000


def test_a_changed_outcome_is_refused_by_name(tmp_path):
    """[ours] A file that breaks the schema says where."""
    outcome = sample("accepted")
    outcome["plays"][0]["orders"][1]["price"] = 140.16
    (tmp_path / "outcome.json").write_text(json.dumps(outcome))
    with pytest.raises(ReportError, match=r"plays\[0\]\.orders\[1\]\.price"):
        write(tmp_path)
