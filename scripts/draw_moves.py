"""
Draw docs/order.md from the table of moves in ``execution/order.py``.

``python scripts/draw_moves.py`` writes the page; ``--check`` writes nothing and exits 1 when the page is stale.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from execution.order import MOVES, TERMINAL, Cause, State  # noqa: E402 - the checkout must be on the path first

MEANINGS = {
    Cause.ACCEPT: "the venue shows or acknowledges the order",
    Cause.FILL_PART: "a part of it traded",
    Cause.FILL_REST: "the rest of it traded (99.99 % counts as all)",
    Cause.CANCEL: "the venue says that it ended with the rest untraded",
    Cause.REJECT: "the venue says that it was refused or expired at matching",
}

WORDS = """\
# The life of an order

This page is drawn from `MOVES` in `execution/order.py` by `python scripts/draw_moves.py`; do not edit it by hand.
`python scripts/draw_moves.py --check` fails when it is stale.

{diagram}

## Every move there is

| From | Cause | To |
| --- | --- | --- |
{rows}

What the causes mean:

{meanings}

Any other pair of state and cause changes nothing. It is recorded in the order's timeline as `refused_move`, or as
`repeat` when it is merely a word from before the end, or the end told twice.

## Ends

{ends} are ends. An end never reopens. The one way on is CANCELLED → FILLED: a fill that arrives late raises the
quantity, raises an alarm (`LATE_FILL`) and is never dropped. A fill above the order's size is counted too, with the
alarm `OVERFILL`.

FAILED means *proven never live*: the venue refused the order, or lists it nowhere after it could no longer arrive. A
time-out, a server error, an unreadable answer or a broken line never makes an order FAILED.

## Flags are not states

| Flag | Set by | Cleared by | Means |
| --- | --- | --- | --- |
| `in_doubt` | no clear answer to the submit; missing from the open orders after a break; left by an earlier process | \
the venue's next clear word, or a proven end | its fate is unclear: it is looked up by client id, never sent again |
| `cancel_requested` | our request to cancel | never | a cancel is on its way; only the venue's word ends the order |
| `seen_live` | any acknowledgement, order word or trade | never | absence can no longer mean "it never existed" |
| `settled` | a proven end | never | its final cumulative fill is proven: the unfilled part may be used again |

An order is *over* when nothing of it can be live: it has an end that the venue told, or every unit of it traded. An
order that counts as FILLED by the 99.99 % rule alone is not over; its last units are cancelled at settlement. An end
is *proven* when the order is over and distinct trades add up to the venue's own cumulative count.

## Which word counts

* Trades are counted once each, by the venue's trade id. The filled quantity is the larger of the venue's cumulative
  count and the sum of trades; it never falls.
* A word that is older by engine time than what is known moves nothing back. It still counts when it shows more filled,
  or when it tells the end: an end is true at all later times.
* Every input is one line of the timeline `logs/orders/{{venue}}-{{symbol}}-{{coi}}.jsonl`. Feeding the lines to a fresh
  order gives the same final state.
* What a venue says is written at the end of the event loop's turn in which it was heard, by one appender per venue;
  what we do ourselves at once, with all that was heard before. So before an order or a cancel leaves, its line and
  every word before it are with the operating system. A process that is killed can lose no more than the words of its
  last turn, which the venue tells again: never an intent, and never a line about a request that left.
"""


def draw() -> str:
    """The whole page."""
    diagram = ["```mermaid", "stateDiagram-v2", f"    [*] --> {State.SUBMITTING}"]
    diagram += [f"    {before} --> {after}: {cause}" for (before, cause), after in MOVES.items()]
    diagram += [f"    {state} --> [*]" for state in State if state in TERMINAL] + ["```"]
    return WORDS.format(
        diagram="\n".join(diagram),
        rows="\n".join(f"| {before} | `{cause}` | {after} |" for (before, cause), after in MOVES.items()),
        meanings="\n".join(f"* `{cause}`: {MEANINGS[cause]}." for cause in Cause),
        ends=", ".join(state for state in State if state in TERMINAL),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw docs/order.md from the table of moves.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page is stale")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "order.md", help="the page to write or check")
    options = parser.parse_args()
    page, drawn = options.page, draw()
    if options.check:
        if not page.exists() or page.read_text(encoding="utf-8") != drawn:
            print(f"{page.name} is stale: run python scripts/draw_moves.py")
            return 1
        return 0
    page.write_text(drawn, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
