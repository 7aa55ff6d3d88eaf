"""The viewer over HTTP, in a real TensorBoard: JSON, nothing outside the log folder, and beside its namesake."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.viewer.making import layers, log_folder, network, write
from tests.viewer.serving import Server, viewer

TRACE = "profile/{}/bs8.pt.trace.json"
BASELINE, LAYERS = TRACE.format("baseline"), TRACE.format("layers")
SECRET = "this line must not leave the machine"
EVIL = "<script>document.title='run'</script>"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A log folder with good and bad traces, and a secret beside it."""
    folder = tmp_path_factory.mktemp("viewer")
    (folder / "secret.txt").write_text(SECRET)
    logs = log_folder(folder / "logs", {"baseline": network(), "layers": layers(), EVIL: network(blocks=1)})
    write(logs / "profile" / "broken" / "bs8.pt.trace.json", [], '{"traceEvents": [')
    write(logs / "profile" / "packed" / "bs8.pt.trace.json.gz", network())
    (logs / "notes.txt").write_text(SECRET)
    (logs / "profile" / "linked").mkdir()
    outside = write(folder / "outside.pt.trace.json", network())
    (logs / "profile" / "linked" / "bs8.pt.trace.json").symlink_to(outside)
    with viewer(logs, folder / "cache") as server:
        yield server


def test_tensorboard_shows_the_plugin(server: Server) -> None:
    """Under the name that the address promises, as the only tab."""
    listing = server.get("/data/plugins_listing").json
    assert listing["pytorch_profiler"]["enabled"]
    assert [name for name, one in listing.items() if one["enabled"]] == ["pytorch_profiler"]
    module = listing["pytorch_profiler"]["loading_mechanism"]["module_path"]
    page = server.get(module)
    assert (page.code, page.kind) == (200, "text/javascript; charset=utf-8")
    assert b"export async function render" in page.body


def test_traces_are_listed(server: Server) -> None:
    """Recipe and batch, by an id; links that lead out are not there."""
    found = server.ask("traces").json["traces"]
    recipes = {one["recipe"]: one for one in found}
    assert recipes["baseline"]["id"] == BASELINE
    assert recipes["baseline"]["batch"] == "8"
    assert {"broken", "packed", "layers"} <= set(recipes)
    assert "linked" not in recipes


@pytest.mark.parametrize("route", ["overview", "operators", "memory", "timeline"])
@pytest.mark.parametrize("recipe", ["baseline", "layers", "packed"])
def test_every_view_answers(server: Server, route: str, recipe: str) -> None:
    """With JSON, of PyTorch's traces and other engines', compressed ones too."""
    suffix = ".gz" if recipe == "packed" else ""
    answer = server.ask(route, trace=TRACE.format(recipe) + suffix)
    assert (answer.code, answer.kind) == (200, "application/json")
    assert answer.json


def test_comparison_answers(server: Server) -> None:
    """Two traces by their ids."""
    found = server.ask("comparison", a=BASELINE, b=LAYERS).json
    assert (found["a"]["name"], found["b"]["name"]) == ("baseline", "layers")
    assert {row["change"] for row in found["rows"]} == {"gone", "new"}


def test_the_timeline_sends_what_is_visible(server: Server) -> None:
    """A window is smaller than the whole."""
    whole = server.ask("timeline", trace=BASELINE, width=1000).json
    part = server.ask("timeline", trace=BASELINE, start=0, end=100, width=1000).json
    count = [sum(len(row["boxes"]) for row in one["rows"]) for one in (whole, part)]
    assert count[0] > 3 * count[1] > 0


@pytest.mark.parametrize(
    "trace",
    [
        "../secret.txt",
        "../outside.pt.trace.json",
        "/etc/passwd",
        "profile/../../secret.txt",
        "profile/linked/bs8.pt.trace.json",
        "notes.txt",
        "profile/baseline/../baseline/bs8.pt.trace.json",
        "./profile/baseline/bs8.pt.trace.json",
        "profile/baseline/bs8.pt.trace.json\0",
        "..%2f..%2fsecret.txt",
        "file:///etc/passwd",
        "",
    ],
)
def test_only_what_is_listed_can_be_asked_for(server: Server, trace: str) -> None:
    """A path trick is a name that nobody has."""
    for route in ("overview", "operators", "memory", "timeline"):
        answer = server.ask(route, trace=trace)
        assert (answer.code, answer.kind) == (404, "application/json")
        assert answer.json["error"].startswith("no trace")
    assert server.ask("comparison", a=BASELINE, b=trace).code == 404


@pytest.mark.parametrize(
    "path",
    [
        "../../../../secret.txt",
        "..%2f..%2fsecret.txt",
        "%2e%2e/secret.txt",
        "index.js/../../x",
        "page/index.js",
        "plugin.py",
    ],
)
def test_no_other_file_is_served(server: Server, path: str) -> None:
    """Only the page's own files have a route."""
    answer = server.get(f"/data/plugin/pytorch_profiler/{path}")
    assert answer.code == 404
    assert SECRET.encode() not in answer.body


@pytest.mark.parametrize(
    "asked",
    [
        {"start": "x"},
        {"start": "nan"},
        {"end": "inf"},
        {"start": 5, "end": 5},
        {"width": 0},
        {"width": 1e9},
        {"end": "1e300"},
    ],
)
def test_a_senseless_window_is_refused(server: Server, asked: dict[str, object]) -> None:
    """With a sentence, not a failure."""
    answer = server.ask("timeline", trace=BASELINE, **asked)
    assert (answer.code, answer.kind) == (400, "application/json")
    assert answer.json["error"]


def test_a_broken_trace_is_said_to_be(server: Server) -> None:
    """The page shows the sentence."""
    answer = server.ask("overview", trace=TRACE.format("broken"))
    assert (answer.code, answer.json) == (
        422,
        {"error": "This is no Chrome trace: it holds no list of events."},
    )


def test_nothing_is_changed_over_http(server: Server) -> None:
    """Reading is all there is."""
    assert server.get("/data/plugin/pytorch_profiler/traces", method="POST").code == 405


def plugin_distribution(folder: Path, name: str, entry: str) -> None:
    """What pip leaves of a distribution that registers a TensorBoard plugin."""
    info = folder / f"{name.replace('-', '_')}-9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9\n")
    (info / "entry_points.txt").write_text(f"[tensorboard_plugins]\n{name.replace('-', '_')} = {entry}\n")


NAMESAKE = """
from tensorboard.plugins import base_plugin

class Plugin(base_plugin.TBPlugin):
    plugin_name = "pytorch_profiler"

    def get_plugin_apps(self):
        return {}

    def is_active(self):
        return True

    def frontend_metadata(self):
        return base_plugin.FrontendMetadata(tab_name="published")
"""


@pytest.mark.parametrize("published", [False, True])
def test_the_entry_point_steps_aside(tmp_path: Path, *, published: bool) -> None:
    """The tab is the published plugin's where that is installed, else ours; TensorBoard starts in both cases."""
    site = tmp_path / "site"
    plugin_distribution(site, "viewer-under-test", "densebench.viewer.entry:ViewerLoader")
    if published:
        plugin_distribution(site, "torch-tb-profiler", "namesake:Plugin")
        (site / "namesake.py").write_text(NAMESAKE)
    logs = log_folder(tmp_path / "logs", {"baseline": network()})
    with viewer(logs, tmp_path / "cache", kind="everything", path=site) as server:
        tab = server.get("/data/plugins_listing").json["pytorch_profiler"]
    assert (tab["tab_name"], tab["enabled"]) == ("published" if published else "Profiles", True)


def test_the_viewer_itself_does_not_step_aside(tmp_path: Path) -> None:
    """Its list of plugins is explicit."""
    plugin_distribution(tmp_path / "site", "torch-tb-profiler", "namesake:Plugin")
    logs = log_folder(tmp_path / "logs", {"baseline": network()})
    with viewer(logs, tmp_path / "cache", path=tmp_path / "site") as server:
        assert server.ask("overview", trace=BASELINE).code == 200


def test_the_package_registers_the_entry_point() -> None:
    """And ships the page."""
    import tomllib

    import densebench
    from densebench.viewer.plugin import PAGE

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    points = project["project"]["entry-points"]["tensorboard_plugins"]
    assert list(points.values()) == ["densebench.viewer.entry:ViewerLoader"]
    shipped = project["tool"]["setuptools"]["package-data"]["densebench"]
    package = Path(densebench.__file__).parent
    assert set(PAGE.iterdir()) <= {path for pattern in shipped for path in package.glob(pattern)}


def test_the_page_asks_no_other_host() -> None:
    """No address in its files but the names of XML's languages."""
    from densebench.viewer.plugin import PAGE

    for path in PAGE.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text, path
        assert "https:" not in text, path
        assert "innerHTML" not in text, path


def test_answers_hold_no_markup(server: Server) -> None:
    """JSON of a type that no browser runs."""
    answer = server.ask("traces")
    assert answer.kind == "application/json"
    assert EVIL.partition("/")[0] in json.dumps(answer.json)
