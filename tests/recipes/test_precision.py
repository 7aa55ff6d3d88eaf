"""What a recipe's multiplications run in: the engine's word, else the technique's, else FP32."""

from __future__ import annotations

import pytest

from densebench.recipes.parse import resolve


@pytest.mark.parametrize(
    ("line", "cpu", "cuda"),
    [
        ("eager", "float32", "float32"),
        ("amp", "bfloat16", "float16"),
        ("half", "float16", "float16"),
        ("bf16+channels_last", "bfloat16", "bfloat16"),
        ("channels_last+bf16+compile", "bfloat16", "bfloat16"),
        ("bf16+aot_inductor", "bfloat16", "bfloat16"),
        ("aot_inductor:precision=int8", "int8", "int8"),
        ("dynamic_quantization", "float32", "float32"),
        ("pruning:amount=0.5+jit", "float32", "float32"),
        ("onnx", "float32", "float32"),
        ("onnx:precision=int8", "int8", "int8"),
        ("structured_pruning+openvino:precision=int8", "int8", "int8"),
        ("openvino:precision=bf16", "bfloat16", "bfloat16"),
        ("openvino", "float32", "float32"),
        ("tensorrt", "float16", "float16"),
        ("tensorrt:precision=fp32", "float32", "float32"),
    ],
)
def test_the_precision_of_a_stack(line: str, cpu: str, cuda: str) -> None:
    """Dynamic quantization counts as FP32: nearly all multiplications of a convolutional network stay there."""
    recipe = resolve(line, {})
    assert (recipe.precision("cpu"), recipe.precision("cuda")) == (cpu, cuda)
