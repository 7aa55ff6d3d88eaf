"""Children that answer, fail, crash, hang and leave others behind, in a real nursery with stand-in jobs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from densebench import jobs
from densebench.errors import CellFailed, CellTimedOut, Unavailable, UsageError
from densebench.isolation import Nursery, plain_environment
from densebench.machine import SCRATCH
from tests.stand_in import FAMILY, on_path

PATIENCE_S = 20.0


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    """A nursery whose children do what a build job's recipe says."""
    with Nursery(on_path(plain_environment(1)), tmp_path / "run.log") as opened:
        yield opened


def job_of(what: str, folder: Path) -> jobs.Build:
    """One of the things in `stand_in/sitecustomize.py`."""
    return jobs.Build(
        workload=jobs.WorkloadJob(model="", weights="", data="", image_size=32, seed=0),
        recipe=what,
        named={},
        device="cpu",
        batch_sizes=(1,),
        folder=folder,
        threads=1,
    )


def do(nursery: Nursery, what: str, folder: Path, timeout_s: float = PATIENCE_S, **more) -> jobs.BuildDone:
    """Have a child do it."""
    return nursery.run(job_of(what, folder), jobs.BuildDone, timeout_s, **more)


def family(folder: Path) -> list[int]:
    """The child and the process that it started."""
    return [int(number) for number in (folder / FAMILY).read_text(encoding="ascii").split()]


def gone(numbers: list[int], within_s: float = 5.0) -> bool:
    """Whether all these processes end within the time; zombies have ended."""
    processes = [psutil.Process(number) for number in numbers if psutil.pid_exists(number)]
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not any(process.is_running() and process.status() != "zombie" for process in processes):
            return True
        time.sleep(0.02)
    return False


def test_a_job_is_done_in_a_fresh_process_and_its_answer_comes_back(nursery, tmp_path):
    """Two jobs are answered, by two processes that are neither the parent nor the zygote."""
    answers = {do(nursery, "answer", tmp_path).build_s for _ in range(2)}
    assert len(answers) == 2
    assert not answers & {float(os.getpid()), float(nursery._zygote.pid)}


def test_stages_are_told_as_they_are_entered(nursery, tmp_path):
    """The child's stages reach the parent in order."""
    heard: list[str] = []
    do(nursery, "answer", tmp_path, on_stage=heard.append)
    assert heard == ["first", "second"]


@pytest.mark.parametrize(
    ("what", "kind", "said"),
    [
        ("usage", UsageError, "that file is no good"),
        ("unavailable", Unavailable, "not on this machine"),
        ("error", CellFailed, "ValueError: a bug"),
    ],
)
def test_an_error_in_the_child_is_raised_in_the_parent(nursery, tmp_path, what, kind, said):
    """An error keeps its class and its text, on one line."""
    with pytest.raises(kind) as caught:
        do(nursery, what, tmp_path)
    assert str(caught.value) == said


def test_a_child_lives_as_long_as_it_is_wanted(nursery, tmp_path):
    """From its first word on; then it is ended with all that it started, and the next one can come."""
    for _ in range(2):
        with nursery.living(job_of("hang", tmp_path), PATIENCE_S):
            while not (tmp_path / FAMILY).exists():
                time.sleep(0.01)
        assert gone(family(tmp_path))
        (tmp_path / FAMILY).unlink()


@pytest.mark.parametrize(
    ("what", "limit_s", "kind", "said"),
    [
        ("silent crash", PATIENCE_S, CellFailed, "build: ended at once: the last words"),
        ("silent usage", PATIENCE_S, UsageError, "that file is no good"),
        ("silent sleep", 0.6, CellFailed, "build: not ready in 1 s"),
    ],
)
def test_a_child_that_does_not_come_to_life_says_why(nursery, tmp_path, what, limit_s, kind, said):
    """Whether it ended, was refused or took too long; the next job is done."""
    with pytest.raises(kind) as caught, nursery.living(job_of(what, tmp_path), limit_s):
        raise AssertionError("it is not ready")
    assert str(caught.value) == said
    do(nursery, "answer", tmp_path)


def test_running_out_of_memory_is_told_apart(nursery, tmp_path):
    """A refused allocation, be it under a limit of the system, and a SIGKILL are out of memory; a bug is not."""
    marks = {}
    for what in ("memory", "limit", "killed", "error"):
        with pytest.raises(CellFailed) as caught:
            do(nursery, what, tmp_path)
        marks[what] = caught.value.out_of_memory
    assert marks == {"memory": True, "limit": True, "killed": True, "error": False}


@pytest.mark.parametrize(
    ("what", "said"),
    [("crash", "ended by SIGSEGV: the last words"), ("killed", "ended by SIGKILL"), ("exit", "exit code 3")],
)
def test_a_child_that_dies_without_a_word_is_a_failed_cell(nursery, tmp_path, what, said):
    """The error names the signal or the exit code, with the last line of output, and the next job is done."""
    with pytest.raises(CellFailed) as caught:
        do(nursery, what, tmp_path)
    assert said in str(caught.value)
    assert not isinstance(caught.value, CellTimedOut)
    assert do(nursery, "answer", tmp_path).build_s > 0


def test_a_hung_child_is_ended_with_all_that_it_started(nursery, tmp_path):
    """At the limit a child that ignores signals is gone, its own child too, and the next job is done."""
    started = time.monotonic()
    with pytest.raises(CellTimedOut, match="build took more than 2 s"):
        do(nursery, "hang", tmp_path, timeout_s=2)
    assert time.monotonic() - started < PATIENCE_S
    assert len(family(tmp_path)) == 2
    assert gone(family(tmp_path))
    assert do(nursery, "answer", tmp_path).build_s > 0


@pytest.mark.parametrize("after", ["crash", "killed", "exit", "hang"])
def test_an_answer_stands_whatever_becomes_of_its_child(nursery, tmp_path, after):
    """A child that dies or hangs once it has answered costs nothing; one that goes on adds to its answer."""
    done = do(nursery, f"answer then {after}", tmp_path, timeout_s=2)
    assert done.build_s > 0
    assert done.ended is not None
    assert done.ended.kind == ("timed_out" if after == "hang" else "failed")
    assert do(nursery, "answer", tmp_path).ended is None
    assert do(nursery, "answer then answer", tmp_path).build_s == -1


@pytest.mark.parametrize("what", ["abandon", "fork", "crash_with_family"])
def test_what_a_child_leaves_behind_is_ended_with_it(nursery, tmp_path, what):
    """A process that a child started and did not wait for does not run on into the next measurement."""
    with contextlib.suppress(CellFailed):
        do(nursery, what, tmp_path)
    assert gone(family(tmp_path))


def test_jobs_fail_once_the_zygote_is_gone(nursery, tmp_path):
    """When the process that starts children is killed, each further job is a failed cell that says so."""
    do(nursery, "answer", tmp_path)
    nursery._zygote.kill()
    nursery._zygote.wait()
    for _ in range(2):
        with pytest.raises(CellFailed, match="the process that starts children has ended"):
            do(nursery, "answer", tmp_path)


def test_nothing_is_left_after_close(tmp_path):
    """After the nursery is closed no process of it is left, and its zygote has been waited for."""
    with Nursery(on_path(plain_environment(1)), tmp_path / "run.log") as nursery:
        do(nursery, "answer", tmp_path)
        zygote = nursery._zygote.pid
        assert psutil.Process(zygote).ppid() == os.getpid()
    assert not psutil.pid_exists(zygote)


def test_a_child_ends_with_its_parent_however_that_dies(tmp_path):
    """When the parent gets a SIGKILL amid a job, zygote, child and grandchild end, and its scratch folder is gone."""
    script = (
        "import sys; from pathlib import Path; from densebench.isolation import Nursery, plain_environment\n"
        "from tests.stand_in import on_path; from tests.test_isolation import do\n"
        "folder = Path(sys.argv[1])\n"
        "environment = plain_environment(1) | {'DENSEBENCH_SCRATCH': str(folder / 'scratch')}\n"
        "with Nursery(on_path(environment), folder / 'run.log') as nursery:\n"
        "    (folder / 'zygote').write_text(str(nursery._zygote.pid))\n"
        "    do(nursery, 'hang', folder)\n"
    )
    root = Path(__file__).parents[1]
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "half a file").touch()
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=root)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not (tmp_path / FAMILY).exists() or not (tmp_path / FAMILY).read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        numbers = [int((tmp_path / "zygote").read_text()), *family(tmp_path)]
        assert all(psutil.pid_exists(number) for number in numbers)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert gone(numbers)
    assert not (tmp_path / "scratch").exists()


def test_the_parent_sleeps_while_a_child_works(nursery, tmp_path):
    """While a child works for two seconds, the parent uses next to no CPU time."""
    do(nursery, "answer", tmp_path)
    before = time.process_time()
    do(nursery, "sleep", tmp_path)
    assert time.process_time() - before < 0.1


def test_children_run_in_a_plain_environment(monkeypatch):
    """Tuning that the caller has set is taken out, and the thread count is stated."""
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    monkeypatch.setenv("KMP_AFFINITY", "compact")
    monkeypatch.setenv("SOMETHING_ELSE", "kept")
    tuned = ("DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "NVIDIA_TF32_OVERRIDE", "ATEN_CPU_CAPABILITY")
    compiled = ("TORCHDYNAMO_DISABLE", "TORCH_COMPILE_DEBUG", "TORCHINDUCTOR_FREEZING", "PYTORCH_JIT")
    memory = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_NO_CUDA_MEMORY_CACHING", "OPENBLAS_NUM_THREADS", "OV_X")
    for name in (*tuned, *compiled, *memory, "OPENBLAS_CORETYPE"):
        monkeypatch.setenv(name, "1")
    environment = plain_environment(3)
    assert not {*tuned, *compiled, *memory} & {*environment}
    assert (
        environment["OPENBLAS_CORETYPE"] == "1"
    )  # not speed: right answers on a processor that it takes for another
    assert not [name for name in environment if name.startswith(("MALLOC_", "KMP_"))]
    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["SOMETHING_ELSE"] == "kept"


@pytest.mark.parametrize("busy", [False, True])
def test_a_parent_that_takes_its_leave_keeps_its_scratch_folder(tmp_path, busy):
    """What it still reads after closing is there, whether its zygote was ready, at work, or just starting."""
    (tmp_path / "scratch").mkdir()
    environment = on_path(plain_environment(1)) | {SCRATCH: str(tmp_path / "scratch")}
    with Nursery(environment, tmp_path / "run.log") as nursery:
        if busy:
            with pytest.raises(CellTimedOut):
                do(nursery, "hang", tmp_path, timeout_s=0.2)
    assert (tmp_path / "scratch").is_dir()
