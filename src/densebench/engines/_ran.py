"""Which precision and layout the convolutions of one call really ran in, whatever was made of the model before.

On a CPU oneDNN says it of those that it runs. What other kernels run, and what runs on a GPU, is seen where PyTorch
hands it on: its profiler tells the types of an operator's inputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from densebench.engines._onednn import kinds, layouts, log_of

# below autocast's casts, above the kernels; a frozen program's fused operators go to cuDNN by themselves
OPERATORS = {"aten::convolution", "aten::cudnn_convolution_relu", "aten::cudnn_convolution_add_relu"}
TYPES = {"float": "float32", "c10::Half": "float16", "c10::BFloat16": "bfloat16"}


@dataclass(frozen=True)
class Ran:
    """Convolutions of one call.

    Args:
        precisions: precision -> how many of them; empty where none is seen, in a CUDA graph for one.
        layouts: `NHWC` or `other` -> how many of those for which it differs, or None where that isn't seen.

    """

    precisions: Counter[str]
    layouts: Counter[str] | None


def convolutions(run: Callable[[], object], device: str) -> Ran:
    """Call it a few times and watch."""
    import torch

    with torch.inference_mode():
        handed_on = _handed_on(run)
        if device != "cpu":
            return Ran(handed_on, None)
        log = log_of(run)
    executed = Counter(
        {precision: count for (kind, precision), count in kinds(log).items() if kind == "convolution"}
    )
    return Ran(executed + (handed_on - executed), layouts(log))


def _handed_on(run: Callable[[], object]) -> Counter[str]:
    """Convolutions that went through PyTorch's dispatcher, by the type of their images."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        run()
    assert profiler.profiler is not None
    results = profiler.profiler.kineto_results
    assert results is not None
    types = [event.dtypes()[0] for event in results.events() if event.name() in OPERATORS]
    return Counter(TYPES.get(one, one) for one in types)
