"""What `benchmarks/speedup.py` calls met and missed, and what it tells of the calls that it doesn't count."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from rich.console import Console

from densebench.processes import messages
from densebench.results.record import Row
from tests.factory import FACTS, described, samples

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
INT8 = "openvino:precision=int8"


@pytest.fixture
def speedup(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, which finds its neighbours as it does when it is run."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("speedup")


@pytest.fixture
def in_pairs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What compares with the peers."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("in_pairs")


def row(steps: str, speed: float | None, size: int = 8, drop: float | None = 0.0) -> Row:
    """A recipe so many times as fast as the baseline, which loses so many points of top-1."""
    facts = {"recipe": steps, "steps": steps, "batch_size": size, "speedup": speed, "accuracy_drop_pp": drop}
    return Row.model_validate(FACTS | facts)


SINGLE, STACK = row(INT8, 7.0, size=1), row(f"pruning+{INT8}", 11.0, size=16, drop=1.0)


STEADY, SCATTERED = (0.999, 1.0, 1.001) * 2, (0.8, 1.0, 1.25) * 2  # pairs of one file, whose median is 1
NEAR = ((0.96, STEADY), (1.04, STEADY))
Files = tuple[tuple[float, tuple[float, ...]], ...]


def said(speedup: ModuleType, rows: list[Row], files: Files = NEAR) -> tuple[int, list[str]]:
    """The exit code, and the first word of each line; a file has a ratio to its peer's tool, and pairs around it."""
    text = StringIO()
    compared = [
        speedup.Compared(
            "onnx", 1, "bare loop", [100 * ratio * each for each in pairs], [100] * len(pairs), 0.0
        )
        for ratio, pairs in files
    ]
    code = speedup.judge(rows, compared, Console(file=text))
    return code, [line.partition(":")[0] for line in text.getvalue().splitlines()]


def test_all_limits_are_met(speedup: ModuleType) -> None:
    """At the very limits; a technique in the default engine is a single one too."""
    assert said(speedup, [SINGLE, STACK]) == (0, ["met"] * 3)
    assert said(speedup, [row("bf16+eager", 7.5), STACK]) == (0, ["met"] * 3)


@pytest.mark.parametrize(
    "rows",
    [
        [STACK],  # no single technique
        [row(INT8, 6.99), STACK],
        [row(INT8, None), STACK],
        [row("eager", 9.0), STACK],  # changes nothing
    ],
)
def test_a_slow_single_technique_is_missed(speedup: ModuleType, rows: list[Row]) -> None:
    """A stack is none, however fast."""
    assert said(speedup, rows) == (1, ["missed", "met", "met"])


@pytest.mark.parametrize(
    "stack",
    [
        row(f"pruning+{INT8}", 10.99),
        row(f"pruning+{INT8}", 20.0, size=1),
        row(f"pruning+{INT8}", 20.0, drop=1.1),
        row(f"pruning+{INT8}", 20.0, drop=None),
        row("openvino", 20.0),
    ],
)
def test_a_slow_or_wrong_stack_is_missed(speedup: ModuleType, stack: Row) -> None:
    """As is one whose accuracy nobody knows, or that is fast at another batch size."""
    assert said(speedup, [SINGLE, stack]) == (1, ["met", "missed", "met"])


@pytest.mark.parametrize("files", [((0.94, STEADY), (1.0, STEADY)), ((1.0, STEADY), (1.06, STEADY)), ()])
def test_one_file_that_is_far_from_its_peer_is_missed(speedup: ModuleType, files: Files) -> None:
    """Though the others make up for it; and so is no file at all."""
    assert said(speedup, [SINGLE, STACK], files) == (1, ["met", "met", "missed"])


def test_a_file_whose_pairs_scatter_is_unclear(speedup: ModuleType) -> None:
    """Its median is too far away, but its interval isn't: more pairs are needed, and nothing is met yet."""
    scattered = ((0.94, SCATTERED), (1.0, STEADY))
    assert said(speedup, [SINGLE, STACK], scattered) == (1, ["met", "met", "unclear"])
    assert said(speedup, [SINGLE, STACK], (*scattered, (0.94, STEADY))) == (1, ["met", "met", "missed"])


def test_one_pair_within_which_the_host_slowed_down_changes_little(in_pairs: ModuleType) -> None:
    """A mean would be 6 % lower."""
    found = in_pairs.Ratio.of([1.0, 0.99, 1.01, 1.0, 0.99, 1.01, 1.0, 0.5])
    assert found.median == pytest.approx(1.0)
    assert (found.low, found.high) == (0.5, 1.01)


def test_pairs_are_taken_in_both_orders_from_new_processes(
    in_pairs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer's tool counts every call: where many are not counted here the ratio says less, so both are told."""
    folder = tmp_path / "models" / "x"
    folder.mkdir(parents=True)
    (folder / "model.xml").touch()
    (folder / "manifest.json").write_text('{"details": {}}', encoding="utf-8")
    shares, order = iter((0.1, 0.15)), []

    def run(job: messages.Measure, *_: object) -> messages.Measured:
        order.append("here")
        return messages.Measured(samples={8: samples((10.0, 10.0), left_out=next(shares))})

    @contextmanager
    def opened(*_: object) -> Iterator[SimpleNamespace]:
        pool = SimpleNamespace(plain=SimpleNamespace(run=run), renew=lambda: order.append("renew"))
        yield SimpleNamespace(pool=pool, workload=described(), timing_file=tmp_path / "timing")

    def tool(*_: object) -> float:
        order.append("there")
        return 1000.0

    monkeypatch.setattr(in_pairs, "opened", opened)
    monkeypatch.setitem(in_pairs.PEERS, "model.xml", tool)
    spec = SimpleNamespace(threads=1, output_dir=tmp_path, image_size=32)
    rows = [row(INT8, 7.0).model_copy(update={"artifact": "models/x"}), row("eager", 1.0)]
    compared = in_pairs.compare(rows, spec, 2)
    assert order == ["here", "there", "renew", "there", "here"]
    assert [(one.ratio.median, one.tool) for one in compared] == [(pytest.approx(0.8), "tool")]
    text = StringIO()
    in_pairs.print_peers(compared, 2, Console(file=text, width=200))
    assert "0.800 (0.000 to inf)" in text.getvalue()
    assert "12.5%" in text.getvalue()
