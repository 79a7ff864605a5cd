"""A command line that cannot be read, told in the one shape of all mistakes."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Final

from runner.document import is_secret_value
from runner.mistakes import Mistake, render_text
from runner.values import either, nearest

PLACE: Final = "command line"
_HIDDEN: Final = "•••"


def tell(parser: argparse.ArgumentParser, message: str, argv: Sequence[str]) -> str:
    """
    Args:
        message: What argparse complains of.
        argv: The words behind ``runner``.
    """
    parser = _innermost(parser, argv)
    line = _Line(argv, parser)
    return _text(_mistakes(parser, message, line), line)


def tell_unknown(
    parser: argparse.ArgumentParser,
    argv: Sequence[str],
    code: str,
    what: str,
    word: str,
    known: Iterable[str],
    told: str,
) -> str:
    """
    A word that names nothing, such as a step that does not exist.

    Args:
        argv: The words behind ``runner``.
        what: What the word should name, like ``step``.
        told: What is expected, in words.
    """
    line = _Line(argv, _innermost(parser, argv))
    column, length = line.find(word)
    near = nearest(word, known)
    mistake = _mistake(code, column, length, f"There is no {what} {word}.", word, told, near)
    return _text([mistake], line)


class _Line:
    """The command line as it may be shown: what may be a secret is covered."""

    def __init__(self, argv: Sequence[str], parser: argparse.ArgumentParser) -> None:
        known = {flag for action in parser._actions for flag in action.option_strings}
        shown = ["runner"]
        for index, word in enumerate(argv):
            before = argv[index - 1] if index else ""
            flag, equals, _ = word.partition("=")
            if is_secret_value(word) or (before.startswith("--") and "=" not in before and before not in known):
                shown.append(_HIDDEN)
            elif equals and (flag == "--set" or before == "--set" or (flag.startswith("--") and flag not in known)):
                shown.append(f"{flag}={_HIDDEN}")
            else:
                shown.append(shlex.quote(word))
        self._columns = [sum(len(word) + 1 for word in shown[:index]) + 1 for index in range(len(shown) + 1)]
        self._argv = list(argv)
        self.text = " ".join(shown)

    def find(self, wanted: str) -> tuple[int, int]:
        """Column and length of a word, or of the flag before ``=``; where the line ends when there is none."""
        for index, word in enumerate(self._argv):
            if word == wanted or word.partition("=")[0] == wanted:
                return self._columns[index + 1], len(wanted)
        return len(self.text) + 1, 0

    def value_of(self, flags: Iterable[str]) -> tuple[int, int, str | None]:
        """Column, length and text of the last value behind one of these flags; of the flag when it has none."""
        for index in range(len(self._argv) - 1, -1, -1):
            flag, equals, value = self._argv[index].partition("=")
            if flag not in flags:
                continue
            if equals:
                return self._columns[index + 1] + len(flag) + 1, len(value), value
            if index + 1 < len(self._argv) and not self._argv[index + 1].startswith("--"):
                return self._columns[index + 2], len(self._argv[index + 1]), self._argv[index + 1]
            return self._columns[index + 1], len(flag), None
        return len(self.text) + 1, 0, None


def _mistakes(parser: argparse.ArgumentParser, message: str, line: _Line) -> Iterable[Mistake]:
    argument, _, why = message.removeprefix("argument ").partition(": ")
    if "unrecognized arguments: " in message:
        words = message.partition("unrecognized arguments: ")[2].split()
        flags = [word.partition("=")[0] for word in words if word.startswith("-")]
        known = [flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")]
        for flag in dict.fromkeys(flags or words[:1]):
            near = nearest(flag.lstrip("-"), [each.lstrip("-") for each in known])
            column, length = line.find(flag)
            words_known = either(known) if flags else f"no more words; {parser.prog} --help shows what there is"
            said = f"There is no flag {flag}." if flags else f"{parser.prog} has no use for this word."
            yield _mistake("UNKNOWN_FLAG", column, length, said, flag, words_known, f"--{near}" if near else None)
    elif why.startswith("invalid choice: "):
        wrong = why.removeprefix("invalid choice: ").partition(" (")[0].strip("'\"")
        options = [word.strip(" '") for word in why.partition("choose from ")[2].rstrip(")").split(",")]
        column, length = line.find(wrong)
        if not length:
            column, length, _ = line.value_of(argument.split("/"))
        what = "command" if argument.isupper() else argument
        said = f"There is no {what} {wrong}." if argument.isupper() else f"{what} takes only certain words."
        yield _mistake("UNKNOWN_CHOICE", column, length, said, wrong, either(options), nearest(wrong, options))
    elif "arguments are required: " in message:
        missing = message.partition("required: ")[2]
        yield _mistake("FLAG_VALUE", *line.find(""), f"{parser.prog} needs {missing}.", f"no {missing}", missing)
    elif message.startswith("argument "):
        column, length, value = line.value_of(argument.split("/"))
        said = f"{argument} has no value." if value is None else f"{argument} does not fit."
        yield _mistake("FLAG_VALUE", column, length, said, value or "nothing", why if value else "a value behind it")
    else:
        flag = next(iter(re.findall(r"--[\w-]+", message)), "")
        yield _mistake(
            "UNKNOWN_FLAG", *line.find(flag), f"{message[:1].upper()}{message[1:]}.", flag or None, "one flag"
        )


def _mistake(
    code: str, column: int, length: int, message: str, found: str | None, expected: str, near: str | None = None
) -> Mistake:
    shown = _HIDDEN if found and is_secret_value(found) else found and found[:60]
    return Mistake(
        code, PLACE, 1, column, message if shown == found else "This does not fit.", shown, expected, near, length
    )


def _text(mistakes: Iterable[Mistake], line: _Line) -> str:
    return render_text(list(mistakes), {PLACE: line.text}, 0).rpartition("\n\n")[0] + "\n"


def _innermost(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the command that these words name."""
    for word in argv:
        choices = next((a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)), None)
        if choices is None:
            break
        parser = choices.get(word, parser)
    return parser
