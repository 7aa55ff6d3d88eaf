"""A viewer in a process of its own, as `densebench view` starts it, with a home of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.program import Program, wait_for

ANY = ("--port", "0", "--profiler-port", "0")


@dataclass(frozen=True)
class Answer:
    """What came back."""

    code: int
    kind: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    """Its address, without a slash at the end."""

    address: str

    def ask(self, route: str, **asked: object) -> Answer:
        """One question to the plugin."""
        query = urllib.parse.urlencode(asked)
        return self.get(f"/data/plugin/pytorch_profiler/{route}" + f"?{query}" * bool(query))

    def get(self, path: str, method: str = "GET") -> Answer:
        """Any page, by a path that is sent as it stands."""
        request = urllib.request.Request(self.address + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, answer.headers["Content-Type"], answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers["Content-Type"] or "", error.read())

    def answers(self) -> bool:
        """Whether it can be asked yet."""
        try:
            return self.get("/data/environment").code == 200
        except OSError:
            return False


def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def viewer(log_dir: Path, home: Path, kind: str = "profiles", path: Path | None = None) -> Iterator[Server]:
    """A server on the log folder; `path` goes before Python's other folders."""
    port = free_port()
    command = [sys.executable, "-m", "densebench.viewer.board", kind, "--log-dir", str(log_dir)]
    environment = os.environ | {"DENSEBENCH_CACHE": str(home), "PYTHONPATH": str(path or "")}
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    server = Server(f"http://127.0.0.1:{port}")
    try:
        wait_for(server.answers, process)
        yield server
    finally:
        process.kill()
        process.communicate()


@contextmanager
def viewed(
    program: Program, logs: Path, *flags: str
) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The command once it has said that it serves, and what it said, by title."""
    with program.started("view", "--log-dir", logs, *(flags or ANY)) as process:
        said: dict[str, str] = {}
        assert process.stdout
        for line in process.stdout:
            if line.startswith("Ctrl-C"):
                break
            title, address = line.split()
            said[title] = address
        else:
            pytest.fail(f"it ended: {process.stderr.read() if process.stderr else ''}")
        yield process, said
