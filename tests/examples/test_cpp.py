"""The C++ examples, compiled as their README says: TorchScript here, packages in engines/test_aot_inductor.py."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "cpp"
LOGITS = """
import json, sys
import densebench, torch
torch.set_num_threads(1)
images = torch.randn(*map(int, sys.argv[3:]), generator=torch.Generator().manual_seed(7))
images.numpy().astype("<f4").tofile(sys.argv[2])
model = densebench.load(sys.argv[1])
print(json.dumps([model(images).tolist(), model(torch.ones_like(images)).tolist()]))
"""


def compiled(name: str, folder: Path) -> Path:
    """The program, made by the commands in the README."""
    shutil.copytree(EXAMPLE, folder)
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```sh\n(.*?)```", readme, re.DOTALL)[1]
    build = block[: block.index("./load_jit")].replace("load_jit load_aot", name)
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    subprocess.run(["bash", "-euc", build], cwd=folder, env={"PATH": path}, check=True, timeout=250)
    return folder / name


@pytest.fixture(scope="module")
def load_jit(tmp_path_factory) -> Path:
    """The example for TorchScript."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    return compiled("load_jit", tmp_path_factory.mktemp("cpp") / "jit")


def run(program: Path, *arguments: str | int | Path) -> subprocess.CompletedProcess[str]:
    """The example with these arguments, in an environment that knows no Python."""
    command = [program, *map(str, arguments)]
    environment = {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)


def check(done: subprocess.CompletedProcess[str], expected: list[list[float]]) -> None:
    """It printed these logits, a line per image, and the number of the largest."""
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == len(expected)
    for words, logits in zip(lines, expected, strict=True):
        assert [float(word) for word in words[:-2]] == pytest.approx(logits, rel=1e-3, abs=1e-3)
        assert words[-2:] == ["class", str(logits.index(max(logits)))]


def test_cpp_gives_the_logits_of_python(sweep, load_jit, tmp_path):
    """Without Python, the saved model gives the logits and classes that `densebench.load` gives."""
    shape = ["2", *map(str, sweep.manifest("jit")["input"]["shape"][1:])]
    values = tmp_path / "images.bin"
    folder = sweep.artifact("jit")
    expected = sweep.program.python(LOGITS, folder, values, *shape)
    for wanted, more in zip(expected, ([values], []), strict=True):
        check(run(load_jit, folder, *shape, *more), wanted)


def test_cpp_says_what_is_wrong(load_jit, tmp_path):
    """A folder without a model gives exit code 1 and a message, missing arguments give the usage."""
    missing = run(load_jit, tmp_path, "1", "3", "32", "32")
    assert missing.returncode == 1
    assert "model.pt" in missing.stderr
    assert run(load_jit).returncode == 2
