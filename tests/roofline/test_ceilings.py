"""A row's share of its ceiling, and the cache that ceilings are kept in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from densebench.results.ceilings import Ceiling, Ceilings, ceilings_of, raised, share
from densebench.results.derive import derive
from densebench.results.missing import Known
from densebench.roofline import ceilings
from densebench.roofline.ceilings import cached, keep
from tests.factory import rows_of, timed

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


def surveyed(interference: str = "", memory: float = 72, **reached: float) -> Ceilings:
    """What a survey with two threads found."""
    compute = {name: Ceiling(gop_per_s=value, engine=f"of {value:g}") for name, value in reached.items()}
    return Ceilings(
        device="cpu", threads=2, compute=compute, memory_gb_per_s=memory, interference=interference
    )


def heights(found: Ceilings) -> dict[str, float]:
    """GOP/s by precision."""
    return {name: one.gop_per_s for name, one in found.compute.items()}


@pytest.mark.usefixtures("cache")
def test_the_highest_of_all_surveys_counts() -> None:
    """For each precision and for memory, whichever survey came first; what one of them lacked the other has."""
    first = surveyed(memory=72, float32=400, bfloat16=900)
    assert keep(first, "0badcafe") == first
    second = keep(surveyed(memory=50, float32=500, bfloat16=700, int8=2000), "0badcafe")
    assert heights(second) == {"float32": 500, "bfloat16": 900, "int8": 2000}
    assert second.compute["bfloat16"].engine == "of 900"
    assert second.memory_gb_per_s == 72
    assert cached("0badcafe", "cpu", 2) == second
    assert keep(surveyed(memory=90, float32=1), "0badcafe").memory_gb_per_s == 90
    assert keep(first, "feedbeef") == first


@pytest.mark.usefixtures("cache")
def test_a_disturbed_survey_counts_too() -> None:
    """What it reached can be reached; it is only called disturbed for as long as there is no quiet one."""
    busy = surveyed("a backup", float32=300)
    assert keep(busy, "0badcafe").interference == "a backup"
    quiet = keep(surveyed(float32=200), "0badcafe")
    assert (heights(quiet), quiet.interference) == ({"float32": 300}, "")
    assert keep(surveyed("a backup", float32=400), "0badcafe") == surveyed(float32=400)


@pytest.mark.parametrize(
    ("reached", "expected"),
    [
        ({"float32": 400, "int8": 1500}, {"float32": 400, "int8": 1500}),
        ({"float32": 400, "int8": 300}, {"float32": 400, "int8": 400}),
        ({"int8": 300, "bfloat16": 350, "float32": 400}, {"int8": 400, "bfloat16": 400, "float32": 400}),
        (
            {"float32": 400, "float16": 100, "bfloat16": 900, "int8": 800},
            {"float32": 400, "float16": 400, "bfloat16": 900, "int8": 900},
        ),
    ],
)
@pytest.mark.usefixtures("cache")
def test_a_lower_precision_is_never_below_a_wider_one(
    reached: dict[str, float], expected: dict[str, float]
) -> None:
    """What runs in it could run in the wider one, whose engine is named; one that nothing runs has none."""
    found = keep(surveyed(**reached), "0badcafe")
    assert heights(found) == expected
    for name, one in found.compute.items():
        assert (" in " in one.engine) == (expected[name] != reached[name]), one.engine
    if expected["int8"] == 900:
        assert found.compute["int8"].engine == "of 900 in BF16"


def test_a_row_above_its_ceiling_raises_it() -> None:
    """To what it reached, with its name; of rows with another number of threads or precision it isn't known."""
    found = surveyed(float32=100, int8=150)
    speeds: dict[str, dict[int, float]] = {"baseline": {8: 30}, "x": {8: 60, 1: 50}, "y": {8: 90}}
    facts: dict[str, Any] = {
        "precision": dict.fromkeys(speeds, "float32"),
        "macs_g": dict.fromkeys(speeds, 1),
    }
    rows = rows_of(speeds, **facts)
    higher = raised(found, rows)
    assert heights(higher) == {"float32": pytest.approx(180), "int8": pytest.approx(180)}
    assert (higher.compute["float32"].engine, higher.compute["float32"].known_before) == ("y at batch 8", 100)
    assert higher.compute["int8"].engine == "y at batch 8 in FP32"
    assert raised(found, rows[:1]) == found
    for other in ({"threads": 1}, {"precision": "bfloat16"}, {"macs_g": None}):
        assert raised(found, [row.model_copy(update=other) for row in rows]) == found


@given(st.lists(st.tuples(st.sampled_from(["float32", "int8", ""]), st.floats(1e-3, 1e6)), max_size=6))
def test_no_row_is_above_its_ceiling(rows: list[tuple[str, float]]) -> None:
    """Whatever was surveyed, shares are at most 1, and rows of one precision keep their ratio."""
    records = [
        timed(f"recipe {index}", 8, speed, precision=precision, macs_g=1.7)
        for index, (precision, speed) in enumerate(rows)
    ]
    known = Known(ceilings=surveyed(float32=100, int8=50))
    for precision in ("float32", "int8"):
        found = [row for row in derive(records, known=known) if row.precision == precision]
        shares = [row.roofline_fraction or 0 for row in found]
        assert all(0 < one <= 1 for one in shares)
        ceilings = [(row.throughput_samples_per_s or 0) / one for row, one in zip(found, shares, strict=True)]
        assert ceilings == pytest.approx(ceilings[:1] * len(ceilings))


@pytest.mark.usefixtures("cache")
def test_a_raised_ceiling_is_kept_for_later_runs() -> None:
    """As known, so that the next run doesn't say that it was raised."""
    rows = rows_of({"x": {8: 60}}, precision={"x": "float32"}, macs_g={"x": 1})
    keep(raised(surveyed(float32=100), rows), "0badcafe")
    later = keep(surveyed(float32=90), "0badcafe")
    assert heights(later) == {"float32": pytest.approx(120)}
    assert (later.compute["float32"].engine, later.compute["float32"].known_before) == ("x at batch 8", None)
    assert raised(later, rows) == later


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
