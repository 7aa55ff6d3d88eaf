"""`densebench view`: two servers that start together, say where they are, and leave nothing behind."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import psutil
import pytest

from densebench.viewer import serve
from tests.e2e.program import Program, all_gone, family
from tests.viewer.making import log_folder, network
from tests.viewer.serving import ANY, Server, viewed

SECRET = b"this line must not leave the machine"
TRICKS = (
    "/../secret.txt",
    "/..%2fsecret.txt",
    "/%2e%2e/%2e%2e/secret.txt",
    "/data/plugin/pytorch_profiler/..%2f..%2fsecret.txt",
    "/data/plugin/pytorch_profiler/overview?trace=../secret.txt",
    "/data/plugin/scalars/scalars?run=../&tag=secret.txt",
    "/data/plugin/images/individualImage?blob_key=../secret.txt",
    "/data/plugin_entry.html?name=../secret.txt",
    "/font-roboto/..%2f..%2fsecret.txt",
)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A run's log folder."""
    return log_folder(tmp_path / "logs", {"baseline": network()})


@contextmanager
def taken_port() -> Iterator[int]:
    """A port on which this process listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_what_is_no_server_yet_is_asked_again() -> None:
    """Before one listens, a client may be connected to itself: its own words come back, and no status."""
    asked: list[bytes] = []

    def answer() -> None:
        while len(asked) < 2:
            client = listener.accept()[0]
            with client:
                asked.append(client.recv(1 << 16))
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n" if len(asked) == 2 else asked[0])

    with socket.create_server(("127.0.0.1", 0)) as listener, subprocess.Popen(["sleep", "60"]) as process:
        threading.Thread(target=answer, daemon=True).start()
        board = serve.Board("everything", "TensorBoard", "--port", listener.getsockname()[1], "/")
        try:
            serve._wait(serve._Started(board, process, io.BytesIO()), "127.0.0.1")
        finally:
            process.kill()
    assert len(asked) == 2


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_both_servers_answer_and_end(program: Program, logs: Path, stop: signal.Signals) -> None:
    """What is printed can be opened at once, from here alone; no process and no port stays taken."""
    with viewed(program, logs) as (process, said):
        board = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/", said["TensorBoard"])
        profiles = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/#pytorch_profiler", said["Profiles"])
        assert board
        assert profiles
        assert board[1] != profiles[1]
        enabled = {name for name, one in Server(board[1]).get("/data/plugins_listing").json.items()}
        assert {"scalars", "hparams"} <= enabled
        assert Server(profiles[1]).ask("traces").json["traces"][0]["recipe"] == "baseline"
        children = family(process)
        assert len(children) == 2
        heard = {at.laddr[0] for child in children for at in child.net_connections() if at.status == "LISTEN"}
        assert heard == {"127.0.0.1"}
        (logs.parent / "secret.txt").write_bytes(SECRET)
        for server, trick in product((Server(board[1]), Server(profiles[1])), TRICKS):
            assert SECRET not in server.get(trick).body
        process.send_signal(stop)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "Stopped.\n", "")
        assert all_gone(children)
        assert not Server(board[1]).answers()


def test_servers_end_with_a_command_that_is_killed(program: Program, logs: Path) -> None:
    """It can't tell them; they notice."""
    with viewed(program, logs) as (process, _):
        children = family(process)
        process.kill()
        process.wait()
        assert all_gone(children)


def test_one_that_ends_takes_the_other_along(program: Program, logs: Path) -> None:
    """Half of it would look like all of it."""
    with viewed(program, logs) as (process, _):
        children = family(process)
        children[0].kill()
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1
        assert " ended: " in err
        assert len(err.splitlines()) == 1
        assert all_gone(children)


@pytest.mark.parametrize("flag", ["--port", "--profiler-port"])
def test_a_taken_port_is_said_with_its_owner(program: Program, logs: Path, flag: str) -> None:
    """And another one is offered, which is free."""
    with taken_port() as port:
        finished = program.run("view", "--log-dir", logs, *ANY, flag, str(port))
    assert (finished.code, finished.out) == (2, "")
    said = re.fullmatch(
        rf"densebench: port {port} is taken by (.+) \(process {os.getpid()}: .*\): "
        rf"give {flag} (\d+), which is free, or --any-port\n",
        finished.err,
    )
    assert said, finished.err
    assert said[1] == psutil.Process().name()
    assert int(said[2]) > port


def test_another_port_is_taken_if_asked(program: Program, logs: Path) -> None:
    """With `--any-port`."""
    with taken_port() as port, viewed(program, logs, *ANY, "--port", str(port), "--any-port") as (_, said):
        assert int(said["TensorBoard"].rstrip("/").rpartition(":")[2]) > port


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (("--log-dir", "nowhere"), "no folder nowhere"),
        (("--port", "7777", "--profiler-port", "7777"), "--profiler-port 7777 is the other server's"),
        (("--port", "99999"), "--port 99999 is no port"),
        (("--port", "-5"), "--port -5 is no port"),
        (("--host", "203.0.113.7"), "can't listen on 203.0.113.7"),
        (("--host", "no such host"), "can't listen on no such host"),
    ],
)
def test_bad_requests_are_refused_in_a_line(program: Program, flags: tuple[str, ...], problem: str) -> None:
    """Exit 2 and nothing started."""
    finished = program.run("view", "--log-dir", program.folder, *ANY, *flags)
    assert (finished.code, finished.out) == (2, "")
    assert finished.err.startswith(f"densebench: {problem}")
    assert len(finished.err.splitlines()) == 1
