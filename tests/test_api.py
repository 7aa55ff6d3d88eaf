"""The Python interface: what a call from Python is on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from densebench.api import command_of


@pytest.mark.parametrize(
    ("suite", "flags", "command"),
    [
        ("default", {}, "densebench run"),
        (
            "quick",
            {"recipes": ["amp", "bf16+jit"], "threads": None},
            "densebench run --quick --recipes amp,bf16+jit",
        ),
        (
            Path("my suite.toml"),
            {"batch_sizes": (1, 8)},
            "densebench run --suite 'my suite.toml' --batch-sizes 1,8",
        ),
        ("default", {"resume": True, "trust": False, "seed": 3}, "densebench run --resume --seed 3"),
        (
            "default",
            {"output_dir": Path("a b"), "focus_batch_sizes": []},
            "densebench run --output-dir 'a b' --focus-batch-sizes ''",
        ),
        (
            "quick",
            {"sample_time": 1, "log_dir": Path("x")},
            """python -c 'import densebench; densebench.run('"'"'quick'"'"', sample_time=1, log_dir='"'"'x'"'"')'""",
        ),
    ],
)
def test_a_call_from_python_has_a_command_that_does_the_same(
    suite: str | Path, flags: dict[str, Any], command: str
) -> None:
    """The report says how to reproduce it, whoever asked for it."""
    assert command_of(suite, flags) == command
