"""The live table in a real terminal (a pty of 80 by 24): what stands on it, Ctrl-C once, Ctrl-C twice."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.e2e.virtual import FIRST

pytestmark = pytest.mark.sockets

PATIENCE_SECS = 60
HOLD = f"""scenario: hold
venues: [{FIRST}]
symbol: SOL
seed: 7
steps:
  - market_open
  - wait: {{secs: 4m}}
"""
COUNTDOWN = r"step 2 of 2, 23\d s left"


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, folder: Path, *words: str, columns: int = 80) -> None:
        self.main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        command = [str(Path(sys.executable).with_name("runner")), *words]
        environ = {"PATH": os.defpath, "HOME": str(folder), "LANG": "C.UTF-8", "TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            command, cwd=folder, env=environ, stdin=side, stdout=side, stderr=side, start_new_session=True
        )
        os.close(side)
        self.raw = ""

    @property
    def text(self) -> str:
        # A carriage return alone begins the drawing of the next frame.
        return re.sub(r"\r+\n?", "\n", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw))

    def _read(self) -> bool:
        ready, _, _ = select.select([self.main], [], [], PATIENCE_SECS)
        assert ready, self.text[-2000:]
        try:
            data = os.read(self.main, 65_536)
        except OSError:
            # Linux says so when the other side is closed.
            return False
        self.raw += data.decode("utf-8", "replace")
        return bool(data)

    def until(self, pattern: str) -> None:
        while not re.search(pattern, self.text):
            assert self._read(), self.text[-2000:]

    def end(self) -> int:
        while self._read():
            pass
        os.close(self.main)
        return self.process.wait(PATIENCE_SECS)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.end()

    @property
    def cursor_is_back(self) -> bool:
        return self.raw.rfind("\x1b[?25h") > self.raw.rfind("\x1b[?25l") >= 0


def started(folder: Path, *words: str, columns: int = 80) -> Terminal:
    (folder / "hold.yaml").write_text(HOLD)
    return Terminal(folder, "play", "hold.yaml", *words, columns=columns)


@pytest.mark.parametrize("columns", [80, 120])
def test_ctrl_c_cleans_up_reports_and_gives_the_terminal_back(columns: int, tmp_path: Path) -> None:
    """[client] Once: it is heard, cleanup is shown as such, the report is named, exit 4, the cursor is back."""
    with started(tmp_path, columns=columns) as terminal:
        terminal.until(COUNTDOWN)
        before = terminal.text
        assert max(map(len, before.splitlines())) <= columns
        for words in ("exchange", "holds", "free ", "Ctrl-C stops the steps"):
            assert words in before
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 4
        after = terminal.text[len(before) :]
        for words in ("once more leaves at once", "cleanup 1 of 2", "INTERRUPTED", "Report: runs/"):
            assert words in after
        assert "Traceback" not in after
        assert terminal.cursor_is_back


def test_ctrl_c_twice_leaves_at_once_and_says_what_may_be_open(tmp_path: Path) -> None:
    """[client] In the middle of a slow cleanup: exit 5, the exchange is named, recover offered, the cursor back."""
    (tmp_path / "faults.yaml").write_text("- {action: delay, on: http, kind: place, nth: [2], params: {ms: 4000}}\n")
    with started(tmp_path, "--faults", "faults.yaml") as terminal:
        terminal.until(COUNTDOWN)
        terminal.process.send_signal(signal.SIGINT)
        terminal.until("cleanup 2 of 2")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 5
        end = terminal.text[terminal.text.index("Left at once") :]
        assert FIRST in end
        assert "runner recover" in end
        assert terminal.cursor_is_back


def test_a_terminal_that_wants_lines_gets_lines(tmp_path: Path) -> None:
    """[client] --progress plain in a terminal: no escape codes at all."""
    with started(tmp_path, "--progress", "plain", "--speed", "100") as terminal:
        assert terminal.end() == 0
        assert "\x1b" not in terminal.raw
        assert "step 2: wait 4 min" in terminal.raw
