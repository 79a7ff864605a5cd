"""
The words of :mod:`make_venue`: a template for each file of a room, and what is said where something is to be written.

Templates have ``$name``, ``${Name}`` and ``$NAME``; a line ``WRITE member: words`` becomes the raise that says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# What the docstrings of the protocols leave out because the types say it to those who know the house.
DUTIES: Final[Mapping[str, str]] = {
    "facts": "Every market that we trade, by the venue's symbol; a row that cannot be read is left out.",
    "server_time": "The venue's clock in Unix milliseconds; a public request.",
    "cancel": "The request that cancels one order by client id; over HTTP when `rest` is True.",
    "read_placed": "What the answer to a placement says about the order, as events.",
    "read_cancelled": "What the answer to a cancel says about the order; no events where the end comes by stream.",
    "cancel_all": "Cancel every live order of the account in this market, ours or not.",
    "fence": "Make sure that a doubtful submit can no longer be executed (a burnt nonce); True when proven.",
    "open_orders": "Every live order of the account (of one market), ours or not, all pages of it.",
    "order_fills": "Every trade of one order that the history has, all pages of it.",
    "positions": "Every perp position; markets without one are left out.",
    "balances": "Every spot balance, free and total.",
    "margin": "Equity and free margin in USD.",
    "top_of_book": "Best bid and ask over REST; None for an empty side.",
    "lines": "The streams: private or not, login, acknowledgements, ping, upkeep.",
    "upkeep": "What keeps a line alive (listen keys, tokens); nothing where it needs none.",
    "ws_open": "A client connected: keep the peer and greet it as the venue does.",
    "ws_text": "A client sent a message: log in, subscribe, place or cancel, and answer as the venue does.",
    "ws_closed": "The client is gone: forget the peer.",
}

# Ability → the value that promises least.
CAUTIOUS: Final[Mapping[str, str]] = {
    "order_entry": '"rest"',
    "max_client_id": "4_294_967_295",
    "expiry_ms": "5_000",
    "read_lag_ms": "5_000",
}
BY_TYPE: Final[Mapping[str, str]] = {"bool": "False", "int": "0", "str": '""'}

FRONT_DOOR: Final = '''\
"""$Name. README.md beside this file has the facts."""

from __future__ import annotations

$imports

if TYPE_CHECKING:
    from venues.dialect import Dialect

__all__ = ["CREDENTIALS", "canonical", "endpoints", "make_dialect", "venue_symbol"]

CREDENTIALS: Final[Mapping[str, str]] = {"api_key": "${NAME}_API_KEY", "api_secret": "${NAME}_API_SECRET"}


def make_dialect(credentials: Mapping[str, str], endpoints: Mapping[str, str]) -> Dialect:
    """One account's dialect. Raises LocalRuleError(AUTH) for keys of the wrong form."""
    from venues.$name.dialect import ${Name}Dialect
    from venues.$name.sign import Signer

    return ${Name}Dialect(Signer(credentials.get("api_key", ""), credentials.get("api_secret", "")), endpoints)


def endpoints(on: str, sim: Mapping[str, Any] | None = None) -> Mapping[str, str]:
    """``rest`` and ``ws`` of ``sim`` or ``live``. Raises LocalRuleError(VENUE_UNAVAILABLE)."""
    if on == "live" and LIVE:
        return LIVE
    if on == "sim" and sim is not None:
        return {"rest": str(sim["rest"]), "ws": str(sim["ws"])}
    raise LocalRuleError("VENUE_UNAVAILABLE", f"$Name has no such place to play on ({on}).")
'''

FACTS: Final = '''\
"""
What $Name is: its places, abilities, symbol grammar and market rules.

README.md tells where each fact comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from venues.events import MarketFacts
from venues.interface import Abilities

NAME: Final = "$name"
# Empty as long as no address is known: then `live` is refused.
LIVE: Final[Mapping[str, str]] = {}

# Each value promises as little as possible and is no fact yet: it wants a source in README.md.
ABILITIES: Final = Abilities(
$abilities
)


def venue_symbol(base: str, kind: str) -> str:
    """The venue's own name of a canonical coin; ``kind`` is ``perp`` or ``spot``."""
    WRITE venue_symbol: The symbol grammar of the sheet, such as SOL and perp to SOL_USDC_PERP.


def canonical(symbol: str) -> tuple[str, str] | None:
    """``(base, kind)`` of the venue's own name; None for a market that we do not trade."""
    WRITE canonical: The way back from venue_symbol, and None for every name of another grammar.


def read_markets(body: bytes) -> dict[str, MarketFacts]:
    """
    The venue's list of markets by symbol; a market whose row cannot be read is left out.

    Raises:
        WireError: the answer is no list at all.
    """
    WRITE read_markets: Tick, lot, minimum and bands of each row as MarketFacts (venues/events.py), sizes in base units.
'''

SIGN: Final = '''\
"""
How $Name authenticates a request.

Proven by the vectors in tests/vectors/$name/.
"""

from __future__ import annotations

from venues.dialect import HttpCall
from venues.errors import LocalRuleError


class Signer:
    """
    One account's key, its schedule computed once.

    Raises:
        LocalRuleError: AUTH. Its text never has a part of the secret.
    """

    __slots__ = ("_secret", "api_key")

    def __init__(self, api_key: str, api_secret: str) -> None:
        if not api_key or not api_secret:
            raise LocalRuleError("AUTH", "$Name needs api_key and api_secret.")
        self.api_key = api_key
        self._secret = api_secret

    def __repr__(self) -> str:
        return "Signer(•••)"

    def signed(self, call: HttpCall, now_ms: int) -> HttpCall:
        """``call`` with its authentication; unchanged when it is public. ``now_ms`` is the venue's time."""
        WRITE Signer.signed: Exactly the bytes that the venue's own client signs, with the shortest expiry it enforces.
'''

ENCODE: Final = '''\
"""Intents → requests and frames. Nothing here is signed."""

from __future__ import annotations

from venues.dialect import HttpCall, OrderKey, PlaceOrder
from venues.events import MarketFacts


def place(order: PlaceOrder, market: MarketFacts) -> HttpCall:
    """
    A limit order good till cancelled, or a market order by base size.

    Raises:
        LocalRuleError: the venue has no such order.
    """
    WRITE place: The order as the sheet shows it, numbers by core.precision.unscaled, never by float.


def cancel(key: OrderKey) -> HttpCall:
    """The cancel of one order by client id."""
    WRITE cancel: The cancel by client id; the readings of the dialect get a function each beside it.
'''

DECODE: Final = '''\
"""
Bytes → events. Only the fields we use are declared: unknown ones pass, a missing one is a WireError over REST and an
``Unreadable`` on the stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from venues.events import MarketFacts, OrderSeen, StreamEvent


def order(body: bytes, markets: Mapping[str, MarketFacts]) -> OrderSeen:
    """One order of a REST answer. Raises WireError."""
    WRITE order: A msgspec.Struct of the fields we use; the other answers get a function each beside it.


def frame(data: str | bytes, markets: Mapping[str, MarketFacts]) -> Sequence[StreamEvent]:
    """Events in one stream message. Never raises: what cannot be read becomes ``Unreadable``."""
    WRITE frame: Orders, fills, positions, balances and books of one message, in the order they stand there.
'''

REFUSALS: Final = '''\
"""Every "no" of $Name → our code, and whether it proves that nothing happened."""

from __future__ import annotations

from venues.dialect import HttpReply
from venues.errors import OutcomeUnknown, Refused


def of_order(reply: HttpReply) -> Refused | OutcomeUnknown:
    """What an answer that is no success means for a placement or a cancel."""
    WRITE of_order: Refused only where the documents prove that nothing happened, OutcomeUnknown for all the rest.


def of_reading(reply: HttpReply) -> Refused | OutcomeUnknown:
    """What an answer that is no success means for a question."""
    WRITE of_reading: The table of the venue's words to our codes (venues/errors.py, CODES).
'''

DIALECT: Final = '''\
"""$Name's whole language for one account: one request each, and the talks that take several."""

from __future__ import annotations

$imports


class ${Name}Dialect:
    """Implements :class:`venues.dialect.Dialect`. ``endpoints`` has ``rest`` and ``ws``."""

    name = facts.NAME
    abilities = facts.ABILITIES
$attributes

    def __init__(self, signer: Signer, endpoints: Mapping[str, str]) -> None:
        self.markets: Mapping[str, MarketFacts] = {}
        self._signer = signer
        self._endpoints = endpoints

$members
'''

SIMULATOR: Final = '''\
"""
$Name, simulated: REST and streams on the shared matching engine.

Written from the sheet and the recorded payloads alone; it shares no code with the dialect that talks to it.
What nobody recorded is a switch with a cautious default, and a gap in README.md.
"""

from __future__ import annotations

$imports


class ${Name}Simulator:
    """
    One $Name with one throwaway account; implements :class:`venues.simulation.app.VenueApp`.

    Args:
        clock: The real time.
        chance: Seeds the market and the throwaway key.
        clock_offset_ms: How far the venue's clock is ahead of the real one.
        faults: Asked for engine faults; the shells ask it for theirs.
        speed: Multiplies the activity of the market, nothing else.
    """

    name: str = "$name"
$attributes

    def __init__(
        self,
        clock: Clock,
        chance: Chance,
        faults: Faults | None = None,
        speed: float = 1.0,
        *,
        clock_offset_ms: int = 0,
    ) -> None:
        self._clock = clock
        self._chance = chance
        self.faults = faults or Faults()
        self._speed = speed
        self._offset_ms = clock_offset_ms

    def now_ms(self) -> int:
        """The venue's clock."""
        return self._clock.now_ms() + self._offset_ms

    @property
    def engine(self) -> MatchingEngine:
        """The venue's true books; the contract suite compares them with what we believe."""
        WRITE ${Name}Simulator.engine: Make the MatchingEngine and the Street in __init__, with the sheet's markets.

$members
'''

# File → (outcome, who demands it, what the test must show).
MIRRORS: Final[Mapping[str, tuple[str, str, str]]] = {
    "facts": (
        "every_recorded_market_is_read_and_symbols_translate_both_ways",
        "[venue] Tick, lot, minimum and symbol grammar are the venue's own.",
        "read_markets takes the recorded list, venue_symbol and canonical are each other's way back",
    ),
    "sign": (
        "requests_are_signed_as_the_venues_own_client_signs_them",
        "[client] Byte for byte.",
        "every vector of tests/vectors/$name/ (made offline by the venue's own client, with source, from and date) "
        "is matched byte for byte by Signer.signed",
    ),
    "encode": (
        "every_intent_becomes_the_documented_request",
        "[venue] Path, fields and numbers as the sheet has them.",
        "each function of encode.py makes the request of its vector: limit, post-only, reduce-only, market, cancel",
    ),
    "decode": (
        "every_recorded_payload_is_read",
        "[venue] Unknown fields pass, a missing one is told.",
        "each recorded payload becomes its events; with a field more it still does; with one less it is a WireError or "
        "Unreadable",
    ),
    "refusals": (
        "every_documented_no_has_its_code_and_its_proof",
        "[venue] Refused only where nothing can have happened.",
        "a table of status, venue's word, our code, and whether it proves that the order never lived; 5xx and "
        "time-outs never prove it",
    ),
    "dialect": (
        "a_doubtful_order_is_looked_up_open_orders_first_then_history",
        "[client] Absent is said only after two complete readings.",
        "look_up answers from open orders, then from every page of history, and says None only when both were complete",
    ),
    "simulator": (
        "the_simulator_answers_requests_built_by_hand_from_the_sheet",
        "[venue] Signatures, filters and refusals as the venue checks them.",
        "requests built by hand (never by encode.py) are answered with the sheet's status, code and text; a wrong "
        "signature, an old timestamp and each filter are refused",
    ),
}
MIRROR: Final = '''\
import pytest


def test_$outcome():
    """$demand"""
    $failure
'''

# For the two classes that keep a protocol: a test for each method as well.
CONTRACT_MIRROR: Final = '''\
import inspect

import pytest

$imports

METHODS = [name for name in vars($protocol) if not name.startswith("_")]


@pytest.mark.parametrize("name", METHODS)
def test_the_contract_is_kept_method_by_method(name):
    """[ours] What is still to be written says so by itself."""
    member = getattr($kept, name)
    function = member.fget if isinstance(member, property) else member
    if "$name: write" in inspect.getsource(function):
        needed = [each for each in inspect.signature(function).parameters.values() if each.default is each.empty]
        function(*needed)


def test_$outcome():
    """$demand"""
    $failure
'''

# Heading of the model room's README → what belongs under it.
HEADINGS: Final[Mapping[str, str]] = {
    "Files": "A table: each file of this folder and what it holds.",
    "Abilities": "A table: order entry, kinds of orders we send, client id, expiry, markets, top of book, testnet, "
    "dead man's switch. It must agree with `ABILITIES` in `facts.py`.",
    "Symbols": "Canonical coin and market → the venue's symbol; where tick, lot, minimum, notional and price bands "
    "come from.",
    "Login": "The credentials with their environment variables, the signed text to the byte, how a stream logs in.",
    "Stream": "The lines, their subscriptions, what acknowledges them, sequence numbers, keep-alive, what a break "
    "misses.",
    "An order in doubt": "Which answers prove nothing, the shortest expiry the venue enforces, how an order is looked "
    "up by client id, how long readings lag, when it counts as absent, what a second use of a client id does.",
    "States": "The venue's words for an order's state and ours, one by one.",
    "Limits": "Requests, orders and connections per time, and what the venue answers beyond them.",
    "Gaps": "What is unverified, what is not traded, and what the simulator does not imitate.",
}
README: Final = """\
# $Name

How facts are marked: **doc** the venue's documents, **cap** a recorded payload, **src** read in an official client's
source, **ran** observed by running that client offline; each with link or file, and date. "Unverified" means that no
recorded traffic shows it.
"""

NEXT: Final = """\
venues/$name/ is made, and known to every place that lists the venues.

Next:
1. Write venues/$name/README.md from the sheet: every fact with its source and date.
2. Put vectors into tests/vectors/$name/, then write facts, sign, encode, decode, refusals, dialect, simulator.
3. python -m pytest tests/unit/venues/$name tests/unit/venues/${name}_sim names everything that is still to be written;
   python -m pytest tests/contract -k $name judges what is written, and comes last.
4. A line in CHANGELOG.md, then make check.
docs/EXCHANGE_INTEGRATION.md is the guide."""
