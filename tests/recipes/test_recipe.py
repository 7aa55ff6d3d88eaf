"""A recipe's facts are those of all its steps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from densebench import engines, techniques
from densebench.errors import Unavailable
from densebench.recipes.parse import resolve
from tests.recipes.test_parse import DIAL


def test_legal_orders_are_kept() -> None:
    """Steps are applied in the order written."""
    found = resolve("pruning+channels_last+bf16+jit", {})
    assert [step.what.name for step in found.techniques] == ["pruning", "channels_last", "bf16"]
    assert found.engine.what.name == "jit"


def test_the_folder_of_a_stack() -> None:
    """The folder's name is the one-line form, made safe."""
    assert resolve("pruning:amount=0.5+compile", {}).folder == "pruning_amount_0.5_compile"


def _no_such_library(*, level: int, **options: object) -> dict[str, str]:
    if level > 3:
        raise Unavailable(f"apt install libdial{level}")
    return {}


def test_tolerance_caveats_and_availability_come_from_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack is as exact as its least exact step, warns of each, and runs only where all of them do."""
    found = resolve("pruning+bf16+compile", {})
    steps = (*found.techniques, found.engine)
    assert found.tolerance == max(step.what.tolerance for step in steps)
    assert found.caveats == tuple(step.what.caveat for step in steps if step.what.caveat)
    picky = replace(
        DIAL, unavailable=lambda device: f"no dial on {device}", slow=lambda device: "dials creep"
    )
    monkeypatch.setattr(techniques, "catalogue", lambda: {"dial": picky})
    stack = resolve("dial", {})
    assert stack.unavailable("cuda") == "no dial on cuda"
    assert stack.slow("cpu") == "dials creep"
    lacking = replace(DIAL, environment=_no_such_library)
    monkeypatch.setattr(techniques, "catalogue", lambda: {"dial": lacking})
    assert resolve("dial", {}).unavailable("cpu") is None
    assert resolve("dial:level=4", {}).unavailable("cpu") == "apt install libdial4"
    assert resolve("eager", {}).unavailable("cpu") is None
    assert resolve("eager", {}).slow("cpu") is None


def test_what_a_build_takes_is_that_of_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a technique's options and the images' size, and the engine's known seconds."""
    dial = replace(DIAL, typical_s=lambda image_size, *, level, **options: image_size * level)
    monkeypatch.setattr(techniques, "catalogue", lambda: {"dial": dial})
    eager = engines.default().typical_build_s
    assert resolve("dial:level=2", {}).typical_build_s(32) == 64 + eager
    assert resolve("eager", {}).typical_build_s(224) == eager
