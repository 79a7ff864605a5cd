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
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench import apply_stream, build_and_sign, client, durability, floor, messages, peers, round_trip, scale, start_up
from bench.crowd_pages import page_b6, page_b7, page_b8, table
from bench.laps import Spread, Spreads, now
from bench.venues_at_hand import NAMES, ROOT, AtHand, simulators
from core.clock import SystemClock, iso_utc

PAGE = ROOT / "docs" / "PERFORMANCE.md"
HISTORY = ROOT / "bench" / "history.jsonl"
ROUNDS: Mapping[str, int] = {"B1": 15, "B2": 9, "B3": 40, "B4": 7, "B5": 15, "B6": 1, "B7": 5, "B8": 7}
CROWDS = (50, 200, 1_000)
"""How many plays at once B6 tries."""
CROWD_SECS = 40
PARTS = tuple(ROUNDS)
REMEMBERED = 5

Ratios = dict[str, float]
Lines = list[str]


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
                micros(spreads.get("ccxt.pro")),
                f"{_three(plain)}, <= 4: {verdict(plain, 4)}",
                f"{_three(full)}, <= 10: {verdict(full, 10)}",
                ratio(spreads.get("ccxt.pro"), spreads["hear"]),
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
    head = ["venue", "floor", *steps, "ccxt.pro", "hear / floor", "with timeline / floor", "ccxt.pro / hear"]
    return [
        "## B2 Apply a private order or fill message",
        "",
        *table(head, rows),
        f"Inside the loop: {apply_stream.ORDERS:,} orders, {apply_stream.LIVE} live at a time, four messages each"
        " (resting, then filled in parts), every tenth order with one trade told twice. The floor decodes the fields it"
        " needs and updates a dict with the trade ids seen: no price, fee, position or history. *decode* is"
        " `Dialect.decode`; *hear* is the listener that a connector calls: positions, `Orders.hear`, `Order.apply`;"
        " *timeline* adds a line for each event to the order's file and hands them to the operating system after every"
        " message, as the event loop does at the end of a turn that brought one. Every order's final state, sum of"
        " trades and cumulative fill are checked after each lap, in all contestants that keep them.",
        "",
        "Decimal texts and client ids that were read before are found by themselves; each lap begins with none known."
        f" Prices differ from order to order ({messages.PRICES} of them), and fees with price and size.",
        "",
        "Not inside: the acknowledgement that comes before the stream (intent, client id and venue id are journalled"
        " there), opening and closing of timeline files, log lines (level WARNING), the event loop itself.",
        "",
        "Where the time goes, as a share of the time with timeline:",
        "",
        *table(
            ["venue", "decode", "+ Order.apply", "+ Orders.hear, positions", "+ encoding and writing lines"], shares
        ),
        "- A message of ours becomes up to two events (order and fill, on Hyperliquid fill and position), each a frozen"
        " struct, each an entry of the order's history, each a line of the timeline.",
        "- ccxt.pro: `handle_message` from the text on, into its caches of orders and trades; neither deduplicated"
        " fills nor positions. On Lighter it fails: it takes the venue's milliseconds for seconds.",
        f"- Spread: the median lies up to {worst_doubt(told.values())} above the best.",
        "- Not measured here: hummingbot, nautilus.",
        "",
    ]


def page_b5(told: Mapping[str, Spreads], ratios: Ratios) -> Lines:
    rows = []
    for venue, spreads in told.items():
        value = spreads["ours"].best / spreads["floor"].best
        ratios[f"B5 {venue} ours/floor"] = value
        peer = spreads.get("ccxt.pro")
        rows.append(
            [
                venue,
                micros(spreads["floor"]),
                micros(spreads["ours"]),
                micros(peer),
                _three(value),
                f"<= 2: {verdict(value, 2)}",
                ratio(peer, spreads["ours"]),
            ]
        )
    return [
        "## B5 Book message to (bid_i, ask_i)",
        "",
        *table(["venue", "floor", "ours", "ccxt.pro", "ours / floor", "goal", "ccxt.pro / ours"], rows),
        "Inside the loop: text to `BookSeen`, of which both integers are read. The floor decodes two texts and drops"
        " their points; ours also looks up the market, checks both numbers against its grid, reads sequence and time,"
        " and makes the event. Both give the same integers (the first 100 messages are compared). Texts of prices that"
        " were read before are found by themselves; each lap begins with none known. ccxt.pro: `handle_message` from"
        " the text on; a dash where it has no handler for these messages.",
        "",
        f"Spread: the median lies up to {worst_doubt(told.values())} above the best.",
        "",
    ]


def page_b3(told: Mapping[str, Mapping[str, Spreads]], ratios: Ratios) -> Lines:
    rest, stream = told["backpack"], told["binance"]
    value = rest["uvloop"]["ours"].best / rest["uvloop"]["ccxt async"].best
    ratios["B3 ours/ccxt"] = value
    ratios["B3 ours/raw"] = rest["uvloop"]["ours"].best / rest["uvloop"]["raw HTTP"].best
    ratios["B3 ours/ccxt asyncio"] = rest["asyncio"]["ours"].best / rest["asyncio"]["ccxt async"].best
    entry = stream["uvloop"]["ours"].best / stream["uvloop"]["websockets alone"].best
    ratios["B3 stream ours/websockets"] = entry
    ratios["B3 stream ours/websockets asyncio"] = (
        stream["asyncio"]["ours"].best / stream["asyncio"]["websockets alone"].best
    )

    def rows(loops: Mapping[str, Spreads], *beside: str) -> list[list[str]]:
        plain, fast = loops["asyncio"], loops["uvloop"]
        return [
            [name, micros(plain[name]), micros(fast[name]), *(ratio(fast[name], fast[other]) for other in beside)]
            for name in fast
        ]

    return [
        "## B3 Order round trip on loopback (p50)",
        "",
        "REST, Backpack:",
        "",
        *table(
            ["client", "asyncio", "uvloop", "x raw HTTP, uvloop", "x ccxt, uvloop"],
            rows(rest, "raw HTTP", "ccxt async"),
        ),
        f"Goal, REST at most 0.75 x ccxt: {verdict(value, 0.75)} ({_three(value)} on uvloop,"
        f" {_three(ratios['B3 ours/ccxt asyncio'])} on asyncio).",
        "",
        "WebSocket, Binance:",
        "",
        *table(["client", "asyncio", "uvloop", "x websockets, uvloop"], rows(stream, "websockets alone")),
        f"Goal, at most 1.3 x websockets' own: {verdict(entry, 1.3)} ({_three(entry)} on uvloop,"
        f" {_three(ratios['B3 stream ours/websockets asyncio'])} on asyncio).",
        "",
        f"Each round is {round_trip.ORDERS} orders one after the other, and its p50 is the figure; shown are the best"
        " and the median of the rounds. Plays run on uvloop (`ROUNDTRIP_UVLOOP=0` brings asyncio's loop back); all were"
        " measured on both."
        " The server is our simulator in a process of its own, its rate limits off; its share is in every line and at"
        " most *raw HTTP* (one kept asyncio connection, the floor of B1, the answer not parsed) or *websockets alone*"
        " (the same frames as ours, sent and the answer awaited, not parsed). Inside ours: `Connector."
        "submit_limit_order`, with its checks, rate budget, signature, transport, and the answer read into an order"
        " event. Inside ccxt's: `create_order` over aiohttp, its rate limiter off, the answer parsed. Our streams are"
        " up meanwhile and hear each order, whoever sent it.",
        "",
        "- *httpx*, *httpx over ...* and the two transports send the floor's request and read the whole answer; the"
        " transports are called directly with an `httpx.Request`, as our wire does (docs/dependencies.md says why).",
        f"- What limits us: of what ours takes above raw HTTP, our transport takes {_share(rest['uvloop'])}; the rest"
        " is the connector, and its stream, which hears the same order on the same event loop.",
        f"- Spread: the median lies up to {worst_doubt([*rest.values(), *stream.values()])} above the best.",
        "",
    ]


def _share(spreads: Spreads) -> str:
    bare = spreads["raw HTTP"].best
    return f"{(spreads['our transport'].best - bare) / (spreads['ours'].best - bare):.0%}"


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
            readers = {name: peers.ccxt_reader(at) for name, at in venues.items()} if {"B2", "B5"} & set(parts) else {}
        # The markets are read: no server competes for the cores while text is decoded.
        if begin("B2"):
            sections["B2"] = page_b2(apply_stream.measure_orders(venues, readers, rounds["B2"]), ratios)
        if begin("B5"):
            sections["B5"] = page_b5(apply_stream.measure_books(venues, readers, rounds["B5"]), ratios)
    if begin("B6"):
        sections["B6"] = page_b6(scale.measure(CROWDS, CROWD_SECS * share))
    if begin("B7"):
        many = client.report_of_many(rounds["B7"])
        sections["B7"] = page_b7(client.no_wait_play(rounds["B7"]), many, client.simulators_load())
    if begin("B8"):
        sections["B8"] = page_b8(durability.measure(rounds["B8"]))
    if begin("B3"):
        sections["B3"] = page_b3(round_trip.measure(rounds["B3"]), ratios)
    if begin("B1"):
        compared = floor.assert_vectors()
        # Last, as the peers' imports are many; their constructors ask the simulators.
        with simulators(*NAMES) as told:
            venues = {name: AtHand(name, told[name]) for name in NAMES}
            sections["B1"] = page_b1(build_and_sign.measure(venues, rounds["B1"]), compared, ratios)
    return [line for part in sorted(sections) for line in sections[part]], ratios


def since_before(ratios: Ratios, earlier: Sequence[Mapping[str, object]]) -> Lines:
    """Each ratio beside the median of the runs before: what has become slower shows here, whatever machine it is."""
    rows = []
    for name, value in sorted(ratios.items()):
        known = [float(old) for line in earlier if (old := _ratios(line).get(name)) is not None][-REMEMBERED:]
        if known:
            usual = statistics.median(known)
            change = value / usual - 1
            rows.append([name, f"{value:.2f}", f"{usual:.2f}", f"{change:+.0%}{' **slower**' if change > 0.2 else ''}"])
    if not rows:
        return []
    return [
        "## Against earlier runs",
        "",
        f"This run's ratios beside the median of the last {REMEMBERED} in `bench/history.jsonl`; above +20% is marked.",
        "",
        *table(["ratio", "now", "before", "change"], rows),
    ]


def _ratios(line: Mapping[str, object]) -> Mapping[str, float]:
    found = line.get("ratios")
    return found if isinstance(found, dict) else {}


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
    earlier = [json.loads(line) for line in HISTORY.read_text().splitlines()] if HISTORY.exists() else []
    path.write_text("\n".join([*head, *lines, *since_before(ratios, earlier)]).rstrip() + "\n")
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
