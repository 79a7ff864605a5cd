"""
Values as people write them (`30s`, `25 USD`, `min`, `true`) read by the kind a schema gives them, and worded.

One reader for values in files and for values of inputs, so both are refused with the same words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias

from core.precision import plain
from core.words import counted
from runner.scenario import SizeSpec

Facts: TypeAlias = Mapping[str, Any]
"""The schema of one setting."""
Plain: TypeAlias = bool | int | float | str | None

MAX_NUMBER_LENGTH: Final = 40
_INTEGER: Final = re.compile(r"[-+]?[0-9]+")
_NUMBER: Final = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]{1,4})?")
_ENDLESS: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_OTHER_DIGITS: Final = re.compile(r"[-+]?0[xo][0-9a-fA-F]+")
_INPUT: Final = re.compile(r"\$([a-z][a-z0-9_]*)")
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_USD: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) USD")
# Compiled when something is wrong, so that sound files do not pay for them.
_SLACK_DURATION: Final = r"([0-9]+(?:\.[0-9]+)?)\s*([a-zµ]+)"
_SLACK_USD: Final = r"(?i)(?:\$|USD[CT]?|dollars?)?\s*([0-9]+(?:[.,][0-9]+)?)\s*(?:\$|USD[CT]?|dollars?)?"
_SECONDS: Final = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
_UNIT_WORDS: Final = {
    **dict.fromkeys(("ms", "msec", "msecs", "milli", "millis", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
}
_YES: Final = frozenset({"yes", "y", "on", "true"})
_NO: Final = frozenset({"no", "n", "off", "false"})
_SAME: Final = {
    **dict.fromkeys(("long", "bid"), "buy"),
    **dict.fromkeys(("short", "ask"), "sell"),
    **dict.fromkeys(("perps", "perpetual", "perpetuals", "swap", "future", "futures"), "perp"),
}


class BadValue(Exception):
    """A value that cannot stand where it stands, in words for its writer."""

    def __init__(self, code: str, message: str, expected: str, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.expected = expected
        self.suggestion = suggestion


def read_scalar(text: str) -> Plain:
    """
    An unquoted word of YAML 1.2: nothing, true or false, a number, else the text itself.

    Raises:
        BadValue: BAD_NUMBER for endless, overlong or non-decimal numbers.
    """
    if text in {"", "~", "null", "Null", "NULL"}:
        return None
    if text in {"true", "True", "TRUE"}:
        return True
    if text in {"false", "False", "FALSE"}:
        return False
    if _NUMBER.fullmatch(text):
        # Python refuses texts of more than 4300 digits, so the length comes first.
        if len(text) > MAX_NUMBER_LENGTH or not -18 <= Decimal(text).adjusted() <= 15:
            raise BadValue("BAD_NUMBER", "This number is too long to be used.", "a number of at most 15 digits")
        return int(text) if _INTEGER.fullmatch(text) else float(text)
    if _ENDLESS.fullmatch(text):
        raise BadValue("BAD_NUMBER", "This is not a number one can count with.", "an ordinary number such as 0.05")
    if _OTHER_DIGITS.fullmatch(text):
        ordinary = str(int(text, 0)) if len(text) <= 12 and re.fullmatch(r"0x.+|0o[0-7]+", text) else None
        raise BadValue("BAD_NUMBER", "Numbers are written in ordinary digits.", "digits from 0 to 9", ordinary)
    return text


def input_name(value: Plain) -> str | None:
    """``"hold"`` for ``"$hold"``; None for anything else."""
    if isinstance(value, str) and value.startswith("$") and (match := _INPUT.fullmatch(value)):
        return match[1]
    return None


def read_value(key: str, value: Plain, text: str, facts: Facts) -> Any:
    """
    The value of setting ``key`` as the engine wants it: float seconds, int, Decimal, SizeSpec, bool or str.

    Args:
        text: Exactly as written, so that no decimal is lost.
        facts: The setting's schema: kind, limits, choices.

    Raises:
        BadValue: with the reader's words.
    """
    return _READERS[facts["kind"]](key, value, text, facts)


def expected(facts: Facts) -> str:
    """What a setting takes, in words."""
    kind = facts["kind"]
    if kind == "duration":
        return f"a time{_limits(facts, show_secs)}, such as 10, 10s or 2m"
    if kind == "integer":
        return f"a whole number{_limits(facts, plain)}"
    if kind == "decimal":
        return f"a number{_limits(facts, plain)}"
    if kind == "choice":
        return either(choices(facts))
    return _EXPECTED[kind]


_EXPECTED: Final = {
    "quantity": "a number that is not negative, or filled",
    "size": "min, a number above 0 such as 0.05, or a worth such as 25 USD",
    "yes_no": "true or false",
    "text": "a text",
    "name": "small letters, digits, - and _, at most 64, such as e2e_all",
    "symbol": "the token in capital letters, such as SOL",
    "venue": "the name of an exchange, such as backpack",
    "venues": "all, or a list such as [backpack]",
    "any": "a number, a word, true or false",
    "group": "settings, such as {name: value}",
    "list": "a list: lines that start with a dash, or [a, b]",
    "step": "a step, such as - market_close or - wait: {secs: 10}",
}


def either(words: Iterable[str]) -> str:
    """``"a, b or c"``."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def choices(facts: Facts) -> tuple[str, ...]:
    """The words a choice allows."""
    for branch in (facts, *facts.get("anyOf", ())):
        if "enum" in branch:
            return tuple(branch["enum"])
    return ()


def show_secs(secs: Decimal | float) -> str:
    """Seconds as people say them: ``90 s``, ``2 min``, ``24 h``."""
    value = Decimal(str(secs))
    if value >= 3600 and value % 3600 == 0:
        return f"{plain(value / 3600)} h"
    if value >= 120 and value % 60 == 0:
        return f"{plain(value / 60)} min"
    return f"{plain(value)} s"


def show(value: Any, facts: Facts) -> str:
    """A resolved value as people say it."""
    if facts["kind"] == "duration":
        return show_secs(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, SizeSpec) and value.kind == "min":
        return "the smallest size"
    if facts.get("unit") == "orders":
        return counted(value, "order")
    return str(value)


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The one of ``candidates`` that ``word`` was probably meant to be: one or two slips, or its clear beginning."""
    tidy = re.sub(r"[\s-]+", "_", word.strip().casefold())
    words = list(candidates)
    if _SAME.get(tidy) in words:
        return _SAME[tidy]
    allowed = 2 if len(tidy) > 4 else 1
    best = min(((_slips(tidy, other.casefold(), allowed), other) for other in words), default=(allowed + 1, ""))
    if best[0] <= allowed:
        return best[1]
    begun = [other for other in words if len(tidy) >= 4 and other.startswith(tidy)]
    return begun[0] if len(begun) == 1 else None


def _slips(one: str, two: str, limit: int) -> int:
    """Letters changed, lost, added or swapped between two words; anything above ``limit`` may be rounded up."""
    if abs(len(one) - len(two)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(two) + 1))
    for i, a in enumerate(one, 1):
        before, last, row = row, before, [i]
        for j, b in enumerate(two, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == two[j - 2] and one[i - 2] == b:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]


def _limits(facts: Facts, say: Callable[[Decimal], str]) -> str:
    low, above, high = (_limit(facts, name) for name in ("minimum", "exclusiveMinimum", "maximum"))
    if above is not None:
        return f" above {say(above)}"
    if low is not None and high is not None:
        return f" from {say(low)} to {say(high)}"
    return f" of at least {say(low)}" if low is not None else f" of at most {say(high)}" if high is not None else ""


def _limit(facts: Facts, name: str) -> Decimal | None:
    value = facts.get(name)
    return None if value is None else Decimal(str(value))


def _within(key: str, number: Decimal, facts: Facts) -> Decimal:
    low, above, high = (_limit(facts, name) for name in ("minimum", "exclusiveMinimum", "maximum"))
    if (low is not None and number < low) or (above is not None and number <= above):
        raise BadValue("OUT_OF_RANGE", f"{key} is too small.", expected(facts))
    if high is not None and number > high:
        raise BadValue("OUT_OF_RANGE", f"{key} is too large.", expected(facts))
    return number


def _quoted_number(text: str) -> str | None:
    """The number that stands in quotes by mistake."""
    return text.strip() if len(text) <= MAX_NUMBER_LENGTH and _NUMBER.fullmatch(text.strip()) else None


def _is_number(value: Plain) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _duration(key: str, value: Plain, text: str, facts: Facts) -> float:
    if _is_number(value):
        return float(_within(key, Decimal(text), facts))
    if not isinstance(value, str):
        raise BadValue("WRONG_TYPE", f"{key} takes a time.", expected(facts))
    if len(text) <= MAX_NUMBER_LENGTH:
        if match := _DURATION.fullmatch(text):
            return float(_within(key, Decimal(match[1]) * _SECONDS[match[2]], facts))
        if text.startswith("-") and _DURATION.fullmatch(text[1:]):
            raise BadValue("OUT_OF_RANGE", f"{key} is too small.", expected(facts))
    raise BadValue("BAD_DURATION", f"{key} is not a time that can be read.", expected(facts), _mended_duration(text))


def _mended_duration(text: str) -> str | None:
    tidy = text.strip().lower().replace(",", ".")
    if quoted := _quoted_number(tidy):
        return quoted
    parts = re.findall(_SLACK_DURATION, tidy[:MAX_NUMBER_LENGTH])
    units = [_UNIT_WORDS.get(unit) for _, unit in parts]
    if not parts or None in units or re.sub(r"\s|and", "", re.sub(_SLACK_DURATION, "", tidy)):
        return None
    if len(parts) == 1:
        return f"{parts[0][0]}{units[0]}"
    return plain(sum((Decimal(n) * _SECONDS[u] for (n, _), u in zip(parts, units, strict=True) if u), Decimal(0))) + "s"


def _integer(key: str, value: Plain, text: str, facts: Facts) -> int:
    if not _is_number(value):
        raise BadValue("WRONG_TYPE", f"{key} takes a whole number.", expected(facts), _quoted_number(text))
    number = Decimal(text)
    if number != int(number):
        raise BadValue("WRONG_TYPE", f"{key} takes a whole number.", expected(facts))
    return int(_within(key, number, facts))


def _decimal(key: str, value: Plain, text: str, facts: Facts) -> Decimal:
    if not _is_number(value):
        raise BadValue("WRONG_TYPE", f"{key} takes a number.", expected(facts), _quoted_number(text))
    return _within(key, Decimal(text), facts)


def _quantity(key: str, value: Plain, text: str, facts: Facts) -> Decimal | str:
    if value == "filled":
        return "filled"
    if isinstance(value, str) and (near := nearest(value, ["filled"])):
        raise BadValue("UNKNOWN_CHOICE", f"{key} takes a number or the word filled.", expected(facts), near)
    return _decimal(key, value, text, facts)


def _size(key: str, value: Plain, text: str, facts: Facts) -> SizeSpec:
    if _is_number(value):
        return SizeSpec("base", _within(key, Decimal(text), facts))
    if value == "min":
        return SizeSpec("min")
    if not isinstance(value, str):
        raise BadValue("WRONG_TYPE", f"{key} takes a size.", expected(facts))
    if len(text) <= MAX_NUMBER_LENGTH and (match := _USD.fullmatch(text)):
        return SizeSpec("usd", _within(key, Decimal(match[1]), facts))
    raise BadValue("BAD_SIZE", f"{key} is not a size that can be read.", expected(facts), _mended_size(text))


def _mended_size(text: str) -> str | None:
    tidy = text.strip()
    if tidy.casefold() in {"min", "minimum", "minimal", "smallest"}:
        return "min"
    if len(tidy) > MAX_NUMBER_LENGTH:
        return None
    if (quoted := _quoted_number(tidy)) or (quoted := _quoted_number(tidy.replace(",", "."))):
        return quoted
    if match := re.fullmatch(_SLACK_USD, tidy):
        return f"{match[1].replace(',', '.')} USD"
    if match := re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*[A-Za-z]{2,8}", tidy):
        return match[1]
    return None


def _yes_no(key: str, value: Plain, text: str, facts: Facts) -> bool:
    if isinstance(value, bool):
        return value
    word = text.casefold()
    mended = "true" if word in _YES or value == 1 else "false" if word in _NO or (value == 0 and text) else None
    raise BadValue("WRONG_TYPE", f"{key} takes true or false.", expected(facts), mended)


def _choice(key: str, value: Plain, text: str, facts: Facts) -> str:
    words = choices(facts)
    if value in words and isinstance(value, str):
        return value
    near = nearest(text, words)
    raise BadValue("UNKNOWN_CHOICE", f"{key} takes only certain words.", either(words), near)


def _text(key: str, value: Plain, text: str, facts: Facts) -> str:
    if not isinstance(value, str):
        quoted = f'"{text}"' if value is not None else None
        raise BadValue("WRONG_TYPE", f"{key} takes a text.", expected(facts), quoted)
    if len(text) < facts.get("minLength", 0):
        raise BadValue("WRONG_TYPE", f"{key} is empty.", expected(facts))
    if len(text) > (longest := facts.get("maxLength", 1000)):
        raise BadValue("OUT_OF_RANGE", f"{key} is too long.", f"at most {longest} letters")
    if "pattern" in facts and not re.fullmatch(facts["pattern"], text):
        wanted = "small letters, digits and _, beginning with a letter"
        raise BadValue("BAD_NAME", f"{key} has letters that may not stand in it.", wanted, _mended_name(text))
    return text


def _mended_name(text: str) -> str | None:
    tidy = re.sub(r"[^a-z0-9_-]+", "_", text.strip().lower())[:64].strip("_-")
    return tidy or None


def _name(key: str, value: Plain, text: str, facts: Facts) -> str:
    if not isinstance(value, str):
        raise BadValue("WRONG_TYPE", f"{key} takes a name.", expected(facts), f'"{text}"' if text else None)
    if not re.fullmatch(facts["pattern"], text):
        mended = _mended_name(text)
        raise BadValue("BAD_NAME", f"{key} has letters that may not stand in it.", expected(facts), mended)
    return text


def _symbol(key: str, value: Plain, text: str, facts: Facts) -> str:
    if not isinstance(value, str):
        raise BadValue("WRONG_TYPE", f"{key} takes the name of a token.", expected(facts))
    if re.fullmatch(facts["pattern"], text):
        return text
    head = re.split(r"[-_/:. ]", text.strip().upper())[0]
    token = re.sub(r"(USDT|USDC|PERP)+$", "", head)
    mended = token if re.fullmatch(facts["pattern"], token) else None
    why = "is an exchange's own name" if mended and token != text.upper() else "is not a token in capital letters"
    raise BadValue("BAD_NAME", f"{key} {why}.", expected(facts), mended)


_READERS: Final[Mapping[str, Callable[[str, Plain, str, Facts], Any]]] = {
    "duration": _duration,
    "integer": _integer,
    "decimal": _decimal,
    "quantity": _quantity,
    "size": _size,
    "yes_no": _yes_no,
    "choice": _choice,
    "text": _text,
    "name": _name,
    "symbol": _symbol,
}
SCALAR_KINDS: Final = frozenset(_READERS)
