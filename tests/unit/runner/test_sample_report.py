"""The sample report in docs/sample-report is a real one: whole, sealed, and simulated by its own word."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from reports.render import Beside, render
from runner.signing import verify

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = ROOT / "docs" / "sample-report"


def test_the_samples_evidence_verifies():
    """[client] What stands in docs can be verified by whoever reads them."""
    sound, lines = verify(SAMPLE / "evidence.zip", [])
    assert sound
    assert lines[0].startswith("SIMULATED RUN ")
    assert any("accepted by Sample Signer" in line for line in lines)


def test_the_sample_is_the_report_of_its_evidence():
    """[ours] The page was made from the sealed outcome; a changed look asks for a new sample."""
    with zipfile.ZipFile(SAMPLE / "evidence.zip") as archive:
        top = archive.namelist()[0].partition("/")[0]
        outcome = json.loads(archive.read(f"{top}/outcome.json"))
        sealed = archive.read(f"{top}/seal/report.html").decode()
        assert archive.read(f"{top}/report.html") == (SAMPLE / "report.html").read_bytes()
    made = render(outcome, beside=Beside()).html
    head = sealed.index("<body>"), sealed.index('<section class="past">')
    assert made[made.index("<body>") : made.index('<section class="origin">')] == sealed[head[0] : head[1]]


@pytest.mark.parametrize("name", ["desktop.png", "phone.png", "dark.png"])
def test_the_pictures_are_there(name):
    """[client] The README shows one, scripts/screenshots.py made them all."""
    assert (SAMPLE / name).read_bytes().startswith(b"\x89PNG")
    assert (SAMPLE / name).stat().st_size < 500_000


def test_the_readme_links_the_sample_with_a_picture():
    """[client] One look tells what comes out."""
    text = (ROOT / "README.md").read_text("utf-8")
    assert "](docs/sample-report/desktop.png)](docs/sample-report/report.html)" in text
    assert "](docs/SIGN_OFF.md)" in text


def test_a_browser_with_the_network_cut_shows_the_page_and_is_asked_for_nothing(tmp_path):
    """[client] scripts/screenshots.py reads the browser's own log of requests: only the file itself was opened."""
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not on the path")
    script = [sys.executable, str(ROOT / "scripts" / "screenshots.py")]
    asking = tmp_path / "asking.html"
    asking.write_text('<img src="http://127.0.0.1:9/a.png">')
    for page, code in ((SAMPLE / "report.html", 0), (asking, 1)):
        done = subprocess.run(
            [*script, str(page), str(tmp_path), "--only", "phone.png"], capture_output=True, timeout=120
        )
        assert done.returncode == code, done.stderr
        assert (tmp_path / "phone.png").stat().st_size > 1_000
