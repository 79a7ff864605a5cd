"""The first five minutes of a stranger: an installed wheel, an empty folder, `runner init`, `runner play`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.e2e.virtual import ROOT

pytestmark = pytest.mark.sockets

PATIENCE_SECS = 120
LEFT_BY_A_PLAY = {"plan.json", "events.jsonl", "outcome.json", "report.md", "report.html", "junit.xml"}


def run(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    home = {"PATH": os.defpath, "HOME": str(folder), "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        words,
        cwd=folder,
        env={**home, **environ},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=PATIENCE_SECS,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout, built from a copy so that nothing is left in it."""
    source = tmp_path_factory.mktemp("source")
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    for room in {name.partition(".")[0] for name in packages}:
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "config.example.yaml"):
        shutil.copy(ROOT / name, source / name)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    built = run(source, *pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", "dist", ".")
    assert built.returncode == 0, built.stderr
    (found,) = (source / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel is installed, apart from this checkout."""
    target = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    done = run(target, *pip, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel))
    assert done.returncode == 0, done.stderr
    return target


def runner(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run(folder, sys.executable, str(installed / "bin" / "runner"), *words, PYTHONPATH=str(installed))


def test_the_wheel_has_every_package_and_what_they_read(wheel: Path) -> None:
    """[client] Schemas, report templates and the first scenario travel with the code; tests do not."""
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in ROOT.glob("schemas/**/*.json"):
        assert str(path.relative_to(ROOT)) in names
    for path in ROOT.glob("reports/templates/*.j2"):
        assert str(path.relative_to(ROOT)) in names
    for path in ROOT.glob("venues/*/simulator.py"):
        assert str(path.relative_to(ROOT)) in names
    assert {"runner/templates/hello.yaml", "runner/templates/config.example.yaml"} <= names
    assert [name for name in names if name.startswith(("tests/", "scenarios/", "docs/"))] == []


def test_what_runs_is_the_installed_code(installed: Path, tmp_path: Path) -> None:
    """[ours] The next test must not pass by using the checkout."""
    words = "import app.console, runner, venues; print(app.console.__file__, runner.__file__, venues.__file__)"
    done = run(tmp_path, sys.executable, "-c", words, PYTHONPATH=str(installed))
    assert done.stdout.count(str(installed)) == 3


def test_init_and_play_work_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    """[client] Two commands, no key, no network; the end names the report and what to try next."""
    begun = runner(installed, tmp_path, "init")
    assert (begun.returncode, begun.stderr) == (0, "")
    assert "Next: runner play hello.yaml" in begun.stdout

    played = runner(installed, tmp_path, "play", "hello.yaml", "--speed", "20", "--set", "hold=2s")
    assert (played.returncode, played.stderr) == (0, ""), played.stdout
    (folder,) = (tmp_path / "runs").iterdir()
    assert {path.name for path in folder.iterdir()} >= LEFT_BY_A_PLAY
    end = played.stdout.splitlines()
    assert f"Report: runs/{folder.name}/report.html" in end
    assert "`runner plan hello.yaml --on live`" in end[-1]
    assert any(line.startswith("ACCEPTED.") for line in end)


def test_the_next_things_to_try_work_too(installed: Path, tmp_path: Path) -> None:
    """[client] check, plan, steps and explain on what init wrote; a live plan says what it lacks, and sends nothing."""
    runner(installed, tmp_path, "init", "first")
    folder = tmp_path / "first"
    assert runner(installed, folder, "check", "hello.yaml").stdout == "1 file, no mistakes\n"
    planned = runner(installed, folder, "plan", "hello.yaml")
    assert (planned.returncode, planned.stdout.startswith("NOT EXECUTED")) == (0, True)
    assert "tracking_open" in runner(installed, folder, "steps").stdout
    assert "Example:" in runner(installed, folder, "steps", "wait").stdout
    live = runner(installed, folder, "plan", "hello.yaml", "--on", "live")
    assert (live.returncode, "LIVE_NEEDS_CAPS" in live.stderr, "Traceback" in live.stderr) == (2, True, False)
    again = runner(installed, tmp_path, "init", "first")
    assert (again.returncode, "nothing is overwritten" in again.stderr) == (2, True)
