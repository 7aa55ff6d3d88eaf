"""The README's pictures, of a finished run: the report's and the profile viewer's, as a browser shows them.

    python scripts/pictures.py results logs/tensorboard [--profiles baseline compile] [--out docs/pictures]

Needs chromium and Playwright. Colours are reduced to 64, which flat charts don't miss: a picture has some 50 KB.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

CHARTS = {"pareto": "Throughput against accuracy", "operators": "Where the time goes"}
COLOURS = 64
PATIENCE_S = 60
SETTLED_MS = 3000  # Plotly draws when a chart comes into view


def save(shot: bytes, path: Path) -> None:
    """Write a picture with few colours."""
    Image.open(io.BytesIO(shot)).convert("RGB").quantize(COLOURS).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} KB")


def of_report(browser: Any, page_file: Path, out: Path) -> None:
    """The top of the report, and some of its charts."""
    page = browser.new_page(viewport={"width": 1100, "height": 1000})
    page.goto(page_file.resolve().as_uri())
    page.wait_for_timeout(SETTLED_MS)
    save(page.screenshot(), out / "report.png")
    for name, title in CHARTS.items():
        section = page.get_by_role("heading", name=title).first.locator("xpath=ancestor::section[1]")
        section.scroll_into_view_if_needed()
        page.wait_for_timeout(SETTLED_MS)
        save(section.screenshot(), out / f"{name}.png")
    page.close()


@contextmanager
def viewer(logs: Path) -> Iterator[str]:
    """The profile viewer's address, for as long as it is shown."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "densebench.viewer.board", "profiles", "--log-dir", str(logs)]
    with subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)], stdin=subprocess.PIPE
    ) as served:
        try:
            deadline = time.monotonic() + PATIENCE_S
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 5).close()
                    break
                except OSError:
                    if served.poll() is not None or time.monotonic() > deadline:
                        raise
                    time.sleep(0.5)
            yield f"http://127.0.0.1:{port}"
        finally:
            served.kill()


def of_profiles(browser: Any, address: str, names: tuple[str, str], out: Path) -> None:
    """One recipe's profile against another's, operator by operator."""
    page = browser.new_page(viewport={"width": 1100, "height": 1000})
    page.goto(f"{address}/#pytorch_profiler")
    frame = page.frame_locator("iframe")
    frame.locator("#tab-compare").click()
    for label, name in zip(("From", "To"), names, strict=True):
        choice = frame.get_by_label(label, exact=True)
        wanted = choice.locator("option").filter(has_text=re.compile(f"^{re.escape(name)}, batch")).first
        choice.select_option(label=wanted.inner_text())
    page.wait_for_timeout(SETTLED_MS)
    save(page.locator("iframe").screenshot(), out / "profiles.png")
    page.close()


def main() -> None:
    """Take all of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("logs", type=Path)
    parser.add_argument("--profiles", nargs=2, default=("baseline", "compile"), metavar="RECIPE")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs/pictures")
    given = parser.parse_args()
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        of_report(browser, given.results / "report.html", given.out)
        with viewer(given.logs) as address:
            of_profiles(browser, address, tuple(given.profiles), given.out)
        browser.close()


if __name__ == "__main__":
    main()
