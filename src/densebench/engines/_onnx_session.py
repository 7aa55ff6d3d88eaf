"""How an ONNX Runtime session is set up here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from densebench.engines import _streams
from densebench.engines._onnx_deploy import loading
from densebench.engines.base import Details

if TYPE_CHECKING:
    from onnxruntime import SessionOptions

ERRORS = 3  # ONNX Runtime's severity: warnings of fallbacks are told by `effect`


def session_options(details: Details) -> SessionOptions:
    """On PyTorch's number of threads, shared by the streams, with what the recipe says of graph and memory.

    Of one stream `session.intra_op.allow_spinning` stays on, as a deployer finds it: threads wait actively between
    the operators of one inference, and for a moment after it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    streams = _streams.of_details(details, all_threads())
    options.intra_op_num_threads = max(1, all_threads() // streams)
    if streams > 1:  # a stream that waits actively takes the others' CPUs
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = ERRORS
    level, options.enable_cpu_mem_arena = loading(details)
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    return options


def all_threads() -> int:
    """Of all streams together: PyTorch's number."""
    import torch

    return torch.get_num_threads()
