"""
One order type on one venue, without a scenario file::

    python -m app.main --venue backpack --symbol SOL --mode tracking_limit --qty 0.01

It writes the scenario it stands for and plays that with the same engine as ``runner play``, cleanup, proof and report
included: whatever a mode opens is closed again at the end.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from app.console import OUTSIDE
from app.setting_rules import FLAT

MODES: Final = {
    "tracking_limit": "tracking_open: {{interval_secs: {interval_secs:g}, timeout_secs: {timeout_secs:g}, "
    "max_attempts: {max_attempts}, price_offset_ticks: {price_offset_ticks}}}",
    "market": "market_open",
    "strategy": "run_strategy: {{name: {strategy}, timeout_secs: {timeout_secs:g}}}",
}
"""Mode → the opening step of the scenario it stands for."""


def make_parser() -> argparse.ArgumentParser:
    """Every flag overrides the key of the same name in config.yaml."""
    parser = argparse.ArgumentParser(prog="python -m app.main", description="One order, one venue, cleaned up after.")
    parser.add_argument("--config", metavar="FILE", help="default: config.yaml, if there is one")
    parser.add_argument("--strategy", default="smoke", metavar="NAME", help="for --mode strategy")
    for name, rule in FLAT.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="VALUE", help=rule.expected.replace("%", "%%"))
    parser.add_argument("--sims", metavar="FILE|-")
    parser.add_argument("--adopt", action="store_true", help="take over open orders and position of the market")
    parser.add_argument("--progress", choices=("auto", "plain", "json"), default="auto")
    return parser


def scenario_text(settings: Any, strategy: str) -> str:
    """The scenario that the settings stand for, as a person would write it."""
    step = MODES[settings.mode].format(
        interval_secs=settings.interval_secs,
        timeout_secs=settings.timeout_secs,
        max_attempts=settings.max_attempts,
        price_offset_ticks=settings.price_offset_ticks,
        strategy=strategy,
    )
    return "\n".join(
        (
            f"scenario: {settings.mode}",
            f"title: {settings.mode} of {settings.symbol} on {settings.venue}",
            f"venues: [{settings.venue}]",
            f"market: {settings.market}",
            f"symbol: {settings.symbol}",
            f"side: {settings.side}",
            f"size: {'min' if settings.qty is None else settings.qty}",
            "steps:",
            f"  - {step}",
            "finally:",
            "  - cancel_all",
            "  - flatten",
            "accept:",
            "  flat: true",
            "  no_unhandled_errors: true",
            "  logs_complete: true",
            "",
        )
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one mode and return the exit code of ``runner play``."""
    from app.settings import SettingsError, load_settings
    from runner.environment import WrongInput
    from runner.playing import play_files

    words = list(sys.argv[1:] if argv is None else argv)
    args = make_parser().parse_args(words)
    outside_of_settings = ("config", "strategy", "sims", "progress", "adopt")
    flags = {name: value for name, value in vars(args).items() if name not in outside_of_settings}
    path = Path(args.config) if args.config is not None else Path("config.yaml")
    try:
        settings = load_settings(path if args.config is not None or path.exists() else None, flags, {})
        file = settings.runs_dir / f"mode-{settings.mode}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(scenario_text(settings, args.strategy), encoding="utf-8")
        args.files, args.set, args.faults, args.inputs = [str(file)], [], None, None
        args.venue = []
        return play_files(args, OUTSIDE, words)
    except SettingsError as error:
        texts = [str(error).rstrip()]
    except WrongInput as wrong:
        texts = list(wrong.texts)
    sys.stderr.write("\n".join(texts) + "\n")
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
