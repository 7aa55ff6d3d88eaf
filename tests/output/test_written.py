"""What a run writes: the log under its last name once it begins, and a link to the artifact to deploy."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from densebench.artifacts.manifest import MANIFEST
from densebench.executors.site import LOG
from densebench.output.aside import set_aside
from densebench.output.written import Outcome, link_best, new_log
from densebench.results.observation import Status
from tests.factory import broken, header, rows_of


def test_best_leads_to_the_artifact_and_goes_with_it(tmp_path: Path) -> None:
    """The link is replaced whole, taken away where nothing is recommended, and set aside with the run's models."""
    for name in ("one", "two"):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / MANIFEST).write_text(name)
    assert link_best(tmp_path, "models/one") == tmp_path / "best"
    link_best(tmp_path, "models/two")
    assert (tmp_path / "best" / MANIFEST).read_text() == "two"
    (tmp_path / "journal.jsonl").write_text("{}\n")
    set_aside(tmp_path, tmp_path / "log")
    (aside,) = (tmp_path / "previous").iterdir()
    assert (aside / "best" / MANIFEST).read_text() == "two"
    assert not (tmp_path / "best").is_symlink()
    link_best(tmp_path, "models/one")
    assert link_best(tmp_path, "") is None
    assert not (tmp_path / "best").is_symlink()


def test_a_folder_of_the_user_s_named_best_is_left_alone(tmp_path: Path) -> None:
    """What is no link of ours is not replaced."""
    (tmp_path / "best").mkdir()
    assert link_best(tmp_path, "models/one") is None
    assert not (tmp_path / "best").is_symlink()


@pytest.mark.parametrize("artifact", ["models/gone", "../other", "/"])
def test_best_leads_to_no_artifact_that_is_not_there(tmp_path: Path, artifact: str) -> None:
    """A journal that was copied without its models, or names a folder outside, leaves no link."""
    results = tmp_path / "results"
    for folder in ("results/models/one", "other"):
        (tmp_path / folder).mkdir(parents=True)
    link_best(results, "models/one")
    assert link_best(results, artifact) is None
    assert not (results / "best").is_symlink()


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSPC])
def test_a_file_system_without_links_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The answer names the recipe too. A full disk is told."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "models" / "one").mkdir(parents=True)
    monkeypatch.setattr(Path, "symlink_to", refuse)
    if number == errno.EPERM:
        assert link_best(tmp_path, "models/one") is None
    else:
        with pytest.raises(OSError, match="No space"):
            link_best(tmp_path, "models/one")


def test_the_log_of_a_run_that_does_not_begin_goes(tmp_path: Path) -> None:
    """A resumed one's begins with what the children of the earlier part printed, which stays as it is."""
    (tmp_path / LOG).write_text("before\n", encoding="utf-8")
    for going_on, content in ((False, None), (True, "before\n")):
        with new_log(tmp_path, going_on=going_on) as log:
            assert (log.read_text(encoding="utf-8") if log.exists() else None) == content
            log.write_text("more", encoding="utf-8")
        assert [path.name for path in tmp_path.iterdir()] == [LOG]
    assert (tmp_path / LOG).read_text(encoding="utf-8") == "before\n"


@pytest.mark.parametrize(
    ("requested", "interrupted", "code"),
    [
        ({("baseline", 1)}, False, 0),
        ({("amp", 1)}, False, 1),
        ({("bf16", 1)}, False, 0),
        ({("amp", 1)}, True, 130),
    ],
)
def test_the_exit_code_tells_of_the_rows_that_were_asked_for(
    tmp_path: Path, requested: set[tuple[str, int]], code: int, *, interrupted: bool
) -> None:
    """One that failed, not one that was skipped; an interrupt goes before all."""
    rows = [
        *rows_of({"baseline": {1: 10.0}}),
        *broken("amp", [1], Status.FAILED, "boom"),
        *broken("bf16", [1], Status.SKIPPED, "not here"),
    ]
    outcome = Outcome(rows, header(), tmp_path, requested=requested, interrupted=interrupted)
    assert outcome.exit_code == code
