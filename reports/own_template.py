"""A report by the reader's own Jinja template, in a sandbox: it sees the outcome and nothing of this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from reports.decisions import decisions_of
from reports.language import tongue
from reports.render import ReportError, language_of, read, refuse_unsound, replace, totals_of
from reports.text import cell, visible
from reports.words import words_in

_OURS: Final = frozenset({"report.html", "report.md", "junit.xml", "outcome.json", "plan.json", "events.jsonl"})
_MARKUP: Final = (".html", ".htm", ".xml", ".svg")


def write_own(run_dir: Path, template: Path, *, language: str | None = None, unfinished: bytes | None = None) -> Path:
    """
    Render ``template`` into the run folder, under its own name without ``.j2``. Returns the file.

    It sees ``outcome`` (as in outcome.json), ``totals``, ``decisions``, ``unfinished`` and ``t`` (phrases of ours in
    the reader's language), and the filters of our own templates. Values are escaped by the kind of file: HTML and XML
    as markup, ``.md`` as Markdown, anything else only loses its invisible characters.

    Raises:
        ReportError: with the template's line, or when the outcome is unsound or the name is one of the run's own.
    """
    name = template.name.removesuffix(".j2")
    if name in _OURS:
        raise ReportError(str(template), f"{name} is a file of the run itself.", "Give the template another name.")
    path = run_dir / "outcome.json"
    outcome = read(path) if unfinished is None else json.loads(unfinished)
    refuse_unsound(outcome, str(path))
    t = tongue(language_of(outcome, language))
    markup = name.endswith(_MARKUP)
    env = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(template.parent),
        autoescape=markup,
        finalize=cell if name.endswith(".md") else None if markup else _plain,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters.update(words_in(t.code).filters)
    facts: dict[str, Any] = {
        "outcome": outcome,
        "totals": totals_of(outcome),
        "decisions": decisions_of(run_dir),
        "unfinished": unfinished is not None,
        "t": t.line if not name.endswith(".md") else t,
    }
    try:
        text = env.get_template(template.name).render(facts)
    except TemplateSyntaxError as error:
        place = f"{error.filename or template}:{error.lineno}"
        raise ReportError(place, f"{error.message}.", "Correct the template.") from None
    except SecurityError as error:
        raise ReportError(str(template), f"{error}.", "A template may only read the outcome.") from None
    except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError) as error:
        raise ReportError(_place(template, error), f"{visible(str(error), 200)}.", "Correct the template.") from None
    except OSError as error:
        raise ReportError(str(template), f"The file cannot be read: {error.strerror}.", "Check its name.") from None
    replace(run_dir / name, text)
    return run_dir / name


def _plain(value: object) -> object:
    return visible(value, 20_000) if isinstance(value, str) else value


def _place(template: Path, error: BaseException) -> str:
    """The template's line in the traceback, where there is one."""
    trace = error.__traceback__
    line = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith(template.name):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"{template}:{line}" if line else str(template)
