"""Two results folders, row by row: whether B is faster or slower than A.

The runs shared no rounds, and a machine is not the same on another day, so each batch size has its own yardstick:

- The same set-up, and the interval between the two baselines holds 1 and lies inside the margin (±3 %, or the gate's
  own limit where that is less): images a second are compared, B's over A's. The machine is seen to have held.
- The same set-up, but the baselines differ or might, or one run timed in turns with the baseline and the other did
  not: speed-ups are compared, each over its own run's baseline.
  Whatever slowed a whole round cancels in them. An interval of throughputs would not hold the truth: it knows how
  processes scatter within a run, not how one run differs from the next.
- The same set-up, and nothing to tell a change of the machine by: images a second, with a warning.
- Another machine, device, model, image size or number of threads: speed-ups only.

The price: where a change slows the baseline as well, only the baseline's own row and a warning show it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from densebench.record import BASELINE, Record, Status
from densebench.sinks import journal
from densebench.stats import comparison
from densebench.stats.comparison import CLEAR, CONFIDENCE_LOOKED, Estimate, Verdict
from densebench.stats.samples import CONFIDENCE
from densebench.stats.two_runs import Difference, difference, rejected, round_logs
from densebench.wording import STATUS_WORDS, batches, joined, one_line

Key = tuple[str, int]
By = Literal["throughput", "speedup"]
SETUP = ("environment_id", "model", "device", "threads", "image_size")  # must be the same for images a second


@dataclass(frozen=True)
class Run:
    """One results folder: its header, and the last record of every cell."""

    header: journal.Header
    records: Mapping[Key, Record]

    @classmethod
    def read(cls, folder: Path) -> Run:
        """The run in a folder.

        Raises:
            InputError: no journal there, or a damaged one.

        """
        header, records = journal.read(folder)
        return cls(header, {record.key: record for record in records})

    def timed(self, key: Key) -> Record | None:
        """The record of a cell that was measured."""
        record = self.records.get(key)
        return record if record and record.status is Status.OK and record.samples_ms else None

    def lack(self, key: Key) -> str:
        """Why a cell has no samples."""
        record = self.records.get(key)
        if record is None:
            return "not in"
        if record.status is Status.OK:
            return "no samples in"
        reason = f" ({one_line(record.reason)})" if record.reason else ""
        return f"{STATUS_WORDS[record.status]}{reason} in"


@dataclass(frozen=True)
class Pair:
    """One cell of both runs: the logarithm of B over A, or the reason why there is none."""

    recipe: str
    batch_size: int
    by: By | None = None
    a_images_per_s: float | None = None
    b_images_per_s: float | None = None
    difference: Difference | None = None
    confidence: float = CONFIDENCE  # to compute with, so that the interval holds the truth 95 times in 100
    yardstick: bool = False  # the baseline where others are compared by it: shown, and not judged
    lost: bool = False  # it ran in A; in B it was tried, and did not
    reason: str = ""

    @property
    def judged(self) -> bool:
        return self.difference is not None and not self.yardstick

    @property
    def ratio(self) -> Estimate | None:
        return None if self.difference is None else self.difference.ratio(self.confidence)

    @property
    def verdict(self) -> Verdict | None:
        """By the contract's rule; `unclear` where there are no replicates."""
        return (comparison.verdict(self.ratio) or "unclear") if self.ratio else None


@dataclass(frozen=True)
class Compared:
    """Every pair, in A's order, and what a reader must know about how they were compared."""

    pairs: list[Pair]
    notes: list[str]


def compare(a: Run, b: Run, margin: float = CLEAR) -> Compared:
    """Compare B with A.

    Args:
        a: the run to compare with, such as the main branch's.
        b: the run in question.
        margin: as a fraction; images a second are compared only where the baselines are known to agree within it.

    """
    order = dict.fromkeys(recipe for run in (a, b) for recipe, _ in run.records)
    sizes = sorted({size for run in (a, b) for _, size in run.records})
    apart = _apart(a, b)
    notes = _weights(a, b)
    if apart:
        notes.append(
            "results of different machines or set-ups are compared only as ratios to their own baselines; "
            f"these differ in {'; '.join(apart)}"
        )
    pairs: dict[Key, Pair] = {}
    said: dict[str, list[int]] = {}  # why at which batch sizes
    for size in sizes:
        keys = [(name, size) for name in order if (name, size) in a.records or (name, size) in b.records]
        both = [key for key in keys if a.timed(key) and b.timed(key)]
        by: By = "speedup"
        if not apart and both:
            by, note = _yardstick(a, b, size, both, margin)
            said.setdefault(note, []).append(size)
        for key in keys:
            pairs[key] = _pair(a, b, key, by, same=not apart, alone=both == [(BASELINE, size)])
    notes += [f"{batches(found)}: {note}" for note, found in said.items() if note]
    notes += _steps(a, b, order)
    return Compared([pairs[name, size] for name in order for size in sizes if (name, size) in pairs], notes)


def too_slow(pairs: Sequence[Pair], percent: float) -> list[Pair]:
    """The rows that are surely slower by more than `percent`: one gate in 40 at most names any row wrongly.

    A single row is judged as by its 95 % interval, at 2.5 % on the slow side; Holm's correction makes that hold for
    all rows together, for a gate that fails by chance is soon switched off.
    """
    judged = [pair for pair in pairs if pair.judged]
    p_values = [
        pair.difference.p_not_below(1 - percent / 100) * (1 - CONFIDENCE) / (1 - pair.confidence)
        for pair in judged
        if pair.difference
    ]
    fallen = rejected(p_values, (1 - CONFIDENCE) / 2)
    return [pair for pair, slow in zip(judged, fallen, strict=True) if slow]


def _yardstick(a: Run, b: Run, size: int, both: Sequence[Key], margin: float) -> tuple[By, str]:
    """What rows of one machine are compared by at a batch size, and why."""
    if both == [(BASELINE, size)] or (BASELINE, size) not in both:
        return (
            "throughput",
            "nothing to tell a change of the machine by, so images a second are compared as they are",
        )
    baseline = _pair(a, b, (BASELINE, size), "throughput", same=True, alone=False)
    ratio = baseline.ratio
    assert ratio
    if turned := [name for name, _ in both if _in_turns(a, (name, size)) != _in_turns(b, (name, size))]:
        return "speedup", (
            f"{joined(turned)} timed in turns with the baseline in one run only (give both the same "
            "--focus-batch-sizes), which may change figures by some percent: speed-ups over each run's own baseline "
            "are compared"
        )
    if ratio.low is None or ratio.high is None:
        return "speedup", "too few processes to tell whether the machine changed, so speed-ups are compared"
    if 1 / (1 + margin) <= ratio.low <= 1 <= ratio.high <= 1 + margin:  # the same with the sides exchanged
        return "throughput", ""
    span = f"{ratio.value:.2f}x, {ratio.low:.2f} to {ratio.high:.2f}"
    if baseline.verdict in ("faster", "slower"):
        return "speedup", (
            f"the baseline itself is {baseline.verdict} in B ({span}): the machine changed, so speed-ups over each "
            "run's own baseline are compared"
        )
    return "speedup", (
        f"the baselines may differ ({span}), so speed-ups over each run's own baseline are compared"
    )


def _pair(a: Run, b: Run, key: Key, by: By, *, same: bool, alone: bool) -> Pair:
    recipe, size = key
    ours, theirs = a.timed(key), b.timed(key)
    if ours is None or theirs is None:
        lacks = [f"{run.lack(key)} {name}" for name, run in (("A", a), ("B", b)) if run.timed(key) is None]
        return Pair(recipe, size, lost=_lost(a, b, key, same=same), reason="; ".join(lacks))
    pair = Pair(
        recipe,
        size,
        a_images_per_s=comparison.throughput(ours.blocks, size).value,
        b_images_per_s=comparison.throughput(theirs.blocks, size).value,
        confidence=CONFIDENCE_LOOKED if ours.adaptive or theirs.adaptive else CONFIDENCE,
        yardstick=recipe == BASELINE and not alone,
    )
    if recipe == BASELINE:
        if not same:
            return replace(pair, yardstick=True, reason="what the others are compared by")
        by = "throughput"
    logs = [_logs(run, key, by) for run in (a, b)]
    if lacks := [name for name, found in zip("AB", logs, strict=True) if not found]:
        return replace(pair, reason=f"no baseline measured beside it in {' and '.join(lacks)}")
    return replace(pair, by=by, difference=difference(*logs))


def _in_turns(run: Run, key: Key) -> bool:
    """Whether a cell was timed in turns with the baseline."""
    record = run.timed(key)
    return record is not None and any(record.turns)


def _lost(a: Run, b: Run, key: Key, *, same: bool) -> bool:
    """Whether what ran in A broke in B. Another machine may rightly skip it."""
    record = b.records.get(key)
    broken = {Status.FAILED, Status.TIMED_OUT} | ({Status.SKIPPED} if same else set())
    return a.timed(key) is not None and record is not None and record.status in broken


def _logs(run: Run, key: Key, by: By) -> list[float]:
    """One logarithm a round: of the speed, or of the speed-up."""
    record, baseline = run.timed(key), run.timed((BASELINE, key[1]))
    assert record
    if by == "throughput":
        return round_logs(record.blocks)
    return comparison.log_ratios(record.blocks, baseline.blocks) if baseline else []


def _apart(a: Run, b: Run) -> list[str]:
    """What makes images a second of the two runs incomparable: each difference with its two values."""
    ours, theirs = (next(iter(run.records.values()), None) for run in (a, b))
    values = {name: (getattr(ours, name, ""), getattr(theirs, name, "")) for name in SETUP}
    found = {name: pair for name, pair in values.items() if pair[0] != pair[1]}
    if "environment_id" in found and (facts := _unlike(a.header.environment, b.header.environment)):
        del found["environment_id"]  # it only stands for these
        found |= facts
    return [one_line(f"{name} (A {x}, B {y})") for name, (x, y) in found.items()]


def _weights(a: Run, b: Run) -> list[str]:
    found = _unlike(a.header.identity, b.header.identity)
    return ["the runs differ in their weights"] if {"weights", "weights_sha256"} & set(found) else []


def _unlike(ours: Mapping[str, object], theirs: Mapping[str, object]) -> dict[str, tuple[object, object]]:
    both = {name: (ours.get(name, "none"), theirs.get(name, "none")) for name in {**ours, **theirs}}
    return {name: values for name, values in both.items() if values[0] != values[1]}


def _steps(a: Run, b: Run, order: Mapping[str, None]) -> list[str]:
    """A recipe of one name that is not the same recipe."""
    steps = [{name: record.steps for (name, _), record in run.records.items()} for run in (a, b)]
    both = [name for name in order if name in steps[0] and name in steps[1]]
    changed = [name for name in both if steps[0][name] != steps[1][name]]
    return [f"{name} is {steps[0][name]} in A and {steps[1][name]} in B" for name in changed]
