"""
Faults as data: which message or request of a simulator goes wrong, when, and how.

A fault file (YAML or JSON) is a list of rules::

    - {action: lose_reply, on: http, kind: place, nth: [1]}
    - {action: delay, on: ws, kind: fill, every: 3, params: {ms: 800}}
    - {action: silent, venue: okx, after_ms: 20000, until_ms: 21000, params: {ms: 15000}}

A rule ``on: http`` also strikes requests that come as messages over a stream (orders, cancels), as far as its action
has a meaning there (:data:`ON_STREAM_REQUESTS`). A rule ``on: venue`` is something the venue does by itself at the
moment of a request, which is answered as ever. All rules count the occurrences they match, inside their window of
time; where several would fire for one occurrence, the first in the list acts. :data:`ACTIONS` says where each action
may stand and which ``params`` it reads.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

import msgspec

from core.chance import Chance
from core.clock import Clock

WRITES: Final = ("place", "cancel", "cancel_all")
READS: Final = (
    *("order", "open_orders", "history", "fills", "positions", "margin", "balances", "book", "time", "markets"),
    "other",
)
KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "http": (*WRITES, *READS),
    "ws": ("order", "fill", "position", "balance", "book", "other"),
    "engine": ("place", "cancel", "match"),
    "login": ("login",),
    "venue": (*WRITES, *READS),
}
"""What may stand in ``kind``, by ``on``; ``*`` is any of them. ``venue``: at a request of that kind, which goes on."""


class ActionFacts(NamedTuple):
    """What one action is: the kinds it can strike by place, its ``params`` with their defaults, its meaning."""

    strikes: Mapping[str, tuple[str, ...]]
    params: Mapping[str, Any]
    meaning: str


_HTTP: Final = {"http": KINDS["http"]}
_WS: Final = {"ws": KINDS["ws"]}
_VENUE: Final = {"venue": KINDS["venue"]}

ACTIONS: Final[Mapping[str, ActionFacts]] = {
    "delay": ActionFacts(
        {**_HTTP, **_WS}, {"ms": 500}, "The answer comes ms later; on a stream, so does all that follows it."
    ),
    "drop": ActionFacts(
        {**_HTTP, **_WS}, {}, "A request is lost before it is executed and its connection breaks; a message is lost."
    ),
    "duplicate": ActionFacts(_WS, {"count": 2}, "The message arrives count times."),
    "reorder": ActionFacts(_WS, {"ms": 50}, "The message arrives after the next one, or after ms if none comes."),
    "stale_read": ActionFacts(
        {"http": READS}, {}, "The previous answer to the same reading is given again; a live one if there is none."
    ),
    "error_after": ActionFacts(_HTTP, {"status": 503, "body": ""}, "Executed, then answered with an error status."),
    "error_before": ActionFacts(_HTTP, {"status": 503, "body": ""}, "Not executed, and answered with an error status."),
    "rate_limit": ActionFacts(
        _HTTP,
        {"status": 429, "retry_after": None, "body": ""},
        "Not executed; answered 429, with Retry-After if retry_after (seconds) is given.",
    ),
    "disconnect": ActionFacts(
        {**_HTTP, **_WS},
        {"code": 1006},
        "All streams of the client are closed: before a request is executed, or in place of a message. "
        "Code 1006 cuts the connection without a Close frame.",
    ),
    "silent": ActionFacts(
        _WS, {"ms": None}, "The stream stays open but carries nothing, no Pong either, for ms (null: for good)."
    ),
    "reject": ActionFacts(
        {"engine": ("place", "cancel")}, {"reason": ""}, "The venue refuses, in its own words for such a refusal."
    ),
    "partial_fill": ActionFacts(
        {"engine": ("match",)}, {"fraction": Decimal("0.5")}, "Only this share of a match is traded."
    ),
    "slow_cancel": ActionFacts(
        {"engine": ("cancel",)}, {"ms": 1000}, "The cancel is acknowledged at once and takes effect ms later."
    ),
    "truncate": ActionFacts(
        {**_HTTP, **_WS}, {"fraction": Decimal("0.5")}, "The answer or message is cut; this share of it arrives."
    ),
    "lose_reply": ActionFacts(_HTTP, {}, "Executed, and the connection breaks before the answer."),
    "execute_late": ActionFacts(
        _HTTP,
        {"ms": 1000, "breaks_ms": None},
        "Nothing happens for ms; then the request is executed and its connection breaks. With breaks_ms the "
        "connection breaks after that time already (0: at once), while the request is still on its way.",
    ),
    "hide_new": ActionFacts(
        {"http": ("order", "open_orders", "history", "fills")},
        {"ms": 1000},
        "The reading answers as if orders that were placed within the last ms did not exist.",
    ),
    "late_ack": ActionFacts(
        {"http": ("place", "cancel")}, {"ms": 500}, "Executed at once; its answer alone comes ms later."
    ),
    "early_fill": ActionFacts(
        {"http": ("place",)},
        {"fraction": Decimal("0.5"), "ms": 200},
        "This share of an order that came to rest is traded at once and told; the acknowledgement comes ms later.",
    ),
    "late_refusal": ActionFacts(
        {"http": ("place",)},
        {"ms": 100},
        "An order that came to rest is ended ms after its acknowledgement, as post-only orders are that would trade.",
    ),
    "late_fill": ActionFacts(
        {"http": ("cancel",)},
        {"fraction": Decimal("0.5"), "ms": 1000},
        "The cancel is told as done; ms later a trade is told that had come before it, of this share of the order.",
    ),
    "malformed": ActionFacts(
        {**_HTTP, **_WS},
        {"shape": "bytes"},
        "Nonsense in place of the answer or message: bytes (no UTF-8), text (no JSON) or json (of no known shape).",
    ),
    "unknown_word": ActionFacts(
        {"http": ("order", "open_orders", "history"), "ws": ("order",)},
        {},
        "The state of each order in it is a word that the venue never named.",
    ),
    "gap": ActionFacts(
        _WS, {"count": 3}, "This message and the next of its kind, count in all, are lost; their numbers go on."
    ),
    "refuse_login": ActionFacts(
        {"login": ("login",)}, {}, "A login, or what opens a private stream, is refused in the venue's own words."
    ),
    "expire_login": ActionFacts(
        _VENUE,
        {"ms": 1000},
        "The private streams end as the venue ends them when a listen key or login is over; where it says so "
        "beforehand, ms earlier.",
    ),
    "maintenance": ActionFacts(
        _VENUE, {"ms": 5000}, "For ms every request is refused as in maintenance, all streams end and none opens."
    ),
    "withdraw": ActionFacts(
        _VENUE,
        {"fraction": Decimal("0.0002"), "ms": 10_000},
        "All but this share of the account's free money and collateral is gone; it comes back after ms (null: never).",
    ),
    "liquidate": ActionFacts(
        _VENUE, {"fraction": Decimal("0.5")}, "The venue closes this share of a perp position with an order of its own."
    ),
    "deleverage": ActionFacts(
        _VENUE, {"fraction": Decimal("0.5")}, "As liquidate, by auto-deleveraging against another account."
    ),
    "clock_jump": ActionFacts(_VENUE, {"by_ms": 10_000}, "The venue's clock jumps by by_ms, back where it is below 0."),
    "clock_drift": ActionFacts(
        _VENUE, {"ppm": 50_000, "ms": 20_000}, "For ms the venue's clock runs that many millionths too fast or slow."
    ),
}
"""Every action a rule may name."""

ON_STREAM_REQUESTS: Final = frozenset(
    {"delay", "drop", "disconnect", "lose_reply", "execute_late"}
    | {"late_ack", "early_fill", "late_refusal", "late_fill"}
)
"""Those ``on: http`` that also strike a request which comes over a stream. The others speak of statuses and bodies."""
SHAPES: Final = ("bytes", "text", "json")


class FaultRule(msgspec.Struct, kw_only=True):
    """
    One rule. Without ``nth``, ``every`` and ``probability`` it fires at each match. A message that goes out on two
    streams is two occurrences.

    ``nth`` counts matches from 1; ``after_ms`` and ``until_ms`` are milliseconds since the simulator started,
    the end not included. ``params`` always holds every parameter of its action.
    """

    action: str
    on: str
    kind: str = "*"
    venue: str | None = None
    """None: every venue, each counting for itself."""
    nth: tuple[int, ...] = ()
    every: int | None = None
    probability: float | None = None
    after_ms: int = 0
    until_ms: int | None = None
    params: dict[str, Any] = {}
    matched: int = 0
    fired: int = 0

    def __post_init__(self) -> None:
        self.params = {**ACTIONS[self.action].params, **self.params}

    def matches(self, on: str, kind: str, elapsed_ms: int) -> bool:
        """Whether an occurrence is one that this rule counts."""
        return (
            on == self.on
            and self.kind in ("*", kind)
            and kind in ACTIONS[self.action].strikes[on]
            and self.after_ms <= elapsed_ms
            and (self.until_ms is None or elapsed_ms < self.until_ms)
        )


class Faults:
    """
    The rules of one simulator. ``Faults()`` has none and answers None to everything.

    Args:
        rules: Their counters belong to this object from now on.
        chance: For ``probability``; each rule draws from a fork of its own.
    """

    def __init__(self, rules: Iterable[FaultRule] = (), chance: Chance | None = None) -> None:
        self.rules: tuple[FaultRule, ...] = tuple(rules)
        self._chance = chance or Chance("faults")
        self._draws = [self._chance.fork(f"rule {place}") for place, _ in enumerate(self.rules, start=1)]
        self._nonsense = self._chance.fork("nonsense")
        self._clock: Clock | None = None
        self._start_ms = 0

    @classmethod
    def load(cls, data: object, *, chance: Chance | None = None, venues: Collection[str] = ()) -> Faults:
        """
        Read the rules of a fault file that YAML or JSON has already turned into lists and mappings.

        Args:
            venues: The words allowed as ``venue``; empty allows any.

        Raises:
            ValueError: One line for each mistake: the rule, counted from 1, its key, and what is allowed there.
        """
        if data is None:
            return cls((), chance)
        if isinstance(data, str) or not isinstance(data, Sequence):
            raise ValueError(f"faults: expected a list of rules, found {_shown(data)}")
        mistakes: list[str] = []
        rules = [_read_rule(place, row, venues, mistakes) for place, row in enumerate(data, start=1)]
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return cls([rule for rule in rules if rule is not None], chance)

    def for_venue(self, venue: str) -> Faults:
        """Those rules that hold for ``venue``, with counters and chance of their own."""
        own = [msgspec.structs.replace(rule, matched=0, fired=0) for rule in self.rules if rule.venue in (None, venue)]
        return Faults(own, self._chance.fork(venue))

    def begin(self, clock: Clock) -> None:
        """Start the time that ``after_ms`` and ``until_ms`` count from; the gate does this once."""
        if self._clock is None:
            self._clock = clock
            self._start_ms = clock.now_ms()

    def http(self, kind: str) -> FaultRule | None:
        """What strikes a request of this kind."""
        return self._ask("http", kind)

    def text(self, kind: str) -> FaultRule | None:
        """What strikes a request of this kind that comes over a stream; the same rules, counting on."""
        return self._ask("http", kind, ON_STREAM_REQUESTS)

    def ws(self, kind: str) -> FaultRule | None:
        """What strikes an outgoing stream message of this kind."""
        return self._ask("ws", kind)

    def login(self) -> FaultRule | None:
        """What strikes a login."""
        return self._ask("login", "login")

    def venue(self, kind: str, able: Callable[[FaultRule], bool]) -> FaultRule | None:
        """What the venue itself does now; a rule counts only where ``able`` says that it would change something."""
        return self._ask("venue", kind, able=able)

    def engine(self, kind: str) -> FaultRule | None:
        """
        What a venue's simulator must do to a ``place`` (reject), a ``cancel`` (reject, slow_cancel) or
        a ``match`` (partial_fill): the rule that fires, or None.
        """
        return self._ask("engine", kind)

    def nonsense(self, shape: str) -> str | bytes:
        """A message that no venue ever sent."""
        if shape == "bytes":
            return b"\xff" + self._nonsense.bytes(self._nonsense.integer(0, 60))
        if shape == "text":
            return self._nonsense.bytes(self._nonsense.integer(1, 40)).hex() + "}"
        return self._nonsense.pick(('{"levitating":[[1],{"a":null}]}', '[["levitating"],[null]]', "42", '"levitating"'))

    def _ask(
        self,
        on: str,
        kind: str,
        actions: Collection[str] = ACTIONS,
        able: Callable[[FaultRule], bool] = lambda rule: True,
    ) -> FaultRule | None:
        if not self.rules:
            return None
        elapsed_ms = self._clock.now_ms() - self._start_ms if self._clock else 0
        struck: FaultRule | None = None
        for rule, draw in zip(self.rules, self._draws, strict=True):
            if rule.action not in actions or not rule.matches(on, kind, elapsed_ms) or not able(rule):
                continue
            rule.matched += 1
            if _fires(rule, draw) and struck is None:
                rule.fired += 1
                struck = rule
        return struck


def _fires(rule: FaultRule, draw: Chance) -> bool:
    if rule.nth:
        return rule.matched in rule.nth
    if rule.every is not None:
        return rule.matched % rule.every == 0
    return rule.probability is None or draw.happens(rule.probability)


# -- reading a rule


class _Mistake(Exception):
    """What is wrong with one value, in words that follow its key."""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _word(value: object, allowed: Iterable[str]) -> str:
    words = list(allowed)
    if isinstance(value, str) and value in words:
        return value
    near = difflib.get_close_matches(str(value), words, n=1)
    guess = f"; did you mean {near[0]!r}?" if near else ";"
    raise _Mistake(f"{_shown(value)} is not known{guess} allowed: {', '.join(words) or 'none'}")


def _whole(low: int, high: int | None = None) -> Callable[[object], int]:
    wanted = f"a whole number from {low}" + (f" to {high}" if high is not None else " up")

    def read(value: object) -> int:
        # bool is an int in Python, never in a fault file.
        if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
            raise _Mistake(f"expected {wanted}, found {_shown(value)}")
        return int(value)

    return read


def _signed(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not value or abs(value) > 10**8:
        raise _Mistake(f"expected a whole number other than 0, found {_shown(value)}")
    return value


def _fraction(value: object) -> Decimal:
    if not isinstance(value, bool) and isinstance(value, int | float | str | Decimal):
        try:
            share = Decimal(str(value))
        except InvalidOperation:
            share = Decimal("NaN")
        if share.is_finite() and 0 <= share < 1:
            return share
    raise _Mistake(f"expected a share from 0 to below 1, found {_shown(value)}")


def _probability(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise _Mistake(f"expected a number from 0 to 1, found {_shown(value)}")
    return float(value)


def _occurrences(value: object) -> tuple[int, ...]:
    read = _whole(1)
    rows = value if isinstance(value, list | tuple) else [value]
    if not rows:
        raise _Mistake("expected at least one whole number from 1 up, found an empty list")
    return tuple(read(row) for row in rows)


def _mapping(value: object) -> Mapping[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _Mistake(f"expected a mapping, found {_shown(value)}")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _Mistake(f"expected a text, found {_shown(value)}")
    return value


def _shape(value: object) -> str:
    return _word(value, SHAPES)


_PARAMS: Final[Mapping[str, Callable[[object], Any]]] = {
    "by_ms": _signed,
    "ppm": _signed,
    "shape": _shape,
    "ms": _whole(0),
    "breaks_ms": _whole(0),
    "count": _whole(2, 100),
    "status": _whole(400, 599),
    "code": _whole(1000, 4999),
    "retry_after": _whole(0),
    "fraction": _fraction,
    "body": _text,
    "reason": _text,
}
_FOR_GOOD: Final = frozenset({("withdraw", "ms")})
"""Params that may be null though they are a number where nothing is said."""
_FIELDS: Final[Mapping[str, Callable[[object], Any]]] = {
    "nth": _occurrences,
    "every": _whole(1),
    "probability": _probability,
    "after_ms": _whole(0),
    "until_ms": _whole(1),
}
_KEYS: Final = ("action", "on", "kind", "venue", *_FIELDS, "params")


def _read_rule(place: int, row: object, venues: Collection[str], mistakes: list[str]) -> FaultRule | None:
    found_before = len(mistakes)

    def read(key: str, reader: Callable[[object], Any], value: object) -> Any:
        try:
            return reader(value)
        except _Mistake as mistake:
            mistakes.append(f"rule {place}: {key}: {mistake}")
            return None

    if not isinstance(row, Mapping):
        mistakes.append(f"rule {place}: expected a mapping with the key 'action', found {_shown(row)}")
        return None
    for key in row:
        read(key if isinstance(key, str) and key.isidentifier() else _shown(key), lambda word: _word(word, _KEYS), key)
    if "action" not in row:
        mistakes.append(f"rule {place}: action: missing; allowed: {', '.join(ACTIONS)}")
        return None
    action = read("action", lambda word: _word(word, ACTIONS), row["action"])
    if action is None:
        return None

    facts = ACTIONS[action]
    values: dict[str, Any] = {"action": action}
    if "on" in row:
        values["on"] = read(f"on (of {action})", lambda word: _word(word, facts.strikes), row["on"])
    elif len(facts.strikes) == 1:
        values["on"] = next(iter(facts.strikes))
    else:
        mistakes.append(f"rule {place}: on: {action} needs it; allowed: {', '.join(facts.strikes)}")
    if values.get("on") and "kind" in row:
        strikes = facts.strikes[values["on"]]
        label = f"kind (of {action} on {values['on']})"
        values["kind"] = read(label, lambda word: _word(word, ("*", *strikes)), row["kind"])
    if row.get("venue") is not None:
        reader: Callable[[object], Any] = (lambda word: _word(word, venues)) if venues else _text
        values["venue"] = read("venue", reader, row["venue"])
    for key in [key for key in _FIELDS if row.get(key) is not None]:
        values[key] = read(key, _FIELDS[key], row[key])
    values["params"] = _read_params(action, row.get("params"), read)

    if sum(row.get(key) is not None for key in ("nth", "every", "probability")) > 1:
        mistakes.append(f"rule {place}: nth, every, probability: only one of them may be given")
    if len(mistakes) > found_before:
        return None
    if values.get("until_ms") is not None and values["until_ms"] <= values.get("after_ms", 0):
        mistakes.append(f"rule {place}: until_ms: expected more than after_ms, found {values['until_ms']}")
        return None
    return FaultRule(**values)


def _read_params(action: str, row: object, read: Callable[..., Any]) -> dict[str, Any]:
    allowed = ACTIONS[action].params
    values: dict[str, Any] = {}
    for key, value in (read("params", _mapping, row) or {}).items():
        if key not in allowed:
            read(f"params (of {action})", lambda word: _word(word, allowed), key)
        elif value is None and (allowed[key] is None or (action, key) in _FOR_GOOD):
            values[key] = None
        else:
            values[key] = read(f"params.{key}", _PARAMS[key], value)
    return values
