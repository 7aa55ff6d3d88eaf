"""Rounds: who is measured when, when it is enough, and what is written down, with children that answer at once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from densebench import batch_size, jobs
from densebench.cells import Sweep
from densebench.errors import CellFailed, DensebenchError, Unavailable
from densebench.machine import KEEP_FREED_MEMORY
from densebench.recipe import Recipe, plan
from densebench.record import Row
from densebench.rounds import time_cells
from densebench.rows import derive
from densebench.sinks import journal
from densebench.sinks.console import Progress
from densebench.sinks.tensorboard import TensorBoardSink
from densebench.spec import RunSpec
from tests.factory import block, described, header, in_one_process

FACTS: dict[str, Any] = {
    "cold_start_s": None,
    "macs_g": 1.0,
    "precision": "float32",
    "accuracy_top1": 99.0,
    "artifact": "models/x",
}
CEILINGS = {
    "device": "cpu",
    "threads": 1,
    "compute": {"float32": {"gop_per_s": 400.0, "engine": "eager"}},
    "memory_gb_per_s": 70.0,
}
NAMED = {"baseline": "eager", "a": "channels_last", "b": "jit"}
IDENTITY: dict[str, str | int] = {
    "model": "m",
    "weights": "w",
    "data": "d",
    "image_size": 32,
    "device": "cpu",
    "threads": 1,
    "seed": 0,
    "environment_id": "e",
}
Child = Callable[[str, int], jobs.Block]


def measured(ms: float, disturbance: str = "", energy_j: float | None = None) -> jobs.Block:
    """What a child answers at one batch size."""
    return block((ms, ms), disturbance=disturbance, energy_j_per_image=energy_j)


class Children:
    """Stands for the nurseries: notes who was asked for, and answers as told, batch size by batch size."""

    def __init__(self, answer: Child) -> None:
        self.answer = answer
        self.processes: list[tuple[str, tuple[int, ...]]] = []
        self.renewed: list[int] = []  # after so many processes
        self.asked: list[tuple[str, int]] = []
        self.traced: list[tuple[str, int]] = []
        self.needed: list[dict[int, int]] = []
        self.told_us: list[float | None] = []
        self.in_turn: set[tuple[str, tuple[int, ...]]] = set()
        self.no_company: DensebenchError | None = None
        self.lacking = 0
        self.too_slow: set[int] = set()  # batch sizes at which nobody takes turns
        self.addresses: dict[int, str] = {}
        self.variables: dict[str, str] = {}  # those of the process that comes next
        self.started: dict[str, list[dict[str, str]]] = {}  # by folder: what each process started with

    def renew(self) -> None:
        assert not self.addresses  # nobody stands beside others
        self.renewed.append(len(self.processes))

    def of(self, variables: Mapping[str, str]) -> Children:
        self.variables = dict(variables)
        return self

    @contextmanager
    def beside(self, job: jobs.Accompany, limit_s: float) -> Iterator[None]:
        if self.no_company:
            raise self.no_company
        assert job.folder.name == "baseline"
        self.told_us.append(job.full_speed_us)
        (size,) = job.batch_sizes
        if size == self.lacking:
            raise CellFailed("no memory")
        self.addresses[size] = job.address
        yield
        del self.addresses[size]

    def run(self, job: jobs.Measure, answer: object, limit_s: float, say: object) -> jobs.Measured:
        name, blocks = job.folder.name, {}
        assert job.beside in (self.addresses, {})
        self.started.setdefault(name, []).append(self.variables)
        self.in_turn.add((name, tuple(job.beside)))
        self.processes.append((name, job.batch_sizes))
        self.traced += [(name, size) for size in job.traces]
        self.needed += [job.processes] if name == "a" else []
        self.told_us.append(job.full_speed_us)
        for size in job.batch_sizes:
            self.asked.append((name, size))
            try:
                blocks[size] = self.answer(name, size)
                if size in job.beside and size not in self.too_slow:
                    blocks[size] = blocks[size].model_copy(update={"beside_ms": (10.0, 10.0)})
            except DensebenchError as error:
                if not blocks:
                    raise
                return jobs.Measured(blocks=in_one_process(blocks), ended=jobs.problem_of(error))
        return jobs.Measured(blocks=in_one_process(blocks), traced=dict.fromkeys(job.traces, ""))


def sweep_of(tmp_path: Path, answer: Child, **flags: Any) -> tuple[Sweep, Children]:
    """A sweep of the baseline, `a` and `b`, ready to be timed."""
    spec = RunSpec.create(
        **{"recipes": ["a", "b"], "named": NAMED, "batch_sizes": [4], "output_dir": tmp_path / "out"} | flags
    )
    children = Children(answer)
    sweep = Sweep(
        spec=spec,
        recipes=plan(spec.recipes, NAMED),
        threads=1,
        nurseries=children,  # type: ignore[arg-type]
        workload=described(),
        timing_file=tmp_path / "timing",
        identity=IDENTITY,
        progress=Progress(Console(file=StringIO())),
        journal=journal.create(spec.output_dir, header()),
        scalars=TensorBoardSink(tmp_path / "logs"),
        records=[],
    )
    return sweep, children


def timed(sweep: Sweep) -> dict[tuple[str, int], Row]:
    """All cells measured."""
    time_cells(sweep, [(recipe, FACTS) for recipe in sweep.recipes])
    return {row.key: row for row in sweep.rows()}


def steady(name: str, size: int) -> jobs.Block:
    """The baseline takes 10 ms, `a` half of that, `b` as long."""
    return measured({"baseline": 10.0, "a": 5.0, "b": 10.0}[name])


def test_a_process_is_told_how_many_its_cells_still_need(tmp_path: Path) -> None:
    """What is known to be slow is measured only where all of them fit into the limit."""
    sweep, children = sweep_of(tmp_path, lambda name, size: measured(10), batch_sizes=[4, 8], rounds=2)
    timed(sweep)
    assert children.needed[:3] == [{4: 2}, {8: 5}, {4: 1, 8: 4}]
    assert children.needed[-1] == {8: 1}


def test_each_round_has_every_recipe_and_the_baseline_twice(tmp_path: Path) -> None:
    """Three rounds, in an order that differs between them, none of them recipe by recipe."""
    sweep, children = sweep_of(tmp_path, steady)
    rows = timed(sweep)
    names = [name for name, _ in children.asked]
    rounds = [names[start : start + 4] for start in range(0, 12, 4)]
    assert len(names) == 12
    assert all(Counter(one) == {"baseline": 2, "a": 1, "b": 1} for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1
    assert rows["a", 4].speedup == pytest.approx(2)
    assert rows["a", 4].verdict == "faster"
    assert rows["b", 4].verdict == "same"
    assert (rows["baseline", 4].processes, rows["a", 4].processes) == (6, 3)


def test_each_round_is_forked_from_processes_of_its_own(tmp_path: Path) -> None:
    """What forks of one process inherit is the same for all of them."""
    sweep, children = sweep_of(tmp_path, steady)
    timed(sweep)
    assert children.renewed == [4, 8]  # the first round's are those that the models were made with
    assert len(children.processes) == 12


def test_a_process_is_timed_at_each_batch_size_that_needs_it(tmp_path: Path) -> None:
    """Three rounds at all sizes, each first in one of them, then two more at the focus batch sizes alone."""
    sweep, children = sweep_of(tmp_path, steady, batch_sizes=[8, 1, 4], focus_batch_sizes=[1, 8])
    rows = timed(sweep)
    sizes = [sizes for name, sizes in children.processes if name == "a"]
    assert sizes == [
        (1,),
        (4, 8),
        (1, 4),
        (8,),
        (1, 4, 8),
        (1, 8),
        (1, 8),
    ]  # never a smaller one after a larger
    assert [rows["a", size].processes for size in (1, 4, 8)] == [5, 3, 5]
    assert [rows["baseline", size].processes for size in (1, 4, 8)] == [10, 6, 10]


def test_the_baseline_stands_beside_the_others_at_focus_batch_sizes(tmp_path: Path) -> None:
    """All take turns with it, the baseline's own processes too, so that rows compare; not on a GPU."""
    sweep, children = sweep_of(tmp_path / "cpu", steady, batch_sizes=[1, 4, 8], focus_batch_sizes=[1, 8])
    timed(sweep)
    assert children.in_turn == {("baseline", (1, 8)), ("a", (1, 8)), ("b", (1, 8))}
    assert children.addresses == {}
    sweep, children = sweep_of(tmp_path / "cuda", steady, batch_sizes=[1], focus_batch_sizes=[1])
    sweep.workload = described(device="cuda")
    timed(sweep)
    assert children.in_turn == {("baseline", ()), ("a", ()), ("b", ())}


def test_the_baselines_own_processes_are_what_others_are_compared_with_too(tmp_path: Path) -> None:
    """The one that stands beside takes 10 ms here, theirs 20: what counts is the mean of the three logarithms."""
    times = {"baseline": 20.0, "a": 5.0, "b": 10.0}
    sweep, _ = sweep_of(
        tmp_path, lambda name, size: measured(times[name]), batch_sizes=[1], focus_batch_sizes=[1]
    )
    assert timed(sweep)["a", 1].speedup == pytest.approx((10 * 20 * 20) ** (1 / 3) / 5)


def test_a_baseline_that_does_not_come_costs_no_row(tmp_path: Path) -> None:
    """Then its blocks of the same round are what others are compared with, and the user is told."""
    sweep, children = sweep_of(tmp_path, steady, batch_sizes=[1], focus_batch_sizes=[1])
    children.no_company = CellFailed("ended by SIGKILL")
    noted: list[str] = []
    sweep.progress.note = noted.append  # type: ignore[method-assign]
    assert timed(sweep)["a", 1].speedup == pytest.approx(2)
    assert children.in_turn == {("baseline", ()), ("a", ()), ("b", ())}
    assert noted == ["batch 1: no baseline stands beside the others from now on: ended by SIGKILL"]


def test_a_baseline_that_nobody_takes_turns_with_does_not_come_again(tmp_path: Path) -> None:
    """Where calls are too long for it: others are held against its own processes of the round."""
    sweep, children = sweep_of(tmp_path, steady, batch_sizes=[1, 8], focus_batch_sizes=[1, 8])
    children.too_slow = {8}
    rows = timed(sweep)
    assert children.in_turn == {
        (name, beside) for name in ("baseline", "a", "b") for beside in ((1, 8), (1,))
    }
    assert rows["a", 8].speedup == pytest.approx(2)


def test_where_one_baseline_does_not_come_others_do(tmp_path: Path) -> None:
    """It is not tried again, and only its batch size goes without turns."""
    sweep, children = sweep_of(tmp_path, steady, batch_sizes=[1, 8], focus_batch_sizes=[1, 8])
    children.lacking = 8
    noted: list[str] = []
    sweep.progress.note = noted.append  # type: ignore[method-assign]
    assert timed(sweep)["a", 8].speedup == pytest.approx(2)
    assert children.in_turn == {("baseline", (1,)), ("a", (1,)), ("b", (1,))}
    assert noted == ["batch 8: no baseline stands beside the others from now on: no memory"]


def test_every_batch_size_is_first_in_some_process(tmp_path: Path) -> None:
    """Memory is told of a process that has served nothing else: in a single round each has its own."""
    sweep, children = sweep_of(tmp_path, steady, batch_sizes=[1, 2, 4], focus_batch_sizes=[], rounds=1)
    rows = timed(sweep)
    assert [sizes for name, sizes in children.processes if name == "a"] == [(1,), (2,), (4,)]
    assert [rows["a", size].processes for size in (1, 2, 4)] == [1, 1, 1]
    assert [rows["baseline", size].processes for size in (1, 2, 4)] == [2, 2, 2]
    assert all(row.host_memory_peak_mb and row.first_inference_s for row in rows.values())
    _check_baseline_first(sweep)


def test_a_crash_at_one_batch_size_costs_that_row(tmp_path: Path) -> None:
    """What the process had answered stands, and the larger sizes have one of their own in the same round."""

    def answer(name: str, size: int) -> jobs.Block:
        if (name, size) == ("a", 4):
            raise CellFailed("ended by SIGSEGV")
        return steady(name, size)

    sweep, children = sweep_of(tmp_path, answer, batch_sizes=[2, 4, 8], focus_batch_sizes=[])
    rows = timed(sweep)
    assert [rows["a", size].status for size in (2, 4, 8)] == ["ok", "failed", "ok"]
    assert rows["a", 4].reason == "ended by SIGSEGV"
    assert [rows["a", size].processes for size in (2, 8)] == [3, 3]
    sizes = [sizes for name, sizes in children.processes if name == "a"]
    assert sizes == [(2,), (4, 8), (8,), (2, 8), (2, 8)]  # both have been first
    assert Counter(children.traced)["a", 8] == 2  # the process that crashed took no trace
    assert rows["a", 8].traces == ("profile/a/bs8.pt.trace.json",)


def test_each_process_is_told_the_full_speed_of_those_before_it(tmp_path: Path) -> None:
    """So that one which only ever sees a shared core knows; that beside the others too."""
    seen = iter([240.0, 230.0, 500.0])

    def answer(name: str, size: int) -> jobs.Block:
        return block((10.0, 10.0), looks_us=tuple(filter(None, [next(seen, None)])))

    sweep, children = sweep_of(tmp_path, answer, batch_sizes=[1], focus_batch_sizes=[1])
    sweep.survey = jobs.Surveyed(looks_us=(300.0,))
    timed(sweep)
    assert children.told_us[:5] == [300.0, 300.0, 240.0, 230.0, 230.0]
    assert set(children.told_us[5:]) == {230.0}
    sweep, children = sweep_of(tmp_path / "none", steady)
    timed(sweep)
    assert set(children.told_us) == {None}


def test_the_seed_decides_the_order(tmp_path: Path) -> None:
    """The same seed gives the same order, another one another."""
    orders = []
    for index, seed in enumerate((0, 0, 1)):
        sweep, children = sweep_of(tmp_path / str(index), steady, seed=seed)
        timed(sweep)
        orders.append(children.asked)
    assert orders[0] == orders[1] != orders[2]


def test_time_goes_to_those_that_need_it(tmp_path: Path) -> None:
    """At a focus batch size the clear one has five rounds, the noisy one more, and the baseline as many."""
    noise = random.Random(1)

    def answer(name: str, size: int) -> jobs.Block:
        return measured(
            10.0 * (1 + 0.03 * noise.random()) if name == "b" else steady(name, size).samples_ms[0]
        )

    sweep, _ = sweep_of(tmp_path, answer, focus_batch_sizes=[4], precision_target=0.8)
    rows = timed(sweep)
    assert rows["a", 4].processes == 5
    assert rows["b", 4].processes > 5
    assert rows["baseline", 4].processes == 2 * rows["b", 4].processes
    assert rows["b", 4].adaptive
    low, high = rows["b", 4].speedup_ci_low, rows["b", 4].speedup_ci_high
    assert low is not None
    assert high is not None
    assert (high / low) ** 0.5 - 1 <= 0.008


def test_what_is_emulated_has_three_rounds_and_no_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is many times slower, whatever comes of two more: others have five, in turns."""
    monkeypatch.setattr(Recipe, "slow", lambda self, device: "emulated" if self.name == "b" else None)
    sweep, children = sweep_of(tmp_path, steady, batch_sizes=[1, 8], focus_batch_sizes=[1, 8])
    rows = timed(sweep)
    assert [rows[key].processes for key in (("a", 1), ("b", 1), ("a", 8), ("b", 8))] == [5, 3, 5, 3]
    assert (rows["a", 1].adaptive, rows["b", 1].adaptive) == (True, False)
    assert children.in_turn == {("baseline", (1, 8)), ("a", (1, 8)), ("b", ())}
    assert rows["b", 8].verdict == "same"  # with the baseline's own blocks of its rounds
    second, again = sweep_of(tmp_path / "second", steady, batch_sizes=[1, 8], focus_batch_sizes=[1, 8])
    second.records.extend(sweep.records)
    timed(second)
    assert again.asked == []


def test_time_is_used_up(tmp_path: Path) -> None:
    """Without time for more rounds, five are all, whatever the target."""
    noise = random.Random(1)
    sweep, _ = sweep_of(
        tmp_path, lambda name, size: measured(noise.uniform(5, 15)), focus_batch_sizes=[4], focus_time=0
    )
    assert {row.processes for key, row in timed(sweep).items() if key[0] != "baseline"} == {5}


@pytest.mark.parametrize(("focus_time", "rounds"), [(29, 5), (31, 6), (61, 7)])
def test_no_further_round_begins_that_would_not_end_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, focus_time: float, rounds: int
) -> None:
    """By the last processes of those that still need one, and of the baseline's: ten seconds each here."""
    now, noise = [0.0], random.Random(1)

    def answer(name: str, size: int) -> jobs.Block:
        now[0] += 10.0
        return measured(noise.uniform(5, 15) if name == "b" else 10.0)

    monkeypatch.setattr("densebench.rounds.time", SimpleNamespace(monotonic=lambda: now[0]))
    sweep, _ = sweep_of(tmp_path, answer, focus_batch_sizes=[4], focus_time=focus_time)
    rows = timed(sweep)
    assert (rows["a", 4].processes, rows["b", 4].processes) == (5, rounds)


@pytest.mark.parametrize(("focus_time", "rounds"), [(31, (5, 6)), (41, (6, 6)), (76, (6, 7))])
def test_where_not_all_fit_those_that_are_known_least_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, focus_time: float, rounds: tuple[int, int]
) -> None:
    """Ten seconds for each, and twice as much for the baseline: `b` scatters more than `a`."""
    now, noise = [0.0], random.Random(1)

    def answer(name: str, size: int) -> jobs.Block:
        now[0] += 10.0
        return measured(10.0 + noise.uniform(-1, 1) * {"baseline": 0.0, "a": 2.0, "b": 6.0}[name])

    monkeypatch.setattr("densebench.rounds.time", SimpleNamespace(monotonic=lambda: now[0]))
    sweep, _ = sweep_of(tmp_path, answer, focus_batch_sizes=[4], focus_time=focus_time)
    rows = timed(sweep)
    assert (rows["a", 4].processes, rows["b", 4].processes) == rounds


def test_a_further_round_costs_what_its_batch_sizes_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`a` is known at one of two, so that a process of it and two of the baseline take half of what they took."""
    now, noise = [0.0], random.Random(1)

    def answer(name: str, size: int) -> jobs.Block:
        now[0] += 10.0
        return measured(noise.uniform(5, 15) if (name, size) == ("a", 8) else 10.0)

    monkeypatch.setattr("densebench.rounds.time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr("densebench.rounds.forecast.process_s", lambda spec, workload, sizes: len(sizes))
    focus = {"batch_sizes": [4, 8], "focus_batch_sizes": [4, 8], "focus_time": 15.5}
    rows = timed(sweep_of(tmp_path, answer, **focus)[0])
    assert (rows["a", 4].processes, rows["a", 8].processes, rows["b", 8].processes) == (5, 6, 5)


def test_disturbed_blocks_are_measured_again_within_a_bound(tmp_path: Path) -> None:
    """A disturbed block is replaced; a row that stays disturbed is kept, and says so and by what."""
    seen: Counter[str] = Counter()

    def answer(name: str, size: int) -> jobs.Block:
        seen[name] += 1
        disturbed = name == "b" or (name == "a" and seen[name] == 1)
        return measured(20.0 if disturbed else 10.0, "others took 1.00 of 2 cores" if disturbed else "")

    sweep, _ = sweep_of(tmp_path, answer, repeats=2)
    rows = timed(sweep)
    once, always = rows["a", 4], rows["b", 4]
    assert (once.stable, once.processes, seen["a"]) == (True, 3, 4)
    assert set(once.all_samples_ms) == {10.0}
    assert once.disturbance == "1 disturbed and repeated: others took 1.00 of 2 cores"
    assert (always.stable, always.processes, seen["b"]) == (False, 3, 5)
    assert "others took 1.00 of 2 cores" in always.disturbance


def test_what_was_left_out_is_told(tmp_path: Path) -> None:
    """Turns with their reason, calls by their share; a resumed row remembers what disturbed it and its peaks."""

    def answer(name: str, size: int) -> jobs.Block:
        more = {"turns_left_out": "3 of 8 turns left out: a backup", "left_out": 0.25} if name == "a" else {}
        return block((10.0, 10.0), host_memory_peak_mb=700.0, **more)

    def telling(name: str, size: int) -> jobs.Block:
        return block((10.0, 10.0), page_faults=5000.0)

    first, _ = sweep_of(tmp_path / "first", answer, recipes=["a"], rounds=1)
    row = timed(first)["a", 4]
    assert (row.stable, row.left_out) == (True, 0.25)
    assert row.disturbance == "3 of 8 turns left out: a backup (in 1 of 1 processes)"
    second, _ = sweep_of(tmp_path / "second", telling, recipes=["a"], rounds=2)
    second.records.extend(
        one.model_copy(update={"stable": False, "page_faults": ()}) for one in first.records
    )
    row = timed(second)["a", 4]
    assert row.page_faults == (None, 5000.0)
    assert (row.stable, row.processes, row.host_memory_peak_mb) == (False, 2, 700.0)
    assert row.disturbance == "3 of 8 turns left out: a backup (in 1 of 1 processes)"


def test_a_baseline_that_fails_costs_the_comparison(tmp_path: Path) -> None:
    """Its row is failed; the others are measured all the same, without a speed-up."""

    def answer(name: str, size: int) -> jobs.Block:
        if name == "baseline":
            raise CellFailed("boom")
        return steady(name, size)

    rows = timed(sweep_of(tmp_path, answer)[0])
    assert (rows["baseline", 4].status, rows["baseline", 4].reason) == ("failed", "boom")
    assert rows["a", 4].status == "ok"
    assert rows["a", 4].throughput_samples_per_s == pytest.approx(800)
    assert rows["a", 4].speedup is None


def test_a_recipe_that_fails_late_leaves_the_rounds(tmp_path: Path) -> None:
    """One crash in three is a failed row with its reason; too slow or out of memory ends larger batches."""
    seen: Counter[tuple[str, int]] = Counter()

    def answer(name: str, size: int) -> jobs.Block:
        seen[name, size] += 1
        if name == "a" and seen[name, size] == 2:
            raise CellFailed("ended by SIGSEGV")
        if name == "b" and size == 4:
            raise Unavailable("too slow here: 99 s a batch")
        return steady(name, size)

    rows = timed(sweep_of(tmp_path, answer, batch_sizes=[2, 4, 8], focus_batch_sizes=[])[0])
    assert [rows["a", size].status for size in (2, 4, 8)] == ["failed"] * 3
    assert [rows["b", size].status for size in (2, 4, 8)] == ["ok", "skipped", "skipped"]
    assert rows["b", 8].reason == "as at batch 4: too slow here: 99 s a batch"
    # what the recipe is known for stands in all its rows
    assert {(row.accuracy_top1, row.artifact) for row in rows.values()} == {(99.0, "models/x")}


@pytest.mark.parametrize("failing", ["a", "baseline"])
def test_what_fails_in_a_further_round_keeps_those_that_it_had(tmp_path: Path, failing: str) -> None:
    """Of its own, and of the baseline those that all are compared with; no more rounds are made of it."""
    seen: Counter[str] = Counter()
    noise = random.Random(2)

    def answer(name: str, size: int) -> jobs.Block:
        seen[name] += 1
        if name == failing and seen[name] == (11 if name == "baseline" else 6):
            raise CellFailed("ended by SIGKILL", out_of_memory=True)
        return measured(noise.uniform(5, 15))

    rows = timed(sweep_of(tmp_path, answer, focus_batch_sizes=[4], focus_time=1e-2)[0])
    assert seen[failing] == (11 if failing == "baseline" else 6)
    assert {row.status for row in rows.values()} == {"ok"}
    assert rows[failing, 4].processes == (10 if failing == "baseline" else 5)
    assert rows[failing, 4].disturbance == "no further rounds: ended by SIGKILL"
    assert all(rows[name, 4].speedup is not None for name in "ab")


def test_a_trace_is_taken_once_at_either_end(tmp_path: Path) -> None:
    """Of each cell at the smallest and the largest batch size the first process is profiled, and no other."""
    sweep, children = sweep_of(tmp_path, steady, batch_sizes=[2, 4, 16], focus_batch_sizes=[])
    timed(sweep)
    assert Counter(children.traced) == {
        (name, size): 1 for name in ("baseline", "a", "b") for size in (2, 16)
    }


def test_energy_that_the_counter_cannot_tell_from_idling_is_blank(tmp_path: Path) -> None:
    """Not 0.0000: the middle of blocks that are below zero as often as above it says nothing."""
    sweep, _ = sweep_of(
        tmp_path, lambda name, size: measured(8.0, energy_j=0.25 if name == "baseline" else -0.01)
    )
    rows = timed(sweep)
    assert rows["baseline", 4].energy_j_per_image == 0.25
    assert rows["a", 4].energy_j_per_image is None


def test_the_baseline_is_in_the_journal_before_what_is_compared_with_it(tmp_path: Path) -> None:
    """Whenever a run is killed, a row that is there has its baseline there."""
    sweep, _ = sweep_of(tmp_path, steady, focus_batch_sizes=[4])
    timed(sweep)
    _check_baseline_first(sweep)


def _check_baseline_first(sweep: Sweep) -> None:
    """Every block in the journal has the baseline's of its round there, in a line before."""
    _, records = journal.read(sweep.spec.output_dir)
    rounds: dict[int, set[int]] = {}
    for record in records:
        known = rounds.setdefault(record.batch_size, set())
        if record.recipe == "baseline":
            known |= set(record.rounds)
        assert set(record.rounds) <= known


@pytest.mark.parametrize(("limit", "rounds"), [(28, 7), (29, 7), (30, 7), (31, 7), (5, 1), (2, 0)])
def test_an_interrupt_costs_the_round_under_way(tmp_path: Path, limit: int, rounds: int) -> None:
    """Whenever it comes, each cell is there with the rounds before; a resumed run goes on from them."""
    calls: list[str] = []
    noise = random.Random(2)

    def answer(name: str, size: int) -> jobs.Block:
        calls.append(name)
        if len(calls) == limit + 1:
            raise KeyboardInterrupt
        return measured(noise.uniform(5, 15))

    sweep, _ = sweep_of(tmp_path / "first", answer, focus_batch_sizes=[4], focus_time=0 if not rounds else 60)
    with pytest.raises(KeyboardInterrupt):
        timed(sweep)
    _, kept = journal.read(sweep.spec.output_dir)
    assert {(row.recipe, row.processes) for row in derive(kept)} == (
        {("baseline", 2 * rounds), ("a", rounds), ("b", rounds)} if rounds else set()
    )
    resumed, _ = sweep_of(tmp_path / "second", answer, focus_batch_sizes=[4], focus_time=0)
    resumed.records.extend(kept)
    assert {row.processes for row in timed(resumed).values() if row.recipe != "baseline"} == {max(rounds, 5)}


def interrupted(limit: int, calls: list[str]) -> Child:
    """Steady answers, and Ctrl-C after so many; whose they were."""

    def answer(name: str, size: int) -> jobs.Block:
        calls.append(name)
        if len(calls) == limit + 1:
            raise KeyboardInterrupt
        return steady(name, size)

    return answer


@pytest.mark.parametrize("limit", range(4))
def test_an_interrupt_of_the_only_round_is_one(tmp_path: Path, limit: int) -> None:
    """Whoever's turn it was: what has no process of the baseline yet is kept all the same."""
    calls: list[str] = []
    sweep, _ = sweep_of(tmp_path, interrupted(limit, calls), rounds=1)
    with pytest.raises(KeyboardInterrupt):
        timed(sweep)
    _, kept = journal.read(sweep.spec.output_dir)
    assert {record.recipe for record in kept} >= set(calls[:-1]) - {"baseline"}


def test_the_share_of_the_ceiling_is_of_all_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the run that is resumed among them, as the throughput is that it follows from."""
    monkeypatch.setitem(FACTS, "threads", 1)
    first, _ = sweep_of(tmp_path / "first", steady, rounds=1)
    first.survey = jobs.Surveyed(ceilings=CEILINGS)
    before = timed(first)
    second, _ = sweep_of(tmp_path / "second", lambda name, size: measured(50.0), rounds=2)
    second.survey = jobs.Surveyed(ceilings=CEILINGS)
    second.records.extend(first.records)
    for key, row in timed(second).items():
        old = before[key]
        assert row.throughput_samples_per_s is not None
        assert old.throughput_samples_per_s is not None
        assert row.throughput_samples_per_s < old.throughput_samples_per_s
        assert row.roofline_fraction is not None
        assert old.roofline_fraction is not None
        slower = row.throughput_samples_per_s / old.throughput_samples_per_s
        assert row.roofline_fraction / old.roofline_fraction == pytest.approx(slower)


@pytest.mark.parametrize("limit", range(4))
def test_an_interrupt_of_the_first_round_of_a_resumed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """What has no process yet in this run keeps its share of the ceiling, which there is for what has."""
    monkeypatch.setitem(FACTS, "threads", 1)
    first, _ = sweep_of(tmp_path / "first", steady, rounds=1)
    first.survey = jobs.Surveyed(ceilings=CEILINGS)
    timed(first)
    second, _ = sweep_of(tmp_path / "second", interrupted(limit, []), rounds=2)
    second.survey = jobs.Surveyed(ceilings=CEILINGS)
    second.records.extend(first.records)
    with pytest.raises(KeyboardInterrupt):
        timed(second)
    assert {row.roofline_fraction is not None for row in second.rows()} == {True}


def test_further_rounds_are_kept_as_they_end(tmp_path: Path) -> None:
    """A kill costs the round under way then too."""
    noise, kept = random.Random(2), []

    def answer(name: str, size: int) -> jobs.Block:
        if name == "baseline":
            kept.append({record.key: record for record in sweep.records})
        return measured(noise.uniform(5, 15))

    sweep, _ = sweep_of(tmp_path, answer, focus_batch_sizes=[4], focus_time=0.05)
    timed(sweep)
    known = [len(one["a", 4].rounds) for one in kept if one]
    assert sorted({*known}) == [*range(1, max(known) + 1)]
    assert max(known) > 5


def test_a_resumed_run_measures_on_what_lacks_rounds(tmp_path: Path) -> None:
    """A recipe that is new has all rounds, the others those that they lack; what ran before isn't given up.

    Neither is it skipped when a smaller batch size runs out of memory this time.
    """

    def answer(name: str, size: int) -> jobs.Block:
        if (name, size) == ("a", 2):
            raise CellFailed("ended by SIGKILL", out_of_memory=True)
        return steady(name, size)

    sizes = {"batch_sizes": [2, 4], "focus_batch_sizes": []}
    first, _ = sweep_of(tmp_path / "first", steady, recipes=["a"], rounds=1, **sizes)
    timed(first)
    second, children = sweep_of(tmp_path / "second", answer, rounds=3, **sizes)
    second.records.extend(first.records)
    rows = timed(second)
    assert {key: row.processes for key, row in rows.items() if key[1] == 4} == {
        ("baseline", 4): 8,  # three rounds for b, beside the one before
        ("a", 4): 3,
        ("b", 4): 3,
    }
    assert (rows["a", 2].status, rows["a", 2].reason) == ("failed", "ended by SIGKILL")
    assert Counter(children.asked)["a", 4] == 2
    _check_baseline_first(second)


def test_a_recipe_that_is_added_has_a_baseline_of_its_own_rounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the journal too, after each round: the rows that were there have all theirs and are left alone."""
    monkeypatch.setattr(batch_size, "made_before", lambda *_: FACTS)  # there is no artifact to be whole
    first, _ = sweep_of(tmp_path / "first", steady, recipes=["a"])
    timed(first)
    second, children = sweep_of(tmp_path / "second", steady)
    second.records.extend(first.records)
    rows = timed(second)
    assert (rows["b", 4].processes, rows["b", 4].verdict) == (3, "same")
    assert {name for name, _ in children.asked} == {"baseline", "b"}
    _check_baseline_first(second)


def test_a_journal_from_before_rounds_shares_none_with_new_ones(tmp_path: Path) -> None:
    """What is asked for is measured anew; what isn't is not compared with another hour's baseline."""
    first, _ = sweep_of(tmp_path / "first", steady)
    timed(first)
    second, _ = sweep_of(tmp_path / "second", steady, recipes=["b"])
    second.records.extend(one.model_copy(update={"rounds": ()}) for one in first.records)
    rows = timed(second)
    assert (rows["b", 4].processes, rows["b", 4].verdict) == (3, "same")
    assert (rows["a", 4].status, rows["a", 4].speedup) == ("ok", None)


def test_a_process_starts_with_its_recipes_variables(tmp_path: Path) -> None:
    """An allocator and a number of threads act from a process's start; what asks for neither has nothing of them."""
    asked = ["a", "allocator", "threads:count=2+allocator"]
    sweep, children = sweep_of(tmp_path, lambda name, size: measured(10), recipes=asked, rounds=1)
    timed(sweep)
    assert children.started == {
        "baseline": [{}, {}],
        "a": [{}],
        "allocator": [KEEP_FREED_MEMORY],
        "threads_count_2_allocator": [{"OMP_NUM_THREADS": "2", **KEEP_FREED_MEMORY}],
    }
