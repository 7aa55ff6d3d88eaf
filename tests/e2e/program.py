"""Running densebench as its users do: as a program, in processes of its own, with a home of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from densebench.results import journal

SMALL = ("--model=squeezenet1_1", "--weights=random", "--data=none", "--image-size=32")
PATIENCE_S = 120.0  # far more than anything waited for takes


@dataclass(frozen=True)
class Finished:
    """A program that has ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Program:
    """densebench with caches and a signing key below `home`, in the working directory `folder`."""

    home: Path
    folder: Path
    more: tuple[tuple[str, str], ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        """One thread, no CUDA device, and nothing of whoever runs the tests."""
        own = {
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "XDG_DATA_HOME": str(self.home / "data"),
            "TORCH_HOME": str(self.home / "torch"),
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "COLUMNS": "200",
        }
        kept = {key: value for key, value in os.environ.items() if not key.startswith("DENSEBENCH_")}
        return kept | own | dict(self.more)

    def run(self, *arguments: str | Path, limit_s: float = PATIENCE_S) -> Finished:
        """Run `densebench ARGUMENTS` to its end."""
        with self.started(*arguments) as process:
            out, err = process.communicate(timeout=limit_s)
        return Finished(process.returncode, out, err)

    @contextmanager
    def started(self, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
        """`densebench ARGUMENTS` in a process group of its own; what is left of it ends with the block."""
        process = subprocess.Popen(
            [sys.executable, "-m", "densebench", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)  # its children end with it
            process.communicate()

    def python(self, script: str, *arguments: str | Path, limit_s: float = PATIENCE_S) -> Any:
        """What a fresh Python process prints as JSON."""
        done = subprocess.run(
            [sys.executable, "-c", script, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def write_suite(path: Path, **keys: object) -> Path:
    """A suite file with these keys, `_` for `-`; on the CPU with one thread and in a hurry unless told otherwise."""
    quick = {"sample_time": 0.05, "rounds": 1, "focus_batch_sizes": [], "repeats": 0, "ceilings": False}
    quick["deploy_time"] = 0
    values = {"device": "cpu", "threads": 1, "accuracy_time": 120.0} | quick | keys
    lines = [f"{key.replace('_', '-')} = {json.dumps(value)}" for key, value in values.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def wait_for(found: Callable[[], Any], process: subprocess.Popen[str] | None = None) -> Any:
    """What `found` returns as soon as that is true; an error once the process has ended without it."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        ended = process is not None and process.poll() is not None
        if value := found():
            return value
        assert not ended, "the program ended before it happened"
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """All that a program has started, and all that those have."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def working_child(process: subprocess.Popen[str], age_s: float = 0.0) -> psutil.Process | None:
    """The child that does a job now, if it has been at it for so long: a child of the program's child."""
    try:
        for server in psutil.Process(process.pid).children():
            for child in server.children():
                if time.time() - child.create_time() >= age_s:
                    return child
    except psutil.NoSuchProcess:
        return None
    return None


def all_gone(processes: list[psutil.Process]) -> bool:
    """Whether none of these runs any more; zombies have ended."""
    _, alive = psutil.wait_procs(processes, timeout=10)
    return all(process.status() == psutil.STATUS_ZOMBIE for process in alive)


def journal_rows(folder: Path) -> list[dict[str, Any]]:
    """What the observations in a journal amount to, cell by cell; nothing where there is none yet."""
    if not (folder / journal.FILE_NAME).exists():
        return []
    records = journal.records_of(folder)[1]
    return [one.model_dump(mode="json") | {"effect": str(one.effect)} for one in records]


def journal_lines(folder: Path, kind: str = "") -> list[dict[str, Any]]:
    """The observations in a journal, as they stand there, whole lines only; those of one kind, if one is named."""
    path = folder / journal.FILE_NAME
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    found = [line for line in map(json.loads, lines) if line["type"] == "observation"]
    return [line for line in found if kind in ("", line["kind"])]
