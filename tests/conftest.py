"""
Every output of the suite is searched for every secret that a test made the program hold: what it printed, what its
failure says, and each file of a run under its ``tmp_path`` - plain, base64, hex and URL-encoded.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.secrets import VAULT

OUTPUTS = {".jsonl", ".json", ".html", ".md", ".xml", ".db", ".log", ".zip", ".db-wal"}
# The JSON line of `runner sim serve` is the one place where throwaway keys are meant to be printed.
MEANT = {"sims.json"}


def told(path: Path) -> str:
    """All bytes of an output file as text; of a zip, of its members."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as bundle:
            return "\n".join(bundle.read(name).decode("latin-1") for name in bundle.namelist())
    return path.read_bytes().decode("latin-1")


def leaks(text: str) -> bool:
    return VAULT.mask(text) != text


@pytest.fixture(autouse=True)
def _no_secret_in_any_file(request: pytest.FixtureRequest) -> Iterator[None]:
    folder: Path | None = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    VAULT.forget_all()
    yield
    if folder is None or "secrets_are_planted" in request.keywords:
        return
    files = [path for path in folder.rglob("*") if path.suffix in OUTPUTS and path.name not in MEANT]
    found = [path.name for path in files if path.is_file() and not path.is_symlink() and _leaks(path)]
    assert found == [], "a secret stands in these files"


def _leaks(path: Path) -> bool:
    try:
        return leaks(told(path))
    except (OSError, zipfile.BadZipFile):
        # Tests spoil files on purpose; what cannot be read tells nothing.
        return False


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Iterator[None]:
    report = (yield).get_result()
    if report.when == "call" and "secrets_are_planted" not in item.keywords:
        said = report.capstdout + report.capstderr + report.caplog + (report.longreprtext if report.failed else "")
        if leaks(said):
            report.outcome = "failed"
            report.longrepr = "a secret stands in what this test printed, or in the words of its failure"
