"""What recipes may set of the ONNX Runtime engine, and what a search may try of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from densebench.engines._onnx_deploy import ARENA, GRAPH
from densebench.engines._onnx_ranges import METHOD, MOST, PERCENTILE
from densebench.engines._streams import ABOUT
from densebench.techniques.base import Option, Options, Streams

INT8 = {"precision": "int8"}


class OnnxOptions(Options):
    """What the graph computes in, whose kernels run it, how it is loaded, and where INT8 takes its ranges from."""

    precision: Annotated[Literal["fp32", "int8"], Option(("int8", "fp32"), (2.6, 1.0))] = "fp32"
    provider: Literal["auto", "tensorrt"] = Field(
        "auto", description="auto: the CPU's or CUDA's kernels, as --device says"
    )
    graph: Annotated[
        Literal["all", "extended", "basic", "off"], Option(("all", "extended", "basic", "off"))
    ] = Field(
        GRAPH, description="how far the graph is optimized when it is loaded; INT8 needs all or extended"
    )
    arena: Annotated[bool, Option((True, False))] = Field(
        default=ARENA, description="the CPU's memory arena, which keeps memory that tensors are done with"
    )
    calibration: Annotated[int, Option((MOST, 64), (1.0, 0.6), INT8)] = Field(
        MOST,
        ge=1,
        description=f"INT8: images that ranges are taken from; {MOST} may be fewer where the data has fewer",
    )
    method: Annotated[
        Literal["minmax", "entropy", "percentile"],
        Option(("minmax", "percentile", "entropy"), (1.0, 2.0, 3.0), INT8),
    ] = Field(
        METHOD,
        description="INT8: ranges hold all values seen, or cut rare ones off, by their share or by what is lost",
    )
    percentile: Annotated[
        float, Option((PERCENTILE, 99.9, 99.999), needs={**INT8, "method": "percentile"})
    ] = Field(
        PERCENTILE,
        ge=50,
        lt=100,
        description="percent of a tensor's values inside its range, the others as many at both ends",
    )
    streams: Streams = Field(1, description=f"{ABOUT}; auto: one for each thread")
