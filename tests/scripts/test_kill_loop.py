"""Two random kills of a sweep; `scripts/kill_loop.py N` has as many as one has time for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(700)
def test_a_sweep_that_is_killed_at_random_moments_loses_nothing(home: Path):
    """After each SIGKILL all that was finished is whole, and the resumed sweep has every row once."""
    command = [sys.executable, ROOT / "scripts" / "kill_loop.py", "2"]
    environment = os.environ | {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=650, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "2 kills" in done.stdout
