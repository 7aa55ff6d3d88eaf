"""Children that answer, fail, crash, hang and leave others behind, in a real fork server with stand-in jobs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

from densebench.build_cache import SCRATCH
from densebench.errors import CellFailed, CellTimedOut, Unavailable, UsageError
from densebench.processes import child, messages
from densebench.processes.environment import plain_environment
from densebench.processes.fork_server import ForkServer
from tests.processes.held import holding
from tests.stand_in import FAMILY, on_path

PATIENCE_S = 20.0


@pytest.fixture
def fork_server(tmp_path: Path) -> Iterator[ForkServer]:
    """A fork server whose children do what a build job's recipe says."""
    with closing(ForkServer(on_path(plain_environment(1)), tmp_path / "run.log")) as opened:
        yield opened


def job_of(what: str, folder: Path) -> messages.Build:
    """One of the things in `stand_in/sitecustomize.py`."""
    return messages.Build(
        workload=messages.WorkloadJob(model="", weights="", data="", image_size=32, seed=0),
        recipe=what,
        named={},
        device="cpu",
        batch_sizes=(1,),
        folder=folder,
        threads=1,
    )


def do(
    fork_server: ForkServer, what: str, folder: Path, timeout_s: float = PATIENCE_S, **more
) -> messages.BuildDone:
    """Have a child do it."""
    return fork_server.run(job_of(what, folder), messages.BuildDone, timeout_s, **more)


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


def test_a_job_is_done_in_a_fresh_process_and_its_answer_comes_back(fork_server, tmp_path):
    """Two jobs are answered, by two processes that are neither the parent nor the fork server."""
    answers = {do(fork_server, "answer", tmp_path).build_s for _ in range(2)}
    assert len(answers) == 2
    assert not answers & {float(os.getpid()), float(fork_server._server.process.pid)}


def test_stages_are_told_as_they_are_entered(fork_server, tmp_path):
    """The child's stages reach the parent in order."""
    heard: list[str] = []
    do(fork_server, "answer", tmp_path, on_stage=heard.append)
    assert heard == ["first", "second"]


@pytest.mark.parametrize(
    ("what", "kind", "said"),
    [
        ("usage", UsageError, "that file is no good"),
        ("unavailable", Unavailable, "not on this machine"),
        ("error", CellFailed, "ValueError: a bug"),
    ],
)
def test_an_error_in_the_child_is_raised_in_the_parent(fork_server, tmp_path, what, kind, said):
    """An error keeps its class and its text, on one line."""
    with pytest.raises(kind) as caught:
        do(fork_server, what, tmp_path)
    assert str(caught.value) == said


def test_a_child_lives_as_long_as_it_is_wanted(fork_server, tmp_path):
    """From its first word on; then it is ended with all that it started, and the next one can come."""
    for _ in range(2):
        with fork_server.living(job_of("hang", tmp_path), PATIENCE_S):
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
def test_a_child_that_does_not_come_to_life_says_why(fork_server, tmp_path, what, limit_s, kind, said):
    """Whether it ended, was refused or took too long; the next job is done."""
    with pytest.raises(kind) as caught, fork_server.living(job_of(what, tmp_path), limit_s):
        raise AssertionError("it is not ready")
    assert str(caught.value) == said
    do(fork_server, "answer", tmp_path)


def test_running_out_of_memory_is_told_apart(fork_server, tmp_path):
    """A refused allocation, be it under a limit of the system, and a SIGKILL are out of memory; a bug is not."""
    marks = {}
    for what in ("memory", "limit", "killed", "error"):
        with pytest.raises(CellFailed) as caught:
            do(fork_server, what, tmp_path)
        marks[what] = caught.value.out_of_memory
    assert marks == {"memory": True, "limit": True, "killed": True, "error": False}


@pytest.mark.parametrize(
    ("what", "said"),
    [("crash", "ended by SIGSEGV: the last words"), ("killed", "ended by SIGKILL"), ("exit", "exit code 3")],
)
def test_a_child_that_dies_without_a_word_is_a_failed_cell(fork_server, tmp_path, what, said):
    """The error names the signal or the exit code, with the last line of output, and the next job is done."""
    with pytest.raises(CellFailed) as caught:
        do(fork_server, what, tmp_path)
    assert said in str(caught.value)
    assert not isinstance(caught.value, CellTimedOut)
    assert do(fork_server, "answer", tmp_path).build_s > 0


def test_a_hung_child_is_ended_with_all_that_it_started(fork_server, tmp_path):
    """At the limit a child that ignores signals is gone, its own child too, and the next job is done."""
    started = time.monotonic()
    with pytest.raises(CellTimedOut, match="build took more than 2 s"):
        do(fork_server, "hang", tmp_path, timeout_s=2)
    assert time.monotonic() - started < PATIENCE_S
    assert len(family(tmp_path)) == 2
    assert gone(family(tmp_path))
    assert do(fork_server, "answer", tmp_path).build_s > 0


def test_a_child_that_the_kernel_does_not_end_costs_its_job_alone(fork_server, tmp_path, monkeypatch):
    """Neither its job nor closing waits for it beyond a limit; what it had answered before stands."""
    monkeypatch.setattr(child, "KILL_LIMIT_S", 0.5)
    began, held = time.monotonic(), []
    with holding() as hold:

        def note(stage: str) -> None:
            if stage == "first":
                held.append(fork_server._child)
                hold(fork_server._child)

        with pytest.raises(CellTimedOut) as caught:
            do(fork_server, "sleep", tmp_path, timeout_s=1, on_stage=note)
        stuck = f"the kernel did not end process {held[0]} in 0.5 s (a driver or disk that hangs?)"
        assert str(caught.value) == f"build took more than 1 s; {stuck}"
        assert not fork_server.alive
        fork_server.close()
        assert time.monotonic() - began < PATIENCE_S
        assert psutil.pid_exists(held[0])
    assert gone(held)


def test_a_living_child_that_the_kernel_does_not_end_costs_nothing(fork_server, tmp_path, monkeypatch):
    """Its block ends as any other does; its fork server is given up."""
    monkeypatch.setattr(child, "KILL_LIMIT_S", 0.5)
    with holding() as hold:
        with fork_server.living(job_of("sleep", tmp_path), PATIENCE_S):
            hold(fork_server._child)
        assert not fork_server.alive


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("answer", "build: process {}, which starts children, did not answer in 1 s"),
        ("hang", "build took more than 1 s; process {}, which started it, does not answer"),
    ],
)
def test_a_fork_server_that_is_stuck_is_given_up(fork_server, tmp_path, monkeypatch, what, said):
    """Before it forks a child or after; it is ended, and so is its child."""
    monkeypatch.setattr("densebench.processes.fork_server.KILL_LIMIT_S", 0.5)
    number = fork_server._server.process.pid

    def stop(stage: str = "") -> None:
        os.kill(number, signal.SIGSTOP)

    fork_server.wait_until_ready()
    if what == "answer":
        stop()
    with pytest.raises(CellTimedOut) as caught:
        do(fork_server, what, tmp_path, timeout_s=1, on_stage=stop)
    assert str(caught.value) == said.format(number)
    assert not fork_server.alive
    assert gone([number, *(family(tmp_path) if what == "hang" else [])])


def test_closing_ends_though_nothing_heeds_a_signal(fork_server, tmp_path, monkeypatch):
    """A fork server that is stuck itself is left behind, and so is its child."""
    monkeypatch.setattr(child, "SIGKILL", 0)
    monkeypatch.setattr(child, "KILL_LIMIT_S", 0.5)
    number = fork_server._server.process.pid
    with pytest.raises(CellTimedOut, match="the kernel did not end"):
        do(fork_server, "sleep", tmp_path, timeout_s=1, on_stage=lambda _: os.kill(number, signal.SIGSTOP))
    began = time.monotonic()
    fork_server.close()
    assert time.monotonic() - began < PATIENCE_S
    assert psutil.Process(number).status() == psutil.STATUS_STOPPED
    os.kill(number, signal.SIGCONT)
    assert gone([number])


@pytest.mark.parametrize("after", ["crash", "killed", "exit", "hang"])
def test_an_answer_stands_whatever_becomes_of_its_child(fork_server, tmp_path, after):
    """A child that dies or hangs once it has answered costs nothing; one that goes on adds to its answer."""
    done = do(fork_server, f"answer then {after}", tmp_path, timeout_s=2)
    assert done.build_s > 0
    assert done.ended is not None
    assert done.ended.kind == ("timed_out" if after == "hang" else "failed")
    assert do(fork_server, "answer", tmp_path).ended is None
    assert do(fork_server, "answer then answer", tmp_path).build_s == -1


@pytest.mark.parametrize("what", ["abandon", "fork", "crash_with_family"])
def test_what_a_child_leaves_behind_is_ended_with_it(fork_server, tmp_path, what):
    """A process that a child started and did not wait for does not run on into the next measurement."""
    with suppress(CellFailed):
        do(fork_server, what, tmp_path)
    assert gone(family(tmp_path))


def test_jobs_fail_once_the_fork_server_is_gone(fork_server, tmp_path):
    """When the process that starts children is killed, each further job is a failed cell that says so."""
    do(fork_server, "answer", tmp_path)
    fork_server._server.process.kill()
    fork_server._server.process.wait()
    for _ in range(2):
        with pytest.raises(CellFailed, match="the process that starts children ended by SIGKILL"):
            do(fork_server, "answer", tmp_path)


def test_a_fork_server_that_can_not_start_says_why(tmp_path):
    """Its last line is in the message: where nothing was written yet, there is no log to look at."""
    (tmp_path / "densebench").mkdir()
    (tmp_path / "densebench" / "__init__.py").write_text("raise ImportError('a broken library')")
    environment = plain_environment(1) | {"PYTHONPATH": str(tmp_path)}
    with (
        closing(ForkServer(environment, tmp_path / "run.log")) as fork_server,
        pytest.raises(CellFailed, match="starts children ended with exit code 1: ImportError: a broken lib"),
    ):
        do(fork_server, "answer", tmp_path)


def test_nothing_is_left_after_close(tmp_path):
    """After the fork server is closed no process of it is left, and it has been waited for."""
    with closing(ForkServer(on_path(plain_environment(1)), tmp_path / "run.log")) as fork_server:
        do(fork_server, "answer", tmp_path)
        server = fork_server._server.process.pid
        assert psutil.Process(server).ppid() == os.getpid()
    assert not psutil.pid_exists(server)


def test_a_child_ends_with_its_parent_however_that_dies(tmp_path):
    """After a SIGKILL amid a job, fork server, child and grandchild end, and the scratch folder is gone."""
    script = (
        "import sys; from contextlib import closing; from pathlib import Path\n"
        "from densebench.processes.environment import plain_environment\n"
        "from densebench.processes.fork_server import ForkServer\n"
        "from tests.stand_in import on_path; from tests.processes.test_fork_server import do\n"
        "folder = Path(sys.argv[1])\n"
        "environment = plain_environment(1) | {'DENSEBENCH_SCRATCH': str(folder / 'scratch')}\n"
        "with closing(ForkServer(on_path(environment), folder / 'run.log')) as fork_server:\n"
        "    (folder / 'server').write_text(str(fork_server._server.process.pid))\n"
        "    do(fork_server, 'hang', folder)\n"
    )
    root = Path(__file__).parents[2]
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "half a file").touch()
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=root)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not (tmp_path / FAMILY).exists() or not (tmp_path / FAMILY).read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        numbers = [int((tmp_path / "server").read_text()), *family(tmp_path)]
        assert all(psutil.pid_exists(number) for number in numbers)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert gone(numbers)
    assert not (tmp_path / "scratch").exists()


def test_the_parent_sleeps_while_a_child_works(fork_server, tmp_path):
    """While a child works for two seconds, the parent uses next to no CPU time."""
    do(fork_server, "answer", tmp_path)
    before = time.process_time()
    do(fork_server, "sleep", tmp_path)
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
    """What it still reads after closing is there, whether its fork server was ready, at work, or just starting."""
    (tmp_path / "scratch").mkdir()
    environment = on_path(plain_environment(1)) | {SCRATCH: str(tmp_path / "scratch")}
    with closing(ForkServer(environment, tmp_path / "run.log")) as fork_server:
        if busy:
            with pytest.raises(CellTimedOut):
                do(fork_server, "hang", tmp_path, timeout_s=0.2)
    assert (tmp_path / "scratch").is_dir()
