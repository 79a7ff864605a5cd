"""
Write docs/SCENARIOS.md and docs/ERRORS.md from the schemas and the tables of codes.

``python scripts/write_docs.py`` writes both pages; ``--check`` writes nothing and exits 1 naming each stale page.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ruamel.yaml import YAML  # noqa: E402 - the checkout must be on the path first
from ruamel.yaml.error import YAMLError  # noqa: E402

from app.settings import SETTINGS_CODES  # noqa: E402
from runner.mistakes import SCENARIO_CODES  # noqa: E402
from runner.plan import CLEANUP_SECS  # noqa: E402
from schemas import load_schema, verbs  # noqa: E402
from steps import CODES as STEP_CODES  # noqa: E402
from venues import VENUES  # noqa: E402
from venues.errors import CODES  # noqa: E402

SCENARIOS = """\
# Scenarios

This page is written by `python scripts/write_docs.py` from the schemas; do not edit it by hand.

A scenario is one YAML file. It says what to play, where, and what must be true afterwards.

```yaml
# yaml-language-server: $schema=../schemas/scenario.schema.json
scenario: evening_check
title: Open long, hold, close, prove flat
venues: [backpack]
market: perp
symbol: SOL
side: buy
size: min
seed: 7
inputs:
  hold: {{type: duration, default: 20s, min: 1s, max: 5m, description: How long the position stays open}}
steps:
  - tracking_open: {{interval_secs: 5, timeout_secs: 2m}}
  - assert_position: {{quantity: filled, side: buy}}
  - wait: {{secs: $hold}}
  - market_close
  - assert_flat
finally:
  - cancel_all
  - flatten
accept:
  round_trip: {{at_least: 1}}
  flat: true
  no_unhandled_errors: true
  logs_complete: true
```

The first line is for editors: with it they complete names and mark mistakes while you type. It gives the way from your
file to `schemas/scenario.schema.json`.

## Check, look, play

```sh
runner check my.yaml
runner plan my.yaml --set hold=10s
runner play my.yaml --set hold=10s --speed 10
```

`runner check` tells every mistake of every file at once, with line, column and the nearest right word. It judges for
simulators: a coin that they do not list, or a size that one of them refuses, is a mistake. With `--on testnet` or
`--on live` the exchange's own list decides, which a run reads before its first order. `runner plan` shows what would
happen. Neither sends anything. `runner play` checks first and plays only sound files.
`runner steps` lists the verbs, `runner steps VERB` shows one of them, `runner explain CODE` explains a code of
[ERRORS.md](ERRORS.md).

## The file

| key | meaning | default |
| --- | --- | --- |
{keys}

Exchanges there are: {venues}.

Every other key is refused. Names are spelt exactly; where a word is nearly right, the message says which was meant.

## Sizes

| you write | it means |
| --- | --- |
| `min` | the smallest order that the market takes at its price of the moment |
| `0.05` | so many tokens (base units): a multiple of the market's lot (`PRECISION`), and at least the smallest order \
(`MIN_SIZE`) |
| `25 USD` | as many tokens as this is worth at the best price, rounded down to the lot |

A size that you give is never rounded up. On simulators `runner check` refuses a size that is off the lot, or too small
at any price they may show; it names the exchange and writes the smallest size that every exchange takes.
Where an exchange takes the fee of a spot purchase out of the coin bought, `min` buys one lot more, so that what arrives
can be sold again.

## Times

A number is seconds. `500ms`, `10s`, `2m` and `1h` are fine too; no space before the unit. Times are the play's: with
`--speed 10` a wait of `20s` takes two real seconds. Signatures and timestamps stay on real time. `--speed` is for
simulated runs only.

## Inputs

An input is a value with a name. Use it as `$name` in place of a value, and set it from the command line:

```sh
runner play scenarios/examples/one_venue.yaml --set hold=10s
```

| key of an input | meaning |
| --- | --- |
{input_keys}

Types: {input_types}.

Many values fit better into a file, a line each, named with `--inputs`:

```sh
runner play scenarios/examples/one_venue.yaml --inputs values.yaml
```

An environment variable `ROUNDTRIP_INPUT_HOLD` gives the input `hold` its value too. A flag wins over the file, the file
over the environment, the environment over the default; `runner plan FILE` shows each value and where it came from.
Secrets are refused as values, wherever they come from.

An input with `type: choice` needs `choices`. There is no arithmetic and no programming language inside a scenario;
[a strategy](STRATEGY_GUIDE.md) is the place for that.

## Steps

Steps run from top to bottom, on every exchange of the scenario at the same time and independently. Each step starts
with a dash and has one verb. A verb without needed settings may stand alone:

```yaml
- market_open
- wait: {{secs: 10}}
- market_close: {{}}
```

When a step fails, the steps behind it are skipped on that exchange, and `finally` runs.

## Finally

`finally` always runs: after success, after a failed step, after Ctrl-C. Left out, it is `cancel_all` and `flatten`.
A `finally` of your own takes their place, so keep `flatten` in it: a run that ends with something open is *not proven
flat* and exits with code 5. After `finally` the program settles what is left and reads position and open orders from
the exchange once more, whatever the file says. Cleanup as a whole may take {cleanup_secs:g} seconds.

On spot, *flat* means: no more of the token than before the play, except dust below one lot, which cannot be sold.

## Accept

Each line of `accept` becomes a line of the acceptance table, with the evidence beside it. A failed step fails the run
with or without such lines.

| line | meaning | setting |
| --- | --- | --- |
{accept}

A `heartbeat` line needs endpoints in the config ([HEARTBEAT.md](HEARTBEAT.md)); a simulated run without endpoints gets
a receiver of its own on this machine.

## No secrets

Keys never stand in a scenario: scenarios are shared and end up in reports. A file with something that looks like a key
is refused (`SECRET_IN_FILE`).

# Verbs

{verbs}
"""

ERRORS = """\
# Codes

This page is written by `python scripts/write_docs.py` from the tables in the code; do not edit it by hand.

A code is a stable word. It stands beside every mistake, in the report, in `outcome.json` and in the logs.
`runner explain CODE` shows the same text as this page.

## Orders and exchanges

From `venues/errors.py`. Some of these are refusals of our own (nothing was sent), some are the exchange's, told in our
words with the exchange's own beside them.

{orders}

## Steps and strategies

From `steps/__init__.py`. A step that missed its aim ends with one of these, or with one of the above.

{steps}

## Settings

From `app/settings.py`. Mistakes in `config.yaml` or in flags also use the codes of scenario files. Exit code 2, nothing
was sent.

{settings}

## Scenario files

From `runner/mistakes.py`. Exit code 2, nothing was sent.

{scenarios}
"""


# -- docs/SCENARIOS.md


def scenarios_page() -> str:
    """The whole page."""
    schema = load_schema("scenario")
    needed = schema["required"]
    inputs = schema["$defs"]["input"]["properties"]
    return SCENARIOS.format(
        keys=_rows(
            (f"`{key}`", facts["description"], "needed" if key in needed else _default(facts))
            for key, facts in schema["properties"].items()
        ),
        venues=_listed(VENUES),
        cleanup_secs=CLEANUP_SECS,
        input_keys=_rows((f"`{key}`", facts["description"]) for key, facts in inputs.items()),
        input_types=_listed(inputs["type"]["enum"]),
        accept=_rows(
            (f"`{key}`", facts["description"], _accept_setting(facts))
            for key, facts in schema["properties"]["accept"]["properties"].items()
        ),
        verbs="\n\n".join(_verb(verb) for verb in verbs()),
    )


def _verb(verb: str) -> str:
    schema = load_schema(f"steps/{verb}")
    lines = [f"## {verb}", "", f"*{schema['title']}.* {schema['description']}", ""]
    settings = schema.get("properties", {})
    if settings:
        lines += ["| setting | meaning | unit | default | allowed | example |", "| --- | --- | --- | --- | --- | --- |"]
        lines.append(
            _rows(
                (
                    f"`{name}`",
                    facts["description"],
                    facts.get("unit", "–"),
                    "needed" if name in schema.get("required", ()) else _default(facts),
                    _allowed(facts),
                    f"`{_flow(facts['examples'][-1])}`",
                )
                for name, facts in settings.items()
            )
        )
        if schema.get("minProperties"):
            lines += ["", "At least one of them must stand there."]
    else:
        lines.append("It has no settings.")
    steps = [f"- {verb}: {_flow(given)}" if given else f"- {verb}" for given in schema["examples"]]
    return "\n".join([*lines, "", "```yaml", *steps, "```"])


def _default(facts: Mapping[str, Any]) -> str:
    return f"`{_flow(facts['default'])}`" if "default" in facts else "–"


def _allowed(facts: Mapping[str, Any]) -> str:
    """The limits of a setting in words; an input by name may stand anywhere and is not repeated."""
    options = next((rule["enum"] for rule in facts.get("anyOf", ()) if "enum" in rule), None)
    if options:
        return _listed(options)
    match facts["kind"]:
        case "yes_no":
            return "`true`, `false`"
        case "size":
            return "`min`, a number above 0, or `25 USD`"
        case "quantity":
            return f"`filled`, or {facts['minimum']} to {facts['maximum']}"
        case "text":
            return "small letters, digits, `_`"
        case "group":
            return "what the strategy knows"
        case _:
            return f"{facts['minimum']} to {facts['maximum']}"


def _accept_setting(facts: Mapping[str, Any]) -> str:
    if facts["kind"] != "group":
        return "`true`, `false`"
    told = []
    for name, rule in facts["properties"].items():
        told.append(f"`{name}`: {rule['minimum']} to {rule['maximum']} {rule['unit']}, default {rule['default']}")
    return "; ".join(told)


def _flow(value: Any) -> str:
    """A value as people write it on one line of YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(inner) for inner in value) + "]"
    return value if isinstance(value, str) else json.dumps(value)


# -- docs/ERRORS.md


def errors_page() -> str:
    """The whole page."""
    return ERRORS.format(
        orders=_code_table((code, page.meaning, page.next_move) for code, page in CODES.items()),
        steps=_code_table((code, meaning, move) for code, (meaning, move) in STEP_CODES.items()),
        settings="\n\n".join(_code(code, page) for code, page in SETTINGS_CODES.items()),
        scenarios="\n\n".join(_code(code, page) for code, page in SCENARIO_CODES.items()),
    )


def _code_table(rows: Iterable[tuple[str, str, str]]) -> str:
    head = "| code | meaning | what to do |\n| --- | --- | --- |\n"
    return head + _rows((f"`{code}`", meaning, move) for code, meaning, move in rows)


def _code(code: str, page: Any) -> str:
    language = "yaml" if _is_yaml(page.example) else "text"
    return f"### {code}\n\n{page.meaning} {page.next_move}\n\n```{language}\n{page.example}\n```"


def _is_yaml(text: str) -> bool:
    """Whether an example is a piece of a file rather than a command or a remark."""
    try:
        found = YAML(typ="safe", pure=True).load(text)
    except YAMLError:
        return False
    return isinstance(found, list) or (isinstance(found, dict) and all(re.fullmatch("[a-z_]+", key) for key in found))


# -- both


def _rows(rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


BEGIN, END = "<!-- abilities: written by scripts/write_docs.py -->", "<!-- abilities: end -->"


def abilities_table() -> str:
    """What each venue can do, read from the rooms."""
    head = ("Exchange", "Orders go over", "Expiry of a submit", "Doubt is ended by", "Dead-man's switch", "Spot fee")
    rows: list[tuple[str, ...]] = [head, tuple("---" for _ in head)]
    for venue, module in VENUES.items():
        can = import_module(f"{module}.facts").ABILITIES
        rows.append(
            (
                f"[{venue}](venues/{venue}/README.md)",
                "WebSocket, REST as fallback" if can.order_entry == "ws" else "REST",
                f"{can.expiry_ms / 1000:g} s",
                "fence, look-up by client id" if can.fence else "expiry, look-up by client id",
                f"{can.dead_man_secs} s" if can.dead_mans_switch else "none",
                "in the coin bought" if can.spot_fee_in_base else "in the quote coin",
            )
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def with_table(readme: str) -> str:
    """The README with a fresh table between its two marks."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{abilities_table()}{END}{after}"


PAGES = {"SCENARIOS.md": scenarios_page, "ERRORS.md": errors_page}


def main() -> int:
    parser = argparse.ArgumentParser(description="Write docs/SCENARIOS.md, docs/ERRORS.md and the README's table.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 naming each stale page")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs", help="where the pages are")
    options = parser.parse_args()
    stale = []
    for name, write in PAGES.items():
        page, text = options.folder / name, write()
        if page.exists() and page.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not options.check:
            page.write_text(text, encoding="utf-8")
    for readme in (ROOT / name for name in ("README.md", "README.zh-CN.md")):
        text = readme.read_text(encoding="utf-8") if readme.exists() else ""
        if BEGIN in text and with_table(text) != text:
            stale.append(readme.name)
            if not options.check:
                readme.write_text(with_table(text), encoding="utf-8")
    if stale and options.check:
        print(f"{' and '.join(stale)} stale: run python scripts/write_docs.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
