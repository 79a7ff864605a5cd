"""An outcome as JUnit XML: what a build server shows. One suite for the run, one for every play."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from reports.text import visible

Row = Mapping[str, Any]

_LONGEST: Final = 2_000


def junit(outcome: Row, totals: Mapping[str, int | str], *, unfinished: bool = False) -> str:
    """
    The XML text. Every step and every acceptance line is a case; so is the verdict of each play and of the run, so
    that a build is red exactly when the run's exit code is not 0. ``totals`` become properties of the run's suite, and
    so does ``unfinished``.
    """
    root = Element("testsuites", name=_words(outcome["scenario"]["name"]), time=f"{outcome['duration_secs']:.3f}")
    run = _suite(root, "run", outcome["started"])
    properties = SubElement(run, "properties")
    facts = {**totals, "run_id": outcome["run_id"], "on": outcome["on"], "sentence": outcome["sentence"]}
    facts |= {"unfinished": "yes"} if unfinished else {}
    for name, value in facts.items():
        SubElement(properties, "property", name=name, value=_words(value))
    _verdict(run, outcome)
    suites = {}
    for play in outcome["plays"]:
        suite = suites[play["venue"]] = _suite(root, play["venue"], outcome["started"])
        _verdict(suite, play)
        for step in play["steps"]:
            _step(suite, step)
    for line in outcome["acceptance"]:
        _criterion(suites.get(line["venue"], run), line)
    for play in outcome["plays"]:
        if play.get("notes"):
            told = "; ".join(f"{note['code']}: {note['text']}" for note in play["notes"])
            SubElement(suites[play["venue"]], "system-out").text = _words(told)
    for suite in root.findall("testsuite"):
        _count(suite)
    _count(root)
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _suite(root: Element, name: str, started: str) -> Element:
    return SubElement(root, "testsuite", name=_words(name), timestamp=started.removesuffix("Z"))


def _case(suite: Element, kind: str, name: str, secs: float = 0.0) -> Element:
    classname = f"{suite.get('name')}.{kind}"
    return SubElement(suite, "testcase", classname=classname, name=_words(name), time=f"{secs:.3f}")


def _verdict(suite: Element, judged: Row) -> None:
    case = _case(suite, "verdict", "verdict")
    if judged["verdict"] == "accepted":
        return
    tag = "error" if judged["verdict"] in ("environment_failed", "interrupted") else "failure"
    error = judged.get("error")
    more = f"{error['code']}: {error['message']} {error['next_move']}" if error else judged["sentence"]
    _mark(case, tag, judged["verdict"], judged["sentence"], more)


def _step(suite: Element, step: Row) -> None:
    whole = step["started_ms"] is not None and step["ended_ms"] is not None
    secs = (step["ended_ms"] - step["started_ms"]) / 1000 if whole else 0.0
    case = _case(suite, step["phase"], f"{step['index'] + 1}. {step['verb']}", secs)
    words = (
        f"{step['words']}: {step['detail']}" if step["words"] and step["detail"] else step["words"] or step["detail"]
    )
    match step["status"]:
        case "failed":
            _mark(case, "failure", "failed", step["detail"] or "failed", words)
        case "interrupted":
            _mark(case, "error", "interrupted", step["detail"] or "interrupted", words)
        case "skipped":
            SubElement(case, "skipped", message=_words(step["detail"] or "skipped"))
        case _:
            SubElement(case, "system-out").text = _words(words)


def _criterion(suite: Element, line: Row) -> None:
    case = _case(suite, "acceptance", line["criterion"])
    words = f"wanted: {line['wanted']}; evidence: {line['evidence']}"
    match line["verdict"]:
        case "failed":
            _mark(case, "failure", "failed", words, words)
        case "not_tested":
            SubElement(case, "skipped", message=_words(f"not tested; {words}"))
        case _:
            SubElement(case, "system-out").text = _words(words)


def _mark(case: Element, tag: str, kind: str, message: str, text: str) -> None:
    SubElement(case, tag, type=_words(kind), message=_words(message)).text = _words(text)


def _count(element: Element) -> None:
    cases = list(element.iter("testcase"))
    counts = {
        "tests": len(cases),
        "failures": sum(case.find("failure") is not None for case in cases),
        "errors": sum(case.find("error") is not None for case in cases),
        "skipped": sum(case.find("skipped") is not None for case in cases),
    }
    for name, number in counts.items():
        element.set(name, str(number))


def _words(text: object) -> str:
    # The serializer escapes markup; control characters have no place in XML 1.0 at all, escaped or not.
    return visible(str(text), _LONGEST)
