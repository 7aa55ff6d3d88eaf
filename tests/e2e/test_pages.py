"""What `densebench view` and the report show of a real sweep, in a real browser without a network.

Set DENSEBENCH_SHOTS to a folder to have a picture of each page written there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route

from tests.conftest import RECIPES, Sweep, folder_of
from tests.viewer.paging import VIEWS
from tests.viewer.paging import Page as Profiles
from tests.viewer.serving import Server, viewed

PROFILED = ("baseline", "channels_last+bf16+compile", "openvino")
OF_PYTORCH = PROFILED[:2]  # whose profiler sees memory
PATIENCE_MS = 120_000  # other tests use the cores too


@pytest.fixture(scope="module")
def addresses(sweep: Sweep) -> Iterator[dict[str, str]]:
    """Where the two servers of `densebench view` say that they are."""
    with viewed(sweep.program, sweep.logs) as (_, said):
        yield said


@pytest.fixture(scope="module")
def profiles(browser: Browser, addresses: dict[str, str]) -> Iterator[Profiles]:
    """The profile viewer on the sweep's traces."""
    opened = Profiles(browser, Server(addresses["Profiles"].partition("/#")[0]), reduced_motion="reduce")
    yield opened
    opened.outer.context.close()


def alone(browser: Browser, address: str, complaints: list[str]) -> Page:
    """A tab that reaches this address and nothing else; what it says of errors goes to `complaints`."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)

    def only_there(route: Route) -> None:
        if route.request.url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            complaints.append(f"asked for {route.request.url}")
            route.abort()

    context.route("**", only_there)
    tab = context.new_page()
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    return tab


def shot(page: Page, name: str) -> None:
    """A picture for people, where one is asked for."""
    if shots := os.environ.get("DENSEBENCH_SHOTS"):
        page.screenshot(path=str(Path(shots) / f"{name}.png"))


def test_scalars_show_every_recipe_and_tag(browser: Browser, addresses: dict[str, str]) -> None:
    """TensorBoard's page of scalars has the groups of figures, each recipe as a run, and draws its lines."""
    complaints: list[str] = []
    tab = alone(browser, addresses["TensorBoard"], complaints)
    tab.goto(addresses["TensorBoard"] + "#scalars")
    for group in ("throughput", "latency", "accuracy", "memory"):
        tab.get_by_text(group, exact=True).first.wait_for()
    for recipe in RECIPES:
        tab.get_by_text(folder_of(recipe), exact=True).first.wait_for()
    tab.get_by_text("Toggle All Runs").click()  # of more than forty TensorBoard shows none at first
    tab.locator("tf-tag-filterer input").first.fill(
        "throughput/samples_per_s"
    )  # of which the first page shows all
    tab.get_by_text("Tags matching").first.wait_for()
    tab.locator('vz-line-chart2 path.line[d*="L"]').first.wait_for(
        state="attached"
    )  # from one batch size to the next
    shot(tab, "scalars")
    assert complaints == []
    tab.context.close()


@pytest.mark.parametrize("recipe", PROFILED)
def test_profiles_of_real_traces(profiles: Profiles, recipe: str) -> None:
    """Every view is drawn from what PyTorch's profiler, Inductor's kernels and OpenVINO's layers wrote."""
    profiles.again()
    profiles.pick("Recipe", folder_of(recipe))
    for view in VIEWS[:-1]:
        shown = profiles.open(view)
        if view == "overview":
            assert profiles.frame.locator(".bar .part").count() > 1
            assert "A step takes" in shown.inner_text()
        elif view == "timeline":
            canvas = profiles.frame.locator("canvas[data-boxes]")
            canvas.wait_for()
            assert int(canvas.get_attribute("data-boxes") or 0) > 10
        elif view == "operators":
            assert any(row[1] == "convolution" for row in profiles.rows())
        else:
            says = "The most is" if recipe in OF_PYTORCH else "memory"
            assert says in shown.inner_text()
        shot(profiles.outer, f"profiles-{recipe}-{view}")
    assert profiles.problems == []


def test_profiles_compared(profiles: Profiles) -> None:
    """Against the baseline the compiled stack has lost its batch norms and gained compiled code, in real traces."""
    profiles.again()
    profiles.open("compare")
    profiles.pick("From", "baseline, batch 2")
    profiles.pick("To", f"{folder_of(PROFILED[1])}, batch 2")
    profiles.shown("compare")
    told = {row[0]: row[1] for row in profiles.rows()}
    assert any("batch_norm" in name and change == "gone" for name, change in told.items())
    assert "new" in told.values()
    shot(profiles.outer, "profiles-compared")
    profiles.pick("To", "openvino, batch 2")
    assert "openvino takes" in profiles.shown("compare").inner_text()
    assert len(profiles.rows()) > 20
    assert profiles.problems == []


def test_report_opens_from_the_disk(browser: Browser, sweep: Sweep) -> None:
    """Every recipe is in its table, every chart is drawn, nothing is asked for elsewhere and no error is told."""
    address, complaints = (sweep.results / "report.html").as_uri(), []
    tab = alone(browser, address, complaints)
    tab.goto(address)
    tab.wait_for_selector("html[data-ready]", timeout=PATIENCE_MS)
    told = tab.locator("#matrix tbody th").all_inner_texts()
    assert all(any(recipe in one for one in told) for recipe in RECIPES)
    charts = tab.locator(".chart").all()
    assert len(charts) > 5
    for chart in charts:
        assert chart.locator(".main-svg .trace, .main-svg .barlayer .point").count(), chart.get_attribute(
            "id"
        )
    shot(tab, "report")
    assert complaints == []
    tab.context.close()
