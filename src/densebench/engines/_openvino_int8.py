"""Post-training quantization with NNCF: FakeQuantize nodes around what is to run in INT8, ranges from real images.

Source: Kozlov et al., "Neural Network Compression Framework for fast model inference", 2020; the bias correction
is that of Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from densebench.engines._calibration import calibration_images
from densebench.engines._openvino_options import CALIBRATION, OpenVinoOptions
from densebench.engines._openvino_telemetry import no_telemetry
from densebench.errors import Unavailable

if TYPE_CHECKING:
    import numpy as np
    from nncf import AdvancedQuantizationParameters
    from openvino import CompiledModel, Model

    from densebench.workloads.base import ImageSet, Splits

MOST_CHECKED = 1000  # images


@dataclass(frozen=True)
class Images:
    """What quantization sees. It is never the validation split: the accuracy reported is measured on that.

    Args:
        source: the labelled images.
        calibration: positions in `source` that ranges are taken from.
        checked: positions in `source` that accuracy control compares accuracies on, none of them in `calibration`.

    """

    source: ImageSet
    calibration: Sequence[int]
    checked: Sequence[int] = ()

    def read(self, position: int) -> np.ndarray:
        """One image as float32 (1, c, h, w)."""
        return self.source.read([position]).numpy()

    def accuracy(self, compiled: CompiledModel, positions: Iterable[int]) -> tuple[float, list[float]]:
        """The share of these images whose class the model finds, and 1 or 0 for each."""
        right = [
            float(
                compiled(self.read(p))[0].argmax() == self.source.labels[p]
            )  # NNCF compiled it for FP32 ranges
            for p in positions
        ]
        return sum(right) / max(len(right), 1), right


def pick(data: Splits, asked: OpenVinoOptions) -> Images:
    """The images to quantize with; for accuracy control, every second training image is kept for the check.

    Raises:
        Unavailable: NNCF isn't installed, or the data has no images to calibrate on.
        UsageError: it has too few, or fewer than were asked for.

    """
    if find_spec("nncf") is None:
        raise Unavailable("INT8 needs NNCF: pip install 'densebench[openvino]'")
    parts = 2 if asked.accuracy_control else 1
    wanted = 0 if asked.calibration == CALIBRATION else asked.calibration
    source = calibration_images(data, parts=parts, wanted=wanted)
    everything = range(len(source))
    checked = everything[1::2][:MOST_CHECKED] if asked.accuracy_control else ()
    return Images(source, everything[::parts][: asked.calibration], checked)


def quantize(model: Model, images: Images, asked: OpenVinoOptions) -> Model:
    """The model with quantizers in it; layers go back to FP32 where accuracy control finds them to cost too much.

    Args:
        model: FP32, with one input.
        images: with `checked` ones, accuracy control is on.
        asked: how ranges are found, and what accuracy control may lose on the checked images.

    """
    with no_telemetry(), redirect_stdout(io.StringIO()):  # progress bars and remarks; errors are raised
        import nncf

        nncf.disable_logging()
        calibration = nncf.Dataset(images.calibration, images.read)
        common = {
            "preset": nncf.QuantizationPreset(asked.preset),
            "subset_size": len(images.calibration),
            "fast_bias_correction": asked.bias_correction == "fast",
        }
        advanced = _advanced(asked.ranges)
        if not images.checked:
            return nncf.quantize(model, calibration, advanced_parameters=advanced, **common)
        return nncf.quantize_with_accuracy_control(
            model,
            calibration,
            nncf.Dataset(images.checked, images.read),
            images.accuracy,
            max_drop=asked.max_drop / 100,
            drop_type=nncf.DropType.ABSOLUTE,
            advanced_quantization_parameters=advanced,
            **common,
        )


def _advanced(ranges: str) -> AdvancedQuantizationParameters | None:
    """How NNCF is to estimate the ranges of activations; None for its own way."""
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    if ranges == "auto":
        return None
    estimator = getattr(RangeEstimatorParametersSet, ranges.upper())
    return nncf.AdvancedQuantizationParameters(activations_range_estimator_params=estimator)
