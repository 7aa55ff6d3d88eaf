"""What is here: `densebench list` and `densebench doctor`."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from densebench import engines, techniques
from densebench.engines.base import Engine
from densebench.forecast import needs_mb
from densebench.measure.device import clock_step_us
from densebench.measure.energy import open_meter
from densebench.measure.environment import environment, environment_id, gpus
from densebench.measure.hazards import room, warnings
from densebench.recipe import plan
from densebench.spec import RunSpec
from densebench.techniques.base import Technique
from densebench.wording import one_line, short

Line = dict[str, str]
LOADS, LACKS = "loads", "can't run here"
LOAD_LIMIT_S = 120.0
TRY = "from densebench.overview import try_engines; try_engines()"


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


def engines_here(device: str) -> dict[str, str]:
    """Each engine's name -> `loads`, or why it can't be loaded or run on this device.

    A library that crashes takes only a child with it. What is known to be missing isn't tried.
    """
    known = dict.fromkeys(engines.catalogue().values())
    said = {one.name: f"{LACKS}: {reason}" for one in known if (reason := one.unavailable(device))}
    left = [one.name for one in known if one.name not in said]
    while left:
        told, end = _tried(left)
        said |= {name: state for name, state in told.items() if name in left}
        left = [name for name in left if name not in said]
        if left:  # the first of them ended the process: the others get one of their own
            said[left.pop(0)] = f"doesn't load: {end}"
    return {one.name: said[one.name] for one in known}


def _tried(names: list[str]) -> tuple[dict[str, str], str]:
    """What a child says of these engines, as far as it got, and how it ended."""
    out, end = "", f"not loaded after {LOAD_LIMIT_S:.0f} s"
    try:
        child = subprocess.run(
            [sys.executable, "-c", TRY, *names],
            capture_output=True,
            text=True,
            check=False,
            timeout=LOAD_LIMIT_S,
        )
        out, end = child.stdout, f"the process that loaded it ended with exit code {child.returncode}"
    except subprocess.TimeoutExpired as late:
        out = late.stdout.decode(errors="replace") if isinstance(late.stdout, bytes) else late.stdout or ""
    told = {}
    for line in out.splitlines():
        with suppress(ValueError, TypeError):  # a library may print too
            name, problem = json.loads(line)
            told[name] = f"doesn't load: {one_line(problem)}" if problem else LOADS
    return told, end


def try_engines() -> None:
    """What the child does: for each engine named in its arguments, import what it needs and print how it went."""
    for name in sys.argv[1:]:
        try:
            for library in _libraries(engines.catalogue()[name]):
                importlib.import_module(library)
            problem = ""
        except Exception as error:  # noqa: BLE001 - whatever a library raises while it is loaded
            problem = f"{type(error).__name__}: {error}"
        print(json.dumps([name, problem]), flush=True)


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
    facts = environment()
    device = "cuda" if gpus() else "cpu"
    found, spec = catalogue(device), RunSpec.create()
    missing = [f"{one['name']}: {one['unavailable']}" for one in found["engines"] if one["unavailable"]]
    able = sum(not one["unavailable"] for one in found["recipes"])
    lacking, spoiling = room(*needs_mb(spec, able), spec.output_dir), warnings()
    loading = engines_here(device)  # after the look at what else the machine does
    meter = open_meter(device)
    energy = f"not measured: {meter}" if isinstance(meter, str) else meter.method
    step_us = clock_step_us("cpu")
    if as_json:
        whole: dict[str, object] = {
            "environment": facts,
            "environment_id": environment_id(facts),
            "unavailable": missing,
        }
        whole |= {"engines": loading, "energy": energy, "clock_step_us": step_us}
        whole |= {"warnings": [*spoiling, *lacking]}
        print(json.dumps(whole, indent=1))
        return
    table = Table(show_header=False, box=box.SIMPLE)
    seen = {"environment_id": environment_id(facts), "gpu": "" if gpus() else "none", "energy": energy}
    for key, value in (facts | seen | {"clock": f"steps of {short(step_us)} us"}).items():
        if value:
            table.add_row(key, escape(value))
    console.print(table)
    for name, state in loading.items():
        if not state.startswith(LACKS):
            style = None if state == LOADS else "yellow"
            console.print(f"engine {name}: {state}", style=style, highlight=False, markup=False)
    for line in missing:
        console.print(f"{LACKS}: {line}", style="yellow", highlight=False, markup=False)
    for line in lacking:
        console.print(f"no room for the default suite: {line}", style="yellow", highlight=False, markup=False)
    for line in spoiling:
        console.print(f"timings may be unreliable: {line}", style="yellow", highlight=False, markup=False)
    if not spoiling:
        console.print("nothing seen that would spoil timings", style="green", highlight=False)
