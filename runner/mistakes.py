"""
Mistakes in what people wrote, and the three ways of telling them: text, json, github.

Every text here is for somebody who does not program. A mistake names its place from line 1, column 1.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from core.words import counted

LINE_BREAK: Final = re.compile(r"\r\n|\n|\r")
_WIDTH: Final = 100
"""Columns of a source line that are shown; longer lines are cut around the caret."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One fault. ``suggestion`` is the text that should stand in place of the ``length`` characters at the place."""

    code: str
    file: str
    """As the caller named it; ``--set`` or ``--venue`` for a flag."""
    line: int
    column: int
    message: str
    found: str | None = None
    expected: str | None = None
    suggestion: str | None = None
    length: int = 0
    """Characters under the caret; 0 when the fault has no text of its own."""


class Explained(NamedTuple):
    """The page of one code."""

    meaning: str
    next_move: str
    example: str


class WrongInput(Exception):
    """
    Config, flags or keys are wrong: nothing was sent, exit code 2. Each text is a whole message.

    ``mistakes`` are those of the config file, with its text in ``sources``: they can be told together with others.
    """

    def __init__(
        self, texts: Sequence[str], mistakes: Sequence[Mistake] = (), sources: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        super().__init__(*texts)
        self.texts = tuple(texts)
        self.mistakes = tuple(mistakes)
        self.sources = sources


def wrong_word(place: str, word: str, code: str, message: str, expected: str, near: str | None = None) -> WrongInput:
    """
    A word of the command line that does not fit, in the shape of all mistakes.

    Args:
        place: What the word was given as: the flag before it, or the name that ``--help`` has for it.
        near: The word that was probably meant.
    """
    mistake = Mistake(code, place, 1, 1, message, word[:60], expected, near, len(word))
    return wrong_words([mistake], {place: word})


def wrong_words(mistakes: Sequence[Mistake], sources: Mapping[str, str]) -> WrongInput:
    """Mistakes on a command line that names no scenario: told as in a file, but without the count of files."""
    return WrongInput([render_text(mistakes, sources, 0).rpartition("\n\n")[0]])


def render_text(mistakes: Sequence[Mistake], sources: Mapping[str, str], files: int) -> str:
    """
    For a terminal: at most 12 lines a mistake, then the closing line.

    Args:
        sources: File name to its text, secrets already masked.
        files: How many files were checked.
    """
    split = {name: LINE_BREAK.split(text) for name, text in sources.items()}
    blocks = [_block(mistake, split.get(mistake.file, [])) for mistake in mistakes]
    return "\n\n".join([*blocks, f"{counted(files, 'file')}, {counted(len(mistakes), 'mistake')}"]) + "\n"


def render_json(mistakes: Sequence[Mistake], files: int) -> str:
    """One object: ``{"files": n, "mistakes": [{code, file, line, column, message, found, expected, suggestion}]}``."""
    rows = [
        {
            "code": mistake.code,
            "file": mistake.file,
            "line": mistake.line,
            "column": mistake.column,
            "message": mistake.message,
            "found": mistake.found,
            "expected": mistake.expected,
            "suggestion": mistake.suggestion,
        }
        for mistake in mistakes
    ]
    return json.dumps({"files": files, "mistakes": rows}, ensure_ascii=False)


def render_github(mistakes: Sequence[Mistake]) -> str:
    """Workflow commands, one line a mistake, as GitHub shows them beside the changed lines."""
    return "".join(
        f"::error file={_property(mistake.file)},line={mistake.line},col={mistake.column},"
        f"title={_property(mistake.code)}::{_data(_sentence(mistake))}\n"
        for mistake in mistakes
    )


def _sentence(mistake: Mistake) -> str:
    parts = [mistake.message]
    if mistake.expected:
        parts.append(f"Expected: {mistake.expected}.")
    if mistake.suggestion:
        parts.append(f"Did you mean: {mistake.suggestion}")
    return " ".join(parts)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _block(mistake: Mistake, lines: Sequence[str]) -> str:
    shown = [printable(mistake.message), f"  {printable(mistake.file)}:{mistake.line}:{mistake.column}"]
    number, column = mistake.line, mistake.column
    if number <= len(lines) and any(lines):
        line = lines[number - 1]
        gutter = len(str(number + 1))
        cut = max(0, column - 1 - _WIDTH // 2) if len(line) > _WIDTH else 0

        def row(at: int) -> str:
            text = printable(lines[at - 1][cut : cut + _WIDTH])
            return f"  {at:>{gutter}} | {text}".rstrip()

        if number > 1:
            shown.append(row(number - 1))
        shown.append(row(number))
        lead = _columns(printable(line[cut : column - 1]))
        under = _columns(printable(line[column - 1 : column - 1 + mistake.length][: _WIDTH // 2]))
        shown.append(f"  {'':>{gutter}} | {' ' * lead}{'^' * max(1, under)}")
        if number < len(lines) and lines[number].strip():
            shown.append(row(number + 1))
    if mistake.found is not None:
        shown.append(f"  found:    {printable(mistake.found)}")
    if mistake.expected is not None:
        shown.append(f"  expected: {printable(mistake.expected)}")
    if mistake.suggestion is not None:
        if mistake.suggestion.strip():
            shown.append(f"  did you mean: {printable(mistake.suggestion)}")
        if number <= len(lines) and mistake.length and len(lines[number - 1]) <= _WIDTH:
            line = lines[number - 1]
            mended = line[: column - 1] + mistake.suggestion + line[column - 1 + mistake.length :]
            shown.append(f"  write:    {printable(mended.strip())}")
    shown.append(f"  {mistake.code}  (more: runner explain {mistake.code})")
    return "\n".join(shown)


def printable(text: str) -> str:
    """``text`` on one line without anything that moves a cursor, turns writing around or hides."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_glyph(char) for char in text)


def _glyph(char: str) -> str:
    if char == "\t":
        return "→"
    return char if char.isprintable() else "·"


def _columns(text: str) -> int:
    """Columns of a terminal that ``text`` covers; CJK letters take two."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


SCENARIO_CODES: Final[Mapping[str, Explained]] = {
    "FILE_MISSING": Explained(
        "There is no file under this name.",
        "Check the spelling and the folder you are in.",
        "runner check scenarios/e2e_all.yaml",
    ),
    "UNKNOWN_RUN": Explained(
        "There is no run of this name, and no folder.",
        "Check the spelling; `runner runs` lists the runs that are here.",
        "runner report 20260105T174503Z-hello",
    ),
    "FILE_IS_FOLDER": Explained(
        "The name belongs to a folder, and one or more files are wanted.",
        "Name the files, or all of them with a star.",
        "runner check scenarios/*.yaml",
    ),
    "FILE_UNREADABLE": Explained(
        "The file is there, but it cannot be read: it may belong to somebody else, or be no ordinary file.",
        "Check who may read the file.",
        "chmod u+r scenarios/e2e_all.yaml",
    ),
    "FILE_TOO_BIG": Explained(
        "A scenario is a short text; this one is larger than one megabyte or holds more than 100,000 values.",
        "Check that you named the right file. Split a very long scenario into several.",
        "runner check part_1.yaml part_2.yaml",
    ),
    "FILE_ENCODING": Explained(
        "The file holds bytes or characters that are no UTF-8 text.",
        "Open it in an editor and save it again as UTF-8.",
        'Editors call this "Save with encoding: UTF-8".',
    ),
    "FILE_EMPTY": Explained(
        "The file says nothing: it is empty or holds only comments.",
        "Write a scenario, or start from one of the examples.",
        "scenario: hello",
    ),
    "YAML_SYNTAX": Explained(
        "The text does not follow the rules of YAML, the notation scenarios are written in.",
        "Look at the marked place and compare it with an example.",
        "side: buy",
    ),
    "YAML_TAB": Explained(
        "A tab stands where only spaces may stand. Tabs are as wide as each editor likes, so YAML refuses them.",
        "Replace the tab with spaces: two for each level.",
        "steps:\n  - market_close",
    ),
    "YAML_INDENT": Explained(
        "A line starts too far left or right. Lines that belong together start in the same column.",
        "Line it up with the lines beside it; go two spaces deeper for what belongs to the line above.",
        "steps:\n  - wait:\n      secs: 10",
    ),
    "YAML_COLON": Explained(
        "A colon is missing, stands without a space behind it, or stands inside a text without quotes.",
        "Write `name: value` with a space behind the colon, and put texts with a colon in quotes.",
        'title: "Open: then wait"',
    ),
    "YAML_QUOTE": Explained(
        "A quote is not closed, or a text needs quotes because of a special character in it.",
        "Put the whole text in double quotes; inside single quotes write '' for an apostrophe.",
        'title: "It\'s fine"',
    ),
    "YAML_BRACES": Explained(
        "A { or [ is not closed, a comma is missing, or a brace stands inside a text without quotes.",
        "Close what you opened, put commas between, and put texts with braces in quotes.",
        "- random_wait: {min_secs: 1, max_secs: 30}",
    ),
    "YAML_DASH": Explained(
        "A dash that starts a step needs a space behind it.", "Write a space behind the dash.", "- market_close"
    ),
    "YAML_ALIAS": Explained(
        "The text behind a star names an anchor (&name) that this file does not have above it.",
        "Define the anchor first, or put the text in quotes if no anchor was meant.",
        "- tracking_open: &pace {interval_secs: 5}\n- tracking_close: *pace",
    ),
    "YAML_DOCUMENTS": Explained(
        "The file holds several scenarios, divided by ---.",
        "Write each scenario in a file of its own.",
        "runner check first.yaml second.yaml",
    ),
    "YAML_TAG": Explained(
        "Words that begin with ! have a special meaning in YAML, and scenarios do not use it.",
        "Remove the word, or put the text in quotes.",
        'title: "!important"',
    ),
    "YAML_DEEP": Explained(
        "Lists and groups stand inside each other more than 12 levels deep, or contain themselves.",
        "A scenario needs four levels; check for a brace too many.",
        "steps:\n  - wait: {secs: 10}",
    ),
    "DUPLICATE_KEY": Explained(
        "The same name is written twice in one group, so one value would be lost.",
        "Keep one of the two lines.",
        "side: buy",
    ),
    "UNKNOWN_KEY": Explained(
        "The name is none of those that may stand here.",
        "Check the spelling; `runner steps VERB` lists the settings of a step.",
        "- tracking_open: {interval_secs: 10}",
    ),
    "UNKNOWN_STEP": Explained(
        "There is no step of this name.",
        "Check the spelling; `runner steps` lists them all.",
        "- market_close",
    ),
    "UNKNOWN_VENUE": Explained(
        "Roundtrip does not know an exchange of this name.",
        "Check the spelling, or write all.",
        "venues: [backpack]",
    ),
    "UNKNOWN_CHOICE": Explained(
        "Only certain words may stand here, and this is none of them.", "Choose one of the words listed.", "side: buy"
    ),
    "UNKNOWN_INPUT": Explained(
        "A value is used or set by a name that is not under inputs.",
        "Check the spelling, or add the input.",
        "inputs:\n  hold: {type: duration, default: 30s}",
    ),
    "MISSING_KEY": Explained("A line that is needed is missing.", "Add the line.", "symbol: SOL"),
    "WRONG_TYPE": Explained(
        "Another kind of value is wanted here: a number instead of a text, a list instead of a word.",
        "Write the value as the message shows. Numbers, true and false stand without quotes.",
        "keep_if_best: true",
    ),
    "STEP_SHAPE": Explained(
        "A step is one name with its settings behind it, and starts with a dash.",
        "Give each step a dash of its own, and set its settings two spaces deeper.",
        "- wait:\n    secs: 10\n- market_close",
    ),
    "OUT_OF_RANGE": Explained(
        "The value is smaller or larger than this setting allows.",
        "Choose a value within the limits shown.",
        "- tracking_open: {interval_secs: 10}",
    ),
    "BAD_NUMBER": Explained(
        "The number cannot be used: endless, not a number, far too long, or not in ordinary digits.",
        "Write it in ordinary digits with a point for decimals.",
        "size: 0.05",
    ),
    "BAD_DURATION": Explained(
        "The time cannot be read.",
        "Write seconds as a number, or a number with ms, s, m or h right behind it.",
        "- wait: {secs: 2m}",
    ),
    "BAD_SIZE": Explained(
        "The size cannot be read.", "Write min, a number of tokens, or a worth such as 25 USD.", "size: 25 USD"
    ),
    "BAD_NAME": Explained(
        "The name has letters that may not stand in it.",
        "Symbols are capital letters and digits (SOL); other names are small letters, digits and _.",
        "symbol: SOL",
    ),
    "DUPLICATE_VENUE": Explained(
        "An exchange is named twice, and each plays once.", "Name it once.", "venues: [backpack, okx]"
    ),
    "EMPTY_LIST": Explained("The list has nothing in it.", "Add at least one line.", "steps:\n  - market_open"),
    "INPUT_MISSING": Explained(
        "An input has no default and nobody set it.",
        "Set it on the command line, or give it a default.",
        "runner play my.yaml --set hold=20s",
    ),
    "INPUT_VALUE": Explained(
        "The value of an input does not fit: outside its limits, of another kind, or not usable where it is used.",
        "Choose a value within the limits shown.",
        "runner play my.yaml --set hold=20s",
    ),
    "INPUT_DEFINITION": Explained(
        "An input is described in a way that contradicts itself.",
        "min and max belong to durations and numbers; a choice needs its choices.",
        "inputs:\n  pace: {type: choice, choices: [slow, fast], default: slow}",
    ),
    "SET_SYNTAX": Explained(
        "--set wants a name, an equals sign and a value.",
        "Write them without spaces, or put the whole in quotes.",
        "--set hold=20s",
    ),
    "UNKNOWN_FLAG": Explained(
        "The command has no flag of this name.",
        "Check the spelling; `runner play --help` lists the flags of play, and so on.",
        "runner play my.yaml --speed 10",
    ),
    "FLAG_VALUE": Explained(
        "A flag has a value that it cannot take, or a word that the command needs is missing.",
        "Write what the message says is expected.",
        "runner play my.yaml --seed 7",
    ),
    "MIN_OVER_MAX": Explained(
        "The smaller limit is larger than the larger one.",
        "Swap the two, or change one of them.",
        "- random_wait: {min_secs: 1, max_secs: 30}",
    ),
    "SECRET_IN_FILE": Explained(
        "A key or password stands in a scenario. Scenarios are shared and end up in reports, so secrets may not.",
        "Remove it, hand it over through the environment, and replace the key: it may have been seen.",
        "export BACKPACK_API_SECRET=...",
    ),
}
"""Every code a scenario check can give, and its page."""
