"""A row's share of its ceiling, and the cache that ceilings are kept in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from densebench.measure import ceilings
from densebench.measure.ceilings import Ceiling, Ceilings, cached, ceilings_of, keep, share

FOUND = Ceilings(
    device="cpu",
    threads=2,
    compute={
        "float32": Ceiling(gop_per_s=470, engine="one"),
        "int8": Ceiling(gop_per_s=1560, engine="other"),
    },
    memory_gb_per_s=72,
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the ceilings' files, not made yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "densebench" / "ceilings"


def test_a_share_is_of_its_own_precision() -> None:
    """A multiply-accumulate is two operations: 2.87 GMAC at 30 images/s are 172 GOP/s."""
    assert share(2.87, 30, "float32", FOUND) == pytest.approx(172.2 / 470)
    assert share(2.87, 30, "int8", FOUND) == pytest.approx(172.2 / 1560)


def test_what_is_not_known_has_no_share() -> None:
    """No figure is invented where the speed, the multiplications or the precision's ceiling is missing."""
    assert share(None, 30, "float32", FOUND) is None
    assert share(2.87, None, "float32", FOUND) is None
    assert share(2.87, 30, "float16", FOUND) is None
    assert share(2.87, 30, "", FOUND) is None


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e6), st.floats(1e-3, 1e6))
def test_a_share_times_its_ceiling_is_what_was_reached(
    macs_g: float, throughput: float, ceiling: float
) -> None:
    """For every model, speed and machine."""
    compute = {"int8": Ceiling(gop_per_s=ceiling, engine="one")}
    found = share(macs_g, throughput, "int8", FOUND.model_copy(update={"compute": compute}))
    assert found is not None
    assert found * ceiling == pytest.approx(2 * macs_g * throughput)


def test_kept_ceilings_come_back(cache: Path) -> None:
    """In the same environment, on the same device and threads, and in no other."""
    assert cached("0badcafe", "cpu", 2) is None
    keep(FOUND, "0badcafe")
    assert cached("0badcafe", "cpu", 2) == FOUND
    assert cached("feedbeef", "cpu", 2) is None
    assert cached("0badcafe", "cuda", 2) is None
    assert cached("0badcafe", "cpu", 1) is None
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "\0\udcff",
        FOUND.model_dump_json().replace("470", "NaN"),
        FOUND.model_dump_json().replace("470", "0"),
        FOUND.model_dump_json().replace('"threads":2', '"threads":4'),
        FOUND.model_dump_json().replace('"threads"', '"cores"'),
    ],
)
def test_a_damaged_or_unknown_file_is_no_ceiling(cache: Path, content: str) -> None:
    """It is measured again, and the file replaced."""
    keep(FOUND, "0badcafe")
    (file,) = cache.iterdir()
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert cached("0badcafe", "cpu", 2) is None
    keep(FOUND, "0badcafe")
    assert cached("0badcafe", "cpu", 2) == FOUND


def test_figures_of_another_method_are_passed_over(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later version that measures otherwise doesn't take an older one's word."""
    keep(FOUND, "0badcafe")
    assert cache.exists()
    monkeypatch.setattr(ceilings, "METHOD", ceilings.METHOD + 1)
    assert cached("0badcafe", "cpu", 2) is None


def test_disturbed_ceilings_are_not_kept(cache: Path) -> None:
    """They are measured again, until the machine was quiet once."""
    keep(FOUND.model_copy(update={"disturbance": "other processes took 1.50 of 2 cores"}), "0badcafe")
    assert cached("0badcafe", "cpu", 2) is None
    keep(FOUND, "0badcafe")
    assert cache.exists()
    assert cached("0badcafe", "cpu", 2) == FOUND


def test_without_a_place_to_keep_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No home folder, or a file in the folder's place: nothing is kept, and nothing fails."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    keep(FOUND, "0badcafe")
    assert cached("0badcafe", "cpu", 2) is None
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    keep(FOUND, "0badcafe")
    assert cached("0badcafe", "cpu", 2) is None


@pytest.mark.parametrize("kept", [None, {}, {"compute": {}}, {"device": "cpu", "threads": 2, "more": 1}])
def test_a_header_without_ceilings(kept: dict[str, Any] | None) -> None:
    """Reports of earlier runs, and of other versions, are written without."""
    assert ceilings_of(kept) is None
