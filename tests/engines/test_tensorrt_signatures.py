"""What the engine calls, checked against the signatures of TensorRT's own bindings, version 10 and 11.

`scripts/tensorrt_signatures.py` took them from the wheels. They can be loaded without TensorRT's libraries, not run.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from densebench.engines import _tensorrt_plan, _tensorrt_session, tensorrt
from tests.engines import fake_tensorrt

SIGNATURES: dict[str, dict[str, dict[str, list[str] | None]]] = json.loads(
    Path(__file__).with_name("tensorrt_signatures.json").read_text(encoding="utf-8")
)
KINDS = {  # what the engine calls its objects -> their classes
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "timings": "ITimingCache",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "inspector": "EngineInspector",
    "library": "library",
    "tensorrt": "library",
}
RETURNED = {"get_error": "ParserError", "get_input": "ITensor", "get_timing_cache": "ITimingCache"}


def sources() -> Iterator[ast.Module]:
    """The engine's files that speak with TensorRT, and the code that it gives to a deployer."""
    for module in (tensorrt, _tensorrt_plan, _tensorrt_session):
        yield ast.parse(inspect.getsource(module))
    yield ast.parse(tensorrt.usage({"classes": 10, "largest_batch": 8}))


def kind_of(node: ast.expr) -> str | None:
    """The class of TensorRT that an expression is of, by the names that the sources keep to."""
    if isinstance(node, ast.Name):
        return KINDS.get(node.id)
    if isinstance(node, ast.Attribute):
        if node.attr in KINDS and isinstance(node.value, ast.Name) and node.value.id == "self":
            return KINDS[node.attr]
        return node.attr if kind_of(node.value) == "library" else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return RETURNED.get(node.func.attr)
    return None


def uses() -> Iterator[tuple[str, str, ast.Call | None]]:
    """(class, name, the call or None) for everything that the sources take from TensorRT."""
    for tree in sources():
        calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and (kind := kind_of(node.value)):
                yield kind, node.attr, calls.get(id(node))


def fits(overload: str, call: ast.Call, *, bound: bool) -> bool:
    """Whether the call's arguments can be bound to a method's parameters."""
    function = eval(f"lambda {overload}: None")
    given = [0] * (len(call.args) + bound)
    try:
        inspect.signature(function).bind(*given, **{str(word.arg): 0 for word in call.keywords})
    except TypeError:
        return False
    return True


@pytest.mark.parametrize("version", sorted(SIGNATURES))
def test_every_call_fits_the_real_bindings(version: str) -> None:
    """Names and arguments, in TensorRT 10 and 11, as their wheels' own modules tell them."""
    told = SIGNATURES[version]
    checked = 0
    for kind, name, call in uses():
        assert name in told[kind], f"{kind} has no {name} in {version}"
        if call is None:
            continue
        checked += 1
        is_class = kind == "library"
        overloads = told[name]["__init__"] if is_class else told[kind][name]
        assert overloads, f"{kind}.{name} is no method in {version}"
        # a call through the class itself, `library.ILogger.__init__(self)`, gives its `self`
        bound = is_class or name != "__init__"
        assert any(fits(text, call, bound=bound) for text in overloads), f"{name}{overloads} in {version}"
    assert checked >= 30


def test_the_check_of_calls_finds_mistakes() -> None:
    """A wrong count, a wrong keyword and a method of the other version are seen."""
    call = ast.parse("f(1, 2, 3)", mode="eval").body
    word = ast.parse("f(1, wrong=2)", mode="eval").body
    assert isinstance(call, ast.Call)
    assert isinstance(word, ast.Call)
    assert not fits("self, network, config", call, bound=True)
    assert not fits("self, network, config", word, bound=True)
    assert "FP16" in SIGNATURES["10.16.1.11"]["BuilderFlag"]
    assert "FP16" not in SIGNATURES["11.4.0.106"]["BuilderFlag"]


def test_the_fake_has_the_real_methods() -> None:
    """What the fake accepts, the bindings accept: its methods' parameters have their names, in their order."""
    classes = {
        **{kind: kind for kind in ("Builder", "OnnxParser", "Runtime", "ParserError", "IProfiler")},
        "Network": "INetworkDefinition",
        "Config": "IBuilderConfig",
        "Profile": "IOptimizationProfile",
        "TimingCache": "ITimingCache",
        "Engine": "ICudaEngine",
        "Context": "IExecutionContext",
        "Inspector": "EngineInspector",
        "Logger": "Logger",
    }
    for fake, real in classes.items():
        for name, method in vars(getattr(fake_tensorrt, fake)).items():
            if not inspect.isfunction(method) or (name == "__init__" and fake not in {"Builder", "Runtime"}):
                continue
            mine = list(inspect.signature(method).parameters)
            for version, told in SIGNATURES.items():
                theirs = [
                    inspect.signature(eval(f"lambda {text}: None")).parameters
                    for text in told[real][name] or ()
                ]
                assert any(
                    list(each)[: len(mine)] == mine
                    and all(rest.default is None for rest in list(each.values())[len(mine) :])
                    for each in theirs
                ), f"{real}.{name} takes {theirs} in {version}"
    enums = ("BuilderFlag", "MemoryPoolType", "ProfilingVerbosity", "LayerInformationFormat")
    for name in (*enums, "NetworkDefinitionCreationFlag"):
        for told in SIGNATURES.values():
            assert set(getattr(fake_tensorrt, name).__members__) <= set(told[name])


def test_the_installed_bindings_have_what_is_called() -> None:
    """Where the real library is installed, its own classes are asked."""
    real = pytest.importorskip("tensorrt", reason="TensorRT is not installed here")
    for kind, name, _ in uses():
        owner = real if kind == "library" else getattr(real, kind)
        assert hasattr(owner, name), f"{kind} has no {name} in {real.__version__}"
