"""One report over several results folders: models, machines, prices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from densebench.errors import InputError
from densebench.report.across import Run, across
from densebench.report.across_markdown import across_markdown
from densebench.report.html import across_page
from densebench.report.prices import Prices, read_prices
from densebench.report.sweep import Sweep
from densebench.results.ceilings import Ceiling, Ceilings
from densebench.results.observation import Status
from tests.factory import broken, confirmed, rounded, rows_of


def ceilings(bf16: float) -> Ceilings:
    """Of a machine whose BF16 is so many times as quick as its FP32."""
    compute = {
        "float32": Ceiling(gop_per_s=100, engine="a"),
        "bfloat16": Ceiling(gop_per_s=100 * bf16, engine="a"),
    }
    return Ceilings(device="cpu", threads=2, compute=compute, memory_gb_per_s=40)


def run(name: str, speeds: dict[str, float], bf16: float | None = None, **facts: Any) -> Run:
    """A run at batch 8, confirmed as it is."""
    rows = rows_of(
        {recipe: {8: speed} for recipe, speed in speeds.items()},
        rounded,
        accuracy_top1=dict.fromkeys(speeds, 99.0),
        precision={"half": "bfloat16"},
        **facts,
    )
    roofs = ceilings(bf16) if bf16 else None
    return Run(name, "Some CPU, 2 threads", Sweep(tuple(rows), confirmation=confirmed(rows), ceilings=roofs))


NEW = run("new", {"baseline": 10, "half": 40, "a": 20, "b": 15}, 4.0)
OLD = run("old", {"baseline": 10, "half": 10.5, "a": 20, "b": 15}, 1.0)


def written(*runs: Run, prices: Prices | None = None) -> str:
    """The report in Markdown."""
    return across_markdown(across(runs, prices))


def test_the_best_of_each_run() -> None:
    """By each run's own answer, with its gain over the baseline's best."""
    text = written(NEW, OLD)
    assert "| new | densenet121 | Some CPU, 2 threads | half at batch 8 | 40.0 | 4.00x | 0.00 |" in text
    assert "| old | densenet121 | Some CPU, 2 threads | a at batch 8 | 20.0 | 2.00x | 0.00 |" in text
    assert "**new**: Deploy half at batch 8" in text


def test_a_recipe_that_ran_nowhere_is_left_out() -> None:
    """One that ran in one of them has a dash for the others."""
    failed = broken("lost", [8], Status.SKIPPED, "needs a GPU")
    more = Sweep((*NEW.sweep.rows, *failed))
    text = written(Run("more", "CPU", more), run("other", {"baseline": 10, "c": 20}))
    assert "| c | - | 2.00x (1) |" in text
    assert "| lost |" not in text


def test_the_gain_is_that_of_the_fresh_rounds() -> None:
    """The sweep's own was chosen for being high."""
    rows = rows_of({"baseline": {8: 10}, "a": {8: 20}}, rounded, accuracy_top1={"baseline": 99.0, "a": 99.0})
    fresh = confirmed(rows_of({"baseline": {8: 10}, "a": {8: 15}}, rounded))
    text = written(Run("one", "CPU", Sweep(tuple(rows), confirmation=fresh)))
    assert "| a at batch 8 | 15.0 | 1.50x | 0.00 |" in text


def test_a_recipe_that_ranks_differently_is_explained() -> None:
    """By the ceilings of its precision, where these differ; recipes that keep their place are not named."""
    text = written(NEW, OLD)
    moved = "half is number 1 of 4 in new and number 3 in old: the ceiling of BF16 over that of FP32 is 4.00x in new"
    assert f"- {moved} and 1.00x in old." in text
    assert "- a is number" not in text
    unknown = written(run("x", {"baseline": 10, "half": 40, "a": 20, "b": 15}), OLD)
    assert "no ceilings are known that could say why" in unknown
    assert "No recipe moves" in written(NEW, NEW)


def test_prices_make_machines_comparable(tmp_path: Path) -> None:
    """Millions of images for a unit of money; a run without a price has a dash."""
    file = tmp_path / "prices.toml"
    file.write_text('currency = "EUR"\n[per_hour]\nnew = 0.5\n')
    text = written(NEW, OLD, prices=read_prices(file))
    assert "million images per EUR" in text
    assert "| half at batch 8 | 40.0 | 4.00x | 0.00 | 0.288 |" in text
    assert "| a at batch 8 | 20.0 | 2.00x | 0.00 | - |" in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("currency", "not TOML"),
        ('currency = "EUR"', "per_hour: field required"),
        ('currency = "EUR"\nper_day = 1\n[per_hour]', "per_day"),
        ('currency = "EUR"\n[per_hour]\na = "cheap"', "per_hour.a"),
        ('currency = "EUR"\n[per_hour]\na = 0', "per_hour.a"),
    ],
)
def test_prices_that_can_not_be_used(tmp_path: Path, content: str | None, said: str) -> None:
    """In one line that names the file and the key."""
    file = tmp_path / "prices.toml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InputError, match=said):
        read_prices(file)


def test_a_price_of_no_run_is_refused() -> None:
    """It would be missing where it was meant."""
    with pytest.raises(InputError, match="no results folder is called 'newer'"):
        across([NEW, OLD], Prices(currency="EUR", per_hour={"newer": 1.0}))


def test_names_can_do_nothing() -> None:
    """Neither in the page nor in Markdown: folders and recipes are called as anyone likes."""
    evil = run("<img src=x>|", {"baseline": 10, "<script>alert(1)</script>": 40, "a": 20})
    page, text = across_page(across([evil, OLD])), written(evil, OLD)
    for shown in (page, text):
        assert "<img" not in shown
        assert "<script" not in shown
    assert "|:" not in text.replace("\\|", "")
