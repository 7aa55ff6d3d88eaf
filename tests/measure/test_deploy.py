"""The README's code in its own interpreter, with small code in the place of an engine's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from densebench.measure.deploy import Deployed, deploy
from densebench.processes import child
from densebench.processes.environment import plain_environment

FIGURES = ("deploy_start_s", "deploy_memory_mb", "deploy_throughput_samples_per_s")
ANSWER = """\
def infer(images):
    return images.mean(axis=(2, 3))
logits = infer(images)
"""
STARTS_ANOTHER = """\
import os, subprocess, sys, time
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open("part", "w") as file:
    file.write(f"{os.getpid()} {other.pid}")
os.rename("part", "pids")
"""
HANG = "time.sleep(600)\n"
PATIENCE_S = 60.0


def artifact(folder: Path, code: str) -> Path:
    """An artifact's folder, with this code in its README."""
    folder.mkdir()
    manifest = {"input": {"shape": [None, 3, 5, 7]}}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    readme = f"# m, a\n\nIn this folder:\n\n```python\n{code}```\n\n- Mind the gap.\n"
    (folder / "README.md").write_text(readme, encoding="utf-8")
    return folder


def run(
    tmp_path: Path, code: str, limit_s: float = PATIENCE_S, seconds: float = 0.01, **more: str
) -> Deployed:
    """What this code comes to, with two images at once."""
    folder, scratch = artifact(tmp_path / "model", code), tmp_path / "scratch"
    scratch.mkdir()
    told = deploy(
        folder,
        2,
        seconds,
        plain_environment(1) | more,
        log=scratch / "run.log",
        scratch=scratch,
        limit_s=limit_s,
    )
    assert [path.name for path in scratch.iterdir()] in ([], ["run.log"])  # no temporary file is left
    return told


def figures(told: Deployed) -> list[float | None]:
    """The three figures."""
    return [getattr(told, name) for name in FIGURES]


def processes(folder: Path) -> list[int]:
    """The program and what its code started, as soon as the code has written who they are."""
    deadline = time.monotonic() + PATIENCE_S
    while not (folder / "pids").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return [int(word) for word in (folder / "pids").read_text(encoding="ascii").split()]


def all_gone(pids: list[int]) -> bool:
    """Whether all of them end."""
    found = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    _, alive = psutil.wait_procs(found, timeout=PATIENCE_S)
    return all(process.status() == psutil.STATUS_ZOMBIE for process in alive)


def test_it_is_a_program_of_its_own(tmp_path: Path) -> None:
    """A fresh interpreter in the artifact's folder, with the variables given and without densebench."""
    told = run(
        tmp_path,
        "import json, os, sys, tempfile\n"
        "try:\n    import densebench\nexcept ImportError:\n    found = False\n"
        "seen = [images.shape, str(images.dtype), os.environ['OMP_NUM_THREADS'], os.environ.get('MINE'), found]\n"
        "assert not {'torch', 'pydantic'} & set(sys.modules)\n"
        "tempfile.mkstemp()\n"
        "json.dump(seen, open('seen', 'w'))\n" + ANSWER,
        MINE="yes",
    )
    assert told.deploy_reason == ""
    assert told.deploy_batch_size == 2
    assert all(value and value > 0 for value in figures(told))
    assert json.loads((tmp_path / "model/seen").read_bytes()) == [[2, 3, 5, 7], "float32", "1", "yes", False]


def test_memory_is_the_programs(tmp_path: Path) -> None:
    """Its own peak, also where that has passed, and nothing of the process that it is started from."""
    large = bytearray(b"x" * (512 << 20))
    peak = run(tmp_path, "held = bytearray(b'x' * (100 << 20))\ndel held\n" + ANSWER).deploy_memory_mb
    assert peak is not None
    assert 200 < peak < len(large) / 1e6  # the bytes and their copy


def test_code_that_hangs_is_killed(tmp_path: Path) -> None:
    """With all that it has started; its figures are blank, and say why."""
    told = run(tmp_path, STARTS_ANOTHER + HANG, limit_s=2.0)
    assert figures(told) == [None, None, None]
    assert told.deploy_reason == "not done in 2 s"
    assert all_gone(processes(tmp_path / "model"))


def test_code_that_can_not_be_killed_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run goes on; the reason says which process is left."""
    monkeypatch.setattr(child, "SIGKILL", 0)
    monkeypatch.setattr(child, "KILL_LIMIT_S", 0.2)
    stops = "import signal\nos.kill(os.getpid(), signal.SIGSTOP)\n"
    reason = run(tmp_path, STARTS_ANOTHER + stops, limit_s=1.0).deploy_reason
    number, *_ = found = processes(tmp_path / "model")
    stuck = f"the kernel did not end process {number} in 0.2 s (a driver or disk that hangs?)"
    assert reason == f"not done in 1 s; {stuck}"
    os.killpg(number, signal.SIGKILL)
    assert all_gone(found)


def test_what_is_known_before_it_hangs_is_kept(tmp_path: Path) -> None:
    """The first answer came: only what follows from more of them is blank."""
    later = "import time\n" + ANSWER + "infer = lambda images: time.sleep(600)\n"
    told = run(tmp_path, later, limit_s=3.0)
    assert told.deploy_start_s is not None
    assert figures(told)[1:] == [None, None]
    assert told.deploy_reason == "not done in 3 s"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise ValueError('no\\nsuch file')\n", "ValueError: no such file"),
        ("import nowhere\n", "ModuleNotFoundError: No module named 'nowhere'"),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "ended by SIGSEGV"),
        ("logits = images\n", "LookupError: the README's code defines no infer or no logits"),
        ("", "LookupError: the README's code defines no infer or no logits"),
        (ANSWER + "def infer(images):\n    raise MemoryError\n", "MemoryError"),
    ],
)
def test_code_that_fails_says_why(code: str, said: str, tmp_path: Path) -> None:
    """In one line, with the traceback in the log."""
    told = run(tmp_path, code)
    assert told.deploy_throughput_samples_per_s is None
    assert told.deploy_reason == said
    if "Error" in said:
        assert "Traceback" in (tmp_path / "scratch/run.log").read_text(encoding="utf-8")


def test_a_folder_that_is_gone_has_a_reason(tmp_path: Path) -> None:
    """Nothing is raised."""
    told = deploy(
        tmp_path / "gone", 1, 0.01, plain_environment(1), log=tmp_path / "run.log", scratch=tmp_path
    )
    assert "gone" in told.deploy_reason


def test_nothing_is_run_in_no_time(tmp_path: Path) -> None:
    """The measurement can be left out, and the rows say so."""
    told = run(tmp_path, "open('ran', 'w')\n", seconds=0)
    assert figures(told) == [None, None, None]
    assert told.deploy_reason == "deploy-time is 0"
    assert not (tmp_path / "model/ran").exists()


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    """Ctrl-C while it runs ends the program, and what it has started, before it goes on."""

    def interrupt() -> None:
        found.extend(processes(tmp_path / "model"))
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    found: list[int] = []
    before = signal.signal(signal.SIGUSR1, interrupted)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, STARTS_ANOTHER + HANG)
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert len(found) == 2
    assert all_gone(found)


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    """A sweep that is killed can't clean up."""
    folder = artifact(tmp_path / "model", STARTS_ANOTHER + HANG)
    code = (
        "import os\nfrom pathlib import Path\nfrom densebench.measure.deploy import deploy\n"
        f"here = Path({str(tmp_path)!r})\n"
        f"deploy(Path({str(folder)!r}), 1, 1.0, os.environ, log=here / 'run.log', scratch=here)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        found = processes(folder)
        parent.kill()
    assert all_gone(found)
