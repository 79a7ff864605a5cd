"""The pages of B6 (many plays in one process), B7 (what a person waits for) and B8 (what durability costs)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.client import AT_ONCE, LOAD_ORDERS, ORDERS
from bench.laps import Spread
from bench.scale import INTERVAL_SECS, MARKET_PACE, Scale

ROBOT_SECS = 0.43
"""Robot Framework with its reports, a trivial scenario without network: another machine's run."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table of the page, and the empty line behind it."""
    return [*(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)), ""]


def page_b6(told: Sequence[Scale]) -> list[str]:
    few, many = told[0], told[-1]
    head = ["plays", "accepted", "orders", "MiB a play", "core a play", "core its simulator", "cores busy"]
    rows = [
        [
            str(each.plays),
            str(each.accepted),
            f"{each.orders:,}",
            f"{each.bytes_each / 2**20:.2f}",
            f"{each.cpu_each:.2%}",
            f"{each.servers_cpu_each:.2%}",
            f"{each.cores_busy:.2f}",
            f"{each.p50_ms:.0f} / {each.p99_ms:.0f} / {each.worst_ms:.0f}",
        ]
        for each in told
    ]
    return [
        "## B6 Many plays in one process",
        "",
        *table([*head, "interval error p50 / p99 / worst, ms"], rows),
        f"Whole runs - journal, timelines, events, connector, streams - each with an account and a simulator of its"
        f" own, over all five exchanges: a tracking limit that never fills and is posted anew every {INTERVAL_SECS} s."
        f" The simulators' markets move {1 / MARKET_PACE:g} times slower than usual, since all share one machine. Goal:"
        " p99 of at most 50 ms at 200 plays. *Core* is the share of one core for as long as a play lives, its start and"
        " end included. One process has one core: where plays times core a play come near 100%, orders wait for it, and"
        " the interval errors show that."
        f" From {few.plays} to {many.plays:,} plays, the memory of a play changes by"
        f" {many.bytes_each / few.bytes_each - 1:+.0%} and its share of a core by"
        f" {many.cpu_each / few.cpu_each - 1:+.0%}: linear growth is 0%.",
        "",
    ]


def page_b7(play: Spread, report: Spread, load: Mapping[str, Mapping[str, float]]) -> list[str]:
    names = list(next(iter(load.values())))
    rows = [[venue, *(f"{row[name]:,.0f}" for name in names)] for venue, row in load.items()]
    return [
        "## B7 What a person waits for",
        "",
        *table(
            ["work", "seconds, best / median"],
            [
                ["`runner play`, no waits, simulator up, to its report", f"{play.best:.2f} / {play.median:.2f}"],
                [f"report of {ORDERS:,} orders: Markdown, HTML, JUnit", f"{report.best:.2f} / {report.median:.2f}"],
            ],
        ),
        f"The play is a whole process: start, check, connect, open and close at market, proof, reports. Robot Framework"
        f" takes {ROBOT_SECS} s for a trivial scenario with its reports and no exchange. The report's goal: 1 s.",
        "",
        f"Simulators, {LOAD_ORDERS} post-only orders, {AT_ONCE} on their way at once, each side in its own process:",
        "",
        *table(["exchange", *names], rows),
    ]


def page_b8(told: Mapping[str, Spread]) -> list[str]:
    rows = [[name, f"{spread.best * 1e6:,.0f} / {spread.median * 1e6:,.0f}"] for name, spread in told.items()]
    return [
        "## B8 What durability costs",
        "",
        *table(["one write", "microseconds, best / median"], rows),
        "On the disk of the checkout. An intent is synced to the disk before its first byte leaves; that is never"
        " traded away, and the disk alone decides what it costs. An order's venue id and its settlement can be told"
        " again by the exchange, so they outlive `kill -9` but wait for the next sync to outlive a loss of power: one"
        " sync an order in place of three. The second line is what plays due in the same moment would pay if they"
        " shared a transaction; it is not used: a run has one order a venue on its way at a time, and between the check"
        " of the caps and the intent nothing else may run.",
        "",
    ]
