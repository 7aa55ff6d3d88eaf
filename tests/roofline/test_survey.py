"""What a run makes of its survey of the machine: ceilings that only rise, from run to run and by rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from rich.console import Console

from densebench import loop
from densebench.errors import CellFailed
from densebench.executors import opening
from densebench.output import written
from densebench.processes import messages
from densebench.results import journal
from densebench.results.ceilings import Ceilings, ceilings_of
from densebench.sinks.progress import Progress
from densebench.spec import RunSpec
from tests.reliability.fork_servers import InstantForkServers

Run = Callable[..., loop.Outcome]


class Surveying(InstantForkServers):
    """Rows at 100 images of 0.1 GMAC a second, so 20 GOP/s; the survey says what a test wants of it."""

    gop_per_s: ClassVar[float | None] = 50.0

    def run(self, job: messages.Job, *arguments: Any) -> Any:
        if not isinstance(job, messages.Survey):
            return super().run(job, *arguments)
        if self.gop_per_s is None:
            raise CellFailed("no kernel")
        facts: dict[str, Any] = {"float32": {"gop_per_s": self.gop_per_s, "engine": "one"}}
        return messages.Surveyed(
            ceilings={"device": "cpu", "threads": 1, "compute": facts, "memory_gb_per_s": 9.0}
        )


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """A sweep whose survey finds so many GOP/s in FP32."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(opening, "ForkServerPool", Surveying)
    monkeypatch.setattr(opening, "warnings", lambda placed: [])
    monkeypatch.setattr(written, "write_board", lambda *_: None)

    def sweep(surveyed: float | None, **flags: Any) -> loop.Outcome:
        monkeypatch.setattr(Surveying, "gop_per_s", surveyed)
        given = {"rounds": 1, "focus_batch_sizes": (), "repeats": 0, "threads": 1, "batch_sizes": [1]}
        where = {"output_dir": tmp_path / "out", "log_dir": tmp_path / "log", "recipes": ["jit"]}
        with Path("/dev/null").open("w", encoding="utf-8") as nowhere:
            return loop.run(RunSpec.create(**given | where | flags), Progress(Console(file=nowhere)))

    return sweep


def known(outcome: loop.Outcome) -> Ceilings:
    """The ceilings in the run's header."""
    found = ceilings_of(outcome.header.ceilings)
    assert found is not None
    return found


def test_a_ceiling_that_a_row_raised_is_there_where_the_next_survey_fails(run: Run) -> None:
    """No share is above 1, the journal says what was surveyed, and later runs know what the row reached."""
    first = run(5.0)
    assert known(first).compute["float32"].gop_per_s == 5
    shares = [row.roofline_fraction or 0 for row in first.rows]
    assert max(shares) == 1
    assert min(shares) > 0
    reached = max(0.2 * (row.throughput_samples_per_s or 0) for row in first.rows)
    later = known(run(None)).compute["float32"]
    assert later.gop_per_s == pytest.approx(reached)
    assert later.engine.endswith(" at batch 1")


def test_a_resume_that_adds_rows_adds_its_survey(run: Run, tmp_path: Path) -> None:
    """The higher ceiling holds for the rows of both parts; one that adds nothing changes nothing."""
    run(50.0)
    nothing = run(80.0, resume=True)
    assert known(nothing).compute["float32"].gop_per_s == 50
    more = run(80.0, recipes=["jit", "channels_last"], resume=True)
    assert known(more).compute["float32"].gop_per_s == 80
    assert journal.read(tmp_path / "out")[0] == more.header
    for row in more.rows:
        assert row.roofline_fraction == pytest.approx(0.2 * (row.throughput_samples_per_s or 0) / 80)
    lower = run(60.0, recipes=["channels_last", "bf16"], resume=True)
    assert known(lower).compute["float32"].gop_per_s == 80
