"""A recipe at a batch size while it is measured: one block from each fresh process, and what they amount to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

from densebench import jobs
from densebench.cells import Sweep, now, record_of
from densebench.measure.ceilings import ceilings_of, share
from densebench.measure.disturbance import of_row
from densebench.recipe import Recipe
from densebench.record import Record, Status
from densebench.stats.comparison import blocks, throughput


@dataclass(eq=False)
class Cell:
    """One block a round, and what the recipe's artifact is known for.

    Attributes:
        earlier: the record of a run that is resumed: it lacks rounds, or others are to be compared with it.
        repeated: what disturbed the blocks that were done again.

    """

    recipe: Recipe
    batch_size: int
    facts: Mapping[str, object]
    earlier: Record | None = None
    started_at: str = field(default_factory=now)
    blocks: list[jobs.Block] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    traces: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Rounds that it has had, those of an earlier run among them."""
        return len({*(self.earlier.rounds if self.earlier else ()), *self.rounds})

    @property
    def fresh(self) -> bool:
        """Whether a process was timed at it first: only that one's memory and first inference are its own."""
        before = self.earlier is not None and self.earlier.first_inference_s is not None
        return before or any(one.first_inference_s is not None for one in self.blocks)

    def forget(self, number: int) -> None:
        """Drop what it had of this round."""
        kept = [place for place, one in enumerate(self.rounds) if one != number]
        self.blocks, self.rounds = (
            [self.blocks[place] for place in kept],
            [self.rounds[place] for place in kept],
        )

    def record(self, sweep: Sweep, *, adaptive: bool) -> Record:
        """What the blocks so far amount to, with those of an earlier run."""
        before = self.earlier
        said = of_row([one.disturbance for one in self.blocks])
        again = (
            f"{len(self.repeated)} disturbed and repeated: {of_row(self.repeated)}" if self.repeated else ""
        )
        facts: dict[str, object] = dict(self.facts) | {
            "samples_ms": (*(before.samples_ms if before else ()), *(one.samples_ms for one in self.blocks)),
            "beside_ms": (*self._former("beside_ms"), *(one.beside_ms for one in self.blocks)),
            "turns": (*self._former("turns"), *(one.turns for one in self.blocks)),
            "page_faults": (*self._former("page_faults", None), *(one.page_faults for one in self.blocks)),
            "left_out": fmean(
                [
                    *([before.left_out] * len(before.samples_ms) if before else ()),
                    *(b.left_out for b in self.blocks),
                ]
            ),
            "rounds": (*(before.rounds if before else ()), *self.rounds),
            "adaptive": adaptive,
            "stable": not said and (before is None or before.stable is not False),
            "disturbance": "; ".join(
                filter(None, (before.disturbance if before else "", said, again, self._turns_left_out()))
            ),
            "traces": self.traces or (before.traces if before else ()),
            "roofline_fraction": self._share_of_ceiling(sweep),
        }
        for name in ("host_memory_peak_mb", "vram_peak_mb", "vram_driver_peak_mb"):
            earlier = getattr(before, name, None)
            facts[name] = max([*self._figures(name), *([] if earlier is None else [earlier])], default=None)
        for name in ("load_s", "first_inference_s", "host_memory_floor_mb", "energy_j_per_image"):
            found = self._figures(name)
            facts[name] = median(found) if found else getattr(before, name, None)
        if (joules := facts["energy_j_per_image"]) is not None and not float(str(joules)) > 0:
            facts["energy_j_per_image"] = None  # less than this counter can tell from idling
        if facts["cold_start_s"] is None:  # a start without a compiler's cache is the only kind there is
            firsts = [
                one.load_s + one.first_inference_s for one in self.blocks if one.first_inference_s is not None
            ]
            facts["cold_start_s"] = median(firsts) if firsts else getattr(before, "cold_start_s", None)
        return record_of(sweep, self.recipe, self.batch_size, self.started_at, status=Status.OK, **facts)

    def _former(self, name: str, nothing: object = ()) -> Sequence[Any]:
        """What an earlier run says of each of its processes: `nothing` of any, where it says nothing."""
        before = self.earlier
        return () if before is None else getattr(before, name) or (nothing,) * len(before.samples_ms)

    def _turns_left_out(self) -> str:
        """Of the first process that had turns disturbed, and how many others had."""
        told = [one.turns_left_out for one in self.blocks if one.turns_left_out]
        return f"{told[0]} (in {len(told)} of {len(self.blocks)} processes)" if told else ""

    def _figures(self, name: str) -> Sequence[float]:
        return [value for one in self.blocks if (value := getattr(one, name)) is not None]

    def _share_of_ceiling(self, sweep: Sweep) -> float | None:
        known, macs_g = ceilings_of(sweep.survey.ceilings), self.facts.get("macs_g")
        if known is None or not isinstance(macs_g, float) or self.facts.get("threads") != known.threads:
            return None  # a ceiling holds for as many threads as it was measured with
        if not self.blocks:
            return self.earlier.roofline_fraction if self.earlier else None
        before = self.earlier
        samples = [*(before.samples_ms if before else ()), *(one.samples_ms for one in self.blocks)]
        own = blocks(samples, [*(before.rounds if before else ()), *self.rounds])
        return share(macs_g, throughput(own, self.batch_size).value, str(self.facts["precision"]), known)
