"""
Draw schemas/markets.json: what each simulator lists, as its own room reads it, for ``runner check``.

``python scripts/draw_markets.py`` writes the file; ``--check`` writes nothing and exits 1 when it is stale. The
simulators run in this process on virtual time, and the room's own connector reads their lists off the wire. Lists of
the real exchanges are no part of it: an exchange lists new coins and changes its lots without telling us.
"""

from __future__ import annotations

import argparse
import json
import sys
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import anyio  # noqa: E402 - the checkout must be on the path first

from core.chance import Chance  # noqa: E402
from core.clock import VirtualClock, run_virtual  # noqa: E402
from core.precision import plain  # noqa: E402
from execution.markets import KINDS, Market, Markets  # noqa: E402
from venues import VENUES, open_room  # noqa: E402
from venues.connector import Connector  # noqa: E402
from venues.simulation import SIMULATORS, open_simulator  # noqa: E402
from venues.simulation.market import LEASH  # noqa: E402
from venues.simulation.memory import MemoryWire  # noqa: E402

PAGE = ROOT / "schemas" / "markets.json"
NOTE = "python scripts/draw_markets.py draws this file from what the simulators list; do not edit it by hand."
# The start is drawn within 0.2 % of the anchor, the walk stays on its leash, and a quote is a few ticks away from it.
SWING = Decimal(1) / LEASH + Decimal("0.01")


async def listed(venue: str) -> dict[str, dict[str, dict[str, str]]]:
    """Market kind → coin → its row."""
    clock, chance = VirtualClock(), Chance(1)
    app = open_simulator(venue, clock=clock, chance=chance.fork("sim"))
    wire = MemoryWire({venue: app}, clock, chance.fork("wire"))
    line = app.bootstrap(f"memory://{venue}", f"memory://{venue}")
    room = open_room(venue)
    places = room.endpoints("sim", line)
    dialect = room.make_dialect({name: str(value) for name, value in line["credentials"].items()}, places)
    connector = Connector(dialect, places, wire, clock, chance.fork("connector"))
    with anyio.fail_after(60):
        async with anyio.create_task_group() as beside:
            beside.start_soon(wire.drive)
            await connector.start()
            await connector.stop()
            beside.cancel_scope.cancel()
    anchors: dict[str, Decimal] = import_module(SIMULATORS[venue].partition(":")[0]).ANCHORS
    markets = Markets(connector)
    rows: dict[str, dict[str, dict[str, str]]] = {}
    for kind in KINDS:
        quotes = connector.abilities.quotes
        bases = {facts.base for facts in connector.markets.values() if facts.kind == kind and facts.quote in quotes}
        # What has no street has no price either, and no order there is ever filled.
        for base in sorted(bases & set(anchors)):
            rows.setdefault(kind, {})[base] = row(markets.find(base, kind), anchors[base])
    return rows


def row(market: Market, anchor: Decimal) -> dict[str, str]:
    """The sizes of one market that are surely refused, and surely enough, at any price its simulator may show."""
    low, high = anchor * (1 - SWING), anchor * (1 + SWING)
    scale = 10**market.facts.price_decimals
    least = market.size(market.smallest_order(int(high * scale) + 1))
    enough = market.size(market.smallest_order(int(low * scale)))
    smallest = market.size(max(market.facts.min_size_i, market.facts.lot_i))
    return {
        "lot": plain(market.lot()),
        "least": plain(least),
        "enough": plain(enough),
        "least_usd": plain(max(market.facts.min_notional, smallest * low).quantize(Decimal("0.01"), ROUND_DOWN)),
        "enough_usd": plain((enough * high).quantize(Decimal(1), ROUND_UP)),
    }


def draw() -> str:
    """The whole file."""
    found: dict[str, object] = {"note": NOTE}
    for venue in VENUES:
        if venue in SIMULATORS:
            try:
                found[venue] = run_virtual(listed(venue))
            except Exception as error:
                print(f"{venue} is left out, because its simulator or its room does not start yet: {error!r}")
    return json.dumps(found, indent=1) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw schemas/markets.json from what the simulators list.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the file is stale")
    parser.add_argument("--page", type=Path, default=PAGE, help="the file to write or check")
    options = parser.parse_args()
    page, drawn = options.page, draw()
    if not options.check:
        page.write_text(drawn, encoding="utf-8")
        return 0
    if not page.exists() or page.read_text(encoding="utf-8") != drawn:
        print(f"{page.name} is stale: run python scripts/draw_markets.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
