"""Two results folders, row by row: whether B is faster or slower than A.

The runs shared no rounds, and a machine is not the same on another day, so each batch size has its own yardstick:

- One machine and set-up, and the interval between the two baselines holds 1 and lies inside the margin (±3 %, or the
  gate's own limit where that is less): images a second are compared, B's over A's. The machine is seen to have held.
- One machine and set-up, but the baselines differ or might, or one run timed in pairs with the baseline and the other
  did not: speed-ups are compared, each over its own run's baseline.
  Whatever slowed a whole round cancels in them. An interval of throughputs would not hold the truth: it knows how
  processes scatter within a run, not how one run differs from the next.
- One machine and set-up, and nothing to tell a change of the machine by: images a second, with a warning.
- One machine and set-up, but another model, other weights or another version of this project: images a second. The
  baselines may differ because of these, so baselines that differ are no evidence of a changed machine.
- Another machine, device, image size or number of threads, or other libraries: speed-ups only.

Speed-ups hide what slows the baseline as well. A gate must not pass on that: see `compare_gate.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from densebench.cli.compare_runs import Key, Run, Unlike, changes, listed, one_machine, other_steps, set_up
from densebench.results.observation import Status
from densebench.spec import BASELINE
from densebench.stats.samples import CONFIDENCE
from densebench.stats.speedup import CLEAR, Estimate, Verdict, log_ratios, throughput, verdict
from densebench.stats.two_runs import Difference, difference, round_logs
from densebench.text import batches, joined

By = Literal["throughput", "speedup"]


@dataclass(frozen=True)
class Pair:
    """One cell of both runs: the logarithm of B over A, or the reason why there is none."""

    recipe: str
    batch_size: int
    by: By | None = None
    a_images_per_s: float | None = None
    b_images_per_s: float | None = None
    difference: Difference | None = None
    yardstick: bool = False  # the baseline where others are compared by it: shown, and not judged
    interference: str = ""  # what else used the machine while B was measured
    lost: bool = False  # it ran in A; in B it was tried, and did not
    reason: str = ""

    @property
    def judged(self) -> bool:
        return self.difference is not None and not self.yardstick

    @property
    def ratio(self) -> Estimate | None:
        return None if self.difference is None else self.difference.ratio(CONFIDENCE)

    @property
    def verdict(self) -> Verdict | None:
        """As in a row; `unclear` where there are no replicates."""
        return (verdict(self.ratio) or "unclear") if self.ratio else None


@dataclass(frozen=True)
class Compared:
    """Every pair, in A's order, and what a reader must know about how they were compared."""

    pairs: list[Pair]
    notes: list[str]
    doubt: str = ""  # why no gate can be passed, whatever the pairs show


def compare(a: Run, b: Run, margin: float = CLEAR) -> Compared:
    """Compare B with A.

    Args:
        a: the run to compare with, such as the main branch's.
        b: the run in question.
        margin: as a fraction; images a second are compared only where the baselines are known to agree within it,
            or differ for a known reason.

    """
    order = dict.fromkeys(recipe for run in (a, b) for recipe, _ in run.records)
    sizes = sorted({size for run in (a, b) for _, size in run.records})
    how = _How(a, b, margin, changes(a, b), set_up(a, b))
    pairs: dict[Key, Pair] = {}
    said: dict[str, list[int]] = {}  # why at which batch sizes
    for size in sizes:
        keys = [(name, size) for name in order if (name, size) in a.records or (name, size) in b.records]
        both = [key for key in keys if a.timed(key) and b.timed(key)]
        by, note = how.yardstick(size, both)
        said.setdefault(note, []).append(size)
        for key in keys:
            pairs[key] = how.pair(key, by, judged=bool(how.changed) or both == [(BASELINE, size)])
    ordered = [pairs[name, size] for name in order for size in sizes if (name, size) in pairs]
    notes = [*how.notes(), *(f"{batches(found)}: {note}" for note, found in said.items() if note)]
    return Compared(ordered, [*notes, *other_steps(a, b, order)], how.doubt())


@dataclass(frozen=True)
class _How:
    """How two runs are compared: what follows from the differences between them."""

    a: Run
    b: Run
    margin: float
    changed: Unlike  # in what is measured
    unlike: Unlike  # in where and with what it is measured

    def notes(self) -> list[str]:
        """What differs, and what that means for all rows."""
        found = [f"the runs differ in {listed(self.changed)}"] if self.changed else []
        if self.unlike:
            found.append(
                "results of different machines or set-ups are compared only as ratios to their own baselines; "
                f"these differ in {listed(self.unlike)}"
            )
        elif self.changed:
            found[0] += (
                ", which may change the baseline's own speed: images a second are compared as they are"
            )
            if marked := self._interference():
                found.append(f"measured with interference, which may be why a figure differs: {marked}")
        return found

    def doubt(self) -> str:
        """Why nobody can tell whether B became slower: neither images a second nor speed-ups are of one thing."""
        if not (self.changed and self.unlike):
            return ""
        return (
            f"the runs differ in {joined(list(self.changed))}, and their set-ups in {joined(list(self.unlike))}, so "
            "a slower model can't be told from a slower set-up; run both on one machine, with the same libraries "
            "and flags"
        )

    def yardstick(self, size: int, both: Sequence[Key]) -> tuple[By, str]:
        """What the rows of a batch size are compared by, and why."""
        if self.unlike:
            return "speedup", self._moved(size)
        if self.changed:
            return "throughput", ""
        return self._by_the_baseline(size, both) if both else ("speedup", "")

    def _by_the_baseline(self, size: int, both: Sequence[Key]) -> tuple[By, str]:
        """The same of one model on one machine, where the baseline tells whether the machine held."""
        if both == [(BASELINE, size)] or (BASELINE, size) not in both:
            return (
                "throughput",
                "nothing to tell a change of the machine by, so images a second are compared as they are",
            )
        if paired := [name for name, _ in both if self._paired((name, size))]:
            return "speedup", (
                f"{joined(paired)} timed in pairs with the baseline in one run only (give both the same "
                "--focus-batch-sizes), which may change figures by some percent: speed-ups over each run's own "
                "baseline are compared"
            )
        ratio = self.pair((BASELINE, size), "throughput").ratio
        if ratio is None or ratio.low is None or ratio.high is None:
            return "speedup", (
                "too few processes to tell whether the baselines differ, so speed-ups are compared"
            )
        low, high = 1 / (1 + self.margin), 1 + self.margin  # the same with the sides exchanged
        if low <= ratio.low <= 1 <= ratio.high <= high:
            return "throughput", ""
        moved = self._moved(size) or f"the baselines may differ ({_span(ratio)})"
        return "speedup", f"{moved}, so speed-ups over each run's own baseline are compared"

    def _moved(self, size: int) -> str:
        """How the baseline itself differs and why, as far as the results show; "" where it is not seen to differ."""
        baseline = self.pair((BASELINE, size), "throughput")
        if baseline.ratio is None or baseline.verdict not in ("faster", "slower"):
            return ""
        name, slower = ("A", self.a) if baseline.verdict == "faster" else ("B", self.b)
        why = "perhaps by the libraries" if self.unlike else "for a reason that these results don't show"
        if seen := slower.interference((BASELINE, size)):
            why = f"and {name} was measured with interference ({seen})"
        return f"the baseline itself differs ({_span(baseline.ratio)}) {why}"

    def pair(self, key: Key, by: By, *, judged: bool = False) -> Pair:
        """One cell of both runs; a baseline that is `judged` is a row like any other."""
        recipe, size = key
        ours, theirs = self.a.timed(key), self.b.timed(key)
        if ours is None or theirs is None:
            lacks = [f"{run.lack(key)} {name}" for name, run in self._runs if run.timed(key) is None]
            return Pair(recipe, size, lost=self._lost(key), reason="; ".join(lacks))
        pair = Pair(
            recipe,
            size,
            a_images_per_s=throughput(ours.processes_by_round, size).value,
            b_images_per_s=throughput(theirs.processes_by_round, size).value,
            yardstick=recipe == BASELINE and not judged,
            interference=self.b.interference(key),
        )
        if recipe == BASELINE:
            if (self.changed and self.unlike) or not one_machine(self.unlike):
                return replace(pair, yardstick=True, reason="what the others are compared by")
            by = "throughput"
        if self.changed and by == "throughput" and self._paired(key):
            return replace(
                pair,
                reason="timed in pairs with the baseline in one run only; give both the same --focus-batch-sizes",
            )
        logs = [_logs(run, key, by) for _, run in self._runs]
        if lacks := [name for (name, _), found in zip(self._runs, logs, strict=True) if not found]:
            return replace(pair, reason=f"no baseline measured in the same rounds in {' and '.join(lacks)}")
        return replace(pair, by=by, difference=difference(*logs))

    @property
    def _runs(self) -> tuple[tuple[str, Run], tuple[str, Run]]:
        return ("A", self.a), ("B", self.b)

    def _paired(self, key: Key) -> bool:
        """Whether one run alone timed a cell in pairs with the baseline."""
        return self.a.paired(key) != self.b.paired(key)

    def _interference(self) -> str:
        """The cells that were measured with interference, run by run."""
        marked = {
            name: [
                f"{recipe}, {batches([size])}"
                for recipe, size in run.records
                if run.interference((recipe, size))
            ]
            for name, run in self._runs
        }
        return "; ".join(f"in {name} {', '.join(cells)}" for name, cells in marked.items() if cells)

    def _lost(self, key: Key) -> bool:
        """Whether what ran in A broke in B. Another machine may rightly skip it."""
        record = self.b.records.get(key)
        broken = {Status.FAILED, Status.TIMED_OUT} | (set() if self.unlike else {Status.SKIPPED})
        return self.a.timed(key) is not None and record is not None and record.status in broken


def _span(ratio: Estimate) -> str:
    return f"{ratio.value:.2f}x, {ratio.low:.2f} to {ratio.high:.2f}"


def _logs(run: Run, key: Key, by: By) -> list[float]:
    """One logarithm a round: of the speed, or of the speed-up."""
    record, baseline = run.timed(key), run.timed((BASELINE, key[1]))
    assert record
    if by == "throughput":
        return round_logs(record.processes_by_round)
    return log_ratios(record.processes_by_round, baseline.processes_by_round) if baseline else []
