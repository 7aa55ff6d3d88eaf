"""The page in a real browser without a network: every view is drawn, and nothing in a trace is run.

Set DENSEBENCH_SHOTS to a folder to have a picture of each view written there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.viewer.making import allocation, call, layers, log_folder, network, on_gpu, step, write
from tests.viewer.paging import VIEWS, Page
from tests.viewer.serving import Server, viewer

EVIL = "<img src=x onerror=\"parent.document.title='run'\">"


def compiled() -> list[dict[str, Any]]:
    """Faster convolutions, no batch norms, and code that the profiler can't look into."""
    events = network(convolution_us=200, norm_us=0)
    return [*events, *(call("## Call CompiledFxGraph fab12 ##", 900 * n + 20, 3.0) for n in range(3))]


def evil() -> list[dict[str, Any]]:
    """Markup wherever a trace can hold text."""
    args = {"Input Dims": [[EVIL]], "layer": EVIL}
    lane = {"ph": "M", "name": "thread_name", "pid": 7, "tid": 7, "args": {"name": EVIL}}
    return [lane, step(0, 0, 100), call(EVIL, 1, 90, args=args), allocation(5, 10, 10)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Traces of each kind."""
    folder = tmp_path_factory.mktemp("page")
    recipes = {
        "baseline": network(),
        "compile": compiled(),
        "openvino": layers(),
        "gpu": on_gpu(),
        "evil": evil(),
    }
    logs = log_folder(folder / "logs", recipes)
    log_folder(logs, {"baseline": network(blocks=40)}, batch=32)
    write(logs / "profile" / "zz-broken" / "bs8.pt.trace.json", [], '{"traceEvents": [')
    with viewer(logs, folder / "cache") as server:
        yield server


@pytest.fixture(scope="module")
def opened(browser: Any, server: Server) -> Iterator[Page]:
    """The viewer in TensorBoard."""
    found = Page(browser, server)
    yield found
    found.outer.context.close()


@pytest.fixture
def page(opened: Page) -> Iterator[Page]:
    """The viewer, opened; no problem may be left at the end."""
    opened.again()
    yield opened
    assert opened.problems == []


def test_overview(page: Page) -> None:
    """The split, the heaviest operators, and words."""
    view = page.shown("overview")
    assert "A step takes 1.69 ms under the profiler" in view.inner_text()
    assert page.frame.locator(".bar .part").count() == 5, "no copies in this trace"
    assert "71 %" in page.frame.locator(".bar .kind0").inner_text()
    assert page.frame.locator("tbody tr", has_text="aten::mkldnn_convolution").count() == 1


def test_operators_sort_and_filter(page: Page) -> None:
    """By any column, by part of a name, by shape."""
    page.open("operators")
    own = [float(row[2]) for row in page.rows()]
    assert own == sorted(own, reverse=True)
    head = page.frame.get_by_role("button", name="operator", exact=True)
    head.click()
    names = [row[0] for row in page.rows()]
    assert names == sorted(names, key=str.lower)
    assert page.frame.locator("th[aria-sort=ascending]").inner_text().startswith("operator")
    page.frame.get_by_label("Filter").fill("BATCH_NORM")
    assert {row[1] for row in page.rows()} == {"normalization"}
    assert len(page.rows()) == 3
    page.frame.get_by_label("Filter").fill("aten::cat")
    page.frame.get_by_label("a row for each input shape").check()
    page.shown("operators")
    page.frame.get_by_label("Filter").fill("aten::cat")
    assert next(iter(page.rows()))[-1] == "8x16x16x16, 8x16x16x16"
    assert len(page.rows()) == 4


def test_memory(page: Page) -> None:
    """A chart that says its peak in words and is read with the keys, and who allocates."""
    view = page.open("memory")
    assert "The most is 4.19 MB" in view.inner_text()
    path = page.frame.locator("svg .line").get_attribute("d") or ""
    assert path.count("H") > 12
    page.frame.locator("svg.chart").focus()
    page.outer.keyboard.press("ArrowRight")
    assert "2.10 MB" in page.frame.locator("p[role=status]").first.inner_text()
    assert page.rows() == [["aten::conv2d", "4.19 MB", "4"]]


def test_timeline_zooms_with_wheel_drag_and_keys(page: Page) -> None:
    """And tells about a call."""
    page.open("timeline")
    canvas = page.frame.locator("canvas")
    page.frame.locator("canvas[data-boxes]").wait_for()

    def window() -> tuple[float, float]:
        data = canvas.evaluate("one => [Number(one.dataset.start), Number(one.dataset.end)]")
        return (data[0], data[1])

    whole = window()
    assert int(canvas.get_attribute("data-boxes") or 0) > 100
    box = canvas.bounding_box()
    page.outer.mouse.move(box["x"] + 200, box["y"] + 60)
    page.outer.mouse.wheel(0, -300)
    canvas.page.wait_for_timeout(50)
    near = window()
    assert near[1] - near[0] < whole[1] - whole[0]
    page.outer.mouse.down()
    page.outer.mouse.move(box["x"] + 100, box["y"] + 60, steps=4)
    page.outer.mouse.up()
    dragged = window()
    assert dragged[0] > near[0]
    canvas.focus()
    for key in ("ArrowLeft", "w"):
        page.outer.keyboard.press(key)
    assert window()[0] != dragged[0]
    page.outer.keyboard.press("0")
    assert window() == whole
    page.outer.keyboard.press(".")
    details = page.frame.locator("#view p[role=status]")
    assert details.inner_text().startswith("ProfilerStep#0 · 1.68 ms")
    page.outer.keyboard.press("ArrowDown")
    assert details.inner_text().startswith("aten::conv2d · 300 µs, of that 2.00 µs its own; convolution")
    assert "inputs 8x16x16x16, 32x16x3x3" in details.inner_text()
    page.outer.keyboard.press("Enter")
    start, end = window()
    assert 290 < end - start < 400
    page.outer.mouse.move(box["x"] + 600, box["y"] + 100)
    page.frame.locator(".tip strong").wait_for()


def test_timeline_draws_several_lanes(page: Page) -> None:
    """The processor's calls, five in each of two steps, and the device's kernels, two in each."""
    page.pick("Recipe", "gpu")
    page.open("timeline")
    canvas = page.frame.locator("canvas[data-boxes='14']")
    canvas.wait_for()
    assert canvas.is_visible()


def test_comparison(page: Page) -> None:
    """What disappeared, what is new, what got faster, of any two recipes."""
    page.open("compare")
    page.pick("To", "compile, batch 8")
    view = page.shown("compare")
    assert "Gone: aten::native_batch_norm" in view.inner_text()
    assert page.frame.locator(".bars .bar").count() == 2
    rows = {row[0]: row for row in page.rows()}
    assert rows["aten::native_batch_norm"][1] == "gone"
    assert rows["aten::mkldnn_convolution"][1] == "faster"
    assert rows["Call CompiledFxGraph"][1] == "new"
    page.frame.get_by_label("Show").select_option(value="new")
    page.frame.locator("p.status", has_text="1 of 1 rows").wait_for()
    page.frame.get_by_role("button", name="Swap").click()
    page.frame.get_by_role("heading", name="compile against baseline").wait_for()
    page.pick("To", "baseline, batch 32")
    told = page.shown("compare").inner_text()
    assert "different numbers of images" in told
    assert "baseline at batch 32" in told
    page.pick("To", "baseline, batch 8")
    page.pick("From", "openvino, batch 8")
    assert "different engines name their operators differently" in page.shown("compare").inner_text()


def test_keys_alone(page: Page) -> None:
    """Tabs turn with the arrow keys and keep the focus; a list keeps it after its choice is shown."""
    page.frame.locator("#tab-overview").focus()
    for view in ("operators", "memory", "timeline", "compare", "overview"):
        page.outer.keyboard.press("ArrowRight")
        page.shown(view)
        assert page.frame.locator(f"#tab-{view}[aria-selected=true]:focus").count() == 1
    page.frame.get_by_label("Batch").focus()
    page.pick("Batch", "32")
    assert page.frame.locator("select:focus").input_value() == "32"


def test_markup_in_a_trace_is_text(page: Page) -> None:
    """In every view."""
    page.pick("Recipe", "evil")
    for view in VIEWS:
        page.open(view)
        if view == "timeline":
            page.frame.locator("canvas").focus()
            page.outer.keyboard.press(".")
            page.outer.keyboard.press("ArrowDown")
        if view != "memory":
            assert EVIL in page.shown(view).inner_text()
        assert page.frame.locator("img").count() == 0
    assert page.outer.title() != "run"


def test_a_broken_trace_is_said_to_be(browser: Any, server: Server) -> None:
    """And another one can be chosen after it. The browser itself notes the answer's status."""
    page = Page(browser, server)
    page.pick("Recipe", "zz-broken")
    page.frame.get_by_role("alert").wait_for()
    assert "no Chrome trace" in page.frame.get_by_role("alert").inner_text()
    page.pick("Recipe", "baseline")
    page.frame.get_by_role("heading", name="In words").wait_for()
    assert all("422" in problem for problem in page.problems)
    page.outer.context.close()


def test_a_folder_without_traces(browser: Any, tmp_path: Path) -> None:
    """The page says what makes them."""
    with viewer(tmp_path, tmp_path / "cache") as server:
        outer = browser.new_page()
        outer.goto(f"{server.address}/#pytorch_profiler")
        outer.frame_locator("iframe").get_by_text("densebench run writes one").wait_for(timeout=60_000)
        outer.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(browser: Any, server: Server, scheme: str) -> None:
    """As the system asks; every view is drawn in both, also on a narrow page."""
    page = Page(browser, server, color_scheme=scheme)
    ground = page.frame.locator("body").evaluate("one => getComputedStyle(one).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    shots = os.environ.get("DENSEBENCH_SHOTS")
    for width in (1280, 400):
        page.outer.set_viewport_size({"width": width, "height": 900})
        for view in VIEWS:
            page.open(view)
            wide = page.frame.locator("html").evaluate("one => one.scrollWidth - one.clientWidth")
            assert wide <= 0, f"{view} is {wide} px too wide"
            if shots:
                page.outer.screenshot(path=str(Path(shots) / f"profiles-{view}-{scheme}-{width}.png"))
    assert page.problems == []
    page.outer.context.close()
