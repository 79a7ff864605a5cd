"""
What can go wrong with an order, in the reader's words.

The tree::

    VenueError            never raised itself
    ├── LocalRuleError    nothing was sent
    ├── Refused           the venue said no: the order does not exist
    ├── OutcomeUnknown    it may exist: look it up by client id, never send it again
    └── WireError         the venue broke its own documents; in answer to a placement it counts as OutcomeUnknown

``code`` is a stable word a scenario may match (:data:`CODES`); ``hint`` is for a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Explanation(NamedTuple):
    """What ``runner explain CODE`` and docs/ERRORS.md print."""

    meaning: str
    next_move: str


CODES: Final[Mapping[str, Explanation]] = {
    "REFUSED": Explanation(
        "The exchange said no to the order, with a reason that has no code of its own here.",
        "Read the exchange's own words beside the code; the order does not exist.",
    ),
    "INSUFFICIENT_MARGIN": Explanation(
        "Not enough free margin for this order.", "Add collateral, close something, or choose a smaller size."
    ),
    "INSUFFICIENT_BALANCE": Explanation(
        "Not enough of the coin that this spot order spends.", "Deposit it, free it from other orders, or trade less."
    ),
    "PRECISION": Explanation(
        "Price or size has more decimals than the market's tick or lot allows.",
        "Round to the tick and the lot that `runner plan` shows for this market.",
    ),
    "MIN_SIZE": Explanation("The size is below the market's smallest order.", "Use `size: min`, or a larger size."),
    "MIN_NOTIONAL": Explanation(
        "Price times size is below the market's smallest order value.", "Use `size: min`, or a larger size."
    ),
    "MAX_SIZE": Explanation("The size is above the market's largest order.", "Trade in smaller parts."),
    "PRICE_RANGE": Explanation(
        "The price is zero, negative or outside the market's hard limits.",
        "Check the symbol and the price; nothing was sent.",
    ),
    "PRICE_BAND": Explanation(
        "The price is too far from where the market trades: further from the best bid and ask than the exchange, or "
        "`caps.price_band_bps` in your config, allows; or the book is crossed.",
        "Use a price nearer to the best bid and ask, and look at the market: its book may be broken.",
    ),
    "POST_ONLY_WOULD_CROSS": Explanation(
        "A post-only order would have traded at once, so the exchange refused it.",
        "Nothing to do: the next attempt takes a fresh price.",
    ),
    "REDUCE_ONLY": Explanation(
        "A reduce-only order found no position to reduce.", "Check the position; it may be closed already."
    ),
    "ORDER_NOT_FOUND": Explanation(
        "The exchange has no live order with this id.",
        "It may be filled or cancelled already; its final state is looked up.",
    ),
    "DUPLICATE_CLIENT_ID": Explanation(
        "The exchange has seen this client id before.",
        "Do not send again. Run `runner recover`; check that no second program uses this account's ids.",
    ),
    "RATE_LIMITED": Explanation(
        "Too many requests in a short time.", "Wait a minute; run fewer plays at once on this account."
    ),
    "AUTH": Explanation(
        "Key, signature or permission was not accepted.",
        "Check the key, its trading permission and its IP list with `runner doctor`.",
    ),
    "ACCOUNT_MODE": Explanation(
        "The account is set up in a way that this program does not trade in (hedge mode, wrong margin mode).",
        "Switch the account to one-way (net) mode on the exchange's own page.",
    ),
    "CLOCK_SKEW": Explanation(
        "This computer's clock and the exchange's differ too much.", "Switch on network time and try again."
    ),
    "WS_TIMEOUT": Explanation(
        "The stream was silent or down for too long.", "Check the connection; the session reconnects by itself."
    ),
    "IN_DOUBT": Explanation(
        "An order was sent and its fate is not proven yet.",
        "Never send it again. Run `runner recover`, or look at the exchange's own page for the client id shown.",
    ),
    "UNREADABLE": Explanation(
        "The exchange answered something its own documents do not describe.",
        "Keep the log and report it; an order in such an answer counts as in doubt.",
    ),
    "UNREACHABLE": Explanation(
        "No connection to the exchange; nothing was sent.", "Check the network, the address and the proxy."
    ),
    "VENUE_UNAVAILABLE": Explanation(
        "The exchange is in maintenance or overloaded.", "Look at its status page and try again later."
    ),
    "NOT_SYNCED": Explanation(
        "The stream is not up to date, so nothing new is sent.", "Wait for the session to come back; it is automatic."
    ),
    "STALE_BOOK": Explanation(
        "No fresh best bid and ask for this market.", "Wait for market data; check that the market is open."
    ),
    "UNKNOWN_SYMBOL": Explanation(
        "This exchange has no such market.", "Look at the nearest names given, or at the exchange's own list."
    ),
    "MARKET_CLOSED": Explanation(
        "The market is closed, or takes cancels only.", "Choose another market or wait until it opens."
    ),
    "EXPOSURE_CAP": Explanation(
        "The order would take the net exposure over all exchanges above the cap in your config.",
        "Trade less, or raise `caps.net_exposure_usd` if that is meant.",
    ),
    "NOTIONAL_CAP": Explanation(
        "The order is worth more than a cap in your config allows: for one order, a play, a run or an account's day.",
        "Trade less, or raise the cap under `caps` if that is meant. A day is a UTC day and counts all runs.",
    ),
    "ACCOUNT_LOCKED": Explanation(
        "Another process is trading this account; the message names it. Two at once would take each other's orders "
        "for foreign ones. Nothing was sent.",
        "Wait until it ends, or stop it: Ctrl-C where it runs, or `runner halt`. A dead process holds nothing.",
    ),
    "ADOPTED": Explanation(
        "The play began on a market with open orders or a position, and was told to take them over (`--adopt`): the "
        "orders were cancelled, and the position is closed by `flatten` with the play's own.",
        "Nothing to do: it was asked for. The report says what was there.",
    ),
    "HALTED": Explanation(
        "New orders are stopped for this symbol or run: the end of an order is not proven, or somebody halted the run.",
        "Read why in the report; `runner recover` settles and closes what is open.",
    ),
    "LATE_FILL": Explanation(
        "A fill was told after its order was thought to be over. It is counted.",
        "Compare the order's story with the exchange's own page; the position check uses what is really there.",
    ),
    "OVERFILL": Explanation(
        "More was filled than the order asked for.",
        "Compare the order's story with the exchange's own page and report it.",
    ),
    "REFUSED_BUT_SEEN": Explanation(
        "The exchange refused an order in its answer and showed it alive on the stream.",
        "Its end is looked up; keep the log and report it.",
    ),
    "CLIENT_ID_RANGE": Explanation(
        "The client id is outside what the exchange accepts.", "Let the allocator choose it: 1 to 4294967295."
    ),
}
"""Every stable error code; docs/ERRORS.md is printed from here."""


class VenueError(Exception):
    """Parent of the four; ``code`` is a key of :data:`CODES`, ``hint`` a sentence, ``raw`` the venue's own words."""

    def __init__(self, code: str, hint: str, *, raw: str = "") -> None:
        assert code in CODES, code
        super().__init__(code, hint)
        self.code = code
        self.hint = hint
        self.raw = raw

    def __str__(self) -> str:
        return f"{self.code}: {self.hint}" + (f" (the exchange said: {self.raw})" if self.raw else "")


class LocalRuleError(VenueError):
    """Refused on our side: nothing was sent."""


class Refused(VenueError):
    """The venue refused: the order does not exist there, and never did."""


class OutcomeUnknown(VenueError):
    """The order may exist. Look it up by client id; never send it again."""


class WireError(VenueError):
    """The venue broke its own documents. In answer to a placement this counts as :class:`OutcomeUnknown`."""
