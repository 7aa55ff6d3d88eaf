"""The gate of `densebench compare`: passed, failed, or no way to tell.

A gate that passes says that no row is surely slower than allowed. Speed-ups over each run's own baseline can't say
that where the baseline itself became slower: they hide what slows every row alike, be it the machine or the change
in question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from densebench.cli.compare import Compared, Pair
from densebench.stats.samples import CONFIDENCE
from densebench.stats.two_runs import rejected
from densebench.text import joined, times

Result = Literal["passed", "failed", "can't tell"]


@dataclass(frozen=True)
class Gate:
    """What came of a gate that allows rows to be slower by `percent`."""

    percent: float
    slow: list[Pair]
    lost: list[Pair]
    doubt: str = ""  # why passing would mean nothing, and what would make it mean something

    @property
    def result(self) -> Result:
        if self.slow or self.lost:
            return "failed"
        return "can't tell" if self.doubt else "passed"


def gate(found: Compared, percent: float) -> Gate:
    """The gate's result for two runs."""
    slow = [] if found.doubt else too_slow(found.pairs, percent)
    doubt = found.doubt or _slower_baselines(found.pairs, percent)
    return Gate(percent, slow, [pair for pair in found.pairs if pair.lost], doubt)


def too_slow(pairs: Sequence[Pair], percent: float) -> list[Pair]:
    """The rows that are surely slower by more than `percent`: one gate in 40 at most names any row wrongly.

    A single row is judged as by its 95 % interval, at 2.5 % on the slow side; Holm's correction makes that hold for
    all rows together, for a gate that fails by chance is soon switched off.
    """
    return _surely_slower([pair for pair in pairs if pair.judged], percent)


def _surely_slower(pairs: Sequence[Pair], percent: float) -> list[Pair]:
    p_values = [pair.difference.p_not_below(1 - percent / 100) for pair in pairs if pair.difference]
    fallen = rejected(p_values, (1 - CONFIDENCE) / 2)
    return [pair for pair, slow in zip(pairs, fallen, strict=True) if slow]


def _slower_baselines(pairs: Sequence[Pair], percent: float) -> str:
    """What must be said of baselines that became slower than allowed, where nothing else was seen to slow them."""
    known = [pair for pair in pairs if pair.yardstick and pair.difference and not pair.interference]
    slower = _surely_slower(known, percent)
    shown = [f"{times(pair.ratio.value)} at batch {pair.batch_size}" for pair in slower if pair.ratio]
    return (
        f"the baseline itself is surely slower in B by more than {percent:g} % ({joined(shown)}), and no "
        "interference was seen that would explain it; run both again, one after the other, on one machine"
        if shown
        else ""
    )
