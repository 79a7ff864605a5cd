"""Run folders to test with: one play of a scenario in virtual time, copied for each test that changes it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import ModuleType
from typing import Any

from runner.evidence import keep_inputs
from runner.plan import plan_json
from runner.playing import write_outcome

ROOT = Path(__file__).resolve().parents[3]
SCENARIO = """\
scenario: small
title: Open at market, close at market
venues: [backpack]
symbol: SOL
inputs:
  hold: {type: duration, default: 2s}
steps:
  - tracking_open: {interval_secs: 3, timeout_secs: 60}
  - wait: {secs: $hold}
  - market_close
accept:
  flat: true
"""


def virtual() -> ModuleType:
    """tests/e2e/virtual.py, which is no package."""
    spec = importlib.util.spec_from_file_location("virtual_runs", ROOT / "tests" / "e2e" / "virtual.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@cache
def _played(seed: int) -> Path:
    home = Path(mkdtemp(prefix="runs-on-disk-"))
    scenario = home / "small.yaml"
    scenario.write_text(SCENARIO)
    played = virtual().play(scenario, home / "run", seed=seed)
    folder = played.folder
    (folder / "plan.json").write_bytes(plan_json(played.plan))
    keep_inputs(folder, played.plan, SCENARIO)
    write_outcome(folder, played.outcome)
    return folder


def make_run(runs_dir: Path, name: str = "20260105T000000Z-small", *, seed: int = 3, **changed: Any) -> Path:
    """A whole run folder of its own in ``runs_dir``; ``changed`` fields of outcome.json win."""
    folder = runs_dir / name
    shutil.copytree(_played(seed), folder, ignore=shutil.ignore_patterns("journal*"))
    document = json.loads((folder / "outcome.json").read_bytes())
    document |= {"run_id": name, **changed}
    (folder / "outcome.json").write_text(json.dumps(document, indent=2))
    return folder
