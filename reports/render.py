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
import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from core.clock import iso_utc
from core.precision import plain
from reports.charts import lanes_chart, price_chart
from reports.junit import junit
from reports.text import cell, fence, rounded, visible
from schemas.outcome import NAME, faults

Row = Mapping[str, Any]

VERDICTS: Final[Mapping[str, str]] = {
    "accepted": "Accepted",
    "not_accepted": "Not accepted",
    "interrupted": "Interrupted",
    "not_proven_flat": "Not proven flat",
    "environment_failed": "Environment failed",
}
STATUSES: Final[Mapping[str, str]] = {
    "passed": "✓ passed",
    "failed": "✗ failed",
    "interrupted": "✗ interrupted",
    "skipped": "○ skipped",
    "not_tested": "○ not tested",
}
PLACES: Final[Mapping[str, str]] = {
    "sim": "simulators on this machine",
    "testnet": "the exchanges' test networks",
    "live": "the real exchanges, with real money",
}
VENUES: Final[Mapping[str, str]] = {"okx": "OKX"}
"""Names that are not their key with a capital letter."""

_MOST_FAULTS: Final = 5


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


def write(run_dir: Path) -> Rendered:
    """
    Read ``outcome.json`` of a run folder and write report.md, report.html and junit.xml beside it.

    Each file is replaced whole or not at all.

    Raises:
        ReportError: outcome.json is missing, half-written, or not an outcome of this version; nothing was written.
        OSError: the folder cannot be written to.
    """
    path = run_dir / "outcome.json"
    made = render(_read(path), place=str(path))
    for name, text in (("report.md", made.markdown), ("report.html", made.html), ("junit.xml", made.junit)):
        _replace(run_dir / name, text)
    return made


def render(outcome: Row, *, place: str = "outcome.json") -> Rendered:
    """
    Make the three forms of a parsed outcome. The same outcome gives the same bytes.

    Raises:
        ReportError: it breaks the published schema; ``place`` is where the text says it was found.
    """
    _refuse_unsound(outcome, place)
    totals = totals_of(outcome)
    before = ["verdict", *(["banner"] if outcome["on"] == "sim" else []), "acceptance", "exchanges"]
    after = ["heartbeat", "orders", "errors", "not_tested", "origin"]
    parts = {name: _part(name, o=outcome, totals=totals) for name in before + after}
    plays = [(play, _part("play_head", p=play), _part("play_body", p=play)) for play in outcome["plays"]]
    told = [parts[name] for name in before]
    told += [text for _, head, body in plays for text in (head, body)]
    told += [parts[name] for name in after]
    page = _pages().get_template("report.html.j2")
    html = page.render(
        o=outcome,
        title=visible(outcome["scenario"]["title"] or outcome["scenario"]["name"], 160),
        verdict=VERDICTS[outcome["verdict"]],
        parts={name: to_html(text) for name, text in parts.items()},
        after=after,
        plays=[
            {
                "verdict": play["verdict"],
                "head": to_html(head),
                "body": to_html(body),
                "prices": price_chart(play, f"play{number}"),
                "lanes": lanes_chart(play, f"play{number}"),
            }
            for number, (play, head, body) in enumerate(plays, start=1)
        ],
    )
    return Rendered("\n\n".join(text.strip() for text in told) + "\n", html, junit(outcome, totals))


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


# -- reading and writing


def _read(path: Path) -> Any:
    again = "Make it again by playing the scenario; `runner recover` settles what a broken run left open."
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ReportError(str(path), "This run has no outcome: it has not ended, or it was cut off.", again) from None
    except UnicodeDecodeError as error:
        raise ReportError(f"{path}, byte {error.start}", "The file is not UTF-8 text.", again) from None
    except OSError as error:
        raise ReportError(str(path), f"The file cannot be read: {error.strerror}.", "Check its permissions.") from None
    try:
        return json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        place = f"{path}:{error.lineno}:{error.colno}"
        whole = "ends too early" if error.pos >= len(text.rstrip()) - 1 else "is not JSON from here on"
        raise ReportError(place, f"The file {whole}: {error.msg}.", again) from None
    except (ValueError, RecursionError) as error:
        raise ReportError(str(path), f"The file is not usable JSON: {error}.", again) from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is beyond every measure")
    return number


def _refuse_unsound(outcome: object, place: str) -> None:
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


def _replace(path: Path, text: str) -> None:
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


# -- Markdown


def _part(name: str, **facts: Any) -> str:
    return _words().get_template(f"{name}.md.j2").render(**facts)


@cache
def _words() -> Environment:
    # Escaping is for Markdown, not HTML: `finalize` sees every value that a template prints.
    env = Environment(  # noqa: S701
        loader=PackageLoader("reports", "templates"),
        finalize=cell,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters.update(
        {
            "ahead": _ahead,
            "arrow": " → ".join,
            "averages": _averages,
            "clock": _clock,
            "command": shlex.join,
            "counted": _counted,
            "engine": _engine,
            "fence": fence,
            "fills": _fills,
            "gained": _gained,
            "judged": _judged,
            "moment": _moment,
            "notices": _notices,
            "rounded": rounded,
            "signed": _signed,
            "status": STATUSES.__getitem__,
            "took": _took,
            "venue": _venue,
            "verdict": VERDICTS.__getitem__,
            "where": PLACES.__getitem__,
        }
    )
    return env


def _clock(ms: int | None) -> str | None:
    """``17:45:03.120``, UTC."""
    return None if ms is None else iso_utc(ms)[11:23]


def _moment(ms: int | None) -> str | None:
    """``2026-01-05 17:45:03.120 UTC``."""
    return None if ms is None else f"{iso_utc(ms)[:10]} {iso_utc(ms)[11:23]} UTC"


def _took(row: Row, start: str = "started_ms", end: str = "ended_ms") -> str | None:
    """How long something lasted: ``0.120 s``."""
    if row[start] is None or row[end] is None:
        return None
    return f"{Decimal(row[end] - row[start]) / 1000:.3f} s"


def _venue(name: str | None) -> str:
    return "the run" if name is None else VENUES.get(name, name[:1].upper() + name[1:])


def _counted(number: int, noun: str) -> str:
    """``1 order``, ``2 orders``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _signed(number: str | None) -> str | None:
    return f"+{number}" if number is not None and Decimal(number) > 0 else number


def _gained(after: str, before: str) -> str:
    with localcontext(prec=120):
        return plain(Decimal(after) - Decimal(before))


def _fills(play: Row, side: str | None = None) -> list[Row]:
    return [fill for order in play["orders"] if side in (None, order["side"]) for fill in order["fills"]]


def _averages(play: Row) -> str:
    """``buy 140.12, sell 140.3``: quote per base over the fills of each side, at most 8 decimals."""
    told = []
    with localcontext(prec=120):
        for side in ("buy", "sell"):
            fills = _fills(play, side)
            size = sum((Decimal(fill["size"]) for fill in fills), Decimal(0))
            if size:
                value = sum((Decimal(fill["size"]) * Decimal(fill["price"]) for fill in fills), Decimal(0))
                told.append(f"{side} {rounded(plain(value / size), 8)}")
    return ", ".join(told)


def _engine(engine_us: int) -> str | None:
    """An exchange's own time, to the microsecond: ``17:45:03.120456``."""
    return f"{iso_utc(engine_us // 1000)[11:23]}{engine_us % 1000:03d}" if engine_us else None


def _judged(verdict: str) -> str:
    return f"{'✓' if verdict == 'accepted' else '✗'} {VERDICTS[verdict]}"


def _notices(outcome: Row) -> list[dict[str, Any]]:
    """Every error and alarm of the run and its plays, in order of time."""
    told = [{**notice, "kind": "error", "venue": None} for notice in outcome["errors"]]
    for play in outcome["plays"]:
        for kind, notices in (("error", play["errors"]), ("alarm", play["alarms"])):
            told += [{**notice, "kind": kind, "venue": play["venue"]} for notice in notices]
    return sorted(told, key=lambda notice: int(notice["ts_ms"]))


def _ahead(margin: Row) -> list[dict[str, Any]]:
    """The margin readings in order, each with its name and what the balance gained since the one before."""
    rows = [("before", margin["before"])] if margin["before"] else []
    rows += [("change", change) for change in margin["changes"]]
    rows += [("after", margin["after"])] if margin["after"] else []
    told: list[dict[str, Any]] = []
    for name, reading in rows:
        gained = _gained(reading["balance"], told[-1]["balance"]) if told else None
        told.append({**reading, "name": name, "gained": gained})
    return told


# -- HTML

_NUMBER: Final = re.compile(r"[-+]?\d+(?:\.(\d+))?")
_JUDGED: Final = frozenset({"Verdict", "Status"})
_FIGURE, _POINT = "\u2007", "\u2008"


@cache
def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.disable(["link", "image", "autolink", "reference", "html_inline", "html_block"])
    reader.add_render_rule("table_open", _open_table)
    reader.add_render_rule("table_close", _close_table)
    return reader


def _open_table(_self: Any, _tokens: Sequence[Token], _index: int, _options: Any, _env: Any) -> str:
    # A wide table scrolls in its own box; the box takes the keyboard's focus, or nobody without a mouse could.
    return '<div class="scroll" tabindex="0"><table>\n'


def _close_table(_self: Any, _tokens: Sequence[Token], _index: int, _options: Any, _env: Any) -> str:
    return "</table></div>\n"


def to_html(markdown: str) -> Markup:
    """Markdown of ours as HTML: numbers of a column aligned on the point, verdicts marked, nothing raw, no links."""
    reader = _reader()
    tokens = reader.parse(markdown)
    heads: list[str] = []
    columns: dict[int, list[Token]] = {}
    for index, token in enumerate(tokens):
        match token.type:
            case "table_open":
                heads, columns = [], {}
            case "th_open":
                heads.append(tokens[index + 1].content)
                _right(token)
                token.attrSet("scope", "col")
            case "tr_open":
                column = 0
            case "td_open":
                text = tokens[index + 1]
                if _right(token):
                    columns.setdefault(column, []).append(text)
                elif heads[column] in _JUDGED:
                    token.attrSet("class", {"✓": "good", "✗": "bad"}.get(text.content[:1], "open"))
                column += 1
            case "table_close":
                for texts in columns.values():
                    _align(texts)
    return Markup(reader.renderer.render(tokens, reader.options, {}))  # noqa: S704 - markdown-it escapes text


def _right(token: Token) -> bool:
    right = "right" in str(token.attrs.pop("style", ""))
    if right:
        token.attrSet("class", "n")
    return right


def _align(texts: Sequence[Token]) -> None:
    """Pad the numbers of one column with blanks as wide as a digit, so that their decimal points stand in line."""
    matches = [(text, _NUMBER.fullmatch(text.content)) for text in texts]
    longest = max((len(match[1] or "") for _, match in matches if match), default=0)
    if not 0 < longest <= 12:
        return
    for text, match in matches:
        if match and text.children:
            missing = longest - len(match[1] or "")
            text.children[-1].content += ("" if match[1] else _POINT) + _FIGURE * missing


@cache
def _pages() -> Environment:
    return Environment(
        loader=PackageLoader("reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
