"""
Run every bench in one process tree and write ``docs/PERFORMANCE.md`` and a line of ``bench/history.jsonl``::

    make bench                            # or: python -m bench.page
    python -m bench.page --only B2,B5     # prints these parts, writes nothing

Nothing here asserts a time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench import apply_stream, build_and_sign, floor, round_trip, start_up
from bench.laps import Spread, Spreads, now
from bench.venues_at_hand import NAMES, ROOT, AtHand, simulators
from core.clock import SystemClock, iso_utc

PAGE = ROOT / "docs" / "PERFORMANCE.md"
HISTORY = ROOT / "bench" / "history.jsonl"
ROUNDS: Mapping[str, int] = {"B1": 15, "B2": 9, "B3": 12, "B4": 7, "B5": 15}
PARTS = tuple(ROUNDS)

Ratios = dict[str, float]
Lines = list[str]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Lines:
    return [
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
    ]


def micros(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return " / ".join(_three(value * 1e6) for value in (spread.best, spread.median))


def _three(value: float) -> str:
    """Three figures, thousands apart."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio(mine: Spread | None, other: Spread | None) -> str:
    return "-" if mine is None or other is None else _three(mine.best / other.best)


def verdict(value: float | None, goal: float) -> str:
    if value is None:
        return "not measured"
    return "met" if value <= goal else "**missed**"


def worst_doubt(parts: Iterable[Spreads]) -> str:
    return f"{max(spread.doubt for part in parts for spread in part.values()):.0%}"


def page_b1(told: Mapping[str, Spreads], compared: Sequence[str], ratios: Ratios) -> Lines:
    rows = []
    for venue, spreads in told.items():
        mine, bare = spreads["ours"], spreads.get("floor")
        value = mine.best / bare.best if bare else None
        goal = build_and_sign.GOALS[venue]
        if value is not None:
            ratios[f"B1 {venue} ours/floor"] = value
        rows.append(
            [
                venue,
                micros(spreads.get("signature alone")),
                micros(bare),
                micros(mine),
                micros(spreads.get("SDK")),
                micros(spreads.get("ccxt")),
                ratio(mine, bare),
                f"<= {goal:g}: {verdict(value, goal)}",
                ratio(spreads.get("SDK"), mine),
                ratio(spreads.get("ccxt"), mine),
            ]
        )
    head = [
        "venue",
        "signature alone",
        "floor",
        "ours",
        "SDK",
        "ccxt",
        "ours / floor",
        "goal",
        "SDK / ours",
        "ccxt / ours",
    ]
    vectors = (
        f"compared with the SDKs' own signatures first: {', '.join(compared)}"
        if compared
        else "NOT compared with the SDKs' vectors: `../shared/fixtures` is missing"
    )
    return [
        "## B1 Build and sign a post-only limit order",
        "",
        *table(head, rows),
        "Inside the loop: a fresh client id and one of ten prices; scaled integers to text, the dialect's checks, its"
        " memory of what was sent, the clock, the encoder, the signature. Ours is `Dialect.place` (and `sign`, where"
        " the request is REST). Not inside: the market's grid (`Market.check`), risk and journal.",
        "",
        f"The floor's primitives are {vectors}. Then floor and ours must give the same bytes, signature included"
        " (Lighter: the same order, as its signatures are random).",
        "",
        "- Form: Backpack and OKX as REST calls (on OKX's stream an order carries no signature), the others as stream"
        " frames. ccxt and the SDKs build REST requests; they run unmodified up to where they would send.",
        "- What limits us: on Backpack and Hyperliquid the signature (second column). On Binance and OKX it is small,"
        " and the rest is formatting: parameters are collected, sorted and joined, or text made of times and decimals,"
        " at every order, though only client id, price, size and time change.",
        "- Lighter: the floor is the venue's native signer, called from a second thread (on the main thread it reads"
        " the process's memory map at each call, which ccxt and the SDK pay); ours is the same signature in plain"
        " Python, because the library is no dependency of ours. The part of a Schnorr signature that knows no message"
        " - a fresh nonce and its point - is made between orders, 16 ahead, each used once. An order that finds none"
        f" ready takes {micros(told['lighter'].get('nothing ahead'))}.",
        f"- Spread: the median lies up to {worst_doubt(told.values())} above the best.",
        "",
    ]


def page_b2(told: Mapping[str, Spreads], ratios: Ratios) -> Lines:
    steps = ("decode", "decode + Order.apply", "hear", "hear + timeline")
    rows = []
    for venue, spreads in told.items():
        bare = spreads["floor"]
        plain, full = (spreads[name].best / bare.best for name in steps[2:])
        ratios[f"B2 {venue} hear/floor"] = plain
        ratios[f"B2 {venue} timeline/floor"] = full
        rows.append(
            [
                venue,
                micros(bare),
                *(micros(spreads[name]) for name in steps),
                f"{_three(plain)}, <= 4: {verdict(plain, 4)}",
                f"{_three(full)}, <= 10: {verdict(full, 10)}",
            ]
        )
    shares = [
        [
            venue,
            *(
                f"{(spreads[name].best - before) / spreads['hear + timeline'].best:.0%}"
                for name, before in zip(steps, [0.0, *(spreads[name].best for name in steps)], strict=False)
            ),
        ]
        for venue, spreads in told.items()
    ]
    head = ["venue", "floor", *steps, "hear / floor", "with timeline / floor"]
    return [
        "## B2 Apply a private order or fill message",
        "",
        *table(head, rows),
        f"Inside the loop: {apply_stream.ORDERS:,} orders, {apply_stream.LIVE} live at a time, four messages each"
        " (resting, then filled in parts), every tenth order with one trade told twice. The floor decodes the fields it"
        " needs and updates a dict with the trade ids seen: no price, fee, position or history. *decode* is"
        " `Dialect.decode`; *hear* is the listener that a connector calls: positions, `Orders.hear`, `Order.apply`;"
        " *timeline* adds one line a message to the order's file, handed to the operating system before the call"
        " returns. Every order's final state, sum of trades and cumulative fill are checked after each lap,"
        " in all contestants that keep them.",
        "",
        "Not inside: the acknowledgement that comes before the stream (intent, client id and venue id are journalled"
        " there), opening and closing of timeline files, log lines (level WARNING).",
        "",
        "Where the time goes, as a share of the last column of times:",
        "",
        *table(["venue", "decode", "+ Order.apply", "+ Orders.hear, positions", "+ writing the line"], shares),
        "- *hear* without a timeline still encodes the line: `Timelines.add` encodes before it asks whether a file is"
        " wanted. So the third share holds the encoding, the fourth the write alone.",
        "- A message of ours becomes up to two events (order and fill), each a frozen struct, each an entry of the"
        " order's history.",
        f"- Spread: the median lies up to {worst_doubt(told.values())} above the best.",
        "- Not measured here: ccxt.pro, hummingbot, nautilus.",
        "",
    ]


def page_b5(told: Mapping[str, Spreads], ratios: Ratios) -> Lines:
    rows = []
    for venue, spreads in told.items():
        value = spreads["ours"].best / spreads["floor"].best
        ratios[f"B5 {venue} ours/floor"] = value
        rows.append(
            [venue, micros(spreads["floor"]), micros(spreads["ours"]), _three(value), f"<= 2: {verdict(value, 2)}"]
        )
    return [
        "## B5 Book message to (bid_i, ask_i)",
        "",
        *table(["venue", "floor", "ours", "ours / floor", "goal"], rows),
        "Inside the loop: text to `BookSeen`, of which both integers are read. The floor decodes two texts and drops"
        " their points; ours also looks up the market, checks both numbers against its grid, reads sequence and time,"
        " and makes the event. Both give the same integers (the first 100 messages are compared).",
        "",
        f"Spread: the median lies up to {worst_doubt(told.values())} above the best.",
        "",
    ]


def page_b3(told: Spreads, ratios: Ratios) -> Lines:
    bare, other, mine = told["raw HTTP"], told["ccxt async"], told["ours"]
    value = mine.best / other.best
    ratios["B3 ours/ccxt"], ratios["B3 ours/raw"] = value, mine.best / bare.best
    rows = [[name, micros(spread), ratio(spread, bare), ratio(spread, other)] for name, spread in told.items()]
    return [
        "## B3 Order round trip on loopback (p50)",
        "",
        *table(["client", "us", "x raw HTTP", "x ccxt"], rows),
        f"Goal, REST at most 0.75 x ccxt: {verdict(value, 0.75)} ({_three(value)}).",
        "",
        f"Each round is {round_trip.ORDERS} orders one after the other, and its p50 is the figure; shown are the best"
        " and the median of the rounds. The server is our Backpack simulator in a process of its own; its share is in"
        " every line and at most *raw HTTP* (one kept asyncio connection, the floor of B1, the answer not parsed)."
        " Inside ours: `Connector.submit_limit_order`, with its checks, signature, httpx, and the answer read"
        " into an order event. Inside ccxt's: `create_order` over aiohttp, its rate limiter off, the answer parsed. Our"
        " streams are up meanwhile and hear each order, ccxt has none.",
        "",
        f"- What limits us: *httpx alone* sends the floor's request through the client library that ours uses. It takes"
        f" {(told['httpx alone'].best - bare.best) / (mine.best - bare.best):.0%} of what ours takes above raw HTTP;"
        " the rest is the connector, and its stream, which hears the same order on the same event loop.",
        f"- Spread: the median lies up to {worst_doubt([told])} above the best.",
        "- Not measured here: order entry over WebSocket.",
        "",
    ]


def page_b4(told: Spreads, ratios: Ratios) -> Lines:
    bare = told["bare Python"]
    for name in ("runner --help", "runner check, one file"):
        ratios[f"B4 {name}/bare"] = told[name].best / bare.best
    rows = [
        [name, f"{spread.best * 1e3:.0f} / {spread.median * 1e3:.0f}", ratio(spread, bare)]
        for name, spread in told.items()
    ]
    return [
        "## B4 Start-up (ms)",
        "",
        *table(["process", "ms", "x bare Python"], rows),
        "Whole processes from start to end, compiled code kept. The help page imports no library but argparse; a"
        " check is mostly the imports of jsonschema and ruamel.yaml (`python bench/check_speed.py` shows the shares).",
        "",
        f"Spread: the median lies up to {worst_doubt([told])} above the best.",
        "",
    ]


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB of memory"


def run(parts: Sequence[str], *, share: float) -> tuple[Lines, Ratios]:
    """The sections of these parts and their ratios; ``share`` shortens the number of rounds."""
    rounds = {part: max(2, round(count * share)) for part, count in ROUNDS.items()}
    ratios: Ratios = {}
    sections: dict[str, Lines] = {}

    def begin(part: str) -> bool:
        if part in parts:
            print(f"{part} ...", file=sys.stderr, flush=True)
        return part in parts

    if begin("B4"):
        sections["B4"] = page_b4(start_up.measure(rounds["B4"]), ratios)
    if {"B1", "B2", "B5"} & set(parts):
        with simulators(*NAMES) as told:
            venues = {name: AtHand(name, told[name]) for name in NAMES}
        # The markets are read: no server competes for the cores while text is decoded.
        if begin("B2"):
            sections["B2"] = page_b2(apply_stream.measure_orders(venues, rounds["B2"]), ratios)
        if begin("B5"):
            sections["B5"] = page_b5(apply_stream.measure_books(venues, rounds["B5"]), ratios)
    if begin("B3"):
        sections["B3"] = page_b3(round_trip.measure(rounds["B3"]), ratios)
    if begin("B1"):
        compared = floor.assert_vectors()
        # Last, as the peers' imports are many; their constructors ask the simulators.
        with simulators(*NAMES) as told:
            venues = {name: AtHand(name, told[name]) for name in NAMES}
            sections["B1"] = page_b1(build_and_sign.measure(venues, rounds["B1"]), compared, ratios)
    return [line for part in sorted(sections) for line in sections[part]], ratios


def write(path: Path, lines: Lines, ratios: Ratios, took_secs: float) -> None:
    stamp = iso_utc(SystemClock().now_ms())
    import ccxt

    versions = f"Python {platform.python_version()}, ccxt {ccxt.__version__}"
    head = [
        "# Performance",
        "",
        f"Written by `make bench` on {stamp[:10]}: one run of {took_secs:.0f} s on {machine()}, {versions}. Everything"
        " is on loopback or in memory; no exchange is asked.",
        "",
        "Microseconds unless said otherwise, *best / median* of interleaved rounds: every contestant laps once a round,"
        " so noise falls on all alike. **Keep the ratios of one run, not the times**; ratios are best to best. The"
        " floor is the bare primitive and one encoder or decoder, in Python, with no checks. Goals are those that the"
        " project set itself; nothing in the test suite asserts a time. Earlier runs are in `bench/history.jsonl`.",
        "",
    ]
    path.write_text("\n".join([*head, *lines]).rstrip() + "\n")
    line = {"at": stamp, "machine": machine(), "versions": versions}
    with HISTORY.open("a") as history:
        history.write(json.dumps(line | {"ratios": {name: round(value, 3) for name, value in ratios.items()}}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), help="parts to run, by comma; then nothing is written")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual rounds; below 1 writes nothing")
    given = parser.parse_args()
    parts = [part for part in PARTS if part in given.only.split(",")]
    began = now()
    lines, ratios = run(parts, share=given.share)
    if parts == list(PARTS) and given.share >= 1:
        write(PAGE, lines, ratios, now() - began)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
