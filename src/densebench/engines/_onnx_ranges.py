"""The range of each tensor that static INT8 needs, by ONNX Runtime's own calibrators.

`minmax` takes the least and the largest value that was seen. `percentile` cuts the same share off both ends, so that
the given percentage of all values is inside. `entropy` cuts where quantization changes the distribution of the values
least (Migacz, "8-bit Inference with TensorRT", GTC 2017).

The library's fourth method, `distribution`, is for 8-bit floats: in INT8 its range is that of `minmax` made
symmetric, which gives half of the steps after an activation function to values that never occur.
"""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Final

from densebench.engines._onnx_export import INPUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from onnxruntime.quantization import TensorsData

    from densebench.workloads.base import ImageSet

METHOD: Final = "minmax"
PERCENTILE = 99.99
MOST = 256  # calibration images
# A calibrator holds every tensor of a batch at once: building DenseNet-121 at 224 pixels takes 2.5 GB with 4 images
# in it, and 3.9 GB with 8
BATCH_SIZE = 4
# The library's default is as many bins as there are steps to tell apart, which leaves the full range alone to choose.
# A tensor takes time by the square of its bins.
ENTROPY_BINS = 512


class Reader:
    """Feeds one batch of images to a calibrator, as ONNX Runtime asks for it."""

    def __init__(self, images: np.ndarray) -> None:
        self._left = [images]

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The batch by the name of the model's input; None after it."""
        return {INPUT: self._left.pop()} if self._left else None


def ranges(
    model: Path,
    images: ImageSet,
    operators: Sequence[str],
    *,
    method: str = METHOD,
    percentile: float = PERCENTILE,
    batch_size: int = 0,
) -> TensorsData:
    """The range of each tensor before and after these operators.

    Args:
        model: an FP32 ONNX file, whose folder takes a second file meanwhile.
        images: all of them are run through the model.
        operators: their types.
        method: `minmax`, `entropy` or `percentile`.
        percentile: for the method of this name.
        batch_size: the only one that the model takes; 0 for any.

    """
    from onnxruntime.quantization import create_calibrator
    from onnxruntime.quantization.calibrate import CalibrationMethod

    kind, settings = {
        "minmax": (CalibrationMethod.MinMax, {}),
        "entropy": (CalibrationMethod.Entropy, {"num_bins": ENTROPY_BINS}),
        # Magnitudes, its default, are counted by sorting all of them: minutes in place of seconds
        "percentile": (CalibrationMethod.Percentile, {"percentile": percentile, "symmetric": False}),
    }[method]
    with redirect_stdout(io.StringIO()):  # remarks on its progress; errors are raised
        calibrator = create_calibrator(
            model,
            operators,
            augmented_model_path=str(model.with_stem("observed")),
            calibrate_method=kind,
            extra_options=settings,
        )
        for batch, _ in images.batches(batch_size or BATCH_SIZE):
            calibrator.collect_data(Reader(batch.numpy()))
        return calibrator.compute_data()
