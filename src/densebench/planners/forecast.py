"""What the parts of a sweep will take, from one FP32 inference on this machine and from what builds are known to.

The dry run adds them up; a sweep under way scales them by how long the parts so far really took.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from densebench.machine.facts import MB
from densebench.measure.interleave import pair_count
from densebench.measure.profile import ENOUGH_S, STEPS
from densebench.measure.timer import LEAST_SAMPLES, LEAST_WARM_UP, MOST_SLICES, REWARM_BELOW_MS, WARM_UP_S
from densebench.processes import messages
from densebench.recipes.recipe import Recipe
from densebench.results.observation import (
    BuildObservation,
    EvaluateObservation,
    MeasureObservation,
    Observation,
)
from densebench.spec import ACCURACY_BATCH, AGREEMENT_IMAGES, BASELINE_PROCESSES, RunSpec, is_onnx_file

IDLE_S = 0.015  # waiting until a process is idle
CHILD_S = 1.5  # starting a child, loading, checking hashes
PROGRAM_S = 4.0  # starting an interpreter, importing an engine and loading an artifact
BATCH_GAIN = 0.7  # an image in a batch takes about this share of an image alone
TRACE_MB = 6.0  # one profiler trace of DenseNet-121
FRAMEWORK_MB = 414.0  # a process that has imported PyTorch
DENSENET121 = 7_978_856  # parameters
COPIES = 3  # of the weights, while a technique changes them


def batch_s(workload: messages.Described, size: int) -> float:
    """One batch in FP32, in seconds."""
    return workload.batch1_ms / 1000 * (1 if size == 1 else BATCH_GAIN * size)


def making_s(recipe: Recipe, spec: RunSpec, workload: messages.Described) -> float:
    """Building a recipe, measuring its accuracy, and running its README's code."""
    return build_s(recipe, workload) + evaluate_s(spec, workload)


def build_s(recipe: Recipe, workload: messages.Described) -> float:
    """Building a recipe."""
    return CHILD_S + recipe.typical_build_s(workload.workload.image_size)


def evaluate_s(spec: RunSpec, workload: messages.Described) -> float:
    """Measuring an artifact's accuracy, and running its README's code."""
    batch = min(max(spec.batch_sizes), ACCURACY_BATCH)
    images = spec.images_of(workload.validation_images) or AGREEMENT_IMAGES
    accuracy_s = min(spec.accuracy_time, images / batch * batch_s(workload, batch))
    return CHILD_S + accuracy_s + (PROGRAM_S + spec.deploy_time if spec.deploy_time else 0.0)


def process_s(spec: RunSpec, workload: messages.Described, sizes: Sequence[int]) -> float:
    """One process of a recipe, timed at these batch sizes; its first inferences are part of the warm-up."""
    warm_s = sum(max(WARM_UP_S, LEAST_WARM_UP * batch_s(workload, size)) for size in sizes)
    return CHILD_S + warm_s + sum(_timed_s(spec, workload, size) for size in sizes)


def _timed_s(spec: RunSpec, workload: messages.Described, size: int) -> float:
    """At a focus batch size slices alternate with the reference process's; a short call before each is untimed."""
    one_s = batch_s(workload, size)
    if size not in spec.focus_batch_sizes or workload.device != "cpu":
        return max(spec.sample_time, LEAST_SAMPLES * one_s)
    calls = max(1, math.ceil(spec.sample_time / MOST_SLICES / one_s)) + (1000 * one_s < REWARM_BELOW_MS)
    return 2 * pair_count(one_s, spec.sample_time) * (calls * one_s + IDLE_S)


def observation_s(
    one: Observation, spec: RunSpec, workload: messages.Described, recipes: Mapping[str, Recipe]
) -> float:
    """What was forecast for the part of the work that an observation is of."""
    match one:
        case BuildObservation():
            return build_s(recipes[one.recipe], workload)
        case EvaluateObservation():
            return evaluate_s(spec, workload)
        case MeasureObservation():
            begins = one.samples is not None and one.samples.first_inference_s is not None
            expected_s = process_s(spec, workload, [one.batch_size]) - (0.0 if begins else CHILD_S)
            return 0.0 if one.discarded else expected_s


def rounds_s(spec: RunSpec, workload: messages.Described) -> float:
    """A recipe's processes, with the traces of the first of them."""
    sizes = {*spec.batch_sizes}
    traced = sum(_trace_s(batch_s(workload, size)) for size in {min(sizes), max(sizes)})
    most = max(spec.rounds_at(size) for size in sizes)
    rounds = [[size for size in sizes if spec.rounds_at(size) > number] for number in range(most)]
    again_s = CHILD_S * (len(sizes) - 1)  # each batch size begins a process, beside the smallest's
    return sum(process_s(spec, workload, timed_at) for timed_at in rounds) + again_s + traced


def _trace_s(one_s: float) -> float:
    return min(STEPS, math.ceil(ENOUGH_S / one_s)) * one_s


def confirmation_s(spec: RunSpec, workload: messages.Described) -> float:
    """The fresh rounds of the winner, the runner-up and the baseline, at a batch size in the middle."""
    sizes = sorted({*spec.batch_sizes})
    process = process_s(spec, workload, [sizes[len(sizes) // 2]])
    return spec.confirmation_rounds * (2 + BASELINE_PROCESSES) * process


def sweep_s(spec: RunSpec, workload: messages.Described, recipes: Sequence[Recipe]) -> tuple[float, float]:
    """Making the recipes that can run here, the baseline among them, and timing them."""
    making = sum(making_s(recipe, spec, workload) for recipe in recipes)
    others = len(recipes) - 1
    more_s = confirmation_s(spec, workload) if others else 0.0
    return making, (others + BASELINE_PROCESSES) * rounds_s(spec, workload) + more_s


def recipe_disk_mb(spec: RunSpec, parameters: int) -> float:
    """A recipe's FP32 weights and its traces at the smallest and the largest batch size."""
    traces = len({min(spec.batch_sizes), max(spec.batch_sizes)})
    return parameters * 4 / MB + TRACE_MB * traces


def memory_mb(spec: RunSpec, parameters: int, image_size: int) -> float:
    """What children need whatever the recipe: PyTorch, weights and the largest batch of images, no activations.

    For each focus batch size a reference process of the baseline lives too.
    """
    images = max(spec.batch_sizes) * 3 * image_size**2
    reference = len({*spec.batch_sizes} & {*spec.focus_batch_sizes})
    return (1 + reference) * FRAMEWORK_MB + ((COPIES + reference) * parameters + images) * 4 / MB


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
