"""What `--resume` takes from an earlier run, does again, and refuses, with children that answer at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from rich.console import Console

import densebench
from densebench import loop
from densebench.cli import main
from densebench.errors import InputError, TooSlow, Unavailable
from densebench.executors import opening
from densebench.executors.local import LocalExecutor
from densebench.output import written
from densebench.processes import messages
from densebench.results import journal
from densebench.results.observation import Status
from densebench.results.record import Record
from densebench.sinks.progress import Progress
from densebench.spec import RunSpec
from tests.artifacts.test_manifest import make
from tests.reliability.fork_servers import InstantForkServers

pytest_plugins = ["tests.fixtures"]
pytestmark = pytest.mark.usefixtures("own_key")
HURRY = {"rounds": 1, "focus_batch_sizes": (), "repeats": 0, "ceilings": False, "deploy_time": 0}
Run = Callable[..., loop.Outcome]
TOO_SLOW = "too slow here: 9.0 s a batch, so 36 s would come too near --cell-timeout"


class Children(InstantForkServers):
    """They leave artifacts, and fail as a test says; which jobs they were given is kept for all of them."""

    asked: ClassVar[list[messages.Job]] = []
    problem: ClassVar[Exception | None] = None

    def run(self, job: messages.Job, *arguments: Any) -> Any:
        self.asked.append(job)
        if isinstance(job, messages.Build):
            make(job.folder, batch_sizes=job.batch_sizes)
        if isinstance(job, messages.Measure) and self.problem and job.folder.name != "baseline":
            raise self.problem
        return super().run(job, *arguments)


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> type[Children]:
    """Those of one test, without pictures and without a look at the machine."""

    class OfThisTest(Children):
        asked: ClassVar[list[messages.Job]] = []

    monkeypatch.setattr(opening, "ForkServerPool", OfThisTest)
    monkeypatch.setattr(written, "write_board", lambda *_: None)
    monkeypatch.setattr(opening, "warnings", lambda placed: [])
    return OfThisTest


@pytest.fixture
def run(children: type[Children], tmp_path: Path) -> Run:
    """A sweep into `out`."""

    def sweep(command: str = "", **flags: Any) -> loop.Outcome:
        children.asked.clear()
        where = {"output_dir": tmp_path / "out", "log_dir": tmp_path / "log"}
        spec = RunSpec.create(**(HURRY | where | {"recipes": ["amp"], "batch_sizes": [1]} | flags))
        with Path("/dev/null").open("w", encoding="utf-8") as nowhere:
            return loop.run(spec, Progress(Console(file=nowhere)), command)

    return sweep


def test_a_resume_with_another_number_of_images_is_refused(run: Run, tmp_path: Path) -> None:
    """Recipes of one run are compared image by image, so all of them see the same ones."""
    run(accuracy_images=50)
    before = (tmp_path / "out" / journal.FILE_NAME).read_bytes()
    with pytest.raises(InputError, match="accuracy_images was 50 and is now 60"):
        run(accuracy_images=60, resume=True)
    with pytest.raises(InputError, match="accuracy_images was 50 and is now not set"):
        run(resume=True)
    assert (tmp_path / "out" / journal.FILE_NAME).read_bytes() == before
    run(accuracy_images=50, resume=True)


def built(children: type[Children]) -> dict[str, tuple[int, ...]]:
    """Which recipes were built, and for which batch sizes."""
    return {job.recipe: job.batch_sizes for job in children.asked if isinstance(job, messages.Build)}


def test_a_recipe_of_the_same_name_and_other_steps_is_refused(run: Run, tmp_path: Path) -> None:
    """A resume would show what was measured of the one for the other; nothing is written."""
    mine = {"recipes": ["mine"], "named": {"mine": "pruning:amount=0.3"}}
    run(**mine)
    path = tmp_path / "out" / journal.FILE_NAME
    before = path.read_bytes()
    with pytest.raises(
        InputError, match=r"recipe mine was pruning\S* and is now pruning:amount=0\.5"
    ) as caught:
        run(**mine | {"named": {"mine": "pruning:amount=0.5"}}, resume=True)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    run(**mine, resume=True)


def test_a_folder_of_the_same_name_is_other_data(run: Run, tmp_path: Path) -> None:
    """So is the same folder with a file more, or with one that was written again."""
    for name in ("a", "b"):
        (tmp_path / name / "val" / "cat").mkdir(parents=True)
        (tmp_path / name / "val" / "cat" / "1.png").write_bytes(b"image")
    mine = tmp_path / "a" / "val"
    run(data=str(mine))
    run(data=str(mine), resume=True)
    other = "data_files was .* and is now"
    with pytest.raises(InputError, match=other):
        run(data=str(tmp_path / "b" / "val"), resume=True)
    (mine / "cat" / "2.png").touch()
    with pytest.raises(InputError, match=other):
        run(data=str(mine), resume=True)
    (mine / "cat" / "2.png").unlink()
    run(data=str(mine), resume=True)
    (mine / "cat" / "1.png").write_bytes(b"another")
    with pytest.raises(InputError, match=other):
        run(data=str(mine), resume=True)


def test_an_artifact_is_built_again_for_more_batch_sizes(run: Run, children: type[Children]) -> None:
    """For those of its rows and the new ones together; without new ones it is used as it is."""
    run(recipes=["jit"], batch_sizes=[1, 8])
    assert built(children) == {"baseline": (1, 8), "jit": (1, 8)}
    run(recipes=["jit"], batch_sizes=[8, 4], resume=True)
    assert built(children) == {"jit": (1, 4, 8)}, "the baseline's artifact serves any"
    run(recipes=["jit"], batch_sizes=[1, 4], rounds=2, resume=True)
    assert built(children) == {}


def test_a_baseline_whose_artifact_is_gone_is_built_again_for_the_others(
    run: Run, children: type[Children], tmp_path: Path
) -> None:
    """A recipe that is added is compared with it, not measured alone; one that adds nothing builds nothing."""
    run()
    shutil.rmtree(tmp_path / "out" / "models" / "baseline")
    run(resume=True)
    assert built(children) == {}
    rows = run(recipes=["jit"], resume=True).rows
    assert [*built(children)] == ["baseline", "jit"]
    assert next(row for row in rows if row.recipe == "jit").speedup is not None


def test_a_report_tells_what_has_no_row(
    run: Run, children: type[Children], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted run does not say that every row ran, and one that is whole does."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(LocalExecutor, "run", interrupted)
        assert run(batch_sizes=[1, 8]).exit_code == 130
    report = tmp_path / "out" / "REPORT.md"
    said = "No row for baseline and amp at batches 1 and 8: the run ended before that"
    assert said in report.read_text(encoding="utf-8")
    assert "Every row ran" not in report.read_text(encoding="utf-8")
    run(batch_sizes=[1], resume=True)
    assert "No row for baseline and amp at batch 8:" in report.read_text(encoding="utf-8")
    run(batch_sizes=[1, 8], resume=True)
    assert "Every row ran" in report.read_text(encoding="utf-8")
    run(recipes=["jit"], batch_sizes=[4], resume=True)
    assert "Every row ran" in report.read_text(encoding="utf-8")


def test_an_onnx_file_is_the_same_wherever_it_lies(run: Run) -> None:
    """Its hash says whether it is: a run goes on with it, and its rows compare, from another folder too."""
    run(model="here/my.onnx", recipes=["openvino"])
    rows = run(model="there/my.onnx", recipes=["openvino", "openvino_bf16"], resume=True).rows
    assert {row.model for row in rows} == {"my.onnx"}


def test_a_run_that_an_error_ends_leaves_its_log(
    run: Run, children: type[Children], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its children said is there for whoever looks for the reason."""

    def broken(*_: object) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(LocalExecutor, "run", broken)
    with pytest.raises(RuntimeError, match="a mistake"):
        run()
    assert (tmp_path / "out" / "run.log").exists()


def test_the_log_is_there_while_children_work(run: Run, children: type[Children], tmp_path: Path) -> None:
    """A message that names it can be followed at once; a resume writes on, and one that is refused leaves it."""
    log, seen = tmp_path / "out" / "run.log", []

    def look(self: Children, job: messages.Job, *arguments: Any) -> Any:
        if isinstance(job, messages.Build | messages.Measure):
            with self.log.open("a", encoding="utf-8") as file:
                file.write(f"{job.kind} ")
            seen.append(log.read_text(encoding="utf-8"))
        return Children.run(self, job, *arguments)

    children.run = look  # type: ignore[method-assign]
    run()
    first = "build build measure measure measure "
    assert seen[0] == "build "
    assert seen[-1] == log.read_text() == first
    with pytest.raises(InputError, match="seed was 0 and is now 1"):
        run(resume=True, seed=1)
    assert log.read_text() == first
    run(resume=True, recipes=["amp", "bf16"])
    assert log.read_text().startswith(first + "build ")
    run()
    assert log.read_text() == first
    assert not [*(tmp_path / "out").glob(".*")]


@pytest.mark.parametrize(
    ("problem", "flags", "again"),
    [
        (Unavailable("install g++"), {}, True),
        (TooSlow(TOO_SLOW), {"cell_timeout": 9}, False),
        (TooSlow(TOO_SLOW), {"cell_timeout": 90}, True),
    ],
    ids=["it may be there now", "same limit", "another limit"],
)
def test_what_was_skipped_is_tried_again_where_that_may_help(
    run: Run, children: type[Children], problem: Exception, flags: dict[str, float], *, again: bool
) -> None:
    """Unless it was a prediction that still holds; batch sizes that were skipped with it go the same way."""
    children.problem = problem
    first = run(batch_sizes=[1, 2], cell_timeout=9)
    assert [row.status for row in first.rows if row.recipe == "amp"] == [Status.SKIPPED] * 2
    children.problem = None
    rows = run(batch_sizes=[1, 2], resume=True, **({"cell_timeout": 9} | flags)).rows
    assert {row.status for row in rows if row.recipe == "amp"} == {Status.OK if again else Status.SKIPPED}


def test_what_is_known_to_be_impossible_is_not_tried_again(
    run: Run, children: type[Children], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the reason is the same; once it is gone the recipe runs."""
    lacking = "pip install something"
    with monkeypatch.context() as patch:
        patch.setattr("densebench.recipes.recipe.Recipe.unavailable", _without_amp(lacking))
        assert run().rows[-1].reason == lacking
        before = len(run(resume=True).rows)
        assert built(children) == {}
        patch.setattr("densebench.recipes.recipe.Recipe.unavailable", _without_amp("another reason"))
        assert run(resume=True).rows[-1].reason == "another reason"
    rows = run(resume=True).rows
    assert len(rows) == before
    assert rows[-1].status is Status.OK


def _without_amp(reason: str) -> Callable[..., str | None]:
    return lambda recipe, device: reason if recipe.name == "amp" else None


def test_a_report_after_a_resume_is_the_report_of_the_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`densebench report` makes the same from the journal: the notes and recipes of both, and how to get them."""
    run("densebench run --recipes bf16", recipes=["bf16"])
    monkeypatch.setattr(opening, "warnings", lambda placed: ["a drummer next door"])
    added = {"recipes": ["amp", "bf16"], "max_accuracy_drop": 3.0, "resume": True}
    outcome = run("densebench run --recipes amp,bf16 --resume", **added)
    assert [row.recipe for row in outcome.rows] == ["baseline", "bf16", "amp"]
    files = [tmp_path / "out" / name for name in ("REPORT.md", "README.md", "benchmark_results.csv")]
    before = [path.read_text(encoding="utf-8") for path in files]
    assert "a drummer next door" in before[0]
    assert "densebench run --recipes bf16 && densebench run --recipes amp,bf16 --resume" in before[0]
    monkeypatch.setattr("sys.argv", ["densebench", "report", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as end:
        main.main()
    assert not end.value.code
    assert [path.read_text(encoding="utf-8") for path in files] == before


def test_a_resume_that_adds_nothing_adds_no_line(run: Run, tmp_path: Path) -> None:
    """The journal of a run that is complete stays as it is, however often it is resumed."""
    run("densebench run")
    before = (tmp_path / "out" / journal.FILE_NAME).read_bytes()
    outcome = run("densebench run --resume", resume=True)
    assert (tmp_path / "out" / journal.FILE_NAME).read_bytes() == before
    assert outcome.header.command == "densebench run"


def test_a_resume_of_nothing_says_that_it_is_a_new_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder may be misspelt; a script that always says `--resume` still begins."""
    said: list[str] = []
    monkeypatch.setattr(Progress, "note", lambda self, text: said.append(text))
    told = f"nothing to go on with: {tmp_path / 'out'} has no journal, so this is a new run"
    run(resume=True)
    assert said.count(told) == 1
    run(resume=True)
    assert said.count(told) == 1


def test_a_prediction_names_the_limit_that_it_is_held_against(run: Run, children: type[Children]) -> None:
    """The reason of a skipped row says how many seconds the cell would have had."""
    children.problem = TooSlow(TOO_SLOW)
    (row,) = (one for one in run(cell_timeout=9).rows if one.recipe == "amp")
    assert isinstance(row, Record)
    assert row.reason == f"{TOO_SLOW} 9"


def test_a_run_from_python_says_how_to_do_it_again(children: type[Children], tmp_path: Path) -> None:
    """Its report has the command that does the same."""
    flags = {"recipes": ["amp"], "output_dir": tmp_path / "out", "log_dir": tmp_path / "log"}
    densebench.run("quick", **flags)
    header, _ = journal.read(tmp_path / "out")
    expected = f"densebench run --quick --recipes amp --output-dir {tmp_path}/out --log-dir {tmp_path}/log"
    assert header.command == expected
    assert expected in (tmp_path / "out" / "REPORT.md").read_text(encoding="utf-8")
