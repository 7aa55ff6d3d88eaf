"""The answer of a real run: confirmed by rounds of its own, as JSON for programs, and as a link to what to deploy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Program
from tests.e2e.program import Finished, journal_lines, write_suite


@pytest.fixture(scope="module")
def answered(
    home: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Program, Finished, dict[str, Any]]:
    """A run of one recipe in three rounds, with three more for its confirmation; what it printed as JSON."""
    folder = tmp_path_factory.mktemp("answer")
    suite = write_suite(
        folder / "suite.toml",
        recipes=["onnx"],
        batch_sizes=[1, 4],
        weights="digits",
        data="digits",
        image_size=32,
        rounds=3,
        confirmation_rounds=3,
    )
    program = Program(home, folder)
    finished = program.run(
        "run", "--suite", suite, "--output-dir=out", "--log-dir=log", "--json", limit_s=280
    )
    assert finished.code == 0, finished.err
    return program, finished, json.loads(finished.out)


def test_the_decision_and_the_rows_are_the_standard_output(answered) -> None:
    """Progress and table are on the standard error; the rows are those of the CSV."""
    program, finished, told = answered
    (decision,) = told["decisions"]
    assert decision["headline"] in " ".join(finished.err.split())
    assert "images/s" in finished.err
    lines = (program.folder / "out" / "benchmark_results.csv").read_text(encoding="utf-8").splitlines()
    assert len(told["rows"]) == len(lines) - 1 == 4
    assert ",".join(told["rows"][0]) == lines[0]


def test_what_is_recommended_was_measured_once_more(answered) -> None:
    """A winner has fresh rounds in the journal with the baseline's, which enter no row of the CSV."""
    program, _, told = answered
    (decision,) = told["decisions"]
    measured = journal_lines(program.folder / "out", "measure")
    fresh = [one for one in measured if one.get("stage") == "confirmation"]
    winner = decision["winner"]
    if winner is None:  # no recipe was faster on this machine, and there was nothing to confirm
        assert decision["outcome"] == "keep_baseline"
        assert fresh == []
        return
    assert {"baseline", winner["recipe"]} <= {one["recipe"] for one in fresh}
    rounds = {one["round"] for one in fresh}
    assert not rounds & {one["round"] for one in measured if one not in fresh}
    assert decision["against_best"]["rounds"] == 3
    assert decision["outcome"] in ("deploy", "at_batch_size", "not_confirmed")


def test_best_leads_to_the_artifact_to_deploy(answered) -> None:
    """The link opens the recommended recipe's model; without a recommendation there is none."""
    program, _, told = answered
    (decision,) = told["decisions"]
    link = program.folder / "out" / "best"
    if not decision["artifact"]:
        assert not link.is_symlink()
        return
    assert link.resolve() == (program.folder / "out" / decision["artifact"]).resolve()
    manifest = json.loads((link / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["recipe"] == Path(decision["artifact"]).name


def test_a_report_by_another_objective_decides_again(answered) -> None:
    """For size the winner is another one or has no rounds of its own; the objective stands in the answer."""
    program, _, _ = answered
    done = program.run("report", "out", "--objective", "size", "--json")
    assert done.code == 0, done.err
    (decision,) = json.loads(done.out)["decisions"]
    assert decision["objective"] == "size"
    assert decision["outcome"] in ("unconfirmed", "keep_baseline", "deploy")
    if decision["outcome"] == "unconfirmed":
        assert "--resume --objective size" in decision["headline"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--serving-batch-size=3"], ["--serving-batch-size 3", "1 and 4"]),
        (["--objective=speed"], ["--objective", "throughput"]),
        (["--max-latency-ms=0"], ["--max-latency-ms", "greater than 0"]),
        (["--max-accuracy-drop=-1"], ["--max-accuracy-drop", "greater than 0"]),
    ],
    ids=lambda value: value[0],
)
def test_what_no_report_can_answer_is_refused(answered, arguments: list[str], said: list[str]) -> None:
    """One line that names what to change, exit 2, and the report as it was."""
    program, _, _ = answered
    before = (program.folder / "out" / "REPORT.md").read_bytes()
    done = program.run("report", "out", *arguments)
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert all(part in line for part in said)
    assert (program.folder / "out" / "REPORT.md").read_bytes() == before


def test_an_answer_within_a_limit_that_nothing_keeps(answered) -> None:
    """A latency that nobody reaches: the nearest misses are shown, and there is no recommendation."""
    program, _, _ = answered
    done = program.run("report", "out", "--max-latency-ms", "0.001")
    assert done.code == 0
    told = " ".join(done.out.split())
    assert "nothing that was measured keeps the limits" in told
    assert "limit 0.001" in told
