"""The report in TensorBoard: its charts as images, its sentences as text, in a run of their own.

The figures themselves are there from the sweep on (`sinks/tensorboard.py`); these follow from all of its rows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.image import metadata
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.util.tensor_util import make_tensor_proto

from densebench.report.analysis import PERFORMANCE, TRADE_OFFS
from densebench.report.facts import setting, sweep_of, title
from densebench.report.html.chart import Chart, View
from densebench.report.html.sections import sections
from densebench.report.html.style import series_of
from densebench.report.markdown import bullets, limits, recommendation
from densebench.report.picture import picture
from densebench.report.reliability import missing
from densebench.report.sweep import Sweep
from densebench.report.tables import escape
from densebench.results.journal import Header
from densebench.results.record import Record, Row
from densebench.sinks.event_file import EventFile, event_files

RUN = "report"  # TensorBoard's name for it


def write_board(
    log_dir: Path, header: Header, rows: Sequence[Row], confirmation: Sequence[Record] = ()
) -> None:
    """Write the run `report` into a log folder, in place of what an earlier call wrote there.

    Args:
        log_dir: the sweep's log folder, with its profiler traces.
        header: the sweep.
        rows: its rows, failed and skipped ones too.
        confirmation: the records of the rounds that confirm the choice.

    Raises:
        OSError: the folder can't be written.

    """
    folder = log_dir / RUN
    for old in event_files(folder, RUN):
        old.unlink()
    sweep = sweep_of(header, rows, confirmation)
    now = time.time()
    with EventFile(folder, RUN) as file:
        for name, text in _texts(header, sweep).items():
            file.add(now, 0, text_pb(f"analysis/{name}", for_tensorboard(text)))
        for section in sections(sweep, series_of(rows), sweep.chosen, [log_dir]):
            for chart in section.charts:
                for tag, step, view in _placed(chart):
                    file.add(now, step, _image(f"{section.name}/{tag}", chart, view))


def for_tensorboard(markdown: str) -> str:
    """Our escaped Markdown for TensorBoard's parser, which doesn't know these two signs as special."""
    return markdown.replace("\\~", "~").replace("\\$", "$")


def _texts(header: Header, sweep: Sweep) -> dict[str, str]:
    """The sentences of `REPORT.md`, part by part."""
    about = f"{escape(title(sweep.rows))}\n\n{escape(setting(header, sweep.rows))}"
    return {
        "1 recommendation": f"{recommendation(sweep)}\n\n{about}",
        "2 performance": bullets(sweep, PERFORMANCE),
        "3 trade-offs": bullets(sweep, TRADE_OFFS),
        "4 failed and skipped": bullets(sweep, (missing,), "Every row ran."),
        "5 limits": limits(header, sweep),
    }


def _placed(chart: Chart) -> Iterator[tuple[str, int, View]]:
    """Tag, step and view. Of views of single batch sizes the first and the last are the steps of one image."""
    single = {view.batch_size: view for view in chart.views if view.batch_size is not None}
    others = [view for view in chart.views if view.batch_size is None]
    for step, view in enumerate(others):
        yield chart.name, step, view
    for size in sorted({*[*single][:1], *[*single][-1:]}):
        yield f"{chart.name} by batch size", size, single[size]


def _image(tag: str, chart: Chart, view: View) -> Summary:
    drawn = picture(chart, view)
    sizes = [str(pixels).encode() for pixels in (drawn.width, drawn.height)]
    about = metadata.create_summary_metadata(display_name=chart.title, description=escape(chart.caption))
    tensor = make_tensor_proto([*sizes, drawn.png], dtype=np.object_)
    return Summary(value=[Summary.Value(tag=tag, metadata=about, tensor=tensor)])
