"""report.html as text: what it holds, what it allows, and what its charts are made of."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from densebench.report import operators, write_report
from densebench.report.html import page
from densebench.report.html.style import THEMES, painted, series_of
from densebench.results.record import Row
from densebench.sinks.log_folder import OWNER, claim
from tests.factory import confirmed, header, rows_of
from tests.report.html.shapes import EVIL, SHAPES, USUAL, thousand

MOST_MB = 12


class Parts(HTMLParser):
    """The page's elements, their addresses, and the content of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self._open = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what matters."""
        facts = dict(attrs)
        self.tags.append(tag)
        self.ids += [facts["id"] or ""] if "id" in facts else []
        self.addresses += [
            facts[name] or "" for name in ("src", "href", "action", "data", "poster") if name in facts
        ]
        self.handlers += [name for name in facts if name.startswith("on")]
        self._open = tag == "script"
        if self._open:
            self.scripts.append((facts, ""))

    def handle_data(self, data: str) -> None:
        """Text inside a script."""
        if self._open:
            facts, text = self.scripts[-1]
            self.scripts[-1] = (facts, text + data)

    def handle_endtag(self, tag: str) -> None:
        """A script ends."""
        self._open = self._open and tag != "script"


def data_of(text: str) -> dict[str, Any]:
    """What the page's script is given."""
    found: dict[str, Any] = json.loads(
        next(content for facts, content in Parts(text).scripts if facts.get("id") == "data")
    )
    return found


def charts_of(
    rows: list[Row], ceilings: dict[str, Any] | None = None, **options: Any
) -> dict[str, dict[str, Any]]:
    """The charts by name."""
    text = page(header(ceilings=ceilings), rows, **options)
    return {chart["name"]: chart for chart in data_of(text)["charts"]}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_a_page_of_known_scripts(shape: str) -> None:
    """The page loads nothing, and runs only the two scripts whose hashes its policy names."""
    text = page(header(), SHAPES[shape], confirmation=confirmed(SHAPES[shape]))
    parts = Parts(text)
    assert {address[:1] for address in parts.addresses} <= {"#"}
    assert not parts.handlers
    assert [facts.get("type", "") for facts, _ in parts.scripts] == ["application/json", "text/plain", ""]
    policy = re.search(r'content="(default-src [^"]*)"', text)
    assert policy is not None
    allowed = re.search(r"script-src ([^;]*);", policy[1].replace("&#39;", "'"))
    assert allowed is not None
    hashes = [
        base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for _, code in parts.scripts[1:]
    ]
    assert allowed[1].split() == [f"'sha256-{one}'" for one in hashes]
    assert len(parts.ids) == len(set(parts.ids))
    assert "None" not in re.sub(r"(?s)<script.*?</script>", "", text).replace("None noted.", "")


@pytest.mark.parametrize("shape", SHAPES)
def test_every_chart_is_in_plotlys_own_words(shape: str) -> None:
    """Plotly knows each property, in both themes; each chart has axes with titles and a table that is as wide."""
    for chart in charts_of(SHAPES[shape]).values():
        for theme in THEMES:
            for view in chart["views"]:
                figure = go.Figure(painted(view["data"], theme), painted(view["layout"], theme))
                assert figure.layout.xaxis.title.text
                assert figure.data
                assert "@" not in json.dumps(
                    [trace.marker.color for trace in figure.data if "marker" in trace]
                )
        for table in chart["figures"]:
            assert table["lines"]
            assert {len(line) for line in table["lines"]} == {len(table["headings"])}


def test_sections_in_the_readers_order() -> None:
    """The recommendation, the comparison, then the charts from the broad to the fine, and how to repeat it."""
    text = page(header(), USUAL)
    charts_between = "accuracy batch memory latency operators roofline build"
    expected = f"deploy comparison {charts_between} analysis environment reproduce".split()
    assert re.findall(r'<section id="(\w+)"', text) == expected
    charts = "pareto throughput_samples_per_s latency_p50_ms host_memory_peak_mb model_size_mb distributions"
    assert list(charts_of(USUAL)) == [*charts.split(), "build_s", "break_even_images"]


def test_the_answer_and_its_grounds() -> None:
    """What to deploy, the runner-up with its margin, reasons, notes, environment and command are all there."""
    text = page(header(notes=("load average 2.1",)), USUAL, confirmation=confirmed(USUAL))
    assert '<p class="headline">Deploy c+d at batch 8: ' in text
    assert '<p class="runner-up">Next is b at batch 32: ' in text
    assert text.count("recommended</small>") == 2, "in the matrix, and in the table of all rows"
    assert "its library is not installed" in text
    assert "missing at batches 1, 8 and 32 was skipped" in text
    assert "load average 2.1" in text
    assert "Some CPU @ 2 GHz" in text
    assert "densebench run --quick" in text
    assert "evidence" in text


def test_every_sentence_has_its_evidence() -> None:
    """Each finding of the page is followed by the rows that it rests on, wherever it stands."""
    rows = [*USUAL, *rows_of({"bare": {1: 20}})]
    text = page(header(), rows, confirmation=confirmed(rows))
    lists = re.findall(r'(?s)<ul class="findings">(.*?)</ul>', text)
    items = [item for one in lists for item in re.findall("(?s)<li.*?</li>", one)]
    for start in (
        "missing at batches",
        "Beaten by no other",
        "Highest throughput",
        "No file is smaller",
        "The accuracy of bare",
    ):
        assert any(start in item for item in items), start
    assert all('<details class="evidence">' in item for item in items)
    assert "evidence</summary>missing at batches 1, 8 and 32</details>" in text
    answer = re.search(r'(?s)<section id="deploy".*?</section>', text)
    assert answer is not None
    assert "evidence</summary>c+d at batch 8; baseline at batch 32</details>" in answer[0], "each recipe once"


def test_a_build_that_costs_nothing_is_seen() -> None:
    """A value of 0 has no place on a logarithmic axis: its chart has a linear one, and others keep theirs."""
    chart = charts_of(SHAPES["everything"])["break_even_images"]
    for view in chart["views"]:
        assert 0 in view["data"][-1]["x"]
        assert "0" in view["data"][-1]["text"]
        assert view["layout"]["xaxis"].get("type") != "log"
        assert view["layout"]["xaxis"]["range"][0] == 0
    usual = charts_of(USUAL)["break_even_images"]
    assert {view["layout"]["xaxis"]["type"] for view in usual["views"]} == {"log"}


def test_intervals_are_drawn_or_said_to_be_absent() -> None:
    """A row with an interval has its mark; one without, among others, says so; and a run without any does too."""
    mixed = page(header(), USUAL)
    assert mixed.count('class="interval"') == 11
    assert mixed.count("no interval</small>") == 1
    assert "none in 1 of 12 rows" in mixed
    bare = page(header(), SHAPES["no accuracy"])
    assert "No row has an interval" in bare
    assert 'class="interval"' not in bare


def test_what_was_not_measured_is_said() -> None:
    """Sections without data stand there with the reason."""
    text = page(header(), SHAPES["no accuracy"], [Path("/nowhere")])
    assert "The accuracy of no timed row was measured." in text
    assert "No profiler trace of these rows was found in /nowhere." in text
    assert "the records hold no share of this machine&#39;s ceiling" in text
    assert "No build was timed." in text
    assert page(header(), SHAPES["only failures"]).count("No row was timed.") >= 2


def test_a_recipe_keeps_its_colour() -> None:
    """The same token in every chart, and no two recipes of forty look the same."""
    rows = SHAPES["usual"]
    colours: dict[str, set[str]] = {}
    for name, chart in charts_of(rows).items():
        for trace in (trace for view in chart["views"] for trace in view["data"]):
            if name == "operators" or not trace.get("marker") or trace.get("hoverinfo") == "skip":
                continue
            names = trace.get("legendgroup") or trace.get("name") or trace["customdata"]
            marks = trace["marker"]["color"]
            for recipe, colour in zip(
                [names] if isinstance(names, str) else names,
                [marks] if isinstance(marks, str) else marks,
                strict=True,
            ):
                colours.setdefault(recipe, set()).add(colour)
    assert {recipe: len(found) for recipe, found in colours.items()} == dict.fromkeys(
        ["baseline", "a", "b", "c+d"], 1
    )
    forty = series_of(SHAPES["40 recipes"])
    assert len({(one.colour, one.symbol) for one in forty}) == 40


@pytest.mark.parametrize("theme", THEMES)
def test_colours_stand_out_from_the_page(theme: str) -> None:
    """Each recipe's colour has the contrast that WCAG asks of graphics: 3:1."""
    page_colour = {"light": "#FFFFFF", "dark": "#14171C"}[theme]
    for token, colour in THEMES[theme].items():
        if token[1:].isdigit():
            assert _contrast(colour, page_colour) >= 3, colour


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def texts(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a chart's specification with its key."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from texts(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner, key)
    elif isinstance(value, str):
        yield key, value


def test_names_from_the_data_are_text() -> None:
    """A recipe called like a script makes no element, in the page and in the labels that Plotly reads as markup."""
    text = page(
        header(notes=(EVIL,), command=f"densebench {EVIL}", environment={EVIL: EVIL}),
        SHAPES["a script in the names"],
    )
    assert EVIL not in text
    assert "img" not in Parts(text).tags
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 10
    for chart in data_of(text)["charts"]:
        for key, said in texts(chart["views"]):
            assert not re.search(r"<(?!br>|b>|/b>|extra>|/extra>)", said), (key, said)


def trace_of(path: Path, *operators: tuple[str, float]) -> None:
    """A small trace: operators one after the other, with their milliseconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    events, start = [], 0.0
    for name, ms in operators:
        events.append(
            {"ph": "X", "cat": "cpu_op", "name": name, "pid": 1, "tid": 1, "ts": start, "dur": 1000 * ms}
        )
        start += 1000 * ms
    path.write_text(json.dumps({"traceEvents": events}))


def test_where_the_time_goes(tmp_path: Path) -> None:
    """Operators by recipe side by side, at the recommended batch size, with their shares in the table."""
    trace_of(tmp_path / "logs" / "a.json", ("aten::conv2d", 30), ("aten::batch_norm", 10))
    trace_of(tmp_path / "logs" / "b.json", ("aten::conv2d", 20))
    trace_of(tmp_path / "secret.json", ("aten::conv2d", 99))
    traces = {"baseline": "a.json", "a": "b.json", "b": "../secret.json", "c+d": "gone.json"}
    rows = [row.model_copy(update={"traces": (traces.get(row.recipe, ""),)}) for row in USUAL]
    chart = charts_of(rows, log_dirs=[tmp_path / "nowhere", tmp_path / "logs"])["operators"]
    kinds, operators = chart["figures"]
    assert kinds["lines"] == [
        ["baseline", "30.0 (75 %)", "10.0 (25 %)", "0 (0 %)", "0 (0 %)", "0 (0 %)", "40.0"],
        ["a", "20.0 (100 %)", "0 (0 %)", "0 (0 %)", "0 (0 %)", "0 (0 %)", "20.0"],
    ]
    assert operators["lines"] == [["aten::conv2d", "30.0", "20.0"], ["aten::batch_norm", "10.0", "-"]]
    assert chart["views"][0]["data"][0]["x"] == [30, 20]


def test_a_trace_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page and the board are made of the same ones, which may be 100 MB each."""
    read: list[Path] = []
    parse = operators.parse
    monkeypatch.setattr(operators, "parse", lambda path: read.append(path) or parse(path))
    trace = tmp_path / "a.json"
    for ms, times in ((30, 1), (200, 2)):
        trace_of(trace, ("aten::conv2d", ms))
        for _ in range(2):
            found = operators.read_operators(trace)
            assert found is not None
            assert found.by_operator["aten::conv2d"] == ms
        assert len(read) == times


def test_traces_are_found_from_another_folder(tmp_path: Path) -> None:
    """A report written again from elsewhere still has the traces that lie beside the results."""
    trace_of(tmp_path / "logs" / "a.json", ("aten::conv2d", 30))
    rows = [row.model_copy(update={"traces": ("a.json",)}) for row in USUAL]
    (tmp_path / "out").mkdir()
    write_report(tmp_path / "out", header(spec={"log_dir": "logs"}), rows)
    assert "Self time by kind of operator" in (tmp_path / "out" / "report.html").read_text()


def test_traces_of_another_run_are_none_of_these(tmp_path: Path) -> None:
    """They have the same names: a later run took the log folder, and the former's went with the former."""
    rows = [row.model_copy(update={"traces": ("a.json",)}) for row in USUAL]
    out = tmp_path / "out"
    trace_of(tmp_path / "logs" / "a.json", ("aten::conv2d", 30))
    out.mkdir()
    mine = header(spec={"log_dir": "logs"})
    claim(tmp_path / "logs", "later")
    write_report(out, mine, rows)
    assert "Self time by kind of operator" not in (out / "report.html").read_text()
    trace_of(out / "tensorboard" / "a.json", ("aten::relu_", 30))
    claim(out / "tensorboard", mine.started_at)
    write_report(out, mine, rows)
    text = (out / "report.html").read_text()
    assert "aten::relu_" in text
    assert "aten::conv2d" not in text
    # a folder that nobody has claimed is older than the one that is known to be this run's
    (out / "tensorboard" / OWNER).unlink()
    claim(tmp_path / "logs", mine.started_at)
    write_report(out, mine, rows)
    assert "aten::conv2d" in (out / "report.html").read_text()


def test_a_thousand_records_fit() -> None:
    """Every row is in the page, which stays below its limit."""
    text = page(header(), thousand())
    assert text.count("<tr data-size") == 1000
    assert len(text.encode()) < MOST_MB * 1e6
