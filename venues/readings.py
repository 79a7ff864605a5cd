"""
What the decoders of all venues share.

Texts of a stream that were read before: prices around the best one, sizes of a few lots, client ids that each message
about an order repeats. Each is read and checked once, and then found as it was read.

``UNSIGNED[2]["140.99"] == 14099`` and ``AMOUNTS["-0.0021"] == Decimal("-0.0021")``. A text that is no such number
raises :class:`core.precision.OffGrid` each time and is not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from typing import Annotated, Final, TypeAlias, TypeVar

import msgspec

from core.precision import MAX_DIGITS, bounded, bounded_price, unsigned
from venues.errors import WireError

T = TypeVar("T")

# 9999-12-31: later times are no times.
MAX_MS: Final = 253_402_300_799_999
Millis: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_MS)]
"""Unix milliseconds as a number."""
EXCERPT_CHARS: Final = 500
BROKEN: Final = (msgspec.MsgspecError, ValueError, ArithmeticError, LookupError, RecursionError)
"""Everything that bytes from outside can make a decoder raise."""

KEPT: Final = 4_096
"""Texts of one reading that are remembered; one more, and all are forgotten and learned anew."""
_LONGEST: Final = 64


class Readings(dict[str, T]):
    """What each text was read as by ``read``, which depends on nothing but the text."""

    __slots__ = ("_read",)

    def __init__(self, read: Callable[[str], T]) -> None:
        self._read = read

    def __missing__(self, text: str) -> T:
        value = self._read(text)
        if len(self) >= KEPT:
            self.clear()
        if len(text) <= _LONGEST:
            self[text] = value
        return value


UNSIGNED: Final[Sequence[Readings[int]]] = tuple(
    Readings(partial(unsigned, decimals=decimals)) for decimals in range(MAX_DIGITS + 1)
)
"""By the number of decimals: sizes and prices on that grid, as :func:`core.precision.unsigned`."""
AMOUNTS: Final[Readings[Decimal]] = Readings(bounded)
"""Fees, balances and positions off any grid, as :func:`core.precision.bounded`."""
PRICES: Final[Readings[Decimal]] = Readings(bounded_price)
"""Prices of trades, as :func:`core.precision.bounded_price`."""


def excerpt(data: str | bytes) -> str:
    """The beginning of a message as text that any file can hold."""
    raw = data if isinstance(data, bytes) else data[:EXCERPT_CHARS].encode(errors="replace")
    return raw[:EXCERPT_CHARS].decode(errors="replace")


@contextmanager
def reading(venue: str, what: str, body: str | bytes | None) -> Iterator[None]:
    """
    Read an answer of this venue; ``body`` None: nothing of it is repeated in the error.

    Raises:
        WireError: UNREADABLE - for whatever the block raises about bytes from outside.
    """
    try:
        yield
    except BROKEN as broken:
        hint, raw = f"{venue}'s {what} cannot be read", ""
        if body is not None:
            hint, raw = f"{hint}: {str(broken)[:200] or type(broken).__name__}", excerpt(body)
        raise WireError("UNREADABLE", hint, raw=raw) from broken
