"""The rules of the house: which way imports go, who may name a technique, how long a file may be."""

from __future__ import annotations

import ast
import pkgutil
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import densebench
from densebench import engines, techniques

ROOT = Path(densebench.__file__).parent
TESTS = Path(__file__).parent
MOST_LINES = 300
MOST_CODE = 40  # lines of one function
# Files that have a longer function still: they are about to be written anew, and none may be added.
MOST_ANY = 40  # outside of BORDERS
# Files that talk to a library without types, or read what another program wrote, where `Any` is the type.
BORDERS = {
    "cli/help.py": "Typer's context and formatter, whose classes it keeps private",
    "engines/_tensorrt_plan.py": "the module tensorrt, which a test may replace",
    "engines/_tensorrt_session.py": "the module tensorrt, and the objects that it makes",
    "loadtest/generator.py": "LoadGen's settings",
    "machine/nvml.py": "the module pynvml, which a test may replace, and its handles",
    "report/html/chart.py": "Plotly's specifications of traces and layouts",
    "report/html/style.py": "the same, with colours put in at any depth",
    "viewer/board.py": "TensorBoard's plugins",
    "viewer/columns.py": "events of a profiler's trace, of which any value may be damaged",
    "viewer/entry.py": "TensorBoard's context",
    "viewer/plugin.py": "TensorBoard's context, and WSGI applications",
    "viewer/reading.py": "events of a profiler's trace, of which any value may be damaged",
}

# Left to right: a module imports from its own package and from those before it. A module of the root is a
# package of its own.
ORDER = (
    *("errors", "schema", "text", "files", "registry", "build_cache", "spec"),
    *("stats", "machine", "model", "workloads", "techniques", "engines", "recipes", "artifacts"),
    *("results", "decision", "processes", "measure", "roofline", "worker"),
    *("planners", "sinks", "executors", "viewer", "report", "loadtest"),
    *("testing", "output", "loop", "api", "", "cli", "__main__"),
)
MOST_IN_THE_ROOT = 12  # modules, the two dunders among them

# Who may say a technique's or an engine's name outside its file, and why.
SAID: dict[tuple[str, str], str] = {
    ("cli/main.py", "channels_last"): "an example in the help text",
    ("cli/main.py", "bf16"): "an example in the help text",
    ("cli/main.py", "jit"): "an example in the help text",
    ("cli/main.py", "compile"): "an example in the help text",
    ("cli/main.py", "pruning"): "an example in the help text",
    ("machine/facts.py", "bf16"): "the processor flag of ARM",
    ("results/columns.py", "allocator"): "CUDA's memory allocator, in a column's description",
    ("results/columns.py", "compile"): "a compile cache, in a column's description",
    ("report/html/page.py", "script"): "the HTML element",
    ("viewer/categories.py", "quantize"): "operators of this name",
    ("report/cost.py", "compile"): "a compile cache, in a sentence",
    ("report/reliability.py", "allocator"): "the C library's, in a sentence",
    ("report/tables.py", "amp"): "the entity &amp;",
    ("model/adapter.py", "channels_last"): "the boundary's memory layout, which is PyTorch's word for it",
    ("machine/environment.py", "openvino"): "a library whose version is part of the environment",
    ("machine/environment.py", "tensorrt"): "a library whose version is part of the environment",
    ("engines/eager.py", "channels_last"): "the boundary's memory layout",
    ("engines/torch_compile.py", "eager"): "builds on that engine's artifact, by importing it",
    ("engines/onnxruntime.py", "tensorrt"): "ONNX Runtime's provider of that name",
    ("engines/onnxruntime.py", "quantize"): "imports the function that makes an ONNX file INT8",
    ("engines/openvino.py", "bf16"): "the engine's own option",
    ("engines/tensorrt.py", "fp16"): "the engine's own option",
    ("engines/tensorrt.py", "onnx"): "the library that its network is read with",
    ("spec.py", "onnx"): "how the file of a user's own model ends",
    ("workloads/onnx_counts.py", "onnx"): "the library that reads the file",
    ("workloads/onnx_file.py", "onnx"): "the library that reads the file",
    ("workloads/onnx_reading.py", "onnx"): "the library that reads the file",
}
# Names that are words with other uses, in many files.
COMMON = {
    "threads": "every job and every row has a number of threads",
    "half": "an interval has half a width, and a type of NumPy's and PyTorch's is called so",
}


def modules() -> list[Path]:
    """Every file of the package."""
    return sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    """`engines.eager` for its file, `engines` for the package's `__init__`, "" for densebench's own."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    """The file, parsed."""
    return ast.parse(path.read_text(encoding="utf-8"))


def package_of(module: str) -> str:
    """The first part of its name: what the order is about."""
    return module.partition(".")[0]


def imports(path: Path) -> Iterator[str]:
    """The densebench modules that a file imports, wherever in it."""
    known = {name_of(module) for module in modules()}
    here = f"densebench.{name_of(path)}".rstrip(".")
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{here} imports relatively"
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in found:
            if name.partition(".")[0] == "densebench":
                module = name.removeprefix("densebench").lstrip(".")
                yield module if module in known else module.rpartition(".")[0]


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_go_left_to_right(path: Path) -> None:
    """Every module's package has a place in the order, and imports nothing to the right of it."""
    own = package_of(name_of(path))
    assert own in ORDER, f"give {own} a place in ORDER"
    for module in imports(path):
        assert ORDER.index(package_of(module)) <= ORDER.index(own), f"{name_of(path)} imports {module}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Within a package too: what two modules need of each other is a third one."""
    edges = {name_of(path): {*imports(path)} - {name_of(path)} for path in modules()}
    while leaves := {name for name, needed in edges.items() if not needed & edges.keys()}:
        edges = {name: needed for name, needed in edges.items() if name not in leaves}
    assert not edges, f"in or behind a circle: {sorted(edges)}"


def test_the_root_is_small() -> None:
    """A reader sees at a glance what there is."""
    assert len([*ROOT.glob("*.py")]) <= MOST_IN_THE_ROOT


def test_no_module_hides_a_public_function() -> None:
    """A module `densebench.load` would take the place of the function as soon as anything imports it."""
    assert not {name for name in densebench.__all__ if name in {name_of(path) for path in modules()}}


def test_the_order_names_nothing_that_is_gone() -> None:
    """A place in the order is of a package that exists."""
    assert {*ORDER} == {package_of(name_of(path)) for path in modules()}


def test_techniques_and_measures_do_not_know_each_other() -> None:
    """Techniques never time, measures never optimize: neither imports the other."""
    for path in modules():
        for module in imports(path):
            if name_of(path).startswith("techniques"):
                assert not module.startswith("measure")
            if name_of(path).startswith("measure"):
                assert not module.startswith("techniques")


def docstrings(tree: ast.Module) -> set[int]:
    """Which nodes are docstrings, by identity."""
    kinds = ast.Module | ast.FunctionDef | ast.ClassDef
    return {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, kinds) and node.body and isinstance(node.body[0], ast.Expr)
    }


def words(tree: ast.Module) -> Iterator[str]:
    """Every word of every string that is no docstring, and every imported name: what could tell one from another."""
    spared = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in spared:
            yield from re.findall(r"\w+", node.value)
        elif isinstance(node, ast.alias):
            yield node.name.rpartition(".")[2]


def home(package: ModuleType, what: object) -> Path:
    """The file that registers it."""
    modules_of = (
        sys.modules[f"{package.__name__}.{info.name}"]
        for info in pkgutil.iter_modules(package.__path__)
        if not info.name.startswith("_")
    )
    return next(Path(str(module.__file__)) for module in modules_of if what in vars(module).values())


def said() -> set[tuple[str, str]]:
    """(file, name) for each technique or engine that is named outside its own files.

    Files of the two folders that begin with `_` are parts of those that register.
    """
    found = set()
    for package in (techniques, engines):
        for name, what in package.catalogue().items():
            if name in COMMON:
                continue
            found |= {
                (path.relative_to(ROOT).as_posix(), name)
                for path in modules()
                if path != home(package, what)
                and not (path.parent.name in ("techniques", "engines") and path.name.startswith("_"))
                and name in words(tree_of(path))
            }
    return found


def test_no_technique_or_engine_is_named_outside_its_file() -> None:
    """A stage that treats one by name is found here; the exceptions are words, each with its reason."""
    assert {f"{file} says '{name}'" for file, name in said() - set(SAID)} == set()


def test_no_exception_outlives_its_reason() -> None:
    """An exception that is no longer needed goes."""
    assert set(SAID) - said() == set()


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_files_hold_one_concept(path: Path) -> None:
    """No file is longer than 300 lines, but for those that say why."""
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines < MOST_LINES


def code_lines(path: Path, function: ast.FunctionDef) -> int:
    """Lines of code in a function's body: its docstring, comments and blank lines don't count."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not body:
        return 0
    lines = path.read_text(encoding="utf-8").splitlines()[body[0].lineno - 1 : function.end_lineno]
    return sum(line.strip() != "" and not line.lstrip().startswith("#") for line in lines)


def long_functions(path: Path) -> dict[str, int]:
    """Functions with more lines of code than one concept needs."""
    functions = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef)]
    return {one.name: lines for one in functions if (lines := code_lines(path, one)) > MOST_CODE}


def test_functions_hold_one_concept() -> None:
    """A function with more than 40 lines of code has a second concept in it: give that one a name."""
    found = {path.relative_to(ROOT).as_posix(): long for path in modules() if (long := long_functions(path))}
    assert not found


def test_any_stands_at_borders() -> None:
    """`Any` turns the type checker off. Inside of the borders a Protocol, a TypedDict or `object` does."""
    found = Counter(
        path.relative_to(ROOT).as_posix()
        for path in modules()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Name) and node.id == "Any"
    )
    assert set(BORDERS) <= set(found), "a border that needs none is none"
    elsewhere = {file: count for file, count in found.items() if file not in BORDERS}
    assert sum(elsewhere.values()) <= MOST_ANY, elsewhere


def test_the_parent_never_imports_pytorch() -> None:
    """The command line, the parent's story and `densebench list` answer without PyTorch, so none opens CUDA."""
    code = """
import sys
import densebench.loop, densebench.cli.dry_run, densebench.cli.main
from densebench.spec import RunSpec
from densebench.recipes.parse import plan
spec = RunSpec.create()
plan(spec.recipes, spec.named)
sys.argv = ["densebench", "list"]
try:
    densebench.cli.main.main()
except SystemExit as end:
    assert not end.code, end.code
heavy = {"torch", "torchvision", "torchao", "sklearn", "onnxruntime", "openvino"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "channels_last" in done.stdout


def test_no_property_has_a_deadline() -> None:
    """A busy machine takes longer for the same example: time decides no test."""
    timed = [
        str(path.relative_to(TESTS))
        for path in sorted(TESTS.rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg == "deadline"
        and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is None)
    ]
    assert not timed


def test_reliability_names_tests_that_there_are() -> None:
    """Each fault of the document has a test behind it; `…` stands for the file named last."""
    root = ROOT.parents[1]
    told = (root / "docs/reliability.md").read_text(encoding="utf-8")
    missing, file = [], ""
    for found, name in re.findall(r"`(tests/[\w/]+\.py|…)(?:::(\w+))?`", told):
        file = found if found != "…" else file
        path = root / file
        if not path.exists() or (name and f"def {name}(" not in path.read_text(encoding="utf-8")):
            missing.append(f"{file}::{name}")
    assert missing == []
