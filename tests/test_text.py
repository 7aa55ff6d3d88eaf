"""Figures in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from densebench.text import batches, duration, folder_name, joined, one_line, points, recipes, short, spread


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.5214, "0.521"),
        (33.14, "33.1"),
        (238.4, "238"),
        (1204.6, "1205"),
        (9.999, "10.0"),
        (0.0999999, "0.100"),
        (-33.14, "-33.1"),
        (None, ""),
    ],
)
def test_short(value: float | None, text: str) -> None:
    """Three digits that mean something, never an exponent."""
    assert short(value) == text


@given(st.floats(1e-9, 1e15))
def test_short_is_close(value: float) -> None:
    """What is printed is within half a percent and a rounding of what was measured."""
    assert float(short(value)) == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.41, "0.41 s"),
        (9.99, "10 s"),
        (42.4, "42 s"),
        (99.6, "2 min"),
        (420, "7 min"),
        (7500, "2 h 5 min"),
        (0, "0 s"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    """Seconds, minutes or hours, whichever a person would say."""
    assert duration(seconds) == text


def test_lists() -> None:
    """Lists end in `and`; one batch size is singular; a range of equal speed-ups is one figure."""
    assert (joined([]), joined(["a"]), joined(["a", "b", "c"])) == ("", "a", "a, b and c")
    assert (batches([8, 1, 8]), batches([8])) == ("batches 1 and 8", "batch 8")
    assert (spread([1.001, 1.0]), spread([1.1, 0.9])) == ("1.00x", "0.90x to 1.10x")
    assert (points(1.0), points(0.5)) == ("1 percentage point", "0.5 percentage points")


@given(st.text(max_size=60))
def test_one_line(text: str) -> None:
    """Text from elsewhere has no line ends and no control codes left, and keeps to its limit."""
    line = one_line(text, limit=20)
    assert len(line) <= 20
    assert line.isprintable() or not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in line)
    assert len(line.splitlines()) <= 1


def test_one_line_drops_colours() -> None:
    """Terminal colours vanish instead of leaving their brackets."""
    assert one_line("\x1b[1;31mred\x1b[0m\n done") == "red done"


@given(st.text(max_size=30))
def test_folder_names_are_plain(name: str) -> None:
    """Characters outside a-z, 0-9, dot, underscore and hyphen become underscores; so do dots at the beginning."""
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789._-")
    plain = "".join(c if c in allowed else "_" for c in name)
    assert folder_name(name).lstrip("_") == plain.lstrip(".").lstrip("_") or name.startswith(".")
    assert not folder_name(name).startswith(".")
    assert {*folder_name(name)} <= allowed


@pytest.mark.parametrize(
    ("recipe", "folder"), [("bf16+b:c=1", "bf16_b_c_1"), ("..", "_"), ("../x", "__x"), ("<|>", "___")]
)
def test_folder_names_stay_inside(recipe: str, folder: str) -> None:
    """Whatever a recipe is called, its folder is one plain name."""
    assert folder_name(recipe) == folder


def test_recipes_that_differ_in_case_have_folders_of_their_own() -> None:
    """TensorBoard's runs and the artifacts have the same names, which `plan` keeps apart."""
    assert folder_name("A") != folder_name("a")


def test_many_recipes_are_counted_and_few_are_named() -> None:
    """A sentence with twenty names is read by nobody."""
    assert recipes(["a", "b"]) == "a and b"
    assert recipes([f"recipe {number}" for number in range(20)]) == "20 recipes"
