"""Traces are found below the log folder alone, parsed once, and kept within bounds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from densebench.viewer import store
from densebench.viewer.finding import any_trace, find
from densebench.viewer.store import Store
from densebench.viewer.trace import Trace
from tests.viewer.making import layers, log_folder, network, write


def test_traces_are_listed_in_order(tmp_path: Path) -> None:
    """The baseline first, then names, then batch sizes as numbers; other files not at all."""
    for name in ("compile/bs16", "compile/bs2", "baseline/bs8", "amp/bs1"):
        write(tmp_path / "profile" / f"{name}.pt.trace.json", layers())
    write(tmp_path / "other" / "worker.123.pt.trace.json.gz", layers())
    for odd in (
        "profile/amp/.bs2.pt.trace.json",
        "profile/amp/bs2.pt.trace.json.part",
        ".git/x.pt.trace.json",
    ):
        write(tmp_path / odd, layers())
    found = [(one.recipe, one.batch) for one in find(tmp_path).values()]
    assert found == [
        ("baseline", "8"),
        ("amp", "1"),
        ("compile", "2"),
        ("compile", "16"),
        ("other", "worker.123"),
    ]
    assert find(tmp_path)["profile/amp/bs1.pt.trace.json"].recipe == "amp"


def test_links_that_lead_out_are_left_out(tmp_path: Path) -> None:
    """Files and folders elsewhere are not listed, so they can't be asked for."""
    outside = write(tmp_path / "outside" / "bs1.pt.trace.json", layers())
    logs = tmp_path / "logs"
    (logs / "profile" / "amp").mkdir(parents=True)
    (logs / "profile" / "amp" / "bs1.pt.trace.json").symlink_to(outside)
    (logs / "profile" / "linked").symlink_to(outside.parent, target_is_directory=True)
    (logs / "profile" / "amp" / "bs2.pt.trace.json").symlink_to(tmp_path / "nothing")
    assert find(logs) == {}
    assert find(tmp_path / "missing") == {}
    assert not any_trace(tmp_path / "missing")


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Which files were parsed."""
    seen: list[Path] = []
    parse = store.parse

    def watched(path: Path) -> Trace:
        seen.append(path)
        return parse(path)

    monkeypatch.setattr(store, "parse", watched)
    return seen


def test_a_trace_is_parsed_once(tmp_path: Path, parses: list[Path]) -> None:
    """Again from memory; from the disk in another process; anew when the file is another."""
    logs = log_folder(tmp_path / "logs", {"baseline": network()})
    (found,) = find(logs).values()
    one = Store(tmp_path / "cache")
    assert one.get(found) is one.get(found)
    Store(tmp_path / "cache").get(found)
    assert len(parses) == 1
    write(found.path, network(blocks=2))
    os.utime(found.path, ns=(1, found.changed_ns + 1))
    (changed,) = find(logs).values()
    assert len(one.get(changed).name) < len(one.get(found).name)
    assert len(parses) == 2


def test_a_damaged_file_of_the_cache_is_made_again(tmp_path: Path, parses: list[Path]) -> None:
    """Half a file, or another's."""
    (found,) = find(log_folder(tmp_path / "logs", {"baseline": network()})).values()
    whole = Store(tmp_path / "cache").get(found)
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(kept.read_bytes()[:500])
    assert len(Store(tmp_path / "cache").get(found).name) == len(whole.name)
    assert len(parses) == 2


def test_the_cache_is_bounded(tmp_path: Path, parses: list[Path]) -> None:
    """In memory and on disk what was used last stays; a trace larger than the bound is shown all the same."""
    found = list(find(log_folder(tmp_path / "logs", {name: network() for name in "abc"})).values())
    size = Store(tmp_path / "first").get(found[0]).bytes
    (file,) = (tmp_path / "first").iterdir()
    parses.clear()
    cache = tmp_path / "cache"
    kept = Store(cache, in_memory=2 * size, on_disk=2 * file.stat().st_size + 100)
    for one in (*found, found[2], found[1]):
        kept.get(one)
    assert len(parses) == 3
    assert len(list(cache.iterdir())) == 2
    Store(cache).get(found[2])
    Store(cache).get(found[1])
    assert len(parses) == 3
    Store(cache).get(found[0])
    assert len(parses) == 4
    tiny = Store(tmp_path / "tiny", in_memory=1, on_disk=1)
    assert len(tiny.get(found[0]).name)
    assert not (tmp_path / "tiny").exists()


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    """A read-only home is no reason to show nothing."""
    (tmp_path / "cache").write_text("a file is in the way")
    (found,) = find(log_folder(tmp_path / "logs", {"baseline": network()})).values()
    assert Store(tmp_path / "cache").get(found).step_count == 3
