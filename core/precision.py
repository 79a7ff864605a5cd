"""
Numbers of money: decimal text ↔ integers on a grid of 10^decimals. No float comes near.

``scaled("140.99", 2) == 14099`` and ``unscaled(14099, 2) == "140.99"``.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal
from typing import Final

# Wide enough for every venue's sizes (Binance quotes 1e9 lots of 1e-8), narrow enough to refuse nonsense.
MAX_DIGITS: Final = 36
# The default context rounds after 28 digits; ours never does within MAX_DIGITS.
_EXACT: Final = Context(prec=4 * MAX_DIGITS)
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_POWERS: Final[tuple[int, ...]] = tuple(10**n for n in range(MAX_DIGITS + 1))


class OffGrid(ValueError):
    """The number does not lie on the grid, or is no finite decimal number at all."""


def power_of_ten(decimals: int) -> int:
    """``10 ** decimals`` for 0 ≤ decimals ≤ 36."""
    return _POWERS[decimals]


def scaled(text: str, decimals: int) -> int:
    """
    A decimal text as an integer number of 10^-decimals.

    Raises:
        OffGrid: not a plain finite decimal, too long, or with more significant decimals than the grid has.
    """
    head, dot, tail = text.partition(".")
    if (
        len(text) <= MAX_DIGITS
        and text.isascii()
        and (head.isdigit() or (head[:1] == "-" and head[1:].isdigit()))
        and (not dot or tail.isdigit())
    ):
        extra = len(tail) - decimals
        if extra <= 0:
            return int(head + tail) * _POWERS[-extra]
        if not tail[decimals:].strip("0"):
            return int(head + tail[:decimals])
        raise OffGrid(f"{text} has more than {decimals} decimals")
    return scaled_decimal(decimal_of(text), decimals)


def scaled_decimal(value: Decimal, decimals: int) -> int:
    """
    A Decimal as an integer number of 10^-decimals.

    Raises:
        OffGrid: not finite, too large, or off the grid.
    """
    if not value.is_finite() or abs(value.adjusted()) > MAX_DIGITS:
        raise OffGrid(f"{value} is not a usable number")
    shifted = value.scaleb(decimals, _EXACT)
    whole = int(shifted)
    if whole != shifted:
        raise OffGrid(f"{value} has more than {decimals} decimals")
    return whole


def unscaled(value: int, decimals: int) -> str:
    """The shortest plain decimal text of ``value`` / 10^decimals: no exponent, no trailing zeros."""
    sign = "-" if value < 0 else ""
    digits = str(abs(value))
    if decimals <= 0:
        return sign + digits + "0" * -decimals if value else "0"
    digits = digits.rjust(decimals + 1, "0")
    tail = digits[-decimals:].rstrip("0")
    return sign + digits[:-decimals] + ("." + tail if tail else "")


def as_decimal(value: int, decimals: int) -> Decimal:
    """``value`` / 10^decimals, exact."""
    return Decimal(value).scaleb(-decimals, _EXACT)


def decimal_of(text: str) -> Decimal:
    """
    A finite Decimal from a text as venues send it (exponents allowed).

    Raises:
        OffGrid: NaN, infinity, not a number, or absurdly long.
    """
    if len(text) > 2 * MAX_DIGITS:
        raise OffGrid("a number of more than 72 characters")
    if not _NUMBER.fullmatch(text):
        raise OffGrid(f"{text!r} is not a finite number")
    return Decimal(text)


def unsigned(text: str, decimals: int) -> int:
    """
    A size or price as :func:`scaled`.

    Raises:
        OffGrid: also when it is below 0.
    """
    value = scaled(text, decimals)
    if value < 0:
        raise OffGrid(f"{text} is below 0")
    return value


def bounded(text: str) -> Decimal:
    """
    A number of a size that people have, as :func:`decimal_of`; any zero is 0.

    Raises:
        OffGrid: also when it is beyond 10^36 or nearer to 0 than 10^-36.
    """
    value = decimal_of(text)
    if not value:
        return Decimal(0)
    if abs(value.adjusted()) > MAX_DIGITS:
        raise OffGrid(f"{text} is out of range")
    return value


def bounded_price(text: str) -> Decimal:
    """
    A price as :func:`bounded`.

    Raises:
        OffGrid: also when it is below 0.
    """
    value = bounded(text)
    if value < 0:
        raise OffGrid(f"{text} is below 0")
    return value


def decimals_of(step: str) -> int:
    """How many decimals a tick or lot has: ``"0.01"`` → 2, ``"10000"`` → 0."""
    exponent = decimal_of(step).normalize().as_tuple().exponent
    assert isinstance(exponent, int)  # decimal_of lets no NaN through
    return max(0, -exponent)


def floor_to(value: int, step: int) -> int:
    """The largest multiple of ``step`` not above ``value``."""
    return value - value % step


def ceil_to(value: int, step: int) -> int:
    """The smallest multiple of ``step`` not below ``value``."""
    return value + -value % step


def plain(value: Decimal) -> str:
    """A Decimal as people write it: no exponent, no trailing zeros, ``-0`` as ``0``."""
    if value == 0:
        return "0"
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
