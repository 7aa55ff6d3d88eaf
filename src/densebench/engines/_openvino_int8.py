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
from densebench.engines._openvino_telemetry import no_telemetry
from densebench.errors import Unavailable

if TYPE_CHECKING:
    import numpy as np
    from openvino import CompiledModel, Model

    from densebench.workloads.base import ImageSet, Splits

MOST = 300  # images; NNCF's own default, beyond which ranges hardly move
MOST_CHECKED = 1000


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


def pick(data: Splits, *, accuracy_control: bool) -> Images:
    """The images to quantize with; for accuracy control, every second training image is kept for the check.

    Raises:
        Unavailable: NNCF isn't installed, or the data has no images to calibrate on.
        UsageError: it has too few.

    """
    if find_spec("nncf") is None:
        raise Unavailable("INT8 needs NNCF: pip install 'densebench[openvino]'")
    source = calibration_images(data, parts=2 if accuracy_control else 1)
    everything = range(len(source))
    if not accuracy_control:
        return Images(source, everything[:MOST])
    return Images(source, everything[::2][:MOST], everything[1::2][:MOST_CHECKED])


def quantize(model: Model, images: Images, max_drop_pp: float) -> Model:
    """The model with quantizers in it; layers go back to FP32 where accuracy control finds them to cost too much.

    Args:
        model: FP32, with one input.
        images: with `checked` ones, accuracy control is on.
        max_drop_pp: percentage points of top-1 accuracy on the checked images that may be lost.

    """
    with no_telemetry(), redirect_stdout(io.StringIO()):  # progress bars and remarks; errors are raised
        import nncf

        nncf.disable_logging()
        calibration = nncf.Dataset(images.calibration, images.read)
        if not images.checked:
            return nncf.quantize(
                model,
                calibration,
                preset=nncf.QuantizationPreset.PERFORMANCE,
                subset_size=len(images.calibration),
            )
        return nncf.quantize_with_accuracy_control(
            model,
            calibration,
            nncf.Dataset(images.checked, images.read),
            images.accuracy,
            max_drop=max_drop_pp / 100,
            drop_type=nncf.DropType.ABSOLUTE,
            preset=nncf.QuantizationPreset.PERFORMANCE,
            subset_size=len(images.calibration),
        )
