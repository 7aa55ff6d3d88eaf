"""A sweep that logs to MLflow, from the command line."""

from __future__ import annotations

import importlib.util

import pytest

from tests.e2e.program import SMALL, Program, journal_rows, write_suite
from tests.e2e.test_bad_input import CPU, in_process, refused

__all__ = ["in_process"]  # a fixture
pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("mlflow", "sqlalchemy", "alembic")),
    reason="the extra mlflow is not installed",
)


@pytest.mark.timeout(300)
def test_a_sweep_s_rows_are_in_mlflow(program: Program) -> None:
    """Each row is a run in the folder that `--mlflow` names; a resume logs none of them twice."""
    from mlflow import MlflowClient

    suite = write_suite(program.folder / "suite.toml", recipes=["channels_last"], batch_sizes=[1])
    command = ("run", *SMALL, "--suite", suite, "--output-dir=out", "--log-dir=log", "--mlflow=runs")
    done = program.run(*command)
    assert done.code == 0, done.err
    assert "2 rows are in MLflow" in done.out
    assert program.run(*command, "--resume").code == 0
    client = MlflowClient(tracking_uri=f"sqlite:///{program.folder / 'runs' / 'mlflow.db'}")
    found = client.search_runs([client.get_experiment_by_name("densebench").experiment_id])
    assert sorted(one.data.params["recipe"] for one in found) == ["baseline", "channels_last"]
    rows = {row["recipe"]: row for row in journal_rows(program.folder / "out")}
    for one in found:
        assert one.data.params["steps"] == rows[one.data.params["recipe"]]["steps"]
        assert one.data.metrics["throughput_samples_per_s"] > 0


def test_a_bad_store_is_refused_before_anything_is_measured(in_process, tmp_path) -> None:
    """One line, exit 2, and no folder of results: the rows would have been lost to MLflow after all the work."""
    (tmp_path / "file").touch()
    done = in_process("run", *SMALL, *CPU, "--mlflow=file")
    refused(done, tmp_path, ["--mlflow file can't be used"])
