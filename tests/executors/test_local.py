"""The local executor: what a recipe's build and evaluation are asked for, and what is told of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from densebench.errors import CellFailed, Unavailable
from densebench.executors import local
from densebench.executors.local import LocalExecutor
from densebench.measure.deploy import Deployed
from densebench.planners.tasks import Build, Evaluate
from densebench.processes import messages
from densebench.recipes.recipe import Recipe
from densebench.results.observation import BuildObservation, EvaluateObservation, Status
from tests.artifacts.test_manifest import make
from tests.executors.sites import Children, site_of

pytest_plugins = ["tests.fixtures"]
pytestmark = pytest.mark.usefixtures("own_key")


def build(executor: LocalExecutor, recipe: str, sizes: tuple[int, ...] = (4,)) -> BuildObservation:
    """The observation of a build."""
    (found,) = executor.run(Build(recipe, sizes))
    assert isinstance(found, BuildObservation)
    return found


def evaluate(executor: LocalExecutor, recipe: str, images: int | None = None) -> EvaluateObservation:
    """The observation of an evaluation."""
    (found,) = executor.run(Evaluate(recipe, images))
    assert isinstance(found, EvaluateObservation)
    return found


def test_a_build_says_what_it_was_for(tmp_path: Path) -> None:
    """The recipe's one-line form, and its batch sizes; the eager baseline serves others too."""
    executor = LocalExecutor(site_of(tmp_path))
    assert build(executor, "a", (1, 4)).model_dump(
        include={"recipe", "steps", "batch_sizes", "any_batch"}
    ) == {
        "recipe": "a",
        "steps": "channels_last+eager",
        "batch_sizes": (1, 4),
        "any_batch": True,
    }
    assert not build(executor, "b").any_batch


@pytest.mark.parametrize(
    ("error", "status"),
    [(CellFailed("ended by SIGSEGV"), Status.FAILED), (Unavailable("install g++"), Status.SKIPPED)],
)
def test_what_goes_wrong_is_an_observation(tmp_path: Path, error: Exception, status: Status) -> None:
    """Of a build and of an evaluation, with the reason."""

    class Broken(Children):
        def run(self, job: messages.Job, *arguments: Any) -> Any:
            raise error

    executor = LocalExecutor(site_of(tmp_path, Broken()))
    for found in (build(executor, "a"), evaluate(executor, "a")):
        assert (found.status, found.reason) == (status, str(error))


def test_what_can_not_run_here_is_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is skipped with what it lacks."""
    monkeypatch.setattr(Recipe, "unavailable", lambda self, device: "no card")
    children = Children()
    assert build(LocalExecutor(site_of(tmp_path, children)), "a").reason == "no card"
    assert not children.jobs


@pytest.mark.parametrize(
    ("sizes", "usual", "where_slow"), [([1, 4, 32, 64], 32, 4), ([64], 64, 64), ([1], 1, 1)]
)
def test_what_may_be_slow_is_asked_for_few_images_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[int], usual: int, where_slow: int
) -> None:
    """Three batches tell that all images would take too long: of 32 images these alone took over a minute."""
    monkeypatch.setattr(Recipe, "slow", lambda self, device: "emulated" if self.name == "b" else None)
    children = Children()
    executor = LocalExecutor(site_of(tmp_path, children, batch_sizes=sizes))
    found = [evaluate(executor, name) for name in ("baseline", "a", "b")]
    asked = [job.batch_size for job in children.jobs if isinstance(job, messages.Evaluate)]
    assert asked == [usual, usual, where_slow]
    assert [str(one.found and one.found.effect).endswith("emulated") for one in found] == [False, False, True]


@pytest.mark.parametrize(
    ("recipe", "given", "flags", "expected"),
    [
        ("baseline", None, {}, (100, True)),
        ("baseline", 25, {}, (25, False)),
        ("a", 40, {}, (40, False)),
        ("baseline", None, {"accuracy_images": 60}, (60, True)),
        ("baseline", None, {"accuracy_images": 1000}, (100, True)),
    ],
)
def test_every_recipe_is_evaluated_on_the_same_images(
    tmp_path: Path, recipe: str, given: int | None, flags: dict[str, Any], expected: tuple[int, bool]
) -> None:
    """The baseline may take fewer where time is short; the task says how many the others take."""
    children = Children()
    evaluate(LocalExecutor(site_of(tmp_path, children, **flags)), recipe, given)
    (job,) = children.jobs
    assert isinstance(job, messages.Evaluate)
    assert (job.images, job.may_take_fewer) == expected


def test_the_readme_s_code_is_run_as_the_readme_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the smallest batch size, with the recipe's variables and threads and none of the caller's tuning."""
    monkeypatch.setenv("MKL_VERBOSE", "1")
    monkeypatch.setattr(Recipe, "environment", lambda self: {"MALLOC_X": "1"} if self.name == "b" else {})
    asked: dict[str, tuple[Any, ...]] = {}

    def noted(folder: Path, *arguments: Any, **_: Path) -> Deployed:
        asked[folder.name] = arguments
        return Deployed(deploy_batch_size=2, deploy_memory_mb=150.0, deploy_reason="slow")

    monkeypatch.setattr(local, "deploy", noted)
    executor = LocalExecutor(site_of(tmp_path, batch_sizes=[8, 2], deploy_time=4))
    found = [evaluate(executor, name).found for name in ("a", "b")]
    assert {name: arguments[:2] for name, arguments in asked.items()} == dict.fromkeys(["a", "b"], (2, 4.0))
    assert asked["b"][2] == asked["a"][2] | {"MALLOC_X": "1"}
    assert asked["a"][2]["OMP_NUM_THREADS"] == "1"
    assert "MKL_VERBOSE" not in asked["a"][2]
    assert all(one and (one.deploy_memory_mb, one.deploy_reason) == (150.0, "slow") for one in found)


def test_lost_artifacts_are_those_that_are_not_whole(tmp_path: Path) -> None:
    """Of the recipes that were built, and of no others."""
    site = site_of(tmp_path)
    executor = LocalExecutor(site)
    built = [build(executor, "a"), build(executor, "b")]
    make(site.folder("a"))
    assert executor.lost(built) == {"b"}
    assert executor.lost(()) == frozenset()
