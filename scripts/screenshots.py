"""
Pictures of a report as its readers meet it: desktop, phone, dark, and the first printed pages.

``python scripts/screenshots.py docs/sample-report/report.html docs/sample-report`` writes desktop.png, phone.png,
dark.png and print.pdf. The network is cut: every name resolves to nothing, and the browser's own log of requests is
read afterwards. A report that asked for anything but its own file ends the script with 1.

It needs a Chromium on the path (``--browser`` names another one). Look at what it made.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SHOTS = {
    "desktop.png": ("--window-size=1200,1500",),
    "phone.png": ("--window-size=500,1100",),
    "dark.png": ("--window-size=1200,1500", "--blink-settings=preferredColorScheme=0"),
}
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
SECS = 120


def show(browser: str, report: Path, *flags: str) -> set[str]:
    """Open the report once; gives every address that the page asked for."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "net.json"
        command = [browser, *QUIET, f"--user-data-dir={folder}/profile", f"--log-net-log={log}", *flags]
        subprocess.run([*command, report.resolve().as_uri()], check=True, capture_output=True, timeout=SECS)
        events = json.loads(log.read_text(encoding="utf-8"))["events"]
    asked = [event["params"] for event in events if {"url", "initiator"} <= set(event.get("params") or ())]
    # The browser asks its maker for updates on its own; such requests have no page behind them.
    of_the_page = {str(one["url"]) for one in asked if one["initiator"] != "not an origin"}
    return {address for address in of_the_page if not address.startswith(("file:", "data:", "chrome:"))}


def main() -> int:
    """Write the pictures; 1 when the report asked the network for something, 2 without a browser."""
    parser = argparse.ArgumentParser(description="Pictures of a report, with the network cut.")
    parser.add_argument("report", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("--only", choices=(*SHOTS, "print.pdf"), action="append")
    args = parser.parse_args()
    if shutil.which(args.browser) is None:
        sys.stderr.write(f"There is no {args.browser} on the path; --browser names another one.\n")
        return 2
    args.folder.mkdir(parents=True, exist_ok=True)
    flags = {name: (*shape, f"--screenshot={args.folder / name}") for name, shape in SHOTS.items()}
    flags["print.pdf"] = ("--no-pdf-header-footer", f"--print-to-pdf={args.folder / 'print.pdf'}")
    asked: set[str] = set()
    for name in args.only or flags:
        asked |= show(args.browser, args.report, *flags[name])
        sys.stdout.write(f"{args.folder / name}\n")
    for address in sorted(asked):
        sys.stderr.write(f"the report asked for {address}\n")
    return 1 if asked else 0


if __name__ == "__main__":
    raise SystemExit(main())
