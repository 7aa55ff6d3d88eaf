"""A recipe's techniques, applied in order; what took long is kept for the sweep's other recipes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING

from densebench import build_cache
from densebench.model.adapter import Served, served
from densebench.model.pruned_shapes import fit_channels
from densebench.model.state_dict_file import load_weights, save_weights

if TYPE_CHECKING:
    from torch import nn

    from densebench.processes.messages import Build
    from densebench.recipes.recipe import Recipe, Step
    from densebench.techniques.base import Technique
    from densebench.workloads.base import Workload

WEIGHTS, SETTINGS = "weights.safetensors", "settings.json"


def apply_techniques(
    job: Build, recipe: Recipe, workload: Workload, say: Callable[[str], None]
) -> tuple[Served, float]:
    """The changed model, and the seconds that the changes took, whether now or for an earlier recipe."""
    model: nn.Module = served(workload.build_model().to(job.device))
    seconds = 0.0
    for index, step in enumerate(recipe.techniques):
        what = ["steps", key(job, recipe.techniques[: index + 1])]
        if step.what.slow_to_apply and (found := build_cache.recall(what)) is not None:
            model, seconds = _load(found.folder, workload, job.device), found.seconds
            continue
        say(step.what.name)
        started = time.perf_counter()
        more = {"progress": say} if "progress" in signature(step.what.apply).parameters else {}
        model = step.what.apply(model, workload, **step.options, **more)
        seconds += time.perf_counter() - started
        assert isinstance(model, Served), "a technique returns the model behind the boundary"
        if step.what.slow_to_apply:
            build_cache.keep(what, seconds, partial(_save, model))
    assert isinstance(model, Served)
    return model, seconds


def key(job: Build, steps: Sequence[Step[Technique]]) -> str:
    """What tells the model after these steps apart from all others of a sweep."""
    whole = json.dumps([[step.line for step in steps], job.workload.model_dump(), job.device])
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def _save(model: Served, folder: Path) -> None:
    save_weights(folder / WEIGHTS, model.core.state_dict())
    (folder / SETTINGS).write_text(json.dumps(model.settings()), encoding="utf-8")


def _load(folder: Path, workload: Workload, device: str) -> Served:
    settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    state = load_weights(folder / WEIGHTS, device)
    core = workload.build_model()
    fit_channels(core, state)
    core.load_state_dict(state, assign=True)
    core.requires_grad_(requires_grad=False)
    return Served(core, **settings).eval()
