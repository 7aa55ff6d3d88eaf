"""A recipe's techniques, applied in order; what took long is remembered for the sweep's other recipes.

`structured_pruning` and `structured_pruning+openvino` begin with the same minutes of training: the second build
takes up the model that the first one left beside the sweep's other temporary files, and counts its seconds.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING

from densebench.channels import fit_channels
from densebench.served import Served, served
from densebench.weights_file import load_weights, save_weights

if TYPE_CHECKING:
    from torch import nn

    from densebench.jobs import Build
    from densebench.recipe import Recipe, Step
    from densebench.techniques.base import Technique
    from densebench.workloads.base import Workload

WEIGHTS, FACTS = "weights.safetensors", "facts.json"


def apply_techniques(
    job: Build, recipe: Recipe, workload: Workload, say: Callable[[str], None]
) -> tuple[Served, float]:
    """The changed model, and the seconds that the changes took, whether now or for an earlier recipe."""
    model: nn.Module = served(workload.build_model().to(job.device))
    seconds = 0.0
    for index, step in enumerate(recipe.techniques):
        kept = _folder(job, recipe.techniques[: index + 1]) if step.what.slow_to_apply else None
        if kept is not None and (kept / FACTS).exists():
            model, seconds = _recall(kept, workload, job.device)
            continue
        say(step.what.name)
        started = time.perf_counter()
        more = {"progress": say} if "progress" in signature(step.what.apply).parameters else {}
        model = step.what.apply(model, workload, **step.options, **more)
        seconds += time.perf_counter() - started
        assert isinstance(model, Served), "a technique returns the model behind the boundary"
        if kept is not None:
            _remember(kept, model, seconds)
    assert isinstance(model, Served)
    return model, seconds


def key(job: Build, steps: Sequence[Step[Technique]]) -> str:
    """What tells the model after these steps apart from all others of a sweep."""
    whole = json.dumps([[step.line for step in steps], job.workload.model_dump(), job.device])
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def _folder(job: Build, steps: Sequence[Step[Technique]]) -> Path:
    """Where the model after these steps is kept: children of one sweep share their temporary folder."""
    return Path(tempfile.gettempdir()) / f"densebench-steps-{key(job, steps)}"


def _remember(folder: Path, model: Served, seconds: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder / WEIGHTS, model.core.state_dict())
    facts = json.dumps({"seconds": seconds, "served": model.settings()})
    (folder / FACTS).write_text(facts, encoding="utf-8")  # last: a folder without it is no memory


def _recall(folder: Path, workload: Workload, device: str) -> tuple[Served, float]:
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    state = load_weights(folder / WEIGHTS, device)
    core = workload.build_model()
    fit_channels(core, state)
    core.load_state_dict(state, assign=True)
    core.requires_grad_(requires_grad=False)
    return Served(core, **facts["served"]).eval(), float(facts["seconds"])
