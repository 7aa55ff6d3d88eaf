"""`densebench list` and `densebench doctor`, as text and as JSON."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from densebench import engines, techniques
from densebench.cli import overview
from densebench.cli.main import app
from densebench.machine.environment import environment, environment_id
from densebench.spec import RunSpec
from tests.machine.kernel import Affinity, Kernel, affinity, kernel

__all__ = ["affinity", "kernel"]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that no cell has to be folded for."""
    monkeypatch.setenv("COLUMNS", "250")


def output(*arguments: str) -> str:
    """What a command prints."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.exception
    return result.output


def listed() -> dict[str, list[dict[str, Any]]]:
    """`densebench list --json`."""
    found: dict[str, list[dict[str, Any]]] = json.loads(output("list", "--json"))
    return found


def test_list_names_everything_once() -> None:
    """Recipes of the default suite in order, every technique and every engine, each once with one line about it."""
    found = listed()
    assert set(found) == {"recipes", "techniques", "engines"}
    assert [line["name"] for line in found["recipes"]] == list(RunSpec.create().recipes)
    for kind, catalogue in (("techniques", techniques.catalogue()), ("engines", engines.catalogue())):
        names = [line["name"] for line in found[kind]]
        assert sorted(names) == sorted({what.name for what in catalogue.values()})
        assert all(line["about"] for line in found[kind])
    assert next(line for line in found["engines"] if line["name"] == "jit")["aliases"] == "script"
    pruning = next(line for line in found["techniques"] if line["name"] == "pruning")
    assert pruning["options"].startswith("amount=0.3, ")


def test_list_says_what_a_search_may_try() -> None:
    """All options of a step with their defaults; values worth trying with what each costs and needs."""
    found = {line["name"]: line["choices"] for kind in ("techniques", "engines") for line in listed()[kind]}
    pruning = {choice["name"]: choice for choice in found["pruning"]}
    assert list(pruning) == list(techniques.catalogue()["pruning"].options.model_fields)
    assert pruning["amount"]["default"] in pruning["amount"]["values"]
    assert pruning["epochs"]["needs"] == {"fine_tune": True}
    openvino = {choice["name"]: choice for choice in found["openvino"]}
    assert openvino["max_drop"]["values"] == [], "for people only"
    onnx = {choice["name"]: choice for choice in found["onnx"]}
    assert onnx["arena"]["values"] == [True, False]
    assert len(onnx["method"]["costs"]) == len(onnx["method"]["values"])
    assert onnx["percentile"]["needs"] == {"precision": "int8", "method": "percentile"}


def test_list_as_text_says_the_same() -> None:
    """Every name, alias and option of the JSON is in the tables."""
    text = output("list")
    for lines in listed().values():
        for line in lines:
            assert line["name"] in text
            assert line.get("aliases", "") in text


@pytest.fixture
def lame(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The engine `jit` can't run here."""
    broken = replace(engines.catalogue()["jit"], unavailable=lambda device: "pip install 'some[crutch]'")
    more = engines.catalogue() | {"jit": broken, "script": broken}
    monkeypatch.setattr(engines, "catalogue", lambda: more)
    return more


def test_what_can_not_run_is_listed_with_what_to_install(lame: dict[str, Any]) -> None:
    """An engine that lacks something is listed, with its reason, and so is each recipe that needs it."""
    found = listed()
    for kind in ("recipes", "engines"):
        reasons = {line["name"]: line["unavailable"] for line in found[kind]}
        assert reasons.pop("jit") == "pip install 'some[crutch]'"
        assert "pip install 'some[crutch]'" not in reasons.values()
    assert "no: pip install 'some[crutch]'" in output("list")


@pytest.mark.usefixtures("told")
def test_doctor_tells_the_machine(lame: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment with its name, what can't run and why, and what would spoil timings now."""
    monkeypatch.setattr(overview, "warnings", lambda placed: ["a drummer next door"])
    monkeypatch.setattr(overview, "room", lambda *_: [])
    monkeypatch.setattr(overview, "open_meter", lambda device: "no meter on a hut")
    found = json.loads(output("doctor", "--json"))
    assert found["environment"] == environment()
    assert found["environment_id"] == environment_id(environment())
    assert "jit: pip install 'some[crutch]'" in found["unavailable"]
    assert found["warnings"] == ["a drummer next door"]
    assert found["energy"] == "not measured: no meter on a hut"
    assert found["clock_step_us"] > 0
    text = output("doctor")
    for part in (
        found["environment_id"],
        "jit: pip install 'some[crutch]'",
        "a drummer next door",
        "no meter on a hut",
        environment()["torch"],
    ):
        assert part in text


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Libraries that are there and can't be loaded stand before the real ones."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path


def test_doctor_says_which_engines_load(broken: Path) -> None:
    """Each in a line of its own, and in JSON; one whose library is broken says what its library says."""
    (broken / "openvino").mkdir()
    (broken / "openvino" / "__init__.py").write_text("print('[]')\nraise ImportError('libtbb.so:\\n gone')")
    whole = json.loads(output("doctor", "--json"))
    found = whole["engines"]
    assert set(found) == {engine.name for engine in engines.catalogue().values()}
    assert found["openvino"] == "doesn't load: ImportError: libtbb.so: gone"
    assert found["eager"] == found["onnx"] == "loads"
    assert set(whole["uses"]) == {"eager"}
    assert "PyTorch's kernels: " in whole["uses"]["eager"]
    assert "oneDNN's: " in whole["uses"]["eager"]


def test_a_library_that_crashes_takes_no_doctor_with_it(broken: Path) -> None:
    """Those that come after it in the same process are tried in another."""
    (broken / "onnxruntime.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)")
    found = overview.engines_here("cpu")
    assert found["onnx"].state.startswith("doesn't load: the process that loaded it ended")
    assert found["eager"].state == found["openvino"].state == found["jit"].state == "loads"
    assert "FP32" in found["openvino"].uses.split(", ")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines aren't really loaded."""
    state = {
        "eager": overview.Tried("loads", "slide rule"),
        "openvino": overview.Tried("doesn't load: gone"),
        "jit": overview.Tried("can't run here: no crutch"),
    }
    monkeypatch.setattr(overview, "engines_here", lambda device: state)


@pytest.mark.usefixtures("told")
def test_doctor_has_a_line_for_each_engine() -> None:
    """Whether it loads, or why not."""
    text = output("doctor")
    assert "engine eager: loads (slide rule)\n" in text
    assert "engine openvino: doesn't load: gone\n" in text


@pytest.mark.usefixtures("told")
def test_doctor_says_what_the_default_suite_has_no_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disk and memory are estimated for it, before any model is opened."""
    found = []
    monkeypatch.setattr(
        overview, "room", lambda disk, memory, folder: found.append((disk, memory)) or ["no room"]
    )
    assert "no room" in json.loads(output("doctor", "--json"))["warnings"]
    assert "no room for the default suite: no room" in output("doctor")
    disk_mb, memory_mb = found[0]
    assert 300 < disk_mb < 3000
    assert 414 < memory_mb < 2000


@pytest.mark.usefixtures("told")
def test_doctor_says_that_nothing_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without interference is told so, and how its energy is measured."""
    monkeypatch.setattr(overview, "warnings", lambda placed: [])
    monkeypatch.setattr(overview, "room", lambda *_: [])
    monkeypatch.setattr(
        overview, "open_meter", lambda device: SimpleNamespace(method=f"a meter on the {device}")
    )
    text = output("doctor")
    assert "nothing seen that would spoil timings" in text
    assert "a meter on the cpu" in text or "a meter on the cuda" in text


@pytest.mark.usefixtures("told")
def test_doctor_says_how_many_threads_a_run_has_and_why(kernel: Kernel, affinity: Affinity) -> None:
    """With the cores, sockets and NUMA nodes that it follows from; the environment is that of such a run."""
    kernel.two_sockets()
    reason = "4 threads, one on each core of socket 0; socket 1 is left out, since memory of another socket is slower"
    found = json.loads(output("doctor", "--json"))
    assert found["threads"] == {"default": 4, "cpus": [0, 1, 2, 3, 8, 9, 10, 11], "reason": reason}
    assert found["cpus"] == {
        "allowed": [*range(16)],
        "cores": 8,
        "sockets": [0, 1],
        "numa_nodes": {"0": "0-3,8-11", "1": "4-7,12-15"},
        "smt": True,
        "efficiency_cores": 0,
    }
    assert found["environment"]["cpus_allowed"] == "8"
    text = output("doctor")
    assert reason in text
    assert "with hyper-threading (SMT), 2 sockets; NUMA node 0: CPUs 0-3,8-11, node 1: CPUs 4-7,12-15" in text


@pytest.mark.usefixtures("told")
def test_doctor_says_which_unit_each_precision_runs_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the environment, which reports show too, and by themselves."""
    flags = frozenset({"avx2", "avx512f", "avx512_vnni", "amx_bf16"})
    monkeypatch.setattr("densebench.machine.facts.cpu_flags", lambda: flags)
    found = json.loads(output("doctor", "--json"))
    assert found["units"] == {
        "FP32": "AVX-512",
        "BF16": "AMX-BF16",
        "FP16": "emulated",
        "INT8": "AVX-512-VNNI",
    }
    said = "FP32 AVX-512, BF16 AMX-BF16, FP16 emulated, INT8 AVX-512-VNNI"
    assert found["environment"]["precisions"] == said
    assert said in output("doctor")
