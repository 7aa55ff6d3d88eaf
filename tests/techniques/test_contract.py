"""Every technique on a real DenseNet-121 with trained weights and real images: what each one promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from densebench import engines, techniques
from densebench.engines.base import Target
from densebench.engines.eager import EagerSession
from densebench.model.adapter import Served
from densebench.model.fidelity import relative_difference, sqnr_db
from densebench.techniques.base import DEVICES, Technique
from densebench.workloads import Workload, WorkloadRequest, open_workload

pytest_plugins = ["tests.fixtures"]

IMAGES = 24
# Technique -> the options it is tried with, beside its defaults. A technique that is not here fails.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "allocator": [],
    "amp": [],
    "bf16": [],
    "channels_last": [],
    "dynamic_quantization": [],
    "huge_pages": [],
    "instances": [{"count": 2}],
    "pruning": [{"amount": 0.1}, {"fine_tune": True, "epochs": 1}],
    "quantize": [],
    "semi_structured": [],
    "structured_pruning": [],
    "threads": [{"count": 2}],
}
BRIEF = {"structured_pruning": {"epochs": 1}}  # what else its default would take is tested beside it
WITHOUT_IMAGES = {"structured_pruning": {"fine_tune": False}}  # its default needs training images
CATALOGUE = {technique.name: technique for technique in techniques.catalogue().values()}
CASES = [
    (name, BRIEF.get(name, {}) | options)
    for name in sorted(CATALOGUE)
    for options in [{}, *SETTINGS.get(name, [])]
]


@pytest.fixture(scope="module")
def digits() -> Workload:
    """DenseNet-121 with the embedded digits weights."""
    return open_workload(WorkloadRequest(weights="digits", data="digits", image_size=32))


@pytest.fixture(scope="module")
def images(digits: Workload) -> Tensor:
    """Real images that the model was not trained on."""
    assert digits.data.validation is not None
    return digits.data.validation.read(range(IMAGES))


@pytest.fixture(scope="module")
def model(digits: Workload) -> nn.Module:
    """The FP32 model that all techniques are given."""
    return digits.build_model()


@pytest.fixture(scope="module")
def expected(model: nn.Module, images: Tensor) -> Tensor:
    """What it answers before anything was applied to it."""
    with torch.inference_mode():
        return model(images)


def apply(technique: Technique, model: nn.Module, workload: Workload, options: dict[str, Any]) -> nn.Module:
    """As a build does: options checked, then given as keywords."""
    return technique.apply(model, workload, **technique.options.model_validate(options).model_dump())


def test_every_technique_has_settings() -> None:
    """A new technique says in SETTINGS how it is tried; one that is gone leaves nothing."""
    assert set(SETTINGS) == set(CATALOGUE)


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_it_keeps_its_promises(
    name: str,
    options: dict[str, Any],
    model: nn.Module,
    digits: Workload,
    images: Tensor,
    expected: Tensor,
    tmp_path: Path,
) -> None:
    """Shape, precision and fidelity of the outputs are as declared, and a saved model reloads as itself.

    The model given is the same for all techniques: that it still answers as before, to the last bit, shows
    that none of them changed it.
    """
    technique = CATALOGUE[name]
    changed = apply(technique, model, digits, options)
    assert isinstance(changed, Served)
    with torch.inference_mode():
        outputs = changed(images)
        assert torch.equal(model(images), expected), f"{name} changed the model it was given"
    assert (outputs.shape, outputs.dtype) == ((IMAGES, 10), torch.float32)
    fidelity = sqnr_db(outputs, expected)
    assert torch.isfinite(outputs).all()
    assert fidelity is None or fidelity >= technique.least_sqnr_db, f"{name}: {fidelity:.1f} dB"
    engine = engines.default()
    built = engine.build(changed, digits, tmp_path, Target("cpu", (1, IMAGES), 1))
    session = engine.load(tmp_path, built.details, "cpu")
    with torch.inference_mode():
        assert relative_difference(session(images), outputs) <= max(technique.tolerance, engine.tolerance)
    on_process = technique.environment(**technique.options.model_validate(options).model_dump())
    assert bool(session.effect(images[:1]).none_because) == bool(on_process)
    session.close()


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_it_works_without_a_workload(name: str) -> None:
    """In a notebook, a technique takes a plain module, and gives one that answers in FP32."""
    from tests.small import images as noise
    from tests.small import tiny_model

    technique = CATALOGUE[name]
    options = technique.options().model_dump() | WITHOUT_IMAGES.get(name, {})
    changed = technique.apply(tiny_model(), **options)
    with torch.inference_mode():
        logits = changed(noise(2))
    assert (logits.shape, logits.dtype) == ((2, 10), torch.float32)


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_its_declaration_is_complete(name: str) -> None:
    """One line about it, legal defaults, bounds that can be met, and availability that is told for both devices."""
    technique = CATALOGUE[name]
    assert 0 < len(technique.about) < 100
    assert "\n" not in technique.about
    on_process = technique.environment(**technique.options().model_dump())
    assert technique.changes in (
        {"allocator", "pages", "threads", "instances"} if on_process else {"precision", "layout", "weights"}
    )
    technique.options()
    assert 0 < technique.tolerance < 0.1
    assert technique.least_sqnr_db >= 0
    assert set() < set(technique.devices) <= set(DEVICES)
    for device in DEVICES:
        assert technique.unavailable(device) is None or technique.unavailable(device)
        assert device in technique.devices or technique.unavailable(device)
        assert technique.slow(device) is None or technique.slow(device)


def test_a_stack_has_the_effects_of_its_steps(model: nn.Module, digits: Workload, images: Tensor) -> None:
    """Zeros, layout and precision add up: no step undoes one before it."""
    stack = model
    for name in ("pruning", "channels_last", "bf16"):
        stack = apply(CATALOGUE[name], stack, digits, {})
    assert isinstance(stack, Served)
    assert stack.settings() == {"dtype": "bfloat16", "channels_last": True, "autocast": ""}
    said = str(EagerSession(stack).effect(images[:1]))
    for sign in ("bfloat16 convolutions 120/120", "NHWC convolutions", "30.0 % of the weights are zero"):
        assert sign in said
