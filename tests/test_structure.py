"""The rules of the house: which way imports go, who may name a technique, how long a file may be."""

from __future__ import annotations

import ast
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import densebench
from densebench import engines, techniques

ROOT = Path(densebench.__file__).parent
MOST_LINES = 300

# Left to right: a module imports from its own stage and from those before it. A package stands for all its
# modules but those that are named themselves.
STAGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "ground: words, files, numbers, and the row, whose fields every stage speaks of",
        (
            "errors",
            "machine",
            "atomic",
            "closed",
            "once",
            "registry",
            "stats",
            "trust",
            "record",
            "blanks",
            "rows",
            "wording",
        ),
    ),
    (
        "a PyTorch module and its tensors: the boundary, the file, and what `Session.effect` looks at",
        ("served", "weights_file", "channels", "measure.observe", "measure.fidelity"),
    ),
    ("what to run", ("spec",)),
    ("the model, its weights and data", ("workloads",)),
    ("what is changed", ("techniques",)),
    ("what runs it", ("engines",)),
    ("a stack of both, and what it leaves on disk", ("recipe", "artifact")),
    ("what crosses to a child, and the parent's side of it", ("jobs", "isolation", "nurseries", "beside")),
    ("numbers", ("measure",)),
    ("where rows go", ("sinks",)),
    ("where profiles are looked at", ("viewer",)),
    ("the answer", ("report",)),
    (
        "the two stories: the child's, of which `building` is a chapter",
        ("deploy_notes", "steps", "building", "stream", "turns", "timing", "companion", "worker", "zygote"),
    ),
    (
        "and the parent's",
        ("cells", "blocks", "beginnings", "batch_size", "company", "forecast", "rounds", "folders", "suite"),
    ),
    (
        "commands",
        ("estimate", "overview", "predict", "export", "loadtest", "compare", "compare_table", "api"),
    ),
    ("the doors", ("", "commands", "cli", "__main__")),
)
PLACE = {name: index for index, (_, names) in enumerate(STAGES) for name in names}

# Who may say a technique's or an engine's name outside its file, and why.
SAID: dict[tuple[str, str], str] = {
    ("cli.py", "channels_last"): "an example in the help text",
    ("cli.py", "bf16"): "an example in the help text",
    ("cli.py", "jit"): "an example in the help text",
    ("cli.py", "compile"): "an example in the help text",
    ("cli.py", "pruning"): "an example in the help text",
    ("machine.py", "bf16"): "the processor flag of ARM",
    ("record.py", "allocator"): "CUDA's memory allocator, in a column's description",
    ("record.py", "compile"): "a compile cache, in a column's description",
    ("report/html/page.py", "script"): "the HTML element",
    ("viewer/categories.py", "quantize"): "operators of this name",
    ("report/cost.py", "compile"): "a compile cache, in a sentence",
    ("report/reliability.py", "allocator"): "the C library's, in a sentence",
    ("report/tables.py", "amp"): "the entity &amp;",
    ("served.py", "channels_last"): "the boundary's memory layout, which is PyTorch's word for it",
    ("measure/environment.py", "openvino"): "a library whose version is part of the environment",
    ("measure/environment.py", "tensorrt"): "a library whose version is part of the environment",
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
COMMON = {"threads": "every job and every row has a number of threads"}


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


def stage_of(module: str) -> int | None:
    """The place of a module, or of the nearest package that holds it."""
    while module not in PLACE and "." in module:
        module = module.rpartition(".")[0]
    return PLACE.get(module)


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
    """Every module has a place in the table, and imports nothing to the right of it."""
    place = stage_of(name_of(path))
    assert place is not None, f"give {name_of(path)} a place in STAGES"
    for module in imports(path):
        other = stage_of(module)
        assert other is not None, f"{name_of(path)} imports {module}, which is no module"
        assert other <= place, f"{name_of(path)} ({STAGES[place][0]}) imports {module} ({STAGES[other][0]})"


def test_no_module_hides_a_public_function() -> None:
    """A module `densebench.load` would take the place of the function as soon as anything imports it."""
    assert not {name for name in densebench.__all__ if name in PLACE}


def test_the_table_names_nothing_that_is_gone() -> None:
    """A place in the table is of a module that exists."""
    known = {name_of(path) for path in modules()}
    assert set(PLACE) <= known


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


def test_the_parent_never_imports_pytorch() -> None:
    """The command line, the parent's story and `densebench list` answer without PyTorch, so none opens CUDA."""
    code = """
import sys
import densebench.suite, densebench.estimate, densebench.cli
from densebench.spec import RunSpec
from densebench.recipe import plan
spec = RunSpec.create()
plan(spec.recipes, spec.named)
sys.argv = ["densebench", "list"]
try:
    densebench.cli.main()
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
