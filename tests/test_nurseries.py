"""The processes that a run's children are forked from, with stand-in jobs."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from densebench.isolation import plain_environment
from densebench.nurseries import Nurseries
from tests.stand_in import on_path
from tests.test_isolation import do, gone

OTHER = {"MALLOC_ARENA_MAX": "1"}


def zygotes() -> set[int]:
    """Those of this process."""
    children = psutil.Process().children()
    return {child.pid for child in children if "densebench.zygote" in child.cmdline()}


@pytest.fixture
def nurseries(tmp_path: Path):
    """Two environments open, and a former one that nobody asks for any more."""
    with Nurseries(on_path(plain_environment(1)), tmp_path / "run.log") as opened:
        do(opened.plain, "answer", tmp_path)
        yield opened


def test_children_are_forked_from_other_processes_after_each_round(
    nurseries: Nurseries, tmp_path: Path
) -> None:
    """In the environments that were asked for; the former processes are gone, and children answer as before."""
    do(nurseries.of(OTHER), "answer", tmp_path)
    first = zygotes()
    nurseries.renew()
    second = zygotes()
    assert len(first) == len(second) == 2
    assert not first & second
    assert gone([*first])
    do(nurseries.plain, "answer", tmp_path)
    assert nurseries.of({}) is nurseries.plain
    nurseries.renew()
    assert len(zygotes()) == 1  # nobody asked for the other
    (plain,) = zygotes()
    psutil.Process(plain).kill()
    assert gone([plain])
    do(
        nurseries.plain, "answer", tmp_path
    )  # one that was killed costs what it was doing, and nothing after it
    do(nurseries.of(OTHER), "answer", tmp_path)
    assert len(zygotes()) == 2
