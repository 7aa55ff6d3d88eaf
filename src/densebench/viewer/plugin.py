"""The viewer on HTTP: a TensorBoard plugin that answers in JSON and serves the files of its own page.

No path is made from a request: what may be read is listed first, and a request names an entry of that list.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from werkzeug import wrappers

from densebench.viewer import PLUGIN_NAME, finding, store
from densebench.viewer.comparison import Side, compare
from densebench.viewer.memory import memory
from densebench.viewer.reading import NoTrace
from densebench.viewer.timeline import WIDEST_PX, timeline
from densebench.viewer.trace import Trace
from densebench.viewer.views import operators, overview

PAGE = Path(__file__).parent / "page"
TYPES = {".js": "text/javascript", ".css": "text/css"}
Answer = Mapping[str, object]  # as JSON
Application = Callable[[Mapping[str, Any], Any], Any]


class _Refused(Exception):  # noqa: N818 - an answer, not a fault
    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class ProfilePlugin(base_plugin.TBPlugin):  # type: ignore[misc] # the package has no types
    """TensorBoard's tab of the profiles below its log folder."""

    plugin_name = PLUGIN_NAME

    def __init__(self, context: Any, traces: store.Store | None = None) -> None:
        super().__init__(context)
        # several log folders (`--logdir_spec`) are not for this plugin: there is nothing to list then
        self._log_dir = Path(context.logdir).expanduser() if context.logdir else None
        self._traces = traces or store.Store(store.folder())

    def get_plugin_apps(self) -> dict[str, Application]:
        """The routes: the page's files by name, and the questions that it asks."""
        files = {f"/{path.name}": _file(path) for path in sorted(PAGE.iterdir()) if path.suffix in TYPES}
        return {
            **files,
            "/traces": _answer(self._list),
            "/overview": _answer(lambda asked: overview(self._trace(asked))),
            "/operators": _answer(self._operators),
            "/memory": _answer(lambda asked: memory(self._trace(asked))),
            "/timeline": _answer(self._timeline),
            "/comparison": _answer(self._comparison),
        }

    def is_active(self) -> bool:
        """Whether there is a trace to show."""
        return self._log_dir is not None and finding.any_trace(self._log_dir)

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """The page's module and the name of the tab."""
        return base_plugin.FrontendMetadata(
            es_module_path="/index.js", tab_name="Profiles", disable_reload=True
        )

    def _found(self) -> dict[str, finding.Found]:
        return finding.find(self._log_dir) if self._log_dir else {}

    def _list(self, _: Mapping[str, str]) -> Answer:
        rows = [
            {"id": one.id, "recipe": one.recipe, "batch": one.batch, "bytes": one.bytes}
            for one in self._found().values()
        ]
        return {"traces": rows, "folder": str(self._log_dir or "")}

    def _one(self, asked: Mapping[str, str], key: str) -> finding.Found:
        wanted = asked.get(key, "")
        found = self._found().get(wanted)
        if found is None:
            raise _Refused(f"no trace '{wanted}' below the log folder", 404)
        return found

    def _trace(self, asked: Mapping[str, str], key: str = "trace") -> Trace:
        return self._traces.get(self._one(asked, key))

    def _operators(self, asked: Mapping[str, str]) -> Answer:
        return {"rows": operators(self._trace(asked), by_shape=asked.get("by") == "shape")}

    def _timeline(self, asked: Mapping[str, str]) -> Answer:
        trace = self._trace(asked)
        start = _number(asked, "start", 0)
        end = _number(asked, "end", trace.span_ns / 1000)
        width = _number(asked, "width", 1000)
        if not (start < end and 1 <= width <= WIDEST_PX):
            raise _Refused(f"start must lie before end, and width between 1 and {WIDEST_PX}", 400)
        return timeline(trace, start, end, int(width))

    def _comparison(self, asked: Mapping[str, str]) -> Answer:
        a, b = self._one(asked, "a"), self._one(asked, "b")
        names = (a.recipe, b.recipe)
        if a.recipe == b.recipe or a.batch != b.batch:
            names = (f"{a.recipe} at batch {a.batch}", f"{b.recipe} at batch {b.batch}")
        sides = (Side(names[0], self._traces.get(a)), Side(names[1], self._traces.get(b)))
        return compare(*sides, same_work=a.batch == b.batch)


def _number(asked: Mapping[str, str], key: str, default: float) -> float:
    try:
        number = float(asked.get(key, default))
    except ValueError:
        raise _Refused(f"{key} is no number", 400) from None
    if not math.isfinite(number) or abs(number) > 1e15:
        raise _Refused(f"{key} is out of range", 400)
    return number


def _answer(question: Callable[[Mapping[str, str]], Answer]) -> Application:
    """A route that answers with JSON, also where it can't."""

    def respond(request: wrappers.Request) -> wrappers.Response:
        code = 200
        try:
            if request.method not in {"GET", "HEAD"}:
                raise _Refused("only GET is answered", 405)
            content = question(request.args)
        except _Refused as refused:
            content, code = {"error": str(refused)}, refused.code
        except NoTrace as broken:
            content, code = {"error": str(broken)}, 422
        except OSError as problem:
            content, code = {"error": f"The trace can't be read: {problem.strerror or 'it is damaged'}."}, 422
        made: wrappers.Response = http_util.Respond(
            request, json.dumps(content, allow_nan=False), "application/json", code=code
        )
        return made

    return cast("Application", wrappers.Request.application(respond))


def _file(path: Path) -> Application:
    """A route that serves one file of the page."""

    def respond(request: wrappers.Request) -> wrappers.Response:
        made: wrappers.Response = http_util.Respond(request, path.read_bytes(), TYPES[path.suffix])
        return made

    return cast("Application", wrappers.Request.application(respond))
