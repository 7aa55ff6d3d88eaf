"""What is here: `densebench list` and `densebench doctor`."""

from __future__ import annotations

import json

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from densebench import engines, techniques
from densebench.engines.base import Engine
from densebench.forecast import needs_mb
from densebench.measure.energy import open_meter
from densebench.measure.environment import environment, environment_id, gpus
from densebench.measure.hazards import room, warnings
from densebench.recipe import plan
from densebench.spec import RunSpec
from densebench.techniques.base import Technique

Line = dict[str, str]


def catalogue(device: str) -> dict[str, list[Line]]:
    """Recipes, techniques and engines: name, what it is, and why it can't run on this device, or ""."""
    spec = RunSpec.create()
    recipes = [
        {"name": r.name, "about": r.line, "unavailable": r.unavailable(device) or ""}
        for r in plan(spec.recipes, spec.named)
    ]
    changes = [_line(one, device) for one in dict.fromkeys(techniques.catalogue().values())]
    runners = [_line(one, device) for one in dict.fromkeys(engines.catalogue().values())]
    return {"recipes": recipes, "techniques": changes, "engines": runners}


def _line(what: Technique | Engine, device: str) -> Line:
    options = ", ".join(f"{name}={field.default}" for name, field in what.options.model_fields.items())
    return {
        "name": what.name,
        "aliases": ", ".join(what.aliases),
        "options": options,
        "about": what.about,
        "unavailable": what.unavailable(device) or "",
    }


def print_catalogue(console: Console, *, as_json: bool) -> None:
    """Print what there is, and whether it can run here."""
    found = catalogue("cuda" if gpus() else "cpu")
    if as_json:
        print(json.dumps(found, indent=1))
        return
    for kind, lines in found.items():
        table = Table(title=kind, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
        for column in ("name", "what it is", "here"):
            table.add_column(column, overflow="fold")
        for line in lines:
            extra = " ".join(f"{key}: {line[key]}" for key in ("aliases", "options") if line.get(key))
            here = f"no: {line['unavailable']}" if line["unavailable"] else "yes"
            table.add_row(
                *map(escape, (line["name"], line["about"] + (f" ({extra})" if extra else ""), here))
            )
        console.print(table)


def print_doctor(console: Console, *, as_json: bool) -> None:
    """Print the machine, the libraries, what can't run here, and what would spoil timings now."""
    facts = environment()
    device = "cuda" if gpus() else "cpu"
    found, spec = catalogue(device), RunSpec.create()
    missing = [f"{one['name']}: {one['unavailable']}" for one in found["engines"] if one["unavailable"]]
    able = sum(not one["unavailable"] for one in found["recipes"])
    short, spoiling = room(*needs_mb(spec, able), spec.output_dir), warnings()
    meter = open_meter(device)
    energy = f"not measured: {meter}" if isinstance(meter, str) else meter.method
    if as_json:
        whole = {"environment": facts, "environment_id": environment_id(facts), "unavailable": missing}
        print(json.dumps(whole | {"energy": energy, "warnings": [*spoiling, *short]}, indent=1))
        return
    table = Table(show_header=False, box=box.SIMPLE)
    for key, value in (
        facts | {"environment_id": environment_id(facts), "gpu": "" if gpus() else "none", "energy": energy}
    ).items():
        if value:
            table.add_row(key, escape(value))
    console.print(table)
    for line in missing:
        console.print(f"can't run here: {line}", style="yellow", highlight=False, markup=False)
    for line in short:
        console.print(f"no room for the default suite: {line}", style="yellow", highlight=False, markup=False)
    for line in spoiling:
        console.print(f"timings may be unreliable: {line}", style="yellow", highlight=False, markup=False)
    if not spoiling:
        console.print("nothing seen that would spoil timings", style="green", highlight=False)
