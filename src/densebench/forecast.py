"""What the parts of a sweep will take, from one FP32 inference on this machine and from what builds are known to.

The dry run adds them up; a sweep under way scales them by how long the parts so far really took.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from densebench import jobs
from densebench.cells import ACCURACY_BATCH, BASELINE_BLOCKS
from densebench.machine import MB
from densebench.measure.latency import LEAST_SAMPLES, LEAST_WARM_UP
from densebench.measure.profile import STEPS, WARM_UP
from densebench.recipe import Recipe
from densebench.spec import RunSpec, is_onnx_file

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
    return 2 * CHILD_S + recipe.engine.what.typical_build_s + accuracy_s


def block_s(spec: RunSpec, workload: jobs.Described, size: int) -> float:
    """One process of a recipe at one batch size."""
    one_s = batch_s(workload, size)
    return CHILD_S + max(spec.sample_time, LEAST_SAMPLES * one_s) + (1 + LEAST_WARM_UP) * one_s


def cell_s(spec: RunSpec, workload: jobs.Described, size: int) -> float:
    """A recipe's rounds at one batch size that are sure to run, with a trace where one is taken."""
    traced = size in (min(spec.batch_sizes), max(spec.batch_sizes))
    trace_s = (WARM_UP + STEPS) * batch_s(workload, size) if traced else 0.0
    return spec.least_rounds(size) * block_s(spec, workload, size) + trace_s


def size_s(spec: RunSpec, workload: jobs.Described, size: int, others: int) -> float:
    """All rounds at one batch size of the baseline and so many other recipes, with as many more as they may take."""
    further_s = spec.focus_time if size in spec.focus_batch_sizes and others else 0.0
    return (others + BASELINE_BLOCKS) * cell_s(spec, workload, size) + further_s


def sweep_s(spec: RunSpec, workload: jobs.Described, recipes: Sequence[Recipe]) -> float:
    """The whole sweep of recipes that can run here, the baseline among them."""
    making = sum(making_s(recipe, spec, workload) for recipe in recipes)
    sizes = set(spec.batch_sizes)
    return making + sum(size_s(spec, workload, size, len(recipes) - 1) for size in sizes)


def recipe_disk_mb(spec: RunSpec, parameters: int) -> float:
    """A recipe's FP32 weights and its traces at the smallest and the largest batch size."""
    traces = len({min(spec.batch_sizes), max(spec.batch_sizes)})
    return parameters * 4 / MB + TRACE_MB * traces


def memory_mb(spec: RunSpec, parameters: int, image_size: int) -> float:
    """What a child needs whatever the recipe: PyTorch, weights and the largest batch of images, no activations."""
    images = max(spec.batch_sizes) * 3 * image_size**2
    return FRAMEWORK_MB + (COPIES * parameters + images) * 4 / MB


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
