"""The page that says what goes with what is the one that the code makes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_is_up_to_date():
    """A technique or engine that stacks otherwise than the page says is noticed."""
    command = [sys.executable, ROOT / "scripts" / "update_stacks.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
