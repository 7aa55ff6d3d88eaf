"""A real TensorBoard on a folder, for tests to ask."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """TensorBoard on a folder; its address."""
    command = [
        sys.executable,
        "-m",
        "tensorboard.main",
        "--logdir",
        str(folder),
        "--host",
        "127.0.0.1",
        "--port",
        "0",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if address := re.search(r"http://127\.0\.0\.1:\d+", line):
                threading.Thread(
                    target=process.stderr.read, daemon=True
                ).start()  # so that the pipe never fills
                yield address.group()
                break
        else:
            pytest.fail(f"TensorBoard did not start:\n{said}")
    finally:
        process.terminate()
        process.wait(timeout=30)


def ask(address: str, path: str, body: object = None) -> Any:
    """The JSON answer to a GET, or to a POST where there is a body."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, content, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
