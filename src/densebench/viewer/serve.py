"""`densebench view`: TensorBoard and the profile viewer, two servers that start and stop together."""

from __future__ import annotations

import errno
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO

from densebench.errors import DensebenchError, InputError, UsageError
from densebench.processes.child import end
from densebench.text import one_line
from densebench.viewer import PLUGIN_NAME
from densebench.viewer.board import EVERYTHING, PROFILES

START_S = 120.0  # on a busy machine
STOP_S = 10.0
AGAIN_S = 0.1
TRIED = 100  # ports after a taken one
PORTS = 1 << 16
PORT, PROFILER_PORT = 6006, 6007
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - named to be recognized
_STOPS = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Board:
    """One of the servers: which plugins, under what name, at which port and page."""

    kind: str
    title: str
    flag: str
    port: int
    page: str


@dataclass(frozen=True)
class _Started:
    board: Board
    process: subprocess.Popen[bytes]
    said: IO[bytes]

    def last_words(self) -> str:
        self.said.seek(0)
        lines = self.said.read().decode(errors="replace").strip().splitlines()
        return one_line(lines[-1]) if lines else "it said nothing"


def view(
    log_dir: Path,
    port: int = PORT,
    profiler_port: int = PROFILER_PORT,
    host: str = "127.0.0.1",
    *,
    any_port: bool = False,
    say: Callable[[str], object] | None = None,
) -> None:
    """Start both servers, say where they are once both answer, and stop them on Ctrl-C or SIGTERM.

    A port of 0 takes any free one; with `any_port` the next free one is taken where a port isn't.

    Raises:
        InputError: no such folder.
        UsageError: a port is taken; the message says by whom and which is free.
        DensebenchError: a server didn't start, or ended.

    """
    say = say or _print
    if not log_dir.is_dir():
        raise InputError(f"no folder {log_dir}: give --log-dir the log folder of a run, or start one first")
    first = _port("--port", port, host, any_port, taken=())
    second = _port("--profiler-port", profiler_port, host, any_port, taken=(first,))
    boards = (
        Board(EVERYTHING, "TensorBoard", "--port", first, "/"),
        Board(PROFILES, "Profiles", "--profiler-port", second, f"/#{PLUGIN_NAME}"),
    )
    with _stops(), ExitStack() as stack:
        try:
            started = [stack.enter_context(_running(board, log_dir, host)) for board in boards]
            for one in started:
                _wait(one, host)
                say(f"{one.board.title:<11} {_address(host, one.board.port)}{one.board.page}")
            say("Ctrl-C stops both.")
            _until_one_ends(started)
        except KeyboardInterrupt:
            say("Stopped.")


def _print(line: str) -> None:
    print(line, flush=True)  # whoever reads a pipe waits for the addresses


def _port(flag: str, port: int, host: str, any_port: bool, taken: Sequence[int]) -> int:  # noqa: FBT001
    """The port to use: the one asked for, or a free one if that is allowed."""
    if not 0 <= port < PORTS:
        raise UsageError(f"{flag} {port} is no port: give it a number from 0 to {PORTS - 1}")
    if port == 0:
        return _any_free(host)
    problem = f"{flag} {port} is the other server's" if port in taken else _problem(host, port)
    if problem is None:
        return port
    free = next(
        (
            other
            for other in range(port + 1, min(port + TRIED, PORTS))
            if other not in taken and other != PROFILER_PORT and _problem(host, other) is None
        ),
        None,
    )
    if free is None:
        raise UsageError(f"{problem}, and so are the next {TRIED}: give {flag} another number")
    if any_port:
        return free
    raise UsageError(f"{problem}: give {flag} {free}, which is free, or --any-port")


def _problem(host: str, port: int) -> str | None:
    """Why a server can't listen there, or None."""
    try:
        with _bound(host, port):
            return None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"port {port} is taken by {_owner(port)}"
        raise UsageError(f"can't listen on {host}:{port}: {one_line(str(error))}") from None


def _any_free(host: str) -> int:
    try:
        with _bound(host, 0) as found:
            return int(found.getsockname()[1])
    except OSError as error:
        raise UsageError(f"can't listen on {host}: {one_line(str(error))}") from None


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server: not for ports just left
        found.bind(address)
        yield found


def _owner(port: int) -> str:
    """The program that listens on a port, as far as the system tells."""
    import psutil

    try:
        for connection in psutil.net_connections(kind="tcp"):
            at = connection.laddr[1] if connection.laddr else None
            if connection.status == psutil.CONN_LISTEN and at == port and connection.pid:
                program = psutil.Process(connection.pid)
                return (
                    f"{program.name()} (process {program.pid}: {one_line(' '.join(program.cmdline()), 80)})"
                )
    except psutil.Error:
        pass
    return "another program"


@contextmanager
def _running(board: Board, log_dir: Path, host: str) -> Iterator[_Started]:
    """A server as a child, in a session of its own: Ctrl-C reaches this process alone, which ends it then."""
    command = [sys.executable, "-m", "densebench.viewer.board", board.kind]
    command += ["--log-dir", str(log_dir.resolve()), "--host", host, "--port", str(board.port)]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=said, stderr=said, start_new_session=True
        )
        try:
            yield _Started(board, process, said)
        finally:
            process.terminate()
            end(process, STOP_S)
            if process.stdin:
                process.stdin.close()


def _address(host: str, port: int) -> str:
    host = ANYWHERE.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _wait(started: _Started, host: str) -> None:
    """Until the server answers."""
    deadline = time.monotonic() + START_S
    # no proxy: the address is this machine's
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline:
        try:
            with opener.open(f"{_address(host, started.board.port)}/data/environment", timeout=5):
                return
        except (
            OSError,
            HTTPException,
        ):  # at a port that nobody has yet a client may meet itself, and its own words
            time.sleep(AGAIN_S)
        if started.process.poll() is not None:
            raise DensebenchError(f"{started.board.title} didn't start: {started.last_words()}")
    raise DensebenchError(
        f"{started.board.title} didn't answer within {START_S:.0f} s: {started.last_words()}"
    )


def _until_one_ends(started: Sequence[_Started]) -> None:
    """Block until a server ends, which none does by itself."""
    ended: queue.SimpleQueue[_Started] = queue.SimpleQueue()

    def watch(one: _Started) -> None:
        one.process.wait()
        ended.put(one)

    for one in started:
        threading.Thread(target=watch, args=(one,), daemon=True).start()
    one = ended.get()
    raise DensebenchError(f"{one.board.title} ended: {one.last_words()}")


@contextmanager
def _stops() -> Iterator[None]:
    """SIGTERM and a closed terminal stop the servers as Ctrl-C does; not where `nohup` has it ignored."""
    heeded = [stop for stop in _STOPS if signal.getsignal(stop) is not signal.SIG_IGN]
    before = {stop: signal.signal(stop, signal.default_int_handler) for stop in heeded}
    try:
        yield
    finally:
        for stop, handler in before.items():
            signal.signal(stop, handler)
