"""
Scenario files → checked, frozen scenarios, or every mistake in all of them.

Nothing here raises for what people wrote: mistakes are answers.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from inspect import isabstract
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from runner.document import MAX_BYTES, Document, Entry, Item, parse
from runner.given import Environment, Given, InputsFile, SetFlags
from runner.inputs import Inputs
from runner.listings import Listings
from runner.mistakes import Mistake, wrong_words
from runner.rules import check_shape, verb_schema
from runner.scenario import Accept, Scenario, SizeSpec, StepCall
from runner.values import BadValue, either, nearest, read_value, show
from schemas import load_schema

VENUE_FLAG: Final = "--venue"
_PAIRS: Final = {"random_wait": ("min_secs", "max_secs"), "assert_position": ("at_least", "at_most")}
"""Settings of which the first may not be larger than the second."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a check found. A file with a mistake gives no scenario."""

    scenarios: tuple[Scenario, ...]
    mistakes: tuple[Mistake, ...]
    """In order of the files, then of their places; flags last."""
    sources: Mapping[str, str]
    """Text of every file and flag by the name mistakes call it, secrets covered."""
    files: int


def load_scenarios(
    paths: Sequence[str | Path],
    *,
    sets: Mapping[str, str] | Sequence[str] = (),
    inputs: str | None = None,
    environ: Mapping[str, str] = MappingProxyType({}),
    venues: Sequence[str] = (),
    known_venues: Sequence[str],
    on: str | None = None,
) -> LoadResult:
    """
    Check and resolve scenario files, all of them in one pass.

    Args:
        sets: Values for inputs, by name or as the texts behind ``--set``.
        inputs: A file with values for inputs; ``sets`` win over it.
        environ: Where ``ROUNDTRIP_INPUT_HOLD`` and the like may stand; the file wins over it.
        venues: From the command line; when given, they take the place of every scenario's own.
        known_venues: Every exchange there is.
        on: Where it is to be played, ``sim``, ``testnet`` or ``live``: what is not traded there is a mistake. None:
            coins, sizes and strategies are not judged.
    """
    file = InputsFile(inputs or "--inputs", None if inputs is None else _file(inputs))
    given = Given(SetFlags(sets), file, Environment(environ))
    mistakes: list[Mistake] = []
    sources: dict[str, str] = {}
    scenarios: list[Scenario] = []
    unread = False
    names = list(dict.fromkeys(str(path) for path in paths))
    override = _Override(venues, known_venues)
    for name in names:
        found = _file(name)
        if isinstance(found, Mistake):
            mistakes.append(found)
            unread = True
            continue
        document = parse(name, found)
        if document.root is None:
            unread = True
        else:
            scenario = _Reading(document, given, override, on).scenario(found)
            if scenario is not None:
                scenarios.append(scenario)
        sources[name] = document.masked()
        mistakes.extend(sorted(document.mistakes, key=lambda mistake: (mistake.line, mistake.column)))
    # A file that cannot be read may be the one that has the input.
    if not unread:
        given.blame_undeclared()
    sources |= {**given.sources, VENUE_FLAG: override.source}
    mistakes += [*given.mistakes, *override.mistakes]
    return LoadResult(tuple(scenarios), tuple(mistakes), sources, len(names))


class _Override:
    """The venues of the command line. The n-th flag is line n of the file ``--venue``."""

    def __init__(self, venues: Sequence[str], known: Sequence[str]) -> None:
        self.source = "\n".join(venues)
        self.known = known
        self.mistakes: list[Mistake] = []
        for line, venue in enumerate(venues, 1):
            if venue in venues[: line - 1]:
                message = f"{venue} is named twice."
                self.mistakes.append(_flag("DUPLICATE_VENUE", line, venue, message, "each exchange once"))
            elif venue not in known:
                message = f"There is no exchange called {venue[:60]}."
                near = nearest(venue, known)
                self.mistakes.append(_flag("UNKNOWN_VENUE", line, venue, message, _known(known), near))
        self.venues = tuple(venues)

    def blame_lacking(self, venue: str, message: str, wanted: str) -> None:
        """Record that ``venue`` does not trade what a scenario names."""
        line = self.venues.index(venue) + 1
        if all(mistake.line != line for mistake in self.mistakes):
            self.mistakes.append(_flag("UNKNOWN_SYMBOL", line, venue, message, wanted))
            self.mistakes.sort(key=lambda mistake: mistake.line)


def venues_named(venues: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """
    The venues of a command line that names no scenario; all of ``known`` when it names none.

    Raises:
        WrongInput: one is not known, or is named twice.
    """
    override = _Override(venues, known)
    if override.mistakes:
        raise wrong_words(override.mistakes, {VENUE_FLAG: override.source})
    return override.venues or tuple(known)


def _flag(code: str, line: int, venue: str, message: str, wanted: str, near: str | None = None) -> Mistake:
    return Mistake(code, VENUE_FLAG, line, 1, message, venue[:60], wanted, near, len(venue))


def _known(venues: Sequence[str]) -> str:
    return either(venues) if venues else "none: no exchange is built in"


def _file(name: str) -> bytes | Mistake:
    """A file's bytes, or why there are none."""

    def wrong(code: str, message: str, wanted: str, *, found: str | None = None, near: str | None = None) -> Mistake:
        return Mistake(code, name, 1, 1, message, found, wanted, near)

    try:
        path = Path(name)
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            wanted = f"files, such as {path / '*.yaml'}"
            return wrong("FILE_IS_FOLDER", "This is a folder, and files are wanted.", wanted)
        if not stat.S_ISREG(mode):
            return wrong("FILE_UNREADABLE", "This is no ordinary file.", "a text file")
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return wrong("FILE_MISSING", "There is no such file.", "a file that exists", near=similar_file(name))
    except OSError as error:
        why = error.strerror or "it cannot be opened"
        return wrong("FILE_UNREADABLE", "This file cannot be read.", "a file you may read", found=why)
    if len(data) > MAX_BYTES:
        return wrong("FILE_TOO_BIG", "This file is too large for a scenario.", "at most one megabyte")
    return data


def similar_file(name: str) -> str | None:
    try:
        path = Path(name)
        near = nearest(path.name, os.listdir(path.parent))
    except (OSError, ValueError):
        return None
    return str(path.parent / near) if near else None


class _Reading:
    """One document on its way to a scenario."""

    def __init__(self, document: Document, given: Given, override: _Override, on: str | None) -> None:
        check_shape(document)
        self._document = document
        self._override = override
        self._known_venues = override.known
        self._on = on
        self._listings = Listings(on)
        assert document.root is not None
        self._root: Item = document.root
        self._facts: Mapping[str, Any] = load_schema("scenario")["properties"]
        self._inputs = Inputs(document, given)
        # Filled in below; the defaults keep the check going past a broken line.
        self._size = SizeSpec("min")
        self._side = "buy"
        self._sizes: list[tuple[Item, SizeSpec]] = []
        """Every size that the file spells out."""

    def scenario(self, data: bytes) -> Scenario | None:
        """The scenario, or None when anything in the document is blamed."""
        name = self._top("scenario")
        title = self._top("title")
        market, symbol, side, size, seed = (self._top(key) for key in ("market", "symbol", "side", "size", "seed"))
        self._side, self._size = side or "buy", size or SizeSpec("min")
        if size is not None and "size" in self._root.entries:
            self._sizes.append((self._root.entries["size"].item, size))
        venues = self._venues()
        steps, closing = self._steps("steps"), self._steps("finally")
        accept = self._accept()
        language = self._language()
        traded = not (market and symbol) or self._traded(market, symbol, venues)
        if self._document.mistakes or self._inputs.broken or not traded:
            return None
        return Scenario(
            name=name,
            title=title or name,
            venues=self._override.venues or venues or "all",
            market=market,
            symbol=symbol,
            side=side,
            size=size,
            seed=seed,
            steps=steps,
            finally_=closing or self._standard_end(),
            accept=accept,
            language=language,
            inputs=self._inputs.values,
            path=self._document.name,
            data=data,
        )

    def _top(self, key: str) -> Any:
        facts = self._facts[key]
        entry = self._root.entries.get(key)
        if entry is not None:
            if key == "title":
                return entry.item.plain
            return self._inputs.resolve(key, entry.item, facts)
        return read_value(key, facts["default"], facts["default"], facts) if "default" in facts else None

    def _venues(self) -> tuple[str, ...]:
        """Empty for all."""
        entry = self._root.entries.get("venues")
        seen: list[str] = []
        for item in entry.item.items if entry else ():
            word = item.plain
            if not isinstance(word, str):
                continue
            if word == "all":
                message = "all stands alone, without brackets."
                self._document.blame_item("WRONG_TYPE", item, message, expected="venues: all")
            elif word in seen:
                message = f"{word[:60]} is named twice."
                self._document.blame_item("DUPLICATE_VENUE", item, message, expected="each exchange once")
            elif word not in self._known_venues:
                self._document.blame_item(
                    "UNKNOWN_VENUE",
                    item,
                    f"There is no exchange called {word[:60]}.",
                    expected=_known(self._known_venues),
                    suggestion=nearest(word, self._known_venues),
                )
            seen.append(word)
        return tuple(seen)

    def _steps(self, key: str) -> tuple[StepCall, ...]:
        entry = self._root.entries.get(key)
        calls = (self._step(item) for item in entry.item.items) if entry else ()
        return tuple(call for call in calls if call is not None)

    def _standard_end(self) -> tuple[StepCall, ...]:
        return tuple(
            StepCall(verb, {}, 0, 0, str(verb_schema(verb)["words"])) for verb in self._facts["finally"]["default"]
        )

    def _step(self, item: Item) -> StepCall | None:
        if isinstance(item.plain, str):
            verb, start, settings = item.plain, item.start, None
        elif len(item.entries) == 1:
            verb, entry = next(iter(item.entries.items()))
            start, settings = entry.start, entry.item
        else:
            return None
        if verb not in load_schema("scenario")["$defs"]["step"]["properties"]:
            return None
        facts: Mapping[str, Mapping[str, Any]] = verb_schema(verb)["properties"]
        given = self._settings(settings, facts) if settings else {}
        if verb in _PAIRS and settings is not None:
            self._ordered(*_PAIRS[verb], given, settings, facts)
        if settings is not None and isinstance(given.get("size"), SizeSpec):
            self._sizes.append((settings.entries["size"].item, given["size"]))
        if verb == "run_strategy" and settings is not None and self._on is not None:
            self._strategy(settings.entries, given)
        values = {**_defaults(verb), **self._from_scenario(facts), **given}
        line, column = self._document.place(start)
        return StepCall(verb, values, line, column, _words(verb, values, given))

    def _strategy(self, entries: Mapping[str, Entry], given: Mapping[str, Any]) -> None:
        # The engine's import: only a file that names a strategy pays for it.
        from strategy import STRATEGIES

        name = given.get("name")
        if name is None:
            return
        if name not in STRATEGIES:
            message = f"There is no strategy called {name}."
            bad = BadValue("UNKNOWN_STRATEGY", message, either(STRATEGIES), nearest(name, STRATEGIES))
            self._inputs.blame(entries["name"].item, bad)
            return
        if isabstract(STRATEGIES[name]):
            message = f"The strategy {name} has no run method."
            bad = BadValue("STRATEGY_BROKEN", message, "`async def run(self) -> str` in its class")
            self._inputs.blame(entries["name"].item, bad)
        known = STRATEGIES[name].params
        for key, entry in entries["params"].item.entries.items() if "params" in entries else ():
            value = given.get("params", {}).get(key)
            if key not in known:
                self._document.blame(
                    "STRATEGY_SETTING",
                    entry.start,
                    entry.end,
                    f"The strategy {name} has no setting {key[:60]}.",
                    found=key[:60],
                    expected=either(known) if known else "no settings",
                    suggestion=nearest(key, known),
                )
            elif isinstance(known[key], int | float) and isinstance(value, str | bool):
                message = f"{key} of the strategy {name} takes a number."
                self._inputs.blame(entry.item, BadValue("WRONG_TYPE", message, f"a number such as {known[key]:g}"))

    def _settings(self, item: Item, facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, entry in item.entries.items():
            if key in facts:
                group = facts[key]["kind"] == "group"
                found[key] = (
                    self._inputs.free(entry.item) if group else self._inputs.resolve(key, entry.item, facts[key])
                )
        return {key: value for key, value in found.items() if value is not None}

    def _from_scenario(self, facts: Iterable[str]) -> dict[str, Any]:
        # Only opening verbs have a size, and their side is then the scenario's too.
        return {"size": self._size, "side": self._side} if "size" in facts else {}

    def _ordered(
        self, low: str, high: str, given: Mapping[str, Any], item: Item, facts: Mapping[str, Mapping[str, Any]]
    ) -> None:
        if low in given and high in given and given[low] > given[high]:
            part = item.entries[low].item
            most = f"at most {show(given[high], facts[high])}, as {high} says"
            self._document.blame_item("MIN_OVER_MAX", part, f"{low} is larger than {high}.", expected=most)

    def _traded(self, market: str, symbol: str, venues: Sequence[str]) -> bool:
        """Whether every exchange has the market and the market takes every size; what does not fit is blamed."""
        named = self._root.entries.get("venues")
        if not (self._override.venues or venues or (named and named.item.plain == "all")):
            return True
        wanted = [v for v in self._override.venues or venues or self._known_venues if v in self._known_venues]
        having = [venue for venue in wanted if self._listings.has(venue, market, symbol)]
        lacking = [venue for venue in wanted if venue not in having]
        if lacking:
            self._blame_market(market, symbol, lacking)
        fits = not lacking
        for item, size in self._sizes:
            try:
                self._listings.refuse_size("size", size, symbol, market, having)
            except BadValue as bad:
                fits = False
                self._inputs.blame(item, bad)
        return fits

    def _blame_market(self, market: str, symbol: str, lacking: Sequence[str]) -> None:
        """The coin when no exchange has it, else the exchanges that have not."""
        listings, entries = self._listings, self._root.entries
        having = [venue for venue in self._known_venues if listings.has(venue, market, symbol)]
        message = listings.lacking(lacking, market, symbol)
        if not having:
            coins = listings.coins(self._known_venues, market)
            wanted = either(coins) if coins else "another market"
            bad = BadValue("UNKNOWN_SYMBOL", message, wanted, nearest(symbol, coins))
            self._inputs.blame(entries["symbol"].item, bad)
        elif self._override.venues:
            for venue in lacking:
                words = listings.lacking([venue], market, symbol)
                self._override.blame_lacking(venue, words, listings.instead(venue, market, symbol))
        elif entries["venues"].item.items:
            for item in entries["venues"].item.items:
                if item.plain in lacking:
                    words = listings.lacking([item.plain], market, symbol)
                    expected = listings.instead(item.plain, market, symbol)
                    self._document.blame_item("UNKNOWN_SYMBOL", item, words, expected=expected)
        else:
            rest = f"[{', '.join(having)}]"
            item, expected = entries["venues"].item, f"venues: {rest}"
            self._document.blame_item("UNKNOWN_SYMBOL", item, message, expected=expected, suggestion=rest)

    def _language(self) -> Literal["en", "zh"] | None:
        report = self._root.entries.get("report")
        entry = report.item.entries.get("language") if report else None
        facts = self._facts["report"]["properties"]["language"]
        language: Literal["en", "zh"] | None = None
        if entry is not None:
            language = self._inputs.resolve("language", entry.item, facts)
        return language

    def _accept(self) -> Accept:
        entry = self._root.entries.get("accept")
        asked = entry.item.entries if entry else {}
        facts = self._facts["accept"]["properties"]
        values: dict[str, Any] = {}
        for key, part in asked.items():
            if key not in facts:
                continue
            if facts[key]["kind"] != "group":
                values[key] = self._inputs.resolve(key, part.item, facts[key])
                continue
            for name, rule in facts[key]["properties"].items():
                inner = part.item.entries.get(name)
                default = rule["default"]
                values[f"{key}_{name}"] = (
                    self._inputs.resolve(name, inner.item, rule)
                    if inner
                    else read_value(name, default, str(default), rule)
                )
        return Accept(**values)


@cache
def _defaults(verb: str) -> dict[str, Any]:
    facts = verb_schema(verb)["properties"]
    return {
        key: {} if rule["kind"] == "group" else read_value(key, rule["default"], str(rule["default"]), rule)
        for key, rule in facts.items()
        if "default" in rule
    }


def _words(verb: str, values: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    schema = verb_schema(verb)
    facts = schema["properties"]
    shown = {key: show(value, facts[key]) for key, value in values.items()}
    listed = ", ".join(f"{key.replace('_', ' ')} {shown[key]}" for key in given)
    # A blamed setting is absent; its step is never played, so its words may stay plain.
    return (
        str(schema["words"]).format(**shown, given=listed)
        if all(k in shown for k in schema.get("required", ()))
        else verb
    )
