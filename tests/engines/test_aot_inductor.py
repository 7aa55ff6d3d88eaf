"""The ahead-of-time package: one for every batch size, loaded without a compiler, INT8 where it says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._inductor.cpu_vec_isa
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from densebench.engines import aot_inductor
from densebench.engines._inductor import CACHE_VARIABLE
from densebench.engines._inductor_int8 import quantized
from densebench.engines._onednn import kinds, log_of
from densebench.engines.base import Built, Target
from densebench.errors import Unavailable, UsageError
from densebench.model.adapter import Served, served
from densebench.model.fidelity import relative_difference, sqnr_db
from densebench.recipes.parse import resolve
from densebench.workloads.base import ImageSet, Preprocessing, Splits, Weights, Workload
from tests.examples.test_cpp import check, compiled, run
from tests.small import ONEDNN_BF16, images, tiny_model, tiny_workload

SIZE = 32  # pixels
CONVOLUTIONS = 4  # each takes seconds to compile
CHANNELS = 32 + 128 + 256 + 10
TARGET = Target("cpu", (2, 4), 1)


def workload(calibration: int | None) -> Workload:
    """A small network with random weights, and this many random images to calibrate it with."""

    def build_model() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            return nn.Sequential(
                *(
                    nn.Conv2d(3, 32, 3, stride=2),
                    nn.ReLU(),
                    nn.Conv2d(32, 128, 3),
                    nn.ReLU(),
                    nn.MaxPool2d(2),
                ),
                *(nn.Conv2d(128, 256, 3), nn.ReLU(), nn.Conv2d(256, 10, 1), nn.ReLU()),
                *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            ).eval()

    found = None
    if calibration is not None:
        several = images(calibration, SIZE, seed=1)
        found = ImageSet((0,) * calibration, lambda positions: several[list(positions)])
    look = Preprocessing(SIZE, SIZE, (0.5,) * 3, (0.5,) * 3)
    weights = Weights("random", {}, tuple("0123456789"), look, "0" * 64)
    data = Splits("noise", found, None, lambda size: images(size, SIZE))
    return Workload("small", SIZE, weights, data, build_model)


@pytest.fixture(autouse=True, scope="module")
def plain_code():
    """Code without vector instructions compiles faster; what is under test is the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch._inductor.cpu_vec_isa, "valid_vec_isa_list", list)
        yield


@pytest.fixture(scope="module")
def model() -> Served:
    """The small network behind the boundary."""
    return served(workload(None).build_model())


def make(model: Served, folder: Path, calibration: int | None = None, **options: Any) -> Built:
    """A package of it in this folder."""
    return aot_inductor.build(model, workload(calibration), folder, TARGET, **options)


@pytest.fixture(scope="module")
def fp32(model, tmp_path_factory) -> tuple[Path, Built]:
    """An FP32 package."""
    folder = tmp_path_factory.mktemp("fp32")
    return folder, make(model, folder)


@pytest.fixture(scope="module")
def int8(model, tmp_path_factory) -> tuple[Path, Built]:
    """An INT8 package."""
    folder = tmp_path_factory.mktemp("int8")
    return folder, make(model, folder, calibration=16, precision="int8")


def answer(made: tuple[Path, Built], batch: Tensor) -> tuple[Tensor, str]:
    """What a freshly loaded package says, and what it says of itself."""
    session = aot_inductor.load(made[0], made[1].details, "cpu")
    with torch.inference_mode():
        logits = session(batch)
    effect = str(session.effect(batch))
    session.close()
    return logits, effect


@pytest.mark.parametrize("count", [1, 2, 3, 17])
def test_one_package_serves_every_batch_size(model, fp32, int8, count):
    """Sizes that it was not built for too, 1 among them; INT8 is close to FP32, and not the same."""
    batch = images(count, SIZE)
    with torch.inference_mode():
        expected = model(batch)
    logits, effect = answer(fp32, batch)
    assert relative_difference(logits, expected) <= aot_inductor.ENGINE.tolerance
    package = f"ahead-of-time package: float32 convolutions {CONVOLUTIONS}/{CONVOLUTIONS}"
    assert effect.partition("; ")[0] == package  # and Inductor lays out for NHWC by itself
    rounded, effect = answer(int8, batch)
    assert rounded.dtype == torch.float32
    assert 20 < sqnr_db(rounded, expected) < 60
    package = f"ahead-of-time package: int8 convolutions {CONVOLUTIONS}/{CONVOLUTIONS}, 100 % of the MACs"
    assert effect.startswith(package)


def test_it_is_one_file_with_the_weights_in_it(fp32, int8):
    """INT8 weights take a quarter of the bytes; the probe of a package that rounds is its own."""
    for folder, built in (fp32, int8):
        assert [path.name for path in folder.iterdir()] == [aot_inductor.PACKAGE]
        assert built.caches == ()
    fp32_bytes, int8_bytes = ((made[0] / aot_inductor.PACKAGE).stat().st_size for made in (fp32, int8))
    parameters = sum(p.numel() for p in workload(None).build_model().parameters())
    assert fp32_bytes > 4 * parameters
    assert int8_bytes < fp32_bytes - 2 * parameters
    assert not fp32[1].rounds
    assert int8[1].rounds


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_deployer_needs_pytorch_alone(precision, fp32, int8, tmp_path):
    """The code of the artifact's README runs where there is no compiler and no densebench."""
    folder, built = {"fp32": fp32, "int8": int8}[precision]
    batch = images(3, SIZE)
    torch.save(batch, tmp_path / "images.pt")
    code = f"""
import sys, torch

images = torch.load({str(tmp_path / "images.pt")!r}).numpy()
{aot_inductor.ENGINE.usage(built.details)}
torch.save(torch.from_numpy(logits), {str(tmp_path / "logits.pt")!r})
assert not {{"densebench", "torchao"}} & set(sys.modules)
"""
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    logits, _ = answer((folder, built), batch)
    assert relative_difference(torch.load(tmp_path / "logits.pt"), logits) < 1e-5


def test_int8_that_did_not_happen_is_found_out(fp32):
    """An FP32 package that claims INT8 has no effect."""
    _, effect = answer((fp32[0], Built(details={**fp32[1].details, "precision": "int8"})), images(2, SIZE))
    assert effect == f"none: nothing runs in int8 (seen: float32 convolutions {CONVOLUTIONS}/{CONVOLUTIONS})"


def test_channels_that_are_missing_are_seen_in_int8_too(int8):
    """They are those that the model was constructed with and the quantized program doesn't have."""
    claims = {"precision": "int8", "layers": CONVOLUTIONS, "channels": CHANNELS + 4}
    _, effect = answer((int8[0], Built(details={**int8[1].details, "claims": claims})), images(2, SIZE))
    assert effect.endswith(f"; 4 of {CHANNELS + 4} channels removed")
    _, effect = answer(int8, images(2, SIZE))
    assert "channels removed" not in effect


def test_it_runs_what_techniques_made(tmp_path):
    """BF16 in NHWC stays BF16 in the package; what isn't frozen isn't packed, which is said."""
    model = served(tiny_model(), dtype="bfloat16", channels_last=True)
    model.core.to(torch.bfloat16)
    built = aot_inductor.build(model, tiny_workload(), tmp_path, TARGET, freezing=False)
    logits, effect = answer((tmp_path, built), images(2))
    with torch.inference_mode():
        assert relative_difference(logits, model(images(2))) < 3e-2
    ran = (
        "bfloat16 convolutions 2/2, 2 tensors laid out anew"
        if ONEDNN_BF16
        else "2 convolutions not run by oneDNN"
    )
    assert effect.startswith(f"ahead-of-time package: {ran}")


def test_a_build_leaves_the_process_as_it_was(model, fp32, int8):
    """Both were built in this process: its Inductor has the settings that it had."""
    from torch._inductor import config

    assert config.cpp.vec_isa_ok is None
    assert config.pre_grad_custom_pass is None
    assert not config.freezing
    assert not os.environ.get(CACHE_VARIABLE, "").startswith("densebench")
    assert torch._C._get_nnpack_enabled()


def test_int8_says_what_it_needs(model, tmp_path):
    """Images, enough of them, a model in FP32, and freezing."""
    with pytest.raises(Unavailable, match="INT8 needs calibration images"):
        make(model, tmp_path, precision="int8")
    with pytest.raises(UsageError, match="7 images to calibrate INT8 with, 8 are needed"):
        make(model, tmp_path, calibration=7, precision="int8")
    half = served(model, dtype="bfloat16")
    with pytest.raises(UsageError, match="quantizes an FP32 model"):
        make(half, tmp_path, calibration=16, precision="int8")
    with pytest.raises(UsageError, match="needs precision=fp32 before it"):
        resolve("aot_inductor:precision=int8:freezing=false", {})


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
def test_a_program_in_cpp_gives_the_same_logits(model, fp32, tmp_path):
    """The example compiles as its README says and runs the package without Python and without a compiler."""
    program = compiled("load_aot", tmp_path / "cpp")
    for count in (1, 3):
        batch = images(count, SIZE)
        batch.numpy().astype("<f4").tofile(tmp_path / "images.bin")
        with torch.inference_mode():
            expected = model(batch).tolist()
        check(run(program, fp32[0], *batch.shape, tmp_path / "images.bin"), expected)
    missing = run(program, tmp_path, 1, 3, SIZE, SIZE)
    assert missing.returncode == 1
    assert missing.stderr
    assert run(program).returncode == 2


def test_what_onednn_executes_is_counted(capfd):
    """Convolutions and matrix products by the precision of their inputs; standard output is given back."""
    with torch.inference_mode():
        plain = kinds(log_of(lambda: tiny_model()(images(2))))
        rounded = kinds(log_of(lambda: tiny_model().bfloat16()(images(2).bfloat16())))
    assert plain["convolution", "float32"] == 2
    assert rounded["convolution", "bfloat16"] == 2 * ONEDNN_BF16
    assert not plain["convolution", "bfloat16"]
    print("given back")
    assert "given back" in capfd.readouterr().out


def test_a_graph_for_a_gpu_takes_every_batch_size(monkeypatch):
    """Traced on a GPU that isn't there: cuDNN's limit on a batch must not end the export, as it did on a real one."""
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    with FakeTensorMode(), torch.device("cuda"), torch.no_grad():
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
        program = aot_inductor.exported(model, torch.zeros(8, 3, SIZE, SIZE))
    [batch] = program.range_constraints.values()
    assert batch.lower <= 1
    assert batch.upper >= 1024
    with pytest.raises(Unavailable, match="--device cpu"):
        aot_inductor.build(tiny_model(), tiny_workload(), Path(), Target("cuda", (1,), 1), precision="int8")


class Residual(nn.Module):
    """A block that calls its only ReLU twice, as ResNet's do."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.relu = (
            nn.Conv2d(3, 3, 3, padding=1),
            nn.Conv2d(3, 3, 3, padding=1),
            nn.ReLU(),
        )

    def forward(self, batch: Tensor) -> Tensor:
        features = self.second(self.relu(self.first(batch)))
        logits: Tensor = self.relu(features + batch).mean(dim=(2, 3))
        return logits


def test_a_module_that_is_called_twice_is_quantized():
    """The quantizer takes both calls for one, and would refuse it."""
    several = images(64, SIZE, seed=1)
    found = ImageSet((0,) * 64, lambda positions: several[list(positions)])
    model = Residual().eval()
    graph = quantized(model, found)
    kinds = [str(node.target) for node in graph.graph.nodes]
    assert sum("dequantize_per_channel" in kind for kind in kinds) == 2  # each convolution's weights
    with torch.inference_mode():
        assert sqnr_db(graph(several), model(several)) > 20
