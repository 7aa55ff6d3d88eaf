"""What is here: `densebench list` and `densebench doctor`."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from densebench import engines, techniques
from densebench.cli import steps
from densebench.engines.base import Engine
from densebench.machine.cpus import Placement, cores, described, kept_on, listed, nodes, placement
from densebench.machine.environment import environment, environment_id, gpus
from densebench.machine.facts import units
from densebench.machine.preflight import room, warnings
from densebench.measure.device import clock_step_us
from densebench.measure.energy import open_meter
from densebench.planners.forecast import needs_mb
from densebench.processes.child import Child
from densebench.recipes.parse import plan
from densebench.spec import RunSpec
from densebench.techniques.base import Technique
from densebench.text import one_line, short

Line = dict[str, str]
LOADS, LACKS = "loads", "can't run here"
LOAD_LIMIT_S = 120.0
TRY = "from densebench.cli.overview import try_engines; try_engines()"


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
        print(json.dumps(steps.whole(found), indent=1))
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


@dataclass(frozen=True)
class Tried:
    """Whether an engine loads: `loads`, or why not; and what its library says that it uses of this processor."""

    state: str
    uses: str = ""


def engines_here(device: str) -> dict[str, Tried]:
    """Each engine's name -> whether it can be loaded and run on this device.

    A library that crashes takes only a child with it. What is known to be missing isn't tried.
    """
    known = dict.fromkeys(engines.catalogue().values())
    said = {one.name: Tried(f"{LACKS}: {reason}") for one in known if (reason := one.unavailable(device))}
    left = [one.name for one in known if one.name not in said]
    while left:
        told, how = _tried(left)
        said |= {name: state for name, state in told.items() if name in left}
        left = [name for name in left if name not in said]
        if left:  # the first of them ended the process: the others get one of their own
            said[left.pop(0)] = Tried(f"doesn't load: {how}")
    return {one.name: said[one.name] for one in known}


def _tried(names: list[str]) -> tuple[dict[str, Tried], str]:
    """What a child says of these engines, as far as it got, and how it ended."""
    told = {}
    with Child([sys.executable, "-c", TRY, *names], subprocess.DEVNULL) as child:
        try:
            deadline = time.monotonic() + LOAD_LIMIT_S
            while line := child.lines.next(deadline):
                name, problem, uses = json.loads(line)
                told[name] = Tried(f"doesn't load: {one_line(problem)}" if problem else LOADS, one_line(uses))
            return told, f"the process that loaded it {child.death().message}"
        except TimeoutError:
            return told, child.end() or f"not loaded after {LOAD_LIMIT_S:.0f} s"


def try_engines() -> None:
    """What the child does: for each engine named in its arguments, import what it needs and say how it went."""
    *names, descriptor = sys.argv[1:]
    for name in names:
        engine, problem, uses = engines.catalogue()[name], "", ""
        try:
            for library in _libraries(engine):
                importlib.import_module(library)
            uses = engine.uses()
        except Exception as error:  # noqa: BLE001 - whatever a library raises while it is loaded
            problem = f"{type(error).__name__}: {error}"
        os.write(int(descriptor), json.dumps([name, problem, uses]).encode() + b"\n")


def _libraries(engine: Engine) -> list[str]:
    """Packages of others that the engine's own modules import, in whatever function."""
    found = [
        library
        for module in dict.fromkeys([inspect.getmodule(engine.build), inspect.getmodule(engine.load)])
        if module
        for library in _imported(ast.parse(inspect.getsource(module)))
    ]
    ours = {"densebench", *sys.stdlib_module_names}
    return [name for name in dict.fromkeys(found) if name not in ours]


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module.partition(".")[0]
    for child in ast.iter_child_nodes(node):
        yield from _imported(child)


def print_doctor(console: Console, *, as_json: bool) -> None:
    """Print the machine, the libraries, what can't run here, and what would spoil timings now."""
    placed, device = placement(), "cuda" if gpus() else "cpu"
    with kept_on(placed.cpus):  # as in a run
        facts = environment()
    found, spec = catalogue(device), RunSpec.create()
    missing = {one["name"]: one["unavailable"] for one in found["engines"] if one["unavailable"]}
    missing_lines = [f"{name}: {reason}" for name, reason in missing.items()]
    able = sum(not one["unavailable"] for one in found["recipes"])
    lacking, spoiling = room(*needs_mb(spec, able), spec.output_dir), warnings(placed)
    loading = engines_here(device)  # after the look at what else the machine does
    meter = open_meter(device)
    energy = f"not measured: {meter}" if isinstance(meter, str) else meter.method
    step_us = clock_step_us("cpu")
    if as_json:
        whole: dict[str, object] = {
            "environment": facts,
            "environment_id": environment_id(facts),
            **_cpus(placed),
            "unavailable": missing_lines,
            "engines": {name: one.state for name, one in loading.items()},
            "uses": {name: one.uses for name, one in loading.items() if one.uses},
        }
        whole |= {"energy": energy, "clock_step_us": step_us, "warnings": [*spoiling, *lacking]}
        print(json.dumps(whole, indent=1))
        return
    seen = {"environment_id": environment_id(facts), "gpu": "" if gpus() else "none", "energy": energy}
    seen |= {"clock": f"steps of {short(step_us)} us", "cpus": described(cores(placed.allowed))}
    _print_facts(console, facts | seen | {"threads": placed.reason})
    for name, one in loading.items():
        if name not in missing:
            style, uses = None if one.state == LOADS else "yellow", f" ({one.uses})" if one.uses else ""
            _say(console, f"engine {name}: {one.state}{uses}", style)
    for what, lines in (
        (LACKS, missing_lines),
        ("no room for the default suite", lacking),
        ("timings may be unreliable", spoiling),
    ):
        for line in lines:
            _say(console, f"{what}: {line}", "yellow")
    if not spoiling:
        _say(console, "nothing seen that would spoil timings", "green")


def _cpus(placed: Placement) -> dict[str, object]:
    """What programs are told of the CPUs that may be used, and of the threads that a run has by default."""
    every = cores(placed.allowed)
    return {
        "cpus": {
            "allowed": sorted(placed.allowed),
            "cores": len(every),
            "sockets": sorted({core.socket for core in every}),
            "numa_nodes": {str(node): listed(own) for node, own in nodes(every).items()},
            "smt": len(every) < len(placed.allowed),
            "efficiency_cores": sum(not core.fast for core in every),
        },
        "threads": {"default": placed.threads, "cpus": sorted(placed.cpus), "reason": placed.reason},
        "units": units(),
    }


def _print_facts(console: Console, facts: dict[str, str]) -> None:
    table = Table(show_header=False, box=box.SIMPLE)
    for key, value in facts.items():
        if value:
            table.add_row(key, escape(value))
    console.print(table)


def _say(console: Console, line: str, style: str | None) -> None:
    console.print(line, style=style, highlight=False, markup=False)
