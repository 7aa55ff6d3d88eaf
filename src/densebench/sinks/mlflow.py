"""MLflow: one of its runs per row, with what was asked for as parameters and every figure as a metric.

It needs the extra `mlflow`. A folder gets a SQLite file, MLflow's own choice for local use, and the artifacts
beside it: plain files of runs are refused by MLflow 3 (https://mlflow.org/docs/latest/self-hosting/).
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from densebench.errors import InputError, UsageError
from densebench.results.columns import COLUMNS
from densebench.results.observation import Status
from densebench.results.record import Row
from densebench.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlflow import MlflowClient

EXPERIMENT = "densebench"
DATABASE = "mlflow.db"
MODEL = "model"  # the artifact's folder in a run
MOST_BYTES = 200_000_000  # of an artifact that is copied; a larger one is named by its path
PARAMETERS = (
    "model",
    "recipe",
    "steps",
    "batch_size",
    "device",
    "weights",
    "data",
    "image_size",
    "threads",
    "seed",
    "environment_id",
)
METRICS = tuple(column.name for column in COLUMNS if column.name not in PARAMETERS)
CELL, CONTENT = "densebench.cell", "densebench.content"  # tags: which measurement it is, and what was logged

_NEEDED = ("mlflow", "sqlalchemy", "alembic")
_REMOTE = {"http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks"}
_ENDS = {Status.FAILED: "FAILED", Status.TIMED_OUT: "KILLED"}
_LONGEST = 500  # characters of a tag
NOTHING: Mapping[str, str] = {}


def check_mlflow(uri: str) -> None:
    """Refuse what can't be logged to, before anything is done.

    Raises:
        UsageError: MLflow is missing, or the address is of a kind that it doesn't know.

    """
    if any(find_spec(name) is None for name in _NEEDED):
        raise UsageError("--mlflow needs MLflow: install densebench[mlflow], or leave the flag out")
    _folder(uri)


class MlflowSink:
    """Rows as runs of the experiment `densebench`.

    A row that comes again, as a resume lets it, finds its run by its cell and its time and is logged once.
    A recipe's artifact is copied into the run of its first good row; the runs of the others name that run.

    Args:
        uri: a folder, or a tracking address that MLflow knows.
        output_dir: the results folder, which holds the artifacts.

    Raises:
        UsageError: as `check_mlflow`, or the store can't be opened.

    """

    def __init__(self, uri: str, output_dir: Path) -> None:
        check_mlflow(uri)
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it reports each import to its makers
        os.environ.setdefault(
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2"
        )  # seconds, not minutes, where nobody answers
        from mlflow import MlflowClient

        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # how it makes its tables
        self.problem = ""  # why rows are missing, for a note at the end
        self._output_dir = output_dir.resolve()
        self._runs: dict[tuple[str, int], str] = {}
        self._models: dict[str, str] = {}  # artifact -> the run that holds it
        folder = _folder(uri)
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
            address = uri if folder is None else f"sqlite:///{folder / DATABASE}"
            self._client = MlflowClient(tracking_uri=address, registry_uri=address)
            self._experiment = _experiment(self._client, folder)
        except Exception as error:  # noqa: BLE001 - of MLflow, SQLAlchemy, a driver, the network
            raise InputError(
                f"--mlflow {uri} can't be used ({one_line(str(error), 200)}): name another"
            ) from None

    def log(
        self, rows: Sequence[Row], tags: Mapping[tuple[str, int], Mapping[str, str]] | None = None
    ) -> str:
        """Log all rows, with what the decision says of each; why some are missing, or how many there are."""
        for row in rows:
            self.row(row, (tags or {}).get(row.key, {}))
        return self.problem or f"{len(rows)} rows are in MLflow"

    def row(self, row: Row, said: Mapping[str, str] = NOTHING) -> None:
        """Log one row; a second one of the same cell updates the first. After a failure nothing is tried."""
        if self.problem:
            return
        try:
            self._log(row, said)
        except Exception as error:  # noqa: BLE001 - whatever a store raises, the rows are measured
            self.problem = (
                f"MLflow took no rows from {row.recipe}, batch {row.batch_size} on "
                f"({one_line(str(error), 200)}): --resume logs the missing ones"
            )

    def _log(self, row: Row, said: Mapping[str, str]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        cell, content = _cell(row, self._output_dir), _digest(row.model_dump_json() + repr(said))
        run = self._runs.get(row.key) or self._found(cell) or self._created(row, cell)
        self._runs[row.key] = run
        told = self._client.get_run(run).data
        known = told.tags
        if known.get(CONTENT) == content:
            self._remember(row, known)
            return
        model = self._model(row, run, known)
        now = max(int(time.time() * 1000), _start(row))
        metrics = [Metric(name, value, now, 0) for name, value in _metrics(row).items()]
        answer = {name: one_line(text, _LONGEST) for name, text in said.items()}
        tags = _tags(row) | answer | model | {CELL: cell, CONTENT: content}
        parameters = {} if told.params else {name: str(getattr(row, name)) for name in PARAMETERS}
        self._client.log_batch(
            run,
            metrics=metrics,
            params=[Param(name, text[:_LONGEST]) for name, text in parameters.items()],
            tags=[RunTag(name, text) for name, text in tags.items()],
        )
        self._client.set_terminated(run, _ENDS.get(row.status, "FINISHED"))

    def _found(self, cell: str) -> str | None:
        found = self._client.search_runs([self._experiment], f"tags.`{CELL}` = '{cell}'", max_results=1)
        return found[0].info.run_id if found else None

    def _created(self, row: Row, cell: str) -> str:
        run = self._client.create_run(
            self._experiment,
            start_time=_start(row),
            tags={CELL: cell},
            run_name=one_line(f"{row.recipe}, batch {row.batch_size}", _LONGEST),
        )
        return str(run.info.run_id)

    def _model(self, row: Row, run: str, known: dict[str, str]) -> dict[str, str]:
        """Copy the row's artifact unless a run has it, and say in tags where it is."""
        folder = (self._output_dir / row.artifact).resolve()
        if row.status is not Status.OK or not row.artifact or not folder.is_relative_to(self._output_dir):
            return {}
        where = {"artifact": str(folder)}
        self._remember(row, known)
        if row.artifact not in self._models and folder.is_dir():
            if sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) > MOST_BYTES:
                return where
            self._client.log_artifacts(run, str(folder), MODEL)
            self._models[row.artifact] = run
        held = self._models.get(row.artifact)
        return where | ({"model_run": held} if held else {})

    def _remember(self, row: Row, known: dict[str, str]) -> None:
        """What an earlier sink copied need not be copied again."""
        if "model_run" in known:
            self._models.setdefault(row.artifact, known["model_run"])


def _folder(uri: str) -> Path | None:
    """The folder that the address names; None if it is one for MLflow itself."""
    scheme = re.match(r"([a-z][a-z0-9+-]+):", uri, re.IGNORECASE)
    kind = scheme[1].lower().partition("+")[0] if scheme else "file"
    if kind in _REMOTE:
        return None
    if kind != "file" or not uri:
        raise UsageError(
            f"--mlflow: a folder, or an address of MLflow such as http://host:5000 (got '{uri}')"
        )
    return Path(unquote(urlsplit(uri).path) if scheme else uri).resolve()


def _experiment(client: MlflowClient, folder: Path | None) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    where = None if folder is None else (folder / "artifacts").as_uri()
    return str(client.create_experiment(EXPERIMENT, artifact_location=where))


def _cell(row: Row, output_dir: Path) -> str:
    """One measurement of one cell: the same when a resume takes it from the journal, another when run again."""
    facts = (str(output_dir), row.recipe, row.batch_size, row.environment_id, row.started_at)
    return _digest(repr(facts))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _metrics(row: Row) -> dict[str, float]:
    figures = {name: getattr(row, name) for name in METRICS}
    return {
        name: float(value)
        for name, value in figures.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _tags(row: Row) -> dict[str, str]:
    """The columns in words: status, reason, verdict, effect and so on."""
    words = {name: getattr(row, name) for name in METRICS if name != "artifact"}
    words |= {"reason": row.reasons, "effect": row.effect_text}
    return {
        name: one_line(str(value).lower() if isinstance(value, bool) else value, _LONGEST)
        for name, value in words.items()
        if isinstance(value, bool) or (isinstance(value, str) and value)
    }


def _start(row: Row) -> int:
    """When the row's measurement began, in ms; now if the text is no time."""
    try:
        return int(datetime.fromisoformat(row.started_at).timestamp() * 1000)
    except (ValueError, OverflowError):
        return int(time.time() * 1000)
