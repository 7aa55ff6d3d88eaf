"""What a recipe may ask of OpenVINO, and what a search may try of it.

The words are those of OpenVINO and NNCF: precisions of `INFERENCE_PRECISION_HINT`, `QuantizationPreset`, and the
members of `RangeEstimatorParametersSet` in lower case.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from densebench.engines._streams import ABOUT
from densebench.techniques.base import Option, Options, Streams

CALIBRATION = 300  # images; NNCF's own default, beyond which ranges hardly move
MAX_DROP = 1.0
INT8 = {"precision": "int8"}


class OpenVinoOptions(Options):
    """What the graph computes in, and how INT8 comes by its ranges."""

    # INT8 exports, calibrates and quantizes; fp32 and bf16 are one file
    precision: Annotated[
        Literal["fp32", "bf16", "int8"], Option(("int8", "bf16", "fp32"), (5.0, 1.0, 1.0))
    ] = "fp32"
    # bf16 isn't worth a try: where the processor has it, it is what auto takes
    rest: Annotated[Literal["auto", "f32", "bf16"], Option(("auto", "f32"), needs=INT8)] = Field(
        "auto",
        description="INT8: what the other layers run in (attention, GELU, ...); auto: OpenVINO's choice, BF16 where "
        "the processor has it; f32: the same on every processor",
    )
    calibration: Annotated[int, Option((CALIBRATION, 1000), cost=(1.0, 3.0), needs=INT8)] = Field(
        CALIBRATION,
        gt=0,
        description="INT8: images that ranges are taken from; 300 is as many as are set aside for it, 300 at most",
    )
    preset: Annotated[Literal["performance", "mixed"], Option(("performance", "mixed"), needs=INT8)] = Field(
        "performance",
        description="INT8: mixed has asymmetric ranges, for activations other than ReLU",
    )
    ranges: Annotated[
        Literal[
            "auto",
            "minmax",
            "mean_minmax",
            "median_minmax",
            "mean_no_outliers_minmax",
            "mean_quantile",
            "histogram",
        ],
        Option(("minmax", "histogram", "auto", "mean_quantile"), cost=(1.0, 2.0, 1.0, 2.0), needs=INT8),
    ] = Field(
        "auto",
        description="INT8: what becomes an activation's range; auto: mean_minmax, and minmax where each channel has "
        "its own. mean_quantile and histogram cut outliers off: take preset=mixed with them, as a symmetric range "
        "knows only their upper end",
    )
    # full: DenseNet-121 takes more than seven times as long to build, as each layer has many after it
    bias_correction: Annotated[
        Literal["fast", "full"], Option(("fast", "full"), cost=(1.0, 10.0), needs=INT8)
    ] = Field("fast", description="INT8: full corrects each layer's bias after those before it")
    # An estimate, from NNCF's code: the check takes 2,000 inferences where a build has some 600, and if more than
    # max_drop is lost, 300 more for each group of quantizers, of which DenseNet-121 has about 120.
    accuracy_control: Annotated[bool, Option((False, True), cost=(1.0, 10.0), needs=INT8)] = Field(
        default=False,
        description="INT8: return layers to FP32 until accuracy on training images is within max_drop; for models "
        "that lose much, such as DenseNets, where all inputs of a concatenation share one range",
    )
    max_drop: float = Field(
        MAX_DROP, gt=0, lt=100, description="percentage points of top-1, for accuracy_control"
    )
    streams: Streams = Field(1, description=f"{ABOUT}; auto: as OpenVINO's throughput hint says")

    @field_validator("max_drop")
    @classmethod
    def _only_for_control(cls, value: float, info: ValidationInfo) -> float:
        if value != MAX_DROP and not info.data.get("accuracy_control"):
            raise PydanticCustomError("unused", "needs accuracy_control=true before it")
        return value
