"""A results folder to compare, and what two of them differ in besides their figures.

Three kinds of difference decide what may be compared (`compare.py`): what is measured, where it is measured, and the
libraries that it is measured with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from densebench.machine.environment import PROJECT, SOFTWARE, UNNAMED
from densebench.results import journal
from densebench.results.observation import Status
from densebench.results.problems import STATUS_WORDS
from densebench.results.record import Record
from densebench.text import one_line

Key = tuple[str, int]
Unlike = dict[str, tuple[object, object]]  # what differs: its name, A's value and B's
SHOWN_DIGITS = 16  # of a hash
SETUP = ("environment_id", "device", "threads", "image_size")  # must be the same for images a second


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
        header, records = journal.records_of(folder)
        return cls(header, {record.key: record for record in records})

    def timed(self, key: Key) -> Record | None:
        """The record of a cell that was measured."""
        record = self.records.get(key)
        return record if record and record.status is Status.OK and record.timed_processes else None

    def lack(self, key: Key) -> str:
        """Why a cell has no samples."""
        record = self.records.get(key)
        if record is None:
            return "not in"
        if record.status is Status.OK:
            return "no samples in"
        reason = f" ({one_line(record.reason)})" if record.reason else ""
        return f"{STATUS_WORDS[record.status]}{reason} in"

    def paired(self, key: Key) -> bool:
        """Whether a cell was timed in pairs with the reference process."""
        record = self.timed(key)
        return record is not None and record.paired

    def interference(self, key: Key) -> str:
        """What else used the machine while a cell was timed, "" where nothing was seen."""
        record = self.timed(key)
        return (one_line(record.interference) or "interference") if record and record.stable is False else ""

    def of_records(self, name: str) -> object:
        """A fact that all records of a run share."""
        return getattr(next(iter(self.records.values()), None), name, "")


def changes(a: Run, b: Run) -> Unlike:
    """What is measured: model, weights and this project's version. Each may change the baseline's own speed."""
    return _unlike(_measured(a), _measured(b))


def _measured(run: Run) -> dict[str, object]:
    identity = run.header.identity
    return {
        "model": identity.get("model") or run.of_records("model"),
        "weights": str(identity.get("weights_sha256") or run.of_records("weights"))[:SHOWN_DIGITS],
        PROJECT: run.header.environment.get(PROJECT, "unknown"),
    }


def set_up(a: Run, b: Run) -> Unlike:
    """Where and with what it is measured: the machine, libraries, device, threads and image size."""
    found = _unlike(*({name: run.of_records(name) for name in SETUP} for run in (a, b)))
    facts = [{k: v for k, v in run.header.environment.items() if k not in UNNAMED} for run in (a, b)]
    if "environment_id" in found and (unlike := _unlike(*facts)):
        del found["environment_id"]  # it only stands for these
        found |= unlike
    return found


def one_machine(unlike: Unlike) -> bool:
    """Whether runs whose set-ups differ in this are of one machine as far as their facts tell."""
    return set(unlike) <= set(SOFTWARE)


def listed(unlike: Unlike) -> str:
    """Each difference with its two values."""
    return "; ".join(one_line(f"{name} (A {x}, B {y})") for name, (x, y) in unlike.items())


def other_steps(a: Run, b: Run, order: Mapping[str, None]) -> list[str]:
    """A recipe of one name that is not the same recipe."""
    steps = [{name: record.steps for (name, _), record in run.records.items()} for run in (a, b)]
    both = [name for name in order if name in steps[0] and name in steps[1]]
    changed = [name for name in both if steps[0][name] != steps[1][name]]
    return [f"{name} is {steps[0][name]} in A and {steps[1][name]} in B" for name in changed]


def _unlike(ours: Mapping[str, object], theirs: Mapping[str, object]) -> Unlike:
    both = {name: (ours.get(name, "none"), theirs.get(name, "none")) for name in {**ours, **theirs}}
    return {name: values for name, values in both.items() if values[0] != values[1]}
