"""`densebench compare --fail-on-slower`: what it may pass, what it must fail, and what it can't tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from densebench.cli.compare import compare
from densebench.results.record import Record
from tests.cli.comparing import SPEEDS, command, measured, pair_of, run_of, with_pairs, write

HERE = {"cpu": "Some CPU @ 2 GHz", "torch": "2.14.1", "densebench": "0.1.0"}
OTHER_WEIGHTS = {"identity": {"weights_sha256": "cd" * 32}}
OTHER_MODEL = {"identity": {"weights_sha256": "ab" * 32, "model": "resnet18"}}
OTHER_VERSION = {"environment": HERE | {"densebench": "0.2.0"}}
OTHER_MACHINE = {"environment": HERE | {"cpu": "Other CPU"}}
OTHER_LIBRARIES = {"environment": HERE | {"torch": "2.15.0"}}


def slowed(factor: float = 0.65, **facts: Any) -> list[Record]:
    """A run in which every row is slower, the baseline's too."""
    return measured(SPEEDS, seed=1, machine=factor, **facts)


def gate(a: Path, b: Path, limit: float = 5) -> tuple[int, str]:
    """The exit code, and the line that says why."""
    result = command(a, b, "--fail-on-slower", limit)
    return result.exit_code, next(line for line in result.output.splitlines() if line.startswith("gate "))


@pytest.mark.parametrize(
    "change", [OTHER_WEIGHTS, OTHER_MODEL, OTHER_VERSION], ids=["weights", "model", "version"]
)
def test_a_change_that_slows_every_row_fails(tmp_path: Path, change: dict[str, Any]) -> None:
    """On one machine the images a second of a slower model, or of a slower release, are what counts."""
    a = write(tmp_path / "a", measured(SPEEDS), environment=HERE)
    b = write(tmp_path / "b", slowed(), **({"environment": HERE} | change))
    code, line = gate(a, b)
    assert (code, line.startswith("gate failed: 6 of 6 rows")) == (1, True)
    assert gate(a, b, 50)[0] == 0
    assert gate(b, a)[0] == 0
    output = command(a, b).output
    assert "machine" not in output
    assert "images a second are compared as they are" in output


@pytest.mark.parametrize("change", [OTHER_WEIGHTS, OTHER_VERSION], ids=["weights", "version"])
def test_a_change_on_another_machine_can_not_be_told(tmp_path: Path, change: dict[str, Any]) -> None:
    """Neither images a second nor speed-ups say whether the change or the machine made it slower."""
    a = write(tmp_path / "a", measured(SPEEDS), environment=HERE)
    environment = change.get("environment", HERE) | {"cpu": "Other CPU"}
    b = write(tmp_path / "b", slowed(environment_id="12345678"), **(change | {"environment": environment}))
    code, line = gate(a, b)
    assert (code, line.startswith("gate can't tell: ")) == (1, True)
    assert "cpu" in line
    assert "run both on one machine" in line
    rows = json.loads(command(a, b, "--fail-on-slower", 5, "--json").stdout)
    assert {(row["gate"], row["too_slow"]) for row in rows} == {("can't tell", False)}
    assert command(a, b).exit_code == 0


def test_a_baseline_that_became_slower_for_no_known_reason_is_no_pass(tmp_path: Path) -> None:
    """The same weights, version and environment: speed-ups alone would pass everything that slows every row."""
    a, b = write(tmp_path / "a", measured(SPEEDS)), write(tmp_path / "b", slowed())
    code, line = gate(a, b)
    assert (code, line.startswith("gate can't tell: the baseline itself is surely slower in B")) == (1, True)
    assert "run both again" in line
    assert gate(a, b, 50)[0] == 0
    assert gate(b, a)[0] == 0
    assert "for a reason that these results don't show" in command(a, b).output


def test_interference_explains_a_slower_baseline(tmp_path: Path) -> None:
    """Where B's baseline is marked, its speed-ups are judged, and the mark is quoted."""
    marked = [
        one.model_copy(update={"stable": False, "interference": "others used half a CPU"}) for one in slowed()
    ]
    a, b = write(tmp_path / "a", measured(SPEEDS)), write(tmp_path / "b", marked)
    code, line = gate(a, b)
    assert (code, line.startswith("gate passed: ")) == (0, True)
    assert (
        "B was measured with interference (others used half a CPU (in 12 of 12 processes))"
        in command(a, b).output
    )
    change = write(tmp_path / "c", marked, **OTHER_WEIGHTS)
    output = command(a, change).output
    assert "measured with interference, which may be why a figure differs: in B baseline, batch 1" in output


def test_other_libraries_that_slow_every_row_are_no_pass(tmp_path: Path) -> None:
    """On the same machine a slower baseline is seen, though the environments differ; on another one it can't be."""
    a = write(tmp_path / "a", measured(SPEEDS), environment=HERE)
    b = write(tmp_path / "b", slowed(environment_id="12345678"), **OTHER_LIBRARIES)
    code, line = gate(a, b)
    assert (code, line.startswith("gate can't tell: the baseline itself is surely slower in B")) == (1, True)
    assert "torch (A 2.14.1, B 2.15.0)" in command(a, b).output
    elsewhere = write(tmp_path / "c", slowed(environment_id="12345678"), **OTHER_MACHINE)
    assert gate(a, elsewhere)[0] == 0


def test_a_new_release_alone_changes_no_verdict(tmp_path: Path) -> None:
    """The same speeds with another version of this project: images a second, and a gate that passes."""
    a = write(tmp_path / "a", measured(SPEEDS, shared=0.001), environment={"cpu": "Some CPU @ 2 GHz"})
    b = write(
        tmp_path / "b",
        measured(SPEEDS, seed=1, shared=0.001),
        environment={"cpu": "Some CPU @ 2 GHz"} | {"densebench": "0.2.0"},
    )
    rows = json.loads(command(a, b, "--fail-on-slower", 5, "--json").stdout)
    assert {(row["compared_by"], row["gate"]) for row in rows} == {("throughput", "passed")}


def test_other_weights_timed_in_another_way_are_not_compared() -> None:
    """Pairs with the baseline in one run alone change images a second, and its speed-ups hide the change."""
    paired = with_pairs(measured(SPEEDS, seed=1), ("amp", 8))
    pairs = compare(run_of(measured(SPEEDS)), run_of(paired, **OTHER_WEIGHTS)).pairs
    assert pair_of(pairs, "amp", 8).ratio is None
    assert "--focus-batch-sizes" in pair_of(pairs, "amp", 8).reason
    assert pair_of(pairs, "amp", 1).by == "throughput"
