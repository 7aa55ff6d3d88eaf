"""What can't be carried out: exit code 2, one line that names what to change, and nothing written."""

from __future__ import annotations

import pickle
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import PIL.Image
import pytest
import torch

from densebench.cli import main
from densebench.processes import messages
from densebench.worker import jobs as worker
from tests.e2e.program import SMALL, Finished, Program

CPU = ("--device=cpu", "--threads=1", "--batch-sizes=1")


@pytest.fixture
def in_process(tmp_path, monkeypatch, capfd) -> Iterator[Callable[..., Finished]]:
    """Runs the command line in this process, its children's jobs as well."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("densebench.executors.opening.ForkServerPool", _ForkServersInProcess)
    before = {stop: signal.getsignal(stop) for stop in (signal.SIGTERM, signal.SIGHUP)}

    def run(*arguments: str) -> Finished:
        monkeypatch.setattr(sys, "argv", ["densebench", *arguments])
        with pytest.raises(SystemExit) as end:
            main.main()
        said = capfd.readouterr()
        return Finished(end.value.code, said.out, said.err)

    yield run
    for stop, handler in before.items():
        signal.signal(stop, handler)


class _ForkServersInProcess:
    """Does the first job, which opens the workload, where it is called: a process less to start."""

    def __init__(self, *arguments: object) -> None:
        self.plain = self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *arguments: object) -> None:
        pass

    def run(self, job: messages.Describe, answer: type, timeout_s: float) -> messages.Described:
        with torch.random.fork_rng(devices=[]):
            return worker.describe(job, lambda stage: None)


class _NoForkServers:
    def __init__(self, *arguments: object) -> None:
        raise AssertionError("children are made ready for a request that can be refused without one")


@pytest.fixture
def early(in_process, monkeypatch) -> Callable[..., Finished]:
    """The same for what is refused before any child starts."""
    monkeypatch.setattr("densebench.executors.opening.ForkServerPool", _NoForkServers)
    return in_process


def refused(done: Finished, folder: Path, said: Sequence[str]) -> None:
    """Check exit code, the one line, and that the working folder has no results or logs."""
    assert done.code == 2, done.err
    lines = done.err.splitlines()
    assert len(lines) == 1, done.err
    for part in said:
        assert part in lines[0]
    assert not (folder / "results").exists()
    assert not (folder / "logs").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--recipes=chanels_last"], ["'chanels_last'", "did you mean 'channels_last'?"]),
        (["--recipes=bf16+compil"], ["'compil'", "did you mean 'compile'?"]),
        (["--recipes=amp+bf16"], ["amp and bf16 both decide the precision"]),
        (["--recipes=bf16+pruning"], ["put pruning before bf16"]),
        (["--recipes=jit+channels_last"], ["the engine jit must come last"]),
        (["--recipes=pruning:amount=2"], ["pruning:amount", "less than 1"]),
        (["--recipes=pruning:share=0.5"], ["no option 'share'", "amount"]),
        (["--recipes=onnx:method=entropy"], ["onnx:method", "needs precision=int8 before it"]),
        (["--recipes=onnx:calibration=9"], ["onnx:calibration", "needs precision=int8 before it"]),
        (["--recipes=onnx:precision=int8:calibration=0"], ["onnx:calibration", "greater than or equal to 1"]),
        (
            ["--recipes=onnx:precision=int8:percentile=99"],
            ["onnx:percentile", "needs method=percentile before"],
        ),
        (["--recipes=onnx:graph=most"], ["onnx:graph", "'all', 'extended', 'basic' or 'off'"]),
        (["--recipes=,"], ["--recipes"]),
        (["--batch-sizes=0"], ["--batch-sizes", "greater than or equal to 1"]),
        (["--batch-sizes=1,two"], ["--batch-sizes", "whole numbers", "1,two"]),
        (["--batch-sizes="], ["--batch-sizes"]),
        (["--image-size=8"], ["--image-size", "32"]),
        (["--threads=0"], ["--threads"]),
        (["--threads=x"], ["--threads", "integer"]),
        (["--thread=1"], ["No such option", "--threads"]),
        (["--cell-timeout=-1"], ["--cell-timeout"]),
        (["--rounds=0"], ["--rounds", "greater than or equal to 1"]),
        (["--focus-batch-sizes=1,two"], ["--focus-batch-sizes", "whole numbers", "1,two"]),
        (["--focus-rounds=0"], ["--focus-rounds"]),
        (["--focus-time=1"], ["--focus-time"]),
        (["--accuracy-images=0"], ["--accuracy-images", "whole number above 0, or all", "'0'"]),
        (["--accuracy-images=-3"], ["--accuracy-images", "whole number above 0, or all", "'-3'"]),
        (["--accuracy-images=some"], ["--accuracy-images", "whole number above 0, or all", "'some'"]),
        (["--objective=speed"], ["--objective", "throughput", "size"]),
        (["--serving-batch-size=0"], ["--serving-batch-size", "greater than or equal to 1"]),
        (["--max-latency-ms=-1"], ["--max-latency-ms", "greater than 0"]),
        (["--max-memory-mb=0"], ["--max-memory-mb", "greater than 0"]),
        (["--max-size-mb=0"], ["--max-size-mb", "greater than 0"]),
        (["--max-accuracy-drop=0"], ["--max-accuracy-drop", "greater than 0"]),
        (["--device=tpu"], ["--device", "cpu", "cuda"]),
        (["--suite=nowhere.toml"], ["nowhere.toml", "No such file"]),
        (["--quick", "--suite=quick"], ["--quick", "--suite"]),
    ],
    ids=lambda value: value[0] if value and value[0].startswith("--") else "",
)
def test_a_bad_flag_is_refused_at_once(early, tmp_path, arguments, said):
    """A flag's value that can't be used is refused before any child starts."""
    refused(early("run", *arguments), tmp_path, said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"batch-size = [1]", ["'batch-size'", "did you mean 'batch-sizes'?"]),
        (b"batch-sizes = [1", ["is not TOML"]),
        (b"\xff\xfe", ["is not TOML"]),
        (b"batch-sizes = [0]", ["--batch-sizes"]),
        (b"named = 3", ["'named'"]),
        (b'recipes = ["mine"]\n[named]\nmine = "amp+bf16"', ["'mine'", "both decide the precision"]),
    ],
    ids=["misspelt key", "not TOML", "not text", "bad value", "no table", "illegal recipe"],
)
def test_a_bad_suite_file_is_refused_at_once(early, tmp_path, content, said):
    """A suite file is held to the same rules as the flags, and a misspelt key is told with the nearest one."""
    (tmp_path / "suite.toml").write_bytes(content)
    refused(early("run", "--suite=suite.toml"), tmp_path, said)


@pytest.mark.parametrize("flag", ["--output-dir", "--log-dir"])
def test_a_folder_that_cannot_be_written_is_refused_at_once(early, tmp_path, flag):
    """A folder below a regular file is refused by name before the run starts."""
    (tmp_path / "file").write_text("no folder")
    refused(early("run", f"{flag}=file/below"), tmp_path, ["file/below", "can't be written"])
    assert (tmp_path / "file").read_text() == "no folder"


def test_a_project_s_own_readme_is_not_written_over(early, tmp_path):
    """`--output-dir .` where no run was yet, and a README is: refused by its name, and it stays."""
    (tmp_path / "README.md").write_text("mine")
    refused(early("run", "--output-dir=."), tmp_path, ["README.md is of no run here", "--output-dir"])
    assert (tmp_path / "README.md").read_text() == "mine"


def test_logs_among_the_models_are_refused(early, tmp_path):
    """The next run would move the one with the other."""
    refused(early("run", "--log-dir=results/models/log"), tmp_path, ["which runs move", "--log-dir"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a", "b", "--json"], "--json is for one results folder"),
        (["a", "--prices=prices.toml"], "are for several results folders"),
        (["a", "--output-dir=across"], "are for several results folders"),
        (["a", "b", "--prices=prices.toml"], "--prices prices.toml: No such file"),
    ],
)
def test_flags_that_a_report_has_no_use_for_are_refused(early, tmp_path, arguments, said):
    """One folder has a report of its own, several have one together."""
    refused(early("report", *arguments), tmp_path, [said])
    assert not (tmp_path / "across").exists()


def test_a_report_of_nothing_is_refused(early, tmp_path):
    """A folder without a journal has no report, and gets no files."""
    (tmp_path / "empty").mkdir()
    refused(early("report", "empty"), tmp_path, ["journal.jsonl"])
    assert not list((tmp_path / "empty").iterdir())


class Trap:
    """An object whose unpickling makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def _missing_weights(folder: Path) -> list[str]:
    return ["--weights=nowhere.pth"]


def _truncated_weights(folder: Path) -> list[str]:
    torch.save({"w": torch.zeros(1000)}, folder / "whole.pth")
    (folder / "cut.pth").write_bytes((folder / "whole.pth").read_bytes()[:2000])
    return ["--weights=cut.pth"]


def _weights_with_code(folder: Path) -> list[str]:
    (folder / "trap.pth").write_bytes(pickle.dumps({"state_dict": Trap(folder / "sprung")}))
    return ["--weights=trap.pth"]


def _foreign_weights(folder: Path) -> list[str]:
    torch.save({"encoder.weight": torch.zeros(3, 3)}, folder / "other.pth")
    return ["--weights=other.pth"]


def _empty_data(folder: Path) -> list[str]:
    (folder / "empty").mkdir()
    return ["--data=empty"]


def _foreign_data(folder: Path) -> list[str]:
    for name in ("roses", "tulips"):
        (folder / "flowers" / name).mkdir(parents=True)
        for number in range(5):
            PIL.Image.new("RGB", (40, 40)).save(folder / "flowers" / name / f"{number}.png")
    return ["--data=flowers"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: ["--model=densnet121"], ["densnet121", "did you mean densenet121?"]),
        (_missing_weights, ["nowhere.pth", "doesn't exist"]),
        (_truncated_weights, ["cut.pth", "not a whole PyTorch checkpoint"]),
        (_weights_with_code, ["trap.pth", "could run code"]),
        (_foreign_weights, ["other.pth"]),
        (_empty_data, ["empty"]),
        (_foreign_data, ["flowers", "roses"]),
        *(
            (
                lambda folder, recipe=recipe: [
                    *("--model=densenet121", "--weights=digits", "--data=digits"),
                    f"--recipes={recipe}",
                ],
                [recipe, "999 images to calibrate on, the data has 733"],
            )
            for recipe in ("onnx:precision=int8:calibration=999", "openvino:precision=int8:calibration=999")
        ),
    ],
    ids=[
        "unknown model",
        "missing weights",
        "truncated weights",
        "weights with code",
        "weights of another model",
        "empty data",
        "data of other classes",
        "more calibration images than there are, onnx",
        "more calibration images than there are, openvino",
    ],
)
def test_a_bad_workload_is_refused(in_process, tmp_path, make, said):
    """What has to be opened to be judged, model, weights or data, is refused in the same way."""
    refused(in_process("run", *SMALL, *CPU, *make(tmp_path)), tmp_path, said)
    assert not (tmp_path / "sprung").exists()


def test_the_trap_springs(tmp_path):
    """The checkpoint with code in it would have run its code, had it been unpickled."""
    _weights_with_code(tmp_path)
    pickle.loads((tmp_path / "trap.pth").read_bytes())
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_weights_with_code, ["trap.pth", "could run code"]),
        (lambda folder: ["--device=cuda"], ["--device cuda", "no CUDA device"]),
    ],
    ids=["weights with code", "no CUDA"],
)
def test_a_child_s_refusal_reaches_the_user(program: Program, make, said):
    """The program itself ends with exit code 2 and one line when its child refuses the request."""
    done = program.run("run", *SMALL, *CPU, *make(program.folder))
    refused(done, program.folder, said)
    assert not (program.folder / "sprung").exists()


def test_a_dry_run_writes_nothing(program: Program):
    """`--dry-run` names every recipe with its cells, and leaves no file."""
    done = program.run("run", *SMALL, *CPU, "--recipes=amp,jit", "--dry-run")
    assert done.code == 0, done.err
    for recipe in ("baseline", "amp", "jit"):
        assert recipe in done.out
    assert not list(program.folder.iterdir())
