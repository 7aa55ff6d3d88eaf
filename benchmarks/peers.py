"""The peers' plain ways to time a file: OpenVINO's `benchmark_app`, and a bare loop around a runtime.

What times a file takes the file, the batch size, the images' height and width, the threads, the precision.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

LIMIT_S = 900.0
SECONDS = 4
Peer = Callable[[Path, int, int, int, str], float]

LOOP = """
for _ in range(3):
    run()
started, runs = time.perf_counter(), 0
while time.perf_counter() - started < seconds:
    run()
    runs += 1
print(runs * size / (time.perf_counter() - started))
"""
ARGUMENTS = """
import sys, time
import numpy
file, size, pixels, threads, seconds = sys.argv[1], *map(int, sys.argv[2:6])
images = numpy.random.default_rng(0).standard_normal((size, 3, pixels, pixels), "float32")
"""
ONNX_RUNTIME = """
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
feed = {session.get_inputs()[0].name: images}
def run():
    session.run(None, feed)
"""
OPENVINO = """
import openvino
core = openvino.Core()
model = core.read_model(file)
model.reshape([size, 3, pixels, pixels])
settings = {"INFERENCE_PRECISION_HINT": sys.argv[6], "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": "1"}
request = core.compile_model(model, "CPU", settings).create_infer_request()
def run():
    request.infer([images], share_inputs=True)
"""
TIMER = """
import sys
import torch
from torch.utils.benchmark import Timer
sys.path.insert(0, sys.argv[1])
from lab import PIXELS, stack
layers, threads = map(int, sys.argv[2:4])
torch.set_num_threads(threads)
images = torch.randn(1, 3, PIXELS, PIXELS)
model = torch.jit.freeze(torch.jit.script(stack(layers)))
with torch.inference_mode():
    timer = Timer("model(images)", globals={"model": model, "images": images}, num_threads=threads)
    print(1 / timer.adaptive_autorange().median)
"""


def bare_loop(file: Path, size: int, pixels: int, threads: int, precision: str) -> float:
    """Images per second of a file in a loop of five lines around the runtime that its suffix says."""
    code = ARGUMENTS + (ONNX_RUNTIME if file.suffix == ".onnx" else OPENVINO) + LOOP
    numbers = map(str, (size, pixels, threads, SECONDS))
    return float(_said(sys.executable, "-c", code, str(file), *numbers, _hint(precision)))


ONE_STREAM = "-hint none -api sync -nireq 1 -nstreams 1"
WHOLE_SERVER = "-hint throughput"  # it takes no number of threads with that: all CPUs of the process


def benchmark_app(
    file: Path,
    size: int,
    pixels: int,
    threads: int,
    precision: str,
    *,
    how: str = ONE_STREAM,
    seconds: float = SECONDS,
) -> float:
    """Images per second as OpenVINO's own tool measures them."""
    fixed = "" if how == WHOLE_SERVER else f" -nthreads {threads}"
    said = _said(
        str(Path(sys.executable).with_name("benchmark_app")),
        *("-m", str(file)),
        *f"{how}{fixed} -t {seconds:g} -d CPU".split(),
        *(("-infer_precision", _hint(precision)) if precision != "auto" else ()),
        *("-shape", f"[{size},3,{pixels},{pixels}]"),
    )
    found = re.search(r"Throughput:\s*([0-9.]+) FPS", said)
    if not found:
        raise SystemExit(f"benchmark_app said nothing of a throughput: {said[-300:]}")
    return float(found[1])


def timer(layers: int, threads: int) -> float:
    """Images per second of a stack of so many layers in TorchScript, by torch's own Timer in a fresh process."""
    return float(_said(sys.executable, "-c", TIMER, str(Path(__file__).parent), str(layers), str(threads)))


def _hint(precision: str) -> str:
    """What OpenVINO is told; INT8 is in the file."""
    return "bf16" if precision == "bf16" else "f32"


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT_S)
    return done.stdout
