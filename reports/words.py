"""The Markdown form: Jinja templates in the reader's language, every value escaped where it is printed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from functools import cache, partial
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from core.clock import iso_utc
from core.precision import plain
from reports.language import Tongue, clock, tongue
from reports.text import cell, fence, rounded

Row = Mapping[str, Any]

VERDICTS: Final[Mapping[str, str]] = {
    "accepted": "Accepted",
    "not_accepted": "Not accepted",
    "interrupted": "Interrupted",
    "not_proven_flat": "Not proven flat",
    "environment_failed": "Environment failed",
}
STATUSES: Final[Mapping[str, tuple[str, str]]] = {
    "passed": ("✓", "passed"),
    "failed": ("✗", "failed"),
    "interrupted": ("✗", "interrupted"),
    "skipped": ("○", "skipped"),
    "not_tested": ("○", "not tested"),
}
PLACES: Final[Mapping[str, str]] = {
    "sim": "simulators on this machine",
    "testnet": "the exchanges' test networks",
    "live": "the real exchanges, with real money",
}
DECISIONS: Final[Mapping[str, str]] = {"accept": "✓ accepted", "reject": "✗ rejected"}
CRITERIA: Final[Mapping[str, str]] = {
    "round_trip": "Round trip",
    "flat": "Flat at the end",
    "heartbeat": "Heartbeat",
    "no_unhandled_errors": "No unhandled errors",
    "logs_complete": "Logs complete",
}
VENUES: Final[Mapping[str, str]] = {"okx": "OKX"}
"""Names that are not their key with a capital letter."""


def verdict_words(verdict: str, t: Tongue) -> str:
    return t.line(VERDICTS[verdict])


def venue_words(name: str | None, t: Tongue) -> str:
    """How a venue is called; None is the run as a whole."""
    return t.line("the run") if name is None else VENUES.get(name, name[:1].upper() + name[1:])


@cache
def words_in(language: str) -> Environment:
    """The templates' environment in one language."""
    t = tongue(language)
    # Escaping is for Markdown, not HTML: `finalize` sees every value that a template prints.
    env = Environment(  # noqa: S701
        loader=PackageLoader("reports", "templates"),
        finalize=cell,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.globals["t"] = t
    env.filters.update(
        {
            "ahead": _ahead,
            "arrow": " → ".join,
            "averages": partial(_averages, t=t),
            "brief": partial(_brief, t=t),
            "clock": clock,
            "command": shlex.join,
            "counted": t.counted,
            "criterion": partial(_criterion, t=t),
            "decided": partial(_decided, t=t),
            "engine": _engine,
            "fence": fence,
            "fills": _fills,
            "fullest": _fullest,
            "gained": _gained,
            "judged": partial(_judged, t=t),
            "lasted": partial(_lasted, t=t),
            "moment": t.moment,
            "notices": _notices,
            "number": t.number,
            "rounded": rounded,
            "signed": _signed,
            "soundness": partial(_soundness, t=t),
            "status": partial(_status, t=t),
            "told": t.told,
            "took": partial(_took, t=t),
            "venue": partial(venue_words, t=t),
            "verdict": partial(verdict_words, t=t),
            "where": partial(_where, t=t),
        }
    )
    return env


def _fullest(limits: Sequence[Row]) -> Sequence[Row]:
    """The rate limit that came nearest to being reached, alone; none where nothing was used."""
    return sorted(limits, key=lambda limit: -limit["peak"] / limit["limit"])[:1]


def _criterion(name: str, t: Tongue) -> str:
    return t.line(CRITERIA[name]) if name in CRITERIA else name


def _status(status: str, t: Tongue) -> str:
    mark, word = STATUSES[status]
    return f"{mark} {t.line(word)}"


def _judged(verdict: str, t: Tongue) -> str:
    return f"{'✓' if verdict == 'accepted' else '✗'} {verdict_words(verdict, t)}"


def _decided(decision: str, t: Tongue) -> str:
    return t.line(DECISIONS.get(decision, "○ no decision"))


def _soundness(fault: str, t: Tongue) -> str:
    return f"✗ {fault}" if fault else t.line("✓ sound")


def _where(place: str, t: Tongue) -> str:
    return t.line(PLACES[place])


def _lasted(secs: float, t: Tongue) -> str:
    """Seconds of an outcome: ``3.487 s``."""
    return f"{Decimal(str(secs)):.3f} {t.line('s')}"


def _brief(secs: float, t: Tongue) -> str:
    """Seconds of a setting: ``10 s``."""
    return f"{secs:g} {t.line('s')}"


def _took(row: Row, start: str = "started_ms", end: str = "ended_ms", *, t: Tongue) -> str | None:
    """How long something lasted: ``0.120 s``."""
    if row[start] is None or row[end] is None:
        return None
    return t.secs(row[end] - row[start])


def _signed(number: str | None) -> str | None:
    return f"+{number}" if number is not None and Decimal(number) > 0 else number


def _gained(after: str, before: str) -> str:
    with localcontext(prec=120):
        return plain(Decimal(after) - Decimal(before))


def _fills(play: Row, side: str | None = None) -> list[Row]:
    return [fill for order in play["orders"] if side in (None, order["side"]) for fill in order["fills"]]


def _averages(play: Row, t: Tongue) -> str:
    """``buy 140.12, sell 140.3``: quote per base over the fills of each side, at most 8 decimals."""
    told = []
    with localcontext(prec=120):
        for side in ("buy", "sell"):
            fills = _fills(play, side)
            size = sum((Decimal(fill["size"]) for fill in fills), Decimal(0))
            if size:
                value = sum((Decimal(fill["size"]) * Decimal(fill["price"]) for fill in fills), Decimal(0))
                told.append(f"{t.line(side)} {t.number(rounded(plain(value / size), 8))}")
    return t.line(", ").join(told)


def _engine(engine_us: int) -> str | None:
    """An exchange's own time, to the microsecond: ``17:45:03.120456``."""
    return f"{iso_utc(engine_us // 1000)[11:23]}{engine_us % 1000:03d}" if engine_us else None


def _notices(outcome: Row) -> list[dict[str, Any]]:
    """Every error, alarm and note of the run and its plays, in order of time."""
    told = [{**notice, "kind": "error", "venue": None} for notice in outcome["errors"]]
    for play in outcome["plays"]:
        for kind, notices in (("error", play["errors"]), ("alarm", play["alarms"]), ("note", play.get("notes", ()))):
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
