"""The compiler that precompiles Inductor's header, around a stand-in that notes how it is called."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from densebench.build_cache import SCRATCH
from densebench.engines._precompiled import precompiled_headers

STAND_IN = """#!/bin/sh
printf '%s\\n' "$*" >>'{log}'
while [ $# -gt 0 ]; do
  [ "$1" = -o ] && : >"$2"
  shift
done
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lines that the stand-in was called with; its `g++` is the first on the path."""
    log, folder = tmp_path / "calls", tmp_path / "bin"
    folder.mkdir()
    (folder / "g++").write_text(STAND_IN.format(log=log), encoding="utf-8")
    (folder / "g++").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv(SCRATCH, raising=False)
    return log


def compile_kernels(folder: Path, *flags: str) -> None:
    """Two kernels that include the header, as Inductor would."""
    for name in ("a", "b"):
        source = folder / f"{name}.cpp"
        source.write_text("#include <torch/csrc/inductor/cpp_prefix.h>\n", encoding="utf-8")
        with precompiled_headers():
            subprocess.run(["g++", source, *flags, "-shared", "-o", folder / f"{name}.so"], check=True)


def headers(calls: Path) -> list[str]:
    """The calls that precompile."""
    return [line for line in calls.read_text(encoding="utf-8").splitlines() if "c++-header" in line]


def test_builds_of_a_sweep_share_the_header(calls, tmp_path, monkeypatch):
    """One header for each set of flags in the sweep's folder, and every kernel is compiled with it."""
    monkeypatch.setenv(SCRATCH, str(tmp_path))
    compile_kernels(tmp_path, "-O3")
    compile_kernels(tmp_path, "-O3")
    assert len(headers(calls)) == 1
    lines = calls.read_text(encoding="utf-8").splitlines()
    kernels = [line for line in lines if "-shared" in line]
    assert len(kernels) == 4
    assert all(f"-include {tmp_path}/headers/" in line for line in kernels)
    compile_kernels(tmp_path, "-O3", "-mavx512f")
    assert len(headers(calls)) == 2


def test_elsewhere_each_build_has_its_own(calls, tmp_path):
    """Nothing stays behind, and the path is as it was."""
    before = os.environ["PATH"]
    compile_kernels(tmp_path, "-O3")
    assert len(headers(calls)) == 2
    assert os.environ["PATH"] == before
    assert not (tmp_path / "headers").exists()


def test_it_says_of_itself_what_the_real_one_does():
    """Else Inductor would take it for another compiler than the one that loads its cache finds."""

    def said() -> str:
        return subprocess.run(["g++", "-v"], capture_output=True, text=True, check=True).stderr

    plain = said()
    with precompiled_headers():
        assert said() == plain
    assert "g++" in plain
