"""What a dry run predicts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from densebench import engines
from densebench.cli import dry_run
from densebench.machine.facts import MB
from densebench.measure.interleave import pair_count
from densebench.measure.profile import STEPS
from densebench.measure.timer import LEAST_WARM_UP, WARM_UP_S
from densebench.planners import forecast
from densebench.processes import messages
from densebench.recipes.parse import plan, resolve
from densebench.spec import FOCUS_ROUNDS, RunSpec
from tests.factory import described

NAMED = {"baseline": "eager"}
WORKLOAD = described(
    parameters=7_000_000, validation_images=1000, batch1_ms=40.0, notes=("something to know",)
)


def predicted(
    recipe: str = "eager", workload: messages.Described = WORKLOAD, **flags: Any
) -> dry_run.Estimate:
    """The estimate of one recipe."""
    return dry_run.estimate(resolve(recipe, NAMED), RunSpec.create(**flags), workload)


def test_more_work_takes_longer() -> None:
    """Batch sizes, larger batches, slower models, more images, longer samples and slower builds all cost time."""
    unlabelled = WORKLOAD.model_copy(update={"validation_images": 0})
    small = predicted(workload=unlabelled, batch_sizes=[2]).seconds
    large = predicted(workload=unlabelled, batch_sizes=[64]).seconds
    assert small < large < predicted(workload=unlabelled, batch_sizes=[2, 64]).seconds
    base = predicted(batch_sizes=[1]).seconds
    assert base > small
    assert predicted(batch_sizes=[1], sample_time=9).seconds > base
    slower = WORKLOAD.model_copy(update={"batch1_ms": 400.0})
    assert predicted(workload=slower, batch_sizes=[1]).seconds > base
    assert predicted(batch_sizes=[1], deploy_time=0).seconds < base
    built = engines.catalogue()["compile"].typical_build_s - engines.default().typical_build_s
    assert predicted("compile", batch_sizes=[1]).seconds == pytest.approx(base + built)


def test_the_figures_follow_from_the_parts() -> None:
    """Six rounds at a focus batch size, in pairs with the baseline, of a model that takes 40 ms."""
    found = predicted("channels_last", batch_sizes=[1], sample_time=3.0)
    slices = 2 * pair_count(0.04, 3.0)  # of seven calls and one that isn't timed, after a wait until idle
    process = forecast.CHILD_S + slices * (8 * 0.04 + forecast.IDLE_S) + max(WARM_UP_S, LEAST_WARM_UP * 0.04)
    traced = STEPS * 0.04
    accuracy = 1000 * 0.04
    rest = 2 * forecast.CHILD_S + engines.default().typical_build_s
    program = forecast.PROGRAM_S + RunSpec.create().deploy_time
    assert found.seconds == pytest.approx(FOCUS_ROUNDS * process + traced + accuracy + rest + program)
    assert (found.cells, found.disk_mb) == (1, pytest.approx(28 + forecast.TRACE_MB))


def test_of_slow_calls_fewer_are_traced() -> None:
    """A batch of 40 s is traced once, not three times."""
    spec = RunSpec.create(batch_sizes=[1], focus_batch_sizes=[], rounds=1)
    slow = WORKLOAD.model_copy(update={"batch1_ms": 40_000.0})
    process = forecast.process_s(spec, slow, [1])
    assert forecast.rounds_s(spec, slow) == pytest.approx(process + 40)


def test_the_baseline_is_timed_twice_a_round() -> None:
    """Every recipe is compared with it, so it takes twice the processes."""
    base, other = (predicted(name, batch_sizes=[4]).seconds for name in ("baseline", "channels_last"))
    assert base - other == pytest.approx(forecast.rounds_s(RunSpec.create(batch_sizes=[4]), WORKLOAD))


@pytest.mark.parametrize("fresh", [0, 6])
def test_the_whole_is_the_sum_and_the_confirmation(fresh: int) -> None:
    """What a progress bar starts from: the recipes' own parts, and the fresh rounds."""
    spec = RunSpec.create(recipes=["channels_last"], batch_sizes=[1, 4], confirmation_rounds=fresh)
    recipes = plan(spec.recipes, spec.named)
    parts = sum(dry_run.estimate(recipe, spec, WORKLOAD).seconds for recipe in recipes)
    beyond = sum(forecast.sweep_s(spec, WORKLOAD, recipes)) - parts
    assert beyond == pytest.approx(forecast.confirmation_s(spec, WORKLOAD))
    assert (beyond > 1) == (fresh > 0)


def test_a_batch_size_counts_once() -> None:
    """Repeated batch sizes are one cell, as they are in the sweep."""
    assert predicted(batch_sizes=[8, 1, 8]) == predicted(batch_sizes=[1, 8])
    assert predicted(batch_sizes=[1, 8]).cells == 2


def test_accuracy_is_bounded() -> None:
    """An accuracy pass that would take too long is skipped, so it is never predicted to."""
    many = WORKLOAD.model_copy(update={"validation_images": 10**9})
    assert predicted(workload=many, accuracy_time=5, batch_sizes=[1]).seconds < 60


def test_what_can_not_run_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe that is skipped costs no time and no disk, and says why."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    found = predicted("compile", batch_sizes=[1, 8])
    assert (found.cells, found.seconds, found.disk_mb) == (2, 0, 0)
    assert found.reason.startswith("skipped: install g++")


def test_a_dry_run_prints_all_cells_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every recipe with its cells, the sum, the workload's notes and where results would go; no file is made."""

    @contextmanager
    def opened(*_: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(workload=WORKLOAD)

    monkeypatch.setattr(dry_run, "opened", opened)
    text = StringIO()
    spec = RunSpec.create("quick", output_dir=tmp_path / "results", log_dir=tmp_path / "logs")
    dry_run.print_estimate(spec, Console(file=text, width=200))
    printed = text.getvalue()
    recipes = plan(spec.recipes, spec.named)
    for recipe in recipes:
        assert recipe.name in printed
    assert str(len(recipes) * len(spec.batch_sizes)) in printed
    assert "something to know" in printed
    assert str(tmp_path / "results") in printed
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_says_what_there_is_no_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Disk and memory that are short are told below the table that they are needed for."""

    @contextmanager
    def opened(*_: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(workload=WORKLOAD.model_copy(update={"parameters": 10**15}))

    monkeypatch.setattr(dry_run, "opened", opened)
    text = StringIO()
    dry_run.print_estimate(RunSpec.create("quick", output_dir=tmp_path), Console(file=text, width=200))
    assert f"MB of disk free in {tmp_path}, about " in text.getvalue()
    assert "MB of memory free" in text.getvalue()


def test_memory_grows_with_the_model_and_the_batch() -> None:
    """Weights and images count, and PyTorch alone needs some; a reference process as much again."""
    one, many = (RunSpec.create(batch_sizes=[size], focus_batch_sizes=[]) for size in (1, 1000))
    parameters = WORKLOAD.parameters
    two = RunSpec.create(batch_sizes=[1], focus_batch_sizes=[1])
    more = forecast.memory_mb(two, parameters, 224) - forecast.memory_mb(one, parameters, 224)
    assert more == pytest.approx(forecast.FRAMEWORK_MB + 4 * parameters / MB)
    assert 28 < forecast.memory_mb(one, parameters, 224) < forecast.memory_mb(many, parameters, 224)
    assert forecast.memory_mb(one, 10**9, 224) > 4000
