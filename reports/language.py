"""
The reader's language. English is the key: a phrase that a language lacks is shown in English, never left out.

Only words are translated. What an exchange said, codes, names of files and everything that proves something stay as
they were recorded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Final

from core.clock import iso_utc
from core.words import counted
from reports.chinese import MOVES, PHRASES, SENTENCES
from reports.text import Markdown, cell

LANGUAGES: Final = ("en", "zh")
_GROUPS: Final = re.compile(r"(?<=\d)(?=(?:\d{3})+$)")
# Where the sentence of one exchange ends and that of the next begins.
_NEXT_PLAY: Final = re.compile(r"; (?=\w+ (?:was|is|could|failed|played) )")
_SENTENCES: Final = {"en": (), "zh": tuple((re.compile(pattern), words) for pattern, words in SENTENCES)}


class Tongue:
    """One language: phrases of the report, numbers, moments and lengths of time in its form."""

    def __init__(self, code: str) -> None:
        self.code = code
        self._phrases: Mapping[str, str] = PHRASES if code == "zh" else {}

    def __call__(self, english: str, /, **values: object) -> Markdown:
        """A phrase of ours as Markdown; the values in it are escaped."""
        return Markdown(self._phrase(english).format(**{name: cell(value) for name, value in values.items()}))

    def line(self, english: str, /, **values: object) -> str:
        """A phrase as plain text; whoever shows it escapes it."""
        return self._phrase(english).format(**values)

    def _phrase(self, english: str) -> str:
        return self._phrases.get(english, english)

    def told(self, sentence: str) -> str:
        """A sentence of the engine; one that is not known, a venue's own words for instance, stays as it is."""
        if self.code == "zh" and sentence in MOVES:
            return MOVES[sentence]
        plays = _NEXT_PLAY.split(sentence.removesuffix("."))
        if len(plays) == 1:
            return self._told(sentence) or self._pieces(sentence)
        told = [self._told(play) or self._pieces(play) for play in plays]
        return sentence if told == plays else self._phrase("; ").join(told)

    def _pieces(self, sentence: str) -> str:
        """The parts of a sentence that are known, in their own words; the whole as it is when none is."""
        parts = sentence.removesuffix(".").split("; ")
        known = [self._told(part) for part in parts]
        if len(parts) == 1 or all(part is None for part in known):
            return sentence
        return self._phrase("; ").join(told or part for told, part in zip(known, parts, strict=True))

    def _told(self, sentence: str) -> str | None:
        for pattern, words in _SENTENCES[self.code]:
            match = pattern.fullmatch(sentence)
            if match:
                return words.format(*(self._told(group) or group for group in match.groups("")))
        return None

    def counted(self, number: int, noun: str) -> str:
        """``1 order``, ``2 orders``, ``2 笔订单``."""
        if self.code == "zh":
            return self._phrase(f"{{n}} {noun}").format(n=number)
        return counted(number, noun)

    def moment(self, ms: int | None) -> str | None:
        """``2026-01-05 17:45:03.120 UTC``, ``2026年1月5日 17:45:03.120 UTC``."""
        if ms is None:
            return None
        iso = iso_utc(ms)
        day = iso[:10]
        if self.code == "zh":
            day = f"{day[:4]}年{int(day[5:7])}月{int(day[8:])}日"
        return f"{day} {iso[11:23]} UTC"

    def secs(self, ms: int | None) -> str | None:
        """A length of time: ``0.120 s``."""
        return None if ms is None else f"{Decimal(ms) / 1000:.3f} {self._phrase('s')}"

    def number(self, text: str | None) -> str | None:
        """A decimal text with its thousands apart from five digits on: ``11,330.665``."""
        if text is None:
            return None
        whole, point, rest = text.partition(".")
        return (_GROUPS.sub(",", whole) if len(whole.lstrip("-+")) >= 5 else whole) + point + rest


def clock(ms: int | None) -> str | None:
    """``17:45:03.120``, UTC; the heads of the tables say so."""
    return None if ms is None else iso_utc(ms)[11:23]


@cache
def tongue(code: str) -> Tongue:
    """The language with this code: en or zh."""
    return Tongue(code)
