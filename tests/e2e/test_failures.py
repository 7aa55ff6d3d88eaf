"""Children that die, hang, run out of memory or are too slow; a parent that is interrupted or killed; a full disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

import densebench
from densebench.schema import Effect
from tests.e2e import moody
from tests.e2e.program import (
    SMALL,
    Finished,
    Program,
    all_gone,
    family,
    journal_lines,
    journal_rows,
    wait_for,
    working_child,
    write_suite,
)
from tests.reliability.disk import fill, small_disk

__all__ = ["small_disk"]
pytestmark = pytest.mark.timeout(400)


def statuses(folder: Path) -> dict[tuple[str, int], str]:
    """How each cell in the journal ended."""
    return {(row["recipe"], row["batch_size"]): row["status"] for row in journal_rows(folder)}


def test_a_child_killed_amid_a_measurement_is_a_failed_row(program):
    """A measuring child that gets a SIGKILL costs its row, which names the signal; the sweep goes on."""
    suite = write_suite(
        program.folder / "suite.toml", recipes=["channels_last"], batch_sizes=[1], sample_time=4.0
    )
    with program.started("run", *SMALL, "--suite", suite, "--output-dir=out", "--log-dir=log") as process:
        made = program.folder / "out/models/channels_last/manifest.json"
        child = wait_for(lambda: made.exists() and working_child(process, age_s=2.0), process)
        child.kill()
        _, err = process.communicate(timeout=120)
    rows = {row["recipe"]: row for row in journal_rows(program.folder / "out")}
    assert set(rows) == {"baseline", "channels_last"}
    (failed,) = (row for row in rows.values() if row["status"] == "failed")
    assert "SIGKILL" in failed["reason"]
    assert [row["status"] for row in rows.values()].count("ok") == 1
    assert process.returncode == 1
    assert "Traceback" not in err


@dataclass(frozen=True)
class Plugin:
    """A sweep of recipes that another package brought."""

    folder: Path
    finished: Finished

    def row(self, recipe: str, size: int) -> dict[str, object]:
        rows = journal_rows(self.folder / "out")
        return next(r for r in rows if r["steps"] == recipe and r["batch_size"] == size)


@pytest.fixture(scope="module")
def plugin(home, tmp_path_factory) -> Plugin:
    """A sweep with an engine and a technique that are found through entry points."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copy(moody.__file__, folder / "moody.py")
    info = folder / "moody-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: moody\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[densebench.engines]\nmoody = moody:ENGINE\n[densebench.techniques]\nlethargy = moody:TECHNIQUE\n"
    )
    ours = Path(densebench.__file__).parents[1]  # wherever these tests import it from
    program = Program(home, folder, more=(("PYTHONPATH", f"{folder}{os.pathsep}{ours}"),))
    suite = write_suite(
        folder / "suite.toml",
        recipes=["moody:hang=2:memory=4", "lethargy+moody:slow=3", "moody:crash=2"],
        batch_sizes=[1, 2, 3, 4, 5],  # the first is what models are checked at
        cell_timeout=5,
        accuracy_time=5.0,
    )
    finished = program.run("run", *SMALL, "--suite", suite, "--output-dir=out", "--log-dir=log")
    return Plugin(folder, finished)


def test_techniques_and_engines_of_other_packages_are_found(plugin):
    """What an installed package registers through the entry points is measured like the built-in ones."""
    rows = {row.key: row for row in densebench.read_records(plugin.folder / "out")}
    row = rows["lethargy+moody:slow=3", 1]
    assert row.status == "ok"
    assert row.samples
    assert row.effect == Effect(seen=("lethargy sets in on cpu",), none_because="moods change no layer")
    assert plugin.finished.code == 1
    assert "Traceback" not in plugin.finished.err


def test_a_cell_that_hangs_is_timed_out_and_costs_only_itself(plugin):
    """A session that never returns is ended at the limit; the next batch size is measured."""
    row = plugin.row("moody:hang=2:memory=4", 2)
    assert row["status"] == "timed_out"
    assert "5 s" in str(row["reason"])
    assert plugin.row("moody:hang=2:memory=4", 3)["status"] == "ok"


def test_after_running_out_of_memory_larger_batches_are_skipped(plugin):
    """The batch that ran out of memory is failed; the larger one is skipped and names it."""
    assert plugin.row("moody:hang=2:memory=4", 4)["status"] == "failed"
    larger = plugin.row("moody:hang=2:memory=4", 5)
    assert larger["status"] == "skipped"
    assert "as at batch 4" in str(larger["reason"])


def test_a_cell_that_a_probe_finds_too_slow_is_skipped(plugin):
    """The row says why it may be slow, how slow it is, and which limit it would pass."""
    row = plugin.row("lethargy+moody:slow=3", 3)
    assert row["status"] == "skipped"
    assert str(row["reason"]).startswith("lethargy sets in on cpu: 1.3 s a batch")
    assert "--cell-timeout" in str(row["reason"])


def test_a_segmentation_fault_costs_one_row(plugin):
    """A library that crashes fails its row by the signal's name; the other batch sizes are measured."""
    row = plugin.row("moody:crash=2", 2)
    assert row["status"] == "failed"
    assert "SIGSEGV" in str(row["reason"])
    assert [plugin.row("moody:crash=2", size)["status"] for size in (1, 3, 4, 5)] == ["ok"] * 4


@dataclass(frozen=True)
class Killed:
    """A sweep whose parent was killed, and what was seen then."""

    program: Program
    before: list[dict[str, object]]
    created: str
    left: list[psutil.Process]

    @property
    def folder(self) -> Path:
        return self.program.folder / "out"

    def run(self, *arguments: str | Path) -> Finished:
        return self.program.run("run", *SMALL, "--output-dir=out", "--log-dir=log", *arguments)


@pytest.fixture(scope="module")
def killed(home, tmp_path_factory) -> Killed:
    """A sweep of two recipes at two batch sizes whose parent got a SIGKILL amid its second round."""
    program = Program(home, tmp_path_factory.mktemp("killed"))
    slow = write_suite(
        program.folder / "slow.toml", recipes=["channels_last"], batch_sizes=[1, 2], sample_time=2.0, rounds=2
    )
    folder = program.folder / "out"
    with program.started("run", *SMALL, "--suite", slow, "--output-dir=out", "--log-dir=log") as process:
        wait_for(lambda: journal_rows(folder) and working_child(process, age_s=1.0), process)
        left = family(process)
        process.kill()
        process.wait()
    assert left
    assert (folder / "run.log").exists()
    manifest = json.loads((folder / "models/baseline/manifest.json").read_bytes())
    return Killed(program, journal_lines(folder), manifest["created"], left)


def test_no_process_outlives_a_killed_parent(killed):
    """When the parent is gone, so is everything that it had started, soon after."""
    assert all_gone(killed.left)


def test_a_resume_of_another_configuration_is_refused(killed):
    """With another image size the run can't go on: one line that names the key, exit 2, and the journal untouched."""
    before = (killed.folder / "journal.jsonl").read_bytes()
    refused = killed.run("--resume", "--image-size=64", "--device=cpu", "--threads=1", "--batch-sizes=1")
    assert refused.code == 2
    assert len(refused.err.splitlines()) == 1
    assert "image_size was 32 and is now 64" in refused.err
    assert (killed.folder / "journal.jsonl").read_bytes() == before


def test_a_resume_of_another_recipe_of_the_same_name_is_refused(killed):
    """Its rows would stand beside the other's: one line that names both, exit 2, and the journal untouched."""
    before = (killed.folder / "journal.jsonl").read_bytes()
    suite = write_suite(killed.program.folder / "other.toml", recipes=["channels_last"], batch_sizes=[1, 2])
    suite.write_text(suite.read_text() + '\n[named]\nchannels_last = "bf16"\n')
    refused = killed.run("--resume", "--suite", suite)
    assert refused.code == 2
    assert len(refused.err.splitlines()) == 1
    assert "recipe channels_last was channels_last+eager and is now bf16+eager" in refused.err
    assert (killed.folder / "journal.jsonl").read_bytes() == before


def test_a_resume_completes_a_killed_run(killed):
    """No finished row is lost or measured twice, saved models are used again, and recipes may be added."""
    suite = write_suite(
        killed.program.folder / "more.toml", recipes=["channels_last", "bf16"], batch_sizes=[1, 2], rounds=2
    )
    resumed = killed.run("--resume", "--suite", suite)
    assert resumed.code == 0, resumed.err
    lines = journal_lines(killed.folder)
    assert lines[: len(killed.before)] == killed.before
    table = densebench.read_records(killed.folder)
    assert [row.key for row in table] == [
        (r, s) for r in ("baseline", "channels_last", "bf16") for s in (1, 2)
    ]
    # the baseline was measured again among what was missing
    assert all(row.speedup for row in table)
    for row in table:
        if row.recipe == "bf16":
            assert row.verdict in ("faster", "slower", "same", "unclear")
            assert row.speedup_ci_low <= row.speedup <= row.speedup_ci_high
    assert set(statuses(killed.folder).values()) == {"ok"}
    manifest = json.loads((killed.folder / "models/baseline/manifest.json").read_bytes())
    assert manifest["created"] == killed.created
    assert "baseline  build" not in resumed.out
    assert not (killed.folder / "previous").exists()


def test_earlier_results_are_set_aside(killed):
    """A new run in the same folder moves what is there, and its logs, to previous/<time>/."""
    before = (killed.folder / "journal.jsonl").read_bytes()
    suite = write_suite(killed.program.folder / "new.toml", recipes=["baseline"], batch_sizes=[1])
    assert killed.run("--suite", suite).code == 0
    (aside,) = (killed.folder / "previous").iterdir()
    assert (aside / "journal.jsonl").read_bytes() == before
    assert (aside / "models/baseline/manifest.json").exists()
    assert (aside / "tensorboard/profile").is_dir()
    assert list(statuses(killed.folder)) == [("baseline", 1)]


def _ctrl_c(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGINT)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()


@pytest.mark.parametrize("end", [_ctrl_c, _stop], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_run_keeps_its_finished_rows(program, end):
    """Ctrl-C or `docker stop` ends the run with 130; finished rows are in journal, CSV and report."""
    suite = write_suite(
        program.folder / "suite.toml",
        recipes=["channels_last"],
        batch_sizes=[1, 2],
        sample_time=2.0,
        rounds=2,
    )
    folder = program.folder / "out"
    with program.started("run", *SMALL, "--suite", suite, "--output-dir=out", "--log-dir=log") as process:
        wait_for(lambda: journal_rows(folder) and working_child(process, age_s=0.5), process)
        left = family(process)
        end(process)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert all_gone(left)
    rows = statuses(folder)
    assert rows
    assert set(rows.values()) == {"ok"}
    table = (folder / "benchmark_results.csv").read_text(encoding="utf-8").splitlines()
    assert len(table) == 1 + len(rows)
    assert (folder / "REPORT.md").exists()


def test_a_second_interrupt_costs_no_results(program):
    """Ctrl-C again and again while CSV and report are written: they are written, after a line that says so."""
    suite = write_suite(
        program.folder / "suite.toml", recipes=["channels_last"], batch_sizes=[1], sample_time=2.0, rounds=2
    )
    folder = program.folder / "out"
    with program.started("run", *SMALL, "--suite", suite, "--output-dir=out", "--log-dir=log") as process:
        wait_for(lambda: journal_rows(folder) and working_child(process, age_s=0.5), process)
        left = family(process)

        def again() -> bool:
            _ctrl_c(process)
            return (folder / "README.md").exists()

        wait_for(again, process)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert all_gone(left)
    assert "interrupted: writing the results of what was measured" in out
    rows = statuses(folder)
    table = (folder / "benchmark_results.csv").read_text(encoding="utf-8").splitlines()
    assert len(table) == 1 + len(rows) > 1
    assert (folder / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert not list(folder.glob(".*"))


def test_an_interrupt_before_the_first_row_leaves_nothing(program):
    """Ctrl-C while the workload is being opened ends with 130, without a traceback and without a file."""
    suite = write_suite(program.folder / "suite.toml", recipes=["baseline"], batch_sizes=[1])
    with program.started("run", *SMALL, "--suite", suite, "--output-dir=out", "--log-dir=log") as process:
        left = wait_for(lambda: family(process), process)
        _ctrl_c(process)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert all_gone(left)
    assert not (program.folder / "out").exists()


def test_models_that_do_not_fit_on_the_disk_are_failed_rows(program, small_disk):
    """A disk that fills up while a model is saved costs that recipe's rows, which say so."""
    names = [f"pruning:amount=0.{digit}" for digit in range(1, 6)]
    suite = write_suite(program.folder / "suite.toml", recipes=names, batch_sizes=[1])
    done = program.run("run", *SMALL, "--suite", suite, "--output-dir", small_disk / "out", "--log-dir=log")
    assert done.code == 1, done.err
    assert "Traceback" not in done.err
    rows = journal_rows(small_disk / "out")
    assert len(rows) == 6
    failed = [row for row in rows if row["status"] == "failed"]
    assert failed
    assert all("space" in row["reason"] for row in failed)
    assert not list((small_disk / "out/models").glob(".*"))


def test_a_disk_that_is_full_for_the_journal_ends_the_run_in_one_line(program, small_disk):
    """When not even a row can be kept, the run ends with exit code 1 and one line, and the journal is whole."""
    suite = write_suite(
        program.folder / "suite.toml",
        recipes=["channels_last"],
        batch_sizes=[1, 2],
        sample_time=2.0,
        rounds=2,
    )
    out = small_disk / "out"
    with program.started("run", *SMALL, "--suite", suite, "--output-dir", out, "--log-dir=log") as process:
        wait_for(lambda: len(journal_rows(out)) == 4, process)  # those of the first round
        fill(small_disk / "filler")
        _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert len(err.splitlines()) == 1, err
    assert "No space left" in err
    assert [row["status"] for row in journal_rows(out)] == ["ok"] * 4
    assert (out / "journal.jsonl").read_bytes().endswith(b"\n")


def test_a_program_of_another_home_does_not_trust_our_code(program, tmp_path_factory):
    """An artifact with code that another installation signed is refused at load, in one line."""
    suite = write_suite(program.folder / "suite.toml", recipes=["jit"], batch_sizes=[1])
    assert program.run("run", *SMALL, "--suite", suite, "--output-dir=out", "--log-dir=log").code == 0
    elsewhere = replace(program, home=tmp_path_factory.mktemp("elsewhere"))
    script = (
        "import densebench, json\ntry: densebench.load('out/models/jit')\n"
        "except densebench.errors.RefusedArtifact as error: print(json.dumps(str(error)))"
    )
    assert "--trust" in elsewhere.python(script)
