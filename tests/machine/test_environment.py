"""The machine's facts and the name they get."""

from __future__ import annotations

from importlib.metadata import version

import pynvml
import pytest

from densebench.machine import environment as module
from densebench.machine.environment import UNNAMED, environment, environment_id, gpus


def test_the_facts_name_machine_and_libraries() -> None:
    """Processor, system and the versions that a figure depends on are there, as text."""
    facts = environment()
    assert facts["torch"] == version("torch")
    assert facts["cpu"]
    assert int(facts["cpus_allowed"]) >= 1
    assert all(isinstance(value, str) for value in facts.values())
    assert not any(value == "" for key, value in facts.items() if key != "cpu_instructions")


def test_the_name_is_stable_and_changes_with_any_fact_but_the_version() -> None:
    """Eight hexadecimal digits that don't depend on order and do on every value, key and absence."""
    facts = environment()
    name = environment_id(facts)
    assert len(name) == 8
    assert int(name, 16) >= 0
    assert environment_id(dict(reversed(facts.items()))) == name == environment_id(environment())
    for key in set(facts) - {*UNNAMED}:
        assert environment_id(facts | {key: facts[key] + "x"}) != name
        assert environment_id({k: v for k, v in facts.items() if k != key}) != name


def test_a_new_version_of_the_project_is_known_and_is_the_same_environment() -> None:
    """A resume and a comparison of images a second need the same name, and `compare` needs the version."""
    facts = environment()
    assert facts["densebench"] == version("densebench")
    assert environment_id(facts | {"densebench": "9.9"}) == environment_id(facts)
    for name in UNNAMED:
        assert environment_id({k: v for k, v in facts.items() if k != name}) == environment_id(facts)


def test_a_missing_library_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not installed has no version, and installing it changes the environment."""
    monkeypatch.setattr(module, "LIBRARIES", ("torch", "no-such-distribution"))
    facts = environment()
    assert "no-such-distribution" not in facts
    assert "numpy" not in facts


def test_gpus_are_named_by_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each GPU's name and driver come from NVML, which is closed again, without opening CUDA."""
    closed = []
    fake = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: closed.append(1),
        "nvmlSystemGetDriverVersion": lambda: "580.1",
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda handle: f"Card {handle}",
    }
    for name, function in fake.items():
        assert callable(getattr(pynvml, name))
        monkeypatch.setattr(pynvml, name, function)
    assert gpus() == ["Card 0, driver 580.1", "Card 1, driver 580.1"]
    assert closed == [1]
    assert environment()["gpu1"] == "Card 1, driver 580.1"


def test_no_driver_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without NVIDIA's library there are no GPUs, and no error."""

    def missing() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    assert gpus() == []
    assert "gpu0" not in environment()
