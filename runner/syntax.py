"""
Why a text is no YAML, in the words of somebody who does not know YAML.

The YAML reader says where it gave up, which is often after the slip itself; so the lines around are looked at for
the usual slips first: a colon without space, a dash without space, a quote or brace left open, a line out of line.
"""

from __future__ import annotations

import re
from typing import Final

# Compiled when something is wrong, so that sound files do not pay for them.
_NO_SPACE: Final = r"\s*(?:- )?(([a-z_]+):([^\s/:][^\s:]*))"
_NO_DASH_SPACE: Final = r"\s*(-([A-Za-z][A-Za-z_]*))"
_BARE_STEP: Final = r"\s*- ([a-z_]+)\s*(?:#.*)?"
_NO_COLON: Final = r"(\s*(?:- )?)([a-z_]+)\s+(\S.*)"
_PAIR: Final = r"(\s*(?:- )?)([^\s:#'\"{\[][^:#]*):\s+(\S.*)"


class Fault(Exception):
    """One syntax fault; ``start`` and ``end`` count characters from 0."""

    def __init__(
        self,
        code: str,
        start: int,
        end: int,
        message: str,
        *,
        found: str | None = None,
        expected: str | None = None,
        suggestion: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.start = start
        self.end = end
        self.message = message
        self.found = found
        self.expected = expected
        self.suggestion = suggestion


def explain_syntax(error: Exception, text: str) -> Fault:
    """The fault behind what the YAML reader raised on ``text``."""
    problem = str(getattr(error, "problem", "") or "")
    context = str(getattr(error, "context", "") or "")
    at = _index(getattr(error, "problem_mark", None), text)
    began = _index(getattr(error, "context_mark", None), text)
    if (position := getattr(error, "position", None)) is not None:
        return _odd_character(text, int(position))
    if at is None:
        return Fault("YAML_SYNTAX", 0, 0, "This file cannot be read as YAML.", expected="lines such as side: buy")
    if "'\\t'" in problem or "\t" in (lead := _indentation(text, at)):
        return _tab(text, at)
    if "another document" in problem:
        return Fault(
            "YAML_DOCUMENTS", at, at + 3, "A second scenario begins here.", found="---", expected="one scenario a file"
        )
    if "undefined alias" in problem:
        end = _word_end(text, at)
        message = "The name behind this star is not defined above."
        return Fault("YAML_ALIAS", at, end, message, found=text[at:end], expected="a name defined with & before")
    if "scanning an alias" in context or "scanning an anchor" in context:
        return _needs_quotes(text, began if began is not None else at)
    if "cannot start any token" in problem:
        return _needs_quotes(text, at)
    if "tag" in problem or "tag" in context:
        return Fault(
            "YAML_TAG",
            at,
            at + 1,
            "Words that begin with ! are not used in scenarios.",
            found="!",
            expected="a plain text",
        )
    if "directive" in context or "YAML document (version" in problem:
        return Fault(
            "YAML_SYNTAX",
            at,
            at + 1,
            "Lines that begin with % are not used in scenarios.",
            found="%",
            expected="no such line",
        )
    if "scalar" in context and "quoted" in context and began is not None:
        return _quote(text, began, at, problem)
    if "flow" in context and began is not None:
        return _brace(text, began, at, problem)
    return _line_fault(text, at, began, problem, lead)


def _index(mark: object, text: str) -> int | None:
    index = getattr(mark, "index", None)
    return None if index is None else min(int(index), max(0, len(text) - 1))


def _line_start(text: str, at: int) -> int:
    return max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1


def _line_end(text: str, at: int) -> int:
    ends = [end for end in (text.find("\n", at), text.find("\r", at)) if end >= 0]
    return min(ends, default=len(text))


def _word_end(text: str, at: int) -> int:
    match = re.compile(r"[^\s,\]}]*").match(text, at)
    return match.end() if match else at


def _indentation(text: str, at: int) -> str:
    start = _line_start(text, at)
    line = text[start : _line_end(text, start)]
    return line[: len(line) - len(line.lstrip())]


def _odd_character(text: str, at: int) -> Fault:
    code = ord(text[at]) if at < len(text) else 0
    message = "This file holds a character that texts do not have."
    return Fault("FILE_ENCODING", at, at + 1, message, found=f"the character U+{code:04X}", expected="ordinary text")


def _tab(text: str, at: int) -> Fault:
    start = _line_start(text, at)
    tab = text.find("\t", start, _line_end(text, start))
    tab = at if tab < 0 else tab
    end = tab
    while end < len(text) and text[end] == "\t":
        end += 1
    where = "A tab stands here, and only spaces may indent a line."
    if text[start:tab].strip():
        return Fault("YAML_TAB", tab, end, "A tab stands here.", found="a tab", expected="a space", suggestion=" ")
    return Fault(
        "YAML_TAB", tab, end, where, found="a tab", expected="two spaces for each level", suggestion="  " * (end - tab)
    )


def _needs_quotes(text: str, at: int) -> Fault:
    end = _line_end(text, at)
    inside = bool(re.search(r"[\[{]", text[_line_start(text, at) : at]))
    value = text[at : _word_end(text, at) if inside else end].split(" #")[0].rstrip()
    return Fault(
        "YAML_QUOTE",
        at,
        at + len(value),
        f"A text that begins with {text[at : at + 1]} needs quotes.",
        found=value[:60],
        expected="the text in double quotes",
        suggestion=_quoted(value),
    )


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _quote(text: str, began: int, at: int, problem: str) -> Fault:
    if "escape" in problem or "hexadecimal" in problem:
        message = "A backslash means something special inside double quotes."
        return Fault("YAML_QUOTE", at - 1, at + 1, message, found="a backslash", expected="the text in single quotes")
    message = "The quote that opens here is never closed."
    return Fault(
        "YAML_QUOTE",
        began,
        began + 1,
        message,
        found="an open quote",
        expected=f"a {text[began]} at the end of the text",
    )


def _brace(text: str, began: int, at: int, problem: str) -> Fault:
    same_line = _line_start(text, began) == _line_start(text, at)
    if same_line and ("':'" in problem or "scalar" in problem):
        return Fault(
            "YAML_BRACES",
            at,
            at + 1,
            "A comma is missing before this place.",
            found="two settings without a comma between",
            expected="a comma between two settings",
        )
    opener = text[began] if text[began] in "[{" else _last_open(text, at)
    closer = {"[": "]", "{": "}"}.get(opener, "}")
    message = f"The {opener} that opens here is never closed."
    return Fault(
        "YAML_BRACES", began, began + 1, message, found=f"an open {opener}", expected=f"a {closer} that closes it"
    )


def _last_open(text: str, at: int) -> str:
    return "[" if text.rfind("[", 0, at + 1) > text.rfind("{", 0, at + 1) else "{"


def _line_fault(text: str, at: int, began: int | None, problem: str, lead: str) -> Fault:
    """Slips that show in the line itself or the one before it."""
    suspects = [_line_start(text, at)]
    before = _line_start(text, max(0, suspects[0] - 1))
    if before < suspects[0]:
        suspects.append(before)
    if began is not None and "could not find" in problem:
        suspects.insert(0, _line_start(text, began))
    for start in suspects:
        line = text[start : _line_end(text, start)]
        if match := re.match(_NO_SPACE, line):
            return Fault(
                "YAML_COLON",
                start + match.start(1),
                start + match.end(1),
                "A space is missing behind this colon.",
                found=match[1][:60],
                expected="name: value",
                suggestion=f"{match[2]}: {match[3]}",
            )
    if "'-'" in problem or "block sequence" in problem or "scalar" in problem:
        for start in (*suspects, began if began is not None else suspects[0]):
            begin = _line_start(text, start)
            line = text[begin : _line_end(text, begin)]
            if match := re.match(_NO_DASH_SPACE, line):
                return Fault(
                    "YAML_DASH",
                    begin + match.start(1),
                    begin + match.end(1),
                    "A space is missing behind this dash.",
                    found=match[1][:60],
                    expected="- name",
                    suggestion=f"- {match[2]}",
                )
    above = text[suspects[-1] : _line_end(text, suspects[-1])] if len(suspects) > 1 else ""
    if (match := re.fullmatch(_BARE_STEP, above)) and len(lead) > len(above) - len(above.lstrip()):
        begin, end = suspects[-1] + match.start(1), suspects[-1] + match.end(1)
        message = f"A colon is missing behind {match[1]}, which has settings below it."
        return Fault(
            "YAML_COLON", begin, end, message, found=match[1], expected="name: value", suggestion=f"{match[1]}:"
        )
    if "mapping values" in problem:
        return _unwanted_colon(text, at, suspects)
    if "could not find" in problem:
        return _missing_colon(text, suspects[0])
    if "'<scalar>'" in problem or "']'" in problem or "'}'" in problem or "','" in problem:
        return _trailing(text, at, problem, lead)
    return _out_of_line(text, at)


def _unwanted_colon(text: str, at: int, suspects: list[int]) -> Fault:
    start = suspects[0]
    line = text[start : _line_end(text, start)]
    if (match := re.match(_PAIR, line)) and start + match.start(3) < at:
        value = match[3].split(" #")[0].rstrip()
        begin = start + match.start(3)
        return Fault(
            "YAML_COLON",
            begin,
            begin + len(value),
            "A text with a colon in it needs quotes.",
            found=value[:60],
            expected="the text in double quotes",
            suggestion=_quoted(value),
        )
    above = text[suspects[-1] : _line_end(text, suspects[-1])] if len(suspects) > 1 else ""
    if above.strip() and not re.search(r":(\s|$)", above) and not above.strip().startswith(("#", "- ")):
        return _missing_colon(text, suspects[-1])
    return _out_of_line(text, at)


def _missing_colon(text: str, start: int) -> Fault:
    line = text[start : _line_end(text, start)]
    message = "A colon is missing in this line."
    if match := re.match(_NO_COLON, line):
        begin, end = start + match.start(2), start + match.end(2)
        return Fault(
            "YAML_COLON",
            begin,
            end,
            message,
            found=line.strip()[:60],
            expected="name: value",
            suggestion=f"{match[2]}:",
        )
    begin = start + len(line) - len(line.lstrip())
    return Fault("YAML_COLON", begin, start + len(line), message, found=line.strip()[:60], expected="name: value")


def _trailing(text: str, at: int, problem: str, lead: str) -> Fault:
    start = _line_start(text, at)
    if not text[start + len(lead) : at]:
        return _out_of_line(text, at)
    before = text[start:at].rstrip()
    if "scalar" not in problem:
        return Fault(
            "YAML_BRACES",
            at,
            at + 1,
            f"This {text[at]} closes or divides nothing.",
            found=text[at],
            expected="no more of it",
        )
    line = text[start : _line_end(text, start)]
    match = re.match(_PAIR, line) or re.match(r"(\s*(?:- )?)([^:]+):\s+(\S.*)", line)
    value = match[3].split(" #")[0].rstrip() if match else ""
    begin = start + match.start(3) if match else at
    if before.endswith(("}", "]")):
        code, message = "YAML_BRACES", "Text follows behind a closing brace; a text with braces needs quotes."
    else:
        code, message = "YAML_QUOTE", "Text follows behind a closing quote; the whole text needs one pair of quotes."
    bare = value.strip("'\"") if value[:1] == value[-1:] else value
    return Fault(
        code,
        begin,
        begin + len(value) if value else at + 1,
        message,
        found=value[:60] or None,
        expected="the whole text in double quotes",
        suggestion=_quoted(bare) if value else None,
    )


def _out_of_line(text: str, at: int) -> Fault:
    start = _line_start(text, at)
    line = text[start : _line_end(text, start)]
    column = len(line) - len(line.lstrip())
    number = text.count("\n", 0, start)
    above = [len(row) - len(row.lstrip()) for row in text[:start].splitlines()[-3:] if row.strip()]
    hint = f"the column of the lines it belongs to (the line above starts in column {above[-1] + 1})" if above else ""
    return Fault(
        "YAML_INDENT",
        start + column,
        start + len(line),
        "This line does not fit the lines above it: it starts too far left or right, or lacks its dash.",
        found=f"a line that starts in column {column + 1}" if number else None,
        expected=hint or "name: value",
    )
