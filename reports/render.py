"""
One outcome, four forms: ``outcome.json`` → Markdown (Jinja) → HTML (markdown-it-py) with charts, and JUnit XML.

Everything in an outcome may be a stranger's word. Jinja hands every value of the Markdown templates through
:func:`reports.text.cell`, and markdown-it has links, images and raw HTML switched off, so a word that slipped through
one net is caught by the other.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from markupsafe import Markup

from reports.charts import lanes_chart, margin_chart, position_chart, price_chart
from reports.decisions import decisions_of
from reports.drawing import Chart
from reports.junit import junit
from reports.language import LANGUAGES, Tongue, tongue
from reports.page import pages, to_html
from reports.past import past_of, trend_chart
from reports.text import cell, visible
from reports.timing import measures, spread_chart
from reports.words import venue_words, verdict_words, words_in
from schemas.outcome import NAME, faults

Row = Mapping[str, Any]

_MOST_FAULTS: Final = 5
_AGAIN: Final = "Make it again by playing the scenario; `runner recover` settles what a broken run left open."


class ReportError(Exception):
    """
    No report can be made.

    Attributes:
        place: The file, with line and column where there are some.
        what: What is wrong there, one sentence.
        next_move: What to do about it.
    """

    def __init__(self, place: str, what: str, next_move: str) -> None:
        super().__init__(place, what, next_move)
        self.place = place
        self.what = what
        self.next_move = next_move

    def __str__(self) -> str:
        return f"{self.place}: {self.what} {self.next_move}"


class Rendered(NamedTuple):
    """The three forms that are made; the fourth is the outcome itself."""

    markdown: str
    html: str
    junit: str


class Beside(NamedTuple):
    """What a report shows beside its outcome: who signed, earlier runs, and whether the run never ended."""

    decisions: Sequence[Row] = ()
    past: Sequence[Row] = ()
    unfinished: bool = False


class _Pictures(NamedTuple):
    """The charts of one play."""

    venue: str
    prices: Chart | None
    position: Chart | None
    margin: Chart | None


def write(run_dir: Path, *, language: str | None = None, unfinished: bytes | None = None) -> Rendered:
    """
    Read ``outcome.json`` of a run folder and write report.md, report.html and junit.xml beside it.

    Each file is replaced whole or not at all. Signatures in the folder and earlier runs beside it are shown.

    Args:
        language: en or zh; the outcome's own when None.
        unfinished: The outcome of a run that left none, told again from its traces; the report says so.

    Raises:
        ReportError: outcome.json is missing, half-written, or not an outcome of this version; nothing was written.
        OSError: the folder cannot be written to.
    """
    path = run_dir / "outcome.json"
    outcome = read(path) if unfinished is None else json.loads(unfinished)
    refuse_unsound(outcome, str(path))
    beside = Beside(decisions_of(run_dir), past_of(run_dir, outcome), unfinished is not None)
    made = render(outcome, place=str(path), language=language, beside=beside)
    for name, text in (("report.md", made.markdown), ("report.html", made.html), ("junit.xml", made.junit)):
        replace(run_dir / name, text)
    return made


def render(
    outcome: Row, *, place: str = "outcome.json", language: str | None = None, beside: Beside | None = None
) -> Rendered:
    """
    Make the three forms of a parsed outcome. The same outcome and ``beside`` give the same bytes.

    Raises:
        ReportError: it breaks the published schema; ``place`` is where the text says it was found.
    """
    refuse_unsound(outcome, place)
    t = tongue(language_of(outcome, language))
    beside = beside or Beside()
    totals = totals_of(outcome)
    told = _Telling(outcome, totals, beside, t)
    return Rendered(told.markdown(), told.html(), junit(outcome, totals, unfinished=beside.unfinished))


def language_of(outcome: Row, wanted: str | None) -> str:
    """The language asked for, else the scenario's own, else English."""
    found = wanted or outcome.get("language") or LANGUAGES[0]
    return found if found in LANGUAGES else LANGUAGES[0]


def totals_of(outcome: Row) -> dict[str, int | str]:
    """What all four forms must agree on: ``verdict`` and the counts of plays, orders, fills and acceptance lines."""
    orders = [order for play in outcome["plays"] for order in play["orders"]]
    lines = [line["verdict"] for line in outcome["acceptance"]]
    return {
        "verdict": str(outcome["verdict"]),
        "plays": len(outcome["plays"]),
        "orders": len(orders),
        "fills": sum(len(order["fills"]) for order in orders),
        "acceptance_passed": lines.count("passed"),
        "acceptance_failed": lines.count("failed"),
        "acceptance_not_tested": lines.count("not_tested"),
    }


class _Telling:
    """The parts of one report in one language, in the order in which they are read."""

    def __init__(self, outcome: Row, totals: Row, beside: Beside, t: Tongue) -> None:
        self._outcome, self._totals, self._beside, self._t = outcome, totals, beside, t
        plays = outcome["plays"]
        self._lanes = lanes_chart(plays, "run", t)
        self._pictures = [
            _Pictures(
                play["venue"],
                price_chart(play, f"play{number}", t),
                position_chart(play, f"play{number}", t),
                margin_chart(play, f"play{number}", t),
            )
            for number, play in enumerate(plays, start=1)
        ]
        self._measures = measures(plays)
        facts: dict[str, Any] = {
            "o": outcome,
            "totals": totals,
            "unfinished": beside.unfinished,
            "decisions": beside.decisions,
            "past": beside.past,
            "lanes": self._lanes,
            "charts": self._pictures,
            "measures": self._measures,
        }
        self._before = ["verdict"]
        self._before += ["banner"] if outcome["on"] == "sim" or beside.unfinished else []
        self._before += ["decisions"] if beside.decisions else []
        self._before += ["acceptance", "exchanges"]
        self._after = ["lanes", "prices", "courses", "timing", "orders", "heartbeat", "errors", "not_tested"]
        self._after += ["past"] if beside.past else []
        self._after += ["origin"]
        self._parts = {name: self._part(name, **facts) for name in self._before + self._after}
        self._plays = [(play, self._part("play_head", p=play), self._part("play_body", p=play)) for play in plays]

    def _part(self, name: str, **facts: Any) -> str:
        return words_in(self._t.code).get_template(f"{name}.md.j2").render(**facts)

    def markdown(self) -> str:
        told = [self._parts[name] for name in self._before]
        told += [text for _, head, body in self._plays for text in (head, body)]
        told += [self._parts[name] for name in self._after]
        return "\n\n".join(text.strip() for text in told) + "\n"

    def html(self) -> str:
        outcome, t = self._outcome, self._t
        unfinished = self._beside.unfinished
        return (
            pages()
            .get_template("report.html.j2")
            .render(
                o=outcome,
                t=t.line,
                language={"en": "en", "zh": "zh-Hans"}[t.code],
                title=visible(outcome["scenario"]["title"] or outcome["scenario"]["name"], 160),
                verdict=t.line("Unfinished") if unfinished else verdict_words(outcome["verdict"], t),
                unfinished=unfinished,
                before=[(name, to_html(self._parts[name], t)) for name in self._before[1:-1]],
                parts={name: to_html(text, t) for name, text in self._parts.items()},
                after=self._after,
                figures=self._figures(),
                plays=[
                    {"verdict": play["verdict"], "head": to_html(head, t), "body": to_html(body, t)}
                    for play, head, body in self._plays
                ],
            )
        )

    def _figures(self) -> dict[str, list[tuple[Markup, str]]]:
        """Pictures with their captions, by the section they stand in."""
        t = self._t
        band = t.line("Band: best bid to best ask. Line: the price at which our order rested. ▲ buy fill, ▼ sell fill.")
        figures: dict[str, list[tuple[Markup, str]]] = {name: [] for name in self._after}
        if self._lanes:
            said = t.line("Seconds since the first sign of life. ● fill, × cancel, outlined bar: failed or lost.")
            figures["lanes"].append((self._lanes.svg, said))
        for one in self._pictures:
            name = visible(venue_words(one.venue, t), 40)
            if one.prices:
                figures["prices"].append((one.prices.svg, f"{name}. {band}"))
            if one.position:
                said = t.line("Position by our own fills; ◆ the exchange's own last reading.")
                figures["courses"].append((one.position.svg, f"{name}. {said}"))
            if one.margin:
                said = t.line("Margin: balance (strong line) and what is free of it (thin line).")
                figures["courses"].append((one.margin.svg, f"{name}. {said}"))
        for measure in self._measures:
            chart = spread_chart(measure, "run", t)
            if chart:
                said = t.line("One dot is one measurement, the upright line is the median.")
                figures["timing"].append((chart.svg, f"{t.line(measure.title)}. {said}"))
        for fact, name in (("slippage_bps", "Slippage, bp"), ("ack_ms", "Submit to ack, ms")):
            trend = trend_chart(self._beside.past, fact, name, "past", t)
            if trend:
                figures["past"].append((trend.svg, f"{t.line(name)}. {trend.words}"))
        return figures


# -- reading and writing


def read(path: Path) -> Any:
    """
    The parsed outcome.json.

    Raises:
        ReportError: it is missing, cut off, or no JSON of finite numbers.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ReportError(str(path), "This run has no outcome: it has not ended, or it was cut off.", _AGAIN) from None
    except UnicodeDecodeError as error:
        raise ReportError(f"{path}, byte {error.start}", "The file is not UTF-8 text.", _AGAIN) from None
    except OSError as error:
        raise ReportError(str(path), f"The file cannot be read: {error.strerror}.", "Check its permissions.") from None
    try:
        return json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        place = f"{path}:{error.lineno}:{error.colno}"
        whole = "ends too early" if error.pos >= len(text.rstrip()) - 1 else "is not JSON from here on"
        raise ReportError(place, f"The file {whole}: {error.msg}.", _AGAIN) from None
    except (ValueError, RecursionError) as error:
        raise ReportError(str(path), f"The file is not usable JSON: {error}.", _AGAIN) from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is beyond every measure")
    return number


def refuse_unsound(outcome: object, place: str) -> None:
    """Raises ReportError when ``outcome`` breaks the published schema or is of another version."""
    version = outcome.get("schema") if isinstance(outcome, Mapping) else None
    if isinstance(version, str) and version != NAME and version.startswith("roundtrip/outcome/"):
        raise ReportError(
            place,
            f"This is {cell(version)}, and this program reads {NAME}.",
            "Use the version of roundtrip that wrote it.",
        )
    found = faults(outcome)
    if found:
        more = f" (and {len(found) - _MOST_FAULTS} more)" if len(found) > _MOST_FAULTS else ""
        raise ReportError(
            place,
            f"The file is no sound outcome: {'; '.join(found[:_MOST_FAULTS])}{more}.",
            "It was changed by hand or written by another program; use the file as the run left it.",
        )


def replace(path: Path, text: str) -> None:
    """Write beside the target, then rename: a reader sees the old file or the new one, never half of one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(name).chmod(0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
