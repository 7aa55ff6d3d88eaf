"""`densebench compare`: two results folders row by row, and the gate."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densebench.cli import main
from densebench.cli.compare import compare
from densebench.cli.compare_gate import too_slow
from densebench.cli.compare_runs import Run
from densebench.errors import UsageError
from densebench.results import journal
from densebench.results.observation import Status
from tests.cli.comparing import SPEEDS, command, measured, pair_of, run_of, slower, with_pairs, write
from tests.factory import record


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 0.3))
def test_a_run_is_the_same_as_itself(seed: int, noise: float) -> None:
    """The ratio is 1, no row is faster or slower, and the strictest gate passes."""
    run = run_of(measured(SPEEDS, seed=seed, noise=noise))
    pairs = compare(run, run).pairs
    assert [pair.ratio.value for pair in pairs if pair.ratio] == [1] * 6
    assert {pair.verdict for pair in pairs} <= {"same", "unclear"}
    assert too_slow(pairs, 0) == []


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.003, 0.05]))
def test_sides_exchanged_give_the_inverse(seed: int, shared: float) -> None:
    """What is faster one way round is slower the other, by the same ratio."""
    a = run_of(measured(SPEEDS, seed=seed, shared=shared))
    b = run_of(measured(slower("amp", 0.8), seed=seed + 1, shared=shared))
    there, back = compare(a, b).pairs, compare(b, a).pairs
    for one, other in zip(there, back, strict=True):
        assert one.ratio
        assert other.ratio
        assert one.by == other.by
        assert one.ratio.value == pytest.approx(1 / other.ratio.value)
        assert one.ratio.low == pytest.approx(1 / (other.ratio.high or 0))
    assert {pair_of(there, "amp").verdict, pair_of(back, "amp").verdict} == {"slower", "faster"}


def test_images_a_second_are_compared_where_the_baselines_agree() -> None:
    """The machine held, so throughputs are compared and nothing needs to be said."""
    a = run_of(measured(SPEEDS, shared=0.001))
    found = compare(a, run_of(measured(slower("amp", 0.9), seed=1, shared=0.001)))
    amp = pair_of(found.pairs, "amp", 8)
    assert (amp.by, amp.verdict, pair_of(found.pairs, "jit", 8).by) == ("throughput", "slower", "throughput")
    assert amp.ratio
    assert amp.a_images_per_s
    assert amp.ratio.value == pytest.approx((amp.b_images_per_s or 0) / amp.a_images_per_s)
    assert found.notes == []


def test_a_strict_gate_needs_baselines_that_agree_as_closely(tmp_path: Path) -> None:
    """With 0.1 % to judge by, baselines that agree to 3 % are not enough for images a second."""
    a = write(tmp_path / "a", measured(SPEEDS, shared=0.001))
    b = write(tmp_path / "b", measured(SPEEDS, seed=1, shared=0.001))
    by = [
        {row["compared_by"] for row in json.loads(command(a, b, "--json", *gate).stdout)}
        for gate in ([], ["--fail-on-slower", 0.1])
    ]
    assert by == [
        {"throughput"},
        {"throughput", "speedup"},
    ]  # the baseline's own row is always of images a second


def test_a_slower_machine_is_no_slower_recipe() -> None:
    """Where the baseline shows that the whole machine is slower, rows are judged by their speed-ups."""
    a, b = run_of(measured(SPEEDS)), run_of(measured(slower("jit", 0.8), seed=1, machine=0.7))
    found = compare(a, b)
    assert pair_of(found.pairs, "baseline").verdict == "slower"
    amp, jit = pair_of(found.pairs, "amp"), pair_of(found.pairs, "jit")
    assert (amp.by, amp.verdict, jit.verdict) == ("speedup", "same", "slower")
    assert {pair.recipe for pair in too_slow(found.pairs, 5)} == {"jit"}
    assert "the baseline itself differs (0.69x" in found.notes[0]
    assert "for a reason that these results don't show" in found.notes[0]
    assert "machine" not in found.notes[0]


def test_baselines_that_may_differ_are_no_proof() -> None:
    """Noise that could hide a change of the machine is enough for speed-ups; they see what throughputs can't."""
    found = compare(run_of(measured(SPEEDS)), run_of(measured(slower("amp", 0.94), seed=1)))
    assert pair_of(found.pairs, "baseline").verdict == "unclear"
    assert (pair_of(found.pairs, "amp").by, pair_of(found.pairs, "amp").verdict) == ("speedup", "slower")
    assert "may differ" in found.notes[0]


def test_without_a_baseline_throughputs_come_with_a_warning() -> None:
    """There is nothing to tell a change of the machine by; a baseline alone is judged as a row."""
    amp = {"amp": SPEEDS["amp"]}
    found = compare(run_of(measured(amp)), run_of(measured(amp, seed=1, machine=0.5)))
    assert {(pair.by, pair.verdict) for pair in found.pairs} == {("throughput", "slower")}
    assert found.notes[0].startswith("batches 1 and 8: nothing to tell a change of the machine by")
    baseline = {"baseline": SPEEDS["baseline"]}
    alone = compare(run_of(measured(baseline)), run_of(measured(baseline, seed=1, machine=0.5)))
    assert len(too_slow(alone.pairs, 5)) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"environment_id": "12345678"}, "cpu (A Some CPU @ 2 GHz, B Other CPU)"),
        ({"device": "cuda"}, "device (A cpu, B cuda)"),
        ({"threads": 1}, "threads (A 2, B 1)"),
        ({"image_size": 64}, "image_size (A 224, B 64)"),
    ],
)
def test_different_machines_are_compared_by_speedups_alone(change: dict[str, Any], said: str) -> None:
    """However much faster B is, only the ratios to the own baselines count, and the difference is named."""
    elsewhere = measured(slower("amp", 0.8), seed=1, machine=10, **change)
    machine = {"environment": {"cpu": "Other CPU", "torch": "2.14.1"}} if "environment_id" in change else {}
    found = compare(run_of(measured(SPEEDS)), run_of(elsewhere, **machine))
    assert pair_of(found.pairs, "baseline").ratio is None
    assert (pair_of(found.pairs, "jit").by, pair_of(found.pairs, "jit").verdict) == ("speedup", "same")
    assert pair_of(found.pairs, "amp").verdict == "slower"
    assert "compared only as ratios to their own baselines" in found.notes[0]
    assert said in found.notes[0]
    assert "torch" not in found.notes[0]


def test_different_machines_without_a_baseline_have_no_ratio() -> None:
    """A row that can't be compared says so."""
    amp = {"amp": SPEEDS["amp"]}
    pairs = compare(run_of(measured(amp)), run_of(measured(amp, environment_id="12345678"))).pairs
    assert {(pair.ratio, pair.reason) for pair in pairs} == {
        (None, "no baseline measured in the same rounds in A and B")
    }


def test_a_recipe_of_the_same_name_that_is_another_is_named() -> None:
    """Other weights and other steps are worth a line, and no reason to refuse."""
    other = [one.model_copy(update={"steps": "autocast+eager"}) for one in measured({"amp": SPEEDS["amp"]})]
    identity = {"weights_sha256": "cd" * 32}
    found = compare(run_of(measured(SPEEDS)), run_of([*measured(SPEEDS)[:2], *other], identity=identity))
    assert found.notes[0].startswith("the runs differ in weights (A abab")
    assert "amp is eager in A and autocast+eager in B" in found.notes


def test_the_gate_seldom_fails_by_chance() -> None:
    """Twenty recipes that are exactly as slow as allowed: uncorrected, 40 of 100 gates would fail."""
    names = {"baseline": {1: 20.0}} | {f"jit:n={n}": {1: 40.0} for n in range(20)}
    limit = names | {name: {1: 36.0} for name in names if name != "baseline"}
    failed = alone = 0
    for seed in range(30):
        a = run_of(measured(names, seed=2 * seed, noise=0.02))
        pairs = compare(a, run_of(measured(limit, seed=2 * seed + 1, noise=0.02))).pairs
        failed += bool(too_slow(pairs, 10))
        alone += any(pair.ratio and (pair.ratio.high or 1) < 0.9 for pair in pairs)
    assert failed <= 3
    assert alone > 2 * failed


def test_the_gate_fails_on_a_slower_row_and_names_it(tmp_path: Path) -> None:
    """Exit 1, with the row; 0 where the limit is wide enough, or without a gate."""
    a = write(tmp_path / "a", measured(SPEEDS))
    b = write(tmp_path / "b", measured(slower("amp", 0.8), seed=1))
    result = command(a, b, "--fail-on-slower", 5)
    assert result.exit_code == 1
    assert "too slow: amp, batch 8: 0.80x" in result.output
    assert "jit, batch" not in result.output
    assert "gate failed: 2 of 4 rows" in result.output
    passed = command(a, b, "--fail-on-slower", 30)
    assert passed.exit_code == 0
    assert "gate passed: 0 of 4 rows" in passed.output
    assert command(a, b).exit_code == 0


@pytest.mark.parametrize(
    ("status", "environment", "code"),
    [
        (Status.FAILED, "e" * 12, 1),
        (Status.TIMED_OUT, "e" * 12, 1),
        (Status.SKIPPED, "e" * 12, 1),
        (Status.FAILED, "f" * 12, 1),
        (Status.SKIPPED, "f" * 12, 0),
    ],
)
def test_the_gate_fails_on_a_row_that_broke(
    tmp_path: Path, status: Status, environment: str, code: int
) -> None:
    """A recipe that became too slow to measure is no pass; another machine may rightly skip it."""
    others = measured({k: SPEEDS[k] for k in ("baseline", "amp")}, seed=1, environment_id=environment)
    broken = record(recipe="jit", batch_size=1, status=status, reason="boom", environment_id=environment)
    a = write(tmp_path / "a", measured(SPEEDS, environment_id="e" * 12))
    b = write(tmp_path / "b", [*others, broken])
    result = command(a, b, "--fail-on-slower", 5)
    assert result.exit_code == code
    assert ("lost: jit, batch 1: ran in A, " in result.output) is bool(code)
    assert ("gate failed: 1 that ran in A did not in B; 0 of" in result.output) is bool(code)
    assert command(a, b).exit_code == 0


def test_the_gate_fails_where_nothing_is_left_to_compare(tmp_path: Path) -> None:
    """All rows broke, or all but the baseline on another machine: that is no misuse."""
    speeds = {k: SPEEDS[k] for k in ("baseline", "jit")}
    a = write(tmp_path / "a", measured(speeds, environment_id="e" * 12))
    broken = [
        record(recipe=name, batch_size=size, status=Status.FAILED, reason="boom", environment_id="e" * 12)
        for name in speeds
        for size in (1, 8)
    ]
    elsewhere = measured({"baseline": SPEEDS["baseline"]}, environment_id="f" * 12)
    others = [one.model_copy(update={"environment_id": "f" * 12}) for one in broken[2:]]
    for name, records in (("b", broken), ("c", [*elsewhere, *others])):
        b = write(tmp_path / name, records)
        result = command(a, b, "--fail-on-slower", 5)
        assert result.exit_code == 1
        assert "lost: jit, batch 8: ran in A, failed (boom) in B" in result.output
        assert "gate failed: " in result.output
        assert json.loads(command(a, b, "--fail-on-slower", 5, "--json").stdout)[-1]["lost"] is True
        assert isinstance(command(a, b).exception, UsageError)


def test_a_small_change_of_the_machine_is_no_slower_recipe() -> None:
    """2 % of the machine's are within the margin, and still no recipe's."""
    a = run_of(measured(SPEEDS, noise=0.001, shared=0.001))
    b = run_of(measured(SPEEDS, seed=1, noise=0.001, shared=0.001, machine=0.98))
    found = compare(a, b)
    assert all(
        pair.ratio and pair.ratio.value == pytest.approx(1, abs=0.01) for pair in found.pairs if pair.judged
    )
    assert any("the baselines may differ (0.98x" in note for note in found.notes)


def test_runs_that_were_timed_in_different_ways_are_told_of() -> None:
    """A batch size that was a focus of one run only."""
    plain = measured(SPEEDS, shared=0.001)
    paired = with_pairs(measured(SPEEDS, seed=1, shared=0.001), ("amp", 8))
    found = compare(run_of(plain), run_of(paired))
    assert pair_of(found.pairs, "jit", 8).by == "speedup"
    assert any(
        note.startswith("batch 8: amp timed in pairs with the baseline in one run only")
        for note in found.notes
    )
    assert not any(note.startswith("batch 1: amp") for note in found.notes)


def test_unclear_rows_do_not_fail_and_are_counted(tmp_path: Path) -> None:
    """One process each has no interval, however slow it looks."""
    short, late = (
        [
            one.model_copy(update={"timed_processes": one.timed_processes[:1]})
            for one in measured(speeds, shared=0, noise=0)
        ]
        for speeds in (SPEEDS, {name: {size: x / 2 for size, x in by.items()} for name, by in SPEEDS.items()})
    )
    a, b = write(tmp_path / "a", short), write(tmp_path / "b", [*short[:2], *late[2:]])
    result = command(a, b, "--fail-on-slower", 5)
    assert result.exit_code == 0
    assert "4 unclear, which does not fail" in result.output


def test_rows_of_one_run_are_listed_with_the_reason(tmp_path: Path) -> None:
    """Nothing vanishes: rows that are missing or not ok in one of the two."""
    failed = record(recipe="jit", batch_size=1, status=Status.FAILED, reason="out of\nmemory")
    a = write(tmp_path / "a", measured(SPEEDS))
    b = write(tmp_path / "b", [*measured({k: SPEEDS[k] for k in ("baseline", "amp")}), failed])
    result = command(a, b)
    assert "not compared: jit, batch 1: failed (out of memory) in B" in result.output
    assert "not compared: jit, batch 8: not in B" in result.output
    assert "2 not compared" in result.output


def test_json_holds_the_same_figures(tmp_path: Path) -> None:
    """A list of objects on the standard output, also beside a gate; what people read is on the other."""
    a = write(tmp_path / "a", measured(SPEEDS))
    b = write(tmp_path / "b", measured(slower("amp", 0.8), seed=1)[:-1])
    result = command(a, b, "--json", "--fail-on-slower", 5)
    assert result.exit_code == 1
    rows = {(row["recipe"], row["batch_size"]): row for row in json.loads(result.stdout)}
    pairs = compare(Run.read(a), Run.read(b)).pairs
    assert list(rows) == [(pair.recipe, pair.batch_size) for pair in pairs]
    amp, ratio = rows["amp", 1], pair_of(pairs, "amp").ratio
    assert ratio
    assert (amp["ratio"], amp["ratio_ci_low"], amp["ratio_ci_high"]) == (ratio.value, ratio.low, ratio.high)
    assert (amp["verdict"], amp["compared_by"], amp["too_slow"]) == ("slower", "speedup", True)
    assert (rows["jit", 8]["verdict"], rows["jit", 8]["reason"]) == (None, "not in B")
    assert "gate failed" in result.stderr


@pytest.mark.parametrize("machine", [1, 0.5])
def test_the_table_fits_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: float) -> None:
    """In 80 columns, with a long name, every figure is whole, and what the ratio is of stands above or beside it."""
    monkeypatch.setenv("COLUMNS", "80")
    speeds = {"baseline": SPEEDS["baseline"], "channels_last+bf16+compile": {1: 1234.5, 8: 12345.6}}
    ones = [measured({name: {size: by[size]} for name, by in speeds.items()}, shared=0) for size in (1, 8)]
    late = measured({name: {8: by[8]} for name, by in speeds.items()}, shared=0, machine=machine)
    a, b = write(tmp_path / "a", [*ones[0], *ones[1]]), write(tmp_path / "b", [*ones[0], *late])
    lines = command(a, b).output.splitlines()
    row = next(line for line in lines if line.startswith("channels_l") and " 8 " in line)
    assert len(row) <= 80
    assert re.search(r"1\.00x +\S+ to \S+ +same", row)
    assert row.rstrip().endswith("same" if machine == 1 else "speed-ups")
    assert machine != 1 or any("B / A of" in line for line in lines)


@pytest.mark.parametrize("percent", ["-1", "100", "nan"])
def test_a_limit_that_is_no_percentage_is_refused(percent: str) -> None:
    """Before anything is read."""
    result = command("a", "b", f"--fail-on-slower={percent}")
    assert "--fail-on-slower is a percentage" in str(result.exception)


def test_bad_folders_are_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No journal, a damaged one, or nothing in common: exit 2, on one line of the error output."""
    good = write(tmp_path / "good", measured(SPEEDS))
    other = write(tmp_path / "other", [])
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / journal.FILE_NAME).write_text((good / journal.FILE_NAME).read_text() + "{oops}\n")
    for folder, words in (
        (tmp_path, "does not exist"),
        (damaged, "is damaged"),
        (other, "no row to compare"),
    ):
        monkeypatch.setattr("sys.argv", ["densebench", "compare", str(good), str(folder)])
        with pytest.raises(SystemExit) as end:
            main.main()
        said = capsys.readouterr().err
        assert end.value.code == 2
        assert words in said
        assert said.count("\n") == 1
