"""Before the first task: where children run, and what is said of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from densebench.executors import opening
from densebench.executors.opening import header_of, opened
from densebench.recipes.parse import plan
from densebench.spec import RunSpec
from tests.executors.sites import Said
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
