"""Whatever stands in a stream message, a decoder gives sound events or says that it cannot be read."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.forms import sound
from tests.fuzz.mutations import PAGES, mutated, profile
from tests.fuzz.recorded import FIXTURES, frames, knowing
from tests.fuzz.sessions import ROOMS, session
from venues.events import Unreadable

every_room = pytest.mark.parametrize("venue", ROOMS)


def lines(venue: str) -> list[str]:
    return [line.name for line in session(venue).dialect.lines()]


@every_room
@pytest.mark.skipif(not FIXTURES.is_dir(), reason="../shared is not there: no captured messages")
def test_captured_messages_are_read_on_any_line(venue):
    """[venue] Every captured stream message, on every line: sound events, and no surprise."""
    for _, frame in frames(venue):
        for line in lines(venue):
            sound(knowing(venue).decode(line, frame))


@every_room
@pytest.mark.skipif(not FIXTURES.is_dir(), reason="../shared is not there: no captured messages")
@profile(250)
@given(data=st.data())
def test_a_broken_captured_message_is_survived(venue, data):
    """[ours] Dropped, renamed, retyped, huge, negative, deep, cut, no UTF-8: sound events or Unreadable."""
    frame = data.draw(st.sampled_from([frame for _, frame in frames(venue)]))
    broken = data.draw(mutated(frame)).data
    dialect = knowing(venue)
    for line in lines(venue):
        told = dialect.decode(line, broken)
        sound(told)
        # As text it means the same, where it is text.
        with contextlib.suppress(UnicodeDecodeError):
            sound(dialect.decode(line, broken.decode()))


@every_room
@profile(150)
@given(data=st.data())
def test_a_broken_message_of_a_whole_session_is_survived(venue, data):
    """[ours] The same for the messages of a day with orders, fills, positions and answers."""
    line, frame = data.draw(st.sampled_from(session(venue).frames))
    broken = data.draw(mutated(frame)).data
    sound(knowing(venue).decode(line, broken))


@every_room
@pytest.mark.parametrize("page", PAGES, ids=lambda page: repr(page[:12]))
def test_a_page_in_place_of_a_message_is_told_or_means_nothing(venue, page):
    """[ours] HTML, plain text, a byte order mark, an endless list: nothing but Unreadable comes of it."""
    for line in lines(venue):
        told = knowing(venue).decode(line, page)
        sound(told)
        assert all(isinstance(event, Unreadable) for event in told)
