"""Before the first task: where children run, and what is said of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from densebench.errors import UsageError
from densebench.executors import opening
from densebench.executors.opening import header_of, opened
from densebench.recipes.parse import plan
from densebench.spec import RunSpec
from tests.executors.sites import Said
from tests.factory import described
from tests.journals import evaluated, write_lines
from tests.machine.kernel import Affinity, Kernel, affinity, kernel
from tests.reliability.fork_servers import InstantForkServers

__all__ = ["affinity", "kernel"]

SOCKET = {*range(4), *range(8, 12)}


class Started(InstantForkServers):
    """Notes which CPUs the first fork server inherits."""

    inherited: frozenset[int]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        Started.inherited = frozenset(os.sched_getaffinity(0))


@pytest.fixture
def spec(kernel: Kernel, affinity: Affinity, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RunSpec:
    """A run on two sockets, whose children answer at once."""
    kernel.two_sockets()
    monkeypatch.setattr(opening, "ForkServerPool", Started)
    monkeypatch.setattr(opening, "warnings", lambda placed: [])
    monkeypatch.setattr(opening, "room", lambda *_: [])
    return RunSpec.create("quick", recipes=["jit"], output_dir=tmp_path / "out")


def test_children_stay_on_the_socket_that_the_default_chose(spec: RunSpec, affinity: Affinity) -> None:
    """From the first to the last; the parent gets its other CPUs back."""
    with opened(spec, [], Said()) as site:
        assert site.threads == 4
        assert affinity.now == Started.inherited == SOCKET
    assert affinity.now == {*range(16)}


def test_threads_that_were_asked_for_may_use_every_socket(spec: RunSpec, affinity: Affinity) -> None:
    """With `--threads` the affinity is never touched."""
    with opened(spec.model_copy(update={"threads": 4}), [], Said()) as site:
        assert site.threads == 4
    assert not affinity.before


@pytest.mark.parametrize("threads", [None, 4])
def test_a_run_says_what_its_threads_leave_out(spec: RunSpec, threads: int | None) -> None:
    """At its start and in the header, unless the number was asked for; the environment is the children's."""
    spec, told = spec.model_copy(update={"threads": threads}), Said()
    with opened(spec, plan(spec.recipes, spec.named), told) as site:
        header = header_of(site, "densebench run")
    (reason,) = [note for note in told.notes if "socket" in note] or [""]
    assert bool(reason) == (threads is None)
    assert reason in {"", *header.notes}
    assert header.identity["threads"] == 4
    assert header.environment["cpus_allowed"] == ("16" if threads else "8")


MEMORY = [({"objective": "memory"}, "--objective memory"), ({"max_memory_mb": 500.0}, "--max-memory-mb")]


@pytest.mark.parametrize(("asked", "flag"), MEMORY)
def test_memory_that_nothing_measures_is_refused(spec: RunSpec, asked: dict[str, Any], flag: str) -> None:
    """Before anything is measured, in one line that names the key to change; with a program of its own it is not."""
    assert not spec.deploy_time
    with (
        pytest.raises(UsageError, match=f"{flag} needs a deploy-time above 0") as refusal,
        opened(spec.model_copy(update=asked), [], Said()),
    ):
        pass
    assert "\n" not in str(refusal.value)
    with opened(spec.model_copy(update=asked | {"deploy_time": 1.0}), [], Said()):
        pass


@pytest.mark.parametrize(("asked", "flag"), MEMORY)
@pytest.mark.parametrize("memory", [None, 300.0])
def test_memory_that_the_resumed_run_knows_is_not_measured_again(
    spec: RunSpec, asked: dict[str, Any], flag: str, memory: float | None
) -> None:
    """Whoever confirms a choice by memory need not measure it once more."""
    write_lines(spec.output_dir, [evaluated(deploy_memory_mb=memory, deploy_batch_size=8)])
    again = spec.model_copy(update=asked | {"resume": True})
    if memory is None:
        with pytest.raises(UsageError, match=flag), opened(again, [], Said()):
            pass
    else:
        with opened(again, [], Said()):
            pass


def test_a_gpu_measures_memory_without_a_program_of_its_own(
    spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the memory of the measured process itself counts."""
    monkeypatch.setattr(opening, "_described", lambda *_: described(device="cuda"))
    for asked, _ in MEMORY:
        with opened(spec.model_copy(update=asked), [], Said()) as site:
            assert site.workload.device == "cuda"
