"""The first half of a sweep: what a recipe's evaluation is asked for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from densebench import cells, jobs
from densebench.cells import make
from densebench.errors import CellFailed
from densebench.recipe import Recipe
from tests.factory import record
from tests.reliability.nursery import InstantNurseries
from tests.test_rounds import steady, sweep_of


@pytest.mark.parametrize(
    ("sizes", "usual", "where_slow"), [([1, 4, 32, 64], 32, 4), ([64], 64, 64), ([1], 1, 1)]
)
def test_what_may_be_slow_is_asked_for_few_images_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[int], usual: int, where_slow: int
) -> None:
    """Three batches tell that all images would take too long: of 32 images these alone took over a minute."""
    asked: dict[str, int] = {}

    class Children(InstantNurseries):
        def run(self, job: jobs.Job, *arguments: Any) -> Any:
            if isinstance(job, jobs.Evaluate):
                asked[job.folder.name] = job.batch_size
            return super().run(job, *arguments)

    monkeypatch.setattr(Recipe, "slow", lambda self, device: "emulated" if self.name == "b" else None)
    sweep, _ = sweep_of(tmp_path, steady, batch_sizes=sizes)
    sweep.nurseries = Children()  # type: ignore[assignment]
    made = {recipe.name: make(sweep, recipe) for recipe in sweep.recipes}
    assert asked == {"baseline": usual, "a": usual, "b": where_slow}
    told = {name: str(facts and facts["effect"]).endswith("emulated") for name, facts in made.items()}
    assert told == {"baseline": False, "a": False, "b": True}


def test_a_resumed_recipe_has_no_other_batch_sizes_cold_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the manifest doesn't say each row finds by itself; the rest is as the latest row has it."""
    facts = SimpleNamespace(cold_start_s=None)
    manifest = SimpleNamespace(batch_sizes=None, facts=facts)
    monkeypatch.setattr(cells, "read_manifest", lambda *_, **__: manifest)
    sweep, _ = sweep_of(tmp_path, steady, batch_sizes=[1])
    sweep.records.append(record(recipe="a", cold_start_s=9.0, build_s=3.0))
    (recipe,) = (one for one in sweep.recipes if one.name == "a")
    known = cells.made_before(sweep, recipe)
    assert known is not None
    assert (known["cold_start_s"], known["build_s"]) == (None, 3.0)
    facts.cold_start_s = 4.0  # with the compiler's cache empty
    assert (cells.made_before(sweep, recipe) or {})["cold_start_s"] == 4.0


def test_a_baseline_that_cannot_be_made_again_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lacks no row that could say so; where nothing can be compared with it, it isn't tried."""
    sweep, _ = sweep_of(tmp_path, steady, batch_sizes=[4])
    baseline = sweep.recipes[0]
    sweep.records.append(
        record(batch_size=4, rounds=(0, 1, 2), samples_ms=((1.0,),) * 3, first_inference_s=1.0)
    )
    told: list[str] = []
    monkeypatch.setattr(sweep.progress, "note", told.append)

    def broken(*_: object) -> None:
        raise CellFailed("no memory")

    monkeypatch.setattr(cells, "_make", broken)
    assert make(sweep, baseline) is None
    assert told == ["nothing can be compared with baseline, which could not be made: no memory"]
    sweep.impossible = {"a": "no card", "b": "no card"}
    assert make(sweep, baseline) is None
    assert len(told) == 1
