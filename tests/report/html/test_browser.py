"""report.html in a real browser: opened from the disk, without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from typing import Any, NoReturn

import pytest
from playwright.sync_api import Page

from densebench.report.across import across
from densebench.report.html import across_page
from tests.report.html.conftest import Open, Opened
from tests.report.html.shapes import EVIL, SHAPES, USUAL, thousand
from tests.report.test_across import NEW, OLD

DRAWN = """
[...document.querySelectorAll(".chart")].map((chart) => ({
  name: chart.id.slice(6),
  drawn: chart.querySelectorAll(".main-svg .trace, .main-svg .barlayer .point").length,
  titles: [...chart.querySelectorAll(".xtitle, .ytitle")].map((title) => title.textContent),
}))
"""
SECONDS_TO_OPEN = 3  # of the page's main thread: what other programs do on the cores meanwhile does not count


def charts(opened: Opened) -> list[dict[str, Any]]:
    """What is drawn in each chart."""
    found: list[dict[str, Any]] = opened.wait().tab.evaluate(DRAWN)
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_opens_and_draws_every_chart(open_report: Open, shape: str) -> None:
    """No error, no request, no dialog; and each chart shows its marks between titled axes."""
    opened = open_report(SHAPES[shape])
    for chart in charts(opened):
        assert chart["drawn"], chart["name"]
        assert any(chart["titles"]), chart["name"]
    assert opened.complaints == []


def test_everything_that_was_measured_is_drawn(open_report: Open) -> None:
    """Each chart that there is, in the page's order; roofs have their names, and a bar of 0 has its figure."""
    opened = open_report(SHAPES["everything"])
    speeds = "pareto throughput_samples_per_s latency_p50_ms"
    sizes = "host_memory_peak_mb vram_driver_peak_mb model_size_mb distributions"
    grounds = "operators roofline ceilings roofline_fraction build_s break_even_images"
    assert [chart["name"] for chart in charts(opened)] == f"{speeds} {sizes} {grounds}".split()
    assert {"FP32", "INT8"} <= set(opened.tab.locator("#chart-roofline .textpoint").all_text_contents())
    assert "0" in opened.tab.locator("#chart-break_even_images .bartext").all_text_contents()
    assert opened.complaints == []


def test_names_are_shown_as_they_are(open_report: Open) -> None:
    """A recipe called like a script reads so in the table, on the axes and in the legend, and makes no element."""
    opened = open_report(SHAPES["a script in the names"]).wait()
    assert EVIL in opened.recipes()
    assert opened.tab.locator(".ytick", has_text=EVIL).count()
    assert opened.tab.locator(".legend button", has_text=EVIL).count()
    opened.tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    opened.tab.locator("td,th", has_text=EVIL).first.wait_for()
    assert opened.tab.locator("img").count() == 0
    assert (
        opened.tab.evaluate("document.scripts.length") == 4
    )  # data, Plotly as text and as code, the page's own
    assert opened.complaints == []


def heading(tab: Page, name: str) -> Any:
    """The button of a column."""
    return tab.locator("#table thead button", has_text=name).first


def test_sorts_by_mouse_and_keyboard(open_report: Open) -> None:
    """The best first, then the other way; rows without the figure stay last; the state is told to screen readers."""
    opened = open_report(USUAL)
    before = opened.recipes()
    heading(opened.tab, "throughput").click()
    descending = opened.recipes()
    assert descending[:2] == ["c+d", "c+d"]
    assert descending[-3:] == ["missing"] * 3
    assert opened.tab.locator('th[aria-sort="descending"]').inner_text().startswith("throughput")
    heading(opened.tab, "throughput").focus()
    opened.tab.keyboard.press("Enter")
    ascending = opened.recipes()
    assert ascending[0] == "baseline"
    assert ascending[-3:] == ["missing"] * 3
    assert opened.tab.locator("th[aria-sort]").count() == 1
    opened.tab.keyboard.press("Shift+Tab")  # to the column before
    opened.tab.keyboard.press("Space")
    assert opened.tab.locator('th[aria-sort="ascending"]').inner_text().startswith("status")
    assert sorted(opened.recipes()) == sorted(before)


def test_filters_by_batch_size_and_text(open_report: Open) -> None:
    """Both filters act together and say how many rows are left."""
    opened = open_report(USUAL)
    opened.tab.select_option("#size", "8")
    assert opened.recipes() == ["baseline", "a", "b", "c+d", "missing"]
    opened.tab.fill("#text", "LIBRARY")
    assert opened.recipes() == ["missing"]
    assert opened.tab.locator("#count").inner_text() == "1 of 15 rows"
    opened.tab.select_option("#size", "")
    opened.tab.fill("#text", "")
    assert len(opened.recipes()) == 15


def test_choices_and_legends(open_report: Open) -> None:
    """Another batch size is another drawing; a recipe's button takes its line away and brings it back."""
    opened = open_report(USUAL).wait()
    memory = opened.tab.locator("#chart-host_memory_peak_mb .bartext").all_text_contents()
    opened.tab.select_option('select[data-chart="host_memory_peak_mb"]', label="batch 32")
    opened.tab.wait_for_function(
        "(before) => document.querySelector('#chart-host_memory_peak_mb .bartext').textContent !== before",
        arg=memory[0],
    )
    lines = opened.tab.locator("#chart-throughput_samples_per_s .scatterlayer .trace")
    assert lines.count() == 4
    button = opened.tab.locator('[data-chart="throughput_samples_per_s"][data-series="b"]')
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    opened.tab.wait_for_function(
        "document.querySelectorAll('#chart-throughput_samples_per_s .scatterlayer .trace').length === 3"
    )
    button.press("Enter")
    opened.tab.wait_for_function(
        "document.querySelectorAll('#chart-throughput_samples_per_s .scatterlayer .trace').length === 4"
    )


def test_every_chart_has_its_figures_as_a_table(open_report: Open) -> None:
    """Opened, each chart's details hold a table with a line for each recipe."""
    opened = open_report(USUAL).wait()
    count = opened.tab.locator(".chart").count()
    for summary in opened.tab.locator("details.figures summary").all():
        summary.press("Enter")
    tables = opened.tab.locator("details.figures[open] table")
    tables.nth(count - 1).wait_for()
    assert tables.count() == count
    for table in tables.all():
        assert "baseline" in table.inner_text() or "a" in table.locator("tbody th").all_inner_texts()


def test_theme_follows_the_system_and_the_button(open_report: Open) -> None:
    """Dark where the system is, and the other one at the button; the charts go along."""
    opened = open_report(USUAL, color_scheme="dark").wait()
    ink = "getComputedStyle(document.querySelector('#chart-pareto .xtitle')).fill"
    paper = "getComputedStyle(document.body).backgroundColor"
    assert (opened.tab.evaluate(ink), opened.tab.evaluate(paper)) == ("rgb(230, 237, 243)", "rgb(20, 23, 28)")
    opened.tab.locator("#theme").click()
    opened.tab.wait_for_function(f"{ink} === 'rgb(27, 31, 36)'")
    assert opened.tab.evaluate(paper) == "rgb(255, 255, 255)"


def test_paper_is_light_and_narrow(open_report: Open) -> None:
    """Printed from a dark screen the charts are light and as wide as the paper, and go back afterwards."""
    opened = open_report(USUAL, color_scheme="dark").wait()
    width = "document.querySelector('#chart-pareto .main-svg').getBoundingClientRect().width"
    wide = opened.tab.evaluate(width)
    opened.tab.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    opened.tab.wait_for_function(f"{width} === 700")
    assert (
        opened.tab.evaluate("getComputedStyle(document.querySelector('#chart-pareto .xtitle')).fill")
        == "rgb(27, 31, 36)"
    )
    opened.tab.evaluate("window.dispatchEvent(new Event('afterprint'))")
    opened.tab.wait_for_function(f"{width} === {wide}")
    assert len(opened.tab.pdf()) > 10_000


@pytest.mark.parametrize("shape", ["usual", "40 recipes", "a script in the names"])
def test_a_phone_scrolls_one_way(open_report: Open, shape: str) -> None:
    """Nothing but the wide tables, in their own frames, is wider than a phone."""
    opened = open_report(SHAPES[shape], width=390).wait()
    assert opened.tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_thousand_records_open_quickly(open_report: Open) -> None:
    """The page of a thousand rows can be read, sorted and filtered within seconds, and every chart is drawn."""
    sessions = []

    def watch(tab: Page) -> None:
        sessions.append(tab.context.new_cdp_session(tab))
        sessions[0].send("Performance.enable", {"timeDomain": "threadTicks"})

    opened = open_report(thousand(), before=watch)
    assert seconds(sessions[0]) < SECONDS_TO_OPEN
    assert opened.tab.evaluate("document.documentElement.dataset.open") == "true"
    opened.tab.fill("#text", "number_38")
    assert len(opened.recipes()) == 25
    assert all(chart["drawn"] for chart in charts(opened))
    assert opened.complaints == []


def seconds(session: Any) -> float:
    """Time that the page's main thread has worked."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))


def absent(why: str) -> NoReturn:
    """A tool that can't be had is a reason to skip, but not where the project is checked before a merge."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


def test_a_check_that_counts_misses_no_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    """What may be skipped elsewhere fails in CI."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no npm"):
        absent("no npm")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="no npm"):
        absent("no npm")


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The accessibility rules of axe-core, from npm's registry or its cache."""
    npm = shutil.which("npm")
    if npm is None:
        absent("needs npm, which is not installed here")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run(
        [npm, "pack", "--prefer-offline", "axe-core@4"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        absent(f"axe-core can't be had from npm: {done.stderr.strip().splitlines()[-1:]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as package:
        content = package.extractfile("package/axe.min.js")
        assert content is not None
        return content.read().decode("utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("shape", ["usual", "everything", "40 recipes", "only failures"])
def test_no_serious_accessibility_fault(open_report: Open, axe: str, scheme: str, shape: str) -> None:
    """axe-core finds nothing serious, with every table opened."""
    opened = open_report(SHAPES[shape], color_scheme=scheme).wait()
    opened.tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert serious(opened, axe) == []


def serious(opened: Opened, axe: str) -> list[str]:
    """What axe-core finds that keeps people out."""
    opened.tab.evaluate(axe)
    found = opened.tab.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{one['id']}: {node['html'][:150]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_report_over_several_runs(open_page: Open, axe: str, scheme: str, width: int) -> None:
    """Each run's answer, every recipe's gain as a bar, nothing wider than the screen and nobody kept out."""
    opened = open_page(across_page(across([NEW, OLD])), width=width, color_scheme=scheme)
    bars = opened.tab.locator("#recipes tr", has_text="half").locator(".speed")
    assert [text.split()[0] for text in bars.all_text_contents()] == ["4.00x", "1.05x"]
    assert opened.tab.locator("#answers tbody tr").count() == len([NEW, OLD])
    assert opened.tab.evaluate("document.documentElement.scrollWidth") <= width
    assert serious(opened, axe) == []
    assert opened.complaints == []
