"""
The five dialects as a play has them: markets read, numbers and modes known. Everything comes from our own simulators,
served by a process of their own; no exchange is asked.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from core.clock import SystemClock
from venues import VENUES, open_room
from venues.dialect import Dialect, HttpCall, HttpReply, Talk
from venues.events import MarketFacts

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT.parent / "shared" / "fixtures"
NAMES: Sequence[str] = tuple(VENUES)
RUNNER = "import sys; from app.console import main; sys.exit(main())"
# A race of orders sends more than any exchange allows; ccxt's own limiter is off in it, too.
WITHOUT_LIMITS = (
    "from venues.simulation.limits import Limits; Limits._take = lambda *_, **__: True; "
    "from venues.simulation.binance_limits import Counts; Counts.count = lambda *_: 0; "
)

Told = Mapping[str, Any]
"""What ``runner sim serve --json`` says of one venue."""


@contextmanager
def simulators(*names: str, limits: bool = True) -> Iterator[Mapping[str, Told]]:
    """Serve these venues from another process; ended by its own process id."""
    words = [word for name in names for word in ("--venue", name)]
    program = RUNNER if limits else WITHOUT_LIMITS + RUNNER
    command = [sys.executable, "-c", program, "sim", "serve", "--port-base", "0", "--seed", "7", "--json", *words]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())
    finally:
        server.terminate()
        server.wait(10)


class AtHand:
    """One venue: its dialect, the market to trade in, and where its simulator is."""

    def __init__(self, name: str, told: Told) -> None:
        self.name = name
        self.told = told
        room = open_room(name)
        self.endpoints = room.endpoints("sim", told)
        keys = {key: str(value) for key, value in told["credentials"].items()}
        self.dialect: Dialect = room.make_dialect(keys, self.endpoints)
        self.symbol = room.venue_symbol("SOL", "perp")
        self.now_ms = SystemClock().now_ms
        self.dialect.markets = self.hold(self.dialect.facts())
        self.hold(self.dialect.prepare())

    @property
    def market(self) -> MarketFacts:
        return self.dialect.markets[self.symbol]

    def hold(self, talk: Talk[T]) -> T:
        """One talk over plain blocking HTTP."""
        try:
            call = next(talk)
            while True:
                call = talk.send(self._ask(self.dialect.sign(call, self.now_ms())))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _ask(self, call: HttpCall) -> HttpReply:
        url = self.endpoints[call.host] + call.path
        request = urllib.request.Request(url, data=call.body or None, headers=dict(call.headers), method=call.method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10) as answer:
                return HttpReply(answer.status, answer.read(), {k.lower(): v for k, v in answer.headers.items()})
        except urllib.error.HTTPError as refused:
            return HttpReply(refused.code, refused.read(), {})


def fixture(name: str) -> Any | None:
    """A captured file of the exchanges; None where the checkout stands alone."""
    path = FIXTURES / name
    return json.loads(path.read_text()) if path.exists() else None
