"""What a play's lines of the acceptance table say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from core.words import counted
from runner import story
from runner.outcome import Criterion

if TYPE_CHECKING:
    from runner.play import VenuePlay


def acceptance_of(play: VenuePlay) -> list[Criterion]:
    """This venue's lines of the acceptance table."""
    accept = play.shared.plan.scenario.accept
    lines: list[Criterion] = []

    def line(criterion: str, wanted: str, evidence: str, passed: bool | None) -> None:
        verdict: Literal["passed", "failed", "not_tested"] = (
            "not_tested" if passed is None else "passed" if passed else "failed"
        )
        lines.append(Criterion(criterion=criterion, wanted=wanted, evidence=evidence, verdict=verdict, venue=play.name))

    if accept.round_trip_at_least is not None:
        trips = play.round_trips()
        line(
            "round_trip",
            f"at least {accept.round_trip_at_least}",
            f"{counted(trips, 'round trip')} by the exchange's own trades",
            trips >= accept.round_trip_at_least,
        )
    if accept.flat:
        if play.proof is not None:
            words = story.proof_words(play.proof, play.trade.symbol)
            line("flat", "no position, no open order", words, play.proven_flat)
        else:
            line("flat", "no position, no open order", "nothing was sent", None if play.proven_flat else False)
    if accept.no_unhandled_errors:
        evidence = play.unhandled[0] if play.unhandled else "none"
        line("no_unhandled_errors", "none", evidence, not play.unhandled)
    if accept.logs_complete:
        faults = story.log_faults(play.desk.book.values(), play.shared.timelines)
        faults += [f"events.jsonl: {failure}" for failure in play.shared.events.failures]
        line(
            "logs_complete",
            "every order's timeline replays to its final state",
            faults[0] if faults else f"{counted(len(play.desk.book), 'timeline')} replayed",
            not faults,
        )
    return lines
