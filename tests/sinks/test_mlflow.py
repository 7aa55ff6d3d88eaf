"""Rows in MLflow, read back through its own client from a local folder."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from densebench.errors import InputError, UsageError
from densebench.results.observation import Status
from densebench.results.record import Row
from densebench.sinks import mlflow as sink_module
from densebench.sinks.mlflow import DATABASE, EXPERIMENT, METRICS, MODEL, MlflowSink, check_mlflow
from tests.factory import broken, rows_of

needs_mlflow = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("mlflow", "sqlalchemy", "alembic")),
    reason="the extra mlflow is not installed",
)
RECIPE = "A+b:c=1 <script>"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, which take seconds to make."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / DATABASE
    MlflowClient(tracking_uri=f"sqlite:///{path}").get_experiment_by_name(EXPERIMENT)
    return path


@pytest.fixture
def folder(empty: Path, tmp_path: Path) -> Path:
    """A folder that an earlier sweep without rows could have left, named as people name folders."""
    path = tmp_path / "ml runs é"
    path.mkdir()
    shutil.copyfile(empty, path / DATABASE)
    return path


def made(output: Path, **facts: Any) -> list[Row]:
    """Two recipes at two batch sizes with an artifact each, and one row that failed."""
    names = {"baseline": "models/baseline", RECIPE: "models/a_b_c_1"}
    for name in names.values():
        (output / name).mkdir(parents=True, exist_ok=True)
        (output / name / "manifest.json").write_text("{}")
    rows = rows_of(
        {"baseline": {1: 20, 8: 30}, RECIPE: {1: 40, 8: 60}},
        artifact=names,
        stable=dict.fromkeys(names, True),
        **facts,
    )
    return [*rows, *broken("broken", [1], Status.FAILED, "boom\nand more")]


def write(uri: str, output: Path, rows: list[Row]) -> MlflowSink:
    """All rows through one sink."""
    sink = MlflowSink(uri, output)
    assert "rows are in MLflow" in sink.log(rows)
    assert not sink.problem
    return sink


def client_of(folder: Path) -> Any:
    """MLflow's own client on the database in a folder."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{folder / DATABASE}")


def runs(folder: Path) -> dict[tuple[str, int], Any]:
    """The experiment's runs by recipe and batch size; none twice."""
    client = client_of(folder)
    found = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    by_key = {(one.data.params["recipe"], int(one.data.params["batch_size"])): one for one in found}
    assert len(by_key) == len(found)
    return by_key


@needs_mlflow
def test_rows_are_runs(tmp_path: Path, folder: Path) -> None:
    """Each row is a run with its parameters, every numeric column as a metric, and its end."""
    rows = made(tmp_path, accuracy_top1={"baseline": 99.0, RECIPE: 98.5})
    write(str(folder), tmp_path, rows)
    found = runs(folder)
    assert set(found) == {row.key for row in rows}
    for row in rows:
        expected = {
            name: value
            for name in METRICS
            if isinstance(value := getattr(row, name), int | float) and not isinstance(value, bool)
        }
        assert found[row.key].data.metrics == pytest.approx(expected)
    one = found[RECIPE, 8]
    assert one.data.metrics["throughput_samples_per_s"] == pytest.approx(60)
    said = {
        "recipe": RECIPE,
        "batch_size": "8",
        "threads": "2",
        "weights": "digits",
        "environment_id": "0badcafe",
    }
    assert said.items() <= one.data.params.items()
    assert one.info.run_name == f"{RECIPE}, batch 8"
    assert (one.info.status, one.data.tags["stable"]) == ("FINISHED", "true")
    bad = found["broken", 1]
    assert (bad.info.status, bad.data.tags["status"], bad.data.tags["reason"]) == (
        "FAILED",
        "failed",
        "boom and more",
    )


@needs_mlflow
def test_an_artifact_is_copied_once(tmp_path: Path, folder: Path) -> None:
    """The first good run of a recipe holds its model, the others name that run."""
    write(str(folder), tmp_path, made(tmp_path))
    found, client = runs(folder), client_of(folder)
    first, second = found[RECIPE, 1], found[RECIPE, 8]
    (held,) = client.list_artifacts(first.info.run_id, MODEL)
    assert held.path == f"{MODEL}/manifest.json"
    assert client.list_artifacts(second.info.run_id) == []
    assert second.data.tags["model_run"] == first.info.run_id
    assert Path(second.data.tags["artifact"]) == tmp_path / "models" / "a_b_c_1"
    assert found["baseline", 1].info.run_id != second.data.tags["model_run"]


@needs_mlflow
def test_a_large_artifact_is_named_only(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too large to copy, or leads out of the results, is not copied."""
    monkeypatch.setattr(sink_module, "MOST_BYTES", 1)
    (row, *_) = made(tmp_path / "out")
    outside = row.model_copy(update={"artifact": "../", "batch_size": 8})
    write(str(folder), tmp_path / "out", [row, outside])
    found = runs(folder)
    for one in found.values():
        assert client_of(folder).list_artifacts(one.info.run_id) == []
    assert "artifact" in found["baseline", 1].data.tags
    assert "artifact" not in found["baseline", 8].data.tags


@needs_mlflow
def test_a_resume_doubles_nothing(tmp_path: Path, folder: Path) -> None:
    """Rows that come again are found; figures that changed since are the new ones; models stay where they are."""
    rows = made(tmp_path)
    write(str(folder), tmp_path, rows[:3])
    before = runs(folder)
    faster = [row.model_copy(update={"speedup": 9.0}) if row.key == (RECIPE, 1) else row for row in rows]
    write(str(folder), tmp_path, faster)
    after = runs(folder)
    assert set(after) == {row.key for row in rows}
    assert {one.info.run_id for one in before.values()} <= {one.info.run_id for one in after.values()}
    assert after[RECIPE, 1].data.metrics["speedup"] == 9.0
    assert after[RECIPE, 8].data.tags["model_run"] == before[RECIPE, 1].info.run_id


@needs_mlflow
def test_the_answer_is_in_the_tags_of_the_run(tmp_path: Path, folder: Path) -> None:
    """Long texts are cut, and what a later report says of a row takes the place of what an earlier one said."""
    (row, *_) = made(tmp_path)
    for answer in ("Keep the baseline", "Deploy another " * 100):
        MlflowSink(str(folder), tmp_path).log([row], {row.key: {"recommended": "true", "answer": answer}})
        tags = runs(folder)[row.key].data.tags
        assert tags["recommended"] == "true"
        assert tags["answer"][:15] == answer[:15]


@needs_mlflow
def test_a_row_measured_again_replaces_the_first(tmp_path: Path, folder: Path) -> None:
    """Two rows of one cell in one sweep are one run with the second's figures, which a resume finds again."""
    (first, *_) = made(tmp_path)
    again = {"started_at": "2026-02-02T00:00:00+00:00", "threads": 7, "latency_mean_ms": 3.5}
    second = first.model_copy(update=again)
    write(str(folder), tmp_path, [first, second])
    write(str(folder), tmp_path, [second])
    assert runs(folder)[first.key].data.metrics["latency_mean_ms"] == 3.5


@needs_mlflow
def test_another_sweep_is_kept_beside(tmp_path: Path, folder: Path) -> None:
    """The same cell measured at another time is a run of its own: MLflow keeps the history."""
    (row, *_) = made(tmp_path)
    write(str(folder), tmp_path, [row])
    write(str(folder), tmp_path, [row.model_copy(update={"started_at": "2026-02-02T00:00:00+00:00"})])
    client = client_of(folder)
    assert len(client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])) == 2


@needs_mlflow
def test_a_store_that_fails_under_way_stops_no_sweep(tmp_path: Path, folder: Path) -> None:
    """The row is lost to MLflow alone, nothing more is tried, and it says how to get the rest."""
    rows = made(tmp_path)
    sink = MlflowSink(str(folder), tmp_path)
    sink.row(rows[0])
    for part in (folder).glob(f"{DATABASE}*"):
        part.write_bytes(b"no database any more" * 1000)
    for row in rows[1:]:
        sink.row(row)
    assert "--resume" in sink.problem
    assert "batch 8" in sink.problem
    assert "\n" not in sink.problem


@needs_mlflow
@pytest.mark.parametrize("uri", ["foo://bar", "s3:bucket"])
def test_unknown_addresses_are_refused(tmp_path: Path, uri: str) -> None:
    """An address that MLflow does not know is one line that says what is possible."""
    with pytest.raises(UsageError, match="a folder, or an address") as caught:
        check_mlflow(uri)
    assert "\n" not in str(caught.value)


@needs_mlflow
def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """What can't be opened is named."""
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(InputError, match="file can't be used"):
        MlflowSink(str(path), tmp_path)


@needs_mlflow
@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9", "mssql://user@127.0.0.1:9/store", "sqlite:////proc/x/y"]
)
def test_a_store_that_can_not_be_opened_is_refused(tmp_path: Path, uri: str) -> None:
    """Nobody answers, a driver is missing, no file can be there: one line, within seconds."""
    started = time.monotonic()
    with pytest.raises(InputError, match="can't be used") as caught:
        MlflowSink(uri, tmp_path)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 60


@needs_mlflow
@pytest.mark.parametrize("prefix", ["file://", "file:", ""])
def test_a_folder_may_be_an_address(tmp_path: Path, folder: Path, prefix: str) -> None:
    """A file address is the folder that it names; the artifacts lie beside the database."""
    MlflowSink(f"{prefix}{folder}", tmp_path)
    location = client_of(folder).get_experiment_by_name(EXPERIMENT).artifact_location
    assert location == (folder / "artifacts").as_uri()


@needs_mlflow
def test_a_new_folder_is_made(tmp_path: Path) -> None:
    """A folder that is not there yet becomes one with a database."""
    MlflowSink(str(tmp_path / "new" / "ml"), tmp_path)
    assert client_of(tmp_path / "new" / "ml").get_experiment_by_name(EXPERIMENT)


def test_without_mlflow_it_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line names the extra."""
    monkeypatch.setattr(sink_module, "find_spec", lambda name: None)
    folder = tmp_path / "ml"
    for refused in (lambda: check_mlflow(str(folder)), lambda: MlflowSink(str(folder), tmp_path)):
        with pytest.raises(UsageError, match=r"install densebench\[mlflow\]") as caught:
            refused()
        assert "\n" not in str(caught.value)
    assert not folder.exists()


def test_checking_loads_nothing() -> None:
    """The check costs no import of MLflow."""
    code = (
        "import sys; from densebench.sinks.mlflow import check_mlflow as c\n"
        "try: c('x')\nexcept Exception: pass\nassert 'mlflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
