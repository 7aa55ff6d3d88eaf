"""The machine's ceilings: large convolutions through the engines' own build and load, and one large copy.

A ceiling is what was reached here, not what a data sheet says: the fastest call of the fastest engine, at sizes
where moving tensors and starting threads hardly count.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch

from densebench import engines
from densebench.engines.base import Engine, Target
from densebench.machine.facts import emulated
from densebench.machine.interference import Watch, told
from densebench.measure.device import Device, open_device
from densebench.model.inspection import observe
from densebench.results.ceilings import Ceiling, Ceilings
from densebench.roofline.ceilings import keep
from densebench.roofline.convolutions import Size, convolutions, random_workload
from densebench.roofline.memory_copy import copy_gb_per_s

IMAGES_A_THREAD = 2
ON_A_GPU = Size(8, 512, 56, 64)
LEAST_CALLS = 6  # the first ones warm up, and are no faster than the fastest
SAMPLE_MS, MOST_MS = 600.0, 2500.0  # of calls, for each engine and precision
Say = Callable[[str], None]


def measure_ceilings(
    device: str, threads: int, say: Say = lambda stage: None, size: Size | None = None
) -> Ceilings:
    """What this machine reaches in each precision that an engine offers, and in copying memory.

    An engine that can't run here, or fails, offers nothing. PyTorch's number of threads is the caller's to set.

    Args:
        device: `cpu` or `cuda`.
        threads: CPU threads of the process.
        say: told which stage begins.
        size: of the convolutions, where the device's own is not wanted.

    """
    clock = open_device(device)
    watch = Watch(device, threads)
    clock.synchronize()  # opens CUDA, which the watch wants to be open
    watch.begin(at_work=False)  # idle power may have been measured just before
    say("memory")
    memory_gb_per_s = _rounded(copy_gb_per_s(clock))
    size = size or saturating(device, threads)
    target = Target(device, (size.batch,), threads)
    best: dict[str, Ceiling] = {}
    for engine, precision, options in candidates(device):
        say(f"{precision} in {engine.name}")
        try:
            reached = _rounded(convolutions_gop_per_s(engine, precision, options, target, clock, size))
        except Exception:  # noqa: BLE001, S112 - one that can't run them fails in its own rows too, with a reason
            continue
        if precision not in best or reached > best[precision].gop_per_s:
            best[precision] = Ceiling(gop_per_s=reached, engine=engine.name)
    return Ceilings(
        device=device,
        threads=threads,
        compute=best,
        memory_gb_per_s=memory_gb_per_s,
        interference=told(watch.end()),
    )


def saturating(device: str, threads: int) -> Size:
    """Convolutions large enough for the device, and short enough for some calls to go undisturbed."""
    return Size(4, 256, 28, max(4, IMAGES_A_THREAD * threads)) if device == "cpu" else ON_A_GPU


def candidates(device: str) -> Iterator[tuple[Engine, str, Mapping[str, object]]]:
    """Engines with the precisions that they offer and their options, those left out that the device imitates."""
    for engine in dict.fromkeys(engines.catalogue().values()):
        if engine.unavailable(device):
            continue
        for precision, options in engine.ceilings.items():
            if precision not in ("float16", "bfloat16") or not emulated(precision, device):
                yield engine, precision, engine.options.model_validate(options).model_dump()


def convolutions_gop_per_s(
    engine: Engine, precision: str, options: Mapping[str, object], target: Target, clock: Device, size: Size
) -> float:
    """1e9 operations a second of the fastest call."""
    inside = {"dtype": precision} if engine.precision(options) is None else {}
    model = convolutions(size, channels_last="nhwc" not in engine.refuses, **inside).to(target.device)
    workload = random_workload(model, size)
    images = workload.data.timing(size.batch).to(target.device)
    macs = observe(model.core, model, images[:1]).macs.total()
    with tempfile.TemporaryDirectory(prefix="densebench-ceiling-") as folder:
        built = engine.build(model, workload, Path(folder), target, **options)
        session = engine.load(Path(folder), built.details, target.device)
        try:
            with torch.inference_mode():
                best_ms = _fastest_ms(lambda: session(images), clock)
        finally:
            session.close()
    return 2 * macs * size.batch / best_ms / 1e6


def _fastest_ms(call: Callable[[], object], clock: Device) -> float:
    samples: list[float] = []
    while (len(samples) < LEAST_CALLS or sum(samples) < SAMPLE_MS) and sum(samples) < MOST_MS:
        samples.append(clock.time_ms(call))
    return min(samples)


def _rounded(value: float) -> float:
    """Four digits: more are noise, and stand in the report."""
    return float(f"{value:.4g}")


def known_ceilings(environment_id: str, device: str, threads: int, say: Say = lambda stage: None) -> Ceilings:
    """The highest of what this environment's surveys have found, this one among them, and of what rows reached."""
    return keep(measure_ceilings(device, threads, say), environment_id)
