"""REPORT.md and the README's generated parts."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from densebench.errors import InputError
from densebench.report import write_report
from densebench.report.markdown import parts, report, summary
from densebench.report.readme import update
from densebench.report.tables import code_block, escape
from densebench.results.derive import derive
from densebench.results.observation import Status
from densebench.results.record import Row
from densebench.text import one_line
from scripts import update_readme
from tests.factory import broken, confirmed, header, rounded, rows_of, timed
from tests.journals import write

SPEEDS = {"baseline": {1: 20, 8: 30}, "x": {1: 40, 8: 90}}
ACCURATE = dict.fromkeys(SPEEDS, 99.0)
ROWS = [
    *rows_of(SPEEDS, rounded, accuracy_top1=ACCURATE, model_size_mb={"baseline": 32.3, "x": 16.1}),
    *broken("y", [1, 8], Status.FAILED, "boom"),
]
AGAIN = confirmed(ROWS)
MARKERS = "# Title\n\n<!-- generated:results -->\nfrom before\n<!-- /generated:results -->\n\ntail\n"

TAGS = ["ul", "li", "table", "thead", "tbody", "tr", "th", "td"]
ELEMENTS = {*TAGS, *(f"/{tag}" for tag in TAGS)}


def test_report_has_all_of_its_parts() -> None:
    """The report holds recommendation, tables, words, failures, environment, command and limits."""
    text = report(header(notes=("load average 2.1",)), ROWS, AGAIN)
    assert re.findall("^## (.*)", text, re.MULTILINE) == [
        "Throughput",
        "Latency",
        "Outputs, size and start-up",
        "Analysis",
        "Trade-offs",
        "Failed and skipped",
        "Environment",
        "How to reproduce",
        "Known limits of this run",
    ]
    assert "**Deploy x at batch 8: 3.00x" in text
    assert "| x | **40.0** (2.00x ±0.01) | **90.0** (3.00x ±0.01) |" in text
    assert "| y | failed | failed |" in text
    assert "- y at batches 1 and 8 failed: boom." in text
    assert "| cpu | Some CPU @ 2 GHz |" in text
    assert "```sh\ndensebench run --quick\n```" in text
    assert "- load average 2.1" in text


def test_half_widths_have_two_decimals() -> None:
    """As on the console: a third one would be noise; where ± would mislead, both ends stand there."""
    base, row = rows_of({"baseline": {8: 30}, "x": {8: 90}})
    for half, shown in ((0.0798, "±0.08"), (1.4567, "±1.46"), (1.8, "(1.20 to 4.80)")):
        ends = {"speedup_ci_low": 3 - half, "speedup_ci_high": 3 + half}
        assert f"(3.00x {shown})" in report(header(), [base, row.model_copy(update=ends)])


def test_sentences_name_their_rows() -> None:
    """In the report those of few recipes, else how many; the summary and the README's parts stay short."""
    many = {f"r{number}": {8: 40 + number} for number in range(4)}
    text = report(header(), rows_of({"baseline": {1: 20, 8: 30}} | many))
    assert re.search(r"- Fastest by batch size: nothing is faster .* at batch 1 .*\. \(6 rows\)\n", text)
    assert "(baseline at batch 1; baseline at batch 8)" in text or "(baseline at batch" in text
    limits = text.split("## Known limits")[1]
    assert "(baseline at batch" not in limits
    for short in (summary(header(), ROWS), *parts(header(), ROWS).values()):
        assert "(baseline at batch 1" not in short
        assert " rows)" not in short


@pytest.mark.parametrize("rows", [[], ROWS[:1], broken("baseline", [1], Status.SKIPPED, "why")])
def test_report_of_little(rows: list[Row]) -> None:
    """No rows, one row and no row that ran all give a report."""
    text = report(header(), rows)
    assert "## Known limits of this run" in text
    assert "None" not in text.replace("None noted.", "")


def test_accuracy_limit_is_the_runs() -> None:
    """The limit that the run was given decides, under either spelling of its name."""
    rows = rows_of({"baseline": {8: 30}, "x": {8: 90}}, rounded, accuracy_top1={"baseline": 99.0, "x": 97.0})
    again = confirmed(rows)
    assert "**Keep the baseline" in report(header(), rows, again)
    assert "**Deploy x" in report(header(spec={"max_accuracy_drop": 2.0}), rows, again)
    assert "**Deploy x" in report(header(spec={"max-accuracy-drop": 2.0}), rows, again)


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "a|b", "`x`", "**x**", "[x](y)", "_x_", "a\nb", "\\|"]
)
def test_names_can_not_break_out(name: str) -> None:
    """A name from the data is shown as it is in tables and text, and makes no markup of its own."""
    page = (
        MarkdownIt("commonmark")
        .enable("table")
        .render(report(header(), rows_of({"baseline": {8: 30}, name: {8: 90}})))
    )
    plain = name.replace("\n", " ").replace("<", "&lt;").replace(">", "&gt;")
    assert f"<td>{plain}</td>" in page
    assert "<script" not in page
    assert "<em>" not in page
    assert len(set(re.findall(r"<tr>\n(?:<td.*\n)*", page.split("Throughput")[1].split("Latency")[0]))) >= 2


@given(st.text(max_size=40) | st.text("#*_`|<>&;\\[]()!~-+1. \nax", max_size=20))
@settings(deadline=None)
def test_escaped_text_is_what_a_reader_sees(text: str) -> None:
    """Any text, rendered in a list and in a table, is shown as it is and makes no element of its own."""
    markdown = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    shown = markdown.render(f"- a: {escape(text)}\n\n| h |\n| --- |\n| b {escape(text)} |\n")
    assert set(re.findall("<(/?[a-z]+)", shown)) <= ELEMENTS
    assert "<li>" + _as_html(f"a: {one_line(text)}") + "</li>" in shown
    assert "<td>" + _as_html(f"b {one_line(text)}") + "</td>" in shown


@pytest.mark.parametrize("text", ["- x", "+ x", "1. x", "2) x", "# x", "> x", "```", "* x"])
def test_text_at_the_start_of_an_item_opens_no_block(text: str) -> None:
    """A sentence that begins with a recipe's name stays a sentence, whatever the name begins with."""
    assert MarkdownIt().render(f"- {escape(text)}") == f"<ul>\n<li>{_as_html(text)}</li>\n</ul>\n"


def _as_html(text: str) -> str:
    return html.escape(text.rstrip(), quote=False).replace('"', "&quot;")


def test_command_can_not_end_its_block() -> None:
    """A command with backticks gets a longer fence, and one with line breaks stays on its line."""
    assert code_block("a ```\nb") == "````sh\na ``` b\n````"


def test_write_report(tmp_path: Path) -> None:
    """The report is written where it is said to be, the page to begin with first."""
    paths = write_report(tmp_path, header(), ROWS, AGAIN)
    assert [path.name for path in paths] == ["report.html", "REPORT.md", "README.md"]
    assert paths[1].read_text() == report(header(), ROWS, AGAIN)
    assert paths[2].read_text() == summary(header(), ROWS, AGAIN)
    assert paths[0].read_text().startswith("<!doctype html>")


def test_summary_fits_into_a_readme() -> None:
    """The summary begins at the second level, and has recommendation, figures, costs, limits and the command."""
    text = summary(header(command="densebench run --recipes '`x`'"), ROWS, AGAIN)
    assert re.findall("^#+ .*", text, re.MULTILINE) == [
        "## densenet121: which optimization to deploy",
        "### What it costs",
        "### Limits",
    ]
    assert "**Deploy x at batch 8" in text
    assert "Smallest file: x" in text
    assert "y at batches 1 and 8 failed: boom." in text
    assert "<code>densebench run --recipes '`x`'</code>" in MarkdownIt().render(text)


def test_readme_keeps_what_is_written_by_hand() -> None:
    """Only what stands between the markers changes, and doing it twice changes nothing more."""
    once = update(MARKERS, parts(header(), ROWS))
    assert once.startswith(
        "# Title\n\n<!-- generated:results -->\nMeasured 2026-01-02 on cpu (Some CPU @ 2 GHz)"
    )
    assert once.endswith("<!-- /generated:results -->\n\ntail\n")
    assert "from before" not in once
    assert update(once, parts(header(), ROWS)) == once


def test_readme_has_four_parts() -> None:
    """Results, analysis, trade-offs and limitations each have their text."""
    names = ("results", "analysis", "tradeoffs", "limitations")
    assert tuple(parts(header(), ROWS)) == names
    readme = "\n".join(f"<!-- generated:{name} -->\n<!-- /generated:{name} -->" for name in names)
    shown = update(readme, parts(header(), ROWS))
    assert "Key insights" in shown
    assert "Fastest by batch size: x at batches 1 and 8" in shown
    assert "Smallest file: x" in shown
    assert "y at batches 1 and 8 failed: boom." in shown


@pytest.mark.parametrize(
    ("readme", "said"),
    [
        ("no markers", "no marker"),
        ("<!-- generated:results -->", "never closed"),
        ("\n<!-- /generated:results -->", "line 2"),
        ("<!-- generated:results --><!-- generated:analysis -->", "out of turn"),
        (2 * "<!-- generated:results --><!-- /generated:results -->", "out of turn"),
        ("<!-- generated:poems -->", "unknown part 'poems'"),
    ],
)
def test_readme_with_wrong_markers_is_refused(readme: str, said: str) -> None:
    """Markers that are missing, half, doubled or unknown are named instead of guessed at."""
    with pytest.raises(InputError, match=said):
        update(readme, parts(header(), ROWS))


def test_script_updates_and_checks(tmp_path: Path) -> None:
    """The script's exit codes: 1 before, 0 after, and an update that repeats changes nothing."""
    write(tmp_path, [timed("baseline", 8, 30)])
    readme = tmp_path / "README.md"
    readme.write_text(MARKERS)
    command = [str(tmp_path), "--readme", str(readme)]
    assert update_readme.main([*command, "--check"]) == 1
    assert readme.read_text() == MARKERS
    assert update_readme.main(command) == 0
    updated = readme.read_text()
    assert "30.0" in updated
    assert update_readme.main([*command, "--check"]) == 0
    assert update_readme.main(command) == 0
    assert readme.read_text() == updated


def test_the_readme_has_the_confirmed_answer(tmp_path: Path) -> None:
    """The rounds that confirm it are in the journal too."""
    records = [rounded("baseline", 8, 30, accuracy_top1=99.0), rounded("x", 8, 60, accuracy_top1=99.0)]
    write(tmp_path, [*confirmed(derive(records)), *records])
    readme = tmp_path / "README.md"
    readme.write_text(MARKERS)
    assert update_readme.main([str(tmp_path), "--readme", str(readme)]) == 0
    assert "**Deploy x at batch 8" in readme.read_text()


def test_a_summary_has_the_fastest_recipes_alone() -> None:
    """And says so; the report has all of them."""
    speeds = {"baseline": {8: 30}} | {f"r{number}": {8: 40 + number} for number in range(9)}
    rows = rows_of(speeds)
    shown, whole = parts(header(), rows)["results"], report(header(), rows)
    assert [name for name in speeds if f"| {name} |" in shown] == [
        "baseline",
        *(f"r{n}" for n in range(3, 9)),
    ]
    assert "fastest of 10 recipes" in shown
    assert all(f"| {name} |" in whole for name in speeds)
    assert "fastest of" not in parts(header(), rows_of(SPEEDS))["results"]


def test_several_batches_at_once_are_said_to_be() -> None:
    """Above the speeds and under the recommendation: they stand beside those of single batches."""
    records = [
        rounded("baseline", 8, 30, accuracy_top1=99.0),
        rounded("x", 8, 60, accuracy_top1=99.0, streams=2),
    ]
    rows = derive(records)
    text = report(header(), rows, confirmed(rows))
    assert "Of several batches at once: x (2)." in text
    assert "x answers 2 batches at once" in text
    assert "at once" not in report(header(), derive(records[:1]))


def test_script_names_what_it_can_not_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without a journal is exit 2 and one line."""
    assert update_readme.main([str(tmp_path)]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_the_environment_says_what_measured_energy() -> None:
    """Or why nothing did: the column is blank then."""
    assert "| energy | no counter here |" in report(header(energy="no counter here"), ROWS)
    assert "| energy |" not in report(header(), ROWS)
