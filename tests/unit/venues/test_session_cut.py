"""A line that is cut in the very moment it comes up (found by whole runs under faults: okx, seed 1674)."""

from __future__ import annotations

from types import SimpleNamespace

from core.chance import Chance
from core.clock import VirtualClock, run_virtual
from venues.dialect import Line
from venues.session import Session, Silence


class Quiet:
    """A link that takes everything."""

    async def send(self, text: str) -> None: ...


def greeted(*, over: bool) -> tuple[bool, list[str]]:
    """A line whose greeting completes, cut meanwhile or not: is it up, and who was told."""
    told: list[str] = []

    async def story() -> bool:
        streams = SimpleNamespace(
            watched={}, talks=SimpleNamespace(now_ms=lambda: 0), line_up=lambda session: told.append(session.line.name)
        )
        dialect = SimpleNamespace(
            login=lambda line, now: (), subscribe=lambda line, symbols, now: ("one",), decode=lambda line, data: ()
        )
        line = Line(name="main", private=True)
        session = Session(line, dialect, None, VirtualClock(), Chance(1), streams, Silence())  # type: ignore[arg-type]
        session._over = over
        await session._greet(Quiet())  # type: ignore[arg-type]
        return session.up

    return run_virtual(story()), told


def test_a_line_cut_while_its_greeting_completes_never_counts_as_up():
    """[ours] Otherwise the account is in step without a stream, and the next loss goes unheard."""
    assert greeted(over=True) == (False, [])


def test_a_line_whose_greeting_completes_is_up():
    """[ours] The control: the same line, not cut."""
    assert greeted(over=False) == (True, ["main"])
