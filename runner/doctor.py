"""
``runner doctor``: per venue, are the keys there, is it reachable, do the clocks agree, does it let us in, and what is
the smallest order. It logs in and reads; it sends nothing that trades.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio

from core.chance import Chance
from core.clock import Clock, SystemClock
from core.precision import plain
from execution.markets import KINDS, Markets
from runner.command import ENVIRONMENT_FAILED, Outside
from runner.environment import Environment, WrongInput
from runner.load import venues_named
from runner.playing import environment_of
from runner.sims import Lines, read_sims, simulators
from runner.site import account_lock, account_name, connector_of, credentials_of
from venues import VENUES
from venues.errors import CODES, LocalRuleError, VenueError
from venues.interface import Venue

_SKEW_WARNING_MS = 500


@dataclass(slots=True)
class Finding:
    """One venue's lines: ``(good, words)``; ``good`` None is a fact, neither good nor bad."""

    venue: str
    lines: list[tuple[bool | None, str]] = field(default_factory=list)

    @property
    def well(self) -> bool:
        return all(good is not False for good, _ in self.lines)

    def note(self, good: bool | None, words: str) -> None:
        self.lines.append((good, words))


async def examine(venue: str, connector: Venue, clock: Clock, symbol: str) -> Finding:
    """Start the connector, read, and stop it. Never raises for what the venue does."""
    finding = Finding(venue)
    began = clock.monotonic()
    try:
        await connector.start()
        finding.note(True, f"reached and logged in within {(clock.monotonic() - began) * 1000:.0f} ms")
        skew_ms = connector.venue_now_ms() - clock.now_ms()
        words = f"the exchange's clock is {abs(skew_ms)} ms {'ahead' if skew_ms >= 0 else 'behind'}"
        finding.note(abs(skew_ms) < _SKEW_WARNING_MS, words)
        margin = await connector.get_margin()
        finding.note(None, f"margin balance {plain(margin.balance)} USD, available {plain(margin.available)} USD")
        held = [f"{plain(p.quantity)} {p.symbol}" for p in await connector.get_positions() if p.quantity]
        finding.note(None, f"open positions: {', '.join(held) or 'none'}")
        orders = await connector.get_open_orders()
        finding.note(None, f"open orders: {len(orders) or 'none'}")
        known = [await _smallest(finding, connector, symbol, kind) for kind in KINDS]
        if not any(known):
            finding.note(False, f"UNKNOWN_SYMBOL: {venue} has no market for {symbol}")
            finding.note(None, f"what to do: {CODES['UNKNOWN_SYMBOL'].next_move}")
    except VenueError as error:
        finding.note(False, f"{error.code}: {error.hint}")
        finding.note(None, f"what to do: {CODES[error.code].next_move}")
    finally:
        with anyio.CancelScope(shield=True):
            await connector.stop()
    return finding


async def _smallest(finding: Finding, connector: Venue, symbol: str, kind: str) -> bool:
    """Tell the smallest order of one kind of market. False when the venue does not know the symbol there."""
    try:
        market = Markets(connector).find(symbol, kind)
        bid_i, ask_i, _ = await connector.get_top_of_book(market.venue_symbol)
    except LocalRuleError as error:
        finding.note(None, f"{kind}: {error.hint}")
        return error.code != "UNKNOWN_SYMBOL"
    price_i = ask_i if ask_i is not None else bid_i
    if price_i is None:
        finding.note(None, f"{kind}: {market.venue_symbol} has no price now")
        return True
    size_i = market.smallest_order(price_i)
    finding.note(
        None,
        f"{kind}: {market.venue_symbol}, smallest order {market.size_text(size_i)} {symbol} "
        f"({plain(round(market.notional(size_i, price_i), 2))} {market.facts.quote})",
    )
    return True


def doctor(args: argparse.Namespace, outside: Outside) -> int:
    """Examine every venue asked for; exit code 3 if one is not well."""
    environment = environment_of(args, outside)
    venues = venues_named(args.venue, tuple(VENUES))
    sims = read_sims(args.sims) if args.sims else None
    findings = anyio.run(_examine_all, venues, environment, sims, args.symbol)
    for finding in findings:
        sys.stdout.write(f"{finding.venue} ({environment.on}): {'well' if finding.well else 'NOT WELL'}\n")
        for good, words in finding.lines:
            mark = {True: "ok ", False: "BAD", None: "   "}[good]
            sys.stdout.write(f"  {mark} {words}\n")
    sys.stdout.write("Nothing was sent that trades.\n")
    return 0 if all(finding.well for finding in findings) else ENVIRONMENT_FAILED


async def _examine_all(
    venues: Sequence[str], environment: Environment, sims: Lines | None, symbol: str
) -> list[Finding]:
    clock, chance = SystemClock(), Chance("doctor")
    if environment.on == "sim" and sims is None:
        async with simulators(venues, clock=clock, seed="doctor") as lines:
            return await _examine_all(venues, environment, lines, symbol)
    findings = {venue: Finding(venue) for venue in venues}

    async def one(venue: str) -> None:
        try:
            credentials = credentials_of(venue, environment, sims)
            findings[venue].note(True, f"keys found, account {account_name(venue, credentials)}")
            holder = account_lock(venue, environment, credentials, sims).holder()
            findings[venue].note(None, f"in use by {holder}" if holder else "in use by no run of this user now")
            connector = connector_of(venue, environment.on, credentials, sims, clock, chance)
        except WrongInput as wrong:
            findings[venue].note(False, " ".join(wrong.texts))
            return
        findings[venue].lines += (await examine(venue, connector, clock, symbol)).lines

    async with anyio.create_task_group() as group:
        for venue in venues:
            group.start_soon(one, venue)
    return list(findings.values())
