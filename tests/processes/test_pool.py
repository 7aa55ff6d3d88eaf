"""The processes that a run's children are forked from, with stand-in jobs."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from densebench.errors import CellFailed, CellTimedOut
from densebench.processes import child
from densebench.processes.environment import plain_environment
from densebench.processes.pool import ForkServerPool
from tests.processes.held import holding
from tests.processes.test_fork_server import do, gone
from tests.stand_in import on_path

OTHER = {"MALLOC_ARENA_MAX": "1"}


def fork_servers() -> set[int]:
    """Those of this process."""
    children = psutil.Process().children()
    return {child.pid for child in children if "densebench.worker.server" in child.cmdline()}


@pytest.fixture
def pool(tmp_path: Path):
    """Two environments open, and a former one that nobody asks for any more."""
    with ForkServerPool(on_path(plain_environment(1)), tmp_path / "run.log") as opened:
        do(opened.plain, "answer", tmp_path)
        yield opened


def test_children_are_forked_from_other_processes_after_each_round(
    pool: ForkServerPool, tmp_path: Path
) -> None:
    """In the environments that were asked for; the former processes are gone, and children answer as before."""
    do(pool.of(OTHER), "answer", tmp_path)
    first = fork_servers()
    pool.renew()
    second = fork_servers()
    assert len(first) == len(second) == 2
    assert not first & second
    assert gone([*first])
    do(pool.plain, "answer", tmp_path)
    assert pool.of({}) is pool.plain
    pool.renew()
    assert len(fork_servers()) == 1  # nobody asked for the other
    (plain,) = fork_servers()
    psutil.Process(plain).kill()
    assert gone([plain])
    do(pool.plain, "answer", tmp_path)  # one that was killed costs what it was doing, and nothing after it
    do(pool.of(OTHER), "answer", tmp_path)
    assert len(fork_servers()) == 2


def test_a_child_that_does_not_end_costs_no_other_job(
    pool: ForkServerPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its fork server is given up, and the next job gets a new one."""
    monkeypatch.setattr(child, "KILL_LIMIT_S", 0.5)
    former = pool.plain
    with holding() as hold:
        with pytest.raises(CellTimedOut, match="the kernel did not end process"):
            do(former, "sleep", tmp_path, 1, on_stage=lambda stage: stage == "first" and hold(former._child))
        assert pool.plain is not former
        do(pool.plain, "answer", tmp_path)
        pool.renew()
        do(pool.plain, "answer", tmp_path)


def test_a_log_that_gets_another_name_is_written_on(pool: ForkServerPool, tmp_path: Path) -> None:
    """By processes that were there before and by those after; what a child said last is found in it."""
    for renew in (False, True):
        if renew:
            pool.renew()
        else:
            pool.keep_log(tmp_path / "kept.log")
        with pytest.raises(CellFailed, match="SIGSEGV: the last words"):
            do(pool.plain, "crash", tmp_path)
    assert (tmp_path / "kept.log").read_text().count("the last words") == 2
    assert not (tmp_path / "run.log").exists()
