"""`densebench run --dry-run`: what would run, and about how long and how much disk it would take.

The figures are predictions from one FP32 inference on this machine and from what builds are known to take.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from densebench.executors.opening import opened
from densebench.machine.preflight import room
from densebench.output.aside import check_folders
from densebench.planners.forecast import (
    confirmation_s,
    impossible,
    making_s,
    memory_mb,
    recipe_disk_mb,
    rounds_s,
)
from densebench.processes import messages
from densebench.recipes.parse import plan
from densebench.recipes.recipe import Recipe
from densebench.sinks.progress import Progress
from densebench.spec import BASELINE, BASELINE_PROCESSES, RunSpec
from densebench.text import duration


@dataclass(frozen=True)
class Estimate:
    """One recipe's predicted cost."""

    recipe: str
    cells: int
    seconds: float
    disk_mb: float
    reason: str = ""


def estimate(recipe: Recipe, spec: RunSpec, workload: messages.Described) -> Estimate:
    """What one recipe will take, if it runs as fast as FP32 does."""
    sizes = set(spec.batch_sizes)
    if reason := impossible(recipe, spec, workload.device):
        return Estimate(recipe.name, len(sizes), 0, 0, f"skipped: {reason}")
    processes = BASELINE_PROCESSES if recipe.name == BASELINE else 1
    seconds = making_s(recipe, spec, workload) + processes * rounds_s(spec, workload)
    return Estimate(recipe.name, len(sizes), seconds, recipe_disk_mb(spec, workload.parameters))


def print_estimate(spec: RunSpec, console: Console) -> None:
    """Print every recipe's cells with the time and disk they will take. Writes nothing."""
    recipes = plan(spec.recipes, spec.named)
    check_folders(spec.output_dir, spec.log_dir)
    with opened(spec, recipes, Progress(console)) as site:
        workload = site.workload
        for note in workload.notes:
            console.print(note, highlight=False)
        lines = [estimate(recipe, spec, workload) for recipe in recipes]
    sizes = ", ".join(map(str, sorted(set(spec.batch_sizes))))
    table = Table(
        title=f"batch sizes {sizes} on {workload.device}", box=box.SIMPLE_HEAD, title_justify="left"
    )
    table.add_column("recipe")
    for column in ("cells", "about", "disk, MB"):
        table.add_column(column, justify="right")
    for line in lines:
        table.add_row(
            line.recipe, str(line.cells), line.reason or duration(line.seconds), f"{line.disk_mb:.0f}"
        )
    confirming_s = confirmation_s(spec, workload) if len(recipes) > 1 else 0.0
    table.add_row("the confirmation", "", duration(confirming_s), "")
    total, disk = confirming_s + sum(line.seconds for line in lines), sum(line.disk_mb for line in lines)
    table.add_section()
    table.add_row("all", str(sum(line.cells for line in lines)), duration(total), f"{disk:.0f}")
    console.print(table)
    memory = memory_mb(spec, workload.parameters, workload.workload.image_size)
    for shortage in room(disk, memory, spec.output_dir):
        console.print(shortage, highlight=False)
    console.print(f"results would go to {spec.output_dir}, traces to {spec.log_dir}", highlight=False)
