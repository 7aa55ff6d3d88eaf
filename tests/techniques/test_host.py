"""Settings of the measuring process: each is there from its start, is seen to act, and is told to the deployer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from densebench.errors import Unavailable
from densebench.processes.environment import plain_environment
from densebench.recipes.parse import resolve
from densebench.techniques import allocator, huge_pages

SEEN = """
import json, sys
import torch
from densebench.worker.effect import observed
torch.set_num_threads(1)
blocks = [torch.ones(1 << 22) for _ in range(4)]
print(json.dumps([str(effect) for effect in observed(json.loads(sys.argv[1]))]))
"""


def seen(variables: dict[str, str], claimed: dict[str, str]) -> list[str]:
    """What a process started with these variables says of those it is claimed to have."""
    done = subprocess.run(
        [sys.executable, "-c", SEEN, json.dumps(claimed)],
        env=plain_environment(1) | variables,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    said: list[str] = json.loads(done.stdout)
    return said


def test_glibc_keeps_what_is_freed():
    """With the thresholds raised no block is a mapping of its own; without them the large ones are."""
    tuned = resolve("allocator", {}).environment()
    assert seen(tuned, tuned) == ["glibc keeps freed memory: 0 blocks are mappings of their own"]
    assert seen({}, tuned)[0].startswith("none: MALLOC_MMAP_THRESHOLD_=")


def test_threads_are_those_asked_for():
    """The variable is there, and PyTorch is seen to use that many."""
    recipe = resolve("threads:count=1+jit", {})
    assert recipe.environment() == {"OMP_NUM_THREADS": "1"}
    assert seen(recipe.environment(), recipe.environment()) == ["1 thread"]


def test_huge_pages_are_counted():
    """Where the kernel allows them, glibc gets huge pages; where it gives none, that is said."""
    if reason := huge_pages.unavailable("cpu"):
        pytest.skip(reason)
    variables = resolve("huge_pages", {}).environment()
    said = seen(variables, variables)
    assert len(said) == 1
    assert said[0].endswith(" MB in huge pages")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("always madvise [never]", "transparent huge pages are off: echo madvise > "),
        (
            "[always] madvise never",
            "every process has transparent huge pages here, the baseline too: echo madvise > ",
        ),
        (None, "this kernel has no transparent huge pages"),
        ("always [madvise] never", None),
    ],
)
def test_huge_pages_are_for_kernels_that_give_them_to_those_that_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str | None, said: str | None
):
    """Where nobody gets them there is nothing to measure; where everybody does, those that are seen prove nothing."""
    file = tmp_path / "enabled"
    if setting is not None:
        file.write_text(setting, encoding="ascii")
    monkeypatch.setattr(huge_pages, "SETTING", file)
    expected = f"{said}{file}" if said and said.endswith("> ") else said
    assert resolve("huge_pages", {}).unavailable("cpu") == expected


def test_an_allocator_that_is_not_there_names_its_package(monkeypatch):
    """Where the library is missing, the refusal says what to install; where it is there, it is preloaded."""
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    with pytest.raises(Unavailable, match="apt install libjemalloc2"):
        allocator.environment(kind="jemalloc")
    monkeypatch.setattr("ctypes.util.find_library", lambda name: f"lib{name}.so.9")
    assert allocator.environment(kind="tcmalloc") == {"LD_PRELOAD": "libtcmalloc_minimal.so.9"}


def test_settings_of_several_steps_add_up():
    """Allocator, pages and threads stack in any order before an engine."""
    variables = resolve("threads:count=2+allocator+huge_pages+channels_last", {}).environment()
    assert {"OMP_NUM_THREADS", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES"} <= set(variables)


def test_a_library_that_is_not_mapped_is_no_effect(tmp_path: Path):
    """A claim in the environment that the loader could not follow is said to be none."""
    missing = {"LD_PRELOAD": str(tmp_path / "libnothing.so")}
    assert seen(missing, missing) == [f"none: {missing['LD_PRELOAD']} was not loaded"]


def test_a_missing_library_is_known_before_anything_runs(monkeypatch):
    """A forecast that takes the recipe for one that can run would be wrong; the default allocator needs none."""
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    assert resolve("allocator:kind=jemalloc", {}).unavailable("cpu") == (
        "jemalloc isn't installed: apt install libjemalloc2"
    )
    assert resolve("allocator", {}).unavailable("cpu") is None
