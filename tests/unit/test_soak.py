"""The soak's own judgement: what grows is told, and what does not is not."""

from __future__ import annotations

import pytest

from bench.soak import Soak, _leaks, slope
from core.clock import run_virtual


def soaked(bytes_a_play: int, files_a_play: float) -> Soak:
    found = Soak(plays=1_000)
    for step in range(60):
        plays = step * 20
        files = 50 + round(plays * files_a_play)
        found.samples.append((step * 10.0, plays, 100_000_000 + plays * bytes_a_play, files, 300))
    return found


def test_the_slope_is_that_of_the_line():
    """[ours] Least squares over points that lie on one; a single point has none."""
    assert slope([(float(x), 3.0 * x + 7) for x in range(9)]) == pytest.approx(3)
    assert slope([(1.0, 5.0)]) == 0


@pytest.mark.parametrize(
    ("bytes_a_play", "files_a_play", "told"),
    [(0, 0, []), (20_000, 0, ["resident memory grows"]), (0, 0.2, ["open files grow"])],
)
def test_what_grows_with_every_play_is_a_leak(bytes_a_play, files_a_play, told):
    """[ours] Memory and file handles, each told by its own sentence."""

    async def judge() -> list[str]:
        return _leaks(soaked(bytes_a_play, files_a_play), 10_000, 600)

    words = run_virtual(judge())
    assert len(words) == len(told)
    assert all(word.startswith(start) for word, start in zip(words, told, strict=True))


def test_files_left_open_and_broken_promises_are_told():
    """[ours] Also when nothing grew."""
    found = soaked(0, 0)
    found.unhandled.append("run-1 on okx: no_unhandled_errors: planted")

    async def judge() -> list[str]:
        return _leaks(found, 0, 600)

    words = run_virtual(judge())
    assert words[0] == "a promise was broken: run-1 on okx: no_unhandled_errors: planted"
    assert words[1].endswith("files are left open")
