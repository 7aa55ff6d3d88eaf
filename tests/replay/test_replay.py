"""Recorded journals in, CSV and report out, byte for byte: a change of an estimator can be judged by the difference.

`default` is the default sweep whose figures the README shows, on two cores of an AMD EPYC (Zen 4).
`disturbed` is of a sweep at 32 pixels on two cores of an Intel Xeon with AMX, while other processes used them: five
rounds in pairs at batch 8, three without at batch 1.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import update_readme
from scripts.update_replay import FOLDER, replayed


@pytest.mark.parametrize("journal", sorted(FOLDER.glob("*/journal.jsonl")), ids=lambda path: path.parent.name)
def test_a_recorded_journal_gives_the_same_files(journal: Path) -> None:
    """After a change that is meant, `python scripts/update_replay.py` writes them anew."""
    for name, text in replayed(journal).items():
        assert text == (journal.parent / name).read_text(encoding="utf-8"), name


def test_the_readme_shows_the_recorded_default_sweep() -> None:
    """After a change that is meant, `python scripts/update_readme.py tests/replay/default` writes it anew."""
    assert update_readme.main([str(FOLDER / "default"), "--check"]) == 0
