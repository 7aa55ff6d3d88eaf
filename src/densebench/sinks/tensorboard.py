"""TensorBoard: one run per recipe, its figures over the batch size, and one hparams session per cell.

A layout for the page of custom scalars puts the recipes side by side, figure by figure.

Events are written with TensorBoard's own record format and messages, without torch, so that the parent
process stays light, and without a writer thread, so that nothing wakes up while a child measures. All of it
can be made again from the journal: a new sink removes what an earlier one wrote, and a resume replays its
rows.
"""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

from densebench.results.columns import COLUMNS, Column
from densebench.results.observation import Status
from densebench.results.record import Row
from densebench.sinks.custom_scalars import layout
from densebench.sinks.event_file import EventFile, event_files
from densebench.text import folder_name

MEASURED = tuple(column for column in COLUMNS if column.better and column.decimals is not None)

_GROUPS = {  # first word of a column's name -> its group, where that is another word
    "speedup": "throughput",
    "host": "memory",
    "vram": "memory",
    "model": "size",
    "macs": "size",
    "top1": "fidelity",
    "output": "fidelity",
    "build": "startup",
    "load": "startup",
    "first": "startup",
    "cold": "startup",
}
_HPARAMS = ("recipe", "steps", "batch_size", "model", "device", "threads", "image_size", "weights", "data")
_STATUS = {Status.OK: api_pb2.STATUS_SUCCESS, Status.SKIPPED: api_pb2.STATUS_UNKNOWN}


def tag_of(column: Column) -> str:
    """`latency_mean_ms` -> `latency/mean_ms`, `host_memory_peak_mb` -> `memory/host_peak_mb`."""
    first = column.name.partition("_")[0]
    group = _GROUPS.get(first, first)
    rest = "_".join(word for word in column.name.split("_") if word != group)
    return f"{group}/{rest or column.name}"


class TensorBoardSink:
    """Rows as scalars and hparams under `log_dir`.

    Every row of the run has to come by, those that a resume took from the journal too: what an earlier sink
    left in `log_dir` is removed first, so that no scalar stands twice. Other files there are not touched.
    """

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._rows: dict[str, dict[int, Row]] = {}
        self._files: dict[str, EventFile] = {}
        self._layout: EventFile | None = None
        self._figures: set[str] = set()
        log_dir.mkdir(parents=True, exist_ok=True)
        # no deeper: an older run may lie set aside somewhere below
        for folder in [log_dir, *log_dir.glob("*"), *log_dir.glob("*/bs*")]:
            for old in event_files(folder):
                old.unlink()
                _remove_if_empty(folder, log_dir)
        with EventFile(log_dir) as file:
            file.add(time.time(), 0, _experiment())

    def row(self, row: Row) -> None:
        """Add one row; a second one of the same cell replaces the first."""
        name = folder_name(row.recipe)
        rows = self._rows.setdefault(name, {})
        again = row.batch_size in rows
        rows[row.batch_size] = row
        if again:
            self._files.pop(name).remove()
        if name not in self._files:
            self._files[name] = EventFile(self._log_dir / name)
        for one in rows.values() if again else (row,):
            self._files[name].add(_time(one), one.batch_size, _scalars(one))
        self._files[name].flush()
        self._session(row, self._log_dir / name / f"bs{row.batch_size}")
        self._lay_out(row)

    def close(self) -> None:
        """Close all files; a second call does nothing."""
        for file in self._files.values():
            file.close()

    def _session(self, row: Row, folder: Path) -> None:
        for old in event_files(folder):
            old.unlink()
        with EventFile(folder) as file:
            file.add(_time(row), row.batch_size, _session_start(row))
            file.add(_time(row), row.batch_size, _scalars(row, "hparams/"))
            file.add(_time(row), row.batch_size, _session_end(row))

    def _lay_out(self, row: Row) -> None:
        """A chart for each figure that any row has: one that none has would stay empty."""
        known = self._figures | {one.name for one in MEASURED if getattr(row, one.name) is not None}
        if known == self._figures:
            return
        self._figures = known
        if self._layout is not None:
            self._layout.remove()
        self._layout = EventFile(self._log_dir)
        self._layout.add(
            time.time(), 0, layout({tag_of(one): _title(one) for one in MEASURED if one.name in known})
        )
        self._layout.close()


def _scalars(row: Row, prefix: str = "") -> Summary:
    values = []
    for column in MEASURED:
        figure = getattr(row, column.name)
        if figure is not None:
            values.append(Summary.Value(tag=prefix + tag_of(column), simple_value=float(figure)))
    return Summary(value=values)


def _title(column: Column) -> str:
    return f"{column.about} ({column.unit})" if column.unit else column.about


def _experiment() -> Summary:
    """The columns of the hparams page: what was asked for, and what came out."""
    numeric = {"batch_size", "threads", "image_size"}
    hparams = [
        api_pb2.HParamInfo(
            name=name, type=api_pb2.DATA_TYPE_FLOAT64 if name in numeric else api_pb2.DATA_TYPE_STRING
        )
        for name in _HPARAMS
    ]
    metrics = [
        api_pb2.MetricInfo(
            name=api_pb2.MetricName(tag=f"hparams/{tag_of(column)}"),
            display_name=f"{column.name} ({column.unit})" if column.unit else column.name,
            description=column.about,
        )
        for column in MEASURED
    ]
    content = plugin_data_pb2.HParamsPluginData(
        experiment=api_pb2.Experiment(name="densebench", hparam_infos=hparams, metric_infos=metrics)
    )
    return _metadata(metadata.EXPERIMENT_TAG, content)


def _session_start(row: Row) -> Summary:
    start = plugin_data_pb2.SessionStartInfo(start_time_secs=_time(row))
    for name in _HPARAMS:
        value = getattr(row, name)
        if isinstance(value, str):
            start.hparams[name].string_value = value
        else:
            start.hparams[name].number_value = value
    return _metadata(
        metadata.SESSION_START_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_start_info=start)
    )


def _session_end(row: Row) -> Summary:
    status = _STATUS.get(row.status, api_pb2.STATUS_FAILURE)
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=_time(row))
    return _metadata(metadata.SESSION_END_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_end_info=end))


def _metadata(tag: str, content: plugin_data_pb2.HParamsPluginData) -> Summary:
    value = Summary.Value(
        tag=tag, metadata=metadata.create_summary_metadata(content), tensor=metadata.NULL_TENSOR
    )
    return Summary(value=[value])


def _time(row: Row) -> float:
    """When the row was measured, so that a replayed row keeps its place; now, if the text is no time."""
    try:
        return datetime.fromisoformat(row.started_at).timestamp()
    except (ValueError, OverflowError):
        return time.time()


def _remove_if_empty(folder: Path, root: Path) -> None:
    while folder != root and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
