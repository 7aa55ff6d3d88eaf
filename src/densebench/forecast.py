"""What the parts of a sweep will take, from one FP32 inference on this machine and from what builds are known to.

The dry run adds them up; a sweep under way scales them by how long the parts so far really took.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from densebench import jobs
from densebench.cells import ACCURACY_BATCH, BASELINE_BLOCKS
from densebench.machine import MB
from densebench.measure.latency import LEAST_SAMPLES, LEAST_WARM_UP, LONG_CALL_MS
from densebench.measure.profile import ENOUGH_S, STEPS
from densebench.recipe import Recipe
from densebench.spec import RunSpec, is_onnx_file
from densebench.turns import LEAST_CALLS, PART, TURNS

CHILD_S = 1.5  # starting a child, loading, checking hashes
BATCH_GAIN = 0.7  # an image in a batch takes about this share of an image alone
TRACE_MB = 6.0  # one profiler trace of DenseNet-121
FRAMEWORK_MB = 414.0  # a process that has imported PyTorch
DENSENET121 = 7_978_856  # parameters
COPIES = 3  # of the weights, while a technique changes them


def batch_s(workload: jobs.Described, size: int) -> float:
    """One batch in FP32, in seconds."""
    return workload.batch1_ms / 1000 * (1 if size == 1 else BATCH_GAIN * size)


def making_s(recipe: Recipe, spec: RunSpec, workload: jobs.Described) -> float:
    """Building a recipe and measuring its accuracy."""
    batch = min(max(spec.batch_sizes), ACCURACY_BATCH)
    accuracy_s = min(spec.accuracy_time, workload.validation_images / batch * batch_s(workload, batch))
    return 2 * CHILD_S + recipe.typical_build_s(workload.workload.image_size) + accuracy_s


def process_s(spec: RunSpec, workload: jobs.Described, sizes: Sequence[int]) -> float:
    """One process of a recipe, timed at these batch sizes; its first inferences are part of the warm-up."""
    timed_s = sum(_timed_s(spec, workload, size) for size in sizes)
    return CHILD_S + timed_s + LEAST_WARM_UP * sum(batch_s(workload, size) for size in sizes)


def _timed_s(spec: RunSpec, workload: jobs.Described, size: int) -> float:
    """At a focus batch size the baseline takes turns with it, with an untimed call before a turn's if it is short."""
    one_s = batch_s(workload, size)
    if size not in spec.focus_batch_sizes or workload.device != "cpu":
        return max(spec.sample_time, LEAST_SAMPLES * one_s)
    calls = max(LEAST_CALLS, math.ceil(PART * spec.sample_time / one_s))
    turns = max(TURNS, 2 * math.ceil(spec.sample_time / (2 * calls * one_s)))
    untimed = 1000 * one_s < LONG_CALL_MS
    return 2 * turns * (calls + untimed) * one_s


def rounds_s(spec: RunSpec, workload: jobs.Described) -> float:
    """A recipe's processes that are sure to run, with the traces of the first of them."""
    sizes = {*spec.batch_sizes}
    traced = sum(_trace_s(batch_s(workload, size)) for size in {min(sizes), max(sizes)})
    least = {size: spec.least_rounds(size) for size in sizes}
    rounds = [[size for size in least if least[size] > number] for number in range(max(least.values()))]
    again_s = CHILD_S * (len(sizes) - 1)  # each batch size begins a process, beside the smallest's
    return sum(process_s(spec, workload, timed_at) for timed_at in rounds) + again_s + traced


def _trace_s(one_s: float) -> float:
    return min(STEPS, math.ceil(ENOUGH_S / one_s)) * one_s


def further_s(spec: RunSpec) -> float:
    """How long more rounds may go on, for all recipes and batch sizes together."""
    return spec.focus_time * len({*spec.batch_sizes} & {*spec.focus_batch_sizes})


def sweep_s(spec: RunSpec, workload: jobs.Described, recipes: Sequence[Recipe]) -> tuple[float, float]:
    """Making the recipes that can run here, the baseline among them, and timing them."""
    making = sum(making_s(recipe, spec, workload) for recipe in recipes)
    others = len(recipes) - 1
    more_s = further_s(spec) if others else 0.0
    return making, (others + BASELINE_BLOCKS) * rounds_s(spec, workload) + more_s


def recipe_disk_mb(spec: RunSpec, parameters: int) -> float:
    """A recipe's FP32 weights and its traces at the smallest and the largest batch size."""
    traces = len({min(spec.batch_sizes), max(spec.batch_sizes)})
    return parameters * 4 / MB + TRACE_MB * traces


def memory_mb(spec: RunSpec, parameters: int, image_size: int) -> float:
    """What children need whatever the recipe: PyTorch, weights and the largest batch of images, no activations.

    Beside each of them one of the baseline lives for each focus batch size.
    """
    images = max(spec.batch_sizes) * 3 * image_size**2
    beside = len({*spec.batch_sizes} & {*spec.focus_batch_sizes})
    return (1 + beside) * FRAMEWORK_MB + ((COPIES + beside) * parameters + images) * 4 / MB


def needs_mb(
    spec: RunSpec, recipes: int, parameters: int = DENSENET121, image_size: int | None = None
) -> tuple[float, float]:
    """Disk and memory that a sweep of so many recipes takes; of what isn't known yet, the usual is taken."""
    size = image_size or spec.image_size
    return recipes * recipe_disk_mb(spec, parameters), memory_mb(spec, parameters, size)


def impossible(recipe: Recipe, spec: RunSpec, device: str) -> str | None:
    """Why a recipe can't run here, or not on this model, as far as that is known before it is built."""
    unfit = recipe.unfit(Path(spec.model).name) if is_onnx_file(spec.model) else None
    return recipe.unavailable(device) or unfit
