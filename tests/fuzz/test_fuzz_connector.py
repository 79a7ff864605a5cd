"""A bad frame in the middle of a play: recorded, survived, and the play ends flat."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.e2e.virtual import play
from tests.fuzz.mutations import PAGES, mutated, profile
from tests.fuzz.sessions import ROOMS, fork, session
from venues.events import LineRefused, Unreadable

HOME = Path(mkdtemp(prefix="roundtrip-fuzz-"))
SCENARIO = """\
scenario: small
title: Open and close between bad frames
venues: [{venue}]
symbol: SOL
steps:
  - tracking_open: {{interval_secs: 3, timeout_secs: 60}}
  - wait: {{secs: 4}}
  - market_close
accept:
  round_trip: {{at_least: 1}}
  flat: true
"""


def is_bad(venue: str, frame: str) -> bool:
    """Nobody can take it for news: whatever line it comes on, it cannot be read, or it ends the line."""
    dialect = session(venue).dialect
    told = [event for line in dialect.lines() for event in fork(dialect).decode(line.name, frame)]
    return bool(told) and all(isinstance(event, (Unreadable, LineRefused)) for event in told)


def pages(venue: str) -> list[str]:
    return [text for text in (page.decode(errors="replace") for page in PAGES) if is_bad(venue, text)]


@pytest.mark.parametrize("venue", ROOMS)
# A smaller example would take a play each to find.
@settings(profile(6), phases=(Phase.explicit, Phase.generate))
@given(data=st.data())
def test_bad_frames_in_a_play_are_recorded_and_it_ends_flat(venue, data):
    """[ours] Broken messages on every stream while orders are open: UNREADABLE is told, the play is flat in the end."""
    frames = [data.draw(st.sampled_from(pages(venue)))]
    for _ in range(data.draw(st.integers(2, 6))):
        _, frame = data.draw(st.sampled_from(session(venue).frames))
        text = data.draw(mutated(frame, most=2)).data.decode(errors="replace")
        if is_bad(venue, text):
            frames.append(text)
    waits = [data.draw(st.sampled_from((0.01, 0.3, 1.0, 2.5))) for _ in frames]

    async def beside(world):
        await world.until("step")
        gate = world.wire.gates[venue]
        for frame, wait in zip(frames, waits, strict=True):
            await world.clock.sleep(wait)
            for stream in list(gate._streams):
                stream.send(frame)

    folder = HOME / venue
    shutil.rmtree(folder, ignore_errors=True)
    played = play(SCENARIO.format(venue=venue), folder, venues=(venue,), seed=5, beside=beside)
    assert played.world.wire.gates[venue].broken == []
    assert played.world.live() == []
    assert played.world.held(venue) == 0
    assert played.play.position.flat is True
    assert "UNREADABLE" in {notice.code for notice in played.play.errors}
