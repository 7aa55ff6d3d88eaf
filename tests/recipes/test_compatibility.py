"""What can't be stacked is refused before anything runs, with the reason."""

from __future__ import annotations

import re

import pytest

from densebench.errors import UsageError
from densebench.recipes.parse import resolve


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("bf16+pruning", "put pruning before bf16: pruning compares magnitudes"),
        ("bf16+amp", "bf16 and amp both decide the precision: keep one"),
        ("quantize+dynamic_quantization", "both decide the precision"),
        ("channels_last+channels_last", "both decide the layout"),
        ("pruning+pruning:amount=0.5", "both decide the weights"),
        ("dynamic_quantization+jit", "dynamic_quantization can't run in jit: TorchScript can't hold"),
        *(
            (
                f"semi_structured+{stack}",
                f"semi_structured runs on cuda only, and {engine} on cpu only: keep one, or end in one of aot",
            )
            for stack, engine in (
                ("openvino", "openvino"),
                ("channels_last+aot_inductor:precision=int8", "aot_inductor:precision=int8"),
                ("onnx:precision=int8", "onnx:precision=int8"),
            )
        ),
        *(
            (
                stack,
                f"huge_pages can't go with allocator:kind={kind}: glibc's tunables do nothing in {kind}: write",
            )
            for kind in ("jemalloc", "tcmalloc")
            for stack in (f"allocator:kind={kind}+huge_pages", f"huge_pages+allocator:kind={kind}+jit")
        ),
        *(
            (
                f"{name}+aot_inductor:precision=int8",
                f"{name} can't run in aot_inductor:precision=int8: it quantizes an FP32 model: leave that out, or",
            )
            for name in ("bf16", "amp", "quantize", "dynamic_quantization")
        ),
    ],
)
def test_stacks_that_do_not_fit_are_refused_with_the_reason(written: str, said: str) -> None:
    """Order, exclusivity and what an engine can't hold are told apart, each with its why."""
    with pytest.raises(UsageError, match=re.escape(said)):
        resolve(written, {})


@pytest.mark.parametrize(
    "written",
    [
        "bf16+aot_inductor",
        "channels_last+aot_inductor:precision=int8",
        "huge_pages+allocator+eager",
        "semi_structured+aot_inductor",
        "semi_structured+tensorrt",
        "semi_structured+onnx:precision=int8:provider=tensorrt",
    ],
)
def test_what_an_option_refuses_is_legal_without_it(written: str) -> None:
    """And what changes no precision goes with it."""
    assert resolve(written, {}).line == written


def test_the_advice_is_legal() -> None:
    """Each engine that a refusal for want of a shared device names takes all of the techniques."""
    with pytest.raises(UsageError, match="keep one, or end in one of") as refusal:
        resolve("semi_structured+channels_last+aot_inductor:precision=int8", {})
    named = str(refusal.value).partition("one of ")[2].split(", ")
    assert named == ["aot_inductor", "compile", "eager", "jit"]
    for engine in named:
        resolve(f"semi_structured+channels_last+{engine}", {})
