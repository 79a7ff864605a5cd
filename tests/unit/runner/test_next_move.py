"""A play ends by naming the report and the next thing to try; the command it names works as it stands."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from runner.playing import ending_words
from tests.e2e.virtual import FIRST, Played, play

TEXT = f"""
scenario: next_move
title: Look and leave
venues: [{FIRST}]
symbol: SOL
steps:
  - assert_flat
"""
SIMS = ("--sims", "sims.json")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(TEXT, tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize(
    ("command", "verdict", "last"),
    [
        (("play", "x.yaml"), "accepted", "` shows what a real run would do."),
        (("recover", *SIMS), "accepted", "Report: runs/r/report.html"),
        (("play", "x.yaml"), "not_proven_flat", "so nothing is left to close. Next: read the report"),
        (("play", "x.yaml", *SIMS), "not_proven_flat", "close with: runner recover --sims sims.json"),
        (("play", "x.yaml", "--sims=sims.json"), "not_proven_flat", "close with: runner recover --sims=sims.json"),
        (("recover", *SIMS), "interrupted", "Next: runner recover --sims sims.json"),
        (("play", "x.yaml", *SIMS), "interrupted", " --sims sims.json"),
    ],
)
def test_the_last_line_names_a_command_that_works(command, verdict, last, played):
    """[client] Simulators on their own are named again; a recovery is not told to go live."""
    outcome = msgspec.structs.replace(played.outcome, on="sim", verdict=verdict, command=("runner", *command))
    lines = ending_words(outcome, Path("runs/r")).splitlines()
    assert "Report: runs/r/report.html" in lines
    assert lines[-1].endswith(last)
