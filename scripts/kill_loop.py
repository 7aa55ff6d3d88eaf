"""Kill a sweep with SIGKILL at random moments, go on with --resume, and check each time what is left.

    python scripts/kill_loop.py 50 [SEED]

After every kill: no process of the run is alive and its scratch folder is gone; the journal still starts with all
that it held before; no build, evaluation or whole round that was finished is done again; every artifact, trace, table
and report that has its name is whole. A sweep that gets to its end has every cell in the CSV once, each in as many
whole rounds as it was to have, and no file but those that belong there; then a new one is begun. Exits 1 at the first
check that fails.
"""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from densebench.artifacts.load import read_manifest
from densebench.results import journal
from densebench.results.current import Cell, current
from densebench.results.observation import MeasureObservation, Observation
from densebench.spec import BASELINE

MARK = "KILL_LOOP"  # environment variable that tells this loop's processes from others
SUITE = """
model = "squeezenet1_1"
weights = "random"
data = "none"
image-size = 32
device = "cpu"
threads = 1
recipes = ["channels_last"]
batch-sizes = [1, 2]
sample-time = 0.05
deploy-time = 0.1
rounds = 2
confirmation-rounds = 2
focus-batch-sizes = []
repeats = 0
ceilings = false
"""
ROUNDS = CONFIRMATION_ROUNDS = 2
CELLS = [(recipe, size) for recipe in (BASELINE, "channels_last") for size in (1, 2)]
GONE_S = 30.0  # a fork server that is still importing PyTorch notices at the end of that
SWEEP_S = 600.0


@dataclass
class Loop:
    """Sweeps, one after the other, each killed until it gets to its end."""

    folder: Path
    seed: int
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    sweeps: int = 0
    whole_s: float = 15.0  # how long a sweep takes that nobody kills: a guess, until one got to its end
    found: Counter[str] = field(default_factory=Counter)  # what the killed run had got to

    @property
    def out(self) -> Path:
        """The folder of the sweep under way."""
        return self.folder / f"out{self.sweeps}"

    def run(self, kills: int) -> None:
        """Kill so many times."""
        dice = random.Random(self.seed)  # noqa: S311 - not a secret
        (self.folder / "tmp").mkdir()
        (self.folder / "suite.toml").write_text(SUITE, encoding="utf-8")
        while sum(self.found.values()) < kills:
            whole = self._finished() == {*CELLS}  # the confirmation and the report are left to be killed in
            self._attempt(SWEEP_S if whole else dice.uniform(0, self.whole_s))
        while self.out.exists():
            self._attempt(SWEEP_S)

    def _attempt(self, limit_s: float) -> None:
        """Run or resume, to the end or until it is killed."""
        before = self._journal()
        command = [sys.executable, "-m", "densebench", "run", "--resume", "--suite=suite.toml"]
        command += [f"--output-dir={self.out}", f"--log-dir={self.out}-log"]
        own = {MARK: self.mark, "TMPDIR": str(self.folder / "tmp"), "OMP_NUM_THREADS": "1"}
        own |= {"DENSEBENCH_KEY_FILE": str(self.folder / "signing.key"), "CUDA_VISIBLE_DEVICES": ""}
        started = time.monotonic()
        with (self.folder / "said").open("wb") as said:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=os.environ | own,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self._check_killed(before)
        else:
            words = (self.folder / "said").read_text(encoding="utf-8", errors="replace")
            check(code == 0, f"exit code {code}: {words}")
            if not before:
                self.whole_s = time.monotonic() - started
            self._check_ended(before)
            self.sweeps += 1

    def _journal(self) -> bytes:
        path = self.out / journal.FILE_NAME
        content = path.read_bytes() if path.exists() else b""
        return content[: content.rfind(b"\n") + 1]

    def _observations(self) -> list[Observation]:
        return journal.read(self.out)[1] if self._journal() else []

    def _finished(self) -> set[Cell]:
        """The cells that have all their rounds."""
        known = current(self._observations())
        return {cell for cell in CELLS if len(known.rounds(cell)) >= ROUNDS}

    def _check_killed(self, before: bytes) -> None:
        deadline = time.monotonic() + GONE_S
        while (alive := processes(self.mark)) and time.monotonic() < deadline:
            time.sleep(0.05)
        check(not alive, f"still alive: {alive}")
        self._check_whole(before)
        made = len(list(self.out.glob("models/*/manifest.json")))
        rounds = len(whole_rounds(self._observations()))
        there = (self.out / journal.FILE_NAME).exists()
        state = f"{made} of 2 models, {rounds} whole rounds" if there else "no journal"
        self.found[state] += 1
        print(f"kill {sum(self.found.values())}: {state}", file=sys.stderr, flush=True)

    def _check_whole(self, before: bytes) -> None:
        check(self._journal().startswith(before), "the journal has lost lines")
        check(not (again := done_again(self._observations())), f"done again: {', '.join(again)}")
        left = [path.name for path in (self.folder / "tmp").glob("densebench-*")]
        check(not left, f"left in the folder for temporary files: {left}")
        os.environ["DENSEBENCH_KEY_FILE"] = str(self.folder / "signing.key")
        for manifest in self.out.glob("models/[!.]*/manifest.json"):
            read_manifest(manifest.parent)
        for trace in Path(f"{self.out}-log").glob("profile/*/[!.]*.json"):
            json.loads(trace.read_bytes())
        table = self.out / "benchmark_results.csv"
        if table.exists():
            with table.open(encoding="utf-8", newline="") as file:
                cells = [(row["recipe"], int(row["batch_size"])) for row in csv.DictReader(file)]
            check(cells == CELLS, f"the CSV holds {cells}")
        page = self.out / "report.html"
        check(
            not page.exists() or page.read_text(encoding="utf-8").rstrip().endswith("</html>"),
            "the report breaks off",
        )

    def _check_ended(self, before: bytes) -> None:
        check(not (alive := processes(self.mark)), f"still alive: {alive}")
        self._check_whole(before)
        known = current(self._observations())
        rounds = {cell: sorted(known.rounds(cell)) for cell in CELLS}
        check(all(len(own) == ROUNDS for own in rounds.values()), f"the journal holds {rounds}")
        half = [path.name for folder in (self.out, self.out / "models") for path in folder.glob(".*")]
        check(not half, f"left in the results folder: {half}")


def whole_rounds(observations: list[Observation]) -> set[int]:
    """The numbers of the rounds that have as many observations as they were to have."""
    measured = [one for one in observations if isinstance(one, MeasureObservation) and not one.discarded]
    there = Counter(one.round for one in measured)
    return {one.round for one in measured if there[one.round] >= one.of}


def done_again(observations: list[Observation]) -> list[str]:
    """What was done twice though it was finished: a build, an evaluation, a cell's rounds of a stage."""
    whole = whole_rounds(observations)
    counted: Counter[str] = Counter()
    allowed: Counter[str] = Counter()
    for one in observations:
        if not isinstance(one, MeasureObservation):
            counted[f"{one.kind} of {one.recipe}"] += 1
        elif one.round in whole and one.recipe != BASELINE:  # the baseline has two processes in each round
            counted[f"{one.stage} of {one.cell}"] += 1
            allowed[f"{one.stage} of {one.cell}"] = ROUNDS if one.stage == "sweep" else CONFIRMATION_ROUNDS
    return [f"{what}, {count} times" for what, count in counted.items() if count > (allowed[what] or 1)]


def processes(mark: str) -> list[str]:
    """The command lines of this loop's processes; zombies have ended."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def check(holds: bool, words: str) -> None:  # noqa: FBT001 - a condition and what it is
    """End the loop where something does not hold."""
    if not holds:
        sys.exit(f"FAIL: {words}")


def main() -> None:
    """Loop as often as the first argument says."""
    kills, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with tempfile.TemporaryDirectory(prefix="kill-loop-") as folder:
        loop = Loop(Path(folder), seed)
        loop.run(kills)
    print(f"{kills} kills, {loop.sweeps} sweeps completed")
    for state, count in sorted(loop.found.items()):
        print(f"  {count:3} found {state}")


if __name__ == "__main__":
    main()
